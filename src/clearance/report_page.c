/* report_page.c - the sections that come from the judge: verdict, reasons, gates, what it rests on, sign-off; see report_page.h. */
#include "clearance/report_page.h"

#include "base/files.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- writing ---------------------------------------------------------------------------------- */

const char *report_line(report_page *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(p->line, sizeof p->line, format, args);
    va_end(args);
    return p->line;
}

void report_open_table(report_page *p, const report_table *table)
{
    p->table = table;
    p->column = 0;
    p->format->table(p, true);
}

void report_close_table(report_page *p)
{
    p->format->table(p, false);
    p->table = NULL;
}

static void cell(report_page *p, report_style style, const char *text)
{
    if (p->column == 0)
        p->format->row(p, true);
    if (text)
        p->format->cell(p, style, text);
    else
        p->format->blank(p);
    if (++p->column == p->table->n_columns) {
        p->format->row(p, false);
        p->column = 0;
    }
}

void report_cell(report_page *p, report_style style, const char *text)
{
    cell(p, style, text ? text : "-");
}

void report_cell_number(report_page *p, double x)
{
    cell(p, REPORT_NUMBER, report_digits_of(x).text);
}

void report_more(report_page *p, size_t shown, size_t all, const char *what)
{
    if (all > shown)
        p->format->paragraph(p, report_line(p, "%zu more %s are not shown here; the JSON has all.", all - shown, what));
}

void report_fact(report_page *p, const char *what, report_style style, const char *value)
{
    if (!value || !*value)
        return;
    report_cell(p, REPORT_HEAD, what);
    report_cell(p, style, value);
}

/* ---- the first screen ------------------------------------------------------------------------- */

typedef struct tally {
    size_t n[6], all; /* in the order of `order` */
} tally;
static const char *const order[] = {CONURE_GATE_PASS,          CONURE_GATE_FAIL,    CONURE_GATE_COULD_NOT_RUN, CONURE_GATE_NOT_PROVEN,
                                    CONURE_GATE_NOT_APPLICABLE, CONURE_GATE_NOT_RUN};

static tally count_gates(const report_page *p)
{
    tally t = {{0}, 0};
    size_t i;
    json_t *gate;
    json_array_foreach(json_object_get(p->report, "gates"), i, gate) {
        t.all++;
        for (size_t w = 0; w < 6; w++)
            t.n[w] += report_is(report_text_at(gate, "verdict"), order[w]);
    }
    return t;
}

static const json_t *gate_with(const report_page *p, const char *word)
{
    size_t i;
    json_t *gate;
    json_array_foreach(json_object_get(p->report, "gates"), i, gate)
        if (report_is(report_text_at(gate, "verdict"), word))
            return gate;
    return NULL;
}

/* The gate that the verdict hangs on. */
static const json_t *decisive(const report_page *p, const char *verdict)
{
    const json_t *integrity = json_array_get(json_object_get(p->report, "gates"), CONURE_GATE_INTEGRITY), *gate = NULL;
    if (report_is(verdict, CONURE_NOT_JUDGED) && report_is(report_text_at(integrity, "verdict"), CONURE_GATE_FAIL))
        return integrity;
    if (report_is(verdict, CONURE_NOT_CLEARED))
        return gate_with(p, CONURE_GATE_FAIL);
    if (report_is(verdict, CONURE_NOT_JUDGED))
        return gate_with(p, CONURE_GATE_COULD_NOT_RUN);
    if (report_is(verdict, CONURE_NOT_PROVEN))
        gate = gate_with(p, CONURE_GATE_NOT_PROVEN);
    return gate ? gate : gate_with(p, CONURE_GATE_NOT_RUN);
}

static const char *reason_of(const json_t *gate)
{
    const char *reason = json_string_value(json_array_get(json_object_get(gate, "why"), 0));
    return reason ? reason : "no reason was given";
}

static void not_looked_at(const report_page *p, conure_buffer *out)
{
    const char *before = " Not looked at: ";
    size_t i;
    json_t *gate;
    json_array_foreach(json_object_get(p->report, "gates"), i, gate) {
        if (!report_is(report_text_at(gate, "verdict"), CONURE_GATE_NOT_APPLICABLE))
            continue;
        conure_buffer_format(out, "%s%s", before, report_text_at(gate, "gate"));
        before = ", ";
    }
    conure_buffer_text(out, before[0] == ',' ? "." : "");
}

