/* panels.c - element types and the panel layout, against the definitions written out plainly. */
#include "model/panels.h"

#include "base/memory.h"
#include "model/blocks.h"
#include "test.h"

static const conure_dtype types[] = {CONURE_F32, CONURE_F16, CONURE_BF16, CONURE_I8};

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* The value of a half by its definition, in double. */
static double half_value(uint16_t half)
{
    const int exponent = half >> 10 & 31, fraction = half & 1023;
    const double magnitude =
        exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return half & 0x8000 ? -magnitude : magnitude;
}

static void test_f16(void)
{
    long wrong = 0;
    for (uint32_t half = 0; half < 65536; half++) {
        const float wide = conure_f16_to_f32((uint16_t)half);
        const uint16_t back = conure_f32_to_f16(wide);
        if ((half & 0x7fff) > 0x7c00)
            wrong += !isnan(wide) || (back & 0x7fff) <= 0x7c00;
        else if ((half & 0x7fff) == 0x7c00)
            wrong += !isinf(wide) || back != half;
        else
            wrong += (double)wide != half_value((uint16_t)half) || back != half ||
                     !signbit(wide) != !(half & 0x8000);
    }
    test_int(wrong, 0);

    /* Halfway between neighbours: to the even one; a little to either side: to the nearer one. */
    for (uint32_t half = 0; half < 0x7bff; half++) {
        const double low = half_value((uint16_t)half), high = half_value((uint16_t)(half + 1));
        const float middle = (float)((low + high) / 2); /* exact: one bit more than a half has */
        wrong += conure_f32_to_f16(middle) != half + (half & 1);
        wrong += conure_f32_to_f16(nextafterf(middle, 0)) != half;
        wrong += conure_f32_to_f16(nextafterf(middle, 1e9f)) != half + 1;
        wrong += conure_f32_to_f16(-middle) != ((half + (half & 1)) | 0x8000);
    }
    test_int(wrong, 0);
    test_int(conure_f32_to_f16(65504.0f), 0x7bff);
    test_int(conure_f32_to_f16(nextafterf(65520.0f, 0)), 0x7bff);
    test_int(conure_f32_to_f16(65520.0f), 0x7c00);
    test_int(conure_f32_to_f16(3e38f), 0x7c00);
    test_int(conure_f32_to_f16(-INFINITY), 0xfc00);
    test_int(conure_f32_to_f16(1e-30f), 0);
    test_int(conure_f32_to_f16(-1e-30f), 0x8000);
}

static void test_bf16(void)
{
    long wrong = 0;
    for (uint32_t half = 0; half < 65536; half++) {
        const float wide = conure_bf16_to_f32((uint16_t)half);
        const uint16_t back = conure_f32_to_bf16(wide);
        wrong += bits_of(wide) != half << 16;
        wrong += isnan(wide) ? !isnan(conure_bf16_to_f32(back)) : back != half;
        if ((half & 0x7fff) < 0x7f80) { /* the float in the middle, and the two beside it */
            float middle;
            const uint32_t bits = half << 16 | 0x8000;
            memcpy(&middle, &bits, sizeof middle);
            wrong += conure_f32_to_bf16(middle) != half + (half & 1);
            wrong += conure_f32_to_bf16(nextafterf(middle, 0)) != half;
        }
    }
    test_int(wrong, 0);
    float nan;
    const uint32_t low_nan = 0x7f800001; /* cutting its low half off would leave infinity */
    memcpy(&nan, &low_nan, sizeof nan);
    test_true(isnan(conure_bf16_to_f32(conure_f32_to_bf16(nan))));
    test_int(conure_f32_to_bf16(3.4e38f), 0x7f80);
}

static void fill(float *x, size_t n, uint64_t *seed)
{
    for (size_t i = 0; i < n; i++)
        x[i] = test_uniform(seed, -3, 3);
}

/* An element of a panel block by the comment in model.h. */
static float panel_element(conure_dtype dtype, const void *panels, size_t n, size_t k, size_t lines)
{
    const size_t g = 4 / conure_dtype_bytes(dtype);
    const size_t at = ((n / 16 * lines + k / g) * 16 + n % 16) * g + k % g;
    switch (dtype) {
    case CONURE_F32:
        return ((const float *)panels)[at];
    case CONURE_F16:
        return conure_f16_to_f32(((const uint16_t *)panels)[at]);
    case CONURE_BF16:
        return conure_bf16_to_f32(((const uint16_t *)panels)[at]);
    default:
        return ((const int8_t *)panels)[at];
    }
}

static float rounded(conure_dtype dtype, float value)
{
    return dtype == CONURE_F16    ? conure_f16_to_f32(conure_f32_to_f16(value))
           : dtype == CONURE_BF16 ? conure_bf16_to_f32(conure_f32_to_bf16(value))
                                  : value;
}

