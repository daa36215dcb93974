/* transcribe.c - audio files to transcripts, in order and in batches; see transcribe.h.  What is too long for one pass is
 * transcribed in windows while it is read (transcribe_long.c).
 *
 * A group of items (an item is one channel of one file, or one file that failed) is gathered, recognized in
 * one batch, written, and freed, so that memory holds one group at a time.  When a batch fails each item
 * is tried alone: only the one at fault is lost. */
#include "base/system.h"
#include "cli/transcribe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/terminal.h"
#include "cli/transcribe_long.h"
#include "stream/recognizer.h"
#include "stream/session_options.h"

/* What one file on the command line gave. */
typedef struct source {
    const char *file;
    conure_audio_clip clip;
    conure_status status;
    conure_error error;
    conure_result **results; /* [channels], owned, of what was transcribed while it was read; else NULL */
    const char *warnings[1];
    uint32_t n_warnings;
} source;

typedef struct item {
    source *source;
    uint32_t channel; /* row of the clip */
    conure_result *result;
} item;

typedef struct group {
    source *sources; /* [batch]: each file gives at least one item, so there are never more */
    item *items;
    uint32_t n_sources, n_items, items_cap;
    uint32_t n_audible; /* items that have audio */
} group;

/* ---- progress */

#define NAME_BYTES 64

/* A file's name without folders, cut so that what stands behind it stays on the line. */
static const char *short_name(const char *file, char name[NAME_BYTES])
{
    const char *slash = strrchr(file, '/');
    const char *base = strcmp(file, "-") == 0 ? "standard input" : slash && slash[1] ? slash + 1 : file;
    size_t bytes = strlen(base);
    if (bytes < 40)
        return memcpy(name, base, bytes + 1);
    for (bytes = 36; bytes && ((unsigned char)base[bytes] & 0xc0) == 0x80;)
        bytes--;
    snprintf(name, NAME_BYTES, "%.*s...", (int)bytes, base);
    return name;
}

static void label(conure_transcribe_job *job, const char *file, int i, int n_files)
{
    char name[NAME_BYTES];
    conure_transcribe_progress *p = job->progress;
    if (n_files > 1)
        snprintf(p->label, sizeof p->label, "[%d/%d] %s", i + 1, n_files, short_name(file, name));
    else
        snprintf(p->label, sizeof p->label, "transcribing %s", short_name(file, name));
    conure_progress("%s", p->label);
}

bool conure_transcribe_show(void *user, double fraction)
{
    conure_transcribe_progress *p = user;
    const double now_s = conure_now_s();
    char left[32];
    if (p->windows)
        return !conure_interrupted;
    if (fraction <= 0)
        p->start_s = now_s;
    if (fraction > 0 && now_s > p->start_s + 1)
        conure_progress_more("%s %.0f %%, %s left", p->label, 100 * fraction,
                             conure_text_seconds((now_s - p->start_s) * (1 - fraction) / fraction, left));
    else
        conure_progress_more("%s %.0f %%", p->label, 100 * fraction);
    return !conure_interrupted;
}

/* ---- loading */

/* What is told while a long input is read. */
typedef struct teller {
    conure_transcribe_job *job;
    const char *file;
    double start_s;
} teller;

static void show_windows(void *user, uint64_t n, uint64_t n_all)
{
    const teller *t = user;
    conure_transcribe_progress *p = t->job->progress;
    char text[32];
    if (n_all != UINT64_MAX && n_all > 0) {
        const double fraction = n < n_all ? (double)n / (double)n_all : 1;
        const double spent_s = conure_now_s() - t->start_s;
        conure_progress_more("%s %.0f %%, %s left", p->label, 100 * fraction,
                             conure_text_seconds(fraction > 0 ? spent_s * (1 - fraction) / fraction : 0, text));
    } else {
        conure_progress_more("%s: %s so far; Ctrl-C ends it", p->label, conure_text_seconds((double)n / t->job->audio.rate_hz, text));
    }
}

