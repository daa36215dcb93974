/* resample.c - the session's resampler: how clean, where in time, how many, in any portions, through snapshots. */
#include "features/resample.h"

#include "test.h"

#ifdef HAVE_SOXR
#include <soxr.h>
#endif

#define PI 3.14159265358979323846

typedef struct signal {
    float *samples;
    size_t n;
} signal;

static const uint32_t pairs[][2] = {
    {8000, 16000},  {11025, 16000}, {12000, 16000}, {22050, 16000}, {24000, 16000},  {32000, 16000},
    {44100, 16000}, {48000, 16000}, {88200, 16000}, {96000, 16000}, {192000, 16000}, {192000, 8000},
    {8000, 192000}, {44100, 48000}, {16000, 8000},  {15999, 16000}, {16001, 16000},  {191999, 8000},
    {44101, 16000}, {8000, 191999}, {47999, 16000},
};
enum { N_PAIRS = sizeof pairs / sizeof *pairs };

static conure_resampler *open_pair(uint32_t from_hz, uint32_t to_hz)
{
    conure_resampler *r = NULL;
    test_int(conure_resampler_open(&r, from_hz, to_hz, NULL), CONURE_OK);
    if (!r)
        exit(1);
    return r;
}

static size_t expected(size_t n, uint32_t from_hz, uint32_t to_hz)
{
    return (size_t)(((uint64_t)n * to_hz + from_hz - 1) / from_hz);
}

/* All at once; and that the count is the promised one. */
static signal convert_by(conure_resampler *r, const float *in, size_t n, uint32_t from_hz, uint32_t to_hz)
{
    const size_t want = expected(n, from_hz, to_hz);
    signal out = {malloc((want + 8) * sizeof(float)), 0};
    size_t used, made;

    conure_resampler_reset(r);
    conure_resampler_run(r, in, n, &used, out.samples, want + 8, &made);
    test_int(used, n);
    out.n = made + conure_resampler_flush(r, out.samples + made, want + 8 - made);
    test_int(out.n, want);
    test_int(conure_resampler_flush(r, out.samples, 8), 0);
    return out;
}

static signal convert(const float *in, size_t n, uint32_t from_hz, uint32_t to_hz)
{
    conure_resampler *r = open_pair(from_hz, to_hz);
    const signal out = convert_by(r, in, n, from_hz, to_hz);
    conure_resampler_close(&r);
    return out;
}

static double decibels(double power)
{
    return 10 * log10(power + 1e-30);
}

/* ---- how clean ------------------------------------------------------------------------------- */

typedef struct tone {
    double gain_db, rest_db; /* of the tone against the ideal; of all else against the tone */
} tone;

/* A sine through the resampler, its ends left out.  The gain is its projection on the ideal: a delay would show as
 * loss, and as rest.  With alias, where no tone should be, rest_db is all there is. */
static tone hear_tone(conure_resampler *r, uint32_t from_hz, uint32_t to_hz, double hz, bool alias)
{
    const size_t n = from_hz / 8;
    float *in = malloc(n * sizeof *in);
    double along = 0, ideal = 0, rest = 0;

    for (size_t i = 0; i < n; i++)
        in[i] = (float)(0.9 * sin(2 * PI * hz * (double)i / from_hz + 0.3));
    signal out = convert_by(r, in, n, from_hz, to_hz);
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = out.n / 4; i < 3 * out.n / 4; i++) {
            const double want = 0.9 * sin(2 * PI * hz * (double)i / to_hz + 0.3), got = out.samples[i];
            const double fit = alias ? 0 : along / ideal * want;
            if (pass)
                rest += (got - fit) * (got - fit);
            else
                ideal += alias ? 0.405 : want * want, along += got * want;
        }
    free(in);
    free(out.samples);
    return (tone){decibels(along * along / (ideal * ideal)), decibels(rest / ideal)};
}

