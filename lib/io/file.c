/* file.c: whole files, read with their sizes checked and written so that they are never seen half done.

   Invariant: what is being written has no name yet, or (where the system has no nameless files) a temporary one beside the target's; only
   a complete and synced file is renamed to it, and after a failure nothing is left. */
#ifdef __linux__
#define _GNU_SOURCE /* O_TMPFILE */
#endif
#include "io/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_AT_ONCE = 1 << 30, NAME_MORE = 48 };

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
    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a pipe that nobody writes to must not hang us */
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
        if (n == 0) return gr__fail(GR_ERR_FILE, "cannot read '%s': it became shorter meanwhile", f->path);
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

/* ---- writing ---- */

/* Cuts a path down to the folder it is in. */
static const char *folder_of(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash) slash[slash == path] = 0;
    return slash ? path : ".";
}

/* A program that is killed leaves nothing of a file without a name. w->temporary: room for a path. */
static int open_nameless(const gr__writer *w)
{
#ifdef O_TMPFILE
    const char *folder = folder_of(strcpy(w->temporary, w->target));
    if (access("/proc/self/fd", X_OK) == 0) return open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
#endif
    (void)w;
    return -1;
}

/* Gives the open file the name w->temporary, or makes a file of that name if none is open. */
static bool take_name(gr__writer *w)
{
    char self[40];
    if (w->fd < 0) return (w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) >= 0;
    snprintf(self, sizeof self, "/proc/self/fd/%d", w->fd);
    return linkat(AT_FDCWD, self, AT_FDCWD, w->temporary, AT_SYMLINK_FOLLOW) == 0;
}

static bool take_any_name(gr__writer *w)
{
    static atomic_uint serial;
    for (int tries = 0; tries < 100 && !w->named; tries++) {
        snprintf(w->temporary, strlen(w->target) + NAME_MORE, "%s.%ld-%u.tmp", w->target, (long)getpid(), atomic_fetch_add(&serial, 1));
        w->named = take_name(w);
        if (!w->named && errno != EEXIST) break;
    }
    return w->named || cannot("write", w->path, errno);
}

/* Where a link leads to: the file there is replaced, not the link. */
static bool find_target(gr__writer *w)
{
    w->target = realpath(w->path, NULL);
    if (!w->target && errno != ENOMEM) w->target = strdup(w->path); /* of what is not there yet */
    size_t size = w->target ? strlen(w->target) + NAME_MORE : NAME_MORE;
    w->temporary = w->target ? malloc(size) : NULL;
    return w->temporary || gr__fail_memory("write", size);
}

static void forget_names(gr__writer *w)
{
    free(w->target);
    free(w->temporary);
}

bool gr__writer_open(gr__writer *w, const char *path)
{
    if (!path) return gr__fail(GR_ERR_ARGUMENT, "the path of the file to write is NULL");
    struct stat about;
    bool        there = stat(path, &about) == 0;
    *w = (gr__writer){ .path = path, .fd = -1, .good = true };
    if (there && !S_ISREG(about.st_mode)) /* renaming would replace a device, or fail on a folder */
        return S_ISDIR(about.st_mode) ? cannot("write", path, EISDIR)
                                      : gr__fail(GR_ERR_FILE, "cannot write '%s': it is not a regular file", path);
    if (find_target(w) && ((w->fd = open_nameless(w)) >= 0 || take_any_name(w))) {
        if (there) (void)fchmod(w->fd, about.st_mode & 0777); /* what was private stays so */
        return true;
    }
    forget_names(w);
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

/* Makes the renaming last. A folder that cannot be opened or synced (some file systems) takes nothing from the file. */
static void sync_folder(char *path)
{
    int fd = open(folder_of(path), O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
}

bool gr__writer_close(gr__writer *w)
{
    if (w->good && fsync(w->fd)) w->good = cannot("write", w->path, errno);
    w->good = w->good && (w->named || take_any_name(w));
    if (close(w->fd) && w->good) w->good = cannot("write", w->path, errno);
    if (w->good && rename(w->temporary, w->target)) w->good = cannot("write", w->path, errno);
    if (w->good)
        sync_folder(w->temporary);
    else if (w->named)
        unlink(w->temporary);
    forget_names(w);
    return w->good;
}
