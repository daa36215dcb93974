/* tokenizer.h - token ids to pieces and text.  Nothing here turns text into tokens; a text can be spelled as tokens do. */
#ifndef CONURE_MODEL_TOKENIZER_H
#define CONURE_MODEL_TOKENIZER_H

#include "base/error.h"
#include "base/memory.h"
#include "conure.h"

typedef struct conure_tokenizer conure_tokenizer;

/* SentencePiece's types (sentencepiece_model.proto, ModelProto.SentencePiece.Type). */
typedef enum conure_piece_type {
    CONURE_PIECE_NORMAL = 1,
    CONURE_PIECE_UNKNOWN = 2,
    CONURE_PIECE_CONTROL = 3,
    CONURE_PIECE_USER_DEFINED = 4,
    CONURE_PIECE_UNUSED = 5,
    CONURE_PIECE_BYTE = 6,
} conure_piece_type;

#define CONURE_PIECES_MAX (1u << 20)
#define CONURE_PIECE_BYTES_MAX 512
#define CONURE_TOKENIZER_BYTES_MAX (32u << 20) /* of a vocabulary file of any kind */

/* Every constructor returns OK, BAD_ARG, NO_MEMORY, BAD_FILE, UNSUPPORTED or LIMIT; *out is NULL on
 * failure.  Pieces must be non-empty UTF-8 without NUL.  A tokenizer never changes and may be shared by
 * threads.  Texts of errors do not name the file: the caller puts its name before them. */

/* A SentencePiece model (*_tokenizer.model). */
conure_status conure_tokenizer_from_sentencepiece(conure_tokenizer **out, const void *data,
                                                  size_t bytes, conure_error *err);
/* A Hugging Face tokenizer.json (Unigram or BPE vocabulary; added_tokens give specials; the decoder's
 * Metaspace/Replace must be the one of spec 7.5, else UNSUPPORTED names it). */
conure_status conure_tokenizer_from_json(conure_tokenizer **out, const char *json, size_t bytes,
                                         conure_error *err);
/* Only the pieces, as a .nemo's joint.vocabulary lists them.
 *
 *   types                [n_pieces] of conure_piece_type; NULL: <unk> is UNKNOWN, <0x00> to <0xFF> are BYTE,
 *                        other <...> CONTROL, the rest NORMAL
 *   unk_surface          what an unknown piece prints; NULL: SentencePiece's default, " \u2047 "
 *   strip_leading_space  spaces at the start of a text are left out, as SentencePiece does by default */
conure_status conure_tokenizer_from_pieces(conure_tokenizer **out, const char *const *pieces,
                                           const uint8_t *types, uint32_t n_pieces,
                                           const char *unk_surface, bool strip_leading_space,
                                           conure_error *err);
void conure_tokenizer_free(conure_tokenizer **tokenizer);

/* A compact JSON text that conure_tokenizer_from_dump() reads back to an equal tokenizer: what a
 * converted file stores.  *out is freed by free(). */
conure_status conure_tokenizer_dump(const conure_tokenizer *tokenizer, char **out, conure_error *err);
conure_status conure_tokenizer_from_dump(conure_tokenizer **out, const char *json, size_t bytes,
                                         conure_error *err);

uint32_t conure_tokenizer_size(const conure_tokenizer *tokenizer); /* pieces, without blank */
const char *conure_tokenizer_piece(const conure_tokenizer *tokenizer, uint32_t id); /* NULL: out of range */
conure_piece_type conure_tokenizer_type(const conure_tokenizer *tokenizer, uint32_t id);
/* What the token prints when it is decoded alone: "\u2581the" prints "the"; "" for CONTROL.  Belongs to
 * the tokenizer; NULL: out of range. */
const char *conure_tokenizer_surface(const conure_tokenizer *tokenizer, uint32_t id);
/* The surface is exactly one punctuation mark of the vocabulary (spec 6.5). */
bool conure_tokenizer_is_punctuation(const conure_tokenizer *tokenizer, uint32_t id);

#define CONURE_SPACE_MARK "\xE2\x96\x81" /* U+2581, SentencePiece's space */

/* What the token writes into a running text, U+2581 for a space: its piece, a BYTE piece its byte (which need not be a
 * character), UNKNOWN the unk_surface, CONTROL nothing.  Not terminated; belongs to the tokenizer; never NULL. */
const char *conure_tokenizer_spelling(const conure_tokenizer *tokenizer, uint32_t id, size_t *bytes);
/* Words as tokens write them: NFKC, as SentencePiece normalises what it trains on, and U+2581 before each word instead
 * of spaces and tabs.  Appends.  OK, BAD_FILE (not UTF-8), NO_MEMORY. */
conure_status conure_text_spell(const char *text, size_t bytes, conure_buffer *out, conure_error *err);

/* SentencePiece's decoding alone (spec 7.5): CONTROL prints nothing, UNKNOWN the unk_surface, runs of
 * BYTE their UTF-8 with U+FFFD for each byte that does not decode (and for NUL, which a C string cannot
 * hold), \u2581 a space, but none while the text is still empty.  BAD_ARG names an id out of range.
 * *out is freed by free(). */
conure_status conure_tokenizer_join(const conure_tokenizer *tokenizer, const uint32_t *ids, size_t n,
                                    char **out, conure_error *err);

/* Tokens to text as NeMo prints it: SentencePiece's decoding, then one whitespace character removed
 * before each punctuation mark of the vocabulary (spec 7.5).  *out is freed by free(). */
conure_status conure_tokenizer_decode(const conure_tokenizer *tokenizer, const uint32_t *ids,
                                      size_t n, char **out, conure_error *err);

/* The same token by token: what add appends is certain, whatever follows.  Held back are bytes that may become a
 * character and, where whitespace before marks is left out, a last whitespace character; end appends them and starts
 * anew.  {0} is a start, {.strip = true} one of decoding as conure_tokenizer_decode() does.  Plain data. */
typedef struct conure_decoding {
    bool strip;            /* whitespace before marks is left out */
    bool any;              /* the text is not empty */
    bool first_space_seen;
    uint8_t n_bytes, n_space;
    char bytes[4];         /* of a run of BYTE pieces: fewer than 4 between calls */
    char space[3];         /* the whitespace character */
} conure_decoding;

/* id is in range.  Texts are whole characters, and may be nothing. */
void conure_decoding_add(conure_decoding *decoding, const conure_tokenizer *tokenizer, uint32_t id,
                         conure_buffer *text);
void conure_decoding_end(conure_decoding *decoding, const conure_tokenizer *tokenizer, conure_buffer *text);
/* For snapshots.  Load gives false for what no save has written; the decoding is then not to be used. */
void conure_decoding_save(const conure_decoding *decoding, conure_buffer *buffer);
bool conure_decoding_load(conure_decoding *decoding, conure_reader *reader);

/* UTF-8 without NUL. */
bool conure_text_valid(const char *text, size_t bytes);

#endif
