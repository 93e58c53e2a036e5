"""`estimate`: how fast a transformer runs on a chip, what it draws, and what holds it back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emu.chip.schema import Chip
from emu.errors import CapacityError, UnsupportedError, did_you_mean
from emu.machine.config import core_config
from emu.mapper.formats import check_scheme
from emu.models import Graph, Model
from emu.models.build import cache_format
from emu.models.graph import FORMAT_BYTES
from emu.models.schemes import Scheme, scheme_of
from emu.power import Data, at_clock, expected_watts, settle
from emu.result import Result, header
from emu.study.decode import decode_phase
from emu.study.mapping import Mappings, chosen
from emu.study.phase import Phase, Weighted
from emu.study.result import assumed
from emu.study.sample import Progress, Sample, sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from emu.study.roofline import Roofline
    from emu.study.sensitivity import Sensitivity

Pass = Callable[[Graph], Sample]


class Estimate(Result):
    """Result of `estimate`: phases (prefill and decode, or encode) with their seconds, joules, watts, operations and bounds."""

    def __init__(self, model: Model, chip: Chip, asked: dict[str, Any], phases: dict[str, Phase], memory: dict[str, int]) -> None:
        self.model, self.chip, self.asked, self.phases, self.memory = model, chip, asked, phases, memory

    @property
    def ttft_s(self) -> float | None:
        """Prompt in, first token's logits out."""
        return self.phases["prefill"].seconds if "prefill" in self.phases else None

    @property
    def tpot_s(self) -> float | None:
        """Mean of the later steps; None if only one token is generated."""
        decode = self.phases.get("decode")
        return decode.seconds / decode.count if decode else None

    @property
    def tokens_per_s(self) -> float | None:
        """Of the whole batch while decoding."""
        return self.asked["batch"] / self.tpot_s if self.tpot_s else None

    @property
    def joules_per_token(self) -> float | None:
        decode = self.phases.get("decode")
        return decode.energy.joules / (decode.count * self.asked["batch"]) if decode else None

    @property
    def sequences_per_s(self) -> float | None:
        encode = self.phases.get("encode")
        return self.asked["batch"] / encode.seconds if encode else None

    @property
    def joules(self) -> float:
        return sum(p.energy.joules for p in self.phases.values())

    @property
    def seconds(self) -> float:
        return sum(p.seconds for p in self.phases.values())

    @property
    def watts(self) -> float:
        """Mean over all phases."""
        return self.joules / self.seconds

    def to_dict(self) -> dict[str, Any]:
        phases = list(self.phases.values())
        peak = self.chip.peak_flops(phases[0].graph.dtype)
        digest = phases[0].passes[0].sample.lowered.program.digest if len(phases) == 1 and len(phases[0].passes) == 1 else None
        return {
            **header("estimate", self.chip, digest, self.asked["fidelity"], self.asked["stack"], self.asked["seed"]),
            "model": self.model.name,
            "chips": 1,
            **{key: self.asked[key] for key in ("batch", "prompt", "generate", "dtype", "scales", "kv_dtype", "data", "mapping")},
            "ttft_s": self.ttft_s,
            "tpot_s": self.tpot_s,
            "tokens_per_s": self.tokens_per_s,
            "joules_per_token": self.joules_per_token,
            "sequences_per_s": self.sequences_per_s,
            "seconds": self.seconds,
            "joules": self.joules,
            "mfu": sum(p.flops for p in phases) / self.seconds / peak,
            "mbu": sum(p.mbu * p.seconds for p in phases) / self.seconds,
            "watts": self.watts,
            "phases": {name: phase.to_dict() for name, phase in self.phases.items()},
            "assumed": assumed(self.chip),
            "memory": self.memory,
        }

    @property
    def mapping(self) -> dict[str, dict[str, Any]]:
        """The tiling of every operation by phase: what `estimate(mapping=)` takes to run the same mapping again."""
        return {name: dict(phase.passes[0].sample.lowered.tilings) for name, phase in self.phases.items()}

    @property
    def call(self) -> dict[str, Any]:
        """What it was asked with, beside model, chip and mapping: `estimate(model, chip, **call)` is the same again."""
        return dict(self.asked["call"])

    def sensitivity(self, figures: Iterable[str] | None = None, step: float = 0.01, **how: Any) -> Sensitivity:
        """What 1 % more of every figure of the chip gives, with this mapping and with a new one (emu.study.sensitivity)."""
        from emu.study.sensitivity import sensitivity

        return sensitivity(self, figures, step, **how)

    def roofline(self) -> Roofline:
        """Every operation beside the chip's roofline (emu.study.roofline)."""
        from emu.study.roofline import roofline

        return roofline(self)

    def report(self, path: str | Path, question: str = "", command: str = "", sensitivity: bool = False) -> None:
        """Write one HTML file with tables, roofline, plots, a timeline that zooms, assumptions with sources and what repeats it."""
        from emu.report.document import write_report
        from emu.study.timeline import recorded

        results = [self.to_dict(), self.roofline().to_dict(), *([self.sensitivity().to_dict()] if sensitivity else [])]
        write_report(path, results, question=question, command=command or self.command(), timeline=recorded(self))

    def pictures(self) -> list[tuple[str, Figure]]:
        """Stalls, energy, the roofline, and one layer of each phase on the engines of one core."""
        from emu.report.draw import layer_timeline
        from emu.study.timeline import recorded

        t = recorded(self)
        layers = [(f"layer-{phase}", layer_timeline(self.to_dict(), t, phase)) for phase, _, _ in t.phases]
        return [*self._quick_pictures(), *layers]

    def _quick_pictures(self) -> list[tuple[str, Figure]]:
        """Those for which nothing needs to be run again."""
        return [*super().pictures(), *self.roofline().pictures()]

    def plot(self, path: str | Path, name: str = "") -> None:
        """Draw one of `pictures`; of a layer, a few layers of each phase are run again."""
        from emu.report.draw import check_ending, save
        from emu.report.pictures import named

        check_ending(path)
        save(named(self.pictures() if name.startswith("layer") else self._quick_pictures(), name), path)

    def command(self) -> str:
        """Python that asks the same again."""
        chip = f"emu.chip({self.chip.name!r})" + (f".vary({self.chip.varied!r})" if self.chip.varied else "")
        return f"emu.estimate({self.model.name!r}, {chip}, {', '.join(f'{k}={v!r}' for k, v in self.call.items())})"

    def trace(self, path: str | Path) -> int:
        """Write the timeline of each phase's first pass, a few layers of it, one marked as repeating. Returns the slices written."""
        from emu.study.timeline import write

        return write(self, path)


