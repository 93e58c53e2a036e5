/* The machine: configuration, state of streams, semaphores, memory. docs/machine.md says what each part means. */
#ifndef EMU_MACHINE_H
#define EMU_MACHINE_H
#include <stddef.h>
#include <stdint.h>
#include "isa_gen.h"
#include "num/num.h"

#define EMU_MAX_TOKENS 65535
#define OVERFLOW "semaphore overflow: more than 65535 tokens"
#define EMU_QUEUE_MAX 16
#define EMU_WARM 16
#define EMU_FS_PER_S INT64_C(1000000000000000)
#define EMU_TIERS 8
#define EMU_LEVEL_POOLS 64
#define EMU_PROTOCOLS 4 /* of net instructions: simple, ll, ll128, through the switch */
/* Rates of device memory by class (emu.machine.rates): lengths of contiguous runs (hbm_runs) from which on a byte costs less, hbm_cost
   [write][runs reached] in 65536ths, or 0 where all cost the same; and from so many bytes (hbm_sizes) on, by how much the last request of
   a transfer is answered later than a lone one in an idle memory. */
#define EMU_RUNS 3
#define EMU_SIZES 4
#define EMU_TRANSFER_MAX (16ll << 20)
#define EMU_TIME_MAX (INT64_C(1) << 61) /* about 38 minutes of machine time */

enum emu_engine { ENGINE_MM, ENGINE_VEC, ENGINE_DMA, ENGINES };

/* Why an engine did not work; `direct` and `root` accounts use the same list (docs/machine.md). */
enum emu_cause {
  CAUSE_BUSY, CAUSE_OPERAND, CAUSE_DRAM_BANDWIDTH, CAUSE_DRAM_LATENCY, CAUSE_PORT, CAUSE_LOAD, CAUSE_NOC, CAUSE_LINK, CAUSE_BARRIER, CAUSE_ISSUE,
  CAUSE_MATRIX, CAUSE_VECTOR, CAUSE_SHARED, CAUSE_DESCRIPTOR, CAUSE_BANK, CAUSE_NOT_STARTED, CAUSE_FINISHED, CAUSES
};

enum emu_counter {
  C_USEFUL_MACS, C_ARRAY_MACS = C_USEFUL_MACS + EMU_FMT_COUNT, C_VEC = C_ARRAY_MACS + EMU_FMT_COUNT,
  C_STATIONARY_BYTES = C_VEC + EMU_VEC_CLASSES, C_SRAM_READ, C_SRAM_WRITE, C_ACC_READ, C_ACC_WRITE, C_HBM_READ, C_HBM_WRITE, C_HBM_BURST,
  C_SHARED, C_NOC_BYTE_HOPS, C_LINK, C_USER_ELEMENTS, C_USER_FJ, C_SCALAR, C_ENGINE, C_DMA, C_SYNC, COUNTERS
};

enum emu_error {
  E_OK, E_MEMORY, E_BOUNDS, E_UNINIT, E_RACE, E_DEADLOCK, E_LEFTOVER, E_OVERFLOW, E_ILLEGAL, E_FORMAT, E_EXTENT, E_PORT, E_TIME, E_RUNAWAY, E_PC,
  E_INTERRUPTED, E_TRANSFER, E_INDEX, E_PRODUCER, E_SCALES, E_USER, E_ACCUMULATOR, E_LINK
};

/* Users' instructions (user.c): numbers about each opcode, and all their cost expressions one after another. */
#define EMU_USER_OPCODES (EMU_USER_OPCODE_LAST - EMU_USER_OPCODE_FIRST + 1)
#define EMU_USER_FIELDS 10
#define EMU_USER_CODE 4096

