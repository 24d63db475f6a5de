/* winograd2d_kernel_grad.c: the kernel gradient by the transforms of winograd2d.h. Here channels
   stand side by side in a vector, LANES of them, so that at each point the sum over tiles is a
   product of matrices: points[f,c] = sum over t of dy[t,f] x[t,c]. There are two ways. Parts of the
   images sum apart, unit of tiles by unit, each into all points, which stay in the nearer caches,
   and are brought back to weights; then the parts are added in order. Where there are so many
   channels that the sums would not stay there, the points of all tiles are made first, and each
   point's product at once. Invariant: a sum is made by one task, in the order of the tiles; which
   way depends on the shape alone. */
#include "conv.h"
#include "few_products.h"
#include "winograd2d.h"
#include "winograd_fallback.h"

enum {
    UNIT_BYTES = 1 << 20,
    LEAST_TILES = 64,
    WINOGRAD2D_GRAD_MOST_PARTS = 8,
    LARGE = 1 << 16,
    WINOGRAD2D_GRAD_FILTERS_AT_ONCE = 4
};
enum {
    SUMS_BYTES = 4 << 20,
    ALL_BYTES = 64 << 20
}; /* of sums that do not stay in the nearer caches; of points, at most, if all are made */
enum { SUMS_PER_TILE = 256 << 10 }; /* bytes, at most, with a stride */
enum { BACK = 10 }; /* vectors that points come back to: nine taps, the greatest of the points */
enum {
    TILES_AT_ONCE = 128
}; /* of a sum, so that the operands of a block stay in the nearest cache */

/* A unit is some images, or some rows of tiles of one image. */
typedef struct winograd2d_grad_shape {
    int64_t down, across;     /* tiles of an image */
    int64_t images, rows;     /* of a unit, at most */
    int64_t bands;            /* units of an image, if it is more than one */
    int64_t units, parts;     /* in all */
    bool    all;              /* the points of all tiles are made first, and there is one part */
    int64_t points;           /* how many there are */
    int64_t C, F, X;          /* in whole vectors; X: C, in all components */
    int64_t tile_x, tile_y;   /* elements from one tile to the next: */
    int64_t point_x, point_y; /* from one point to the next; see sizes in winograd2d.c */
    int64_t input;            /* elements of one interleaved picture */
    int64_t point, size;      /* of a part's sums: [point][filter][component][channel] */
    int64_t taps;             /* of a part's weights: [filter][LANES channels][BACK][channel] */
} winograd2d_grad_shape;

static int64_t winograd2d_grad_whole(int64_t n) { return ceil_div(n, LANES) * LANES; }

/* Vectors of neighbours that are a multiple of 1 KiB apart would share too few sets of the nearest
   cache. */
static int64_t spaced(int64_t n) { return n / LANES % (1024 / GR__VECTOR_BYTES) ? n : n + LANES; }

static winograd2d_grad_shape winograd2d_grad_shape_of(const gr__conv *c)
{
    const int64_t         real = (int64_t)sizeof(gr_real);
    winograd2d_grad_shape s = { .down = winograd2d_count(c->OH, c->DH),
        .across = winograd2d_count(c->OW, c->DW),
        .C = winograd2d_grad_whole(c->C),
        .F = winograd2d_grad_whole(c->F) };
    s.X = winograd2d_components(c->SH) * s.C;
    s.points = winograd2d_points(c->SH);
    int64_t most = at_least(LEAST_TILES, UNIT_BYTES / s.points / real / (s.X + s.F));
    s.rows = at_most(s.down, at_least(1, most / s.across / c->DH) * c->DH);
    s.bands = ceil_div(s.down, s.rows);
    s.images = at_most(c->N, s.bands > 1 ? 1 : at_least(1, most / (s.down * s.across)));
    s.units = ceil_div(c->N, s.images) * s.bands;
    s.point = c->F * s.X + LANES;
    s.size = s.points * s.point;
    s.taps = c->F * s.C * BACK;
    s.tile_x = spaced(s.X);
    s.tile_y = spaced(s.F);
    int64_t all = c->N * s.down * s.across;
    s.all =
        s.size * real > SUMS_BYTES && s.points * all * (s.tile_x + s.tile_y) * real <= ALL_BYTES;
    s.parts = s.all ? 1
                    : at_most(s.units, s.size > LARGE ? WINOGRAD2D_GRAD_MOST_PARTS / 2
                                                      : WINOGRAD2D_GRAD_MOST_PARTS);
    int64_t tiles = s.all ? all : s.images * s.rows * s.across;
    s.point_x = tiles * s.tile_x + LANES;
    s.point_y = tiles * s.tile_y + LANES;
    int64_t high = WINOGRAD_TILE * s.rows * c->SH + winograd2d_further(c->SH, c->DH);
    s.input =
        (high * (WINOGRAD_TILE * s.across * c->SW + winograd2d_further(c->SW, c->DW)) + LANES) *
        LANES;
    return s;
}

