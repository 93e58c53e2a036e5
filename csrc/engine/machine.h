/* The machine: configuration, state of streams, semaphores, memory. docs/machine.md says what each part means. */
#ifndef EMU_MACHINE_H
#define EMU_MACHINE_H
#include <stddef.h>
#include <stdint.h>
#include "isa_gen.h"
#include "num/num.h"

#define EMU_MAX_TOKENS 65535
#define EMU_TRANSFER_MAX (16ll << 20)
#define EMU_TIME_MAX (INT64_C(1) << 61) /* about 38 minutes of machine time */

enum emu_engine { ENGINE_MM, ENGINE_VEC, ENGINE_DMA, ENGINES };

/* Why an engine did not work; `direct` and `root` accounts use the same list (docs/machine.md). */
enum emu_cause {
  CAUSE_BUSY, CAUSE_OPERAND, CAUSE_DRAM_BANDWIDTH, CAUSE_DRAM_LATENCY, CAUSE_PORT, CAUSE_LOAD, CAUSE_NOC, CAUSE_BARRIER, CAUSE_ISSUE,
  CAUSE_MATRIX, CAUSE_VECTOR, CAUSE_NOT_STARTED, CAUSE_FINISHED, CAUSES
};

enum emu_counter {
  C_USEFUL_MACS, C_ARRAY_MACS = C_USEFUL_MACS + EMU_FMT_COUNT, C_VEC = C_ARRAY_MACS + EMU_FMT_COUNT,
  C_STATIONARY_BYTES = C_VEC + EMU_VEC_CLASSES, C_SRAM_READ, C_SRAM_WRITE, C_ACC_READ, C_ACC_WRITE, C_HBM_READ, C_HBM_WRITE, C_HBM_BURST,
  C_SHARED, C_NOC_BYTE_HOPS, C_SCALAR, C_ENGINE, C_DMA, C_SYNC, COUNTERS
};

enum emu_error {
  E_OK, E_MEMORY, E_BOUNDS, E_UNINIT, E_RACE, E_DEADLOCK, E_LEFTOVER, E_OVERFLOW, E_ILLEGAL, E_FORMAT, E_EXTENT, E_PORT, E_TIME, E_RUNAWAY, E_PC,
  E_INTERRUPTED, E_TRANSFER, E_INDEX, E_PRODUCER
};

/* The configuration, one line per field, so that the border (core.pyx) fills it by name: X(name) for a number, N(name, how many) for an array. */
#define EMU_CONFIG_FIELDS(X, N) \
  X(cores) X(period_fs) X(issue_cycles) \
  X(quantum_m) X(quantum_n) X(quantum_k) X(max_m) X(max_n) X(max_k) X(load_rows_per_clk) X(shadow) \
  X(fill_cycles) X(min_interval) X(fragment_m) X(fragment_n) N(macs_per_clk, EMU_FMT_COUNT) \
  X(accumulate_order) X(accumulate_block_k) X(accumulate_last) \
  X(vec_startup) N(vec_milli_per_clk, EMU_VEC_CLASSES) \
  N(port, ENGINES * EMU_SP_COUNT * 2) /* [engine][space][write], bytes per clock; 0: no such port */ \
  X(dma_start) X(dma_issue) X(dma_bytes_per_clk) X(dma_inflight) \
  X(hbm_bytes) X(hbm_bytes_per_s) X(hbm_latency_fs) X(access_bytes) X(sram_bytes) X(sram_latency) X(acc_bytes) \
  X(shared_bytes) X(shared_bytes_per_s) X(shared_latency_fs) X(cache_bytes) X(cache_latency_fs) X(noc_bytes_per_s) X(noc_hop_fs) X(noc_x) \
  X(sem_cycles) X(barrier_cycles) \
  X(ideal) X(values) X(check) X(trace_max) X(order_seed) X(max_instructions)
typedef struct {
#define X(name) int64_t name;
#define N(name, count) int64_t name[count];
  EMU_CONFIG_FIELDS(X, N)
#undef X
#undef N
} emu_config;

typedef struct { int64_t offset, bytes; int32_t space, role; } emu_buffer; /* role: index into ROLES of core.pyx */
enum emu_role { ROLE_IN, ROLE_WEIGHT, ROLE_INDEX, ROLE_INOUT, ROLE_OUT, ROLE_TEMP };

