/* The analytic time of a tiling: the one definition there is. It ranks; what it ranks first is run on the machine. */
#include <math.h>

#include "map.h"

static const double ISSUE = 40; /* clocks from one matrix instruction to the next: a wait, descriptor updates, a signal */

double emu_map_tile_clocks(const emu_map_chip *c, const emu_map_shape *s, const emu_map_tiling *t) {
  const int64_t tile_m = least(t->tile_m, s->m), tile_n = least(t->tile_n, s->n), k = emu_map_share(s, t);
  const double rows = (double)(ceil_div(tile_m, c->quantum_m) * c->quantum_m), columns = (double)(ceil_div(tile_n, c->quantum_n) * c->quantum_n);
  const double again_a = c->fragment_n ? (double)ceil_div(tile_n, c->fragment_n) : 1, again_b = c->fragment_m ? (double)ceil_div(tile_m, c->fragment_m) : 1;
  const double port = ((double)tile_m * again_a * s->x_size + (double)tile_n * again_b * s->w_size) * (double)c->max_k / c->mm_port;
  const double stream = rows * columns * (double)c->max_k / c->macs, clocks = fmax(fmax(stream, c->load), fmax(port, c->interval));
  const double all = (double)ceil_div(k, c->max_k) * clocks, issued = (double)ceil_div(k, t->tile_k) * (c->load + ISSUE);
  return (double)s->weights * fmax(all, issued); /* an instruction is issued when the one before begins, and its first load begins then */
}

/* Resources that are nearly equally busy wait for each other now and then; a 4-norm instead of the maximum says so without a constant. */
static double together(double a, double b, double c, double d) {
  a *= a, b *= b, c *= c, d *= d;
  return sqrt(sqrt(a * a + b * b + c * c + d * d));
}

/* Clocks of the device memory for what all cores ask for. Where a cache catches what they share, what the inner loop keeps using comes once
   if half the cache holds it, and what it goes through comes again for every step of the outer loop unless all of it stays; the rest comes
   from the cache, meanwhile. */
static double memory(const emu_map_chip *c, const emu_map_shape *s, int64_t rows, int64_t columns, const emu_map_tiling *t) {
  const double x = (double)(s->m * s->k) * s->x_size, w = (double)(s->k * s->n * s->weights) * s->w_size;
  const double out = (double)(s->m * s->n) * (double)(t->split_k > 1 ? 4 * t->split_k : s->outs * s->out_size);
  const double asked = x * (double)(t->keep == KEEP_A ? least(t->split_n, columns) : columns) + w * (double)rows + out;
  if (!c->cache) return asked / c->hbm;
  const double mine_m = (double)ceil_div(rows, t->split_m), mine_n = (double)ceil_div(columns, t->split_n);
  const double x_used = x / mine_m, w_used = w / mine_n, room = (double)c->cache;
  double missed = x * (2 * x_used <= room || t->keep == KEEP_A ? 1 : mine_n) + w * (w + 2 * x_used <= room ? 1 : mine_m) + out;
  if (t->by_columns) missed = x * (x + 2 * w_used <= room ? 1 : mine_n) + w * (2 * w_used <= room ? 1 : mine_m) + out;
  return together(missed / c->hbm, (asked - missed) / c->shared, 0, 0);
}

/* Clocks of `count` uses of a buffer of `depth` places, each of which is busy for a trip to memory, its bytes, and its use. With a place for
   every use nothing waits for one. */
static double turns(const emu_map_chip *c, double count, int64_t depth, double bytes, double rate, double use) {
  return count > (double)depth ? count * (c->trip + bytes / rate + use) / (double)depth : 0;
}

/* The second pass of a divided sum, dealt out over all cores: two trips behind a barrier, the parts over the pins, and the additions, each of
   which begins anew. */
static double adding(const emu_map_chip *c, const emu_map_shape *s, int64_t parts) {
  const double all = (double)(s->m * s->n), mine = (double)ceil_div(s->m * s->n, c->cores), bytes = (double)(4 * parts);
  return 2 * c->trip + c->barrier + fmax(mine * bytes / c->queue, all * (bytes + (double)s->out_size) / c->hbm) + (double)parts * (mine / c->add + c->startup);
}

/* Clocks of the core's own queues and its port to the network: weights, x, and what goes out or comes in for the epilogue. */
static double streams(const emu_map_chip *c, double w, double x, double out) {
  return fmax(fmax(w, x) / c->queue, (w + x + out) / c->dma);
}

double emu_map_time(const emu_map_chip *c, const emu_map_shape *s, const emu_map_ask *ask, const emu_map_tiling *t, emu_map_terms *terms) {
  const int64_t tile_m = least(t->tile_m, s->m), tile_n = least(t->tile_n, s->n), tile_k = least(t->tile_k, s->k);
  const int64_t rows = ceil_div(s->m, tile_m), columns = ceil_div(s->n, tile_n), k = emu_map_share(s, t), slices = ceil_div(k, tile_k);
  const int64_t mine_m = ceil_div(rows, t->split_m), mine_n = ceil_div(columns, t->split_n);
  const double tiles = (double)(mine_m * mine_n), sum = emu_map_tile_clocks(c, s, t);
  const double w = tiles * (double)(tile_n * k * s->weights) * s->w_size;
  const double chunks = t->chunk_m ? (double)(tile_m / t->chunk_m) : 1, out = (double)(tile_m * tile_n * (t->split_k > 1 ? 4 : s->out_size));
  const double epilogue = (double)(tile_m * tile_n) * s->element + (double)s->instructions * chunks * c->startup;
  double x = (double)(tile_m * s->k) * s->x_size, fetches = (double)mine_m, use = sum * (double)mine_n; /* of x: bytes, and how long they stay */
  if (t->keep != KEEP_A) x = (double)(tile_m * tile_k) * s->x_size, fetches = tiles * (double)slices, use = sum / (double)slices;
  const double active = (double)(t->split_k * t->split_m * t->split_n), fair = fmin(fmin(c->queue, c->dma / 2), c->cache ? c->queue : c->hbm / active / 2);
  const double ring = (double)(c->slots * tile_k * tile_n) * s->w_size, again = x * fetches, back = out * tiles * (double)s->outs;
  terms->compute = fmax((x + (double)(tile_k * tile_n) * s->w_size) / c->queue + tiles * sum + (t->depth_acc == 1 ? (tiles - 1) * epilogue : 0),
                        turns(c, fetches, t->depth_a, x, fair, use));
  terms->vector = fmax(tiles * epilogue, turns(c, tiles * chunks, 2, out / chunks, fair, epilogue / chunks));
  terms->streams = streams(c, w, again, back);
  terms->memory = memory(c, s, rows, columns, t);
  terms->late_streams = streams(c, fmax(0, w - ring), again, back);
  terms->late_memory = fmax(0, terms->memory - ring * active / c->hbm);
  terms->exposed = 2 * c->trip + epilogue + (t->split_k > 1 ? adding(c, s, t->split_k) : 0);
  const double cold = together(terms->compute, terms->vector, terms->streams, terms->memory) + terms->exposed;
  if (!ask->among) return cold;
  return (cold + together(terms->compute, terms->vector, terms->late_streams, terms->late_memory) + terms->exposed) / 2;
}
