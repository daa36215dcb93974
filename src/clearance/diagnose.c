/* diagnose.c - see diagnose.h. */
#include "clearance/diagnose.h"

#include "clearance/errors.h"
#include "clearance/probe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One engine's run from the chunk on, as it is and with a perturbed state. */
typedef struct follower {
    conure_candidate *engine;
    conure_chunk perturbed;
    json_t *changes[CONURE_MEASURED];
    conure_line growth; /* of the logarithm of encoder_output's change */
} follower;

typedef struct diagnosing {
    const conure_diagnose_options *o;
    const conure_contract *k;
    conure_chunk own;      /* the candidate's steps */
    conure_chunk base, probed; /* the step to perturb, made once more; with one input changed */
    bool *masked_positions; /* [conv_left], of the time cache that the last chunk of the source left */
    follower candidate, reference;
    json_t *chunks, *errors[CONURE_MEASURED]; /* series */
    conure_error *err;
} diagnosing;

static json_t *number(double x)
{
    return isnan(x) ? json_null() : isinf(x) ? json_string("not finite") : json_real(x);
}

/* ---- where the errors are --------------------------------------------------------------------- */

/* A tensor of three axes, and which places along one of them hold nothing that counts. */
typedef struct cube {
    const float *reference, *candidate;
    size_t dims[3];
    const char *names[3];
    int mask_axis, grid_axis; /* grid_axis: which one lies beside the first in a table; 0: none */
    const bool *masked;
} cube;

typedef struct place {
    double max, sum;
    size_t n;
} place;

static void count_in(place *p, double d)
{
    if (!(d <= p->max) || p->n == 0)
        p->max = isfinite(d) ? d : INFINITY;
    p->sum += d;
    p->n++;
}

static double max_of(const place *p)
{
    return p->n ? p->max : NAN;
}

static double mean_of(const place *p)
{
    return p->n == 0 ? NAN : isfinite(p->sum) ? p->sum / (double)p->n : INFINITY;
}

static json_t *along(const place *places, size_t n)
{
    json_t *max = json_array(), *mean = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(max, number(max_of(&places[i])));
        json_array_append_new(mean, number(mean_of(&places[i])));
    }
    return json_pack("{s:o, s:o}", "max", max, "mean", mean);
}

static json_t *table(const place *places, size_t rows, size_t cols)
{
    json_t *all = json_array();
    for (size_t i = 0; i < rows; i++) {
        json_t *row = json_array();
        for (size_t k = 0; k < cols; k++)
            json_array_append_new(row, number(max_of(&places[i * cols + k])));
        json_array_append_new(all, row);
    }
    return all;
}

/* Places: the whole, each axis, the grid. */
static json_t *spread(const cube *c, bool skip_masked, place *places)
{
    const size_t *n = c->dims;
    place *const axis[3] = {places + 1, places + 1 + n[0], places + 1 + n[0] + n[1]}, *const grid = axis[2] + n[2];
    const size_t n_grid = c->grid_axis ? n[c->grid_axis] : 0;
    size_t worst[3] = {0}, i[3];
    memset(places, 0, (1 + n[0] + n[1] + n[2] + n[0] * n_grid) * sizeof *places);
    for (i[0] = 0; i[0] < n[0]; i[0]++) {
        for (i[1] = 0; i[1] < n[1]; i[1]++) {
            for (i[2] = 0; i[2] < n[2]; i[2]++) {
                if (skip_masked && c->masked[i[c->mask_axis]])
                    continue;
                const size_t at = (i[0] * n[1] + i[1]) * n[2] + i[2];
                const float a = c->reference[at], b = c->candidate[at];
                const bool same = a == b || (isnan(a) && isnan(b));
                const double d = same ? 0 : isfinite(a) && isfinite(b) ? fabs((double)a - b) : INFINITY;
                if (!(d <= places->max))
                    memcpy(worst, i, sizeof worst);
                count_in(places, d);
                for (int k = 0; k < 3; k++)
                    count_in(&axis[k][i[k]], d);
                if (n_grid)
                    count_in(&grid[i[0] * n_grid + i[c->grid_axis]], d);
            }
        }
    }
    json_t *at = json_object(), *by = json_object();
    for (int k = n[0] == 1 ? 1 : 0; k < 3; k++) { /* encoder_output has no layers */
        json_object_set_new(at, c->names[k], places->n ? json_integer((json_int_t)worst[k]) : json_null());
        json_object_set_new(by, c->names[k], along(axis[k], n[k]));
    }
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o}", "count", (json_int_t)places->n, "max", number(max_of(places)), "mean",
                     number(mean_of(places)), "at", at, "by", by, "table", n_grid ? table(grid, n[0], n_grid) : json_null());
}

