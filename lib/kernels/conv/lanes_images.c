/* lanes_images.c: a correlation of LANES images at once, one a lane. The input is interleaved and
   given its border of zeros; stride, padding and dilation are then constant displacements, and no
   term is copied twice. An input gradient by a stride has residues, all of which are made from the
   same input, and what is written is whole rows. Invariant: a lane sees its own image alone; lanes
   without an image hold zeros and are not written. */
#include "conv.h"
#include "lanes_columns.h"

enum { BORDER_BYTES = 3 << 18 }; /* of the nearer caches, for the input of a task */
enum {
    IMAGES_TASKS = 16,
    IMAGES_LEAST_ROWS = 8
}; /* worth splitting for more threads, down to so many rows of outputs */
enum { MOST_RESIDUES = 64 };

/* Outputs made before the lanes are deinterleaved to their images: whole squares, and whole
   register blocks. */
enum { GROUP = LANES * (LANES % COLS ? COLS : 1) };

/* Near a border some taps fall on zeros alone. Those of h are the first or the last terms of a sum;
   for the taps of w there are tables of steps of their own, one for each run of taps, made when it
   is first wanted. Where that were many, all are taken. */
enum { MOST_TRIMMED = 7, RUNS_OF_TAPS = MOST_TRIMMED * (MOST_TRIMMED + 1) / 2 };

typedef struct images_residue {
    gr__correlation s;
    gr__offsets    *step; /* of all taps */
    gr__offsets    *some; /* room for those of the runs, one behind the other */
    bool            made[RUNS_OF_TAPS];
} images_residue;

typedef struct images_workspace {
    images_residue *residue;
    int64_t         residues;
    gr_real        *input, *tile;
    gr__border      border;
} images_workspace;

/* What all residues read, for the rows begin..end-1 of their grids. */
static gr__border border_of(const gr__conv *c, gr__direction d, int64_t begin, int64_t end)
{
    gr__border all = { 0 };
    for (int64_t p = 0; p < residues(c, d); p++) {
        gr__correlation s = correlation(c, d, p);
        if (!s.K) continue;
        gr__border b = border(&s, begin, end);
        int64_t h = all.rows ? at_most(all.h, b.h) : b.h, w = all.rows ? at_most(all.w, b.w) : b.w;
        all.rows = at_least(all.h + all.rows, b.h + b.rows) - h;
        all.cols = at_least(all.w + all.cols, b.w + b.cols) - w;
        all.h = h;
        all.w = w;
    }
    return all;
}

static size_t residues_bytes(const gr__conv *c, gr__direction d)
{
    return padded_bytes(residues(c, d) * (int64_t)sizeof(images_residue));
}

/* Widths of all runs of n taps, added up. */
static int64_t taps_of_runs(int64_t n) { return n * (n + 1) * (n + 2) / 6; }

/* Steps of all taps of a residue, and of their runs. */
static int64_t offsets_of_residue(const gr__correlation *s)
{
    return s->K +
           (s->w.taps <= MOST_TRIMMED ? s->in_channels * s->h.taps * taps_of_runs(s->w.taps) : 0);
}

static size_t images_offsets_bytes(const gr__conv *c, gr__direction d)
{
    int64_t steps = 0;
    for (int64_t p = 0; p < residues(c, d); p++) {
        gr__correlation s = correlation(c, d, p);
        steps += offsets_of_residue(&s);
    }
    return padded_bytes(steps * (int64_t)sizeof(gr__offsets));
}

static size_t input_bytes(const gr__border *b, int64_t channels)
{
    return padded_bytes((channels * b->rows * b->cols + LANES) * LANES * (int64_t)sizeof(gr_real));
}

static size_t images_scratch(const gr__conv *c, gr__direction d, int64_t rows)
{
    int64_t    channels = correlation(c, d, 0).in_channels;
    gr__border b = border_of(c, d, 0, rows);
    return residues_bytes(c, d) + images_offsets_bytes(c, d) + input_bytes(&b, channels) +
           padded_bytes(ROWS * GROUP * LANES * (int64_t)sizeof(gr_real));
}

