/* nn.h (private): the model, as layers, optimisers and files of weights see it. */
#ifndef GR_NN_H
#define GR_NN_H

#include "core/core.h"
#include "gradus/nn.h"

/* One name of a model: a parameter, or (t NULL) a layer that keeps count of its runs. */
typedef struct gr__slot {
    char      *name;
    gr_tensor *t;
    uint64_t   runs;
} gr__slot;

struct gr_model {
    uint64_t   seed;
    bool       sealed, eval;
    gr__map   *by_name;
    gr__slot **slots;  /* stb_ds array, in the order they were made */
    gr__slot **params; /* those that are parameters */
};

/* The slot of that name, made while the model is being built (as a parameter of that shape, or without one if shape is NULL). */
gr__slot *gr__model_slot(gr_model *m, const char *name, const gr_shape *shape, bool shared);
bool      gr__model_built(const gr_model *m, const char *what);

#endif
