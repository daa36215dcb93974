/* support.h - contracts to test with. */
#ifndef CONURE_TESTS_CONTRACT_SUPPORT_H
#define CONURE_TESTS_CONTRACT_SUPPORT_H

#include "../test.h"
#include "contract/contract.h"
#include "model/random.h"

/* Of the full-size configuration; fails the test when it cannot be derived. */
static inline conure_contract full_size(const conure_contract_options *options)
{
    conure_contract k = {.tool = ""};
    conure_config config;
    conure_error err = {""};
    test_int(conure_config_preset(&config, "parakeet-tdt-0.6b-v3", &err), CONURE_OK);
    test_int(conure_contract_derive(&k, &config, "parakeet-tdt-0.6b-v3", options, &err), CONURE_OK);
    if (err.text[0])
        fprintf(stderr, "%s\n", err.text);
    return k;
}

/* What contracts/encoder_streaming.contract.json holds: the profiles of the published export. */
static const conure_contract_options published = {
    .streaming = {.cache_rows = 256, .export_graph = true},
    .profiles = "first=592,later=584,unified=584..592",
    .layer_first = true,
};

#endif
