/* test_loader.c: batches: their order, their numbers, how images are changed at random, the place
   in them, and the thread that is one batch ahead. */
#include "support.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data/data.h"
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
static int which(const gr_batch *b, int64_t i)
{
    return (int)((double)gr_data(b->inputs)[i * SIZE] * 255 / 20 + 0.5);
}

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
            ck_assert_int_eq(gr_ints(b.targets)[i], order[n] % 4);
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
            ck_assert(same_shape(gr_shape_of(b.inputs), gr_shape(n, 1, 2, 3)) &&
                      same_shape(gr_shape_of(b.targets), gr_shape(n)));
            for (int64_t i = 0; i < n * SIZE; i++) {
                int byte = (int)(20 * (4 * k + i / SIZE) + i % SIZE);
                ck_assert(gr_data(b.inputs)[i] == (gr_real)((byte / 255.0 - 0.5) / 0.25));
            }
            ck_assert_int_eq(gr_ints(b.targets)[1], (4 * k + 1) % 4);
        }
        ck_assert(!gr_next_batch(l, &b));
        nothing_failed();
    }
    ck_assert_int_eq(gr_loader_batches(l), 3);
    gr_loader_close(l);
    gr_dataset_free(d);
}
END_TEST

START_TEST(batches_in_an_order_from_the_seed)
{
    gr_dataset *d = ten();
    int         a[2][COUNT], b[2][COUNT], c[COUNT];
    gr_loader  *l = gr_loader_open(d, 3, .seed = 5), *m = gr_loader_open(d, 4, .seed = 5),
              *n = gr_loader_open(d, 3, .seed = 6);
    for (int epoch = 0; epoch < 2; epoch++) {
        read_epoch(l, a[epoch]);
        read_epoch(m, b[epoch]);
    }
    read_epoch(n, c);
    ck_assert_mem_eq(a, b, sizeof a);
    ck_assert(memcmp(a[0], a[1], sizeof a[0]) != 0);
    ck_assert(memcmp(a[0], c, sizeof c) != 0);
    gr_loader_close(l);
    gr_loader_close(m);
    gr_loader_close(n);
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
        const int32_t *y = gr_ints(b.targets);
        of[9 * y[0] + 3 * y[1] + y[2]]++;
        ck_assert(!gr_next_batch(l, &b));
    }
    for (int i = 0; i < 27; i++)
        ck_assert_msg(of[i] == 0 || (of[i] > 880 && of[i] < 1120), "%d of 6000", of[i]);
    gr_loader_close(l);
    gr_dataset_free(d);
}
END_TEST

START_TEST(the_last_batch)
{
    gr_dataset *d = ten();
    gr_batch    b;
    gr_loader  *dropped = gr_loader_open(d, 4, .drop_last = true), *even = gr_loader_open(d, 5),
              *wide = gr_loader_open(d, 64);
    ck_assert_int_eq(gr_loader_batches(dropped), 2);
    for (int k = 0; k < 2; k++) ck_assert(gr_next_batch(dropped, &b) && b.count == 4);
    ck_assert(!gr_next_batch(dropped, &b));
    ck_assert_int_eq(gr_loader_batches(even), 2);
    ck_assert_int_eq(gr_loader_batches(wide), 1);
    ck_assert(gr_next_batch(wide, &b) && b.count == 10 && gr_size(b.inputs, 0) == 10);
    ck_assert(!gr_next_batch(wide, &b));
    nothing_failed();
    gr_loader_close(dropped);
    gr_loader_close(even);
    gr_loader_close(wide);
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
    ck_assert_ptr_eq(a.inputs, b.inputs);
    size_t         calls = gr_memory().system_calls, now = gr_memory().live;
    const gr_real *data = gr_data(a.inputs);
    for (int k = 0; k < 50; k++)
        if (gr_next_batch(l, &b)) ck_assert_ptr_eq(gr_data(b.inputs), data);
    nothing_failed();
    ck_assert_uint_eq(gr_memory().system_calls, calls);
    ck_assert_uint_eq(gr_memory().live, now);
    gr_loader_close(l);
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
        gr_tensor *loss = gr_sum(gr_mul(b.inputs, w));
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
    gr_loader_close(l);
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
    gr_loader_close(l);
    gr_dataset_free(d);
}
END_TEST

