/* recognizer.c - the public recognizer on the small models: batches equal singles, edges, limits,
 * refusals, cancelling. */
#include "../test.h"
#include "audio/audio.h"
#include "conure.h"

#include <pthread.h>
#include <unistd.h>

static conure_model *model;

static conure_recognizer *open_recognizer(conure_precision precision, uint32_t n_threads)
{
    conure_recognizer *r = NULL;
    conure_recognizer_options o;
    conure_error err = {""};
    conure_recognizer_options_init(&o);
    o.precision = precision;
    o.n_threads = n_threads;
    if (conure_recognizer_open(&r, model, &o, &err) != CONURE_OK)
        fprintf(stderr, "%s\n", err.text);
    test_true(r != NULL);
    return r;
}

static void same_result(const conure_result *a, const conure_result *b)
{
    test_int(a->n_tokens, b->n_tokens);
    test_int(a->n_frames, b->n_frames);
    test_int(a->n_words, b->n_words);
    test_text(a->text, b->text);
    for (uint32_t i = 0; i < a->n_tokens && i < b->n_tokens; i++) {
        test_int(a->tokens[i].id, b->tokens[i].id);
        test_int(a->tokens[i].frame, b->tokens[i].frame);
        test_int(a->tokens[i].duration, b->tokens[i].duration);
        test_near(a->tokens[i].confidence, b->tokens[i].confidence, 1e-5);
    }
}

enum { CLIPS = 6 };
static const char *const names[CLIPS] = {"librispeech_e29030942b", "librispeech_59aceb6ca6", "librispeech_7c95f9febc",
                                         "goforward", "cards_001", "cards_003"};

static void batches(conure_audio_clip *clips, conure_precision precision)
{
    conure_recognizer *one = open_recognizer(precision, 1), *two = open_recognizer(precision, 2);
    conure_result *single[CLIPS], *batch[CLIPS];
    const float *pcm[CLIPS];
    size_t n[CLIPS];
    uint32_t n_tokens = 0;
    conure_error err = {""};
    for (int i = 0; i < CLIPS && one && two; i++) {
        pcm[i] = clips[i].pcm;
        n[i] = clips[i].n_samples;
        test_int(conure_transcribe(one, &pcm[i], &n[i], 1, &single[i], &err), CONURE_OK);
    }
    if (one && two) {
        test_int(conure_transcribe(two, pcm, n, CLIPS, batch, &err), CONURE_OK);
        for (int i = 0; i < CLIPS; i++) {
            n_tokens += single[i]->n_tokens;
            same_result(batch[i], single[i]);
            conure_result_free(&single[i]);
            conure_result_free(&batch[i]);
        }
        test_true(n_tokens > 20);
    }
    conure_recognizer_close(&one);
    conure_recognizer_close(&two);
}

/* Lengths around nothing, one window, one encoder frame; silence; loud floats; what must be refused. */
static void edges(void)
{
    static const size_t lengths[] = {0, 1, 159, 160, 161, 319, 320, 1279, 1280, 1281, 10240};
    conure_recognizer *r = open_recognizer(CONURE_PRECISION_DEFAULT, 2);
    float *pcm = calloc(16000, sizeof *pcm);
    conure_error err = {""};
    for (size_t i = 0; r && i < sizeof lengths / sizeof *lengths; i++) {
        conure_result *result = NULL;
        const float *p = pcm;
        for (size_t k = 0; k < lengths[i]; k++)
            pcm[k] = i % 2 ? 3.0f * sinf((float)k) : 0.0f;
        test_int(conure_transcribe(r, &p, &lengths[i], 1, &result, &err), CONURE_OK);
        if (result)
            test_int(result->n_frames, (lengths[i] / 160 + 7) / 8);
        conure_result_free(&result);
    }
    pcm[77] = NAN;
    const size_t n = 16000;
    const float *p = pcm, *nothing = NULL;
    conure_result *result = NULL;
    test_int(conure_transcribe(r, &p, &n, 1, &result, &err), CONURE_BAD_AUDIO);
    test_contains(err.text, "sample 77");
    test_true(result == NULL);
    pcm[77] = -INFINITY;
    test_int(conure_transcribe(r, &p, &n, 1, &result, &err), CONURE_BAD_AUDIO);
    test_contains(err.text, "infinite");
    pcm[77] = 2e30f;
    test_int(conure_transcribe(r, &p, &n, 1, &result, &err), CONURE_BAD_AUDIO);
    test_contains(err.text, "beyond");
    for (size_t k = 0; k < n; k++)
        pcm[k] = 9e29f * sinf((float)k);
    test_int(conure_transcribe(r, &p, &n, 1, &result, &err), CONURE_OK);
    for (uint32_t k = 0; result && k < result->n_tokens; k++)
        test_true(result->tokens[k].confidence >= 0 && result->tokens[k].confidence <= 1);
    conure_result_free(&result);
    pcm[77] = NAN;
    test_int(conure_transcribe(r, &nothing, &n, 1, &result, &err), CONURE_BAD_ARG);
    test_int(conure_transcribe(NULL, &p, &n, 1, &result, &err), CONURE_BAD_ARG);
    test_int(conure_transcribe(r, NULL, NULL, 0, &result, &err), CONURE_OK);
    conure_result **many = malloc((CONURE_BATCH_MAX + 1) * sizeof *many);
    memset(many, 0xff, (CONURE_BATCH_MAX + 1) * sizeof *many);
    test_int(conure_transcribe(r, &p, &n, CONURE_BATCH_MAX + 1, many, &err), CONURE_BAD_ARG);
    test_true(many[0] == NULL && many[CONURE_BATCH_MAX] == NULL);
    free(many);
    free(pcm);
    conure_recognizer_close(&r);
}

