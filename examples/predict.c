/* predict.c: reads digits with the weights that lenet has saved. Prints a line for each image: its
   index, the digit, and the probabilities of 0 to 9. After the first image nothing is allocated:
   each uses the memory of the one before. */
#include "common.h"
#include "lenet.h"

#include <stdio.h>

static const char *weights, *images;
static int64_t     chosen = -1;

static const option options[] = {
    { "WEIGHTS", .text = &weights, .argument = true,
        .help = "weights that lenet --save has written" },
    { "IMAGES", .text = &images, .argument = true, .help = "an IDX file of images, plain or .gz" },
    { "INDEX", .integer = &chosen, .low = 0, .high = 1e15, .argument = true,
        .help = "index of an image, from 0; without it, all" },
    { 0 },
};

int main(int argc, char **argv)
{
    read_options(argc, argv,
        "Reads the digits of an IDX file. Prints index, digit, and the probabilities of 0 to 9.",
        options);
    gr_model *net = gr_model_build(lenet, gr_shape(1, 1, 28, 28));
    gr_load(net, weights);
    gr_idx *file = gr_idx_read(images);
    int64_t first = chosen < 0 ? 0 : chosen,
            end = chosen < 0 ? gr_idx_shape(file).dim[0] : chosen + 1;
    for (int64_t i = first; i < end; i++) {
        GR_STEP;
        GR_NO_GRAD;
        gr_tensor *x = gr_images(file, i, .mean = LENET_MEAN, .std = LENET_STD);
        gr_tensor *p = gr_softmax(lenet(net, x), 1);
        printf("%5lld: %d ", (long long)i, gr_ints(gr_argmax(p, 1))[0]);
        for (int digit = 0; digit < 10; digit++) printf(" %.3f", (double)gr_data(p)[digit]);
        putchar('\n');
    }
    gr_idx_free(file);
    gr_model_free(net);
    return 0;
}
