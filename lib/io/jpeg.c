/* jpeg.c: JPEG files as cameras leave them, made as the standard wants them, before they are
   decoded.

   Every viewer shows files with padding between segments, with stray markers or bytes after the
   data, or without EOI; decoders differ in how much of it they bear. What is left of a file here is
   SOI, segments, scans and EOI, one right behind the other. Invariant: nothing is read outside the
   file, and no more is written than was read, but for GR__JPEG_MORE bytes. A file without EOI is
   whole only if the codes of all its blocks are there: they are walked through, without being
   decoded. Source: ITU-T T.81, annexes B (markers), C (codes), F and G (their order). */
#include "io/jpeg.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SCANS = 256, MOST_SYMBOLS = 256, JPEG_MOST_SIDE = 1 << 14, JPEG_MOST_PIXELS = 1 << 26 };
enum { COMPONENTS = 4, LENGTHS = 16, TAIL = 16 };
enum { TEM = 0x01, SOF0 = 0xc0, SOF2 = 0xc2, DHT = 0xc4, SOF15 = 0xcf, RST0 = 0xd0, RST7 = 0xd7 };
enum { SOI = 0xd8, EOI = 0xd9, SOS = 0xda, DRI = 0xdd, APP14 = 0xee, APP15 = 0xef, COM = 0xfe };

typedef struct component {
    int       id, h, v;
    int       across, down; /* its blocks, in a scan of this component alone */
    int       row; /* how many there are from one row to the next, with those of whole MCUs */
    uint64_t *set; /* of a progressive picture: which coefficients of each block are not 0 */
    int       unknown[64]; /* how many of each coefficient's lowest bits are not known yet */
    bool      seen;        /* in a scan */
} component;

typedef struct jpeg {
    const unsigned char *p, *end; /* what is left of the file */
    unsigned char       *out;
    unsigned char       *transform; /* of Adobe's marker, in what was written */
    bool                 exact;     /* the codes are walked through */
    bool                 failed, no_memory, doubtful, ended, progressive;
    int                  scans, n, mcus_across, mcus_down, interval;
    component            c[COMPONENTS];
    const unsigned char *table[2][COMPONENTS]; /* of DC and AC codes: counts of lengths, symbols */
} jpeg;

static const char jpeg_cut_off[] = "is cut off";

static size_t jpeg_left(const jpeg *j) { return (size_t)(j->end - j->p); }

static int two(const unsigned char *p) { return p[0] << 8 | p[1]; }

static int up(int a, int b) { return (a + b - 1) / b; }

static void jpeg_put(jpeg *j, const void *from, size_t n)
{
    memcpy(j->out, from, n);
    j->out += n;
}

/* ---- the codes of a scan ---- */

typedef struct jpeg_scan {
    const unsigned char *p, *end; /* the data, as far as no marker but RST0 to RST7 comes */
    unsigned             byte;
    int                  bits; /* of it that are left */
    bool                 over; /* more was wanted than there is */
    bool                 progressive;
    int                  n, first, last, high, low;
    unsigned             run; /* blocks to come that have no more codes */
    component           *c[COMPONENTS];
    const unsigned char *dc[COMPONENTS], *ac[COMPONENTS];
} jpeg_scan;

/* FF, however often, and 00 are the byte FF; FF and another byte are a marker. */
static unsigned bit(jpeg_scan *s)
{
    if (s->over) return 0;
    if (s->bits == 0) {
        const unsigned char *q = s->p;
        while (q < s->end && *q == 0xff) q++;
        s->over = q == s->end || (q > s->p && *q != 0);
        if (s->over) return 0;
        s->byte = q > s->p ? 0xff : *q;
        s->bits = 8;
        s->p = q + 1;
    }
    return s->byte >> --s->bits & 1;
}

static unsigned jpeg_number(jpeg_scan *s, int n)
{
    unsigned x = 0;
    while (n-- > 0) x = x << 1 | bit(s);
    return x;
}

static bool skip(jpeg_scan *s, int n)
{
    while (n-- > 0) bit(s);
    return !s->over;
}

/* -1: there is none. Codes of one length are consecutive numbers, and code is never under first. */
static int symbol(jpeg_scan *s, const unsigned char *table)
{
    int code = 0, first = 0, index = 0;
    for (int i = 0; table && i < LENGTHS; i++) {
        code |= (int)bit(s);
        int count = table[i];
        if (code - first < count) return s->over ? -1 : table[LENGTHS + index + code - first];
        index += count;
        first = (first + count) << 1;
        code <<= 1;
    }
    return -1;
}

static bool dc_code(jpeg_scan *s, const unsigned char *table)
{
    int n = symbol(s, table);
    return n >= 0 && n <= 16 && skip(s, n);
}

