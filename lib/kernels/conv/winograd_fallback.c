/* winograd_fallback.c: direct sums by lanes_columns, an image at a time, or by the algorithm that
   would sum a kernel gradient directly. Invariant: shapes and data decide which, never threads. */
#include "winograd_fallback.h"

#include "conv.h"
#include "few_products.h"
#include "kernels/table.h"
#include "lanes_columns.h"

/* ---- output, input gradient ------------------------------------------------------------------ */

static int64_t rows_counted(const gr__correlation *s) { return ceil_div(s->out_channels, ROWS); }

static size_t zeros_bytes(const gr__conv *c, const gr__correlation *s)
{
    return padded_bytes(c->G * rows_counted(s) * (int64_t)sizeof(int64_t));
}

static gr__lanes_columns panels_of_one(const gr__conv *c, gr__direction d)
{
    gr__lanes_columns p = lanes_columns_of(c, d);
    p.images = 1;
    return p;
}

enum { SOME_TASKS = 16 };

/* Images that one task takes. */
static int64_t images_at_once(const gr__conv *c) { return c->N * c->G < SOME_TASKS ? 1 : 4; }

void fallback_plan(const gr__conv *c, gr__direction d, gr__plan *plan)
{
    gr__correlation   s = correlation(c, d, 0);
    gr__lanes_columns p = panels_of_one(c, d);
    size_t            scratch = few_scratch(c, d), direct = lanes_columns_scratch(c, d, &p);
    if (scratch < direct) scratch = direct;
    if (plan->scratch < scratch) plan->scratch = scratch;
    plan->chunk = plan->tasks[0];
    plan->tasks[0] += c->G * rows_counted(&s);
    plan->tasks[plan->stages++] = ceil_div(c->N, images_at_once(c)) * c->G;
    plan->shared = ((plan->shared + 63) / 64 * 64) + zeros_bytes(c, &s);
}

static int64_t *zeros_in(
    const gr__conv *c, const gr__correlation *s, const gr__plan *plan, void *shared)
{
    return (int64_t *)(void *)((char *)shared + plan->shared - zeros_bytes(c, s));
}

static void count_zeros(const gr__correlation *s, const gr__group *o, int64_t block, int64_t *zeros)
{
    int64_t blocks = rows_counted(s);
    *zeros = zeros_of(s, o->k, even_part(s->out_channels, blocks, block),
        even_part(s->out_channels, blocks, block + 1));
}

static int64_t most_zeros(const int64_t *zeros, int64_t n)
{
    int64_t most = 0;
    for (int64_t i = 0; i < n; i++) most = at_least(most, zeros[i]);
    return most;
}

/* Some images of a group. */
static void mend(const gr__conv *c, gr__direction d, const gr__operands *o, gr__span images,
    int64_t g, int64_t zeros, void *scratch)
{
    few_shape         f = few_shape_of(c, d, zeros);
    gr__lanes_columns p = panels_of_one(c, d);
    for (int64_t n = images.begin; n < images.end; n++) {
        gr__group of = group(c, d, o, n, g);
        if (zeros <= most_zeros_of(f.s.in_channels)) {
            sum_few_products(&f, &of, scratch);
            continue;
        }
        for (int64_t piece = 0; piece < p.bands * f.residues; piece++)
            lanes_columns_piece(c, d, o, &p, piece, n, g, scratch);
    }
}

bool fallback_run(const gr__conv *c, const gr__plan *plan, const gr__operands *o, int stage,
    int64_t task, void *shared, void *scratch)
{
    gr__direction   d = plan->direction;
    gr__correlation s = correlation(c, d, 0);
    int64_t        *zeros = zeros_in(c, &s, plan, shared), blocks = rows_counted(&s),
            more = task - plan->chunk;
    if (stage == 0) {
        if (more < 0) return false;
        gr__group of_group = group(c, d, o, 0, more / blocks);
        count_zeros(&s, &of_group, more % blocks, zeros + more);
    } else if (stage == 2) {
        int64_t g = task % c->G, n = task / c->G * images_at_once(c);
        mend(c, d, o, (gr__span){ n, at_most(c->N, n + images_at_once(c)) }, g,
            most_zeros(zeros + g * blocks, blocks), scratch);
    } else
        /* all will be summed directly */
        return c->G == 1 && most_zeros(zeros, blocks) > most_zeros_of(s.in_channels);
    return true;
}

