/* depthwise.c: a correlation that writes few planes: the depthwise one first of all. The outputs of a row lie along the vector, and a
   sweep makes SWEEP rows of them at once, so that an input that is loaded serves up to TAPS_AT_ONCE rows of the kernel. What a sweep reads
   is copied first, band by band, with its border of zeros, and the columns of one remainder by the stride together: every tap is then
   a constant displacement. Where a row does not fill vectors, the rows of several images stand side by side. Where rolls (depthwise_roll.h) can
   do it, they read the input where it stands.
   Invariant: a task owns its outputs; which rows and images go together depends on shapes alone, and no sum depends on that. */
#include "depthwise.h"

#include "conv.h"
#include "depthwise_roll.h"
#include "kernels/table.h"

enum { SWEEP = 8, TAPS_AT_ONCE = 3 };
enum { BAND_BYTES = 3 << 13 };             /* of the nearest cache, for the input of a band */
enum { TASK_PRODUCTS = 1 << 19 };          /* about as many as pay for handing out a task */
enum { MOST_ROWS = 4, MOST_PRODUCTS = 4 }; /* planes of a group that are few */
enum { TASKS = 8, MOST_GROUPS = 16 };      /* (35): worth splitting for more threads; groups of a task */

/* The input of the outputs begin..end-1 of the rows: [channel][row][remainder][column], columns of all images in turn. */
typedef struct band {
    gr__border border;
    int64_t    images, pitch; /* columns from one image to the next */
    int64_t    vectors;       /* of a row of outputs */
    int64_t    width, row, plane, begin, end;
} band;

static band band_of(const gr__correlation *s, int64_t images, int64_t begin, int64_t end)
{
    band           b = { .border = GR__NAME(border)(s, begin, end), .images = images, .begin = begin, .end = end };
    const gr__axis w = s->w;
    int64_t        left = at_least(0, -b.border.w), right = at_least(0, b.border.w + b.border.cols - w.in);
    /* Neighbours share their zeros. */
    b.pitch = at_least(w.outs, ceil_div(b.border.cols, w.step) - (w.step == 1 ? at_most(left, right) : 0));
    b.vectors = ceil_div((images - 1) * b.pitch + w.outs, LANES);
    int64_t reach = (b.border.cols - (w.outs - 1) * w.step - 1) / w.step;
    b.width = ceil_div(b.vectors * LANES + reach, LANES) * LANES + LANES; /* room for a vector past the end */
    b.row = b.width * w.step;
    b.plane = b.row * b.border.rows;
    return b;
}

/* How many images side by side make the fewest vectors for each. */
static int64_t images_of(const gr__correlation *s, int64_t N)
{
    band    one = band_of(s, 1, 0, 1);
    int64_t best = 1, vectors = one.vectors;
    for (int64_t m = 2; m <= at_most(N, LANES) && s->w.outs % LANES && !rolls(s); m++) {
        int64_t more = ceil_div((m - 1) * one.pitch + s->w.outs, LANES);
        if (more * best < vectors * m) best = m, vectors = more;
    }
    return best;
}

/* How a direction is cut: images into chunks, rows into bands. */
typedef struct cut {
    int64_t images, chunks, bands, rows;
    int64_t input, tile, zeros; /* numbers: zeros, of a row of them */
} cut;

static cut cut_of(const gr__conv *c, gr__direction d)
{
    gr__correlation s = GR__NAME(correlation)(c, d, 0); /* the first phase has most outputs */
    cut             k = { .images = images_of(&s, c->N) };
    band            one = band_of(&s, k.images, 0, 1);
    int64_t         row = at_least(1, s.channels * s.h.step * one.row * (int64_t)sizeof(gr_real));
    int64_t         fit = at_least(SWEEP, BAND_BYTES / row / SWEEP * SWEEP);
    k.chunks = ceil_div(c->N, k.images);
    k.bands = ceil_div(s.h.outs, fit);
    k.rows = ceil_div(s.h.outs, k.bands);
    for (int64_t phase = 0; phase < GR__NAME(phases)(c, d); phase++) {
        s = GR__NAME(correlation)(c, d, phase);
        band b = band_of(&s, k.images, 0, at_most(k.rows, s.h.outs));
        k.input = at_least(k.input, s.channels * b.plane);
        k.tile = at_least(k.tile, b.vectors * LANES * k.rows + LANES);
        k.zeros = at_least(k.zeros, b.width);
    }
    return k;
}

