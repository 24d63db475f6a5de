/* equations.c: the equations of the derivation of convolution's gradients, each evaluated three
   ways and printed side by side: by its formula (plain loops over indices from 1, as the equations
   are written), by autograd, and by central differences.

   (2) d(a *filt b)_ij / da = b, shifted to i, j (26) df/db = a *filt df/d(a *filt b) (10) d(a *filt
   b)_ij / db = the window of a at i, j (34) dL/dX_nc = sum over f of K_fc *full dL/dY_nf (18) df/da
   = b *full df/d(a *filt b) (35) dL/dK_fc = sum over n of X_nc *filt dL/dY_nf

   f and L are half the sum of squares of what they take, so that df/dy = y. All numbers are small
   integers, and no function here has a third derivative along any one of its inputs: central
   differences are exact, and every difference should be 0. */
#include <gradus.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* a, b, and a *filt b */
enum { HA = 4, WA = 4, HB = 2, WB = 3, HY = HA - HB + 1, WY = WA - WB + 1 };
/* images, channels, filters of the layer (33) */
enum { N = 2, C = 2, F = 3 };
enum { MOST = N * C * F * HA * WA };

static const double tolerance = 1e-5;

/* A matrix inside an array of them, read by indices from 1; zero outside it, as (1) reads. */
typedef struct matrix {
    int           rows, columns;
    const double *at;
} matrix;

static double entry(matrix m, int i, int j)
{
    return i < 1 || i > m.rows || j < 1 || j > m.columns ? 0 : m.at[(i - 1) * m.columns + j - 1];
}

/* (1): element n,m of the slice of b that begins at i,j. */
static double slice(matrix b, int i, int j, int n, int m) { return entry(b, i + n - 1, j + m - 1); }

/* a *filt b: element i,j. */
static double filt(matrix a, matrix b, int i, int j)
{
    double sum = 0;
    for (int p = 1; p <= b.rows; p++)
        for (int q = 1; q <= b.columns; q++) sum += entry(a, i + p - 1, j + q - 1) * entry(b, p, q);
    return sum;
}

/* a *full b: element k,l. */
static double full(matrix a, matrix b, int k, int l)
{
    double sum = 0;
    for (int i = 1; i <= b.rows; i++)
        for (int j = 1; j <= b.columns; j++) sum += entry(a, k - i + 1, l - j + 1) * entry(b, i, j);
    return sum;
}

/* ---- the numbers at hand ---- */

static const double a_values[HA * WA] = { 1, 2, 0, -1, 3, 1, -2, 2, 0, -1, 1, 4, 2, 1, -3, 1 };
static const double b_values[HB * WB] = { 1, -1, 2, 3, 0, -2 };

static double a[HA * WA], b[HB * WB], y[HY * WY];                         /* y = a *filt b */
static double X[N * C * HA * WA], K[F * C * HB * WB], Y[N * F * HY * WY]; /* (33) */

static matrix A(void) { return (matrix){ HA, WA, a }; }
static matrix B(void) { return (matrix){ HB, WB, b }; }
static matrix G(void) { return (matrix){ HY, WY, y }; } /* df/dy = y */
static matrix X_nc(int n, int c) { return (matrix){ HA, WA, X + ((n - 1) * C + c - 1) * HA * WA }; }
static matrix K_fc(int f, int c) { return (matrix){ HB, WB, K + ((f - 1) * C + c - 1) * HB * WB }; }
static matrix G_nf(int n, int f) { return (matrix){ HY, WY, Y + ((n - 1) * F + f - 1) * HY * WY }; }

static void fill(void)
{
    memcpy(a, a_values, sizeof a);
    memcpy(b, b_values, sizeof b);
    for (int e = 0; e < N * C * HA * WA; e++) X[e] = e * 5 % 7 % 3 - 1;
    for (int e = 0; e < F * C * HB * WB; e++) K[e] = e * 3 % 5 % 3 - 1;
    for (int i = 1; i <= HY; i++)
        for (int j = 1; j <= WY; j++) {
            y[(i - 1) * WY + j - 1] = filt(A(), B(), i, j);
            for (int n = 1; n <= N; n++)
                for (int f = 1; f <= F; f++) {
                    double *to = &Y[(((n - 1) * F + f - 1) * HY + i - 1) * WY + j - 1];
                    for (int c = 1; c <= C; c++) *to += filt(X_nc(n, c), K_fc(f, c), i, j);
                }
        }
}

