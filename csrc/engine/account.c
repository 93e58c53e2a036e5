/* Accounting: every femtosecond of every engine gets a direct cause and a root cause; both sum to the run's time exactly. */
#include <stdlib.h>
#include "memo.h"

static void add(emu_machine *m, emu_stream *s, int cause, int root, int64_t dt) {
  if (!s->started && cause != CAUSE_FINISHED) cause = root = CAUSE_NOT_STARTED;
  s->stall[cause] += dt;
  s->root_stall[root] += dt;
  m->label_stalls[((int64_t)s->label * EMU_STREAM_COUNT + s->kind) * CAUSES + cause] += dt * m->weight[s->core];
}

void emu_charge(emu_machine *m, emu_stream *s, int cause, int64_t until, int root) {
  if (until <= s->acct) return;
  if (m->memo) emu_memo_charge(m, s, (emu_first){until, 0, 0, 0, CHARGE_PLAIN, (uint8_t)cause, 0, (uint8_t)root});
  add(m, s, cause, root, until - s->acct);
  s->root = (uint8_t)root;
  s->acct = until;
}

/* A wait that ended when an operation of another stream completed. The part of the wait in which that operation moved data or computed
   is rooted in its nature, the part after its data phase in latency, the part before it started in whatever held it up (`before`). The
   longest part is what holds up those that wait for this stream in turn. */
void emu_charge_token(emu_machine *m, emu_stream *s, int cause, int64_t until, int64_t data_end, int64_t start, int nature, int before) {
  if (until <= s->acct) return;
  if (m->memo) emu_memo_charge(m, s, (emu_first){until, data_end, start, 0, CHARGE_TOKEN, (uint8_t)cause, (uint8_t)nature, (uint8_t)before});
  int64_t a = s->acct;
  if (start > until) start = until;
  if (data_end > until) data_end = until;
  const int late = nature == CAUSE_MATRIX || nature == CAUSE_VECTOR || nature == CAUSE_LOAD ? nature : CAUSE_DRAM_LATENCY, why[3] = {before, nature, late};
  const int64_t ends[3] = {start, data_end, until};
  int64_t longest = 0;
  for (int j = 0; j < 3; j++) {
    if (ends[j] <= a) continue;
    add(m, s, cause, why[j], ends[j] - a);
    if (ends[j] - a > longest) {
      longest = ends[j] - a;
      s->root = (uint8_t)why[j];
    }
    a = ends[j];
  }
  s->acct = until;
}

void emu_busy(emu_machine *m, emu_stream *s, int64_t until) {
  if (until <= s->acct) return;
  if (m->memo) emu_memo_charge(m, s, (emu_first){until, 0, 0, 0, CHARGE_BUSY, CAUSE_BUSY, s->nature, 0});
  s->started = 1;
  add(m, s, CAUSE_BUSY, CAUSE_BUSY, until - s->acct);
  s->root = s->nature;
  s->acct = until;
}

int emu_record_op(emu_machine *m, const emu_stream *s, int64_t start, int64_t end, int pc, int label) {
  if (m->nrecords >= m->c.trace_max) return 0;
  if (m->nrecords == m->crecords) {
    int64_t cap = m->crecords ? 2 * m->crecords : 4096;
    emu_record *r = realloc(m->records, (size_t)cap * sizeof *r);
    if (!r) return emu_fail(m, s, E_MEMORY, "out of memory for the trace", 0, 0);
    m->records = r;
    m->crecords = cap;
  }
  m->records[m->nrecords++] = (emu_record){start, end, s->core, s->kind, pc, label};
  return 0;
}
