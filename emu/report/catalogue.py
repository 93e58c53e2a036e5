"""Pages of what there is to choose from: the chips, one chip with its sources, the models."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from emu.report import units
from emu.report.page import Drawing, Note, Page, Pairs, Table, clean

SAME = '"'  # the source of the line above

if TYPE_CHECKING:
    from emu.chip.compare import Difference
    from emu.chip.schema import Chip
    from emu.models import Model


# Of operands, by the first format that there is.
WIDTHS = (("bf16", ("bf16",)), ("8 bit", ("fp8_e4m3", "int8")), ("4 bit", ("fp4_e2m1", "int4")))


def chips_page(chips: "Iterable[Chip]") -> Page:
    rows = []
    for chip in chips:
        rates: list[str] = [str(fmt) for fmt in chip.core.matrix.macs_per_clk]
        peaks = [next((units.digits(chip.peak_flops(f) / 1e12, 3) for f in formats if f in rates), units.DASH) for _, formats in WIDTHS]
        memory = [units.size(chip.hbm.capacity_bytes), units.si(chip.hbm.bandwidth_bytes_per_s, "B/s")]
        kind = "hypothetical" if chip.hypothetical else clean(chip.vendor) or units.DASH
        server = str(chip.server.chips) if chip.server else units.DASH
        rows.append([clean(chip.name), kind, str(chip.core_count), *peaks, *memory, units.watts(chip.power.tdp_w), server])
    columns = ["chip", "made by", "cores", *(width for width, _ in WIDTHS), "memory", "bandwidth", "TDP", "server"]
    hint = Note("bf16, 8 bit, 4 bit: dense peak in TFLOP/s or TOP/s; server: chips in one. emu chips show NAME draws a chip and prints "
                "every figure with its source; diff, new, area, cost: emu chips --help")
    return Page("chips", [Table(columns, rows, left=frozenset({"made by"})), hint])


def chip_page(chip: "Chip") -> Page:
    """The chip drawn, and every figure of the description with its tag and source, after what follows from them."""
    from emu.report.diagram import diagram, text

    page = Page(clean(chip.title) if chip.title.startswith(chip.name) else clean(f"{chip.name}: {chip.title}".rstrip(": ")))
    if chip.hypothetical:
        page.add(Note(f"{clean(chip.name)} is a hypothetical chip: no such silicon exists to be measured.", warn=True))
    if chip.note:
        page.add(Note(clean(chip.note)))
    figures = chip.figures()
    assumed = sum(f.tag == "assumed" for f in figures)
    page.add(Drawing(text(diagram(chip))), Note(f"* assumed: {assumed} of {len(figures)} figures, each with its reason below"))
    page.add(Pairs([*(_peak(chip, str(fmt)) for fmt in chip.core.matrix.macs_per_clk), ("digest", chip.digest[:16])]))
    rows: list[list[str]] = []
    before = None
    for f in figures:
        again = f.source is not None and f.source == before
        rows.append([clean(f.key), clean(f.value), f.tag or units.DASH, SAME if again else clean(f.source or units.DASH)])
        before = f.source
    page.add(Table(["figure", "value", "tag", "source"], rows, left=frozenset({"tag", "value", "source"})))
    return page


def _peak(chip: "Chip", fmt: str) -> tuple[str, str]:
    """A computed peak beside what is published of it."""
    words = units.si(chip.peak_flops(fmt), "FLOP/s")
    published: dict[str, float] = {str(f): v for f, v in chip.published.items()}
    conflicts = {str(f): c for f, c in chip.published_conflict.items()}
    if fmt in published:
        words += f" (published {units.si(published[fmt], 'FLOP/s')})"
    if fmt in conflicts:
        figures = ", ".join(units.si(v, "FLOP/s") for v in conflicts[fmt].figures)
        words += f"; in conflict: {figures}: {clean(conflicts[fmt].note)}"
    return f"dense peak {fmt}", words


def differences_page(a: "Chip", b: "Chip", found: "Iterable[Difference]") -> Page:
    """Two chips beside each other, where they differ."""
    page = Page(f"{clean(a.name)} and {clean(b.name)}")
    for chip in (a, b):
        if chip.hypothetical:
            page.add(Note(f"{clean(chip.name)} is a hypothetical chip: no such silicon exists to be measured.", warn=True))
    rows = [[clean(d.key), clean(d.a), clean(d.b), units.DASH if d.ratio is None else units.times(d.ratio)] for d in found]
    if not rows:
        page.add(Note("every figure is the same"))
        return page
    page.add(Table(["figure", clean(a.name), clean(b.name), "ratio"], rows, left=frozenset({clean(a.name), clean(b.name)})))
    page.add(Note("* assumed; -: not stated"))
    return page


def models_page(models: "Iterable[Model]") -> Page:
    rows = []
    for model in models:
        c = model.config
        heads = str(c.q_heads) if c.q_heads == c.kv_heads else f"{c.q_heads}/{c.kv_heads}"
        sizes = [str(c.layers), str(c.hidden), heads, str(c.ffn), str(c.vocab), str(c.max_positions)]
        rows.append([clean(c.name), clean(c.family), units.si(model.param_count, "", "G"), *sizes])
    columns = ["model", "family", "parameters", "layers", "hidden", "heads", "ffn", "vocabulary", "context"]
    hint = Note("heads: of queries/of keys and values; any config.json of these families works too")
    return Page("models", [Table(columns, rows, left=frozenset({"family"})), hint])