/* The configuration, one line per field, so that the border (core.pyx) fills it by name: X(name) for a number, N(name, how many) for an array. */
#define EMU_CONFIG_FIELDS(X, N) \
  X(cores) X(period_fs) X(issue_cycles) \
  X(quantum_m) X(quantum_n) X(quantum_k) X(max_m) X(max_n) X(max_k) X(load_rows_per_clk) X(shadow) \
  X(fill_cycles) X(staged_bytes) X(min_rows) X(drain_overlap) X(skew_m) X(skew_n) X(skew_cycles) X(streamed) X(min_interval) X(fragment_m) X(fragment_n) N(macs_per_clk, EMU_FMT_COUNT) \
  X(accumulate_order) X(accumulate_block_k) X(accumulate_last) \
  X(vec_startup) N(vec_milli_per_clk, EMU_VEC_CLASSES) \
  N(port, ENGINES * EMU_SP_COUNT * 2) /* [engine][space][write], bytes per clock; 0: no such port */ \
  X(dma_start) X(dma_issue) X(dma_queue) X(dma_bytes_per_clk) X(dma_inflight) X(dma_engines) X(dma_piece) X(dma_piece_cycles) X(dma_single) \
  X(hbm_bytes) X(hbm_bytes_per_s) N(hbm_runs, EMU_RUNS) N(hbm_cost, 2 * (EMU_RUNS + 1)) N(hbm_sizes, EMU_SIZES) N(hbm_late_fs, EMU_SIZES) X(hbm_latency_fs) X(access_bytes) X(sram_bytes) X(sram_latency) X(sram_banks) X(sram_bank_bytes) X(sram_bytes_per_clk) X(acc_bytes) \
  X(shared_bytes) X(shared_bytes_per_s) X(shared_latency_fs) \
  X(tiers) N(tier_bytes, EMU_TIERS) N(tier_line, EMU_TIERS) N(tier_cores, EMU_TIERS) /* that share an instance */ N(tier_bytes_per_s, EMU_TIERS) \
  N(tier_latency_fs, EMU_TIERS) N(tier_loads, EMU_TIERS) /* only scalar loads look there */ N(tier_back, EMU_TIERS) /* writes stay */ \
  X(noc_bytes_per_s) X(noc_hop_fs) X(noc_x) X(noc_y) X(noc_crossbar) X(noc_wraps) \
  X(sem_cycles) X(barrier_cycles) \
  N(scales, EMU_SCALES_COUNT) /* which the matrix engine takes */ X(accumulate_width) X(accumulate_inner_bits) X(accumulate_truncate) \
  N(user, EMU_USER_OPCODES * EMU_USER_FIELDS) N(user_code, EMU_USER_CODE) \
  N(warm, EMU_WARM) /* first byte and end of ranges that lie in the cache at first */ \
  X(chips) X(chip_span) /* chips that are simulated, each on cores / chips cores; bytes from one's device memory to the next's */ \
  X(net_chips) X(net_kind) N(net_dims, 3) X(net_wraps) X(net_bytes_per_s) X(net_hop_fs) X(net_domain) X(net_outer_bytes_per_s) X(net_outer_hop_fs) X(net_in_switch) \
  N(net_rate, EMU_PROTOCOLS) N(net_copy, EMU_PROTOCOLS) N(net_late_fs, EMU_PROTOCOLS) N(net_line, EMU_PROTOCOLS) N(net_flag, EMU_PROTOCOLS) /* bytes per second of a core, over links and here; bytes of a line, and of its flags */ \
  X(ideal) X(values) X(check) X(trace_max) X(order_seed) X(max_instructions) X(forward)
typedef struct {
#define X(name) int64_t name;
#define N(name, count) int64_t name[count];
  EMU_CONFIG_FIELDS(X, N)
#undef X
#undef N
} emu_config;

typedef struct { int64_t offset, bytes; int32_t space, role; } emu_buffer; /* role: index into ROLES of core.pyx */
enum emu_role { ROLE_IN, ROLE_WEIGHT, ROLE_INDEX, ROLE_INOUT, ROLE_OUT, ROLE_TEMP };
static inline int emu_given(const emu_buffer *u) { return u->space == EMU_SP_HBM && u->role <= ROLE_INOUT; } /* initialised by the caller */

