/* rules.c - from streaming configurations to frames and rows, against the worked numbers of NeMo's own arithmetic. */
#include "support.h"

typedef struct setup {
    int32_t left, right;
    bool chunked_limited, causal;
    uint32_t chunk, shift, left_chunks, cache_rows;
    /* expected */
    uint32_t chunks[2], shifts[2], drop, valid, cache;
} setup;

/* Rows that were seen with NeMo itself (24 layers). */
static const setup setups[] = {
    {-1, -1, false, false, 0, 0, 0, 256, {577, 584}, {1, 8}, 72, 1, 256},
    {-1, -1, false, false, 0, 0, 0, 10000, {577, 584}, {1, 8}, 72, 1, 10000},
    {-1, -1, false, false, 6, 3, 10, 0, {41, 48}, {17, 24}, 3, 3, 60},
    {-1, -1, false, false, 6, 6, 2, 0, {41, 48}, {41, 48}, 0, 6, 12},
    {256, 0, false, false, 0, 0, 0, 0, {769, 776}, {1, 8}, 96, 1, 256},
    {256, 1, false, false, 0, 0, 0, 0, {961, 968}, {1, 8}, 120, 1, 256},
    {256, -1, false, false, 0, 0, 0, 0, {577, 584}, {1, 8}, 72, 1, 256},
    {256, 0, false, true, 0, 0, 0, 0, {1, 8}, {1, 8}, 0, 1, 256},
    {256, 3, false, true, 0, 0, 0, 0, {577, 584}, {1, 8}, 72, 1, 256},
    {70, 13, true, false, 0, 0, 0, 0, {105, 112}, {105, 112}, 0, 14, 70},
    {70, 0, true, false, 0, 0, 0, 0, {1, 8}, {1, 8}, 0, 1, 70},
};

static void derives(void)
{
    for (size_t i = 0; i < sizeof setups / sizeof *setups; i++) {
        const setup *s = &setups[i];
        conure_config config;
        conure_streaming got;
        conure_error err = {""};
        test_int(conure_config_preset(&config, "parakeet-tdt-0.6b-v3", &err), CONURE_OK);
        config.att_left = s->left;
        config.att_right = s->right;
        config.att_style = s->chunked_limited ? CONURE_CHUNKED_LIMITED : CONURE_REGULAR;
        config.conv_right = s->causal ? 0 : config.conv_right;
        const conure_streaming_options o = {.chunk = s->chunk, .shift = s->shift, .left_chunks = s->left_chunks, .cache_rows = s->cache_rows};
        test_int(conure_streaming_derive(&got, &config, &o, &err), CONURE_OK);
        for (int k = 0; k < 2; k++) {
            test_int(got.chunk_frames[k], s->chunks[k]);
            test_int(got.shift_frames[k], s->shifts[k]);
            test_int(got.front_frames[k], k ? 9 : 0);
            test_int(got.drop_extra[k], k ? 2 : 0);
        }
        test_int(got.cache_drop, s->drop);
        test_int(got.valid_out, s->valid);
        test_int(got.cache_rows, s->cache);
    }
}

static void refuses(void)
{
    static const struct {
        int32_t left, right;
        bool chunked_limited;
        conure_streaming_options o;
        conure_status status;
        const char *says;
    } bad[] = {
        {-1, -1, false, {0}, CONURE_BAD_ARG, "name the rows of the cache"},
        {256, 13, true, {0}, CONURE_UNSUPPORTED, "multiple"},
        {-1, -1, false, {.chunk = 6, .shift = 7, .cache_rows = 8}, CONURE_BAD_ARG, "shift 7"},
        {-1, -1, false, {.chunk = 6, .shift = 0, .cache_rows = 8}, CONURE_BAD_ARG, "1 <= shift"},
        {-1, -1, false, {.chunk = 70000, .shift = 1, .cache_rows = 8}, CONURE_BAD_ARG, "70000"},
        {-1, -1, false, {.shift = 3, .cache_rows = 8}, CONURE_BAD_ARG, "without a chunk"},
        {-1, -1, false, {.left_chunks = 3, .cache_rows = 8}, CONURE_BAD_ARG, "without a chunk"},
        {-1, -1, true, {.cache_rows = 8}, CONURE_UNSUPPORTED, "look-ahead of -1"},
        {256, 1000000, false, {0}, CONURE_UNSUPPORTED, "look-ahead"},
        {-1, -1, false, {.cache_rows = 1u << 30}, CONURE_BAD_ARG, "at most"},
        {-1, -1, false, {.chunk = 65535, .shift = 65535, .left_chunks = 4000000000u}, CONURE_BAD_ARG, "at most"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        conure_config config;
        conure_streaming got;
        conure_error err = {""};
        conure_config_preset(&config, "parakeet-tdt-0.6b-v3", &err);
        config.att_left = bad[i].left;
        config.att_right = bad[i].right;
        config.att_style = bad[i].chunked_limited ? CONURE_CHUNKED_LIMITED : CONURE_REGULAR;
        test_int(conure_streaming_derive(&got, &config, &bad[i].o, &err), bad[i].status);
        test_contains(err.text, bad[i].says);
    }
}

/* One step: frames and drop_extra in, rows and lengths out. */
static void predicts(void)
{
    static const struct {
        bool export_graph, first;
        uint32_t n_frames, rows;
        int64_t keep;
    } steps[] = {
        {false, true, 577, 73, 1},  {false, false, 593, 73, 1}, {true, true, 577, 71, -1}, {true, false, 584, 71, -1},
        {true, true, 585, 72, 0},   {true, false, 592, 72, 0},  {true, false, 593, 73, 1}, {true, false, 640, 78, 6},
        {true, false, 16, 0, -72},  {true, false, 8, 0, -72},   {false, true, 1, 1, -71},
    };
    for (int nemo = 0; nemo < 2; nemo++)
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
            const conure_contract k = full_size(&(conure_contract_options){
                .streaming = {.cache_rows = 256, .export_graph = steps[i].export_graph}, .profiles = "593", .keep_negative = nemo});
            conure_prediction p;
            const int64_t keep = nemo || steps[i].keep > 0 ? steps[i].keep : 0;
            conure_contract_predict(&k, steps[i].first, steps[i].n_frames, steps[i].n_frames, 10, false, &p);
            test_int(p.t_sub, (steps[i].n_frames + 7) / 8);
            test_int(p.rows, steps[i].rows);
            test_int(p.valid, steps[i].rows);
            test_int(p.keep, keep);
            test_int(p.length_out, 10 + keep);
            test_int(p.encoder_frames, steps[i].rows ? 1 : 0);
            test_int(p.breaks, keep < 0);
        }
}

