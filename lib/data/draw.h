/* draw.h (private to data): what the drawn sets share: chance, and arithmetic that is the same
   everywhere. Of floating point it uses only what IEEE 754 rounds in one way: no sine, no fused
   multiply-add, in what is included after it too. */
#ifndef GR_DATA_DRAW_H
#define GR_DATA_DRAW_H

#include <math.h>

#include "data/data.h"

#if defined              __clang__
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif

typedef struct spot {
    float x, y;
} spot;

static inline float between(gr_rng *rng, float low, float high)
{
    return low + (high - low) * (float)gr_rng_uniform(rng);
}

/* Near the middle more often than at the ends: the mean of two. */
static inline float about(gr_rng *rng, float middle, float reach)
{
    double a = gr_rng_uniform(rng), b = gr_rng_uniform(rng);
    return middle + reach * (float)(a - b);
}

/* Near enough to sin(2 pi t): a parabola, squeezed once. */
static inline float wave(float t)
{
    float r = t - floorf(t + 0.5f), s = r * (8 - 16 * fabsf(r));
    return s * (0.775f + 0.225f * fabsf(s));
}

static inline float smaller(float a, float b) { return a < b ? a : b; }

static inline float larger(float a, float b) { return a > b ? a : b; }

static inline unsigned char to_byte(float x)
{
    return (unsigned char)smaller(255, larger(0, x + 0.5f));
}

/* Eight random bytes; a hash of (key, i), so that pixels need no order (Steele, Lea, Flood, OOPSLA
   2014: SplitMix). */
static inline uint64_t noise_bytes(uint64_t key, uint64_t i)
{
    uint64_t z = key + (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Which of an image's random numbers come next: those of image i are numbers i * draws, i * draws +
   1, ... of one stream. */
static inline gr_rng rng_of_image(gr_rng of_set, int64_t i, int draws)
{
    return (gr_rng){ .key = of_set.key, .counter = (uint64_t)i * (uint64_t)draws };
}

/* The key of an image's noise, by the random numbers it has used. */
static inline uint64_t noise_key(const gr_rng *rng)
{
    return rng->key ^ rng->counter * 0xd6e8feb86659fd93u;
}

#endif
