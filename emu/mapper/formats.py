"""Whether a chip's matrix engine takes the formats and scales of a model; refused by name before anything is mapped."""

from __future__ import annotations

from emu.chip.schema import Chip
from emu.errors import UnsupportedError
from emu.models.schemes import Scheme


def check_scheme(chip: Chip, scheme: Scheme, *others: str) -> None:
    """UnsupportedError names the format of an operand, or the kind of scales, that the chip lacks. `others`: formats that are multiplied
    beside the scheme's own, as attention's wide one and the cache's are."""
    for fmt in (scheme.activations.fmt, scheme.weights.fmt, *others):
        chip.peak_flops(fmt)
    for side in (scheme.activations, scheme.weights):
        if side.scales != "none" and side.scales not in chip.core.matrix.scales:
            known = ", ".join(chip.core.matrix.scales) or "none"
            raise UnsupportedError(f"dtype {scheme.name}: {chip.name} multiplies no {side.fmt} with {side.scales} scales of blocks "
                                   f"(core.matrix.scales: {known}); choose another dtype or chip")
