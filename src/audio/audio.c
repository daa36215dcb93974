/* audio.c - decoded frames to the channels and the rate that were asked for; see audio.h. */
#include "audio/audio.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "audio/decoder.h"
#include "audio/rate.h"
#include "base/error.h"
#include "base/memory.h"

/* Samples decoded at a time: a quarter of a second of stereo at most rates. */
#define BLOCK_SAMPLES    32768
#define BLOCK_FRAMES_MIN 256

struct conure_audio {
    conure_audio_options options;
    conure_audio_info info;
    conure_decoder decoder;
    size_t block_frames;
    float *decoded;  /* [block_frames][info.n_channels] */
    float *selected; /* [block_frames][info.n_channels_out]; NULL without a resampler */
    size_t i_selected, n_selected; /* frames of selected that the resampler took, and has */
    conure_rate *resampler;        /* NULL when the rates are equal */
    bool input_ended;
    uint64_t frames_in; /* that passed select_channels(), for messages */
    uint64_t frames_out;
};

void conure_audio_options_init(conure_audio_options *options)
{
    *options = (conure_audio_options){
        .channel = CONURE_AUDIO_MIX,
        .rate_hz = 16000,
        .raw_rate_hz = 16000,
        .raw_channels = 1,
        .samples_max = 24ull * 3600 * 16000,
        .spool_bytes_max = 1ull << 30,
    };
}

bool conure_audio_parse_channel(const char *text, int32_t *channel)
{
    char *end = NULL;
    if (strcmp(text, "mix") == 0) {
        *channel = CONURE_AUDIO_MIX;
        return true;
    }
    if (strcmp(text, "each") == 0) {
        *channel = CONURE_AUDIO_EACH;
        return true;
    }
    if (*text < '0' || *text > '9')
        return false;
    const long n = strtol(text, &end, 10);
    if (*end || n < 1 || n > CONURE_AUDIO_CHANNELS_MAX)
        return false;
    *channel = (int32_t)n - 1;
    return true;
}

/* ---- opening --------------------------------------------------------------------------------- */

static conure_status check_options(const conure_audio_options *o, conure_error *err)
{
    if (o->channel < CONURE_AUDIO_EACH || o->channel >= CONURE_AUDIO_CHANNELS_MAX)
        return conure_fail(err, CONURE_BAD_ARG, "channel %d, expected mix, each or 1 to %d",
                           o->channel + 1, CONURE_AUDIO_CHANNELS_MAX);
    if (o->rate_hz < CONURE_AUDIO_RATE_MIN_HZ || o->rate_hz > CONURE_AUDIO_RATE_MAX_HZ)
        return conure_fail(err, CONURE_BAD_ARG, "output rate %u Hz, expected %d to %d", o->rate_hz,
                           CONURE_AUDIO_RATE_MIN_HZ, CONURE_AUDIO_RATE_MAX_HZ);
    if ((int)o->raw < CONURE_AUDIO_HEADER || o->raw > CONURE_AUDIO_F32LE)
        return conure_fail(err, CONURE_BAD_ARG, "raw format %d is not known", (int)o->raw);
    return CONURE_OK;
}

static conure_status check_channel(conure_audio *a, conure_error *err)
{
    const uint32_t n = a->info.n_channels;
    a->info.n_channels_out = a->options.channel == CONURE_AUDIO_EACH ? n : 1;
    if (a->options.channel >= 0 && (uint32_t)a->options.channel >= n)
        return conure_fail(err, CONURE_BAD_ARG, "%s: has no channel %d, but %u channel%s",
                           a->decoder.bytes.name, a->options.channel + 1, n, n == 1 ? "" : "s");
    return CONURE_OK;
}

static conure_status open_resampler(conure_audio *a, conure_error *err)
{
    const size_t n = a->block_frames * a->info.n_channels_out;
    a->selected = conure_calloc(n, sizeof *a->selected);
    if (!a->selected)
        return conure_fail_memory(err, "resampling", n * sizeof *a->selected);
    const conure_status status = conure_rate_open(&a->resampler, a->info.rate_hz, a->options.rate_hz, a->info.n_channels_out, err);
    if (status != CONURE_OK)
        conure_error_prefix(err, a->decoder.bytes.name);
    return status;
}

