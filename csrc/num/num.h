/* Values: the numerics of emu in plain C. docs/machine.md, "Values", says what every bit must be. */
#ifndef EMU_NUM_H
#define EMU_NUM_H

#include <stdint.h>

#include "opcodes_gen.h"

/* A 4-D strided array: n[0] is innermost; s in bytes, s[0] too. fmt is an EMU_NUM_<format>.
 * Formats below 8 bits are packed: an innermost row begins at a byte and its elements lie bit behind bit; s[0] is not looked at. */
typedef struct {
    uint8_t *base;
    int32_t fmt;
    int32_t pad;
    int64_t n[4];
    int64_t s[4];
} emu_view;

/* order: 0 sequential, 1 block, 2 tree. acc_last joins the sum of the repeat to the accumulator once, at its end.
 * width: bits of an accumulator (1 + 8 + fraction), 0 and 32 are fp32. inner_bits: 0, or the fraction bits to which a block's terms are
 * aligned; truncate: towards zero, else to nearest even, both there and where results are fitted to the width. level_narrow.h says it all. */
typedef struct {
    int32_t order;
    int32_t block_k;
    int32_t acc_last;
    int32_t width;
    int32_t inner_bits;
    int32_t truncate;
} emu_accumulate;

/* Scales of a block-scaled mm: of a [m, blocks], of b [blocks, n] (bt: [n, blocks]); NULL where an operand has none. */
typedef struct {
    const emu_view *a, *b;
    int64_t block; /* elements of k that share a scale */
} emu_scales;

enum { EMU_NUM_OK = 0, EMU_NUM_UNSUPPORTED = -1, EMU_NUM_NO_MEMORY = -2, EMU_NUM_BAD_SHAPE = -3, EMU_NUM_FAILED = -4 };

/* One repeat of mm: acc[m,n] (+)= a[m,k] @ b[k,n] (b is [n,k] when bt). acc must not overlap a or b. m, n, k come from acc.n[1], acc.n[0], a.n[0]. */
int emu_num_mm(const emu_view *acc, const emu_view *a, const emu_view *b, int bt, int accumulate, const emu_accumulate *rule);

/* The same where blocks of k carry scales: each block is summed from +0 as `rule` says, its sum is multiplied by the (exact) product of the
 * two scales and rounded to fp32 once, and what results joins the accumulators in ascending order, or with acc_last their sum does at the end. */
int emu_num_mm_scaled(const emu_view *acc, const emu_view *a, const emu_view *b, const emu_scales *scales, int bt, int accumulate,
                      const emu_accumulate *rule);

/* One vec instruction other than vgather, which is a byte copy of the executor. Unused sources may be NULL.
 * vmac refuses a destination that names a cell twice or runs backwards.
 * Every source element is read before any destination element is written, so sources may overlap the destination. */
int emu_num_vec(int opcode, const emu_view *d, const emu_view *s1, const emu_view *s2, int flags, uint32_t scalar, int64_t diag,
                int64_t window, uint32_t seed);

/* A user's instruction. `fn` is given fp32: out (what d holds, where reads_d), a and, where there is a second source, b; it returns
 * EMU_USER_DONE, and anything else ends the run. Where `rows`, it is called once a row, each operand with its own n[0]; else with pieces of
 * a row in which n_out elements stand in a, b and out alike. Sources may overlap d, as in emu_num_vec. */
#define EMU_USER_DONE 1
typedef int64_t (*emu_user_fn)(float *out, int64_t n_out, const float *a, int64_t n_a, const float *b, int64_t n_b, float scalar);
typedef struct { emu_user_fn fn; int rows, reads_d; } emu_user;
int emu_num_user(const emu_user *user, const emu_view *d, const emu_view *s1, const emu_view *s2, int flags, uint32_t scalar, uint32_t seed);

/* Size of an element in bits, 0 for an unknown format; and in bytes, 1 for a packed format. */
static inline int emu_num_bits(int fmt) { return fmt >= 0 && fmt < EMU_NUM_FORMATS ? emu_num_format[fmt].bits : 0; }
static inline int emu_num_size(int fmt) { return (emu_num_bits(fmt) + 7) / 8; }
static inline int emu_num_packed(int fmt) { return emu_num_bits(fmt) < 8; }

/* Bytes from the start of an innermost row to its element i; i is a multiple of 8 where the format is packed. */
static inline int64_t emu_num_reach(const emu_view *v, int64_t i) { return emu_num_packed(v->fmt) ? i * emu_num_bits(v->fmt) / 8 : i * v->s[0]; }

/* Bytes of a row of n packed elements. */
static inline int64_t emu_num_row(int fmt, int64_t n) { return (n * emu_num_bits(fmt) + 7) / 8; }

/* Set round-to-nearest-even with subnormals kept, and restore the caller's mode. Every run of values stands between the two. */
uint64_t emu_num_enter(void);
void emu_num_leave(uint64_t saved);

/* The code level in use (0 portable, 1 x86-64-v3, 2 x86-64-v4). Bits are the same at each. Forcing one is for tests;
 * a level this processor lacks is refused. level < 0 returns to the best one. Returns the level now in use. */
int emu_num_level(void);
int emu_num_force_level(int level);

#endif
