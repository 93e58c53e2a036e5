# cython: language_level=3, boundscheck=False, wraparound=False
"""The thin border of the compiled core: a program and a configuration in, one run, plain Python objects out (see _core.pyi)."""

include "dram_tables.pxi"

from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memset

cdef extern from "Python.h":
    int PyErr_CheckSignals() noexcept  # leaves the handler's exception set: `interrupted` passes it on

cdef extern from "sys/mman.h" nogil:
    void *mmap(void *addr, size_t length, int prot, int flags, int fd, int64_t offset)
    int PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MAP_NORESERVE
    void *MAP_FAILED

cdef extern from "engine/machine.h" nogil:
    int CAUSES, COUNTERS, EMU_STREAM_COUNT, EMU_SEMAPHORES, EMU_BARRIERS, EMU_FMT_COUNT, EMU_VEC_CLASSES
    int C_USEFUL_MACS, C_ARRAY_MACS, C_VEC, C_STATIONARY_BYTES
    const char **emu_class_name
    const char **emu_fmt_name
    const char **emu_stream_name
    ctypedef struct emu_config:
        int64_t cores
        int64_t period_fs
        int64_t sram_bytes
        int64_t chips
        int64_t chip_span
    ctypedef struct emu_buffer:
        int64_t offset, bytes
        int32_t space, role
    ctypedef struct emu_sem:
        int32_t count, need
        int64_t initial
    ctypedef struct emu_barrier:
        unsigned int mask
        int64_t participants, arrived
    ctypedef struct emu_stream:
        int32_t core, kind, pc, state, blocked_on
        int64_t stall[16]
        int64_t root_stall[16]
        int64_t scalars, instructions
    ctypedef struct emu_insn:
        pass
    ctypedef struct emu_release:
        int64_t time
        int32_t label, barrier
    ctypedef struct emu_record:
        int64_t start, end
        int32_t core, stream, pc, label
    ctypedef struct emu_failure:
        int32_t code, core, stream, pc, core2, stream2, pc2, space
        int64_t lo, hi, lo2, hi2, a, b
        char text[160]
    ctypedef struct emu_detailed:
        pass
    ctypedef struct emu_machine:
        emu_config c
        emu_detailed *detailed
        int64_t nbuffers, nlabels, nparams
        emu_buffer *buffers
        int32_t words[12]
        emu_insn *code[12]
        int64_t *params
        emu_stream *streams
        emu_sem *sems
        int64_t nsems
        uint8_t sem_slot[256]
        uint8_t sem_declared[256]
        emu_barrier barriers[256]
        uint8_t *hbm
        int64_t hbm_span
        int64_t *counters
        int64_t counter_stride
        int64_t *weight
        int folded
        int64_t skipped
        int64_t *label_stalls
        emu_release *releases
        int64_t nreleases
        emu_record *records
        int64_t nrecords
        int64_t end_time, instructions
        int (*poll)(void *) noexcept nogil
        emu_failure fail
    int emu_config_find(const char *name, int64_t *offset, int64_t *count)
    int emu_decode(emu_machine *m, int kind, const uint64_t *words, int32_t count)
    int emu_machine_prepare(emu_machine *m)
    int emu_relevance(const emu_insn *code, int32_t words, unsigned int *live, uint8_t *params, int64_t nparams)
    int emu_chip_relevance(const emu_insn *code, int32_t words, unsigned int *live, uint8_t *params, uint8_t *peers, int64_t nparams)
    void *emu_lines(size_t size)
    int emu_machine_run(emu_machine *m)
    void emu_machine_free(emu_machine *m)
    int64_t emu_net_links(const emu_machine *m)
    int64_t emu_net_link_bytes(const emu_machine *m, int64_t link)

cdef extern from "engine/detailed.h" nogil:
    ctypedef struct emu_detailed_config:
        int64_t channels, tick_fs, chunk_bytes, there_fs, back_fs
    emu_detailed *emu_detailed_new(const emu_detailed_config *c, int64_t streams, emu_dram **channels)
    const emu_dram *emu_detailed_channel(const emu_detailed *d, int64_t channel)

cdef extern from "engine/array.h" nogil:
    int64_t emu_mm_ready(const emu_config *c, int fmt, int64_t m, int64_t n, int64_t k, int64_t i, int64_t j)

cdef extern from "num/toggle.h" nogil:
    int EMU_TALLIES
    ctypedef struct emu_tally:
        int64_t toggles
        int64_t bits
    emu_tally *emu_num_tallies

CAUSE_NAMES = ("busy", "operand", "dram_bandwidth", "dram_latency", "port", "load", "noc", "link", "barrier", "issue", "matrix", "vector",
               "shared", "descriptor", "bank", "not_started", "finished")