/* With and without what is masked. */
static conure_status both_spreads(diagnosing *g, const cube *c, json_t *errors, const char *name)
{
    const size_t *n = c->dims, n_places = 1 + n[0] + n[1] + n[2] + (c->grid_axis ? n[0] * n[c->grid_axis] : 0);
    json_t *masked = json_array();
    place *places = conure_calloc(n_places, sizeof *places);
    if (!places)
        return conure_fail_memory(g->err, "a table of errors", n_places * sizeof *places);
    for (size_t i = 0; i < n[c->mask_axis]; i++)
        if (c->masked[i])
            json_array_append_new(masked, json_integer((json_int_t)i));
    json_t *all = spread(c, false, places), *valid = spread(c, true, places);
    json_object_set_new(errors, name, json_pack("{s:s, s:o, s:o, s:o}", "mask_axis", c->names[c->mask_axis], "masked", masked, "all", all, "valid",
                                                valid));
    free(places);
    return CONURE_OK;
}

static conure_status errors_of(diagnosing *g, const conure_chunk *reference, json_t *errors)
{
    const conure_contract *k = g->k;
    const size_t rows = k->streaming.cache_rows, longest = rows > g->own.out_cap ? rows : g->own.out_cap;
    const size_t valid = conure_probe_valid_rows(k, reference->cache_length[1]);
    bool *masked = conure_calloc(longest + 1, sizeof *masked);
    conure_status status = masked ? CONURE_OK : conure_fail_memory(g->err, "a mask", longest);
    if (status == CONURE_OK && reference->has[CONURE_ROLE_ENCODER] && g->own.n_out == reference->n_out) {
        for (size_t i = 0; i < reference->n_out; i++)
            masked[i] = (int64_t)i >= reference->encoded_length;
        const cube c = {reference->encoder, g->own.encoder, {1, k->d_model, reference->n_out}, {"layer", "channel", "frame"}, 2, 0, masked};
        status = both_spreads(g, &c, errors, "encoder_output");
    }
    if (status == CONURE_OK && reference->has[CONURE_ROLE_CHANNEL_OUT]) {
        for (size_t i = 0; i < rows; i++)
            masked[i] = i < rows - valid;
        const cube c = {reference->channel[1], g->own.channel[1], {k->n_layers, rows, k->d_model}, {"layer", "row", "channel"}, 1, 1, masked};
        status = both_spreads(g, &c, errors, "cache_last_channel");
    }
    if (status == CONURE_OK && reference->has[CONURE_ROLE_TIME_OUT]) {
        const cube c = {reference->time[1], g->own.time[1], {k->n_layers, k->d_model, k->conv_left}, {"layer", "channel", "position"}, 2, 2,
                        g->masked_positions};
        status = both_spreads(g, &c, errors, "cache_last_time");
    }
    free(masked);
    return status;
}

/* Which positions of the time cache a step leaves without a frame of the stream: those in front of its beginning, padding behind the valid
 * frames, and, where NeMo ends it conv_right frames late, what it reads behind the slice.  The window of conure_state_advance_time(). */
static void turn_positions(diagnosing *g, const conure_chunk *c)
{
    const int64_t left = g->k->conv_left, right = g->k->time_cache_aligned ? 0 : g->k->conv_right;
    conure_prediction p;
    conure_chunk_predict(c, &p);
    const int64_t after = (int64_t)p.rows - g->k->streaming.cache_drop + right, shift = after > 0 ? after : 0;
    for (int64_t i = 0; i < left; i++) {
        const int64_t w = shift + i;
        if (w < left)
            g->masked_positions[i] = c->step == 0 || g->masked_positions[w];
        else
            g->masked_positions[i] = w - left >= (int64_t)p.valid; /* valid <= rows */
    }
}

