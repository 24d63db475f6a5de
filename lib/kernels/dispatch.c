/* dispatch.c: picks the table of kernels that the processor can run. The tables are constants; nothing is remembered. */
#include "kernels.h"

#include <string.h>

extern const gr__kernels gr__kernels_reference, gr__kernels_baseline, gr__kernels_direct_baseline;
#ifdef GR__HAVE_AVX2
extern const gr__kernels gr__kernels_avx2, gr__kernels_direct_avx2;
#endif
#ifdef GR__HAVE_AVX512
extern const gr__kernels gr__kernels_avx512, gr__kernels_direct_avx512;
#endif

/* The tables of an instruction set: [1] computes convolutions by direct sums alone. NULL: the processor, or the build, does not have it. */
typedef const gr__kernels *const *tables;

static const gr__kernels *const baseline[] = { &gr__kernels_baseline, &gr__kernels_direct_baseline };

static tables avx2(void)
{
#ifdef GR__HAVE_AVX2
    static const gr__kernels *const two[] = { &gr__kernels_avx2, &gr__kernels_direct_avx2 };
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return two;
#endif
    return NULL;
}

static tables avx512(void)
{
#ifdef GR__HAVE_AVX512
    static const gr__kernels *const two[] = { &gr__kernels_avx512, &gr__kernels_direct_avx512 };
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
        return two;
#endif
    return NULL;
}

static tables best(void)
{
    tables k = avx512();
    if (!k) k = avx2();
    return k ? k : baseline;
}

static tables by_isa(const char *isa, const char **why)
{
    tables k = NULL;
    if (!strcmp(isa, "baseline")) return baseline;
    if (!strcmp(isa, "avx2"))
        k = avx2();
    else if (!strcmp(isa, "avx512"))
        k = avx512();
    else {
        *why = "GRADUS_ISA: the instruction sets are baseline, avx2 and avx512";
        return NULL;
    }
    if (!k) *why = "GRADUS_ISA: this processor, or this build, does not have the instruction set";
    return k;
}

const gr__kernels *gr__kernels_pick(const char *kernels, const char *isa, const char *conv, const char **why)
{
    const char *unread;
    if (!why) why = &unread;
    tables k = isa && *isa ? by_isa(isa, why) : best();
    if (!k) return NULL;
    if (kernels && *kernels && strcmp(kernels, "reference") != 0) {
        *why = "GRADUS_KERNELS: the only kernels to ask for by name are reference";
        return NULL;
    }
    if (conv && *conv && strcmp(conv, "direct") != 0) {
        *why = "GRADUS_CONV: the only convolutions to ask for by name are direct";
        return NULL;
    }
    return kernels && *kernels ? &gr__kernels_reference : k[conv && *conv];
}
