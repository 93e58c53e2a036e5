"""Are chips compared on equal terms, and is what nobody has said left out rather than guessed?"""

from __future__ import annotations

import pytest
import study_support as support

import emu
from emu.chip.cost import cost, dies
from emu.study.worth import WORTH

ASK = {"prompt": 8, "generate": 2}


@pytest.fixture(scope="module")
def chips():
    tiny = support.chip_named("tiny").vary(support.MEMORY_COSTS)
    changes = {"name": "priced", "cost.price": "100 USD"}, {"name": "fast", "core.clock": "2 GHz", "cost.price": "400 USD"}
    return [tiny.vary(change) for change in changes]


def test_figures_are_the_estimates_and_ratios_their_quotients(chips):
    found = emu.compare(chips, [support.llama()], batch=[1, 2], jobs=1, **ASK)
    rows = {(row["chip"], row["batch"]): row for row in found.rows}
    assert len(rows) == 4 and found.base == "priced"
    for (name, batch), row in rows.items():
        chip = next(c for c in chips if c.name == name)
        one = emu.estimate(support.llama(), chip, batch=batch, **ASK)
        assert row["tokens_per_s_per_chip"] == one.tokens_per_s and row["tokens_per_joule"] == 1 / one.joules_per_token
        assert row["tokens_per_s_per_usd"] == one.tokens_per_s / chip.cost.price_usd
        assert row["tokens_per_s_per_mm2"] == one.tokens_per_s / (chip.process.die_area_mm2 * chip.process.dies)
        base = rows["priced", batch]
        assert row["tokens_per_s_per_chip_to_base"] == row["tokens_per_s_per_chip"] / base["tokens_per_s_per_chip"]
    assert rows["priced", 1]["tokens_per_joule_to_base"] == 1 and rows["fast", 1]["tokens_per_s_per_chip_to_base"] > 1


def test_area_and_cost_follow_what_is_varied_and_the_price_does_not():
    chip = support.chip_named("jalapeno")
    small, large = (chip.vary({"core.sram.capacity": size}) for size in ("2 MiB", "8 MiB"))
    assert WORTH["usd"](small) == WORTH["usd"](large) == chip.cost.price_usd
    assert WORTH["area_mm2"](small) < WORTH["area_mm2"](large) and WORTH["made_usd"](small) < WORTH["made_usd"](large)
    assert WORTH["made_usd"](large) == cost(large).made_usd
    for name in ("h100", "mi300x"):  # without the tables, too, and with the dies below the compute dies
        assert WORTH["area_mm2"](support.chip_named(name)) == sum(die.mm2 * die.count for die in dies(support.chip_named(name)))


def test_what_is_not_said_is_told_or_refused(chips):
    plain = support.chip_named("tiny").vary({"cost": {}})
    found = emu.compare([plain, *chips], support.llama(), jobs=1, **ASK)
    assert found.rows[0]["tokens_per_s_per_usd"] is None and "tiny states no price" in found.not_told[0]
    assert "tokens_per_s_per_usd_to_base" not in found.rows[1]
    with pytest.raises(emu.UnsupportedError, match="tiny states no price"):
        emu.compare([plain], support.llama(), per=["usd"], jobs=1, **ASK)
    for bad in ({"per": ["mm3"]}, {"bacth": 3}):
        with pytest.raises(emu.EmuError, match="expected some of|did you mean"):
            emu.compare([plain], support.llama(), jobs=1, **{**ASK, **bad})
    with pytest.raises(emu.EmuError, match="expected a list"):
        emu.compare("tiny", support.llama())


def test_it_prints_and_exports(chips):
    found = emu.compare(chips, support.llama(), batch=[1, 2], jobs=1, **ASK)
    text = str(found)
    assert "priced" in text and "(1.00)" in text and max(map(len, text.split("\n"))) <= 100
    assert found.to_csv().count("\n") == 5 and "tokens\\_per" not in found.to_markdown()
