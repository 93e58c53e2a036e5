"""Can a person read what is printed, and is it all there?"""

import io
import re

import pytest
import samples

from emu.report import units
from emu.report.text import render, render_result


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("name", samples.ALL)
def test_fits_100_columns_without_colour(name):
    text = render_result(samples.ALL[name])
    assert max(map(len, text.split("\n"))) <= 100
    assert "\x1b" not in text
    assert text == render_result(samples.ALL[name])
    assert not any(line != line.rstrip() for line in text.split("\n"))


def test_estimate_says_everything_asked_for():
    text = render_result(samples.ESTIMATE)
    for wanted in (
        "llama-3-8b on jalapeno", "hypothetical", "batch 8, prompt 512, generate 128", "12.30 ms", "950.0 us", "8421 tokens/s", "46.50 mJ",
        "prefill", "decode", "mm: dram bandwidth 84.0 %", "61.0 %", "32.0 %", "412.0 W", "ffn gate and up", "hbm", "1.07x",
        "more than the chip's TDP", "513: 940.0 us",
        "assumed in the chip's description core.vector rate1 1 per clock, rate2", "derived in the chip's description",
        "weights 14.96 GiB + KV cache 640.0 MiB of 216.0 GiB", "fidelity fast", "stack bare",
    ):
        assert wanted in " ".join(text.split()), wanted


def test_encoder_has_no_decode_figures():
    text = render_result(samples.ENCODER)
    assert "6500 sequences/s" in text
    for absent in ("first token", "per output token", "generate", "hypothetical"):
        assert absent not in text


def test_op_shows_stalls_largest_first_and_sums():
    text = render_result(samples.OP)
    head = next(line for line in text.split("\n") if line.strip().startswith("engine"))
    assert head.split() == ["engine", "busy", "dram", "bandwidth", "operand", "finished", "not", "started"]  # port: nobody waited
    mm = next(line for line in text.split("\n") if line.strip().startswith("mm "))
    assert sum(float(x) for x in re.findall(r"([\d.]+) %", mm)) == pytest.approx(100, abs=0.2)
    assert "tile 256x256x512" in text and "1.09x" in text


def test_run_and_infer():
    run = render_result(samples.RUN)
    assert "(no label)" in run and "148 500 cycles" in run and "sync_events" in run
    formats = " ".join(render_result(samples.INFER_FORMATS).split())
    for wanted in ("nvfp4 dynamic 28.56 MiB 0.968300 91 234 61.00 us 7.000 mJ", "mxfp6: not on this chip. jalapeno", "text a red apple"):
        assert wanted in formats
    infer = render_result(samples.INFER)
    assert "cosine to fp32 reference" in infer and "0.999980" in infer and "384 numbers" in infer


def test_colour_only_on_a_terminal_and_not_against_no_color(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in render_result(samples.OP, Terminal())
    assert "\x1b[" not in render_result(samples.OP, io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in render_result(samples.OP, Terminal())


@pytest.mark.parametrize("columns", [60, 80, 300])
def test_narrow_and_wide_terminals(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    assert max(map(len, render_result(samples.ESTIMATE, Terminal()).split("\n"))) <= min(columns, 100)


def test_names_from_files_cannot_move_the_cursor_or_forge_markup():
    hostile = samples.ESTIMATE | {"model": "\x1b[2Jevil\r\n[bold]x[/bold]", "chip": "a\x07b"}
    text = render_result(hostile)
    assert "\x1b" not in text and "\r" not in text and "\x07" not in text
    assert "[bold]x[/bold]" in text


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind 'poem'"):
        render_result({"kind": "poem"})


@pytest.mark.parametrize(("value", "text"), [
    (None, "-"), (0, "0 s"), (1.5, "1.500 s"), (0.00123, "1.230 ms"), (9.9999e-4, "1.000 ms"), (0.99999, "1.000 s"), (2.5e-7, "250.0 ns"),
    (3e-15, "3.000 fs"), (7200.0, "7200 s"), (-0.5, "-500.0 ms"),
])
def test_seconds(value, text):
    assert units.seconds(value) == text


def test_other_units():
    assert units.size(0) == "0 B" and units.size(1536) == "1.500 KiB" and units.size(80 << 30) == "80.00 GiB"
    assert units.percent(0.5) == "50.0 %" and units.percent(0.00012) == "0.012 %" and units.percent(None) == "-"
    assert units.count(12345) == "12 345" and units.count(6.9e10) == "69.00 G" and units.watts(1234) == "1.234 kW"
    assert units.times(1.0666) == "1.07x" and units.times(None) == "-" and units.rate(8421.4) == "8421 /s"


@pytest.mark.parametrize(("text", "size"), [
    ("4096", 4096), ("8GiB", 8 << 30), ("8 gib", 8 << 30), ("1.5 KiB", 1536), ("500MB", 500_000_000), ("7B", 7),
])
def test_sizes_are_read(text, size):
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "8 parsecs", "-1", "1e400GB", "nan", "GiB", "1 2", "9e18GiB"])
def test_wrong_sizes_are_refused(text):
    with pytest.raises(ValueError, match="is not a size"):
        units.parse_size(text)


def test_page_without_a_stream_is_plain():
    from emu.report.page import Page

    assert render(Page("title")) == "title\n"
