/* plan.c - side files of plans: written, read, listed; see plan.h. */
#include "engine/trt/plan.h"

#include "base/files.h"
#include "base/memory.h"
#include "model/json.h"
#include "model/quote.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define FORMAT 2
#define GRAPHS 8 /* goes up with every change of the graphs that plans are built from: builds of before are not taken for the same */
enum { LOCK_TRIES = 300 }; /* ten in a second: 2.4 GB are written in less */
enum { FRAMES_MAX = 1 << 24, ROWS_MAX = 1 << 20, BATCH_MAX = 4096 };

conure_status conure_plan_folder(char out[PATH_MAX], conure_error *err)
{
    const char *given = getenv("CONURE_PLANS"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n;
    if (given && *given)
        n = snprintf(out, PATH_MAX, "%s", given);
    else if (xdg && *xdg)
        n = snprintf(out, PATH_MAX, "%s/conure/plans", xdg);
    else if (home && *home)
        n = snprintf(out, PATH_MAX, "%s/.cache/conure/plans", home);
    else
        return conure_fail(err, CONURE_IO, "no folder for plans: set CONURE_PLANS, XDG_CACHE_HOME or HOME");
    return n < PATH_MAX ? CONURE_OK : conure_fail(err, CONURE_LIMIT, "the path of the folder for plans is too long");
}

void conure_plan_key(const conure_plan_side *s, char out[48])
{
    conure_buffer text = {0};
    conure_sha256 sha;
    char hex[65];
    conure_buffer_format(&text, "%s\n%s\n%s\n%s\n%s\n%d %d %d %d %d %d %d\n%u %u %u %d %d\n", s->gpu, s->tensorrt, s->model_sha256,
                         s->contract_sha256, s->precision, s->tf32, s->f16, s->bf16, s->int8, s->mask_exact, s->streaming, s->layer_first,
                         s->drop_first, s->caches.cache_rows, s->caches.drop_rows, s->caches.keep_negative, s->caches.time_cache_aligned);
    for (int i = 0; i < 3; i++)
        conure_buffer_format(&text, "%u %u\n", s->t[i], s->b[i]);
    conure_buffer_format(&text, "%s\n%u\n%s %d\n", s->audio_sha256, s->level, conure_version(), GRAPHS);
    if (s->by_layer)
        conure_buffer_format(&text, "by layer\n");
    conure_sha256_init(&sha);
    conure_sha256_add(&sha, text.data, text.bytes);
    conure_sha256_hex(&sha, hex);
    conure_buffer_free(&text);
    snprintf(out, 48, "%.12s-%s-%.16s", s->model_sha256, s->precision, hex);
}

bool conure_plan_rows_fit(const conure_plan_side *s, const conure_config *c)
{
    return !s->streaming || (uint64_t)s->b[2] * c->n_layers * (s->caches.cache_rows + (uint64_t)c->conv_left) <= INT32_MAX;
}

/* ---- text ------------------------------------------------------------------------------------- */

void conure_plan_wide_text(const bool wide[CONURE_PLAN_PARTS], char out[CONURE_PLAN_PARTS_CAP])
{
    size_t n = (size_t)snprintf(out, CONURE_PLAN_PARTS_CAP, "%s", wide[0] ? "subsampling" : "");
    const size_t before = n;
    for (int i = 1; i < CONURE_PLAN_PARTS; i++) {
        int last = i;
        if (!wide[i])
            continue;
        while (last + 1 < CONURE_PLAN_PARTS && wide[last + 1])
            last++;
        if (n < CONURE_PLAN_PARTS_CAP)
            n += (size_t)snprintf(out + n, CONURE_PLAN_PARTS_CAP - n, "%s%d", n > before ? " " : before ? ", layers " : "layers ", i - 1);
        if (last > i && n < CONURE_PLAN_PARTS_CAP)
            n += (size_t)snprintf(out + n, CONURE_PLAN_PARTS_CAP - n, "-%d", last - 1);
        i = last;
    }
}

/* ["pre_encode", "layers.3"]: as the graph calls them. */
static json_t *parts(const bool wide[CONURE_PLAN_PARTS])
{
    json_t *list = json_array();
    for (int i = 0; i < CONURE_PLAN_PARTS; i++)
        if (wide[i])
            json_array_append_new(list, i ? json_sprintf("layers.%d", i - 1) : json_string("pre_encode"));
    return list;
}

static json_t *three(const uint32_t v[3])
{
    return json_pack("[I, I, I]", (json_int_t)v[0], (json_int_t)v[1], (json_int_t)v[2]);
}

conure_status conure_plan_side_dump(const conure_plan_side *s, char **out, conure_error *err)
{
    json_t *names = json_array();
    for (uint32_t i = 0; i < CONURE_PLAN_TENSORS; i++)
        json_array_append_new(names, json_string(s->names[i]));
    json_t *json = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:{s:b, s:b, s:b, s:b}, s:I, s:s, s:o, s:s, s:b, s:b, s:b, s:b, s:b, s:b, s:I, s:I, s:I, s:b, s:b, s:o, s:o, s:o, s:s, s:I, s:I, s:I, s:f}",
        "conure_plan", FORMAT, "gpu", s->gpu, "tensorrt", s->tensorrt, "model", s->model, "model_sha256", s->model_sha256, "contract_sha256",
        s->contract_sha256, "precision", s->precision, "flags", "tf32", s->tf32, "f16", s->f16, "bf16", s->bf16, "int8", s->int8, "audio_files", (json_int_t)s->n_audio, "audio_sha256", s->audio_sha256, "f32_parts", parts(s->wide), "mask",
        s->mask_exact ? "exact" : "nemo", "streaming", s->streaming, "layer_first", s->layer_first, "by_layer", s->by_layer, "io_rows", s->io_rows, "caches_f16", s->caches_f16, "cache_matrices",
        s->cache_matrices, "drop_first", (json_int_t)s->drop_first,
        "cache_rows", (json_int_t)s->caches.cache_rows, "cache_drop", (json_int_t)s->caches.drop_rows, "keep_negative", s->caches.keep_negative,
        "time_cache_aligned", s->caches.time_cache_aligned, "t", three(s->t), "b", three(s->b), "names", names, "plan_sha256", s->plan_sha256,
        "plan_bytes", (json_int_t)s->plan_bytes, "level", (json_int_t)s->level, "kept_f32", (json_int_t)s->n_kept_f32, "seconds", s->seconds);
    *out = json ? json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(json);
    return *out ? CONURE_OK : conure_fail_memory(err, "a plan's side file", 4096);
}

