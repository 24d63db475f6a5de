/* confusion.c: how often images of each class were taken for each other.

   Invariant: a batch is counted as a whole or, if it is refused, not at all. t is the true class, g
   the guessed one. */
#include "data/data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct gr_confusion {
    int     classes;
    int64_t count[]; /* row t, column g */
};

enum { MOST_CLASSES = 10000 };

gr_confusion *gr_confusion_new(int classes)
{
    if (classes < 1 || classes > MOST_CLASSES) {
        gr__fail(GR_ERR_ARGUMENT, "confusion_open: there cannot be %d classes, only 1 to %d",
            classes, MOST_CLASSES);
        return NULL;
    }
    gr_confusion *c;
    size_t        bytes = sizeof *c + sizeof c->count[0] * (size_t)classes * (size_t)classes;
    c = calloc(1, bytes);
    if (c)
        c->classes = classes;
    else
        gr__fail_memory("confusion_open", bytes);
    return c;
}

void gr_confusion_free(gr_confusion *c) { free(c); }

void gr__confusion_clear(gr_confusion *c)
{
    memset(c->count, 0, sizeof c->count[0] * (size_t)c->classes * (size_t)c->classes);
}

/* ---- counting ---- */

/* As gr_argmax has it: the first greatest, or the first NaN. */
static int greatest(const gr_real *x, int n)
{
    int at = 0;
    for (int k = 1; k < n && !isnan(x[at]); k++)
        if (!(x[k] <= x[at])) at = k;
    return at;
}

static int guess_of(const gr_confusion *c, const gr_tensor *guess, int64_t n)
{
    return guess->dtype == GR_INT32 ? gr__ints(guess)[n]
                                    : greatest(gr__reals(guess) + n * c->classes, c->classes);
}

static bool check_classes(const gr_confusion *c, const gr_tensor *t, const char *what)
{
    for (int64_t n = 0; n < t->count; n++)
        if (gr__ints(t)[n] < 0 || gr__ints(t)[n] >= c->classes)
            return gr__fail(GR_ERR_ARGUMENT, "confusion_add: %s %lld is %d, not 0 to %d", what,
                (long long)n, gr__ints(t)[n], c->classes - 1);
    return true;
}

static bool confusion_check_pair(
    const gr_confusion *c, const gr_tensor *guess, const gr_tensor *labels)
{
    if (!c || !guess || !labels)
        return gr__fail(GR_ERR_ARGUMENT, "confusion_add: %s is NULL",
            !c       ? "the matrix"
            : !guess ? "guess"
                     : "labels");
    bool chosen = guess->dtype == GR_INT32;
    if (labels->dtype != GR_INT32)
        return gr__fail(
            GR_ERR_ARGUMENT, "confusion_add: labels %s are real, int32 wanted", GR__TEXT(labels));
    if (labels->shape.rank != 1 || guess->shape.rank != (chosen ? 1 : 2) ||
        guess->shape.dim[0] != labels->shape.dim[0] ||
        (!chosen && guess->shape.dim[1] != c->classes))
        return gr__fail(GR_ERR_ARGUMENT,
            "confusion_add: guess %s, labels %s: (N,%d) or int32 (N), and (N) wanted",
            GR__TEXT(guess), GR__TEXT(labels), c->classes);
    return check_classes(c, labels, "label") && (!chosen || check_classes(c, guess, "guess"));
}

bool gr_confusion_add(gr_confusion *c, const gr_tensor *guess, const gr_tensor *labels)
{
    if (!confusion_check_pair(c, guess, labels)) return false;
    for (int64_t n = 0; n < labels->count; n++)
        c->count[gr__ints(labels)[n] * c->classes + guess_of(c, guess, n)]++;
    return true;
}

/* ---- reading ---- */

static bool confusion_given(const gr_confusion *c, const char *what)
{
    return c || gr__fail(GR_ERR_ARGUMENT, "%s: the matrix is NULL", what);
}

static bool confusion_there(const gr_confusion *c, int k, const char *what)
{
    return confusion_given(c, what) &&
           ((k >= 0 && k < c->classes) ||
               gr__fail(GR_ERR_ARGUMENT, "%s: there is no class %d among %d", what, k, c->classes));
}

int64_t gr_confusion_count(const gr_confusion *c, int label, int guess)
{
    if (!confusion_there(c, label, "confusion_count") ||
        !confusion_there(c, guess, "confusion_count"))
        return -1;
    return c->count[label * c->classes + guess];
}

/* The sum of n counts, step apart. */
static int64_t sum(const int64_t *count, int n, int step)
{
    int64_t s = 0;
    for (int k = 0; k < n; k++) s += count[k * step];
    return s;
}

