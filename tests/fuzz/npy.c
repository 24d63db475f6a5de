/* npy.c: NumPy's files. What was read is written again, and must come back. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

bool fuzz_npy(const uint8_t *bytes, size_t n)
{
    const char *path = fuzz_file("file", bytes, n);
    gr_tensor  *t = gr_npy_load(path);
    if (!t) return fuzz_end(false);
    fuzz_check(gr_npy_save(path, t), "an array that was read can be written");
    gr_tensor *again = gr_npy_load(path);
    fuzz_check(again && gr_count(again) == gr_count(t) && gr_dtype_of(again) == gr_dtype_of(t),
        "an array that was written can be read");
    size_t size =
        (size_t)gr_count(t) * (gr_dtype_of(t) == GR_INT32 ? sizeof(int32_t) : sizeof(gr_real));
    const void *a = gr_dtype_of(t) == GR_INT32 ? (const void *)gr_ints(t) : gr_data(t);
    const void *b = gr_dtype_of(t) == GR_INT32 ? (const void *)gr_ints(again) : gr_data(again);
    fuzz_check(size == 0 || memcmp(a, b, size) == 0, "an array comes back as it was");
    gr_free(t);
    gr_free(again);
    return fuzz_end(true);
}
