/* reference.c - reference files: what is written comes back, an interrupted run goes on to the same bytes, and whatever is done to a
 * file is noticed. */
#include "support.h"

#include "clearance/reference.h"

#include <unistd.h>

enum { CHUNKS = 5 };
static const char *const paths[] = {"clearance.reference.jsonl", "clearance.reference.frames"};

static conure_reference_info info_of(const small *s, const conure_candidate *engine, bool frames)
{
    conure_reference_info info = {.frames = frames, .seed = 42, .n_chunks = CHUNKS};
    snprintf(info.engine, sizeof info.engine, "%s", conure_candidate_describe(engine));
    snprintf(info.precision, sizeof info.precision, "f32");
    snprintf(info.model_sha256, sizeof info.model_sha256, "%s", s->contract.model_sha256);
    return info;
}

/* Make it, at most up to a number of chunks; returns how many there were to begin with. */
static uint64_t make(const small *s, conure_candidate *engine, const char *path, bool frames, bool resume, uint64_t until, char *sum)
{
    const conure_feed feed = {.seed = 42, .n_chunks = CHUNKS};
    const conure_reference_info info = info_of(s, engine, frames);
    conure_reference_writer *w;
    conure_chunk c;
    conure_error err = {""};
    uint64_t done = 0;
    good(conure_chunk_open(&c, &s->contract, &err), &err);
    good(conure_reference_create(&w, path, &s->contract, &info, resume, &done, &c, &err), &err);
    for (uint64_t k = done; w && k < until; k++) {
        if (k == 0)
            conure_chunk_zero_state(&c);
        else
            conure_chunk_carry_state(&c, &c);
        conure_feed_chunk(&feed, k, &c);
        good(conure_candidate_step(engine, &c, &err), &err);
        good(conure_reference_add(w, &c, &err), &err);
    }
    if (w && until == CHUNKS)
        good(conure_reference_commit(&w, sum, &err), &err);
    conure_reference_close(&w);
    conure_chunk_close(&c);
    return done;
}

/* How reading ends: END, or what is wrong. */
static conure_status read_all(FILE *file, uint64_t *n, conure_error *err)
{
    conure_source *source;
    const conure_chunk *chunk;
    *n = 0;
    conure_status status = conure_reference_open_stream(&source, file, "file", err);
    while (status == CONURE_OK)
        if ((status = source->next(source, &chunk, err)) == CONURE_OK)
            ++*n;
    conure_source_close(&source);
    return status;
}

static conure_status read_bytes(const void *data, size_t bytes, uint64_t *n, conure_error *err)
{
    char *copy = malloc(bytes + 1); /* exact, for the address sanitizer */
    memcpy(copy, data, bytes);
    FILE *file = fmemopen(copy, bytes, "rb");
    const conure_status status = file ? read_all(file, n, err) : CONURE_IO;
    free(copy);
    return status;
}

static void refused(const void *data, size_t bytes, const char *expected)
{
    uint64_t n;
    conure_error err = {""};
    test_int(read_bytes(data, bytes, &n, &err), CONURE_BAD_FILE);
    test_true(n < CHUNKS || strstr(err.text, "ends") || strstr(err.text, "end") || strstr(err.text, "sum"));
    if (expected)
        test_contains(err.text, expected);
}

static void comes_back(const small *s, conure_candidate *engine, const char *path)
{
    conure_source *source, *live;
    const conure_chunk *a, *b;
    conure_error err = {""};
    const conure_feed feed = {.seed = 42, .n_chunks = CHUNKS};
    good(conure_reference_open(&source, path, &err), &err);
    good(conure_source_live(&live, engine, &feed, &s->contract, &err), &err);
    test_int(source->n_chunks, CHUNKS);
    for (int k = 0; k < CHUNKS; k++) {
        good(source->next(source, &a, &err), &err);
        good(live->next(live, &b, &err), &err);
        for (conure_role role = 0; role < CONURE_ROLES; role++) {
            const conure_chunk_tensor x = conure_chunk_view(a, role), y = conure_chunk_view(b, role);
            test_true(a->has[role] && x.bytes == y.bytes && memcmp(x.data, y.data, x.bytes) == 0);
        }
    }
    test_int(source->next(source, &a, &err), CONURE_END);
    test_int(source->next(source, &a, &err), CONURE_END);
    test_int(strlen(source->sha256), 64);
    conure_source_close(&source);
    conure_source_close(&live);
}

