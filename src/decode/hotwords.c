/* hotwords.c - see hotwords.h: building the tree, and walking it. */
#include "decode/hotwords.h"

#include "base/error.h"
#include "base/files.h"
#include "model/model.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { EDGES_MAX = 1 << 22 };

struct conure_hotwords {
    const conure_model *model; /* held; or NULL */
    const conure_tokenizer *tokenizer;
    conure_hotwords_node *nodes; /* [n_nodes]; a child comes behind its parent */
    conure_hotwords_edge *edges;
    uint32_t n_nodes;
    char sha256[65];
    pthread_mutex_t lock;
    uint32_t n_users; /* under lock */
};

/* ---- the vocabulary, sorted ------------------------------------------------------------------ */

typedef struct spelling {
    const char *text;
    uint32_t bytes, id;
} spelling;

/* Spellings that begin with the same `depth` bytes: [first, end). */
typedef struct range {
    const spelling *first, *end;
    uint32_t depth;
} range;

static int compare_spellings(const void *a_, const void *b_)
{
    const spelling *a = a_, *b = b_;
    const int order = memcmp(a->text, b->text, a->bytes < b->bytes ? a->bytes : b->bytes);
    return order ? order : a->bytes != b->bytes ? (a->bytes > b->bytes) - (a->bytes < b->bytes) : (a->id > b->id) - (a->id < b->id);
}

/* The first spelling of a range whose byte behind those they share is not less than `byte`; one that has no such byte is
 * before all that have. */
static const spelling *lower(range r, int byte)
{
    while (r.first < r.end) {
        const spelling *middle = r.first + (r.end - r.first) / 2;
        if (middle->bytes <= r.depth || (uint8_t)middle->text[r.depth] < byte)
            r.first = middle + 1;
        else
            r.end = middle;
    }
    return r.first;
}

static range narrow(range r, uint8_t byte)
{
    return (range){lower(r, byte), lower(r, byte + 1), r.depth + 1};
}

/* Spellings of a range that end where the shared bytes do come first in it. */
static bool whole(const spelling *s, range r)
{
    return s < r.end && s->bytes == r.depth;
}

static conure_status sort_spellings(const conure_tokenizer *tokenizer, spelling **out, uint32_t *n, conure_error *err)
{
    const uint32_t size = conure_tokenizer_size(tokenizer);
    spelling *all = conure_calloc(size ? size : 1, sizeof *all);
    *out = all;
    *n = 0;
    if (!all)
        return conure_fail_memory(err, "hotwords", size * sizeof *all);
    for (uint32_t id = 0; id < size; id++) {
        const conure_piece_type type = conure_tokenizer_type(tokenizer, id);
        size_t bytes;
        const char *text = conure_tokenizer_spelling(tokenizer, id, &bytes);
        if (bytes && type != CONURE_PIECE_UNKNOWN && type != CONURE_PIECE_UNUSED)
            all[(*n)++] = (spelling){text, (uint32_t)bytes, id};
    }
    qsort(all, *n, sizeof *all, compare_spellings);
    return CONURE_OK;
}

/* ---- building -------------------------------------------------------------------------------- */

typedef struct builder {
    conure_hotwords *tree;
    conure_hotwords_text list;
    spelling *vocabulary;
    uint32_t n_vocabulary;
    conure_buffer edges;
    uint32_t *queue; /* [n_nodes] */
    conure_error *err;
} builder;

/* The bytes of a phrase that tokens can spell: all, or up to a character that no piece has. */
static uint32_t spelled(const builder *b, const char *text, uint32_t bytes)
{
    bool reached[CONURE_HOTWORD_BYTES_MAX + 1] = {true};
    uint32_t furthest = 0;
    for (uint32_t from = 0; from < bytes; from++) {
        range r = {b->vocabulary, b->vocabulary + b->n_vocabulary, 0};
        for (uint32_t at = from; reached[from] && at < bytes && r.first < r.end; at++) {
            r = narrow(r, (uint8_t)text[at]);
            reached[at + 1] |= whole(r.first, r);
        }
        furthest = reached[from] ? from : furthest;
    }
    return reached[bytes] ? bytes : furthest;
}

