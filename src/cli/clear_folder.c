/* clear_folder.c - a clearance as a folder: evidence, report, series, and hashes that say whether it is as it was written. */
#include "cli/clear.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/files.h"
#include "base/memory.h"
#include "cli/exit.h"
#include "cli/models.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "clearance/report.h"

enum { FILES_MAX = 64, JSON_FLAGS = JSON_INDENT(1) | JSON_REAL_PRECISION(17) };
#define EVIDENCE_BYTES_MAX ((size_t)512 << 20)

static const char *const series[] = {"functional", "closed_loop", "latency", "audio"};

/* ---- files ------------------------------------------------------------------------------------ */

static conure_status join(char *out, size_t cap, const char *folder, const char *name, conure_error *err)
{
    return conure_path_join(out, cap, folder, name) ? CONURE_OK : conure_fail(err, CONURE_BAD_ARG, "%.100s: the name is too long", folder);
}

static conure_status write_bytes(const char *folder, const char *name, const char *data, size_t bytes, conure_error *err)
{
    char path[4096];
    conure_status status = join(path, sizeof path, folder, name, err);
    if (status == CONURE_OK)
        status = conure_file_write(path, data, bytes, err);
    return status;
}

static conure_status write_json(const char *folder, const char *name, const json_t *tree, conure_error *err)
{
    char *text = json_dumps(tree, JSON_FLAGS);
    const conure_status status = text ? write_bytes(folder, name, text, strlen(text), err) : conure_fail_memory(err, name, 65536);
    free(text);
    return status;
}

static json_t *read_json(const char *folder, const char *name, conure_error *err)
{
    char path[4096];
    char *text = NULL;
    size_t bytes;
    json_error_t why;
    json_t *tree = NULL;
    conure_status status = join(path, sizeof path, folder, name, err);
    if (status == CONURE_OK)
        status = conure_file_read(&text, &bytes, path, EVIDENCE_BYTES_MAX, err);
    if (status == CONURE_OK && !(tree = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why)))
        (void)conure_fail(err, CONURE_BAD_FILE, "%s: line %d: %s", path, why.line, why.text);
    free(text);
    return tree;
}

/* ---- evidence --------------------------------------------------------------------------------- */

static void evidence_name(char *out, size_t cap, conure_stage stage)
{
    snprintf(out, cap, "evidence/%s.json", conure_stage_name(stage));
}

conure_status conure_clear_save(const char *folder, conure_stage stage, json_t *evidence, const char *key, conure_error *err)
{
    char path[4096], name[64];
    conure_status status = join(path, sizeof path, folder, "evidence", err);
    if (status == CONURE_OK)
        status = conure_make_folders(path, err);
    evidence_name(name, sizeof name, stage);
    json_object_set_new(evidence, "key", json_string(key));
    return status == CONURE_OK ? write_json(folder, name, evidence, err) : status;
}

json_t *conure_clear_load(const char *folder, conure_stage stage, const char *key)
{
    char name[64];
    evidence_name(name, sizeof name, stage);
    json_t *evidence = read_json(folder, name, NULL);
    const char *own = json_string_value(json_object_get(evidence, "key"));
    if (evidence && (!own || strcmp(own, key) != 0 || json_object_get(evidence, "error"))) {
        json_decref(evidence);
        return NULL;
    }
    return evidence;
}

void conure_clear_forget(const char *folder, const char *key)
{
    static const char *const pages[] = {"report.html", "report.md", "report.json", "SHA256SUMS", "series/functional.csv", "series/closed_loop.csv",
                                        "series/latency.csv", "series/audio.csv"};
    char path[4096], name[64];
    bool any = false;
    for (conure_stage s = 0; s < CONURE_STAGES; s++) {
        json_t *kept = conure_clear_load(folder, s, key);
        evidence_name(name, sizeof name, s);
        if (!kept && join(path, sizeof path, folder, name, NULL) == CONURE_OK)
            any = unlink(path) == 0 || any;
        json_decref(kept);
    }
    for (size_t i = 0; any && i < sizeof pages / sizeof *pages; i++) /* what was made of it */
        if (join(path, sizeof path, folder, pages[i], NULL) == CONURE_OK)
            unlink(path);
}

