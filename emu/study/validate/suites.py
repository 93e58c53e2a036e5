"""What is compared with what: suites of measured rows, the bound each promises, and the plain model each has to beat."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from emu.errors import EmuError, did_you_mean
from emu.study.validate.rows import Row, read
from emu.study.validate.sample import sample
from emu.study.validate.statistics import Bound

DATA = Path(__file__).parent / "data"
LONG_S = 50e-6
"""Kernels shorter than this are seen half idle by a board's power sampling."""
AT_CAP = 0.97
"""Share of the limit from which on a board counts as held by it."""
COUNT = 90
"""Rows of a suite that are packaged."""


@dataclass(frozen=True)
class Suite:
    """Rows of one kind and chip, and the bound on the errors over them."""

    name: str
    title: str
    kind: str
    chip: str
    holds: Callable[[Row], bool]
    bound: Bound
    count: int = COUNT
    """Rows that are packaged."""

    def rows(self, rows: Iterable[Row]) -> list[Row]:
        """Those that belong to it."""
        return [r for r in rows if r.kind == self.kind and r.chip == self.chip and self.holds(r)]


def _gemm(dtype: str) -> Callable[[Row], bool]:
    return lambda r: r["dtype"] == dtype


def _attention(phase: str, kv_dtype: str) -> Callable[[Row], bool]:
    def holds(r: Row) -> bool:
        """Another kernel serves heads wider than 256. A prompt of one token is a decode step to the library."""
        step = "decode" if r["q_len"] == 1 else "prefill"
        return (step, r["dtype"], r["kv_dtype"], r["window"]) == (phase, "bf16", kv_dtype, 0) and 64 <= r.whole("head_dim") <= 256

    return holds


def _probes(*names: str) -> Callable[[Row], bool]:
    return lambda r: r["probe"] in names


PLATEAU = Bound(0.05, p90=0.10)
MEASURED = (("a100", "A100"), ("gh200", "GH200"), ("mi300x", "MI300X"))
IN_MALL = range(16 << 20, 256 << 20)
"""Footprints, in bytes, that MI300X's outer cache serves: four times what an L2 holds and more."""


def _in_mall(r: Row) -> bool:
    return r.chip == "mi300x" and r["probe"] == "sweep" and r.whole("bytes") in IN_MALL


def _beside_mall(r: Row) -> bool:
    return r["probe"] == "sweep" and not _in_mall(r)


def _reduced_on_eight(r: Row) -> bool:
    return r["op"] == "all_reduce" and r["chips"] == 8


SUITES = {
    s.name: s
    for s in (
        Suite("gemm-h100", "bf16 GEMM, H100", "gemm", "h100", _gemm("bf16"), Bound(0.07, 0.02, 0.16)),
        Suite("gemm-a100", "bf16 GEMM, A100", "gemm", "a100", _gemm("bf16"), Bound(0.10, 0.03, 0.22)),
        Suite("gemm-fp8-h100", "fp8 GEMM with quantisation, H100", "gemm", "h100", _gemm("fp8"), Bound(0.13, 0.07, 0.35)),
        Suite("prefill-a100", "prefill attention, A100", "attention", "a100", _attention("prefill", "bf16"), Bound(0.09, 0.03, 0.18)),
        Suite("prefill-h100", "prefill attention, H100", "attention", "h100", _attention("prefill", "bf16"), Bound(0.09, 0.03, 0.18)),
        Suite("decode-a100", "decode attention, A100", "attention", "a100", _attention("decode", "bf16"), Bound(0.10, 0.03, 0.20)),
        Suite("decode-h100", "decode attention, H100", "attention", "h100", _attention("decode", "bf16"), Bound(0.09, 0.03, 0.20)),
        Suite("decode-fp8kv-h100", "decode attention, fp8 cache, H100", "attention", "h100", _attention("decode", "fp8"), Bound(0.13)),
        Suite("prefill-fp8kv-h100", "prefill attention, fp8 cache, H100", "attention", "h100", _attention("prefill", "fp8"), Bound(0.18)),
        Suite("collectives-a100", "NCCL inside a server, A100", "collective", "a100", lambda r: True, Bound(0.08, 0.02, 0.16)),
        Suite("collectives-h100", "NCCL inside a server, H100", "collective", "h100", lambda r: True, Bound(0.08, 0.02, 0.16)),
        Suite("all-reduce-a100", "NCCL all-reduce on eight A100", "collective", "a100", _reduced_on_eight, Bound(0.07), 21),
        Suite("all-reduce-h100", "NCCL all-reduce on eight H100", "collective", "h100", _reduced_on_eight, Bound(0.07), 21),
        Suite("power-h200", "board power, kernels above 50 us, H200", "power", "h200", lambda r: r.seconds > LONG_S, Bound(0.10)),
        Suite(
            "power-cap-h200", "board power, rows at the cap, H200", "power", "h200",
            lambda r: bool(r.limit_w) and r.measured >= AT_CAP * r.limit_w, Bound(0.04),
        ),
        Suite("power-all-h200", "board power, all rows, H200", "power", "h200", lambda r: True, Bound(0.27)),
        *(Suite(f"latency-{c}", f"pointer chase by footprint, {t}", "memory-time", c, _probes("chase"), PLATEAU) for c, t in MEASURED),
        *(Suite(f"bandwidth-{c}", f"reads by footprint, {t}", "memory-rate", c, _beside_mall, Bound(0.08, p90=0.12)) for c, t in MEASURED),
        Suite("bandwidth-mall-mi300x", "reads of what the 256 MiB cache holds, MI300X", "memory-rate", "mi300x", _in_mall, Bound(0.10)),
        Suite("dma-b200", "TMA by bytes in flight, B200", "memory-rate", "b200", _probes("window"), PLATEAU),
        Suite("dma-trainium2", "DMA of a NeuronCore, Trainium2", "memory-time", "trainium2", _probes("block", "start", "issue"), PLATEAU),
        Suite("dma-rate-trainium2", "sustained DMA, Trainium2", "memory-rate", "trainium2", _probes("partitions"), PLATEAU),
        Suite("instruction-b200", "matrix instructions of one SM, B200", "instruction", "b200", lambda r: True, Bound(0.03), 96),
        Suite("instruction-trainium1", "matrix instructions of a NeuronCore, Trainium1", "instruction", "trainium1", lambda r: True,
              Bound(0.0), 180),
    )
}  # fmt: skip


def chosen(names: Iterable[str] = (), chips: Iterable[str] = ()) -> list[Suite]:
    """The suites of these names on these chips; all, where nothing is said."""
    wanted, on = list(names) or list(SUITES), set(chips)
    for name in wanted:
        if name not in SUITES:
            raise EmuError(f"no suite is named {name[:80]!r}; {did_you_mean(name, SUITES)}")
    have = {s.chip for s in SUITES.values()}
    for chip in sorted(on - have):
        raise EmuError(f"no suite has measurements of {chip[:80]!r}; {did_you_mean(chip, have)}")
    found = [SUITES[name] for name in dict.fromkeys(wanted) if not on or SUITES[name].chip in on]
    if not found:
        raise EmuError(f"none of {', '.join(wanted)} is on {', '.join(sorted(on))}")
    return found


def packaged(suite: Suite) -> list[Row]:
    """The suite's rows that come with emu."""
    return suite.rows(read(DATA / f"{suite.name}.csv"))


def drawn(suite: Suite, rows: Iterable[Row]) -> list[Row]:
    """The rows to package of full tables."""
    return sample(suite.rows(rows), suite.count)
