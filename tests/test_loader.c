/* test_loader.c: batches: their order, their numbers, and the place in them. */
#include "support.h"

#include <string.h>

#include "gradus.h"

enum { COUNT = 10, SIZE = 6 };

/* Ten images (1,2,3); image i holds 20 i, 20 i + 1, ...; its label is i mod 4. */
static gr_dataset *ten(void)
{
    unsigned char images[COUNT * SIZE], labels[COUNT];
    for (int i = 0; i < COUNT; i++) {
        labels[i] = (unsigned char)(i % 4);
        for (int k = 0; k < SIZE; k++) images[i * SIZE + k] = (unsigned char)(20 * i + k);
    }
    gr_dataset *d = gr_dataset_from(gr_shape(1, 2, 3), COUNT, images, labels, 4);
    ck_assert_msg(d, "%s", gr_error());
    return d;
}

/* ---- in what order ---- */

/* Which image of ten() is the i-th of the batch. */
static int which(const gr_batch *b, int64_t i) { return (int)((double)gr_data(b->images)[i * SIZE] * 255 / 20 + 0.5); }

/* Reads an epoch: the images in their order, each checked to be there once, with its label. */
static void read_epoch(gr_loader *l, int *order)
{
    gr_batch b;
    int      n = 0;
    bool     seen[COUNT] = { false };
    while (gr_next_batch(l, &b))
        for (int64_t i = 0; i < b.count; i++, n++) {
            order[n] = which(&b, i);
            ck_assert(!seen[order[n]]);
            seen[order[n]] = true;
            ck_assert_int_eq(gr_ints(b.labels)[i], order[n] % 4);
        }
    nothing_failed();
    ck_assert_int_eq(n, COUNT);
}

START_TEST(batches_in_order)
{
    gr_dataset *d = ten();
    gr_loader  *l = gr_loader_open(d, 4, .in_order = true, .mean = 0.5, .std = 0.25);
    gr_batch    b;
    for (int epoch = 0; epoch < 2; epoch++) {
        ck_assert_int_eq(gr_loader_epoch(l), epoch);
        for (int k = 0; k < 3; k++) {
            int64_t n = k < 2 ? 4 : 2;
            ck_assert(gr_next_batch(l, &b));
            ck_assert_int_eq(b.count, n);
            ck_assert(same_shape(gr_shape_of(b.images), gr_shape(n, 1, 2, 3)) && same_shape(gr_shape_of(b.labels), gr_shape(n)));
            for (int64_t i = 0; i < n * SIZE; i++) {
                int byte = (int)(20 * (4 * k + i / SIZE) + i % SIZE);
                ck_assert(gr_data(b.images)[i] == (gr_real)((byte / 255.0 - 0.5) / 0.25));
            }
            ck_assert_int_eq(gr_ints(b.labels)[1], (4 * k + 1) % 4);
        }
        ck_assert(!gr_next_batch(l, &b));
        nothing_failed();
    }
    ck_assert_int_eq(gr_loader_batches(l), 3);
    gr_loader_free(l);
    gr_dataset_free(d);
}
END_TEST

START_TEST(batches_in_an_order_from_the_seed)
{
    gr_dataset *d = ten();
    int         a[2][COUNT], b[2][COUNT], c[COUNT];
    gr_loader  *l = gr_loader_open(d, 3, .seed = 5), *m = gr_loader_open(d, 4, .seed = 5), *n = gr_loader_open(d, 3, .seed = 6);
    for (int epoch = 0; epoch < 2; epoch++) {
        read_epoch(l, a[epoch]);
        read_epoch(m, b[epoch]);
    }
    read_epoch(n, c);
    ck_assert_mem_eq(a, b, sizeof a);
    ck_assert(memcmp(a[0], a[1], sizeof a[0]) != 0);
    ck_assert(memcmp(a[0], c, sizeof c) != 0);
    gr_loader_free(l);
    gr_loader_free(m);
    gr_loader_free(n);
    gr_dataset_free(d);
}
END_TEST

START_TEST(every_order_is_as_likely)
{
    const unsigned char bytes[3] = { 0, 1, 2 };
    gr_dataset         *d = gr_dataset_from(gr_shape(1), 3, bytes, bytes, 3);
    gr_loader          *l = gr_loader_open(d, 3, .seed = 1);
    gr_batch            b;
    int                 of[27] = { 0 };
    for (int epoch = 0; epoch < 6000; epoch++) {
        ck_assert(gr_next_batch(l, &b));
        const int32_t *y = gr_ints(b.labels);
        of[9 * y[0] + 3 * y[1] + y[2]]++;
        ck_assert(!gr_next_batch(l, &b));
    }
    for (int i = 0; i < 27; i++) ck_assert_msg(of[i] == 0 || (of[i] > 880 && of[i] < 1120), "%d of 6000", of[i]);
    gr_loader_free(l);
    gr_dataset_free(d);
}
END_TEST

