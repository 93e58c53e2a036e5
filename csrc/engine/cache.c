/* The last-level cache in `fast` (SOUNDNESS 12): LRU over 4 KiB blocks of 128-byte sectors, byte-accounted, in the order in which
   transfers start (ties by core). A read moves its absent sectors from device memory; a write leaves its sectors behind.

   Neighbours in memory are looked up side by side (a table of leaves, made as they are touched), and recency is a queue of uses in which only
   a block's last one counts: both run along memory instead of jumping through it. */
#include <stdlib.h>
#include <string.h>
#include "detailed.h"

#define BLOCK 4096
#define SECTOR 128
#define LEAF 1024 /* blocks of a leaf */

typedef struct { int64_t tag, used; uint32_t sectors; int32_t free_next; } block;
typedef struct { int64_t used; int32_t block, pad; } use;
struct emu_cache {
  block *blocks;
  int32_t **leaves;
  use *uses;
  int64_t nleaves, bytes, limit, clock, first, last, room; /* uses [first, last) of a ring of `room`, a power of two */
  int32_t count, made, capacity, free_list;                /* blocks that hold something, that were ever made, that may be */
  emu_detailed *told;                                      /* who wants to know which sectors were absent */
};

void emu_cache_free(emu_machine *m) {
  emu_cache *c = m->cache;
  if (!c) return;
  for (int64_t j = 0; c->leaves && j < c->nleaves; j++) free(c->leaves[j]);
  free(c->leaves);
  free(c->blocks);
  free(c->uses);
  free(c);
  m->cache = NULL;
}

/* Bytes of the sectors of a mask. Mostly all or none; __builtin_popcount is a library call on plain x86-64. */
static int64_t bytes_of(uint32_t mask) {
  if (mask == UINT32_MAX) return BLOCK;
  if (!mask) return 0;
  mask -= mask >> 1 & 0x55555555u;
  mask = (mask & 0x33333333u) + (mask >> 2 & 0x33333333u);
  return (int64_t)(((mask + (mask >> 4)) & 0x0f0f0f0fu) * 0x01010101u >> 24) * SECTOR;
}

/* The place of a block's number, -1 in it if it is absent; NULL: no memory. */
static int32_t *place_of(emu_cache *c, int64_t tag) {
  int32_t **leaf = &c->leaves[tag / LEAF];
  if (!*leaf) {
    if (!(*leaf = malloc(LEAF * sizeof **leaf))) return NULL;
    memset(*leaf, 0xff, LEAF * sizeof **leaf);
  }
  return &(*leaf)[tag % LEAF];
}

/* Uses that a later one of the same block has overtaken go; if most still count, there is room for twice as many. */
static int tidy(emu_cache *c) {
  use *old = c->uses;
  const int64_t mask = c->room - 1;
  if (c->count > c->room / 2) c->room *= 2;
  use *kept = malloc((size_t)c->room * sizeof *kept);
  if (!kept) return c->room = mask + 1, -1;
  int64_t n = 0;
  for (int64_t j = c->first; j < c->last; j++) {
    const use *u = &old[j & mask];
    if (c->blocks[u->block].used == u->used) kept[n++] = *u;
  }
  free(old);
  c->uses = kept;
  c->first = 0;
  c->last = n;
  return 0;
}

static int make_newest(emu_cache *c, int32_t b) {
  if (c->blocks[b].used == c->clock) return 0; /* the rows of a tile often share a block */
  if (c->last - c->first == c->room && tidy(c) < 0) return -1;
  c->blocks[b].used = ++c->clock;
  c->uses[c->last++ & (c->room - 1)] = (use){c->clock, b, 0};
  return 0;
}

static void evict_oldest(emu_cache *c) {
  const use *u;
  do u = &c->uses[c->first++ & (c->room - 1)];
  while (c->blocks[u->block].used != u->used);
  block *x = &c->blocks[u->block];
  c->leaves[x->tag / LEAF][x->tag % LEAF] = -1;
  c->bytes -= bytes_of(x->sectors);
  x->used = -1;
  x->free_next = c->free_list;
  c->free_list = u->block;
  c->count--;
}

static block *find_or_make(emu_cache *c, int64_t tag) {
  int32_t *at = place_of(c, tag);
  if (!at) return NULL;
  if (*at < 0) {
    if (c->count == c->capacity) evict_oldest(c);
    const int32_t b = c->free_list >= 0 ? c->free_list : c->made++;
    if (b == c->free_list) c->free_list = c->blocks[b].free_next;
    c->blocks[b] = (block){tag, -1, 0, -1};
    c->count++;
    *at = b;
  }
  return make_newest(c, *at) < 0 ? NULL : &c->blocks[*at];
}

