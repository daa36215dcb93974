/* report.c - reports are a function of the evidence alone, follow every number of it, and take whatever a file may hold.  With a FOLDER as
 * argument pages are written there too, for the readers in report.py and for eyes. */
#include "../test.h"
#include "clearance/judge.h"
#include "clearance/report.h"

#include <locale.h>

enum { CLOSED = 300 };

typedef conure_status renderer(const json_t *report, conure_buffer *out);

/* ---- evidence --------------------------------------------------------------------------------- */

static json_t *numbers(size_t n, double low, double high, uint64_t seed)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_real((double)test_uniform(&seed, (float)low, (float)high)));
    return list;
}

static void add_series(json_t *run, size_t n)
{
    json_t *series = json_object(), *chunks = json_array(), *lengths = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(chunks, json_integer((json_int_t)i));
        json_array_append_new(lengths, json_integer(i + 1 < 256 ? (json_int_t)i + 1 : 256));
    }
    json_object_set_new(series, "chunk", chunks);
    json_object_set_new(series, "encoder_output", numbers(n, 8e-7, 1.6e-6, 3));
    json_object_set_new(series, "encoder_output_relative", numbers(n, 3e-7, 6e-7, 4));
    json_object_set_new(series, "cache_last_channel", numbers(n, 1e-6, 2e-6, 5));
    json_object_set_new(series, "cache_last_channel_relative", numbers(n, 3e-7, 6e-7, 6));
    json_object_set_new(series, "cache_last_time", numbers(n, 7e-7, 1.5e-6, 7));
    json_object_set_new(series, "cache_last_time_relative", numbers(n, 3e-7, 6e-7, 8));
    json_object_set_new(series, "cache_length", lengths);
    json_object_set(series, "reference_cache_length", lengths);
    json_object_set_new(series, "seconds", numbers(n, 0.14f, 0.18f, 9));
    json_object_set_new(run, "series", series);
}

static json_t *stage_of(const json_t *evidence, const char *name)
{
    return json_object_get(json_object_get(evidence, "stages"), name);
}

/* Everything passes. */
static json_t *sample(void)
{
    json_error_t error;
    json_t *evidence = json_load_file(SOURCE_DIR "/tests/clearance/evidence.json", 0, &error), *stages = json_object_get(evidence, "stages");
    json_t *functional = json_object_get(stages, "functional"), *closed = json_deep_copy(functional);
    test_true(evidence != NULL);
    json_object_set_new(closed, "mode", json_string("closed_loop"));
    json_object_set_new(stages, "closed_loop", closed);
    add_series(functional, 50);
    add_series(closed, CLOSED);
    json_object_set_new(stage_of(evidence, "latency"), "seconds", numbers(200, 0.13, 0.19, 11));
    return evidence;
}

static void set_error(json_t *evidence, const char *stage, size_t chunk, double error)
{
    json_array_set_new(json_object_get(json_object_get(stage_of(evidence, stage), "series"), "encoder_output"), chunk, json_real(error));
}

static conure_buffer render(renderer *as, const json_t *report)
{
    conure_buffer out = {0};
    test_int(as(report, &out), CONURE_OK);
    test_true(out.bytes > 0 && out.bytes < CONURE_REPORT_BYTES_MAX);
    return out;
}

static conure_buffer csv(const json_t *report, const char *part)
{
    conure_buffer out = {0};
    test_int(conure_report_csv(report, part, &out), CONURE_OK);
    return out;
}

static renderer *const renderers[] = {conure_report_html, conure_report_markdown};

/* ---- what is the same, what changes ----------------------------------------------------------- */

static void same_bytes(void)
{
    json_t *evidence = sample(), *judged = conure_clear_judge(evidence), *again = json_deep_copy(evidence);
    const bool comma = setlocale(LC_ALL, "de_DE.UTF-8") != NULL;
    for (int i = 0; i < 2; i++) {
        conure_buffer a = render(renderers[i], evidence), b = render(renderers[i], again), c = render(renderers[i], judged);
        test_text(b.data, a.data);
        test_text(c.data, a.data); /* a report is its evidence */
        conure_buffer_free(&a);
        conure_buffer_free(&b);
        conure_buffer_free(&c);
    }
    setlocale(LC_ALL, "C");
    fprintf(stderr, "with a decimal comma: %s\n", comma ? "yes" : "no such locale here");
    json_decref(again);
    json_decref(judged);
    json_decref(evidence);
}

