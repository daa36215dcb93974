/* The row operations as the encoder calls them, against their formulas in double: strides, spans,
 * history, valid ranges, odd image sizes; and the same bits on any number of threads. */
#include "rows_fixture.h"

static const double EPS = FLT_EPSILON;

static double silu(double x)
{
    return x / (1 + exp(-x));
}

/* ---- convolution over time ---------------------------------------------------------------------- */

typedef struct conv_case {
    uint32_t cols, kernel, left;
    uint32_t n_rows[3], n_past[3], key_first[3], key_end[3];
    bool history[3];
} conv_case;

static const conv_case conv_cases[] = {
    {5, 9, 4, {1, 0, 3}, {0, 0, 0}, {0, 0, 0}, {1, 0, 3}, {false, false, false}},
    {130, 9, 4, {40, 17, 16}, {0, 0, 0}, {0, 0, 0}, {38, 17, 15}, {false, false, false}},
    {64, 9, 8, {6, 33, 2}, {10, 4, 70}, {7, 0, 70}, {16, 36, 72}, {true, true, false}},
    {33, 4, 1, {20, 9, 5}, {0, 3, 6}, {2, 9, 0}, {19, 12, 11}, {true, false, true}},
};

/* Row t of the convolution's input, as the words of the specification have it. */
static double conv_input(const conure_conv *c, const conure_span *span, const float *history,
                         int64_t t, uint32_t column)
{
    if (t < 0)
        return history && t + c->left >= 0 ? history[(size_t)(t + c->left) * c->src.cols + column]
                                           : 0;
    const int64_t position = t + span->n_past;
    if (t >= span->n_rows || position < span->key_first || position >= span->key_end)
        return 0;
    return c->src.data[(size_t)(span->first_row + t) * c->src.stride + column];
}

static void check_conv(const conure_conv *c, const matrix *dst)
{
    long bad = 0;
    for (uint32_t s = 0; s < c->n_spans; s++)
        for (uint32_t t = 0; t < c->spans[s].n_rows; t++)
            for (uint32_t i = 0; i < c->src.cols; i++) {
                double sum = c->bias[i], size = fabs(sum);
                for (uint32_t k = 0; k < c->kernel; k++) {
                    const double part =
                        c->weight[k * c->src.cols + i] *
                        conv_input(c, &c->spans[s], c->history[s], (int64_t)t + k - c->left, i);
                    sum += part;
                    size += fabs(part);
                }
                const double bound =
                    (1.1 * (c->kernel + 1) / 2.0 * size + 4 * fabs(silu(sum))) * EPS;
                bad += !(fabs(at(dst, c->spans[s].first_row + t, i) - silu(sum)) <= bound);
            }
    test_int(bad, 0);
    test_true(guards_whole(dst));
}

static void test_conv(uint32_t features)
{
    for (size_t n = 0; n < sizeof conv_cases / sizeof *conv_cases; n++) {
        const conv_case *k = &conv_cases[n];
        uint64_t seed = 21 + n;
        conure_span spans[3];
        const float *history[3];
        uint32_t rows = 1;
        matrix past = matrix_random(3 * 16, k->cols, -2, 2, &seed);
        for (uint32_t i = 0; i < 3; i++) {
            spans[i] = (conure_span){.first_row = rows,
                                     .n_rows = k->n_rows[i],
                                     .n_past = k->n_past[i],
                                     .key_first = k->key_first[i],
                                     .key_end = k->key_end[i]};
            rows += k->n_rows[i];
            history[i] = k->history[i] ? past.block + i * 16 * (k->cols + 1) : NULL;
        }
        matrix src = matrix_random(rows + 1, k->cols, -2, 2, &seed),
               weight = matrix_random(16, k->cols, -1, 1, &seed);
        matrix first = matrix_new(rows + 1, k->cols);
        for (uint32_t n_threads = 1; n_threads <= 3; n_threads++) {
            cpu_fixture fixture;
            matrix dst = matrix_new(rows + 1, k->cols);
            const conure_conv c = {src.rows,     n_threads == 1 ? first.rows : dst.rows,
                                   weight.block, weight.rows.data,
                                   k->kernel,    k->left,
                                   spans,        3,
                                   history};
            fixture_open(&fixture, features, n_threads);
            test_int(conure_cpu_conv(&fixture.cpu, &c, NULL), CONURE_OK);
            if (n_threads == 1)
                check_conv(&c, &first);
            else
                test_true(same_bits(&first, &dst));
            fixture_close(&fixture);
            matrix_free(&dst);
        }
        test_true(at(&first, 0, 0) == GUARD && at(&first, rows, 0) == GUARD);
        matrix_free(&first);
        matrix_free(&src);
        matrix_free(&weight);
        matrix_free(&past);
    }
}

