/* vec instructions: rows in chunks of fp32, one chunk converted, computed and stored at a time. */
#include "num.h"

#include <stdlib.h>
#include <string.h>

#include "level.h"
#include "toggle.h"
#include "vec.h"

/* Iteration space shared by the views, dimensions merged where every view allows it. */
struct plan {
    int64_t n[4];
    int64_t s[3][4];
    int packed; /* one of the views is: its innermost dimension stays where it is */
};

/* Does dimension `dim` of a view go on where the last of the `used` ones ends? A packed row has to end at a byte. */
static int continues(const emu_view *v, int dim, const int64_t s[4], const int64_t n[4], int used)
{
    const int64_t end = n[used - 1] * emu_num_bits(v->fmt);
    if (used == 1 && emu_num_packed(v->fmt)) return end % 8 == 0 && v->s[dim] == end / 8;
    return v->s[dim] == s[used - 1] * n[used - 1];
}

static void plan_make(struct plan *plan, const emu_view *const view[3], int views)
{
    int used = 0;
    for (int i = 0; i < 4; i++) plan->n[i] = 1;
    memset(plan->s, 0, sizeof plan->s);
    plan->packed = 0;
    for (int v = 0; v < views; v++) plan->packed |= emu_num_packed(view[v]->fmt);
    for (int dim = 0; dim < 4; dim++) {
        int64_t extent = view[0]->n[dim];
        if (extent == 1 && (dim || !plan->packed)) continue;
        int merge = used > 0;
        for (int v = 0; v < views && merge; v++) merge = continues(view[v], dim, plan->s[v], plan->n, used);
        if (merge) {
            plan->n[used - 1] *= extent;
            continue;
        }
        plan->n[used] = extent;
        for (int v = 0; v < views; v++) plan->s[v][used] = view[v]->s[dim];
        used++;
    }
}

/* Rows of few elements are slow: let the longest dimension be the inner one. Only where no two cells of d are the same,
 * because the last of several writes to a cell must win. */
static void plan_rotate(struct plan *plan, int size)
{
    int longest = 0;
    int64_t least = size;
    for (int dim = 0; dim < 4; dim++) {
        if (plan->n[dim] == 1) continue;
        if (plan->s[0][dim] < least) return;
        least = plan->s[0][dim] * plan->n[dim];
        if (plan->n[dim] > plan->n[longest]) longest = dim;
    }
    if (plan->n[0] >= 32 || !longest) return;
    int64_t swap = plan->n[0];
    plan->n[0] = plan->n[longest];
    plan->n[longest] = swap;
    for (int v = 0; v < 3; v++) {
        swap = plan->s[v][0];
        plan->s[v][0] = plan->s[v][longest];
        plan->s[v][longest] = swap;
    }
}

/* One instruction over rows: view 0 is d, the others are sources; without a second source `constant` stands in. */
struct rows {
    const struct emu_level *level;
    int opcode, sat, formats[3], sources;
    int random, mantissa, least; /* of stochastic rounding: whether, and the grid of the destination's format */
    uint32_t seed;
    float constant[EMU_CHUNK];
};

void emu_vec_grid(int fmt, int *steps, int *least)
{
    const int whole = emu_num_format[fmt].kind == EMU_NUM_KIND_INT, mantissa = emu_num_format[fmt].mantissa;
    const int bias = whole ? 0 : (1 << (emu_num_format[fmt].exponent - 1)) - 1;
    *steps = whole ? 23 : mantissa;
    *least = whole ? 0 : 1 - bias - mantissa;
}

