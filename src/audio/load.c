/* load.c - a whole file into memory, one channel after the other. */
#include <stdlib.h>
#include <string.h>

#include "audio/audio.h"
#include "base/error.h"
#include "base/memory.h"

#define FRAMES_FIRST                                                                               \
    65536 /* 4 s; doubled as the file goes on: a header's word is not taken for it */

void conure_audio_clip_free(conure_audio_clip *clip)
{
    if (!clip)
        return;
    free(clip->pcm);
    memset(clip, 0, sizeof *clip);
}

/* Frames, interleaved, in *out: all, or one more than samples_max. */
static conure_status read_frames(conure_audio *audio, float **out, uint64_t *n_frames, uint64_t samples_max,
                                 bool *ended, conure_error *err)
{
    const size_t frame_bytes = conure_audio_get_info(audio)->n_channels_out * sizeof(float);
    size_t cap = 0, n = 0, got = 1, bytes = 0;
    while (got && n <= samples_max) {
        if (n == cap) {
            cap = cap ? cap * 2 : FRAMES_FIRST;
            float *larger = conure_mul(cap, frame_bytes, &bytes) ? realloc(*out, bytes) : NULL;
            if (!larger)
                return conure_fail_memory(err, "audio", bytes);
            *out = larger;
        }
        const size_t want = samples_max < cap ? (size_t)samples_max + 1 - n : cap - n;
        const conure_status status =
            conure_audio_read(audio, *out + n * frame_bytes / sizeof(float), want, &got, err);
        if (status != CONURE_OK)
            return status;
        n += got;
    }
    *ended = !got;
    *n_frames = n;
    return CONURE_OK;
}

/* [n][n_channels] to [n_channels][n] */
static conure_status separate(conure_audio_clip *clip, conure_error *err)
{
    const uint32_t n_channels = clip->n_channels;
    if (n_channels == 1 || !clip->n_samples)
        return CONURE_OK;
    float *apart = conure_calloc(clip->n_samples * n_channels, sizeof *apart);
    if (!apart)
        return conure_fail_memory(err, "audio", clip->n_samples * n_channels * sizeof *apart);
    for (uint64_t i = 0; i < clip->n_samples; i++)
        for (uint32_t c = 0; c < n_channels; c++)
            apart[c * clip->n_samples + i] = clip->pcm[i * n_channels + c];
    free(clip->pcm);
    clip->pcm = apart;
    return CONURE_OK;
}

conure_status conure_audio_fill(conure_audio_clip *out, conure_audio *audio, uint64_t samples_max, bool *ended,
                                conure_error *err)
{
    memset(out, 0, sizeof *out);
    out->n_channels = conure_audio_get_info(audio)->n_channels_out;
    conure_status status = read_frames(audio, &out->pcm, &out->n_samples, samples_max, ended, err);
    if (status == CONURE_OK)
        status = separate(out, err);
    out->info = *conure_audio_get_info(audio);
    if (status != CONURE_OK)
        conure_audio_clip_free(out);
    return status;
}

conure_status conure_audio_load(conure_audio_clip *out, const char *path,
                                const conure_audio_options *options, conure_error *err)
{
    conure_audio *audio = NULL;
    bool ended;
    memset(out, 0, sizeof *out);
    conure_status status = conure_audio_open(&audio, path, options, err);
    if (status == CONURE_OK)
        status = conure_audio_fill(out, audio, UINT64_MAX, &ended, err);
    conure_audio_close(&audio);
    return status;
}
