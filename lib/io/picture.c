/* picture.c: PNG and JPEG pictures in, PNG pictures out. Bytes lie row by row, the channels of a pixel together (H, W, C); tensors are (C, H, W).

   Invariant: what stb is given has been walked through from end to end. A PNG is whole, its checksums right; a JPEG has its end, its
   Huffman tables no more symbols than there are, and not so many scans that decoding would never end. Neither has more pixels than
   MOST_PIXELS, and while one is decoded no block of memory is larger than its size can justify. */
#include "io/io.h"
#include "io/stb.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { MOST_FILE = 1 << 30, MOST_SIDE = 1 << 14, MOST_PIXELS = 1 << 26, MOST_SCANS = 256, MOST_SYMBOLS = 256, GAP = 2, GAP_BYTE = 128 };

/* ---- is the file whole? Each walk returns what is wrong, or NULL ---- */

typedef struct walk {
    const unsigned char *p, *end;
} walk;

static const char cut_off[] = "is cut off";

static size_t left(const walk *w) { return (size_t)(w->end - w->p); }

static unsigned long big_endian(const unsigned char *p, int n)
{
    unsigned long x = 0;
    for (int i = 0; i < n; i++) x = x << 8 | p[i];
    return x;
}

/* A chunk may be passed over if the first letter of its type is small; stb notes the type of any other, for all threads. */
static bool is_known_chunk(const unsigned char *type)
{
    static const char *const known[] = { "IHDR", "PLTE", "IDAT", "IEND" };
    bool                     is = (type[0] & 32) != 0;
    for (int i = 0; i < 4; i++) is |= memcmp(type, known[i], 4) == 0;
    return is;
}

/* Chunks: a length, a type, so many bytes, and the checksum of type and bytes. The last is IEND. */
static const char *walk_png(walk w)
{
    enum { AROUND = 12 };
    for (w.p += 8; left(&w) >= AROUND;) {
        unsigned long        size = big_endian(w.p, 4);
        const unsigned char *type = w.p + 4;
        if (size > left(&w) - AROUND) break;
        if (crc32(0, type, (uInt)size + 4) != big_endian(type + 4 + size, 4)) return "is damaged: a checksum is wrong";
        if (!is_known_chunk(type)) return "is damaged: it has a chunk of a kind that no PNG has";
        if (memcmp(type, "IEND", 4) == 0) return NULL;
        w.p += size + AROUND;
    }
    return cut_off;
}

/* The entropy-coded bytes after a scan's header: an FF in them is followed by 00 or a restart marker. */
static void skip_scan(walk *w)
{
    while (left(w) >= 2 && (w->p[0] != 0xff || w->p[1] == 0 || (w->p[1] >= 0xd0 && w->p[1] <= 0xd7))) w->p++;
}

/* A segment of Huffman tables: for each a number, the count of codes of each length, and the symbols. */
static bool tables_fit(walk w)
{
    enum { LENGTHS = 16 };
    while (left(&w) > LENGTHS) {
        size_t symbols = 0;
        for (int i = 1; i <= LENGTHS; i++) symbols += w.p[i];
        w.p += 1 + LENGTHS;
        if (symbols > MOST_SYMBOLS || symbols > left(&w)) return false;
        w.p += symbols;
    }
    return left(&w) == 0;
}

/* A frame that is coded arithmetically, without loss or in layers, or has more than 8 bits a number. */
static bool is_rare_frame(int marker, const walk *segment)
{
    enum { SOF0 = 0xc0, SOF2 = 0xc2, DHT = 0xc4, SOF15 = 0xcf };
    if (marker < SOF0 || marker > SOF15 || marker == DHT) return false;
    return marker > SOF2 || (left(segment) > 2 && segment->p[2] != 8);
}

/* Segments: FF, a marker, and (but for a few markers) a length that counts itself, and so many bytes. The last is EOI. */
static const char *walk_jpeg(walk w)
{
    enum { TEM = 0x01, DHT = 0xc4, RST0 = 0xd0, SOI = 0xd8, EOI = 0xd9, SOS = 0xda };
    int scans = 0;
    for (w.p += 2; left(&w) >= 2;) {
        int marker = w.p[1];
        if (w.p[0] != 0xff) return "is damaged: a segment does not begin with a marker";
        if (marker == EOI) return NULL;
        w.p += marker == 0xff ? 1 : 2;
        if (marker == 0xff || marker == TEM || (marker >= RST0 && marker <= SOI)) continue;
        size_t size = left(&w) >= 2 ? big_endian(w.p, 2) : 0;
        if (size < 2 || size > left(&w)) break;
        if (marker == DHT && !tables_fit((walk){ w.p + 2, w.p + size })) return "is damaged: its Huffman tables are not valid";
        if (is_rare_frame(marker, &w)) return "is a JPEG of a rare kind, which is not read";
        w.p += size;
        if (marker == SOS && ++scans > MOST_SCANS) return "has too many scans";
        if (marker == SOS) skip_scan(&w);
    }
    return cut_off;
}

