/* The fixture model's two vocabularies, as SentencePiece and as tokenizer.json, are one; and the texts
 * of the 50 reference clips come out as NeMo printed them. */
#include <jansson.h>

#include "base/files.h"
#include "model/tokenizer.h"

#include "golden.h"
#include "test.h"

static conure_tokenizer *read(const char *name,
                              conure_status (*from)(conure_tokenizer **, const void *, size_t,
                                                    conure_error *))
{
    char path[4096], *data = NULL;
    size_t bytes = 0;
    conure_error err = {""};
    conure_tokenizer *tokenizer = NULL;

    test_int(conure_file_read(&data, &bytes, shared_path(path, sizeof path, name),
                              CONURE_TOKENIZER_BYTES_MAX, &err), CONURE_OK);
    test_int(from(&tokenizer, data, bytes, &err), CONURE_OK);
    test_text(err.text, "");
    free(data);
    return tokenizer;
}

static conure_status from_json(conure_tokenizer **out, const void *data, size_t bytes,
                               conure_error *err)
{
    return conure_tokenizer_from_json(out, data, bytes, err);
}

static void check_clips(const conure_tokenizer *a, const conure_tokenizer *b)
{
    char path[4096], line[65536];
    int n = 0;
    FILE *file = fopen(shared_path(path, sizeof path, "golden/dev-nemo.jsonl"), "r");

    test_true(file != NULL);
    while (file && fgets(line, sizeof line, file)) {
        json_t *clip = json_loads(line, 0, NULL), *tokens = json_object_get(clip, "tokens");
        uint32_t ids[1024];
        char *text = NULL, *other = NULL;
        size_t i;
        json_t *id;
        test_true(json_array_size(tokens) > 0 && json_array_size(tokens) < 1024);
        json_array_foreach(tokens, i, id)
            ids[i] = (uint32_t)json_integer_value(id);
        test_int(conure_tokenizer_decode(a, ids, i, &text, NULL), CONURE_OK);
        test_int(conure_tokenizer_decode(b, ids, i, &other, NULL), CONURE_OK);
        test_text(text, json_string_value(json_object_get(clip, "text")));
        test_text(other, text);
        free(text);
        free(other);
        json_decref(clip);
        n++;
    }
    test_int(n, 50);
    if (file)
        fclose(file);
}

int main(void)
{
    char path[4096], *a = NULL, *b = NULL;
    uint64_t seed = 20261123;

    test_begin("tokenizer_shared");
    if (!shared_path(path, sizeof path, "models/spike-tdt-8m.tokenizer.model"))
        return test_skip("no ../shared");
    conure_tokenizer *sp =
        read("models/spike-tdt-8m.tokenizer.model", conure_tokenizer_from_sentencepiece);
    conure_tokenizer *hf = read("models/spike-tdt-8m-hf/tokenizer.json", from_json);
    test_int(conure_tokenizer_size(sp), 256);
    test_int(conure_tokenizer_dump(sp, &a, NULL), CONURE_OK);
    test_int(conure_tokenizer_dump(hf, &b, NULL), CONURE_OK);
    test_text(b, a);
    free(a);
    free(b);
    for (int round = 0; round < 2000; round++) {
        uint32_t ids[24];
        const size_t n = test_random(&seed) % 24;
        for (size_t i = 0; i < n; i++)
            ids[i] = (uint32_t)(test_random(&seed) % 256);
        test_int(conure_tokenizer_decode(sp, ids, n, &a, NULL), CONURE_OK);
        test_int(conure_tokenizer_decode(hf, ids, n, &b, NULL), CONURE_OK);
        test_text(b, a);
        free(a);
        free(b);
    }
    check_clips(sp, hf);
    conure_tokenizer_free(&sp);
    conure_tokenizer_free(&hf);
    return test_end();
}
