/* random.c: Philox4x32-10, a bijection of counters keyed by what the numbers are for.

   Invariant: number i of a stream is a function of (key, i) alone, with integer arithmetic up to
   the last step. */
#include "core/core.h"

#include <math.h>

/* FNV-1a of a text, or of one more piece of it. */
static uint64_t hash_on(uint64_t hash, const char *text)
{
    for (const char *c = text; *c; c++) hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
    return hash;
}

gr_rng gr__rng_of_parts(uint64_t seed, const char *name, const char *rest)
{
    uint32_t mixed[4];
    gr__philox(seed, hash_on(hash_on(0xcbf29ce484222325u, name), rest), mixed);
    return (gr_rng){ .key = (uint64_t)mixed[0] << 32 | mixed[1] };
}

gr_rng gr_rng_of(uint64_t seed, const char *name)
{
    return gr__rng_of_parts(seed, name ? name : "", "");
}

static uint64_t next(gr_rng *rng)
{
    uint32_t w[4];
    gr__philox(rng->key, rng->counter++, w);
    return (uint64_t)w[0] << 32 | w[1];
}

double gr_rng_uniform(gr_rng *rng) { return (double)(next(rng) >> 11) * 0x1p-53; }

double gr_rng_normal(gr_rng *rng)
{
    uint32_t w[4];
    gr__philox(rng->key, rng->counter++, w);
    double u = ((double)w[0] + 0.5) * 0x1p-32, v = (double)w[1] * 0x1p-32;
    return sqrt(-2 * log(u)) * cos(6.283185307179586477 * v);
}

int64_t gr_rng_below(gr_rng *rng, int64_t n)
{
    if (n < 2) return 0;
    /* Numbers under 2^64 mod n would be met once too often. */
    uint64_t m = (uint64_t)n, few = -m % m, x;
    do x = next(rng);
    while (x < few);
    return (int64_t)(x % m);
}

static gr_tensor *unfilled(const gr_shape *shape, const gr_rng *rng, const char *what)
{
    if (rng) return gr__tensor(GR_REAL, shape, what);
    gr__fail(GR_ERR_ARGUMENT, "%s: the stream is NULL", what);
    return NULL;
}

gr_tensor *gr_uniform(gr_shape shape, gr_rng *rng, double low, double high)
{
    gr_tensor *t = unfilled(&shape, rng, "uniform");
    for (int64_t i = 0; t && i < t->count; i++) {
        gr_real x = (gr_real)(low + (high - low) * gr_rng_uniform(rng));
        /* rounding may reach high, which is not in [low, high) */
        gr__reals(t)[i] = (double)x < high ? x : (gr_real)low;
    }
    return gr__own_leaf(t);
}

gr_tensor *gr_normal(gr_shape shape, gr_rng *rng, double mean, double std)
{
    gr_tensor *t = unfilled(&shape, rng, "normal");
    for (int64_t i = 0; t && i < t->count; i++)
        gr__reals(t)[i] = (gr_real)(mean + std * gr_rng_normal(rng));
    return gr__own_leaf(t);
}
