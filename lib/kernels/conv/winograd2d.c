/* winograd2d.c: the transforms of the input and of the kernel, and the output and the input
   gradient by them. A task takes a chunk of the tiles of LANES images, one image a lane: all
   channels are brought to the 36 points, multiplied there, and the filters are brought back some at
   a time. Invariant: what a lane's image gives does not depend on the others, nor the chunk on
   threads. */
#include "winograd2d.h"

#include "conv.h"
#include "few_products.h"
#include "winograd_fallback.h"

/* Of the nearer caches, for the points of a chunk's inputs, of its outputs. A whole row of tiles
   may take more, since it is read and written in one; and so may two blocks of tiles, if the
   kernel's points would fall out of the caches from one to the next. */
enum {
    CHUNK_BYTES = 640 << 10,
    PRODUCT_BYTES = 384 << 10,
    ROW_BYTES = 9 << 18,
    KERNEL_BYTES = 1 << 20
};

/* Points first..end_h-1 by first..end_w-1 come of those elements of the tile alone. */
GR__INLINE void tile(gr_real *to, int64_t point, const gr_real *from, int64_t row, int64_t col,
    const int first, const int end_h, const int end_w)
{
    vec half[6][6], column[6], points[6];
    column[0] = column[5] = (vec){ 0 };
    GR__UNROLL
    for (int i = 0; i < 6; i++) half[i][0] = half[i][5] = column[0];
    GR__UNROLL
    for (int j = first; j < end_w; j++) {
        GR__UNROLL
        for (int i = first; i < end_h; i++)
            column[i] = vec_load(from + ((i - first) * row + (j - first) * col) * LANES);
        winograd2d_input(points, column);
        GR__UNROLL
        for (int i = first; i < end_h; i++) half[i][j] = points[i];
    }
    GR__UNROLL
    for (int i = first; i < end_h; i++) {
        winograd2d_input(points, half[i]);
        GR__UNROLL
        for (int j = first; j < end_w; j++)
            vec_store(to + ((i - first) * (6 - first) + j - first) * point, points[j]);
    }
}

/* A variant of a transform for the points of each component, points first..end-1 along h and w, and
   one for those of stride 1; none is inlined, or gcc would find the addresses of all before it
   knows which. */
#define VARIANTS(V) V(6_5, 1, 6, 5) V(6_6, 1, 6, 6) V(5_6, 1, 5, 6) V(5_5, 1, 5, 5) V(all, 0, 6, 6)
#define ALL_OF(name)                                               \
    {                                                              \
        name##_6_5, name##_6_6, name##_5_6, name##_5_5, name##_all \
    }
#define VARIANT static __attribute__((noinline)) void

static int64_t variant(int64_t stride, int64_t component) { return stride == 1 ? 4 : component; }

#define WINOGRAD2D_TILE(name, first, end_h, end_w)                                                 \
    VARIANT tile_##name(gr_real *to, int64_t point, const gr_real *from, int64_t row, int64_t col) \
    {                                                                                              \
        tile(to, point, from, row, col, first, end_h, end_w);                                      \
    }
VARIANTS(WINOGRAD2D_TILE)

void winograd2d_tile(int64_t stride, int64_t component, gr_real *to, int64_t point,
    const gr_real *from, int64_t row, int64_t col)
{
    static void (*const tiles[])(gr_real *, int64_t, const gr_real *, int64_t, int64_t) =
        ALL_OF(tile);
    tiles[variant(stride, component)](to, point, from, row, col);
}

/* ---- the kernel ------------------------------------------------------------------------------ */

static int64_t count(gr__span s) { return s.end - s.begin; }

/* The taps run backwards in an input gradient. */
static int64_t winograd2d_tap_of(const gr__winograd2d_grid *t, bool middle, int i)
{
    int64_t tap = winograd2d_tap(t->stride, middle, i);
    return tap < 0 || t->d == GR__FORWARD ? tap : 2 - tap;
}

/* The points of LANES kernels, n of which are wanted. */
GR__INLINE void weights_to_points(gr_real *to, int64_t point, const gr_real **tap, int64_t n,
    const int first, const int end_h, const int end_w)
{
    vec column[3], half[6][3], points[6];
    GR__UNROLL
    for (int j = 0; j < 3; j++) {
        GR__UNROLL
        for (int i = 0; i < 3; i++) column[i] = vec_load(tap[i * 3 + j]);
        winograd2d_kernel(points, column);
        GR__UNROLL
        for (int i = 0; i < 6; i++) half[i][j] = points[i];
    }
    GR__UNROLL
    for (int i = first; i < end_h; i++) {
        winograd2d_kernel(points, half[i]);
        GR__UNROLL
        for (int j = first; j < end_w; j++) {
            gr_real *at = to + ((i - first) * (6 - first) + j - first) * point;
            if (n == LANES)
                vec_store(at, points[j]);
            else
                vec_store_some(at, points[j], n);
        }
    }
}

