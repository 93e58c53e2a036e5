"""A chip as a block diagram: first what there is to draw, each line with its figures, then as text. emu.report.svg draws it too."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from emu.report import units
from emu.report.page import clean

if TYPE_CHECKING:
    from emu.chip.provenance import Figure
    from emu.chip.schema import Chip

ASSUMED = "*"  # behind what is assumed
ENGINES = ("dma", "sram", "mm", "acc", "vec")  # in the order in which data passes them
WIDTH = 98


@dataclass(frozen=True)
class Line:
    """A statement and the figures it is made of."""

    text: str
    figures: tuple[Figure, ...] = ()

    @property
    def assumed(self) -> bool:
        return any(f.tag == "assumed" for f in self.figures)

    def __str__(self) -> str:
        return self.text + (ASSUMED if self.assumed else "")


@dataclass(frozen=True)
class Box:
    """A part of the chip; `copies` of it are there, which only the picture shows."""

    name: str
    lines: tuple[Line, ...]
    copies: int = 1


@dataclass(frozen=True)
class Path:
    """What one engine moves to and from one space of the core per clock."""

    engine: str
    space: str
    read: int
    write: int
    line: Line


@dataclass(frozen=True)
class Diagram:
    """Everything to draw, from the core outwards."""

    title: str
    hypothetical: bool
    head: tuple[Line, ...]
    core: Line
    parts: dict[str, Box]
    """By the names in ENGINES."""
    paths: tuple[Path, ...]
    noc: Line
    levels: tuple[Box, ...]
    memory: Box
    links: tuple[Box, ...]
    peaks: tuple[Line, ...] = field(default=())

    def lines(self) -> Iterator[Line]:
        """Each statement once, in the order in which they are numbered."""
        yield from (*self.head, *self.peaks, self.core)
        for part in self.parts.values():
            yield from part.lines
        yield from (path.line for path in self.paths)
        yield self.noc
        for box in (*self.levels, self.memory, *self.links):
            yield from box.lines


class _Said:
    """Lines from a chip's figures: a key that the file does not state (a default, something derived) stands without one."""

    def __init__(self, chip: Chip) -> None:
        self._found = {f.key: f for f in chip.figures()}

    def __call__(self, text: str, *keys: str) -> Line:
        figures = [self._found[k] for k in keys if k in self._found]
        for key in keys:  # a whole table or list: all that is in it, said once for each source
            below = [f for k, f in self._found.items() if k.startswith(key + ".")]
            figures += [f for i, f in enumerate(below) if f.source not in [g.source for g in below[:i]]]
        return Line(clean(text), tuple(figures))


def diagram(chip: Chip) -> Diagram:
    """What there is to draw of a chip."""
    say = _Said(chip)
    process = chip.process
    node = f"{process.node_nm:g} nm"
    made = f"{process.name or node}{'' if node in (process.name or node) else f', {node}'}, {process.dies} x {process.die_area_mm2:g} mm2"
    power = f"TDP {units.watts(chip.power.tdp_w)}" + (f", all-in {units.watts(chip.power.all_in_w)}" if chip.power.all_in_w else "")
    head = [say(made, "process.node", "process.dies", "process.die_area"), say(power, "power.tdp", "power.all_in")]
    if chip.server:
        server = f"{chip.server.name}: {chip.server.chips} chips, {chip.server.topology}"
        head.append(say(server, "server.chips", "server.topology", "server.links"))
    peaks = tuple(_peak(chip, str(fmt), say) for fmt in chip.core.matrix.macs_per_clk)
    core = say(f"core x {chip.core_count}, {units.si(chip.core.clock_hz, 'Hz')}", "core_count", "core.clock")
    noc = say(f"{chip.noc.topology} {chip.noc.x} x {chip.noc.y}, {chip.noc.bytes_per_clk} B/clk a link, hop {chip.noc.hop_cycles} clk",
              "noc.topology", "noc.x", "noc.y", "noc.bandwidth", "noc.hop")
    name = clean(chip.title if chip.title.startswith(chip.name) else f"{chip.name}: {chip.title}".rstrip(": "))
    return Diagram(name, chip.hypothetical, tuple(head), core, _parts(chip, say), _paths(chip, say), noc, _levels(chip, say),
                   _memory(chip, say), _links(chip, say), peaks)


