/* mm of one repeat: operands to fp32 panels, then tiles in the chip's order of accumulation. */
#include "num.h"

#include <stdlib.h>
#include <string.h>

#include "level.h"
#include "toggle.h"

#define BLOCK 64        /* k of a transposed b that is converted at a time */
#define INT8_BLOCK 1024 /* 2^10 products of at most 2^14 are exact in fp32 */

/* One call: panels, the chain in use, and the rule. */
struct job {
    const struct emu_level *level;
    const emu_view *acc, *a, *b;
    emu_chain chain;
    emu_accumulate rule;
    int bt, accumulate, integer;
    int64_t m, n, k, lda;
    float *panel_a, *panel_b;
};

static void pack_a(const struct job *job)
{
    for (int64_t i = 0; i < job->m; i++)
        job->level->load[job->a->fmt](job->a->base + i * job->a->s[1], job->a->s[0], job->k, job->panel_a + i * job->lda);
}

static void pack_b(const struct job *job, int64_t j0, int64_t columns)
{
    int64_t width = job->level->columns;
    emu_load load = job->level->load[job->b->fmt];
    if (columns == width && job->b->s[0] == emu_num_size(job->b->fmt)) {
        job->level->panel[job->b->fmt](job->b->base + j0 * job->b->s[0], job->b->s[1], job->k, job->panel_b);
        return;
    }
    for (int64_t p = 0; p < job->k; p++) {
        float *row = job->panel_b + p * width;
        load(job->b->base + p * job->b->s[1] + j0 * job->b->s[0], job->b->s[0], columns, row);
        for (int64_t j = columns; j < width; j++) row[j] = 0.0f;
    }
}

static void pack_b_transposed(const struct job *job, int64_t j0, int64_t columns)
{
    float rows[EMU_MAX_COLUMNS][BLOCK];
    int64_t width = job->level->columns;
    emu_load load = job->level->load[job->b->fmt];
    memset(rows, 0, sizeof rows);
    for (int64_t p0 = 0; p0 < job->k; p0 += BLOCK) {
        int64_t count = job->k - p0 < BLOCK ? job->k - p0 : BLOCK;
        for (int64_t j = 0; j < columns; j++)
            load(job->b->base + (j0 + j) * job->b->s[1] + p0 * job->b->s[0], job->b->s[0], count, rows[j]);
        for (int64_t p = 0; p < count; p++)
            for (int64_t j = 0; j < width; j++) job->panel_b[(p0 + p) * width + j] = rows[j][p];
    }
}

/* c[] holds the accumulators of a tile, in fp32; on return the repeat is in. */
static void join_tree(const struct job *job, int rows, const float *a, float *c)
{
    float sum[EMU_MAX_COLUMNS];
    int64_t width = job->level->columns;
    for (int i = 0; i < rows && job->k; i++) {
        job->level->tree(job->k, a + i * job->lda, job->panel_b, sum);
        for (int64_t j = 0; j < width; j++) c[i * width + j] += sum[j];
    }
}

static void join_block(const struct job *job, int rows, const float *a, float *c)
{
    int64_t width = job->level->columns, step = job->rule.block_k;
    for (int64_t p = 0; p < job->k; p += step)
        job->chain(rows, 1, job->k - p < step ? job->k - p : step, a + p, job->lda, job->panel_b + p * width, c);
}

static void join_tile(const struct job *job, int rows, const float *a, float *c)
{
    float whole[EMU_MAX_ROWS * EMU_MAX_COLUMNS];
    if (job->rule.order == 2) {
        join_tree(job, rows, a, c);
    } else if (job->rule.order == 0) {
        job->chain(rows, job->rule.acc_last != 0, job->k, a, job->lda, job->panel_b, c);
    } else if (!job->rule.acc_last) {
        join_block(job, rows, a, c);
    } else {
        memset(whole, 0, sizeof whole);
        join_block(job, rows, a, whole);
        for (int64_t i = 0; i < rows * job->level->columns; i++) c[i] += whole[i];
    }
}

static void float_tile(const struct job *job, int rows, int64_t i0, int64_t j0, int64_t columns)
{
    float c[EMU_MAX_ROWS * EMU_MAX_COLUMNS];
    int64_t width = job->level->columns;
    uint8_t *corner = job->acc->base + i0 * job->acc->s[1] + j0 * job->acc->s[0];
    memset(c, 0, sizeof c);
    for (int i = 0; i < rows && job->accumulate; i++)
        job->level->load[EMU_NUM_FP32](corner + i * job->acc->s[1], job->acc->s[0], columns, c + i * width);
    join_tile(job, rows, job->panel_a + i0 * job->lda, c);
    for (int i = 0; i < rows; i++)
        job->level->store[EMU_NUM_FP32](corner + i * job->acc->s[1], job->acc->s[0], columns, c + i * width, 0);
}

