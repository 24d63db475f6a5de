/* conv.c: the three convolutions, closed under differentiation.

   T(x, k, u) = sum over n,f,c,i,j,p,q of u[n,f,i,j] x[n,c, SH i + DH p - PH, SW j + DW q - PW]
   k[f,c,p,q] is linear in each of x, k and u, and
       conv2d              y = conv(x, k) = dT/du   (33)
       conv2d_input_grad   z =    A(u, k) = dT/dx   (34)
       conv2d_kernel_grad  w =    B(x, u) = dT/dk   (35)
   So each one's gradients are the other two, with the same geometry, groups included:
       y = conv(x, k):  gx = A(g, k),  gk = B(x, g)
       z =    A(u, k):  gu = conv(g, k),  gk = B(g, u)
       w =    B(x, u):  gx = A(u, g),  gu = conv(x, g)
   and gradients of any order cost no new code. A geometry (gr__conv) is checked where an op enters
   from outside and handed on as it is, so that the sizes which the options leave open (S values of
   H share one OH) stay what they were.

   N images, C channels, H x W input, F filters, KH x KW kernel, OH x OW output; stride S, padding
   P, dilation D, G groups. */
#include "ops/ops.h"

/* ---- geometry -------------------------------------------------------------------------------- */

typedef struct window {
    int64_t stride, padding, dilation, groups;
    gr_hw   stride_hw, padding_hw, dilation_hw;
} window;

#define WINDOW(o)                                                                                 \
    (&(window){ (o).stride, (o).padding, (o).dilation, (o).groups, (o).stride_hw, (o).padding_hw, \
        (o).dilation_hw })

/* As large as keeps every product of sizes and options far from overflow. */
static const int64_t most = INT32_MAX / 4;

void gr__pair(int64_t both, gr_hw hw, int64_t otherwise, int64_t *h, int64_t *w)
{
    bool apart = hw.h || hw.w;
    *h = apart ? hw.h : both;
    *w = apart ? hw.w : both;
    if (*h == 0) *h = otherwise;
    if (*w == 0) *w = otherwise;
}

static bool read_window(const window *o, gr__conv *c, const char *name)
{
    gr__pair(o->stride, o->stride_hw, 1, &c->SH, &c->SW);
    gr__pair(o->padding, o->padding_hw, 0, &c->PH, &c->PW);
    gr__pair(o->dilation, o->dilation_hw, 1, &c->DH, &c->DW);
    c->G = o->groups ? o->groups : 1;
    if (c->SH < 1 || c->SW < 1 || c->DH < 1 || c->DW < 1 || c->PH < 0 || c->PW < 0 || c->G < 1)
        return gr__fail(GR_ERR_ARGUMENT,
            "%s: stride (%lld,%lld), padding (%lld,%lld), dilation (%lld,%lld), groups %lld: "
            "they must not be negative",
            name, (long long)c->SH, (long long)c->SW, (long long)c->PH, (long long)c->PW,
            (long long)c->DH, (long long)c->DW, (long long)c->G);
    return (c->SH <= most && c->SW <= most && c->DH <= most && c->DW <= most && c->PH <= most &&
               c->PW <= most) ||
           gr__fail(GR_ERR_ARGUMENT, "%s: an option over %lld", name, (long long)most);
}

static void take(const gr_tensor *t, int64_t *a, int64_t *b, int64_t *h, int64_t *w)
{
    *a = t->shape.dim[0];
    *b = t->shape.dim[1];
    *h = t->shape.dim[2];
    *w = t->shape.dim[3];
}

/* The output's size along one direction; 0 where the window does not fit. */
static int64_t reach(int64_t H, int64_t K, int64_t S, int64_t P, int64_t D)
{
    int64_t free = H + 2 * P - (D * (K - 1) + 1);
    return free < 0 ? 0 : free / S + 1;
}