static void tell_ended(void *user, uint64_t n)
{
    const teller *t = user;
    char heard[32];
    if (!conure_input_ended)
        return;
    conure_text_seconds((double)n / t->job->audio.rate_hz, heard);
    conure_say(CONURE_SAY_NOTE, "the input ends here, after %s of audio, which is now transcribed; "
               "Ctrl-C again stops at once", heard);
}

static void tell_windows(const conure_transcribe_job *job, const source *s)
{
    char longest[32], limit[80] = "fit the memory limit";
    if (conure_recognizer_is_bounded(job->recognizer))
        snprintf(limit, sizeof limit, "engine %.40s takes in one piece", job->recognizer->engine->name);
    conure_text_seconds((double)job->audio.samples_max / job->audio.rate_hz, longest);
    conure_say(CONURE_SAY_NOTE, "%s: longer than the %s that %s: transcribed in windows of %s s, as with --stream", s->file, longest, limit,
               job->contexts);
}

bool conure_transcribe_windows_fit(const conure_transcribe_job *job)
{
    const conure_config *c = &job->recognizer->model->config;
    uint32_t frames[3];
    return conure_session_contexts(&job->session, c, frames, NULL) == CONURE_OK && /* as a session asks when it opens */
           conure_recognizer_bytes(job->recognizer, ((uint64_t)frames[0] + frames[1] + frames[2]) * 8 * c->hop_samples) <=
               job->recognizer->memory_bytes_max;
}

/* Not even one second fits in one pass, so no window would. */
static conure_status refuse(const conure_transcribe_job *job, source *s)
{
    char bytes[32];
    conure_text_bytes(conure_recognizer_bytes(job->recognizer, job->audio.rate_hz), bytes);
    return conure_fail(&s->error, CONURE_LIMIT,
                       "%s: does not fit the memory limit, as not even one second of audio does: that takes %s; raise "
                       "--memory", s->file, bytes);
}

/* The rest of an input, and what was read of it.  Ctrl-C ends it, also where it is a file: hours of work are not thrown away.
 * Of a pipe what came until then is transcribed; a file ends where the windows are. */
static conure_status load_long(conure_transcribe_job *job, source *s, conure_audio *audio)
{
    teller t = {job, s->file, conure_now_s()};
    const conure_long_job windows = {.recognizer = job->recognizer, .session = job->session, .file = s->file,
                                     .end = conure_input_is_stream(s->file) ? NULL : &conure_input_ended,
                                     .progress = show_windows, .ended = tell_ended, .user = &t};
    const bool bounded = conure_recognizer_is_bounded(job->recognizer);
    if (job->audio.samples_max < job->audio.rate_hz && !bounded)
        return refuse(job, s);
    if (!job->stream && conure_transcribe_windows_fit(job))
        tell_windows(job, s);
    s->results = conure_calloc(s->clip.n_channels, sizeof(conure_result *));
    if (!s->results)
        return conure_fail_memory(&s->error, "results", s->clip.n_channels * sizeof(conure_result *));
    conure_progress("%s", job->progress->label);
    conure_input_begin();
    job->progress->windows = true;
    const conure_status status = conure_transcribe_long(&windows, audio, &s->clip, s->results, &s->error);
    job->progress->windows = false;
    s->clip.info = *conure_audio_get_info(audio);
    if (status == CONURE_LIMIT && !bounded) /* else no memory helps, and a command stands at the end */
        conure_fail(&s->error, status, "%s (--preset, --memory)", s->error.text);
    return status;
}

static conure_status read_input(conure_transcribe_job *job, source *s)
{
    conure_audio_options options = job->audio;
    conure_audio *audio = NULL;
    bool ended = false;
    teller t = {job, s->file, 0};
    options.samples_max = UINT64_MAX;
    options.live = job->stream;
    conure_status status = conure_audio_open(&audio, s->file, &options, &s->error);
    if (status == CONURE_OK)
        status = conure_audio_fill(&s->clip, audio, job->stream ? 0 : job->audio.samples_max, &ended, &s->error);
    if (status == CONURE_OK && ended)
        tell_ended(&t, s->clip.n_samples);
    else if (status == CONURE_OK)
        status = load_long(job, s, audio);
    conure_audio_close(&audio);
    return status;
}

