/* winograd1d_kernel_grad.c: the kernel gradient by the transforms of winograd1d.h. One image a
   lane: at each point, the sum over tiles and images is a dot product of windows of the input's
   points with planes of the gradient's. A task sums some channels over a part of the images; then
   the parts are added in order, and brought back. Invariant: parts and order depend on the shape
   alone. */
#include "winograd1d.h"

#include "conv.h"
#include "few_products.h"
#include "winograd_fallback.h"

enum {
    INPUT_BYTES = 512 << 10,
    GRAD_BYTES = 384 << 10
}; /* of the second cache, for the points of each */
enum {
    TILES = 70,
    TILES_ACROSS = 10
}; /* of a sum, and of one row of it: the operands of a block stay in the nearest cache */
enum {
    WINOGRAD1D_GRAD_MOST_PARTS = 8,
    WINOGRAD1D_GRAD_PART_SIZE = 1 << 20,
    WINOGRAD1D_GRAD_FILTERS_AT_ONCE = 4
};

/* What is summed at once: a rectangle of tiles of one block of LANES images, or of two; a task goes
   through all of its images by these. */
typedef struct winograd1d_grad_shape {
    int64_t rows, cols, spans, blocks; /* at most; spans of columns */
    int64_t channels, parts;           /* of a task; in all */
    int64_t filters;                   /* at once */
    int64_t x, g;                      /* vectors of a block's points */
    int64_t input;                     /* vectors of one interleaved plane */
} winograd1d_grad_shape;

static int64_t rows_read(const gr__conv *c, int64_t rows)
{
    return (rows - 1) * c->SH + (c->KH - 1) * c->DH + 1;
}

static winograd1d_grad_shape winograd1d_grad_shape_of(const gr__conv *c, const gr__winograd1d *r)
{
    winograd1d_grad_shape s = {
        .spans = ceil_div(r->across, TILES_ACROSS), .channels = c->C / c->G, .blocks = 1
    };
    int64_t vector = LANES * (int64_t)sizeof(gr_real), all = ceil_div(c->N, LANES),
            x = INPUT_BYTES / vector, g = GRAD_BYTES / vector;
    s.cols = ceil_div(r->across, s.spans);
    s.rows = at_most(c->OH, ceil_div(TILES, s.cols));
    s.parts = at_most(at_least(1, WINOGRAD1D_GRAD_PART_SIZE / r->points / r->point),
        at_most(WINOGRAD1D_GRAD_MOST_PARTS, at_least(at_most(2, all), all / 2)));
    if (s.rows * s.cols < TILES) s.blocks = at_most(2, ceil_div(all, s.parts));
    int64_t line = r->points * rows_read(c, s.rows) * s.cols * s.blocks,
            plane = r->points * s.rows * s.cols * s.blocks;
    s.channels = at_most(s.channels, at_least(1, x / line / r->pieces));
    s.filters = at_most(r->filters, DOT_ROWS * at_least(1, g / plane / DOT_ROWS));
    s.x = rows_read(c, s.rows) * s.channels * r->pieces * s.cols;
    s.g = s.rows * s.filters * s.cols;
    s.input = at_least(rows_read(c, s.rows) * (s.cols * r->outs + r->points) * r->pieces,
                  s.rows * s.cols * r->outs) +
              LANES;
    return s;
}

static size_t table_bytes(const winograd1d_grad_shape *s)
{
    return padded_bytes(2 * s->blocks * s->rows * s->cols * (int64_t)sizeof(int64_t));
}

/* Vectors from point to point: one more than it must be, as in winograd2d.c. */
static int64_t point_x(const winograd1d_grad_shape *s) { return s->blocks * s->x + 1; }

static int64_t point_g(const winograd1d_grad_shape *s) { return s->blocks * s->g + 1; }

static void winograd1d_grad_transform_plan(const gr__conv *c, gr__plan *plan)
{
    gr__winograd1d        r = winograd1d_of(c, &winograd1d_nine);
    winograd1d_grad_shape s = winograd1d_grad_shape_of(c, &r);
    plan->stages = 2;
    plan->tasks[0] = s.parts * c->G * ceil_div(c->C / c->G, s.channels);
    plan->tasks[1] = ceil_div(c->F, WINOGRAD1D_GRAD_FILTERS_AT_ONCE);
    plan->shared = padded_bytes(s.parts * r.points * r.point * (int64_t)sizeof(gr_real));
    plan->scratch =
        table_bytes(&s) + padded_bytes((r.points * (point_x(&s) + point_g(&s)) + s.input) * LANES *
                                       (int64_t)sizeof(gr_real));
}

