/* A user's instruction: its compiled function over fp32, a piece of a row (or, where it is one of rows, a whole row) at a time. */
#include "num.h"

#include <stdlib.h>
#include <string.h>

#include "level.h"
#include "toggle.h"
#include "vec.h"

struct call {
    const emu_user *user;
    const emu_view *view[3];
    int views, sat, random, mantissa, least;
    uint32_t seed;
    float scalar, *row[3], *moved;
};

/* n[j]: elements of each view from p[j] on; index: that of the first one of d. */
static int call_once(const struct call *c, uint8_t *const p[3], const int64_t n[3], int64_t index)
{
    const struct emu_level *level = emu_num_current();
    for (int v = c->user->reads_d ? 0 : 1; v < c->views; v++) level->load[c->view[v]->fmt](p[v], c->view[v]->s[0], n[v], c->row[v]);
    const int two = c->views == 3;
    if (c->user->rows && !c->user->reads_d) memset(c->row[0], 0, (size_t)n[0] * sizeof *c->row[0]); /* it finds zeros, not the row before */
    if (c->user->fn(c->row[0], n[0], c->row[1], n[1], two ? c->row[2] : NULL, two ? n[2] : 0, c->scalar) != EMU_USER_DONE) return EMU_NUM_FAILED;
    const float *result = c->row[0];
    if (c->random) {
        level->dither(c->moved, result, n[0], c->mantissa, c->least, c->seed, (uint64_t)index);
        result = c->moved;
    }
    level->store[c->view[0]->fmt](p[0], c->view[0]->s[0], n[0], result, c->sat);
    return EMU_NUM_OK;
}

static int call_rows(const struct call *c, int64_t piece)
{
    const emu_view *d = c->view[0];
    int64_t row = 0;
    for (int64_t i3 = 0; i3 < d->n[3]; i3++)
        for (int64_t i2 = 0; i2 < d->n[2]; i2++)
            for (int64_t i1 = 0; i1 < d->n[1]; i1++, row++)
                for (int64_t i0 = 0; i0 == 0 || i0 < d->n[0]; i0 += piece) {
                    uint8_t *p[3] = {NULL, NULL, NULL};
                    int64_t n[3] = {0, 0, 0};
                    for (int v = 0; v < c->views; v++) {
                        const emu_view *x = c->view[v];
                        p[v] = x->base + i3 * x->s[3] + i2 * x->s[2] + i1 * x->s[1] + emu_num_reach(x, i0);
                        n[v] = c->user->rows ? x->n[0] : d->n[0] - i0 < piece ? d->n[0] - i0 : piece;
                    }
                    const int code = call_once(c, p, n, row * d->n[0] + i0);
                    if (code != EMU_NUM_OK) return code;
                    if (c->user->rows) break;
                }
    return EMU_NUM_OK;
}

/* Views without gaps are one long row, if a piece of a row may go on in the next one. */
static void flatten(emu_view *view, int views)
{
    for (int v = 0; v < views; v++) {
        int64_t run = emu_num_size(view[v].fmt);
        if (emu_num_packed(view[v].fmt)) return;
        for (int j = 0; j < 4; run *= view[v].n[j++])
            if (view[v].n[j] != 1 && view[v].s[j] != run) return;
    }
    for (int v = 0; v < views; v++)
        for (int j = 1; j < 4; j++) view[v].n[0] *= view[v].n[j], view[v].n[j] = 1;
}

static int run(const emu_user *user, emu_view *view, int views, int flags, float scalar, uint32_t seed)
{
    struct call c = {.user = user, .views = views, .sat = (flags & EMU_NUM_FLAG_SAT) != 0, .random = (flags & EMU_NUM_FLAG_SR) != 0, .seed = seed, .scalar = scalar};
    size_t length[3], all = 0;
    if (!user->rows) flatten(view, views);
    for (int v = 0; v < views; v++) {
        c.view[v] = &view[v];
        length[v] = (size_t)(user->rows || view[v].n[0] < EMU_CHUNK ? view[v].n[0] : EMU_CHUNK) + 16;
        all += length[v];
    }
    emu_vec_grid(view[0].fmt, &c.mantissa, &c.least);
    float *scratch = calloc(all + length[0], sizeof *scratch);
    if (!scratch) return EMU_NUM_NO_MEMORY;
    c.moved = scratch + all;
    for (int v = 0, at = 0; v < views; at += (int)length[v++]) c.row[v] = scratch + at;
    const int code = call_rows(&c, EMU_CHUNK);
    free(scratch);
    return code;
}

int emu_num_user(const emu_user *user, const emu_view *d, const emu_view *s1, const emu_view *s2, int flags, uint32_t scalar, uint32_t seed)
{
    emu_view view[3] = {*d, *s1, {0}};
    const int views = s2 ? 3 : 2;
    void *scratch[3] = {NULL, NULL, NULL};
    float value;
    int code = EMU_NUM_OK;
    memcpy(&value, &scalar, 4);
    if (s2) view[2] = *s2;
    if (!user->fn) return EMU_NUM_FAILED;
    if (user->reads_d && !emu_vec_rising(d)) return EMU_NUM_UNSUPPORTED; /* which write came first would show */
    for (int v = 1; v < views; v++) {
        if (emu_num_tallies) emu_toggles_along(&view[v], 0, &emu_num_tallies[EMU_TALLY_VEC]);
        if (code == EMU_NUM_OK && emu_vec_conflict(d, &view[v], !user->rows)) {
            emu_view copy;
            code = emu_vec_copy(&view[v], &copy, &scratch[v]);
            view[v] = copy;
        }
    }
    if (code == EMU_NUM_OK) code = run(user, view, views, flags, value, seed);
    if (emu_num_tallies && code == EMU_NUM_OK) emu_toggles_along(d, 0, &emu_num_tallies[EMU_TALLY_VEC]);
    free(scratch[1]);
    free(scratch[2]);
    return code;
}
