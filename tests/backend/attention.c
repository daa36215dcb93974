/* Attention against the formula in double: every instruction set, ragged batches, caches, both masks,
 * every context rule, scores of any size, any number of threads. */
#include "rows_fixture.h"

/* One call's matrices.  kv holds the keys of every span, pos rows cover every r plus some. */
typedef struct problem {
    conure_attention a;
    matrix q, k, v, dst, pos;
    float *bias_u, *bias_v;
    conure_span spans[4];
} problem;

typedef struct shape {
    uint32_t n_heads, head_dim, n_spans;
    uint32_t n_rows[4], n_past[4], key_first[4], invalid[4]; /* invalid: rows at the end */
    int32_t left, right;
    conure_context_style style;
} shape;

static void problem_make(problem *p, const shape *s, conure_mask mask, float size, uint64_t *seed)
{
    const uint32_t cols = s->n_heads * s->head_dim;
    uint32_t rows = 1, kv_rows = 2, r_max = 0, r_min = 0; /* not all start at row 0 */
    for (uint32_t i = 0; i < s->n_spans; i++) {
        const uint32_t n_keys = s->n_past[i] + s->n_rows[i];
        p->spans[i] = (conure_span){.first_row = rows,
                                    .n_rows = s->n_rows[i],
                                    .kv_row = kv_rows,
                                    .n_past = s->n_past[i],
                                    .key_first = s->key_first[i],
                                    .key_end = n_keys - s->invalid[i]};
        rows += s->n_rows[i];
        kv_rows += n_keys + i; /* gaps between utterances are allowed */
        r_max = n_keys > r_max ? n_keys : r_max;
        r_min = s->n_rows[i] > r_min ? s->n_rows[i] : r_min;
    }
    p->q = matrix_random(rows, cols, -size, size, seed);
    p->k = matrix_random(kv_rows, cols, -size, size, seed);
    p->v = matrix_random(kv_rows, cols, -2, 2, seed);
    p->pos = matrix_random(r_max + r_min + 3, cols, -size, size, seed);
    p->dst = matrix_new(rows, cols);
    for (uint32_t row = 1; row < rows; row++) /* every row of a span must be written */
        for (uint32_t c = 0; c < cols; c++)
            p->dst.rows.data[row * p->dst.rows.stride + c] = NAN;
    p->bias_u = calloc(2 * cols, sizeof *p->bias_u);
    if (!p->bias_u)
        abort();
    p->bias_v = p->bias_u + cols;
    for (uint32_t i = 0; i < 2 * cols; i++)
        p->bias_u[i] = test_uniform(seed, -1, 1);
    p->a = (conure_attention){.n_heads = s->n_heads,
                              .head_dim = s->head_dim,
                              .q = p->q.rows,
                              .k = p->k.rows,
                              .v = p->v.rows,
                              .dst = p->dst.rows,
                              .bias_u = p->bias_u,
                              .bias_v = p->bias_v,
                              .pos = p->pos.rows,
                              .pos_first = (int32_t)r_max + 1,
                              .spans = p->spans,
                              .n_spans = s->n_spans,
                              .left = s->left,
                              .right = s->right,
                              .style = s->style,
                              .mask = mask};
}

static void problem_free(problem *p)
{
    matrix_free(&p->q);
    matrix_free(&p->k);
    matrix_free(&p->v);
    matrix_free(&p->pos);
    matrix_free(&p->dst);
    free(p->bias_u);
}

/* The rule of contexts and validity, word for word. */
static bool is_allowed(const conure_attention *a, const conure_span *span, int64_t query,
                       int64_t key)
{
    const int64_t first = span->key_first, end = span->key_end;
    if (query < first || query >= end || key < first || key >= end)
        return false;
    if (a->style == CONURE_CHUNKED_LIMITED && a->right >= 0) {
        const int64_t chunk = a->right + 1, limit = a->left >= 0 ? a->left / chunk : 10000;
        const int64_t behind = query / chunk - key / chunk;
        return behind >= 0 && behind <= limit;
    }
    if (a->left >= 0 && query - key > a->left)
        return false;
    return a->style == CONURE_CHUNKED_LIMITED || a->right < 0 || key - query <= a->right;
}

/* One output row of one head in double, and a bound on the error of float32: a score is a sum of
 * 2 head_dim products whose terms are rounded a few times; a score's error d changes each weight by
 * the factor exp(+-2 d) at most. */
