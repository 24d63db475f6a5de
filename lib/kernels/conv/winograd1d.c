/* winograd1d.c: the output and the input gradient by the transforms of winograd1d.h. A task takes
   some rows, and some tiles of each, of LANES images, one image a lane: all planes that it reads
   are brought to the points, and ROWS planes of outputs are made at a time, from products that stay
   in the nearest cache. Invariant: what a lane's image gives does not depend on the others, nor on
   threads. */
#include "winograd1d.h"

#include "conv.h"
#include "few_products.h"
#include "kernels/table.h"
#include "winograd_fallback.h"

#include <math.h>

enum { POINTS_BYTES = 512 << 10 }; /* of the second cache, for the points of what a task reads */
enum {
    WINOGRAD1D_TASKS = 16,
    WINOGRAD1D_LEAST_ROWS = 4
};                                    /* worth splitting for more threads, down to so many rows */
enum { BLOCK = ROWS * COLS * LANES }; /* of one point */

gr__winograd1d winograd1d_of(const gr__conv *c, const winograd1d_points *set)
{
    gr__winograd1d r = { .points = set->points,
        .pieces = c->SW,
        .taps = ceil_div(c->KW, c->SW),
        .filters = c->F / c->G };
    r.outs = r.points + 1 - r.taps;
    r.lines = c->C / c->G * r.pieces;
    r.across = ceil_div(c->OW, r.outs);
    r.point = c->F * c->KH * r.lines + LANES;
    return r;
}

/* ---- tiles ----------------------------------------------------------------------------------- */

GR__INLINE void winograd1d_inputs_of(gr_real *to, int64_t point, const gr_real *from,
    const gr__winograd1d *r, int64_t count, const winograd1d_points *set)
{
    const int64_t S = r->pieces * LANES;
    for (int64_t t = 0; t < count; t++, from += r->outs * S, to += LANES) {
        vec d[WINOGRAD1D_MOST_POINTS], points[WINOGRAD1D_MOST_POINTS];
        GR__UNROLL
        for (int j = 0; j < set->points; j++) d[j] = vec_load(from + j * S);
        winograd1d_input(points, d, set);
        GR__UNROLL
        for (int p = 0; p < set->points; p++) vec_store(to + p * point * LANES, points[p]);
    }
}

void winograd1d_inputs(
    gr_real *to, int64_t point, const gr_real *from, const gr__winograd1d *r, int64_t count)
{
    if (r->points == winograd1d_eight.points)
        winograd1d_inputs_of(to, point, from, r, count, &winograd1d_eight);
    else
        winograd1d_inputs_of(to, point, from, r, count, &winograd1d_nine);
}

GR__INLINE void winograd1d_grads_of(
    gr_real *to, int64_t point, const gr_real *from, int64_t count, const int outs)
{
    for (int64_t t = 0; t < count; t++, from += outs * LANES, to += LANES) {
        vec g[WINOGRAD1D_MOST_OUTS], points[WINOGRAD1D_MOST_POINTS];
        GR__UNROLL
        for (int j = 0; j < outs; j++) g[j] = vec_load(from + j * LANES);
        winograd1d_output_grad(points, g, outs);
        GR__UNROLL
        for (int p = 0; p < winograd1d_nine.points; p++)
            vec_store(to + p * point * LANES, points[p]);
    }
}

void winograd1d_grads(
    gr_real *to, int64_t point, const gr_real *from, const gr__winograd1d *r, int64_t count)
{
    if (r->outs == 5)
        winograd1d_grads_of(to, point, from, count, 5);
    else if (r->outs == 6)
        winograd1d_grads_of(to, point, from, count, 6);
    else
        winograd1d_grads_of(to, point, from, count, 7);
}

/* ---- the kernel ------------------------------------------------------------------------------ */

/* `count` rows of taps, one a lane, to points. */
static void rows_to_points(
    gr_real *to, const gr__winograd1d *r, gr_real (*taps)[LANES], int64_t count)
{
    vec k[WINOGRAD1D_MOST_TAPS], points[WINOGRAD1D_MOST_POINTS];
    for (int b = 0; b < WINOGRAD1D_MOST_TAPS; b++) k[b] = vec_load(taps[b]);
    winograd1d_kernel(points, k, r->taps,
        r->points == winograd1d_eight.points ? &winograd1d_eight : &winograd1d_nine);
    for (int64_t p = 0; p < r->points; p++) vec_store_some(to + p * r->point, points[p], count);
}

