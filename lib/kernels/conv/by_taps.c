/* by_taps.c: the output and both gradients, a tap of the kernel at a time. Along an axis the
   outputs that a tap joins to an input are an interval, known in closed form, and so a tap of the
   kernel joins a rectangle of outputs to one of inputs: a product of matrices, whose result is
   added to what is there. Taps that join nothing are not visited, and padding is not laid out, so
   that time is proportional to the products that there are and to the sizes of the tensors,
   whatever the options. Groups with few products for a tap are summed where they stand. Invariant:
   a task owns its outputs, and adds to them in the order channels (as many as go together), tap,
   channel. */
#include "conv.h"
#include "kernels/table.h"

#include <math.h>

enum { WIDTH = 256 };                       /* of a panel: columns at once, whole vectors */
enum { TAPS_CHANNELS = 128, FILTERS = 64 }; /* of a panel; of a task of the kernel gradient */
enum { TAPS_FEW_PRODUCTS = 32 }; /* for a tap and a column: no more than pay for panels */
enum { TAPS_TASKS = 16 };        /* worth splitting for more threads */
enum { TAPS_COLUMNS = 64 };      /* worth taking more images for */
enum { WASTE = 6 };              /* so many times what there is to do are too many */

/* A longer stride is not for algorithms that go through its steps: the residues of an input
   gradient, the rows of a band of planes, which are for few products of a tap. */
enum { MOST_STRIDE = 8, FEW_PLANES = 16 };

/* ---- what a tap joins ------------------------------------------------------------------------ */

/* Outputs out, out + 1, ... of an axis to inputs in, in + S, ...: so many. */
typedef struct taps_join {
    int64_t out, in, count;
} taps_join;

/* One axis of the forward convolution: output i reads S i + D p - P at tap p. */
typedef struct taps_line {
    int64_t H, K, OH, S, P, D;
} taps_line;

static taps_line line_h(const gr__conv *c)
{
    return (taps_line){ c->H, c->KH, c->OH, c->SH, c->PH, c->DH };
}

static taps_line line_w(const gr__conv *c)
{
    return (taps_line){ c->W, c->KW, c->OW, c->SW, c->PW, c->DW };
}

static taps_join join_of(const taps_line *a, int64_t p)
{
    int64_t at = a->D * p - a->P, begin = at < 0 ? ceil_div(-at, a->S) : 0;
    int64_t end = at < a->H ? at_most(a->OH, (a->H - 1 - at + a->S) / a->S) : 0;
    return (taps_join){ .out = begin, .in = at + begin * a->S, .count = at_least(0, end - begin) };
}

/* The taps that may join something: those before and after are off the input for all outputs. */
static gr__span span_of(const taps_line *a)
{
    int64_t reach = a->S * (a->OH - 1), last = a->H - 1 + a->P;
    int64_t begin = a->P > reach ? ceil_div(a->P - reach, a->D) : 0;
    int64_t end = last >= 0 ? at_most(a->K, last / a->D + 1) : 0;
    return (gr__span){ begin, at_least(begin, end) };
}

/* How many pairs of output and tap read an input. */
static int64_t joins_of(const taps_line *a)
{
    gr__span taps = span_of(a);
    int64_t  n = 0;
    for (int64_t p = taps.begin; p < taps.end; p++) n += join_of(a, p).count;
    return n;
}

/* ---- whether it pays ------------------------------------------------------------------------- */

/* What the other algorithms would do along an axis: products, and numbers laid out at once. */
typedef struct effort {
    int64_t products, reach;
} effort;

static effort effort_of(const gr__conv *c, gr__direction d, bool height)
{
    int64_t residues = d == GR__FORWARD ? 1 : height ? at_most(c->SH, c->H) : at_most(c->SW, c->W);
    int64_t across = d == GR__FORWARD ? 1 : at_least(1, at_most(c->SW, c->W));
    effort  e = { 0 };
    for (int64_t i = 0; i < residues; i++) {
        gr__correlation s = correlation(c, d, height ? i * across : i);
        const gr__axis *a = height ? &s.h : &s.w;
        e.products += a->outs * a->taps;
        e.reach = at_least(e.reach,
            a->taps ? (a->outs - 1) * a->step + (a->taps - 1) * magnitude(a->offset_step) + 1 : 0);
    }
    return e;
}

