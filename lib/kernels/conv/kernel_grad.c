/* kernel_grad.c: the gradient by the kernel (35), dL/dK_fc = sum over n of X_nc *filt dL/dY_nf, as dot products of windows
   of x with planes of g. In panels (P) the dots run along the outputs of one image, in images (N) along LANES images and their
   outputs. Invariant: images are summed in fixed parts, each by one task in order; then the parts are added in order. */
#include "conv.h"
#include "few_products.h"
#include "depthwise.h"
#include "by_taps.h"
#include "kernels/matmul.h"
#include "kernels/table.h"
#include "winograd2d.h"
#include "winograd1d.h"

enum { PANELS, IMAGES, PLANES, PRODUCT, WINOGRAD, WINOGRAD_ROWS, TAPS };
enum { OUTPUTS = 4096, PANEL_TERMS = 160 };   /* panels: outputs in a band, terms at once, about */
enum { BAND_BYTES = 768 << 10 };              /* of the second cache, for a band's operands */
enum { VECTORS = 256, TERMS_AT_ONCE = 64 };   /* images: outputs in a band, terms at once, about */
enum { MOST_PARTS = 8, PART_SIZE = 1 << 20 }; /* parts of the images, and how large their sums may be together */
enum { ADDED_AT_ONCE = 4096 };
enum { PLANES_TASKS = 16 }; /* planes: worth splitting the images for */

typedef struct shape {
    int64_t filters, taps, channels; /* of a group; taps KH KW */
    int64_t together, chunks;        /* channels that one task takes */
    int64_t groups;                  /* that one task takes */
    int64_t parts, size;             /* parts of the images; elements of the kernel */
} shape;

static shape shape_of(const gr__conv *c, int variant)
{
    shape s = { .filters = c->F / c->G, .taps = c->KH * c->KW, .channels = c->C / c->G };
    s.together = at_least(1, at_most(s.channels, (variant == PANELS ? PANEL_TERMS : TERMS_AT_ONCE) / s.taps));
    if (variant == PLANES) s.together = s.channels;
    if (variant == PRODUCT) s.together = at_most(s.channels, GR__PANEL);
    s.groups = variant == PLANES ? GR__NAME(planes_kernel_grad_groups)(c) : 1;
    s.chunks = ceil_div(s.channels, s.together);
    s.size = c->F * s.channels * s.taps;
    int64_t most = at_least(1, at_most(MOST_PARTS, PART_SIZE / s.size));
    s.parts = at_most(most, variant == IMAGES ? ceil_div(c->N, LANES) : c->N);
    if (variant == PLANES) s.parts = at_most(s.parts, ceil_div(PLANES_TASKS, ceil_div(c->G, s.groups)));
    return s;
}

static int64_t band_rows(const gr__conv *c) { return at_most(c->OH, at_least(1, VECTORS / c->OW)); }

/* The channels c..c+together of one group, as the correlation that reads their windows. */
static gr__correlation windows(const gr__conv *c, int64_t channels)
{
    gr__correlation s = GR__NAME(correlation)(c, GR__FORWARD, 0);
    s.channels = channels;
    s.K = channels * c->KH * c->KW;
    return s;
}

/* A panel for each channel, tap of w, and remainder of a row by the stride: what a band of the outputs reads, and some rows more. A band is some
   rows, or several images whose outputs fill their vectors. */
typedef struct panels {
    int64_t rows, images;  /* of a band, at most */
    int64_t further, down; /* rows below the outputs; remainders */
    int64_t size, image;   /* elements of a panel, of an image's panels */
} panels;

