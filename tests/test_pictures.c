/* test_pictures.c: pictures in and out, and what is said of damaged ones. Files are made in a
   folder of their own. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "gradus.h"

static char folder[] = "/tmp/gradus-pictures-XXXXXX";

static void enter(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
}

static void leave(void)
{
    char command[64];
    ck_assert_int_eq(chdir("/"), 0);
    snprintf(command, sizeof command, "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static void put(const char *name, const void *bytes, size_t n)
{
    FILE *f = fopen(name, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static size_t get(const char *name, unsigned char *bytes, size_t room)
{
    FILE *f = fopen(name, "rb");
    ck_assert_ptr_nonnull(f);
    size_t n = fread(bytes, 1, room, f);
    fclose(f);
    return n;
}

static void save(const char *name, gr_tensor *t)
{
    ck_assert_msg(gr_picture_save(name, t), "%s", gr_error());
}

/* Bytes as a tensor of numbers from 0 to 1. */
static gr_tensor *of_bytes(gr_shape shape, const unsigned char *bytes)
{
    gr_tensor *t = gr_zeros(shape);
    gr_real   *x = gr_data_mut(t);
    for (int64_t i = 0; i < gr_count(t); i++) x[i] = (gr_real)(bytes[i] / 255.0);
    return t;
}

#define BYTES(shape, ...) of_bytes((shape), (const unsigned char[]){ __VA_ARGS__ })

/* t has this shape and these bytes, exactly. */
static void has_bytes(gr_tensor *t, gr_shape shape, const unsigned char *bytes)
{
    holds(t, shape, gr_data(of_bytes(shape, bytes)));
}

#define HAS_BYTES(t, shape, ...) has_bytes((t), (shape), (const unsigned char[]){ __VA_ARGS__ })

/* 8 x 16, red on the left and blue on the right: a baseline JPEG, and a progressive one with its
   colours at half the resolution. */
static const unsigned char baseline[] = { 255, 216, 255, 224, 0, 16, 74, 70, 73, 70, 0, 1, 1, 0, 0,
    1, 0, 1, 0, 0, 255, 219, 0, 67, 0, 13, 9, 10, 11, 10, 8, 13, 11, 10, 11, 14, 14, 13, 15, 19, 32,
    21, 19, 18, 18, 19, 39, 28, 30, 23, 32, 46, 41, 49, 48, 46, 41, 45, 44, 51, 58, 74, 62, 51, 54,
    70, 55, 44, 45, 64, 87, 65, 70, 76, 78, 82, 83, 82, 50, 62, 90, 97, 90, 80, 96, 74, 81, 82, 79,
    255, 219, 0, 67, 1, 14, 14, 14, 19, 17, 19, 38, 21, 21, 38, 79, 53, 45, 53, 79, 79, 79, 79, 79,
    79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79,
    79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 255, 192, 0,
    17, 8, 0, 8, 0, 16, 3, 1, 17, 0, 2, 17, 1, 3, 17, 1, 255, 196, 0, 21, 0, 1, 1, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 4, 5, 255, 196, 0, 20, 16, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 255, 196, 0, 22, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 5, 6, 255, 196, 0,
    20, 17, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 218, 0, 12, 3, 1, 0, 2, 17, 3,
    17, 0, 63, 0, 140, 154, 215, 4, 68, 31, 63, 255, 217 };
static const unsigned char progressive[] = { 255, 216, 255, 224, 0, 16, 74, 70, 73, 70, 0, 1, 1, 0,
    0, 1, 0, 1, 0, 0, 255, 219, 0, 67, 0, 13, 9, 10, 11, 10, 8, 13, 11, 10, 11, 14, 14, 13, 15, 19,
    32, 21, 19, 18, 18, 19, 39, 28, 30, 23, 32, 46, 41, 49, 48, 46, 41, 45, 44, 51, 58, 74, 62, 51,
    54, 70, 55, 44, 45, 64, 87, 65, 70, 76, 78, 82, 83, 82, 50, 62, 90, 97, 90, 80, 96, 74, 81, 82,
    79, 255, 219, 0, 67, 1, 14, 14, 14, 19, 17, 19, 38, 21, 21, 38, 79, 53, 45, 53, 79, 79, 79, 79,
    79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79,
    79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 79, 255,
    194, 0, 17, 8, 0, 8, 0, 16, 3, 1, 34, 0, 2, 17, 1, 3, 17, 1, 255, 196, 0, 22, 0, 1, 1, 1, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 4, 255, 196, 0, 21, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 3, 4, 255, 218, 0, 12, 3, 1, 0, 2, 16, 3, 16, 0, 0, 1, 197, 18, 135, 255, 196, 0,
    20, 16, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 255, 218, 0, 8, 1, 1, 0, 1, 5, 2,
    63, 255, 196, 0, 22, 17, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 66, 255, 218, 0,
    8, 1, 3, 1, 1, 63, 1, 126, 79, 255, 196, 0, 22, 17, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 4, 66, 255, 218, 0, 8, 1, 2, 1, 1, 63, 1, 66, 143, 255, 196, 0, 20, 16, 1, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 255, 218, 0, 8, 1, 1, 0, 6, 63, 2, 63, 255, 196, 0, 20, 16, 1,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 255, 218, 0, 8, 1, 1, 0, 1, 63, 33, 63, 255,
    218, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 0, 16, 131, 255, 196, 0, 21, 17, 1, 1, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 193, 0, 255, 218, 0, 8, 1, 3, 1, 1, 63, 16, 66, 255, 196, 0, 21, 17, 1, 1,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 193, 0, 255, 218, 0, 8, 1, 2, 1, 1, 63, 16, 38, 255,
    196, 0, 20, 16, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 255, 218, 0, 8, 1, 1, 0, 1,
    63, 16, 63, 255, 217 };

/* ---- out and in again ---- */