ERROR_NAMES = ("ok", "memory", "bounds", "uninitialised", "race", "deadlock", "leftover", "overflow", "illegal", "format", "extent", "port", "time",
               "runaway", "pc", "interrupted", "transfer", "index", "producer", "scales", "user", "accumulator", "link")
TALLY_NAMES = ("mm_a", "mm_b", "mm_acc", "vec", "hbm_read", "hbm_write", "sram", "acc", "shared")
STATE_NAMES = ("running", "semaphore", "barrier", "transfer", "halted", "consumer", "memory")


def counter_names():
    """Names of the event counters, in the order of the core's table."""
    names = [f"useful_macs_{emu_fmt_name[j].decode()}" for j in range(EMU_FMT_COUNT)]
    names += [f"array_macs_{emu_fmt_name[j].decode()}" for j in range(EMU_FMT_COUNT)]
    names += [f"vec_{emu_class_name[j].decode()}" for j in range(EMU_VEC_CLASSES)]
    names += ["stationary_bytes", "sram_read_bytes", "sram_write_bytes", "acc_read_bytes", "acc_write_bytes", "hbm_read_bytes", "hbm_write_bytes",
              "hbm_burst_bytes", "shared_bytes", "noc_byte_hops", "link_bytes", "user_elements", "user_femtojoules", "scalar_instructions",
              "engine_instructions", "dma_descriptors", "sync_events"]
    assert len(names) == COUNTERS and len(CAUSE_NAMES) == CAUSES
    return names


class CoreFailure(Exception):
    """A run that ended in an error; `info` holds the core's report as a dict."""

    def __init__(self, info):
        super().__init__(info["text"])
        self.info = info


cdef int poll_signals(void *arg) noexcept nogil:
    with gil:
        return PyErr_CheckSignals()


cdef int interrupted() except -1:
    """Raises what the signal's handler raised, KeyboardInterrupt or any other."""
    return -1


cdef object failure(emu_machine *m):
    cdef emu_failure *f = &m.fail
    cdef emu_sem *q
    info = {"code": ERROR_NAMES[f.code], "text": f.text.decode(), "core": f.core, "stream": f.stream, "pc": f.pc, "core2": f.core2, "stream2": f.stream2,
            "pc2": f.pc2, "space": f.space, "lo": f.lo, "hi": f.hi, "lo2": f.lo2, "hi2": f.hi2, "a": f.a, "b": f.b, "blocked": []}
    if m.streams != NULL:
        for j in range(m.c.cores * EMU_STREAM_COUNT):
            if m.words[j % EMU_STREAM_COUNT] and m.streams[j].state not in (0, 4):
                state, on, has, wants = STATE_NAMES[m.streams[j].state], m.streams[j].blocked_on, 0, 0
                if state == "semaphore":
                    q = &m.sems[m.streams[j].core * m.nsems + m.sem_slot[on]]
                    has, wants = q.count, q.need
                elif state == "barrier":
                    has, wants = m.barriers[on].arrived, m.barriers[on].participants
                info["blocked"].append((m.streams[j].core, m.streams[j].kind, m.streams[j].pc, state, on, has, wants))
    return CoreFailure(info)


cdef int configure(emu_config *c, dict config) except -1:
    cdef int64_t offset, count
    cdef int64_t *base = <int64_t *>c
    for name, value in config.items():
        if emu_config_find(name.encode(), &offset, &count):
            raise KeyError(name)
        values = value if isinstance(value, (list, tuple)) else (value,)
        if len(values) != count:
            raise ValueError(f"{name}: {len(values)} values, expected {count}")
        for j, v in enumerate(values):
            base[offset + j] = v
    return 0


cdef int fill(emu_machine *m, dict config, list buffers, dict code, dict semaphores, dict barriers, list params, list weights) except -1:
    cdef uint64_t[::1] words
    configure(&m.c, config)
    m.nbuffers = len(buffers)
    m.buffers = <emu_buffer *>calloc(len(buffers) + 1, sizeof(emu_buffer))
    m.nparams = len(params)
    m.params = <int64_t *>calloc(len(params) * m.c.cores + 1, sizeof(int64_t))
    m.nsems = len(semaphores)
    m.sems = <emu_sem *>emu_lines((m.c.cores * m.nsems + 1) * sizeof(emu_sem))
    m.weight = <int64_t *>calloc(m.c.cores + 1, sizeof(int64_t))
    if m.buffers == NULL or m.params == NULL or m.sems == NULL or m.weight == NULL:
        raise MemoryError
    m.folded = weights is not None
    for core in range(m.c.cores):
        m.weight[core] = weights[core] if m.folded else 1
    for j, (space, where, size, role) in enumerate(buffers):
        m.buffers[j].space, m.buffers[j].offset, m.buffers[j].bytes, m.buffers[j].role = space, where, size, role
        if space == 0:
            m.hbm_span = max(m.hbm_span, where + size)
    if m.c.chips > 1:
        m.hbm_span = m.c.chips * m.c.chip_span
    for j, row in enumerate(params):
        for core in range(m.c.cores):
            m.params[j * m.c.cores + core] = row[core]
    for slot, (sem, initial) in enumerate(semaphores.items()):
        m.sem_slot[sem], m.sem_declared[sem] = slot, 1
        for core in range(m.c.cores):
            m.sems[core * m.nsems + slot].initial = initial
    for bar, mask in barriers.items():
        m.barriers[bar].mask = mask
    for kind, array in code.items():
        words = array
        if emu_decode(m, kind, &words[0], <int32_t>words.shape[0]) < 0:
            raise failure(m)
    return 0


