/* gradus.c: the worker that runs the library. */
#include "worker.h"

#include <gradus.h>
#include <stdlib.h>
#include <string.h>

#include "../examples/lenet.h"
#include "../examples/resnet20.h"

/* ---- models ---- */

static gr_tensor *vgg(gr_model *m, gr_tensor *x) /* (N,3,32,32) -> (N,10) */
{
    for (int stage = 0; stage < 3; stage++) {
        for (int layer = 0; layer < 2; layer++)
            x = gr_nn_conv2d(m, gr_name("conv%d%d", stage, layer), x, 32 << stage, 3, .padding = 1,
                .act = GR_RELU);
        x = gr_max_pool2d(x, 2);
    }
    x = gr_nn_linear(m, "fc1", gr_flatten(x), 256, .act = GR_RELU);
    return gr_nn_linear(m, "fc2", x, 10);
}

static gr_tensor *mlp(gr_model *m, gr_tensor *x) /* (N,2) -> (N,1) */
{
    x = gr_nn_linear(m, "fc1", x, 16, .act = GR_TANH);
    x = gr_nn_linear(m, "fc2", x, 16, .act = GR_TANH);
    return gr_nn_linear(m, "fc3", x, 1);
}

/* ---- what is prepared ---- */

static void (*runner)(void);
static gr_forward *forward;
static gr_model   *net;
static gr_optim   *optimiser;
static gr_tensor  *in, *other, *target; /* other: the second operand */
static conv_shape  shape;
static product     sizes;
enum { NODES = 1000 };

static gr_tensor *filled(gr_shape s, unsigned seed)
{
    gr_tensor *t = gr_zeros(s);
    if (t) fill(gr_data_mut(t), gr_count(t), seed);
    return t;
}

/* Rates so small that a run of any length trains on numbers of the same kind: none of them becomes
   a denormal. */
static void train_classes(void)
{
    GR_STEP;
    gr_minimize(optimiser, gr_cross_entropy(forward(net, in), target));
}

static void train_values(void)
{
    GR_STEP;
    gr_minimize(optimiser, gr_mse(forward(net, in), target));
}

static void infer(void)
{
    GR_STEP;
    GR_NO_GRAD;
    forward(net, in);
}

static gr_tensor *conv(direction d)
{
    if (d == FORWARD)
        return gr_conv2d(in, other, .stride = shape.S, .padding = shape.P, .dilation = shape.D,
            .groups = shape.G);
    if (d == INPUT_GRAD)
        return gr_conv2d_input_grad(in, other, gr_hw(shape.H, shape.H), .stride = shape.S,
            .padding = shape.P, .dilation = shape.D, .groups = shape.G);
    return gr_conv2d_kernel_grad(in, other, gr_hw(shape.K, shape.K), .stride = shape.S,
        .padding = shape.P, .dilation = shape.D, .groups = shape.G);
}

static void conv_forward(void)
{
    GR_STEP;
    GR_NO_GRAD;
    conv(FORWARD);
}

static void conv_input_grad(void)
{
    GR_STEP;
    GR_NO_GRAD;
    conv(INPUT_GRAD);
}

static void conv_kernel_grad(void)
{
    GR_STEP;
    GR_NO_GRAD;
    conv(KERNEL_GRAD);
}

static void multiply(void)
{
    GR_STEP;
    GR_NO_GRAD;
    gr_matmul(in, other, .transpose_a = sizes.transpose_a, .transpose_b = sizes.transpose_b);
}

/* NODES additions in a row, of four numbers. */
static gr_tensor *chain(void)
{
    gr_tensor *x = in;
    for (int i = 0; i < NODES; i++) x = gr_add(x, other);
    return x;
}

static void chain_unrecorded(void)
{
    GR_STEP;
    GR_NO_GRAD;
    chain();
}

static void chain_recorded(void)
{
    GR_STEP;
    chain();
}

static void chain_and_back(void)
{
    GR_STEP;
    gr_backward(gr_sum(chain()));
    gr_clear_grad(in);
}

/* ---- preparing ---- */

static gr_tensor *classes_of(int64_t n) /* n <= 128 */
{
    int32_t classes[128];
    for (int64_t i = 0; i < n; i++) classes[i] = (int32_t)(i * 7 % 10);
    return gr_from_ints(gr_shape(n), classes);
}

static void use_lenet(int64_t n)
{
    forward = lenet;
    in = filled(gr_shape(n, 1, 28, 28), 1);
    net = gr_model_build(lenet, gr_shape(1, 1, 28, 28), .seed = 1);
}

