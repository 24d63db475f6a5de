/* npy.c: arrays in NumPy's files: a magic number, a version, the length of the header, the header
   (a dictionary as Python writes it), the elements. Format:
   https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html

   Invariant: elements are read only when the file is known to hold exactly as many as its shape
   says. */
#include "io/io.h"

#include <stdlib.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "npy.c copies numbers as they lie in memory, and the files want the lowest byte first"
#endif

enum { MAGIC = 6, NPY_ALIGNMENT = 64, NPY_MOST_HEADER = 65536 };

static const char magic[MAGIC + 1] = "\x93NUMPY";

static size_t npy_element_size(gr_dtype dtype)
{
    return dtype == GR_INT32 ? sizeof(int32_t) : sizeof(gr_real);
}

/* ---- writing ---- */

/* The bytes before the elements, a multiple of ALIGNMENT. */
static size_t write_header(char *to, size_t room, const gr_tensor *t)
{
    enum { BEFORE = MAGIC + 4 };
    size_t n = BEFORE;
    n +=
        (size_t)snprintf(to + n, room - n, "{'descr': '<%c%zu', 'fortran_order': False, 'shape': (",
            t->dtype == GR_INT32 ? 'i' : 'f', npy_element_size(t->dtype));
    for (int i = 0; i < t->shape.rank; i++)
        n += (size_t)snprintf(to + n, room - n, "%lld%s", (long long)t->shape.dim[i],
            i == 0 || i + 1 < t->shape.rank ? "," : "");
    n += (size_t)snprintf(to + n, room - n, ")}");
    while ((n + 1) % NPY_ALIGNMENT) to[n++] = ' ';
    to[n++] = '\n';
    memcpy(to, magic, MAGIC);
    to[MAGIC] = 1;
    to[MAGIC + 1] = 0;
    to[MAGIC + 2] = (char)((n - BEFORE) & 255);
    to[MAGIC + 3] = (char)((n - BEFORE) >> 8);
    return n;
}

bool gr_npy_save(const char *path, const gr_tensor *t)
{
    gr__writer w;
    char       header[512];
    if (!t) return gr__fail(GR_ERR_ARGUMENT, "npy_save: the tensor is NULL");
    if (!gr__writer_open(&w, path)) return false;
    gr__writer_put(&w, header, write_header(header, sizeof header, t));
    gr__writer_put(&w, t->data, (size_t)t->count * npy_element_size(t->dtype));
    return gr__writer_close(&w);
}

/* ---- reading: the header ---- */

typedef struct array {
    const char *path;
    char        kind;    /* f float, i and u integers, b bool */
    size_t      size;    /* of one element */
    bool        swapped; /* its highest byte comes first */
    bool        fortran;
    gr_shape    shape;
    int64_t     count;
    uint64_t    begin; /* of the elements, in the file */
    const char *p;     /* what is left of the header's text */
    int         version;
    unsigned    seen; /* keys: bits in the order below */
} array;

static bool bad(const array *a, const char *why)
{
    return gr__fail(GR_ERR_FORMAT, "'%s': the npy header %s", a->path, why);
}

static void skip_space(array *a)
{
    while (*a->p && strchr(" \t\n\r\f", *a->p)) a->p++;
}

static bool is_next(array *a, char c)
{
    skip_space(a);
    if (*a->p != c) return false;
    a->p++;
    return true;
}

static bool is_word(array *a, const char *word)
{
    size_t n = strlen(word);
    skip_space(a);
    if (strncmp(a->p, word, n) != 0) return false;
    a->p += n;
    return true;
}

/* Text in quotes of either kind; Python 2 may have put a u before it. */
static bool quoted(array *a, char *to, size_t room)
{
    skip_space(a);
    if (*a->p == 'u' && (a->p[1] == '\'' || a->p[1] == '"')) a->p++;
    char   quote = is_next(a, '\'') ? '\'' : is_next(a, '"') ? '"' : 0;
    size_t n = 0;
    if (!quote) return false;
    while (*a->p && *a->p != quote && n + 1 < room) to[n++] = *a->p++;
    to[n] = 0;
    return is_next(a, quote);
}

static bool read_descr(array *a)
{
    char s[32];
    if (!quoted(a, s, sizeof s)) return bad(a, "has no dtype of one kind of number");
    a->kind = s[0] ? s[1] : 0;
    a->size = a->kind && s[2] >= '0' && s[2] <= '9' && !s[3] ? (size_t)(s[2] - '0') : 0;
    size_t n = a->size;
    bool   known = a->kind == 'f'   ? n == 4 || n == 8
                   : a->kind == 'b' ? n == 1
                                    : (a->kind == 'i' || a->kind == 'u') && n && 8 % n == 0;
    a->swapped = s[0] == '>' && n > 1;
    if (known && strchr("<>|=", s[0]))
        return true; /* = and | are the machine's order, which is < here */
    return gr__fail(GR_ERR_FORMAT,
        "'%s' holds elements of dtype '%s', not floats of 4 or 8 bytes, integers or bools", a->path,
        gr__quoted(s).s);
}

