"""`emu.tune`: a kernel's parameters, tried one by one. What was found is in the result, and in a file if the user names one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from emu.chip import chip as preset
from emu.chip.schema import Chip
from emu.errors import EmuError, UnsupportedError, did_you_mean
from emu.extension.source import about
from emu.kernels.lang import Kernel
from emu.kernels.lang.arguments import is_tensor
from emu.result import Result, header
from emu.study.tuned import read, written

BY = ("seconds", "joules", "cycles")
MOST = 4096
"""Variants of one call: each is compiled and run."""
Parameters = dict[str, Any]
Space = Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]]
Shapes = Mapping[str, Any] | Sequence[Mapping[str, Any]]


@dataclass
class Variant:
    """One choice of parameters: its figures for each shape, or why it has none."""

    parameters: Parameters
    seconds: list[float] = field(default_factory=list)
    joules: list[float] = field(default_factory=list)
    cycles: list[int] = field(default_factory=list)
    failed: str = ""
    """Why it did not run, with the shape it failed on."""
    ratio: float | None = None
    """Of `by` to that of the best variant of each shape, the geometric mean over the shapes; 1 is the best there could be."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "parameters": {name: plain(value) for name, value in self.parameters.items()},
            "seconds": self.seconds, "joules": self.joules, "cycles": self.cycles, "ratio": self.ratio, "failed": self.failed,
        }


class Tuning(Result):
    """What `emu.tune` found: every variant in the order of the space, and the best. It prints as a table."""

    def __init__(self, kernel: str, kernel_digest: str, by: str, shapes: list[str], variants: list[Variant], head: dict[str, Any]) -> None:
        self.kernel, self.kernel_digest, self.by, self.shapes, self.variants, self._head = kernel, kernel_digest, by, shapes, variants, head

    @property
    def ranked(self) -> list[Variant]:
        """Those that ran on every shape, the best first; of equal ones the earlier in the space."""
        return sorted((v for v in self.variants if v.ratio is not None), key=lambda v: v.ratio or math.inf)

    @property
    def best(self) -> Parameters:
        """The parameters of the best variant: smallest `ratio`."""
        return dict(self.ranked[0].parameters)

    def best_for(self, shape: int) -> Parameters:
        """The parameters that are best for the shape of that number alone."""
        return dict(min(self.ranked, key=lambda v: getattr(v, self.by)[shape]).parameters)

    def parameters(self, kernel: Kernel, chip: Chip | str) -> Parameters:
        """`best`, if it was found for this kernel, as its source stands now, on this chip. UnsupportedError otherwise: tune again."""
        chip = preset(chip) if isinstance(chip, str) else chip
        tuned = f"{self.kernel!r} was tuned on {self._head['chip']!r}"
        if kernel_digest(kernel) != self.kernel_digest:
            raise UnsupportedError(f"{tuned}; kernel {kernel.__name__!r} is another one, or has changed since: run emu.tune again")
        if chip.digest != self._head["digests"]["chip"]:
            raise UnsupportedError(f"{tuned}; chip {chip.name!r} is another one, or has changed since: run emu.tune again")
        return self.best

    def to_dict(self) -> dict[str, Any]:
        """As `--json` would print it (emu.report.schema.TuningDict)."""
        return {
            **self._head, "kernel": self.kernel, "kernel_digest": self.kernel_digest, "by": self.by, "shapes": self.shapes,
            "best": {name: plain(value) for name, value in self.best.items()}, "variants": [v.to_dict() for v in self.variants],
        }

    def write(self, path: str | Path) -> None:
        """To a file `.toml` or `.json`, which `emu.Tuning.read` reads. UnsupportedError: another ending, or a parameter that is neither
        number, text nor truth value."""
        for variant in self.variants:
            for name, value in variant.parameters.items():
                if not isinstance(value, (str, bool, int, float, np.number, np.bool_)):
                    kind = type(value).__name__
                    raise UnsupportedError(f"{self.kernel}: parameter {name} is a {kind}: only numbers, text and truth values are written")
        Path(path).write_text(written(self.to_dict(), Path(path)), encoding="utf-8")

    @classmethod
    def read(cls, path: str | Path) -> Tuning:
        """What `write` wrote. UnsupportedError says what is wrong with the file."""
        d = read(Path(path))
        fields = ("parameters", "seconds", "joules", "cycles", "failed")
        variants = [Variant(**{name: row[name] for name in fields}, ratio=row.get("ratio")) for row in d["variants"]]
        own = ("kernel", "kernel_digest", "by", "shapes", "best", "variants")
        return cls(d["kernel"], d["kernel_digest"], d["by"], d["shapes"], variants, {k: v for k, v in d.items() if k not in own})


