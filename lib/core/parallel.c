/* parallel.c: the kernels in use, and the threads that run them.

   Invariant: how work is cut depends on its shape alone; threads only claim pieces, so the result
   does not depend on their number. */
#include "core/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_int wanted_threads; /* 0: the usual number */
static atomic_int usual_threads;  /* 0: not counted yet */

bool gr_set_threads(int threads)
{
    if (threads < 0)
        return gr__fail(GR_ERR_ARGUMENT, "set_threads: %d threads: 0 or more wanted", threads);
    atomic_store(&wanted_threads, threads);
    if (threads == 0) atomic_store(&usual_threads, 0);
    return true;
}

#ifdef GRADUS_NO_THREADS

int gr_threads(void) { return 1; }

#else

static int count_threads(void)
{
    const char *wish = getenv("OMP_NUM_THREADS");
    int         n = wish ? atoi(wish) : 0;
    if (n <= 0) n = gr__processors();
    atomic_store(&usual_threads, n);
    return n;
}

int gr_threads(void)
{
    int n = atomic_load_explicit(&wanted_threads, memory_order_relaxed);
    if (n <= 0) n = atomic_load_explicit(&usual_threads, memory_order_relaxed);
    if (n <= 0) n = count_threads();
    return n < GR__MOST_THREADS ? n : GR__MOST_THREADS;
}

#endif

/* ---- the kernels ---- */

const gr__kernels *_Atomic gr__k_chosen;
static char                refusal[400];
static const char         *conv_wish; /* of conv_plan */
static atomic_bool         chosen;

const char *gr__k_conv(void) { return conv_wish; }

/* The name of algorithm i, in the order of choice; NULL: it is that of the one before, or there is
   none. */
static const char *conv_name(const gr__kernels *k, int i)
{
    const gr__conv_algorithm *const *all = k->conv_algorithms;
    return i > 0 && !strcmp(all[i]->name, all[i - 1]->name) ? NULL : all[i]->name;
}

static void list_conv(const gr__kernels *k)
{
    puts("direct         all that are marked with a star: sums of products, without transforms");
    for (int i = 0; k->conv_algorithms[i]; i++)
        if (conv_name(k, i))
            printf("%-14s %s\n", conv_name(k, i), k->conv_algorithms[i]->exact ? "*" : "");
}

static bool read_conv_wish(const gr__kernels *k, const char *wish)
{
    if (!wish || !*wish) return true;
    if (!strcmp(wish, "list")) {
        list_conv(k);
        return true;
    }
    bool known = !strcmp(wish, "direct");
    for (int i = 0; k->conv_algorithms[i]; i++)
        known = known || !strcmp(wish, k->conv_algorithms[i]->name);
    conv_wish = known ? wish : NULL;
    int n = snprintf(
        refusal, sizeof refusal, "GRADUS_CONV: there is no %.40s; there are list, direct", wish);
    for (int i = 0; !known && k->conv_algorithms[i]; i++)
        if (conv_name(k, i))
            n += snprintf(refusal + n, sizeof refusal - (size_t)n, ", %s", conv_name(k, i));
    return known;
}

static void choose(void)
{
    const char        *why = "";
    const gr__kernels *k = gr__kernels_pick(getenv("GRADUS_KERNELS"), getenv("GRADUS_ISA"), &why);
    snprintf(refusal, sizeof refusal, "%s", why);
    if (k && read_conv_wish(k, getenv("GRADUS_CONV"))) atomic_store(&gr__k_chosen, k);
}

const gr__kernels *gr__k_first(void)
{
    gr__once(&chosen, choose);
    const gr__kernels *k = atomic_load(&gr__k_chosen);
    if (!k) gr__fail(GR_ERR_SYSTEM, "kernels: %s", refusal);
    return k;
}

const char *gr_kernels(void)
{
    const gr__kernels *k = gr__k();
    return k ? k->isa : NULL;
}

const char *gr_version(void) { return "0.1.0"; }

/* ---- loops ---- */

typedef struct range {
    void (*fn)(const void *arg, int64_t begin, int64_t end);
    const void *arg;
    int64_t     n, grain, chunks;
} range;

static void run_chunk(const void *arg, int64_t chunk, int thread)
{
    const range *r = arg;
    (void)thread;
    r->fn(r->arg, chunk * r->grain, chunk == r->chunks - 1 ? r->n : (chunk + 1) * r->grain);
}

void gr__parallel(int64_t n, int64_t grain, void (*fn)(const void *arg, int64_t begin, int64_t end),
    const void *arg)
{
    if (n <= 0) return;
    int threads = n > grain ? gr_threads() : 1;
    if (n <= 1 || threads == 1) {
        fn(arg, 0, n);
        return;
    }
    range r = { fn, arg, n, grain < 1 ? 1 : grain, 0 };
    r.chunks = (n + r.grain - 1) / r.grain;
    gr__workers_run(run_chunk, &r, r.chunks, threads);
}

typedef struct stage {
    gr__planned *fn;
    const void  *arg;
    char        *shared, *scratch;
    size_t       scratch_step;
    int          number;
} stage;

static void run_task(const void *arg, int64_t task, int thread)
{
    const stage *p = arg;
    /* a sum with NULL is not defined */
    char        *scratch = p->scratch ? p->scratch + p->scratch_step * (size_t)thread : NULL;
    p->fn(p->arg, p->number, task, p->shared, scratch);
}

/* Multiply-adds that are over before a second thread has woken. */
static const double small_work = 1e5;

bool gr__run_plan(
    const gr__plan *plan, double work, gr__planned *fn, const void *arg, const char *what)
{
    if (plan->stages == 1 && plan->tasks[0] == 1 && !plan->shared && !plan->scratch) {
        fn(arg, 0, 0, NULL, NULL);
        return true;
    }
    int64_t most = 1;
    for (int i = 0; i < plan->stages; i++) most = plan->tasks[i] > most ? plan->tasks[i] : most;
    int threads = most > 1 && work > small_work ? gr_threads() : 1;
    if (threads > most) threads = (int)most;
    stage  p = { .fn = fn, .arg = arg, .scratch_step = (plan->scratch + 63) / 64 * 64 };
    size_t shared_bytes = (plan->shared + 63) / 64 * 64,
           bytes = shared_bytes + p.scratch_step * (size_t)threads;
    if (bytes && !(p.shared = gr__alloc(bytes))) return gr__fail_memory(what, bytes);
    p.scratch = p.shared ? p.shared + shared_bytes : NULL;
    for (p.number = 0; p.number < plan->stages; p.number++)
        gr__workers_run(run_task, &p, plan->tasks[p.number], threads);
    gr__release(p.shared, bytes);
    return true;
}
