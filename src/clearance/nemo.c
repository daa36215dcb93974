/* nemo.c - tensors that NeMo stored while it stepped through a graph or its own schedule: PATH.safetensors, PATH.json.
 *
 * Two layouts are read: one that names every slice ("slices", one tensor of encoder outputs for all steps), and one with constant
 * slices ("slice" and "hop", one tensor a step).  Caches are there after some steps only, so that functional parity skips the
 * others.  The contract follows from the case and the model; nothing of it is assumed here. */
#include "clearance/source.h"

#include "base/memory.h"
#include "model/json.h"
#include "model/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS_MAX = 100000, JSON_BYTES_MAX = 16 << 20 };

typedef struct nemo_source {
    conure_source base;
    conure_contract contract;
    conure_map map;
    conure_safetensors st;
    json_t *tree;             /* of PATH.json; the case belongs to it */
    const json_t *one;
    char path[512], name[64];
    conure_tensor features;   /* [mel_bins][columns] */
    conure_chunk chunk;
    uint64_t next;
} nemo_source;

static void nemo_close(conure_source *base)
{
    nemo_source *s = (nemo_source *)base;
    conure_chunk_close(&s->chunk);
    json_decref(s->tree);
    conure_safetensors_close(&s->st);
    conure_map_close(&s->map);
    free(s);
}

static conure_status bad(const nemo_source *s, conure_error *err, const char *what)
{
    return conure_fail(err, CONURE_BAD_FILE, "%s: %s: %s", s->path, s->name, what);
}

/* ---- the case --------------------------------------------------------------------------------- */

/* The object that holds the cases, and what there is of them for a message. */
static conure_status find_case(nemo_source *s, const char *name, conure_error *err)
{
    const json_t *cases = json_object_get(s->tree, "steps");
    conure_buffer list = {0};
    const char *key;
    json_t *value;
    if (!json_is_object(cases))
        cases = s->tree;
    s->one = name ? json_object_get(cases, name) : NULL;
    if (json_is_array(json_object_get(s->one, "cache_len"))) {
        snprintf(s->name, sizeof s->name, "%.63s", name);
        return CONURE_OK;
    }
    json_object_foreach((json_t *)(uintptr_t)cases, key, value)
        if (json_is_array(json_object_get(value, "cache_len")))
            conure_buffer_format(&list, " %.60s", key);
    const conure_status status =
        list.bytes ? conure_fail(err, CONURE_BAD_ARG, "%s: %s%.100s%s it has%.300s", s->path, name ? "no case \"" : "which case?", name ? name : "",
                                 name ? "\":" : "", list.data)
                   : conure_fail(err, CONURE_UNSUPPORTED, "%s: no case of cache-aware stepping in it", s->path);
    conure_buffer_free(&list);
    return status;
}

static conure_status positive(const nemo_source *s, const json_t *object, const char *key, uint32_t *out, conure_error *err)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > 65535) {
        char what[96];
        snprintf(what, sizeof what, "\"%s\" is missing or no number up to 65535", key);
        return bad(s, err, what);
    }
    *out = (uint32_t)json_integer_value(value);
    return CONURE_OK;
}

/* Slice of a step in columns of the features; zeros stand in front of it. */
static bool slice_of(const nemo_source *s, uint64_t k, int64_t *first, int64_t *end, int64_t *zeros)
{
    const json_t *slice = json_array_get(json_object_get(s->one, "slices"), k), *n = json_object_get(s->one, "slice");
    *zeros = 0;
    if (slice) {
        *first = json_integer_value(json_array_get(slice, 0));
        *end = json_integer_value(json_array_get(slice, 1));
        *zeros = json_integer_value(json_array_get(slice, 2));
    } else {
        *first = (int64_t)k * json_integer_value(json_object_get(s->one, "hop"));
        *end = *first + json_integer_value(n);
    }
    const int64_t columns = (int64_t)s->features.shape[1];
    return *first >= 0 && *zeros >= 0 && *zeros <= columns && *first < *end && *end <= columns;
}

static conure_status profiles_of(const nemo_source *s, char *out, size_t cap, conure_error *err)
{
    int64_t range[2][2] = {{INT64_MAX, 0}, {INT64_MAX, 0}};
    for (uint64_t k = 0; k < s->base.n_chunks; k++) {
        int64_t first, end, zeros;
        if (!slice_of(s, k, &first, &end, &zeros))
            return bad(s, err, "a slice lies outside the features");
        const int64_t n = end - first + zeros;
        int64_t *r = range[k > 0];
        r[0] = n < r[0] ? n : r[0];
        r[1] = n > r[1] ? n : r[1];
    }
    const int64_t *later = range[s->base.n_chunks > 1]; /* NeMo may have failed after the first step */
    snprintf(out, cap, "first=%lld..%lld,later=%lld..%lld", (long long)range[0][0], (long long)range[0][1], (long long)later[0],
             (long long)later[1]);
    return CONURE_OK;
}

