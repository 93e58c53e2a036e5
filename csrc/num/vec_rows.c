/* vec instructions that look at whole rows: reductions, mask, transpose. */
#include <math.h>
#include <string.h>

#include "level.h"
#include "vec.h"

/* Calls row(d, s) for every row of s; d moves along dimensions 1 to 3. */
#define EACH_ROW(i1, i2, i3, s)                          \
    for (int64_t i3 = 0; i3 < (s)->n[3]; i3++)           \
        for (int64_t i2 = 0; i2 < (s)->n[2]; i2++)       \
            for (int64_t i1 = 0; i1 < (s)->n[1]; i1++)

static uint8_t *row_of(const emu_view *v, int64_t i1, int64_t i2, int64_t i3) { return v->base + i1 * v->s[1] + i2 * v->s[2] + i3 * v->s[3]; }

void emu_vec_sum(const emu_view *d, const emu_view *s)
{
    const struct emu_level *level = emu_num_current();
    float in[EMU_CHUNK], sums[EMU_LANES];
    EACH_ROW(i1, i2, i3, s) {
        const uint8_t *p = row_of(s, i1, i2, i3);
        for (int j = 0; j < EMU_LANES; j++) sums[j] = 0.0f;
        for (int64_t i = 0; i < s->n[0]; i += EMU_CHUNK) {
            int64_t n = s->n[0] - i < EMU_CHUNK ? s->n[0] - i : EMU_CHUNK;
            level->load[s->fmt](p + emu_num_reach(s, i), s->s[0], n, in);
            level->lanes(sums, in, n);
        }
        for (int half = EMU_LANES / 2; half; half /= 2)
            for (int j = 0; j < half; j++) sums[j] = sums[j] + sums[j + half];
        level->store[d->fmt](row_of(d, i1, i2, i3), 0, 1, sums, 0);
    }
}

/* Ascending, as the instruction says: of equal zeros the first one stays. NaN, once met, stays. */
void emu_vec_max(const emu_view *d, const emu_view *s)
{
    const struct emu_level *level = emu_num_current();
    float in[EMU_CHUNK];
    EACH_ROW(i1, i2, i3, s) {
        const uint8_t *p = row_of(s, i1, i2, i3);
        float running = -INFINITY;
        for (int64_t i = 0; i < s->n[0]; i += EMU_CHUNK) {
            int64_t n = s->n[0] - i < EMU_CHUNK ? s->n[0] - i : EMU_CHUNK;
            level->load[s->fmt](p + emu_num_reach(s, i), s->s[0], n, in);
            for (int64_t j = 0; j < n; j++) running = running >= in[j] ? running : (running < in[j] ? in[j] : running + in[j]);
        }
        level->store[d->fmt](row_of(d, i1, i2, i3), 0, 1, &running, 0);
    }
}

static int64_t clamp(int64_t x, int64_t low, int64_t high) { return x < low ? low : (x > high ? high : x); }

void emu_vec_mask(const emu_view *d, const emu_view *s, uint32_t scalar, int64_t diag, int64_t window)
{
    const struct emu_level *level = emu_num_current();
    float in[EMU_CHUNK], value;
    int64_t width = d->n[0], first = clamp(diag, -(INT64_C(1) << 60), INT64_C(1) << 60);
    memcpy(&value, &scalar, 4);
    EACH_ROW(i1, i2, i3, d) {
        uint8_t *q = row_of(d, i1, i2, i3);
        const uint8_t *p = row_of(s, i1, i2, i3);
        int64_t last = i1 + first; /* kept: low <= j < high */
        int64_t high = clamp(last + 1, 0, width), low = 0;
        if (window > 0) low = window > last + 1 ? 0 : clamp(last - window + 1, 0, width);
        for (int64_t i = 0; i < width; i += EMU_CHUNK) {
            int64_t n = width - i < EMU_CHUNK ? width - i : EMU_CHUNK;
            level->load[s->fmt](p + emu_num_reach(s, i), s->s[0], n, in);
            for (int64_t j = 0; j < n && i + j < low; j++) in[j] = value;
            for (int64_t j = clamp(high - i, 0, n); j < n; j++) in[j] = value;
            level->store[d->fmt](q + emu_num_reach(d, i), d->s[0], n, in, 0);
        }
    }
}

/* A copy of bytes: NaN payloads stay as they are. In the order of d's cells, so that of two writes to one cell the last stays. */
void emu_vec_transpose(const emu_view *d, const emu_view *s)
{
    size_t size = (size_t)emu_num_size(s->fmt);
    for (int64_t j = 0; j < s->n[0]; j++)
        for (int64_t i = 0; i < s->n[1]; i++) {
            uint8_t *to = d->base + j * d->s[1] + i * d->s[0];
            const uint8_t *from = s->base + i * s->s[1] + j * s->s[0];
            if (size == 2) memcpy(to, from, 2);
            else if (size == 4) memcpy(to, from, 4);
            else *to = *from;
        }
}
