/* embedded.c - the model that ships, against NeMo, in a plain clone: its dequantised weights are the model, so that in float32 every token,
 * frame and duration is NeMo's.  training/golden.py stored what NeMo makes of the clips in tests/data/audio, whole and in cuts; what it chose
 * lay at least 0.003 in logits ahead of the next, a hundred times what rounding moves. */
#include "../engine/compare.h"
#include "../test.h"
#include "audio/audio.h"
#include "base/cpu.h"
#include "conure.h"

#include <jansson.h>

/* Layers of this model multiply float32's rounding: 3.1e-5 was measured. */
static const float encoder_max = 2e-4f;

static bool same_list(const json_t *want, const conure_result *r, size_t offset)
{
    bool same = json_array_size(want) == r->n_tokens;
    for (uint32_t i = 0; same && i < r->n_tokens; i++)
        same = json_integer_value(json_array_get(want, i)) == *(const uint32_t *)((const char *)&r->tokens[i] + offset);
    return same;
}

static void one_case(conure_recognizer *recognizer, const json_t *want)
{
    const char *file = json_string_value(json_object_get(want, "file")), *text = json_string_value(json_object_get(want, "text"));
    const size_t first = (size_t)json_integer_value(json_object_get(want, "first")), n = (size_t)json_integer_value(json_object_get(want, "samples"));
    char path[4096], rest[256];
    conure_audio_clip clip = {0};
    conure_result *result = NULL;
    conure_error err = {""};
    snprintf(rest, sizeof rest, "audio/%s", file);
    test_int(conure_audio_load(&clip, data_path(path, sizeof path, rest), NULL, &err), CONURE_OK);
    test_true(clip.pcm && n > 0 && first + n <= clip.n_samples);
    if (clip.pcm && first + n <= clip.n_samples) {
        const float *pcm = clip.pcm + first;
        test_int(conure_transcribe(recognizer, &pcm, &n, 1, &result, &err), CONURE_OK);
    }
    if (result) {
        const bool same = same_list(json_object_get(want, "tokens"), result, offsetof(conure_token, id)) &&
                          same_list(json_object_get(want, "frames"), result, offsetof(conure_token, frame)) &&
                          same_list(json_object_get(want, "durations"), result, offsetof(conure_token, duration)) &&
                          strcmp(result->text, text) == 0;
        if (!same)
            fprintf(stderr, "%s from %zu, %zu samples: \"%s\", expected \"%s\"\n", file, first, n, result->text, text);
        test_true(same);
    }
    conure_result_free(&result);
    conure_audio_clip_free(&clip);
}

/* Every `step`-th case: a clip and its six cuts are seven. */
static void transcripts(const conure_model *model, const json_t *cases, const char *isa, size_t step)
{
    conure_recognizer_options options;
    conure_recognizer *recognizer = NULL;
    conure_error err = {""};
    conure_recognizer_options_init(&options);
    options.precision = CONURE_PRECISION_F32;
    options.isa = isa;
    test_int(conure_recognizer_open(&recognizer, model, &options, &err), CONURE_OK);
    for (size_t i = 0; recognizer && i < json_array_size(cases); i += step)
        one_case(recognizer, json_array_get(cases, i));
    conure_recognizer_close(&recognizer);
}

/* Features of one clip through the encoder and the decoder, against NeMo's tensors. */
static void tensors(const char *isa)
{
    char path[4096];
    golden g;
    opened o;
    test_true(golden_open(&g, data_path(path, sizeof path, "golden/embedded.safetensors")));
    test_true(open_engine(&o, EMBEDDED_MODEL, CONURE_PRECISION_F32, CONURE_MASK_NEMO, 2, isa));
    if (g.header && o.self)
        compare_tokens(&o, &g, "clip.mel", &g, "clip.", encoder_max);
    close_engine(&o);
    golden_close(&g);
}

int main(void)
{
    static const char *const levels[] = {"native", "avx2", "c"};
    char path[4096];
    conure_model *model = NULL;
    conure_error err = {""};
    test_begin("stream.embedded");
    json_t *stored = json_load_file(data_path(path, sizeof path, "golden/embedded.json"), 0, NULL);
    const json_t *cases = json_object_get(stored, "cases");
    test_int((long long)json_array_size(cases), 70);
    test_int(conure_model_open(&model, EMBEDDED_MODEL, NULL, &err), CONURE_OK);
    for (size_t i = 0; model && i < sizeof levels / sizeof *levels; i++) {
        uint32_t features;
        if (conure_cpu_features(&features, levels[i], NULL) != CONURE_OK)
            continue; /* this machine does not reach that level */
        tensors(levels[i]);
        transcripts(model, cases, levels[i], i ? 7 : 1);
    }
    test_int(compare_failures, 0);
    conure_model_close(&model);
    json_decref(stored);
    return test_end();
}
