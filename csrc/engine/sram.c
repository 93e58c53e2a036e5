/* The scratchpad of a core: vector operands whose elements fall on one bank, and engines that share what the banks give in a clock. */
#include <stdlib.h>
#include "machine.h"

#define MOST_BANKS 1024
#define MOST_WORDS 1024 /* of one clock that are looked at */
#define MOST_BYTES (INT64_C(16) << 20) /* of a flow: more would not fit its counter, so they are counted in larger units */

/* How many times as long an operand takes because words of one clock lie on the same bank. Looked at: the first clock's elements, in the order
   of the extents; the later ones are the same, moved. A bank gives a word to all that want it. */
int64_t emu_bank_conflict(const emu_machine *m, const emu_extent *x, int64_t bytes_per_clk) {
  const int64_t banks = m->c.sram_banks, wide = m->c.sram_bank_bytes, size = emu_fmt_bytes[x->fmt];
  if (wide <= 0 || banks < 2 || banks > MOST_BANKS || x->space != EMU_SP_SRAM || !x->elements) return 1;
  int32_t asked[MOST_BANKS] = {0};
  int64_t want = bytes_per_clk / size, at[4] = {0}, place = 0, last = -1, words = 0, most = 0;
  if (want > MOST_WORDS) want = MOST_WORDS;
  for (int64_t e = 0; e < want; e++) {
    const int64_t word = (place - x->lo) / wide, bank = word % banks;
    if (word != last) {
      words++;
      if (++asked[bank] > most) most = asked[bank];
    }
    last = word;
    int j = 0;
    for (; j < 4; j++) {
      if (!x->s[j]) continue;
      place += x->s[j];
      if (++at[j] < x->n[j]) break;
      place -= x->s[j] * x->n[j];
      at[j] = 0;
    }
    if (j == 4) break;
  }
  const int64_t least = words > banks ? emu_ceil_div(words, banks) : 1;
  return most > least ? emu_ceil_div(most, least) : 1;
}

int emu_sram_prepare(emu_machine *m) {
  if (m->c.sram_bytes_per_clk <= 0) return 0;
  m->sram_rate = emu_rate_of(m->c.sram_bytes_per_clk, m->c.period_fs);
  m->sram_level = calloc((size_t)m->c.cores, sizeof *m->sram_level);
  return m->sram_level ? 0 : -1;
}

void emu_sram_free(emu_machine *m) { free(m->sram_level); }

/* What everyone on a core's scratchpad may take who wants more than an equal share: water-filling among so many wants. */
int64_t emu_sram_fill(int64_t rate, const int64_t *wants, int n) {
  int64_t equal = n ? rate / n : 0;
  for (int before = -1;;) {
    int64_t taken = 0;
    int by = 0;
    for (int j = 0; j < n; j++)
      if (wants[j] <= equal) taken += wants[j], by++;
    if (by == n) return INT64_MAX;
    if (by == before) return equal > 0 ? equal : 1;
    before = by;
    equal = (rate - taken) / (n - by);
  }
}

/* A matrix or vector instruction that moves `bytes` of the scratchpad's between start and end, if nobody else wants them: 1 if it has to be
   seen, and then its stream waits for it. */
int emu_sram_submit(emu_machine *m, emu_stream *s, const emu_insn *i, int64_t start, int64_t end, int64_t bytes) {
  if (!m->sram_level || bytes <= 0 || end <= start) return 0;
  emu_flow *f = &m->flows[s->id];
  const int64_t unit = emu_ceil_div(bytes, MOST_BYTES), span = end - start;
  const int64_t units = emu_ceil_div(bytes, unit);
  *f = (emu_flow){.start = start, .via = VIA_NONE, .stream = s->id, .bytes = units, .cached = PASS_ENGINE, .planned = end, .sram_unit = unit,
                  .pc = s->pc, .label = s->label, .signal = i->signal};
  f->limit = (int64_t)(((__int128)units * EMU_UNITS + span - 1) / span); /* rounded up: alone it ends when it was planned to */
  f->alone = f->limit;
  s->state = ON_QUEUE;
  emu_fluid_submit(m, s->id);
  return 1;
}

/* It has ended, later than planned by what others took of the scratchpad. */
int emu_sram_finish(emu_machine *m, emu_stream *s, const emu_flow *f) {
  const int64_t late = m->now > f->planned ? m->now - f->planned : 0;
  s->last_start += late;
  s->free_at += late;
  s->complete += late;
  s->op_data_end += late;
  if (2 * late > f->planned - f->start) s->nature = CAUSE_PORT;
  emu_charge(m, s, CAUSE_PORT, s->acct + late, CAUSE_PORT);
  if (s->complete > EMU_TIME_MAX) return emu_fail(m, s, E_TIME, "the run is longer than the machine's clock can count", 0, 0);
  int rc;
  if (m->c.trace_max && (rc = emu_record_op(m, s, f->start, f->planned + late, f->pc, f->label)) < 0) return rc;
  if (f->signal && (rc = emu_sem_signal(m, s->core, f->signal, 1, s, s->complete, emu_clock_of(m, s->id))) < 0) return rc;
  if (!s->full) return emu_wake(m, s);
  s->state = ON_FULL;
  return 0;
}
