/* The run: streams run ahead until each waits for a token or a transfer; then time moves to the next start or finish of a transfer.
   Whatever a stream does after a transfer ended at t has its effect after t, so no transfer ever starts in the past. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "detailed.h"

int emu_fail(emu_machine *m, const emu_stream *s, int code, const char *text, int64_t a, int64_t b) {
  emu_failure *f = &m->fail;
  if (f->code) return -f->code;
  f->code = code;
  f->core = s ? s->core : -1;
  f->stream = s ? s->kind : -1;
  f->pc = s ? s->pc : -1;
  f->a = a;
  f->b = b;
  snprintf(f->text, sizeof f->text, "%s", text);
  return -code;
}

int emu_wake(emu_machine *m, emu_stream *s) {
  s->state = RUN;
  int64_t cap = m->c.cores * EMU_STREAM_COUNT;
  m->work[(m->work_head + m->nwork++) % cap] = s->id;
  return 0;
}

static emu_stream *next_stream(emu_machine *m) {
  int64_t cap = m->c.cores * EMU_STREAM_COUNT;
  if (m->c.order_seed) { /* any legal order gives the same values and times: a test draws them at random */
    m->random = m->random * 6364136223846793005u + 1442695040888963407u;
    int64_t pick = (m->work_head + (int64_t)((m->random >> 33) % (uint64_t)m->nwork)) % cap;
    int32_t id = m->work[pick];
    m->work[pick] = m->work[m->work_head];
    m->work[m->work_head] = id;
  }
  int32_t id = m->work[m->work_head];
  m->work_head = (m->work_head + 1) % cap;
  m->nwork--;
  return &m->streams[id];
}

static int drain(emu_machine *m) {
  while (m->nwork) {
    emu_stream *s = next_stream(m);
    int rc = emu_stream_run(m, s);
    if (rc < 0) return rc;
  }
  return 0;
}

static int finish_run(emu_machine *m) {
  const int64_t streams = m->c.cores * EMU_STREAM_COUNT;
  emu_stream *stuck = NULL;
  for (int64_t j = 0; j < streams; j++) {
    emu_stream *s = &m->streams[j];
    if (s->state == ON_FULL) /* its consumer cannot go on before this stream does: in time, too, the tokens pile up */
      return emu_overflows(m, s, s->blocked_on);
    if (s->state != HALTED && m->words[s->kind]) stuck = stuck ? stuck : s;
    if (s->complete > m->end_time) m->end_time = s->complete;
    if (s->t > m->end_time) m->end_time = s->t;
  }
  if (stuck) return emu_fail(m, stuck, E_DEADLOCK, "deadlock", stuck->blocked_on, stuck->state);
  for (int64_t core = 0; core < m->c.cores; core++)
    for (int id = 0; id < EMU_SEMAPHORES; id++) {
      const emu_sem *q = emu_sem_at(m, core, id);
      if (!m->sem_declared[id] || q->count == q->initial) continue;
      m->fail.core2 = (int32_t)core;
      return emu_fail(m, NULL, E_LEFTOVER, "a semaphore does not end at its initial count", id, q->count - q->initial);
    }
  if (m->c.ideal) /* no contention, but no resource moves more than it can: conservation bounds the whole run */
    for (int via = VIA_HBM; via < VIAS; via++)
      if (m->total_bytes[via] && via != VIA_NET) {
        const __int128 all = (__int128)m->capacity[via] * m->c.chips;
        int64_t least = (int64_t)(((__int128)m->total_bytes[via] * EMU_UNITS + all - 1) / all);
        if (least > m->end_time) m->end_time = least;
      }
  if (m->c.ideal && emu_net_least_time(m) > m->end_time) m->end_time = emu_net_least_time(m);
  m->end_time = emu_align(m, m->end_time);
  for (int64_t j = 0; j < streams; j++)
    if (m->words[m->streams[j].kind]) emu_charge(m, &m->streams[j], CAUSE_FINISHED, m->end_time, CAUSE_FINISHED);
  return m->detailed ? emu_detailed_close(m) : 0;
}

static int run_streams(emu_machine *m) {
  const int64_t streams = m->c.cores * EMU_STREAM_COUNT;
  m->random = (uint64_t)m->c.order_seed;
  for (int64_t j = 0; j < streams; j++) {
    emu_stream *s = &m->streams[j];
    if (m->words[s->kind]) emu_wake(m, s);
    else s->state = HALTED;
  }
  for (;;) {
    int rc = drain(m);
    if (rc < 0) return rc;
    if (m->forward && (rc = emu_forward_try(m)) < 0) return rc;
    if ((rc = m->detailed ? emu_detailed_step(m) : emu_fluid_step(m)) < 0) return rc;
    if (!rc) return finish_run(m);
    if (++m->polled >= 65536) {
      m->polled = 0;
      if (m->poll && m->poll(m->poll_arg)) return emu_fail(m, NULL, E_INTERRUPTED, "interrupted", 0, 0);
    }
  }
}

int emu_machine_run(emu_machine *m) {
  uint64_t saved = emu_num_enter();
  int rc = run_streams(m);
  emu_num_leave(saved);
  return rc;
}
