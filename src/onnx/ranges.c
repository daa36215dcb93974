/* ranges.c - see ranges.h.  Ranges decide what every product computes, so that anything odd in a file is refused. */
#include "onnx/ranges.h"

#include "base/files.h"
#include "model/json.h"
#include "model/load.h"
#include "model/quote.h"
#include "onnx/observations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT = 1 };
#define AGAIN ": conure export ranges -o FILE AUDIO... measures anew"

static const char *const parts[] = {
#define X(part) part,
    CONURE_OBSERVED_PARTS(X)
#undef X
};
enum { N_PARTS = sizeof parts / sizeof *parts };

/* Of a layer's product, or of the subsampling's for -1. */
static void name_of(char name[96], int32_t layer, const char *part)
{
    if (layer < 0)
        snprintf(name, 96, "%s", CONURE_OBSERVED_FRONT);
    else
        snprintf(name, 96, "encoder.layers.%d.%s.weight", layer, part);
}

/* ---- writing ---------------------------------------------------------------------------------- */

static json_t *input_of(const conure_observations *o, int32_t layer, const char *part)
{
    char name[96];
    name_of(name, layer, part);
    return json_real(conure_observed_input(o, name));
}

/* NULL without memory: never a list that lacks something. */
static json_t *layers_of(const conure_observations *o)
{
    json_t *list = json_array();
    bool ok = list != NULL;
    for (int32_t i = 0; i < (int32_t)o->n_layers && ok; i++) {
        json_t *layer = json_pack("{s:f, s:f}", "most", o->most[i], "columns", o->columns[i]);
        for (int k = 0; k < N_PARTS && ok; k++)
            ok = json_object_set_new(layer, parts[k], input_of(o, i, parts[k])) == 0;
        ok = json_array_append_new(list, layer) == 0 && ok;
    }
    if (!ok) {
        json_decref(list);
        list = NULL;
    }
    return list;
}