static panels panels_of(const gr__conv *c, const shape *s)
{
    int64_t outs = c->OH * c->OW, high = (c->KH - 1) * c->DH;
    panels  p = { .further = high / c->SH, .down = at_most(c->SH, high + 1) };
    int64_t each = s->filters + s->together * c->KW * p.down;
    int64_t outputs = at_most(OUTPUTS, BAND_BYTES / (int64_t)sizeof(gr_real) / each);
    p.rows = at_most(c->OH, at_least(1, outputs / c->OW));
    p.images = outs % LANES ? 1 : at_most(ceil_div(c->N, s->parts), at_least(1, outputs / outs));
    p.size = ceil_div((p.rows + p.further) * c->OW, LANES) * LANES + LANES;
    p.image = s->together * c->KW * p.down * p.size;
    return p;
}

/* For a batch that fills the lanes: x has few channels, so that it is g that takes the time to interleave, and which panels read where it stands. */
static bool panels_pay(const gr__conv *c)
{
    int64_t channels = c->C / c->G, outs = c->OH * c->OW, copies = channels * c->KW * at_most(c->SH, (c->KH - 1) * c->DH + 1);
    bool    fills = c->OW >= LANES && (outs % LANES == 0 || outs >= OUTPUTS / 2);
    return fills && channels * c->KH * c->KW <= PANEL_TERMS && 4 * copies < 3 * (c->F / c->G);
}

static int64_t panels_vectors(const gr__conv *c, const panels *p) { return p->images * ceil_div(p->rows * c->OW, LANES) + 1; }

static size_t panels_scratch(const gr__conv *c, const shape *s)
{
    panels p = panels_of(c, s);
    return 2 * padded_bytes(panels_vectors(c, &p) * (int64_t)sizeof(int64_t)) + padded_bytes(p.images * p.image * (int64_t)sizeof(gr_real));
}

static int64_t input_vectors(const gr__conv *c, const shape *s)
{
    gr__correlation all = windows(c, s->together);
    gr__border      b = GR__NAME(border)(&all, 0, band_rows(c));
    return s->together * b.rows * b.cols + LANES;
}

static size_t images_scratch(const gr__conv *c, const shape *s)
{
    int64_t outputs = band_rows(c) * c->OW, vectors = input_vectors(c, s) + s->filters * outputs + LANES;
    return padded_bytes((outputs + 1) * (int64_t)sizeof(int64_t)) + padded_bytes(vectors * LANES * (int64_t)sizeof(gr_real));
}

/* A kernel of one tap: the sum over `images` of the gradient's planes times the input's. */
static gr__matmul product_of(const gr__conv *c, int64_t images)
{
    gr__matmul m = { .M = c->F, .N = c->C, .K = c->H * c->W, .batch = images, .transpose_b = true };
    m.a_step = m.M * m.K;
    m.b_step = m.N * m.K;
    return m;
}

static size_t scratch_of(const gr__conv *c, const shape *s, int variant)
{
    if (variant == PLANES) return GR__NAME(planes_kernel_grad_scratch)(c);
    if (variant == PRODUCT) {
        gr__matmul m = product_of(c, 1);
        return GR__NAME(matmul_sum_scratch)(&m);
    }
    return variant == IMAGES ? images_scratch(c, s) : panels_scratch(c, s);
}

void GR__NAME(conv_kernel_grad_direct_plan)(const gr__conv *c, gr__plan *plan)
{
    *plan = (gr__plan){ .phases = 2 };
    if (!c->G || !(c->F / c->G) || !(c->C / c->G) || !c->KH || !c->KW) return;
    bool empty = !c->N || !c->OH || !c->OW;
    plan->variant = !empty && fills_lanes(c) && !panels_pay(c) ? IMAGES : PANELS;
    if (!empty && GR__NAME(planes_kernel_grad_pays)(c)) plan->variant = PLANES;
    if (!empty && is_product(c) && c->C >= 2 * LANES) plan->variant = PRODUCT;
    if (!empty && GR__NAME(taps_pay)(c, GR__FORWARD)) {
        plan->variant = TAPS;
        GR__NAME(taps_kernel_grad_plan)(c, plan);
        return;
    }
    shape s = shape_of(c, plan->variant);
    if (!empty) {
        plan->tasks[0] = s.parts * ceil_div(c->G, s.groups) * s.chunks;
        plan->shared = padded_bytes(s.parts * s.size * (int64_t)sizeof(gr_real));
        plan->scratch = scratch_of(c, &s, plan->variant);
    }
    plan->tasks[1] = ceil_div(s.size, ADDED_AT_ONCE);
}