static void run_chunk(const struct rows *rows, uint8_t *const p[3], const int64_t s[3], int64_t n, int64_t index)
{
    float in[3][EMU_CHUNK], out[EMU_CHUNK], moved[EMU_CHUNK];
    const float *second = rows->constant, *result = out;
    for (int v = 1; v <= rows->sources; v++) rows->level->load[rows->formats[v]](p[v], s[v], n, in[v]);
    if (rows->sources == 2) second = in[2];
    if (rows->opcode == EMU_NUM_VMAC) {
        rows->level->load[rows->formats[0]](p[0], s[0], n, in[0]);
        rows->level->mac(out, in[0], in[1], second, n);
    } else if (rows->opcode == EMU_NUM_VFILL) {
        result = rows->constant;
    } else if (rows->opcode == EMU_NUM_VMOV) {
        result = in[1];
    } else if (rows->level->unary[rows->opcode]) {
        rows->level->unary[rows->opcode](out, in[1], n);
    } else {
        rows->level->binary[rows->opcode](out, in[1], second, n);
    }
    if (rows->random) {
        rows->level->dither(moved, result, n, rows->mantissa, rows->least, rows->seed, (uint64_t)index);
        result = moved;
    }
    rows->level->store[rows->formats[0]](p[0], s[0], n, result, rows->sat);
}

static void run_rows(const struct rows *rows, const struct plan *plan, const emu_view *const view[3])
{
    int views = rows->sources + 1;
    int64_t inner[3] = {plan->s[0][0], plan->s[1][0], plan->s[2][0]}, row = 0;
    for (int64_t i3 = 0; i3 < plan->n[3]; i3++)
        for (int64_t i2 = 0; i2 < plan->n[2]; i2++)
            for (int64_t i1 = 0; i1 < plan->n[1]; i1++, row += plan->n[0])
                for (int64_t i0 = 0; i0 < plan->n[0]; i0 += EMU_CHUNK) {
                    uint8_t *p[3] = {NULL, NULL, NULL};
                    for (int v = 0; v < views; v++)
                        p[v] = view[v]->base + i3 * plan->s[v][3] + i2 * plan->s[v][2] + i1 * plan->s[v][1] +
                               (emu_num_packed(view[v]->fmt) ? emu_num_reach(view[v], i0) : i0 * inner[v]);
                    run_chunk(rows, p, inner, plan->n[0] - i0 < EMU_CHUNK ? plan->n[0] - i0 : EMU_CHUNK, row + i0);
                }
}

static int elementwise(int opcode, const emu_view *d, const emu_view *s1, const emu_view *s2, int flags, uint32_t scalar, uint32_t seed)
{
    struct rows rows = {.level = emu_num_current(), .opcode = opcode, .sat = (flags & EMU_NUM_FLAG_SAT) != 0, .seed = seed};
    const emu_view *view[3] = {d, s1, s2};
    rows.random = (flags & EMU_NUM_FLAG_SR) != 0;
    emu_vec_grid(d->fmt, &rows.mantissa, &rows.least);
    struct plan plan;
    float value;
    memcpy(&value, &scalar, 4);
    for (int i = 0; i < EMU_CHUNK; i++) rows.constant[i] = value;
    rows.sources = s1 ? (s2 ? 2 : 1) : 0;
    for (int v = 0; v <= rows.sources; v++) rows.formats[v] = view[v]->fmt;
    plan_make(&plan, view, rows.sources + 1);
    if (!plan.packed && !rows.random) plan_rotate(&plan, emu_num_size(d->fmt)); /* elements are numbered in the order of d's extents */
    run_rows(&rows, &plan, view);
    return EMU_NUM_OK;
}

static int empty(const emu_view *v) { return v->n[0] == 0 || v->n[1] == 0 || v->n[2] == 0 || v->n[3] == 0; }

static int legal(const emu_view *v)
{
    return emu_num_size(v->fmt) && v->n[0] >= 0 && v->n[1] >= 0 && v->n[2] >= 0 && v->n[3] >= 0;
}

