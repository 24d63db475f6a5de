/* table.c: the table of one copy of the kernels. */
#include "table.h"

extern const gr__kernels GR__NAME(kernels);

const gr__kernels GR__NAME(kernels) = {
    .isa = GR__ISA_STRING,
    .conv_plan = GR__NAME(conv_plan),
    .conv_run = GR__NAME(conv_run),
    .conv_algorithms = GR__NAME(conv_algorithms),
    .matmul_plan = GR__NAME(matmul_plan),
    .matmul_run = GR__NAME(matmul_run),
    .max_pool = GR__NAME(max_pool),
    .max_pool_scatter = GR__NAME(max_pool_scatter),
    .max_pool_gather = GR__NAME(max_pool_gather),
    .window_sums = GR__NAME(window_sums),
    .window_spread = GR__NAME(window_spread),
    .norm = GR__NAME(norm),
    .norm_sums = GR__NAME(norm_sums),
    .norm_grad = GR__NAME(norm_grad),
    GR__SHARED_ENTRIES,
};
