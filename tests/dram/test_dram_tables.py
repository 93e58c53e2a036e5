"""Does loading a device table find every mistake at once, and do formulas, prices and figures mean what they say?"""

from __future__ import annotations

import re
from fractions import Fraction

import pytest
from dram_checker import check_rules
from hypothesis import event, given, settings
from hypothesis import strategies as st

from emu.chip.dram import device, devices, load_device, maps, vary
from emu.chip.dram.formula import FormulaError, evaluate
from emu.chip.dram.load import DEVICES
from emu.errors import ChipError, EmuError, UnsupportedError
from emu.machine.dram import Dram, Page, Pattern, Queue

NAMES = {"CL": Fraction(20), "BL": Fraction(2)}
NS = Fraction(5, 8)


@pytest.mark.parametrize(("text", "clocks"), [
    ("CL + BL + 2 - 10", 14), ("max(4 clk, 7.5 ns)", 12), ("min(CL, 3) * 2", 6), ("2 * (CL - BL)", 36), ("1.5 clk", Fraction(3, 2)),
    ("3.9 us", 6240), ("0.1 ns", 1), ("max(CL, BL, 30)", 30), (7, 7), ("CL - BL - BL", 16),
])  # fmt: skip
def test_formulas(text, clocks):
    assert evaluate(text, NAMES, NS) == clocks


@pytest.mark.parametrize(("text", "says"), [
    ("CCL + 1", "did you mean 'CL'?"), ("CL +", "found 'the end'"), ("max(CL", "expected ')'"), ("CL ^ 2", "cannot read"),
    ("", "expected a latency"),
    ("2 2", "not expected here"), ("(" * 40 + "1" + ")" * 40, "nested"), ("1" * 300, "expected a latency"), (None, "expected a latency"),
    ("__import__('os')", "cannot read"), (True, "expected a latency"),
])  # fmt: skip
def test_formulas_that_are_wrong(text, says):
    with pytest.raises(FormulaError, match="(?i)" + says.replace("(", r"\(").replace(")", r"\)").replace("?", r"\?").replace("^", r"\^")):
        evaluate(text, NAMES, NS)


@given(st.integers(1, 10**6), st.integers(1, 10**4))
def test_ns_are_rounded_up_to_whole_clocks(ps, period_ps):
    clocks = evaluate(f"{ps // 1000}.{ps % 1000:03d} ns", {}, Fraction(period_ps, 1000))
    assert clocks.denominator == 1 and (clocks - 1) * period_ps < ps <= clocks * period_ps


@given(st.text(max_size=60))
def test_no_text_gets_past_the_grammar_uncaught(text):
    try:
        evaluate(text, NAMES, NS)
    except FormulaError:
        pass


@pytest.mark.parametrize("name", devices())
def test_every_figure_says_where_it_comes_from(name):
    d = device(name)
    assert all(f.tag and f.source for key, f in d.figures.items())
    assert bool(d.assumed()) == (name not in ("ddr3", "ddr4"))
    assert ("timing.CL" in d.assumed()) == (name in ("hbm3e", "hbm4")), "timings of HBM3e and HBM4 are not public"


PEAKS = {"hbm2": 32, "hbm2e": 51.2, "hbm3": 51.2, "hbm3e": 64, "hbm4": 64, "gddr6": 28, "lpddr5": 12.8, "ddr3": 14.933, "ddr4": 25.6}


@pytest.mark.parametrize("name", devices())
def test_peaks_are_those_of_the_standard(name):
    """Gb/s per pin times pins."""
    assert Dram(name).peak_bytes_per_s == pytest.approx(PEAKS[name] * 1e9, rel=1e-4)


def test_refresh_is_per_bank_from_hbm3_on():
    assert {d for d in devices() if device(d).default_refresh == "per_bank"} == {"hbm3", "hbm3e", "hbm4"}


BAD = '''extends = "{base}"
name = "bad"
[organisation]
ranks = 3
bancs = 4
[timing]
CLL = {{ value = "12 clk", tag = "assumed", source = "test" }}
RP = {{ value = "RPP + 1", tag = "assumed", source = "test" }}
RAS = {{ value = "12 clk" }}
FAW = {{ value = "12 clk", tag = "gessed", source = "test" }}
'''


