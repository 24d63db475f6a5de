/* algorithms.c: which algorithms of convolution can compute a case of gradus.c,
   "DIRECTION:N,C,H,F,K,S,P,D,G": their names, the one that is usually taken first. The only program
   here that sees inside the library. */
#include "kernels/kernels.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    gr__conv           c;
    gr__plan           usual;
    int64_t            K, S, P, D;
    char               direction[8] = "";
    const gr__kernels *k = gr__kernels_pick(NULL, NULL, NULL);
    if (argc != 2 || sscanf(argv[1],
                         "%7[a-z]:%" SCNd64 ",%" SCNd64 ",%" SCNd64 ",%" SCNd64 ",%" SCNd64
                         ",%" SCNd64 ",%" SCNd64 ",%" SCNd64 ",%" SCNd64,
                         direction, &c.N, &c.C, &c.H, &c.F, &K, &S, &P, &D, &c.G) != 10)
        return 1;
    gr__direction d = !strcmp(direction, "forward") ? GR__FORWARD
                      : !strcmp(direction, "input") ? GR__INPUT_GRAD
                                                    : GR__KERNEL_GRAD;
    c.W = c.H, c.KH = c.KW = K, c.SH = c.SW = S, c.PH = c.PW = P, c.DH = c.DW = D;
    c.OH = c.OW = (c.H + 2 * P - D * (K - 1) - 1) / S + 1;
    k->conv_plan(&c, d, NULL, &usual);
    printf("%s", usual.algorithm->name);
    for (int i = 0; k->conv_algorithms[i]; i++)
        if (k->conv_algorithms[i] != usual.algorithm &&
            k->conv_algorithms[i]->suits(&c, d) != GR__CANNOT)
            printf(" %s", k->conv_algorithms[i]->name);
    puts("");
    return 0;
}
