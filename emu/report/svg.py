"""A chip's block diagram as one SVG without script, font or link, all text escaped. Figures carry the numbers of their sources."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from html import escape

from emu.report.diagram import ENGINES, Box, Diagram, Line, Path
from emu.report.page import clean

WIDTH = 1120
MARGIN = 24
LINE = 18
CHARS = 175  # of a line of sources
STACK = 4  # copies that are drawn behind a box, each OFFSET further
OFFSET = 4
PER_ROW = 5
DROP = 40  # from the network down to what hangs on it
STYLE = """
text { font: 13px 'Helvetica Neue', Arial, sans-serif; fill: #1c2733 }
.title { font-size: 20px; font-weight: 600 } .name { font-weight: 600 } .small { font-size: 11px; fill: #4a5763 }
.assumed { fill: #a14a00; font-style: italic } .ref { font-size: 9px; fill: #5b7a99 } .warn { fill: #a11; font-weight: 600 }
.box { fill: #fff; stroke: #33475b } .chip { fill: #f3f6f9; stroke: #33475b; stroke-width: 1.5 } .core { fill: #e3edf6; stroke: #33475b }
.bus { fill: #33475b } .onbus, .onbus .ref { fill: #fff } .path { stroke: #33475b; stroke-width: 1.5; fill: none } .head { fill: #33475b }
"""


class _Canvas:
    """Shapes so far, and the sources that figures were numbered by."""

    def __init__(self) -> None:
        self.shapes: list[str] = []
        self.sources: dict[tuple[str, str], int] = {}

    def rect(self, x: float, y: float, w: float, h: float, kind: str, copies: int = 1) -> None:
        for i in reversed(range(min(copies, STACK))):
            at = f'x="{x + i * OFFSET:g}" y="{y - i * OFFSET:g}"'
            self.shapes.append(f'<rect {at} width="{w:g}" height="{h:g}" rx="4" class="{kind}"/>')

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> None:
        self.shapes.append(f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{escape(clean(words))}</text>')

    def line(self, x: float, y: float, line: Line, kind: str = "", anchor: str = "start") -> None:
        """A statement: italic with a star where it is assumed; its sources as small numbers, and in full when pointed at."""
        numbers = sorted({self._number(f.tag or "not stated", f.source or "") for f in line.figures})
        refs = f'<tspan class="ref" dy="-4"> {",".join(map(str, numbers))}</tspan>' if numbers else ""
        hover = "\n".join(f"{f.key} = {clean(f.value)} [{f.tag or 'not stated'}] {clean(f.source or '')}" for f in line.figures)
        tip = f"<title>{escape(hover)}</title>" if hover else ""
        style = f"{kind} assumed" if line.assumed and kind != "onbus" else kind
        at = f'x="{x:g}" y="{y:g}" class="{style.strip()}" text-anchor="{anchor}"'
        self.shapes.append(f"<text {at}>{tip}{escape(str(line))}{refs}</text>")

    def _number(self, tag: str, source: str) -> int:
        return self.sources.setdefault((tag, source), len(self.sources) + 1)

    def arrow(self, points: Iterable[tuple[float, float]], start: bool, end: bool) -> None:
        path = " L ".join(f"{x:g} {y:g}" for x, y in points)
        ends = (' marker-start="url(#back)"' if start else "") + (' marker-end="url(#ahead)"' if end else "")
        self.shapes.append(f'<path d="M {path}" class="path"{ends}/>')


def svg(drawn: Diagram) -> str:
    """The picture as text of an .svg file."""
    canvas = _Canvas()
    y = _head(canvas, drawn)
    top = y
    canvas.shapes.append("")  # the chip's outline goes here, under everything, when its height is known
    outline = len(canvas.shapes) - 1
    y = _core(canvas, drawn, y + 16)
    y = _bus(canvas, drawn, y + 22)
    around = [*drawn.levels, drawn.memory, *drawn.links]
    for start in range(0, len(around), PER_ROW):
        y = _row(canvas, around[start: start + PER_ROW], y + DROP, stub=start == 0)
    canvas.shapes[outline] = f'<rect x="{MARGIN}" y="{top:g}" width="{WIDTH - 2 * MARGIN}" height="{y + 18 - top:g}" rx="8" class="chip"/>'
    height = _sources(canvas, y + 50)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}" role="img">'
        f"<title>{escape(drawn.title)}</title><style>{STYLE}</style>"
        '<defs><marker id="ahead" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" class="head"/></marker>'
        '<marker id="back" viewBox="0 0 8 8" refX="1" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M8 0 L0 4 L8 8 z" class="head"/></marker></defs>'
        f'<rect width="{WIDTH}" height="{height:g}" fill="#fff"/>' + "\n".join(canvas.shapes) + "</svg>\n"
    )


def _head(canvas: _Canvas, drawn: Diagram) -> float:
    canvas.text(MARGIN, 36, drawn.title, "title")
    y = 58.0
    if drawn.hypothetical:
        canvas.text(MARGIN, y, "Hypothetical: no such silicon exists to be measured.", "warn")
        y += LINE
    for line in drawn.head:
        canvas.line(MARGIN, y, line)
        y += LINE
    for start in range(0, len(drawn.peaks), 4):
        for i, line in enumerate(drawn.peaks[start: start + 4]):
            canvas.line(MARGIN + i * (WIDTH - 2 * MARGIN) / 4, y, line)
        y += LINE
    return y


def _core(canvas: _Canvas, drawn: Diagram, y: float) -> float:
    """The core: its five parts in a row, paths between neighbours straight, the others below."""
    left, width = MARGIN + 16.0, WIDTH - 2 * MARGIN - 32.0 - STACK * OFFSET
    gap, inner = 74.0, 14.0
    each = (width - 2 * inner - 4 * gap) / 5
    rows = max(len(box.lines) for box in drawn.parts.values())
    far = [p for p in drawn.paths if _distance(p) > 1]
    high = 30 + rows * LINE
    total = 44 + high + 26 + 24 * len(far) + 8
    canvas.rect(left, y + STACK * OFFSET, width, total, "core", 99)
    y += STACK * OFFSET
    canvas.line(left + inner, y + 22, drawn.core, "name")
    at = {name: left + inner + i * (each + gap) for i, name in enumerate(ENGINES)}
    for name, box in drawn.parts.items():
        _box(canvas, box, at[name], y + 44, each, high)
    for path in drawn.paths:
        if _distance(path) == 1:
            _near(canvas, drawn, path, at, each, y + 44 + high / 2)
    for i, path in enumerate(far):
        _below(canvas, path, at, each, y + 44 + high, 26 + 24 * i)
    return y + total


def _distance(path: Path) -> int:
    return abs(ENGINES.index(path.engine) - ENGINES.index(path.space))


def _near(canvas: _Canvas, drawn: Diagram, path: Path, at: dict[str, float], each: float, y: float) -> None:
    """Between neighbours: an arrow each way that exists, its bytes per clock above and below."""
    start, end = sorted((path.engine, path.space), key=ENGINES.index)
    x0, x1 = at[start] + each + (min(drawn.parts[start].copies, STACK) - 1) * OFFSET, at[end]
    into = path.engine == end  # what is read flows to the engine
    canvas.arrow(((x0, y), (x1, y)), start=bool(path.write if into else path.read), end=bool(path.read if into else path.write))
    shown = [f"r {path.read}"] * bool(path.read) + [f"w {path.write}"] * bool(path.write)
    for i, words in enumerate(shown):
        canvas.line((x0 + x1) / 2, y - 8 if i == 0 else y + 16, Line(words, path.line.figures if i == 0 else ()), "small", "middle")


def _below(canvas: _Canvas, path: Path, at: dict[str, float], each: float, y: float, depth: float) -> None:
    start, end = sorted((path.engine, path.space), key=ENGINES.index)
    shift = -12 if path.engine == "vec" else 12
    x0, x1 = at[start] + each / 2 + shift, at[end] + each / 2 + shift
    into = path.engine == end
    points = ((x0, y), (x0, y + depth), (x1, y + depth), (x1, y))
    canvas.arrow(points, start=bool(path.write if into else path.read), end=bool(path.read if into else path.write))
    canvas.line((x0 + x1) / 2, y + depth - 5, path.line, "small", "middle")


def _box(canvas: _Canvas, box: Box, x: float, y: float, w: float, h: float) -> None:
    canvas.rect(x, y, w, h, "box", box.copies)
    canvas.text(x + 8, y + 18, box.name, "name")
    for i, line in enumerate(box.lines):
        canvas.line(x + 8, y + 38 + i * LINE, line)


def _bus(canvas: _Canvas, drawn: Diagram, y: float) -> float:
    left, width = MARGIN + 16, WIDTH - 2 * MARGIN - 32
    canvas.arrow(((WIDTH / 2, y - 22), (WIDTH / 2, y)), start=True, end=True)
    canvas.rect(left, y, width, 26, "bus")
    canvas.line(left + 12, y + 18, Line(f"network: {drawn.noc.text}", drawn.noc.figures), "onbus")
    return y + 26


def _row(canvas: _Canvas, boxes: list[Box], y: float, stub: bool) -> float:
    left, width, gap = MARGIN + 16, WIDTH - 2 * MARGIN - 32, 24
    number = max(4, len(boxes))
    each = (width - gap * (number - 1)) / number
    high = 30 + LINE * max(len(box.lines) for box in boxes)
    for i, box in enumerate(boxes):
        x = left + i * (each + gap)
        if stub:
            canvas.arrow(((x + each / 2, y - DROP), (x + each / 2, y - (min(box.copies, STACK) - 1) * OFFSET)), start=True, end=True)
        _box(canvas, box, x, y, each - STACK * OFFSET, high)
    return y + high


def _sources(canvas: _Canvas, y: float) -> float:
    canvas.text(MARGIN, y, "Where figures come from (italic with a star: assumed; point at a figure to see its own)", "name")
    y += LINE
    for (tag, source), number in canvas.sources.items():
        for part in textwrap.wrap(f"{number}  [{tag}] {clean(source)}", CHARS):
            canvas.text(MARGIN, y, part, "small assumed" if tag == "assumed" else "small")
            y += 15
    return y + 10