/* A reader that stops at the first failure. */
typedef struct reader {
    json_t *json;
    const char *where;
    conure_error *err;
    conure_status status;
} reader;

static void get_text(reader *r, const char *key, char *out, size_t cap)
{
    const char *text = "";
    if (r->status == CONURE_OK)
        r->status = conure_json_text(r->json, key, CONURE_REQUIRED, &text, r->where, r->err);
    if (r->status == CONURE_OK && strlen(text) >= cap)
        r->status = conure_fail(r->err, CONURE_BAD_FILE, "%s: %s has %zu bytes, at most %zu are possible", r->where, key, strlen(text), cap - 1);
    if (r->status == CONURE_OK && conure_has_controls(text))
        r->status = conure_fail(r->err, CONURE_BAD_FILE, "%s: %s holds a control character", r->where, key);
    if (r->status == CONURE_OK)
        memcpy(out, text, strlen(text) + 1);
}

static void get_hash(reader *r, const char *key, bool may_be_empty, char out[65])
{
    get_text(r, key, out, 65);
    if (r->status != CONURE_OK || (may_be_empty && !*out))
        return;
    if (strlen(out) != 64 || strspn(out, "0123456789abcdef") != 64)
        r->status = conure_fail(r->err, CONURE_BAD_FILE, "%s: %s is not a SHA-256 in hex", r->where, key);
}

static void get_number(reader *r, const char *key, uint32_t max, uint32_t *out)
{
    if (r->status == CONURE_OK)
        r->status = conure_json_u32(r->json, key, CONURE_REQUIRED, 0, max, out, r->where, r->err);
}