static uint32_t sector_mask(int64_t first, int64_t last) {
  return (last - first == 31 ? UINT32_MAX : ((UINT32_C(1) << (last - first + 1)) - 1)) << first;
}

/* Touches [lo, hi); the bytes of sectors that were absent, < 0 without memory. */
static int64_t touch(emu_cache *c, int64_t lo, int64_t hi) {
  int64_t absent = 0;
  while (lo < hi) {
    int64_t tag = lo / BLOCK, end = (tag + 1) * BLOCK < hi ? (tag + 1) * BLOCK : hi;
    block *x = find_or_make(c, tag);
    if (!x) return -1;
    uint32_t want = sector_mask((lo - tag * BLOCK) / SECTOR, (end - 1 - tag * BLOCK) / SECTOR), fresh = want & ~x->sectors;
    const int64_t bytes = bytes_of(fresh);
    if (fresh && c->told && emu_detailed_absent(c->told, tag * BLOCK, fresh, SECTOR)) return -1;
    x->sectors |= want;
    c->bytes += bytes;
    absent += bytes;
    while (c->bytes > c->limit && c->count > 1) evict_oldest(c);
    lo = end;
  }
  return absent;
}

/* What a run before left behind that went through these ranges side by side, from their beginnings to their ends. */
static int warm(emu_cache *c, const int64_t *ranges) {
  enum { STEPS = 1024 };
  int64_t any = 0;
  for (int j = 0; j < EMU_WARM; j += 2) any |= ranges[j + 1] - ranges[j];
  if (!any) return 0;
  for (int64_t step = 0; step < STEPS; step++)
    for (int j = 0; j < EMU_WARM; j += 2) {
      const int64_t lo = ranges[j], blocks = (ranges[j + 1] - lo + BLOCK - 1) / BLOCK;
      const int64_t from = lo + blocks * step / STEPS * BLOCK, to = lo + blocks * (step + 1) / STEPS * BLOCK;
      if (touch(c, from, to < ranges[j + 1] ? to : ranges[j + 1]) < 0) return -1;
    }
  return 0;
}

int emu_cache_prepare(emu_machine *m) {
  if (m->c.cache_bytes <= 0) return 0;
  emu_cache *c = calloc(1, sizeof *c);
  if (!c) return -1;
  m->cache = c;
  c->limit = m->c.cache_bytes;
  const int64_t most = m->c.cache_bytes / SECTOR + 1; /* every block holds at least one sector */
  c->capacity = most > (1 << 22) ? 1 << 22 : (int32_t)most;
  c->free_list = -1;
  c->room = 4096;
  c->nleaves = m->c.hbm_bytes / BLOCK / LEAF + 1;
  c->blocks = malloc((size_t)c->capacity * sizeof *c->blocks);
  c->uses = malloc((size_t)c->room * sizeof *c->uses);
  c->leaves = calloc((size_t)c->nleaves, sizeof *c->leaves);
  if (!c->blocks || !c->uses || !c->leaves) return -1;
  if (warm(c, m->c.warm)) return -1;
  c->told = m->detailed;
  return 0;
}

int64_t emu_cache_touch(emu_machine *m, const emu_extent *x, int64_t base) {
  if (!x->elements) return 0;
  if (x->dense) return touch(m->cache, base + x->lo, base + x->hi);
  int64_t n[4] = {1, 1, 1, 1}, s[4] = {0}, lo = 0, hi = emu_fmt_bytes[x->fmt], absent = 0;
  const int64_t size = hi;
  for (int j = 0, outer = 0; j < 4; j++) { /* rows that continue each other are one; what lies between the elements of a gapped row is touched too: a sector is 128 bytes */
    const int64_t far = (x->n[j] - 1) * x->s[j];
    if (x->n[j] == 1) continue;
    if (!outer && (hi - lo == x->s[j] || (j == 0 && x->s[0] != size))) far < 0 ? (lo += far) : (hi += far);
    else n[outer] = x->n[j], s[outer++] = x->s[j];
  }
  for (int64_t a = 0; a < n[3]; a++)
    for (int64_t b = 0; b < n[2]; b++)
      for (int64_t d = 0; d < n[1]; d++)
        for (int64_t e = 0; e < n[0]; e++) {
          const int64_t at = base + a * s[3] + b * s[2] + d * s[1] + e * s[0], missed = touch(m->cache, at + lo, at + hi);
          if (missed < 0) return -1;
          absent += missed;
        }
  return absent;
}