/* Fills OH and OW from the rest. x and k: how errors call the two. */
static bool find_output(gr__conv *c, const char *name)
{
    if (c->H > most || c->W > most || c->KH > most || c->KW > most)
        return gr__fail(GR_ERR_ARGUMENT, "%s: a size over %lld", name, (long long)most);
    if (c->H < 0 || c->W < 0)
        return gr__fail(GR_ERR_ARGUMENT, "%s: there is no input of %lldx%lld", name,
            (long long)c->H, (long long)c->W);
    if (c->KH < 1 || c->KW < 1)
        return gr__fail(GR_ERR_ARGUMENT, "%s: a kernel of %lldx%lld is empty", name,
            (long long)c->KH, (long long)c->KW);
    c->OH = reach(c->H, c->KH, c->SH, c->PH, c->DH);
    c->OW = reach(c->W, c->KW, c->SW, c->PW, c->DW);
    return (c->OH > 0 && c->OW > 0) ||
           gr__fail(GR_ERR_ARGUMENT,
               "%s: input %lldx%lld, padded by (%lld,%lld), is smaller than the kernel %lldx%lld, "
               "dilated by (%lld,%lld)",
               name, (long long)c->H, (long long)c->W, (long long)c->PH, (long long)c->PW,
               (long long)c->KH, (long long)c->KW, (long long)c->DH, (long long)c->DW);
}

static bool groups_divide(const gr__conv *c, const char *name)
{
    return (c->C % c->G == 0 && c->F % c->G == 0) ||
           gr__fail(GR_ERR_ARGUMENT, "%s: groups %lld do not divide channels %lld and filters %lld",
               name, (long long)c->G, (long long)c->C, (long long)c->F);
}

bool gr__want_rank(const gr_tensor *t, int rank, const char *op, const char *role)
{
    return t->shape.rank == rank || gr__fail(GR_ERR_ARGUMENT, "%s: %s %s has rank %d, %d wanted",
                                        op, role, GR__TEXT(t), t->shape.rank, rank);
}

/* ---- running a plan -------------------------------------------------------------------------- */

typedef struct call {
    const gr__conv     *c;
    const gr__plan     *plan;
    const gr__operands *o;
    gr__conv_runner    *run;
} call;

static void run_task(const void *arg, int stage, int64_t task, void *shared, void *scratch)
{
    const call *k = arg;
    k->run(k->c, k->plan, k->o, stage, task, shared, scratch);
}

static bool convolve(const gr__conv *c, gr__direction d, const gr__operands *o, const char *what)
{
    gr__plan           plan = { .stages = 0 };
    const gr__kernels *k = gr__k();
    double products = (double)c->N * (double)(c->F * c->OH) * (double)(c->OW * c->C / c->G);
    k->conv_plan(c, d, gr__k_conv(), &plan);
    return gr__run_plan(&plan, products * (double)(c->KH * c->KW), run_task,
        &(call){ c, &plan, o, k->conv_run }, what);
}

/* ---- the three ops --------------------------------------------------------------------------- */

typedef struct conv_args {
    gr__conv c;
    gr_act   act; /* conv2d alone */
} conv_args;

static gr_tensor *conv(const gr__conv *c, gr_tensor *x, gr_tensor *k);
static gr_tensor *A(const gr__conv *c, gr_tensor *u, gr_tensor *k);
static gr_tensor *B(const gr__conv *c, gr_tensor *x, gr_tensor *u);

static bool conv_shape(gr__node *nd, gr_shape *y)
{
    const gr__conv *c = nd->args;
    *y = gr_shape(c->N, c->F, c->OH, c->OW);
    return true;
}

static bool input_shape(gr__node *nd, gr_shape *y)
{
    const gr__conv *c = nd->args;
    *y = gr_shape(c->N, c->C, c->H, c->W);
    return true;
}

static bool kernel_shape(gr__node *nd, gr_shape *y)
{
    const gr__conv *c = nd->args;
    *y = gr_shape(c->F, c->C / c->G, c->KH, c->KW);
    return true;
}

static gr__operands operands(const gr__node *nd, gr_tensor *y)
{
    return (
        gr__operands){ .a = gr__reals(nd->in[0]), .b = gr__reals(nd->in[1]), .y = gr__reals(y) };
}