static conure_status make_contract(nemo_source *s, const conure_model *model, conure_error *err)
{
    const json_t *cfg = json_object_get(s->one, "streaming_cfg");
    const char *api = json_string_value(json_object_get(s->one, "api"));
    uint32_t drop, valid, rows;
    char profiles[128];
    conure_status status = positive(s, cfg ? cfg : s->one, "cache_drop_size", &drop, err);
    if (status == CONURE_OK)
        status = positive(s, cfg ? cfg : s->one, "valid_out_len", &valid, err);
    if (status == CONURE_OK)
        status = cfg ? positive(s, cfg, "last_channel_cache_size", &rows, err) : positive(s, s->one, "cache_rows", &rows, err);
    if (status == CONURE_OK)
        status = profiles_of(s, profiles, sizeof profiles, err);
    if (status != CONURE_OK)
        return status;
    const conure_contract_options o = {
        .streaming = {.chunk = drop + valid, .shift = valid, .cache_rows = rows, .export_graph = !api || strcmp(api, "forward_for_export") == 0},
        .profiles = profiles, .keep_negative = true, .mask_exact = model->config.mask == CONURE_MASK_EXACT};
    return conure_contract_derive_model(&s->contract, model, &o, err);
}

/* ---- tensors ---------------------------------------------------------------------------------- */

/* False when it is absent; BAD_FILE for another type or shape.  A shape of 0 matches any. */
static conure_status tensor(const nemo_source *s, const char *key, uint32_t rank, const uint64_t *shape, conure_tensor *out, bool *there,
                            conure_error *err)
{
    const json_t *entry = json_object_get(s->st.header, key);
    *there = entry != NULL;
    if (!entry)
        return CONURE_OK;
    const conure_status status = conure_safetensors_entry(&s->st, key, entry, out, err);
    if (status != CONURE_OK)
        return status;
    bool same = out->dtype == CONURE_F32 && out->rank == rank;
    for (uint32_t i = 0; i < rank && same; i++)
        same = shape[i] == 0 || out->shape[i] == shape[i];
    return same ? CONURE_OK : conure_fail(err, CONURE_BAD_FILE, "%s: %s: another type or shape than the case implies", s->path, key);
}

static conure_status take_caches(nemo_source *s, uint64_t k, conure_error *err)
{
    conure_chunk *c = &s->chunk;
    const conure_contract *m = &s->contract;
    char key[128];
    conure_tensor t;
    bool there;
    const uint64_t channel[] = {m->n_layers, m->streaming.cache_rows, m->d_model}, time[] = {m->n_layers, m->d_model, m->conv_left};
    snprintf(key, sizeof key, "%s.step%llu.cache_last_channel", s->name, (unsigned long long)k);
    conure_status status = CONURE_OK;
    /* NeMo's own rule can leave fewer rows than the cache has (negative keep); then it fails in the next step */
    conure_prediction p;
    conure_chunk_predict(c, &p);
    if (!p.breaks)
        status = tensor(s, key, 3, channel, &t, &there, err);
    c->has[CONURE_ROLE_CHANNEL_OUT] = status == CONURE_OK && !p.breaks && there;
    if (c->has[CONURE_ROLE_CHANNEL_OUT])
        memcpy(c->channel[1], t.data, t.bytes);
    snprintf(key, sizeof key, "%s.step%llu.cache_last_time", s->name, (unsigned long long)k);
    if (status == CONURE_OK)
        status = tensor(s, key, 3, time, &t, &there, err);
    c->has[CONURE_ROLE_TIME_OUT] = status == CONURE_OK && there;
    if (c->has[CONURE_ROLE_TIME_OUT])
        memcpy(c->time[1], t.data, t.bytes);
    return status;
}

static conure_status take_encoder(nemo_source *s, uint64_t k, conure_error *err)
{
    conure_chunk *c = &s->chunk;
    const uint64_t d = s->contract.d_model, n = s->contract.streaming.valid_out;
    char key[128];
    conure_tensor t;
    bool there;
    snprintf(key, sizeof key, "%s.step%llu.encoder", s->name, (unsigned long long)k);
    conure_status status = tensor(s, key, 2, (const uint64_t[]){d, n}, &t, &there, err);
    const char *data = there ? t.data : NULL;
    if (status == CONURE_OK && !there) {
        snprintf(key, sizeof key, "%s.encoder", s->name);
        status = tensor(s, key, 3, (const uint64_t[]){0, d, n}, &t, &there, err);
        if (status == CONURE_OK && (!there || k >= t.shape[0]))
            return bad(s, err, "a step has no encoder output");
        data = status == CONURE_OK ? (const char *)t.data + k * d * n * sizeof(float) : NULL;
    }
    if (status != CONURE_OK)
        return status;
    c->n_out = (uint32_t)n;
    memcpy(c->encoder, data, d * n * sizeof(float));
    c->has[CONURE_ROLE_ENCODER] = true;
    return CONURE_OK;
}

