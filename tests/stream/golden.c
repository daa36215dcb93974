/* golden.c - from audio to tokens on the small models: what NeMo gives for three clips, tokens, frames and
 * durations, under both masks where they differ, on every instruction set of this machine. */
#include "../golden.h"
#include "../test.h"
#include "audio/audio.h"
#include "base/cpu.h"
#include "conure.h"

static const char *const names[3] = {"short", "medium", "masked"};
static const char *const files[3] = {"librispeech_e29030942b", "librispeech_59aceb6ca6", "librispeech_7c95f9febc"};
static conure_audio_clip clips[3];

static void same_list(golden *g, const char *prefix, const char *list, const conure_result *r, int field)
{
    char key[128];
    snprintf(key, sizeof key, "%s%s", prefix, list);
    const int64_t n = golden_dim(g, key, 0);
    const int64_t *want = golden_i64(g, key, n);
    int64_t same = 0;
    for (uint32_t i = 0; want && i < r->n_tokens && i < n; i++, same++) {
        const conure_token *t = &r->tokens[i];
        if ((field == 0 ? t->id : field == 1 ? t->frame : t->duration) != want[i])
            break;
    }
    if (same != n || r->n_tokens != n)
        fprintf(stderr, "%s: %u, expected %lld; the first %lld agree\n", key, r->n_tokens, (long long)n, (long long)same);
    test_true(n > 0 && same == n && r->n_tokens == n);
}

static void one_model(const char *name, conure_mask mask, const char *mask_prefix, const char *isa)
{
    char path[4096], rest[128];
    golden g;
    conure_model *model = NULL;
    conure_recognizer *recognizer = NULL;
    conure_recognizer_options options;
    conure_error err = {""};
    snprintf(rest, sizeof rest, "golden/%s.golden.safetensors", name);
    test_true(golden_open(&g, data_path(path, sizeof path, rest)));
    snprintf(rest, sizeof rest, "models/%s.nemo", name);
    test_int(conure_model_open(&model, data_path(path, sizeof path, rest), NULL, &err), CONURE_OK);
    conure_recognizer_options_init(&options);
    options.mask = mask;
    options.isa = isa;
    test_int(conure_recognizer_open(&recognizer, model, &options, &err), CONURE_OK);
    for (int i = 0; i < 3 && recognizer; i++) {
        conure_result *result = NULL;
        const float *pcm = clips[i].pcm;
        const size_t n = clips[i].n_samples;
        snprintf(rest, sizeof rest, "%s%s.", mask_prefix, names[i]);
        test_int(conure_transcribe(recognizer, &pcm, &n, 1, &result, &err), CONURE_OK);
        if (result) {
            same_list(&g, rest, "tokens", result, 0);
            same_list(&g, rest, "frames", result, 1);
            same_list(&g, rest, "durations", result, 2);
        }
        conure_result_free(&result);
    }
    conure_recognizer_close(&recognizer);
    conure_model_close(&model);
    golden_close(&g);
}

int main(void)
{
    static const char *const levels[] = {"native", "c", "avx2", "avx512"};
    char path[4096], rest[128];
    conure_error err = {""};
    test_begin("stream.golden");
    for (int i = 0; i < 3; i++) {
        snprintf(rest, sizeof rest, "audio/%s.flac", files[i]);
        test_int(conure_audio_load(&clips[i], data_path(path, sizeof path, rest), NULL, &err), CONURE_OK);
    }
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        uint32_t features;
        if (conure_cpu_features(&features, levels[i], NULL) != CONURE_OK)
            continue;
        one_model("tiny-v3", CONURE_MASK_DEFAULT, "", levels[i]);
        one_model("tiny-alt", CONURE_MASK_DEFAULT, "", levels[i]);
        one_model("tiny-hostile", CONURE_MASK_DEFAULT, "nemo.", levels[i]);
        one_model("tiny-hostile", CONURE_MASK_EXACT, "exact.", levels[i]);
    }
    for (int i = 0; i < 3; i++)
        conure_audio_clip_free(&clips[i]);
    return test_end();
}
