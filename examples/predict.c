/* predict.c: reads digits with the weights that lenet has saved: "predict WEIGHTS IMAGES" for every image of an IDX file,
   "predict WEIGHTS IMAGES INDEX" for one of them. Prints the digit and the probabilities of 0 to 9. */
#include "common.h"
#include "lenet.h"

#include <stdio.h>

static const char *weights, *images;
static int64_t     index_of = -1;

static void predict(gr_model *net, gr_idx *file, int64_t i, bool heading)
{
    GR_STEP; /* each image uses the memory of the one before */
    GR_NO_GRAD;
    gr_tensor *x = gr_images(file, i, .mean = LENET_MEAN, .std = LENET_STD);
    gr_tensor *p = gr_softmax(lenet(net, x), 1);
    if (heading)
        puts(" image  digit    p(0)  p(1)  p(2)  p(3)  p(4)  p(5)  p(6)  p(7)  p(8)  p(9)");
    printf("%6lld  %5d  ", (long long)i, gr_ints(gr_argmax(p, 1))[0]);
    for (int digit = 0; digit < 10; digit++)
        printf(" %5.3f", (double)gr_data(p)[digit]);
    putchar('\n');
}

int main(int argc, char **argv)
{
    read_options(argc, argv, "Reads the digits of an IDX file; prints each with the probabilities of 0 to 9.", (option[]){
        { "WEIGHTS", .text = &weights, .argument = true, .help = "what lenet --save has written" },
        { "IMAGES", .text = &images, .argument = true, .help = "an IDX file of images, plain or .gz" },
        { "INDEX", .integer = &index_of, .low = 0, .high = 1e15, .argument = true, .help = "which image, from 0; without it, all" },
        { 0 },
    });
    gr_model *net = gr_model_build(lenet, gr_shape(1, 1, 28, 28));
    gr_load(net, weights);
    gr_idx *file = gr_idx_read(images);
    int64_t first = index_of < 0 ? 0 : index_of, end = index_of < 0 ? gr_idx_shape(file).dim[0] : index_of + 1;
    for (int64_t i = first; i < end; i++)
        predict(net, file, i, i == first);
    gr_idx_free(file);
    gr_model_free(net);
    return 0;
}