/* The points of one filter's rows: to[point][line][tap down]. */
static void filter_to_points(
    const gr__conv *c, const gr__winograd1d *r, const gr_real *k, gr_real *to)
{
    gr_real taps[WINOGRAD1D_MOST_TAPS][LANES] = { { 0 } };
    int64_t lane = 0;
    for (int64_t l = 0; l < r->lines; l++)
        for (int64_t a = 0; a < c->KH; a++) {
            const gr_real *row = k + (l / r->pieces * c->KH + a) * c->KW;
            for (int64_t b = 0, at = l % r->pieces; b < WINOGRAD1D_MOST_TAPS; b++, at += r->pieces)
                taps[b][lane] = at < c->KW ? row[at] : 0;
            if (++lane < LANES) continue;
            rows_to_points(to, r, taps, LANES);
            to += LANES;
            lane = 0;
        }
    if (lane) rows_to_points(to, r, taps, lane);
}

/* ---- tasks ----------------------------------------------------------------------------------- */

/* What a task takes, at most: rows of outputs, tiles of each; how many planes it reads, and
   makes. */
typedef struct winograd1d_cut {
    int64_t rows, bands, cols, spans;
    int64_t reads, makes;
} winograd1d_cut;

static winograd1d_cut winograd1d_cut_of(
    const gr__conv *c, gr__direction d, const gr__correlation *s, const gr__winograd1d *r)
{
    bool           forward = d == GR__FORWARD;
    winograd1d_cut u = { .reads = forward ? r->lines : r->filters,
        .makes = forward ? r->filters : r->lines };
    int64_t        most = POINTS_BYTES / LANES / (int64_t)sizeof(gr_real) / r->points / u.reads,
            high = (c->KH - 1) * c->DH + 1;
    u.spans = at_most(r->across, ceil_div(high * r->across, at_least(1, most)));
    u.cols =
        ceil_div(r->across, u.spans) +
        (!forward && u.spans > 1); /* in an input gradient, a tile reaches into the next span */
    int64_t fit = (most / u.cols - high) / s->h.step + 1,
            units = ceil_div(c->N, LANES) * c->G * u.spans;
    int64_t split =
        at_least(WINOGRAD1D_LEAST_ROWS, ceil_div(s->h.outs, ceil_div(WINOGRAD1D_TASKS, units)));
    u.bands = ceil_div(s->h.outs, at_least(1, at_most(fit, split)));
    u.rows = ceil_div(s->h.outs, u.bands);
    u.bands = ceil_div(s->h.outs, u.rows);
    return u;
}

/* Vectors of a task's arrays. */
typedef struct winograd1d_sizes {
    int64_t input, point, output;
} winograd1d_sizes;

static winograd1d_sizes winograd1d_sizes_of(const gr__conv *c, gr__direction d,
    const gr__correlation *s, const gr__winograd1d *r, const winograd1d_cut *u)
{
    gr__border b = border(s, 0, u->rows);
    int64_t    width =
        d == GR__FORWARD ? u->cols * r->outs : at_most(c->W, u->cols * r->outs + r->points);
    int64_t input = b.rows * (u->cols * r->outs + r->points) * r->pieces;
    return (winograd1d_sizes){ input + LANES, b.rows * u->reads * u->cols + 1,
        u->rows * width + LANES };
}

static size_t winograd1d_offsets_bytes(const gr__conv *c, const winograd1d_cut *u)
{
    return padded_bytes(c->KH * u->reads * (int64_t)sizeof(gr__offsets));
}

typedef struct winograd1d_work {
    const gr__conv *c;
    gr__direction   d;
    gr__correlation s;
    gr__winograd1d  r;
    winograd1d_cut  u;
    int64_t         row, rows, tile, cols; /* of the outputs, of their tiles: the first, how many */
    int64_t         left, width;           /* of the results' rows: the first column, how many */
    gr__border      border;                /* the rows that are read */
    gr__offsets    *step;
    gr_real        *input, *points, *product, *output;
    int64_t point, plane; /* vectors: from point to point, from plane to plane of the results */
} winograd1d_work;

/* The results of tiles begin..end-1: in an input gradient, those up to where the next tile begins;
   and the tile before them adds to the first. */
static void find_columns(winograd1d_work *w, int64_t begin, int64_t end)
{
    const gr__winograd1d *r = &w->r;
    const bool            forward = w->d == GR__FORWARD;
    int64_t               out = forward ? 0 : w->c->PW,
            right = end < r->across ? end * r->outs - out : w->s.w.outs;
    w->left = at_least(0, begin * r->outs - out);
    w->width = right - w->left;
    w->tile = begin - (!forward && begin > 0);
    w->cols = end - w->tile;
}

