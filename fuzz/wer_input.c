/* wer_input.c - references and hypotheses of `conure wer`, in every format, paired with themselves. */
#include <stdint.h>
#include <stdlib.h>

#include "cli/wer.h"
#include "cli/wer_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    conure_utterances all;
    conure_error err;

    const conure_status status =
        conure_utterances_parse(&all, "input", (const char *)data, bytes, NULL, bytes & 1, &err);
    if (status == CONURE_OK && all.n) {
        uint32_t *matches = malloc(all.n * sizeof *matches), extra;
        if (conure_utterances_match(matches, &extra, &all, &all, &err) == CONURE_OK && extra)
            abort();
        free(matches);
        char *a, *b;
        conure_wer_counts counts;
        if (conure_normalise(&a, all.items[0].text, CONURE_NORMALISER_BASIC, &err) == CONURE_OK) {
            if (conure_normalise(&b, all.items[all.n - 1].text, CONURE_NORMALISER_NONE, &err) == CONURE_OK &&
                conure_wer_count(&counts, a, b, &err) == CONURE_OK && counts.deletions > counts.words)
                abort();
            free(b);
        }
        free(a);
    }
    conure_utterances_free(&all);
    return 0;
}
