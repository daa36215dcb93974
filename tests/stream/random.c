/* random.c - a random model of the small preset: the same bytes for the same seed, and a decoder that does
 * on speech what a trained one does. */
#include "../test.h"
#include "audio/audio.h"
#include "conure.h"
#include "stream/random.h"

#include <unistd.h>

static const char *const names[] = {"librispeech_e29030942b", "librispeech_59aceb6ca6", "librispeech_7c95f9febc",
                                    "librispeech_04f8a3ba8c", "librispeech_6af52fbae7", "librispeech_53826e90a4"};
enum { CLIPS = sizeof names / sizeof *names };

static char *read_all(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    char *data = NULL;
    *n = 0;
    if (f && fseek(f, 0, SEEK_END) == 0) {
        *n = (size_t)ftell(f);
        rewind(f);
        data = malloc(*n + 1);
        if (!data || fread(data, 1, *n, f) != *n)
            *n = 0;
    }
    if (f)
        fclose(f);
    return data;
}

/* The shipped clips are half a minute; spoken faster and slower they are other speech to a random model. */
static const float speeds[] = {1.0f, 0.8f, 1.25f};
enum { SPEEDS = sizeof speeds / sizeof *speeds };

static float *at_speed(const conure_audio_clip *clip, float speed, size_t *n)
{
    *n = clip->n_samples ? (size_t)((float)(clip->n_samples - 1) / speed) : 0;
    float *pcm = malloc((*n + 1) * sizeof *pcm);
    for (size_t i = 0; pcm && i < *n; i++) {
        const double at = (double)i * speed;
        const size_t k = (size_t)at;
        pcm[i] = (float)(clip->pcm[k] + (at - (double)k) * (clip->pcm[k + 1 < clip->n_samples ? k + 1 : k] - clip->pcm[k]));
    }
    return pcm;
}

static void check_speech(const char *path, const char *preset, uint32_t distinct_least)
{
    conure_model *model = NULL;
    conure_recognizer *r = NULL;
    conure_error err = {""};
    uint32_t n_blanks = 0, n_tokens = 0, n_distinct = 0, durations[5] = {0};
    double audio_s = 0;
    bool *seen = calloc(1 << 16, sizeof *seen);
    test_int(conure_model_open(&model, path, NULL, &err), CONURE_OK);
    test_int(conure_recognizer_open(&r, model, NULL, &err), CONURE_OK);
    for (int i = 0; i < SPEEDS * CLIPS && r; i++) {
        char file[4096];
        conure_audio_clip clip = {0};
        conure_result *result = NULL;
        snprintf(file, sizeof file, "%s/audio/%s.flac", TEST_DATA, names[i % CLIPS]);
        test_int(conure_audio_load(&clip, file, NULL, &err), CONURE_OK);
        size_t n = 0;
        float *const pcm = at_speed(&clip, speeds[i / CLIPS], &n);
        const float *const samples = pcm;
        test_int(conure_transcribe(r, &samples, &n, 1, &result, &err), CONURE_OK);
        audio_s += (double)n / 16000;
        free(pcm);
        for (uint32_t k = 0; result && k < result->n_tokens; k++) {
            durations[result->tokens[k].duration]++;
            n_distinct += !seen[result->tokens[k].id];
            seen[result->tokens[k].id] = true;
        }
        n_tokens += result ? result->n_tokens : 0;
        n_blanks += result ? result->n_blanks : 0;
        conure_result_free(&result);
        conure_audio_clip_free(&clip);
    }
    const double blank_share = (double)n_blanks / (n_blanks + n_tokens + 1e-9);
    fprintf(stderr, "%s: %.0f s, %u tokens, %u distinct, blank share %.2f, durations %u %u %u %u %u\n", preset, audio_s, n_tokens, n_distinct,
            blank_share, durations[0], durations[1], durations[2], durations[3], durations[4]);
    test_true(audio_s > 55);
    test_true(blank_share > 0.3 && blank_share < 0.9);
    test_true(n_distinct >= distinct_least);
    for (int i = 0; i < 5; i++)
        test_true(durations[i] > 0);
    conure_recognizer_close(&r);
    conure_model_close(&model);
    free(seen);
}

/* The same seed gives the same file, another seed another one. */
static void check_seeds(void)
{
    static const char *const paths[3] = {"random-a.conure", "random-b.conure", "random-c.conure"};
    conure_error err = {""};
    size_t n[3];
    char *data[3];
    for (int i = 0; i < 3; i++) {
        if (conure_model_random(paths[i], "mini", 0, i == 2 ? 8 : 7, "f32", NULL, NULL, &err) != CONURE_OK)
            fprintf(stderr, "%s\n", err.text);
        data[i] = read_all(paths[i], &n[i]);
    }
    test_true(n[0] > 1000 && n[0] == n[1] && memcmp(data[0], data[1], n[0]) == 0);
    test_true(n[0] == n[2] && memcmp(data[0], data[2], n[0]) != 0);
    check_speech(paths[0], "mini", 50);
    for (int i = 0; i < 3; i++) {
        free(data[i]);
        unlink(paths[i]);
    }
    test_int(conure_model_random("random-d.conure", "huge", 0, 1, "f32", NULL, NULL, &err), CONURE_BAD_ARG);
    test_contains(err.text, "parakeet-tdt-0.6b-v3");
}

/* The real shapes, which take 3 GB of memory and half a minute. */
static void check_full(void)
{
    static const char *const path = "random-full.conure", *const preset = "parakeet-tdt-0.6b-v3";
    conure_error err = {""};
    test_int(conure_model_random(path, preset, 0, 1, "int8", NULL, NULL, &err), CONURE_OK);
    check_speech(path, preset, 100);
    unlink(path);
}

int main(int argc, char **argv)
{
    test_begin("stream.random");
    if (argc > 1 && strcmp(argv[1], "full") == 0)
        check_full();
    else
        check_seeds();
    return test_end();
}
