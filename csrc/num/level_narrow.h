/* Accumulators narrower than fp32, and blocks whose terms are aligned before they are added. Part of level_body.h.
 *
 * width w: a value keeps w - 9 fraction bits; every fp32 sum is fitted to that.
 * inner_bits f (blocks only): the products of a block, and with acc_first the accumulator, are exact; each is cut to a multiple of 2^(e - f), e
 * the largest exponent among them (a product's is the sum of its factors' exponents, no factor's is below -126, and zeros have none). Their
 * sum is exact, whatever its order, and is fitted to the accumulator's width once. */

#define EMU_NO_EXPONENT (-100000)

/* The low `drop` bits of a code go: cut off, or rounded to nearest even. What is not finite stays. */
static inline __attribute__((always_inline)) float LEVEL(fit)(float x, int drop, int truncate)
{
    uint32_t u = LEVEL(as_bits)(x), mask = (1u << drop) - 1;
    uint32_t more = truncate || !drop ? 0 : (mask >> 1) + (u >> drop & 1);
    return (u & 0x7fffffff) >= 0x7f800000 ? x : LEVEL(as_float)((u + more) & ~mask);
}

/* The same for an exact sum in double, which keeps 52 - drop fraction bits; then to fp32, where only subnormals round again. */
static inline __attribute__((always_inline)) float LEVEL(fit_wide)(double x, int drop, int truncate)
{
    uint64_t u, mask = (UINT64_C(1) << drop) - 1;
    memcpy(&u, &x, 8);
    uint64_t more = truncate ? 0 : (mask >> 1) + (u >> drop & 1), kept = (u + more) & ~mask;
    kept = (u & INT64_MAX) >= UINT64_C(0x7ff) << 52 ? u : kept;
    memcpy(&x, &kept, 8);
    return (float)x;
}

static inline __attribute__((always_inline)) int32_t LEVEL(exponent)(float x)
{
    int32_t field = (int32_t)(LEVEL(as_bits)(x) >> 23 & 0xff);
    return x == 0.0f ? EMU_NO_EXPONENT : (field ? field : 1) - 127;
}

static inline __attribute__((always_inline)) double LEVEL(power)(int32_t exponent)
{
    uint64_t u = (uint64_t)(1023 + exponent) << 52;
    double x;
    memcpy(&x, &u, 8);
    return x;
}

/* For every row c (where it joins) and k products, aligned; fused 0: products are rounded to fp32 first. */
static void LEVEL(aligned)(const emu_accumulate *rule, int fused, int joins, int rows, int64_t k, const float *a, int64_t lda, const float *b,
                           float *c)
{
    int32_t top[EMU_ROWS][EMU_COLUMNS];
    double scale[EMU_ROWS][EMU_COLUMNS], total[EMU_ROWS][EMU_COLUMNS];
    const int drop = 52 - (rule->width - 9), truncate = rule->truncate;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < EMU_COLUMNS; j++) top[i][j] = joins ? LEVEL(exponent)(c[i * EMU_COLUMNS + j]) : EMU_NO_EXPONENT;
    for (int64_t p = 0; p < k; p++) {
        int32_t across[EMU_COLUMNS];
        for (int j = 0; j < EMU_COLUMNS; j++) across[j] = LEVEL(exponent)(b[p * EMU_COLUMNS + j]);
        for (int i = 0; i < rows; i++) {
            const int32_t down = LEVEL(exponent)(a[i * lda + p]);
            for (int j = 0; j < EMU_COLUMNS; j++) top[i][j] = down + across[j] > top[i][j] ? down + across[j] : top[i][j];
        }
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < EMU_COLUMNS; j++) {
            top[i][j] = top[i][j] < -1000 ? 0 : top[i][j];
            scale[i][j] = LEVEL(power)(rule->inner_bits - top[i][j]);
            double term = joins ? (double)c[i * EMU_COLUMNS + j] * scale[i][j] : 0.0;
            total[i][j] = 0.0 + (truncate ? __builtin_trunc(term) : __builtin_rint(term));
        }
    for (int64_t p = 0; p < k; p++) {
        double wide[EMU_COLUMNS];
        for (int j = 0; j < EMU_COLUMNS; j++) wide[j] = (double)b[p * EMU_COLUMNS + j];
        for (int i = 0; i < rows; i++) {
            const double x = (double)a[i * lda + p];
            for (int j = 0; j < EMU_COLUMNS; j++) {
                double product = x * wide[j], term = (fused ? product : (double)(float)product) * scale[i][j];
                total[i][j] += truncate ? __builtin_trunc(term) : __builtin_rint(term);
            }
        }
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < EMU_COLUMNS; j++)
            c[i * EMU_COLUMNS + j] = LEVEL(fit_wide)(total[i][j] * LEVEL(power)(top[i][j] - rule->inner_bits), drop, truncate);
}