static bool read_fortran_order(array *a)
{
    a->fortran = is_word(a, "True");
    return a->fortran || is_word(a, "False") ||
           bad(a, "has no fortran_order that is True or False");
}

/* A size: digits, with no 0 before others, which would be octal in Python 2. That writes 2L where a
   size comes from a long integer; NumPy reads this in versions 1 and 2. The largest number there is
   if it is larger; -1: it is none. */
static int64_t read_size(array *a)
{
    char *end;
    if (*a->p < '0' || *a->p > '9' || (*a->p == '0' && a->p[1] >= '0' && a->p[1] <= '9')) return -1;
    int64_t n = strtoll(a->p, &end, 10);
    a->p = end + (*end == 'L' && a->version < 3);
    return n;
}

/* A tuple: one size alone has a comma after it. */
static bool read_shape(array *a)
{
    bool comma = true;
    if (!is_next(a, '(')) return bad(a, "has no shape");
    while (!is_next(a, ')')) {
        int64_t n = comma ? read_size(a) : -1;
        if (n < 0) return bad(a, "has a shape that is no list of sizes");
        if (a->shape.rank == GR_MAX_DIMS)
            return gr__fail(
                GR_ERR_FORMAT, "'%s' has more than %d dimensions", a->path, GR_MAX_DIMS);
        a->shape.dim[a->shape.rank++] = n;
        comma = is_next(a, ',');
    }
    if (a->shape.rank == 1 && !comma) return bad(a, "has a shape that is no list of sizes");
    a->count = gr__count(&a->shape);
    return a->count >= 0 || gr__fail(GR_ERR_FORMAT, "'%s': the product of its sizes %s overflows",
                                a->path, gr__shape_text(&a->shape).s);
}

static bool read_item(array *a)
{
    static const struct {
        const char *name;
        bool (*read)(array *a);
    } keys[] = { { "descr", read_descr }, { "fortran_order", read_fortran_order },
        { "shape", read_shape } };
    char name[32];
    bool good = quoted(a, name, sizeof name) && is_next(a, ':');
    for (unsigned i = 0; good && i < 3; i++)
        if (strcmp(name, keys[i].name) == 0 && !(a->seen >> i & 1)) {
            a->seen |= 1u << i;
            return keys[i].read(a);
        }
    return bad(a, "is not a dictionary of descr, fortran_order and shape, each once");
}

static bool parse_header(array *a)
{
    bool good = is_next(a, '{');
    while (good && !is_next(a, '}')) {
        if (!read_item(a)) return false;
        good = is_next(a, ',') || *a->p == '}';
    }
    skip_space(a);
    return (good && a->seen == 7 && !*a->p) ||
           bad(a, "is not a dictionary of descr, fortran_order and shape, each once");
}

/* The length of the header, and so where the elements begin. */
static bool read_length(gr__file *f, array *a, size_t *length)
{
    unsigned char b[MAGIC + 6] = { 0 };
    if (f->size < MAGIC + 4 || !gr__file_get(f, b, MAGIC + 4) || memcmp(b, magic, MAGIC) != 0)
        return gr__fail(GR_ERR_FORMAT, "'%s' is not an npy file", f->path);
    int version = b[MAGIC];
    if (version < 1 || version > 3 || b[MAGIC + 1])
        return gr__fail(GR_ERR_FORMAT, "'%s' is an npy file of version %d.%d, not 1.0, 2.0 or 3.0",
            f->path, version, b[MAGIC + 1]);
    uint64_t at = MAGIC + 4, n = (uint64_t)b[MAGIC + 2] | (uint64_t)b[MAGIC + 3] << 8;
    if (version > 1) {
        if (f->size < at + 2)
            return gr__fail(GR_ERR_FORMAT, "'%s': the length of its header is cut off", f->path);
        if (!gr__file_get(f, b + at, 2)) return false;
        n |= (uint64_t)b[at] << 16 | (uint64_t)b[at + 1] << 24;
        at += 2;
    }
    if (n > f->size - at || n > NPY_MOST_HEADER)
        return gr__fail(GR_ERR_FORMAT, "'%s': a header of %llu byte%s is %s", f->path,
            (unsigned long long)n, gr__plural((int64_t)n, "s"),
            n > NPY_MOST_HEADER ? "too long" : "longer than the file");
    *length = (size_t)n;
    a->begin = at + n;
    a->version = version;
    return true;
}

