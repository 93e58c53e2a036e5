"""Do collectives give the sums and orders they state, the same bits on every chip, whatever the algorithm, links and sizes?"""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from chips_programs import CHIP, GBPS, NS, WIRES
from hypothesis import given, settings
from hypothesis import strategies as st

import emu
from emu.kernels.collectives import ALGORITHMS, Collective, Wiring, collective_program
from emu.machine.fabric import Fabric
from isa.oracle import run as oracle

DTYPES = {"fp32": np.float32, "bf16": ml_dtypes.bfloat16, "fp16": np.float16}
PAIRS = [(op, algorithm) for op, made in ALGORITHMS.items() for algorithm in made]


def fabric(kind: str, chips: int, dims: tuple[int, ...]) -> Fabric:
    torus = {"dims": dims, "wraps": (True,) * len(dims)} if kind == "torus" else {}
    return Fabric(chips, kind, 8 * GBPS, 500 * NS, in_switch=kind == "switch", wires=WIRES, **torus)  # type: ignore[arg-type]


@st.composite
def collectives(draw: st.DrawFn) -> tuple[Collective, Fabric]:
    """Any collective that its links can carry, with sizes that divide badly."""
    op, algorithm = draw(st.sampled_from(PAIRS))
    dims = draw(st.sampled_from([(2,), (3,), (4,), (5,), (8,), (2, 2), (3, 2), (2, 2, 2)]))
    chips = math.prod(dims)
    if algorithm == "halving":
        chips = draw(st.sampled_from([2, 4, 8]))
        dims = (chips,)
    kind = {"torus": "torus", "switch": "switch"}.get(algorithm) or draw(st.sampled_from(["switch", "mesh", "torus"]))
    cores, queues = draw(st.sampled_from([(1, 1), (2, 1), (1, 4), (3, 2), (2, 4)]))
    two = cores * queues % 2 == 0
    wiring = Wiring(
        cores, queues, draw(st.integers(1, 60)), draw(st.sampled_from(["simple", "ll", "ll128"])), draw(st.booleans()),
        two and draw(st.booleans()), two and algorithm == "ring" and op == "all_gather" and draw(st.booleans()),
    )
    if wiring.shortest:
        wiring = Wiring(cores, queues, wiring.chunk, wiring.protocol, False, False, True)
    counts: tuple[tuple[int, ...], ...] = ()
    if op == "all_to_all" and draw(st.booleans()):
        row = st.lists(st.integers(0, 30), min_size=chips, max_size=chips).map(tuple)
        counts = tuple(draw(st.lists(row, min_size=chips, max_size=chips)))
        if not all(map(sum, counts)) or not all(map(sum, zip(*counts))):
            counts = tuple(tuple(n + 1 for n in row) for row in counts)
    root = draw(st.integers(0, chips - 1))
    c = Collective(
        op, chips, chips * draw(st.integers(1, 90)), draw(st.sampled_from(sorted(DTYPES))), algorithm, wiring, counts, root,
        (root + draw(st.integers(1, chips - 1))) % chips, dims,
    )
    return c, fabric(kind, chips, dims)


def given_to(c: Collective, whole: bool, seed: int = 0) -> np.ndarray:
    """x of every chip; small whole numbers add up exactly in any order."""
    shape = next(b.shape for b in collective_program(CHIP, c).buffers if b.name == "x")
    rng = np.random.default_rng(seed)
    x = rng.integers(-8, 9, (c.chips, *shape)) if whole else rng.normal(size=(c.chips, *shape))
    return x.astype(DTYPES[c.fmt])


def meaning(c: Collective, x: np.ndarray) -> np.ndarray:
    """What the collective is, in one line each."""
    n, rows = c.chips, x.reshape(c.chips, -1).astype(np.float64)
    if c.op == "all_reduce":
        return np.stack([rows.sum(0)] * n)
    if c.op == "all_gather":
        return np.stack([rows.reshape(-1)] * n)
    if c.op == "reduce_scatter":
        return rows.sum(0).reshape(n, -1)
    if c.op == "broadcast":
        return np.stack([rows[c.root]] * n)
    if c.op == "send_recv":
        return np.stack([rows[c.root] if chip == c.target else 0 * rows[0] for chip in range(n)])
    counts = c.counts or ((c.shard,) * n,) * n
    parts = [np.split(row[: sum(size)], np.cumsum(size)[:-1]) for row, size in zip(rows, counts)]
    received = [np.concatenate([parts[a][b] for a in range(n)]) for b in range(n)]
    longest = max(map(len, received))
    return np.stack([np.pad(r, (0, longest - len(r))) for r in received])


