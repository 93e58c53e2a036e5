/* Links between chips: which ones a transfer takes, and its max-min fair share of all of them at once, of the memories at its ends too.
   A transfer over links has a rate of its own; what links carry comes first at a memory, local transfers share the rest. Where one chip
   stands for all (net_chips > chips) it is chip 0 of a network that looks the same from every chip, so that what others send over a link of
   theirs it sends over its own: a link stands for its class. */
#include <stdlib.h>
#include <string.h>
#include "machine.h"

enum { NET_SWITCH, NET_MESH, NET_TORUS };
#define DIRECTIONS 6 /* links of a chip in a torus: dimension x 2 + (1 downwards) */

typedef struct { int32_t *links, n, room; int64_t rate; } route;
struct emu_net {
  route *routes;                  /* of each stream's transfer */
  int64_t nlinks, outer, memory;  /* resources: links of the domain, from `outer` the second level, from `memory` device memories */
  int64_t *capacity, *left, *load, *bytes;
  int32_t *touched; int64_t ntouched;
  uint8_t *full;                  /* links that give the least share now */
};

static int64_t per_fs(int64_t bytes_per_s) {
  const __int128 r = (__int128)bytes_per_s * EMU_UNITS / INT64_C(1000000000000000);
  return r < 1 ? 1 : r > INT64_MAX / 4 ? INT64_MAX / 4 : (int64_t)r;
}

int emu_net_prepare(emu_machine *m) {
  const emu_config *c = &m->c;
  int used = c->net_chips > 1;
  for (int k = 0; k < EMU_STREAM_COUNT; k++) used |= m->words[k] && emu_stream_engine[k] == EMU_ENGINE_NET;
  if (!used) return 0;
  emu_net *net = m->net = calloc(1, sizeof *net);
  if (!net) return -1;
  const int64_t each = c->net_kind == NET_SWITCH ? 2 : c->net_kind == NET_MESH ? c->net_chips : DIRECTIONS;
  net->outer = each * c->chips;
  net->memory = net->outer + 2 * c->chips;
  net->nlinks = net->memory + c->chips;
  net->routes = calloc((size_t)(c->cores * EMU_STREAM_COUNT), sizeof *net->routes);
  net->capacity = calloc((size_t)net->nlinks * 4, sizeof *net->capacity);
  net->touched = calloc((size_t)net->nlinks, sizeof *net->touched);
  net->full = calloc((size_t)net->nlinks, 1);
  if (!net->routes || !net->capacity || !net->touched || !net->full) return -1;
  net->left = net->capacity + net->nlinks, net->load = net->left + net->nlinks, net->bytes = net->load + net->nlinks;
  for (int64_t j = 0; j < net->nlinks; j++)
    net->capacity[j] = j >= net->memory ? m->capacity[VIA_HBM] : per_fs(j >= net->outer ? c->net_outer_bytes_per_s : c->net_bytes_per_s);
  return 0;
}

void emu_net_free(emu_machine *m) {
  emu_net *net = m->net;
  if (!net) return;
  for (int64_t j = 0; net->routes && j < m->c.cores * EMU_STREAM_COUNT; j++) free(net->routes[j].links);
  free(net->routes);
  free(net->capacity);
  free(net->touched);
  free(net->full);
  free(net);
  m->net = NULL;
}

static int64_t simulated(const emu_machine *m, int64_t chip) { return m->c.chips > 1 ? chip : 0; }

static int take(emu_machine *m, const emu_stream *s, int64_t link) {
  route *r = &m->net->routes[s->id];
  if (r->n == r->room) {
    const int32_t room = r->room ? 2 * r->room : 4;
    int32_t *links = realloc(r->links, (size_t)room * sizeof *links);
    if (!links) return emu_fail(m, s, E_MEMORY, "out of memory for routes", 0, 0);
    r->links = links;
    r->room = room;
  }
  r->links[r->n++] = (int32_t)link;
  return 0;
}

void emu_net_begin(emu_machine *m, const emu_stream *s) { m->net->routes[s->id].n = 0; }
int emu_net_memory(emu_machine *m, const emu_stream *s, int64_t chip) { return take(m, s, m->net->memory + simulated(m, chip)); }
int emu_net_switch(emu_machine *m, const emu_stream *s, int64_t chip, int ingress) { return take(m, s, 2 * simulated(m, chip) + ingress); }

