/* report_heard.c - speech, the clock, and the harness on trial; see report_page.h. */
#include "clearance/report_page.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLIPS_DRAWN = 24, CLIPS_MAX = 50 };

/* ---- the clock -------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void fact_number(report_page *p, const char *what, double value)
{
    report_cell(p, REPORT_HEAD, what);
    report_cell_number(p, value);
}

static void plot_steps(report_page *p, const json_t *stage, const double *sorted, size_t n)
{
    static const char *const limits[][2] = {{"limits.p50_s", "limit of the median"}, {"limits.p95_s", "limit of p95"},
                                            {"limits.p99_s", "limit of p99"}, {"step_s", "audio that a step brings"}};
    conure_plot_limit drawn[4];
    size_t n_drawn = 0;
    double *share = conure_calloc(n, sizeof *share);
    p->out->failed = p->out->failed || !share;
    for (size_t i = 0; share && i < n; i++)
        share[i] = n > 1 ? 100.0 * (double)i / (double)(n - 1) : 100;
    for (size_t i = 0; i < 4; i++) {
        drawn[n_drawn] = (conure_plot_limit){limits[i][1], report_number_at(stage, limits[i][0])};
        n_drawn += isfinite(drawn[n_drawn].y);
    }
    const conure_plot plot = {.title = "Steps from the fastest to the slowest", .x_label = "share of the steps, %", .y_label = "seconds", .log = true,
                              .limits = drawn, .n_limits = n_drawn};
    const conure_plot_series series = {.name = "seconds of a step", .y = sorted, .x = share, .n = n};
    p->format->figures(p, true);
    if (share)
        report_draw_lines(p, &plot, &series, 1, NULL);
    p->format->figures(p, false);
    free(share);
}

/* What the layers took, of an engine that says. */
static void parts(report_page *p, const json_t *list)
{
    static const char *const columns[] = {"Part of a step", "Seconds", "Share of all, %"};
    static const report_table table = {.caption = "What its parts take, timed one by one", .columns = columns, .n_columns = 3};
    const json_t *longest = json_object_get(list, "longest");
    const double all = report_number_at(list, "seconds"), number = report_number_at(list, "number");
    const size_t n = json_array_size(longest);
    double shown = 0;
    if (n == 0)
        return;
    report_open_table(p, &table);
    for (size_t i = 0; i < n; i++) {
        const json_t *part = json_array_get(longest, i);
        const double seconds = report_number_at(part, "seconds");
        report_cell(p, REPORT_CODE, report_text_at(part, "name"));
        report_cell_number(p, seconds);
        report_cell_number(p, 100 * seconds / all);
        shown += seconds;
    }
    if (!(number <= (double)n)) { /* where all are listed, what is left is what their sum was rounded by */
        report_cell(p, REPORT_HEAD, report_line(p, "the other %.0f of %.0f", number - (double)n, number));
        report_cell_number(p, all - shown);
        report_cell_number(p, 100 * (all - shown) / all);
    }
    report_close_table(p);
}

static void latency(report_page *p)
{
    static const char *const columns[] = {"Of the steps", "Value"};
    static const report_table table = {.caption = "Seconds of a step", .columns = columns, .n_columns = 2};
    static const struct {
        const char *what;
        double share;
    } asked[] = {{"Median, seconds", 0.5}, {"95th percentile, seconds", 0.95}, {"99th percentile, seconds", 0.99}, {"Slowest, seconds", 1}};
    const json_t *stage = json_object_get(p->stages, "latency"), *seconds = json_object_get(stage, "seconds");
    size_t n, finite = 0;
    double *sorted = report_numbers(seconds, &n, &p->out->failed), sum = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(sorted[i]))
            sorted[finite++] = sorted[i];
    const char *state = report_text_at(stage, "state");
    if (finite > 0) {
        qsort(sorted, finite, sizeof *sorted, by_size);
        for (size_t i = 0; i < finite; i++)
            sum += sorted[i];
        p->format->heading(p, 3, NULL, "By the clock");
        plot_steps(p, stage, sorted, finite);
        report_open_table(p, &table);
        fact_number(p, "Number", (double)n);
        for (size_t i = 0; i < sizeof asked / sizeof *asked; i++)
            fact_number(p, asked[i].what, conure_judge_percentile(seconds, asked[i].share));
        fact_number(p, "Audio that a step brings, seconds", report_number_at(stage, "step_s"));
        fact_number(p, "Steps in a second", sum > 0 ? (double)finite / sum : NAN);
        if (json_object_get(stage, "device_bytes"))
            fact_number(p, "Memory in use on the device, MiB", report_number_at(stage, "device_bytes") / 1048576);
        report_close_table(p);
        if (state && strcmp(state, "held") == 0)
            p->format->paragraph(p, "The state stayed with the engine, as when it is deployed: features go in and the encoder's output comes out.");
        parts(p, json_object_get(stage, "parts"));
    }
    free(sorted);
}

