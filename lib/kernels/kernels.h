/* kernels.h: the loops over plain arrays. A kernel knows no tensor, no tape, no error and no thread: it is given sizes that
   were checked, and pointers that do not overlap unless it says they may, and computes.

   Two shapes of kernel:
   - a range kernel computes elements (rows, planes) begin..end-1 of its output; any partition gives the same bits;
   - a planned kernel (convolution, matmul) first says how its work divides: stages that run one after another, each of
     independent tasks, with memory shared by all and memory of each thread's own. Plan and tasks depend on shapes alone,
     never on the number of threads, so that the bits do not either.

   One source is compiled for every instruction set (GR__ISA names the copy), and each copy fills one table. */
#ifndef GR_KERNELS_H
#define GR_KERNELS_H

#include "gradus/types.h"
#include "random.h"

/* N images, C channels of H x W; F filters of C/G channels of KH x KW; outputs OH x OW;
   stride S, padding P, dilation D, groups G:
   y[n,f,i,j] = sum over c,p,q of x[n, c, SH i + DH p - PH, SW j + DW q - PW] k[f,c,p,q], x read as zero outside (1). */
typedef struct gr__conv {
    int64_t N, C, H, W, F, KH, KW, OH, OW;
    int64_t SH, SW, PH, PW, DH, DW, G;
} gr__conv;

/* batch products of M x K by K x N, row-major and dense; transpose_a: a is stored K x M; transpose_b: b is stored N x K.
   Product i reads a + i a_step and b + i b_step (elements; 0 shares one operand) and writes y + i M N. */
typedef struct gr__matmul {
    int64_t M, N, K, batch, a_step, b_step;
    bool    transpose_a, transpose_b;
} gr__matmul;

/* y from x and k; the gradient by x, from that of y and k; the gradient by k, from x and that of y:
   the first operand stands for x in the first and the last, and the second for k in the first two. */
typedef enum gr__direction { GR__FORWARD, GR__INPUT_GRAD, GR__KERNEL_GRAD } gr__direction;

enum { GR__MAX_STAGES = 5 };

typedef struct gr__conv_algorithm gr__conv_algorithm;

/* Everything in it depends on shapes alone. */
typedef struct gr__plan {
    int     stages;
    int64_t tasks[GR__MAX_STAGES];
    size_t  shared;  /* bytes that all tasks see, 64-byte aligned, not cleared */
    size_t  scratch; /* bytes a thread, 64-byte aligned, not cleared, not kept between tasks */
    int     variant; /* of a product of matrices: which algorithm */
    int64_t chunk;   /* how much of its output a task makes; the algorithm knows of what */

    gr__direction             direction; /* of a convolution */
    const gr__conv_algorithm *algorithm; /* of a convolution; NULL: there is nothing to compute */
} gr__plan;

/* The operands of one planned call. */
typedef struct gr__operands {
    const gr_real *a, *b; /* conv: x, k; input_grad: g, k; kernel_grad: x, g; matmul: a, b */
    const gr_real *bias;  /* or NULL; conv: one a filter; matmul: one a column */
    gr_real       *y;
    gr_act         act;
} gr__operands;

typedef void gr__conv_runner(const gr__conv *c, const gr__plan *plan, const gr__operands *o,
    int stage, int64_t task, void *shared, void *scratch);

/* What an algorithm says of a convolution, by its shapes alone: it does not compute such; it does;
   it does, and no algorithm after it in the table should. */
typedef enum gr__suits { GR__CANNOT, GR__CAN, GR__PAYS } gr__suits;

/* One way of computing convolutions, in some of the directions. Two of one name are one algorithm
   for different directions. */
struct gr__conv_algorithm {
    const char *name;
    gr__suits (*suits)(const gr__conv *c, gr__direction d);
    void (*plan)(const gr__conv *c, gr__direction d, gr__plan *plan); /* algorithm, direction set */
    gr__conv_runner *run;
    bool             exact; /* direct sums of products, not by way of transforms */

    const struct gr__kernel_sums *sums; /* kernel_grad_parts.h; or NULL */
};

