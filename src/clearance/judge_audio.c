/* judge_audio.c - transcripts of real speech, and the harness on trial. */
#include "clearance/judge.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Sums over the clips of one way to listen: "offline" or "live". */
typedef struct heard {
    double reference_tokens, candidate_tokens, longer, edits, moved, reference_blanks, candidate_blanks;
    double words, reference_errors, candidate_errors, empty_reference, empty_candidate;
    double confidence_sum, confidence_pairs;
    size_t clips;
} heard;

static heard add_up(const json_t *clips, const char *way)
{
    heard h = {0};
    size_t i;
    json_t *clip;
    json_array_foreach(clips, i, clip) {
        const json_t *one = json_object_get(clip, way);
        if (!json_is_object(one))
            continue;
        const double a = conure_judge_number(one, "reference_tokens"), b = conure_judge_number(one, "candidate_tokens");
        const double words = conure_judge_number(clip, "words");
        h.clips++;
        h.reference_tokens += a;
        h.candidate_tokens += b;
        h.longer += a > b ? a : b;
        h.edits += conure_judge_number(one, "edits");
        h.moved += conure_judge_number(one, "moved");
        h.reference_blanks += conure_judge_number(one, "reference_blanks");
        h.candidate_blanks += conure_judge_number(one, "candidate_blanks");
        h.empty_reference += a == 0;
        h.empty_candidate += b == 0;
        h.confidence_sum += conure_judge_number(one, "confidence_difference");
        h.confidence_pairs += conure_judge_number(one, "confidence_pairs");
        if (words > 0) {
            h.words += words;
            h.reference_errors += conure_judge_number(one, "reference_errors");
            h.candidate_errors += conure_judge_number(one, "candidate_errors");
        }
    }
    return h;
}

static double share(double part, double other)
{
    return part + other > 0 ? part / (part + other) : NAN;
}

static void judge_way(conure_judging *j, const json_t *stage, const char *way)
{
    const json_t *limits = json_object_get(stage, "limits");
    const heard h = add_up(json_object_get(stage, "clips"), way);
    const double agreement = conure_judge_number(limits, "token_agreement");
    const double blanks = share(h.candidate_blanks, h.candidate_tokens), reference_blanks = share(h.reference_blanks, h.reference_tokens);
    char where[160];
    if (h.clips == 0)
        return;
    conure_judge_check(j, CONURE_GATE_AUDIO, h.reference_tokens, ">=", 1, CONURE_GATE_NOT_PROVEN,
                       "nothing can agree or disagree: name recordings in which this model hears words", "%s: tokens of the reference", way);
    if (h.reference_tokens == 0)
        return;
    snprintf(where, sizeof where, "%.0f edits in %.0f tokens of %zu clips", h.edits, h.reference_tokens, h.clips);
    conure_judge_check(j, CONURE_GATE_AUDIO, h.longer > 0 ? 1 - h.edits / h.longer : 1, ">=", agreement, CONURE_GATE_FAIL, where,
                       "%s: share of tokens that agree", way);
    const double moved_max = agreement >= 1 ? 0 : (1 - agreement) * h.longer * 2;
    conure_judge_check(j, CONURE_GATE_AUDIO, h.moved, "<=", moved_max, CONURE_GATE_FAIL, NULL,
                       "%s: tokens that agree but lie on another frame or have another duration", way);
    conure_judge_check(j, CONURE_GATE_AUDIO, h.empty_candidate - h.empty_reference, "<=", 0, CONURE_GATE_FAIL, NULL,
                       "%s: transcripts that are empty and the reference's are not", way);
    conure_judge_check(j, CONURE_GATE_AUDIO, blanks, "<=", conure_judge_number(limits, "blank_share_max"), CONURE_GATE_FAIL, NULL,
                       "%s: share of blanks among the decoder's evaluations", way);
    conure_judge_check(j, CONURE_GATE_AUDIO, fabs(blanks - reference_blanks), "<=", conure_judge_number(limits, "blank_difference_max"),
                       CONURE_GATE_FAIL, NULL, "%s: difference of that share to the reference's", way);
    if (h.words > 0) {
        snprintf(where, sizeof where, "candidate %.2f %%, reference %.2f %% of %.0f words, normaliser %s", 100 * h.candidate_errors / h.words,
                 100 * h.reference_errors / h.words, h.words, json_string_value(json_object_get(stage, "normaliser")));
        conure_judge_check(j, CONURE_GATE_AUDIO, (h.candidate_errors - h.reference_errors) / h.words, "<=",
                           conure_judge_number(limits, "wer_difference_max"), CONURE_GATE_FAIL, where,
                           "%s: word error rate above the reference's", way);
        if (isfinite(conure_judge_number(limits, "wer_max")))
            conure_judge_check(j, CONURE_GATE_AUDIO, h.candidate_errors / h.words, "<=", conure_judge_number(limits, "wer_max"), CONURE_GATE_FAIL,
                               NULL, "%s: word error rate", way);
    }
    conure_judge_check(j, CONURE_GATE_CONFIDENCE, h.confidence_pairs > 0 ? h.confidence_sum / h.confidence_pairs : NAN, "<=",
                       conure_judge_number(limits, "confidence_difference_max"), h.confidence_pairs > 0 ? CONURE_GATE_FAIL : CONURE_GATE_NOT_PROVEN,
                       NULL, "%s: mean difference of confidence between tokens that agree", way);
}

