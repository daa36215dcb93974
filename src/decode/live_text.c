/* live_text.c - words.c's rules as a machine that goes from token to token.
 *
 * The text is the tokenizer's business (conure_decoding).  Of words there is never more than one that is not certain:
 * it is BUILDING, or it is FINISHED by a space, and marks may still join it.  Only whether a piece that is a literal
 * space separates words depends on what follows: on whether the next token that prints more than a space is a mark.
 * Such a piece, and the tokens behind it that print no more, wait in a queue for that token, which decides for all of
 * them.
 *
 * tests/decode/live_text.c compares it with conure_words_build() on random tokens. */
#include "decode/live_text.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define NO_TOKEN UINT32_MAX

/* A token with its times in frames (spec 6.5). */
typedef struct timed {
    uint64_t start, end;
    uint32_t id;
    float confidence;
} timed;

/* A word without its text. */
typedef struct span {
    uint64_t start, end;
    uint32_t first_token, n_tokens;
    float confidence;
    float least; /* confidence of its tokens and of those since: what it will be if a mark joins it */
} span;

/* Snapshots hold them as they are: there is no padding. */
_Static_assert(sizeof(timed) == 24 && sizeof(span) == 32, "a member was added: look at the padding");

typedef enum word_state { NO_WORD, BUILDING, FINISHED } word_state;

/* The word that is not certain yet. */
typedef struct open_word {
    word_state state;
    span span;                /* end, n_tokens and confidence: once it is FINISHED */
    uint32_t bare_space;      /* its last token, if a mark would take its place: not decoded yet; or NO_TOKEN */
    conure_decoding decoding; /* of its tokens alone */
    conure_buffer text;
} open_word;

/* Texts of words lie one behind the other, each with its NUL. */
typedef struct pieces {
    conure_buffer text;
    conure_buffer spans;   /* of span */
    conure_buffer strings;
} pieces;

struct conure_live_text {
    const conure_tokenizer *tokenizer;
    double frame_s;
    uint32_t n_tokens;        /* added */
    uint64_t last_end;        /* of the last of them: where a mark has its place */
    uint64_t first_start;     /* of the first: where the first word starts */
    conure_decoding decoding; /* of all of them */
    conure_buffer queue;      /* of timed, see above */
    uint32_t n_done;          /* without those in the queue */
    uint64_t done_end;        /* end of the last of these */
    open_word word;
    bool any_word;            /* one became certain */
    pieces certain;           /* and not taken yet */
    pieces given;             /* by the last take */
    conure_buffer words;      /* of conure_word: those given */
    conure_buffer tentative;
};

/* ---- buffers --------------------------------------------------------------------------------- */

/* Keeps the room, and the word of a failure, which is looked for at the end of a call. */
static void clear(conure_buffer *buffer)
{
    buffer->bytes = 0;
    if (buffer->data)
        buffer->data[0] = '\0';
}

static void restart(conure_buffer *buffer)
{
    clear(buffer);
    buffer->failed = false;
}

static void restart_pieces(pieces *p)
{
    restart(&p->text);
    restart(&p->spans);
    restart(&p->strings);
}

static void free_pieces(pieces *p)
{
    conure_buffer_free(&p->text);
    conure_buffer_free(&p->spans);
    conure_buffer_free(&p->strings);
}

static const char *text_of(const conure_buffer *buffer)
{
    return buffer->data ? buffer->data : "";
}

static conure_status check_memory(const conure_live_text *t, conure_error *err)
{
    if (t->certain.text.failed || t->certain.spans.failed || t->certain.strings.failed || t->word.text.failed ||
        t->queue.failed || t->words.failed || t->tentative.failed)
        return conure_fail_memory(err, "live text", t->certain.text.bytes + t->word.text.bytes + t->queue.bytes);
    return CONURE_OK;
}

/* ---- opening --------------------------------------------------------------------------------- */

