/* core.h: errors, memory and steps, tensors, random numbers, threads. */
#ifndef GRADUS_CORE_H
#define GRADUS_CORE_H

#include <stdio.h>

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/** An array of numbers with a shape and, when it depends on a parameter, a history on the tape.
 *  Row-major and contiguous. */
typedef struct gr_tensor gr_tensor;

/* ---- errors ---------------------------------------------------------------------------------- */

/** What kind of failure is pending. */
typedef enum gr_code {
    GR_OK = 0,       /* none */
    /* shapes that do not fit, an option out of range, NULL where a tensor is wanted */
    GR_ERR_ARGUMENT,
    GR_ERR_MEMORY,   /* the system has no memory left */
    /* backward that cannot be: freed graph, changed value, nothing to differentiate */
    GR_ERR_GRAPH,
    GR_ERR_FILE,     /* a file that cannot be opened, read or written */
    GR_ERR_FORMAT,   /* a file that is not what it claims to be */
    GR_ERR_NUMBER,   /* NaN or Inf while gr_detect_anomaly is on */
    GR_ERR_SYSTEM    /* an instruction set that is not there, a thread that does not start */
} gr_code;

/** The first failure of this thread since the last gr_clear_error, as one line: "op: shapes: the
 *  rule broken"; NULL when there is none.
 *  Lifetime: until gr_clear_error, or the thread's end. */
GR_API const char *gr_error(void);

/** The kind of the pending failure; GR_OK when there is none. */
GR_API gr_code gr_error_code(void);

/** Clears the pending failure of this thread. */
GR_API void gr_clear_error(void);

/** Installs a handler that is called with the message each time a failure becomes pending, in any
 *  thread; NULL removes it (the default). It is called where the failure is detected, with the
 *  message complete and no lock held: it may print and exit, or return; not jump away. Without one
 *  a failed call returns NULL (or -1, false, NaN), and what is read through that NULL, as in
 *  gr_data(t)[0], crashes: so a program that does not look at each result installs
 *  gr_print_and_exit. */
GR_API void gr_on_error(void (*fn)(const char *message));

/** A function for gr_on_error: flushes standard output, prints the message and a newline to
 *  standard error, and ends the program with status 1. gr_on_error(gr_print_and_exit); */
GR_API void gr_print_and_exit(const char *message);

/* ---- memory and steps ------------------------------------------------------------------------ */
/* Whose a tensor is. A step's: what was made while the step was open, until it ends. Outside any
   step: what an operation gives (gr_detach and gr_grad among them) is the thread's, until gr_reset
   or the thread's end; what is made from values (gr_zeros, gr_from, gr_copy, the readers of files),
   what gr_keep gives and what gr_param makes a parameter is the caller's, until gr_free. Parameters
   and buffers of a model, a batch's tensors and what gr_grad_of gives belong to the model, the
   loader and the tensor.

   Threads. A tape and the steps belong to the thread that records. A tensor that another thread has
   made may be read, and be the input of operations, as long as it lives there and its values do not
   change meanwhile; but what another thread has recorded takes part in no tape here: operations
   refuse it as an input unless recording is off, and gr_backward, gr_grad, gr_grads, gr_hvp,
   gr_gradcheck, gr_explain_format, gr_trace_dot, gr_trace_html, gr_minimize, gr_retain_grad,
   gr_on_grad and gr_off_grad refuse it, by name, with GR_ERR_GRAPH. So do gr_keep, gr_free,
   gr_param and gr_step_end what belongs to another thread's step. What is the caller's belongs to
   no thread; the gradient of a parameter is written by backward, so that two threads must not go
   backward to the same parameter at once. What a thread's steps still hold is released when it
   ends. */

/** An open step: see GR_STEP. */
typedef struct gr_step {
    /* how many steps were open, itself among them; 0: it could not be opened, or has ended */
    int      depth;
    uint64_t thread; /* the thread that opened it */
} gr_step;

/** Opens a step. What this thread makes from here on is released by the matching gr_step_end.
 *  Errors: no memory, for steps nested over sixteen deep; then the step's depth is 0, and ending it
 *  does nothing. */
GR_API gr_step gr_step_begin(void);

/** Ends a step, and the steps still open inside it: tensors, history and names made in them are
 *  released. One that has ended already is left alone. Errors: another thread's step. */
GR_API void gr_step_end(gr_step *step);

#define GR__PASTE2(a, b) a##b
#define GR__PASTE(a, b) GR__PASTE2(a, b)

/** Declares a step that ends with the enclosing block, however the block is left (return, break,
 *  goto, an exception of C++): GR_STEP; longjmp out of the block does not end it: it stays open
 *  until a step around it ends, or the thread. So open one by gr_step_begin before setjmp, and end
 *  it by gr_step_end where longjmp arrives. From inside a function that the library has called (a
 *  hook, a backward function, a model's forward, a change of a loader) longjmp must not leave. */
#define GR_STEP \
    __attribute__((cleanup(gr_step_end), unused)) \
    gr_step GR__PASTE(gr__step_, __LINE__) = gr_step_begin()