/* ---- sums ------------------------------------------------------------------------------------ */

/* What is in hand: some channels of a group, and a rectangle of its tiles. */
typedef struct winograd1d_grad_work {
    const gr__conv       *c;
    const gr__operands   *o;
    gr__winograd1d        r;
    winograd1d_grad_shape s;
    int64_t               group, channel, lines;
    int64_t               n, blocks; /* the first image; blocks of LANES */
    int64_t               row, rows, tile, cols;
    int64_t              *offset, *along;
    gr_real              *x, *g, *input;
} winograd1d_grad_work;

static winograd1d_grad_work winograd1d_grad_lay_out(
    const gr__conv *c, const gr__operands *o, void *scratch)
{
    winograd1d_grad_work w = {
        .c = c, .o = o, .r = winograd1d_of(c, &winograd1d_nine), .offset = scratch
    };
    w.s = winograd1d_grad_shape_of(c, &w.r);
    w.along = w.offset + w.s.blocks * w.s.rows * w.s.cols;
    w.x = (gr_real *)(void *)((char *)scratch + table_bytes(&w.s));
    w.g = w.x + w.r.points * point_x(&w.s) * LANES;
    w.input = w.g + w.r.points * point_g(&w.s) * LANES;
    return w;
}

/* x[point][block][row][line][tile] */
static void inputs_to_points(const winograd1d_grad_work *w, int64_t b)
{
    const gr__conv       *c = w->c;
    const gr__winograd1d *r = &w->r;
    const int64_t X = c->H * c->W, n = w->n + b * LANES, row_step = w->lines * w->cols * LANES;
    gr__border    at = { .h = w->row * c->SH - c->PH,
           .w = w->tile * r->outs * r->pieces - c->PW,
           .rows = rows_read(c, w->rows),
           .cols = (w->cols * r->outs + r->points - r->outs) * r->pieces };
    for (int64_t l = 0; l < w->lines; l++) {
        const gr_real *from =
            w->o->a + (n * c->C + w->group * (c->C / c->G) + w->channel + l / r->pieces) * X;
        if (l % r->pieces == 0)
            interleave(w->input, &at, from, w->o->a + c->N * c->C * X, c->C * X,
                (int)at_most(LANES, c->N - n), 1, (gr__plane_size){ c->H, c->W });
        for (int64_t i = 0; i < at.rows; i++) {
            gr_real *to = w->x + (b * w->s.x + l * w->cols) * LANES + i * row_step;
            winograd1d_inputs(
                to, point_x(&w->s), w->input + (i * at.cols + l % r->pieces) * LANES, r, w->cols);
        }
    }
}

/* g[point][block][filter][row][tile], of filters f..f+filters. */
static void grads_to_points(const winograd1d_grad_work *w, int64_t b, int64_t f, int64_t filters)
{
    const gr__conv       *c = w->c;
    const gr__winograd1d *r = &w->r;
    const int64_t         Y = c->OH * c->OW, n = w->n + b * LANES;
    gr__border            at = {
                   .h = w->row, .w = w->tile * r->outs, .rows = w->rows, .cols = w->cols * r->outs
    };
    gr_real *to = w->g + b * w->s.g * LANES;
    for (int64_t k = 0; k < filters; k++) {
        const gr_real *from = w->o->b + (n * c->F + w->group * r->filters + f + k) * Y;
        interleave(w->input, &at, from, w->o->b + c->N * c->F * Y, c->F * Y,
            (int)at_most(LANES, c->N - n), 1, (gr__plane_size){ c->OH, c->OW });
        for (int64_t i = 0; i < w->rows; i++, to += w->cols * LANES)
            winograd1d_grads(to, point_g(&w->s), w->input + i * at.cols * LANES, r, w->cols);
    }
}

