/* geometry.c: stride, padding, dilation and groups become correlations along two axes. */
#include "geometry.h"

/* Output i reads S i + D p - P at tap p. */
static gr__axis forward_axis(int64_t H, int64_t K, int64_t OH, int64_t S, int64_t P, int64_t D)
{
    return (gr__axis){ .in = H,
        .step = S,
        .taps = K,
        .tap = 0,
        .tap_step = 1,
        .offset = -P,
        .offset_step = D,
        .outs = OH,
        .out = 0,
        .out_step = 1 };
}

static int64_t divisor(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Of the inputs h = first + S t, tap p reads output (h + P - D p) / S, where S divides it. If it
   does at p, it does again S / gcd(S, D) taps later, D / gcd(S, D) outputs before. */
static gr__axis grad_axis(
    int64_t H, int64_t K, int64_t OH, int64_t S, int64_t P, int64_t D, int64_t first)
{
    int64_t  apart = S / divisor(S, D), p = 0;
    gr__axis x = {
        .in = OH, .step = 1, .outs = (H - 1 - first) / S + 1, .out = first, .out_step = S
    };
    while (p < K && p < S && (first + P - D * p) % S) p++;
    if (p == K || p == S) return x;
    x.taps = (K - 1 - p) / apart + 1;
    x.tap = p;
    x.tap_step = apart;
    x.offset = (first + P - D * p) / S;
    x.offset_step = -D * apart / S;
    return x;
}

int64_t residues(const gr__conv *c, gr__direction d)
{
    return d == GR__FORWARD ? 1 : at_most(c->SH, c->H) * at_most(c->SW, c->W);
}

gr__correlation correlation(const gr__conv *c, gr__direction d, int64_t residue)
{
    gr__correlation s = { .k_width = c->KW };
    int64_t         taps = c->KH * c->KW, C = c->C / c->G, F = c->F / c->G;
    if (d == GR__FORWARD) {
        s.h = forward_axis(c->H, c->KH, c->OH, c->SH, c->PH, c->DH);
        s.w = forward_axis(c->W, c->KW, c->OW, c->SW, c->PW, c->DW);
        s.in_channels = C, s.k_channel = taps, s.x_plane = c->H * c->W;
        s.out_channels = F, s.k_row = C * taps, s.y_plane = c->OH * c->OW, s.y_width = c->OW;
    } else {
        int64_t across = at_least(1, at_most(c->SW, c->W));
        s.h = grad_axis(c->H, c->KH, c->OH, c->SH, c->PH, c->DH, residue / across);
        s.w = grad_axis(c->W, c->KW, c->OW, c->SW, c->PW, c->DW, residue % across);
        s.in_channels = F, s.k_channel = C * taps, s.x_plane = c->OH * c->OW;
        s.out_channels = C, s.k_row = taps, s.y_plane = c->H * c->W, s.y_width = c->W;
    }
    s.K = s.in_channels * s.h.taps * s.w.taps;
    return s;
}

gr__group group(const gr__conv *c, gr__direction d, const gr__operands *o, int64_t n, int64_t g)
{
    bool    forward = d == GR__FORWARD;
    int64_t C = c->C / c->G, F = c->F / c->G, X = C * c->H * c->W, Y = F * c->OH * c->OW;
    int64_t in = forward ? X : Y, out = forward ? Y : X;
    return (gr__group){ .x = o->a + (n * c->G + g) * in,
        .x_begin = o->a,
        .x_end = o->a + c->N * c->G * in,
        .k = o->b + g * F * C * c->KH * c->KW,
        .bias = o->bias ? o->bias + g * (forward ? F : C) : NULL,
        .y = o->y + (n * c->G + g) * out,
        .act = o->act };
}

void kernel_offsets(const gr__correlation *s, gr__offsets *step)
{
    for (int64_t a = 0; a < s->h.taps; a++)
        for (int64_t c = 0; c < s->in_channels; c++)
            for (int64_t b = 0; b < s->w.taps; b++)
                (step++)->a = c * s->k_channel + (s->h.tap + a * s->h.tap_step) * s->k_width +
                              s->w.tap + b * s->w.tap_step;
}

gr__border border(const gr__correlation *s, int64_t begin, int64_t end)
{
    int64_t down = (s->h.taps - 1) * s->h.offset_step, along = (s->w.taps - 1) * s->w.offset_step;
    return (gr__border){ .h = begin * s->h.step + s->h.offset + at_most(down, 0),
        .w = s->w.offset + at_most(along, 0),
        .rows = (end - 1 - begin) * s->h.step + at_least(down, -down) + 1,
        .cols = (s->w.outs - 1) * s->w.step + at_least(along, -along) + 1 };
}
