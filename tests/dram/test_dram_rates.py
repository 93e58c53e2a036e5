"""Are the generated tables of rates complete, plausible and what the core gives now?"""

from __future__ import annotations

import pytest

from emu.chip.dram import device, devices
from emu.errors import CacheError, UnsupportedError
from emu.machine.dram import generate, rates


@pytest.mark.parametrize("name", devices())
def test_every_class_has_a_rate_below_the_peak(name):
    table = rates.rates(name)
    assert [r.of for r in table] == list(rates.classes())
    least = (device(name).timing.get("RCDRD") or device(name).timing["RCD"]) * device(name).tick_fs * 1e-6
    assert all(0 < r.share_of_peak < 1 and r.latency_ns > least for r in table)
    for m in rates.MAPS:
        best = rates.rate(name, map=m, kind="sequential", bytes=4096, streams=1, writes=0.0)
        assert best.share_of_peak >= rates.rate(name, map=m, kind="random", bytes=64, writes=0.0).share_of_peak


def test_a_line_is_what_a_run_gives():
    c = next(c for c in rates.classes() if c.kind == "random" and c.bytes == 256 and c.writes)
    assert rates.measure(device("ddr4"), c) in rates.rates("ddr4")


def test_the_committed_tables_are_not_stale():
    assert generate.stale("hbm3", 40) is None and generate.stale("ddr3", 40) is None


@pytest.mark.parametrize(("change", "says"), [
    (lambda t: t.replace("\t64\t64\t1\t0.0\t0.", "\t64\t64\t1\t0.0\t1.", 1), "line 4"),
    (lambda t: t.rsplit("\n", 2)[0] + "\n", "lines; there are"),
    (lambda t: t.replace("Digest of the device's table: ", "Digest of the device's table: f", 1), "has changed"), (None, "missing"),
])  # fmt: skip
def test_a_stale_table_is_found(tmp_path, monkeypatch, capsys, change, says):
    if change:
        (tmp_path / "ddr4.tsv").write_text(change((generate.FOLDER / "ddr4.tsv").read_text()))
    monkeypatch.setattr(generate, "FOLDER", tmp_path)
    assert generate.main(["--check", "ddr4"]) == 1
    assert says in capsys.readouterr().err


def test_what_is_no_table_or_no_class_is_refused(tmp_path, monkeypatch):
    with pytest.raises(UnsupportedError, match="did you mean 'stride_bytes'"):
        rates.rate("ddr4", stride=64)
    with pytest.raises(UnsupportedError, match="classes of ddr4 match"):
        rates.rate("ddr4", map="stream")
    with pytest.raises(UnsupportedError, match="did you mean 'hbm4'"):
        rates.rates("hbm44")
    monkeypatch.setattr(rates, "FOLDER", tmp_path)
    (tmp_path / "gddr6.tsv").write_text("a\tb\n1\t2\n")
    rates.rates.cache_clear()
    with pytest.raises(CacheError, match="generate writes it"):
        rates.rates("gddr6")
    rates.rates.cache_clear()
