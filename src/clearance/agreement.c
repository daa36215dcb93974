/* agreement.c - transcripts of the same audio, token by token. */
#include "clearance/parity.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A transcript of an hour has some 20 000 tokens: the table of two of 8000 has 256 MB already. */
enum { TOKENS_MAX = 8000 };

conure_status conure_agreement_open(conure_agreement *a, uint32_t vocab_size, conure_error *err)
{
    *a = (conure_agreement){.vocab_size = vocab_size, .seen = conure_calloc((size_t)vocab_size + 1, 1)};
    return a->seen ? CONURE_OK : conure_fail_memory(err, "tokens", vocab_size);
}

void conure_agreement_close(conure_agreement *a)
{
    free(a->seen);
    *a = (conure_agreement){0};
}

static bool same_place(const conure_token *a, const conure_token *b)
{
    return a->frame == b->frame && a->duration == b->duration;
}

static uint32_t least(uint32_t a, uint32_t b, uint32_t c)
{
    const uint32_t d = a < b ? a : b;
    return d < c ? d : c;
}

/* Edit distance; of one alignment that has it, the pairs that agree but lie elsewhere in time. */
static conure_status align(const conure_result *a, const conure_result *b, uint64_t *edits, uint64_t *moved, conure_error *err)
{
    const size_t n = a->n_tokens, m = b->n_tokens, width = m + 1;
    if (n > TOKENS_MAX || m > TOKENS_MAX)
        return conure_fail(err, CONURE_LIMIT, "transcripts of %zu and %zu tokens: at most %d are aligned, cut the audio", n, m, TOKENS_MAX);
    uint32_t *cost = conure_calloc((n + 1) * width, sizeof *cost);
    if (!cost)
        return conure_fail_memory(err, "an alignment", (n + 1) * width * sizeof *cost);
    for (size_t j = 0; j <= m; j++)
        cost[j] = (uint32_t)j;
    for (size_t i = 1; i <= n; i++) {
        cost[i * width] = (uint32_t)i;
        for (size_t j = 1; j <= m; j++)
            cost[i * width + j] = least(cost[(i - 1) * width + j] + 1, cost[i * width + j - 1] + 1,
                                        cost[(i - 1) * width + j - 1] + (a->tokens[i - 1].id != b->tokens[j - 1].id));
    }
    *edits = cost[n * width + m];
    *moved = 0;
    for (size_t i = n, j = m; i > 0 && j > 0;) {
        const uint32_t here = cost[i * width + j];
        const bool same = a->tokens[i - 1].id == b->tokens[j - 1].id;
        if (here == cost[(i - 1) * width + j - 1] + !same) {
            i--;
            j--;
            *moved += same && !same_place(&a->tokens[i], &b->tokens[j]);
        } else if (here == cost[(i - 1) * width + j] + 1) {
            i--;
        } else {
            j--;
        }
    }
    free(cost);
    return CONURE_OK;
}

conure_status conure_agreement_add(conure_agreement *a, const conure_result *reference, const conure_result *candidate, conure_error *err)
{
    uint64_t edits = 0, moved = 0;
    const conure_status status = align(reference, candidate, &edits, &moved, err);
    if (status != CONURE_OK)
        return status;
    a->n_clips++;
    a->n_same += edits == 0 && moved == 0;
    a->n_edits += edits;
    a->n_moved += moved;
    a->n_reference += reference->n_tokens;
    a->n_candidate += candidate->n_tokens;
    a->n_empty_reference += reference->n_tokens == 0;
    a->n_empty_candidate += candidate->n_tokens == 0;
    a->reference_blanks += reference->n_blanks;
    a->candidate_blanks += candidate->n_blanks;
    for (uint32_t i = 0; i < reference->n_tokens; i++) {
        const uint32_t id = reference->tokens[i].id;
        if (id < a->vocab_size && !a->seen[id]) {
            a->seen[id] = 1;
            a->n_distinct++;
        }
    }
    return CONURE_OK;
}

double conure_agreement_share(const conure_agreement *a)
{
    const uint64_t longer = a->n_reference > a->n_candidate ? a->n_reference : a->n_candidate;
    return longer ? 1 - (double)a->n_edits / (double)longer : 1;
}

conure_verdict conure_agreement_judge(const conure_agreement *a, double share_min, char *why)
{
    const double share = conure_agreement_share(a);
    why[0] = '\0';
    if (a->n_reference == 0) {
        snprintf(why, 320, "not_proven: the reference's transcripts of all %llu clips are empty: nothing can agree or disagree",
                 (unsigned long long)a->n_clips);
        return CONURE_VERDICT_NOT_PROVEN;
    }
    if (a->n_empty_candidate > a->n_empty_reference) {
        snprintf(why, 320, "%llu transcripts are empty, of the reference's %llu", (unsigned long long)a->n_empty_candidate,
                 (unsigned long long)a->n_empty_reference);
        return CONURE_VERDICT_FAIL;
    }
    if (share < share_min) {
        snprintf(why, 320, "%.4f of the tokens agree (%llu edits in %llu), at least %.4f are expected", share, (unsigned long long)a->n_edits,
                 (unsigned long long)a->n_reference, share_min);
        return CONURE_VERDICT_FAIL;
    }
    if (share_min >= 1 && a->n_moved > 0) {
        snprintf(why, 320, "%llu tokens are the same but lie on another frame or have another duration", (unsigned long long)a->n_moved);
        return CONURE_VERDICT_FAIL;
    }
    return CONURE_VERDICT_PASS;
}
