/* Packets and the nodes that send them: a queue per node in the order of time, one flit a clock, a virtual channel per packet. */
#include <stdlib.h>
#include <string.h>
#include "noc.h"

/* ---- a heap of the times at which nodes have something to send again */
static int before(const noc_alarm *a, const noc_alarm *b) { return a->time != b->time ? a->time < b->time : a->node < b->node; }

static int alarm_at(noc *n, int64_t time, int32_t node) {
  if (noc_grow((void **)&n->alarm, &n->alarm_cap, n->alarms + 1, sizeof *n->alarm) < 0) return -NOC_MEMORY;
  int32_t j = n->alarms++;
  const noc_alarm a = {time, node};
  for (; j && before(&a, &n->alarm[(j - 1) / 2]); j = (j - 1) / 2) n->alarm[j] = n->alarm[(j - 1) / 2];
  n->alarm[j] = a;
  return 0;
}

static int32_t alarm_take(noc *n) {
  const int32_t node = n->alarm[0].node;
  const noc_alarm last = n->alarm[--n->alarms];
  int32_t j = 0, k;
  for (; (k = 2 * j + 1) < n->alarms; j = k) {
    if (k + 1 < n->alarms && before(&n->alarm[k + 1], &n->alarm[k])) k++;
    if (!before(&n->alarm[k], &last)) break;
    n->alarm[j] = n->alarm[k];
  }
  if (n->alarms) n->alarm[j] = last;
  return node;
}

int64_t noc_next_alarm(const noc *n) { return n->alarms ? n->alarm[0].time : NOC_NEVER; }

/* ---- packets */
static int enqueue(noc *n, int32_t id) {
  noc_packet *p = &n->packet[id];
  noc_source *s = &n->source[p->src];
  p->next = -1;
  if (s->last >= 0 && n->packet[s->last].time > p->time) return -NOC_ORDER;
  if (p->time < n->now) return -NOC_ORDER;
  if (s->first < 0) {
    s->first = id;
    if (alarm_at(n, p->time, p->src) < 0) return -NOC_MEMORY;
  } else n->packet[s->last].next = id;
  s->last = id;
  return 0;
}

static int new_packet(noc *n, noc_packet p) {
  if (n->packets >= NOC_MAX_PACKETS) return -NOC_PACKETS;
  if (noc_grow((void **)&n->packet, &n->packet_cap, n->packets + 1, sizeof *n->packet) < 0) return -NOC_MEMORY;
  n->packet[n->packets] = p;
  return n->packets++;
}

static int32_t number(noc *n, int32_t src, int32_t dst) { return n->sent[(int64_t)src * n->c.nodes + dst]++; }

int noc_inject(noc *n, int64_t time, int32_t src, const int32_t *dst, int32_t count, int32_t length) {
  const noc_source *s = &n->source[src];
  if (time < n->now || (s->last >= 0 && n->packet[s->last].time > time)) return -NOC_ORDER;
  noc_packet p = {src, dst[0], length, -1, -1, 1, -1, 0, 0, -1, time};
  if (count > 1) {
    if (noc_grow((void **)&n->place, &n->place_cap, n->places + count, sizeof *n->place) < 0) return -NOC_MEMORY;
    p.first = n->places;
    p.count = count;
    p.dst = -1;
    for (int32_t j = 0; j < count; j++) n->place[n->places++] = (noc_place){dst[j], number(n, src, dst[j])};
  } else p.number = number(n, src, dst[0]);
  const int id = new_packet(n, p);
  if (id < 0) return id;
  const int rc = enqueue(n, id);
  n->in_network += count;
  return rc < 0 ? rc : id;
}

int noc_inject_many(noc *n, int64_t many, const int64_t *time, const int32_t *src, const int32_t *dst, const int32_t *length) {
  const int first = n->packets;
  for (int64_t j = 0; j < many; j++) {
    const int rc = noc_inject(n, time[j], src[j], &dst[j], 1, length[j]);
    if (rc < 0) return rc;
  }
  return first;
}

/* ---- reductions: routes to one destination form a tree; every router of it adds what its branches bring */
static int32_t sum_of(noc *n, int32_t group, int32_t router) {
  for (int32_t j = n->group[group].first; j >= 0; j = n->sum[j].next)
    if (n->sum[j].router == router) return j;
  return -1;
}