static void reference_row(const conure_attention *a, const conure_span *span, uint32_t head,
                          uint32_t i, double *out, double *bound)
{
    const uint32_t n = span->n_past + span->n_rows, dim = a->head_dim, column = head * dim;
    const int64_t position = (int64_t)span->n_past + i;
    double *scores = malloc(n * sizeof *scores), max = -INFINITY, sum = 0, largest = 0, v_max = 0;
    if (!scores)
        abort();
    const float *q = a->q.data + (span->first_row + i) * a->q.stride + column;
    for (uint32_t j = 0; j < n; j++) {
        const float *k = a->k.data + (span->kv_row + j) * a->k.stride + column;
        const float *r =
            a->pos.data + (size_t)(a->pos_first - (position - j)) * a->pos.stride + column;
        double s = 0, size = 0;
        for (uint32_t d = 0; d < dim; d++) {
            const double content = ((double)q[d] + a->bias_u[column + d]) * k[d];
            const double place = ((double)q[d] + a->bias_v[column + d]) * r[d];
            s += content + place;
            size += fabs(content) + fabs(place) + (fabs(q[d]) + 1) * (fabs(k[d]) + fabs(r[d]));
        }
        scores[j] = s / sqrt(dim);
        const bool allowed = is_allowed(a, span, position, j);
        if (allowed) {
            largest = fmax(largest, size / sqrt(dim));
            for (uint32_t d = 0; d < dim; d++)
                v_max = fmax(
                    v_max, fabs((double)a->v.data[(span->kv_row + j) * a->v.stride + column + d]));
        } else {
            scores[j] = a->mask == CONURE_MASK_NEMO ? -10000.0 : -INFINITY;
        }
        max = fmax(max, scores[j]);
    }
    for (uint32_t j = 0; j < n && max > -INFINITY; j++)
        sum += scores[j] = exp(scores[j] - max);
    memset(out, 0, dim * sizeof *out);
    for (uint32_t j = 0; j < n; j++)
        for (uint32_t d = 0; d < dim && is_allowed(a, span, position, j); d++)
            out[d] += scores[j] / sum * a->v.data[(span->kv_row + j) * a->v.stride + column + d];
    const double half = FLT_EPSILON / 2;
    *bound = (expm1(2 * (dim + 4) * half * largest) + (n + 8) * half) * v_max;
    free(scores);
}

static void check(const problem *p, const char *what)
{
    const conure_attention *a = &p->a;
    long bad = 0;
    for (uint32_t s = 0; s < a->n_spans; s++)
        for (uint32_t i = 0; i < a->spans[s].n_rows; i++)
            for (uint32_t h = 0; h < a->n_heads; h++) {
                double want[256], bound;
                reference_row(a, &a->spans[s], h, i, want, &bound);
                for (uint32_t d = 0; d < a->head_dim; d++) {
                    const float got = at(&p->dst, a->spans[s].first_row + i, h * a->head_dim + d);
                    if (!(fabs(got - want[d]) <= bound) && bad++ < 5)
                        fprintf(stderr,
                                "%s: span %u row %u head %u dim %u: %.9g, expected %.9g +- %.3g\n",
                                what, s, i, h, d, got, want[d], bound);
                }
            }
    test_int(bad, 0);
    test_true(guards_whole(&p->dst));
    test_true(at(&p->dst, 0, 0) == GUARD); /* row 0 belongs to no span */
}

static const shape shapes[] = {
    {1, 2, 1, {1}, {0}, {0}, {0}, -1, -1, CONURE_REGULAR},
    {2, 16, 1, {33}, {0}, {0}, {1}, -1, -1, CONURE_REGULAR},
    {3, 20, 2, {7, 40}, {0, 0}, {0, 0}, {0, 3}, -1, -1, CONURE_REGULAR},
    {2, 17, 3, {5, 0, 18}, {12, 4, 30}, {3, 2, 30}, {0, 0, 2}, -1, -1, CONURE_REGULAR},
    {2, 8, 2, {70, 100}, {0, 0}, {0, 0}, {2, 1}, 9, 4, CONURE_REGULAR},
    {1, 8, 2, {70, 10}, {0, 64}, {0, 60}, {2, 0}, 20, -1, CONURE_REGULAR},
    {1, 8, 2, {70, 10}, {3, 64}, {1, 60}, {2, 0}, -1, 0, CONURE_REGULAR},
    {1, 8, 3, {100, 14, 9}, {0, 70, 70}, {0, 30, 70}, {5, 0, 9}, 70, 13, CONURE_CHUNKED_LIMITED},
    {1, 8, 2, {50, 6}, {0, 12}, {0, 0}, {0, 0}, -1, 5, CONURE_CHUNKED_LIMITED},
    {1, 8, 1, {50}, {0}, {0}, {0}, 7, -1, CONURE_CHUNKED_LIMITED},
    {1, 8, 1, {40}, {20}, {45}, {2}, 3, 3, CONURE_REGULAR}, /* queries before the first valid key */
    {1, 8, 2, {9, 9}, {20, 0}, {29, 0}, {0, 9}, -1, -1, CONURE_REGULAR}, /* no valid key at all */
    {2, 128, 2, {75, 66}, {0, 0}, {0, 0}, {1, 0}, -1, -1, CONURE_REGULAR},
};