/* Whether the other algorithms would multiply with zeros, lay out zeros, or look for outputs, far
   more than there is to do; of the kernel gradient as of the output. */
static bool is_sparse(const gr__conv *c, gr__direction d)
{
    if (c->SH > MOST_STRIDE || c->SW > MOST_STRIDE)
        if (d == GR__INPUT_GRAD || c->C / c->G * (c->F / c->G) <= FEW_PLANES) return true;
    /* The input gradient of one tap at a stride is mostly zeros: here 2.2 times as fast at a stride
       of 2, 4 times at 3, over random shapes; by groups the others are as fast. */
    if (c->KH == 1 && c->KW == 1 && !c->PH && !c->PW)
        return d == GR__INPUT_GRAD && c->SH > 1 && c->SW > 1 && c->G == 1;
    taps_line lh = line_h(c), lw = line_w(c);
    effort    h = effort_of(c, d, true), w = effort_of(c, d, false);
    double C = (double)(c->C / c->G), F = (double)(c->F / c->G), in = (double)c->H * (double)c->W,
           out = (double)c->OH * (double)c->OW;
    double sizes = C * in + F * out + C * F * (double)(c->KH * c->KW) / (double)at_least(1, c->N);
    double useful = C * F * (double)joins_of(&lh) * (double)joins_of(&lw);
    return C * F * (double)h.products * (double)w.products > WASTE * (useful + sizes) ||
           (double)h.reach * (double)w.reach > WASTE * (in + out);
}

/* ---- rectangles ------------------------------------------------------------------------------ */

/* Places of a plane: number (i, j) stands at first + i row + j col. */
typedef struct taps_grid {
    int64_t first, row, col;
} taps_grid;

typedef struct rect {
    int64_t   tap, rows, cols;
    taps_grid in, out; /* of x, of y */
} rect;

static rect rect_of(const gr__conv *c, int64_t p, int64_t q, const taps_join *h, const taps_join *w)
{
    return (rect){ .tap = p * c->KW + q,
        .rows = h->count,
        .cols = w->count,
        .in = { h->in * c->W + w->in, c->SH * c->W, c->SW },
        .out = { h->out * c->OW + w->out, c->OW, 1 } };
}

/* Columns of a product: those of a rectangle, of several images in turn, in runs that lie in one
   row. */
typedef struct taps_run {
    int64_t from, to, n;
} taps_run;

typedef struct taps_runs {
    int64_t  from_col, to_col, count, columns; /* columns: of all runs */
    taps_run run[WIDTH];
} taps_runs;

/* Columns begin.. of those of `images` images, the planes of which stand from_image and to_image
   apart. */
static void find_runs(taps_runs *r, const rect *a, const taps_grid *from, const taps_grid *to,
    int64_t from_image, int64_t to_image, int64_t begin, int64_t columns)
{
    int64_t j = begin % a->cols, i = begin / a->cols % a->rows, image = begin / a->cols / a->rows,
            at = 0;
    r->from_col = from->col, r->to_col = to->col, r->count = 0, r->columns = columns;
    for (; at < columns; r->count++) {
        int64_t n = at_most(a->cols - j, columns - at);
        r->run[r->count] =
            (taps_run){ image * from_image + from->first + i * from->row + j * from->col,
                image * to_image + to->first + i * to->row + j * to->col, n };
        at += n, j = 0;
        if (++i == a->rows) i = 0, image++;
    }
}

/* The columns of one plane side by side, with zeros up to whole vectors. */
static void taps_gather(gr_real *restrict to, const gr_real *restrict x, const taps_runs *r)
{
    clear(to + r->columns / LANES * LANES, r->columns % LANES);
    for (int64_t k = 0; k < r->count; to += r->run[k++].n) {
        const gr_real *from = x + r->run[k].from;
        int64_t        n = r->run[k].n, col = r->from_col;
        if (col == 1)
            for (int64_t j = 0; j < n; j++) to[j] = from[j];
        else
            for (int64_t j = 0; j < n; j++) to[j] = from[j * col];
    }
}

