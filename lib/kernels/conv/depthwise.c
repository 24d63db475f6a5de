/* depthwise.c: a correlation that writes few planes: the depthwise one first of all. The outputs of
   a row lie along the vector, and a sweep makes SWEEP rows of them at once, so that an input that
   is loaded serves up to TAPS_AT_ONCE rows of the kernel. What a sweep reads is copied first, band
   by band, with its border of zeros, and the columns of one remainder by the stride together: every
   tap is then a constant displacement. Where a row does not fill vectors, the rows of several
   images stand side by side. Where depthwise_roll.h can do it, it reads the input where it stands.
   Invariant: a task owns its outputs; which rows and images go together depends on shapes alone,
   and no sum depends on that. */
#include "depthwise.h"

#include "conv.h"
#include "kernels/table.h"

enum { DEPTHWISE_BAND_BYTES = 3 << 13 };    /* of the nearest cache, for the input of a band */
enum { DEPTHWISE_TASK_PRODUCTS = 1 << 19 }; /* about as many as pay for handing out a task */
enum { DEPTHWISE_MOST_ROWS = 4 };           /* planes of a group that are few */

gr__band depthwise_band(const gr__correlation *s, int64_t images, int64_t begin, int64_t end)
{
    gr__band b = { .border = border(s, begin, end), .images = images, .begin = begin, .end = end };
    const gr__axis w = s->w;
    int64_t left = at_least(0, -b.border.w), right = at_least(0, b.border.w + b.border.cols - w.in);
    /* Neighbours share their zeros. */
    b.pitch = at_least(
        w.outs, ceil_div(b.border.cols, w.step) - (w.step == 1 ? at_most(left, right) : 0));
    b.vectors = ceil_div((images - 1) * b.pitch + w.outs, LANES);
    int64_t reach = (b.border.cols - (w.outs - 1) * w.step - 1) / w.step;
    b.width = ceil_div(b.vectors * LANES + reach, LANES) * LANES +
              LANES; /* room for a vector past the end */
    b.row = b.width * w.step;
    b.plane = b.row * b.border.rows;
    return b;
}

/* How many images side by side make the fewest vectors for each. */
static int64_t depthwise_images_of(const gr__correlation *s, int64_t N)
{
    gr__band one = depthwise_band(s, 1, 0, 1);
    int64_t  best = 1, vectors = one.vectors;
    for (int64_t m = 2; m <= at_most(N, LANES) && s->w.outs % LANES && !depthwise_roll_suits(s);
         m++) {
        int64_t more = ceil_div((m - 1) * one.pitch + s->w.outs, LANES);
        if (more * best < vectors * m) best = m, vectors = more;
    }
    return best;
}

gr__depthwise_cut depthwise_cut(const gr__conv *c, gr__direction d)
{
    gr__correlation   s = correlation(c, d, 0); /* the first residue has most outputs */
    gr__depthwise_cut k = { .images = depthwise_images_of(&s, c->N) };
    gr__band          one = depthwise_band(&s, k.images, 0, 1);
    int64_t row = at_least(1, s.in_channels * s.h.step * one.row * (int64_t)sizeof(gr_real));
    int64_t fit = at_least(SWEEP, DEPTHWISE_BAND_BYTES / row / SWEEP * SWEEP);
    k.chunks = ceil_div(c->N, k.images);
    k.bands = ceil_div(s.h.outs, fit);
    k.rows = ceil_div(s.h.outs, k.bands);
    for (int64_t residue = 0; residue < residues(c, d); residue++) {
        s = correlation(c, d, residue);
        gr__band b = depthwise_band(&s, k.images, 0, at_most(k.rows, s.h.outs));
        k.input = at_least(k.input, s.in_channels * b.plane);
        k.tile = at_least(k.tile, b.vectors * LANES * k.rows + LANES);
        k.zeros = at_least(k.zeros, b.width);
    }
    return k;
}

/* ---- laying out the input -------------------------------------------------------------------- */