/* A block's AC codes; those of a progressive picture's first scan of them may end many blocks. */
static bool ac_codes(jpeg_scan *s, const unsigned char *table, uint64_t *set)
{
    if (s->run > 0) return s->run--, true;
    for (int k = s->progressive ? s->first : 1; k <= (s->progressive ? s->last : 63); k++) {
        int code = symbol(s, table), zeros = code >> 4, n = code & 15;
        if (code < 0) return false;
        if (n == 0 && zeros < 15) { /* the end of the block */
            if (s->progressive) s->run = (1u << zeros) + jpeg_number(s, zeros) - 1;
            return !s->over;
        }
        k += zeros;
        if (k > 63 || !skip(s, n)) return false;
        if (set && n) *set |= (uint64_t)1 << k;
    }
    return true;
}

/* One more bit of each coefficient from number k to the last that is not 0. */
static bool skip_rest(jpeg_scan *s, int k, uint64_t set)
{
    uint64_t up_to_last = ~(uint64_t)0 >> (63 - s->last);
    for (set = k < 64 ? (set & up_to_last) >> k : 0; set; set &= set - 1) bit(s);
    return !s->over;
}

static bool refine_ac(jpeg_scan *s, const unsigned char *table, uint64_t *set)
{
    int k = s->first;
    while (s->run == 0 && k <= s->last) {
        int code = symbol(s, table), zeros = code >> 4, n = code & 15;
        if (code < 0 || n > 1 || !skip(s, n)) return false;
        if (n == 0 && zeros < 15) {
            s->run = (1u << zeros) + jpeg_number(s, zeros);
            break;
        }
        for (; k <= s->last; k++)
            if (*set >> k & 1)
                bit(s);
            else if (zeros-- == 0)
                break;
        if (n && k <= s->last) *set |= (uint64_t)1 << k;
        k++;
    }
    if (s->run > 0) {
        s->run--;
        return skip_rest(s, k, *set);
    }
    return !s->over;
}

static bool jpeg_block(jpeg_scan *s, int i, uint64_t *set)
{
    if (!s->progressive) return dc_code(s, s->dc[i]) && ac_codes(s, s->ac[i], NULL);
    if (s->first == 0) return s->high ? skip(s, 1) : dc_code(s, s->dc[i]);
    return s->high ? refine_ac(s, s->ac[i], set) : ac_codes(s, s->ac[i], set);
}

static bool restart(jpeg_scan *s)
{
    const unsigned char *q = s->p;
    while (q < s->end && *q == 0xff) q++;
    if (q == s->p || q == s->end || *q < RST0 || *q > RST7) return false;
    s->p = q + 1;
    s->bits = 0;
    s->run = 0;
    return true;
}

/* A minimum coded unit: a block, or of several components as many of each as its factors say. */
static bool unit(jpeg_scan *s, int x, int y)
{
    for (int i = 0; i < s->n; i++) {
        component *c = s->c[i];
        int        h = s->n > 1 ? c->h : 1, v = s->n > 1 ? c->v : 1;
        for (int k = 0; k < h * v; k++) {
            size_t at = (size_t)(y * v + k / h) * (size_t)c->row + (size_t)(x * h + k % h);
            if (!jpeg_block(s, i, c->set ? c->set + at : NULL)) return false;
        }
    }
    return true;
}

/* Whether the codes of all blocks are there; s->p is then behind them. */
static bool walk_codes(const jpeg *j, jpeg_scan *s)
{
    int across = s->n > 1 ? j->mcus_across : s->c[0]->across;
    int down = s->n > 1 ? j->mcus_down : s->c[0]->down;
    int until_restart = j->interval;
    for (int y = 0; y < down; y++)
        for (int x = 0; x < across; x++) {
            if (j->interval && until_restart-- == 0) {
                if (!restart(s)) return false;
                until_restart = j->interval - 1;
            }
            if (!unit(s, x, y)) return false;
        }
    return true;
}

/* ---- segments; p: behind the marker, size: the length there ---- */

/* A segment of Huffman tables: for each a number, the count of codes of each length, the
   symbols. */
static bool read_tables(jpeg *j, const unsigned char *p, size_t size)
{
    const unsigned char *end = p + size;
    for (p += 2; end - p > LENGTHS;) {
        int                  number = *p & 15, symbols = 0;
        const unsigned char *table = p + 1;
        for (int i = 0; i < LENGTHS; i++) symbols += table[i];
        p = table + LENGTHS;
        if (symbols > MOST_SYMBOLS || symbols > end - p) return false;
        if (number < COMPONENTS && table[-1] < 0x20) j->table[table[-1] >> 4][number] = table;
        p += symbols;
    }
    return p == end;
}

