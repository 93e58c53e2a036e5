#include "toggle.h"

#include <string.h>

_Thread_local emu_tally *emu_num_tallies = NULL;

static uint32_t element(const uint8_t *at, int size)
{
    uint32_t bits = 0;
    memcpy(&bits, at, (size_t)size);
    return bits;
}

/* Element i of a packed row. */
static uint32_t code(const uint8_t *row, int64_t i, int bits)
{
    const int64_t first = i * bits;
    uint32_t word = row[first / 8];
    if (first % 8 + bits > 8) word |= (uint32_t)row[first / 8 + 1] << 8;
    return word >> first % 8 & ((1u << bits) - 1);
}

static void packed_along(const emu_view *v, int along, emu_tally *t)
{
    const int bits = emu_num_bits(v->fmt);
    int64_t i[4], low[4] = {0, 0, 0, 0};
    low[along] = 1;
    for (i[3] = low[3]; i[3] < v->n[3]; i[3]++)
        for (i[2] = low[2]; i[2] < v->n[2]; i[2]++)
            for (i[1] = low[1]; i[1] < v->n[1]; i[1]++)
                for (i[0] = low[0]; i[0] < v->n[0]; i[0]++) {
                    const uint8_t *row = v->base + i[3] * v->s[3] + i[2] * v->s[2] + i[1] * v->s[1];
                    uint32_t before = along ? code(row - v->s[along], i[0], bits) : code(row, i[0] - 1, bits);
                    t->toggles += __builtin_popcount(code(row, i[0], bits) ^ before);
                    t->bits += bits;
                }
}

static int64_t pairs(const uint8_t *at, int64_t count, int64_t step, int size)
{
    int64_t sum = 0;
    uint32_t before = count ? element(at, size) : 0;
    for (int64_t i = 1; i < count; i++) {
        uint32_t now = element(at += step, size);
        sum += __builtin_popcount(before ^ now);
        before = now;
    }
    return sum;
}

void emu_toggles_along(const emu_view *v, int along, emu_tally *t)
{
    const int size = emu_num_size(v->fmt);
    int64_t n[4], others = 1;
    memcpy(n, v->n, sizeof n);
    for (int j = 0; j < 4; j++)
        if (n[j] == 0) return;
    if (n[along] < 2) return;
    if (emu_num_packed(v->fmt)) {
        packed_along(v, along, t);
        return;
    }
    const int64_t count = n[along];
    n[along] = 1;
    for (int64_t i3 = 0; i3 < n[3]; i3++)
        for (int64_t i2 = 0; i2 < n[2]; i2++)
            for (int64_t i1 = 0; i1 < n[1]; i1++)
                for (int64_t i0 = 0; i0 < n[0]; i0++)
                    t->toggles += pairs(v->base + i3 * v->s[3] + i2 * v->s[2] + i1 * v->s[1] + i0 * v->s[0], count, v->s[along], size);
    for (int j = 0; j < 4; j++) others *= n[j];
    t->bits += others * (count - 1) * 8 * size;
}

void emu_toggles_bus(const uint8_t *bytes, size_t count, size_t width, emu_tally *t)
{
    if (count <= width) return;
    const size_t compared = count - width;
    size_t i = 0;
    int64_t sum = 0;
    for (; i + 8 <= compared; i += 8) {
        uint64_t before, now;
        memcpy(&before, bytes + i, 8);
        memcpy(&now, bytes + i + width, 8);
        sum += __builtin_popcountll(before ^ now);
    }
    for (; i < compared; i++) sum += __builtin_popcount((unsigned)(bytes[i] ^ bytes[i + width]));
    t->toggles += sum;
    t->bits += 8 * (int64_t)compared;
}