START_TEST(loaders_that_cannot_be)
{
    gr_dataset *d = ten();
    gr_batch    b;
    gr_loader  *l = gr_loader_open(d, 4);
    FAILS(gr_loader_open(NULL, 4), GR_ERR_ARGUMENT, "loader_open: the data set is NULL");
    FAILS(gr_loader_open(d, 0), GR_ERR_ARGUMENT,
        "loader_open: .batch 0: at least 1 image wanted");
    FAILS(gr_loader_open(d, -3), GR_ERR_ARGUMENT,
        "loader_open: .batch -3: at least 1 image wanted");
    FAILS(gr_loader_open(d, 11, .drop_last = true), GR_ERR_ARGUMENT,
        "loader_open: .drop_last leaves no batch: 10 images, 11 per batch");
    FAILS(gr_loader_open(d, 4, .mean = 0.5, .std = -1), GR_ERR_ARGUMENT,
        "loader_open: mean 0.5 and std -1: both must be finite, and std over 0");
    FAILS(gr_next_batch(NULL, &b), GR_ERR_ARGUMENT, "next_batch: the loader is NULL");
    FAILS(gr_next_batch(l, NULL), GR_ERR_ARGUMENT, "next_batch: the batch is NULL");
    ck_assert_int_eq(gr_loader_epoch(NULL), -1);
    failed_with(GR_ERR_ARGUMENT, "loader_epoch: the loader is NULL");
    ck_assert_int_eq(gr_loader_batches(NULL), -1);
    failed_with(GR_ERR_ARGUMENT, "loader_batches: the loader is NULL");
    gr_loader_close(NULL);
    nothing_failed();
    gr_loader_close(l);
    gr_dataset_free(d);
}
END_TEST

/* ---- numbers of each channel ---- */

/* Two images (3,1,2). */
static gr_dataset *two_in_colour(void)
{
    const unsigned char images[12] = { 0, 51, 102, 153, 204, 255, 255, 204, 153, 102, 51, 0 },
                        labels[2] = { 0, 1 };
    return gr_dataset_from(gr_shape(3, 1, 2), 2, images, labels, 2);
}

START_TEST(each_channel_has_its_mean_and_std)
{
    gr_dataset *d = two_in_colour();
    gr_loader  *l = gr_loader_open(
         d, 2, .in_order = true, .channel_mean = { 0.5, 0, 0.25 }, .channel_std = { 0.5, 2, 0.25 });
    gr_loader *means = gr_loader_open(d, 2, .in_order = true, .channel_mean = { 0, 0, 0.5 });
    gr_batch   b;
    ck_assert_msg(l && means, "%s", gr_error());
    ck_assert(gr_next_batch(l, &b));
    NEAR(b.inputs, gr_shape(2, 3, 1, 2), 1e-6, -1, -0.6, 0.2, 0.3, 2.2, 3, 1, 0.6, 0.3, 0.2, -0.2,
        -1);
    ck_assert(gr_next_batch(means, &b));
    NEAR(b.inputs, gr_shape(2, 3, 1, 2), 1e-6, 0, 0.2, 0.4, 0.6, 0.3, 0.5, 1, 0.8, 0.6, 0.4, -0.3,
        -0.5);
    gr_loader_close(l);
    gr_loader_close(means);
    gr_dataset_free(d);
}
END_TEST

START_TEST(channels_that_cannot_be)
{
    gr_dataset         *d = two_in_colour(), *grey = ten();
    const unsigned char b[10] = { 0 };
    gr_dataset         *flat = gr_dataset_from(gr_shape(2), 4, b, b, 1),
               *many = gr_dataset_from(gr_shape(5, 1, 1), 2, b, b, 1);
    FAILS(gr_loader_open(d, 2, .channel_std = { 1, 1 }), GR_ERR_ARGUMENT,
        "loader_open: images (3,1,2) have 3 channels, .channel_std is given for 2");
    FAILS(gr_loader_open(d, 2, .channel_mean = { 0, 0, 0, 1 }), GR_ERR_ARGUMENT,
        "loader_open: images (3,1,2) have 3 channels, .channel_mean is given for 4");
    FAILS(gr_loader_open(grey, 2, .channel_mean = { 0.5, 0.5, 0.5 }, .channel_std = { 1, 1, 1 }),
        GR_ERR_ARGUMENT,
        "loader_open: images (1,2,3) have 1 channel, .channel_mean is given for 3");
    FAILS(gr_loader_open(d, 2, .channel_std = { 1, 0, 1 }), GR_ERR_ARGUMENT,
        "loader_open: .channel_std of channel 1 is 0");
    FAILS(gr_loader_open(d, 2, .channel_std = { 1, -1, 1 }), GR_ERR_ARGUMENT,
        "loader_open: mean 0 and std -1: both must be finite, and std over 0");
    FAILS(gr_loader_open(d, 2, .std = 1, .channel_mean = { 1, 1, 1 }), GR_ERR_ARGUMENT,
        "loader_open: .mean and .std are of all channels, .channel_mean and .channel_std of each: "
        "not both");
    FAILS(gr_loader_open(flat, 2, .channel_mean = { 1, 1 }), GR_ERR_ARGUMENT,
        "loader_open: images (2): .channel_mean and .channel_std want (C,H,W) with up to 4 "
        "channels");
    FAILS(gr_loader_open(many, 2, .channel_mean = { 1, 1 }), GR_ERR_ARGUMENT,
        "loader_open: images (5,1,1): .channel_mean and .channel_std want (C,H,W) with up to 4 "
        "channels");
    gr_dataset_free(d);
    gr_dataset_free(grey);
    gr_dataset_free(flat);
    gr_dataset_free(many);
}
END_TEST

/* ---- images changed at random ---- */

enum { SIDE = 5, AREA = SIDE * SIDE };