static conure_status check_words(const builder *b)
{
    for (uint32_t i = 0; i < b->list.n_words; i++) {
        const conure_hotword *w = &b->list.words[i];
        const char *text = b->list.spelled.data + w->text;
        const uint32_t n = spelled(b, text, w->bytes);
        uint32_t end = n + 1;
        while (end < w->bytes && ((uint8_t)text[end] & 0xC0) == 0x80)
            end++;
        if (n < w->bytes)
            return conure_fail(b->err, CONURE_BAD_FILE, "hotwords, line %u: '%.*s' in '%.*s' is in no piece of the model's vocabulary: write "
                               "the phrase as the model would, or leave it out", w->line, (int)(end - n), text + n,
                               (int)(w->bytes < 96 ? w->bytes : 96), text);
    }
    return CONURE_OK;
}

static uint32_t child_of(const conure_hotwords_node *nodes, uint32_t node, uint8_t byte)
{
    uint32_t child = nodes[node].child;
    while (child && nodes[child].byte != byte)
        child = nodes[child].sibling;
    return child;
}

static void add_word(conure_hotwords *tree, const char *text, uint32_t bytes, float score)
{
    uint32_t node = CONURE_HOTWORDS_ROOT;
    for (uint32_t i = 0; i < bytes; i++) {
        uint32_t next = child_of(tree->nodes, node, (uint8_t)text[i]);
        if (!next) {
            next = tree->n_nodes++;
            tree->nodes[next] = (conure_hotwords_node){.sibling = tree->nodes[node].child, .depth = (uint16_t)(i + 1), .byte = (uint8_t)text[i]};
            tree->nodes[node].child = next;
        }
        node = next;
        if (tree->nodes[node].score < score)
            tree->nodes[node].score = score;
    }
    tree->nodes[node].end = true;
    tree->nodes[node].own = fmaxf(tree->nodes[node].own, score);
}

static conure_status add_words(builder *b)
{
    conure_hotwords *tree = b->tree;
    const size_t cap = b->list.spelled.bytes + 1;
    tree->nodes = conure_calloc(cap, sizeof *tree->nodes);
    b->queue = conure_calloc(cap, sizeof *b->queue);
    if (!tree->nodes || !b->queue)
        return conure_fail_memory(b->err, "hotwords", cap * sizeof *tree->nodes);
    tree->n_nodes = 1;
    for (uint32_t i = 0; i < b->list.n_words; i++)
        add_word(tree, b->list.spelled.data + b->list.words[i].text, b->list.words[i].bytes, b->list.words[i].score);
    return CONURE_OK;
}

static uint32_t step(const conure_hotwords_node *nodes, uint32_t node, uint8_t byte)
{
    uint32_t next;
    while (!(next = child_of(nodes, node, byte)) && node != CONURE_HOTWORDS_ROOT)
        node = nodes[node].fail;
    return next; /* 0 is the root */
}

/* Links by depth, as a node's leads to one that is less deep. */
static void link_nodes(builder *b)
{
    conure_hotwords_node *nodes = b->tree->nodes;
    uint32_t n = 0;
    b->queue[n++] = CONURE_HOTWORDS_ROOT;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t node = b->queue[i];
        for (uint32_t child = nodes[node].child; child; child = nodes[child].sibling) {
            nodes[child].fail = node == CONURE_HOTWORDS_ROOT ? CONURE_HOTWORDS_ROOT : step(nodes, nodes[node].fail, nodes[child].byte);
            b->queue[n++] = child;
        }
    }
}

/* A token that leads to a place from which no token leads on, nor a phrase ends, is not worth preferring. */
static bool leads_on(const conure_hotwords *tree, uint32_t node)
{
    return tree->nodes[node].end || tree->nodes[node].n_edges;
}

