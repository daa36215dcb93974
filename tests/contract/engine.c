/* engine.c - running engines against contracts: the CPU's keeps them on every profile, precision and instruction set, and one
 * that does something wrong is caught by the check that looks for it.  The wrong ones are the CPU's engine with one call
 * replaced. */
#include "../engine/compare.h"
#include "support.h"

#include "clearance/check.h"

static char model_path[4096];

static conure_contract derived(const conure_model *model, const conure_contract_options *o)
{
    conure_contract k = {.tool = ""};
    conure_error err = {""};
    test_int(conure_contract_derive_model(&k, model, o, &err), CONURE_OK);
    if (err.text[0])
        fprintf(stderr, "%s\n", err.text);
    return k;
}

/* ---- honest ones ------------------------------------------------------------------------------ */

static void honest(const char *model, conure_precision precision, uint32_t n_threads, const char *isa)
{
    static const conure_contract_options all[] = {
        {.streaming = {.chunk = 73, .shift = 1, .cache_rows = 256}},
        {.streaming = {.chunk = 73, .shift = 1, .cache_rows = 256, .export_graph = true}, .profiles = "first=592,later=584,unified=584..592"},
        {.streaming = {.chunk = 8, .shift = 1, .cache_rows = 64, .export_graph = true}, .profiles = "121,58..121", .b_max = 3},
        {.streaming = {.chunk = 6, .shift = 3, .left_chunks = 10}, .b_max = 2, .time_cache_aligned = true, .mask_exact = true},
    };
    char rest[128];
    opened o;
    snprintf(rest, sizeof rest, "models/%s.nemo", model);
    data_path(model_path, sizeof model_path, rest);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!open_engine(&o, model_path, precision, all[i].mask_exact ? CONURE_MASK_EXACT : CONURE_MASK_NEMO, n_threads, isa))
            exit(1); /* it has said why */
        const conure_contract k = derived(o.model, &all[i]);
        const conure_check_options options = {.seed = 42 + i, .n_steps = 6};
        conure_check_report report;
        conure_error err = {""};
        test_int(conure_contract_check_engine(&k, o.engine, o.self, &options, &report, &err), CONURE_OK);
        test_int(report.n_violated, 0);
        test_int(report.n_profiles, k.n_profiles);
        test_int(report.state_flows, i != 1);
        for (size_t n = 0; n < CONURE_RULES + CONURE_CHECKS; n++) {
            test_true(report.items[n].checked > 0); /* nothing is passed over in silence */
            if (report.items[n].violated)
                fprintf(stderr, "%s, contract %zu: %s: %s\n", model, i, report.items[n].id, report.items[n].first);
        }
        close_engine(&o);
    }
}

/* ---- dishonest ones --------------------------------------------------------------------------- */

/* What the wrapped engine does wrong; one at a time. */
typedef enum fault {
    NONE, VALID_OFF_BY_ONE, FRAMES_OFF_BY_ONE, LENGTH_PINNED, LENGTH_BEYOND, NAN_IN_OUTPUT, NAN_IN_CACHE, WRITES_BEYOND, WRITES_LESS,
    CACHE_WRITES_BEYOND, TIME_WRITES_LESS, ROWS_ON_THE_LEFT, OTHER_BITS, IMPORT_LOSES_TIME, IMPORT_LOSES_LENGTH, SAVES_OLD, LOAD_REFUSES, RESET_FORGETS, FAULTS
} fault;

typedef struct wrapped {
    const conure_engine *engine;
    void *self;
    const conure_contract *contract;
    fault fault;
    uint64_t n_calls;
} wrapped;

static conure_status wrong_encode(void *self, conure_encode_row *rows, uint32_t n, conure_error *err)
{
    wrapped *w = self;
    const size_t d = w->contract->d_model;
    const conure_status status = w->engine->encode(w->self, rows, n, err);
    conure_encode_row *row = &rows[n - 1]; /* the last of a batch */
    float *end = row->out + (size_t)row->n_out * d;
    w->n_calls++;
    switch (status == CONURE_OK ? w->fault : NONE) {
    case VALID_OFF_BY_ONE:
        row->n_out_valid++;
        break;
    case FRAMES_OFF_BY_ONE:
        row->n_out--;
        break;
    case NAN_IN_OUTPUT:
        end[-1] = NAN;
        break;
    case WRITES_BEYOND:
        *end = 0;
        break;
    case WRITES_LESS: {
        const uint32_t pattern = 0x7fc0dead;
        memcpy(end - 1, &pattern, sizeof pattern);
        break;
    }
    case OTHER_BITS:
        if (w->n_calls % 5 == 0)
            row->out[0] = nextafterf(row->out[0], 9);
        break;
    default:
        break;
    }
    return status;
}