/* ---- kernel gradient ------------------------------------------------------------------------- */

enum { SOME_FILTERS = 4 };

typedef struct both_ways {
    gr__plan  transform, direct;
    gr__parts s;          /* of the direct sums */
    size_t    parts, few; /* where these begin in what all share; the scale is at its end */
} both_ways;

static size_t scale_bytes(const gr__conv *c, const gr__transforms *t)
{
    return padded_bytes(c->F * (c->C / c->G) * c->KH * t->pieces * (int64_t)sizeof(gr_real));
}

static both_ways ways_of(const gr__conv *c, const gr__transforms *t)
{
    both_ways                        w = { .transform = { .stages = 0 } };
    const gr__conv_algorithm *const *a = GR__NAME(conv_algorithms);
    /* lanes_columns at the latest */
    while (!(*a)->sums || (*a)->suits(c, GR__KERNEL_GRAD) != GR__PAYS) a++;
    t->plan(c, &w.transform);
    w.direct.algorithm = *a;
    (*a)->plan(c, GR__KERNEL_GRAD, &w.direct);
    w.s = (*a)->sums->parts(c);
    w.parts = padded_bytes((int64_t)w.transform.shared);
    w.few = w.parts + padded_bytes((int64_t)w.direct.shared);
    return w;
}

void fallback_kernel_grad_plan(const gr__conv *c, const gr__transforms *t, gr__plan *plan)
{
    both_ways w = ways_of(c, t);
    int       look = w.transform.stages;
    *plan = (gr__plan){ .algorithm = plan->algorithm, .direction = plan->direction };
    plan->stages = look + 3;
    plan->scratch = w.transform.scratch;
    if (plan->scratch < w.direct.scratch) plan->scratch = w.direct.scratch;
    plan->shared = w.few + padded_bytes(w.s.units) + scale_bytes(c, t);
    for (int i = 0; i < look; i++) plan->tasks[i] = w.transform.tasks[i];
    plan->tasks[look] = w.s.units;
    plan->tasks[look + 1] = w.direct.tasks[0];
    plan->tasks[look + 2] = ceil_div(c->F, SOME_FILTERS);
}

gr_real *fallback_scale(
    const gr__conv *c, const gr__transforms *t, const gr__plan *plan, void *shared)
{
    return (gr_real *)(void *)((char *)shared + plan->shared - scale_bytes(c, t));
}

static bool unit_has_few(const gr__conv *c, const gr__parts *s, const gr__operands *o, int64_t unit,
    const gr_real *scale, int64_t pieces)
{
    int64_t group = unit / s->chunks * s->groups, channel = unit % s->chunks * s->together,
            end = at_most(c->G, group + s->groups);
    gr__span channels = { channel, at_most(s->channels, channel + s->together) };
    for (; group < end; group++)
        if (!mend_weights(c, o, scale, pieces, group, channels)) return true;
    return false;
}

/* The weights of some filters, of the units that were summed directly. */
static void add_units(const gr__conv *c, const gr__parts *s, const uint8_t *few, int64_t task,
    const gr_real *parts, gr_real *y)
{
    for (int64_t f = task * SOME_FILTERS; f < at_most(c->F, (task + 1) * SOME_FILTERS); f++)
        for (int64_t chunk = 0; chunk < s->chunks; chunk++) {
            int64_t at = f * s->channels, channel = chunk * s->together,
                    end = at_most(s->channels, channel + s->together);
            if (few[f / s->filters / s->groups * s->chunks + chunk])
                add_parts(s, s->parts, parts, y, (at + channel) * s->taps, (at + end) * s->taps);
        }
}

void fallback_kernel_grad_run(const gr__conv *c, const gr__transforms *t, const gr__plan *plan,
    const gr__operands *o, int stage, int64_t task, void *shared, void *scratch)
{
    both_ways w = ways_of(c, t);
    gr_real  *parts = (gr_real *)(void *)((char *)shared + w.parts);
    uint8_t  *few = (uint8_t *)shared + w.few;
    int       look = plan->stages - 3;
    if (stage == look)
        few[task] = unit_has_few(c, &w.s, o, task, fallback_scale(c, t, plan, shared), t->pieces);
    else if (stage == look + 1) {
        if (few[task % w.s.units]) w.direct.algorithm->sums->sum(c, &w.s, o, task, parts, scratch);
    } else
        add_units(c, &w.s, few, task, parts, o->y);
}
