/* fuzz.c: one target as libFuzzer wants it. FUZZ is its name. */
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    FUZZ(bytes, n);
    return 0;
}