/* Cut anywhere and resumed: the same file. */
static void resumes(const small *s, conure_candidate *engine, const char *path, bool frames)
{
    char *whole, *again, part[128], sum[65];
    size_t bytes, bytes_again;
    conure_error err = {""};
    good(conure_file_read(&whole, &bytes, path, SIZE_MAX, &err), &err);
    snprintf(part, sizeof part, "%s.part", path);
    static const double shares[] = {0.3, 0.55, 0.8, 0.999, 1};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        FILE *f = fopen(part, "wb");
        test_int(fwrite(whole, 1, (size_t)(shares[i] * (double)bytes), f), (size_t)(shares[i] * (double)bytes));
        fclose(f);
        const uint64_t done = make(s, engine, path, frames, true, CHUNKS, sum);
        test_true(done >= 1 && done <= CHUNKS);
        good(conure_file_read(&again, &bytes_again, path, SIZE_MAX, &err), &err);
        test_true(bytes_again == bytes && memcmp(again, whole, bytes) == 0);
        free(again);
    }
    test_int(make(s, engine, path, frames, false, 2, sum), 0); /* interrupted after two */
    test_int(make(s, engine, path, frames, true, CHUNKS, sum), 2);
    good(conure_file_read(&again, &bytes_again, path, SIZE_MAX, &err), &err);
    test_true(bytes_again == bytes && memcmp(again, whole, bytes) == 0);
    free(again);
    free(whole);
}

/* A part that was begun with another seed is not gone on with. */
static void resumes_its_own_only(const small *s, conure_candidate *engine)
{
    char sum[65];
    uint64_t done;
    conure_reference_writer *w;
    conure_error err = {""};
    conure_chunk c;
    conure_reference_info info = info_of(s, engine, false);
    info.seed = 43;
    (void)make(s, engine, "clearance.other", false, false, 2, sum);
    good(conure_chunk_open(&c, &s->contract, &err), &err);
    test_int(conure_reference_create(&w, "clearance.other", &s->contract, &info, true, &done, &c, &err), CONURE_BAD_FILE);
    test_true(w == NULL);
    test_contains(err.text, "seed");
    conure_chunk_close(&c);
    remove("clearance.other.part");
}

static void damaged(const char *path)
{
    char *whole;
    size_t bytes;
    uint64_t n, seed = 11;
    conure_error err = {""};
    good(conure_file_read(&whole, &bytes, path, SIZE_MAX, &err), &err);
    test_int(read_bytes(whole, bytes, &n, &err), CONURE_END);
    test_int(n, CHUNKS);
    for (int i = 1; i < 40; i++)
        refused(whole, bytes * (size_t)i / 40, NULL);
    refused(whole, bytes - 1, NULL);
    for (int i = 0; i < 300; i++) { /* one bit, anywhere */
        const size_t at = i < 100 ? (size_t)i * 7 : (size_t)(test_random(&seed) % bytes);
        const char mask = (char)(1 << (test_random(&seed) % 8));
        whole[at] ^= mask;
        test_true(read_bytes(whole, bytes, &n, &err) < 0);
        whole[at] ^= mask;
    }
    free(whole);
}