/* Copies of one image (1,5,5) that no flip or shift leaves as it is: bytes 10, 17, 24, ... */
static gr_dataset *copies(int64_t count)
{
    unsigned char *images = malloc((size_t)count * AREA), *labels = calloc((size_t)count, 1);
    for (int64_t k = 0; k < count * AREA; k++) images[k] = (unsigned char)(10 + 7 * (k % AREA));
    gr_dataset *d = gr_dataset_from(gr_shape(1, SIDE, SIDE), count, images, labels, 1);
    ck_assert_msg(d, "%s", gr_error());
    free(images);
    free(labels);
    return d;
}

static int byte_of(const gr_batch *b, int64_t i)
{
    return (int)((double)gr_data(b->inputs)[i] * 255 + 0.5);
}

/* The original's byte, with what was said of the outside. */
static int original(int i, int j, bool reflect, int fill)
{
    if (reflect) {
        i = i < 0 ? -i : i >= SIDE ? 2 * (SIDE - 1) - i : i;
        j = j < 0 ? -j : j >= SIDE ? 2 * (SIDE - 1) - j : j;
    }
    return i >= 0 && i < SIDE && j >= 0 && j < SIDE ? 10 + 7 * (i * SIDE + j) : fill;
}

/* By how much image n of the batch was cropped, from 0 to 4 each way, and flipped: 2 (5 down +
   right) + flipped. */
static int crop_of(const gr_batch *b, int64_t n, bool reflect, int fill)
{
    int found = -1;
    for (int code = 0; code < 50; code++) {
        bool same = true;
        for (int k = 0; same && k < AREA; k++) {
            int i = k / SIDE + code / 10 - 2,
                j = (code % 2 ? SIDE - 1 - k % SIDE : k % SIDE) + code / 2 % 5 - 2;
            same = byte_of(b, n * AREA + k) == original(i, j, reflect, fill);
        }
        if (same) found = code;
    }
    ck_assert_msg(found >= 0, "image %lld is no crop", (long long)n);
    return found;
}

START_TEST(crops_and_flips_are_as_likely_each)
{
    gr_dataset      *d = copies(5000);
    const gr_augment how[] = { { .crop_padding = 2, .flip = true },
        { .crop_padding = 2, .flip = true, .fill = 255 },
        /* at 2 some mirrored crops are symmetric */
        { .crop_padding = 1, .flip = true, .reflect = true } };
    for (int k = 0; k < 3; k++) {
        gr_loader *l = gr_loader_open(d, 5000, .seed = 1, .augment = how[k]);
        gr_batch   b;
        int        of[50] = { 0 };
        ck_assert_msg(l && gr_next_batch(l, &b), "%s", gr_error());
        for (int64_t n = 0; n < 5000; n++) of[crop_of(&b, n, how[k].reflect, how[k].fill)]++;
        int padding = (int)how[k].crop_padding,
            usual = 2500 / ((2 * padding + 1) * (2 * padding + 1));
        for (int code = 0; code < 50; code++)
            if (abs(code / 10 - 2) <= padding && abs(code / 2 % 5 - 2) <= padding)
                ck_assert_msg(of[code] > usual / 2 && of[code] < usual * 3 / 2,
                    "%d of 5000, about %d expected", of[code], usual);
            else
                ck_assert_int_eq(of[code], 0);
        gr_loader_close(l);
    }
    gr_dataset_free(d);
}
END_TEST

START_TEST(a_change_leaves_the_others_as_they_were)
{
    gr_dataset *d = copies(100);
    gr_loader  *crops = gr_loader_open(d, 100, .augment = { .crop_padding = 2 });
    gr_loader  *both = gr_loader_open(d, 100, .augment = { .crop_padding = 2, .flip = true });
    gr_loader  *flips = gr_loader_open(d, 100, .augment = { .flip = true });
    gr_batch    a, b, c;
    int         flipped = 0;
    ck_assert(gr_next_batch(crops, &a) && gr_next_batch(both, &b) && gr_next_batch(flips, &c));
    for (int64_t n = 0; n < 100; n++) {
        int crop = crop_of(&a, n, false, 0), flip = crop_of(&c, n, false, 0) - 24;
        ck_assert(crop % 2 == 0 && (flip == 0 || flip == 1));
        for (int k = 0; k < AREA; k++)
            ck_assert_int_eq(byte_of(&b, n * AREA + k),
                byte_of(&a, n * AREA + (flip ? k + SIDE - 1 - 2 * (k % SIDE) : k)));
        flipped += flip;
    }
    ck_assert(flipped > 30 && flipped < 70);
    gr_loader_close(crops);
    gr_loader_close(both);
    gr_loader_close(flips);
    gr_dataset_free(d);
}
END_TEST