typedef struct {
  uint8_t op, d0, d1, d2, wait, signal, ra, rb, rd, field;
  uint16_t flags;
  int32_t off, hint[5]; /* hint: the buffer the operand lay in last time; 3 and 4 are the scales of a and b */
  int64_t imm;
} emu_insn;

/* A descriptor's fields in the order in which they are used: what moves in a loop is one cache line. emu_field_place: from the id in a word. */
enum {
  AT_BASE, AT_RING_LO, AT_RING_SIZE, AT_RING_STEP, AT_ACCUMULATE, AT_SCALAR, AT_DIAG,
  AT_WINDOW, AT_SEED, AT_SCALE, AT_SPACE, AT_FMT, AT_CORE, AT_N0, AT_N1, AT_N2, AT_N3, AT_S0, AT_S1, AT_S2, AT_S3,
  AT_SCALES, AT_SCALE_S1, AT_SCALE_S2, AT_W0, AT_W1, AT_W2, AT_W3, AT_COUNT
};
#define AT_SHAPE_FIRST AT_SPACE /* these fields decide the shape of an access */
/* No time and no count depends on these fields: addresses (without a cache), and what only values see. */
static inline int emu_timeless(int at) { return at == AT_BASE || at == AT_RING_LO || at == AT_SCALAR || at == AT_DIAG || at == AT_WINDOW || at == AT_SEED || at == AT_SCALE; }
extern const uint8_t emu_field_place[EMU_F_COUNT];
/* shape: the number under which the fields of the shape are known (plan.c); 0: to be looked up. */
typedef struct { int32_t shape, pad; int64_t f[AT_COUNT]; } __attribute__((aligned(64))) emu_desc;

/* A token remembers the operation that made it, so that a stall can be followed to its root. */
typedef struct { int64_t time, data_end, start; int32_t count; int16_t stream; uint8_t nature, before; } emu_token;
typedef struct { int64_t time; int32_t count; } emu_take;
/* `count`: tokens signalled and not yet taken in the order of processing. `takes`: those taken later than the last signal, which at that
   signal's time were still there; so overflow is decided in time although streams run ahead of each other. */
typedef struct {
  emu_token *ring;
  emu_take *takes;
  uint32_t head, size, capacity, take_size;
  int32_t count, later, producer, waiter, need, full;
  int64_t last_signal;
  uint32_t take_head, take_capacity;
  uint32_t **clocks;
  int64_t initial, taken;
} __attribute__((aligned(64))) emu_sem;

typedef struct { int64_t left; int32_t start, end; } emu_loop;
typedef struct { int64_t lo, hi; } emu_span;
typedef struct { emu_span *v; int64_t n, cap, last; } emu_spans; /* last: where the last look-up ended */
typedef struct emu_history emu_history;
typedef struct emu_cache emu_cache;
typedef struct emu_forward emu_forward;
typedef struct emu_watch emu_watch;
typedef struct emu_memo emu_memo;
typedef struct emu_net emu_net;
typedef struct emu_detailed emu_detailed;

enum emu_block { RUN, ON_SEM, ON_BARRIER, ON_QUEUE, HALTED, ON_FULL, ON_MEMORY }; /* ON_MEMORY: a fence or barrier behind transfers (detailed.c) */
#define NO_LOOP (-1)

typedef struct {
  int32_t id, core, kind, engine, pc, sp, loop_end, label, state, blocked_on;
  int32_t full, full_pc;     /* semaphores that hold too many of this stream's tokens until their consumers are processed; who signalled last */
  uint8_t root, nature, started, last_cause;
  int64_t t;                 /* issue time of the next instruction */
  int64_t acct;              /* every femtosecond before this is accounted for */
  int64_t free_at;           /* the engine can take the next instruction */
  int64_t last_start;        /* mm: start of the last stream (shadow registers free from here) */
  int64_t complete;          /* completion of the last engine instruction, monotone */
  int64_t op_start, op_data_end; /* of the last engine instruction */
  int64_t begun[EMU_QUEUE_MAX]; /* dma: starts of the last data phases, in a ring; those before the last dma_queue are not looked at */
  int32_t begun_at;
  int64_t scalars, instructions;
  uint32_t clock, fenced;
  int64_t wait_done;         /* barrier released at, when woken */
  emu_loop loop[EMU_MAX_LOOPS];
  int64_t stall[CAUSES], root_stall[CAUSES];
  int64_t r[EMU_REGISTERS];
  emu_desc d[EMU_DESCRIPTORS];
} emu_stream;

