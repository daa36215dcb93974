/* write.c - a contract as JSON.  The tree holds the rules as words beside the numbers they speak of, and shapes that follow
 * from them: for people and for other programs.  read.c makes sure that they say what the numbers say. */
#include "contract/internal.h"

#include "base/files.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

const char *conure_contract_type_id(conure_contract_type type)
{
    static const char *const ids[CONURE_CONTRACT_TYPES] = {
#define X(name, id) id,
        CONURE_CONTRACT_TYPE_LIST(X)
#undef X
    };
    return type < CONURE_CONTRACT_TYPES ? ids[type] : "?";
}

const char *const conure_steps_names[3] = {"all", "first", "later"};

static json_t *pair(const uint32_t values[2])
{
    return json_pack("[I, I]", (json_int_t)values[0], (json_int_t)values[1]);
}

static json_t *hash(const char *hex)
{
    return *hex ? json_string(hex) : json_null();
}

/* ---- parts ------------------------------------------------------------------------------------ */

static json_t *model(const conure_contract *k)
{
    return json_pack("{s:s, s:o, s:s, s:I, s:I, s:I, s:[I, I], s:[I, I]}", "name", k->model, "sha256", hash(k->model_sha256),
                     "config_sha256", k->config_sha256, "n_layers", (json_int_t)k->n_layers, "d_model", (json_int_t)k->d_model,
                     "mel_bins", (json_int_t)k->mel_bins, "att_context", (json_int_t)k->att_left, (json_int_t)k->att_right,
                     "conv_context", (json_int_t)k->conv_left, (json_int_t)k->conv_right);
}

static json_t *files(const conure_contract *k)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < k->n_files; i++)
        if (json_array_append_new(list, json_pack("{s:s, s:s}", "name", k->files[i].name, "sha256", k->files[i].sha256)) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *streaming(const conure_streaming *s)
{
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:I, s:I, s:I}", "subsampling_factor", (json_int_t)s->factor, "chunk_frames",
                     pair(s->chunk_frames), "shift_frames", pair(s->shift_frames), "front_frames", pair(s->front_frames),
                     "drop_extra", pair(s->drop_extra), "cache_rows", (json_int_t)s->cache_rows, "cache_drop",
                     (json_int_t)s->cache_drop, "valid_out", (json_int_t)s->valid_out);
}

static json_t *rules(const conure_contract *k)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "T_sub", "ceil(T / subsampling_factor)", "rows", "max(0, T_sub - drop_extra)",
                     "keep", k->keep_negative ? "rows - cache_drop" : "max(0, rows - cache_drop)", "len_out",
                     "min(len_in + keep, cache_rows)", "encoder_frames", "min(rows, valid_out)", "encoded_length",
                     "min(max(0, ceil(length / subsampling_factor) - drop_extra), valid_out)", "negative_keep",
                     k->keep_negative ? "nemo" : "clamped");
}

static json_t *caches(const conure_contract *k)
{
    return json_pack("{s:s, s:s, s:f, s:s}", "layout", k->layer_first ? "layer_first" : "batch_first", "pad_side",
                     k->pad_right ? "right" : "left", "pad_value", 0.0, "time_cache", k->time_cache_aligned ? "aligned" : "nemo");
}

static json_t *precision(const conure_contract *k)
{
    return json_pack("{s:b, s:b, s:b, s:b}", "tf32", k->tf32, "f16", k->f16, "bf16", k->bf16, "int8", k->int8);
}

