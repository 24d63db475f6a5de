/* jpeg.h (private): JPEG files as cameras leave them, made as the standard wants them. */
#ifndef GR_IO_JPEG_H
#define GR_IO_JPEG_H

#include <stdbool.h>
#include <stddef.h>

enum { GR__JPEG_MORE = 32 }; /* bytes that a tidy file may have more */

/* Copies a file of *size bytes that begins with SOI to `to`, which has room for GR__JPEG_MORE bytes
   more: without what lies between segments and after the data, with EOI, and with Adobe's marker
   where there are four channels. *size becomes the copy's. false: *why is what is wrong, or NULL:
   no memory. */
bool gr__jpeg_tidy(const unsigned char *from, size_t *size, unsigned char *to, const char **why);

#endif
