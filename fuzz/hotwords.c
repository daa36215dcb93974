/* hotwords.c - lists of hotwords, and what is on trial in a snapshot.
 *
 * Input: a byte whose last bit chooses.  0: the rest is a list, and its bytes are also the tokens that walk the tree.  1: the
 * rest is a trial's state; what loads saves to the same bytes. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "decode/trial.h"
#include "model/synthetic.h"

enum { STEPS_MAX = 2000, STATE = 3, JOINT = 2, OFFSET = 40, SYMBOLS = 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void walk(const conure_hotwords *list, const uint8_t *data, size_t bytes)
{
    float logits[N_SYNTHETIC + 1];
    uint32_t node = CONURE_HOTWORDS_ROOT;
    for (size_t i = 0; i < bytes && i < STEPS_MAX; i++) {
        uint32_t plain = 0, n;
        for (uint32_t k = 0; k <= N_SYNTHETIC; k++) {
            logits[k] = (float)((data[i] * 31u + k * 17u) % 64) / 8;
            plain = logits[k] > logits[plain] ? k : plain;
        }
        const uint32_t depth = conure_hotwords_depth(list, node);
        const uint32_t id = conure_hotwords_choose(list, node, data[i] % (depth + 1), 0, logits, plain);
        assert(id == plain || (id < N_SYNTHETIC && conure_hotwords_spells(list, id)));
        node = conure_hotwords_next(list, node, id < N_SYNTHETIC ? id : data[i] % N_SYNTHETIC, &n);
        assert(node < conure_hotwords_nodes(list) && conure_hotwords_depth(list, node) <= depth + n);
        (void)conure_hotwords_ended(list, node, n, data[i] % 8);
    }
}

static void load(const conure_tokenizer *tokenizer, const uint8_t *data, size_t bytes)
{
    static const char text[] = "Hello world\nin the\n\xC3\xA9\n";
    const conure_config config = {.joint_hidden = JOINT};
    conure_hotwords *list = NULL;
    conure_trial *trial = NULL;
    conure_buffer saved = {0};
    conure_reader in = {.data = data, .bytes = bytes};
    if (conure_hotwords_build(&list, tokenizer, text, sizeof text - 1, 5, NULL) == CONURE_OK &&
        conure_trial_open(&trial, list, &config, STATE, NULL) == CONURE_OK && conure_trial_load(trial, &in, OFFSET, SYMBOLS)) {
        conure_trial_save(trial, &saved);
        assert(saved.failed || (saved.bytes == in.at && memcmp(saved.data, data, saved.bytes) == 0));
    }
    conure_buffer_free(&saved);
    if (trial)
        conure_trial_close(&trial);
    conure_hotwords_close(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    conure_tokenizer *tokenizer = NULL;
    conure_hotwords *list = NULL;
    if (!bytes || conure_tokenizer_from_pieces(&tokenizer, synthetic_pieces, synthetic_types, N_SYNTHETIC, NULL, true, NULL) != CONURE_OK)
        return 0;
    if (data[0] & 1) {
        load(tokenizer, data + 1, bytes - 1);
    } else if (conure_hotwords_build(&list, tokenizer, (const char *)data + 1, bytes - 1, 5, NULL) == CONURE_OK) {
        walk(list, data + 1, bytes - 1);
        conure_hotwords_close(&list);
    }
    conure_tokenizer_free(&tokenizer);
    return 0;
}
