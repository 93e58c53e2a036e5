"""Does the mapper move as little as the best blocking that can be tried by hand, and never less than is possible?"""

from __future__ import annotations

from itertools import permutations, product
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.errors import CapacityError, UnsupportedError
from emu.mapper.traffic import Blocking, least_traffic, traffic

OPERANDS = {"a": "mk", "b": "kn", "c": "mn"}


def walked(extent, tile, order):
    """Elements moved, counted by walking through all tiles with one tile of each operand in the fast memory."""
    trips = {d: ceil(extent[d] / tile[d]) for d in "mnk"}
    size = {d: [min(tile[d], extent[d] - j * tile[d]) for j in range(trips[d])] for d in "mnk"}
    held, begun, moved = {}, set(), 0
    for step in product(*(range(trips[d]) for d in order)):
        at = dict(zip(order, step))
        for operand, dims in OPERANDS.items():
            mine = tuple(at[d] for d in dims)
            if held.get(operand) == mine:
                continue
            elements = size[dims[0]][mine[0]] * size[dims[1]][mine[1]]
            if operand == "c":
                moved += elements * (2 if mine in begun else 1)  # in, if it was begun before, and out when another one takes its place
                begun.add(mine)
            else:
                moved += elements
            held[operand] = mine
    return moved


def test_the_known_point():
    """4096^3 with 16 MiB of 2-byte elements: 83.9 M elements by exhaustive search, floor 50.3 M."""
    found = traffic(4096, 4096, 4096, 8 << 20)
    assert found.elements <= 83.9e6
    assert found.elements == walked({d: 4096 for d in "mnk"}, {"m": found.tile_m, "n": found.tile_n, "k": found.tile_k}, found.order)
    assert least_traffic(4096, 4096, 4096, 8 << 20) == 3 * 4096**2


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 14), st.integers(1, 14), st.integers(1, 14), st.integers(3, 300))
def test_no_blocking_moves_less(m, n, k, storage):
    """Every size of tile in every order, walked through."""
    found, extent = traffic(m, n, k, storage), {"m": m, "n": n, "k": k}
    own = {"m": found.tile_m, "n": found.tile_n, "k": found.tile_k}
    assert own["m"] * own["k"] + own["k"] * own["n"] + own["m"] * own["n"] <= storage
    assert found.elements == walked(extent, own, found.order)
    sizes = [{ceil(e / p) for p in range(1, e + 1)} for e in (m, n, k)]
    for tile_m, tile_n, tile_k in product(*sizes):
        if tile_m * tile_k + tile_k * tile_n + tile_m * tile_n <= storage:
            tile = {"m": tile_m, "n": tile_n, "k": tile_k}
            assert all(found.elements <= walked(extent, tile, "".join(order)) for order in permutations("mnk")), tile


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 5000), st.integers(3, 1 << 24))
def test_never_below_the_bound(m, n, k, storage):
    assert traffic(m, n, k, storage).elements >= least_traffic(m, n, k, storage)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 3000), st.integers(3, 1 << 22), st.integers(0, 1 << 20))
def test_more_memory_never_moves_more_and_the_transpose_as_much(m, n, k, storage, more):
    found = traffic(m, n, k, storage)
    assert traffic(m, n, k, storage + more).elements <= found.elements
    assert traffic(n, m, k, storage).elements == found.elements


def test_everything_fits_or_nothing_does():
    assert traffic(30, 40, 50, 30 * 40 + 40 * 50 + 30 * 50).elements == 30 * 40 + 40 * 50 + 30 * 50
    assert isinstance(traffic(5, 5, 5, 3), Blocking)
    with pytest.raises(CapacityError, match="holds no tile"):
        traffic(5, 5, 5, 2)
    with pytest.raises(UnsupportedError, match="expected 1 to"):
        traffic(0, 5, 5, 100)
