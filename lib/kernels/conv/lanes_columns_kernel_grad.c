/* lanes_columns_kernel_grad.c: the kernel gradient by direct sums that run along the outputs of one
   image: dot products of panels, a panel for each channel, tap of w, and remainder of a row by the
   stride, with planes of the gradient where they stand. */
#include "conv.h"
#include "kernel_grad_parts.h"
#include "lanes_columns.h"

enum { OUTPUTS = 4096, PANEL_TERMS = 160 };   /* outputs in a band, terms at once, about */
enum { COLUMNS_GRAD_BAND_BYTES = 768 << 10 }; /* of the second cache, for a band's operands */

static gr__parts parts_of_columns(const gr__conv *c)
{
    return parts_of(c, PANEL_TERMS / (c->KH * c->KW), 1, c->N);
}

/* What a band of the outputs reads, and some rows more. A band is some rows, or several images
   whose outputs fill their vectors. */
typedef struct panels {
    int64_t rows, images;  /* of a band, at most */
    int64_t further, down; /* rows below the outputs; remainders */
    int64_t size, image;   /* elements of a panel, of an image's panels */
} panels;

static panels panels_of(const gr__conv *c, const gr__parts *s)
{
    int64_t outs = c->OH * c->OW, high = (c->KH - 1) * c->DH;
    panels  p = { .further = high / c->SH, .down = at_most(c->SH, high + 1) };
    int64_t each = s->filters + s->together * c->KW * p.down;
    int64_t outputs = at_most(OUTPUTS, COLUMNS_GRAD_BAND_BYTES / (int64_t)sizeof(gr_real) / each);
    p.rows = at_most(c->OH, at_least(1, outputs / c->OW));
    p.images = outs % LANES ? 1 : at_most(ceil_div(c->N, s->parts), at_least(1, outputs / outs));
    p.size = ceil_div((p.rows + p.further) * c->OW, LANES) * LANES + LANES;
    p.image = s->together * c->KW * p.down * p.size;
    return p;
}

static int64_t panels_vectors(const gr__conv *c, const panels *p)
{
    return p->images * ceil_div(p->rows * c->OW, LANES) + 1;
}

static size_t scratch_of_columns(const gr__conv *c, const gr__parts *s)
{
    panels p = panels_of(c, s);
    return 2 * padded_bytes(panels_vectors(c, &p) * (int64_t)sizeof(int64_t)) +
           padded_bytes(p.images * p.image * (int64_t)sizeof(gr_real));
}

/* The panels of one image, for rows i..i+rows of the outputs. */
static void columns_grad_gather(const gr__conv *c, const panels *p, const gr__correlation *w,
    const gr_real *x, const gr_real *x_end, int64_t i, int64_t rows, gr_real *to)
{
    for (int64_t k = 0; k < w->in_channels * c->KW * p->down; k++, to += p->size) {
        int64_t row = i * c->SH - c->PH + k % p->down, col = k / p->down % c->KW * c->DW - c->PW;
        pack_rows(
            w, x + k / p->down / c->KW * w->x_plane, x_end, row, col, rows + p->further, c->OW, to);
    }
}

/* Some channels of one group, and where their panels stand. */
typedef struct columns_grad_work {
    const gr__conv     *c;
    const gr__operands *o;
    panels              p;
    gr__correlation     w;
    const gr_real      *x, *g; /* of the first image */
    int64_t            *offset, *along;
    gr_real            *panel;
    gr__window_dots     m;
} columns_grad_work;

/* Images n..n+images, rows i.. of their outputs. */
static void columns_grad_add_band(columns_grad_work *k, int64_t n, int64_t images, int64_t i)
{
    const gr__conv *c = k->c;
    const panels   *p = &k->p;
    int64_t         outs = c->OH * c->OW, rows = at_most(p->rows, c->OH - i), count = rows * c->OW,
            T = count / LANES;
    for (int64_t image = 0; image < images; image++) {
        columns_grad_gather(c, p, &k->w, k->x + (n + image) * c->C * k->w.x_plane,
            k->o->a + c->N * c->C * k->w.x_plane, i, rows, k->panel + image * p->image);
        for (int64_t t = 0; t <= T; t++) {
            k->offset[image * T + t] = image * p->image + t * LANES;
            k->along[image * T + t] = image * c->F * outs + t * LANES;
        }
    }
    int64_t col = p->down * p->size;
    k->m.g = k->g + n * c->F * outs + i * c->OW;
    k->m.T = images * T;
    k->m.tail = (int)(count % LANES);
    window_dots(&k->m, &(gr__window_places){ .KH = c->KH,
                           .KW = c->KW,
                           .channel = c->KW * col,
                           .col = col,
                           .row = c->OW,
                           .rest = p->size,
                           .S = c->SH,
                           .D = c->DH });
    k->m.onto = true;
}

static void lanes_columns_kernel_grad_sum(const gr__conv *c, const gr__parts *s,
    const gr__operands *o, int64_t task, gr_real *parts, void *scratch)
{
    gr__part          at = part_at(c, s, task, parts);
    columns_grad_work k = {
        .c = c, .o = o, .p = panels_of(c, s), .w = windows_of(c, at.channels), .offset = scratch
    };
    size_t table = padded_bytes(panels_vectors(c, &k.p) * (int64_t)sizeof(int64_t));
    k.along = (int64_t *)(void *)((char *)scratch + table);
    k.panel = (gr_real *)(void *)((char *)scratch + 2 * table);
    k.x = o->a + (at.group * s->channels + at.channel) * k.w.x_plane;
    k.g = o->b + at.group * s->filters * c->OH * c->OW;
    k.m = (gr__window_dots){ .x = k.panel,
        .g_row = c->OH * c->OW,
        .filters = s->filters,
        .terms = at.channels * s->taps,
        .offset = k.offset,
        .along = k.along,
        .y = at.y,
        .y_row = at.row };
    int64_t last = even_part(c->N, s->parts, at.part + 1);
    for (int64_t n = even_part(c->N, s->parts, at.part); n < last; n += k.p.images)
        for (int64_t i = 0; i < c->OH; i += k.p.rows)
            columns_grad_add_band(&k, n, at_most(k.p.images, last - n), i);
}

bool lanes_columns_kernel_grad_pays(const gr__conv *c)
{
    int64_t channels = c->C / c->G, outs = c->OH * c->OW,
            copies = channels * c->KW * at_most(c->SH, (c->KH - 1) * c->DH + 1);
    bool fills = c->OW >= LANES && (outs % LANES == 0 || outs >= OUTPUTS / 2);
    return fills && channels * c->KH * c->KW <= PANEL_TERMS && 4 * copies < 3 * (c->F / c->G);
}

/* Serves everything. */
static gr__suits lanes_columns_kernel_grad_suits(const gr__conv *c, gr__direction d)
{
    (void)c;
    return d == GR__KERNEL_GRAD ? GR__PAYS : GR__CANNOT;
}

static const gr__kernel_sums lanes_columns_kernel_grad_sums = { parts_of_columns,
    scratch_of_columns, lanes_columns_kernel_grad_sum };

const gr__conv_algorithm GR__NAME(lanes_columns_kernel_grad) = {
    .name = "lanes_columns",
    .suits = lanes_columns_kernel_grad_suits,
    .plan = GR__NAME(parts_plan),
    .run = GR__NAME(parts_run),
    .exact = true,
    .sums = &lanes_columns_kernel_grad_sums,
};