static conure_status wrong_export(void *self, const conure_state *state, float *channel, float *time, int64_t *length, conure_error *err)
{
    wrapped *w = self;
    const conure_contract *k = w->contract;
    const size_t n = (size_t)k->n_layers * k->streaming.cache_rows * k->d_model, n_time = (size_t)k->n_layers * k->d_model * k->conv_left;
    const conure_status status = w->engine->state_export(w->self, state, channel, time, length, err);
    const uint32_t pattern = 0x7fc0dead;
    switch (status == CONURE_OK ? w->fault : NONE) {
    case LENGTH_PINNED:
        *length = 0;
        break;
    case LENGTH_BEYOND:
        *length = k->streaming.cache_rows + 1;
        break;
    case NAN_IN_CACHE:
        channel[n - 1] = NAN;
        break;
    case CACHE_WRITES_BEYOND:
        channel[n] = 1;
        break;
    case TIME_WRITES_LESS:
        memcpy(&time[n_time - 1], &pattern, sizeof pattern);
        break;
    case ROWS_ON_THE_LEFT:
        if (*length > 0)
            channel[0] = 1;
        break;
    default:
        break;
    }
    return status;
}

static conure_status wrong_import(void *self, conure_state *state, const float *channel, const float *time, int64_t length, conure_error *err)
{
    wrapped *w = self;
    const conure_contract *k = w->contract;
    float *zeros = calloc((size_t)k->n_layers * k->d_model * k->conv_left, sizeof *zeros);
    const bool loses = w->fault == IMPORT_LOSES_TIME;
    const conure_status status = w->engine->state_import(w->self, state, channel, loses && zeros ? zeros : time,
                                                         w->fault == IMPORT_LOSES_LENGTH && length > 0 ? length - 1 : length, err);
    free(zeros);
    return status;
}

static void same_bytes(const void *self, const conure_state *state, size_t *snapshot, size_t *memory)
{
    ((const wrapped *)self)->engine->state_bytes(((const wrapped *)self)->self, state, snapshot, memory);
}

static conure_status same_save(void *self, const conure_state *state, void *dst, conure_error *err)
{
    return ((wrapped *)self)->engine->state_save(((wrapped *)self)->self, state, dst, err);
}

static conure_status wrong_load(void *self, conure_state *state, const void *src, size_t bytes, conure_error *err)
{
    wrapped *w = self;
    if (w->fault == LOAD_REFUSES)
        return conure_fail(err, CONURE_BAD_FILE, "not mine");
    const conure_status status = w->engine->state_load(w->self, state, src, bytes, err);
    if (status == CONURE_OK && w->fault == SAVES_OLD)
        w->engine->state_reset(w->self, state);
    return status;
}

static void wrong_reset(void *self, conure_state *state)
{
    wrapped *w = self;
    if (w->fault != RESET_FORGETS)
        w->engine->state_reset(w->self, state);
}

static conure_status same_open(void *self, conure_state **out, const conure_cache_options *o, conure_error *err)
{
    return ((wrapped *)self)->engine->state_open(((wrapped *)self)->self, out, o, err);
}

static void same_close(void *self, conure_state **state)
{
    ((wrapped *)self)->engine->state_close(((wrapped *)self)->self, state);
}

static const conure_engine wrong = {.name = "wrong", .encode = wrong_encode, .state_open = same_open, .state_close = same_close,
                                    .state_reset = wrong_reset, .state_export = wrong_export, .state_import = wrong_import,
                                    .state_bytes = same_bytes, .state_save = same_save, .state_load = wrong_load};

static uint64_t violated(const conure_check_report *r, const char *id)
{
    for (size_t i = 0; i < CONURE_RULES + CONURE_CHECKS; i++)
        if (strcmp(r->items[i].id, id) == 0)
            return r->items[i].violated;
    return UINT64_MAX;
}

static const char *words(const conure_check_report *r, const char *id)
{
    for (size_t i = 0; i < CONURE_RULES + CONURE_CHECKS; i++)
        if (strcmp(r->items[i].id, id) == 0)
            return r->items[i].first;
    return "";
}

