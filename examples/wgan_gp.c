/* wgan_gp.c: a generative network with gradient penalty. A generator makes digits out of noise; a
   critic learns to score real digits high and made ones low, and the generator to raise the score
   of what it makes. Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville, Improved Training of
   Wasserstein GANs, 2017, algorithm 1: the critic's slope is held near 1 between real and made
   digits by a penalty, which contains a gradient, so that training the critic takes a second
   derivative through its convolutions. */
#include "common.h"
#include "digits.h"
#include "lenet.h"

#include <stdio.h>

/* What the command line may change. */
static const char *data, *save, *load, *judge, *out = "samples.png";
static int64_t     epochs = 10, batch_size = 64, critic_steps = 2, seed = 1, threads = 0;
static double      lr = 0.002;

enum { NOISE = 64, WIDTH = 16, PENALTY = 10 };

/* (N,NOISE) -> (N,1,28,28), ink from 0 to 1 */
static gr_tensor *generator(gr_model *m, gr_tensor *z)
{
    z = gr_reshape(gr_nn_linear(m, "fc", z, 2 * WIDTH * 7 * 7), gr_shape(-1, 2 * WIDTH, 7, 7));
    z = gr_nn_batch_norm2d(m, "bn1", z, .act = GR_RELU);
    /* (N,WIDTH,14,14) */
    z = gr_nn_conv_transpose2d(m, "conv1", z, WIDTH, 4, .stride = 2, .padding = 1, .no_bias = true);
    z = gr_nn_batch_norm2d(m, "bn2", z, .act = GR_RELU);
    return gr_nn_conv_transpose2d(
        m, "conv2", z, 1, 4, .stride = 2, .padding = 1, .act = GR_SIGMOID);
}

static gr_tensor *critic(gr_model *m, gr_tensor *x) /* (N,1,28,28) -> (N,1), any number */
{
    /* (N,WIDTH,14,14) */
    x = gr_leaky_relu(gr_nn_conv2d(m, "conv1", x, WIDTH, 4, .stride = 2, .padding = 1), 0.2);
    /* (N,2 WIDTH,7,7) */
    x = gr_leaky_relu(gr_nn_conv2d(m, "conv2", x, 2 * WIDTH, 4, .stride = 2, .padding = 1), 0.2);
    return gr_nn_linear(m, "fc", gr_flatten(x), 1);
}

static gr_tensor *generate(gr_model *g, int64_t count, gr_rng *rng)
{
    return generator(g, gr_normal(gr_shape(count, NOISE), rng, 0, 1));
}

/* mean of (|d critic(x) / d x| - 1)^2 over points x somewhere between a real and a made digit. */
static gr_tensor *gradient_penalty(gr_model *c, gr_tensor *real, gr_tensor *made, gr_rng *rng)
{
    gr_tensor *t = gr_uniform(gr_shape(gr_size(real, 0), 1, 1, 1), rng, 0, 1);
    gr_tensor *x = gr_param(gr_add(real, gr_mul(t, gr_sub(made, real))));
    /* (N,1,28,28): a tensor with a gradient of its own */
    gr_tensor *slope = gr_grad(gr_sum(critic(c, x)), x, .create_graph = true);
    gr_tensor *excess = gr_sub(gr_norm(gr_flatten(slope), .axes = GR_DIMS(1)), gr_scalar(1));
    return gr_mean(gr_mul(excess, excess));
}

static gr_tensor *critic_loss(gr_model *c, gr_model *g, gr_tensor *real, gr_rng *rng)
{
    gr_tensor *made = gr_detach(generate(g, gr_size(real, 0), rng));
    gr_tensor *penalty = gradient_penalty(c, real, made, rng);
    gr_tensor *distance = gr_sub(gr_mean(critic(c, real)), gr_mean(critic(c, made)));
    return gr_sub(gr_scale(penalty, PENALTY), distance);
}

static gr_tensor *generator_loss(gr_model *g, gr_model *c, gr_rng *rng)
{
    return gr_neg(gr_mean(critic(c, generate(g, batch_size, rng))));
}

static gr_optim *adam(gr_model *m) { return gr_adam(m, .lr = lr, .no_beta1 = true, .beta2 = 0.9); }

/* Digits out of noise that is always the same, in eval mode. */
static gr_tensor *samples(gr_model *g, int64_t count, const char *noise)
{
    gr_rng rng = gr_rng_of((uint64_t)seed, noise);
    gr_model_eval(g);
    return generate(g, count, &rng);
}

