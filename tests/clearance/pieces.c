/* pieces.c - base64, frames, statistics, the generator, agreement of tokens: each against something computed otherwise. */
#include "support.h"

#include "clearance/parity.h"
#include "clearance/record.h"

static void base64(void)
{
    static const char *const pairs[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"foobar", "Zm9vYmFy"}}; /* RFC 4648 */
    static const char *const wrong[] = {"Zg=", "Zg", "Zh==", "Zg==\n", "Z g=", "====", "Zm9v", "Zg=A", "Z===", "Zg-="};
    char back[16];
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        conure_buffer b = {0};
        const size_t n = strlen(pairs[i][0]);
        conure_base64_put(&b, pairs[i][0], n);
        conure_buffer_add(&b, "", 0);
        test_text(b.data ? b.data : "", pairs[i][1]);
        test_true(conure_base64_get(back, n, pairs[i][1], strlen(pairs[i][1])) && memcmp(back, pairs[i][0], n) == 0);
        conure_buffer_free(&b);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        test_true(!conure_base64_get(back, 1, wrong[i], strlen(wrong[i])));
    static uint8_t data[10007], again[10007];
    uint64_t seed = 7;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)test_random(&seed);
    conure_buffer b = {0};
    conure_base64_put(&b, data, sizeof data); /* more than one block */
    test_true(conure_base64_get(again, sizeof again, b.data, b.bytes) && memcmp(again, data, sizeof data) == 0);
    test_true(!conure_base64_get(again, sizeof again - 1, b.data, b.bytes));
    conure_buffer_free(&b);
}

static void frames(void)
{
    uint8_t head[CONURE_FRAME_HEAD_BYTES];
    conure_frame_head f;
    conure_error err;
    conure_frame_put(head, &(conure_frame_head){300, 5000000000});
    test_int(conure_frame_get(&f, head, UINT64_MAX, "x", &err), CONURE_OK);
    test_int(f.json_bytes, 300);
    test_int(f.payload_bytes, 5000000000);
    test_int(conure_frame_get(&f, head, 4999999999, "x", &err), CONURE_BAD_FILE);
    conure_frame_put(head, &(conure_frame_head){CONURE_FRAME_JSON_MAX + 1, 0});
    test_int(conure_frame_get(&f, head, UINT64_MAX, "x", &err), CONURE_BAD_FILE);
    head[0] = 'c';
    test_int(conure_frame_get(&f, head, UINT64_MAX, "x", &err), CONURE_BAD_FILE);
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void percentiles(void)
{
    enum { N = 20000 };
    static float a[N], b[N];
    static double d[N];
    static const double shares[] = {0.001, 0.5, 0.95, 0.99, 1};
    static conure_errors e;
    uint64_t seed = 3;
    double max, relative;
    size_t worst;
    for (size_t i = 0; i < N; i++) {
        a[i] = test_uniform(&seed, -4, 4);
        b[i] = a[i] + powf(10, test_uniform(&seed, -9, -2)); /* seven orders of magnitude */
        if (i % 10 == 0)
            b[i] = a[i];
        d[i] = fabs((double)a[i] - b[i]);
    }
    conure_errors_init(&e);
    conure_errors_add(&e, a, b, N, &worst, &max, &relative);
    test_near(fabs((double)a[worst] - b[worst]), max, 0);
    qsort(d, N, sizeof *d, ascending);
    test_near(max, d[N - 1], 0);
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        const double truth = d[(size_t)ceil(shares[i] * N) - 1], got = conure_errors_percentile(&e, shares[i]);
        test_true(got >= truth && got <= truth * (1 + 1.0 / 64)); /* a bin is 1/64 of its octave */
    }
    a[5] = NAN; /* a value that is not finite counts as larger than any limit */
    b[7] = INFINITY;
    conure_errors_init(&e);
    conure_errors_add(&e, a, b, 20, &worst, &max, &relative);
    test_true(isinf(max) && worst == 5 && e.n_not_finite == 2);
    test_true(isinf(conure_errors_percentile(&e, 0.95)));
    b[5] = NAN; /* both alike: no difference */
    b[7] = a[7] = INFINITY;
    conure_errors_init(&e);
    conure_errors_add(&e, a, b, 20, &worst, &max, &relative);
    test_true(isfinite(max) && e.n_not_finite == 0);
}

