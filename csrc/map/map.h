/* Which tilings of a gemm there are, how long each would take by analysis, and which are worth running. docs/decisions says more. */
#ifndef EMU_MAP_H
#define EMU_MAP_H

#include <stdint.h>

/* What the time and the fit of a tiling depend on. Rates per clock of a core, times in clocks, sizes in bytes. */
typedef struct {
  int64_t cores, quantum_m, quantum_n, max_m, max_n, max_k, fragment_m, fragment_n;
  int64_t block, slot, slots, free, acc; /* columns that lie together; the weight ring; scratchpad and accumulators left */
  double macs, load, interval, mm_port;  /* of one repeat of mm: its rate, stationary load, shortest interval; bytes of its operands per clock */
  double queue, dma, hbm, trip;          /* bytes per clock of one queue, of a core, of device memory; clocks of a transfer beside its bytes */
  double startup, add, barrier; /* of a vector instruction; elements added per clock; clocks of a barrier */
  int64_t cache;  /* bytes of a cache of the whole chip, which catches what cores share; 0: none */
  double shared;  /* bytes per clock from it */
} emu_map_chip;

/* A gemm, or `weights` of them that share x. The epilogue takes `element` clocks of the vector engine for an element of the output, in
   `instructions` instructions, keeps `row` bytes of scratchpad for it and `vectors` rows in fp32 for all, and moves it `outs` times to or
   from memory. An element of x takes `x_size` bytes and one of w `w_size`, with its part of a scale. `way_in`: rows of x
   are normalised or quantised on the way in, which takes so many bytes for an element of whole rows, kept, in one tile of rows. */
typedef struct {
  int64_t m, n, k, out_size, weights, instructions, outs, row, vectors, way_in;
  double x_size, w_size, element;
} emu_map_shape;

enum { KEEP_NOTHING, KEEP_A };

/* Fields in the order in which ties are broken. `by_columns`: a core finishes a column of its tiles before the next, else a row. */
typedef struct {
  int64_t split_k, tile_m, tile_n, tile_k, split_m, split_n, keep, by_columns, depth_a, depth_acc, chunk_m;
} emu_map_tiling;

enum { MAP_FIELDS = 11 };

/* What a tiling costs its slowest core, in clocks: `late` are streams and memory where the ring was full of its weights when it began;
   `need` is bytes of scratchpad. A tiling that is no better in any of these than another is not worth a run. */
typedef struct {
  double compute, vector, streams, memory, late_streams, late_memory, exposed, need;
} emu_map_terms;

enum { MAP_TERMS = 8 };

typedef struct {
  double cycles;
  emu_map_terms terms;
  emu_map_tiling tiling;
} emu_map_rated;

/* What to enumerate. */
typedef struct {
  int64_t parts; /* of the sum over k, at most; they are added in a second pass, which has no epilogue */
  int64_t among; /* it stands in a layer, where its first weights may be fetched before it begins */
  int64_t all;   /* neither pruned nor bounded */
} emu_map_ask;

/* Sizes up to `most` in steps of `quantum`: each the smallest that makes its number of tiles, or the smallest multiple of 2, 4 ..
   2^(parities - 1) quanta that does. Ascending. Returns how many. */
enum { MAP_PARITIES = 5, MAP_SIZES = 8192 };
int64_t emu_map_sizes(int64_t total, int64_t quantum, int parities, int64_t most, int64_t *sizes, int64_t room);

/* Clocks that the matrix engine needs for one output tile, or for the largest part of its sum where that is divided. */
double emu_map_tile_clocks(const emu_map_chip *chip, const emu_map_shape *shape, const emu_map_tiling *t);

/* The largest part of the sum over k that a core has. */
static inline int64_t emu_map_share(const emu_map_shape *s, const emu_map_tiling *t) {
  const int64_t tile_k = t->tile_k < s->k ? t->tile_k : s->k, slices = (s->k + tile_k - 1) / tile_k;
  const int64_t mine = (slices + t->split_k - 1) / t->split_k * tile_k;
  return mine < s->k ? mine : s->k;
}

/* Clocks of the slowest core. */
double emu_map_time(const emu_map_chip *chip, const emu_map_shape *shape, const emu_map_ask *ask, const emu_map_tiling *t, emu_map_terms *terms);

/* The best `limit` tilings, quickest first, none dominated by another. Returns how many, -1 without memory. */
int64_t emu_map_rank(const emu_map_chip *chip, const emu_map_shape *shape, const emu_map_ask *ask, emu_map_rated *found, int64_t limit);

/* Tile sizes and the order of the loops over them, outermost first: 0 m, 1 n, 2 k. */
typedef struct {
  int64_t tile[3], order[3];
} emu_map_blocking;

/* Fewest elements that a gemm moves between a slow memory and a fast one of `storage` elements, partial sums included; 0 if not even
   three elements fit. Any sizes, one tile of each operand at a time, kept while the loops inside do not change it. */
int64_t emu_map_traffic(const int64_t *extent, int64_t storage, emu_map_blocking *best);

static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

#endif
