/* html.c: the frame of a self-contained page of HTML.

   Style and scripts are separate files, which the build turns into arrays; the data are JSON. The
   content security policy in the head forbids all network requests. */
#include "web/web.h"

#include <string.h>

static void html_put(gr__page *p, const char *s) { gr__page_put_bytes(p, s, strlen(s)); }

static void put_asset(gr__page *p, const unsigned char *s) { html_put(p, (const char *)s); }

void gr__html_begin(
    gr__page *p, const char *title, const unsigned char *css, const unsigned char *body)
{
    html_put(p,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
        "'unsafe-inline'; script-src "
        "'unsafe-inline'\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
    html_put(p, title);
    html_put(p, "</title>\n<style>\n");
    put_asset(p, gr__look_css);
    put_asset(p, css);
    html_put(p, "</style>\n</head>\n<body>\n");
    put_asset(p, body);
    html_put(p, "<script type=\"application/json\" id=\"data\">");
}

void gr__html_end(gr__page *p, const unsigned char *js)
{
    html_put(p, "</script>\n<script>\n");
    put_asset(p, gr__look_js);
    put_asset(p, js);
    html_put(p, "</script>\n</body>\n</html>\n");
}
