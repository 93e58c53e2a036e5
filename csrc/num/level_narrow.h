/* Accumulators narrower than fp32, and blocks whose terms are aligned before they are added. One row of a tile. Part of level_body.h.
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

/* c (where it joins) and k products, aligned; fused 0: products are rounded to fp32 first. */
static void LEVEL(aligned)(const emu_accumulate *rule, int fused, int joins, int64_t k, const float *a, const float *b, float *c)
{
    int32_t top[EMU_COLUMNS];
    double scale[EMU_COLUMNS], total[EMU_COLUMNS];
    const int drop = 52 - (rule->width - 9);
    for (int j = 0; j < EMU_COLUMNS; j++) top[j] = joins ? LEVEL(exponent)(c[j]) : EMU_NO_EXPONENT;
    for (int64_t p = 0; p < k; p++) {
        int32_t e = LEVEL(exponent)(a[p]);
        for (int j = 0; j < EMU_COLUMNS; j++) {
            int32_t sum = e + LEVEL(exponent)(b[p * EMU_COLUMNS + j]);
            top[j] = sum > top[j] ? sum : top[j];
        }
    }
    for (int j = 0; j < EMU_COLUMNS; j++) {
        top[j] = top[j] < -1000 ? 0 : top[j];
        scale[j] = LEVEL(power)(rule->inner_bits - top[j]);
        double term = joins ? (double)c[j] * scale[j] : 0.0;
        total[j] = 0.0 + (rule->truncate ? __builtin_trunc(term) : __builtin_rint(term));
    }
    for (int64_t p = 0; p < k; p++)
        for (int j = 0; j < EMU_COLUMNS; j++) {
            double product = (double)a[p] * (double)b[p * EMU_COLUMNS + j];
            double term = (fused ? product : (double)(float)product) * scale[j];
            total[j] += rule->truncate ? __builtin_trunc(term) : __builtin_rint(term);
        }
    for (int j = 0; j < EMU_COLUMNS; j++) c[j] = LEVEL(fit_wide)(total[j] * LEVEL(power)(top[j] - rule->inner_bits), drop, rule->truncate);
}

static inline __attribute__((always_inline)) float LEVEL(step)(float x, float y, float sum, int fused)
{
#if EMU_FMA
    return fused ? __builtin_fmaf(x, y, sum) : sum + x * y;
#else
    return fused ? (float)((double)x * (double)y + (double)sum) : sum + x * y;
#endif
}

/* Ascending k, every sum fitted. */
static void LEVEL(fitted)(const emu_accumulate *rule, int fused, int64_t k, const float *a, const float *b, float *c)
{
    const int drop = 32 - rule->width, truncate = rule->truncate;
    for (int64_t p = 0; p < k; p++)
        for (int j = 0; j < EMU_COLUMNS; j++)
            c[j] = LEVEL(fit)(LEVEL(step)(a[p], b[p * EMU_COLUMNS + j], c[j], fused), drop, truncate);
}

static void LEVEL(fit_row)(const emu_accumulate *rule, float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) x[i] = LEVEL(fit)(x[i], 32 - rule->width, rule->truncate);
}

static void LEVEL(join)(const emu_accumulate *rule, float *c, const float *sum)
{
    for (int j = 0; j < EMU_COLUMNS; j++) c[j] = LEVEL(fit)(c[j] + sum[j], 32 - rule->width, rule->truncate);
}

/* As level->tree, every sum fitted. */
static void LEVEL(narrow_tree)(const emu_accumulate *rule, int64_t k, const float *a, const float *b, float *c)
{
    float part[48][EMU_COLUMNS];
    int depth = 0;
    for (int64_t p = 0; p < k; p++) {
        for (int j = 0; j < EMU_COLUMNS; j++) part[depth][j] = LEVEL(fit)(a[p] * b[p * EMU_COLUMNS + j], 32 - rule->width, rule->truncate);
        depth++;
        for (int64_t carry = p + 1; !(carry & 1); carry >>= 1, depth--) LEVEL(join)(rule, part[depth - 2], part[depth - 1]);
    }
    for (; depth > 1; depth--) LEVEL(join)(rule, part[depth - 2], part[depth - 1]);
    if (k) LEVEL(join)(rule, c, part[0]);
}

static void LEVEL(narrow)(const emu_accumulate *rule, int fused, int64_t k, const float *a, const float *b, float *c)
{
    float whole[EMU_COLUMNS] = {0}, block[EMU_COLUMNS], *to = rule->acc_last ? whole : c;
    const int64_t size = rule->order == 1 ? rule->block_k : k;
    if (rule->order == 2) {
        LEVEL(narrow_tree)(rule, k, a, b, c);
        return;
    }
    if (rule->order == 0) LEVEL(fitted)(rule, fused, k, a, b, to);
    for (int64_t p = 0; p < k && rule->order == 1; p += size) {
        const int64_t count = k - p < size ? k - p : size;
        if (rule->inner_bits && !rule->acc_last) {
            LEVEL(aligned)(rule, fused, 1, count, a + p, b + p * EMU_COLUMNS, c);
            continue;
        }
        memset(block, 0, sizeof block);
        if (rule->inner_bits) LEVEL(aligned)(rule, fused, 0, count, a + p, b + p * EMU_COLUMNS, block);
        else LEVEL(fitted)(rule, fused, count, a + p, b + p * EMU_COLUMNS, block);
        LEVEL(join)(rule, to, block);
    }
    if (rule->acc_last) LEVEL(join)(rule, c, whole);
}