static void why_in_a_sentence(report_page *p, const char *verdict, const tally *t, conure_buffer *out)
{
    const json_t *gate = decisive(p, verdict);
    if (report_is(verdict, CONURE_CLEARED)) {
        conure_buffer_format(out, "All %zu gates that apply passed.", t->n[0]);
        not_looked_at(p, out);
        return;
    }
    if (!gate)
        return;
    const char *word = report_text_at(gate, "verdict"), *sign;
    size_t same = 0;
    for (size_t w = 0; w < 6; w++)
        same += report_is(word, order[w]) ? t->n[w] : 0;
    if (!report_is(word, CONURE_GATE_FAIL))
        conure_buffer_text(out, "No gate failed, but ");
    if (same == 1)
        conure_buffer_format(out, "%s %s", report_text_at(gate, "gate"), report_words(word, &sign));
    else
        conure_buffer_format(out, "%zu gates %s. The first is %s", same, report_words(word, &sign), report_text_at(gate, "gate"));
    conure_buffer_format(out, " (%s): %s", report_text_at(gate, "question"), reason_of(gate));
}

/* "11 passed, 1 failed" */
static void counts_of(const tally *t, conure_buffer *out)
{
    const char *sign;
    conure_buffer_format(out, "%zu gates: ", t->all);
    for (size_t w = 0, said = 0; w < 6; w++)
        if (t->n[w] > 0)
            conure_buffer_format(out, "%s%zu %s", said++ ? ", " : "", t->n[w], report_words(order[w], &sign));
}

static const char *first_of(const json_t *stages, const char *const *paths, size_t n, const char *otherwise)
{
    for (size_t i = 0; i < n; i++) {
        const char *text = report_text_at(stages, paths[i]);
        if (text && *text)
            return text;
    }
    return otherwise;
}

static const char *candidate_of(const report_page *p)
{
    static const char *const paths[] = {"inputs.candidate.spec", "inputs.candidate.what", "functional.candidate.what", "closed_loop.candidate.what"};
    return first_of(p->stages, paths, 4, "an engine without a name");
}

static const char *model_of(const report_page *p)
{
    static const char *const paths[] = {"functional.contract.model", "closed_loop.contract.model", "inputs.files.model.path"};
    return first_of(p->stages, paths, 3, "a model without a name");
}

static void first_screen(report_page *p)
{
    static const char *const answers[][2] = {{CONURE_CLEARED, "Yes: cleared"}, {CONURE_NOT_CLEARED, "No: not cleared"},
                                             {CONURE_NOT_PROVEN, "Not yet: not proven"}, {CONURE_NOT_JUDGED, "Unknown: not judged"}};
    const char *verdict = report_text_at(p->report, "verdict");
    const tally t = count_gates(p);
    conure_buffer subject = {0}, why = {0}, counts = {0}, caveat = {0};
    report_headline h = {.verdict = verdict};
    for (size_t i = 0; i < 4; i++)
        if (report_is(verdict, answers[i][0]))
            h.answer = answers[i][1];
    report_words(verdict, &h.sign);
    conure_buffer_format(&subject, "May %.*s serve %.*s?", REPORT_NAME_MAX, candidate_of(p), REPORT_NAME_MAX, model_of(p));
    why_in_a_sentence(p, verdict, &t, &why);
    counts_of(&t, &counts);
    if (report_is(conure_clear_gate_verdict(p->report, CONURE_GATE_AUDIO), CONURE_GATE_NOT_APPLICABLE))
        conure_buffer_format(&caveat, "Of tensors only: no speech was transcribed, so that nothing is known about words (%s).",
                             reason_of(json_array_get(json_object_get(p->report, "gates"), CONURE_GATE_AUDIO)));
    h.subject = subject.data ? subject.data : "";
    h.why = why.data ? why.data : "";
    h.counts = counts.data ? counts.data : "";
    h.caveat = caveat.data;
    p->out->failed = p->out->failed || subject.failed || why.failed || counts.failed || caveat.failed || !h.answer;
    if (!p->out->failed)
        p->format->begin(p, &h);
    conure_buffer_free(&subject);
    conure_buffer_free(&why);
    conure_buffer_free(&counts);
    conure_buffer_free(&caveat);
}

