/* Rows of packed formats, 4 and 6 bits an element, least significant bit first. Part of level_body.h. */

#define EMU_CODES 256 /* elements unpacked at a time; a multiple of 8 */

static inline __attribute__((always_inline)) void LEVEL(unpack4)(const uint8_t *restrict p, int64_t n, uint8_t *restrict codes)
{
    for (int64_t i = 0; i < n / 2; i++) {
        codes[2 * i] = p[i] & 15;
        codes[2 * i + 1] = p[i] >> 4;
    }
    if (n & 1) codes[n - 1] = p[n / 2] & 15;
}

static inline __attribute__((always_inline)) void LEVEL(pack4)(const uint8_t *restrict codes, int64_t n, uint8_t *restrict p)
{
    for (int64_t i = 0; i < n / 2; i++) p[i] = (uint8_t)(codes[2 * i] | codes[2 * i + 1] << 4);
    if (n & 1) p[n / 2] = codes[n - 1];
}

static inline __attribute__((always_inline)) void LEVEL(unpack6)(const uint8_t *restrict p, int64_t n, uint8_t *restrict codes)
{
    for (int64_t i = 0; i < n / 4; i++) {
        codes[4 * i] = p[3 * i] & 63;
        codes[4 * i + 1] = (uint8_t)((p[3 * i] >> 6 | p[3 * i + 1] << 2) & 63);
        codes[4 * i + 2] = (uint8_t)((p[3 * i + 1] >> 4 | p[3 * i + 2] << 4) & 63);
        codes[4 * i + 3] = p[3 * i + 2] >> 2;
    }
    uint32_t word = 0;
    for (int64_t i = n / 4 * 3; i < (6 * n + 7) / 8; i++) word |= (uint32_t)p[i] << 8 * (i - n / 4 * 3);
    for (int64_t i = n / 4 * 4; i < n; i++, word >>= 6) codes[i] = word & 63;
}

static inline __attribute__((always_inline)) void LEVEL(pack6)(const uint8_t *restrict codes, int64_t n, uint8_t *restrict p)
{
    for (int64_t i = 0; i < n / 4; i++) {
        p[3 * i] = (uint8_t)(codes[4 * i] | codes[4 * i + 1] << 6);
        p[3 * i + 1] = (uint8_t)(codes[4 * i + 1] >> 2 | codes[4 * i + 2] << 4);
        p[3 * i + 2] = (uint8_t)(codes[4 * i + 2] >> 4 | codes[4 * i + 3] << 2);
    }
    uint32_t word = 0;
    for (int64_t i = n / 4 * 4; i < n; i++) word |= (uint32_t)codes[i] << 6 * (i & 3);
    for (int64_t i = n / 4 * 3; i < (6 * n + 7) / 8; i++, word >>= 8) p[i] = (uint8_t)word;
}

/* A code with no infinity and no NaN. Below the normals the magnitude counts quanta. */
static inline __attribute__((always_inline)) float LEVEL(from_small)(uint32_t code, int bits, int mantissa, int bias)
{
    uint32_t magnitude = code & ((1u << (bits - 1)) - 1), sign = code >> (bits - 1) << 31;
    uint32_t normal = (magnitude << (23 - mantissa)) + ((uint32_t)(127 - bias) << 23);
    float quanta = (float)(int32_t)magnitude * LEVEL(as_float)((uint32_t)(127 + 1 - bias - mantissa) << 23);
    return LEVEL(as_float)(sign | (magnitude < 1u << mantissa ? LEVEL(as_bits)(quanta) : normal));
}

static inline __attribute__((always_inline)) int32_t LEVEL(to_int4)(float x, int sat)
{
    float y = LEVEL(nearest)(x);
    y = y < -8.0f ? -8.0f : y;
    y = y > 7.0f ? 7.0f : y;
    return (int32_t)(y == y ? y : 0.0f);
}

#define EMU_PACKED(name, bits, decoded, encoded)                                                                               \
    static void LEVEL(load_##name)(const uint8_t *p, int64_t stride, int64_t n, float *restrict out)                           \
    {                                                                                                                          \
        uint8_t codes[EMU_CODES];                                                                                              \
        for (; n > 0; n -= EMU_CODES, p += EMU_CODES / 8 * (bits), out += EMU_CODES) {                                         \
            int64_t count = n < EMU_CODES ? n : EMU_CODES;                                                                     \
            LEVEL(unpack##bits)(p, count, codes);                                                                              \
            for (int64_t i = 0; i < count; i++) {                                                                              \
                uint32_t code = codes[i];                                                                                      \
                out[i] = (decoded);                                                                                            \
            }                                                                                                                  \
        }                                                                                                                      \
    }                                                                                                                          \
    static void LEVEL(panel_##name)(const uint8_t *p, int64_t row_stride, int64_t k, float *restrict out)                      \
    {                                                                                                                          \
        for (int64_t row = 0; row < k; row++) LEVEL(load_##name)(p + row * row_stride, 0, EMU_COLUMNS, out + row * EMU_COLUMNS); \
    }                                                                                                                          \
    static void LEVEL(store_##name)(uint8_t *p, int64_t stride, int64_t n, const float *restrict in, int sat)                  \
    {                                                                                                                          \
        uint8_t codes[EMU_CODES];                                                                                              \
        for (; n > 0; n -= EMU_CODES, p += EMU_CODES / 8 * (bits), in += EMU_CODES) {                                          \
            int64_t count = n < EMU_CODES ? n : EMU_CODES;                                                                     \
            for (int64_t i = 0; i < count; i++) {                                                                              \
                float x = in[i];                                                                                               \
                codes[i] = (uint8_t)(encoded);                                                                                 \
            }                                                                                                                  \
            LEVEL(pack##bits)(codes, count, p);                                                                                \
        }                                                                                                                      \
    }

/* Too large is the largest, with and without sat; a NaN becomes -0, the code that ml_dtypes has for a NaN of these formats. */
EMU_PACKED(e2m3, 6, LEVEL(from_small)(code, 6, 3, 1), LEVEL(to_small)(x, sat, 3, 1, 31, 31, 32, 5))
EMU_PACKED(e3m2, 6, LEVEL(from_small)(code, 6, 2, 3), LEVEL(to_small)(x, sat, 2, 3, 31, 31, 32, 5))
EMU_PACKED(e2m1, 4, LEVEL(from_small)(code, 4, 1, 1), LEVEL(to_small)(x, sat, 1, 1, 7, 7, 8, 3))
EMU_PACKED(int4, 4, (float)((int32_t)(code ^ 8) - 8), LEVEL(to_int4)(x, sat) & 15)
