/* table.c: the tables of one copy of the kernels: convolutions by Winograd where that pays, and by direct sums alone. */
#include "table.h"

extern const gr__kernels GR__NAME(kernels), GR__NAME(kernels_direct);

#define ENTRIES                                                                                                                       \
    .isa = GR__ISA_STRING, .conv_run = GR__NAME(conv_run), .conv_input_grad_run = GR__NAME(conv_input_grad_run),                      \
    .conv_kernel_grad_run = GR__NAME(conv_kernel_grad_run), .matmul_plan = GR__NAME(matmul_plan), .matmul_run = GR__NAME(matmul_run), \
    .max_pool = GR__NAME(max_pool), .max_pool_scatter = GR__NAME(max_pool_scatter), .max_pool_gather = GR__NAME(max_pool_gather),     \
    .window_sums = GR__NAME(window_sums), .window_spread = GR__NAME(window_spread), .norm = GR__NAME(norm),                           \
    .norm_sums = GR__NAME(norm_sums), .norm_grad = GR__NAME(norm_grad), GR__SHARED_ENTRIES

const gr__kernels GR__NAME(kernels) = {
    .conv_plan = GR__NAME(conv_plan),
    .conv_input_grad_plan = GR__NAME(conv_input_grad_plan),
    .conv_kernel_grad_plan = GR__NAME(conv_kernel_grad_plan),
    ENTRIES,
};

const gr__kernels GR__NAME(kernels_direct) = {
    .conv_plan = GR__NAME(conv_direct_plan),
    .conv_input_grad_plan = GR__NAME(conv_input_grad_direct_plan),
    .conv_kernel_grad_plan = GR__NAME(conv_kernel_grad_direct_plan),
    ENTRIES,
};
