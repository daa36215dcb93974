/* wer_report.c - word error rates as a table for people and as JSON for programs. */
#include "cli/wer_report.h"
#include "cli/output.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS 9 /* of the widest table */

/* ---- table ----------------------------------------------------------------------------------- */

static size_t width(const char *text, size_t bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++)
        n += ((unsigned char)text[i] & 0xC0) != 0x80; /* UTF-8: all but the bytes that go on */
    return n;
}

/* Append rows of cells that tabs part with the columns one below the other. */
static void add_aligned(conure_buffer *out, const conure_buffer *rows)
{
    size_t widths[COLUMNS] = {0}, column = 0;

    out->failed = out->failed || rows->failed;
    for (int pass = 0; pass < 2 && !out->failed; pass++) {
        for (const char *at = rows->data; *at; at++) {
            const size_t bytes = strcspn(at, "\t\n"), n = width(at, bytes);
            if (pass == 0) {
                widths[column] = n > widths[column] ? n : widths[column];
            } else {
                conure_buffer_add(out, at, bytes);
                for (size_t i = n; at[bytes] == '\t' && i < widths[column] + 2; i++)
                    conure_buffer_add(out, " ", 1);
                if (at[bytes] == '\n')
                    conure_buffer_add(out, "\n", 1);
            }
            at += bytes;
            column = *at == '\t' ? column + 1 : 0;
        }
    }
}

static conure_wer_counts total(const conure_wer_report *report, uint32_t system)
{
    conure_wer_counts sum = {0};
    for (uint32_t i = 0; i < report->references.n; i++) {
        const conure_wer_counts *one = &report->systems[system].counts[i];
        sum.words += one->words;
        sum.hypothesis += one->hypothesis;
        sum.substitutions += one->substitutions;
        sum.insertions += one->insertions;
        sum.deletions += one->deletions;
    }
    return sum;
}

static void add_percent(conure_buffer *out, double value)
{
    if (isnan(value))
        conure_buffer_text(out, "-");
    else
        conure_buffer_format(out, "%.2f", 100 * value);
}

static void add_interval(conure_buffer *out, double low, double high)
{
    conure_buffer_text(out, "\t");
    add_percent(out, low);
    conure_buffer_text(out, " .. ");
    add_percent(out, high);
}

/* "clip", or "line 12" where utterances have no names. */
static void add_name(conure_buffer *out, const conure_utterance *utterance)
{
    if (utterance->key)
        conure_output_clean(out, utterance->key);
    else
        conure_buffer_format(out, "line %zu", utterance->line);
}

static void add_each(conure_buffer *out, const conure_wer_report *report, uint32_t system)
{
    const conure_wer_system *s = &report->systems[system];

    for (uint32_t i = 0; i < report->references.n; i++) {
        const conure_wer_counts *c = &s->counts[i];
        conure_output_clean(out, s->path);
        conure_buffer_text(out, "\t");
        add_name(out, &report->references.items[i]);
        conure_buffer_text(out, "\t");
        add_percent(out, c->words ? (double)conure_wer_errors(c) / c->words : NAN);
        conure_buffer_format(out, "\t%u\t%u\t%u\t%u\t", c->words, c->substitutions, c->insertions,
                             c->deletions);
        conure_output_clean(out, report->texts[i]);
        conure_buffer_text(out, "\t");
        conure_output_clean(out, s->texts[i]);
        conure_buffer_text(out, "\n");
    }
}

static void add_rates(conure_buffer *out, const conure_wer_report *report)
{
    conure_buffer_text(out, "file\tWER %\t95 % interval\twords\tsubstitutions\tinsertions\tdeletions\t"
                            "utterances\tnormaliser\n");
    for (uint32_t s = 0; s < report->n_systems; s++) {
        const conure_wer_counts sum = total(report, s);
        conure_output_clean(out, report->systems[s].path);
        conure_buffer_text(out, "\t");
        add_percent(out, report->estimates[s].wer);
        add_interval(out, report->estimates[s].low, report->estimates[s].high);
        conure_buffer_format(out, "\t%u\t%u\t%u\t%u\t%u\t%s\n", sum.words, sum.substitutions,
                             sum.insertions, sum.deletions, report->references.n,
                             conure_normaliser_names[report->normaliser]);
    }
}

static void add_differences(conure_buffer *out, const conure_wer_report *report)
{
    conure_buffer_text(out, "file\tagainst\tdifference\t95 % interval\tp\n");
    for (uint32_t s = 1; s < report->n_systems; s++) {
        const conure_wer_estimate *e = &report->estimates[s];
        conure_output_clean(out, report->systems[s].path);
        conure_buffer_text(out, "\t");
        conure_output_clean(out, report->systems[0].path);
        conure_buffer_text(out, "\t");
        add_percent(out, e->difference);
        add_interval(out, e->difference_low, e->difference_high);
        if (isnan(e->p))
            conure_buffer_text(out, "\t-\n");
        else
            conure_buffer_format(out, "\t%.4f\n", e->p);
    }
}

