/* weight.h - a weight matrix in the form the product kernels read. */
#ifndef CONURE_BACKEND_WEIGHT_H
#define CONURE_BACKEND_WEIGHT_H

#include "backend/ops.h"

struct conure_weight {
    size_t n, k;
    size_t lines;               /* of 64 bytes in a panel */
    conure_precision precision; /* of panels: F32, BF16 or INT8 */
    const void *panels;         /* the tensor's memory, or in owned */
    const float *scales;        /* INT8: [n]; likewise */
    const int32_t *sums;        /* INT8: [n]; likewise */
    const float *bias;          /* [n], zeros when there is none; in owned */
    void *owned;
    bool borrows;               /* panels are the tensor's */
};

#endif