/* Every element in its place, zeros in the padding, nothing outside; and back. */
static void test_layout(conure_dtype dtype, size_t n, size_t k, uint64_t *seed)
{
    const size_t bytes = conure_panel_bytes(dtype, n, k), g = 4 / conure_dtype_bytes(dtype);
    const size_t lines = (k + g - 1) / g, panels_n = (n + 15) / 16;
    float *rows = malloc(n * k * sizeof *rows), *back = malloc(n * k * sizeof *back);
    float *scales = malloc(n * sizeof *scales);
    int32_t *sums = malloc(n * sizeof *sums);
    uint8_t *panels = conure_alloc_aligned(bytes + 64);
    test_int(bytes, panels_n * lines * 64);
    fill(rows, n * k, seed);
    memset(panels, 0xa5, bytes + 64);
    if (dtype == CONURE_I8)
        conure_panels_quantise((int8_t *)panels, scales, sums, rows, n, k);
    else
        conure_panels_pack(dtype, panels, rows, n, k);
    conure_panels_unpack(dtype, back, panels, dtype == CONURE_I8 ? scales : NULL, n, k);

    long wrong = 0, touched = 0;
    for (size_t i = 0; i < 64; i++)
        touched += panels[bytes + i] != 0xa5;
    for (size_t i = 0; i < panels_n * 16; i++) {
        long sum = 0;
        for (size_t j = 0; j < lines * g; j++) {
            const float got = panel_element(dtype, panels, i, j, lines);
            if (i >= n || j >= k)
                wrong += got != 0;
            else if (dtype == CONURE_I8)
                wrong += fabs((double)got * scales[i] - rows[i * k + j]) > 0.5000001 * scales[i] ||
                         back[i * k + j] != scales[i] * got;
            else
                wrong += got != rounded(dtype, rows[i * k + j]) || back[i * k + j] != got;
            sum += (long)got;
        }
        wrong += dtype == CONURE_I8 && i < n && sum != sums[i];
    }
    test_int(wrong, 0);
    test_int(touched, 0);

    /* Bit copies there and back. */
    const size_t elem_bytes = conure_dtype_bytes(dtype);
    uint8_t *flat = malloc(n * k * elem_bytes), *again = conure_alloc_aligned(bytes);
    conure_panels_unpack_bits(dtype, flat, panels, n, k);
    conure_panels_pack_bits(dtype, again, flat, n, k);
    test_true(memcmp(again, panels, bytes) == 0);
    free(flat);
    free(again);
    free(rows);
    free(back);
    free(scales);
    free(sums);
    free(panels);
}

static void test_quantise(void)
{
    const float rows[4 * 5] = {
        127,    -126.5f, 0.5f, 1.5f,   -2.5f, /* scale 1: ties go to the even neighbour */
        0,      0,       0,    0,      0,     /* zeros: scale 1 */
        -254,   254,     1,    -0.99f, 100,   /* scale 2 */
        1e-40f, -1e-40f, 0,    0,      0,     /* too small to scale */
    };
    const int8_t want[4][5] = {{127, -126, 0, 2, -2}, {0}, {-127, 127, 0, 0, 50}, {0}};
    const float scale[4] = {1, 1, 2, 1};
    float scales[4];
    int32_t sums[4];
    _Alignas(64) int8_t panels[128];
    int8_t back[4][5];
    conure_panels_quantise(panels, scales, sums, rows, 4, 5);
    conure_panels_unpack_bits(CONURE_I8, back, panels, 4, 5);
    for (int i = 0; i < 4; i++) {
        int32_t sum = 0;
        test_near(scales[i], scale[i], 0);
        for (int j = 0; j < 5; j++) {
            test_int(back[i][j], want[i][j]);
            sum += want[i][j];
        }
        test_int(sums[i], sum);
    }
}

