/* by_taps.h: the three convolutions tap by tap, for geometries that are mostly padding or gaps. */
#ifndef GR_KERNELS_CONV_TAPS_H
#define GR_KERNELS_CONV_TAPS_H

#include "geometry.h"

/* Whether the other algorithms would multiply with zeros, lay out zeros, or look for outputs, far
   more than there is to do; of (35) as of the forward direction. */
bool GR__NAME(taps_pay)(const gr__conv *c, gr__direction d);

void GR__NAME(taps_plan)(const gr__conv *c, gr__direction d, gr__plan *plan);
void GR__NAME(taps_run)(
    const gr__conv *c, gr__direction d, const gr__operands *o, int64_t task, void *scratch);

void GR__NAME(taps_kernel_grad_plan)(const gr__conv *c, gr__plan *plan);
void GR__NAME(taps_kernel_grad_run)(
    const gr__conv *c, const gr__operands *o, int64_t task, void *scratch);

#endif
