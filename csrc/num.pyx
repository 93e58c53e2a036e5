# The border between Python and csrc/num: views over byte arrays, checked here because C trusts them.
import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t


cdef extern from "num/num.h" nogil:
    ctypedef struct emu_view:
        uint8_t *base
        int32_t fmt
        int64_t n[4]
        int64_t s[4]

    ctypedef struct emu_accumulate:
        int32_t order
        int32_t block_k
        int32_t acc_last
        int32_t width
        int32_t inner_bits
        int32_t truncate

    ctypedef struct emu_scales:
        const emu_view *a
        const emu_view *b
        int64_t block

    int emu_num_mm(const emu_view *, const emu_view *, const emu_view *, int, int, const emu_accumulate *)
    int emu_num_mm_scaled(const emu_view *, const emu_view *, const emu_view *, const emu_scales *, int, int, const emu_accumulate *)
    int emu_num_vec(int, const emu_view *, const emu_view *, const emu_view *, int, uint32_t, int64_t, int64_t, uint32_t)
    int emu_num_size(int)
    bint emu_num_packed(int)
    int64_t emu_num_row(int, int64_t)
    uint64_t emu_num_enter()
    void emu_num_leave(uint64_t)
    int emu_num_level()
    int emu_num_force_level(int)


cdef extern from "num/toggle.h" nogil:
    int EMU_TALLIES
    size_t EMU_BUS_BYTES
    ctypedef struct emu_tally:
        int64_t toggles
        int64_t bits
    emu_tally *emu_num_tallies
    void emu_toggles_along(const emu_view *, int, emu_tally *)
    void emu_toggles_bus(const uint8_t *, size_t, size_t, emu_tally *)


class Unsupported(ValueError):
    """The combination of formats or shapes has no meaning for the instruction."""


cdef int view_of(object spec, emu_view *view) except -1:
    """(memory, offset, fmt, n, s): a uint8 array, a byte offset, a format number, four extents, four strides in bytes, innermost first.

    Innermost rows of a packed format are dense and begin at a byte; their innermost stride is not looked at."""
    cdef uint8_t[::1] memory = spec[0]
    cdef int64_t low = spec[1], high, reach
    cdef int i
    view.fmt = spec[2]
    if emu_num_size(view.fmt) == 0:
        raise Unsupported(f"unknown format number {view.fmt}")
    high = low + emu_num_size(view.fmt)
    cdef bint empty = False
    for i in range(4):
        view.n[i] = spec[3][i]
        view.s[i] = spec[4][i]
        if view.n[i] < 0:
            raise ValueError("a negative extent")
        empty = empty or view.n[i] == 0
        if i == 0 and emu_num_packed(view.fmt):
            high = low + emu_num_row(view.fmt, view.n[0])
        elif view.n[i] > 1:
            if abs(int(view.n[i] - 1) * int(view.s[i])) > 1 << 60:
                raise ValueError("a view reaches outside its memory")
            reach = (view.n[i] - 1) * view.s[i]
            low += min(reach, 0)
            high += max(reach, 0)
    if not empty and (low < 0 or high > memory.shape[0]):
        raise ValueError(f"a view of bytes {low}..{high} reaches outside its memory of {memory.shape[0]} bytes")
    view.base = NULL
    if memory.shape[0] and not empty:
        view.base = &memory[0] + <int64_t>spec[1]
    return 0


cdef int check(int code) except -1:
    if code == -2:
        raise MemoryError("no memory for panels")
    if code == -3:
        raise Unsupported("the extents of the operands do not fit each other")
    if code < 0:
        raise Unsupported("no such combination of formats")
    return 0


def mm(acc, a, b, int bt=0, int accumulate=0, int order=0, int block_k=0, int acc_last=0, int width=32, int inner_bits=0, int truncate=0,
       scale_a=None, scale_b=None, int64_t scale_block=0):
    """One repeat of mm, in place in the memory of acc."""
    cdef emu_view views[3]
    cdef emu_view views_of_scales[2]
    cdef emu_scales scales
    cdef emu_accumulate rule
    cdef uint64_t saved
    cdef int code
    for i, spec in enumerate((acc, a, b)):
        view_of(spec, &views[i])
    rule.order, rule.block_k, rule.acc_last = order, block_k, acc_last
    rule.width, rule.inner_bits, rule.truncate = width, inner_bits, truncate
    cdef bint scaled = scale_a is not None or scale_b is not None
    scales.a, scales.b, scales.block = NULL, NULL, scale_block
    if scale_a is not None:
        view_of(scale_a, &views_of_scales[0])
        scales.a = &views_of_scales[0]
    if scale_b is not None:
        view_of(scale_b, &views_of_scales[1])
        scales.b = &views_of_scales[1]
    with nogil:
        saved = emu_num_enter()
        code = emu_num_mm_scaled(&views[0], &views[1], &views[2], &scales if scaled else NULL, bt, accumulate, &rule)
        emu_num_leave(saved)
    check(code)


