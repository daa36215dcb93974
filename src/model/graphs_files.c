/* graphs_files.c - which files a folder of graphs consists of, and their hash (graphs.h). */
#include "model/graphs_inside.h"

#include "base/memory.h"
#include "model/blocks.h"
#include "model/quote.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { N_GRAPHS_MAX = 3 };

static const char *const suffixes[] = {"", ".int8", ".fp16"};
static const struct {
    const char *program, *graphs[N_GRAPHS_MAX], *words;
} layouts[2] = {
    {"onnx-asr", {"encoder-model", "decoder_joint-model"}, "vocab.txt"},
    {"sherpa-onnx", {"encoder", "decoder", "joiner"}, "tokens.txt"},
};

static bool present(const char *folder, const char *name)
{
    char path[CONURE_GRAPH_PATH_CAP];
    return conure_path_join(path, sizeof path, folder, name) && access(path, F_OK) == 0;
}

/* "NAME[.int8|.fp16].onnx" that the folder has. */
static bool find(char out[64], const char *folder, const char *name)
{
    bool found = false;
    for (size_t i = 0; name && !found && i < sizeof suffixes / sizeof *suffixes; i++) {
        snprintf(out, 64, "%s%s.onnx", name, suffixes[i]);
        found = present(folder, out);
    }
    return found;
}

/* Of which layout the folder has an encoder, or else any graph; -1: of none. */
static int layout_of(const char *folder)
{
    char name[64];
    for (int graph = 0; graph < N_GRAPHS_MAX; graph++)
        for (int i = 0; i < 2; i++)
            if (find(name, folder, layouts[i].graphs[graph]))
                return graph && present(folder, "config.json") && present(folder, "tokenizer.json") ? -1 : i;
    return -1;
}

bool conure_graphs_recognise(const char *folder)
{
    return layout_of(folder) >= 0;
}

/* Adds a file to the list of those that are not there. */
static void lacks(char list[256], const char *folder, const char *stem, const char *ending)
{
    char path[CONURE_GRAPH_PATH_CAP];
    struct stat info;
    const size_t at = strlen(list);
    const int length = snprintf(path, sizeof path, "%s/%s%s", folder, stem, ending);
    const bool link = length < (int)sizeof path && lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
    snprintf(list + at, 256 - at, "%s%s%s%s", at ? ", " : "", stem, ending, link ? " (a link that leads nowhere)" : "");
}

conure_status conure_graphs_layout(const char *folder, bool *apart, conure_error *err)
{
    char list[256] = "", name[64];
    const int which = *apart = layout_of(folder) == 1;
    for (int i = 0; i < N_GRAPHS_MAX && layouts[which].graphs[i]; i++)
        if (!find(name, folder, layouts[which].graphs[i]))
            lacks(list, folder, layouts[which].graphs[i], ".onnx");
    if (!present(folder, layouts[which].words))
        lacks(list, folder, layouts[which].words, "");
    return list[0] ? conure_fail(err, CONURE_BAD_FILE, "%s: has graphs as %s reads them, and lacks %s: fetch the whole folder, with the names it had",
                                 folder, layouts[which].program, list) : CONURE_OK;
}

conure_status conure_graphs_add(conure_model *model, conure_model_graphs *g, const char *name, size_t name_bytes, const char **path,
                                uint64_t *bytes, conure_error *err)
{
    char whole[CONURE_GRAPH_PATH_CAP];
    struct stat info;
    const int length = snprintf(whole, sizeof whole, "%s/%.*s", g->folder, (int)name_bytes, name);
    if (length >= (int)sizeof whole)
        return conure_fail(err, CONURE_LIMIT, "%s: a path in it is too long", g->folder);
    conure_graph_part *part = g->parts;
    while (part && strcmp(part->path, whole) != 0)
        part = part->next;
    if (!part) {
        part = conure_block_alloc(&model->arena, sizeof *part);
        if (!part || !(part->path = conure_block_text(&model->arena, whole, (size_t)length)))
            return conure_fail_memory(err, whole, sizeof *part + (size_t)length);
        if (stat(whole, &info) != 0)
            return conure_fail_errno(err, whole);
        part->bytes = (uint64_t)info.st_size;
        model->weight_bytes += part->bytes;
        part->next = g->parts;
        g->parts = part;
    }
    *path = part->path;
    *bytes = part->bytes;
    return CONURE_OK;
}

