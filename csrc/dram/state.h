/* What a channel's controller remembers. */
#ifndef EMU_DRAM_STATE_H
#define EMU_DRAM_STATE_H

#include "dram.h"

enum { READS, WRITES, NONE = -1 };
enum { BANK_COMMANDS = DRAM_PREA, STRIDE = 12 }; /* commands that the queues give; spacing of the tables of earliest ticks */
enum { URGENT, COLUMN, ROW, TIDY };              /* classes of commands, by priority */

typedef struct {
  int64_t transaction, sequence;
  int32_t bank, row, next, previous, cost; /* cost: 0 found its row open, 1 had it opened, 2 had another one closed */
} burst;

typedef struct {
  int64_t tick, transaction;
  uint64_t place;
} arrival;

/* Bursts that wait for a place in the queue, in order. */
typedef struct {
  arrival *entries;
  int64_t first, count, room;
} fifo;

typedef struct {
  int32_t open, head[2], tail[2], count[2], hit[2]; /* hit: the oldest burst for the open row */
  int32_t bypassed[2], blocked, command, class;     /* what the bank would do next; blocked by a refresh */
  int64_t used, ready, sequence;                    /* last RD or WR; earliest tick by the bank's own rules; age of what it is for */
} bank;

typedef struct {
  int64_t due;
  uint64_t refreshed[DRAM_MAX_BANKS / 64]; /* banks of this round */
  int32_t pending, target, open, done;
  int64_t since;
} rank;

typedef struct {
  int64_t id, arrived, admitted, done, left;
} transaction;

typedef struct {
  int64_t now, next, next_due;
  int64_t *ready[DRAM_LEVELS], *past[DRAM_MAX_WINDOWS], *pasts[DRAM_MAX_WINDOWS]; /* past ticks of rules with a window, and how many */
  bank *banks;
  rank *ranks;
  uint32_t *active; /* banks of a group that would do something */
  burst *bursts;
  int32_t free[2], mode;
  int64_t queued[2], waited, left, sequence;
  fifo inbound[2];
  int64_t commands[DRAM_COMMANDS], counters[DRAM_COUNTERS];
} channel;

typedef struct {
  int32_t first, count;
} span;

struct emu_dram {
  emu_dram_device device;
  emu_dram_policy policy;
  emu_dram_rule *rules; /* sorted by what precedes */
  int32_t window[DRAM_MAX_RULES], windows; /* place of a rule's past in a channel */
  span of[DRAM_COMMANDS];
  int64_t nodes[DRAM_LEVELS]; /* in a channel */
  int32_t under[DRAM_LEVELS]; /* log2 of the banks of a node */
  uint64_t table[8][256];     /* a byte of the address to its part of the place */
  int32_t field[7], shift[7], trace, failed;
  channel *channels;
  transaction *transactions;
  int64_t transactions_room, free_transaction, ids, open, last;
  emu_dram_done *done;
  int64_t done_count, done_room;
  emu_dram_issued *issued;
  int64_t issued_count, issued_room;
};

typedef struct {
  int64_t tick, sequence;
  int32_t class, command, bank;
} choice;

static inline int64_t later(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t aligned(const emu_dram *d, int command, int64_t t) { return (t + d->device.align[command] - 1) & -d->device.align[command]; }
static inline int32_t node_of(const emu_dram *d, int level, int32_t b) { return b >> d->under[level]; }
static inline int32_t field(const emu_dram *d, uint64_t place, int f) {
  return (int32_t)(place >> d->shift[f] & ((UINT64_C(1) << d->field[f]) - 1));
}

void *emu_dram_grow(void *entries, int64_t *room, int64_t size);
uint64_t emu_dram_place(const emu_dram *d, uint64_t address);

/* rules.c */
void emu_dram_learn(const emu_dram *d, channel *c, int command, int32_t b, int64_t tick);
int64_t emu_dram_rank_ready(const emu_dram *d, const channel *c, int command, int32_t b);
int64_t emu_dram_bank_ready(const emu_dram *d, const channel *c, int command, int32_t b);

/* queue.c */
void emu_dram_consider(const emu_dram *d, channel *c, int32_t b);
void emu_dram_admit(emu_dram *d, channel *c);
void emu_dram_turn(const emu_dram *d, channel *c);
void emu_dram_serve(emu_dram *d, channel *c, int32_t b);
void emu_dram_opened(const emu_dram *d, channel *c, int32_t b, int32_t row);
void emu_dram_shut(const emu_dram *d, channel *c, int32_t b);

/* refresh.c */
void emu_dram_due(const emu_dram *d, channel *c);
void emu_dram_refreshes(const emu_dram *d, const channel *c, choice *best);
void emu_dram_refreshed(const emu_dram *d, channel *c, int command, int32_t b);

/* channel.c */
void emu_dram_run(emu_dram *d, channel *c, int64_t until);

#endif
