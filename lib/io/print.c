/* print.c: tensors as text, as NumPy's str() writes arrays.

   A number is written with the fewest digits that tell it from its neighbours, at most 8 after the
   point. All numbers of a tensor are written in one style: fixed, or with exponents if the largest
   is 1e8 or more, the smallest under 1e-4, or their ratio over 1000. Invariant: the text is laid
   out twice by the same code, first to be measured (to is NULL), then to be written, so that it is
   exactly as long as the block that holds it. */
#include "io/io.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PRECISION = 8, THRESHOLD = 1000, EDGE = 3, PRINT_LINE = 75, WORD = GR__NUMBER_ROOM };

/* ---- one number ---- */

/* A decimal number: digit[0] . digit[1] digit[2] ... times 10 to the exponent, without zeros at the
   end. */
typedef struct decimal {
    bool negative;
    int  count, exponent;
    char digit[24];
} decimal;

/* Reads what printf's %e wrote, whose decimal point depends on the locale. */
static decimal decimal_of(const char *text)
{
    decimal d = { .negative = *text == '-' };
    for (; *text != 'e'; text++)
        if (*text >= '0' && *text <= '9') d.digit[d.count++] = *text;
    d.exponent = atoi(text + 1);
    while (d.count > 1 && d.digit[d.count - 1] == '0') d.count--;
    return d;
}

/* x rounded to so many digits. */
static decimal print_rounded(double x, int digits)
{
    char text[WORD];
    snprintf(text, sizeof text, "%.*e", digits - 1, x);
    return decimal_of(text);
}

static bool reads_back(const char *text, double x)
{
#ifndef GRADUS_DOUBLE
    if ((double)(float)x == x) return (double)strtof(text, NULL) == x;
#endif
    return strtod(text, NULL) == x;
}

/* The fewest digits that read back as x. At a power of two the neighbour below is nearer than the
   one above, so that a number further from x than the nearest of so many digits may be the one that
   reads back: the next one up. */
static decimal shortest(double x)
{
    char text[WORD];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*e", digits - 1, x);
        if (reads_back(text, x)) break;
        decimal d = decimal_of(text);
        double  unit = pow(10, d.exponent - digits + 1), up = fabs(x) + 0.75 * unit;
        int     mantissa;
        if (frexp(fabs(x), &mantissa) != 0.5 || digits == 17) continue;
        snprintf(text, sizeof text, "%.*e", digits - 1, copysign(up, x));
        if (fabs(strtod(text, NULL)) > fabs(x) && reads_back(text, x)) break;
    }
    return decimal_of(text);
}

static int print_most(int a, int b) { return a > b ? a : b; }

static int print_least(int a, int b) { return a < b ? a : b; }

/* x to at most PRECISION digits after the point, and never fewer than those before it. */
static decimal fixed(double x)
{
    decimal d = shortest(x);
    int whole = d.exponent + 1, digits = print_most(whole, print_least(d.count, whole + PRECISION));
    return x == 0 || digits == d.count ? d : print_rounded(x, digits);
}

static int places_before(const decimal *d) { return d->negative + print_most(1, d->exponent + 1); }

static int places_after(const decimal *d) { return print_most(0, d->count - 1 - d->exponent); }

/* Writes d without an exponent: "-0.05", "120.". */
static int put_fixed(char *to, const decimal *d)
{
    int n = 0;
    if (d->negative) to[n++] = '-';
    for (int place = print_most(0, d->exponent); place >= -places_after(d); place--) {
        int i = d->exponent - place;
        to[n++] = i >= 0 && i < d->count ? d->digit[i] : '0';
        if (place == 0) to[n++] = '.';
    }
    return n;
}

/* Writes x with so many digits after the point and at least so many in the exponent: "1.50e-05". */
static int put_exponent(char *to, double x, int precision, int exponent_digits)
{
    decimal d = shortest(x);
    if (d.count != precision + 1) d = print_rounded(x, precision + 1);
    int n = 0;
    if (d.negative) to[n++] = '-';
    for (int i = 0; i <= precision; i++) {
        to[n++] = i < d.count ? d.digit[i] : '0';
        if (i == 0) to[n++] = '.';
    }
    return n + snprintf(to + n, (size_t)(WORD - n), "e%c%0*d", d.exponent < 0 ? '-' : '+',
                   exponent_digits, abs(d.exponent));
}

/* ---- the style of a tensor ---- */