/* Lines begin at [i]; the header is 0, the end CHUNKS + 1. */
static void lines_moved(const char *path)
{
    char *whole;
    size_t bytes, begin[CHUNKS + 3] = {0};
    conure_error err = {""};
    good(conure_file_read(&whole, &bytes, path, SIZE_MAX, &err), &err);
    for (int i = 0; i < CHUNKS + 2; i++)
        begin[i + 1] = (size_t)((char *)memchr(whole + begin[i], '\n', bytes - begin[i]) - whole) + 1;
    test_int(begin[CHUNKS + 2], bytes);
    static const struct { int order[CHUNKS + 3]; const char *expected; } cases[] = {
        {{0, 1, 2, 4, 3, 5, 6}, "line 4: its sum is not that of its content"},     /* swapped */
        {{0, 1, 2, 3, 3, 4, 5, 6}, "line 5: its sum is not"},                       /* repeated */
        {{0, 1, 2, 4, 5, 6, -1}, "line 4: its sum is not"},                         /* missing */
        {{0, 1, 2, 3, 4, 6, -1}, "line 6: its sum is not"},                         /* the last one missing */
        {{0, 1, 2, 3, 4, 5, -1}, "the file ends here"},                             /* no end */
        {{1, 2, 3, 4, 5, 6, -1}, "line 1: its sum is not"},                         /* no header */
        {{0, -1}, "after 0 of 5 chunks"},
        {{0, 1, 2, 3, 4, 5, 6, 6}, "something follows"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        conure_buffer b = {0};
        const int n = i == 1 || i == 7 ? CHUNKS + 3 : CHUNKS + 2;
        for (int j = 0; j < n && cases[i].order[j] >= 0; j++)
            conure_buffer_add(&b, whole + begin[cases[i].order[j]], begin[cases[i].order[j] + 1] - begin[cases[i].order[j]]);
        refused(b.data, b.bytes, cases[i].expected);
        conure_buffer_free(&b);
    }
    free(whole);
}

/* Somebody who computes the sums anew: what the sums cannot tell, the content does. */
static void forged(const char *path, const char *from, const char *to, const char *expected)
{
    char *whole, sum[65] = "";
    size_t bytes;
    conure_error err = {""};
    conure_buffer out = {0};
    good(conure_file_read(&whole, &bytes, path, SIZE_MAX, &err), &err);
    for (char *line = whole, *end; (end = memchr(line, '\n', (size_t)(whole + bytes - line))); line = end + 1) {
        conure_buffer b = {0};
        char *found;
        *end = '\0';
        *strstr(line, ",\"sum\":\"") = '\0';
        if ((found = strstr(line, from))) {
            conure_buffer_add(&b, line, (size_t)(found - line));
            conure_buffer_text(&b, to);
            conure_buffer_text(&b, found + strlen(from));
        } else {
            conure_buffer_text(&b, line);
        }
        conure_reference_sum(sum, b.data, b.bytes, NULL, 0);
        conure_buffer_format(&out, "%s,\"sum\":\"%s\"}\n", b.data, sum);
        conure_buffer_free(&b);
    }
    refused(out.data, out.bytes, expected);
    conure_buffer_free(&out);
    free(whole);
}

int main(void)
{
    small s;
    char sums[2][65];
    test_begin("clearance.reference");
    small_open(&s, true);
    conure_candidate *engine = small_engine(&s, "cpu:f32");
    for (int i = 0; i < 2; i++) {
        (void)make(&s, engine, paths[i], i, false, CHUNKS, sums[i]);
        test_true(access(paths[i], R_OK) == 0);
        comes_back(&s, engine, paths[i]);
        resumes(&s, engine, paths[i], i);
        damaged(paths[i]);
    }
    resumes_its_own_only(&s, engine);
    lines_moved(paths[0]);
    forged(paths[0], "\"seed\":42", "\"seed\":43", "the features are not those of seed 43");
    forged(paths[0], "\"chunk\":3,\"step\":3", "\"chunk\":2,\"step\":3", "expected number 3");
    forged(paths[0], "\"shape\":[1,128,121]", "\"shape\":[1,128,120]", "audio_signal");
    forged(paths[0], "\"shape\":[1,3,64,64]", "\"shape\":[3,1,64,64]", "cache_last_channel: shape [3,1,64,64], expected");
    forged(paths[0], "\"type\":\"i64\"", "\"type\":\"f32\"", "length: its type is not i64");
    forged(paths[0], "\"chunks\":5", "\"chunks\":6", "the header announces 6");
    forged(paths[0], "\"chunks\":5", "\"chunks\":4", "one more");
    forged(paths[0], "\"encoded_lengths\":", "\"encoded_length\":", "tensors, of which");
    forged(paths[0], "\"d_model\":64", "\"d_model\":65", "contract");
    forged(paths[0], "splitmix64-uniform-1", "randn", "generator \"randn\"");
    for (int i = 0; i < 2; i++)
        remove(paths[i]);
    conure_candidate_close(&engine);
    small_close(&s);
    return test_end();
}
