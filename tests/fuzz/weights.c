/* weights.c: safetensors files, for a small model. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static gr_tensor *layers(gr_model *m, gr_tensor *x)
{
    gr_nn_buffer(m, "seen", gr_shape(2));
    return gr_nn_linear(m, "a", x, 2);
}

static uint64_t state(const gr_model *m)
{
    uint64_t hash = 0;
    for (int i = 0; i < gr_model_count(m); i++)
        hash = fuzz_hash(hash, gr_data(gr_model_at(m, i)),
            (size_t)gr_count(gr_model_at(m, i)) * sizeof(gr_real));
    return fuzz_hash(hash, gr_data(gr_model_buffer_at(m, 0)), 2 * sizeof(gr_real));
}

static bool load(const uint8_t *bytes, size_t n)
{
    static gr_model *m;
    if (!m) m = gr_model_build(layers, gr_shape(1, 3));
    uint64_t before = state(m);
    bool     accepted = gr_load(m, fuzz_file("file", bytes, n));
    fuzz_check(accepted || state(m) == before, "a refused file changes nothing");
    return fuzz_end(accepted);
}

bool fuzz_weights(const uint8_t *bytes, size_t n)
{
    uint8_t *framed = fuzz_framed(bytes, n);
    bool     accepted = load(framed, n + 8);
    free(framed);
    return load(bytes, n) || accepted;
}