static void test_clean(uint32_t from_hz, uint32_t to_hz)
{
    const double nyquist = fmin(from_hz, to_hz) / 2;
    static const double passing[] = {0.0113, 0.1, 0.31, 0.5, 0.7, 0.8, 0.87, 0.9};
    static const double stopped[] = {1.0001, 1.01, 1.05, 1.1, 1.21, 1.37, 1.6, 1.9, 2.0, 2.3, 2.93, 5.1, 11.7};
    double ripple = 0, rest = -200, alias = -200;
    conure_resampler *r = open_pair(from_hz, to_hz);

    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++) {
        const tone t = hear_tone(r, from_hz, to_hz, passing[i] * nyquist, false);
        ripple = fmax(ripple, fabs(t.gain_db));
        rest = fmax(rest, t.rest_db);
    }
    for (size_t i = 0; i < sizeof stopped / sizeof *stopped; i++)
        if (stopped[i] * nyquist < from_hz / 2.0)
            alias = fmax(alias, hear_tone(r, from_hz, to_hz, stopped[i] * nyquist, true).rest_db);
    fprintf(stderr, "%6u to %6u Hz: ripple %.6f dB, beside the tone %.1f dB, aliases %.1f dB\n", from_hz, to_hz,
            ripple, rest, alias);
    conure_resampler_close(&r);
    test_true(ripple < 0.001);
    test_true(rest < -110); /* -113.4 dB was measured at worst, */
    test_true(alias < -96);  /* -98.5 dB here, at 48 kHz */
}

/* A sweep over the passband beside the same sweep computed at the new rate. */
static void test_sweep(uint32_t from_hz, uint32_t to_hz)
{
    const double seconds = 0.5, top = 0.9 * fmin(from_hz, to_hz) / 2;
    const size_t n = (size_t)(seconds * from_hz);
    float *in = malloc(n * sizeof *in);
    double worst = 0;

    for (size_t i = 0; i < n; i++) {
        const double t = (double)i / from_hz;
        in[i] = (float)sin(PI * top / seconds * t * t);
    }
    signal out = convert(in, n, from_hz, to_hz);
    for (size_t i = out.n / 10; i < 9 * out.n / 10; i++) {
        const double t = (double)i / to_hz;
        worst = fmax(worst, fabs(out.samples[i] - sin(PI * top / seconds * t * t)));
    }
    test_true(worst < 1e-4); /* -80 dB at the worst sample; 3e-5 was measured */
    if (!(worst < 1e-4))
        fprintf(stderr, "%u to %u Hz: sweep off by %.3g\n", from_hz, to_hz, worst);
    free(in);
    free(out.samples);
}

/* Loudest at its own place, and the same on both sides, but for the last tap, which one side has: the window's end,
 * 1 / I0(10.06), by the sinc's there, 2e-6 of the middle. */
static void test_impulse(uint32_t from_hz, uint32_t to_hz, size_t at_in, size_t at_out)
{
    const size_t n = 2 * at_in;
    float *in = calloc(n, sizeof *in);
    in[at_in] = 1;
    signal out = convert(in, n, from_hz, to_hz);
    for (size_t i = 1; i <= at_out / 2; i++) {
        test_true(fabsf(out.samples[at_out + i]) < out.samples[at_out]);
        test_near(out.samples[at_out + i], out.samples[at_out - i], 2e-6 * out.samples[at_out]);
    }
    free(in);
    free(out.samples);
}

#ifdef HAVE_SOXR
/* Tones of the passband and their ideal at the new rate: libsoxr's HQ, and ours, which must not be worse than
 * -100 dB. */
static void test_soxr(uint32_t from_hz)
{
    enum { TONES = 40, TO_HZ = 16000 };
    const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    float *in = calloc(from_hz, sizeof *in), *theirs = calloc(TO_HZ, sizeof *theirs);
    double *ideal = calloc(TO_HZ, sizeof *ideal), ours_off = 0, theirs_off = 0, power = 0;
    uint64_t seed = 9;
    size_t made = 0;

    for (int k = 0; k < TONES; k++) {
        const double radians = 2 * PI * test_uniform(&seed, 50, 0.45f * fminf((float)from_hz, TO_HZ));
        for (size_t i = 0; i < from_hz; i++)
            in[i] += (float)(0.02 * sin(radians * (double)i / from_hz + k));
        for (size_t i = 0; i < TO_HZ; i++)
            ideal[i] += 0.02 * sin(radians * (double)i / TO_HZ + k);
    }
    test_true(!soxr_oneshot(from_hz, TO_HZ, 1, in, from_hz, NULL, theirs, TO_HZ, &made, NULL, &quality, NULL));
    signal ours = convert(in, from_hz, from_hz, TO_HZ);
    for (size_t i = TO_HZ / 8; i < TO_HZ * 7 / 8; i++) {
        power += ideal[i] * ideal[i];
        ours_off += (ours.samples[i] - ideal[i]) * (ours.samples[i] - ideal[i]);
        theirs_off += (theirs[i] - ideal[i]) * (theirs[i] - ideal[i]);
    }
    fprintf(stderr, "%6u to  16000 Hz: off the ideal by %.1f dB, libsoxr HQ by %.1f dB\n", from_hz,
            decibels(ours_off / power), decibels(theirs_off / power));
    test_true(decibels(ours_off / power) < -100);
    free(ours.samples);
    free(in);
    free(theirs);
    free(ideal);
}
#endif

