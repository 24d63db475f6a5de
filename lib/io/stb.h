/* stb.h (private to io): what stb.c takes from the stb libraries. Plain bytes; no errors, no
   tensors. */
#ifndef GR_IO_STB_H
#define GR_IO_STB_H

#include <stdbool.h>
#include <stddef.h>

/* All return NULL or false on failure; *why is then a static text, or NULL if there was no memory.
   What they return is for free. */

/* The sizes of a PNG or JPEG file, from its header. */
bool gr__stb_size(const unsigned char *file, int size, int *height, int *width, const char **why);

/* Its pixels, height x width x channels (1 or 3); no block that it needs may be over `most`
   bytes. */
unsigned char *gr__stb_decode(
    const unsigned char *file, int size, int channels, size_t most, const char **why);

/* Fits pixels whose rows are stride bytes apart into another size. */
bool gr__stb_resize(const unsigned char *from, int height, int width, int stride, unsigned char *to,
    int new_height, int new_width, int channels);

/* A PNG file of these pixels. */
unsigned char *gr__stb_encode(
    const unsigned char *pixels, int height, int width, int channels, int *size);

#endif
