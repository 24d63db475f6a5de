/* resnet20.c: trains ResNet-20 on small pictures, by the recipe of He, Zhang, Ren and Sun (2015,
   section 4.2), then says how many of the test pictures it knows. The model is in resnet20.h. */
#include "common.h"
#include "resnet20.h"

#include <stdio.h>

/* What the command line may change. */
static const char *data, *save, *load;
static int64_t     epochs = 3, batch_size = 128, seed = 1, threads = 0;
static double      lr = 0.1;
static bool        eval;

/* Of the red, green and blue of CIFAR-10, as parts of 1. */
#define MEAN                   \
    {                          \
        0.4914, 0.4822, 0.4465 \
    }
#define STD                    \
    {                          \
        0.2470, 0.2435, 0.2616 \
    }

static gr_loader *test_loader(gr_dataset *pictures, int64_t batch)
{
    return gr_loader_open(
        pictures, batch, .in_order = true, .channel_mean = MEAN, .channel_std = STD);
}

static void train(gr_model *net, gr_dataset *pictures, gr_dataset *testing)
{
    gr_loader *test = test_loader(testing, 500);
    gr_loader *loader =
        gr_loader_open(pictures, batch_size, .seed = (uint64_t)seed, .channel_mean = MEAN,
            .channel_std = STD, .augment = { .crop_padding = 4, .flip = true }, .prefetch = true);
    gr_optim    *sgd = gr_sgd(net, .lr = lr, .momentum = 0.9, .weight_decay = 1e-4);
    /* in the paper 64,000, the rate falling after 32,000 and 48,000 */
    int64_t      steps = epochs * gr_loader_batches(loader);
    gr_schedule *schedule = gr_multistep_lr(sgd, GR_MILESTONES(steps / 2, steps * 3 / 4));
    run          r = run_begin(epochs, gr_dataset_count(pictures),
        (gr_checkpoint_options){ net, .optim = sgd, .schedule = schedule, .loader = loader });
    gr_batch     batch;
    while (run_epoch(&r)) {
        while (gr_next_batch(loader, &batch)) {
            GR_STEP;
            double loss =
                gr_minimize(sgd, gr_cross_entropy(resnet20(net, batch.inputs), batch.targets));
            gr_schedule_next(schedule);
            run_step(&r, batch.count, loss);
        }
        run_test(&r, resnet20, test);
    }
    gr_schedule_free(schedule);
    gr_optim_free(sgd);
    gr_loader_close(loader);
    gr_loader_close(test);
}

static void test(gr_model *net, gr_dataset *pictures)
{
    gr_loader *loader = test_loader(pictures, 500);
    int64_t    correct = evaluate(net, resnet20, loader), count = gr_dataset_count(pictures);
    printf("test accuracy %.2f%% (%lld/%lld)\n", 100.0 * (double)correct / (double)count,
        (long long)correct, (long long)count);
    gr_loader_close(loader);
}

/* CIFAR-10, or coloured shapes that the library draws. */
static gr_dataset *pictures_of(bool training)
{
    if (data) return gr_cifar10(data, training);
    return training ? gr_shapes(50000, 1) : gr_shapes(10000, 2);
}

static const option options[] = {
    { "data", .text = &data,
        .help = "DIR: a folder with the binary files of CIFAR-10; without it, drawn shapes" },
    { "epochs", .integer = &epochs, .low = 1, .high = 1000000,
        .help = "passes over the training pictures; 164 in the paper" },
    { "batch", .integer = &batch_size, .low = 1, .high = 100000, .help = "pictures per step" },
    { "lr", .real = &lr, .low = 1e-9, .high = 1000,
        .help = "learning rate; divided by 10 at 1/2 and at 3/4 of all steps" },
    { "seed", .integer = &seed, .low = 0, .high = 1e15,
        .help = "of the initialisation, the order of the pictures and the augmentation" },
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
        "Trains ResNet-20 on pictures of 32 x 32, then counts how many test pictures it knows.",
        options);
    if (eval && !load) quit("--eval requires weights: --load FILE");
    if (eval) trains_nothing("--eval", save);
    check_writable(save);
    check_writable(trace_file);
    gr_set_threads((int)threads);

    gr_model *net = gr_model_build(resnet20, gr_shape(1, 3, 32, 32), .seed = (uint64_t)seed);
    gr_model_init(net, "*conv*.weight", GR_KAIMING_NORMAL);
    if (load) gr_load(net, load);
    gr_dataset *training = eval ? NULL : pictures_of(true), *testing = pictures_of(false);
    if (!eval) train(net, training, testing);
    if (save) gr_save(net, save);
    test(net, testing);
    run_trace(net, resnet20, test_loader(testing, 8));

    gr_dataset_free(training);
    gr_dataset_free(testing);
    gr_model_free(net);
    return 0;
}