/* n numbers that stand `step` apart; past them, what comes next in x or nothing. */
GR__INLINE void copy_run(
    gr_real *to, const gr_real *x, const gr_real *x_end, int64_t n, const int64_t step)
{
    if (step <= 2 && x_end - x >= step * (n + LANES)) {
        for (int64_t i = 0; i < n; i += LANES)
            vec_store(to + i, step == 1
                                  ? vec_load(x + i)
                                  : vec_even(vec_load(x + 2 * i), vec_load(x + 2 * i + LANES)));
    } else {
        GR__INDEPENDENT
        for (int64_t i = 0; i < n; i++) to[i] = x[i * step];
    }
}

/* What lies in the input of one channel and one remainder: rows of `count` numbers from column
   `first` on. */
typedef struct patch {
    const gr_real *x, *x_end;
    int64_t        image_step, x_row;
    int            images;
    int64_t        rows, first, count;
    int64_t        next; /* from here to what is going to be laid out after this */
} patch;

/* Each image mends what the one before it has written past its end. */
GR__INLINE void lay_rows(const gr__band *b, const patch *p, gr_real *to, const int64_t step)
{
    const int64_t pitch = b->pitch, row = b->row, end = b->width - LANES, first = p->first,
                  count = p->count, x_row = p->x_row, next = p->next;
    for (int n = 0; n < p->images; n++) {
        const gr_real *x = p->x + n * p->image_step, *x_end = p->x_end;
        gr_real       *t = to + n * pitch;
        int64_t        past = (n + 1 < p->images ? pitch : end - n * pitch) - first - count;
        for (int64_t i = 0; i < p->rows; i++, x += x_row, t += row) {
            for (int64_t j = 0; j < count * step; j += CACHE_LINE) __builtin_prefetch(x + next + j);
            clear(t, first);
            copy_run(t + first, x, x_end, count, step);
            clear(t + first + count, past);
        }
    }
}

/* One channel and one remainder r. */
static void lay_plane(const gr__band *b, const gr__correlation *s, int64_t r, patch *p,
    const gr_real *plane, gr_real *to)
{
    const int64_t step = s->w.step, start = b->border.w + r,
                  cols = ceil_div(b->border.cols - r, step), zeros = b->width - LANES;
    int64_t top = at_most(b->border.rows, at_least(0, -b->border.h));
    int64_t bottom = at_least(top, at_most(b->border.rows, s->h.in - b->border.h));
    p->first = at_most(cols, start < 0 ? ceil_div(-start, step) : 0);
    p->count = at_least(
        0, at_most(cols, start < s->w.in ? ceil_div(s->w.in - start, step) : 0) - p->first);
    if (!p->count) bottom = top;
    p->rows = bottom - top;
    p->x_row = s->w.in;
    p->x = plane + (b->border.h + top) * s->w.in + start + p->first * step;
    for (int64_t i = 0; i < top; i++) clear(to + i * b->row, zeros);
    if (step == 1)
        lay_rows(b, p, to + top * b->row, 1);
    else if (step == 2)
        lay_rows(b, p, to + top * b->row, 2);
    else
        lay_rows(b, p, to + top * b->row, step);
    for (int64_t i = bottom; i < b->border.rows; i++) clear(to + i * b->row, zeros);
}

void depthwise_lay_out(const gr__band *b, const gr__correlation *s, gr_real *to, const gr_real *x,
    const gr_real *x_end, int64_t image_step, int64_t next)
{
    patch p = { .x_end = x_end, .image_step = image_step, .images = (int)b->images, .next = next };
    for (int64_t r = 0; r < s->w.step; r++)
        for (int64_t c = 0; c < s->in_channels; c++)
            lay_plane(b, s, r, &p, x + c * s->x_plane, to + c * b->plane + r * b->width);
}

/* ---- reading the input where it stands ------------------------------------------------------- */

gr__view depthwise_view(const gr__band *b, const gr__correlation *s, const gr_real *x,
    const gr_real *x_begin, const gr_real *x_end, const gr_real *zeros, gr_real *copy)
{
    const gr__border *e = &b->border;
    if (x - x_begin >= -e->w && x_end - x - s->x_plane >= e->w + e->cols - s->w.in)
        return (gr__view){ .x = x + e->w,
            .zeros = zeros,
            .row = s->w.in,
            .h = e->h,
            .w = e->w,
            .rows = s->h.in,
            .cols = s->w.in };
    depthwise_lay_out(b, s, copy, x, x_end, 0, 0);
    return (gr__view){ .x = copy, .row = b->row, .rows = e->rows, .cols = INT64_MAX };
}