/* One band of dot products: `terms` windows, each at b + start[k], with `filters` rows of g. */
typedef struct band {
    const gr_real *g, *x;
    int64_t        g_row, filters, terms;
    const int64_t *offset, *along;
    int64_t        T;
    int            tail;
    bool           onto;
    gr_real       *y;
    int64_t        y_row;
} band;

/* Where the window of channel, tap of h, tap of w begins: so many steps of each; tap i of h is i D rows down, each S-th of which follows its
   forerunner, while the remainders stand apart. */
typedef struct place {
    int64_t KH, KW, channel, row, col;
    int64_t S, D, rest;
} place;

static int64_t window_at(const place *p, int64_t k)
{
    int64_t down = k / p->KW % p->KH * p->D;
    return k / (p->KH * p->KW) * p->channel + down / p->S * p->row + down % p->S * p->rest + k % p->KW * p->col;
}

static void multiply(const band *m, const place *p)
{
    int64_t  across = ceil_div(m->terms, DOT_COLS), down = ceil_div(m->filters, DOT_ROWS);
    gr__dots d = { .offset = m->offset, .along = m->along, .T = m->T, .tail = m->tail, .onto = m->onto, .y_row = m->y_row };
    for (int64_t j = 0; j < across; j++) {
        int64_t k = part_of(m->terms, across, j), cols = part_of(m->terms, across, j + 1) - k;
        for (int64_t b = 0; b < cols; b++) d.b[b] = m->x + window_at(p, k + b);
        for (int64_t i = 0; i < down; i++) {
            int64_t f = part_of(m->filters, down, i), rows = part_of(m->filters, down, i + 1) - f;
            for (int64_t a = 0; a < rows; a++) d.a[a] = m->g + (f + a) * m->g_row;
            d.y = m->y + f * m->y_row + k;
            GR__NAME(dots)(&d, (int)rows, (int)cols);
        }
    }
}

/* The panels of one image, for rows i..i+rows of the outputs. */
static void gather(const gr__conv *c, const panels *p, const gr__correlation *w, const gr_real *x, const gr_real *x_end, int64_t i,
    int64_t rows, gr_real *to)
{
    for (int64_t k = 0; k < w->channels * c->KW * p->down; k++, to += p->size) {
        int64_t row = i * c->SH - c->PH + k % p->down, col = k / p->down % c->KW * c->DW - c->PW;
        GR__NAME(gather_rows)(w, x + k / p->down / c->KW * w->x_plane, x_end, row, col, rows + p->further, c->OW, to);
    }
}

/* Images n..n+images, rows i.. of their outputs. */
static void panels_band(const gr__conv *c, const shape *s, const gr__operands *o, const panels *p, int64_t n, int64_t images, int64_t i,
    int64_t group, int64_t channel, band *m, void *scratch)
{
    gr__correlation w = windows(c, m->terms / s->taps);
    int64_t  outs = c->OH * c->OW, rows = at_most(p->rows, c->OH - i), count = rows * c->OW, T = count / LANES, col = p->down * p->size;
    size_t   table = padded_bytes(panels_vectors(c, p) * (int64_t)sizeof(int64_t));
    int64_t *offset = scratch, *along = (int64_t *)(void *)((char *)scratch + table);
    gr_real *panel = (gr_real *)(void *)((char *)scratch + 2 * table);
    for (int64_t k = 0; k < images; k++) {
        const gr_real *x = o->a + ((n + k) * c->C + group * s->channels + channel) * w.x_plane;
        gather(c, p, &w, x, o->a + c->N * c->C * w.x_plane, i, rows, panel + k * p->image);
        for (int64_t t = 0; t <= T; t++) {
            offset[k * T + t] = k * p->image + t * LANES;
            along[k * T + t] = k * c->F * outs + t * LANES;
        }
    }
    m->offset = offset;
    m->along = along;
    m->x = panel;
    m->g = o->b + (n * c->F + group * s->filters) * outs + i * c->OW;
    m->g_row = outs;
    m->T = images * T;
    m->tail = (int)(count % LANES);
    multiply(
        m, &(place){ .KH = c->KH, .KW = c->KW, .channel = c->KW * col, .col = col, .row = c->OW, .rest = p->size, .S = c->SH, .D = c->DH });
    m->onto = true;
}

