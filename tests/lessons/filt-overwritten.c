/* filt: of the gradient of b is .*look at (26) */

static void filt_backward(const gr_real g[HY][WY], const gr_real a[HA][WA], const gr_real b[HB][WB],
    gr_real ga[HA][WA], gr_real gb[HB][WB])
{
    for (int i = 0; i < HY; i++)
        for (int j = 0; j < WY; j++)
            for (int p = 0; p < HB; p++)
                for (int q = 0; q < WB; q++) {
                    ga[i + p][j + q] += g[i][j] * b[p][q];
                    gb[p][q] = g[i][j] * a[i + p][j + q];
                }
}
