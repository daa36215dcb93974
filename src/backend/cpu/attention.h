/* attention.h - how one attention is cut into pieces: attention_plan.c plans, attention.c computes.
 *
 * The unit is one head of one utterance.  Its keys, values and position rows are packed once into
 * panels, then its queries are done in blocks of CONURE_ATT_BLOCK, each block on its own.  Everything
 * counts from the utterance's own first valid key and query, never from its place in a batch, so a
 * batch computes bit by bit what a single run does. */
#ifndef CONURE_BACKEND_ATTENTION_H
#define CONURE_BACKEND_ATTENTION_H

#include "backend/ops.h"

/* Queries in a block.  A multiple of 16, so that every block's position rows start on a panel. */
#define CONURE_ATT_BLOCK 16u

typedef struct conure_att_unit {
    const conure_span *span;
    uint32_t head;
    uint32_t key_first, n_keys;      /* valid keys, positions counted from kv_row */
    uint32_t query_first, n_queries; /* valid queries, rows of the span; the others give zeros */
    uint32_t n_blocks;
    /* Block b reads position panels from line (n_blocks - 1 - b) * BLOCK on; line 0 is row pos_first of
     * conure_attention.pos (it may lie before row 0: such lines are never read). */
    int64_t pos_first;
    size_t n_pos;
    float *k_panels;   /* [ceil(n_keys / 16)][head_dim][16]: keys are columns */
    float *v_panels;   /* [ceil(head_dim / 16)][n_keys][16]: dims are columns */
    float *pos_panels; /* [ceil(n_pos / 16)][head_dim][16] */
} conure_att_unit;

/* Keys that the query at a position may look at: [first, end) within the unit's valid keys.  A valid
 * query may look at itself at least; neither bound ever decreases with the position. */
typedef struct conure_att_range {
    uint32_t first, end;
} conure_att_range;

void conure_att_unit_plan(conure_att_unit *unit, const conure_attention *a, const conure_span *span,
                          uint32_t head);
size_t conure_att_unit_bytes(const conure_att_unit *unit, uint32_t head_dim); /* of its panels */
conure_att_range conure_att_allowed(const conure_attention *a, const conure_att_unit *unit,
                                    uint32_t position);
/* Most keys that one block of the unit spans, rounded up to whole panels. */
size_t conure_att_block_keys(const conure_attention *a, const conure_att_unit *unit);

#endif
