/* trace.h (private): the graph behind a loss as plain data, and pages of text, for what tells people of it. */
#ifndef GR_TRACE_H
#define GR_TRACE_H

#include "autograd/autograd.h"
#include "gradus/trace.h"

/* ---- graph.c ---------------------------------------------------------------------------------------------------------------------- */

/* A tensor of the graph: the result of one of its operations, or a leaf. */
typedef struct gr__seen {
    gr_tensor *t;
    gr_tensor *g;      /* its gradient; NULL: none flows to it */
    int        number; /* of the operation that made it, from 1 up in the order they ran; 0: a leaf */
    int        flows;  /* how many uses a gradient flows back from */
    size_t     last;   /* the last of its uses in the order of backward */
    double     value_norm, grad_norm;
} gr__seen;

/* Input i of an operation; but nothing is told of a nameless one that can have no gradient, such as labels. */
typedef struct gr__use {
    size_t tensor;
    int    number, input; /* the operation's, and i */
    bool   flows;         /* whether a gradient flows back from it */
    double grad_norm;     /* what flows back */
    size_t previous;      /* use of the same tensor plus 1; 0: this is the first */
} gr__use;

typedef struct gr__operation {
    gr__node *nd;
    size_t    result, uses; /* its uses: count of them from there on */
    int       count;
} gr__operation;

/* All arrays are stb_ds's. Operations stand in the order of backward: number n first, then n - 1, down to 1. */
typedef struct gr__graph {
    gr__operation *operations;
    gr__use       *uses;
    gr__seen      *seen;
    gr__pass       map; /* while the graph is collected: tensor to place in seen */
} gr__graph;

/* The graph with gradients and norms; tensors made for it belong to the innermost step. false: the error, in the name of what; and the
   graph is to be freed all the same. */
bool gr__graph_make(gr__graph *gr, gr_tensor *loss, const char *what);
void gr__graph_free(gr__graph *gr);

/* A piece of an operation's equation. */
typedef struct gr__piece {
    const char *s;
    int         length;
} gr__piece;
gr__piece gr__equation_forward(const gr__op *op);
gr__piece gr__equation_of_input(const gr__op *op, int i); /* the rule for its gradient; empty: it has none */

/* The gradient that flows back from one use alone. NULL: it failed. The innermost step's. */
gr_tensor *gr__graph_part(const gr__graph *gr, const gr__operation *op, const gr__use *use);

/* ---- prefix.c ----------------------------------------------------------------------------------------------------------------------- */

/* A layer's name: the first length bytes of a parameter's; 0: it is none. */
typedef struct gr__prefix {
    const char *s;
    int         length;
    bool        own; /* the operation computes with the layer's parameters, and has not just been put beside them */
} gr__prefix;

gr__prefix gr__prefix_of_leaf(const gr__seen *s);
void       gr__prefixes(const gr__graph *gr, gr__prefix *of); /* of every operation: of[number - 1] */

/* ---- page.c ----------------------------------------------------------------------------------------------------------------------- */

/* Text that grows. Once memory has run out it stays as it is, and good is false. */
typedef struct gr__page {
    char  *s;
    size_t length, room;
    bool   good;
} gr__page;

gr__page gr__page_begin(void);
void     gr__put(gr__page *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
void     gr__put_bytes(gr__page *p, const char *s, size_t n);
void     gr__put_spaces(gr__page *p, int n);
bool     gr__page_write(const gr__page *p, const char *path); /* the file is replaced as a whole or not at all */
void     gr__page_end(gr__page *p);

/* A name as anyone may see it: valid UTF-8, nothing that moves a cursor, and not too long. */
typedef struct gr__shown {
    char s[200];
    int  width; /* in characters */
} gr__shown;
gr__shown gr__show(const char *name);
int  gr__character(const unsigned char *s, uint32_t *c); /* the length of the one that s begins with, in UTF-8; 0: it begins with none */
bool gr__unseen(uint32_t c);                             /* has no picture of its own, or turns the direction of what follows */

/* ---- json.c: data for the script of a page of HTML --------------------------------------------------------------------------------- */
/* Each puts one value; key names it in an object, and is NULL in a list. Commas come by themselves. Keys are ours and put as they are. */

void gr__json_open(gr__page *p, const char *key, char bracket);  /* '{' or '[' */
void gr__json_close(gr__page *p, char bracket);                  /* '}' or ']' */
void gr__json_text(gr__page *p, const char *key, const char *s); /* NULL: null */
void gr__json_number(
    gr__page *p, const char *key, double x); /* not finite: "NaN", "Infinity", "-Infinity", as JavaScript's Number reads them */
void gr__json_reals(gr__page *p, const char *key, const gr_real *x, int64_t n);      /* many: base64 of float32, little-endian */
void gr__json_bytes(gr__page *p, const char *key, const unsigned char *b, size_t n); /* base64 */
void gr__json_shape(gr__page *p, const char *key, const gr_shape *s);

/* ---- sample.c: how much of its tensors a page shows --------------------------------------------------------------------------------------------- */

/* The first so many of each dimension, by what it is. */
typedef struct gr__sample {
    int64_t images, channels, side, length;
} gr__sample;

/* The largest that keeps the page of a graph under 5 MB. false: nothing does, which is an error in the name of what. */
bool     gr__sample_of(gr__sample *s, const gr__graph *gr, const char *what);
gr_shape gr__kept(const gr__sample *s, const gr_tensor *t);

/* ---- terms.c: the three convolutions' sums, of which a page shows some products --------------------------------------------------------- */

/* A convolution y = conv(x, k) with G, the gradient of its sums, and how much of x, k and G is shown. */
typedef struct gr__terms {
    gr__conv       c;
    const gr_real *x, *k, *u;
    gr_shape       kept[3]; /* of x, k, G */
} gr__terms;

typedef enum gr__target { GR__OF_X, GR__OF_K, GR__OF_Y } gr__target; /* a number of gX (34), of gK (35), of the sum (33) */

/* Whether a page that shows these shows every product. */
bool gr__terms_whole(const gr__terms *t, gr__target of);
/* What the products that are not shown add to each number that is: rest, of as many as are kept. */
void gr__terms_rest(const gr__terms *t, gr__target of, double *rest);

/* ---- html.c: a page that needs nothing but itself ------------------------------------------------------------------------------------ */

/* From look.css and its kin, by lib/trace/Makefile.inc. */
extern const unsigned char gr__look_css[], gr__look_js[], gr__report_css[], gr__report_html[], gr__report_js[], gr__trace_css[],
    gr__trace_html[], gr__trace_js[];

/* Everything before the page's data, which are one JSON value, and everything behind them: its head with look.css and css, its body; and
   the scripts look.js and js. */
void gr__html_begin(gr__page *p, const char *title, const unsigned char *css, const unsigned char *body);
void gr__html_end(gr__page *p, const unsigned char *js);

#endif