static size_t winograd2d_grad_offsets_bytes(void)
{
    return padded_bytes(TILES_AT_ONCE * (int64_t)sizeof(gr__offsets));
}

static size_t winograd2d_grad_bytes_of(int64_t reals)
{
    return padded_bytes(reals * (int64_t)sizeof(gr_real));
}

static void winograd2d_grad_transform_plan(const gr__conv *c, gr__plan *plan)
{
    winograd2d_grad_shape s = winograd2d_grad_shape_of(c);
    int64_t               points = s.points * (s.point_x + s.point_y);
    plan->stages = s.all ? 3 : 2;
    plan->tasks[0] = s.all ? s.units : s.parts;
    if (s.all) plan->tasks[1] = s.points;
    plan->tasks[plan->stages - 1] = ceil_div(c->F, WINOGRAD2D_GRAD_FILTERS_AT_ONCE);
    plan->shared = s.all ? winograd2d_grad_bytes_of(s.size) + winograd2d_grad_bytes_of(points)
                         : winograd2d_grad_bytes_of(s.parts * s.taps);
    plan->scratch = winograd2d_grad_offsets_bytes() +
                    winograd2d_grad_bytes_of(s.input + (s.all ? 0 : s.size + points));
}

/* ---- a unit's tiles to points: to[point][tile][channel] -------------------------------------- */

/* Points first..5 of both axes. */
GR__INLINE void grad_tile(
    gr_real *to, int64_t point, const gr_real *from, int64_t row, int64_t col, const int first)
{
    vec half[6][4], column[4], points[6];
    GR__UNROLL
    for (int j = 0; j < 4; j++) {
        GR__UNROLL
        for (int i = 0; i < 4; i++) column[i] = vec_load(from + (i * row + j * col) * LANES);
        winograd2d_output_grad(points, column);
        GR__UNROLL
        for (int i = 0; i < 6; i++) half[i][j] = points[i];
    }
    GR__UNROLL
    for (int i = first; i < 6; i++) {
        winograd2d_output_grad(points, half[i]);
        GR__UNROLL
        for (int j = first; j < 6; j++)
            vec_store(to + ((i - first) * (6 - first) + j - first) * point, points[j]);
    }
}

/* Tiles of vectors, `row` vectors a row: of the input, in each component, and of the gradients. */
static void tiles_of_x(const gr__conv *c, const winograd2d_grad_shape *s, int64_t rows, gr_real *to,
    const gr_real *input, int64_t row)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < s->across; j++, to += s->tile_x) {
            const gr_real *from = input + (winograd2d_place(i, c->DH) * c->SH * row +
                                              winograd2d_place(j, c->DW) * c->SW) *
                                              LANES;
            for (int64_t component = 0; component < s->X / s->C; component++) {
                int64_t at = (c->SH - 1) * winograd2d_middle_h(component) * row +
                             (c->SW - 1) * winograd2d_middle_w(component);
                winograd2d_tile(c->SH, component, to + component * s->C, s->point_x,
                    from + at * LANES, row * c->DH * c->SH, c->DW * c->SW);
            }
        }
}

static void tiles_of_y(const gr__conv *c, const winograd2d_grad_shape *s, int64_t rows, gr_real *to,
    const gr_real *input, int64_t row)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < s->across; j++, to += s->tile_y) {
            const gr_real *from =
                input + (winograd2d_place(i, c->DH) * row + winograd2d_place(j, c->DW)) * LANES;
            if (c->SH == 1)
                grad_tile(to, s->point_y, from, row * c->DH, c->DW, 0);
            else
                grad_tile(to, s->point_y, from, row, 1, 1);
        }
}

