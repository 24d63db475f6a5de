/* pages.c: writes the pages that tests/test_browser.py opens, and what must stand in them, a line a
   number: PAGE OPERATION gX|gK|Y, four indices, value. The values come from gr_grads, not from what
   writes pages. */
#include "gradus.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../examples/resnet20.h"

static const char *folder;

static void check(bool good)
{
    if (good && !gr_error()) return;
    fprintf(stderr, "pages: %s\n", gr_error() ? gr_error() : "failed");
    exit(EXIT_FAILURE);
}

static void write_page(gr_tensor *loss, const char *page)
{
    check(gr_trace_html(gr_named(loss, "loss"), gr_name("%s/%s.html", folder, page)));
}

/* Some numbers of a tensor whose indices are under these. */
static void facts(
    const char *page, int operation, const char *key, const gr_tensor *t, const int *under)
{
    gr_rng rng = gr_rng_of((uint64_t)operation, key);
    check(t);
    for (int i = 0; i < 3; i++) {
        int64_t at = 0;
        printf("%s %d %s", page, operation, key);
        for (int d = 0; d < 4; d++) {
            int64_t index = gr_rng_below(&rng, under[d]);
            at = at * gr_size(t, d) + index;
            printf(" %lld", (long long)index);
        }
        printf(" %.9g\n", (double)gr_data(t)[at]);
    }
}

/* The gradient of a convolution's input and kernel, and its result. */
static void facts_of(const char *page, int operation, gr_tensor *loss, gr_tensor *x, gr_tensor *k,
    gr_tensor *y, const int under[3][4])
{
    gr_tensor *g[2];
    check(gr_grads(loss, (gr_tensor *[]){ x, k }, 2, g, (gr_grad_options){ .retain_graph = true }));
    facts(page, operation, "gX", g[0], under[0]);
    facts(page, operation, "gK", g[1], under[1]);
    facts(page, operation, "Y", y, under[2]);
}

static gr_tensor *pooled, *second;

static gr_tensor *lenet(gr_model *m, gr_tensor *x)
{
    x = pooled = gr_max_pool2d(gr_nn_conv2d(m, "conv1", x, 6, 5, .padding = 2, .act = GR_RELU), 2);
    x = gr_max_pool2d(second = gr_nn_conv2d(m, "conv2", x, 16, 5, .act = GR_RELU), 2);
    x = gr_nn_linear(m, "fc1", gr_flatten(x), 120, .act = GR_RELU);
    x = gr_nn_linear(m, "fc2", x, 84, .act = GR_RELU);
    return gr_named(gr_nn_linear(m, "fc3", x, 10), "logits");
}

/* A batch of 20, of which the page holds 8 images. */
static void page_of_lenet(void)
{
    gr_dataset *digits = gr_digits(20, 1);
    gr_loader  *loader = gr_loader_open(digits, 20, .in_order = true);
    gr_model   *m = gr_model_build(lenet, gr_shape(1, 1, 28, 28), .seed = 1);
    gr_batch    batch;
    check(gr_next_batch(loader, &batch));
    {
        GR_STEP;
        gr_tensor *loss =
            gr_cross_entropy(lenet(m, gr_named(batch.inputs, "images")), batch.targets);
        write_page(loss, "lenet");
        facts_of("lenet", 3, loss, pooled, gr_model_get(m, "conv2.weight"), second,
            (const int[3][4]){ { 8, 6, 14, 14 }, { 16, 6, 5, 5 }, { 8, 16, 10, 10 } });
    }
    gr_model_free(m);
    gr_loader_close(loader);
    gr_dataset_free(digits);
}

static void page_of_resnet20(void)
{
    gr_dataset *shapes = gr_shapes(4, 1);
    gr_loader  *loader = gr_loader_open(shapes, 4, .in_order = true);
    gr_model   *m = gr_model_build(resnet20, gr_shape(1, 3, 32, 32), .seed = 1);
    gr_batch    batch;
    check(gr_next_batch(loader, &batch));
    {
        GR_STEP;
        write_page(gr_cross_entropy(resnet20(m, gr_named(batch.inputs, "images")), batch.targets),
            "resnet20");
    }
    gr_model_free(m);
    gr_loader_close(loader);
    gr_dataset_free(shapes);
}