/* A file whose verdicts are not what its evidence gives was edited, or made by another version. */
static void disagreement(report_page *p)
{
    const char *said = report_text_at(p->given, "verdict"), *is = report_text_at(p->report, "verdict");
    if (said && strcmp(said, is) != 0)
        p->format->notice(p, report_line(p, "The file says \"%.*s\", but what was measured gives \"%s\". The file was edited, or judged by another "
                                            "version; this page shows what was measured.", REPORT_NAME_MAX, said, is));
    for (conure_gate g = 0; g < CONURE_GATES; g++) {
        const char *then = conure_clear_gate_verdict(p->given, g), *now = conure_clear_gate_verdict(p->report, g);
        if (then && now && strcmp(then, now) != 0)
            p->format->notice(p, report_line(p, "Gate %s: the file says \"%.*s\", what was measured gives \"%s\".", conure_gate_name(g),
                                             REPORT_NAME_MAX, then, now));
    }
}

/* ---- why, gates ------------------------------------------------------------------------------- */

static void reasons(report_page *p)
{
    static const size_t bad[] = {1, 2, 3, 5}; /* of `order`, the worst first */
    const char *sign;
    const tally t = count_gates(p);
    if (t.n[1] + t.n[2] + t.n[3] + t.n[5] == 0)
        return;
    p->format->heading(p, 2, "why", "Why");
    for (size_t b = 0; b < 4; b++) {
        size_t i, k;
        json_t *gate, *why;
        json_array_foreach(json_object_get(p->report, "gates"), i, gate) {
            const json_t *list = json_object_get(gate, "why");
            if (!report_is(report_text_at(gate, "verdict"), order[bad[b]]))
                continue;
            p->format->heading(p, 3, NULL, report_line(p, "%s %s: %s", report_text_at(gate, "gate"), report_words(order[bad[b]], &sign),
                                                       report_text_at(gate, "question")));
            p->format->list(p, true);
            json_array_foreach(list, k, why)
                if (k < REPORT_ITEMS_MAX)
                    p->format->item(p, json_string_value(why));
            p->format->list(p, false);
            report_more(p, REPORT_ITEMS_MAX, json_array_size(list), "reasons");
        }
    }
}

static const char *relation_in_words(const char *relation)
{
    static const char *const words[][2] = {{"<=", "at most"}, {">=", "at least"}, {">", "more than"}, {"==", "exactly"}};
    for (size_t i = 0; i < 4; i++)
        if (report_is(relation, words[i][0]))
            return words[i][1];
    return relation ? relation : "";
}

static bool has_limit(const json_t *check)
{
    return json_is_number(json_object_get(check, "limit"));
}

/* The share of its limit that a check uses up; below 0 for one that cannot say. */
static double used(const json_t *check)
{
    const char *relation = report_text_at(check, "relation");
    const double value = report_number_at(check, "value"), limit = report_number_at(check, "limit");
    if (!isfinite(value) || !isfinite(limit) || value < 0 || limit < 0 || report_is(relation, "=="))
        return -1;
    const double low = relation && relation[0] == '<' ? value : limit, high = relation && relation[0] == '<' ? limit : value;
    return high > 0 ? low / high : -1;
}

/* The first that does not hold, else the one nearest to its limit. */
static const json_t *worst_check(const json_t *gate)
{
    size_t i;
    json_t *check;
    const json_t *worst = json_array_get(json_object_get(gate, "checks"), 0);
    json_array_foreach(json_object_get(gate, "checks"), i, check) {
        if (!json_is_true(json_object_get(check, "ok")))
            return check;
        if (used(check) > used(worst))
            worst = check;
    }
    return worst;
}

