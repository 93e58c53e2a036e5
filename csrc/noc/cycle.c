/* A clock: credits and flits arrive, nodes send, then every router with something to do allocates its switch and its virtual channels.
   A channel allocated in a clock takes part in the switch from the next one on, so the switch goes first. */
#include <stdlib.h>
#include <string.h>
#include "noc.h"

static inline void mark(uint64_t *ports, uint32_t *mask, uint64_t *busy, const noc_in *i) {
  mask[i->port] |= 1u << i->vc;
  ports[i->router] |= UINT64_C(1) << i->at;
  busy[i->router / 64] |= UINT64_C(1) << i->router % 64;
}

static inline void unmark(uint64_t *ports, uint32_t *mask, const noc_in *i) {
  if (!(mask[i->port] &= ~(1u << i->vc))) ports[i->router] &= ~(UINT64_C(1) << i->at);
}

void noc_later(noc *n, int64_t t, int32_t target, noc_flit f) {
  noc_events *e = &n->wheel[t % NOC_WHEEL];
  if (e->n == e->cap && noc_grow((void **)&e->v, &e->cap, e->n + 1, sizeof *e->v) < 0) {
    n->error = NOC_MEMORY;
    return;
  }
  e->v[e->n++] = (noc_event){target, f};
  n->pending++;
}

static void credit_later(noc *n, int64_t t, int32_t target) {
  noc_ids *c = &n->credit[t % NOC_WHEEL];
  if (c->n == c->cap && noc_grow((void **)&c->v, &c->cap, c->n + 1, sizeof *c->v) < 0) {
    n->error = NOC_MEMORY;
    return;
  }
  c->v[c->n++] = target;
  n->pending++;
}

/* Whether a channel can send in the switch: it has a flit, a way out and a place for it there. */
void noc_refresh(noc *n, int32_t in) {
  const noc_in *i = &n->in[in];
  int can;
  if (i->copies >= 0) can = noc_copies_ready(n, i) != 0;
  else {
    const int32_t out = i->router * n->stride + i->out;
    can = i->state == NOC_ACTIVE && i->count && (n->port[out].sink || n->out[out * n->c.vcs + i->out_vc].credits > 0);
    if (can && i->sums >= 0 && i->out != n->c.ports) can = n->sum[i->sums].added[noc_front(n, in)->seq] == n->sum[i->sums].expected - 1;
  }
  if (can) mark(n->ready_ports, n->ready, n->busy, i);
  else unmark(n->ready_ports, n->ready, i);
}

void noc_wait(noc *n, const noc_in *i) { mark(n->waits_ports, n->waits, n->busy, i); }

/* Channels that a packet may take at an output. Where rings close there are two classes: the second from the link that closes the ring on,
   the first before; a packet that does not pass that link may take either, but does not come back from the second. */
uint32_t noc_allowed(const noc *n, const noc_in *i, int32_t out, int closes) {
  const noc_port *to = &n->port[i->router * n->stride + out], *from = &n->port[i->port];
  if (n->c.classes == 1 || to->sink) return n->class_mask[0] | n->class_mask[1];
  const int second = !from->sink && from->dim == to->dim && i->vc >= n->c.vcs / 2;
  if (second || to->wraps) return n->class_mask[1];
  return closes ? n->class_mask[0] : n->class_mask[0] | n->class_mask[1];
}

/* The first flit of a packet is at the front of a channel that holds no way out: the route is looked up ahead, which costs no clock. */
void noc_head(noc *n, int32_t in) {
  noc_in *i = &n->in[in];
  const noc_packet *p = &n->packet[noc_front(n, in)->packet];
  i->state = NOC_WAITS;
  if (p->dst < 0) noc_split(n, in);
  else if (p->group >= 0) noc_joins(n, in, p);
  else {
    const int64_t at = (int64_t)i->router * n->c.nodes + p->dst;
    i->out = n->route[at];
    i->allowed = noc_allowed(n, i, i->out, n->closes[at]);
  }
  noc_wait(n, i);
}

static void arrive(noc *n, int32_t in, noc_flit f) {
  noc_in *i = &n->in[in];
  if (i->count == n->c.depth) {
    n->error = NOC_OVERFLOW;
    return;
  }
  int at = i->head + i->count++;
  if (at >= n->c.depth) at -= n->c.depth;
  n->ring[(int64_t)in * n->c.depth + at] = f;
  if (i->state == NOC_IDLE) noc_head(n, in);
  else noc_refresh(n, in);
}