conure_status conure_live_text_open(conure_live_text **out, const conure_tokenizer *tokenizer, double frame_s,
                                    conure_error *err)
{
    if (!out)
        return conure_fail(err, CONURE_BAD_ARG, "live text: no place for the result");
    *out = NULL;
    if (!tokenizer)
        return conure_fail(err, CONURE_BAD_ARG, "live text: no tokenizer");
    conure_live_text *t = conure_calloc(1, sizeof *t);
    if (!t)
        return conure_fail_memory(err, "live text", sizeof *t);
    t->tokenizer = tokenizer;
    t->frame_s = frame_s;
    conure_live_text_reset(t);
    *out = t;
    return CONURE_OK;
}

void conure_live_text_close(conure_live_text **live)
{
    if (!live || !*live)
        return;
    conure_live_text *t = *live;
    conure_buffer_free(&t->queue);
    conure_buffer_free(&t->word.text);
    conure_buffer_free(&t->words);
    conure_buffer_free(&t->tentative);
    free_pieces(&t->certain);
    free_pieces(&t->given);
    free(t);
    *live = NULL;
}

/* Everything but what the last take gave. */
static void start_utterance(conure_live_text *t)
{
    t->n_tokens = t->n_done = 0;
    t->last_end = t->first_start = t->done_end = 0;
    t->decoding = (conure_decoding){.strip = true};
    t->word = (open_word){.text = t->word.text, .bare_space = NO_TOKEN};
    t->any_word = false;
    restart(&t->word.text);
    restart(&t->queue);
    restart_pieces(&t->certain);
}

void conure_live_text_reset(conure_live_text *live)
{
    start_utterance(live);
    restart_pieces(&live->given);
    restart(&live->words);
    restart(&live->tentative);
}

/* ---- what words.c asks of a token ------------------------------------------------------------ */

static const char *surface(const conure_live_text *t, uint32_t id)
{
    return conure_tokenizer_surface(t->tokenizer, id);
}

static bool is_delimiter(const char *text)
{
    return strcmp(text, " ") == 0;
}

static bool prints_word(const conure_live_text *t, uint32_t id)
{
    return *surface(t, id) && !is_delimiter(surface(t, id));
}

static bool same_as_piece(const conure_live_text *t, uint32_t id)
{
    return strcmp(surface(t, id), conure_tokenizer_piece(t->tokenizer, id)) == 0;
}

static bool is_literal_space(const conure_live_text *t, uint32_t id)
{
    return is_delimiter(surface(t, id)) && same_as_piece(t, id);
}

static bool is_bare_space(const conure_live_text *t, uint32_t id)
{
    const char *piece = conure_tokenizer_piece(t->tokenizer, id);
    return strcmp(piece, " ") == 0 || strcmp(piece, "_") == 0 || strcmp(piece, "\xE2\x96\x81") == 0;
}

/* ---- words ----------------------------------------------------------------------------------- */

static void decode_bare_space(conure_live_text *t)
{
    open_word *w = &t->word;
    if (w->bare_space != NO_TOKEN)
        conure_decoding_add(&w->decoding, t->tokenizer, w->bare_space, &w->text);
    w->bare_space = NO_TOKEN;
}

/* The word lasts to the last token done. */
static void end_span(conure_live_text *t)
{
    span *s = &t->word.span;
    s->end = t->done_end;
    s->n_tokens = t->n_done - s->first_token;
    s->confidence = s->least;
}

static void finish_word(conure_live_text *t)
{
    if (t->word.state != BUILDING)
        return;
    decode_bare_space(t);
    conure_decoding_end(&t->word.decoding, t->tokenizer, &t->word.text);
    end_span(t);
    t->word.state = FINISHED;
}

/* No mark can join the finished word any more. */
static void give_word(conure_live_text *t)
{
    open_word *w = &t->word;
    if (w->state != FINISHED)
        return;
    if (!t->any_word)
        w->span.start = t->first_start;
    t->any_word = true;
    conure_buffer_add(&t->certain.spans, &w->span, sizeof w->span);
    conure_buffer_add(&t->certain.strings, text_of(&w->text), w->text.bytes + 1);
    w->state = NO_WORD;
}

static void begin_word(conure_live_text *t, const timed *token)
{
    open_word *w = &t->word;
    give_word(t);
    w->state = BUILDING;
    w->span = (span){.start = token->start, .first_token = t->n_done, .least = token->confidence};
    w->bare_space = NO_TOKEN;
    w->decoding = (conure_decoding){0};
    clear(&w->text);
}

