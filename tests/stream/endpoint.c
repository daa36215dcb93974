/* Ends of utterances: by hand, against the definition worked out anew for each frame, and in any portions. */
#include "stream/endpoint.h"

#include "test.h"

enum { FRAMES_MAX = 600, TOKENS_MAX = 100, ENDS_MAX = FRAMES_MAX };

typedef struct stream {
    conure_token tokens[TOKENS_MAX];
    float level_db[FRAMES_MAX];
    uint32_t n_frames, n_tokens;
    bool levels;
} stream;

typedef struct ends {
    uint64_t frames[ENDS_MAX];
    uint32_t rules[ENDS_MAX], n;
} ends;

static conure_endpoint_rules plan(double rule1, double rule2, double rule3, double energy_db)
{
    const conure_endpoint_options o = {rule1, rule2, rule3, energy_db};
    conure_endpoint_rules rules;
    test_int(conure_endpoint_plan(&rules, &o, 0.08, NULL), CONURE_OK);
    return rules;
}

/* In steps of at most so many frames, random ones with a seed; the state goes through copies of its bytes. */
static void run(ends *out, const conure_endpoint_rules *rules, const stream *s, uint32_t step_max, uint64_t *seed)
{
    conure_endpoint e = {0};
    uint32_t frame = 0, token = 0;

    out->n = 0;
    while (frame < s->n_frames) {
        const uint32_t n = seed ? (uint32_t)(test_random(seed) % (step_max + 1)) : step_max;
        const uint32_t end = n < s->n_frames - frame ? frame + n : s->n_frames;
        while (frame < end) {
            uint32_t n_tokens = 0, used_frames, used_tokens;
            while (token + n_tokens < s->n_tokens && s->tokens[token + n_tokens].frame < end)
                n_tokens++;
            const conure_endpoint_frames frames = {end - frame, s->tokens + token, n_tokens,
                                                   s->levels ? s->level_db + frame : NULL};
            uint8_t bytes[sizeof e];
            memcpy(bytes, &e, sizeof e);
            memset(&e, 0xff, sizeof e);
            memcpy(&e, bytes, sizeof e);
            const uint32_t rule = conure_endpoint_run(rules, &e, &frames, &used_frames, &used_tokens);
            frame += used_frames;
            token += used_tokens;
            test_int(e.frame, frame);
            if (rule) {
                out->frames[out->n] = e.frame;
                out->rules[out->n++] = rule;
            }
        }
    }
}

static void expect(const conure_endpoint_rules *rules, const stream *s, const ends *want)
{
    ends got;
    run(&got, rules, s, s->n_frames, NULL);
    test_int(got.n, want->n);
    for (uint32_t i = 0; i < got.n && i < want->n; i++) {
        test_int(got.frames[i], want->frames[i]);
        test_int(got.rules[i], want->rules[i]);
    }
}

static void test_by_hand(void)
{
    conure_endpoint_options o;
    conure_endpoint_rules rules;
    static stream s;

    conure_endpoint_options_init(&o);
    test_int(conure_endpoint_plan(&rules, &o, 0.08, NULL), CONURE_OK);
    test_int(rules.silence1_frames, 30);
    test_int(rules.silence2_frames, 15);
    test_int(rules.length3_frames, 250);

    s = (stream){.n_frames = 100};
    expect(&rules, &s, &(ends){{30, 60, 90}, {1, 1, 1}, 3}); /* nothing said */
    s = (stream){.tokens = {{.frame = 10, .duration = 4}, {.frame = 20, .duration = 0}}, .n_tokens = 2, .n_frames = 100};
    expect(&rules, &s, &(ends){{36, 66, 96}, {2, 1, 1}, 3}); /* 21 + 15, then silence again */
    s.tokens[1].duration = 4;
    expect(&rules, &s, &(ends){{39, 69, 99}, {2, 1, 1}, 3});
    s = (stream){.n_frames = 600, .n_tokens = 60};
    for (uint32_t i = 0; i < 60; i++)
        s.tokens[i] = (conure_token){.frame = 10 * i, .duration = 3};
    expect(&rules, &s, &(ends){{250, 500}, {3, 3}, 2}); /* no pause at all */
    rules = plan(0, 1.2, 0, 0);
    s = (stream){.n_frames = 600};
    expect(&rules, &s, &(ends){.n = 0});
    rules = plan(0.01, 0, 0, 0);
    s.n_frames = 2;
    expect(&rules, &s, &(ends){{1, 2}, {1, 1}, 2}); /* at least a frame */
}

/* Speech at -20 dB, then something at -35 dB without tokens, then -70 dB. */
static void test_energy(void)
{
    static stream s;
    s = (stream){.tokens = {{.frame = 5, .duration = 4}}, .n_tokens = 1, .n_frames = 100, .levels = true};
    for (int i = 0; i < 100; i++)
        s.level_db[i] = i < 5 ? -70 : i < 10 ? -20 : i < 50 ? -35 : -70;
    conure_endpoint_rules rules = plan(0, 1.2, 0, 0);
    expect(&rules, &s, &(ends){{24}, {2}, 1});
    rules = plan(0, 1.2, 0, 30);
    expect(&rules, &s, &(ends){{65}, {2}, 1});
    rules = plan(0, 1.2, 0, 10);
    expect(&rules, &s, &(ends){{25}, {2}, 1}); /* frame 9 was loud, and no token's */
    s.levels = false;
    expect(&rules, &s, &(ends){{24}, {2}, 1});
    /* noise before anything was said is no speech */
    s.levels = true;
    s.n_tokens = 0;
    rules = plan(2.4, 1.2, 0, 30);
    expect(&rules, &s, &(ends){{30, 60, 90}, {1, 1, 1}, 3});
}

