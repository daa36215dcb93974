/* histogram.h - how often magnitudes were seen, and where an int8 scale had best end.
 *
 * Few values are large: a scale that reaches the largest wastes its steps on them.  The best end is the one with the least squared error
 * of all that was seen, what lies above it counted with what saturating costs. */
#ifndef CONURE_ONNX_HISTOGRAM_H
#define CONURE_ONNX_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum { CONURE_HISTOGRAM_BINS = 2048 };

typedef struct conure_histogram {
    float top;     /* the last bin ends here; 0: nothing was seen */
    float largest;
    uint64_t counts[CONURE_HISTOGRAM_BINS];
} conure_histogram;

/* Values that are not finite are passed over. */
void conure_histogram_add(conure_histogram *histogram, const float *values, size_t n);
/* The magnitude that becomes 127, between a fifth of the largest and the largest; 0 when nothing else than 0 was seen. */
float conure_histogram_range(const conure_histogram *histogram);

#endif
