/* 03-line.c: a line, fitted by gradient descent. Eight points lie near t = 2 x - 1; walking
   downhill on the mean of the squared errors finds a slope a and an intercept b, and a formula from
   statistics says whether they are the best. */
#include <gradus.h>

#include <math.h>
#include <stdio.h>

enum { N = 8 };
static const gr_real xs[N] = { -2.0f, -1.5f, -1.0f, -0.5f, 0.5f, 1.0f, 1.5f, 2.0f };
static const gr_real ts[N] = { -5.2f, -3.9f, -2.8f, -2.1f, 0.3f, 0.8f, 2.2f, 2.9f };

/* The best line: the slope is the covariance of x and t over the variance of x. */
static void least_squares(double *a, double *b)
{
    double sx = 0, st = 0, sxx = 0, sxt = 0;
    for (int i = 0; i < N; i++) {
        double x = (double)xs[i], t = (double)ts[i];
        sx += x, st += t, sxx += x * x, sxt += x * t;
    }
    *a = (sxt - sx * st / N) / (sxx - sx * sx / N);
    *b = (st - *a * sx) / N;
}

/* Two digits after the point, and no minus before a zero. */
static double tidy(double v) { return round(v * 100) / 100 + 0.0; }

/* One step against the gradient, which is forgotten afterwards: the next one is another. */
static void descend(gr_tensor *p, double rate)
{
    gr_data_mut(p)[0] -= (gr_real)(rate * gr_item(gr_grad_of(p)));
    gr_clear_grad(p);
}

int main(void)
{
    gr_on_error(gr_print_and_exit); /* a call that fails: one line says why, and the program ends */
    GR_STEP;
    gr_tensor *x = gr_from(gr_shape(N), xs), *t = gr_from(gr_shape(N), ts);
    gr_tensor *a = gr_param(gr_scalar(0)), *b = gr_param(gr_scalar(0));

    printf("step      loss        a        b    dL/da    dL/db\n");
    for (int step = 0; step <= 50; step++) {
        GR_STEP; /* what this turn makes is released at its end; a and b stay */
        gr_tensor *y = gr_add(gr_mul(a, x), b);
        gr_tensor *loss = gr_mean(gr_mul(gr_sub(y, t), gr_sub(y, t)));
        gr_backward(loss);
        if (step < 4 || step % 10 == 0)
            printf("%4d %9.3f %8.3f %8.3f %8.2f %8.2f\n", step, gr_item(loss), gr_item(a),
                gr_item(b), tidy(gr_item(gr_grad_of(a))), tidy(gr_item(gr_grad_of(b))));
        descend(a, 0.1);
        descend(b, 0.1);
    }

    double best_a, best_b;
    least_squares(&best_a, &best_b);
    printf("\nleast squares, by formula: a = %.3f   b = %.3f\n", best_a, best_b);
    return 0;
}
