/* Memory of a network, from its sizes. Tables (ports, routes, attachments) are the caller's to fill between the two steps. */
#include <stdlib.h>
#include <string.h>
#include "noc.h"

int noc_grow(void **v, int32_t *cap, int32_t need, int32_t size) {
  if (need <= *cap) return 0;
  const int32_t more = need < 64 ? 64 : need + need / 2;
  void *p = realloc(*v, (size_t)more * (size_t)size);
  if (!p) return -NOC_MEMORY;
  *v = p;
  *cap = more;
  return 0;
}

#define ROOM(field, count) if (!(n->field = calloc((size_t)(count) + 1, sizeof *n->field))) return -NOC_MEMORY

int noc_prepare(noc *n) {
  const noc_config *c = &n->c;
  const int64_t stride = n->stride = c->ports + 1, outs = c->routers * stride, channels = outs * c->vcs;
  ROOM(port, outs);
  ROOM(route, (int64_t)c->routers * c->nodes);
  ROOM(closes, (int64_t)c->routers * c->nodes);
  ROOM(attach, c->nodes);
  ROOM(in, channels);
  ROOM(out, channels);
  ROOM(ring, channels * c->depth);
  ROOM(ready, outs);
  ROOM(waits, outs);
  ROOM(free_vcs, outs);
  ROOM(ready_ports, c->routers);
  ROOM(waits_ports, c->routers);
  ROOM(vc_turn, outs);
  ROOM(in_turn, outs);
  ROOM(port_turn, outs);
  ROOM(first_turn, c->routers);
  ROOM(busy, c->routers / 64 + 1);
  ROOM(sending, c->nodes / 64 + 1);
  ROOM(source, c->nodes);
  ROOM(open, c->routers);
  ROOM(sent, (int64_t)c->nodes * c->nodes);
  ROOM(expected, (int64_t)c->nodes * c->nodes);
  ROOM(held_of, c->nodes);
  ROOM(flits, outs);
  ROOM(injected, c->nodes);
  n->copies_free = n->held_free = -1;
  for (int32_t j = 0; j < c->nodes; j++) {
    n->source[j] = (noc_source){-1, -1, 0, 0, -1, 0, malloc((size_t)c->vcs * sizeof(int32_t))};
    if (!n->source[j].credits) return -NOC_MEMORY;
    for (int v = 0; v < c->vcs; v++) n->source[j].credits[v] = c->depth;
    n->held_of[j] = -1;
  }
  for (int64_t j = 0; j < channels; j++) {
    const int64_t port = j / c->vcs;
    n->in[j] = (noc_in){.vc = (uint8_t)(j % c->vcs), .at = (uint8_t)(port % stride), .router = (uint16_t)(port / stride),
                        .port = (int32_t)port, .copies = -1, .sums = -1};
    n->out[j] = (noc_out){c->depth, -1};
  }
  for (int64_t j = 0; j < outs; j++) n->free_vcs[j] = (1u << c->vcs) - 1, n->port[j].to = n->port[j].from = -1;
  return 0;
}

/* The tables are there: what follows from them. A port's `to` is an input port (router * stride + port), or -2 - node; `from` likewise. */
void noc_ready_to_go(noc *n) {
  const uint32_t all = (1u << n->c.vcs) - 1, low = (1u << n->c.vcs / 2) - 1;
  n->class_mask[0] = n->c.classes == 2 ? low : all;
  n->class_mask[1] = n->c.classes == 2 ? all & ~low : all;
  for (int32_t r = 0; r < n->c.routers; r++) n->port[r * n->stride + n->c.ports].sink = 1; /* the adder */
  for (int32_t j = 0; j < n->c.nodes; j++) {
    n->port[n->attach[j]].sink = 1;
    n->source[j].port = n->attach[j];
  }
}

void noc_free(noc *n) {
  void *all[] = {n->port, n->route, n->closes, n->attach, n->in, n->out, n->ring, n->ready, n->waits, n->free_vcs, n->ready_ports,
                 n->waits_ports, n->vc_turn, n->in_turn, n->port_turn, n->first_turn, n->busy, n->sending, n->alarm, n->packet,
                 n->place, n->copies, n->open, n->group, n->sent, n->expected, n->held, n->held_of, n->delivery, n->flits, n->injected};
  for (size_t j = 0; j < sizeof all / sizeof *all; j++) free(all[j]);
  for (int32_t j = 0; n->source && j < n->c.nodes; j++) free(n->source[j].credits);
  for (int32_t j = 0; j < n->sums; j++) free(n->sum[j].added);
  for (int j = 0; j < NOC_WHEEL; j++) free(n->wheel[j].v), free(n->credit[j].v);
  free(n->source);
  free(n->sum);
  memset(n, 0, sizeof *n);
}