static bool conv_forward(gr__node *nd, gr_tensor *y)
{
    const conv_args *args = nd->args;
    gr__operands     o = operands(nd, y);
    o.bias = nd->n > 2 ? gr__reals(nd->in[2]) : NULL;
    o.act = args->act;
    y->rectified = args->act == GR_RELU;
    return convolve(&args->c, GR__FORWARD, &o, nd->op->name);
}

static bool input_grad_forward(gr__node *nd, gr_tensor *y)
{
    gr__operands o = operands(nd, y);
    return convolve(nd->args, GR__INPUT_GRAD, &o, nd->op->name);
}

static bool kernel_grad_forward(gr__node *nd, gr_tensor *y)
{
    gr__operands o = operands(nd, y);
    return convolve(nd->args, GR__KERNEL_GRAD, &o, nd->op->name);
}

static gr_tensor *conv_vjp(gr__node *nd, int i, gr_tensor *g)
{
    const conv_args *args = nd->args;
    if (!nd->left && !(nd->left = gr__act_back(args->act, nd->out, g))) return NULL;
    gr_tensor *x = nd->in[0], *k = nd->in[1], *gz = nd->left;
    return i == 0   ? A(&args->c, gz, k)
           : i == 1 ? B(&args->c, x, gz)
                    : gr_sum(gz, .axes = GR_DIMS(0, 2, 3));
}

static gr_tensor *input_grad_vjp(gr__node *nd, int i, gr_tensor *g)
{
    gr_tensor *u = nd->in[0], *k = nd->in[1];
    return i == 0 ? conv(nd->args, g, k) : B(nd->args, g, u);
}

static gr_tensor *kernel_grad_vjp(gr__node *nd, int i, gr_tensor *g)
{
    gr_tensor *x = nd->in[0], *u = nd->in[1];
    return i == 0 ? A(nd->args, u, g) : conv(nd->args, x, g);
}

static const gr__op conv_op = {
    .name = "conv2d",
    .equation = "Y_nf = act(sum_c X_nc *filt K_fc + b_f) (33); with G = g act': gX_nc = sum_f K_fc "
                "*full G_nf (34), gK_fc = sum_n X_nc "
                "*filt G_nf (35), gb_f = sum of G_nf",
    .shape = conv_shape,
    .forward = conv_forward,
    .vjp = conv_vjp,
    .torch = "F.conv2d",
};

static const gr__op input_grad_op = {
    .name = "conv2d_input_grad",
    .equation = "X_nc = sum_f K_fc *full U_nf (34); gU_nf = sum_c G_nc *filt K_fc (33), gK_fc = "
                "sum_n G_nc *filt U_nf (35)",
    .shape = input_shape,
    .forward = input_grad_forward,
    .vjp = input_grad_vjp,
    .torch = "F.conv_transpose2d",
};

static const gr__op kernel_grad_op = {
    .name = "conv2d_kernel_grad",
    .equation = "K_fc = sum_n X_nc *filt U_nf (35); gX_nc = sum_f G_fc *full U_nf (34), gU_nf = "
                "sum_c X_nc *filt G_fc (33)",
    .shape = kernel_shape,
    .forward = kernel_grad_forward,
    .vjp = kernel_grad_vjp,
    .torch = "torch.nn.grad.conv2d_weight",
};

bool gr__conv_of(const gr__node *nd, gr__conv *c, gr_act *act)
{
    if (nd->op != &conv_op) return false;
    const conv_args *args = nd->args;
    *c = args->c;
    *act = args->act;
    return true;
}

static gr_tensor *conv(const gr__conv *c, gr_tensor *x, gr_tensor *k)
{
    return gr__apply(
        &conv_op, 2, (gr_tensor *[]){ x, k }, &(conv_args){ .c = *c }, sizeof(conv_args));
}

static gr_tensor *A(const gr__conv *c, gr_tensor *u, gr_tensor *k)
{
    return gr__apply(&input_grad_op, 2, (gr_tensor *[]){ u, k }, c, sizeof *c);
}

static gr_tensor *B(const gr__conv *c, gr_tensor *x, gr_tensor *u)
{
    return gr__apply(&kernel_grad_op, 2, (gr_tensor *[]){ x, u }, c, sizeof *c);
}

/* ---- entering from outside ------------------------------------------------------------------- */

