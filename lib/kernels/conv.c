/* conv.c: convolution in its three directions, for now handed to the plain loops. */
#include "table.h"

extern const gr__kernels gr__kernels_reference;

#define HANDED_ON(name)                                                                                                    \
    void GR__NAME(name##_plan)(const gr__conv *c, gr__plan *plan) { gr__kernels_reference.name##_plan(c, plan); }          \
    void GR__NAME(name##_run)(const gr__conv *c, const gr__plan *plan, const gr__operands *o, int phase, int64_t task,     \
                              void *shared, void *scratch)                                                                 \
    {                                                                                                                      \
        gr__kernels_reference.name##_run(c, plan, o, phase, task, shared, scratch);                                        \
    }

HANDED_ON(conv)
HANDED_ON(conv_input_grad)
HANDED_ON(conv_kernel_grad)