typedef struct setter {
    int *flag;
    unsigned after_us, for_us;
} setter;

static void *set_and_clear(void *arg)
{
    const setter *s = arg;
    usleep(s->after_us);
    __atomic_store_n(s->flag, 1, __ATOMIC_RELAXED);
    usleep(s->for_us);
    __atomic_store_n(s->flag, 0, __ATOMIC_RELAXED);
    return NULL;
}

/* A flag that is set for a moment, at any time: either CANCELLED, or the whole right result; and the call
 * after it is not harmed. */
static void cancel_anywhere(conure_recognizer *r, int *flag, const float *pcm, size_t n, const conure_result *want)
{
    for (unsigned i = 0; i < 60; i++) {
        setter s = {flag, i * 150, 20};
        pthread_t thread;
        conure_result *result = NULL;
        test_int(pthread_create(&thread, NULL, set_and_clear, &s), 0);
        const conure_status status = conure_transcribe(r, &pcm, &n, 1, &result, NULL);
        pthread_join(thread, NULL);
        test_true(status == CONURE_OK || status == CONURE_CANCELLED);
        if (status == CONURE_OK)
            same_result(result, want);
        conure_result_free(&result);
    }
    conure_result *result = NULL;
    test_int(conure_transcribe(r, &pcm, &n, 1, &result, NULL), CONURE_OK);
    same_result(result, want);
    conure_result_free(&result);
}

typedef struct stopper {
    int flag;
    bool armed;
} stopper;

static bool stop_when_armed(void *user, double fraction)
{
    stopper *s = user;
    (void)fraction;
    if (s->armed)
        __atomic_store_n(&s->flag, 1, __ATOMIC_RELAXED);
    return true;
}

/* A call that a flag ended in the middle of a layer, with items skipped, leaves nothing for the next. */
static void cancel_within(const float *pcm, size_t n, const conure_result *want)
{
    stopper s = {0, false};
    conure_recognizer *r = NULL;
    conure_recognizer_options o;
    conure_result *result = NULL;
    conure_recognizer_options_init(&o);
    o.cancel = &s.flag;
    o.progress = stop_when_armed;
    o.progress_user = &s;
    test_int(conure_recognizer_open(&r, model, &o, NULL), CONURE_OK);
    for (int i = 0; i < 3; i++) {
        s.armed = true;
        test_int(conure_transcribe(r, &pcm, &n, 1, &result, NULL), CONURE_CANCELLED);
        test_true(result == NULL);
        s = (stopper){0, false};
        test_int(conure_transcribe(r, &pcm, &n, 1, &result, NULL), CONURE_OK);
        if (result)
            same_result(result, want);
        conure_result_free(&result);
    }
    conure_recognizer_close(&r);
}

static void limits(const conure_audio_clip *clip)
{
    conure_recognizer *r = NULL;
    conure_recognizer_options o;
    conure_error err = {""};
    conure_result *result = NULL;
    int stop = 1;
    const float *pcm = clip->pcm;
    const size_t n = clip->n_samples;
    conure_recognizer_options_init(&o);
    o.memory_bytes_max = 200000;
    test_int(conure_recognizer_open(&r, model, &o, &err), CONURE_OK);
    test_true(conure_recognizer_samples_max(r) < n);
    test_int(conure_transcribe(r, &pcm, &n, 1, &result, &err), CONURE_LIMIT);
    test_contains(err.text, "MB");
    conure_recognizer_close(&r);

    conure_recognizer_options_init(&o);
    test_int(conure_recognizer_open(&r, model, &o, &err), CONURE_OK);
    const uint64_t most = conure_recognizer_samples_max(r);
    test_true(most > n);
    conure_recognizer_close(&r);

    conure_recognizer_options_init(&o);
    o.cancel = &stop;
    stop = 0;
    test_int(conure_recognizer_open(&r, model, &o, &err), CONURE_OK);
    stop = 1;
    test_int(conure_transcribe(r, &pcm, &n, 1, &result, &err), CONURE_CANCELLED);
    test_true(result == NULL);
    stop = 0;
    test_int(conure_transcribe(r, &pcm, &n, 1, &result, &err), CONURE_OK);
    cancel_anywhere(r, &stop, pcm, n, result);
    cancel_within(pcm, n, result);
    conure_result_free(&result);
    conure_recognizer_close(&r);

    conure_recognizer_options_init(&o);
    o.engine = "abacus";
    test_int(conure_recognizer_open(&r, model, &o, &err), CONURE_BACKEND);
    test_true(r == NULL);
    o.engine = NULL;
    o.isa = "mmx";
    test_int(conure_recognizer_open(&r, model, &o, &err), CONURE_BAD_ARG);
    o.isa = NULL;
    o.struct_bytes = 0;
    test_int(conure_recognizer_open(&r, model, &o, &err), CONURE_BAD_ARG);
    o.struct_bytes = 12;
    test_int(conure_recognizer_open(&r, model, &o, &err), CONURE_BAD_ARG);
    o.struct_bytes = sizeof o + 8;
    test_int(conure_recognizer_open(&r, model, &o, &err), CONURE_BAD_ARG);
}

