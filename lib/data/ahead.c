/* ahead.c: background prefetching: a thread that does one job in advance.

   Invariant: from gr__ahead_begin to gr__ahead_finish the job, and all that it works on, is the
   thread's; otherwise it is the caller's. A thread that cannot be had, or was lost in a fork, is
   done without: gr__ahead_finish then does the job. Invariant: what gr__ahead_finish hands over was
   computed in its caller's floating-point environment: a job that was done in another is done
   again.

   One batch in advance, not more: preparing a batch takes about the same time each time, so a
   queue would take memory and gain nothing. The thread does not use the pool, which is for the
   training. Its failures become those of the call that takes the batch. */
#include "data/data.h"

enum { IDLE, BEGUN, DONE };

static void do_job(gr__ahead *a)
{
    gr__fail_for_another(true);
    a->work(a->arg);
    a->failure = gr__take_failure();
    gr__fail_for_another(false);
}

/* A child process has not got the thread. */
static bool has_thread(const gr__ahead *a) { return a->threaded && a->forks == gr__forks(); }

static void *ahead_run(void *arg)
{
    gr__ahead *a = arg;
    gr__lock(&a->lock);
    while (!a->stop) {
        if (a->state != BEGUN) {
            gr__wait(&a->lock);
            continue;
        }
        gr__fp fp = a->fp;
        gr__unlock(&a->lock);
        gr__fp_take(&fp);
        do_job(a);
        gr__lock(&a->lock);
        a->state = DONE;
        gr__wake(&a->lock);
    }
    gr__unlock(&a->lock);
    return NULL;
}

static void ahead_hire(gr__ahead *a)
{
    if (!a->has_lock) gr__mutex_begin(&a->lock);
    a->has_lock = true;
    a->forks = gr__forks();
    a->threaded = true; /* before there is a thread that reads it */
    if (!gr__thread_start(&a->thread, ahead_run, a)) a->threaded = false;
}

void gr__ahead_begin(gr__ahead *a)
{
    if (!has_thread(a)) ahead_hire(a);
    gr__lock(&a->lock);
    a->fp = gr__fp_mine();
    a->state = BEGUN;
    gr__wake(&a->lock);
    gr__unlock(&a->lock);
}

const gr__failure *gr__ahead_finish(gr__ahead *a)
{
    if (!has_thread(a)) {
        a->threaded = false;
    } else {
        gr__lock(&a->lock);
        while (a->state == BEGUN) gr__wait(&a->lock);
        gr__unlock(&a->lock);
    }
    gr__fp mine = gr__fp_mine();
    if (a->state == BEGUN || (a->state == DONE && !gr__fp_same(&mine, &a->fp))) do_job(a);
    a->state = IDLE;
    return &a->failure;
}

void gr__ahead_end(gr__ahead *a)
{
    if (has_thread(a)) {
        gr__lock(&a->lock);
        a->stop = true;
        gr__wake(&a->lock);
        gr__unlock(&a->lock);
        gr__thread_join(a->thread);
    }
    if (a->has_lock) gr__mutex_end(&a->lock);
}
