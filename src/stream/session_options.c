/* session_options.c - what a session may be asked for. */
#include "stream/session_options.h"

#include "features/resample.h"
#include "stream/schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTEXT_FRAMES_MAX = 1 << 14, SLICE_FRAMES_MAX = 1 << 17 };
static const double SECONDS_MAX = 600;

void conure_session_options_init(conure_session_options *options)
{
    if (options)
        *options = (conure_session_options){
            .struct_bytes = sizeof *options,
            .left_s = 10, .chunk_s = 2, .right_s = 2, .buffer_s = 2,
            .tentative = true,
            .rule1_min_trailing_silence_s = 2.4, .rule2_min_trailing_silence_s = 1.2, .rule3_min_utterance_length_s = 20,
            .slice_frames = 592,
        };
}

static const struct {
    const char *name;
    double left_s, chunk_s, right_s;
} presets[] = {
    {"file", 10, 10, 5},
    {"live", 10, 2, 2},
    {"fast", 6, 0.96, 0.64},
    {"fastest", 4, 0.32, 0.24},
};

/* Digits with at most one point: the C library reads numbers by the locale, and other things as numbers. */
static bool read_seconds(const char **at, double *out)
{
    uint64_t value = 0, scale = 0;
    const char *start = *at;
    for (; (**at >= '0' && **at <= '9') || (**at == '.' && !scale); ++*at) {
        if (**at == '.') {
            scale = 1;
        } else {
            value = 10 * value + (uint64_t)(**at - '0');
            scale *= 10;
        }
        if (*at - start > 15)
            return false;
    }
    *out = (double)value / (double)(scale ? scale : 1);
    return *at > start && (*at - start > 1 || *start != '.');
}

conure_status conure_session_options_preset(conure_session_options *options, const char *name, conure_error *err)
{
    double seconds[3];
    if (!options || !name)
        return conure_fail(err, CONURE_BAD_ARG, "conure_session_options_preset: options and name must not be NULL");
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (strcmp(presets[i].name, name) == 0) {
            options->left_s = presets[i].left_s;
            options->chunk_s = presets[i].chunk_s;
            options->right_s = presets[i].right_s;
            return CONURE_OK;
        }
    const char *at = name;
    bool good = true;
    for (int i = 0; i < 3 && good; i++)
        good = read_seconds(&at, &seconds[i]) && *at == (i < 2 ? '-' : '\0') && (i == 2 || *at++);
    if (!good || seconds[1] <= 0)
        return conure_fail(err, CONURE_BAD_ARG, "contexts '%.64s': expected file, live, fast, fastest, or LEFT-CHUNK-RIGHT in seconds "
                           "such as 10-2-2", name);
    options->left_s = seconds[0];
    options->chunk_s = seconds[1];
    options->right_s = seconds[2];
    return CONURE_OK;
}

static conure_status check_seconds(const char *name, double value, conure_error *err)
{
    if (value >= 0 && value <= SECONDS_MAX)
        return CONURE_OK;
    return conure_fail(err, CONURE_BAD_ARG, "session option %s is %g: expected 0 to %g seconds", name, value, SECONDS_MAX);
}

