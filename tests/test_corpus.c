/* test_corpus.c: the fuzz targets without a fuzzer: over the files kept in tests/fuzz/corpus, as
   they are and with a few bytes changed. A file's name says what must become of it: good-...,
   bad-... . `test_corpus FILE` writes a checkpoint that is good: when checkpoints hold something
   new, the corpus wants tests/fuzz/corpus/checkpoint/good-run anew. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

enum { MOST_BYTES = 1 << 20, CHANGED = 40, MOST_CHANGES = 4 };

static const struct {
    const char *name;
    bool (*fuzz)(const uint8_t *, size_t);
} targets[] = {
    { "checkpoint", fuzz_checkpoint },
    { "cifar", fuzz_cifar },
    { "idx", fuzz_idx },
    { "npy", fuzz_npy },
    { "picture", fuzz_picture },
    { "pictures", fuzz_pictures },
    { "weights", fuzz_weights },
};
enum { TARGETS = sizeof targets / sizeof *targets };

static int files, wrong;

static size_t read_file(const char *path, uint8_t *bytes)
{
    FILE *f = fopen(path, "rb");
    fuzz_check(f != NULL, path);
    size_t n = fread(bytes, 1, MOST_BYTES, f);
    fclose(f);
    return n;
}

/* Copies have bytes changed, and now and then an end cut off, each copy the same in every run. */
static void change(
    bool (*fuzz)(const uint8_t *, size_t), const char *name, const uint8_t *bytes, size_t n)
{
    gr_rng rng = gr_rng_of(1, name);
    for (int copy = 0; copy < CHANGED && n > 0; copy++) {
        uint8_t *b = malloc(n); /* of exactly that size, so that a sanitizer sees the end */
        fuzz_check(b != NULL, "memory");
        memcpy(b, bytes, n);
        for (int64_t k = gr_rng_below(&rng, MOST_CHANGES); k >= 0; k--)
            b[gr_rng_below(&rng, (int64_t)n)] = (uint8_t)gr_rng_below(&rng, 256);
        fuzz(b, copy % 4 ? n : (size_t)gr_rng_below(&rng, (int64_t)n));
        free(b);
    }
}

static void replay(const char *folder, const char *target, bool (*fuzz)(const uint8_t *, size_t))
{
    static uint8_t bytes[MOST_BYTES];
    char           path[4096];
    int            before = files;
    snprintf(path, sizeof path, "%s/%s", folder, target);
    DIR *d = opendir(path);
    fuzz_check(d != NULL, path);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (*e->d_name == '.') continue;
        snprintf(path, sizeof path, "%s/%s/%s", folder, target, e->d_name);
        size_t n = read_file(path, bytes);
        bool   good = strncmp(e->d_name, "good-", 5) == 0;
        if (good == (strncmp(e->d_name, "bad-", 4) == 0) || fuzz(bytes, n) != good) {
            printf("%s: this is not what its name says\n", path);
            wrong++;
        }
        change(fuzz, e->d_name, bytes, n);
        files++;
    }
    closedir(d);
    fuzz_check(files > before, "a folder of the corpus has files");
}

int main(int argc, char **argv)
{
    const char *source = getenv("srcdir");
    char        folder[2048];
    if (argc > 1) return fuzz_checkpoint_write(argv[1]) ? EXIT_SUCCESS : EXIT_FAILURE;
    snprintf(folder, sizeof folder, "%s/tests/fuzz/corpus", source ? source : ".");
    for (int i = 0; i < TARGETS; i++) replay(folder, targets[i].name, targets[i].fuzz);
    printf("%d files of the corpus, each with %d changed copies\n", files, CHANGED);
    return wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}