/* The numbers of spec 5.4: ones as the kernel, before the SiLU. */
static void test_conv_example(uint32_t features)
{
    static const float history[4] = {-4, -3, -2, -1}, ones[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1},
                       zero[1] = {0};
    static const float want[6] = {5, 15, 18, 20, 21, 20};
    const float *const histories[1] = {history};
    float x[6] = {1, 2, 3, 4, 5, 6}, y[6];
    const conure_span span = {.n_rows = 6, .key_end = 6};
    const conure_conv c = {{x, 1, 6, 1}, {y, 1, 6, 1}, ones, zero, 9, 4, &span, 1, histories};
    cpu_fixture fixture;
    fixture_open(&fixture, features, 1);
    test_int(conure_cpu_conv(&fixture.cpu, &c, NULL), CONURE_OK);
    for (int t = 0; t < 6; t++)
        test_near(y[t], silu(want[t]), 4 * EPS * want[t]);
    conure_conv wide = c;
    wide.kernel = 100000;
    test_int(conure_cpu_conv(&fixture.cpu, &wide, NULL), CONURE_UNSUPPORTED);
    conure_conv beyond = c;
    beyond.src.rows = 5;
    test_int(conure_cpu_conv(&fixture.cpu, &beyond, NULL), CONURE_INTERNAL);
    fixture_close(&fixture);
}

/* ---- subsampling ---------------------------------------------------------------------------------- */

static void check_subsample(const conure_subsample *s, const float *dst)
{
    const uint32_t height = (s->height + 1) / 2, width = (s->width + 1) / 2,
                   in = s->depthwise ? s->channels : 1;
    long bad = 0;
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            for (uint32_t c = 0; c < s->channels; c++) {
                double sum = s->bias[c], size = fabs(sum);
                for (int dy = 0; dy < 3; dy++)
                    for (int dx = 0; dx < 3; dx++) {
                        const long in_y = 2L * y + dy - 1, in_x = 2L * x + dx - 1;
                        if (in_y < 0 || in_x < 0 || in_y >= (long)s->height ||
                            in_x >= (long)s->width)
                            continue;
                        const double part = (double)s->weight[(dy * 3 + dx) * s->channels + c] *
                                            s->src[((size_t)in_y * s->width + (size_t)in_x) * in +
                                                   (in > 1 ? c : 0)];
                        sum += part;
                        size += fabs(part);
                    }
                const double want = s->relu ? fmax(sum, 0) : sum;
                bad += !(fabs(dst[((size_t)y * width + x) * s->channels + c] - want) <=
                         5 * EPS * size);
            }
    test_int(bad, 0);
}

static void test_subsample(uint32_t features)
{
    static const uint32_t sizes[][3] = {{1, 1, 3},  {0, 8, 4},    {2, 5, 17},
                                        {9, 8, 33}, {41, 10, 64}, {60, 16, 256}};
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++)
        for (int kind = 0; kind < 3; kind++) { /* first stage, depthwise with and without ReLU */
            const uint32_t height = sizes[n][0], width = sizes[n][1], channels = sizes[n][2];
            const uint32_t pixels = (height + 1) / 2 * ((width + 1) / 2);
            uint64_t seed = 7 * n + (uint64_t)kind + 1;
            matrix src = matrix_random(height * width + 1, kind ? channels : 1, -2, 2, &seed);
            matrix weight = matrix_random(12, channels, -1, 1, &seed),
                   first = matrix_new(pixels, channels);
            for (uint32_t n_threads = 1; n_threads <= 3; n_threads++) {
                matrix dst = matrix_new(pixels, channels);
                float *out = (n_threads == 1 ? &first : &dst)->block + 1; /* dense, unaligned */
                const conure_subsample s = {src.block + 2 * src.rows.stride,
                                            out,
                                            height,
                                            width,
                                            channels,
                                            kind > 0,
                                            kind != 2,
                                            weight.block + 2 * weight.rows.stride,
                                            weight.rows.data};
                cpu_fixture fixture;
                fixture_open(&fixture, features, n_threads);
                test_int(conure_cpu_subsample(&fixture.cpu, &s, NULL), CONURE_OK);
                fixture_close(&fixture);
                test_true(out[-1] == GUARD && out[pixels * channels] == GUARD);
                if (n_threads == 1)
                    check_subsample(&s, out);
                else
                    test_true(same_bits(&first, &dst));
                matrix_free(&dst);
            }
            matrix_free(&src);
            matrix_free(&weight);
            matrix_free(&first);
        }
}