START_TEST(the_last_batch)
{
    gr_dataset *d = ten();
    gr_batch    b;
    gr_loader  *dropped = gr_loader_open(d, 4, .drop_last = true), *even = gr_loader_open(d, 5), *wide = gr_loader_open(d, 64);
    ck_assert_int_eq(gr_loader_batches(dropped), 2);
    for (int k = 0; k < 2; k++) ck_assert(gr_next_batch(dropped, &b) && b.count == 4);
    ck_assert(!gr_next_batch(dropped, &b));
    ck_assert_int_eq(gr_loader_batches(even), 2);
    ck_assert_int_eq(gr_loader_batches(wide), 1);
    ck_assert(gr_next_batch(wide, &b) && b.count == 10 && gr_size(b.images, 0) == 10);
    ck_assert(!gr_next_batch(wide, &b));
    nothing_failed();
    gr_loader_free(dropped);
    gr_loader_free(even);
    gr_loader_free(wide);
    gr_dataset_free(d);
}
END_TEST

START_TEST(batches_are_one_pair_of_tensors_filled_again)
{
    gr_dataset *d = ten();
    size_t      live = gr_memory().live;
    gr_loader  *l = gr_loader_open(d, 4);
    gr_batch    a, b;
    ck_assert(gr_next_batch(l, &a) && gr_next_batch(l, &b));
    ck_assert_ptr_eq(a.images, b.images);
    size_t         calls = gr_memory().system_calls, now = gr_memory().live;
    const gr_real *data = gr_data(a.images);
    for (int k = 0; k < 50; k++)
        if (gr_next_batch(l, &b)) ck_assert_ptr_eq(gr_data(b.images), data);
    nothing_failed();
    ck_assert_uint_eq(gr_memory().system_calls, calls);
    ck_assert_uint_eq(gr_memory().live, now);
    gr_loader_free(l);
    ck_assert_uint_eq(gr_memory().live, live);
    gr_dataset_free(d);
}
END_TEST

START_TEST(a_graph_over_an_old_batch_is_refused)
{
    gr_dataset *d = ten();
    gr_loader  *l = gr_loader_open(d, 4);
    gr_tensor  *w = gr_param(gr_ones(gr_shape(1)));
    for (int whole = 0; whole < 2; whole++) { /* the batch that comes next is whole, then partial */
        GR_STEP;
        gr_batch b;
        ck_assert(gr_next_batch(l, &b));
        gr_tensor *loss = gr_sum(gr_mul(b.images, w));
        ck_assert(gr_next_batch(l, &b));
        ck_assert(!gr_backward(loss));
        ck_assert_int_eq(gr_error_code(), GR_ERR_GRAPH);
        gr_clear_error();
        if (whole == 0)
            while (gr_loader_epoch(l) == 0 && gr_next_batch(l, &b))
                ;
        if (whole == 0) ck_assert(gr_next_batch(l, &b)); /* so that the last two are left */
    }
    gr_free(w);
    gr_loader_free(l);
    gr_dataset_free(d);
}
END_TEST

START_TEST(a_failure_ends_the_loop)
{
    gr_dataset *d = ten();
    gr_loader  *l = gr_loader_open(d, 4);
    gr_batch    b;
    int         rounds = 0;
    while (gr_next_batch(l, &b)) {
        rounds++;
        gr_scale(NULL, 2);
        gr_item(NULL);
    }
    ck_assert_int_eq(rounds, 1);
    ck_assert(gr_error() != NULL);
    gr_clear_error();
    ck_assert(gr_next_batch(l, &b) && gr_next_batch(l, &b));
    ck_assert_int_eq(b.count, 2);
    gr_loader_free(l);
    gr_dataset_free(d);
}
END_TEST