conure_status conure_ranges_dump(const conure_observations *o, const char *model, const char *model_sha256, char **out, conure_error *err)
{
    json_t *front = json_pack("{s:f, s:o}", "most", conure_observed_most(o, -1), "out", input_of(o, -1, NULL));
    json_t *tree = json_pack("{s:i, s:s, s:s, s:I, s:I, s:o, s:o}", "ranges", FORMAT, "model", model, "model_sha256", model_sha256, "utterances",
                             (json_int_t)o->n_utterances, "mel_frames", (json_int_t)o->n_frames, "subsampling", front, "layers", layers_of(o));
    /* Nine digits bring a float back. */
    *out = tree ? json_dumps(tree, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(tree);
    return *out ? CONURE_OK : conure_fail(err, CONURE_NO_MEMORY, "out of memory for ranges");
}

conure_status conure_ranges_write(const conure_observations *o, const conure_model *model, const char *path, conure_error *err)
{
    char sha256[65], *text = NULL;
    conure_status status = conure_model_hash(model, sha256, err);
    if (status == CONURE_OK)
        status = conure_ranges_dump(o, model->name, sha256, &text, err);
    if (status == CONURE_OK)
        status = conure_file_write_line(path, text, err);
    free(text);
    return status;
}

/* ---- reading ---------------------------------------------------------------------------------- */

/* 0 is of what is never used; no network that works has anything near the bounds. */
static conure_status range(const json_t *object, const char *key, float *out, const char *where, conure_error *err)
{
    double x = 0;
    const conure_status status = conure_json_real(object, key, CONURE_REQUIRED, &x, where, err);
    if (status != CONURE_OK)
        return status;
    if (!(x == 0 || (x >= 1 / (double)CONURE_OBSERVED_MOST && x <= (double)CONURE_OBSERVED_MOST)))
        return conure_fail(err, CONURE_BAD_FILE, "%s: %s is %g, expected 0 or 1e-15 to 1e15" AGAIN, where, key, x);
    *out = (float)x;
    return CONURE_OK;
}

static conure_status input(conure_observations *o, const json_t *object, const char *key, int32_t layer, const char *where, conure_error *err)
{
    conure_observed *seen = conure_observations_add(o);
    if (!seen)
        return conure_fail_memory(err, "ranges", sizeof *seen);
    seen->layer = layer;
    name_of(seen->name, layer, key);
    return range(object, key, &seen->input, where, err);
}

static conure_status sized(const json_t *object, size_t n, const char *where, conure_error *err)
{
    if (json_object_size(object) == n)
        return CONURE_OK;
    return conure_fail(err, CONURE_BAD_FILE, "%s has %zu members, expected %zu", where, json_object_size(object), n);
}

static conure_status read_layer(conure_observations *o, const json_t *layer, uint32_t i, const char *where, conure_error *err)
{
    char at[256];
    snprintf(at, sizeof at, "%.200s: layers/%u", where, i);
    if (!json_is_object(layer))
        return conure_fail(err, CONURE_BAD_FILE, "%s is no object", at);
    conure_status status = sized(layer, N_PARTS + 2, at, err);
    if (status == CONURE_OK)
        status = range(layer, "most", &o->most[i], at, err);
    if (status == CONURE_OK)
        status = range(layer, "columns", &o->columns[i], at, err);
    for (int k = 0; k < N_PARTS && status == CONURE_OK; k++)
        status = input(o, layer, parts[k], (int32_t)i, at, err);
    return status;
}

/* What the file says that it is. */
static conure_status check_head(const json_t *tree, const char *model_sha256, const char *where, conure_error *err)
{
    uint32_t format = 0;
    const char *model = "", *sha256 = "";
    char name[64], hash[80];
    conure_status status = sized(tree, 7, where, err);
    if (status == CONURE_OK)
        status = conure_json_u32(tree, "ranges", CONURE_REQUIRED, FORMAT, FORMAT, &format, where, err);
    if (status == CONURE_OK)
        status = conure_json_text(tree, "model", CONURE_REQUIRED, &model, where, err);
    if (status == CONURE_OK)
        status = conure_json_text(tree, "model_sha256", CONURE_REQUIRED, &sha256, where, err);
    if (status == CONURE_OK && strcmp(sha256, model_sha256) != 0)
        return conure_fail(err, CONURE_BAD_FILE, "%s: these are ranges of another model, \"%s\" (%s), and this one is %.16s...: conure export "
                           "ranges -o FILE AUDIO... makes its own", where, conure_quote(name, sizeof name, model, strlen(model)),
                           conure_quote(hash, 24, sha256, strlen(sha256)), model_sha256);
    return status;
}

static conure_status read_tree(conure_observations *o, const json_t *tree, const char *where, conure_error *err)
{
    const json_t *layers = json_object_get(tree, "layers");
    json_t *front = NULL;
    char at[256];
    uint32_t frames = 0;
    snprintf(at, sizeof at, "%.200s: subsampling", where);
    conure_status status = conure_json_u32(tree, "utterances", CONURE_REQUIRED, 1, UINT32_MAX, &o->n_utterances, where, err);
    if (status == CONURE_OK)
        status = conure_json_u32(tree, "mel_frames", CONURE_REQUIRED, 1, UINT32_MAX, &frames, where, err);
    if (status == CONURE_OK)
        status = conure_json_inner(tree, "subsampling", CONURE_REQUIRED, &front, where, err);
    if (status == CONURE_OK)
        status = sized(front, 2, at, err);
    if (status == CONURE_OK)
        status = range(front, "most", &o->most[o->n_layers], at, err);
    if (status == CONURE_OK)
        status = input(o, front, "out", -1, at, err);
    if (status == CONURE_OK && (!json_is_array(layers) || json_array_size(layers) != o->n_layers))
        status = conure_fail(err, CONURE_BAD_FILE, "%s: layers is no list of %u", where, o->n_layers);
    for (uint32_t i = 0; i < o->n_layers && status == CONURE_OK; i++)
        status = read_layer(o, json_array_get(layers, i), i, where, err);
    o->n_frames = frames;
    return status == CONURE_OK ? conure_observations_check(o, where, err) : status;
}

conure_status conure_ranges_parse(conure_observations **out, const char *text, size_t bytes, uint32_t n_layers, const char *model_sha256,
                                  const char *where, conure_error *err)
{
    json_t *tree = NULL;
    *out = NULL;
    if (bytes > CONURE_RANGES_BYTES_MAX)
        return conure_fail(err, CONURE_LIMIT, "%s: %zu bytes, ranges take at most %u", where, bytes, CONURE_RANGES_BYTES_MAX);
    conure_status status = conure_json_object(&tree, text, bytes, where, err);
    if (status == CONURE_OK)
        status = check_head(tree, model_sha256, where, err);
    if (status == CONURE_OK)
        status = conure_observations_open(out, n_layers, err);
    if (status == CONURE_OK)
        status = read_tree(*out, tree, where, err);
    json_decref(tree);
    if (status != CONURE_OK)
        conure_observations_free(out);
    return status;
}

conure_status conure_ranges_read(conure_observations **out, const conure_model *model, const char *path, char sha256[65], conure_error *err)
{
    char own[65], *text = NULL;
    size_t bytes = 0;
    conure_sha256 sha;
    *out = NULL;
    conure_status status = conure_file_read_any(&text, &bytes, path, CONURE_RANGES_BYTES_MAX, err);
    if (status == CONURE_OK)
        status = conure_model_hash(model, own, err);
    if (status == CONURE_OK)
        status = conure_ranges_parse(out, text, bytes, model->config.n_layers, own, path, err);
    if (status == CONURE_OK) {
        conure_sha256_init(&sha);
        conure_sha256_add(&sha, text, bytes);
        conure_sha256_hex(&sha, sha256);
    }
    free(text);
    return status;
}