static void taps_scatter(gr_real *restrict y, const gr_real *restrict from, const taps_runs *r)
{
    for (int64_t k = 0; k < r->count; from += r->run[k++].n) {
        gr_real *to = y + r->run[k].to;
        int64_t  n = r->run[k].n, col = r->to_col;
        if (col == 1)
            for (int64_t j = 0; j < n; j++) to[j] += from[j];
        else
            for (int64_t j = 0; j < n; j++) to[j * col] += from[j];
    }
}

/* ---- output and input gradient --------------------------------------------------------------- */

/* How a direction is cut: images, rows of the kernel. A task takes some of each. */
typedef struct taps_cut {
    int64_t images, blocks, rows; /* of a task, at most; blocks of rows */
    int64_t channels, width;      /* of a panel */
    bool    few;
} taps_cut;

static taps_cut taps_cut_of(const gr__conv *c, gr__direction d)
{
    gr__correlation s = correlation(c, d, 0);
    int64_t         most = at_most(c->OH, ceil_div(c->H, c->SH)) *
                   at_most(c->OW, ceil_div(c->W, c->SW)); /* of a rectangle */
    taps_cut k = { .few = s.out_channels * s.in_channels <= TAPS_FEW_PRODUCTS };
    k.images = k.few ? 1 : at_least(1, at_most(c->N, TAPS_COLUMNS / at_least(1, most)));
    int64_t units = ceil_div(c->N, k.images) * c->G;
    k.blocks =
        k.few ? 1 : at_least(1, at_most(ceil_div(TAPS_TASKS, units), s.out_channels / (2 * ROWS)));
    k.rows = ceil_div(s.out_channels, k.blocks);
    k.channels = at_most(s.in_channels, TAPS_CHANNELS);
    k.width = at_most(WIDTH, ceil_div(k.images * most, LANES) * LANES);
    return k;
}

static size_t taps_offsets_bytes(const taps_cut *k)
{
    return padded_bytes(k->channels * (int64_t)sizeof(gr__offsets));
}

static void plan_sums(const gr__conv *c, gr__direction d, gr__plan *plan)
{
    taps_cut k = taps_cut_of(c, d);
    plan->tasks[0] = ceil_div(c->N, k.images) * c->G * k.blocks;
    if (!k.few)
        plan->scratch = taps_offsets_bytes(&k) +
                        padded_bytes((k.channels + ROWS) * k.width * (int64_t)sizeof(gr_real));
}

/* Some images and rows of one group. */
typedef struct taps_work {
    const gr__conv *c;
    gr__direction   d;
    gr__correlation s;
    gr__group       o;
    int64_t         images, row, rows;
    int64_t         x_image, y_image; /* from one image to the next */
    gr__offsets    *step;
    gr_real        *panel, *tile;
    int64_t         width, channels; /* of a panel */
    int64_t
        gathered[4]; /* what the panel holds: where it begins, rows, columns, channel; or no rows */
} taps_work;

/* One run of each plane of the kernel, where it stands. */
static void taps_add_few(
    const taps_work *w, const rect *a, const taps_grid *from, const taps_grid *to)
{
    const int64_t from_col = from->col, to_col = to->col, n = a->cols;
    for (int64_t r = w->row; r < w->row + w->rows; r++)
        for (int64_t k = 0; k < w->s.in_channels; k++) {
            const gr_real  weight = w->o.k[r * w->s.k_row + k * w->s.k_channel + a->tap];
            const gr_real *x = w->o.x + k * w->s.x_plane + from->first;
            gr_real       *y = w->o.y + r * w->s.y_plane + to->first;
            for (int64_t i = 0; i < a->rows; i++, x += from->row, y += to->row)
                if (from_col == 1 && to_col == 1) {
                    GR__INDEPENDENT
                    for (int64_t j = 0; j < n; j++) y[j] += weight * x[j];
                } else {
                    GR__INDEPENDENT
                    for (int64_t j = 0; j < n; j++) y[j * to_col] += weight * x[j * from_col];
                }
        }
}

/* The channels from k on, of the columns of r: the panel, unless it is that of the tap before,
   times the rows of the kernel. */