/* Pooling windows over planes of H x W, padded by P with minus infinity. */
typedef struct gr__window2d {
    int64_t planes, H, W, OH, OW, KH, KW, SH, SW, PH, PW;
} gr__window2d;

typedef struct gr__span {
    int64_t begin, end;
} gr__span;

/* Windows over planes of H x W: number (i,j) of the OH x OW sees rows[i] by columns[j]; spans may be empty, and begin in rising order.
   A sum is divided by divisor, or, if that is 0, by how many numbers its window has. */
typedef struct gr__windows {
    int64_t         H, W, OH, OW;
    const gr__span *rows, *columns;
    double          divisor;
} gr__windows;

/* Bilinear from planes of H x W to OH x OW: row i is a blend of two rows, column j of two columns. */
typedef struct gr__taps {
    int64_t at[2];
    gr_real weight[2];
} gr__taps;

typedef struct gr__blend {
    int64_t         H, W, OH, OW;
    const gr__taps *rows, *columns;
} gr__blend;

/* An n-dimensional box copied element by element: strides in elements, any sign, 0 repeats. */
typedef struct gr__box {
    int     rank;
    int64_t dim[GR_MAX_DIMS];
    int64_t to[GR_MAX_DIMS], from[GR_MAX_DIMS];
} gr__box;

/* B sets of A runs of S numbers each: element (a,b,s) belongs to set b. y = act(weight h + bias), h = (x - mean) root. */
typedef struct gr__norm {
    int64_t        A, B, S;
    double         eps;
    bool           fixed;         /* the statistics are given, and do not depend on x */
    bool           relu;          /* act */
    bool           find;          /* norm_grad finds the sums itself, set by set, while x and g are at hand */
    const gr_real *x, *g;         /* g: the gradient of y */
    const gr_real *weight, *bias; /* B numbers each, or NULL */
    gr_real       *stats;         /* B means, B variances, B roots 1 / sqrt(variance + eps) */
    gr_real       *sums;          /* B sums of G h, B of G, where G is g act'(y) */
    gr_real       *y;             /* the result, y or the gradient of x */
} gr__norm;

typedef void gr__unary(gr_real *y, const gr_real *x, int64_t n);
/* a and b advance by their steps: 1, or 0 for an operand that is one number. */
typedef void gr__binary(gr_real *y, const gr_real *a, int a_step, const gr_real *b, int b_step, int64_t n);

typedef struct gr__sgd {
    double lr, momentum, dampening, weight_decay;
    bool   nesterov, first; /* first: the velocity begins with this gradient */
} gr__sgd;

typedef struct gr__adam {
    double lr, beta1, beta2, eps, weight_decay, correction1, correction2; /* correction: 1 - beta^t */
    bool   decoupled;                                                     /* the decay shrinks p itself, not by way of the gradient */
} gr__adam;

typedef struct gr__rmsprop {
    double lr, alpha, eps, momentum, weight_decay;
} gr__rmsprop;

