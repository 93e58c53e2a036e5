/* mm of one repeat: operands to fp32 panels, then tiles in the chip's order of accumulation. */
#include "num.h"

#include <stdlib.h>
#include <string.h>

#include "level.h"
#include "toggle.h"

#define BLOCK 64        /* k of a transposed b that is converted at a time */
#define INT8_BLOCK 1024 /* 2^10 products of at most 2^14 are exact in fp32 */

#define MOST_INNER_BITS 32  /* with these a block's aligned sum is exact in double */
#define MOST_INNER_K 65536

/* One call: panels, the chain in use, and the rule. */
struct job {
    const struct emu_level *level;
    const emu_view *acc, *a, *b;
    const emu_scales *scales;
    emu_chain chain;
    emu_accumulate rule;
    int bt, accumulate, integer, narrow;
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
    const uint8_t *from = job->b->base + emu_num_reach(job->b, j0);
    if (columns == width && (emu_num_packed(job->b->fmt) || job->b->s[0] == emu_num_size(job->b->fmt))) {
        job->level->panel[job->b->fmt](from, job->b->s[1], job->k, job->panel_b);
        return;
    }
    for (int64_t p = 0; p < job->k; p++) {
        float *row = job->panel_b + p * width;
        load(from + p * job->b->s[1], job->b->s[0], columns, row);
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
            load(job->b->base + (j0 + j) * job->b->s[1] + emu_num_reach(job->b, p0), job->b->s[0], count, rows[j]);
        for (int64_t p = 0; p < count; p++)
            for (int64_t j = 0; j < width; j++) job->panel_b[(p0 + p) * width + j] = rows[j][p];
    }
}

/* Part of the k of a tile: `k` columns of a, as many rows of the panel of b. */
struct part {
    int rows;
    int64_t k;
    const float *a, *b;
};

static void join_tree(const struct job *job, struct part part, float *c)
{
    float sum[EMU_MAX_COLUMNS];
    int64_t width = job->level->columns;
    for (int i = 0; i < part.rows && part.k; i++) {
        job->level->tree(part.k, part.a + i * job->lda, part.b, sum);
        for (int64_t j = 0; j < width; j++) c[i * width + j] += sum[j];
    }
}

static void join_block(const struct job *job, struct part part, float *c)
{
    int64_t width = job->level->columns, step = job->rule.block_k;
    for (int64_t p = 0; p < part.k; p += step)
        job->chain(part.rows, 1, part.k - p < step ? part.k - p : step, part.a + p, job->lda, part.b + p * width, c);
}

/* c[] holds the accumulators of a tile, in fp32; on return the products of the part are in. */
static void join_part(const struct job *job, struct part part, float *c)
{
    float whole[EMU_MAX_ROWS * EMU_MAX_COLUMNS];
    if (job->narrow) {
        job->level->narrow(&job->rule, job->chain != job->level->rounded, part.rows, part.k, part.a, job->lda, part.b, c);
    } else if (job->rule.order == 2) {
        join_tree(job, part, c);
    } else if (job->rule.order == 0) {
        job->chain(part.rows, job->rule.acc_last != 0, part.k, part.a, job->lda, part.b, c);
    } else if (!job->rule.acc_last) {
        join_block(job, part, c);
    } else {
        memset(whole, 0, sizeof whole);
        join_block(job, part, whole);
        for (int64_t i = 0; i < part.rows * job->level->columns; i++) c[i] += whole[i];
    }
}

/* Products of the scales that a tile's elements have in one block of k. */
static void factors(const struct job *job, int rows, int64_t i0, int64_t j0, int64_t columns, int64_t block, double *factor)
{
    float down[EMU_MAX_ROWS], across[EMU_MAX_COLUMNS] = {0};
    const emu_view *sa = job->scales->a, *sb = job->scales->b;
    for (int i = 0; i < rows; i++) down[i] = 1.0f;
    for (int64_t j = 0; j < columns; j++) across[j] = 1.0f;
    if (sa) job->level->load[sa->fmt](sa->base + i0 * sa->s[1] + block * sa->s[0], sa->s[1], rows, down);
    if (sb) {
        int64_t along_n = sb->s[job->bt ? 1 : 0], along_k = sb->s[job->bt ? 0 : 1];
        job->level->load[sb->fmt](sb->base + j0 * along_n + block * along_k, along_n, columns, across);
    }
    for (int i = 0; i < rows; i++)
        for (int64_t j = 0; j < job->level->columns; j++) factor[i * job->level->columns + j] = (double)down[i] * (double)across[j];
}

static void fit(const struct job *job, float *x, int64_t n)
{
    if (job->rule.width < 32) job->level->fit(&job->rule, x, n);
}

static void join_scaled(const struct job *job, struct part all, int64_t i0, int64_t j0, int64_t columns, float *c)
{
    float sum[EMU_MAX_ROWS * EMU_MAX_COLUMNS], whole[EMU_MAX_ROWS * EMU_MAX_COLUMNS] = {0};
    double factor[EMU_MAX_ROWS * EMU_MAX_COLUMNS];
    const int64_t width = job->level->columns, step = job->scales->block, n = all.rows * width;
    float *to = job->rule.acc_last ? whole : c;
    for (int64_t p = 0; p < all.k; p += step) {
        struct part block = {all.rows, all.k - p < step ? all.k - p : step, all.a + p, all.b + p * width};
        memset(sum, 0, sizeof sum);
        join_part(job, block, sum);
        factors(job, all.rows, i0, j0, columns, p / step, factor);
        for (int64_t i = 0; i < n; i++) sum[i] = (float)((double)sum[i] * factor[i]);
        fit(job, sum, n);
        for (int64_t i = 0; i < n; i++) to[i] += sum[i];
        fit(job, to, n);
    }
    if (!job->rule.acc_last) return;
    for (int64_t i = 0; i < n; i++) c[i] += whole[i];
    fit(job, c, n);
}

