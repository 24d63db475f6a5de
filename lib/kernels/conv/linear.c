/* linear.c: a kernel as large as the picture, without padding: each image has one window, and the
   convolution is a linear layer, of which all three directions are one product of matrices with the
   images as its rows. Of pictures of one pixel with 8 to 64 images, the lanes of the other
   algorithms are mostly idle, or their copies more work than the sums. */
#include "conv.h"
#include "kernels/matmul.h"
#include "kernels/table.h"

/* Elements of an image, and of a filter. */
static int64_t linear_terms(const gr__conv *c) { return c->C * c->H * c->W; }

static gr__matmul linear_product(const gr__conv *c, gr__direction d)
{
    const int64_t terms = linear_terms(c);
    if (d == GR__FORWARD)
        return (gr__matmul){ .M = c->N, .N = c->F, .K = terms, .batch = 1, .transpose_b = true };
    if (d == GR__INPUT_GRAD) return (gr__matmul){ .M = c->N, .N = terms, .K = c->F, .batch = 1 };
    return (gr__matmul){ .M = c->F, .N = terms, .K = c->N, .batch = 1, .transpose_a = true };
}

static gr__suits linear_suits(const gr__conv *c, gr__direction d)
{
    const bool whole =
        c->KH == c->H && c->KW == c->W && c->DH == 1 && c->DW == 1 && !c->PH && !c->PW && c->G == 1;
    (void)d;
    return whole && c->N && c->F && linear_terms(c) ? GR__PAYS : GR__CANNOT;
}

/* A product has a bias for each column, the input gradient one for each channel. */
static size_t linear_bias_bytes(const gr__conv *c, gr__direction d)
{
    const bool spread = d == GR__INPUT_GRAD && c->H * c->W > 1;
    return spread ? padded_bytes(linear_terms(c) * (int64_t)sizeof(gr_real)) : 0;
}

static void linear_plan(const gr__conv *c, gr__direction d, gr__plan *plan)
{
    gr__matmul m = linear_product(c, d);
    product_plan(&m, plan);
    plan->scratch = padded_bytes((int64_t)plan->scratch) + linear_bias_bytes(c, d);
}

static void linear_run(const gr__conv *c, const gr__plan *plan, const gr__operands *o, int stage,
    int64_t task, void *shared, void *scratch)
{
    const gr__direction d = plan->direction;
    gr__matmul          m = linear_product(c, d);
    gr__operands        p = *o;
    const size_t        bytes = linear_bias_bytes(c, d);
    if (d == GR__KERNEL_GRAD) p.a = o->b, p.b = o->a;
    if (o->bias && bytes) {
        gr_real *bias = (gr_real *)(void *)((char *)scratch + plan->scratch - bytes);
        for (int64_t i = 0; i < linear_terms(c); i++) bias[i] = o->bias[i / (c->H * c->W)];
        p.bias = bias;
    }
    matmul_run(&m, plan, &p, stage, task, shared, scratch);
}

const gr__conv_algorithm GR__NAME(linear) = {
    .name = "linear",
    .suits = linear_suits,
    .plan = linear_plan,
    .run = linear_run,
    .exact = true,
};
