/* Sessions: the first byte chooses.  Even: a snapshot with bytes changed, which then goes on to its end if it loads.  Odd: a
 * script of calls, two bytes each. */
#include "base/files.h"
#include "conure.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* So likely, for a model with random weights, that some are begun all the time. */
#define HOTWORDS "a\t100\nin the\t20\nit was\t30\n"

static conure_model *model;
static conure_recognizer *recognizer;
static conure_hotwords *hotwords;
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
        conure_hotwords_open(&hotwords, model, HOTWORDS, sizeof HOTWORDS - 1, NULL, NULL) != CONURE_OK ||
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
    o.hotwords = how & 8 ? hotwords : NULL;
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

/* A session of some kind, some way into its audio. */
static conure_session *begun(uint8_t how, uint8_t way)
{
    conure_session *s = open_session(how);
    size_t used;
    if (way & 8)
        (void)conure_session_set_rate(s, 11025, NULL);
    for (int k = 0; k < way % 8; k++) {
        (void)conure_session_feed(s, pcm + 3000 * k, 3000, &used, NULL);
        steps(s);
    }
    if (way & 16)
        (void)conure_session_gap(s, 30000, NULL);
    if (way & 32)
        (void)conure_session_finish(s, NULL);
    return s;
}

/* An honest snapshot, [how][way], with bytes changed, [offset, 3 bytes][value] each; an offset behind its end cuts it off.  Made
 * here, so that it is always of the format at hand; its length and checksum are put right. */
static void snapshot(const uint8_t *data, size_t size)
{
    enum { HEAD = 16 + 4, SHA = 64 };
    conure_session *from = begun(data[0] / 2, data[1]), *s = open_session(data[0] / 2);
    char hex[SHA + 1];
    conure_sha256 sha;
    size_t n = 0, used;
    if (conure_session_save(from, NULL, 0, &n, NULL) != CONURE_OK)
        abort();
    uint8_t *copy = malloc(n);
    if (conure_session_save(from, copy, n, &n, NULL) != CONURE_OK)
        abort();
    size_t kept = n - SHA;
    for (size_t i = 2; i + 4 <= size; i += 4) {
        const size_t at = data[i] + 256u * data[i + 1] + 65536u * data[i + 2];
        if (at < kept)
            copy[at] = data[i + 3];
        else if (at % n > HEAD + sizeof(uint64_t))
            kept = at % n < kept ? at % n : kept;
    }
    const uint64_t bytes = kept + SHA;
    memcpy(copy + HEAD, &bytes, sizeof bytes);
    conure_sha256_init(&sha);
    conure_sha256_add(&sha, copy, kept);
    conure_sha256_hex(&sha, hex);
    memcpy(copy + kept, hex, SHA);
    const conure_status status = conure_session_load(s, copy, bytes, NULL);
    if (size < 6 && status != CONURE_OK)
        abort(); /* unchanged */
    steps(s);
    (void)conure_session_feed(s, pcm, 8000, &used, NULL);
    steps(s);
    (void)conure_session_finish(s, NULL);
    steps(s);
    free(copy);
    conure_session_close(&from);
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