/** Moves a tensor, same pointer, out of the step it was made in to the enclosing lifetime, and ends
 *  its history. Outside any step that is the caller's: it then lives until gr_free. No gradient
 *  flows through it from then on, so keep it after backward. A model's parameter, what gr_grad_of
 *  gives and a batch's tensors have an owner already, and must not be freed: gr_keep(gr_copy(t)).
 *  One that shares storage (gr_reshape, gr_detach and the like) holds all of that storage as long
 *  as it lives, however little of it it shows: gr_keep(gr_copy(t)) holds its own elements alone.
 *  Errors: NULL, what another thread's step holds. Returns t. */
GR_API gr_tensor *gr_keep(gr_tensor *t);

/** Releases a tensor that the caller owns (made from values outside any step, a parameter made
 *  there, or kept). What the tape still needs of it stays until the tape goes. NULL is allowed.
 *  Tensors made inside a step need no call. Errors: what another thread's step holds; it stays. */
GR_API void gr_free(gr_tensor *t);

/** Releases what operations outside any step have made in this thread: results and their history.
 *  Parameters, also those that an operation has made, and tensors made from values, stay. Errors:
 *  called inside a step, or by a function that backward calls. */
GR_API bool gr_reset(void);

/** Memory of the whole process that the library holds, in bytes; what other threads took and gave
 *  back last is missing, up to 64 KiB a thread. */
typedef struct gr_memory_info {
    size_t live;         /* in use by tensors, history and work space */
    size_t peak;         /* the most that live has been, to 64 KiB a thread */
    size_t system;       /* taken from the system: live, and recycled blocks that wait for use */
    size_t system_calls; /* how many requests to the system there were */
} gr_memory_info;

/** The memory held now. A training loop adds no system_calls from its third step on. */
GR_API gr_memory_info gr_memory(void);

/** Returns unused memory to the system: blocks that were released, of all sizes, and the room of
 *  this thread's tape if nothing is on it. Of blocks under 8 KiB, a slab of 64 KiB goes back when
 *  none of it is in use. What other threads keep (of blocks of up to 32 KiB, at most 1 MiB a size
 *  and some 40 MiB in all) they return when they next take or release more than 64 KiB, and when
 *  they end; another call then gives it to the system. No call is needed when memory runs out: the
 *  library then does so itself and tries again. Without any call, unused memory is at most twice
 *  the recent need, that is the most that was in use at once while the last 64 to 128 times as much
 *  was taken, or 4 MiB; and as much again in blocks under 8 KiB. A loop that needs more than three
 *  times what it has in use at once, in blocks of different sizes, therefore allocates from the
 *  system again and again. GRADUS_MEMORY=system in the environment: nothing is kept. */
GR_API void gr_memory_trim(void);

/* ---- making tensors -------------------------------------------------------------------------- */
/* A tensor made inside a step is released where the step ends; one made outside lives until
   gr_free, gr_detach's until gr_reset. */

/** A scalar, shape (). */
GR_API gr_tensor *gr_scalar(double value);

/** A tensor with every element the same.
 *  Errors: a negative size, sizes whose product overflows, no memory. */
GR_API gr_tensor *gr_full(gr_shape shape, double value);
/** A tensor of zeros. Errors: as gr_full. */
GR_API gr_tensor *gr_zeros(gr_shape shape);
/** A tensor of ones. Errors: as gr_full. */
GR_API gr_tensor *gr_ones(gr_shape shape);

/** The numbers 0, 1, ..., n-1: shape (n). */
GR_API gr_tensor *gr_arange(int64_t n);

/** A copy of the numbers at values, in row-major order. Errors: as gr_full; values NULL. */
GR_API gr_tensor *gr_from(gr_shape shape, const gr_real *values);
/** A copy of the integers at values: labels or indices. Errors: as gr_full; values NULL. */
GR_API gr_tensor *gr_from_ints(gr_shape shape, const int32_t *values);

/** A copy of t's values without its history. */
GR_API gr_tensor *gr_copy(const gr_tensor *t);

/** t's values, shared and not copied, without its history: no gradient flows through. Lifetime: as
 *  an operation's result; the storage lasts as long as one tensor that shares it. */
GR_API gr_tensor *gr_detach(gr_tensor *t);

/** Marks a leaf as a parameter: operations on it are recorded, and gr_backward stores its gradient,
 *  see gr_grad_of. The result of an operation that was not recorded is a leaf, too:
 *  gr_param(gr_scale(w, 0.1)). Outside any step the parameter is the caller's, until gr_free; one
 *  made in a step goes with it, unless gr_keep moves it out. Returns t. Errors: t is int32, the
 *  result of a recorded operation, or in another thread's step. */
GR_API gr_tensor *gr_param(gr_tensor *t);

/** Gives a tensor a name, which is copied, for errors and gr_explain_format: gr_named(t, "logits").
 *  Parameters and buffers of a model have theirs. Returns t.
 *  Errors: NULL, an empty name, no memory.
 *  Lifetime: the name's is the tensor's. */
GR_API gr_tensor *gr_named(gr_tensor *t, const char *name);

/* ---- reading tensors ------------------------------------------------------------------------- */

