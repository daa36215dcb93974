/* seam_clips.c - words at chunk borders, for borders at every offset: live against our loop fed the whole file at once (nothing
 * may differ), both against the offline transcript (counted), and NeMo's own buffered runs against its offline ones.
 *
 *     test_stream.seams [every]     with an argument: all clips at every offset, else a sample */
#include "../golden.h"
#include "audio/audio.h"
#include "collect.h"
#include "seams.h"

#include <jansson.h>
#include <unistd.h>

static const double REACH_S = 0.4;

/* ---- the scorer itself ----------------------------------------------------------------------- */

static size_t words_of(const char *text, seam_word *words, char *room)
{
    size_t n = 0;
    strcpy(room, text);
    for (char *at = strtok(room, " "); at; at = strtok(NULL, " "), n++)
        words[n] = (seam_word){at, 0.5 * (double)n, 0.5 * (double)n + 0.4};
    return n;
}

static seam_counts score(const char *want, const char *got, double every_s)
{
    seam_word a[32], b[32];
    char room_a[256], room_b[256];
    seam_counts c = {0};
    const size_t n = words_of(want, a, room_a), m = words_of(got, b, room_b);
    seam_score(a, n, b, m, every_s, 0.1, &c);
    return c;
}

static void scorer(void)
{
    test_int(seam_faults(&(seam_counts){.changed = 3}), 0);
    test_int(score("a b c d", "a b c d", 0).n_words, 4);
    test_int(score("a b c d", "a b b c d", 0).repeated, 1);
    test_int(score("a b c d", "a c d", 0).dropped, 1);
    test_int(score("go for ward", "go forward", 0).glued, 1);
    test_int(score("go forward", "go for ward", 0).glued, 1);
    test_int(score("a b c d e", "a c b d e", 0).reordered, 1);
    test_int(score("a b c", "a b x c", 0).added, 1);
    test_int(score("a b c", "a x c", 0).changed, 1);
    test_int(seam_faults(&(seam_counts){1, 1, 1, 1, 1, 1, 1}), 5);
    const seam_counts far = score("a b c d e f g h", "a c d e f g h", 3.0); /* the border is at 3 s, the word at 0.5 */
    test_int(seam_faults(&far), 0);
    const seam_counts here = score("a b c d e f g h", "a b c d e f h", 3.0);
    test_int(here.dropped, 1);
    const seam_counts all = score("", "a a", 0), none = score("a a", "", 0);
    test_int(seam_faults(&all), 2);
    test_int(none.dropped, 2);
}

/* ---- clips ----------------------------------------------------------------------------------- */

static void print(const char *name, const seam_counts *c)
{
    fprintf(stderr, "%-46s %6u words at borders: %u repeated, %u dropped, %u glued, %u reordered, %u added, %u changed\n", name, c->n_words,
            c->repeated, c->dropped, c->glued, c->reordered, c->added, c->changed);
}

static void score_heard(const seam_word *want, size_t n, const heard *h, double every_s, seam_counts *c)
{
    seam_word *got = calloc(h->n_words + 1, sizeof *got);
    for (uint32_t i = 0; i < h->n_words; i++)
        got[i] = (seam_word){h->word_texts[i], h->words[i].start_s, h->words[i].end_s};
    seam_score(want, n, got, h->n_words, every_s, REACH_S, c);
    free(got);
}

static void one_cut(conure_recognizer *r, conure_session *s, const float *pcm, size_t n, double chunk_s, uint64_t *seed, seam_counts *live,
                    seam_counts *offline)
{
    heard whole, split;
    conure_result *result = NULL;
    test_int(conure_session_reset(s, true, NULL), CONURE_OK);
    heard_all(&whole, s, pcm, n, 0, seed);
    test_int(conure_session_reset(s, true, NULL), CONURE_OK);
    heard_all(&split, s, pcm, n, 12000, seed);
    test_true(heard_same(&whole, &split));
    test_int(conure_transcribe(r, &pcm, &n, 1, &result, NULL), CONURE_OK);
    seam_word *want = calloc((whole.n_words > result->n_words ? whole.n_words : result->n_words) + 1, sizeof *want);
    for (uint32_t i = 0; i < whole.n_words; i++)
        want[i] = (seam_word){whole.word_texts[i], whole.words[i].start_s, whole.words[i].end_s};
    score_heard(want, whole.n_words, &split, chunk_s, live);
    for (uint32_t i = 0; i < result->n_words; i++)
        want[i] = (seam_word){result->words[i].text, result->words[i].start_s, result->words[i].end_s};
    score_heard(want, result->n_words, &split, chunk_s, offline);
    free(want);
    conure_result_free(&result);
    heard_free(&whole);
    heard_free(&split);
}