static void random_shapes(uint32_t features, uint32_t n_threads, const char *isa)
{
    cpu_fixture fixture;
    fixture_open(&fixture, features, n_threads);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int mask = CONURE_MASK_NEMO; mask <= CONURE_MASK_EXACT; mask++) {
            char what[64];
            problem p;
            uint64_t seed = 77 + i;
            snprintf(what, sizeof what, "%s, shape %zu, mask %d", isa, i, mask);
            problem_make(&p, &shapes[i], (conure_mask)mask, 1.0f, &seed);
            test_int(conure_cpu_attention(&fixture.cpu, &p.a, NULL), CONURE_OK);
            check(&p, what);
            problem_free(&p);
        }
    fixture_close(&fixture);
}

/* A batch gives what single runs give, bit by bit, on any number of threads. */
static void batch_is_single(uint32_t features)
{
    static const shape s = {2,
                            24,
                            4,
                            {75, 3, 33, 64},
                            {0, 30, 16, 0},
                            {0, 7, 0, 0},
                            {1, 0, 0, 4},
                            40,
                            20,
                            CONURE_REGULAR};
    uint64_t seed = 5;
    problem p;
    problem_make(&p, &s, CONURE_MASK_NEMO, 1.0f, &seed);
    matrix first = matrix_new(p.dst.rows.rows, p.dst.rows.cols);
    for (uint32_t n_threads = 1; n_threads <= 3; n_threads++) {
        cpu_fixture fixture;
        fixture_open(&fixture, features, n_threads);
        p.a.dst = n_threads == 1 ? first.rows : p.dst.rows;
        test_int(conure_cpu_attention(&fixture.cpu, &p.a, NULL), CONURE_OK);
        if (n_threads > 1)
            test_true(same_bits(&first, &p.dst));
        fixture_close(&fixture);
    }
    cpu_fixture fixture;
    fixture_open(&fixture, features, 2);
    for (size_t i = 0; i < matrix_floats(&p.dst); i++)
        p.dst.block[i] = GUARD;
    for (uint32_t i = 0; i < s.n_spans; i++) {
        conure_attention one = p.a;
        one.spans = &p.spans[i];
        one.n_spans = 1;
        test_int(conure_cpu_attention(&fixture.cpu, &one, NULL), CONURE_OK);
    }
    test_true(same_bits(&first, &p.dst));
    fixture_close(&fixture);
    matrix_free(&first);
    problem_free(&p);
}

/* More than is packed at once: n utterances give what each gives alone. */
static void waves(uint32_t features, uint32_t n, uint32_t n_rows, uint32_t n_heads,
                  uint32_t head_dim)
{
    const uint32_t cols = n_heads * head_dim;
    uint64_t seed = 8;
    matrix q = matrix_random(n * n_rows, cols, -1, 1, &seed);
    matrix k = matrix_random(n * n_rows, cols, -1, 1, &seed);
    matrix pos = matrix_random(2 * n_rows - 1, cols, -1, 1, &seed);
    matrix all = matrix_new(n * n_rows, cols), one = matrix_new(n * n_rows, cols);
    conure_span *spans = calloc(n, sizeof *spans);
    cpu_fixture fixture;
    fixture_open(&fixture, features, 2);
    for (uint32_t i = 0; spans && i < n; i++)
        spans[i] = (conure_span){.first_row = i * n_rows,
                                 .n_rows = n_rows,
                                 .kv_row = i * n_rows,
                                 .key_end = n_rows - i % 2};
    conure_attention a = {n_heads,
                          head_dim,
                          q.rows,
                          k.rows,
                          q.rows,
                          all.rows,
                          pos.rows.data,
                          pos.rows.data + pos.rows.stride,
                          pos.rows,
                          (int32_t)n_rows - 1,
                          spans,
                          n,
                          -1,
                          -1,
                          CONURE_REGULAR,
                          CONURE_MASK_NEMO};
    test_int(conure_cpu_attention(&fixture.cpu, &a, NULL), CONURE_OK);
    a.dst = one.rows;
    a.n_spans = 1;
    for (uint32_t i = 0; i < n; i++) {
        a.spans = &spans[i];
        test_int(conure_cpu_attention(&fixture.cpu, &a, NULL), CONURE_OK);
    }
    test_true(same_bits(&all, &one) && guards_whole(&all) && at(&all, 0, 0) != GUARD);
    fixture_close(&fixture);
    free(spans);
    matrix_free(&q);
    matrix_free(&k);
    matrix_free(&pos);
    matrix_free(&all);
    matrix_free(&one);
}

