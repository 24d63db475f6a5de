/* idx.c: IDX files, plain and gz. */
#include "tests/fuzz/fuzz.h"

bool fuzz_idx(const uint8_t *bytes, size_t n)
{
    gr_idx *idx = gr_idx_read(fuzz_file("file", bytes, n));
    if (!idx) return fuzz_end(false);
    gr_shape s = gr_idx_shape(idx);
    size_t   size = 1;
    for (int i = 1; i < s.rank; i++) size *= (size_t)s.dim[i];
    uint64_t hash = 0;
    for (int64_t i = 0; i < s.dim[0] && size > 0; i++)
        hash = fuzz_hash(hash, gr_idx_bytes(idx, i), size);
    gr_idx_free(idx);
    fuzz_check(hash != 1, "a hash");
    return fuzz_end(true);
}
