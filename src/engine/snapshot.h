/* snapshot.h - what snapshots of a stream begin with where an engine keeps the contract's tensors as they are: which model and which
 * options they are of.  The caches follow as they lie in memory. */
#ifndef CONURE_ENGINE_SNAPSHOT_H
#define CONURE_ENGINE_SNAPSHOT_H

#include "base/error.h"
#include "encoder/step.h"
#include "model/model.h"

/* Byte order is the machine's, which format gives away. */
typedef struct conure_snapshot_head {
    char magic[8];
    uint32_t format, n_layers, d_model, conv_left;
    uint32_t cache_rows, drop_rows, flags, broken; /* broken: the cache lost rows, under NeMo's rule */
    int64_t length;
} conure_snapshot_head;

/* What every state of these options has, but for length and broken.  magic: of the engine, 8 letters */
conure_snapshot_head conure_snapshot_head_of(const char *magic, const conure_config *config, const conure_cache_options *options);
/* head is hostile.  UNSUPPORTED: of another model or other options; BAD_FILE: no state is so. */
conure_status conure_snapshot_head_check(const conure_snapshot_head *head, const conure_snapshot_head *want, conure_error *err);
/* A cache of so many rows can have this length; NeMo's rule can make it negative. */
bool conure_cache_length_possible(int64_t length, uint32_t cache_rows);

#endif
