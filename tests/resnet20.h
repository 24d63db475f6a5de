/* resnet20.h: the network of He et al., Deep Residual Learning for Image Recognition, 2015, section 4.2, for CIFAR, with shortcuts A. Names are
   those of PyTorch's modules in tests/parity/resnet20.py. */
#ifndef TESTS_RESNET20_H
#define TESTS_RESNET20_H

#include "gradus.h"

static inline gr_tensor *resnet20_layer(gr_model *m, const char *block, int i, gr_tensor *x, int channels, int stride, gr_act act)
{
    x = gr_nn_conv2d(m, gr_name("%sconv%d", block, i), x, channels, 3, .stride = stride, .padding = 1, .no_bias = true);
    return gr_nn_batch_norm2d(m, gr_name("%sbn%d", block, i), x, .act = act);
}

/* Two layers, and past them x itself: where the picture is halved every second row and column of it, and channels of zeros after its own. */
static inline gr_tensor *resnet20_block(gr_model *m, const char *name, gr_tensor *x, int channels, int stride)
{
    gr_tensor *y = resnet20_layer(m, name, 1, x, channels, stride, GR_RELU);
    y = resnet20_layer(m, name, 2, y, channels, 1, GR_NO_ACT);
    x = gr_slice(gr_slice(x, 2, 0, GR_END, .step = stride), 3, 0, GR_END, .step = stride);
    x = gr_pad(x, GR_DIMS(0, 0, 0, 0), .after = GR_DIMS(0, channels - (int)gr_size(x, 1), 0, 0));
    return gr_relu(gr_add(y, x));
}

/* (N,3,H,W) -> (N,10) */
static inline gr_tensor *resnet20(gr_model *m, gr_tensor *x)
{
    x = resnet20_layer(m, "", 1, x, 16, 1, GR_RELU);
    for (int stage = 1; stage <= 3; stage++)
        for (int i = 0; i < 3; i++) x = resnet20_block(m, gr_name("layer%d.%d.", stage, i), x, 8 << stage, stage > 1 && i == 0 ? 2 : 1);
    return gr_nn_linear(m, "fc", gr_flatten(gr_global_avg_pool2d(x)), 10);
}

#endif
