/* pool.c: the threads that help with one operation.

   One job at a time: tasks 0 .. n-1. Each thread has a share of them, which is the same whenever as
   many tasks are shared out, so that it mostly finds in its own caches what it wrote for the job
   before; a thread that is through with its share claims from the others'. The caller works too,
   and at the end waits for those workers alone that are inside the job; one that has not woken yet,
   because another process has the processor, is not waited for. (A team that meets at a barrier
   waits for all its members: with one busy process beside it, that was measured to cost ten times
   the work itself.) A caller that finds the pool busy does its job alone.

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
    atomic_int    seat[MOST_WORKERS];

    /* the job */
    gr__task   *fn;
    const void *arg;
    int         threads;
    gr__fp      fp; /* the caller's */
    share       shares[GR__MOST_THREADS];
} pool = { .door = 0x10000, .busy = ATOMIC_FLAG_INIT };

static gr__mutex *const lock = &gr__locks[GR__LOCK_POOL];

static const unsigned long SHUT = 0x10000, OPENED_ONCE = 0x20000, INSIDE = 0xffff;

static void pause_briefly(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

static unsigned long times_opened(void) { return atomic_load(&pool.door) / OPENED_ONCE; }

/* ---- where they run -------------------------------------------------------------------------- */

#ifdef __linux__

static void note_seat(int worker)
{
    atomic_store_explicit(&pool.seat[worker], sched_getcpu(), memory_order_relaxed);
}

static void send_away(int worker, int from)
{
    gr__processors_allow(pool.thread[worker], from);
    atomic_store_explicit(&pool.seat[worker], -1, memory_order_relaxed);
}

static void spread_out(void)
{
    int here = sched_getcpu();
    for (int i = 0; here >= 0 && i < pool.workers; i++)
        if (atomic_load_explicit(&pool.seat[i], memory_order_relaxed) == here) send_away(i, here);
}

#else

static void note_seat(int worker) { (void)worker; }

static void spread_out(void) {}

#endif

/* ---- a worker -------------------------------------------------------------------------------- */

static void claim(int thread)
{
    for (int i = 0, threads = pool.threads; i < threads; i++) {
        share *s = &pool.shares[(thread + i) % threads];
        while (atomic_load_explicit(&s->next, memory_order_relaxed) < s->end) {
            int64_t task = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed);
            if (task < s->end) pool.fn(pool.arg, task, thread);
        }
    }
}

static bool enter(void)
{
    unsigned long door = atomic_load(&pool.door);
    while (!(door & SHUT))
        if (atomic_compare_exchange_weak(&pool.door, &door, door + 1)) return true;
    return false;
}

/* Until the door has been opened again: awake at first, for operations come close together, then
   asleep. */
static void wait_for_job(unsigned long seen)
{
    for (int i = 0; i < SPINS; i++) {
        if (times_opened() != seen || atomic_load_explicit(&pool.stop, memory_order_relaxed))
            return;
        pause_briefly();
    }
    gr__lock(lock);
    atomic_fetch_add(&pool.asleep, 1);
    while (times_opened() == seen && !atomic_load(&pool.stop)) gr__wait(lock);
    atomic_fetch_sub(&pool.asleep, 1);
    gr__unlock(lock);
}

static void *work(void *arg)
{
    int           thread = *(const int *)arg;
    unsigned long seen = 0;
    while (!atomic_load(&pool.stop)) {
        wait_for_job(seen);
        seen = times_opened();
        if (!enter()) continue;
        note_seat(thread - 1);
        if (thread < pool.threads) {
            gr__fp_take(&pool.fp);
            claim(thread);
        }
        atomic_fetch_sub(&pool.door, 1);
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
void gr__pool_forget(void)
{
    pool.workers = 0;
    atomic_store(&pool.door, SHUT);
    atomic_store(&pool.asleep, 0);
    atomic_flag_clear(&pool.busy);
}

/* Workers that cannot be had are done without. */
static void hire(int workers)
{
    for (int i; (i = pool.workers) < workers; pool.workers++) {
        pool.number[i] = i + 1;
        atomic_store(&pool.seat[i], -1);
        if (!gr__thread_start(&pool.thread[i], work, &pool.number[i])) return;
    }
}

void gr__pool_dismiss(void)
{
    atomic_store(&pool.stop, true);
    wake_workers();
    for (int i = 0; i < pool.workers; i++) gr__thread_join(pool.thread[i]);
}

static void alone(gr__task *fn, const void *arg, int64_t tasks)
{
    for (int64_t i = 0; i < tasks; i++) fn(arg, i, 0);
}

static void share_out(int64_t tasks, int threads)
{
    for (int i = 0; i < threads; i++) {
        atomic_store_explicit(&pool.shares[i].next, tasks * i / threads, memory_order_relaxed);
        pool.shares[i].end = tasks * (i + 1) / threads;
    }
}

void gr__pool_run(gr__task *fn, const void *arg, int64_t tasks, int threads)
{
    bool one = threads < 2 || tasks < 2;
    if (one || atomic_flag_test_and_set_explicit(&pool.busy, memory_order_acquire)) {
        alone(fn, arg, tasks);
        return;
    }
    hire(threads - 1);
    spread_out();
    pool.fn = fn;
    pool.arg = arg;
    pool.threads = threads;
    pool.fp = gr__fp_mine();
    share_out(tasks, threads);
    atomic_store(&pool.door, (times_opened() + 1) * OPENED_ONCE);
    if (atomic_load(&pool.asleep) > 0) wake_workers();
    claim(0);
    atomic_fetch_or(&pool.door, SHUT);
    for (int spins = 0; atomic_load(&pool.door) & INSIDE; spins++)
        spins < SPINS ? pause_briefly() : (void)sched_yield();
    atomic_flag_clear_explicit(&pool.busy, memory_order_release);
}
