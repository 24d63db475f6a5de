/* test_files.c: what is written to links, over other files, into folders that refuse, with long
   names, and on a full disk, by every function that writes a file. Run by root, each test becomes
   an ordinary user first: root is refused nothing. */
#ifdef __linux__
#define _GNU_SOURCE /* setgroups, mknod */
#endif
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gradus.h"
#include "lenet.h"

enum { NOBODY = 65534, SOMEBODY = 12345 };

static char folder[] = "/tmp/gradus-files-XXXXXX";

/* Once for all tests of a case, and not as an ordinary user. */
static void make_folder(void)
{
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chmod(folder, 0777), 0);
}

static void remove_folder(void)
{
    char command[80];
    snprintf(command, sizeof command, "chmod -R u+rwx %s; rm -rf %s", folder, folder);
    ck_assert_int_eq(system(command), 0);
}

/* A test has a folder of its own in there. */
static void enter(void)
{
    char own[64];
    snprintf(own, sizeof own, "%s/%ld", folder, (long)getpid());
    ck_assert(mkdir(own, 0777) == 0 && chdir(own) == 0 && chmod(".", 0777) == 0);
    umask(022);
}

static void become_ordinary(void)
{
    if (geteuid() == 0)
        ck_assert(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    enter();
}

/* ---- everything that writes ---- */

static gr_model *model;

static gr_tensor *net(gr_model *m, gr_tensor *x) { return gr_nn_linear(m, "fc", x, 3); }

static gr_tensor *loss(void) { return gr_mean(net(model, gr_ones(gr_shape(1, 2)))); }

static bool weights(const char *path) { return gr_save(model, path); }
static bool checkpoint(const char *path) { return gr_checkpoint_save(path, model); }
static bool npy(const char *path) { return gr_npy_save(path, gr_model_at(model, 0)); }
static bool picture(const char *path) { return gr_picture_save(path, gr_model_at(model, 0)); }

static bool dot(const char *path)
{
    GR_STEP;
    return gr_trace_dot(loss(), path);
}

static bool page(const char *path)
{
    GR_STEP;
    return gr_trace_html(loss(), path);
}

static bool report(const char *path)
{
    gr_report *r = gr_report_open(path, model);
    return r && gr_report_close(r);
}

static bool (*const writers[])(
    const char *path) = { weights, checkpoint, npy, picture, dot, page, report };

#define EACH(w) for (size_t w = 0; w < sizeof writers / sizeof *writers; w++)

static void build(void)
{
    model = gr_model_build(net, gr_shape(1, 2));
    ck_assert_ptr_nonnull(model);
}

static void put(const char *path, mode_t mode)
{
    unlink(path);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    ck_assert(fd >= 0 && write(fd, "old", 3) == 3 && fchmod(fd, mode) == 0 && close(fd) == 0);
}

static off_t size_of(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 ? s.st_size : -1;
}

static mode_t mode_of(const char *path)
{
    struct stat s;
    ck_assert_int_eq(stat(path, &s), 0);
    return s.st_mode & 07777;
}

static bool is_link(const char *path)
{
    struct stat s;
    return lstat(path, &s) == 0 && S_ISLNK(s.st_mode);
}

/* How many names there are in a folder. */
static int names(const char *path)
{
    int  n = 0;
    DIR *d = opendir(path);
    ck_assert_ptr_nonnull(d);
    while (readdir(d)) n++;
    closedir(d);
    return n - 2;
}

static void written(size_t w, const char *path)
{
    nothing_failed();
    ck_assert_msg(writers[w](path), "writer %zu, '%s': %s", w, path, gr_error());
    gr_reset();
}

/* It says why, and nothing has changed. */
static void refused(size_t w, const char *path, const char *why)
{
    int  before = names(".");
    char text[5000];
    snprintf(text, sizeof text, "cannot write '%s': %s", path, why);
    ck_assert_msg(!writers[w](path), "writer %zu wrote '%.300s'", w, path);
    gr_reset();
    ck_assert_ptr_nonnull(gr_error());
    ck_assert_msg(strncmp(gr_error(), text, 300) == 0, "writer %zu: %s", w, gr_error());
    ck_assert_int_eq((int)gr_error_code(), GR_ERR_FILE);
    gr_clear_error();
    ck_assert_int_eq(names("."), before);
}

/* ---- links ---- */

START_TEST(links_lead_to_what_is_written)
{
    build();
    ck_assert(mkdir("a", 0700) == 0 && mkdir("a/b", 0700) == 0);
    ck_assert_int_eq(symlink("a/one", "one"), 0);       /* to what is not there */
    ck_assert_int_eq(symlink("b/two", "a/two"), 0);     /* relative to its own folder */
    ck_assert_int_eq(symlink("a/two", "chain"), 0);     /* a link to a link */
    ck_assert_int_eq(symlink("../../up", "a/b/up"), 0); /* back again */
    char absolute[80];
    snprintf(absolute, sizeof absolute, "%s/%ld/a/absolute", folder, (long)getpid());
    ck_assert_int_eq(symlink(absolute, "absolute"), 0);
    ck_assert_int_eq(symlink("a", "way"), 0); /* a link on the way */
    static const char *const link[] = { "one", "chain", "a/b/up", "absolute", "way/b/new" };
    static const char *const target[] = { "a/one", "a/b/two", "up", "a/absolute", "a/b/new" };
    EACH(w)
    for (int i = 0; i < 5; i++) {
        unlink(target[i]);
        for (int times = 0; times < 2; times++) { /* made, then replaced */
            written(w, link[i]);
            ck_assert(i == 4 || is_link(link[i]));
            ck_assert(!is_link(target[i]) && size_of(target[i]) > 30);
            ck_assert_int_eq(truncate(target[i], 3), 0);
        }
    }
    ck_assert(is_link("a/two") && names(".") == 6 && names("a") == 4 && names("a/b") == 3);
    gr_model_free(model);
}
END_TEST

START_TEST(links_that_lead_nowhere)
{
    build();
    ck_assert_int_eq(symlink("loop", "loop"), 0);
    ck_assert(symlink("pong", "ping") == 0 && symlink("ping", "pong") == 0);
    ck_assert_int_eq(symlink("none/file", "lost"), 0);
    ck_assert_int_eq(symlink("new/", "slash"), 0);
    EACH(w)
    {
        refused(w, "loop", strerror(ELOOP));
        refused(w, "ping", strerror(ELOOP));
        refused(w, "lost", strerror(ENOENT));
        refused(w, "slash", strerror(ENOENT));
        ck_assert(is_link("loop") && is_link("ping") && is_link("lost") && is_link("slash"));
    }
    gr_model_free(model);
}
END_TEST

/* The other name of the file keeps what was in it: the new file is another one. */
START_TEST(a_hard_link_keeps_the_old_contents)
{
    build();
    put("a", 0644);
    ck_assert_int_eq(link("a", "b"), 0);
    written(0, "a");
    ck_assert(size_of("a") > 30 && size_of("b") == 3);
    gr_model_free(model);
}
END_TEST

/* ---- what is there already ---- */

START_TEST(modes_stay)
{
    static const mode_t modes[] = { 0600, 0640, 0644, 0660, 0666, 0200, 0755 };
    build();
    umask(077);
    EACH(w)
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        put("a", modes[i]);
        written(w, "a");
        ck_assert_uint_eq(mode_of("a"), modes[i]);
        ck_assert_int_gt(size_of("a"), 30);
    }
    unlink("a");
    written(0, "a");
    ck_assert_uint_eq(mode_of("a"), 0600);
    umask(002);
    unlink("a");
    written(0, "a");
    ck_assert_uint_eq(mode_of("a"), 0664);
    gr_model_free(model);
}
END_TEST