/* The first <svg> with this title. */
static const char *plot_in(const conure_buffer *page, const char *title, size_t *bytes)
{
    const char *at = strstr(page->data, title), *end = at ? strstr(at, "</svg>") : NULL;
    *bytes = end ? (size_t)(end - at) : 0;
    return at;
}

static void one_number(void)
{
    json_t *evidence = sample();
    size_t before_bytes, after_bytes;
    conure_buffer before = render(conure_report_html, evidence), text = render(conure_report_markdown, evidence);
    conure_buffer rows = csv(evidence, "closed_loop");
    test_contains(before.data, "Yes: cleared");
    test_contains(text.data, "Yes: cleared");
    set_error(evidence, "closed_loop", 123, 0.012);
    conure_buffer after = render(conure_report_html, evidence), other_text = render(conure_report_markdown, evidence);
    conure_buffer other_rows = csv(evidence, "closed_loop");
    test_contains(after.data, "No: not cleared");
    test_contains(after.data, "largest in chunk 123");
    test_contains(after.data, "<td class=\"n\">0.012</td>"); /* the table of differences */
    test_true(strstr(before.data, "<td class=\"n\">0.012</td>") == NULL);
    test_contains(other_text.data, "No: not cleared");
    test_contains(other_text.data, "| 0.012 |");
    test_contains(other_rows.data, "\n123,0.012");
    const char *a = plot_in(&before, "encoder_output, closed loop", &before_bytes);
    const char *b = plot_in(&after, "encoder_output, closed loop", &after_bytes);
    test_true(a && b && before_bytes > 1000 && (before_bytes != after_bytes || memcmp(a, b, before_bytes) != 0));
    test_true(strcmp(rows.data, other_rows.data) != 0);
    conure_buffer_free(&before);
    conure_buffer_free(&after);
    conure_buffer_free(&text);
    conure_buffer_free(&other_text);
    conure_buffer_free(&rows);
    conure_buffer_free(&other_rows);
    json_decref(evidence);
}

static void not_a_number(void)
{
    json_t *evidence = sample(), *run = stage_of(evidence, "functional");
    json_array_set_new(json_object_get(json_object_get(run, "series"), "encoder_output"), 31, json_null());
    json_object_set_new(json_object_get(json_object_get(run, "tensors"), "encoder_output"), "not_finite", json_integer(2));
    conure_buffer page = render(conure_report_html, evidence), text = render(conure_report_markdown, evidence);
    test_contains(page.data, "No: not cleared");
    test_contains(page.data, "finite failed");
    test_contains(page.data, "not finite: 1"); /* in the plot */
    test_contains(page.data, "not finite, or not measured");
    test_contains(text.data, "| 30 to 34 | not finite |");
    conure_buffer_free(&page);
    conure_buffer_free(&text);
    json_decref(evidence);
}

/* A verdict that was typed. */
static void edited(void)
{
    json_t *evidence = sample();
    set_error(evidence, "functional", 7, 0.5);
    json_t *report = conure_clear_judge(evidence);
    test_text(json_string_value(json_object_get(report, "verdict")), CONURE_NOT_CLEARED);
    json_object_set_new(report, "verdict", json_string("cleared"));
    json_object_set_new(json_array_get(json_object_get(report, "gates"), CONURE_GATE_FUNCTIONAL), "verdict", json_string("pass"));
    for (int i = 0; i < 2; i++) {
        conure_buffer page = render(renderers[i], report);
        test_contains(page.data, "No: not cleared");
        test_contains(page.data, "The file was edited");
        test_contains(page.data, "Gate functional: the file says");
        test_true(strstr(page.data, "Yes: cleared") == NULL);
        conure_buffer_free(&page);
    }
    json_decref(report);
    json_decref(evidence);
}

