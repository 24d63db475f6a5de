/* picture.c: PNG and JPEG pictures in, PNG pictures out. Bytes lie row by row, the channels of a
   pixel together (H, W, C); tensors are (C, H, W).

   Invariant: what stb is given is a tidy copy, made while the file was walked through from end to
   end. A PNG is whole, its checksums right; a JPEG (jpeg.c) is whole, its Huffman tables have no
   more symbols than there are, and it has not so many scans that decoding would never end. Neither
   has more pixels than MOST_PIXELS, and while one is decoded no block of memory is larger than its
   size can justify.

   What stb does not check, or not in every version (checksums, tables, sizes), is checked here,
   and what other decoders pass over is left out: stray bytes and markers, chunks that a picture
   does not need, a missing end. A JPEG without its end is complete if the codes of all its
   blocks are there; one that is cut off is refused. */
#define ZLIB_CONST
#include "io/io.h"
#include "io/jpeg.h"
#include "io/stb.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    MOST_FILE = 1 << 30,
    PICTURE_MOST_SIDE = 1 << 14,
    PICTURE_MOST_PIXELS = 1 << 26,
    GAP = 2,
    GAP_BYTE = 128
};

/* ---- a tidy copy of the file -----------------------------------------------------------------
   Only what the picture is made of, whole. Each returns what is wrong, or NULL. */

static const char picture_cut_off[] = "is cut off";

typedef struct chunks {
    const unsigned char *p, *end; /* what is left of the file */
    unsigned char       *out;
} chunks;

enum {
    AROUND = 12
}; /* a chunk's bytes besides its data: a length, a type, and a checksum of type and data */

static size_t picture_left(const chunks *w) { return (size_t)(w->end - w->p); }

static unsigned long big_endian(const unsigned char *p, int n)
{
    unsigned long x = 0;
    for (int i = 0; i < n; i++) x = x << 8 | p[i];
    return x;
}

/* Returns where the next bytes will be put. */
static const unsigned char *picture_put(chunks *w, const unsigned char *from, size_t n)
{
    memcpy(w->out, from, n);
    return w->out += n;
}

static bool is_type(const unsigned char *type, const char *name)
{
    return memcmp(type, name, 4) == 0;
}

/* Whether the IDAT chunks from p to end hold a compressed stream from its beginning to its end.
   no_memory: it cannot be told. */
static bool stream_ends(const unsigned char *p, const unsigned char *end, bool *no_memory)
{
    unsigned char nowhere[4096];
    z_stream      z = { .next_in = NULL };
    int           state = inflateInit(&z);
    *no_memory = state != Z_OK;
    if (*no_memory) return false;
    for (; p < end && state == Z_OK; p += big_endian(p, 4) + AROUND) {
        if (!is_type(p + 4, "IDAT")) continue;
        z.next_in = p + 8;
        z.avail_in = (uInt)big_endian(p, 4);
        while (state == Z_OK && (z.avail_in > 0 || z.avail_out == 0) && z.total_out <= MOST_FILE) {
            z.next_out = nowhere;
            z.avail_out = sizeof nowhere;
            state = inflate(&z, Z_NO_FLUSH);
        }
        if (state == Z_BUF_ERROR) state = Z_OK; /* it wants more */
    }
    inflateEnd(&z);
    return state == Z_STREAM_END;
}

/* Copies the chunks that make up the picture. Others may be passed over, damaged or not, if the
   first letter of their type is small. IEND may be missing, as for other readers, if the data are
   whole. */
static const char *tidy_png(chunks *w, bool *no_memory)
{
    static const char *const   known[] = { "IHDR", "PLTE", "IDAT", "IEND" };
    static const unsigned char iend[AROUND] = { 0, 0, 0, 0, 'I', 'E', 'N', 'D', 0xae, 0x42, 0x60,
        0x82 };
    const unsigned char       *begin = picture_put(w, w->p, 8);
    for (w->p += 8; picture_left(w) >= AROUND;) {
        const unsigned char *chunk = w->p, *type = chunk + 4;
        size_t               size = big_endian(chunk, 4);
        bool                 is = false;
        if (size > picture_left(w) - AROUND) break;
        w->p += size + AROUND;
        if (type[0] & 32) continue;
        if (crc32(0, type, (uInt)size + 4) != big_endian(type + 4 + size, 4))
            return "is damaged: a checksum is wrong";
        for (int i = 0; i < 4; i++) is |= is_type(type, known[i]);
        if (!is) return "is damaged: it has a chunk of a kind that no PNG has";
        picture_put(w, chunk, size + AROUND);
        if (is_type(type, "IEND")) return NULL;
    }
    if (!stream_ends(begin, w->out, no_memory)) return picture_cut_off;
    picture_put(w, iend, sizeof iend);
    return NULL;
}