/* ---- speech ----------------------------------------------------------------------------------- */

enum { WAYS = 3 };
static const char *const ways[WAYS] = {"offline", "live", "cached"};

/* How bad a clip is: what the candidate gets wrong, or does otherwise, in any way. */
static double badness(const json_t *clip)
{
    double sum = 0;
    for (int w = 0; w < WAYS; w++) {
        const json_t *one = json_object_get(clip, ways[w]);
        const double edits = report_number_at(one, "edits"), moved = report_number_at(one, "moved");
        const double more = report_number_at(one, "candidate_errors") - report_number_at(one, "reference_errors");
        sum += (edits > 0 ? edits : 0) + (moved > 0 ? moved : 0) + (more > 0 ? more : 0);
    }
    return sum;
}

typedef struct ranked {
    const json_t *clip;
    double bad;
    size_t place;
} ranked;

static int by_badness(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return x->bad != y->bad ? (x->bad < y->bad) - (x->bad > y->bad) : (x->place > y->place) - (x->place < y->place);
}

static ranked *rank(report_page *p, const json_t *clips, size_t n)
{
    ranked *all = conure_calloc(n, sizeof *all);
    p->out->failed = p->out->failed || !all;
    for (size_t i = 0; all && i < n; i++) {
        const json_t *clip = json_array_get(clips, i);
        all[i] = (ranked){clip, badness(clip), i};
    }
    if (all)
        qsort(all, n, sizeof *all, by_badness);
    return all;
}

static const char *name_of(report_page *p, const ranked *clip)
{
    const char *name = report_text_at(clip->clip, "name");
    return report_line(p, "%zu%s%.*s", clip->place + 1, name && *name ? ": " : "", REPORT_NAME_MAX, name ? name : "");
}

static void plot_errors(report_page *p, const ranked *clips, size_t n)
{
    static const conure_plot plot = {.title = "Word errors of the clips that differ most", .x_label = "clip", .y_label = "word errors"};
    double values[2][CLIPS_DRAWN];
    char places[CLIPS_DRAWN][24];
    const char *names[CLIPS_DRAWN];
    bool any = false;
    n = n < CLIPS_DRAWN ? n : CLIPS_DRAWN;
    for (size_t i = 0; i < n; i++) {
        const json_t *offline = json_object_get(clips[i].clip, "offline"), *one = offline ? offline : json_object_get(clips[i].clip, "live");
        values[0][i] = report_number_at(one, "reference_errors");
        values[1][i] = report_number_at(one, "candidate_errors");
        snprintf(places[i], sizeof places[i], "%zu", clips[i].place + 1);
        names[i] = places[i];
        any = any || isfinite(values[0][i]) || isfinite(values[1][i]);
    }
    const conure_plot_bar_set sets[] = {{"reference", values[0]}, {"candidate", values[1]}};
    if (!any)
        return;
    p->format->figures(p, true);
    report_draw_bars(p, &plot, sets, 2, n, names);
    p->format->figures(p, false);
}

static double percent(double part, double all)
{
    return all > 0 ? 100 * part / all : NAN;
}

/* Sums over the clips of one way to listen, in the order of the rows below. */
enum { TOTALS = 9 };

static size_t totals_of(const json_t *clips, const char *way, double values[TOTALS])
{
    static const char *const members[] = {"candidate_tokens", "edits", "moved", "candidate_blanks", "reference_blanks", "reference_tokens",
                                          "candidate_errors", "reference_errors"};
    double sums[8] = {0}, words = 0;
    size_t n = 0, i;
    json_t *clip;
    json_array_foreach(clips, i, clip) {
        const json_t *one = json_object_get(clip, way);
        const double said = report_number_at(clip, "words");
        if (!json_is_object(one))
            continue;
        n++;
        words += said > 0 ? said : 0;
        for (size_t k = 0; k < (said > 0 ? 8 : 6); k++)
            sums[k] += report_number_at(one, members[k]);
    }
    values[0] = (double)n;
    memcpy(values + 1, sums, 3 * sizeof *sums);
    values[4] = percent(sums[3], sums[3] + sums[0]);
    values[5] = percent(sums[4], sums[4] + sums[5]);
    values[6] = words;
    values[7] = percent(sums[6], words);
    values[8] = percent(sums[7], words);
    return n;
}