static winograd1d_work winograd1d_lay_out(
    const gr__conv *c, gr__direction d, int64_t chunk, void *scratch)
{
    winograd1d_work w = { .c = c,
        .d = d,
        .s = correlation(c, d, 0),
        .r = winograd1d_of(c, winograd1d_points_of(d)),
        .step = scratch };
    w.u = winograd1d_cut_of(c, d, &w.s, &w.r);
    winograd1d_sizes n = winograd1d_sizes_of(c, d, &w.s, &w.r, &w.u);
    w.row = chunk / w.u.spans * w.u.rows;
    w.rows = at_most(w.u.rows, w.s.h.outs - w.row);
    find_columns(&w, even_part(w.r.across, w.u.spans, chunk % w.u.spans),
        even_part(w.r.across, w.u.spans, chunk % w.u.spans + 1));
    w.border = border(&w.s, w.row, w.row + w.rows);
    w.points = (gr_real *)(void *)((char *)scratch + winograd1d_offsets_bytes(c, &w.u));
    w.product = w.points + w.r.points * n.point * LANES;
    w.output = w.product + w.r.points * BLOCK;
    w.input = w.output + ROWS * n.output * LANES;
    w.point = n.point;
    w.plane = n.output;
    const gr__axis *h = &w.s.h;
    for (int64_t a = 0; a < c->KH; a++)
        for (int64_t l = 0; l < w.u.reads; l++)
            w.step[a * w.u.reads + l] =
                (gr__offsets){ d == GR__FORWARD ? l * c->KH + a : l * w.r.lines * c->KH + a,
                    (a * h->offset_step * w.u.reads + l) * w.cols * LANES };
    return w;
}

/* All planes that are read, to points: points[point][row][plane][tile]. */
static void winograd1d_bring_in(const winograd1d_work *w, const gr__group *o, int images)
{
    const gr__winograd1d *r = &w->r;
    const bool            forward = w->d == GR__FORWARD;
    const int64_t         pieces = forward ? r->pieces : 1, row_step = w->u.reads * w->cols * LANES;
    gr__border            b = { .h = w->border.h, .w = w->tile * r->outs };
    b.rows = w->border.rows;
    b.cols = w->cols * r->outs;
    if (forward) {
        b.w = b.w * r->pieces - w->c->PW;
        b.cols = (b.cols + r->points - r->outs) * r->pieces;
    }
    for (int64_t l = 0; l < w->u.reads; l++) {
        if (l % pieces == 0)
            interleave(w->input, &b, o->x + l / pieces * w->s.x_plane, o->x_end,
                w->c->G * w->s.in_channels * w->s.x_plane, images, 1,
                (gr__plane_size){ w->s.h.in, w->s.w.in });
        for (int64_t i = 0; i < b.rows; i++) {
            gr_real       *to = w->points + i * row_step + l * w->cols * LANES;
            const gr_real *from = w->input + (i * b.cols + l % pieces) * LANES;
            if (forward)
                winograd1d_inputs(to, w->point, from, r, w->cols);
            else
                winograd1d_grads(to, w->point, from, r, w->cols);
        }
    }
}

/* ---- outputs --------------------------------------------------------------------------------- */

/* One tile's points, BLOCK elements apart, to `some` of its outputs. */
GR__INLINE void outputs_of(
    gr_real *to, const gr_real *from, int64_t some, gr_real bias, gr_real least, const int outs)
{
    vec m[WINOGRAD1D_MOST_POINTS], y[WINOGRAD1D_MOST_OUTS], start = vec_all(bias),
                                                            low = vec_all(least);
    GR__UNROLL
    for (int p = 0; p < winograd1d_eight.points; p++) m[p] = vec_load(from + p * BLOCK);
    winograd1d_output(y, m, outs);
    GR__UNROLL
    for (int j = 0; j < outs; j++) {
        vec v = y[j] + start;
        if (j < some) vec_store(to + j * LANES, vec_choose(v < low, low, v));
    }
}

/* The same for the gradients of inputs: places first.. of the row, of which those that the tile
   before it reached too are added to. */
static void input_grads_of(
    gr_real *row, const gr_real *from, int64_t first, int64_t width, int64_t common, gr_real bias)
{
    vec     m[WINOGRAD1D_MOST_POINTS], y[WINOGRAD1D_MOST_POINTS], start = vec_all(bias);
    gr_real to[WINOGRAD1D_MOST_POINTS][LANES];
    GR__UNROLL
    for (int p = 0; p < winograd1d_nine.points; p++) m[p] = vec_load(from + p * BLOCK);
    winograd1d_input_grad(y, m);
    GR__UNROLL
    for (int j = 0; j < winograd1d_nine.points; j++) vec_store(to[j], y[j]);
    for (int64_t j = at_least(0, -first); j < at_most(winograd1d_nine.points, width - first); j++) {
        gr_real *at = row + (first + j) * LANES;
        vec_store(at, (j < common ? vec_load(at) : start) + vec_load(to[j]));
    }
}