typedef struct {
  uint8_t op, d0, d1, d2, wait, signal, ra, rb, rd, field, engine_class, kinds;
  uint16_t flags;
  int32_t off, hint[3]; /* hint: the buffer the operand lay in last time */
  int64_t imm;
} emu_insn;

typedef struct { int64_t f[EMU_F_COUNT]; } emu_desc;

/* A token remembers the operation that made it, so that a stall can be followed to its root. */
typedef struct { int64_t time, data_end, start; int32_t count; int16_t stream; uint8_t nature, before; } emu_token;
typedef struct { emu_token *ring; uint32_t **clocks; int64_t head, size, capacity; int64_t count, initial; int32_t producer, waiter; int64_t need; } emu_sem;

typedef struct { int64_t left; int32_t start, end; } emu_loop;
typedef struct { int64_t lo, hi; } emu_span;
typedef struct { emu_span *v; int64_t n, cap; } emu_spans;
typedef struct emu_history emu_history;
typedef struct emu_cache emu_cache;

enum emu_block { RUN, ON_SEM, ON_BARRIER, ON_QUEUE, HALTED };

typedef struct {
  int32_t id, core, kind, engine, pc, sp, label, state, blocked_on;
  int64_t t;                 /* issue time of the next instruction */
  int64_t acct;              /* every femtosecond before this is accounted for */
  int64_t free_at;           /* the engine can take the next instruction */
  int64_t last_start;        /* mm: start of the last stream (shadow registers free from here) */
  int64_t complete;          /* completion of the last engine instruction, monotone */
  int64_t op_start, op_data_end; /* of the last engine instruction */
  uint8_t root, nature, started, last_cause;
  int64_t wait_done;         /* barrier released at, when woken */
  int64_t r[EMU_REGISTERS];
  emu_desc d[EMU_DESCRIPTORS];
  emu_loop loop[EMU_MAX_LOOPS];
  int64_t stall[CAUSES], root_stall[CAUSES];
  int64_t scalars, instructions;
  uint32_t clock, fenced;
} emu_stream;

typedef struct { int64_t participants, arrived, time, data_end, start; int32_t last; uint8_t nature, before; uint32_t *clock; uint32_t mask; } emu_barrier;
typedef struct { int64_t time; int32_t label, barrier; } emu_release;
typedef struct { int64_t start, end; int32_t core, stream, pc, label; } emu_record;

/* What a descriptor names: checked, with its longest contiguous runs. */
typedef struct { int64_t base, lo, hi, run, runs, bytes, elements; int64_t n[4], s[4]; int32_t fmt, space, core, buffer; } emu_operand;

/* A transfer in its data phase. Rates are in EMU_UNITS per byte so that equal shares of up to 15 are exact. */
#define EMU_UNITS INT64_C(360360000000) /* 10^6 x 360360: whole for bytes per nanosecond divided by up to 15 */
enum emu_global { VIA_NONE, VIA_HBM, VIA_SHARED, VIA_NOC, VIAS };
typedef struct {
  int64_t start, finish, left, rate, limit, alone, latency_fs, bytes;
  int32_t via, stream, pc, label, signal, cached; /* cached: 1 a read, 2 a write that passes the last-level cache */
  emu_operand memory;        /* its operand in device memory, looked up when the data phase starts */
  int32_t signal_first, signal_count, signal_step; /* multicast: the cores whose semaphore is signalled */
} emu_flow;

typedef struct { int32_t code, core, stream, pc, core2, stream2, pc2, space; int64_t lo, hi, lo2, hi2, a, b; char text[160]; } emu_failure;

typedef struct emu_machine {
  emu_config c;
  int64_t nbuffers, nlabels, nparams;
  emu_buffer *buffers;
  emu_insn *code[EMU_STREAM_COUNT];
  int32_t words[EMU_STREAM_COUNT];
  int64_t *params;           /* [index][core] */
  emu_stream *streams;       /* [core * EMU_STREAM_COUNT + kind] */
  emu_sem *sems;             /* [core * EMU_SEMAPHORES + id] */
  emu_barrier barriers[EMU_BARRIERS];
  emu_accumulate rule;
  uint8_t *hbm; int64_t hbm_span;
  uint8_t **sram, **acc, *shared; /* per core; NULL in timing-only runs */
  uint64_t *hbm_bits; int64_t hbm_bits_bytes, *unwritten; /* of device memory: a bit per 16 bytes; bytes of a buffer still to be written */
  emu_spans hbm_init, shared_init, *sram_init, *acc_init;
  emu_history *history;
  emu_cache *cache;
  int64_t *counters;         /* [label][COUNTERS] */
  int64_t *label_stalls;     /* [label][EMU_STREAM_COUNT][CAUSES] */
  emu_release *releases; int64_t nreleases, creleases;
  emu_record *records; int64_t nrecords, crecords;
  /* scheduler */
  int32_t *work; int64_t nwork, work_head; uint64_t random;
  emu_flow *flows;           /* one per stream */
  int32_t *active, *pending, *port_users; int64_t nactive, npending, now, capacity[VIAS], port_rate; int rates_stale;
  int64_t total_bytes[VIAS];
  int64_t end_time, instructions, polled;
  int (*poll)(void *); void *poll_arg;
  emu_failure fail;
} emu_machine;