typedef struct style {
    bool exponent;
    int  before, after; /* columns on both sides of the point */
    int  precision, exponent_digits;
} style;

typedef struct print_page {
    const gr_tensor *t;
    style            style;
    bool             summary;
    int64_t          stride[GR_MAX_DIMS];
    char            *to; /* NULL while the text is measured */
    size_t           length;
} print_page;

/* What is seen of a dimension of n: the first EDGE and the last EDGE in a summary. */
static bool shortened(const print_page *p, int64_t n) { return p->summary && n > 2 * EDGE; }

static double value(const gr_tensor *t, int64_t at)
{
    return t->dtype == GR_INT32 ? (double)gr__ints(t)[at] : (double)gr__reals(t)[at];
}

/* Calls fn for every element that will be seen. */
static void each_seen(
    const print_page *p, int dim, int64_t at, void (*fn)(double x, void *arg), void *arg)
{
    if (dim == p->t->shape.rank) {
        fn(value(p->t, at), arg);
        return;
    }
    int64_t n = p->t->shape.dim[dim];
    for (int64_t i = 0; i < n; i++) {
        if (i == EDGE && shortened(p, n)) i = n - EDGE;
        each_seen(p, dim + 1, at + i * p->stride[dim], fn, arg);
    }
}

typedef struct survey {
    /* magnitudes of what is neither zero nor infinite */
    gr_real largest, smallest;
    bool    any, infinite_below, finite, other; /* other: nan or inf */
    style   style;
} survey;

static void see_size(double x, void *arg)
{
    survey *s = arg;
    gr_real size = (gr_real)fabs(x);
    if (!isfinite(x)) {
        s->other = true;
        s->infinite_below = s->infinite_below || (isinf(x) && x < 0);
        return;
    }
    s->finite = true;
    if (x != 0) {
        s->largest = !s->any || size > s->largest ? size : s->largest;
        s->smallest = !s->any || size < s->smallest ? size : s->smallest;
        s->any = true;
    }
}

static void see_places(double x, void *arg)
{
    style *s = &((survey *)arg)->style;
    if (!isfinite(x)) return;
    if (!s->exponent) {
        decimal d = fixed(x);
        s->before = print_most(s->before, places_before(&d));
        s->after = print_most(s->after, places_after(&d));
        return;
    }
    decimal d = shortest(x);
    if (d.count > PRECISION + 1) d = print_rounded(x, PRECISION + 1);
    s->before = print_most(s->before, 1 + d.negative);
    s->precision = print_most(s->precision, d.count - 1);
    s->exponent_digits = print_most(s->exponent_digits, abs(d.exponent) >= 100 ? 3 : 2);
}

static style style_of_reals(const print_page *p)
{
    survey s = { .any = false };
    each_seen(p, 0, 0, see_size, &s);
    s.style.exponent = s.any && (s.largest >= (gr_real)1e8 || (double)s.smallest < 0.0001 ||
                                    s.largest / s.smallest > (gr_real)1000);
    each_seen(p, 0, 0, see_places, &s);
    style y = s.style;
    if (y.exponent) y.after = y.precision + y.exponent_digits + 2;
    if (s.other) y.before = print_most(y.before, 3 + s.infinite_below - (y.after + 1));
    return y;
}

static void see_int(double x, void *arg)
{
    style *s = arg;
    s->before = print_most(s->before, snprintf(NULL, 0, "%d", (int)x));
}

static style style_of_ints(const print_page *p)
{
    style y = { .before = 0 };
    each_seen(p, 0, 0, see_int, &y);
    return y;
}

/* The element at this place, in the tensor's style. Returns its length. */
static int word_of(const print_page *p, int64_t at, char *to)
{
    const style *s = &p->style;
    if (p->t->dtype == GR_INT32)
        return snprintf(to, WORD, "%*d", s->before, (int)gr__ints(p->t)[at]);
    double x = value(p->t, at);
    char   text[WORD];
    int    n, width = s->before + 1 + s->after, lead = 0;
    if (!isfinite(x)) {
        n = snprintf(text, sizeof text, isnan(x) ? "nan" : x < 0 ? "-inf" : "inf");
        lead = width - n;
    } else if (s->exponent) {
        n = put_exponent(text, x, s->precision, s->exponent_digits);
        lead = s->before - 1 - (text[0] == '-');
    } else {
        decimal d = fixed(x);
        n = put_fixed(text, &d);
        lead = s->before - places_before(&d);
    }
    lead = print_most(0, lead);
    width = print_most(width, lead + n);
    memset(to, ' ', (size_t)width);
    memcpy(to + lead, text, (size_t)n);
    return s->exponent ? lead + n : width;
}