def test_all_problems_at_once(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(BAD.format(base=DEVICES / "hbm2.toml"))
    with pytest.raises(ChipError) as caught:
        load_device(path)
    text = str(caught.value)
    assert "organisation.bancs: unknown key; did you mean 'banks'?" in text and str(path) in text
    assert "did you mean 'assumed'?" in text or "'gessed' is no tag" in text
    path.write_text(BAD.format(base=DEVICES / "hbm2.toml").replace("bancs = 4\n", "").replace("gessed", "assumed"))
    with pytest.raises(ChipError) as caught:
        load_device(path)
    text = str(caught.value)
    assert "organisation.ranks: needs a `tag`" in text and "timing.RAS: needs a `tag`" in text
    assert "timing.RP: no timing is named 'RPP'; did you mean 'RP'?" in text or "'RPP'" in text


RULES = [
    ("bank: ACT -> RD RDA = RCDRDX", "did you mean 'RCDRD'?"), ("bnak: ACT -> RD = 3", "did you mean 'bank'?"),
    ("bank: AKT -> RD = 3", "no command"), ("bank: REF -> ACT = RFC", "goes to a whole rank"), ("bank ACT -> RD = 3", "expected 'level:"),
    ("bank: ACT -> RD = 3 window 99", "window 99"),
    ("bank: ACT -> RD = 3 other", "`other` is for levels"), ("bank: ACT -> RD = CL - 400", "at least 0"),
    ("bank: ACT -> RD = 0.5 clk", "must be whole"),
]


@pytest.mark.parametrize(("line", "says"), RULES)
def test_rules_that_are_wrong(tmp_path, line, says):
    path = tmp_path / "mine.toml"
    rules = f'{{ value = ["bank: ACT -> ACT = RC", "{line}"], tag = "assumed", source = "test" }}'
    path.write_text(f'extends = "{DEVICES / "hbm2.toml"}"\nrules = {rules}\n')
    with pytest.raises(ChipError) as caught:
        load_device(path)
    assert f"{path}: rules.1: " in str(caught.value) and says in str(caught.value)


def test_changes():
    d = device("hbm3")
    v = vary(d, {"timing.FAW": "30 ns", "organisation.rows": 8192})
    assert v.timing["FAW"] == 96 and v.channel_bytes == d.channel_bytes // 2 and "timing.FAW" in v.assumed()
    assert d.timing["FAW"] == 48, "the original is as it was"
    for changes, says in [({"timing.FAV": "1 clk"}, "did you mean 'timing.FAW'?"), ({"organisation.rows": 3000}, "power of two"),
                          ({"timing.RC": "x"}, "no timing is named 'x'"), ({"nothing": 1}, "unknown key")]:
        with pytest.raises(ChipError, match="(?s)" + says.replace("?", r"\?")):
            vary(d, changes)


def test_currents_price_commands():
    """DDR4's ACT by hand: 1.2 V x 8 chips x (57 mA x 46.25 ns - 52 mA x 32.5 ns - 37 mA x 13.75 ns)."""
    e = device("ddr4").energy
    assert e.activate_pj == pytest.approx(1.2 * 8 * (57 * 46.25 - 52 * 32.5 - 37 * 13.75))
    assert e.read_pj == pytest.approx(1.2 * 8 * (168 - 52) * 2.5) and e.idle_w == pytest.approx(1.2 * 8 * 0.037)


def test_joules_are_counted_from_commands():
    r = Dram("hbm3").run(Pattern("random", 2000, writes=0.4, seed=2))
    e, c = device("hbm3").energy, r.commands
    assert r.joules["activate"] == pytest.approx(c["ACT"] * e.activate_pj * 1e-12)
    assert r.joules["read"] + r.joules["write"] == pytest.approx(2 * 2000 * e.read_pj * 1e-12)
    assert r.pj_per_bit == pytest.approx(sum(r.pj_per_bit_by_command.values())) and set(r.to_dict()["joules"]) == set(r.joules)


@pytest.mark.parametrize(("make", "says"), [
    (lambda: Dram("hbm5"), "did you mean 'hbm"), (lambda: Dram("hbm3", map="streem"), "did you mean 'stream'"),
    (lambda: Dram("hbm3", channels=3), "power of two"), (lambda: Dram("ddr4", refresh="per_bank"), "did you mean"),
    (lambda: Dram("ddr4", refresh="sometimes"), "not among"), (lambda: Dram("hbm3", page="opened"), "did you mean 'open'"),
    (lambda: Dram("hbm3", queue=0), "1 to 65536"), (lambda: Queue(high=3, low=3), "low < high"), (lambda: Page("timeout", 0), "idle_ns"),
    (lambda: Pattern("rendom"), "did you mean 'random'"), (lambda: Dram("hbm3").run(Pattern(span_bytes=1 << 60)), "the device has"),
    (lambda: Dram("hbm3").submit(0, 1 << 31, 64), "outside"), (lambda: Dram("hbm3").submit(-1, 0, 64), "negative"),
    (lambda: Dram("hbm3").commands(), "trace=True"),
])  # fmt: skip
def test_bad_requests_are_refused_by_name(make, says):
    with pytest.raises(EmuError) as caught:
        make()
    assert says in str(caught.value)


def test_a_request_that_comes_too_late_is_refused():
    d = Dram("ddr4")
    d.submit(10**6, 0, 64)
    d.advance(10**9)
    with pytest.raises(EmuError, match="earlier"):
        d.submit(10**8, 64, 64)
    with pytest.raises(UnsupportedError):
        d.device.interval_ticks("per_bank")


@pytest.mark.parametrize("text", [
    "row bank column", "row bank group rank pseudo column channel; group ^ group", "row bnk", "row:1 column bank group rank pseudo",
])  # fmt: skip
def test_maps_that_are_wrong(text):
    with pytest.raises(ChipError):
        maps.masks("mine", device("hbm3").widths(2), 5, text)


TEXTS = ["0 clk", "1 clk", "30 clk", "999999999 us", "2 ns", "90 ns", "BL * BL * BL", "BL", "1 MiB", "4 KiB", "2 bit", "64 bit", "x", ""]
LITERALS = st.one_of(st.sampled_from([1, 2, 4, 32, 1 << 22, 0, -3, 3]), st.sampled_from(TEXTS), st.none(), st.booleans(),
                     st.floats(allow_nan=True), st.text(max_size=8))


@given(st.sampled_from(devices()), st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_table_is_refused_or_runs_to_its_end(name, data):
    """Whatever a figure is changed to: a clear error, or a memory that serves every request and breaks no rule."""
    d = device(name)
    counts = ("pseudo", "ranks", "groups", "banks", "rows", "row", "width", "burst")
    known = [*(f"timing.{t}" for t in d.timing), *(f"organisation.{k}" for k in counts),
             "clock.rate", "clock.ticks", "data.read", "data.write", "refresh.all_bank", "refresh.default"]
    changes = {k: data.draw(LITERALS) for k in data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=2))}
    try:
        d = Dram(vary(d, changes), trace=True)
    except EmuError as error:
        event("refused")
        assert re.search(r": (timing|organisation|clock|data|refresh|rules|bus|currents)[.\w]*: ", str(error)), "the key is named"
        return
    for k in range(40):
        d.submit(0, k * 7 * d.device.burst_bytes % (d.capacity_bytes - 64), 64, k % 3 == 0)
    d.finish()
    assert len(d.completions()) == 40
    check_rules(d.device, [(t, c, b, r) for t, c, _, b, r in d.commands()[:400]])


def test_refreshes_that_leave_no_time_are_refused():
    for name, kind in (("ddr4", "all_bank"), ("hbm3", "per_bank")):
        with pytest.raises(ChipError, match=f"refresh.{kind}: .* leave no time"):
            vary(device(name), {f"refresh.{kind}": "10 clk"})


def test_times_beyond_the_range_are_refused():
    with pytest.raises(EmuError, match="beyond"):
        Dram("ddr4").submit(1 << 80, 0, 64)
