/* nn.h (private): the model and the optimiser, as layers, schedules and files see them. */
#ifndef GR_NN_H
#define GR_NN_H

#include "core/core.h"
#include "gradus/nn.h"
#include "gradus/optim.h"
#include "io/io.h"

/* What a name of a model stands for: a parameter; a buffer, which is saved with it but has no
   gradient; a counter, which is a buffer of one integer; a layer that keeps count of its runs (and
   has no tensor). */
typedef enum gr__kind { GR__PARAM, GR__BUFFER, GR__COUNTER, GR__LAYER } gr__kind;

typedef struct gr__slot {
    char      *name;
    gr__kind   kind;
    gr_tensor *t;
    uint64_t   runs;
    size_t     place; /* in the model's slots */
} gr__slot;

struct gr_model {
    uint64_t    seed;
    bool        sealed, eval;
    /* what it was built by, and for which input; NULL if it was opened by hand */
    gr_forward *forward;
    gr_shape    input;
    void       *ctx; /* the program's, for forward */
    gr__map    *by_name;
    gr__slot  **slots; /* stb_ds array, in the order they were made */
    /* those that are parameters; those that are buffers or counters */
    gr__slot  **params, **buffers;
};

/* The slot of that name and kind, made while the model is being built. shape: the tensor's; NULL
   for a layer. */
gr__slot *gr__model_slot(
    gr_model *m, const char *name, gr__kind kind, const gr_shape *shape, bool shared);
bool gr__model_built(const gr_model *m, const char *what);

/* ---- pattern.c ------------------------------------------------------------------------------- */

/* by a pattern that is good */
bool gr__chosen(const char *pattern, const gr__slot *s);
/* else the error */
bool gr__pattern_good(const gr_model *m, const char *pattern, const char *what);

/* ---- optim.c: plain data, all that a step depends on ----------------------------------------- */

enum { GR__MOMENTS = 3 };

/* Told of each parameter i that a step changes, before and after; and, with i one past the last,
   that the optimiser is being freed. It changes nothing. */
typedef void gr__watch(void *arg, size_t i, bool changed);

/* How an optimiser updates, and PyTorch's names of the tensors that it keeps of a parameter. */
typedef struct gr__rule {
    const char *name;
    const char *moment[GR__MOMENTS];
    void (*update)(const void *arg, int64_t begin, int64_t end);
    bool beta1; /* what the optimiser calls momentum is Adam's beta1 */
} gr__rule;

/* What an optimiser remembers of one parameter. */
typedef struct gr__memory {
    const char *name;                    /* the parameter's, and the model's to free */
    gr_tensor  *p, *moment[GR__MOMENTS]; /* NULL where the options ask for none */
    uint64_t    steps;
    double      lr_factor, weight_decay; /* its group's */
} gr__memory;

struct gr_optim {
    const gr__rule *rule;
    gr_model       *model;
    double          lr, momentum, beta2; /* momentum: or Adam's beta1; beta2: or RMSprop's alpha */
    double          dampening, eps;
    bool            nesterov, decoupled;
    double          first_lr, first_momentum; /* as it was opened */
    gr__memory     *memories;                 /* of the model's parameters, in its order */
    size_t          count;
    gr__watch      *watch; /* NULL: nobody watches */
    void           *watch_arg;
};

/* lists all that its steps depend on, but for the parameters */
void gr__list_optim(gr__state *s, gr_optim *o);

/* ---- clip.c ---------------------------------------------------------------------------------- */

/* their sum, in double and always in the same order */
double gr__squares(const gr_real *x, int64_t n);

/* ---- schedule.c: plain data; the state is all that changes ----------------------------------- */

/* A schedule's rate, and the momentum if it moves that, at its own count t >= 0. */
typedef struct gr__curve {
    const char *name;
    double (*lr)(const gr_schedule *s, int64_t t);
    double (*momentum)(const gr_schedule *s, int64_t t);
    void (*facts)(gr__state *s, const gr_schedule *x); /* lists its options */
} gr__curve;

typedef struct gr__schedule_state {
    int64_t count;
    double  lr0;      /* the rate that it began with */
    double  lr, best; /* of plateau, as the next two */
    /* reports in a row that were not better; reports that will not be counted */
    int64_t bad, cooling;
} gr__schedule_state;

struct gr_schedule {
    const gr__curve   *curve;
    gr_optim          *optim;
    gr__schedule_state state;
    int64_t            warmup;
    double             warmup_from, max_lr; /* max_lr: of one_cycle */
    union {                                 /* with their defaults filled in */
        gr_step_lr_options        step;
        gr_multistep_lr_options   multistep;
        gr_exponential_lr_options exponential;
        gr_cosine_lr_options      cosine;
        gr_one_cycle_lr_options   one_cycle;
        gr_plateau_lr_options     plateau;
    } o;
};

/* sets the optimiser's rate, and momentum, to what the state says */
void gr__schedule_apply(gr_schedule *s);
void gr__list_schedule(gr__state *s, gr_schedule *x);

#endif
