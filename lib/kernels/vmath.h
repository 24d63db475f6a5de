/* vmath.h: the mathematics of one vector. In float, exp and tanh are our own, right to 2 units in
   the last place; in double, where speed does not matter, libm serves every lane. Invariant: a
   lane's value depends on that lane alone. */
#ifndef GR_KERNELS_VMATH_H
#define GR_KERNELS_VMATH_H

#include "isa.h"

#include <math.h>

#ifdef GRADUS_DOUBLE
#define real_(name) name /* libm's function for this type */
#else
#define real_(name) name##f
#endif

/* a NaN stays one */
GR__INLINE vec vec_most(vec x, gr_real most) { return vec_choose(x > most, vec_all(most), x); }

#ifdef GRADUS_DOUBLE

GR__INLINE vec vec_exp(vec x)
{
    for (int l = 0; l < LANES; l++) x[l] = exp(x[l]);
    return x;
}

GR__INLINE vec vec_tanh(vec x)
{
    for (int l = 0; l < LANES; l++) x[l] = tanh(x[l]);
    return x;
}

#else

typedef uint32_t bits __attribute__((vector_size(GR__VECTOR_BYTES)));

/* 2^exponent, exponent in -126..127. */
GR__INLINE vec vec_power_of_2(bits exponent) { return (vec)((exponent + 127) << 23); }

/* exp(x) = 2^n exp(r), where n is the whole number nearest to x / log 2 and so |r| <= log(2) / 2.
   log 2 is taken off in two parts, the first of few enough digits that n times it is exact; exp(r)
   = 1 + r + r^2 q(r), q interpolated at Chebyshev's points. 2^n is multiplied in two halves, for
   the ends of the range, where it is no float by itself. */
GR__INLINE vec vec_exp(vec x)
{
    /* 1.5 2^23: what is added to it is rounded to a whole number, in the low bits */
    const vec whole = vec_all(12582912.0f);
    x = vec_choose(x > 89.0f, vec_all(89.0f), x);
    x = vec_choose(x < -104.0f, vec_all(-104.0f), x);
    vec t = x * 1.44269504f + whole, n = t - whole;
    vec r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    vec q = 0.5f +
            r * (0.16666573424f + r * (0.04166655016f + r * (0.00836376702f + r * 0.00139269181f)));
    vec  e = 1.0f + (r + r * r * q);
    bits power = (bits)t - (bits)whole, half = (bits)((ivec)power >> 1);
    return e * vec_power_of_2(half) * vec_power_of_2(power - half);
}

/* Near 0, x + x^3 p(x^2), since 1 - 2/(exp(2|x|)+1) would lose digits there. Each lane computes
   both, and neither may overflow: from 9 on, tanh is 1 to the last bit. */
GR__INLINE vec vec_tanh(vec x)
{
    ivec sign = (ivec)x & (ivec)vec_all(-0.0f);
    vec  a = vec_most((vec)((ivec)x ^ sign), 10), z = a * a;
    vec  p =
        -0.33333332059f +
        z * (0.13333120410f + z * (-0.05391074908f + z * (0.02131752456f + z * -0.00662559730f)));
    vec far = 1.0f - 2.0f / (vec_exp(a + a) + 1.0f);
    return (vec)((ivec)vec_choose(a < 0.54f, a + a * z * p, far) | sign);
}

#endif

/* 0 where e^-x would be infinite, without prefetching for that: nothing here overflows. */
GR__INLINE vec vec_sigmoid(vec x)
{
    const gr_real edge = sizeof(gr_real) == 4 ? (gr_real)88.7228317 : (gr_real)709.782712893384;
    vec           y = (gr_real)1 / ((gr_real)1 + vec_exp(vec_most(-x, edge)));
    return vec_choose(-x > edge, (vec){ 0 }, y);
}

#endif
