/* lenet.h: the model that lenet trains and predict uses, and the numbers that it wants to see. */
#ifndef EXAMPLES_LENET_H
#define EXAMPLES_LENET_H

#include <gradus.h>

/* LeNet-5 (LeCun, Bottou, Bengio, Haffner, 1998) with ReLU and max pooling. A model is its forward
   function. A layer makes its parameters, by name, the first time the model is run. */
static inline gr_tensor *lenet(gr_model *m, gr_tensor *x) /* (N,1,28,28) -> (N,10) */
{
    /* (N,6,14,14) */
    x = gr_max_pool2d(gr_nn_conv2d(m, "conv1", x, 6, 5, .padding = 2, .act = GR_RELU), 2);
    /* (N,16,5,5) */
    x = gr_max_pool2d(gr_nn_conv2d(m, "conv2", x, 16, 5, .act = GR_RELU), 2);
    /* (N,400) */
    x = gr_flatten(x);
    x = gr_nn_linear(m, "fc1", x, 120, .act = GR_RELU);
    x = gr_nn_linear(m, "fc2", x, 84, .act = GR_RELU);
    return gr_nn_linear(m, "fc3", x, 10);
}

/* A pixel is (byte / 255 - mean) / std: over MNIST that has mean 0 and standard deviation 1. */
#define LENET_MEAN 0.1307
#define LENET_STD 0.3081

#endif
