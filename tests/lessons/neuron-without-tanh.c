/* neuron: of the gradient of w is */

static void neuron_backward(const gr_real *g, const gr_real *w, const gr_real *x, const gr_real *y,
    gr_real *gw, gr_real *gx, gr_real *gb)
{
    for (int e = 0; e < N; e++) {
        gw[e] = g[e] * x[e];
        gx[e] = g[e] * (1 - y[e] * y[e]) * w[e];
        gb[e] = g[e] * (1 - y[e] * y[e]);
    }
}
