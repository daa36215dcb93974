/* graphs.h - a folder of graphs that somebody exported from a FastConformer-TDT model: what stands in a model's place of
 * tensors.  Two layouts are read:
 *
 *   onnx-asr      encoder-model.onnx, decoder_joint-model.onnx, vocab.txt, config.json
 *   sherpa-onnx   encoder.onnx, decoder.onnx, joiner.onnx, tokens.txt
 *
 * both also with .int8 or .fp16 before .onnx, where there is no plain file.  Only whole utterances can be encoded: such graphs
 * have no caches. */
#ifndef CONURE_MODEL_GRAPHS_H
#define CONURE_MODEL_GRAPHS_H

#include "model/model.h"
#include "model/onnx_file.h"

/* Sizes that are said beside the graphs.  X(identifier, in a graph's metadata, in config.json) */
#define CONURE_GRAPH_SAID(X)                                         \
    X(VOCABULARY, "conure.vocab_size", NULL)                         \
    X(PIECES, "vocab_size", NULL)                                    \
    X(BINS, "feat_dim", "features_size")                             \
    X(LAYERS, "pred_rnn_layers", NULL)                               \
    X(HIDDEN, "pred_hidden", NULL)                                   \
    X(FACTOR, "subsampling_factor", "subsampling_factor")            \
    X(SYMBOLS, "conure.max_symbols", "max_tokens_per_step")
enum {
#define X(id, key, setting) CONURE_SAID_##id,
    CONURE_GRAPH_SAID(X)
#undef X
    CONURE_SAID_COUNT
};

/* One graph, or config.json; all in the model's arena. */
typedef struct conure_graph_file {
    const char *path; /* NULL: there is none */
    conure_onnx_facts facts; /* its metadata is gone once the file is read */
    char sha256[65]; /* of the checkpoint, where conure exported it; else "" */
    uint32_t said[CONURE_SAID_COUNT]; /* 0: not said */
    uint32_t durations[CONURE_DURATIONS_MAX], n_durations;
} conure_graph_file;

/* A file that what comes out depends on: words, settings, graphs, their weights. */
typedef struct conure_graph_part {
    struct conure_graph_part *next;
    const char *path;
    uint64_t bytes;
} conure_graph_part;

struct conure_model_graphs {
    const char *folder, *words; /* words: the vocabulary's path */
    conure_graph_part *parts;   /* the last that was read first */
    conure_graph_file settings; /* config.json */
    conure_graph_file encoder; /* audio [B][mel][T], length [B] -> frames [B][d][T'], lengths [B] */
    conure_graph_file decoder; /* (frames [B][d][T],) targets [B][U], length [B], h, c [layers][B][hidden]
                                  -> logits [B][T][U][n] or predictions [B][hidden][U], length [B], h, c */
    conure_graph_file joiner;  /* frames [B][d][T], predictions [B][hidden][U] -> logits; path NULL: within the decoder */
};

/* The encoder is there, or others of its layout and no Hugging Face checkpoint. */
bool conure_graphs_recognise(const char *folder);
/* Fills config, tokenizer, graphs.  Of the configuration's encoder the width alone is known; joint_hidden is the room that a
 * frame or a prediction takes on its way to the joint.  BAD_FILE and UNSUPPORTED name the file and what differs. */
conure_status conure_graphs_open(conure_model *model, const char *folder, conure_error *err);
/* Of the names and bytes of all files that were read. */
conure_status conure_graphs_hash(const conure_model *model, char hex[65], conure_error *err);

/* OK, or UNSUPPORTED for a model that has graphs in place of tensors; what: "engine cpu" */
conure_status conure_model_need_tensors(const conure_model *model, const char *what, conure_error *err);

#endif
