/* diagnose.h - where one chunk's errors are, what its outputs depend on, and what becomes of an error in later chunks.
 *
 * A diagnosis is evidence, not a verdict: a JSON object from which the plots are drawn, so that both can be made again from a file.
 * docs/clearance.md, "Diagnosis", has its members.  In it null is "no value there", "not finite" stands for NaN and infinities. */
#ifndef CONURE_CLEARANCE_DIAGNOSE_H
#define CONURE_CLEARANCE_DIAGNOSE_H

#include "base/memory.h"
#include "clearance/source.h"

#include <jansson.h>

#define CONURE_DIAGNOSE_SIZE 1e-3 /* well above the noise of float32, well below what would change what a step does */

typedef struct conure_diagnose_options {
    uint64_t chunk;     /* which one; 0 is the first */
    uint64_t n_after;   /* chunks to follow a perturbation through; fewer where the source ends */
    bool closed_loop;   /* the chunk begins from the candidate's own state; false: from the reference's */
    double size;        /* of perturbations, as a share of what is perturbed */
    uint64_t seed;      /* of their noise */
    bool (*progress)(void *user, uint64_t done, uint64_t all); /* NULL, or false cancels */
    void *progress_user;
} conure_diagnose_options;

/* Reads the source from its beginning.
 *   reference  the engine behind the source, to be perturbed too; NULL when it is a file.  Between the source's steps it then takes
 *              others, so that it goes on from its tensors, rounded, where it holds more than they say (the engine ref)
 * *out is given back with json_decref().
 * Returns OK; BAD_ARG (no such chunk, a size that is no share, a stored chunk without its state); CANCELLED, NO_MEMORY; or what the
 * source or an engine failed with.  Cost: the chunks up to the last one, six more steps of each engine at the
 * chunk and one more for each chunk from it on. */
conure_status conure_diagnose_run(json_t **out, conure_source *source, conure_candidate *candidate, conure_candidate *reference,
                                  const conure_diagnose_options *options, conure_error *err);

/* ---- diagnose_plot.c -------------------------------------------------------------------------- */

enum { CONURE_DIAGNOSE_PLOTS = 9 };
const char *conure_diagnose_plot_name(size_t plot); /* "sensitivity_candidate": what a file may be called */
/* Append plot 0 .. CONURE_DIAGNOSE_PLOTS - 1 as SVG; false, and nothing, when the diagnosis has no values for it.  The diagnosis may be
 * from a file that somebody edited: what is not as it should be counts as missing. */
bool conure_diagnose_plot(conure_buffer *out, const json_t *diagnosis, size_t plot);

#endif