/* Takes a flit from the front; its place is free upstream after the credit's wire and delay. */
void noc_pop(noc *n, noc_in *i, int64_t t) {
  if (++i->head == n->c.depth) i->head = 0;
  i->count--;
  const int32_t from = n->port[i->port].from;
  credit_later(n, t + 1 + n->c.credit_delay, from >= 0 ? from * n->c.vcs + i->vc : -1 - ((-2 - from) * n->c.vcs + i->vc));
}

/* Over the switch and the link. */
void noc_send(noc *n, const noc_in *i, int32_t out, int32_t vc, noc_flit f, int64_t t) {
  const int32_t o = i->router * n->stride + out;
  const noc_port *to = &n->port[o];
  n->flits[o]++;
  n->moves++;
  if (!to->sink) n->out[o * n->c.vcs + vc].credits--;
  const int32_t target = out == n->c.ports ? NOC_SUM_TARGET - i->sums : to->to >= 0 ? to->to * n->c.vcs + vc : to->to + 1;
  noc_later(n, t + n->c.switch_cycles + to->cycles, target, f);
}

static void grant(noc *n, int32_t in, int64_t t) {
  noc_in *i = &n->in[in];
  const noc_flit f = *noc_front(n, in);
  noc_send(n, i, i->out, i->out_vc, f, t);
  noc_pop(n, i, t);
  if (f.tail) {
    const int32_t o = i->router * n->stride + i->out;
    if (!n->port[o].sink) {
      n->free_vcs[o] |= 1u << i->out_vc;
      n->out[o * n->c.vcs + i->out_vc].owner = -1;
    }
    if (i->sums >= 0 && i->out != n->c.ports) noc_close_sum(n, i->sums);
    i->sums = -1;
    i->state = NOC_IDLE;
    unmark(n->ready_ports, n->ready, i);
    if (i->count) noc_head(n, in);
  } else noc_refresh(n, in);
}

/* Separable, inputs first: each input port offers one channel, each output takes one input, both round and round from the last that won. */
static void allocate_switch(noc *n, int32_t r, int64_t t) {
  uint64_t asked[NOC_MAX_PORTS + 1], outs = 0;
  uint8_t offers[NOC_MAX_PORTS + 1];
  for (uint64_t m = n->ready_ports[r]; m; m &= m - 1) {
    const int p = __builtin_ctzll(m);
    const int32_t port = r * n->stride + p, vc = noc_turn(n->ready[port], n->vc_turn[port]);
    const noc_in *i = &n->in[port * n->c.vcs + vc];
    uint64_t wants = i->copies >= 0 ? noc_copies_ready(n, i) : UINT64_C(1) << i->out;
    offers[p] = (uint8_t)vc;
    for (; wants; wants &= wants - 1) {
      const int o = __builtin_ctzll(wants);
      if (!(outs >> o & 1)) asked[o] = 0;
      outs |= UINT64_C(1) << o;
      asked[o] |= UINT64_C(1) << p;
    }
  }
  for (; outs; outs &= outs - 1) {
    const int o = __builtin_ctzll(outs), p = noc_turn(asked[o], n->in_turn[r * n->stride + o]);
    const int32_t port = r * n->stride + p, in = port * n->c.vcs + offers[p];
    n->in_turn[r * n->stride + o] = (uint8_t)(p + 1);
    n->vc_turn[port] = (uint8_t)(offers[p] + 1);
    if (n->in[in].copies >= 0) noc_copies_send(n, in, o, t);
    else grant(n, in, t);
  }
}

/* A free virtual channel of an output for this input channel; -1 if there is none. */
int noc_take(noc *n, int32_t in, int32_t out, uint32_t allowed) {
  const uint32_t may = n->free_vcs[out] & allowed;
  if (!may) return -1;
  const int vc = noc_turn(may, n->port_turn[out]);
  n->port_turn[out] = (uint8_t)(vc + 1);
  n->free_vcs[out] &= ~(1u << vc);
  n->out[out * n->c.vcs + vc].owner = in;
  n->moves++;
  return vc;
}