static void totals(report_page *p, const json_t *clips)
{
    static const char *const rows[TOTALS] = {"Clips", "Tokens of the candidate", "Edits to the reference's",
                                             "On another frame, or of another duration", "Blanks of the candidate, %",
                                             "Blanks of the reference, %", "Words", "Word errors of the candidate, %",
                                             "Word errors of the reference, %"};
    double values[WAYS][TOTALS];
    const char *columns[1 + WAYS] = {"All clips"};
    report_table table = {.caption = "Speech, all clips", .columns = columns, .n_columns = 1};
    for (int w = 0; w < WAYS; w++)
        if (totals_of(clips, ways[w], values[table.n_columns - 1]) > 0)
            columns[table.n_columns++] = ways[w];
    if (table.n_columns == 1)
        return;
    report_open_table(p, &table);
    for (size_t i = 0; i < TOTALS; i++) {
        report_cell(p, REPORT_HEAD, rows[i]);
        for (size_t w = 0; w + 1 < table.n_columns; w++)
            report_cell_number(p, values[w][i]);
    }
    report_close_table(p);
}

/* Of the clips that differ most.  A redacted run shows no words, even if somebody left some in. */
static void clip_rows(report_page *p, const ranked *clips, size_t n, bool texts)
{
    static const char *const columns[] = {"Clip", "Heard", "Seconds", "Words", "Edits", "Moved", "Word errors, candidate",
                                          "Word errors, reference", "Text of the manifest", "Reference heard", "Candidate heard"};
    static const char *const members[] = {"edits", "moved", "candidate_errors", "reference_errors"};
    const report_table table = {.caption = "Clips that differ most", .columns = columns, .n_columns = texts ? 11 : 8, .narrow = true};
    p->format->heading(p, 4, NULL, table.caption);
    report_open_table(p, &table);
    for (size_t i = 0; i < n && i < CLIPS_MAX; i++) {
        for (int w = 0; w < WAYS; w++) {
            const json_t *clip = clips[i].clip, *one = json_object_get(clip, ways[w]);
            if (!json_is_object(one))
                continue;
            report_cell(p, REPORT_HEAD, name_of(p, &clips[i]));
            report_cell(p, REPORT_TEXT, ways[w]);
            report_cell_number(p, report_number_at(clip, "seconds"));
            report_cell_number(p, report_number_at(clip, "words"));
            for (size_t k = 0; k < 4; k++)
                report_cell_number(p, report_number_at(one, members[k]));
            if (!texts)
                continue;
            report_cell(p, REPORT_TEXT, report_text_at(clip, "text"));
            report_cell(p, REPORT_TEXT, report_text_at(one, "reference_text"));
            report_cell(p, REPORT_TEXT, report_text_at(one, "candidate_text"));
        }
    }
    report_close_table(p);
    report_more(p, CLIPS_MAX, n, "clips");
}

static void speech(report_page *p)
{
    const json_t *stage = json_object_get(p->stages, "audio"), *list = json_object_get(stage, "clips");
    const size_t n = json_array_size(list);
    if (n == 0)
        return;
    const bool redacted = json_is_true(json_object_get(stage, "redacted"));
    const char *normaliser = report_text_at(stage, "normaliser");
    p->format->heading(p, 3, NULL, "Speech");
    p->format->paragraph(p, report_line(p, "Normaliser: %.*s. %s", REPORT_NAME_MAX, normaliser ? normaliser : "none named",
                                        redacted ? "Texts were left out on purpose." :
                                        json_is_true(json_object_get(stage, "texts")) ? "The manifest has texts." :
                                        "The manifest has no texts: only agreement with the reference is known."));
    totals(p, list);
    ranked *clips = rank(p, list, n);
    if (clips) {
        plot_errors(p, clips, n);
        clip_rows(p, clips, n, !redacted);
    }
    free(clips);
}

void report_heard(report_page *p)
{
    latency(p);
    speech(p);
}

/* ---- the harness on trial --------------------------------------------------------------------- */

