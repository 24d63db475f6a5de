/* max-pool.c: a solution of exercise-max-pool.c. */

static void max_pool_backward(
    const gr_real g[C][HY][WY], const gr_real x[C][HX][WX], gr_real gx[C][HX][WX])
{
    for (int c = 0; c < C; c++)
        for (int i = 0; i < HY; i++)
            for (int j = 0; j < WY; j++) {
                int row = 2 * i, column = 2 * j; /* of the largest so far */
                for (int e = 1; e < 4; e++)
                    if (x[c][2 * i + e / 2][2 * j + e % 2] > x[c][row][column])
                        row = 2 * i + e / 2, column = 2 * j + e % 2;
                gx[c][row][column] = g[c][i][j];
            }
}
