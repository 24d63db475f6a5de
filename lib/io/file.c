/* file.c: whole files, read with their sizes checked and written so that they are never seen half
   done.

   Invariant: what is being written has no name yet, or (where the system has no nameless files) a
   temporary one beside the target's; only a complete and synced file is renamed to it, and after a
   failure nothing is left. The target is the file that open(2) would write to: links are followed,
   also to what is not there yet, and what open(2) refuses is refused. */
#ifdef __linux__
#define _GNU_SOURCE /* O_TMPFILE, O_PATH */
#endif
#include "io/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_AT_ONCE = 1 << 30, MOST_LINKS = 40 /* as Linux */ };

/* ---- reading ---- */

static bool cannot(const char *do_what, const char *path, int why)
{
    return gr__fail(GR_ERR_FILE, "cannot %s '%s': %s", do_what, path, strerror(why));
}

bool gr__file_open(gr__file *f, const char *path)
{
    if (!path) return gr__fail(GR_ERR_ARGUMENT, "the path of the file to read is NULL");
    struct stat about;
    *f = (gr__file){ .path = path };
    /* a pipe that nobody writes to must not hang us */
    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (f->fd < 0) return cannot("open", path, errno);
    int why = fstat(f->fd, &about) ? errno : S_ISDIR(about.st_mode) ? EISDIR : 0;
    if (why)
        cannot("read", path, why);
    else if (!S_ISREG(about.st_mode))
        gr__fail(GR_ERR_FILE, "cannot read '%s': it is not a regular file", path);
    else {
        f->size = (uint64_t)about.st_size;
        return true;
    }
    gr__file_close(f);
    return false;
}

bool gr__file_get(gr__file *f, void *to, size_t size)
{
    unsigned char *p = to;
    while (size > 0) {
        ssize_t n = read(f->fd, p, size < MOST_AT_ONCE ? size : MOST_AT_ONCE);
        if (n == 0)
            return gr__fail(GR_ERR_FILE, "cannot read '%s': it became shorter meanwhile", f->path);
        if (n < 0 && errno != EINTR) return cannot("read", f->path, errno);
        if (n > 0) {
            p += n;
            size -= (size_t)n;
        }
    }
    return true;
}

void gr__file_close(gr__file *f)
{
    if (f->fd >= 0) close(f->fd);
    f->fd = -1;
}

bool gr__folder_check(const char *folder, const char *what)
{
    struct stat about;
    if (!folder) return gr__fail(GR_ERR_ARGUMENT, "%s: the folder is NULL", what);
    int why = stat(folder, &about) ? errno : S_ISDIR(about.st_mode) ? 0 : ENOTDIR;
    return !why || cannot("open", folder, why);
}

/* ---- writing: where to ---- */

#ifdef O_PATH
#define FOLDER_FLAGS (O_PATH | O_DIRECTORY | O_CLOEXEC) /* a folder need not be readable */
#else
#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
#endif

/* Goes on along a path: w->folder becomes the folder that it is in, w->name its last part. 0, or
   why not. */
static int enter_folder(gr__writer *w, char *path)
{
    char       *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (strlen(name) >= sizeof w->name) return ENAMETOOLONG;
    strcpy(w->name, name);
    if (slash) slash[slash == path] = 0;
    int folder = slash || w->folder < 0 ? openat(w->folder < 0 ? AT_FDCWD : w->folder,
                                              slash ? path : ".", FOLDER_FLAGS)
                                        : w->folder;
    if (folder < 0) return errno;
    if (w->folder >= 0 && w->folder != folder) close(w->folder);
    w->folder = folder;
    return *name ? 0 : EISDIR;
}

/* Follows links to the place of the file itself, which need not be there yet: the file is replaced,
   not the link. 0, or why not. */
static int find_target(gr__writer *w)
{
    char path[PATH_MAX];
    if (strlen(w->path) >= sizeof path) return ENAMETOOLONG;
    strcpy(path, w->path);
    for (int links = 0; links <= MOST_LINKS; links++) {
        int why = *path ? enter_folder(w, path) : ENOENT;
        if (why) return why;
        ssize_t n = readlinkat(w->folder, w->name, path, sizeof path);
        if (n < 0) return errno == EINVAL || errno == ENOENT ? 0 : errno;
        if ((size_t)n >= sizeof path) return ENAMETOOLONG;
        path[n] = 0;
    }
    return ELOOP;
}

/* What is at the path now, and whether it may be written to. */
static bool check_target(gr__writer *w, struct stat *about)
{
    struct stat found;
    bool        there = stat(w->path, about) == 0;
    if (!there && errno != ENOENT) return cannot("write", w->path, errno);
    if (there &&
        !S_ISREG(about->st_mode)) /* renaming would replace a device, or fail on a folder */
        return S_ISDIR(about->st_mode)
                   ? cannot("write", w->path, EISDIR)
                   : gr__fail(GR_ERR_FILE, "cannot write '%s': it is not a regular file", w->path);
    int why = find_target(w);
    if (why || !there) return !why || cannot("write", w->path, why);
    if (fstatat(w->folder, w->name, &found, AT_SYMLINK_NOFOLLOW) || found.st_dev != about->st_dev ||
        found.st_ino != about->st_ino)
        return cannot(
            "write", w->path, ENOENT); /* a link of /proc to a file that has been removed */
    int fd = openat(w->folder, w->name, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0) return cannot("write", w->path, errno);
    close(fd);
    return true;
}