static conure_status open_stages(conure_audio *a, conure_error *err)
{
    a->decoder.bytes.cancel = a->options.cancel;
    a->decoder.bytes.end = a->options.end;
    conure_status status = conure_decoder_open(&a->decoder, &a->options, &a->info, err);
    if (status == CONURE_OK && a->info.rate_hz >= a->options.keep_min_hz && a->info.rate_hz <= a->options.keep_max_hz)
        a->options.rate_hz = a->info.rate_hz;
    a->info.rate_out_hz = a->options.rate_hz;
    if (status == CONURE_OK)
        status = check_channel(a, err);
    if (status != CONURE_OK)
        return status;
    a->block_frames = BLOCK_SAMPLES / a->info.n_channels;
    if (a->block_frames < BLOCK_FRAMES_MIN)
        a->block_frames = BLOCK_FRAMES_MIN;
    a->decoded = conure_calloc(a->block_frames * a->info.n_channels, sizeof *a->decoded);
    if (!a->decoded)
        return conure_fail_memory(err, "decoding",
                                  a->block_frames * a->info.n_channels * sizeof *a->decoded);
    return a->info.rate_hz == a->options.rate_hz ? CONURE_OK : open_resampler(a, err);
}

/* path or data; the other is NULL. */
static conure_status open_any(conure_audio **out, const char *path, const void *data, size_t bytes,
                              const char *name, const conure_audio_options *options,
                              conure_error *err)
{
    *out = NULL;
    conure_audio *a = conure_calloc(1, sizeof *a);
    if (!a)
        return conure_fail_memory(err, "an audio file", sizeof *a);
    a->decoder.bytes.fd = -1;
    conure_audio_options_init(&a->options);
    if (options)
        a->options = *options;
    conure_status status = check_options(&a->options, err);
    if (status == CONURE_OK)
        status = path ? conure_bytes_open(&a->decoder.bytes, path, err)
                      : conure_bytes_open_memory(&a->decoder.bytes, data, bytes, name, err);
    if (status == CONURE_OK)
        status = open_stages(a, err);
    if (status != CONURE_OK)
        conure_audio_close(&a);
    *out = a;
    return status;
}

conure_status conure_audio_open(conure_audio **out, const char *path,
                                const conure_audio_options *options, conure_error *err)
{
    return open_any(out, path, NULL, 0, NULL, options, err);
}

conure_status conure_audio_open_memory(conure_audio **out, const void *data, size_t bytes,
                                       const char *name, const conure_audio_options *options,
                                       conure_error *err)
{
    return open_any(out, NULL, data, bytes, name, options, err);
}

void conure_audio_close(conure_audio **audio)
{
    if (!audio || !*audio)
        return;
    conure_audio *a = *audio;
    conure_rate_close(&a->resampler);
    conure_decoder_close(&a->decoder);
    free(a->decoded);
    free(a->selected);
    free(a);
    *audio = NULL;
}

const conure_audio_info *conure_audio_get_info(const conure_audio *audio)
{
    return &audio->info;
}

/* ---- reading --------------------------------------------------------------------------------- */

static conure_status not_finite(const conure_audio *a, uint64_t frame, uint32_t channel,
                                float value, conure_error *err)
{
    return conure_fail(err, CONURE_BAD_AUDIO,
                       "%s: sample %llu (%.3f s) of channel %u is %s: the file is damaged, or was "
                       "written by a program that failed",
                       a->decoder.bytes.name, (unsigned long long)frame,
                       (double)frame / a->info.rate_hz, channel + 1,
                       isnan(value) ? "not a number" : "infinite");
}