@given(collectives())
@settings(max_examples=120, deadline=None)
def test_every_collective_means_what_it_is_called(case):
    """Also: no race, no deadlock, no byte more or less on the links than is counted, the same time without values."""
    c, links = case
    program = collective_program(CHIP, c).check()
    x = given_to(c, True)
    machine = emu.Machine(CHIP, check=True, fabric=links)
    run = machine.run(program, {"x": x}, order_seed=c.elements)
    y = run.outputs["y"].reshape(c.chips, -1)
    assert (y.astype(np.float64) == meaning(c, x)).all()
    assert sum(run.raw["links"]) == run.counters["link_bytes"]
    assert max(run.raw["links"]) <= 8e9 * run.seconds, "no link carries more than it can"
    timed = machine.run(program, values=False, check=False)
    assert (timed.end_fs, timed.counters) == (run.end_fs, run.counters)


SUMS = st.sampled_from([algorithm for op, algorithm in PAIRS if op == "all_reduce"])


@given(SUMS, st.sampled_from([2, 4, 8]), st.sampled_from(sorted(DTYPES)), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_sums_are_the_same_bits_on_every_chip(algorithm, chips, fmt, seed):
    c = Collective("all_reduce", chips, chips * 37, fmt, algorithm, Wiring(2, 1, 16), dims=(chips,))
    x = given_to(c, False, seed)
    links = fabric("torus" if algorithm == "torus" else "switch", chips, (chips,))
    y = emu.Machine(CHIP, fabric=links).run(collective_program(CHIP, c), {"x": x}).outputs["y"]
    bits = y.view(np.uint8).reshape(chips, -1)
    assert (bits == bits[0]).all()
    size = {"fp32": 2e-6, "fp16": 4e-3, "bf16": 4e-2}[fmt]
    exact = x.reshape(chips, -1).astype(np.float64).sum(0)
    assert np.allclose(y[0].reshape(-1).astype(np.float64), exact, atol=size * np.abs(x.astype(np.float64)).sum(0).max())


def _rounded(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a.astype(np.float32) + b.astype(np.float32)).astype(a.dtype)


@pytest.mark.parametrize("fmt", sorted(DTYPES))
def test_a_ring_adds_from_the_one_behind_the_owner_on_and_the_owner_last(fmt):
    n = 5
    c = Collective("all_reduce", n, n * 21, fmt, "ring", Wiring(1, 1, 8))
    x = given_to(c, False)
    y = emu.Machine(CHIP, fabric=fabric("switch", n, ())).run(collective_program(CHIP, c), {"x": x}).outputs["y"]
    for owner in range(n):
        total = x[(owner + 1) % n, owner]
        for step in range(2, n + 1):
            total = _rounded(total, x[(owner + step) % n, owner])
        assert (y[:, owner].view(np.uint8) == total.view(np.uint8)).all()


@pytest.mark.parametrize(("op", "algorithm"), [("all_reduce", "switch"), ("all_reduce", "direct"), ("reduce_scatter", "direct")])
@pytest.mark.parametrize("fmt", sorted(DTYPES))
def test_the_switch_and_direct_transfers_add_in_the_order_of_chips_and_round_once(op, algorithm, fmt):
    n = 4
    c = Collective(op, n, n * 21, fmt, algorithm, Wiring(2, 1, 16))
    x = given_to(c, False)
    y = emu.Machine(CHIP, fabric=fabric("switch", n, ())).run(collective_program(CHIP, c), {"x": x}).outputs["y"]
    total = x[0].reshape(-1).astype(np.float32)
    for chip in range(1, n):
        total = total + x[chip].reshape(-1).astype(np.float32)
    want = total.astype(DTYPES[fmt])
    got = y.reshape(n, -1) if op == "all_reduce" else y.reshape(1, -1)
    assert (got.view(np.uint8) == want.view(np.uint8)).all()


@pytest.mark.parametrize(("op", "algorithm"), PAIRS)
def test_the_oracle_agrees_on_every_bit(op, algorithm):
    c = Collective(op, 4, 4 * 13, "bf16", algorithm, Wiring(2, 1, 16), dims=(2, 2))
    x = given_to(c, False)
    program = collective_program(CHIP, c)
    got = emu.Machine(CHIP, fabric=fabric("torus" if algorithm == "torus" else "switch", 4, (2, 2))).run(program, {"x": x}).outputs["y"]
    want = oracle(program, {"x": x}, seed=7, partial_outputs=True)["y"]
    assert (got.view(np.uint8) == want.view(np.uint8)).all()


@given(collectives())
@settings(max_examples=60, deadline=None)
def test_one_of_equal_chips_takes_the_time_of_all(case):
    c, links = case
    machine, program = emu.Machine(CHIP, fabric=links), collective_program(CHIP, c)
    every, one = (machine.run(program, values=False, folding=folding) for folding in (False, True))
    for name in ("end_fs", "counters", "links", "stalls", "root_stalls", "label_stalls", "instructions"):
        assert every.raw[name] == one.raw[name], name


def test_chips_are_folded_where_they_are_alike_and_only_there():
    from emu.machine.chipfold import chip_folding
    from emu.machine.image import Image

    def folds(op: str, algorithm: str, kind: str, dims: tuple[int, ...] = (8,)) -> bool:
        c = Collective(op, 8, 8 * 32, "bf16", algorithm, Wiring(2, 1, 16), dims=dims)
        return chip_folding(Image.of(collective_program(CHIP, c)).packed, fabric(kind, 8, dims)) is not None

    assert all(folds("all_reduce", a, "switch") for a in ("ring", "direct", "switch", "halving"))
    assert folds("all_gather", "torus", "torus", (2, 2, 2)) and folds("all_to_all", "direct", "mesh")
    assert not folds("all_reduce", "tree", "switch") and not folds("broadcast", "tree", "switch"), "a root is unlike the others"
    assert not folds("all_reduce", "halving", "torus"), "a torus looks another way from a partner's place"
    line = Fabric(8, "torus", 8 * GBPS, 500 * NS, (8,), (False,))
    c = Collective("all_gather", 8, 64, "bf16", "ring", Wiring(2, 1, 16))
    assert chip_folding(Image.of(collective_program(CHIP, c)).packed, line) is None, "the ends of a line are unlike its middle"


def test_a_thousand_chips_in_a_domain():
    """Folded: one chip of 1,024; a ring's every round is there, in time and in bytes."""
    c = Collective("all_gather", 1024, 1024 * 64, "bf16", "ring", Wiring(1, 1, 64))
    links = fabric("switch", 1024, ())
    run = emu.Machine(CHIP, fabric=links).run(collective_program(CHIP, c), values=False, folding=True, verify=False)
    assert run.counters["link_bytes"] == 2 * 1024 * 1023 * 128
    assert run.seconds >= 1023 * (500e-9 + 128 / 8e9)


def test_what_cannot_be_is_refused_by_name():
    for change, says in (
        ({"op": "all_redcue"}, "did you mean 'all_reduce'"), ({"algorithm": "rign"}, "did you mean 'ring'"),
        ({"chips": 1, "elements": 1}, "two chips"),
        ({"elements": 33}, "multiple"), ({"algorithm": "halving", "chips": 6, "elements": 36}, "power of two"),
        ({"wiring": Wiring(1, 1, 8, both=True)}, "even number of lanes"),
    ):  # fmt: skip
        c = Collective(**{"op": "all_reduce", "chips": 4, "elements": 32, **change})  # type: ignore[arg-type]
        with pytest.raises(emu.EmuError, match=says):
            collective_program(CHIP, c)
