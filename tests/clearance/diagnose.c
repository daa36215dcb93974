/* diagnose.c - a diagnosis finds what was planted: the place of an error, a mask that leaks, a state that is ignored, an error that
 * stays. */
#include "support.h"

#include "clearance/diagnose.h"
#include "clearance/plot.h"

enum { CHUNK = 3, AFTER = 6, AT_LAYER = 1, AT_CHANNEL = 5, AT_POSITION = 2 };

typedef enum fault { NONE, TIME_VALUE, MASKED_ROW, NOT_FINITE, LEAKS_MASKED_ROWS, IGNORES_STATE, KEEPS_ERRORS } fault;

typedef struct faulty {
    conure_candidate base;
    conure_candidate *honest;
    fault fault;
} faulty;

static conure_status faulty_step(conure_candidate *base, conure_chunk *c, conure_error *err)
{
    faulty *f = (faulty *)base;
    const conure_contract *k = c->contract;
    conure_chunk other;
    conure_error why;
    good(conure_chunk_open(&other, k, &why), &why);
    for (conure_role role = 0; role < CONURE_ROLE_INPUTS; role++)
        conure_chunk_copy(&other, role, c, role);
    other.index = c->index;
    other.step = c->step;
    if (f->fault == LEAKS_MASKED_ROWS)
        other.channel[0][(size_t)(k->streaming.cache_rows - 1) * k->d_model] += 0.1f * c->channel[0][0];
    if (f->fault == IGNORES_STATE)
        conure_chunk_zero_state(&other);
    const conure_status status = conure_candidate_step(f->honest, &other, err);
    for (conure_role role = CONURE_ROLE_INPUTS; role < CONURE_ROLES; role++)
        conure_chunk_copy(c, role, &other, role);
    if (f->fault == TIME_VALUE)
        c->time[1][(AT_LAYER * k->d_model + AT_CHANNEL) * k->conv_left + AT_POSITION] += 0.25f;
    if (f->fault == MASKED_ROW)
        c->channel[1][7] = 0.5f; /* row 0 of layer 0 */
    if (f->fault == NOT_FINITE)
        c->encoder[AT_CHANNEL * c->n_out] = NAN;
    if (f->fault == KEEPS_ERRORS && c->step > 0) /* what was off before a step is off after it */
        c->encoder[0] += c->time[0][0];
    if (f->fault == KEEPS_ERRORS)
        c->time[1][0] = c->step > 0 ? c->time[0][0] : 0;
    conure_chunk_close(&other);
    return status;
}

static json_t *diagnose(const small *s, fault which, const conure_diagnose_options *options, bool live, conure_status expected)
{
    conure_error err = {""};
    conure_source *source;
    conure_candidate *reference = small_engine(s, "cpu:f32");
    faulty f = {.honest = small_engine(s, "cpu:f32@isa=c"), .fault = which};
    const conure_feed feed = {.seed = 42, .n_chunks = CHUNK + AFTER + 1};
    json_t *out = NULL;
    f.base = (conure_candidate){.step = faulty_step, .contract = &s->contract, .precision = "f32", .description = "<faulty>"};
    good(conure_source_live(&source, reference, &feed, &s->contract, &err), &err);
    test_int(conure_diagnose_run(&out, source, &f.base, live ? reference : NULL, options, &err), expected);
    test_true((out != NULL) == (expected == CONURE_OK));
    if (expected != CONURE_OK)
        test_true(err.text[0] != 0);
    else if (err.text[0])
        fprintf(stderr, "%s\n", err.text);
    conure_source_close(&source);
    conure_candidate_close(&reference);
    conure_candidate_close(&f.honest);
    return out;
}

static const conure_diagnose_options plain = {.chunk = CHUNK, .n_after = AFTER, .size = CONURE_DIAGNOSE_SIZE, .seed = 42};

static json_t *at(json_t *j, const char *path)
{
    char words[256], *rest, *word;
    snprintf(words, sizeof words, "%s", path);
    for (word = strtok_r(words, "/", &rest); word; word = strtok_r(NULL, "/", &rest))
        j = word[0] >= '0' && word[0] <= '9' ? json_array_get(j, (size_t)atoi(word)) : json_object_get(j, word);
    if (!j)
        fprintf(stderr, "no %s\n", path);
    return j;
}

static double n(json_t *j, const char *path)
{
    const json_t *value = at(j, path);
    test_true(json_is_number(value));
    return json_number_value(value);
}

