/* safetensors.c: files of named tensors. Eight bytes, the length of the header, lowest first; the
   header, a JSON object that gives each name a dtype, a shape and where its data begins and ends;
   then the data. Format: https://huggingface.co/docs/safetensors

   Invariant of reading: nothing is believed before it is checked. In a file that
   gr__safetensors_read returns, the tensors' data fill the rest of the file exactly, without a gap
   or an overlap, and each has the size that its shape and type take. */
#include "io/io.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error \
    "safetensors.c copies numbers as they lie in memory, and the files want the lowest byte first"
#endif

enum {
    LENGTH_BYTES = 8,
    SAFETENSORS_ALIGNMENT = 8,
    SAFETENSORS_MOST_HEADER = 100000000 /* the format's own limit */
};

static const struct {
    const char *name;
    size_t      size;
} types[] = {
    [GR__F32] = { "F32", 4 },
    [GR__F64] = { "F64", 8 },
    [GR__I32] = { "I32", 4 },
    [GR__I64] = { "I64", 8 },
    [GR__U8] = { "U8", 1 },
};
enum { TYPES = sizeof types / sizeof *types };

gr__type gr__type_of(const gr_tensor *t) { return t->dtype == GR_INT32 ? GR__I32 : GR__REALS; }

const char *gr__type_name(gr__type type) { return types[type].name; }

size_t gr__type_size(gr__type type) { return types[type].size; }

/* ---- writing ---- */

static bool add_number(json_t *list, int64_t n)
{
    return json_array_append_new(list, json_integer(n)) == 0;
}

/* The header's item for one tensor; NULL: no memory. */
static json_t *item_of(const gr__entry *e, int64_t begin, int64_t end)
{
    json_t *item = json_object(), *shape = json_array(), *offsets = json_array();
    bool    good = item && shape && offsets &&
                json_object_set_new(item, "dtype", json_string(gr__type_name(e->type))) == 0;
    for (int i = 0; good && i < e->shape.rank; i++) good = add_number(shape, e->shape.dim[i]);
    good = good && add_number(offsets, begin) && add_number(offsets, end) &&
           json_object_set(item, "shape", shape) == 0 &&
           json_object_set(item, "data_offsets", offsets) == 0;
    json_decref(shape);
    json_decref(offsets);
    if (good) return item;
    json_decref(item);
    return NULL;
}

/* Jansson refuses other names too, but as it refuses when it has no memory. */
static bool is_utf8(const char *s)
{
    const unsigned char *p = (const unsigned char *)s;
    while (*p) {
        int more = *p < 0x80                 ? 0
                   : *p >= 0xc2 && *p < 0xe0 ? 1
                   : (*p & 0xf0) == 0xe0     ? 2
                   : *p >= 0xf0 && *p < 0xf5 ? 3
                                             : -1;
        if (more < 0) return false;
        unsigned code = more ? *p & (0x3fu >> more) : *p;
        for (int i = 0; i < more; i++) {
            if ((p[i + 1] & 0xc0) != 0x80) return false;
            code = code << 6 | (p[i + 1] & 0x3fu);
        }
        if ((more == 2 && (code < 0x800 || (code >= 0xd800 && code < 0xe000))) ||
            (more == 3 && (code < 0x10000 || code > 0x10ffff)))
            return false;
        p += more + 1;
    }
    return true;
}

bool gr__safetensors_may_name(const char *name)
{
    return is_utf8(name) && strcmp(name, "__metadata__") != 0;
}

static bool check_entry(const json_t *header, const gr__entry *e, const char *path)
{
    if (!e->name || !gr__safetensors_may_name(e->name))
        return gr__fail(GR_ERR_ARGUMENT,
            "cannot write '%s': a tensor has the name '%s', which the format does not allow", path,
            e->name ? gr__quoted(e->name).s : "(null)");
    if (json_object_get(header, e->name))
        return gr__fail(GR_ERR_ARGUMENT, "cannot write '%s': two tensors have the name '%s'", path,
            gr__quoted(e->name).s);
    if (gr__count(&e->shape) < 0 || (!e->data && gr__count(&e->shape) > 0))
        return gr__fail(GR_ERR_ARGUMENT, "cannot write '%s': tensor '%s' of shape %s has no data",
            path, gr__quoted(e->name).s, gr__shape_text(&e->shape).s);
    return true;
}