static int allocate(noc *n, int32_t in) {
  noc_in *i = &n->in[in];
  if (i->copies >= 0) return noc_copies_allocate(n, in);
  const int32_t out = i->router * n->stride + i->out;
  if (!n->port[out].sink) {
    const int vc = noc_take(n, in, out, i->allowed);
    if (vc < 0) return 0;
    i->out_vc = (uint8_t)vc;
  } else n->moves++;
  i->state = NOC_ACTIVE;
  return 1;
}

/* Every waiting packet asks for a free channel of its output; who asks first changes from clock to clock. */
static void allocate_channels(noc *n, int32_t r, int64_t t) {
  const int first_vc = (int)(t % n->c.vcs);
  uint64_t ports = n->waits_ports[r];
  int next = n->first_turn[r], won = -1;
  while (ports) {
    const int p = noc_turn(ports, next);
    ports &= ~(UINT64_C(1) << p);
    next = p + 1;
    const int32_t port = r * n->stride + p;
    for (uint32_t vcs = n->waits[port], from = (uint32_t)first_vc; vcs;) {
      const int vc = noc_turn(vcs, (int)from);
      vcs &= ~(1u << vc);
      from = (uint32_t)vc + 1;
      const int32_t in = port * n->c.vcs + vc;
      if (!allocate(n, in)) continue;
      if (won < 0) won = p;
      unmark(n->waits_ports, n->waits, &n->in[in]);
      noc_refresh(n, in);
    }
  }
  if (won >= 0) n->first_turn[r] = (uint8_t)(won + 1);
}

static void arrivals(noc *n, int64_t t) {
  noc_ids *c = &n->credit[t % NOC_WHEEL];
  noc_events *e = &n->wheel[t % NOC_WHEEL];
  n->pending -= c->n + e->n;
  for (int32_t j = 0; j < c->n; j++) {
    const int32_t at = c->v[j];
    if (at < 0) n->source[(-1 - at) / n->c.vcs].credits[(-1 - at) % n->c.vcs]++;
    else if (n->out[at].credits++ == 0 && n->out[at].owner >= 0) noc_refresh(n, n->out[at].owner);
  }
  c->n = 0;
  for (int32_t j = 0; j < e->n; j++) {
    const noc_event v = e->v[j];
    if (v.target >= 0) arrive(n, v.target, v.flit);
    else if (v.target > NOC_SUM_TARGET) noc_deliver(n, v.flit, -1 - v.target, t);
    else noc_added(n, NOC_SUM_TARGET - v.target, v.flit.seq);
  }
  e->n = 0;
}

/* The next clock in which anything can happen. */
static int64_t next_clock(const noc *n, int64_t t, int64_t until) {
  for (int32_t w = 0; w <= (n->c.routers - 1) / 64; w++)
    if (n->busy[w]) return t;
  for (int32_t w = 0; w <= (n->c.nodes - 1) / 64; w++)
    if (n->sending[w]) return t;
  int64_t at = noc_next_alarm(n);
  if (n->pending)
    for (int64_t u = t; u < t + NOC_WHEEL; u++)
      if (n->wheel[u % NOC_WHEEL].n || n->credit[u % NOC_WHEEL].n) {
        if (u < at) at = u;
        break;
      }
  return at < until ? at : until;
}

int noc_advance(noc *n, int64_t until) {
  while (!n->error && (n->now = next_clock(n, n->now, until)) < until) {
    const int64_t t = n->now, moved = n->moves;
    const int nothing = !n->pending;
    n->clocks++;
    arrivals(n, t);
    noc_sources(n, t);
    for (int32_t w = 0; w <= (n->c.routers - 1) / 64; w++)
      for (uint64_t m = n->busy[w]; m; m &= m - 1) {
        const int32_t r = w * 64 + __builtin_ctzll(m);
        if (n->ready_ports[r]) allocate_switch(n, r, t);
        if (n->waits_ports[r]) allocate_channels(n, r, t);
        if (!n->ready_ports[r] && !n->waits_ports[r]) n->busy[w] &= ~(UINT64_C(1) << r % 64);
      }
    n->now = t + 1;
    if (nothing && !n->pending && n->moves == moved && !n->alarms) n->error = NOC_STUCK; /* nothing under way, nothing done: for ever */
  }
  return -n->error;
}
