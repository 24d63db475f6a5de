/* fuzz.h: what the fuzz targets share. A target takes any bytes for a file, has a reader read it,
   and touches all that came of it. Whether the file was accepted or refused, nothing may crash,
   leak or hang, and a refusal must leave an error, and what there was before.

   fuzz.c of a target becomes libFuzzer's program (make fuzz); test_corpus runs all of them over the
   kept files (make check). */
#ifndef GR_TESTS_FUZZ_H
#define GR_TESTS_FUZZ_H

#include <stdint.h>

#include "gradus.h"

/* The targets; each says whether it accepted the file. */
bool fuzz_checkpoint(const uint8_t *bytes, size_t n);
bool fuzz_cifar(const uint8_t *bytes, size_t n);
bool fuzz_idx(const uint8_t *bytes, size_t n);
bool fuzz_npy(const uint8_t *bytes, size_t n);
bool fuzz_picture(const uint8_t *bytes, size_t n);
bool fuzz_pictures(const uint8_t *bytes, size_t n);
bool fuzz_weights(const uint8_t *bytes, size_t n);

bool fuzz_checkpoint_write(const char *path); /* a file that fuzz_checkpoint accepts */

/* A folder for this process alone; it goes when the process ends. */
const char *fuzz_folder(void);
/* The path of a file there with these bytes, until the next call with this name; "a/b" is a file in
   a sub-folder. */
const char *fuzz_file(const char *name, const void *bytes, size_t n);
/* Stops the program if not so. */
void        fuzz_check(bool so, const char *what);
/* An error is pending if and only if the file was refused; it is cleared. Returns accepted. */
bool        fuzz_end(bool accepted);
/* A number that depends on every byte. */
uint64_t    fuzz_hash(uint64_t hash, const void *bytes, size_t n);
/* A copy, the checksums of a PNG put right: bytes changed at random never have them. To be
   freed. */
uint8_t    *fuzz_whole_png(const uint8_t *bytes, size_t n);
/* Safetensors begin with the length of their header, which bytes changed at random never have
   right: the same with a header that ends at the first zero byte, or with the bytes. To be
   freed. */
uint8_t    *fuzz_framed(const uint8_t *bytes, size_t n);

#endif