/* false: *why is what is wrong, or NULL: no memory. *size becomes the copy's. */
static bool tidy_file(const unsigned char *bytes, size_t *size, unsigned char *to, const char **why)
{
    static const unsigned char png[8] = { 137, 'P', 'N', 'G', 13, 10, 26, 10 },
                               jpeg[3] = { 0xff, 0xd8, 0xff };
    chunks w = { bytes, bytes + *size, to };
    bool   no_memory = false;
    if (*size >= sizeof jpeg && memcmp(bytes, jpeg, sizeof jpeg) == 0)
        return gr__jpeg_tidy(bytes, size, to, why);
    *why = *size == 0 ? "is empty" : "is neither PNG nor JPEG";
    if (*size >= sizeof png && memcmp(bytes, png, sizeof png) == 0) *why = tidy_png(&w, &no_memory);
    if (no_memory) *why = NULL;
    *size = (size_t)(w.out - to);
    return !*why && !no_memory;
}

/* ---- reading ---- */

/* A file that is being decoded. If broken.s is not empty, the file is no proper picture; other
   failures are pending as errors. */
typedef struct reading {
    const gr__picture_options *o;
    gr__picture               *picture;
    gr__quote                 *broken;
} reading;

__attribute__((format(printf, 2, 3))) static bool is_broken(
    const reading *r, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(r->broken->s, sizeof r->broken->s, format, ap);
    va_end(ap);
    return false;
}

/* The part of a picture that is used, and the size it gets. */
typedef struct picture_part {
    int y, x, height, width, new_height, new_width;
} picture_part;

static int picture_rounded(double x)
{
    return x < 1 ? 1 : x > PICTURE_MOST_SIDE ? PICTURE_MOST_SIDE : (int)(x + 0.5);
}

static picture_part picture_choose_part(const gr__picture *p, const gr__picture_options *o)
{
    double       ratio = (double)p->width / p->height;
    picture_part c = { .height = p->height,
        .width = p->width,
        .new_height = (int)o->height,
        .new_width = (int)o->width };
    if (!o->height) c.new_height = o->width ? picture_rounded((double)o->width / ratio) : p->height;
    if (!o->width) c.new_width = o->height ? picture_rounded((double)o->height * ratio) : p->width;
    if (!o->height || !o->width || o->squash) return c;
    double wanted = (double)o->width / (double)o->height;
    if (ratio > wanted)
        c.width = picture_rounded(p->height * wanted);
    else
        c.height = picture_rounded(p->width / wanted);
    c.y = (p->height - c.height) / 2;
    c.x = (p->width - c.width) / 2;
    return c;
}

/* Cuts a picture and changes its size, as asked for. */
static bool fit(gr__picture *p, const gr__picture_options *o)
{
    picture_part c = picture_choose_part(p, o);
    if (c.new_height == p->height && c.new_width == p->width) return true;
    int                  stride = p->width * p->channels;
    size_t               size = (size_t)c.new_height * (size_t)c.new_width * (size_t)p->channels;
    unsigned char       *bytes = gr__malloc(size);
    const unsigned char *from =
        p->bytes + (size_t)c.y * (size_t)stride + (size_t)c.x * (size_t)p->channels;
    if (!bytes || !gr__stb_resize(from, c.height, c.width, stride, bytes, c.new_height, c.new_width,
                      p->channels)) {
        free(bytes);
        return gr__fail_memory("picture", size);
    }
    free(p->bytes);
    p->bytes = bytes;
    p->height = c.new_height;
    p->width = c.new_width;
    return true;
}