static size_t safetensors_bytes_of(const gr__entry *e)
{
    return (size_t)gr__count(&e->shape) * gr__type_size(e->type);
}

static json_t *header_of(const gr__entry *e, int n, const char *path)
{
    json_t *header = json_object();
    bool    good = header || gr__fail_memory("save", sizeof(gr__entry));
    int64_t at = 0;
    for (int i = 0; good && i < n; i++) {
        good = check_entry(header, &e[i], path);
        int64_t end = good ? at + (int64_t)safetensors_bytes_of(&e[i]) : at;
        if (good && json_object_set_new(header, e[i].name, item_of(&e[i], at, end)))
            good = gr__fail_memory("save", sizeof(gr__entry));
        at = end;
    }
    if (good) return header;
    json_decref(header);
    return NULL;
}

typedef struct text {
    char  *s;
    size_t length, room;
} text;

static int append(const char *from, size_t size, void *arg)
{
    text *t = arg;
    if (t->room - t->length < size) {
        size_t room = 2 * t->room + size + 256;
        char  *more = gr__realloc(t->s, room);
        if (!more) return -1;
        t->s = more;
        t->room = room;
    }
    memcpy(t->s + t->length, from, size);
    t->length += size;
    return 0;
}

/* The header as text, with spaces after it so that the data begin at a multiple of ALIGNMENT. */
static bool header_text(const json_t *header, text *t)
{
    bool good = json_dump_callback(header, append, t, JSON_COMPACT | JSON_PRESERVE_ORDER) == 0;
    while (good && t->length % SAFETENSORS_ALIGNMENT) good = append(" ", 1, t) == 0;
    return good || gr__fail_memory("save", t->room);
}

static bool write_file(const char *path, const text *header, const gr__entry *e, int n)
{
    gr__writer w;
    if (!gr__writer_open(&w, path)) return false;
    unsigned char length[LENGTH_BYTES];
    for (int i = 0; i < LENGTH_BYTES; i++) length[i] = (unsigned char)(header->length >> 8 * i);
    gr__writer_put(&w, length, sizeof length);
    gr__writer_put(&w, header->s, header->length);
    for (int i = 0; i < n; i++) gr__writer_put(&w, e[i].data, safetensors_bytes_of(&e[i]));
    return gr__writer_close(&w);
}

bool gr__safetensors_write(const char *path, const gr__entry *e, int n)
{
    if (!path) return gr__fail(GR_ERR_ARGUMENT, "the path of the file to write is NULL");
    json_t *header = header_of(e, n, path);
    text    t = { .s = NULL };
    bool    good = header && header_text(header, &t) && write_file(path, &t, e, n);
    json_decref(header);
    free(t.s);
    return good;
}

/* ---- reading: the header as JSON ---- */

struct gr__safetensors {
    json_t        *json; /* holds the names */
    int            count;
    gr__entry     *entry;
    unsigned char *data;
};

typedef struct header {
    const char *path;
    uint64_t    data_size;
    text        text;
} header;

/* Jansson does not notice when its buffer for the current word fails to grow: it loses bytes, and
   may then read and write past the buffer's end. So a word of ours, longer than any other can be,
   goes before the header and has the buffer grown first. The buffer doubles from 16 bytes on, so
   that a failure would lose byte 2^k - 1 of the word (and perhaps all that follow). There the word
   has the first hexadecimal digit of an escape; without it the escape is not valid, and Jansson
   stops. */
