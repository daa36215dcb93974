/* graphs_inside.h - what the files of graphs.h share. */
#ifndef CONURE_MODEL_GRAPHS_INSIDE_H
#define CONURE_MODEL_GRAPHS_INSIDE_H

#include "model/graphs.h"

#define CONURE_GRAPH_PATH_CAP 4096

/* ---- graphs_files.c ---- */
/* Which layout the folder has: apart, prediction network and joint are two graphs.  BAD_FILE lists what is not there. */
conure_status conure_graphs_layout(const char *folder, bool *apart, conure_error *err);
/* Count a file in, once; out: its path, the arena's, and its bytes. */
conure_status conure_graphs_add(conure_model *model, conure_model_graphs *g, const char *name, size_t name_bytes, const char **path,
                                uint64_t *bytes, conure_error *err);
conure_status conure_graphs_read(conure_model *model, conure_model_graphs *g, conure_graph_file *out, const char *name, conure_error *err);

/* ---- graphs_said.c ---- */
/* From the metadata, while the file is mapped. */
conure_status conure_graphs_hear(const conure_model *model, conure_graph_file *g, conure_error *err);
/* All is of one checkpoint, as far as it says; fills the configuration's durations and max_symbols. */
conure_status conure_graphs_agree(conure_model *model, const conure_model_graphs *g, uint32_t n_logits, conure_error *err);

#endif
