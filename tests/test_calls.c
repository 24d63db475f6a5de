/* test_calls.c: what an op is called where it is shown, and what is said of its arguments. A public
   call that records ops has its name on the last of them, whatever they are. */
#include "gradus/inspect.h"
#include "gradus/nn.h"
#include "ops/ops.h"
#include "support.h"

#include <string.h>

/* Calls that are shown by their name: its, and the settings that texts tell. */
#define CALL(call, settings, ...) SHOWN(#call, settings, gr_##call(__VA_ARGS__))
#define SHOWN(name, settings, expression) is_shown((expression), name, settings)

static void is_shown(const gr_tensor *y, const char *name, const char *settings)
{
    ck_assert_msg(y != NULL, "%s: %s", name, gr_error());
    ck_assert_msg(y->node != NULL, "%s is not recorded", name);
    ck_assert_str_eq(y->node->name, name);
    const char *said = gr__attributes_of(y->node).s;
    ck_assert_msg(strcmp(said, settings) == 0, "%s: \"%s\", not \"%s\"", name, said, settings);
}

static gr_tensor *param(gr_shape shape)
{
    gr_rng rng = gr_rng_of(1, "calls");
    return gr_param(gr_uniform(shape, &rng, 0.1, 0.9));
}

START_TEST(functions)
{
    GR_STEP;
    gr_tensor *x = param(gr_shape(2, 3));
    CALL(add, "", x, x);
    CALL(scale, "factor 3", x, 3);
    CALL(relu, "", x);
    CALL(clamp, "low 0, high 0.5", x, 0, 0.5);
    CALL(leaky_relu, "", x, 0.1);
    CALL(elu, "", x, 1);
    CALL(silu, "", x);
    CALL(gelu, "", x);
    CALL(softmax, "", x, 1);
    CALL(softmax, "order (1,0)", x, 0);
    CALL(log_softmax, "order (1,0)", x, 0);
    CALL(sum, "", x);
    CALL(mean, "axes 1, keepdim", x, .axes = GR_DIMS(1), .keepdim = true);
    CALL(max, "axes (0,1)", x, .axes = GR_DIMS(0, 1));
    SHOWN("min", "", gr_min(x));
    SHOWN("var", "factor 0.2", gr_var(x));
    SHOWN("std", "", gr_std(x));
    SHOWN("norm", "", gr_norm(x));
    SHOWN("logsumexp", "", gr_logsumexp(x));
    SHOWN("matmul", "transpose_b", gr_matmul(x, x, .transpose_b = true));
    SHOWN("matmul", "", gr_matmul(x, param(gr_shape(3))));
    SHOWN("linear", "act tanh", gr_linear(x, param(gr_shape(4, 3)), .act = GR_TANH));
    nothing_failed();
}
END_TEST

START_TEST(moves)
{
    GR_STEP;
    gr_tensor *x = param(gr_shape(2, 3, 4)), *parts[2];
    CALL(reshape, "", x, gr_shape(6, 4));
    CALL(flatten, "", x);
    CALL(unsqueeze, "", x, 1);
    SHOWN("squeeze", "", gr_squeeze(gr_unsqueeze(x, 0)));
    CALL(permute, "order (2,0,1)", x, GR_DIMS(2, 0, 1));
    CALL(transpose, "order (0,2,1)", x, 1, 2);
    CALL(expand, "", x, gr_shape(5, 2, 3, 4));
    CALL(flip, "axes 1", x, GR_DIMS(1));
    SHOWN("slice", "axis 1, start 1, step 2", gr_slice(x, 1, 1, 3, .step = 2));
    SHOWN("pad", "before (0,1,0), after (0,2,0)",
        gr_pad(x, gr_shape(0, 1, 0), .after = gr_shape(0, 2, 0)));
    CALL(concat, "axis 1", GR_TENSORS(x, x), 1);
    CALL(stack, "axis 3", GR_TENSORS(x, x), -1);
    CALL(roll, "axis 0", x, 1, 0);
    CALL(roll, "", x, 2, 0);
    ck_assert(gr_split(x, 2, 2, parts, 2));
    is_shown(parts[1], "split", "axis 2, start 2");
    CALL(gather, "axis 0", x, 0, gr_from_ints(gr_shape(1, 1, 1), (const int32_t[]){ 1 }));
    nothing_failed();
}
END_TEST

