/* Tiles of c[rows][columns] over k, k ascending for every element. Part of level_body.h. */

typedef float LEVEL(vf) __attribute__((vector_size(EMU_VECTOR)));
typedef float __attribute__((vector_size(EMU_VECTOR), aligned(4), may_alias)) LEVEL(vu);

static inline __attribute__((always_inline)) LEVEL(vf) LEVEL(splat)(float x) { return x - (LEVEL(vf)){0}; }

static inline __attribute__((always_inline)) LEVEL(vf) LEVEL(get)(const float *p) { return *(const LEVEL(vu) *)p; }

#if EMU_FMA && EMU_VECTOR == 64
#define EMU_FMADD(a, b, c) ((LEVEL(vf))_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#elif EMU_FMA && EMU_VECTOR == 32
#define EMU_FMADD(a, b, c) ((LEVEL(vf))_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#elif EMU_FMA
static inline __attribute__((always_inline)) LEVEL(vf) LEVEL(fmadd)(LEVEL(vf) a, LEVEL(vf) b, LEVEL(vf) c)
{
    for (int i = 0; i < EMU_LANES_OF_VECTOR; i++) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return c;
}
#define EMU_FMADD(a, b, c) LEVEL(fmadd)(a, b, c)
#else
/* The product of two 11-bit significands is exact in double, and rounding the sum there first does no harm:
 * where it is inexact in double, the smaller term is too small to reach a tie of fp32. */
static inline __attribute__((always_inline)) LEVEL(vf) LEVEL(fmadd)(LEVEL(vf) a, LEVEL(vf) b, LEVEL(vf) c)
{
    for (int i = 0; i < EMU_LANES_OF_VECTOR; i++) c[i] = (float)((double)a[i] * (double)b[i] + (double)c[i]);
    return c;
}
#define EMU_FMADD(a, b, c) LEVEL(fmadd)(a, b, c)
#endif

/* late: the sum runs from +0 and is added to c once, at its end. */
static inline __attribute__((always_inline)) void LEVEL(chain)(const int rows, const int fused, const int late, int64_t k, const float *a,
                                                               int64_t lda, const float *b, float *c)
{
    LEVEL(vf) sum[EMU_MAX_ROWS][2];
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < 2; v++)
            sum[i][v] = late ? (LEVEL(vf)){0} : LEVEL(get)(c + i * EMU_COLUMNS + v * EMU_LANES_OF_VECTOR);
    for (int64_t p = 0; p < k; p++, b += EMU_COLUMNS) {
        LEVEL(vf) b0 = LEVEL(get)(b), b1 = LEVEL(get)(b + EMU_LANES_OF_VECTOR);
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++) {
            LEVEL(vf) x = LEVEL(splat)(a[i * lda + p]);
            sum[i][0] = fused ? EMU_FMADD(x, b0, sum[i][0]) : sum[i][0] + x * b0;
            sum[i][1] = fused ? EMU_FMADD(x, b1, sum[i][1]) : sum[i][1] + x * b1;
        }
    }
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < 2; v++) {
            float *to = c + i * EMU_COLUMNS + v * EMU_LANES_OF_VECTOR;
            *(LEVEL(vu) *)to = late ? LEVEL(get)(to) + sum[i][v] : sum[i][v];
        }
}

#define EMU_CASE(n, fused)                                          \
    case n:                                                         \
        if (late) LEVEL(chain)(n, fused, 1, k, a, lda, b, c);       \
        else LEVEL(chain)(n, fused, 0, k, a, lda, b, c);            \
        break;
#if EMU_ROWS == 12
#define EMU_CASES(fused) EMU_CASE(1, fused) EMU_CASE(2, fused) EMU_CASE(3, fused) EMU_CASE(4, fused) EMU_CASE(5, fused) \
    EMU_CASE(6, fused) EMU_CASE(7, fused) EMU_CASE(8, fused) EMU_CASE(9, fused) EMU_CASE(10, fused) EMU_CASE(11, fused) EMU_CASE(12, fused)
#elif EMU_ROWS == 6
#define EMU_CASES(fused) EMU_CASE(1, fused) EMU_CASE(2, fused) EMU_CASE(3, fused) EMU_CASE(4, fused) EMU_CASE(5, fused) EMU_CASE(6, fused)
#else
#define EMU_CASES(fused) EMU_CASE(1, fused) EMU_CASE(2, fused) EMU_CASE(3, fused) EMU_CASE(4, fused)
#endif

static void LEVEL(chain_fused)(int rows, int late, int64_t k, const float *a, int64_t lda, const float *b, float *c)
{
    switch (rows) { EMU_CASES(1) }
}

static void LEVEL(chain_rounded)(int rows, int late, int64_t k, const float *a, int64_t lda, const float *b, float *c)
{
    switch (rows) { EMU_CASES(0) }
}

static void LEVEL(chain_exact)(int rows, int late, int64_t k, const float *a, int64_t lda, const float *b, float *c)
{
    (EMU_FMA ? LEVEL(chain_fused) : LEVEL(chain_rounded))(rows, late, k, a, lda, b, c);
}

/* Neighbours pairwise, as a binary counter: part[l] is the sum of 2^l products; what is left over joins from the right. */
static void LEVEL(tree)(int64_t k, const float *a, const float *b, float *sum)
{
    float part[48][EMU_COLUMNS];
    int depth = 0;
    for (int64_t p = 0; p < k; p++) {
        for (int j = 0; j < EMU_COLUMNS; j++) part[depth][j] = a[p] * b[p * EMU_COLUMNS + j];
        depth++;
        for (int64_t carry = p + 1; !(carry & 1); carry >>= 1, depth--)
            for (int j = 0; j < EMU_COLUMNS; j++) part[depth - 2][j] += part[depth - 1][j];
    }
    for (; depth > 1; depth--)
        for (int j = 0; j < EMU_COLUMNS; j++) part[depth - 2][j] += part[depth - 1][j];
    memcpy(sum, part[0], sizeof part[0]);
}
