"""Is a chip drawn whole, with what is assumed marked and every figure's source, and can nobody's text break the picture?"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

import emu
from emu.report.catalogue import chip_page
from emu.report.diagram import WIDTH, diagram, text
from emu.report.markdown import render
from emu.report.svg import svg

PRESETS = emu.chips()
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '</text><script>alert("x")</script>&amp; "quoted" \x1b[31m\n]]>'


def _shown(picture: str) -> str:
    """All words of an SVG, hovers and style left out."""
    root = ElementTree.fromstring(picture)
    return "\n".join("".join(part for part in node.itertext()) for node in root.iter(f"{SVG}text"))


@pytest.mark.parametrize("name", PRESETS)
def test_text_is_a_frame_of_one_width(name: str) -> None:
    chip = emu.chip(name)
    lines = text(diagram(chip)).split("\n")
    assert {len(line) for line in lines} == {WIDTH}
    drawn = "\n".join(lines)
    for box in ("dma", "sram", "mm", "acc", "vec", "memory", *(level.name for level in chip.levels), *(link.name for link in chip.links)):
        assert f"┌ {box} " in drawn, box
    assert f"core x {chip.core_count}," in drawn
    assert ("HYPOTHETICAL" in drawn or "hypothetical" in drawn.lower()) == chip.hypothetical


@pytest.mark.parametrize("name", PRESETS)
def test_each_line_rests_on_figures_and_says_what_is_assumed(name: str) -> None:
    chip = emu.chip(name)
    tags = {f.key: f.tag for f in chip.figures()}
    lines = list(diagram(chip).lines())
    for line in lines:
        assert str(line).endswith("*") == any(f.tag == "assumed" for f in line.figures)
        assert all(tags[f.key] == f.tag for f in line.figures)
    resting = sum(bool(line.figures) for line in lines)
    assert resting >= 0.9 * len(lines)  # the rest follows from the geometry: the fill of a systolic array
    said = {f.key for line in lines for f in line.figures}
    assert {"core_count", "core.clock", "core.sram.capacity", "hbm.bandwidth", "hbm.capacity", "power.tdp"} <= said


@pytest.mark.parametrize("name", PRESETS)
def test_svg_is_xml_with_a_source_for_each_number(name: str) -> None:
    chip = emu.chip(name)
    drawn = diagram(chip)
    picture = svg(drawn)
    root = ElementTree.fromstring(picture)
    assert {node.tag.removeprefix(SVG) for node in root.iter()} <= {*"svg title style defs marker path rect text tspan".split()}
    words = _shown(picture)
    listed = {int(m[1]): m[2] for m in re.finditer(r"^(\d+)\s+\[([a-z ]+)\]", words, re.MULTILINE)}
    used = {int(n) for node in root.iter(f"{SVG}tspan") for n in (node.text or "").split(",") if n.strip()}
    assert used == set(listed) == set(range(1, len(listed) + 1))
    assumed = [node for node in root.iter(f"{SVG}text") if "assumed" in node.get("class", "") and "small" not in node.get("class", "")]
    on_path = len([p for p in drawn.paths if p.line.assumed])
    lines = [line for line in drawn.lines() if line.assumed and line is not drawn.noc and line not in [p.line for p in drawn.paths]]
    assert len(assumed) == len(lines) and (on_path == 0 or "assumed" in listed.values())
    hovers = "\n".join(node.text or "" for node in root.iter(f"{SVG}title"))
    assert f"core.clock = {chip.figures()[[f.key for f in chip.figures()].index('core.clock')].value}" in hovers


def test_boxes_lie_within_the_chip() -> None:
    for name in ("h100", "mi300x", "tiny"):
        root = ElementTree.fromstring(svg(diagram(emu.chip(name))))
        nodes = [node for node in root.iter(f"{SVG}rect") if node.get("class")]
        rects = [(node.get("class"), *(float(node.get(k, 0)) for k in ("x", "y", "width", "height"))) for node in nodes]
        (chip,) = (r for r in rects if r[0] == "chip")
        for _, x, y, w, h in rects:
            assert chip[1] <= x and chip[2] <= y and x + w <= chip[1] + chip[3] and y + h <= chip[2] + chip[4]


def test_hostile_text_is_only_text() -> None:
    server = {"name": HOSTILE, "chips": 2, "topology": HOSTILE}
    chip = emu.chip("tiny").vary({"title": HOSTILE, "hbm.kind": HOSTILE, "links.ring.name": HOSTILE, "server": server})
    picture = svg(diagram(chip))
    root = ElementTree.fromstring(picture)
    assert "<script" not in picture and "\x1b" not in picture
    assert any("<script>" in (node.text or "") for node in root.iter(f"{SVG}text"))
    drawn = text(diagram(chip))
    assert "\x1b" not in drawn and {len(line) for line in drawn.split("\n")} == {WIDTH}


def test_notebook_and_narrow_terminal() -> None:
    from emu.report.html import render
    from emu.report.page import Drawing, Page

    assert "<pre>&lt;x&gt;</pre>" in render(Page("t", [Drawing("<x>")]))


def test_markdown_shows_the_diagram_as_it_stands() -> None:
    chip = emu.chip("tiny")
    assert f"\n```\n{text(diagram(chip))}\n```\n" in render(chip_page(chip))
