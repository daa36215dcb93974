/* synthetic.h - a small vocabulary with a piece of every kind, for the tests of text rules. */
#ifndef TESTS_MODEL_SYNTHETIC_H
#define TESTS_MODEL_SYNTHETIC_H

#include "model/tokenizer.h"

#define SP "\xE2\x96\x81" /* U+2581, SentencePiece's space */
#define FFFD "\xEF\xBF\xBD"

/* id, piece, type */
#define SYNTHETIC_LIST(X)                                                                \
    X(UNK, "<unk>", UNKNOWN)                                                             \
    X(START, "<s>", CONTROL)                                                             \
    X(SPEAKER, "<|speaker|>", USER_DEFINED)                                              \
    X(NOISE, "[noise]", USER_DEFINED) /* its brackets are no punctuation */              \
    X(SPACE, SP, NORMAL)                                                                 \
    X(HELLO, SP "Hello", NORMAL)                                                         \
    X(WOR, SP "wor", NORMAL)                                                             \
    X(LD, "ld", NORMAL)                                                                  \
    X(DON, SP "don", NORMAL)                                                             \
    X(T, "t", NORMAL)                                                                    \
    X(APOSTROPHE, "'", NORMAL)                                                           \
    X(DOT, ".", NORMAL)                                                                  \
    X(COMMA, ",", NORMAL)                                                                \
    X(QUESTION, "?", NORMAL)                                                             \
    X(BANG, "!", NORMAL)                                                                 \
    X(ELLIPSIS, "...", NORMAL) /* three marks: not a mark */                             \
    X(SPACE_DOT, SP ".", NORMAL)                                                         \
    X(SPACE_DOLLAR, SP "$", NORMAL)                                                      \
    X(SPACE_DASH, SP "-", NORMAL) /* no piece without the space has it: not a mark */    \
    X(TWO_WORDS, SP "in" SP "the", NORMAL)                                               \
    X(STOP_CJK, "\xE3\x80\x82", NORMAL) /* U+3002, ideographic full stop */              \
    X(INVERTED, SP "\xC2\xBF", NORMAL)  /* U+00BF behind a space: not a mark */          \
    X(BYTE_C3, "<0xC3>", BYTE)                                                           \
    X(BYTE_A9, "<0xA9>", BYTE)                                                           \
    X(BYTE_E2, "<0xE2>", BYTE)                                                           \
    X(BYTE_82, "<0x82>", BYTE)                                                           \
    X(BYTE_AC, "<0xAC>", BYTE)                                                           \
    X(BYTE_ED, "<0xED>", BYTE)                                                           \
    X(BYTE_C0, "<0xC0>", BYTE)                                                           \
    X(BYTE_2E, "<0x2E>", BYTE)                                                           \
    X(BYTE_00, "<0x00>", BYTE)                                                           \
    X(UNUSED, SP "old", UNUSED)                                                          \
    X(USER_SPACE, SP "tag" SP, USER_DEFINED)                                             \
    X(E_ACUTE, "\xC3\xA9", NORMAL)

enum {
#define X(name, text, type) name,
    SYNTHETIC_LIST(X)
#undef X
    N_SYNTHETIC
};

static const char *const synthetic_pieces[] = {
#define X(name, text, type) text,
    SYNTHETIC_LIST(X)
#undef X
};

static const uint8_t synthetic_types[] = {
#define X(name, text, type) CONURE_PIECE_##type,
    SYNTHETIC_LIST(X)
#undef X
};

#endif