static bool begin_with_long_word(text *t, size_t longest)
{
    size_t size = 16;
    while (size < longest + 2) size *= 2;
    t->s = gr__malloc(size + longest + 32);
    if (!t->s) return gr__fail_memory("load", size + longest + 32);
    t->room = size + longest + 32;
    char *word = t->s + 1; /* after the bracket of the list that holds both */
    memset(word, 'x', size + 3);
    for (size_t k = 16; k <= size; k *= 2) memcpy(word + k - 3, "\\u0041", 6);
    t->s[0] = '[';
    word[0] = '"';
    t->length = 1 + size + 3;
    return append("\",", 2, t) == 0;
}

/* Both times the same complaint about the text is a complaint about the text; anything else was a
   lack of memory. */
static json_t *parse(const header *h)
{
    json_error_t first, second;
    json_t      *json = json_loadb(h->text.s, h->text.length, JSON_REJECT_DUPLICATES, &first);
    if (json) return json;
    json = json_loadb(h->text.s, h->text.length, JSON_REJECT_DUPLICATES, &second);
    if (!json && first.text[0] && first.position == second.position &&
        strcmp(first.text, second.text) == 0)
        gr__fail(GR_ERR_FORMAT, "'%s': the header is not valid JSON: %s", h->path,
            gr__quoted(first.text).s);
    else
        gr__fail_memory("load", h->text.length);
    json_decref(json);
    return NULL;
}

/* The header's object, with a reference of the caller's. */
static json_t *header_object(const header *h)
{
    json_t *list = parse(h);
    if (!list) return NULL;
    json_t *object = json_array_get(list, 1);
    if (json_array_size(list) == 2 && json_is_object(object))
        json_incref(object);
    else {
        gr__fail(GR_ERR_FORMAT, "'%s': the header is not one JSON object", h->path);
        object = NULL;
    }
    json_decref(list);
    return object;
}

/* The format wants the header to begin with a brace, so that other files are told apart by their
   first bytes. PyTorch's own files are zip archives, and were pickles before version 1.6. */
static bool begins_well(const gr__file *f, const unsigned char b[LENGTH_BYTES + 1])
{
    const char *kind = memcmp(b, "PK\3\4", 4) == 0            ? "a zip archive"
                       : b[0] == 0x80 && b[1] > 0 && b[1] < 6 ? "a pickle"
                                                              : NULL;
    if (b[LENGTH_BYTES] == '{') return true;
    if (!kind)
        return gr__fail(GR_ERR_FORMAT,
            "'%s' is no safetensors file: its header does not begin with {", f->path);
    return gr__fail(GR_ERR_FORMAT,
        "'%s' is no safetensors file but %s, PyTorch's own format: load it in Python and write its "
        "tensors by "
        "safetensors.torch.save_file(model.state_dict(), \"FILE.safetensors\")",
        f->path, kind);
}

static bool safetensors_read_header(gr__file *f, header *h)
{
    unsigned char b[LENGTH_BYTES + 1];
    if (f->size < sizeof b)
        return gr__fail(GR_ERR_FORMAT, "'%s' is no safetensors file: it has %llu byte%s", f->path,
            (unsigned long long)f->size, gr__plural((int64_t)f->size, "s"));
    if (!gr__file_get(f, b, sizeof b) || !begins_well(f, b)) return false;
    uint64_t length = 0;
    for (int i = 0; i < LENGTH_BYTES; i++) length |= (uint64_t)b[i] << 8 * i;
    if (length > f->size - LENGTH_BYTES)
        return gr__fail(GR_ERR_FORMAT,
            "'%s': a header of %llu byte%s does not fit into the file's %llu", f->path,
            (unsigned long long)length, gr__plural((int64_t)length, "s"),
            (unsigned long long)f->size);
    if (length > SAFETENSORS_MOST_HEADER)
        return gr__fail(GR_ERR_FORMAT, "'%s': the header has %llu bytes, more than %d", f->path,
            (unsigned long long)length, SAFETENSORS_MOST_HEADER);
    h->data_size = f->size - LENGTH_BYTES - length;
    if (length == 0)
        return gr__fail(GR_ERR_FORMAT, "'%s' is no safetensors file: its header is empty", f->path);
    if (!begin_with_long_word(&h->text, (size_t)length)) return false;
    h->text.s[h->text.length] = '{'; /* which has been read already */
    if (!gr__file_get(f, h->text.s + h->text.length + 1, (size_t)length - 1)) return false;
    h->text.length += (size_t)length;
    return append("]", 1, &h->text) == 0;
}

