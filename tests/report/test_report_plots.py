"""Do plots show the numbers they are given, say what is hypothetical, and come out the same each time?"""

import subprocess
import sys

import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st

import emu
from emu.report import draw, draw_studies
from emu.report.pictures import pictures_of

pytest.importorskip("matplotlib")

ROWS = [
    {"batch": b, "chip.hbm.bandwidth": w, "tokens_per_s": float(b * w), "tpot_s": 1 / w, "joules_per_token": 1 / b, "error": None}
    for b in (1, 4) for w in (10, 20, 40)
]  # fmt: skip
STUDY = samples.HEADER | {"kind": "study", "model": "m", "axes": ["batch", "chip.hbm.bandwidth"], "rows": ROWS, "set": {}}
GAINS = {
    "kind": "sensitivity", "chip": "c", "model": "m", "hypothetical": False, "outputs": ["ttft"], "ordered_by": "ttft",
    "rows": [
        {"figure": "a", "value": "1", "frozen": {"ttft": 0.25}, "remapped": {"ttft": -0.5}}, {"figure": "b", "value": "2", "error": "no"},
        {"figure": "c", "value": "3", "frozen": {"ttft": 0.0}, "remapped": {"ttft": 0.0}},
    ],
}  # fmt: skip


def widths(figure):
    """Bars of each line of a stack: y -> widths."""
    found = {}
    for bar in figure.axes[0].patches:
        found.setdefault(round(bar.get_y() + bar.get_height() / 2, 3), []).append(bar.get_width())
    return found


def test_stacks_sum_to_what_they_stand_for():
    assert all(sum(bars) == pytest.approx(100) for bars in widths(draw.stall_stack(samples.ESTIMATE)).values())
    assert all(sum(bars) == pytest.approx(100) for bars in widths(draw.stall_stack(samples.OP)).values())
    prefill, decode = widths(draw.energy_stack([samples.ESTIMATE])).values()
    joules = sum(samples.ENERGY.values())
    assert sum(prefill) == pytest.approx(1e3 * joules / (8 * 512)) and sum(decode) == pytest.approx(1e3 * joules / (8 * 127))
    assert sum(next(iter(widths(draw.energy_stack([samples.OP])).values()))) == pytest.approx(joules)


def test_a_tornado_has_a_bar_for_every_gain():
    figure = draw.tornado(GAINS, "ttft")
    assert sorted(bar.get_width() for bar in figure.axes[0].patches) == [-0.5, 0.25]
    assert "hypothetical" not in figure.axes[0].get_title(loc="left")
    with pytest.raises(emu.EmuError, match="did you mean 'ttft'"):
        draw.tornado(GAINS, "tttf")


def test_a_heat_map_is_the_table():
    figure = draw_studies.heat_map(STUDY, "chip.hbm.bandwidth", "batch", "tokens_per_s")
    assert figure.axes[0].images[0].get_array().tolist() == [[10, 20, 40], [40, 80, 160]]
    assert "(hypothetical)" in figure.axes[0].get_title(loc="left")
    one = draw_studies.heat_map({**STUDY, "axes": ["batch", "chip.hbm.bandwidth"]}, "batch", "batch", "tpot_s")
    assert one.axes[0].images[0].get_array().count() == 2  # the quickest over what else varies
    for words in (("batch", "prompt", "tpot_s"), ("batch", "chip.hbm.bandwidth", "tpot")):
        with pytest.raises(emu.EmuError, match="not varied|did you mean"):
            draw_studies.heat_map(STUDY, *words)


def test_the_batch_curve_has_a_line_a_group():
    figure = draw_studies.batch_curve(STUDY)
    lines = figure.axes[0].lines
    assert len(lines) == 3 and all(len(line.get_xdata()) == 2 for line in lines)
    assert lines[0].get_ydata().tolist() == [10, 40] and lines[0].get_xdata().tolist() == [10, 10]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30), st.sampled_from(["tpot_s", "mfu"]))
def test_the_front_is_what_nobody_beats(points, x):
    rows = [{x: a, "tokens_per_s": b} for a, b in points]
    sign = 1 if draw_studies.lower_is_better(x) else -1

    def beats(a, b):
        return sign * a[x] <= sign * b[x] and a["tokens_per_s"] >= b["tokens_per_s"] and a != b

    front = draw_studies.front(rows, x, "tokens_per_s")
    assert front and not any(beats(a, b) for a in rows for b in front)
    assert all(row in front or any(beats(best, row) for best in front) for row in rows)
    assert [sign * row[x] for row in front] == sorted({sign * row[x] for row in front})


def test_real_results_draw_themselves(tmp_path):
    estimate = emu.estimate("examples/models/tiny-llama/config.json", "tiny", prompt=16, generate=3)
    names = [name for name, _ in estimate.pictures()]
    assert names == ["stalls", "energy", "roofline", "layer-prefill", "layer-decode"]
    roof = dict(estimate.pictures())["roofline"]
    shown = [row for row in estimate.roofline().rows if row["flops"] and row["flops_per_byte"]]
    assert len(roof.axes[0].collections) == len(shown)
    layer = dict(estimate.pictures())["layer-decode"]
    assert [label.get_text() for label in layer.axes[0].get_yticklabels()][:2] == ["ld0", "ld1"] and layer.axes[0].collections
    for suffix in draw.ENDINGS:
        estimate.plot(tmp_path / f"e{suffix}", "roofline")
        assert (tmp_path / f"e{suffix}").stat().st_size > 1000
    for path, name in (("e.bmp", "roofline"), ("e.svg", "rofline")):
        with pytest.raises(emu.EmuError, match="written as|did you mean 'roofline'"):
            estimate.plot(tmp_path / path, name)


@pytest.mark.parametrize("d", [samples.ESTIMATE, samples.OP, STUDY, GAINS], ids=lambda d: d["kind"])
def test_the_same_bytes_each_time(d, tmp_path):
    for file in ("a.svg", "b.svg"):
        draw.save(pictures_of(d)[-1][1], tmp_path / file)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "<script" not in draw.svg(pictures_of(d)[0][1])


def test_drawing_leaves_pyplot_alone():
    code = (
        "import sys; sys.path.insert(0, 'tests/report')\nimport samples\nfrom emu.report.pictures import pictures_of\n"
        "from emu.report.draw import svg\ndrawn = [svg(f) for _, f in pictures_of(samples.ESTIMATE)]\n"
        "print(len(drawn), 'matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "2 False\n"