/* ---- sweeps ---------------------------------------------------------------------------------- */

/* `taps` rows of the kernel in one of its columns: where they begin in the input, and their
   weights. */
typedef struct strip {
    int64_t x;
    gr_real weight[TAPS_AT_ONCE];
} strip;

/* Some rows of outputs; the strips are in order of taps: count[t] of them have t + 1. */
typedef struct depthwise_sweep {
    const gr_real *x;
    int64_t        row; /* from one row of outputs to the next, in x */
    const strip   *strips;
    int64_t        count[TAPS_AT_ONCE];
    int64_t        vectors;
    gr_real        bias, least;
    gr_real       *y;
    int64_t        y_row;
    int64_t        prefetch; /* numbers a row to ask for, before they are written */
} depthwise_sweep;

/* Row i of the input meets row p of the kernel in row i - p of the outputs. */
GR__INLINE const strip *sweep_strips(const strip *s, int64_t count, const gr_real *x, int64_t row,
    vec acc[SWEEP], const int rows, const int taps)
{
    for (const strip *end = s + count; s < end; s++) {
        vec            w[TAPS_AT_ONCE];
        const gr_real *from = x + s->x;
        GR__UNROLL
        for (int p = 0; p < taps; p++) w[p] = vec_all(s->weight[p]);
        GR__UNROLL
        for (int i = 0; i < rows + taps - 1; i++, from += row) {
            vec v = load_once(from);
            GR__UNROLL
            for (int p = 0; p < taps; p++)
                if (i >= p && i - p < rows) acc[i - p] += w[p] * v;
        }
    }
    return s;
}

GR__INLINE void sweep_rows(const depthwise_sweep *s, const int rows)
{
    const int64_t row = s->row, y_row = s->y_row;
    for (int64_t v = 0; v < s->vectors * LANES; v += LANES) {
        vec            acc[SWEEP], least = vec_all(s->least);
        const gr_real *x = s->x + v;
        gr_real       *y = s->y + v;
        GR__UNROLL
        for (int i = 0; i < rows; i++) acc[i] = vec_all(s->bias);
        const strip *at = sweep_strips(s->strips, s->count[0], x, row, acc, rows, 1);
        at = sweep_strips(at, s->count[1], x, row, acc, rows, 2);
        sweep_strips(at, s->count[2], x, row, acc, rows, 3);
        GR__UNROLL
        for (int i = 0; i < rows; i++, y += y_row)
            vec_store(y, vec_choose(acc[i] < least, least, acc[i]));
    }
}

#define SWEEP_ROWS(r) \
    static void sweep_##r(const depthwise_sweep *s) { sweep_rows(s, r); }
/* clang-format off */
SWEEP_ROWS(1) SWEEP_ROWS(2) SWEEP_ROWS(3) SWEEP_ROWS(4)
SWEEP_ROWS(5) SWEEP_ROWS(6) SWEEP_ROWS(7) SWEEP_ROWS(8)
    /* clang-format on */

    /* All rows of a band. */
    static void sweep_band(const depthwise_sweep *w, int64_t rows)
{
    static void (*const of[SWEEP])(const depthwise_sweep *) = { sweep_1, sweep_2, sweep_3, sweep_4,
        sweep_5, sweep_6, sweep_7, sweep_8 };
    int64_t         blocks = ceil_div(rows, SWEEP);
    depthwise_sweep part = *w;
    for (int64_t i = 0; i < blocks; i++) {
        int64_t r = even_part(rows, blocks, i);
        part.x = w->x + r * w->row;
        part.y = w->y + r * w->y_row;
        int64_t count = even_part(rows, blocks, i + 1) - r;
        for (int64_t l = 0; l < count * w->prefetch; l += CACHE_LINE)
            __builtin_prefetch(part.y + count * w->prefetch + l, 1);
        of[count - 1](&part);
    }
}

/* ---- output and input gradient --------------------------------------------------------------- */

