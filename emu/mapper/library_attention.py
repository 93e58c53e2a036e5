"""An attention call as a kernel-per-op stack makes it: new keys and values into the cache, the attention, and a merge where it is split.

Each is a kernel of its own with thread blocks of its own; what launching them costs beside that is the stack's, taken once: the shortest
call that was measured, less what the machine itself takes for the smallest one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from emu.chip.schema import Chip
from emu.chip.surroundings import AttentionKernels, AttentionTile, DecodeKernels, SplitRule
from emu.errors import UnsupportedError
from emu.kernels.attention_decode import attention_merge, partials
from emu.kernels.attention_prefill import PrefillTiling, attention_prefill
from emu.kernels.cache_write import convert_rows, write_cache
from emu.kernels.decode_blocks import DecodeBlocks, decode_blocks
from emu.kernels.heads import Heads
from emu.kernels.lang import Tracer, format_bytes
from emu.machine import Machine, Run, timed
from emu.mapper.area import Area, block_columns
from emu.mapper.library import shortest_s
from emu.mapper.lower import shape_of
from emu.mapper.tilings import decode_block_keys, prefill_block_tiling, row_tiling
from emu.models import Attention
from isa import Program

REMEMBERED = 64
"""Smallest calls whose time a process remembers."""
Tiling = PrefillTiling | DecodeBlocks
_smallest_calls: dict[tuple[str, str, str, int, str, tuple[str, ...]], float] = {}


@dataclass(frozen=True)
class Call:
    """An attention and the formats of its queries and of the cache; the kernel computes in the cache's."""

    op: Attention
    fmt: str
    kv_fmt: str


def library_attention(
    chip: Chip, call: Call, stack_name: str, fidelity: str = "fast", warm: Sequence[str] = ()
) -> tuple[Tiling, Run, float, int]:
    """The tiling of the quickest of the kernels the library has, its run, what launching adds in seconds, and how many were run."""
    stack = chip.stack[stack_name]
    if stack.attention is None:
        where = f"[stack.{stack_name}.attention]"
        raise UnsupportedError(f"{chip.name}: stack {stack_name!r} has no attention kernels; describe them in {where}")
    kernels, dim, turn = stack.attention, call.op.head_dim, tile_of(stack.attention, call.op, call.kv_fmt).turn_bytes_per_clk
    own_s = shortest_s(chip, stack_name, fidelity, warm and ("x", "y"))
    added = max(0.0, stack.launch_s - own_s - chip.sync.barrier_cycles / chip.core.clock_hz)
    if kernels.paged_bytes_per_clk is not None:
        chip = chip.vary({"core.dma.bandwidth": f"{kernels.paged_bytes_per_clk} B/clk"})
    if turn is not None:
        chip = chip.vary({"core.dma.single": f"{turn} B/clk"})
    behind = max(0.0, stack.reduce_launch_s - stack.launch_s + added)  # of a kernel that follows another one
    merging = behind if kernels.merge_launched else 0.0
    tiling, run, tried = _quickest(chip, call, kernels, fidelity, merging, warm)
    floor = kernels.floor.get(str(dim), stack.attention_floor_s)
    beside = _copies(call.op, kernels) * behind + _merges(tiling) * merging
    return tiling, run, beside + max(0.0, floor - _smallest(chip, call.fmt, kernels, dim, fidelity, warm)), tried


def _copies(op: Attention, kernels: AttentionKernels) -> int:
    """Kernels around this one that only copy."""
    if op.q_len > 1 or op.q_heads == op.kv_heads:
        return 0
    return kernels.grouped_copies + (kernels.scattered_copies if op.batch > 1 and op.kv_heads > 1 else 0)


def _merges(tiling: Tiling) -> bool:
    return isinstance(tiling, DecodeBlocks) and tiling.split_kv > 1


def _quickest(
    chip: Chip, call: Call, kernels: AttentionKernels, fidelity: str, merging_s: float = 0.0, warm: Sequence[str] = ()
) -> tuple[Tiling, Run, int]:
    found = tilings(chip, call, kernels)
    runs = [timed(Machine(chip, fidelity), library_attention_program(chip, call, t, kernels), warm=warm) for t in found]
    j = min(range(len(runs)), key=lambda j: (runs[j].seconds + _merges(found[j]) * merging_s, j))
    return found[j], runs[j], len(runs)


def _smallest(chip: Chip, fmt: str, kernels: AttentionKernels, dim: int, fidelity: str, warm: Sequence[str]) -> float:
    """What the machine itself takes for one query of one head over two keys; the measured floor holds such a call too."""
    key = (chip.digest, fmt, kernels.model_dump_json(), dim, fidelity, tuple(warm))
    if key not in _smallest_calls:
        _smallest_calls[key] = _run_smallest(chip, fmt, kernels, dim, fidelity, warm)
    while len(_smallest_calls) > REMEMBERED:
        _smallest_calls.pop(next(iter(_smallest_calls)))
    return _smallest_calls[key]


