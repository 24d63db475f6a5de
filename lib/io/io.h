/* io.h (private): reading and writing files, and files of named tensors for the modules above. */
#ifndef GR_IO_H
#define GR_IO_H

#include "core/core.h"
#include "gradus/io.h"

/* ---- file.c ---------------------------------------------------------------------------------- */

/* A regular file open for reading. */
typedef struct gr__file {
    const char *path;
    int         fd;
    uint64_t    size; /* when it was opened */
} gr__file;

bool gr__file_open(gr__file *f, const char *path);     /* false: "cannot open 'PATH': ..." */
bool gr__file_get(gr__file *f, void *to, size_t size); /* the next bytes, exactly so many */
void gr__file_close(gr__file *f);

/* false: "cannot open 'FOLDER': ..." */
bool gr__folder_check(const char *folder, const char *what);

/* A file being written, without a name or under a temporary one beside its own. */
typedef struct gr__writer {
    const char *path;
    int         folder, fd; /* open: the folder of the file, and the file */
    char        name[256];  /* in the folder: of what path means, or leads to if it is a link */
    char        temporary[256];
    bool        named; /* the file has its temporary name */
    bool        good;  /* nothing has failed yet */
} gr__writer;

bool gr__writer_open(gr__writer *w, const char *path); /* false: nothing to close */
bool gr__writer_put(gr__writer *w, const void *from, size_t size);
/* if all went well, puts the file in its place; else removes it */
bool gr__writer_close(gr__writer *w);

/* ---- print.c --------------------------------------------------------------------------------- */

/* The fewest digits that read back as x, with one after the point: "3.0", "1e-05", "nan"; in any
   locale. Returns their length. */
enum { GR__NUMBER_ROOM = 64 };
int gr__number_text(char to[GR__NUMBER_ROOM], double x);

/* ---- picture.c ------------------------------------------------------------------------------- */

/* Pixels, height x width x channels (1 or 3); bytes are for free. */
typedef struct gr__picture {
    unsigned char *bytes;
    int            height, width, channels;
} gr__picture;

/* As gr_picture_load_options. */
typedef struct gr__picture_options {
    int64_t height, width;
    bool    grey, squash;
} gr__picture_options;

bool gr__picture_check(const gr__picture_options *o, const char *what);
/* false: broken says what is wrong with the file ("is cut off"), and no error is pending; or an
   error is pending. */
bool gr__picture_read(
    gr__picture *p, const char *path, const gr__picture_options *o, gr__quote *broken);
/* The pixels as (C, H, W). */
void gr__planes_of(unsigned char *planes, const gr__picture *p);

/* ---- safetensors.c --------------------------------------------------------------------------- */

/* What the elements of a tensor in a file are. */
typedef enum gr__type { GR__F32, GR__F64, GR__I32, GR__I64, GR__U8 } gr__type;

#ifdef GRADUS_DOUBLE
#define GR__REALS GR__F64
#else
#define GR__REALS GR__F32
#endif

gr__type    gr__type_of(const gr_tensor *t);
const char *gr__type_name(gr__type type); /* "F32" */
size_t      gr__type_size(gr__type type);

/* A named tensor in a file, or on its way into one. */
typedef struct gr__entry {
    const char *name;
    gr__type    type;
    gr_shape    shape;
    const void *data; /* row-major, little-endian; when read, not necessarily aligned: memcpy */
} gr__entry;

bool gr__safetensors_may_name(const char *name); /* whether the format allows it */

/* Writes n tensors in this order: the same entries give the same bytes. The file appears whole, or
   not at all. */
bool gr__safetensors_write(const char *path, const gr__entry *e, int n);

/* A file whose every length, offset, name and type has been checked. */
typedef struct gr__safetensors gr__safetensors;
gr__safetensors               *gr__safetensors_read(const char *path);
int                            gr__safetensors_count(const gr__safetensors *f);
/* in the order of the data; NULL: no such entry */
const gr__entry               *gr__safetensors_entry(const gr__safetensors *f, int i);
void                           gr__safetensors_free(gr__safetensors *f);

/* ---- state.c --------------------------------------------------------------------------------- */

/* The state of a run: a list of named things in memory, that one file is written from or that is
   filled from one. A thing that cannot be added makes writing and reading fail. */
typedef struct gr__state gr__state;
gr__state               *gr__state_new(void);
/* 1, 2, ...: the names that follow begin with "part2.", from the second on */
void                     gr__state_part(gr__state *s, int part);
void gr__state_under(gr__state *s, const char *section); /* ... and then with this: "optim." */
bool gr__state_write(const gr__state *s, const char *path);
bool gr__state_read(const gr__state *s, const char *path); /* all of it, or nothing has changed */
void gr__state_free(gr__state *s);

/* Facts must be the same here and in the file. */
void gr__state_is_text(gr__state *s, const char *name, const char *text);
void gr__state_is_integer(gr__state *s, const char *name, int64_t value);
void gr__state_is_number(gr__state *s, const char *name, double value);

/* Values go on from what the file holds; those with bounds from within them only. */
void gr__state_tensor(gr__state *s, const char *name, gr_tensor *t);
void gr__state_count(gr__state *s, const char *name, gr_tensor *t); /* one int32, 0 or more */
void gr__state_integer(gr__state *s, const char *name, int64_t *at, int64_t low, int64_t high);
/* low NAN: no bounds */
void gr__state_number(gr__state *s, const char *name, double *at, double low, double high);
void gr__state_words(gr__state *s, const char *name, uint64_t *at, int64_t n);
void gr__state_bytes(gr__state *s, const char *name, unsigned char *at, int64_t n);
void gr__state_text(gr__state *s, const char *name, char *at, size_t room);

#endif
