/* nn.h: models of named parameters, layers, and files of weights. What trains them is in optim.h.

   A model is its forward function. A layer makes its parameters, by name, the first time the model
   is run; after that the model is sealed. Names and layouts are PyTorch's ("conv1.weight"), so that
   a file of weights moves between the two unchanged. */
#ifndef GRADUS_NN_H
#define GRADUS_NN_H

#include "autograd.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A set of named parameters, sealed once it is built. Several threads may run one sealed model at
 *  once, in eval mode. */
typedef struct gr_model gr_model;

/** A model's forward function: from a batch to what the loss, or the caller, wants of it. Width,
 *  depth and the like come from gr_model_ctx(m). */
typedef gr_tensor *gr_forward(gr_model *m, gr_tensor *x);

/* ---- building -------------------------------------------------------------------------------- */

/** Options of gr_model_build. */
typedef struct gr_model_options {
    gr_shape input GR__OR({});
    GR__NAMED
    uint64_t seed GR__OR(0); /* of the parameters' initialisation, and of dropout */
    void *ctx GR__OR(nullptr); /* the program's own, for forward: gr_model_ctx */
} gr_model_options;

/** gr_model_build(forward, input shape, .seed, .ctx): runs forward once on zeros of that shape,
 *  without recording, which makes the parameters, and seals the model. The initialisation of each
 *  parameter depends on (seed, its name), not on the order. It starts in train mode.
 *  Errors: those of forward; a name that is used twice.
 *  Lifetime: until gr_model_free. */
#define gr_model_build(forward, ...) \
    gr_model_build_((forward), GR__LITERAL(gr_model_options) { .input = __VA_ARGS__ })
/** gr_model_build as a function, for callers without macros. */
GR_API gr_model *gr_model_build_(gr_forward *forward, gr_model_options o);

/** An empty model, for several forward functions: run them, with as many inputs as they like,
 *  inside GR_NO_GRAD, then gr_model_seal it. */
GR_API gr_model *gr_model_new(uint64_t seed);
/** The pointer that gr_model_build was given as .ctx: the configuration of a network, which its
 *  forward function reads. It must live as long as the model. NULL if none was given, and for
 *  NULL. */
GR_API void *gr_model_ctx(const gr_model *m);
/** Seals a model: from here on an unknown name is an error. Errors: NULL, sealed already. */
GR_API bool gr_model_seal(gr_model *m);
/** Releases a model and its parameters. NULL is allowed. Optimisers over it must go first. */
GR_API void gr_model_free(gr_model *m);

/* ---- modes and parameters -------------------------------------------------------------------- */

/** Train mode (the default): dropout is active, batch norm uses the statistics of the batch. */
GR_API void gr_model_train(gr_model *m);
/** Eval mode: dropout is the identity, batch norm uses its running statistics. */
GR_API void gr_model_eval(gr_model *m);

/** Freezes the parameters called name or name.something ("" is all): they get no gradient and
 *  optimisers leave them alone.
 *  Errors: no such parameter. */
GR_API bool gr_model_freeze(gr_model *m, const char *name);
/** Undoes gr_model_freeze. Errors: no such parameter. */
GR_API bool gr_model_unfreeze(gr_model *m, const char *name);

/** The number of parameters (tensors); -1 for NULL. */
GR_API int gr_model_count(const gr_model *m);
/** The name of parameter i, in the order they were made; NULL out of range.
 *  Lifetime: the model's. */
GR_API const char *gr_model_name(const gr_model *m, int i);
/** Parameter i itself; NULL out of range. Lifetime: the model's. */
GR_API gr_tensor *gr_model_at(const gr_model *m, int i);
/** The parameter or buffer of that name. Errors: there is none. Lifetime: the model's. */
GR_API gr_tensor *gr_model_get(const gr_model *m, const char *name);

/** The number of buffers: tensors that belong to the model and are saved with it, but are not
 *  trained (batch norm's running statistics); -1 for NULL. */
GR_API int gr_model_buffer_count(const gr_model *m);
/** The name of buffer i, in the order they were made; NULL out of range. Lifetime: the model's. */
GR_API const char *gr_model_buffer_name(const gr_model *m, int i);
/** Buffer i itself, a counter as an int32 scalar; NULL out of range. Lifetime: the model's. */
GR_API gr_tensor *gr_model_buffer_at(const gr_model *m, int i);