/* ---- the report ------------------------------------------------------------------------------- */

typedef conure_status (*renderer)(const json_t *report, conure_buffer *out);

static conure_status render(const char *folder, const char *name, renderer make, const json_t *report, conure_error *err)
{
    conure_buffer out = {0};
    conure_status status = make(report, &out);
    if (status == CONURE_OK && out.failed)
        status = CONURE_NO_MEMORY;
    status = status == CONURE_OK ? write_bytes(folder, name, out.data ? out.data : "", out.bytes, err)
                                 : conure_fail(err, status, "%s: %s", name, conure_status_text(status));
    conure_buffer_free(&out);
    return status;
}

static conure_status write_series(const char *folder, const json_t *report, conure_error *err)
{
    char path[4096], name[64];
    conure_status status = join(path, sizeof path, folder, "series", err);
    if (status == CONURE_OK)
        status = conure_make_folders(path, err);
    for (size_t i = 0; i < sizeof series / sizeof *series && status == CONURE_OK; i++) {
        conure_buffer out = {0};
        snprintf(name, sizeof name, "series/%s.csv", series[i]);
        status = conure_report_csv(report, series[i], &out);
        if (status == CONURE_OK && out.bytes > 0)
            status = write_bytes(folder, name, out.data, out.bytes, err);
        conure_buffer_free(&out);
    }
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Every file that a clearance has, sorted; each to be freed. */
static uint32_t list_files(const char *folder, char *names[FILES_MAX])
{
    static const char *const folders[] = {"", "evidence", "series"};
    uint32_t n = 0;
    for (size_t f = 0; f < sizeof folders / sizeof *folders; f++) {
        char path[4096], name[512];
        if (join(path, sizeof path, folder, folders[f], NULL) != CONURE_OK)
            continue;
        DIR *dir = opendir(*folders[f] ? path : folder);
        for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
            const char *dot = strrchr(e->d_name, '.');
            const bool ours = *folders[f] ? dot && (strcmp(dot, ".json") == 0 || strcmp(dot, ".csv") == 0) : strncmp(e->d_name, "report.", 7) == 0;
            if (!ours || n == FILES_MAX)
                continue;
            snprintf(name, sizeof name, "%s%s%s", folders[f], *folders[f] ? "/" : "", e->d_name);
            if ((names[n] = conure_strdup(name)) != NULL)
                n++;
        }
        if (dir)
            closedir(dir);
    }
    qsort(names, n, sizeof *names, by_name);
    return n;
}

static conure_status hash_file(char hex[65], const char *folder, const char *name, conure_error *err)
{
    char path[4096];
    const conure_status status = join(path, sizeof path, folder, name, err);
    return status == CONURE_OK ? conure_file_sha256(hex, path, err) : status;
}

/* As `sha256sum --check` reads it. */
static conure_status write_sums(const char *folder, conure_error *err)
{
    char *names[FILES_MAX];
    conure_buffer out = {0};
    const uint32_t n = list_files(folder, names);
    conure_status status = CONURE_OK;
    for (uint32_t i = 0; i < n; i++) {
        char hex[65];
        if (status == CONURE_OK)
            status = hash_file(hex, folder, names[i], err);
        if (status == CONURE_OK)
            conure_buffer_format(&out, "%s  %s\n", hex, names[i]);
        free(names[i]);
    }
    if (status == CONURE_OK)
        status = out.failed ? conure_fail_memory(err, "SHA256SUMS", 4096) : write_bytes(folder, "SHA256SUMS", out.data ? out.data : "", out.bytes, err);
    conure_buffer_free(&out);
    return status;
}

