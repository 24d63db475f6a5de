/* support.c: what the fuzz targets share. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_PATHS = 16 };

/* A folder of this process, in memory if there is such a place, and what stands in it: files after
   the folders they are in. */
static char folder[64], path[MOST_PATHS][128];
static int  paths;

static void clean_up(void)
{
    while (paths > 0) remove(path[--paths]);
    remove(folder);
}

const char *fuzz_folder(void)
{
    if (*folder) return folder;
    snprintf(folder, sizeof folder, "%s/gradus-fuzz-XXXXXX",
        access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    fuzz_check(mkdtemp(folder) != NULL, "a folder for temporary files");
    atexit(clean_up);
    return folder;
}

static char *path_of(const char *name, int length)
{
    char new[sizeof *path];
    snprintf(new, sizeof new, "%s/%.*s", fuzz_folder(), length, name);
    for (int i = 0; i < paths; i++)
        if (strcmp(path[i], new) == 0) return path[i];
    fuzz_check(paths < MOST_PATHS, "room for a path");
    return strcpy(path[paths++], new);
}

const char *fuzz_file(const char *name, const void *bytes, size_t n)
{
    const char *slash = strchr(name, '/');
    if (slash) mkdir(path_of(name, (int)(slash - name)), 0700);
    const char *at = path_of(name, (int)strlen(name));
    FILE       *f = fopen(at, "wb");
    fuzz_check(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0, "a temporary file");
    return at;
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
