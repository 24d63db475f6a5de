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

/* Kernel gradient. After the stages of the transforms come three: one looks at what a task by
   direct sums would make, a unit, some channels, and mends it, or finds that it has too many
   weights of too small products; one sums such units directly; one writes these. */
typedef struct gr__transforms {
    void (*plan)(const gr__conv *c, gr__plan *plan);
    int64_t pieces; /* of a row of the kernel */
} gr__transforms;

void fallback_kernel_grad_plan(const gr__conv *c, const gr__transforms *t, gr__plan *plan);

/* scale[row of the kernel][piece], for mend_weights(): the last stage of the transforms writes
   it. */
gr_real *fallback_scale(
    const gr__conv *c, const gr__transforms *t, const gr__plan *plan, void *shared);

/* Is this stage one of the last three, which fallback_kernel_grad_run() runs? */
GR__INLINE bool is_fallback_stage(const gr__plan *plan, int stage)
{
    return stage >= plan->stages - 3;
}

void fallback_kernel_grad_run(const gr__conv *c, const gr__transforms *t, const gr__plan *plan,
    const gr__operands *o, int stage, int64_t task, void *shared, void *scratch);

#endif
