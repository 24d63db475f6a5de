/* matmul.c: matrix products, for now handed to the plain loops. */
#include "table.h"

extern const gr__kernels gr__kernels_reference;

void GR__NAME(matmul_plan)(const gr__matmul *m, gr__plan *plan) { gr__kernels_reference.matmul_plan(m, plan); }

void GR__NAME(matmul_run)(const gr__matmul *m, const gr__plan *plan, const gr__operands *o, int phase, int64_t task, void *shared, void *scratch)
{
    gr__kernels_reference.matmul_run(m, plan, o, phase, task, shared, scratch);
}
