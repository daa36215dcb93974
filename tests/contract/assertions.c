/* assertions.c - one step after the other against a contract: what holds is silent, what does not is named and counted, and
 * the policy decides. */
#include "support.h"

#include "contract/assertions.h"

enum { WIDTH = 1024, FRAMES = 73 };
static float values[FRAMES * WIDTH];

/* A step of 593 frames as it should be; step k has kept k + 1 rows. */
static conure_step_facts good(uint64_t step)
{
    return (conure_step_facts){.step = step, .row = 3, .n_frames = 593, .n_valid = 593, .drop_first = 2, .n_out = 73, .n_out_valid = 73,
                               .length_known = true, .length_in = (int64_t)step, .length_out = (int64_t)step + 1, .out = values, .width = WIDTH};
}

static conure_contract flowing(bool keep_negative)
{
    return full_size(&(conure_contract_options){
        .streaming = {.cache_rows = 256, .export_graph = true}, .profiles = "584..593", .keep_negative = keep_negative});
}

static void holds(void)
{
    const conure_contract k = flowing(false);
    conure_assertions a;
    conure_error err = {"untouched"};
    conure_assertions_init(&a, &k, CONURE_POLICY_STOP);
    for (uint64_t step = 0; step < 300; step++) {
        conure_step_facts f = good(step);
        f.length_in = step < 256 ? (int64_t)step : 256;
        f.length_out = step < 255 ? (int64_t)step + 1 : 256;
        test_int(conure_assertions_step(&a, &f, &err), CONURE_ACT_GO_ON);
    }
    test_text(err.text, "untouched");
    for (int rule = 0; rule < CONURE_RULES; rule++) {
        test_int(a.checked[rule], 300);
        test_int(a.violated[rule], 0);
    }
    test_int(a.n_steps, 300);
    test_int(a.n_bad_steps, 0);
    /* what the engine does not tell is not looked at */
    conure_step_facts f = good(0);
    f.length_known = false;
    f.length_out = 77;
    f.out = NULL;
    test_int(conure_assertions_step(&a, &f, &err), CONURE_ACT_GO_ON);
    test_int(a.checked[CONURE_RULE_CACHE_LENGTH], 300);
    test_int(a.checked[CONURE_RULE_FINITE], 300);
    test_int(a.checked[CONURE_RULE_ENCODER_FRAMES], 301);
    /* an engine that cuts to what a step gives; the stream's last step, shorter than any profile */
    f = good(1);
    f.trimmed = true;
    f.n_out = f.n_out_valid = 1;
    test_int(conure_assertions_step(&a, &f, &err), CONURE_ACT_GO_ON);
    f = good(1);
    f.last = true;
    f.n_frames = f.n_valid = 40;
    f.n_out = f.n_out_valid = 3;
    f.length_out = f.length_in;
    test_int(conure_assertions_step(&a, &f, &err), CONURE_ACT_GO_ON);
}

typedef void (*fault)(conure_step_facts *f);

static void off_by_one_length(conure_step_facts *f)
{
    f->n_out_valid = 74;
}
static void one_frame_less(conure_step_facts *f)
{
    f->n_out = 72;
}
static void pinned_at_zero(conure_step_facts *f)
{
    f->length_out = 0;
}
static void too_long(conure_step_facts *f)
{
    f->length_in = 256;
    f->length_out = 257;
}
static void negative(conure_step_facts *f)
{
    f->length_out = -1;
}
static void other_frames(conure_step_facts *f)
{
    f->n_frames = f->n_valid = 594;
    f->n_out = f->n_out_valid = 73;
}
static void not_a_number(conure_step_facts *f)
{
    static float bad[FRAMES * WIDTH];
    bad[5 * WIDTH + 7] = NAN;
    bad[6 * WIDTH] = -INFINITY;
    f->out = bad;
}