static void images_find_offsets(
    const gr__correlation *s, const gr__border *border, int64_t begin, gr__offsets *step)
{
    int64_t top = s->h.offset + begin * s->h.step - border->h, left = s->w.offset - border->w;
    kernel_offsets(s, step);
    for (int64_t a = 0; a < s->h.taps; a++)
        for (int64_t c = 0; c < s->in_channels; c++)
            for (int64_t b = 0; b < s->w.taps; b++) {
                int64_t row = c * border->rows + top + a * s->h.offset_step;
                (step++)->b = (row * border->cols + left + b * s->w.offset_step) * LANES;
            }
}

/* The steps of the taps first..end-1 of w alone. */
static const gr__offsets *offsets_of(images_residue *p, int64_t first, int64_t end)
{
    int64_t taps = p->s.w.taps, number = 0, at = 0, lines = p->s.h.taps * p->s.in_channels;
    if (taps > MOST_TRIMMED || (first == 0 && end == taps)) return p->step;
    for (int64_t f = 0; f < first; f++) {
        number += taps - f;
        at += (taps - f) * (taps - f + 1) / 2;
    }
    for (int64_t e = first + 1; e < end; e++) {
        number++;
        at += e - first;
    }
    gr__offsets *to = p->some + at * lines, *next = to;
    for (int64_t i = 0; i < lines && !p->made[number]; i++)
        for (int64_t b = first; b < end; b++) *next++ = p->step[i * taps + b];
    p->made[number] = true;
    return to;
}

static images_workspace images_lay_out(const gr__conv *c, gr__direction d, const gr__group *o,
    int images, int64_t begin, int64_t end, void *scratch)
{
    images_workspace w = {
        .residue = scratch, .residues = residues(c, d), .border = border_of(c, d, begin, end)
    };
    const gr__correlation *s = &w.residue[0].s;
    char                  *at = (char *)scratch + residues_bytes(c, d);
    gr__offsets           *step = (gr__offsets *)(void *)at;
    for (int64_t p = 0; p < w.residues; p++) {
        w.residue[p] = (images_residue){ .s = correlation(c, d, p), .step = step };
        images_find_offsets(&w.residue[p].s, &w.border, begin, step);
        w.residue[p].some = step + w.residue[p].s.K;
        step += offsets_of_residue(&w.residue[p].s);
    }
    w.input = (gr_real *)(void *)(at += images_offsets_bytes(c, d));
    w.tile = (gr_real *)(void *)(at + input_bytes(&w.border, s->in_channels));
    interleave(w.input, &w.border, o->x, o->x_end, c->G * s->in_channels * s->x_plane, images,
        s->in_channels, (gr__plane_size){ s->h.in, s->w.in });
    return w;
}

static gr__span span_hull(gr__span a, gr__span b)
{
    if (a.begin == a.end || b.begin == b.end) return a.begin == a.end ? b : a;
    return (gr__span){ at_most(a.begin, b.begin), at_least(a.end, b.end) };
}

/* Some of the outputs, which stand side by side in the plane, ordered by residue: where the window
   of each begins, and which of its taps fall on the input. */
typedef struct outputs {
    const gr_real *from[GROUP];
    gr__span       h[GROUP], w[GROUP];
    int            place[GROUP]; /* of the outputs as they stand in the plane, in that order */
} outputs;

/* Outputs of one residue among j..j+n of the plane, written from number m on; returns the number
   after the last. */
static int64_t find_outputs(const images_workspace *w, const gr__correlation *s, int64_t begin,
    int64_t j, int64_t n, outputs *out, int64_t m)
{
    const gr__axis *h = &s->h, *v = &s->w;
    int64_t         top = ceil_div(at_least(0, j / s->y_width - h->out), h->out_step);
    for (int64_t t = top, row; (row = (h->out + t * h->out_step) * s->y_width) < j + n; t++) {
        int64_t        right = at_most(s->y_width, j + n - row);
        gr__span       taps = taps_inside(h, t, t);
        const gr_real *from = w->input + (t - begin) * h->step * w->border.cols * LANES;
        for (int64_t i = ceil_div(at_least(0, j - row - v->out), v->out_step), col;
             (col = v->out + i * v->out_step) < right; i++, m++) {
            out->from[m] = from + i * v->step * LANES;
            out->h[m] = taps;
            out->w[m] = taps_inside(v, i, i);
            out->place[row + col - j] = (int)m;
        }
    }
    return m;
}

