/* cifar.c: a folder in CIFAR-10's binary files. The first byte says how many of the bytes after it
   are the names of the classes. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>

bool fuzz_cifar(const uint8_t *bytes, size_t n)
{
    size_t      names = n > 0 && bytes[0] < n ? bytes[0] : 0;
    const char *meta = fuzz_file("batches.meta.txt", bytes + (n > 0), names);
    if (names == 0) remove(meta);
    fuzz_file("data_batch_1.bin", bytes + (n > 0) + names, n - (n > 0) - names);
    gr_dataset *d = gr_cifar10(fuzz_folder(), true);
    if (!d) return fuzz_end(false);
    uint64_t hash = 0;
    for (int64_t i = 0; i < gr_dataset_count(d); i++) {
        fuzz_check(gr_dataset_label(d, i) >= 0 && gr_dataset_label(d, i) < gr_dataset_classes(d),
            "a label is one of the classes");
        hash = fuzz_hash(hash, gr_dataset_image(d, i), 3072);
    }
    fuzz_check(hash != 1 && gr_dataset_count(d) == (int64_t)(n - 1 - names) / 3073,
        "as many images as records");
    gr_dataset_free(d);
    return fuzz_end(true);
}