START_TEST(what_is_saved_is_loaded)
{
    GR_STEP;
    unsigned char bytes[3 * 256];
    for (int i = 0; i < 3 * 256; i++) bytes[i] = (unsigned char)(i * 7 + i / 256);
    gr_tensor *colour = of_bytes(gr_shape(3, 8, 32), bytes),
              *grey = of_bytes(gr_shape(1, 16, 16), bytes);
    save("colour.png", colour);
    has_bytes(gr_picture_load("colour.png"), gr_shape(3, 8, 32), bytes);
    save("grey.png", grey);
    has_bytes(gr_picture_load("grey.png", .grey = true), gr_shape(1, 16, 16), bytes);
    save("flat.png", gr_reshape(grey, gr_shape(16, 16)));
    has_bytes(gr_picture_load("flat.png", .grey = true), gr_shape(1, 16, 16), bytes);
    gr_tensor *three = gr_picture_load("grey.png");
    for (int c = 0; c < 3; c++) has_bytes(gr_slice(three, 0, c, c + 1), gr_shape(1, 16, 16), bytes);
    save("one.png", gr_full(gr_shape(1, 1), 0.2));
    HAS_BYTES(gr_picture_load("one.png", .grey = true), gr_shape(1, 1, 1), 51);
}
END_TEST

START_TEST(colours_become_grey)
{
    GR_STEP;
    save("rgb.png", BYTES(gr_shape(3, 1, 4), 255, 0, 0, 255, 0, 255, 0, 255, 0, 0, 255, 255));
    HAS_BYTES(gr_picture_load("rgb.png", .grey = true), gr_shape(1, 1, 4), 76, 149, 28, 255);
}
END_TEST

START_TEST(numbers_become_bytes)
{
    GR_STEP;
    gr_tensor *x = T(gr_shape(1, 6), -1, 0, (gr_real)0.5, 1, 2, NAN);
    save("plain.png", x);
    HAS_BYTES(
        gr_picture_load("plain.png", .grey = true), gr_shape(1, 1, 6), 0, 0, 128, 255, 255, 0);
    ck_assert(gr_picture_save("signed.png", x, .low = -1, .high = 1));
    HAS_BYTES(
        gr_picture_load("signed.png", .grey = true), gr_shape(1, 1, 6), 0, 128, 191, 255, 255, 0);
    ck_assert(gr_picture_save("signed.png", x, .low = -1)); /* white is 1 all the same */
    HAS_BYTES(
        gr_picture_load("signed.png", .grey = true), gr_shape(1, 1, 6), 0, 128, 191, 255, 255, 0);
}
END_TEST

START_TEST(a_batch_becomes_a_grid)
{
    GR_STEP;
    gr_tensor          *x = gr_div(gr_reshape(gr_arange(5), gr_shape(5, 1, 1, 1)), gr_scalar(255));
    const unsigned char g = 128, two_rows[] = { 0, g, g, 1, g, g, 2, g, g, g, g, g, g, g, g, g, g,
        g, g, g, g, 3, g, g, 4, g, g, g };
    save("grid.png", x);
    has_bytes(gr_picture_load("grid.png", .grey = true), gr_shape(1, 4, 7), two_rows);
    ck_assert(gr_picture_save("row.png", x, .columns = 9));
    HAS_BYTES(gr_picture_load("row.png", .grey = true), gr_shape(1, 1, 13), 0, g, g, 1, g, g, 2, g,
        g, 3, g, g, 4);
    ck_assert(gr_picture_save("column.png", gr_slice(x, 0, 0, 2), .columns = 1));
    HAS_BYTES(gr_picture_load("column.png", .grey = true), gr_shape(1, 4, 1), 0, g, g, 1);
    save("wide.png", gr_div(gr_reshape(gr_arange(24), gr_shape(2, 3, 2, 2)), gr_scalar(255)));
    HAS_BYTES(gr_picture_load("wide.png"), gr_shape(3, 2, 6), 0, 1, g, g, 12, 13, 2, 3, g, g, 14,
        15, 4, 5, g, g, 16, 17, 6, 7, g, g, 18, 19, 8, 9, g, g, 20, 21, 10, 11, g, g, 22, 23);
}
END_TEST

START_TEST(pictures_that_cannot_be_saved)
{
    GR_STEP;
    gr_tensor *x = gr_zeros(gr_shape(2, 2));
    FAILS(gr_picture_save("x.png", NULL), GR_ERR_ARGUMENT, "picture_save: input 1 is NULL");
    FAILS(gr_picture_save(NULL, x), GR_ERR_ARGUMENT, "the path of the file to write is NULL");
    FAILS(gr_picture_save("x.png", gr_from_ints(gr_shape(1, 1), &(int32_t){ 1 })), GR_ERR_ARGUMENT,
        "picture_save: input 1 (1,1) is int32, real wanted");
    FAILS(gr_picture_save("x.png", gr_zeros(gr_shape(4))), GR_ERR_ARGUMENT,
        "picture_save: (4): (H,W), (C,H,W) or (N,C,H,W) wanted, with 1 or 3 channels, and not "
        "empty");
    FAILS(gr_picture_save("x.png", gr_zeros(gr_shape(2, 2, 4, 4))), GR_ERR_ARGUMENT,
        "picture_save: (2,2,4,4): (H,W), (C,H,W) or (N,C,H,W) wanted, with 1 or 3 channels, and "
        "not empty");
    FAILS(gr_picture_save("x.png", gr_zeros(gr_shape(0, 3, 4, 4))), GR_ERR_ARGUMENT,
        "picture_save: (0,3,4,4): (H,W), (C,H,W) or (N,C,H,W) wanted, with 1 or 3 channels, and "
        "not empty");
    FAILS(gr_picture_save("x.png", gr_zeros(gr_shape(1, 1, 1, 2, 2))), GR_ERR_ARGUMENT,
        "picture_save: (1,1,1,2,2): (H,W), (C,H,W) or (N,C,H,W) wanted, with 1 or 3 channels, and "
        "not empty");
    FAILS(gr_picture_save("x.png", x, .low = 1), GR_ERR_ARGUMENT,
        "picture_save: black is 1 and white is 1: both must be finite, and black less");
    FAILS(gr_picture_save("x.png", x, .high = INFINITY), GR_ERR_ARGUMENT,
        "picture_save: black is 0 and white is inf: both must be finite, and black less");
    FAILS(gr_picture_save("x.png", x, .columns = -1), GR_ERR_ARGUMENT,
        "picture_save: -1 columns: at least 1 wanted");
    FAILS(gr_picture_save("none/x.png", x), GR_ERR_FILE,
        "cannot write 'none/x.png': No such file or directory");
    ck_assert_int_eq(access("x.png", F_OK), -1);
}
END_TEST