/* Where in the kernel tap number a of an axis is, in the order of addresses. */
static int64_t depthwise_tap_of(const gr__axis *x, int64_t a)
{
    return x->tap + (x->offset_step < 0 ? x->taps - 1 - a : a) * x->tap_step;
}

/* Rows a..a+taps of the kernel, in all columns of all channels. */
static strip *strips_of(
    const gr__correlation *s, const gr__band *b, const gr_real *k, int64_t a, int taps, strip *to)
{
    for (int64_t c = 0; c < s->in_channels; c++)
        for (int64_t i = 0; i < s->w.taps; i++, to++) {
            int64_t col = i * magnitude(s->w.offset_step);
            to->x = c * b->plane + a * magnitude(s->h.offset_step) * b->row +
                    col % s->w.step * b->width + col / s->w.step;
            for (int p = 0; p < taps; p++)
                to->weight[p] = k[c * s->k_channel + depthwise_tap_of(&s->h, a + p) * s->k_width +
                                  depthwise_tap_of(&s->w, i)];
        }
    return to;
}

/* Rows of the kernel go together if they are as far apart as rows of outputs. */
static void take_strips(
    depthwise_sweep *p, const gr__correlation *s, const gr__band *b, const gr_real *k, strip *to)
{
    int64_t whole = magnitude(s->h.offset_step) == s->h.step ? s->h.taps / TAPS_AT_ONCE : 0, a = 0;
    int64_t rest = s->h.taps - whole * TAPS_AT_ONCE, each = s->in_channels * s->w.taps;
    bool    pair = magnitude(s->h.offset_step) == s->h.step && rest == 2;
    p->strips = to;
    p->count[0] = (pair ? 0 : rest) * each;
    p->count[1] = pair ? each : 0;
    p->count[2] = whole * each;
    if (pair)
        to = strips_of(s, b, k, 0, 2, to), a = 2;
    else
        for (; a < rest; a++) to = strips_of(s, b, k, a, 1, to);
    for (; a < s->h.taps; a += TAPS_AT_ONCE) to = strips_of(s, b, k, a, TAPS_AT_ONCE, to);
}

static size_t strips_bytes(const gr__correlation *s, const gr__conv *c)
{
    return padded_bytes(s->in_channels * c->KH * c->KW * (int64_t)sizeof(strip));
}

/* One of the correlations that a direction is made of, and the band that it works on. */
typedef struct depthwise_residue {
    gr__correlation s;
    gr__band        b;
} depthwise_residue;

typedef struct depthwise_workspace {
    depthwise_residue *residue;
    strip             *strips;
    gr_real           *zeros, *input, *tile;
    int64_t            tile_size;
} depthwise_workspace;

/* Residues whose outputs stand in turn in a row. */
static int64_t residues_across(const gr__conv *c, gr__direction d)
{
    return d == GR__FORWARD ? 1 : at_most(c->SW, c->W);
}

static depthwise_workspace lay_scratch(
    const gr__conv *c, gr__direction d, const gr__depthwise_cut *k, void *scratch)
{
    int64_t             residues = residues(c, d);
    depthwise_workspace w = { .residue = scratch, .tile_size = k->tile };
    w.strips = (strip *)(void *)((char *)scratch +
                                 padded_bytes(residues * (int64_t)sizeof(depthwise_residue)));
    for (int64_t i = 0; i < residues; i++)
        w.residue[i] = (depthwise_residue){ .s = correlation(c, d, i) };
    w.zeros = (gr_real *)(void *)((char *)w.strips + strips_bytes(&w.residue->s, c));
    w.input = (gr_real *)(void *)((char *)w.zeros + bytes_of_reals(k->zeros));
    memset(w.zeros, 0, bytes_of_reals(k->zeros));
    w.tile = (gr_real *)(void *)((char *)w.input + bytes_of_reals(k->input));
    return w;
}

/* n numbers, of a and b in turn. */
static void weave(gr_real *to, const gr_real *a, const gr_real *b, int64_t n)
{
    for (; n > 0; n -= 2 * LANES, to += 2 * LANES, a += LANES, b += LANES) {
        vec both[2] = { vec_lower(vec_load(a), vec_load(b)), vec_upper(vec_load(a), vec_load(b)) };
        gr_real woven[2 * LANES];
        memcpy(woven, both, sizeof both);
        copy_exactly(to, woven, at_most(n, 2 * LANES));
    }
}

