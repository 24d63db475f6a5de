/* stb.c: stb_image, stb_image_write and stb_image_resize, the only file that includes them.

   All that they define is static here, so that a program with a copy of its own can link us
   statically. They are compiled with signed overflow defined to wrap, which they count on when a
   file is damaged (see Makefile.inc). Invariant: no block of memory holds what nobody wrote (older
   versions read tables that a damaged JPEG never filled), and none is larger than the caller
   allows. */
#include "io/stb.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static _Thread_local struct {
    size_t most;          /* bytes of one block; 0: no limit */
    bool   full, swollen; /* what refused a block: the system, or the limit */
} heap;

static void *take(size_t size)
{
    heap.swollen |= heap.most && size > heap.most;
    void *p = heap.swollen ? NULL : calloc(1, size + !size);
    heap.full |= !p && !heap.swollen;
    return p;
}

static void *retake(void *old, size_t size)
{
    heap.swollen |= heap.most && size > heap.most;
    void *p = heap.swollen ? NULL : realloc(old, size + !size);
    heap.full |= !p && !heap.swollen;
    return p;
}

/* stb_image_write has a compressor of its own, which does not notice when memory is refused. */
static unsigned char *deflated(const unsigned char *data, int size, int *deflated_size, int level)
{
    uLong          room = compressBound((uLong)size);
    unsigned char *p = room <= INT_MAX ? take(room) : NULL;
    if (!p) return NULL;
    if (compress2(p, &room, data, (uLong)size, level) == Z_OK) {
        *deflated_size = (int)room;
        return p;
    }
    free(p);
    return NULL;
}

/* They also declare what is left out here. */
#pragma GCC diagnostic ignored "-Wunused-function"

#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#define STBI_ASSERT(x) ((void)0)
#define STBI_MALLOC(size) take(size)
#define STBI_REALLOC(p, size) retake((p), (size))
#define STBI_FREE(p) free(p)
#include <stb_image.h>

#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#define STBIW_ASSERT(x) ((void)0)
#define STBIW_MALLOC(size) take(size)
#define STBIW_REALLOC(p, size) retake((p), (size))
#define STBIW_FREE(p) free(p)
#define STBIW_ZLIB_COMPRESS deflated
#include <stb_image_write.h>

#define STB_IMAGE_RESIZE_STATIC
#define STB_IMAGE_RESIZE_IMPLEMENTATION
#define STBIR_ASSERT(x) ((void)0)
#define STBIR_MALLOC(size, context) ((void)(context), take(size))
#define STBIR_FREE(p, context) ((void)(context), free(p))
#if __has_include(<stb_image_resize2.h>)
#include <stb_image_resize2.h>
#else
#include <stb_image_resize.h>
#endif

static void begin(size_t most)
{
    heap.most = most;
    heap.full = heap.swollen = false;
}

static const char *reason(void)
{
    if (heap.full) return NULL;
    return heap.swollen ? "more data than its size takes" : stbi_failure_reason();
}

bool gr__stb_size(const unsigned char *file, int size, int *height, int *width, const char **why)
{
    begin(0);
    bool good = stbi_info_from_memory(file, size, width, height, NULL);
    /* the last reason is that it is of no other type either */
    *why = good || heap.full ? NULL : "its header is not valid";
    return good;
}

unsigned char *gr__stb_decode(
    const unsigned char *file, int size, int channels, size_t most, const char **why)
{
    int height, width;
    begin(most);
    unsigned char *pixels = stbi_load_from_memory(file, size, &width, &height, NULL, channels);
    *why = pixels ? NULL : reason();
    return pixels;
}

bool gr__stb_resize(const unsigned char *from, int height, int width, int stride, unsigned char *to,
    int new_height, int new_width, int channels)
{
    /* The older version keeps as many rows of the result as one of its rows depends on, and counts
       their bytes in an int. */
    double rows = 4.0 * height / new_height + 10;
    if (rows * new_width * channels * sizeof(float) > INT_MAX) return false;
    begin(0);
#if __has_include(<stb_image_resize2.h>)
    return stbir_resize_uint8_linear(from, width, height, stride, to, new_width, new_height, 0,
        channels == 1 ? STBIR_1CHANNEL : STBIR_RGB);
#else
    return stbir_resize_uint8(from, width, height, stride, to, new_width, new_height, 0, channels);
#endif
}

unsigned char *gr__stb_encode(
    const unsigned char *pixels, int height, int width, int channels, int *size)
{
    begin(0);
    return stbi_write_png_to_mem(pixels, 0, width, height, channels, size);
}
