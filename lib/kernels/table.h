/* table.h: the functions of one copy of the kernels, and the entries of its table that the reference table shares. */
#ifndef GR_KERNELS_TABLE_H
#define GR_KERNELS_TABLE_H

#include "isa.h"

void GR__NAME(conv_plan)(const gr__conv *c, gr__direction d, const char *only, gr__plan *plan);
gr__conv_runner GR__NAME(conv_run);

extern const gr__conv_algorithm *const GR__NAME(conv_algorithms)[];

void GR__NAME(matmul_plan)(const gr__matmul *m, gr__plan *plan);
void GR__NAME(matmul_run)(
    const gr__matmul *m, const gr__plan *plan, const gr__operands *o, int stage, int64_t task, void *shared, void *scratch);

void GR__NAME(max_pool)(const gr__window2d *p, const gr_real *x, gr_real *y, int32_t *at, int64_t begin, int64_t end);
void GR__NAME(max_pool_scatter)(const gr__window2d *p, const gr_real *g, const int32_t *at, gr_real *gx, int64_t begin, int64_t end);
void GR__NAME(max_pool_gather)(const gr__window2d *p, const gr_real *x, const int32_t *at, gr_real *y, int64_t begin, int64_t end);

void GR__NAME(window_sums)(const gr__windows *s, const gr_real *x, gr_real *y, int64_t begin, int64_t end);
void GR__NAME(window_spread)(const gr__windows *s, const gr_real *g, gr_real *gx, int64_t begin, int64_t end);
void GR__NAME(blend)(const gr__blend *b, const gr_real *x, gr_real *y, int64_t begin, int64_t end);
void GR__NAME(blend_spread)(const gr__blend *b, const gr_real *g, gr_real *gx, int64_t begin, int64_t end);

gr__unary GR__NAME(neg), GR__NAME(exp), GR__NAME(log), GR__NAME(sqrt), GR__NAME(abs), GR__NAME(sign), GR__NAME(relu), GR__NAME(sigmoid),
    GR__NAME(tanh), GR__NAME(sin), GR__NAME(cos), GR__NAME(log1p), GR__NAME(expm1), GR__NAME(erf), GR__NAME(softplus);
gr__binary GR__NAME(add), GR__NAME(sub), GR__NAME(mul), GR__NAME(div), GR__NAME(pow), GR__NAME(maximum), GR__NAME(minimum);
gr__binary GR__NAME(eq), GR__NAME(ne), GR__NAME(lt), GR__NAME(le), GR__NAME(gt), GR__NAME(ge);
gr__binary GR__NAME(relu_grad), GR__NAME(sigmoid_grad), GR__NAME(tanh_grad);
void       GR__NAME(scale)(gr_real *y, const gr_real *x, double factor, int64_t n);
void       GR__NAME(where)(gr_real *y, const gr_real *c, const gr_real *a, const gr_real *b, int64_t n);

void   GR__NAME(sum)(gr_real *y, const gr_real *x, int64_t reduced, int64_t inner, double factor, int64_t begin, int64_t end);
double GR__NAME(square_error)(const gr_real *x, const gr_real *t, int64_t n);
void   GR__NAME(max)(gr_real *y, const gr_real *x, int64_t reduced, int64_t inner, int64_t begin, int64_t end);
void   GR__NAME(argmax)(int32_t *y, const gr_real *x, int64_t reduced, int64_t inner, int64_t begin, int64_t end);
void   GR__NAME(softmax)(gr_real *y, const gr_real *x, int64_t n, int64_t begin, int64_t end);
void   GR__NAME(log_softmax)(gr_real *y, const gr_real *x, int64_t n, int64_t begin, int64_t end);

void GR__NAME(drop)(gr_real *y, uint64_t key, uint64_t counter, double p, int64_t n);

void GR__NAME(norm)(const gr__norm *n, int64_t begin, int64_t end);
void GR__NAME(norm_sums)(const gr__norm *n, int64_t begin, int64_t end);
void GR__NAME(norm_grad)(const gr__norm *n, int64_t begin, int64_t end);

void GR__NAME(copy_box)(void *to, const void *from, size_t element, const gr__box *box);

void GR__NAME(sgd)(gr_real *p, const gr_real *g, gr_real *velocity, const gr__sgd *s, int64_t n);
void GR__NAME(adam)(gr_real *p, const gr_real *g, gr_real *m, gr_real *v, const gr__adam *a, int64_t n);
void GR__NAME(rmsprop)(gr_real *p, const gr_real *g, gr_real *square, gr_real *velocity, gr_real *mean, const gr__rmsprop *r, int64_t n);

#define GR__SHARED_ENTRIES                                                                                                              \
    .neg = GR__NAME(neg), .exp = GR__NAME(exp), .log = GR__NAME(log), .sqrt = GR__NAME(sqrt), .abs = GR__NAME(abs),                     \
    .sign = GR__NAME(sign), .relu = GR__NAME(relu), .sigmoid = GR__NAME(sigmoid), .tanh = GR__NAME(tanh), .sin = GR__NAME(sin),         \
    .cos = GR__NAME(cos), .log1p = GR__NAME(log1p), .expm1 = GR__NAME(expm1), .erf = GR__NAME(erf), .softplus = GR__NAME(softplus),     \
    .minimum = GR__NAME(minimum), .add = GR__NAME(add), .sub = GR__NAME(sub), .mul = GR__NAME(mul), .div = GR__NAME(div),               \
    .pow = GR__NAME(pow), .maximum = GR__NAME(maximum), .eq = GR__NAME(eq), .ne = GR__NAME(ne), .lt = GR__NAME(lt), .le = GR__NAME(le), \
    .gt = GR__NAME(gt), .ge = GR__NAME(ge), .relu_grad = GR__NAME(relu_grad), .sigmoid_grad = GR__NAME(sigmoid_grad),                   \
    .tanh_grad = GR__NAME(tanh_grad), .scale = GR__NAME(scale), .where = GR__NAME(where), .sum = GR__NAME(sum), .max = GR__NAME(max),   \
    .argmax = GR__NAME(argmax), .softmax = GR__NAME(softmax), .log_softmax = GR__NAME(log_softmax), .copy_box = GR__NAME(copy_box),     \
    .drop = GR__NAME(drop), .sgd = GR__NAME(sgd), .adam = GR__NAME(adam), .rmsprop = GR__NAME(rmsprop), .blend = GR__NAME(blend),       \
    .blend_spread = GR__NAME(blend_spread), .square_error = GR__NAME(square_error)

#endif
