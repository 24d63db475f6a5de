/* types.h: the plain types that all modules share. Nothing here owns memory.

   Sizes, and positions along a dimension, are int64_t. What numbers dimensions, tensors in a list,
   classes, threads is an int. */
#ifndef GRADUS_TYPES_H
#define GRADUS_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined _WIN32
#error "Gradus needs a POSIX system"
#endif

#define GR_API __attribute__((visibility("default")))

/* Named options are designated initialisers, which C++ has from 2020 on and every compiler that can
   read this file long before. In C they may be given in any order; in C++ in the order of the
   struct's fields, in which the comment of each call lists them. */
#if defined __clang__ && defined __cplusplus
#pragma clang diagnostic ignored "-Wc++20-designator"
#elif defined __cplusplus && __GNUC__ >= 12
#pragma GCC diagnostic ignored "-Wc++20-extensions"
#endif

#ifdef __cplusplus
/* default member initialiser: an option left out is the default, without a warning */
#define GR__OR(value) = value
#define GR__LITERAL(type) type
extern "C" {
#else
#define GR__OR(value)
#define GR__LITERAL(type) (type)
#endif

/** The element of a real tensor: float in the installed library, double in the build that checks
 *  gradients. */
#ifdef GRADUS_DOUBLE
typedef double gr_real;
#else
typedef float gr_real;
#endif

/** The most dimensions that a tensor has. */
#define GR_MAX_DIMS 8

/** What the elements of a tensor are. Labels and indices are GR_INT32 and have no gradient. */
typedef enum gr_dtype {
    GR_REAL = 0, /* gr_real */
    GR_INT32 = 1 /* int32_t */
} gr_dtype;

/** Sizes of the dimensions, outermost first, or another number for each; rank 0 is a scalar,
 *  (gr_shape){ 0 }. Written gr_shape(64, 1, 28, 28). */
typedef struct gr_shape {
    int     rank;             /* how many dimensions there are */
    int64_t dim[GR_MAX_DIMS]; /* their sizes */
} gr_shape;

/** A list of dimensions, negative ones counted from the last. Written GR_DIMS(0, 2, -1). An empty
 *  list means "all", where an option allows it. */
typedef struct gr_dims {
    int count GR__OR(0);            /* how many */
    int at[GR_MAX_DIMS] GR__OR({}); /* which */
} gr_dims;

/** Height and width: .padding_hw = {1, 2}. As an argument gr_hw(28, 28). */
typedef struct gr_hw {
    int64_t h GR__OR(0); /* height */
    int64_t w GR__OR(0); /* width */
} gr_hw;

/** A fused activation, applied to the result of an operation or layer: .act = GR_RELU. */
typedef enum gr_act {
    GR_NO_ACT = 0,  /* none: y = x */
    GR_RELU = 1,    /* gr_relu */
    GR_SIGMOID = 2, /* gr_sigmoid */
    GR_TANH = 3     /* gr_tanh */
} gr_act;

/* How many, up to 32: more than any list has room for. */
#define GR__COUNT(...)                                                                             \
    GR__NTH(__VA_ARGS__, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15,   \
        14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define GR__NTH(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa,  \
    bb, cc, dd, ee, ff, count, ...)                                                                \
    count

/** A gr_shape of up to 8 sizes: gr_shape(64, 1, 28, 28). */
#define gr_shape(...) (GR__LITERAL(gr_shape) { GR__COUNT(__VA_ARGS__), { __VA_ARGS__ } })
/** A gr_hw of height h and width w: gr_hw(28, 28). */
#define gr_hw(height, width) (GR__LITERAL(gr_hw) { (height), (width) })
/** A gr_dims of up to 8 dimensions: GR_DIMS(0, 2, -1). */
#define GR_DIMS(...) (GR__LITERAL(gr_dims) { GR__COUNT(__VA_ARGS__), { __VA_ARGS__ } })

/* The first field of an options struct is the last required argument. The pointer after it makes an
   option without its name (gr_sum(x, 1) for gr_sum(x, .keepdim = 1)) a warning. */
struct gr__options_are_named;
#define GR__NAMED struct gr__options_are_named *options_are_named GR__OR(nullptr);

#ifdef __cplusplus
}
#endif

#endif
