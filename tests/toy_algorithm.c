/* toy_algorithm.c: an algorithm of convolution in one file, which test_algorithm.c adds to the
   library's by one line of toy_algorithms.def: the output of one image of one number by a kernel of
   one tap. */
#include "kernels/conv/conv.h"

static gr__suits toy_suits(const gr__conv *c, gr__direction d)
{
    bool one = c->N * c->C * c->H * c->W == 1 && c->F * c->KH * c->KW == 1 && !c->PH && !c->PW;
    return d == GR__FORWARD && one ? GR__PAYS : GR__CANNOT;
}

static void toy_plan(const gr__conv *c, gr__direction d, gr__plan *plan)
{
    (void)c, (void)d;
    plan->stages = 1;
    plan->tasks[0] = 1;
}

int toy_runs;

static void toy_run(const gr__conv *c, const gr__plan *plan, const gr__operands *o, int stage,
    int64_t task, void *shared, void *scratch)
{
    (void)c, (void)plan, (void)stage, (void)task, (void)shared, (void)scratch;
    *o->y = *o->a * *o->b + (o->bias ? *o->bias : 0);
    GR__NAME(activate)(o->y, 1, o->act);
    toy_runs++;
}

const gr__conv_algorithm GR__NAME(toy) = {
    .name = "toy",
    .suits = toy_suits,
    .plan = toy_plan,
    .run = toy_run,
    .exact = true,
};