static void verdicts(void)
{
    json_t *evidence = sample();
    json_object_set_new(stage_of(evidence, "self_test"), "error", json_string("no place left on the disk"));
    conure_buffer page = render(conure_report_html, evidence);
    test_contains(page.data, "Unknown: not judged");
    test_contains(page.data, "no place left on the disk");
    conure_buffer_free(&page);
    json_object_del(json_object_get(evidence, "stages"), "self_test");
    page = render(conure_report_html, evidence);
    test_contains(page.data, "Not yet: not proven");
    test_contains(page.data, "self_test did not run");
    conure_buffer_free(&page);
    json_object_set_new(json_object_get(json_object_get(evidence, "config"), "not_applicable"), "audio", json_string("a model without words"));
    page = render(conure_report_html, evidence);
    test_contains(page.data, "Of tensors only");
    conure_buffer_free(&page);
    json_decref(evidence);
}

/* ---- hostile ---------------------------------------------------------------------------------- */

static const char markup[] = "</td><script>alert(1)</script>|a `b` *c* [d](https://e.example) \"f\" 'g' & \n# h \xe2\x80\xae \x1b[31m";

static void replace(json_t **value, const char *with)
{
    const char *key;
    json_t *one;
    size_t i;
    void *tmp;
    json_object_foreach_safe(*value, tmp, key, one)
        if (json_is_string(one) && strcmp(key, "gate") != 0 && strcmp(key, "relation") != 0)
            json_object_set_new(*value, key, json_string(with));
        else
            replace(&one, with);
    json_array_foreach(*value, i, one)
        replace(&one, with);
}

static void escaping(void)
{
    json_t *evidence = sample();
    replace(&evidence, markup);
    conure_buffer html = render(conure_report_html, evidence), text = render(conure_report_markdown, evidence), rows = csv(evidence, "audio");
    test_true(strstr(html.data, "<script") == NULL);
    test_contains(html.data, "&lt;script&gt;alert(1)");
    *strstr(text.data, "\n    conure clear ") = '\0'; /* a block of code is as it is */
    test_true(strstr(text.data, "<script") == NULL && strstr(text.data, "\n# h") == NULL && strstr(text.data, "https://") == NULL);
    test_contains(text.data, "\\[d\\](https\\://e.example)");
    test_contains(text.data, "\\|a \\`b\\` \\*c\\*");
    test_contains(rows.data, "\"\"f\"\"");
    for (const char *c = html.data; *c; c++)
        test_true(*c != '\x1b');
    conure_buffer_free(&html);
    conure_buffer_free(&text);
    conure_buffer_free(&rows);
    json_decref(evidence);
}

static void formulas(void)
{
    static const char *const names[][2] = {{"=1+1", "\"'=1+1\""}, {"  @SUM(A1)", "\"'  @SUM(A1)\""}, {"-2", "\"'-2\""}, {"a-b", "\"a-b\""},
                                           {"two\nlines", "\"two\xef\xbf\xbdlines\""}, {"", "\"\""}};
    json_t *evidence = sample(), *clip = json_array_get(json_object_get(stage_of(evidence, "audio"), "clips"), 0);
    conure_buffer nothing = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_object_set_new(clip, "name", json_string(names[i][0]));
        conure_buffer rows = csv(evidence, "audio");
        test_contains(rows.data, names[i][1]);
        conure_buffer_free(&rows);
    }
    json_object_set_new(stage_of(evidence, "audio"), "redacted", json_true());
    conure_buffer rows = csv(evidence, "audio"), page = render(conure_report_html, evidence);
    test_true(strstr(rows.data, "kettle") == NULL && strstr(page.data, "kettle") == NULL);
    test_int(conure_report_csv(evidence, "gates", &nothing), CONURE_BAD_ARG);
    conure_buffer_free(&rows);
    conure_buffer_free(&page);
    json_decref(evidence);
}

static void all_of(const json_t *evidence)
{
    static const char *const parts[] = {"functional", "closed_loop", "latency", "audio"};
    static unsigned turn; /* they read the same way */
    conure_buffer page = render(renderers[turn++ % 2], evidence);
    conure_buffer_free(&page);
    for (int i = 0; i < 4; i++) {
        conure_buffer rows = csv(evidence, parts[i]);
        conure_buffer_free(&rows);
    }
}

/* Each member of the tree in turn becomes another value; what = NULL deletes it. */
static void each_member(const json_t *whole, json_t *at, json_t *what)
{
    const char *key;
    json_t *value, *members = json_copy(at);
    json_object_foreach(members, key, value) {
        if (what)
            json_object_set(at, key, what);
        else
            json_object_del(at, key);
        all_of(whole);
        json_object_set(at, key, value);
        json_t *within = json_is_array(value) ? json_array_get(value, 0) : value;
        if (json_is_object(within))
            each_member(whole, within, what);
    }
    json_decref(members);
}