def _run_smallest(chip: Chip, fmt: str, kernels: AttentionKernels, dim: int, fidelity: str, warm: Sequence[str]) -> float:
    op = Attention(
        name="attention", phase="decode", batch=1, q_heads=1, kv_heads=1, head_dim=dim, q_len=1, kv_len=2, causal=True, window=None,
        scale=dim**-0.5, q="q", k_cache="k_cache", v_cache="v_cache", output="heads", compulsory_bytes=0, operand_bytes=0,
    )  # fmt: skip
    return _quickest(chip, Call(op, fmt, fmt), kernels, fidelity, warm=warm)[1].seconds


def tilings(chip: Chip, call: Call, kernels: AttentionKernels) -> list[Tiling]:
    """What the library might choose: its tile, or the largest part of it that fits, and a cache split up to its limit."""
    op, area = call.op, _area(chip)
    if op.q_len == 1:
        return _decode_tilings(chip, area, call, kernels)
    sharing = 1 if kernels.packed else op.q_heads // op.kv_heads
    op = replace(op, kv_heads=op.kv_heads * sharing)
    tile, in_place = tile_of(kernels, op, call.kv_fmt), chip.core.acc.work and call.kv_fmt != "int8"
    turned, rows_and_keys = tile.turn_bytes_per_clk is not None, (tile.rows, tile.keys)
    found = prefill_block_tiling(chip, area, op, call.fmt, call.kv_fmt, in_place, rows_and_keys, turned)
    how: dict[str, Any] = {name: getattr(kernels, name) for name in ("resident", "lookups", "in_order", "ascending")}
    how["scanned"] = _scanned(op, kernels)
    if kernels.together is not None:
        head = 2 * op.kv_len * op.head_dim * format_bytes(call.kv_fmt)
        how["section"] = max(1, int(kernels.together) // head) * sharing
    return [replace(found, dealt=True, sharing=sharing, **how)]


def tile_of(kernels: AttentionKernels, op: Attention, kv_fmt: str) -> AttentionTile:
    """The library's tile for an attention.

    Raises UnsupportedError if it has none for such heads."""
    rows, bits = op.q_len * (op.q_heads // op.kv_heads), 8 * format_bytes(kv_fmt)
    for tile in kernels.tiles:
        if op.head_dim <= tile.head_dim and tile.bits in (None, bits) and rows <= (tile.queries or rows):
            return tile
    widest = max((t.head_dim for t in kernels.tiles if t.bits in (None, bits)), default=0)
    other = f"its widest heads in {bits} bits are of {widest}" if widest else f"it has none for elements of {bits} bits"
    raise UnsupportedError(f"the stack has no attention kernel for heads of {op.head_dim} in {kv_fmt}; {other}")


def _area(chip: Chip) -> Area:
    """All of a core, for one kernel."""
    sram, acc = chip.core.sram.capacity_bytes, chip.core.acc.capacity_bytes
    return Area(0, 0, sram, acc, block_columns(chip), acc if chip.core.acc.work else sram)


def _of_decode(kernels: AttentionKernels) -> DecodeKernels:
    """How the library decodes: as it prefills, where nothing else is said."""
    return kernels.decode or DecodeKernels(resident=kernels.resident)


def _scanned(op: Attention, kernels: AttentionKernels) -> int:
    """Sequences that a block passes with one read on its way to its next work item; 0: with none."""
    return kernels.scanned if op.batch <= kernels.scanned_most else 0


def _under_way(chip: Chip, kernels: AttentionKernels, elements: int, fmt: str, to: str, operands: int = 1) -> int:
    """Tokens that a copying kernel has on a core at a time, each twice: fewer than the library's where they do not fit."""
    each = operands * elements * (format_bytes(fmt) + (format_bytes(to) if to != fmt else 0))
    blocks = kernels.write_resident * max(1, kernels.write_threads // elements)
    return max(1, min(blocks, (_area(chip).work_bytes - 4096) // (2 * each)))


def _decode_tilings(chip: Chip, area: Area, call: Call, kernels: AttentionKernels) -> list[Tiling]:
    """With the cache in as many parts as the library's rule says, or in each number that it might try."""
    op, how = call.op, _of_decode(kernels)
    tile = tile_of(kernels, op, call.kv_fmt)
    items, keys = op.batch * op.kv_heads, op.kv_len - op.first_key
    if kernels.split_grouped and op.q_heads == op.kv_heads:
        splits = [1]
    elif how.rule is not None:
        splits = [parts_by_rule(how.rule, items, chip.core_count, -(-keys // tile.keys), kernels.split_limit)]
    else:
        spare = min(kernels.split_limit, -(-chip.core_count // items))
        splits = sorted({1, *(s for s in (2, 4, 8, 16, spare) if s <= spare and s * 2 <= -(-keys // 8))})
    blocks = -(-items * min(splits) // chip.core_count)
    found: list[Tiling] = []
    for split in splits:
        turns = 2 * min(how.resident, blocks) if how.in_turn else 0
        turned, scanned = tile.turn_bytes_per_clk is not None, _scanned(op, kernels)
        t = DecodeBlocks(tile.keys, split, how.resident, kernels.lookups, scanned, tile.rows, turned, turns)
        t = replace(t, tile_kv=decode_block_keys(chip, area, op, call.kv_fmt, t))
        found.append(replace(t, split_kv=t.parts(keys)))
    return found


def parts_by_rule(rule: SplitRule, items: int, cores: int, blocks: int, most: int) -> int:
    """`blocks`: tiles of keys. Parts as long as a core's share of all blocks; or the fewest whose last wave is about as full as the best
    number's, where a number that makes no part shorter is not looked at."""
    places = cores * rule.per_core
    if rule.spread:
        return min(most, -(-blocks // math.ceil(blocks * items * rule.spread / places)))
    if items >= rule.enough * places:
        return 1
    numbers = [s for s in range(1, min(most, places, blocks) + 1) if s == 1 or -(-blocks // s) != -(-blocks // (s - 1))]
    full = {s: items * s / places / -(-items * s // places) for s in numbers}
    return next(s for s in numbers if full[s] >= rule.share * max(full.values()))


def library_attention_program(chip: Chip, call: Call, tiling: Tiling, kernels: AttentionKernels) -> Program:
    """The kernels of one call, one after another."""
    s, op, kv = shape_of(call.op), call.op, call.kv_fmt
    k = Tracer(chip, "attention")
    k.runs_ahead = False
    tokens, columns = s.batch * s.q_len, (op.q_heads * s.head_dim, op.kv_heads * s.head_dim)
    q, keys, values = (
        Heads(k.hbm(name, (tokens, width), call.fmt, "in"), s.batch, s.head_dim)
        for name, width in (("q", columns[0]), ("k", columns[1]), ("v", columns[1]))
    )
    cache = (s.batch, s.kv_heads, s.kv_len, s.head_dim)
    caches = [Heads(k.hbm(name, cache, kv, "inout"), s.batch, s.head_dim) for name in ("k_cache", "v_cache")]
    out = Heads(k.hbm("heads", (tokens, columns[0]), call.fmt, "out"), s.batch, s.head_dim)
    table = k.hbm("table", (s.batch,), "int32", "in")
    with k.op("write"):
        write_cache(k, keys, values, *caches, s, _under_way(chip, kernels, columns[1], call.fmt, kv, 2))
    if kv != call.fmt:
        narrow = Heads(k.hbm("q_narrow", q.tensor.shape, kv), 1, s.head_dim)
        with k.op("convert"):
            convert_rows(k, Heads(q.tensor, 1, s.head_dim), narrow, s, _under_way(chip, kernels, columns[0], call.fmt, kv))
        q = Heads(narrow.tensor, s.batch, s.head_dim)
    copies = _copies(op, kernels)
    for j in range(copies):
        copy = Heads(k.hbm(f"copy{j}", q.tensor.shape, q.tensor.fmt), 1, s.head_dim)
        with k.op(f"copy{j}"):
            convert_rows(k, Heads(q.tensor, 1, s.head_dim), copy, s, _under_way(chip, kernels, columns[0], call.fmt, call.fmt))
    if isinstance(tiling, PrefillTiling):
        with k.op("attention", whole=True):
            each = replace(s, kv_heads=s.kv_heads * tiling.sharing, group=s.group // tiling.sharing)
            attention_prefill(k, q, *caches, out, each, tiling, table)
        return k.program()
    parts = partials(k, s, tiling.split_kv) if tiling.split_kv > 1 else None
    with k.op("attention", whole=True):
        decode_blocks(k, q, *caches, parts or out, s, tiling, table)
    if parts is not None:
        count, heads, dim = parts.o.shape
        with k.op("merge"):
            rows = row_tiling(k.limits, _area(chip), heads, dim, "fp32", call.fmt, 2 * count + 2, "a row of the merge")
            attention_merge(k, parts, out.tensor, rows, _of_decode(kernels).merge_in_turn)
    return k.program()