/* ---- JPEG ---- */

/* Red left, blue right, as far as a JPEG tells. */
static void is_red_and_blue(const char *name)
{
    GR_STEP;
    static const double left[3] = { 200, 40, 30 }, right[3] = { 20, 60, 220 };
    gr_tensor          *t = gr_picture_load_((gr_picture_load_options){ .path = name });
    ck_assert_msg(t, "%s", gr_error());
    ck_assert(same_shape(gr_shape_of(t), gr_shape(3, 8, 16)));
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 8 * 16; i++) {
            double wanted = i % 16 < 8 ? left[c] : right[c],
                   is = 255 * (double)gr_data(t)[c * 8 * 16 + i];
            ck_assert_msg(fabs(is - wanted) < (i % 16 > 5 && i % 16 < 10 ? 90 : 8),
                "%s: channel %d of pixel %d is %g", name, c, i, is);
        }
}

START_TEST(jpegs_are_read)
{
    put("b.jpg", baseline, sizeof baseline);
    put("p.jpg", progressive, sizeof progressive);
    is_red_and_blue("b.jpg");
    is_red_and_blue("p.jpg");
    /* what follows the end is nobody's business */
    unsigned char longer[sizeof baseline + 3] = { 0 };
    memcpy(longer, baseline, sizeof baseline);
    put("longer.jpg", longer, sizeof longer);
    is_red_and_blue("longer.jpg");
}
END_TEST

/* ---- sizes ---- */

START_TEST(sizes_as_asked_for)
{
    GR_STEP;
    unsigned char thirds[4 * 12]; /* dark, light, dark */
    for (int i = 0; i < 4 * 12; i++) thirds[i] = i % 12 < 4 || i % 12 >= 8 ? 10 : 200;
    save("thirds.png", of_bytes(gr_shape(1, 4, 12), thirds));
    HAS_BYTES(gr_picture_load("thirds.png", .grey = true, .height = 2, .width = 2),
        gr_shape(1, 2, 2), 200, 200, 200, 200);
    save("upright.png", gr_transpose(of_bytes(gr_shape(1, 4, 12), thirds), 1, 2));
    HAS_BYTES(gr_picture_load("upright.png", .grey = true, .height = 2, .width = 2),
        gr_shape(1, 2, 2), 200, 200, 200, 200);
    gr_tensor *t =
        gr_picture_load("thirds.png", .grey = true, .height = 4, .width = 4, .squash = true);
    for (int i = 0; i < 16; i++) {
        double b = 255 * (double)gr_data(t)[i];
        ck_assert_msg(i % 4 == 0 || i % 4 == 3 ? b < 60 : b > 120, "%d: %g", i, b);
    }
    ck_assert(
        same_shape(gr_shape_of(gr_picture_load("thirds.png", .height = 8)), gr_shape(3, 8, 24)));
    ck_assert(
        same_shape(gr_shape_of(gr_picture_load("thirds.png", .width = 6)), gr_shape(3, 2, 6)));
    ck_assert(
        same_shape(gr_shape_of(gr_picture_load("thirds.png", .width = 1)), gr_shape(3, 1, 1)));
    ck_assert(same_shape(
        gr_shape_of(gr_picture_load("thirds.png", .height = 12, .width = 4)), gr_shape(3, 12, 4)));
    has_bytes(gr_picture_load("thirds.png", .grey = true, .height = 4, .width = 12),
        gr_shape(1, 4, 12), thirds);
    nothing_failed();
    save("same.png", gr_full(gr_shape(3, 37, 53), 0.4));
    for (int side = 1; side < 90; side += 11) {
        t = gr_picture_load("same.png", .height = side, .width = 90 - side);
        for (int i = 0; i < gr_count(t); i++)
            if (!(fabs((double)gr_data(t)[i] - 0.4) < 1.01 / 255))
                ck_abort_msg("side %d: pixel %d is %g", side, i, (double)gr_data(t)[i]);
    }
    FAILS(gr_picture_load("same.png", .height = -1), GR_ERR_ARGUMENT,
        "picture_load: a height of -1 and a width of 0: 0 to 16384 wanted");
    FAILS(gr_picture_load("same.png", .height = 3, .width = 16385), GR_ERR_ARGUMENT,
        "picture_load: a height of 3 and a width of 16385: 0 to 16384 wanted");
}
END_TEST

/* ---- damaged files ---- */

START_TEST(files_that_are_no_pictures)
{
    FAILS(gr_picture_load(NULL), GR_ERR_ARGUMENT, "the path of the file to read is NULL");
    FAILS(gr_picture_load("none.png"), GR_ERR_FILE,
        "cannot open 'none.png': No such file or directory");
    FAILS(gr_picture_load("/"), GR_ERR_FILE, "cannot read '/': Is a directory");
    put("x.png", "", 0);
    FAILS(gr_picture_load("x.png"), GR_ERR_FORMAT, "'x.png' is empty");
    put("x.png", "GIF89a", 6);
    FAILS(gr_picture_load("x.png"), GR_ERR_FORMAT, "'x.png' is neither PNG nor JPEG");
    put("x.png", "\xff\xd8\xff", 3);
    FAILS(gr_picture_load("x.png"), GR_ERR_FORMAT, "'x.png' is cut off");
    put("x.png", "\xff\xd8\xff\xd9", 4);
    FAILS(gr_picture_load("x.png"), GR_ERR_FORMAT, "'x.png' is damaged: its header is not valid");
    put("x.png", "\x89PNG\r\n\x1a\n", 8);
    FAILS(gr_picture_load("x.png"), GR_ERR_FORMAT, "'x.png' is cut off");
    ck_assert_int_eq(truncate("x.png", (off_t)1 << 40), 0);
    FAILS(gr_picture_load("x.png"), GR_ERR_FORMAT, "'x.png' is too large");
}
END_TEST

