/* test_surroundings.c: what the program around the library has, and what the library's threads make
   of it: signals, rounding, the processors of one thread and of the process, control groups,
   forks. */
#define _GNU_SOURCE /* sched_getaffinity */
#include <dirent.h>
#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/core.h"
#include "gradus/data.h"
#include "gradus/nn.h"
#include "support.h"

/* Large enough for the pool; the result depends on rounding. */
static uint64_t product(int threads)
{
    GR_STEP;
    gr_rng rng = gr_rng_of(1, "product");
    gr_set_threads(threads);
    gr_tensor *a = gr_normal(gr_shape(200, 150), &rng, 0, 1),
              *b = gr_normal(gr_shape(150, 100), &rng, 0, 1);
    gr_tensor     *y = gr_exp(gr_scale(gr_matmul(a, b), 0.01));
    const gr_real *p = gr_data(y);
    uint64_t       hash = 0;
    for (int64_t i = 0; i < gr_count(y); i++) {
        uint64_t bits = 0;
        memcpy(&bits, &p[i], sizeof p[i]);
        hash = hash * 6364136223846793005u + bits;
    }
    return hash;
}

/* ---- signals --------------------------------------------------------------------------------- */

static bool leave(unsigned char *image, gr_shape shape, gr_rng *rng, void *arg)
{
    (void)image, (void)shape, (void)rng, (void)arg;
    return true;
}

static gr_loader *loader_of(gr_dataset **d, gr_change *change, void *arg, bool prefetch)
{
    gr_batch b;
    *d = gr_digits(640, 1);
    gr_loader *l =
        gr_loader_open(*d, 8, .augment = { .change = change, .arg = arg }, .prefetch = prefetch);
    ck_assert(gr_next_batch(l, &b));
    return l;
}

/* 0: the pool's threads, 1: a loader's. */
START_TEST(a_signal_that_the_program_blocks_waits_for_it)
{
    static const int of_program[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGCHLD,
        SIGPROF, SIGIO, SIGABRT };
    gr_dataset      *d = NULL;
    gr_loader       *l = _i ? loader_of(&d, leave, NULL, true) : NULL;
    product(_i ? 1 : 4);
    for (size_t i = 0; i < sizeof of_program / sizeof *of_program; i++) {
        sigset_t        set;
        struct timespec second = { .tv_sec = 1 };
        sigemptyset(&set);
        sigaddset(&set, of_program[i]);
        ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
        signal(of_program[i], SIG_DFL);
        ck_assert_int_eq(kill(getpid(), of_program[i]), 0);
        ck_assert_int_eq(sigtimedwait(&set, NULL, &second), of_program[i]);
    }
    gr_loader_close(l);
    gr_dataset_free(d);
}
END_TEST

static void *own_mask(void *arg)
{
    pthread_sigmask(SIG_SETMASK, NULL, arg);
    return NULL;
}

/* The caller's own mask is as it was, and a thread of the library can still be told of its
   faults. */
START_TEST(faults_stay_open_and_the_callers_mask_is_its_own)
{
    sigset_t      before, after, theirs;
    gr__os_thread t;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    if (!gr__thread_start(&t, own_mask, &theirs)) {
        puts("skipped: a build without threads");
        return;
    }
    gr__thread_join(t);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int s = 1; s <= SIGSYS; s++) {
        bool fault = s == SIGSEGV || s == SIGBUS || s == SIGFPE || s == SIGILL || s == SIGTRAP ||
                     s == SIGSYS;
        ck_assert_int_eq(sigismember(&before, s), sigismember(&after, s));
        if (s != SIGKILL && s != SIGSTOP)
            ck_assert_int_eq(sigismember(&theirs, s), fault ? sigismember(&before, s) : 1);
    }
}
END_TEST

/* ---- the floating-point environment ---------------------------------------------------------- */

static const int modes[] = { FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO };

START_TEST(rounding_does_not_depend_on_the_number_of_threads)
{
    uint64_t one[4];
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 4; i++) {
            ck_assert_int_eq(fesetround(modes[i]), 0);
            one[i] = product(1);
            for (int k = 0; k < 5; k++) ck_assert(product(4) == one[i]);
            ck_assert_int_eq(fegetround(), modes[i]);
            fesetround(FE_TONEAREST);
        }
    ck_assert(one[0] != one[1] && one[0] != one[2] && one[1] != one[2]);
    ck_assert(product(4) == one[0]);
}
END_TEST

typedef struct seen {
    atomic_int inside[4], mode[4];
} seen;

#ifdef GRADUS_NO_THREADS
enum { PATIENCE = 1 };
#else
enum { PATIENCE = 1000 }; /* milliseconds */
#endif

/* Waits, up to a second, for another thread to have a task of the job, too. */
static void look(const void *arg, int64_t task, int thread)
{
    seen *s = *(seen *const *)arg;
    atomic_store(&s->inside[thread], 1);
    atomic_store(&s->mode[thread], fegetround());
    for (int k = 0; k < PATIENCE; k++) {
        int inside = 0;
        for (int i = 0; i < 4; i++) inside += atomic_load(&s->inside[i]);
        if (inside > 1) return;
        usleep(1000);
    }
    (void)task;
}

/* The same, seen from inside: a worker has the caller's rounding, each time. */
START_TEST(a_worker_rounds_as_the_caller_does)
{
    int workers = 0;
    for (int k = 0; k < 12; k++) {
        seen s = { 0 };
        fesetround(modes[k % 4]);
        gr__workers_run(look, &(seen *){ &s }, 4, 4);
        for (int i = 0; i < 4; i++) {
            if (!atomic_load(&s.inside[i])) continue;
            workers += i > 0;
            ck_assert_int_eq(atomic_load(&s.mode[i]), modes[k % 4]);
        }
        ck_assert_int_eq(fegetround(), modes[k % 4]);
    }
    fesetround(FE_TONEAREST);
#ifdef GRADUS_NO_THREADS
    workers = 1; /* none is to be expected */
#endif
    ck_assert_int_gt(workers, 0);
}
END_TEST

#ifdef __x86_64__

/* Products under the least normal number: 0 where the caller has them flushed, in every thread, and
   as they are where not. */
START_TEST(denormals_are_flushed_as_in_the_caller)
{
    enum { N = 400000 };
    double   small = sizeof(gr_real) == 4 ? 2e-38 : 4e-308;
    unsigned was = __builtin_ia32_stmxcsr();
    for (int k = 0; k < 6; k++) {
        GR_STEP;
        gr_set_threads(k % 3 + 1);
        gr_tensor *x = gr_full(gr_shape(N), small);
        __builtin_ia32_ldmxcsr(k < 3 ? was | 0x8040 : was);
        gr_tensor     *y = gr_scale(x, 0.25);
        const gr_real *p = gr_data(y);
        int            zeros = 0;
        unsigned       now = __builtin_ia32_stmxcsr();
        __builtin_ia32_ldmxcsr(was);
        for (int i = 0; i < N; i++) zeros += p[i] == 0;
        ck_assert_int_eq(zeros, k < 3 ? N : 0);
        ck_assert_uint_eq(now & 0xffc0, (k < 3 ? was | 0x8040 : was) & 0xffc0);
    }
}
END_TEST

#endif

/* The mode of the thread that changes an image, as its bytes. */
static bool mode_as_bytes(unsigned char *image, gr_shape shape, gr_rng *rng, void *arg)
{
    (void)rng, (void)arg;
    int mode = fegetround(), number = 0;
    while (modes[number] != mode) number++;
    memset(image, number, (size_t)(shape.dim[0] * shape.dim[1] * shape.dim[2]));
    return true;
}

/* Also when the caller has changed it after the thread had begun with the batch. */
START_TEST(a_loader_rounds_as_its_caller_does)
{
    gr_dataset *d;
    gr_batch    b;
    gr_loader  *l = loader_of(&d, mode_as_bytes, NULL, _i);
    for (int k = 0; k < 40; k++) {
        int mode = k / 3 % 4;
        fesetround(modes[mode]);
        ck_assert(gr_next_batch(l, &b));
        fesetround(FE_TONEAREST);
        ck_assert_int_eq((int)(gr_data(b.inputs)[0] * 255 + (gr_real)0.5), mode);
    }
    gr_loader_close(l);
    gr_dataset_free(d);
}
END_TEST