static void honest(const small *s)
{
    json_t *d = diagnose(s, NONE, &plain, true, CONURE_OK);
    const double rows = s->contract.streaming.cache_rows, layers = s->contract.n_layers;
    test_near(n(d, "cache_length/in"), 7 * CHUNK, 0);
    test_near(n(d, "cache_length/out"), 7 * CHUNK + 7, 0);
    test_int((long long)json_array_size(at(d, "errors/cache_last_channel/masked")), (long long)rows - 7 * CHUNK - 7);
    test_int((long long)json_array_size(at(d, "errors/cache_last_time/masked")), 0);
    test_near(n(d, "errors/cache_last_channel/all/count"), rows * layers * s->contract.d_model, 0);
    test_near(n(d, "errors/cache_last_channel/valid/count"), (7 * CHUNK + 7) * layers * s->contract.d_model, 0);
    static const char *const tensors[] = {"encoder_output", "cache_last_channel", "cache_last_time"};
    for (size_t i = 0; i < 3; i++) {
        char path[128];
        snprintf(path, sizeof path, "errors/%s/all/max", tensors[i]);
        test_true(n(d, path) > 0 && n(d, path) < 1e-5); /* float32's noise on these models is 2e-6 */
        /* features and time reach every output; masked rows reach none, to the bit */
        for (size_t probe = 0; probe < 5; probe++) {
            snprintf(path, sizeof path, "sensitivity/candidate/%zu/outputs/%s/relative", probe, tensors[i]);
            const double own = n(d, path);
            test_true(probe == 2 ? own == 0 : own > 1e-7 && own < 1);
            snprintf(path, sizeof path, "sensitivity/reference/%zu/outputs/%s/relative", probe, tensors[i]);
            test_near(n(d, path) / (own > 0 ? own : 1), own > 0 ? 1 : 0, 0.05);
        }
    }
    test_int((long long)json_array_size(at(d, "propagation/chunks")), AFTER + 1);
    test_int((long long)json_array_size(at(d, "propagation/candidate/cache_last_time")), AFTER + 1);
    test_true(n(d, "propagation/candidate/encoder_output/0") > 10 * n(d, "propagation/error/encoder_output/0"));
    test_true(n(d, "propagation/candidate/growth/factor") < 1);
    test_near(n(d, "propagation/reference/growth/factor") / n(d, "propagation/candidate/growth/factor"), 1, 0.1);
    json_decref(d);
}

static void finds_places(const small *s)
{
    json_t *d = diagnose(s, TIME_VALUE, &plain, false, CONURE_OK);
    test_near(n(d, "errors/cache_last_time/all/max"), 0.25, 1e-4);
    test_near(n(d, "errors/cache_last_time/all/at/layer"), AT_LAYER, 0);
    test_near(n(d, "errors/cache_last_time/all/at/channel"), AT_CHANNEL, 0);
    test_near(n(d, "errors/cache_last_time/all/at/position"), AT_POSITION, 0);
    test_near(n(d, "errors/cache_last_time/all/by/layer/max/1"), 0.25, 1e-4);
    test_true(n(d, "errors/cache_last_time/all/by/layer/max/0") < 1e-5 && n(d, "errors/cache_last_time/all/by/channel/max/4") < 1e-5);
    test_near(n(d, "errors/cache_last_time/all/table/1/2"), 0.25, 1e-4);
    test_true(n(d, "errors/cache_last_time/all/table/1/1") < 1e-5);
    test_true(json_is_null(at(d, "propagation/reference")) && json_is_null(at(d, "sensitivity/reference")));
    test_true(n(d, "propagation/error/encoder_output/2") > 1e-4); /* the planted one, fed back */
    json_decref(d);

    d = diagnose(s, MASKED_ROW, &plain, false, CONURE_OK);
    test_near(n(d, "errors/cache_last_channel/all/max"), 0.5, 1e-6);
    test_true(n(d, "errors/cache_last_channel/valid/max") < 1e-5);
    test_true(json_is_null(at(d, "errors/cache_last_channel/valid/by/row/max/0")));
    json_decref(d);

    d = diagnose(s, NOT_FINITE, &plain, false, CONURE_OK);
    test_text(json_string_value(at(d, "errors/encoder_output/all/max")), "not finite");
    test_near(n(d, "errors/encoder_output/all/at/channel"), AT_CHANNEL, 0);
    test_text(json_string_value(at(d, "propagation/error/encoder_output/1")), "not finite");
    json_decref(d);
}