/* ---- laying out the input ------------------------------------------------------------------------------------------------------------- */

/* n numbers that stand `step` apart; past them, what comes next in x or nothing. */
GR__INLINE void copy_run(gr_real *to, const gr_real *x, const gr_real *x_end, int64_t n, const int64_t step)
{
    if (step <= 2 && x_end - x >= step * (n + LANES)) {
        for (int64_t i = 0; i < n; i += LANES)
            vec_store(to + i, step == 1 ? vec_load(x + i) : vec_even(vec_load(x + 2 * i), vec_load(x + 2 * i + LANES)));
    } else {
        GR__INDEPENDENT
        for (int64_t i = 0; i < n; i++) to[i] = x[i * step];
    }
}

/* What lies in the input of one channel and one remainder: rows of `count` numbers from column `first` on. */
typedef struct patch {
    const gr_real *x, *x_end;
    int64_t        image_step, x_row;
    int            images;
    int64_t        rows, first, count;
    int64_t        next; /* from here to what is going to be laid out after this */
} patch;

/* Each image mends what the one before it has written past its end. */
GR__INLINE void lay_rows(const band *b, const patch *p, gr_real *to, const int64_t step)
{
    const int64_t pitch = b->pitch, row = b->row, end = b->width - LANES, first = p->first, count = p->count, x_row = p->x_row,
                  next = p->next;
    for (int n = 0; n < p->images; n++) {
        const gr_real *x = p->x + n * p->image_step, *x_end = p->x_end;
        gr_real       *t = to + n * pitch;
        int64_t        past = (n + 1 < p->images ? pitch : end - n * pitch) - first - count;
        for (int64_t i = 0; i < p->rows; i++, x += x_row, t += row) {
            for (int64_t j = 0; j < count * step; j += LINE) __builtin_prefetch(x + next + j);
            clear(t, first);
            copy_run(t + first, x, x_end, count, step);
            clear(t + first + count, past);
        }
    }
}

/* One channel and one remainder r. */
static void lay_plane(const band *b, const gr__correlation *s, int64_t r, patch *p, const gr_real *plane, gr_real *to)
{
    const int64_t step = s->w.step, start = b->border.w + r, cols = ceil_div(b->border.cols - r, step), zeros = b->width - LANES;
    int64_t       top = at_most(b->border.rows, at_least(0, -b->border.h));
    int64_t       bottom = at_least(top, at_most(b->border.rows, s->h.in - b->border.h));
    p->first = at_most(cols, start < 0 ? ceil_div(-start, step) : 0);
    p->count = at_least(0, at_most(cols, start < s->w.in ? ceil_div(s->w.in - start, step) : 0) - p->first);
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

/* x: the first image's first channel; what is going to be laid out after this is `next` further on. */
static void lay_out(
    const band *b, const gr__correlation *s, gr_real *to, const gr_real *x, const gr_real *x_end, int64_t image_step, int64_t next)
{
    patch p = { .x_end = x_end, .image_step = image_step, .images = (int)b->images, .next = next };
    for (int64_t r = 0; r < s->w.step; r++)
        for (int64_t c = 0; c < s->channels; c++) lay_plane(b, s, r, &p, x + c * s->x_plane, to + c * b->plane + r * b->width);
}

/* ---- reading the input where it stands ------------------------------------------------------------------------------------------- */

/* x is in the array x_begin..x_end: the vectors at the edges of a plane read a little more of it, or else a copy of the plane. */
static gr__view view_of(const band *b, const gr__correlation *s, const gr_real *x, const gr_real *x_begin, const gr_real *x_end,
    const gr_real *zeros, gr_real *copy)
{
    const gr__border *e = &b->border;
    if (x - x_begin >= -e->w && x_end - x - s->x_plane >= e->w + e->cols - s->w.in)
        return (gr__view){ .x = x + e->w, .zeros = zeros, .row = s->w.in, .h = e->h, .w = e->w, .rows = s->h.in, .cols = s->w.in };
    lay_out(b, s, copy, x, x_end, 0, 0);
    return (gr__view){ .x = copy, .row = b->row, .rows = e->rows, .cols = INT64_MAX };
}

/* ---- sweeps ------------------------------------------------------------------------------------------------------------------------------ */

/* `taps` rows of the kernel in one of its columns: where they begin in the input, and their weights. */
typedef struct strip {
    int64_t x;
    gr_real weight[TAPS_AT_ONCE];
} strip;

/* Some rows of outputs; the strips are in order of taps: count[t] of them have t + 1. */
typedef struct sweep {
    const gr_real *x;
    int64_t        row; /* from one row of outputs to the next, in x */
    const strip   *strips;
    int64_t        count[TAPS_AT_ONCE];
    int64_t        vectors;
    gr_real        bias, least;
    gr_real       *y;
    int64_t        y_row;
    int64_t        soon; /* numbers a row to ask for, before they are written */
} sweep;

/* Row i of the input meets row p of the kernel in row i - p of the outputs. */
GR__INLINE const strip *sweep_strips(
    const strip *s, int64_t count, const gr_real *x, int64_t row, vec acc[SWEEP], const int rows, const int taps)
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

GR__INLINE void sweep_rows(const sweep *s, const int rows)
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
        for (int i = 0; i < rows; i++, y += y_row) vec_store(y, vec_choose(acc[i] < least, least, acc[i]));
    }
}

