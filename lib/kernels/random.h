/* random.h: Philox4x32-10 (Salmon et al., SC 2011, section 3.4; multipliers and Weyl constants are
   the paper's), for core and for kernels.

   Invariant: integer arithmetic alone, so that every copy gives the same bits. */
#ifndef GR_KERNELS_RANDOM_H
#define GR_KERNELS_RANDOM_H

#include <stdint.h>

/* One block of four words, a function of (key, counter). Without a loop over the words, so that
   several blocks can be computed side by side. */
static inline void gr__philox(uint64_t key, uint64_t counter, uint32_t out[4])
{
    uint32_t x0 = (uint32_t)counter, x1 = (uint32_t)(counter >> 32), x2 = 0, x3 = 0;
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * x0, b = (uint64_t)0xCD9E8D57u * x2;
        x0 = (uint32_t)(b >> 32) ^ x1 ^ k0;
        x2 = (uint32_t)(a >> 32) ^ x3 ^ k1;
        x1 = (uint32_t)b;
        x3 = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
}

#endif
