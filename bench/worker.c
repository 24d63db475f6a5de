/* worker.c: reads what to measure, measures it, answers. */
#define _POSIX_C_SOURCE 200809L

#include "worker.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_TIMES = 4096 };
static const double LEAST_SECONDS = 100e-6; /* a time shorter than that would be the clock's */

static char   reason[200];
static double sum, magnitude;

bool refuse(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(reason, sizeof reason, format, ap);
    va_end(ap);
    return false;
}

double now(void)
{
    static bool     known, in_processor;
    struct timespec t;
    if (!known) {
        const char *of = getenv("BENCH_CLOCK");
        in_processor = of && !strcmp(of, "processor");
        known = true;
    }
    clock_gettime(in_processor ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int threads(void)
{
    const char *n = getenv("OMP_NUM_THREADS");
    return n && atoi(n) > 0 ? atoi(n) : 1;
}

/* ---- numbers ---- */

void fill(float *x, int64_t n, unsigned seed)
{
    for (int64_t i = 0; i < n; i++) {
        unsigned h = ((unsigned)i + seed * 0x9e3779b9u) * 2654435761u;
        h = (h ^ h >> 15) * 2246822519u;
        x[i] = (float)((int)((h >> 16) % 17) - 8) / 8;
    }
}

void check(const float *y, int64_t n)
{
    sum = magnitude = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)y[i];
        magnitude += (double)(y[i] < 0 ? -y[i] : y[i]);
    }
}

/* ---- names ---- */

/* n numbers with commas between them, and nothing else. */
static bool read_numbers(const char *text, int64_t *x, int n)
{
    for (int i = 0; i < n; i++) {
        char *end;
        x[i] = strtoll(text, &end, 10);
        if (end == text || *end != (i + 1 < n ? ',' : '\0'))
            return refuse("not %d numbers: %s", n, text);
        text = end + 1;
    }
    return true;
}

bool read_conv(const char *text, conv_shape *c)
{
    int64_t x[9];
    if (!read_numbers(text, x, 9)) return false;
    *c = (conv_shape){ x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], 0 };
    if (c->S < 1 || c->G < 1) return refuse("no stride or no group: %s", text);
    c->O = (c->H + 2 * c->P - c->D * (c->K - 1) - 1) / c->S + 1;
    return true;
}

const char *read_direction(const char *text, direction *d)
{
    static const char *const names[] = { "forward:", "input:", "kernel:" };
    for (int i = 0; i < 3; i++)
        if (!strncmp(text, names[i], strlen(names[i]))) {
            *d = (direction)i;
            return text + strlen(names[i]);
        }
    refuse("no direction: %s", text);
    return NULL;
}

bool read_product(const char *text, product *p)
{
    int64_t x[5];
    if (!read_numbers(text, x, 5)) return false;
    *p = (product){ x[0], x[1], x[2], x[3], x[4] };
    return true;
}

/* ---- measuring ---- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double time_of(int64_t runs)
{
    double begin = now();
    for (int64_t i = 0; i < runs; i++) run();
    return (now() - begin) / (double)runs;
}

/* The first runs of a turn find the caches full of the others' data, and are not counted. */
static double measure(double seconds)
{
    static double times[MOST_TIMES];
    double        begin = now(), once = time_of(1);
    int64_t       runs = 1;
    int           n = 0;
    while (once * (double)runs < LEAST_SECONDS) {
        runs *= 2;
        once = time_of(runs);
    }
    for (begin = now(); n < 1 || (n < MOST_TIMES && now() - begin < seconds); n++)
        times[n] = time_of(runs);
    qsort(times, (size_t)n, sizeof *times, by_size);
    return times[n / 2];
}

static void answer_memory(void)
{
    char  line[200];
    FILE *f = fopen("/proc/self/status", "r");
    long  kilobytes = -1;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %ld", &kilobytes) == 1) break;
    if (f) fclose(f);
    if (kilobytes < 0)
        printf("none /proc/self/status does not say\n");
    else
        printf("%ld\n", kilobytes * 1024);
}

int main(void)
{
    char   line[300], name[200], prepared[200] = "";
    double seconds;
    while (fgets(line, sizeof line, stdin)) {
        int words = sscanf(line, "%199s %lf", name, &seconds);
        if (words == 1 && !strcmp(name, "memory"))
            answer_memory();
        else if (words != 2)
            printf("none NAME SECONDS wanted\n");
        else {
            if (strcmp(name, prepared)) {
                if (*prepared) finish();
                sum = magnitude = 0;
                strcpy(prepared, prepare(name) ? name : "");
            }
            if (*prepared)
                printf("%.9e %.9e %.9e\n", measure(seconds), sum, magnitude);
            else
                printf("none %s\n", reason);
        }
        fflush(stdout);
    }
    if (*prepared) finish();
    return 0;
}