/* Edges to a node, and to those below it that tokens reach: depth at most a phrase's. */
static void collect(builder *b, uint32_t node, range r)
{
    for (const spelling *s = r.first; whole(s, r) && leads_on(b->tree, node); s++)
        conure_buffer_add(&b->edges, &(conure_hotwords_edge){s->id, node}, sizeof(conure_hotwords_edge));
    for (uint32_t child = b->tree->nodes[node].child; child; child = b->tree->nodes[child].sibling) {
        const range inner = narrow(r, b->tree->nodes[child].byte);
        if (inner.first < inner.end)
            collect(b, child, inner);
    }
}

static conure_status add_edges(builder *b)
{
    conure_hotwords *tree = b->tree;
    const range all = {b->vocabulary, b->vocabulary + b->n_vocabulary, 0};
    for (uint32_t node = tree->n_nodes; node-- > 0;) {
        const size_t before = b->edges.bytes / sizeof(conure_hotwords_edge);
        collect(b, node, all); /* the node itself is the end of no spelling: none is empty */
        const size_t n = b->edges.bytes / sizeof(conure_hotwords_edge);
        if (b->edges.failed)
            return conure_fail_memory(b->err, "hotwords", b->edges.bytes);
        if (n > EDGES_MAX)
            return conure_fail(b->err, CONURE_LIMIT, "hotwords: more than %d ways to spell parts of them: take fewer or shorter phrases",
                               EDGES_MAX);
        tree->nodes[node].edge = (uint32_t)before;
        tree->nodes[node].n_edges = (uint32_t)(n - before);
    }
    tree->edges = (conure_hotwords_edge *)(void *)b->edges.data;
    b->edges = (conure_buffer){0};
    return CONURE_OK;
}

static void hash(builder *b)
{
    conure_sha256 sha;
    conure_sha256_init(&sha);
    for (uint32_t i = 0; i < b->list.n_words; i++) {
        const conure_hotword *w = &b->list.words[i];
        conure_sha256_add(&sha, b->list.spelled.data + w->text, w->bytes);
        conure_sha256_add(&sha, "", 1);
        conure_sha256_add(&sha, &w->score, sizeof w->score);
    }
    conure_sha256_hex(&sha, b->tree->sha256);
}

static conure_status build(builder *b, const char *text, size_t bytes, double score)
{
    conure_status status = conure_hotwords_read(&b->list, text, bytes, score, b->err);
    if (status == CONURE_OK)
        status = sort_spellings(b->tree->tokenizer, &b->vocabulary, &b->n_vocabulary, b->err);
    if (status == CONURE_OK)
        status = check_words(b);
    if (status == CONURE_OK)
        status = add_words(b);
    if (status != CONURE_OK)
        return status;
    link_nodes(b);
    hash(b);
    return add_edges(b);
}

conure_status conure_hotwords_build(conure_hotwords **out, const conure_tokenizer *tokenizer, const char *text, size_t bytes,
                                    double score, conure_error *err)
{
    *out = NULL;
    conure_hotwords *tree = conure_calloc(1, sizeof *tree);
    if (!tree)
        return conure_fail_memory(err, "hotwords", sizeof *tree);
    tree->tokenizer = tokenizer;
    tree->n_users = 1;
    pthread_mutex_init(&tree->lock, NULL);
    builder b = {.tree = tree, .err = err};
    const conure_status status = build(&b, text, bytes, score);
    conure_hotwords_text_free(&b.list);
    conure_buffer_free(&b.edges);
    free(b.vocabulary);
    free(b.queue);
    if (status != CONURE_OK)
        conure_hotwords_release(tree);
    else
        *out = tree;
    return status;
}

/* ---- lifetime -------------------------------------------------------------------------------- */

void conure_hotwords_hold(const conure_hotwords *hotwords)
{
    conure_hotwords *h = (conure_hotwords *)hotwords; /* what changes is under lock */
    pthread_mutex_lock(&h->lock);
    h->n_users++;
    pthread_mutex_unlock(&h->lock);
}

