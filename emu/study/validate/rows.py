"""Measured rows: what a row of each kind of table is, how much work it does, and how tables written by anybody are read.

Kinds of table are told apart by their columns: times of GEMM kernels, board power under them, times of attention calls, times of
collectives, times and rates of programs that ask a memory one question (`emu/study/memory.py`), clocks of single matrix instructions."""

from __future__ import annotations

import csv
import hashlib
import math
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from emu.errors import EmuError, did_you_mean
from emu.kernels.lang import format_bytes
from emu.study.validate.instruction import FORMATS as INSTRUCTION_FORMATS

MAX_BYTES = 64 << 20
MAX_ROWS = 200_000
MAX_SHOWN = 20
"""Problems of a table that are listed; the rest are counted."""
FORMATS = {"bf16": "bf16", "bfloat16": "bf16", "fp16": "fp16", "float16": "fp16", "fp8": "fp8", "fp32": "fp32"}
Value = str | int | float


class TableError(EmuError):
    """A table of measurements that cannot be read; the message names file, line and column."""


@dataclass(frozen=True)
class Row:
    """One measured operation. `key` says which, `measured` is seconds, watts, bytes per second or clocks; `seconds` is the measured time of
    an operation of any kind that has one."""

    kind: str
    chip: str
    key: tuple[tuple[str, Value], ...]
    measured: float
    seconds: float
    limit_w: float = 0.0
    """Power cap of the board it was measured on; 0: not said."""
    times: int = 1
    """How many lines of the table were averaged into it."""

    def __getitem__(self, name: str) -> Value:
        return dict(self.key)[name]

    def whole(self, name: str) -> int:
        """A field that counts something."""
        return int(self[name])

    @property
    def flops(self) -> int:
        return KINDS[self.kind].flops(self)

    @property
    def bytes(self) -> int:
        """Compulsory bytes: operands and result once."""
        return KINDS[self.kind].bytes(self)

    @property
    def unit(self) -> str:
        """What decades count."""
        return KINDS[self.kind].unit

    @property
    def decade(self) -> int:
        return len(str(self.flops)) - 1

    @property
    def digest(self) -> str:
        """What the sample is drawn by; the same in whatever order rows come."""
        return hashlib.sha256(",".join(str(v) for v in (self.chip, *(v for _, v in self.key))).encode()).hexdigest()

    def __str__(self) -> str:
        return KINDS[self.kind].text(self)


def _whole(text: str) -> int:
    value = int(text) if text.strip().isascii() and len(text) <= 12 else -1
    if not 0 <= value <= 1 << 30:
        raise ValueError("expected a whole number from 0 to 2^30")
    return value


def _count(text: str) -> int:
    value = _whole(text)
    if value < 1:
        raise ValueError("expected a whole number of at least 1")
    return value


def _optional(text: str) -> int:
    return _whole(text) if text.strip() else 0


def _positive(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and 0 < value < 1e7):
        raise ValueError("expected a number above 0 and below 10^7")
    return value


def _format(text: str) -> str:
    if text not in FORMATS:
        raise ValueError(did_you_mean(text, FORMATS))
    return FORMATS[text]


def _phase(text: str) -> str:
    names = {"context": "prefill", "generation": "decode", "prefill": "prefill", "decode": "decode"}
    if text not in names:
        raise ValueError(did_you_mean(text, names))
    return names[text]


def _one_of(*names: str) -> Callable[[str], str]:
    def read_name(text: str) -> str:
        if text not in names:
            raise ValueError(did_you_mean(text, names))
        return text

    return read_name


def _name(text: str) -> str:
    if not (0 < len(text) <= 64 and text.isprintable()):
        raise ValueError("expected the name of a chip")
    return text


@dataclass(frozen=True)
class Kind:
    """A kind of table: its columns and how each is read, which of them is measured, and what a row amounts to."""

    columns: Mapping[str, Callable[[str], Value]]
    measured: str
    flops: Callable[[Row], int]
    bytes: Callable[[Row], int]
    text: Callable[[Row], str]
    renamed: Mapping[str, str]
    per_unit: float = 1.0
    """What is measured over this is seconds, watts, bytes per second or clocks."""
    unit: str = "FLOP"
    """Of what `flops` counts, by whose decades rows are sampled and judged: the bytes of a collective's buffer."""

    def row(self, kind: str, cells: Mapping[str, Value]) -> Row:
        """A row of cells that were read."""
        value = float(cells[self.measured]) / self.per_unit
        seconds = float(cells["latency_ms"]) / 1e3 if "latency_ms" in cells else value
        apart = {"chip", "latency_ms", self.measured, "power_limit_w"}
        key = tuple((self.renamed.get(name, name), cells[name]) for name in self.columns if name not in apart)
        return Row(kind, str(cells["chip"]), key, value, seconds, float(cells.get("power_limit_w", 0.0)))


def _gemm_flops(r: Row) -> int:
    return 2 * r.whole("m") * r.whole("n") * r.whole("k")


