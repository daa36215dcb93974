/* golden.c - lengths that NeMo itself gave, step by step, against what the rule predicts: seven ways to drive the encoder, two of
 * which go wrong in NeMo. */
#include "../golden.h"
#include "support.h"

#include <jansson.h>

static void pair(const json_t *from, const char *key, uint32_t out[2])
{
    for (size_t i = 0; i < 2; i++)
        out[i] = (uint32_t)json_integer_value(json_array_get(json_object_get(from, key), i));
}

static uint32_t number(const json_t *from, const char *key)
{
    return (uint32_t)json_integer_value(json_object_get(from, key));
}

static int64_t entry(const json_t *from, const char *key, size_t i)
{
    return json_integer_value(json_array_get(json_object_get(from, key), i));
}

/* NeMo's own streaming_cfg as a contract; what a graph drops is the same on every step. */
static conure_contract contract_of(const json_t *one, bool graph)
{
    const json_t *cfg = json_object_get(one, "streaming_cfg");
    conure_contract k = full_size(&(conure_contract_options){.streaming = {.cache_rows = 256}, .keep_negative = true});
    conure_streaming *s = &k.streaming;
    pair(cfg, "chunk_size", s->chunk_frames);
    pair(cfg, "shift_size", s->shift_frames);
    pair(cfg, "pre_encode_cache_size", s->front_frames);
    s->drop_extra[1] = number(cfg, "drop_extra_pre_encoded");
    s->drop_extra[0] = graph ? s->drop_extra[1] : 0;
    s->cache_rows = number(cfg, "last_channel_cache_size");
    s->cache_drop = number(cfg, "cache_drop_size");
    s->valid_out = number(cfg, "valid_out_len");
    return k;
}

static int drive(const char *name, const json_t *one)
{
    const bool graph = strcmp(json_string_value(json_object_get(one, "api")), "forward_for_export") == 0;
    const conure_contract k = contract_of(one, graph);
    const json_t *slices = json_object_get(one, "slices"), *lengths = json_object_get(one, "cache_len");
    const size_t n = json_array_size(lengths);
    const bool fails = json_is_string(json_object_get(one, "error"));
    int64_t length = 0;
    conure_prediction p = {.rows = 0};
    for (size_t i = 0; i < n; i++) {
        const json_t *slice = json_array_get(slices, i);
        const uint32_t frames = (uint32_t)(json_integer_value(json_array_get(slice, 1)) - json_integer_value(json_array_get(slice, 0)) +
                                           json_integer_value(json_array_get(slice, 2)));
        conure_contract_predict(&k, i == 0, frames, frames, length, false, &p);
        test_int(p.rows, entry(one, "unclipped_len", i));
        test_int(p.encoded_length, entry(one, "encoded_len", i));
        test_int(p.length_out, entry(one, "cache_len", i));
        length = p.length_out;
        if (p.length_out != entry(one, "cache_len", i))
            fprintf(stderr, "%s, step %zu\n", name, i);
    }
    /* where NeMo fails in the next step is where the cache lost rows */
    test_int(p.breaks, fails);
    return (int)n;
}

/* What NeMo derived on its own from chunk and shift, and from the attention context (8 layers). */
static void derived(const json_t *root)
{
    static const struct {
        const char *name;
        conure_streaming_options o;
        uint32_t n_layers;
    } cases[] = {
        {"stepS6F3", {.chunk = 6, .shift = 3, .left_chunks = 10}, 8},
        {"stepdefault", {.cache_rows = 64}, 8},
        {"export592", {.cache_rows = 64}, 24},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const json_t *one = json_object_get(root, cases[i].name);
        const conure_contract want = contract_of(one, false);
        conure_config config;
        conure_streaming got;
        test_true(one);
        test_int(conure_config_preset(&config, "parakeet-tdt-0.6b-v3", NULL), CONURE_OK);
        config.n_layers = cases[i].n_layers;
        test_int(conure_streaming_derive(&got, &config, &cases[i].o, NULL), CONURE_OK);
        test_int(memcmp(&got, &want.streaming, sizeof got), 0);
    }
}

/* The small models' steps: one slice length each. */
static int small(const char *rest)
{
    char path[4096];
    int n = 0;
    const char *name;
    json_t *one;
    json_t *root = json_load_file(shared_path(path, sizeof path, rest), 0, NULL);
    test_true(root);
    json_object_foreach(json_object_get(root, "steps"), name, one)
    {
        conure_contract k = full_size(&(conure_contract_options){.streaming = {.cache_rows = 256, .export_graph = true}});
        int64_t length = 0;
        k.streaming.cache_rows = number(one, "cache_rows");
        k.streaming.cache_drop = number(one, "cache_drop_size");
        k.streaming.valid_out = number(one, "valid_out_len");
        const size_t n_steps = json_array_size(json_object_get(one, "cache_len"));
        for (size_t i = 0; i < n_steps; i++, n++) {
            conure_prediction p;
            conure_contract_predict(&k, i == 0, number(one, "slice"), number(one, "slice"), length, false, &p);
            test_int(p.encoded_length, entry(one, "encoded_len", i));
            test_int(p.length_out, entry(one, "cache_len", i));
            length = p.length_out;
        }
    }
    json_decref(root);
    return n;
}

int main(void)
{
    char path[4096];
    test_begin("contract.golden");
    if (!shared_path(path, sizeof path, "golden/stream-cache.json"))
        return test_skip("no ../shared");
    json_t *root = json_load_file(path, 0, NULL);
    int n_cases = 0, n_steps = 0;
    const char *name;
    json_t *one;
    test_true(root);
    json_object_foreach(root, name, one)
    {
        n_steps += drive(name, one);
        n_cases++;
    }
    test_int(n_cases, 7);
    test_int(n_steps, 121);
    derived(root);
    json_decref(root);
    test_true(small("golden/tiny-v3.golden.json") > 30);
    test_true(small("golden/tiny-alt.golden.json") > 30);
    return test_end();
}
