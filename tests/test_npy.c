/* test_npy.c: NumPy's files, out and in, and what is said of damaged ones. The bytes of headers are
   what NumPy 1.24 writes, but for those that no program should. */
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gradus.h"

static char folder[] = "/tmp/gradus-npy-XXXXXX";

static void enter(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
}

static void leave(void)
{
    ck_assert_int_eq(chdir("/"), 0);
    char path[64];
    snprintf(path, sizeof path, "%s/x.npy", folder);
    remove(path);
    rmdir(folder);
}

/* A file x.npy of this version, with this header, spaces and a newline to a multiple of 64, and
   these bytes. */
static void put(int version, const char *header, const void *bytes, size_t n)
{
    unsigned char file[1024] = "\x93NUMPY";
    size_t        before = version > 1 ? 12 : 10, length = strlen(header),
           all = (before + length + 1 + 63) / 64 * 64;
    file[6] = (unsigned char)version;
    file[8] = (unsigned char)((all - before) & 255);
    file[9] = (unsigned char)((all - before) >> 8);
    memcpy(file + before, header, length);
    memset(file + before + length, ' ', all - before - length - 1);
    file[all - 1] = '\n';
    FILE *f = fopen("x.npy", "wb");
    ck_assert_uint_eq(fwrite(file, 1, all, f), all);
    ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

#define PUT(version, header, type, ...) \
    put((version), (header), (const type[]){ __VA_ARGS__ }, sizeof(const type[]){ __VA_ARGS__ })

static void round_trip(gr_tensor *t)
{
    ck_assert_msg(gr_npy_save("x.npy", t), "%s", gr_error());
    gr_tensor *u = gr_npy_load("x.npy");
    if (gr_dtype_of(t) == GR_REAL)
        holds(u, gr_shape_of(t), gr_data(t));
    else
        holds_ints(u, gr_shape_of(t), gr_ints(t));
}

START_TEST(what_is_saved_is_loaded)
{
    GR_STEP;
    gr_rng rng = gr_rng_of(1, "npy");
    round_trip(gr_scalar(-2.5));
    round_trip(gr_arange(1));
    round_trip(noise(gr_shape(3, 4), &rng));
    round_trip(noise(gr_shape(2, 1, 3, 1, 2, 1, 1, 2), &rng));
    round_trip(gr_zeros(gr_shape(0)));
    round_trip(gr_zeros(gr_shape(3, 0, 2)));
    round_trip(gr_from_ints(gr_shape(2, 2), (const int32_t[]){ 0, -1, INT32_MAX, INT32_MIN }));
    gr_tensor *x = noise(gr_shape(4, 3), &rng);
    round_trip(gr_slice(x, 0, 1, 3));
    HOLDS(gr_reshape(gr_npy_load("x.npy"), gr_shape(6)), gr_shape(6), gr_data(x)[3], gr_data(x)[4],
        gr_data(x)[5], gr_data(x)[6], gr_data(x)[7], gr_data(x)[8]);
}
END_TEST

/* A reader of any age is content: version 1.0, and elements at a multiple of 64. */
START_TEST(the_bytes_are_numpys)
{
    GR_STEP;
    char is[200] = "";
    ck_assert(gr_npy_save("x.npy", gr_from_ints(gr_shape(2, 1), (const int32_t[]){ 7, 258 })));
    FILE  *f = fopen("x.npy", "rb");
    size_t n = fread(is, 1, sizeof is, f);
    fclose(f);
    ck_assert_uint_eq(n, 136);
    ck_assert_mem_eq(
        is, "\x93NUMPY\1\0\x76\0{'descr': '<i4', 'fortran_order': False, 'shape': (2,1)}  ", 68);
    ck_assert_mem_eq(is + 125, "  \n\7\0\0\0\2\1\0\0", 11);
}
END_TEST

START_TEST(kinds_of_elements)
{
    GR_STEP;
    PUT(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", float, 1.5f, -2);
    HOLDS(gr_npy_load("x.npy"), gr_shape(2), (gr_real)1.5, -2);
    PUT(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", double, 0.1, -2);
    HOLDS(gr_npy_load("x.npy"), gr_shape(2), (gr_real)0.1, -2);
    PUT(1, "{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }", char, 0, 1, 1);
    HOLDS(gr_npy_load("x.npy"), gr_shape(3), 0, 1, 1);
    PUT(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }", unsigned char, 0, 127, 255);
    HOLDS_INTS(gr_npy_load("x.npy"), gr_shape(3), 0, 127, 255);
    PUT(1, "{'descr': '|i1', 'fortran_order': False, 'shape': (3,), }", signed char, -128, -1, 127);
    HOLDS_INTS(gr_npy_load("x.npy"), gr_shape(3), -128, -1, 127);
    PUT(1, "{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }", int16_t, -32768, 513);
    HOLDS_INTS(gr_npy_load("x.npy"), gr_shape(2), -32768, 513);
    PUT(1, "{'descr': '<i4', 'fortran_order': False, 'shape': (), }", int32_t, INT32_MIN);
    HOLDS_INTS(gr_npy_load("x.npy"), SCALAR, INT32_MIN);
    PUT(1, "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }", int64_t, INT32_MIN, -1,
        INT32_MAX);
    HOLDS_INTS(gr_npy_load("x.npy"), gr_shape(3), INT32_MIN, -1, INT32_MAX);
    PUT(1, "{'descr': '<u8', 'fortran_order': False, 'shape': (1,), }", uint64_t, INT32_MAX);
    HOLDS_INTS(gr_npy_load("x.npy"), gr_shape(1), INT32_MAX);
    PUT(1, "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }", int64_t, 0,
        (int64_t)INT32_MAX + 1);
    FAILS(gr_npy_load("x.npy"), GR_ERR_FORMAT, "'x.npy': element 1 does not fit into int32");
    PUT(1, "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }", int64_t,
        (int64_t)INT32_MIN - 1);
    FAILS(gr_npy_load("x.npy"), GR_ERR_FORMAT, "'x.npy': element 0 does not fit into int32");
    PUT(1, "{'descr': '<u4', 'fortran_order': False, 'shape': (1,), }", uint32_t, 0xffffffffu);
    FAILS(gr_npy_load("x.npy"), GR_ERR_FORMAT, "'x.npy': element 0 does not fit into int32");
    PUT(1, "{'descr': '<u8', 'fortran_order': False, 'shape': (1,), }", uint64_t, UINT64_MAX);
    FAILS(gr_npy_load("x.npy"), GR_ERR_FORMAT, "'x.npy': element 0 does not fit into int32");
}
END_TEST

/* As NumPy writes arrays of the other order of bytes, and an array of its own with a descr of = or
   |. */
START_TEST(either_order_of_bytes)
{
    GR_STEP;
    PUT(1, "{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", unsigned char, 0x3f, 0xc0,
        0, 0, 0xc0, 0, 0, 0);
    HOLDS(gr_npy_load("x.npy"), gr_shape(2), (gr_real)1.5, -2);
    PUT(2, "{'descr': '>f8', 'fortran_order': True, 'shape': (1, 1), }", unsigned char, 0xbf, 0xf8,
        0, 0, 0, 0, 0, 0);
    HOLDS(gr_npy_load("x.npy"), gr_shape(1, 1), (gr_real)-1.5);
    PUT(1, "{'descr': '>i2', 'fortran_order': False, 'shape': (2,), }", unsigned char, 1, 2, 0xff,
        0xfe);
    HOLDS_INTS(gr_npy_load("x.npy"), gr_shape(2), 258, -2);
    PUT(1, "{'descr': '>i4', 'fortran_order': False, 'shape': (1,), }", unsigned char, 0x80, 0, 0,
        1);
    HOLDS_INTS(gr_npy_load("x.npy"), gr_shape(1), INT32_MIN + 1);
    PUT(1, "{'descr': '>u8', 'fortran_order': False, 'shape': (1,), }", unsigned char, 0, 0, 0, 0,
        0, 1, 0, 0);
    HOLDS_INTS(gr_npy_load("x.npy"), gr_shape(1), 65536);
    PUT(1, "{'descr': '>u1', 'fortran_order': False, 'shape': (2,), }", unsigned char, 3, 4);
    HOLDS_INTS(gr_npy_load("x.npy"), gr_shape(2), 3, 4);
    PUT(1, "{'descr': '=f4', 'fortran_order': False, 'shape': (1,), }", float, 1.5f);
    HOLDS(gr_npy_load("x.npy"), gr_shape(1), (gr_real)1.5);
    PUT(1, "{'descr': '|i4', 'fortran_order': False, 'shape': (1,), }", int32_t, 7);
    HOLDS_INTS(gr_npy_load("x.npy"), gr_shape(1), 7);
}
END_TEST

/* Python 2 writes long integers with an L, which NumPy takes back in versions 1 and 2. */
START_TEST(headers_of_python_2)
{
    GR_STEP;
    static const char *const old[] = { "{'descr': '<f4', 'fortran_order': False, 'shape': (2L,), }",
        "{'descr': u'<f4', u'fortran_order': False, 'shape': (2L,)}" };
    for (int version = 1; version <= 2; version++)
        for (int i = 0; i < 2; i++) {
            PUT(version, old[i], float, 8, 9);
            HOLDS(gr_npy_load("x.npy"), gr_shape(2), 8, 9);
        }
    PUT(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 1L), }", float, 8, 9);
    HOLDS(gr_npy_load("x.npy"), gr_shape(2, 1), 8, 9);
    PUT(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1L, 2), }", float, 8, 9);
    HOLDS(gr_npy_load("x.npy"), gr_shape(1, 2), 8, 9);
    PUT(1, "\t{'descr':\r\n'<f4',\f'fortran_order': False,'shape':(0L,)}", float, 8);
    FAILS(gr_npy_load("x.npy"), GR_ERR_FORMAT,
        "'x.npy' is too long: shape (0) needs 0 elements of 4 bytes, it holds 4 bytes");
    PUT(3, old[0], float, 8, 9);
    FAILS(gr_npy_load("x.npy"), GR_ERR_FORMAT,
        "'x.npy': the npy header has a shape that is no list of sizes");
}
END_TEST

START_TEST(fortrans_order_becomes_cs)
{
    GR_STEP;
    PUT(1, "{'descr': '<i4', 'fortran_order': True, 'shape': (2, 3), }", int32_t, 0, 3, 1, 4, 2, 5);
    HOLDS_INTS(gr_npy_load("x.npy"), gr_shape(2, 3), 0, 1, 2, 3, 4, 5);
    PUT(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2, 2), }", float, 0, 4, 2, 6, 1, 5,
        3, 7);
    HOLDS(gr_npy_load("x.npy"), gr_shape(2, 2, 2), 0, 1, 2, 3, 4, 5, 6, 7);
    put(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (0, 3), }", "", 0);
    ck_assert(same_shape(gr_shape_of(gr_npy_load("x.npy")), gr_shape(0, 3)));
}
END_TEST