/* A frame that is coded arithmetically, without loss or in layers, or has more than 8 bits. */
static bool is_rare_frame(int marker, const unsigned char *p, size_t size)
{
    return marker > SOF2 || (size > 2 && p[2] != 8);
}

/* What the walk through codes has to know; n stays 0 if the frame is none that will be decoded. */
static void read_frame(jpeg *j, const unsigned char *p, size_t size)
{
    int n = size > 7 ? p[7] : 0, height = n ? two(p + 3) : 0, width = n ? two(p + 5) : 0, h = 1,
        v = 1;
    if (n < 1 || n > COMPONENTS || size != 8 + 3 * (size_t)n || height < 1 || width < 1) return;
    if (height > JPEG_MOST_SIDE || width > JPEG_MOST_SIDE || height > JPEG_MOST_PIXELS / width)
        return;
    for (int i = 0; i < n; i++) {
        component *c = &j->c[i];
        c->id = p[8 + 3 * i];
        c->h = p[9 + 3 * i] >> 4;
        c->v = p[9 + 3 * i] & 15;
        if (c->h < 1 || c->h > 4 || c->v < 1 || c->v > 4) return;
        h = c->h > h ? c->h : h;
        v = c->v > v ? c->v : v;
        for (int k = 0; k < 64; k++) c->unknown[k] = INT8_MAX;
    }
    j->mcus_across = up(width, 8 * h);
    j->mcus_down = up(height, 8 * v);
    for (int i = 0; i < n; i++) {
        component *c = &j->c[i];
        c->across = up(up(width * c->h, h), 8);
        c->down = up(up(height * c->v, v), 8);
        c->row = j->mcus_across * c->h;
        size_t blocks = (size_t)c->row * (size_t)(j->mcus_down * c->v);
        if (j->exact && j->progressive && !(c->set = calloc(blocks, sizeof *c->set)))
            j->no_memory = true;
    }
    j->n = n;
}

/* A scan's components, tables and coefficients. false: it is not valid. */
static bool read_scan(jpeg *j, const unsigned char *p, size_t size, jpeg_scan *s)
{
    s->n = size > 2 ? p[2] : 0;
    if (s->n < 1 || s->n > COMPONENTS || size != 6 + 2 * (size_t)s->n) return false;
    const unsigned char *after = p + 3 + 2 * s->n;
    s->progressive = j->progressive;
    s->first = after[0];
    s->last = after[1];
    s->high = after[2] >> 4;
    s->low = after[2] & 15;
    for (int i = 0; i < s->n; i++) {
        int dc = p[4 + 2 * i] >> 4, ac = p[4 + 2 * i] & 15;
        for (int k = 0; k < j->n; k++)
            if (j->c[k].id == p[3 + 2 * i]) s->c[i] = &j->c[k];
        if (!s->c[i] || dc >= COMPONENTS || ac >= COMPONENTS) return false;
        s->dc[i] = j->table[0][dc];
        s->ac[i] = j->table[1][ac];
        s->c[i]->seen = true;
    }
    if (!s->progressive) return true;
    if (s->last > 63 || s->first > s->last || (s->first == 0 ? s->last > 0 : s->n > 1))
        return false;
    for (int i = 0; i < s->n; i++)
        for (int k = s->first; k <= s->last; k++) s->c[i]->unknown[k] = s->low;
    return true;
}

/* Adobe's marker says how four channels are to be understood. Without it they are CMYK, and with a
   number that it does not have YCCK, as for libjpeg; the decoder wants it said. */
static void explain_channels(jpeg *j)
{
    static const unsigned char cmyk[] = { 0xff, APP14, 0, 14, 'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0,
        0, 0, 0 };
    if (j->n < COMPONENTS || j->scans > 0) return;
    if (!j->transform)
        jpeg_put(j, cmyk, sizeof cmyk);
    else if (*j->transform != 0)
        *j->transform = 2;
}

/* What is wrong with a segment, or NULL: it is copied. */
static const char *copy_segment(jpeg *j, int marker, size_t size)
{
    bool is_frame = marker >= SOF0 && marker <= SOF15 && marker != DHT;
    if (marker == DHT && !read_tables(j, j->p, size))
        return "is damaged: its Huffman tables are not valid";
    if (is_frame && is_rare_frame(marker, j->p, size))
        return "is a JPEG of a rare kind, which is not read";
    if (is_frame && (j->n || j->scans)) return "is damaged: it has several frames";
    if (marker == DRI && size >= 4) j->interval = two(j->p + 2);
    if (marker == SOS) explain_channels(j);
    if (is_frame) {
        j->progressive = marker == SOF2;
        read_frame(j, j->p, size);
    }
    jpeg_put(j, (const unsigned char[]){ 0xff, (unsigned char)marker }, 2);
    if (marker == APP14 && size >= 14 && memcmp(j->p + 2, "Adobe", 6) == 0)
        j->transform = j->out + 13;
    jpeg_put(j, j->p, size);
    j->p += size;
    return NULL;
}

