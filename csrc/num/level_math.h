/* Transcendental functions: fixed sequences of fp32 operations, the same as isa/oracle/transcendental.py. Part of level_body.h.
 * No operation may be reordered, fused or left out: tests compare every bit with the oracle. */

#define EMU_FN static inline __attribute__((always_inline)) float

/* p * 2^n for -252 < n < 256 in two exact steps, so that only the last one rounds (subnormal) or overflows. */
EMU_FN LEVEL(scale)(float p, int32_t n)
{
    int32_t half = n >> 1, rest = n - half;
    return p * LEVEL(as_float)((uint32_t)(half + 127) << 23) * LEVEL(as_float)((uint32_t)(rest + 127) << 23);
}

EMU_FN LEVEL(integer)(float x) { return (x + 0x1.8p23f) - 0x1.8p23f; }

EMU_FN LEVEL(fn_exp2)(float x)
{
    float c = x < -160.0f ? -160.0f : x;
    c = c > 130.0f ? 130.0f : c;
    c = c == c ? c : 0.0f;
    float n = LEVEL(integer)(c), f = c - n;
    float p = EMU_EXP2_5;
    p = p * f + EMU_EXP2_4;
    p = p * f + EMU_EXP2_3;
    p = p * f + EMU_EXP2_2;
    p = p * f + EMU_EXP2_1;
    p = p * f + EMU_EXP2_0;
    p = p * f + 1.0f;
    return x == x ? LEVEL(scale)(p, (int32_t)n) : x;
}

EMU_FN LEVEL(fn_exp)(float x)
{
    float c = x < -110.0f ? -110.0f : x;
    c = c > 90.0f ? 90.0f : c;
    c = c == c ? c : 0.0f;
    float n = LEVEL(integer)(c * EMU_LOG2E);
    float r = (c - n * EMU_LN2_HI) - n * EMU_LN2_LO;
    float p = EMU_EXP_4;
    p = p * r + EMU_EXP_3;
    p = p * r + EMU_EXP_2;
    p = p * r + EMU_EXP_1;
    p = p * r + EMU_EXP_0;
    p = (r * r * p + r) + 1.0f;
    return x == x ? LEVEL(scale)(p, (int32_t)n) : x;
}

EMU_FN LEVEL(fn_log2)(float x)
{
    float y = x < 0x1p-126f ? x * 0x1p24f : x;
    float extra = x < 0x1p-126f ? 24.0f : 0.0f;
    int32_t bits = (int32_t)LEVEL(as_bits)(y) - 0x3f3504f3;
    float e = (float)(bits >> 23) - extra;
    float f = LEVEL(as_float)((uint32_t)((bits & 0x7fffff) + 0x3f3504f3)) - 1.0f;
    float p = EMU_LOG2_9;
    p = p * f + EMU_LOG2_8;
    p = p * f + EMU_LOG2_7;
    p = p * f + EMU_LOG2_6;
    p = p * f + EMU_LOG2_5;
    p = p * f + EMU_LOG2_4;
    p = p * f + EMU_LOG2_3;
    p = p * f + EMU_LOG2_2;
    p = p * f + EMU_LOG2_1;
    p = p * f + EMU_LOG2_0;
    float result = f * p + e;
    result = x == LEVEL(as_float)(0x7f800000) ? x : result;
    result = x == 0.0f ? LEVEL(as_float)(0xff800000) : result;
    return x >= 0.0f ? result : LEVEL(as_float)(0x7fc00000);
}

EMU_FN LEVEL(fn_tanh)(float x)
{
    uint32_t sign = LEVEL(as_bits)(x) & 0x80000000;
    float t = LEVEL(as_float)(LEVEL(as_bits)(x) ^ sign), z = t * t;
    float p = EMU_TANH_4;
    p = p * z + EMU_TANH_3;
    p = p * z + EMU_TANH_2;
    p = p * z + EMU_TANH_1;
    p = p * z + EMU_TANH_0;
    float small = t * z * p + t;
    float large = 1.0f - 2.0f / (LEVEL(fn_exp)(t + t) + 1.0f);
    float result = t < 0.625f ? small : large;
    return LEVEL(as_float)(LEVEL(as_bits)(result) | sign);
}