/* The sums of one point, onto what is there: sums[filter][line][tap down]. */
static void add_products(
    const winograd1d_grad_work *w, int p, int64_t filters, bool onto, gr_real *sums)
{
    const int64_t KH = w->c->KH, across = ceil_div(w->lines * KH, DOT_COLS),
                  down = ceil_div(filters, DOT_ROWS), plane = w->rows * w->cols;
    gr__dot_block m = { .offset = w->offset,
        .along = w->along,
        .T = w->blocks * plane,
        .onto = onto,
        .y_row = w->r.lines * KH };
    for (int64_t j = 0; j < across; j++) {
        int64_t first = even_part(w->lines * KH, across, j),
                cols = even_part(w->lines * KH, across, j + 1) - first;
        for (int64_t k = 0; k < cols; k++) {
            int64_t l = (first + k) / KH, a = (first + k) % KH;
            m.b[k] = w->x + (p * point_x(&w->s) + (a * w->c->DH * w->lines + l) * w->cols) * LANES;
        }
        for (int64_t i = 0; i < down; i++) {
            int64_t f = even_part(filters, down, i), rows = even_part(filters, down, i + 1) - f;
            for (int64_t k = 0; k < rows; k++)
                m.a[k] = w->g + (p * point_g(&w->s) + (f + k) * plane) * LANES;
            m.y = sums + f * m.y_row + first;
            dot_block(&m, (int)rows, (int)cols);
        }
    }
}

/* Where the tiles in hand stand in the points of a plane of the gradient, and of a line of the
   input. */
static void find_tiles(const winograd1d_grad_work *w)
{
    for (int64_t b = 0, t = 0; b < w->blocks; b++)
        for (int64_t i = 0; i < w->rows; i++)
            for (int64_t j = 0; j < w->cols; j++, t++) {
                w->along[t] = (b * w->s.g + i * w->cols + j) * LANES;
                w->offset[t] = (b * w->s.x + i * w->c->SH * w->lines * w->cols + j) * LANES;
            }
}

static void add_tiles(const winograd1d_grad_work *w, bool onto, gr_real *sums)
{
    find_tiles(w);
    for (int64_t b = 0; b < w->blocks; b++) inputs_to_points(w, b);
    for (int64_t f = 0; f < w->r.filters; f += w->s.filters) {
        int64_t filters = at_most(w->s.filters, w->r.filters - f);
        for (int64_t b = 0; b < w->blocks; b++) grads_to_points(w, b, f, filters);
        for (int p = 0; p < winograd1d_nine.points; p++)
            add_products(w, p, filters, onto, sums + p * w->r.point + f * w->r.lines * w->c->KH);
    }
}

static void winograd1d_grad_sum_part(
    const gr__conv *c, const gr__operands *o, int64_t task, gr_real *parts, void *scratch)
{
    winograd1d_grad_work w = winograd1d_grad_lay_out(c, o, scratch);
    int64_t C = c->C / c->G, chunks = ceil_div(C, w.s.channels), part = task / chunks / c->G,
            all = ceil_div(c->N, LANES);
    bool onto = false;
    w.group = task / chunks % c->G;
    w.channel = task % chunks * w.s.channels;
    w.lines = at_most(w.s.channels, C - w.channel) * w.r.pieces;
    gr_real *sums = parts + part * w.r.points * w.r.point +
                    (w.group * w.r.filters * w.r.lines + w.channel * w.r.pieces) * c->KH;
    int64_t end = even_part(all, w.s.parts, part + 1);
    for (int64_t b = even_part(all, w.s.parts, part); b < end; b += w.s.blocks)
        for (int64_t i = 0; i < ceil_div(c->OH, w.s.rows) * w.s.spans; i++, onto = true) {
            w.n = b * LANES;
            w.blocks = at_most(w.s.blocks, end - b);
            w.row = i / w.s.spans * w.s.rows;
            w.rows = at_most(w.s.rows, c->OH - w.row);
            w.tile = even_part(w.r.across, w.s.spans, i % w.s.spans);
            w.cols = even_part(w.r.across, w.s.spans, i % w.s.spans + 1) - w.tile;
            add_tiles(&w, onto, sums);
        }
}

/* ---- the way back ---------------------------------------------------------------------------- */