static void test_flatten(uint32_t features)
{
    static const uint32_t sizes[][3] = {{1, 1, 1}, {3, 5, 7},  {75, 16, 256}, {2, 16, 33},
                                        {0, 4, 4}, {5, 2, 64}, {4, 10, 48}};
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        const uint32_t height = sizes[n][0], width = sizes[n][1], channels = sizes[n][2];
        uint64_t seed = 5 + n;
        matrix src = matrix_random(height * width + 1, channels, -2, 2, &seed),
               dst = matrix_new(height, width * channels);
        const float *image = src.block + 1; /* dense: whatever lies there */
        cpu_fixture fixture;
        long bad = 0;
        fixture_open(&fixture, features, 1 + (uint32_t)n % 3);
        test_int(conure_cpu_flatten(&fixture.cpu, dst.rows, image, width, channels, NULL),
                 CONURE_OK);
        for (uint32_t h = 0; h < height; h++)
            for (uint32_t c = 0; c < channels; c++)
                for (uint32_t w = 0; w < width; w++)
                    bad +=
                        at(&dst, h, c * width + w) != image[((size_t)h * width + w) * channels + c];
        test_int(bad, 0);
        test_true(guards_whole(&dst));
        fixture_close(&fixture);
        matrix_free(&src);
        matrix_free(&dst);
    }
}

/* ---- rows ------------------------------------------------------------------------------------------- */

/* Each is its kernel, row by row, which rows_kernels.c checks; here: strides, threads, shapes. */
static void test_rows(uint32_t features)
{
    const uint32_t rows = 61, cols = 520;
    uint64_t seed = 3;
    matrix x = matrix_random(rows, cols, -2, 2, &seed), y = matrix_random(rows, cols, -2, 2, &seed);
    matrix gates = matrix_random(rows, 4 * cols, -2, 2, &seed);
    for (uint32_t n_threads = 1; n_threads <= 3; n_threads++) {
        cpu_fixture fixture;
        matrix sum = matrix_new(rows, cols), norm = matrix_new(rows, cols),
               h = matrix_new(rows, cols);
        matrix c = matrix_random(rows, cols, 0.5f, 0.5f, &seed);
        float *row = malloc(2 * cols * sizeof *row);
        bool ok = row != NULL;
        fixture_open(&fixture, features, n_threads);
        test_int(conure_cpu_add_relu(&fixture.cpu, sum.rows, x.rows, y.rows, NULL), CONURE_OK);
        test_int(conure_cpu_layer_norm(&fixture.cpu, norm.rows, x.rows, y.rows.data,
                                       gates.rows.data, NULL),
                 CONURE_OK);
        test_int(conure_cpu_lstm_cell(&fixture.cpu, h.rows, c.rows, gates.rows, NULL), CONURE_OK);
        for (uint32_t r = 0; r < rows && ok; r++) {
            fixture.kernels.add_relu_row(row, x.rows.data + r * x.rows.stride,
                                         y.rows.data + r * y.rows.stride, cols);
            ok &= memcmp(row, sum.rows.data + r * sum.rows.stride, cols * sizeof *row) == 0;
            fixture.kernels.layer_norm_row(row, x.rows.data + r * x.rows.stride, y.rows.data,
                                           gates.rows.data, cols);
            ok &= memcmp(row, norm.rows.data + r * norm.rows.stride, cols * sizeof *row) == 0;
            for (uint32_t i = 0; i < cols; i++)
                row[cols + i] = 0.5f;
            fixture.kernels.lstm_row(row, row + cols, gates.rows.data + r * gates.rows.stride,
                                     cols);
            ok &= memcmp(row, h.rows.data + r * h.rows.stride, cols * sizeof *row) == 0;
            ok &= memcmp(row + cols, c.rows.data + r * c.rows.stride, cols * sizeof *row) == 0;
        }
        test_true(ok);
        test_true(guards_whole(&sum) && guards_whole(&norm) && guards_whole(&h) &&
                  guards_whole(&c));
        conure_rows narrow = x.rows;
        narrow.cols--;
        test_int(conure_cpu_layer_norm(&fixture.cpu, norm.rows, narrow, NULL, NULL, NULL),
                 CONURE_INTERNAL);
        test_int(conure_cpu_add_relu(&fixture.cpu, norm.rows, x.rows, narrow, NULL),
                 CONURE_INTERNAL);
        test_int(conure_cpu_lstm_cell(&fixture.cpu, h.rows, c.rows, x.rows, NULL), CONURE_INTERNAL);
        fixture_close(&fixture);
        free(row);
        matrix_free(&sum);
        matrix_free(&norm);
        matrix_free(&h);
        matrix_free(&c);
    }
    matrix_free(&x);
    matrix_free(&y);
    matrix_free(&gates);
}