/* Plane i of those in hand, number j of the block's tiles, which is number t of the task. */
static void bring_back(
    const winograd1d_work *w, const gr__group *o, int64_t i, int64_t j, int64_t t, gr_real bias)
{
    const gr__winograd1d *r = &w->r;
    const gr_real        *from = w->product + (i * COLS + j) * LANES;
    int64_t               col = t % w->cols;
    gr_real              *row = w->output + (i * w->plane + t / w->cols * w->width) * LANES,
            *to = row + col * r->outs * LANES;
    int64_t some = w->width - col * r->outs;
    gr_real least = least_of(o->act);
    if (w->d == GR__INPUT_GRAD)
        input_grads_of(row, from, (w->tile + col) * r->outs - w->c->PW - w->left, w->width,
            col ? r->points - r->outs : 0, bias);
    else if (r->outs == 4)
        outputs_of(to, from, some, bias, least, 4);
    else if (r->outs == 5)
        outputs_of(to, from, some, bias, least, 5);
    else
        outputs_of(to, from, some, bias, least, 6);
}

/* Planes i..i+rows of the results of the task, for its tiles t..t+cols. */
static void one_block(const winograd1d_work *w, const gr__group *o, const gr_real *weights,
    int64_t i, int rows, int64_t t, int cols)
{
    const bool    forward = w->d == GR__FORWARD;
    const int64_t reads = w->u.reads, KH = w->c->KH;
    gr__span taps = taps_inside(&w->s.h, w->row + t / w->cols, w->row + (t + cols - 1) / w->cols);
    gr__outer_block m = { .a_row = forward ? w->r.lines * KH : KH,
        .step = w->step + taps.begin * reads,
        .K = (taps.end - taps.begin) * reads,
        .least = -(gr_real)INFINITY,
        .y_row = COLS * LANES };
    for (int64_t p = 0; p < w->r.points; p++) {
        m.a = weights + p * w->r.point + i * m.a_row;
        m.y = w->product + p * BLOCK;
        for (int j = 0; j < cols; j++) {
            int64_t row = (w->row + (t + j) / w->cols) * w->s.h.step + w->s.h.offset - w->border.h;
            m.b[j] = w->points + (p * w->point + row * reads * w->cols + (t + j) % w->cols) * LANES;
        }
        outer_block(&m, rows, cols);
    }
    for (int k = 0; k < rows; k++)
        for (int j = 0; j < cols; j++) bring_back(w, o, k, j, t + j, o->bias ? o->bias[i + k] : 0);
}

/* What the task writes of plane i: runs of n numbers, one for each row, or one for all. */
typedef struct winograd1d_runs {
    gr_real *y;
    int64_t  runs, n, image_step;
} winograd1d_runs;

static winograd1d_runs runs_of(const winograd1d_work *w, const gr__group *o, int64_t i)
{
    int64_t all = w->rows * w->width, many = w->width == w->s.y_width ? 1 : w->rows;
    return (winograd1d_runs){ o->y + i * w->s.y_plane + w->row * w->s.y_width + w->left, many,
        all / many, w->c->G * w->s.out_channels * w->s.y_plane };
}

static void prefetch_plane(const winograd1d_work *w, const gr__group *o, int images, int64_t i)
{
    winograd1d_runs to = runs_of(w, o, i);
    for (int64_t a = 0; a < to.runs; a++)
        prefetch_images(to.y + a * w->s.y_width, to.image_step, images, to.n);
}

/* Plane i, number k of those in hand, deinterleaved to its images. */
static void write_plane(
    const winograd1d_work *w, const gr__group *o, int images, int64_t i, int64_t k)
{
    winograd1d_runs to = runs_of(w, o, i);
    gr_real        *from = w->output + k * w->plane * LANES;
    if (w->d == GR__INPUT_GRAD && o->act == GR_RELU)
        GR__NAME(relu)(from, from, to.runs * to.n * LANES);
    activate(from, to.runs * to.n * LANES, o->act);
    for (int64_t a = 0; a < to.runs; a++)
        deinterleave(to.y + a * w->s.y_width, to.image_step, images, from + a * to.n * LANES, to.n);
}