/* Shapes with the symbols B and T; what a tensor may hold beside its type. */
static json_t *shape_of(const conure_contract *k, conure_role role)
{
    const json_int_t layers = k->n_layers, d = k->d_model, rows = k->streaming.cache_rows, left = k->conv_left;
    switch (role) {
    case CONURE_ROLE_FEATURES:
        return json_pack("[s, I, s]", "B", (json_int_t)k->mel_bins, "T");
    case CONURE_ROLE_CHANNEL_IN:
    case CONURE_ROLE_CHANNEL_OUT:
        return k->layer_first ? json_pack("[I, s, I, I]", layers, "B", rows, d) : json_pack("[s, I, I, I]", "B", layers, rows, d);
    case CONURE_ROLE_TIME_IN:
    case CONURE_ROLE_TIME_OUT:
        return k->layer_first ? json_pack("[I, s, I, I]", layers, "B", d, left) : json_pack("[s, I, I, I]", "B", layers, d, left);
    case CONURE_ROLE_ENCODER:
        return json_pack("[s, I, s]", "B", d, "encoder_frames");
    default:
        return json_pack("[s]", "B");
    }
}

static const char *constraint_of(const conure_contract *k, conure_role role)
{
    switch (role) {
    case CONURE_ROLE_FEATURES:
        return "T within a profile; columns from length on are zeros";
    case CONURE_ROLE_LENGTH:
        return "0 .. T";
    case CONURE_ROLE_CACHE_LENGTH_IN:
        return "zeros before the first step, then what the step before gave";
    case CONURE_ROLE_CHANNEL_IN:
        return "zeros before the first step, then what the step before gave; valid rows are the last ones";
    case CONURE_ROLE_TIME_IN:
        return "zeros before the first step, then what the step before gave";
    case CONURE_ROLE_ENCODER:
        return "finite";
    case CONURE_ROLE_ENCODED_LENGTH:
        return "= encoded_length";
    case CONURE_ROLE_CACHE_LENGTH_OUT:
        return "= len_out";
    default:
        return k->pad_right ? "finite; shorter is filled up on the right, longer is an error"
                            : "finite; shorter is filled up on the left, longer is an error";
    }
}

