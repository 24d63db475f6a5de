/* kernels.h: the loops over plain arrays. A kernel knows no tensor, no tape, no error and no
   thread: it is given sizes that were checked, and pointers that do not overlap unless it says they
   may, and computes.

   Two shapes of kernel:
   - a range kernel computes elements (rows, planes) begin..end-1 of its output; any partition gives
     the same bits;
   - a planned kernel (convolution, matmul) first says how its work divides: stages that run one
     after another, each of independent tasks, with memory shared by all and memory of each thread's
     own. Plan and tasks depend on shapes alone, never on the number of threads, so that the bits do
     not either.

   One source is compiled for every instruction set (GR__ISA names the copy), and each copy fills
   one table. */
#ifndef GR_KERNELS_H
#define GR_KERNELS_H

#include "gradus/types.h"
#include "random.h"

/* N images, C channels of H x W; F filters of C/G channels of KH x KW; outputs OH x OW; stride S,
   padding P, dilation D, groups G: y[n,f,i,j] = sum over c,p,q of x[n, c, SH i + DH p - PH, SW j +
   DW q - PW] k[f,c,p,q], x read as zero outside (1). */
typedef struct gr__conv {
    int64_t N, C, H, W, F, KH, KW, OH, OW;
    int64_t SH, SW, PH, PW, DH, DW, G;
} gr__conv;

/* batch products of M x K by K x N, row-major and dense; transpose_a: a is stored K x M;
   transpose_b: b is stored N x K. Product i reads a + i a_step and b + i b_step (elements; 0 shares
   one operand) and writes y + i M N. */
typedef struct gr__matmul {
    int64_t M, N, K, batch, a_step, b_step;
    bool    transpose_a, transpose_b;
} gr__matmul;

/* y from x and k; the gradient by x, from that of y and k; the gradient by k, from x and that of y:
   the first operand stands for x in the first and the last, and the second for k in the first
   two. */
typedef enum gr__direction { GR__FORWARD, GR__INPUT_GRAD, GR__KERNEL_GRAD } gr__direction;

enum { GR__MAX_STAGES = 6 };

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

/* Windows over planes of H x W: number (i,j) of the OH x OW sees rows[i] by columns[j]; spans may
   be empty, and begin in rising order. A sum is divided by divisor, or, if that is 0, by how many
   numbers its window has. */
typedef struct gr__windows {
    int64_t         H, W, OH, OW;
    const gr__span *rows, *columns;
    double          divisor;
} gr__windows;

/* Bilinear from planes of H x W to OH x OW: row i is a blend of two rows, column j of two
   columns. */
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

/* B sets of A runs of S numbers each: element (a,b,s) belongs to set b. y = act(weight h + bias), h
   = (x - mean) root. */
typedef struct gr__norm {
    int64_t A, B, S;
    double  eps;
    bool    fixed; /* the statistics are given, and do not depend on x */
    bool    relu;  /* act */
    bool    find;  /* norm_grad finds the sums itself, set by set, while x and g are at hand */
    const gr_real *x, *g;         /* g: the gradient of y */
    const gr_real *weight, *bias; /* B numbers each, or NULL */
    gr_real       *stats;         /* B means, B variances, B roots 1 / sqrt(variance + eps) */
    gr_real       *sums;          /* B sums of G h, B of G, where G is g act'(y) */
    gr_real       *y;             /* the result, y or the gradient of x */
} gr__norm;

/* The parameters of kernels of one operand, and of two. */
#define GR__OF_ONE (gr_real * y, const gr_real *x, int64_t n)
#define GR__OF_TWO \
    (gr_real * y, const gr_real *a, int a_step, const gr_real *b, int b_step, int64_t n)

typedef void gr__unary  GR__OF_ONE;
/* a and b advance by their steps: 1, or 0 for an operand that is one number. */
typedef void gr__binary GR__OF_TWO;

typedef struct gr__sgd {
    double lr, momentum, dampening, weight_decay;
    bool   nesterov, first; /* first: the velocity begins with this gradient */
} gr__sgd;

typedef struct gr__adam {
    double lr, beta1, beta2, eps, weight_decay, correction1,
        correction2; /* correction: 1 - beta^t */
    bool decoupled;  /* the decay shrinks p itself, not by way of the gradient */
} gr__adam;

typedef struct gr__rmsprop {
    double lr, alpha, eps, momentum, weight_decay;
} gr__rmsprop;

typedef struct gr__kernels {
    const char *isa; /* "reference", "baseline", "avx2", "avx512" */

    const gr__conv_algorithm *const *conv_algorithms; /* in the order of choice, then NULL */

#define KERNEL(result, name, parameters) result(*name) parameters;
#define SHARED KERNEL
#include "kernels.def"
#undef KERNEL
#undef SHARED
} gr__kernels;

/* The table to use: kernels "reference" or NULL; isa "baseline", "avx2", "avx512" or NULL for the
   best that the processor has. NULL with a reason in *why when what is asked for is not there. */
const gr__kernels *gr__kernels_pick(const char *kernels, const char *isa, const char **why);

#endif
