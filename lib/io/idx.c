/* idx.c: IDX files of bytes, plain or gz: two zero bytes, the type of element, the number of
   dimensions, each size as four bytes with the highest first, and the elements.

   Invariant: room is made only as the file fills it, at most double what it has shown to hold, so
   that sizes that lie cost nothing. */
#include "io/io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { UNSIGNED_BYTES = 0x08, PIECE = 1 << 20, ZLIB_BUFFER = 8192 };

struct gr_idx {
    gr_shape       shape;
    size_t         count; /* bytes in all */
    size_t         item;  /* bytes of one item of the first dimension */
    unsigned char *bytes;
};

typedef struct source {
    const char *path;
    gzFile      gz;
} source;

/* Reads up to size bytes, fewer only at the end of the file; -1 on failure. */
static int idx_read_some(source *s, void *to, size_t size)
{
    int n = gzread(s->gz, to, (unsigned)size), why;
    if (n == (int)size) return n;
    errno = 0;
    const char *text = gzerror(s->gz, &why);
    if (n >= 0 && why == Z_OK) return n;
    if (why == Z_MEM_ERROR)
        gr__fail_memory("idx_read", ZLIB_BUFFER);
    else if (why == Z_ERRNO)
        gr__fail(GR_ERR_FILE, "cannot read '%s': %s", s->path, text);
    else if (why == Z_BUF_ERROR)
        gr__fail(GR_ERR_FORMAT, "'%s' is cut off: its gz stream has no end", s->path);
    else
        gr__fail(GR_ERR_FORMAT, "'%s' is damaged: its gz stream is not valid", s->path);
    return -1;
}

/* The magic number: what elements, and how many dimensions. */
static bool read_magic(source *s, gr_shape *shape)
{
    unsigned char m[4];
    int           n = idx_read_some(s, m, sizeof m);
    if (n < 0) return false;
    if (n < 4)
        return gr__fail(GR_ERR_FORMAT, "'%s' is not an IDX file: it has %d byte%s", s->path, n,
            gr__plural(n, "s"));
    if (m[0] || m[1])
        return gr__fail(GR_ERR_FORMAT,
            "'%s' is not an IDX file: it begins with %02x %02x, not with 00 00", s->path, m[0],
            m[1]);
    if (m[2] != UNSIGNED_BYTES)
        return gr__fail(GR_ERR_FORMAT,
            "'%s' holds elements of IDX type %02x, not unsigned bytes (08)", s->path, m[2]);
    if (m[3] < 1 || m[3] > GR_MAX_DIMS)
        return gr__fail(GR_ERR_FORMAT, "'%s' has rank %d, not 1 to %d", s->path, m[3], GR_MAX_DIMS);
    shape->rank = m[3];
    return true;
}

static bool read_sizes(source *s, gr_idx *idx)
{
    unsigned char b[4 * GR_MAX_DIMS];
    if (!read_magic(s, &idx->shape)) return false;
    int want = 4 * idx->shape.rank, n = idx_read_some(s, b, (size_t)want);
    if (n < 0) return false;
    if (n < want) return gr__fail(GR_ERR_FORMAT, "'%s' is cut off among its sizes", s->path);
    for (int i = 0; i < idx->shape.rank; i++)
        idx->shape.dim[i] =
            (int64_t)b[4 * i] << 24 | b[4 * i + 1] << 16 | b[4 * i + 2] << 8 | b[4 * i + 3];
    int64_t count = gr__count(&idx->shape);
    if (count < 0)
        return gr__fail(GR_ERR_FORMAT, "'%s': the product of its sizes %s overflows", s->path,
            gr__shape_text(&idx->shape).s);
    idx->count = (size_t)count;
    idx->item = idx->shape.dim[0] ? idx->count / (size_t)idx->shape.dim[0] : 0;
    return true;
}

static bool read_bytes(source *s, gr_idx *idx)
{
    size_t got = 0, room = 0;
    while (got < idx->count) {
        if (got == room) {
            room = room ? 2 * room : PIECE;
            room = room < idx->count ? room : idx->count;
            unsigned char *more = gr__realloc(idx->bytes, room);
            if (!more) return gr__fail_memory("idx_read", room);
            idx->bytes = more;
        }
        int n = idx_read_some(s, idx->bytes + got, room - got < PIECE ? room - got : PIECE);
        if (n < 0) return false;
        if (n == 0)
            return gr__fail(GR_ERR_FORMAT,
                "'%s' is cut off: sizes %s take %zu byte%s, it holds %zu", s->path,
                gr__shape_text(&idx->shape).s, idx->count, gr__plural((int64_t)idx->count, "s"),
                got);
        got += (size_t)n;
    }
    unsigned char extra;
    int           n = idx_read_some(s, &extra, 1); /* also has zlib compare the checksum */
    if (n > 0)
        gr__fail(GR_ERR_FORMAT, "'%s' is too long: sizes %s take %zu byte%s", s->path,
            gr__shape_text(&idx->shape).s, idx->count, gr__plural((int64_t)idx->count, "s"));
    return n == 0;
}

static bool open_source(source *s, const char *path)
{
    gr__file file;
    if (!gr__file_open(&file, path)) return false;
    *s = (source){ .path = path, .gz = gzdopen(file.fd, "rb") };
    if (s->gz) return true;
    gr__file_close(&file);
    return gr__fail_memory("idx_read", ZLIB_BUFFER);
}

gr_idx *gr_idx_read(const char *path)
{
    source s;
    if (!open_source(&s, path)) return NULL;
    gr_idx *idx = calloc(1, sizeof *idx);
    if (!idx) gr__fail_memory("idx_read", sizeof *idx);
    bool good = idx && read_sizes(&s, idx) && read_bytes(&s, idx);
    gzclose(s.gz);
    if (good) return idx;
    gr_idx_free(idx);
    return NULL;
}

gr_shape gr_idx_shape(const gr_idx *idx)
{
    if (!idx) {
        gr__fail(GR_ERR_ARGUMENT, "idx_shape: the IDX file is NULL");
        return (gr_shape){ .rank = 0 };
    }
    return idx->shape;
}

const unsigned char *gr_idx_bytes(const gr_idx *idx, int64_t item)
{
    if (!idx)
        gr__fail(GR_ERR_ARGUMENT, "idx_bytes: the IDX file is NULL");
    else if (item < 0 || item >= idx->shape.dim[0])
        gr__fail(GR_ERR_ARGUMENT, "idx_bytes: %s has no item %lld", gr__shape_text(&idx->shape).s,
            (long long)item);
    else
        return idx->bytes ? idx->bytes + (size_t)item * idx->item : (const unsigned char *)"";
    return NULL;
}

void gr_idx_free(gr_idx *idx)
{
    if (!idx) return;
    free(idx->bytes);
    free(idx);
}
