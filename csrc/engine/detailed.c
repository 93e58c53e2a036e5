/* Transfers in `detailed`. A stream's DMA sends requests of at most a chunk, one after the other at the pace of its port, as long as no more
   than its bytes in flight are under way; the next transfer's follow while answers are still to come. The controllers run behind a way of
   `there_fs`: whatever is sent from now on reaches them no earlier, so they may always be run that far ahead (a conservative lookahead), and
   an answer is known `back_fs` before it arrives. Ends are taken in order of time, then stream, so that every run is the same. */
#include "detailed.h"
#include <stdlib.h>
#include <string.h>

enum { FREE, BY_WINDOW, BY_READS }; /* bytes in flight; within device memory, by what is still to be read */
enum { ARRIVES, LEAVES }; /* of events at one time, answers come first */
typedef struct { int64_t time; int32_t kind, stream; int64_t serial, bytes; } event;
typedef struct { event *v; int64_t n, room; } events;

/* A request by its number in its channel. */
typedef struct { int64_t left_at, serial; int32_t stream, bytes; } request;
typedef struct { emu_dram *dram; request *requests; int64_t room, oldest, newest, open; } channel_t;

/* A transfer, or a signal, from the start of its data phase until it is complete. */
typedef struct {
  emu_flow flow;
  int64_t open, ended, latency_fs, op_start, hop_fs; /* answers to come; when its last request had left, or -1; the latency that counts as one */
  int32_t count, only_signal; /* tokens; no transfer at all */
  uint8_t nature, before;
  uint32_t *clock;
} transfer;

typedef struct {
  emu_walk walk[2];
  int32_t parts, part, held, sends; /* held: why the next request cannot leave; sends: in a data phase */
  int64_t in_flight, since, moved;
  emu_piece piece; /* the next request */
  transfer *ring;  /* numbers first .. first + size - 1 */
  int64_t first, size, room;
} feeder;

struct emu_detailed {
  emu_detailed_config c;
  int64_t streams, open, horizon; /* requests in the controllers; the tick up to which these were run */
  channel_t *channels;
  feeder *feeders;
  events due;
  emu_sectors sectors[2]; /* of the transfer that starts: what no tier has, what leaves one for it */
};

static int no_memory(emu_machine *m) { return emu_fail(m, NULL, E_MEMORY, "out of memory for requests to device memory", 0, 0); }

emu_detailed *emu_detailed_new(const emu_detailed_config *c, int64_t streams, emu_dram **channels) {
  emu_detailed *d = calloc(1, sizeof *d);
  if (d) {
    d->c = *c;
    d->streams = streams;
    d->feeders = calloc((size_t)streams, sizeof *d->feeders);
    d->channels = calloc((size_t)c->channels, sizeof *d->channels);
  }
  for (int64_t k = 0; k < c->channels; k++)
    if (d && d->channels) d->channels[k].dram = channels[k];
    else emu_dram_free(channels[k]);
  if (d && d->feeders && d->channels) return d;
  emu_detailed_free(d);
  return NULL;
}

void emu_detailed_free(emu_detailed *d) {
  if (!d) return;
  for (int64_t k = 0; d->channels && k < d->c.channels; k++) {
    emu_dram_free(d->channels[k].dram);
    free(d->channels[k].requests);
  }
  for (int64_t j = 0; d->feeders && j < d->streams; j++) {
    feeder *f = &d->feeders[j];
    for (int64_t k = 0; k < f->size; k++) free(f->ring[(f->first + k) & (f->room - 1)].clock);
    free(f->ring);
    free(f->walk[0].sectors.v);
    free(f->walk[1].sectors.v);
  }
  free(d->feeders);
  free(d->channels);
  free(d->due.v);
  free(d->sectors[0].v);
  free(d->sectors[1].v);
  free(d);
}

const emu_dram *emu_detailed_channel(const emu_detailed *d, int64_t channel) { return d->channels[channel].dram; }

/* Chunks go round the channels; where a round begins is hashed with its number, so that no stride keeps to a few of them. */
static int64_t place(const emu_detailed_config *c, uint64_t address, uint64_t *local) {
  const uint64_t size = (uint64_t)c->chunk_bytes, n = (uint64_t)c->channels, chunk = address / size, round = chunk / n;
  *local = round * size + address % size;
  return (int64_t)((chunk % n + (round * UINT64_C(0x9e3779b97f4a7c15) >> 32)) % n);
}

