/* resnet20.h: ResNet-20 for pictures of 32 x 32 (He, Zhang, Ren, Sun, Deep Residual Learning for
   Image Recognition, 2015, section 4.2). */
#ifndef EXAMPLES_RESNET20_H
#define EXAMPLES_RESNET20_H

#include <gradus.h>

static inline gr_tensor *conv3x3(
    gr_model *m, const char *name, gr_tensor *x, int64_t filters, int stride)
{
    return gr_nn_conv2d(m, name, x, filters, 3, .stride = stride, .padding = 1, .no_bias = true);
}

/* Option A, without parameters: every second pixel, and zeros in the channels that x lacks. */
static inline gr_tensor *shortcut(gr_tensor *x, int64_t filters, int stride)
{
    x = gr_slice(gr_slice(x, 2, 0, GR_END, .step = stride), 3, 0, GR_END, .step = stride);
    return gr_pad(x, gr_shape(0, 0, 0, 0), .after = gr_shape(0, filters - gr_size(x, 1), 0, 0));
}

/* y = relu(x + F(x)), F being two convolutions. */
static inline gr_tensor *block(
    gr_model *m, const char *name, gr_tensor *x, int64_t filters, int stride)
{
    gr_tensor *y = conv3x3(m, gr_name("%s.conv1", name), x, filters, stride);
    y = gr_nn_batch_norm2d(m, gr_name("%s.bn1", name), y, .act = GR_RELU);
    y = conv3x3(m, gr_name("%s.conv2", name), y, filters, 1);
    y = gr_nn_batch_norm2d(m, gr_name("%s.bn2", name), y);
    bool same = stride == 1 && gr_size(x, 1) == filters;
    return gr_relu(gr_add(same ? x : shortcut(x, filters, stride), y));
}

static inline gr_tensor *resnet20(gr_model *m, gr_tensor *x) /* (N,3,32,32) -> (N,10) */
{
    x = gr_nn_batch_norm2d(m, "bn1", conv3x3(m, "conv1", x, 16, 1), .act = GR_RELU);
    for (int stage = 0; stage < 3; stage++) /* (N,16,32,32), (N,32,16,16), (N,64,8,8) */
        for (int i = 0; i < 3; i++)
            x = block(m, gr_name("layer%d.%d", stage + 1, i), x, 16 << stage,
                stage > 0 && i == 0 ? 2 : 1);
    return gr_nn_linear(m, "fc", gr_flatten(gr_global_avg_pool2d(x)), 10);
}

#endif
