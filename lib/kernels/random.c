/* random.c: random masks. Invariant: element i depends on number i of the stream alone. */
#include "table.h"

#include <math.h>

void GR__NAME(drop)(gr_real *y, uint64_t key, uint64_t counter, double p, int64_t n)
{
    /* A uniform number is the first 53 of 64 random bits over 2^53: it is compared with p as an
       integer. */
    uint64_t under = (uint64_t)ceil(p * 0x1p53) << 11;
    gr_real  kept = (gr_real)(1 / (1 - p));
    GR__INDEPENDENT
    for (int64_t i = 0; i < n; i++) {
        uint32_t word[4];
        gr__philox(key, counter + (uint64_t)i, word);
        y[i] = ((uint64_t)word[0] << 32 | word[1]) < under ? 0 : kept;
    }
}
