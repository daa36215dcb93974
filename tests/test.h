/* test.h - checks that print both sides, survive release builds and count.
 *
 *     int main(void) { test_begin("mel"); test_int(1 + 1, 2); return test_end(); }
 *
 * test_end() prints the count and returns the exit status: 0, or 1 when a check failed or none ran.
 * A test that cannot run here says why: return test_skip("no ../shared"), status 77. */
#ifndef CONURE_TEST_H
#define CONURE_TEST_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *test_name_;
static long test_checks_, test_failures_;

static inline void test_begin(const char *name)
{
    test_name_ = name;
    test_checks_ = test_failures_ = 0;
}

/* From any thread. */
static inline bool test_report_(bool ok, const char *file, int line)
{
    __atomic_add_fetch(&test_checks_, 1, __ATOMIC_RELAXED);
    const long n = ok ? 0 : __atomic_add_fetch(&test_failures_, 1, __ATOMIC_RELAXED);
    if (n > 0 && n <= 50)
        fprintf(stderr, "%s:%d: ", file, line);
    return ok || n > 50;
}

#define test_true(x)                                                   \
    do {                                                               \
        if (!test_report_((x), __FILE__, __LINE__))                    \
            fprintf(stderr, "not true: %s\n", #x);                     \
    } while (0)

#define test_int(got, want)                                                                     \
    do {                                                                                        \
        const long long got_ = (long long)(got), want_ = (long long)(want);                     \
        if (!test_report_(got_ == want_, __FILE__, __LINE__))                                   \
            fprintf(stderr, "%s is %lld, expected %lld (%s)\n", #got, got_, want_, #want);      \
    } while (0)

#define test_near(got, want, tolerance)                                                         \
    do {                                                                                        \
        const double got_ = (double)(got), want_ = (double)(want), tol_ = (double)(tolerance);  \
        if (!test_report_(fabs(got_ - want_) <= tol_, __FILE__, __LINE__))                      \
            fprintf(stderr, "%s is %.9g, expected %.9g +- %.3g\n", #got, got_, want_, tol_);    \
    } while (0)

#define test_text(got, want)                                                                    \
    do {                                                                                        \
        const char *got_ = (got), *want_ = (want);                                              \
        if (!test_report_(got_ && want_ && strcmp(got_, want_) == 0, __FILE__, __LINE__))       \
            fprintf(stderr, "%s is \"%s\", expected \"%s\"\n", #got, got_ ? got_ : "(null)",    \
                    want_ ? want_ : "(null)");                                                  \
    } while (0)

#define test_contains(got, part)                                                                \
    do {                                                                                        \
        const char *got_ = (got), *part_ = (part);                                              \
        if (!test_report_(got_ && strstr(got_, part_), __FILE__, __LINE__))                     \
            fprintf(stderr, "%s is \"%s\", expected it to contain \"%s\"\n", #got,              \
                    got_ ? got_ : "(null)", part_);                                             \
    } while (0)

static inline int test_end(void)
{
    fprintf(stderr, "%s: %ld checks, %ld failed\n", test_name_, test_checks_, test_failures_);
    return test_failures_ || !test_checks_;
}

static inline int test_skip(const char *why)
{
    fprintf(stderr, "%s: skipped: %s\n", test_name_ ? test_name_ : "test", why);
    return 77;
}

/* xorshift64*: the same numbers everywhere.  A failing random test prints its seed. */
static inline uint64_t test_random(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 2685821657736338717ull;
}

static inline float test_uniform(uint64_t *seed, float low, float high)
{
    return low + (high - low) * (float)(test_random(seed) >> 40) / 16777216.0f;
}

#endif
