/* Rows of vector operations over fp32 buffers. Part of level_body.h. */

#define EMU_UNARY(name, expression)                                                                        \
    static void LEVEL(row_##name)(float *restrict out, const float *restrict in, int64_t n)               \
    {                                                                                                      \
        for (int64_t i = 0; i < n; i++) {                                                                  \
            float x = in[i];                                                                               \
            out[i] = (expression);                                                                         \
        }                                                                                                  \
    }

#define EMU_BINARY(name, expression)                                                                                      \
    static void LEVEL(row_##name)(float *restrict out, const float *restrict a, const float *restrict b, int64_t n)      \
    {                                                                                                                     \
        for (int64_t i = 0; i < n; i++) {                                                                                 \
            float x = a[i], y = b[i];                                                                                     \
            out[i] = (expression);                                                                                        \
        }                                                                                                                 \
    }

EMU_UNARY(mov, x)
EMU_UNARY(neg, LEVEL(as_float)(LEVEL(as_bits)(x) ^ 0x80000000))
EMU_UNARY(abs, LEVEL(as_float)(LEVEL(as_bits)(x) & 0x7fffffff))
EMU_UNARY(exp, LEVEL(fn_exp)(x))
EMU_UNARY(exp2, LEVEL(fn_exp2)(x))
EMU_UNARY(log2, LEVEL(fn_log2)(x))
EMU_UNARY(sqrt, __builtin_sqrtf(x))
EMU_UNARY(rsqrt, 1.0f / __builtin_sqrtf(x))
EMU_UNARY(rcp, 1.0f / x)
EMU_UNARY(tanh, LEVEL(fn_tanh)(x))
EMU_UNARY(erf, LEVEL(fn_erf)(x))
EMU_UNARY(sigmoid, LEVEL(fn_sigmoid)(x))
EMU_UNARY(sin, LEVEL(fn_sin)(x))
EMU_UNARY(cos, LEVEL(fn_cos)(x))

EMU_BINARY(add, x + y)
EMU_BINARY(sub, x - y)
EMU_BINARY(mul, x * y)
EMU_BINARY(div, x / y)
/* x + y is a NaN whenever one of them is, and only then is it used. */
EMU_BINARY(max, x >= y ? x : (x < y ? y : x + y))
EMU_BINARY(min, x <= y ? x : (x > y ? y : x + y))
EMU_BINARY(ge, x >= y ? 1.0f : 0.0f)

static void LEVEL(row_mac)(float *restrict out, const float *restrict c, const float *restrict x, const float *restrict y, int64_t n)
{
    for (int64_t i = 0; i < n; i++) out[i] = c[i] + x[i] * y[i];
}

static void LEVEL(lanes)(float *restrict sums, const float *restrict x, int64_t n)
{
    int64_t whole = n - n % EMU_LANES;
    for (int64_t i = 0; i < whole; i += EMU_LANES)
        for (int j = 0; j < EMU_LANES; j++) sums[j] += x[i + j];
    for (int64_t i = whole; i < n; i++) sums[i - whole] += x[i];
}