static void get_flag(reader *r, const char *key, bool *out)
{
    if (r->status == CONURE_OK)
        r->status = conure_json_bool(r->json, key, CONURE_REQUIRED, out, r->where, r->err);
}

/* Side files of before have none. */
static void get_later_flag(reader *r, const char *key, bool *out)
{
    if (r->status == CONURE_OK)
        r->status = conure_json_bool(r->json, key, CONURE_OPTIONAL, out, r->where, r->err);
}

static void get_three(reader *r, const char *key, uint32_t max, uint32_t out[3])
{
    const json_t *list = json_object_get(r->json, key);
    bool good = json_is_array(list) && json_array_size(list) == 3;
    for (size_t i = 0; good && i < 3; i++) {
        const json_t *item = json_array_get(list, i);
        const json_int_t value = json_integer_value(item);
        good = json_is_integer(item) && value >= 1 && value <= max && (i == 0 || value >= out[i - 1]);
        out[i] = good ? (uint32_t)value : 1;
    }
    if (r->status == CONURE_OK && !good)
        r->status = conure_fail(r->err, CONURE_BAD_FILE, "%s: %s is not three rising numbers from 1 to %u", r->where, key, max);
}

static void get_names(reader *r, conure_plan_side *out)
{
    const json_t *list = json_object_get(r->json, "names");
    if (r->status != CONURE_OK)
        return;
    bool good = json_is_array(list) && json_array_size(list) == CONURE_PLAN_TENSORS;
    for (size_t i = 0; good && i < CONURE_PLAN_TENSORS; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        good = name && strlen(name) < CONURE_PLAN_TEXT_CAP && !conure_has_controls(name);
        if (good)
            memcpy(out->names[i], name, strlen(name) + 1);
    }
    if (!good)
        r->status = conure_fail(r->err, CONURE_BAD_FILE, "%s: names are not %d names of tensors", r->where, CONURE_PLAN_TENSORS);
}

static void get_parts(reader *r, conure_plan_side *out)
{
    const json_t *list = json_object_get(r->json, "f32_parts");
    bool good = json_is_array(list);
    for (size_t i = 0; good && i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        unsigned part = 0;
        int end = 0;
        good = name && (strcmp(name, "pre_encode") == 0 ||
                        (strspn(name, "layers.0123456789") == strlen(name) && sscanf(name, "layers.%3u%n", &part, &end) == 1 && !name[end] && ++part)) &&
               part < CONURE_PLAN_PARTS;
        if (good)
            out->wide[part] = true;
    }
    if (r->status == CONURE_OK && !good)
        r->status = conure_fail(r->err, CONURE_BAD_FILE, "%s: f32_parts is not a list of pre_encode, layers.0 ..", r->where);
}

static void get_made(reader *r, conure_plan_side *out)
{
    const json_t *bytes = json_object_get(r->json, "plan_bytes");
    get_hash(r, "plan_sha256", false, out->plan_sha256);
    get_number(r, "level", 5, &out->level);
    get_number(r, "kept_f32", UINT32_MAX, &out->n_kept_f32);
    if (r->status == CONURE_OK)
        r->status = conure_json_real(r->json, "seconds", CONURE_REQUIRED, &out->seconds, r->where, r->err);
    if (r->status == CONURE_OK && !(out->seconds >= 0 && out->seconds < 1e9))
        r->status = conure_fail(r->err, CONURE_BAD_FILE, "%s: seconds is no time that a build takes", r->where);
    if (r->status == CONURE_OK && (!json_is_integer(bytes) || json_integer_value(bytes) < 1 || json_integer_value(bytes) >> 50))
        r->status = conure_fail(r->err, CONURE_BAD_FILE, "%s: plan_bytes is no number of bytes", r->where);
    if (r->status == CONURE_OK)
        out->plan_bytes = (uint64_t)json_integer_value(bytes);
}