static const char *check_in_words(report_page *p, const json_t *check)
{
    const char *what = report_text_at(check, "what");
    if (!check)
        return "nothing was compared";
    const double share = used(check), value = report_number_at(check, "value");
    const bool tells = share >= 0 && json_is_true(json_object_get(check, "ok"));
    char percent[32] = "";
    if (tells && share < 0.01)
        snprintf(percent, sizeof percent, " (below 1 %% of it)");
    else if (tells)
        snprintf(percent, sizeof percent, " (%d %% of it)", (int)(share * 100 + 0.5));
    if (isnan(value))
        return report_line(p, "%.300s: not finite, or not measured", what);
    if (!has_limit(check))
        return report_line(p, "%.300s: %s, no limit is set", what, report_digits_of(value).text);
    return report_line(p, "%.300s: %s, must be %s %s%s", what, report_digits_of(value).text, relation_in_words(report_text_at(check, "relation")),
                       report_digits_of(report_number_at(check, "limit")).text, report_text_at(check, "relation")[0] == '<' ? percent : "");
}

static void gates(report_page *p)
{
    static const char *const columns[] = {"Gate", "Question", "Verdict", "Worst check"};
    static const report_table table = {.caption = "Gates", .columns = columns, .n_columns = 4, .narrow = true};
    size_t i;
    json_t *gate;
    p->format->heading(p, 2, "gates", "Gates");
    report_open_table(p, &table);
    json_array_foreach(json_object_get(p->report, "gates"), i, gate) {
        const char *verdict = report_text_at(gate, "verdict");
        const bool checked = json_array_size(json_object_get(gate, "checks")) > 0;
        report_cell(p, REPORT_HEAD, report_text_at(gate, "gate"));
        report_cell(p, REPORT_TEXT, report_text_at(gate, "question"));
        report_cell(p, REPORT_WORD, verdict);
        report_cell(p, REPORT_TEXT, checked || report_is(verdict, CONURE_GATE_PASS) ? check_in_words(p, worst_check(gate)) : reason_of(gate));
    }
    report_close_table(p);
}

static void checks_of(report_page *p, const json_t *gate)
{
    static const char *const columns[] = {"Check", "Value", "Must be", "Result", "Where"};
    const report_table table = {.caption = report_text_at(gate, "gate"), .columns = columns, .n_columns = 5, .narrow = true};
    const json_t *checks = json_object_get(gate, "checks");
    size_t i, shown = 0;
    json_t *check;
    if (json_array_size(checks) == 0)
        return;
    p->format->heading(p, 3, NULL, report_line(p, "%s: %s", report_text_at(gate, "gate"), report_text_at(gate, "question")));
    report_open_table(p, &table);
    for (int holds = 0; holds < 2; holds++) { /* so that what is cut off is what holds */
        json_array_foreach(checks, i, check) {
            const bool ok = json_is_true(json_object_get(check, "ok"));
            if (ok != (holds == 1) || shown == REPORT_ROWS_MAX)
                continue;
            shown++;
            report_cell(p, REPORT_HEAD, report_text_at(check, "what"));
            report_cell(p, REPORT_NUMBER, json_is_number(json_object_get(check, "value")) ? report_digits_of(report_number_at(check, "value")).text :
                                          "not finite, or not measured");
            report_cell(p, REPORT_NUMBER, !has_limit(check) ? "no limit is set" :
                                          report_line(p, "%s %s", relation_in_words(report_text_at(check, "relation")),
                                                      report_digits_of(report_number_at(check, "limit")).text));
            report_cell(p, REPORT_WORD, ok ? "holds" : "fails");
            report_cell(p, REPORT_TEXT, report_text_at(check, "where") ? report_text_at(check, "where") : "");
        }
    }
    report_close_table(p);
    report_more(p, shown, json_array_size(checks), "checks");
    if (report_is(report_text_at(gate, "verdict"), CONURE_GATE_PASS)) /* else they are said under "Why" */
        json_array_foreach(json_object_get(gate, "why"), i, check)
            if (i < REPORT_ITEMS_MAX)
                p->format->paragraph(p, json_string_value(check));
}

static void all_checks(report_page *p)
{
    size_t i;
    json_t *gate;
    p->format->heading(p, 2, "checks", "Every check");
    json_array_foreach(json_object_get(p->report, "gates"), i, gate)
        checks_of(p, gate);
}