#define WEIGHTS(name, first, end_h, end_w)                                             \
    VARIANT weights_##name(gr_real *to, int64_t point, const gr_real **tap, int64_t n) \
    {                                                                                  \
        weights_to_points(to, point, tap, n, first, end_h, end_w);                     \
    }
VARIANTS(WEIGHTS)

/* Those of one component. taps[9] is for none. */
static void component_to_points(const gr__winograd2d_grid *t, int64_t component,
    gr_real (*taps)[LANES], gr_real *to, int64_t point, int64_t n)
{
    static void (*const weights[])(gr_real *, int64_t, const gr_real **, int64_t) = ALL_OF(weights);
    const gr_real *tap[9];
    for (int i = 0; i < 9; i++) {
        int64_t h = winograd2d_tap_of(t, winograd2d_middle_h(component), i / 3),
                w = winograd2d_tap_of(t, winograd2d_middle_w(component), i % 3);
        tap[i] = taps[h < 0 || w < 0 ? 9 : h * 3 + w];
    }
    weights[variant(t->stride, component)](to, point, tap, n);
}

static void kernel_to_points(const gr__correlation *s, const gr__winograd2d_grid *t,
    const gr_real *k, gr_real *to, int64_t block)
{
    const int64_t blocks = winograd2d_blocks(s), r = even_part(s->out_channels, blocks, block),
                  rows = even_part(s->out_channels, blocks, block + 1) - r;
    const int64_t size = s->in_channels * ROWS, point = winograd2d_weights_point(s, t);
    gr_real       taps[10][LANES];
    memset(taps, 0, sizeof taps);
    for (int64_t first = 0; first < size; first += LANES) {
        int64_t n = at_most(LANES, size - first);
        for (int64_t l = 0; l < n; l++) {
            int64_t row =
                at_most((first + l) % ROWS, rows - 1); /* a row that is too many repeats the last */
            const gr_real *from = k + (r + row) * s->k_row + (first + l) / ROWS * s->k_channel;
            for (int i = 0; i < 9; i++) taps[i][l] = from[i];
        }
        for (int64_t component = 0; component < winograd2d_components(t->stride); component++) {
            int64_t at =
                t->d == GR__FORWARD ? block * count(t->in) + component : component * blocks + block;
            component_to_points(t, component, taps, to + at * size + first, point, n);
        }
    }
}

/* ---- chunks of tiles ------------------------------------------------------------------------- */

/* With a stride, an input gradient writes the places of two components in turn, that of tap 1
   first, so that both read the same tile: of which it may be the second that stands at the
   border. */
static gr__winograd2d_axis tiled_of(
    gr__direction d, int64_t H, int64_t OH, int64_t S, int64_t P, int64_t D)
{
    gr__winograd2d_axis a = {
        .dilation = D, .step_in = 1, .step_out = 1, .further = winograd2d_further(S, D)
    };
    if (d == GR__FORWARD) {
        a.step_in = S;
        a.read = -P;
        a.outs = OH;
    } else {
        a.step_out = S;
        a.written = S == 1 || P % 2 ? 0 : -1;
        a.read = S == 1 ? P - 2 * D : (P - 1 + a.written) / 2;
        a.outs = H;
    }
    a.tiles = winograd2d_count(ceil_div(a.outs - a.written, a.step_out), D);
    return a;
}

/* A place of the input that no output reads has no gradient, and an output that sees padding alone
   no terms, and 0 is not what their tiles would give. */
bool winograd2d_fits(const gr__conv *c, gr__direction d)
{
    if (c->KH != 3 || c->KW != 3 || c->SH != c->SW || c->G != 1 || sizeof(gr_real) != 4)
        return false;
    if (!c->C || !c->F || !c->N || !c->H || !c->W || !c->OH || !c->OW) return false;
    if (c->PH > 2 * c->DH || c->PW > 2 * c->DW) return false;
    bool read = 2 * c->OH + 1 >= c->H + c->PH && 2 * c->OW + 1 >= c->W + c->PW;
    return c->SH == 1 || (c->SH == 2 && c->DH == 1 && c->DW == 1 && (d == GR__FORWARD || read));
}

