/* state.c: the state of a run, in a file of named tensors, by the reader and writer of weights.

   Invariant: reading is in two passes. Nothing is copied unless everything of the file is in the
   list, everything of the list is in the file, facts are the same, and values are of the type, size
   and range that they have in memory. */
#include "io/io.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A thing with its place in memory; a fact's place is in the thing itself. */
typedef struct thing {
    char      *name;
    gr__type   type;
    gr_shape   shape;
    void      *at;
    gr_tensor *t;    /* whose values at is */
    size_t     room; /* of a text, at which the shape is as long as the text is now */
    bool       fact;
    bool       bounded;
    union {
        int64_t integer;
        double  number;
    } own, low, high;
    char *own_text;
} thing;

struct gr__state {
    thing  **things; /* stb_ds array */
    gr__map *by_name;
    bool     failed;
    char     part[24], prefix[64];
};

/* ---- the list ---- */

gr__state *gr__state_new(void)
{
    gr__state *s = calloc(1, sizeof *s);
    if (s && (s->by_name = gr__map_new())) return s;
    free(s);
    gr__fail_memory("checkpoint", sizeof *s);
    return NULL;
}

static void thing_free(thing *x)
{
    free(x->name);
    free(x->own_text);
    free(x);
}

void gr__state_free(gr__state *s)
{
    if (!s) return;
    for (size_t i = 0; i < gr__array_length(s->things); i++) thing_free(s->things[i]);
    gr__array_free(&s->things);
    gr__map_free(s->by_name);
    free(s);
}

void gr__state_part(gr__state *s, int part)
{
    if (part > 1) snprintf(s->part, sizeof s->part, "part%d.", part);
}

void gr__state_under(gr__state *s, const char *section)
{
    snprintf(s->prefix, sizeof s->prefix, "%s%s", s->part, section);
}

static thing *no_room(gr__state *s, size_t size)
{
    s->failed = true;
    gr__fail_memory("checkpoint", size);
    return NULL;
}

/* A new thing at the list's end; NULL: the state has failed. */
static thing *add(gr__state *s, const char *name, gr__type type, gr_shape shape, void *at)
{
    if (s->failed) return NULL;
    size_t size = strlen(s->prefix) + strlen(name) + 1;
    thing *x = calloc(1, sizeof *x);
    if (!x || !(x->name = malloc(size))) {
        free(x);
        return no_room(s, size);
    }
    snprintf(x->name, size, "%s%s", s->prefix, name);
    x->type = type;
    x->shape = shape;
    x->at = at;
    if (gr__map_get(s->by_name, x->name)) {
        s->failed = true;
        gr__fail(
            GR_ERR_ARGUMENT, "checkpoint: two values have the name '%s'", gr__quoted(x->name).s);
    } else if (gr__array_push(&s->things, &x, sizeof x)) {
        return gr__map_put(s->by_name, x->name, x) ? x : no_room(s, size);
    } else
        no_room(s, size);
    thing_free(x);
    return NULL;
}

static const gr_shape one = { .rank = 0 };

void gr__state_is_integer(gr__state *s, const char *name, int64_t value)
{
    thing *x = add(s, name, GR__I64, one, NULL);
    if (!x) return;
    x->fact = true;
    x->own.integer = value;
    x->at = &x->own;
}

void gr__state_is_number(gr__state *s, const char *name, double value)
{
    thing *x = add(s, name, GR__F64, one, NULL);
    if (!x) return;
    x->fact = true;
    x->own.number = value;
    x->at = &x->own;
}

void gr__state_is_text(gr__state *s, const char *name, const char *text)
{
    size_t n = strlen(text);
    thing *x = add(s, name, GR__U8, gr_shape((int64_t)n), NULL);
    if (!x) return;
    x->own_text = malloc(n + 1);
    if (!x->own_text) {
        no_room(s, n);
        return;
    }
    x->fact = true;
    x->room = n + 1;
    x->at = strcpy(x->own_text, text);
}

void gr__state_tensor(gr__state *s, const char *name, gr_tensor *t)
{
    thing *x = add(s, name, gr__type_of(t), t->shape, t->data);
    if (x) x->t = t;
}

void gr__state_count(gr__state *s, const char *name, gr_tensor *t)
{
    thing *x = add(s, name, GR__I32, t->shape, t->data);
    if (!x) return;
    x->t = t;
    x->bounded = true;
    x->high.integer = INT32_MAX;
}