def _need(model: Model, chip: Chip, graph: Graph, batch: int, tokens: int) -> dict[str, int]:
    """Weights, cache and activations must fit the device memory; otherwise say what would."""
    weights, kv = graph.weight_bytes, graph.kv_bytes(batch, tokens)
    capacity = chip.hbm.capacity_bytes
    if weights + kv + graph.activation_bytes > capacity:
        hint = _what_fits(chip, graph, batch, tokens)
        raise CapacityError(
            f"{model.name} needs {weights / 1e9:.1f} GB of weights, {kv / 1e9:.1f} GB of cache and {graph.activation_bytes / 1e9:.1f} GB "
            f"of activations; {chip.name} has {capacity / 1e9:.1f} GB. {hint}"
        )
    return {"weights_bytes": weights, "kv_bytes": kv, "capacity_bytes": capacity}


def _what_fits(chip: Chip, graph: Graph, batch: int, tokens: int) -> str:
    capacity, weights = chip.hbm.capacity_bytes, graph.weight_bytes
    if weights > capacity:
        narrower = "" if FORMAT_BYTES.get(graph.scheme.weights.fmt, 0) < 2 else "; a narrower dtype (fp8) halves them"
        return f"the weights alone need {-(-weights // capacity)} such chips{narrower}"
    sequences = (capacity - weights) * batch // (graph.kv_bytes(batch, tokens) + graph.activation_bytes)
    if sequences:
        return f"a batch of about {sequences} would fit"
    return f"the weights fit; not even one sequence of {tokens} tokens beside them does: shorten the prompt, or a narrower kv_dtype"


def _check(chip: Chip, scheme: Scheme, kv_dtype: str | None, fidelity: str, stack: str, sizes: dict[str, int]) -> None:
    for name, value in sizes.items():
        if not isinstance(value, int) or value < 1:
            raise UnsupportedError(f"{name} = {value!r}: expected a whole number of at least 1")
    check_scheme(chip, scheme, scheme.wide, cache_format(scheme, kv_dtype))
    core_config(chip, 1, fidelity)
    if stack not in chip.stack:
        raise UnsupportedError(f"{chip.name} has no stack {stack!r}; {did_you_mean(stack, chip.stack)}")
    if stack != "bare":
        raise UnsupportedError(f"stack {stack!r}: only 'bare' (whole-layer programs) can be estimated so far")


def _one_chip(layout: Mapping[str, int], system: str | None) -> None:
    """Refuses by name what would take several chips."""
    for name, value in layout.items():
        if value != 1:
            raise UnsupportedError(f"{name} = {value}: models are estimated on one chip so far; emu.collective runs what chips exchange")
    if system is not None:
        raise UnsupportedError(f"system = {system!r}: models are estimated on one chip so far; emu.collective takes a system")