START_TEST(what_is_read_only_stays)
{
    build();
    put("a", 0444);
    ck_assert_int_eq(symlink("a", "link"), 0);
    ck_assert_int_eq(mkdir("d", 0700), 0);
    put("d/old", 0644);
    ck_assert_int_eq(chmod("d", 0500), 0);
    ck_assert_int_eq(mkdir("closed", 0), 0);
    EACH(w)
    {
        refused(w, "a", strerror(EACCES));
        refused(w, "link", strerror(EACCES));
        refused(w, "d/new", strerror(EACCES));
        refused(w, "d/old", strerror(EACCES)); /* the new file is made beside the old one */
        refused(w, "closed/a", strerror(EACCES));
    }
    ck_assert(size_of("a") == 3 && size_of("d/old") == 3 && names("d") == 1);
    ck_assert_int_eq(chmod("d", 0300), 0); /* a folder that cannot be listed */
    written(0, "d/new");
    ck_assert_int_gt(size_of("d/new"), 30);
    gr_model_free(model);
}
END_TEST

START_TEST(what_is_no_file_stays)
{
    build();
    ck_assert(mkdir("d", 0700) == 0 && mkfifo("pipe", 0600) == 0 && symlink("d", "link") == 0 &&
              symlink("pipe", "way") == 0);
    EACH(w)
    {
        refused(w, "d", strerror(EISDIR));
        refused(w, "d/", strerror(EISDIR));
        refused(w, "d/.", strerror(EISDIR));
        refused(w, "d/..", strerror(EISDIR));
        refused(w, "/", strerror(EISDIR));
        refused(w, "link", strerror(EISDIR));
        refused(w, "new/", strerror(ENOENT));
        refused(w, "", strerror(ENOENT));
        refused(w, "none/a", strerror(ENOENT));
        refused(w, "pipe", "it is not a regular file");
        refused(w, "way", "it is not a regular file");
        refused(w, "/dev/null", "it is not a regular file");
        refused(w, "/dev/full", "it is not a regular file");
        put("a", 0644);
        refused(w, "a/b", strerror(ENOTDIR));
        refused(w, "a/", strerror(ENOTDIR));
        unlink("a");
    }
    gr_model_free(model);
}
END_TEST

