/* dispatch.c: picks the table of kernels that the processor can run. The tables are constants;
   nothing is remembered. */
#include "kernels.h"

#include <string.h>

extern const gr__kernels gr__kernels_reference, gr__kernels_baseline;
#ifdef GR__HAVE_AVX2
extern const gr__kernels gr__kernels_avx2;
#endif
#ifdef GR__HAVE_AVX512
extern const gr__kernels gr__kernels_avx512;
#endif

/* NULL: the processor, or the build, does not have the instruction set. */
static const gr__kernels *avx2(void)
{
#ifdef GR__HAVE_AVX2
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &gr__kernels_avx2;
#endif
    return NULL;
}

static const gr__kernels *avx512(void)
{
#ifdef GR__HAVE_AVX512
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("fma"))
        return &gr__kernels_avx512;
#endif
    return NULL;
}

static const gr__kernels *best(void)
{
    const gr__kernels *k = avx512();
    if (!k) k = avx2();
    return k ? k : &gr__kernels_baseline;
}

static const gr__kernels *by_isa(const char *isa, const char **why)
{
    const gr__kernels *k = NULL;
    if (!strcmp(isa, "baseline")) return &gr__kernels_baseline;
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

const gr__kernels *gr__kernels_pick(const char *kernels, const char *isa, const char **why)
{
    const char *unread;
    if (!why) why = &unread;
    const gr__kernels *k = isa && *isa ? by_isa(isa, why) : best();
    if (!k) return NULL;
    if (kernels && *kernels && strcmp(kernels, "reference") != 0) {
        *why = "GRADUS_KERNELS: the only kernels to ask for by name are reference";
        return NULL;
    }
    return kernels && *kernels ? &gr__kernels_reference : k;
}