conure_status conure_clear_write(const char *folder, const json_t *report, conure_error *err)
{
    conure_status status = write_json(folder, "report.json", report, err);
    if (status == CONURE_OK)
        status = render(folder, "report.html", conure_report_html, report, err);
    if (status == CONURE_OK)
        status = render(folder, "report.md", conure_report_markdown, report, err);
    if (status == CONURE_OK)
        status = write_series(folder, report, err);
    return status == CONURE_OK ? write_sums(folder, err) : status;
}

/* ---- verify ----------------------------------------------------------------------------------- */

static int say_changed(int n, const char *format, const char *a, const char *b)
{
    printf(format, a, b);
    return n + 1;
}

/* Files of a clearance that no line names, or whose line was taken out. */
static int check_listed(const char *folder, const char *sums)
{
    char *names[FILES_MAX];
    const uint32_t n = list_files(folder, names);
    int bad = 0;
    for (uint32_t i = 0; i < n; i++) {
        char line[600];
        snprintf(line, sizeof line, "  %.500s\n", names[i]);
        if (!strstr(sums, line))
            bad = say_changed(bad, "%s: SHA256SUMS does not name it%s\n", names[i], "");
        free(names[i]);
    }
    return bad;
}

/* A page or a series is what the report gives. */
static int check_page(const char *folder, const char *name, const conure_buffer *page)
{
    char path[4096];
    char *text = NULL;
    size_t bytes = 0;
    if (join(path, sizeof path, folder, name, NULL) != CONURE_OK || conure_file_read(&text, &bytes, path, EVIDENCE_BYTES_MAX, NULL) != CONURE_OK)
        return say_changed(0, "%s: is not there%s\n", name, "");
    const bool same = bytes == page->bytes && memcmp(text, page->data, bytes) == 0;
    free(text);
    return same ? 0 : say_changed(0, "%s: is not what the evidence gives%s\n", name, "");
}

static int check_pages(const char *folder, const json_t *report)
{
    static const struct {
        const char *name;
        renderer make;
    } pages[] = {{"report.html", conure_report_html}, {"report.md", conure_report_markdown}};
    int bad = 0;
    for (size_t i = 0; i < 2; i++) {
        conure_buffer page = {0};
        if (pages[i].make(report, &page) == CONURE_OK)
            bad += check_page(folder, pages[i].name, &page);
        conure_buffer_free(&page);
    }
    for (size_t i = 0; i < sizeof series / sizeof *series; i++) {
        conure_buffer page = {0};
        char name[64];
        snprintf(name, sizeof name, "series/%s.csv", series[i]);
        if (conure_report_csv(report, series[i], &page) == CONURE_OK && page.bytes > 0)
            bad += check_page(folder, name, &page);
        conure_buffer_free(&page);
    }
    return bad;
}

/* Lines of SHA256SUMS: how many do not hold; negative: cannot be read. */
static int check_sums(const char *folder)
{
    char path[4096];
    char *text;
    size_t bytes;
    int bad = 0, n = 0;
    conure_error err = {""};
    if (join(path, sizeof path, folder, "SHA256SUMS", &err) != CONURE_OK || conure_file_read(&text, &bytes, path, 1 << 20, &err) != CONURE_OK) {
        conure_say(CONURE_SAY_ERROR, "%s", err.text);
        return -1;
    }
    bad = check_listed(folder, text);
    for (char *line = text, *next; line && *line; line = next) {
        char hex[65];
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        n++;
        if (strlen(line) < 67 || strchr(line + 66, '/') == line + 66 || strstr(line + 66, "..")) {
            bad = say_changed(bad, "SHA256SUMS: a line that is none: %.80s%s\n", line, "");
            continue;
        }
        if (hash_file(hex, folder, line + 66, &err) != CONURE_OK)
            bad = say_changed(bad, "%s: %s\n", line + 66, err.text);
        else if (strncmp(hex, line, 64) != 0)
            bad = say_changed(bad, "%s: is not as it was written%s\n", line + 66, "");
    }
    free(text);
    return n == 0 ? say_changed(bad, "SHA256SUMS: is empty%s%s\n", "", "") : bad;
}