static void risks(report_page *p)
{
    const json_t *list = json_object_get(p->report, "risks");
    size_t i;
    json_t *risk;
    p->format->heading(p, 2, "risks", "Risks that stay");
    p->format->list(p, true);
    json_array_foreach(list, i, risk)
        if (i < REPORT_ITEMS_MAX)
            p->format->item(p, json_string_value(risk));
    p->format->item(p, "What was not measured is not known: other models, contracts, precisions, machines and kinds of speech than those "
                       "named here.");
    p->format->list(p, false);
    report_more(p, REPORT_ITEMS_MAX, json_array_size(list), "risks");
}

/* ---- what it rests on ------------------------------------------------------------------------- */

static void tolerances(report_page *p)
{
    static const char *const members[][2] = {{"file", "tolerances"}, {"entry", "tolerances: entry"}, {"why", "tolerances: why this entry"},
                                             {"source", "tolerances: where the numbers come from"}, {"sha256", "tolerances: SHA-256"}};
    const json_t *t = report_at(p->stages, "functional.tolerances");
    t = t ? t : report_at(p->stages, "closed_loop.tolerances");
    for (size_t i = 0; i < 5; i++)
        report_fact(p, members[i][1], i == 4 ? REPORT_CODE : REPORT_TEXT, report_text_at(t, members[i][0]));
}

/* Members that are texts, numbers or truths, and those of objects within, as far as they are few. */
static void facts_of(report_page *p, const char *prefix, const json_t *object, int depth, size_t *room)
{
    const char *key;
    json_t *value;
    char name[160];
    json_object_foreach((json_t *)object, key, value) {
        snprintf(name, sizeof name, "%.*s: %.*s", 60, prefix, 60, key);
        if (*room == 0)
            return;
        if (json_is_object(value) && depth > 0) {
            facts_of(p, name, value, depth - 1, room);
            continue;
        }
        if (!json_is_string(value) && !json_is_number(value) && !json_is_boolean(value))
            continue;
        (*room)--;
        report_fact(p, name, strstr(key, "sha256") ? REPORT_CODE : REPORT_TEXT,
                    json_is_string(value) ? json_string_value(value) : json_is_number(value) ? report_digits_of(json_number_value(value)).text :
                    json_is_true(value) ? "yes" : "no");
    }
}

static void files(report_page *p)
{
    static const char *const columns[] = {"File", "Path", "SHA-256"};
    static const report_table table = {.caption = "Files", .columns = columns, .n_columns = 3, .narrow = true};
    const json_t *list = report_at(p->stages, "inputs.files");
    const char *key;
    json_t *file;
    size_t shown = 0;
    if (json_object_size(list) == 0)
        return;
    p->format->heading(p, 3, NULL, "Files");
    report_open_table(p, &table);
    json_object_foreach((json_t *)list, key, file) {
        if (shown++ >= REPORT_ROWS_MAX)
            continue;
        report_cell(p, REPORT_HEAD, key);
        report_cell(p, REPORT_CODE, report_text_at(file, "path"));
        report_cell(p, REPORT_CODE, report_text_at(file, "sha256"));
    }
    report_close_table(p);
    report_more(p, REPORT_ROWS_MAX, shown, "files");
}

static void foundations(report_page *p)
{
    static const char *const columns[] = {"What", "Value"};
    static const report_table table = {.caption = "What it rests on", .columns = columns, .n_columns = 2, .narrow = true};
    static const char *const objects[][2] = {{"inputs.candidate", "candidate"}, {"functional.reference", "reference"},
                                             {"functional.contract", "contract"}, {"inputs.machine", "machine"}, {"inputs.program", "program"}};
    size_t room = REPORT_ROWS_MAX;
    p->format->heading(p, 2, "foundations", "What it rests on");
    report_open_table(p, &table);
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++) {
        facts_of(p, objects[i][1], report_at(p->stages, objects[i][0]), 0, &room);
        if (i == 2)
            tolerances(p);
    }
    facts_of(p, "configuration", json_object_get(p->report, "config"), 1, &room);
    report_close_table(p);
    files(p);
}

/* ---- the end ---------------------------------------------------------------------------------- */

