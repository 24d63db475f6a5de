/* depthwise_kernel_grad.c: the kernel gradient of few channels a group: rows of the output's
   gradient by the rows of the input under them, for as many taps of the kernel as have room for
   their sums in registers. The images are summed in parts (kernel_grad_parts.h), by tasks of
   several groups. Where depthwise_roll.h can do it, it reads the input where it stands. */
#include "conv.h"
#include "depthwise.h"
#include "kernel_grad_parts.h"

enum { MOST_PRODUCTS = 4 }; /* planes of the kernel in a group that are few */
enum {
    DEPTHWISE_GRAD_TASKS = 8,
    MOST_GROUPS = 16,
    MOST_TASKS = 16
}; /* worth splitting groups for; groups of a task; worth splitting the images for */

/* Rows of g, and of x under it, for `down` x `across` taps of the kernel, whose sums stay in
   registers. */
typedef struct depthwise_grad_product {
    const gr_real *x, *g;
    int64_t        row, tap_row, g_row; /* from one row of outputs to the next, in x and g */
    const int64_t *col;
    int64_t        rows, vectors;
    gr_real       *sum; /* a vector for each tap, the rows of the kernel sum_row apart */
    int64_t        sum_row;
    int64_t        next; /* from here to the g that comes after this; 0: it has been asked for */
} depthwise_grad_product;

enum { ROWS_AT_ONCE = 4 };

GR__INLINE void product_rows(const depthwise_grad_product *s, const gr_real *x, const gr_real *g,
    vec acc[TAPS_AT_ONCE][TAPS_AT_ONCE], const int rows, const int down, const int across)
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