/* ---- reading: the tensors ---- */

/* A tensor as the header describes it. */
typedef struct safetensors_claim {
    gr__entry e;
    int64_t   begin, end;
} safetensors_claim;

static bool claim_type(const header *h, const json_t *item, gr__entry *e)
{
    const char *s = json_string_value(json_object_get(item, "dtype"));
    if (!s)
        return gr__fail(
            GR_ERR_FORMAT, "'%s': tensor '%s' has no dtype", h->path, gr__quoted(e->name).s);
    for (int i = 0; i < TYPES; i++)
        if (strcmp(s, types[i].name) == 0) {
            e->type = (gr__type)i;
            return true;
        }
    return gr__fail(GR_ERR_FORMAT, "'%s': tensor '%s' has dtype %s, not F32, F64, I32, I64 or U8",
        h->path, gr__quoted(e->name).s, gr__quoted(s).s);
}

static bool claim_shape(const header *h, const json_t *item, gr__entry *e)
{
    const json_t *list = json_object_get(item, "shape");
    size_t        rank = json_array_size(list);
    bool          good = json_is_array(list);
    for (size_t i = 0; good && i < rank; i++)
        good = json_is_integer(json_array_get(list, i)) &&
               json_integer_value(json_array_get(list, i)) >= 0;
    if (!good)
        return gr__fail(GR_ERR_FORMAT, "'%s': tensor '%s' has no shape that is a list of sizes",
            h->path, gr__quoted(e->name).s);
    if (rank > GR_MAX_DIMS)
        return gr__fail(GR_ERR_FORMAT, "'%s': tensor '%s' has %zu dimensions, more than %d",
            h->path, gr__quoted(e->name).s, rank, GR_MAX_DIMS);
    e->shape.rank = (int)rank;
    for (size_t i = 0; i < rank; i++) e->shape.dim[i] = json_integer_value(json_array_get(list, i));
    return gr__count(&e->shape) >= 0 ||
           gr__fail(GR_ERR_FORMAT, "'%s': tensor '%s': the product of its sizes %s overflows",
               h->path, gr__quoted(e->name).s, gr__shape_text(&e->shape).s);
}

