/* graphs_files.c - which files a folder of graphs consists of, and their hash (graphs.h). */
#include "model/graphs_inside.h"

#include "base/memory.h"
#include "model/blocks.h"
#include "model/quote.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { N_LAYOUTS = 2, N_GRAPHS_MAX = 3 };

static const char *const suffixes[] = {"", ".int8", ".fp16"};

static const struct {
    const char *program, *graphs[N_GRAPHS_MAX], *words;
} layouts[N_LAYOUTS] = {
    {"onnx-asr", {"encoder-model", "decoder_joint-model"}, "vocab.txt"},
    {"sherpa-onnx", {"encoder", "decoder", "joiner"}, "tokens.txt"},
};

static bool present(const char *folder, const char *name)
{
    char path[CONURE_GRAPH_PATH_CAP];
    return conure_path_join(path, sizeof path, folder, name) && access(path, F_OK) == 0;
}

/* "NAME[.int8|.fp16].onnx" in the folder. */
static bool find(char out[CONURE_GRAPH_PATH_CAP], const char *folder, const char *name)
{
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if ((size_t)snprintf(out, CONURE_GRAPH_PATH_CAP, "%s%s.onnx", name, suffixes[i]) < CONURE_GRAPH_PATH_CAP && present(folder, out))
            return true;
    return false;
}

/* Of which layout the folder has an encoder, or else any graph; N_LAYOUTS: of none. */
static int layout_of(const char *folder)
{
    char name[CONURE_GRAPH_PATH_CAP];
    for (int first = 0; first < N_GRAPHS_MAX; first++)
        for (int i = 0; i < N_LAYOUTS; i++)
            if (layouts[i].graphs[first] && find(name, folder, layouts[i].graphs[first]))
                return i;
    return N_LAYOUTS;
}

bool conure_graphs_recognise(const char *folder)
{
    char name[CONURE_GRAPH_PATH_CAP];
    const int i = layout_of(folder);
    return i < N_LAYOUTS && (find(name, folder, layouts[i].graphs[0]) ||
                             !(present(folder, "model.safetensors") || present(folder, "model.safetensors.index.json")));
}

/* Adds a file to the list of those that are not there. */
static void lacks(char list[256], const char *folder, const char *name)
{
    char path[CONURE_GRAPH_PATH_CAP];
    struct stat info;
    const size_t at = strlen(list);
    const bool link = conure_path_join(path, sizeof path, folder, name) && lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
    snprintf(list + at, 256 - at, "%s%s%s", at ? ", " : "", name, link ? " (a link that leads nowhere)" : "");
}

conure_status conure_graphs_layout(const char *folder, bool *apart, conure_error *err)
{
    char list[256] = "", name[CONURE_GRAPH_PATH_CAP];
    const int which = layout_of(folder);
    *apart = which == 1;
    for (int i = 0; i < N_GRAPHS_MAX && which < N_LAYOUTS && layouts[which].graphs[i]; i++) {
        if (find(name, folder, layouts[which].graphs[i]))
            continue;
        snprintf(name, sizeof name, "%s.onnx", layouts[which].graphs[i]);
        lacks(list, folder, name);
    }
    if (which < N_LAYOUTS && !present(folder, layouts[which].words))
        lacks(list, folder, layouts[which].words);
    if (!list[0] && which < N_LAYOUTS)
        return CONURE_OK;
    return conure_fail(err, CONURE_BAD_FILE, "%s: has graphs as %s reads them, and lacks %s: fetch the whole folder, under the names it had", folder,
                       which < N_LAYOUTS ? layouts[which].program : "nobody", list);
}

conure_status conure_graphs_add(conure_model *model, conure_model_graphs *g, const char *name, size_t name_bytes, bool weights,
                                uint64_t *bytes, conure_error *err)
{
    char path[CONURE_GRAPH_PATH_CAP];
    struct stat info;
    for (const conure_graph_part *p = g->parts; p; p = p->next)
        if (strlen(p->name) == name_bytes && memcmp(p->name, name, name_bytes) == 0) {
            *bytes = p->bytes;
            return CONURE_OK;
        }
    conure_graph_part *part = conure_block_alloc(&model->arena, sizeof *part);
    if (part)
        part->name = conure_block_text(&model->arena, name, name_bytes);
    if (!part || !part->name)
        return conure_fail_memory(err, "a folder of graphs", sizeof *part + name_bytes);
    if (!conure_path_join(path, sizeof path, g->folder, part->name))
        return conure_fail(err, CONURE_LIMIT, "%s/%s: the path is too long", g->folder, part->name);
    if (stat(path, &info) != 0)
        return conure_fail_errno(err, path);
    if (!S_ISREG(info.st_mode))
        return conure_fail(err, CONURE_BAD_FILE, "%s: is not a file", path);
    *bytes = part->bytes = (uint64_t)info.st_size;
    if (weights)
        model->weight_bytes += part->bytes;
    *(g->parts ? g->end : &g->parts) = part;
    g->end = &part->next;
    return CONURE_OK;
}

