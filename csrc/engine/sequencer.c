/* The sequencer of a stream: scalar instructions, loops, branches and descriptors run here, until the stream blocks or halts. */
#include "detailed.h"
#include "memo.h"

#define RUNAWAY 30000000 /* scalar instructions without one engine or sync instruction */

static inline void set(emu_stream *s, int rd, int64_t v) {
  if (rd) s->r[rd] = v;
}

static int load_parameter(emu_machine *m, emu_stream *s, const emu_insn *i, int64_t index) {
  if (index < 0 || index >= m->nparams) return emu_fail(m, s, E_BOUNDS, "parameter index out of range", index, m->nparams);
  set(s, i->rd, m->params[index * m->c.cores + s->core]);
  return 0;
}

static void advance_ring(emu_desc *d) {
  const uint64_t size = (uint64_t)d->f[AT_RING_SIZE], next = (uint64_t)d->f[AT_BASE] + (uint64_t)d->f[AT_RING_STEP];
  d->f[AT_BASE] = (int64_t)((int64_t)next >= (int64_t)((uint64_t)d->f[AT_RING_LO] + size) ? next - size : next);
}

static inline void set_field(emu_desc *d, int field, int64_t v) {
  if (field >= AT_SHAPE_FIRST && d->f[field] != v) d->shape = 0;
  d->f[field] = v;
}

static int spend_scalars(emu_machine *m, emu_stream *s, int64_t n) {
  emu_counters(m, s)[C_SCALAR] += n;
  s->scalars += n;
  s->t += n * m->issue_fs;
  if (s->t > EMU_TIME_MAX) return emu_fail(m, s, E_TIME, "the run is longer than the machine's clock can count", 0, 0);
  emu_charge(m, s, CAUSE_ISSUE, s->t, CAUSE_ISSUE);
  return 0;
}

/* The one door from data to control (SOUNDNESS 4): only buffers with role index, always backed. */
static int load_index(emu_machine *m, emu_stream *s, const emu_insn *i) {
  int64_t at = (int64_t)((uint64_t)s->r[i->ra] + (uint64_t)i->imm);
  for (int64_t b = 0; b < m->nbuffers; b++) {
    const emu_buffer *u = &m->buffers[b];
    if (u->space != EMU_SP_HBM || u->role != ROLE_INDEX || at < u->offset || at > u->offset + u->bytes - 4) continue;
    int32_t v;
    __builtin_memcpy(&v, m->hbm + emu_chip_offset(m, EMU_SP_HBM, s->core) + at, 4);
    emu_counters(m, s)[C_SCALAR]++; /* its issue is part of its latency */
    s->scalars++;
    emu_issue_load(m, s, i);
    set(s, i->rd, v);
    s->pc++;
    return 0;
  }
  return emu_fail(m, s, E_INDEX, "lds reads bytes outside every buffer with role index", at, 0);
}

/* What was counted so far belongs to the old label. */
static int change_label(emu_machine *m, emu_stream *s, int64_t label, int64_t *spent) {
  int rc = *spent ? spend_scalars(m, s, *spent) : 0;
  *spent = 0;
  s->label = (int32_t)label;
  return rc;
}

/* Scalar instructions up to the next one that is not; their number since the last label in *spent. The program counter and the end of the
   innermost body are local: kept in memory they would be the longest dependency of the whole engine. Arithmetic wraps (two's complement). */
