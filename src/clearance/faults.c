/* faults.c - see faults.h. */
#include "clearance/faults.h"

#include "base/files.h"
#include "base/memory.h"
#include "clearance/source.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DRIFT_PER_CHUNK_E6 = 1, NAN_CHUNK = 3, CROSS_SEED = 4711, FILE_BYTES_MAX = 1 << 30 };

static const struct {
    const char *name, *what;
    conure_fault_kind kind;
    conure_gate gate;
} faults[] = {
#define X(name, id, kind, gate, what) {id, what, CONURE_FAULT_##kind, CONURE_GATE_##gate},
    CONURE_FAULT_LIST(X)
#undef X
};

const char *conure_fault_name(conure_fault fault)
{
    return faults[fault].name;
}

const char *conure_fault_what(conure_fault fault)
{
    return faults[fault].what;
}

conure_fault_kind conure_fault_kind_of(conure_fault fault)
{
    return faults[fault].kind;
}

conure_gate conure_fault_gate(conure_fault fault)
{
    return faults[fault].gate;
}

const char *conure_fault_kind_name(conure_fault_kind kind)
{
    static const char *const names[] = {"tensor", "file", "origin", "text", "inner"};
    return names[kind];
}

const char *conure_fault_hidden(conure_fault fault, const conure_contract *contract, double slope)
{
    const bool flows = conure_contract_state_flows(contract);
    if (fault == CONURE_FAULT_OF_LENGTH_PINNED && !flows)
        return "the cache's length is 0 anyway";
    if (fault == CONURE_FAULT_OF_LAYERS_SWAPPED && !flows)
        return "no state flows: the caches that are swapped are both empty";
    if (fault == CONURE_FAULT_OF_LAYERS_SWAPPED && contract->n_layers < 2)
        return "the model has one layer";
    if (fault == CONURE_FAULT_OF_TIME_LATE && contract->conv_left < 2)
        return "the time cache has one position";
    if (fault == CONURE_FAULT_OF_DRIFT && slope >= DRIFT_PER_CHUNK_E6 * 1e-6)
        return "the tolerances allow a drift that is larger";
    return NULL;
}

/* ---- tensors and state ------------------------------------------------------------------------ */

typedef struct faulty {
    conure_candidate base;
    conure_candidate *honest;
    conure_fault fault;
    void (*inject)(bool on); /* may be NULL */
    conure_chunk other; /* the other stream, or the state of the step before */
    uint64_t n_handed;
} faulty;

static void faulty_close(conure_candidate *base)
{
    conure_chunk_close(&((faulty *)base)->other);
    free(base);
}

/* What a run-time would do to the outputs of step k. */
static void spoil_outputs(const faulty *f, conure_chunk *c)
{
    switch (f->fault) {
    case CONURE_FAULT_OF_LENGTH_PINNED: c->cache_length[1] = 0; break;
    case CONURE_FAULT_OF_ENCODED_LENGTH: c->encoded_length++; break;
    case CONURE_FAULT_OF_DRIFT: c->encoder[c->n_out / 2] += (float)(DRIFT_PER_CHUNK_E6 * 1e-6 * (double)c->index); break;
    case CONURE_FAULT_OF_NAN:
        if (c->index == NAN_CHUNK)
            c->encoder[c->n_out - 1] = NAN;
        break;
    default: break;
    }
}

/* The same step of another stream, which has its own features and its own state. */
static conure_status step_other(faulty *f, const conure_chunk *c, conure_error *err)
{
    conure_chunk *o = &f->other;
    o->index = c->index;
    o->step = c->step;
    conure_chunk_copy(o, CONURE_ROLE_FEATURES, c, CONURE_ROLE_FEATURES);
    conure_chunk_copy(o, CONURE_ROLE_LENGTH, c, CONURE_ROLE_LENGTH);
    conure_random_features(o->features, c->contract->mel_bins, o->n_frames, CROSS_SEED, c->index);
    if (c->step == 0)
        conure_chunk_zero_state(o);
    else
        conure_chunk_carry_state(o, o);
    return conure_candidate_step(f->honest, o, err);
}

static void inject(const faulty *f, bool on)
{
    if (f->inject)
        f->inject(on);
}

static conure_status faulty_step(conure_candidate *base, conure_chunk *c, conure_error *err)
{
    faulty *f = (faulty *)base;
    inject(f, true);
    conure_status status = conure_candidate_step(f->honest, c, err);
    inject(f, false);
    if (status == CONURE_OK && f->fault == CONURE_FAULT_OF_STREAMS_CROSSED)
        status = step_other(f, c, err);
    if (status == CONURE_OK && c->n_out > 0)
        spoil_outputs(f, c);
    return status;
}

static conure_status faulty_batch(conure_candidate *base, conure_chunk *const *chunks, uint32_t n, conure_error *err)
{
    faulty *f = (faulty *)base;
    inject(f, true);
    const conure_status status = conure_candidate_step_batch(f->honest, chunks, n, err);
    inject(f, false);
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++)
        if (chunks[i]->n_out > 0)
            spoil_outputs(f, chunks[i]);
    return status;
}

static void swap(float *a, float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float x = a[i];
        a[i] = b[i];
        b[i] = x;
    }
}