/* file: a tidy one. */
static bool decode(const reading *r, const unsigned char *file, size_t size)
{
    gr__picture *p = r->picture;
    const char  *why;
    if (!gr__stb_size(file, (int)size, &p->height, &p->width, &why))
        return why ? is_broken(r, "is damaged: %s", why) : gr__fail_memory("picture", size);
    size_t pixels = (size_t)p->height * (size_t)p->width;
    if (p->height > PICTURE_MOST_SIDE || p->width > PICTURE_MOST_SIDE ||
        pixels > PICTURE_MOST_PIXELS)
        return is_broken(r, "is too large: %d x %d pixels", p->width, p->height);
    /* Sixteen bytes a pixel are twice what the largest kind of pixel takes; the rest is for tables,
       and for sides that are rounded up. */
    size_t most = 16 * pixels + 1024 * ((size_t)p->height + (size_t)p->width) + (1 << 20);
    p->channels = r->o->grey ? 1 : 3;
    p->bytes = gr__stb_decode(file, (int)size, p->channels, most, &why);
    if (!p->bytes)
        return why ? is_broken(r, "is damaged: %s", why) : gr__fail_memory("picture", pixels);
    return fit(p, r->o);
}

static bool tidy_and_decode(const reading *r, const unsigned char *file, size_t size)
{
    const char    *why;
    size_t         room = size + GR__JPEG_MORE + AROUND;
    unsigned char *tidy = malloc(room);
    if (!tidy) return gr__fail_memory("picture", room);
    bool good = tidy_file(file, &size, tidy, &why);
    if (good)
        good = decode(r, tidy, size);
    else if (why)
        is_broken(r, "%s", why);
    else
        gr__fail_memory("picture", size);
    free(tidy);
    return good;
}

bool gr__picture_check(const gr__picture_options *o, const char *what)
{
    if (o->height >= 0 && o->height <= PICTURE_MOST_SIDE && o->width >= 0 &&
        o->width <= PICTURE_MOST_SIDE)
        return true;
    return gr__fail(GR_ERR_ARGUMENT, "%s: a height of %lld and a width of %lld: 0 to %d wanted",
        what, (long long)o->height, (long long)o->width, PICTURE_MOST_SIDE);
}

bool gr__picture_read(
    gr__picture *p, const char *path, const gr__picture_options *o, gr__quote *broken)
{
    gr__file file;
    reading  r = { .o = o, .picture = p, .broken = broken };
    *p = (gr__picture){ .bytes = NULL };
    broken->s[0] = 0;
    if (!gr__file_open(&file, path)) return false;
    size_t         size = file.size <= MOST_FILE ? (size_t)file.size : 0;
    unsigned char *bytes = file.size <= MOST_FILE ? gr__malloc(size + 1) : NULL;
    bool           good = file.size <= MOST_FILE || is_broken(&r, "is too large");
    good = good && (bytes || gr__fail_memory("picture", size)) && gr__file_get(&file, bytes, size);
    gr__file_close(&file);
    good = good && tidy_and_decode(&r, bytes, size);
    free(bytes);
    if (good) return true;
    free(p->bytes);
    p->bytes = NULL;
    return false;
}

void gr__planes_of(unsigned char *planes, const gr__picture *p)
{
    size_t pixels = (size_t)p->height * (size_t)p->width, channels = (size_t)p->channels;
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < pixels; i++) planes[c * pixels + i] = p->bytes[i * channels + c];
}

gr_tensor *gr_picture_load_(gr_picture_load_options o)
{
    gr__picture_options wanted = {
        .height = o.height, .width = o.width, .grey = o.grey, .squash = o.squash
    };
    gr__picture p;
    gr__quote   broken;
    if (!gr__picture_check(&wanted, "picture_load")) return NULL;
    if (!gr__picture_read(&p, o.path, &wanted, &broken)) {
        if (broken.s[0]) gr__fail(GR_ERR_FORMAT, "'%s' %s", o.path, broken.s);
        return NULL;
    }
    gr_tensor *t = gr__tensor(GR_REAL, &gr_shape(p.channels, p.height, p.width), "picture_load");
    int64_t    pixels = (int64_t)p.height * p.width;
    for (int64_t i = 0; t && i < t->count; i++)
        gr__reals(t)[i] = (gr_real)(p.bytes[i % pixels * p.channels + i / pixels] / 255.0);
    free(p.bytes);
    return gr__own_leaf(t);
}

/* ---- writing ---- */

/* Images side by side: N of C H W, in so many rows and columns of cells. */
typedef struct grid {
    int64_t N, C, H, W, columns, height, width;
} grid;

