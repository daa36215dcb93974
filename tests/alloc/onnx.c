/* onnx.c - allocations and system calls of an export fail in turn: the status says so, nothing leaks, no half of a file is
 * left behind.  There are thousands of allocations, most of them alike (a node's name, its inputs): a prime step picks some. */
#include "../test.h"
#include "inject.h"
#include "onnx/export.h"
#include "onnx/ranges.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "alloc.onnx.tmp"

static conure_model *model;
static conure_export_options options;

/* Removes what is there; the number of files that are neither of the export's. */
static int sweep(void)
{
    char path[512];
    int strange = 0;
    DIR *folder = opendir(FOLDER);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        if (entry->d_name[0] == '.')
            continue;
        strange += strstr(entry->d_name, ".tmp") != NULL;
        snprintf(path, sizeof path, FOLDER "/%s", entry->d_name);
        unlink(path);
    }
    if (folder)
        closedir(folder);
    return strange;
}

static conure_status export_graphs(conure_error *err)
{
    conure_export_report report;
    return conure_export_onnx(model, FOLDER, &options, &report, err);
}

/* Ranges there and back: what was written is whole, or nothing was. */
static conure_status keep_ranges(conure_error *err)
{
    char sha256[65];
    conure_observations *seen = NULL, *back = NULL;
    conure_status status = conure_observe(&seen, model, options.utterances, 1, 1, CONURE_MASK_DEFAULT, NULL, NULL, NULL, err);
    if (status == CONURE_OK)
        status = conure_ranges_write(seen, model, FOLDER "/ranges.json", err);
    if (status == CONURE_OK)
        status = conure_ranges_read(&back, model, FOLDER "/ranges.json", sha256, err);
    conure_observations_free(&seen);
    conure_observations_free(&back);
    return status;
}

static conure_status (*work)(conure_error *err) = export_graphs;

/* least: runs there must be, so that the test reaches what it is about. */
static void each(const char *name, inject_kind kind, long least)
{
    conure_error err = {""};
    test_int(work(&err), CONURE_OK); /* the model's hash is kept from the first time on */
    test_text(err.text, "");
    test_int(sweep(), 0);
    inject_start(INJECT_NOTHING, 0, false);
    test_int(work(&err), CONURE_OK);
    inject_report report = inject_stop();
    test_int(sweep(), 0);
    test_int(report.alive, 0);
    const long total = kind == INJECT_MEMORY ? report.allocations : report.calls, step = total > 400 ? 23 : 1;
    long n_failed = 0, n_runs = 0;
    for (long n = 1; n <= total; n += step, n_runs++) {
        err.text[0] = '\0';
        inject_start(kind, n, n % 2);
        const conure_status status = work(&err);
        report = inject_stop();
        const bool clean = status == CONURE_NO_MEMORY || (kind == INJECT_SYSTEM && status == CONURE_IO);
        if (status != CONURE_OK && !clean)
            fprintf(stderr, "%s, %ld: %s: %s\n", name, n, conure_status_text(status), err.text);
        test_true(status == CONURE_OK || (clean && err.text[0]));
        test_int(report.alive, 0);
        test_int(sweep(), 0);
        n_failed += status != CONURE_OK;
    }
    test_true(2 * n_failed > n_runs && n_runs >= least);
    fprintf(stderr, "%s: %ld of %ld %s, %ld runs failed\n", name, n_runs, total, kind == INJECT_MEMORY ? "allocations" : "system calls",
            n_failed);
}

int main(int argc, char **argv)
{
    const inject_kind kind = argc > 1 && strcmp(argv[1], "system") == 0 ? INJECT_SYSTEM : INJECT_MEMORY;
    static float mel[64 * 80];
    static const conure_utterance speech = {mel, 64};
    conure_contract k;
    conure_contract_options wanted = {.streaming = {.chunk = 2, .shift = 1, .cache_rows = 90, .export_graph = true}};
    conure_error err = {""};
    test_begin(kind == INJECT_SYSTEM ? "alloc.onnx_system" : "alloc.onnx_memory");
    for (int i = 0; i < 64 * 80; i++)
        mel[i] = (float)(i % 13) / 5 - 1;
    mkdir(FOLDER, 0777);
    sweep();
    test_int(conure_model_open(&model, TEST_DATA "/models/tiny-alt.nemo", NULL, &err), CONURE_OK);
    test_int(conure_contract_derive_model(&k, model, &wanted, &err), CONURE_OK);
    options = (conure_export_options){.graphs = CONURE_EXPORT_STREAMING | CONURE_EXPORT_DECODER | CONURE_EXPORT_FEATURES, .opset = 16,
                                      .contract = &k, .external = CONURE_EXTERNAL_ALWAYS, .n_threads = 1, .fusible = true};
    each("f32", kind, 21);
    options.fusible = false;
    options.graphs = CONURE_EXPORT_ENCODER;
    options.precision = CONURE_EXPORT_INT8;
    options.utterances = &speech;
    options.n_utterances = 1;
    if (kind == INJECT_MEMORY) /* the calls are the same */
        each("int8", kind, 21);
    work = keep_ranges;
    each("ranges", kind, 10);
    conure_model_close(&model);
    return test_end();
}
