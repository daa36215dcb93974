/* serve.h - the other end of the pipe: an engine of this build as a command that conure parity can judge, here or on another
 * machine. */
#ifndef CONURE_CLEARANCE_SERVE_H
#define CONURE_CLEARANCE_SERVE_H

#include "clearance/candidate.h"

#include <stdio.h>

/* Answer frames from in on out until in ends.  The greeting brings the contract.  What goes wrong is answered as {"error": "..."}
 * and returned.
 * Returns OK at the end of in; BAD_FILE (no frame, or not what the contract says), IO, or what the engine failed with. */
conure_status conure_candidate_serve(FILE *in, FILE *out, const char *spec, const conure_model *model,
                                     const conure_candidate_options *options, conure_error *err);

#endif
