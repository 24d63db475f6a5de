/* worker.h: a program that measures on request. bench.py keeps several of them waiting on their
   standard inputs and asks them in turn, so that what else the machine does falls on all alike.

   A line "NAME SECONDS" is answered by "MEDIAN SUM MAGNITUDE": the median time of one run, in
   seconds, of as many as fit into SECONDS, and the sum of the result's elements and of their
   absolute values, by which bench.py sees that all compute the same. "memory" is answered by the
   most bytes that have been resident. What cannot be done is answered by "none" and the reason. */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include <stdbool.h>
#include <stdint.h>

/* Each worker has these three. */
bool prepare(const char *name); /* false, after refuse(), if there is no such thing */
void run(void);                 /* once what was prepared */
void finish(void);              /* releases it */

/* Says why prepare fails. Returns false. */
bool refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

double now(void);     /* in seconds; of the processor, if BENCH_CLOCK is "processor" */
int    threads(void); /* how many to use: OMP_NUM_THREADS, or 1 */

/* n numbers that every worker makes alike: multiples of 1/8 from -1 to 1, so that float sums are
   nearly exact. */
void fill(float *x, int64_t n, unsigned seed);
/* The sum that the answer carries; without it, it is 0. */
void check(const float *y, int64_t n);

/* A convolution by its name, "N,C,H,F,K,S,P,D,G": images of C x H x H, F kernels of K x K, stride
   S, padding P, dilation D, G groups. O is the height of the output. */
typedef struct conv_shape {
    int64_t N, C, H, F, K, S, P, D, G, O;
} conv_shape;
bool read_conv(const char *text, conv_shape *c);

typedef enum direction { FORWARD, INPUT_GRAD, KERNEL_GRAD } direction;
/* Takes "forward:", "input:" or "kernel:" off the text; NULL if there is none. */
const char *read_direction(const char *text, direction *d);

/* A product "M,K,N,TA,TB": (M,K) by (K,N), stored transposed where TA, TB are 1. */
typedef struct product {
    int64_t M, K, N;
    bool    transpose_a, transpose_b;
} product;
bool read_product(const char *text, product *p);

#endif