/* ---- processors ------------------------------------------------------------------------------ */

#ifdef __linux__

static cpu_set_t of_process;

static void *own_processors(void *arg)
{
    for (int k = 0; k < 2000; k++) { /* it is set from outside */
        sched_getaffinity(0, sizeof(cpu_set_t), arg);
        if (CPU_EQUAL((cpu_set_t *)arg, &of_process)) break;
        usleep(1000);
    }
    return NULL;
}

static void pin(void)
{
    cpu_set_t one;
    int       first = 0;
    while (!CPU_ISSET((size_t)first, &of_process)) first++;
    CPU_ZERO(&one);
    CPU_SET((size_t)first, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
}

/* The first operation is a pinned thread's. */
static void *first_and_pinned(void *arg)
{
    (void)arg;
    pin();
    product(0);
    gr__os_thread t;
    cpu_set_t     theirs;
    int           quota = gr__processors_quota(""), processors = CPU_COUNT(&of_process);
    ck_assert_int_eq(gr__processors(), quota && quota < processors ? quota : processors);
#ifdef GRADUS_NO_THREADS
    ck_assert_int_eq(gr_threads(), 1);
#else
    ck_assert_int_eq(gr_threads(), gr__processors());
#endif
    if (gr__thread_start(&t, own_processors, &theirs)) {
        gr__thread_join(t);
        ck_assert(CPU_EQUAL(&theirs, &of_process));
    }
    return NULL;
}

/* 0: a thread that is pinned; 1: the main thread, which pins itself. */
START_TEST(a_pinned_thread_does_not_speak_for_the_process)
{
    pthread_t t;
    ck_assert_int_eq(sched_getaffinity(0, sizeof of_process, &of_process), 0);
    unsetenv("OMP_NUM_THREADS");
    if (_i) {
        first_and_pinned(NULL);
    } else {
        ck_assert_int_eq(pthread_create(&t, NULL, first_and_pinned, NULL), 0);
        pthread_join(t, NULL);
    }
}
END_TEST

#endif

static void put(const char *root, const char *name, const char *text)
{
    char path[600];
    snprintf(path, sizeof path, "%s%s", root, name);
    for (char *p = path + strlen(root) + 1; (p = strchr(p, '/')); p++) {
        *p = '\0';
        mkdir(path, 0777);
        *p = '/';
    }
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

/* The process's group, what is mounted where, and files with what they hold. */
typedef struct groups {
    const char *group, *mounts, *file[4], *text[4];
    int         quota;
} groups;

#define V2 "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
#define V1 "33 32 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
#define SET "34 32 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
#define C "/sys/fs/cgroup"
#define C1 "/sys/fs/cgroup/cpu,cpuacct"
static const groups cases_of_groups[] = {
    { "0::/a/b\n", V2, { C "/a/b/cpu.max" }, { "200000 100000\n" }, 2 },
    { "0::/a/b\n", V2, { C "/a/b/cpu.max" }, { "max 100000\n" }, 0 },
    { "0::/a/b\n", V2, { C "/a/b/cpu.max", C "/a/cpu.max" }, { "max 100000\n", "300000 100000\n" },
        3 },
    { "0::/a/b/c\n", V2, { C "/a/b/c/cpu.max", C "/a/b/cpu.max", C "/a/cpu.max" },
        { "800000 100000\n", "max 100000\n", "100000 50000\n" }, 2 },
    { "0::/\n", V2, { C "/cpu.max" }, { "150000 100000\n" },
        2 }, /* a namespace of its own; half a processor is one more */
    { "0::/a\n", V2, { C "/a/cpu.max" }, { "5000 100000\n" }, 1 },
    { "0::/../x\n", V2, { C "/cpu.max", "/sys/fs/x/cpu.max" },
        { "400000 100000\n", "100000 100000\n" }, 4 },
    { "0::/a\n", V2, { C "/cpu.max", C "/ab/cpu.max" }, { "max 100000\n", "100000 100000\n" }, 0 },
    { "0::/box/b\n", "30 23 0:26 /box /mnt/g rw - cgroup2 none rw\n",
        { "/mnt/g/b/cpu.max", "/mnt/g/box/b/cpu.max" }, { "500000 100000\n", "100000 100000\n" },
        5 },
    { "4:cpu,cpuacct:/a/b\n", V1, { C1 "/a/b/cpu.cfs_quota_us", C1 "/a/b/cpu.cfs_period_us" },
        { "200000\n", "100000\n" }, 2 },
    { "4:cpu,cpuacct:/a/b\n", V1, { C1 "/a/b/cpu.cfs_quota_us", C1 "/a/b/cpu.cfs_period_us" },
        { "-1\n", "100000\n" }, 0 },
    { "4:cpu,cpuacct:/a/b\n", V1,
        { C1 "/a/b/cpu.cfs_quota_us", C1 "/a/b/cpu.cfs_period_us", C1 "/a/cpu.cfs_quota_us",
            C1 "/a/cpu.cfs_period_us" },
        { "-1\n", "100000\n", "150000\n", "50000\n" }, 3 },
    { "3:cpuset:/z\n4:cpu,cpuacct:/a\n0::/u\n", SET V1,
        { C1 "/a/cpu.cfs_quota_us", C1 "/a/cpu.cfs_period_us", C "/cpuset/z/cpu.max" },
        { "700000\n", "100000\n", "100000 100000\n" }, 7 },
    { "5:cpuset:/a\n", SET, { C "/cpuset/a/cpu.cfs_quota_us", C "/cpuset/a/cpu.cfs_period_us" },
        { "1\n", "1\n" }, 0 },
    { "4:cpu:/a\n0::/b\n",
        "33 32 0:29 / /cg1 rw - cgroup cgroup rw,cpu\n35 32 0:31 / /cg2 rw - cgroup2 cgroup2 rw\n",
        { "/cg1/a/cpu.cfs_quota_us", "/cg1/a/cpu.cfs_period_us", "/cg2/b/cpu.max" },
        { "400000\n", "100000\n", "300000 100000\n" }, 3 },
    { "0::/a\n", V2, { C "/a/cpu.max" }, { "garbage\n" }, 0 },
    { "0::/a\n", V2, { C "/a/cpu.max" }, { "100000 0\n" }, 0 },
    { "", "", { NULL }, { NULL }, 0 },
};

START_TEST(control_groups_bound_the_number)
{
    const groups *g = &cases_of_groups[_i];
    char          root[] = "groups-XXXXXX", command[64];
    ck_assert_ptr_nonnull(mkdtemp(root));
    put(root, "/proc/self/cgroup", g->group);
    put(root, "/proc/self/mountinfo", g->mounts);
    for (int i = 0; i < 4 && g->file[i]; i++) put(root, g->file[i], g->text[i]);
    int quota = gr__processors_quota(root);
    snprintf(command, sizeof command, "rm -rf %s", root);
    ck_assert_int_eq(system(command), 0);
    ck_assert_int_eq(quota, g->quota);
    ck_assert_int_eq(gr__processors_quota("/nowhere"), 0);
}
END_TEST

/* ---- forks ----------------------------------------------------------------------------------- */

#if defined __has_feature
#if __has_feature(thread_sanitizer)
#define FORKS_ARE_NOT_FOLLOWED 1
#endif
#endif
#if defined __SANITIZE_THREAD__ && !defined FORKS_ARE_NOT_FOLLOWED
#define FORKS_ARE_NOT_FOLLOWED 1
#endif

static gr_tensor *forty_names(gr_model *m, gr_tensor *x)
{
    for (int i = 0; i < 40; i++) gr_nn_param(m, gr_name("p%d", i), gr_shape(1));
    return x;
}

static bool build(void)
{
    gr_model *m = gr_model_build(forty_names, gr_shape(1));
    bool      good = m && gr_model_count(m) == 40;
    gr_model_free(m);
    return good;
}

static bool take_blocks(void)
{
    GR_STEP;
    bool good = true;
    for (int64_t n = 16; n < 200000; n *= 5)
        good = gr_data(gr_ones(gr_shape(n)))[n - 1] == 1 && good;
    return good;
}

static bool multiply(void)
{
    GR_STEP;
    gr_tensor *y = gr_matmul(gr_ones(gr_shape(120, 60)), gr_ones(gr_shape(60, 80)));
    return gr_data(y)[0] == 60 && gr_data(y)[120 * 80 - 1] == 60;
}

static bool load(void)
{
    gr_batch    b;
    gr_dataset *d = gr_digits(12, 1);
    gr_loader *l = gr_loader_open(d, 4, .seed = 3, .augment = { .rotation = 10 }, .prefetch = true);
    bool       good = true;
    for (int k = 0; k < 3; k++) good = gr_next_batch(l, &b) && good;
    gr_loader_close(l);
    gr_dataset_free(d);
    return good;
}

static bool (*const uses[])(void) = { build, take_blocks, multiply, load };
static atomic_bool stop;

static void *use(void *arg)
{
    bool (*const *fn)(void) = arg;
    while (!atomic_load(&stop)) (*fn)();
    return NULL;
}

/* A hung child is ended by the alarm. generations: how many come after this one. */
static bool child_is_well(int generations)
{
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        bool good = true;
        for (int i = 0; i < 4; i++) good = uses[i]() && good;
        if (generations > 0) good = child_is_well(generations - 1) && good;
        _exit(good && !gr_error() ? 0 : 1);
    }
    int status = -1;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static void *fork_here(void *arg)
{
    for (int k = 0; k < 40; k++)
        if (!child_is_well(k % 8 == 0)) return arg;
    return NULL;
}

/* A child of a process whose threads are anywhere in the library can use all of it, and so can its
   own child. */
START_TEST(a_child_is_never_locked_out)
{
#ifdef __SANITIZE_ADDRESS__
    puts("skipped: the address sanitizer's own locks are not free in a child process");
    return;
#endif
#ifdef FORKS_ARE_NOT_FOLLOWED
    puts("skipped: the thread sanitizer does not follow a fork of a process with threads");
    return;
#endif
    pthread_t t[6];
    int       bad = 0;
    void     *failed = NULL;
    gr_set_threads(3);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, use, (void *)(uintptr_t)&uses[i]), 0);
    ck_assert_int_eq(pthread_create(&t[4], NULL, fork_here, &bad), 0);
    for (int k = 0; k < 260 && !bad; k++) bad += !child_is_well(k % 20 == 0 ? 2 : 0);
    atomic_store(&stop, true);
    for (int i = 0; i < 5; i++) {
        pthread_join(t[i], &failed);
        ck_assert_ptr_null(failed);
    }
    ck_assert_int_eq(bad, 0);
    ck_assert(build() && take_blocks() && multiply() && load());
    nothing_failed();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("surroundings");
    TCase *c = cases(s, "surroundings");
    tcase_add_loop_test(c, a_signal_that_the_program_blocks_waits_for_it, 0, 2);
    tcase_add_test(c, faults_stay_open_and_the_callers_mask_is_its_own);
    tcase_add_test(c, rounding_does_not_depend_on_the_number_of_threads);
    tcase_add_test(c, a_worker_rounds_as_the_caller_does);
#ifdef __x86_64__
    tcase_add_test(c, denormals_are_flushed_as_in_the_caller);
#endif
    tcase_add_loop_test(c, a_loader_rounds_as_its_caller_does, 0, 2);
#ifdef __linux__
    tcase_add_loop_test(c, a_pinned_thread_does_not_speak_for_the_process, 0, 2);
#endif
    tcase_add_loop_test(c, control_groups_bound_the_number, 0,
        (int)(sizeof cases_of_groups / sizeof *cases_of_groups));
    tcase_add_test(c, a_child_is_never_locked_out);
    return run(s);
}
