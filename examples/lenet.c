/* lenet.c: trains LeNet-5 on handwritten digits, then says how many of the test digits it knows.
   The model is in lenet.h. */
#include "common.h"
#include "digits.h"
#include "lenet.h"

#include <stdio.h>

/* What the command line may change. */
static const char *data, *save, *load;
static int64_t     epochs = 3, batch_size = 64, seed = 1, threads = 0;
static double      lr = 0.02, momentum = 0.9;
static bool        eval;

static gr_loader *test_loader(gr_dataset *digits, int64_t batch)
{
    return gr_loader_open(digits, batch, .in_order = true, .mean = LENET_MEAN, .std = LENET_STD);
}

static void train(gr_model *net, gr_dataset *digits, gr_dataset *testing)
{
    gr_loader *test = test_loader(testing, 500);
    gr_loader *loader = gr_loader_open(
        digits, batch_size, .seed = (uint64_t)seed, .mean = LENET_MEAN, .std = LENET_STD);
    gr_optim *sgd = gr_sgd(net, .lr = lr, .momentum = momentum);
    run       r = run_begin(epochs, gr_dataset_count(digits),
              (gr_checkpoint_options){ net, .optim = sgd, .loader = loader });
    gr_batch  batch;
    while (run_epoch(&r)) {
        while (gr_next_batch(loader, &batch)) {
            GR_STEP;               /* what this block makes is released where it ends */
            if (r.epoch == epochs) /* the last epoch comes to rest */
                gr_optim_set_lr(sgd, lr * (1 - (double)r.done / (double)r.images));
            gr_tensor *loss = gr_cross_entropy(lenet(net, batch.inputs), batch.targets);
            run_step(&r, batch.count, gr_minimize(sgd, loss)); /* backward, update, clear */
        }
        run_test(&r, lenet, test);
    }
    gr_optim_free(sgd);
    gr_loader_close(loader);
    gr_loader_close(test);
}

static void test(gr_model *net, gr_dataset *digits)
{
    gr_loader *loader = test_loader(digits, 500);
    int64_t    correct = evaluate(net, lenet, loader), count = gr_dataset_count(digits);
    printf("test accuracy %.2f%% (%lld/%lld)\n", 100.0 * (double)correct / (double)count,
        (long long)correct, (long long)count);
    gr_loader_close(loader);
}

static const option options[] = {
    { "data", .text = &data,
        .help = "DIR: a folder with the four files of MNIST; without it, drawn digits" },
    { "epochs", .integer = &epochs, .low = 1, .high = 1000000,
        .help = "passes over the training digits" },
    { "batch", .integer = &batch_size, .low = 1, .high = 100000, .help = "digits per step" },
    { "lr", .real = &lr, .low = 1e-9, .high = 1000,
        .help = "learning rate; decays to 0 during the last epoch" },
    { "momentum", .real = &momentum, .low = 0, .high = 1,
        .help = "momentum: the part of a step that the next one keeps" },
    { "seed", .integer = &seed, .low = 0, .high = 1e15,
        .help = "of the initialisation and the order of the digits" },
    { "threads", .integer = &threads, .low = 0, .high = 1024,
        .help = "0: all processors; the result is bit-identical" },
    { "save", .text = &save, .help = "FILE: where to write the weights, as safetensors" },
    { "load", .text = &load, .help = "FILE: initial weights" },
    CHECKPOINT_OPTIONS,
    REPORT_OPTION,
    TRACE_OPTION,
    { "eval", .flag = &eval, .help = "test only; requires --load" },
    { 0 },
};

int main(int argc, char **argv)
{
    read_options(argc, argv,
        "Trains LeNet-5 on handwritten digits, then counts how many test digits it knows.",
        options);
    if (eval && !load) quit("--eval requires weights: --load FILE");
    if (eval) trains_nothing("--eval", save);
    check_writable(save);
    check_writable(trace_file);
    gr_set_threads((int)threads);

    gr_model *net = gr_model_build(lenet, gr_shape(1, 1, 28, 28), .seed = (uint64_t)seed);
    if (load) gr_load(net, load);
    gr_dataset *training = eval ? NULL : digits_of(data, true), *testing = digits_of(data, false);
    if (!eval) train(net, training, testing);
    if (save) gr_save(net, save);
    test(net, testing);
    run_trace(net, lenet, test_loader(testing, 8));

    gr_dataset_free(training);
    gr_dataset_free(testing);
    gr_model_free(net);
    return 0;
}