/* Against torch.nn.functional.grid_sample in double, align_corners on. */
START_TEST(turned_and_shifted_images)
{
    const gr__planes    p = { .c = 2, .h = 4, .w = 5 }, square = { .c = 1, .h = 3, .w = 3 };
    const gr_augment    zeros = { 0 }, mirror = { .reflect = true }, light = { .fill = 200 };
    const unsigned char one[9] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 },
                        left[9] = { 3, 6, 9, 2, 5, 8, 1, 4, 7 },
                        moved[9] = { 0, 0, 0, 0, 1, 2, 0, 4, 5 };
    const double expected[3][20] = {
        { 0, 48.95, 152.23, 125.64, 2.13, 39.6, 111.01, 186.49, 91.22, 38.78, 50.92, 123.84, 168.17,
            31.85, 122.95, 54.31, 130.6, 123.01, 46.57, 56.09 },
        { 78.32, 98.26, 106.3, 86.06, 62.33, 83.93, 141.54, 159.4, 160.13, 130.33, 131.14, 194.8,
            24.11, 128.59, 178.88, 174.84, 101.5, 61.79, 62.76, 85.05 },
        { 200, 170.36, 173.64, 142.15, 191.84, 87.81, 111.01, 186.49, 91.22, 128.5, 50.92, 123.84,
            168.17, 31.85, 122.95, 57.42, 130.6, 123.01, 46.57, 154.29 },
    };
    unsigned char x[40], y[40];
    for (int k = 0; k < 40; k++)
        x[k] = (unsigned char)(k % 20 / 5 * 37 + k % 5 * 53 + 7 * (k % 20 / 5) * (k % 5));
    for (int k = 0; k < 3; k++) {
        if (k == 1)
            gr__turn(&mirror, &p, -75, 0, 1.5, x, y);
        else
            gr__turn(k ? &light : &zeros, &p, 30, 0.5, -0.25, x, y);
        for (int i = 0; i < 40; i++)
            ck_assert_msg(
                fabs(y[i] - expected[k][i % 20]) < 0.55, "%d: pixel %d is %d", k, i, y[i]);
    }
    gr__turn(&zeros, &square, 90, 0, 0, one, y);
    ck_assert_mem_eq(y, left, 9);
    gr__turn(&zeros, &square, 0, 1, 1, one, y);
    ck_assert_mem_eq(y, moved, 9);
}
END_TEST

/* A ramp from left to right shows in its turned image by how much: its values fall down a column as
   the sine. */
START_TEST(every_angle_is_as_likely)
{
    enum { RAMP = 21, MANY = 2000 };
    unsigned char *images = malloc(MANY * RAMP * RAMP), *labels = calloc(MANY, 1);
    for (int k = 0; k < MANY * RAMP * RAMP; k++) images[k] = (unsigned char)(28 + 10 * (k % RAMP));
    gr_dataset *d = gr_dataset_from(gr_shape(1, RAMP, RAMP), MANY, images, labels, 1);
    gr_loader  *turns = gr_loader_open(d, MANY, .augment = { .rotation = 30 });
    gr_loader  *shifts = gr_loader_open(d, MANY, .augment = { .shift = 2 });
    gr_batch    b;
    int         angles[6] = { 0 }, places[8] = { 0 };
    ck_assert(gr_next_batch(turns, &b));
    for (int64_t n = 0; n < MANY; n++) {
        int above = byte_of(&b, (n * RAMP + 5) * RAMP + 10),
            below = byte_of(&b, (n * RAMP + 15) * RAMP + 10);
        double degrees = asin((above - below) / 100.0) * 57.29577951308232;
        ck_assert_msg(fabs(degrees) < 30.5, "%g degrees", degrees);
        angles[(int)fmin(5, fmax(0, (degrees + 30) / 10))]++;
    }
    ck_assert(gr_next_batch(shifts, &b));
    for (int64_t n = 0; n < MANY; n++) {
        double right = (128 - byte_of(&b, (n * RAMP + 10) * RAMP + 10)) / 10.0;
        ck_assert_msg(fabs(right) < 2.06, "%g pixels", right);
        places[(int)fmin(7, fmax(0, (right + 2) * 2))]++;
    }
    for (int k = 0; k < 6; k++)
        ck_assert_msg(angles[k] > 240 && angles[k] < 430, "%d of 2000 angles", angles[k]);
    for (int k = 0; k < 8; k++)
        ck_assert_msg(places[k] > 180 && places[k] < 320, "%d of 2000 shifts", places[k]);
    gr_loader_close(turns);
    gr_loader_close(shifts);
    gr_dataset_free(d);
    free(images);
    free(labels);
}
END_TEST

typedef struct box {
    int count, top, bottom, left, right;
} box;

/* The black pixels of plane n of a white image. */
static box black(const gr_batch *b, int64_t n, int side)
{
    box x = { 0, side, -1, side, -1 };
    for (int k = 0; k < side * side; k++) {
        if (byte_of(b, n * side * side + k) == 255) continue;
        ck_assert_int_eq(byte_of(b, n * side * side + k), 0);
        x.count++;
        x.top = k / side < x.top ? k / side : x.top;
        x.bottom = k / side;
        x.left = k % side < x.left ? k % side : x.left;
        x.right = k % side > x.right ? k % side : x.right;
    }
    return x;
}

