"""One result of each kind, with figures a real one could have."""

from emu.report.schema import SCHEMA_VERSION

HEADER = {
    "schema_version": SCHEMA_VERSION, "emu_version": "0.1.0", "chip": "jalapeno", "hypothetical": True,
    "digests": {"chip": "a" * 64, "program": "b" * 64, "isa": "c" * 64}, "fidelity": "fast", "stack": "bare", "seed": 0,
}
STALLS = {
    "mm": {"busy_s": 8.7e-5, "operand_s": 1.1e-5, "not_started_s": 1e-6, "port_s": 0.0},
    "ld0": {"busy_s": 5e-5, "dram_bandwidth_s": 4e-5, "finished_s": 9e-6, "port_s": 0.0},
}
ENERGY = {"array_macs_bf16": 0.012, "hbm_read_bytes": 0.02, "static": 0.005, "acc_read_bytes": 0.0}
COUNTERS = {"useful_macs_bf16": 68719476736, "hbm_read_bytes": 67108864, "sync_events": 1234, "shared_bytes": 0}


def op_row(name, seconds, share, stall="mm: dram_bandwidth", **more):
    return {
        "name": name, "kind": "gemm", "count": 32, "seconds": seconds, "share": share,
        "bound_by": "hbm", "bound_s": seconds / 1.07, "ratio": 1.07,
        "largest_stall": stall, "largest_stall_share": 0.84 if stall else None,
    } | more


SUPPLY = {"clock_hz": 1_500_000_000, "capped": False, "power_stall_s": 0.0, "regime": "steady", "cap_watts": 700.0, "above_cap": ""}


def phase(seconds, **more):
    ops = [op_row("ffn gate and up projection", 0.6 * seconds, 0.6), op_row("attention", 0.4 * seconds, 0.4, stall=None)]
    return {
        "seconds": seconds, "cycles": int(seconds * 1.5e9), "watts": 412.0, "joules": 412.0 * seconds, "mfu": 0.61, "mbu": 0.32,
        "bound_s": seconds / 1.2, "bound_by": "compute", "above_tdp": False, "energy": ENERGY, "counters": COUNTERS, "ops": ops,
        "stall_shares": {"mm": {"busy": 0.7, "dram_bandwidth": 0.2, "barrier": 0.1}, "ld0": {"busy": 0.9, "finished": 0.1}},
        "layer_period_s": seconds / 32, "knots": [], "skipped_fraction": 0.0,
    } | SUPPLY | more


KNOTS = [{"kv_len": 513, "seconds": 9.4e-4}, {"kv_len": 640, "seconds": 9.6e-4}]
ASSUMED = [
    {"key": f"core.vector.rate{i}", "value": f"{i} per clock", "tag": "assumed" if i % 3 else "derived", "source": "https://example.org"}
    for i in range(9)
]
ESTIMATE = HEADER | {
    "kind": "estimate", "model": "llama-3-8b", "chips": 1, "batch": 8, "prompt": 512, "generate": 128, "dtype": "bf16", "kv_dtype": "bf16",
    "scales": "unit", "data": "normal", "mapping": "chosen",
    "ttft_s": 0.0123, "tpot_s": 9.5e-4, "tokens_per_s": 8421.0, "joules_per_token": 0.0465, "sequences_per_s": None,
    "mfu": 0.61, "mbu": 0.9, "watts": 397.5,
    "phases": {"prefill": phase(0.0123, above_tdp=True), "decode": phase(9.5e-4 * 127, knots=KNOTS)},
    "assumed": ASSUMED,
    "memory": {"weights_bytes": 16060522496, "kv_bytes": 671088640, "capacity_bytes": 231928233984},
}
ENCODER = ESTIMATE | {
    "model": "bert-base", "ttft_s": None, "tpot_s": None, "tokens_per_s": None, "joules_per_token": None, "sequences_per_s": 6500.0,
    "seconds": 1.23e-3, "phases": {"encode": phase(1.23e-3)}, "hypothetical": False, "chip": "h100",
}
OP = HEADER | {
    "kind": "op", "op": "gemm 4096 x 4096 x 4096 bf16", "dtype": "bf16", "data": "normal", "seconds": 9.9e-5, "cycles": 148500,
    "joules": 0.037, "watts": 373.7, "bound_s": 9.1e-5, "bound_by": "compute", "ratio": 1.088, "mfu": 0.919, "mbu": 0.31,
    "stalls": STALLS, "energy": ENERGY, "counters": COUNTERS, "mapping": {"tile": "256x256x512", "cores": 64}, "above_tdp": False,
} | SUPPLY
RUN = HEADER | {
    "kind": "run", "program": "gemm", "cycles": 148500, "seconds": 9.9e-5, "joules": 0.037, "watts": 373.7,
    "stalls": STALLS, "stalls_root": STALLS, "energy": ENERGY, "counters": COUNTERS,
    "labels": [{"name": "load", "seconds": 1e-5, "counters": COUNTERS}, {"name": "", "seconds": 8.9e-5, "counters": {}}],
}
INFER = HEADER | {
    "kind": "infer", "model": "all-MiniLM-L6-v2", "dtype": "bf16", "scales": "unit", "weights_bytes": 45133056, "text": "a red apple",
    "embedding": [0.01 * i for i in range(384)], "cosine_to_reference": 0.99998,
    "cycles": 91234, "seconds": 6.1e-5, "joules": 0.011, "watts": 180.3, "stalls": STALLS,
}
INFER_FORMATS = HEADER | {
    "kind": "infer_formats", "model": "all-MiniLM-L6-v2", "text": "a red apple", "tokens": 5, "assumed": ASSUMED,
    "formats": [
        {"dtype": name, "scales": scales, "weights_bytes": size, "cosine_to_reference": near, "cycles": 91234, "seconds": 6.1e-5,
         "joules": joules, "program": "d" * 64}
        for name, scales, size, near, joules in (("bf16", "unit", 45133056, 0.99998, 0.011), ("nvfp4", "dynamic", 29950000, 0.9683, 0.007))
    ],
    "refused": {"mxfp6": "jalapeno: the matrix engine has no rate for 'fp6_e2m3'"},
}
ALL = {"estimate": ESTIMATE, "encoder": ENCODER, "op": OP, "run": RUN, "infer": INFER, "infer_formats": INFER_FORMATS}