static void finds_causes(const small *s)
{
    json_t *d = diagnose(s, LEAKS_MASKED_ROWS, &plain, false, CONURE_OK);
    test_true(n(d, "sensitivity/candidate/2/outputs/encoder_output/max") > 0);
    json_decref(d);

    d = diagnose(s, IGNORES_STATE, &plain, true, CONURE_OK);
    for (size_t probe = 1; probe < 5; probe++) {
        char path[128];
        snprintf(path, sizeof path, "sensitivity/candidate/%zu/outputs/encoder_output/max", probe);
        test_true(n(d, path) == 0);
        snprintf(path, sizeof path, "sensitivity/reference/%zu/outputs/encoder_output/max", probe);
        test_true(probe == 2 || n(d, path) > 0);
    }
    test_true(n(d, "sensitivity/candidate/0/outputs/encoder_output/max") > 0);
    test_true(n(d, "propagation/candidate/encoder_output/0") == 0);
    json_decref(d);

    d = diagnose(s, KEEPS_ERRORS, &plain, true, CONURE_OK);
    const double own = n(d, "propagation/candidate/growth/factor"), honest_one = n(d, "propagation/reference/growth/factor");
    fprintf(stderr, "an error that stays: x%.3g a chunk, the reference's x%.3g\n", own, honest_one);
    test_near(own, 1, 0.1);
    test_true(honest_one < 0.96 && own > 0.99);
    json_decref(d);

    /* An error in the state shows when the candidate feeds itself, and only there. */
    conure_diagnose_options closed = plain;
    closed.closed_loop = true;
    json_t *loop = diagnose(s, TIME_VALUE, &closed, false, CONURE_OK);
    d = diagnose(s, TIME_VALUE, &plain, false, CONURE_OK);
    test_true(n(loop, "errors/encoder_output/all/max") > 1e-4 && n(d, "errors/encoder_output/all/max") < 1e-5);
    json_decref(loop);
    json_decref(d);
}

/* The rule about masked positions, against a reference's own zeros: 8 encoder frames that go on 3 leave no frame for one of 4 positions,
 * and the first step of fewer frames more. */
static void masked_positions(const small *s, uint32_t chunk, uint32_t shift, bool aligned)
{
    small other = {.model = s->model};
    const conure_contract_options o = {.streaming = {.chunk = chunk, .shift = shift, .cache_rows = 64}, .time_cache_aligned = aligned};
    conure_error err = {""};
    uint64_t n_masked = 0;
    good(conure_contract_derive_model(&other.contract, s->model, &o, &err), &err);
    const size_t layers = other.contract.n_layers, d = other.contract.d_model, left = other.contract.conv_left;
    for (uint64_t i = 0; i < 4; i++) {
        conure_candidate *reference = small_engine(&other, "cpu:f32");
        conure_source *source;
        const conure_chunk *last = NULL;
        const conure_feed feed = {.seed = 1, .n_chunks = i + 1};
        conure_diagnose_options options = plain;
        options.chunk = i;
        options.n_after = 0;
        json_t *found = diagnose(&other, NONE, &options, false, CONURE_OK);
        const json_t *masked = at(found, "errors/cache_last_time/masked");
        good(conure_source_live(&source, reference, &feed, &other.contract, &err), &err);
        for (uint64_t c = 0; c <= i; c++)
            good(source->next(source, &last, &err), &err);
        for (size_t p = 0; p < left; p++) {
            bool zero = true, listed = false;
            for (size_t k = 0; k < layers * d; k++)
                zero = zero && last->time[1][k * left + p] == 0;
            for (size_t k = 0; k < json_array_size(masked); k++)
                listed = listed || json_integer_value(json_array_get(masked, k)) == (json_int_t)p;
            test_int(listed, zero);
            n_masked += zero;
        }
        json_decref(found);
        conure_source_close(&source);
        conure_candidate_close(&reference);
    }
    fprintf(stderr, "chunk %u, shift %u: %llu masked positions in 4 steps\n", chunk, shift, (unsigned long long)n_masked);
    test_true(aligned || n_masked > 0);
}

