/* The 50 reference clips: NeMo's tokens, frames and durations give NeMo's words and segments. */
#include <jansson.h>

#include "base/files.h"
#include "decode/words.h"

#include "golden.h"
#include "test.h"

#define TOKENS_MAX 1024
#define FRAME_S    0.08

static conure_tokenizer *read_tokenizer(const char *path)
{
    char *data = NULL;
    size_t bytes = 0;
    conure_tokenizer *tokenizer = NULL;

    test_int(conure_file_read(&data, &bytes, path, CONURE_TOKENIZER_BYTES_MAX, NULL), CONURE_OK);
    test_int(conure_tokenizer_from_sentencepiece(&tokenizer, data, bytes, NULL), CONURE_OK);
    free(data);
    return tokenizer;
}

static double number(const json_t *list, size_t i)
{
    return json_number_value(json_array_get(list, i));
}

static void check_span(const json_t *want, const char *key, const char *text, double start_s,
                       double end_s)
{
    test_text(text, json_string_value(json_object_get(want, key)));
    /* offsets are frames: exact */
    test_int(llround(start_s / FRAME_S * 1000), 1000 * json_integer_value(json_object_get(want, "start_offset")));
    test_int(llround(end_s / FRAME_S * 1000), 1000 * json_integer_value(json_object_get(want, "end_offset")));
    test_near(start_s, json_number_value(json_object_get(want, "start")), 1e-9);
    test_near(end_s, json_number_value(json_object_get(want, "end")), 1e-9);
}

static void check_clip(const conure_tokenizer *tokenizer, const json_t *clip)
{
    const json_t *ids = json_object_get(clip, "tokens"), *frames = json_object_get(clip, "frames");
    const json_t *durations = json_object_get(clip, "durations");
    const json_t *words = json_object_get(clip, "words"), *segments = json_object_get(clip, "segments");
    static conure_token tokens[TOKENS_MAX];
    const size_t n = json_array_size(ids);
    conure_words got;

    test_true(n > 0 && n < TOKENS_MAX && json_array_size(frames) == n && json_array_size(durations) == n);
    for (size_t i = 0; i < n && i < TOKENS_MAX; i++)
        tokens[i] = (conure_token){(uint32_t)number(ids, i), (uint32_t)number(frames, i),
                                   (uint32_t)number(durations, i), 1, NULL};
    test_int(conure_words_build(&got, tokenizer, tokens, (uint32_t)n, FRAME_S, NULL), CONURE_OK);
    test_text(got.text, json_string_value(json_object_get(clip, "text")));
    test_int(got.n_words, json_array_size(words));
    for (uint32_t i = 0; i < got.n_words; i++)
        check_span(json_array_get(words, i), "word", got.words[i].text, got.words[i].start_s,
                   got.words[i].end_s);
    test_int(got.n_segments, json_array_size(segments));
    for (uint32_t i = 0; i < got.n_segments; i++)
        check_span(json_array_get(segments, i), "segment", got.segments[i].text,
                   got.segments[i].start_s, got.segments[i].end_s);
    conure_words_free(&got);
}

int main(void)
{
    char path[4096], line[65536];
    int n = 0;

    test_begin("words_shared");
    if (!shared_path(path, sizeof path, "models/spike-tdt-8m.tokenizer.model"))
        return test_skip("no ../shared");
    conure_tokenizer *tokenizer = read_tokenizer(path);
    FILE *file = fopen(shared_path(path, sizeof path, "golden/dev-nemo.jsonl"), "r");
    test_true(file != NULL);
    while (file && fgets(line, sizeof line, file)) {
        json_t *clip = json_loads(line, 0, NULL);
        check_clip(tokenizer, clip);
        json_decref(clip);
        n++;
    }
    test_int(n, 50);
    if (file)
        fclose(file);
    conure_tokenizer_free(&tokenizer);
    return test_end();
}