static void dishonest(void)
{
    static const struct {
        fault fault;
        const char *caught_by, *says;
    } all[] = {
        {NONE, NULL, NULL},
        {VALID_OFF_BY_ONE, "encoded_length", "encoded_lengths[1] is"},
        {FRAMES_OFF_BY_ONE, "encoder_frames", "time dimension of encoder_output[1] is"},
        {LENGTH_PINNED, "cache_length", "cache_last_channel_len_out[0] is 0, expected 7"},
        {LENGTH_BEYOND, "cache_range", "cache_last_channel_len_out[0] is 65"},
        {NAN_IN_OUTPUT, "finite", "is nan, expected a finite number"},
        {NAN_IN_CACHE, "cache_finite", "cache_last_channel_out[0]: 1 values are not finite"},
        {WRITES_BEYOND, "shapes", "encoder_output[1]:"},
        {WRITES_LESS, "shapes", "was not written (profile all, step 0)"},
        {CACHE_WRITES_BEYOND, "shapes", "cache_last_channel_out[0]:"},
        {TIME_WRITES_LESS, "shapes", "cache_last_time_out[0]: value"},
        {ROWS_ON_THE_LEFT, "pad_side", "only the last 7 rows are valid"},
        {OTHER_BITS, "repeats", "encoder_output has other bits than before"},
        {IMPORT_LOSES_TIME, "hand_over", "other bits than before"},
        {IMPORT_LOSES_LENGTH, "hand_over", "other bits than before"},
        {SAVES_OLD, "snapshot", "other bits than before"},
        {LOAD_REFUSES, "snapshot", "what the engine gave it does not take back: not mine"},
        {RESET_FORGETS, "reset", "after a reset the length is"},
    };
    opened o;
    test_int(sizeof all / sizeof *all, FAULTS);
    if (!open_engine(&o, data_path(model_path, sizeof model_path, "models/tiny-v3.nemo"), CONURE_PRECISION_F32, CONURE_MASK_NEMO, 1, NULL))
        exit(1);
    const conure_contract k = derived(o.model, &(conure_contract_options){
        .streaming = {.chunk = 8, .shift = 1, .cache_rows = 64, .export_graph = true}, .profiles = "all=121", .b_min = 2, .b_max = 2});
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        wrapped w = {.engine = o.engine, .self = o.self, .contract = &k, .fault = all[i].fault};
        const conure_check_options options = {.seed = 7};
        conure_check_report report;
        conure_error err = {""};
        test_int(conure_contract_check_engine(&k, &wrong, &w, &options, &report, &err), CONURE_OK);
        test_int(report.n_violated > 0, all[i].caught_by != NULL);
        if (!all[i].caught_by)
            continue;
        test_true(violated(&report, all[i].caught_by) > 0);
        test_contains(words(&report, all[i].caught_by), all[i].says);
    }
    /* where the contract does not promise the same bits, they may differ */
    conure_contract loose = k;
    loose.repeatable = false;
    wrapped w = {.engine = o.engine, .self = o.self, .contract = &loose, .fault = OTHER_BITS};
    const conure_check_options options = {.seed = 7};
    conure_check_report report;
    test_int(conure_contract_check_engine(&loose, &wrong, &w, &options, &report, NULL), CONURE_OK);
    test_int(report.n_violated, 0);
    test_int(violated(&report, "repeats"), 0);
    close_engine(&o);
}

/* ---- what ends early -------------------------------------------------------------------------- */

static bool stop(void *user, double fraction)
{
    (void)fraction;
    return ++*(int *)user < 3;
}

static void ends(void)
{
    opened o;
    if (!open_engine(&o, data_path(model_path, sizeof model_path, "models/tiny-v3.nemo"), CONURE_PRECISION_F32, CONURE_MASK_NEMO, 1, NULL))
        exit(1);
    conure_check_report report;
    conure_error err = {""};
    /* 584 under NeMo's rule: -1 row; the engine does what NeMo does, and every such step is a violation */
    conure_contract k = derived(o.model, &(conure_contract_options){
        .streaming = {.chunk = 73, .shift = 1, .cache_rows = 256, .export_graph = true}, .profiles = "584", .keep_negative = true});
    conure_check_options options = {.seed = 1};
    test_int(conure_contract_check_engine(&k, o.engine, o.self, &options, &report, &err), CONURE_OK);
    test_int(report.n_violated, 2);
    test_int(violated(&report, "keep"), 4);
    test_int(violated(&report, "cache_range"), 4);
    test_int(violated(&report, "cache_length"), 0);
    test_int(report.profiles[0].n_steps, 1); /* NeMo cannot make a second one, nor need the engine */
    test_int(report.profiles[0].length_out, -1);
    /* cancelled, in two ways */
    k = derived(o.model, &(conure_contract_options){.streaming = {.chunk = 6, .shift = 3, .cache_rows = 64}});
    int calls = 0;
    options = (conure_check_options){.progress = stop, .progress_user = &calls};
    test_int(conure_contract_check_engine(&k, o.engine, o.self, &options, &report, &err), CONURE_CANCELLED);
    test_int(calls, 3);
    const volatile int yes = 1;
    options = (conure_check_options){.cancel = &yes};
    test_int(conure_contract_check_engine(&k, o.engine, o.self, &options, &report, &err), CONURE_CANCELLED);
    /* batches that are not checked */
    k = derived(o.model, &(conure_contract_options){.streaming = {.chunk = 6, .shift = 3, .cache_rows = 64}, .b_min = 8, .b_max = 8});
    options = (conure_check_options){.seed = 1};
    test_int(conure_contract_check_engine(&k, o.engine, o.self, &options, &report, &err), CONURE_UNSUPPORTED);
    test_contains(err.text, "at least 8");
    close_engine(&o);
}

int main(void)
{
    test_begin("contract.engine");
    honest("tiny-v3", CONURE_PRECISION_F32, 2, NULL);
    honest("tiny-v3", CONURE_PRECISION_F32, 1, "c");
    honest("tiny-v3", CONURE_PRECISION_INT8, 2, NULL);
    honest("tiny-v3", CONURE_PRECISION_BF16, 1, NULL);
    honest("tiny-alt", CONURE_PRECISION_F32, 2, NULL);
    dishonest();
    ends();
    return test_end();
}
