/* support.c: what the fuzz targets share. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A folder of this process, in memory if there is such a place. */
static char folder[64], path[128];

static void clean_up(void)
{
    remove(path);
    remove(folder);
}

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "%s/gradus-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    fuzz_check(mkdtemp(folder) != NULL, "a folder for temporary files");
    atexit(clean_up);
}

const char *fuzz_file(const char *name, const void *bytes, size_t n)
{
    if (!*folder) make_folder();
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    fuzz_check(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0, "a temporary file");
    return path;
}

void fuzz_check(bool so, const char *what)
{
    if (so) return;
    fprintf(stderr, "not so: %s\n", what);
    abort();
}

bool fuzz_end(bool accepted)
{
    fuzz_check(accepted || gr_error(), "what is refused leaves an error");
    fuzz_check(!accepted || !gr_error(), "what is accepted leaves none");
    gr_clear_error();
    return accepted;
}

uint64_t fuzz_hash(uint64_t hash, const void *bytes, size_t n)
{
    const unsigned char *b = bytes;
    for (size_t i = 0; i < n; i++) hash = (hash ^ b[i]) * 0x100000001b3u;
    return hash;
}

uint8_t *fuzz_framed(const uint8_t *bytes, size_t n)
{
    const uint8_t *zero = n ? memchr(bytes, 0, n) : NULL;
    uint64_t       length = zero ? (uint64_t)(zero - bytes) : n;
    uint8_t       *framed = malloc(n + 8);
    fuzz_check(framed != NULL, "memory");
    for (int i = 0; i < 8; i++) framed[i] = (uint8_t)(length >> 8 * i);
    if (n) memcpy(framed + 8, bytes, n);
    return framed;
}
