/* ahead.c: a thread that does one job ahead of the time when it is wanted.

   Invariant: from gr__ahead_begin to gr__ahead_finish the job, and all that it works on, is the thread's; otherwise it is the caller's.
   A thread that cannot be had, or was lost in a fork, is done without: gr__ahead_finish then does the job. */
#include "data/data.h"

#include <unistd.h>

enum { IDLE, BEGUN, DONE };

static void do_job(gr__ahead *a)
{
    gr__fail_for_another(true);
    a->work(a->arg);
    a->failure = gr__take_failure();
    gr__fail_for_another(false);
}

/* A child process has not got the thread. */
static bool has_thread(const gr__ahead *a) { return a->threaded && a->process == getpid(); }

#ifdef GRADUS_NO_THREADS

static bool start(gr__ahead *a)
{
    (void)a;
    return false;
}

#else

static void *run(void *arg)
{
    gr__ahead *a = arg;
    pthread_mutex_lock(&a->lock);
    while (!a->stop) {
        if (a->state != BEGUN) {
            pthread_cond_wait(&a->changed, &a->lock);
            continue;
        }
        pthread_mutex_unlock(&a->lock);
        do_job(a);
        pthread_mutex_lock(&a->lock);
        a->state = DONE;
        pthread_cond_broadcast(&a->changed);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

static bool start(gr__ahead *a) { return pthread_create(&a->thread, NULL, run, a) == 0; }

#endif

static void hire(gr__ahead *a)
{
    if (a->process != getpid()) { /* after a fork the lock may be held by nobody who is there */
        pthread_mutex_init(&a->lock, NULL);
        pthread_cond_init(&a->changed, NULL);
        a->process = getpid();
    }
    a->threaded = true; /* before there is a thread that reads it */
    if (!start(a)) a->threaded = false;
}

void gr__ahead_begin(gr__ahead *a)
{
    if (!has_thread(a)) hire(a);
    pthread_mutex_lock(&a->lock);
    a->state = BEGUN;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

const gr__failure *gr__ahead_finish(gr__ahead *a)
{
    if (!has_thread(a)) {
        a->threaded = false;
        if (a->state == BEGUN) do_job(a);
        a->state = IDLE;
        return &a->failure;
    }
    pthread_mutex_lock(&a->lock);
    while (a->state == BEGUN) pthread_cond_wait(&a->changed, &a->lock);
    a->state = IDLE;
    pthread_mutex_unlock(&a->lock);
    return &a->failure;
}

void gr__ahead_end(gr__ahead *a)
{
    if (!has_thread(a)) return;
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
}