/* ---- names ---- */

START_TEST(names_of_every_length)
{
    char name[300];
    build();
    EACH(w)
    for (size_t n = 190; n <= 255; n += n < 250 ? 30 : 1) {
        for (size_t i = 0; i < n; i++) name[i] = i % 2 ? '\xa9' : '\xc3'; /* letters of two bytes */
        if (n % 2) name[0] = 'a', memmove(name + 1, name + 2, n - 2), name[n - 1] = 'z';
        name[n] = 0;
        written(w, name);
        ck_assert_int_gt(size_of(name), 30);
        written(w, name);
        ck_assert(names(".") == 1 && unlink(name) == 0);
    }
    memset(name, 'a', 256);
    name[256] = 0;
    EACH(w) refused(w, name, strerror(ENAMETOOLONG));
    gr_model_free(model);
}
END_TEST

/* As long as a path may be: what is made beside the file must not need a longer one. */
START_TEST(a_path_of_every_length)
{
    char path[4200] = "";
    build();
    for (int i = 0; i < 16; i++) {
        memset(path + strlen(path), 'd', 250);
        if (i < 15) ck_assert(mkdir(path, 0700) == 0);
        path[strlen(path)] = '/';
        if (i == 15) break;
    }
    path[15 * 251] = 0;
    size_t n = strlen(path);
    ck_assert_uint_eq(n, 3765);
    memset(path + n, 'e', 250);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    strcat(path, "/");
    n = strlen(path);
    memset(path + n, 'f', 4095 - n);
    ck_assert_uint_eq(strlen(path), 4095);
    written(0, path);
    ck_assert_int_gt(size_of(path), 30);
    strcat(path, "f");
    refused(0, path, strerror(ENAMETOOLONG));
    gr_model_free(model);
}
END_TEST

