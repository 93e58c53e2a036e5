"""What a chip costs to make, and what its tokens cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emu.chip.cost.area import RETICLE_MM2, DieArea, dies, given
from emu.chip.cost.silicon import die_yield, dies_per_wafer
from emu.chip.provenance import Figure
from emu.chip.schema import Chip
from emu.errors import EmuError, UnsupportedError, did_you_mean
from emu.result import Result

BASES = ("made", "price", "rental")
HOURS_PER_YEAR = 8766.0


@dataclass(frozen=True)
class DieCost:
    """One kind of die: how many fit, how many are good, what a good one costs."""

    area: DieArea
    per_wafer: int
    yield_whole: float
    """Without a single defect."""
    yield_sold: float
    """With spare cores used."""
    usd: float

    def to_dict(self) -> dict[str, Any]:
        a = self.area
        return {
            "name": a.name, "node_nm": a.node_nm, "count": a.count, "mm2": a.mm2, "stated_mm2": a.stated, "predicted_mm2": a.predicted,
            "parts_mm2": dict(a.parts), "core_share": a.core_share, "beyond_reticle": a.mm2 > RETICLE_MM2, "cores_made": a.cores,
            "dies_per_wafer": self.per_wafer, "yield_whole": self.yield_whole, "yield_sold": self.yield_sold, "usd": self.usd,
        }


class ChipCost(Result):
    """Cost of making one chip, part by part, and of putting it to work."""

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self.dies = [_die_cost(chip, die) for die in dies(chip)]
        base = self.dies[0].area.ground
        self.ground, cost = base, base.cost
        self.parts_usd = {
            "compute dies": self.dies[0].usd * self.dies[0].area.count,
            "other dies": sum(die.usd * die.area.count for die in self.dies[1:]),
            "memory": chip.hbm.capacity_bytes / 1e9 * given(cost.memory_usd_per_gb),
            "package": _on_package(chip, self.dies) * given(cost.package_usd_per_mm2),
        }
        self.parts_usd["lost in assembly"] = sum(self.parts_usd.values()) * (1 / given(cost.assembly) - 1)
        self.parts_usd["test"] = given(cost.test_usd)
        self.parts_usd["board"] = given(cost.board_usd_per_w) * chip.power.tdp_w

    @property
    def made_usd(self) -> float:
        """A chip on its board."""
        return sum(self.parts_usd.values())

    @property
    def installed_usd(self) -> float:
        """With its share of a server."""
        return self.made_usd + given(self.ground.cost.server_usd)

    def capital_usd_per_hour(self, basis: str) -> float:
        """What one chip costs for an hour in which it works: as made, as bought (`cost.price`), or as rented (`cost.rental`)."""
        if basis not in BASES:
            raise UnsupportedError(f"basis {basis!r} of cost: {did_you_mean(basis, BASES)}")
        cost = self.ground.cost
        if basis == "rental":
            return self._stated("rental", cost.rental_usd_per_hour) / given(cost.utilisation)
        bought = self.made_usd if basis == "made" else self._stated("price", cost.price_usd)
        return (bought + given(cost.server_usd)) / (given(cost.years) * HOURS_PER_YEAR * given(cost.utilisation))

    def _stated(self, key: str, value: float | None) -> float:
        if value is None:
            raise UnsupportedError(f"{self.chip.name}: cost.{key}: not in the chip's file; give it, or ask for basis 'made'")
        return value

    @property
    def overhead(self) -> float:
        """All watts over the chip's own."""
        own = self.ground.cost.overhead
        if own is not None:
            return own
        power = self.chip.power
        return max(1.0, (power.all_in_w or power.tdp_w) / power.tdp_w)

    def to_dict(self) -> dict[str, Any]:
        """Every amount with its unit in its key; `assumptions` are all figures that it stands on."""
        import emu
        from emu.report.schema import SCHEMA_VERSION

        return {
            "schema_version": SCHEMA_VERSION, "emu_version": emu.__version__, "kind": "cost", "chip": self.chip.name,
            "hypothetical": self.chip.hypothetical, "chip_digest": self.chip.digest,
            "varied": {k: str(v) for k, v in self.chip.varied.items()},
            "dies": [die.to_dict() for die in self.dies], "parts_usd": dict(self.parts_usd), "made_usd": self.made_usd,
            "installed_usd": self.installed_usd, "price_usd": self.chip.cost.price_usd,
            "price_over_made": self.chip.cost.price_usd and self.chip.cost.price_usd / self.made_usd,
            "assumptions": [_assumption(figure) for figure in self.ground.figures],
        }


