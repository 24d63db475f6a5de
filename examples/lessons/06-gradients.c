/* 06-gradients.c: the two gradients of filt. f is half the sum of the squares of y = a *filt b,
   so g = df/dy is y itself. Its gradients by a and by b: by the formulas (18) and (26), by Gradus,
   and by central differences. */
#include <gradus.h>

#include <stdio.h>

enum { HA = 3, WA = 4, HB = 2, WB = 2, HY = HA - HB + 1, WY = WA - WB + 1 };

static const gr_real a_values[HA * WA] = { 1, 2, 0, -1, 3, 1, -2, 2, 0, -1, 1, 1 };
static const gr_real b_values[HB * WB] = { 1, -1, 2, 1 };

static gr_tensor *f(gr_tensor *y) { return gr_scale(gr_sum(gr_mul(y, y)), 0.5); }

/* Element i,j of a matrix, counted from 1; zero outside it, as (1) reads. */
static double at(gr_tensor *m, int i, int j)
{
    bool outside = i < 1 || i > gr_size(m, 0) || j < 1 || j > gr_size(m, 1);
    return outside ? 0 : (double)gr_data(m)[(i - 1) * gr_size(m, 1) + j - 1];
}

/* Element k,l of df/da as (18) has it, b *full g, in the form of (23); and of df/db as (26) has it,
   a *filt g, in the form of (31). */
static double formula(bool by_a, gr_tensor *a, gr_tensor *b, gr_tensor *g, int k, int l)
{
    double sum = 0;
    for (int i = 1; i <= HY; i++)
        for (int j = 1; j <= WY; j++)
            sum += at(g, i, j) * (by_a ? at(b, k - i + 1, l - j + 1) : at(a, i + k - 1, j + l - 1));
    return sum;
}

/* The central difference of f for element e of t, which is a or b, changed by 1/2 up and down. f
   is a parabola in each element, so this is exact. */
static double by_differences(gr_tensor *a, gr_tensor *b, gr_tensor *t, int64_t e)
{
    GR_NO_GRAD;
    gr_real old = gr_data(t)[e];
    gr_data_mut(t)[e] = old + (gr_real)0.5;
    double above = gr_item(f(gr_conv_filt(a, b)));
    gr_data_mut(t)[e] = old - (gr_real)0.5;
    double below = gr_item(f(gr_conv_filt(a, b)));
    gr_data_mut(t)[e] = old;
    return above - below;
}

static void show(gr_tensor *a, gr_tensor *b, gr_tensor *g, bool by_a)
{
    gr_tensor *t = by_a ? a : b;
    int        columns = (int)gr_size(t, 1), gap = 19 - 4 * columns;
    printf(
        "\n%-19s%-19s%s\n", by_a ? "df/da by (18)" : "df/db by (26)", "by Gradus", "by differences");
    for (int k = 1; k <= gr_size(t, 0); k++) {
        for (int l = 1; l <= columns; l++) printf("%4g", formula(by_a, a, b, g, k, l));
        printf("%*s", gap, "");
        for (int l = 1; l <= columns; l++) printf("%4g", at(gr_grad_of(t), k, l));
        printf("%*s", gap, "");
        for (int l = 1; l <= columns; l++)
            printf("%4g", by_differences(a, b, t, (k - 1) * columns + l - 1));
        putchar('\n');
    }
}

int main(void)
{
    gr_on_error(gr_print_and_exit); /* a call that fails: one line says why, and the program ends */
    GR_STEP;
    gr_tensor *a = gr_param(gr_from(gr_shape(HA, WA), a_values)),
              *b = gr_param(gr_from(gr_shape(HB, WB), b_values));
    gr_tensor *y = gr_retain_grad(gr_conv_filt(a, b));
    gr_backward(f(y));
    gr_tensor *g = gr_grad_of(y);
    printf("g = df/dy, which is y:\n%s\n\n", gr_format(g));

    const char *plus = "";
    printf("df/da at 2,3 by (18) =");
    for (int i = 1; i <= HY; i++)
        for (int j = 1; j <= WY; j++) {
            if (at(b, 3 - i, 4 - j) == 0) continue; /* a[2,3] has no part in y[i,j] */
            printf("%s %g * %g", plus, at(g, i, j), at(b, 3 - i, 4 - j));
            plus = " +";
        }
    printf(" = %g\n", formula(true, a, b, g, 2, 3));
    show(a, b, g, true);
    show(a, b, g, false);
    return 0;
}
