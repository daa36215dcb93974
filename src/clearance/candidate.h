/* candidate.h - something that turns a chunk's inputs into its outputs: an engine of this build, or a command that speaks
 * frames over a pipe.  A step has no memory of its own: the state goes in and comes out as tensors, so that whoever runs it
 * decides whose state it gets.
 *
 * One thread at a time on one candidate. */
#ifndef CONURE_CLEARANCE_CANDIDATE_H
#define CONURE_CLEARANCE_CANDIDATE_H

#include "clearance/chunk.h"
#include "engine/engine.h"

typedef struct conure_candidate conure_candidate;

/* Engines that stay open when their candidates are closed, for the next candidate of the same words: opening one of full size takes longer
 * than many a trial.  No more than were open at once without: one that is not in use gives way, and one whose step failed is closed.  All
 * candidates of one list are of one model and have the same log and flag to cancel.  One thread at a time. */
#define CONURE_KEPT_ENGINES 2
typedef struct conure_kept_engines {
    struct conure_kept_engine {
        const conure_engine *engine; /* NULL: nothing is kept here */
        void *self;
        char words[320];
        uint32_t n_threads;
        bool mask_exact, taken;
    } list[CONURE_KEPT_ENGINES];
} conure_kept_engines;
void conure_kept_engines_close(conure_kept_engines *kept); /* after all candidates */

typedef struct conure_candidate_options {
    conure_kept_engines *kept;  /* NULL: an engine ends with its candidate */
    uint32_t n_threads;         /* where the spec names none; 0: as many as the process may use */
    double timeout_s;           /* of one answer of a command; 0: 60 */
    const volatile int *cancel; /* NULL, or a flag that ends a step with CANCELLED */
    conure_log log;
} conure_candidate_options;

bool conure_candidate_is_command(const char *spec); /* "exec:COMMAND" */

/* spec: what conure_engine_spec_parse() takes, or "exec:COMMAND", which is run by /bin/sh.
 *   model  what the engine runs; NULL is allowed for a command
 * The engine gets the contract's mask; the model must be the contract's (conure_contract_matches(), but for its precision).
 * Returns OK, BAD_ARG, BACKEND, BAD_FILE (another model), NO_MEMORY, IO (the command did not start or greet). */
conure_status conure_candidate_open(conure_candidate **out, const char *spec, const conure_contract *contract, const conure_model *model,
                                    const conure_candidate_options *options, conure_error *err);
void conure_candidate_close(conure_candidate **candidate); /* NULL-safe; ends a command */
const char *conure_candidate_describe(const conure_candidate *candidate);  /* one line; belongs to it */
const char *conure_candidate_precision(const conure_candidate *candidate); /* "f32" ...; a command's is the contract's */

/* One step: all inputs must be there, all outputs will be.  What comes out is cut to valid_out, as an exported graph does.
 * Returns OK; BACKEND (failed, died, hung, answered short: says which), CANCELLED, NO_MEMORY. */
conure_status conure_candidate_step(conure_candidate *candidate, conure_chunk *chunk, conure_error *err);

/* The same of n streams in one call of the engine, 1 .. CONURE_CANDIDATE_ROWS: rows may have different frames, lengths and states.
 * UNSUPPORTED where the candidate takes one row at a time (a command). */
#define CONURE_CANDIDATE_ROWS 8
conure_status conure_candidate_step_batch(conure_candidate *candidate, conure_chunk *const *chunks, uint32_t n, conure_error *err);

/* One step of a stream whose state stays with the engine, as when it is deployed: what a step takes there.  begins: of a new stream; the
 * chunk's own state is not looked at and nothing comes out but *seconds of the engine's call, or, where parts is given, what its parts take,
 * of an engine that says (UNSUPPORTED: of none).  Steps of the other kind end such a stream. */
bool conure_candidate_holds_state(const conure_candidate *candidate); /* false: this cannot be asked of it */
conure_status conure_candidate_held_step(conure_candidate *candidate, const conure_chunk *chunk, bool begins, conure_parts *parts, double *seconds,
                                         conure_error *err);
/* Bytes of the device's memory in use; 0 where there is none. */
uint64_t conure_candidate_device_bytes(conure_candidate *candidate);

/* What the two kinds fill. */
struct conure_candidate {
    conure_status (*held_step)(conure_candidate *self, const conure_chunk *chunk, bool begins, conure_parts *parts, double *seconds,
                               conure_error *err);       /* (optional) */
    uint64_t (*device_bytes)(conure_candidate *self);     /* (optional) */
    conure_status (*step)(conure_candidate *self, conure_chunk *chunk, conure_error *err);
    conure_status (*step_batch)(conure_candidate *self, conure_chunk *const *chunks, uint32_t n, conure_error *err); /* (optional) */
    void (*close)(conure_candidate *self); /* frees it */
    const conure_contract *contract;
    const volatile int *cancel;
    char description[256];
    char precision[32];
    char model_sha256[65]; /* of the weights that it says it runs; "": it does not say */
};
conure_status conure_candidate_engine_open(conure_candidate **out, const char *spec, const conure_contract *contract,
                                           const conure_model *model, const conure_candidate_options *options, conure_error *err);
conure_status conure_candidate_exec_open(conure_candidate **out, const char *command, const conure_contract *contract,
                                         const conure_candidate_options *options, conure_error *err);

#endif