START_TEST(loaders_that_cannot_be)
{
    gr_dataset *d = ten();
    gr_batch    b;
    gr_loader  *l = gr_loader_open(d, 4);
    FAILS(gr_loader_open(NULL, 4), GR_ERR_ARGUMENT, "loader_open: the data set is NULL");
    FAILS(gr_loader_open(d, 0), GR_ERR_ARGUMENT, "loader_open: a batch of 0 images, at least 1 wanted");
    FAILS(gr_loader_open(d, -3), GR_ERR_ARGUMENT, "loader_open: a batch of -3 images, at least 1 wanted");
    FAILS(gr_loader_open(d, 11, .drop_last = true), GR_ERR_ARGUMENT, "loader_open: .drop_last leaves no batch: 10 images, 11 a batch");
    FAILS(gr_loader_open(d, 4, .mean = 0.5, .std = -1), GR_ERR_ARGUMENT,
        "loader_open: mean 0.5 and std -1: both must be finite, and std over 0");
    FAILS(gr_next_batch(NULL, &b), GR_ERR_ARGUMENT, "next_batch: the loader is NULL");
    FAILS(gr_next_batch(l, NULL), GR_ERR_ARGUMENT, "next_batch: the batch is NULL");
    ck_assert_int_eq(gr_loader_epoch(NULL), -1);
    failed_with(GR_ERR_ARGUMENT, "loader_epoch: the loader is NULL");
    ck_assert_int_eq(gr_loader_batches(NULL), -1);
    failed_with(GR_ERR_ARGUMENT, "loader_batches: the loader is NULL");
    gr_loader_free(NULL);
    nothing_failed();
    gr_loader_free(l);
    gr_dataset_free(d);
}
END_TEST

/* ---- numbers of each channel ---- */

/* Two images (3,1,2). */
static gr_dataset *two_in_colour(void)
{
    const unsigned char images[12] = { 0, 51, 102, 153, 204, 255, 255, 204, 153, 102, 51, 0 }, labels[2] = { 0, 1 };
    return gr_dataset_from(gr_shape(3, 1, 2), 2, images, labels, 2);
}

START_TEST(each_channel_has_its_mean_and_std)
{
    gr_dataset *d = two_in_colour();
    gr_loader  *l = gr_loader_open(d, 2, .in_order = true, .channel_mean = { 0.5, 0, 0.25 }, .channel_std = { 0.5, 2, 0.25 });
    gr_loader  *means = gr_loader_open(d, 2, .in_order = true, .channel_mean = { 0, 0, 0.5 });
    gr_batch    b;
    ck_assert_msg(l && means, "%s", gr_error());
    ck_assert(gr_next_batch(l, &b));
    NEAR(b.images, gr_shape(2, 3, 1, 2), 1e-6, -1, -0.6, 0.2, 0.3, 2.2, 3, 1, 0.6, 0.3, 0.2, -0.2, -1);
    ck_assert(gr_next_batch(means, &b));
    NEAR(b.images, gr_shape(2, 3, 1, 2), 1e-6, 0, 0.2, 0.4, 0.6, 0.3, 0.5, 1, 0.8, 0.6, 0.4, -0.3, -0.5);
    gr_loader_free(l);
    gr_loader_free(means);
    gr_dataset_free(d);
}
END_TEST

START_TEST(channels_that_cannot_be)
{
    gr_dataset         *d = two_in_colour(), *grey = ten();
    const unsigned char b[10] = { 0 };
    gr_dataset         *flat = gr_dataset_from(gr_shape(2), 4, b, b, 1), *many = gr_dataset_from(gr_shape(5, 1, 1), 2, b, b, 1);
    FAILS(gr_loader_open(d, 2, .channel_std = { 1, 1 }), GR_ERR_ARGUMENT,
        "loader_open: images (3,1,2) have 3 channels, .channel_std is given for 2");
    FAILS(gr_loader_open(d, 2, .channel_mean = { 0, 0, 0, 1 }), GR_ERR_ARGUMENT,
        "loader_open: images (3,1,2) have 3 channels, .channel_mean is given for 4");
    FAILS(gr_loader_open(grey, 2, .channel_mean = { 0.5, 0.5, 0.5 }, .channel_std = { 1, 1, 1 }), GR_ERR_ARGUMENT,
        "loader_open: images (1,2,3) have 1 channels, .channel_mean is given for 3");
    FAILS(gr_loader_open(d, 2, .channel_std = { 1, 0, 1 }), GR_ERR_ARGUMENT, "loader_open: .channel_std of channel 1 is 0");
    FAILS(gr_loader_open(d, 2, .channel_std = { 1, -1, 1 }), GR_ERR_ARGUMENT,
        "loader_open: mean 0 and std -1: both must be finite, and std over 0");
    FAILS(gr_loader_open(d, 2, .std = 1, .channel_mean = { 1, 1, 1 }), GR_ERR_ARGUMENT,
        "loader_open: .mean and .std are of all channels, .channel_mean and .channel_std of each: not both");
    FAILS(gr_loader_open(flat, 2, .channel_mean = { 1, 1 }), GR_ERR_ARGUMENT,
        "loader_open: images (2): .channel_mean and .channel_std want (C,H,W) with up to 4 channels");
    FAILS(gr_loader_open(many, 2, .channel_mean = { 1, 1 }), GR_ERR_ARGUMENT,
        "loader_open: images (5,1,1): .channel_mean and .channel_std want (C,H,W) with up to 4 channels");
    gr_dataset_free(d);
    gr_dataset_free(grey);
    gr_dataset_free(flat);
    gr_dataset_free(many);
}
END_TEST