/* Scores far beyond what exp can hold.  All inputs are small integers times powers of two and
 * head_dim is 16, so every product and sum is exact in float32, and the weights must be too. */
static void hostile_scores(uint32_t features, const char *isa)
{
    static const float sizes[] = {64, 256, 1024, 8192}; /* scores to about 3e4, 5e5, 8e6, 5e8 */
    static const shape s = {2, 16, 2, {37, 20}, {0, 5}, {0, 2}, {1, 0}, -1, -1, CONURE_REGULAR};
    cpu_fixture fixture;
    fixture_open(&fixture, features, 2);
    for (size_t n = 0; n < 4; n++)
        for (int mask = CONURE_MASK_NEMO; mask <= CONURE_MASK_EXACT; mask++)
            for (int side = 0; side < 2; side++) {
                uint64_t seed = 11 + n;
                problem p;
                problem_make(&p, &s, (conure_mask)mask, 1.0f, &seed);
                for (size_t i = 0; i < matrix_floats(&p.q); i++)
                    p.q.block[i] = sizes[n] * (float)(int)test_uniform(&seed, side ? 0 : -4, 4);
                for (size_t i = 0; i < matrix_floats(&p.k); i++)
                    p.k.block[i] = sizes[n] * (float)(int)test_uniform(&seed, -4, side ? 1 : 4);
                for (size_t i = 0; i < matrix_floats(&p.pos); i++)
                    p.pos.block[i] = sizes[n] * (float)(int)test_uniform(&seed, -4, side ? 1 : 4);
                memset(p.bias_u, 0, 4 * 16 * sizeof *p.bias_u);
                test_int(conure_cpu_attention(&fixture.cpu, &p.a, NULL), CONURE_OK);
                long bad = 0;
                for (uint32_t i = 0; i < s.n_spans; i++)
                    for (uint32_t row = 0; row < s.n_rows[i]; row++)
                        for (uint32_t h = 0; h < s.n_heads; h++) {
                            double want[16], unused;
                            reference_row(&p.a, &p.spans[i], h, row, want, &unused);
                            for (uint32_t d = 0; d < 16; d++)
                                bad += !(fabs(at(&p.dst, p.spans[i].first_row + row, h * 16 + d) -
                                              want[d]) <= 50 * FLT_EPSILON * 2);
                        }
                if (bad)
                    fprintf(stderr, "%s, size %g, mask %d\n", isa, sizes[n], mask);
                test_int(bad, 0);
                problem_free(&p);
            }
    fixture_close(&fixture);
}

/* Infinities and NaN spread as they like, but only to rows of their own utterance, and every row is
 * written. */
static void not_finite(uint32_t features)
{
    static const shape s = {1, 16, 2, {20, 20}, {0, 0}, {0, 0}, {1, 1}, -1, -1, CONURE_REGULAR};
    static const float values[] = {INFINITY, -INFINITY, NAN, FLT_MAX};
    cpu_fixture fixture;
    fixture_open(&fixture, features, 2);
    for (size_t n = 0; n < 4; n++)
        for (int where = 0; where < 3; where++) {
            uint64_t seed = 3;
            problem p;
            problem_make(&p, &s, CONURE_MASK_NEMO, 1.0f, &seed);
            conure_rows m = where == 0 ? p.q.rows : where == 1 ? p.k.rows : p.v.rows;
            m.data[(where ? 2 + 5 : 1 + 5) * m.stride + 3] = values[n];
            test_int(conure_cpu_attention(&fixture.cpu, &p.a, NULL), CONURE_OK);
            p.a.spans = &p.spans[1];
            p.a.n_spans = 1;
            check(&p, "the finite utterance");
            p.a.spans = p.spans;
            for (uint32_t row = 0; row < 20; row++)
                test_true(at(&p.dst, 1 + row, 15) != GUARD);
            problem_free(&p);
        }
    fixture_close(&fixture);
}