/* conure_panels_from_tensor, in ranges, and conure_tensor_rows_f32 from any row, for all pairs. */
static void test_from_tensor(size_t n, size_t k, uint64_t *seed)
{
    float *rows = malloc(n * k * sizeof *rows), *got = malloc((n + 1) * k * sizeof *got);
    float *want = malloc(n * k * sizeof *want), *scratch = malloc(16 * k * sizeof *scratch);
    fill(rows, n * k, seed);
    conure_tensor whole = {.name = "w", .dtype = CONURE_F32, .rank = 2, .shape = {n, k}};
    whole.data = rows;
    for (size_t a = 0; a < 4; a++) {
        float *scales = calloc(n, sizeof *scales);
        int32_t *sums = calloc(n, sizeof *sums);
        conure_tensor from = whole;
        void *panels = conure_alloc_aligned(conure_panel_bytes(types[a], n, k));
        conure_panels_from_tensor(types[a], panels, scales, sums, &whole, 0, (n + 15) / 16,
                                  scratch);
        from.dtype = types[a];
        from.layout = CONURE_PANELS;
        from.data = panels;
        if (types[a] == CONURE_I8) {
            from.scales = scales;
            from.sums = sums;
        }
        test_int(conure_tensor_read_f32(&from, want, n * k, NULL), CONURE_OK);
        test_int(conure_tensor_read_f32(&from, want, n * k + 1, NULL), CONURE_BAD_ARG);
        for (size_t first = 0; first < n; first += 7)
            for (size_t count = 0; count <= n - first; count += 5) {
                memset(got, 0, n * k * sizeof *got);
                conure_tensor_rows_f32(&from, got, first, count);
                test_true(memcmp(got, want + first * k, count * k * sizeof *got) == 0);
            }
        /* The same elements as rows of the same type. */
        conure_tensor flat = from;
        void *bits = malloc(n * k * conure_dtype_bytes(types[a]));
        conure_panels_unpack_bits(types[a], bits, panels, n, k);
        flat.layout = CONURE_ROWS;
        flat.data = bits;
        test_int(conure_tensor_read_f32(&flat, got, n * k, NULL), CONURE_OK);
        test_true(memcmp(got, want, n * k * sizeof *got) == 0);
        /* To each type, panel by panel: the same from rows as from panels. */
        for (size_t b = 0; b < 4; b++) {
            const size_t one = conure_panel_bytes(types[b], 16, k);
            uint8_t *x = conure_alloc_aligned(conure_panel_bytes(types[b], n, k));
            uint8_t *y = conure_alloc_aligned(conure_panel_bytes(types[b], n, k));
            float *xs = calloc(n, sizeof *xs), *ys = calloc(n, sizeof *ys);
            int32_t *xt = calloc(n, sizeof *xt), *yt = calloc(n, sizeof *yt);
            conure_panels_from_tensor(types[b], x, xs, xt, &flat, 0, (n + 15) / 16, scratch);
            for (size_t p = 0; p < (n + 15) / 16; p++)
                conure_panels_from_tensor(types[b], y + p * one, ys + 16 * p, yt + 16 * p, &from, p,
                                          1, scratch);
            test_true(memcmp(x, y, conure_panel_bytes(types[b], n, k)) == 0);
            test_true(memcmp(xs, ys, n * sizeof *xs) == 0 && memcmp(xt, yt, n * sizeof *xt) == 0);
            if (types[b] == types[a]) {
                test_true(memcmp(x, panels, conure_panel_bytes(types[b], n, k)) == 0);
                test_true(memcmp(xs, scales, n * sizeof *xs) == 0 || types[a] != CONURE_I8);
            }
            free(x);
            free(y);
            free(xs);
            free(ys);
            free(xt);
            free(yt);
        }
        free(bits);
        free(panels);
        free(scales);
        free(sums);
    }
    free(rows);
    free(got);
    free(want);
    free(scratch);
}

static void test_blocks(void)
{
    void *arena = NULL;
    for (size_t bytes = 0; bytes < 200; bytes += 33) {
        unsigned char *block = conure_block_alloc(&arena, bytes);
        test_true(block && (uintptr_t)block % 64 == 0);
        for (size_t i = 0; i < bytes; i++)
            test_int(block[i], 0);
        memset(block, 1, bytes);
    }
    test_text(conure_block_text(&arena, "abcdef", 3), "abc");
    test_true(conure_block_alloc(&arena, SIZE_MAX) == NULL);
    conure_blocks_free(&arena);
    test_true(arena == NULL);
    conure_blocks_free(&arena);
    conure_blocks_free(NULL);
}

int main(void)
{
    static const size_t ns[] = {1, 15, 16, 17, 40}, ks[] = {1, 2, 3, 4, 5, 31, 64};
    uint64_t seed = 20261123;
    test_begin("model.panels");
    test_f16();
    test_bf16();
    for (size_t t = 0; t < 4; t++)
        for (size_t i = 0; i < sizeof ns / sizeof *ns; i++)
            for (size_t j = 0; j < sizeof ks / sizeof *ks; j++)
                test_layout(types[t], ns[i], ks[j], &seed);
    test_int(conure_panel_bytes(CONURE_F32, SIZE_MAX / 8, 64), 0);
    test_int(conure_panel_bytes(CONURE_I64, 16, 4), 0);
    test_quantise();
    test_from_tensor(40, 13, &seed);
    test_from_tensor(33, 8, &seed);
    test_blocks();
    return test_end();
}
