/* test_io.c: IDX files, files of named tensors, and what is said of damaged ones. Files are made by
   hand in a folder of their own. */
#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "io/io.h"

static char folder[] = "/tmp/gradus-io-XXXXXX";

static void enter(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
}

/* How many files the folder holds; removes them if asked. */
static int files(bool away)
{
    int  n = 0;
    DIR *d = opendir(".");
    for (struct dirent *e; d && (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.') {
            n++;
            if (away) remove(e->d_name);
        }
    closedir(d);
    return n;
}

static void leave(void)
{
    files(true);
    ck_assert_int_eq(chdir("/"), 0);
    rmdir(folder);
}

static void put(const char *name, const void *bytes, size_t n)
{
    FILE *f = fopen(name, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static void put_gz(const char *name, const void *bytes, unsigned n)
{
    gzFile f = gzopen(name, "wb");
    ck_assert_int_eq(gzwrite(f, bytes, n), (int)n);
    gzclose(f);
}

static size_t get(const char *name, unsigned char *bytes, size_t room)
{
    FILE *f = fopen(name, "rb");
    ck_assert_ptr_nonnull(f);
    size_t n = fread(bytes, 1, room, f);
    fclose(f);
    return n;
}

/* ---- IDX ---- */

static const unsigned char small_idx[] = { 0, 0, 8, 2, 0, 0, 0, 3, 0, 0, 0, 2, 10, 11, 20, 21, 30,
    31 };

static void holds_small_idx(const char *path)
{
    gr_idx *idx = gr_idx_read(path);
    ck_assert_msg(idx, "%s", gr_error());
    ck_assert(same_shape(gr_idx_shape(idx), gr_shape(3, 2)));
    for (int i = 0; i < 3; i++) ck_assert_mem_eq(gr_idx_bytes(idx, i), small_idx + 12 + 2 * i, 2);
    FAILS(gr_idx_bytes(idx, 3), GR_ERR_ARGUMENT, "idx_bytes: (3,2) has no item 3");
    FAILS(gr_idx_bytes(idx, -1), GR_ERR_ARGUMENT, "idx_bytes: (3,2) has no item -1");
    gr_idx_free(idx);
}

START_TEST(idx_plain_and_gz)
{
    put("plain", small_idx, sizeof small_idx);
    put_gz("packed.gz", small_idx, sizeof small_idx);
    holds_small_idx("plain");
    holds_small_idx("packed.gz");
    const unsigned char empty[] = { 0, 0, 8, 1, 0, 0, 0, 0 };
    put("empty", empty, sizeof empty);
    gr_idx *idx = gr_idx_read("empty");
    ck_assert(same_shape(gr_idx_shape(idx), gr_shape(0)));
    FAILS(gr_idx_bytes(idx, 0), GR_ERR_ARGUMENT, "idx_bytes: (0) has no item 0");
    gr_idx_free(idx);
}
END_TEST

START_TEST(idx_larger_than_one_piece)
{
    size_t         n = 2500000;
    unsigned char *bytes = calloc(1, n + 8);
    memcpy(bytes,
        (unsigned char[]){ 0, 0, 8, 1, 0, 2500000 >> 16, 2500000 >> 8 & 255, 2500000 & 255 }, 8);
    for (size_t i = 0; i < n; i++) bytes[8 + i] = (unsigned char)(i * i >> 7);
    put("large", bytes, n + 8);
    put_gz("large.gz", bytes, (unsigned)n + 8);
    for (int gz = 0; gz < 2; gz++) {
        gr_idx *idx = gr_idx_read(gz ? "large.gz" : "large");
        ck_assert_int_eq(gr_idx_shape(idx).dim[0], (int64_t)n);
        ck_assert(memcmp(gr_idx_bytes(idx, 0), bytes + 8, n) == 0);
        gr_idx_free(idx);
    }
    free(bytes);
}
END_TEST

#define IDX_FAILS(code, text, ...)                     \
    do {                                               \
        const unsigned char bytes[] = { __VA_ARGS__ }; \
        put("bad", bytes, sizeof bytes);               \
        FAILS(gr_idx_read("bad"), (code), (text));     \
        put_gz("bad", bytes, sizeof bytes);            \
        FAILS(gr_idx_read("bad"), (code), (text));     \
    } while (0)

START_TEST(idx_that_is_none)
{
    IDX_FAILS(GR_ERR_FORMAT, "'bad' is not an IDX file: it has 3 bytes", 0, 0, 8);
    IDX_FAILS(GR_ERR_FORMAT, "'bad' is not an IDX file: it begins with 89 50, not with 00 00", 0x89,
        'P', 'N', 'G', 13, 10);
    IDX_FAILS(GR_ERR_FORMAT, "'bad' holds elements of IDX type 0d, not unsigned bytes (08)", 0, 0,
        13, 1, 0, 0, 0, 1, 0, 0, 0, 0);
    IDX_FAILS(GR_ERR_FORMAT, "'bad' has rank 0, not 1 to 8", 0, 0, 8, 0, 7);
    IDX_FAILS(GR_ERR_FORMAT, "'bad' has rank 9, not 1 to 8", 0, 0, 8, 9, 7);
    IDX_FAILS(GR_ERR_FORMAT, "'bad' is cut off among its sizes", 0, 0, 8, 2, 0, 0, 0, 3, 0);
    IDX_FAILS(GR_ERR_FORMAT, "'bad' is cut off: sizes (3,2) take 6 bytes, it holds 5", 0, 0, 8, 2,
        0, 0, 0, 3, 0, 0, 0, 2, 1, 2, 3, 4, 5);
    IDX_FAILS(GR_ERR_FORMAT, "'bad' is too long: sizes (2) take 2 bytes", 0, 0, 8, 1,
        0, 0, 0, 2, 1, 2, 3);
    IDX_FAILS(GR_ERR_FORMAT,
        "'bad': the product of its sizes (4294967295,4294967295,4294967295) overflows", 0, 0, 8, 3,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255);
    put("bad", "", 0);
    FAILS(gr_idx_read("bad"), GR_ERR_FORMAT, "'bad' is not an IDX file: it has 0 bytes");
}
END_TEST

START_TEST(idx_sizes_that_lie_take_no_memory)
{
    /* More than there are addresses for: asking for it would end in another error. */
    IDX_FAILS(GR_ERR_FORMAT,
        "'bad' is cut off: sizes (65535,65535,65535) take 281462092005375 bytes, it holds 1", 0, 0,
        8, 3, 0, 0, 255, 255, 0, 0, 255, 255, 0, 0, 255, 255, 9);
}
END_TEST

START_TEST(idx_damaged_gz)
{
    unsigned char bytes[256], whole[256];
    put_gz("a.gz", small_idx, sizeof small_idx);
    size_t n = get("a.gz", whole, sizeof whole);
    for (size_t cut = 0; cut < n; cut++) {
        put("cut.gz", whole, cut);
        ck_assert_ptr_null(gr_idx_read("cut.gz"));
        ck_assert_int_eq(gr_error_code(), GR_ERR_FORMAT);
        gr_clear_error();
    }
    put("cut.gz", whole, n - 12);
    FAILS(gr_idx_read("cut.gz"), GR_ERR_FORMAT, "'cut.gz' is cut off: its gz stream has no end");
    for (size_t i = n - 8; i < n; i++) { /* checksum and length */
        memcpy(bytes, whole, n);
        bytes[i] ^= 1;
        put("bad.gz", bytes, n);
        FAILS(gr_idx_read("bad.gz"), GR_ERR_FORMAT,
            "'bad.gz' is damaged: its gz stream is not valid");
    }
}
END_TEST

START_TEST(files_that_cannot_be_read)
{
    ck_assert_int_eq(mkdir("d", 0700), 0);
    ck_assert_int_eq(mkfifo("pipe", 0600), 0);
    FAILS(gr_idx_read("none"), GR_ERR_FILE, "cannot open 'none': No such file or directory");
    FAILS(gr_idx_read("d"), GR_ERR_FILE, "cannot read 'd': Is a directory");
    FAILS(gr_idx_read("pipe"), GR_ERR_FILE, "cannot read 'pipe': it is not a regular file");
    FAILS(
        gr_idx_read("/dev/zero"), GR_ERR_FILE, "cannot read '/dev/zero': it is not a regular file");
    FAILS(gr_idx_read(NULL), GR_ERR_ARGUMENT, "the path of the file to read is NULL");
    FAILS(
        gr__safetensors_read("none"), GR_ERR_FILE, "cannot open 'none': No such file or directory");
    FAILS(gr__safetensors_read(NULL), GR_ERR_ARGUMENT, "the path of the file to read is NULL");
}
END_TEST

START_TEST(null_idx)
{
    ck_assert_int_eq(gr_idx_shape(NULL).rank, 0);
    failed_with(GR_ERR_ARGUMENT, "idx_shape: the IDX file is NULL");
    FAILS(gr_idx_bytes(NULL, 0), GR_ERR_ARGUMENT, "idx_bytes: the IDX file is NULL");
    gr_idx_free(NULL);
    nothing_failed();
}
END_TEST

/* ---- named tensors ---- */

#define REAL (sizeof(gr_real) == 4 ? "F32" : "F64")

static const gr_real weight[6] = { 1, -2, 3, 0.5f, 0, 1e20f };
static const int32_t steps[1] = { -7 };

static const gr__entry sample[] = {
    { "fc.weight", GR__REALS, { 2, { 2, 3 } }, weight },
    { "\xc3\xa9\"t\\", GR__I32, { 0, { 0 } }, steps },
    { "none", GR__REALS, { 2, { 0, 4 } }, NULL },
};

START_TEST(named_tensors_come_back)
{
    ck_assert(gr__safetensors_write("a", sample, 3));
    gr__safetensors *f = gr__safetensors_read("a");
    ck_assert_msg(f, "%s", gr_error());
    ck_assert_int_eq(gr__safetensors_count(f), 3);
    const gr__entry *e = gr__safetensors_entry(f, 0);
    ck_assert_str_eq(e->name, "fc.weight");
    ck_assert(e->type == GR__REALS && same_shape(e->shape, gr_shape(2, 3)));
    ck_assert_mem_eq(e->data, weight, sizeof weight);
    e = gr__safetensors_entry(f, 1);
    ck_assert_str_eq(e->name, "\xc3\xa9\"t\\");
    ck_assert(e->type == GR__I32 && e->shape.rank == 0 && memcmp(e->data, steps, 4) == 0);
    e = gr__safetensors_entry(f, 2);
    ck_assert_str_eq(e->name, "none");
    ck_assert(same_shape(e->shape, gr_shape(0, 4)));
    ck_assert_ptr_null(gr__safetensors_entry(f, 3));
    gr__safetensors_free(f);
}
END_TEST

START_TEST(elements_of_every_type)
{
    const int64_t       counts[2] = { INT64_MIN, 1 };
    const double        third[1] = { 1.0 / 3 };
    const float         half[1] = { 0.5f };
    const unsigned char word[3] = { 'a', 0, 255 };
    const gr__entry     all[] = {
            { "counts", GR__I64, { 1, { 2 } }, counts },
            { "third", GR__F64, { 0, { 0 } }, third },
            { "word", GR__U8, { 1, { 3 } }, word },
            { "half", GR__F32, { 0, { 0 } }, half },
            { "steps", GR__I32, { 0, { 0 } }, steps },
    };
    ck_assert(gr__safetensors_write("a", all, 5));
    gr__safetensors *f = gr__safetensors_read("a");
    ck_assert_int_eq(gr__safetensors_count(f), 5);
    for (int i = 0; i < 5; i++) {
        const gr__entry *e = gr__safetensors_entry(f, i);
        ck_assert_str_eq(e->name, all[i].name);
        ck_assert_int_eq((int)e->type, (int)all[i].type);
        ck_assert(same_shape(e->shape, all[i].shape));
        ck_assert_mem_eq(
            e->data, all[i].data, gr__type_size(e->type) * (size_t)gr__count(&e->shape));
    }
    gr__safetensors_free(f);
}
END_TEST

START_TEST(the_bytes_of_a_file)
{
    unsigned char a[600], b[600];
    ck_assert(gr__safetensors_write("a", sample, 1));
    ck_assert(gr__safetensors_write("b", sample, 1));
    size_t n = get("a", a, sizeof a), reals = sizeof weight;
    ck_assert_uint_eq(get("b", b, sizeof b), n);
    ck_assert_mem_eq(a, b, n);
    char   header[200];
    int    length = snprintf(header, sizeof header,
        "{\"fc.weight\":{\"dtype\":\"%s\",\"shape\":[2,3],\"data_offsets\":[0,%zu]}}", REAL, reals);
    size_t padded = ((size_t)length + 7) / 8 * 8;
    ck_assert_uint_eq(n, 8 + padded + reals);
    ck_assert_mem_eq(a, ((unsigned char[]){ (unsigned char)padded, 0, 0, 0, 0, 0, 0, 0 }), 8);
    ck_assert_mem_eq(a + 8, header, (size_t)length);
    for (size_t i = 8 + (size_t)length; i < 8 + padded; i++) ck_assert_uint_eq(a[i], ' ');
    ck_assert_mem_eq(a + 8 + padded, weight, reals);
    ck_assert_int_eq(files(false), 2);
}
END_TEST

START_TEST(writing_replaces_or_leaves_alone)
{
    unsigned char before[600], after[600];
    gr__entry     twice[] = { sample[0], sample[0] }, metadata = sample[0], bad = sample[0],
              lone = sample[0], nameless = sample[0];
    metadata.name = "__metadata__";
    bad.name = "\xff";
    lone.name = "\xed\xa0\x80";
    nameless.name = NULL;
    ck_assert(gr__safetensors_write("a", sample, 1));
    size_t n = get("a", before, sizeof before);
    FAILS(gr__safetensors_write("a", twice, 2), GR_ERR_ARGUMENT,
        "cannot write 'a': two tensors have the name 'fc.weight'");
    FAILS(gr__safetensors_write("a", &metadata, 1), GR_ERR_ARGUMENT,
        "cannot write 'a': a tensor has the name '__metadata__', which the format does not allow");
    FAILS(gr__safetensors_write("a", &bad, 1), GR_ERR_ARGUMENT,
        "cannot write 'a': a tensor has the name '\xff', which the format does not allow");
    FAILS(gr__safetensors_write("a", &lone, 1), GR_ERR_ARGUMENT,
        "cannot write 'a': a tensor has the name '\xed\xa0\x80', which the format does not allow");
    FAILS(gr__safetensors_write("a", &nameless, 1), GR_ERR_ARGUMENT,
        "cannot write 'a': a tensor has the name '(null)', which the format does not allow");
    ck_assert_uint_eq(get("a", after, sizeof after), n);
    ck_assert_mem_eq(before, after, n);
    ck_assert(gr__safetensors_write("a", sample, 3));
    ck_assert_uint_gt(get("a", after, sizeof after), n);
    ck_assert_int_eq(files(false), 1);
}
END_TEST

START_TEST(links_and_permissions_stay)
{
    struct stat about;
    ck_assert_int_eq(mkdir("d", 0700), 0);
    ck_assert(gr__safetensors_write("d/a", sample, 1));
    ck_assert_int_eq(chmod("d/a", 0640), 0);
    ck_assert_int_eq(symlink("d/a", "link"), 0);
    ck_assert_int_eq(symlink("d/new", "lost"), 0);
    ck_assert(gr__safetensors_write("link", sample, 3));
    ck_assert(lstat("link", &about) == 0 && S_ISLNK(about.st_mode));
    ck_assert(stat("d/a", &about) == 0 && (about.st_mode & 0777) == 0640);
    gr__safetensors *f = gr__safetensors_read("d/a");
    ck_assert_int_eq(gr__safetensors_count(f), 3);
    gr__safetensors_free(f);
    ck_assert(
        gr__safetensors_write("lost", sample, 1)); /* to what is not there yet: that is made */
    ck_assert(lstat("lost", &about) == 0 && S_ISLNK(about.st_mode));
    ck_assert(lstat("d/new", &about) == 0 && S_ISREG(about.st_mode));
    ck_assert(unlink("d/a") == 0 && unlink("d/new") == 0);
}
END_TEST

START_TEST(files_that_cannot_be_written)
{
    ck_assert_int_eq(mkdir("d", 0700), 0);
    FAILS(gr__safetensors_write("no/a", sample, 1), GR_ERR_FILE,
        "cannot write 'no/a': No such file or directory");
    FAILS(gr__safetensors_write("d", sample, 1), GR_ERR_FILE, "cannot write 'd': Is a directory");
    FAILS(gr__safetensors_write("/dev/null", sample, 1), GR_ERR_FILE,
        "cannot write '/dev/null': it is not a regular file");
    FAILS(gr__safetensors_write(NULL, sample, 1), GR_ERR_ARGUMENT,
        "the path of the file to write is NULL");
    ck_assert_int_eq(files(false), 1);
    if (geteuid() != 0) {
        ck_assert_int_eq(chmod("d", 0500), 0);
        FAILS(gr__safetensors_write("d/a", sample, 1), GR_ERR_FILE,
            "cannot write 'd/a': Permission denied");
    }
}
END_TEST

START_TEST(a_full_disk_leaves_no_file)
{
    struct rlimit usual, little;
    getrlimit(RLIMIT_FSIZE, &usual);
    little = usual;
    little.rlim_cur = 100;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &little);
    bool good = gr__safetensors_write("a", sample, 3);
    setrlimit(RLIMIT_FSIZE, &usual); /* Check writes files too */
    FAILS(good, GR_ERR_FILE, "cannot write 'a': File too large");
    ck_assert_int_eq(files(false), 0);
}
END_TEST

START_TEST(what_is_written_has_no_name_yet)
{
    gr__writer w;
    ck_assert(gr__writer_open(&w, "a"));
    ck_assert(gr__writer_put(&w, "abc", 3));
    /* where there are nameless files, a program killed now leaves nothing */
    ck_assert_int_eq(files(false), w.named);
    ck_assert(gr__writer_close(&w));
    ck_assert_int_eq(files(false), 1);
    unsigned char bytes[4];
    ck_assert_uint_eq(get("a", bytes, 4), 3);
}
END_TEST

/* A file with this header, and so many bytes of data behind it. */
static void put_tensors(const char *name, const char *header, size_t header_length, size_t data)
{
    size_t         n = 8 + header_length + data;
    unsigned char *bytes = calloc(1, n);
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)((uint64_t)header_length >> 8 * i);
    memcpy(bytes + 8, header, header_length);
    put(name, bytes, n);
    free(bytes);
}

/* Tensors of int32, whose sizes are the same whatever gr_real is. What stands after "not valid
   JSON:" is Jansson's, of version 2.14. */
static void refuses(const char *header, size_t data, const char *text)
{
    put_tensors("bad", header, strlen(header), data);
    gr__safetensors *f = gr__safetensors_read("bad");
    ck_assert_msg(!f, "read: %s", header);
    failed_with(GR_ERR_FORMAT, text);
}

START_TEST(headers_that_are_no_object)
{
    refuses("", 0, "'bad' is no safetensors file: it has 8 bytes");
    refuses("", 9, "'bad' is no safetensors file: its header does not begin with {");
    refuses("{", 0, "'bad': the header is not valid JSON: string or '}' expected near ']'");
    static const char *const no_brace[] = { "hello", "[]", "7", " {}", "\n{}", "\xef\xbb\xbf{}",
        "\"\"" };
    for (size_t i = 0; i < sizeof no_brace / sizeof *no_brace; i++)
        refuses(no_brace[i], 0, "'bad' is no safetensors file: its header does not begin with {");
    refuses("{},{}", 0, "'bad': the header is not one JSON object");
    refuses("{}],[{}", 0, "'bad': the header is not valid JSON: end of file expected near ','");
    refuses("{\"a\xff\":1}", 0,
        "'bad': the header is not valid JSON: unable to decode byte 0xff near '\"a'");
    refuses("{\"a\\u0000b\":1}", 0,
        "'bad': the header is not valid JSON: NUL byte in object key not supported near "
        "'\"a\\u0000b\"'");
    refuses("{\"a\\ud800\":1}", 0,
        "'bad': the header is not valid JSON: invalid Unicode '\\uD800' near '\"a\\ud800\"'");
    refuses("{\"a\":1,\"a\":1}", 0,
        "'bad': the header is not valid JSON: duplicate object key near '\"a\"'");
    refuses("{\"a\":99999999999999999999}", 0,
        "'bad': the header is not valid JSON: too big integer near '99999999999999999999'");
}
END_TEST

/* The format: a map of texts to texts. */
START_TEST(metadata_that_are_none)
{
    static const char no_object[] = "'bad': __metadata__ is not an object of strings",
                      k[] = "'bad': __metadata__ holds 'k', which is no string";
    refuses("{\"__metadata__\":\"x\"}", 0, no_object);
    refuses("{\"__metadata__\":3}", 0, no_object);
    refuses("{\"__metadata__\":null}", 0, no_object);
    refuses("{\"__metadata__\":[\"x\"]}", 0, no_object);
    refuses("{\"__metadata__\":{\"k\":1}}", 0, k);
    refuses("{\"__metadata__\":{\"a\":\"b\",\"k\":null}}", 0, k);
    refuses("{\"__metadata__\":{\"k\":true}}", 0, k);
    refuses("{\"__metadata__\":{\"k\":{\"x\":\"y\"}}}", 0, k);
    refuses("{\"__metadata__\":{\"k\":[]}}", 0, k);
    refuses("{\"__metadata__\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4,
        "'bad': __metadata__ holds 'shape', which is no string");
    refuses("{\"__metadata__\":{\"k\":\"a\",\"k\":\"b\"}}", 0,
        "'bad': the header is not valid JSON: duplicate object key near '\"k\"'");
    refuses("{\"__metadata__\":{},\"__metadata__\":{}}", 0,
        "'bad': the header is not valid JSON: duplicate object key near '\"__metadata__\"'");
    put_tensors("good", "{\"__metadata__\":{}} \n\t\r ", 24,
        0); /* spaces as the reference implementation takes them */
    gr__safetensors *f = gr__safetensors_read("good");
    ck_assert_int_eq(gr__safetensors_count(f), 0);
    gr__safetensors_free(f);
    refuses("{}x", 0, "'bad': the header is not valid JSON: ']' expected near 'x'");
    refuses("{}\v", 0, "'bad': the header is not valid JSON: ']' expected near '?'");
}
END_TEST

/* What else people take for a file of weights is told apart. */
START_TEST(files_of_other_formats)
{
    static const char tail[] =
        ", PyTorch's own format: load it in Python and write its tensors by "
        "safetensors.torch.save_file(model.state_dict(), \"FILE.safetensors\")";
    char text[300];
    put("x", "PK\3\4\0\0\10\10\0\0\0\0\0\0", 14);
    snprintf(text, sizeof text, "'x' is no safetensors file but a zip archive%s", tail);
    FAILS(gr__safetensors_read("x"), GR_ERR_FORMAT, text);
    put("x", "\x80\2\x8a\nl\xfc\x9c\x46\xf9\x20\x6a", 11);
    snprintf(text, sizeof text, "'x' is no safetensors file but a pickle%s", tail);
    FAILS(gr__safetensors_read("x"), GR_ERR_FORMAT, text);
    put("x", "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16);
    FAILS(gr__safetensors_read("x"), GR_ERR_FORMAT,
        "'x' is no safetensors file: its header does not begin with {");
    put("x", "{\"fc.weight\": [1, 2]}", 21);
    FAILS(gr__safetensors_read("x"), GR_ERR_FORMAT,
        "'x' is no safetensors file: its header does not begin with {");
}
END_TEST

START_TEST(headers_that_nest_deeply)
{
    size_t n = 100000;
    char  *deep = malloc(n + 1);
    memcpy(deep, "{\"a\":", 5);
    memset(deep + 5, '[', n - 5);
    deep[n] = 0;
    refuses(deep, 0, "'bad': the header is not valid JSON: maximum parsing depth reached near '['");
    free(deep);
}
END_TEST

#define A(rest) "{\"a\":{\"dtype\":\"I32\"," rest "}}"
#define B(rest) "\"b\":{\"dtype\":\"I32\",\"shape\":[2]," rest "}"

START_TEST(tensors_that_are_none)
{
    refuses("{\"a\":1}", 0, "'bad': tensor 'a' is not described by an object");
    refuses("{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "'bad': tensor 'a' has no dtype");
    refuses("{\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4,
        "'bad': tensor 'a' has dtype F16, not F32, F64, I32, I64 or U8");
    refuses(
        A("\"data_offsets\":[0,4]"), 4, "'bad': tensor 'a' has no shape that is a list of sizes");
    refuses(A("\"shape\":[-1],\"data_offsets\":[0,4]"), 4,
        "'bad': tensor 'a' has no shape that is a list of sizes");
    refuses(A("\"shape\":[1.5],\"data_offsets\":[0,4]"), 4,
        "'bad': tensor 'a' has no shape that is a list of sizes");
    refuses(A("\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]"), 4,
        "'bad': tensor 'a' has 9 dimensions, more than 8");
    refuses(A("\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]"), 0,
        "'bad': tensor 'a': the product of its sizes (4294967296,4294967296) overflows");
    refuses(A("\"shape\":[1]"), 4, "'bad': tensor 'a' has no data_offsets that are two numbers");
    refuses(A("\"shape\":[1],\"data_offsets\":[0]"), 4,
        "'bad': tensor 'a' has no data_offsets that are two numbers");
    refuses(A("\"shape\":[1],\"data_offsets\":[0,8]"), 4,
        "'bad': tensor 'a' has data_offsets [0, 8] outside the file's data, 0 to 4");
    refuses(A("\"shape\":[1],\"data_offsets\":[4,0]"), 4,
        "'bad': tensor 'a' has data_offsets [4, 0] outside the file's data, 0 to 4");
    refuses(A("\"shape\":[1],\"data_offsets\":[-4,0]"), 4,
        "'bad': tensor 'a' has data_offsets [-4, 0] outside the file's data, 0 to 4");
    refuses(A("\"shape\":[2],\"data_offsets\":[0,4]"), 4,
        "'bad': tensor 'a' of shape (2) takes 8 bytes, its data_offsets give 4");
    refuses("{\"a\\nb\\u0007\":1}", 0, "'bad': tensor 'a?b?' is not described by an object");
}
END_TEST

START_TEST(data_that_overlap_or_leave_gaps)
{
    refuses("{\"a\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[0,8]}," B(
                "\"data_offsets\":[4,12]") "}",
        12, "'bad': the data of tensor 'b' begin at 4, overlapping what reaches to 8");
    refuses("{" B("\"data_offsets\":[12,20]") ",\"a\":{\"dtype\":\"I32\",\"shape\":[2],\"data_"
                                              "offsets\":[0,8]}}",
        20, "'bad': the data of tensor 'b' begin at 12, leaving a gap after 8");
    refuses("{" B("\"data_offsets\":[4,12]") "}", 12,
        "'bad': the data of tensor 'b' begin at 4, leaving a gap after 0");
    refuses(
        "{" B("\"data_offsets\":[0,8]") "}", 9, "'bad' holds 9 bytes of data, its tensors take 8");
    refuses("{}", 1, "'bad' holds 1 bytes of data, its tensors take 0");
}
END_TEST

START_TEST(what_is_allowed)
{
    const char *header = "{\"__metadata__\":{\"format\":\"pt\",\"deep\":\"[[1]]\"}, \"b\" : "
                         "{\"extra\":null,\"shape\":[2],"
                         "\"data_offsets\":[4,12],\"dtype\":\"I32\"},"
                         "\"a name that is longer than any buffer that begins with sixteen bytes\":"
                         "{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[0,4]}}   ";
    put_tensors("good", header, strlen(header), 12);
    gr__safetensors *f = gr__safetensors_read("good");
    ck_assert_msg(f, "%s", gr_error());
    ck_assert_int_eq(gr__safetensors_count(f), 2);
    ck_assert_str_eq(gr__safetensors_entry(f, 0)->name,
        "a name that is longer than any buffer that begins with sixteen bytes");
    ck_assert_str_eq(gr__safetensors_entry(f, 1)->name, "b");
    gr__safetensors_free(f);
    put_tensors("good", "{}", 2, 0);
    f = gr__safetensors_read("good");
    ck_assert_int_eq(gr__safetensors_count(f), 0);
    gr__safetensors_free(f);
    ck_assert_int_eq(gr__safetensors_count(NULL), 0);
    ck_assert_ptr_null(gr__safetensors_entry(NULL, 0));
}
END_TEST

START_TEST(a_header_that_does_not_fit)
{
    const unsigned char large[10] = { 0, 0, 0, 0, 0, 0, 0, 0x80, '{', '}' },
                        longer[10] = { 3, 0, 0, 0, 0, 0, 0, 0, '{', '}' };
    put("bad", large, sizeof large);
    FAILS(gr__safetensors_read("bad"), GR_ERR_FORMAT,
        "'bad': a header of 9223372036854775808 bytes does not fit into the file's 10");
    put("bad", longer, sizeof longer);
    FAILS(gr__safetensors_read("bad"), GR_ERR_FORMAT,
        "'bad': a header of 3 bytes does not fit into the file's 10");
    put("bad", large, 7);
    FAILS(
        gr__safetensors_read("bad"), GR_ERR_FORMAT, "'bad' is no safetensors file: it has 7 bytes");
    int fd = open("bad", O_RDWR); /* a file that seems large and is empty */
    ck_assert_int_eq((int)pwrite(fd, "\xff\xff\xff\x0f\0\0\0\0{", 9, 0), 9);
    ck_assert_int_eq(ftruncate(fd, (off_t)1 << 40), 0);
    close(fd);
    FAILS(gr__safetensors_read("bad"), GR_ERR_FORMAT,
        "'bad': the header has 268435455 bytes, more than 100000000");
}
END_TEST

START_TEST(a_file_cut_anywhere)
{
    unsigned char whole[600];
    ck_assert(gr__safetensors_write("a", sample, 3));
    size_t n = get("a", whole, sizeof whole);
    for (size_t cut = 0; cut < n; cut++) {
        put("cut", whole, cut);
        ck_assert_ptr_null(gr__safetensors_read("cut"));
        ck_assert_int_eq(gr_error_code(), GR_ERR_FORMAT);
        gr_clear_error();
    }
}
END_TEST

START_TEST(a_file_with_any_byte_changed)
{
    unsigned char whole[600];
    ck_assert(gr__safetensors_write("a", sample, 3));
    size_t n = get("a", whole, sizeof whole),
           header = 8 + (size_t)whole[0] + 256 * (size_t)whole[1];
    for (size_t i = 0; i < header; i++)
        for (int change = 1; change < 256; change += 37) {
            whole[i] ^= (unsigned char)change;
            put("changed", whole, n);
            gr__safetensors *f = gr__safetensors_read("changed");
            /* a changed name may be read; nothing may go wrong */
            ck_assert(f ? !gr_error() : gr_error() != NULL);
            gr__safetensors_free(f);
            gr_clear_error();
            whole[i] ^= (unsigned char)change;
        }
}
END_TEST

static void add(Suite *s, const char *name, const TTest *const *tests, size_t n)
{
    TCase *c = cases(s, name);
    tcase_add_checked_fixture(c, enter, leave);
    for (size_t i = 0; i < n; i++) tcase_add_test(c, tests[i]);
}

int main(void)
{
    Suite             *s = suite_create("io");
    const TTest *const idx[] = { idx_plain_and_gz, idx_larger_than_one_piece, idx_that_is_none,
        idx_sizes_that_lie_take_no_memory, idx_damaged_gz, files_that_cannot_be_read, null_idx };
    const TTest *const named[] = { named_tensors_come_back, elements_of_every_type,
        the_bytes_of_a_file, writing_replaces_or_leaves_alone, links_and_permissions_stay,
        files_that_cannot_be_written, a_full_disk_leaves_no_file, what_is_written_has_no_name_yet,
        headers_that_are_no_object, metadata_that_are_none, files_of_other_formats,
        headers_that_nest_deeply, tensors_that_are_none, data_that_overlap_or_leave_gaps,
        what_is_allowed, a_header_that_does_not_fit, a_file_cut_anywhere,
        a_file_with_any_byte_changed };
    add(s, "IDX", idx, sizeof idx / sizeof *idx);
    add(s, "named tensors", named, sizeof named / sizeof *named);
    return run(s);
}
