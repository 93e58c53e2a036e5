"""Does every flit arrive, once, over the links that its route says, and at the clock that the routers' stages add up to?"""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noc_support import Sent, alone_in_shallow_buffers, check_all, note, note_sum, routers, send_random, topologies, zero_load

from emu.errors import CapacityError, EmuError, UnsupportedError
from emu.machine.noc import Network, Router
from emu.machine.noc_traffic import PATTERNS, all_to_all, random_traffic
from emu.machine.topology import Topology, crossbar, hierarchical, mesh, ring, topology, torus

KINDS = [mesh(4, 4), mesh(7, 1), torus(4, 4), torus(5, 3), torus(2, 4), ring(9), crossbar(12), hierarchical(4, 4), hierarchical(3, 6, 2)]
IDS = [t.name + (f" p{t.ports}" if "hier" in t.name else "") for t in KINDS]


@given(topologies(), routers, st.data())
@settings(max_examples=150, deadline=None)
def test_everything_arrives_once_in_order_over_its_route(shape: Topology, router: Router, data: st.DataObject) -> None:
    net = Network(shape, router)
    sent = send_random(net, data)
    found = []
    while net.pending:
        net.advance(net.now + data.draw(st.sampled_from([1, 5, 50])))
        net.audit()
        assert net.now < 100_000
        found.append(net.deliveries())
    check_all(net, sent, np.concatenate(found))


@given(topologies(), routers, st.data())
@settings(max_examples=60, deadline=None)
def test_alone_a_packet_takes_what_the_stages_add_up_to(shape: Topology, router: Router, data: st.DataObject) -> None:
    """Buffers as deep as the credit's way round, so that a lone packet never waits for a place."""
    deep = Router(**{**vars(router), "depth": 32})
    net = Network(shape, deep)
    node = st.integers(0, shape.nodes - 1)
    src, dst, flits, time = data.draw(node), data.draw(node), data.draw(st.integers(1, 20)), data.draw(st.integers(0, 1000))
    net.inject(src, dst, flits, time)
    net.drain()
    (row,) = net.deliveries()
    assert row["arrived"] == row["delivered"] == time + zero_load(net, src, dst, flits)


@given(topologies(), routers, st.data())
@settings(max_examples=60, deadline=None)
def test_alone_in_shallow_buffers_a_flit_waits_for_its_credit_and_no_longer(shape: Topology, router: Router, data: st.DataObject) -> None:
    net = Network(shape, router)
    node = st.integers(0, shape.nodes - 1)
    src, dst, flits = data.draw(node), data.draw(node), data.draw(st.integers(1, 60))
    net.inject(src, dst, flits, 0)
    net.drain()
    (row,) = net.deliveries()
    assert row["arrived"] == alone_in_shallow_buffers(net, src, dst, flits)


@given(topologies(), routers, st.data())
@settings(max_examples=30, deadline=None)
def test_packets_may_be_injected_when_their_time_comes(shape: Topology, router: Router, data: st.DataObject) -> None:
    """As an engine does that learns of a transfer only then."""
    traffic = random_traffic("uniform", shape.nodes, 0.2, 60, 3, data.draw(st.integers(0, 99)))
    before, then = Network(shape, router), Network(shape, router)
    before.inject_many(traffic.time, traffic.src, traffic.dst, 3)
    for time, src, dst in zip(traffic.time.tolist(), traffic.src.tolist(), traffic.dst.tolist()):
        then.advance(time)
        then.inject(src, dst, 3, time)
    for net in (before, then):
        net.drain()
    assert np.array_equal(before.deliveries(), then.deliveries())


@given(topologies(), routers, st.data())
@settings(max_examples=40, deadline=None)
def test_alone_copies_arrive_as_single_packets_would(shape: Topology, router: Router, data: st.DataObject) -> None:
    net = Network(shape, Router(**{**vars(router), "depth": 32}))
    nodes = st.integers(0, shape.nodes - 1)
    src, dst, flits = data.draw(nodes), data.draw(st.sets(nodes, min_size=1)), data.draw(st.integers(1, 20))
    net.inject(src, sorted(dst), flits, 0)
    net.drain()
    assert {int(n): int(a) for _, n, a, _ in net.deliveries()} == {d: zero_load(net, src, d, flits) for d in dst}


