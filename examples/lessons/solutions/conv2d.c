/* conv2d.c: a solution of exercise-conv2d.c. One loop over all products x k of y, each of which
   sends a part to both. */

static void conv2d_element(const gr_real g, const gr_real x[C][HX][WX], const gr_real k[C][HK][WK],
    int i, int j, gr_real gx[C][HX][WX], gr_real gk[C][HK][WK])
{
    for (int c = 0; c < C; c++)
        for (int p = 0; p < HK; p++)
            for (int q = 0; q < WK; q++) {
                int row = S * i + p - P, column = S * j + q - P;
                /* padding: a zero, and no gradient */
                if (row < 0 || row >= HX || column < 0 || column >= WX) continue;
                gx[c][row][column] += g * k[c][p][q];
                gk[c][p][q] += g * x[c][row][column];
            }
}

static void conv2d_backward(const gr_real g[N][F][HY][WY], const gr_real x[N][C][HX][WX],
    const gr_real k[F][C][HK][WK], gr_real gx[N][C][HX][WX], gr_real gk[F][C][HK][WK])
{
    for (int n = 0; n < N; n++)
        for (int f = 0; f < F; f++)
            for (int i = 0; i < HY; i++)
                for (int j = 0; j < WY; j++)
                    conv2d_element(g[n][f][i][j], x[n], k[f], i, j, gx[n], gk[f]);
}