/* What is said of a file; "" if it is a picture. */
static const char *verdict(const char *name)
{
    gr_tensor  *t = gr_picture_load_((gr_picture_load_options){ .path = name });
    const char *error = gr_error();
    ck_assert(!t == !!error);
    gr_free(t);
    return error ? strchr(error, '\'') + strlen(name) + 3 : "";
}

/* The bytes of a picture of numbers from 0 to 1. */
static unsigned char *bytes_of(gr_tensor *t, unsigned char *bytes)
{
    ck_assert_msg(t, "%s", gr_error());
    for (int64_t i = 0; i < gr_count(t); i++)
        bytes[i] = (unsigned char)((double)gr_data(t)[i] * 255 + 0.5);
    gr_free(t);
    return bytes;
}

START_TEST(a_file_cut_anywhere_is_refused)
{
    unsigned char png[1024], bytes[3 * 5 * 6];
    gr_rng        rng = gr_rng_of(1, "cut");
    gr_tensor    *t = noise(gr_shape(3, 5, 6), &rng);
    save("whole.png", t);
    size_t n = get("whole.png", png, sizeof png);
    for (size_t i = 1; i < n; i++) {
        put("x", png, i); /* without IEND it is whole all the same */
        ck_assert_str_eq(verdict("x"), i < 8        ? "is neither PNG nor JPEG"
                                       : i < n - 12 ? "is cut off"
                                                    : "");
        if (i >= n - 12) {
            GR_STEP;
            has_bytes(gr_picture_load("x"), gr_shape(3, 5, 6),
                bytes_of(gr_picture_load("whole.png"), bytes));
        }
        gr_clear_error();
    }
    for (size_t i = 1; i < sizeof baseline; i++) {
        put("x", baseline, i);
        ck_assert_str_eq(verdict("x"), i < 3                     ? "is neither PNG nor JPEG"
                                       : i < sizeof baseline - 2 ? "is cut off"
                                                                 : "");
        gr_clear_error();
    }
    for (size_t i = 3; i < sizeof progressive; i++) {
        put("x", progressive, i);
        ck_assert_str_eq(verdict("x"), i < sizeof progressive - 2 ? "is cut off" : "");
        gr_clear_error();
    }
    gr_free(t);
}
END_TEST

START_TEST(a_png_with_a_changed_byte_is_refused)
{
    unsigned char png[1024], whole[30];
    gr_rng        rng = gr_rng_of(1, "changed");
    gr_tensor    *t = noise(gr_shape(1, 5, 6), &rng);
    save("whole.png", t);
    size_t n = get("whole.png", png, sizeof png);
    bytes_of(gr_picture_load("whole.png", .grey = true), whole);
    for (size_t i = 0; i < n; i++) {
        unsigned char was = png[i];
        png[i] = (unsigned char)(was ^ (i % 8 == 5 ? 2u
                                                   /* not what may be passed over: a small letter */
                                                   : 1u << i % 8));
        put("x", png, n);
        if (*verdict("x")) { /* IEND, which may be missing, is the last twelve bytes */
            ck_assert_int_eq((int)gr_error_code(), GR_ERR_FORMAT);
            gr_clear_error();
        } else {
            GR_STEP;
            ck_assert_msg(i >= n - 12, "byte %zu", i);
            has_bytes(gr_picture_load("x", .grey = true), gr_shape(1, 5, 6), whole);
        }
        png[i] = was;
    }
    gr_free(t);
}
END_TEST

/* Whatever is in the bytes, it ends, and with a picture or an error. */
START_TEST(a_jpeg_with_changed_bytes_does_no_harm)
{
    gr_rng rng = gr_rng_of(1, "jpeg");
    int    refused = 0;
    for (int k = 0; k < 3000; k++) {
        unsigned char x[sizeof progressive];
        size_t        n = k % 2 ? sizeof baseline : sizeof progressive;
        memcpy(x, k % 2 ? baseline : progressive, n);
        for (int64_t i = gr_rng_below(&rng, 5); i >= 0; i--)
            x[gr_rng_below(&rng, (int64_t)n)] = (unsigned char)gr_rng_below(&rng, 256);
        put("x", x, n);
        if (*verdict("x")) {
            ck_assert_int_eq((int)gr_error_code(), GR_ERR_FORMAT);
            refused++;
        }
        gr_clear_error();
    }
    ck_assert_msg(refused > 500 && refused < 2900, "%d of 3000 are refused", refused);
}
END_TEST

/* A chunk of a PNG file, checksum and all. */
static size_t chunk(unsigned char *to, const char *type, const unsigned char *data, size_t n)
{
    for (int i = 0; i < 4; i++) to[i] = (unsigned char)(n >> (24 - 8 * i));
    memcpy(to + 4, type, 4);
    memcpy(to + 8, data, n);
    unsigned long crc = crc32(0, to + 4, (uInt)n + 4);
    for (int i = 0; i < 4; i++) to[8 + n + (size_t)i] = (unsigned char)(crc >> (24 - 8 * i));
    return n + 12;
}

/* A PNG of grey bytes that says it has these sizes, and holds n zeros. */
static void put_png(const char *name, int width, int height, size_t n)
{
    unsigned char *data = calloc(1, n + 1), *packed = malloc(compressBound(n)),
                  *png = malloc(compressBound(n) + 100), head[13] = { 0 };
    uLongf size = compressBound(n);
    ck_assert_int_eq(compress(packed, &size, data, n), Z_OK);
    for (int i = 0; i < 4; i++)
        head[i] = (unsigned char)(width >> (24 - 8 * i)),
        head[4 + i] = (unsigned char)(height >> (24 - 8 * i));
    head[8] = 8;
    memcpy(png, "\x89PNG\r\n\x1a\n", 8);
    size_t at = 8;
    at += chunk(png + at, "IHDR", head, 13);
    at += chunk(png + at, "IDAT", packed, size);
    at += chunk(png + at, "IEND", packed, 0);
    put(name, png, at);
    free(data);
    free(packed);
    free(png);
}