typedef struct winograd2d_grad_unit {
    int64_t n, images, row, rows; /* rows of tiles */
} winograd2d_grad_unit;

static winograd2d_grad_unit unit_at(const gr__conv *c, const winograd2d_grad_shape *s, int64_t i)
{
    winograd2d_grad_unit u = { .n = i / s->bands * s->images, .row = i % s->bands * s->rows };
    u.images = at_most(s->images, c->N - u.n);
    u.rows = at_most(s->rows, s->down - u.row);
    return u;
}

static void winograd2d_grad_inputs_of(const gr__conv *c, const winograd2d_grad_shape *s,
    const gr__operands *o, const winograd2d_grad_unit *u, gr_real *to, gr_real *input)
{
    const int64_t plane = c->H * c->W, T = WINOGRAD_TILE;
    gr__border    b = { .h = u->row * T * c->SH - c->PH,
           .w = -c->PW,
           .rows = u->rows * T * c->SH + winograd2d_further(c->SH, c->DH),
           .cols = s->across * T * c->SW + winograd2d_further(c->SW, c->DW) };
    for (int64_t n = 0; n < u->images; n++)
        for (int64_t v = 0; v < s->C; v += LANES) {
            const gr_real *x = o->a + ((u->n + n) * c->C + v) * plane;
            interleave(input, &b, x, o->a + c->N * c->C * plane, plane,
                (int)at_most(LANES, c->C - v), 1, (gr__plane_size){ c->H, c->W });
            tiles_of_x(c, s, u->rows, to + n * u->rows * s->across * s->tile_x + v, input, b.cols);
        }
}

static void winograd2d_grad_grads_of(const gr__conv *c, const winograd2d_grad_shape *s,
    const gr__operands *o, const winograd2d_grad_unit *u, gr_real *to, gr_real *input)
{
    const int64_t plane = c->OH * c->OW, T = WINOGRAD_TILE;
    gr__border    b = { .h = u->row * T, .rows = u->rows * T, .cols = s->across * T };
    for (int64_t n = 0; n < u->images; n++)
        for (int64_t v = 0; v < s->F; v += LANES) {
            const gr_real *g = o->b + ((u->n + n) * c->F + v) * plane;
            interleave(input, &b, g, o->b + c->N * c->F * plane, plane,
                (int)at_most(LANES, c->F - v), 1, (gr__plane_size){ c->OH, c->OW });
            tiles_of_y(c, s, u->rows, to + n * u->rows * s->across * s->tile_y + v, input, b.cols);
        }
}

/* ---- the sums -------------------------------------------------------------------------------- */

/* The points of the inputs and of the gradients: those of a part's unit, or of all. */
typedef struct points {
    gr_real *x, *y;
} points;

static points points_at(const winograd2d_grad_shape *s, void *memory)
{
    return (points){ memory, (gr_real *)memory + s->points * s->point_x };
}

/* sums[f][component][c] of point p, over tiles, onto what is there, or from nothing; all of a
   stretch of tiles, before the next stretch. */
static void winograd2d_grad_multiply(const gr__conv *c, const winograd2d_grad_shape *s, int64_t p,
    points from, int64_t tiles, bool onto, gr_real *sums, gr__offsets *step)
{
    const int64_t   blocks = ceil_div(c->F, ROWS);
    const gr__span  components = winograd2d_components_at(c->SH, p);
    gr__outer_block m = {
        .a_row = 1, .step = step, .onto = onto, .y_row = s->X, .least = least_of(GR_NO_ACT)
    };
    for (int64_t t = 0; t < at_most(tiles, TILES_AT_ONCE); t++)
        step[t] = (gr__offsets){ t * s->tile_y, t * s->tile_x };
    for (int64_t t = 0; t < tiles; t += TILES_AT_ONCE, m.onto = true)
        for (int64_t v = components.begin * s->C; v < components.end * s->C; v += COLS * LANES) {
            int cols = (int)at_most(COLS, (components.end * s->C - v) / LANES);
            m.K = at_most(TILES_AT_ONCE, tiles - t);
            for (int j = 0; j < cols; j++)
                m.b[j] = from.x + p * s->point_x + t * s->tile_x + v + j * LANES;
            for (int64_t b = 0; b < blocks; b++) {
                int64_t f = even_part(c->F, blocks, b);
                m.a = from.y + p * s->point_y + t * s->tile_y + f;
                m.y = sums + p * s->point + f * s->X + v;
                outer_block(&m, (int)(even_part(c->F, blocks, b + 1) - f), cols);
            }
        }
}

