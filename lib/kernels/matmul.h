/* matmul.h: products of matrices as parts of other kernels: a convolution by a kernel of one tap is
   one. */
#ifndef GR_KERNELS_MATMUL_H
#define GR_KERNELS_MATMUL_H

#include "isa.h"
#include "table.h"

enum {
    GR__FEW_SUMS = 256
}; /* a product of so few numbers is another algorithm's, and has no bias by rows */

/* The plan of a convolution that is one product, of which direction and algorithm are set. */
GR__INLINE void product_plan(const gr__matmul *m, gr__plan *plan)
{
    const gr__plan of = *plan;
    matmul_plan(m, plan);
    plan->direction = of.direction;
    plan->algorithm = of.algorithm;
}

/* As matmul_run, but with one bias a row; not for a product of GR__FEW_SUMS numbers or of one
   column. */
void matmul_by_rows_run(const gr__matmul *m, const gr__plan *plan, const gr__operands *o, int stage,
    int64_t task, void *shared, void *scratch);

/* Columns col..col+cols of the sum of all m->batch products, by the caller alone. */
size_t matmul_sum_scratch(const gr__matmul *m);
void matmul_sum(const gr__matmul *m, const gr_real *a, const gr_real *b, int64_t col, int64_t cols,
    gr_real *y, void *scratch);

#endif