/* The rules as endpoint.h tells them, anew for each frame. */
static void by_definition(ends *out, const conure_endpoint_rules *r, const stream *s)
{
    uint64_t start = 0;
    out->n = 0;
    for (uint64_t n = 1; n <= s->n_frames; n++) {
        uint64_t quiet = start, covered = 0;
        uint32_t at = 0, rule = 0;
        bool spoken = false, has_level = false;
        double level = 0;
        for (uint64_t f = 0; f < n; f++) {
            for (; at < s->n_tokens && s->tokens[at].frame == f; at++) {
                const uint64_t end = f + (s->tokens[at].duration ? s->tokens[at].duration : 1);
                covered = end > covered ? end : covered;
                spoken = spoken || f >= start;
            }
            if (!s->levels || r->energy_db <= 0)
                continue;
            if (f < covered) {
                level = fmax(has_level ? level - 0.08 : -1e9, (double)s->level_db[f]);
                has_level = true;
            }
            if (has_level && s->level_db[f] > level - r->energy_db)
                quiet = f + 1 > quiet ? f + 1 : quiet;
        }
        quiet = covered > quiet ? covered : quiet;
        const uint64_t silence = n > quiet ? n - quiet : 0;
        if (r->silence1_frames && silence >= r->silence1_frames)
            rule = 1;
        else if (r->silence2_frames && spoken && silence >= r->silence2_frames)
            rule = 2;
        else if (r->length3_frames && n - start >= r->length3_frames)
            rule = 3;
        if (rule) {
            out->frames[out->n] = start = n;
            out->rules[out->n++] = rule;
        }
    }
}

static void random_stream(stream *s, uint64_t *seed)
{
    const uint32_t gap = 1 + (uint32_t)(test_random(seed) % 30);
    *s = (stream){.n_frames = (uint32_t)(test_random(seed) % FRAMES_MAX), .levels = test_random(seed) & 1};
    for (uint32_t i = 0; i < s->n_frames; i++)
        s->level_db[i] = test_uniform(seed, -80, test_random(seed) % 8 ? -60 : -10);
    for (uint32_t f = 0; s->n_tokens < TOKENS_MAX; s->n_tokens++) {
        f += (uint32_t)(test_random(seed) % (test_random(seed) % 8 ? gap : 100));
        if (f >= s->n_frames)
            break;
        s->tokens[s->n_tokens] = (conure_token){.frame = f, .duration = (uint32_t)(test_random(seed) % 5)};
    }
}

static bool same_ends(const ends *a, const ends *b)
{
    return a->n == b->n && memcmp(a->frames, b->frames, a->n * sizeof *a->frames) == 0 &&
           memcmp(a->rules, b->rules, a->n * sizeof *a->rules) == 0;
}

static void test_portions(void)
{
    static stream s;
    static ends whole, parts, defined;

    for (uint64_t start = 1; start <= 300; start++) {
        uint64_t seed = start * 0x9E3779B97F4A7C15ull;
        const conure_endpoint_rules rules =
            plan(test_random(&seed) % 4 ? test_uniform(&seed, 0, 4) : 0, test_random(&seed) % 4 ? test_uniform(&seed, 0, 2) : 0,
                 test_random(&seed) % 4 ? test_uniform(&seed, 0, 20) : 0, test_random(&seed) % 2 ? 30 : 0);
        random_stream(&s, &seed);
        by_definition(&defined, &rules, &s);
        run(&whole, &rules, &s, s.n_frames, NULL);
        run(&parts, &rules, &s, 1 + (uint32_t)(test_random(&seed) % 40), &seed);
        const bool same = same_ends(&whole, &defined) && same_ends(&parts, &defined);
        test_true(same);
        if (!same)
            fprintf(stderr, "seed %llu: %u ends, %u in portions, %u by definition\n", (unsigned long long)start, whole.n,
                    parts.n, defined.n);
    }
}

/* Bytes of any kind as a state. */
static void test_hostile(void)
{
    static stream s;
    uint64_t seed = 5;
    const conure_endpoint_rules rules = plan(2.4, 1.2, 20, 30);
    uint32_t n_frames, n_tokens;

    for (int i = 0; i < 1000; i++) {
        conure_endpoint e;
        uint8_t bytes[sizeof e];
        random_stream(&s, &seed);
        for (size_t k = 0; k < sizeof bytes; k++)
            bytes[k] = test_random(&seed) % 4 ? (uint8_t)test_random(&seed) : 0xff;
        memcpy(&e, bytes, sizeof e);
        conure_endpoint_run(&rules, &e, &(conure_endpoint_frames){s.n_frames, s.tokens, s.n_tokens, s.level_db}, &n_frames,
                            &n_tokens);
        test_true(n_frames <= s.n_frames && n_tokens <= s.n_tokens);
    }
}

static void test_options(void)
{
    conure_endpoint_rules rules;
    conure_endpoint_options o;
    conure_error err;

    conure_endpoint_options_init(&o);
    o.rule2_min_trailing_silence_s = -1;
    test_int(conure_endpoint_plan(&rules, &o, 0.08, &err), CONURE_BAD_ARG);
    test_contains(err.text, "rule2_min_trailing_silence is -1");
    conure_endpoint_options_init(&o);
    o.energy_db = NAN;
    test_int(conure_endpoint_plan(&rules, &o, 0.08, &err), CONURE_BAD_ARG);
    conure_endpoint_options_init(&o);
    test_int(conure_endpoint_plan(&rules, &o, 0, &err), CONURE_BAD_ARG);
}

int main(void)
{
    test_begin("endpoint");
    test_by_hand();
    test_energy();
    test_portions();
    test_hostile();
    test_options();
    return test_end();
}