/* Outputs first..first+cols-1 go through the register block together; the taps that any of them
   needs. The others read the border. */
typedef struct images_block {
    int      first, cols;
    gr__span h, w;
} images_block;

static int64_t images_size_of(gr__span h, gr__span w)
{
    return (h.end - h.begin) * (w.end - w.begin);
}

/* Outputs from j on, up to COLS: as long as it costs less to have each compute taps that only
   another needs than to begin another block, which costs about what an output does. */
static images_block block_at(const gr__correlation *s, const outputs *out, int j, int end)
{
    images_block b = { j, 1, out->h[j], out->w[j] };
    int64_t      dear = s->w.taps > MOST_TRIMMED ? INT64_MAX / 2 : s->h.taps * s->w.taps;
    for (; b.cols < COLS && j + b.cols < end; b.cols++) {
        gr__span h = out->h[j + b.cols], w = out->w[j + b.cols], all_h = span_hull(b.h, h),
                 all_w = span_hull(b.w, w);
        int64_t apart = b.cols * images_size_of(b.h, b.w) + images_size_of(h, w);
        if ((b.cols + 1) * images_size_of(all_h, all_w) > apart + dear) break;
        b.h = all_h;
        b.w = all_w;
    }
    if (s->w.taps > MOST_TRIMMED) b.w = (gr__span){ 0, s->w.taps };
    return b;
}

/* The tile of one block of rows, for some outputs of one residue. */
static void fill_tile(images_residue *p, const gr__group *o, const outputs *out,
    const images_block *b, const images_block *end, int64_t r, int rows, gr_real *tile)
{
    const gr__correlation *s = &p->s;
    gr__outer_block m = { .a = o->k + r * s->k_row, .a_row = s->k_row, .y_row = GROUP * LANES };
    m.bias = o->bias ? o->bias + r : NULL;
    m.least = least_of(o->act);
    for (; b < end; b++) {
        int64_t each = s->in_channels * (b->w.end - b->w.begin); /* terms of one tap of h */
        for (int i = 0; i < b->cols; i++) m.b[i] = out->from[b->first + i];
        m.step = offsets_of(p, b->w.begin, b->w.end) + b->h.begin * each;
        m.K = (b->h.end - b->h.begin) * each;
        m.y = tile + b->first * LANES;
        outer_block(&m, rows, b->cols);
    }
}

/* Outputs j..j+n of the plane, of all rows. */
static void one_group(const images_workspace *w, const gr__group *o, int images, int64_t image_step,
    int64_t begin, int64_t j, int64_t n)
{
    const gr__correlation *s = &w->residue[0].s;
    outputs                out;
    images_block           all[GROUP], *last[MOST_RESIDUES + 1] = { all };
    int64_t                blocks = ceil_div(s->out_channels, ROWS), m = 0;
    for (int64_t p = 0; p < w->residues; p++) {
        int64_t i = m;
        m = find_outputs(w, &w->residue[p].s, begin, j, n, &out, m);
        for (last[p + 1] = last[p]; i < m; i += last[p + 1]++->cols)
            *last[p + 1] = block_at(&w->residue[p].s, &out, (int)i, (int)m);
    }
    for (int64_t i = n; i < ceil_div(n, LANES) * LANES; i++) out.place[i] = 0;
    for (int64_t b = 0; b < blocks; b++) {
        int64_t r = even_part(s->out_channels, blocks, b),
                end = even_part(s->out_channels, blocks, b + 1);
        for (int64_t i = r; i < end; i++)
            prefetch_images(o->y + i * s->y_plane + j, image_step, images, n);
        for (int64_t p = 0; p < w->residues; p++)
            fill_tile(&w->residue[p], o, &out, last[p], last[p + 1], r, (int)(end - r), w->tile);
        for (int64_t i = r; i < end; i++) {
            gr_real *row = w->tile + (i - r) * GROUP * LANES;
            activate(row, n * LANES, o->act);
            deinterleave_ordered(o->y + i * s->y_plane + j, image_step, images, row, out.place, n);
        }
    }
}

