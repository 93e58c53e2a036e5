"""From a chip's description to the compiled core's configuration: the one place where the two vocabularies meet."""

from __future__ import annotations

import math
from typing import Any

from emu.chip.core import Dma
from emu.chip.matrix import Matrix
from emu.chip.schema import Chip
from emu.chip.surroundings import Level
from emu.errors import UnsupportedError

FORMATS = (
    "fp32", "bf16", "fp16", "fp8_e4m3", "fp8_e5m2", "int8", "int32", "tf32", "fp6_e2m3", "fp6_e3m2", "fp4_e2m1", "int4", "e8m0",
)
SCALES = ("none", "mx", "nvfp4")
CLASSES = ("convert", "add", "mul", "rsqrt", "compare", "exp", "reduce", "transpose", "gather")
ENGINES = ("mm", "vec", "dma")
SPACES = ("hbm", "sram", "acc", "peer", "shared", "far")
ROLES = ("in", "weight", "index", "inout", "out", "temp")
STREAMS = ("mm", "vec", "ld0", "ld1", "ld2", "ld3", "st0", "st1", "net0", "net1", "net2", "net3")
FIDELITIES = ("ideal", "fast", "detailed")
TIERS, POOLS = 8, 64
FS = 10**15
LARGEST = 1 << 62


def period_fs(chip: Chip) -> int:
    """The core clock's period in whole femtoseconds; engine, peak and bound share it."""
    return math.ceil(FS / chip.core.clock_hz)


def to_fs(seconds: float) -> int:
    return round(seconds * FS)


def streams_of(chip: Chip) -> tuple[str, ...]:
    """The streams a core of this chip has."""
    dma = chip.core.dma
    queues = max((link.queues for link in chip.links), default=0)
    counts = {"ld": dma.load_queues, "st": dma.store_queues, "net": queues}
    return ("mm", "vec", *(f"{kind}{j}" for kind, count in counts.items() for j in range(count)))


def ports(chip: Chip) -> list[int]:
    """[engine][space][write] bytes per clock; a DMA queue reaches every space it has no port entry for at its own width."""
    widths: dict[tuple[str, str], tuple[int, int]] = {
        (p.engine, p.space): (p.read_bytes_per_clk, p.write_bytes_per_clk) for p in chip.core.ports
    }
    return [width for engine in ENGINES for space in SPACES for width in widths.get((engine, space), (0, 0))]


def _lanes(matrix: Matrix) -> dict[str, int]:
    """Where in m x n results leave the array one after the other: extents of that skew, cycles per step; what streams (0 m, 1 n, 2 k)."""
    rows, cols = matrix.joined()
    along_m, along_n, streamed = {
        "weight_stationary": (1, cols, 0),
        "input_stationary": (cols, 1, 1),
        "output_stationary": (rows, cols, 2),
        "dot": (1, 1, 0),
    }[matrix.dataflow]
    return {"skew_m": along_m, "skew_n": along_n, "skew_cycles": matrix.hop_cycles, "streamed": streamed}


def _matrix(matrix: Matrix) -> dict[str, Any]:
    """The matrix engine's fields."""
    rates: dict[Any, Any] = dict(matrix.macs_per_clk)
    return {
        "quantum_m": matrix.quantum_m,
        "quantum_n": matrix.quantum_n,
        "quantum_k": matrix.quantum_k,
        "max_m": matrix.max_m,
        "max_n": matrix.max_n,
        "max_k": matrix.max_k,
        "load_rows_per_clk": matrix.load_rows_per_clk,
        "shadow": int(matrix.shadow),
        "fill_cycles": matrix.fill_cycles,
        "staged_bytes": matrix.staged_bytes,
        "min_rows": matrix.min_rows,
        "drain_overlap": int(matrix.drain_overlap),
        **_lanes(matrix),
        "min_interval": matrix.min_interval_cycles,
        "fragment_m": matrix.fragment_m,
        "fragment_n": matrix.fragment_n,
        "macs_per_clk": [int(rates.get(f, 0)) for f in FORMATS],
        "scales": [int(kind in matrix.scales) for kind in SCALES],
        "accumulate_order": ("sequential", "block", "tree").index(matrix.accumulate.order),
        "accumulate_block_k": matrix.accumulate.block_k,
        "accumulate_last": int(matrix.accumulate.join == "acc_last"),
        "accumulate_width": matrix.accumulate.width_bits,
        "accumulate_inner_bits": matrix.accumulate.inner_fraction_bits,
        "accumulate_truncate": int(matrix.accumulate.inner_rounding == "truncate"),
    }


