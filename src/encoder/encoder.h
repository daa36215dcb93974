/* encoder.h - the network itself, written on a backend's operations: subsampling, Conformer layers,
 * predictor and joint.  docs/model.md has the formulas with the names used here.
 *
 * Left to others: samples to features (features/mel.h), greedy decoding (decode/tdt.h), and the choice
 * of a backend (engine/). */
#ifndef CONURE_ENCODER_ENCODER_H
#define CONURE_ENCODER_ENCODER_H

#include "backend/ops.h"
#include "encoder/step.h"

typedef struct conure_network conure_network;

/* Bring every weight into the backend.  The network keeps pointers to the model, the table and the
 * backend instance; all must outlive it. */
conure_status conure_network_open(conure_network **out, const conure_model *model,
                                  const conure_ops *ops, void *backend, conure_mask mask,
                                  const volatile int *cancel, conure_error *err);
void conure_network_close(conure_network **network);

/* The functions of the engine table, see engine/engine.h. */
void conure_network_set_progress(conure_network *network, conure_progress_fn progress, void *user);
void conure_network_set_probe(conure_network *network, conure_probe_fn probe, void *user);
uint64_t conure_network_encode_bytes(const conure_network *network, const uint32_t *mel_frames,
                                     uint32_t n);
conure_status conure_network_encode(conure_network *network, conure_encode_row *rows, uint32_t n,
                                    conure_error *err);
conure_status conure_network_project(conure_network *network, const float *encoder, uint32_t n,
                                     float *out, conure_error *err);
conure_status conure_network_predict(conure_network *network, const uint32_t *tokens, float *h,
                                     float *c, uint32_t n, float *out, conure_error *err);
conure_status conure_network_joint(conure_network *network, const float *const *frames,
                                   const float *const *predictions, uint32_t n, float *logits,
                                   conure_error *err);

conure_status conure_network_state_open(conure_network *network, conure_state **out,
                                        const conure_cache_options *options, conure_error *err);
void conure_network_state_close(conure_network *network, conure_state **state);
void conure_network_state_reset(conure_network *network, conure_state *state);
conure_status conure_network_state_export(conure_network *network, const conure_state *state,
                                          float *last_channel, float *last_time, int64_t *length,
                                          conure_error *err);
conure_status conure_network_state_import(conure_network *network, conure_state *state,
                                          const float *last_channel, const float *last_time,
                                          int64_t length, conure_error *err);
void conure_network_state_bytes(const conure_network *network, const conure_state *state,
                                size_t *snapshot, size_t *memory);
int64_t conure_network_state_length(const conure_state *state);
conure_status conure_network_state_save(conure_network *network, const conure_state *state, void *dst,
                                        conure_error *err);
conure_status conure_network_state_load(conure_network *network, conure_state *state, const void *src,
                                        size_t bytes, conure_error *err);

#endif