/* Does the evidence give this report?  How many differences, negative: cannot be read. */
static int check_judgement(const char *folder, const json_t *report)
{
    json_t *stages = json_object();
    const char *name;
    json_t *unused;
    int bad = 0;
    json_object_foreach(json_object_get((json_t *)report, "stages"), name, unused) {
        char file[128];
        conure_error err = {""};
        snprintf(file, sizeof file, "evidence/%.64s.json", name);
        json_t *one = read_json(folder, file, &err);
        if (!one)
            bad = say_changed(bad, "%s: %s\n", file, err.text);
        else
            json_object_set_new(stages, name, one);
    }
    json_t *evidence = json_pack("{s:O?, s:o}", "config", json_object_get(report, "config"), "stages", stages);
    json_t *again = conure_clear_judge(evidence);
    if (!json_equal(again, report))
        bad = say_changed(bad, "report.json: its evidence gives another result: %s, it says %s\n",
                          json_string_value(json_object_get(again, "verdict")), json_string_value(json_object_get(report, "verdict")));
    else
        bad += check_pages(folder, report);
    json_decref(again);
    json_decref(evidence);
    return bad;
}

/* What it was made from, as it is now. */
static int check_files(const json_t *report)
{
    const json_t *files = json_object_get(json_object_get(json_object_get(report, "stages"), "inputs"), "files");
    const char *name;
    json_t *file;
    int bad = 0;
    json_object_foreach((json_t *)files, name, file) {
        const char *path = json_string_value(json_object_get(file, "path")), *sha256 = json_string_value(json_object_get(file, "sha256"));
        char now[65] = "";
        conure_error err = {""};
        conure_status status;
        if (!path || !sha256)
            continue;
        if (strcmp(name, "model") == 0) {
            conure_model *model = NULL;
            conure_model_info info = {.struct_bytes = sizeof info};
            status = conure_models_open(&model, conure_clear_text(json_object_get(report, "config"), "model", NULL), NULL, &err);
            if (status == CONURE_OK && (status = conure_model_get_info(model, &info)) == CONURE_OK)
                snprintf(now, sizeof now, "%s", info.sha256);
            conure_model_close(&model);
        } else if (strcmp(name, "recordings") == 0) {
            conure_clear_clips clips;
            status = conure_clear_clips_read(&clips, json_object_get(report, "config"), &err);
            if (status == CONURE_OK)
                status = conure_clear_clips_hash(&clips, now, &err);
            conure_clear_clips_free(&clips);
            if (conure_clear_text(json_object_get(report, "config"), "audio.manifest", NULL) == NULL && !json_object_get(json_object_get(json_object_get(report, "config"), "audio"), "files"))
                continue; /* redacted: nobody knows where they were */
        } else {
            status = conure_file_sha256(now, path, &err);
        }
        if (status != CONURE_OK)
            bad = say_changed(bad, "%s: %s\n", name, err.text);
        else if (strcmp(now, sha256) != 0)
            bad = say_changed(bad, "%s (%s) has changed since: the clearance is not about it\n", name, path);
    }
    return bad;
}

int conure_clear_verify(const char *folder)
{
    conure_error err = {""};
    json_t *report = read_json(folder, "report.json", &err);
    const char *verdict = json_string_value(json_object_get(report, "verdict"));
    int bad = report ? check_sums(folder) : -1;
    if (!verdict || bad < 0) {
        if (!verdict)
            conure_say(CONURE_SAY_ERROR, "%s", report ? "report.json has no verdict" : err.text);
        json_decref(report);
        return CONURE_EXIT_USAGE;
    }
    bad += check_judgement(folder, report) + check_files(report);
    if (bad)
        printf("%d things are not as they were when it was written; run conure clear again\n", bad);
    else
        printf("as it was written, and what it is about has not changed: %s\n", verdict);
    const int code = bad ? CONURE_EXIT_SOME : conure_clear_exit(report);
    json_decref(report);
    return code;
}