static conure_status load(conure_transcribe_job *job, source *s)
{
    const bool stream = conure_input_is_stream(s->file);
    conure_status status;
    if (!*s->file)
        return conure_fail(&s->error, CONURE_IO, "'': an empty name is that of no file");
    status = conure_sink_place(job->sink, s->file, &s->error);
    if (status != CONURE_OK)
        return status;
    if (stream) {
        conure_progress("reading %s; Ctrl-C ends it", short_name(s->file, (char[NAME_BYTES]){""}));
        conure_input_begin();
    }
    status = read_input(job, s);
    conure_input_finish();
    if (stream)
        conure_progress("%s", job->progress->label);
    if (status == CONURE_OK && s->clip.n_samples == 0 && !s->clip.info.damaged) {
        s->clip.info.damaged = true;
        snprintf(s->clip.info.damage, sizeof s->clip.info.damage, "is empty: there is no audio in it");
    }
    return status;
}

static conure_status add_source(conure_transcribe_job *job, group *g, const char *file)
{
    source *s = &g->sources[g->n_sources++];
    uint32_t rows = 1;
    memset(s, 0, sizeof *s);
    s->file = file;
    s->status = load(job, s);
    if (s->status == CONURE_CANCELLED || s->status == CONURE_NO_MEMORY)
        return s->status;
    if (s->status == CONURE_OK) {
        rows = s->clip.n_channels;
        g->n_audible += s->results ? 0 : rows;
        if (s->clip.info.damaged)
            s->warnings[s->n_warnings++] = s->clip.info.damage;
    }
    if (g->n_items + rows > g->items_cap) {
        const uint32_t cap = 2 * (g->n_items + rows);
        item *items = realloc(g->items, cap * sizeof *items);
        if (!items)
            return CONURE_NO_MEMORY;
        g->items = items;
        g->items_cap = cap;
    }
    for (uint32_t i = 0; i < rows; i++) {
        item *it = &g->items[g->n_items++];
        *it = (item){.source = s, .channel = i};
        if (s->status == CONURE_OK && s->results) {
            it->result = s->results[i];
            s->results[i] = NULL; /* it is the item's */
        }
    }
    return CONURE_OK;
}

static void clear(group *g)
{
    for (uint32_t i = 0; i < g->n_items; i++)
        conure_result_free(&g->items[i].result);
    for (uint32_t i = 0; i < g->n_sources; i++) {
        source *s = &g->sources[i];
        for (uint32_t c = 0; s->results && c < s->clip.n_channels; c++)
            conure_result_free(&s->results[c]);
        free(s->results);
        s->results = NULL;
        conure_audio_clip_free(&s->clip);
    }
    g->n_items = g->n_sources = g->n_audible = 0;
}

/* ---- recognizing */

/* The items list[0 .. n - 1] in one pass. */
static conure_status recognize_batch(conure_transcribe_job *job, item *const *list, uint32_t n,
                                     conure_error *err)
{
    const float **pcm = conure_calloc(n, sizeof *pcm);
    size_t *n_samples = conure_calloc(n, sizeof *n_samples);
    conure_result **results = conure_calloc(n, sizeof *results);
    conure_status status = CONURE_NO_MEMORY;
    const float silence = 0; /* what an empty clip points to */
    if (pcm && n_samples && results) {
        for (uint32_t i = 0; i < n; i++) {
            const conure_audio_clip *clip = &list[i]->source->clip;
            n_samples[i] = (size_t)clip->n_samples;
            pcm[i] = clip->pcm ? clip->pcm + list[i]->channel * n_samples[i] : &silence;
        }
        status = conure_transcribe(job->recognizer, pcm, n_samples, n, results, err);
        for (uint32_t i = 0; status == CONURE_OK && i < n; i++)
            list[i]->result = results[i];
    }
    free(results);
    free(n_samples);
    free(pcm);
    return status;
}

static conure_status recognize_alone(conure_transcribe_job *job, item *one)
{
    conure_error err = {""};
    const conure_status status = recognize_batch(job, &one, 1, &err);
    source *s = one->source;
    if (status == CONURE_OK || status == CONURE_CANCELLED)
        return status;
    s->status = status;
    conure_fail(&s->error, status, "%s: %s", s->file,
                err.text[0] ? err.text : conure_status_text(status));
    return CONURE_OK;
}

