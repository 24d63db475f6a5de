/* 05-convolution.c: convolution by hand. y = a *filt b for a of 4x4 and b of 2x3; one element of it
   product by product; and its derivatives, which are slices (1) of b (2) and of a (10), against
   Gradus for every element. Indices count from 1, as in the equations. */
#include <gradus.h>

#include <math.h>
#include <stdio.h>

enum { HA = 4, WA = 4, HB = 2, WB = 3, HY = HA - HB + 1, WY = WA - WB + 1 };
static const gr_real as[HA * WA] = { 1, 2, 0, -1, 3, 1, -2, 2, 0, -1, 1, 4, 2, 1, -3, 1 };
static const gr_real bs[HB * WB] = { 1, -1, 2, 3, 0, -2 };

/* Element i,j of a matrix; zero outside it, as (1) reads. */
static double at(const gr_real *m, int rows, int columns, int i, int j)
{
    return i < 1 || i > rows || j < 1 || j > columns ? 0 : (double)m[(i - 1) * columns + j - 1];
}

/* The definition, with each product shown if asked for. */
static double filt(int i, int j, bool show)
{
    double sum = 0;
    for (int p = 1; p <= HB; p++)
        for (int q = 1; q <= WB; q++) {
            double a = at(as, HA, WA, i + p - 1, j + q - 1), b = at(bs, HB, WB, p, q);
            if (show) printf("%s(%g)(%g)", p + q > 2 ? " + " : "", a, b);
            sum += a * b;
        }
    return sum;
}

/* Element k,l of the derivative of y_ij by a, and by b: the slices of (2) and (10). */
static double by_a(int i, int j, int k, int l)
{
    return at(bs, HB, WB, 2 - i + k - 1, 2 - j + l - 1);
}
static double by_b(int i, int j, int k, int l) { return at(as, HA, WA, i + k - 1, j + l - 1); }

/* Prints the slice for y_ij; returns how far it is from what Gradus says at most. */
static double compare(
    double slice(int, int, int, int), gr_tensor *x, gr_tensor *y, int i, int j, bool show)
{
    gr_tensor *y_ij = gr_sum(gr_slice(gr_slice(y, 0, i - 1, i), 1, j - 1, j));
    gr_tensor *gx = gr_grad(y_ij, x, .retain_graph = true);
    int        rows = (int)gr_size(x, 0), columns = (int)gr_size(x, 1);
    double     most = 0;
    for (int k = 1; k <= rows; k++) {
        for (int l = 1; l <= columns; l++) {
            most = fmax(most, fabs(slice(i, j, k, l) - at(gr_data(gx), rows, columns, k, l)));
            if (show) printf("%4g", slice(i, j, k, l));
        }
        if (show) printf("\n");
    }
    return most;
}

int main(void)
{
    gr_on_error(gr_print_and_exit); /* a call that fails: one line says why, and the program ends */
    GR_STEP;
    gr_tensor *a = gr_param(gr_from(gr_shape(HA, WA), as)),
              *b = gr_param(gr_from(gr_shape(HB, WB), bs)), *y = gr_conv_filt(a, b);
    printf("a =\n%s\n\nb =\n%s\n\ny = a *filt b =\n%s\n", gr_format(a), gr_format(b), gr_format(y));
    printf("\ny_3,2 = ");
    printf(" = %g\n", filt(3, 2, true));

    printf("\n(2)  dy_3,2 / da, b shifted:\n");
    compare(by_a, a, y, 3, 2, true);
    printf("\n(10) dy_3,2 / db, the window of a:\n");
    compare(by_b, b, y, 3, 2, true);

    double most = 0;
    for (int i = 1; i <= HY; i++)
        for (int j = 1; j <= WY; j++) {
            most = fmax(most, fabs(filt(i, j, false) - at(gr_data(y), HY, WY, i, j)));
            most = fmax(
                most, fmax(compare(by_a, a, y, i, j, false), compare(by_b, b, y, i, j, false)));
        }
    printf("\nfilt, (2) and (10) for all %d elements of y, and Gradus: largest difference %g\n",
        HY * WY, most);
    return 0;
}