void conure_hotwords_release(const conure_hotwords *hotwords)
{
    conure_hotwords *h = (conure_hotwords *)hotwords;
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    const bool last = --h->n_users == 0;
    pthread_mutex_unlock(&h->lock);
    if (!last)
        return;
    if (h->model)
        conure_model_release(h->model);
    free(h->nodes);
    free(h->edges);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

void conure_hotwords_options_init(conure_hotwords_options *options)
{
    if (options)
        *options = (conure_hotwords_options){.struct_bytes = sizeof *options, .score = CONURE_HOTWORD_SCORE};
}

conure_status conure_hotwords_open(conure_hotwords **out, const conure_model *model, const char *text, size_t bytes,
                                   const conure_hotwords_options *given, conure_error *err)
{
    conure_hotwords_options o;
    if (!out || !model || (bytes && !text))
        return conure_fail(err, CONURE_BAD_ARG, "conure_hotwords_open: out, model and text must not be NULL");
    *out = NULL;
    conure_hotwords_options_init(&o);
    if (given && given->struct_bytes != sizeof o)
        return conure_fail(err, CONURE_BAD_ARG, "conure_hotwords_options: struct_bytes is %u, this library knows %zu: call "
                           "conure_hotwords_options_init()", given->struct_bytes, sizeof o);
    const conure_status status = conure_hotwords_build(out, model->tokenizer, text, bytes, (given ? given : &o)->score, err);
    if (status != CONURE_OK)
        return status;
    (*out)->model = model;
    conure_model_hold(model);
    return CONURE_OK;
}

void conure_hotwords_close(conure_hotwords **hotwords)
{
    if (!hotwords)
        return;
    conure_hotwords_release(*hotwords);
    *hotwords = NULL;
}

const conure_model *conure_hotwords_model(const conure_hotwords *hotwords)
{
    return hotwords->model;
}

uint32_t conure_hotwords_nodes(const conure_hotwords *hotwords)
{
    return hotwords->n_nodes;
}

const char *conure_hotwords_sha256(const conure_hotwords *hotwords)
{
    return hotwords->sha256;
}

/* ---- decoding -------------------------------------------------------------------------------- */

uint32_t conure_hotwords_choose(const conure_hotwords *hotwords, uint32_t node, uint32_t covered, float spent, const float *logits,
                                uint32_t plain)
{
    const conure_hotwords_node *nodes = hotwords->nodes;
    float top = -INFINITY;
    uint32_t best = plain;
    for (; nodes[node].depth >= covered; node = nodes[node].fail) {
        const conure_hotwords_edge *e = hotwords->edges + nodes[node].edge, *end = e + nodes[node].n_edges;
        for (; e < end; e++)
            if (logits[e->token] > top && spent + (logits[plain] - logits[e->token]) <= nodes[e->node].score) {
                top = logits[e->token];
                best = e->token;
            }
        if (node == CONURE_HOTWORDS_ROOT)
            break;
    }
    return best;
}

uint32_t conure_hotwords_next(const conure_hotwords *hotwords, uint32_t node, uint32_t token, uint32_t *bytes)
{
    size_t n;
    const char *text = conure_tokenizer_spelling(hotwords->tokenizer, token, &n);
    for (size_t i = 0; i < n; i++)
        node = step(hotwords->nodes, node, (uint8_t)text[i]);
    *bytes = (uint32_t)n;
    return node;
}

bool conure_hotwords_ended(const conure_hotwords *hotwords, uint32_t node, uint32_t covered, float spent)
{
    const conure_hotwords_node *nodes = hotwords->nodes;
    for (; node != CONURE_HOTWORDS_ROOT && nodes[node].depth >= covered; node = nodes[node].fail)
        if (nodes[node].end && spent <= nodes[node].own)
            return true;
    return false;
}

uint32_t conure_hotwords_depth(const conure_hotwords *hotwords, uint32_t node)
{
    return hotwords->nodes[node].depth;
}

bool conure_hotwords_spells(const conure_hotwords *hotwords, uint32_t token)
{
    size_t bytes;
    conure_tokenizer_spelling(hotwords->tokenizer, token, &bytes);
    return bytes > 0;
}
