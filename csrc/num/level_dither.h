/* Stochastic rounding: values moved onto the grid of a format, which then stores them exactly. Part of level_body.h. */

static inline __attribute__((always_inline)) uint32_t LEVEL(mix)(uint32_t x)
{
    x = (x ^ x >> 16) * 0x21f0aaadu;
    x = (x ^ x >> 15) * 0xd35a2d97u;
    return x ^ x >> 15;
}

/* Of the two neighbours of x on the grid, whose step is 2^(exponent of x - mantissa) but no less than 2^least, the one further from 0 where
 * the hash is below the fraction of the step, cut to 32 bits. */
static inline __attribute__((always_inline)) float LEVEL(to_grid)(float x, int mantissa, int least, uint32_t hash)
{
    uint32_t u = LEVEL(as_bits)(x), magnitude = u & 0x7fffffff, field = magnitude >> 23;
    int32_t exponent = (int32_t)(field ? field : 1) - 150; /* x = significand 2^exponent */
    uint64_t significand = (magnitude & 0x7fffff) | (field ? 0x800000u : 0);
    int32_t quantum = exponent + 23 - mantissa < least ? least : exponent + 23 - mantissa;
    int32_t drop = quantum - exponent < 0 ? 0 : quantum - exponent;
    drop = drop > 56 ? 56 : drop;
    uint64_t fixed = significand << 32 >> drop;
    uint32_t steps = (uint32_t)(fixed >> 32) + (hash < (uint32_t)fixed);
    int32_t step = exponent + drop;
    uint32_t power = step < -126 ? 1u << ((step + 149) & 31) : (uint32_t)(step + 127) << 23;
    float result = (float)(int32_t)steps * LEVEL(as_float)(power);
    return magnitude >= 0x7f800000 ? x : LEVEL(as_float)(LEVEL(as_bits)(result) | (u & 0x80000000));
}

static void LEVEL(dither)(float *restrict out, const float *restrict in, int64_t n, int mantissa, int least, uint32_t seed, uint64_t index)
{
    for (int64_t i = 0; i < n; i++) {
        uint64_t at = index + (uint64_t)i;
        out[i] = LEVEL(to_grid)(in[i], mantissa, least, LEVEL(mix)(LEVEL(mix)(seed + (uint32_t)(at >> 32)) ^ (uint32_t)at));
    }
}
