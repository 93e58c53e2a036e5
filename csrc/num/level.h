/* The hot loops, compiled once per code level: level_0.c portable, level_3.c x86-64-v3, level_4.c x86-64-v4.
 * A level file defines LEVEL(name) and includes level_body.h; everything else reaches the loops through struct emu_level. */
#ifndef EMU_NUM_LEVEL_H
#define EMU_NUM_LEVEL_H

#include "num.h"

#define EMU_CHUNK 256     /* elements of a row that the vector loops treat at a time; a multiple of EMU_LANES */
#define EMU_LANES 32      /* running sums of vrsum */
#define EMU_MAX_ROWS 12   /* largest tile of any level */
#define EMU_MAX_COLUMNS 32

/* Rows of a packed format begin at p and are dense: no stride is looked at. */
typedef void (*emu_load)(const uint8_t *p, int64_t stride, int64_t n, float *out);
/* k whole rows of `columns` contiguous elements, the panel of a tile */
typedef void (*emu_panel)(const uint8_t *p, int64_t row_stride, int64_t k, float *out);
typedef void (*emu_store)(uint8_t *p, int64_t stride, int64_t n, const float *in, int sat);
typedef void (*emu_unary)(float *restrict out, const float *restrict x, int64_t n);
typedef void (*emu_binary)(float *restrict out, const float *restrict x, const float *restrict y, int64_t n);

/* c[rows][columns] += a[rows][k] (row stride lda) * b[k][columns], k ascending, from c on; late: from +0, added to c at the end */
typedef void (*emu_chain)(int rows, int late, int64_t k, const float *a, int64_t lda, const float *b, float *c);

struct emu_level {
    int rows, columns;           /* tile of the chains */
    emu_load load[EMU_NUM_FORMATS];
    emu_panel panel[EMU_NUM_FORMATS];
    emu_store store[EMU_NUM_FORMATS];
    emu_chain fused;             /* one rounding per step; factors of at most 11 significant bits */
    emu_chain exact;             /* the same, where every product is exact in fp32 */
    emu_chain rounded;           /* product rounded, then sum rounded */
    void (*tree)(int64_t k, const float *a, const float *b, float *sum); /* one row: sum[columns] of the products, pairwise */
    /* a tile as emu_chain has it, as a rule with inner_bits or a width below 32 says (level_narrow.h) */
    void (*narrow)(const emu_accumulate *rule, int fused, int rows, int64_t k, const float *a, int64_t lda, const float *b, float *c);
    void (*fit)(const emu_accumulate *rule, float *x, int64_t n); /* to the width of accumulators */
    /* stochastic rounding to steps of 2^(exponent - mantissa), at least 2^least (level_dither.h); `index` is that of in[0] */
    void (*dither)(float *restrict out, const float *restrict in, int64_t n, int mantissa, int least, uint32_t seed, uint64_t index);
    emu_unary unary[256];        /* by opcode; NULL where there is none */
    emu_binary binary[256];
    void (*mac)(float *restrict out, const float *restrict c, const float *restrict x, const float *restrict y, int64_t n);
    void (*lanes)(float *restrict sums, const float *restrict x, int64_t n); /* sums[j % 32] += x[j] */
};

extern const struct emu_level emu_level_0;
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define EMU_X86_LEVELS 1
extern const struct emu_level emu_level_3, emu_level_4;
#endif

const struct emu_level *emu_num_current(void);

#endif