/* ---- how many, in any portions --------------------------------------------------------------- */

static signal noise(size_t n, uint64_t *seed)
{
    signal s = {malloc((n + 1) * sizeof(float)), n};
    for (size_t i = 0; i < n; i++)
        s.samples[i] = test_uniform(seed, -1, 1);
    return s;
}

/* Save, and go on with the other object. */
static void through_snapshot(conure_resampler *r[2])
{
    conure_buffer a = {0}, b = {0};
    conure_resampler *const other = r[1];
    conure_resampler_save(r[0], &a);
    conure_reader reader = {.data = (const uint8_t *)a.data, .bytes = a.bytes};
    test_int(conure_resampler_load(other, &reader, NULL), CONURE_OK);
    test_int(reader.at, a.bytes);
    conure_resampler_save(other, &b);
    test_true(a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0);
    r[1] = r[0];
    r[0] = other;
    conure_buffer_free(&a);
    conure_buffer_free(&b);
}

/* Random portions in and out, a snapshot now and then: the same bits. */
static void test_portions(uint32_t from_hz, uint32_t to_hz, size_t n, uint64_t seed)
{
    const uint64_t start = seed;
    signal in = noise(n, &seed);
    conure_resampler *r[2] = {open_pair(from_hz, to_hz), open_pair(from_hz, to_hz)};
    signal whole = convert_by(r[1], in.samples, n, from_hz, to_hz);
    float *parts = malloc((whole.n + 1) * sizeof *parts);
    size_t at = 0, got = 0, used, made;

    while (at < n) {
        const size_t give = test_random(&seed) % (test_random(&seed) % 8 ? 40 : 4000);
        const size_t take = test_random(&seed) % (test_random(&seed) % 8 ? 40 : 4000);
        const size_t left = n - at < give ? n - at : give, cap = whole.n - got < take ? whole.n - got : take;
        const uint64_t room = conure_resampler_room(r[0], cap), need = conure_resampler_need(r[0], cap);
        conure_resampler_run(r[0], in.samples + at, left, &used, parts + got, cap, &made);
        test_true(used == (left < room ? left : room) && made <= cap && (made == cap) == (used >= need));
        at += used;
        got += made;
        if (test_random(&seed) % 16 == 0)
            through_snapshot(r);
    }
    while ((made = conure_resampler_flush(r[0], parts + got, 1 + test_random(&seed) % 100)) > 0) {
        got += made;
        if (test_random(&seed) % 8 == 0)
            through_snapshot(r);
    }
    test_int(got, whole.n);
    const bool same = got == whole.n && memcmp(parts, whole.samples, got * sizeof *parts) == 0;
    test_true(same);
    if (!same)
        fprintf(stderr, "%u to %u Hz, %zu samples, seed %llu\n", from_hz, to_hz, n, (unsigned long long)start);
    conure_resampler_close(&r[0]);
    conure_resampler_close(&r[1]);
    free(in.samples);
    free(whole.samples);
    free(parts);
}

/* Also that a reset forgets everything. */
static void test_lengths(uint32_t from_hz, uint32_t to_hz)
{
    conure_resampler *r = open_pair(from_hz, to_hz);
    float in[700], out[17000];
    size_t used, made;

    for (int i = 0; i < 700; i++)
        in[i] = 1;
    for (size_t n = 0; n < 700; n += n < 20 ? 1 : 97) {
        conure_resampler_run(r, in, n, &used, out, 17000, &made);
        made += conure_resampler_flush(r, out + made, 17000 - made);
        test_int(made, expected(n, from_hz, to_hz));
        conure_resampler_reset(r);
    }
    conure_resampler_run(r, in, 700, &used, out, 17000, &made);
    made += conure_resampler_flush(r, out + made, 17000 - made);
    signal fresh = convert(in, 700, from_hz, to_hz);
    test_true(made == fresh.n && memcmp(out, fresh.samples, made * sizeof *out) == 0);
    free(fresh.samples);
    conure_resampler_close(&r);
}

