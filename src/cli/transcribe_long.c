/* transcribe_long.c - see transcribe_long.h. */
#include "cli/transcribe_long.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/threads.h"
#include "decode/tdt.h"
#include "stream/recognizer.h"
#include "stream/result.h"

#define BLOCK_FRAMES 32768

/* One channel. */
typedef struct track {
    conure_session *session;
    conure_tdt_token *tokens;
    uint32_t n_tokens, tokens_cap;
} track;

typedef struct long_state {
    const conure_long_job *job;
    conure_audio *audio;
    conure_audio_clip *clip;
    track *tracks; /* [clip->n_channels] */
    float *block;  /* [BLOCK_FRAMES][n_channels] */
    float *one;    /* [BLOCK_FRAMES] of one channel */
} long_state;

/* ---- tokens ---------------------------------------------------------------------------------- */

static conure_status keep_tokens(track *t, const conure_event *e, conure_error *err)
{
    if (e->n_tokens > UINT32_MAX / 2 - t->n_tokens)
        return conure_fail(err, CONURE_LIMIT, "more tokens than a transcript can hold");
    if (t->n_tokens + e->n_tokens > t->tokens_cap) {
        const uint32_t cap = 2 * (t->n_tokens + e->n_tokens);
        conure_tdt_token *larger = realloc(t->tokens, cap * sizeof *larger);
        if (!larger)
            return conure_fail_memory(err, "tokens", cap * sizeof *larger);
        t->tokens = larger;
        t->tokens_cap = cap;
    }
    for (uint32_t i = 0; i < e->n_tokens; i++) {
        const conure_token *k = &e->tokens[i];
        t->tokens[t->n_tokens++] = (conure_tdt_token){k->id, k->frame, k->duration, k->confidence};
    }
    return CONURE_OK;
}

static conure_status step_all(track *t, conure_error *err)
{
    for (;;) {
        const conure_event *event;
        conure_status status = conure_session_step(t->session, err);
        if (status == CONURE_NEED_AUDIO || status == CONURE_END)
            return CONURE_OK;
        if (status != CONURE_OK && status != CONURE_FULL)
            return status;
        while (conure_session_poll(t->session, &event) == CONURE_OK) {
            status = keep_tokens(t, event, err);
            if (status != CONURE_OK)
                return status;
        }
    }
}

/* ---- audio ----------------------------------------------------------------------------------- */

static void show_progress(const long_state *st)
{
    const conure_audio_info *info = conure_audio_get_info(st->audio);
    uint64_t all = UINT64_MAX;
    if (info->frames_declared != UINT64_MAX)
        all = (uint64_t)((double)info->frames_declared * info->rate_out_hz / info->rate_hz);
    st->job->progress(st->job->user, st->clip->n_samples, all);
}

/* The file that a failed step was for. */
static conure_status blame(const long_state *st, conure_status status, conure_error *err)
{
    if (status != CONURE_OK && status != CONURE_CANCELLED)
        conure_error_prefix(err, st->job->file);
    return status;
}

static conure_status feed(track *t, const float *pcm, uint64_t n, conure_error *err)
{
    for (size_t done = 0, used = 0; done < n; done += used) {
        conure_status status = conure_session_feed(t->session, pcm + done, (size_t)n - done, &used, err);
        if (status == CONURE_OK || status == CONURE_FULL)
            status = step_all(t, err);
        if (status != CONURE_OK)
            return status;
    }
    return CONURE_OK;
}

static bool ended(const long_state *st)
{
    return conure_cancelled(st->job->end);
}

/* What was read before it was known to be long: [n_channels][n_samples]. */
static conure_status feed_head(long_state *st, conure_error *err)
{
    conure_audio_clip *clip = st->clip;
    const uint64_t n = clip->n_samples;
    conure_status status = CONURE_OK;
    clip->n_samples = 0;
    while (clip->n_samples < n && status == CONURE_OK && !ended(st)) {
        const uint64_t first = clip->n_samples, left = n - first, now = left < BLOCK_FRAMES ? left : BLOCK_FRAMES;
        for (uint32_t c = 0; c < clip->n_channels && status == CONURE_OK; c++)
            status = feed(&st->tracks[c], clip->pcm + c * n + first, now, err);
        clip->n_samples += now;
        show_progress(st);
    }
    free(clip->pcm);
    clip->pcm = NULL;
    return status;
}

