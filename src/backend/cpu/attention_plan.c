/* attention_plan.c - which keys, queries and position rows one head of one utterance needs. */
#include "backend/cpu/attention.h"

static size_t panels(size_t n)
{
    return n / 16 + (n % 16 != 0);
}

void conure_att_unit_plan(conure_att_unit *unit, const conure_attention *a, const conure_span *span,
                          uint32_t head)
{
    const uint64_t positions = (uint64_t)span->n_past + span->n_rows;
    const uint64_t end = span->key_end < positions ? span->key_end : positions;
    *unit = (conure_att_unit){.span = span, .head = head};
    if (span->key_first >= end || end <= span->n_past)
        return; /* no valid key, or no valid query */
    unit->key_first = span->key_first;
    unit->n_keys = (uint32_t)(end - span->key_first);
    unit->query_first = span->key_first > span->n_past ? span->key_first - span->n_past : 0;
    unit->n_queries = (uint32_t)(end - span->n_past) - unit->query_first;
    unit->n_blocks = unit->n_queries / CONURE_ATT_BLOCK + (unit->n_queries % CONURE_ATT_BLOCK != 0);
    /* The last query of the last (whole) block and the first key: the leftmost line, as rows descend
     * in r = query position - key position. */
    const uint64_t queries = (uint64_t)unit->n_blocks * CONURE_ATT_BLOCK;
    const int64_t query_last = (int64_t)span->n_past + unit->query_first + (int64_t)queries - 1;
    unit->pos_first = a->pos_first - (query_last - unit->key_first);
    unit->n_pos = (size_t)queries - 1 + 16 * panels(unit->n_keys);
}

/* No overflow: each factor counts rows and columns of matrices that exist in memory. */
size_t conure_att_unit_bytes(const conure_att_unit *unit, uint32_t head_dim)
{
    const size_t keys = panels(unit->n_keys) * 16 * head_dim;
    const size_t values = panels(head_dim) * 16 * unit->n_keys;
    const size_t pos = panels(unit->n_pos) * 16 * head_dim;
    return (keys + values + pos) * sizeof(float);
}

conure_att_range conure_att_allowed(const conure_attention *a, const conure_att_unit *unit,
                                    uint32_t position)
{
    const int64_t p = position, unit_first = unit->key_first, unit_end = unit_first + unit->n_keys;
    int64_t first = unit_first, end = unit_end;
    if (a->style == CONURE_CHUNKED_LIMITED && a->right >= 0) {
        const int64_t chunk = (int64_t)a->right + 1;
        const int64_t left_chunks = a->left >= 0 ? a->left / chunk : 10000; /* NeMo's "unlimited" */
        first = (p / chunk - left_chunks) * chunk;
        end = (p / chunk + 1) * chunk;
    } else {
        if (a->left >= 0)
            first = p - a->left;
        if (a->right >= 0)
            end = p + a->right + 1;
    }
    first = first < unit_first ? unit_first : first > unit_end ? unit_end : first;
    end = end > unit_end ? unit_end : end < first ? first : end;
    return (conure_att_range){(uint32_t)first, (uint32_t)end};
}

size_t conure_att_block_keys(const conure_attention *a, const conure_att_unit *unit)
{
    size_t most = 0;
    for (uint32_t b = 0; b < unit->n_blocks; b++) {
        const uint32_t first = unit->span->n_past + unit->query_first + b * CONURE_ATT_BLOCK;
        const uint32_t left = unit->n_queries - b * CONURE_ATT_BLOCK;
        const uint32_t last = first + (left < CONURE_ATT_BLOCK ? left : CONURE_ATT_BLOCK) - 1;
        const size_t from = (conure_att_allowed(a, unit, first).first - unit->key_first) / 16 * 16;
        const size_t end = conure_att_allowed(a, unit, last).end - unit->key_first;
        if (end - from > most)
            most = end - from;
    }
    return 16 * panels(most);
}
