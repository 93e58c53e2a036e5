"""Tilings of everything that is not a gemm: sizes that fit the scratchpad and deal the work out over all cores."""

from __future__ import annotations

from dataclasses import replace

from emu.chip.schema import Chip
from emu.errors import CapacityError
from emu.kernels.attention_decode import DecodeTiling
from emu.kernels.attention_prefill import PrefillTiling
from emu.kernels.decode_blocks import DecodeBlocks
from emu.kernels.embed import EmbedTiling
from emu.kernels.lang import format_bytes
from emu.kernels.lang.limits import Limits
from emu.kernels.norm import RowTiling
from emu.kernels.rope import RopeTiling
from emu.mapper.area import Area
from emu.models import Attention
from emu.models.schemes import Side
from emu.num.formats import known

MOST_ADDED = 2048
"""Elements that one tile of the second pass of a divided sum adds up, at most."""

SCANT_QUERIES = (4, 2, 1)
"""Queries per tile that are tried only where a scratchpad holds no more; a matrix engine is mostly padding then."""


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def fit(limits: Limits, what: str, area: Area, unit_bytes: int, most: int, fixed_bytes: int = 0) -> int:
    """As many units of `unit_bytes` as fit beside `fixed_bytes`, at most `most`, at least one."""
    room = (area.work_bytes - fixed_bytes) // unit_bytes
    if room < 1:
        need, registers = unit_bytes + fixed_bytes, limits.work == "acc"
        where = "registers (core.acc)" if registers else "scratchpad beside the weight ring"
        more = f"core.acc of {need}" if registers else f"core.sram of {area.slot_bytes * area.slots + need}"
        raise CapacityError(
            f"{what} does not fit a core of {limits.name}: it needs {need} bytes of {where}, {area.work_bytes} are free; "
            f"a {more} bytes would hold it"
        )
    return max(1, min(room, most))


def row_tiling(limits: Limits, area: Area, rows: int, width: int, in_fmt: str, out_fmt: str, wide: int, what: str) -> RowTiling:
    """Rows of a norm or of another row-wise operation; `wide` fp32 copies of a row are needed as scratch."""
    depth = 2
    row = width * (depth * (format_bytes(in_fmt) + format_bytes(out_fmt)) + 4 * wide) + 64
    share = _ceil(rows, limits.cores)
    if row + 8 * width > area.work_bytes:
        depth = 1
        row = width * (format_bytes(in_fmt) + format_bytes(out_fmt) + 4 * wide) + 64
    return RowTiling(fit(limits, what, area, row, min(share, 64), 8 * width + 1024), 0, depth)