static void edges(void)
{
    const conure_contract k = full_size(&(conure_contract_options){.streaming = {.chunk = 6, .shift = 3, .left_chunks = 10}});
    conure_prediction p;
    int64_t length = 0;
    static const int64_t want[] = {3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 42, 45, 48, 51, 54, 57, 60, 60, 60};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        conure_contract_predict(&k, i == 0, i == 0 ? 41 : 57, i == 0 ? 41 : 57, length, false, &p);
        length = p.length_out;
        test_int(p.rows, 6);
        test_int(p.encoder_frames, 3);
        test_int(p.encoded_length, 3);
        test_int(length, want[i]);
    }
    /* padding counts as kept, as in NeMo, and not as valid */
    conure_contract_predict(&k, false, 57, 20, 0, false, &p);
    test_int(p.rows, 6);
    test_int(p.valid, 1);
    test_int(p.encoded_length, 1);
    test_int(p.length_out, 3);
    /* the last step gives all */
    conure_contract_predict(&k, false, 57, 41, 0, true, &p);
    test_int(p.encoder_frames, 6);
    test_int(p.encoded_length, 4);
    /* lengths that no engine should come up with */
    conure_contract_predict(&k, false, 57, 57, INT64_MAX, false, &p);
    test_int(p.length_out, 60);
    conure_contract_predict(&k, false, 57, 57, INT64_MIN, false, &p);
    test_int(p.length_out, INT64_MIN + 3);
    conure_contract_predict(&k, false, UINT32_MAX, UINT32_MAX, 0, false, &p);
    test_int(p.t_sub, 536870912);
}

static void profiles(void)
{
    conure_contract k = full_size(&published);
    test_int(k.n_profiles, 3);
    test_int(conure_contract_state_flows(&k), false);
    test_int(conure_contract_accepts(&k, true, 592), true);
    test_int(conure_contract_accepts(&k, true, 588), true); /* unified */
    test_int(conure_contract_accepts(&k, true, 593), false);
    k.n_profiles = 2;
    test_int(conure_contract_accepts(&k, true, 584), false);
    test_int(conure_contract_accepts(&k, false, 584), true);
    test_int(conure_contract_accepts(&k, false, 592), false);
    k = full_size(&(conure_contract_options){.streaming = {.chunk = 6, .shift = 3, .cache_rows = 256}});
    test_int(k.n_profiles, 2);
    test_int(k.profiles[0].t_max, 41);
    test_int(k.profiles[1].t_max, 57);
    test_int(conure_contract_state_flows(&k), true);
    k = full_size(&(conure_contract_options){.streaming = {.chunk = 6, .shift = 3, .cache_rows = 256, .export_graph = true}, .b_max = 8});
    test_int(k.n_profiles, 1);
    test_int(k.profiles[0].t_min, 57);
    test_int(k.profiles[0].b_max, 8);
    conure_cache_options o;
    conure_contract_cache_options(&k, &o);
    test_int(o.cache_rows, 256);
    test_int(o.drop_rows, 3);
    test_int(o.keep_negative || o.time_cache_aligned || o.kv_bf16, false);
    test_int(o.keep_rows, true);
}

int main(void)
{
    test_begin("contract.rules");
    derives();
    refuses();
    predicts();
    edges();
    profiles();
    for (conure_rule rule = 0; rule < CONURE_RULES; rule++)
        test_true(conure_rule_id(rule)[0] && conure_rule_what(rule)[0]);
    return test_end();
}
