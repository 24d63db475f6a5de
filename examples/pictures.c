/* pictures.c: trains a small network on a folder of your own pictures, a sub-folder a class, says
   which classes it confuses with which, and what a new picture shows. */
#include "common.h"

#include <stdio.h>

/* What the command line may change. */
static const char *folder, *save, *load, *predict;
static int64_t     epochs = 20, batch_size = 32, size = 64, seed = 1, threads = 0;
static double      lr = 0.002, validation = 0.2;
static bool        eval, no_flip, skip_broken;

#define MEAN 0.5 /* of a pixel's red, green and blue, more or less; and their standard deviation */
#define STD 0.25

static int classes;

static gr_tensor *cnn(gr_model *m, gr_tensor *x) /* (N,3,size,size) -> (N,classes) */
{
    for (int i = 0; i < 4; i++) { /* each halves the picture and doubles the channels */
        x = gr_nn_conv2d(m, gr_name("conv%d", i + 1), x, 16 << i, 3, .padding = 1, .no_bias = true);
        x = gr_max_pool2d(gr_nn_batch_norm2d(m, gr_name("bn%d", i + 1), x, .act = GR_RELU), 2);
    }
    x = gr_flatten(gr_global_avg_pool2d(x)); /* (N,128): whatever the size */
    return gr_nn_linear(m, "fc", gr_nn_dropout(m, "dropout", x, 0.2), classes);
}

static gr_loader *test_loader(gr_dataset *pictures)
{
    return gr_loader_open(pictures, batch_size, .in_order = true, .mean = MEAN, .std = STD);
}

static void train(gr_model *net, gr_dataset *pictures, gr_dataset *testing)
{
    gr_loader   *test = test_loader(testing);
    gr_loader   *loader = gr_loader_open(pictures, batch_size, .seed = (uint64_t)seed, .mean = MEAN,
          .std = STD, .prefetch = true,
        .augment = { .rotation = 10, .crop_padding = size / 8, .flip = !no_flip, .reflect = true });
    gr_optim    *adam = gr_adamw(net, .lr = lr);
    gr_schedule *schedule = gr_cosine_lr(adam, epochs * gr_loader_batches(loader));
    run          r = run_begin(epochs, gr_dataset_count(pictures),
        (gr_checkpoint_options){ net, .optim = adam, .schedule = schedule, .loader = loader });
    gr_batch     batch;
    while (run_epoch(&r)) {
        while (gr_next_batch(loader, &batch)) {
            GR_STEP;
            double loss =
                gr_minimize(adam, gr_cross_entropy(cnn(net, batch.inputs), batch.targets));
            gr_schedule_next(schedule);
            run_step(&r, batch.count, loss);
        }
        run_test(&r, cnn, test);
    }
    gr_schedule_free(schedule);
    gr_optim_free(adam);
    gr_loader_close(loader);
    gr_loader_close(test);
}

/* Prints which classes it takes for which: a row what a picture shows, a column what the network
   says. */
static void test(gr_model *net, gr_dataset *pictures)
{
    GR_NO_GRAD;
    gr_loader    *loader = test_loader(pictures);
    gr_confusion *table = gr_confusion_new(classes);
    const char   *names[256];
    gr_batch      batch;
    gr_model_eval(net);
    while (gr_next_batch(loader, &batch)) {
        GR_STEP;
        gr_confusion_add(table, cnn(net, batch.inputs), batch.targets);
    }
    for (int i = 0; i < classes; i++) names[i] = gr_dataset_class_name(pictures, i);
    gr_confusion_print(table, names);
    printf("test accuracy %.2f%% of %lld pictures\n", 100 * gr_confusion_accuracy(table),
        (long long)gr_dataset_count(pictures));
    gr_confusion_free(table);
    gr_loader_close(loader);
}