int emu_detailed_sectors(emu_detailed *d, int64_t block, uint32_t sectors, int64_t sector_bytes, int write) {
  return emu_sectors_add(&d->sectors[write], block, sectors, sector_bytes);
}

int emu_detailed_sends(const emu_detailed *d, int stream) { return d->feeders[stream].sends; }

/* -- events: a binary heap -- */

static int sooner(const event *a, const event *b) {
  if (a->time != b->time) return a->time < b->time;
  if (a->kind != b->kind) return a->kind < b->kind;
  return a->stream != b->stream ? a->stream < b->stream : a->serial < b->serial;
}

static int push(events *q, event e) {
  if (q->n == q->room) {
    const int64_t room = q->room ? 2 * q->room : 1024;
    event *more = realloc(q->v, (size_t)room * sizeof *more);
    if (!more) return -1;
    q->v = more;
    q->room = room;
  }
  int64_t j = q->n++;
  for (; j && sooner(&e, &q->v[(j - 1) / 2]); j = (j - 1) / 2) q->v[j] = q->v[(j - 1) / 2];
  q->v[j] = e;
  return 0;
}

static event pop(events *q) {
  const event top = q->v[0], last = q->v[--q->n];
  int64_t j = 0;
  for (int64_t k; (k = 2 * j + 1) < q->n; j = k) {
    if (k + 1 < q->n && sooner(&q->v[k + 1], &q->v[k])) k++;
    if (!sooner(&q->v[k], &last)) break;
    q->v[j] = q->v[k];
  }
  if (q->n) q->v[j] = last;
  return top;
}

/* -- requests -- */

static transfer *transfer_of(feeder *f, int64_t serial) { return &f->ring[serial & (f->room - 1)]; }
static transfer *newest(feeder *f) { return transfer_of(f, f->first + f->size - 1); }

static transfer *append(feeder *f) {
  if (f->size == f->room) {
    const int64_t room = f->room ? 2 * f->room : 8;
    transfer *more = malloc((size_t)room * sizeof *more);
    if (!more) return NULL;
    for (int64_t j = f->first; j < f->first + f->size; j++) more[j & (room - 1)] = *transfer_of(f, j);
    free(f->ring);
    f->ring = more;
    f->room = room;
  }
  f->size++;
  transfer *x = newest(f);
  memset(x, 0, sizeof *x);
  x->ended = -1;
  return x;
}

/* A channel's numbers ascend; those of requests under way lie close together. */
static int remember(channel_t *u, int64_t id, request r) {
  while (u->oldest < u->newest && !u->requests[u->oldest & (u->room - 1)].bytes) u->oldest++;
  if (u->newest - u->oldest == u->room) {
    const int64_t room = u->room ? 2 * u->room : 1024;
    request *more = calloc((size_t)room, sizeof *more);
    if (!more) return -1;
    for (int64_t j = u->oldest; j < u->newest; j++) more[j & (room - 1)] = u->requests[j & (u->room - 1)];
    free(u->requests);
    u->requests = more;
    u->room = room;
  }
  u->requests[id & (u->room - 1)] = r;
  u->newest = id + 1;
  u->open++;
  return 0;
}

static int64_t to_tick(const emu_detailed *d, int64_t fs) { return (fs + d->c.tick_fs - 1) / d->c.tick_fs; }

static int send(emu_machine *m, int32_t stream) {
  emu_detailed *d = m->detailed;
  feeder *f = &d->feeders[stream];
  const emu_piece *p = &f->piece;
  transfer *x = newest(f);
  uint64_t local;
  channel_t *u = &d->channels[place(&d->c, (uint64_t)p->address, &local)];
  const int64_t id = emu_dram_submit(u->dram, to_tick(d, m->now + d->c.there_fs), local, p->bytes, f->walk[f->part].write);
  if (id < 0) return id == -1 ? no_memory(m) : emu_fail(m, &m->streams[stream], E_BOUNDS, "outside the DRAM devices", p->address, p->bytes);
  if (remember(u, id, (request){m->now, f->first + f->size - 1, stream, (int32_t)p->bytes})) return no_memory(m);
  x->open++;
  d->open++;
  f->in_flight += p->bytes;
  f->moved += p->bytes;
  return 0;
}

