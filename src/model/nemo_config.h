/* nemo_config.h - a .nemo's model_config.yaml as our configuration. */
#ifndef CONURE_MODEL_NEMO_CONFIG_H
#define CONURE_MODEL_NEMO_CONFIG_H

#include "model/model.h"

typedef struct conure_nemo_config {
    conure_config config;
    char *tokenizer_member; /* tokenizer.model_path without "nemo:"; NULL when absent */
    char **pieces;          /* [n_pieces] joint.vocabulary, else labels; NULL when absent */
    uint32_t n_pieces;
    char note[256]; /* a contradiction that changes nothing, for the log; "" when there is none */
} conure_nemo_config;

/* Read the YAML.  A key that is absent has the value that NeMo's Python gives it.  Every key
 * that could change what the model computes is understood, or refused with its value and what is
 * supported: UNSUPPORTED; BAD_FILE when something is missing or contradicts itself.  Keys of
 * training and of other parts are ignored; keys of preprocessor, encoder, decoder and joint that
 * are not known are refused. On failure nothing has to be freed. */
conure_status conure_nemo_config_read(conure_nemo_config *out, const uint8_t *text, size_t bytes,
                                      conure_error *err);
void conure_nemo_config_free(conure_nemo_config *config);

#endif