/* ---- layout ---- */

static void print_put(print_page *p, const char *text, size_t n)
{
    if (p->to) memcpy(p->to + p->length, text, n);
    p->length += n;
}

static void put_times(print_page *p, char c, int times)
{
    for (int i = 0; i < times; i++) print_put(p, &c, 1);
}

static void print_put_row(print_page *p, int64_t at)
{
    /* a bracket on either side for each dimension */
    int     rank = p->t->shape.rank, width = PRINT_LINE - rank, column = rank;
    int     spaces = 0; /* due if the line goes on: the last word's own, and one between words */
    int64_t n = p->t->shape.dim[rank - 1];
    for (int64_t i = 0; i < n; i++) {
        char word[WORD] = "...";
        bool dots = i == EDGE && shortened(p, n);
        int  length = dots ? 3 : word_of(p, at + i, word), ink = length;
        while (ink > 0 && word[ink - 1] == ' ') ink--;
        if (column > rank && column + length > width) {
            put_times(p, '\n', 1);
            column = spaces = rank;
        }
        put_times(p, ' ', spaces);
        print_put(p, word, (size_t)ink);
        column += length + 1;
        spaces = length - ink + 1;
        if (dots) i = n - EDGE - 1;
    }
    put_times(p, ' ', spaces - 1);
}

static void put_block(print_page *p, int dim, int64_t at)
{
    int     left = p->t->shape.rank - dim; /* dimensions inside this one, and itself */
    int64_t n = p->t->shape.dim[dim];
    put_times(p, '[', 1);
    if (left == 1) print_put_row(p, at);
    for (int64_t i = 0; left > 1 && i < n; i++) {
        if (i > 0) {
            put_times(p, '\n', left - 1);
            put_times(p, ' ', dim + 1);
        }
        if (i == EDGE && shortened(p, n)) {
            print_put(p, "...", 3);
            i = n - EDGE - 1;
        } else
            put_block(p, dim + 1, at + i * p->stride[dim]);
    }
    put_times(p, ']', 1);
}

int gr__number_text(char to[GR__NUMBER_ROOM], double x)
{
    if (!isfinite(x)) return snprintf(to, WORD, isnan(x) ? "nan" : x < 0 ? "-inf" : "inf");
    decimal d = shortest(x);
    int     n;
    if (x == 0 || (fabs(x) >= 1e-4 && fabs(x) < 1e16)) {
        n = put_fixed(to, &d);
        if (places_after(&d) == 0) to[n++] = '0';
    } else {
        n = put_exponent(to, x, d.count - 1, 2);
        char *point = strchr(to, '.');
        if (d.count == 1) memmove(point, point + 1, (size_t)(n-- - (point - to)));
    }
    to[n] = '\0';
    return n;
}

/* A number by itself shows all its digits, and has a digit after the point. */
static void put_scalar(print_page *p)
{
    char text[WORD];
    int  n = p->t->dtype == GR_INT32 ? snprintf(text, sizeof text, "%d", (int)gr__ints(p->t)[0])
                                     : gr__number_text(text, (double)gr__reals(p->t)[0]);
    print_put(p, text, (size_t)n);
}

static void print_put_tensor(print_page *p)
{
    if (p->t->shape.rank == 0)
        put_scalar(p);
    else if (p->t->count == 0)
        print_put(p, "[]", 2);
    else
        put_block(p, 0, 0);
}

const char *gr_format(const gr_tensor *t)
{
    if (!t) {
        gr__fail(GR_ERR_ARGUMENT, "format: the tensor is NULL");
        return NULL;
    }
    print_page p = { .t = t, .summary = t->count > THRESHOLD };
    gr__strides(&t->shape, p.stride);
    if (t->shape.rank > 0 && t->count > 0)
        p.style = t->dtype == GR_INT32 ? style_of_ints(&p) : style_of_reals(&p);
    print_put_tensor(&p);
    p.to = gr__string(p.length + 1);
    if (!p.to) return NULL;
    p.to[p.length] = 0;
    p.length = 0;
    print_put_tensor(&p);
    return p.to;
}

void gr_print(const gr_tensor *t)
{
    const char *text = gr_format(t);
    if (text) puts(text);
}