typedef struct { int64_t participants, arrived, time, data_end, start; int32_t last; uint8_t nature, before; uint32_t *clock; uint32_t mask; } emu_barrier;
typedef struct { int64_t time; int32_t label, barrier; } emu_release;
typedef struct { int64_t start, end; int32_t core, stream, pc, label; } emu_record;

/* What a descriptor names, relative to its base: checked, with its longest contiguous runs. dense: its runs, in
   whatever order, fill [lo, hi) without a gap. peer: the core whose sram it is, chip: whose device memory, -1 the own. A row of a packed format moves as whole bytes:
   n[0] counts them, `row` its elements. */
typedef struct { int64_t n[4], s[4], lo, hi, run, runs, bytes, elements, row; int32_t fmt, space, peer, dense, chip; } emu_extent;
/* What is worked on of it, with masked lanes; elements of a row, whose bytes are row_bytes. */
typedef struct { int64_t n[4], row_bytes, elements; } emu_worked;
/* The same at a base: it lies in one buffer. */
typedef struct { const emu_extent *x; int64_t base, lo, hi; int32_t core, buffer; } emu_operand;

/* Everything about an engine instruction that does not depend on bases, worked out once for equal instructions of all cores (plan.c). */
typedef struct {
  uint32_t op, flags;
  int32_t shape[3];
  uint8_t used[3], reads_d;
  emu_extent x[3];           /* dma: destination, source, index */
  emu_worked worked[3];      /* mm and vec */
  int64_t m, n, k, rep;      /* mm */
  int64_t stream, load, port, ahead; /* mm: cycles of one repeat; ahead: until its stream has its first rows of a */
  int64_t macs, array_macs, sum_bytes, added_bytes; /* mm: of all repeats; sums written, and those read again among the repeats */
  int64_t fetched[3], written; /* vec and mm: bytes over the ports; written: of vec */
  int64_t bank;              /* vec: clocks of `port` that conflicts of banks cost */
  emu_extent scale[2];       /* mm: scales of a and b, if `block` elements of k share one and the extent has elements */
  int64_t block;
  int64_t elements, work;    /* vec */
  int64_t user_fj;           /* energy of a user's instruction */
  int64_t rows, pitch, bytes, read, write, moved, latency_fs, most; /* dma; rows of a gather or scatter; most: its rate by descriptors */
  int32_t via, cached, indexed, protocol;
} emu_plan;
typedef struct emu_plans emu_plans;

/* A transfer in its data phase. Rates are in EMU_UNITS per byte so that equal shares of up to 15 are exact. */
#define EMU_UNITS INT64_C(360360000000) /* 10^6 x 360360: whole for bytes per nanosecond divided by up to 15 */
enum emu_global { VIA_NONE, VIA_HBM, VIA_SHARED, VIA_NOC, VIA_NET, VIA_LEVEL, VIAS = VIA_LEVEL + EMU_LEVEL_POOLS };
/* VIA_NET: links.c, one pool for all chips; VIA_LEVEL: instances of cache levels, tier by tier */
typedef struct {
  int64_t left, since, limit, start; /* left: at `since` */
  int32_t via, stream;
  int64_t alone, latency_fs, bytes;
  int64_t most;              /* its rate by descriptors */
  int32_t late, own, held;   /* the cause that its latency is; the cause that limits it when nobody else does; whether its rate now is a share of `via` */
  int64_t squeezed;          /* time for which it was, until `since` */
  int32_t pc, label, signal, cached; /* cached: what passes the caches, an emu_pass */
  int32_t cost;              /* of a byte of device memory, in 65536ths; 0 for 1 */
  int32_t signal_first, signal_count, signal_step; /* multicast: the cores whose semaphore is signalled */
  int64_t planned, sram_unit; /* an engine instruction's end; bytes of the scratchpad's for one of its own, 0: it is not on it */
} __attribute__((aligned(64))) emu_flow;
enum emu_pass { PASS_NONE, PASS_READ, PASS_WRITE, PASS_LOAD, PASS_ENGINE }; /* PASS_LOAD: a scalar load, which its stream waits for; PASS_ENGINE: no transfer, sram.c */
/* Where the bytes of an access come from or stay: from[t] in tier t, from[tiers] in device memory; written: what had to leave for it. told: who
   wants to know which sectors those of device memory are. */