cdef int attach(emu_machine *m, dict way, tuple tables) except -1:
    """Device memory in `detailed`: channels of these tables, and the way there and back."""
    cdef emu_detailed_config c = way
    cdef int64_t k, made = 0
    device, rules, masks, fields, policy = tables
    cdef emu_dram **channels = <emu_dram **>calloc(c.channels, sizeof(emu_dram *))
    if channels == NULL:
        raise MemoryError
    try:
        for k in range(c.channels):
            channels[k] = new_dram(device, rules, masks, fields, policy, False)
            made += 1
        m.detailed = emu_detailed_new(&c, m.c.cores * EMU_STREAM_COUNT, channels)
        made = 0  # taken, or freed
        if m.detailed == NULL:
            raise MemoryError
    finally:
        for k in range(made):
            emu_dram_free(channels[k])
        free(channels)


cdef dict commands_of(emu_machine *m, int64_t channels):
    """Commands by kind, counters and, channel by channel, commands."""
    cdef int64_t commands[9]
    cdef int64_t counters[5]
    total, counts, each = [0] * DRAM_COMMANDS, [0] * DRAM_COUNTERS, []
    for k in range(channels):
        emu_dram_counters(emu_detailed_channel(m.detailed, k), commands, counters)
        each.append([commands[j] for j in range(DRAM_COMMANDS)])
        total = [total[j] + each[k][j] for j in range(DRAM_COMMANDS)]
        counts = [counts[j] + counters[j] for j in range(DRAM_COUNTERS)]
    return {"commands": total, "counters": counts, "channels": each}


cdef bint any_of(emu_machine *m, int64_t label, int64_t kind) noexcept:
    cdef int64_t j, at = (label * EMU_STREAM_COUNT + kind) * CAUSES
    for j in range(CAUSES):
        if m.label_stalls[at + j]:
            return True
    return False


cdef dict harvest(emu_machine *m):
    names = counter_names()
    counters = [[m.counters[l * COUNTERS + j] for j in range(COUNTERS)] for l in range(m.nlabels)]
    if m.folded:  # a row of counters for each simulated core, which stands for several
        counters = [[sum([m.weight[c] * m.counters[c * m.counter_stride + l * COUNTERS + j] for c in range(m.c.cores)]) for j in range(COUNTERS)]
                    for l in range(m.nlabels)]
    stalls, roots = {}, {}
    for j in range(m.c.cores * EMU_STREAM_COUNT):
        if m.words[j % EMU_STREAM_COUNT]:
            key = (m.streams[j].core, m.streams[j].kind)
            stalls[key] = tuple([m.streams[j].stall[k] for k in range(CAUSES)])
            roots[key] = tuple([m.streams[j].root_stall[k] for k in range(CAUSES)])
    nothing = [0] * CAUSES  # most streams do nothing under most labels: one row for them all
    label_stalls = [[[m.label_stalls[(l * EMU_STREAM_COUNT + k) * CAUSES + j] for j in range(CAUSES)] if any_of(m, l, k) else nothing
                     for k in range(EMU_STREAM_COUNT)] for l in range(m.nlabels)]
    releases = [(m.releases[j].time, m.releases[j].label, m.releases[j].barrier) for j in range(m.nreleases)]
    records = [(m.records[j].core, m.records[j].stream, m.records[j].pc, m.records[j].label, m.records[j].start, m.records[j].end) for j in range(m.nrecords)]
    engine = names.index("engine_instructions")
    return {"end_fs": m.end_time, "instructions": sum([row[engine] for row in counters]), "executed": m.instructions, "skipped": m.skipped, "names": names, "counters": counters, "stalls": stalls, "root_stalls": roots,
            "label_stalls": label_stalls, "links": [emu_net_link_bytes(m, j) for j in range(emu_net_links(m))], "releases": releases, "records": records}


