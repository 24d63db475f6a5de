/* report.h (private): the data of a training report, and the interfaces of its parts.

   All memory is bounded and taken when the report is opened, but for what depends on the classes,
   which is taken with the first scores. */
#ifndef GR_REPORT_H
#define GR_REPORT_H

#include "data/data.h"
#include "nn/nn.h"
#include "gradus/report.h"
#include "web/web.h"

/* ---- series.c ------------------------------------------------------------ */

/* Sum and range of one number at neighbouring steps; values that are not finite are left out. */
typedef struct gr__series_sum {
    double  sum, low, high;
    int64_t count;
} gr__series_sum;

/* Vectors of width numbers over time: at most most points, each of span neighbouring steps. */
typedef struct gr__series {
    int             width, most, count;
    int64_t         span, held; /* held: how many neighbours the last point has */
    double         *x;          /* of each point: that of the last neighbour */
    gr__series_sum *y;
} gr__series;

bool   gr__series_open(gr__series *s, int width,
      int most); /* false: no memory, as report_open; to be closed all the same */
void   gr__series_put(gr__series *s, double x, const double *y);
double gr__series_mean(const gr__series *s, int point, int number); /* NaN: of none */
void   gr__series_close(gr__series *s);

/* ---- layer_norms.c ------------------------------------------------------- */

/* A layer: the model's parameters first .. first + params - 1, whose names are equal up to the last
   dot. */
typedef struct gr__layer_params {
    const char *name; /* length of it */
    int         length, first, params;
    int64_t     numbers;
} gr__layer_params;

/* Squared norms of one parameter in the step that was watched. */
typedef struct gr__param_norms {
    double gradient, update, weight;
} gr__param_norms;

typedef struct gr__layer_norms {
    gr__layer_params *layer;
    int               count, left_out; /* parameters of layers beyond those that are shown */
    int               params;
    gr__param_norms  *norms;  /* of each parameter */
    bool             *seen;   /* whether it was changed in this step */
    double           *row;    /* what goes into the series: gradient norm and ratio of each layer */
    gr_real          *before; /* a parameter before its change */
    size_t            room;
    gr__series        series;
    bool              watching; /* this step */
} gr__layer_norms;

bool gr__layer_norms_open(gr__layer_norms *l, const gr_model *m);
void gr__layer_norms_see(gr__layer_norms *l, size_t i, const gr_tensor *p,
    bool changed); /* before and after the update of parameter i */
void gr__layer_norms_step(gr__layer_norms *l, double x); /* at the end of a step that was watched */
void gr__layer_norms_close(gr__layer_norms *l);

/* ---- thumbs.c ------------------------------------------------------------ */

enum { GR__THUMB_SIDE = 64, GR__THUMB_BYTES = GR__THUMB_SIDE * GR__THUMB_SIDE * 3 };

/* A picture as bytes, row by row, 1 or 3 per pixel; at most GR__THUMB_SIDE on each side. */
typedef struct gr__thumb {
    int           height, width, channels; /* 0: there is none */
    unsigned char bytes[GR__THUMB_BYTES];
} gr__thumb;

/* Image i of a batch (N,C,H,W) or (N,H,W), reduced if it is larger; recipe (or NULL): how the
   loader made numbers of bytes, which is undone. */
bool gr__thumb_of(gr__thumb *to, const gr_tensor *images, int64_t i, const gr__recipe *recipe);

/* ---- scores.c ------------------------------------------------------------ */

enum { GR__SCORES_MISTAKES = 24 };

typedef struct gr__scores_mistake {
    double    confidence, truth; /* probabilities of the guess and of the label */
    int       label, guess;
    gr__thumb picture;
} gr__scores_mistake;

/* The results of one epoch's test. */
typedef struct gr__scores_tally {
    gr_confusion       *table;
    double              loss; /* sum of cross-entropies */
    int64_t             count;
    int                 mistakes;
    gr__scores_mistake *mistake; /* the most confident first */
} gr__scores_tally;

/* now is being filled; last has the results of the last complete epoch. */
typedef struct gr__scores {
    int              classes; /* 0: none yet */
    gr__scores_tally now, last;
} gr__scores;

bool gr__scores_add(gr__scores *s, const gr_tensor *images, const gr_tensor *scores,
    const gr_tensor *labels, const gr__recipe *recipe);
void gr__scores_epoch(gr__scores *s);
void gr__scores_close(gr__scores *s);

/* ---- report.c ------------------------------------------------------------ */

enum {
    GR__REPORT_CURVES = 8,
    GR__REPORT_ALBUMS = 4,
    GR__REPORT_ALBUM = 96,
    GR__REPORT_ALBUM_BYTES = 1 << 18,
    GR__REPORT_POINTS = 1000
};

/* A curve of the caller. */
typedef struct gr__report_curve {
    char      *name;
    gr__series series;
} gr__report_curve;

/* Pictures of the caller. */
typedef struct gr__report_album {
    char      *title;
    int        count;
    int64_t    columns;
    int64_t    step; /* when they were given */
    gr__thumb *picture;
} gr__report_album;

enum {
    GR__REPORT_LOSS,
    GR__REPORT_TEST_LOSS,
    GR__REPORT_ACCURACY,
    GR__REPORT_SECONDS,
    GR__REPORT_EPOCH_NUMBERS
}; /* of an epoch */

struct gr_report {
    char             *path, *title;
    gr_model         *model;
    gr_optim         *optim;
    const gr_loader  *loader;
    const gr__recipe *recipe; /* the loader's, or NULL */
    gr_tensor        *sample; /* or NULL */
    int               sample_label;
    int64_t           sample_every;       /* epochs; 0: when the report is closed, and not before */
    gr__page          activations;        /* of the sample, as JSON; empty: not taken yet */
    int64_t           every, first, step; /* steps before the report began; in all */
    int64_t           epochs, bad;        /* epochs that ended; losses that were not finite */
    double            rate_now;           /* the learning rate of the last step */
    double            seconds, began, written,
        cost;               /* in seconds: between two writings; when; what the last one took */
    int64_t          since; /* the unix time at which it was opened */
    double           loss_sum, epoch_began; /* of this epoch */
    int64_t          loss_count;
    gr__series       loss, rate, epoch;
    gr__layer_norms  layers;
    gr__scores       scores;
    gr__report_curve value[GR__REPORT_CURVES];
    gr__report_album album[GR__REPORT_ALBUMS];
    int              values, albums;
};

double gr__report_clock(void); /* of a monotonic clock */

/* ---- report_data.c ------------------------------------------------------- */

/* Made of report.css, report.html and the scripts by lib/report/Makefile.inc. */
extern const unsigned char gr__report_css[], gr__report_html[], gr__report_js[];

/* Calls the model's forward function with the sample, and keeps what the page shows of it. The only
   place that calls it. */
bool gr__report_take_activations(gr_report *r);

/* Writes the report's file. status: "running", "finished", or the failure that ended it. */
bool gr__report_write(const gr_report *r, const char *status);

#endif