/* LANES rows of the kernel from their points, those of all parts added; the greatest of these. */
static vec rows_back(
    const gr__winograd1d *r, int64_t parts, const gr_real *sums, gr_real (*taps)[LANES])
{
    vec m[WINOGRAD1D_MOST_POINTS], k[WINOGRAD1D_MOST_TAPS], scale = { 0 };
    for (int p = 0; p < winograd1d_nine.points; p++) {
        m[p] = vec_load(sums + p * r->point);
        for (int64_t part = 1; part < parts; part++)
            m[p] += vec_load(sums + (part * r->points + p) * r->point);
        scale = vec_choose(m[p] > scale, m[p], scale);
        scale = vec_choose(-m[p] > scale, -m[p], scale);
    }
    winograd1d_kernel_grad(k, m);
    for (int b = 0; b < WINOGRAD1D_MOST_TAPS; b++) vec_store(taps[b], k[b]);
    return scale;
}

static void filter_back(const gr__conv *c, const gr__winograd1d *r, int64_t parts,
    const gr_real *sums, gr_real *y, gr_real *scale)
{
    gr_real taps[WINOGRAD1D_MOST_TAPS][LANES];
    vec     greatest = { 0 };
    int64_t lane = LANES;
    for (int64_t l = 0; l < r->lines; l++)
        for (int64_t a = 0; a < c->KH; a++, lane++) {
            gr_real *row = y + (l / r->pieces * c->KH + a) * c->KW;
            if (lane == LANES) {
                greatest = rows_back(r, parts, sums + l * c->KH + a, taps);
                lane = 0;
            }
            for (int64_t b = 0, at = l % r->pieces; at < c->KW; b++, at += r->pieces)
                row[at] = taps[b][lane];
            scale[(l / r->pieces * c->KH + a) * r->pieces + l % r->pieces] = greatest[lane];
        }
}

/* ---- the algorithm --------------------------------------------------------------------------- */

static gr__suits winograd1d_kernel_grad_suits(const gr__conv *c, gr__direction d)
{
    if (d != GR__KERNEL_GRAD || !c->N || !winograd1d_fits(c)) return GR__CANNOT;
    gr__winograd1d        r = winograd1d_of(c, &winograd1d_nine);
    winograd1d_grad_shape s = winograd1d_grad_shape_of(c, &r);
    int64_t inputs = ceil_div(c->OH, s.rows) * rows_read(c, s.rows) * s.spans * s.cols;
    bool    cheaper =
        winograd1d_is_cheaper(c, &r, inputs, c->OH * r.across * ceil_div(c->C / c->G, s.channels));
    return pays_if(fills_lanes(c) && cheaper && !few_weights_by_shape(c));
}

static gr__transforms winograd1d_transforms(const gr__conv *c)
{
    return (gr__transforms){ winograd1d_grad_transform_plan,
        winograd1d_of(c, &winograd1d_nine).pieces };
}

static void winograd1d_kernel_grad_plan(const gr__conv *c, gr__direction d, gr__plan *plan)
{
    (void)d;
    gr__transforms t = winograd1d_transforms(c);
    fallback_kernel_grad_plan(c, &t, plan);
}

static void winograd1d_kernel_grad_run(const gr__conv *c, const gr__plan *plan,
    const gr__operands *o, int stage, int64_t task, void *shared, void *scratch)
{
    gr__transforms t = winograd1d_transforms(c);
    gr_real       *parts = shared, *scale = fallback_scale(c, &t, plan, shared);
    if (is_fallback_stage(plan, stage)) {
        fallback_kernel_grad_run(c, &t, plan, o, stage, task, shared, scratch);
        return;
    }
    if (stage == 0) {
        winograd1d_grad_sum_part(c, o, task, parts, scratch);
        return;
    }
    gr__winograd1d        r = winograd1d_of(c, &winograd1d_nine);
    winograd1d_grad_shape s = winograd1d_grad_shape_of(c, &r);
    for (int64_t f = task * WINOGRAD1D_GRAD_FILTERS_AT_ONCE;
         f < at_most(c->F, (task + 1) * WINOGRAD1D_GRAD_FILTERS_AT_ONCE); f++) {
        int64_t row = f * r.lines / r.pieces * c->KH;
        filter_back(c, &r, s.parts, parts + f * r.lines * c->KH, o->y + row * c->KW,
            scale + row * r.pieces);
    }
}

const gr__conv_algorithm GR__NAME(winograd1d_kernel_grad) = {
    .name = "winograd1d",
    .suits = winograd1d_kernel_grad_suits,
    .plan = winograd1d_kernel_grad_plan,
    .run = winograd1d_kernel_grad_run,
};