static void add_columns(
    taps_work *w, const rect *a, const taps_runs *r, int64_t k, int64_t channels)
{
    int64_t vectors = ceil_div(r->columns, LANES);
    for (int64_t i = 0; i < channels && !w->gathered[1]; i++)
        taps_gather(w->panel + i * w->width, w->o.x + (k + i) * w->s.x_plane, r);
    for (int64_t row = w->row, rows; row < w->row + w->rows; row += rows) {
        rows = at_most(ROWS, w->row + w->rows - row);
        gr__outer_block m = { .a = w->o.k + row * w->s.k_row + k * w->s.k_channel + a->tap,
            .a_row = w->s.k_row,
            .step = w->step,
            .K = channels };
        m.least = -(gr_real)INFINITY;
        m.y_row = w->width;
        for (int64_t v = 0, cols; v < vectors; v += cols) {
            cols = at_most(COLS, vectors - v);
            for (int64_t i = 0; i < cols; i++) m.b[i] = w->panel + (v + i) * LANES;
            m.y = w->tile + v * LANES;
            outer_block(&m, (int)rows, (int)cols);
        }
        for (int64_t i = 0; i < rows; i++)
            taps_scatter(w->o.y + (row + i) * w->s.y_plane, w->tile + i * w->width, r);
    }
}

static void add_rect(taps_work *w, const rect *a, int64_t k, int64_t channels)
{
    const bool       forward = w->d == GR__FORWARD;
    const taps_grid *from = forward ? &a->in : &a->out, *to = forward ? &a->out : &a->in;
    if (!w->tile) {
        taps_add_few(w, a, from, to);
        return;
    }
    int64_t all = a->rows * a->cols * w->images, now[4] = { from->first, a->rows, a->cols, k };
    if (all > w->width || memcmp(now, w->gathered, sizeof now) != 0) w->gathered[1] = 0;
    for (int64_t at = 0; at < all; at += w->width) {
        taps_runs r;
        find_runs(&r, a, from, to, w->x_image, w->y_image, at, at_most(w->width, all - at));
        add_columns(w, a, &r, k, channels);
    }
    if (all <= w->width) memcpy(w->gathered, now, sizeof now);
}

/* The channels k..k+channels of all taps that join something. */
static void add_taps(taps_work *w, int64_t k, int64_t channels)
{
    taps_line h = line_h(w->c), v = line_w(w->c);
    gr__span  down = span_of(&h), across = span_of(&v);
    for (int64_t p = down.begin; p < down.end; p++) {
        taps_join jh = join_of(&h, p);
        for (int64_t q = across.begin; q < across.end && jh.count; q++) {
            taps_join jw = join_of(&v, q);
            if (!jw.count) continue;
            rect a = rect_of(w->c, p, q, &jh, &jw);
            add_rect(w, &a, k, channels);
        }
    }
}

static void begin_planes(const taps_work *w)
{
    for (int64_t n = 0; n < w->images; n++)
        for (int64_t r = w->row; r < w->row + w->rows; r++) {
            gr_real *y = w->o.y + n * w->y_image + r * w->s.y_plane,
                    bias = w->o.bias ? w->o.bias[r] : 0;
            for (int64_t i = 0; i < w->s.y_plane; i++) y[i] = bias;
        }
}

static void end_planes(const taps_work *w)
{
    int64_t all = w->rows * w->s.y_plane;
    for (int64_t n = 0; n < w->images && w->o.act; n++) {
        gr_real *y = w->o.y + n * w->y_image + w->row * w->s.y_plane;
        if (w->o.act == GR_RELU)
            GR__NAME(relu)(y, y, all);
        else
            activate(y, all, w->o.act);
    }
}

/* Tasks run through the blocks of a group, the groups of some images, the batch. */
static void run_sums(
    const gr__conv *c, gr__direction d, const gr__operands *o, int64_t task, void *scratch)
{
    taps_cut  k = taps_cut_of(c, d);
    int64_t   unit = task / k.blocks, block = task % k.blocks, n = unit / c->G * k.images;
    taps_work w = {
        .c = c, .d = d, .s = correlation(c, d, 0), .o = group(c, d, o, n, unit % c->G)
    };
    w.images = at_most(k.images, c->N - n);
    w.row = even_part(w.s.out_channels, k.blocks, block);
    w.rows = even_part(w.s.out_channels, k.blocks, block + 1) - w.row;
    w.x_image = c->G * w.s.in_channels * w.s.x_plane;
    w.y_image = c->G * w.s.out_channels * w.s.y_plane;
    w.width = k.width;
    begin_planes(&w);
    if (!k.few) {
        w.step = scratch;
        w.panel = (gr_real *)(void *)((char *)scratch + taps_offsets_bytes(&k));
        w.tile = w.panel + k.channels * k.width;
        for (int64_t i = 0; i < k.channels; i++)
            w.step[i] = (gr__offsets){ i * w.s.k_channel, i * k.width };
    }
    for (int64_t i = 0; i < w.s.in_channels; i += k.channels)
        add_taps(&w, i, at_most(k.channels, w.s.in_channels - i));
    end_planes(&w);
}