static inline __attribute__((always_inline)) int run_scalars(
    emu_machine *m, emu_stream *s, const emu_insn *code, const int32_t words, int64_t *spent, emu_watch *watch, const int again) {
  int32_t pc = s->pc, loop_end = s->loop_end;
  int64_t *const r = s->r, since = 0;
  for (;; since++) {
    while (pc == loop_end) {
      emu_loop *l = &s->loop[s->sp - 1];
      if (--l->left) pc = l->start;
      else loop_end = --s->sp ? s->loop[s->sp - 1].end : NO_LOOP;
    }
    s->pc = pc; /* for messages */
    if ((uint32_t)pc >= (uint32_t)words) return emu_fail(m, s, E_PC, "the stream runs past its end (end it with halt)", pc, words);
    const emu_insn *i = &code[pc];
    const uint64_t a = (uint64_t)r[i->ra], b = (uint64_t)r[i->rb], k = (uint64_t)i->imm;
    int64_t count;
    int rc = 0;
    if (watch) emu_watch_word(watch, s, i);
    switch (i->op) {
      case EMU_OP_NOP: break;
      case EMU_OP_LI: set(s, i->rd, i->imm); break;
      case EMU_OP_LIH: set(s, i->rd, (int64_t)((a << 32) | (k & 0xffffffffu))); break;
      case EMU_OP_ADD: set(s, i->rd, (int64_t)(a + b)); break;
      case EMU_OP_SUB: set(s, i->rd, (int64_t)(a - b)); break;
      case EMU_OP_MUL: set(s, i->rd, (int64_t)(a * b)); break;
      case EMU_OP_ADDI: set(s, i->rd, (int64_t)(a + k)); break;
      case EMU_OP_MULI: set(s, i->rd, (int64_t)(a * k)); break;
      case EMU_OP_MIN: set(s, i->rd, r[i->ra] <= r[i->rb] ? r[i->ra] : r[i->rb]); break;
      case EMU_OP_MAX: set(s, i->rd, r[i->ra] >= r[i->rb] ? r[i->ra] : r[i->rb]); break;
      case EMU_OP_MINI: set(s, i->rd, r[i->ra] <= i->imm ? r[i->ra] : i->imm); break;
      case EMU_OP_MAXI: set(s, i->rd, r[i->ra] >= i->imm ? r[i->ra] : i->imm); break;
      case EMU_OP_AND: set(s, i->rd, (int64_t)(a & b)); break;
      case EMU_OP_OR: set(s, i->rd, (int64_t)(a | b)); break;
      case EMU_OP_XOR: set(s, i->rd, (int64_t)(a ^ b)); break;
      case EMU_OP_SHLI: set(s, i->rd, (int64_t)(a << (k & 63))); break;
      case EMU_OP_SHRI: set(s, i->rd, r[i->ra] >> (k & 63)); break;
      case EMU_OP_CID: set(s, i->rd, s->core % m->chip_cores); break;
      case EMU_OP_LDP: rc = load_parameter(m, s, i, i->imm); break;
      case EMU_OP_LDPX: rc = load_parameter(m, s, i, (int64_t)(a + k)); break;
      case EMU_OP_LABEL:
        if (again) s->label = (int32_t)i->imm;
        else rc = change_label(m, s, i->imm, spent);
        break;
      case EMU_OP_BEQ: pc += a == b ? i->off - 1 : 0; break;
      case EMU_OP_BNE: pc += a != b ? i->off - 1 : 0; break;
      case EMU_OP_BLT: pc += r[i->ra] < r[i->rb] ? i->off - 1 : 0; break;
      case EMU_OP_BGE: pc += r[i->ra] >= r[i->rb] ? i->off - 1 : 0; break;
      case EMU_OP_LOOP:
      case EMU_OP_LOOPR:
        count = i->op == EMU_OP_LOOP ? i->imm : r[i->ra];
        if (count < 0) return emu_fail(m, s, E_EXTENT, "negative loop count", count, 0);
        if (!count) {
          pc += i->off - 1;
          break;
        }
        if (s->sp == EMU_MAX_LOOPS) return emu_fail(m, s, E_ILLEGAL, "more than 8 loops nest", 0, 0);
        loop_end = pc + i->off;
        s->loop[s->sp++] = (emu_loop){count, pc + 1, loop_end};
        break;
      case EMU_OP_DSET: set_field(&s->d[i->d0], i->field, i->imm); break;
      case EMU_OP_DSETR: set_field(&s->d[i->d0], i->field, (int64_t)(a + k)); break;
      case EMU_OP_DADD: set_field(&s->d[i->d0], i->field, (int64_t)((uint64_t)s->d[i->d0].f[i->field] + k)); break;
      case EMU_OP_DADDR: set_field(&s->d[i->d0], i->field, (int64_t)((uint64_t)s->d[i->d0].f[i->field] + a)); break;
      case EMU_OP_DNEXT: advance_ring(&s->d[i->d0]); break;
      default: s->loop_end = loop_end; return 0;
    }
    if (rc < 0) return rc;
    pc++;
    ++*spent;
    if ((since & 0xfffff) != 0xfffff) continue;
    if (since > RUNAWAY) return emu_fail(m, s, E_RUNAWAY, "scalar instructions run on without any engine instruction", since, 0);
    if (m->poll && m->poll(m->poll_arg)) return emu_fail(m, s, E_INTERRUPTED, "interrupted", 0, 0);
  }
}

