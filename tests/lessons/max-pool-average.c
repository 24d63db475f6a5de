/* max-pool: of the gradient of x is .*look at chapter 8, max pooling */

static void max_pool_backward(
    const gr_real g[C][HY][WY], const gr_real x[C][HX][WX], gr_real gx[C][HX][WX])
{
    (void)x;
    for (int c = 0; c < C; c++)
        for (int i = 0; i < HX; i++)
            for (int j = 0; j < WX; j++) gx[c][i][j] = g[c][i / 2][j / 2] / 4;
}