/* Images n..n+images, rows i..end-1 of their outputs. */
static void images_band(const gr__conv *c, const shape *s, const gr__operands *o, int64_t n, int images, int64_t i, int64_t group,
    int64_t channel, band *m, void *scratch)
{
    int64_t         end = at_most(c->OH, i + band_rows(c)), outs = c->OH * c->OW, count = (end - i) * c->OW;
    gr__correlation w = windows(c, m->terms / s->taps);
    gr__border      x = GR__NAME(border)(&w, i, end), g = { .h = i, .rows = end - i, .cols = c->OW };
    int64_t        *offset = scratch;
    gr_real        *input = (gr_real *)(void *)((char *)scratch + padded_bytes((band_rows(c) * c->OW + 1) * (int64_t)sizeof *offset));
    gr_real        *grads = input + input_vectors(c, s) * LANES;
    for (int64_t t = 0; t < count; t++) offset[t] = (t / c->OW * c->SH * x.cols + t % c->OW * c->SW) * LANES;

    const gr_real *from = o->a + (n * c->C + group * s->channels + channel) * c->H * c->W;
    GR__NAME(interleave)(input, &x, from, o->a + c->N * c->C * c->H * c->W, c->C * c->H * c->W, images, w.channels, c->H, c->W);
    from = o->b + (n * c->F + group * s->filters) * outs;
    GR__NAME(interleave)(grads, &g, from, o->b + c->N * c->F * outs, c->F * outs, images, s->filters, c->OH, c->OW);
    m->offset = offset;
    m->x = input;
    m->g = grads;
    m->g_row = count * LANES;
    m->T = count;
    int64_t row = x.cols * LANES;
    multiply(m, &(place){ .KH = c->KH, .KW = c->KW, .channel = x.rows * row, .row = row, .col = c->DW * LANES, .S = 1, .D = c->DH });
    m->onto = true;
}

static void planes_part(const gr__conv *c, const shape *s, const gr__operands *o, int64_t task, gr_real *parts, void *scratch)
{
    int64_t  each = ceil_div(c->G, s->groups), part = task / each, group = task % each * s->groups;
    gr_real *y = parts + part * s->size + group * s->filters * s->channels * s->taps;
    GR__NAME(planes_kernel_grad)
    (c, o, group, at_most(s->groups, c->G - group), part_of(c->N, s->parts, part), part_of(c->N, s->parts, part + 1), y, scratch);
}