/* ---- kernel gradient ------------------------------------------------------------------------- */

/* A task takes one row of taps and some filters of a group. */
typedef struct grad_cut {
    int64_t filters, blocks, channels, width; /* filters, channels: of a panel */
    bool    few;
} grad_cut;

static grad_cut grad_cut_of(const gr__conv *c)
{
    int64_t F = c->F / c->G, C = c->C / c->G;
    int64_t most = at_most(c->OH, ceil_div(c->H, c->SH)) *
                   at_most(c->OW, ceil_div(c->W, c->SW)); /* of a rectangle */
    grad_cut k = { .few = F * C <= TAPS_FEW_PRODUCTS };
    k.blocks = k.few ? 1 : ceil_div(F, FILTERS);
    k.filters = ceil_div(F, k.blocks);
    k.channels = at_most(C, TAPS_CHANNELS);
    k.width = at_most(WIDTH, ceil_div(most * c->N, LANES) * LANES);
    return k;
}

static void plan_kernel_grad(const gr__conv *c, gr__plan *plan)
{
    grad_cut k = grad_cut_of(c);
    plan->tasks[0] = c->G * k.blocks * c->KH;
    if (!k.few)
        plan->scratch = padded_bytes(k.width / LANES * (int64_t)sizeof(int64_t)) +
                        padded_bytes((k.filters + k.channels) * k.width * (int64_t)sizeof(gr_real));
}

/* Some filters of one group. */
typedef struct grad_work {
    const gr__conv *c;
    grad_cut        cut;
    const gr_real  *x, *g; /* of the first image: the group's channels, those filters */
    int64_t         filters, channels;
    gr_real        *y; /* of those filters */
    int64_t        *offset;
    gr_real        *panel, *grads;
} grad_work;

/* One sum for each plane of the kernel, where the operands stand. */
static void sum_few(const grad_work *w, const rect *a)
{
    const gr__conv *c = w->c;
    for (int64_t f = 0; f < w->filters; f++)
        for (int64_t k = 0; k < w->channels; k++) {
            double sum = 0;
            for (int64_t n = 0; n < c->N; n++)
                for (int64_t i = 0; i < a->rows; i++) {
                    const gr_real *g =
                        w->g + (n * c->F + f) * c->OH * c->OW + a->out.first + i * a->out.row;
                    const gr_real *x =
                        w->x + (n * c->C + k) * c->H * c->W + a->in.first + i * a->in.row;
                    for (int64_t j = 0; j < a->cols; j++)
                        sum += (double)g[j] * (double)x[j * a->in.col];
                }
            w->y[(f * w->channels + k) * c->KH * c->KW + a->tap] = (gr_real)sum;
        }
}

/* Filters times the channels from k on, whose panels are gathered. */
static void taps_sum_columns(
    const grad_work *w, const rect *a, int64_t k, int64_t channels, int64_t columns)
{
    int64_t       taps = w->c->KH * w->c->KW;
    gr_real       sums[DOT_ROWS * DOT_COLS];
    gr__dot_block m = {
        .offset = w->offset, .T = ceil_div(columns, LANES), .y = sums, .y_row = DOT_COLS
    };
    for (int64_t f = 0, rows; f < w->filters; f += rows) {
        rows = at_most(DOT_ROWS, w->filters - f);
        for (int64_t i = 0; i < rows; i++) m.a[i] = w->grads + (f + i) * w->cut.width;
        for (int64_t j = 0, cols; j < channels; j += cols) {
            cols = at_most(DOT_COLS, channels - j);
            for (int64_t i = 0; i < cols; i++) m.b[i] = w->panel + (j + i) * w->cut.width;
            dot_block(&m, (int)rows, (int)cols);
            gr_real *y = w->y + (f * w->channels + k + j) * taps + a->tap;
            for (int64_t r = 0; r < rows; r++)
                for (int64_t i = 0; i < cols; i++)
                    y[(r * w->channels + i) * taps] += sums[r * DOT_COLS + i];
        }
    }
}