static void take_features(nemo_source *s, int64_t first, int64_t end, int64_t zeros)
{
    conure_chunk *c = &s->chunk;
    const size_t columns = s->features.shape[1], n = (size_t)(end - first);
    const char *from = s->features.data; /* tensors of the file are not aligned */
    c->n_frames = (uint32_t)(end - first + zeros);
    c->length = c->n_frames;
    for (uint32_t b = 0; b < s->contract.mel_bins; b++) {
        float *to = c->features + (size_t)b * c->n_frames;
        memset(to, 0, (size_t)zeros * sizeof(float));
        memcpy(to + zeros, from + ((size_t)b * columns + (size_t)first) * sizeof(float), n * sizeof(float));
    }
    c->has[CONURE_ROLE_FEATURES] = c->has[CONURE_ROLE_LENGTH] = true;
}

static conure_status nemo_next(conure_source *base, const conure_chunk **chunk, conure_error *err)
{
    nemo_source *s = (nemo_source *)base;
    conure_chunk *c = &s->chunk;
    int64_t first, end, zeros;
    const uint64_t k = s->next;
    *chunk = NULL;
    if (k == s->base.n_chunks)
        return CONURE_END;
    if (k == 0)
        conure_chunk_zero_state(c);
    else
        conure_chunk_carry_state(c, c); /* as far as it is there: has says */
    c->index = c->step = k;
    (void)slice_of(s, k, &first, &end, &zeros);
    take_features(s, first, end, zeros);
    conure_status status = take_encoder(s, k, err);
    if (status == CONURE_OK)
        status = take_caches(s, k, err);
    if (status != CONURE_OK)
        return status;
    const json_t *encoded = json_array_get(json_object_get(s->one, "encoded_len"), k);
    c->has[CONURE_ROLE_ENCODED_LENGTH] = json_is_integer(encoded);
    c->encoded_length = json_integer_value(encoded);
    c->cache_length[1] = json_integer_value(json_array_get(json_object_get(s->one, "cache_len"), k));
    c->has[CONURE_ROLE_CACHE_LENGTH_OUT] = true;
    s->next++;
    *chunk = c;
    return CONURE_OK;
}

/* ---- opening ---------------------------------------------------------------------------------- */

static conure_status open_files(nemo_source *s, const char *path, conure_error *err)
{
    conure_buffer other = {0};
    char *text = NULL;
    size_t bytes = 0;
    const char *dot = strrchr(path, '.');
    snprintf(s->path, sizeof s->path, "%s", path);
    if (!dot || strcmp(dot, ".safetensors") != 0)
        return conure_fail(err, CONURE_BAD_ARG, "%s: NeMo's references are NAME.safetensors with NAME.json beside it", path);
    conure_buffer_add(&other, path, (size_t)(dot - path));
    conure_buffer_text(&other, ".json");
    conure_status status = other.failed ? conure_fail_memory(err, "a path", strlen(path)) : conure_map_open(&s->map, path, err);
    if (status == CONURE_OK)
        status = conure_safetensors_open(&s->st, &s->map, s->path, err);
    if (status == CONURE_OK)
        status = conure_file_read(&text, &bytes, other.data, JSON_BYTES_MAX, err);
    if (status == CONURE_OK)
        status = conure_json_object(&s->tree, text, bytes, other.data, err);
    free(text);
    conure_buffer_free(&other);
    return status;
}

static conure_status open_case(nemo_source *s, const char *name, const conure_model *model, conure_error *err)
{
    bool there;
    conure_status status = find_case(s, name, err);
    if (status == CONURE_OK)
        status = tensor(s, "features", 2, (const uint64_t[]){model->config.mel_bins, 0}, &s->features, &there, err);
    if (status == CONURE_OK && !there)
        status = bad(s, err, "no tensor \"features\"");
    if (status != CONURE_OK)
        return status;
    s->base.n_chunks = json_array_size(json_object_get(s->one, "cache_len"));
    if (s->base.n_chunks == 0 || s->base.n_chunks > STEPS_MAX)
        return bad(s, err, "no steps, or too many");
    status = make_contract(s, model, err);
    return status == CONURE_OK ? conure_chunk_open(&s->chunk, &s->contract, err) : status;
}

conure_status conure_source_nemo(conure_source **out, const char *path, const char *name, const conure_model *model, conure_error *err)
{
    nemo_source *s = calloc(1, sizeof *s);
    conure_sha256 sha;
    *out = NULL;
    if (!s)
        return conure_fail_memory(err, "a source", sizeof *s);
    s->base = (conure_source){.next = nemo_next, .close = nemo_close, .contract = &s->contract};
    conure_status status = open_files(s, path, err);
    if (status == CONURE_OK)
        status = open_case(s, name, model, err);
    if (status != CONURE_OK) {
        nemo_close(&s->base);
        return status;
    }
    conure_sha256_init(&sha);
    conure_sha256_add(&sha, s->map.data, s->map.bytes);
    conure_sha256_hex(&sha, s->base.sha256);
    snprintf(s->base.what, sizeof s->base.what, "NeMo: %.380s, case %s", s->path, s->name);
    *out = &s->base;
    return CONURE_OK;
}