static conure_status recognize(conure_transcribe_job *job, group *g)
{
    item **list = conure_calloc((size_t)g->n_audible + 1, sizeof *list);
    conure_status status = CONURE_OK;
    uint32_t n = 0;
    if (!list)
        return CONURE_NO_MEMORY;
    for (uint32_t i = 0; i < g->n_items; i++)
        if (g->items[i].source->status == CONURE_OK && !g->items[i].result)
            list[n++] = &g->items[i];
    for (uint32_t done = 0; done < n && status == CONURE_OK;) {
        const uint32_t left = n - done, now = left < job->batch ? left : job->batch;
        status = now > 1 ? recognize_batch(job, list + done, now, NULL) : CONURE_LIMIT;
        if (status != CONURE_OK && status != CONURE_CANCELLED) {
            status = CONURE_OK;
            for (uint32_t i = 0; i < now && status == CONURE_OK; i++)
                status = recognize_alone(job, list[done + i]);
        }
        done += now;
    }
    free(list);
    return status;
}

/* ---- telling */

static void count(conure_transcribe_job *job, const source *s)
{
    if (s->status != CONURE_OK) {
        conure_say(CONURE_SAY_ERROR, "%s", s->error.text[0] ? s->error.text : s->file);
        job->n_failed++;
        return;
    }
    job->n_good++;
    job->audio_s += (double)s->clip.n_samples / job->audio.rate_hz;
    if (s->clip.info.damaged) {
        conure_say(CONURE_SAY_WARNING, "%s: %s", s->file, s->clip.info.damage);
        job->n_damaged++;
    }
}

static conure_status write_group(conure_transcribe_job *job, group *g, conure_error *err)
{
    conure_status status = CONURE_OK;
    for (uint32_t i = 0; i < g->n_sources; i++)
        count(job, &g->sources[i]);
    for (uint32_t i = 0; i < g->n_items && status == CONURE_OK; i++) {
        const item *it = &g->items[i];
        const source *s = it->source;
        const conure_transcript t = {
            .file = s->file,
            .channel = job->audio.channel == CONURE_AUDIO_EACH && it->result ? (int)it->channel + 1 : 0,
            .result = it->result,
            .error = s->error.text,
            .warnings = s->warnings,
            .n_warnings = s->n_warnings,
            .model_name = job->model_name,
            .model_sha256 = job->model_sha256,
        };
        conure_progress_clear();
        status = conure_sink_write(job->sink, &t, err);
    }
    return status;
}

static conure_status finish_group(conure_transcribe_job *job, group *g, conure_error *err)
{
    conure_status status = recognize(job, g);
    if (status == CONURE_OK)
        status = write_group(job, g, err);
    clear(g);
    return status;
}

conure_status conure_transcribe_files(conure_transcribe_job *job, char *const *files, int n_files,
                                      conure_error *err)
{
    group g = {.sources = conure_calloc(job->batch, sizeof *g.sources)};
    conure_status status = g.sources ? CONURE_OK : CONURE_NO_MEMORY;
    const uint64_t longest = conure_recognizer_samples_max(job->recognizer);
    if (longest < job->audio.samples_max)
        job->audio.samples_max = longest;
    for (int i = 0; i < n_files && status == CONURE_OK && !conure_input_ended; i++) {
        label(job, files[i], i, n_files);
        status = add_source(job, &g, files[i]);
        if (status == CONURE_OK && (g.n_sources == job->batch || g.n_audible >= job->batch))
            status = finish_group(job, &g, err);
    }
    if (status == CONURE_OK && g.n_items)
        status = finish_group(job, &g, err);
    if (status == CONURE_OK && conure_input_ended)
        status = CONURE_CANCELLED;
    clear(&g);
    free(g.items);
    free(g.sources);
    conure_progress_clear();
    if (status == CONURE_NO_MEMORY)
        conure_fail(err, status, "out of memory");
    return status;
}
