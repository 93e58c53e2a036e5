# The border between Python and csrc/dram: tables and requests in, ends of requests and counts out.
include "dram_tables.pxi"

import numpy as np

cdef extern from "dram/dram.h" nogil:
    int64_t DRAM_NEVER

    ctypedef struct emu_dram_issued:
        int64_t tick
        int32_t command, bank, channel, row

    ctypedef struct emu_dram_done:
        int64_t id, arrived, admitted, done

    int64_t emu_dram_submit(emu_dram *, int64_t, uint64_t, int64_t, int)
    int emu_dram_advance(emu_dram *, int64_t)
    int64_t emu_dram_next(emu_dram *)
    int64_t emu_dram_done_count(const emu_dram *)
    const emu_dram_done *emu_dram_done_list(const emu_dram *)
    void emu_dram_done_clear(emu_dram *)
    int64_t emu_dram_issued_count(const emu_dram *)
    const emu_dram_issued *emu_dram_issued_list(const emu_dram *)
    int64_t emu_dram_now(const emu_dram *)
    void emu_dram_force(emu_dram *, int, int32_t, int64_t)
    int64_t emu_dram_earliest(const emu_dram *, int, int32_t)


cdef class Dram:
    """A DRAM system. Times are ticks of the device's clock; `device`, `policy` are dicts of the numbers that dram.h names."""

    cdef emu_dram *core

    def __cinit__(self, dict device, list rules, list masks, list fields, dict policy, bint trace=False):
        self.core = new_dram(device, rules, masks, fields, policy, trace)

    def __dealloc__(self):
        emu_dram_free(self.core)

    cdef _check(self, int64_t code):
        if code == -1:
            raise MemoryError("no memory for requests")
        if code == -2:
            raise OverflowError("time beyond 2**60 ticks")

    def submit(self, int64_t tick, uint64_t address, int64_t size, bint write):
        """The id of a request of `size` bytes; -2 if it lies outside the device, -3 if it is earlier than what was run or asked before."""
        cdef int64_t made = emu_dram_submit(self.core, tick, address, size, write)
        if made == -1:
            raise MemoryError("no memory for requests")
        return made

    def submit_all(self, int64_t[::1] ticks, uint64_t[::1] addresses, int64_t[::1] sizes, unsigned char[::1] writes):
        """Many requests in order; how many were taken, and -2 or -3 of the one that was not."""
        cdef int64_t j = 0, made = 0
        with nogil:
            while j < ticks.shape[0]:
                made = emu_dram_submit(self.core, ticks[j], addresses[j], sizes[j], writes[j])
                if made < 0:
                    break
                j += 1
        if made == -1:
            raise MemoryError("no memory for requests")
        return j, made if made < 0 else 0

    def advance(self, int64_t until):
        """Run everything before tick `until`."""
        cdef int code
        with nogil:
            code = emu_dram_advance(self.core, until)
        self._check(code)

    def finish(self):
        """Run until all requests are done."""
        cdef int code
        with nogil:
            code = emu_dram_advance(self.core, DRAM_NEVER)
        self._check(code)

    def next(self):
        """The first tick at which something may happen."""
        return emu_dram_next(self.core)

    def now(self):
        return emu_dram_now(self.core)

    def done(self):
        """int64[n, 4]: id, arrived, admitted to a queue, end, of requests whose end is known and that were not taken before; by end, then id."""
        cdef int64_t j, count = emu_dram_done_count(self.core)
        cdef const emu_dram_done *entries = emu_dram_done_list(self.core)
        made = np.empty((count, 4), np.int64)
        cdef int64_t[:, ::1] rows = made
        for j in range(count):
            rows[j, 0] = entries[j].id
            rows[j, 1] = entries[j].arrived
            rows[j, 2] = entries[j].admitted
            rows[j, 3] = entries[j].done
        emu_dram_done_clear(self.core)
        return made[np.lexsort((made[:, 0], made[:, 3]))]

    def issued(self):
        """int64[n, 5]: tick, command, channel, bank of the channel, row of every command, where traced."""
        cdef int64_t j, count = emu_dram_issued_count(self.core)
        cdef const emu_dram_issued *entries = emu_dram_issued_list(self.core)
        made = np.empty((count, 5), np.int64)
        cdef int64_t[:, ::1] rows = made
        for j in range(count):
            rows[j, 0] = entries[j].tick
            rows[j, 1] = entries[j].command
            rows[j, 2] = entries[j].channel
            rows[j, 3] = entries[j].bank
            rows[j, 4] = entries[j].row
        return made

    def counters(self):
        """Counts of commands in the order of rules.COMMANDS; then hits, misses, conflicts, turns, active ticks."""
        cdef int64_t commands[9]
        cdef int64_t counters[5]
        emu_dram_counters(self.core, commands, counters)
        return [commands[j] for j in range(9)], [counters[j] for j in range(5)]

    def force(self, int command, int bank, int64_t tick):
        """Note a command on channel 0 as if it had been issued: for tests of single rules."""
        emu_dram_force(self.core, command, bank, tick)

    def earliest(self, int command, int bank):
        """The earliest tick at which the rules allow a command on channel 0."""
        return emu_dram_earliest(self.core, command, bank)