START_TEST(bombs)
{
    GR_STEP;
    put_png("fine.png", 3, 2, 8);
    HAS_BYTES(gr_picture_load("fine.png", .grey = true), gr_shape(1, 2, 3), 0, 0, 0, 0, 0, 0);
    put_png("x", 20000, 1, 20001);
    FAILS(gr_picture_load("x"), GR_ERR_FORMAT, "'x' is too large: 20000 x 1 pixels");
    put_png("x", 8193, 8192, 10);
    FAILS(gr_picture_load("x"), GR_ERR_FORMAT, "'x' is too large: 8193 x 8192 pixels");
    put_png("x", 2147483647, 2147483647, 10);
    FAILS(gr_picture_load("x"), GR_ERR_FORMAT, "'x' is damaged: its header is not valid");
    put_png("x", 8192, 8192, 10);
    FAILS(gr_picture_load("x"), GR_ERR_FORMAT, "'x' is damaged: not enough pixels");
    put_png("x", 1, 1, 50000000);
    FAILS(gr_picture_load("x"), GR_ERR_FORMAT, "'x' is damaged: more data than its size takes");
    /* That the limit of one picture was met says nothing of the next. */
    put("b.jpg", baseline, sizeof baseline);
    is_red_and_blue("b.jpg");
    put_png("x", 0, 1, 2);
    FAILS(gr_picture_load("x"), GR_ERR_FORMAT, "'x' is damaged: its header is not valid");
}
END_TEST

START_TEST(chunks)
{
    GR_STEP;
    static const struct {
        const char *type, *verdict;
    } extra[] = { { "tEXt", "" }, { "vpAg", "" },
        { "ABCD", "is damaged: it has a chunk of a kind that no PNG has" } };
    unsigned char png[512], x[600];
    put_png("fine.png", 3, 2, 8);
    size_t n = get("fine.png", png, sizeof png), head = 8 + 25;
    for (int i = 0; i < 3; i++) {
        memcpy(x, png, head);
        size_t more = chunk(x + head, extra[i].type, (const unsigned char *)"words", 5);
        memcpy(x + head + more, png + head, n - head);
        put("x", x, n + more);
        ck_assert_str_eq(verdict("x"), extra[i].verdict);
        gr_clear_error();
    }
}
END_TEST

/* The baseline JPEG with n bytes put in before byte `at`. */
static void put_jpeg(const char *name, size_t at, const unsigned char *more, size_t n)
{
    unsigned char *x = malloc(sizeof baseline + n);
    memcpy(x, baseline, at);
    memcpy(x + at, more, n);
    memcpy(x + at + n, baseline + at, sizeof baseline - at);
    put(name, x, sizeof baseline + n);
    free(x);
}

START_TEST(jpegs_of_rare_kinds)
{
    put_jpeg("x", 2, (const unsigned char[]){ 0xff, 0xc9, 0, 2 }, 4); /* arithmetic */
    FAILS(gr_picture_load("x"), GR_ERR_FORMAT, "'x' is a JPEG of a rare kind, which is not read");
    put_jpeg("x", 2, (const unsigned char[]){ 0xff, 0xc1, 0, 3, 12 }, 5); /* 12 bits */
    FAILS(gr_picture_load("x"), GR_ERR_FORMAT, "'x' is a JPEG of a rare kind, which is not read");
}
END_TEST

/* As cameras leave them, and as every viewer shows them. */
START_TEST(jpegs_with_stray_bytes)
{
    static const struct {
        const char *bytes;
        size_t      n;
    } stray[] = { { "\0\0\0\0\0\0\0\0\0\0", 10 }, { "\xff\xff\xff", 3 }, { "\xff\xd1", 2 },
        { "\xff\0\xff\0", 4 }, { "\x12\x34\xff\0\x56", 5 }, { "\xff\1\xff\xd0\xff\xd7", 6 },
        { "\7", 1 }, { "\xff", 1 } };
    for (size_t i = 0; i < sizeof stray / sizeof *stray; i++) {
        size_t segments = 0, at = 2;
        for (; baseline[at + 1] != 0xda; at += 2 + baseline[at + 2] * 256u + baseline[at + 3]) {
            if (segments++ == 0) continue; /* the first marker makes it a JPEG */
            put_jpeg("x", at, (const unsigned char *)stray[i].bytes, stray[i].n);
            is_red_and_blue("x");
        }
        ck_assert_uint_eq(segments, 8);
        put_jpeg("x", at, (const unsigned char *)stray[i].bytes, stray[i].n);
        is_red_and_blue("x");
        put_jpeg("x", sizeof baseline - 2, (const unsigned char *)stray[i].bytes, stray[i].n);
        is_red_and_blue("x");
        ck_assert_int_eq(
            truncate("x", (off_t)(sizeof baseline - 2 + stray[i].n)), 0); /* and without EOI */
        is_red_and_blue("x");
        put_jpeg("x", sizeof baseline, (const unsigned char *)stray[i].bytes, stray[i].n);
        is_red_and_blue("x");
        unsigned char x[sizeof progressive + 10];
        memcpy(x, progressive, sizeof progressive - 2);
        memcpy(x + sizeof progressive - 2, stray[i].bytes, stray[i].n);
        memcpy(x + sizeof progressive - 2 + stray[i].n, "\xff\xd9", 2);
        put("x", x, sizeof progressive + stray[i].n);
        is_red_and_blue("x");
        put("x", x, sizeof progressive - 2 + stray[i].n);
        is_red_and_blue("x");
    }
    unsigned char
        two[2 * sizeof baseline]; /* a second picture behind the first, as MPO files have it */
    memcpy(two, baseline, sizeof baseline);
    memcpy(two + sizeof baseline, baseline, sizeof baseline);
    put("x", two, sizeof two);
    is_red_and_blue("x");
}
END_TEST

/* 8 x 8 with four channels and without Adobe's marker: CMYK, inverted as all such files are; here
   it is red. */
