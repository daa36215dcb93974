/* contract.c - a contract's JSON: what is accepted is the same again when it is written and read, and every prediction made from
 * it stays within bounds. */
#include "contract/contract.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void predict(const conure_contract *k)
{
    static const int64_t lengths[] = {INT64_MIN, -5, 0, 7, INT64_MAX};
    for (uint32_t i = 0; i < k->n_profiles; i++)
        for (size_t n = 0; n < sizeof lengths / sizeof *lengths; n++) {
            conure_prediction p;
            conure_contract_predict(k, n % 2, k->profiles[i].t_max, k->profiles[i].t_min, lengths[n], n == 2, &p);
            if (p.length_out > (int64_t)k->streaming.cache_rows || p.valid > p.rows || p.rows > p.t_sub)
                abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    conure_contract k, back;
    conure_error err = {""};
    char *text, *again;
    if (conure_contract_parse(&k, (const char *)data, bytes, "fuzz", &err) != CONURE_OK) {
        if (!*err.text)
            abort(); /* every refusal says why */
        return 0;
    }
    predict(&k);
    (void)conure_contract_state_flows(&k);
    if (conure_contract_dump(&k, &text, NULL) != CONURE_OK)
        return 0;
    if (conure_contract_parse(&back, text, strlen(text), "fuzz", &err) != CONURE_OK ||
        conure_contract_dump(&back, &again, NULL) != CONURE_OK || strcmp(text, again) != 0)
        abort();
    free(text);
    free(again);
    return 0;
}
