/* kernel_grad_parts.c: parts of the images, and products of windows with planes of the gradient. */
#include "kernel_grad_parts.h"

#include "kernels/table.h"

enum {
    PARTS_MOST_PARTS = 8,
    PARTS_PART_SIZE = 1 << 20
}; /* parts of the images, and how large their sums may be together */
enum { ADDED_AT_ONCE = 4096 };

gr__parts parts_of(const gr__conv *c, int64_t together, int64_t groups, int64_t most)
{
    gr__parts s = {
        .filters = c->F / c->G, .taps = c->KH * c->KW, .channels = c->C / c->G, .groups = groups
    };
    s.together = at_least(1, at_most(s.channels, together));
    s.chunks = ceil_div(s.channels, s.together);
    s.units = ceil_div(c->G, groups) * s.chunks;
    s.size = c->F * s.channels * s.taps;
    s.parts = at_most(at_least(1, at_most(PARTS_MOST_PARTS, PARTS_PART_SIZE / s.size)), most);
    return s;
}

gr__part part_at(const gr__conv *c, const gr__parts *s, int64_t task, gr_real *parts)
{
    gr__part p = { .part = task / s->units, .group = task % s->units / s->chunks * s->groups };
    p.groups = at_most(s->groups, c->G - p.group);
    p.channel = task % s->chunks * s->together;
    p.channels = at_most(s->together, s->channels - p.channel);
    p.row = s->channels * s->taps;
    p.y = parts + p.part * s->size + (p.group * s->filters * s->channels + p.channel) * s->taps;
    return p;
}

void parts_plan(const gr__conv *c, gr__direction d, gr__plan *plan)
{
    const gr__kernel_sums *sums = plan->algorithm->sums;
    gr__parts              s = sums->parts(c);
    (void)d;
    plan->stages = 2;
    if (!is_empty_sum(c)) {
        plan->tasks[0] = s.parts * s.units;
        plan->shared = padded_bytes(s.parts * s.size * (int64_t)sizeof(gr_real));
        plan->scratch = sums->scratch(c, &s);
    }
    plan->tasks[1] = ceil_div(s.size, ADDED_AT_ONCE);
}

void add_parts(
    const gr__parts *s, int64_t many, const gr_real *parts, gr_real *y, int64_t begin, int64_t end)
{
    memset(y + begin, 0, (size_t)(end - begin) * sizeof *y);
    for (int64_t part = 0; part < many; part++)
        GR__NAME(add)(y + begin, y + begin, 1, parts + part * s->size + begin, 1, end - begin);
}

void parts_run(const gr__conv *c, const gr__plan *plan, const gr__operands *o, int stage,
    int64_t task, void *shared, void *scratch)
{
    const gr__kernel_sums *sums = plan->algorithm->sums;
    gr__parts              s = sums->parts(c);
    int64_t                begin = task * ADDED_AT_ONCE;
    if (stage == 0)
        sums->sum(c, &s, o, task, shared, scratch);
    else
        add_parts(&s, plan->tasks[0] ? s.parts : 0, shared, o->y, begin,
            at_most(begin + ADDED_AT_ONCE, s.size));
}

/* ---- windows --------------------------------------------------------------------------------- */

gr__correlation windows_of(const gr__conv *c, int64_t channels)
{
    gr__correlation s = correlation(c, GR__FORWARD, 0);
    s.in_channels = channels;
    s.K = channels * c->KH * c->KW;
    return s;
}

static int64_t window_at(const gr__window_places *p, int64_t k)
{
    int64_t down = k / p->KW % p->KH * p->D;
    return k / (p->KH * p->KW) * p->channel + down / p->S * p->row + down % p->S * p->rest +
           k % p->KW * p->col;
}

void window_dots(const gr__window_dots *m, const gr__window_places *p)
{
    int64_t       across = ceil_div(m->terms, DOT_COLS), down = ceil_div(m->filters, DOT_ROWS);
    gr__dot_block d = { .offset = m->offset,
        .along = m->along,
        .T = m->T,
        .tail = m->tail,
        .onto = m->onto,
        .y_row = m->y_row };
    for (int64_t j = 0; j < across; j++) {
        int64_t k = even_part(m->terms, across, j), cols = even_part(m->terms, across, j + 1) - k;
        for (int64_t b = 0; b < cols; b++) d.b[b] = m->x + window_at(p, k + b);
        for (int64_t i = 0; i < down; i++) {
            int64_t f = even_part(m->filters, down, i),
                    rows = even_part(m->filters, down, i + 1) - f;
            for (int64_t a = 0; a < rows; a++) d.a[a] = m->g + (f + a) * m->g_row;
            d.y = m->y + f * m->y_row + k;
            dot_block(&d, (int)rows, (int)cols);
        }
    }
}