static void unit_to_points(const gr__conv *c, const winograd2d_grad_shape *s, const gr__operands *o,
    int64_t i, points all, gr_real *input)
{
    winograd2d_grad_unit u = unit_at(c, s, i);
    int64_t              first = (u.n * s->down + u.row) * s->across;
    winograd2d_grad_inputs_of(c, s, o, &u, all.x + first * s->tile_x, input);
    winograd2d_grad_grads_of(c, s, o, &u, all.y + first * s->tile_y, input);
}

/* The taps of one component, of LANES channels of one filter, from their points; the greatest of
   these, if it is greater than what is there. */
GR__INLINE void component_back(
    gr_real *to, const gr_real *sums, int64_t point, const int64_t stride, const int64_t component)
{
    const bool middle_h = stride > 1 && winograd2d_middle_h(component),
               middle_w = stride > 1 && winograd2d_middle_w(component);
    const int first = winograd2d_first(stride);
    vec       half[3][6], column[6], taps[3], scale = vec_load(to + 9 * LANES);
    column[0] = column[5] = (vec){ 0 };
    GR__UNROLL
    for (int i = 0; i < 3; i++) half[i][0] = half[i][5] = column[0];
    GR__UNROLL
    for (int j = first; j < 6 - middle_w; j++) {
        GR__UNROLL
        for (int i = first; i < 6 - middle_h; i++) {
            column[i] = vec_load(sums + ((i - first) * (6 - first) + j - first) * point);
            scale = vec_choose(column[i] > scale, column[i], scale);
            scale = vec_choose(-column[i] > scale, -column[i], scale);
        }
        winograd2d_kernel_grad(taps, column);
        GR__UNROLL
        for (int i = 0; i < 3; i++) half[i][j] = taps[i];
    }
    GR__UNROLL
    for (int i = 0; i < 3; i++) {
        winograd2d_kernel_grad(taps, half[i]);
        GR__UNROLL
        for (int j = 0; j < 3; j++) {
            int64_t tap_h = winograd2d_tap(stride, middle_h, i),
                    tap_w = winograd2d_tap(stride, middle_w, j);
            if (tap_h >= 0 && tap_w >= 0) vec_store(to + (tap_h * 3 + tap_w) * LANES, taps[j]);
        }
    }
    vec_store(to + 9 * LANES, scale);
}

static void taps_of(const gr__conv *c, const winograd2d_grad_shape *s, int64_t f, int64_t v,
    const gr_real *sums, gr_real *to)
{
    sums += f * s->X + v;
    vec_store(to + 9 * LANES, (vec){ 0 });
    if (c->SH == 1)
        component_back(to, sums, s->point, 1, 0);
    else {
        component_back(to, sums, s->point, 2, 0);
        component_back(to, sums + s->C, s->point, 2, 1);
        component_back(to, sums + 2 * s->C, s->point, 2, 2);
        component_back(to, sums + 3 * s->C, s->point, 2, 3);
    }
}

/* The weights of some filters, and the scale of their three rows: from the taps of all parts, added
   in order, or from the points of all. */
static void filters_back(const gr__conv *c, const winograd2d_grad_shape *s, const gr_real *from,
    gr_real *y, gr_real *scale, gr__span filters)
{
    gr_real taps[BACK * LANES];
    for (int64_t f = filters.begin; f < filters.end; f++)
        for (int64_t v = 0; v < s->C; v += LANES) {
            if (s->all)
                taps_of(c, s, f, v, from, taps);
            else
                for (int64_t i = 0; i < BACK * LANES; i += LANES) {
                    vec sum = { 0 };
                    for (int64_t part = 0; part < s->parts; part++)
                        sum += vec_load(from + part * s->taps + (f * s->C + v) * BACK + i);
                    vec_store(taps + i, sum);
                }
            for (int64_t l = 0; l < at_most(LANES, c->C - v); l++) {
                int64_t channel = f * c->C + v + l;
                for (int64_t i = 0; i < 9; i++) y[channel * 9 + i] = taps[i * LANES + l];
                for (int i = 0; i < 3; i++) scale[channel * 3 + i] = taps[9 * LANES + l];
            }
        }
}