@given(topologies(), routers, st.data())
@settings(max_examples=40, deadline=None)
def test_a_sum_is_there_no_sooner_than_its_last_contribution_could_be(shape: Topology, router: Router, data: st.DataObject) -> None:
    net = Network(shape, Router(**{**vars(router), "depth": 32}))
    nodes = st.integers(0, shape.nodes - 1)
    sources, dst, flits = sorted(data.draw(st.sets(nodes, min_size=1))), data.draw(nodes), data.draw(st.integers(1, 20))
    times = [data.draw(st.integers(0, 100)) for _ in sources]
    net.reduce(sources, dst, flits, times)
    net.drain()
    (row,) = net.deliveries()
    alone = max(t + zero_load(net, s, dst, flits) for s, t in zip(sources, times))
    assert row["arrived"] == alone if len(sources) == 1 else row["arrived"] >= alone


@given(topologies(), routers, st.data())
@settings(max_examples=40, deadline=None)
def test_the_same_run_twice_and_in_pieces(shape: Topology, router: Router, data: st.DataObject) -> None:
    traffic = random_traffic("uniform", shape.nodes, 0.3, 60, seed=data.draw(st.integers(0, 99)))
    whole, pieces = Network(shape, router), Network(shape, router)
    for net in (whole, pieces):
        net.inject_many(traffic.time, traffic.src, traffic.dst, 1)
    whole.advance(5000)
    steps = itertools.cycle(data.draw(st.lists(st.integers(1, 300), min_size=1, max_size=5)))
    while pieces.now < 5000:
        pieces.advance(min(pieces.now + next(steps), 5000))
    assert np.array_equal(whole.deliveries(), pieces.deliveries())


@given(st.integers(0, 2**20), st.data())
@settings(max_examples=30, deadline=None)
def test_idle_clocks_are_skipped_and_change_nothing(later: int, data: st.DataObject) -> None:
    near, far = Network(mesh(4, 4)), Network(mesh(4, 4))
    traffic = random_traffic("uniform", 16, 0.2, 30, 3, data.draw(st.integers(0, 99)))
    shift = 8 * (later + 1)  # the turn of channels goes with the clock
    near.inject_many(traffic.time, traffic.src, traffic.dst, 3)
    far.inject_many(traffic.time + shift, traffic.src, traffic.dst, 3)
    for net in (near, far):
        net.drain()
    a, b = near.deliveries(), far.deliveries()
    assert np.array_equal(a["arrived"] + shift, b["arrived"]) and near.clocks == far.clocks < 2000


@pytest.mark.parametrize("shape", KINDS, ids=IDS)
@pytest.mark.parametrize("router", [Router(2, 1), Router(2, 4, 0), Router()], ids=["narrow", "shallow", "usual"])
def test_no_deadlock_when_every_node_sends_all_the_time(shape: Topology, router: Router) -> None:
    """Packets longer than a buffer, copies and sums, far beyond what the network takes."""
    net, sent, rng = Network(shape, router), Sent(), np.random.default_rng(3)
    nodes = shape.nodes
    for clock in range(6):
        for src in rng.permutation(nodes).tolist():
            note(net, sent, src, [int(rng.integers(nodes))], int(rng.integers(1, 9)), clock)
            several = sorted(rng.choice(nodes, min(nodes, 5), replace=False).tolist())
            note(net, sent, src, several, int(rng.integers(1, router.depth + 1)), clock)
        note_sum(net, sent, sorted(rng.choice(nodes, min(nodes, 7), replace=False).tolist()), int(rng.integers(nodes)), 3, clock)
    net.drain(200_000)
    check_all(net, sent, net.deliveries())


@pytest.mark.parametrize("shape", [*KINDS, torus(4, 1), torus(3, 3), ring(3), ring(4)], ids=lambda t: t.name)
def test_routes_arrive_are_minimal_and_free_of_cycles(shape: Topology) -> None:
    assert shape.cycle() == []
    hops = {dst: {dst_router: 0} for dst in range(shape.nodes) for dst_router in [int(shape.attach[dst][0])]}
    back: dict[int, list[int]] = {}
    for r, _, r2, *_ in shape.links.tolist():
        back.setdefault(r2, []).append(r)
    for dst, far in hops.items():
        wave = list(far)
        for r in wave:
            for q in back.get(r, []):
                if q not in far:
                    far[q] = far[r] + 1
                    wave.append(q)
        for src in range(shape.nodes):
            assert len(shape.path(src, dst)) == far[int(shape.attach[src][0])] + 1


def test_a_ring_without_second_channels_has_a_cycle_and_stops() -> None:
    whole = ring(5)
    links = whole.links * np.array([1, 1, 1, 1, 1, 1, 0], np.int32)  # no link closes the ring
    bad = Topology("bad ring", whole.routers, whole.ports, links, whole.attach, whole.route, whole.closes)
    assert bad.cycle()
    net = Network(bad, Router(vcs=1, depth=1))
    for src in range(5):
        net.inject(src, (src + 2) % 5, 20, 0)
    with pytest.raises(EmuError, match="deadlock: packets wait for each other"):
        net.drain()