START_TEST(headers_of_all_kinds)
{
    GR_STEP;
    static const char *const good[] = { "{'shape': (2, 1), 'descr': '<f4', 'fortran_order': False}",
        "{\"descr\":\"<f4\",\"fortran_order\":False,\"shape\":(2,1)}",
        " {  'descr' : '<f4' , 'fortran_order' : True , 'shape' : ( 2 , 1 , ) , } " };
    for (int version = 1; version <= 3; version++)
        for (int i = 0; i < 3; i++) {
            PUT(version, good[i], float, 8, 9);
            HOLDS(gr_npy_load("x.npy"), gr_shape(2, 1), 8, 9);
        }
}
END_TEST

#define REFUSED(header, text)                                       \
    do {                                                            \
        PUT(1, (header), float, 8, 9);                              \
        FAILS(gr_npy_load("x.npy"), GR_ERR_FORMAT, "'x.npy'" text); \
    } while (0)

START_TEST(headers_that_lie)
{
    static const char dictionary[] =
        "'x.npy': the npy header is not a dictionary of descr, fortran_order and shape, each once";
    static const char *const none[] = { "", "{}", "[]", "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<f4' 'fortran_order': False}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}",
        "{'descr': '<f4', 'descr': '<f4', 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} 1",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)",
        "{'descr': '<f4', 'fortran_order': False,, 'shape': (2,)}", "{'descr", "{'descr'",
        "{descr: '<f4'}" };
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        PUT(1, none[i], float, 8, 9);
        FAILS(gr_npy_load("x.npy"), GR_ERR_FORMAT, dictionary);
    }
    REFUSED("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}",
        ": the npy header has no dtype of one kind of number");
    REFUSED("{'descr': '<f4", ": the npy header has no dtype of one kind of number");
    REFUSED("{'descr': '!f4', 'fortran_order': False, 'shape': (2,)}",
        " holds elements of dtype '!f4', not floats of 4 or 8 bytes, integers or bools");
    static const char *const no_shapes[] = { "(2)", "(,)", "(2,,)", "(02,)", "(2LL,)", "(L,)",
        "(2l,)", "(2 L,)", "(0x2,)", "(2.0,)", "(+2,)", "(2,1" };
    for (size_t i = 0; i < sizeof no_shapes / sizeof *no_shapes; i++) {
        char header[100];
        snprintf(header, sizeof header, "{'descr': '<f4', 'fortran_order': False, 'shape': %s}",
            no_shapes[i]);
        REFUSED(header, ": the npy header has a shape that is no list of sizes");
    }
    REFUSED("{'descr': '<f2', 'fortran_order': False, 'shape': (4,)}",
        " holds elements of dtype '<f2', not floats of 4 or 8 bytes, integers or bools");
    REFUSED("{'descr': '<i3', 'fortran_order': False, 'shape': (4,)}",
        " holds elements of dtype '<i3', not floats of 4 or 8 bytes, integers or bools");
    REFUSED("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
        " holds elements of dtype '|O', not floats of 4 or 8 bytes, integers or bools");
    REFUSED("{'descr': '', 'fortran_order': False, 'shape': (1,)}",
        " holds elements of dtype '', not floats of 4 or 8 bytes, integers or bools");
    REFUSED("{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}",
        ": the npy header has no fortran_order that is True or False");
    REFUSED(
        "{'descr': '<f4', 'fortran_order': False, 'shape': 2}", ": the npy header has no shape");
    REFUSED("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}",
        ": the npy header has a shape that is no list of sizes");
    REFUSED("{'descr': '<f4', 'fortran_order': False, 'shape': (2 2)}",
        ": the npy header has a shape that is no list of sizes");
    REFUSED("{'descr': '<f4', 'fortran_order': False, 'shape': (2",
        ": the npy header has a shape that is no list of sizes");
}
END_TEST

