/* parity.c - parity on trial: honest pairs pass, and a candidate that does one thing wrong fails in the mode that can see it.  The
 * wrong ones are the CPU's engine with its chunks changed on the way in or out, which is where a run-time would get them wrong. */
#include "support.h"

#include "clearance/parity.h"

enum { CHUNKS = 12 };

typedef enum fault {
    NONE, SWAPPED_LAYERS, STATE_ONE_STEP_OLD, TIME_ONE_LATE, DRIFT, LENGTH_PINNED, ENCODED_OFF_BY_ONE, NAN_IN_OUTPUT, LEAKS_MASKED_ROWS,
    ONE_CACHE_VALUE, REPLAYS, DIES
} fault;

typedef struct faulty {
    conure_candidate base;
    conure_candidate *honest;
    fault fault;
    conure_chunk older, oldest; /* states of the steps before */
    uint64_t n, n_handed;
} faulty;

static void swap_layers(float *state, size_t floats_per_layer)
{
    for (size_t i = 0; i < floats_per_layer; i++) {
        const float x = state[i];
        state[i] = state[floats_per_layer + i];
        state[floats_per_layer + i] = x;
    }
}

/* On the way from one step to the next. */
static void spoil_state(void *user, conure_chunk *c)
{
    faulty *f = user;
    const conure_contract *k = c->contract;
    if (f->fault == SWAPPED_LAYERS)
        swap_layers(c->channel[0], (size_t)k->streaming.cache_rows * k->d_model);
    if (f->fault == STATE_ONE_STEP_OLD) { /* its caches, but the right length: lengths alone would tell */
        conure_chunk_copy(&f->oldest, CONURE_ROLE_CHANNEL_IN, &f->older, CONURE_ROLE_CHANNEL_IN);
        conure_chunk_copy(&f->older, CONURE_ROLE_CHANNEL_IN, c, CONURE_ROLE_CHANNEL_IN);
        if (f->n_handed++ > 0)
            conure_chunk_copy(c, CONURE_ROLE_CHANNEL_IN, &f->oldest, CONURE_ROLE_CHANNEL_IN);
    }
    if (f->fault == TIME_ONE_LATE)
        for (size_t row = 0; row < (size_t)k->n_layers * k->d_model; row++)
            memmove(c->time[0] + row * k->conv_left + 1, c->time[0] + row * k->conv_left, (k->conv_left - 1) * sizeof(float));
}

static conure_status faulty_step(conure_candidate *base, conure_chunk *c, conure_error *err)
{
    faulty *f = (faulty *)base;
    const conure_contract *k = c->contract;
    conure_chunk *in = c;
    conure_chunk other = {0};
    if (f->fault == DIES && f->n == 3)
        return conure_fail(err, CONURE_BACKEND, "gone");
    if (f->fault == REPLAYS && f->n >= CHUNKS) { /* asked once more about a chunk: what it said before, whatever the state */
        for (conure_role role = CONURE_ROLE_INPUTS; role < CONURE_ROLES; role++)
            conure_chunk_copy(c, role, &f->older, role);
        return CONURE_OK;
    }
    if (f->fault == LEAKS_MASKED_ROWS) {
        conure_error why;
        good(conure_chunk_open(&other, k, &why), &why);
        for (conure_role role = 0; role < CONURE_ROLE_INPUTS; role++)
            conure_chunk_copy(&other, role, c, role);
        other.step = c->step;
        in = &other;
        if (c->cache_length[0] < (int64_t)k->streaming.cache_rows)
            other.channel[0][(size_t)(k->streaming.cache_rows - 1) * k->d_model] += 1e-5f * c->channel[0][0];
    }
    const conure_status status = conure_candidate_step(f->honest, in, err);
    for (conure_role role = CONURE_ROLE_INPUTS; role < CONURE_ROLES && in == &other; role++)
        conure_chunk_copy(c, role, &other, role);
    for (conure_role role = CONURE_ROLE_INPUTS; role < CONURE_ROLES; role++)
        c->has[role] = true;
    if (f->fault == DRIFT)
        c->encoder[7] += 1e-6f * (float)c->index;
    if (f->fault == LENGTH_PINNED)
        c->cache_length[1] = 0;
    if (f->fault == ENCODED_OFF_BY_ONE)
        c->encoded_length++;
    if (f->fault == NAN_IN_OUTPUT && f->n == 4)
        c->encoder[11] = NAN;
    if (f->fault == ONE_CACHE_VALUE && f->n == 2)
        c->channel[1][c->channel_floats - 5] += 0.01f;
    for (conure_role role = CONURE_ROLE_INPUTS; role < CONURE_ROLES && f->fault == REPLAYS; role++)
        conure_chunk_copy(&f->older, role, c, role);
    f->n++;
    conure_chunk_close(&other);
    return status;
}

