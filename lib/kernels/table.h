/* table.h: the functions of one copy of the kernels. */
#ifndef GR_KERNELS_TABLE_H
#define GR_KERNELS_TABLE_H

#include "isa.h"

#define KERNEL(result, name, parameters) result GR__NAME(name) parameters;
#define SHARED KERNEL
#include "kernels.def"
#undef KERNEL
#undef SHARED

extern const gr__conv_algorithm *const GR__NAME(conv_algorithms)[];

#endif