static int open_sum(noc *n, int32_t group, int32_t router, int32_t length) {
  if (n->open[router] >= n->c.adders) return -NOC_ADDERS;
  if (noc_grow((void **)&n->sum, &n->sum_cap, n->sums + 1, sizeof *n->sum) < 0) return -NOC_MEMORY;
  noc_sum *s = &n->sum[n->sums];
  *s = (noc_sum){group, router, 0, 0, length, -1, 0, n->group[group].first, calloc((size_t)length, sizeof(uint16_t))};
  if (!s->added) return -NOC_MEMORY;
  n->open[router]++;
  n->group[group].first = n->sums;
  return n->sums++;
}

static int close_all(noc *n, int32_t group, int rc) {
  for (int32_t j = n->group[group].first; j >= 0; j = n->sum[j].next) noc_close_sum(n, j);
  n->group[group].first = -1;
  return rc;
}

int noc_reduce(noc *n, const int64_t *time, const int32_t *src, int32_t count, int32_t dst, int32_t length) {
  for (int32_t j = 0; j < count; j++) {
    const int32_t last = n->source[src[j]].last;
    if (time[j] < n->now || (last >= 0 && n->packet[last].time > time[j])) return -NOC_ORDER;
  }
  if (noc_grow((void **)&n->group, &n->group_cap, n->groups + 1, sizeof *n->group) < 0) return -NOC_MEMORY;
  const int32_t group = n->groups++;
  n->group[group] = (noc_group){-1, n->packets};
  for (int32_t j = 0; j < count; j++) { /* up the tree until a router that is in it already: there one branch more joins */
    int32_t at = n->attach[src[j]];
    for (;;) {
      const int32_t router = at / n->stride;
      int32_t sum = sum_of(n, group, router), fresh = sum < 0;
      if (fresh && (sum = open_sum(n, group, router, length)) < 0) return close_all(n, group, sum);
      n->sum[sum].expected++;
      const noc_port *const out = &n->port[router * n->stride + n->route[router * n->c.nodes + dst]];
      if (!fresh || out->sink) break;
      at = out->to;
    }
  }
  for (int32_t j = 0; j < count; j++) {
    const int id = new_packet(n, (noc_packet){src[j], dst, length, -1, -1, 1, group, 0, 0, -1, time[j]});
    const int rc = id < 0 ? id : enqueue(n, id);
    if (rc < 0) return rc;
  }
  n->in_network++;
  return n->group[group].packet;
}

/* ---- sending: what every node with a packet under way or due does in clock t */
static int start(noc *n, noc_source *s) {
  uint32_t may = 0;
  for (int v = 0; v < n->c.vcs; v++)
    if (s->credits[v]) may |= 1u << v;
  if (!may) return 0;
  s->vc = noc_turn(may, s->rr);
  s->rr = (s->vc + 1) % n->c.vcs;
  s->sent = 0;
  return 1;
}

static void send(noc *n, int32_t node, int64_t t) {
  noc_source *s = &n->source[node];
  const int32_t id = s->first;
  const noc_packet *p = &n->packet[id];
  if ((s->vc < 0 && !start(n, s)) || !s->credits[s->vc]) return;
  s->credits[s->vc]--;
  noc_later(n, t + n->c.inject_cycles, s->port * n->c.vcs + s->vc, (noc_flit){id, (uint16_t)s->sent, s->sent + 1 == p->length});
  n->injected[node]++;
  if (++s->sent < p->length) return;
  s->vc = -1;
  s->first = p->next;
  if (s->first < 0) s->last = -1;
  if (s->first < 0 || n->packet[s->first].time > t + 1) {
    n->sending[node / 64] &= ~(UINT64_C(1) << node % 64);
    if (s->first >= 0 && alarm_at(n, n->packet[s->first].time, node) < 0) n->error = NOC_MEMORY;
  }
}

void noc_sources(noc *n, int64_t t) {
  while (n->alarms && n->alarm[0].time <= t) {
    const int32_t node = alarm_take(n);
    n->sending[node / 64] |= UINT64_C(1) << node % 64;
  }
  for (int32_t w = 0; w <= (n->c.nodes - 1) / 64; w++)
    for (uint64_t m = n->sending[w]; m; m &= m - 1) send(n, w * 64 + __builtin_ctzll(m), t);
}