/** The shape; rank 0 for NULL. */
GR_API gr_shape gr_shape_of(const gr_tensor *t);
/** The size of one dimension, negative ones counted from the last; -1 if there is no such
 *  dimension. */
GR_API int64_t gr_size(const gr_tensor *t, int dim);
/** The number of elements; -1 for NULL. */
GR_API int64_t gr_count(const gr_tensor *t);
/** The kind of element. */
GR_API gr_dtype gr_dtype_of(const gr_tensor *t);
/** The name that gr_named or a model gave it; NULL if it has none.
 *  Lifetime: the tensor's, until it is named anew. */
GR_API const char *gr_name_of(const gr_tensor *t);
/** Whether a gradient flows to t: a parameter, or the result of a recorded operation. */
GR_API bool gr_requires_grad(const gr_tensor *t);

/** The elements of a real tensor, row-major. Errors: NULL, int32. Lifetime: the tensor's. */
GR_API const gr_real *gr_data(const gr_tensor *t);
/** The elements of a real tensor, for writing: increments its version, so that backward refuses
 *  what was recorded before. Tensors that share storage (reshape, detach) change with it.
 *  Errors: NULL, int32. */
GR_API gr_real *gr_data_mut(gr_tensor *t);
/** The elements of an int32 tensor. Errors: NULL, a real tensor. */
GR_API const int32_t *gr_ints(const gr_tensor *t);
/** The elements of an int32 tensor, for writing; as gr_data_mut. */
GR_API int32_t *gr_ints_mut(gr_tensor *t);

/** The value of a tensor of one element. Errors: NULL, another number of elements; then NaN. */
GR_API double gr_item(const gr_tensor *t);

/** A name by printf's format, for parameters made in loops: gr_name("layer%d.conv1", i).
 *  Lifetime: the step's (outside any step: until gr_reset). */
GR_API const char *gr_name(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- random numbers -------------------------------------------------------------------------- */

/** A stream of random numbers: Philox4x32-10 (Salmon et al., Parallel Random Numbers: As Easy as 1,
 *  2, 3, SC 2011). Number i of a stream depends on its key and on i alone. A plain value: a copy is
 *  an independent position in the same stream. */
typedef struct gr_rng {
    uint64_t key;     /* which stream */
    uint64_t counter; /* the number of the next one in it */
} gr_rng;

/** The stream for one use (name) of one seed. Different names or seeds give independent streams. */
GR_API gr_rng gr_rng_of(uint64_t seed, const char *name);
/** The next number, uniform in [0, 1) with 53 random bits. */
GR_API double gr_rng_uniform(gr_rng *rng);
/** The next number of the standard normal distribution (Box-Muller). */
GR_API double gr_rng_normal(gr_rng *rng);
/** The next integer, uniform in 0 .. n-1 without bias; 0 for n < 2. */
GR_API int64_t gr_rng_below(gr_rng *rng, int64_t n);

/** A tensor of numbers uniform in [low, high). Errors: as gr_full. */
GR_API gr_tensor *gr_uniform(gr_shape shape, gr_rng *rng, double low, double high);
/** A tensor of normal numbers. Errors: as gr_full. */
GR_API gr_tensor *gr_normal(gr_shape shape, gr_rng *rng, double mean, double std);

/* ---- threads --------------------------------------------------------------------------------- */

/** How many threads one operation may use, from 1 to 256 (more count as 256); 0 for the default:
 *  OMP_NUM_THREADS, or else the number of processors that the process may use, and no more than the
 *  CPU quota of its control groups (Linux), rounded up. That is the affinity of the main thread
 *  when the library is loaded, with what the main thread and the caller may use when they are
 *  counted: at the first operation, and after each gr_set_threads(0). A calling thread that is
 *  bound to one processor does not count for the process. Results do not depend on the number.
 *
 *  The library's threads block all signals except those of their own faults, may run on all
 *  processors of the process, and compute with the rounding mode, the treatment of denormal numbers
 *  and the trapped exceptions of the thread that calls; exceptions that they raise do not show in
 *  its flags. A child process that is forked at any time can use the library: threads are started
 *  anew. The shared library stays in memory after dlclose, with its threads asleep. A plug-in that
 *  contains the static library is unloaded, and its threads end: close its loaders before, and have
 *  no other thread in a call; what such other threads have not released (gr_reset, gr_free) is
 *  lost. Built without threads it is always 1.
 *  Errors: negative. */
GR_API bool gr_set_threads(int threads);
/** How many threads one operation may use. */
GR_API int gr_threads(void);

/** The kernels in use: "reference", "baseline", "avx2" or "avx512". Chosen at the first operation
 *  by what the processor has, by GRADUS_ISA (one of the last three) or by GRADUS_KERNELS=reference
 *  (the plain loops). GRADUS_CONV chooses how convolutions are computed: "direct" by sums of
 *  products, without transforms; the name of an algorithm by that one, where it can; "list" writes
 *  the names to standard output and changes nothing.
 *  Errors: what they request is not available. */
GR_API const char *gr_kernels(void);

/** The library's version, "0.1.0". */
GR_API const char *gr_version(void);

#ifdef __cplusplus
}
#endif

#endif
