/* web.h (private): what inspect and report share: text that grows, names fit for display, JSON, and
   the frame of a page of HTML. */
#ifndef GR_WEB_H
#define GR_WEB_H

#include "core/core.h"

/* ---- page.c -------------------------------------------------------------- */

/* Text that grows. Once memory has run out it stays as it is, and good is false. */
typedef struct gr__page {
    char  *s;
    size_t length, room;
    bool   good;
} gr__page;

gr__page gr__page_begin(void);
void     gr__page_put(gr__page *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
void     gr__page_put_bytes(gr__page *p, const char *s, size_t n);
void     gr__page_put_spaces(gr__page *p, int n);
bool     gr__page_write(
        const gr__page *p, const char *path); /* the file is replaced as a whole or not at all */
void gr__page_end(gr__page *p);

/* A name made safe for display: valid UTF-8, without control characters, and not too long. */
typedef struct gr__display {
    char s[200];
    int  width; /* in characters */
} gr__display;
gr__display gr__display_of(const char *name);
int         gr__utf8_decode(
            const unsigned char *s, uint32_t *c); /* length of the first character; 0: not UTF-8 */
bool gr__utf8_invisible(uint32_t c); /* no glyph of its own, or changes the direction of text */

/* ---- json.c: data for the script of a page of HTML ----------------------- */
/* Each puts one value; key names it in an object, and is NULL in a list. Commas are put
   automatically. Keys are put unchanged. */

void gr__json_open(gr__page *p, const char *key, char bracket);  /* '{' or '[' */
void gr__json_close(gr__page *p, char bracket);                  /* '}' or ']' */
void gr__json_text(gr__page *p, const char *key, const char *s); /* NULL: null */
void gr__json_number(gr__page *p, const char *key,
    double x); /* not finite: "NaN", "Infinity", "-Infinity", as JavaScript's Number reads them */
void gr__json_reals(gr__page *p, const char *key, const gr_real *x,
    int64_t n); /* many: base64 of float32, little-endian */
void gr__json_bytes(gr__page *p, const char *key, const unsigned char *b, size_t n); /* base64 */
void gr__json_shape(gr__page *p, const char *key, const gr_shape *s);
void gr__json_raw(gr__page *p, const char *key,
    const gr__page *value); /* a value that was put into a page of its own */

/* ---- html.c: a self-contained page --------------------------------------- */

/* Made of look.css and look.js by lib/web/Makefile.inc. */
extern const unsigned char gr__look_css[], gr__look_js[];

/* Between these two calls the page's data are put, as one JSON value. The first puts the head, with
   look.css and css, and the body; the second the scripts look.js and js. */
void gr__html_begin(
    gr__page *p, const char *title, const unsigned char *css, const unsigned char *body);
void gr__html_end(gr__page *p, const unsigned char *js);

#endif
