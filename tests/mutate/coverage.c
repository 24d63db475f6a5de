/* coverage.c: which blocks of a library that was compiled with -fsanitize-coverage=trace-pc have
   run, in all processes of a test. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { BYTES = 1 << 23 };
extern const char     __ehdr_start __attribute__((visibility("hidden")));
static unsigned char *ran;

void mutate_save(const char *path);
void __sanitizer_cov_trace_pc(void);

__attribute__((constructor(101))) static void share(void)
{
    void *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ran = p == MAP_FAILED ? NULL : p;
}

void __sanitizer_cov_trace_pc(void)
{
    uintptr_t at = (uintptr_t)__builtin_return_address(0) - (uintptr_t)&__ehdr_start;
    if (ran && at < BYTES) ran[at] = 1;
}

/* The addresses of what has run since the last time, in the library, one a line. */
void mutate_save(const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f) return;
    for (long i = 0; ran && i < BYTES; i++)
        if (ran[i]) fprintf(f, "%lx\n", (unsigned long)i);
    fclose(f);
    if (ran) memset(ran, 0, BYTES);
}