static inline __attribute__((always_inline)) float LEVEL(step)(float x, float y, float sum, int fused)
{
#if EMU_FMA
    return fused ? __builtin_fmaf(x, y, sum) : sum + x * y;
#else
    return fused ? (float)((double)x * (double)y + (double)sum) : sum + x * y;
#endif
}

/* Ascending k, every sum fitted. Rows beside each other hide what a step takes. */
static void LEVEL(fitted)(const emu_accumulate *rule, int fused, int rows, int64_t k, const float *a, int64_t lda, const float *b, float *c)
{
    const int drop = 32 - rule->width, truncate = rule->truncate;
    for (int64_t p = 0; p < k; p++)
        for (int i = 0; i < rows; i++) {
            const float x = a[i * lda + p];
            float *restrict to = c + i * EMU_COLUMNS;
            for (int j = 0; j < EMU_COLUMNS; j++) to[j] = LEVEL(fit)(LEVEL(step)(x, b[p * EMU_COLUMNS + j], to[j], fused), drop, truncate);
        }
}

static void LEVEL(fit_row)(const emu_accumulate *rule, float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) x[i] = LEVEL(fit)(x[i], 32 - rule->width, rule->truncate);
}

static void LEVEL(join)(const emu_accumulate *rule, int rows, float *c, const float *sum)
{
    for (int i = 0; i < rows * EMU_COLUMNS; i++) c[i] = LEVEL(fit)(c[i] + sum[i], 32 - rule->width, rule->truncate);
}

/* One row: as level->tree, every sum fitted. */
static void LEVEL(narrow_tree)(const emu_accumulate *rule, int64_t k, const float *a, const float *b, float *c)
{
    float part[48][EMU_COLUMNS];
    int depth = 0;
    for (int64_t p = 0; p < k; p++) {
        for (int j = 0; j < EMU_COLUMNS; j++) part[depth][j] = LEVEL(fit)(a[p] * b[p * EMU_COLUMNS + j], 32 - rule->width, rule->truncate);
        depth++;
        for (int64_t carry = p + 1; !(carry & 1); carry >>= 1, depth--) LEVEL(join)(rule, 1, part[depth - 2], part[depth - 1]);
    }
    for (; depth > 1; depth--) LEVEL(join)(rule, 1, part[depth - 2], part[depth - 1]);
    if (k) LEVEL(join)(rule, 1, c, part[0]);
}

static void LEVEL(narrow)(const emu_accumulate *rule, int fused, int rows, int64_t k, const float *a, int64_t lda, const float *b, float *c)
{
    float whole[EMU_ROWS * EMU_COLUMNS] = {0}, block[EMU_ROWS * EMU_COLUMNS], *to = rule->acc_last ? whole : c;
    if (rule->order == 2) {
        for (int i = 0; i < rows; i++) LEVEL(narrow_tree)(rule, k, a + i * lda, b, c + i * EMU_COLUMNS);
        return;
    }
    if (rule->order == 0) LEVEL(fitted)(rule, fused, rows, k, a, lda, b, to);
    for (int64_t p = 0; p < k && rule->order == 1; p += rule->block_k) {
        const int64_t count = k - p < rule->block_k ? k - p : rule->block_k;
        const int joins = rule->inner_bits && !rule->acc_last;
        float *sum = joins ? c : block;
        if (!joins) memset(block, 0, sizeof block);
        if (rule->inner_bits) LEVEL(aligned)(rule, fused, joins, rows, count, a + p, lda, b + p * EMU_COLUMNS, sum);
        else LEVEL(fitted)(rule, fused, rows, count, a + p, lda, b + p * EMU_COLUMNS, sum);
        if (!joins) LEVEL(join)(rule, rows, to, block);
    }
    if (rule->acc_last) LEVEL(join)(rule, rows, c, whole);
}