static const unsigned char cmyk[] = { 255, 216, 255, 219, 0, 67, 0, 3, 2, 2, 3, 2, 2, 3, 3, 3, 3, 4,
    3, 3, 4, 5, 8, 5, 5, 4, 4, 5, 10, 7, 7, 6, 8, 12, 10, 12, 12, 11, 10, 11, 11, 13, 14, 18, 16,
    13, 14, 17, 14, 11, 11, 16, 22, 16, 17, 19, 20, 21, 21, 21, 12, 15, 23, 24, 22, 20, 24, 18, 20,
    21, 20, 255, 192, 0, 20, 8, 0, 8, 0, 8, 4, 67, 17, 0, 77, 17, 0, 89, 17, 0, 75, 17, 0, 255, 196,
    0, 20, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 255, 196, 0, 20, 16, 1, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 218, 0, 14, 4, 67, 0, 77, 0, 89, 0, 75, 0, 0, 63, 0,
    84, 197, 80, 170, 42, 111, 255, 217 };

static void is_colour(const char *name, double red, double green, double blue)
{
    GR_STEP;
    gr_tensor *t = gr_picture_load_((gr_picture_load_options){ .path = name });
    ck_assert_msg(t, "%s", gr_error());
    double wanted[3] = { red, green, blue };
    for (int i = 0; i < 3 * 64; i++)
        ck_assert_msg(fabs((double)gr_data(t)[i] - wanted[i / 64]) < 0.03, "channel %d is %g",
            i / 64, (double)gr_data(t)[i]);
}