/* ---- the file ---- */

/* Goes behind the next marker, over whatever comes before it; -1: there is none. */
static int next_marker(jpeg *j)
{
    for (; jpeg_left(j) >= 2; j->p++)
        if (j->p[0] == 0xff && j->p[1] != 0 && j->p[1] != 0xff) {
            j->p += 2;
            return j->p[-1];
        }
    j->p = j->end;
    return -1;
}

/* What a scan's data may reach to: a marker but RST0 to RST7, or the end of the file. */
static const unsigned char *find_end(const jpeg *j)
{
    const unsigned char *p = j->p;
    while (j->end - p >= 2 &&
           (p[0] != 0xff || p[1] == 0 || p[1] == 0xff || (p[1] >= RST0 && p[1] <= RST7)))
        p++;
    return j->end - p >= 2 ? p : j->end;
}

/* The data of a scan, whose header is at p. */
static void copy_data(jpeg *j, const unsigned char *header, size_t size)
{
    jpeg_scan s = { .p = j->p, .end = find_end(j) };
    bool      valid = read_scan(j, header, size, &s);
    if (j->exact && !(valid && walk_codes(j, &s))) j->failed = true;
    if (!j->exact) {
        s.p = s.end;
        for (int i = 1; i <= TAIL && i <= s.end - j->p; i++) j->doubtful |= s.end[-i] == 0xff;
    }
    jpeg_put(j, j->p, (size_t)(s.p - j->p));
    j->p = s.p;
    j->scans++;
}

static bool all_seen(const jpeg *j)
{
    bool all = j->n > 0;
    for (int i = 0; i < j->n; i++) {
        all &= j->c[i].seen;
        for (int k = 0; j->progressive && k < 64; k++) all &= j->c[i].unknown[k] == 0;
    }
    return all;
}

/* One segment after the other. What stands behind the last scan of a picture that is not
   progressive is nobody's business; nor is, behind a scan, what is no segment. */
static const char *jpeg_walk(jpeg *j)
{
    jpeg_put(j, j->p, 2);
    for (j->p += 2; !j->failed && !j->no_memory;) {
        int marker = next_marker(j);
        if (marker < 0 || marker == EOI) {
            j->ended = marker == EOI;
            break;
        }
        if (marker == TEM || (marker >= RST0 && marker <= SOI)) continue;
        bool   known = (marker >= SOF0 && marker <= APP15) || marker == COM;
        size_t size = jpeg_left(j) >= 2 ? (size_t)two(j->p) : 0;
        if (size < 2 || size > jpeg_left(j) || (j->scans > 0 && !known)) break;
        const unsigned char *header = j->p;
        const char          *why = copy_segment(j, marker, size);
        if (why) return why;
        if (marker != SOS) continue;
        if (j->scans >= MOST_SCANS) return "has too many scans";
        copy_data(j, header, size);
        if (!j->progressive && all_seen(j)) {
            j->ended = next_marker(j) >= 0;
            break;
        }
    }
    jpeg_put(j, (const unsigned char[]){ 0xff, EOI }, 2);
    return j->ended || j->scans > 0 ? NULL : jpeg_cut_off;
}

static void jpeg_drop(jpeg *j)
{
    for (int i = 0; i < COMPONENTS; i++) free(j->c[i].set);
}

bool gr__jpeg_tidy(const unsigned char *from, size_t *size, unsigned char *to, const char **why)
{
    jpeg begin = { .p = from, .end = from + *size, .out = to }, j = begin;
    *why = jpeg_walk(&j);
    if (!*why && (j.doubtful || !j.ended)) { /* where the data end has to be known */
        jpeg exact = begin;
        exact.exact = true;
        const char *wrong = jpeg_walk(&exact);
        bool        whole = !wrong && !exact.failed && (exact.ended || all_seen(&exact));
        jpeg_drop(&exact);
        if (exact.no_memory) return false;
        if (!whole && !j.ended) *why = jpeg_cut_off;
        if (whole)
            j = exact;
        else {
            j = begin;
            (void)jpeg_walk(&j); /* as it was: the decoder has to bear it */
        }
    }
    *size = (size_t)(j.out - to);
    return !*why;
}