/* Prints what the picture shows, the likeliest class first. */
static void tell(gr_model *net, gr_tensor *picture, gr_dataset *pictures)
{
    GR_STEP;
    GR_NO_GRAD;
    gr_tensor *x = gr_scale(gr_sub(gr_unsqueeze(picture, 0), gr_scalar(MEAN)), 1 / STD);
    gr_model_eval(net);
    gr_tensor *p = gr_softmax(cnn(net, x), 1);
    for (int i = 0; i < classes; i++) {
        int class = gr_ints(gr_argmax(p, 1))[0];
        printf("%s: %.3f %s\n", predict, (double)gr_data(p)[class],
            gr_dataset_class_name(pictures, class));
        gr_data_mut(p)[class] = -1;
    }
}

/* Prints what of the folder was taken for no picture and no class. */
static void tell_ignored(gr_dataset *pictures)
{
    int64_t n = gr_dataset_ignored(pictures), most = 10;
    for (int64_t i = 0; i < n && i < most; i++)
        printf("ignored: %s\n", gr_dataset_ignored_why(pictures, i));
    if (n > most) printf("ignored: %lld more\n", (long long)(n - most));
}

static const option options[] = {
    { "FOLDER", .text = &folder, .argument = true,
        .help = "a folder with a sub-folder of PNG and JPEG pictures for each class" },
    { "size", .integer = &size, .low = 16, .high = 1024,
        .help = "pixels per side to which pictures are scaled" },
    { "validation", .real = &validation, .low = 0.01, .high = 0.99,
        .help = "the part of the pictures that is held out for validation" },
    { "skip-broken", .flag = &skip_broken, .help = "skip broken pictures, and list them" },
    { "no-flip", .flag = &no_flip, .help = "no mirroring: left and right differ" },
    { "epochs", .integer = &epochs, .low = 1, .high = 1000000,
        .help = "passes over the pictures" },
    { "batch", .integer = &batch_size, .low = 2, .high = 100000, .help = "pictures per step" },
    { "lr", .real = &lr, .low = 1e-9, .high = 1000,
        .help = "learning rate; decays to 0 along a cosine" },
    { "seed", .integer = &seed, .low = 0, .high = 1e15,
        .help = "of the split, the initialisation and the augmentation" },
    { "threads", .integer = &threads, .low = 0, .high = 1024,
        .help = "0: all processors; the result is bit-identical" },
    { "save", .text = &save, .help = "FILE: where to write the weights, as safetensors" },
    { "load", .text = &load, .help = "FILE: initial weights" },
    CHECKPOINT_OPTIONS,
    REPORT_OPTION,
    { "eval", .flag = &eval, .help = "test only; requires --load" },
    { "predict", .text = &predict, .help = "FILE: a picture to classify at the end" },
    { 0 },
};

int main(int argc, char **argv)
{
    read_options(argc, argv,
        "Learns to tell apart the pictures of a folder by the names of its sub-folders.", options);
    if (eval && !load) quit("--eval requires weights: --load FILE");
    if (eval) trains_nothing("--eval", save);
    check_writable(save);
    gr_set_threads((int)threads);

    /* from 0 to 1 */
    gr_tensor *picture =
        predict ? gr_picture_load(predict, .height = (int)size, .width = (int)size) : NULL;
    gr_dataset *pictures = gr_pictures(folder, .height = (int)size, .skip_broken = skip_broken),
               *training, *testing;
    tell_ignored(pictures);
    for (int64_t i = 0; i < gr_dataset_skipped(pictures); i++)
        printf("skipped: %s\n", gr_dataset_skipped_why(pictures, i));
    gr_dataset_split(pictures, validation, (uint64_t)seed, &training, &testing);
    classes = gr_dataset_classes(pictures);
    gr_model *net = gr_model_build(cnn, gr_shape(1, 3, size, size), .seed = (uint64_t)seed);
    if (load) gr_load(net, load);
    if (!eval) train(net, training, testing);
    if (save) gr_save(net, save);
    test(net, testing);
    if (predict) tell(net, picture, pictures);

    gr_dataset_free(training);
    gr_dataset_free(testing);
    gr_dataset_free(pictures);
    gr_free(picture);
    gr_model_free(net);
    return 0;
}