/* ---- what outputs depend on ------------------------------------------------------------------- */

/* The step is made once more to compare with: an engine may hold its own state more precisely than the tensors that it gave. */
static conure_status sensitivity_of(diagnosing *g, conure_candidate *engine, const conure_chunk *inputs, json_t **out)
{
    conure_chunk *base = &g->base;
    conure_chunk_take_inputs(base, inputs);
    conure_status status = conure_candidate_step(engine, base, g->err);
    *out = json_array();
    for (conure_probe probe = 0; probe < CONURE_PROBES && status == CONURE_OK; probe++) {
        json_t *outputs = json_object();
        conure_chunk_take_inputs(&g->probed, base);
        const bool changed = conure_probe_change(&g->probed, probe, g->o->size, g->o->seed + probe);
        if (changed)
            status = conure_candidate_step(engine, &g->probed, g->err);
        for (conure_measured m = 0; m < CONURE_MEASURED && changed && status == CONURE_OK; m++) {
            const conure_change change = conure_probe_compare(base, &g->probed, m);
            json_object_set_new(outputs, conure_measured_name(m),
                                json_pack("{s:o, s:o}", "max", number(change.max), "relative", number(change.relative)));
        }
        json_array_append_new(*out, json_pack("{s:s, s:s, s:b, s:o}", "input", conure_probe_name(probe), "what", conure_probe_what(probe),
                                              "changed", changed, "outputs", outputs));
    }
    return status;
}

/* ---- what becomes of an error ----------------------------------------------------------------- */

static conure_status follower_open(diagnosing *g, follower *f, conure_candidate *engine)
{
    f->engine = engine;
    for (conure_measured m = 0; m < CONURE_MEASURED; m++)
        f->changes[m] = json_array();
    return conure_chunk_open(&f->perturbed, g->k, g->err);
}

static void follower_close(follower *f)
{
    conure_chunk_close(&f->perturbed);
    for (conure_measured m = 0; m < CONURE_MEASURED; m++)
        json_decref(f->changes[m]);
}

/* The same chunk from the perturbed state; base: from the state as it was. */
static conure_status follow(diagnosing *g, follower *f, const conure_chunk *base, bool first)
{
    conure_chunk *p = &f->perturbed;
    if (first) {
        conure_chunk_take_inputs(p, base);
        (void)conure_probe_change(p, CONURE_PROBE_CHANNEL, g->o->size, g->o->seed + CONURE_PROBE_CHANNEL);
        (void)conure_probe_change(p, CONURE_PROBE_TIME, g->o->size, g->o->seed + CONURE_PROBE_TIME);
    } else {
        conure_chunk_carry_state(p, p);
        conure_chunk_copy(p, CONURE_ROLE_FEATURES, base, CONURE_ROLE_FEATURES);
        conure_chunk_copy(p, CONURE_ROLE_LENGTH, base, CONURE_ROLE_LENGTH);
        p->index = base->index;
        p->step = base->step;
    }
    const conure_status status = conure_candidate_step(f->engine, p, g->err);
    for (conure_measured m = 0; m < CONURE_MEASURED && status == CONURE_OK; m++) {
        const conure_change change = conure_probe_compare(base, p, m);
        json_array_append_new(f->changes[m], number(change.max));
        if (m == CONURE_MEASURED_ENCODER && change.max > 0 && isfinite(change.max))
            conure_line_add(&f->growth, (double)base->index, log(change.max));
    }
    return status;
}

static bool stored(const conure_chunk *reference, conure_measured m)
{
    static const conure_role roles[] = {CONURE_ROLE_ENCODER, CONURE_ROLE_CHANNEL_OUT, CONURE_ROLE_TIME_OUT};
    return reference->has[roles[m]];
}