/* dst [n][n_channels_out] of a->decoded [n][n_channels]; looks only at channels that are used. */
static conure_status select_channels(conure_audio *a, size_t n, float *dst, conure_error *err)
{
    const uint32_t n_channels = a->info.n_channels;
    const bool one = a->options.channel >= 0;
    const uint32_t first = one ? (uint32_t)a->options.channel : 0;
    const uint32_t end = one ? first + 1 : n_channels;
    for (size_t i = 0; i < n; i++) {
        const float *frame = a->decoded + i * n_channels;
        double sum = 0; /* of up to 256 floats: cannot overflow */
        for (uint32_t c = first; c < end; c++) {
            if (!isfinite(frame[c]))
                return not_finite(a, a->frames_in + i, c, frame[c], err);
            sum += frame[c];
        }
        if (a->options.channel == CONURE_AUDIO_EACH)
            memcpy(dst + i * n_channels, frame, n_channels * sizeof *frame);
        else
            dst[i] = (float)(sum / (end - first));
    }
    a->frames_in += n;
    return CONURE_OK;
}

static conure_status decode_block(conure_audio *a, float *dst, size_t cap, bool some, size_t *n,
                                  conure_error *err)
{
    if (cap > a->block_frames)
        cap = a->block_frames;
    const conure_status status =
        conure_decoder_read(&a->decoder, &a->info, a->decoded, cap, some, n, err);
    a->input_ended = status == CONURE_OK && *n == 0;
    return status == CONURE_OK ? select_channels(a, *n, dst, err) : status;
}

/* Some frames from the resampler, feeding it as it asks; *n = 0 only at the end. */
static conure_status resample_block(conure_audio *a, float *dst, size_t cap, bool some, size_t *n,
                                    conure_error *err)
{
    const uint32_t n_channels = a->info.n_channels_out;
    *n = 0;
    while (*n == 0) {
        if (!a->input_ended && a->i_selected == a->n_selected) {
            a->i_selected = a->n_selected = 0;
            const conure_status status =
                decode_block(a, a->selected, a->block_frames, some, &a->n_selected, err);
            if (status != CONURE_OK)
                return status;
        }
        size_t n_taken = 0;
        const bool flush = a->input_ended;
        const conure_status status = conure_rate_run(a->resampler, flush ? NULL : a->selected + a->i_selected * n_channels,
                                                     a->n_selected - a->i_selected, &n_taken, dst, cap, n, err);
        if (status != CONURE_OK) {
            conure_error_prefix(err, a->decoder.bytes.name);
            return status;
        }
        a->i_selected += n_taken;
        if (flush)
            break;
    }
    for (size_t i = 0; i < *n * n_channels; i++)
        if (!isfinite(dst[i]))
            return conure_fail(err, CONURE_BAD_AUDIO,
                               "%s: samples near %.3f s are too large to be resampled",
                               a->decoder.bytes.name,
                               (double)(a->frames_out + i / n_channels) / a->options.rate_hz);
    return CONURE_OK;
}

static conure_status read_frames(conure_audio *a, float *dst, size_t cap, bool some, size_t *n,
                                 conure_error *err)
{
    *n = 0;
    while (*n < cap) {
        size_t got = 0;
        float *at = dst + *n * a->info.n_channels_out;
        if (conure_bytes_cancelled(&a->decoder.bytes))
            return conure_bytes_status(&a->decoder.bytes, err);
        const conure_status status = a->resampler ? resample_block(a, at, cap - *n, some, &got, err)
                                                  : decode_block(a, at, cap - *n, some, &got, err);
        if (status != CONURE_OK)
            return status;
        if (!got)
            break;
        *n += got;
        a->frames_out += got;
        if (a->frames_out > a->options.samples_max)
            return conure_fail(
                err, CONURE_LIMIT,
                "%s: longer than the limit of %.1f s (%llu samples at %u Hz): cut it "
                "into pieces, or raise the limit",
                a->decoder.bytes.name, (double)a->options.samples_max / a->options.rate_hz,
                (unsigned long long)a->options.samples_max, a->options.rate_hz);
        if (some)
            break;
    }
    return CONURE_OK;
}

conure_status conure_audio_read(conure_audio *a, float *dst, size_t cap, size_t *n, conure_error *err)
{
    return read_frames(a, dst, cap, false, n, err);
}

conure_status conure_audio_read_some(conure_audio *a, float *dst, size_t cap, size_t *n, conure_error *err)
{
    return read_frames(a, dst, cap, true, n, err);
}
