/* endpoint.c - frame by frame through the rules, so that portions do not matter. */
#include "stream/endpoint.h"

#include <math.h>

#include "base/error.h"

#define FORGET_DB_PER_S 1.0
#define SECONDS_MAX     86400.0
#define POWER_MIN       1e-12 /* CONURE_LEVEL_DB_MIN */

_Static_assert(sizeof(conure_endpoint) == 48, "padding would get into snapshots");

void conure_endpoint_options_init(conure_endpoint_options *options)
{
    *options = (conure_endpoint_options){.rule1_min_trailing_silence_s = 2.4, .rule2_min_trailing_silence_s = 1.2,
                                         .rule3_min_utterance_length_s = 20};
}

/* ---- rules ----------------------------------------------------------------------------------- */

/* Frames that last at least so long; rounding of the quotient (2.4 / 0.08) must not add one. */
static uint64_t frames_of(double seconds, double frame_s)
{
    return (uint64_t)ceil(fmax(seconds / frame_s - 1e-6, 0));
}

static conure_status check(const char *name, double value, conure_error *err)
{
    if (value >= 0 && value <= SECONDS_MAX)
        return CONURE_OK;
    return conure_fail(err, CONURE_BAD_ARG, "endpoint: %s is %g, expected 0 (off) to %g", name, value, SECONDS_MAX);
}

conure_status conure_endpoint_plan(conure_endpoint_rules *out, const conure_endpoint_options *options, double frame_s,
                                   conure_error *err)
{
    const conure_endpoint_options *o = options;
    conure_status status = check("rule1_min_trailing_silence", o->rule1_min_trailing_silence_s, err);

    *out = (conure_endpoint_rules){0};
    if (status == CONURE_OK)
        status = check("rule2_min_trailing_silence", o->rule2_min_trailing_silence_s, err);
    if (status == CONURE_OK)
        status = check("rule3_min_utterance_length", o->rule3_min_utterance_length_s, err);
    if (status == CONURE_OK)
        status = check("endpoint_energy_db", o->energy_db, err);
    if (status == CONURE_OK && !(frame_s > 1e-6 && frame_s <= SECONDS_MAX))
        status = conure_fail(err, CONURE_BAD_ARG, "endpoint: frames of %g s", frame_s);
    if (status != CONURE_OK)
        return status;
    *out = (conure_endpoint_rules){
        .silence1_frames = frames_of(o->rule1_min_trailing_silence_s, frame_s),
        .silence2_frames = frames_of(o->rule2_min_trailing_silence_s, frame_s),
        .length3_frames = frames_of(o->rule3_min_utterance_length_s, frame_s),
        .energy_db = o->energy_db,
        .forget_db = FORGET_DB_PER_S * frame_s,
    };
    return CONURE_OK;
}

/* ---- frames ---------------------------------------------------------------------------------- */

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void hear_token(conure_endpoint *e, const conure_token *token)
{
    e->speech_end = later(e->speech_end, (uint64_t)token->frame + (token->duration ? token->duration : 1));
    e->spoken = 1;
}

void conure_endpoint_hear(conure_endpoint *endpoint, uint64_t end)
{
    endpoint->speech_end = later(endpoint->speech_end, end);
}

/* Of the frame e->frame, whose tokens were heard. */
static void hear_level(const conure_endpoint_rules *rules, conure_endpoint *e, double level_db)
{
    if (e->frame < e->speech_end) {
        const double known_db = e->speech_db - rules->forget_db;
        e->speech_db = e->has_level && known_db > level_db ? known_db : level_db;
        e->has_level = 1;
    }
    if (e->has_level && level_db > e->speech_db - rules->energy_db)
        e->loud_end = e->frame + 1;
}

static uint32_t rule_that_holds(const conure_endpoint_rules *rules, const conure_endpoint *e)
{
    const uint64_t quiet = later(later(e->start, e->speech_end), e->loud_end);
    const uint64_t silence = e->frame > quiet ? e->frame - quiet : 0;

    if (rules->silence1_frames && silence >= rules->silence1_frames)
        return 1;
    if (rules->silence2_frames && e->spoken && silence >= rules->silence2_frames)
        return 2;
    if (rules->length3_frames && e->frame - e->start >= rules->length3_frames)
        return 3;
    return 0;
}

uint32_t conure_endpoint_run(const conure_endpoint_rules *rules, conure_endpoint *endpoint,
                             const conure_endpoint_frames *frames, uint32_t *n_frames, uint32_t *n_tokens)
{
    conure_endpoint *e = endpoint;
    uint32_t rule = 0, i = 0, at = 0;

    while (i < frames->n_frames && !rule) {
        while (at < frames->n_tokens && frames->tokens[at].frame <= e->frame)
            hear_token(e, &frames->tokens[at++]);
        if (frames->level_db && rules->energy_db > 0)
            hear_level(rules, e, (double)frames->level_db[i]);
        e->frame++;
        i++;
        rule = rule_that_holds(rules, e);
    }
    if (rule) {
        e->start = e->frame;
        e->spoken = 0;
    }
    *n_frames = i;
    *n_tokens = at;
    return rule;
}
