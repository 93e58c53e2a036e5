# The border between Python and csrc/map: named numbers in, tuples out.
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc

include "map/percore.pxi"


cdef extern from "map/map.h" nogil:
    ctypedef struct emu_map_chip:
        int64_t cores, quantum_m, quantum_n, max_m, max_n, max_k, fragment_m, fragment_n
        int64_t block, slot, slots, free, acc, cache
        double macs, load, interval, mm_port, queue, dma, hbm, trip, startup, add, barrier, shared

    ctypedef struct emu_map_shape:
        int64_t m, n, k, out_size, weights, instructions, outs, row, vectors, way_in
        double x_size, w_size, element

    ctypedef struct emu_map_tiling:
        int64_t split_k, tile_m, tile_n, tile_k, split_m, split_n, keep, by_columns, depth_a, depth_acc, chunk_m

    ctypedef struct emu_map_terms:
        double compute, vector, streams, memory, late_streams, late_memory, exposed, need

    ctypedef struct emu_map_rated:
        double cycles
        emu_map_terms terms
        emu_map_tiling tiling

    ctypedef struct emu_map_ask:
        int64_t parts, among, all

    ctypedef struct emu_map_blocking:
        int64_t tile[3]
        int64_t order[3]

    int64_t emu_map_traffic(const int64_t *, int64_t, emu_map_blocking *)
    int64_t emu_map_rank(const emu_map_chip *, const emu_map_shape *, const emu_map_ask *, emu_map_rated *, int64_t)


def rank(chip, shape, int64_t parts=1, bint among=False, bint everything=False, int64_t limit=256):
    """(cycles, terms, tiling) of the best tilings, quickest first; `chip` and `shape` are dicts of the numbers that map.h names."""
    cdef emu_map_chip c = chip
    cdef emu_map_shape s = shape
    cdef emu_map_ask ask
    cdef int64_t count, j
    ask.parts, ask.among, ask.all = parts, among, everything
    cdef emu_map_rated *found = <emu_map_rated *>malloc(limit * sizeof(emu_map_rated))
    if found == NULL:
        raise MemoryError("no memory for tilings")
    try:
        with nogil:
            count = emu_map_rank(&c, &s, &ask, found, limit)
        if count < 0:
            raise MemoryError("no memory for tilings")
        return [(found[j].cycles, found[j].terms, found[j].tiling) for j in range(count)]
    finally:
        free(found)


def traffic(int64_t m, int64_t n, int64_t k, int64_t storage):
    """(elements, tile sizes, order of the loops) of the blocking that moves least; 0 elements if none fits."""
    cdef int64_t extent[3]
    cdef emu_map_blocking best
    cdef int64_t elements
    extent[0], extent[1], extent[2] = m, n, k
    best.tile[0] = best.tile[1] = best.tile[2] = best.order[0] = best.order[1] = best.order[2] = 0
    with nogil:
        elements = emu_map_traffic(extent, storage, &best)
    return elements, tuple(best.tile), tuple(best.order)