EMU_FN LEVEL(fn_erf)(float x)
{
    uint32_t sign = LEVEL(as_bits)(x) & 0x80000000;
    float t = LEVEL(as_float)(LEVEL(as_bits)(x) ^ sign), z = t * t;
    float p = EMU_ERF_6;
    p = p * z + EMU_ERF_5;
    p = p * z + EMU_ERF_4;
    p = p * z + EMU_ERF_3;
    p = p * z + EMU_ERF_2;
    p = p * z + EMU_ERF_1;
    p = p * z + EMU_ERF_0;
    float small = t * p + t;
    float u = (t > 4.0f ? 4.0f : t) - 2.5f;
    float q = EMU_ERFC_9;
    q = q * u + EMU_ERFC_8;
    q = q * u + EMU_ERFC_7;
    q = q * u + EMU_ERFC_6;
    q = q * u + EMU_ERFC_5;
    q = q * u + EMU_ERFC_4;
    q = q * u + EMU_ERFC_3;
    q = q * u + EMU_ERFC_2;
    q = q * u + EMU_ERFC_1;
    q = q * u + EMU_ERFC_0;
    float large = 1.0f - LEVEL(fn_exp)(q);
    float result = t < 1.0f ? small : large;
    result = LEVEL(as_float)(LEVEL(as_bits)(result) | sign);
    return x == x ? result : x;
}

/* Both halves from e^-|x|, so that neither overflows. */
EMU_FN LEVEL(fn_sigmoid)(float x)
{
    float e = LEVEL(fn_exp)(LEVEL(as_float)(LEVEL(as_bits)(x) | 0x80000000));
    float top = x >= 0.0f ? 1.0f : e;
    return top / (1.0f + e);
}

static const uint32_t LEVEL(two_over_pi)[8] = EMU_TWO_OVER_PI;

/* |x| mod pi/2 by integers: x is m 2^(e-23); of the stream of 2/pi only the 96 bits that matter modulo 4 take part,
 * so the reduction is exact to 2^-62 for every fp32 value. Gives the quadrant and the remainder in [-pi/4, pi/4]. */
EMU_FN LEVEL(reduce)(float t, uint32_t *quadrant)
{
    uint32_t bits = LEVEL(as_bits)(t);
    bits = bits < 0x3f000000 ? 0x3f000000 : bits;
    bits = bits >= 0x7f800000 ? 0x3f000000 : bits;
    uint32_t start = (bits >> 23) - 120, word = start >> 5, shift = start & 31;
    uint64_t m = (bits & 0x7fffff) | 0x800000;
    uint64_t v0 = LEVEL(two_over_pi)[word], v1 = LEVEL(two_over_pi)[word + 1];
    uint64_t v2 = LEVEL(two_over_pi)[word + 2], v3 = LEVEL(two_over_pi)[word + 3];
    uint64_t p0 = (v0 << 32 | v1) << shift >> 32, p1 = (v1 << 32 | v2) << shift >> 32, p2 = (v2 << 32 | v3) << shift >> 32;
    uint64_t u = (m * p0 << 32) + m * p1 + (m * p2 >> 32);
    uint64_t q = (u + (1ULL << 61)) >> 62;
    float fraction = (float)(int64_t)(u - (q << 62));
    int large = t >= EMU_QUARTER_PI;
    *quadrant = large ? (uint32_t)q & 3 : 0;
    return large ? fraction * EMU_HALF_PI_HI + fraction * EMU_HALF_PI_LO : t;
}

/* sin (of quadrant 0 and 2) or cos of r, negated in quadrants 2 and 3 */
EMU_FN LEVEL(wave)(float r, uint32_t quadrant)
{
    float z = r * r;
    float s = EMU_SIN_2;
    s = s * z + EMU_SIN_1;
    s = s * z + EMU_SIN_0;
    s = r * z * s + r;
    float c = EMU_COS_2;
    c = c * z + EMU_COS_1;
    c = c * z + EMU_COS_0;
    c = (z * z * c - 0.5f * z) + 1.0f;
    float result = quadrant & 1 ? c : s;
    return LEVEL(as_float)(LEVEL(as_bits)(result) ^ (quadrant & 2) << 30);
}

EMU_FN LEVEL(fn_sin)(float x)
{
    uint32_t sign = LEVEL(as_bits)(x) & 0x80000000, quadrant;
    float t = LEVEL(as_float)(LEVEL(as_bits)(x) ^ sign);
    float r = LEVEL(reduce)(t, &quadrant);
    float result = LEVEL(as_float)(LEVEL(as_bits)(LEVEL(wave)(r, quadrant)) ^ sign);
    return t < LEVEL(as_float)(0x7f800000) ? result : LEVEL(as_float)(0x7fc00000);
}

EMU_FN LEVEL(fn_cos)(float x)
{
    uint32_t quadrant;
    float t = LEVEL(as_float)(LEVEL(as_bits)(x) & 0x7fffffff);
    float r = LEVEL(reduce)(t, &quadrant);
    float result = LEVEL(wave)(r, (quadrant + 1) & 3);
    return t < LEVEL(as_float)(0x7f800000) ? result : LEVEL(as_float)(0x7fc00000);
}
