/* depthwise.h: correlations that write few planes for each group, the depthwise one first of all. */
#ifndef GR_KERNELS_CONV_PLANES_H
#define GR_KERNELS_CONV_PLANES_H

#include "geometry.h"

/* Whether it is worth its while: the register block of products has no use for so few rows. */
bool GR__NAME(planes_pay)(const gr__conv *c, gr__direction d);

void GR__NAME(planes_plan)(const gr__conv *c, gr__direction d, gr__plan *plan);
void GR__NAME(planes_run)(const gr__conv *c, gr__direction d, const gr__plan *plan, const gr__operands *o, int64_t task, void *scratch);

/* The gradient by the kernel (35): images begin..end-1 of some groups, summed into y, which begins with the first of them. */
bool    GR__NAME(planes_kernel_grad_pays)(const gr__conv *c);
int64_t GR__NAME(planes_kernel_grad_groups)(const gr__conv *c); /* that a task takes */
size_t  GR__NAME(planes_kernel_grad_scratch)(const gr__conv *c);
void    GR__NAME(planes_kernel_grad)(
    const gr__conv *c, const gr__operands *o, int64_t group, int64_t groups, int64_t begin, int64_t end, gr_real *y, void *scratch);

#endif
