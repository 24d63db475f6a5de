/* workers.c: the threads that help with one operation.

   One job at a time: tasks 0 .. n-1. Each thread has a share of them, which is the same whenever as
   many tasks are shared out, so that it mostly finds in its own caches what it wrote for the job
   before; a thread that is through with its share claims from the others'. The caller works too,
   and at the end waits for those workers alone that are inside the job; one that has not woken yet,
   because another process has the processor, is not waited for. (A team that meets at a barrier
   waits for all its members: with one busy process beside it, that was measured to cost ten times
   the work itself.) A caller that finds the workers busy does its job alone.

   The system may leave a worker on the caller's processor for as long as one busy process keeps the
   other: two threads then share a processor, and take longer than one would. So a worker that was
   seen there is sent to the others, which halves the time beside such a process.

   Invariant: the job's fields change only while the door is shut and nobody is inside, and a worker
   reads them only inside. */
#define _GNU_SOURCE /* sched_getcpu */
#include "core/core.h"

#include <sched.h>

enum { MOST_WORKERS = GR__MOST_THREADS - 1, SPINS = 4000 };

typedef struct share {
    _Alignas(64) atomic_int_fast64_t next;
    int64_t end;
} share;

static struct {
    /* the door: the number of workers inside, SHUT, and above it how often it was opened */
    atomic_ulong  door;
    atomic_flag   busy;
    atomic_int    asleep; /* with the lock held; those who sleep wait with it */
    atomic_bool   stop;
    int           workers;
    gr__os_thread thread[MOST_WORKERS];
    int           number[MOST_WORKERS];
    /* the processor that each last entered a job on; -1: not known */
    atomic_int    processor[MOST_WORKERS];

    /* the job */
    gr__task   *fn;
    const void *arg;
    int         threads;
    gr__fp      fp; /* the caller's */
    share       shares[GR__MOST_THREADS];
} team = { .door = 0x10000, .busy = ATOMIC_FLAG_INIT };

static gr__mutex *const lock = &gr__locks[GR__LOCK_WORKERS];

static const unsigned long SHUT = 0x10000, OPENED_ONCE = 0x20000, INSIDE = 0xffff;

static void pause_briefly(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

static unsigned long times_opened(void) { return atomic_load(&team.door) / OPENED_ONCE; }

/* ---- where they run -------------------------------------------------------------------------- */

#ifdef __linux__

static void note_processor(int worker)
{
    atomic_store_explicit(&team.processor[worker], sched_getcpu(), memory_order_relaxed);
}

static void send_away(int worker, int from)
{
    gr__processors_allow(team.thread[worker], from);
    atomic_store_explicit(&team.processor[worker], -1, memory_order_relaxed);
}

static void spread_out(void)
{
    int here = sched_getcpu();
    for (int i = 0; here >= 0 && i < team.workers; i++)
        if (atomic_load_explicit(&team.processor[i], memory_order_relaxed) == here)
            send_away(i, here);
}

#else

static void note_processor(int worker) { (void)worker; }

static void spread_out(void) {}

#endif

/* ---- a worker -------------------------------------------------------------------------------- */

static void claim(int thread)
{
    for (int i = 0, threads = team.threads; i < threads; i++) {
        share *s = &team.shares[(thread + i) % threads];
        while (atomic_load_explicit(&s->next, memory_order_relaxed) < s->end) {
            int64_t task = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed);
            if (task < s->end) team.fn(team.arg, task, thread);
        }
    }
}

static bool enter(void)
{
    unsigned long door = atomic_load(&team.door);
    while (!(door & SHUT))
        if (atomic_compare_exchange_weak(&team.door, &door, door + 1)) return true;
    return false;
}

/* Until the door has been opened again: awake at first, for operations come close together, then
   asleep. */
static void wait_for_job(unsigned long seen)
{
    for (int i = 0; i < SPINS; i++) {
        if (times_opened() != seen || atomic_load_explicit(&team.stop, memory_order_relaxed))
            return;
        pause_briefly();
    }
    gr__lock(lock);
    atomic_fetch_add(&team.asleep, 1);
    while (times_opened() == seen && !atomic_load(&team.stop)) gr__wait(lock);
    atomic_fetch_sub(&team.asleep, 1);
    gr__unlock(lock);
}

static void *work(void *arg)
{
    int           thread = *(const int *)arg;
    unsigned long seen = 0;
    while (!atomic_load(&team.stop)) {
        wait_for_job(seen);
        seen = times_opened();
        if (!enter()) continue;
        note_processor(thread - 1);
        if (thread < team.threads) {
            gr__fp_take(&team.fp);
            claim(thread);
        }
        atomic_fetch_sub(&team.door, 1);
    }
    return NULL;
}

/* ---- the caller ------------------------------------------------------------------------------ */

static void wake_workers(void)
{
    gr__lock(lock);
    gr__wake(lock);
    gr__unlock(lock);
}

/* A job that another thread of the parent was in is nobody's here. */
void gr__workers_forget(void)
{
    team.workers = 0;
    atomic_store(&team.door, SHUT);
    atomic_store(&team.asleep, 0);
    atomic_flag_clear(&team.busy);
}

/* Workers that cannot be had are done without. */
static void start_workers(int workers)
{
    for (int i; (i = team.workers) < workers; team.workers++) {
        team.number[i] = i + 1;
        atomic_store(&team.processor[i], -1);
        if (!gr__thread_start(&team.thread[i], work, &team.number[i])) return;
    }
}

void gr__workers_dismiss(void)
{
    atomic_store(&team.stop, true);
    wake_workers();
    for (int i = 0; i < team.workers; i++) gr__thread_join(team.thread[i]);
}

static void alone(gr__task *fn, const void *arg, int64_t tasks)
{
    for (int64_t i = 0; i < tasks; i++) fn(arg, i, 0);
}

static void share_out(int64_t tasks, int threads)
{
    for (int i = 0; i < threads; i++) {
        atomic_store_explicit(&team.shares[i].next, tasks * i / threads, memory_order_relaxed);
        team.shares[i].end = tasks * (i + 1) / threads;
    }
}

void gr__workers_run(gr__task *fn, const void *arg, int64_t tasks, int threads)
{
    bool one = threads < 2 || tasks < 2;
    if (one || atomic_flag_test_and_set_explicit(&team.busy, memory_order_acquire)) {
        alone(fn, arg, tasks);
        return;
    }
    start_workers(threads - 1);
    spread_out();
    team.fn = fn;
    team.arg = arg;
    team.threads = threads;
    team.fp = gr__fp_mine();
    share_out(tasks, threads);
    atomic_store(&team.door, (times_opened() + 1) * OPENED_ONCE);
    if (atomic_load(&team.asleep) > 0) wake_workers();
    claim(0);
    atomic_fetch_or(&team.door, SHUT);
    for (int spins = 0; atomic_load(&team.door) & INSIDE; spins++)
        spins < SPINS ? pause_briefly() : (void)sched_yield();
    atomic_flag_clear_explicit(&team.busy, memory_order_release);
}