typedef struct sharer {
    const conure_audio_clip *clip;
    conure_mask mask;
    conure_result *result;
} sharer;

static void *transcribe_alone(void *arg)
{
    sharer *s = arg;
    conure_recognizer *r = NULL;
    conure_recognizer_options o;
    const float *pcm = s->clip->pcm;
    const size_t n = s->clip->n_samples;
    conure_recognizer_options_init(&o);
    o.n_threads = 2;
    o.mask = s->mask;
    if (conure_recognizer_open(&r, model, &o, NULL) == CONURE_OK)
        (void)conure_transcribe(r, &pcm, &n, 1, &s->result, NULL);
    conure_recognizer_close(&r);
    return NULL;
}

/* Several recognizers on one model, each in a thread of its own, masks mixed: what each gives alone. */
static void share(const conure_audio_clip *clips)
{
    enum { SHARERS = 6 };
    sharer sharers[SHARERS];
    pthread_t threads[SHARERS];
    for (int i = 0; i < SHARERS; i++) {
        sharers[i] = (sharer){&clips[i % 3], i % 2 ? CONURE_MASK_EXACT : CONURE_MASK_NEMO, NULL};
        test_int(pthread_create(&threads[i], NULL, transcribe_alone, &sharers[i]), 0);
    }
    for (int i = 0; i < SHARERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < SHARERS; i++) {
        sharer again = {sharers[i].clip, sharers[i].mask, NULL};
        transcribe_alone(&again);
        test_true(again.result && sharers[i].result);
        if (again.result && sharers[i].result)
            same_result(sharers[i].result, again.result);
        conure_result_free(&again.result);
        conure_result_free(&sharers[i].result);
    }
}

/* Never more than max_symbols tokens on one frame; with 1, exactly one. */
static void symbols(const conure_audio_clip *clip)
{
    const float *pcm = clip->pcm;
    const size_t n = clip->n_samples;
    uint32_t before = UINT32_MAX;
    for (uint32_t most = 10; most >= 1; most -= most > 4 ? 3 : 1) {
        conure_recognizer *r = NULL;
        conure_recognizer_options o;
        conure_result *result = NULL;
        uint32_t on_frame = 0, longest = 0;
        conure_recognizer_options_init(&o);
        o.max_symbols = most;
        test_int(conure_recognizer_open(&r, model, &o, NULL), CONURE_OK);
        test_int(conure_transcribe(r, &pcm, &n, 1, &result, NULL), CONURE_OK);
        for (uint32_t i = 0; result && i < result->n_tokens; i++) {
            on_frame = i && result->tokens[i].frame == result->tokens[i - 1].frame ? on_frame + 1 : 1;
            longest = on_frame > longest ? on_frame : longest;
        }
        test_true(longest >= 1 && longest <= most);
        test_true(result && result->n_tokens <= before);
        before = result ? result->n_tokens : 0;
        conure_result_free(&result);
        conure_recognizer_close(&r);
    }
}

int main(void)
{
    static const char *const models[] = {"tiny-v3", "tiny-alt", "tiny-hostile"};
    conure_audio_clip clips[CLIPS] = {{0}};
    conure_error err = {""};
    char path[4096];
    test_begin("stream.recognizer");
    for (int i = 0; i < CLIPS; i++) {
        snprintf(path, sizeof path, "%s/audio/%s.flac", TEST_DATA, names[i]);
        if (conure_audio_load(&clips[i], path, NULL, &err) != CONURE_OK)
            fprintf(stderr, "%s\n", err.text);
        test_true(clips[i].n_samples > 8000);
    }
    for (int m = 0; m < 3; m++) {
        snprintf(path, sizeof path, "%s/models/%s.nemo", TEST_DATA, models[m]);
        if (conure_model_open(&model, path, NULL, &err) != CONURE_OK)
            fprintf(stderr, "%s\n", err.text);
        test_true(model != NULL);
        if (!model)
            continue;
        batches(clips, CONURE_PRECISION_F32);
        batches(clips, CONURE_PRECISION_BF16);
        batches(clips, CONURE_PRECISION_INT8);
        share(clips);
        if (m == 1)
            symbols(&clips[1]); /* tiny-alt runs into the limit often */
        if (m == 0) {
            edges();
            limits(&clips[1]);
        }
        conure_model_close(&model);
    }
    for (int i = 0; i < CLIPS; i++)
        conure_audio_clip_free(&clips[i]);
    return test_end();
}