/* At stride 2 less is won. Where direct sums take 10, the products take 7 and the transforms 10 / C
   + 10 / F, so that the tiles must cover the outputs well: 6x6 and 10x10 would lose. */
bool winograd2d_is_cheaper(const gr__conv *c, gr__direction d)
{
    if (c->C < 16 || c->F < 16) return false;
    gr__winograd2d_axis h = tiled_of(d, c->H, c->OH, c->SH, c->PH, c->DH),
                        w = tiled_of(d, c->W, c->OW, c->SW, c->PW, c->DW);
    int64_t made = h.tiles * w.tiles * WINOGRAD_TILE * WINOGRAD_TILE,
            outs = h.outs * w.outs / (h.step_out * w.step_out);
    if (c->SH == 1) return made * 5 <= outs * 9;
    return made * (7 * c->C * c->F + 10 * (c->C + c->F)) <= outs * 10 * c->C * c->F;
}

static gr__winograd2d_grid tiles_of(const gr__conv *c, gr__direction d)
{
    const gr__span      all = { 0, winograd2d_components(c->SH) }, one = { c->SH - 1, c->SH };
    const int64_t       vector = LANES * (int64_t)sizeof(gr_real);
    gr__correlation     s = correlation(c, d, 0);
    gr__winograd2d_grid t = { .d = d, .stride = c->SH, .points = winograd2d_points(c->SH) };
    t.h = tiled_of(d, c->H, c->OH, c->SH, c->PH, c->DH);
    t.w = tiled_of(d, c->W, c->OW, c->SW, c->PW, c->DW);
    t.in = d == GR__FORWARD ? all : one;
    t.out = d == GR__FORWARD ? one : all;
    int64_t tile = t.points * count(t.in) * s.in_channels * vector,
            across = t.w.tiles / c->DW; /* bytes; tiles that are cut apart */
    bool large =
        t.points * winograd2d_weights_point(&s, &t) * (int64_t)sizeof(gr_real) > KERNEL_BYTES;
    int64_t most = at_least(large ? 2 * COLS : COLS, CHUNK_BYTES / tile),
            blocks = winograd2d_blocks(&s);
    if (t.w.tiles * c->DH * tile <= ROW_BYTES) most = at_least(most, t.w.tiles * c->DH);
    t.spans = at_most(ceil_div(t.w.tiles * c->DH, most), across);
    t.cols = ceil_div(across, t.spans) * c->DW;
    t.rows = at_most(t.h.tiles, at_least(1, t.spans > 1 ? 1 : most / t.cols / c->DH) * c->DH);
    t.bands = ceil_div(t.h.tiles, t.rows);
    int64_t most_blocks =
        at_least(1, PRODUCT_BYTES / (t.points * count(t.out) * vector) / (t.rows * t.cols) / ROWS);
    t.blocks = ceil_div(blocks, ceil_div(blocks, most_blocks));
    return t;
}

/* The vectors of a task's arrays, each point one vector further than it must be: points a power of
   two apart would share one set of the cache. */
typedef struct winograd2d_sizes {
    int64_t input, point_in, point_out, output;
} winograd2d_sizes;

static winograd2d_sizes winograd2d_sizes_of(const gr__correlation *s, const gr__winograd2d_grid *t)
{
    int64_t tiles = t->rows * t->cols, T = WINOGRAD_TILE;
    return (winograd2d_sizes){ (T * t->rows * t->h.step_in + t->h.further) *
                                       (T * t->cols * t->w.step_in + t->w.further) +
                                   LANES,
        count(t->in) * s->in_channels * tiles + 1, count(t->out) * t->blocks * ROWS * tiles + 1,
        T * T * tiles * t->h.step_out * t->w.step_out + LANES };
}

static size_t winograd2d_offsets_bytes(const gr__correlation *s, const gr__winograd2d_grid *t)
{
    return padded_bytes(count(t->in) * s->in_channels * (int64_t)sizeof(gr__offsets));
}

static size_t scratch_of(const gr__correlation *s, const gr__winograd2d_grid *t)
{
    winograd2d_sizes n = winograd2d_sizes_of(s, t);
    return winograd2d_offsets_bytes(s, t) +
           padded_bytes((n.input + n.output + t->points * (n.point_in + n.point_out)) * LANES *
                        (int64_t)sizeof(gr_real));
}