static void broken(void)
{
    json_t *evidence = sample(), *nothing = json_object();
    json_t *const values[] = {NULL, json_real(-1e308), json_string("x"), json_pack("[s,n,{}]", "y")};
    add_series(stage_of(evidence, "functional"), 5); /* shorter ones, so that this takes little time */
    add_series(stage_of(evidence, "closed_loop"), 5);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        each_member(evidence, evidence, values[i]);
        if (values[i])
            all_of(values[i]);
        json_decref(values[i]);
    }
    all_of(nothing);
    json_decref(nothing);
    json_decref(evidence);
}

/* A name that is cut within a character takes neither its check nor its reason away. */
static void cut_within_a_character(void)
{
    json_t *evidence = sample(), *fault = json_array_get(json_object_get(stage_of(evidence, "self_test"), "faults"), 0);
    json_t *check = json_array_get(json_object_get(stage_of(evidence, "inputs"), "checks"), 0);
    char name[3003];
    for (int shift = 0; shift < 3; shift++) {
        memset(name, 'a', 3);
        for (size_t i = 0; i < 999; i++)
            memcpy(name + shift + 3 * i, "\xe6\x97\xa5", 3);
        name[shift + 2997] = '\0';
        json_object_set_new(fault, "fault", json_string(name));
        json_object_set_new(fault, "failed", json_array());
        json_object_set_new(check, "what", json_string(name));
        json_object_set_new(check, "value", json_integer(1));
        json_t *report = conure_clear_judge(evidence), *gates = json_object_get(report, "gates");
        for (int g = 0; g < 2; g++) {
            const json_t *gate = json_array_get(gates, g ? CONURE_GATE_SELF_TEST : CONURE_GATE_INTEGRITY);
            test_text(json_string_value(json_object_get(gate, "verdict")), CONURE_GATE_FAIL);
            test_int(json_array_size(json_object_get(gate, "why")), 1);
            test_int(json_array_size(json_object_get(gate, "checks")), g ? 4 : 1);
        }
        test_int(json_array_size(json_object_get(report, "why")), 2);
        json_decref(report);
    }
    json_decref(evidence);
}

/* However long: what is shown is bounded. */
static void large(void)
{
    enum { POINTS = 200000, MANY = 1800, LONG = 2000 };
    json_t *evidence = sample(), *list = json_array();
    char *text = malloc(LONG + 1);
    memset(text, '<', LONG);
    text[LONG] = '\0';
    add_series(stage_of(evidence, "closed_loop"), POINTS);
    set_error(evidence, "closed_loop", 154321, 0.25);
    conure_buffer page = render(conure_report_html, evidence);
    test_true(page.bytes < 400000);
    test_contains(page.data, "largest in chunk 154321");
    test_contains(page.data, "largest 0.25 at 154321");
    conure_buffer_free(&page);
    add_series(stage_of(evidence, "closed_loop"), CLOSED);
    for (int i = 0; i < MANY; i++)
        json_array_append_new(list, json_pack("{s:s,s:s,s:i,s:s,s:i,s:s}", "gate", conure_gate_name(i % CONURE_GATES), "what", text, "value", 1,
                                              "relation", "==", "limit", 2, "where", text));
    json_object_set_new(stage_of(evidence, "inputs"), "checks", list);
    json_object_set_new(stage_of(evidence, "inputs"), "machine", json_pack("{s:s}", "cpu", text));
    for (int i = 0; i < 2; i++) {
        page = render(renderers[i], evidence);
        conure_buffer_free(&page);
    }
    free(text);
    json_decref(evidence);
}