/* Phase 0: the sum over one part of the images, for some channels of one group, into the part's copy of the kernel. */
static void sum_part(const gr__conv *c, const gr__plan *plan, const gr__operands *o, int64_t task, gr_real *parts, void *scratch)
{
    shape s = shape_of(c, plan->variant);
    if (plan->variant == PLANES) {
        planes_part(c, &s, o, task, parts, scratch);
        return;
    }
    int64_t chunk = task % s.chunks, group = task / s.chunks % c->G, part = task / s.chunks / c->G;
    int64_t channel = chunk * s.together, some = at_most(s.together, s.channels - channel);
    int64_t first = part_of(c->N, s.parts, part), last = part_of(c->N, s.parts, part + 1);
    band    m = { .filters = s.filters, .terms = some * s.taps, .y_row = s.channels * s.taps };
    m.y = parts + part * s.size + (group * s.filters * s.channels + channel) * s.taps;
    if (plan->variant == PRODUCT) {
        gr__matmul w = product_of(c, last - first);
        GR__NAME(matmul_sum)
        (&w, o->b + first * w.a_step, o->a + first * w.b_step, channel, some, parts + part * s.size, scratch);
        return;
    }
    if (plan->variant == PANELS) {
        panels p = panels_of(c, &s);
        for (int64_t n = first; n < last; n += p.images)
            for (int64_t i = 0; i < c->OH; i += p.rows)
                panels_band(c, &s, o, &p, n, at_most(p.images, last - n), i, group, channel, &m, scratch);
        return;
    }
    int64_t blocks = ceil_div(c->N, LANES);
    for (int64_t b = part_of(blocks, s.parts, part); b < part_of(blocks, s.parts, part + 1); b++)
        for (int64_t i = 0; i < c->OH; i += band_rows(c))
            images_band(c, &s, o, b * LANES, (int)at_most(LANES, c->N - b * LANES), i, group, channel, &m, scratch);
}

static void add_range(const shape *s, int64_t many, const gr_real *parts, gr_real *y, int64_t begin, int64_t end)
{
    memset(y + begin, 0, (size_t)(end - begin) * sizeof *y);
    for (int64_t part = 0; part < many; part++)
        GR__NAME(add)(y + begin, y + begin, 1, parts + part * s->size + begin, 1, end - begin);
}

/* Phase 1: the parts, added in order. */
static void add_parts(const gr__conv *c, const gr__plan *plan, int64_t task, const gr_real *parts, gr_real *y)
{
    shape   s = shape_of(c, plan->variant);
    int64_t begin = task * ADDED_AT_ONCE, end = at_most(begin + ADDED_AT_ONCE, s.size);
    add_range(&s, plan->tasks[0] ? s.parts : 0, parts, y, begin, end);
}

/* ---- Winograd's algorithm ------------------------------------------------------------------
   Phase 0 looks at what a task by direct sums would make: a unit, some channels. The units that
   have weights of few products are summed directly beside the first phase of Winograd's
   algorithm, and added last, over what that has made of them. */

enum { SOME_FILTERS = 4 };

typedef struct both_ways {
    gr__plan transform, direct;
    shape    s;     /* of direct sums */
    int64_t  units; /* tasks of a part */
    size_t   parts, few; /* where these begin in what all share */
} both_ways;

static both_ways ways_of(const gr__conv *c, int variant)
{
    both_ways w = { .transform = { .phases = 0 } };
    if (variant == WINOGRAD)
        GR__NAME(winograd_kernel_grad_plan)(c, &w.transform);
    else
        GR__NAME(winograd_rows_kernel_grad_plan)(c, &w.transform);
    GR__NAME(conv_kernel_grad_direct_plan)(c, &w.direct);
    w.s = shape_of(c, w.direct.variant);
    w.units = ceil_div(c->G, w.s.groups) * w.s.chunks;
    w.parts = padded_bytes((int64_t)w.transform.shared);
    w.few = w.parts + padded_bytes((int64_t)w.direct.shared);
    return w;
}

static void both_plan(const gr__conv *c, int variant, gr__plan *plan)
{
    both_ways w = ways_of(c, variant);
    size_t    scratch = GR__NAME(few_weights_scratch)(c, w.s.together);
    if (scratch < w.transform.scratch) scratch = w.transform.scratch;
    if (scratch < w.direct.scratch) scratch = w.direct.scratch;
    *plan = (gr__plan){ .variant = variant, .phases = w.transform.phases + 2, .scratch = scratch };
    plan->shared = w.few + padded_bytes(w.units);
    for (int i = 0; i < w.transform.phases; i++) plan->tasks[i + 1] = w.transform.tasks[i];
    plan->tasks[0] = w.units;
    plan->tasks[1] += w.direct.tasks[0];
    plan->tasks[plan->phases - 1] = ceil_div(c->F, SOME_FILTERS);
}

