/* checkpoint.c: checkpoints of a run with something of everything. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "nn/nn.h"

typedef struct run {
    gr_dataset           *data;
    gr_loader            *loader;
    gr_model             *net;
    gr_optim             *adam;
    gr_schedule          *cosine;
    gr_rng                rng;
    int64_t               number;
    double                best;
    char                  text[8];
    gr_value              values[5];
    gr_checkpoint_options parts;
} run;

static gr_tensor *layers(gr_model *m, gr_tensor *x)
{
    x = gr_nn_dropout(m, "drop", gr_flatten(x), 0.5);
    return gr_nn_linear(m, "a", gr_nn_linear(m, "b", x, 2), 2);
}

static void train(run *r)
{
    gr_batch b;
    for (int i = 0; i < 3 && gr_next_batch(r->loader, &b); i++) {
        GR_STEP;
        gr_minimize(r->adam, gr_cross_entropy(layers(r->net, b.inputs), b.targets));
        gr_schedule_next(r->cosine);
    }
}

static run *the_run(void)
{
    static run r;
    if (r.net) return &r;
    r.data = gr_dataset_from(gr_shape(1, 1, 2), 5, (const unsigned char *)"0123456789",
        (const unsigned char[]){ 0, 1, 0, 1, 1 }, 2);
    r.loader = gr_loader_open(r.data, 2);
    r.net = gr_model_build(layers, gr_shape(1, 1, 1, 2), .seed = 1);
    r.adam = gr_adam(r.net);
    r.cosine = gr_cosine_lr(r.adam, 10);
    const gr_value values[5] = { { "number", .integer = &r.number }, { "best", .real = &r.best },
        { "text", .text = r.text, .size = sizeof r.text }, { "rng", .rng = &r.rng } };
    for (int i = 0; i < 5; i++) r.values[i] = values[i];
    r.parts = (gr_checkpoint_options){ r.net, .optim = r.adam, .schedule = r.cosine,
        .loader = r.loader, .values = r.values };
    train(&r);
    fuzz_check(!gr_error(), "the run");
    return &r;
}

static uint64_t of_tensor(uint64_t hash, const gr_tensor *t)
{
    hash = fuzz_hash(hash, &t->param, sizeof t->param);
    return fuzz_hash(hash, gr_data(t), (size_t)t->count * sizeof(gr_real));
}

static uint64_t state(const run *r)
{
    int64_t  place[] = { gr_loader_epoch(r->loader), gr_loader_batch_index(r->loader), r->number,
         r->cosine->state.count };
    double   numbers[] = { r->best, r->adam->lr, r->adam->momentum, r->cosine->state.lr,
          r->cosine->state.best };
    uint64_t hash = fuzz_hash(fuzz_hash(0, place, sizeof place), numbers, sizeof numbers);
    hash = fuzz_hash(fuzz_hash(hash, &r->rng, sizeof r->rng), r->text, sizeof r->text);
    for (size_t i = 0; i < r->adam->count; i++) {
        const gr__memory *m = &r->adam->memories[i];
        hash = of_tensor(of_tensor(of_tensor(hash, m->p), m->moment[0]), m->moment[1]);
        hash = fuzz_hash(hash, &m->steps, sizeof m->steps);
    }
    for (size_t i = 0; i < gr__array_length(r->net->slots); i++)
        hash = fuzz_hash(hash, &r->net->slots[i]->runs, sizeof(uint64_t));
    return hash;
}

static bool load(const uint8_t *bytes, size_t n)
{
    run     *r = the_run();
    uint64_t before = state(r);
    bool     accepted = gr_checkpoint_load_(fuzz_file("file", bytes, n), r->parts);
    fuzz_check(accepted || state(r) == before, "a refused file changes nothing");
    if (accepted) train(r); /* whatever numbers it goes on from */
    return fuzz_end(accepted);
}

bool fuzz_checkpoint(const uint8_t *bytes, size_t n)
{
    uint8_t *framed = fuzz_framed(bytes, n);
    bool     accepted = load(framed, n + 8);
    free(framed);
    return load(bytes, n) || accepted;
}

bool fuzz_checkpoint_write(const char *path) { return gr_checkpoint_save_(path, the_run()->parts); }