/* Order does not matter to wrapping integers: sums of INT8_BLOCK are exact in fp32, the rest is integer. */
static void int8_tile(const struct job *job, int rows, int64_t i0, int64_t j0, int64_t columns)
{
    float sum[EMU_MAX_ROWS * EMU_MAX_COLUMNS];
    uint32_t c[EMU_MAX_ROWS * EMU_MAX_COLUMNS];
    int64_t width = job->level->columns;
    uint8_t *corner = job->acc->base + i0 * job->acc->s[1] + j0 * job->acc->s[0];
    memset(c, 0, sizeof c);
    for (int i = 0; i < rows && job->accumulate; i++)
        for (int64_t j = 0; j < columns; j++) memcpy(c + i * width + j, corner + i * job->acc->s[1] + j * job->acc->s[0], 4);
    for (int64_t p = 0; p < job->k; p += INT8_BLOCK) {
        memset(sum, 0, sizeof sum);
        job->chain(rows, 0, job->k - p < INT8_BLOCK ? job->k - p : INT8_BLOCK, job->panel_a + i0 * job->lda + p, job->lda,
                   job->panel_b + p * width, sum);
        for (int64_t i = 0; i < rows * width; i++) c[i] += (uint32_t)(int32_t)sum[i];
    }
    for (int i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) memcpy(corner + i * job->acc->s[1] + j * job->acc->s[0], c + i * width + j, 4);
}

static int narrow(int fmt) { return fmt == EMU_NUM_BF16 || fmt == EMU_NUM_FP16 || fmt == EMU_NUM_FP8_E4M3 || fmt == EMU_NUM_FP8_E5M2; }

/* The chain that formats ask for; NULL where mm does not take them. Only bf16 has products outside fp32's range. */
static emu_chain choose(const struct emu_level *level, int acc, int a, int b)
{
    if (a == EMU_NUM_INT8 && b == EMU_NUM_INT8 && acc == EMU_NUM_INT32) return level->exact;
    if (acc != EMU_NUM_FP32) return NULL;
    if (a == EMU_NUM_FP32 && b == EMU_NUM_FP32) return level->rounded;
    if (!narrow(a) || !narrow(b)) return NULL;
    return a == EMU_NUM_BF16 || b == EMU_NUM_BF16 ? level->fused : level->exact;
}

static int prepare(struct job *job)
{
    int64_t bk = job->b->n[job->bt ? 0 : 1], bn = job->b->n[job->bt ? 1 : 0];
    job->chain = choose(job->level, job->acc->fmt, job->a->fmt, job->b->fmt);
    job->integer = job->acc->fmt == EMU_NUM_INT32;
    job->m = job->acc->n[1];
    job->n = job->acc->n[0];
    job->k = job->a->n[0];
    if (!job->chain || job->rule.order < 0 || job->rule.order > 2) return EMU_NUM_UNSUPPORTED;
    if (job->rule.order == 1 && job->rule.block_k < 1) return EMU_NUM_UNSUPPORTED;
    if (job->m < 0 || job->n < 0 || job->k < 0 || job->a->n[1] != job->m || bk != job->k || bn != job->n) return EMU_NUM_BAD_SHAPE;
    /* An odd number of cache lines apart, so that the rows of a tile do not fall into one set of the cache. */
    job->lda = ((job->k + 15) / 16 | 1) * 16;
    return EMU_NUM_OK;
}

/* a streams row after row, b is taken row after row of k, results leave row after row; a row alone is counted along itself. */
static void tally(const struct job *job)
{
    const int along = job->m > 1, deep = job->bt ? 0 : 1;
    emu_toggles_along(job->a, along, &emu_num_tallies[EMU_TALLY_MM_A]);
    emu_toggles_along(job->b, job->k > 1 ? deep : !deep, &emu_num_tallies[EMU_TALLY_MM_B]);
    emu_toggles_along(job->acc, along, &emu_num_tallies[EMU_TALLY_MM_ACC]);
}

int emu_num_mm(const emu_view *acc, const emu_view *a, const emu_view *b, int bt, int accumulate, const emu_accumulate *rule)
{
    struct job job = {.level = emu_num_current(), .acc = acc, .a = a, .b = b, .rule = *rule, .bt = bt != 0, .accumulate = accumulate != 0};
    int code = prepare(&job);
    if (code || !job.m || !job.n) return code;
    int64_t width = job.level->columns, height = job.level->rows;
    job.panel_a = malloc((size_t)(job.m * job.lda + job.k * width + 16) * sizeof(float));
    if (!job.panel_a) return EMU_NUM_NO_MEMORY;
    job.panel_b = job.panel_a + job.m * job.lda;
    pack_a(&job);
    for (int64_t j = 0; j < job.n; j += width) {
        int64_t columns = job.n - j < width ? job.n - j : width;
        (job.bt ? pack_b_transposed : pack_b)(&job, j, columns);
        for (int64_t i = 0; i < job.m; i += height) {
            int rows = (int)(job.m - i < height ? job.m - i : height);
            (job.integer ? int8_tile : float_tile)(&job, rows, i, j, columns);
        }
    }
    free(job.panel_a);
    if (emu_num_tallies) tally(&job);
    return EMU_NUM_OK;
}
