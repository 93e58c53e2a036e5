"""One pass of a model on the machine: run for a few layers, and for the others once the layer's period has been seen to be constant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from emu import _core
from emu.chip.schema import Chip
from emu.machine import Machine, Run, timed
from emu.machine.config import STREAMS
from emu.machine.fold import addresses_are_free
from emu.mapper import Lowered, layers_ahead, lower
from emu.mapper.lower import MERGE
from emu.models import Graph, Model

EQUAL = 3
"""Neighbouring layers that must take equal times, operation by operation, before others are said to repeat them."""
MORE = 4
"""Layers run beyond the fewest that could show it, if they did not; if these do not either, all layers are."""

Progress = Callable[[str], None] | None


@dataclass
class Sample:
    """A pass: femtoseconds, per operation femtoseconds, event counts and stalls, all of the whole model."""

    graph: Graph
    lowered: Lowered
    run: Run
    fs: int
    op_fs: dict[str, int]
    op_stalls: dict[str, dict[str, dict[str, int]]]
    counters: dict[str, int]
    period_fs: int | None
    layers_run: int
    repeated: int | None = None
    """The layer whose time stands for those that were not run."""


def inputs_for(model: Model, graph: Graph, seed: int, program_buffers: set[str]) -> dict[str, np.ndarray]:
    """Token ids drawn with the seed, and the other index inputs the program asks for."""
    from emu.models.inputs import index_inputs

    tokens = np.random.default_rng(seed).integers(0, model.config.vocab, graph.batch * graph.q_len)
    given = index_inputs(model.config, graph, tokens)
    return {name: array for name, array in given.items() if name in program_buffers}


def simulate(
    model: Model, graph: Graph, chip: Chip, choice: Mapping[str, Any], layers: int, fidelity: str, seed: int, trace: bool = False
) -> tuple[Lowered, Run]:
    """Compile `layers` layers and run them, timing only."""
    lowered = lower(graph, chip, choice, layers)
    given = inputs_for(model, graph, seed, {b.name for b in lowered.program.buffers})
    machine = Machine(chip, fidelity)
    return lowered, timed(machine, lowered.image, given, trace)


def sample(model: Model, graph: Graph, chip: Chip, choice: Mapping[str, Any], fidelity: str, seed: int) -> Sample:
    """The pass for all layers of the graph. Where no time depends on an address all of them are run, the machine itself skipping layers
    it proves equal; in `detailed` all of them, one by one. With a cache a few are run, and the steady one stands for the rest."""
    if addresses_are_free(chip) or fidelity == "detailed":  # refreshes follow no layer: none repeats another
        lowered, run = simulate(model, graph, chip, choice, graph.layers, fidelity, seed)
        return replace(_whole(graph, lowered, run), period_fs=_middle_period(lowered, run))
    ahead = layers_ahead(graph, chip, choice)
    few = 1 + EQUAL + ahead
    for layers in sorted({min(few, graph.layers), min(few + MORE, graph.layers), graph.layers}):
        lowered, run = simulate(model, graph, chip, choice, layers, fidelity, seed)
        if layers == graph.layers:
            return _whole(graph, lowered, run)
        steady = _steady(lowered, run, ahead)
        if steady is not None:
            return _extended(model, graph, chip, choice, fidelity, seed, (lowered, run, steady))
    raise AssertionError("the last number of layers is all of them")


def _per_layer(lowered: Lowered) -> int:
    labels = lowered.program.labels
    return sum((op.name in labels) + (op.name + MERGE in labels) for op in lowered.graph.layer)


def _layer_releases(lowered: Lowered, run: Run, layer: int) -> list[tuple[int, int]]:
    """(label, advance in fs) of the operations of one layer."""
    before = len(lowered.graph.pre)
    per_layer = _per_layer(lowered)
    first = before + layer * per_layer
    times = [0] + [t for t, _, _ in run.raw["releases"]]
    labels = [label for _, label, _ in run.raw["releases"]]
    return [(labels[j], times[j + 1] - times[j]) for j in range(first, first + per_layer)]


def _middle_period(lowered: Lowered, run: Run) -> int | None:
    """Time of a layer in the middle, if its neighbour takes the same."""
    middle = lowered.layers // 2
    times = [sum(fs for _, fs in _layer_releases(lowered, run, layer)) for layer in range(max(0, middle - 1), middle + 1)]
    return times[0] if len(times) == 2 and times[0] == times[1] else None


def _steady(lowered: Lowered, run: Run, ahead: int) -> int | None:
    """The last layer of the first EQUAL that take equal times. The first layer starts from an empty machine, and during the last ones the
    loaders may already be past all layers: what happens then need not happen in the middle of a longer program, so neither is repeated."""
    times = [_layer_releases(lowered, run, layer) for layer in range(lowered.layers - ahead)]
    for last in range(EQUAL, len(times)):
        if all(times[j] == times[last] for j in range(last - EQUAL + 1, last)):
            return last
    return None


def _stalls(lowered: Lowered, run: Run) -> dict[str, dict[str, dict[str, int]]]:
    """Operation -> engine stream -> cause -> femtoseconds, summed over the cores."""
    table: dict[str, dict[str, dict[str, int]]] = {}
    for name, streams in zip(lowered.program.labels, run.raw["label_stalls"]):
        table[name] = {STREAMS[s]: {c: fs for c, fs in zip(_core.CAUSE_NAMES, row) if fs} for s, row in enumerate(streams) if any(row)}
    return table


def _op_fs(lowered: Lowered, run: Run) -> dict[str, int]:
    return {lowered.program.labels[label]: fs for label, fs in run.advance_fs().items()}


def _whole(graph: Graph, lowered: Lowered, run: Run) -> Sample:
    return Sample(graph, lowered, run, run.end_fs, _op_fs(lowered, run), _stalls(lowered, run), run.counters, None, lowered.layers)


def _extended(
    model: Model, graph: Graph, chip: Chip, choice: Mapping[str, Any], fidelity: str, seed: int, seen: tuple[Lowered, Run, int]
) -> Sample:
    """The layers not run stand beside the steady one and repeat it in time; in events a layer is the difference to one layer less."""
    lowered, run, steady = seen
    more = graph.layers - lowered.layers
    _, shorter = simulate(model, graph, chip, choice, lowered.layers - 1, fidelity, seed)
    counters = {name: n + more * (n - shorter.counters[name]) for name, n in run.counters.items()}
    op_fs, period = _op_fs(lowered, run), 0
    for label, fs in _layer_releases(lowered, run, steady):
        op_fs[lowered.program.labels[label]] += more * fs
        period += fs
    stalls = _stalls(lowered, run)
    return Sample(graph, lowered, run, run.end_fs + more * period, op_fs, stalls, counters, period, lowered.layers, steady)


def layer_end_fs(s: Sample, run: Run, layer: int) -> int:
    """When a layer of the pass ends in a run of its program."""
    return int(run.raw["releases"][len(s.graph.pre) + (layer + 1) * _per_layer(s.lowered) - 1][0])
