/* support.h - a small model with its contract, and what runs on it. */
#ifndef CONURE_TESTS_CLEARANCE_SUPPORT_H
#define CONURE_TESTS_CLEARANCE_SUPPORT_H

#include "../test.h"
#include "clearance/candidate.h"
#include "clearance/source.h"

typedef struct small {
    conure_model *model;
    conure_contract contract;
} small;

static inline void good(conure_status status, const conure_error *err)
{
    test_int(status, CONURE_OK);
    if (status != CONURE_OK)
        fprintf(stderr, "%s\n", err->text);
}

/* 121-frame slices keep 7 rows each until 64 are full; 592 of a look-ahead of 72 keep none. */
static inline void small_open(small *s, bool flows)
{
    const conure_contract_options o = flows ? (conure_contract_options){.streaming = {.chunk = 8, .shift = 1, .cache_rows = 64, .export_graph = true},
                                                                        .profiles = "121"}
                                            : (conure_contract_options){.streaming = {.chunk = 73, .shift = 1, .cache_rows = 256, .export_graph = true},
                                                                        .profiles = "592"};
    conure_error err = {""};
    good(conure_model_open(&s->model, TEST_DATA "/models/tiny-v3.nemo", NULL, &err), &err);
    good(conure_contract_derive_model(&s->contract, s->model, &o, &err), &err);
}

static inline void small_close(small *s)
{
    conure_model_close(&s->model);
}

static inline conure_candidate *small_engine(const small *s, const char *spec)
{
    const conure_candidate_options o = {.n_threads = 1};
    conure_candidate *c;
    conure_error err = {""};
    good(conure_candidate_open(&c, spec, &s->contract, s->model, &o, &err), &err);
    if (!c)
        exit(1); /* it has said why */
    return c;
}

#endif
