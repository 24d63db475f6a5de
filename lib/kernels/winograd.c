/* winograd.c: the transforms of the input and of the kernel, and the convolution (33) and its gradient by the input (34) by them.
   A task takes a chunk of the tiles of LANES images, one image a lane: all channels are brought to the 36 points, multiplied there, and the
   filters are brought back some at a time. Invariant: what a lane's image gives does not depend on the others, nor the chunk on threads. */
#include "conv.h"
#include "winograd.h"

enum { CHUNK_BYTES = 640 << 10, PRODUCT_BYTES = 384 << 10 }; /* of the nearer caches: for the points of a chunk's inputs, of its outputs */
enum { ROW_BYTES = 9 << 18 }; /* more than that only for a whole row of tiles, which is read and written in one */

void GR__NAME(winograd_tile)(gr_real *to, int64_t point, const gr_real *from, int64_t row, int64_t col)
{
    vec half[6][6], column[6], points[6];
    GR__UNROLL
    for (int j = 0; j < 6; j++) {
        GR__UNROLL
        for (int i = 0; i < 6; i++) column[i] = vec_load(from + (i * row + j * col) * LANES);
        winograd_input(points, column);
        GR__UNROLL
        for (int i = 0; i < 6; i++) half[i][j] = points[i];
    }
    GR__UNROLL
    for (int i = 0; i < 6; i++) {
        winograd_input(points, half[i]);
        GR__UNROLL
        for (int j = 0; j < 6; j++) vec_store(to + (i * 6 + j) * point * LANES, points[j]);
    }
}

/* ---- the kernel ---------------------------------------------------------------------------------------------------------------- */

/* Where the weight that reads place d of the 3 stands: the taps run backwards in (34). */
static int64_t tap_of(const gr__axis *a, int d) { return a->tap + (a->offset_step > 0 ? d : 2 - d) * a->tap_step; }

static void weights_of(const gr__correlation *s, const gr_real *k, int64_t channels, gr_real *to, int64_t point)
{
    gr_real weight[9][LANES];
    vec     column[3], half[6][3], points[6];
    memset(weight, 0, sizeof weight);
    for (int i = 0; i < 9; i++) {
        const gr_real *from = k + tap_of(&s->h, i / 3) * s->k_width + tap_of(&s->w, i % 3);
        for (int64_t c = 0; c < channels; c++) weight[i][c] = from[c * s->k_channel];
    }
    GR__UNROLL
    for (int j = 0; j < 3; j++) {
        GR__UNROLL
        for (int i = 0; i < 3; i++) column[i] = vec_load(weight[i * 3 + j]);
        winograd_kernel(points, column);
        GR__UNROLL
        for (int i = 0; i < 6; i++) half[i][j] = points[i];
    }
    for (int i = 0; i < 6; i++) {
        winograd_kernel(points, half[i]);
        for (int j = 0; j < 6; j++) vec_store_some(to + (i * 6 + j) * point, points[j], channels);
    }
}

void GR__NAME(winograd_weights)(const gr__correlation *s, const gr_real *k, gr_real *to, int64_t begin, int64_t end)
{
    for (int64_t r = begin; r < end; r++)
        for (int64_t c = 0; c < s->channels; c += LANES)
            weights_of(s, k + r * s->k_row + c * s->k_channel, at_most(LANES, s->channels - c), to + r * s->channels + c,
                winograd_weights_point(s));
}

/* ---- chunks of tiles ---------------------------------------------------------------------------------------------------------------- */

static int64_t distance(int64_t step) { return step < 0 ? -step : step; }

gr__tiles GR__NAME(winograd_tiles)(const gr__correlation *s)
{
    gr__tiles t = { .apart_h = distance(s->h.offset_step), .apart_w = distance(s->w.offset_step) };
    t.down = winograd_count(s->h.outs, t.apart_h);
    t.across = winograd_count(s->w.outs, t.apart_w);
    int64_t vector = WINOGRAD_POINTS * LANES * (int64_t)sizeof(gr_real), most = at_least(COLS, CHUNK_BYTES / vector / s->channels);
    if (t.across * t.apart_h * s->channels * vector <= ROW_BYTES) most = at_least(most, t.across * t.apart_h);
    t.spans = at_most(ceil_div(t.across * t.apart_h, most), t.across / t.apart_w);
    t.cols = ceil_div(t.across / t.apart_w, t.spans) * t.apart_w;
    t.rows = at_most(t.down, at_least(1, t.spans > 1 ? 1 : most / t.cols / t.apart_h) * t.apart_h);
    t.bands = ceil_div(t.down, t.rows);
    t.filters = at_most(s->rows, ROWS * at_least(1, PRODUCT_BYTES / vector / (t.rows * t.cols) / ROWS));
    return t;
}