static int sync(emu_machine *m, emu_stream *s, const emu_insn *i) {
  int64_t *c = emu_counters(m, s);
  int rc = 0, sem = i->wait; /* the decoder puts the sync object's number there */
  switch (i->op) {
    case EMU_OP_WAIT: rc = emu_sem_wait(m, s, sem, (int)i->imm); break;
    case EMU_OP_SIGNAL:
    case EMU_OP_RSIGNAL: {
      const int64_t own = s->core % m->chip_cores, named = i->op == EMU_OP_SIGNAL ? own : s->r[i->ra], core = s->core - own + named;
      if (named < 0 || named >= m->chip_cores) return emu_fail(m, s, E_BOUNDS, "rsignal names a core that does not exist", named, m->chip_cores);
      int64_t hop = core == s->core ? 0 : m->c.noc_hop_fs;
      if (m->detailed && (rc = emu_detailed_signal(m, s, (int)core, sem, (int)i->imm, hop))) break;
      int64_t when = s->complete > s->t ? s->complete : s->t;
      rc = emu_sem_signal(m, (int)core, sem, (int)i->imm, s, when + hop, emu_clock_of(m, s->id));
      break;
    }
    case EMU_OP_CSIGNAL: {
      const int64_t chip = s->r[i->ra], when = s->complete > s->t ? s->complete : s->t, own = emu_chip_of(m, s->core);
      if (chip < 0 || chip >= m->c.net_chips) return emu_fail(m, s, E_BOUNDS, "csignal names a chip that does not exist", chip, m->c.net_chips);
      const int64_t core = m->c.chips > 1 ? chip * m->chip_cores + s->core % m->chip_cores : s->core;
      rc = emu_sem_signal(m, (int)core, sem, (int)i->imm, s, when + emu_net_latency(m, own, chip), emu_clock_of(m, s->id));
      break;
    }
    case EMU_OP_FENCE:
      if (m->detailed && emu_detailed_waits(m, s)) return 0;
      if (s->complete > s->t) s->t = emu_align(m, s->complete);
      emu_charge(m, s, s->engine == ENGINE_DMA ? CAUSE_DRAM_LATENCY : CAUSE_OPERAND, s->t, s->engine == ENGINE_DMA ? CAUSE_DRAM_LATENCY : s->nature);
      s->fenced = s->clock;
      break;
    case EMU_OP_BAR:
      if (m->detailed && emu_detailed_waits(m, s)) return 0;
      rc = emu_barrier_arrive(m, s, sem); break;
  }
  if (rc < 0 || s->state != RUN) return rc;
  c[C_SYNC]++;
  if (m->memo) emu_memo_step(m, s, i);
  s->pc++;
  if (++m->syncs > m->c.max_instructions) return emu_fail(m, s, E_RUNAWAY, "more waits, signals and barriers than the limit of instructions", m->c.max_instructions, 0);
  return 0;
}

static int engine(emu_machine *m, emu_stream *s, emu_insn *i) {
  if (i->wait) {
    int rc = emu_sem_wait(m, s, i->wait, 1);
    if (rc < 0 || s->state != RUN) return rc;
  }
  s->clock++;
  int64_t *c = emu_counters(m, s);
  c[C_ENGINE]++;
  s->instructions++;
  int rc = i->op == EMU_OP_MM ? emu_issue_mm(m, s, i) : s->engine != ENGINE_DMA ? emu_issue_vec(m, s, i) : emu_is_net(i->op) ? emu_issue_net(m, s, i) : emu_issue_dma(m, s, i);
  if (rc < 0) return rc;
  s->t += m->issue_fs;
  if (m->memo) emu_memo_step(m, s, i);
  s->pc++;
  if (++m->instructions > m->c.max_instructions) return emu_fail(m, s, E_RUNAWAY, "more engine instructions than the limit", m->c.max_instructions, 0);
  return 0;
}

static int run_watched(emu_machine *m, emu_stream *s, const emu_insn *code, int32_t words, int64_t *spent) {
  return run_scalars(m, s, code, words, spent, m->watch, 0);
}

static int run_unwatched(emu_machine *m, emu_stream *s, const emu_insn *code, int32_t words, int64_t *spent) {
  return run_scalars(m, s, code, words, spent, NULL, 0);
}

/* The next word that is not scalar, for a stream that runs without time; NULL after an error. */
const emu_insn *emu_stream_next(emu_machine *m, emu_stream *s) {
  const emu_insn *code = m->code[s->kind];
  int64_t scalars = 0;
  if (run_scalars(m, s, code, m->words[s->kind], &scalars, NULL, 1) < 0) return NULL;
  s->scalars += scalars;
  return &code[s->pc];
}

int emu_stream_run(emu_machine *m, emu_stream *s) {
  emu_insn *code = m->code[s->kind];
  for (;;) {
    int64_t scalars = 0;
    int rc = (m->watch ? run_watched : run_unwatched)(m, s, code, m->words[s->kind], &scalars);
    if (rc < 0 || (scalars && (rc = spend_scalars(m, s, scalars)) < 0)) return rc;
    emu_insn *i = &code[s->pc];
    if (i->op == EMU_OP_HALT) {
      s->state = HALTED;
      return 0;
    }
    if (++m->polled >= 65536) {
      m->polled = 0;
      if (m->poll && m->poll(m->poll_arg)) return emu_fail(m, s, E_INTERRUPTED, "interrupted", 0, 0);
    }
    rc = i->op >= EMU_OP_WAIT && i->op <= EMU_OP_BAR ? sync(m, s, i) : i->op == EMU_OP_LDS ? load_index(m, s, i) : engine(m, s, i);
    if (rc < 0 || s->state != RUN) return rc;
    if (s->full) { /* until the consumer has been processed so far */
      s->state = ON_FULL;
      return 0;
    }
  }
}
