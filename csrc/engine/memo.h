/* What happened once from a state need not be simulated again (memo.c): stations are states that were passed, paths what led from each to
   the next. record.c notes both, memo.c walks them again. */
#ifndef EMU_MEMO_H
#define EMU_MEMO_H
#include "forward.h"

/* A word that is not scalar, as a stream came to it: enough to know its plan, and when it was issued. */
typedef struct { int32_t pc, shape[3], label, accumulate; int64_t scalars; } emu_step;
enum { CHARGE_NONE, CHARGE_PLAIN, CHARGE_TOKEN, CHARGE_BUSY };
/* The first time that was accounted for: how much, depends on when the stream began to wait, which may be long ago. */
typedef struct { int64_t until, data_end, start; int32_t label; uint8_t kind, cause, nature, before; } emu_first;
typedef struct {
  emu_step *steps;
  int64_t n, room, scalars;
  int32_t issued, exposed; /* exposed: a signal or barrier told others of an operation before the station */
  emu_first first;
} emu_path;

typedef struct { int64_t *where, by; } emu_added;
typedef struct { int32_t shape, accumulate; int64_t ring_size, ring_step; } emu_desc_seen;

/* Everything but `added` and the paths lies in one piece of memory, `piece`. */
typedef struct {
  int64_t hash, nwords, now, instructions, skipped, releases, total_bytes[VIAS];
  int64_t nactive, npending, next_start, nadded;
  int linked;                /* `path` leads here from the station before */
  void *piece;
  int64_t *words, *old;
  uint8_t *streams;          /* of each stream with words: all but its descriptors, of which only what can reach a time */
  emu_desc_seen *descs;
  emu_barrier *barriers;
  emu_sem *sems;             /* their rings stand in tokens and takes, one after another */
  emu_token *tokens;
  emu_take *takes;
  uint32_t *old_entries;
  emu_flow *flows;           /* active ones, then pending ones */
  int32_t *active, *pending;
  emu_path *path;
  emu_added *added;          /* what was counted on the way here */
} emu_station;

#define EMU_HEAD_BYTES ((offsetof(emu_stream, d) + 63) & ~(size_t)63)
/* What a station says of the stream at a place: everything before `d`. */
static inline const emu_stream *emu_seen(const emu_station *t, int64_t place) { return (const emu_stream *)(const void *)(t->streams + (size_t)place * EMU_HEAD_BYTES); }

#define EMU_STATIONS 512
struct emu_memo {
  emu_station stations[EMU_STATIONS];
  int count, broken;         /* broken: something was skipped since the last station */
  emu_path *path;            /* of each stream since the last station */
  emu_stream *again;         /* streams as they are when walked again */
  int64_t *counted;          /* all counters and stalls at the last station */
  int32_t *place;            /* of a stream among those with words, -1: none */
  int64_t nlive, ndescs;
  int64_t recorded_at, bytes, vain, horizon_fs;
};

static inline emu_step emu_step_of(const emu_stream *s, const emu_insn *i, int64_t scalars) {
  emu_step step = {s->pc, {0, 0, 0}, s->label, 0, scalars};
  if (i->op >= EMU_OP_WAIT && i->op <= EMU_OP_BAR) return step;
  step.shape[0] = s->d[i->d0].shape, step.shape[1] = s->d[i->d1].shape, step.shape[2] = s->d[i->d2].shape;
  step.accumulate = s->engine == ENGINE_MM && s->d[i->d0].f[AT_ACCUMULATE];
  return step;
}
/* record.c */
emu_memo *emu_memo_new(const emu_machine *m);
void emu_memo_free(const emu_machine *m, emu_memo *memo);
void emu_memo_step(emu_machine *m, emu_stream *s, const emu_insn *i);
void emu_memo_charge(emu_machine *m, const emu_stream *s, emu_first first);
int emu_memo_record(emu_machine *m, emu_forward *f, emu_memo *memo, int64_t hash);
int emu_memo_knows(const emu_memo *memo, int64_t hash);
/* memo.c: 1 if what followed this state once has now happened again */
int emu_memo_walk(emu_machine *m, emu_forward *f, emu_memo *memo, int64_t *hash);
#endif