/* ---- a graph's files --------------------------------------------------------------------------- */

typedef struct reading {
    conure_model *model;
    conure_model_graphs *g;
    const char *graph;
} reading;

/* A path that may lead out of the folder: absolute, or with "..". */
static bool leaves(const char *path, size_t bytes)
{
    bool out = path[0] == '/' || memchr(path, 0, bytes);
    for (size_t i = 0; i + 1 < bytes; i++)
        out |= path[i] == '.' && path[i + 1] == '.' && (i == 0 || path[i - 1] == '/') && (i + 2 == bytes || path[i + 2] == '/');
    return out;
}

static conure_status add_external(void *user, const char *name, size_t name_bytes, uint64_t end, conure_error *err)
{
    const reading *r = user;
    const char *path;
    uint64_t bytes;
    char shown[128];
    conure_quote(shown, sizeof shown, name, name_bytes);
    if (name_bytes > CONURE_GRAPH_PATH_CAP || leaves(name, name_bytes))
        return conure_fail(err, CONURE_UNSUPPORTED, "%s: has weights in %s: only files of its own folder are read", r->graph, shown);
    conure_error why = {""};
    const conure_status status = conure_graphs_add(r->model, r->g, name, name_bytes, &path, &bytes, &why);
    if (status == CONURE_IO)
        return conure_fail(err, status, "%s: its weights are in another file: %.300s: fetch or export it again", r->graph, why.text);
    if (status != CONURE_OK)
        return conure_fail(err, status, "%s", why.text);
    return end <= bytes ? CONURE_OK
                        : conure_fail(err, CONURE_BAD_FILE, "%s: its weights in %s end at %llu, and the file has %llu bytes: fetch or export it again",
                                      r->graph, shown, (unsigned long long)end, (unsigned long long)bytes);
}

conure_status conure_graphs_read(conure_model *model, conure_model_graphs *g, conure_graph_file *out, const char *name, conure_error *err)
{
    char found[64];
    uint64_t bytes;
    conure_map map;
    if (!find(found, g->folder, name))
        return conure_fail(err, CONURE_BAD_FILE, "%s: no %s.onnx: fetch the whole folder", g->folder, name);
    CONURE_TRY(conure_graphs_add(model, g, found, strlen(found), &out->path, &bytes, err));
    CONURE_TRY(conure_map_open(&map, out->path, err));
    reading r = {model, g, out->path};
    conure_status status = conure_onnx_read(&out->facts, map.data, map.bytes, out->path, err);
    if (status == CONURE_OK)
        status = conure_graphs_hear(model, out, err);
    if (status == CONURE_OK)
        status = conure_onnx_externals(map.data, map.bytes, add_external, &r, out->path, err);
    out->facts.n_metadata = 0; /* it lies in the map */
    conure_map_close(&map);
    return status;
}

conure_status conure_graphs_hash(const conure_model *model, char hex[65], conure_error *err)
{
    conure_sha256 sha;
    conure_sha256_init(&sha);
    for (const conure_graph_part *p = model->graphs->parts; p; p = p->next) {
        const char *name = p->path + strlen(model->graphs->folder);
        conure_map map;
        CONURE_TRY(conure_map_open(&map, p->path, err));
        conure_sha256_add(&sha, name, strlen(name) + 1);
        conure_sha256_add(&sha, &map.bytes, sizeof map.bytes);
        conure_sha256_add(&sha, map.data, map.bytes);
        conure_map_close(&map);
    }
    conure_sha256_hex(&sha, hex);
    return CONURE_OK;
}
