/* answer.c - a candidate's answer: u16 bytes of JSON, the JSON, and the rest as the payload. */
#include "clearance/record.h"
#include "model/random.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static bool small_contract(conure_contract *k)
{
    conure_config config;
    const conure_contract_options o = {.streaming = {.chunk = 2, .shift = 2, .cache_rows = 1}, .profiles = "first=1..25,later=17..33"};
    return conure_config_preset(&config, "mini", NULL) == CONURE_OK && conure_contract_derive(k, &config, "mini", &o, NULL) == CONURE_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    conure_contract k;
    conure_chunk c;
    conure_frame_head head;
    conure_error err = {""};
    uint16_t n;
    if (bytes >= CONURE_FRAME_HEAD_BYTES && conure_frame_get(&head, data, 1 << 20, "fuzz", &err) == CONURE_OK && head.payload_bytes > 1 << 20)
        abort();
    if (bytes < sizeof n)
        return 0;
    memcpy(&n, data, sizeof n);
    if (!small_contract(&k))
        abort(); /* it would look at nothing */
    if (n > bytes - sizeof n || conure_chunk_open(&c, &k, &err) != CONURE_OK)
        return 0;
    json_t *tree = json_loadb((const char *)data + sizeof n, n, JSON_REJECT_DUPLICATES, NULL);
    const size_t rest = bytes - sizeof n - n;
    uint8_t *payload = malloc(rest + 1); /* exact but for one, so that an empty one is a pointer too */
    if (tree && payload) {
        memcpy(payload, data + sizeof n + n, rest);
        for (int base64 = 0; base64 < 2; base64++) {
            err.text[0] = '\0';
            const conure_status status = conure_record_get(&c, tree, base64 ? NULL : payload, rest, CONURE_ROLE_INPUTS, CONURE_ROLES, "fuzz", &err);
            if ((status != CONURE_OK) != (err.text[0] != '\0') || c.n_out > c.out_cap || c.n_frames > c.frames_cap)
                abort();
        }
    }
    free(payload);
    json_decref(tree);
    conure_chunk_close(&c);
    return 0;
}
