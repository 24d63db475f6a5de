/* lenet.h: the networks, and the batch, that several tests train. */
#ifndef TESTS_LENET_H
#define TESTS_LENET_H

#include "gradus.h"

static inline gr_tensor *lenet(gr_model *m, gr_tensor *x)
{
    x = gr_max_pool2d(gr_nn_conv2d(m, "conv1", x, 6, 5, .padding = 2, .act = GR_RELU), 2);
    x = gr_max_pool2d(gr_nn_conv2d(m, "conv2", x, 16, 5, .act = GR_RELU), 2);
    x = gr_flatten(x);
    x = gr_nn_linear(m, "fc1", x, 120, .act = GR_RELU);
    x = gr_nn_linear(m, "fc2", x, 84, .act = GR_RELU);
    return gr_nn_linear(m, "fc3", x, 10);
}

/* A smaller one with every kind of normalisation, and so with buffers. */
static inline gr_tensor *normed(gr_model *m, gr_tensor *x)
{
    x = gr_nn_batch_norm2d(
        m, "bn1", gr_nn_conv2d(m, "conv1", x, 6, 5, .no_bias = true), .act = GR_RELU);
    x = gr_nn_group_norm(m, "gn1", gr_nn_dropout2d(m, "drop1", x, 0.2), 2);
    x = gr_nn_batch_norm2d(
        m, "bn2", gr_nn_conv2d(m, "conv2", x, 8, 3, .stride = 4), .act = GR_TANH);
    x = gr_nn_layer_norm(m, "ln", gr_flatten(x));
    return gr_nn_linear(m, "fc", x, 10);
}

/* n pictures of noise about a mean that tells the class, so that there is something to learn. The
   caller's. */
static inline void noise_batch(uint64_t seed, int n, gr_tensor **images, gr_tensor **labels)
{
    gr_rng  rng = gr_rng_of(seed, "noise");
    int32_t label[64];
    *images = gr_uniform(gr_shape(n, 1, 28, 28), &rng, 0, 1);
    for (int i = 0; i < n; i++) {
        label[i] = (int32_t)gr_rng_below(&rng, 10);
        for (int p = 0; *images && p < 784; p++)
            gr_data_mut(*images)[784 * i + p] *= (gr_real)(0.1 + 0.1 * label[i]);
    }
    *labels = gr_from_ints(gr_shape(n), label);
}

static inline double lenet_step(gr_model *net, gr_optim *o, gr_tensor *images, gr_tensor *labels)
{
    GR_STEP;
    return gr_minimize(o, gr_cross_entropy(lenet(net, images), labels));
}

static inline double normed_step(gr_model *net, gr_optim *o, gr_tensor *images, gr_tensor *labels)
{
    GR_STEP;
    return gr_minimize(o, gr_cross_entropy(normed(net, images), labels, .smoothing = 0.1,
                              .weight = gr_full(gr_shape(10), 1.5)));
}

/* One number that tells two sets of weights apart, by their bits. */
static inline uint64_t fingerprint(const gr_model *m)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (int i = 0; i < gr_model_count(m); i++) {
        gr_tensor           *t = gr_model_at(m, i);
        const unsigned char *b = (const unsigned char *)gr_data(t);
        for (size_t k = 0; k < (size_t)gr_count(t) * sizeof(gr_real); k++)
            hash = (hash ^ b[k]) * 0x100000001b3u;
    }
    return hash;
}

#endif