/* The tiles of a part, to taps of its own. */
static void winograd2d_grad_sum_part(const gr__conv *c, const winograd2d_grad_shape *s,
    const gr__operands *o, int64_t part, gr_real *to, gr__offsets *step, gr_real *rest)
{
    gr_real *sums = rest + s->input;
    points   p = points_at(s, sums + s->size);
    int64_t  first = even_part(s->units, s->parts, part),
            end = even_part(s->units, s->parts, part + 1);
    for (int64_t i = first; i < end; i++) {
        winograd2d_grad_unit u = unit_at(c, s, i);
        winograd2d_grad_inputs_of(c, s, o, &u, p.x, rest);
        winograd2d_grad_grads_of(c, s, o, &u, p.y, rest);
        for (int64_t k = 0; k < s->points; k++)
            winograd2d_grad_multiply(
                c, s, k, p, u.images * u.rows * s->across, i > first, sums, step);
    }
    for (int64_t f = 0; f < c->F; f++)
        for (int64_t v = 0; v < s->C; v += LANES)
            taps_of(c, s, f, v, sums, to + (f * s->C + v) * BACK);
}

/* ---- the algorithm --------------------------------------------------------------------------- */

/* At stride 2 there are four times as many sums, and so less is won: not where they, or channels
   that only fill up a vector, take as long as the products. */
static gr__suits winograd2d_kernel_grad_suits(const gr__conv *c, gr__direction d)
{
    if (d != GR__KERNEL_GRAD || !winograd2d_fits(c, GR__FORWARD)) return GR__CANNOT;
    winograd2d_grad_shape s = winograd2d_grad_shape_of(c);
    bool few = c->SH == 1 || (s.C * 4 <= c->C * 5 && s.size * (int64_t)sizeof(gr_real) <=
                                                         c->N * s.down * s.across * SUMS_PER_TILE);
    return pays_if(few && winograd2d_is_cheaper(c, GR__FORWARD) && !few_weights_by_shape(c));
}

static const gr__transforms winograd2d_transforms = { winograd2d_grad_transform_plan, 1 };

static void winograd2d_kernel_grad_plan(const gr__conv *c, gr__direction d, gr__plan *plan)
{
    (void)d;
    fallback_kernel_grad_plan(c, &winograd2d_transforms, plan);
}

static void winograd2d_kernel_grad_run(const gr__conv *c, const gr__plan *plan,
    const gr__operands *o, int stage, int64_t task, void *shared, void *scratch)
{
    if (is_fallback_stage(plan, stage)) {
        fallback_kernel_grad_run(c, &winograd2d_transforms, plan, o, stage, task, shared, scratch);
        return;
    }
    winograd2d_grad_shape s = winograd2d_grad_shape_of(c);
    gr_real              *sums = shared,
            *rest = (gr_real *)(void *)((char *)scratch + winograd2d_grad_offsets_bytes());
    points  all = points_at(&s, (char *)shared + winograd2d_grad_bytes_of(s.size));
    int64_t f = task * WINOGRAD2D_GRAD_FILTERS_AT_ONCE;
    if (stage == (s.all ? 2 : 1))
        filters_back(c, &s, shared, o->y, fallback_scale(c, &winograd2d_transforms, plan, shared),
            (gr__span){ f, at_most(c->F, f + WINOGRAD2D_GRAD_FILTERS_AT_ONCE) });
    else if (!s.all)
        winograd2d_grad_sum_part(c, &s, o, task, sums + task * s.taps, scratch, rest);
    else if (stage == 0)
        unit_to_points(c, &s, o, task, all, rest);
    else
        winograd2d_grad_multiply(c, &s, task, all, c->N * s.down * s.across, false, sums, scratch);
}

const gr__conv_algorithm GR__NAME(winograd2d_kernel_grad) = {
    .name = "winograd2d",
    .suits = winograd2d_kernel_grad_suits,
    .plan = winograd2d_kernel_grad_plan,
    .run = winograd2d_kernel_grad_run,
};