/* When the port has passed the next request; its streams share it. */
static int leave_after(emu_machine *m, int32_t stream) {
  feeder *f = &m->detailed->feeders[stream];
  const int64_t rate = emu_fluid_pace(m, &newest(f)->flow);
  return push(&m->detailed->due, (event){m->now + (f->piece.bytes * EMU_UNITS + rate - 1) / rate, LEAVES, stream, 0, 0}) ? no_memory(m) : 0;
}

/* The next request of a stream; without one its data phase ends, at a clock edge as everywhere. */
static int next_piece(emu_machine *m, int32_t stream) {
  emu_detailed *d = m->detailed;
  feeder *f = &d->feeders[stream];
  if (emu_walk_next(&f->walk[f->part], &f->piece)) return leave_after(m, stream);
  if (f->part + 1 < f->parts) { /* within device memory: the write begins when all has been read; what leaves a cache is there */
    if (newest(f)->open && !f->walk[f->part + 1].listed) return f->held = BY_READS, 0;
    f->part++;
    return next_piece(m, stream);
  }
  f->piece.bytes = 0;
  return push(&d->due, (event){emu_align(m, m->now), LEAVES, stream, 0, 0}) ? no_memory(m) : 0;
}

void emu_detailed_note(emu_machine *m, const emu_stream *s, const emu_side sides[2]) {
  feeder *f = &m->detailed->feeders[s->id];
  f->parts = 0;
  for (int w = 0; w < 2; w++)
    if (sides[w].o) emu_walk_begin(&f->walk[f->parts++], sides[w].o, &sides[w].rows, w, m->c.access_bytes, m->detailed->c.chunk_bytes);
}

/* A scalar load is no DMA's: it leaves at once, passes no port, and its stream goes on when all of it is there, whatever else is under way. */
static int send_load(emu_machine *m, const emu_flow *flow) {
  feeder *f = &m->detailed->feeders[flow->stream];
  const int64_t alone = (int64_t)(((__int128)flow->bytes * EMU_UNITS + flow->alone - 1) / flow->alone), serial = f->first + f->size - 1;
  newest(f)->ended = m->now;
  newest(f)->open++; /* it takes the time of its bytes at least */
  if (push(&m->detailed->due, (event){m->now + alone, ARRIVES, flow->stream, serial, 0})) return no_memory(m);
  for (; f->part < f->parts; f->part++)
    while (emu_walk_next(&f->walk[f->part], &f->piece)) {
      const int rc = send(m, flow->stream);
      if (rc < 0) return rc;
    }
  return 0;
}

/* What passes a cache reads the sectors that no tier has and writes those that leave one. */
static void take_sectors(emu_machine *m, feeder *f, int pass) {
  emu_detailed *d = m->detailed;
  if (!m->cache) return;
  if (pass == PASS_READ || pass == PASS_LOAD) emu_walk_sectors(&f->walk[0], &d->sectors[0], 0, m->c.access_bytes, d->c.chunk_bytes);
  if (d->sectors[1].n) emu_walk_sectors(&f->walk[f->parts++], &d->sectors[1], 1, m->c.access_bytes, d->c.chunk_bytes);
}

int emu_detailed_start(emu_machine *m, emu_flow *flow) {
  emu_detailed *d = m->detailed;
  feeder *f = &d->feeders[flow->stream];
  transfer *x = append(f);
  if (!x) return no_memory(m);
  take_sectors(m, f, flow->cached);
  x->flow = *flow;
  f->part = 0;
  f->moved = 0;
  if (flow->cached == PASS_LOAD) return send_load(m, flow);
  f->sends = 1;
  m->port_users[flow->stream / EMU_STREAM_COUNT]++;
  m->rates_stale = 1;
  return next_piece(m, flow->stream);
}

/* -- ends -- */

static int end_phase(emu_machine *m, int32_t stream) {
  feeder *f = &m->detailed->feeders[stream];
  emu_flow *flow = &m->flows[stream];
  f->sends = 0;
  m->port_users[stream / EMU_STREAM_COUNT]--;
  m->rates_stale = 1;
  flow->squeezed = newest(f)->flow.squeezed;
  m->counters[(int64_t)flow->label * COUNTERS + C_HBM_BURST] += f->moved - flow->bytes; /* rows that do not begin at an access */
  return emu_flow_ended(m, flow);
}

