/* lanes_images_kernel_grad.c: the kernel gradient by direct sums that run along LANES images, one a
   lane, and their outputs: dot products of windows of the interleaved input with planes of the
   interleaved gradient. */
#include "conv.h"
#include "kernel_grad_parts.h"
#include "lanes_columns.h"

enum {
    VECTORS = 256,
    IMAGES_GRAD_TERMS_AT_ONCE = 64
}; /* outputs in a band, terms at once, about */

static gr__parts parts_of_images(const gr__conv *c)
{
    return parts_of(c, IMAGES_GRAD_TERMS_AT_ONCE / (c->KH * c->KW), 1, ceil_div(c->N, LANES));
}

static int64_t band_rows(const gr__conv *c) { return at_most(c->OH, at_least(1, VECTORS / c->OW)); }

static int64_t input_vectors(const gr__conv *c, const gr__parts *s)
{
    gr__correlation all = windows_of(c, s->together);
    gr__border      b = border(&all, 0, band_rows(c));
    return s->together * b.rows * b.cols + LANES;
}

static size_t scratch_of_images(const gr__conv *c, const gr__parts *s)
{
    int64_t outputs = band_rows(c) * c->OW,
            vectors = input_vectors(c, s) + s->filters * outputs + LANES;
    return padded_bytes((outputs + 1) * (int64_t)sizeof(int64_t)) +
           padded_bytes(vectors * LANES * (int64_t)sizeof(gr_real));
}

/* Some channels of one group. */
typedef struct images_grad_work {
    const gr__conv     *c;
    const gr__operands *o;
    gr__correlation     w;
    const gr_real      *x, *g; /* of the first image */
    int64_t            *offset;
    gr_real            *input, *grads;
    gr__window_dots     m;
} images_grad_work;

/* Images n..n+LANES, rows i.. of their outputs. */
static void images_grad_add_band(images_grad_work *k, int64_t n, int64_t i)
{
    const gr__conv *c = k->c;
    const int       images = (int)at_most(LANES, c->N - n);
    int64_t end = at_most(c->OH, i + band_rows(c)), outs = c->OH * c->OW, count = (end - i) * c->OW,
            in = c->H * c->W;
    gr__border x = border(&k->w, i, end), g = { .h = i, .rows = end - i, .cols = c->OW };
    for (int64_t t = 0; t < count; t++)
        k->offset[t] = (t / c->OW * c->SH * x.cols + t % c->OW * c->SW) * LANES;
    interleave(k->input, &x, k->x + n * c->C * in, k->o->a + c->N * c->C * in, c->C * in, images,
        k->w.in_channels, (gr__plane_size){ c->H, c->W });
    interleave(k->grads, &g, k->g + n * c->F * outs, k->o->b + c->N * c->F * outs, c->F * outs,
        images, k->m.filters, (gr__plane_size){ c->OH, c->OW });
    k->m.g_row = count * LANES;
    k->m.T = count;
    int64_t row = x.cols * LANES;
    window_dots(&k->m, &(gr__window_places){ .KH = c->KH,
                           .KW = c->KW,
                           .channel = x.rows * row,
                           .row = row,
                           .col = c->DW * LANES,
                           .S = 1,
                           .D = c->DH });
    k->m.onto = true;
}

static void lanes_images_kernel_grad_sum(const gr__conv *c, const gr__parts *s,
    const gr__operands *o, int64_t task, gr_real *parts, void *scratch)
{
    gr__part         at = part_at(c, s, task, parts);
    images_grad_work k = { .c = c, .o = o, .w = windows_of(c, at.channels), .offset = scratch };
    k.input = (gr_real *)(void *)((char *)scratch + padded_bytes((band_rows(c) * c->OW + 1) *
                                                                 (int64_t)sizeof *k.offset));
    k.grads = k.input + input_vectors(c, s) * LANES;
    k.x = o->a + (at.group * s->channels + at.channel) * c->H * c->W;
    k.g = o->b + at.group * s->filters * c->OH * c->OW;
    k.m = (gr__window_dots){ .x = k.input,
        .g = k.grads,
        .filters = s->filters,
        .terms = at.channels * s->taps,
        .offset = k.offset,
        .y = at.y,
        .y_row = at.row };
    int64_t blocks = ceil_div(c->N, LANES);
    for (int64_t b = even_part(blocks, s->parts, at.part);
         b < even_part(blocks, s->parts, at.part + 1); b++)
        for (int64_t i = 0; i < c->OH; i += band_rows(c)) images_grad_add_band(&k, b * LANES, i);
}

static gr__suits lanes_images_kernel_grad_suits(const gr__conv *c, gr__direction d)
{
    if (d != GR__KERNEL_GRAD || is_empty_sum(c)) return GR__CANNOT;
    return pays_if(fills_lanes(c) && !lanes_columns_kernel_grad_pays(c));
}

static const gr__kernel_sums lanes_images_kernel_grad_sums = { parts_of_images, scratch_of_images,
    lanes_images_kernel_grad_sum };

const gr__conv_algorithm GR__NAME(lanes_images_kernel_grad) = {
    .name = "lanes_images",
    .suits = lanes_images_kernel_grad_suits,
    .plan = GR__NAME(parts_plan),
    .run = GR__NAME(parts_run),
    .exact = true,
    .sums = &lanes_images_kernel_grad_sums,
};