/* ---- layers ---------------------------------------------------------------------------------- */
/* Each fails as the operation it is made of does, and if its name is unknown to a sealed model, or
   made already while building (unless .shared says that two layers mean to share), or if a
   parameter of that name has another shape, or if no file can hold the name: names are valid UTF-8,
   and not __metadata__. */

/** Options of gr_nn_param. */
typedef struct gr_nn_param_options {
    gr_shape shape GR__OR({});
    GR__NAMED
    double value GR__OR(0);   /* the initial value of every element ... */
    double uniform GR__OR(0); /* ... plus a number uniform in [-uniform, uniform) */
    double normal GR__OR(0);  /* ... plus a normal number with this standard deviation */
    bool shared GR__OR(false);
} gr_nn_param_options;

/** gr_nn_param(m, name, shape, .value, .uniform, .normal, .shared): the parameter of that name, for
 *  layers of one's own; made if the model is being built. */
#define gr_nn_param(m, name, ...) \
    gr_nn_param_((m), (name), GR__LITERAL(gr_nn_param_options) { .shape = __VA_ARGS__ })
/** gr_nn_param as a function, for callers without macros. */
GR_API gr_tensor *gr_nn_param_(gr_model *m, const char *name, gr_nn_param_options o);

/** Options of gr_nn_buffer. */
typedef struct gr_nn_buffer_options {
    gr_shape shape GR__OR({});
    GR__NAMED
    double value GR__OR(0); /* the initial value of every element */
    bool shared GR__OR(false);
} gr_nn_buffer_options;

/** gr_nn_buffer(m, name, shape, .value, .shared): the buffer of that name, for layers of one's own;
 *  made if the model is being built. What is in it changes by gr_data_mut. */
#define gr_nn_buffer(m, name, ...) \
    gr_nn_buffer_((m), (name), GR__LITERAL(gr_nn_buffer_options) { .shape = __VA_ARGS__ })
/** gr_nn_buffer as a function, for callers without macros. */
GR_API gr_tensor *gr_nn_buffer_(gr_model *m, const char *name, gr_nn_buffer_options o);

/** Options of gr_nn_linear. */
typedef struct gr_nn_linear_options {
    gr_tensor *x GR__OR(nullptr);
    int64_t units GR__OR(0);
    GR__NAMED
    gr_act act GR__OR(GR_NO_ACT);
    bool no_bias GR__OR(false);
    bool shared GR__OR(false);
} gr_nn_linear_options;

/** gr_nn_linear(m, name, x, units, .act, .no_bias, .shared): gr_linear by name.weight (units,I) and
 *  name.bias (units).
 *  Shapes: x (..., I), y (..., units).
 *  Defaults: initialisation uniform in +-1/sqrt(I), as PyTorch's. */
#define gr_nn_linear(m, name, x_, ...) \
    gr_nn_linear_((m), (name), GR__LITERAL(gr_nn_linear_options) { \
        .x = (x_), .units = __VA_ARGS__ })
/** gr_nn_linear as a function, for callers without macros. */
GR_API gr_tensor *gr_nn_linear_(gr_model *m, const char *name, gr_nn_linear_options o);

/** Options of gr_nn_conv2d. */
typedef struct gr_nn_conv2d_options {
    gr_tensor *x GR__OR(nullptr);
    int64_t filters GR__OR(0);
    int64_t kernel GR__OR(0);
    GR__NAMED
    gr_hw kernel_hw GR__OR({});
    GR__CONV_OPTIONS
    gr_act act GR__OR(GR_NO_ACT);
    bool no_bias GR__OR(false);
    bool shared GR__OR(false);
} gr_nn_conv2d_options;

/** gr_nn_conv2d(m, name, x, filters, kernel, .padding, .stride, .act, ...): gr_conv2d by
 *  name.weight (filters,C/groups,kernel,kernel) and name.bias (filters). A kernel that is not
 *  square is 0, .kernel_hw = {3, 5}: an option's name cannot stand in the place of kernel itself.
 *  Shapes: x (N,C,H,W), y (N,filters,OH,OW).
 *  Defaults: as gr_conv2d; initialisation uniform in +-1/sqrt(C/groups kernel^2), as PyTorch's. */
#define gr_nn_conv2d(m, name, x_, filters_, ...) \
    gr_nn_conv2d_((m), (name), GR__LITERAL(gr_nn_conv2d_options) { \
        .x = (x_), .filters = (filters_), .kernel = __VA_ARGS__ })
/** gr_nn_conv2d as a function, for callers without macros. */
GR_API gr_tensor *gr_nn_conv2d_(gr_model *m, const char *name, gr_nn_conv2d_options o);

