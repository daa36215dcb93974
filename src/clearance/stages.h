/* stages.h - running what a clearance rests on, and leaving evidence (judge.h says what becomes of it).
 *
 * Every stage gives an object, also when it could not go to its end: then its member "error" says why, and what was found until then
 * is there.  One thread at a time on one context. */
#ifndef CONURE_CLEARANCE_STAGES_H
#define CONURE_CLEARANCE_STAGES_H

#include "clearance/faults.h"
#include "clearance/judge.h"
#include "clearance/source.h"
#include "clearance/tolerance.h"
#include "features/mel.h"

/* What NeMo computed from a clip, to hold the reference and the front end to: they share code with the candidates, and a common fault
 * would clear itself otherwise. */
typedef struct conure_stored_clip {
    const char *what;         /* for the report */
    const conure_model *model;
    const float *pcm;         /* [n_samples] at the model's rate */
    size_t n_samples;
    const void *tensors;      /* a safetensors file: PREFIX.mel, .encoder, .tokens, .frames, .durations, .step_logits, .step_token */
    size_t bytes;
    const char *prefix;
} conure_stored_clip;

typedef struct conure_stored_steps {
    const char *file, *name;  /* see conure_source_nemo() */
} conure_stored_steps;

typedef struct conure_clearing {
    const conure_model *model;       /* NULL: the candidate is a command and the reference a file */
    const conure_contract *contract;
    const char *candidate;           /* specs, as conure_candidate_open() takes them */
    const char *reference;
    const char *reference_file;      /* NULL: the reference runs beside the candidate */
    const char *contract_file, *tolerance_file; /* NULL: the note's table */
    const char *config_file, *manifest_file;    /* NULL, or to be named by their hashes */
    const char *recordings_sha256;              /* NULL, or of the recordings together */
    const char *precision;           /* NULL: the candidate's */
    const char *commit;              /* of the program; NULL: unknown */
    conure_candidate_options options;
    uint64_t seed;
    uint32_t n_frames;               /* of every slice; 0: the profile's */
    uint64_t n_functional, n_closed_loop, n_noise, n_latency, n_self_test; /* chunks */
    const conure_stored_clip *stored_clips;
    const conure_stored_steps *stored_steps; /* of the model itself */
    uint32_t n_stored_clips, n_stored_steps;
    const float *mel;                /* features of real speech [n_mel][mel_bins], or NULL */
    uint64_t n_mel;
    double ratio_max;                /* error / noise of a candidate that computes in float32 */
    double latency_p99_s;            /* infinite: no limit */
    const char *pin_model, *pin_contract, *pin_tolerances; /* SHA-256 that each must have, or NULL */
    const char *room;                /* a folder for files of the self-test */
    bool (*progress)(void *user, const char *what, uint64_t done, uint64_t all); /* NULL, or false cancels */
    void *progress_user;
    /* The stage audio is the caller's, who can read audio: evidence with this fault planted (CONURE_FAULT_NONE: honest), or NULL. */
    json_t *(*audio)(void *user, const struct conure_clearing *clearing, conure_fault fault, conure_error *err);
    void *audio_user;
    conure_fault fault;              /* planted in the candidate; CONURE_FAULT_NONE */
    void (*inject)(bool on);         /* NULL, or a test's: see conure_faulty_open(); also around the candidate's own part of other stages */
} conure_clearing;

void conure_clearing_init(conure_clearing *clearing);

/* A stage's evidence into *out (a new reference).  Returns OK, also when the stage left an error in its evidence; CANCELLED and
 * NO_MEMORY end a clearance. */
conure_status conure_clear_stage(json_t **out, conure_stage stage, const conure_clearing *clearing, conure_error *err);

/* ---- what the stages share -------------------------------------------------------------------- */

json_t *conure_stage_inputs(const conure_clearing *clearing, conure_error *err);     /* stage_inputs.c */
conure_status conure_stage_reference(json_t *out, const conure_clearing *clearing, conure_error *err); /* stage_reference.c */
conure_status conure_stage_parity(json_t *out, conure_stage stage, const conure_clearing *clearing, conure_error *err); /* stage_parity.c */
conure_status conure_stage_contract(json_t *out, const conure_clearing *clearing, conure_error *err); /* stage_steps.c, as the next two */
conure_status conure_stage_noise(json_t *out, const conure_clearing *clearing, conure_error *err);
conure_status conure_stage_batch(json_t *out, const conure_clearing *clearing, conure_error *err);
conure_status conure_stage_latency(json_t *out, const conure_clearing *clearing, conure_error *err); /* stage_latency.c */
conure_status conure_stage_self_test(json_t *out, const conure_clearing *clearing, conure_error *err); /* self_test.c */

/* The candidate with the fault of the clearing; *honest is what is under it and is to be closed after it. */
conure_status conure_clearing_candidate(conure_candidate **out, conure_candidate **honest, const conure_clearing *clearing, conure_error *err);
conure_status conure_clearing_tolerance(conure_tolerance *out, const conure_candidate *candidate, const conure_clearing *clearing, char *sha256,
                                        conure_error *err);
/* What a model's front end is: window and filters of the checkpoint, or computed. */
conure_status conure_clearing_mel(conure_mel **out, const conure_model *model, conure_error *err);
bool conure_clearing_show(const conure_clearing *clearing, const char *what, uint64_t done, uint64_t all);

#endif
