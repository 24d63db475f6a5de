/* check.c: runs the tests that are named, each in a process of its own, until one fails.

       program try NAME=SECONDS...   runs these, which usually take so long; prints how one ended
       program list MOST [NAME...]   runs all, or these, in at most so many seconds each; prints
                                     name, seconds and `ok`, `bad` or `slow`

   Seconds are of processor time: a test may take ten times its usual one, and a second; and much
   longer by the clock, since other programs run beside it. With MUTATE_COVERAGE=FOLDER, a test
   that is listed also leaves FOLDER/PROGRAM.NAME: which blocks of the library it ran
   (coverage.c). */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 2000 };
struct TCase {
    void (*before)(void), (*after)(void);
};
static struct {
    const TTest *test;
    TCase       *in;
    char         name[120]; /* test, or test#number of a loop */
    int          i;
} all[MOST];
static int  count, failures;
static char none;

Suite   *suite_create(const char *name) { return (void)name, (Suite *)&none; }
SRunner *srunner_create(Suite *s) { return (void)s, (SRunner *)&none; }
int      srunner_ntests_failed(SRunner *r) { return (void)r, failures; }
TCase   *tcase_create(const char *name) { return (void)name, calloc(1, sizeof(TCase)); }
void     suite_add_tcase(Suite *s, TCase *t) { (void)s, (void)t; }

void tcase_add_loop_test(TCase *t, const TTest *f, int begin, int end)
{
    for (int i = begin; i < end; i++, count++) {
        if (count == MOST) abort();
        all[count].test = f, all[count].in = t, all[count].i = i;
        snprintf(all[count].name, sizeof all->name, end == 1 ? "%s" : "%s#%d", f->name, i);
    }
}

void tcase_add_checked_fixture(TCase *t, void (*before)(void), void (*after)(void))
{
    t->before = before, t->after = after;
}

void check_failed(const char *file, int line, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "%s:%d: ", file, line);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    fflush(NULL);
    _exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Waits for the child, at most until then. 'k': it passed, 'f': it failed, 't': it took too long.
   */
static char outcome(pid_t child, double then)
{
    sigset_t ended;
    sigemptyset(&ended);
    sigaddset(&ended, SIGCHLD);
    for (int status;;) {
        pid_t got = waitpid(child, &status, WNOHANG);
        if (got == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU) return 't';
        if (got == child) return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 'k' : 'f';
        double left = then - now();
        if (left <= 0) return 't';
        struct timespec wait = { (time_t)left, (long)(1e9 * (left - (double)(time_t)left)) };
        sigtimedwait(&ended, NULL, &wait);
    }
}

static char run_one(int k, double limit)
{
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) return 'f';
    if (child == 0) {
        sigset_t no;
        sigemptyset(&no);
        sigprocmask(SIG_SETMASK, &no, NULL);
        setpgid(0, 0);
        setrlimit(RLIMIT_CPU, &(struct rlimit){ (rlim_t)ceil(limit), (rlim_t)ceil(limit) + 1 });
        if (all[k].in->before) all[k].in->before();
        all[k].test->fn(all[k].i);
        if (all[k].in->after) all[k].in->after();
        exit(0);
    }
    setpgid(child, child);
    char how = outcome(child, now() + 20 + 5 * limit);
    kill(-child, SIGKILL);
    if (how == 't') waitpid(child, NULL, 0);
    return how;
}

extern void mutate_save(const char *path) __attribute__((weak));

static double processor(void)
{
    struct rusage u;
    getrusage(RUSAGE_CHILDREN, &u);
    return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void list(int k, double most, const char *program)
{
    double start = processor();
    char   path[4096], how = run_one(k, most);
    printf("%s\t%.3f\t%s\n", all[k].name, processor() - start,
        how == 'k'   ? "ok"
        : how == 't' ? "slow"
                     : "bad");
    if (!mutate_save || !getenv("MUTATE_COVERAGE")) return;
    snprintf(path, sizeof path, "%s/%s.%s", getenv("MUTATE_COVERAGE"), program, all[k].name);
    mutate_save(path);
}

static void try(int k, double usual)
{
    char how = run_one(k, 1 + 10 * usual);
    if (how == 'k') return;
    failures++;
    printf("%s\t%s\n", how == 't' ? "timeout" : "killed", all[k].name);
}

void srunner_run_all(SRunner *r, int unused)
{
    static char text[1 << 16];
    FILE       *in = fopen("/proc/self/cmdline", "r");
    char       *end = text + (in ? fread(text, 1, sizeof text - 1, in) : 0),
         *at = text + strlen(text) + 1;
    char    *program = strrchr(text, '/') ? strrchr(text, '/') + 1 : text;
    bool     listing = strcmp(at, "list") == 0;
    double   most = 0;
    sigset_t ended;
    (void)r, (void)unused;
    if (in) fclose(in);
    sigemptyset(&ended);
    sigaddset(&ended, SIGCHLD);
    sigprocmask(SIG_BLOCK, &ended, NULL);
    at += strlen(at) + 1;
    if (listing) most = strtod(at, NULL), at += strlen(at) + 1;
    for (int k = 0; listing && at >= end && k < count; k++) list(k, most, program);
    for (; at < end && !failures; at += strlen(at) + 1) {
        size_t n = strcspn(at, "=");
        for (int k = 0; k < count && !failures; k++) {
            if (strncmp(all[k].name, at, n) || (all[k].name[n] && all[k].name[n] != '#')) continue;
            if (listing)
                list(k, most, program);
            else
                try(k, strtod(at + n + (at[n] == '='), NULL));
        }
    }
    fflush(NULL);
}
