"""Does an 8 x 8 mesh with the peer's parameters (docs/noc.md) have the peer's latency, and saturate where it must?"""

from __future__ import annotations

import pytest

from emu.machine.noc import Router
from emu.machine.noc_traffic import measure, saturation, zero_load_cycles
from emu.machine.topology import mesh

MESH, ROUTER = mesh(8, 8), Router(vcs=8, depth=8, credit_delay=2)
BOOKSIM = {0.01: 26.85, 0.10: 27.20, 0.20: 27.81, 0.30: 29.27}
"""BookSim2, dimension-ordered 8 x 8 mesh, 8 VCs x 8 flits, uniform random, one flit a packet: flits per node and cycle -> mean latency."""


@pytest.mark.parametrize("rate", BOOKSIM)
def test_latency_of_a_mesh_is_the_peers_within_5_percent(rate: float) -> None:
    load = measure(MESH, ROUTER, "uniform", rate, clocks=30_000 if rate < 0.05 else 5_000)
    assert load.latency_cycles == pytest.approx(BOOKSIM[rate], rel=0.05)
    assert load.accepted == pytest.approx(rate, rel=0.05)


def test_a_mesh_saturates_where_the_peer_does() -> None:
    assert zero_load_cycles(MESH, ROUTER) == 6.25 * 4 + 2  # a hop is VA, SA, switch, link; and both ends
    assert 0.38 <= saturation(MESH, ROUTER) <= 0.46


def test_beyond_saturation_a_network_takes_no_more_than_its_middle_lets_through() -> None:
    """Half of uniform traffic crosses the middle of a mesh of 8 x 8: 8 links each way for 64 nodes, so at most 0.5."""
    taken = measure(MESH, ROUTER, "uniform", 0.9, clocks=3_000).accepted
    assert 0.35 < taken <= 0.5