/* Nearest even: at most half a unit of the last of 8 digits away, and of two neighbours as near the even
 * one; beside that, what lies in a bf16 comes back as it is. */
static bool nearest(float x, uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float got;
    memcpy(&got, &wide, sizeof got);
    const double unit = ldexp(1.0, (x == 0 ? 0 : ilogb(x)) - 7), off = fabs((double)got - x);
    return off < unit / 2 || (off == unit / 2 && (bits & 1) == 0);
}

/* Three entries, one without rows, each with a kept side of its own stride, unaligned, between guards. */
static void test_stored(uint32_t features, bool bf16)
{
    static const uint32_t rows[3] = {37, 0, 5}, cols[3] = {1031, 8, 3};
    for (uint32_t n_threads = 1; n_threads <= 3; n_threads++) {
        uint64_t seed = 77;
        matrix src[3], dst[3];
        conure_stored out[3], in[3];
        uint16_t *kept[3];
        cpu_fixture fixture;
        long bad = 0;
        fixture_open(&fixture, features, n_threads);
        for (int i = 0; i < 3; i++) {
            const size_t stride = cols[i] + 5, units = (rows[i] + 2) * stride * 2 + 2;
            src[i] = matrix_random(rows[i], cols[i], -2, 2, &seed);
            dst[i] = matrix_new(rows[i], cols[i]);
            kept[i] = malloc(units * sizeof **kept);
            if (!kept[i])
                abort();
            memset(kept[i], 0x5a, units * sizeof **kept);
            out[i] = (conure_stored){src[i].rows, bf16 ? (void *)(kept[i] + 1) : (void *)(kept[i] + 2), stride, bf16};
            in[i] = out[i];
            in[i].rows = dst[i].rows;
        }
        src[0].rows.data[0] = 1.00390625f; /* between 1 and 1 + 2^-7: to the even one, below */
        src[0].rows.data[1] = 1.01171875f; /* above */
        test_int(conure_cpu_store_rows(&fixture.cpu, out, 3, NULL), CONURE_OK);
        test_int(conure_cpu_load_rows(&fixture.cpu, in, 3, NULL), CONURE_OK);
        for (int i = 0; i < 3; i++) {
            const size_t stride = out[i].stride, unit = bf16 ? 1 : 2, first = unit;
            for (size_t r = 0; r < rows[i]; r++)
                for (size_t c = 0; c < cols[i]; c++) {
                    const uint16_t *at_kept = kept[i] + first + (r * stride + c) * unit;
                    const uint32_t wide = (uint32_t)*at_kept << 16;
                    const float x = at(&src[i], r, c), y = at(&dst[i], r, c);
                    bad += bf16 ? !nearest(x, *at_kept) || memcmp(&y, &wide, 4) != 0 : memcmp(&y, &x, 4) != 0;
                }
            for (size_t k = 0; k < (rows[i] + 2) * stride * 2 + 2; k++) { /* nothing else was written */
                const size_t row = k < first ? SIZE_MAX : (k - first) / unit / stride, col = (k - first) / unit % stride;
                bad += (row >= rows[i] || col >= cols[i]) && kept[i][k] != 0x5a5a;
            }
            test_true(guards_whole(&dst[i]));
        }
        test_int(bad, 0);
        test_true(!bf16 || (at(&dst[0], 0, 0) == 1 && at(&dst[0], 0, 1) == 1.015625f));
        out[2].stride = cols[2] - 1;
        test_int(conure_cpu_store_rows(&fixture.cpu, out, 3, NULL), CONURE_INTERNAL);
        test_int(conure_cpu_load_rows(&fixture.cpu, out, 0, NULL), CONURE_OK);
        fixture_close(&fixture);
        for (int i = 0; i < 3; i++) {
            matrix_free(&src[i]);
            matrix_free(&dst[i]);
            free(kept[i]);
        }
    }
}

int main(void)
{
    test_begin("row operations");
    for (size_t i = 0; i < N_ISA; i++) {
        uint32_t features;
        if (!isa_features(&features, i))
            continue;
        test_conv(features);
        test_conv_example(features);
        test_subsample(features);
        test_flatten(features);
        test_rows(features);
        test_stored(features, false);
        test_stored(features, true);
    }
    return test_end();
}