/* ---- the place ---- */

/* The images of the batches that come until the end of epoch number 2, and the ends of epochs as -1. */
static int read_on(gr_loader *l, int *images)
{
    gr_batch b;
    int      n = 0;
    while (gr_loader_epoch(l) < 3)
        if (gr_next_batch(l, &b))
            for (int64_t i = 0; i < b.count; i++) images[n++] = which(&b, i);
        else
            images[n++] = -1;
    nothing_failed();
    return n;
}

START_TEST(a_loader_goes_on_from_any_place)
{
    gr_dataset *d = ten();
    for (int place = 0; place < 12; place++) { /* three batches an epoch, and its end */
        gr_loader *there = gr_loader_open(d, 4, .seed = 3), *resumed = gr_loader_open(d, 4, .seed = 3);
        gr_batch   b;
        int        expected[64], got[64];
        for (int i = 0; i < place; i++) gr_next_batch(there, &b);
        ck_assert_int_eq(gr_loader_epoch(there), place / 4);
        ck_assert_int_eq(gr_loader_batch_index(there), place % 4);
        for (int i = 0; i < place % 5; i++) gr_next_batch(resumed, &b);
        ck_assert(gr_loader_seek(resumed, gr_loader_epoch(there), gr_loader_batch_index(there)));
        int n = read_on(there, expected);
        ck_assert_int_eq(read_on(resumed, got), n);
        ck_assert_mem_eq(expected, got, sizeof *got * (size_t)n);
        gr_loader_free(there);
        gr_loader_free(resumed);
    }
    gr_dataset_free(d);
}
END_TEST

START_TEST(places_that_cannot_be)
{
    gr_dataset *d = ten();
    gr_loader  *l = gr_loader_open(d, 4);
    ck_assert(gr_loader_seek(l, 7, 2));
    FAILS(gr_loader_seek(l, 0, 4), GR_ERR_ARGUMENT, "loader_seek: there is no batch 4 of epoch 0: 3 batches an epoch");
    FAILS(gr_loader_seek(l, 0, -1), GR_ERR_ARGUMENT, "loader_seek: there is no batch -1 of epoch 0: 3 batches an epoch");
    FAILS(gr_loader_seek(l, -1, 0), GR_ERR_ARGUMENT, "loader_seek: there is no batch 0 of epoch -1: 3 batches an epoch");
    FAILS(gr_loader_seek(NULL, 0, 0), GR_ERR_ARGUMENT, "loader_seek: the loader is NULL");
    ck_assert_int_eq(gr_loader_batch_index(NULL), -1);
    failed_with(GR_ERR_ARGUMENT, "loader_batch_index: the loader is NULL");
    ck_assert_int_eq(gr_loader_epoch(l), 7);
    ck_assert_int_eq(gr_loader_batch_index(l), 2);
    gr_loader_free(l);
    gr_dataset_free(d);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loader");
    TCase *c = cases(s, "batches");
    tcase_add_test(c, batches_in_order);
    tcase_add_test(c, batches_in_an_order_from_the_seed);
    tcase_add_test(c, every_order_is_as_likely);
    tcase_add_test(c, the_last_batch);
    tcase_add_test(c, batches_are_one_pair_of_tensors_filled_again);
    tcase_add_test(c, a_graph_over_an_old_batch_is_refused);
    tcase_add_test(c, a_failure_ends_the_loop);
    tcase_add_test(c, loaders_that_cannot_be);
    tcase_add_test(c, each_channel_has_its_mean_and_std);
    tcase_add_test(c, channels_that_cannot_be);
    tcase_add_test(c, a_loader_goes_on_from_any_place);
    tcase_add_test(c, places_that_cannot_be);
    return run(s);
}