/* The outputs of one plane, from the tiles of its residues along a row to their places in each
   image. */
static void write_tiles(const depthwise_residue *p, int64_t across, const gr_real *tile,
    int64_t tile_size, gr_real *y, int64_t image_step)
{
    const gr__axis *h = &p->s.h;
    for (int n = 0; n < p->b.images; n++, y += image_step)
        for (int64_t i = p->b.begin; i < p->b.end; i++) {
            const gr_real *from = tile + (i - p->b.begin) * p->b.vectors * LANES + n * p->b.pitch;
            gr_real       *to = y + (h->out + i * h->out_step) * p->s.y_width;
            if (across == 1)
                copy_exactly(to, from, p->s.y_width);
            else if (across == 2)
                weave(to, from,
                    tile + tile_size + (i - p->b.begin) * p[1].b.vectors * LANES + n * p[1].b.pitch,
                    p->s.y_width);
            else
                for (int64_t r = 0; r < across; r++) {
                    from = tile + r * tile_size + (i - p->b.begin) * p[r].b.vectors * LANES +
                           n * p[r].b.pitch;
                    for (int64_t t = 0; t < p[r].s.w.outs; t++) to[r + t * across] = from[t];
                }
        }
}

/* Outputs of one residue, of all planes of a group: into tiles, or where they belong. */
static void one_residue(depthwise_residue *p, const gr__group *o, int64_t G, bool in_place,
    depthwise_workspace *w, gr_real *tile, int64_t tile_step)
{
    const gr__correlation *s = &p->s;
    const gr__band        *b = &p->b;
    depthwise_sweep        m = { .x = w->input, .row = s->h.step * b->row };
    m.vectors = b->vectors;
    m.least = least_of(o->act);
    m.y_row = in_place ? s->y_width : b->vectors * LANES;
    m.prefetch = in_place ? s->y_width : 0;
    if (s->K)
        depthwise_lay_out(b, s, w->input, o->x, o->x_end, G * s->in_channels * s->x_plane,
            s->in_channels * s->x_plane);
    for (int64_t r = 0; r < s->out_channels; r++) {
        if (s->K) take_strips(&m, s, b, o->k + r * s->k_row, w->strips);
        m.bias = o->bias ? o->bias[r] : 0;
        m.y = in_place ? o->y + r * s->y_plane + b->begin * s->y_width : tile + r * tile_step;
        sweep_band(&m, b->end - b->begin);
        activate(m.y, (b->end - b->begin) * m.y_row, o->act);
    }
}

/* The same by depthwise_roll.h: each output is written where it belongs. */
static void roll_residue(const depthwise_residue *p, const gr__group *o, depthwise_workspace *w)
{
    const gr__correlation *s = &p->s;
    gr__view        x = depthwise_view(&p->b, s, o->x, o->x_begin, o->x_end, w->zeros, w->input);
    gr__roll        m = roll_of(s, &x, p->b.end - p->b.begin);
    gr__roll_filter f = { .least = least_of(o->act) };
    for (int64_t r = 0; r < s->out_channels; r++) {
        const gr_real *k = o->k + r * s->k_row;
        gr_real       *y = o->y + r * s->y_plane + p->b.begin * m.outs;
        for (int a = 0; a < ROLL_TAPS; a++)
            for (int i = 0; i < ROLL_TAPS; i++)
                f.weight[a][i] =
                    k[depthwise_tap_of(&s->h, a) * s->k_width + depthwise_tap_of(&s->w, i)];
        f.bias = o->bias ? o->bias[r] : 0;
        depthwise_roll(&m, &f, y);
        activate(y, m.rows * m.outs, o->act);
    }
}