START_TEST(erased_rectangles)
{
    enum { WIDE = 20, MANY = 2000 };
    unsigned char *images = malloc(MANY * 2 * WIDE * WIDE), *labels = calloc(MANY, 1);
    memset(images, 255, MANY * 2 * WIDE * WIDE);
    gr_dataset *d = gr_dataset_from(gr_shape(2, WIDE, WIDE), MANY, images, labels, 1);
    gr_loader  *half = gr_loader_open(d, MANY, .seed = 2, .augment = { .erase = 0.5 });
    gr_loader  *sure = gr_loader_open(d, MANY, .seed = 2,
         .augment = { .erase = 1, .erase_scale = { 0.25, 0.25 }, .erase_ratio = { 1, 1 } });
    gr_batch    b;
    int         erased = 0, tall = 0, high = 0;
    double      part = 0;
    ck_assert_msg(half && sure, "%s", gr_error());
    ck_assert(gr_next_batch(half, &b));
    for (int64_t n = 0; n < MANY; n++) {
        box x = black(&b, 2 * n, WIDE), other = black(&b, 2 * n + 1, WIDE);
        ck_assert_mem_eq(&x, &other, sizeof x); /* the same in both channels */
        if (x.count == 0) continue;
        int h = x.bottom - x.top + 1, w = x.right - x.left + 1;
        ck_assert_int_eq(x.count, h * w);
        ck_assert_msg(h < WIDE && w < WIDE && h <= 4 * w + 2 && w <= 4 * h + 2, "%d x %d", h, w);
        ck_assert_msg(x.count >= 4 && x.count < 0.36 * WIDE * WIDE, "%d x %d", h, w);
        erased++;
        tall += h > w;
        high += x.top + x.bottom < WIDE - 1;
        part += (double)x.count / (WIDE * WIDE) - 0.175;
    }
    ck_assert_msg(erased > 900 && erased < 1100, "%d of 2000 erased", erased);
    ck_assert_msg(
        tall > 0.4 * erased && tall < 0.55 * erased && high > 0.4 * erased && high < 0.55 * erased,
        "%d %d", tall, high);
    ck_assert_msg(fabs(part / erased) < 0.015, "the mean is off by %g", part / erased);
    ck_assert(gr_next_batch(sure, &b));
    for (int64_t n = 0; n < MANY; n++) {
        box x = black(&b, 2 * n, WIDE);
        ck_assert(x.count == 100 && x.bottom - x.top == 9 && x.right - x.left == 9);
    }
    gr_loader_close(half);
    gr_loader_close(sure);
    gr_dataset_free(d);
    free(images);
    free(labels);
}
END_TEST

static const gr_augment everything = {
    .rotation = 20, .shift = 2, .crop_padding = 3, .flip = true, .erase = 0.5, .reflect = true
};

/* The numbers of an epoch, each image where its label says: labels are 0 .. 199. */
static void read_by_label(gr_loader *l, gr_real *numbers)
{
    gr_batch b;
    while (gr_next_batch(l, &b))
        for (int64_t i = 0; i < b.count; i++)
            memcpy(numbers + gr_ints(b.targets)[i] * 192, gr_data(b.inputs) + i * 192,
                sizeof *numbers * 192);
    nothing_failed();
}

static gr_dataset *two_hundred(void)
{
    unsigned char images[200 * 192], labels[200];
    gr_rng        rng = gr_rng_of(1, "images");
    for (int i = 0; i < 200 * 192; i++) images[i] = (unsigned char)gr_rng_below(&rng, 256);
    for (int i = 0; i < 200; i++) labels[i] = (unsigned char)i;
    return gr_dataset_from(gr_shape(3, 8, 8), 200, images, labels, 200);
}

START_TEST(a_change_depends_on_seed_epoch_and_image)
{
    gr_dataset *d = two_hundred();
    size_t      size = sizeof(gr_real) * 200 * 192;
    gr_real    *first = malloc(size), *second = malloc(size), *again = malloc(size);
    gr_loader  *l = gr_loader_open(d, 64, .seed = 4, .augment = everything),
              *other = gr_loader_open(d, 64, .augment = everything);
    gr_set_threads(1);
    read_by_label(l, first);
    read_by_label(l, second);
    ck_assert(memcmp(first, second, size) != 0);
    read_by_label(other, again);
    ck_assert(memcmp(first, again, size) != 0);
    for (int threads = 1; threads <= 4; threads++) {
        gr_set_threads(threads);
        gr_loader *m = gr_loader_open(
            d, 37 * threads, .seed = 4, .in_order = threads % 2, .augment = everything);
        ck_assert(gr_loader_seek(m, 1, 0));
        memset(again, 0, size);
        read_by_label(m, again);
        ck_assert(memcmp(second, again, size) == 0);
        gr_loader_close(m);
    }
    gr_set_threads(0);
    gr_loader_close(l);
    gr_loader_close(other);
    gr_dataset_free(d);
    free(first);
    free(second);
    free(again);
}
END_TEST

#define AUGMENT_FAILS(text, ...) \
    FAILS(gr_loader_open(d, 4, .augment = { __VA_ARGS__ }), GR_ERR_ARGUMENT, "loader_open: " text)

