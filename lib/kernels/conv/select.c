/* select.c: the convolution (33) and its gradient by the input (34), both as correlations. Two algorithms share the register
   block: panels (P) lays the outputs of one image along the vector and serves everything; images (N) lays LANES images along it,
   copies less, and serves batches that fill the lanes. Few planes
   of output have a kernel of their own, and a kernel of one tap is a product of matrices. Invariant: a task owns its outputs, and sums in the order channel, tap. */
#include "conv.h"
#include "few_products.h"
#include "depthwise.h"
#include "by_taps.h"
#include "kernels/matmul.h"
#include "kernels/table.h"
#include "winograd2d.h"
#include "winograd1d.h"

enum { PANELS, IMAGES, PLANES, WINOGRAD, WINOGRAD_ROWS, TAPS }; /* variants */
enum { BORDER_BYTES = 3 << 18 };                          /* of the nearer caches, for the input of a task */
enum { TASKS = 16, LEAST_ROWS = 8 };                      /* worth splitting for more threads, down to so many rows of outputs */

/* The most that any phase asks for. */
typedef struct extent {
    int64_t rows, row_size; /* row_size: elements of the input for one row of outputs */
} extent;

static extent extent_of(const gr__conv *c, gr__direction d)
{
    extent e = { 0 };
    for (int64_t phase = 0; phase < GR__NAME(phases)(c, d); phase++) {
        gr__correlation s = GR__NAME(correlation)(c, d, phase);
        e.rows = at_least(e.rows, s.h.outs);
        if (s.K) e.row_size = at_least(e.row_size, s.channels * s.h.step * GR__NAME(border)(&s, 0, 1).cols);
    }
    return e;
}

static void panels_plan(const gr__conv *c, gr__direction d, gr__plan *plan)
{
    gr__panels p = GR__NAME(panels_of)(c, d);
    plan->variant = PANELS;
    plan->tasks[0] = ceil_div(c->N, p.images) * c->G * GR__NAME(phases)(c, d) * p.bands;
    plan->scratch = GR__NAME(panels_scratch)(c, d, &p);
}

static void images_plan(const gr__conv *c, gr__direction d, gr__plan *plan)
{
    extent  e = extent_of(c, d);
    int64_t units = ceil_div(c->N, LANES) * c->G;
    int64_t fit = BORDER_BYTES / (int64_t)sizeof(gr_real) / LANES / at_least(1, e.row_size) - c->KH;
    int64_t split = at_least(LEAST_ROWS, e.rows / ceil_div(TASKS, units));
    plan->variant = IMAGES;
    plan->chunk = at_least(1, at_most(at_most(fit, split), e.rows));
    plan->tasks[0] = units * ceil_div(e.rows, plan->chunk);
    plan->scratch = GR__NAME(images_scratch)(c, d, plan->chunk);
}

/* Phase 0 brings the kernel to its points, phase 1 runs through the chunks of LANES images, image after image. */
static void winograd_plan(const gr__conv *c, gr__direction d, gr__plan *plan)
{
    gr__correlation s = GR__NAME(correlation)(c, d, 0);
    gr__tiles       t = GR__NAME(winograd_tiles)(c, d);
    plan->variant = WINOGRAD;
    plan->phases = 2;
    plan->tasks[0] = winograd_blocks(&s);
    plan->tasks[1] = ceil_div(c->N, LANES) * t.bands * t.spans;
    plan->shared = padded_bytes(t.points * winograd_weights_point(&s, &t) * (int64_t)sizeof(gr_real));
    plan->scratch = GR__NAME(winograd_scratch)(&s, &t);
}

static void winograd_task(
    const gr__conv *c, gr__direction d, const gr__operands *o, int phase, int64_t task, gr_real *weights, void *scratch)
{
    gr__correlation s = GR__NAME(correlation)(c, d, 0);
    gr__tiles       t = GR__NAME(winograd_tiles)(c, d);
    int64_t         chunks = t.bands * t.spans, n = task / chunks * LANES;
    if (phase == 0) {
        GR__NAME(winograd_weights)(&s, &t, o->b, weights, task);
        return;
    }
    gr__group group = GR__NAME(group)(c, d, o, n, 0);
    GR__NAME(winograd_run)(&s, &group, &t, weights, (int)at_most(LANES, c->N - n), task % chunks, scratch);
}

/* ---- what Winograd's algorithm is too coarse for ------------------------------------------
   Phase 0 also counts the zeros in rows of the kernel, some rows a task, and a phase of its own
   looks at each image, and sums it directly if it must. */

static int64_t rows_counted(const gr__correlation *s) { return ceil_div(s->rows, ROWS); }

