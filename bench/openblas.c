/* openblas.c: the worker that multiplies matrices by OpenBLAS. */
#include "worker.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

static product p;
static float  *a, *b, *y;

static float *filled(int64_t n, unsigned seed)
{
    float *x = malloc((size_t)n * sizeof *x);
    if (x) fill(x, n, seed);
    return x;
}

bool prepare(const char *name)
{
    if (strncmp(name, "matmul:", 7)) return refuse("no such thing: %s", name);
    if (!read_product(name + 7, &p)) return false;
    a = filled(p.M * p.K, 1);
    b = filled(p.K * p.N, 2);
    y = filled(p.M * p.N, 3);
    if (!a || !b || !y) {
        finish();
        return refuse("no memory");
    }
    run();
    check(y, p.M * p.N);
    return true;
}

void run(void)
{
    cblas_sgemm(CblasRowMajor, p.transpose_a ? CblasTrans : CblasNoTrans,
        p.transpose_b ? CblasTrans : CblasNoTrans, (int)p.M, (int)p.N, (int)p.K, 1, a,
        (int)(p.transpose_a ? p.M : p.K), b, (int)(p.transpose_b ? p.K : p.N), 0, y, (int)p.N);
}

void finish(void)
{
    free(a), free(b), free(y);
    a = b = y = NULL;
}