/* ---- the six formulas ------------------------------------------------------------------------
   Element k,l of one of the gradient's matrices, which i,j (2, 10), n,c (34) or f,c (35) choose. */

typedef double formula(int i, int j, int k, int l);

static double eq2(int i, int j, int k, int l) { return slice(B(), 2 - i, 2 - j, k, l); }
static double eq10(int i, int j, int k, int l) { return slice(A(), i, j, k, l); }
static double eq18(int i, int j, int k, int l) { return (void)i, (void)j, full(B(), G(), k, l); }
static double eq26(int i, int j, int k, int l) { return (void)i, (void)j, filt(A(), G(), k, l); }

static double eq34(int n, int c, int k, int l)
{
    double sum = 0;
    for (int f = 1; f <= F; f++) sum += full(K_fc(f, c), G_nf(n, f), k, l);
    return sum;
}

static double eq35(int f, int c, int k, int l)
{
    double sum = 0;
    for (int n = 1; n <= N; n++) sum += filt(X_nc(n, c), G_nf(n, f), k, l);
    return sum;
}

/* ---- the functions that are differentiated, in Gradus ---- */

typedef gr_tensor *function(gr_tensor *left, gr_tensor *right, int i, int j);

static gr_tensor *half_square(gr_tensor *t) { return gr_scale(gr_sum(gr_mul(t, t)), 0.5); }

static gr_tensor *filt_ij(gr_tensor *left, gr_tensor *right, int i, int j)
{
    return gr_sum(gr_slice(gr_slice(gr_conv_filt(left, right), 0, i - 1, i), 1, j - 1, j));
}

static gr_tensor *f_of_filt(gr_tensor *left, gr_tensor *right, int i, int j)
{
    return (void)i, (void)j, half_square(gr_conv_filt(left, right));
}

static gr_tensor *L_of_conv2d(gr_tensor *left, gr_tensor *right, int i, int j)
{
    return (void)i, (void)j, half_square(gr_conv2d(left, right));
}

/* ---- an equation, three ways ---- */

typedef struct equation {
    const char *title;
    /* how the two numbers that choose a matrix are called; NULL: there is one matrix */
    const char *chosen;
    int         rows, columns; /* of the gradient's matrices, */
    int         first, second; /* and how many there are of them */
    /* they are parts of one gradient, not gradients of several functions */
    bool        one_function;
    bool        by_left; /* differentiated by the left operand */
    formula    *formula;
    function   *function;
} equation;

typedef struct ways {
    double formula[MOST], autograd[MOST], central[MOST];
} ways;

static gr_tensor *tensor(gr_shape shape, const double *values)
{
    gr_tensor *t = gr_zeros(shape);
    for (int64_t e = 0; e < gr_count(t); e++) gr_data_mut(t)[e] = (gr_real)values[e];
    return gr_param(t);
}

static void differentiate(
    const equation *q, int i, int j, double *by_autograd, double *by_differences)
{
    GR_STEP;
    bool         layer = q->function == L_of_conv2d;
    gr_tensor   *left = layer ? tensor(gr_shape(N, C, HA, WA), X) : tensor(gr_shape(HA, WA), a);
    gr_tensor   *right = layer ? tensor(gr_shape(F, C, HB, WB), K) : tensor(gr_shape(HB, WB), b);
    gr_tensor   *by = q->by_left ? left : right;
    gr_tensor   *g = gr_grad(q->function(left, right, i, j), by);
    const double h = 0.5;
    GR_NO_GRAD;
    for (int64_t e = 0; e < gr_count(by); e++) {
        gr_real x = gr_data(by)[e];
        gr_data_mut(by)[e] = (gr_real)(x + h);
        double above = gr_item(q->function(left, right, i, j));
        gr_data_mut(by)[e] = (gr_real)(x - h);
        double below = gr_item(q->function(left, right, i, j));
        gr_data_mut(by)[e] = x;
        by_autograd[e] = (double)gr_data(g)[e];
        by_differences[e] = (above - below) / (2 * h);
    }
}

