# From the tables of a device, as Python has them, to a DRAM system: what both borders (dram.pyx, core.pyx) need.
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free

cdef extern from "dram/dram.h" nogil:
    enum: DRAM_LEVELS, DRAM_COMMANDS, DRAM_COUNTERS, DRAM_MAX_BITS

    ctypedef struct emu_dram_rule:
        int32_t level, before, after, window, other
        int64_t latency

    ctypedef struct emu_dram_device:
        int64_t count[5]
        int64_t rows, columns, burst_bytes, burst_ticks, read_ticks, write_ticks
        int64_t align[9]
        int64_t refresh, interval

    ctypedef struct emu_dram_policy:
        int64_t reads, writes, high, low, patience, cap, page, idle

    ctypedef struct emu_dram_map:
        uint64_t mask[48]
        int32_t bits
        int32_t field[7]

    ctypedef struct emu_dram:
        pass

    emu_dram *emu_dram_new(const emu_dram_device *, const emu_dram_rule *, int64_t, const emu_dram_map *, const emu_dram_policy *, int)
    void emu_dram_free(emu_dram *)
    void emu_dram_counters(const emu_dram *, int64_t *, int64_t *)


cdef emu_dram *new_dram(dict device, list rules, list masks, list fields, dict policy, bint trace) except NULL:
    """`device`, `policy` are dicts of the numbers that dram.h names; emu.machine.dram.system makes all of them."""
    cdef emu_dram_device made = device
    cdef emu_dram_policy chosen = policy
    cdef emu_dram_map places
    cdef emu_dram *core
    cdef int64_t j, count = len(rules)
    if len(masks) > DRAM_MAX_BITS or len(fields) != 7 or count > 1024:
        raise ValueError("tables too large for the core")
    places.bits = len(masks)
    for j in range(len(masks)):
        places.mask[j] = masks[j]
    for j in range(7):
        places.field[j] = fields[j]
    cdef emu_dram_rule *table = <emu_dram_rule *>calloc(count + 1, sizeof(emu_dram_rule))
    if table == NULL:
        raise MemoryError("no memory for rules")
    try:
        for j in range(count):
            table[j].level, table[j].before, table[j].after, table[j].window, table[j].other, table[j].latency = rules[j]
        core = emu_dram_new(&made, table, count, &places, &chosen, trace)
    finally:
        free(table)
    if core == NULL:
        raise MemoryError("no memory for a DRAM system")
    return core