static bool claim_offsets(const header *h, const json_t *item, safetensors_claim *c)
{
    const json_t *list = json_object_get(item, "data_offsets"), *begin = json_array_get(list, 0),
                 *end = json_array_get(list, 1);
    if (json_array_size(list) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return gr__fail(GR_ERR_FORMAT, "'%s': tensor '%s' has no data_offsets that are two numbers",
            h->path, gr__quoted(c->e.name).s);
    c->begin = json_integer_value(begin);
    c->end = json_integer_value(end);
    if (c->begin < 0 || c->end < c->begin || (uint64_t)c->end > h->data_size)
        return gr__fail(GR_ERR_FORMAT,
            "'%s': tensor '%s' has data_offsets [%lld, %lld] outside the file's data, 0 to %llu",
            h->path, gr__quoted(c->e.name).s, (long long)c->begin, (long long)c->end,
            (unsigned long long)h->data_size);
    if ((uint64_t)(c->end - c->begin) != safetensors_bytes_of(&c->e))
        return gr__fail(GR_ERR_FORMAT,
            "'%s': tensor '%s' of shape %s takes %zu byte%s, its data_offsets give %lld", h->path,
            gr__quoted(c->e.name).s, gr__shape_text(&c->e.shape).s, safetensors_bytes_of(&c->e),
            gr__plural((int64_t)safetensors_bytes_of(&c->e), "s"), (long long)(c->end - c->begin));
    return true;
}

static int by_place(const void *a, const void *b)
{
    const safetensors_claim *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return strcmp(x->e.name, y->e.name);
}

/* Every tensor begins where the one before it ends, and the last ends with the file. */
static bool check_places(const header *h, safetensors_claim *c, int n)
{
    int64_t at = 0;
    if (n > 0) qsort(c, (size_t)n, sizeof *c, by_place);
    for (int i = 0; i < n; i++) {
        if (c[i].begin != at)
            return gr__fail(GR_ERR_FORMAT, "'%s': the data of tensor '%s' begin at %lld, %s %lld",
                h->path, gr__quoted(c[i].e.name).s, (long long)c[i].begin,
                c[i].begin < at ? "overlapping what reaches to" : "leaving a gap after",
                (long long)at);
        at = c[i].end;
    }
    return (uint64_t)at == h->data_size ||
           gr__fail(GR_ERR_FORMAT, "'%s' holds %llu byte%s of data, its tensors take %lld", h->path,
               (unsigned long long)h->data_size, gr__plural((int64_t)h->data_size, "s"),
               (long long)at);
}

/* Free for others to use, but of texts only. */
static bool check_metadata(const header *h, json_t *item)
{
    const char *name;
    json_t     *value;
    if (!json_is_object(item))
        return gr__fail(GR_ERR_FORMAT, "'%s': __metadata__ is not an object of strings", h->path);
    json_object_foreach(item, name, value)
    {
        if (!json_is_string(value))
            return gr__fail(GR_ERR_FORMAT, "'%s': __metadata__ holds '%s', which is no string",
                h->path, gr__quoted(name).s);
    }
    return true;
}

static bool read_claims(const header *h, json_t *json, safetensors_claim *c, int *n)
{
    const char *name;
    json_t     *item;
    json_object_foreach(json, name, item)
    {
        if (strcmp(name, "__metadata__") == 0) {
            if (!check_metadata(h, item)) return false;
            continue;
        }
        safetensors_claim *one = &c[(*n)++];
        one->e.name = name;
        if (!json_is_object(item))
            return gr__fail(GR_ERR_FORMAT, "'%s': tensor '%s' is not described by an object",
                h->path, gr__quoted(name).s);
        if (!claim_type(h, item, &one->e) || !claim_shape(h, item, &one->e) ||
            !claim_offsets(h, item, one))
            return false;
    }
    return check_places(h, c, *n);
}

static bool read_entries(gr__safetensors *f, const header *h)
{
    size_t             most = json_object_size(f->json) + 1;
    safetensors_claim *c = calloc(most, sizeof *c);
    f->entry = calloc(most, sizeof *f->entry);
    bool good = (c && f->entry) || gr__fail_memory("load", most * sizeof *c);
    good = good && read_claims(h, f->json, c, &f->count);
    if (good) {
        f->data = gr__malloc((size_t)h->data_size + 1);
        good = f->data || gr__fail_memory("load", (size_t)h->data_size);
    }
    for (int i = 0; good && i < f->count; i++) {
        f->entry[i] = c[i].e;
        f->entry[i].data = f->data + c[i].begin;
    }
    free(c);
    return good;
}

gr__safetensors *gr__safetensors_read(const char *path)
{
    gr__file file;
    if (!gr__file_open(&file, path)) return NULL;
    header           h = { .path = path };
    gr__safetensors *f = calloc(1, sizeof *f);
    bool             good = f || gr__fail_memory("load", sizeof *f);
    good = good && safetensors_read_header(&file, &h) && (f->json = header_object(&h)) != NULL &&
           read_entries(f, &h) && gr__file_get(&file, f->data, (size_t)h.data_size);
    gr__file_close(&file);
    free(h.text.s);
    if (good) return f;
    gr__safetensors_free(f);
    return NULL;
}

int gr__safetensors_count(const gr__safetensors *f) { return f ? f->count : 0; }

const gr__entry *gr__safetensors_entry(const gr__safetensors *f, int i)
{
    return f && i >= 0 && i < f->count ? &f->entry[i] : NULL;
}

void gr__safetensors_free(gr__safetensors *f)
{
    if (!f) return;
    json_decref(f->json);
    free(f->entry);
    free(f->data);
    free(f);
}