static int within(const emu_machine *m, int64_t from, int64_t to) { return !m->c.net_domain || from / m->c.net_domain == to / m->c.net_domain; }

/* Steps along a dimension from a to b, negative downwards; the shorter way where it wraps, upwards where both are equal. */
static int64_t steps(int64_t a, int64_t b, int64_t size, int wraps) {
  const int64_t up = b - a;
  if (!wraps) return up;
  const int64_t forward = (up + size) % size;
  return 2 * forward <= size ? forward : forward - size;
}

/* Dimension by dimension, the last one first if `reverse`. `s`: takes the links on the way; NULL: counts them. */
static int64_t torus(emu_machine *m, const emu_stream *s, int64_t from, int64_t to, int reverse) {
  int64_t hops = 0, strides[4] = {1};
  for (int d = 0; d < 3; d++) strides[d + 1] = strides[d] * (m->c.net_dims[d] > 0 ? m->c.net_dims[d] : 1);
  for (int j = 0; j < 3; j++) {
    const int d = reverse ? 2 - j : j;
    const int64_t stride = strides[d], size = m->c.net_dims[d] > 0 ? m->c.net_dims[d] : 1, target = to / stride % size;
    int64_t n = steps(from / stride % size, target, size, (int)(m->c.net_wraps >> d & 1));
    hops += n < 0 ? -n : n;
    for (; n && s; n += n < 0 ? 1 : -1) {
      const int down = n < 0;
      if (take(m, s, DIRECTIONS * simulated(m, from) + 2 * d + down) < 0) return -1;
      const int64_t at = from / stride % size;
      from += ((at + (down ? size - 1 : 1)) % size - at) * stride;
    }
    from += (target - from / stride % size) * stride;
  }
  return hops;
}

static int64_t hops_of(const emu_machine *m, int64_t from, int64_t to) {
  return from == to ? 0 : m->c.net_kind == NET_TORUS ? torus((emu_machine *)(uintptr_t)m, NULL, from, to, 0) : 1;
}

/* From the last byte sent to the last byte there, without what a protocol adds. */
int64_t emu_net_latency(const emu_machine *m, int64_t from, int64_t to) {
  return within(m, from, to) ? hops_of(m, from, to) * m->c.net_hop_fs : m->c.net_outer_hop_fs;
}

/* The links from one chip to another. */
int emu_net_over(emu_machine *m, const emu_stream *s, int64_t from, int64_t to, int reverse) {
  emu_net *net = m->net;
  const int64_t a = simulated(m, from), b = simulated(m, to);
  int rc;
  if (from == to) return 0;
  if (!within(m, from, to)) return (rc = take(m, s, net->outer + 2 * a)) < 0 ? rc : take(m, s, net->outer + 2 * b + 1);
  if (m->c.net_kind == NET_TORUS) return torus(m, s, from, to, reverse) < 0 ? -m->fail.code : 0;
  if (m->c.net_kind == NET_MESH) return take(m, s, a * m->c.net_chips + (m->c.chips > 1 ? to : (to - from + m->c.net_chips) % m->c.net_chips));
  return (rc = emu_net_switch(m, s, from, 0)) < 0 ? rc : emu_net_switch(m, s, to, 1);
}

/* The rate of a stream's transfer if it had everything to itself. */
int64_t emu_net_alone(const emu_machine *m, int stream, int64_t limit) {
  const emu_net *net = m->net;
  const route *r = &net->routes[stream];
  for (int32_t j = 0; j < r->n; j++) {
    if (net->capacity[r->links[j]] < limit) limit = net->capacity[r->links[j]]; /* twice over a class is over two links of it */
  }
  return limit;
}

void emu_net_count(emu_machine *m, const emu_stream *s, int64_t bytes) {
  emu_net *net = m->net;
  const route *r = &net->routes[s->id];
  int64_t *c = emu_counters(m, s);
  for (int32_t j = 0; j < r->n; j++) {
    net->bytes[r->links[j]] += bytes * m->weight[s->core];
    if (r->links[j] < net->memory) c[C_LINK] += bytes;
  }
}