static void train(gr_model *g, gr_dataset *digits)
{
    gr_model  *c = gr_model_build(critic, gr_shape(1, 1, 28, 28), .seed = (uint64_t)seed);
    gr_optim  *adam_c = adam(c), *adam_g = adam(g);
    gr_loader *loader =
        gr_loader_open(digits, batch_size, .seed = (uint64_t)seed, .drop_last = true);
    gr_rng   rng = gr_rng_of((uint64_t)seed, "noise");
    run      r = run_begin(epochs, gr_dataset_count(digits),
             (gr_checkpoint_options){ c, .optim = adam_c, .loader = loader,
                 .values = (gr_value[]){ { "noise", .rng = &rng }, { 0 } },
                 .also = &(gr_checkpoint_options){ g, .optim = adam_g } });
    gr_batch batch;
    while (run_epoch(&r)) {
        while (gr_next_batch(loader, &batch)) {
            GR_STEP;
            double loss = gr_minimize(adam_c, critic_loss(c, g, batch.inputs, &rng));
            if (r.steps % critic_steps == 0) {
                gr_model_freeze(c, ""); /* the critic judges, but does not learn from this */
                gr_minimize(adam_g, generator_loss(g, c, &rng));
                gr_model_unfreeze(c, "");
            }
            run_step(&r, batch.count, loss); /* the critic's */
        }
        GR_STEP;
        if (r.report)
            gr_report_pictures(
                r.report, "generated digits", samples(g, 60, "picture"));
        gr_model_train(g);
    }
    gr_loader_close(loader);
    gr_optim_free(adam_c), gr_optim_free(adam_g), gr_model_free(c);
}

/* Has LeNet read 1000 made digits. */
static void count_classes(gr_model *g, gr_model *net)
{
    GR_STEP;
    gr_tensor *x =
        gr_scale(gr_sub(samples(g, 1000, "judge"), gr_scalar(LENET_MEAN)), 1 / LENET_STD);
    const int32_t *class = gr_ints(gr_argmax(lenet(net, x), 1));
    int count[10] = { 0 }, found = 0;
    for (int i = 0; i < 1000; i++) count[class[i]]++;
    for (int digit = 0; digit < 10; digit++) {
        printf("%d: %d  ", digit, count[digit]);
        found += count[digit] > 0;
    }
    printf("\nclasses found: %d of 10\n", found);
}

static const option options[] = {
    { "data", .text = &data,
        .help = "DIR: a folder with the four files of MNIST; without it, drawn digits" },
    { "epochs", .integer = &epochs, .low = 1, .high = 1000000,
        .help = "passes over the real digits" },
    { "batch", .integer = &batch_size, .low = 1, .high = 100000, .help = "digits per step" },
    { "critic-steps", .integer = &critic_steps, .low = 1, .high = 1000000,
        .help = "steps of the critic for each of the generator" },
    { "lr", .real = &lr, .low = 1e-9, .high = 1000, .help = "learning rate of both" },
    { "seed", .integer = &seed, .low = 0, .high = 1e15,
        .help = "of the initialisation, the order of the digits and the noise" },
    { "threads", .integer = &threads, .low = 0, .high = 1024,
        .help = "0: all processors; the result is bit-identical" },
    CHECKPOINT_OPTIONS,
    REPORT_OPTION,
    { "save", .text = &save,
        .help = "FILE: where to write the generator's weights, as safetensors" },
    { "load", .text = &load, .help = "FILE: a generator that was saved; nothing is trained" },
    { "out", .text = &out, .help = "FILE: where to write the picture of samples (samples.png)" },
    { "judge", .text = &judge,
        .help = "FILE: weights of lenet, to read 1000 samples and count the classes" },
    { 0 },
};

int main(int argc, char **argv)
{
    read_options(argc, argv, "Learns to make digits out of noise; writes a picture of 100 of them.",
        options);
    if (load) trains_nothing("--load", save);
    check_writable(save), check_writable(out);
    gr_set_threads((int)threads);

    gr_model *g = gr_model_build(generator, gr_shape(1, NOISE), .seed = (uint64_t)seed);
    gr_model *net = gr_model_build(lenet, gr_shape(1, 1, 28, 28));
    if (judge) gr_load(net, judge);
    if (load) gr_load(g, load);
    gr_dataset *digits = load ? NULL : digits_of(data, true);
    if (digits) train(g, digits);
    gr_dataset_free(digits);
    if (save) gr_save(g, save);
    GR_STEP;
    gr_picture_save(out, samples(g, 100, "picture"));
    printf("%s shows 100 generated digits\n", out);
    if (judge) count_classes(g, net);
    gr_model_free(net), gr_model_free(g);
    return 0;
}