/* Rows begin.. of the outs of the residues p[0..across-1], of one group. */
static void one_piece(depthwise_residue *p, int64_t across, const gr__group *o, int64_t G,
    int64_t images, int64_t begin, int64_t end, depthwise_workspace *w)
{
    const gr__correlation *s = &p->s;
    int64_t                image_step = G * s->out_channels * s->y_plane;
    bool in_place = across == 1 && images == 1 && s->h.out_step == 1 && s->w.outs % LANES == 0;
    bool rolled = depthwise_roll_suits(s);
    end = at_most(end, s->h.outs);
    if (begin >= end) return;
    for (int64_t r = 0; r < across; r++) {
        gr__band *b = &p[r].b;
        if (b->images != images || b->begin != begin || b->end != end)
            *b = depthwise_band(&p[r].s, images, begin, end);
        if (rolled)
            roll_residue(p, o, w);
        else
            one_residue(
                p + r, o, G, in_place, w, w->tile + r * w->tile_size, across * w->tile_size);
    }
    in_place = in_place || rolled;
    for (int64_t r = 0; r < s->out_channels && !in_place; r++)
        write_tiles(p, across, w->tile + r * across * w->tile_size, w->tile_size,
            o->y + r * s->y_plane, image_step);
}

/* ---- the algorithm --------------------------------------------------------------------------- */

/* The register block of products has no use for so few rows. Images side by side (lanes_images) are
   quicker where a row fills no vector, but cannot do an input gradient with a stride. */
static gr__suits depthwise_suits(const gr__conv *c, gr__direction d)
{
    if (d == GR__KERNEL_GRAD) return GR__CANNOT;
    gr__correlation s = correlation(c, d, 0);
    if (!s.in_channels || !s.x_plane) return GR__CANNOT;
    bool fills = residues(c, d) > 1 || s.w.outs * 4 >= LANES * 3 || c->N * 4 < LANES * 3;
    return pays_if(
        s.out_channels <= DEPTHWISE_MOST_ROWS && s.in_channels <= DEPTHWISE_MOST_ROWS && fills);
}

static void depthwise_plan(const gr__conv *c, gr__direction d, gr__plan *plan)
{
    gr__correlation   s = correlation(c, d, 0);
    gr__depthwise_cut k = depthwise_cut(c, d);
    int64_t           pieces = k.chunks * c->G * k.bands;
    int64_t each = k.images * s.out_channels * s.in_channels * c->KH * c->KW * k.rows * s.w.outs;
    int64_t residues = residues(c, d), tiles = s.out_channels * residues_across(c, d);
    plan->stages = 1;
    plan->chunk = at_most(pieces, at_least(1, DEPTHWISE_TASK_PRODUCTS / at_least(1, each)));
    plan->tasks[0] = ceil_div(pieces, plan->chunk);
    plan->scratch = padded_bytes(residues * (int64_t)sizeof(depthwise_residue)) +
                    strips_bytes(&s, c) + bytes_of_reals(k.zeros) + bytes_of_reals(k.input) +
                    bytes_of_reals(tiles * k.tile);
}

/* Pieces run through the bands of a group, the groups of a chunk of images, the chunks. */
static void depthwise_run(const gr__conv *c, const gr__plan *plan, const gr__operands *o, int stage,
    int64_t task, void *shared, void *scratch)
{
    (void)stage, (void)shared;
    gr__direction       d = plan->direction;
    gr__depthwise_cut   k = depthwise_cut(c, d);
    depthwise_workspace w = lay_scratch(c, d, &k, scratch);
    int64_t             across = residues_across(c, d), residues = residues(c, d),
            pieces = k.chunks * c->G * k.bands;
    for (int64_t piece = task * plan->chunk; piece < at_most(pieces, (task + 1) * plan->chunk);
         piece++) {
        int64_t   unit = piece / k.bands, chunk = unit / c->G, n = even_part(c->N, k.chunks, chunk);
        int64_t   images = even_part(c->N, k.chunks, chunk + 1) - n, row = piece % k.bands * k.rows;
        gr__group group = group(c, d, o, n, unit % c->G);
        for (int64_t i = 0; i < residues; i += across)
            one_piece(w.residue + i, across, &group, c->G, images, row, row + k.rows, &w);
    }
}

const gr__conv_algorithm GR__NAME(depthwise) = {
    .name = "depthwise",
    .suits = depthwise_suits,
    .plan = depthwise_plan,
    .run = depthwise_run,
    .exact = true,
};
