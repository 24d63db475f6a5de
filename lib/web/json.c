/* json.c: data for the script of a page of HTML.

   Invariant: what is put stands inside <script type="application/json"> and can end neither that
   element nor a string in it: < > & and characters without a glyph are put as \\u escapes, and what
   is not UTF-8 becomes U+FFFD. */
#include "web/web.h"

#include <math.h>
#include <string.h>

#include "io/io.h"

/* A comma goes between two values, but not after a bracket or a key. */
static void json_begin(gr__page *p, const char *key)
{
    char last = p->good && p->length > 0 ? p->s[p->length - 1] : '>';
    if (last != '{' && last != '[' && last != ':' && last != '>') gr__page_put(p, ",");
    if (key) gr__page_put(p, "\"%s\":", key);
}

void gr__json_open(gr__page *p, const char *key, char bracket)
{
    json_begin(p, key);
    gr__page_put(p, "%c", bracket);
}

void gr__json_close(gr__page *p, char bracket) { gr__page_put(p, "%c", bracket); }

static bool json_plain(uint32_t c)
{
    return c < 0x80 ? c >= 0x20 && c != 0x7f && !strchr("\"\\<>&", (int)c) : !gr__utf8_invisible(c);
}

void gr__json_text(gr__page *p, const char *key, const char *text)
{
    json_begin(p, key);
    if (!text) {
        gr__page_put(p, "null");
        return;
    }
    gr__page_put(p, "\"");
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        uint32_t c;
        int      n = gr__utf8_decode(s, &c);
        if (n == 0) c = 0xfffd;
        if (n > 0 && (c > 0xffff || json_plain(c)))
            gr__page_put_bytes(p, (const char *)s, (size_t)n);
        else
            gr__page_put(p, "\\u%04x", (unsigned)c);
        s += n > 0 ? n : 1;
    }
    gr__page_put(p, "\"");
}

void gr__json_number(gr__page *p, const char *key, double x)
{
    char text[GR__NUMBER_ROOM];
    if (!isfinite(x)) {
        gr__json_text(p, key, isnan(x) ? "NaN" : x < 0 ? "-Infinity" : "Infinity");
        return;
    }
    int n = gr__number_text(text, x);
    if (n > 2 && strcmp(text + n - 2, ".0") == 0) text[n -= 2] = '\0';
    json_begin(p, key);
    gr__page_put_bytes(p, text, (size_t)n);
}

void gr__json_shape(gr__page *p, const char *key, const gr_shape *s)
{
    gr__json_open(p, key, '[');
    for (int i = 0; i < s->rank; i++) gr__json_number(p, NULL, (double)s->dim[i]);
    gr__json_close(p, ']');
}

void gr__json_raw(gr__page *p, const char *key, const gr__page *value)
{
    json_begin(p, key);
    gr__page_put_bytes(p, value->s, value->length);
}

/* ---- many numbers -------------------------------------------------------- */

static void json_bytes_of(unsigned char to[4], gr_real x)
{
    float    f = (float)x;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    for (int i = 0; i < 4; i++) to[i] = (unsigned char)(bits >> 8 * i);
}

/* Three bytes become four characters; fewer are padded with '='. */
static void put_three(gr__page *p, const unsigned char *b, int n)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2];
    char     c[4];
    for (int i = 0; i < 4; i++) c[i] = i <= n ? alphabet[bits >> (18 - 6 * i) & 63] : '=';
    gr__page_put_bytes(p, c, sizeof c);
}

void gr__json_bytes(gr__page *p, const char *key, const unsigned char *b, size_t n)
{
    json_begin(p, key);
    gr__page_put(p, "\"");
    for (size_t i = 0; i < n; i += 3) {
        unsigned char three[3] = { 0 };
        size_t        k = n - i < 3 ? n - i : 3;
        memcpy(three, b + i, k);
        put_three(p, three, (int)k);
    }
    gr__page_put(p, "\"");
}

void gr__json_reals(gr__page *p, const char *key, const gr_real *x, int64_t n)
{
    json_begin(p, key);
    gr__page_put(p, "\"");
    for (int64_t i = 0; i < n;
         i += 3) { /* three numbers are twelve bytes, which are sixteen characters */
        unsigned char b[12] = { 0 };
        int           bytes = n - i < 3 ? (int)(n - i) * 4 : 12;
        for (int k = 0; k * 4 < bytes; k++) json_bytes_of(b + 4 * k, x[i + k]);
        for (int at = 0; at < bytes; at += 3) put_three(p, b + at, bytes - at);
    }
    gr__page_put(p, "\"");
}
