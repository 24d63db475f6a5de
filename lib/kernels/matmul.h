/* matmul.h: products of matrices as parts of other kernels: a convolution by a kernel of one tap is one. */
#ifndef GR_KERNELS_MATMUL_H
#define GR_KERNELS_MATMUL_H

#include "isa.h"

enum { GR__FEW_SUMS = 256 }; /* a product of so few numbers is another algorithm's, and has no bias by rows */

/* As matmul_run, but with one bias a row; not for a product of GR__FEW_SUMS numbers or of one column. */
void GR__NAME(matmul_by_rows_run)(
    const gr__matmul *m, const gr__plan *plan, const gr__operands *o, int phase, int64_t task, void *shared, void *scratch);

/* Is a convolution one product for each image, kernel times image? */
GR__INLINE bool is_product(const gr__conv *c)
{
    bool one_tap = c->KH == 1 && c->KW == 1 && c->SH == 1 && c->SW == 1 && !c->PH && !c->PW && c->G == 1;
    return one_tap && c->H * c->W >= LANES && c->H * c->W * at_most(c->C, c->F) > GR__FEW_SUMS;
}

/* Columns col..col+cols of the sum of all m->batch products, by the caller alone. */
size_t GR__NAME(matmul_sum_scratch)(const gr__matmul *m);
void   GR__NAME(matmul_sum)(const gr__matmul *m, const gr_real *a, const gr_real *b, int64_t col, int64_t cols, gr_real *y, void *scratch);

#endif