static bool conv_geometry(
    gr__conv *c, const gr_tensor *x, const gr_tensor *k, const gr_tensor *bias)
{
    int64_t per_group;
    if (!gr__want_rank(x, 4, "conv2d", "input") || !gr__want_rank(k, 4, "conv2d", "kernel"))
        return false;
    take(x, &c->N, &c->C, &c->H, &c->W);
    take(k, &c->F, &per_group, &c->KH, &c->KW);
    if (!groups_divide(c, "conv2d")) return false;
    if (per_group * c->G != c->C)
        return gr__fail(GR_ERR_ARGUMENT,
            "conv2d: input %s has %lld channel%s, kernel %s takes %lld", GR__TEXT(x),
            (long long)c->C, gr__plural(c->C, "s"), GR__TEXT(k), (long long)(per_group * c->G));
    if (bias && (bias->shape.rank != 1 || bias->count != c->F))
        return gr__fail(GR_ERR_ARGUMENT,
            "conv2d: kernel %s has %lld filter%s, bias %s another number", GR__TEXT(k),
            (long long)c->F, gr__plural(c->F, "s"), GR__TEXT(bias));
    return find_output(c, "conv2d");
}

gr_tensor *gr_conv2d_(gr_conv2d_options o)
{
    conv_args args = { .act = o.act };
    if (!gr__given("conv2d", 2, (gr_tensor *[]){ o.x, o.kernel })) return NULL;
    if (!o.bias && gr__failed()) /* no bias, or one that could not be made? */
        return NULL;
    if (!gr__want_act(o.act, "conv2d") || !read_window(WINDOW(o), &args.c, "conv2d") ||
        !conv_geometry(&args.c, o.x, o.kernel, o.bias))
        return NULL;
    return gr__apply(
        &conv_op, o.bias ? 3 : 2, (gr_tensor *[]){ o.x, o.kernel, o.bias }, &args, sizeof args);
}

/* What a convolution of these sizes gives must be what the gradient is. */
static bool output_is(gr__conv *c, const gr_tensor *g, const char *name)
{
    int64_t N, F, OH, OW;
    take(g, &N, &F, &OH, &OW);
    if (!find_output(c, name)) return false;
    return (N == c->N && F == c->F && OH == c->OH && OW == c->OW) ||
           gr__fail(GR_ERR_ARGUMENT,
               "%s: gradient %s, but convolving %lldx%lld by %lldx%lld gives (%lld,%lld,%lld,%lld)",
               name, GR__TEXT(g), (long long)c->H, (long long)c->W, (long long)c->KH,
               (long long)c->KW, (long long)c->N, (long long)c->F, (long long)c->OH,
               (long long)c->OW);
}

gr_tensor *gr_conv2d_input_grad_(gr_conv2d_input_grad_options o)
{
    static const char *const name = "conv2d_input_grad";
    gr__conv                 c = { .H = o.input.h, .W = o.input.w };
    int64_t                  per_group;
    if (!gr__given(name, 2, (gr_tensor *[]){ o.g, o.k })) return NULL;
    if (!read_window(WINDOW(o), &c, name) || !gr__want_rank(o.g, 4, name, "gradient") ||
        !gr__want_rank(o.k, 4, name, "kernel"))
        return NULL;
    take(o.k, &c.F, &per_group, &c.KH, &c.KW);
    c.N = o.g->shape.dim[0];
    c.C = per_group * c.G;
    return groups_divide(&c, name) && output_is(&c, o.g, name) ? A(&c, o.g, o.k) : NULL;
}

gr_tensor *gr_conv2d_kernel_grad_(gr_conv2d_kernel_grad_options o)
{
    static const char *const name = "conv2d_kernel_grad";
    gr__conv                 c = { .KH = o.kernel.h, .KW = o.kernel.w };
    if (!gr__given(name, 2, (gr_tensor *[]){ o.x, o.g })) return NULL;
    if (!read_window(WINDOW(o), &c, name) || !gr__want_rank(o.x, 4, name, "input") ||
        !gr__want_rank(o.g, 4, name, "gradient"))
        return NULL;
    take(o.x, &c.N, &c.C, &c.H, &c.W);
    c.F = o.g->shape.dim[1];
    return groups_divide(&c, name) && output_is(&c, o.g, name) ? B(&c, o.x, o.g) : NULL;
}

