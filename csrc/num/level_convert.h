/* Rows of each format to fp32 and back. Part of level_body.h. */

/* The contiguous case gets a constant stride so that it vectorises; broadcast reads once. */
#define EMU_LOADER(name, size, expression)                                                                     \
    static void LEVEL(load_##name)(const uint8_t *p, int64_t stride, int64_t n, float *restrict out)           \
    {                                                                                                          \
        if (stride == (size)) {                                                                                \
            for (int64_t i = 0; i < n; i++) {                                                                  \
                const uint8_t *q = p + i * (size);                                                             \
                out[i] = (expression);                                                                         \
            }                                                                                                  \
        } else if (stride == 0 && n > 0) {                                                                     \
            const uint8_t *q = p;                                                                              \
            float value = (expression);                                                                        \
            for (int64_t i = 0; i < n; i++) out[i] = value;                                                    \
        } else {                                                                                               \
            for (int64_t i = 0; i < n; i++) {                                                                  \
                const uint8_t *q = p + i * stride;                                                             \
                out[i] = (expression);                                                                         \
            }                                                                                                  \
        }                                                                                                      \
    }                                                                                                          \
    static void LEVEL(panel_##name)(const uint8_t *p, int64_t row_stride, int64_t k, float *restrict out)      \
    {                                                                                                          \
        for (int64_t row = 0; row < k; row++, p += row_stride, out += EMU_COLUMNS)                             \
            for (int i = 0; i < EMU_COLUMNS; i++) {                                                            \
                const uint8_t *q = p + i * (size);                                                             \
                out[i] = (expression);                                                                         \
            }                                                                                                  \
    }

#define Q16 (*(const LEVEL(u16) *)q)
#define Q32 (*(const LEVEL(u32) *)q)

static inline __attribute__((always_inline)) float LEVEL(half)(uint32_t h)
{
    uint32_t magnitude = (h & 0x7fff) << 13, sign = (h & 0x8000) << 16;
    float subnormal = LEVEL(as_float)(magnitude + (113u << 23)) - LEVEL(as_float)(113u << 23);
    uint32_t normal = magnitude + (112u << 23);
    normal = magnitude >= (31u << 23) ? magnitude + (224u << 23) : normal;
    return LEVEL(as_float)(sign | (magnitude < (1u << 23) ? LEVEL(as_bits)(subnormal) : normal));
}

EMU_LOADER(fp32, 4, LEVEL(as_float)(Q32))
EMU_LOADER(bf16, 2, LEVEL(as_float)((uint32_t)Q16 << 16))
EMU_LOADER(fp16, 2, LEVEL(half)(Q16))
EMU_LOADER(e4m3, 1, LEVEL(as_float)(emu_fp8_e4m3_bits[*q]))
EMU_LOADER(e5m2, 1, LEVEL(as_float)(emu_fp8_e5m2_bits[*q]))
EMU_LOADER(int8, 1, (float)(int8_t)*q)
EMU_LOADER(int32, 4, (float)(int32_t)Q32)
EMU_LOADER(tf32, 4, LEVEL(as_float)(Q32 & 0xffffe000u))
EMU_LOADER(e8m0, 1, LEVEL(as_float)(*q == 0 ? 0x00400000u : *q == 255 ? 0x7fc00000u : (uint32_t)*q << 23))

static inline __attribute__((always_inline)) uint32_t LEVEL(to_fp32)(float x, int sat)
{
    uint32_t u = LEVEL(as_bits)(x), magnitude = u & 0x7fffffff;
    u = sat && magnitude == 0x7f800000 ? u - 1 : u;
    return magnitude > 0x7f800000 ? 0x7fc00000 : u;
}

static inline __attribute__((always_inline)) uint32_t LEVEL(to_tf32)(float x, int sat)
{
    uint32_t u = LEVEL(as_bits)(x), magnitude = u & 0x7fffffff, sign = u & 0x80000000;
    uint32_t code = (magnitude + 0xfff + (magnitude >> 13 & 1)) & 0xffffe000u;
    code = sat && code > 0x7f7fe000 ? 0x7f7fe000 : code;
    return magnitude > 0x7f800000 ? 0x7fc00000 : sign | code;
}

/* The nearest power of two, a tie to the larger one; zero, negative numbers and what is too large have no code but NaN's. */
static inline __attribute__((always_inline)) uint32_t LEVEL(to_e8m0)(float x, int sat)
{
    uint32_t u = LEVEL(as_bits)(x);
    uint32_t code = u < 0x00800000 ? u >= 0x00600000 : (u + 0x00400000) >> 23;
    code = code > 254 ? 255 - (sat != 0) : code;
    return u == 0 || u > 0x7f800000 ? 255 : code;
}

static inline __attribute__((always_inline)) uint32_t LEVEL(to_bf16)(float x, int sat)
{
    uint32_t u = LEVEL(as_bits)(x), magnitude = u & 0x7fffffff, sign = u >> 31 << 15;
    uint32_t code = (magnitude + 0x7fff + (magnitude >> 16 & 1)) >> 16;
    code = sat && code > 0x7f7f ? 0x7f7f : code;
    return magnitude > 0x7f800000 ? 0x7fc0 : sign | code;
}

/* A float of fewer bits: round half to even on the integer code; below the normals, adding a constant rounds instead. */
static inline __attribute__((always_inline)) uint32_t LEVEL(to_small)(float x, int sat, int mantissa, int bias, uint32_t largest,
                                                                      uint32_t above, uint32_t nan, int sign_bit)
{
    uint32_t u = LEVEL(as_bits)(x), magnitude = u & 0x7fffffff, sign = u >> 31 << sign_bit;
    int shift = 23 - mantissa;
    uint32_t magic = (uint32_t)(127 + 1 - bias + shift) << 23;
    uint32_t small = LEVEL(as_bits)(LEVEL(as_float)(magnitude) + LEVEL(as_float)(magic)) - magic;
    uint32_t rebased = magnitude - ((uint32_t)(127 - bias) << 23);
    uint32_t normal = (rebased + (1u << (shift - 1)) - 1 + (rebased >> shift & 1)) >> shift;
    uint32_t code = magnitude < (uint32_t)(128 - bias) << 23 ? small : normal;
    code = code > largest ? (sat ? largest : above) : code;
    return magnitude > 0x7f800000 || code == nan ? nan : sign | code;
}

/* Nearest even without a library call: adding 2^23 leaves no fraction bits. */
static inline __attribute__((always_inline)) float LEVEL(nearest)(float x)
{
    uint32_t sign = LEVEL(as_bits)(x) & 0x80000000;
    float magnitude = LEVEL(as_float)(LEVEL(as_bits)(x) ^ sign);
    float rounded = (magnitude + 0x1p23f) - 0x1p23f;
    rounded = magnitude < 0x1p23f ? rounded : magnitude;
    return LEVEL(as_float)(LEVEL(as_bits)(rounded) | sign);
}

static inline __attribute__((always_inline)) int32_t LEVEL(to_int8)(float x, int sat)
{
    float y = LEVEL(nearest)(x);
    y = y < -128.0f ? -128.0f : y;
    y = y > 127.0f ? 127.0f : y;
    return (int32_t)(y == y ? y : 0.0f);
}

static inline __attribute__((always_inline)) int32_t LEVEL(to_int32)(float x, int sat)
{
    float y = LEVEL(nearest)(x);
    int32_t inside = (int32_t)(y < 0x1p31f && y >= -0x1p31f ? y : 0.0f);
    inside = y >= 0x1p31f ? INT32_MAX : inside;
    return y < -0x1p31f ? INT32_MIN : inside;
}

#define EMU_STORER(name, size, lvalue, expression)                                                                     \
    static void LEVEL(store_##name)(uint8_t *p, int64_t stride, int64_t n, const float *restrict in, int sat)          \
    {                                                                                                                  \
        if (stride == (size)) {                                                                                        \
            for (int64_t i = 0; i < n; i++) {                                                                          \
                uint8_t *q = p + i * (size);                                                                           \
                lvalue = (expression);                                                                                 \
            }                                                                                                          \
        } else {                                                                                                       \
            for (int64_t i = 0; i < n; i++) {                                                                          \
                uint8_t *q = p + i * stride;                                                                           \
                lvalue = (expression);                                                                                 \
            }                                                                                                          \
        }                                                                                                              \
    }

EMU_STORER(fp32, 4, *(LEVEL(u32) *)q, LEVEL(to_fp32)(in[i], sat))
EMU_STORER(bf16, 2, *(LEVEL(u16) *)q, (uint16_t)LEVEL(to_bf16)(in[i], sat))
EMU_STORER(fp16, 2, *(LEVEL(u16) *)q, (uint16_t)LEVEL(to_small)(in[i], sat, 10, 15, 0x7bff, 0x7c00, 0x7e00, 15))
EMU_STORER(e4m3, 1, *q, (uint8_t)LEVEL(to_small)(in[i], sat, 3, 7, 0x7e, 0x7f, 0x7f, 7))
EMU_STORER(e5m2, 1, *q, (uint8_t)LEVEL(to_small)(in[i], sat, 2, 15, 0x7b, 0x7c, 0x7e, 7))
EMU_STORER(int8, 1, *q, (uint8_t)LEVEL(to_int8)(in[i], sat))
EMU_STORER(int32, 4, *(LEVEL(u32) *)q, (uint32_t)LEVEL(to_int32)(in[i], sat))
EMU_STORER(tf32, 4, *(LEVEL(u32) *)q, LEVEL(to_tf32)(in[i], sat))
EMU_STORER(e8m0, 1, *q, (uint8_t)LEVEL(to_e8m0)(in[i], sat))