/* A chunk from the chosen one on, which the candidate has just made from its own state. */
static conure_status propagate(diagnosing *g, const conure_chunk *reference, bool first)
{
    json_array_append_new(g->chunks, json_integer((json_int_t)reference->index));
    for (conure_measured m = 0; m < CONURE_MEASURED; m++)
        json_array_append_new(g->errors[m], number(stored(reference, m) ? conure_probe_compare(reference, &g->own, m).max : NAN));
    conure_status status = follow(g, &g->candidate, &g->own, first);
    if (status == CONURE_OK && g->reference.engine)
        status = follow(g, &g->reference, reference, first);
    return status;
}

/* "growth": the factor by which the change of encoder_output grows from chunk to chunk, behind the first; 1 stays. */
static json_t *followed(const follower *f)
{
    json_t *all = json_object();
    double slope, half;
    if (!f->engine) {
        json_decref(all);
        return json_null();
    }
    for (conure_measured m = 0; m < CONURE_MEASURED; m++)
        json_object_set(all, conure_measured_name(m), f->changes[m]);
    const bool has = conure_line_slope(&f->growth, &slope, &half);
    json_object_set_new(all, "growth", has ? json_pack("{s:o, s:[o, o]}", "factor", number(exp(slope)), "interval_95", number(exp(slope - half)),
                                                       number(exp(slope + half)))
                                           : json_null());
    return all;
}

static json_t *propagation(const diagnosing *g)
{
    json_t *errors = json_object();
    for (conure_measured m = 0; m < CONURE_MEASURED; m++)
        json_object_set(errors, conure_measured_name(m), g->errors[m]);
    return json_pack("{s:f, s:O, s:o, s:o, s:o}", "size", g->o->size, "chunks", g->chunks, "error", errors, "candidate", followed(&g->candidate),
                     "reference", followed(&g->reference));
}

/* ---- the run ---------------------------------------------------------------------------------- */

static conure_status step(diagnosing *g, conure_candidate *candidate, const conure_chunk *reference, bool own_state)
{
    conure_chunk *c = &g->own;
    const bool stateless = reference->step == 0;
    if (own_state && !stateless)
        conure_chunk_carry_state(c, c);
    for (conure_role role = CONURE_ROLE_CHANNEL_IN; role < CONURE_ROLE_INPUTS && !own_state && !stateless; role++) {
        if (!reference->has[role])
            return conure_fail(g->err, CONURE_BAD_ARG, "chunk %llu: the reference has not stored the state that it began from; take another chunk, "
                               "or the candidate's own state (closed loop)", (unsigned long long)reference->index);
        conure_chunk_copy(c, role, reference, role);
    }
    if (stateless)
        conure_chunk_zero_state(c);
    conure_chunk_copy(c, CONURE_ROLE_FEATURES, reference, CONURE_ROLE_FEATURES);
    conure_chunk_copy(c, CONURE_ROLE_LENGTH, reference, CONURE_ROLE_LENGTH);
    c->index = reference->index;
    c->step = reference->step;
    return conure_candidate_step(candidate, c, g->err);
}

static conure_status the_chunk(diagnosing *g, const conure_source *source, const conure_chunk *reference, json_t *out)
{
    json_t *errors = json_object(), *one = NULL, *other = NULL;
    json_object_set_new(out, "errors", errors);
    json_object_set_new(out, "step", json_integer((json_int_t)reference->step));
    json_object_set_new(out, "candidate", json_pack("{s:s, s:s}", "what", g->candidate.engine->description, "precision",
                                                    g->candidate.engine->precision));
    json_object_set_new(out, "reference", json_pack("{s:s, s:s?}", "what", source->what, "sha256", source->sha256[0] ? source->sha256 : NULL));
    json_object_set_new(out, "cache_length", json_pack("{s:I, s:I, s:I, s:i}", "in", (json_int_t)g->own.cache_length[0], "out",
                                                       (json_int_t)g->own.cache_length[1], "reference_out",
                                                       (json_int_t)reference->cache_length[1], "rows", (int)g->k->streaming.cache_rows));
    conure_status status = errors_of(g, reference, errors);
    if (status == CONURE_OK)
        status = sensitivity_of(g, g->candidate.engine, &g->own, &one);
    if (status == CONURE_OK && g->reference.engine)
        status = sensitivity_of(g, g->reference.engine, reference, &other);
    json_object_set_new(out, "sensitivity", json_pack("{s:f, s:o, s:o}", "size", g->o->size, "candidate", one ? one : json_null(), "reference",
                                                      other ? other : json_null()));
    return status;
}