static void begin_shares(emu_machine *m) {
  emu_net *net = m->net;
  const emu_pool *p = &m->pools[VIA_NET];
  for (int64_t j = 0; j < net->ntouched; j++) net->load[net->touched[j]] = 0;
  net->ntouched = 0;
  for (int64_t j = 0; j < p->n; j++) {
    route *r = &net->routes[emu_pool_stream(p, j)];
    r->rate = 0;
    for (int32_t l = 0; l < r->n; l++) {
      const int32_t at = r->links[l];
      if (!net->load[at]) net->touched[net->ntouched++] = at, net->left[at] = net->capacity[at];
      net->load[at] += m->weight[emu_pool_stream(p, j) / EMU_STREAM_COUNT];
    }
  }
}

static void fix(emu_machine *m, int32_t stream, int64_t rate) {
  emu_net *net = m->net;
  route *r = &net->routes[stream];
  const int64_t w = m->weight[stream / EMU_STREAM_COUNT];
  r->rate = rate > 0 ? rate : 1;
  for (int32_t l = 0; l < r->n; l++) {
    net->left[r->links[l]] -= r->rate * w;
    net->load[r->links[l]] -= w;
  }
}

static int64_t share_of(const emu_net *net, int32_t link) { return net->load[link] > 0 ? (net->left[link] > 0 ? net->left[link] : 0) / net->load[link] : INT64_MAX; }

/* Water-filling over all links: whoever needs less than the least share has what it needs, or else all that cross the fullest link have
   its share; again with the others until everybody's rate is known. */
void emu_net_rates(emu_machine *m) {
  emu_net *net = m->net;
  const emu_pool *p = &m->pools[VIA_NET];
  begin_shares(m);
  for (int64_t open = p->n; open > 0;) {
    int64_t share = INT64_MAX, own = INT64_MAX;
    for (int64_t j = 0; j < net->ntouched && !m->c.ideal; j++) {
      const int64_t mine = share_of(net, net->touched[j]);
      if (mine < share) share = mine;
    }
    for (int64_t j = 0; j < p->n; j++) {
      const int32_t id = emu_pool_stream(p, j);
      if (!net->routes[id].rate && emu_pool_limit(p, j) < own) own = emu_pool_limit(p, j);
    }
    for (int64_t j = 0; j < net->ntouched; j++) /* before anybody takes it */
      net->full[net->touched[j]] = own > share && share_of(net, net->touched[j]) == share;
    for (int64_t j = 0; j < p->n; j++) {
      const int32_t id = emu_pool_stream(p, j);
      const route *r = &net->routes[id];
      if (r->rate) continue;
      int through = 0;
      for (int32_t l = 0; l < r->n && !through; l++) through = net->full[r->links[l]];
      if (own <= share ? emu_pool_limit(p, j) > share : !through) continue;
      fix(m, id, own <= share ? emu_pool_limit(p, j) : share);
      open--;
    }
  }
}

int64_t emu_net_rate(const emu_machine *m, int stream) { return m->net->routes[stream].rate; }

/* What links take of a chip's memory now. */
int64_t emu_net_on_memory(const emu_machine *m, int64_t chip) {
  const emu_net *net = m->net;
  if (!net || !m->pools[VIA_NET].n) return 0;
  const emu_pool *p = &m->pools[VIA_NET];
  int64_t taken = 0;
  for (int64_t j = 0; j < p->n; j++) {
    const route *r = &net->routes[emu_pool_stream(p, j)];
    for (int32_t l = 0; l < r->n; l++) taken += r->links[l] == net->memory + chip ? r->rate * m->weight[emu_pool_stream(p, j) / EMU_STREAM_COUNT] : 0;
  }
  return taken < m->capacity[VIA_HBM] ? taken : m->capacity[VIA_HBM] - 1;
}

/* In `ideal` nobody waits for anybody, but no link moves more than it can. */
int64_t emu_net_least_time(const emu_machine *m) {
  int64_t least = 0;
  for (int64_t j = 0; m->net && j < m->net->nlinks; j++) {
    const int64_t t = (int64_t)(((__int128)m->net->bytes[j] * EMU_UNITS + m->net->capacity[j] - 1) / m->net->capacity[j]);
    if (t > least) least = t;
  }
  return least;
}

int64_t emu_net_links(const emu_machine *m) { return m->net ? m->net->memory : 0; }
int64_t emu_net_link_bytes(const emu_machine *m, int64_t link) { return m->net->bytes[link]; }