/* What a task works on: its tiles, and its arrays. */
typedef struct winograd2d_work {
    const gr__winograd2d_grid *tiles;
    int64_t                    row, col, rows, cols; /* in tiles */
    gr__offsets               *step;
    gr_real                   *input, *in, *out, *output;
    int64_t                    point_in, point_out;
} winograd2d_work;

static winograd2d_work winograd2d_lay_out(
    const gr__correlation *s, const gr__winograd2d_grid *t, int64_t chunk, void *scratch)
{
    winograd2d_sizes n = winograd2d_sizes_of(s, t);
    int64_t          band = chunk / t->spans, span = chunk % t->spans;
    int64_t          across = t->w.tiles / t->w.dilation;
    winograd2d_work  w = { .tiles = t,
         .row = band * t->rows,
         .col = even_part(across, t->spans, span) * t->w.dilation,
         .step = scratch };
    w.rows = at_most(t->rows, t->h.tiles - w.row);
    w.cols = even_part(across, t->spans, span + 1) * t->w.dilation - w.col;
    w.point_in = n.point_in * LANES;
    w.point_out = n.point_out * LANES;
    w.in = (gr_real *)(void *)((char *)scratch + winograd2d_offsets_bytes(s, t));
    w.out = w.in + t->points * w.point_in;
    w.input = w.out + t->points * w.point_out;
    w.output = w.input + n.input * LANES;
    for (int64_t k = 0; k < count(t->in) * s->in_channels; k++)
        w.step[k] = (gr__offsets){ k * ROWS, k * w.rows * w.cols * LANES };
    return w;
}

/* Where tile i of the chunk begins, in the chunk. */
static int64_t row_of(const winograd2d_work *w, int64_t i)
{
    return winograd2d_place(i / w->cols, w->tiles->h.dilation);
}

static int64_t col_of(const winograd2d_work *w, int64_t i)
{
    return winograd2d_place(i % w->cols, w->tiles->w.dilation);
}

/* Inputs of all channels to points: in[point][component][channel][tile]. */
static void winograd2d_bring_in(
    const gr__correlation *s, const gr__group *o, const winograd2d_work *w, int images)
{
    const gr__winograd2d_grid *t = w->tiles;
    const gr__winograd2d_axis *h = &t->h, *v = &t->w;
    const int64_t              T = WINOGRAD_TILE, tiles = w->rows * w->cols,
                  image_step = s->in_channels * s->x_plane;
    gr__border b = { .h = w->row * T * h->step_in + h->read,
        .w = w->col * T * v->step_in + v->read,
        .rows = w->rows * T * h->step_in + h->further,
        .cols = w->cols * T * v->step_in + v->further };
    for (int64_t c = 0; c < s->in_channels; c++) {
        interleave(w->input, &b, o->x + c * s->x_plane, o->x_end, image_step, images, 1,
            (gr__plane_size){ s->h.in, s->w.in });
        for (int64_t i = 0; i < tiles; i++) {
            const gr_real *from =
                w->input + (row_of(w, i) * h->step_in * b.cols + col_of(w, i) * v->step_in) * LANES;
            for (int64_t component = t->in.begin; component < t->in.end; component++) {
                int64_t at = (h->step_in - 1) * winograd2d_middle_h(component) * b.cols +
                             (v->step_in - 1) * winograd2d_middle_w(component);
                gr_real *to =
                    w->in + (((component - t->in.begin) * s->in_channels + c) * tiles + i) * LANES;
                winograd2d_tile(t->stride, component, to, w->point_in, from + at * LANES,
                    b.cols * h->dilation * h->step_in, v->dilation * v->step_in);
            }
        }
    }
}

/* Those components of a point, counted from the first of all. */
static gr__span span_intersection(gr__span at, gr__span all)
{
    return (gr__span){ at_least(at.begin, all.begin) - all.begin,
        at_most(at.end, all.end) - all.begin };
}