/** Options of gr_nn_conv_transpose2d. */
typedef struct gr_nn_conv_transpose2d_options {
    gr_tensor *x GR__OR(nullptr);
    int64_t filters GR__OR(0);
    int64_t kernel GR__OR(0);
    GR__NAMED
    gr_hw kernel_hw GR__OR({});
    GR__CONV_OPTIONS
    int64_t output_padding GR__OR(0);
    gr_hw output_padding_hw GR__OR({});
    gr_act act GR__OR(GR_NO_ACT);
    bool no_bias GR__OR(false);
    bool shared GR__OR(false);
} gr_nn_conv_transpose2d_options;

/** gr_nn_conv_transpose2d(m, name, x, filters, kernel, .padding, .stride, .output_padding, .act,
 *  ...): gr_conv_transpose2d by name.weight (C,filters/groups,kernel,kernel) and name.bias
 *  (filters).
 *  Shapes: x (N,C,H,W), y (N,filters,OH,OW).
 *  Defaults: as gr_conv_transpose2d; initialisation uniform in +-1/sqrt(filters/groups kernel^2),
 *  as PyTorch's. */
#define gr_nn_conv_transpose2d(m, name, x_, filters_, ...) \
    gr_nn_conv_transpose2d_((m), (name), GR__LITERAL(gr_nn_conv_transpose2d_options) { \
        .x = (x_), .filters = (filters_), .kernel = __VA_ARGS__ })
/** gr_nn_conv_transpose2d as a function, for callers without macros. */
GR_API gr_tensor *gr_nn_conv_transpose2d_(gr_model *m, const char *name,
    gr_nn_conv_transpose2d_options o);

/** Options of gr_nn_batch_norm2d. */
typedef struct gr_nn_batch_norm2d_options {
    gr_tensor *x GR__OR(nullptr);
    GR__NAMED
    double momentum GR__OR(0); /* 0.1 */
    double eps GR__OR(0);      /* 1e-5 */
    gr_act act GR__OR(GR_NO_ACT);
    bool no_affine GR__OR(false); /* without weight and bias */
    bool shared GR__OR(false);
} gr_nn_batch_norm2d_options;

/** gr_nn_batch_norm2d(m, name, x, .momentum, .eps, .act, .no_affine, .shared): gr_batch_norm2d by
 *  name.weight (C, ones) and name.bias (C, zeros), with the buffers name.running_mean (C, zeros),
 *  name.running_var (C, ones) and name.num_batches_tracked, a counter. In train mode it uses the
 *  batch's statistics and updates the running ones; in eval mode, and while the model is being
 *  built, it uses the running ones and does not change them.
 *  Shapes: x and y (N,C,H,W).
 *  Defaults: as gr_batch_norm2d. */
#define gr_nn_batch_norm2d(m, name, ...) \
    gr_nn_batch_norm2d_((m), (name), GR__LITERAL(gr_nn_batch_norm2d_options) { .x = __VA_ARGS__ })
/** gr_nn_batch_norm2d as a function, for callers without macros. */
GR_API gr_tensor *gr_nn_batch_norm2d_(gr_model *m, const char *name, gr_nn_batch_norm2d_options o);

/** Options of gr_nn_layer_norm. */
typedef struct gr_nn_layer_norm_options {
    gr_tensor *x GR__OR(nullptr);
    GR__NAMED
    int dims GR__OR(0);   /* 1 */
    double eps GR__OR(0); /* 1e-5 */
    bool no_affine GR__OR(false); /* without weight and bias */
    bool shared GR__OR(false);
} gr_nn_layer_norm_options;

/** gr_nn_layer_norm(m, name, x, .dims, .eps, .no_affine, .shared): gr_layer_norm by name.weight
 *  (ones) and name.bias (zeros), both shaped as the last dims dimensions of x.
 *  Defaults: as gr_layer_norm. */
#define gr_nn_layer_norm(m, name, ...) \
    gr_nn_layer_norm_((m), (name), GR__LITERAL(gr_nn_layer_norm_options) { .x = __VA_ARGS__ })
/** gr_nn_layer_norm as a function, for callers without macros. */
GR_API gr_tensor *gr_nn_layer_norm_(gr_model *m, const char *name, gr_nn_layer_norm_options o);

/** Options of gr_nn_group_norm. */
typedef struct gr_nn_group_norm_options {
    gr_tensor *x GR__OR(nullptr);
    int64_t groups GR__OR(0);
    GR__NAMED
    double eps GR__OR(0); /* 1e-5 */
    bool no_affine GR__OR(false); /* without weight and bias */
    bool shared GR__OR(false);
} gr_nn_group_norm_options;