/* ---- writing: the file ---- */

/* A program that is killed leaves nothing of a file without a name. */
static int open_nameless(const gr__writer *w, mode_t mode)
{
#ifdef O_TMPFILE
    if (access("/proc/self/fd", X_OK) == 0)
        return openat(w->folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, mode);
#endif
    (void)w;
    (void)mode;
    return -1;
}

/* Gives the open file the name w->temporary, or makes a file of that name if none is open. */
static bool take_name(gr__writer *w, mode_t mode)
{
    char self[40];
    if (w->fd < 0)
        return (w->fd = openat(
                    w->folder, w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)) >= 0;
    snprintf(self, sizeof self, "/proc/self/fd/%d", w->fd);
    return linkat(AT_FDCWD, self, w->folder, w->temporary, AT_SYMLINK_FOLLOW) == 0;
}

/* The temporary name begins as the file's own, which may be as long as a name can be. */
static bool take_any_name(gr__writer *w, mode_t mode)
{
    enum { MOST = 200 };
    static atomic_uint serial;
    size_t             n = strlen(w->name) < MOST ? strlen(w->name) : MOST;
    while (n > 0 && ((unsigned char)w->name[n] & 0xc0) == 0x80) n--; /* no half of a character */
    for (int tries = 0; tries < 100 && !w->named; tries++) {
        snprintf(w->temporary, sizeof w->temporary, "%.*s.%ld-%u.tmp", (int)n, w->name,
            (long)getpid(), atomic_fetch_add(&serial, 1));
        w->named = take_name(w, mode);
        if (!w->named && errno != EEXIST) break;
    }
    return w->named || cannot("write", w->path, errno);
}

/* The new file gets the owner, the group and the permissions of the one that it replaces, before
   anything is in it. Where the group cannot be kept, the group that it has instead may do no more
   than all others. */
static void take_over(const gr__writer *w, const struct stat *old)
{
    struct stat is;
    mode_t      mode = old->st_mode & 0777;
    if (fchown(w->fd, old->st_uid, old->st_gid)) (void)!fchown(w->fd, (uid_t)-1, old->st_gid);
    if (fstat(w->fd, &is) || is.st_gid != old->st_gid)
        mode = (mode & 0707) | (mode & 0070 & (mode & 0007) << 3);
    (void)fchmod(w->fd, mode);
}

static void forget(gr__writer *w)
{
    if (w->folder >= 0) close(w->folder);
    w->folder = -1;
}

bool gr__writer_open(gr__writer *w, const char *path)
{
    if (!path) return gr__fail(GR_ERR_ARGUMENT, "the path of the file to write is NULL");
    struct stat old = { .st_nlink = 0 };
    *w = (gr__writer){ .path = path, .fd = -1, .folder = -1, .good = true };
    if (check_target(w, &old)) {
        mode_t mode =
            old.st_nlink
                ? 0600
                /* without the umask's; and what was private is private from the beginning */
                : 0666;
        if ((w->fd = open_nameless(w, mode)) >= 0 || take_any_name(w, mode)) {
            if (old.st_nlink) take_over(w, &old);
            return true;
        }
    }
    forget(w);
    return false;
}

bool gr__writer_put(gr__writer *w, const void *from, size_t size)
{
    const unsigned char *p = from;
    while (w->good && size > 0) {
        ssize_t n = write(w->fd, p, size < MOST_AT_ONCE ? size : MOST_AT_ONCE);
        if (n < 0 && errno != EINTR) w->good = cannot("write", w->path, errno);
        if (n > 0) {
            p += n;
            size -= (size_t)n;
        }
    }
    return w->good;
}

/* Makes the renaming last. A folder that cannot be opened or synced (some file systems) takes
   nothing from the file. */
static void sync_folder(const gr__writer *w)
{
    int fd = openat(w->folder, ".", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
}

bool gr__writer_close(gr__writer *w)
{
    if (w->good && fsync(w->fd)) w->good = cannot("write", w->path, errno);
    w->good = w->good && (w->named || take_any_name(w, 0));
    if (close(w->fd) && w->good && errno != EINTR) w->good = cannot("write", w->path, errno);
    if (w->good && renameat(w->folder, w->temporary, w->folder, w->name))
        w->good = cannot("write", w->path, errno);
    if (w->good)
        sync_folder(w);
    else if (w->named)
        unlinkat(w->folder, w->temporary, 0);
    forget(w);
    return w->good;
}
