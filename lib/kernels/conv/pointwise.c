/* pointwise.c: a kernel of one tap, at stride 1, without padding: products of matrices, of the
   kernel, or its transpose, with each image; and of each gradient with its image, transposed, added
   up. */
#include "conv.h"
#include "kernel_grad_parts.h"
#include "kernels/matmul.h"
#include "kernels/table.h"

/* One product for each image. */
static bool pointwise_is_product(const gr__conv *c)
{
    bool one_tap =
        c->KH == 1 && c->KW == 1 && c->SH == 1 && c->SW == 1 && !c->PH && !c->PW && c->G == 1;
    return one_tap && c->H * c->W >= LANES && c->H * c->W * at_most(c->C, c->F) > GR__FEW_SUMS;
}

/* ---- forward, input gradient ----------------------------------------------------------------- */

static gr__matmul product_of(const gr__conv *c, gr__direction d)
{
    gr__matmul m = { .M = c->F, .N = c->H * c->W, .K = c->C, .batch = c->N };
    if (d == GR__INPUT_GRAD) m.M = c->C, m.K = c->F, m.transpose_a = true;
    m.b_step = m.K * m.N;
    return m;
}

static gr__suits pointwise_suits(const gr__conv *c, gr__direction d)
{
    return d == GR__KERNEL_GRAD || !pointwise_is_product(c) ? GR__CANNOT : GR__PAYS;
}

static void pointwise_plan(const gr__conv *c, gr__direction d, gr__plan *plan)
{
    gr__matmul m = product_of(c, d);
    product_plan(&m, plan);
}

static void pointwise_run(const gr__conv *c, const gr__plan *plan, const gr__operands *o, int stage,
    int64_t task, void *shared, void *scratch)
{
    gr__matmul   m = product_of(c, plan->direction);
    gr__operands p = { o->b, o->a, o->bias, o->y, o->act };
    matmul_by_rows_run(&m, plan, &p, stage, task, shared, scratch);
}

const gr__conv_algorithm GR__NAME(pointwise) = {
    .name = "pointwise",
    .suits = pointwise_suits,
    .plan = pointwise_plan,
    .run = pointwise_run,
    .exact = true,
};

/* ---- kernel gradient ------------------------------------------------------------------------- */

/* The sum over `images` of the gradient's planes times the input's. */
static gr__matmul sum_product_of(const gr__conv *c, int64_t images)
{
    gr__matmul m = { .M = c->F, .N = c->C, .K = c->H * c->W, .batch = images, .transpose_b = true };
    m.a_step = m.M * m.K;
    m.b_step = m.N * m.K;
    return m;
}

static gr__parts parts_of_product(const gr__conv *c) { return parts_of(c, GR__PANEL, 1, c->N); }

static size_t scratch_of_product(const gr__conv *c, const gr__parts *s)
{
    gr__matmul m = sum_product_of(c, 1);
    (void)s;
    return matmul_sum_scratch(&m);
}

static void pointwise_kernel_grad_sum(const gr__conv *c, const gr__parts *s, const gr__operands *o,
    int64_t task, gr_real *parts, void *scratch)
{
    gr__part   at = part_at(c, s, task, parts);
    int64_t    first = even_part(c->N, s->parts, at.part);
    gr__matmul m = sum_product_of(c, even_part(c->N, s->parts, at.part + 1) - first);
    matmul_sum(&m, o->b + first * m.a_step, o->a + first * m.b_step, at.channel, at.channels,
        parts + at.part * s->size, scratch);
}

static gr__suits pointwise_kernel_grad_suits(const gr__conv *c, gr__direction d)
{
    if (d != GR__KERNEL_GRAD || !pointwise_is_product(c) || is_empty_sum(c)) return GR__CANNOT;
    return pays_if(c->C >= 2 * LANES);
}

static const gr__kernel_sums pointwise_kernel_grad_sums = { parts_of_product, scratch_of_product,
    pointwise_kernel_grad_sum };

const gr__conv_algorithm GR__NAME(pointwise_kernel_grad) = {
    .name = "pointwise",
    .suits = pointwise_kernel_grad_suits,
    .plan = GR__NAME(parts_plan),
    .run = GR__NAME(parts_run),
    .exact = true,
    .sums = &pointwise_kernel_grad_sums,
};
