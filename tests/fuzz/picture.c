/* picture.c: PNG and JPEG pictures: one, and a folder of them. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void fix_checksums(uint8_t *b, size_t n)
{
    for (size_t at = 8; n >= 12 && at <= n - 12;) {
        size_t size = big_endian(b + at);
        if (size > n - 12 - at) return;
        uint32_t sum = (uint32_t)crc32(0, b + at + 4, (uInt)size + 4);
        for (int i = 0; i < 4; i++) b[at + 8 + size + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i));
        at += size + 12;
    }
}

uint8_t *fuzz_whole_png(const uint8_t *bytes, size_t n)
{
    uint8_t *copy = malloc(n + 1);
    fuzz_check(copy != NULL, "memory");
    if (n) memcpy(copy, bytes, n);
    if (n > 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0) fix_checksums(copy, n);
    return copy;
}

/* The largest picture that is allowed takes a second to decode, and twenty under sanitizers; a
   hundred bytes can ask for that. Wherever the bytes look like the sizes of a PNG or a JPEG, they
   must be modest. */
static bool modest(const uint8_t *b, size_t n)
{
    uint64_t most = 1 << 16;
    if (n > 24 && b[0] == 0x89) return (uint64_t)big_endian(b + 16) * big_endian(b + 20) <= most;
    for (size_t i = 0; n >= 9 && i < n - 9; i++)
        if (b[i] == 0xff && b[i + 1] >= 0xc0 && b[i + 1] <= 0xc2 &&
            (uint64_t)(big_endian(b + i + 5) >> 16) * (big_endian(b + i + 5) & 0xffff) > most)
            return false;
    return true;
}

static bool within_0_and_1(const gr_tensor *t)
{
    const gr_real *x = gr_data(t);
    bool           good = true;
    for (int64_t i = 0; i < gr_count(t); i++) good = good && x[i] >= 0 && x[i] <= 1;
    return good;
}

bool fuzz_picture(const uint8_t *bytes, size_t n)
{
    if (!modest(bytes, n)) return false;
    uint8_t    *copy = fuzz_whole_png(bytes, n);
    const char *path = fuzz_file("file", copy, n);
    free(copy);
    gr_tensor *t = gr_picture_load(path, .grey = n % 2 == 0),
              *small = t ? gr_picture_load(path, .height = 7, .width = 5) : NULL;
    if (!t) return fuzz_end(false);
    fuzz_check(small && gr_count(small) == 3 * 7 * 5, "a picture that can be read can be resized");
    fuzz_check(within_0_and_1(t) && within_0_and_1(small), "a picture is of numbers from 0 to 1");
    gr_free(t);
    gr_free(small);
    return fuzz_end(true);
}

bool fuzz_pictures(const uint8_t *bytes, size_t n)
{
    if (!modest(bytes, n)) return false;
    /* 1x1, grey */
    static const uint8_t good[] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0, 0, 0, 13, 'I',
        'H', 'D', 'R', 0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 'I', 'D',
        'A', 'T', 0x78, 0x9c, 0x63, 0x68, 0, 0, 0, 0x82, 0, 0x81, 0, 0, 0, 0, 0, 0, 0, 0, 'I', 'E',
        'N', 'D', 0, 0, 0, 0 };
    uint8_t *copy = fuzz_whole_png(bytes, n), *other = fuzz_whole_png(good, sizeof good);
    fuzz_file("cats/one.png", copy, n);
    fuzz_file("cats/two.jpeg", other, sizeof good);
    fuzz_file("dogs/three.JPG", copy, n);
    free(copy);
    free(other);
    gr_dataset *all = gr_pictures(fuzz_folder(), .height = 4, .width = 3), *some = NULL;
    bool        accepted = fuzz_end(all != NULL);
    some = gr_pictures(fuzz_folder(), .height = 5, .grey = n % 2 == 0, .skip_broken = true);
    fuzz_check(some && gr_dataset_count(some) == (accepted ? 3 : 1),
        "broken pictures are left out, and no others");
    fuzz_check(!accepted || (gr_dataset_count(all) == 3 && gr_dataset_label(all, 2) == 1),
        "pictures are read in order");
    gr_dataset_free(all);
    gr_dataset_free(some);
    fuzz_end(true);
    return accepted;
}