def _assumption(figure: Figure) -> dict[str, str]:
    return {"key": figure.key, "value": str(figure.value), "tag": figure.tag or "", "source": figure.source or ""}


def _die_cost(chip: Chip, die: DieArea) -> DieCost:
    cost = die.ground.cost
    per_wafer = dies_per_wafer(die.mm2, given(cost.wafer_mm), given(cost.edge_mm), given(cost.scribe_mm))
    if not per_wafer:
        raise UnsupportedError(f"{chip.name}: a die of {die.mm2:.4g} mm2 does not fit a wafer; make it smaller, or several (process.dies)")
    defects, alpha = given(cost.defects_per_cm2), given(cost.clustering)
    needed = chip.core_count // die.count if die.cores else 0
    whole = die_yield(die.mm2, defects, alpha)
    sold = die_yield(die.mm2, defects, alpha, die.cores, needed, die.core_share) if die.cores else whole
    return DieCost(die, per_wafer, whole, sold, given(cost.wafer_usd) / (per_wafer * sold))


def _on_package(chip: Chip, found: list[DieCost]) -> float:
    """mm2 that the package carries: dies beside each other (compute dies stacked on others lie on these) and memory."""
    silicon = sum(die.area.mm2 * die.area.count for die in (found[1:] or found))
    return silicon + chip.hbm.stacks * given(found[0].area.ground.area.stack_mm2)


def cost(chip: Chip) -> ChipCost:
    """What making this chip costs, by its description and the tables; `chip.vary({"cost.wafer": ..., "area.bit": ...})` sweeps it."""
    return ChipCost(chip)


def per_token(chip: Chip, estimate: Mapping[str, Any] | Result, basis: str = "made") -> dict[str, float | str]:
    """US dollars for a million tokens, from an `Estimate` on this chip or its dict (`emu estimate --json`).

    Chips are paid for the hours they work; energy is the phase's mean watts, times what server, network and cooling draw beside it."""
    chips, phases = _read(chip, estimate.to_dict() if isinstance(estimate, Result) else estimate)
    made = ChipCost(chip)
    capital = made.capital_usd_per_hour(basis) * chips
    kwh_usd = made.overhead * given(made.ground.cost.energy_usd_per_kwh) if basis != "rental" else 0.0
    result: dict[str, float | str] = {"basis": basis, "capital_usd_per_hour": capital}
    for name, (tokens, seconds, watts) in phases.items():
        hours, energy = seconds / 3600, watts / 1000 * kwh_usd
        result[f"{name}_usd_per_million_tokens"] = hours * (capital + energy) / tokens * 1e6
        result[f"{name}_energy_share"] = energy / (capital + energy)
    return result


def _read(chip: Chip, estimate: Mapping[str, Any]) -> tuple[int, dict[str, tuple[int, float, float]]]:
    """Chips, and (tokens, seconds, watts) of each phase of an estimate of this very chip."""
    if estimate.get("kind") != "estimate":
        raise EmuError(f"cost: expected the dict of an estimate, got kind {str(estimate.get('kind'))[:40]!r}")
    try:
        name, digest = str(estimate["chip"]), str(estimate["digests"]["chip"])
        batch, prompt, made = int(estimate["batch"]), int(estimate["prompt"]), int(estimate["generate"]) - 1
        tokens = {"prefill": batch * prompt, "encode": batch * prompt, "decode": batch * made}  # the first one comes from prefill
        phases = {k: (tokens[k], float(p["seconds"]), float(p["watts"])) for k, p in estimate["phases"].items()}
        chips = int(estimate["chips"])
        if chips < 1 or not all(n > 0 and 0 < seconds < 1e12 and 0 <= watts < 1e12 for n, seconds, watts in phases.values()):
            raise ValueError("chips, tokens, seconds and watts must be positive")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EmuError(f"cost: this is no whole estimate ({type(error).__name__}: {error}); use what emu estimate --json prints") from error
    if name != chip.name or digest != chip.digest:
        raise EmuError(f"cost: the estimate is of {name[:80]} ({digest[:12]}), not of {chip.name} as described now ({chip.digest[:12]}); "
                       "estimate anew")
    return chips, phases
