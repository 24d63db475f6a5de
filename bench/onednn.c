/* onednn.c: the worker that convolves by oneDNN, version 2. A name says how, then what:
   "plain": NCHW in and out, the way that is faster here: handing NCHW to the primitive, or
   reordering to what it likes best and back; "best": everything in the layout that it likes best,
   before the clock starts; "winograd": the same, by Winograd's algorithm. */
#include "worker.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <string.h>

#if DNNL_VERSION_MAJOR != 2
#error "this is written for oneDNN 2"
#endif

/* Input, kernel, output: in the kernel's gradient, the output is given and the kernel is the
   result. */
enum { X, K, Y, TENSORS };

/* A tensor in NCHW, and as the primitive wants it: the same memory, if that is NCHW. The reorder is
   into the primitive or, for the result, out of it; NULL if they are the same. */
typedef struct operand {
    dnnl_memory_t    plain, wanted;
    dnnl_primitive_t reorder;
} operand;

typedef struct task {
    operand          of[TENSORS];
    dnnl_primitive_t convolution;
} task;

static dnnl_engine_t engine;
static dnnl_stream_t stream;
static conv_shape    shape;
static direction     way;
static bool          reorders; /* are part of what is timed */
static task          prepared;

static int result(void) { return way == FORWARD ? Y : way == INPUT_GRAD ? X : K; }

/* ---- descriptions ---- */

static dnnl_memory_desc_t describe(int tensor, bool plain)
{
    dnnl_memory_desc_t md;
    dnnl_dims_t        x = { shape.N, shape.C, shape.H, shape.H };
    dnnl_dims_t        y = { shape.N, shape.F, shape.O, shape.O };
    dnnl_dims_t        k = { shape.F, shape.C, shape.K, shape.K };
    dnnl_dims_t       grouped = { shape.G, shape.F / shape.G, shape.C / shape.G, shape.K, shape.K };
    bool              groups = tensor == K && shape.G > 1;
    const int64_t    *dims = tensor == X ? x : tensor == Y ? y : groups ? grouped : k;
    dnnl_format_tag_t tag = !plain ? dnnl_format_tag_any : groups ? dnnl_abcde : dnnl_abcd;
    dnnl_memory_desc_init_by_tag(&md, groups ? 5 : 4, dims, dnnl_f32, tag);
    return md;
}

/* What all three directions have in common. */
typedef struct geometry {
    dnnl_dims_t strides, dilates, before, after;
} geometry;

static geometry geometry_of_shape(void)
{
    /* What is read past the far side; less than the padding where the last windows do not reach so
       far. */
    int64_t after = (shape.O - 1) * shape.S + shape.D * (shape.K - 1) + 1 - shape.H - shape.P;
    return (geometry){ { shape.S, shape.S }, { shape.D - 1, shape.D - 1 }, { shape.P, shape.P },
        { after, after } };
}

static bool make_forward(dnnl_primitive_desc_t *pd, bool plain, dnnl_alg_kind_t algorithm)
{
    dnnl_convolution_desc_t d;
    dnnl_memory_desc_t      x = describe(X, plain), k = describe(K, plain), y = describe(Y, plain);
    geometry                g = geometry_of_shape();
    if (dnnl_dilated_convolution_forward_desc_init(&d, dnnl_forward_training, algorithm, &x, &k,
            NULL, &y, g.strides, g.dilates, g.before, g.after) != dnnl_success)
        return false;
    return dnnl_primitive_desc_create(pd, &d, NULL, engine, NULL) == dnnl_success;
}

static bool make_backward(dnnl_primitive_desc_t *pd, bool plain, dnnl_alg_kind_t algorithm)
{
    dnnl_convolution_desc_t d;
    dnnl_primitive_desc_t   hint;
    dnnl_memory_desc_t      x = describe(X, plain), k = describe(K, plain), y = describe(Y, plain);
    geometry                g = geometry_of_shape();
    dnnl_status_t           status;
    if (!make_forward(&hint, plain, algorithm) &&
        !make_forward(&hint, plain, dnnl_convolution_direct))
        return false;
    if (way == INPUT_GRAD)
        status = dnnl_dilated_convolution_backward_data_desc_init(
            &d, algorithm, &x, &k, &y, g.strides, g.dilates, g.before, g.after);
    else
        status = dnnl_dilated_convolution_backward_weights_desc_init(
            &d, algorithm, &x, &k, NULL, &y, g.strides, g.dilates, g.before, g.after);
    if (status == dnnl_success) status = dnnl_primitive_desc_create(pd, &d, NULL, engine, hint);
    dnnl_primitive_desc_destroy(hint);
    return status == dnnl_success;
}

/* How this direction asks for its tensors, and how it names them when run. */
static dnnl_query_t query_of(int tensor)
{
    if (tensor == X) return way == INPUT_GRAD ? dnnl_query_diff_src_md : dnnl_query_src_md;
    if (tensor == K) return way == KERNEL_GRAD ? dnnl_query_diff_weights_md : dnnl_query_weights_md;
    return way == FORWARD ? dnnl_query_dst_md : dnnl_query_diff_dst_md;
}

static int argument_of(int tensor)
{
    if (tensor == X) return way == INPUT_GRAD ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC;
    if (tensor == K) return way == KERNEL_GRAD ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS;
    return way == FORWARD ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST;
}

/* ---- tasks ---- */

