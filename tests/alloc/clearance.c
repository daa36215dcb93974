/* clearance.c - every allocation and every system call of references, parity, the stages of a clearance and its pages fails in turn: the
 * status says so, nothing leaks, no file is left under its name, and what worked all the same is right. */
#include "../test.h"
#include "clearance/parity.h"
#include "clearance/reference.h"
#include "clearance/report.h"
#include "clearance/stages.h"
#include "inject.h"
#include "model/load.h"

#include <unistd.h>

#define WRITTEN "alloc.reference.jsonl"
enum { CHUNKS = 3 };

static conure_model *model;
static conure_contract contract;
static conure_clearing clearing;
static json_t *evidence;

typedef conure_status (*scenario)(conure_error *err);

static conure_status open_reference(conure_candidate **candidate, conure_source **source, conure_error *err)
{
    const conure_feed feed = {.seed = 42, .n_chunks = CHUNKS};
    *source = NULL;
    conure_status status = conure_candidate_open(candidate, "cpu:f32@isa=c", &contract, model, &clearing.options, err);
    return status == CONURE_OK ? conure_source_live(source, *candidate, &feed, &contract, err) : status;
}

static conure_status write_reference(conure_error *err)
{
    conure_reference_info info = {.seed = 42, .n_chunks = CHUNKS, .engine = "cpu", .precision = "f32"};
    conure_candidate *candidate = NULL;
    conure_source *source;
    conure_reference_writer *writer = NULL;
    conure_chunk last = {0};
    const conure_chunk *chunk;
    uint64_t done;
    char sum[65];
    conure_status status = open_reference(&candidate, &source, err);
    if (status == CONURE_OK)
        status = conure_model_hash(model, info.model_sha256, err);
    if (status == CONURE_OK)
        status = conure_chunk_open(&last, &contract, err);
    if (status == CONURE_OK)
        status = conure_reference_create(&writer, WRITTEN, &contract, &info, false, &done, &last, err);
    while (status == CONURE_OK && (status = source->next(source, &chunk, err)) == CONURE_OK)
        status = conure_reference_add(writer, chunk, err);
    if (status == CONURE_END)
        status = conure_reference_commit(&writer, sum, err);
    conure_reference_close(&writer);
    conure_source_close(&source);
    conure_candidate_close(&candidate);
    conure_chunk_close(&last);
    return status;
}

static conure_status read_reference(conure_error *err)
{
    conure_source *source = NULL;
    const conure_chunk *chunk;
    uint64_t n = 0;
    conure_status status = conure_reference_open(&source, WRITTEN ".kept", err);
    while (status == CONURE_OK && (status = source->next(source, &chunk, err)) == CONURE_OK)
        n++;
    conure_source_close(&source);
    if (status == CONURE_END)
        test_int(n, CHUNKS);
    return status == CONURE_END ? CONURE_OK : status;
}

static conure_status stages(conure_error *err)
{
    static const conure_stage all[] = {CONURE_STAGE_FUNCTIONAL, CONURE_STAGE_CLOSED_LOOP, CONURE_STAGE_NOISE, CONURE_STAGE_BATCH};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        json_t *one = NULL;
        const conure_status status = conure_clear_stage(&one, all[i], &clearing, err);
        test_true((status == CONURE_OK) == (one != NULL));
        test_true(!json_object_get(one, "error")); /* no memory ends a clearance: it is no finding about an engine */
        json_decref(one);
        if (status != CONURE_OK)
            return status;
    }
    return CONURE_OK;
}

static conure_status pages(conure_error *err)
{
    conure_buffer out[3] = {{0}, {0}, {0}};
    conure_status status = conure_report_html(evidence, &out[0]);
    if (status == CONURE_OK)
        status = conure_report_markdown(evidence, &out[1]);
    if (status == CONURE_OK)
        status = conure_report_csv(evidence, "functional", &out[2]);
    for (int i = 0; i < 3; i++)
        conure_buffer_free(&out[i]);
    return status == CONURE_NO_MEMORY ? conure_fail_memory(err, "a page", 1) : status;
}

static void each(const char *name, scenario work, inject_kind kind)
{
    conure_error err = {""};
    test_int(work(&err), CONURE_OK);
    unlink(WRITTEN);
    inject_start(INJECT_NOTHING, 0, false);
    test_int(work(&err), CONURE_OK);
    inject_report report = inject_stop();
    const long total = kind == INJECT_MEMORY ? report.allocations : report.calls;
    const long stride = total > 400 ? total / 60 : 1; /* of thousands that are alike some do */
    long n_failed = 0, n_runs = 0;
    test_int(report.alive, 0);
    for (long n = 1; n <= total; n += n < 40 ? 1 : stride, n_runs++) {
        err.text[0] = '\0';
        unlink(WRITTEN);
        inject_start(kind, n, n % 2);
        const conure_status status = work(&err);
        report = inject_stop();
        const bool clean = status == CONURE_NO_MEMORY || (kind == INJECT_SYSTEM && status == CONURE_IO);
        if (status != CONURE_OK && !clean)
            fprintf(stderr, "%s, %ld: %s: %s\n", name, n, conure_status_text(status), err.text);
        test_true(status == CONURE_OK || (clean && err.text[0]));
        test_int(report.alive, 0);
        test_int(access(WRITTEN, F_OK) == 0, status == CONURE_OK && work == write_reference);
        n_failed += status != CONURE_OK;
    }
    unlink(WRITTEN);
    unlink(WRITTEN ".part");
    test_true(total == 0 || 2 * n_failed > n_runs);
    fprintf(stderr, "%s: %ld %s, %ld of %ld runs failed\n", name, total, kind == INJECT_MEMORY ? "allocations" : "system calls", n_failed, n_runs);
}

int main(int argc, char **argv)
{
    const inject_kind kind = argc > 1 && strcmp(argv[1], "system") == 0 ? INJECT_SYSTEM : INJECT_MEMORY;
    const conure_contract_options o = {.streaming = {.chunk = 8, .shift = 1, .cache_rows = 8, .export_graph = true}, .profiles = "121"};
    conure_error err = {""};
    json_t *one = NULL;
    test_begin(kind == INJECT_SYSTEM ? "alloc.clearance_system" : "alloc.clearance_memory");
    test_int(conure_model_open(&model, TEST_DATA "/models/tiny-v3.nemo", NULL, &err), CONURE_OK);
    test_int(conure_contract_derive_model(&contract, model, &o, &err), CONURE_OK);
    conure_clearing_init(&clearing);
    clearing.model = model;
    clearing.contract = &contract;
    clearing.candidate = "cpu:f32@isa=c";
    clearing.options.n_threads = 1;
    clearing.n_functional = clearing.n_closed_loop = CHUNKS;
    clearing.n_noise = 1;
    test_int(conure_clear_stage(&one, CONURE_STAGE_FUNCTIONAL, &clearing, &err), CONURE_OK);
    evidence = json_pack("{s:{}, s:{s:o}}", "config", "stages", "functional", one);
    test_int(write_reference(&err), CONURE_OK);
    test_int(rename(WRITTEN, WRITTEN ".kept"), 0);
    each("write_reference", write_reference, kind);
    each("read_reference", read_reference, kind);
    if (kind == INJECT_MEMORY) { /* these make no system call */
        each("stages", stages, kind);
        each("pages", pages, kind);
    }
    unlink(WRITTEN ".kept");
    json_decref(evidence);
    conure_model_close(&model);
    return test_end();
}
