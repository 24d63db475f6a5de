/* winograd_kernel_grad.c: the gradient by the kernel (35) by the transforms of winograd.h. Here channels stand side by side in a vector, LANES
   of them, so that at each point the sum over tiles is a product of matrices: points[f,c] = sum over t of dy[t,f] x[t,c].
   There are two ways. Parts of the images sum apart, unit of tiles by unit, each into all 36 points, which stay in the nearer caches; then the
   parts are added in order. Where there are so many channels that the sums would not stay there, the points of all tiles are made first, and
   each of the 36 products at once. Invariant: a sum is made by one task, in the order of the tiles; which way depends on the shape alone. */
#include "conv.h"
#include "winograd.h"

enum { UNIT_BYTES = 1 << 20, LEAST_TILES = 64, MOST_PARTS = 8, LARGE = 1 << 16, FILTERS_AT_ONCE = 4 };
enum {
    SUMS_BYTES = 4 << 20,
    ALL_BYTES = 64 << 20
};                            /* of sums that do not stay in the nearer caches; of points, at most, if all are made */
enum { TILES_AT_ONCE = 128 }; /* of a sum, so that the operands of a block stay in the nearest cache */

/* A unit is some images, or some rows of tiles of one image. */
typedef struct shape {
    int64_t down, across;     /* tiles of an image */
    int64_t images, rows;     /* of a unit, at most */
    int64_t bands;            /* units of an image, if it is more than one */
    int64_t units, parts;     /* in all */
    bool    all;              /* the points of all tiles are made first, and there is one part */
    int64_t C, F;             /* in whole vectors */
    int64_t tile_x, tile_y;   /* elements from one tile to the next: */
    int64_t point_x, point_y; /* from one point to the next; see sizes in winograd.c */
    int64_t input;            /* elements of one interleaved picture */
    int64_t point, size;      /* of a part's sums */
} shape;

static int64_t whole(int64_t n) { return ceil_div(n, LANES) * LANES; }

/* Vectors of neighbours that are a multiple of 1 KiB apart would share too few sets of the nearest cache. */
static int64_t spaced(int64_t n) { return n / LANES % (1024 / GR__VECTOR_BYTES) ? n : n + LANES; }

static shape shape_of(const gr__conv *c)
{
    const int64_t real = (int64_t)sizeof(gr_real);
    shape         s = { .down = winograd_count(c->OH, c->DH), .across = winograd_count(c->OW, c->DW), .C = whole(c->C), .F = whole(c->F) };
    int64_t       most = at_least(LEAST_TILES, UNIT_BYTES / WINOGRAD_POINTS / real / (s.C + s.F));
    s.rows = at_most(s.down, at_least(1, most / s.across / c->DH) * c->DH);
    s.bands = ceil_div(s.down, s.rows);
    s.images = at_most(c->N, s.bands > 1 ? 1 : at_least(1, most / (s.down * s.across)));
    s.units = ceil_div(c->N, s.images) * s.bands;
    s.point = c->F * s.C + LANES;
    s.size = WINOGRAD_POINTS * s.point;
    s.tile_x = spaced(s.C);
    s.tile_y = spaced(s.F);
    int64_t all = c->N * s.down * s.across;
    s.all = s.size * real > SUMS_BYTES && WINOGRAD_POINTS * all * (s.tile_x + s.tile_y) * real <= ALL_BYTES;
    s.parts = s.all ? 1 : at_most(s.units, s.size > LARGE ? MOST_PARTS / 2 : MOST_PARTS);
    int64_t tiles = s.all ? all : s.images * s.rows * s.across;
    s.point_x = tiles * s.tile_x + LANES;
    s.point_y = tiles * s.tile_y + LANES;
    s.input = ((WINOGRAD_TILE * s.rows + 2 * c->DH) * (WINOGRAD_TILE * s.across + 2 * c->DW) + LANES) * LANES;
    return s;
}

static size_t steps_bytes(void) { return padded_bytes(TILES_AT_ONCE * (int64_t)sizeof(gr__step)); }

static size_t bytes_of(int64_t reals) { return padded_bytes(reals * (int64_t)sizeof(gr_real)); }

void GR__NAME(winograd_kernel_grad_plan)(const gr__conv *c, gr__plan *plan)
{
    shape   s = shape_of(c);
    int64_t points = WINOGRAD_POINTS * (s.point_x + s.point_y), phase = 0;
    plan->phases = s.all ? 3 : 2;
    plan->tasks[phase++] = s.all ? s.units : s.parts;
    if (s.all) plan->tasks[phase++] = WINOGRAD_POINTS;
    plan->tasks[phase] = ceil_div(c->F, FILTERS_AT_ONCE);
    plan->shared = bytes_of(s.parts * s.size) + (s.all ? bytes_of(points) : 0);
    plan->scratch = steps_bytes() + bytes_of(s.input + (s.all ? 0 : points));
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
            tiles_of(c, s, u->rows, to + n * u->rows * s->across * s->tile_x + v, s->point_x, s->tile_x, input, b.cols, false);
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
            tiles_of(c, s, u->rows, to + n * u->rows * s->across * s->tile_y + v, s->point_y, s->tile_y, input, b.cols, true);
        }
}

