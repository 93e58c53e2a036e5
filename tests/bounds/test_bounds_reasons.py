"""Is a planted bottleneck named, as direct or root cause, with more than 95 % of the waiting time?"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import emu
import isa

sys.path.append(str(Path(__file__).parents[1] / "timing"))
from timing_programs import pipeline  # noqa: E402

TINY = emu.chip("tiny")


def waiting(program: isa.Program, stream: str, root: bool, core: int = 0, **changes) -> dict[str, float]:
    """Shares of a stream's waiting time between its first work and its last, by cause."""
    r = emu.Machine(TINY.vary(changes)).run(program, values=False)
    row = r.stalls_fs("root_stalls" if root else "stalls")[core, stream]
    row = {cause: fs for cause, fs in row.items() if cause not in ("busy", "not_started", "finished") and fs}
    total = sum(row.values())
    return {cause: fs / total for cause, fs in row.items()}


def tiles(**sizes) -> isa.Program:
    return pipeline(**({"tiles": 120, "width": 8, "depth": 2, "rows": 64, "reps": 1, "cores": 1, "vec": "vmov"} | sizes))


def ports(**wide: int) -> list[dict[str, str]]:
    """The chip's ports, with another width for the matrix engine's reads of sram."""
    result = []
    for p in TINY.core.ports:
        row = {"engine": p.engine, "space": p.space}
        for access in ("read", "write"):
            if width := TINY.core.port_bytes_per_clk(p.engine, p.space, access):
                row[access] = f"{wide[access] if (p.engine, p.space) == ('mm', 'sram') else width} B/clk"
        result.append(row)
    return result


PLANTED = {
    "matrix": (tiles(reps=15), {"hbm.bandwidth": "1 TB/s", "core.dma.bandwidth": "512 B/clk"}, ["vec", "ld0"]),
    "vector": (tiles(vec="vexp"), {"core.vector.per_clk.exp": 0.125}, ["mm", "st0", "ld0"]),
    "dram_bandwidth": (tiles(), {"hbm.bandwidth": "1 GB/s"}, ["mm", "vec"]),
    "dram_latency": (tiles(depth=1), {"hbm.latency": "10 us"}, ["mm", "vec"]),
    "port": (tiles(), {"core.dma.bandwidth": "1 B/clk"}, ["mm", "vec"]),
    "descriptor": (tiles(), {"core.dma.overhead": "2000 clk"}, ["mm", "vec"]),
    "load": (tiles(rows=1, reps=64, tiles=120, depth=3), {"core.ports": ports(read=4096)}, ["vec", "ld0"]),
}


@pytest.mark.parametrize("cause", PLANTED)
def test_the_root_cause_of_every_other_engine(cause):
    program, changes, streams = PLANTED[cause]
    for stream in streams:
        shares = waiting(program, stream, True, **changes)
        assert shares.get(cause, 0) > 0.95, (stream, shares)


def test_bytes_in_flight_bound_the_rate_by_latency():
    shares = waiting(tiles(), "mm", True, **{"hbm.latency": "4 us", "core.dma.inflight": "1 KiB"})
    assert shares["dram_latency"] > 0.95, shares


def test_loading_the_stationary_operand():
    shares = waiting(tiles(rows=1, reps=64, tiles=20, depth=3), "mm", False, **{"core.ports": ports(read=4096)})
    assert shares["load"] > 0.95, shares


def test_a_narrow_scratchpad_port():
    shares = waiting(tiles(reps=3, depth=3), "mm", False, **{"core.ports": ports(read=2)})
    assert shares["port"] > 0.95, shares
    shares = waiting(tiles(reps=3, depth=3), "st0", True, **{"core.ports": ports(read=1)})
    assert shares["port"] > 0.95, shares


def test_waiting_for_a_slower_core_at_a_barrier():
    slow = isa.Program.from_bytes(tiles(tiles=1, cores=4).to_bytes())
    slow.params[0] = (1, 1, 1, 4)
    shares = waiting(slow, "mm", False)
    assert shares["barrier"] > 0.95, shares


def test_scalar_instructions_between_the_work():
    program = isa.assemble(f"""
.program scalars
.buffer s sram 0 64 temp
.stream vec
 dset d0.space, sram
 vfill d0, d2
 loop 50, e
{chr(10).join([" nop"] * 300)}
 vfill d0, d2
e:
 halt
""")
    assert waiting(program, "vec", False)["issue"] > 0.95
    assert waiting(program, "vec", True)["issue"] > 0.95