/* The data phase of a transfer is over: it has its latency at least, and what is still to come from device memory. */
int emu_detailed_ended(emu_machine *m, emu_stream *s, const emu_flow *flow, int64_t latency_fs) {
  emu_detailed *d = m->detailed;
  feeder *f = &d->feeders[s->id];
  transfer *x = flow->via == VIA_HBM && flow->bytes ? newest(f) : append(f);
  if (!x) return no_memory(m);
  x->flow = *flow;
  x->ended = m->now;
  x->latency_fs = latency_fs;
  x->op_start = s->op_start;
  x->nature = s->nature;
  x->before = s->last_cause;
  x->count = 1;
  x->open++;
  if (m->c.check && !(x->clock = emu_clock_copy(m, emu_clock_of(m, s->id)))) return no_memory(m);
  return push(&d->due, (event){m->now + flow->latency_fs, ARRIVES, s->id, f->first + f->size - 1, 0}) ? no_memory(m) : 0;
}

int emu_detailed_signal(emu_machine *m, emu_stream *s, int core, int sem, int count, int64_t hop_fs) {
  feeder *f = &m->detailed->feeders[s->id];
  if (!f->size) return 0;
  transfer *x = append(f);
  if (!x || (m->c.check && !(x->clock = emu_clock_copy(m, emu_clock_of(m, s->id))))) return no_memory(m);
  x->flow = (emu_flow){.signal = sem, .signal_first = core, .signal_count = 1, .stream = s->id, .start = s->t};
  x->ended = s->t;
  x->only_signal = 1;
  x->count = count;
  x->hop_fs = hop_fs;
  return 1;
}

int emu_detailed_waits(emu_machine *m, emu_stream *s) {
  if (!m->detailed->feeders[s->id].size) return 0;
  s->state = ON_MEMORY;
  s->blocked_on = 0;
  return 1;
}

/* Why the last byte of a transfer came when it did: what it waited for in its port's window and in the controllers, or its own limits. */
static void explain(emu_stream *s, const transfer *x, int64_t when) {
  const int64_t late = when - x->ended - x->flow.latency_fs, data_end = when - x->latency_fs;
  s->op_start = x->op_start;
  s->op_data_end = data_end;
  s->last_cause = x->before;
  s->nature = x->nature;
  if (x->flow.via == VIA_HBM && x->flow.squeezed + late > (data_end - x->flow.start) / 2) s->nature = CAUSE_DRAM_BANDWIDTH;
}

/* The oldest transfer of a stream is complete. Copied: signals may make the ring grow. */
static int complete(emu_machine *m, emu_stream *s) {
  feeder *f = &m->detailed->feeders[s->id];
  transfer x = *transfer_of(f, f->first);
  int64_t when = m->now;
  int rc = 0;
  f->first++;
  f->size--;
  if (x.only_signal) when = s->complete > x.ended ? s->complete : x.ended;
  else if (x.flow.cached != PASS_LOAD) { /* after a load its stream has gone on already */
    explain(s, &x, when);
    if (when > s->complete) s->complete = when;
    if (s->complete > EMU_TIME_MAX) rc = emu_fail(m, s, E_TIME, "the run is longer than the machine's clock can count", 0, 0);
  }
  for (int j = 0; !rc && x.flow.signal && j < x.flow.signal_count; j++)
    rc = emu_sem_signal(m, x.flow.signal_first + j * x.flow.signal_step, x.flow.signal, x.count, s, when + x.hop_fs, x.clock);
  free(x.clock);
  if (rc < 0 || s->state != ON_MEMORY) return rc;
  if (x.flow.via == VIA_HBM) emu_charge(m, s, CAUSE_DRAM_BANDWIDTH, m->now - x.flow.latency_fs, CAUSE_DRAM_BANDWIDTH);
  if (f->size) return 0;
  if (!s->full) return emu_wake(m, s);
  s->state = ON_FULL;
  return 0;
}

/* The word of a scalar load is there. What came on top of the latency it waited for others. */
static int answer_load(emu_machine *m, emu_flow *flow) {
  emu_stream *s = &m->streams[flow->stream];
  emu_charge(m, s, flow->late, flow->start + flow->latency_fs, flow->late);
  emu_charge(m, s, CAUSE_DRAM_BANDWIDTH, m->now, CAUSE_DRAM_BANDWIDTH);
  return emu_flow_ended(m, flow);
}

