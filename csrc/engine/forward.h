/* What fast-forward's parts share: forward.c (search and skip), snapshot.c (states), tangent.c (loops whose registers change). */
#ifndef EMU_FORWARD_H
#define EMU_FORWARD_H
#include "machine.h"

#define EMU_STATES_KEPT 4 /* for each nest level */
#define EMU_STATES_SEEN 16
#define EMU_EAGER 2        /* config.forward: remember from the first instruction on, for tests */
#define EMU_LABELS_TOLD 64 /* operations told apart by the last bits of their label */

typedef struct {
  int64_t nwords, hash, releases, instructions, skipped, total_bytes[VIAS], now;
  int valid;
  int64_t *words, *counters, *label_stalls, *old, *taken; /* of each semaphore: tokens that only count, and all ever taken */
  emu_stream *streams;
  emu_barrier *barriers;
} emu_state;

struct emu_forward {
  uint32_t *live[EMU_STREAM_COUNT], used[EMU_STREAM_COUNT]; /* used: descriptors a stream's code names */
  emu_state kept[EMU_MAX_LOOPS + 1][EMU_STATES_KEPT];
  int next[EMU_MAX_LOOPS + 1], next_seen[EMU_MAX_LOOPS + 1];
  int64_t seen[EMU_MAX_LOOPS + 1][EMU_STATES_SEEN]; /* hashes */
  int32_t vain[EMU_MAX_LOOPS + 1][EMU_LABELS_TOLD], settles[EMU_MAX_LOOPS + 1][EMU_LABELS_TOLD];
  int32_t round[EMU_MAX_LOOPS + 1];    /* iterations since the loop around it went on; INT32_MIN: something was skipped since */
  int64_t listed[EMU_MAX_LOOPS + 1];   /* engine instructions run when one was */
  int64_t spent, nwords, room, *words, ncounters, nlabel_stalls, nstreams;
  int32_t anchor, hit, waited, last_sp;
  int64_t *old;                        /* of the state listed last */
  emu_loop last[EMU_MAX_LOOPS];
  emu_watch *watch;                    /* tangent.c's, also while nothing is watched */
  emu_state from;                      /* when the watch began */
  emu_memo *memo;                      /* memo.c's */
  int64_t watched_fs;                  /* the period that is expected to return */
  int watched_level;
};

static inline int64_t emu_live_streams(const emu_machine *m) { return m->c.cores * EMU_STREAM_COUNT; }
/* snapshot.c: what returns -1 has no memory */
int64_t emu_token_floor(const emu_machine *m, int64_t core);
int emu_list_machine(emu_machine *m, emu_forward *f);
int64_t emu_list_hash(const emu_forward *f);
int emu_keep_state(emu_machine *m, emu_forward *f, emu_state *k, int64_t hash);
void emu_free_state(emu_state *k);
int emu_same_words(const emu_forward *f, const int64_t *words, int64_t n);
int emu_same_state(const emu_forward *f, const emu_state *k);
int emu_set_words(emu_forward *f, const int64_t *words, int64_t n);
int64_t emu_state_words(const emu_machine *m, const emu_forward *f);
uint32_t emu_old_entries(const emu_machine *m, const emu_sem *q, int64_t floor);
/* forward.c */
int emu_releases_again(emu_machine *m, int64_t from, int64_t to, int64_t n, int64_t period);
/* tangent.c */
emu_watch *emu_watch_new(const emu_machine *m);
void emu_watch_free(emu_watch *w);
void emu_watch_begin(emu_machine *m, emu_watch *w, const emu_stream *earlier);
int64_t emu_watch_end(emu_machine *m, const emu_watch *w, const emu_stream *begin);
const int64_t *emu_watch_steps(const emu_watch *w, int64_t stream);
#endif