START_TEST(layers)
{
    GR_STEP;
    gr_tensor *x = param(gr_shape(2, 4, 6, 6)), *k = param(gr_shape(4, 2, 3, 3)),
              *w = param(gr_shape(4)), *b = param(gr_shape(2)), *row = param(gr_shape(6));
    SHOWN("conv2d", "act relu, stride 2, padding (1,0), groups 2",
        gr_conv2d(x, k, .stride = 2, .padding_hw = { 1, 0 }, .groups = 2, .act = GR_RELU));
    SHOWN("conv_transpose2d", "stride 2", gr_conv_transpose2d(x, k, .bias = b, .stride = 2));
    SHOWN("conv_transpose2d", "dilation 2", gr_conv_transpose2d(x, k, .dilation = 2));
    SHOWN("conv2d_input_grad", "", gr_conv2d_input_grad(x, k, gr_hw(8, 8)));
    SHOWN("conv_valid", "", gr_conv_valid(param(gr_shape(4, 4)), param(gr_shape(2, 2))));
    SHOWN("batch_norm2d", "act relu",
        gr_batch_norm2d(x, .weight = w, .bias = w, .training = true, .act = GR_RELU));
    SHOWN("layer_norm", "", gr_layer_norm(x));
    SHOWN("layer_norm", "", gr_layer_norm(x, .weight = row, .bias = row));
    SHOWN("layer_norm", "eps 0.001, dims 2", gr_layer_norm(x, .dims = 2, .eps = 0.001));
    SHOWN("group_norm", "groups 2", gr_group_norm(x, 2));
    SHOWN("group_norm", "", gr_group_norm(x, 2, .weight = w));
    SHOWN("max_pool2d", "size 2, stride 2", gr_max_pool2d(x, 2));
    SHOWN("avg_pool2d", "size 3, stride 1, padding 1",
        gr_avg_pool2d(x, 3, .stride = 1, .padding = 1));
    CALL(adaptive_avg_pool2d, "size (2,3)", x, gr_hw(2, 3));
    CALL(global_avg_pool2d, "size 1", x);
    SHOWN("upsample", "", gr_upsample(x, 2));
    SHOWN("upsample", "bilinear", gr_upsample(x, 2, .bilinear = true));
    nothing_failed();
}
END_TEST

START_TEST(losses)
{
    static const gr_reduction all[] = { GR_MEAN, GR_SUM, GR_NONE };
    GR_STEP;
    gr_tensor *x = param(gr_shape(2, 3)), *t = gr_full(gr_shape(2, 3), 0.25),
              *labels = gr_from_ints(gr_shape(2), (const int32_t[]){ 2, 0 });
    for (int i = 0; i < 3; i++) {
        gr_tensor *shown[] = {
            gr_cross_entropy(x, labels, .reduction = all[i]),
            gr_nll(x, labels, .reduction = all[i]),
            gr_mse(x, t, .reduction = all[i]),
            gr_l1(x, t, .reduction = all[i]),
            gr_smooth_l1(x, t, .reduction = all[i]),
            gr_bce_with_logits(x, t, .reduction = all[i]),
            gr_bce_with_logits(x, t, .weight = t, .reduction = all[i]),
            gr_kl_div(x, t, .reduction = all[i]),
            gr_kl_div(x, t, .log_target = true, .reduction = all[i]),
        };
        static const char *const names[] = { "cross_entropy", "nll", "mse", "l1", "smooth_l1",
            "bce_with_logits", "bce_with_logits", "kl_div", "kl_div" };
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
            ck_assert(shown[k] && shown[k]->node);
            ck_assert_str_eq(shown[k]->node->name, names[k]);
        }
    }
    SHOWN("mse", "reduction sum", gr_mse(x, t, .reduction = GR_SUM));
    SHOWN("kl_div", "factor 0.5", gr_kl_div(x, t, .batch_mean = true));
    gr_tensor *one = param(gr_shape(3)), *label = gr_from_ints(SCALAR, (const int32_t[]){ 1 });
    SHOWN("cross_entropy", "", gr_cross_entropy(one, label));
    SHOWN("nll", "", gr_nll(one, label));
    nothing_failed();
}
END_TEST

START_TEST(errors_and_tables)
{
    GR_STEP;
    gr_tensor *x = param(gr_shape(2, 3)),
              *labels = gr_from_ints(gr_shape(2), (const int32_t[]){ 2, 0 });
    gr_tensor  *loss = gr_cross_entropy(x, labels);
    const char *table = gr_explain_format(loss);
    ck_assert_msg(strstr(table, "\n3  cross_entropy "), "%s", table);
    gr_backward(loss);
    FAILS((gr_backward(loss), 0), GR_ERR_GRAPH,
        "backward: the history of cross_entropy () was used up by an earlier backward; keep it "
        "with "
        ".retain_graph");
    gr_tensor *y = gr_conv2d(param(gr_shape(1, 2, 5, 5)), param(gr_shape(2, 2, 3, 3)), .stride = 2);
    table = gr_explain_format(gr_sum(y));
    ck_assert_msg(strstr(table, ";  stride 2\n"), "%s", table);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("calls");
    TCase *t = cases(s, "calls");
    tcase_add_test(t, functions);
    tcase_add_test(t, moves);
    tcase_add_test(t, layers);
    tcase_add_test(t, losses);
    tcase_add_test(t, errors_and_tables);
    return run(s);
}