static int arrive(emu_machine *m, const event *e) {
  feeder *f = &m->detailed->feeders[e->stream];
  transfer *x = transfer_of(f, e->serial);
  x->open--;
  f->in_flight -= e->bytes;
  if (x->flow.cached == PASS_LOAD && !x->open) {
    const int rc = answer_load(m, &m->flows[e->stream]);
    if (rc < 0) return rc;
  }
  if (f->held == BY_WINDOW) {
    f->held = FREE;
    newest(f)->flow.squeezed += m->now - f->since;
    if (push(&m->detailed->due, (event){m->now, LEAVES, e->stream, 0, 0})) return no_memory(m);
  } else if (f->held == BY_READS && !newest(f)->open) {
    f->held = FREE;
    const int rc = next_piece(m, e->stream);
    if (rc < 0) return rc;
  }
  while (f->size && transfer_of(f, f->first)->ended >= 0 && !transfer_of(f, f->first)->open) {
    const int rc = complete(m, &m->streams[e->stream]);
    if (rc < 0) return rc;
  }
  return 0;
}

static int leave(emu_machine *m, const event *e) {
  feeder *f = &m->detailed->feeders[e->stream];
  if (!f->piece.bytes) return end_phase(m, e->stream);
  if (m->c.dma_inflight > 0 && f->in_flight && f->in_flight + f->piece.bytes > m->c.dma_inflight) {
    f->held = BY_WINDOW;
    f->since = m->now;
    return 0;
  }
  const int rc = send(m, e->stream);
  return rc < 0 ? rc : next_piece(m, e->stream);
}

/* -- time -- */

/* The controllers run as far ahead as nothing that is sent from now on can reach them; answers become events. */
static int run_controllers(emu_machine *m) {
  emu_detailed *d = m->detailed;
  const int64_t until = (m->now + d->c.there_fs) / d->c.tick_fs;
  for (int64_t k = 0; k < d->c.channels; k++) {
    channel_t *u = &d->channels[k];
    if (!u->open) continue;
    if (emu_dram_advance(u->dram, until) < 0) return no_memory(m);
    const emu_dram_done *done = emu_dram_done_list(u->dram);
    for (int64_t j = 0; j < emu_dram_done_count(u->dram); j++) {
      request *r = &u->requests[done[j].id & (u->room - 1)];
      const transfer *x = transfer_of(&d->feeders[r->stream], r->serial);
      const int64_t beside = x->flow.latency_fs - m->c.hbm_latency_fs; /* the way on to other cores */
      const int64_t answer = done[j].done * d->c.tick_fs + d->c.back_fs + beside, least = r->left_at + x->flow.latency_fs;
      if (push(&d->due, (event){answer > least ? answer : least, ARRIVES, r->stream, r->serial, r->bytes})) return no_memory(m);
      r->bytes = 0;
      u->open--;
      d->open--;
    }
    emu_dram_done_clear(u->dram);
  }
  d->horizon = until;
  return 0;
}

int emu_detailed_step(emu_machine *m) {
  emu_detailed *d = m->detailed;
  for (int turns = 0; turns < 4096; turns++) {
    int rc;
    const int64_t fluid = emu_fluid_next(m);
    if (fluid < 0) return (int)fluid;
    const int64_t known = d->open ? d->horizon * d->c.tick_fs + d->c.back_fs : INT64_MAX; /* answers up to then are events already */
    int64_t next = d->due.n && d->due.v[0].time < fluid ? d->due.v[0].time : fluid;
    if (next == INT64_MAX && !d->open) return turns > 0;
    if (next > known) {
      const int64_t before = d->horizon;
      if ((rc = run_controllers(m)) < 0) return rc;
      if (d->horizon > before) continue;
      next = known; /* nothing happens before, and only time lets them run on */
    }
    m->polled++;
    if ((rc = emu_fluid_pass(m, next)) < 0) return rc;
    while (d->due.n && d->due.v[0].time <= m->now) {
      const event e = pop(&d->due);
      if ((rc = e.kind == ARRIVES ? arrive(m, &e) : leave(m, &e)) < 0) return rc;
    }
    if (m->nwork) return 1;
  }
  return 1;
}

int emu_detailed_close(emu_machine *m) {
  for (int64_t k = 0; k < m->detailed->c.channels; k++)
    if (emu_dram_advance(m->detailed->channels[k].dram, to_tick(m->detailed, m->end_time)) < 0) return no_memory(m);
  return 0;
}