/* Rows begin..end-1 of the grids of all residues, of `images` images, o being the first. */
static void make_rows(const gr__conv *c, gr__direction d, const gr__group *o, int images,
    int64_t begin, int64_t end, void *scratch)
{
    images_workspace       w = images_lay_out(c, d, o, images, begin, end, scratch);
    const gr__correlation *s = &w.residue[0].s;
    int64_t                image_step = c->G * s->out_channels * s->y_plane,
            last = at_most(end * s->h.out_step * s->y_width, s->y_plane);
    for (int64_t j = begin * s->h.out_step * s->y_width; j < last; j += GROUP)
        one_group(&w, o, images, image_step, begin, j, at_most(GROUP, last - j));
}

/* ---- the algorithm --------------------------------------------------------------------------- */

/* The most that any residue asks for. */
typedef struct extent {
    int64_t rows, row_size; /* row_size: elements of the input for one row of outputs */
} extent;

static extent extent_of(const gr__conv *c, gr__direction d)
{
    extent e = { 0 };
    for (int64_t p = 0; p < residues(c, d); p++) {
        gr__correlation s = correlation(c, d, p);
        e.rows = at_least(e.rows, s.h.outs);
        if (s.K)
            e.row_size = at_least(e.row_size, s.in_channels * s.h.step * border(&s, 0, 1).cols);
    }
    return e;
}

/* A kernel of one tap reads each input once, so that there is no copying to save. */
static gr__suits lanes_images_suits(const gr__conv *c, gr__direction d)
{
    if (d == GR__KERNEL_GRAD) return GR__CANNOT;
    gr__correlation s = correlation(c, d, 0);
    int64_t         residues = residues(c, d);
    if (residues > MOST_RESIDUES || !s.in_channels || !s.x_plane) return GR__CANNOT;
    return pays_if(
        c->KH * c->KW > 1 && fills_lanes(c) && !(residues == 1 && lanes_columns_pays(&s)));
}

static void lanes_images_plan(const gr__conv *c, gr__direction d, gr__plan *plan)
{
    extent  e = extent_of(c, d);
    int64_t units = ceil_div(c->N, LANES) * c->G;
    int64_t fit = BORDER_BYTES / (int64_t)sizeof(gr_real) / LANES / at_least(1, e.row_size) - c->KH;
    int64_t split = at_least(IMAGES_LEAST_ROWS, e.rows / ceil_div(IMAGES_TASKS, units));
    plan->stages = 1;
    plan->chunk = at_least(1, at_most(at_most(fit, split), e.rows));
    plan->tasks[0] = units * ceil_div(e.rows, plan->chunk);
    plan->scratch = images_scratch(c, d, plan->chunk);
}

/* Tasks run through the chunks of a group, the groups of LANES images, the batch. */
static void lanes_images_run(const gr__conv *c, const gr__plan *plan, const gr__operands *o,
    int stage, int64_t task, void *shared, void *scratch)
{
    (void)stage, (void)shared;
    gr__direction d = plan->direction;
    int64_t       rows = correlation(c, d, 0).h.outs, chunks = ceil_div(rows, plan->chunk),
            unit = task / chunks;
    int64_t   begin = task % chunks * plan->chunk, n = unit / c->G * LANES;
    gr__group group = group(c, d, o, n, unit % c->G);
    make_rows(c, d, &group, (int)at_most(LANES, c->N - n), begin,
        at_most(begin + plan->chunk, rows), scratch);
}

const gr__conv_algorithm GR__NAME(lanes_images) = {
    .name = "lanes_images",
    .suits = lanes_images_suits,
    .plan = lanes_images_plan,
    .run = lanes_images_run,
    .exact = true,
};