static double evaluate(const equation *q, ways *all)
{
    int size = q->rows * q->columns, at = 0;
    for (int i = 1; i <= q->first; i++)
        for (int j = 1; j <= q->second; j++, at += size) {
            if (!q->one_function || at == 0)
                differentiate(q, i, j, all->autograd + at, all->central + at);
            for (int e = 0; e < size; e++)
                all->formula[at + e] = q->formula(i, j, e / q->columns + 1, e % q->columns + 1);
        }
    double largest = 0;
    for (int e = 0; e < at; e++)
        largest = fmax(largest, fmax(fabs(all->formula[e] - all->autograd[e]),
                                    fabs(all->formula[e] - all->central[e])));
    return largest;
}

/* ---- printing ---- */

/* One row of a matrix in brackets, in a field wide enough for four columns. */
static void print_row(const double *row, int count, bool last)
{
    printf("[");
    for (int e = 0; e < count; e++) printf("%4g", row[e] + 0.0); /* no minus before a zero */
    printf(" ]%*s", last ? 0 : 19 - 4 * count, "");
}

static void print_operands(void)
{
    printf("            a                     b                     y = a *filt b\n");
    for (int i = 0; i < HA; i++) {
        printf("            ");
        print_row(a + i * WA, WA, i >= HY);
        if (i < HB)
            print_row(b + i * WB, WB, false);
        else if (i < HY)
            printf("%22s", "");
        if (i < HY) print_row(y + i * WY, WY, true);
        putchar('\n');
    }
}

static void print_matrices(const equation *q, const ways *all, int i, int j)
{
    int at = ((i - 1) * q->second + j - 1) * q->rows * q->columns;
    for (int k = 0; k < q->rows; k++, at += q->columns) {
        if (k == 0 && q->chosen)
            printf(" %s = %d,%d  ", q->chosen, i, j);
        else
            printf("%12s", "");
        print_row(all->formula + at, q->columns, false);
        print_row(all->autograd + at, q->columns, false);
        print_row(all->central + at, q->columns, true);
        putchar('\n');
    }
}

/* Prints an equation with the first and the last of its matrices; returns the largest difference in
   all of them. */
static double show(const equation *q)
{
    static ways all;
    double      largest = evaluate(q, &all);
    int         count = q->first * q->second;
    printf("\n%s\n\n            formula               autograd              central differences\n",
        q->title);
    print_matrices(q, &all, 1, 1);
    if (count > 1) {
        putchar('\n');
        print_matrices(q, &all, q->first, q->second);
        printf("\n            largest difference in all %d matrices: %g\n", count, largest);
    } else {
        printf("\n            largest difference: %g\n", largest);
    }
    return largest;
}

static const equation equations[] = {
    { "(2)  d(a *filt b)_ij / da = b, shifted to i,j", "i,j", HA, WA, HY, WY, false, true, eq2,
        filt_ij },
    { "(10) d(a *filt b)_ij / db = the window of a at i,j", "i,j", HB, WB, HY, WY, false, false,
        eq10, filt_ij },
    { "(18) df/da = b *full df/d(a *filt b)", NULL, HA, WA, 1, 1, true, true, eq18, f_of_filt },
    { "(26) df/db = a *filt df/d(a *filt b)", NULL, HB, WB, 1, 1, true, false, eq26, f_of_filt },
    { "(34) dL/dX_nc = sum over f of K_fc *full dL/dY_nf", "n,c", HA, WA, N, C, true, true, eq34,
        L_of_conv2d },
    { "(35) dL/dK_fc = sum over n of X_nc *filt dL/dY_nf", "f,c", HB, WB, F, C, true, false, eq35,
        L_of_conv2d },
};

int main(void)
{
    double largest = 0;
    fill();
    print_operands();
    for (size_t i = 0; i < sizeof equations / sizeof *equations; i++)
        largest = fmax(largest, show(&equations[i]));
    printf("\nlargest difference of all six: %g\n", largest);
    if (gr_error()) fprintf(stderr, "equations: %s\n", gr_error());
    return gr_error() || !(largest <= tolerance) ? EXIT_FAILURE : EXIT_SUCCESS;
}
