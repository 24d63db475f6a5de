/* nn.h (private): the model, as layers, optimisers and files of weights see it. */
#ifndef GR_NN_H
#define GR_NN_H

#include "core/core.h"
#include "gradus/nn.h"

/* What a name of a model stands for: a parameter; a buffer, which is saved with it but has no gradient; a counter, which is a buffer of
   one integer; a layer that keeps count of its runs (and has no tensor). */
typedef enum gr__kind { GR__PARAM, GR__BUFFER, GR__COUNTER, GR__LAYER } gr__kind;

typedef struct gr__slot {
    char      *name;
    gr__kind   kind;
    gr_tensor *t;
    uint64_t   runs;
} gr__slot;

struct gr_model {
    uint64_t   seed;
    bool       sealed, eval;
    gr__map   *by_name;
    gr__slot **slots;  /* stb_ds array, in the order they were made */
    gr__slot **params, **buffers; /* those that are parameters; those that are buffers or counters */
};

/* The slot of that name and kind, made while the model is being built. shape: the tensor's; NULL for a layer. */
gr__slot *gr__model_slot(gr_model *m, const char *name, gr__kind kind, const gr_shape *shape, bool shared);
bool      gr__model_built(const gr_model *m, const char *what);

#endif