conure_status conure_session_options_take(conure_session_options *out, const conure_session_options *given, conure_error *err)
{
    conure_session_options_init(out);
    if (!given)
        return CONURE_OK;
    if (given->struct_bytes != sizeof *out)
        return conure_fail(err, CONURE_BAD_ARG, "conure_session_options: struct_bytes is %u, this library knows %zu: call "
                           "conure_session_options_init()", given->struct_bytes, sizeof *out);
    memcpy(out, given, sizeof *out);
    const conure_session_options *o = out;
    const struct {
        const char *name;
        double value;
    } seconds[] = {
        {"left_s", o->left_s}, {"chunk_s", o->chunk_s}, {"right_s", o->right_s}, {"buffer_s", o->buffer_s},
        {"rule1_min_trailing_silence_s", o->rule1_min_trailing_silence_s},
        {"rule2_min_trailing_silence_s", o->rule2_min_trailing_silence_s},
        {"rule3_min_utterance_length_s", o->rule3_min_utterance_length_s},
    };
    if (o->mode != CONURE_STREAM_BUFFERED && o->mode != CONURE_STREAM_CACHED && o->mode != CONURE_STREAM_RESET)
        return conure_fail(err, CONURE_BAD_ARG, "session option mode is %d: expected buffered, cached or reset", (int)o->mode);
    if (o->time_cache != CONURE_TIME_CACHE_ALIGNED && o->time_cache != CONURE_TIME_CACHE_NEMO)
        return conure_fail(err, CONURE_BAD_ARG, "session option time_cache is %d: expected aligned or nemo", (int)o->time_cache);
    if (o->normalize != CONURE_NORMALIZE_RUNNING && o->normalize != CONURE_NORMALIZE_SLICE)
        return conure_fail(err, CONURE_BAD_ARG, "session option normalize is %d: expected running or slice", (int)o->normalize);
    if (o->on_violation < CONURE_ON_VIOLATION_STOP || o->on_violation > CONURE_ON_VIOLATION_COUNT)
        return conure_fail(err, CONURE_BAD_ARG, "session option on_violation is %d: expected stop, reset or count", (int)o->on_violation);
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
        const conure_status status = check_seconds(seconds[i].name, seconds[i].value, err);
        if (status != CONURE_OK)
            return status;
    }
    if (!(o->endpoint_energy_db >= 0 && o->endpoint_energy_db <= 120))
        return conure_fail(err, CONURE_BAD_ARG, "session option endpoint_energy_db is %g: expected 0 to 120", o->endpoint_energy_db);
    return conure_session_check_rate(o->sample_rate_hz, err);
}

conure_status conure_session_check_rate(uint32_t rate_hz, conure_error *err)
{
    if (rate_hz == 0 || (rate_hz >= CONURE_RESAMPLE_HZ_MIN && rate_hz <= CONURE_RESAMPLE_HZ_MAX))
        return CONURE_OK;
    return conure_fail(err, CONURE_BAD_ARG, "sample rate %u Hz: a session takes %u to %u", rate_hz, CONURE_RESAMPLE_HZ_MIN,
                       CONURE_RESAMPLE_HZ_MAX);
}

conure_status conure_session_contexts(const conure_session_options *o, const conure_config *c, uint32_t frames[3], conure_error *err)
{
    static const char *const names[3] = {"left_s", "chunk_s", "right_s"};
    const double seconds[3] = {o->left_s, o->chunk_s, o->right_s};
    const double mel_per_s = (double)c->sample_rate_hz / c->hop_samples;
    for (int i = 0; i < 3; i++) {
        frames[i] = (uint32_t)(seconds[i] * mel_per_s / 8); /* int(seconds * 100 / 8), as NeMo has it */
        if (frames[i] > CONTEXT_FRAMES_MAX)
            return conure_fail(err, CONURE_BAD_ARG, "session option %s is %g: at most %d encoder frames are supported", names[i],
                               seconds[i], CONTEXT_FRAMES_MAX);
    }
    if (frames[1] == 0)
        return conure_fail(err, CONURE_BAD_ARG, "session option chunk_s is %g: expected at least one encoder frame, %g", o->chunk_s,
                           8 / mel_per_s);
    if (o->mode == CONURE_STREAM_RESET) {
        const uint32_t shortest = 8 * (frames[1] + 2) - 7;
        if (o->slice_frames < shortest || o->slice_frames > SLICE_FRAMES_MAX)
            return conure_fail(err, CONURE_BAD_ARG, "session option slice_frames is %u: expected %u (two frames that are dropped, and the "
                               "chunk) to %d mel frames", o->slice_frames, shortest, SLICE_FRAMES_MAX);
        frames[2] = conure_schedule_rows(o->slice_frames) - frames[1];
    }
    return CONURE_OK;
}