@pytest.mark.parametrize("over", [0, 1])
def test_copies_lock_up_just_where_a_packet_does_not_fit_into_a_buffer(over: int) -> None:
    """Which is why `inject` refuses it; here the core is asked directly."""
    net, rng = Network(mesh(4, 4), Router(vcs=1, depth=2)), np.random.default_rng(0)
    for clock, src in np.ndindex(20, 16):
        net._net.inject(clock, src, np.sort(rng.choice(16, 4, replace=False)).astype(np.int32), 2 + over)
    if over:
        with pytest.raises(EmuError, match="deadlock"):
            net.drain()
    else:
        net.drain(100_000)
        assert not net.pending


@pytest.mark.parametrize("shape", [mesh(8, 4), torus(8, 4), ring(32), crossbar(32), hierarchical(4, 8, 2)], ids=lambda t: t.name)
def test_a_chip_of_32_cores_moves_exactly_the_bytes_of_its_routes(shape: Topology) -> None:
    """An all-to-all of 512 bytes a pair, and a multicast of as much from every fourth core to all others; flits of 64 bytes."""
    net, sent, exchange = Network(shape), Sent(), all_to_all(32)
    for src, dst in zip(exchange.src.tolist(), exchange.dst.tolist()):
        note(net, sent, src, [dst], 8, 0)
    for src in range(0, 32, 4):
        note(net, sent, src, [d for d in range(32) if d != src], 8, 0)
    net.drain()
    check_all(net, sent, net.deliveries())
    over, injected = net.flits()
    nodes = shape.attach[:, 0], shape.attach[:, 1]
    assert 64 * int(over[nodes].sum()) == 32 * 31 * 512 + 8 * 31 * 512  # what came out
    assert 64 * int(injected.sum()) == 32 * 31 * 512 + 8 * 512  # what went in: a multicast once


def test_random_traffic_is_what_it_says() -> None:
    for pattern in PATTERNS:
        t = random_traffic(pattern, 64, 0.25, 2000, 5, seed=4)
        again = random_traffic(pattern, 64, 0.25, 2000, 5, seed=4)
        assert all(np.array_equal(a, b) for a, b in zip(vars(t).values(), vars(again).values()))
        assert abs(len(t.time) * 5 / 64 / 2000 - 0.25) < 0.02
    hot = random_traffic("hotspot", 64, 0.25, 2000, seed=4)
    assert 0.19 < np.mean(hot.dst == 0) < 0.24
    assert np.array_equal(random_traffic("transpose", 4, 1, 1).dst, [0, 2, 1, 3])


def test_what_a_network_cannot_do_it_refuses_by_name() -> None:
    net = Network(mesh(2, 2))
    for call, text in [
        (lambda: net.inject(0, 4, 1, 0), "mesh 2x2: there is no node 4; expected 0 to 3"),
        (lambda: net.inject(0, 1, 0, 0), "a packet of 0 flits; expected 1 to 65535"),
        (lambda: net.inject(0, [1, 2], 9, 0), "a multicast packet of 9 flits must fit into a buffer of 8"),
        (lambda: net.inject(0, [1, 1], 1, 0), "expected at least one, and each once"),
        (lambda: net.reduce([], 1, 1, 0), "expected at least one, and each once"),
        (lambda: Network(ring(4), Router(vcs=1)), "ring 4: rings need at least 2 virtual channels, vcs is 1"),
        (lambda: Network(mesh(2, 2), Router(depth=0)), "router: depth = 0; expected 1 to 256"),
        (lambda: topology("tours", 4, 4), "did you mean 'torus'?"),
        (lambda: crossbar(64), "crossbar of 64 nodes: a router has at most 63 ports"),
        (lambda: random_traffic("unifrom", 4, 0.1, 1), "did you mean 'uniform'?"),
    ]:  # fmt: skip
        with pytest.raises(UnsupportedError, match=re.escape(text)):
            call()
    net.inject(0, 1, 1, 50)
    with pytest.raises(UnsupportedError, match="in the order of their times"):
        net.inject(0, 1, 1, 49)
    net.advance(60)
    with pytest.raises(UnsupportedError, match="in the order of their times"):
        net.reduce([1, 2], 3, 1, 59)
    few = Network(mesh(2, 2), Router(adders=1))
    few.reduce([1, 2], 3, 1, 0)
    with pytest.raises(CapacityError, match="no adder left"):
        few.reduce([1, 2], 3, 1, 0)
    few.drain()
    few.reduce([1, 2], 3, 1, few.now)
    few.drain()
    assert len(few.deliveries()) == 2
