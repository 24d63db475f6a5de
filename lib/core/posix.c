/* posix.c: what the library asks of the system about threads: locks, forks, how a thread begins,
   and what it takes over with each job.

   Invariant: every lock of the library is a gr__mutex and on one list. The thread that forks holds
   them all, so a child process begins with consistent data and with all of them free. It has none
   of the library's threads.
   Invariant: a thread of the library blocks every signal except those that its own instructions
   raise, and may run on every processor of the process. */
#include "core/core.h"

#include <signal.h>

/* ---- locks ---- */

#define FREE                                                                    \
    {                                                                           \
        .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER \
    }
gr__mutex         gr__locks[GR__LOCKS] = { FREE, FREE, FREE, FREE, FREE };
static gr__mutex  listed = FREE; /* protects the list of the others, and comes before all */
static gr__mutex *others;
_Static_assert(GR__LOCKS == 5, "each lock has its initial value");

void gr__lock(gr__mutex *m) { pthread_mutex_lock(&m->mutex); }
void gr__unlock(gr__mutex *m) { pthread_mutex_unlock(&m->mutex); }
void gr__wait(gr__mutex *m) { pthread_cond_wait(&m->changed, &m->mutex); }
void gr__wake(gr__mutex *m) { pthread_cond_broadcast(&m->changed); }

void gr__mutex_begin(gr__mutex *m)
{
    pthread_mutex_init(&m->mutex, NULL);
    pthread_cond_init(&m->changed, NULL);
    gr__lock(&listed);
    m->next = others;
    m->prev = NULL;
    if (m->next) m->next->prev = m;
    others = m;
    gr__unlock(&listed);
}

void gr__mutex_end(gr__mutex *m)
{
    gr__lock(&listed);
    *(m->prev ? &m->prev->next : &others) = m->next;
    if (m->next) m->next->prev = m->prev;
    gr__unlock(&listed);
    pthread_cond_destroy(&m->changed);
    pthread_mutex_destroy(&m->mutex);
}

void gr__once(atomic_bool *done, void (*fn)(void))
{
    if (atomic_load_explicit(done, memory_order_acquire)) return;
    gr__lock(&gr__locks[GR__LOCK_ONCE]);
    if (!atomic_load_explicit(done, memory_order_relaxed)) {
        fn();
        atomic_store_explicit(done, true, memory_order_release);
    }
    gr__unlock(&gr__locks[GR__LOCK_ONCE]);
}

/* ---- forks ---- */

static atomic_uint forks;

unsigned gr__forks(void) { return atomic_load_explicit(&forks, memory_order_relaxed); }

static void with_each(void (*fn)(gr__mutex *))
{
    for (int i = 0; i < GR__LOCKS; i++) fn(&gr__locks[i]);
    for (gr__mutex *m = others; m; m = m->next) fn(m);
}

static void before_fork(void)
{
    gr__lock(&listed);
    with_each(gr__lock);
}

static void in_parent(void)
{
    with_each(gr__unlock);
    gr__unlock(&listed);
}

/* Those who waited for a change are not there any more. */
static void renew(gr__mutex *m)
{
    pthread_cond_init(&m->changed, NULL);
    gr__unlock(m);
}

static void in_child(void)
{
    atomic_fetch_add(&forks, 1);
    gr__workers_forget();
    with_each(renew);
    gr__unlock(&listed);
}

__attribute__((constructor)) static void library_begin(void)
{
    pthread_atfork(before_fork, in_parent, in_child);
    gr__processors_look();
}

/* ---- threads ---- */

#ifdef GRADUS_NO_THREADS

bool gr__thread_start(gr__os_thread *t, void *(*fn)(void *), void *arg)
{
    (void)t, (void)fn, (void)arg;
    return false;
}

#else

/* A signal that an instruction of the thread raises, such as a fault, would end the process if it
   were blocked: it stays as the caller has it. */
static void block_signals(sigset_t *was)
{
    static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS };
    sigset_t         all;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) sigdelset(&all, own[i]);
    pthread_sigmask(SIG_BLOCK, &all, was);
}

bool gr__thread_start(gr__os_thread *t, void *(*fn)(void *), void *arg)
{
    sigset_t was;
    block_signals(&was);
    bool started = pthread_create(t, NULL, fn, arg) == 0;
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    if (started) gr__processors_allow(*t, -1);
    return started;
}

#endif

void gr__thread_join(gr__os_thread t) { pthread_join(t, NULL); }

static pthread_key_t at_end;
static void (*_Atomic end_of_thread)(void *);
static atomic_bool has_key;

static void make_key(void) { pthread_key_create(&at_end, end_of_thread); }

void gr__at_thread_end(void (*fn)(void *), void *arg)
{
    end_of_thread = fn;
    gr__once(&has_key, make_key);
    pthread_setspecific(at_end, arg);
}

void gr__no_thread_end(void)
{
    gr__once(&has_key, make_key);
    pthread_key_delete(at_end);
}

/* ---- the floating-point environment, without the exceptions raised so far ---- */

#if defined __x86_64__

static const unsigned RAISED = 0x3f;

gr__fp gr__fp_mine(void)
{
    gr__fp e = { .sse = __builtin_ia32_stmxcsr() & ~RAISED };
    __asm__ volatile("fnstcw %0" : "=m"(e.x87));
    return e;
}

bool gr__fp_same(const gr__fp *a, const gr__fp *b) { return a->sse == b->sse && a->x87 == b->x87; }

void gr__fp_take(const gr__fp *e)
{
    gr__fp mine = gr__fp_mine();
    if (mine.sse != e->sse) __builtin_ia32_ldmxcsr(e->sse);
    if (mine.x87 != e->x87) __asm__ volatile("fldcw %0" : : "m"(e->x87));
}

#elif defined __aarch64__

gr__fp gr__fp_mine(void)
{
    gr__fp e;
    __asm__ volatile("mrs %0, fpcr" : "=r"(e.control));
    return e;
}

bool gr__fp_same(const gr__fp *a, const gr__fp *b) { return a->control == b->control; }

void gr__fp_take(const gr__fp *e)
{
    gr__fp mine = gr__fp_mine();
    if (!gr__fp_same(&mine, e)) __asm__ volatile("msr fpcr, %0" : : "r"(e->control));
}

#else

gr__fp gr__fp_mine(void)
{
    gr__fp e = { .rounding = fegetround() };
    fegetenv(&e.all);
    return e;
}

bool gr__fp_same(const gr__fp *a, const gr__fp *b) { return a->rounding == b->rounding; }

void gr__fp_take(const gr__fp *e) { fesetenv(&e->all); }

#endif
