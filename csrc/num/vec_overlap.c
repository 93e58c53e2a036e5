/* Overlapping source and destination: when it matters, and the copy that makes it not matter. */
#include <stdlib.h>
#include <string.h>

#include "vec.h"

static void hull(const emu_view *v, uintptr_t *low, uintptr_t *high)
{
    *low = (uintptr_t)v->base;
    const int packed = emu_num_packed(v->fmt);
    *high = (uintptr_t)v->base + (uintptr_t)(packed ? emu_num_row(v->fmt, v->n[0]) : emu_num_size(v->fmt));
    for (int i = packed; i < 4; i++) {
        int64_t reach = v->n[i] > 0 ? (v->n[i] - 1) * v->s[i] : 0;
        if (reach < 0) *low += (uintptr_t)reach;
        else *high += (uintptr_t)reach;
    }
}

int emu_vec_rising(const emu_view *v)
{
    const int packed = emu_num_packed(v->fmt);
    int64_t least = packed ? emu_num_row(v->fmt, v->n[0]) : emu_num_size(v->fmt);
    for (int i = packed; i < 4; i++) {
        if (v->n[i] <= 1) continue;
        if (v->s[i] < least) return 0;
        least = v->s[i] * v->n[i];
    }
    return 1;
}

int emu_vec_conflict(const emu_view *d, const emu_view *s, int cellwise)
{
    uintptr_t dl, dh, sl, sh;
    hull(d, &dl, &dh);
    hull(s, &sl, &sh);
    if (dh <= sl || sh <= dl) return 0;
    if (!cellwise || d->base != s->base || emu_num_bits(d->fmt) != emu_num_bits(s->fmt)) return 1;
    for (int i = emu_num_packed(d->fmt); i < 4; i++)
        if (d->n[i] > 1 && d->s[i] != s->s[i]) return 1;
    return !emu_vec_rising(d);
}

int emu_vec_copy(const emu_view *s, emu_view *copy, void **scratch)
{
    const int packed = emu_num_packed(s->fmt);
    int64_t size = emu_num_size(s->fmt), row = packed ? emu_num_row(s->fmt, s->n[0]) : s->n[0] * size, rows = s->n[1] * s->n[2] * s->n[3];
    uint8_t *out = malloc(row * rows > 0 ? (size_t)(row * rows) : 1);
    if (!out) return EMU_NUM_NO_MEMORY;
    *scratch = out;
    *copy = *s;
    copy->base = out;
    copy->s[0] = size;
    copy->s[1] = row;
    for (int i = 2; i < 4; i++) copy->s[i] = copy->s[i - 1] * s->n[i - 1];
    for (int64_t i3 = 0; i3 < s->n[3]; i3++)
        for (int64_t i2 = 0; i2 < s->n[2]; i2++)
            for (int64_t i1 = 0; i1 < s->n[1]; i1++) {
                const uint8_t *from = s->base + i3 * s->s[3] + i2 * s->s[2] + i1 * s->s[1];
                if (packed || s->s[0] == size) {
                    memcpy(out, from, (size_t)row);
                    out += row;
                    continue;
                }
                for (int64_t i0 = 0; i0 < s->n[0]; i0++, out += size) memcpy(out, from + i0 * s->s[0], (size_t)size);
            }
    return EMU_NUM_OK;
}