/* lifetime.c */
int emu_machine_prepare(emu_machine *m);
void emu_machine_free(emu_machine *m);
/* run.c */
int emu_machine_run(emu_machine *m);
int emu_wake(emu_machine *m, emu_stream *s);
/* sequencer.c */
int emu_stream_run(emu_machine *m, emu_stream *s);
/* sync.c */
int emu_sem_signal(emu_machine *m, int core, int sem, int count, const emu_stream *from, int64_t time, const uint32_t *clock);
int emu_sem_wait(emu_machine *m, emu_stream *s, int sem, int count);
int emu_barrier_arrive(emu_machine *m, emu_stream *s, int id);
/* account.c */
void emu_charge(emu_machine *m, emu_stream *s, int cause, int64_t until, int root);
void emu_charge_token(emu_machine *m, emu_stream *s, int cause, int64_t until, int64_t data_end, int64_t start, int nature, int before);
void emu_busy(emu_machine *m, emu_stream *s, int64_t until);
int emu_record_op(emu_machine *m, const emu_stream *s, int64_t start, int64_t end, int pc, int label);
/* operand.c */
int emu_operand_resolve(emu_machine *m, emu_stream *s, emu_insn *i, int slot, const emu_desc *d, const int64_t *n, emu_operand *o);
uint8_t *emu_operand_data(emu_machine *m, const emu_operand *o);
int emu_access(emu_machine *m, emu_stream *s, const emu_operand *o, int write);
/* spans.c: sets of initialised bytes */
int emu_spans_has(const emu_spans *s, int64_t lo, int64_t hi);
int emu_spans_add(emu_spans *s, int64_t lo, int64_t hi);
int emu_hbm_mark(emu_machine *m, int buffer, int64_t lo, int64_t hi);
int emu_hbm_marked(const emu_machine *m, int64_t lo, int64_t hi);
/* cache.c */
int emu_cache_prepare(emu_machine *m);
void emu_cache_free(emu_machine *m);
int64_t emu_cache_touch(emu_machine *m, const emu_operand *o);
/* race.c */
int emu_race_prepare(emu_machine *m);
void emu_race_free(emu_machine *m);
int emu_race_access(emu_machine *m, emu_stream *s, int space, int core, int64_t lo, int64_t hi, int write);
uint32_t *emu_clock_of(emu_machine *m, int stream);
uint32_t *emu_clock_copy(emu_machine *m, const uint32_t *c);
void emu_clock_join(emu_machine *m, emu_stream *s, const uint32_t *c);
/* compute.c: time of mm and vec; transfer.c: dma */
int emu_issue_mm(emu_machine *m, emu_stream *s, emu_insn *i);
int emu_issue_vec(emu_machine *m, emu_stream *s, emu_insn *i);
int emu_issue_dma(emu_machine *m, emu_stream *s, emu_insn *i);
/* fluid.c: fair sharing */
void emu_fluid_submit(emu_machine *m, int stream);
int emu_fluid_step(emu_machine *m); /* 1 advanced, 0 nothing left, < 0 error */

/* decode.c */
int emu_decode(emu_machine *m, int kind, const uint64_t *words, int32_t count);
int emu_config_find(const char *name, int64_t *offset, int64_t *count);

int emu_fail(emu_machine *m, const emu_stream *s, int code, const char *text, int64_t a, int64_t b);

static inline int64_t emu_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t emu_align(const emu_machine *m, int64_t t) { return emu_ceil_div(t, m->c.period_fs) * m->c.period_fs; }
static inline int64_t *emu_counters(emu_machine *m, const emu_stream *s) { return m->counters + (int64_t)s->label * COUNTERS; }
#endif