static bool npy_read_header(gr__file *f, array *a)
{
    size_t length = 0;
    if (!read_length(f, a, &length)) return false;
    char *text = malloc(length + 1);
    if (!text) return gr__fail_memory("npy_load", length + 1);
    bool good = gr__file_get(f, text, length);
    text[length] = 0;
    a->p = text;
    good = good && (strlen(text) == length || bad(a, "holds a zero byte")) && parse_header(a);
    free(text);
    return good;
}

/* ---- reading: the elements ---- */

static bool check_size(const gr__file *f, const array *a)
{
    uint64_t is = f->size - a->begin, wanted = (uint64_t)a->count;
    if (is / a->size == wanted && is % a->size == 0) return true;
    return gr__fail(GR_ERR_FORMAT,
        "'%s' %s: shape %s needs %llu element%s of %zu byte%s, it holds %llu byte%s", f->path,
        is / a->size < wanted ? "is cut off" : "is too long", gr__shape_text(&a->shape).s,
        (unsigned long long)wanted, gr__plural((int64_t)wanted, "s"), a->size,
        gr__plural((int64_t)a->size, "s"), (unsigned long long)is, gr__plural((int64_t)is, "s"));
}

/* The bytes of an element as a number, and as the bits of a float. */
static uint64_t bits_at(const array *a, const unsigned char *p)
{
    uint64_t x = 0;
    for (size_t i = 0; i < a->size; i++)
        x |= (uint64_t)p[i] << 8 * (a->swapped ? a->size - 1 - i : i);
    return x;
}

static double float_at(const array *a, const unsigned char *p)
{
    uint64_t bits = bits_at(a, p);
    uint32_t low = (uint32_t)bits;
    float    f;
    double   d;
    if (a->kind == 'b') return bits != 0;
    memcpy(&f, &low, sizeof f);
    memcpy(&d, &bits, sizeof d);
    return a->size == sizeof f ? (double)f : d;
}

/* false: it does not fit. */
static bool int_at(const array *a, const unsigned char *p, int32_t *y)
{
    uint64_t x = bits_at(a, p);
    uint64_t sign = a->kind == 'i' ? (uint64_t)1 << (8 * a->size - 1) : 0;
    int64_t  n = (int64_t)((x ^ sign) - sign);
    *y = (int32_t)n;
    return *y == n && (a->kind == 'i' || x <= INT32_MAX);
}

/* Where element i, counted in row-major order, lies in the file. */
static int64_t npy_place_of(const array *a, int64_t i)
{
    int64_t at = 0, stride = a->count;
    if (!a->fortran) return i;
    for (int d = a->shape.rank - 1; d >= 0; d--) {
        stride /= a->shape.dim[d];
        at += i % a->shape.dim[d] * stride;
        i /= a->shape.dim[d];
    }
    return at;
}

static bool convert(const array *a, const unsigned char *from, gr_tensor *t)
{
    for (int64_t i = 0; i < a->count; i++) {
        const unsigned char *p = from + (size_t)npy_place_of(a, i) * a->size;
        if (t->dtype == GR_REAL)
            gr__reals(t)[i] = (gr_real)float_at(a, p);
        else if (!int_at(a, p, &gr__ints(t)[i]))
            return gr__fail(
                GR_ERR_FORMAT, "'%s': element %lld does not fit into int32", a->path, (long long)i);
    }
    return true;
}

static bool read_elements(gr__file *f, const array *a, gr_tensor *t)
{
    size_t size = (size_t)a->count * a->size;
    if (!a->fortran && !a->swapped && a->size == npy_element_size(t->dtype) &&
        a->kind == (t->dtype == GR_REAL ? 'f' : 'i'))
        return gr__file_get(f, t->data, size);
    unsigned char *bytes = gr__malloc(size + 1);
    if (!bytes) return gr__fail_memory("npy_load", size);
    bool good = gr__file_get(f, bytes, size) && convert(a, bytes, t);
    free(bytes);
    return good;
}

gr_tensor *gr_npy_load(const char *path)
{
    gr__file   f;
    array      a = { .path = path };
    gr_tensor *t = NULL;
    if (!gr__file_open(&f, path)) return NULL;
    if (npy_read_header(&f, &a) && check_size(&f, &a))
        t = gr__tensor(a.kind == 'i' || a.kind == 'u' ? GR_INT32 : GR_REAL, &a.shape, "npy_load");
    if (t && !read_elements(&f, &a, t)) {
        gr__unref(t);
        t = NULL;
    }
    gr__file_close(&f);
    return gr__own_leaf(t);
}
