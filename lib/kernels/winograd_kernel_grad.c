/* winograd_kernel_grad.c: the gradient by the kernel (35) by the transforms of winograd.h. Here channels stand side by side in a vector, LANES
   of them, so that at each point the sum over tiles is a product of matrices: points[f,c] = sum over t of dy[t,f] x[t,c].
   Invariant: a part of the images is summed by one task in order, unit after unit; then the parts are added in order. */
#include "conv.h"
#include "winograd.h"

enum { UNIT_BYTES = 1 << 20, LEAST_TILES = 64, MOST_PARTS = 8, LARGE = 1 << 16, FILTERS_AT_ONCE = 4 };

/* A unit is some images, or some rows of tiles of one image. */
typedef struct shape {
    int64_t down, across;     /* tiles of an image */
    int64_t images, rows;     /* of a unit, at most */
    int64_t bands;            /* units of an image, if it is more than one */
    int64_t units, parts;     /* in all */
    int64_t C, F;             /* in whole vectors */
    int64_t point_x, point_y; /* elements from one point to the next; see sizes in winograd.c */
    int64_t input;            /* elements of one interleaved picture */
    int64_t size;             /* of a part's sums */
} shape;

static int64_t whole(int64_t n) { return ceil_div(n, LANES) * LANES; }

static shape shape_of(const gr__conv *c)
{
    shape   s = { .down = winograd_count(c->OH, c->DH), .across = winograd_count(c->OW, c->DW), .C = whole(c->C), .F = whole(c->F) };
    int64_t most = at_least(LEAST_TILES, UNIT_BYTES / WINOGRAD_POINTS / (int64_t)sizeof(gr_real) / (s.C + s.F));
    s.rows = at_most(s.down, at_least(1, most / s.across / c->DH) * c->DH);
    s.bands = ceil_div(s.down, s.rows);
    s.images = at_most(c->N, s.bands > 1 ? 1 : at_least(1, most / (s.down * s.across)));
    s.units = ceil_div(c->N, s.images) * s.bands;
    s.size = WINOGRAD_POINTS * c->F * s.C;
    s.parts = at_most(s.units, s.size > LARGE ? MOST_PARTS / 2 : MOST_PARTS);
    int64_t tiles = s.images * s.rows * s.across;
    s.point_x = tiles * s.C + LANES;
    s.point_y = tiles * s.F + LANES;
    s.input = ((WINOGRAD_TILE * s.rows + 2 * c->DH) * (WINOGRAD_TILE * s.across + 2 * c->DW) + LANES) * LANES;
    return s;
}

static size_t steps_bytes(const shape *s) { return padded_bytes(s->images * s->rows * s->across * (int64_t)sizeof(gr__step)); }

void GR__NAME(winograd_kernel_grad_plan)(const gr__conv *c, gr__plan *plan)
{
    shape s = shape_of(c);
    plan->tasks[0] = s.parts;
    plan->tasks[1] = ceil_div(c->F, FILTERS_AT_ONCE);
    plan->shared = padded_bytes(s.parts * s.size * (int64_t)sizeof(gr_real));
    plan->scratch = steps_bytes(&s) + padded_bytes((WINOGRAD_POINTS * (s.point_x + s.point_y) + s.input) * (int64_t)sizeof(gr_real));
}

/* ---- a unit's tiles to points: to[point][tile][channel] ----------------------------------------------------------------------------------- */

static void grad_tile(gr_real *to, int64_t point, const gr_real *from, int64_t row, int64_t col)
{
    vec half[6][4], column[4], points[6];
    GR__UNROLL
    for (int j = 0; j < 4; j++) {
        GR__UNROLL
        for (int i = 0; i < 4; i++) column[i] = vec_load(from + (i * row + j * col) * LANES);
        winograd_output_grad(points, column);
        GR__UNROLL
        for (int i = 0; i < 6; i++) half[i][j] = points[i];
    }
    GR__UNROLL
    for (int i = 0; i < 6; i++) {
        winograd_output_grad(points, half[i]);
        GR__UNROLL
        for (int j = 0; j < 6; j++) vec_store(to + (i * 6 + j) * point, points[j]);
    }
}

/* Tiles of vectors, `row` vectors a row, `step` apart in the result. */
static void tiles_of(const gr__conv *c, const shape *s, int64_t rows, gr_real *to, int64_t point, int64_t step, const gr_real *input,
    int64_t row, bool grads)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < s->across; j++, to += step) {
            const gr_real *from = input + (winograd_place(i, c->DH) * row + winograd_place(j, c->DW)) * LANES;
            if (grads)
                grad_tile(to, point, from, row * c->DH, c->DW);
            else
                GR__NAME(winograd_tile)(to, point / LANES, from, row * c->DH, c->DW);
        }
}

typedef struct unit {
    int64_t n, images, row, rows; /* rows of tiles */
} unit;

static unit unit_at(const gr__conv *c, const shape *s, int64_t i)
{
    unit u = { .n = i / s->bands * s->images, .row = i % s->bands * s->rows };
    u.images = at_most(s->images, c->N - u.n);
    u.rows = at_most(s->rows, s->down - u.row);
    return u;
}