/* Adobe's marker says CMYK (0) or YCCK (2), or something else, which libjpeg takes for YCCK. */
START_TEST(jpegs_with_four_channels)
{
    unsigned char x[sizeof cmyk + 16],
        adobe[] = { 255, 238, 0, 14, 'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0, 0 };
    put("x", cmyk, sizeof cmyk);
    is_colour("x", 1, 0, 0);
    gr_tensor *grey = gr_picture_load("x", .grey = true);
    ck_assert(grey && fabs((double)gr_data(grey)[0] - 76 / 255.0) < 0.03);
    gr_free(grey);
    memcpy(x, cmyk, 2);
    memcpy(x + 18, cmyk + 2, sizeof cmyk - 2);
    for (int transform = 0; transform < 3; transform++) {
        adobe[15] = (unsigned char)transform;
        memcpy(x + 2, adobe, 16);
        put("x", x, sizeof x);
        if (transform == 0)
            is_colour("x", 1, 0, 0);
        else /* Y, Cb, Cr = 255, 0, 0 is (76, 255, 29), of which the channels are the complement */
            is_colour("x", 179 / 255.0, 0, 226 / 255.0);
    }
}
END_TEST

/* What other readers pass over: chunks that may be left out, also damaged ones; what follows IEND;
   that there is none. */
START_TEST(pngs_with_stray_bytes)
{
    GR_STEP;
    unsigned char png[512], x[700];
    put_png("fine.png", 3, 2, 8);
    size_t n = get("fine.png", png, sizeof png), head = 8 + 25;
    memcpy(x, png, n);
    memset(x + n, 7, 100);
    put("x", x, n + 100);
    HAS_BYTES(gr_picture_load("x", .grey = true), gr_shape(1, 2, 3), 0, 0, 0, 0, 0, 0);
    put("x", x, n - 12);
    HAS_BYTES(gr_picture_load("x", .grey = true), gr_shape(1, 2, 3), 0, 0, 0, 0, 0, 0);
    static const char *const types[] = { "tEXt", "gAMA", "iCCP", "tRNS", "eXIf", "prVt" };
    for (int i = 0; i < 6; i++) {
        memcpy(x, png, head);
        size_t more = chunk(x + head, types[i], (const unsigned char *)"words", 5);
        x[head + more - 1] ^= 1;
        memcpy(x + head + more, png + head, n - head);
        put("x", x, n + more);
        HAS_BYTES(gr_picture_load("x", .grey = true), gr_shape(1, 2, 3), 0, 0, 0, 0, 0, 0);
    }
    size_t more =
        chunk(x + n - 12, "tEXt", (const unsigned char *)"words", 5); /* cut off behind the data */
    memcpy(x, png, n - 12);
    put("x", x, n - 12 + more - 3);
    HAS_BYTES(gr_picture_load("x", .grey = true), gr_shape(1, 2, 3), 0, 0, 0, 0, 0, 0);
    for (size_t cut = head; cut < n - 12; cut++) {
        put("x", png, cut);
        FAILS(gr_picture_load("x"), GR_ERR_FORMAT, "'x' is cut off");
    }
}
END_TEST

START_TEST(jpegs_that_lie)
{
    enum { AFTER_SOI = 2, BEFORE_EOI = sizeof baseline - 2, SCAN = 10 };
    unsigned char tables[4 + 17 + 300] = { 0xff, 0xc4, (19 + 300) >> 8, (19 + 300) & 255, 0 };
    memset(tables + 5 + 10, 50, 6); /* six times fifty codes, of 11 to 16 bits */
    put_jpeg("x", AFTER_SOI, tables, sizeof tables);
    FAILS(gr_picture_load("x"), GR_ERR_FORMAT, "'x' is damaged: its Huffman tables are not valid");
    put_jpeg("x", AFTER_SOI, (const unsigned char[]){ 0xff, 0xc4, 0, 5, 0, 1, 2 }, 7);
    FAILS(gr_picture_load("x"), GR_ERR_FORMAT, "'x' is damaged: its Huffman tables are not valid");
    put_jpeg("x", AFTER_SOI, (const unsigned char[]){ 0xff, 0xfe, 0, 1 }, 4);
    FAILS(gr_picture_load("x"), GR_ERR_FORMAT, "'x' is cut off");
    put_jpeg("x", AFTER_SOI, (const unsigned char[]){ 0xff, 0xff, 0xff, 0xfe, 0, 2 }, 6);
    is_red_and_blue("x");
    unsigned char scans[257 * SCAN];
    for (int i = 0; i < 257; i++)
        memcpy(
            scans + i * SCAN, (const unsigned char[]){ 0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0 }, SCAN);
    put_jpeg("x", BEFORE_EOI, scans,
        sizeof scans); /* of a picture that is complete: nobody reads them */
    is_red_and_blue("x");
    unsigned char x[sizeof progressive + sizeof scans];
    memcpy(x, progressive, sizeof progressive - 2);
    memcpy(x + sizeof progressive - 2, scans, sizeof scans);
    memcpy(x + sizeof x - 2, "\xff\xd9", 2);
    put("x", x, sizeof x);
    FAILS(gr_picture_load("x"), GR_ERR_FORMAT, "'x' has too many scans");
}
END_TEST

/* ---- folders ---- */

/* pets: cat has two pictures and what is no picture, dog one; a hidden class and a file are
   nobody's business. */
static void make_pets(void)
{
    GR_STEP;
    static const char *const folders[] = { "pets", "pets/dog", "pets/cat", "pets/.hidden",
        "pets/cat/more.png" };
    for (int i = 0; i < 5; i++) ck_assert_int_eq(mkdir(folders[i], 0700), 0);
    save("pets/cat/b.png", gr_full(gr_shape(3, 40, 40), 0.2));
    save("pets/cat/a.PNG", gr_full(gr_shape(1, 40, 20), 0.4));
    save("pets/cat/.a.png", gr_full(gr_shape(1, 40, 20), 0.4));
    save("pets/.hidden/c.png", gr_full(gr_shape(1, 40, 20), 0.4));
    save("pets/c.png", gr_full(gr_shape(1, 40, 20), 0.4));
    put("pets/cat/notes.txt", "?", 1);
    put("pets/dog/x.jpeg", baseline, sizeof baseline);
}

static void is_pet(const gr_dataset *d, int64_t i, int label, const char *name, int red, int blue)
{
    gr_shape s = gr_dataset_shape(d);
    int64_t  pixels = s.dim[1] * s.dim[2];
    ck_assert_int_eq(gr_dataset_label(d, i), label);
    ck_assert_str_eq(gr_dataset_class_name(d, label), name);
    ck_assert_int_lt(abs(gr_dataset_image(d, i)[0] - red), 10);
    if (blue >= 0) ck_assert_int_lt(abs(gr_dataset_image(d, i)[3 * pixels - 1] - blue), 10);
}

START_TEST(a_folder_becomes_a_data_set)
{
    make_pets();
    for (int threads = 1; threads < 4; threads++) {
        gr_set_threads(threads);
        gr_dataset *d = gr_pictures("pets", .height = 8, .width = 16);
        ck_assert_msg(d, "%s", gr_error());
        ck_assert(gr_dataset_count(d) == 3 && gr_dataset_classes(d) == 2 &&
                  same_shape(gr_dataset_shape(d), gr_shape(3, 8, 16)));
        is_pet(d, 0, 0, "cat", 102, 102);
        is_pet(d, 1, 0, "cat", 51, 51);
        is_pet(d, 2, 1, "dog", 200, 220);
        ck_assert_int_eq(gr_dataset_skipped(d), 0);
        static const char *const ignored[] = { "'pets/.hidden' is hidden",
            "'pets/c.png' is no folder", "'pets/cat/.a.png' is hidden",
            "'pets/cat/more.png' is a folder further down",
            "'pets/cat/notes.txt' is not called .png, .jpg or .jpeg" };
        ck_assert_int_eq(gr_dataset_ignored(d), 5);
        for (int i = 0; i < 5; i++) ck_assert_str_eq(gr_dataset_ignored_why(d, i), ignored[i]);
        FAILS(gr_dataset_ignored_why(d, 5), GR_ERR_ARGUMENT,
            "dataset_ignored_why: there is no entry 5 among 5 that were ignored");
        FAILS(gr_dataset_skipped_why(d, 0), GR_ERR_ARGUMENT,
            "dataset_skipped_why: there is no picture 0 among 0 that were skipped");
        gr_dataset_free(d);
        d = gr_pictures("pets", .grey = true, .height = 4);
        ck_assert(same_shape(gr_dataset_shape(d), gr_shape(1, 4, 4)));
        is_pet(d, 0, 0, "cat", 102, -1);
        is_pet(d, 1, 0, "cat", 51, -1);
        gr_dataset_free(d);
        d = gr_pictures("pets", .squash = true);
        ck_assert(same_shape(gr_dataset_shape(d), gr_shape(3, 32, 32)));
        is_pet(d, 2, 1, "dog", 200, 220);
        gr_dataset_free(d);
    }
}
END_TEST

START_TEST(broken_pictures_are_named)
{
    make_pets();
    put("pets/cat/aa.jpg", baseline, 100);
    put("pets/dog/a.png", "hello", 5);
    for (int threads = 1; threads < 4; threads++) {
        gr_set_threads(threads);
        FAILS(gr_pictures("pets"), GR_ERR_FORMAT, "'pets/cat/aa.jpg' is cut off");
        gr_dataset *d = gr_pictures("pets", .skip_broken = true);
        ck_assert_msg(d, "%s", gr_error());
        ck_assert_int_eq(gr_dataset_count(d), 3);
        is_pet(d, 0, 0, "cat", 102, 102);
        is_pet(d, 1, 0, "cat", 51, 51);
        is_pet(d, 2, 1, "dog", 200, 220);
        ck_assert_int_eq(gr_dataset_skipped(d), 2);
        ck_assert_str_eq(gr_dataset_skipped_why(d, 0), "'pets/cat/aa.jpg' is cut off");
        ck_assert_str_eq(gr_dataset_skipped_why(d, 1), "'pets/dog/a.png' is neither PNG nor JPEG");
        gr_dataset_free(d);
    }
    ck_assert_int_eq(symlink("nowhere", "pets/cat/ab.png"), 0);
    FAILS(gr_pictures("pets", .skip_broken = true), GR_ERR_FILE,
        "cannot open 'pets/cat/ab.png': No such file or directory");
}
END_TEST

/* What is no class does not move the labels of those that are. */
START_TEST(labels_do_not_shift)
{
    static const char *const folders[] = { "pets/__MACOSX", "pets/__MACOSX/cat", "pets/axolotl",
        "pets/cow", "pets/cow/more", "pets/@eaDir", "pets/.git", "pets/lost+found" };
    static const char *const ignored[] = { "'pets/.DS_Store' is hidden", "'pets/.git' is hidden",
        "'pets/.hidden' is hidden", "'pets/@eaDir' is no part of a set",
        "'pets/Thumbs.db' is no part of a set", "'pets/__MACOSX' is no part of a set",
        "'pets/axolotl' holds no PNG or JPEG", "'pets/c.png' is no folder",
        "'pets/cat/.a.png' is hidden", "'pets/cat/more.png' is a folder further down",
        "'pets/cat/notes.txt' is not called .png, .jpg or .jpeg", "'pets/cow' holds no PNG or JPEG",
        "'pets/cow/more' is a folder further down", "'pets/dog/pipe.png' is no regular file",
        "'pets/dog/x.jfif' is not called .png, .jpg or .jpeg",
        "'pets/lost+found' is no part of a set" };
    make_pets();
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        ck_assert_int_eq(mkdir(folders[i], 0700), 0);
    put("pets/__MACOSX/cat/._a.PNG", "?", 1);
    put("pets/__MACOSX/x.jpg", baseline, sizeof baseline);
    put("pets/.DS_Store", "?", 1);
    put("pets/Thumbs.db", "?", 1);
    put("pets/cow/more/x.jpg", baseline, sizeof baseline);
    put("pets/dog/x.jfif", baseline, sizeof baseline);
    ck_assert_int_eq(mkfifo("pets/dog/pipe.png", 0600), 0);
    gr_dataset *d = gr_pictures("pets");
    ck_assert_msg(d, "%s", gr_error());
    ck_assert(gr_dataset_count(d) == 3 && gr_dataset_classes(d) == 2);
    is_pet(d, 0, 0, "cat", 102, 102);
    is_pet(d, 2, 1, "dog", 200, 220);
    ck_assert_int_eq(gr_dataset_ignored(d), (int64_t)(sizeof ignored / sizeof *ignored));
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        ck_assert_str_eq(gr_dataset_ignored_why(d, (int64_t)i), ignored[i]);
    gr_dataset_free(d);
    ck_assert_int_eq(gr_dataset_ignored(NULL), -1);
    failed_with(GR_ERR_ARGUMENT, "dataset_ignored: the data set is NULL");
    FAILS(gr_dataset_ignored_why(NULL, 0), GR_ERR_ARGUMENT,
        "dataset_ignored_why: the data set is NULL");
}
END_TEST

START_TEST(folders_that_hold_no_set)
{
    FAILS(gr_pictures(NULL), GR_ERR_ARGUMENT, "pictures: the folder is NULL");
    FAILS(gr_pictures("none"), GR_ERR_FILE, "cannot open 'none': No such file or directory");
    FAILS(gr_pictures("none", .width = -2), GR_ERR_ARGUMENT,
        "pictures: a height of 0 and a width of -2: 0 to 16384 wanted");
    ck_assert_int_eq(mkdir("pets", 0700), 0);
    FAILS(gr_pictures("pets"), GR_ERR_FILE,
        "'pets' holds 0 sub-folders of pictures, one a class; 1 to 256 wanted");
    ck_assert_int_eq(mkdir("pets/cat", 0700), 0);
    FAILS(gr_pictures("pets"), GR_ERR_FILE, "'pets' holds no PNG or JPEG in its sub-folders");
    put("pets/cat/x.png", "", 0);
    FAILS(gr_pictures("pets", .skip_broken = true), GR_ERR_FORMAT,
        "no picture is left: 1 are broken; the first: 'pets/cat/x.png' is empty");
    for (int i = 0; i < 256; i++) {
        char path[32];
        snprintf(path, sizeof path, "pets/%d", i);
        ck_assert_int_eq(mkdir(path, 0700), 0);
        strcat(path, "/x.png");
        put(path, "", 0);
    }
    FAILS(gr_pictures("pets"), GR_ERR_FILE,
        "'pets' holds 257 sub-folders of pictures, one a class; 1 to 256 wanted");
}
END_TEST

/* A failure from before stays, and does not get lost in the threads. */
START_TEST(an_earlier_failure_stays)
{
    make_pets();
    gr_item(NULL);
    gr_dataset *d = gr_pictures("pets");
    ck_assert_ptr_nonnull(d);
    failed_with(GR_ERR_ARGUMENT, "item: the tensor is NULL");
    gr_dataset_free(d);
    put("pets/cat/a.PNG", "", 0);
    gr_item(NULL);
    ck_assert(!gr_pictures("pets"));
    failed_with(GR_ERR_ARGUMENT, "item: the tensor is NULL");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pictures");
    TCase *c = cases(s, "pictures");
    tcase_add_checked_fixture(c, enter, leave);
    tcase_add_test(c, what_is_saved_is_loaded);
    tcase_add_test(c, colours_become_grey);
    tcase_add_test(c, numbers_become_bytes);
    tcase_add_test(c, a_batch_becomes_a_grid);
    tcase_add_test(c, pictures_that_cannot_be_saved);
    tcase_add_test(c, jpegs_are_read);
    tcase_add_test(c, sizes_as_asked_for);
    tcase_add_test(c, files_that_are_no_pictures);
    tcase_add_test(c, a_file_cut_anywhere_is_refused);
    tcase_add_test(c, a_png_with_a_changed_byte_is_refused);
    tcase_add_test(c, a_jpeg_with_changed_bytes_does_no_harm);
    tcase_add_test(c, bombs);
    tcase_add_test(c, chunks);
    tcase_add_test(c, jpegs_of_rare_kinds);
    tcase_add_test(c, jpegs_with_stray_bytes);
    tcase_add_test(c, jpegs_with_four_channels);
    tcase_add_test(c, pngs_with_stray_bytes);
    tcase_add_test(c, jpegs_that_lie);
    c = cases(s, "folders");
    tcase_add_checked_fixture(c, enter, leave);
    tcase_add_test(c, a_folder_becomes_a_data_set);
    tcase_add_test(c, broken_pictures_are_named);
    tcase_add_test(c, labels_do_not_shift);
    tcase_add_test(c, folders_that_hold_no_set);
    tcase_add_test(c, an_earlier_failure_stays);
    return run(s);
}
