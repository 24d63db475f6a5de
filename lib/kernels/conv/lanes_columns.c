/* lanes_columns.c: a correlation of one image at a time, its outputs along the vector. The input is
   gathered into panels, one for each channel and, along w, for each remainder by the stride or for
   each tap: row i of it holds what row i of the outputs reads, and some rows more, so that each tap
   is a constant displacement. Where the outputs fill their vectors badly, a panel's rows are as
   long as the outputs', and run on as one. Invariant: each output is written once all its terms are
   summed; vectors that overlap hold the same numbers. */
#include "lanes_columns.h"

#include "conv.h"

#include <math.h>

enum { PANEL_BYTES = 256 << 10 };         /* of the second cache */
enum { COLUMNS_TASK_PRODUCTS = 1 << 19 }; /* about as many as pay for handing out a task */
enum {
    BAND_PRODUCTS = 1 << 17
}; /* of a band: fewer do not pay for laying out what two of them read */
enum {
    COLUMNS_TASKS = 16,
    COLUMNS_LEAST_ROWS = 8
};                         /* worth splitting for more threads, down to so many rows of outputs */
enum { LEAST_TERMS = 64 }; /* of a sum that is begun and put down again */

/* Vectors that are shifted back at the end of each row cost what full ones do; a row of one more
   panel takes about 15 cycles. */
static bool should_run_on(const gr__correlation *s)
{
    int64_t outs = s->w.outs, idle = ceil_div(outs, LANES) * LANES - outs;
    return outs < LANES ||
           idle * s->h.taps * s->w.taps * s->out_channels > 15 * (s->w.taps - 1) * LANES;
}

/* What comes besides the products, in cycles for a vector of outputs, as measured: laying the input
   out, which is read by s->rows rows; here, the lanes that are idle, and loads across the lines of
   the cache; there, the transposition back. */
bool lanes_columns_pays(const gr__correlation *s)
{
    const int64_t gathering = s->w.step == 1 ? 4 : 24, interleaving = 4, dealing = 13,
                  crossing = 20;
    int64_t vectors =
                s->in_channels * at_most(s->h.step, s->h.taps) * at_most(s->w.step, s->w.taps),
            outs = s->w.outs;
    int64_t idle = (ceil_div(outs, LANES) * LANES - outs) * s->K / at_least(1, outs);
    return !should_run_on(s) &&
           vectors * (gathering - interleaving) / s->out_channels + idle + s->K / crossing <
               dealing;
}

/* How far the taps of all residues reach: those of h and those of w combine freely. */
static gr__lanes_columns reach_of(const gr__conv *c, gr__direction d)
{
    gr__correlation   first = correlation(c, d, 0);
    gr__lanes_columns p = { .width = first.w.outs, .runs_on = should_run_on(&first) }, all = p;
    int64_t           residues = residues(c, d), h = 0, w = 0;
    int64_t           across = d == GR__FORWARD ? 1 : at_least(1, at_most(c->SW, c->W));
    for (int64_t residue = 0; residue < residues; residue += across) {
        gr__axis s = correlation(c, d, residue).h;
        int64_t  high = (s.taps - 1) * magnitude(s.offset_step);
        if (!s.taps) continue;
        all.down = at_least(all.down, at_most(s.step, high + 1));
        all.further = at_least(all.further, high / s.step);
        h = at_least(h, s.taps);
    }
    for (int64_t residue = 0; residue < at_most(residues, across); residue++) {
        gr__axis s = correlation(c, d, residue).w;
        int64_t  wide = (s.taps - 1) * magnitude(s.offset_step);
        if (!s.taps) continue;
        all.along = at_least(all.along, p.runs_on ? s.taps : at_most(s.step, wide + 1));
        if (!p.runs_on) all.width = at_least(all.width, first.w.outs + wide / s.step);
        w = at_least(w, s.taps);
    }
    all.taps = h * w;
    return first.in_channels && all.taps ? all : p;
}

