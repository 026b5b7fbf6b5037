/* N pairs, one tick at a time: the streaming form of fc_rolling.h as structure of arrays, all pairs in step. */
#ifndef FC_PAIRS_H
#define FC_PAIRS_H

#include "fc_rolling.h"

typedef struct fc_pairset {
    fc_rolling_shape_t shape;
    int64_t pairs, window, ddof, count;
    int64_t half, position, offset; /* as in fc_rolling_t */
    int64_t symbols;                /* prices in a tick */
    int64_t stride;                 /* doubles in a row of the arrays below: pairs, rounded up to a cache line */
    int32_t logarithm;              /* spreads of log prices */
    int32_t avx2;
    double *prices;     /* [symbols] the tick, or its logarithms */
    double *hedge;      /* [stride] */
    double *threshold;  /* [stride] */
    double *spread;     /* [stride] newest spreads */
    double *zscore;     /* [stride] newest z-scores; NaN until there are `window` ticks */
    double *anchor, *s, *q;                /* [stride] each, as in fc_rolling_t */
    double *anchor_next, *s_next, *q_next;
    double *s_back, *q_back;
    double *current, *previous;            /* [half][stride] */
    double *suffix, *suffix_next;          /* [half + 1][2][stride] */
    int32_t *first, *second;               /* [stride] symbols of a pair */
    int8_t *signal;                        /* [stride] +1 above the threshold, -1 below its negative, else 0 */
    double *memory;                        /* the one allocation behind all of them */
} fc_pairset_t;
