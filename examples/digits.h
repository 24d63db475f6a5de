/* digits.h: the handwritten digits that several examples learn from. */
#ifndef EXAMPLES_DIGITS_H
#define EXAMPLES_DIGITS_H

#include <gradus.h>

/* The training or test digits of MNIST in that folder, or as many drawn ones; these are always the
   same. */
static inline gr_dataset *digits_of(const char *folder, bool training)
{
    if (folder) return gr_mnist(folder, training);
    return training ? gr_digits(20000, 1) : gr_digits(4000, 2);
}

#endif