void gr__state_integer(gr__state *s, const char *name, int64_t *at, int64_t low, int64_t high)
{
    thing *x = add(s, name, GR__I64, one, at);
    if (!x) return;
    x->bounded = true;
    x->low.integer = low;
    x->high.integer = high;
}

void gr__state_number(gr__state *s, const char *name, double *at, double low, double high)
{
    thing *x = add(s, name, GR__F64, one, at);
    if (!x) return;
    x->bounded = !isnan(low);
    x->low.number = low;
    x->high.number = high;
}

void gr__state_words(gr__state *s, const char *name, uint64_t *at, int64_t n)
{
    add(s, name, GR__I64, gr_shape(n), at);
}

void gr__state_bytes(gr__state *s, const char *name, unsigned char *at, int64_t n)
{
    add(s, name, GR__U8, gr_shape(n), at);
}

void gr__state_text(gr__state *s, const char *name, char *at, size_t room)
{
    thing *x = add(s, name, GR__U8, gr_shape((int64_t)strlen(at)), at);
    if (x) x->room = room;
}

/* ---- writing ---- */

bool gr__state_write(const gr__state *s, const char *path)
{
    if (s->failed) return false;
    size_t     n = gr__array_length(s->things);
    gr__entry *e = calloc(n + 1, sizeof *e);
    if (!e) return gr__fail_memory("checkpoint", n * sizeof *e);
    for (size_t i = 0; i < n; i++) {
        const thing *x = s->things[i];
        e[i] = (gr__entry){ x->name, x->type, x->shape, x->at };
    }
    bool good = gr__safetensors_write(path, e, (int)n);
    free(e);
    return good;
}

/* ---- reading ---- */

static bool differs(const char *path, const thing *x, const char *there, const char *here)
{
    return gr__fail(GR_ERR_FORMAT, "checkpoint_load: '%s' has %s %s, this run has %s", path,
        gr__quoted(x->name).s, there, here);
}

static bool same_size(const char *path, const thing *x, const gr__entry *e)
{
    char there[192], here[192];
    if (x->room && e->type == x->type && e->shape.rank == 1) {
        size_t n = (size_t)e->shape.dim[0];
        if (x->fact || (n < x->room && !memchr(e->data, 0, n))) return true;
        return gr__fail(GR_ERR_FORMAT,
            "checkpoint_load: '%s': the text %s has %zu byte%s, and room for %zu without a zero",
            path, gr__quoted(x->name).s, n, gr__plural((int64_t)n, "s"), x->room - 1);
    }
    if (e->type == x->type && gr__same_shape(&e->shape, &x->shape)) return true;
    snprintf(there, sizeof there, "%s %s", gr__type_name(e->type), gr__shape_text(&e->shape).s);
    snprintf(here, sizeof here, "%s %s", gr__type_name(x->type), gr__shape_text(&x->shape).s);
    return differs(path, x, there, here);
}

static gr__quote quoted_bytes(const void *bytes, size_t n)
{
    char text[128];
    n = n < sizeof text - 1 ? n : sizeof text - 1;
    memcpy(text, bytes, n);
    text[n] = 0;
    gr__quote q = gr__quoted(text), with;
    snprintf(with.s, sizeof with.s, "'%.90s'", q.s);
    return with;
}

static bool same_number(const char *path, const thing *x, double there, double here)
{
    char a[32], b[32];
    if (there == here) return true;
    snprintf(a, sizeof a, "%g", there);
    snprintf(b, sizeof b, "%g", here);
    if (strcmp(a, b) == 0) {
        snprintf(a, sizeof a, "%.17g", there);
        snprintf(b, sizeof b, "%.17g", here);
    }
    return differs(path, x, a, b);
}

static bool same_fact(const char *path, const thing *x, const gr__entry *e)
{
    if (x->type == GR__U8) {
        size_t n = (size_t)e->shape.dim[0], m = (size_t)x->shape.dim[0];
        return (n == m && memcmp(e->data, x->at, n) == 0) ||
               differs(path, x, quoted_bytes(e->data, n).s, quoted_bytes(x->at, m).s);
    }
    if (x->type == GR__F64) {
        double there;
        memcpy(&there, e->data, sizeof there);
        return same_number(path, x, there, x->own.number);
    }
    int64_t there;
    char    a[24], b[24];
    memcpy(&there, e->data, sizeof there);
    snprintf(a, sizeof a, "%lld", (long long)there);
    snprintf(b, sizeof b, "%lld", (long long)x->own.integer);
    return there == x->own.integer || differs(path, x, a, b);
}