START_TEST(sizes_that_lie)
{
    REFUSED("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,2)}",
        " has more than 8 dimensions");
    REFUSED("{'descr': '<f4', 'fortran_order': False, 'shape': (3037000500, 3037000500)}",
        ": the product of its sizes (3037000500,3037000500) overflows");
    REFUSED("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        ": the product of its sizes (9223372036854775807) overflows");
    REFUSED("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}",
        " is cut off: shape (3) needs 3 elements of 4 bytes, it holds 8 bytes");
    REFUSED("{'descr': '<f4', 'fortran_order': False, 'shape': (100000000000,)}",
        " is cut off: shape (100000000000) needs 100000000000 elements of 4 bytes, it holds 8 "
        "bytes");
    REFUSED("{'descr': '<f4', 'fortran_order': False, 'shape': ()}",
        " is too long: shape () needs 1 element of 4 bytes, it holds 8 bytes");
    REFUSED("{'descr': '|u1', 'fortran_order': False, 'shape': (0, 4)}",
        " is too long: shape (0,4) needs 0 elements of 1 byte, it holds 8 bytes");
}
END_TEST

static void put_bytes(const char *bytes, size_t n)
{
    FILE *f = fopen("x.npy", "wb");
    ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

START_TEST(files_that_are_none)
{
    FAILS(gr_npy_load(NULL), GR_ERR_ARGUMENT, "the path of the file to read is NULL");
    FAILS(gr_npy_load("none"), GR_ERR_FILE, "cannot open 'none': No such file or directory");
    put_bytes("", 0);
    FAILS(gr_npy_load("x.npy"), GR_ERR_FORMAT, "'x.npy' is not an npy file");
    put_bytes("PK\3\4 an npz file", 16);
    FAILS(gr_npy_load("x.npy"), GR_ERR_FORMAT, "'x.npy' is not an npy file");
    put_bytes("\x93NUMPY\4\0\0\0", 10);
    FAILS(gr_npy_load("x.npy"), GR_ERR_FORMAT,
        "'x.npy' is an npy file of version 4.0, not 1.0, 2.0 or 3.0");
    put_bytes("\x93NUMPY\1\1\0\0", 10);
    FAILS(gr_npy_load("x.npy"), GR_ERR_FORMAT,
        "'x.npy' is an npy file of version 1.1, not 1.0, 2.0 or 3.0");
    put_bytes("\x93NUMPY\1\0\2\0 ", 11);
    FAILS(gr_npy_load("x.npy"), GR_ERR_FORMAT,
        "'x.npy': a header of 2 bytes is longer than the file");
    put_bytes("\x93NUMPY\2\0\0\0", 10);
    FAILS(gr_npy_load("x.npy"), GR_ERR_FORMAT, "'x.npy': the length of its header is cut off");
    put_bytes("\x93NUMPY\2\0\0\0\1\1", 12);
    FAILS(gr_npy_load("x.npy"), GR_ERR_FORMAT, "'x.npy': a header of 16842752 bytes is too long");
    put_bytes("\x93NUMPY\1\0\2\0{\0", 12);
    FAILS(gr_npy_load("x.npy"), GR_ERR_FORMAT, "'x.npy': the npy header holds a zero byte");
}
END_TEST

/* Every beginning of a file is refused, and no changed byte of the header does harm. */
START_TEST(damaged_files)
{
    GR_STEP;
    char whole[200], x[200];
    ck_assert(gr_npy_save("x.npy", gr_arange(3)));
    FILE  *f = fopen("x.npy", "rb");
    size_t n = fread(whole, 1, sizeof whole, f);
    fclose(f);
    for (size_t i = 0; i < n; i++) {
        put_bytes(whole, i);
        ck_assert(!gr_npy_load("x.npy"));
        ck_assert_int_eq((int)gr_error_code(), GR_ERR_FORMAT);
        gr_clear_error();
    }
    gr_rng rng = gr_rng_of(1, "damage");
    for (int k = 0; k < 3000; k++) {
        memcpy(x, whole, n);
        for (int64_t i = gr_rng_below(&rng, 3); i >= 0; i--)
            x[gr_rng_below(&rng, 80)] = (char)(32 + gr_rng_below(&rng, 96));
        put_bytes(x, n);
        ck_assert(gr_npy_load("x.npy") || gr_error_code() == GR_ERR_FORMAT);
        gr_clear_error();
    }
}
END_TEST

START_TEST(tensors_that_cannot_be_saved)
{
    GR_STEP;
    FAILS(gr_npy_save("x.npy", NULL), GR_ERR_ARGUMENT, "npy_save: the tensor is NULL");
    FAILS(
        gr_npy_save(NULL, gr_scalar(1)), GR_ERR_ARGUMENT, "the path of the file to write is NULL");
    FAILS(gr_npy_save("none/x.npy", gr_scalar(1)), GR_ERR_FILE,
        "cannot write 'none/x.npy': No such file or directory");
    ck_assert_int_eq(access("x.npy", F_OK), -1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("npy");
    TCase *c = cases(s, "npy");
    tcase_add_checked_fixture(c, enter, leave);
    tcase_add_test(c, what_is_saved_is_loaded);
    tcase_add_test(c, the_bytes_are_numpys);
    tcase_add_test(c, kinds_of_elements);
    tcase_add_test(c, either_order_of_bytes);
    tcase_add_test(c, headers_of_python_2);
    tcase_add_test(c, fortrans_order_becomes_cs);
    tcase_add_test(c, headers_of_all_kinds);
    tcase_add_test(c, headers_that_lie);
    tcase_add_test(c, sizes_that_lie);
    tcase_add_test(c, files_that_are_none);
    tcase_add_test(c, damaged_files);
    tcase_add_test(c, tensors_that_cannot_be_saved);
    return run(s);
}