static json_t *tensors(const conure_contract *k, conure_role first, conure_role end)
{
    static const char *const roles[CONURE_ROLES] = {"features", "length", "channel_cache", "time_cache", "cache_length",
                                                    "encoder", "encoded_length", "channel_cache", "time_cache", "cache_length"};
    json_t *list = json_array();
    for (conure_role i = first; i < end; i++) {
        const bool length = i == CONURE_ROLE_LENGTH || i == CONURE_ROLE_CACHE_LENGTH_IN || i == CONURE_ROLE_ENCODED_LENGTH ||
                            i == CONURE_ROLE_CACHE_LENGTH_OUT;
        const bool io = i == CONURE_ROLE_FEATURES || i == CONURE_ROLE_ENCODER;
        json_t *tensor = json_pack("{s:s, s:s, s:s, s:o, s:s}", "name", k->names[i], "role", roles[i], "dtype",
                                   length ? "int64" : conure_contract_type_id(io ? k->io : k->caches), "shape", shape_of(k, i), "constraint", constraint_of(k, i));
        if (json_array_append_new(list, tensor) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *profiles(const conure_contract *k)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < k->n_profiles; i++) {
        const conure_profile *p = &k->profiles[i];
        json_t *profile = json_pack(
            "{s:s, s:s, s:{s:I, s:I, s:I}, s:{s:I, s:I, s:I}}", "name", p->name, "steps", conure_steps_names[p->steps], "T", "min",
            (json_int_t)p->t_min, "opt", (json_int_t)p->t_opt, "max", (json_int_t)p->t_max, "B", "min", (json_int_t)p->b_min, "opt",
            (json_int_t)p->b_opt, "max", (json_int_t)p->b_max);
        if (json_array_append_new(list, profile) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *assertions(const conure_contract *k)
{
    static const struct {
        conure_role tensor;
        const char *expected;
    } says[CONURE_RULES] = {
        [CONURE_RULE_FRAMES_IN] = {CONURE_ROLE_FEATURES, "T within a profile"},
        [CONURE_RULE_ENCODER_FRAMES] = {CONURE_ROLE_ENCODER, "time dimension = encoder_frames"},
        [CONURE_RULE_ENCODED_LENGTH] = {CONURE_ROLE_ENCODED_LENGTH, "encoded_length"},
        [CONURE_RULE_CACHE_LENGTH] = {CONURE_ROLE_CACHE_LENGTH_OUT, "len_out"},
        [CONURE_RULE_CACHE_RANGE] = {CONURE_ROLE_CACHE_LENGTH_OUT, "0 .. cache_rows"},
        [CONURE_RULE_KEEP] = {CONURE_ROLE_CHANNEL_OUT, "keep >= 0"},
        [CONURE_RULE_FINITE] = {CONURE_ROLE_ENCODER, "finite"},
    };
    json_t *list = json_array();
    for (uint32_t i = 0; i < CONURE_RULES; i++)
        if (k->asserts[i] && json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "rule", conure_rule_id(i), "tensor",
                                                                   k->names[says[i].tensor], "expected", says[i].expected)) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

json_t *conure_contract_tree(const conure_contract *k)
{
    return json_pack("{s:s, s:I, s:{s:s, s:s}, s:o, s:o, s:o, s:o, s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "contract",
                     "encoder_streaming", "format", (json_int_t)CONURE_CONTRACT_FORMAT, "tool", "name", k->tool, "version",
                     k->tool_version, "model", model(k), "files", files(k), "streaming", streaming(&k->streaming), "rules",
                     rules(k), "caches", caches(k), "mask", k->mask_exact ? "exact" : "nemo", "determinism",
                     k->repeatable ? "bitwise" : "unspecified", "precision", precision(k), "inputs",
                     tensors(k, CONURE_ROLE_FEATURES, CONURE_ROLE_INPUTS), "outputs", tensors(k, CONURE_ROLE_INPUTS, CONURE_ROLES),
                     "profiles", profiles(k), "assertions", assertions(k));
}

/* ---- text ------------------------------------------------------------------------------------- */

enum { LINE_MAX_CHARS = 150, INDENT = 2 };

/* A value on one line where it fits, else a member or entry on each: readable, and comparable by diff. */
static void print(conure_buffer *out, const json_t *value, size_t indent)
{
    char *line = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    const bool object = json_is_object(value);
    const size_t n = object ? json_object_size(value) : json_array_size(value);
    size_t i = 0;
    const char *key;
    json_t *member;
    if (!line) {
        out->failed = true;
        return;
    }
    if (n == 0 || (indent > 0 && strlen(line) + indent <= LINE_MAX_CHARS)) {
        conure_buffer_text(out, line);
        free(line);
        return;
    }
    free(line);
    conure_buffer_text(out, object ? "{" : "[");
    json_object_foreach((json_t *)value, key, member)
    {
        conure_buffer_format(out, "%s\n%*s\"%s\": ", i++ ? "," : "", (int)(indent + INDENT), "", key);
        print(out, member, indent + INDENT);
    }
    for (i = 0; !object && i < n; i++) {
        conure_buffer_format(out, "%s\n%*s", i ? "," : "", (int)(indent + INDENT), "");
        print(out, json_array_get(value, i), indent + INDENT);
    }
    conure_buffer_format(out, "\n%*s%s", (int)indent, "", object ? "}" : "]");
}

conure_status conure_contract_dump(const conure_contract *contract, char **out, conure_error *err)
{
    conure_buffer text = {0};
    json_t *tree = conure_contract_tree(contract);
    *out = NULL;
    if (tree)
        print(&text, tree, 0);
    conure_buffer_text(&text, "\n");
    json_decref(tree);
    if (!tree || text.failed) {
        conure_buffer_free(&text);
        return conure_fail_memory(err, "a contract's JSON", 8192);
    }
    *out = text.data;
    return CONURE_OK;
}

conure_status conure_contract_write(const conure_contract *contract, const char *path, conure_error *err)
{
    char *text;
    conure_status status = conure_contract_dump(contract, &text, err);
    if (status != CONURE_OK)
        return status;
    status = conure_file_write(path, text, strlen(text), err);
    free(text);
    return status;
}
