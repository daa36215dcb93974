/* tokenizer_sentencepiece.c - SentencePiece model files, through protobuf-c (sentencepiece.proto). */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "model/sentencepiece.pb-c.h"
#include "model/tokenizer_internal.h"

/* A message of two bytes becomes a struct of some eighty: what unpacking may allocate is limited, so that
 * a small file cannot take all memory.  Enough for CONURE_PIECES_MAX pieces with their texts. */
#define UNPACK_BYTES_MAX ((size_t)512 << 20)

typedef struct unpack_budget {
    size_t left;
    bool exhausted, no_memory;
} unpack_budget;

static void *budget_alloc(void *user, size_t bytes)
{
    unpack_budget *budget = user;
    if (bytes > budget->left) {
        budget->exhausted = true;
        return NULL;
    }
    budget->left -= bytes;
    void *block = malloc(bytes ? bytes : 1);
    if (!block)
        budget->no_memory = true;
    return block;
}

static void budget_free(void *user, void *block)
{
    (void)user;
    free(block);
}

static conure_status unpack(Conure__SpModel **out, ProtobufCAllocator *allocator,
                            const void *data, size_t bytes, conure_error *err)
{
    unpack_budget *budget = allocator->allocator_data;

    *out = conure__sp_model__unpack(allocator, bytes, data);
    if (*out)
        return CONURE_OK;
    if (budget->no_memory)
        return conure_fail_memory(err, "a SentencePiece model", bytes);
    if (budget->exhausted)
        return conure_fail(err, CONURE_LIMIT,
                           "tokenizer: reading this SentencePiece model takes more than %zu bytes",
                           UNPACK_BYTES_MAX);
    return conure_fail(err, CONURE_BAD_FILE,
                       "tokenizer: not a SentencePiece model, or a damaged one (%zu bytes)", bytes);
}

static conure_status from_model(conure_tokenizer **out, const Conure__SpModel *model,
                                conure_error *err)
{
    conure_text_rules rules = {.add_dummy_prefix = true, .remove_extra_whitespaces = true};

    if (model->n_pieces > CONURE_PIECES_MAX)
        return conure_fail(err, CONURE_LIMIT, "tokenizer: %zu pieces, at most %u are supported",
                           model->n_pieces, CONURE_PIECES_MAX);
    if (model->denormalizer && model->denormalizer->charsmap.len)
        return conure_fail(err, CONURE_UNSUPPORTED,
                           "tokenizer: the SentencePiece model has a denormalizer (%zu bytes), which "
                           "is not supported",
                           model->denormalizer->charsmap.len);
    if (model->normalizer) {
        rules.add_dummy_prefix = model->normalizer->add_dummy_prefix;
        rules.remove_extra_whitespaces = model->normalizer->remove_extra_whitespaces;
    }
    if (model->trainer && model->trainer->has_unk_surface) {
        rules.unk_surface =
            model->trainer->unk_surface.len ? (const char *)model->trainer->unk_surface.data : "";
        rules.unk_surface_bytes = model->trainer->unk_surface.len;
    }
    conure_raw_piece *raw = conure_calloc(model->n_pieces ? model->n_pieces : 1, sizeof *raw);
    if (!raw)
        return conure_fail_memory(err, "a tokenizer's pieces", model->n_pieces * sizeof *raw);
    for (size_t i = 0; i < model->n_pieces; i++) {
        raw[i].text = (const char *)model->pieces[i]->text.data;
        raw[i].bytes = model->pieces[i]->text.len;
        raw[i].type = model->pieces[i]->type;
    }
    const conure_status status = conure_tokenizer_build(out, raw, model->n_pieces, &rules, err);
    free(raw);
    return status;
}

conure_status conure_tokenizer_from_sentencepiece(conure_tokenizer **out, const void *data,
                                                  size_t bytes, conure_error *err)
{
    unpack_budget budget = {.left = UNPACK_BYTES_MAX};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
    Conure__SpModel *model = NULL;

    if (!out)
        return conure_fail(err, CONURE_BAD_ARG, "tokenizer: no place for the result");
    *out = NULL;
    conure_status status = conure_tokenizer_check_bytes(data, bytes, err);
    if (status == CONURE_OK)
        status = unpack(&model, &allocator, data, bytes, err);
    if (status == CONURE_OK)
        status = from_model(out, model, err);
    if (model)
        conure__sp_model__free_unpacked(model, &allocator);
    return status;
}
