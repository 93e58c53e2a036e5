/* The last-level cache in `fast` (SOUNDNESS 12): LRU over 4 KiB blocks of 128-byte sectors, byte-accounted, in the order in which
   transfers start (ties by core). A read moves its absent sectors from device memory; a write leaves its sectors behind. */
#include <stdlib.h>
#include "machine.h"

#define BLOCK 4096
#define SECTOR 128

typedef struct { int64_t tag; uint32_t sectors; int32_t next, newer, older; } block;
struct emu_cache { block *blocks; int32_t *buckets; int32_t used, capacity, free_list, newest, oldest, mask; int64_t bytes, limit; };

int emu_cache_prepare(emu_machine *m) {
  if (m->c.cache_bytes <= 0) return 0;
  emu_cache *c = calloc(1, sizeof *c);
  if (!c) return -1;
  m->cache = c;
  c->limit = m->c.cache_bytes;
  int64_t most = m->c.cache_bytes / SECTOR + 1; /* every block holds at least one sector */
  c->capacity = most > (1 << 22) ? 1 << 22 : (int32_t)most;
  c->mask = 1;
  while (c->mask < c->capacity) c->mask *= 2;
  c->blocks = malloc((size_t)c->capacity * sizeof *c->blocks);
  c->buckets = malloc((size_t)c->mask * sizeof *c->buckets);
  if (!c->blocks || !c->buckets) return -1;
  for (int32_t j = 0; j < c->mask; j++) c->buckets[j] = -1;
  c->mask--;
  c->free_list = c->newest = c->oldest = -1;
  return 0;
}

void emu_cache_free(emu_machine *m) {
  if (!m->cache) return;
  free(m->cache->blocks);
  free(m->cache->buckets);
  free(m->cache);
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

static int32_t bucket_of(const emu_cache *c, int64_t tag) {
  return (int32_t)(((uint64_t)tag * UINT64_C(0x9e3779b97f4a7c15)) >> 40) & c->mask;
}

static void unlink_lru(emu_cache *c, int32_t b) {
  block *x = &c->blocks[b];
  if (x->newer >= 0) c->blocks[x->newer].older = x->older;
  else c->newest = x->older;
  if (x->older >= 0) c->blocks[x->older].newer = x->newer;
  else c->oldest = x->newer;
}

static void make_newest(emu_cache *c, int32_t b) {
  block *x = &c->blocks[b];
  x->newer = -1;
  x->older = c->newest;
  if (c->newest >= 0) c->blocks[c->newest].newer = b;
  else c->oldest = b;
  c->newest = b;
}

static void evict(emu_cache *c, int32_t b) {
  block *x = &c->blocks[b];
  int32_t *link = &c->buckets[bucket_of(c, x->tag)];
  while (*link != b) link = &c->blocks[*link].next;
  *link = x->next;
  unlink_lru(c, b);
  c->bytes -= bytes_of(x->sectors);
  x->next = c->free_list;
  c->free_list = b;
}

static int32_t find_or_make(emu_cache *c, int64_t tag) {
  int32_t *bucket = &c->buckets[bucket_of(c, tag)];
  for (int32_t b = *bucket; b >= 0; b = c->blocks[b].next)
    if (c->blocks[b].tag == tag) {
      if (c->newest != b) {
        unlink_lru(c, b);
        make_newest(c, b);
      }
      return b;
    }
  if (c->free_list < 0 && c->used == c->capacity) evict(c, c->oldest);
  int32_t b = c->free_list;
  if (b >= 0) c->free_list = c->blocks[b].next;
  else b = c->used++;
  c->blocks[b] = (block){tag, 0, *bucket, -1, -1};
  *bucket = b;
  make_newest(c, b);
  return b;
}

static uint32_t sector_mask(int64_t first, int64_t last) {
  return (last - first == 31 ? UINT32_MAX : ((UINT32_C(1) << (last - first + 1)) - 1)) << first;
}

/* Touches [lo, hi); the bytes of sectors that were absent. */
static int64_t touch(emu_cache *c, int64_t lo, int64_t hi) {
  int64_t absent = 0;
  while (lo < hi) {
    int64_t tag = lo / BLOCK, end = (tag + 1) * BLOCK < hi ? (tag + 1) * BLOCK : hi;
    block *x = &c->blocks[find_or_make(c, tag)];
    uint32_t want = sector_mask((lo - tag * BLOCK) / SECTOR, (end - 1 - tag * BLOCK) / SECTOR), fresh = want & ~x->sectors;
    const int64_t bytes = bytes_of(fresh);
    x->sectors |= want;
    c->bytes += bytes;
    absent += bytes;
    while (c->bytes > c->limit && c->oldest != c->newest) evict(c, c->oldest);
    lo = end;
  }
  return absent;
}

int64_t emu_cache_touch(emu_machine *m, const emu_extent *x, int64_t base) {
  int64_t absent = 0;
  if (!x->elements) return 0;
  if (x->runs == 1) return touch(m->cache, base + x->lo, base + x->hi);
  const int64_t size = emu_fmt_bytes[x->fmt], far = (x->n[0] - 1) * x->s[0]; /* a gapped innermost axis touches what lies between too: a sector is 128 bytes */
  for (int64_t a = 0; a < x->n[3]; a++)
    for (int64_t b = 0; b < x->n[2]; b++)
      for (int64_t d = 0; d < x->n[1]; d++) {
        int64_t at = base + a * x->s[3] + b * x->s[2] + d * x->s[1];
        absent += touch(m->cache, at + (far < 0 ? far : 0), at + (far > 0 ? far : 0) + size);
      }
  return absent;
}
