/* hotwords.h - phrases that decoding prefers: a prefix tree over what tokens spell, and what it says at each step.
 *
 * The tree is over the phrases' bytes, as tokens write them, and tokens walk it: every way to spell a phrase is a path.  A
 * node's failure link leads to the longest end of its text that begins another phrase (Aho and Corasick), so a stream stands
 * at one node.  A phrase's score is what it may cost over all its tokens; that it comes whole is seen to by trial.h. */
#ifndef CONURE_DECODE_HOTWORDS_H
#define CONURE_DECODE_HOTWORDS_H

#include "conure.h"
#include "model/tokenizer.h"

#define CONURE_HOTWORDS_ROOT 0u

typedef struct conure_hotwords_edge {
    uint32_t token, node;
} conure_hotwords_edge;

typedef struct conure_hotwords_node {
    uint32_t child, sibling; /* child: the first; 0: none */
    uint32_t fail;
    uint32_t edge, n_edges; /* tokens that lead from here deeper into a phrase: edges[edge ...] */
    float score;            /* of the phrases through here the largest: what may be spent on the way */
    float own;              /* of the phrase that ends here: what may have been spent when it is taken */
    uint16_t depth;         /* bytes from the root */
    uint8_t byte;
    bool end;               /* of a phrase */
} conure_hotwords_node;

/* One line of a list. */
typedef struct conure_hotword {
    uint32_t text, bytes; /* in a block of all texts, spelled */
    uint32_t line;
    float score;
} conure_hotword;

typedef struct conure_hotwords_text {
    conure_hotword *words; /* [n_words] */
    uint32_t n_words;
    conure_buffer spelled;
} conure_hotwords_text;

/* Lines of text to phrases (conure_hotwords_open() says how they are written).  BAD_FILE, LIMIT and BAD_ARG name the
 * line.  On failure *out is empty. */
conure_status conure_hotwords_read(conure_hotwords_text *out, const char *text, size_t bytes, double score, conure_error *err);
void conure_hotwords_text_free(conure_hotwords_text *text);

/* The tree of a list for a vocabulary, which must outlive it.  What conure_hotwords_open() returns. */
conure_status conure_hotwords_build(conure_hotwords **out, const conure_tokenizer *tokenizer, const char *text, size_t bytes,
                                    double score, conure_error *err);

/* For who keeps a pointer; conure_hotwords_close() is the release of who opened it.  Thread-safe. */
void conure_hotwords_hold(const conure_hotwords *hotwords);
void conure_hotwords_release(const conure_hotwords *hotwords);

const conure_model *conure_hotwords_model(const conure_hotwords *hotwords); /* NULL: of a tokenizer alone */
uint32_t conure_hotwords_nodes(const conure_hotwords *hotwords);
/* Of all phrases and scores in their order: equal for lists whose nodes are the same.  Belongs to the list. */
const char *conure_hotwords_sha256(const conure_hotwords *hotwords);

/* What decoding takes where `plain` has the largest logit of all: the likeliest token that leads deeper into a phrase, if the
 * phrase's score allows it, else plain.  Blank and tokens off the tree are never preferred.
 *
 *   covered  the last bytes of the text so far that the phrase must have; 0: any phrase may begin
 *   spent    what the phrase has cost already
 *   logits   of all tokens, as conure_argmax() found them sound
 *
 * Cost: the edges of the node and of those along its links. */
uint32_t conure_hotwords_choose(const conure_hotwords *hotwords, uint32_t node, uint32_t covered, float spent, const float *logits,
                                uint32_t plain);
/* The node after a token, and the bytes that it spells.  Its depth is what of the text so far begins a phrase. */
uint32_t conure_hotwords_next(const conure_hotwords *hotwords, uint32_t node, uint32_t token, uint32_t *bytes);
uint32_t conure_hotwords_depth(const conure_hotwords *hotwords, uint32_t node);
/* A phrase that has the last `covered` bytes of the text ends here, and its own score allows what was spent. */
bool conure_hotwords_ended(const conure_hotwords *hotwords, uint32_t node, uint32_t covered, float spent);
bool conure_hotwords_spells(const conure_hotwords *hotwords, uint32_t token); /* id in range, and not nothing */

#endif