static void violations(void)
{
    static const struct {
        fault fault;
        conure_rule rule;
        int n_rules; /* that it breaks */
        const char *says;
    } all[] = {
        {off_by_one_length, CONURE_RULE_ENCODED_LENGTH, 1, "encoded_lengths[3] is 74, expected 73 (step 9, T 593, length 593)"},
        {one_frame_less, CONURE_RULE_ENCODER_FRAMES, 1, "time dimension of encoder_output[3] is 72, expected 73"},
        {pinned_at_zero, CONURE_RULE_CACHE_LENGTH, 1, "cache_last_channel_len_out[3] is 0, expected 10"},
        {too_long, CONURE_RULE_CACHE_RANGE, 2, "cache_last_channel_len_out[3] is 257, expected 256"},
        {negative, CONURE_RULE_CACHE_RANGE, 2, "cache_last_channel_len_out[3] is -1, expected 10"},
        {other_frames, CONURE_RULE_FRAMES_IN, 1, "audio_signal[3] has T = 594"},
        {not_a_number, CONURE_RULE_FINITE, 1, "encoder_output[3], frame 5, channel 7 is nan, expected a finite number; 2 of 74752"},
    };
    const conure_contract k = flowing(false);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (conure_policy policy = CONURE_POLICY_STOP; policy <= CONURE_POLICY_COUNT; policy++) {
            conure_assertions a;
            conure_error err = {""};
            conure_step_facts f = good(9);
            int n_broken = 0;
            conure_assertions_init(&a, &k, policy);
            all[i].fault(&f);
            test_int(conure_assertions_step(&a, &f, &err), policy == CONURE_POLICY_STOP    ? CONURE_ACT_STOP
                                                           : policy == CONURE_POLICY_RESET ? CONURE_ACT_RESET
                                                                                           : CONURE_ACT_GO_ON);
            test_contains(err.text, all[i].says);
            test_int(a.violated[all[i].rule], 1);
            for (int rule = 0; rule < CONURE_RULES; rule++)
                n_broken += a.violated[rule] > 0;
            test_int(n_broken, all[i].n_rules);
            test_int(a.n_bad_steps, 1);
            test_int(a.n_stops, policy == CONURE_POLICY_STOP);
            test_int(a.n_resets, policy == CONURE_POLICY_RESET);
            test_int(a.n_not_finite, all[i].rule == CONURE_RULE_FINITE ? 2 : 0);
            f = good(9);
            test_int(conure_assertions_step(&a, &f, &err), CONURE_ACT_GO_ON);
            test_int(a.n_bad_steps, 1);
            /* without a place for the text all is the same */
            f = good(9);
            all[i].fault(&f);
            test_true((conure_assertions_step(&a, &f, NULL) == CONURE_ACT_GO_ON) == (policy == CONURE_POLICY_COUNT));
        }
}

/* A rule that a contract does not name is not looked at. */
static void left_out(void)
{
    conure_contract k = flowing(false);
    conure_assertions a;
    conure_step_facts f = good(9);
    k.asserts[CONURE_RULE_FINITE] = k.asserts[CONURE_RULE_FRAMES_IN] = false;
    conure_assertions_init(&a, &k, CONURE_POLICY_STOP);
    not_a_number(&f);
    f.n_frames = f.n_valid = 597; /* 75 - 2, as 593 */
    f.n_out = f.n_out_valid = 73;
    test_int(conure_assertions_step(&a, &f, NULL), CONURE_ACT_GO_ON);
    test_int(a.checked[CONURE_RULE_FINITE] + a.checked[CONURE_RULE_FRAMES_IN], 0);
    test_int(a.checked[CONURE_RULE_CACHE_LENGTH], 1);
}

/* 584 frames keep -1 rows: under NeMo's rule a violation though the engine does just what NeMo does; clamped it is none. */
static void negative_keep(void)
{
    for (int nemo = 0; nemo < 2; nemo++) {
        const conure_contract k = flowing(nemo);
        conure_assertions a;
        conure_error err = {""};
        conure_step_facts f = good(0);
        conure_assertions_init(&a, &k, CONURE_POLICY_STOP);
        f.n_frames = f.n_valid = 584;
        f.n_out = f.n_out_valid = 71;
        f.length_in = 5;
        f.length_out = nemo ? 4 : 5;
        test_int(conure_assertions_step(&a, &f, &err), nemo ? CONURE_ACT_STOP : CONURE_ACT_GO_ON);
        test_int(a.violated[CONURE_RULE_KEEP], nemo);
        test_int(a.violated[CONURE_RULE_CACHE_LENGTH], 0);
        if (nemo)
            test_contains(err.text, "rows kept[3] is -1, expected 0");
    }
}

static void counting(void)
{
    static float x[10001];
    size_t first = 99;
    test_int(conure_count_not_finite(x, 0, &first), 0);
    test_int(conure_count_not_finite(x, 10001, &first), 0);
    test_int(first, 99);
    x[1] = 3.4e38f;
    x[2] = -1e-45f;
    test_int(conure_count_not_finite(x, 10001, &first), 0);
    x[10000] = INFINITY;
    test_int(conure_count_not_finite(x, 10001, &first), 1);
    test_int(first, 10000);
    x[4095] = -NAN;
    x[4096] = NAN;
    test_int(conure_count_not_finite(x, 10001, &first), 3);
    test_int(first, 4095);
    test_int(conure_count_not_finite(x, 10001, NULL), 3);
    test_int(conure_count_not_finite(x + 4096, 1, &first), 1);
    test_int(first, 0);
}

static void policies(void)
{
    conure_policy policy = CONURE_POLICY_STOP;
    for (conure_policy p = CONURE_POLICY_STOP; p <= CONURE_POLICY_COUNT; p++) {
        test_true(conure_policy_parse(&policy, conure_policy_name(p)));
        test_int(policy, p);
    }
    test_true(!conure_policy_parse(&policy, "halt"));
}

int main(void)
{
    test_begin("contract.assertions");
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        values[i] = (float)i - 1000;
    holds();
    violations();
    left_out();
    negative_keep();
    counting();
    policies();
    return test_end();
}
