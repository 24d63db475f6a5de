/* core.h (private): what the modules above core see of tensors, memory, errors and the tape.

   Ownership in one paragraph. A tensor has a count of references: one of its owner (a step, or the
   caller), one of every node that reads or made it, one of every gradient slot that holds it. A
   storage has one reference of every tensor that looks into it. A node belongs to the tape, the
   tape is cut back where a step ends. Tensors point to nodes weakly, nodes to tensors strongly, so
   there is no cycle and nothing is released recursively. */
#ifndef GR_CORE_H
#define GR_CORE_H

#include <fenv.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>

#include "gradus/core.h"
#include "kernels/kernels.h"

/* A thread variable that is found without a call. It makes all thread variables of the library, or
   of a plug-in that contains it, come from the little room that the loader keeps for libraries that
   are loaded late. So gr__me, a pointer, is the only one, and all else that a thread has is in the
   gr__thread that it points to. */
#if defined __GLIBC__ && defined __ELF__
#define GR__NEAR __attribute__((tls_model("initial-exec")))
#else
#define GR__NEAR
#endif

/* Whether the process is known to have one thread; it stays so until it makes another. */
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define GR__ALONE __libc_single_threaded
#else
#define GR__ALONE false
#endif

/* ---- posix.c: locks, forks, threads ---------------------------------------------------------- */

/* A lock and its condition variable. No thread takes a second lock, except inside gr__once, and
   that of memory, which comes last, where a map grows. */
typedef struct gr__mutex {
    pthread_mutex_t   mutex;
    pthread_cond_t    changed;
    struct gr__mutex *prev, *next;
} gr__mutex;
enum {
    GR__LOCK_ONCE,
    GR__LOCK_MAPS,
    GR__LOCK_WORKERS,
    GR__LOCK_PROCESSORS,
    GR__LOCK_MEMORY,
    GR__LOCKS
};
extern gr__mutex gr__locks[GR__LOCKS]; /* those that last as long as the library; others: */
void             gr__mutex_begin(gr__mutex *m);
void             gr__mutex_end(gr__mutex *m);
void             gr__lock(gr__mutex *m);
void             gr__unlock(gr__mutex *m);
void             gr__wait(gr__mutex *m); /* with the lock held */
void             gr__wake(gr__mutex *m); /* all who wait */
void             gr__once(atomic_bool *done, void (*fn)(void));

/* How many forks lie between the first process and this one: threads begun at another count do not
   exist here. */
unsigned gr__forks(void);

/* A thread of the library: it blocks signals, and may run on any processor of the process.
   false: none was started. */
typedef pthread_t gr__os_thread;
bool              gr__thread_start(gr__os_thread *t, void *(*fn)(void *), void *arg);
void              gr__thread_join(gr__os_thread t);

/* Has fn, the same for all threads, called with arg when this thread ends; not if memory is out. */
void gr__at_thread_end(void (*fn)(void *), void *arg);
void gr__no_thread_end(void); /* from now on fn is called for no thread */

/* How a thread rounds, what it does with denormal numbers, and which exceptions trap. */
typedef struct gr__fp {
#if defined __x86_64__
    unsigned       sse;
    unsigned short x87;
#elif defined __aarch64__
    uint64_t control;
#else
    fenv_t all;
    int    rounding;
#endif
} gr__fp;
gr__fp gr__fp_mine(void);
void   gr__fp_take(const gr__fp *e);
bool   gr__fp_same(const gr__fp *a, const gr__fp *b);

/* ---- processors.c ---------------------------------------------------------------------------- */

void gr__processors_look(void); /* notes which ones the process may use now */
/* Lets a thread run on all of them except one; -1: on all. */
void gr__processors_allow(gr__os_thread t, int but);
int  gr__processors(void); /* how many the process may use, by its affinity and its control group */
/* How many by its control group; 0: no limit. root: "", or a test's folder. */
int  gr__processors_quota(const char *root);

/* ---- error.c --------------------------------------------------------------------------------- */

/* Records the first failure; always false, so that "return gr__fail(...)" reads well. A pending
   failure stays. */