GR__INLINE void product_taps(const depthwise_grad_product *s, const int down, const int across)
{
    vec acc[TAPS_AT_ONCE][TAPS_AT_ONCE];
    GR__UNROLL
    for (int p = 0; p < down; p++) {
        GR__UNROLL
        for (int b = 0; b < across; b++) acc[p][b] = vec_load(s->sum + p * s->sum_row + b * LANES);
    }
    int64_t i = 0;
    for (; i + ROWS_AT_ONCE <= s->rows; i += ROWS_AT_ONCE) {
        for (int64_t l = 0; s->next && l < ROWS_AT_ONCE * s->g_row; l += CACHE_LINE)
            __builtin_prefetch(s->g + i * s->g_row + l + s->next);
        for (int64_t v = 0; v < s->vectors * LANES; v += LANES)
            product_rows(
                s, s->x + i * s->row + v, s->g + i * s->g_row + v, acc, ROWS_AT_ONCE, down, across);
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
    static void product_##p##_##q(const depthwise_grad_product *s) { product_taps(s, p, q); }
/* clang-format off */
PRODUCT_TAPS(1, 1) PRODUCT_TAPS(1, 2) PRODUCT_TAPS(1, 3)
PRODUCT_TAPS(2, 1) PRODUCT_TAPS(2, 2) PRODUCT_TAPS(2, 3)
PRODUCT_TAPS(3, 1) PRODUCT_TAPS(3, 2) PRODUCT_TAPS(3, 3)
    /* clang-format on */

    /* All taps of one plane of the kernel. */
    static void product_plane(const gr__conv *c, const depthwise_grad_product *s)
{
    static void (*const of[TAPS_AT_ONCE][TAPS_AT_ONCE])(
        const depthwise_grad_product *) = { { product_1_1, product_1_2, product_1_3 },
        { product_2_1, product_2_2, product_2_3 }, { product_3_1, product_3_2, product_3_3 } };
    int64_t most = s->tap_row == s->row ? TAPS_AT_ONCE : 1;
    for (int64_t a = 0, down; a < c->KH; a += down) {
        down = at_most(most, c->KH - a);
        for (int64_t b = 0, across; b < c->KW; b += across) {
            across = at_most(TAPS_AT_ONCE, c->KW - b);
            depthwise_grad_product part = *s;
            part.x += a * s->tap_row;
            part.col += b;
            part.sum += a * s->sum_row + b * LANES;
            if (a || b) part.next = 0;
            of[down - 1][across - 1](&part);
        }
    }
}

/* The forward's input under a band, and the outputs' gradient in the same columns. */
typedef struct depthwise_grad_pair {
    gr__correlation x, g;
    gr__band        bx, bg;
    bool            in_place; /* g is read where it stands */
    bool            rolls;
} depthwise_grad_pair;

static depthwise_grad_pair pair_of(const gr__conv *c, int64_t images, int64_t begin, int64_t end)
{
    depthwise_grad_pair p = { .x = correlation(c, GR__FORWARD, 0) };
    p.bx = depthwise_band(&p.x, images, begin, end);
    p.g = p.x;
    p.g.h = (gr__axis){ .in = c->OH, .step = 1, .outs = c->OH, .taps = 1, .tap_step = 1 };
    p.g.w = (gr__axis){ .in = c->OW, .step = 1, .outs = c->OW, .taps = 1, .tap_step = 1 };
    p.g.in_channels = p.x.out_channels;
    p.g.x_plane = c->OH * c->OW;
    p.bg = depthwise_band(&p.g, images, begin, end);
    p.bg.pitch = p.bx.pitch, p.bg.vectors = p.bx.vectors;
    p.bg.width = p.bg.row = (p.bx.vectors + 1) * LANES;
    p.bg.plane = p.bg.row * (end - begin);
    p.rolls = depthwise_roll_suits(&p.x);
    p.in_place = p.rolls || (images == 1 && c->OW % LANES == 0);
    return p;
}

static size_t scratch_of_planes(const gr__conv *c, const gr__parts *s)
{
    gr__depthwise_cut   k = depthwise_cut(c, GR__FORWARD);
    depthwise_grad_pair p = pair_of(c, k.images, 0, at_most(k.rows, c->OH));
    int64_t             sums = s->groups * p.x.out_channels * p.x.in_channels * c->KH * c->KW;
    return padded_bytes(c->KW * (int64_t)sizeof(int64_t)) + bytes_of_reals(sums * LANES) +
           bytes_of_reals(k.zeros) + bytes_of_reals(p.x.in_channels * p.bx.plane) +
           bytes_of_reals(p.in_place ? 0 : p.x.out_channels * p.bg.plane);
}

typedef struct grad_workspace {
    int64_t *col;
    gr_real *sums, *zeros, *input, *grads; /* sums: a vector for each tap */
} grad_workspace;

/* One band of some images, onto the sums. */
static void depthwise_grad_add_band(const gr__conv *c, const depthwise_grad_pair *p,
    const gr_real *x, const gr_real *x_end, const gr_real *g, const gr_real *g_end,
    grad_workspace *w)
{
    int64_t                taps = c->KH * c->KW;
    depthwise_grad_product s = { .row = p->x.h.step * p->bx.row,
        .tap_row = c->DH * p->bx.row,
        .col = w->col,
        .sum_row = c->KW * LANES };
    s.rows = p->bx.end - p->bx.begin, s.vectors = p->bx.vectors;
    s.g_row = p->in_place ? c->OW : p->bg.row;
    s.next = p->in_place ? p->x.out_channels * p->g.x_plane : 0;
    for (int64_t i = 0; i < c->KW; i++)
        w->col[i] = i * c->DW % c->SW * p->bx.width + i * c->DW / c->SW;
    depthwise_lay_out(
        &p->bx, &p->x, w->input, x, x_end, c->C * c->H * c->W, p->x.in_channels * p->x.x_plane);
    if (!p->in_place)
        depthwise_lay_out(&p->bg, &p->g, w->grads, g, g_end, c->F * c->OH * c->OW,
            p->x.out_channels * p->g.x_plane);
    for (int64_t f = 0; f < p->x.out_channels; f++)
        for (int64_t k = 0; k < p->x.in_channels; k++) {
            s.x = w->input + k * p->bx.plane;
            s.g = p->in_place ? g + f * p->g.x_plane + p->bx.begin * c->OW
                              : w->grads + f * p->bg.plane;
            s.sum = w->sums + (f * p->x.in_channels + k) * taps * LANES;
            product_plane(c, &s);
        }
}

/* The same by depthwise_roll.h. */
static void add_rolls(const depthwise_grad_pair *p, const gr_real *x, const gr_real *x_begin,
    const gr_real *x_end, const gr_real *g, const grad_workspace *w)
{
    gr__view v = depthwise_view(&p->bx, &p->x, x, x_begin, x_end, w->zeros, w->input);
    gr__roll r = roll_of(&p->x, &v, p->bx.end - p->bx.begin);
    for (int64_t f = 0; f < p->x.out_channels; f++)
        depthwise_roll_kernel_grad(&r, g + f * p->g.x_plane + p->bx.begin * r.outs,
            w->sums + f * ROLL_TAPS * ROLL_TAPS * LANES);
}

/* One band of some images, of all groups of the task: their planes follow each other in memory. */
static void add_groups(const gr__conv *c, const gr__operands *o, const depthwise_grad_pair *p,
    int64_t n, int64_t group, int64_t groups, grad_workspace *w)
{
    const gr__correlation *s = &p->x;
    grad_workspace         at = *w;
    for (int64_t g = group; g < group + groups;
         g++, at.sums += s->out_channels * s->in_channels * c->KH * c->KW * LANES) {
        const gr_real *x = o->a + (n * c->C + g * s->in_channels) * s->x_plane,
                      *grad = o->b + (n * c->F + g * s->out_channels) * s->y_plane;
        const gr_real *x_end = o->a + c->N * c->C * s->x_plane;
        if (p->rolls)
            add_rolls(p, x, o->a, x_end, grad, &at);
        else
            depthwise_grad_add_band(c, p, x, x_end, grad, o->b + c->N * c->F * s->y_plane, &at);
    }
}

static void depthwise_kernel_grad_sum(const gr__conv *c, const gr__parts *s, const gr__operands *o,
    int64_t task, gr_real *parts, void *scratch)
{
    gr__part at = part_at(c, s, task, parts);
    int64_t  begin = even_part(c->N, s->parts, at.part),
            end = even_part(c->N, s->parts, at.part + 1);
    gr__depthwise_cut   k = depthwise_cut(c, GR__FORWARD);
    depthwise_grad_pair p = pair_of(c, k.images, 0, at_most(k.rows, c->OH));
    int64_t             all = at.groups * p.x.out_channels * p.x.in_channels * c->KH * c->KW,
            chunks = ceil_div(end - begin, k.images);
    grad_workspace w = { .col = scratch };
    w.sums = (gr_real *)(void *)((char *)scratch + padded_bytes(c->KW * (int64_t)sizeof *w.col));
    w.zeros = (gr_real *)(void *)((char *)w.sums + bytes_of_reals(all * LANES));
    w.input = (gr_real *)(void *)((char *)w.zeros + bytes_of_reals(k.zeros));
    w.grads = (gr_real *)(void *)((char *)w.input + bytes_of_reals(p.x.in_channels * p.bx.plane));
    memset(w.sums, 0, bytes_of_reals(all * LANES) + bytes_of_reals(k.zeros));
    for (int64_t i = 0; i < chunks * k.bands; i++) {
        int64_t n = begin + even_part(end - begin, chunks, i / k.bands),
                images = begin + even_part(end - begin, chunks, i / k.bands + 1) - n;
        int64_t row = i % k.bands * k.rows, last = at_most(row + k.rows, c->OH);
        if (row >= last) continue;
        if (p.bx.images != images || p.bx.begin != row || p.bx.end != last)
            p = pair_of(c, images, row, last);
        add_groups(c, o, &p, n, at.group, at.groups, &w);
    }
    for (int64_t i = 0; i < all; i++) {
        gr_real one = 0;
        for (int l = 0; l < LANES; l++) one += w.sums[i * LANES + l];
        at.y[i] = one;
    }
}

/* ---- the algorithm --------------------------------------------------------------------------- */

static gr__parts parts_of_planes(const gr__conv *c)
{
    int64_t groups = at_most(MOST_GROUPS, at_least(1, c->G / DEPTHWISE_GRAD_TASKS));
    return parts_of(
        c, c->C / c->G, groups, at_most(c->N, ceil_div(MOST_TASKS, ceil_div(c->G, groups))));
}

static gr__suits depthwise_kernel_grad_suits(const gr__conv *c, gr__direction d)
{
    if (d != GR__KERNEL_GRAD || is_empty_sum(c)) return GR__CANNOT;
    gr__correlation s = correlation(c, GR__FORWARD, 0);
    bool            fills = c->OW >= 2 * LANES || c->N * 4 < LANES * 3 || depthwise_roll_suits(&s);
    return pays_if(c->C / c->G * (c->F / c->G) <= MOST_PRODUCTS && fills);
}

static const gr__kernel_sums depthwise_kernel_grad_sums = { parts_of_planes, scratch_of_planes,
    depthwise_kernel_grad_sum };

const gr__conv_algorithm GR__NAME(depthwise_kernel_grad) = {
    .name = "depthwise",
    .suits = depthwise_kernel_grad_suits,
    .plan = GR__NAME(parts_plan),
    .run = GR__NAME(parts_run),
    .exact = true,
    .sums = &depthwise_kernel_grad_sums,
};
