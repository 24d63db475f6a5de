/* 09-lenet.c: LeNet, end to end. The outputs of its layers; a gradient check of one backward pass
   for each parameter; then two epochs of training. The last digits differ from
   processor to processor, so the numbers are printed coarsely. */
#include <gradus.h>

#include <math.h>
#include <stdio.h>

static gr_tensor *lenet(gr_model *m, gr_tensor *x) /* (N,1,28,28) -> (N,10) */
{
    x = gr_max_pool2d(gr_nn_conv2d(m, "conv1", x, 6, 5, .padding = 2, .act = GR_RELU), 2);
    x = gr_max_pool2d(gr_nn_conv2d(m, "conv2", x, 16, 5, .act = GR_RELU), 2);
    x = gr_nn_linear(m, "fc1", gr_flatten(x), 120, .act = GR_RELU);
    x = gr_nn_linear(m, "fc2", x, 84, .act = GR_RELU);
    return gr_nn_linear(m, "fc3", x, 10);
}

static gr_tensor *loss_of(gr_model *net, gr_batch batch)
{
    return gr_cross_entropy(lenet(net, batch.inputs), batch.targets);
}

/* The loss where a parameter is changed by step times g; it is restored afterwards. */
static double loss_at(gr_model *net, gr_batch batch, gr_tensor *p, gr_tensor *g, double step)
{
    GR_STEP;
    for (int64_t e = 0; e < gr_count(p); e++) gr_data_mut(p)[e] += (gr_real)step * gr_data(g)[e];
    double loss = gr_item(loss_of(net, batch));
    for (int64_t e = 0; e < gr_count(p); e++) gr_data_mut(p)[e] -= (gr_real)step * gr_data(g)[e];
    return loss;
}

/* How steeply the loss rises along each parameter's gradient g: the norm of g, and the central
   difference along g. */
static void check(gr_model *net, gr_batch batch)
{
    const double h = 0.003;
    gr_tensor   *loss = loss_of(net, batch);
    gr_backward(loss);
    printf("\nbefore training: loss %.1f\n\n                norm of g   slope of the loss along g\n",
        gr_item(loss));
    for (int i = 0; i < gr_model_count(net); i++) {
        GR_NO_GRAD;
        gr_tensor *p = gr_model_at(net, i), *g = gr_grad_of(p);
        double     norm = gr_item(gr_norm(g));
        double     slope =
            (loss_at(net, batch, p, g, h / norm) - loss_at(net, batch, p, g, -h / norm)) / (2 * h);
        printf("%-14s%11.3f   %s\n", gr_model_name(net, i), norm,
            fabs(slope / norm - 1) < 0.01 ? "the same within 1 %" : "different");
    }
}

/* How much of a data set the network gets right, in per cent. */
static double right(gr_model *net, const gr_dataset *digits)
{
    gr_loader    *loader = gr_loader_open(digits, 100, .in_order = true);
    gr_confusion *c = gr_confusion_new(10);
    gr_batch      batch;
    while (gr_next_batch(loader, &batch)) {
        GR_STEP;
        gr_confusion_add(c, lenet(net, batch.inputs), batch.targets);
    }
    double accuracy = gr_confusion_accuracy(c);
    gr_confusion_free(c), gr_loader_close(loader);
    return 100 * accuracy;
}

int main(void)
{
    gr_on_error(gr_print_and_exit); /* a call that fails: one line says why, and the program ends */
    gr_dataset *digits = gr_digits(6000, 1), *unseen = gr_digits(1000, 2);
    gr_loader  *loader = gr_loader_open(digits, 50, .seed = 1);
    gr_model   *net = gr_model_build(lenet, gr_shape(1, 1, 28, 28), .seed = 1);
    gr_optim   *adam = gr_adam(net, .lr = 0.002);
    gr_batch    batch;
    /* made for ReLU: signals keep their size from layer to layer */
    gr_model_init(net, "*.weight", GR_KAIMING_UNIFORM);
    gr_model_print(net);
    if (gr_next_batch(loader, &batch)) check(net, batch);
    gr_zero_grad(adam);
    gr_loader_seek(loader, 0, 0);
    putchar('\n');
    for (int epoch = 1; epoch <= 2; epoch++) {
        double sum = 0;
        while (gr_next_batch(loader, &batch)) {
            GR_STEP;
            sum += gr_minimize(adam, loss_of(net, batch));
        }
        double loss = sum / (double)gr_loader_batches(loader);
        printf("epoch %d: loss %.1f, test accuracy over %d %%\n", epoch, loss,
            (int)right(net, unseen) / 5 * 5);
    }
    gr_optim_free(adam), gr_model_free(net), gr_loader_close(loader), gr_dataset_free(digits),
        gr_dataset_free(unseen);
    return 0;
}
