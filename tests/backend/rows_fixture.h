/* rows_fixture.h - what the tests of row operations share: every instruction set that runs here, a
 * CPU instance without the rest of the backend, matrices with guards around them. */
#ifndef CONURE_TEST_ROWS_FIXTURE_H
#define CONURE_TEST_ROWS_FIXTURE_H

#include <float.h>

#include "backend/cpu/cpu.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/rows.h"
#include "test.h"

static const char *const isa_names[] = {"c", "avx2", "avx512"};
enum { N_ISA = 3 };

/* Features of level i of isa_names; false when this machine does not have it. */
static inline bool isa_features(uint32_t *features, size_t i)
{
    return conure_cpu_features(features, isa_names[i], NULL) == CONURE_OK;
}

typedef struct cpu_fixture {
    conure_cpu cpu;
    conure_kernels kernels;
} cpu_fixture;

static inline void fixture_open(cpu_fixture *fixture, uint32_t features, uint32_t n_threads)
{
    memset(fixture, 0, sizeof *fixture);
    if (conure_pool_open(&fixture->cpu.pool, n_threads, NULL) != CONURE_OK ||
        !conure_arena_init(&fixture->cpu.scratch, 64))
        abort();
    conure_kernels_choose(&fixture->kernels, features);
    fixture->cpu.features = features;
    fixture->cpu.precision = CONURE_PRECISION_F32;
    fixture->cpu.kernels = &fixture->kernels;
}

static inline void fixture_close(cpu_fixture *fixture)
{
    conure_pool_close(&fixture->cpu.pool);
    conure_arena_free(&fixture->cpu.scratch);
}

/* A value no test computes; what holds it was not written. */
#define GUARD (-12345.678f)
enum { GUARD_ROWS = 2, GUARD_COLS = 3 };

/* rows x cols within a block of guards: rows before and behind, columns between. */
typedef struct matrix {
    float *block;
    conure_rows rows;
} matrix;

static inline size_t matrix_floats(const matrix *m)
{
    return (m->rows.rows + 2 * (size_t)GUARD_ROWS) * m->rows.stride;
}

static inline matrix matrix_new(uint32_t rows, uint32_t cols)
{
    matrix m = {.rows = {.stride = cols + GUARD_COLS, .rows = rows, .cols = cols}};
    m.block = malloc((matrix_floats(&m) + 1) * sizeof *m.block);
    if (!m.block)
        abort();
    for (size_t i = 0; i < matrix_floats(&m); i++)
        m.block[i] = GUARD;
    m.rows.data = m.block + GUARD_ROWS * m.rows.stride;
    return m;
}

static inline matrix matrix_random(uint32_t rows, uint32_t cols, float low, float high,
                                   uint64_t *seed)
{
    matrix m = matrix_new(rows, cols);
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < cols; c++)
            m.rows.data[r * m.rows.stride + c] = test_uniform(seed, low, high);
    return m;
}

static inline void matrix_free(matrix *m)
{
    free(m->block);
    m->block = NULL;
}

static inline float at(const matrix *m, size_t row, size_t col)
{
    return m->rows.data[row * m->rows.stride + col];
}

/* True when nothing outside the matrix was written. */
static inline bool guards_whole(const matrix *m)
{
    for (size_t i = 0; i < matrix_floats(m); i++) {
        const size_t row = i / m->rows.stride, col = i % m->rows.stride;
        const bool inside =
            row >= GUARD_ROWS && row < m->rows.rows + GUARD_ROWS && col < m->rows.cols;
        if (!inside && m->block[i] != GUARD)
            return false;
    }
    return true;
}

static inline bool same_bits(const matrix *a, const matrix *b)
{
    return a->rows.rows == b->rows.rows && a->rows.cols == b->rows.cols &&
           memcmp(a->block, b->block, matrix_floats(a) * sizeof *a->block) == 0;
}

#endif
