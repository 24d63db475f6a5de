/* test_checkpoint.c: a run that goes on from its checkpoint has the bits of one that was never
   interrupted, whatever it is made of; what does not fit is refused by name, and changes nothing.
   Two states are the same if their checkpoints are the same file. */
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gradus.h"
#include "io/io.h"

static char folder[] = "/tmp/gradus-checkpoint-XXXXXX";

static void enter(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
}

static void leave(void)
{
    const char *const names[] = { "a", "b", "c", "bad", "half", "whole" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) remove(names[i]);
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(rmdir(folder), 0); /* nothing else was left behind */
}

typedef struct bytes {
    unsigned char *at;
    size_t         n;
} bytes;

static bytes get(const char *name)
{
    struct stat about;
    FILE       *f = fopen(name, "rb");
    ck_assert_msg(f && fstat(fileno(f), &about) == 0, "there is no %s", name);
    bytes b = { malloc((size_t)about.st_size + 1), (size_t)about.st_size };
    ck_assert_uint_eq(fread(b.at, 1, b.n, f), b.n);
    fclose(f);
    return b;
}

static void put(const char *name, const void *at, size_t n)
{
    FILE *f = fopen(name, "wb");
    ck_assert(f && fwrite(at, 1, n, f) == n);
    fclose(f);
}

static bool same_file(const char *a, const char *b)
{
    bytes x = get(a), y = get(b);
    bool  same = x.n == y.n && memcmp(x.at, y.at, x.n) == 0;
    free(x.at);
    free(y.at);
    return same;
}

/* ---- a run with all that a run can have ---- */

typedef struct session {
    gr_dataset  *data;
    gr_loader   *loader;
    gr_model    *net;
    gr_optim    *optim;
    gr_schedule *schedule;
    gr_rng       noise;
    bool         plateau;
    int64_t      steps;
    double       best;
    char         note[16];
    gr_value     values[6];
} session;

/* How runs differ. */
typedef struct kind {
    const char *name;
    gr_optim *(*optim)(gr_model *);
    gr_schedule *(*schedule)(gr_optim *); /* NULL: none */
    int64_t  count, batch;
    uint64_t seed, order;
    double   mean;
    bool     ahead; /* prefetched, and changed at random */
} kind;

static gr_optim *plain(gr_model *m) { return gr_sgd(m, .lr = 0.05); }
static gr_optim *heavy(gr_model *m)
{
    return gr_sgd(m, .lr = 0.05, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true);
}
static gr_optim *damped(gr_model *m)
{
    return gr_sgd(m, .lr = 0.05, .momentum = 0.9, .dampening = 0.5);
}
static gr_optim *adam(gr_model *m) { return gr_adam(m, .lr = 0.01, .weight_decay = 0.01); }
static gr_optim *adamw(gr_model *m) { return gr_adamw(m, .lr = 0.01, .no_beta1 = true); }
static gr_optim *rmsprop(gr_model *m)
{
    return gr_rmsprop(m, .lr = 0.001, .momentum = 0.9, .centered = true);
}

static gr_optim *grouped(gr_model *m)
{
    gr_optim *o = gr_sgd(m, .lr = 0.05, .momentum = 0.9, .weight_decay = 0.01);
    gr_optim_group(o, GR_VECTORS, .no_decay = true, .lr_factor = 2);
    return o;
}

static gr_schedule *steps(gr_optim *o) { return gr_step_lr(o, 2, .gamma = 0.5); }
static gr_schedule *milestones(gr_optim *o)
{
    return gr_multistep_lr(o, GR_MILESTONES(2, 4, 9), .warmup = 3);
}
static gr_schedule *exponential(gr_optim *o) { return gr_exponential_lr(o, 0.9); }
static gr_schedule *cosine(gr_optim *o)
{
    return gr_cosine_lr(o, 20, .warmup = 4, .warmup_from = 0.1);
}
static gr_schedule *one_cycle(gr_optim *o)
{
    return gr_one_cycle_lr(o, 0.1, 11, .three_phase = true);
}
static gr_schedule *plateau(gr_optim *o)
{
    return gr_plateau_lr(o, .patience = 1, .cooldown = 1, .threshold = 0.1);
}