/* Everything at once: stride, padding, dilation, groups, an activation, an input that is used
   elsewhere too, and more than a page holds. */
static void page_of_a_convolution(void)
{
    GR_STEP;
    gr_rng     rng = gr_rng_of(1, "pages");
    gr_tensor *x = gr_named(gr_param(gr_uniform(gr_shape(10, 64, 70, 64), &rng, -1, 1)), "x");
    gr_tensor *k = gr_named(gr_param(gr_uniform(gr_shape(64, 16, 3, 2), &rng, -0.1, 0.1)), "k");
    gr_tensor *b = gr_named(gr_param(gr_uniform(gr_shape(64), &rng, -1, 1)), "b");
    gr_tensor *y =
        gr_named(gr_conv2d(x, k, .bias = b, .stride_hw = { 2, 1 }, .padding_hw = { 1, 2 },
                     .dilation_hw = { 1, 2 }, .groups = 4, .act = GR_TANH),
            "y");
    gr_tensor *loss = gr_add(gr_mean(gr_mul(y, y)), gr_mean(gr_mul(x, x)));
    write_page(loss, "conv");
    gr_tensor *w =
        gr_param(gr_copy(x)); /* the same convolution alone, for its own part of the gradient */
    gr_tensor *same = gr_conv2d(w, k, .bias = b, .stride_hw = { 2, 1 }, .padding_hw = { 1, 2 },
        .dilation_hw = { 1, 2 }, .groups = 4, .act = GR_TANH);
    facts_of("conv", 1, gr_mean(gr_mul(same, same)), w, k, same,
        (const int[3][4]){ { 1, 4, 70, 64 }, { 4, 4, 3, 2 }, { 1, 4, 35, 66 } });
}

/* Names that want out of their page. */
static void page_of_names(void)
{
    static const char *const odd[] = { "\"><script>hacked = 1</script>.weight",
        "</script><script>hacked = 2</script>", "<img src=x onerror='hacked = 3'>", "<!--<script>",
        "');hacked=4;('", "\xe2\x80\xa8\xe2\x80\xae\xff", "__proto__", "constructor.weight",
        "&lt;b&gt;", "a.b.c.weight", "a.b.d.weight" };
    GR_STEP;
    gr_tensor *y = NULL;
    for (int i = 0; i < (int)(sizeof odd / sizeof *odd); i++) {
        gr_tensor *p = gr_named(gr_param(gr_ones(gr_shape(1, 1, 3, 3))), odd[i]),
                  *x = y ? y : gr_named(gr_ones(gr_shape(1, 1, 4, 4)), odd[i]);
        y = gr_named(gr_conv2d(x, p, .padding = 1), odd[i]);
    }
    write_page(gr_sum(y), "names");
}

/* What is no number, what is none at all, whole numbers, and more dimensions than a picture has. */
static void page_of_odd_numbers(void)
{
    GR_STEP;
    gr_tensor *none = gr_named(gr_param(gr_zeros(gr_shape(2, 0, 3))), "none"),
              *nan = gr_param(gr_full(gr_shape(3, 3), NAN));
    gr_tensor *deep = gr_named(gr_param(gr_full(gr_shape(2, 2, 2, 3, 4), INFINITY)), "deep");
    gr_tensor *labels = gr_named(gr_from_ints(gr_shape(3), (const int32_t[]){ 0, 1, 2 }), "labels");
    gr_tensor *sum = gr_add(gr_sum(gr_mul(none, none)), gr_sum(gr_scale(deep, 0)));
    write_page(gr_add(sum, gr_cross_entropy(nan, labels)), "odd");
    write_page(gr_param(gr_scalar(2)), "alone");
}

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    folder = argv[1];
    page_of_lenet();
    page_of_resnet20();
    page_of_a_convolution();
    page_of_names();
    page_of_odd_numbers();
    return 0;
}
