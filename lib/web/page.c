/* page.c: a buffer for text that is written piece by piece, and names made safe for display.

   Invariant: a page that is good holds everything that was put there, and a terminating zero. */
#include "web/web.h"

#include <stdio.h>
#include <string.h>

#include "io/io.h"

enum { FIRST_ROOM = 4096, MOST_CHARACTERS = 40 };

gr__page gr__page_begin(void)
{
    gr__page p = { .s = gr__alloc(FIRST_ROOM), .room = FIRST_ROOM };
    p.good = p.s || gr__fail_memory("page", FIRST_ROOM);
    if (p.good) p.s[0] = '\0';
    return p;
}

void gr__page_end(gr__page *p)
{
    gr__release(p->s, p->room);
    *p = (gr__page){ .s = NULL };
}

static bool page_grow(gr__page *p, size_t more)
{
    size_t room = p->room;
    while (room - p->length <= more) room *= 2;
    char *s = room == p->room ? p->s : gr__alloc(room);
    if (!s) return gr__fail_memory("page", room);
    if (s != p->s) {
        memcpy(s, p->s, p->length + 1);
        gr__release(p->s, p->room);
    }
    p->s = s;
    p->room = room;
    return true;
}

void gr__page_put(gr__page *p, const char *format, ...)
{
    if (!p->good) return;
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int n = vsnprintf(p->s + p->length, p->room - p->length, format, ap);
    p->good = n >= 0 && page_grow(p, (size_t)n);
    if (p->good)
        p->length += (size_t)vsnprintf(p->s + p->length, p->room - p->length, format, again);
    va_end(again);
    va_end(ap);
}

void gr__page_put_bytes(gr__page *p, const char *s, size_t n)
{
    p->good = p->good && page_grow(p, n);
    if (!p->good) return;
    memcpy(p->s + p->length, s, n);
    p->length += n;
    p->s[p->length] = '\0';
}

void gr__page_put_spaces(gr__page *p, int n) { gr__page_put(p, "%*s", n > 0 ? n : 0, ""); }

bool gr__page_write(const gr__page *p, const char *path)
{
    gr__writer w;
    if (!p->good || !gr__writer_open(&w, path)) return false;
    gr__writer_put(&w, p->s, p->length);
    return gr__writer_close(&w);
}

int gr__utf8_decode(const unsigned char *s, uint32_t *c)
{
    int n = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;
    *c = n < 2 ? s[0] : s[0] & (0x7fu >> n);
    for (int i = 1; i < n; i++) {
        if (s[i] >> 6 != 2) return 0;
        *c = *c << 6 | (s[i] & 0x3f);
    }
    bool shortest = n < 2 || *c >= (n == 2 ? 0x80u : n == 3 ? 0x800u : 0x10000u);
    return shortest && *c < 0x110000 && *c >> 11 != 0x1b ? n
                                                         : 0; /* 0xd800 .. 0xdfff are surrogates */
}

bool gr__utf8_invisible(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
           (c >= 0xfff9 && c <= 0xfffb);
}

gr__display gr__display_of(const char *name)
{
    gr__display          to = { .width = 0 };
    const unsigned char *s = (const unsigned char *)name;
    size_t               at = 0;
    while (*s && to.width < MOST_CHARACTERS) {
        uint32_t c;
        int      n = gr__utf8_decode(s, &c);
        if (n > 0 && !gr__utf8_invisible(c)) {
            memcpy(to.s + at, s, (size_t)n);
            at += (size_t)n;
            to.width++;
            s += n;
            continue;
        }
        int width = *s == '\n' ? snprintf(to.s + at, sizeof to.s - at, "\\n")
                               : snprintf(to.s + at, sizeof to.s - at, "\\x%02x", *s);
        at += (size_t)width;
        to.width += width;
        s++;
    }
    snprintf(to.s + at, sizeof to.s - at, "%s", *s ? "..." : "");
    to.width += *s ? 3 : 0;
    return to;
}