/** gr_nn_group_norm(m, name, x, groups, .eps, .no_affine, .shared): gr_group_norm by name.weight
 *  (C, ones) and name.bias (C, zeros).
 *  Shapes: x and y (N,C,...).
 *  Defaults: as gr_group_norm. */
#define gr_nn_group_norm(m, name, x_, ...) \
    gr_nn_group_norm_((m), (name), GR__LITERAL(gr_nn_group_norm_options) { \
        .x = (x_), .groups = __VA_ARGS__ })
/** gr_nn_group_norm as a function, for callers without macros. */
GR_API gr_tensor *gr_nn_group_norm_(gr_model *m, const char *name, gr_nn_group_norm_options o);

/** Options of gr_nn_embedding. */
typedef struct gr_nn_embedding_options {
    gr_tensor *index GR__OR(nullptr);
    int64_t rows GR__OR(0);
    int64_t features GR__OR(0);
    GR__NAMED
    bool shared GR__OR(false);
} gr_nn_embedding_options;

/** gr_nn_embedding(m, name, index, rows, features, .shared): gr_embedding by name.weight
 *  (rows,features).
 *  Shapes: index (...) int32, y (...,features).
 *  Defaults: initialisation normal with mean 0 and deviation 1, as PyTorch's. */
#define gr_nn_embedding(m, name, index_, rows_, ...) \
    gr_nn_embedding_((m), (name), GR__LITERAL(gr_nn_embedding_options) { \
        .index = (index_), .rows = (rows_), .features = __VA_ARGS__ })
/** gr_nn_embedding as a function, for callers without macros. */
GR_API gr_tensor *gr_nn_embedding_(gr_model *m, const char *name, gr_nn_embedding_options o);

/** In train mode y = x / (1 - p) with probability 1 - p, else 0, element by element; in eval mode y
 *  is x itself, the same tensor. The draw depends on (the model's seed, name, how often this layer
 *  has run).
 *  Gradient: g by the same mask.
 *  Errors: p outside [0, 1). */
GR_API gr_tensor *gr_nn_dropout(gr_model *m, const char *name, gr_tensor *x, double p);
/** gr_nn_dropout of whole channels: one draw for each plane.
 *  Shapes: x (N,C,H,W).
 *  Errors: as gr_nn_dropout; rank. */
GR_API gr_tensor *gr_nn_dropout2d(gr_model *m, const char *name, gr_tensor *x, double p);

/* ---- model summary --------------------------------------------------------------------------- */

/** Options of gr_model_format and gr_model_print. */
typedef struct gr_model_format_options {
    gr_model *model GR__OR(nullptr);
    GR__NAMED
    gr_forward *forward GR__OR(nullptr); /* what the model was built by */
    gr_shape input GR__OR({});           /* what it was built for */
} gr_model_format_options;

/** gr_model_format(m, .forward, .input): the model summary, a table of one line per layer, and one
 *  line per op between layers that computes something: its name, its kind, its output's shape,
 *  parameters and FLOPs, for an input of that shape. A multiply-add of conv2d, conv_transpose2d,
 *  linear and matmul counts as 2 FLOPs, and nothing else of them; other ops count 1 per number read
 *  or written, whichever are more. Runs forward once on zeros, in eval mode, and changes nothing in
 *  the model; not while other threads use the model.
 *  Defaults: those of gr_model_build.
 *  Errors: NULL, a model that is not sealed, one of gr_model_new without .forward, those of
 *  forward.
 *  Lifetime: the step's (outside any step: until gr_reset). */
#define gr_model_format(...) \
    gr_model_format_(GR__LITERAL(gr_model_format_options) { .model = __VA_ARGS__ })
/** gr_model_format as a function, for callers without macros. */
GR_API const char *gr_model_format_(gr_model_format_options o);
/** Writes gr_model_format to standard output. */
#define gr_model_print(...) \
    gr_model_print_(GR__LITERAL(gr_model_format_options) { .model = __VA_ARGS__ })
/** gr_model_print as a function, for callers without macros. */
GR_API void gr_model_print_(gr_model_format_options o);

/* ---- initialisation -------------------------------------------------------------------------- */
/* Layers initialise their weights as PyTorch's do. These initialise them, or a tensor, anew, by
   torch.nn.init's definitions. */

