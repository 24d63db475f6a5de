/* select.c: the choice of an algorithm. The first of algorithms.def that pays is taken. Invariant:
   it depends on shapes alone. */
#include "conv.h"
#include "kernels/table.h"

/* A program of a test names a list of its own. */
#ifndef GR__ALGORITHMS
#define GR__ALGORITHMS "kernels/conv/algorithms.def"
#endif

#define ALGORITHM(name) extern const gr__conv_algorithm GR__NAME(name);
#include GR__ALGORITHMS
#undef ALGORITHM

#define ALGORITHM(name) &GR__NAME(name),
const gr__conv_algorithm *const GR__NAME(conv_algorithms)[] = {
#include GR__ALGORITHMS
    NULL,
};
#undef ALGORITHM

static const gr__conv_algorithm *algorithm_for(const gr__conv *c, gr__direction d, const char *only)
{
    const gr__conv_algorithm *const *all = GR__NAME(conv_algorithms), *const * a;
    const bool                       exact = only && !strcmp(only, "direct");
    for (a = all; only && !exact && *a; a++)
        if (!strcmp((*a)->name, only) && (*a)->suits(c, d) != GR__CANNOT) return *a;
    for (a = all; *a; a++)
        if (((*a)->exact || !exact) && (*a)->suits(c, d) == GR__PAYS) return *a;
    return NULL;
}

/* Does the result have no element? */
static bool makes_nothing(const gr__conv *c, gr__direction d)
{
    if (!c->G) return true;
    if (d == GR__FORWARD) return !c->N || !(c->F / c->G) || !c->OH || !c->OW;
    if (d == GR__INPUT_GRAD) return !c->N || !(c->C / c->G) || !c->H || !c->W;
    return !(c->F / c->G) || !(c->C / c->G) || !c->KH || !c->KW;
}

void conv_plan(const gr__conv *c, gr__direction d, const char *only, gr__plan *plan)
{
    *plan = (gr__plan){ .direction = d };
    if (makes_nothing(c, d) || !(plan->algorithm = algorithm_for(c, d, only))) return;
    plan->algorithm->plan(c, d, plan);
}

void conv_run(const gr__conv *c, const gr__plan *plan, const gr__operands *o, int stage,
    int64_t task, void *shared, void *scratch)
{
    plan->algorithm->run(c, plan, o, stage, task, shared, scratch);
}