/* What TensorRT was allowed is what the precision says; f16 beside int8, or not. */
static bool flags_fit(const conure_plan_side *s)
{
    const bool tf32 = strcmp(s->precision, "tf32") == 0, f16 = strcmp(s->precision, "f16") == 0, bf16 = strcmp(s->precision, "bf16") == 0,
               int8 = strcmp(s->precision, "int8") == 0;
    return (tf32 || f16 || bf16 || int8 || strcmp(s->precision, "f32") == 0) && s->tf32 == tf32 && s->bf16 == bf16 && s->int8 == int8 &&
           (s->f16 == f16 || (int8 && s->f16));
}

static void get_precision(reader *r, conure_plan_side *out)
{
    json_t *flags = NULL;
    get_text(r, "precision", out->precision, sizeof out->precision);
    if (r->status == CONURE_OK)
        r->status = conure_json_inner(r->json, "flags", CONURE_REQUIRED, &flags, r->where, r->err);
    if (r->status != CONURE_OK)
        return;
    reader inner = *r;
    inner.json = flags;
    get_flag(&inner, "tf32", &out->tf32);
    get_flag(&inner, "f16", &out->f16);
    get_flag(&inner, "bf16", &out->bf16);
    get_flag(&inner, "int8", &out->int8);
    r->status = inner.status;
    if (r->status == CONURE_OK && !flags_fit(out))
        r->status = conure_fail(r->err, CONURE_BAD_FILE, "%s: precision \"%s\" with flags tf32 %d, f16 %d, bf16 %d, int8 %d: no plan is such", r->where,
                                out->precision, out->tf32, out->f16, out->bf16, out->int8);
}

static void get_step(reader *r, conure_plan_side *out)
{
    char mask[8] = "";
    get_text(r, "mask", mask, sizeof mask);
    out->mask_exact = strcmp(mask, "exact") == 0;
    if (r->status == CONURE_OK && !out->mask_exact && strcmp(mask, "nemo") != 0)
        r->status = conure_fail(r->err, CONURE_BAD_FILE, "%s: mask is \"%s\", expected nemo or exact", r->where, mask);
    get_flag(r, "streaming", &out->streaming);
    get_flag(r, "layer_first", &out->layer_first);
    get_later_flag(r, "by_layer", &out->by_layer);
    get_later_flag(r, "io_rows", &out->io_rows);
    get_later_flag(r, "caches_f16", &out->caches_f16);
    get_later_flag(r, "cache_matrices", &out->cache_matrices);
    get_number(r, "drop_first", ROWS_MAX, &out->drop_first);
    get_number(r, "cache_rows", ROWS_MAX, &out->caches.cache_rows);
    get_number(r, "cache_drop", ROWS_MAX, &out->caches.drop_rows);
    get_flag(r, "keep_negative", &out->caches.keep_negative);
    get_flag(r, "time_cache_aligned", &out->caches.time_cache_aligned);
    get_three(r, "t", FRAMES_MAX, out->t);
    get_three(r, "b", BATCH_MAX, out->b);
    if (r->status == CONURE_OK && out->streaming != (out->caches.cache_rows > 0))
        r->status = conure_fail(r->err, CONURE_BAD_FILE, "%s: streaming is %s with %u cached rows", r->where, out->streaming ? "true" : "false",
                                out->caches.cache_rows);
}

conure_status conure_plan_side_parse(conure_plan_side *out, const char *json, size_t bytes, const char *where, conure_error *err)
{
    reader r = {.where = where, .err = err};
    uint32_t format = 0;
    *out = (conure_plan_side){0};
    r.status = conure_json_object(&r.json, json, bytes, where, err);
    get_number(&r, "conure_plan", UINT32_MAX, &format);
    if (r.status == CONURE_OK && format != FORMAT)
        r.status = conure_fail(err, CONURE_UNSUPPORTED, "%s: format %u, this program knows %d: build the plan again", where, format, FORMAT);
    get_text(&r, "gpu", out->gpu, sizeof out->gpu);
    get_text(&r, "tensorrt", out->tensorrt, sizeof out->tensorrt);
    get_text(&r, "model", out->model, sizeof out->model);
    get_hash(&r, "model_sha256", false, out->model_sha256);
    get_hash(&r, "contract_sha256", true, out->contract_sha256);
    get_precision(&r, out);
    get_number(&r, "audio_files", UINT32_MAX, &out->n_audio);
    get_hash(&r, "audio_sha256", true, out->audio_sha256);
    get_parts(&r, out);
    get_step(&r, out);
    get_names(&r, out);
    get_made(&r, out);
    json_decref(r.json);
    return r.status;
}

