/* record.c - see record.h. */
#include "clearance/record.h"

#include <stdlib.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tensors are written as they lie in memory: this needs a little-endian machine"
#endif

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void conure_base64_put(conure_buffer *out, const void *data, size_t bytes)
{
    const uint8_t *b = data;
    char text[4096]; /* 3072 bytes at once: a tensor of 25 MB is no 25 million appends */
    size_t n = 0;
    for (size_t i = 0; i < bytes; i += 3) {
        const uint32_t left = bytes - i < 3 ? (uint32_t)(bytes - i) : 3;
        const uint32_t v = (uint32_t)b[i] << 16 | (left > 1 ? (uint32_t)b[i + 1] << 8 : 0) | (left > 2 ? b[i + 2] : 0);
        text[n++] = digits[v >> 18];
        text[n++] = digits[v >> 12 & 63];
        text[n++] = left > 1 ? digits[v >> 6 & 63] : '=';
        text[n++] = left > 2 ? digits[v & 63] : '=';
        if (n == sizeof text) {
            conure_buffer_add(out, text, n);
            n = 0;
        }
    }
    conure_buffer_add(out, text, n);
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool conure_base64_get(void *out, size_t bytes, const char *text, size_t text_bytes)
{
    uint8_t *b = out;
    size_t padded;
    if (!conure_mul(bytes / 3 + (bytes % 3 != 0), 4, &padded) || text_bytes != padded)
        return false;
    for (size_t i = 0; i < bytes; i += 3, text += 4) {
        const size_t left = bytes - i < 3 ? bytes - i : 3;
        uint32_t v = 0;
        for (size_t j = 0; j < 4; j++) {
            const int x = j <= left ? value_of(text[j]) : text[j] == '=' ? 0 : -1;
            if (x < 0)
                return false;
            v = v << 6 | (uint32_t)x;
        }
        if (left < 3 && (v & ((1u << (8 * (3 - left))) - 1)) != 0)
            return false;
        for (size_t j = 0; j < left; j++)
            b[i + j] = (uint8_t)(v >> (16 - 8 * j));
    }
    return true;
}

/* ---- frames ----------------------------------------------------------------------------------- */

void conure_frame_put(uint8_t head[CONURE_FRAME_HEAD_BYTES], const conure_frame_head *frame)
{
    memcpy(head, "CREC", 4);
    memcpy(head + 4, &frame->json_bytes, 4);
    memcpy(head + 8, &frame->payload_bytes, 8);
}

conure_status conure_frame_get(conure_frame_head *frame, const uint8_t head[CONURE_FRAME_HEAD_BYTES], uint64_t payload_max,
                               const char *where, conure_error *err)
{
    if (memcmp(head, "CREC", 4) != 0)
        return conure_fail(err, CONURE_BAD_FILE, "%s: a frame begins with the bytes %02x %02x %02x %02x, expected \"CREC\"", where, head[0],
                           head[1], head[2], head[3]);
    memcpy(&frame->json_bytes, head + 4, 4);
    memcpy(&frame->payload_bytes, head + 8, 8);
    if (frame->json_bytes > CONURE_FRAME_JSON_MAX || frame->payload_bytes > payload_max)
        return conure_fail(err, CONURE_BAD_FILE, "%s: a frame of %u bytes of JSON and %llu of tensors, at most %u and %llu are expected", where,
                           frame->json_bytes, (unsigned long long)frame->payload_bytes, CONURE_FRAME_JSON_MAX,
                           (unsigned long long)payload_max);
    return CONURE_OK;
}

/* ---- tensors ---------------------------------------------------------------------------------- */

void conure_record_put(conure_buffer *json, conure_buffer *payload, const conure_chunk *c, conure_role from, conure_role to)
{
    bool first = true;
    conure_buffer_format(json, "\"chunk\":%llu,\"step\":%llu,\"tensors\":{", (unsigned long long)c->index, (unsigned long long)c->step);
    for (conure_role role = from; role < to; role++) {
        if (!c->has[role])
            continue;
        const conure_chunk_tensor t = conure_chunk_view(c, role);
        conure_buffer_format(json, "%s\"%s\":{\"type\":\"%s\",\"shape\":[", first ? "" : ",", c->contract->names[role],
                             t.is_float ? "f32" : "i64");
        for (uint32_t i = 0; i < t.rank; i++)
            conure_buffer_format(json, "%s%u", i ? "," : "", t.shape[i]);
        conure_buffer_text(json, "]");
        if (payload) {
            conure_buffer_add(payload, t.data, t.bytes);
        } else {
            conure_buffer_text(json, ",\"data\":\"");
            conure_base64_put(json, t.data, t.bytes);
            conure_buffer_text(json, "\"");
        }
        conure_buffer_text(json, "}");
        first = false;
    }
    conure_buffer_text(json, "}");
}

/* The dimension that a chunk may choose: T of the features, frames of the output. */
static bool take_dimension(conure_chunk *c, conure_role role, const json_t *shape)
{
    const json_int_t n = json_integer_value(json_array_get(shape, 2));
    if (role == CONURE_ROLE_FEATURES) {
        if (n < 1 || n > c->frames_cap)
            return false;
        c->n_frames = (uint32_t)n;
    }
    if (role == CONURE_ROLE_ENCODER) {
        if (n < 0 || n > c->out_cap)
            return false;
        c->n_out = (uint32_t)n;
    }
    return true;
}

static conure_status check_shape(conure_chunk *c, conure_role role, const json_t *tensor, const char *where, conure_error *err)
{
    const json_t *shape = json_object_get(tensor, "shape");
    const char *name = c->contract->names[role], *type = json_string_value(json_object_get(tensor, "type"));
    const bool in_range = json_is_array(shape) && take_dimension(c, role, shape);
    const conure_chunk_tensor t = conure_chunk_view(c, role);
    if (!type || strcmp(type, t.is_float ? "f32" : "i64") != 0)
        return conure_fail(err, CONURE_BAD_FILE, "%s: %s: its type is not %s", where, name, t.is_float ? "f32" : "i64");
    bool same = in_range && json_array_size(shape) == t.rank;
    for (uint32_t i = 0; i < t.rank && same; i++) {
        const json_t *n = json_array_get(shape, i);
        same = json_is_integer(n) && json_integer_value(n) == t.shape[i];
    }
    if (same)
        return CONURE_OK;
    char *got = json_dumps(shape, JSON_ENCODE_ANY | JSON_COMPACT);
    const conure_status status =
        conure_fail(err, CONURE_BAD_FILE, "%s: %s: shape %.100s, expected [%u, %u, %u%s] by the contract (T at most %u, frames out at most %u)",
                    where, name, got ? got : "missing", t.shape[0], t.shape[1], t.shape[2], t.rank == 4 ? ", ..." : "", c->frames_cap, c->out_cap);
    free(got);
    return status;
}

static conure_status take(conure_chunk *c, conure_role role, const json_t *tensor, const uint8_t *payload, size_t bytes, size_t *at,
                          const char *where, conure_error *err)
{
    const conure_status status = check_shape(c, role, tensor, where, err);
    if (status != CONURE_OK)
        return status;
    const conure_chunk_tensor t = conure_chunk_view(c, role);
    const json_t *data = json_object_get(tensor, "data");
    if (!payload) {
        if (!json_is_string(data) || !conure_base64_get(t.data, t.bytes, json_string_value(data), json_string_length(data)))
            return conure_fail(err, CONURE_BAD_FILE, "%s: %s: its data is not the base64 text of %zu bytes", where, c->contract->names[role],
                               t.bytes);
    } else {
        if (!conure_span_inside(*at, t.bytes, bytes))
            return conure_fail(err, CONURE_BAD_FILE, "%s: %s: %zu bytes are expected at byte %zu of %zu", where, c->contract->names[role],
                               t.bytes, *at, bytes);
        memcpy(t.data, payload + *at, t.bytes);
        *at += t.bytes;
    }
    c->has[role] = true;
    return CONURE_OK;
}

static conure_status number(const json_t *record, const char *key, uint64_t *out, const char *where, conure_error *err)
{
    const json_t *n = json_object_get(record, key);
    if (!json_is_integer(n) || json_integer_value(n) < 0)
        return conure_fail(err, CONURE_BAD_FILE, "%s: \"%s\" is missing or no number from 0 on", where, key);
    *out = (uint64_t)json_integer_value(n);
    return CONURE_OK;
}

conure_status conure_record_get(conure_chunk *c, const json_t *record, const uint8_t *payload, size_t payload_bytes, conure_role from,
                                conure_role to, const char *where, conure_error *err)
{
    const json_t *tensors = json_object_get(record, "tensors");
    size_t n = 0, at = 0;
    conure_status status = number(record, "chunk", &c->index, where, err);
    if (status == CONURE_OK)
        status = number(record, "step", &c->step, where, err);
    if (status == CONURE_OK && !json_is_object(tensors))
        status = conure_fail(err, CONURE_BAD_FILE, "%s: \"tensors\" is missing or no object", where);
    for (conure_role role = from; role < to && status == CONURE_OK; role++) {
        const json_t *tensor = json_object_get(tensors, c->contract->names[role]);
        c->has[role] = false;
        if (!tensor)
            continue;
        n++;
        status = take(c, role, tensor, payload, payload_bytes, &at, where, err);
    }
    if (status == CONURE_OK && n != json_object_size(tensors))
        status = conure_fail(err, CONURE_BAD_FILE, "%s: %zu tensors, of which %zu are expected here", where, json_object_size(tensors), n);
    if (status == CONURE_OK && payload && at != payload_bytes)
        status = conure_fail(err, CONURE_BAD_FILE, "%s: %zu bytes of tensors, expected %zu", where, payload_bytes, at);
    return status;
}
