"""Do area, yield and cost follow from the description, and does each assumption move them as it should?"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import emu
from emu.chip.cost import ChipCost, cost, die_yield, dies, dies_per_wafer, ground, per_token
from emu.chip.cost.published import BESIDE, FITTED, fit, published

H100 = emu.chip("h100")
TINY_LLAMA = Path(__file__).parents[2] / "examples" / "models" / "tiny-llama"
REAL = sorted(set(emu.chips()) - {"tiny"})
AREA = st.floats(1, 1000)
DEFECTS = st.floats(0.001, 2)
ALPHA = st.floats(0.5, 20)


@given(AREA, DEFECTS, ALPHA)
def test_yield_without_spares_is_the_negative_binomial(mm2: float, defects: float, alpha: float) -> None:
    closed = (1 + mm2 / 100 * defects / alpha) ** -alpha
    assert die_yield(mm2, defects, alpha) == pytest.approx(closed, rel=1e-9)
    assert die_yield(mm2, defects, alpha, 16, 16, 0.7) == pytest.approx(closed, rel=1e-9)


@given(AREA, DEFECTS, ALPHA, st.integers(1, 40), st.floats(0, 1))
def test_yield_with_all_cores_spare_is_that_of_the_rest(mm2: float, defects: float, alpha: float, cores: int, share: float) -> None:
    closed = (1 + mm2 / 100 * defects * (1 - share) / alpha) ** -alpha
    assert die_yield(mm2, defects, alpha, cores, 0, share) == pytest.approx(closed, rel=1e-6)


@given(AREA, DEFECTS, ALPHA, st.integers(2, 40), st.floats(0.05, 0.95))
def test_each_spare_core_helps_less_than_the_one_before(mm2: float, defects: float, alpha: float, cores: int, share: float) -> None:
    found = [die_yield(mm2, defects, alpha, cores, cores - spare, share) for spare in range(cores + 1)]
    gains = [b - a for a, b in zip(found, found[1:])]
    assert all(gain >= -1e-12 for gain in gains) and found[-1] <= 1 + 1e-9


def test_harvest_against_one_defect_at_a_time() -> None:
    """With so few defects that two on a die do not happen, one spare core saves exactly the dies whose defect fell on a core."""
    mean = 1e-6
    lost = 1 - die_yield(100, mean, 3, 10, 9, 0.6)
    assert lost == pytest.approx(mean * 0.4, rel=1e-4)


def test_harvest_against_drawn_dies() -> None:
    import numpy as np

    rng = np.random.default_rng(3)
    rates = rng.gamma(3, 0.5, 40_000)  # mean 1.5 defects on a die
    good = 0
    for count in rng.poisson(rates):
        places = rng.random(count)
        good += bool((places < 0.8).all()) and len({int(p / 0.1) for p in places}) <= 2  # eight cores of a tenth each, six needed
    assert good / len(rates) == pytest.approx(die_yield(150, 1.0, 3, 8, 6, 0.8), abs=4 * math.sqrt(0.25 / len(rates)))


@given(st.floats(4, 900), st.floats(0, 5), st.floats(0, 0.5))
def test_dies_on_a_wafer(mm2: float, edge: float, scribe: float) -> None:
    found = dies_per_wafer(mm2, 300, edge, scribe)
    side, radius = math.sqrt(mm2) + scribe, 150 - edge
    assert found * side**2 <= math.pi * radius**2
    assert found >= math.pi * (radius - math.sqrt(2) * side) ** 2 / side**2  # squares that cannot reach over the rim
    assert found >= dies_per_wafer(mm2, 300, edge + 1, scribe)


def test_dies_on_a_wafer_by_hand() -> None:
    assert dies_per_wafer(100, 2 * math.hypot(10, 10), 0, 0) == 4  # two by two fill the square in the circle
    assert dies_per_wafer(100, 2 * math.hypot(5, 5) + 1e-9, 0, 0) == 1
    assert dies_per_wafer(100, 14, 0, 0) == 0
    assert 50 <= dies_per_wafer(840, 300, 3, 0.1) <= 62  # the photograph of jalapeno's wafer shows 50 to 60 good places


@pytest.mark.parametrize("name", REAL)
def test_every_preset_has_a_cost(name: str) -> None:
    chip = emu.chip(name)
    found = cost(chip).to_dict()
    for die in found["dies"]:
        assert die["predicted_mm2"] == pytest.approx(sum(die["parts_mm2"].values()))
        assert 0 < die["yield_whole"] <= die["yield_sold"] <= 1 and die["dies_per_wafer"] > 0
    assert found["made_usd"] == pytest.approx(sum(found["parts_usd"].values()))
    assert found["hypothetical"] == chip.hypothetical
    assert all(f["tag"] and f["source"] for f in found["assumptions"])
    spare = chip.area.cores_made is not None and chip.area.cores_made > chip.core_count
    assert (found["dies"][0]["yield_sold"] > found["dies"][0]["yield_whole"]) == spare
    json.dumps(found)


def test_h100_sells_dies_with_bad_cores() -> None:
    (die,) = cost(H100).dies
    full = cost(H100.vary({"core_count": 144, "noc.x": 144})).dies[0]
    assert die.yield_sold > 1.4 * full.yield_sold and full.yield_sold == pytest.approx(full.yield_whole)
    assert full.area.mm2 == pytest.approx(die.area.mm2)  # the same die: 144 are made either way


def test_a_varied_chip_has_a_die_of_another_size() -> None:
    (old,), (new,) = dies(H100), dies(H100.vary({"area.cores_made": 72, "core_count": 66, "noc.x": 66}))
    assert old.mm2 == old.stated == 814
    assert new.mm2 == pytest.approx(814 * new.predicted / old.predicted) and 0.5 * 814 < new.mm2 < 0.75 * 814
    (said,) = dies(H100.vary({"core.sram.capacity": "500 KiB", "process.die_area": "850 mm2"}))
    assert said.mm2 == 850
    assert dies(H100.vary({"hbm.latency": "400 ns"}))[0].mm2 == pytest.approx(814)


def test_parts_follow_what_they_are_made_of() -> None:
    def part(name: str, changes: dict[str, object]) -> float:
        return dies(H100.vary(changes))[0].parts[name] / dies(H100)[0].parts[name]

    assert part("sram", {"core.sram.capacity": "456 KiB"}) == pytest.approx(2)
    assert part("sram", {"area.bit": "0.042 um2"}) == pytest.approx(2)
    assert part("matrix", {"core.matrix.units": 8}) == pytest.approx(2)
    assert part("matrix", {"area.mac": 218000}) == pytest.approx(2)
    assert part("matrix", {"area.logic": 2 * 143.7}) == pytest.approx(0.5)
    assert part("matrix", {"area.formats.fp8_e4m3": 1.0}) == pytest.approx(2 / 1.22)  # fp8 at twice the rate now needs most
    assert part("memory", {"area.memory_sites": 3}) == pytest.approx(0.5)
    assert part("links", {"links.nvlink4.count": 36}) == pytest.approx(2)


CHANGES: dict[str, tuple[object, int]] = {  # which way the cost of a chip goes
    "cost.wafer": ("40000 USD", 1), "cost.diameter": ("450 mm", -1), "cost.edge": ("20 mm", 1), "cost.scribe": ("2 mm", 1),
    "cost.defects": ("1 /cm2", 1), "cost.clustering": (30, 1), "cost.memory": ("20 USD/GB", 1), "cost.package": ("1 USD/mm2", 1),
    "cost.assembly": (0.5, 1), "cost.test": ("1000 USD", 1), "cost.board": ("2 USD/W", 1), "area.stack": ("200 mm2", 1),
}


@pytest.mark.parametrize("key", CHANGES)
def test_each_assumption_is_named_and_swept(key: str) -> None:
    value, sign = CHANGES[key]
    changed = H100.vary({key: value})
    assert (cost(changed).made_usd - cost(H100).made_usd) * sign > 0
    (figure,) = (f for f in ground(changed).figures if f.key == key)
    assert figure.value == value and figure.source == "chip.vary"
    assert key in {f.key for f in ground(H100).figures}


def test_an_other_die_is_of_its_own_node() -> None:
    chip = emu.chip("mi300x")
    compute, base = dies(chip)
    assert (compute.count, base.count) == (8, 4) and compute.cores == 40 and base.cores == 0
    assert "memory" in base.parts and "memory" not in compute.parts and "levels" in compute.parts  # the L2 stays, the outer cache goes
    assert base.ground.area.logic == 107.7 and compute.ground.area.logic == 138.2
    dearer = chip.vary({"cost.wafer": "33976 USD"})  # of the compute dies' node, not of the I/O dies'
    assert cost(dearer).parts_usd["compute dies"] == pytest.approx(2 * cost(chip).parts_usd["compute dies"])
    assert cost(dearer).parts_usd["other dies"] == cost(chip).parts_usd["other dies"]


def test_what_is_in_no_table_is_refused_by_name() -> None:
    with pytest.raises(emu.UnsupportedError, match="hbm.kind.*'chosen'.*HBM3E.*Give area.memory_interface"):
        cost(emu.chip("tiny"))
    tiny = emu.chip("tiny").vary({"area.memory_interface": "1 mm2", "area.stack": "0 mm2", "cost.memory": "4 USD/GB"})
    assert cost(tiny).made_usd > 0
    with pytest.raises(emu.UnsupportedError, match="process.node.*9 nm.*7 nm"):
        cost(H100.vary({"process.node": "9 nm"}))
    with pytest.raises(emu.UnsupportedError, match="do not divide into 2 dies"):
        cost(emu.chip("b200").vary({"area.cores_made": 161}))
    with pytest.raises(emu.UnsupportedError, match="does not fit a wafer"):
        cost(H100.vary({"process.die_area": "90000 mm2"}))


def test_the_fit_is_what_the_tables_say() -> None:
    mac, operand_byte = fit()
    assert ground(H100).area.mac == pytest.approx(mac, rel=0.01)
    assert ground(H100).area.operand_byte == pytest.approx(operand_byte, rel=0.01)


def test_published_dies_are_predicted_without_themselves() -> None:
    found = {die.chip: die for die in published()}
    assert set(FITTED) <= set(found) <= {*FITTED, *BESIDE}
    for name in FITTED:
        die = found[name]
        mac, operand_byte = fit([n for n in FITTED if n != name])
        alone = emu.chip(name).vary({"area.mac": mac, "area.operand_byte": round(operand_byte)})
        assert die.left_out_mm2 == pytest.approx(dies(alone)[0].predicted, rel=1e-4)
        # A die that its own fit never saw is farther off, or as far, than by the fit that saw it.
        assert abs(die.error) >= abs(die.predicted_mm2 / die.stated_mm2 - 1) - 0.01
    assert sum(abs(found[name].error) for name in FITTED) / len(FITTED) < 0.2


@pytest.fixture(scope="module")
def llama() -> dict[str, object]:
    model = emu.load_model(TINY_LLAMA)
    return emu.estimate(model, H100, prompt=64, generate=9, batch=4).to_dict()


def test_tokens_cost_chip_hours_and_energy(llama: dict[str, object]) -> None:
    found = per_token(H100, llama)
    chip_hour = (cost(H100).made_usd + 6000) / (4 * 8766 * 0.6)
    phase = llama["phases"]["decode"]  # type: ignore[index]
    energy = phase["watts"] / 1000 * 1730 / 700 * 0.08
    assert found["decode_usd_per_million_tokens"] == pytest.approx(phase["seconds"] / 3600 * (chip_hour + energy) / (4 * 8) * 1e6)
    assert found["decode_energy_share"] == pytest.approx(energy / (chip_hour + energy))
    again = emu.estimate(emu.load_model(TINY_LLAMA), H100, prompt=64, generate=9, batch=4)
    assert per_token(H100, again) == found
    rented = per_token(H100, llama, "rental")
    assert rented["capital_usd_per_hour"] == pytest.approx(2.35 / 0.6) and rented["decode_energy_share"] == 0
    assert per_token(H100, llama, "price")["capital_usd_per_hour"] == pytest.approx(36000 / (4 * 8766 * 0.6))


@pytest.mark.parametrize(("key", "value"), [("cost.energy", "1 USD/kWh"), ("cost.overhead", 9.0), ("cost.server", "60000 USD"),
                                            ("cost.years", 1), ("cost.utilisation", 0.1)])
def test_what_running_stands_on_is_swept(llama: dict[str, object], key: str, value: object) -> None:
    dearer = per_token(H100.vary({key: value}), llama)["decode_usd_per_million_tokens"]
    assert float(dearer) > float(per_token(H100, llama)["decode_usd_per_million_tokens"])


def test_tokens_of_another_chip_or_of_no_estimate_are_refused(llama: dict[str, object]) -> None:
    with pytest.raises(emu.EmuError, match="not of h200"):
        per_token(emu.chip("h200"), llama)
    with pytest.raises(emu.EmuError, match="as described now"):
        per_token(H100.vary({"hbm.bandwidth": "4 TB/s"}), llama)
    with pytest.raises(emu.EmuError, match="got kind 'op'"):
        per_token(H100, {"kind": "op"})
    with pytest.raises(emu.EmuError, match="no whole estimate"):
        per_token(H100, {k: v for k, v in llama.items() if k != "phases"})
    with pytest.raises(emu.UnsupportedError, match="did you mean 'price'"):
        per_token(H100, llama, "prize")
    no_price = emu.chip("tpu-v1")
    with pytest.raises(emu.UnsupportedError, match="cost.price: not in the chip's file"):
        ChipCost(no_price).capital_usd_per_hour("price")


def test_no_figure_takes_for_ever_or_divides_by_zero() -> None:
    with pytest.raises(emu.UnsupportedError, match="not counted"):
        dies_per_wafer(1e-9, 300, 3, 0)
    with pytest.raises(emu.UnsupportedError, match="not counted"):
        dies_per_wafer(800, 1e15, 3, 0.1)
    with pytest.raises(emu.UnsupportedError, match="more than this sum goes to"):
        die_yield(900, 1e9, 3)
    with pytest.raises(emu.UnsupportedError, match="more than this sum goes to"):
        die_yield(900, 1000, 3, 65536, 1, 0.9)
    assert die_yield(100, 0.5, 1e17) == pytest.approx(math.exp(-0.5))  # no clusters: Poisson's law
    for change in ({"area.control": 1}, {"process.die_area": "0 mm2"}):
        with pytest.raises(emu.ChipError):
            H100.vary(change)


@pytest.mark.parametrize("wrong", [float("nan"), 0, -1.0, "x", None])
def test_estimates_with_odd_numbers_are_refused(llama: dict[str, object], wrong: object) -> None:
    phases = {"decode": {"seconds": wrong, "watts": 1.0}}
    with pytest.raises(emu.EmuError, match="no whole estimate"):
        per_token(H100, {**llama, "phases": phases})
    with pytest.raises(emu.EmuError):
        per_token(H100, {**llama, "chips": 0})


def test_pages_say_hypothetical_and_escape() -> None:
    result = cost(emu.chip("jalapeno-max").vary({"name": "<b>x</b>"}))
    assert "hypothetical" in str(result)
    assert "<b>x" not in result._repr_html_() and "&lt;b&gt;x" in result._repr_html_()