static bool prepare_training(const char *name)
{
    runner = train_classes;
    if (!strcmp(name, "lenet")) {
        use_lenet(64);
        target = classes_of(64);
        optimiser = gr_sgd(net, .lr = 1e-4, .momentum = 0.9);
    } else if (!strcmp(name, "vgg")) {
        forward = vgg;
        in = filled(gr_shape(64, 3, 32, 32), 1);
        target = classes_of(64);
        net = gr_model_build(vgg, gr_shape(1, 3, 32, 32), .seed = 1);
        optimiser = gr_adam(net, .lr = 1e-6);
    } else if (!strcmp(name, "resnet20")) {
        forward = resnet20;
        in = filled(gr_shape(128, 3, 32, 32), 1);
        target = classes_of(128);
        net = gr_model_build(resnet20, gr_shape(1, 3, 32, 32), .seed = 1);
        optimiser = gr_sgd(net, .lr = 1e-4, .momentum = 0.9, .weight_decay = 1e-4);
    } else if (!strcmp(name, "mlp")) {
        forward = mlp;
        runner = train_values;
        in = filled(gr_shape(4, 2), 1);
        target = filled(gr_shape(4, 1), 2);
        net = gr_model_build(mlp, gr_shape(1, 2), .seed = 1);
        optimiser = gr_sgd(net, .lr = 1e-4);
    } else
        return refuse("no such model: %s", name);
    return true;
}

static bool prepare_conv(const char *name)
{
    static void (*const runners[])(void) = { conv_forward, conv_input_grad, conv_kernel_grad };
    direction   d;
    const char *numbers = read_direction(name, &d);
    if (!numbers || !read_conv(numbers, &shape)) return false;
    gr_shape x = gr_shape(shape.N, shape.C, shape.H, shape.H),
             k = gr_shape(shape.F, shape.C / shape.G, shape.K, shape.K);
    gr_shape g = gr_shape(shape.N, shape.F, shape.O, shape.O);
    in = d == INPUT_GRAD ? filled(g, 3) : filled(x, 1);
    other = d == KERNEL_GRAD ? filled(g, 3) : filled(k, 2);
    runner = runners[d];
    GR_STEP;
    GR_NO_GRAD;
    gr_tensor *y = conv(d);
    if (y) check(gr_data(y), gr_count(y));
    return true;
}

static bool prepare_product(const char *name)
{
    if (!read_product(name, &sizes)) return false;
    in = filled(sizes.transpose_a ? gr_shape(sizes.K, sizes.M) : gr_shape(sizes.M, sizes.K), 1);
    other = filled(sizes.transpose_b ? gr_shape(sizes.N, sizes.K) : gr_shape(sizes.K, sizes.N), 2);
    runner = multiply;
    GR_STEP;
    GR_NO_GRAD;
    gr_tensor *y =
        gr_matmul(in, other, .transpose_a = sizes.transpose_a, .transpose_b = sizes.transpose_b);
    if (y) check(gr_data(y), gr_count(y));
    return true;
}

static bool prepare_chain(const char *name)
{
    in = gr_param(filled(gr_shape(4), 1));
    other = filled(gr_shape(4), 2);
    if (!strcmp(name, "unrecorded"))
        runner = chain_unrecorded;
    else if (!strcmp(name, "recorded"))
        runner = chain_recorded;
    else if (!strcmp(name, "backward"))
        runner = chain_and_back;
    else
        return refuse("no such chain: %s", name);
    return true;
}

static bool prepare_inference(const char *name)
{
    int64_t n = atoll(name);
    if (n < 1) return refuse("no batch: %s", name);
    use_lenet(n);
    gr_model_eval(net);
    runner = infer;
    return true;
}

bool prepare(const char *name)
{
    static const struct {
        const char *prefix;
        bool (*prepare)(const char *rest);
    } kinds[] = {
        { "train:", prepare_training },
        { "infer:lenet:", prepare_inference },
        { "conv:", prepare_conv },
        { "matmul:", prepare_product },
        { "nodes:", prepare_chain },
    };
    gr_set_threads(threads());
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strncmp(name, kinds[i].prefix, strlen(kinds[i].prefix))) {
            if (kinds[i].prepare(name + strlen(kinds[i].prefix))) {
                run();
                if (!gr_error()) return true;
                refuse("%s", gr_error());
                gr_clear_error();
            }
            finish();
            return false;
        }
    return refuse("no such thing: %s", name);
}

void run(void) { runner(); }

void finish(void)
{
    gr_optim_free(optimiser);
    gr_model_free(net);
    gr_free(in), gr_free(other), gr_free(target);
    optimiser = NULL, net = NULL, in = other = target = NULL;
}