/* What is wrong with the file, or NULL. */
static const char *walk_file(const unsigned char *bytes, size_t size)
{
    static const unsigned char png[8] = { 137, 'P', 'N', 'G', 13, 10, 26, 10 }, jpeg[3] = { 0xff, 0xd8, 0xff };
    walk                       w = { bytes, bytes + size };
    if (size >= sizeof png && memcmp(bytes, png, sizeof png) == 0) return walk_png(w);
    if (size >= sizeof jpeg && memcmp(bytes, jpeg, sizeof jpeg) == 0) return walk_jpeg(w);
    return size == 0 ? "is empty" : "is neither PNG nor JPEG";
}

/* ---- reading ---- */

/* A file on its way to pixels. If broken.s is not empty, the file is no proper picture; other failures are pending as errors. */
typedef struct reading {
    const gr__picture_options *o;
    gr__picture               *picture;
    gr__quote                 *broken;
} reading;

__attribute__((format(printf, 2, 3))) static bool is_broken(const reading *r, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(r->broken->s, sizeof r->broken->s, format, ap);
    va_end(ap);
    return false;
}

/* The part of a picture that is used, and the size it gets. */
typedef struct part {
    int y, x, height, width, new_height, new_width;
} part;

static int rounded(double x) { return x < 1 ? 1 : x > MOST_SIDE ? MOST_SIDE : (int)(x + 0.5); }

static part choose_part(const gr__picture *p, const gr__picture_options *o)
{
    double ratio = (double)p->width / p->height;
    part   c = { .height = p->height, .width = p->width, .new_height = o->height, .new_width = o->width };
    if (!o->height) c.new_height = o->width ? rounded(o->width / ratio) : p->height;
    if (!o->width) c.new_width = o->height ? rounded(o->height * ratio) : p->width;
    if (!o->height || !o->width || o->squash) return c;
    double wanted = (double)o->width / o->height;
    if (ratio > wanted)
        c.width = rounded(p->height * wanted);
    else
        c.height = rounded(p->width / wanted);
    c.y = (p->height - c.height) / 2;
    c.x = (p->width - c.width) / 2;
    return c;
}

/* Cuts a picture and changes its size, as asked for. */
static bool fit(gr__picture *p, const gr__picture_options *o)
{
    part c = choose_part(p, o);
    if (c.new_height == p->height && c.new_width == p->width) return true;
    int                  stride = p->width * p->channels;
    size_t               size = (size_t)c.new_height * (size_t)c.new_width * (size_t)p->channels;
    unsigned char       *bytes = malloc(size);
    const unsigned char *from = p->bytes + (size_t)c.y * (size_t)stride + (size_t)c.x * (size_t)p->channels;
    if (!bytes || !gr__stb_resize(from, c.height, c.width, stride, bytes, c.new_height, c.new_width, p->channels)) {
        free(bytes);
        return gr__fail_memory("picture", size);
    }
    free(p->bytes);
    p->bytes = bytes;
    p->height = c.new_height;
    p->width = c.new_width;
    return true;
}

static bool decode(const reading *r, const unsigned char *file, size_t size)
{
    gr__picture *p = r->picture;
    const char  *why = walk_file(file, size);
    if (why) return is_broken(r, "%s", why);
    if (!gr__stb_size(file, (int)size, &p->height, &p->width, &why))
        return why ? is_broken(r, "is damaged: %s", why) : gr__fail_memory("picture", size);
    size_t pixels = (size_t)p->height * (size_t)p->width;
    if (p->height > MOST_SIDE || p->width > MOST_SIDE || pixels > MOST_PIXELS)
        return is_broken(r, "is too large: %d x %d pixels", p->width, p->height);
    /* Sixteen bytes a pixel are twice what the largest kind of pixel takes; the rest is for tables, and for sides that are rounded up. */
    size_t most = 16 * pixels + 1024 * ((size_t)p->height + (size_t)p->width) + (1 << 20);
    p->channels = r->o->grey ? 1 : 3;
    p->bytes = gr__stb_decode(file, (int)size, p->channels, most, &why);
    if (!p->bytes) return why ? is_broken(r, "is damaged: %s", why) : gr__fail_memory("picture", pixels);
    return fit(p, r->o);
}

bool gr__picture_check(const gr__picture_options *o, const char *what)
{
    if (o->height >= 0 && o->height <= MOST_SIDE && o->width >= 0 && o->width <= MOST_SIDE) return true;
    return gr__fail(GR_ERR_ARGUMENT, "%s: a height of %d and a width of %d: 0 to %d wanted", what, o->height, o->width, MOST_SIDE);
}