#define SWEEP_ROWS(r) \
    static void sweep_##r(const sweep *s) { sweep_rows(s, r); }
/* clang-format off */
SWEEP_ROWS(1) SWEEP_ROWS(2) SWEEP_ROWS(3) SWEEP_ROWS(4) SWEEP_ROWS(5) SWEEP_ROWS(6) SWEEP_ROWS(7) SWEEP_ROWS(8)
    /* clang-format on */

    /* All rows of a band. */
    static void sweep_band(const sweep *w, int64_t rows)
{
    static void (*const of[SWEEP])(const sweep *) = { sweep_1, sweep_2, sweep_3, sweep_4, sweep_5, sweep_6, sweep_7, sweep_8 };
    int64_t blocks = ceil_div(rows, SWEEP);
    sweep   part = *w;
    for (int64_t i = 0; i < blocks; i++) {
        int64_t r = part_of(rows, blocks, i);
        part.x = w->x + r * w->row;
        part.y = w->y + r * w->y_row;
        int64_t count = part_of(rows, blocks, i + 1) - r;
        for (int64_t l = 0; l < count * w->soon; l += LINE) __builtin_prefetch(part.y + count * w->soon + l, 1);
        of[count - 1](&part);
    }
}

/* ---- forward and (34) ---------------------------------------------------------------------------------------------------------------------- */

/* Where in the kernel tap number a of an axis is, in the order of addresses. */
static int64_t tap_of(const gr__axis *x, int64_t a) { return x->tap + (x->offset_step < 0 ? x->taps - 1 - a : a) * x->tap_step; }

/* Rows a..a+taps of the kernel, in all columns of all channels. */
static strip *strips_of(const gr__correlation *s, const band *b, const gr_real *k, int64_t a, int taps, strip *to)
{
    for (int64_t c = 0; c < s->channels; c++)
        for (int64_t i = 0; i < s->w.taps; i++, to++) {
            int64_t col = i * distance(s->w.offset_step);
            to->x = c * b->plane + a * distance(s->h.offset_step) * b->row + col % s->w.step * b->width + col / s->w.step;
            for (int p = 0; p < taps; p++) to->weight[p] = k[c * s->k_channel + tap_of(&s->h, a + p) * s->k_width + tap_of(&s->w, i)];
        }
    return to;
}