static int64_t integer_in(const gr__entry *e)
{
    int32_t narrow;
    int64_t wide;
    if (e->type == GR__I32) {
        memcpy(&narrow, e->data, sizeof narrow);
        return narrow;
    }
    memcpy(&wide, e->data, sizeof wide);
    return wide;
}

static bool within(const char *path, const thing *x, const gr__entry *e)
{
    gr__quote name = gr__quoted(x->name);
    if (x->type != GR__F64) {
        int64_t v = integer_in(e);
        return (v >= x->low.integer && v <= x->high.integer) ||
               gr__fail(GR_ERR_FORMAT, "checkpoint_load: '%s' has %s %lld, %lld to %lld wanted",
                   path, name.s, (long long)v, (long long)x->low.integer,
                   (long long)x->high.integer);
    }
    double v;
    memcpy(&v, e->data, sizeof v);
    return (v >= x->low.number && v <= x->high.number) ||
           gr__fail(GR_ERR_FORMAT, "checkpoint_load: '%s' has %s %g, %g to %g wanted", path, name.s,
               v, x->low.number, x->high.number);
}

/* Facts first: they say best what is wrong. e: the file's entry for each thing, NULL where there is
   none. */
static bool state_check(
    const gr__state *s, const gr__safetensors *f, const gr__entry *const *e, const char *path)
{
    size_t n = gr__array_length(s->things);
    if (n > 0 && !e[0])
        return gr__fail(GR_ERR_FORMAT, "checkpoint_load: '%s' is no checkpoint: it lacks %s", path,
            s->things[0]->name);
    for (size_t i = 0; i < n; i++)
        if (e[i] && s->things[i]->fact &&
            !(same_size(path, s->things[i], e[i]) && same_fact(path, s->things[i], e[i])))
            return false;
    for (int i = 0; i < gr__safetensors_count(f); i++) {
        const char *name = gr__safetensors_entry(f, i)->name;
        if (!gr__map_get(s->by_name, name))
            return gr__fail(GR_ERR_FORMAT, "checkpoint_load: '%s' has %s, which this run lacks",
                path, gr__quoted(name).s);
    }
    for (size_t i = 0; i < n; i++)
        if (!e[i])
            return gr__fail(GR_ERR_FORMAT, "checkpoint_load: '%s' lacks %s, which this run has",
                path, gr__quoted(s->things[i]->name).s);
    for (size_t i = 0; i < n; i++)
        if (!(same_size(path, s->things[i], e[i]) &&
                (!s->things[i]->bounded || within(path, s->things[i], e[i]))))
            return false;
    return true;
}

static void state_fill(const thing *x, const gr__entry *e)
{
    size_t bytes = (size_t)gr__count(&e->shape) * gr__type_size(e->type);
    if (x->fact) return;
    if (x->t) gr__touch(x->t);
    if (bytes) memcpy(x->at, e->data, bytes);
    if (x->room) ((char *)x->at)[bytes] = 0;
}

/* Which entry belongs to which thing, by a map of the things' places. */
static bool match(const gr__state *s, const gr__safetensors *f, const gr__entry **e)
{
    gr__map *entries = gr__map_new();
    bool     good = entries;
    for (int i = 0; good && i < gr__safetensors_count(f); i++) {
        const gr__entry *one_of = gr__safetensors_entry(f, i);
        good = gr__map_put(entries, one_of->name, (void *)(uintptr_t)one_of);
    }
    for (size_t i = 0; good && i < gr__array_length(s->things); i++)
        e[i] = gr__map_get(entries, s->things[i]->name);
    gr__map_free(entries);
    return good || gr__fail_memory("checkpoint_load", sizeof *e);
}

bool gr__state_read(const gr__state *s, const char *path)
{
    if (s->failed) return false;
    size_t            n = gr__array_length(s->things);
    gr__safetensors  *f = gr__safetensors_read(path);
    const gr__entry **e = f ? calloc(n + 1, sizeof *e) : NULL;
    bool              good = f && (e || gr__fail_memory("checkpoint_load", n * sizeof *e));
    good = good && match(s, f, e) && state_check(s, f, e, path);
    for (size_t i = 0; good && i < n; i++) state_fill(s->things[i], e[i]);
    free(e);
    gr__safetensors_free(f);
    return good;
}