/* ---- a graph's files --------------------------------------------------------------------------- */

typedef struct reading {
    conure_model *model;
    conure_model_graphs *g;
    const char *path; /* the graph's */
} reading;

/* A path that may lead out of the folder: absolute, or with "..". */
static bool leaves(const char *path, size_t bytes)
{
    bool out = path[0] == '/' || memchr(path, 0, bytes) || memchr(path, '\\', bytes);
    for (size_t i = 0; i + 1 < bytes; i++)
        out = out || (path[i] == '.' && path[i + 1] == '.' && (i == 0 || path[i - 1] == '/') && (i + 2 == bytes || path[i + 2] == '/'));
    return out;
}

static conure_status add_external(void *user, const conure_onnx_external *at, conure_error *err)
{
    const reading *r = user;
    char name[128];
    uint64_t bytes = 0;
    conure_quote(name, sizeof name, at->location, at->location_bytes);
    if (at->location_bytes > CONURE_GRAPH_PATH_CAP || leaves(at->location, at->location_bytes))
        return conure_fail(err, CONURE_UNSUPPORTED, "%s: has weights in %s: only files of its own folder are read", r->path, name);
    CONURE_GRAPH_TRY(conure_graphs_add(r->model, r->g, at->location, at->location_bytes, true, &bytes, err));
    if (at->offset > bytes || at->bytes > bytes - at->offset)
        return conure_fail(err, CONURE_BAD_FILE, "%s: its weights in %s, which has %llu bytes, would end at %llu: fetch or export both again", r->path,
                           name, (unsigned long long)bytes, (unsigned long long)(at->offset + at->bytes));
    return CONURE_OK;
}

conure_status conure_graphs_read(conure_model *model, conure_model_graphs *g, conure_graph_file *out, const char *name, conure_error *err)
{
    char path[CONURE_GRAPH_PATH_CAP], found[CONURE_GRAPH_PATH_CAP];
    uint64_t bytes = 0;
    conure_map map;
    if (!find(found, g->folder, name) || !conure_path_join(path, sizeof path, g->folder, found))
        return conure_fail(err, CONURE_BAD_FILE, "%s: no %s.onnx: fetch the whole folder", g->folder, name);
    out->path = conure_block_text(&model->arena, path, strlen(path));
    if (!out->path)
        return conure_fail_memory(err, path, strlen(path));
    CONURE_GRAPH_TRY(conure_graphs_add(model, g, found, strlen(found), true, &bytes, err));
    CONURE_GRAPH_TRY(conure_map_open(&map, path, err));
    reading r = {model, g, path};
    conure_status status = conure_onnx_read(&out->facts, map.data, map.bytes, path, err);
    if (status == CONURE_OK)
        status = conure_graphs_said(model, out, err);
    if (status == CONURE_OK)
        status = conure_onnx_externals(map.data, map.bytes, add_external, &r, path, err);
    out->facts.n_metadata = 0; /* it lies in the map */
    conure_map_close(&map);
    return status;
}

/* ---- hash -------------------------------------------------------------------------------------- */

conure_status conure_graphs_hash(const conure_model *model, char hex[65], conure_error *err)
{
    conure_sha256 sha;
    conure_sha256_init(&sha);
    for (const conure_graph_part *p = model->graphs->parts; p; p = p->next) {
        char path[CONURE_GRAPH_PATH_CAP];
        conure_map map;
        if (!conure_path_join(path, sizeof path, model->graphs->folder, p->name))
            return conure_fail(err, CONURE_LIMIT, "%s/%s: the path is too long", model->graphs->folder, p->name);
        CONURE_GRAPH_TRY(conure_map_open(&map, path, err));
        conure_sha256_add(&sha, p->name, strlen(p->name) + 1);
        conure_sha256_add(&sha, &map.bytes, sizeof map.bytes);
        conure_sha256_add(&sha, map.data, map.bytes);
        conure_map_close(&map);
    }
    conure_sha256_hex(&sha, hex);
    return CONURE_OK;
}