def quantized_row_bytes(width: int, side: Side, norm: str | None) -> tuple[int, int, int]:
    """Bytes of a row as `emu.kernels.quantize_blocks` allocates it: what lies there once, what lies there `depth` times, and what is there
    for all rows. `norm`: its kind, where rows are normalised before."""
    scratch = 4 + (4 if side.block and side.factor else 0)
    scratch += {None: 0, "rms": 2 + 4, "layer": 2 + 4 + 4}[norm]
    blocks = -(-width // side.block) if side.block else 0
    vectors = {None: 0, "rms": 2, "layer": 2 + 2}[norm] * width + 1024
    return scratch * width + 4 * blocks + 64, (2 + 1) * width + blocks + 64, vectors


def quantize_tiling(limits: Limits, area: Area, rows: int, row: tuple[int, int, int], what: str) -> RowTiling:
    """Rows that a core quantises at a time, twice there if that fits."""
    once, again, vectors = row
    depth = 2 if once + 2 * again + vectors <= area.work_bytes else 1
    return RowTiling(fit(limits, what, area, once + depth * again, min(_ceil(rows, limits.cores), 64), vectors), 0, depth)


def added_at_once(cores: int, free_bytes: int, elements: int, parts: int) -> int:
    """A core's share in one tile where it fits: two tiles of parts, a sum and two outputs lie in the scratchpad."""
    room = free_bytes // (2 * 4 * parts + 4 + 2 * 4) // 64 * 64
    return min(MOST_ADDED, room, _ceil(_ceil(elements, cores), 64) * 64)


def deal(cores: int, *units: int) -> tuple[int, ...]:
    """Splits of a grid of cores, the first axis first: each as large as its units and the cores left allow."""
    splits = []
    for count in units:
        split = max(1, min(count, cores))
        splits.append(split)
        cores //= split
    return tuple(splits)


def embed_tiling(limits: Limits, area: Area, batch: int, tokens: int, width: int, fmt: str, plain: bool) -> EmbedTiling:
    """`plain`: rows of the table go out as they are; else sums and positions lie beside them."""
    split_b, split_t = deal(limits.cores, batch, tokens)
    row = width * (2 * format_bytes(fmt) if plain else 6 * format_bytes(fmt) + 4) + 64
    rows = fit(limits, "an embedding row", area, row, min(_ceil(tokens, split_t), 64), width * format_bytes(fmt) + 256)
    return EmbedTiling(rows, split_b, split_t)


def rope_tiling(limits: Limits, area: Area, op: Attention, fmt: str) -> RopeTiling:
    """Tokens per tile: queries of a group, one key and one value head, their turned copies and the tables."""
    split_b, split_h, split_t = deal(limits.cores, op.batch, op.kv_heads, op.q_len)
    group = op.q_heads // op.kv_heads
    row = op.head_dim * ((group + 2) * 2 * 2 * format_bytes(fmt) + 4 * (group + 1) + 16) + 64
    return RopeTiling(fit(limits, "rope", area, row, min(_ceil(op.q_len, split_t), 64), 4096), split_b, split_h, split_t)


def _prefill_bytes(op: Attention, q_fmt: str, kv_fmt: str, tile_q: int, tile_kv: int) -> tuple[int, int, int]:
    """Bytes of keys and values, of what the vector engine works on, and of accumulators (once) as the prefill kernel allocates them."""
    rows = op.q_heads // op.kv_heads * tile_q
    q, kv = format_bytes(q_fmt), format_bytes(kv_fmt)
    work = rows * op.head_dim * (2 * q + 4 + 2 * 2) + rows * tile_kv * (4 + 2 * q) + rows * 16 + 4096
    return 4 * tile_kv * op.head_dim * kv, work, rows * (tile_kv + op.head_dim) * 4


def _in_place_bytes(op: Attention, fmt: str, out_fmt: str, t: PrefillTiling) -> tuple[int, int, int]:
    """The same of a kernel in place: queries and pieces of the output beside keys and values, scores once among the accumulators."""
    group = op.q_heads // op.kv_heads
    rows, size = group * t.tile_q, format_bytes(fmt)
    out = 2 * group * t.piece_rows(group, op.head_dim, out_fmt) * op.head_dim * format_bytes(out_fmt)
    tiles = 2 * t.depth_kv + int(t.turned)  # keys and values; or keys, values as they come, and turned ones
    operands = (rows + tiles * t.tile_kv) * op.head_dim * size + out
    return operands, rows * t.tile_kv * size + rows * 16 + 4096, rows * (t.tile_kv + op.head_dim) * 4


def _fits(chip: Chip, area: Area, operands: int, work: int, acc: int) -> bool:
    """Whether a core holds them, work beside the operands or beside the accumulators."""
    if chip.core.acc.work:
        return operands <= area.free_bytes and work + acc <= area.work_bytes
    return operands + work <= area.free_bytes and acc <= area.acc_bytes


def _lacking(chip: Chip, area: Area, operands: int, work: int, acc: int) -> str:
    """What the smallest tile needs and what there is."""
    sram, registers = (operands, work + acc) if chip.core.acc.work else (operands + work, acc)
    return f"{sram} bytes of scratchpad ({area.free_bytes} free) and {registers} of accumulators ({chip.core.acc.capacity_bytes})"


def prefill_tilings(chip: Chip, area: Area, op: Attention, q_fmt: str, kv_fmt: str) -> list[PrefillTiling]:
    """The sizes that fit, the quickest by reckoning first, on grids that give every core queries."""
    found: list[PrefillTiling] = []
    split_b, split_h, split_q = deal(chip.core_count, op.batch, op.kv_heads, _ceil(op.q_len, 8))
    share = _ceil(op.q_len, split_q)
    for tile_kv in (512, 256, 128, 64, 32, 16, 8):
        for tile_q in (256, 128, 64, 32, 16, 8, *SCANT_QUERIES):
            if tile_kv > 8 and tile_kv >= 2 * op.kv_len or tile_q > 8 and tile_q >= 2 * share:
                continue
            if found and tile_q in SCANT_QUERIES:
                continue
            tiling = PrefillTiling(tile_q, tile_kv, split_b, split_h, _fitting(split_q, _ceil(op.q_len, tile_q), tile_q, tile_kv))
            fitting = _pipelined(chip, area, op, q_fmt, kv_fmt, tiling)
            if fitting is not None:
                found.append(fitting)
    if not found:
        raise _too_wide(chip, area, op, q_fmt, kv_fmt)
    cycles = {t: _prefill_cycles(chip, op, t) for t in found}
    return sorted(found, key=lambda t: (cycles[t], -t.tile_kv, -t.tile_q))


def prefill_block_tiling(
    chip: Chip, area: Area, op: Attention, q_fmt: str, kv_fmt: str, in_place: bool, tile: tuple[int, int], turned: bool = False
) -> PrefillTiling:
    """A tile of so many rows of queries, all heads of a group counted, and keys; of half as many where a core holds no more, and so on."""
    tile_q, keys = max(1, tile[0] // (op.q_heads // op.kv_heads)), tile[1]
    fitting = _in_place if in_place else _pipelined
    while keys:
        found = fitting(chip, area, op, q_fmt, kv_fmt, PrefillTiling(tile_q, keys, turned=turned))
        if found is not None:
            return found
        keys //= 2
    raise _too_wide(chip, area, op, q_fmt, kv_fmt)


def _too_wide(chip: Chip, area: Area, op: Attention, q_fmt: str, kv_fmt: str) -> CapacityError:
    need = _lacking(chip, area, *_prefill_bytes(op, q_fmt, kv_fmt, 1, 8))
    heads = f"{op.q_heads} heads of {op.head_dim}"
    return CapacityError(f"attention with {heads} does not fit a core of {chip.name}: the smallest tile needs {need}")


def _pipelined(chip: Chip, area: Area, op: Attention, q_fmt: str, kv_fmt: str, t: PrefillTiling) -> PrefillTiling | None:
    """With accumulators twice where they fit, if it fits at all."""
    operands, work, acc = _prefill_bytes(op, q_fmt, kv_fmt, t.tile_q, t.tile_kv)
    operands += int(t.turned) * t.tile_kv * op.head_dim * format_bytes(kv_fmt)  # values as they come, once
    return next((replace(t, depth_acc=n) for n in (2, 1) if _fits(chip, area, operands, work, n * acc)), None)


def _in_place(chip: Chip, area: Area, op: Attention, q_fmt: str, kv_fmt: str, t: PrefillTiling) -> PrefillTiling | None:
    """With scores and keys twice where they fit, else once; if it fits at all."""
    for depth_acc, depth_kv in ((2, 2), (1, 2), (2, 1), (1, 1)):
        t = replace(t, depth_acc=depth_acc, depth_kv=depth_kv, in_place=True)
        operands, work, acc = _in_place_bytes(op, kv_fmt, q_fmt, t)
        scores = op.q_heads // op.kv_heads * t.tile_q * t.tile_kv * 4
        if _fits(chip, area, operands, work, acc + (depth_acc - 1) * scores):
            return t
    return None


def _fitting(split: int, tiles: int, tile_q: int, tile_kv: int) -> int:
    """A split of the query tiles that the kernel can deal out: a whole number of blocks where key tiles are wider than query tiles."""
    per_block = max(1, tile_kv // tile_q)
    split = max(1, min(split, tiles))
    if split > per_block:
        split = split // per_block * per_block
    return split


def _prefill_cycles(chip: Chip, op: Attention, t: PrefillTiling) -> float:
    """Analytic cycles of the core with most work: vector passes over the scores against the matrix engine, whole tiles."""
    vector, matrix = chip.core.vector, chip.core.matrix
    group = op.q_heads // op.kv_heads
    tiles = _ceil(op.q_len, t.tile_q)
    mine = _ceil(op.batch, t.split_b) * _ceil(op.kv_heads, t.split_h) * _ceil(tiles, t.split_q)
    keys = op.kv_len / (2 if op.causal and op.q_len > t.tile_kv else 1) + t.tile_kv / 2
    rows = group * t.tile_q
    steps = _ceil(int(keys), t.tile_kv)
    passes = 4 / vector.per_clk["mul"] + 1 / vector.per_clk["exp"] + 2 / vector.per_clk["reduce"] + 1 / vector.per_clk["compare"]
    per_step = rows * t.tile_kv * passes + 2 * rows * op.head_dim / vector.per_clk["mul"] + 16 * vector.startup_cycles
    padded = _ceil(t.tile_kv, matrix.quantum_n) * matrix.quantum_n * max(rows, matrix.quantum_m) * op.head_dim
    mm = 2 * padded / max(rate for fmt, rate in matrix.macs_per_clk.items() if known(fmt).bits >= 8)  # attention takes no packed ones
    return mine * steps * (per_step + mm)


def _decode_bytes(op: Attention, q_fmt: str, kv_fmt: str, tile_kv: int) -> tuple[int, int, int]:
    group = op.q_heads // op.kv_heads
    q, kv = format_bytes(q_fmt), format_bytes(kv_fmt)
    work = group * op.head_dim * (2 * q + 4 + 8) + group * tile_kv * (4 + 2 * q) + group * 64 + 4096
    return 4 * tile_kv * op.head_dim * kv, work, 2 * group * (tile_kv + op.head_dim) * 4


def _decode_block_bytes(op: Attention, fmt: str, t: DecodeBlocks, tile_kv: int) -> tuple[int, int, int]:
    """Bytes of keys and values, of what the vector engine works on, and of accumulators, as the kernel of blocks allocates them."""
    group, size = op.q_heads // op.kv_heads, format_bytes(fmt)
    rows = max(t.rows, group)
    work = 2 * group * op.head_dim * 4 + rows * (tile_kv * size + 16)
    operands = (((t.in_turn or 4) + 2 * t.turned) * tile_kv + 2 * rows) * op.head_dim * size
    return operands, work + 4096, rows * ((1 if t.in_turn else 2) * tile_kv + op.head_dim) * 4


def decode_block_keys(chip: Chip, area: Area, op: Attention, fmt: str, t: DecodeBlocks) -> int:
    """Keys of a tile of decode in blocks: those of `t`, or half as many where a core holds no more, and so on."""
    tile_kv = t.tile_kv
    while tile_kv:
        if _fits(chip, area, *_decode_block_bytes(op, fmt, t, tile_kv)):
            return tile_kv
        tile_kv //= 2
    need = _lacking(chip, area, *_decode_block_bytes(op, fmt, t, 1))
    raise CapacityError(f"decode attention does not fit a core of {chip.name}: the smallest tile needs {need}")


def decode_tilings(chip: Chip, area: Area, op: Attention, q_fmt: str, kv_fmt: str) -> list[DecodeTiling]:
    """Candidates for decode attention: with and without a split of the cache over the cores that would else be idle."""
    split_b, split_h, spare = deal(chip.core_count, op.batch, op.kv_heads, chip.core_count)
    keys = op.kv_len - op.first_key
    found = []
    for split_kv in sorted({1, *(s for s in (2, 4, 8, 16, spare) if s <= spare)}):
        share = _ceil(keys, split_kv)
        for tile_kv in (512, 256, 128, 64, 32, 16, 8):
            if not _fits(chip, area, *_decode_bytes(op, q_fmt, kv_fmt, tile_kv)) or (tile_kv > 8 and tile_kv >= 2 * share):
                continue
            if split_kv == 1 or _ceil(keys, tile_kv) >= split_kv:
                found.append(DecodeTiling(tile_kv, split_b, split_h, split_kv))
                break
    if not found:
        need = _lacking(chip, area, *_decode_bytes(op, q_fmt, kv_fmt, 8))
        raise CapacityError(f"decode attention does not fit a core of {chip.name}: the smallest tile needs {need}")
    return found
