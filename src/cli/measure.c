/* measure.c - see measure.h. */
#include "cli/measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/files.h"

const char *conure_program_commit(void)
{
    return CONURE_COMMIT;
}

const char *conure_program_build(void)
{
    return CONURE_BUILD;
}

uint64_t conure_rss_peak_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

double conure_process_age_s(void)
{
    char *text = NULL;
    const char *at;
    size_t bytes;
    unsigned long long start = 0;
    struct timespec now;
    const long ticks = sysconf(_SC_CLK_TCK);
    double age_s = -1;
    if (ticks <= 0 || clock_gettime(CLOCK_BOOTTIME, &now) != 0 ||
        conure_file_read(&text, &bytes, "/proc/self/stat", 8192, NULL) != CONURE_OK)
        return -1;
    /* Field 22; fields are counted from behind the name, which may hold spaces and brackets. */
    at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (at && sscanf(at, " %llu", &start) == 1)
        age_s = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec - (double)start / (double)ticks;
    free(text);
    return age_s;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double rank(const double *sorted, uint32_t n, double share)
{
    uint32_t i = (uint32_t)ceil(share * n);
    return sorted[i > 0 ? i - 1 : 0];
}

void conure_stats_of(double *values, uint32_t n, conure_stats *stats)
{
    memset(stats, 0, sizeof *stats);
    if (n == 0)
        return;
    qsort(values, n, sizeof *values, ascending);
    stats->n = n;
    stats->p50 = rank(values, n, 0.50);
    stats->p95 = rank(values, n, 0.95);
    stats->p99 = rank(values, n, 0.99);
    stats->min = values[0];
    stats->max = values[n - 1];
}