static void refuses(const small *s)
{
    conure_diagnose_options options = plain;
    options.chunk = CHUNK + AFTER + 1;
    diagnose(s, NONE, &options, false, CONURE_BAD_ARG);
    options = plain;
    options.size = 0;
    diagnose(s, NONE, &options, false, CONURE_BAD_ARG);
    options.size = NAN;
    diagnose(s, NONE, &options, false, CONURE_BAD_ARG);
    options = plain;
    options.n_after = 100; /* fewer than asked for are no error */
    json_t *d = diagnose(s, NONE, &options, false, CONURE_OK);
    test_int((long long)json_array_size(at(d, "propagation/chunks")), AFTER + 1);
    json_decref(d);
}

static void drawn(const small *s)
{
    json_t *d = diagnose(s, NONE, &plain, true, CONURE_OK), *nothing = json_object();
    conure_buffer first[CONURE_DIAGNOSE_PLOTS] = {{0}};
    size_t n_drawn = 0;
    for (size_t i = 0; i < CONURE_DIAGNOSE_PLOTS; i++) {
        conure_buffer again = {0}, none = {0};
        const bool has = conure_diagnose_plot(&first[i], d, i);
        test_int(has, conure_diagnose_plot(&again, d, i));
        test_true(!has || (first[i].bytes == again.bytes && memcmp(first[i].data, again.data, again.bytes) == 0));
        test_true(!conure_diagnose_plot(&none, nothing, i) && none.bytes == 0 && !none.failed);
        test_true(has == (first[i].bytes > 0));
        n_drawn += has;
        conure_buffer_free(&again);
    }
    test_int((long long)n_drawn, CONURE_DIAGNOSE_PLOTS - 1); /* one encoder frame a step is no plot */
    /* One value, and the plot of it is another: the first of the layers, the table, a series. */
    json_real_set(at(d, "errors/cache_last_time/all/table/0/0"), 0.5);
    json_real_set(at(d, "propagation/error/encoder_output/1"), 0.5);
    for (size_t i = 0; i < CONURE_DIAGNOSE_PLOTS; i++) {
        conure_buffer other = {0};
        const char *name = conure_diagnose_plot_name(i);
        const bool mine = strcmp(name, "errors_time") == 0 || strcmp(name, "propagation_encoder") == 0;
        (void)conure_diagnose_plot(&other, d, i);
        test_int(other.bytes == first[i].bytes && (other.bytes == 0 || memcmp(other.data, first[i].data, other.bytes) == 0), !mine);
        conure_buffer_free(&other);
    }
    for (size_t i = 0; i < CONURE_DIAGNOSE_PLOTS; i++)
        conure_buffer_free(&first[i]);
    /* A file that somebody edited. */
    static const char *const edited[] = {
        "{\"errors\":{\"cache_last_time\":{\"all\":{\"table\":[[1,2],[3]],\"by\":7},\"valid\":[]},\"cache_last_channel\":{\"all\":{\"table\":{}}}}}",
        "{\"errors\":[],\"sensitivity\":{\"candidate\":[1,null,{\"input\":\"</svg><script>\",\"outputs\":{\"encoder_output\":{\"relative\":\"x\"}}}]}}",
        "{\"propagation\":{\"chunks\":[1,2,\"x\"],\"error\":{\"encoder_output\":[null,{},-1]},\"candidate\":{\"encoder_output\":[1]}}}",
        "{\"sensitivity\":{\"candidate\":[[],[],[],[],[],[],[],[]]}}"};
    for (size_t e = 0; e < sizeof edited / sizeof *edited; e++) {
        json_t *tree = json_loads(edited[e], 0, NULL);
        test_true(tree != NULL);
        for (size_t i = 0; i < CONURE_DIAGNOSE_PLOTS; i++) {
            conure_buffer out = {0};
            const bool has = conure_diagnose_plot(&out, tree, i);
            test_true(has == (out.bytes > 0) && !out.failed && (!has || !strstr(out.data, "<script")));
            conure_buffer_free(&out);
        }
        json_decref(tree);
    }
    json_decref(nothing);
    json_decref(d);
}

int main(void)
{
    test_begin("clearance.diagnose");
    small s;
    small_open(&s, true);
    honest(&s);
    finds_places(&s);
    finds_causes(&s);
    masked_positions(&s, 6, 3, false);
    masked_positions(&s, 6, 6, false);
    masked_positions(&s, 2, 1, false);
    masked_positions(&s, 6, 3, true);
    refuses(&s);
    drawn(&s);
    small_close(&s);
    return test_end();
}