/* ---- transposed: A under its other name ------------------------------------------------------ */

static gr_tensor *add_bias(gr_tensor *y, gr_tensor *bias)
{
    return bias ? gr_add(y, gr_reshape(bias, gr_shape(-1, 1, 1))) : y;
}

/* The geometry whose A takes (C = the layer's output channels) x to y. */
static bool transpose_geometry(gr__conv *c, gr_conv_transpose2d_options *o)
{
    static const char *const name = "conv_transpose2d";
    const gr_tensor         *x = o->x, *k = o->kernel;
    int64_t                  per_group, filters, extra_h, extra_w;
    if (!read_window(WINDOW(*o), c, name) || !gr__want_rank(x, 4, name, "input") ||
        !gr__want_rank(k, 4, name, "kernel"))
        return false;
    take(x, &c->N, &c->F, &c->OH, &c->OW);
    take(k, &filters, &per_group, &c->KH, &c->KW);
    c->C = per_group * c->G;
    if (filters != c->F)
        return gr__fail(GR_ERR_ARGUMENT, "%s: input %s has %lld channel%s, kernel %s takes %lld",
            name, GR__TEXT(x), (long long)c->F, gr__plural(c->F, "s"), GR__TEXT(k),
            (long long)filters);
    if (o->bias && (o->bias->shape.rank != 1 || o->bias->count != c->C))
        return gr__fail(GR_ERR_ARGUMENT,
            "%s: the output has %lld channel%s, bias %s another number", name, (long long)c->C,
            gr__plural(c->C, "s"), GR__TEXT(o->bias));
    gr__pair(o->output_padding, o->output_padding_hw, 0, &extra_h, &extra_w);
    int64_t most_h = c->SH > c->DH ? c->SH : c->DH, most_w = c->SW > c->DW ? c->SW : c->DW;
    if (extra_h < 0 || extra_w < 0 || extra_h >= most_h || extra_w >= most_w)
        return gr__fail(GR_ERR_ARGUMENT,
            "%s: output_padding (%lld,%lld) must be under the stride or the dilation (%lld,%lld)",
            name, (long long)extra_h, (long long)extra_w, (long long)most_h, (long long)most_w);
    if (c->OH > most || c->OW > most || c->KH > most || c->KW > most)
        return gr__fail(GR_ERR_ARGUMENT, "%s: a size over %lld", name, (long long)most);
    c->H = (c->OH - 1) * c->SH - 2 * c->PH + c->DH * (c->KH - 1) + extra_h + 1;
    c->W = (c->OW - 1) * c->SW - 2 * c->PW + c->DW * (c->KW - 1) + extra_w + 1;
    if (!groups_divide(c, name)) return false;
    /* Whole strides of output_padding are what rows and columns of zeros behind the input give. */
    gr_shape more = gr_shape(0, 0, extra_h / c->SH, extra_w / c->SW);
    if (more.dim[2] > 0 || more.dim[3] > 0)
        o->x = gr_pad(o->x, gr_shape(0, 0, 0, 0), .after = more);
    return o->x && output_is(c, o->x, name);
}

gr_tensor *gr_conv_transpose2d_(gr_conv_transpose2d_options o)
{
    gr__conv c = { 0 };
    if (!gr__given("conv_transpose2d", 2, (gr_tensor *[]){ o.x, o.kernel })) return NULL;
    if ((!o.bias && gr__failed()) || !transpose_geometry(&c, &o)) return NULL;
    return add_bias(A(&c, o.x, o.kernel), o.bias);
}

/* ---- one channel: filt, valid and full ------------------------------------------------------- */
/* c = a *filt b: ga = b *full g (18), gb = a *filt g (26). c = a *full b: ga = g *filt b, gb = g
   *filt a. */

static gr__conv single(int64_t H, int64_t W, int64_t KH, int64_t KW)
{
    return (gr__conv){ .N = 1,
        .C = 1,
        .F = 1,
        .H = H,
        .W = W,
        .KH = KH,
        .KW = KW,
        .OH = H - KH + 1,
        .OW = W - KW + 1,
        .SH = 1,
        .SW = 1,
        .DH = 1,
        .DW = 1,
        .G = 1 };
}