/** In place of a pattern, or as one of several: the parameters of at most one dimension, which
 *  norms' weights and all biases are. */
#define GR_VECTORS "<vectors>"

/** The initialisation of a weight. fan_in and fan_out of (O,I,...) are I and O times the sizes that
 *  follow; gain is 1 unless stated otherwise. */
typedef enum gr_init_how {
    /* uniform in +-sqrt(3) std, std = gain / sqrt(fan_in); gain sqrt(2 / (1 + a^2)). He et al.,
       ICCV 2015, eqs. 10 and 15 */
    GR_KAIMING_UNIFORM,
    GR_KAIMING_NORMAL,  /* normal with that std */
    /* uniform in +-sqrt(3) std, std = gain sqrt(2 / (fan_in + fan_out)). Glorot and Bengio, AISTATS
       2010, eq. 16 */
    GR_XAVIER_UNIFORM,
    GR_XAVIER_NORMAL,   /* normal with that std */
    /* seen as O rows: gain times orthonormal rows, or columns if there are more rows. Saxe et al.,
       ICLR 2014 */
    GR_ORTHOGONAL,
    GR_CONSTANT         /* .value */
} gr_init_how;

/** Options of gr_model_init and gr_tensor_init. */
typedef struct gr_init_options {
    gr_init_how how GR__OR(GR_KAIMING_UNIFORM);
    GR__NAMED
    double gain GR__OR(0);        /* in place of those above */
    /* the gain that suits what follows: GR_RELU sqrt(2), GR_TANH 5/3, else 1 */
    gr_act act GR__OR(GR_NO_ACT);
    double a GR__OR(0);           /* the slope of the leaky relu that follows, for Kaiming's */
    bool fan_out GR__OR(false);   /* Kaiming's by fan_out, not fan_in */
    double value GR__OR(0);       /* of GR_CONSTANT */
} gr_init_options;

/** gr_model_init(m, pattern, how, .gain, .act, .a, .fan_out, .value): initialises parameters anew,
 *  each from the stream of (the model's seed, its name). The pattern is a shell's (* ? [a-z]), or
 *  several with spaces or commas between, or GR_VECTORS: gr_model_init(net, "conv*.weight",
 *  GR_KAIMING_NORMAL, .fan_out = true).
 *  Defaults: as gr_init_how says.
 *  Errors: a model that is not sealed, a pattern (one of several) that fits no parameter, a vector
 *  but for GR_CONSTANT, a negative gain; then nothing has changed. */
#define gr_model_init(m, pattern, ...) \
    gr_model_init_((m), (pattern), GR__LITERAL(gr_init_options) { .how = __VA_ARGS__ })
/** gr_model_init as a function, for callers without macros. */
GR_API bool gr_model_init_(gr_model *m, const char *pattern, gr_init_options o);

/** gr_tensor_init(t, &rng, how, .gain, .act, .a, .fan_out, .value): initialises a tensor as
 *  gr_model_init does a parameter; rng may be NULL for GR_CONSTANT.
 *  Errors: as gr_model_init; NULL, int32. */
#define gr_tensor_init(t, rng, ...) \
    gr_tensor_init_((t), (rng), GR__LITERAL(gr_init_options) { .how = __VA_ARGS__ })
/** gr_tensor_init as a function, for callers without macros. */
GR_API bool gr_tensor_init_(gr_tensor *t, gr_rng *rng, gr_init_options o);

/* ---- files of weights ------------------------------------------------------------------------ */

/** Writes a model's parameters and buffers to a safetensors file, in the order they were made. The
 *  file is replaced as a whole or not at all. This and all other functions that write a file follow
 *  links, also to a file that is not there yet; refuse what is no regular file, a file that one may
 *  not write to, and a folder in which no file can be made, since the new file is made beside the
 *  old one; and keep the old one's permissions, group and owner as far as the system lets them.
 *  Another hard link to the old file keeps the old contents.
 *  Errors: NULL, a model that is not sealed, a file that cannot be written. */
GR_API bool gr_save(const gr_model *m, const char *path);
/** Reads a model's parameters and buffers from a safetensors file: exactly the model's names,
 *  shapes and element types (a counter is an int64 there, as in PyTorch; a file may lack it, and it
 *  is 0 then). If it fails, nothing has changed.
 *  Errors: NULL, a model that is not sealed, a file that cannot be read, is malformed or does not
 *  fit the model. */
GR_API bool gr_load(gr_model *m, const char *path);

#ifdef __cplusplus
}
#endif

#endif