static dnnl_primitive_t reorder_of(const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to)
{
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t      p = NULL;
    if (dnnl_reorder_primitive_desc_create(&pd, from, engine, to, engine, NULL) != dnnl_success)
        return NULL;
    dnnl_primitive_create(&p, pd);
    dnnl_primitive_desc_destroy(pd);
    return p;
}

static bool execute_reorder(const operand *o, bool out)
{
    dnnl_exec_arg_t args[] = { { DNNL_ARG_FROM, out ? o->wanted : o->plain },
        { DNNL_ARG_TO, out ? o->plain : o->wanted } };
    return !o->reorder || dnnl_primitive_execute(o->reorder, stream, 2, args) == dnnl_success;
}

static bool make_operand(operand *o, int tensor, const dnnl_primitive_desc_t pd)
{
    dnnl_memory_desc_t        plain = describe(tensor, true);
    const dnnl_memory_desc_t *wanted = dnnl_primitive_desc_query_md(pd, query_of(tensor), 0);
    void                     *numbers;
    if (dnnl_memory_create(&o->plain, &plain, engine, DNNL_MEMORY_ALLOCATE) != dnnl_success)
        return false;
    dnnl_memory_get_data_handle(o->plain, &numbers);
    fill(numbers, (int64_t)(dnnl_memory_desc_get_size(&plain) / sizeof(float)),
        (unsigned)tensor + 1);
    o->wanted = o->plain;
    if (dnnl_memory_desc_equal(&plain, wanted)) return true;
    if (dnnl_memory_create(&o->wanted, wanted, engine, DNNL_MEMORY_ALLOCATE) != dnnl_success)
        return false;
    o->reorder = tensor == result() ? reorder_of(wanted, &plain) : reorder_of(&plain, wanted);
    return o->reorder && (tensor == result() || execute_reorder(o, false));
}

static void release(task *t)
{
    for (int i = 0; i < TENSORS; i++) {
        if (t->of[i].wanted != t->of[i].plain) dnnl_memory_destroy(t->of[i].wanted);
        dnnl_memory_destroy(t->of[i].plain);
        dnnl_primitive_destroy(t->of[i].reorder);
    }
    dnnl_primitive_destroy(t->convolution);
    *t = (task){ 0 };
}

static bool make(task *t, bool plain, dnnl_alg_kind_t algorithm)
{
    dnnl_primitive_desc_t pd;
    *t = (task){ 0 };
    if (!(way == FORWARD ? make_forward : make_backward)(&pd, plain, algorithm)) return false;
    bool done = dnnl_primitive_create(&t->convolution, pd) == dnnl_success;
    for (int i = 0; i < TENSORS && done; i++) done = make_operand(&t->of[i], i, pd);
    dnnl_primitive_desc_destroy(pd);
    if (!done) release(t);
    return done;
}

static void execute(const task *t)
{
    dnnl_exec_arg_t args[TENSORS];
    for (int i = 0; i < TENSORS; i++) {
        args[i] = (dnnl_exec_arg_t){ argument_of(i), t->of[i].wanted };
        if (reorders && i != result()) execute_reorder(&t->of[i], false);
    }
    dnnl_primitive_execute(t->convolution, stream, TENSORS, args);
    if (reorders) execute_reorder(&t->of[result()], true);
    dnnl_stream_wait(stream);
}

/* The least of a few: for choosing only. */
static double least_time(const task *t)
{
    double least = 1e9;
    for (int i = 0; i < 6; i++) {
        double begin = now(), time;
        execute(t);
        time = now() - begin;
        least = time < least ? time : least;
    }
    return least;
}

/* ---- the worker ---- */

static bool choose(const char *how)
{
    if (!strcmp(how, "winograd")) return make(&prepared, false, dnnl_convolution_winograd);
    if (!strcmp(how, "best")) return make(&prepared, false, dnnl_convolution_direct);
    if (strcmp(how, "plain")) return false;
    task other;
    reorders = true;
    bool one = make(&prepared, false, dnnl_convolution_direct),
         two = make(&other, true, dnnl_convolution_direct);
    if (one && two) {
        task *slower = least_time(&prepared) > least_time(&other) ? &prepared : &other;
        release(slower);
        two = slower == &prepared;
        one = !two;
    }
    if (!one && two) prepared = other;
    return one || two;
}

bool prepare(const char *name)
{
    const char *colon = strchr(name, ':');
    const char *numbers = colon ? read_direction(colon + 1, &way) : NULL;
    char        how[20];
    void       *y;
    if (!numbers || !read_conv(numbers, &shape)) return false;
    if ((size_t)(colon - name) >= sizeof how) return refuse("no such thing: %s", name);
    memcpy(how, name, (size_t)(colon - name));
    how[colon - name] = '\0';
    if (!engine &&
        (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success ||
            dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) != dnnl_success))
        return refuse("oneDNN does not start");
    reorders = false;
    if (!choose(how)) return refuse("oneDNN has no primitive for it");
    execute(&prepared);
    const operand *o = &prepared.of[result()];
    execute_reorder(o, true);
    dnnl_stream_wait(stream);
    dnnl_memory_get_data_handle(o->plain, &y);
    dnnl_memory_desc_t md = describe(result(), true);
    check(y, (int64_t)(dnnl_memory_desc_get_size(&md) / sizeof(float)));
    return true;
}

void run(void) { execute(&prepared); }

void finish(void) { release(&prepared); }
