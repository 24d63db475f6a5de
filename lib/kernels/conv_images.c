/* conv_images.c: a correlation of LANES images at once, one a lane. The input is interleaved and given its border of zeros;
   stride, padding and dilation are then constant displacements, and no term is copied twice. Where there are phases (34), all of them are
   made from the same input, and what is written is whole rows.
   Invariant: a lane sees its own image alone; lanes without an image hold zeros and are not written. */
#include "conv.h"

/* Outputs made before the lanes are dealt back to their images: whole squares, and whole register blocks. */
enum { GROUP = LANES * (LANES % COLS ? COLS : 1) };

typedef struct phase {
    gr__correlation s;
    gr__step       *step;
} phase;

typedef struct workspace {
    phase     *phase;
    int64_t    phases;
    gr_real   *input, *tile;
    gr__border border;
} workspace;

/* What all phases read, for the rows begin..end-1 of their grids. */
static gr__border border_of(const gr__conv *c, gr__direction d, int64_t begin, int64_t end)
{
    gr__border all = { 0 };
    for (int64_t p = 0; p < GR__NAME(phases)(c, d); p++) {
        gr__correlation s = GR__NAME(correlation)(c, d, p);
        if (!s.K) continue;
        gr__border b = GR__NAME(border)(&s, begin, end);
        int64_t    h = all.rows ? at_most(all.h, b.h) : b.h, w = all.rows ? at_most(all.w, b.w) : b.w;
        all.rows = at_least(all.h + all.rows, b.h + b.rows) - h;
        all.cols = at_least(all.w + all.cols, b.w + b.cols) - w;
        all.h = h;
        all.w = w;
    }
    return all;
}

static size_t phases_bytes(const gr__conv *c, gr__direction d) { return padded_bytes(GR__NAME(phases)(c, d) * (int64_t)sizeof(phase)); }

/* No tap belongs to two phases. */
static size_t steps_bytes(const gr__conv *c, int64_t channels)
{
    return padded_bytes(channels * c->KH * c->KW * (int64_t)sizeof(gr__step));
}

static size_t input_bytes(const gr__border *b, int64_t channels)
{
    return padded_bytes((channels * b->rows * b->cols + LANES) * LANES * (int64_t)sizeof(gr_real));
}

size_t GR__NAME(images_scratch)(const gr__conv *c, gr__direction d, int64_t rows)
{
    int64_t    channels = GR__NAME(correlation)(c, d, 0).channels;
    gr__border b = border_of(c, d, 0, rows);
    return phases_bytes(c, d) + steps_bytes(c, channels) + input_bytes(&b, channels) +
           padded_bytes(ROWS * GROUP * LANES * (int64_t)sizeof(gr_real));
}

static void find_steps(const gr__correlation *s, const gr__border *border, int64_t begin, gr__step *step)
{
    int64_t top = s->h.offset + begin * s->h.step - border->h, left = s->w.offset - border->w;
    GR__NAME(kernel_steps)(s, step);
    for (int64_t a = 0; a < s->h.taps; a++)
        for (int64_t c = 0; c < s->channels; c++)
            for (int64_t b = 0; b < s->w.taps; b++) {
                int64_t row = c * border->rows + top + a * s->h.offset_step;
                (step++)->b = (row * border->cols + left + b * s->w.offset_step) * LANES;
            }
}

static workspace lay_out(const gr__conv *c, gr__direction d, const gr__group *o, int images, int64_t begin, int64_t end, void *scratch)
{
    workspace              w = { .phase = scratch, .phases = GR__NAME(phases)(c, d), .border = border_of(c, d, begin, end) };
    const gr__correlation *s = &w.phase[0].s;
    char                  *at = (char *)scratch + phases_bytes(c, d);
    gr__step              *step = (gr__step *)(void *)at;
    for (int64_t p = 0; p < w.phases; p++) {
        w.phase[p] = (phase){ GR__NAME(correlation)(c, d, p), step };
        find_steps(&w.phase[p].s, &w.border, begin, step);
        step += w.phase[p].s.K;
    }
    w.input = (gr_real *)(void *)(at += steps_bytes(c, s->channels));
    w.tile = (gr_real *)(void *)(at + input_bytes(&w.border, s->channels));
    GR__NAME(interleave)(w.input, &w.border, o->x, o->x_end, c->G * s->channels * s->x_plane, images, s->channels, s->h.in, s->w.in);
    return w;
}

/* Some of the outputs, which stand side by side in the plane, ordered by phase: where the window of each begins, and which of the taps of h
   fall on the input at all. */
typedef struct outputs {
    const gr_real *from[GROUP];
    int64_t        first[GROUP], end[GROUP];
    int            place[GROUP]; /* of the outputs as they stand in the plane, in that order */
} outputs;