/* The products at every point, of some blocks of filters: out[point][component][filter][tile]. */
static void winograd2d_multiply(
    const gr__correlation *s, const winograd2d_work *w, const gr_real *weights, gr__span filters)
{
    const gr__winograd2d_grid *t = w->tiles;
    const int64_t              tiles = w->rows * w->cols, blocks = winograd2d_blocks(s),
                  each = count(t->in) * s->in_channels * ROWS;
    const int64_t first = even_part(s->out_channels, blocks, filters.begin),
                  n = even_part(s->out_channels, blocks, filters.end) - first;
    gr__outer_block m = {
        .a_row = 1, .step = w->step, .y_row = tiles * LANES, .least = least_of(GR_NO_ACT)
    };
    for (int64_t p = 0; p < t->points; p++) {
        gr__span at = winograd2d_components_at(t->stride, p), in = span_intersection(at, t->in),
                 out = span_intersection(at, t->out);
        const gr_real *from = w->in + p * w->point_in + in.begin * s->in_channels * tiles * LANES;
        const gr_real *k =
            weights + p * winograd2d_weights_point(s, t) + in.begin * s->in_channels * ROWS;
        m.K = (in.end - in.begin) * s->in_channels;
        for (int64_t component = out.begin; component < out.end; component++)
            for (int64_t b = filters.begin; b < filters.end; b++) {
                int64_t r = even_part(s->out_channels, blocks, b);
                m.a = k + (component * blocks + b) * each;
                for (int64_t j = 0; j < tiles; j += COLS) {
                    int cols = (int)at_most(COLS, tiles - j);
                    for (int i = 0; i < cols; i++) m.b[i] = from + (j + i) * LANES;
                    m.y = w->out + p * w->point_out +
                          ((component * n + r - first) * tiles + j) * LANES;
                    outer_block(&m, (int)(even_part(s->out_channels, blocks, b + 1) - r), cols);
                }
            }
    }
}

/* ---- outputs --------------------------------------------------------------------------------- */

/* Where a tile's outputs go: at most rows x cols of them, rows `row` and columns `col` vectors
   apart. */
typedef struct winograd2d_target {
    gr_real *to;
    int64_t  row, col, rows, cols;
} winograd2d_target;

/* One tile of points first..end_h-1 by first..end_w-1 to outputs. */
GR__INLINE void points_back(const winograd2d_target *y, const gr_real *from, int64_t point,
    gr_real bias, gr_real least, const int first, const int end_h, const int end_w)
{
    vec half[4][6], column[6], outputs[4];
    column[0] = column[5] = (vec){ 0 };
    GR__UNROLL
    for (int i = 0; i < 4; i++) half[i][0] = half[i][5] = column[0];
    GR__UNROLL
    for (int j = first; j < end_w; j++) {
        GR__UNROLL
        for (int i = first; i < end_h; i++)
            column[i] = vec_load(from + ((i - first) * (6 - first) + j - first) * point);
        winograd2d_output(outputs, column);
        GR__UNROLL
        for (int i = 0; i < 4; i++) half[i][j] = outputs[i];
    }
    vec start = vec_all(bias), low = vec_all(least);
    GR__UNROLL
    for (int i = 0; i < 4; i++) {
        if (i >= y->rows) break;
        winograd2d_output(outputs, half[i]);
        GR__UNROLL
        for (int j = 0; j < 4; j++) {
            vec v = outputs[j] + start;
            if (j < y->cols)
                vec_store(y->to + (i * y->row + j * y->col) * LANES, vec_choose(v < low, low, v));
        }
    }
}

#define BACK(name, first, end_h, end_w)                                                 \
    VARIANT back_##name(const winograd2d_target *y, const gr_real *from, int64_t point, \
        gr_real bias, gr_real least)                                                    \
    {                                                                                   \
        points_back(y, from, point, bias, least, first, end_h, end_w);                  \
    }
VARIANTS(BACK)