def run(dict config, list buffers, dict code, dict semaphores, dict barriers, list params, int labels, list inputs, list outputs, list weights=None, bint toggles=False, tuple dram=None):
    """Run a program once. See _core.pyi for the arguments; raises CoreFailure."""
    global emu_num_tallies
    cdef emu_tally tallies[16]
    assert EMU_TALLIES == len(TALLY_NAMES)
    for j in range(EMU_TALLIES):
        tallies[j].toggles = tallies[j].bits = 0
    cdef emu_machine *m = <emu_machine *>PyMem_Calloc(1, sizeof(emu_machine))
    cdef int rc
    cdef const uint8_t[::1] data
    cdef uint8_t[::1] target
    cdef int64_t where
    if m == NULL:
        raise MemoryError
    try:
        m.nlabels = max(labels, 1)
        fill(m, config, buffers, code, semaphores, barriers, params, weights)
        if m.hbm_span:
            m.hbm = <uint8_t *>mmap(NULL, m.hbm_span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
            if <void *>m.hbm == MAP_FAILED:
                m.hbm = NULL
                raise MemoryError(f"cannot map {m.hbm_span} bytes of device memory")
        for where, array in inputs:
            data = array
            if where < 0 or where + data.shape[0] > m.hbm_span:
                raise ValueError("an input lies outside the mapped device memory")
            if data.shape[0]:
                memcpy(m.hbm + where, &data[0], data.shape[0])
        if dram is not None:
            attach(m, dram[0], dram[1])
        if emu_machine_prepare(m):
            raise MemoryError
        m.poll = poll_signals
        with nogil:
            emu_num_tallies = tallies if toggles else NULL
            rc = emu_machine_run(m)
            emu_num_tallies = NULL
        if rc < 0:
            if ERROR_NAMES[m.fail.code] == "interrupted":
                interrupted()
            raise failure(m)
        result = harvest(m)
        if dram is not None:
            result["dram"] = commands_of(m, dram[0]["channels"])
        if toggles:
            result["toggles"] = {name: (tallies[j].toggles, tallies[j].bits) for j, name in enumerate(TALLY_NAMES)}
        for where, array in outputs:
            target = array
            if target.shape[0]:
                memcpy(&target[0], m.hbm + where, target.shape[0])
        return result
    finally:
        emu_machine_free(m)
        PyMem_Free(m)


def mm_ready(dict config, int fmt, int64_t m, int64_t n, int64_t k):
    """Rows of clocks from the start of an m x n x k stream until each element is in the accumulators."""
    cdef emu_config c
    memset(&c, 0, sizeof(emu_config))
    configure(&c, config)
    return [[emu_mm_ready(&c, fmt, m, n, k, i, j) for j in range(n)] for i in range(m)]


def relevant_params(dict code, int64_t nparams, int labels, dict users={}, bint chips=False):
    """Indices of the parameters that can matter to a time, or None if a core can learn which one it is or reach another (emu.machine.fold).

    With `chips`, of those that matter otherwise than by naming a chip, and of those that name one (emu.machine.chipfold)."""
    cdef emu_machine *m = <emu_machine *>PyMem_Calloc(1, sizeof(emu_machine))
    cdef uint64_t[::1] words
    cdef int identity = 0, rc
    cdef unsigned int *live
    cdef uint8_t *params = <uint8_t *>PyMem_Calloc(nparams + 1, 1)
    cdef uint8_t *peers = <uint8_t *>PyMem_Calloc(nparams + 1, 1)
    if m == NULL or params == NULL or peers == NULL:
        raise MemoryError
    try:
        m.nlabels = max(labels, 1)
        configure(&m.c, users)
        for j in range(EMU_SEMAPHORES):
            m.sem_declared[j] = 1
        for kind, array in code.items():
            words = array
            if emu_decode(m, kind, &words[0], <int32_t>words.shape[0]) < 0:
                raise failure(m)
            live = <unsigned int *>PyMem_Calloc(words.shape[0] + 2, sizeof(unsigned int))
            if live == NULL:
                raise MemoryError
            if chips:
                rc = emu_chip_relevance(m.code[kind], m.words[kind], live, params, peers, nparams)
            else:
                rc = emu_relevance(m.code[kind], m.words[kind], live, params, nparams)
            PyMem_Free(live)
            if rc < 0:
                raise MemoryError
            identity |= rc
        if identity:
            return None
        found = {j for j in range(nparams) if params[j]}
        return (found, {j for j in range(nparams) if peers[j]}) if chips else found
    finally:
        emu_machine_free(m)
        PyMem_Free(m)
        PyMem_Free(params)
        PyMem_Free(peers)
