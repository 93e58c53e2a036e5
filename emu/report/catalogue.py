"""Pages of what there is to choose from: the chips, one chip with its sources, the models."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from emu.report import units
from emu.report.page import Note, Page, Pairs, Table, clean

SAME = '"'  # the source of the line above

if TYPE_CHECKING:
    from emu.chip.schema import Chip
    from emu.models import Model


def chips_page(chips: "Iterable[Chip]") -> Page:
    rows = []
    for chip in chips:
        rates = chip.core.matrix.macs_per_clk
        peak = units.si(chip.peak_flops("bf16"), "FLOP/s") if "bf16" in rates else units.DASH
        memory = [units.size(chip.hbm.capacity_bytes), units.si(chip.hbm.bandwidth_bytes_per_s, "B/s")]
        kind = "hypothetical" if chip.hypothetical else clean(chip.vendor) or units.DASH
        clock = units.si(chip.core.clock_hz, "Hz")
        rows.append([clean(chip.name), kind, str(chip.core_count), clock, peak, *memory, units.watts(chip.power.tdp_w)])
    columns = ["chip", "made by", "cores", "clock", "dense bf16 peak", "memory", "bandwidth", "TDP"]
    hint = Note("emu chips show NAME prints every figure with its source")
    return Page("chips", [Table(columns, rows, left=frozenset({"made by"})), hint])


def chip_page(chip: "Chip") -> Page:
    """Every figure of the description with its tag and source, after what follows from them."""
    page = Page(clean(chip.title) if chip.title.startswith(chip.name) else clean(f"{chip.name}: {chip.title}".rstrip(": ")))
    if chip.hypothetical:
        page.add(Note(f"{clean(chip.name)} is a hypothetical chip: no such silicon exists to be measured.", warn=True))
    if chip.note:
        page.add(Note(clean(chip.note)))
    peaks = [(f"dense peak {fmt}", units.si(chip.peak_flops(fmt), "FLOP/s")) for fmt in chip.core.matrix.macs_per_clk]
    page.add(Pairs([*peaks, ("digest", chip.digest[:16])]))
    rows: list[list[str]] = []
    before = None
    for f in chip.figures():
        again = f.source is not None and f.source == before
        rows.append([clean(f.key), clean(f.value), f.tag or units.DASH, SAME if again else clean(f.source or units.DASH)])
        before = f.source
    page.add(Table(["figure", "value", "tag", "source"], rows, left=frozenset({"tag", "value", "source"})))
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