static int add_to_sum(const char *data, size_t bytes, void *sha)
{
    conure_sha256_add(sha, data, bytes);
    return 0;
}

/* Ties a page on paper to the file. */
static void sum_of(const json_t *value, char hex[65])
{
    conure_sha256 sha;
    conure_sha256_init(&sha);
    if (value)
        json_dump_callback(value, add_to_sum, &sha, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    conure_sha256_hex(&sha, hex);
}

static void sign_off(report_page *p)
{
    static const char *const columns[] = {"Name", "Decision", "Date", "Signature"};
    static const report_table table = {.caption = "Sign-off", .columns = columns, .n_columns = 4};
    char hex[65];
    sum_of(p->stages, hex);
    p->format->heading(p, 2, "sign-off", "Sign-off");
    p->format->paragraph(p, report_line(p, "To be filled in by hand. The verdict is \"%s\"; a decision against it needs its reason beside it. "
                                           "SHA-256 of the evidence (\"stages\": keys sorted, no spaces, 17 digits): %s",
                                        report_text_at(p->report, "verdict"), hex));
    report_open_table(p, &table);
    for (size_t i = 0; i < 2 * table.n_columns; i++)
        cell(p, REPORT_TEXT, NULL);
    report_close_table(p);
}

/* One word for a shell, whatever is in it. */
static void quote(conure_buffer *out, const char *text)
{
    conure_buffer clean = {0};
    conure_plain_text(&clean, text, 0);
    conure_buffer_text(out, "'");
    for (const char *c = clean.data; c && *c; c++)
        conure_buffer_add(out, *c == '\'' ? "'\\''" : c, *c == '\'' ? 4 : 1);
    conure_buffer_text(out, "'");
    out->failed = out->failed || clean.failed;
    conure_buffer_free(&clean);
}

/* Without a configuration's file: what of it has an option. */
static void repeat_options(report_page *p, conure_buffer *command)
{
    static const char *const options[][2] = {{"model", "--model"}, {"candidate", "--candidate"}, {"contract", "--contract"},
                                             {"tolerances", "--tolerances"}, {"audio.manifest", "--manifest"}};
    const json_t *config = json_object_get(p->report, "config");
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        const char *value = report_text_at(config, options[i][0]);
        if (!value)
            continue;
        conure_buffer_format(command, "%s%s ", command->data[command->bytes - 1] == ' ' ? "" : " ", options[i][1]);
        quote(command, value);
    }
}

static void repeat(report_page *p)
{
    const char *config = report_text_at(p->stages, "inputs.files.config.path");
    const char *version = report_text_at(p->stages, "inputs.program.version");
    conure_buffer command = {0};
    p->format->heading(p, 2, "repeat", "How to repeat it");
    p->format->paragraph(p, report_line(p, "With the files above, on the machine above, with conure %.*s:", REPORT_NAME_MAX,
                                        version ? version : conure_version()));
    conure_buffer_text(&command, "conure clear ");
    if (config)
        quote(&command, config);
    else
        repeat_options(p, &command);
    conure_buffer_text(&command, " -o DIR");
    if (!command.failed)
        p->format->command(p, command.data);
    p->out->failed = p->out->failed || command.failed;
    conure_buffer_free(&command);
    p->format->paragraph(p, "This page is a function of the evidence alone: the same evidence gives the same bytes.");
}

conure_status report_write(const report_format *format, const json_t *report, conure_buffer *out)
{
    report_page *p = conure_calloc(1, sizeof *p);
    json_t *judged = conure_clear_judge(report);
    if (p && judged) {
        *p = (report_page){.format = format, .out = out, .given = report, .report = judged, .stages = json_object_get(judged, "stages")};
        first_screen(p);
        disagreement(p);
        reasons(p);
        gates(p);
        foundations(p);
        risks(p);
        report_measured(p);
        report_heard(p);
        report_self_test(p);
        all_checks(p);
        sign_off(p);
        repeat(p);
        format->end(p);
    }
    const bool done = p && judged && !out->failed;
    json_decref(judged);
    free(p);
    return done ? CONURE_OK : CONURE_NO_MEMORY;
}