/* Its caches, with the right length: lengths alone would tell. */
static void hand_older(faulty *f, conure_chunk *next)
{
    conure_chunk *kept = &f->other;
    if (f->n_handed++ > 0) {
        swap(kept->channel[0], next->channel[0], next->channel_floats);
        swap(kept->time[0], next->time[0], next->time_floats);
        return;
    }
    memcpy(kept->channel[0], next->channel[0], next->channel_floats * sizeof(float));
    memcpy(kept->time[0], next->time[0], next->time_floats * sizeof(float));
}

void conure_faulty_hand_over(void *user, conure_chunk *next)
{
    faulty *f = user;
    const conure_contract *k = next->contract;
    switch (f->fault) {
    case CONURE_FAULT_OF_LAYERS_SWAPPED:
        swap(next->channel[0], next->channel[0] + (size_t)k->streaming.cache_rows * k->d_model, (size_t)k->streaming.cache_rows * k->d_model);
        break;
    case CONURE_FAULT_OF_STREAMS_CROSSED:
        memcpy(next->channel[0], f->other.channel[1], next->channel_floats * sizeof(float));
        memcpy(next->time[0], f->other.time[1], next->time_floats * sizeof(float));
        break;
    case CONURE_FAULT_OF_STATE_OLD: hand_older(f, next); break;
    case CONURE_FAULT_OF_TIME_LATE:
        for (size_t row = 0; row < (size_t)k->n_layers * k->d_model; row++)
            memmove(next->time[0] + row * k->conv_left + 1, next->time[0] + row * k->conv_left, (k->conv_left - 1) * sizeof(float));
        break;
    default: break;
    }
}

/* For its time alone, which no fault of these changes. */
static conure_status faulty_held_step(conure_candidate *base, const conure_chunk *chunk, bool begins, conure_parts *parts, double *seconds,
                                      conure_error *err)
{
    return conure_candidate_held_step(((faulty *)base)->honest, chunk, begins, parts, seconds, err);
}

static uint64_t faulty_device_bytes(conure_candidate *base)
{
    return conure_candidate_device_bytes(((faulty *)base)->honest);
}

conure_status conure_faulty_open(conure_candidate **out, conure_candidate *honest, conure_fault fault, void (*inject_fn)(bool on),
                                 conure_error *err)
{
    faulty *f = calloc(1, sizeof *f);
    *out = NULL;
    if (!f)
        return conure_fail_memory(err, "a faulty candidate", sizeof *f);
    f->base = *honest;
    f->base.step = faulty_step;
    f->base.step_batch = honest->step_batch ? faulty_batch : NULL;
    f->base.held_step = honest->held_step ? faulty_held_step : NULL;
    f->base.device_bytes = faulty_device_bytes;
    f->base.close = faulty_close;
    f->honest = honest;
    f->fault = fault;
    f->inject = inject_fn;
    if (fault == CONURE_FAULT_OF_OTHER_MODEL) /* what a plan built last week would say */
        memset(f->base.model_sha256, '0', 64);
    const conure_status status = conure_chunk_open(&f->other, honest->contract, err);
    if (status == CONURE_OK)
        *out = &f->base;
    else
        free(f);
    return status;
}

/* ---- files ------------------------------------------------------------------------------------ */

/* Where each line of a file of lines begins; the last entry is its end. */
static size_t find_lines(const char *data, size_t bytes, size_t *begins, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < bytes && n + 1 < cap; i++)
        if (i == 0 || data[i - 1] == '\n')
            begins[n++] = i;
    begins[n] = bytes;
    return n;
}

static void damage(conure_fault fault, conure_buffer *out, char *data, size_t bytes, const size_t *begins)
{
    const size_t head = begins[1], two = begins[2], three = begins[3];
    switch (fault) {
    case CONURE_FAULT_OF_FILE_CUT: conure_buffer_add(out, data, bytes - bytes / 3); break;
    case CONURE_FAULT_OF_FILE_BIT:
        data[(two + three) / 2] ^= 1;
        conure_buffer_add(out, data, bytes);
        break;
    case CONURE_FAULT_OF_FILE_ORDER:
        conure_buffer_add(out, data, head);
        conure_buffer_add(out, data + two, three - two);
        conure_buffer_add(out, data + head, two - head);
        conure_buffer_add(out, data + three, bytes - three);
        break;
    default: /* FILE_TWICE */
        conure_buffer_add(out, data, two);
        conure_buffer_add(out, data + head, bytes - head);
        break;
    }
}

conure_status conure_fault_file(conure_fault fault, const char *path, const char *other, conure_error *err)
{
    assert(conure_fault_kind_of(fault) == CONURE_FAULT_FILE);
    size_t bytes, begins[8];
    char *data;
    conure_buffer out = {0};
    conure_status status = conure_file_read(&data, &bytes, path, FILE_BYTES_MAX, err);
    if (status != CONURE_OK)
        return status;
    if (find_lines(data, bytes, begins, 8) < 4)
        status = conure_fail(err, CONURE_BAD_FILE, "%s has fewer than 4 lines", path);
    if (status == CONURE_OK)
        damage(fault, &out, data, bytes, begins);
    free(data);
    if (out.failed)
        status = conure_fail_memory(err, "a damaged file", bytes);
    if (status == CONURE_OK)
        status = conure_file_write(other, out.data, out.bytes, err);
    conure_buffer_free(&out);
    return status;
}