static size_t zeros_bytes(const gr__conv *c, const gr__correlation *s)
{
    return padded_bytes(c->G * rows_counted(s) * (int64_t)sizeof(int64_t));
}

static gr__panels panels_of_one(const gr__conv *c, gr__direction d)
{
    gr__panels p = GR__NAME(panels_of)(c, d);
    p.images = 1;
    return p;
}

static void mend_plan(const gr__conv *c, gr__direction d, gr__plan *plan)
{
    gr__correlation s = GR__NAME(correlation)(c, d, 0);
    gr__panels      p = panels_of_one(c, d);
    size_t          scratch = GR__NAME(few_scratch)(c, d), direct = GR__NAME(panels_scratch)(c, d, &p);
    if (scratch < direct) scratch = direct;
    if (plan->scratch < scratch) plan->scratch = scratch;
    plan->chunk = plan->tasks[0];
    plan->tasks[0] += c->G * rows_counted(&s);
    plan->tasks[plan->phases++] = c->N * c->G;
    plan->shared = ((plan->shared + 63) / 64 * 64) + zeros_bytes(c, &s);
}

static int64_t *zeros_in(const gr__conv *c, const gr__correlation *s, const gr__plan *plan, void *shared)
{
    return (int64_t *)(void *)((char *)shared + plan->shared - zeros_bytes(c, s));
}

static void count_zeros(const gr__correlation *s, const gr__group *o, int64_t block, int64_t *zeros)
{
    int64_t blocks = rows_counted(s);
    *zeros = GR__NAME(zeros_of)(s, o->k, part_of(s->rows, blocks, block), part_of(s->rows, blocks, block + 1));
}

static int64_t most_zeros(const int64_t *zeros, int64_t n)
{
    int64_t most = 0;
    for (int64_t i = 0; i < n; i++) most = at_least(most, zeros[i]);
    return most;
}

static void mend(const gr__conv *c, gr__direction d, const gr__operands *o, int64_t n, int64_t g, int64_t zeros, void *scratch)
{
    gr__group  group = GR__NAME(group)(c, d, o, n, g);
    gr__panels p = panels_of_one(c, d);
    if (zeros <= MOST_ZEROS && !GR__NAME(few_by_data)(c, d, &group, zeros, scratch)) return;
    for (int64_t phase = 0; phase < GR__NAME(phases)(c, d); phase++)
        for (int64_t band = 0; band < p.bands; band++) GR__NAME(panels_run)(c, d, o, &p, phase, n, g, band, scratch);
}

static void transformed(
    const gr__conv *c, gr__direction d, const gr__plan *plan, const gr__operands *o, int phase, int64_t task, void *shared, void *scratch)
{
    gr__correlation s = GR__NAME(correlation)(c, d, 0);
    int64_t        *zeros = zeros_in(c, &s, plan, shared), blocks = rows_counted(&s), more = task - plan->chunk;
    if (phase == 0 && more >= 0) {
        gr__group o_of_group = GR__NAME(group)(c, d, o, 0, more / blocks);
        count_zeros(&s, &o_of_group, more % blocks, zeros + more);
    } else if (phase == 2) {
        int64_t g = task % c->G;
        mend(c, d, o, task / c->G, g, most_zeros(zeros + g * blocks, blocks), scratch);
    } else if (phase == 1 && most_zeros(zeros, c->G * blocks) > MOST_ZEROS && c->G == 1)
        return; /* all will be summed directly */
    else if (plan->variant == WINOGRAD)
        winograd_task(c, d, o, phase, task, shared, scratch);
    else
        GR__NAME(winograd_rows_run)(c, d, o, phase, task, shared, scratch);
}

/* A kernel of one tap: for each image, kernel (or its transpose) times planes. */
static gr__matmul product_of(const gr__conv *c, gr__direction d)
{
    gr__matmul m = { .M = c->F, .N = c->H * c->W, .K = c->C, .batch = c->N };
    if (d == GR__INPUT_GRAD) m.M = c->C, m.K = c->F, m.transpose_a = true;
    m.b_step = m.K * m.N;
    return m;
}

/* By Winograd's algorithm, if that pays. */
static bool find_transform(const gr__conv *c, gr__direction d, gr__plan *plan)
{
    bool tiles = GR__NAME(winograd_pays)(c, d);
    if ((!tiles && !GR__NAME(winograd_rows_pay)(c, d)) || GR__NAME(few_by_shape)(c, d)) return false;
    if (tiles)
        winograd_plan(c, d, plan);
    else {
        plan->variant = WINOGRAD_ROWS;
        GR__NAME(winograd_rows_plan)(c, d, plan);
    }
    mend_plan(c, d, plan);
    return true;
}