/* What a step's parts took, with what is not listed; a report that has none, or nonsense, has no such table. */
static void parts_of_a_step(void)
{
    json_t *evidence = sample();
    conure_buffer page = render(conure_report_markdown, evidence);
    test_contains(page.data, "layers.0/ff1/linear1");
    test_contains(page.data, "the other 410 of 412");
    test_contains(page.data, "3072");
    conure_buffer_free(&page);
    page = render(conure_report_html, evidence);
    test_contains(page.data, "&lt;norm&gt;");
    conure_buffer_free(&page);
    json_object_set_new(json_object_get(stage_of(evidence, "latency"), "parts"), "number", json_integer(2)); /* all of them are listed */
    page = render(conure_report_markdown, evidence);
    test_contains(page.data, "layers.0/ff1/linear1");
    test_true(!strstr(page.data, "the other "));
    conure_buffer_free(&page);
    json_object_set_new(stage_of(evidence, "latency"), "parts", json_pack("{s:s, s:[i, s, {s:i}]}", "seconds", "x", "longest", 1, "y", "name", 3));
    json_object_set_new(stage_of(evidence, "latency"), "state", json_integer(1));
    for (int i = 0; i < 2; i++) {
        page = render(renderers[i], evidence);
        conure_buffer_free(&page);
    }
    json_object_del(stage_of(evidence, "latency"), "parts");
    page = render(conure_report_markdown, evidence);
    test_true(!strstr(page.data, "Part of a step"));
    conure_buffer_free(&page);
    json_decref(evidence);
}

/* Speech by tolerances that are of made-up features alone; by others nothing is said of it. */
static void limits_of_speech(void)
{
    static const char risk[] = "measured on made-up features alone";
    for (int chunks = -1; chunks < 2; chunks++) {
        json_t *evidence = sample(), *speech = json_deep_copy(stage_of(evidence, "functional"));
        if (chunks >= 0)
            json_object_set_new(json_object_get(speech, "tolerances"), "speech_chunks", json_integer(chunks));
        json_object_set_new(json_object_get(evidence, "stages"), "speech", speech);
        conure_buffer page = render(conure_report_markdown, evidence);
        test_true((strstr(page.data, risk) != NULL) == (chunks == 0));
        conure_buffer_free(&page);
        json_decref(evidence);
    }
}

/* ---- for readers ------------------------------------------------------------------------------ */

static void write_file(const char *folder, const char *name, const char *ending, conure_buffer *content)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s.%s", folder, name, ending);
    FILE *file = fopen(path, "wb");
    test_true(file && fwrite(content->data, 1, content->bytes, file) == content->bytes && fclose(file) == 0);
    conure_buffer_free(content);
}

static void write_pages(const char *folder, const char *name, const json_t *evidence)
{
    static const char *const parts[] = {"functional", "closed_loop", "latency", "audio"};
    conure_buffer html = render(conure_report_html, evidence), text = render(conure_report_markdown, evidence);
    char ending[32];
    write_file(folder, name, "html", &html);
    write_file(folder, name, "md", &text);
    for (int i = 0; i < 4; i++) {
        conure_buffer rows = csv(evidence, parts[i]);
        snprintf(ending, sizeof ending, "%s.csv", parts[i]);
        write_file(folder, name, ending, &rows);
    }
}

static void for_readers(const char *folder)
{
    json_t *evidence = sample(), *nothing = json_object(), *hostile = sample();
    write_pages(folder, "cleared", evidence);
    for (size_t i = 0; i < CLOSED; i++) /* a drift, and one bad step */
        set_error(evidence, "closed_loop", i, 1e-6 + 4e-7 * (double)i);
    set_error(evidence, "functional", 17, 0.012);
    write_pages(folder, "not_cleared", evidence);
    json_object_del(json_object_get(evidence, "stages"), "self_test");
    json_object_del(json_object_get(evidence, "stages"), "closed_loop");
    set_error(evidence, "functional", 17, 1e-6);
    json_object_set_new(json_object_get(json_object_get(evidence, "config"), "not_applicable"), "audio", json_string("a tiny model"));
    write_pages(folder, "not_proven", evidence);
    write_pages(folder, "nothing", nothing);
    replace(&hostile, markup);
    write_pages(folder, "hostile", hostile);
    json_decref(hostile);
    json_decref(nothing);
    json_decref(evidence);
}

int main(int argc, char **argv)
{
    test_begin("clearance.report");
    if (argc > 1) {
        for_readers(argv[1]);
        return test_end();
    }
    same_bytes();
    one_number();
    not_a_number();
    edited();
    verdicts();
    escaping();
    formulas();
    broken();
    cut_within_a_character();
    large();
    parts_of_a_step();
    limits_of_speech();
    return test_end();
}
