/* When the elements of a product are in the accumulators. The geometry is data: which extent streams (0 m, 1 n, 2 k), and along m and n how
   many lanes get their operands one hop after the other. docs/machine.md, "Time". */
#ifndef EMU_ARRAY_H
#define EMU_ARRAY_H
#include "machine.h"

static inline int64_t emu_mm_padded(const emu_config *c, int64_t m, int64_t n, int64_t k) {
  return emu_ceil_div(m, c->quantum_m) * c->quantum_m * (emu_ceil_div(n, c->quantum_n) * c->quantum_n) *
         (emu_ceil_div(k, c->quantum_k) * c->quantum_k);
}

/* Clocks in which an m x n x k product streams through the array. */
static inline int64_t emu_mm_stream(const emu_config *c, int fmt, int64_t m, int64_t n, int64_t k) {
  return emu_ceil_div(emu_mm_padded(c, m, n, k), c->macs_per_clk[fmt]);
}

/* Clocks from the end of a stream until the last lane has its result: what completes an instruction. */
static inline int64_t emu_mm_last(const emu_config *c) { return c->fill_cycles; }

/* The same for lane (i, j): a hop less for each that gets its operands later. */
static inline int64_t emu_mm_drain(const emu_config *c, int64_t i, int64_t j) {
  return emu_mm_last(c) - (c->skew_m - 1 - i % c->skew_m + c->skew_n - 1 - j % c->skew_n) * c->skew_cycles;
}

/* Clocks from the start of a repeat's stream until element (i, j) of its m x n is in the accumulators. */
static inline int64_t emu_mm_ready(const emu_config *c, int fmt, int64_t m, int64_t n, int64_t k, int64_t i, int64_t j) {
  return emu_mm_stream(c, fmt, c->streamed == 0 ? i + 1 : m, c->streamed == 1 ? j + 1 : n, k) + emu_mm_drain(c, i, j);
}
#endif
