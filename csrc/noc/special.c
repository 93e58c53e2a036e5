/* What is more than a packet from one node to another: copies in routers, sums in routers, and order at the end of the way. */
#include <stdlib.h>
#include <string.h>
#include "noc.h"

/* ---- multicast. A copy for each output, with the destinations that lie behind it. Outputs need not wait for each other: the packet is at
   the front of its buffer, which has room for all of it, so every flit of it comes in whatever the outputs do. */
static int32_t new_copies(noc *n) {
  int32_t c = n->copies_free;
  if (c >= 0) {
    n->copies_free = n->copies[c].next;
    return c;
  }
  if (noc_grow((void **)&n->copies, &n->copies_cap, n->ncopies + 1, sizeof *n->copies) < 0) return -1;
  return n->ncopies++;
}

/* A packet for the destinations of `of` that leave through `out`. */
static int32_t child(noc *n, int32_t of, int32_t router, int out) {
  if (n->packets >= NOC_MAX_PACKETS || noc_grow((void **)&n->packet, &n->packet_cap, n->packets + 1, sizeof *n->packet) < 0) return -1;
  const noc_packet *p = &n->packet[of];
  if (noc_grow((void **)&n->place, &n->place_cap, n->places + p->count, sizeof *n->place) < 0) return -1;
  noc_packet c = {p->src, -1, p->length, p->root >= 0 ? p->root : of, n->places, 0, -1, 0, 0, -1, p->time};
  for (int32_t j = 0; j < p->count; j++) {
    const noc_place x = n->place[p->first + j];
    if (n->route[(int64_t)router * n->c.nodes + x.node] == out) n->place[c.first + c.count++] = x;
  }
  n->places += c.count;
  if (c.count == 1) c.dst = n->place[c.first].node, c.number = n->place[c.first].number;
  n->packet[n->packets] = c;
  return n->packets++;
}

void noc_split(noc *n, int32_t in) {
  noc_in *i = &n->in[in];
  const int32_t id = noc_front(n, in)->packet, c = new_copies(n);
  uint64_t outs = 0, closes = 0; /* outputs, and those behind which some destination lies across the closing link */
  if (c < 0) {
    n->error = NOC_MEMORY;
    return;
  }
  for (int32_t j = 0; j < n->packet[id].count; j++) {
    const int64_t at = (int64_t)i->router * n->c.nodes + n->place[n->packet[id].first + j].node;
    outs |= UINT64_C(1) << n->route[at];
    closes |= (uint64_t)n->closes[at] << n->route[at];
  }
  noc_copies *k = &n->copies[c];
  k->n = k->popped = 0;
  k->length = n->packet[id].length;
  for (; outs; outs &= outs - 1) {
    const int out = __builtin_ctzll(outs);
    const int32_t p = child(n, id, i->router, out);
    if (p < 0) n->error = NOC_PACKETS;
    k->b[k->n++] = (noc_branch){(uint8_t)out, 0, 0, 0, noc_allowed(n, i, out, closes >> out & 1), p, 0};
  }
  i->copies = c;
  i->state = NOC_ACTIVE;
}

static inline int sink(const noc *n, const noc_in *i, int out) { return n->port[i->router * n->stride + out].sink; }

/* Outputs over which the earliest flit that any can send may go in this clock: the input reads one flit and the switch copies it. */
uint64_t noc_copies_ready(const noc *n, const noc_in *i) {
  const noc_copies *k = &n->copies[i->copies];
  const int32_t there = k->popped + i->count < k->length ? k->popped + i->count : k->length;
  uint64_t outs = 0;
  int32_t first = there;
  for (int32_t j = 0; j < k->n; j++) {
    const noc_branch *b = &k->b[j];
    if (!b->has_vc || b->sent >= there || b->sent > first) continue;
    if (!sink(n, i, b->out) && n->out[(i->router * n->stride + b->out) * n->c.vcs + b->vc].credits <= 0) continue;
    if (b->sent < first) outs = 0;
    first = b->sent;
    outs |= UINT64_C(1) << b->out;
  }
  return outs;
}

int noc_copies_allocate(noc *n, int32_t in) {
  const noc_in *i = &n->in[in];
  noc_copies *k = &n->copies[i->copies];
  int all = 1;
  for (int32_t j = 0; j < k->n; j++) {
    noc_branch *b = &k->b[j];
    if (b->has_vc) continue;
    if (!sink(n, i, b->out)) {
      const int vc = noc_take(n, in, i->router * n->stride + b->out, b->allowed);
      if (vc < 0) {
        all = 0;
        continue;
      }
      b->vc = (uint8_t)vc;
    } else n->moves++;
    b->has_vc = 1;
  }
  noc_refresh(n, in);
  return all;
}