void conure_wer_report_text(conure_buffer *out, const conure_wer_report *report)
{
    conure_buffer rates = {0}, differences = {0};

    if (report->each) {
        conure_buffer_text(out, "file\tutterance\tWER %\twords\tsubstitutions\tinsertions\tdeletions\t"
                                "reference\thypothesis\n");
        for (uint32_t s = 0; s < report->n_systems; s++)
            add_each(out, report, s);
        conure_buffer_text(out, "\n");
    }
    add_rates(&rates, report);
    add_aligned(out, &rates);
    if (report->n_systems > 1) {
        conure_buffer_text(out, "\n");
        add_differences(&differences, report);
        add_aligned(out, &differences);
    }
    conure_buffer_free(&rates);
    conure_buffer_free(&differences);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* Paths need not be UTF-8, which JSON must be. */
static json_t *text(const char *value)
{
    json_t *json = value ? json_string(value) : json_null();
    if (json)
        return json;
    char *copy = conure_strdup(value);
    for (char *c = copy; c && *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    json = copy ? json_string(copy) : NULL;
    free(copy);
    return json;
}

/* [low, high], or null. */
static json_t *pair(double low, double high)
{
    return isnan(low) ? json_null() : json_pack("[f, f]", low, high);
}

static json_t *each_to_json(const conure_wer_report *report, const conure_wer_system *system)
{
    json_t *list = json_array();

    for (uint32_t i = 0; list && i < report->references.n; i++) {
        const conure_utterance *utterance = &report->references.items[i];
        const conure_wer_counts *c = &system->counts[i];
        json_t *one = json_pack(
            "{s:o, s:I, s:o, s:I, s:I, s:I, s:I, s:o, s:o}", "file", text(utterance->key), "line",
            (json_int_t)utterance->line, "wer",
            number(c->words ? (double)conure_wer_errors(c) / c->words : NAN), "words",
            (json_int_t)c->words, "substitutions", (json_int_t)c->substitutions, "insertions",
            (json_int_t)c->insertions, "deletions", (json_int_t)c->deletions, "reference",
            text(report->texts[i]), "hypothesis", text(system->texts[i]));
        if (json_array_append_new(list, one) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *system_to_json(const conure_wer_report *report, uint32_t s)
{
    const conure_wer_system *system = &report->systems[s];
    const conure_wer_estimate *e = &report->estimates[s];
    const conure_wer_counts sum = total(report, s);
    json_t *json = json_pack(
        "{s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I}", "file", text(system->path), "wer",
        number(e->wer), "interval", pair(e->low, e->high), "words", (json_int_t)sum.words,
        "substitutions", (json_int_t)sum.substitutions, "insertions", (json_int_t)sum.insertions,
        "deletions", (json_int_t)sum.deletions, "missing", (json_int_t)system->n_missing, "extra",
        (json_int_t)system->n_extra);
    bool ok = json != NULL;
    if (ok && s > 0)
        ok = json_object_set_new(json, "against_first",
                                 json_pack("{s:o, s:o, s:o}", "difference", number(e->difference),
                                           "interval", pair(e->difference_low, e->difference_high), "p",
                                           number(e->p))) == 0;
    if (ok && report->each)
        ok = json_object_set_new(json, "utterances", each_to_json(report, system)) == 0;
    if (ok)
        return json;
    json_decref(json);
    return NULL;
}

static int append(const char *data, size_t bytes, void *user)
{
    conure_buffer_add(user, data, bytes);
    return 0;
}

void conure_wer_report_json(conure_buffer *out, const conure_wer_report *report)
{
    json_t *systems = json_array();
    bool ok = systems != NULL;

    for (uint32_t s = 0; ok && s < report->n_systems; s++)
        ok = json_array_append_new(systems, system_to_json(report, s)) == 0;
    json_t *root = ok ? json_pack("{s:o, s:s, s:I, s:I, s:I, s:O}", "reference", text(report->path),
                                  "normaliser", conure_normaliser_names[report->normaliser],
                                  "utterances", (json_int_t)report->references.n, "resamples",
                                  (json_int_t)report->resamples, "seed", (json_int_t)report->seed,
                                  "systems", systems)
                      : NULL;
    if (!root || json_dump_callback(root, append, out, JSON_INDENT(1) | JSON_REAL_PRECISION(10)) != 0)
        out->failed = true;
    conure_buffer_text(out, "\n");
    json_decref(root);
    json_decref(systems);
}