/* Outputs of one phase among j..j+n of the plane, written from number m on; returns the number after the last. */
static int64_t find_outputs(const workspace *w, const gr__correlation *s, int64_t begin, int64_t j, int64_t n, outputs *out, int64_t m)
{
    const gr__axis *h = &s->h, *v = &s->w;
    int64_t         top = ceil_div(at_least(0, j / s->y_width - h->out), h->out_step);
    for (int64_t t = top, row; (row = (h->out + t * h->out_step) * s->y_width) < j + n; t++) {
        int64_t at = t * h->step + h->offset, first = 0, end = h->taps, right = at_most(s->y_width, j + n - row);
        while (first < end && (at + first * h->offset_step < 0 || at + first * h->offset_step >= h->in)) first++;
        while (first < end && (at + (end - 1) * h->offset_step < 0 || at + (end - 1) * h->offset_step >= h->in)) end--;
        const gr_real *from = w->input + (t - begin) * h->step * w->border.cols * LANES;
        for (int64_t i = ceil_div(at_least(0, j - row - v->out), v->out_step), col; (col = v->out + i * v->out_step) < right; i++, m++) {
            out->from[m] = from + i * v->step * LANES;
            out->first[m] = first;
            out->end[m] = end;
            out->place[row + col - j] = (int)m;
        }
    }
    return m;
}

/* The tile of one block of rows, for outputs begin..end of one phase. */
static void fill_tile(
    const phase *p, const gr__group *o, const outputs *out, int64_t begin, int64_t end, int64_t r, int rows, gr_real *tile)
{
    const gr__correlation *s = &p->s;
    gr__outer              m = { .a = o->k + r * s->k_row, .a_row = s->k_row, .y_row = GROUP * LANES };
    int64_t                each = s->channels * s->w.taps; /* terms of one tap of h */
    m.bias = o->bias ? o->bias + r : NULL;
    m.least = GR__NAME(least_of)(o->act);
    for (int64_t j = begin; j < end; j += COLS) {
        int     cols = (int)at_most(COLS, end - j);
        int64_t first = s->h.taps, last = 0; /* what any of them needs; the others read the border */
        for (int i = 0; i < cols; i++) {
            m.b[i] = out->from[j + i];
            first = at_most(first, out->first[j + i]);
            last = at_least(last, out->end[j + i]);
        }
        m.step = p->step + first * each;
        m.K = at_least(0, last - first) * each;
        m.y = tile + j * LANES;
        GR__NAME(outer)(&m, rows, cols);
    }
}

/* Outputs j..j+n of the plane, of all rows. */
static void one_group(const workspace *w, const gr__group *o, int images, int64_t image_step, int64_t begin, int64_t j, int64_t n)
{
    const gr__correlation *s = &w->phase[0].s;
    outputs                out;
    int64_t                blocks = ceil_div(s->rows, ROWS), count[GR__MOST_PHASES + 1] = { 0 };
    for (int64_t p = 0; p < w->phases; p++) count[p + 1] = find_outputs(w, &w->phase[p].s, begin, j, n, &out, count[p]);
    for (int64_t i = n; i < ceil_div(n, LANES) * LANES; i++) out.place[i] = 0;
    for (int64_t b = 0; b < blocks; b++) {
        int64_t r = part_of(s->rows, blocks, b), end = part_of(s->rows, blocks, b + 1);
        for (int64_t i = r; i < end; i++) deal_soon(o->y + i * s->y_plane + j, image_step, images, n);
        for (int64_t p = 0; p < w->phases; p++) fill_tile(&w->phase[p], o, &out, count[p], count[p + 1], r, (int)(end - r), w->tile);
        for (int64_t i = r; i < end; i++) {
            gr_real *row = w->tile + (i - r) * GROUP * LANES;
            GR__NAME(activate)(row, n * LANES, o->act);
            GR__NAME(deal_ordered)(o->y + i * s->y_plane + j, image_step, images, row, out.place, n);
        }
    }
}

void GR__NAME(images_run)(const gr__conv *c, gr__direction d, const gr__group *o, int images, int64_t begin, int64_t end, void *scratch)
{
    workspace              w = lay_out(c, d, o, images, begin, end, scratch);
    const gr__correlation *s = &w.phase[0].s;
    int64_t                image_step = c->G * s->rows * s->y_plane, last = at_most(end * s->h.out_step * s->y_width, s->y_plane);
    for (int64_t j = begin * s->h.out_step * s->y_width; j < last; j += GROUP)
        one_group(&w, o, images, image_step, begin, j, at_most(GROUP, last - j));
}