def _peak(chip: Chip, fmt: str, say: _Said) -> Line:
    rate = units.si(chip.peak_flops(fmt), "OP/s" if fmt.startswith("int") else "FLOP/s")
    return say(f"{fmt} {rate}", f"core.matrix.rate.{fmt}", f"core.matrix.macs_per_clk.{fmt}", f"published.{fmt}")


def _parts(chip: Chip, say: _Said) -> dict[str, Box]:
    core = chip.core
    m, v, d, s = core.matrix, core.vector, core.dma, core.sram
    dma = (say(f"{d.load_queues} loads, {d.store_queues} stores", "core.dma.load_queues", "core.dma.store_queues"),
           say(f"{d.bytes_per_clk} B/clk", "core.dma.bandwidth"), say(f"start {d.start_cycles} clk", "core.dma.start"),
           say(f"{units.size(d.inflight_bytes)} in flight", "core.dma.inflight"))
    mm = (say(m.dataflow.replace("_", " "), "core.matrix.dataflow"),
          say(f"{m.rows} x {m.cols} each", "core.matrix.rows", "core.matrix.cols", "core.matrix.units"),
          say(f"fill {m.fill_cycles} clk", "core.matrix.fill"), say(f"interval {m.min_interval_cycles} clk", "core.matrix.min_interval"))
    vec = (say(f"{v.lanes} lanes", "core.vector.lanes"),
           say(f"add {v.per_clk['add']:g} /clk", "core.vector.per_clk.add"),
           say(f"exp {v.per_clk['exp']:g} /clk", "core.vector.per_clk.exp"),
           say(f"startup {v.startup_cycles} clk", "core.vector.startup"))
    sram = (say(units.size(s.capacity_bytes), "core.sram.capacity"), say(f"{s.latency_cycles} clk", "core.sram.latency"),
            say(f"{s.banks} banks", "core.sram.banks"))
    acc = (say(units.size(core.acc.capacity_bytes), "core.acc.capacity"),)
    matrix = Box("mm" + (f" x {m.units}" if m.units > 1 else ""), mm, m.units)
    queues = Box("dma", dma, d.load_queues + d.store_queues)
    return {"dma": queues, "sram": Box("sram", sram), "mm": matrix, "acc": Box("acc", acc), "vec": Box("vec", vec)}


def _paths(chip: Chip, say: _Said) -> tuple[Path, ...]:
    found = []
    for i, port in enumerate(chip.core.ports):
        read, write = port.read_bytes_per_clk, port.write_bytes_per_clk
        rates = ", ".join(f"{word} {n}" for word, n in (("reads", read), ("writes", write)) if n)
        line = say(f"{port.engine} {port.space}: {rates} B/clk", f"core.ports.{i}")
        found.append(Path(str(port.engine), str(port.space), read, write, line))
    return tuple(found)


def _levels(chip: Chip, say: _Said) -> tuple[Box, ...]:
    instances = {"core": chip.core_count, "chip": 1, **{str(s.name): s.count for s in chip.scopes}}
    found = []
    for i, level in enumerate(chip.levels):
        key = f"levels.{i}."
        far = f", far {units.seconds(level.latency_far_s)}" if level.latency_far_s is not None else ""
        lines = (say(f"{level.kind} of a {level.scope}, {units.size(level.capacity_bytes)}", key + "kind", key + "scope", key + "capacity"),
                 say(units.si(level.bandwidth_bytes_per_s, "B/s"), key + "bandwidth"),
                 say(units.seconds(level.latency_s) + far, key + "latency", key + "latency_far"))
        there = instances.get(level.scope, 1)
        found.append(Box(clean(level.name) + (f" x {there}" if there > 1 else ""), lines, there))
    return tuple(found)


