/* cross-entropy: of the gradient of z is .*look at chapter 8, cross-entropy */

static void cross_entropy_backward(
    gr_real g, const gr_real z[N][C], const int32_t label[N], gr_real gz[N][C])
{
    (void)label;
    for (int n = 0; n < N; n++) {
        double sum = 0;
        for (int c = 0; c < C; c++) sum += exp((double)z[n][c]);
        for (int c = 0; c < C; c++) gz[n][c] = g * (gr_real)((exp((double)z[n][c]) / sum) / N);
    }
}