typedef struct { int64_t from[EMU_TIERS + 1], written; emu_detailed *told; } emu_found;
typedef struct emu_slot emu_slot;
typedef struct { emu_slot *slots; int64_t n, open, rate; uint64_t given; } emu_pool; /* fluid.c; open: transfers, each as often as cores it stands for */
typedef struct { int64_t base; emu_extent extent; } emu_touch; /* what it touches in device memory, looked up when its data phase starts */

typedef struct { int32_t code, core, stream, pc, core2, stream2, pc2, space; int64_t lo, hi, lo2, hi2, a, b; char text[160]; } emu_failure;

typedef struct emu_machine {
  emu_config c;
  emu_op_info_t user_info[EMU_USER_OPCODES];
  int64_t nbuffers, nlabels, nparams;
  emu_buffer *buffers;
  emu_insn *code[EMU_STREAM_COUNT];
  int32_t words[EMU_STREAM_COUNT];
  int64_t *params;           /* [index][core] */
  emu_stream *streams;       /* [core * EMU_STREAM_COUNT + kind] */
  emu_sem *sems;             /* [core * nsems + slot[id]] */
  int64_t nsems; uint8_t sem_slot[EMU_SEMAPHORES], sem_declared[EMU_SEMAPHORES];
  emu_plans *plans; int64_t forgotten; /* how often all shapes were */
  uint64_t period_inverse;   /* floor(2^64 / period) */
  int64_t issue_fs;
  emu_barrier barriers[EMU_BARRIERS], *far_barriers; int32_t nbarriers; /* of the first chip, and of the others; up to the last in use */
  emu_accumulate rule;
  uint8_t *hbm; int64_t hbm_span;
  uint8_t **sram, **acc, *shared; /* per core; NULL in timing-only runs */
  uint64_t *hbm_bits; int64_t hbm_bits_bytes, *unwritten; /* of device memory: a bit per 16 bytes; bytes of a buffer still to be written */
  emu_spans hbm_init, shared_init, *sram_init, *acc_init;
  emu_history *history;
  emu_cache *cache;
  emu_detailed *detailed;    /* device memory in `detailed` (detailed.h); NULL otherwise */
  int64_t *counters, counter_stride; /* [core][label][COUNTERS] of a folded run; otherwise all cores share [label][COUNTERS], stride 0 */
  int64_t *weight;           /* cores that a simulated one stands for; 1 unless folded */
  int folded, unchecked;     /* unchecked: what was skipped or folded was not written, so nobody asks any more whether bytes were */
  emu_forward *forward; int64_t skipped;
  emu_watch *watch;          /* while a period is watched (tangent.c) */
  emu_memo *memo;            /* while what happens is remembered (record.c) */
  int64_t *label_stalls;     /* [label][EMU_STREAM_COUNT][CAUSES] */
  emu_release *releases; int64_t nreleases, creleases;
  emu_record *records; int64_t nrecords, crecords;
  /* scheduler */
  int32_t *work; int64_t nwork, work_head; uint64_t random;
  emu_flow *flows;           /* one per stream */
  emu_touch *touches;        /* the same, if there is a cache */
  int32_t vias, tier_via[EMU_TIERS]; /* pools in use of a chip; the pool of a tier's first instance; VIA_NONE: it has none */
  emu_pool *pools;           /* [chip][vias] */
  int64_t chip_cores;
  emu_net *net;              /* links, if net instructions are run */
  int32_t *active, *pending, *port_users; int64_t nactive, npending, now, next_start, next_finish, capacity[VIAS], port_share[EMU_STREAM_COUNT + 1], dma_rate, little_latency, little_rate; int rates_stale;
  int64_t sram_rate, *sram_level; /* if engines share a scratchpad: what it gives, what each may take of it on a core (sram.c) */
  int64_t total_bytes[VIAS];
  int64_t end_time, instructions, syncs, polled;
  int (*poll)(void *); void *poll_arg;
  emu_failure fail;
} emu_machine;