def _gemm_bytes(r: Row) -> int:
    m, n, k = (r.whole(a) for a in "mnk")
    return (m * k + k * n) * format_bytes(format_name(str(r["dtype"]))) + 2 * m * n


def _gemm_text(r: Row) -> str:
    return f"{r['m']} x {r['n']} x {r['k']} {r['dtype']}"


def _instruction_text(r: Row) -> str:
    return f"{r['quantity']} of {_gemm_text(r)}, a in {r['a_space']}"


def spans(r: Row) -> tuple[int, int]:
    """Queries and keys of a sequence. A decode step attends to what is in the cache and to its own token."""
    past, queries = r.whole("past"), r.whole("q_len")
    return queries, past + queries


def _attention_flops(r: Row) -> int:
    queries, keys = spans(r)
    seen = queries * keys - queries * (queries - 1) // 2
    return 4 * r.whole("batch") * r.whole("q_heads") * r.whole("head_dim") * seen


def _attention_bytes(r: Row) -> int:
    queries, keys = spans(r)
    cache = 2 * r.whole("kv_heads") * keys * format_bytes(format_name(str(r["kv_dtype"])))
    ends = 2 * r.whole("q_heads") * queries * format_bytes(format_name(str(r["dtype"])))
    return r.whole("batch") * r.whole("head_dim") * (cache + ends)


def _attention_text(r: Row) -> str:
    queries, keys = spans(r)
    heads = f"{r['q_heads']}/{r['kv_heads']} heads of {r['head_dim']}"
    cache = "" if r["kv_dtype"] == r["dtype"] else f", cache {r['kv_dtype']}"
    return f"{r['phase']} {r['batch']} x {queries} on {keys}, {heads}{cache}"


PROBES = {
    "chase": "a dependent load in", "sweep": "all cores read", "window": "each core has under way",
    "partitions": "rows for all partitions of", "block": "a block of rows of", "start": "from a semaphore to the first of",
    "issue": "between transfers of rows of",
}  # fmt: skip
"""What each program measures, in words before its bytes."""


def _probe(text: str) -> str:
    if text not in PROBES:
        raise ValueError(did_you_mean(text, PROBES))
    return text


def _probe_bytes(r: Row) -> int:
    """Rows of these kinds do no FLOP: their size is the bytes that the probe is about."""
    return r.whole("bytes")


def _probe_text(r: Row) -> str:
    size = r.whole("bytes")
    shown = f"{size / 1024:.4g} KiB" if size < 1 << 20 else f"{size / 2**20:.4g} MiB"
    return f"{PROBES[str(r['probe'])]} {shown}"


COLLECTIVES = {op: op for op in ("all_reduce", "all_gather", "reduce_scatter", "all_to_all")} | {"alltoall": "all_to_all"}


def _collective(text: str) -> str:
    if text not in COLLECTIVES:
        raise ValueError(did_you_mean(text, COLLECTIVES))
    return COLLECTIVES[text]


def _wire_bytes(r: Row) -> int:
    """What each chip must at least send: `bytes` is the whole buffer, chips x shard, of every operation."""
    n, twice = r.whole("chips"), 2 if r["op"] == "all_reduce" else 1
    return twice * (n - 1) * r.whole("bytes") // n


def _collective_text(r: Row) -> str:
    return f"{r['op']} of {r['bytes']} bytes on {r['chips']} chips"


def format_name(dtype: str) -> str:
    """The machine's name of a format."""
    return "fp8_e4m3" if dtype == "fp8" else dtype


_GEMM: dict[str, Callable[[str], Value]] = {"chip": _name, "dtype": _format, "m": _count, "n": _count, "k": _count, "latency_ms": _positive}
_POWER: dict[str, Callable[[str], Value]] = {**_GEMM, "board_power_w": _positive, "power_limit_w": _positive}
_ATTENTION: dict[str, Callable[[str], Value]] = {
    "chip": _name, "phase": _phase, "batch_size": _count, "input_len": _count, "num_heads": _count, "num_key_value_heads": _count,
    "head_dim": _count, "attn_dtype": _format, "kv_cache_dtype": _format, "kv_len_before": _whole, "window_size": _optional,
    "latency_ms": _positive,
}
_INSTRUCTION: dict[str, Callable[[str], Value]] = {
    "chip": _name, "dtype": _one_of(*INSTRUCTION_FORMATS), "m": _count, "n": _count, "k": _count, "a_space": _one_of("sram", "acc"),
    "quantity": _one_of("interval", "latency"), "cycles": _positive,
}
_COLLECTIVE: dict[str, Callable[[str], Value]] = {
    "chip": _name, "op_name": _collective, "num_gpus": _count, "message_bytes": _count, "latency_ms": _positive,
}
_RENAMED = {"op_name": "op", "num_gpus": "chips", "message_bytes": "bytes"}
_NAMES = {
    "batch_size": "batch", "input_len": "q_len", "num_heads": "q_heads", "num_key_value_heads": "kv_heads", "attn_dtype": "dtype",
    "kv_cache_dtype": "kv_dtype", "kv_len_before": "past", "window_size": "window",
}
_PROBE: dict[str, Callable[[str], Value]] = {"chip": _name, "probe": _probe, "clock_mhz": _positive, "bytes": _count}
_TIME, _RATE = {**_PROBE, "latency_ns": _positive}, {**_PROBE, "gbytes_per_s": _positive}
KINDS: dict[str, Kind] = {
    "power": Kind(_POWER, "board_power_w", _gemm_flops, _gemm_bytes, _gemm_text, {}),
    "gemm": Kind(_GEMM, "latency_ms", _gemm_flops, _gemm_bytes, _gemm_text, {}, 1e3),
    "collective": Kind(_COLLECTIVE, "latency_ms", lambda r: r.whole("bytes"), _wire_bytes, _collective_text, _RENAMED, 1e3, "byte"),
    "attention": Kind(_ATTENTION, "latency_ms", _attention_flops, _attention_bytes, _attention_text, _NAMES, 1e3),
    "memory-time": Kind(_TIME, "latency_ns", _probe_bytes, _probe_bytes, _probe_text, {}, 1e9, "byte"),
    "memory-rate": Kind(_RATE, "gbytes_per_s", _probe_bytes, _probe_bytes, _probe_text, {}, 1e-9, "byte"),
    "instruction": Kind(_INSTRUCTION, "cycles", _gemm_flops, _gemm_bytes, _instruction_text, {}),
}
"""By the columns that a table must have; the first kind whose columns are all there is the table's."""