static bool picture_check_range(const gr_picture_save_options *o)
{
    return (o->low < o->high && isfinite(o->low) && isfinite(o->high)) ||
           gr__fail(GR_ERR_ARGUMENT,
               "picture_save: black is %g and white is %g: both must be finite, and black less",
               o->low, o->high);
}

static bool picture_lay_out(const gr_tensor *t, int64_t columns, grid *g)
{
    const gr_shape *s = &t->shape;
    if (s->rank < 2 || s->rank > 4 || t->count == 0 ||
        (s->rank > 2 && s->dim[s->rank - 3] != 1 && s->dim[s->rank - 3] != 3))
        return gr__fail(GR_ERR_ARGUMENT,
            "picture_save: %s: (H,W), (C,H,W) or (N,C,H,W) wanted, with 1 or 3 channels, and not "
            "empty",
            GR__TEXT(t));
    if (columns < 0)
        return gr__fail(
            GR_ERR_ARGUMENT, "picture_save: %lld columns: at least 1 wanted", (long long)columns);
    const int64_t *last = s->dim + s->rank;
    *g = (grid){ .N = s->rank > 3 ? last[-4] : 1,
        .C = s->rank > 2 ? last[-3] : 1,
        .H = last[-2],
        .W = last[-1],
        .columns = columns };
    while (!columns && g->columns * g->columns < g->N) g->columns++;
    if (g->columns > g->N) g->columns = g->N;
    int64_t rows = (g->N + g->columns - 1) / g->columns;
    g->height = rows * (g->H + GAP) - GAP;
    g->width = g->columns * (g->W + GAP) - GAP;
    gr_shape all = gr_shape(g->height, g->width, 4);
    int64_t  bytes = g->height > INT_MAX || g->width > INT_MAX ? -1 : gr__count(&all);
    return (bytes >= 0 && bytes <= INT_MAX) ||
           gr__fail(GR_ERR_ARGUMENT,
               "picture_save: %s makes a picture of %lldx%lld, more than a file may hold",
               GR__TEXT(t), (long long)g->height, (long long)g->width);
}

/* NaN is black. */
static unsigned char picture_byte_of(double x, double low, double high)
{
    double b = (x - low) / (high - low) * 255 + 0.5;
    return b >= 255 ? 255 : b >= 0 ? (unsigned char)b : 0;
}

static void draw_cells(
    unsigned char *pixels, const gr_tensor *t, const grid *g, double low, double high)
{
    const gr_real *x = gr__reals(t);
    for (int64_t n = 0; n < g->N; n++) {
        int64_t y0 = n / g->columns * (g->H + GAP), x0 = n % g->columns * (g->W + GAP);
        for (int64_t c = 0; c < g->C; c++)
            for (int64_t h = 0; h < g->H; h++)
                for (int64_t w = 0; w < g->W; w++)
                    pixels[((y0 + h) * g->width + x0 + w) * g->C + c] =
                        picture_byte_of(*x++, low, high);
    }
}

static bool write_png(const char *path, const unsigned char *pixels, const grid *g)
{
    gr__writer     w;
    int            size;
    unsigned char *png = gr__stb_encode(pixels, (int)g->height, (int)g->width, (int)g->C, &size);
    if (!png) return gr__fail_memory("picture_save", (size_t)(g->height * g->width * g->C));
    bool good = gr__writer_open(&w, path);
    if (good) {
        gr__writer_put(&w, png, (size_t)size);
        good = gr__writer_close(&w);
    }
    free(png);
    return good;
}

bool gr_picture_save_(const char *path, gr_picture_save_options o)
{
    grid g = { .N = 0 };
    if (!path) return gr__fail(GR_ERR_ARGUMENT, "the path of the file to write is NULL");
    if (!gr__given_reals("picture_save", 1, &o.picture)) return false;
    if (o.high == 0) o.high = 1;
    if (!picture_check_range(&o) || !picture_lay_out(o.picture, o.columns, &g)) return false;
    size_t         size = (size_t)(g.height * g.width * g.C);
    unsigned char *pixels = gr__malloc(size);
    if (!pixels) return gr__fail_memory("picture_save", size);
    memset(pixels, GAP_BYTE, size);
    draw_cells(pixels, o.picture, &g, o.low, o.high);
    bool good = write_png(path, pixels, &g);
    free(pixels);
    return good;
}