/* lifetime.c */
int emu_machine_prepare(emu_machine *m);
void *emu_lines(size_t bytes);
void emu_machine_free(emu_machine *m);
/* run.c */
int emu_machine_run(emu_machine *m);
int emu_wake(emu_machine *m, emu_stream *s);
/* sequencer.c */
int emu_stream_run(emu_machine *m, emu_stream *s);
const emu_insn *emu_stream_next(emu_machine *m, emu_stream *s);
/* sync.c */
int emu_sem_signal(emu_machine *m, int core, int sem, int count, emu_stream *from, int64_t time, const uint32_t *clock);
int emu_sem_wait(emu_machine *m, emu_stream *s, int sem, int count);
int emu_overflows(emu_machine *m, const emu_stream *from, int sem);
int emu_barrier_arrive(emu_machine *m, emu_stream *s, int id);
/* account.c */
void emu_charge(emu_machine *m, emu_stream *s, int cause, int64_t until, int root);
void emu_charge_token(emu_machine *m, emu_stream *s, int cause, int64_t until, int64_t data_end, int64_t start, int nature, int before);
void emu_busy(emu_machine *m, emu_stream *s, int64_t until);
int emu_record_op(emu_machine *m, const emu_stream *s, int64_t start, int64_t end, int pc, int label);
/* plan.c */
int emu_plans_prepare(emu_machine *m);
void emu_plans_free(emu_machine *m);
int32_t emu_shape_of(emu_machine *m, emu_desc *d);
int emu_worked_of(emu_machine *m, emu_stream *s, int slot, const emu_desc *d, emu_plan *p);
int emu_vec_ports(emu_machine *m, emu_stream *s, emu_plan *p);
const emu_plan *emu_plan_of(emu_machine *m, emu_stream *s, const emu_insn *i);
/* user.c */
void emu_users_declare(emu_machine *m);
int emu_plan_user(emu_machine *m, emu_stream *s, const emu_insn *i, emu_plan *p);
emu_user emu_user_of(const emu_machine *m, const emu_insn *i, const emu_plan *p);
static inline const emu_op_info_t *emu_info(const emu_machine *m, unsigned op) { return op < EMU_USER_OPCODE_FIRST ? &emu_op_info[op] : &m->user_info[op - EMU_USER_OPCODE_FIRST]; }
/* operand.c */
int emu_extent_of(emu_machine *m, emu_stream *s, int slot, const emu_desc *d, const int64_t *n, emu_extent *x);
int emu_operand_find(emu_machine *m, emu_stream *s, emu_insn *i, int slot, emu_operand *o);
uint8_t *emu_operand_data(emu_machine *m, const emu_operand *o);
enum emu_how { EMU_READ, EMU_WRITE, EMU_ADD }; /* EMU_ADD: the read of what a product is added to */
int emu_access(emu_machine *m, emu_stream *s, const emu_operand *o, int how);
/* spans.c: sets of initialised bytes */
int emu_spans_has(emu_spans *s, int64_t lo, int64_t hi);
int emu_spans_add(emu_spans *s, int64_t lo, int64_t hi);
int emu_hbm_mark(emu_machine *m, int buffer, int64_t lo, int64_t hi);
int emu_hbm_marked(emu_machine *m, int64_t lo, int64_t hi);
/* cache.c */
int emu_cache_prepare(emu_machine *m);
void emu_cache_free(emu_machine *m);
int emu_cache_touch(emu_machine *m, int core, const emu_extent *x, int64_t base, int pass, emu_found *found);
/* race.c */
int emu_race_prepare(emu_machine *m);
void emu_race_free(emu_machine *m);
int emu_race_access(emu_machine *m, emu_stream *s, int space, int core, int fmt, int64_t lo, int64_t hi, int how);
uint32_t *emu_clock_of(emu_machine *m, int stream);
uint32_t *emu_clock_copy(emu_machine *m, const uint32_t *c);
void emu_clock_join(emu_machine *m, emu_stream *s, const uint32_t *c);
/* compute.c: time of mm, of vec and of users' instructions; transfer.c: dma */
int emu_issue_mm(emu_machine *m, emu_stream *s, emu_insn *i);
int emu_issue_vec(emu_machine *m, emu_stream *s, emu_insn *i);
int emu_issue_dma(emu_machine *m, emu_stream *s, emu_insn *i);
void emu_issue_load(emu_machine *m, emu_stream *s, const emu_insn *i);
void emu_bound_flow(emu_machine *m, emu_flow *f);
int64_t emu_rate_of(int64_t bytes, int64_t fs);
/* net.c: remote DMA; links.c: the links it goes over */
int emu_plan_net(emu_machine *m, emu_stream *s, const emu_insn *i, emu_plan *p);
int emu_issue_net(emu_machine *m, emu_stream *s, emu_insn *i);
int emu_net_prepare(emu_machine *m);
void emu_net_free(emu_machine *m);
int64_t emu_net_latency(const emu_machine *m, int64_t from, int64_t to);
void emu_net_begin(emu_machine *m, const emu_stream *s);
int emu_net_over(emu_machine *m, const emu_stream *s, int64_t from, int64_t to, int reverse);
int emu_net_switch(emu_machine *m, const emu_stream *s, int64_t chip, int ingress);
int emu_net_memory(emu_machine *m, const emu_stream *s, int64_t chip);
int64_t emu_net_alone(const emu_machine *m, int stream, int64_t limit);
void emu_net_count(emu_machine *m, const emu_stream *s, int64_t bytes);
void emu_net_rates(emu_machine *m);
int64_t emu_net_rate(const emu_machine *m, int stream);
int64_t emu_net_on_memory(const emu_machine *m, int64_t chip);
int64_t emu_net_least_time(const emu_machine *m);
int64_t emu_net_links(const emu_machine *m);
int64_t emu_net_link_bytes(const emu_machine *m, int64_t link);
/* fluid.c: fair sharing */
int emu_fluid_prepare(emu_machine *m);
void emu_fluid_free(emu_machine *m);
int32_t emu_pool_stream(const emu_pool *p, int64_t at);
int64_t emu_pool_limit(const emu_pool *p, int64_t at);
void emu_fluid_submit(emu_machine *m, int stream);
void emu_fluid_settle(emu_machine *m);
void emu_fluid_restore(emu_machine *m);
int emu_by_number(const void *a, const void *b); /* of streams, for qsort */
int emu_fluid_step(emu_machine *m); /* 1 advanced, 0 nothing left, < 0 error */
int64_t emu_fluid_next(emu_machine *m); /* when a transfer starts or ends next: INT64_MAX for none, < 0 error */
int emu_fluid_pass(emu_machine *m, int64_t until); /* time passes, no further than to there */
int emu_flow_ended(emu_machine *m, emu_flow *f);
int64_t emu_fluid_pace(emu_machine *m, const emu_flow *f); /* what its core's port and scratchpad leave it */