gr__lanes_columns lanes_columns_of(const gr__conv *c, gr__direction d)
{
    gr__correlation   s = correlation(c, d, 0); /* the first residue has most outputs */
    gr__lanes_columns p = reach_of(c, d);
    int64_t           H = s.h.outs, units = c->N * c->G * residues(c, d),
            fit = PANEL_BYTES / (int64_t)sizeof(gr_real);
    int64_t line = at_least(1, p.along * p.down * p.width), few = at_most(H, COLUMNS_LEAST_ROWS);
    int64_t channels = fit / (line * (few + p.further));
    p.channels =
        at_most(s.in_channels, at_least(channels, ceil_div(LEAST_TERMS, at_least(1, p.taps))));
    int64_t rows = fit / at_least(1, line * p.channels) - p.further,
            products = at_least(1, s.out_channels * s.in_channels * p.taps * H * s.w.outs);
    int64_t parts = at_least(1, at_most(ceil_div(COLUMNS_TASKS, units), products / BAND_PRODUCTS));
    p.rows = at_least(1, at_most(at_most(rows, H), at_least(few, H / parts)));
    p.bands = ceil_div(H, p.rows);
    p.images = p.bands > 1
                   ? 1
                   : at_least(1, at_most(COLUMNS_TASK_PRODUCTS / products, c->N / COLUMNS_TASKS));
    p.size = ceil_div((p.rows + p.further) * p.width, LANES) * LANES + LANES;
    return p;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static size_t columns_offsets_bytes(const gr__lanes_columns *p)
{
    return padded_bytes(p->channels * p->taps * (int64_t)sizeof(gr__offsets));
}

static int64_t panels_elements(const gr__lanes_columns *p)
{
    return p->channels * p->along * p->down * p->size + COLS * LANES;
}

/* The vectors of the rows of outputs. */
static int64_t columns_lines_of(const gr__lanes_columns *p, int64_t rows)
{
    return p->runs_on ? 1 : rows;
}

static int64_t vectors_of(const gr__lanes_columns *p, const gr__correlation *s, int64_t rows)
{
    return ceil_div(p->runs_on ? rows * s->w.outs : s->w.outs, LANES);
}

size_t lanes_columns_scratch(const gr__conv *c, gr__direction d, const gr__lanes_columns *p)
{
    gr__correlation s = correlation(c, d, 0);
    int64_t         vectors = columns_lines_of(p, p->rows) * vectors_of(p, &s, p->rows);
    return columns_offsets_bytes(p) +
           padded_bytes(
               (panels_elements(p) + s.out_channels * vectors * LANES) * (int64_t)sizeof(gr_real));
}

/* Of a row of a panel in this residue: no more than p->width. */
static int64_t columns_width_of(const gr__lanes_columns *p, const gr__correlation *s)
{
    return p->runs_on ? s->w.outs : p->width;
}

/* What a task works on. */
typedef struct columns_work {
    const gr__lanes_columns *p;
    int64_t                  begin, rows;    /* of the grid of outs */
    int64_t                  lines, vectors; /* rows of vectors, and how many each has */
    bool                     in_place;       /* the outputs are written where they belong */
    gr__offsets             *step;
    gr_real                 *panel, *tile;
} columns_work;

/* Terms stand in the order channel, tap of h, tap of w. */
static void columns_find_offsets(
    const gr__lanes_columns *p, const gr__correlation *s, gr__offsets *step)
{
    int64_t high = at_most(0, (s->h.taps - 1) * s->h.offset_step),
            wide = at_most(0, (s->w.taps - 1) * s->w.offset_step);
    int64_t taps = s->h.taps * s->w.taps, width = columns_width_of(p, s),
            channel = p->along * p->down * p->size, t = 0;
    for (int64_t a = 0; a < s->h.taps && s->K; a++) {
        int64_t i = a * s->h.offset_step - high,
                from = i % s->h.step * p->size + i / s->h.step * width;
        for (int64_t b = 0; b < s->w.taps; b++, t++) {
            int64_t j = b * s->w.offset_step - wide, column = p->runs_on ? b : j % s->w.step,
                    shift = p->runs_on ? 0 : j / s->w.step;
            step[t].a = (s->h.tap + a * s->h.tap_step) * s->k_width + s->w.tap + b * s->w.tap_step;
            step[t].b = column * p->down * p->size + from + shift;
        }
    }
    for (int64_t n = p->channels * taps; t < n && s->K; t++)
        step[t] =
            (gr__offsets){ .a = step[t - taps].a + s->k_channel, .b = step[t - taps].b + channel };
}

static columns_work columns_lay_out(const gr__lanes_columns *p, const gr__correlation *s,
    int64_t begin, int64_t rows, void *scratch)
{
    columns_work w = { .p = p,
        .begin = begin,
        .rows = rows,
        .lines = columns_lines_of(p, rows),
        .vectors = vectors_of(p, s, rows),
        .step = scratch };
    w.in_place = is_dense(s) && p->channels == s->in_channels &&
                 (p->runs_on ? rows : 1) * s->w.outs >= LANES;
    w.panel = (gr_real *)(void *)((char *)scratch + columns_offsets_bytes(p));
    w.tile = w.panel + panels_elements(p);
    columns_find_offsets(p, s, w.step);
    return w;
}

/* ---- the sums -------------------------------------------------------------------------------- */

static void columns_gather(const columns_work *w, const gr__correlation *s, const gr_real *x,
    const gr_real *x_end, int64_t channels)
{
    const gr__lanes_columns *p = w->p;
    int64_t                  top =
        w->begin * s->h.step + s->h.offset + at_most(0, (s->h.taps - 1) * s->h.offset_step);
    int64_t left = s->w.offset + at_most(0, (s->w.taps - 1) * s->w.offset_step);
    int64_t high = (s->h.taps - 1) * magnitude(s->h.offset_step),
            down = at_most(s->h.step, high + 1), rows = w->rows + high / s->h.step;
    int64_t along = p->runs_on
                        ? s->w.taps
                        : at_most(s->w.step, (s->w.taps - 1) * magnitude(s->w.offset_step) + 1);
    for (int64_t c = 0; c < channels; c++)
        for (int64_t a = 0; a < along; a++)
            for (int64_t h = 0; h < down; h++) {
                gr_real *to = w->panel + ((c * p->along + a) * p->down + h) * p->size;
                int64_t  column = p->runs_on ? s->w.offset + a * s->w.offset_step : left + a;
                pack_rows(s, x + c * s->x_plane, x_end, top + h, column, rows,
                    columns_width_of(p, s), to);
            }
}

/* A vector of the outputs: where it reads in its panel, and where it is written. */
static void find_vector(const columns_work *w, const gr__correlation *s, int64_t line,
    int64_t vector, int64_t *from, int64_t *to)
{
    int64_t col = vector * LANES;
    if (w->in_place) col = at_most(col, (w->p->runs_on ? w->rows * s->w.outs : s->w.outs) - LANES);
    *from = line * columns_width_of(w->p, s) + col;
    *to = w->in_place ? line * s->y_width + col : (line * w->vectors + vector) * LANES;
}

/* The rows of the kernel times the panels that lie gathered, for the channels from c on. */
static void columns_multiply(const columns_work *w, const gr__correlation *s, const gr__group *o,
    int64_t c, int64_t channels, gr_real *y, int64_t y_row)
{
    const gr_real *k = o->k + c * s->k_channel;
    int64_t        to[COLS], all = w->lines * w->vectors, blocks = ceil_div(s->out_channels, ROWS),
                      line = 0, vector = 0;
    gr__outer_block m = { .a_row = s->k_row,
        .step = w->step,
        .K = channels * s->h.taps * s->w.taps,
        .onto = c > 0,
        .y_row = y_row,
        .to = to };
    m.least = c + channels == s->in_channels ? least_of(o->act) : -(gr_real)INFINITY;
    for (int64_t j = 0; j < all; j += COLS) {
        int cols = (int)at_most(COLS, all - j);
        for (int i = 0; i < cols; i++) {
            int64_t from;
            find_vector(w, s, line, vector, &from, &to[i]);
            m.b[i] = w->panel + from;
            if (++vector == w->vectors) vector = 0, line++;
        }
        for (int64_t b = 0; b < blocks; b++) {
            int64_t r = even_part(s->out_channels, blocks, b),
                    end = even_part(s->out_channels, blocks, b + 1);
            m.a = k + r * s->k_row;
            m.bias = o->bias ? o->bias + r : NULL;
            m.y = y + r * y_row;
            outer_block(&m, (int)(end - r), cols);
        }
    }
}

static void write_tile(
    const columns_work *w, const gr__correlation *s, const gr_real *tile, gr_real *y)
{
    int64_t row = w->p->runs_on ? s->w.outs : w->vectors * LANES;
    for (int64_t i = 0; i < w->rows; i++, tile += row) {
        gr_real *to = y + (s->h.out + (w->begin + i) * s->h.out_step) * s->y_width + s->w.out;
        if (is_dense(s))
            memcpy(to, tile, (size_t)s->w.outs * sizeof *to);
        else
            for (int64_t t = 0; t < s->w.outs; t++) to[t * s->w.out_step] = tile[t];
    }
}

static void one_image(const columns_work *w, const gr__correlation *s, const gr__group *o)
{
    gr_real *y = w->in_place ? o->y + w->begin * s->y_width : w->tile;
    int64_t  n = w->in_place ? w->rows * s->w.outs : w->lines * w->vectors * LANES,
            y_row = w->in_place ? s->y_plane : n, c = 0;
    do {
        int64_t channels = at_most(w->p->channels, s->in_channels - c);
        if (s->K) columns_gather(w, s, o->x + c * s->x_plane, o->x_end, channels);
        columns_multiply(w, s, o, c, channels, y, y_row);
        c += channels;
    } while (c < s->in_channels);
    for (int64_t r = 0; r < s->out_channels; r++) {
        activate(y + r * y_row, n, o->act);
        if (!w->in_place) write_tile(w, s, y + r * y_row, o->y + r * s->y_plane);
    }
}

void lanes_columns_piece(const gr__conv *c, gr__direction d, const gr__operands *o,
    const gr__lanes_columns *p, int64_t piece, int64_t n, int64_t g, void *scratch)
{
    gr__correlation s = correlation(c, d, piece / p->bands);
    int64_t         begin = piece % p->bands * p->rows, rows = at_most(p->rows, s.h.outs - begin);
    if (rows <= 0 || !s.w.outs) return;
    columns_work w = columns_lay_out(p, &s, begin, rows, scratch);
    for (int64_t end = at_most(n + p->images, c->N); n < end; n++) {
        gr__group group = group(c, d, o, n, g);
        one_image(&w, &s, &group);
    }
}

/* ---- the algorithm --------------------------------------------------------------------------- */

static gr__suits lanes_columns_suits(const gr__conv *c, gr__direction d)
{
    (void)c;
    return d == GR__KERNEL_GRAD ? GR__CANNOT : GR__PAYS;
}

static void lanes_columns_plan(const gr__conv *c, gr__direction d, gr__plan *plan)
{
    gr__lanes_columns p = lanes_columns_of(c, d);
    plan->stages = 1;
    plan->tasks[0] = ceil_div(c->N, p.images) * c->G * residues(c, d) * p.bands;
    plan->scratch = lanes_columns_scratch(c, d, &p);
}

/* Tasks run through the pieces of a group, the groups of some images, the batch. */
static void lanes_columns_run(const gr__conv *c, const gr__plan *plan, const gr__operands *o,
    int stage, int64_t task, void *shared, void *scratch)
{
    (void)stage, (void)shared;
    gr__direction     d = plan->direction;
    gr__lanes_columns p = lanes_columns_of(c, d);
    int64_t           pieces = p.bands * residues(c, d), unit = task / pieces;
    lanes_columns_piece(c, d, o, &p, task % pieces, unit / c->G * p.images, unit % c->G, scratch);
}

const gr__conv_algorithm GR__NAME(lanes_columns) = {
    .name = "lanes_columns",
    .suits = lanes_columns_suits,
    .plan = lanes_columns_plan,
    .run = lanes_columns_run,
    .exact = true,
};