static void plan_of(const gr__conv *c, gr__direction d, bool direct, gr__plan *plan)
{
    *plan = (gr__plan){ .phases = 1 };
    gr__correlation s = GR__NAME(correlation)(c, d, 0);
    if (!c->N || !c->G || !s.rows || !s.y_plane) return;
    if (GR__NAME(taps_pay)(c, d)) {
        plan->variant = TAPS;
        GR__NAME(taps_plan)(c, d, plan);
        return;
    }
    if (!direct && fills_lanes(c) && find_transform(c, d, plan)) return;
    if (is_product(c)) {
        gr__matmul m = product_of(c, d);
        GR__NAME(matmul_plan)(&m, plan);
        return;
    }
    if (GR__NAME(planes_pay)(c, d)) {
        plan->variant = PLANES;
        GR__NAME(planes_plan)(c, d, plan);
        return;
    }
    /* A kernel of one tap reads each input once, so that there is no copying to save. */
    int64_t phases = GR__NAME(phases)(c, d);
    if (c->KH * c->KW > 1 && phases <= GR__MOST_PHASES && s.channels && s.x_plane && fills_lanes(c) &&
        !(phases == 1 && GR__NAME(panels_pay)(&s)))
        images_plan(c, d, plan);
    else
        panels_plan(c, d, plan);
}

/* Tasks run through the chunks of a group, the groups of LANES images, the batch. */
static void images_task(const gr__conv *c, gr__direction d, const gr__plan *plan, const gr__operands *o, int64_t task, void *scratch)
{
    int64_t   rows = GR__NAME(correlation)(c, d, 0).h.outs, chunks = ceil_div(rows, plan->chunk), unit = task / chunks;
    int64_t   begin = task % chunks * plan->chunk, n = unit / c->G * LANES;
    gr__group group = GR__NAME(group)(c, d, o, n, unit % c->G);
    GR__NAME(images_run)(c, d, &group, (int)at_most(LANES, c->N - n), begin, at_most(begin + plan->chunk, rows), scratch);
}

/* Tasks run through the bands of a phase, the phases of a group, the groups of some images, the batch. */
static void panels_task(const gr__conv *c, gr__direction d, const gr__operands *o, int64_t task, void *scratch)
{
    gr__panels p = GR__NAME(panels_of)(c, d);
    int64_t    phases = GR__NAME(phases)(c, d), unit = task / p.bands / phases;
    GR__NAME(panels_run)(c, d, o, &p, task / p.bands % phases, unit / c->G * p.images, unit % c->G, task % p.bands, scratch);
}

static void run(
    const gr__conv *c, gr__direction d, const gr__plan *plan, const gr__operands *o, int phase, int64_t task, void *shared, void *scratch)
{
    if (is_product(c)) {
        gr__matmul m = product_of(c, d);
        GR__NAME(matmul_by_rows_run)(&m, plan, &(gr__operands){ o->b, o->a, o->bias, o->y, o->act }, phase, task, shared, scratch);
    } else if (plan->variant == TAPS)
        GR__NAME(taps_run)(c, d, o, task, scratch);
    else if (plan->variant == WINOGRAD || plan->variant == WINOGRAD_ROWS)
        transformed(c, d, plan, o, phase, task, shared, scratch);
    else if (plan->variant == IMAGES)
        images_task(c, d, plan, o, task, scratch);
    else if (plan->variant == PLANES)
        GR__NAME(planes_run)(c, d, plan, o, task, scratch);
    else
        panels_task(c, d, o, task, scratch);
}

void GR__NAME(conv_plan)(const gr__conv *c, gr__plan *plan) { plan_of(c, GR__FORWARD, false, plan); }

void GR__NAME(conv_direct_plan)(const gr__conv *c, gr__plan *plan) { plan_of(c, GR__FORWARD, true, plan); }

void GR__NAME(conv_run)(
    const gr__conv *c, const gr__plan *plan, const gr__operands *o, int phase, int64_t task, void *shared, void *scratch)
{
    run(c, GR__FORWARD, plan, o, phase, task, shared, scratch);
}

void GR__NAME(conv_input_grad_plan)(const gr__conv *c, gr__plan *plan) { plan_of(c, GR__INPUT_GRAD, false, plan); }

void GR__NAME(conv_input_grad_direct_plan)(const gr__conv *c, gr__plan *plan) { plan_of(c, GR__INPUT_GRAD, true, plan); }

void GR__NAME(conv_input_grad_run)(
    const gr__conv *c, const gr__plan *plan, const gr__operands *o, int phase, int64_t task, void *shared, void *scratch)
{
    run(c, GR__INPUT_GRAD, plan, o, phase, task, shared, scratch);
}