static void sum_rect(const grad_work *w, const rect *a)
{
    const gr__conv *c = w->c;
    int64_t         all = a->rows * a->cols * c->N, out = c->OH * c->OW, in = c->H * c->W;
    if (w->cut.few) {
        sum_few(w, a);
        return;
    }
    for (int64_t at = 0; at < all; at += w->cut.width) {
        taps_runs r;
        int64_t   columns = at_most(w->cut.width, all - at);
        find_runs(&r, a, &a->out, &a->out, c->F * out, 0, at, columns);
        for (int64_t f = 0; f < w->filters; f++)
            taps_gather(w->grads + f * w->cut.width, w->g + f * out, &r);
        find_runs(&r, a, &a->in, &a->in, c->C * in, 0, at, columns);
        for (int64_t k = 0, channels; k < w->channels; k += channels) {
            channels = at_most(w->cut.channels, w->channels - k);
            for (int64_t i = 0; i < channels; i++)
                taps_gather(w->panel + i * w->cut.width, w->x + (k + i) * in, &r);
            taps_sum_columns(w, a, k, channels, columns);
        }
    }
}

/* Tasks run through the rows of taps, the blocks of filters, the groups. */
static void run_kernel_grad(const gr__conv *c, const gr__operands *o, int64_t task, void *scratch)
{
    grad_work w = { .c = c, .cut = grad_cut_of(c), .channels = c->C / c->G };
    int64_t   p = task % c->KH, unit = task / c->KH, group = unit / w.cut.blocks, F = c->F / c->G;
    int64_t   first = even_part(F, w.cut.blocks, unit % w.cut.blocks), taps = c->KH * c->KW;
    taps_line h = line_h(c), v = line_w(c);
    gr__span  across = span_of(&v);
    taps_join jh = join_of(&h, p);
    w.filters = even_part(F, w.cut.blocks, unit % w.cut.blocks + 1) - first;
    w.x = o->a + group * w.channels * c->H * c->W;
    w.g = o->b + (group * F + first) * c->OH * c->OW;
    w.y = o->y + (group * F + first) * w.channels * taps;
    if (!w.cut.few) {
        w.offset = scratch;
        w.panel = (gr_real *)(void *)((char *)scratch +
                                      padded_bytes(w.cut.width / LANES * (int64_t)sizeof(int64_t)));
        w.grads = w.panel + w.cut.channels * w.cut.width;
        for (int64_t i = 0; i < w.cut.width / LANES; i++) w.offset[i] = i * LANES;
    }
    for (int64_t k = 0; k < w.filters * w.channels; k++)
        memset(w.y + k * taps + p * c->KW, 0, (size_t)c->KW * sizeof *w.y);
    for (int64_t q = across.begin; q < across.end && jh.count; q++) {
        taps_join jw = join_of(&v, q);
        rect      a = rect_of(c, p, q, &jh, &jw);
        if (jw.count) sum_rect(&w, &a);
    }
}

/* ---- the algorithm --------------------------------------------------------------------------- */

static gr__suits by_taps_suits(const gr__conv *c, gr__direction d)
{
    if (!c->N || !c->OH || !c->OW) return GR__CANNOT;
    return pays_if(is_sparse(c, d == GR__KERNEL_GRAD ? GR__FORWARD : d));
}

static void by_taps_plan(const gr__conv *c, gr__direction d, gr__plan *plan)
{
    plan->stages = 1;
    if (d == GR__KERNEL_GRAD)
        plan_kernel_grad(c, plan);
    else
        plan_sums(c, d, plan);
}

static void by_taps_run(const gr__conv *c, const gr__plan *plan, const gr__operands *o, int stage,
    int64_t task, void *shared, void *scratch)
{
    (void)stage, (void)shared;
    if (plan->direction == GR__KERNEL_GRAD)
        run_kernel_grad(c, o, task, scratch);
    else
        run_sums(c, plan->direction, o, task, scratch);
}

const gr__conv_algorithm GR__NAME(by_taps) = {
    .name = "by_taps",
    .suits = by_taps_suits,
    .plan = by_taps_plan,
    .run = by_taps_run,
    .exact = true,
};