def _tiers(chip: Chip) -> dict[str, Any]:
    """The caches as the core asks them, one after the other. A level with sides is two: a side, with what its own cores loaded, and the
    whole. A transfer spans lines of every side, so it asks the whole alone and has the far latency."""
    tiers: list[tuple[Level, int, int, int, bool]] = []
    pools = 0
    for level in chip.levels:
        if level.kind != "cache":
            continue
        cores, loads = chip.sharers(level), level.serves == "loads"
        if level.sides > 1:
            near = max(1, cores // level.sides)
            tiers.append((level, near, level.capacity_bytes // level.sides, to_fs(level.latency_s), True))
        tiers.append((level, cores, level.capacity_bytes, to_fs(level.far_s), loads))
        if not loads and chip.core_count // cores > POOLS - pools:
            count = pools + chip.core_count // cores
            raise UnsupportedError(f"{chip.name}: levels.{level.name} brings the caches that transfers pass to {count} instances; "
                                   f'the machine tells {POOLS} apart. One that scalar loads alone use says serves = "loads"')
        pools += 0 if loads else chip.core_count // cores
    if len(tiers) > TIERS:
        raise UnsupportedError(f"{chip.name}: {len(tiers)} tiers of caches (a level with sides is two); the machine has {TIERS}")
    fields: dict[str, Any] = {
        "tier_bytes": [size for _, _, size, _, _ in tiers],
        "tier_line": [level.line_bytes for level, *_ in tiers],
        "tier_cores": [cores for _, cores, _, _, _ in tiers],
        "tier_bytes_per_s": [level.bandwidth_bytes_per_s for level, *_ in tiers],
        "tier_latency_fs": [latency for _, _, _, latency, _ in tiers],
        "tier_loads": [int(loads) for *_, loads in tiers],
        "tier_back": [int(level.write == "back") for level, *_ in tiers],
    }
    return {"tiers": len(tiers), **{name: values + [0] * (TIERS - len(tiers)) for name, values in fields.items()}}


def _dma(dma: Dma) -> dict[str, Any]:
    return {
        "dma_start": dma.start_cycles,
        "dma_issue": dma.issue_cycles,
        "dma_bytes_per_clk": dma.bytes_per_clk,
        "dma_queue": dma.queue,
        "dma_inflight": dma.inflight_bytes,
        "dma_engines": dma.engines,
        "dma_piece": dma.piece_bytes,
        "dma_piece_cycles": dma.overhead_cycles,
        "dma_single": dma.single_bytes_per_clk,
    }


def core_config(chip: Chip, cores: int, fidelity: str = "fast") -> dict[str, Any]:
    """Configuration of the core for a program on `cores` cores of the chip; run-specific switches are added by the machine."""
    if fidelity not in FIDELITIES:
        raise UnsupportedError(f"fidelity {fidelity!r} is not supported; choose one of {', '.join(FIDELITIES)}")
    if fidelity == "detailed":
        from emu.machine.detailed import memory

        memory(chip)  # refuses a chip without a DRAM device by name
    core, hbm = chip.core, chip.hbm
    clk = period_fs(chip)
    rates: dict[str, Any] = {}
    if fidelity == "fast" and hbm.rates == "generated":
        from emu.machine.rates import generated

        rates = generated(chip)
    achieved = hbm.achieved_fraction if fidelity == "fast" and not rates else 1.0
    shared = next((level for level in chip.levels if level.kind == "scratchpad" and level.scope == "chip"), None)
    config = {
        "cores": cores,
        "period_fs": clk,
        "issue_cycles": core.issue_cycles,
        **_matrix(core.matrix),
        "vec_startup": core.vector.startup_cycles,
        "vec_milli_per_clk": [int(core.vector.per_clk[c] * 1000) for c in CLASSES],  # type: ignore[index]
        "port": ports(chip),
        **_dma(core.dma),
        "hbm_bytes": hbm.capacity_bytes,
        "hbm_bytes_per_s": math.floor(hbm.bandwidth_bytes_per_s * achieved),
        **rates,
        "hbm_latency_fs": to_fs(hbm.latency_s),
        "access_bytes": hbm.access_bytes,
        "sram_bytes": core.sram.capacity_bytes,
        "sram_latency": core.sram.latency_cycles,
        "sram_banks": core.sram.banks,
        "sram_bank_bytes": core.sram.bank_bytes,
        "sram_bytes_per_clk": core.sram.bandwidth_bytes_per_clk,
        "acc_bytes": core.acc.capacity_bytes,
        "shared_bytes": shared.capacity_bytes if shared else 0,
        "shared_bytes_per_s": shared.bandwidth_bytes_per_s if shared else 1,
        "shared_latency_fs": to_fs(shared.latency_s) if shared else 0,
        **_tiers(chip),
        "noc_bytes_per_s": chip.noc.uniform_bytes_per_s,
        "noc_hop_fs": chip.noc.hop_cycles * clk,
        "noc_x": chip.noc.x,
        "noc_y": chip.noc.y,
        "noc_crossbar": int(chip.noc.topology == "crossbar"),
        "noc_wraps": int(chip.noc.topology in ("torus", "ring")),
        "sem_cycles": chip.sync.semaphore_cycles,
        "barrier_cycles": chip.sync.barrier_cycles,
        "ideal": int(fidelity == "ideal"),
    }
    for name, value in config.items():
        largest = max(value) if isinstance(value, list) else value
        if largest >= LARGEST:
            raise UnsupportedError(f"{chip.name}: {name} becomes {largest}; the machine counts to {LARGEST}: lower that figure")
    return config