static void test_equal_rates(void)
{
    uint64_t seed = 3;
    signal in = noise(1000, &seed), out = convert(in.samples, 1000, 16000, 16000);
    conure_resampler *r = open_pair(16000, 16000);
    test_true(memcmp(in.samples, out.samples, 1000 * sizeof(float)) == 0);
    test_near(conure_resampler_delay_s(r), 0, 0);
    test_int(conure_resampler_room(r, 7), 7);
    conure_resampler_close(&r);
    r = open_pair(44100, 16000);
    test_near(conure_resampler_delay_s(r), 0.0041, 0.0001);
    conure_resampler_close(&r);
    free(in.samples);
    free(out.samples);
}

/* ---- hostile --------------------------------------------------------------------------------- */

/* What loads must work on; what does not leaves a resampler like new. */
static void load_and_use(conure_resampler *r, const uint8_t *bytes, size_t n)
{
    conure_reader reader = {.data = bytes, .bytes = n};
    conure_error err = {{0}};
    float in[3000] = {0}, out[3000];
    size_t used, made;

    if (conure_resampler_load(r, &reader, &err) != CONURE_OK) {
        test_contains(err.text, "snapshot: ");
        conure_resampler_run(r, in, 3000, &used, out, 3000, &made);
        test_true(used == 3000 && made > 900);
    }
    while (conure_resampler_flush(r, out, 3000) > 0)
        ;
}

static void test_hostile(void)
{
    conure_resampler *r = open_pair(44100, 16000), *other = open_pair(48000, 16000);
    uint64_t seed = 11;
    signal in = noise(5000, &seed);
    float out[5000];
    size_t used, made;
    conure_buffer saved = {0};
    conure_error err;

    conure_resampler_run(r, in.samples, 5000, &used, out, 5000, &made);
    conure_resampler_save(r, &saved);
    conure_reader reader = {.data = (const uint8_t *)saved.data, .bytes = saved.bytes};
    test_int(conure_resampler_load(other, &reader, &err), CONURE_BAD_FILE);
    test_contains(err.text, "44100 Hz for 16000 Hz, expected 48000 Hz for 16000 Hz");
    for (size_t n = 0; n < saved.bytes; n++) {
        uint8_t *cut = malloc(n + 1);
        memcpy(cut, saved.data, n);
        load_and_use(r, cut, n);
        free(cut);
    }
    for (int i = 0; i < 2000; i++) {
        uint8_t *bent = malloc(saved.bytes);
        memcpy(bent, saved.data, saved.bytes);
        bent[8 + test_random(&seed) % 24] = (uint8_t)test_random(&seed);
        load_and_use(r, bent, saved.bytes);
        free(bent);
    }
    conure_buffer_free(&saved);
    conure_resampler_close(&r);
    test_int(conure_resampler_open(&r, 7999, 16000, &err), CONURE_BAD_ARG);
    test_contains(err.text, "7999 Hz to 16000 Hz");
    test_int(conure_resampler_open(NULL, 8000, 16000, &err), CONURE_BAD_ARG);
    conure_resampler_close(&other);
    free(in.samples);
}

int main(void)
{
    test_begin("features resample");
    for (size_t i = 0; i < N_PAIRS; i++) {
        test_clean(pairs[i][0], pairs[i][1]);
        test_sweep(pairs[i][0], pairs[i][1]);
        test_portions(pairs[i][0], pairs[i][1], 20000, 100 + i);
        test_lengths(pairs[i][0], pairs[i][1]);
    }
    for (uint64_t seed = 1; seed <= 40; seed++)
        test_portions(pairs[seed % N_PAIRS][0], pairs[seed % N_PAIRS][1], (size_t)(seed * seed), seed);
    test_portions(16000, 16000, 20000, 7);
    test_impulse(44100, 16000, 4410, 1600);
    test_impulse(48000, 16000, 4800, 1600);
    test_impulse(8000, 16000, 800, 1600);
    test_impulse(15999, 16000, 15999, 16000);
    test_equal_rates();
    test_hostile();
#ifdef HAVE_SOXR
    test_soxr(8000);
    test_soxr(44100);
    test_soxr(48000);
#endif
    return test_end();
}
