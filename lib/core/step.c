/* step.c: steps, and the lifetimes they give.

   A step owns the tensors made while it was the innermost, and the part of the tape recorded since
   it began. Invariant: tensors of an inner step are younger than every node of the outer ones,
   except kept ones, which have no history; so cutting the tape back to the mark leaves no node that
   knows a tensor of the step.

   Opening a step cannot fail for the first sixteen depths: the thread has them ready, so a loop
   that runs out of memory in GR_STEP still releases what it made. Constants that a vjp makes
   belong to the step (gr__constant), as does what a user's backward function makes by gr_zeros
   and the like, since nobody could free them.

   What a thread has is a struct on the heap, found through one thread variable of the
   initial-exec model (gr__me), without a call. Such variables take room that all libraries
   loaded late share, about 1.6 KB; those of this library take 32 bytes, and tests/test_load.sh
   allows 64. Sixteen structs are kept for threads whose first call comes when memory is out.

   libgradus.so stays mapped after dlclose (-z nodelete): threads that have used it may end
   later, and the C library then calls a destructor in it; and room for static thread variables
   is given back only in reverse order. A plug-in that contains libgradus.a may be unloaded:
   library_end stops the workers, frees what the closing thread has, and deletes the key; glibc
   removes the fork handlers. */
#include "core/core.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct gr__string string;

struct gr__string {
    string *next;
    size_t  bytes;
    char    s[];
};

_Thread_local GR__NEAR gr__thread *gr__me;

/* For threads whose first call comes when the system has no memory. */
enum { RESERVE = 16 };
static gr__thread  step_reserve[RESERVE];
static atomic_bool taken[RESERVE];

static void empty(gr__thread *me, gr__step *step)
{
    gr__tape_cut(me, step->mark);
    while (step->tensors) {
        gr_tensor *t = step->tensors;
        gr__disown(t);
        gr__unref(t);
    }
    while (step->strings) {
        string *s = step->strings;
        step->strings = s->next;
        gr__release(s, s->bytes);
    }
}

static void end_until(gr__thread *me, int depth)
{
    while (me->step->depth >= depth && me->step->outer) {
        gr__step *step = me->step;
        empty(me, step);
        me->step = step->outer;
        if (step->depth > GR__READY_STEPS) gr__release(step, sizeof *step);
    }
}

static void thread_end(void *arg)
{
    gr__thread *me = arg;
    end_until(me, 1);
    empty(me, &me->base);
    gr__array_free(&me->tape);
    gr__array_free(&me->spare);
    gr__cache_end(&me->cache);
    gr__me = NULL; /* what runs after this, such as another key's destructor, begins anew */
    if (me->reserved)
        atomic_store(&taken[me - step_reserve], false);
    else
        free(me);
}

/* When the process ends, or the library is unloaded. No thread may call thread_end by its key after
   that; this one does it here, and the library's own threads do it when they end. */
__attribute__((destructor)) static void library_end(void)
{
    gr__workers_dismiss();
    if (gr__me) thread_end(gr__me);
    gr__memory_give_back(); /* a plug-in that contains the library leaves nothing behind */
    if (gr__me) thread_end(gr__me);
    gr__no_thread_end();
}

static gr__thread *reserved(void)
{
    for (int i = 0; i < RESERVE; i++)
        if (!atomic_exchange(&taken[i], true)) {
            step_reserve[i] = (gr__thread){ .reserved = true };
            return &step_reserve[i];
        }
    return NULL;
}

/* A seventeenth thread that finds no memory waits until there is some. */
gr__thread *gr__thread_begin(void)
{
    static atomic_uint_fast64_t threads;
    gr__thread                 *me;
    while (!(me = calloc(1, sizeof *me)) && !(me = reserved()))
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    /* another one, too, for what begins anew after its end */
    me->id = atomic_fetch_add(&threads, 1) + 1;
    me->step = &me->base;
    gr__me = me;
    gr__at_thread_end(thread_end, me); /* should that fail, what the thread has is not freed */
    return me;
}