def estimate(
    model: Model | str, chip: Chip | str, *, system: str | None = None, chips: int = 1, tp: int | None = None, pp: int = 1, dp: int = 1,
    ep: int = 1, batch: int = 1, prompt: int = 512, generate: int = 128, dtype: str = "bf16", kv_dtype: str | None = None,
    stack: str = "bare", fidelity: str = "fast", seed: int = 0, scales: str | None = None, data: str | Mapping[str, str] = "normal",
    clock: float | str | None = None, regime: str = "steady", mapping: Mappings | None = None, progress: Progress = None,
) -> Estimate:
    """Run a transformer on one chip; `system`, `chips` and the parallel layouts are refused by name so far.

    `prompt` tokens in, `generate` tokens out, for each of `batch` sequences; an encoder takes `prompt` tokens. `dtype` is that of weights
    and activations (bf16, fp16, fp8 = e4m3, int8, mxfp8, mxfp6, mxfp4, nvfp4; mxfp4_a8, mxfp4_a16, nvfp4_a16: weights alone in four bits),
    `kv_dtype` that of the cache (None: the same, bf16 for int8 and the formats with scales of blocks). `scales` of activations: `dynamic`,
    a step in front of each product that finds one for each token; `static`, known before; None: dynamic, but `unit` for fp8, whose
    scales then cost nothing. Times come from running the compiled programs. Each phase runs at the clock that the power cap leaves it,
    unless `clock` (Hz, "1.5 GHz", "max") locks it or `regime` is "short" (emu.power.settle). `data` is the declared class of all tensors
    or of each kind (activations, weights, kv): zeros, normal or random, on which joules depend. `mapping` fixes tilings, or single fields
    of them, by phase and operation (emu.study.mapping); the mapper chooses the others.
    Raises ModelError, ChipError, CapacityError, UnsupportedError.
    """
    call = {name: value for name, value in locals().items() if name not in ("model", "chip", "mapping", "progress")}
    from emu.chip import chip as preset
    from emu.models import model as known

    model = known(model) if isinstance(model, str) else model
    chip, kinds = preset(chip) if isinstance(chip, str) else chip, Data.of(data)
    _one_chip({"chips": chips, "tp": tp or 1, "pp": pp, "dp": dp, "ep": ep}, system)
    scheme = scheme_of(dtype, scales)
    _check(chip, scheme, kv_dtype, fidelity, stack, {"batch": batch, "prompt": prompt, "generate": generate})
    asked = {
        "batch": batch, "prompt": prompt, "generate": generate, "dtype": dtype, "scales": scheme.how,
        "kv_dtype": kv_dtype or (dtype if scheme.cache == scheme.weights.fmt else scheme.cache), "stack": stack,
        "fidelity": fidelity, "seed": seed, "data": kinds.text(), "kinds": kinds, "call": call, "chips": chips,
        "mapping": "given" if mapping else "chosen",
    }  # fmt: skip
    say = progress or (lambda text: None)

    def settled(first: Graph, phase: Callable[[Pass], Phase]) -> Phase:
        """The phase at the clock it may run at, with one mapping for all of it, chosen at full clock."""
        choice = chosen(first, chip, mapping, say)

        def at(hz: int) -> Phase:
            slower = at_clock(chip, hz)
            return phase(lambda graph: sample(model, graph, slower, choice, fidelity, seed))

        found = settle(chip, at, clock, regime, lambda work, hz: expected_watts(work.energy, chip, hz))
        found.work.settled = found
        return found.work

    def once(graph: Graph) -> Phase:
        return settled(graph, lambda run: Phase(chip, [Weighted(run(graph), 1.0)], data=kinds))

    if model.kind == "encoder":
        graph = model.graph("encode", batch, prompt, dtype=dtype, kv_dtype=kv_dtype, scales=scales)
        memory = _need(model, chip, graph, batch, prompt)
        return Estimate(model, chip, asked, {"encode": once(graph)}, memory)
    room = prompt + generate - 1
    first = model.graph("prefill", batch, prompt, prompt, dtype, kv_dtype, room, scales)
    memory = _need(model, chip, first, batch, room)
    say("prefill")
    phases = {"prefill": once(first)}
    if generate > 1:

        def steps(run: Pass) -> Phase:
            def step(kv_len: int) -> Sample:
                say(f"decode at {kv_len} tokens")
                return run(model.graph("decode", batch, 1, kv_len, dtype, kv_dtype, room, scales))

            return decode_phase(chip, prompt + 1, room, step, kinds)

        phases["decode"] = settled(model.graph("decode", batch, 1, room, dtype, kv_dtype, room, scales), steps)
    return Estimate(model, chip, asked, phases, memory)
