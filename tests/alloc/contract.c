/* contract.c - every allocation and every system call of reading, writing and checking contracts fails in turn: the status says so,
 * nothing leaks, no file is left behind, and what worked all the same is right. */
#include "../test.h"
#include "clearance/check.h"
#include "contract/metrics.h"
#include "inject.h"

#include <unistd.h>

#define WRITTEN "alloc.contract.json"

static conure_model *model;
static const conure_engine *engine;
static void *self;
static conure_contract tiny;

typedef conure_status (*scenario)(conure_error *err);

static conure_status read_and_write(conure_error *err)
{
    conure_contract k;
    conure_status status = conure_contract_read(&k, SOURCE_DIR "/contracts/encoder_streaming.contract.json", NULL, err);
    if (status == CONURE_OK)
        status = conure_contract_write(&k, WRITTEN, err);
    return status;
}

static conure_status check(conure_error *err)
{
    static conure_check_report report;
    const conure_check_options o = {.n_steps = 2};
    const conure_status status = conure_contract_check_engine(&tiny, engine, self, &o, &report, err);
    if (status == CONURE_OK)
        test_int(report.n_violated, 0); /* no memory is no fault of the engine */
    return status;
}

static conure_status show(conure_error *err)
{
    static const conure_metrics metrics;
    const conure_metrics_set set = {.metrics = &metrics};
    conure_buffer out = {0};
    conure_metrics_text(&out, &set, 1);
    const bool failed = out.failed;
    conure_buffer_free(&out);
    return failed ? conure_fail_memory(err, "metrics", 1) : CONURE_OK;
}

static void each(const char *name, scenario work, inject_kind kind)
{
    conure_error err = {""};
    test_int(work(&err), CONURE_OK); /* what is kept from a first time: the engine's room */
    unlink(WRITTEN);
    inject_start(INJECT_NOTHING, 0, false);
    test_int(work(&err), CONURE_OK);
    inject_report report = inject_stop();
    unlink(WRITTEN);
    const long total = kind == INJECT_MEMORY ? report.allocations : report.calls;
    long n_failed = 0;
    test_int(report.alive, 0);
    for (long n = 1; n <= total; n++) {
        err.text[0] = '\0';
        inject_start(kind, n, n % 2);
        const conure_status status = work(&err);
        report = inject_stop();
        const bool clean = status == CONURE_NO_MEMORY || (kind == INJECT_SYSTEM && status == CONURE_IO);
        if (status != CONURE_OK && !clean)
            fprintf(stderr, "%s, %ld: %s: %s\n", name, n, conure_status_text(status), err.text);
        test_true(status == CONURE_OK || (clean && err.text[0]));
        test_int(report.alive, 0);
        test_int(access(WRITTEN, F_OK) == 0, status == CONURE_OK && work == read_and_write);
        unlink(WRITTEN);
        n_failed += status != CONURE_OK;
    }
    test_true(2 * n_failed > total); /* also: there is something to fail */
    fprintf(stderr, "%s: %ld %s, %ld runs failed\n", name, total, kind == INJECT_MEMORY ? "allocations" : "system calls", n_failed);
}

int main(int argc, char **argv)
{
    const inject_kind kind = argc > 1 && strcmp(argv[1], "system") == 0 ? INJECT_SYSTEM : INJECT_MEMORY;
    const conure_engine_options options = {.n_threads = 1, .precision = CONURE_PRECISION_F32, .mask = CONURE_MASK_NEMO};
    const conure_contract_options o = {.streaming = {.chunk = 6, .shift = 3, .cache_rows = 8}, .b_max = 2};
    conure_error err = {""};
    test_begin(kind == INJECT_SYSTEM ? "alloc.contract_system" : "alloc.contract_memory");
    test_int(conure_model_open(&model, TEST_DATA "/models/tiny-v3.nemo", NULL, &err), CONURE_OK);
    test_int(conure_contract_derive_model(&tiny, model, &o, &err), CONURE_OK);
    test_int(conure_engine_find(&engine, "cpu", &err), CONURE_OK);
    test_int(engine->open(&self, model, &options, &err), CONURE_OK);
    each("read_and_write", read_and_write, kind);
    if (kind == INJECT_MEMORY) { /* these make no system call */
        each("check", check, kind);
        each("show", show, kind);
    }
    engine->close(&self);
    conure_model_close(&model);
    return test_end();
}