typedef struct gr__kernels {
    const char *isa; /* "reference", "baseline", "avx2", "avx512" */

    /* planned */
    /* only: "direct", for the algorithms that are exact, or the name of the one to take where it
       can; NULL for any. */
    void (*conv_plan)(const gr__conv *c, gr__direction d, const char *only, gr__plan *plan);
    gr__conv_runner                 *conv_run;
    const gr__conv_algorithm *const *conv_algorithms; /* in the order of choice, then NULL */

    void (*matmul_plan)(const gr__matmul *m, gr__plan *plan);
    void (*matmul_run)(
        const gr__matmul *m, const gr__plan *plan, const gr__operands *o, int stage, int64_t task, void *shared, void *scratch);

    /* pooling, planes begin..end-1; at: the winner's index h W + w in its plane; the first of equals wins, a NaN wins over all; NULL: y alone */
    void (*max_pool)(const gr__window2d *p, const gr_real *x, gr_real *y, int32_t *at, int64_t begin, int64_t end);
    void (*max_pool_scatter)(const gr__window2d *p, const gr_real *g, const int32_t *at, gr_real *gx, int64_t begin,
        int64_t end); /* gx[at] += g, gx cleared first */
    void (*max_pool_gather)(const gr__window2d *p, const gr_real *x, const int32_t *at, gr_real *y, int64_t begin, int64_t end); /* y = x[at] */

    /* windows and blends, planes begin..end-1; each with its transpose, from OH x OW back to H x W */
    void (*window_sums)(const gr__windows *s, const gr_real *x, gr_real *y, int64_t begin, int64_t end);
    void (*window_spread)(const gr__windows *s, const gr_real *g, gr_real *gx, int64_t begin, int64_t end);
    void (*blend)(const gr__blend *b, const gr_real *x, gr_real *y, int64_t begin, int64_t end);
    void (*blend_spread)(const gr__blend *b, const gr_real *g, gr_real *gx, int64_t begin, int64_t end);

    /* element by element; y may be one of the operands */
    gr__unary  *neg, *exp, *log, *sqrt, *abs, *sign, *relu, *sigmoid, *tanh, *sin, *cos, *log1p, *expm1, *erf, *softplus;
    gr__binary *add, *sub, *mul, *div, *pow, *maximum, *minimum, *eq, *ne, *lt, *le, *gt, *ge;
    gr__binary *relu_grad, *sigmoid_grad, *tanh_grad; /* (y, g) -> g act'(y), from the activation's output y */
    void (*scale)(gr_real *y, const gr_real *x, double factor, int64_t n);
    void (*where)(gr_real *y, const gr_real *c, const gr_real *a, const gr_real *b, int64_t n); /* c != 0 ? a : b */

    /* reductions of x seen as outer x reduced x inner; outputs begin..end-1 of outer x inner */
    void (*sum)(gr_real *y, const gr_real *x, int64_t reduced, int64_t inner, double factor, int64_t begin, int64_t end);
    double (*square_error)(const gr_real *x, const gr_real *t, int64_t n); /* the sum of (x - t)^2 */
    void (*max)(gr_real *y, const gr_real *x, int64_t reduced, int64_t inner, int64_t begin, int64_t end);
    void (*argmax)(int32_t *y, const gr_real *x, int64_t reduced, int64_t inner, int64_t begin, int64_t end);

    /* rows begin..end-1 of n numbers */
    void (*softmax)(gr_real *y, const gr_real *x, int64_t n, int64_t begin, int64_t end);
    void (*log_softmax)(gr_real *y, const gr_real *x, int64_t n, int64_t begin, int64_t end);

    /* normalisation, sets begin..end-1 */
    void (*norm)(const gr__norm *n, int64_t begin, int64_t end);      /* y, and the statistics unless fixed */
    void (*norm_sums)(const gr__norm *n, int64_t begin, int64_t end); /* sums, from x, g and the statistics */
    void (*norm_grad)(const gr__norm *n, int64_t begin, int64_t end); /* y = gx, from x, g, the statistics and sums (unless find) */

    /* random masks: y = 0 with probability p, else 1 / (1 - p), from numbers counter, counter + 1, ... of the stream of that key */
    void (*drop)(gr_real *y, uint64_t key, uint64_t counter, double p, int64_t n);

    /* movement */
    void (*copy_box)(void *to, const void *from, size_t element, const gr__box *box); /* element: 4 or 8 bytes */

    /* optimisers, elements 0..n-1: p the parameter, g its gradient, never changed; velocity and mean may be NULL, for none */
    void (*sgd)(gr_real *p, const gr_real *g, gr_real *velocity, const gr__sgd *s, int64_t n);
    void (*adam)(gr_real *p, const gr_real *g, gr_real *m, gr_real *v, const gr__adam *a, int64_t n);
    void (*rmsprop)(gr_real *p, const gr_real *g, gr_real *square, gr_real *velocity, gr_real *mean, const gr__rmsprop *r, int64_t n);
} gr__kernels;

/* The table to use: kernels "reference" or NULL; isa "baseline", "avx2", "avx512" or NULL for the best
   that the processor has. NULL with a reason in *why when what is asked for is not there. */
const gr__kernels *gr__kernels_pick(const char *kernels, const char *isa, const char **why);

#endif