static void float_tile(const struct job *job, int rows, int64_t i0, int64_t j0, int64_t columns)
{
    float c[EMU_MAX_ROWS * EMU_MAX_COLUMNS];
    int64_t width = job->level->columns;
    uint8_t *corner = job->acc->base + i0 * job->acc->s[1] + j0 * job->acc->s[0];
    struct part all = {rows, job->k, job->panel_a + i0 * job->lda, job->panel_b};
    memset(c, 0, sizeof c);
    for (int i = 0; i < rows && job->accumulate; i++)
        job->level->load[EMU_NUM_FP32](corner + i * job->acc->s[1], job->acc->s[0], columns, c + i * width);
    if (job->scales) join_scaled(job, all, i0, j0, columns, c);
    else join_part(job, all, c);
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

/* Floats whose products are exact: at most 11 significant bits each. */
static int narrow(int fmt) { return emu_num_format[fmt].kind == EMU_NUM_KIND_FLOAT && emu_num_format[fmt].mantissa <= 10; }

/* The chain that formats ask for; NULL where mm does not take them. Only 8 bits of exponent make products outside fp32's range. */
static emu_chain choose(const struct emu_level *level, int acc, int a, int b)
{
    if ((a == EMU_NUM_INT8 || a == EMU_NUM_INT4) && (b == EMU_NUM_INT8 || b == EMU_NUM_INT4) && acc == EMU_NUM_INT32) return level->exact;
    if (acc != EMU_NUM_FP32) return NULL;
    if (a == EMU_NUM_FP32 && b == EMU_NUM_FP32) return level->rounded;
    if (!narrow(a) || !narrow(b)) return NULL;
    return emu_num_format[a].exponent == 8 || emu_num_format[b].exponent == 8 ? level->fused : level->exact;
}

/* Is the rule one that the core interprets? Its width and what follows from it are settled here. */
static int settle(struct job *job)
{
    emu_accumulate *rule = &job->rule;
    if (!rule->width) rule->width = 32;
    if (rule->order < 0 || rule->order > 2 || (rule->order == 1 && rule->block_k < 1)) return EMU_NUM_UNSUPPORTED;
    if (rule->width < 10 || rule->width > 32 || rule->inner_bits < 0 || rule->inner_bits > MOST_INNER_BITS) return EMU_NUM_UNSUPPORTED;
    if (rule->inner_bits && (rule->order != 1 || rule->block_k > MOST_INNER_K)) return EMU_NUM_UNSUPPORTED;
    job->narrow = rule->width < 32 || rule->inner_bits;
    return EMU_NUM_OK;
}

static int scaled_by(const emu_view *s, int64_t lines, int64_t blocks, int lines_at)
{
    if (!s) return EMU_NUM_OK;
    if (s->fmt != EMU_NUM_E8M0 && s->fmt != EMU_NUM_FP8_E4M3) return EMU_NUM_UNSUPPORTED;
    return s->n[lines_at] == lines && s->n[!lines_at] == blocks ? EMU_NUM_OK : EMU_NUM_BAD_SHAPE;
}

static int check_scales(const struct job *job)
{
    if (!job->scales) return EMU_NUM_OK;
    if (job->integer || job->scales->block < 1) return EMU_NUM_UNSUPPORTED;
    const int64_t blocks = (job->k + job->scales->block - 1) / job->scales->block;
    int code = scaled_by(job->scales->a, job->m, blocks, 1);
    return code ? code : scaled_by(job->scales->b, job->n, blocks, job->bt ? 1 : 0);
}

static int prepare(struct job *job)
{
    int64_t bk = job->b->n[job->bt ? 0 : 1], bn = job->b->n[job->bt ? 1 : 0];
    job->chain = choose(job->level, job->acc->fmt, job->a->fmt, job->b->fmt);
    job->integer = job->acc->fmt == EMU_NUM_INT32;
    job->m = job->acc->n[1];
    job->n = job->acc->n[0];
    job->k = job->a->n[0];
    if (!job->chain || settle(job)) return EMU_NUM_UNSUPPORTED;
    if (job->m < 0 || job->n < 0 || job->k < 0 || job->a->n[1] != job->m || bk != job->k || bn != job->n) return EMU_NUM_BAD_SHAPE;
    /* An odd number of cache lines apart, so that the rows of a tile do not fall into one set of the cache. */
    job->lda = ((job->k + 15) / 16 | 1) * 16;
    return check_scales(job);
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
    return emu_num_mm_scaled(acc, a, b, NULL, bt, accumulate, rule);
}

int emu_num_mm_scaled(const emu_view *acc, const emu_view *a, const emu_view *b, const emu_scales *scales, int bt, int accumulate,
                      const emu_accumulate *rule)
{
    struct job job = {.level = emu_num_current(), .acc = acc, .a = a, .b = b, .scales = scales, .rule = *rule, .bt = bt != 0,
                      .accumulate = accumulate != 0};
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