/* What add_token() of words.c does for a token that belongs to the word being built. */
static void append(conure_live_text *t, const timed *token, bool mark)
{
    if (mark)
        t->word.bare_space = NO_TOKEN; /* it takes the place of one */
    decode_bare_space(t);
    if (is_bare_space(t, token->id))
        t->word.bare_space = token->id;
    else
        conure_decoding_add(&t->word.decoding, t->tokenizer, token->id, &t->word.text);
}

/* A mark behind a finished word: it replaces a space at that word's end. */
static void join_finished(conure_live_text *t, const timed *token)
{
    conure_buffer *text = &t->word.text;
    if (text->bytes && text->data[text->bytes - 1] == ' ')
        text->bytes--;
    conure_buffer_text(text, surface(t, token->id));
}

/* mark_follows: of a literal space. */
static void do_token(conure_live_text *t, const timed *token, bool mark_follows)
{
    const bool mark = conure_tokenizer_is_punctuation(t->tokenizer, token->id);
    const bool starts = !mark && (!same_as_piece(t, token->id) ||
                                  (is_delimiter(surface(t, token->id)) && !mark_follows));
    const bool separates = starts && is_delimiter(surface(t, token->id));
    const bool joins = mark && t->word.state == FINISHED;

    if (starts)
        finish_word(t);
    if (!separates && !joins && t->word.state != BUILDING)
        begin_word(t, token);
    if (t->word.state != NO_WORD && token->confidence < t->word.span.least)
        t->word.span.least = token->confidence;
    t->n_done++;
    t->done_end = token->end;
    if (joins) {
        join_finished(t, token);
        end_span(t);
    } else if (!separates) {
        append(t, token, mark);
    }
}

static void do_queue(conure_live_text *t, bool mark_follows)
{
    timed token;
    for (size_t at = 0; at < t->queue.bytes; at += sizeof token) {
        memcpy(&token, t->queue.data + at, sizeof token);
        do_token(t, &token, mark_follows);
    }
    clear(&t->queue);
}