#define DEGENERATE "no texts: the model must not be degenerate; a manifest with texts decides"

/* Without texts only agreement is left, and a model that says always the same agrees with everything. */
static void judge_degeneracy(conure_judging *j, const json_t *stage)
{
    const heard h = add_up(json_object_get(stage, "clips"), "offline");
    const double blanks = share(h.reference_blanks, h.reference_tokens);
    if (json_is_true(json_object_get(stage, "texts")))
        return;
    conure_judge_check(j, CONURE_GATE_AUDIO, blanks, ">=", 0.3, CONURE_GATE_COULD_NOT_RUN, DEGENERATE, "share of blanks, reference");
    conure_judge_check(j, CONURE_GATE_AUDIO, blanks, "<=", 0.9, CONURE_GATE_COULD_NOT_RUN, DEGENERATE, "share of blanks, reference");
    conure_judge_check(j, CONURE_GATE_AUDIO, conure_judge_number(stage, "durations_unseen"), "==", 0, CONURE_GATE_COULD_NOT_RUN, DEGENERATE,
                       "durations that the reference never gave");
    conure_judge_check(j, CONURE_GATE_AUDIO, conure_judge_number(stage, "distinct_tokens"), ">=", 100, CONURE_GATE_COULD_NOT_RUN, DEGENERATE,
                       "distinct tokens, reference");
    conure_judge_risk(j, "audio: the manifest has no texts, so that agreement with the reference is all that is known");
}

void conure_judge_audio(conure_judging *j)
{
    const json_t *stage = conure_judge_stage(j, CONURE_STAGE_AUDIO);
    if (!json_is_array(json_object_get(stage, "clips")))
        return;
    judge_way(j, stage, "offline");
    judge_way(j, stage, "live");
    judge_way(j, stage, "cached");
    if (!json_is_string(json_object_get(stage, "cached")))
        conure_judge_risk(j, "audio: no session makes the contract's steps, or no state flows in them: text was heard from whole files and windows only");
    judge_degeneracy(j, stage);
}

/* ---- the harness on trial --------------------------------------------------------------------- */

static bool names(const json_t *list, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one)
        if (json_is_string(one) && strcmp(json_string_value(one), name) == 0)
            return true;
    return false;
}

void conure_judge_self_test(conure_judging *j)
{
    const json_t *stage = conure_judge_stage(j, CONURE_STAGE_SELF_TEST);
    uint64_t planted = 0, missed = 0, alarms = 0, loop = 0, too_wide = 0;
    char first_missed[128] = "", first_alarm[128] = "";
    size_t i;
    json_t *one;
    if (!json_is_array(json_object_get(stage, "faults")))
        return;
    json_array_foreach(json_object_get(stage, "faults"), i, one) {
        const char *gate = json_string_value(json_object_get(one, "gate")), *fault = json_string_value(json_object_get(one, "fault"));
        loop += json_is_true(json_object_get(one, "planted")) && gate && strcmp(gate, "closed_loop") == 0;
        too_wide += json_is_true(json_object_get(one, "too_wide"));
        if (json_is_true(json_object_get(one, "too_wide")))
            conure_judge_risk(j, "%s would pass unnoticed: the tolerances of this precision are wider than what it does", fault ? fault : "a fault");
        if (!json_is_true(json_object_get(one, "planted")))
            continue;
        planted++;
        if (gate && names(json_object_get(one, "failed"), gate))
            continue;
        if (missed++ == 0)
            snprintf(first_missed, sizeof first_missed, "%s: %s did not fail", fault, gate);
    }
    json_array_foreach(json_object_get(stage, "honest"), i, one) {
        if (json_array_size(json_object_get(one, "failed")) == 0)
            continue;
        if (alarms++ == 0)
            snprintf(first_alarm, sizeof first_alarm, "%s: %s", json_string_value(json_object_get(one, "pair")),
                     json_string_value(json_array_get(json_object_get(one, "failed"), 0)));
    }
    conure_judge_check(j, CONURE_GATE_SELF_TEST, (double)planted, ">=", 1, CONURE_GATE_NOT_PROVEN, NULL, "faults that were planted");
    if (too_wide)
        conure_judge_check(j, CONURE_GATE_SELF_TEST, (double)loop, ">=", 1, CONURE_GATE_NOT_PROVEN, "the tolerances are wider than what every one does",
                           "faults of the closed loop that the tolerances leave visible");
    conure_judge_check(j, CONURE_GATE_SELF_TEST, (double)missed, "==", 0, CONURE_GATE_FAIL, first_missed[0] ? first_missed : NULL,
                       "planted faults that their gate let pass");
    conure_judge_check(j, CONURE_GATE_SELF_TEST, (double)json_array_size(json_object_get(stage, "honest")), ">=", 1, CONURE_GATE_NOT_PROVEN, NULL,
                       "honest pairs that were judged");
    conure_judge_check(j, CONURE_GATE_SELF_TEST, (double)alarms, "==", 0, CONURE_GATE_FAIL, first_alarm[0] ? first_alarm : NULL,
                       "honest pairs that a gate refused");
}
