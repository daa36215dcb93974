/* tokenizer_internal.h - what the readers of vocabulary files hand to the tokenizer. */
#ifndef CONURE_MODEL_TOKENIZER_INTERNAL_H
#define CONURE_MODEL_TOKENIZER_INTERNAL_H

#include "model/tokenizer.h"

/* One entry as a file gives it: not terminated, not checked. */
typedef struct conure_raw_piece {
    const char *text;
    size_t bytes;
    int32_t type;
} conure_raw_piece;

/* How spaces at the start of a text are treated; SentencePiece's normalizer options of these names. */
typedef struct conure_text_rules {
    const char *unk_surface; /* NULL: the default */
    size_t unk_surface_bytes;
    bool add_dummy_prefix;         /* the first leading space is left out */
    bool remove_extra_whitespaces; /* every one is */
} conure_text_rules;

/* A vocabulary after its checks. */
typedef struct conure_piece {
    const char *text, *surface;
    uint16_t bytes;
    uint8_t type;
    uint8_t byte;     /* the value of a BYTE piece */
    bool punctuation; /* the surface is one mark of the vocabulary */
} conure_piece;

struct conure_tokenizer {
    conure_piece *pieces; /* [n_pieces] */
    uint32_t n_pieces, n_marks;
    uint32_t *marks;      /* [n_marks] code points, ascending */
    char *strings;        /* the pieces' text */
    char *surfaces;       /* the pieces' surfaces */
    char *unk_surface;
    bool add_dummy_prefix, remove_extra_whitespaces;
};

/* Check everything and copy it; the arguments stay the caller's. */
conure_status conure_tokenizer_build(conure_tokenizer **out, const conure_raw_piece *pieces,
                                     size_t n_pieces, const conure_text_rules *rules,
                                     conure_error *err);

/* "<0x41>" gives 0x41; -1 for anything else. */
int conure_piece_byte(const char *text, size_t bytes);

/* The type that a piece without one has, by its looks. */
conure_piece_type conure_piece_type_guess(const char *text, size_t bytes);

/* BAD_ARG or LIMIT when a file of this size is not to be looked at. */
conure_status conure_tokenizer_check_bytes(const void *data, size_t bytes, conure_error *err);

/* Parse a JSON text without repeated keys, after that check; *out is jansson's. */
struct json_t;
conure_status conure_tokenizer_parse_json(struct json_t **out, const char *json, size_t bytes,
                                          conure_error *err);

#endif