static const kind kinds[] = {
    { "sgd", plain, NULL, 50, 8, 1, 1, 0, false },
    { "sgd, nesterov", heavy, NULL, 50, 8, 2, 1, 0.5, false },
    { "sgd, dampening", damped, NULL, 48, 8, 3, 9, 0, false },
    { "adam", adam, NULL, 50, 8, 1, 1, 0, false },
    { "adamw", adamw, NULL, 50, 60, 1, 1, 0, false },
    { "rmsprop", rmsprop, NULL, 50, 8, 1, 1, 0, false },
    { "groups", grouped, NULL, 50, 8, 1, 1, 0, false },
    { "ahead", heavy, NULL, 50, 8, 1, 1, 0, true },
    { "step_lr", plain, steps, 50, 8, 1, 1, 0, false },
    { "multistep_lr", heavy, milestones, 50, 8, 1, 1, 0, false },
    { "exponential_lr", adam, exponential, 50, 8, 1, 1, 0, false },
    { "cosine_lr", grouped, cosine, 50, 8, 1, 1, 0, false },
    { "one_cycle_lr", heavy, one_cycle, 50, 8, 1, 1, 0, false },
    { "plateau_lr", adamw, plateau, 50, 8, 1, 1, 0, false },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static gr_tensor *small(gr_model *m, gr_tensor *x)
{
    gr_tensor *seen = gr_nn_buffer(m, "seen", gr_shape(2));
    x = gr_nn_batch_norm2d(
        m, "norm", gr_nn_conv2d(m, "conv", x, 4, 7, .stride = 4), .act = GR_RELU);
    x = gr_nn_dropout(m, "drop", x, 0.2);
    if (gr_requires_grad(x)) gr_data_mut(seen)[0] += gr_data(x)[0];
    return gr_nn_linear(m, "fc", gr_flatten(x), 10);
}

static session open_run(const kind *k)
{
    session r = { .data = gr_digits(k->count, 1),
        .net = gr_model_build(small, gr_shape(1, 1, 28, 28), .seed = k->seed) };
    r.loader = k->ahead ? gr_loader_open(r.data, k->batch, .prefetch = true,
                              .augment = { .rotation = 10, .crop_padding = 2, .erase = 0.5 })
                        : gr_loader_open(r.data, k->batch, .seed = k->order, .mean = k->mean);
    r.optim = k->optim(r.net);
    r.schedule = k->schedule ? k->schedule(r.optim) : NULL;
    r.plateau = k->schedule == plateau;
    r.noise = gr_rng_of(k->seed, "noise");
    strcpy(r.note, "new");
    nothing_failed();
    return r;
}

static void close_run(session *r)
{
    gr_schedule_free(r->schedule);
    gr_optim_free(r->optim);
    gr_loader_close(r->loader);
    gr_model_free(r->net);
    gr_dataset_free(r->data);
}

static gr_checkpoint_options parts(session *r)
{
    const gr_value values[] = { { "steps", .integer = &r->steps }, { "best", .real = &r->best },
        { "noise", .rng = &r->noise }, { "note", .text = r->note, .size = sizeof r->note }, { 0 } };
    memcpy(r->values, values, sizeof values);
    return (gr_checkpoint_options){ r->net, .optim = r->optim, .schedule = r->schedule,
        .loader = r->loader, .values = r->values };
}

static void save(session *r, const char *path)
{
    ck_assert_msg(gr_checkpoint_save_(path, parts(r)), "%s", gr_error());
    nothing_failed();
}

static void load(session *r, const char *path)
{
    ck_assert_msg(gr_checkpoint_load_(path, parts(r)), "%s", gr_error());
    nothing_failed();
}

static void train(session *r, int64_t steps)
{
    gr_batch b;
    for (int64_t goal = r->steps + steps; r->steps < goal;) {
        if (!gr_next_batch(r->loader, &b)) {
            if (!r->schedule) gr_optim_set_lr(r->optim, 0.5 * gr_optim_lr(r->optim));
            continue;
        }
        GR_STEP;
        gr_tensor *x = gr_add(b.inputs, gr_uniform(gr_shape_of(b.inputs), &r->noise, 0, 0.1));
        double     loss = gr_minimize(r->optim, gr_cross_entropy(small(r->net, x), b.targets));
        if (r->schedule) gr_schedule_next(r->schedule);
        if (r->plateau) gr_schedule_report(r->schedule, loss);
        r->best = r->steps == 0 || loss < r->best ? loss : r->best;
        snprintf(r->note, sizeof r->note, "step %d", (int)++r->steps);
    }
    nothing_failed();
}

/* ---- going on ---- */

/* All at once, and in two parts with a checkpoint between, `first` steps long and then another: the
   same state, to the bit. */
static void goes_on(const kind *k, int64_t first, int64_t second)
{
    session whole = open_run(k), half = open_run(k), rest = open_run(k);
    train(&whole, first + second);
    save(&whole, "whole");
    train(&half, first);
    save(&half, "half");
    train(&rest, 1); /* so that there is something to be put back */
    load(&rest, "half");
    ck_assert_int_eq(rest.steps, first);
    save(&rest, "b");
    ck_assert_msg(same_file("half", "b"), "%s: what is saved after loading differs", k->name);
    train(&rest, second);
    save(&rest, "c");
    ck_assert_msg(
        same_file("whole", "c"), "%s: %d and %d steps differ", k->name, (int)first, (int)second);
    ck_assert_msg(!same_file("whole", "half"), "%s: the second part changed nothing", k->name);
    train(&half, second); /* saving changes nothing either */
    save(&half, "c");
    ck_assert(same_file("whole", "c"));
    close_run(&whole);
    close_run(&half);
    close_run(&rest);
}

START_TEST(every_optimiser_goes_on) { goes_on(&kinds[_i], 3, 8); }
END_TEST

START_TEST(anywhere_in_an_epoch) { goes_on(&kinds[1], 6 + _i, 5); } /* an epoch has 7 batches */
END_TEST

START_TEST(before_the_first_step) { goes_on(&kinds[3], 0, 2); }
END_TEST

START_TEST(at_the_end_of_an_epoch)
{
    gr_batch b;
    session  r = open_run(&kinds[0]), s = open_run(&kinds[0]);
    train(&r, 7);
    save(&r, "a"); /* all batches taken, the end not yet told */
    load(&s, "a");
    ck_assert(!gr_next_batch(s.loader, &b));
    ck_assert_int_eq(gr_loader_epoch(s.loader), 1);
    ck_assert(!gr_next_batch(r.loader, &b));
    save(&r, "a"); /* told */
    load(&s, "a");
    ck_assert_int_eq(gr_loader_epoch(s.loader), 1);
    ck_assert(gr_next_batch(s.loader, &b));
    nothing_failed();
    close_run(&r);
    close_run(&s);
}
END_TEST

START_TEST(what_is_frozen_and_gradients)
{
    session r = open_run(&kinds[1]), s = open_run(&kinds[1]);
    gr_model_freeze(r.net, "conv");
    train(&r, 2);
    save(&r, "a");
    gr_model_freeze(s.net, "fc");
    {
        GR_STEP;
        gr_backward(
            gr_sum(gr_mul(gr_model_get(s.net, "conv.weight"), gr_model_get(s.net, "conv.weight"))));
    }
    ck_assert_ptr_nonnull(gr_grad_of(gr_model_get(s.net, "conv.weight")));
    {
        GR_STEP; /* a graph over the old weights */
        gr_tensor *loss =
            gr_sum(gr_mul(gr_model_get(s.net, "conv.weight"), gr_model_get(s.net, "conv.weight")));
        load(&s, "a");
        ck_assert(!gr_backward(loss));
        ck_assert_int_eq(gr_error_code(), GR_ERR_GRAPH);
        gr_clear_error();
    }
    ck_assert_ptr_null(gr_grad_of(gr_model_get(s.net, "conv.weight")));
    ck_assert(!gr_requires_grad(gr_model_get(s.net, "conv.weight")) &&
              gr_requires_grad(gr_model_get(s.net, "fc.bias")));
    train(&r, 3);
    train(&s, 3);
    save(&r, "a");
    save(&s, "b");
    ck_assert(same_file("a", "b"));
    close_run(&r);
    close_run(&s);
}
END_TEST

static gr_tensor *other(gr_model *m, gr_tensor *x)
{
    return gr_nn_linear(m, "fc", gr_flatten(x), 1);
}

START_TEST(two_models_in_one_file)
{
    session               r = open_run(&kinds[3]), s = open_run(&kinds[3]);
    gr_model             *critic[2] = { gr_model_build(other, gr_shape(1, 1, 28, 28), .seed = 5),
                    gr_model_build(other, gr_shape(1, 1, 28, 28), .seed = 5) };
    gr_optim             *adams[2] = { gr_adam(critic[0], .no_beta1 = true),
                    gr_adam(critic[1], .no_beta1 = true) };
    gr_checkpoint_options first = parts(&r), second = parts(&s);
    gr_checkpoint_options also[2] = { { critic[0], .optim = adams[0] },
        { critic[1], .optim = adams[1] } };
    first.also = &also[0];
    second.also = &also[1];
    train(&r, 2);
    {
        GR_STEP;
        gr_batch b;
        gr_next_batch(r.loader, &b);
        gr_minimize(adams[0], gr_mean(other(critic[0], b.inputs)));
    }
    ck_assert(gr_checkpoint_save_("a", first));
    ck_assert(gr_checkpoint_load_("a", second));
    ck_assert(gr_checkpoint_save_("b", second));
    ck_assert(same_file("a", "b"));
    FAILS(gr_checkpoint_load("a", s.net, .optim = s.optim, .loader = s.loader, .values = s.values),
        GR_ERR_FORMAT, "checkpoint_load: 'a' has part2.model.seed, which this run lacks");
    also[0].also = &also[0];
    FAILS(gr_checkpoint_save_("a", first), GR_ERR_ARGUMENT,
        "checkpoint_save: .also lists more than 16 models");
    for (int i = 0; i < 2; i++) {
        gr_optim_free(adams[i]);
        gr_model_free(critic[i]);
    }
    close_run(&r);
    close_run(&s);
}
END_TEST

/* ---- what is refused ---- */

/* A run of kind k refuses the file, with this text, and has not changed. */
static void refuses(const kind *k, const char *path, gr_code code, const char *text)
{
    session r = open_run(k);
    train(&r, 1);
    save(&r, "b");
    FAILS(gr_checkpoint_load_(path, parts(&r)), code, text);
    save(&r, "c");
    ck_assert_msg(same_file("b", "c"), "%s: something has changed", text);
    close_run(&r);
}

START_TEST(another_run)
{
    session r = open_run(&kinds[1]);
    train(&r, 3);
    save(&r, "a");
    kind k = kinds[1];
    k.seed = 7;
    refuses(&k, "a", GR_ERR_FORMAT, "checkpoint_load: 'a' has model.seed 2, this run has 7");
    k = kinds[1];
    k.order = 7;
    refuses(&k, "a", GR_ERR_FORMAT, "checkpoint_load: 'a' has loader.seed 1, this run has 7");
    k = kinds[1];
    k.batch = 7;
    refuses(&k, "a", GR_ERR_FORMAT, "checkpoint_load: 'a' has loader.batch 8, this run has 7");
    k = kinds[1];
    k.count = 51;
    refuses(&k, "a", GR_ERR_FORMAT, "checkpoint_load: 'a' has loader.images 50, this run has 51");
    k = kinds[1];
    k.mean = 0.25;
    refuses(&k, "a", GR_ERR_FORMAT,
        "checkpoint_load: 'a' has loader.channel0.byte0 -0.5, this run has -0.25");
    k = kinds[1];
    k.optim = plain;
    refuses(&k, "a", GR_ERR_FORMAT,
        "checkpoint_load: 'a' has optim.first_momentum 0.9, this run has 0");
    k.optim = damped;
    refuses(&k, "a", GR_ERR_FORMAT, "checkpoint_load: 'a' has optim.dampening 0, this run has 0.5");
    k.optim = adam;
    refuses(
        &k, "a", GR_ERR_FORMAT, "checkpoint_load: 'a' has optim.rule 'sgd', this run has 'adam'");
    k.optim = grouped;
    refuses(&k, "a", GR_ERR_FORMAT, "checkpoint_load: 'a' has optim.nesterov 1, this run has 0");
    refuses(&kinds[1], "nothing", GR_ERR_FILE, "cannot open 'nothing': No such file or directory");
    close_run(&r);
}
END_TEST

static gr_optim *other_rate(gr_model *m)
{
    return gr_sgd(m, .lr = 0.05000001, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true);
}

static gr_optim *other_group(gr_model *m)
{
    gr_optim *o = heavy(m);
    gr_optim_group(o, "fc.*", .no_decay = true);
    return o;
}

START_TEST(another_rate_or_group)
{
    session r = open_run(&kinds[1]);
    save(&r, "a");
    kind k = kinds[1];
    k.optim = other_rate;
    refuses(&k, "a", GR_ERR_FORMAT,
        "checkpoint_load: 'a' has optim.first_lr 0.050000000000000003, this run has "
        "0.050000009999999998");
    k.optim = other_group;
    refuses(&k, "a", GR_ERR_FORMAT,
        "checkpoint_load: 'a' has optim.weight_decay.fc.weight 0.01, this run has 0");
    close_run(&r);
}
END_TEST

static gr_tensor *wider(gr_model *m, gr_tensor *x)
{
    return gr_nn_linear(m, "fc", gr_flatten(x), 2);
}
static gr_tensor *deeper(gr_model *m, gr_tensor *x)
{
    return gr_nn_linear(m, "fc2", other(m, x), 1);
}

static gr_schedule *later(gr_optim *o)
{
    return gr_multistep_lr(o, GR_MILESTONES(2, 4, 10), .warmup = 3);
}
static gr_schedule *longer(gr_optim *o)
{
    return gr_multistep_lr(o, GR_MILESTONES(2, 4, 9), .warmup = 4);
}
static gr_schedule *fewer(gr_optim *o)
{
    return gr_multistep_lr(o, GR_MILESTONES(2, 4), .warmup = 3);
}

START_TEST(another_schedule)
{
    kind    k = kinds[9];
    session r = open_run(&k);
    train(&r, 3);
    save(&r, "a");
    k.schedule = cosine;
    refuses(&k, "a", GR_ERR_FORMAT,
        "checkpoint_load: 'a' has schedule.curve 'multistep_lr', this run has 'cosine_lr'");
    k.schedule = later;
    refuses(
        &k, "a", GR_ERR_FORMAT, "checkpoint_load: 'a' has schedule.milestone2 9, this run has 10");
    k.schedule = fewer;
    refuses(&k, "a", GR_ERR_FORMAT,
        "checkpoint_load: 'a' has schedule.milestone2, which this run lacks");
    k.schedule = longer;
    refuses(&k, "a", GR_ERR_FORMAT, "checkpoint_load: 'a' has schedule.warmup 3, this run has 4");
    k.schedule = NULL;
    refuses(
        &k, "a", GR_ERR_FORMAT, "checkpoint_load: 'a' has schedule.curve, which this run lacks");
    FAILS(gr_checkpoint_save("a", r.net, .schedule = r.schedule), GR_ERR_ARGUMENT,
        "checkpoint_save: the schedule is of another optimiser");
    close_run(&r);
}
END_TEST

START_TEST(another_model)
{
    gr_shape  in = gr_shape(1, 1, 28, 28);
    gr_model *a = gr_model_build(other, in), *b = gr_model_build(wider, in),
             *c = gr_model_build(deeper, in);
    char text[200];
    ck_assert(gr_checkpoint_save("a", a));
    const char *real = sizeof(gr_real) == 4 ? "F32" : "F64";
    snprintf(text, sizeof text,
        "checkpoint_load: 'a' has weights.fc.weight %s (1,784), this run has %s (2,784)", real,
        real);
    FAILS(gr_checkpoint_load("a", b), GR_ERR_FORMAT, text);
    FAILS(gr_checkpoint_load("a", c), GR_ERR_FORMAT,
        "checkpoint_load: 'a' lacks weights.fc2.weight, which this run has");
    ck_assert(gr_save(a, "b"));
    FAILS(gr_checkpoint_load("b", a), GR_ERR_FORMAT,
        "checkpoint_load: 'b' is no checkpoint: it lacks gradus.checkpoint");
    FAILS(
        gr_load(a, "a"), GR_ERR_FORMAT, "load: 'a' has 'gradus.checkpoint', which the model lacks");
    gr_optim *o = gr_sgd(a), *p = gr_sgd(b);
    FAILS(gr_checkpoint_load("a", a, .optim = o), GR_ERR_FORMAT,
        "checkpoint_load: 'a' lacks optim.rule, which this run has");
    FAILS(gr_checkpoint_load("a", a, .optim = p), GR_ERR_ARGUMENT,
        "checkpoint_load: the optimiser is of another model");
    ck_assert(gr_checkpoint_save("b", a, .optim = o));
    FAILS(gr_checkpoint_load("b", a), GR_ERR_FORMAT,
        "checkpoint_load: 'b' has optim.rule, which this run lacks");
    gr_optim_free(o);
    gr_optim_free(p);
    gr_model_free(a);
    gr_model_free(b);
    gr_model_free(c);
}
END_TEST

START_TEST(values_and_options_of_the_program)
{
    gr_model *m = gr_model_build(other, gr_shape(1, 1, 28, 28));
    int64_t   n = INT64_MIN;
    double    x = -1.0 / 3;
    char      word[8] = "seven ch", mode[8] = "left";
    gr_value  values[] = { { "n", .integer = &n }, { "x", .real = &x },
         { "mode", .text = mode, .size = sizeof mode, .same = true }, { 0 } };
    ck_assert(gr_checkpoint_save("a", m, .values = values));
    n = 3;
    x = 4;
    ck_assert(gr_checkpoint_load("a", m, .values = values));
    ck_assert(n == INT64_MIN && x == -1.0 / 3);
    strcpy(mode, "right");
    FAILS(gr_checkpoint_load("a", m, .values = values), GR_ERR_FORMAT,
        "checkpoint_load: 'a' has values.mode 'left', this run has 'right'");
    values[2] = (gr_value){ "mode", .text = word, .size = 4 };
    word[3] = 0;
    FAILS(gr_checkpoint_load("a", m, .values = values), GR_ERR_FORMAT,
        "checkpoint_load: 'a': the text values.mode has 4 bytes, and room for 3 without a zero");
    values[2].size = 5;
    ck_assert(gr_checkpoint_load("a", m, .values = values));
    ck_assert_str_eq(word, "left");
    values[2] = (gr_value){ "n", .real = &x };
    FAILS(gr_checkpoint_save("a", m, .values = values), GR_ERR_ARGUMENT,
        "checkpoint: two values have the name 'values.n'");
    values[2] = (gr_value){ .name = "" };
    FAILS(gr_checkpoint_save("a", m, .values = values), GR_ERR_ARGUMENT,
        "checkpoint_save: the value '' has no name");
    values[2] = (gr_value){ "two", .real = &x, .integer = &n };
    FAILS(gr_checkpoint_save("a", m, .values = values), GR_ERR_ARGUMENT,
        "checkpoint_save: the value 'two' wants one of .integer, .real, .rng and .text");
    memset(word, 'w', sizeof word);
    values[2] = (gr_value){ "word", .text = word, .size = sizeof word };
    FAILS(gr_checkpoint_load("a", m, .values = values), GR_ERR_ARGUMENT,
        "checkpoint_load: the value 'word': .size 8 holds no text that ends");
    gr_rng rng = { 1, 2 };
    values[2] = (gr_value){ "rng", .rng = &rng, .same = true };
    FAILS(gr_checkpoint_save("a", m, .values = values), GR_ERR_ARGUMENT,
        "checkpoint_save: the value 'rng': .same is not for .rng");
    gr_model_free(m);
}
END_TEST

START_TEST(what_cannot_be_saved)
{
    gr_model *m = gr_model_new(1), *built = gr_model_build(other, gr_shape(1, 1, 28, 28));
    FAILS(gr_checkpoint_save("a", m), GR_ERR_ARGUMENT,
        "checkpoint_save: the model is still being built; gr_model_seal ends that");
    FAILS(gr_checkpoint_save("a", NULL), GR_ERR_ARGUMENT, "checkpoint_save: the model is NULL");
    FAILS(gr_checkpoint_load("a", NULL), GR_ERR_ARGUMENT, "checkpoint_load: the model is NULL");
    FAILS(gr_checkpoint_save(NULL, built), GR_ERR_ARGUMENT, "checkpoint_save: the path is NULL");
    FAILS(gr_checkpoint_load(NULL, built), GR_ERR_ARGUMENT, "checkpoint_load: the path is NULL");
    FAILS(gr_checkpoint_save("nowhere/a", built), GR_ERR_FILE,
        "cannot write 'nowhere/a': No such file or directory");
    gr_item(NULL);
    const char *first = gr_error();
    char        text[200];
    snprintf(text, sizeof text, "%s", first);
    FAILS(gr_checkpoint_save("a", built), gr_error_code(), text); /* what has failed stays */
    {
        GR_STEP;
        gr_backward(gr_sum(gr_model_get(built, "fc.weight")));
    }
    FAILS(gr_checkpoint_save("a", built), GR_ERR_ARGUMENT,
        "checkpoint_save: 'fc.weight' has a gradient, which a checkpoint does not hold: "
        "gr_zero_grad first");
    ck_assert_int_ne(access("a", F_OK), 0);
    gr_model_free(m);
    gr_model_free(built);
}
END_TEST

/* ---- damaged files ---- */

/* The file with one entry changed. */
static void with(const char *name, gr__type type, const void *data, gr_shape shape, const char *to)
{
    gr__safetensors *f = gr__safetensors_read("a");
    int              n = gr__safetensors_count(f), found = 0;
    gr__entry       *e = calloc((size_t)n, sizeof *e);
    for (int i = 0; i < n; i++) {
        e[i] = *gr__safetensors_entry(f, i);
        if (strcmp(e[i].name, name) != 0) continue;
        e[i] = (gr__entry){ name, type, shape, data };
        found++;
    }
    ck_assert_int_eq(found, 1);
    ck_assert(gr__safetensors_write(to, e, n));
    free(e);
    gr__safetensors_free(f);
}

START_TEST(numbers_out_of_range)
{
    const double  nan = 0.0 / 0.0, less = -1;
    const int32_t less_than_none = -1;
    const int64_t eight = 8, minus = -1, two = 2;
    const kind   *k = &kinds[1];
    session       r = open_run(k);
    save(&r, "a");
    with("optim.lr", GR__F64, &less, SCALAR, "bad");
    refuses(k, "bad", GR_ERR_FORMAT,
        "checkpoint_load: 'bad' has optim.lr -1, 0 to 1.79769e+308 wanted");
    with("optim.lr", GR__F64, &nan, SCALAR, "bad");
    session s = open_run(k);
    ck_assert(!gr_checkpoint_load_("bad", parts(&s)));
    gr_clear_error();
    with("loader.next", GR__I64, &eight, SCALAR, "bad");
    refuses(k, "bad", GR_ERR_FORMAT, "checkpoint_load: 'bad' has loader.next 8, 0 to 7 wanted");
    with("loader.epoch", GR__I64, &minus, SCALAR, "bad");
    refuses(k, "bad", GR_ERR_FORMAT,
        "checkpoint_load: 'bad' has loader.epoch -1, 0 to 9223372036854775806 wanted");
    with("weights.norm.num_batches_tracked", GR__I32, &less_than_none, SCALAR, "bad");
    refuses(k, "bad", GR_ERR_FORMAT,
        "checkpoint_load: 'bad' has weights.norm.num_batches_tracked -1, 0 to 2147483647 wanted");
    with("gradus.checkpoint", GR__I64, &two, SCALAR, "bad");
    refuses(
        k, "bad", GR_ERR_FORMAT, "checkpoint_load: 'bad' has gradus.checkpoint 2, this run has 1");
    with("loader.epoch", GR__F64, &less, SCALAR, "bad");
    refuses(k, "bad", GR_ERR_FORMAT,
        "checkpoint_load: 'bad' has loader.epoch F64 (), this run has I64 ()");
    close_run(&r);
    close_run(&s);
}
END_TEST

START_TEST(the_other_real)
{
    bool        is_float = sizeof(gr_real) == 4;
    const char *there = is_float ? "double" : "float", *here = is_float ? "float" : "double";
    char        text[200];
    session     r = open_run(&kinds[1]);
    save(&r, "a");
    with("gradus.real", GR__U8, there, gr_shape((int64_t)strlen(there)), "bad");
    snprintf(text, sizeof text, "checkpoint_load: 'bad' has gradus.real '%s', this run has '%s'",
        there, here);
    refuses(&kinds[1], "bad", GR_ERR_FORMAT, text);
    close_run(&r);
}
END_TEST

/* Reads the damaged file "bad": either it is refused, or it is as good as any; a refusal changes
   nothing. */
static bool survives(session *r, const char *before)
{
    bool good = gr_checkpoint_load_("bad", parts(r));
    ck_assert(good == !gr_error());
    gr_clear_error();
    if (!good) {
        save(r, "c");
        ck_assert(same_file(before, "c"));
    }
    load(r, before);
    return good;
}

START_TEST(a_file_cut_anywhere)
{
    session r = open_run(&kinds[1]);
    train(&r, 2);
    save(&r, "a");
    bytes whole = get("a");
    for (size_t cut = 0; cut < whole.n; cut += 1 + (cut > 300 ? whole.n / 61 : cut / 4)) {
        put("bad", whole.at, cut);
        ck_assert_msg(!survives(&r, "a"), "cut after %zu bytes", cut);
    }
    free(whole.at);
    close_run(&r);
}
END_TEST

START_TEST(a_file_with_any_byte_changed)
{
    session r = open_run(&kinds[1]);
    train(&r, 2);
    save(&r, "a");
    bytes  whole = get("a");
    size_t header = 8 + (size_t)whole.at[0] + 256 * (size_t)whole.at[1];
    int    refused = 0, read = 0;
    for (size_t i = 0; i < whole.n; i += 1 + (i < header ? header : whole.n) / 97) {
        whole.at[i] ^= (unsigned char)(1 << i % 8);
        put("bad", whole.at, whole.n);
        *(survives(&r, "a") ? &read : &refused) += 1;
        whole.at[i] ^= (unsigned char)(1 << i % 8);
    }
    ck_assert(refused > 60 && read > 20); /* most of the data are weights, and any number is one */
    free(whole.at);
    close_run(&r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("checkpoint");
    TCase *c = cases(s, "going on"), *refused = cases(s, "refused"), *damaged = cases(s, "damaged");
    tcase_add_checked_fixture(c, enter, leave);
    tcase_add_checked_fixture(refused, enter, leave);
    tcase_add_checked_fixture(damaged, enter, leave);
    tcase_add_loop_test(c, every_optimiser_goes_on, 0, KINDS);
    tcase_add_loop_test(c, anywhere_in_an_epoch, 0, 3);
    tcase_add_test(c, before_the_first_step);
    tcase_add_test(c, at_the_end_of_an_epoch);
    tcase_add_test(c, what_is_frozen_and_gradients);
    tcase_add_test(c, two_models_in_one_file);
    tcase_add_test(refused, another_run);
    tcase_add_test(refused, another_rate_or_group);
    tcase_add_test(refused, another_schedule);
    tcase_add_test(refused, another_model);
    tcase_add_test(refused, values_and_options_of_the_program);
    tcase_add_test(refused, what_cannot_be_saved);
    tcase_add_test(damaged, numbers_out_of_range);
    tcase_add_test(damaged, the_other_real);
    tcase_add_test(damaged, a_file_cut_anywhere);
    tcase_add_test(damaged, a_file_with_any_byte_changed);
    return run(s);
}