/* Rows of the kernel go together if they are as far apart as rows of outputs. */
static void take_strips(sweep *p, const gr__correlation *s, const band *b, const gr_real *k, strip *to)
{
    int64_t whole = distance(s->h.offset_step) == s->h.step ? s->h.taps / TAPS_AT_ONCE : 0, a = 0;
    int64_t rest = s->h.taps - whole * TAPS_AT_ONCE, each = s->channels * s->w.taps;
    bool    pair = distance(s->h.offset_step) == s->h.step && rest == 2;
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

static size_t bytes_of(int64_t n) { return padded_bytes(n * (int64_t)sizeof(gr_real)); }

static size_t strips_bytes(const gr__correlation *s, const gr__conv *c)
{
    return padded_bytes(s->channels * c->KH * c->KW * (int64_t)sizeof(strip));
}

/* One of the correlations that a direction is made of, and the band that it works on. */
typedef struct phase {
    gr__correlation s;
    band            b;
} phase;

typedef struct workspace {
    phase   *phase;
    strip   *strips;
    gr_real *zeros, *input, *tile;
    int64_t  tile_size;
} workspace;

/* Phases whose outputs stand in turn in a row. */
static int64_t phases_across(const gr__conv *c, gr__direction d) { return d == GR__FORWARD ? 1 : at_most(c->SW, c->W); }

bool GR__NAME(planes_pay)(const gr__conv *c, gr__direction d)
{
    gr__correlation s = GR__NAME(correlation)(c, d, 0);
    /* Images side by side are quicker where a row fills no vector, but cannot do (34) with a stride. */
    bool            fills = GR__NAME(phases)(c, d) > 1 || s.w.outs * 4 >= LANES * 3 || c->N * 4 < LANES * 3;
    return s.rows <= MOST_ROWS && s.channels <= MOST_ROWS && s.channels > 0 && s.x_plane > 0 && fills;
}

void GR__NAME(planes_plan)(const gr__conv *c, gr__direction d, gr__plan *plan)
{
    gr__correlation s = GR__NAME(correlation)(c, d, 0);
    cut             k = cut_of(c, d);
    int64_t         pieces = k.chunks * c->G * k.bands;
    int64_t         each = k.images * s.rows * s.channels * c->KH * c->KW * k.rows * s.w.outs;
    plan->chunk = at_most(pieces, at_least(1, TASK_PRODUCTS / at_least(1, each)));
    plan->tasks[0] = ceil_div(pieces, plan->chunk);
    int64_t phases = GR__NAME(phases)(c, d), tiles = s.rows * phases_across(c, d);
    plan->scratch = padded_bytes(phases * (int64_t)sizeof(phase)) + strips_bytes(&s, c) + bytes_of(k.zeros) + bytes_of(k.input) +
                    bytes_of(tiles * k.tile);
}

static workspace lay_scratch(const gr__conv *c, gr__direction d, const cut *k, void *scratch)
{
    int64_t   phases = GR__NAME(phases)(c, d);
    workspace w = { .phase = scratch, .tile_size = k->tile };
    w.strips = (strip *)(void *)((char *)scratch + padded_bytes(phases * (int64_t)sizeof(phase)));
    for (int64_t i = 0; i < phases; i++) w.phase[i] = (phase){ .s = GR__NAME(correlation)(c, d, i) };
    w.zeros = (gr_real *)(void *)((char *)w.strips + strips_bytes(&w.phase->s, c));
    w.input = (gr_real *)(void *)((char *)w.zeros + bytes_of(k->zeros));
    memset(w.zeros, 0, bytes_of(k->zeros));
    w.tile = (gr_real *)(void *)((char *)w.input + bytes_of(k->input));
    return w;
}

/* n numbers, of a and b in turn. */
static void weave(gr_real *to, const gr_real *a, const gr_real *b, int64_t n)
{
    for (; n > 0; n -= 2 * LANES, to += 2 * LANES, a += LANES, b += LANES) {
        vec     both[2] = { vec_lower(vec_load(a), vec_load(b)), vec_upper(vec_load(a), vec_load(b)) };
        gr_real woven[2 * LANES];
        memcpy(woven, both, sizeof both);
        copy_exactly(to, woven, at_most(n, 2 * LANES));
    }
}

/* The outputs of one plane, from the tiles of its phases along a row to their places in each image. */
static void write_tiles(const phase *p, int64_t across, const gr_real *tile, int64_t tile_size, gr_real *y, int64_t image_step)
{
    const gr__axis *h = &p->s.h;
    for (int n = 0; n < p->b.images; n++, y += image_step)
        for (int64_t i = p->b.begin; i < p->b.end; i++) {
            const gr_real *from = tile + (i - p->b.begin) * p->b.vectors * LANES + n * p->b.pitch;
            gr_real       *to = y + (h->out + i * h->out_step) * p->s.y_width;
            if (across == 1)
                copy_exactly(to, from, p->s.y_width);
            else if (across == 2)
                weave(to, from, tile + tile_size + (i - p->b.begin) * p[1].b.vectors * LANES + n * p[1].b.pitch, p->s.y_width);
            else
                for (int64_t r = 0; r < across; r++) {
                    from = tile + r * tile_size + (i - p->b.begin) * p[r].b.vectors * LANES + n * p[r].b.pitch;
                    for (int64_t t = 0; t < p[r].s.w.outs; t++) to[r + t * across] = from[t];
                }
        }
}

/* Outputs of one phase, of all planes of a group: into tiles, or where they belong. */
static void one_phase(phase *p, const gr__group *o, int64_t G, bool in_place, workspace *w, gr_real *tile, int64_t tile_step)
{
    const gr__correlation *s = &p->s;
    const band            *b = &p->b;
    sweep                  m = { .x = w->input, .row = s->h.step * b->row, .vectors = b->vectors, .least = GR__NAME(least_of)(o->act) };
    m.y_row = in_place ? s->y_width : b->vectors * LANES;
    m.soon = in_place ? s->y_width : 0;
    if (s->K) lay_out(b, s, w->input, o->x, o->x_end, G * s->channels * s->x_plane, s->channels * s->x_plane);
    for (int64_t r = 0; r < s->rows; r++) {
        if (s->K) take_strips(&m, s, b, o->k + r * s->k_row, w->strips);
        m.bias = o->bias ? o->bias[r] : 0;
        m.y = in_place ? o->y + r * s->y_plane + b->begin * s->y_width : tile + r * tile_step;
        sweep_band(&m, b->end - b->begin);
        GR__NAME(activate)(m.y, (b->end - b->begin) * m.y_row, o->act);
    }
}

/* The same for one that rolls: each output is written where it belongs. */
static void roll_phase(const phase *p, const gr__group *o, workspace *w)
{
    const gr__correlation *s = &p->s;
    gr__view               x = view_of(&p->b, s, o->x, o->x_begin, o->x_end, w->zeros, w->input);
    gr__roll               m = roll_of(s, &x, p->b.end - p->b.begin);
    gr__roll_filter        f = { .least = GR__NAME(least_of)(o->act) };
    for (int64_t r = 0; r < s->rows; r++) {
        const gr_real *k = o->k + r * s->k_row;
        gr_real       *y = o->y + r * s->y_plane + p->b.begin * m.outs;
        for (int a = 0; a < ROLL_TAPS; a++)
            for (int i = 0; i < ROLL_TAPS; i++) f.weight[a][i] = k[tap_of(&s->h, a) * s->k_width + tap_of(&s->w, i)];
        f.bias = o->bias ? o->bias[r] : 0;
        GR__NAME(roll_band)(&m, &f, y);
        GR__NAME(activate)(y, m.rows * m.outs, o->act);
    }
}

/* Rows begin.. of the outs of the phases p[0..across-1], of one group. */
static void one_piece(phase *p, int64_t across, const gr__group *o, int64_t G, int64_t images, int64_t begin, int64_t end, workspace *w)
{
    const gr__correlation *s = &p->s;
    int64_t                image_step = G * s->rows * s->y_plane;
    bool                   in_place = across == 1 && images == 1 && s->h.out_step == 1 && s->w.outs % LANES == 0;
    bool                   rolled = rolls(s);
    end = at_most(end, s->h.outs);
    if (begin >= end) return;
    for (int64_t r = 0; r < across; r++) {
        band *b = &p[r].b;
        if (b->images != images || b->begin != begin || b->end != end) *b = band_of(&p[r].s, images, begin, end);
        if (rolled)
            roll_phase(p, o, w);
        else
            one_phase(p + r, o, G, in_place, w, w->tile + r * w->tile_size, across * w->tile_size);
    }
    in_place = in_place || rolled;
    for (int64_t r = 0; r < s->rows && !in_place; r++)
        write_tiles(p, across, w->tile + r * across * w->tile_size, w->tile_size, o->y + r * s->y_plane, image_step);
}

/* Pieces run through the bands of a group, the groups of a chunk of images, the chunks. */
void GR__NAME(planes_run)(const gr__conv *c, gr__direction d, const gr__plan *plan, const gr__operands *o, int64_t task, void *scratch)
{
    cut       k = cut_of(c, d);
    workspace w = lay_scratch(c, d, &k, scratch);
    int64_t   across = phases_across(c, d), phases = GR__NAME(phases)(c, d), pieces = k.chunks * c->G * k.bands;
    for (int64_t piece = task * plan->chunk; piece < at_most(pieces, (task + 1) * plan->chunk); piece++) {
        int64_t   unit = piece / k.bands, chunk = unit / c->G, n = part_of(c->N, k.chunks, chunk);
        int64_t   images = part_of(c->N, k.chunks, chunk + 1) - n, row = piece % k.bands * k.rows;
        gr__group group = GR__NAME(group)(c, d, o, n, unit % c->G);
        for (int64_t i = 0; i < phases; i += across) one_piece(w.phase + i, across, &group, c->G, images, row, row + k.rows, &w);
    }
}

/* ---- (35) ---------------------------------------------------------------------------------------------------------------------------------- */

/* Rows of g, and of x under it, for `down` x `across` taps of the kernel, whose sums stay in registers. */
typedef struct product {
    const gr_real *x, *g;
    int64_t        row, tap_row, g_row; /* from one row of outputs to the next, in x and g */
    const int64_t *col;
    int64_t        rows, vectors;
    gr_real       *sum; /* a vector for each tap, the rows of the kernel sum_row apart */
    int64_t        sum_row;
    int64_t        next; /* from here to the g that comes after this; 0: it has been asked for */
} product;

enum { ROWS_AT_ONCE = 4 };

GR__INLINE void product_rows(const product *s, const gr_real *x, const gr_real *g, vec acc[TAPS_AT_ONCE][TAPS_AT_ONCE], const int rows,
    const int down, const int across)
{
    vec of[ROWS_AT_ONCE];
    GR__UNROLL
    for (int i = 0; i < rows; i++) of[i] = load_once(g + i * s->g_row);
    GR__UNROLL
    for (int i = 0; i < rows + down - 1; i++) {
        GR__UNROLL
        for (int b = 0; b < across; b++) {
            vec v = load_once(x + i * s->row + s->col[b]);
            GR__UNROLL
            for (int p = 0; p < down; p++)
                if (i >= p && i - p < rows) acc[p][b] += of[i - p] * v;
        }
    }
}

GR__INLINE void product_taps(const product *s, const int down, const int across)
{
    vec acc[TAPS_AT_ONCE][TAPS_AT_ONCE];
    GR__UNROLL
    for (int p = 0; p < down; p++) {
        GR__UNROLL
        for (int b = 0; b < across; b++) acc[p][b] = vec_load(s->sum + p * s->sum_row + b * LANES);
    }
    int64_t i = 0;
    for (; i + ROWS_AT_ONCE <= s->rows; i += ROWS_AT_ONCE) {
        for (int64_t l = 0; s->next && l < ROWS_AT_ONCE * s->g_row; l += LINE) __builtin_prefetch(s->g + i * s->g_row + l + s->next);
        for (int64_t v = 0; v < s->vectors * LANES; v += LANES)
            product_rows(s, s->x + i * s->row + v, s->g + i * s->g_row + v, acc, ROWS_AT_ONCE, down, across);
    }
    for (; i < s->rows; i++)
        for (int64_t v = 0; v < s->vectors * LANES; v += LANES)
            product_rows(s, s->x + i * s->row + v, s->g + i * s->g_row + v, acc, 1, down, across);
    GR__UNROLL
    for (int p = 0; p < down; p++) {
        GR__UNROLL
        for (int b = 0; b < across; b++) vec_store(s->sum + p * s->sum_row + b * LANES, acc[p][b]);
    }
}

#define PRODUCT_TAPS(p, q) \
    static void product_##p##_##q(const product *s) { product_taps(s, p, q); }
/* clang-format off */
PRODUCT_TAPS(1, 1) PRODUCT_TAPS(1, 2) PRODUCT_TAPS(1, 3) PRODUCT_TAPS(2, 1) PRODUCT_TAPS(2, 2) PRODUCT_TAPS(2, 3)
PRODUCT_TAPS(3, 1) PRODUCT_TAPS(3, 2) PRODUCT_TAPS(3, 3)
    /* clang-format on */

    /* All taps of one plane of the kernel. */
    static void product_plane(const gr__conv *c, const product *s)
{
    static void (*const of[TAPS_AT_ONCE][TAPS_AT_ONCE])(const product *) = { { product_1_1, product_1_2, product_1_3 },
        { product_2_1, product_2_2, product_2_3 }, { product_3_1, product_3_2, product_3_3 } };
    int64_t most = s->tap_row == s->row ? TAPS_AT_ONCE : 1;
    for (int64_t a = 0, down; a < c->KH; a += down) {
        down = at_most(most, c->KH - a);
        for (int64_t b = 0, across; b < c->KW; b += across) {
            across = at_most(TAPS_AT_ONCE, c->KW - b);
            product part = *s;
            part.x += a * s->tap_row;
            part.col += b;
            part.sum += a * s->sum_row + b * LANES;
            if (a || b) part.next = 0;
            of[down - 1][across - 1](&part);
        }
    }
}

/* The forward's input under a band, and the outputs' gradient in the same columns. */
typedef struct pair {
    gr__correlation x, g;
    band            bx, bg;
    bool            in_place; /* g is read where it stands */
    bool            rolls;
} pair;

static pair pair_of(const gr__conv *c, int64_t images, int64_t begin, int64_t end)
{
    pair p = { .x = GR__NAME(correlation)(c, GR__FORWARD, 0) };
    p.bx = band_of(&p.x, images, begin, end);
    p.g = p.x;
    p.g.h = (gr__axis){ .in = c->OH, .step = 1, .outs = c->OH, .taps = 1, .tap_step = 1 };
    p.g.w = (gr__axis){ .in = c->OW, .step = 1, .outs = c->OW, .taps = 1, .tap_step = 1 };
    p.g.channels = p.x.rows;
    p.g.x_plane = c->OH * c->OW;
    p.bg = band_of(&p.g, images, begin, end);
    p.bg.pitch = p.bx.pitch, p.bg.vectors = p.bx.vectors;
    p.bg.width = p.bg.row = (p.bx.vectors + 1) * LANES;
    p.bg.plane = p.bg.row * (end - begin);
    p.rolls = rolls(&p.x);
    p.in_place = p.rolls || (images == 1 && c->OW % LANES == 0);
    return p;
}

bool GR__NAME(planes_kernel_grad_pays)(const gr__conv *c)
{
    gr__correlation s = GR__NAME(correlation)(c, GR__FORWARD, 0);
    bool            fills = c->OW >= 2 * LANES || c->N * 4 < LANES * 3 || rolls(&s);
    return c->C / c->G * (c->F / c->G) <= MOST_PRODUCTS && c->OH && fills;
}

int64_t GR__NAME(planes_kernel_grad_groups)(const gr__conv *c) { return at_most(MOST_GROUPS, at_least(1, c->G / TASKS)); }

size_t GR__NAME(planes_kernel_grad_scratch)(const gr__conv *c)
{
    cut     k = cut_of(c, GR__FORWARD);
    pair    p = pair_of(c, k.images, 0, at_most(k.rows, c->OH));
    int64_t sums = GR__NAME(planes_kernel_grad_groups)(c) * p.x.rows * p.x.channels * c->KH * c->KW;
    return padded_bytes(c->KW * (int64_t)sizeof(int64_t)) + bytes_of(sums * LANES) + bytes_of(k.zeros) +
           bytes_of(p.x.channels * p.bx.plane) + bytes_of(p.in_place ? 0 : p.x.rows * p.bg.plane);
}

typedef struct grad_workspace {
    int64_t *col;
    gr_real *sums, *zeros, *input, *grads; /* sums: a vector for each tap */
} grad_workspace;

/* One band of some images, onto the sums. */
static void add_band(
    const gr__conv *c, const pair *p, const gr_real *x, const gr_real *x_end, const gr_real *g, const gr_real *g_end, grad_workspace *w)
{
    int64_t taps = c->KH * c->KW;
    product s = { .row = p->x.h.step * p->bx.row, .tap_row = c->DH * p->bx.row, .col = w->col, .sum_row = c->KW * LANES };
    s.rows = p->bx.end - p->bx.begin, s.vectors = p->bx.vectors;
    s.g_row = p->in_place ? c->OW : p->bg.row;
    s.next = p->in_place ? p->x.rows * p->g.x_plane : 0;
    for (int64_t i = 0; i < c->KW; i++) w->col[i] = i * c->DW % c->SW * p->bx.width + i * c->DW / c->SW;
    lay_out(&p->bx, &p->x, w->input, x, x_end, c->C * c->H * c->W, p->x.channels * p->x.x_plane);
    if (!p->in_place) lay_out(&p->bg, &p->g, w->grads, g, g_end, c->F * c->OH * c->OW, p->x.rows * p->g.x_plane);
    for (int64_t f = 0; f < p->x.rows; f++)
        for (int64_t k = 0; k < p->x.channels; k++) {
            s.x = w->input + k * p->bx.plane;
            s.g = p->in_place ? g + f * p->g.x_plane + p->bx.begin * c->OW : w->grads + f * p->bg.plane;
            s.sum = w->sums + (f * p->x.channels + k) * taps * LANES;
            product_plane(c, &s);
        }
}

/* The same for one that rolls. */
static void add_rolls(
    const pair *p, const gr_real *x, const gr_real *x_begin, const gr_real *x_end, const gr_real *g, const grad_workspace *w)
{
    gr__view v = view_of(&p->bx, &p->x, x, x_begin, x_end, w->zeros, w->input);
    gr__roll r = roll_of(&p->x, &v, p->bx.end - p->bx.begin);
    for (int64_t f = 0; f < p->x.rows; f++)
        GR__NAME(roll_grad)(&r, g + f * p->g.x_plane + p->bx.begin * r.outs, w->sums + f * ROLL_TAPS * ROLL_TAPS * LANES);
}

/* One band of some images, of all groups of the task: their planes follow each other in memory. */
static void add_groups(const gr__conv *c, const gr__operands *o, const pair *p, int64_t n, int64_t group, int64_t groups, grad_workspace *w)
{
    const gr__correlation *s = &p->x;
    grad_workspace         at = *w;
    for (int64_t g = group; g < group + groups; g++, at.sums += s->rows * s->channels * c->KH * c->KW * LANES) {
        const gr_real *x = o->a + (n * c->C + g * s->channels) * s->x_plane, *grad = o->b + (n * c->F + g * s->rows) * s->y_plane;
        const gr_real *x_end = o->a + c->N * c->C * s->x_plane;
        if (p->rolls)
            add_rolls(p, x, o->a, x_end, grad, &at);
        else
            add_band(c, p, x, x_end, grad, o->b + c->N * c->F * s->y_plane, &at);
    }
}

void GR__NAME(planes_kernel_grad)(
    const gr__conv *c, const gr__operands *o, int64_t group, int64_t groups, int64_t begin, int64_t end, gr_real *y, void *scratch)
{
    cut            k = cut_of(c, GR__FORWARD);
    pair           p = pair_of(c, k.images, 0, at_most(k.rows, c->OH));
    int64_t        sums = groups * p.x.rows * p.x.channels * c->KH * c->KW, chunks = ceil_div(end - begin, k.images);
    grad_workspace w = { .col = scratch };
    w.sums = (gr_real *)(void *)((char *)scratch + padded_bytes(c->KW * (int64_t)sizeof *w.col));
    w.zeros = (gr_real *)(void *)((char *)w.sums + bytes_of(sums * LANES));
    w.input = (gr_real *)(void *)((char *)w.zeros + bytes_of(k.zeros));
    w.grads = (gr_real *)(void *)((char *)w.input + bytes_of(p.x.channels * p.bx.plane));
    memset(w.sums, 0, bytes_of(sums * LANES) + bytes_of(k.zeros));
    for (int64_t i = 0; i < chunks * k.bands; i++) {
        int64_t n = begin + part_of(end - begin, chunks, i / k.bands), images = begin + part_of(end - begin, chunks, i / k.bands + 1) - n;
        int64_t row = i % k.bands * k.rows, last = at_most(row + k.rows, c->OH);
        if (row >= last) continue;
        if (p.bx.images != images || p.bx.begin != row || p.bx.end != last) p = pair_of(c, images, row, last);
        add_groups(c, o, &p, n, group, groups, &w);
    }
    for (int64_t i = 0; i < sums; i++) {
        gr_real sum = 0;
        for (int l = 0; l < LANES; l++) sum += w.sums[i * LANES + l];
        y[i] = sum;
    }
}