/* sram.c: the scratchpad's banks, and its engines together */
int64_t emu_bank_conflict(const emu_machine *m, const emu_extent *x, int64_t bytes_per_clk);
int emu_sram_prepare(emu_machine *m);
void emu_sram_free(emu_machine *m);
int64_t emu_sram_fill(int64_t rate, const int64_t *wants, int n);
int emu_sram_submit(emu_machine *m, emu_stream *s, const emu_insn *i, int64_t start, int64_t end, int64_t bytes);
int emu_sram_finish(emu_machine *m, emu_stream *s, const emu_flow *f);

/* relevance.c: which registers can matter to a time; forward.c: exact fast-forward of loops */
int emu_relevance(const emu_insn *code, int32_t words, uint32_t *live, uint8_t *params, int64_t nparams);
int emu_chip_relevance(const emu_insn *code, int32_t words, uint32_t *live, uint8_t *params, uint8_t *peers, int64_t nparams);
int emu_forward_prepare(emu_machine *m);
void emu_forward_free(emu_machine *m);
void emu_forward_note(emu_machine *m, const emu_stream *s);
int emu_forward_try(emu_machine *m);
void emu_watch_word(emu_watch *w, const emu_stream *s, const emu_insn *i);

/* decode.c */
int emu_decode(emu_machine *m, int kind, const uint64_t *words, int32_t count);
int emu_config_find(const char *name, int64_t *offset, int64_t *count);

