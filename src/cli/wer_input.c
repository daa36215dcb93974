/* wer_input.c - references and hypotheses from JSON, TSV and plain text. */
#include "cli/wer_input.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/files.h"
#include "base/memory.h"

#define COLUMNS_MAX 64

/* What is being read. */
typedef struct source {
    const char *name, *field;
    bool hypothesis;
    conure_utterances *out;
} source;

static const char *const key_names[] = {"audio_filepath", "file", "audio", "path"};
#define N_KEY_NAMES (sizeof key_names / sizeof *key_names)

/* The text's name of the given rank, NULL past the last. */
static const char *text_name(const source *src, size_t rank)
{
    if (src->field)
        return rank == 0 ? src->field : NULL;
    if (src->hypothesis && rank == 0)
        return "pred_text";
    return rank == (src->hypothesis ? 1 : 0) ? "text" : NULL;
}

/* Copies both; key may be NULL. */
static conure_status add(const source *src, const char *key, size_t key_bytes, const char *text,
                         size_t text_bytes, size_t line, conure_error *err)
{
    conure_utterances *out = src->out;

    if (out->n == CONURE_UTTERANCES_MAX)
        return conure_fail(err, CONURE_LIMIT, "%s:%zu: more than %u utterances", src->name, line,
                           CONURE_UTTERANCES_MAX);
    if (out->n == out->cap) {
        const uint32_t cap = out->cap ? 2 * out->cap : 256;
        conure_utterance *items = realloc(out->items, cap * sizeof *items);
        if (!items)
            return conure_fail_memory(err, "utterances", cap * sizeof *items);
        out->items = items;
        out->cap = cap;
    }
    conure_utterance *item = &out->items[out->n];
    *item = (conure_utterance){.line = line};
    item->text = conure_strndup(text, text_bytes);
    item->key = key ? conure_strndup(key, key_bytes) : NULL;
    if (!item->text || (key && !item->key)) {
        free(item->text);
        free(item->key);
        return conure_fail_memory(err, "an utterance", text_bytes);
    }
    out->n++;
    out->keyed = out->keyed && key;
    return CONURE_OK;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static conure_status add_object(const source *src, const json_t *object, size_t line,
                                conure_error *err)
{
    const json_t *text = NULL, *key = NULL;

    if (!json_is_object(object))
        return conure_fail(err, CONURE_BAD_FILE, "%s:%zu: expected a JSON object", src->name, line);
    for (size_t i = 0; !json_is_string(text) && text_name(src, i); i++)
        text = json_object_get(object, text_name(src, i));
    for (size_t i = 0; !json_is_string(key) && i < N_KEY_NAMES; i++)
        key = json_object_get(object, key_names[i]);
    if (!json_is_string(text)) {
        const char *why = json_string_value(json_object_get(object, "error"));
        if (why && src->hypothesis)
            return CONURE_OK;
        return conure_fail(err, CONURE_BAD_FILE, "%s:%zu: no text under \"%s\"", src->name, line,
                           src->field ? src->field : "text");
    }
    return add(src, json_string_value(key), json_string_length(key), json_string_value(text),
               json_string_length(text), line, err);
}

static conure_status add_all(const source *src, const json_t *root, conure_error *err)
{
    if (!json_is_array(root))
        return add_object(src, root, 1, err);
    for (size_t i = 0; i < json_array_size(root); i++) {
        const conure_status status = add_object(src, json_array_get(root, i), i + 1, err);
        if (status != CONURE_OK)
            return status;
    }
    return CONURE_OK;
}

static conure_status bad_json(const source *src, size_t line, const json_error_t *why,
                              conure_error *err)
{
    if (json_error_code(why) == json_error_out_of_memory || !why->text[0])
        return conure_fail_memory(err, src->name, 0);
    return conure_fail(err, CONURE_BAD_FILE, "%s:%zu: %s", src->name, line, why->text);
}

/* ---- lines ----------------------------------------------------------------------------------- */

typedef struct line {
    const char *text;
    size_t bytes, number;
} line;

/* The next line without its end; false at the end of the data.  A newline at the very end starts none. */
static bool next_line(line *at, const char **data, size_t *left)
{
    if (!*left)
        return false;
    const char *end = memchr(*data, '\n', *left);
    at->text = *data;
    at->bytes = end ? (size_t)(end - *data) : *left;
    at->number++;
    const size_t used = at->bytes + (end ? 1 : 0);
    *data += used;
    *left -= used;
    if (at->bytes && at->text[at->bytes - 1] == '\r')
        at->bytes--;
    return true;
}

static conure_status parse_json_lines(const source *src, const char *data, size_t bytes,
                                      conure_error *err)
{
    line at = {0};

    while (next_line(&at, &data, &bytes)) {
        json_error_t why;
        if (at.bytes == 0)
            continue;
        json_t *object = json_loadb(at.text, at.bytes, 0, &why);
        if (!object)
            return bad_json(src, at.number, &why, err);
        const conure_status status = add_object(src, object, at.number, err);
        json_decref(object);
        if (status != CONURE_OK)
            return status;
    }
    return CONURE_OK;
}

static conure_status parse_json(const source *src, const char *data, size_t bytes, bool list,
                                conure_error *err)
{
    json_error_t why;
    json_t *root = json_loadb(data, bytes, 0, &why);

    if (!root && list)
        return bad_json(src, why.line > 0 ? (size_t)why.line : 1, &why, err);
    if (!root) /* an object is followed by something: one a line */
        return parse_json_lines(src, data, bytes, err);
    const conure_status status = add_all(src, root, err);
    json_decref(root);
    return status;
}

static conure_status parse_plain(const source *src, const char *data, size_t bytes,
                                 conure_error *err)
{
    line at = {0};

    while (next_line(&at, &data, &bytes)) {
        const conure_status status = add(src, NULL, 0, at.text, at.bytes, at.number, err);
        if (status != CONURE_OK)
            return status;
    }
    return CONURE_OK;
}

/* ---- TSV ------------------------------------------------------------------------------------- */

typedef struct cell {
    const char *text;
    size_t bytes;
} cell;

/* Split at tabs; returns how many cells there are, of which the first COLUMNS_MAX are filled. */
static size_t split(const line *at, cell *cells)
{
    const char *from = at->text, *const end = at->text + at->bytes;
    size_t n = 0;

    for (;;) {
        const char *tab = memchr(from, '\t', (size_t)(end - from));
        if (n < COLUMNS_MAX)
            cells[n] = (cell){from, (size_t)((tab ? tab : end) - from)};
        n++;
        if (!tab)
            return n;
        from = tab + 1;
    }
}

/* The column of a name, n when there is none. */
static size_t find_column(const cell *cells, size_t n, const char *name)
{
    size_t i = 0;
    while (i < n && !(cells[i].bytes == strlen(name) && memcmp(cells[i].text, name, cells[i].bytes) == 0))
        i++;
    return i;
}

typedef struct header {
    size_t n, key, text; /* key is n when there is none */
} header;

static conure_status read_header(const source *src, const line *at, header *out, conure_error *err)
{
    cell cells[COLUMNS_MAX];

    out->n = split(at, cells);
    if (out->n > COLUMNS_MAX)
        return conure_fail(err, CONURE_LIMIT, "%s:1: %zu columns, at most %d are supported", src->name,
                           out->n, COLUMNS_MAX);
    out->text = out->key = out->n;
    for (size_t i = 0; out->text == out->n && text_name(src, i); i++)
        out->text = find_column(cells, out->n, text_name(src, i));
    for (size_t i = 0; out->key == out->n && i < N_KEY_NAMES; i++)
        out->key = find_column(cells, out->n, key_names[i]);
    if (out->text == out->n)
        return conure_fail(err, CONURE_BAD_FILE,
                           "%s:1: has tabs, but no column is called \"%s\"; the first line of a TSV file "
                           "names its columns, as in: file<TAB>text",
                           src->name, src->field ? src->field : "text");
    if (out->key == out->n && find_column(cells, out->n, "start") < out->n)
        return conure_fail(err, CONURE_BAD_FILE,
                           "%s:1: holds segments of one recording, not utterances; use the formats text "
                           "or json",
                           src->name);
    return CONURE_OK;
}

static conure_status parse_tsv(const source *src, const char *data, size_t bytes, conure_error *err)
{
    line at = {0};
    header columns = {0};
    cell cells[COLUMNS_MAX];

    next_line(&at, &data, &bytes);
    conure_status status = read_header(src, &at, &columns, err);
    while (status == CONURE_OK && next_line(&at, &data, &bytes)) {
        const size_t n = split(&at, cells);
        if (n != columns.n)
            return conure_fail(err, CONURE_BAD_FILE, "%s:%zu: %zu columns, the first line has %zu",
                               src->name, at.number, n, columns.n);
        const cell *text = &cells[columns.text];
        const cell *key = columns.key < n ? &cells[columns.key] : NULL;
        status = add(src, key ? key->text : NULL, key ? key->bytes : 0, text->text, text->bytes,
                     at.number, err);
    }
    return status;
}

/* ---- any file -------------------------------------------------------------------------------- */

/* '[' for a list of objects, '{' for an object, 0 for anything else: plain text may begin with a bracket. */
static char json_kind(const char *data, size_t bytes)
{
    char first[2] = {0};
    size_t n = 0;

    for (size_t i = 0; i < bytes && n < 2; i++)
        if (!strchr(" \t\r\n", data[i]))
            first[n++] = data[i];
    if (first[0] == '[' && (first[1] == '{' || first[1] == ']'))
        return '[';
    return first[0] == '{' && (first[1] == '"' || first[1] == '}') ? '{' : 0;
}

conure_status conure_utterances_parse(conure_utterances *out, const char *name, const char *data,
                                      size_t bytes, const char *field, bool hypothesis,
                                      conure_error *err)
{
    const source src = {name, field, hypothesis, out};
    conure_status status;

    *out = (conure_utterances){.keyed = true};
    if (bytes >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0) { /* a byte order mark */
        data += 3;
        bytes -= 3;
    }
    if (bytes && memchr(data, '\0', bytes))
        return conure_fail(err, CONURE_BAD_FILE, "%s: has NUL bytes: not a text file", name);
    const char kind = json_kind(data, bytes);
    const char *newline = bytes ? memchr(data, '\n', bytes) : NULL;
    const size_t line_bytes = newline ? (size_t)(newline - data) : bytes;
    if (kind)
        status = parse_json(&src, data, bytes, kind == '[', err);
    else if (line_bytes && memchr(data, '\t', line_bytes))
        status = parse_tsv(&src, data, bytes, err);
    else
        status = parse_plain(&src, data, bytes, err);
    if (status == CONURE_OK && out->n == 0 && !hypothesis)
        status = conure_fail(err, CONURE_BAD_FILE, "%s: has no utterances", name);
    return status;
}

conure_status conure_utterances_read(conure_utterances *out, const char *path, const char *field,
                                     bool hypothesis, conure_error *err)
{
    char *data = NULL;
    size_t bytes = 0;

    *out = (conure_utterances){0};
    conure_status status = conure_file_read_any(&data, &bytes, path, CONURE_WER_FILE_BYTES_MAX, err);
    if (status == CONURE_OK)
        status = conure_utterances_parse(out, path, data, bytes, field, hypothesis, err);
    free(data);
    return status;
}

void conure_utterances_free(conure_utterances *utterances)
{
    if (!utterances)
        return;
    for (uint32_t i = 0; i < utterances->n; i++) {
        free(utterances->items[i].key);
        free(utterances->items[i].text);
    }
    free(utterances->items);
    *utterances = (conure_utterances){0};
}

/* ---- pairs ----------------------------------------------------------------------------------- */

typedef struct named {
    const char *name;
    size_t bytes;
    uint32_t index;
} named;

static int compare_names(const void *a_, const void *b_)
{
    const named *a = a_, *b = b_;
    const size_t n = a->bytes < b->bytes ? a->bytes : b->bytes;
    const int order = n ? memcmp(a->name, b->name, n) : 0;
    return order ? order : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

/* "folder/clip.flac" to "clip". */
static void cut_to_stem(named *name)
{
    for (size_t i = name->bytes; i-- > 0;) {
        if (name->name[i] == '/' || name->name[i] == '\\') {
            name->name += i + 1;
            name->bytes -= i + 1;
            break;
        }
    }
    for (size_t i = name->bytes; i-- > 1;) {
        if (name->name[i] == '.') {
            name->bytes = i;
            break;
        }
    }
}

/* Sorted names of all; *twice is the index of one that another has too, or n. */
static named *sorted_names(const conure_utterances *all, bool stems, uint32_t *twice)
{
    named *names = conure_calloc(all->n ? all->n : 1, sizeof *names);

    *twice = all->n;
    for (uint32_t i = 0; names && i < all->n; i++) {
        names[i] = (named){all->items[i].key, strlen(all->items[i].key), i};
        if (stems)
            cut_to_stem(&names[i]);
    }
    if (names && all->n)
        qsort(names, all->n, sizeof *names, compare_names);
    for (uint32_t i = 1; names && i < all->n; i++)
        if (compare_names(&names[i - 1], &names[i]) == 0)
            *twice = names[i].index;
    return names;
}

static conure_status match_names(uint32_t *matches, uint32_t *n_extra,
                                 const conure_utterances *reference,
                                 const conure_utterances *hypothesis, conure_error *err)
{
    conure_status status = CONURE_OK;
    named *a = NULL, *b = NULL;
    uint32_t twice_a = 0, twice_b = 0, i, j;

    for (int stems = 1; stems >= 0; stems--) {
        free(a);
        free(b);
        a = sorted_names(reference, stems, &twice_a);
        b = sorted_names(hypothesis, stems, &twice_b);
        if (!a || !b || (twice_a == reference->n && twice_b == hypothesis->n))
            break;
    }
    *n_extra = 0;
    if (!a || !b) {
        status = conure_fail_memory(err, "names", reference->n * sizeof *a);
    } else if (twice_a < reference->n || twice_b < hypothesis->n) {
        const bool in_a = twice_a < reference->n;
        const conure_utterance *one = in_a ? &reference->items[twice_a] : &hypothesis->items[twice_b];
        status = conure_fail(err, CONURE_BAD_FILE, "line %zu of the %s: the name \"%.100s\" occurs twice",
                             one->line, in_a ? "reference" : "hypothesis", one->key);
    } else {
        for (i = j = 0; i < reference->n; i++) {
            while (j < hypothesis->n && compare_names(&b[j], &a[i]) < 0)
                j++, ++*n_extra;
            const bool found = j < hypothesis->n && compare_names(&b[j], &a[i]) == 0;
            matches[a[i].index] = found ? b[j++].index : CONURE_UTTERANCE_MISSING;
        }
        *n_extra += hypothesis->n - j;
    }
    free(a);
    free(b);
    return status;
}

conure_status conure_utterances_match(uint32_t *matches, uint32_t *n_extra,
                                      const conure_utterances *reference,
                                      const conure_utterances *hypothesis, conure_error *err)
{
    *n_extra = 0;
    if (reference->keyed && hypothesis->keyed)
        return match_names(matches, n_extra, reference, hypothesis, err);
    if (reference->n != hypothesis->n)
        return conure_fail(err, CONURE_BAD_FILE,
                           "%u utterances, the reference has %u; without names in both files they are "
                           "paired by line",
                           hypothesis->n, reference->n);
    for (uint32_t i = 0; i < reference->n; i++)
        matches[i] = i;
    return CONURE_OK;
}