static void winograd1d_one_chunk(const gr__conv *c, gr__direction d, const gr__operands *o,
    int64_t task, const gr_real *weights, void *scratch)
{
    gr__correlation s = correlation(c, d, 0);
    gr__winograd1d  r = winograd1d_of(c, winograd1d_points_of(d));
    winograd1d_cut  u = winograd1d_cut_of(c, d, &s, &r);
    int64_t         chunks = u.bands * u.spans, group = task / chunks % c->G,
            n = task / chunks / c->G * LANES;
    int             images = (int)at_most(LANES, c->N - n);
    winograd1d_work w = winograd1d_lay_out(c, d, task % chunks, scratch);
    gr__group       g = group(c, d, o, n, group);
    weights += group * r.filters * c->KH * r.lines;
    winograd1d_bring_in(&w, &g, images);
    int64_t blocks = ceil_div(u.makes, ROWS), tiles = w.rows * w.cols;
    for (int64_t b = 0; b < blocks; b++) {
        int64_t i = even_part(u.makes, blocks, b), rows = even_part(u.makes, blocks, b + 1) - i;
        for (int64_t k = 0; k < rows; k++) prefetch_plane(&w, &g, images, i + k);
        for (int64_t t = 0; t < tiles; t += COLS)
            one_block(&w, &g, weights, i, (int)rows, t, (int)at_most(COLS, tiles - t));
        for (int64_t k = 0; k < rows; k++) write_plane(&w, &g, images, i + k, k);
    }
}

/* ---- the algorithm --------------------------------------------------------------------------- */

static gr__suits winograd1d_suits(const gr__conv *c, gr__direction d)
{
    bool strided =
        c->SH > 1 ||
        c->SW > 1; /* the input gradient then has residues, or one that has not all taps */
    if (d == GR__KERNEL_GRAD || !winograd1d_fits(c) || (d == GR__INPUT_GRAD && strided))
        return GR__CANNOT;
    gr__correlation s = correlation(c, d, 0);
    gr__winograd1d  r = winograd1d_of(c, winograd1d_points_of(d));
    winograd1d_cut  u = winograd1d_cut_of(c, d, &s, &r);
    int64_t         read = u.bands * border(&s, 0, u.rows).rows * u.spans * u.cols;
    bool cheaper = d == GR__FORWARD ? winograd1d_is_cheaper(c, &r, read, c->OH * r.across)
                                    : winograd1d_is_cheaper(c, &r, c->H * r.across, read);
    return pays_if(fills_lanes(c) && cheaper && !few_by_shape(c, d));
}

static void winograd1d_plan(const gr__conv *c, gr__direction d, gr__plan *plan)
{
    gr__correlation  s = correlation(c, d, 0);
    gr__winograd1d   r = winograd1d_of(c, winograd1d_points_of(d));
    winograd1d_cut   u = winograd1d_cut_of(c, d, &s, &r);
    winograd1d_sizes n = winograd1d_sizes_of(c, d, &s, &r, &u);
    plan->stages = 2;
    plan->tasks[0] = ceil_div(c->F, ROWS);
    plan->tasks[1] = ceil_div(c->N, LANES) * c->G * u.bands * u.spans;
    plan->shared = padded_bytes(r.points * r.point * (int64_t)sizeof(gr_real));
    plan->scratch =
        winograd1d_offsets_bytes(c, &u) +
        padded_bytes(((n.input + r.points * n.point + ROWS * n.output) * LANES + r.points * BLOCK) *
                     (int64_t)sizeof(gr_real));
    fallback_plan(c, d, plan);
}

static void winograd1d_run(const gr__conv *c, const gr__plan *plan, const gr__operands *o,
    int stage, int64_t task, void *shared, void *scratch)
{
    if (fallback_run(c, plan, o, stage, task, shared, scratch)) return;
    gr_real *weights = shared;
    if (stage == 1) {
        winograd1d_one_chunk(c, plan->direction, o, task, weights, scratch);
        return;
    }
    gr__winograd1d r = winograd1d_of(c, winograd1d_points_of(plan->direction));
    int64_t        each = c->KH * r.lines;
    for (int64_t f = task * ROWS; f < at_most(c->F, (task + 1) * ROWS); f++)
        filter_to_points(c, &r, o->b + f * r.lines / r.pieces * c->KH * c->KW, weights + f * each);
}

const gr__conv_algorithm GR__NAME(winograd1d) = {
    .name = "winograd1d",
    .suits = winograd1d_suits,
    .plan = winograd1d_plan,
    .run = winograd1d_run,
};