/* Filter r, number i of the n multiplied: its outputs, then deinterleaved to their images. */
static void bring_out(const gr__correlation *s, const gr__group *o, const winograd2d_work *w,
    int images, int64_t r, int64_t i, int64_t n)
{
    static void (*const back[])(
        const winograd2d_target *, const gr_real *, int64_t, gr_real, gr_real) = ALL_OF(back);
    const gr__winograd2d_grid *t = w->tiles;
    const gr__winograd2d_axis *h = &t->h, *v = &t->w;
    const int64_t T = WINOGRAD_TILE, tiles = w->rows * w->cols, apart_h = h->dilation * h->step_out,
                  apart_w = v->dilation * v->step_out;
    const int64_t top = w->row * T * h->step_out + h->written,
                  left = w->col * T * v->step_out + v->written;
    const int64_t rows = at_most(w->rows * T * h->step_out, h->outs - top),
                  cols = at_most(w->cols * T * v->step_out, v->outs - left);
    const int64_t skip_h = at_least(0, -top), skip_w = at_least(0, -left),
                  image_step = s->out_channels * s->y_plane;
    const int64_t runs = cols == s->y_width && !skip_w ? 1 : rows - skip_h,
                  run = (rows - skip_h) * (cols - skip_w) / runs;
    gr_real *y = o->y + r * s->y_plane + (top + skip_h) * s->y_width + left + skip_w;
    for (int64_t a = 0; a < runs; a++) prefetch_images(y + a * s->y_width, image_step, images, run);
    for (int64_t j = 0; j < tiles; j++) {
        const int64_t tile_row = row_of(w, j) * h->step_out, tile_col = col_of(w, j) * v->step_out;
        for (int64_t component = t->out.begin; component < t->out.end; component++) {
            int64_t           row = tile_row + (h->step_out - 1) * !winograd2d_middle_h(component);
            int64_t           col = tile_col + (v->step_out - 1) * !winograd2d_middle_w(component);
            winograd2d_target at = { w->output + (row * cols + col) * LANES, cols * apart_h,
                apart_w, ceil_div(rows - row, apart_h), ceil_div(cols - col, apart_w) };
            back[variant(t->stride, component)](&at,
                w->out + (((component - t->out.begin) * n + i) * tiles + j) * LANES, w->point_out,
                o->bias ? o->bias[r] : 0, least_of(o->act));
        }
    }
    activate(w->output, rows * cols * LANES, o->act);
    for (int64_t a = 0; a < runs; a++)
        deinterleave(y + a * s->y_width, image_step, images,
            w->output + ((a + skip_h) * cols + skip_w) * LANES, run);
}

/* A chunk of the images that o begins with. */
static void winograd2d_one_chunk(const gr__correlation *s, const gr__group *o,
    const gr__winograd2d_grid *t, const gr_real *weights, int images, int64_t chunk, void *scratch)
{
    winograd2d_work w = winograd2d_lay_out(s, t, chunk, scratch);
    winograd2d_bring_in(s, o, &w, images);
    int64_t blocks = winograd2d_blocks(s);
    for (int64_t b = 0; b < blocks; b += t->blocks) {
        gr__span some = { b, at_most(b + t->blocks, blocks) };
        int64_t  first = even_part(s->out_channels, blocks, some.begin),
                n = even_part(s->out_channels, blocks, some.end) - first;
        winograd2d_multiply(s, &w, weights, some);
        for (int64_t i = 0; i < n; i++) bring_out(s, o, &w, images, first + i, i, n);
    }
}

/* ---- the algorithm --------------------------------------------------------------------------- */

static gr__suits winograd2d_suits(const gr__conv *c, gr__direction d)
{
    if (d == GR__KERNEL_GRAD || !winograd2d_fits(c, d)) return GR__CANNOT;
    return pays_if(fills_lanes(c) && winograd2d_is_cheaper(c, d) && !few_by_shape(c, d));
}

/* Stage 0 brings the kernel to its points, stage 1 runs through the chunks of LANES images, image
   after image. */
static void winograd2d_plan(const gr__conv *c, gr__direction d, gr__plan *plan)
{
    gr__correlation     s = correlation(c, d, 0);
    gr__winograd2d_grid t = tiles_of(c, d);
    plan->stages = 2;
    plan->tasks[0] = winograd2d_blocks(&s);
    plan->tasks[1] = ceil_div(c->N, LANES) * t.bands * t.spans;
    plan->shared =
        padded_bytes(t.points * winograd2d_weights_point(&s, &t) * (int64_t)sizeof(gr_real));
    plan->scratch = scratch_of(&s, &t);
    fallback_plan(c, d, plan);
}

static void winograd2d_run(const gr__conv *c, const gr__plan *plan, const gr__operands *o,
    int stage, int64_t task, void *shared, void *scratch)
{
    if (fallback_run(c, plan, o, stage, task, shared, scratch)) return;
    gr__direction       d = plan->direction;
    gr__correlation     s = correlation(c, d, 0);
    gr__winograd2d_grid t = tiles_of(c, d);
    int64_t             chunks = t.bands * t.spans, n = task / chunks * LANES;
    if (stage == 0) {
        kernel_to_points(&s, &t, o->b, shared, task);
        return;
    }
    gr__group group = group(c, d, o, n, 0);
    winograd2d_one_chunk(
        &s, &group, &t, shared, (int)at_most(LANES, c->N - n), task % chunks, scratch);
}

const gr__conv_algorithm GR__NAME(winograd2d) = {
    .name = "winograd2d",
    .suits = winograd2d_suits,
    .plan = winograd2d_plan,
    .run = winograd2d_run,
};
