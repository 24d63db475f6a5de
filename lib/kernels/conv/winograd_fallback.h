/* winograd_fallback.h: direct sums beside Winograd's algorithm, for what it is too coarse for
   (few_products.h): stages and tasks more. */
#ifndef GR_KERNELS_WINOGRAD_FALLBACK_H
#define GR_KERNELS_WINOGRAD_FALLBACK_H

#include "kernel_grad_parts.h"

/* Output, input gradient. plan is that of the transforms, stage 0 of which makes the kernel's
   points, and stage 1 the result. Stage 0 then also counts the zeros in rows of the kernel, some
   rows a task, and a stage 2 looks at each image, and sums it directly if it must. */
void fallback_plan(const gr__conv *c, gr__direction d, gr__plan *plan);

/* Whether this task was one of those, or has nothing to do. If not, it is one of the transforms. */
bool fallback_run(const gr__conv *c, const gr__plan *plan, const gr__operands *o, int stage,
    int64_t task, void *shared, void *scratch);

/* Kernel gradient. Stage 0 looks at what a task by direct sums would make: a unit, some channels.
   The units that have weights of few products are summed directly beside the first stage of the
   transforms, and added last, over what those have made of them. */
typedef void gr__transform_plan(const gr__conv *c, gr__plan *plan);

void fallback_kernel_grad_plan(const gr__conv *c, gr__transform_plan *transform, gr__plan *plan);

/* Stage i of the transforms is stage i + 1 here. */
bool fallback_kernel_grad_run(const gr__conv *c, gr__transform_plan *transform,
    const gr__operands *o, int stage, int64_t task, void *shared, void *scratch);

#endif
