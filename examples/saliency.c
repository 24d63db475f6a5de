/* saliency.c: what LeNet looks at. The gradient of a class's score with respect to the image says
   of each pixel whether more ink there would raise the score or lower it (Simonyan, Vedaldi,
   Zisserman, Deep Inside Convolutional Networks, 2014). The mean of the gradients at noisy copies
   of the image says it more calmly (Smilkov, Thorat, Kim, Viegas, Wattenberg, SmoothGrad, 2017). */
#include "common.h"
#include "digits.h"
#include "lenet.h"

#include <stdio.h>

/* What the command line may change. */
static const char *data, *save, *load, *out = "saliency.png";
static int64_t     epochs = 2, batch_size = 64, seed = 1, threads = 0, copies = 50;
static double      lr = 0.02, noise = 0.6;

/* d score / d x, the score of an image being that of the class the network decides on. One scan
   backward serves all images: the score of one does not depend on another. */
static gr_tensor *gradient(gr_model *net, gr_tensor *x) /* (N,1,28,28) -> (N,1,28,28) */
{
    gr_param(x);
    gr_tensor *score = gr_max(lenet(net, x), .axes = GR_DIMS(1));
    return gr_grad(gr_sum(score), x);
}

/* The sum of the gradients at noisy copies of x. */
static gr_tensor *smooth_gradient(gr_model *net, gr_tensor *x)
{
    gr_rng     rng = gr_rng_of((uint64_t)seed, "noise");
    gr_tensor *sum = gr_zeros(gr_shape_of(x));
    for (int64_t i = 0; i < copies; i++)
        sum = gr_add(sum, gradient(net, gr_add(x, gr_normal(gr_shape_of(x), &rng, 0, noise))));
    return sum;
}

/* Red where g > 0 and blue where g < 0, brightest where |g| is largest, over the digit in dark
   grey. */
static gr_tensor *coloured(gr_tensor *g, gr_tensor *ink) /* (N,1,28,28), twice -> (N,3,28,28) */
{
    gr_tensor *most = gr_max(gr_abs(g), .axes = GR_DIMS(1, 2, 3), .keepdim = true);
    gr_tensor *grey = gr_scale(ink, 0.3), *part = gr_div(g, most);
    gr_tensor *red = gr_add(grey, gr_relu(part)), *blue = gr_add(grey, gr_relu(gr_neg(part)));
    return gr_concat(GR_TENSORS(red, grey, blue), 1);
}

/* A test digit of each class, in their order. */
static gr_tensor *one_of_each(gr_loader *loader)
{
    gr_tensor *digits[10];
    int        n = 0;
    gr_batch   batch;
    while (n < 10 && gr_next_batch(loader, &batch))
        if (gr_ints(batch.targets)[0] == n) digits[n++] = gr_copy(batch.inputs);
    return gr_concat(digits, n, 0);
}

static void draw(gr_model *net, gr_dataset *digits)
{
    GR_STEP;
    gr_loader *loader =
        gr_loader_open(digits, 1, .in_order = true, .mean = LENET_MEAN, .std = LENET_STD);
    gr_tensor *x = one_of_each(loader);
    gr_tensor *ink = gr_add(gr_scale(x, LENET_STD), gr_scalar(LENET_MEAN)); /* from 0 to 1 again */
    gr_tensor *digit = gr_concat(GR_TENSORS(ink, ink, ink), 1);
    gr_tensor *plain = coloured(gradient(net, gr_copy(x)), ink),
              *smooth = coloured(smooth_gradient(net, x), ink);
    gr_tensor *rows = gr_concat(GR_TENSORS(digit, plain, smooth), 0);
    gr_picture_save(out, gr_upsample(rows, 4), .columns = gr_size(x, 0));
    printf("%s shows digits above the gradient of their score, and its mean over noisy copies: red "
           "where ink helps, blue where it hurts\n",
        out);
    gr_loader_close(loader);
}

static void train(gr_model *net, gr_dataset *digits)
{
    gr_loader *loader = gr_loader_open(
        digits, batch_size, .seed = (uint64_t)seed, .mean = LENET_MEAN, .std = LENET_STD);
    gr_optim *sgd = gr_sgd(net, .lr = lr, .momentum = 0.9);
    run       r = run_begin(epochs, gr_dataset_count(digits),
              (gr_checkpoint_options){ net, .optim = sgd, .loader = loader });
    gr_batch  batch;
    while (run_epoch(&r))
        while (gr_next_batch(loader, &batch)) {
            GR_STEP;
            run_step(&r, batch.count,
                gr_minimize(sgd, gr_cross_entropy(lenet(net, batch.inputs), batch.targets)));
        }
    gr_optim_free(sgd);
    gr_loader_close(loader);
}

static const option options[] = {
    { "data", .text = &data,
        .help = "DIR: a folder with the four files of MNIST; without it, drawn digits" },
    { "load", .text = &load,
        .help = "FILE: weights that lenet or this program has saved; then nothing is trained" },
    { "epochs", .integer = &epochs, .low = 1, .high = 1000000,
        .help = "passes over the training digits" },
    { "batch", .integer = &batch_size, .low = 1, .high = 100000, .help = "digits per step" },
    { "lr", .real = &lr, .low = 1e-9, .high = 1000, .help = "learning rate" },
    { "copies", .integer = &copies, .low = 1, .high = 1000000,
        .help = "number of noisy copies for the mean" },
    { "noise", .real = &noise, .low = 0, .high = 1000,
        .help = "standard deviation of their noise; that of all pixels is 1" },
    { "seed", .integer = &seed, .low = 0, .high = 1e15,
        .help = "of the initialisation, the order of the digits and the noise" },
    { "threads", .integer = &threads, .low = 0, .high = 1024,
        .help = "0: all processors; the result is bit-identical" },
    { "save", .text = &save, .help = "FILE: where to write the weights, as safetensors" },
    CHECKPOINT_OPTIONS,
    { "out", .text = &out, .help = "FILE: where to write the picture (saliency.png)" },
    { 0 },
};

int main(int argc, char **argv)
{
    read_options(argc, argv,
        "Shows where more ink would raise LeNet's score of a digit, and where it would lower it.",
        options);
    if (load && (save || checkpoint_file))
        quit("--load does not train, so there is nothing to %s", save ? "--save" : "--checkpoint");
    check_writable(save);
    check_writable(out);
    gr_set_threads((int)threads);

    gr_model   *net = gr_model_build(lenet, gr_shape(1, 1, 28, 28), .seed = (uint64_t)seed);
    gr_dataset *training = load ? NULL : digits_of(data, true), *testing = digits_of(data, false);
    if (load)
        gr_load(net, load);
    else
        train(net, training);
    if (save) gr_save(net, save);
    draw(net, testing);

    gr_dataset_free(training);
    gr_dataset_free(testing);
    gr_model_free(net);
    return 0;
}