/* Against numbers of R's lm() on the same five points: x = 1 .. 5, y = 2.1 3.9 6.2 7.8 10.1. */
static void line(void)
{
    static const double y[] = {2.1, 3.9, 6.2, 7.8, 10.1};
    conure_line l = {0};
    double slope, half;
    for (int i = 0; i < 5; i++) {
        test_true(conure_line_slope(&l, &slope, &half) == (i >= 3));
        conure_line_add(&l, i + 1, y[i]);
    }
    test_true(conure_line_slope(&l, &slope, &half));
    test_near(slope, 1.99, 1e-12);
    /* residual sum of squares 0.107, standard error sqrt(0.107 / 3 / 10), t(0.975, 3) = 3.182446 */
    test_near(half, 3.182446 * sqrt(0.107 / 30), 0.01 * half);
}

/* The generator as docs/clearance.md describes it, written down once more. */
static uint64_t mixed(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double unit(uint64_t seed, uint64_t i)
{
    return (double)(mixed(mixed(seed) ^ i) >> 11) * 0x1p-53;
}

static void generator(void)
{
    static float f[128 * 121];
    double sum = 0, squares = 0;
    for (uint64_t k = 0; k < 3; k++) {
        conure_random_features(f, 128, 121, 42, k);
        for (uint32_t b = 0; b < 128; b += 17)
            for (uint32_t t = 0; t < 121; t += 13)
                test_near(f[b * 121 + t], (float)(sqrt(3) * (2 * unit(42, (k << 40) + t * 128 + b) - 1)), 0);
        for (size_t i = 0; i < sizeof f / sizeof *f; i++) {
            sum += f[i];
            squares += (double)f[i] * f[i];
        }
    }
    const double n = 3.0 * 128 * 121;
    test_near(sum / n, 0, 4 / sqrt(n)); /* four standard errors */
    test_near(squares / n, 1, 4 / sqrt(n));
    conure_random_features(f, 128, 121, 42, 0); /* the values that docs/clearance.md prints */
    test_near(f[0], -0.5428527, 5e-8);
    test_near(f[121], 1.5603633, 5e-8);
    test_near(f[242], -0.1850250, 5e-8);
    test_near(f[1], 0.2324489, 5e-8);
    conure_random_features(f, 128, 121, 42, 1);
    test_near(f[0], 0.5000419, 5e-8);
}

static conure_result said(conure_token *tokens, const char *text)
{
    uint32_t n = 0;
    for (; text[n]; n++)
        tokens[n] = (conure_token){.id = (uint32_t)text[n], .frame = n, .duration = 1};
    return (conure_result){.tokens = tokens, .n_tokens = n};
}

static conure_verdict judged(const char *reference, const char *candidate, double least, uint64_t edits, uint64_t moved)
{
    conure_token a[32], b[32];
    conure_agreement g;
    conure_error err;
    char why[320];
    const conure_result x = said(a, reference), y = said(b, candidate);
    good(conure_agreement_open(&g, 128, &err), &err);
    good(conure_agreement_add(&g, &x, &y, &err), &err);
    test_int(g.n_edits, edits);
    test_int(g.n_moved, moved);
    const conure_verdict verdict = conure_agreement_judge(&g, least, why);
    test_true((verdict == CONURE_VERDICT_PASS) == (why[0] == '\0'));
    conure_agreement_close(&g);
    return verdict;
}

static void agreement(void)
{
    test_int(judged("abcde", "abcde", 1, 0, 0), CONURE_VERDICT_PASS);
    test_int(judged("abcde", "abxde", 1, 1, 0), CONURE_VERDICT_FAIL);
    test_int(judged("abcde", "abxde", 0.8, 1, 0), CONURE_VERDICT_PASS);
    test_int(judged("abcde", "abde", 0.8, 1, 2), CONURE_VERDICT_PASS); /* d and e lie a frame earlier */
    test_int(judged("kitten", "sitting", 1, 3, 0), CONURE_VERDICT_FAIL);
    test_int(judged("abc", "", 0, 3, 0), CONURE_VERDICT_FAIL);       /* an empty transcript fails whatever the limit */
    test_int(judged("", "", 0, 0, 0), CONURE_VERDICT_NOT_PROVEN);
    test_int(judged("", "abc", 0, 3, 0), CONURE_VERDICT_NOT_PROVEN);
}

int main(void)
{
    test_begin("clearance.pieces");
    base64();
    frames();
    percentiles();
    line();
    generator();
    agreement();
    return test_end();
}
