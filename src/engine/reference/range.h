/* range.h - the largest magnitudes that pass through an engine "ref": what a lower precision has to hold.
 *
 * Scores are attention's before the softmax, of pairs that may see each other.  Activations are all that products and convolutions give and
 * the residual stream after every block; what is masked counts, as a product computes it all the same. */
#ifndef CONURE_ENGINE_REFERENCE_RANGE_H
#define CONURE_ENGINE_REFERENCE_RANGE_H

typedef struct conure_ref_range {
    double score, activation;                   /* 0 so far; infinite once something was no number */
    char score_at[96], activation_at[96]; /* where it was: by the name of a weight */
} conure_ref_range;

/* self: an open conure_engine_reference; range [1] is added to by every call of the engine until it is closed or told NULL. */
void conure_ref_set_range(void *self, conure_ref_range *range);

#endif