/* The worked example of spec 3.3: width 2, identity projections, e(r) = (sin r, cos r). */
static void worked_example(uint32_t features)
{
    static const float x[8] = {0, 0, 1, 0, 0, 1, 1, 1}, u[2] = {0.1f, 0}, w[2] = {0, 0.2f};
    static const float want[2][6] = {{0.8576f, 0.4004f, 0.5204f, 0.8282f, 0.6945f, 0.8472f},
                                     {0.8081f, 0.1919f, 0.2638f, 0.7362f, 0.3334f, 0.6666f}};
    float pos[14], dst[6];
    for (int i = 0; i < 7; i++) {
        pos[2 * i] = sinf(3.0f - (float)i);
        pos[2 * i + 1] = cosf(3.0f - (float)i);
    }
    cpu_fixture fixture;
    fixture_open(&fixture, features, 1);
    conure_span span = {.n_rows = 3, .key_end = 3};
    const conure_rows rows = {(float *)x + 2, 2, 3, 2}, out = {dst, 2, 3, 2};
    conure_attention a = {1,
                          2,
                          rows,
                          rows,
                          rows,
                          out,
                          u,
                          w,
                          {pos, 2, 7, 2},
                          3,
                          &span,
                          1,
                          -1,
                          -1,
                          CONURE_REGULAR,
                          CONURE_MASK_EXACT};
    test_int(conure_cpu_attention(&fixture.cpu, &a, NULL), CONURE_OK);
    for (int i = 0; i < 6; i++)
        test_near(dst[i], want[0][i], 6e-5); /* the figures have four digits */
    /* Key 2 masked for everybody: as a context of no future frame would for query 1. */
    span.key_end = 2;
    test_int(conure_cpu_attention(&fixture.cpu, &a, NULL), CONURE_OK);
    for (int i = 0; i < 4; i++)
        test_near(dst[i], want[1][i], 6e-5);
    test_true(dst[4] == 0 && dst[5] == 0); /* a query that is not valid itself */
    /* Two cached rows, the first not valid; queries are rows 1 and 2. */
    const conure_rows all = {(float *)x, 2, 4, 2}, last = {(float *)x + 4, 2, 2, 2};
    span = (conure_span){.n_rows = 2, .n_past = 2, .key_first = 1, .key_end = 4};
    a.q = last;
    a.k = a.v = all;
    a.dst.rows = 2;
    test_int(conure_cpu_attention(&fixture.cpu, &a, NULL), CONURE_OK);
    for (int i = 0; i < 4; i++)
        test_near(dst[i], want[0][2 + i], 6e-5);
    fixture_close(&fixture);
}

/* With every allowed score far below -10000, NeMo's masked keys win and the head gives zero; the
 * exact mask gives the values.  Without a masked key both agree. */
static void masks_differ(uint32_t features)
{
    static const shape s = {1, 16, 1, {12}, {0}, {0}, {1}, -1, -1, CONURE_REGULAR};
    cpu_fixture fixture;
    fixture_open(&fixture, features, 1);
    for (uint32_t masked = 0; masked < 2; masked++) {
        uint64_t seed = 9;
        problem p;
        problem_make(&p, &s, CONURE_MASK_NEMO, 0.0f, &seed);
        p.spans[0].key_end = 12 - masked;
        for (size_t i = 0; i < matrix_floats(&p.q); i++)
            p.q.block[i] = 100;
        for (size_t i = 0; i < matrix_floats(&p.k); i++)
            p.k.block[i] = -100; /* scores -40000 + small */
        test_int(conure_cpu_attention(&fixture.cpu, &p.a, NULL), CONURE_OK);
        for (uint32_t d = 0; d < 16; d++)
            test_true((at(&p.dst, 1, d) == 0) == (masked == 1));
        p.a.mask = CONURE_MASK_EXACT;
        test_int(conure_cpu_attention(&fixture.cpu, &p.a, NULL), CONURE_OK);
        for (uint32_t d = 0; d < 16; d++)
            test_true(at(&p.dst, 1, d) != 0 || at(&p.v, 2, d) == 0);
        problem_free(&p);
    }
    fixture_close(&fixture);
}

int main(void)
{
    test_begin("attention");
    for (size_t i = 0; i < N_ISA; i++) {
        uint32_t features;
        if (!isa_features(&features, i))
            continue;
        random_shapes(features, 1 + (uint32_t)i, isa_names[i]);
        batch_is_single(features);
        hostile_scores(features, isa_names[i]);
        not_finite(features);
        worked_example(features);
        masks_differ(features);
        waves(features, 70, 3, 4, 8);        /* by count: 280 heads */
        if (features & CONURE_CPU_AVX2)      /* a second's work without vectors */
            waves(features, 3, 400, 8, 128); /* by size: 20 MB of panels */
    }
    return test_end();
}
