/* test_sets.c: CIFAR-10 in its files, parts of data sets, names of classes, and the drawn
   shapes. */
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gradus.h"

/* ---- CIFAR-10 ---- */

static char folder[] = "/tmp/gradus-sets-XXXXXX";

static void enter(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_int_eq(mkdir("c", 0700), 0);
}

static void leave(void)
{
    char command[64];
    ck_assert_int_eq(chdir("/"), 0);
    snprintf(command, sizeof command, "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static void put(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

enum { RECORD = 3073 };

/* A file of n records: labels first, first + 1, ...; the pixels of each are its label + 100, + 1 in
   green, + 2 in blue. */
static void put_records(const char *path, int first, int n)
{
    unsigned char *bytes = malloc((size_t)n * RECORD), *p = bytes;
    for (int i = 0; i < n; i++) {
        *p++ = (unsigned char)(first + i);
        for (int k = 0; k < RECORD - 1; k++) *p++ = (unsigned char)(first + i + 100 + k / 1024);
    }
    put(path, bytes, (size_t)n * RECORD);
    free(bytes);
}

static void holds_labels(const gr_dataset *d, const int *labels, int n)
{
    ck_assert_msg(d, "%s", gr_error());
    ck_assert(same_shape(gr_dataset_shape(d), gr_shape(3, 32, 32)));
    ck_assert_int_eq(gr_dataset_count(d), n);
    ck_assert_int_eq(gr_dataset_classes(d), 10);
    for (int i = 0; i < n; i++) {
        ck_assert_int_eq(gr_dataset_label(d, i), labels[i]);
        ck_assert_int_eq(gr_dataset_image(d, i)[0], labels[i] + 100);
        ck_assert_int_eq(gr_dataset_image(d, i)[1024], labels[i] + 101);
        ck_assert_int_eq(gr_dataset_image(d, i)[3071], labels[i] + 102);
    }
}

START_TEST(cifar_by_hand)
{
    put_records("c/data_batch_2.bin", 3, 2);
    gr_dataset *d = gr_cifar10("c", true);
    holds_labels(d, (int[]){ 3, 4 }, 2);
    ck_assert_str_eq(gr_dataset_class_name(d, 0), "airplane");
    ck_assert_str_eq(gr_dataset_class_name(d, 9), "truck");
    FAILS(gr_dataset_class_name(d, 10), GR_ERR_ARGUMENT,
        "dataset_class_name: there is no class 10 among 10");
    FAILS(gr_dataset_class_name(d, -1), GR_ERR_ARGUMENT,
        "dataset_class_name: there is no class -1 among 10");
    gr_dataset_free(d);
    put_records("c/data_batch_5.bin", 9, 1);
    put_records("c/data_batch_1.bin", 0, 3);
    put_records("c/data_batch_6.bin", 0, 3);
    put_records("c/test_batch.bin", 5, 1);
    put("c/batches.meta.txt", "a\nbb\nc c\r\nd\ne\nf\ng\nh\ni\njay\n\n", 27);
    d = gr_cifar10("c", true);
    holds_labels(d, (int[]){ 0, 1, 2, 3, 4, 9 }, 6);
    ck_assert_str_eq(gr_dataset_class_name(d, 1), "bb");
    ck_assert_str_eq(gr_dataset_class_name(d, 2), "c c");
    ck_assert_str_eq(gr_dataset_class_name(d, 9), "jay");
    gr_dataset_free(d);
    ck_assert_int_eq(rename("c", "cifar-10-batches-bin"), 0);
    d = gr_cifar10(".", false);
    holds_labels(d, (int[]){ 5 }, 1);
    ck_assert_str_eq(gr_dataset_class_name(d, 9), "jay");
    gr_dataset_free(d);
}
END_TEST

START_TEST(cifar_that_is_none)
{
    FAILS(gr_cifar10(NULL, true), GR_ERR_ARGUMENT, "cifar10: the folder is NULL");
    FAILS(gr_cifar10("none", true), GR_ERR_FILE, "cannot open 'none': No such file or directory");
    FAILS(gr_cifar10("c", true), GR_ERR_FILE,
        "'c' holds no data_batch_1.bin to data_batch_5.bin, nor does cifar-10-batches-bin in it");
    FAILS(gr_cifar10("c", false), GR_ERR_FILE,
        "'c' holds no test_batch.bin, nor does cifar-10-batches-bin in it");
    put_records("c/data_batch_1.bin", 0, 3);
    put("c/data_batch_2.bin", "", 0);
    FAILS(gr_cifar10("c", true), GR_ERR_FORMAT,
        "'c/data_batch_2.bin' has 0 bytes, not records of 3073");
    put_records("c/data_batch_2.bin", 0, 3);
    ck_assert_int_eq(truncate("c/data_batch_2.bin", 3072), 0);
    FAILS(gr_cifar10("c", true), GR_ERR_FORMAT,
        "'c/data_batch_2.bin' has 3072 bytes, not records of 3073");
    put_records("c/data_batch_2.bin", 9, 2);
    FAILS(gr_cifar10("c", true), GR_ERR_FORMAT, "'c/data_batch_2.bin': label 1 is 10, more than 9");
    put_records("c/data_batch_2.bin", 9, 1);
    put("c/batches.meta.txt", "\na\nbb\n", 6);
    FAILS(gr_cifar10("c", true), GR_ERR_FORMAT, "'c/batches.meta.txt' names 2 classes, not 10");
    put("c/batches.meta.txt", "", 0);
    FAILS(gr_cifar10("c", true), GR_ERR_FORMAT, "'c/batches.meta.txt' names 0 classes, not 10");
    remove("c/data_batch_1.bin");
    ck_assert_int_eq(mkdir("c/data_batch_1.bin", 0700), 0);
    FAILS(gr_cifar10("c", true), GR_ERR_FILE, "cannot read 'c/data_batch_1.bin': Is a directory");
}
END_TEST

/* ---- parts ---- */

/* Image i is the byte i mod 256 and i / 256; its label is 0 for one in ten, else 1 or 2 by
   turns. */
static gr_dataset *numbered(int n)
{
    unsigned char *images = malloc(2 * (size_t)n), *labels = malloc((size_t)n);
    for (int i = 0; i < n; i++) {
        images[2 * i] = (unsigned char)i;
        images[2 * i + 1] = (unsigned char)(i >> 8);
        labels[i] = (unsigned char)(i % 10 == 0 ? 0 : 1 + i % 2);
    }
    gr_dataset *d = gr_dataset_from(gr_shape(1, 1, 2), n, images, labels, 4);
    free(images);
    free(labels);
    return d;
}

static int number_of(const gr_dataset *d, int64_t i)
{
    return gr_dataset_image(d, i)[0] + 256 * gr_dataset_image(d, i)[1];
}

/* Marks the images of a part, whose labels must be theirs and whose order the whole's. */
static void mark(const gr_dataset *part, int *seen, int *of_class)
{
    for (int64_t i = 0; i < gr_dataset_count(part); i++) {
        int n = number_of(part, i), label = n % 10 == 0 ? 0 : 1 + n % 2;
        ck_assert(i == 0 || number_of(part, i - 1) < n);
        ck_assert_int_eq(gr_dataset_label(part, i), label);
        seen[n]++;
        of_class[label]++;
    }
}

START_TEST(a_split_is_one)
{
    static const double part[] = { 0.2, 0.5, 1, 137, 999 };
    static const int    counts[] = { 200, 500, 1, 137, 999 };
    for (int k = 0; k < 5; k++) {
        gr_dataset *d = numbered(1000), *train = NULL, *validation = NULL;
        int         seen[1000] = { 0 }, of_train[4] = { 0 }, of_validation[4] = { 0 };
        ck_assert_msg(gr_dataset_split(d, part[k], 7, &train, &validation), "%s", gr_error());
        gr_dataset_free(d);
        ck_assert_int_eq(gr_dataset_count(validation), counts[k]);
        ck_assert_int_eq(gr_dataset_count(train), 1000 - counts[k]);
        ck_assert(gr_dataset_classes(train) == 4 && gr_dataset_classes(validation) == 4);
        ck_assert(same_shape(gr_dataset_shape(train), gr_shape(1, 1, 2)) &&
                  same_shape(gr_dataset_shape(validation), gr_shape(1, 1, 2)));
        mark(train, seen, of_train);
        mark(validation, seen, of_validation);
        for (int i = 0; i < 1000; i++) ck_assert_int_eq(seen[i], 1);
        static const int of_all[4] = { 100, 400, 500, 0 };
        for (int c = 0; c < 4; c++)
            ck_assert_msg(abs(1000 * of_validation[c] - counts[k] * of_all[c]) <= 1000,
                "class %d: %d of %d", c, of_validation[c], of_all[c]);
        gr_dataset_free(train);
        gr_dataset_free(validation);
    }
}
END_TEST

static void validation_of(uint64_t seed, int *numbers)
{
    gr_dataset *d = numbered(1000), *train, *validation;
    ck_assert(gr_dataset_split(d, 100, seed, &train, &validation));
    for (int i = 0; i < 100; i++) numbers[i] = number_of(validation, i);
    gr_dataset_free(d);
    gr_dataset_free(train);
    gr_dataset_free(validation);
}

START_TEST(a_split_depends_on_its_seed)
{
    int a[100], b[100], c[100], sum = 0;
    validation_of(1, a);
    validation_of(1, b);
    validation_of(2, c);
    ck_assert_mem_eq(a, b, sizeof a);
    ck_assert(memcmp(a, c, sizeof a) != 0);
    for (int seed = 0; seed < 30; seed++) {
        validation_of((uint64_t)seed, a);
        for (int i = 0; i < 100; i++) sum += a[i];
    }
    /* images from everywhere: the sum's deviation is some 15800 */
    ck_assert_msg(abs(sum - 3000 * 1000 / 2) < 60000, "%d", sum);
}
END_TEST

START_TEST(splits_that_cannot_be)
{
    gr_dataset *d = numbered(10), *a = NULL, *b = NULL;
    FAILS(gr_dataset_split(NULL, 0.5, 1, &a, &b), GR_ERR_ARGUMENT,
        "dataset_split: the data set is NULL");
    FAILS(gr_dataset_split(d, 0.5, 1, NULL, &b), GR_ERR_ARGUMENT,
        "dataset_split: the pointer to the train set is NULL");
    FAILS(gr_dataset_split(d, 0.5, 1, &a, NULL), GR_ERR_ARGUMENT,
        "dataset_split: the pointer to the validation set is NULL");
    FAILS(gr_dataset_split(d, 0, 1, &a, &b), GR_ERR_ARGUMENT,
        "dataset_split: 0 of 10 images: each part must have some");
    FAILS(gr_dataset_split(d, 0.01, 1, &a, &b), GR_ERR_ARGUMENT,
        "dataset_split: 0.01 of 10 images: each part must have some");
    FAILS(gr_dataset_split(d, 0.99, 1, &a, &b), GR_ERR_ARGUMENT,
        "dataset_split: 0.99 of 10 images: each part must have some");
    FAILS(gr_dataset_split(d, 10, 1, &a, &b), GR_ERR_ARGUMENT,
        "dataset_split: 10 of 10 images: each part must have some");
    FAILS(gr_dataset_split(d, -1, 1, &a, &b), GR_ERR_ARGUMENT,
        "dataset_split: -1 of 10 images: each part must have some");
    FAILS(gr_dataset_split(d, 2.5, 1, &a, &b), GR_ERR_ARGUMENT,
        "dataset_split: there cannot be 2.5 images");
    FAILS(gr_dataset_split(d, NAN, 1, &a, &b), GR_ERR_ARGUMENT,
        "dataset_split: there cannot be nan images");
    FAILS(gr_dataset_split(d, 0.5, 1, &a, &a), GR_ERR_ARGUMENT,
        "dataset_split: both pointers are the same");
    ck_assert(!a && !b);
    gr_dataset_free(d);
}
END_TEST

START_TEST(a_subset_holds_what_was_asked_for)
{
    const int64_t index[] = { 7, 3, 7, 300 };
    gr_dataset   *d = numbered(301);
    FAILS(
        gr_dataset_subset(NULL, index, 4), GR_ERR_ARGUMENT, "dataset_subset: the data set is NULL");
    FAILS(gr_dataset_subset(d, NULL, 4), GR_ERR_ARGUMENT,
        "dataset_subset: the list of images is NULL");
    FAILS(gr_dataset_subset(d, index, 0), GR_ERR_ARGUMENT,
        "dataset_subset: there cannot be 0 images");
    FAILS(gr_dataset_subset(d, (const int64_t[]){ 0, 301 }, 2), GR_ERR_ARGUMENT,
        "dataset_subset: there is no image 301 among 301");
    gr_dataset *s = gr_dataset_subset(d, index, 4);
    gr_dataset_free(d);
    ck_assert_int_eq(gr_dataset_count(s), 4);
    for (int i = 0; i < 4; i++) ck_assert_int_eq(number_of(s, i), index[i]);
    ck_assert(gr_dataset_label(s, 0) == 2 && gr_dataset_label(s, 3) == 0);
    ck_assert_str_eq(gr_dataset_class_name(s, 3), "3");
    gr_dataset_free(s);
}
END_TEST

START_TEST(names_of_nothing)
{
    FAILS(gr_dataset_class_name(NULL, 0), GR_ERR_ARGUMENT,
        "dataset_class_name: the data set is NULL");
    ck_assert_int_eq(gr_dataset_skipped(NULL), -1);
    failed_with(GR_ERR_ARGUMENT, "dataset_skipped: the data set is NULL");
    FAILS(gr_dataset_skipped_why(NULL, 0), GR_ERR_ARGUMENT,
        "dataset_skipped_why: the data set is NULL");
}
END_TEST

/* ---- drawn shapes ---- */

enum { BYTES = 3 * 32 * 32 };

static uint64_t hash_of_shapes(int64_t count, uint64_t seed)
{
    uint64_t    hash = 0xcbf29ce484222325u;
    gr_dataset *d = gr_shapes(count, seed);
    ck_assert_msg(d, "%s", gr_error());
    for (int64_t i = 0; i < count; i++) {
        for (int k = 0; k < BYTES; k++) hash = (hash ^ gr_dataset_image(d, i)[k]) * 0x100000001b3u;
        hash = (hash ^ (uint64_t)gr_dataset_label(d, i)) * 0x100000001b3u;
    }
    gr_dataset_free(d);
    return hash;
}

START_TEST(shapes_are_the_same_everywhere)
{
    /* Recorded; accuracies that are told elsewhere hang on it. */
    ck_assert_msg(hash_of_shapes(300, 1) == 0x48a0180d41cd8cf8u, "%#llxu",
        (unsigned long long)hash_of_shapes(300, 1));
    gr_set_threads(1);
    uint64_t one = hash_of_shapes(500, 7);
    gr_set_threads(2);
    ck_assert(hash_of_shapes(500, 7) == one);
    ck_assert(hash_of_shapes(500, 8) != one);
}
END_TEST

START_TEST(a_shape_depends_on_its_seed_and_number)
{
    gr_dataset *few = gr_shapes(60, 3), *many = gr_shapes(200, 3), *other = gr_shapes(60, 4);
    int         same = 0;
    for (int i = 0; i < 60; i++) {
        ck_assert(memcmp(gr_dataset_image(few, i), gr_dataset_image(many, i), BYTES) == 0);
        ck_assert_int_eq(gr_dataset_label(few, i), gr_dataset_label(many, i));
        for (int k = 0; k < 200; k++)
            same +=
                k != i && memcmp(gr_dataset_image(few, i), gr_dataset_image(many, k), BYTES) == 0;
        for (int k = 0; k < 60; k++)
            same += memcmp(gr_dataset_image(few, i), gr_dataset_image(other, k), BYTES) == 0;
    }
    ck_assert_int_eq(same, 0);
    gr_dataset_free(few);
    gr_dataset_free(many);
    gr_dataset_free(other);
}
END_TEST

/* No channel of any pixel, and no mean over an image, tells a class. */
START_TEST(shapes_have_classes_and_all_colours)
{
    static const char *const names[] = { "disk", "ring", "crescent", "triangle", "square", "bar",
        "cross", "star", "heart", "arrow" };
    gr_dataset              *d = gr_shapes(4000, 11);
    double                   mean[10][3] = { 0 };
    int                      of[10] = { 0 };
    ck_assert(same_shape(gr_dataset_shape(d), gr_shape(3, 32, 32)));
    ck_assert_int_eq(gr_dataset_classes(d), 10);
    for (int64_t i = 0; i < 4000; i++) {
        int label = gr_dataset_label(d, i);
        of[label]++;
        for (int k = 0; k < BYTES; k++) mean[label][k / 1024] += gr_dataset_image(d, i)[k] / 1024.0;
    }
    for (int k = 0; k < 10; k++) {
        ck_assert_msg(of[k] > 310 && of[k] < 490, "%d images show a %s", of[k], names[k]);
        ck_assert_str_eq(gr_dataset_class_name(d, k), names[k]);
        for (int c = 0; c < 3; c++)
            ck_assert_msg(
                abs((int)(mean[k][c] / of[k]) - 127) < 12, "%s: %g", names[k], mean[k][c] / of[k]);
    }
    gr_dataset_free(d);
}
END_TEST

START_TEST(shapes_that_cannot_be)
{
    FAILS(gr_shapes(0, 1), GR_ERR_ARGUMENT, "shapes: there cannot be 0 images");
    FAILS(gr_shapes(-5, 1), GR_ERR_ARGUMENT, "shapes: there cannot be -5 images");
    FAILS(gr_shapes(INT64_MAX / 64, 1), GR_ERR_ARGUMENT,
        "shapes: there cannot be 144115188075855871 images");
}
END_TEST

static gr_tensor *linear(gr_model *m, gr_tensor *x)
{
    return gr_nn_linear(m, "fc", gr_flatten(x), 10);
}

static double accuracy(gr_model *m, gr_dataset *d)
{
    GR_NO_GRAD;
    gr_loader *l = gr_loader_open(d, 500, .in_order = true, .mean = 0.5, .std = 0.25);
    gr_batch   b;
    int64_t    right = 0;
    while (gr_next_batch(l, &b)) {
        GR_STEP;
        gr_tensor *guess = gr_argmax(linear(m, b.inputs), 1);
        for (int64_t i = 0; guess && i < b.count; i++)
            right += gr_ints(guess)[i] == gr_ints(b.targets)[i];
    }
    gr_loader_close(l);
    return (double)right / (double)gr_dataset_count(d);
}

START_TEST(a_linear_model_is_not_enough_for_shapes)
{
    gr_dataset *train = gr_shapes(20000, 1), *test = gr_shapes(4000, 2);
    gr_model   *m = gr_model_build(linear, gr_shape(1, 3, 32, 32), .seed = 1);
    gr_optim   *adam = gr_adam(m, .lr = 0.0003);
    gr_loader  *l = gr_loader_open(train, 64, .seed = 1, .mean = 0.5, .std = 0.25);
    gr_batch    b;
    double      best = 0;
    for (int epoch = 0; epoch < 8; epoch++) {
        while (gr_next_batch(l, &b)) {
            GR_STEP;
            gr_minimize(adam, gr_cross_entropy(linear(m, b.inputs), b.targets));
        }
        double a = accuracy(m, test);
        best = a > best ? a : best;
    }
    nothing_failed();
    ck_assert_msg(best > 0.1 && best < 0.25, "a linear model knows %.2f%%", 100 * best);
    ck_assert_msg(accuracy(m, train) > 0.15, "it has not learnt what it can: %.2f%%",
        100 * accuracy(m, train));
    gr_loader_close(l);
    gr_optim_free(adam);
    gr_model_free(m);
    gr_dataset_free(train);
    gr_dataset_free(test);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sets");
    TCase *c = cases(s, "CIFAR-10");
    tcase_add_checked_fixture(c, enter, leave);
    tcase_add_test(c, cifar_by_hand);
    tcase_add_test(c, cifar_that_is_none);
    c = cases(s, "parts");
    tcase_add_test(c, a_split_is_one);
    tcase_add_test(c, a_split_depends_on_its_seed);
    tcase_add_test(c, splits_that_cannot_be);
    tcase_add_test(c, a_subset_holds_what_was_asked_for);
    tcase_add_test(c, names_of_nothing);
    c = cases(s, "shapes");
    tcase_add_test(c, shapes_are_the_same_everywhere);
    tcase_add_test(c, a_shape_depends_on_its_seed_and_number);
    tcase_add_test(c, shapes_have_classes_and_all_colours);
    tcase_add_test(c, shapes_that_cannot_be);
    tcase_add_test(c, a_linear_model_is_not_enough_for_shapes);
    return run(s);
}