START_TEST(changes_that_cannot_be)
{
    gr_dataset         *d = copies(4);
    const unsigned char b[4] = { 0 };
    AUGMENT_FAILS(".crop_padding of -1: 0 to 5 wanted", .crop_padding = -1);
    AUGMENT_FAILS(".crop_padding of 6: 0 to 5 wanted", .crop_padding = 6);
    AUGMENT_FAILS(".shift of -2: 0 to 5 wanted", .shift = -2);
    AUGMENT_FAILS(".shift of nan: 0 to 5 wanted", .shift = NAN);
    AUGMENT_FAILS(".rotation of 181: 0 to 180 wanted", .rotation = 181);
    AUGMENT_FAILS(".erase of 1.5: 0 to 1 wanted", .erase = 1.5);
    AUGMENT_FAILS(".fill of 256: 0 to 255 wanted", .flip = true, .fill = 256);
    AUGMENT_FAILS(".erase_scale from 0 to 0.5: over 0, rising, up to 1 wanted", .erase = 1,
        .erase_scale = { 0, 0.5 });
    AUGMENT_FAILS(".erase_scale from 0.5 to 0.4: over 0, rising, up to 1 wanted", .erase = 1,
        .erase_scale = { 0.5, 0.4 });
    AUGMENT_FAILS(".erase_ratio from 1 to 1001: over 0, rising, up to 1000 wanted", .erase = 1,
        .erase_ratio = { 1, 1001 });
    gr_dataset_free(d);
    d = gr_dataset_from(gr_shape(1), 4, b, b, 1);
    AUGMENT_FAILS(".augment wants images (C,H,W), these are (1)", .flip = true);
    gr_dataset_free(d);
}
END_TEST

/* ---- the place ---- */

/* The images of the batches that come until the end of epoch number 2, and the ends of epochs as
   -1. */
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
        gr_loader *there = gr_loader_open(d, 4, .seed = 3),
                  *resumed = gr_loader_open(d, 4, .seed = 3);
        gr_batch b;
        int      expected[64], got[64];
        for (int i = 0; i < place; i++) gr_next_batch(there, &b);
        ck_assert_int_eq(gr_loader_epoch(there), place / 4);
        ck_assert_int_eq(gr_loader_batch_index(there), place % 4);
        for (int i = 0; i < place % 5; i++) gr_next_batch(resumed, &b);
        ck_assert(gr_loader_seek(resumed, gr_loader_epoch(there), gr_loader_batch_index(there)));
        int n = read_on(there, expected);
        ck_assert_int_eq(read_on(resumed, got), n);
        ck_assert_mem_eq(expected, got, sizeof *got * (size_t)n);
        gr_loader_close(there);
        gr_loader_close(resumed);
    }
    gr_dataset_free(d);
}
END_TEST

START_TEST(places_that_cannot_be)
{
    gr_dataset *d = ten();
    gr_loader  *l = gr_loader_open(d, 4);
    ck_assert(gr_loader_seek(l, 7, 2));
    FAILS(gr_loader_seek(l, 0, 4), GR_ERR_ARGUMENT,
        "loader_seek: there is no batch 4 of epoch 0: 3 batches per epoch");
    FAILS(gr_loader_seek(l, 0, -1), GR_ERR_ARGUMENT,
        "loader_seek: there is no batch -1 of epoch 0: 3 batches per epoch");
    FAILS(gr_loader_seek(l, -1, 0), GR_ERR_ARGUMENT,
        "loader_seek: there is no batch 0 of epoch -1: 3 batches per epoch");
    FAILS(gr_loader_seek(NULL, 0, 0), GR_ERR_ARGUMENT, "loader_seek: the loader is NULL");
    ck_assert_int_eq(gr_loader_batch_index(NULL), -1);
    failed_with(GR_ERR_ARGUMENT, "loader_batch_index: the loader is NULL");
    ck_assert_int_eq(gr_loader_epoch(l), 7);
    ck_assert_int_eq(gr_loader_batch_index(l), 2);
    gr_loader_close(l);
    gr_dataset_free(d);
}
END_TEST

/* ---- a batch ahead ---- */

/* What is read in so many calls, and whether each call gave a batch. */
static uint64_t hash_of(gr_loader *l, int calls)
{
    uint64_t hash = 0xcbf29ce484222325u;
    gr_batch b;
    for (int k = 0; k < calls; k++) {
        bool more = gr_next_batch(l, &b);
        nothing_failed();
        hash = (hash ^ (uint64_t)(more ? b.count : 0)) * 0x100000001b3u;
        for (int64_t i = 0; more && i < gr_count(b.inputs); i++)
            hash = (hash ^ (uint64_t)((double)gr_data(b.inputs)[i] * 1e6 + 1e9)) * 0x100000001b3u;
        for (int64_t i = 0; more && i < b.count; i++)
            hash = (hash ^ (uint64_t)gr_ints(b.targets)[i]) * 0x100000001b3u;
    }
    return hash;
}