bool gr__fail(gr_code code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The ending of a noun, "s" or "es", after its count n; none after 1. */
static inline const char *gr__plural(int64_t n, const char *ending) { return n == 1 ? "" : ending; }
/* "out of memory" in the name of what is being done. */
bool                      gr__fail_memory(const char *what, size_t bytes);
bool                      gr__failed(void);
unsigned gr__failures(void); /* how many there have been, also while one was pending */

/* A failure that is passed to another thread, which learns of it when gr__fail makes it pending
   there. */
typedef struct gr__failure {
    gr_code code;
    char    message[640];
} gr__failure;
/* while on, what fails in this thread does not call gr_on_error's function */
void        gr__fail_for_another(bool on);
/* the pending one, no longer pending; GR_OK: there is none */
gr__failure gr__take_failure(void);

typedef struct gr__text {
    char s[8 * 21 + 4];
} gr__text;
gr__text gr__shape_text(const gr_shape *s); /* "(64,3,28,28)" */
#define GR__TEXT(t) (gr__shape_text(&(t)->shape).s)

/* Text from a user or a file, fit to be quoted in a message: short, and on one line. */
typedef struct gr__quote {
    char s[100];
} gr__quote;
gr__quote gr__quoted(const char *text);

/* ---- memory.c: blocks, 64-byte aligned, recycled by size class ------------------------------- */

/* of a large block, what stands before numbers: sizes are such that powers of two fit behind it */
enum { GR__BLOCK_HEAD = 256 };
void *gr__alloc(size_t bytes); /* NULL without an error: the caller knows what it was for */
void  gr__release(void *p, size_t bytes); /* the size it was asked with; NULL allowed */
bool  gr__memory_give_back(void); /* gr_memory_trim; false: nothing is recycled, so nothing waits */
/* malloc and realloc for what may be as large as a user's data: asked again after what waits was
   given back. Released by free. */
void *gr__malloc(size_t size);
void *gr__realloc(void *old, size_t size);

/* Blocks that a thread keeps for itself. unreported: by how much its bytes in use have changed
   since it added them to the process's sum; an atomic addition at every block would cost more than
   the block. */
enum { GR__LOCAL_CLASSES = 40 };
typedef struct gr__block {
    struct gr__block *next;
} gr__block;
typedef struct gr__bin {
    gr__block *head;
    int        count;
} gr__bin;
typedef struct gr__cache {
    gr__bin   bins[GR__LOCAL_CLASSES];
    ptrdiff_t unreported;
    unsigned  trims; /* how many requests to hand over what waits it has followed */
} gr__cache;
void gr__cache_end(gr__cache *c);

/* ---- containers.c: stb_ds with a growth that can fail ---------------------------------------- */

/* array: pointer to a stb_ds array of items of that size; false: no memory */
bool   gr__array_push(void *array, const void *item, size_t size);
size_t gr__array_length(const void *array);
void   gr__array_truncate(void *array, size_t length); /* array itself; keeps its room */
void   gr__array_free(void *array);                    /* pointer to the array: freed and NULL */

/* A map from strings (copied) to non-NULL pointers. */
typedef struct gr__map gr__map;
gr__map               *gr__map_new(void);
bool                   gr__map_put(gr__map *m, const char *key, void *value);
/* reads only: threads may share a map that none changes */
void                  *gr__map_get(const gr__map *m, const char *key);
void                   gr__map_free(gr__map *m);

/* ---- shape.c --------------------------------------------------------------------------------- */

/* -1: a negative size, a bad rank, or a product over the limit */
int64_t  gr__count(const gr_shape *s);
bool     gr__same_shape(const gr_shape *a, const gr_shape *b);
bool     gr__broadcast(const gr_shape *a, const gr_shape *b, gr_shape *out);
bool     gr__axis(int *axis, int rank); /* negative counted from the last; false: out of range */
void     gr__strides(const gr_shape *s, int64_t *stride);
/* Those of s as it broadcasts to y: 0 along a dimension that it lacks or has with size 1. */
void     gr__broadcast_strides(const gr_shape *s, const gr_shape *y, int64_t *stride);
/* its coordinates, which print as a shape does */
gr_shape gr__place(const gr_shape *s, int64_t element);

/* ---- tensor.c -------------------------------------------------------------------------------- */

/* A count of references. In a process of one thread, a locked instruction would be the better part
   of what a small operation costs. */
static inline void gr__count_up(atomic_int *refs)
{
    if (GR__ALONE)
        atomic_store_explicit(
            refs, atomic_load_explicit(refs, memory_order_relaxed) + 1, memory_order_relaxed);
    else
        atomic_fetch_add_explicit(refs, 1, memory_order_relaxed);
}

/* Whether that was the last one, which needs no locked instruction: nobody else can take
   another. */
static inline bool gr__count_down(atomic_int *refs)
{
    int n = atomic_load_explicit(refs, memory_order_acquire);
    if (n == 1) return true;
    if (!GR__ALONE) return atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
    atomic_store_explicit(refs, n - 1, memory_order_relaxed);
    return false;
}

typedef struct gr__storage gr__storage;
typedef struct gr__node    gr__node;
typedef struct gr__step    gr__step;

/* What is called with the gradient of a tensor, in the order of the list; a later one's serial is
   greater. */
typedef struct gr__hook {
    struct gr__hook *next;
    gr_tensor *(*fn)(gr_tensor *g, void *ctx);
    void    *ctx;
    uint64_t serial;
} gr__hook;

struct gr_tensor {
    atomic_int   refs;
    uint8_t      dtype;       /* a gr_dtype */
    bool         param;       /* a leaf whose gradient is wanted */
    bool         retain_grad; /* an intermediate whose gradient is wanted */
    bool         rectified;   /* see ops/gate.h */
    int64_t      count;
    gr_shape     shape;
    gr__storage *storage;
    void        *data;
    gr__node    *node; /* what made it, while its step lasts; NULL for a leaf */
    gr_tensor   *grad;
    gr__hook    *hooks;
    char        *name;        /* its own copy, or NULL */
    gr__step    *owner;       /* NULL: the caller's, or nobody's but the references' */
    gr_tensor   *prev, *next; /* in the owner's list */
    uint64_t     thread;      /* whose step and tape node and owner are of, by its id */
    uint64_t     pass;        /* the backward pass that has a slot for this leaf, and which */
    size_t       slot;
    gr_tensor   *gated_by; /* see ops/gate.h */
};

/* Elements, and in the same block the tensor that was made with them; views of them are blocks of
   their own. */
struct gr__storage {
    atomic_int  refs;
    atomic_uint version;
    size_t      bytes; /* of the whole block */
    gr_tensor   first;
    _Alignas(64) unsigned char data[];
};

/* not yet owned: one reference, the caller's */
gr_tensor *gr__tensor(gr_dtype dtype, const gr_shape *shape, const char *what);
gr_tensor *gr__view(gr_tensor *t, const gr_shape *shape, int64_t offset, const char *what);
void       gr__unref(gr_tensor *t); /* NULL allowed */

static inline gr_real *gr__reals(const gr_tensor *t) { return t->data; }

static inline int32_t *gr__ints(const gr_tensor *t) { return t->data; }

static inline bool gr__tracked(const gr_tensor *t) { return t->param || t->node; }

static inline unsigned gr__version_of(const gr_tensor *t)
{
    return atomic_load_explicit(&t->storage->version, memory_order_relaxed);
}

/* Its values are about to change, by one thread: two that changed them at once would have to agree
   on the values, too. */
static inline void gr__touch(gr_tensor *t)
{
    atomic_store_explicit(&t->storage->version, gr__version_of(t) + 1, memory_order_relaxed);
    t->gated_by = NULL;
}

/* One reference, and storage that nobody shares: free to be changed. */
static inline bool gr__sole(const gr_tensor *t)
{
    return atomic_load(&t->refs) == 1 && atomic_load(&t->storage->refs) == 1;
}

static inline gr_tensor *gr__ref(gr_tensor *t)
{
    gr__count_up(&t->refs);
    return t;
}

/* A tensor in a message: "(2,3)", with its name "'logits' (2,3)". */
typedef struct gr__label {
    char s[sizeof(gr__quote) + sizeof(gr__text) + 3];
} gr__label;
gr__label gr__label_of(const gr_tensor *t);
#define GR__LABEL(t) (gr__label_of(t).s)

/* Guards: the errors of an input (number i + 1 of name) that is NULL, or of the wrong type. */
bool gr__is(gr_dtype wanted, const char *name, int i, const gr_tensor *t);
bool gr__given(const char *name, int n, gr_tensor *const *in);
bool gr__given_reals(const char *name, int n, gr_tensor *const *in);

/* ---- step.c: what a thread has --------------------------------------------------------------- */

struct gr__step {
    gr__step          *outer;
    int                depth;   /* 0: the thread's base step */
    gr_tensor         *tensors; /* owned, newest first */
    size_t             mark;    /* the tape's length when the step began */
    struct gr__string *strings;
};

enum { GR__READY_STEPS = 16 };

typedef struct gr__thread {
    uint64_t   id;                     /* no other thread of the process has had it */
    gr__step   base, *step;            /* step: the innermost; NULL until the thread's first call */
    gr__step   ready[GR__READY_STEPS]; /* for the first depths, so that opening them cannot fail */
    gr__node **tape;                   /* stb_ds array, append order is topological order */
    bool       no_grad, anomaly, in_vjp;
    void      *spare; /* an empty stb_ds array, kept by one backward pass for the next */

    gr__failure failure;     /* error.c: the first one, pending */
    unsigned    failures;    /* how many there have been */
    bool        for_another; /* the handler is not to be called */
    gr__cache   cache;       /* memory.c */
    jmp_buf    *when_full;   /* containers.c: where a refused allocation returns to */
    size_t      last_slot;   /* nn/model.c: the place of the slot that was found last */
    bool        reserved;    /* this struct is not from the heap */
} gr__thread;

extern _Thread_local GR__NEAR gr__thread *gr__me; /* NULL until the thread's first call */
gr__thread                               *gr__thread_begin(void);

static inline gr__thread *gr__self(void) { return gr__me ? gr__me : gr__thread_begin(); }

/* Whether what a rule was given, the gradient that the scan alone holds, may be changed in
   place. */
static inline bool gr__spare(const gr_tensor *g)
{
    const gr__thread *me = gr__self();
    return me->in_vjp && me->no_grad && !g->owner && gr__sole(g);
}

/* A tape belongs to a thread, and so do the steps: a tensor that another thread has recorded is to
   be read here, and nothing else. No pointer of the other thread's is followed to tell. */
static inline bool gr__foreign(const gr__thread *me, const gr_tensor *t)
{
    return t->node && t->thread != me->id;
}
/* false, with the error set, for a foreign one */
bool gr__recorded_here(const char *what, const gr_tensor *t);

/* a result: belongs to the innermost step from here on; NULL allowed */
gr_tensor *gr__own(gr_tensor *t);
/* made from values: the step's inside a step or a rule, else the caller's */
gr_tensor *gr__own_leaf(gr_tensor *t);
void       gr__disown(gr_tensor *t); /* out of its step; its reference is the caller's */
/* gr__disown, if it is the base step's; false: another thread's */
bool       gr__take_from_base(gr_tensor *t, const char *what);
char      *gr__string(size_t bytes); /* lives as the step's tensors do */

/* ---- tape.c ---------------------------------------------------------------------------------- */

/* An argument of an op: its name, and where it stands in the op's args. Texts leave out what is
   `usual`, unless it is to be shown always, or never. */
typedef struct gr__attribute {
    const char *name; /* NULL: the end of the list */
    enum {
        GR__BOOL,
        GR__INT,
        GR__INT64,
        GR__DOUBLE,
        GR__HW, /* two int64_t; the second, of columns, stands at at_w */
        GR__DIMS,
        GR__SHAPE,
        GR__CHOICE /* an enum, whose names are in choices */
    } kind;
    size_t             at, at_w;
    double             usual;
    const char *const *choices;
    enum { GR__UNLESS_USUAL, GR__ALWAYS, GR__NEVER } shown;
} gr__attribute;

/* An op, beside its code. */
typedef struct gr__op {
    const char *name;     /* of the public call that makes it, or of its own */
    const char *equation; /* forward and backward, for display */
    /* checks inputs and arguments, gives the result's shape */
    bool (*shape)(gr__node *nd, gr_shape *y);
    /* fills y; may leave nd->saved if nd->record */
    bool (*forward)(gr__node *nd, gr_tensor *y);
    /* the gradient for input i, made of public ops */
    gr_tensor *(*vjp)(gr__node *nd, int i, gr_tensor *g);
    unsigned             constant; /* bit i: input i has no gradient */
    unsigned             ints;     /* bit i: input i is int32 (else real) */
    /* of the element-wise families: where in gr__kernels the loop stands */
    size_t               kernel;
    /* moves elements of any type: the result's type is the first input's */
    bool                 moves;
    /* the driver sums a gradient back to its input's shape */
    bool                 broadcasts;
    const char          *torch;      /* PyTorch's name; NULL: it has none */
    const gr__attribute *attributes; /* of an op with args */
} gr__op;

/* Whether a mask of inputs names input i; it can name the first 32. */
static inline bool gr__names(unsigned mask, int i) { return i < 32 && (mask >> i & 1); }

struct gr__node {
    const gr__op *op;
    const char   *name; /* the op's, or that of the call whose last op it is */
    const void   *args; /* the op's own struct */
    gr_tensor   **in;
    gr_tensor    *out;
    gr_tensor    *saved;   /* what forward left for backward */
    gr_tensor    *left;    /* what vjp leaves for the later inputs of the same visit */
    unsigned     *version; /* of every input, then of the result */
    /* place on the tape; the lowest place that backward from here can reach */
    size_t        index, reach;
    size_t        bytes;
    gr_dtype      dtype;  /* the result's; the shape rule may change it */
    int64_t       offset; /* the shape rule of a view: where in input 0; -1: own storage */
    int           n;
    bool          record, used; /* used: backward has been through, and released what it held */
};

/* Runs an op: checks, computes, records. inputs: n tensors, NULL gives NULL. args: copied if the
   call is recorded. */
gr_tensor *gr__apply(
    const gr__op *op, int n, gr_tensor *const *in, const void *args, size_t args_size);
/* y, just made by the last of the ops that a call consists of, is shown by that call's name. */
gr_tensor *gr__shown_as(const char *call, gr_tensor *y);
void       gr__node_use_up(gr__node *nd); /* backward is through with it */
void       gr__tape_cut(gr__thread *me, size_t length);

/* ---- random.c -------------------------------------------------------------------------------- */

gr_rng gr__rng_of_parts(
    uint64_t seed, const char *name, const char *rest); /* gr_rng_of of the two texts in one */

/* ---- workers.c: threads that help ------------------------------------------------------------ */

enum { GR__MOST_THREADS = 256 };

typedef void gr__task(const void *arg, int64_t task, int thread); /* thread: 0 .. threads-1 */
void         gr__workers_run(gr__task *fn, const void *arg, int64_t tasks, int threads);
void         gr__workers_dismiss(void); /* its threads end */
void         gr__workers_forget(void);  /* they are not there, in a child process */

/* ---- parallel.c ------------------------------------------------------------------------------ */

extern const gr__kernels *_Atomic gr__kernel_table_chosen;
const gr__kernels                *gr__kernel_table_first(void);
/* what GRADUS_CONV asks of conv_plan; after gr__kernel_table */
const char                       *gr__kernel_table_conv(void);

/* NULL with the error set. */
static inline const gr__kernels *gr__kernel_table(void)
{
    const gr__kernels *k = atomic_load_explicit(&gr__kernel_table_chosen, memory_order_acquire);
    return k ? k : gr__kernel_table_first();
}

/* fn over 0..n-1 in chunks; grain: about how many indices are worth a thread's waking (from shapes
   alone). */
void gr__parallel(int64_t n, int64_t grain, void (*fn)(const void *arg, int64_t begin, int64_t end),
    const void *arg);
/* Every stage and task of a plan that costs so many multiply-adds. false: no memory for its work
   space. */
typedef void gr__planned(const void *arg, int stage, int64_t task, void *shared, void *scratch);
bool         gr__run_plan(
            const gr__plan *plan, double work, gr__planned *fn, const void *arg, const char *what);

#endif
