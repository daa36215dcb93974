/* snapshot.c - see snapshot.h. */
#include "engine/snapshot.h"

#include <string.h>

enum { FORMAT = 1, FLAG_NEGATIVE = 1, FLAG_ALIGNED = 2, FLAG_ROWS = 4 };

conure_snapshot_head conure_snapshot_head_of(const char *magic, const conure_config *config, const conure_cache_options *o)
{
    conure_snapshot_head head = {
        .format = FORMAT, .n_layers = config->n_layers, .d_model = config->d_model, .conv_left = config->conv_left,
        .cache_rows = o->cache_rows, .drop_rows = o->drop_rows,
        .flags = (o->keep_negative ? FLAG_NEGATIVE : 0u) | (o->time_cache_aligned ? FLAG_ALIGNED : 0u) | (o->keep_rows ? FLAG_ROWS : 0u)};
    memcpy(head.magic, magic, sizeof head.magic);
    return head;
}

bool conure_cache_length_possible(int64_t length, uint32_t cache_rows)
{
    return length <= (int64_t)cache_rows && length >= -(int64_t)UINT32_MAX;
}

static conure_status differs(conure_error *err, const char *what, uint32_t found, uint32_t expected)
{
    return conure_fail(err, CONURE_UNSUPPORTED, "snapshot of a state: %s is %u, here it is %u; it belongs to another model or to other "
                       "options", what, found, expected);
}

conure_status conure_snapshot_head_check(const conure_snapshot_head *head, const conure_snapshot_head *want, conure_error *err)
{
    if (memcmp(head->magic, want->magic, sizeof want->magic) != 0)
        return conure_fail(err, CONURE_BAD_FILE, "snapshot of a state: it does not begin with \"%.8s\"", want->magic);
    if (head->format != want->format)
        return differs(err, "format", head->format, want->format);
    if (head->n_layers != want->n_layers)
        return differs(err, "n_layers", head->n_layers, want->n_layers);
    if (head->d_model != want->d_model)
        return differs(err, "d_model", head->d_model, want->d_model);
    if (head->conv_left != want->conv_left)
        return differs(err, "conv_left", head->conv_left, want->conv_left);
    if (head->cache_rows != want->cache_rows)
        return differs(err, "cache_rows", head->cache_rows, want->cache_rows);
    if (head->drop_rows != want->drop_rows)
        return differs(err, "drop_rows", head->drop_rows, want->drop_rows);
    if (head->flags != want->flags)
        return differs(err, "flags (1 keep_negative, 2 time_cache_aligned, 4 keep_rows)", head->flags, want->flags);
    if (head->broken > 1 || (head->broken && !(head->flags & FLAG_NEGATIVE)) || !conure_cache_length_possible(head->length, head->cache_rows))
        return conure_fail(err, CONURE_BAD_FILE, "snapshot of a state: length %lld of %u rows, broken %u: no state is so",
                           (long long)head->length, head->cache_rows, head->broken);
    return CONURE_OK;
}
