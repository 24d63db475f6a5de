/* conv_images.c: a correlation of LANES images at once, one a lane. The input is interleaved and given its border of zeros;
   stride, padding and dilation are then constant displacements, and no term is copied twice.
   Invariant: a lane sees its own image alone; lanes without an image hold zeros and are not written. */
#include "conv.h"

/* Outputs made before the lanes are dealt back to their images: whole squares, and whole register blocks. */
enum { GROUP = LANES * (LANES % COLS ? COLS : 1) };

typedef struct workspace {
    gr__step  *step;
    gr_real   *input, *tile;
    gr__border border;
} workspace;

static size_t steps_bytes(int64_t K) { return padded_bytes(K * (int64_t)sizeof(gr__step)); }

static size_t input_bytes(const gr__correlation *s, const gr__border *b)
{
    /* Without a term, there is nothing to read. */
    int64_t vectors = s->K ? s->channels * b->rows * b->cols + LANES : 0;
    return padded_bytes(vectors * LANES * (int64_t)sizeof(gr_real));
}

size_t GR__NAME(images_scratch)(const gr__correlation *s, int64_t rows)
{
    gr__border b = GR__NAME(border)(s, 0, at_most(rows, s->h.outs));
    return steps_bytes(s->K) + input_bytes(s, &b) + padded_bytes(ROWS * GROUP * LANES * (int64_t)sizeof(gr_real));
}

static workspace lay_out(const gr__correlation *s, const gr__group *o, int images, int64_t G, int64_t begin, int64_t end, void *scratch)
{
    workspace w = { .step = scratch, .border = GR__NAME(border)(s, begin, end) };
    w.input = (gr_real *)(void *)((char *)scratch + steps_bytes(s->K));
    w.tile = (gr_real *)(void *)((char *)w.input + input_bytes(s, &w.border));
    if (!s->K) return w;
    GR__NAME(kernel_steps)(s, w.step);
    gr__step *step = w.step;
    int64_t   top = s->h.offset + begin * s->h.step - w.border.h, left = s->w.offset - w.border.w;
    for (int64_t a = 0; a < s->h.taps; a++)
        for (int64_t c = 0; c < s->channels; c++)
            for (int64_t b = 0; b < s->w.taps; b++) {
                int64_t row = c * w.border.rows + top + a * s->h.offset_step;
                (step++)->b = (row * w.border.cols + left + b * s->w.offset_step) * LANES;
            }
    GR__NAME(interleave)(w.input, &w.border, o->x, o->x_end, G * s->channels * s->x_plane, images, s->channels, s->h.in, s->w.in);
    return w;
}

/* An output: where its window begins, and which of the taps of h fall on the input at all. */
typedef struct output {
    const gr_real *from;
    int64_t        first, end;
} output;

static output output_at(const gr__correlation *s, const workspace *w, int64_t row, int64_t begin, int64_t col)
{
    const gr__axis *h = &s->h;
    int64_t         at = row * h->step + h->offset;
    output          o = { .from = w->input + ((row - begin) * h->step * w->border.cols + col * s->w.step) * LANES, .end = h->taps };
    while (o.first < o.end && (at + o.first * h->offset_step < 0 || at + o.first * h->offset_step >= h->in)) o.first++;
    while (o.first < o.end && (at + (o.end - 1) * h->offset_step < 0 || at + (o.end - 1) * h->offset_step >= h->in)) o.end--;
    return o;
}

/* The tile of one block of rows and of n <= GROUP outputs. */
static void fill_tile(const gr__correlation *s, const gr__group *o, const workspace *w, const output *out, int64_t n, int64_t r, int rows)
{
    gr__outer m = { .a = o->k + r * s->k_row, .a_row = s->k_row, .y_row = GROUP * LANES };
    int64_t   each = s->channels * s->w.taps; /* terms of one tap of h */
    m.bias = o->bias ? o->bias + r : NULL;
    m.least = GR__NAME(least_of)(o->act);
    for (int64_t j = 0; j < n; j += COLS) {
        int     cols = (int)at_most(COLS, n - j);
        int64_t first = s->h.taps, end = 0; /* what any of them needs; the others read the border */
        for (int i = 0; i < cols; i++) {
            m.b[i] = out[j + i].from;
            first = at_most(first, out[j + i].first);
            end = at_least(end, out[j + i].end);
        }
        m.step = w->step + first * each;
        m.K = at_least(0, end - first) * each;
        m.y = w->tile + j * LANES;
        GR__NAME(outer)(&m, rows, cols);
    }
    for (int i = 0; i < rows; i++) GR__NAME(activate)(w->tile + i * GROUP * LANES, n * LANES, o->act);
}

/* Deals n <= GROUP outputs of one row of the tile back to their images; y is the row's plane in the first image. */
static void write_row(const gr__correlation *s, const gr_real *tile, gr_real *y, int64_t image_step, int images, int64_t j, int64_t n)
{
    if (is_dense(s)) {
        GR__NAME(deal)(y + j, image_step, images, tile, n);
        return;
    }
    for (int64_t l = 0; l < n; l++) {
        int64_t place = place_of(s, j + l);
        for (int i = 0; i < images; i++) y[i * image_step + place] = tile[l * LANES + i];
    }
}

/* Outputs j..j+n of the grid of outs, of all rows. */
static void one_group(
    const gr__correlation *s, const gr__group *o, const workspace *w, int images, int64_t G, int64_t begin, int64_t j, int64_t n)
{
    output out[GROUP];
    for (int64_t i = 0; i < n; i++) out[i] = output_at(s, w, (j + i) / s->w.outs, begin, (j + i) % s->w.outs);
    int64_t blocks = ceil_div(s->rows, ROWS), image_step = G * s->rows * s->y_plane;
    for (int64_t b = 0; b < blocks; b++) {
        int64_t r = part_of(s->rows, blocks, b), end = part_of(s->rows, blocks, b + 1);
        for (int64_t i = r; i < end && is_dense(s); i++) deal_soon(o->y + i * s->y_plane + j, image_step, images, n);
        fill_tile(s, o, w, out, n, r, (int)(end - r));
        for (int64_t i = r; i < end; i++) write_row(s, w->tile + (i - r) * GROUP * LANES, o->y + i * s->y_plane, image_step, images, j, n);
    }
}

void GR__NAME(images_run)(const gr__correlation *s, const gr__group *o, int images, int64_t G, int64_t begin, int64_t end, void *scratch)
{
    workspace w = lay_out(s, o, images, G, begin, end, scratch);
    for (int64_t j = begin * s->w.outs; j < end * s->w.outs; j += GROUP)
        one_group(s, o, &w, images, G, begin, j, at_most(GROUP, end * s->w.outs - j));
}
