/* Sessions: the first byte chooses.  Even: a snapshot, whose length and checksum are put right so that what is behind them is
 * reached; what loads goes on to its end.  Odd: a script of calls, two bytes each. */
#include "base/files.h"
#include "conure.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static conure_model *model;
static conure_recognizer *recognizer;
static float pcm[255 * 255 / 2 + 256];

static void prepare(void)
{
    conure_recognizer_options o;
    uint32_t seed = 1;
    conure_recognizer_options_init(&o);
    o.n_threads = 1;
    if (model)
        return;
    if (conure_model_open(&model, TEST_DATA "/models/tiny-v3.nemo", NULL, NULL) != CONURE_OK ||
        conure_recognizer_open(&recognizer, model, &o, NULL) != CONURE_OK)
        abort();
    for (size_t i = 0; i < sizeof pcm / sizeof *pcm; i++)
        pcm[i] = (float)((seed = seed * 1664525 + 1013904223) >> 8) / 16777216 - 0.5f;
}

static conure_session *open_session(uint8_t how)
{
    conure_session *s = NULL;
    conure_session_options o;
    conure_session_options_init(&o);
    o.mode = how % 3;
    o.left_s = 0.4;
    o.chunk_s = 0.24;
    o.right_s = 0.16;
    o.buffer_s = 0.5;
    o.slice_frames = 64;
    o.endpoint = how & 4;
    o.rule1_min_trailing_silence_s = 0.3;
    o.rule2_min_trailing_silence_s = 0.2;
    o.rule3_min_utterance_length_s = 1;
    if (conure_session_open(&s, recognizer, &o, NULL) != CONURE_OK)
        abort();
    return s;
}

static void steps(conure_session *s)
{
    const conure_event *e;
    for (int i = 0; i < 100; i++) {
        while (conure_session_poll(s, &e) == CONURE_OK)
            if (!e->final_text || !e->tentative_text || e->sequence == 0)
                abort();
        if (conure_session_step(s, NULL) != CONURE_OK)
            break;
    }
}

static void snapshot(const uint8_t *data, size_t size)
{
    enum { HEAD = 16 + 4, SHA = 64 };
    conure_session *s = open_session(data[0] / 2);
    uint8_t *copy = malloc(size + SHA + 1);
    char hex[SHA + 1];
    conure_sha256 sha;
    memcpy(copy, data + 1, size - 1);
    const uint64_t bytes = size - 1 + SHA;
    if (size - 1 >= HEAD + sizeof bytes)
        memcpy(copy + HEAD, &bytes, sizeof bytes);
    conure_sha256_init(&sha);
    conure_sha256_add(&sha, copy, size - 1);
    conure_sha256_hex(&sha, hex);
    memcpy(copy + size - 1, hex, SHA);
    (void)conure_session_load(s, copy, bytes, NULL);
    size_t used;
    steps(s);
    (void)conure_session_feed(s, pcm, 8000, &used, NULL);
    steps(s);
    (void)conure_session_finish(s, NULL);
    steps(s);
    free(copy);
    conure_session_close(&s);
}

static void script(const uint8_t *data, size_t size)
{
    conure_session *s = open_session(data[0] / 2);
    const conure_event *e;
    void *saved = NULL;
    size_t used, bytes = 0;
    for (size_t i = 1; i + 1 < size && i < 400; i += 2) {
        const uint8_t n = data[i + 1];
        switch (data[i] % 9) {
        case 0:
            (void)conure_session_feed(s, pcm + n, (size_t)n * n / 2, &used, NULL);
            break;
        case 1:
            (void)conure_session_step(s, NULL);
            break;
        case 2:
            (void)conure_session_poll(s, &e);
            break;
        case 3:
            (void)conure_session_gap(s, (uint64_t)n * 200, NULL);
            break;
        case 4:
            (void)conure_session_set_rate(s, 8000 + 500 * (uint32_t)(n % 20), NULL);
            break;
        case 5:
            (void)conure_session_finish(s, NULL);
            break;
        case 6:
            (void)conure_session_reset(s, n & 1, NULL);
            break;
        case 7:
            free(saved);
            saved = NULL;
            if (conure_session_save(s, NULL, 0, &bytes, NULL) == CONURE_OK) {
                saved = malloc(bytes);
                if (conure_session_save(s, saved, bytes, &bytes, NULL) != CONURE_OK)
                    abort();
            }
            break;
        default:
            if (saved && conure_session_load(s, saved, bytes, NULL) != CONURE_OK)
                abort(); /* what this very session saved */
        }
    }
    (void)conure_session_finish(s, NULL);
    steps(s);
    free(saved);
    conure_session_close(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 1 << 20)
        return 0;
    prepare();
    if (data[0] % 2)
        script(data, size);
    else
        snapshot(data, size);
    return 0;
}