static bool lists(const json_t *list, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one)
        if (report_is(json_string_value(one), name))
            return true;
    return false;
}

/* Gates that a fault names or makes fail: other columns would be empty. */
static size_t columns_of(const json_t *faults, const char *columns[CONURE_GATES])
{
    size_t n = 0, i;
    json_t *fault;
    for (conure_gate g = 0; g < CONURE_GATES; g++) {
        const char *gate = conure_gate_name(g);
        bool used = false;
        json_array_foreach(faults, i, fault)
            used = used || report_is(report_text_at(fault, "gate"), gate) || lists(json_object_get(fault, "failed"), gate);
        if (used)
            columns[n++] = gate;
    }
    return n;
}

static void matrix(report_page *p, const json_t *faults)
{
    const char *columns[CONURE_GATES + 2] = {"Planted fault", "Result"};
    const size_t n = columns_of(faults, columns + 2);
    const report_table table = {.caption = "Faults and the gates that failed", .columns = columns, .n_columns = n + 2, .upright = true};
    size_t i;
    json_t *fault;
    report_open_table(p, &table);
    json_array_foreach(faults, i, fault) {
        const char *must = report_text_at(fault, "gate"), *why_not = report_text_at(fault, "why_not");
        const json_t *failed = json_object_get(fault, "failed");
        const bool planted = json_is_true(json_object_get(fault, "planted"));
        if (i >= REPORT_ROWS_MAX)
            break;
        report_cell(p, REPORT_HEAD, report_text_at(fault, "fault"));
        report_cell(p, REPORT_TEXT, !planted ? report_line(p, "not planted: %.400s", why_not ? why_not : "no reason was given") :
                                    must && lists(failed, must) ? "\xe2\x9c\x93 caught" : "\xe2\x9c\x97 missed");
        for (size_t k = 0; k < n; k++) {
            const bool fell = lists(failed, columns[2 + k]), asked = report_is(must, columns[2 + k]);
            report_cell(p, REPORT_TEXT, !planted ? (asked ? "\xc2\xb7" : "") : asked ? (fell ? "\xe2\x97\x8f" : "\xe2\x97\x8b") : fell ? "+" : "");
        }
    }
    report_close_table(p);
    report_more(p, REPORT_ROWS_MAX, json_array_size(faults), "faults");
    p->format->paragraph(p, "\xe2\x97\x8f the gate that must fail did; \xe2\x97\x8b it did not; + another gate failed too; "
                            "\xc2\xb7 the fault was not planted.");
}

static void honest_pairs(report_page *p, const json_t *pairs)
{
    static const char *const columns[] = {"Honest pair", "Result", "Gates that refused it"};
    static const report_table table = {.caption = "Honest pairs", .columns = columns, .n_columns = 3, .narrow = true};
    size_t i, k;
    json_t *pair, *gate;
    if (json_array_size(pairs) == 0)
        return;
    report_open_table(p, &table);
    json_array_foreach(pairs, i, pair) {
        const json_t *failed = json_object_get(pair, "failed");
        conure_buffer names = {0};
        if (i >= REPORT_ROWS_MAX)
            break;
        json_array_foreach(failed, k, gate)
            if (k < CONURE_GATES)
                conure_buffer_format(&names, "%s%.*s", k ? ", " : "", REPORT_NAME_MAX, json_is_string(gate) ? json_string_value(gate) : "-");
        report_cell(p, REPORT_HEAD, report_text_at(pair, "pair"));
        report_cell(p, REPORT_TEXT, json_array_size(failed) ? "\xe2\x9c\x97 refused" : "\xe2\x9c\x93 passed");
        report_cell(p, REPORT_TEXT, names.data ? names.data : "none");
        p->out->failed = p->out->failed || names.failed;
        conure_buffer_free(&names);
    }
    report_close_table(p);
    report_more(p, REPORT_ROWS_MAX, json_array_size(pairs), "pairs");
}

void report_self_test(report_page *p)
{
    const json_t *stage = json_object_get(p->stages, "self_test"), *faults = json_object_get(stage, "faults");
    if (json_array_size(faults) == 0)
        return;
    p->format->heading(p, 2, "self-test", "The harness on trial");
    p->format->paragraph(p, "Each fault was planted in an otherwise honest candidate; the gate named for it must fail. Honest pairs must pass.");
    matrix(p, faults);
    honest_pairs(p, json_object_get(stage, "honest"));
}
