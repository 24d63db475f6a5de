/* exercise.h: what the exercises share. Each is an operation whose gradient is left blank; grade
   holds what has been filled in against differences, and says what is wrong with it. */
#ifndef EXAMPLES_LESSONS_EXERCISE_H
#define EXAMPLES_LESSONS_EXERCISE_H

#include <gradus.h>

#include <stdio.h>

/* What an input of the operation is called, and what is to be read again if its gradient is
   wrong. */
typedef struct input {
    const char *name, *look;
} input;

/* Numbers from -1 to 1, other ones in each tensor, the same in each run. */
static inline gr_tensor *numbers(gr_shape shape)
{
    static uint64_t seed;
    gr_rng          rng = gr_rng_of(++seed, "exercise");
    return gr_uniform(shape, &rng, -1, 1);
}

/* Checks the gradients of y = f(x, NULL) by all n inputs and prints the outcome, with the worst
   element, counted from 0. Returns main's status. */
static inline int grade(gr_function *f, gr_tensor *const *x, int n, const input *inputs)
{
    int    i;
    char   element[64];
    double found, wanted;
    if (gr_gradcheck(f, x, n)) {
        puts("right: every element of every gradient is what differences say");
        return 0;
    }
    if (sscanf(gr_error(), "gradcheck: input %d, element %63[^:]: %lf by backward, %lf by", &i,
            element, &found, &wanted) == 4) {
        printf("not yet: element %s of the gradient of %s is %.3f, and should be %.3f: it is off "
               "by %.3f\n",
            element, inputs[i - 1].name, found, wanted, found - wanted);
        printf("look at %s\n", inputs[i - 1].look);
    } else {
        printf("not yet: %s\n", gr_error());
    }
    return 1;
}

#endif