/* ---- the sums ----------------------------------------------------------------------------------------------------------------------------- */

/* sums[f][c] of one point, over tiles, onto what is there, or from nothing; all of a stretch of tiles, before the next stretch. */
static void multiply(
    const gr__conv *c, const shape *s, const gr_real *x, const gr_real *y, int64_t tiles, bool onto, gr_real *sums, gr__step *step)
{
    const int64_t blocks = ceil_div(c->F, ROWS);
    gr__outer     m = { .a_row = 1, .step = step, .onto = onto, .y_row = s->C, .least = GR__NAME(least_of)(GR_NO_ACT) };
    for (int64_t t = 0; t < at_most(tiles, TILES_AT_ONCE); t++) step[t] = (gr__step){ t * s->tile_y, t * s->tile_x };
    for (int64_t t = 0; t < tiles; t += TILES_AT_ONCE, m.onto = true)
        for (int64_t v = 0; v < s->C; v += COLS * LANES) {
            int cols = (int)at_most(COLS, (s->C - v) / LANES);
            m.K = at_most(TILES_AT_ONCE, tiles - t);
            for (int j = 0; j < cols; j++) m.b[j] = x + t * s->tile_x + v + j * LANES;
            for (int64_t b = 0; b < blocks; b++) {
                int64_t f = part_of(c->F, blocks, b);
                m.a = y + t * s->tile_y + f;
                m.y = sums + f * s->C + v;
                GR__NAME(outer)(&m, (int)(part_of(c->F, blocks, b + 1) - f), cols);
            }
        }
}

/* The points of the inputs and of the gradients: those of a part's unit, or of all. */
typedef struct points {
    gr_real *x, *y;
} points;

static points points_at(const shape *s, void *memory) { return (points){ memory, (gr_real *)memory + WINOGRAD_POINTS * s->point_x }; }

static void sum_part(const gr__conv *c, const shape *s, const gr__operands *o, int64_t part, gr_real *sums, gr__step *step, gr_real *rest)
{
    points  p = points_at(s, rest + s->input);
    int64_t first = part_of(s->units, s->parts, part), end = part_of(s->units, s->parts, part + 1);
    for (int64_t i = first; i < end; i++) {
        unit u = unit_at(c, s, i);
        inputs_of(c, s, o, &u, p.x, rest);
        grads_of(c, s, o, &u, p.y, rest);
        for (int64_t k = 0; k < WINOGRAD_POINTS; k++)
            multiply(c, s, p.x + k * s->point_x, p.y + k * s->point_y, u.images * u.rows * s->across, i > first, sums + k * s->point, step);
    }
}

static void unit_to_points(const gr__conv *c, const shape *s, const gr__operands *o, int64_t i, points all, gr_real *input)
{
    unit    u = unit_at(c, s, i);
    int64_t first = (u.n * s->down + u.row) * s->across;
    inputs_of(c, s, o, &u, all.x + first * s->tile_x, input);
    grads_of(c, s, o, &u, all.y + first * s->tile_y, input);
}

/* The 9 weights of LANES channels of one filter: all parts' points, added and brought back. */
static void weights_back(const shape *s, const gr_real *sums, gr_real *y, int64_t channels)
{
    vec     half[3][6], column[6], weights[3];
    gr_real to[9][LANES];
    for (int j = 0; j < 6; j++) {
        for (int i = 0; i < 6; i++) {
            column[i] = vec_load(sums + (i * 6 + j) * s->point);
            for (int64_t part = 1; part < s->parts; part++) column[i] += vec_load(sums + part * s->size + (i * 6 + j) * s->point);
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

static void filters_back(const gr__conv *c, const shape *s, const gr_real *sums, gr_real *y, int64_t begin, int64_t end)
{
    for (int64_t f = begin; f < end; f++)
        for (int64_t v = 0; v < s->C; v += LANES) weights_back(s, sums + f * s->C + v, y + (f * c->C + v) * 9, at_most(LANES, c->C - v));
}

void GR__NAME(winograd_kernel_grad_run)(const gr__conv *c, const gr__operands *o, int phase, int64_t task, void *shared, void *scratch)
{
    shape    s = shape_of(c);
    gr_real *sums = shared, *rest = (gr_real *)(void *)((char *)scratch + steps_bytes());
    points   all = points_at(&s, (char *)shared + bytes_of(s.parts * s.size));
    if (phase == (s.all ? 2 : 1))
        filters_back(c, &s, sums, o->y, task * FILTERS_AT_ONCE, at_most(c->F, (task + 1) * FILTERS_AT_ONCE));
    else if (!s.all)
        sum_part(c, &s, o, task, sums + task * s.size, scratch, rest);
    else if (phase == 0)
        unit_to_points(c, &s, o, task, all, rest);
    else
        multiply(
            c, &s, all.x + task * s.point_x, all.y + task * s.point_y, c->N * s.down * s.across, false, sums + task * s.point, scratch);
}
