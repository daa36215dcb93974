/* buffered.c - buffered sessions of the trained fixture against NeMo's own loop: 52 runs, five clips, six contexts, both
 * masks; tokens, frames and durations exact, for the whole file at once and for random splits of it. */
#include "../golden.h"
#include "audio/audio.h"
#include "collect.h"

#include <jansson.h>
#include <unistd.h>

static bool same(const json_t *want, const heard *h)
{
    const json_t *tokens = json_object_get(want, "tokens"), *frames = json_object_get(want, "frames"),
                 *durations = json_object_get(want, "durations"), *words = json_object_get(want, "words");
    bool equal = json_array_size(tokens) == h->n_tokens && json_array_size(words) == h->n_words &&
                 strcmp(json_string_value(json_object_get(want, "text")), h->text) == 0;
    for (uint32_t i = 0; i < h->n_tokens && equal; i++)
        equal = json_integer_value(json_array_get(tokens, i)) == h->tokens[i].id &&
                json_integer_value(json_array_get(frames, i)) == h->tokens[i].frame &&
                json_integer_value(json_array_get(durations, i)) == h->tokens[i].duration;
    for (uint32_t i = 0; i < h->n_words && equal; i++) {
        const json_t *w = json_array_get(words, i);
        equal = strcmp(json_string_value(json_object_get(w, "word")), h->word_texts[i]) == 0 &&
                fabs(json_number_value(json_object_get(w, "start")) - h->words[i].start_s) < 1e-6 &&
                fabs(json_number_value(json_object_get(w, "end")) - h->words[i].end_s) < 1e-6;
    }
    if (!equal)
        fprintf(stderr, "\"%s\"\nexpected \"%s\"\n", h->text, json_string_value(json_object_get(want, "text")));
    return equal;
}

static void one_run(conure_recognizer *r, const conure_audio_clip *clip, const json_t *want, uint64_t *seed)
{
    static const size_t most[] = {0, 16000, 700, 97};
    const json_t *secs = json_object_get(want, "context_secs");
    conure_session_options o;
    conure_session *s = NULL;
    conure_error err = {""};
    conure_session_options_init(&o);
    o.left_s = json_number_value(json_array_get(secs, 0));
    o.chunk_s = json_number_value(json_array_get(secs, 1));
    o.right_s = json_number_value(json_array_get(secs, 2));
    test_int(conure_session_open(&s, r, &o, &err), CONURE_OK);
    for (size_t i = 0; s && i < sizeof most / sizeof *most; i++) {
        const uint64_t before = *seed;
        heard h;
        heard_all(&h, s, clip->pcm, clip->n_samples, most[i], seed);
        if (!same(want, &h)) {
            fprintf(stderr, "%s %g-%g-%g, pieces of up to %zu samples, seed %llu\n", json_string_value(json_object_get(want, "clip")),
                    o.left_s, o.chunk_s, o.right_s, most[i], (unsigned long long)before);
            test_true(false);
        }
        test_true(h.n_events > 0);
        heard_free(&h);
        test_int(conure_session_reset(s, true, &err), CONURE_OK);
    }
    conure_session_close(&s);
}

int main(void)
{
    char model_path[4096], list_path[4096], tar[4096], command[9000], folder[] = "buffered-XXXXXX", path[4096];
    conure_model *model = NULL;
    conure_recognizer *r[2] = {NULL, NULL};
    conure_error err = {""};
    uint64_t seed = 20261125;
    char *line = NULL;
    size_t cap = 0;
    int n = 0;
    test_begin("stream.buffered");
    if (!shared_path(model_path, sizeof model_path, "models/spike-tdt-8m.nemo"))
        return test_skip("no ../shared");
    shared_path(tar, sizeof tar, "data/speech-dev-flac.tar");
    shared_path(list_path, sizeof list_path, "golden/stream-buffered.jsonl");
    if (!mkdtemp(folder))
        return test_skip("no place for the clips");
    snprintf(command, sizeof command, "tar -xf '%s' -C '%s'", tar, folder);
    test_int(system(command), 0);
    test_int(conure_model_open(&model, model_path, NULL, &err), CONURE_OK);
    for (int exact = 0; model && exact < 2; exact++) {
        conure_recognizer_options options;
        conure_recognizer_options_init(&options);
        options.mask = exact ? CONURE_MASK_EXACT : CONURE_MASK_NEMO;
        options.n_threads = 2;
        test_int(conure_recognizer_open(&r[exact], model, &options, &err), CONURE_OK);
    }
    FILE *list = fopen(list_path, "r");
    while (list && r[0] && r[1] && getline(&line, &cap, list) > 0) {
        json_t *want = json_loads(line, 0, NULL);
        conure_audio_clip clip = {0};
        snprintf(path, sizeof path, "%s/dev/%s.flac", folder, json_string_value(json_object_get(want, "clip")));
        test_int(conure_audio_load(&clip, path, NULL, &err), CONURE_OK);
        one_run(r[json_number_value(json_object_get(want, "inf_val")) > 1e5], &clip, want, &seed);
        conure_audio_clip_free(&clip);
        json_decref(want);
        n++;
    }
    test_int(n, 52);
    free(line);
    if (list)
        fclose(list);
    for (int i = 0; i < 2; i++)
        conure_recognizer_close(&r[i]);
    conure_model_close(&model);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    test_int(system(command), 0);
    return test_end();
}