/* ---- diff ------------------------------------------------------------------------------------- */

static const json_t *gate_of(const json_t *report, const char *name)
{
    size_t i;
    json_t *gate;
    json_array_foreach(json_object_get(report, "gates"), i, gate)
        if (json_string_value(json_object_get(gate, "gate")) && strcmp(json_string_value(json_object_get(gate, "gate")), name) == 0)
            return gate;
    return NULL;
}

static const json_t *check_of(const json_t *gate, const char *what)
{
    size_t i;
    json_t *check;
    json_array_foreach(json_object_get(gate, "checks"), i, check)
        if (json_string_value(json_object_get(check, "what")) && strcmp(json_string_value(json_object_get(check, "what")), what) == 0)
            return check;
    return NULL;
}

static const char *in_short(char out[32], const json_t *value)
{
    if (json_is_number(value))
        snprintf(out, 32, "%.4g", json_number_value(value));
    else
        snprintf(out, 32, "%s", value ? "not finite" : "none");
    return out;
}

/* Times differ always: they are shown by their gate. */
static int diff_checks(const json_t *a, const json_t *b)
{
    size_t i;
    json_t *check;
    int n = 0;
    json_array_foreach(json_object_get(a, "checks"), i, check) {
        const char *what = json_string_value(json_object_get(check, "what"));
        const json_t *other = what ? check_of(b, what) : NULL, *x = json_object_get(check, "value"), *y = json_object_get(other, "value");
        char left[32], right[32];
        if (!what || (other && json_equal((json_t *)x, (json_t *)y) && json_equal(json_object_get(check, "limit"), json_object_get(other, "limit"))))
            continue;
        printf("    %s: %s, %s\n", what, in_short(left, x), in_short(right, y));
        n++;
    }
    return n;
}

static int diff_files(const json_t *a, const json_t *b)
{
    const json_t *x = json_object_get(json_object_get(json_object_get(a, "stages"), "inputs"), "files");
    const json_t *y = json_object_get(json_object_get(json_object_get(b, "stages"), "inputs"), "files");
    const char *name;
    json_t *file;
    int n = 0;
    json_object_foreach((json_t *)x, name, file) {
        const char *one = json_string_value(json_object_get(file, "sha256")), *two = json_string_value(json_object_get(json_object_get(y, name), "sha256"));
        if (one && two && strcmp(one, two) == 0)
            continue;
        printf("  %s: %.16s, %.16s\n", name, one ? one : "none", two ? two : "none");
        n++;
    }
    return n;
}

int conure_clear_diff(const char *a_folder, const char *b_folder)
{
    conure_error err = {""};
    json_t *a = read_json(a_folder, "report.json", &err), *b = a ? read_json(b_folder, "report.json", &err) : NULL;
    const char *left = json_string_value(json_object_get(a, "verdict")), *right = json_string_value(json_object_get(b, "verdict"));
    int verdicts = 0, code = CONURE_EXIT_USAGE;
    if (left && right) {
        printf("verdict: %s, %s\n", left, right);
        (void)diff_files(a, b);
        for (conure_gate g = 0; g < CONURE_GATES; g++) {
            const json_t *x = gate_of(a, conure_gate_name(g)), *y = gate_of(b, conure_gate_name(g));
            const char *one = json_string_value(json_object_get(x, "verdict")), *two = json_string_value(json_object_get(y, "verdict"));
            const bool same = one && two && strcmp(one, two) == 0;
            verdicts += !same;
            printf("  %-12s %s%s%s\n", conure_gate_name(g), one ? one : "none", same ? "" : ", ", same ? "" : two ? two : "none");
            (void)diff_checks(x, y);
        }
        code = verdicts || strcmp(left, right) != 0 ? CONURE_EXIT_SOME : CONURE_EXIT_GOOD;
    } else {
        conure_say(CONURE_SAY_ERROR, "%s", err.text[0] ? err.text : "a report.json has no verdict");
    }
    json_decref(a);
    json_decref(b);
    return code;
}