void noc_copies_send(noc *n, int32_t in, int32_t out, int64_t t) {
  noc_in *i = &n->in[in];
  noc_copies *k = &n->copies[i->copies];
  int32_t least = k->length;
  for (int32_t j = 0; j < k->n; j++) {
    noc_branch *b = &k->b[j];
    if (b->out == out) {
      const int32_t o = i->router * n->stride + out;
      noc_send(n, i, out, b->vc, (noc_flit){b->child, b->sent, b->sent + 1 == k->length}, t);
      if (++b->sent == k->length && !n->port[o].sink) {
        n->free_vcs[o] |= 1u << b->vc;
        n->out[o * n->c.vcs + b->vc].owner = -1;
      }
    }
    if (b->sent < least) least = b->sent;
  }
  for (; k->popped < least; k->popped++) noc_pop(n, i, t);
  if (k->popped == k->length) {
    k->next = n->copies_free;
    n->copies_free = i->copies;
    i->copies = -1;
    i->state = NOC_IDLE;
    if (i->count) noc_head(n, in);
  }
  noc_refresh(n, in);
}

/* ---- reduction. Contributions go into the router's adder, one flit a clock, and are gone; the last one to come carries the sums on, each
   as soon as its others are in. Nobody waits for who has not begun to come, so reductions cannot block each other. */
void noc_joins(noc *n, int32_t in, const noc_packet *p) {
  noc_in *i = &n->in[in];
  int32_t j = n->group[p->group].first;
  while (n->sum[j].router != i->router) j = n->sum[j].next;
  noc_sum *s = &n->sum[j];
  i->sums = j;
  if (++s->heads < s->expected) {
    i->out = (uint8_t)n->c.ports;
    return;
  }
  s->forward = in;
  const int64_t at = (int64_t)i->router * n->c.nodes + p->dst;
  i->out = n->route[at];
  i->allowed = noc_allowed(n, i, i->out, n->closes[at]);
}

void noc_added(noc *n, int32_t sum, int32_t seq) {
  noc_sum *s = &n->sum[sum];
  s->added[seq]++;
  if (s->forward >= 0) noc_refresh(n, s->forward);
}

void noc_close_sum(noc *n, int32_t sum) {
  noc_sum *s = &n->sum[sum];
  n->open[s->router]--;
  s->forward = -1;
  free(s->added);
  s->added = NULL;
}

/* ---- delivery: packets between a pair of nodes in the order in which they were injected, though channels let them overtake each other */
static void record(noc *n, int32_t packet, int32_t node, int64_t arrived, int64_t delivered) {
  if (n->deliveries == n->delivery_cap) {
    const int64_t more = n->delivery_cap ? 2 * n->delivery_cap : 1024;
    noc_delivery *p = realloc(n->delivery, (size_t)more * sizeof *p);
    if (!p) {
      n->error = NOC_MEMORY;
      return;
    }
    n->delivery = p;
    n->delivery_cap = more;
  }
  n->delivery[n->deliveries++] = (noc_delivery){arrived, delivered, packet, node};
  n->in_network--;
}

static void hold(noc *n, int32_t packet, int32_t number, int32_t node, int64_t arrived) {
  int32_t h = n->held_free;
  if (h >= 0) n->held_free = n->held[h].next;
  else if (noc_grow((void **)&n->held, &n->held_cap, n->helds + 1, sizeof *n->held) < 0) {
    n->error = NOC_MEMORY;
    return;
  } else h = n->helds++;
  n->held[h] = (noc_held){packet, number, n->held_of[node], arrived, node};
  n->held_of[node] = h;
}

static void release(noc *n, int32_t src, int32_t node, int64_t t) {
  int32_t *next = &n->expected[(int64_t)src * n->c.nodes + node];
  for (int32_t *at = &n->held_of[node]; *at >= 0;) {
    const int32_t h = *at;
    noc_held *x = &n->held[h];
    if (n->packet[x->packet].src != src || x->number != *next) {
      at = &x->next;
      continue;
    }
    record(n, x->packet, node, x->arrived, t);
    ++*next;
    *at = x->next;
    x->next = n->held_free;
    n->held_free = h;
    at = &n->held_of[node]; /* the one after it may stand before it */
  }
}

void noc_deliver(noc *n, noc_flit f, int32_t node, int64_t t) {
  noc_packet *p = &n->packet[f.packet];
  if (p->got++ != f.seq || p->dst != node || f.tail != (p->got == p->length)) n->error = NOC_LOST;
  if (!f.tail) return;
  const int32_t root = p->group >= 0 ? n->group[p->group].packet : p->root >= 0 ? p->root : f.packet, src = p->src;
  const int64_t arrived = t + n->c.sink_cycles;
  if (p->group >= 0 || !n->c.ordered) {
    record(n, root, node, arrived, arrived);
    return;
  }
  int32_t *next = &n->expected[(int64_t)src * n->c.nodes + node];
  if (p->number != *next) {
    hold(n, root, p->number, node, arrived);
    return;
  }
  ++*next;
  record(n, root, node, arrived, arrived);
  if (n->held_of[node] >= 0) release(n, src, node, arrived);
}