/* ---- files ------------------------------------------------------------------------------------ */

static conure_status put(const char *path, const char *ending, const void *data, size_t bytes, conure_error *err)
{
    char whole[PATH_MAX];
    if (snprintf(whole, sizeof whole, "%s%s", path, ending) >= (int)sizeof whole)
        return conure_fail(err, CONURE_LIMIT, "%s: the path is too long", path);
    return conure_file_write(whole, data, bytes, err);
}

/* While it is open nobody else writes plans there: files of two builds of one plan do not mix.  Where the file system has no locks, or somebody holds
 * this one for longer than any writing takes, the plan is written all the same.  -1: it cannot be opened. */
static int lock_folder_of(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s.", slash ? (int)(slash - path) + 1 : 0, path);
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
    for (int tries = 0; fd >= 0 && tries < LOCK_TRIES && flock(fd, LOCK_EX | LOCK_NB) != 0 && (errno == EWOULDBLOCK || errno == EINTR); tries++)
        nanosleep(&pause, NULL);
    return fd;
}

conure_status conure_plan_write(conure_plan_side *side, const char *path, const void *plan, size_t bytes, conure_error *err)
{
    conure_sha256 sha;
    char *text = NULL;
    conure_sha256_init(&sha);
    conure_sha256_add(&sha, plan, bytes);
    conure_sha256_hex(&sha, side->plan_sha256);
    side->plan_bytes = bytes;
    conure_status status = conure_plan_side_dump(side, &text, err);
    const int lock = lock_folder_of(path);
    if (status == CONURE_OK)
        status = put(path, ".plan", plan, bytes, err);
    if (status == CONURE_OK)
        status = put(path, ".json", text, strlen(text), err);
    if (lock >= 0)
        close(lock);
    free(text);
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const conure_plan_found *)a)->path, ((const conure_plan_found *)b)->path);
}

/* One entry of a folder, unless it is no side file or cannot be read. */
static bool look(conure_plan_found *found, const char *folder, const char *name, const conure_log *log)
{
    const size_t n = strlen(name);
    char *text = NULL;
    size_t bytes;
    conure_error why = {""};
    if (n < 6 || strcmp(name + n - 5, ".json") != 0 || !conure_path_join(found->path, sizeof found->path, folder, name))
        return false;
    conure_status status = conure_file_read(&text, &bytes, found->path, CONURE_PLAN_SIDE_BYTES_MAX, &why);
    if (status == CONURE_OK)
        status = conure_plan_side_parse(&found->side, text, bytes, found->path, &why);
    free(text);
    if (status != CONURE_OK)
        conure_log_write(log, CONURE_LOG_WARNING, "a plan is not used: %s", why.text);
    found->path[strlen(found->path) - 5] = '\0';
    return status == CONURE_OK;
}

conure_status conure_plan_list(conure_plan_found **out, uint32_t *n, const char *folder, const conure_log *log, conure_error *err)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    *n = 0;
    *out = NULL;
    if (!dir)
        return errno == ENOENT ? CONURE_OK : conure_fail(err, CONURE_IO, "%s: %s", folder, strerror(errno));
    conure_plan_found *list = conure_calloc(CONURE_PLANS_MAX, sizeof *list);
    if (!list) {
        closedir(dir);
        return conure_fail_memory(err, "a list of plans", CONURE_PLANS_MAX * sizeof *list);
    }
    while (*n < CONURE_PLANS_MAX && (entry = readdir(dir)))
        *n += look(&list[*n], folder, entry->d_name, log);
    if (*n == CONURE_PLANS_MAX)
        conure_log_write(log, CONURE_LOG_WARNING, "%s: more than %d plans are not looked at: remove old ones", folder, CONURE_PLANS_MAX);
    closedir(dir);
    qsort(list, *n, sizeof *list, by_name);
    *out = list;
    return CONURE_OK;
}
