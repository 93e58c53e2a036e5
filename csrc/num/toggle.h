/* Bits that toggle: between an operand and the one that follows it on the same wires. What dynamic energy depends on beside counts. */
#ifndef EMU_TOGGLE_H
#define EMU_TOGGLE_H

#include <stddef.h>

#include "num.h"

/* Where the bits went: operands and results of mm, operands and results of vec, bytes moved by DMA. */
enum emu_tally_kind {
    EMU_TALLY_MM_A, EMU_TALLY_MM_B, EMU_TALLY_MM_ACC, EMU_TALLY_VEC, EMU_TALLY_HBM_READ, EMU_TALLY_HBM_WRITE, EMU_TALLY_SRAM,
    EMU_TALLY_ACC, EMU_TALLY_SHARED, EMU_TALLIES
};

/* `toggles` of `bits` that could have. */
typedef struct { int64_t toggles, bits; } emu_tally;

/* While it is not NULL this thread counts into emu_tally[EMU_TALLIES]. */
extern _Thread_local emu_tally *emu_num_tallies;

/* Elements that follow each other along dimension `along`, for every place in the other dimensions. */
void emu_toggles_along(const emu_view *v, int along, emu_tally *t);

/* A run of bytes over a bus `width` bytes wide: each beat against the one before. */
void emu_toggles_bus(const uint8_t *bytes, size_t count, size_t width, emu_tally *t);

#define EMU_BUS_BYTES 32 /* of a bus whose width nobody gave: a sector */

#endif