bool gr__picture_read(gr__picture *p, const char *path, const gr__picture_options *o, gr__quote *broken)
{
    gr__file file;
    reading  r = { .o = o, .picture = p, .broken = broken };
    *p = (gr__picture){ .bytes = NULL };
    broken->s[0] = 0;
    if (!gr__file_open(&file, path)) return false;
    size_t         size = file.size <= MOST_FILE ? (size_t)file.size : 0;
    unsigned char *bytes = file.size <= MOST_FILE ? malloc(size + 1) : NULL;
    bool           good = file.size <= MOST_FILE || is_broken(&r, "is too large");
    good = good && (bytes || gr__fail_memory("picture", size)) && gr__file_get(&file, bytes, size);
    gr__file_close(&file);
    good = good && decode(&r, bytes, size);
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
    gr__picture_options wanted = { .height = o.height, .width = o.width, .grey = o.grey, .squash = o.squash };
    gr__picture         p;
    gr__quote           broken;
    if (!gr__picture_check(&wanted, "picture_load")) return NULL;
    if (!gr__picture_read(&p, o.path, &wanted, &broken)) {
        if (broken.s[0]) gr__fail(GR_ERR_FORMAT, "'%s' %s", o.path, broken.s);
        return NULL;
    }
    gr_tensor *t = gr__tensor(GR_REAL, &gr_shape(p.channels, p.height, p.width), "picture_load");
    int64_t    pixels = (int64_t)p.height * p.width;
    for (int64_t i = 0; t && i < t->count; i++) gr__reals(t)[i] = (gr_real)(p.bytes[i % pixels * p.channels + i / pixels] / 255.0);
    free(p.bytes);
    return gr__own_leaf(t);
}

/* ---- writing ---- */

/* Images side by side: N of C H W, in so many rows and columns of cells. */
typedef struct grid {
    int64_t N, C, H, W, columns, height, width;
} grid;

static bool check_range(const gr_picture_save_options *o)
{
    return (o->low < o->high && isfinite(o->low) && isfinite(o->high)) ||
           gr__fail(GR_ERR_ARGUMENT, "picture_save: black is %g and white is %g: both must be finite, and black less", o->low, o->high);
}

static bool lay_out(const gr_tensor *t, int64_t columns, grid *g)
{
    const gr_shape *s = &t->shape;
    if (s->rank < 2 || s->rank > 4 || t->count == 0 || (s->rank > 2 && s->dim[s->rank - 3] != 1 && s->dim[s->rank - 3] != 3))
        return gr__fail(
            GR_ERR_ARGUMENT, "picture_save: %s: (H,W), (C,H,W) or (N,C,H,W) wanted, with 1 or 3 channels, and not empty", GR__TEXT(t));
    if (columns < 0) return gr__fail(GR_ERR_ARGUMENT, "picture_save: %lld columns: at least 1 wanted", (long long)columns);
    const int64_t *last = s->dim + s->rank;
    *g = (grid){ .N = s->rank > 3 ? last[-4] : 1, .C = s->rank > 2 ? last[-3] : 1, .H = last[-2], .W = last[-1], .columns = columns };
    while (!columns && g->columns * g->columns < g->N) g->columns++;
    if (g->columns > g->N) g->columns = g->N;
    int64_t rows = (g->N + g->columns - 1) / g->columns;
    g->height = rows * (g->H + GAP) - GAP;
    g->width = g->columns * (g->W + GAP) - GAP;
    gr_shape all = gr_shape(g->height, g->width, 4);
    int64_t  bytes = g->height > INT_MAX || g->width > INT_MAX ? -1 : gr__count(&all);
    return (bytes >= 0 && bytes <= INT_MAX) ||
           gr__fail(GR_ERR_ARGUMENT, "picture_save: %s makes a picture of %lldx%lld, more than a file may hold", GR__TEXT(t),
               (long long)g->height, (long long)g->width);
}

/* NaN is black. */
static unsigned char byte_of(double x, double low, double high)
{
    double b = (x - low) / (high - low) * 255 + 0.5;
    return b >= 255 ? 255 : b >= 0 ? (unsigned char)b : 0;
}

static void draw_cells(unsigned char *pixels, const gr_tensor *t, const grid *g, double low, double high)
{
    const gr_real *x = gr__reals(t);
    for (int64_t n = 0; n < g->N; n++) {
        int64_t y0 = n / g->columns * (g->H + GAP), x0 = n % g->columns * (g->W + GAP);
        for (int64_t c = 0; c < g->C; c++)
            for (int64_t h = 0; h < g->H; h++)
                for (int64_t w = 0; w < g->W; w++) pixels[((y0 + h) * g->width + x0 + w) * g->C + c] = byte_of(*x++, low, high);
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
    if (!check_range(&o) || !lay_out(o.picture, o.columns, &g)) return false;
    size_t         size = (size_t)(g.height * g.width * g.C);
    unsigned char *pixels = malloc(size);
    if (!pixels) return gr__fail_memory("picture_save", size);
    memset(pixels, GAP_BYTE, size);
    draw_cells(pixels, o.picture, &g, o.low, o.high);
    bool good = write_png(path, pixels, &g);
    free(pixels);
    return good;
}