static bool filt_shape(gr__node *nd, gr_shape *y)
{
    const gr_tensor *a = nd->in[0], *b = nd->in[1];
    if (!gr__want_rank(a, 2, nd->op->name, "first operand") ||
        !gr__want_rank(b, 2, nd->op->name, "second operand"))
        return false;
    *y = gr_shape(a->shape.dim[0] - b->shape.dim[0] + 1, a->shape.dim[1] - b->shape.dim[1] + 1);
    return (b->count > 0 && y->dim[0] > 0 && y->dim[1] > 0) ||
           gr__fail(GR_ERR_ARGUMENT,
               "%s: %s by %s: the second must not be empty nor larger than the first", nd->op->name,
               GR__TEXT(a), GR__TEXT(b));
}

static bool filt_forward(gr__node *nd, gr_tensor *y)
{
    const gr_shape *a = &nd->in[0]->shape, *b = &nd->in[1]->shape;
    gr__conv        c = single(a->dim[0], a->dim[1], b->dim[0], b->dim[1]);
    gr__operands    o = operands(nd, y);
    return convolve(&c, GR__FORWARD, &o, nd->op->name);
}

static gr_tensor *filt_vjp(gr__node *nd, int i, gr_tensor *g)
{
    gr_tensor *a = nd->in[0], *b = nd->in[1];
    return i == 0 ? gr_conv_full(b, g) : gr_conv_filt(a, g);
}

static bool full_shape(gr__node *nd, gr_shape *y)
{
    const gr_tensor *a = nd->in[0], *b = nd->in[1];
    if (!gr__want_rank(a, 2, nd->op->name, "first operand") ||
        !gr__want_rank(b, 2, nd->op->name, "second operand"))
        return false;
    *y = gr_shape(a->shape.dim[0] + b->shape.dim[0] - 1, a->shape.dim[1] + b->shape.dim[1] - 1);
    return (a->count > 0 && b->count > 0) ||
           gr__fail(GR_ERR_ARGUMENT, "%s: %s by %s: neither must be empty", nd->op->name,
               GR__TEXT(a), GR__TEXT(b));
}

/* K *full G is what (34) sums, for one filter and one channel. */
static bool full_forward(gr__node *nd, gr_tensor *y)
{
    const gr_shape *k = &nd->in[0]->shape;
    gr__conv        c = single(y->shape.dim[0], y->shape.dim[1], k->dim[0], k->dim[1]);
    gr__operands    o = { .a = gr__reals(nd->in[1]), .b = gr__reals(nd->in[0]), .y = gr__reals(y) };
    return convolve(&c, GR__INPUT_GRAD, &o, nd->op->name);
}

static gr_tensor *full_vjp(gr__node *nd, int i, gr_tensor *g)
{
    return gr_conv_filt(g, nd->in[1 - i]);
}

static const gr__op filt_op = { "conv_filt",
    "c = a *filt b; ga = b *full g (18), gb = a *filt g (26)", filt_shape, filt_forward,
    .vjp = filt_vjp };
static const gr__op full_op = { "conv_full", "c = a *full b; ga = g *filt b, gb = g *filt a",
    full_shape, full_forward, .vjp = full_vjp };

gr_tensor *gr_conv_filt(gr_tensor *a, gr_tensor *b)
{
    return gr__apply(&filt_op, 2, (gr_tensor *[]){ a, b }, NULL, 0);
}

gr_tensor *gr_conv_full(gr_tensor *a, gr_tensor *b)
{
    return gr__apply(&full_op, 2, (gr_tensor *[]){ a, b }, NULL, 0);
}

gr_tensor *gr_conv_valid(gr_tensor *a, gr_tensor *b)
{
    if (!gr__given("conv_valid", 2, (gr_tensor *[]){ a, b })) return NULL;
    return gr__want_rank(b, 2, "conv_valid", "second operand")
               ? gr_conv_filt(a, gr_flip(b, GR_DIMS(0, 1)))
               : NULL;
}