/* Sources that overlap d other than cell by cell are copied first; then the instruction runs as if nothing overlapped. */
static int isolated(int opcode, const emu_view *d, const emu_view *s1, const emu_view *s2, int flags, uint32_t scalar, int64_t diag,
                    int64_t window, uint32_t seed)
{
    emu_view copy[2];
    const emu_view *source[2] = {s1, s2};
    int code = EMU_NUM_OK, cellwise = opcode < EMU_NUM_VRSUM;
    void *scratch[2] = {NULL, NULL};
    for (int i = 0; i < 2 && code == EMU_NUM_OK; i++)
        if (source[i] && emu_vec_conflict(d, source[i], cellwise)) {
            code = emu_vec_copy(source[i], &copy[i], &scratch[i]);
            source[i] = &copy[i];
        }
    if (code == EMU_NUM_OK) {
        if (cellwise) code = elementwise(opcode, d, source[0], source[1], flags, scalar, seed);
        else if (opcode == EMU_NUM_VRSUM) emu_vec_sum(d, source[0]);
        else if (opcode == EMU_NUM_VRMAX) emu_vec_max(d, source[0]);
        else if (opcode == EMU_NUM_VMASK) emu_vec_mask(d, source[0], scalar, diag, window);
        else emu_vec_transpose(d, source[0]);
    }
    free(scratch[0]);
    free(scratch[1]);
    return code;
}

int emu_num_vec(int opcode, const emu_view *d, const emu_view *s1, const emu_view *s2, int flags, uint32_t scalar, int64_t diag,
                int64_t window, uint32_t seed)
{
    const struct emu_level *level = emu_num_current();
    if (opcode < EMU_NUM_VMOV || opcode > EMU_NUM_VTRANS || !legal(d)) return EMU_NUM_UNSUPPORTED;
    int binary = opcode == EMU_NUM_VMAC || level->binary[opcode] != NULL;
    int known = binary || opcode == EMU_NUM_VFILL || opcode >= EMU_NUM_VRSUM || level->unary[opcode] != NULL;
    int needs1 = opcode != EMU_NUM_VFILL, needs2 = binary && !(flags & EMU_NUM_FLAG_IMM);
    if (!known || (needs1 && (!s1 || !legal(s1))) || (needs2 && (!s2 || !legal(s2)))) return EMU_NUM_UNSUPPORTED;
    s1 = needs1 ? s1 : NULL;
    s2 = needs2 ? s2 : NULL;
    if (opcode == EMU_NUM_VTRANS) {
        if (s1->n[2] != 1 || s1->n[3] != 1) return EMU_NUM_BAD_SHAPE;
        if (s1->fmt != d->fmt || emu_num_packed(d->fmt)) return EMU_NUM_UNSUPPORTED; /* it moves bytes */
    }
    if ((flags & EMU_NUM_FLAG_SR) && d->fmt == EMU_NUM_E8M0) return EMU_NUM_UNSUPPORTED;
    if (opcode == EMU_NUM_VMAC && !emu_vec_rising(d)) return EMU_NUM_UNSUPPORTED; /* it reads d: which write came first would show */
    int reduction = opcode == EMU_NUM_VRSUM || opcode == EMU_NUM_VRMAX;
    if (reduction ? s1->n[1] == 0 || s1->n[2] == 0 || s1->n[3] == 0 : empty(opcode == EMU_NUM_VTRANS ? s1 : d)) return EMU_NUM_OK;
    emu_view shaped[2];
    if (s1 && !reduction && opcode != EMU_NUM_VTRANS) { /* sources take d's extents */
        shaped[0] = *s1;
        memcpy(shaped[0].n, d->n, sizeof d->n);
        s1 = &shaped[0];
    }
    if (s2) {
        shaped[1] = *s2;
        memcpy(shaped[1].n, d->n, sizeof d->n);
        s2 = &shaped[1];
    }
    if (emu_num_tallies) { /* before: the destination may overwrite them */
        if (s1) emu_toggles_along(s1, 0, &emu_num_tallies[EMU_TALLY_VEC]);
        if (s2) emu_toggles_along(s2, 0, &emu_num_tallies[EMU_TALLY_VEC]);
    }
    const int code = isolated(opcode, d, s1, s2, flags, scalar, diag, window, seed);
    if (emu_num_tallies && code == EMU_NUM_OK && !reduction) emu_toggles_along(d, 0, &emu_num_tallies[EMU_TALLY_VEC]);
    return code;
}