int emu_fail(emu_machine *m, const emu_stream *s, int code, const char *text, int64_t a, int64_t b);

static inline int64_t emu_chip_of(const emu_machine *m, int64_t core) { return m->c.chips > 1 ? core / m->chip_cores : 0; }
static inline int emu_is_net(int op) { return op >= EMU_OP_PUT && op <= EMU_OP_GETR; }
/* Where a space of a chip begins in what holds that of all chips. */
static inline int64_t emu_chip_offset(const emu_machine *m, int space, int64_t core) {
  if (m->c.chips <= 1) return 0;
  return space == EMU_SP_HBM ? emu_chip_of(m, core) * m->c.chip_span : space == EMU_SP_SHARED ? emu_chip_of(m, core) * m->c.shared_bytes : 0;
}
static inline emu_barrier *emu_barrier_at(emu_machine *m, int64_t core, int id) {
  const int64_t chip = emu_chip_of(m, core);
  return chip ? &m->far_barriers[(chip - 1) * EMU_BARRIERS + id] : &m->barriers[id];
}
static inline int64_t emu_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
/* The first clock edge at or after t >= 0. The quotient by multiplication is at most one too small. */
static inline int64_t emu_align(const emu_machine *m, int64_t t) {
  const uint64_t p = (uint64_t)m->c.period_fs, at = (uint64_t)t + p - 1;
  uint64_t q = (uint64_t)(((unsigned __int128)at * m->period_inverse) >> 64);
  if (at - q * p >= p) q++;
  return (int64_t)(q * p);
}
static inline emu_sem *emu_sem_at(emu_machine *m, int64_t core, int id) { return &m->sems[core * m->nsems + m->sem_slot[id]]; }
/* The core whose memory an extent names; when chips are folded every chip is the first. */
static inline int32_t emu_core_named(const emu_machine *m, const emu_stream *s, const emu_extent *x) {
  if (x->peer >= 0) return (int32_t)(emu_chip_of(m, s->core) * m->chip_cores + x->peer);
  return (int32_t)(m->c.chips > 1 ? x->chip * m->chip_cores + s->core % m->chip_cores : s->core);
}
/* The operand at a base: bounds first against the buffer it lay in last time. */
static inline int emu_operand_at(emu_machine *m, emu_stream *s, emu_insn *i, int slot, const emu_extent *x, int64_t base, emu_operand *o) {
  const emu_buffer *u = &m->buffers[i->hint[slot]];
  o->x = x;
  o->base = base;
  o->core = x->peer < 0 && x->chip < 0 ? s->core : emu_core_named(m, s, x);
  if (x->elements && base >= 0 && base < INT64_C(1) << 52) {
    o->lo = base + x->lo;
    o->hi = base + x->hi;
    o->buffer = i->hint[slot];
    if (u->space == x->space && o->lo >= u->offset && o->hi <= u->offset + u->bytes) return 0;
  }
  return emu_operand_find(m, s, i, slot, o);
}
static inline int64_t *emu_counters(emu_machine *m, const emu_stream *s) { return m->counters + s->core * m->counter_stride + (int64_t)s->label * COUNTERS; }
#endif