static conure_status feed_rest(long_state *st, conure_error *err)
{
    conure_audio_clip *clip = st->clip;
    const uint32_t n_channels = clip->n_channels;
    for (size_t n = 1; n && !ended(st);) {
        conure_status status = conure_audio_read_some(st->audio, st->block, BLOCK_FRAMES, &n, err);
        if (status != CONURE_OK)
            return status; /* with the file's name */
        for (uint32_t c = 0; c < n_channels && status == CONURE_OK; c++) {
            for (size_t i = 0; i < n; i++)
                st->one[i] = st->block[i * n_channels + c];
            status = feed(&st->tracks[c], st->one, n, err);
        }
        if (status != CONURE_OK)
            return blame(st, status, err);
        clip->n_samples += n;
        show_progress(st);
    }
    return CONURE_OK;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static conure_status finish(long_state *st, uint32_t c, conure_result **result, conure_error *err)
{
    track *t = &st->tracks[c];
    conure_session_stats stats;
    conure_status status = conure_session_finish(t->session, err);
    if (status == CONURE_OK)
        status = step_all(t, err);
    if (status == CONURE_OK)
        status = conure_session_get_stats(t->session, &stats);
    conure_session_close(&t->session); /* its memory is wanted for the result */
    if (status == CONURE_OK)
        status = conure_result_build(result, st->job->recognizer->model, t->tokens, t->n_tokens, err);
    free(t->tokens);
    t->tokens = NULL;
    if (status != CONURE_OK)
        return status;
    (*result)->n_frames = (uint32_t)stats.n_frames;
    (*result)->n_blanks = (uint32_t)stats.n_blanks;
    (*result)->audio_s = (double)st->clip->n_samples / st->job->recognizer->model->config.sample_rate_hz;
    (*result)->features_s = stats.features_s;
    (*result)->encoder_s = stats.encoder_s;
    (*result)->decoder_s = stats.decoder_s;
    return CONURE_OK;
}

static conure_status open_tracks(long_state *st, conure_error *err)
{
    const uint32_t n = st->clip->n_channels;
    conure_status status = CONURE_OK;
    st->tracks = conure_calloc(n, sizeof *st->tracks);
    st->block = conure_calloc((size_t)BLOCK_FRAMES * n, sizeof *st->block);
    st->one = conure_calloc(BLOCK_FRAMES, sizeof *st->one);
    if (!st->tracks || !st->block || !st->one)
        return conure_fail_memory(err, "audio", (size_t)BLOCK_FRAMES * n * sizeof *st->block);
    for (uint32_t c = 0; c < n && status == CONURE_OK; c++)
        status = conure_session_open(&st->tracks[c].session, st->job->recognizer, &st->job->session, err);
    return status;
}

conure_status conure_transcribe_long(const conure_long_job *job, conure_audio *audio, conure_audio_clip *head,
                                     conure_result **results, conure_error *err)
{
    long_state st = {.job = job, .audio = audio, .clip = head};
    memset(results, 0, head->n_channels * sizeof *results);
    conure_status status = open_tracks(&st, err);
    if (status == CONURE_OK)
        status = feed_head(&st, err);
    status = blame(&st, status, err);
    if (status == CONURE_OK)
        status = feed_rest(&st, err);
    if (status == CONURE_OK) {
        job->ended(job->user, head->n_samples);
        for (uint32_t c = 0; c < head->n_channels && status == CONURE_OK; c++)
            status = finish(&st, c, &results[c], err);
        status = blame(&st, status, err);
    }
    for (uint32_t c = 0; c < head->n_channels; c++) {
        if (st.tracks) {
            conure_session_close(&st.tracks[c].session);
            free(st.tracks[c].tokens);
        }
        if (status != CONURE_OK)
            conure_result_free(&results[c]);
    }
    free(st.tracks);
    free(st.block);
    free(st.one);
    return status;
}
