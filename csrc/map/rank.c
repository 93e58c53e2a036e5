/* Enumeration of the tilings of a gemm, bounded by the best one seen, and the pruning of those that another one dominates. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "map.h"

enum { RESERVE = 4096 }; /* bytes of scratchpad for what kernels keep besides tiles */
static const double WORSE = 1.3; /* tilings this many times the best are not kept: beyond the error of the analysis */

typedef struct {
  const emu_map_chip *chip;
  const emu_map_shape *shape;
  const emu_map_ask *ask;
  emu_map_rated *kept;
  int64_t count, room;
  double best;
  int failed;
} search;

static int compare(const void *a, const void *b) {
  const emu_map_rated *x = a, *y = b;
  if (x->cycles != y->cycles) return x->cycles < y->cycles ? -1 : 1;
  const int64_t *p = &x->tiling.split_k, *q = &y->tiling.split_k;
  for (int j = 0; j < MAP_FIELDS; j++)
    if (p[j] != q[j]) return p[j] < q[j] ? -1 : 1;
  return 0;
}

/* Drops what has fallen behind the best by more than WORSE since it was kept. */
static void thin(search *f) {
  int64_t left = 0;
  for (int64_t j = 0; j < f->count; j++)
    if (f->kept[j].cycles <= f->best * WORSE) f->kept[left++] = f->kept[j];
  f->count = left;
}

static void keep(search *f, const emu_map_rated *r) {
  if (!f->ask->all && r->cycles > f->best * WORSE) return;
  if (f->count == f->room) {
    if (!f->ask->all) thin(f);
    if (2 * f->count > f->room) {
      emu_map_rated *more = realloc(f->kept, (size_t)(2 * f->room) * sizeof *more);
      if (!more) {
        f->failed = 1;
        return;
      }
      f->kept = more;
      f->room *= 2;
    }
  }
  f->kept[f->count++] = *r;
  if (r->cycles < f->best) f->best = r->cycles;
}

/* Rows of the epilogue at a time: the most that divide the tile and fit. 0 if not even one fits. */
static int64_t chunk_of(int64_t tile_m, int64_t row_bytes, int64_t free_bytes) {
  for (int64_t parts = 1; parts <= tile_m; parts++)
    if (tile_m % parts == 0 && tile_m / parts * row_bytes <= free_bytes) return tile_m / parts;
  return 0;
}

/* Whether a tile with its x kept (or streamed) fits, as deep as it does, beside what x needs on its way in as `lower` counts it; sets the
   depth, the rows of the epilogue and the bytes of all. */
static int fit(const search *f, emu_map_tiling *t, double *need) {
  const emu_map_shape *s = f->shape;
  const int64_t kept = t->tile_m * (t->keep == KEEP_A ? s->k : t->tile_k), least_depth = t->keep == KEEP_A ? 1 : 2;
  const int64_t once = (int64_t)ceil((double)kept * s->x_size), reserve = RESERVE + 8 * t->tile_n * s->vectors;
  for (t->depth_a = least_depth + 1; t->depth_a >= least_depth; t->depth_a--) {
    const int64_t held = t->depth_a * once + reserve + (s->way_in ? t->tile_m * s->k * (s->way_in + 2 * t->depth_a) + 12 * s->k + RESERVE : 0);
    const int64_t chunk = chunk_of(t->tile_m, s->row * t->tile_n, f->chip->free - held);
    if (!chunk) continue;
    t->chunk_m = chunk == t->tile_m ? 0 : chunk;
    *need = (double)(held + chunk * s->row * t->tile_n);
    return 1;
  }
  return 0;
}

/* One grid. The order of a core's tiles matters where a cache holds what others have fetched, and x is not kept for a whole row. */
static void on_grid(search *f, const emu_map_tiling *t, double need, int64_t split_m, int64_t split_n) {
  const int orders = f->chip->cache && t->keep == KEEP_NOTHING && t->split_k == 1 ? 2 : 1;
  emu_map_rated r = {.tiling = *t};
  r.tiling.split_m = split_m;
  r.tiling.split_n = split_n;
  for (r.tiling.by_columns = 0; r.tiling.by_columns < orders; r.tiling.by_columns++) {
    r.cycles = emu_map_time(f->chip, f->shape, f->ask, &r.tiling, &r.terms);
    r.terms.need = need;
    keep(f, &r);
  }
}

/* Every grid; of those that deal equally, the one of fewest cores. Fewer columns of cores read x less often. */
static void grids(search *f, const emu_map_tiling *t, double need, int64_t rows, int64_t columns) {
  const double clocks = emu_map_tile_clocks(f->chip, f->shape, t);
  const int64_t cores = f->chip->cores / t->split_k;
  int64_t before = 0;
  for (int64_t split_m = 1; split_m <= least(rows, cores); split_m++) {
    const int64_t mine_m = ceil_div(rows, split_m);
    if (mine_m == before) continue;
    before = mine_m;
    for (int64_t split_n = least(columns, cores / split_m); split_n >= 1;) {
      const int64_t mine_n = ceil_div(columns, split_n);
      split_n = ceil_div(columns, mine_n);
      if (!f->ask->all && (double)(mine_m * mine_n) * clocks > f->best * WORSE) break;
      on_grid(f, t, need, split_m, split_n);
      split_n--;
    }
  }
}