def mm_toggles(acc, a, b, int bt=0, int accumulate=0, int order=0, int block_k=0, int acc_last=0):
    """mm, and (toggles, bits) of a, b and the results as a run with values counts them."""
    global emu_num_tallies
    cdef emu_tally tallies[9]
    cdef emu_tally *before = emu_num_tallies
    assert EMU_TALLIES == 9
    for i in range(9):
        tallies[i].toggles = tallies[i].bits = 0
    emu_num_tallies = tallies
    try:
        mm(acc, a, b, bt, accumulate, order, block_k, acc_last)
    finally:
        emu_num_tallies = before
    return [(tallies[i].toggles, tallies[i].bits) for i in range(3)]


def bus_toggles(const uint8_t[::1] data, size_t width=EMU_BUS_BYTES):
    """(toggles, bits) of bytes that cross a bus `width` bytes wide, one beat after the other."""
    cdef emu_tally t
    t.toggles = t.bits = 0
    if data.shape[0]:
        emu_toggles_bus(&data[0], data.shape[0], width, &t)
    return t.toggles, t.bits


def view_toggles(spec, int along):
    """(toggles, bits) of elements that follow each other along a dimension of a view."""
    cdef emu_view view
    cdef emu_tally t
    t.toggles = t.bits = 0
    if not 0 <= along < 4:
        raise ValueError(f"dimension {along}: expected 0 to 3")
    view_of(spec, &view)
    emu_toggles_along(&view, along, &t)
    return t.toggles, t.bits


def vec(int opcode, d, s1=None, s2=None, int flags=0, uint32_t scalar=0, int64_t diag=0, int64_t window=0, uint32_t seed=0):
    """One vec instruction, in place in the memory of d. Extents of a source that takes d's must be written out."""
    cdef emu_view views[3]
    cdef const emu_view *p1 = NULL
    cdef const emu_view *p2 = NULL
    cdef uint64_t saved
    cdef int code
    view_of(d, &views[0])
    if s1 is not None:
        view_of(s1, &views[1])
        p1 = &views[1]
    if s2 is not None:
        view_of(s2, &views[2])
        p2 = &views[2]
    with nogil:
        saved = emu_num_enter()
        code = emu_num_vec(opcode, &views[0], p1, p2, flags, scalar, diag, window, seed)
        emu_num_leave(saved)
    check(code)


def convert(source, int from_fmt, int to_fmt, bint sat=False, count=None, int64_t rows=1, seed=None):
    """The elements of a contiguous array in another format, as raw bytes. `count` elements in each of `rows` rows (rows of packed formats
    begin at a byte); `seed` rounds stochastically."""
    raw = np.ascontiguousarray(source).reshape(-1).view(np.uint8)
    cdef int64_t narrow = emu_num_size(from_fmt), wide = emu_num_size(to_fmt), n
    if not narrow or not wide or raw.size % narrow or rows < 1:
        raise Unsupported(f"cannot convert {raw.size} bytes from format {from_fmt} to {to_fmt}")
    n = raw.size // narrow // rows if count is None else count
    cdef int64_t before = emu_num_row(from_fmt, n), after = emu_num_row(to_fmt, n)
    if n < 0 or raw.size != before * rows:
        raise Unsupported(f"{raw.size} bytes are not {rows} rows of {n} elements of format {from_fmt}")
    out = np.empty(after * rows, np.uint8)
    if not raw.flags.writeable:
        raw = raw.copy()
    flags = (4 if sat else 0) | (8 if seed is not None else 0)
    vec(0x60, (out, 0, to_fmt, (n, rows, 1, 1), (wide, after, 0, 0)), (raw, 0, from_fmt, (n, rows, 1, 1), (narrow, before, 0, 0)), None, flags,
        0, 0, 0, seed or 0)
    return out


def level() -> int:
    """The code level in use: 0 portable, 1 x86-64-v3, 2 x86-64-v4."""
    return emu_num_level()


def force_level(int number) -> int:
    """Use a level this processor has (-1: the best one). Returns the level now in use."""
    return emu_num_force_level(number)