static conure_status all_chunks(diagnosing *g, conure_source *source, conure_candidate *candidate, json_t *out)
{
    const uint64_t last = g->o->chunk + g->o->n_after;
    const conure_chunk *reference;
    for (uint64_t i = 0; i <= last; i++) {
        conure_status status = source->next(source, &reference, g->err);
        if (status == CONURE_END && i > g->o->chunk)
            return CONURE_OK;
        if (status == CONURE_END)
            return conure_fail(g->err, CONURE_BAD_ARG, "chunk %llu is not there: %llu chunks, 0 is the first", (unsigned long long)g->o->chunk,
                               (unsigned long long)i);
        if (status != CONURE_OK)
            return status;
        if (i > g->o->chunk && reference->step == 0) /* another stream */
            return CONURE_OK;
        turn_positions(g, reference);
        if (i >= g->o->chunk || g->o->closed_loop)
            status = step(g, candidate, reference, i > g->o->chunk || g->o->closed_loop);
        if (status == CONURE_OK && i == g->o->chunk)
            status = the_chunk(g, source, reference, out);
        if (status == CONURE_OK && i >= g->o->chunk)
            status = propagate(g, reference, i == g->o->chunk);
        if (status == CONURE_OK && g->o->progress && !g->o->progress(g->o->progress_user, i + 1, last + 1))
            status = conure_fail(g->err, CONURE_CANCELLED, "cancelled");
        if (status != CONURE_OK)
            return status;
    }
    return CONURE_OK;
}

static conure_status open_all(diagnosing *g, conure_candidate *candidate, conure_candidate *reference)
{
    g->masked_positions = conure_calloc((size_t)g->k->conv_left + 1, sizeof *g->masked_positions);
    g->chunks = json_array();
    for (conure_measured m = 0; m < CONURE_MEASURED; m++)
        g->errors[m] = json_array();
    if (!g->masked_positions)
        return conure_fail_memory(g->err, "a mask", g->k->conv_left);
    conure_status status = conure_chunk_open(&g->own, g->k, g->err);
    if (status == CONURE_OK)
        status = conure_chunk_open(&g->base, g->k, g->err);
    if (status == CONURE_OK)
        status = conure_chunk_open(&g->probed, g->k, g->err);
    if (status == CONURE_OK)
        status = follower_open(g, &g->candidate, candidate);
    if (status == CONURE_OK && reference)
        status = follower_open(g, &g->reference, reference);
    return status;
}

conure_status conure_diagnose_run(json_t **out, conure_source *source, conure_candidate *candidate, conure_candidate *reference,
                                  const conure_diagnose_options *options, conure_error *err)
{
    diagnosing g = {.o = options, .k = source->contract, .err = err};
    *out = NULL;
    if (!(options->size > 0 && options->size <= 1) || options->chunk > UINT64_MAX / 4 || options->n_after > UINT64_MAX / 4)
        return conure_fail(err, CONURE_BAD_ARG, "a perturbation of %g: a share above 0, up to 1, is possible", options->size);
    json_t *all = json_pack("{s:i, s:I, s:s}", "diagnosis", 1, "chunk", (json_int_t)options->chunk, "mode",
                            options->closed_loop ? "closed_loop" : "functional");
    conure_status status = all ? open_all(&g, candidate, reference) : conure_fail_memory(err, "a diagnosis", 4096);
    if (status == CONURE_OK)
        status = all_chunks(&g, source, candidate, all);
    if (status == CONURE_OK && json_object_set_new(all, "propagation", propagation(&g)) != 0)
        status = conure_fail_memory(err, "a diagnosis", 4096);
    if (status == CONURE_OK)
        *out = all;
    else
        json_decref(all);
    follower_close(&g.candidate);
    follower_close(&g.reference);
    conure_chunk_close(&g.own);
    conure_chunk_close(&g.base);
    conure_chunk_close(&g.probed);
    json_decref(g.chunks);
    for (conure_measured m = 0; m < CONURE_MEASURED; m++)
        json_decref(g.errors[m]);
    free(g.masked_positions);
    return status;
}
