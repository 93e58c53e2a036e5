"""Is a report one file that asks nothing of any network, opens without errors, and does its timeline zoom and do its tables sort?"""

import json
import re
from html.parser import HTMLParser

import browser
import pytest
import samples

import emu
from emu.report.document import MOST_SLICES, document, timeline_data, write_report
from emu.report.trace import Counter, TraceRecord
from emu.study.timeline import Timeline

MODEL = "examples/models/tiny-llama/config.json"


@pytest.fixture(scope="module")
def estimate():
    chip = emu.chip("tiny").vary({"hbm.latency": "120 ns"})  # which makes it an assumption
    return emu.estimate(emu.load_model(MODEL), chip, batch=2, prompt=32, generate=4)


@pytest.fixture(scope="module")
def report(estimate, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    estimate.report(path, question="How fast is <b>tiny</b>?")
    return path


class Outward(HTMLParser):
    """Everything in a page that could fetch something."""

    def __init__(self):
        super().__init__()
        self.found, self.tags = [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            link = name in ("href", "xlink:href") and not str(value).startswith(("#", "data:"))
            if link or name in ("src", "srcset", "action", "data", "poster"):
                self.found.append((tag, name, value))


def test_it_needs_no_network(report):
    text = report.read_text()
    parser = Outward()
    parser.feed(text)
    assert parser.found == [] and not parser.tags & {"iframe", "object", "embed", "img"}
    assert "default-src 'none'" in text.replace("&#x27;", "'") and "url(http" not in text and "@import" not in text
    assert "How fast is &lt;b&gt;tiny&lt;/b&gt;?" in text and "<b>tiny</b>" not in text


def test_it_holds_everything(report, estimate):
    text = report.read_text()
    for heading in ("Plots", "Timeline", "Assumed", "Repeat it", "Roofline"):
        assert re.search(rf"<h2>{heading}", text), heading
    assert text.count("<figure") >= 3 and text.count("<svg") >= 3
    assert all(f"<td style='text-align:left'>{row['key']}</td>" in text for row in estimate.to_dict()["assumed"])
    result = json.loads(re.search(r'id="result">(.*?)</script>', text, re.S)[1])
    assert result == json.loads(estimate.to_json())


def test_its_command_gives_the_same_again(estimate):
    command = estimate.command().replace(repr(estimate.model.name), repr(MODEL))
    again = eval(command, {"emu": emu})
    assert again.to_dict() | {"model": ""} == estimate.to_dict() | {"model": ""}
    chip = emu.chip("tiny").vary({"hbm.latency": "1 us"})
    varied = emu.estimate(emu.load_model(MODEL), chip, prompt=8, generate=1, data="zeros", clock="max")
    again = eval(varied.command().replace(repr(varied.model.name), repr(MODEL)), {"emu": emu})
    assert again.to_dict() | {"model": ""} == varied.to_dict() | {"model": ""}


def test_it_opens_without_a_word_on_the_console(report):
    dom, console = browser.opened(report.as_uri(), "--dump-dom")
    assert console == [] and "Timeline" in dom


def test_the_timeline_zooms_and_moves(report, tmp_path):
    script = """
      const t = window.timeline, seen = [[t.from, t.to, t.drawn]], canvas = t.canvas;
      canvas.dispatchEvent(new WheelEvent('wheel', {deltaY: -100, clientX: canvas.getBoundingClientRect().left + 200, cancelable: true}));
      seen.push([t.from, t.to, t.drawn]);
      document.querySelector('[data-zoom=in]').click(); seen.push([t.from, t.to, t.drawn]);
      document.querySelectorAll('[data-from]')[1].click(); seen.push([t.from, t.to, t.drawn]);
      document.querySelector('[data-zoom=all]').click(); seen.push([t.from, t.to, t.drawn]);
      const s = t.data.slices[3];
      const slice = [t.data.ops[s[4]], t.data.names[s[3]], t.data.lines[s[6]]];
      return {seen, end: t.data.end, under: t.under(s[1] + s[2] / 2, s[0]), slice};
    """
    found, console = browser.used(report, script, tmp_path)
    assert console == []
    (a, b, drawn), wheel, button, phase, whole = found["seen"]
    assert (a, b) == (0, found["end"]) and drawn > 20
    assert wheel[1] - wheel[0] == pytest.approx(0.8 * (b - a)) and button[1] - button[0] == pytest.approx(0.4 * (b - a))
    assert phase[0] > 0 and phase[1] == pytest.approx(b) and whole[:2] == [0, b]
    assert all(text in found["under"] for text in found["slice"])  # operation, instruction, program line


def test_tables_sort(report, tmp_path):
    script = """
      const first = (t) => t.tHead && t.tHead.rows[0].cells[0].textContent;
      const table = [...document.querySelectorAll('table')].find((t) => first(t) === 'operation');
      const heads = [...table.tHead.rows[0].cells], column = heads.findIndex((h) => h.textContent === 'time');
      const read = (c) => [...table.tBodies[0].rows].map((r) => r.cells[c].textContent);
      const before = read(column);
      heads[column].click(); const up = read(column);
      heads[column].click(); const down = read(column), sorted = heads[column].getAttribute('aria-sort');
      heads[0].click(); const names = read(0);
      const probe = ['1.5 ms', '64 GiB', '12 345', '-', '3 m', 'mm'].map(numberOf);
      return {before, up, down, sorted, names, numbers: up.map(numberOf), probe};
    """
    found, console = browser.used(report, script, tmp_path)
    assert console == []
    assert found["numbers"] == sorted(found["numbers"]) and sorted(found["up"]) == sorted(found["before"]) != found["up"]
    assert found["up"] != found["before"]
    assert found["down"] == found["up"][::-1] and found["sorted"] == "descending" and found["names"] == sorted(found["names"])
    assert found["probe"] == [0.0015, 64 * 2**30, 12345, None, 0.003, None]


def test_hostile_names_stay_text(tmp_path):
    bad = "</script><script>document.title='owned'</script>"
    counter = Counter(bad, [(0, 1.0), (10**9, 0.0)])
    t = Timeline({}, [TraceRecord(0, "mm", 0, 10**9, bad, bad, bad)], counters=[counter], phases=[(bad, 0, 10**9)])
    path = tmp_path / "bad.html"
    write_report(path, [samples.ESTIMATE | {"model": bad, "chip": bad}], question=bad, command=bad, timeline=t)
    assert "<script>document.title" not in path.read_text()
    dom, console = browser.opened(path.as_uri(), "--dump-dom")
    assert console == [] and not re.search("<title>owned", dom)


@pytest.mark.parametrize("name", samples.ALL)
def test_every_kind_has_a_report(name, tmp_path):
    text = document([samples.ALL[name]])
    assert text.startswith("<!doctype html>") and samples.ALL[name]["chip"] in text


def test_a_long_timeline_is_cut_and_says_so():
    records = [TraceRecord(0, "mm", j * 10, j * 10 + 15, "mm", "op") for j in range(MOST_SLICES + 7)]
    data = timeline_data(Timeline({}, [*records, TraceRecord(1, "mm", 0, 5, "other core", "op")], phases=[("p", 0, 10)], unrecorded=3))
    assert len(data["slices"]) == MOST_SLICES and data["left_out"] == 10 and data["names"] == ["mm"]
    assert all(a[1] + a[2] <= b[1] + 1e-12 for a, b in zip(data["slices"], data["slices"][1:]))  # pipelined ones end where the next begins
    assert "10 later instructions" in document([samples.ESTIMATE], timeline=Timeline({}, records, phases=[("p", 0, 10)], unrecorded=3))
