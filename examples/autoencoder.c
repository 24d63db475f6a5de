/* autoencoder.c: squeezes each digit into 32 numbers and draws it again from these alone. Writes a
   picture of digits above what became of them. */
#include "common.h"
#include "digits.h"

#include <stdio.h>

/* What the command line may change. */
static const char *data, *save, *load, *out = "autoencoder.png";
static int64_t     epochs = 3, batch_size = 64, seed = 1, threads = 0;
static double      lr = 0.003;
static bool        eval;

enum { CODE = 32 };

static gr_tensor *encoder(gr_model *m, gr_tensor *x) /* (N,1,28,28) -> (N,CODE) */
{
    /* (N,16,14,14) */
    x = gr_nn_conv2d(m, "conv1", x, 16, 4, .stride = 2, .padding = 1, .act = GR_RELU);
    /* (N,32,7,7) */
    x = gr_nn_conv2d(m, "conv2", x, 32, 4, .stride = 2, .padding = 1, .act = GR_RELU);
    return gr_nn_linear(m, "fc1", gr_flatten(x), CODE);
}

/* The same way back: a transposed convolution undoes the shape of a convolution. */
static gr_tensor *decoder(gr_model *m, gr_tensor *x) /* (N,CODE) -> (N,1,28,28), ink from 0 to 1 */
{
    x = gr_nn_linear(m, "fc2", x, 32 * 7 * 7, .act = GR_RELU);
    x = gr_reshape(x, gr_shape(-1, 32, 7, 7));
    /* (N,16,14,14) */
    x = gr_nn_conv_transpose2d(m, "conv3", x, 16, 4, .stride = 2, .padding = 1, .act = GR_RELU);
    return gr_nn_conv_transpose2d(
        m, "conv4", x, 1, 4, .stride = 2, .padding = 1, .act = GR_SIGMOID);
}

static gr_tensor *autoencoder(gr_model *m, gr_tensor *x) { return decoder(m, encoder(m, x)); }

/* The mean square of what a pixel of a digit is off. */
static double error_of(gr_model *net, gr_dataset *digits)
{
    GR_NO_GRAD;
    gr_loader *loader = gr_loader_open(digits, 500, .in_order = true);
    double     error = 0;
    gr_batch   batch;
    while (gr_next_batch(loader, &batch)) {
        GR_STEP;
        error +=
            (double)batch.count * gr_item(gr_mse(autoencoder(net, batch.inputs), batch.inputs));
    }
    gr_loader_close(loader);
    return error / (double)gr_dataset_count(digits);
}

/* Rows of 12 digits, each above what has become of them. */
static gr_tensor *redrawn(gr_model *net, gr_dataset *digits)
{
    GR_NO_GRAD;
    gr_loader *loader = gr_loader_open(digits, 12, .in_order = true, .drop_last = true);
    gr_tensor *rows[8];
    int        n = 0;
    gr_batch   batch;
    while (n < 8 && gr_next_batch(loader, &batch)) {
        rows[n++] = gr_copy(batch.inputs);
        rows[n++] = autoencoder(net, batch.inputs);
    }
    gr_loader_close(loader);
    return gr_concat(rows, n, 0);
}

static void train(gr_model *net, gr_dataset *digits, gr_dataset *testing)
{
    gr_loader *loader = gr_loader_open(digits, batch_size, .seed = (uint64_t)seed);
    gr_optim  *adam = gr_adam(net, .lr = lr);
    run        r = run_begin(epochs, gr_dataset_count(digits),
               (gr_checkpoint_options){ net, .optim = adam, .loader = loader });
    gr_batch   batch;
    while (run_epoch(&r)) {
        while (gr_next_batch(loader, &batch)) {
            GR_STEP;
            if (r.epoch == epochs) /* the last epoch comes to rest */
                gr_optim_set_lr(adam, lr * (1 - (double)r.done / (double)r.images));
            /* the digits are their own labels */
            gr_tensor *loss = gr_mse(autoencoder(net, batch.inputs), batch.inputs);
            run_step(&r, batch.count, gr_minimize(adam, loss));
        }
        if (!r.report) continue;
        GR_STEP;
        gr_report_value(r.report, "test error", error_of(net, testing));
        gr_report_pictures(
            r.report, "test digits above what became of them", redrawn(net, testing));
    }
    gr_optim_free(adam);
    gr_loader_close(loader);
}

static void test(gr_model *net, gr_dataset *digits)
{
    GR_STEP;
    printf("test error %.4f, the mean squared error of a pixel, ink being 1\n",
        error_of(net, digits));
    gr_picture_save(out, redrawn(net, digits), .columns = 12);
    printf("%s shows test digits, each row above its reconstruction\n", out);
}

static const option options[] = {
    { "data", .text = &data,
        .help = "DIR: a folder with the four files of MNIST; without it, drawn digits" },
    { "epochs", .integer = &epochs, .low = 1, .high = 1000000,
        .help = "passes over the training digits" },
    { "batch", .integer = &batch_size, .low = 1, .high = 100000, .help = "digits per step" },
    { "lr", .real = &lr, .low = 1e-9, .high = 1000,
        .help = "learning rate; decays to 0 during the last epoch" },
    { "seed", .integer = &seed, .low = 0, .high = 1e15,
        .help = "of the initialisation and the order of the digits" },
    { "threads", .integer = &threads, .low = 0, .high = 1024,
        .help = "0: all processors; the result is bit-identical" },
    { "save", .text = &save, .help = "FILE: where to write the weights, as safetensors" },
    { "load", .text = &load, .help = "FILE: initial weights" },
    { "eval", .flag = &eval, .help = "test only; requires --load" },
    CHECKPOINT_OPTIONS,
    REPORT_OPTION,
    { "out", .text = &out, .help = "FILE: where to write the picture (autoencoder.png)" },
    { 0 },
};

int main(int argc, char **argv)
{
    read_options(argc, argv,
        "Learns to draw digits again from 32 numbers each; writes a picture of digits above what "
        "became of them.",
        options);
    if (eval && !load) quit("--eval requires weights: --load FILE");
    if (eval) trains_nothing("--eval", save);
    check_writable(save);
    check_writable(out);
    gr_set_threads((int)threads);

    gr_model *net = gr_model_build(autoencoder, gr_shape(1, 1, 28, 28), .seed = (uint64_t)seed);
    if (load) gr_load(net, load);
    gr_dataset *training = eval ? NULL : digits_of(data, true), *testing = digits_of(data, false);
    if (!eval) train(net, training, testing);
    if (save) gr_save(net, save);
    test(net, testing);

    gr_dataset_free(training);
    gr_dataset_free(testing);
    gr_model_free(net);
    return 0;
}