/* ---- a full disk ---- */

START_TEST(a_full_disk_changes_nothing)
{
    build();
    signal(SIGXFSZ, SIG_IGN);
    put("old", 0644);
    EACH(w)
    {
        struct rlimit usual, little;
        getrlimit(RLIMIT_FSIZE, &usual);
        little = usual;
        little.rlim_cur = 30;
        setrlimit(RLIMIT_FSIZE, &little);
        bool good = writers[w]("old") || writers[w]("new");
        setrlimit(RLIMIT_FSIZE, &usual); /* Check writes files too */
        ck_assert_msg(!good && gr_error(), "writer %zu", w);
        ck_assert_str_eq(gr_error(), "cannot write 'old': File too large");
        gr_clear_error();
        gr_reset();
        ck_assert(names(".") == 1 && size_of("old") == 3);
    }
    gr_model_free(model);
}
END_TEST

/* ---- owners, for root alone ---- */

START_TEST(roots_file_is_its_owners)
{
    struct stat s;
    if (geteuid() != 0) return;
    build();
    EACH(w)
    {
        put("a", 0640);
        ck_assert_int_eq(chown("a", NOBODY, SOMEBODY), 0);
        written(w, "a");
        ck_assert_int_eq(stat("a", &s), 0);
        ck_assert(s.st_uid == NOBODY && s.st_gid == SOMEBODY && (s.st_mode & 07777) == 0640 &&
                  s.st_size > 30);
    }
    gr_model_free(model);
}
END_TEST

/* A file of another's that one may write to, by its group: the group stays where one is in it. */
START_TEST(anothers_file)
{
    struct stat s;
    const gid_t groups[1] = { SOMEBODY };
    if (geteuid() != 0) return;
    build();
    put("shared", 0664);
    put("open", 0646);
    ck_assert(chown("shared", 1, SOMEBODY) == 0 && chown("open", 1, 1) == 0);
    ck_assert(setgroups(1, groups) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    EACH(w) written(w, "shared");
    ck_assert(stat("shared", &s) == 0 && s.st_gid == SOMEBODY && (s.st_mode & 07777) == 0664);
    written(0, "open");
    ck_assert(stat("open", &s) == 0 && s.st_gid == NOBODY && (s.st_mode & 07777) == 0646);
    gr_model_free(model);
}
END_TEST

START_TEST(a_group_that_cannot_be_kept_gets_no_more_than_others)
{
    struct stat s;
    if (geteuid() != 0) return;
    build();
    put("a", 0640);
    ck_assert_int_eq(chown("a", NOBODY, 1), 0);
    ck_assert(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    written(0, "a");
    ck_assert(stat("a", &s) == 0 && s.st_gid == NOBODY && (s.st_mode & 07777) == 0600);
    gr_model_free(model);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("files");
    TCase *c = cases(s, "an ordinary user");
    tcase_add_unchecked_fixture(c, make_folder, remove_folder);
    tcase_add_checked_fixture(c, become_ordinary, NULL);
    tcase_add_test(c, links_lead_to_what_is_written);
    tcase_add_test(c, links_that_lead_nowhere);
    tcase_add_test(c, a_hard_link_keeps_the_old_contents);
    tcase_add_test(c, modes_stay);
    tcase_add_test(c, what_is_read_only_stays);
    tcase_add_test(c, what_is_no_file_stays);
    tcase_add_test(c, names_of_every_length);
    tcase_add_test(c, a_path_of_every_length);
    tcase_add_test(c, a_full_disk_changes_nothing);
    c = cases(s, "owners");
    tcase_add_unchecked_fixture(c, make_folder, remove_folder);
    tcase_add_checked_fixture(c, enter, NULL);
    tcase_add_test(c, roots_file_is_its_owners);
    tcase_add_test(c, anothers_file);
    tcase_add_test(c, a_group_that_cannot_be_kept_gets_no_more_than_others);
    return run(s);
}