def _memory(chip: Chip, say: _Said) -> Box:
    hbm = chip.hbm
    lines = (say(f"{hbm.kind} x {hbm.stacks}", "hbm.kind", "hbm.stacks"), say(units.size(hbm.capacity_bytes), "hbm.capacity"),
             say(units.si(hbm.bandwidth_bytes_per_s, "B/s"), "hbm.bandwidth"), say(units.seconds(hbm.latency_s), "hbm.latency"),
             say(f"{hbm.achieved_fraction:g} achieved", "hbm.achieved_fraction"))
    return Box("memory", lines, hbm.stacks)


def _links(chip: Chip, say: _Said) -> tuple[Box, ...]:
    found = []
    for i, link in enumerate(chip.links):
        key = f"links.{i}."
        rate = f"{link.count} x {units.si(link.bandwidth_bytes_per_s, 'B/s')}"
        lines = (say(f"{rate} a direction", key + "count", key + "bandwidth"), say(units.seconds(link.latency_s), key + "latency"),
                 say(f"{link.topology} of up to {link.domain}", key + "topology", key + "domain"))
        found.append(Box(clean(link.name), lines, link.count))
    if chip.host_bytes_per_s:
        found.append(Box("host", (say(units.si(chip.host_bytes_per_s, "B/s") + " a direction", "host_bandwidth"),)))
    return tuple(found)


def text(drawn: Diagram) -> str:
    """The diagram in box-drawing characters, WIDTH columns; `*` marks what is assumed."""
    inner = WIDTH - 4
    core = [*_row([drawn.parts[name] for name in ENGINES], inner - 4), ""]
    core += _columns([str(path.line) for path in drawn.paths], inner - 4)
    body = [*_framed(str(drawn.core), core, inner), _bus(str(drawn.noc), inner)]
    around = [*drawn.levels, drawn.memory, *drawn.links]
    for start in range(0, len(around), 4):
        body += _row(around[start: start + 4], inner)
    head = [str(line) for line in drawn.head] + _columns([str(line) for line in drawn.peaks], inner)
    title = drawn.title + (" (HYPOTHETICAL)" if drawn.hypothetical and "hypothetical" not in drawn.title.lower() else "")
    return "\n".join(_framed(title, [*(part for line in head for part in _fit(line, inner)), *body], WIDTH))


def _fit(line: str, width: int) -> list[str]:
    """A line as it is if it fits: spaces between columns stay."""
    return [line] if len(line) <= width else _wrapped(line, width)


def _wrapped(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width) or [""]


def _framed(title: str, lines: Sequence[str], width: int) -> list[str]:
    title = textwrap.shorten(title, width - 6, placeholder="...")
    return [f"┌ {title} {'─' * (width - 4 - len(title))}┐", *(f"│ {line:<{width - 4}} │" for line in lines), f"└{'─' * (width - 2)}┘"]


def _bus(label: str, width: int) -> str:
    label = textwrap.shorten(f"network: {label}", width - 10, placeholder="...")
    return f"═══╪ {label} {'═' * (width - 7 - len(label))}╪"


def _row(boxes: Sequence[Box], width: int) -> list[str]:
    """Boxes side by side, as high as the highest, sharing the width."""
    share, rest = divmod(width - (len(boxes) - 1), len(boxes))
    widths = [share + (i < rest) for i in range(len(boxes))]
    filled = [[part for line in box.lines for part in _wrapped(str(line), w - 4)] for box, w in zip(boxes, widths)]
    height = max(map(len, filled))
    drawn = [_framed(box.name, [*lines, *[""] * (height - len(lines))], w) for box, lines, w in zip(boxes, filled, widths)]
    return [" ".join(parts) for parts in zip(*drawn)]


def _columns(texts: Sequence[str], width: int) -> list[str]:
    """Short texts in as many equal columns as fit."""
    each = max(map(len, texts), default=0) + 3
    number = max(1, width // each)
    rows = ("".join(f"{t:<{each}}" for t in texts[i: i + number]).rstrip() for i in range(0, len(texts), number))
    return [part for row in rows for part in _fit(row, width)]