void GR__NAME(conv_kernel_grad_plan)(const gr__conv *c, gr__plan *plan)
{
    GR__NAME(conv_kernel_grad_direct_plan)(c, plan);
    if (plan->variant == TAPS) return;
    bool tiles = GR__NAME(winograd_kernel_grad_pays)(c);
    bool rows = !tiles && c->N && fills_lanes(c) && GR__NAME(winograd_rows_kernel_grad_pays)(c);
    if ((tiles || rows) && !GR__NAME(few_weights_by_shape)(c)) both_plan(c, tiles ? WINOGRAD : WINOGRAD_ROWS, plan);
}

static bool unit_has_few(const gr__conv *c, const shape *s, const gr__operands *o, int64_t unit, void *scratch)
{
    int64_t group = unit / s->chunks * s->groups, channel = unit % s->chunks * s->together;
    int64_t end = at_most(c->G, group + s->groups), last = at_most(s->channels, channel + s->together);
    for (; group < end; group++)
        if (GR__NAME(few_weights_by_data)(c, o, group, channel, last, scratch)) return true;
    return false;
}

/* The weights of some filters, of the units that were summed directly. */
static void add_units(const gr__conv *c, const both_ways *w, const uint8_t *few, int64_t task, const gr_real *parts, gr_real *y)
{
    const shape *s = &w->s;
    for (int64_t f = task * SOME_FILTERS; f < at_most(c->F, (task + 1) * SOME_FILTERS); f++)
        for (int64_t chunk = 0; chunk < s->chunks; chunk++) {
            int64_t at = f * s->channels, channel = chunk * s->together, end = at_most(s->channels, channel + s->together);
            if (few[f / s->filters / s->groups * s->chunks + chunk])
                add_range(s, s->parts, parts, y, (at + channel) * s->taps, (at + end) * s->taps);
        }
}

static void both_run(
    const gr__conv *c, const gr__plan *plan, const gr__operands *o, int phase, int64_t task, void *shared, void *scratch)
{
    both_ways w = ways_of(c, plan->variant);
    gr_real  *parts = (gr_real *)(void *)((char *)shared + w.parts);
    uint8_t  *few = (uint8_t *)shared + w.few;
    int64_t   direct = task - w.transform.tasks[0];
    if (phase == 0)
        few[task] = unit_has_few(c, &w.s, o, task, scratch);
    else if (phase == plan->phases - 1)
        add_units(c, &w, few, task, parts, o->y);
    else if (phase == 1 && direct >= 0) {
        if (few[direct % w.units]) sum_part(c, &w.direct, o, direct, parts, scratch);
    } else if (!memchr(few, 0, (size_t)w.units))
        return; /* all are summed directly */
    else if (plan->variant == WINOGRAD)
        GR__NAME(winograd_kernel_grad_run)(c, o, phase - 1, task, shared, scratch);
    else
        GR__NAME(winograd_rows_kernel_grad_run)(c, o, phase - 1, task, shared, scratch);
}

void GR__NAME(conv_kernel_grad_run)(
    const gr__conv *c, const gr__plan *plan, const gr__operands *o, int phase, int64_t task, void *shared, void *scratch)
{
    if (plan->variant == TAPS)
        GR__NAME(taps_kernel_grad_run)(c, o, task, scratch);
    else if (plan->variant == WINOGRAD || plan->variant == WINOGRAD_ROWS)
        both_run(c, plan, o, phase, task, shared, scratch);
    else if (phase == 0)
        sum_part(c, plan, o, task, shared, scratch);
    else
        add_parts(c, plan, task, shared, o->y);
}
