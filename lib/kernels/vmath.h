/* vmath.h: the mathematics of one vector. In float, exp is our own, to 2 units in the last place; in double, where speed
   does not matter, libm serves every lane. */
#ifndef GR_KERNELS_VMATH_H
#define GR_KERNELS_VMATH_H

#include "isa.h"

#include <math.h>

#ifdef GRADUS_DOUBLE
#define real_sqrt(x) sqrt(x)
#define real_abs(x) fabs(x)
#define real_log(x) log(x)
#define real_exp(x) exp(x)
#define real_pow(x, y) pow(x, y)
#else
#define real_sqrt(x) sqrtf(x)
#define real_abs(x) fabsf(x)
#define real_log(x) logf(x)
#define real_exp(x) expf(x)
#define real_pow(x, y) powf(x, y)
#endif

GR__INLINE vec vec_exp(vec x)
{
    for (int l = 0; l < LANES; l++)
        x[l] = real_exp(x[l]);
    return x;
}

GR__INLINE vec vec_sigmoid(vec x) { return 1 / (1 + vec_exp(-x)); }

GR__INLINE vec vec_tanh(vec x)
{
    for (int l = 0; l < LANES; l++)
        x[l] = (gr_real)tanh((double)x[l]);
    return x;
}

#endif