def tune(
    kernel: Kernel, space: Space, chip: Chip | str, shapes: Shapes, *, by: str = "seconds", fidelity: str = "fast", cores: int | None = None
) -> Tuning:
    """Tries every variant of a kernel's parameters on every shape, timing only, and says which is best.

    space: values by parameter, of which every combination is tried in order, or a list of parameters. shapes: the kernel's other arguments,
    as for `Kernel.compile`, for one shape or for several. by: seconds, joules or cycles. A variant that the kernel, the compiler or the
    machine refuses is a row with its reason. Nothing is remembered: keep the result, or `write` it. Races are looked for when the kernel is
    run with values, not here.

    Raises UnsupportedError for a space or shapes that are none, and EmuError with the first reason where no variant runs."""
    chip = preset(chip) if isinstance(chip, str) else chip
    if not isinstance(kernel, Kernel):
        raise UnsupportedError(f"tune takes a kernel, a function under @emu.kernel, not a {type(kernel).__name__}")
    if by not in BY:
        raise UnsupportedError(f"by={by!r}; {did_you_mean(str(by), BY)}")
    tried = [dict(one) for one in _combinations(space)]
    asked = [dict(shapes)] if isinstance(shapes, Mapping) else [dict(one) for one in shapes]
    if not tried or not asked:
        raise UnsupportedError(f"{kernel.__name__}: nothing to try: {len(tried)} variants, {len(asked)} shapes")
    variants = [Variant(one) for one in tried]
    for variant in variants:
        _run(kernel, variant, chip, asked, fidelity, cores)
    if all(v.failed for v in variants):
        raise EmuError(f"{kernel.__name__} on {chip.name}: none of {len(variants)} variants runs; the first: {variants[0].failed}")
    _rank(variants, by)
    head = header("tuning", chip, None, fidelity)
    return Tuning(kernel.__name__, kernel_digest(kernel), by, [shape_text(shape) for shape in asked], variants, head)


def kernel_digest(kernel: Kernel) -> str:
    """sha-256 over the kernel's source and that of functions and constants it uses."""
    return sha256(about(kernel.function).encode()).hexdigest()


def _combinations(space: Space) -> Iterator[Mapping[str, Any]]:
    if not isinstance(space, Mapping):
        if len(space) > MOST:
            raise UnsupportedError(f"{len(space)} variants; {MOST} at most in one call")
        yield from space
        return
    count = math.prod(len(values) for values in space.values())
    if count > MOST:
        raise UnsupportedError(f"{count} combinations of {', '.join(space)}; {MOST} at most in one call: leave some out")
    for values in product(*space.values()):
        yield dict(zip(space, values))


def _run(kernel: Kernel, variant: Variant, chip: Chip, shapes: list[Parameters], fidelity: str, cores: int | None) -> None:
    for shape in shapes:
        try:
            compiled = kernel.compile(chip, cores, **(shape | variant.parameters))
            run = compiled.run(values=False, check=False, fidelity=fidelity, folding=True, fast_forward=True)
        except EmuError as error:
            where = f"{shape_text(shape)}: " if len(shapes) > 1 else ""
            variant.failed = f"{where}{error}"
            return
        variant.seconds.append(run.seconds)
        variant.joules.append(run.joules)
        variant.cycles.append(run.cycles)


def _rank(variants: list[Variant], by: str) -> None:
    ran = [v for v in variants if not v.failed]
    least = [min(column) for column in zip(*(getattr(v, by) for v in ran))]
    for v in ran:
        v.ratio = math.exp(math.fsum(math.log(value / low) for value, low in zip(getattr(v, by), least) if low) / len(least))


def shape_text(shape: Mapping[str, Any]) -> str:
    """Arguments in words: `x 512x64 bf16, causal True`."""
    return ", ".join(f"{name} {_argument(value)}" for name, value in shape.items())


def _argument(value: Any) -> str:
    if not is_tensor(value):
        return str(plain(value))
    what, fmt = (value[0], value[1]) if isinstance(value, tuple) else (value, str(value.dtype))
    return f"{'x'.join(map(str, what.shape if isinstance(what, np.ndarray) else what))} {fmt}"


def plain(value: Any) -> Any:
    """A parameter as JSON has it; anything but numbers, text and truth values in words."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (str, bool, int)) or isinstance(value, float) and math.isfinite(value):
        return value
    return str(value)

