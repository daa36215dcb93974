/* trial.c - see trial.h; tdt.c decides. */
#include "decode/trial.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

conure_status conure_trial_open(conure_trial **out, const conure_hotwords *hotwords, const conure_config *config,
                                size_t state_floats, conure_error *err)
{
    conure_trial *trial = *out = conure_calloc(1, sizeof *trial);
    if (!trial)
        return conure_fail_memory(err, "a decoder's hotwords", sizeof *trial);
    trial->hotwords = hotwords;
    trial->state_floats = state_floats;
    trial->joint_hidden = config->joint_hidden;
    trial->from_state = conure_calloc(state_floats, sizeof *trial->from_state);
    trial->frames = conure_calloc(CONURE_TRIAL_FRAMES_MAX * trial->joint_hidden, sizeof *trial->frames);
    if (trial->from_state && trial->frames)
        return CONURE_OK;
    conure_trial_close(out);
    return conure_fail_memory(err, "a decoder's hotwords", state_floats * sizeof(float));
}

void conure_trial_close(conure_trial **trial)
{
    if (!*trial)
        return;
    free((*trial)->from_state);
    free((*trial)->frames);
    free(*trial);
    *trial = NULL;
}

void conure_trial_reset(conure_trial *t)
{
    t->node = CONURE_HOTWORDS_ROOT;
    t->covered = t->n_tokens = t->n_blanks = t->n_frames = 0;
}

void conure_trial_copy(conure_trial *dst, const conure_trial *src)
{
    float *state = dst->from_state, *frames = dst->frames;
    *dst = *src;
    dst->from_state = memcpy(state, src->from_state, src->state_floats * sizeof *state);
    dst->frames = memcpy(frames, src->frames, src->n_frames * src->joint_hidden * sizeof *frames);
}

uint64_t conure_trial_bytes(const conure_trial *t)
{
    return t ? sizeof *t + (t->state_floats + CONURE_TRIAL_FRAMES_MAX * t->joint_hidden) * sizeof(float) : 0;
}

void conure_trial_hold(conure_trial *t, const float *frames, uint32_t n_frames, uint64_t frame)
{
    const size_t row = t->joint_hidden;
    uint64_t skip = 0, old = 0;
    if (t->covered && t->from_frame < frame)
        old = frame - t->from_frame;
    else
        skip = t->covered ? t->from_frame - frame : n_frames;
    memmove(t->frames, t->frames + (t->n_frames - old) * row, old * row * sizeof *frames);
    memcpy(t->frames + old * row, frames + skip * row, (n_frames - skip) * row * sizeof *frames);
    t->n_frames = (uint32_t)(old + n_frames - skip);
}

/* ---- snapshots ------------------------------------------------------------------------------- */

#define PUT(buffer, value) conure_buffer_add((buffer), &(value), sizeof(value))
#define GET(reader, value) conure_read((reader), &(value), sizeof(value))

void conure_trial_save(const conure_trial *t, conure_buffer *out)
{
    PUT(out, t->node);
    PUT(out, t->covered);
    if (!t->covered)
        return;
    PUT(out, t->from_node);
    PUT(out, t->from_frame);
    PUT(out, t->from_symbols);
    PUT(out, t->spent);
    PUT(out, t->n_blanks);
    PUT(out, t->n_tokens);
    conure_buffer_add(out, t->tokens, t->n_tokens * sizeof *t->tokens);
    conure_buffer_add(out, t->from_state, t->state_floats * sizeof(float));
    conure_buffer_add(out, t->frames, t->n_frames * t->joint_hidden * sizeof(float));
}

static bool token_possible(const conure_trial *t, const conure_tdt_token *token, uint64_t first, uint64_t offset)
{
    return conure_hotwords_spells(t->hotwords, token->id) && token->frame >= first && token->frame < offset &&
           (uint64_t)token->frame + token->duration <= t->from_frame + CONURE_TRIAL_FRAMES_MAX;
}

/* Tokens in order, that lead from where it goes back to to where it stands. */
static bool tokens_possible(const conure_trial *t, uint64_t offset)
{
    uint32_t node = t->from_node, covered = 0, bytes;
    uint64_t first = t->from_frame;
    for (uint32_t i = 0; i < t->n_tokens; i++) {
        if (!token_possible(t, &t->tokens[i], first, offset))
            return false;
        first = (uint64_t)t->tokens[i].frame + t->tokens[i].duration;
        node = conure_hotwords_next(t->hotwords, node, t->tokens[i].id, &bytes);
        covered += bytes;
    }
    return node == t->node && covered == t->covered;
}

bool conure_trial_load(conure_trial *t, conure_reader *in, uint64_t offset, uint32_t max_symbols)
{
    conure_trial_reset(t);
    GET(in, t->node);
    GET(in, t->covered);
    if (in->failed || t->node >= conure_hotwords_nodes(t->hotwords) || t->covered > conure_hotwords_depth(t->hotwords, t->node))
        return false;
    if (!t->covered)
        return true;
    GET(in, t->from_node);
    GET(in, t->from_frame);
    GET(in, t->from_symbols);
    GET(in, t->spent);
    GET(in, t->n_blanks);
    GET(in, t->n_tokens);
    if (in->failed || t->from_node >= conure_hotwords_nodes(t->hotwords) || t->from_frame > offset ||
        offset - t->from_frame > CONURE_TRIAL_FRAMES_MAX || t->n_blanks > CONURE_TRIAL_FRAMES_MAX || t->n_tokens == 0 || t->n_tokens > t->covered ||
        t->from_symbols >= max_symbols || !(t->spent >= 0 && t->spent <= CONURE_HOTWORD_SCORE_MAX))
        return false;
    t->n_frames = (uint32_t)(offset - t->from_frame);
    conure_read(in, t->tokens, t->n_tokens * sizeof *t->tokens);
    conure_read(in, t->from_state, t->state_floats * sizeof(float));
    conure_read(in, t->frames, t->n_frames * t->joint_hidden * sizeof(float));
    return !in->failed && tokens_possible(t, offset);
}