static void add_token(conure_live_text *t, const conure_token *token)
{
    const bool mark = conure_tokenizer_is_punctuation(t->tokenizer, token->id);
    timed now = {.id = token->id, .confidence = token->confidence, .start = t->last_end, .end = t->last_end};

    if (!mark || t->n_tokens == 0) {
        now.start = token->frame;
        now.end = now.start + token->duration;
    }
    if (t->n_tokens == 0)
        t->first_start = now.start;
    t->n_tokens++;
    t->last_end = now.end;
    conure_decoding_add(&t->decoding, t->tokenizer, token->id, &t->certain.text);
    if (prints_word(t, token->id))
        do_queue(t, mark);
    if (t->queue.bytes || (!mark && is_literal_space(t, token->id)))
        conure_buffer_add(&t->queue, &now, sizeof now);
    else
        do_token(t, &now, false);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static conure_status check_tokens(const conure_live_text *t, const conure_token *tokens, uint32_t n,
                                  conure_error *err)
{
    if (n && !tokens)
        return conure_fail(err, CONURE_BAD_ARG, "live text: no tokens");
    for (uint32_t i = 0; i < n; i++)
        if (tokens[i].id >= conure_tokenizer_size(t->tokenizer))
            return conure_fail(err, CONURE_BAD_ARG, "live text: token %u is %u, the vocabulary has %u pieces", i,
                               tokens[i].id, conure_tokenizer_size(t->tokenizer));
    return CONURE_OK;
}

conure_status conure_live_text_add(conure_live_text *live, const conure_token *tokens, uint32_t n_tokens,
                                   conure_error *err)
{
    const conure_status status = check_tokens(live, tokens, n_tokens, err);
    if (status != CONURE_OK)
        return status;
    if (n_tokens > UINT32_MAX - live->n_tokens)
        return conure_fail(err, CONURE_LIMIT, "live text: an utterance of more than %u tokens", UINT32_MAX);
    for (uint32_t i = 0; i < n_tokens; i++)
        add_token(live, &tokens[i]);
    return check_memory(live, err);
}

/* The words given, as the caller sees them. */
static void list_words(conure_live_text *t)
{
    const char *text = t->given.strings.data;

    clear(&t->words);
    for (size_t at = 0; at < t->given.spans.bytes; at += sizeof(span)) {
        span s;
        memcpy(&s, t->given.spans.data + at, sizeof s);
        conure_buffer_add(&t->words, &(conure_word){
            .text = text, .start_s = (double)s.start * t->frame_s, .end_s = (double)s.end * t->frame_s,
            .confidence = s.confidence, .first_token = s.first_token, .n_tokens = s.n_tokens,
        }, sizeof(conure_word));
        text += strlen(text) + 1;
    }
}

conure_status conure_live_text_take(conure_live_text *live, bool end, conure_live_piece *out, conure_error *err)
{
    conure_live_text *t = live;

    *out = (conure_live_piece){.text = ""};
    if (end) {
        do_queue(t, false);
        finish_word(t);
        give_word(t);
        conure_decoding_end(&t->decoding, t->tokenizer, &t->certain.text);
    }
    conure_status status = check_memory(t, err);
    if (status != CONURE_OK)
        return status;
    const pieces taken = t->certain;
    t->certain = t->given;
    t->given = taken;
    restart_pieces(&t->certain);
    if (end)
        start_utterance(t);
    list_words(t);
    status = check_memory(t, err);
    if (status != CONURE_OK)
        return status;
    out->text = text_of(&t->given.text);
    out->n_words = (uint32_t)(t->words.bytes / sizeof(conure_word));
    out->words = out->n_words ? (const conure_word *)(const void *)t->words.data : NULL;
    return CONURE_OK;
}

conure_status conure_live_text_tentative(conure_live_text *live, const conure_token *tokens, uint32_t n_tokens,
                                         const char **text, conure_error *err)
{
    conure_live_text *t = live;
    conure_decoding decoding = t->decoding;

    *text = "";
    const conure_status status = check_tokens(t, tokens, n_tokens, err);
    if (status != CONURE_OK)
        return status;
    clear(&t->tentative);
    conure_buffer_add(&t->tentative, text_of(&t->certain.text), t->certain.text.bytes);
    for (uint32_t i = 0; i < n_tokens; i++)
        conure_decoding_add(&decoding, t->tokenizer, tokens[i].id, &t->tentative);
    conure_decoding_end(&decoding, t->tokenizer, &t->tentative);
    *text = t->tentative.failed ? "" : text_of(&t->tentative);
    return check_memory(t, err);
}

/* ---- snapshots ------------------------------------------------------------------------------- */

#define SAVE(buffer, value) conure_buffer_add(buffer, &(value), sizeof(value))
#define LOAD(reader, value) conure_read(reader, &(value), sizeof(value))

static void save_bytes(const conure_buffer *bytes, conure_buffer *buffer)
{
    const uint64_t n = bytes->bytes;
    SAVE(buffer, n);
    conure_buffer_add(buffer, bytes->data, bytes->bytes);
}

static void save_word(const open_word *w, conure_buffer *buffer)
{
    const uint32_t state = w->state;
    SAVE(buffer, state);
    if (w->state == NO_WORD)
        return;
    SAVE(buffer, w->span);
    SAVE(buffer, w->bare_space);
    conure_decoding_save(&w->decoding, buffer);
    save_bytes(&w->text, buffer);
}

void conure_live_text_save(const conure_live_text *live, conure_buffer *buffer)
{
    const conure_live_text *t = live;
    const uint32_t any_word = t->any_word;

    SAVE(buffer, t->n_tokens);
    SAVE(buffer, t->n_done);
    SAVE(buffer, any_word);
    SAVE(buffer, t->last_end);
    SAVE(buffer, t->first_start);
    SAVE(buffer, t->done_end);
    conure_decoding_save(&t->decoding, buffer);
    save_bytes(&t->queue, buffer);
    save_word(&t->word, buffer);
    save_bytes(&t->certain.text, buffer);
    save_bytes(&t->certain.spans, buffer);
    save_bytes(&t->certain.strings, buffer);
}

/* Whole records of so many bytes. */
static bool load_bytes(conure_buffer *bytes, size_t record_bytes, conure_reader *reader)
{
    uint64_t n;
    LOAD(reader, n);
    const void *data = n <= SIZE_MAX && n % record_bytes == 0 ? conure_read_span(reader, (size_t)n) : NULL;
    if (!data)
        return false;
    conure_buffer_add(bytes, data, (size_t)n);
    return true;
}

static bool load_text(conure_buffer *text, conure_reader *reader)
{
    return load_bytes(text, 1, reader) && conure_text_valid(text_of(text), text->bytes);
}

static bool span_ok(const conure_live_text *t, const span *s)
{
    return conure_span_inside(s->first_token, s->n_tokens, t->n_done);
}

/* The queue holds a literal space first, and tokens that print no more than a space. */
static bool load_queue(conure_live_text *t, conure_reader *reader)
{
    timed token;

    if (!load_bytes(&t->queue, sizeof token, reader) || t->n_done > t->n_tokens ||
        t->queue.bytes / sizeof token != t->n_tokens - t->n_done)
        return false;
    for (size_t at = 0; at < t->queue.bytes; at += sizeof token) {
        memcpy(&token, t->queue.data + at, sizeof token);
        if (token.id >= conure_tokenizer_size(t->tokenizer) || prints_word(t, token.id) ||
            (at == 0 && !is_literal_space(t, token.id)))
            return false;
    }
    return true;
}

static bool load_word(conure_live_text *t, conure_reader *reader)
{
    open_word *w = &t->word;
    uint32_t state;

    LOAD(reader, state);
    if (reader->failed || state > FINISHED)
        return false;
    w->state = (word_state)state;
    if (w->state == NO_WORD)
        return true;
    LOAD(reader, w->span);
    LOAD(reader, w->bare_space);
    if (!span_ok(t, &w->span) || (w->bare_space != NO_TOKEN &&
                                  (w->bare_space >= conure_tokenizer_size(t->tokenizer) ||
                                   !is_bare_space(t, w->bare_space))))
        return false;
    return conure_decoding_load(&w->decoding, reader) && !w->decoding.strip && load_text(&w->text, reader);
}

/* As many texts as words, each with its NUL. */
static bool load_words(conure_live_text *t, conure_reader *reader)
{
    pieces *p = &t->certain;
    size_t at = 0;

    if (!load_bytes(&p->spans, sizeof(span), reader) || !load_bytes(&p->strings, 1, reader))
        return false;
    for (size_t i = 0; i < p->spans.bytes; i += sizeof(span)) {
        span s;
        memcpy(&s, p->spans.data + i, sizeof s);
        const char *text = text_of(&p->strings) + at;
        const size_t n = strnlen(text, p->strings.bytes - at);
        if (!span_ok(t, &s) || at + n >= p->strings.bytes || !conure_text_valid(text, n))
            return false;
        at += n + 1;
    }
    return at == p->strings.bytes && (t->any_word || !at);
}

static bool load_all(conure_live_text *t, conure_reader *reader)
{
    uint32_t any_word;

    LOAD(reader, t->n_tokens);
    LOAD(reader, t->n_done);
    LOAD(reader, any_word);
    LOAD(reader, t->last_end);
    LOAD(reader, t->first_start);
    LOAD(reader, t->done_end);
    if (reader->failed || any_word > 1)
        return false;
    t->any_word = any_word;
    return conure_decoding_load(&t->decoding, reader) && t->decoding.strip && load_queue(t, reader) &&
           load_word(t, reader) && load_text(&t->certain.text, reader) && load_words(t, reader);
}

conure_status conure_live_text_load(conure_live_text *live, conure_reader *reader, conure_error *err)
{
    conure_live_text_reset(live);
    const bool good = load_all(live, reader);
    conure_status status = check_memory(live, err);
    if (status == CONURE_OK && !good)
        status = conure_fail(err, CONURE_BAD_FILE, "snapshot: the text's part is damaged");
    if (status != CONURE_OK)
        conure_live_text_reset(live);
    return status;
}
