/* A DRAM system, request by request: what a device forbids is a table of rules, what a controller chooses is a policy, and no line here
   knows a device by name. Time is whole ticks of the device's own clock. docs/dram.md says which equations these are. */
#ifndef EMU_DRAM_H
#define EMU_DRAM_H

#include <stdint.h>

enum { DRAM_CHANNEL, DRAM_PSEUDO, DRAM_RANK, DRAM_GROUP, DRAM_BANK, DRAM_LEVELS };
/* The first six go to a bank, PREA and REF to all banks of a rank, REFB to a bank. */
enum { DRAM_ACT, DRAM_PRE, DRAM_RD, DRAM_WR, DRAM_RDA, DRAM_WRA, DRAM_PREA, DRAM_REF, DRAM_REFB, DRAM_COMMANDS };
enum { DRAM_OPEN, DRAM_CLOSED, DRAM_TIMEOUT };
enum { DRAM_NO_REFRESH, DRAM_ALL_BANK, DRAM_PER_BANK };
enum { DRAM_MAX_RULES = 1024, DRAM_MAX_WINDOWS = 32, DRAM_MAX_BANKS = 1024, DRAM_MAX_BITS = 48 };
#define DRAM_NEVER INT64_MAX
#define DRAM_LATEST (INT64_C(1) << 60)

/* `after` comes no earlier than `latency` ticks behind the `window`-th last `before` of the same node of the level; with `other`, of
   another node under the same parent. */
typedef struct {
  int32_t level, before, after, window, other;
  int64_t latency;
} emu_dram_rule;

typedef struct {
  int64_t count[DRAM_LEVELS]; /* nodes under a node of the level above; the channel's is how many there are */
  int64_t rows, columns;      /* of a bank; a column is what one burst moves */
  int64_t burst_bytes, burst_ticks, read_ticks, write_ticks; /* from RD or WR to the end of its data */
  int64_t align[DRAM_COMMANDS]; /* a command begins at a multiple of this, a power of two */
  int64_t refresh, interval;  /* kind; ticks between two refreshes of a rank */
} emu_dram_device;

typedef struct {
  int64_t reads, writes;  /* bursts a channel's queues hold */
  int64_t high, low;      /* writes queued that begin a drain, and that it leaves */
  int64_t patience;       /* reads served past waiting writes, after which they are drained */
  int64_t cap;            /* younger row hits served past the oldest burst of a bank */
  int64_t page, idle;     /* policy; ticks after which a row that nobody wants is closed */
} emu_dram_policy;

/* Bit j of a burst's place is the parity of its address and mask[j]; fields from the lowest: column, bank, group, rank, pseudo, row, channel. */
typedef struct {
  uint64_t mask[DRAM_MAX_BITS];
  int32_t bits, field[7];
} emu_dram_map;

typedef struct {
  int64_t tick;
  int32_t command, bank, channel, row; /* bank: number within the channel, of the first one where the command goes to a rank; row: -1 for none */
} emu_dram_issued;

typedef struct {
  int64_t id, arrived, admitted, done;
} emu_dram_done;

enum { DRAM_HITS, DRAM_MISSES, DRAM_CONFLICTS, DRAM_TURNS, DRAM_ACTIVE, DRAM_COUNTERS };

typedef struct emu_dram emu_dram;

/* NULL without memory. The tables are copied; the caller has checked them. */
emu_dram *emu_dram_new(const emu_dram_device *device, const emu_dram_rule *rules, int64_t count, const emu_dram_map *map,
                       const emu_dram_policy *policy, int trace);
void emu_dram_free(emu_dram *d);

/* A request of whole bursts, no earlier than any before it. Returns its id, -1 without memory, -2 if it lies outside the device, -3 if it is
   earlier than what was asked before or than what has been run. */
int64_t emu_dram_submit(emu_dram *d, int64_t tick, uint64_t address, int64_t bytes, int write);

/* Runs everything before `until`; with DRAM_NEVER until all requests are done. 0, -1 without memory, -2 when time would overflow. */
int emu_dram_advance(emu_dram *d, int64_t until);

/* The first tick at which something may happen. */
int64_t emu_dram_next(emu_dram *d);

/* Requests whose end is known and that were not taken yet, in no order; and the commands issued, where traced. */
int64_t emu_dram_done_count(const emu_dram *d);
const emu_dram_done *emu_dram_done_list(const emu_dram *d);
void emu_dram_done_clear(emu_dram *d);
int64_t emu_dram_issued_count(const emu_dram *d);
const emu_dram_issued *emu_dram_issued_list(const emu_dram *d);

/* Commands by kind, then the counters; DRAM_ACTIVE are ticks in which a rank had a row open, summed over ranks. */
void emu_dram_counters(const emu_dram *d, int64_t *commands, int64_t *counters);
int64_t emu_dram_now(const emu_dram *d);

/* For tests of single rules, on channel 0: notes a command as if it had been issued; the earliest tick of another. */
void emu_dram_force(emu_dram *d, int command, int32_t bank, int64_t tick);
int64_t emu_dram_earliest(const emu_dram *d, int command, int32_t bank);

#endif