def read(path: Path) -> list[Row]:
    """The rows of a table, those of equal key averaged. Raises TableError with everything that is wrong, each with its line."""
    lines = _lines(path)
    body = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    if not body:
        raise TableError(f"{path}: no rows")
    header = next(csv.reader([body[0][1]]))
    kind = _kind(path, body[0][0], header)
    if len(body) > MAX_ROWS + 1:
        raise TableError(f"{path}: {len(body) - 1} rows; the limit is {MAX_ROWS}")
    problems: list[str] = []
    rows = [r for number, line in body[1:] if (r := _row(kind, header, line, f"{path}:{number}", problems)) is not None]
    if problems:
        more = [f"and {len(problems) - MAX_SHOWN} more problems"] if len(problems) > MAX_SHOWN else []
        raise TableError("\n  ".join([*problems[:MAX_SHOWN], *more]))
    return averaged(rows)


def _lines(path: Path) -> list[str]:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise TableError(f"{path}: not a regular file")
        if status.st_size > MAX_BYTES:
            raise TableError(f"{path}: {status.st_size} bytes; a table may have {MAX_BYTES}")
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not UTF-8 text"
        raise TableError(f"{path}: {reason}") from None
    if "\0" in text:
        raise TableError(f"{path}: not a table: it holds null bytes")
    return text.splitlines()


def _kind(path: Path, line: int, header: list[str]) -> str:
    for name, kind in KINDS.items():
        if set(kind.columns) <= set(header) and len(set(header)) == len(header):
            return name
    if len(set(header)) != len(header):
        raise TableError(f"{path}:{line}: a column stands there twice")
    missing, name = min((sorted(set(kind.columns) - set(header)), name) for name, kind in KINDS.items())
    if all(not set(kind.columns) & set(header) for kind in KINDS.values()):
        wanted = "; or ".join(f"{n}: {', '.join(k.columns)}" for n, k in KINDS.items())
        raise TableError(f"{path}:{line}: no column is known; expected {wanted}")
    missing, name = min(((sorted(set(kind.columns) - set(header)), name) for name, kind in KINDS.items()), key=lambda p: len(p[0]))
    raise TableError(f"{path}:{line}: for a table of kind {name} these columns are missing: {', '.join(missing)}")


def _row(kind: str, header: list[str], line: str, where: str, problems: list[str]) -> Row | None:
    try:
        cells = next(csv.reader([line]))
    except csv.Error as error:
        problems.append(f"{where}: {error}")
        return None
    if len(cells) != len(header):
        problems.append(f"{where}: {len(cells)} columns; the header has {len(header)}")
        return None
    values: dict[str, Value] = {}
    for name, read_cell in KINDS[kind].columns.items():
        text = cells[header.index(name)]
        try:
            values[name] = read_cell(text)
        except ValueError as error:
            why = str(error) if "expected" in str(error) or "mean" in str(error) else "expected a number"
            problems.append(f"{where}: {name}: {text[:40]!r}: {why}")
    return KINDS[kind].row(kind, values) if len(values) == len(KINDS[kind].columns) else None


def averaged(rows: Iterable[Row]) -> list[Row]:
    """One row for each key, in the order in which keys first appear."""
    groups: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for r in rows:
        groups[(r.kind, r.chip, r.key, r.limit_w)].append(r)
    return [_mean(g) for g in groups.values()]


def _mean(group: list[Row]) -> Row:
    count = sum(r.times for r in group)
    if len(group) == 1:
        return group[0]
    r = group[0]
    value, seconds = (math.fsum(getattr(g, f) * g.times for g in group) / count for f in ("measured", "seconds"))
    return Row(r.kind, r.chip, r.key, value, seconds, r.limit_w, count)