/* The vectors of a task's arrays, each point one vector further than it must be: points a power of two apart would share one set of the cache. */
typedef struct sizes {
    int64_t input, point_in, point_out, output;
} sizes;

static sizes sizes_of(const gr__correlation *s, const gr__tiles *t)
{
    int64_t tiles = t->rows * t->cols, T = WINOGRAD_TILE;
    return (sizes){ (T * t->rows + 2 * t->apart_h) * (T * t->cols + 2 * t->apart_w) + LANES, s->channels * tiles + 1,
        t->filters * tiles + 1, T * T * tiles + LANES };
}

static size_t steps_bytes(int64_t channels) { return padded_bytes(channels * (int64_t)sizeof(gr__step)); }

size_t GR__NAME(winograd_scratch)(const gr__correlation *s, const gr__tiles *t)
{
    sizes n = sizes_of(s, t);
    return steps_bytes(s->channels) +
           padded_bytes((n.input + n.output + WINOGRAD_POINTS * (n.point_in + n.point_out)) * LANES * (int64_t)sizeof(gr_real));
}

/* What a task works on: its tiles, and its arrays. */
typedef struct work {
    const gr__tiles *tiles;
    int64_t          row, col, rows, cols; /* in tiles */
    gr__step        *step;
    gr_real         *input, *in, *out, *output;
    int64_t          point_in, point_out;
} work;

static work lay_out(const gr__correlation *s, const gr__tiles *t, int64_t chunk, void *scratch)
{
    sizes   n = sizes_of(s, t);
    int64_t band = chunk / t->spans, span = chunk % t->spans;
    work    w = { .tiles = t, .row = band * t->rows, .col = part_of(t->across / t->apart_w, t->spans, span) * t->apart_w, .step = scratch };
    w.rows = at_most(t->rows, t->down - w.row);
    w.cols = part_of(t->across / t->apart_w, t->spans, span + 1) * t->apart_w - w.col;
    w.point_in = n.point_in;
    w.point_out = n.point_out;
    w.in = (gr_real *)(void *)((char *)scratch + steps_bytes(s->channels));
    w.out = w.in + WINOGRAD_POINTS * n.point_in * LANES;
    w.input = w.out + WINOGRAD_POINTS * n.point_out * LANES;
    w.output = w.input + n.input * LANES;
    for (int64_t c = 0; c < s->channels; c++) w.step[c] = (gr__step){ c, c * w.rows * w.cols * LANES };
    return w;
}

/* Where tile i of the chunk begins, in the chunk. */
static int64_t row_of(const work *w, int64_t i) { return winograd_place(i / w->cols, w->tiles->apart_h); }

static int64_t col_of(const work *w, int64_t i) { return winograd_place(i % w->cols, w->tiles->apart_w); }

/* Inputs of all channels to points: in[point][channel][tile]. */
static void bring_in(const gr__correlation *s, const gr__group *o, const work *w, int images)
{
    const int64_t T = WINOGRAD_TILE, tiles = w->rows * w->cols, image_step = s->channels * s->x_plane;
    gr__border    b = { .h = w->row * T + s->h.offset + at_most(0, 2 * s->h.offset_step),
           .w = w->col * T + s->w.offset + at_most(0, 2 * s->w.offset_step),
           .rows = w->rows * T + 2 * w->tiles->apart_h,
           .cols = w->cols * T + 2 * w->tiles->apart_w };
    for (int64_t c = 0; c < s->channels; c++) {
        GR__NAME(interleave)(w->input, &b, o->x + c * s->x_plane, o->x_end, image_step, images, 1, s->h.in, s->w.in);
        for (int64_t i = 0; i < tiles; i++) {
            const gr_real *from = w->input + (row_of(w, i) * b.cols + col_of(w, i)) * LANES;
            GR__NAME(winograd_tile)(w->in + (c * tiles + i) * LANES, w->point_in, from, b.cols * w->tiles->apart_h, w->tiles->apart_w);
        }
    }
}

