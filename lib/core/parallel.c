/* parallel.c: the kernels in use, and the threads that run them.

   Invariant: how work is cut depends on its shape alone; threads only claim pieces, so the result does not depend on their number. */
#include "core/core.h"

#include <pthread.h>
#include <stdlib.h>

#ifdef _OPENMP
#include <omp.h>
#endif

static atomic_int wanted_threads;

bool gr_set_threads(int threads)
{
    if (threads < 0)
        return gr__fail(GR_ERR_ARGUMENT, "set_threads: %d threads: 0 or more wanted", threads);
    atomic_store(&wanted_threads, threads);
    return true;
}

int gr_threads(void)
{
#ifdef _OPENMP
    int n = atomic_load_explicit(&wanted_threads, memory_order_relaxed);
    return n > 0 ? n : omp_get_max_threads();
#else
    return 1;
#endif
}

/* ---- the kernels ---- */

static const gr__kernels *chosen;
static const char        *refusal;
static pthread_once_t     once = PTHREAD_ONCE_INIT;

static void choose(void)
{
    const char *kernels = getenv("GRADUS_KERNELS"), *isa = getenv("GRADUS_ISA");
    chosen = gr__kernels_pick(kernels && *kernels ? kernels : NULL, isa && *isa ? isa : NULL, &refusal);
}

const gr__kernels *gr__k(void)
{
    pthread_once(&once, choose);
    if (!chosen)
        gr__fail(GR_ERR_SYSTEM, "kernels: %s", refusal);
    return chosen;
}

const char *gr_kernels(void)
{
    const gr__kernels *k = gr__k();
    return k ? k->isa : NULL;
}

const char *gr_version(void)
{
    return "0.1.0";
}

/* ---- loops ---- */

void gr__parallel(int64_t n, int64_t grain, void (*fn)(const void *arg, int64_t begin, int64_t end), const void *arg)
{
    if (n <= 0)
        return;
    if (grain < 1)
        grain = 1;
    int64_t chunks = (n + grain - 1) / grain;
    int threads = chunks > 1 ? gr_threads() : 1;
    if (threads == 1) {
        fn(arg, 0, n);
        return;
    }
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t c = 0; c < chunks; c++)
        fn(arg, c * grain, c == chunks - 1 ? n : (c + 1) * grain);
#endif
}

typedef struct phase {
    const gr__plan *plan;
    void (*fn)(const void *arg, int phase, int64_t task, void *shared, void *scratch);
    const void *arg;
    char       *shared, *scratch;
    size_t      scratch_step;
} phase;

static void run_phase(const phase *p, int number, int threads)
{
    int64_t tasks = p->plan->tasks[number];
#ifdef _OPENMP
    if (threads > 1 && tasks > 1) {
#pragma omp parallel for schedule(dynamic) num_threads(threads)
        for (int64_t i = 0; i < tasks; i++)
            p->fn(p->arg, number, i, p->shared, p->scratch + p->scratch_step * (size_t)omp_get_thread_num());
        return;
    }
#endif
    (void)threads;
    for (int64_t i = 0; i < tasks; i++)
        p->fn(p->arg, number, i, p->shared, p->scratch);
}

bool gr__run_plan(const gr__plan *plan, void (*fn)(const void *arg, int phase, int64_t task, void *shared, void *scratch), const void *arg, const char *what)
{
    int64_t most = 1;
    for (int i = 0; i < plan->phases; i++)
        most = plan->tasks[i] > most ? plan->tasks[i] : most;
    int threads = most > 1 ? gr_threads() : 1;
    phase p = { .plan = plan, .fn = fn, .arg = arg, .scratch_step = (plan->scratch + 63) / 64 * 64 };
    size_t shared_bytes = (plan->shared + 63) / 64 * 64, bytes = shared_bytes + p.scratch_step * (size_t)threads;
    if (bytes && !(p.shared = gr__alloc(bytes)))
        return gr__fail_memory(what, bytes);
    p.scratch = p.shared + shared_bytes;
    for (int i = 0; i < plan->phases; i++)
        run_phase(&p, i, threads);
    gr__release(p.shared, bytes);
    return true;
}