static void inputs_of(const gr__conv *c, const shape *s, const gr__operands *o, const unit *u, gr_real *to, gr_real *input)
{
    const int64_t plane = c->H * c->W, T = WINOGRAD_TILE;
    gr__border    b = { .h = u->row * T - c->PH, .w = -c->PW, .rows = u->rows * T + 2 * c->DH, .cols = s->across * T + 2 * c->DW };
    for (int64_t n = 0; n < u->images; n++)
        for (int64_t v = 0; v < s->C; v += LANES) {
            const gr_real *x = o->a + ((u->n + n) * c->C + v) * plane;
            GR__NAME(interleave)(input, &b, x, o->a + c->N * c->C * plane, plane, (int)at_most(LANES, c->C - v), 1, c->H, c->W);
            tiles_of(c, s, u->rows, to + n * u->rows * s->across * s->C + v, s->point_x, s->C, input, b.cols, false);
        }
}

static void grads_of(const gr__conv *c, const shape *s, const gr__operands *o, const unit *u, gr_real *to, gr_real *input)
{
    const int64_t plane = c->OH * c->OW, T = WINOGRAD_TILE;
    gr__border    b = { .h = u->row * T, .rows = u->rows * T, .cols = s->across * T };
    for (int64_t n = 0; n < u->images; n++)
        for (int64_t v = 0; v < s->F; v += LANES) {
            const gr_real *g = o->b + ((u->n + n) * c->F + v) * plane;
            GR__NAME(interleave)(input, &b, g, o->b + c->N * c->F * plane, plane, (int)at_most(LANES, c->F - v), 1, c->OH, c->OW);
            tiles_of(c, s, u->rows, to + n * u->rows * s->across * s->F + v, s->point_y, s->F, input, b.cols, true);
        }
}

/* ---- the sums ----------------------------------------------------------------------------------------------------------------------------- */

/* sums[point][f][c], onto what is there, or from nothing. */
static void multiply(
    const gr__conv *c, const shape *s, const gr_real *x, const gr_real *y, const gr__step *step, int64_t tiles, bool onto, gr_real *sums)
{
    const int64_t blocks = ceil_div(c->F, ROWS);
    gr__outer     m = { .a_row = 1, .step = step, .K = tiles, .onto = onto, .y_row = s->C, .least = GR__NAME(least_of)(GR_NO_ACT) };
    for (int64_t p = 0; p < WINOGRAD_POINTS; p++)
        for (int64_t v = 0; v < s->C; v += COLS * LANES) {
            int cols = (int)at_most(COLS, (s->C - v) / LANES);
            for (int j = 0; j < cols; j++) m.b[j] = x + p * s->point_x + v + j * LANES;
            for (int64_t b = 0; b < blocks; b++) {
                int64_t f = part_of(c->F, blocks, b);
                m.a = y + p * s->point_y + f;
                m.y = sums + (p * c->F + f) * s->C + v;
                GR__NAME(outer)(&m, (int)(part_of(c->F, blocks, b + 1) - f), cols);
            }
        }
}

static void sum_part(const gr__conv *c, const shape *s, const gr__operands *o, int64_t part, gr_real *sums, void *scratch)
{
    gr__step *step = scratch;
    gr_real  *x = (gr_real *)(void *)((char *)scratch + steps_bytes(s)), *y = x + WINOGRAD_POINTS * s->point_x;
    gr_real  *input = y + WINOGRAD_POINTS * s->point_y;
    int64_t   first = part_of(s->units, s->parts, part), end = part_of(s->units, s->parts, part + 1);
    for (int64_t t = 0; t < s->images * s->rows * s->across; t++) step[t] = (gr__step){ t * s->F, t * s->C };
    for (int64_t i = first; i < end; i++) {
        unit u = unit_at(c, s, i);
        inputs_of(c, s, o, &u, x, input);
        grads_of(c, s, o, &u, y, input);
        multiply(c, s, x, y, step, u.images * u.rows * s->across, i > first, sums);
    }
}

/* The 9 weights of LANES channels of one filter: all parts' points, added and brought back. */
static void weights_back(const shape *s, const gr_real *sums, int64_t point, gr_real *y, int64_t channels)
{
    vec     half[3][6], column[6], weights[3];
    gr_real to[9][LANES];
    for (int j = 0; j < 6; j++) {
        for (int i = 0; i < 6; i++) {
            column[i] = vec_load(sums + (i * 6 + j) * point);
            for (int64_t part = 1; part < s->parts; part++) column[i] += vec_load(sums + part * s->size + (i * 6 + j) * point);
        }
        winograd_kernel_grad(weights, column);
        for (int i = 0; i < 3; i++) half[i][j] = weights[i];
    }
    for (int i = 0; i < 3; i++) {
        winograd_kernel_grad(weights, half[i]);
        for (int j = 0; j < 3; j++) vec_store(to[i * 3 + j], weights[j]);
    }
    for (int64_t c = 0; c < channels; c++)
        for (int i = 0; i < 9; i++) y[c * 9 + i] = to[i][c];
}

void GR__NAME(winograd_kernel_grad_run)(const gr__conv *c, const gr__operands *o, int phase, int64_t task, void *shared, void *scratch)
{
    shape    s = shape_of(c);
    gr_real *sums = shared;
    if (phase == 0) {
        sum_part(c, &s, o, task, sums + task * s.size, scratch);
        return;
    }
    for (int64_t f = task * FILTERS_AT_ONCE; f < at_most(c->F, (task + 1) * FILTERS_AT_ONCE); f++)
        for (int64_t v = 0; v < s.C; v += LANES)
            weights_back(&s, sums + f * s.C + v, c->F * s.C, o->y + (f * c->C + v) * 9, at_most(LANES, c->C - v));
}
