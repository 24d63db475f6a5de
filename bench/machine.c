/* machine.c: the worker that finds out what the machine can do at all: multiply-adds that do not
   wait for each other, and reading. "peak" is FLOPS of them a thread; "read:BYTES" reads READ bytes
   a thread, going over so many again and again: what it takes to begin a thread is nothing to
   that. */
#include "worker.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_THREADS = 256, CHAINS = 12, FLOPS = 480000000, READ = 1 << 26 };

typedef float vec16 __attribute__((vector_size(64)));
typedef float vec8 __attribute__((vector_size(32)));
typedef float vec4 __attribute__((vector_size(16)));

/* The compiler must believe that the value changes here: else it would do the arithmetic
   beforehand, or not at all. */
#if defined __x86_64__
#define IN_REGISTER(v) __asm__ volatile("" : "+v"(v))
#else
#define IN_REGISTER(v) __asm__ volatile("" : "+w"(v))
#endif

/* CHAINS numbers side by side, enough for two units of latency 5; by name, since arrays would live
   in memory. */
#define STEP(s)    \
    s = s * x + y; \
    IN_REGISTER(s)
#define PEAK(name, vec, target)                                                               \
    target static void name(void)                                                             \
    {                                                                                         \
        vec a = { 0 }, b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a, k = a,  \
            l = a, x = a, y = a;                                                              \
        IN_REGISTER(x);                                                                       \
        IN_REGISTER(y);                                                                       \
        for (int n = 0; n < FLOPS / (2 * CHAINS * (int)(sizeof(vec) / sizeof(float))); n++) { \
            STEP(a);                                                                          \
            STEP(b);                                                                          \
            STEP(c);                                                                          \
            STEP(d);                                                                          \
            STEP(e);                                                                          \
            STEP(f);                                                                          \
            STEP(g);                                                                          \
            STEP(h);                                                                          \
            STEP(i);                                                                          \
            STEP(j);                                                                          \
            STEP(k);                                                                          \
            STEP(l);                                                                          \
        }                                                                                     \
    }

PEAK(peak4, vec4, )
#ifdef __x86_64__
PEAK(peak8, vec8, __attribute__((target("avx2,fma"))))
PEAK(peak16, vec16, __attribute__((target("avx512f"))))
#endif

static void peak(void)
{
#ifdef __x86_64__
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f"))
        peak16();
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        peak8();
    else
#endif
        peak4();
}

static char  *memory[MOST_THREADS];
static size_t bytes;

/* Sixteen sums at a time: the reading is what takes the time. */
static void read_all(const char *from)
{
    vec4 sum[16];
    memset(sum, 0, sizeof sum);
    for (size_t i = 0; i + sizeof sum <= bytes; i += sizeof sum) {
        const vec4 *next = (const void *)(from + i);
        _Pragma("GCC unroll 16") for (int j = 0; j < 16; j++) sum[j] += next[j];
    }
    for (int j = 0; j < 16; j++) IN_REGISTER(sum[j]);
}

static void *task(void *from)
{
    if (!from) peak();
    for (size_t done = 0; from && done < READ; done += bytes) read_all(from);
    return NULL;
}

bool prepare(const char *name)
{
    bytes = strncmp(name, "read:", 5) ? 0 : (size_t)atoll(name + 5) / 256 * 256;
    if (!bytes) return !strcmp(name, "peak") || refuse("no such thing: %s", name);
    for (int i = 0; i < threads() && i < MOST_THREADS; i++) {
        memory[i] = aligned_alloc(256, bytes);
        if (!memory[i]) {
            finish();
            return refuse("no memory");
        }
        memset(memory[i], 0, bytes);
    }
    return true;
}

void run(void)
{
    pthread_t thread[MOST_THREADS];
    int       n = 1;
    while (
        n < threads() && n < MOST_THREADS && pthread_create(&thread[n], NULL, task, memory[n]) == 0)
        n++;
    task(memory[0]);
    while (n > 1) pthread_join(thread[--n], NULL);
}

void finish(void)
{
    for (int i = 0; i < MOST_THREADS; i++) {
        free(memory[i]);
        memory[i] = NULL;
    }
}
