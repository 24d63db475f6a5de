/* file.c: whole files, read with their sizes checked and written so that they are never seen half done.

   Invariant: what is being written has a temporary name beside the target's; only a complete and synced file is renamed to it, and
   after a failure the temporary one is gone. */
#include "io/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_AT_ONCE = 1 << 30 };

gr__quote gr__quoted(const char *text)
{
    gr__quote q;
    size_t    n = 0;
    while (*text && n < sizeof q.s - 4) {
        unsigned char c = (unsigned char)*text++;
        q.s[n++] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    if ((*text & 0xc0) == 0x80) { /* in the middle of a character, which begins with the last byte that is no continuation */
        while (n > 0 && (q.s[n - 1] & 0xc0) == 0x80) n--;
        n -= n > 0;
    }
    strcpy(q.s + n, *text ? "..." : "");
    return q;
}

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

/* A name that no file has, beside the target's, created. */
static bool create_temporary(gr__writer *w)
{
    static atomic_uint serial;
    size_t             size = strlen(w->path) + 48;
    w->temporary = malloc(size);
    if (!w->temporary) return gr__fail_memory("write", size);
    for (int tries = 0; tries < 100; tries++) {
        snprintf(w->temporary, size, "%s.%ld-%u.tmp", w->path, (long)getpid(), atomic_fetch_add(&serial, 1));
        w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (w->fd >= 0) return true;
        if (errno != EEXIST) break;
    }
    return cannot("write", w->path, errno);
}

bool gr__writer_open(gr__writer *w, const char *path)
{
    if (!path) return gr__fail(GR_ERR_ARGUMENT, "the path of the file to write is NULL");
    struct stat about;
    *w = (gr__writer){ .path = path, .fd = -1, .good = true };
    if (stat(path, &about) == 0 && !S_ISREG(about.st_mode)) /* renaming would replace a device, or fail on a folder */
        return S_ISDIR(about.st_mode) ? cannot("write", path, EISDIR)
                                      : gr__fail(GR_ERR_FILE, "cannot write '%s': it is not a regular file", path);
    if (create_temporary(w)) return true;
    free(w->temporary);
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
    char *slash = strrchr(path, '/');
    if (slash) slash[slash == path] = 0;
    int fd = open(slash ? path : ".", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
}

bool gr__writer_close(gr__writer *w)
{
    if (w->good && fsync(w->fd)) w->good = cannot("write", w->path, errno);
    if (close(w->fd) && w->good) w->good = cannot("write", w->path, errno);
    if (w->good && rename(w->temporary, w->path)) w->good = cannot("write", w->path, errno);
    if (w->good)
        sync_folder(w->temporary);
    else
        unlink(w->temporary);
    free(w->temporary);
    return w->good;
}