/* Even dealt out evenly, with nothing but its products, this tile would take too long. */
static int hopeless(const search *f, const emu_map_tiling *t) {
  const double tiles = (double)(ceil_div(f->shape->m, t->tile_m) * ceil_div(f->shape->n, t->tile_n) * t->split_k);
  return !f->ask->all && tiles / (double)f->chip->cores * emu_map_tile_clocks(f->chip, f->shape, t) > f->best * WORSE;
}

/* Sums divided among cores that would be idle; each number of slices of a part once. The second pass must hold a few columns of all. */
static void divided(search *f, emu_map_tiling t, int64_t rows, int64_t columns) {
  const int64_t slices = ceil_div(f->shape->k, t.tile_k), most = least(f->ask->parts, f->chip->cores);
  int64_t before = slices;
  double need;
  t.keep = KEEP_NOTHING;
  for (t.split_k = 2; t.split_k <= most && rows * columns * t.split_k < 2 * f->chip->cores; t.split_k++) {
    const int64_t mine = ceil_div(slices, t.split_k);
    if (mine == before || (8 * t.split_k + 12) * f->chip->block + RESERVE > f->chip->free) continue;
    before = mine;
    if (!hopeless(f, &t) && fit(f, &t, &need)) grids(f, &t, need, rows, columns);
  }
}

static void tile(search *f, int64_t tile_m, int64_t tile_n) {
  const emu_map_chip *c = f->chip;
  const emu_map_shape *s = f->shape;
  const int64_t accs = 4 * tile_m * tile_n * s->weights, rows = ceil_div(s->m, tile_m), columns = ceil_div(s->n, tile_n);
  const int64_t fits = least((int64_t)((double)c->slot / ((double)(tile_n * c->max_k) * s->w_size)), ceil_div(s->k, c->max_k)); /* repeats of mm that a slot feeds */
  if (accs > c->acc || !fits || (s->way_in && rows > 1)) return;
  emu_map_tiling t = {.split_k = 1, .tile_m = tile_m, .tile_n = tile_n, .depth_acc = 2 * accs <= c->acc ? 2 : 1};
  double need;
  for (int64_t part = 1; part <= 4 && part <= fits; part *= 2) {
    t.tile_k = fits / part * c->max_k;
    divided(f, t, rows, columns);
    if (hopeless(f, &t)) continue;
    for (t.keep = s->way_in ? KEEP_A : KEEP_NOTHING; t.keep <= KEEP_A; t.keep++)
      if (fit(f, &t, &need)) grids(f, &t, need, rows, columns);
  }
}

static int dominated(const emu_map_rated *found, int64_t count, const emu_map_terms *t) {
  const double *own = &t->compute;
  for (int64_t j = 0; j < count; j++) {
    const double *other = &found[j].terms.compute;
    int worse = 0;
    for (int i = 0; i < MAP_TERMS; i++) worse |= other[i] > own[i];
    if (!worse) return 1;
  }
  return 0;
}

static void every_tile(search *f) {
  const emu_map_chip *c = f->chip;
  const emu_map_shape *s = f->shape;
  int64_t widths[MAP_SIZES], heights[MAP_SIZES];
  const int64_t wide = emu_map_sizes(ceil_div(s->n, c->block), 1, 1, c->max_n / c->block, widths, MAP_SIZES);
  const int64_t high = emu_map_sizes(s->m, c->quantum_m, MAP_PARITIES, c->max_m, heights, MAP_SIZES);
  for (int64_t j = high - 1; j >= 0; j--) /* large ones first: they are the better ones, and bound the others */
    for (int64_t i = wide - 1; i >= 0; i--) tile(f, heights[j], widths[i] * c->block);
}

int64_t emu_map_rank(const emu_map_chip *chip, const emu_map_shape *shape, const emu_map_ask *ask, emu_map_rated *found, int64_t limit) {
  search f = {chip, shape, ask, NULL, 0, 1024, 1e300, 0};
  if (!(f.kept = malloc((size_t)f.room * sizeof *f.kept))) return -1;
  every_tile(&f);
  if (!ask->all) thin(&f);
  qsort(f.kept, (size_t)f.count, sizeof *f.kept, compare);
  int64_t count = 0;
  for (int64_t j = 0; j < f.count && count < limit && !f.failed; j++)
    if (ask->all || !dominated(found, count, &f.kept[j].terms)) found[count++] = f.kept[j];
  free(f.kept);
  return f.failed ? -1 : count;
}