static double ratio(int64_t part, int64_t whole)
{
    return whole ? (double)part / (double)whole : 0;
}

static int64_t right(const gr_confusion *c) { return sum(c->count, c->classes, c->classes + 1); }

static int64_t total(const gr_confusion *c) { return sum(c->count, c->classes * c->classes, 1); }

double gr_confusion_accuracy(const gr_confusion *c)
{
    return confusion_given(c, "confusion_accuracy") ? ratio(right(c), total(c)) : (double)NAN;
}

gr_class_scores gr_confusion_scores(const gr_confusion *c, int k)
{
    if (!confusion_there(c, k, "confusion_scores")) return (gr_class_scores){ NAN, NAN, NAN, -1 };
    int64_t hits = c->count[k * c->classes + k],
            guessed = sum(c->count + k, c->classes, c->classes);
    int64_t there_are = sum(c->count + k * c->classes, c->classes, 1);
    return (gr_class_scores){ ratio(hits, guessed), ratio(hits, there_are),
        ratio(2 * hits, guessed + there_are), there_are };
}

/* ---- as a table ---- */

/* A page is laid out twice: first to see how long it becomes. */
typedef struct confusion_page {
    const gr_confusion *c;
    const char *const  *names;
    char               *to;
    size_t              size, length;
    int                 name, column; /* widths */
} confusion_page;

static void confusion_put(confusion_page *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void confusion_put(confusion_page *p, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int n =
        vsnprintf(p->to ? p->to + p->length : NULL, p->to ? p->size - p->length : 0, format, ap);
    va_end(ap);
    p->length += n > 0 ? (size_t)n : 0;
}

/* Characters of UTF-8: bytes that do not go on with one. */
static int width_of(const char *text)
{
    int n = 0;
    for (; *text; text++) n += (*text & 0xc0) != 0x80;
    return n;
}

static void put_right(confusion_page *p, const char *text, int width)
{
    confusion_put(p, "%*s%s", width - width_of(text), "", text);
}

static const char *name_of(const confusion_page *p, int k, char number[12])
{
    if (p->names) return p->names[k];
    snprintf(number, 12, "%d", k);
    return number;
}

static void confusion_measure(confusion_page *p)
{
    char number[24];
    p->name = width_of("precision");
    p->column = width_of("100.0%");
    for (int k = 0; k < p->c->classes; k++) {
        int w = width_of(name_of(p, k, number));
        p->name = w > p->name ? w : p->name;
        p->column = w > p->column ? w : p->column;
    }
    int w = snprintf(number, sizeof number, "%lld", (long long)total(p->c));
    p->column = 1 + (w > p->column ? w : p->column);
}

static void put_percent(confusion_page *p, double part, int width)
{
    char text[24];
    snprintf(text, sizeof text, "%.1f%%", 100 * part);
    put_right(p, text, width);
}

static void confusion_lay_out(confusion_page *p)
{
    char number[12];
    int  n = p->c->classes;
    p->length = 0;
    put_right(p, "", p->name);
    for (int g = 0; g < n; g++) put_right(p, name_of(p, g, number), p->column);
    confusion_put(p, "  recall\n");
    for (int t = 0; t < n; t++) {
        put_right(p, name_of(p, t, number), p->name);
        for (int g = 0; g < n; g++)
            confusion_put(p, "%*lld", p->column, (long long)p->c->count[t * n + g]);
        put_percent(p, gr_confusion_scores(p->c, t).recall, 8);
        confusion_put(p, "\n");
    }
    put_right(p, "precision", p->name);
    for (int g = 0; g < n; g++) put_percent(p, gr_confusion_scores(p->c, g).precision, p->column);
    put_percent(p, gr_confusion_accuracy(p->c), 8);
}

const char *gr_confusion_format(const gr_confusion *c, const char *const *names)
{
    if (!confusion_given(c, "confusion_format")) return NULL;
    for (int k = 0; names && k < c->classes; k++)
        if (!names[k]) {
            gr__fail(GR_ERR_ARGUMENT, "confusion_format: the name of class %d is NULL", k);
            return NULL;
        }
    confusion_page p = { .c = c, .names = names };
    confusion_measure(&p);
    confusion_lay_out(&p);
    p.size = p.length + 1;
    p.to = gr__string(p.size);
    if (p.to) confusion_lay_out(&p);
    return p.to;
}

void gr_confusion_print(const gr_confusion *c, const char *const *names)
{
    const char *text = gr_confusion_format(c, names);
    if (text) puts(text);
}
