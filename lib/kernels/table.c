/* table.c: the table of one copy of the kernels. */
#include "table.h"

extern const gr__kernels GR__NAME(kernels);

const gr__kernels GR__NAME(kernels) = {
    .isa = GR__ISA_STRING,
    .conv_algorithms = GR__NAME(conv_algorithms),
#define KERNEL(result, name, parameters) .name = GR__NAME(name),
#define SHARED KERNEL
#include "kernels.def"
};