/* The products at every point, of filters r..r+n. */
static void multiply(const gr__correlation *s, const work *w, const gr_real *weights, int64_t r, int64_t n)
{
    const int64_t tiles = w->rows * w->cols, blocks = ceil_div(n, ROWS);
    gr__outer     m = {
            .a_row = s->channels, .step = w->step, .K = s->channels, .y_row = tiles * LANES, .least = GR__NAME(least_of)(GR_NO_ACT)
    };
    for (int64_t p = 0; p < WINOGRAD_POINTS; p++)
        for (int64_t j = 0; j < tiles; j += COLS) {
            int cols = (int)at_most(COLS, tiles - j);
            for (int i = 0; i < cols; i++) m.b[i] = w->in + (p * w->point_in + j + i) * LANES;
            for (int64_t b = 0; b < blocks; b++) {
                int64_t first = part_of(n, blocks, b);
                m.a = weights + p * winograd_weights_point(s) + (r + first) * s->channels;
                m.y = w->out + (p * w->point_out + first * tiles + j) * LANES;
                GR__NAME(outer)(&m, (int)(part_of(n, blocks, b + 1) - first), cols);
            }
        }
}

/* ---- outputs ------------------------------------------------------------------------------------------------------------------------- */

/* One tile of points to outputs, at most rows x cols of which are kept; rows `row` and columns `col` vectors apart. */
static void tile_back(
    gr_real *to, int64_t row, int64_t col, int64_t rows, int64_t cols, const gr_real *from, int64_t point, gr_real bias, gr_real least)
{
    vec half[4][6], column[6], outputs[4];
    GR__UNROLL
    for (int j = 0; j < 6; j++) {
        GR__UNROLL
        for (int i = 0; i < 6; i++) column[i] = vec_load(from + (i * 6 + j) * point * LANES);
        winograd_output(outputs, column);
        GR__UNROLL
        for (int i = 0; i < 4; i++) half[i][j] = outputs[i];
    }
    vec start = vec_all(bias), low = vec_all(least);
    GR__UNROLL
    for (int i = 0; i < 4; i++) {
        if (i >= rows) break;
        winograd_output(outputs, half[i]);
        GR__UNROLL
        for (int j = 0; j < 4; j++) {
            vec y = outputs[j] + start;
            if (j < cols) vec_store(to + (i * row + j * col) * LANES, vec_choose(y < low, low, y));
        }
    }
}

/* Filter r, number i of those multiplied: its outputs, then dealt back to their images. */
static void bring_out(const gr__correlation *s, const gr__group *o, const work *w, int images, int64_t r, int64_t i)
{
    const int64_t T = WINOGRAD_TILE, tiles = w->rows * w->cols, top = w->row * T, left = w->col * T;
    const int64_t rows = at_most(w->rows * T, s->h.outs - top), cols = at_most(w->cols * T, s->w.outs - left);
    const int64_t image_step = s->rows * s->y_plane, runs = cols == s->y_width ? 1 : rows, run = rows * cols / runs;
    gr_real      *y = o->y + r * s->y_plane + top * s->y_width + left;
    for (int64_t a = 0; a < runs; a++) deal_soon(y + a * s->y_width, image_step, images, run);
    for (int64_t t = 0; t < tiles; t++) {
        int64_t row = row_of(w, t), col = col_of(w, t), apart_h = w->tiles->apart_h, apart_w = w->tiles->apart_w;
        tile_back(w->output + (row * cols + col) * LANES, cols * apart_h, apart_w, ceil_div(rows - row, apart_h),
            ceil_div(cols - col, apart_w), w->out + (i * tiles + t) * LANES, w->point_out, o->bias ? o->bias[r] : 0,
            GR__NAME(least_of)(o->act));
    }
    GR__NAME(activate)(w->output, rows * cols * LANES, o->act);
    for (int64_t a = 0; a < runs; a++) GR__NAME(deal)(y + a * s->y_width, image_step, images, w->output + a * run * LANES, run);
}

void GR__NAME(winograd_run)(
    const gr__correlation *s, const gr__group *o, const gr__tiles *t, const gr_real *weights, int images, int64_t chunk, void *scratch)
{
    work w = lay_out(s, t, chunk, scratch);
    bring_in(s, o, &w, images);
    int64_t blocks = ceil_div(s->rows, t->filters);
    for (int64_t b = 0; b < blocks; b++) {
        int64_t r = b * t->filters, n = at_most(t->filters, s->rows - r);
        multiply(s, &w, weights, r, n);
        for (int64_t i = 0; i < n; i++) bring_out(s, o, &w, images, r + i, i);
    }
}