static void one_preset(conure_recognizer *r, char *const *files, int n_files, const char *preset, int step)
{
    conure_session_options o;
    conure_session *s = NULL;
    seam_counts live = {0}, offline = {0};
    uint64_t seed = 5;
    char name[64];
    conure_session_options_init(&o);
    test_int(conure_session_options_preset(&o, preset, NULL), CONURE_OK);
    test_int(conure_session_open(&s, r, &o, NULL), CONURE_OK);
    const int chunk = (int)(o.chunk_s * 12.5 + 1e-9);
    for (int i = 0; i < n_files && s; i++) {
        conure_audio_clip clip = {0};
        test_int(conure_audio_load(&clip, files[i], NULL, NULL), CONURE_OK);
        for (int offset = i % step; offset < chunk && clip.n_samples > (size_t)offset * 1280 + 16000; offset += step)
            one_cut(r, s, clip.pcm + offset * 1280, clip.n_samples - (size_t)offset * 1280, chunk * 0.08, &seed, &live, &offline);
        conure_audio_clip_free(&clip);
    }
    snprintf(name, sizeof name, "%s: live against the loop at once", preset);
    print(name, &live);
    test_true(live.n_words > 20 && seam_faults(&live) == 0 && live.changed == 0);
    snprintf(name, sizeof name, "%s: live against offline", preset);
    print(name, &offline);
    conure_session_close(&s);
}

/* ---- NeMo's own ------------------------------------------------------------------------------ */

static size_t json_words(const json_t *list, seam_word *words, size_t cap)
{
    size_t n = 0;
    for (; n < json_array_size(list) && n < cap; n++) {
        const json_t *w = json_array_get(list, n);
        words[n] = (seam_word){json_string_value(json_object_get(w, "word")), json_number_value(json_object_get(w, "start")),
                               json_number_value(json_object_get(w, "end"))};
    }
    return n;
}

static void of_nemo(void)
{
    char path[4096];
    json_t *offline = json_object();
    seam_counts c = {0};
    char *line = NULL;
    size_t cap = 0, n_equal = 0, n_runs = 0;
    FILE *f = fopen(shared_path(path, sizeof path, "golden/dev-nemo.jsonl"), "r");
    while (f && getline(&line, &cap, f) > 0) {
        json_t *one = json_loads(line, 0, NULL);
        char name[128];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(json_string_value(json_object_get(one, "file")), "."),
                 json_string_value(json_object_get(one, "file")));
        json_object_set_new(offline, name, one);
    }
    if (f)
        fclose(f);
    f = fopen(shared_path(path, sizeof path, "golden/stream-buffered.jsonl"), "r");
    while (f && getline(&line, &cap, f) > 0) {
        json_t *run = json_loads(line, 0, NULL);
        const json_t *want = json_object_get(offline, json_string_value(json_object_get(run, "clip")));
        seam_word a[256], b[256];
        if (json_number_value(json_object_get(run, "inf_val")) < 1e5 && want) {
            const size_t n = json_words(json_object_get(want, "words"), a, 256), m = json_words(json_object_get(run, "words"), b, 256);
            const double chunk_s = 0.08 * (double)json_integer_value(json_array_get(json_object_get(run, "context_frames"), 1));
            seam_score(a, n, b, m, chunk_s, REACH_S, &c);
            n_equal += json_equal(json_object_get(want, "tokens"), json_object_get(run, "tokens"));
            n_runs++;
        }
        json_decref(run);
    }
    if (f)
        fclose(f);
    free(line);
    json_decref(offline);
    test_int(n_runs, 26);
    test_int(n_equal, 7); /* as it is known of this fixture */
    print("NeMo's 26 buffered runs against its offline ones", &c);
}

int main(int argc, char **argv)
{
    char model_path[4096], tar[4096], command[9000], folder[] = "seams-XXXXXX", line[4096];
    char *files[64];
    int n_files = 0;
    conure_model *model = NULL;
    conure_recognizer *r = NULL;
    conure_recognizer_options options;
    const bool every = argc > 1;
    (void)argv;
    test_begin("stream.seams");
    scorer();
    if (!shared_path(model_path, sizeof model_path, "models/spike-tdt-8m.nemo"))
        return test_skip("no ../shared");
    shared_path(tar, sizeof tar, "data/speech-dev-flac.tar");
    if (!mkdtemp(folder))
        return test_skip("no place for the clips");
    snprintf(command, sizeof command, "tar -xf '%s' -C '%s' && ls %s/dev/*.flac", tar, folder, folder);
    FILE *list = popen(command, "r");
    while (list && fgets(line, sizeof line, list) && n_files < (every ? 64 : 5)) {
        line[strcspn(line, "\n")] = 0;
        files[n_files++] = strdup(line);
    }
    while (list && fgets(line, sizeof line, list))
        ;
    if (list)
        pclose(list);
    of_nemo();
    conure_recognizer_options_init(&options);
    options.n_threads = 2;
    test_int(conure_model_open(&model, model_path, NULL, NULL), CONURE_OK);
    test_int(conure_recognizer_open(&r, model, &options, NULL), CONURE_OK);
    if (r) {
        one_preset(r, files, n_files, "10-2-2", every ? 1 : 9);
        one_preset(r, files, n_files, "2-1-0.5", every ? 1 : 5);
        one_preset(r, files, n_files, "1.6-0.8-0.4", every ? 1 : 4);
    }
    conure_recognizer_close(&r);
    conure_model_close(&model);
    for (int i = 0; i < n_files; i++)
        free(files[i]);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    test_int(system(command), 0);
    return test_end();
}