gr_step gr_step_begin(void)
{
    gr__thread *me = gr__self();
    int         depth = me->step->depth + 1;
    gr__step   *step = depth <= GR__READY_STEPS ? &me->ready[depth - 1] : gr__alloc(sizeof *step);
    if (!step) {
        gr__fail_memory("step_begin", sizeof *step);
        return (gr_step){ 0 };
    }
    *step = (gr__step){ .outer = me->step, .depth = depth, .mark = gr__array_length(me->tape) };
    me->step = step;
    return (gr_step){ .depth = step->depth, .thread = me->id };
}

void gr_step_end(gr_step *step)
{
    if (!step || step->depth <= 0) return;
    gr__thread *me = gr__self();
    if (step->thread != me->id) {
        gr__fail(GR_ERR_GRAPH, "step_end: the step was opened by another thread");
        return;
    }
    end_until(me, step->depth);
    step->depth = 0;
}

bool gr_reset(void)
{
    gr__thread *me = gr__self();
    if (me->step != &me->base)
        return gr__fail(GR_ERR_ARGUMENT, "reset: a step is open, %d deep", me->step->depth);
    if (me->in_vjp) return gr__fail(GR_ERR_GRAPH, "reset: a backward pass is under way");
    empty(me, &me->base);
    return true;
}

/* A step of the thread that has the id. */
static void own_by(gr__step *step, uint64_t id, gr_tensor *t)
{
    t->owner = step;
    t->thread = id;
    t->prev = NULL;
    t->next = step->tensors;
    if (t->next) t->next->prev = t;
    step->tensors = t;
}

gr_tensor *gr__own(gr_tensor *t)
{
    const gr__thread *me = gr__self();
    if (t) own_by(me->step, me->id, t);
    return t;
}

gr_tensor *gr__own_leaf(gr_tensor *t)
{
    const gr__thread *me = gr__self();
    return t && (me->step->outer || me->in_vjp) ? gr__own(t) : t;
}

void gr__disown(gr_tensor *t)
{
    if (!t->owner) return;
    if (t->prev)
        t->prev->next = t->next;
    else
        t->owner->tensors = t->next;
    if (t->next) t->next->prev = t->prev;
    t->owner = NULL;
    t->prev = t->next = NULL;
}

static bool of_another(const char *what, const gr_tensor *t)
{
    return gr__fail(GR_ERR_GRAPH,
        "%s: %s belongs to another thread, which made it; here it can only be read", what,
        GR__LABEL(t));
}

bool gr__recorded_here(const char *what, const gr_tensor *t)
{
    return !gr__foreign(gr__self(), t) || of_another(what, t);
}

/* Whether no other thread's step or tape knows it. */
static bool at_home(const char *what, const gr_tensor *t)
{
    return (!t->owner && !t->node) || t->thread == gr__self()->id || of_another(what, t);
}

bool gr__take_from_base(gr_tensor *t, const char *what)
{
    if (!at_home(what, t)) return false;
    if (t->owner && !t->owner->outer) gr__disown(t);
    return true;
}

gr_tensor *gr_keep(gr_tensor *t)
{
    if (!t) {
        gr__fail(GR_ERR_ARGUMENT, "keep: the tensor is NULL");
        return NULL;
    }
    if (!at_home("keep", t)) return NULL;
    gr__step *outer = t->owner ? t->owner->outer : NULL;
    gr__disown(t);
    if (outer && outer->outer) own_by(outer, t->thread, t);
    t->node = NULL;
    return t;
}

void gr_free(gr_tensor *t)
{
    if (!t || !at_home("free", t)) return;
    gr__disown(t);
    gr__unref(t);
}

char *gr__string(size_t bytes)
{
    string *s = gr__alloc(sizeof *s + bytes);
    if (!s) {
        gr__fail_memory("string", bytes);
        return NULL;
    }
    gr__step *step = gr__self()->step;
    s->bytes = sizeof *s + bytes;
    s->next = step->strings;
    step->strings = s;
    return s->s;
}

const char *gr_name(const char *format, ...)
{
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int   length = vsnprintf(NULL, 0, format, ap);
    char *s = length < 0 ? NULL : gr__string((size_t)length + 1);
    if (s) vsnprintf(s, (size_t)length + 1, format, again);
    va_end(again);
    va_end(ap);
    return s;
}
