/* features.c - what is fed: made-up features that anybody can make again, and slices of real ones. */
#include "clearance/source.h"

#include "model/random.h"

#include <string.h>

void conure_random_features(float *features, uint32_t mel_bins, uint32_t n_frames, uint64_t seed, uint64_t chunk)
{
    const uint64_t base = chunk << 40; /* no two chunks share numbers */
    for (uint32_t b = 0; b < mel_bins; b++)
        for (uint32_t t = 0; t < n_frames; t++)
            features[(size_t)b * n_frames + t] =
                (float)((conure_random_unit(seed, base + (uint64_t)t * mel_bins + b) * 2 - 1) * 1.7320508075688772);
}

/* The first profile that serves the step. */
static uint32_t frames_of(const conure_feed *feed, const conure_contract *k, bool first)
{
    if (feed->n_frames)
        return conure_contract_accepts(k, first, feed->n_frames) ? feed->n_frames : 0;
    for (uint32_t i = 0; i < k->n_profiles; i++) {
        const conure_steps steps = k->profiles[i].steps;
        if (steps == CONURE_STEPS_ALL || (steps == CONURE_STEPS_FIRST) == first)
            return k->profiles[i].t_opt;
    }
    return 0;
}

/* Where slice k of the audio begins: the frames in front of a chunk are frames of the slice too.  Negative: zeros. */
static int64_t slice_begin(const conure_contract *k, uint64_t chunk)
{
    const conure_streaming *s = &k->streaming;
    const int64_t position = chunk == 0 ? 0 : (int64_t)s->shift_frames[0] + (int64_t)(chunk - 1) * s->shift_frames[1];
    return position - (int64_t)s->front_frames[chunk > 0];
}

conure_status conure_feed_check(conure_feed *feed, const conure_contract *k, conure_error *err)
{
    const uint32_t first = frames_of(feed, k, true), later = frames_of(feed, k, false);
    uint64_t n = 0;
    if (!first || (feed->n_chunks > 1 && !later))
        return conure_fail(err, CONURE_BAD_ARG, "no profile of the contract takes %s steps of %u frames%s", first ? "later" : "first",
                           feed->n_frames, feed->n_frames ? "" : ": it has none for them");
    if (!feed->mel)
        return CONURE_OK;
    while (n < feed->n_chunks && slice_begin(k, n) + (n ? later : first) <= (int64_t)feed->n_mel)
        n++;
    if (n == 0)
        return conure_fail(err, CONURE_BAD_ARG, "the audio has %llu mel frames, and the first slice takes %u", (unsigned long long)feed->n_mel,
                           first);
    feed->n_chunks = n; /* what remains at the end fills no slice */
    return CONURE_OK;
}

void conure_feed_chunk(const conure_feed *feed, uint64_t index, conure_chunk *c)
{
    const uint32_t bins = c->contract->mel_bins;
    c->index = c->step = index;
    c->n_frames = frames_of(feed, c->contract, index == 0);
    c->length = c->n_frames - (feed->n_padding < c->n_frames ? feed->n_padding : 0);
    c->has[CONURE_ROLE_FEATURES] = c->has[CONURE_ROLE_LENGTH] = true;
    if (!feed->mel) {
        conure_random_features(c->features, bins, c->n_frames, feed->seed, index);
        for (uint32_t b = 0; b < bins && c->length < c->n_frames; b++) /* columns from length on are zeros */
            memset(c->features + (size_t)b * c->n_frames + c->length, 0, (c->n_frames - (size_t)c->length) * sizeof(float));
        return;
    }
    const int64_t begin = slice_begin(c->contract, index);
    for (uint32_t b = 0; b < bins; b++)
        for (uint32_t t = 0; t < c->n_frames; t++)
            c->features[(size_t)b * c->n_frames + t] = begin + t < 0 ? 0 : feed->mel[(size_t)(begin + t) * bins + b];
}