START_TEST(the_same_batches_are_prepared_ahead)
{
    gr_dataset *d = two_hundred();
    uint64_t    first[2], later[2], partial[2];
    for (int k = 0; k < 2; k++) { /* 5 batches an epoch, the last one partial */
        gr_loader *l = gr_loader_open(d, 45, .seed = 4, .channel_mean = { 0.5, 0.4, 0.3 },
            .augment = everything, .prefetch = k);
        gr_loader *dropped = gr_loader_open(d, 45, .drop_last = true, .prefetch = k),
                  *one = gr_loader_open(d, 300, .prefetch = k);
        gr_batch b;
        first[k] = hash_of(l, 20);
        ck_assert_int_eq(gr_loader_epoch(l), 3);
        ck_assert(gr_loader_seek(l, 1, 4) && gr_loader_seek(l, 7, 3));
        later[k] = hash_of(l, 4);
        ck_assert(gr_loader_epoch(l) == 8 && gr_loader_batch_index(l) == 1);
        partial[k] = hash_of(dropped, 7) ^ hash_of(one, 5);
        ck_assert(
            gr_loader_seek(one, 2, 1) && !gr_next_batch(one, &b) && gr_loader_epoch(one) == 3);
        gr_loader_close(l);
        gr_loader_close(dropped);
        gr_loader_close(one);
    }
    ck_assert(first[0] == first[1] && later[0] == later[1] && partial[0] == partial[1]);
    ck_assert(first[0] != later[0]);
    gr_dataset_free(d);
}
END_TEST

START_TEST(a_loader_ahead_has_two_pairs_of_tensors)
{
    gr_dataset *d = ten();
    size_t      live = gr_memory().live;
    gr_loader  *l = gr_loader_open(d, 4, .prefetch = true);
    gr_tensor  *w = gr_param(gr_ones(gr_shape(1)));
    gr_batch    b, c;
    ck_assert(gr_next_batch(l, &b) && gr_next_batch(l, &c));
    ck_assert_ptr_ne(b.inputs, c.inputs);
    {
        GR_STEP;
        gr_tensor *loss = gr_sum(gr_mul(c.inputs, w));
        ck_assert(gr_loader_seek(l, 0, 0) && gr_next_batch(l, &b));
        ck_assert(!gr_backward(loss));
        ck_assert_int_eq(gr_error_code(), GR_ERR_GRAPH);
        gr_clear_error();
        loss = gr_sum(gr_mul(b.inputs, w));
        ck_assert(gr_backward(loss));
    }
    size_t calls = gr_memory().system_calls, now = gr_memory().live;
    for (int k = 0; k < 50; k++) gr_next_batch(l, &b);
    nothing_failed();
    ck_assert_uint_eq(gr_memory().system_calls, calls);
    ck_assert_uint_eq(gr_memory().live, now);
    gr_loader_close(l);
    gr_free(w);
    ck_assert_uint_eq(gr_memory().live, live);
    gr_dataset_free(d);
}
END_TEST

START_TEST(a_loader_ahead_is_freed_at_any_moment)
{
    gr_dataset *d = two_hundred();
    gr_batch    b;
    for (int k = 0; k < 60; k++) {
        gr_loader *l = gr_loader_open(d, 45, .augment = everything, .prefetch = true);
        for (int i = 0; i < k % 7; i++) gr_next_batch(l, &b);
        if (k % 3 == 0) gr_loader_seek(l, 5, 1);
        gr_loader_close(l);
    }
    nothing_failed();
    gr_dataset_free(d);
}
END_TEST

/* A child has not got the thread. */
START_TEST(a_loader_ahead_after_a_fork)
{
#ifdef __SANITIZE_THREAD__
    puts("skipped: the thread sanitizer does not follow a fork of a process with threads");
    return;
#endif
    gr_dataset *d = two_hundred();
    gr_loader  *l = gr_loader_open(d, 45, .seed = 1, .augment = everything, .prefetch = true);
    gr_loader  *plain = gr_loader_open(d, 45, .seed = 1, .augment = everything);
    gr_batch    b;
    ck_assert(gr_next_batch(l, &b) && gr_loader_seek(plain, 0, 1));
    uint64_t expected = hash_of(plain, 12);
    for (int k = 0; k < 3; k++) {
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            bool same = k == 0 || hash_of(l, 12) == expected;
            if (k < 2) gr_loader_close(l); /* else the child ends while its thread is at work */
            _exit(same ? 0 : 1); /* what the lost thread had is nobody's any more */
        }
        int status = -1;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    ck_assert(hash_of(l, 12) == expected);
    gr_loader_close(l);
    gr_loader_close(plain);
    gr_dataset_free(d);
}
END_TEST

/* ---- changes of the caller's ---- */

typedef struct own {
    int      refuse, calls;
    bool     by_library;
    double   numbers;
    gr_shape shape;
} own;

/* 255 minus the byte; refuses the image that begins with a certain byte. */
static bool negative(unsigned char *image, gr_shape shape, gr_rng *rng, void *arg)
{
    own *o = arg;
    o->calls++;
    o->shape = shape;
    o->numbers += gr_rng_uniform(rng);
    if (image[0] == o->refuse && o->by_library) return gr_item(NULL) == 0;
    if (image[0] == o->refuse) return false;
    for (int k = 0; k < SIZE; k++) image[k] = (unsigned char)(255 - image[k]);
    return true;
}