static void judge(const small *s, fault which, conure_parity_mode mode, uint64_t n_chunks, conure_parity_report *report, conure_status expected)
{
    conure_error err = {""};
    conure_tolerance tolerance;
    conure_source *source;
    conure_candidate *reference = small_engine(s, "cpu:f32");
    faulty f = {.honest = small_engine(s, "cpu:f32@isa=c"), .fault = which};
    const conure_feed feed = {.seed = 42, .n_chunks = n_chunks};
    f.base = (conure_candidate){.step = faulty_step, .contract = &s->contract, .precision = "f32"};
    good(conure_chunk_open(&f.older, &s->contract, &err), &err);
    good(conure_chunk_open(&f.oldest, &s->contract, &err), &err);
    good(conure_tolerance_read(&tolerance, NULL, conure_contract_state_flows(&s->contract), "f32", NULL, &err), &err);
    good(conure_source_live(&source, reference, &feed, &s->contract, &err), &err);
    const conure_parity_options options = {.mode = mode, .tolerance = &tolerance, .hand_over = spoil_state, .hand_over_user = &f};
    test_int(conure_parity_run(report, source, &f.base, &options, &err), expected);
    json_t *summary = conure_parity_summary(report, source, &f.base, &tolerance, NULL, NULL);
    test_true(summary != NULL);
    test_text(json_string_value(json_object_get(summary, "verdict")), conure_verdict_name(report->verdict));
    json_decref(summary);
    conure_source_close(&source);
    conure_candidate_close(&reference);
    conure_candidate_close(&f.honest);
    conure_chunk_close(&f.older);
    conure_chunk_close(&f.oldest);
}

/* The verdict of each mode, and a word of the reason. */
static const struct {
    fault fault;
    uint64_t n_chunks;
    conure_verdict verdicts[2];
    const char *words[2];
} table[] = {
    {NONE, CHUNKS, {CONURE_VERDICT_PASS, CONURE_VERDICT_PASS}, {"", ""}},
    /* The hand-over: functional parity, which feeds the reference's state, cannot see it. */
    {SWAPPED_LAYERS, CHUNKS, {CONURE_VERDICT_PASS, CONURE_VERDICT_FAIL}, {"", "encoder_output"}},
    {STATE_ONE_STEP_OLD, CHUNKS, {CONURE_VERDICT_PASS, CONURE_VERDICT_FAIL}, {"", "encoder_output"}},
    {TIME_ONE_LATE, CHUNKS, {CONURE_VERDICT_PASS, CONURE_VERDICT_FAIL}, {"", "encoder_output"}},
    {DRIFT, 60, {CONURE_VERDICT_PASS, CONURE_VERDICT_FAIL}, {"", "drifts"}},
    {LENGTH_PINNED, CHUNKS, {CONURE_VERDICT_FAIL, CONURE_VERDICT_FAIL}, {"cache_last_channel_len", "cache_last_channel_len"}},
    {ENCODED_OFF_BY_ONE, CHUNKS, {CONURE_VERDICT_FAIL, CONURE_VERDICT_FAIL}, {"encoded_lengths", "encoded_lengths"}},
    {NAN_IN_OUTPUT, CHUNKS, {CONURE_VERDICT_FAIL, CONURE_VERDICT_FAIL}, {"encoder_output", "encoder_output"}},
    {ONE_CACHE_VALUE, CHUNKS, {CONURE_VERDICT_FAIL, CONURE_VERDICT_FAIL}, {"cache_last_channel", "cache_last_channel"}},
    {LEAKS_MASKED_ROWS, 6, {CONURE_VERDICT_FAIL, CONURE_VERDICT_FAIL}, {"masked cache rows", "masked cache rows"}},
    {REPLAYS, CHUNKS, {CONURE_VERDICT_FAIL, CONURE_VERDICT_FAIL}, {"does not reach the output", "does not reach the output"}},
    {DIES, CHUNKS, {CONURE_VERDICT_NOT_JUDGED, CONURE_VERDICT_NOT_JUDGED}, {"", ""}},
};

static void matrix(const small *s)
{
    static conure_parity_report r;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (int mode = 0; mode < 2; mode++) {
            judge(s, table[i].fault, mode, table[i].n_chunks, &r, table[i].fault == DIES ? CONURE_BACKEND : CONURE_OK);
            const bool right = r.verdict == table[i].verdicts[mode];
            bool said = !*table[i].words[mode];
            for (uint32_t n = 0; n < r.n_reasons; n++) {
                said = said || strstr(r.reasons[n], table[i].words[mode]);
                if (!right)
                    fprintf(stderr, "  %s\n", r.reasons[n]);
            }
            test_true(said);
            test_int(r.verdict, table[i].verdicts[mode]);
            if (!right || !said)
                fprintf(stderr, "fault %d, mode %d\n", (int)table[i].fault, mode);
            if (table[i].fault == DIES)
                test_int(r.n_chunks, 3); /* what was found until then is there */
        }
}

/* Evidence: what is measured of an honest engine, and where there is none. */
static void flow(const small *flowing)
{
    static conure_parity_report r;
    small still;
    judge(flowing, NONE, CONURE_PARITY_CLOSED_LOOP, 6, &r, CONURE_OK);
    test_true(r.probed && r.has_masked && r.flows_by_rule);
    test_int(r.length_first, 7); /* 121 frames: 14 rows, of which 7 are look-ahead */
    test_int(r.length_max, 42);
    test_true(r.zeroed_change > 0.01);
    test_near(r.masked_change, 0, 0);
    judge(flowing, NONE, CONURE_PARITY_CLOSED_LOOP, 2, &r, CONURE_OK); /* a line needs three points */
    test_int(r.verdict, CONURE_VERDICT_NOT_PROVEN);
    small_open(&still, false);
    for (int mode = 0; mode < 2; mode++) {
        judge(&still, NONE, mode, 5, &r, CONURE_OK);
        test_int(r.verdict, CONURE_VERDICT_NOT_PROVEN);
        test_contains(r.reasons[0], "not_proven: no state flows");
        test_true(!r.flows_by_rule && !r.probed && r.length_max == 0);
    }
    small_close(&still);
}

int main(void)
{
    small s;
    test_begin("clearance.parity");
    small_open(&s, true);
    matrix(&s);
    flow(&s);
    small_close(&s);
    return test_end();
}