START_TEST(a_change_of_the_callers)
{
    gr_dataset *d = ten();
    double      numbers[4];
    for (int k = 0; k < 4; k++) { /* ahead or not, in order or not */
        own        o = { .refuse = -1 };
        gr_loader *l = gr_loader_open(d, 10, .in_order = k / 2,
            .augment = { .change = negative, .arg = &o }, .prefetch = k % 2);
        gr_batch   b;
        ck_assert(gr_next_batch(l, &b));
        for (int i = 0; i < COUNT * SIZE; i++)
            ck_assert_int_eq(byte_of(&b, i),
                255 - gr_dataset_image(
                          d, k / 2 ? i / SIZE
                                   : (int)(255 - byte_of(&b, i / SIZE * SIZE)) / 20)[i % SIZE]);
        ck_assert(!gr_next_batch(l, &b));
        gr_loader_close(l); /* the thread has ended, also one that was at the second epoch */
        ck_assert_int_eq(o.calls % 10, 0);
        ck_assert(same_shape(o.shape, gr_shape(1, 2, 3)));
        ck_assert(k % 2 || o.calls == 10);
        numbers[k] = o.numbers;
    }
    ck_assert(fabs(numbers[0] - numbers[2]) < 1e-9); /* the image's, not its place's */
    gr_dataset_free(d);
}
END_TEST

static int       told;
static pthread_t told_in;

static void tell(const char *message)
{
    (void)message;
    told++;
    told_in = pthread_self();
}

START_TEST(a_failed_change_is_the_callers_failure)
{
    gr_dataset *d = ten();
    gr_on_error(tell);
    for (int k = 0; k < 4; k++) {
        own        o = { .refuse = 100, .by_library = k / 2 }; /* image 5, in the second batch */
        gr_loader *l = gr_loader_open(d, 4, .in_order = true,
            .augment = { .change = negative, .arg = &o }, .prefetch = k % 2);
        gr_batch   b;
        told = 0;
        ck_assert(gr_next_batch(l, &b));
        for (int again = 0; again < 2; again++) {
            nothing_failed();
            FAILS(gr_next_batch(l, &b), GR_ERR_ARGUMENT,
                k / 2 ? "item: the tensor is NULL" : "next_batch: .change refuses image 5");
            ck_assert_int_eq(told, again + 1);
            ck_assert(pthread_equal(told_in, pthread_self()));
            ck_assert_int_eq(gr_loader_batch_index(l), 1);
        }
        ck_assert(gr_loader_seek(l, 0, 2)); /* what was asked for in vain is forgotten */
        ck_assert(gr_next_batch(l, &b) && byte_of(&b, 0) == 255 - 160);
        nothing_failed();
        ck_assert(gr_loader_seek(l, 0, 1));
        ck_assert(!gr_next_batch(l, &b));
        gr_clear_error();
        o.refuse = -1; /* the same batch is tried again, and it can be had now */
        ck_assert(gr_next_batch(l, &b) && byte_of(&b, 0) == 255 - 80);
        nothing_failed();
        gr_loader_close(l);
    }
    gr_on_error(NULL);
    gr_dataset_free(d);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loader");
    TCase *c = cases(s, "in what order");
    tcase_add_test(c, batches_in_order);
    tcase_add_test(c, batches_in_an_order_from_the_seed);
    tcase_add_test(c, every_order_is_as_likely);
    tcase_add_test(c, the_last_batch);
    tcase_add_test(c, batches_are_one_pair_of_tensors_filled_again);
    tcase_add_test(c, a_graph_over_an_old_batch_is_refused);
    tcase_add_test(c, a_failure_ends_the_loop);
    tcase_add_test(c, loaders_that_cannot_be);
    c = cases(s, "numbers of each channel");
    tcase_add_test(c, each_channel_has_its_mean_and_std);
    tcase_add_test(c, channels_that_cannot_be);
    c = cases(s, "changed at random");
    tcase_add_test(c, crops_and_flips_are_as_likely_each);
    tcase_add_test(c, a_change_leaves_the_others_as_they_were);
    tcase_add_test(c, turned_and_shifted_images);
    tcase_add_test(c, every_angle_is_as_likely);
    tcase_add_test(c, erased_rectangles);
    tcase_add_test(c, a_change_depends_on_seed_epoch_and_image);
    tcase_add_test(c, changes_that_cannot_be);
    c = cases(s, "the place");
    tcase_add_test(c, a_loader_goes_on_from_any_place);
    tcase_add_test(c, places_that_cannot_be);
    c = cases(s, "a batch ahead");
    tcase_add_test(c, the_same_batches_are_prepared_ahead);
    tcase_add_test(c, a_loader_ahead_has_two_pairs_of_tensors);
    tcase_add_test(c, a_loader_ahead_is_freed_at_any_moment);
    tcase_add_test(c, a_loader_ahead_after_a_fork);
    tcase_add_test(c, a_change_of_the_callers);
    tcase_add_test(c, a_failed_change_is_the_callers_failure);
    return run(s);
}
