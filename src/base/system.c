/* system.c - what the machine has to spare: /proc/meminfo, and the limits of this process's cgroups.
 * And the monotonic clock. */
#include "base/system.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const uint64_t LEAST = 64u << 20;

/* The first number of a one-line file; UINT64_MAX when it cannot be read or says "max". */
static uint64_t read_number(const char *path)
{
    uint64_t value = UINT64_MAX;
    FILE *file = fopen(path, "re");
    if (!file)
        return UINT64_MAX;
    if (fscanf(file, "%" SCNu64, &value) != 1)
        value = UINT64_MAX;
    fclose(file);
    return value;
}

static uint64_t meminfo_available(void)
{
    char line[256];
    uint64_t kilobytes = 0;
    FILE *file = fopen("/proc/meminfo", "re");
    if (!file)
        return UINT64_MAX;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %" SCNu64, &kilobytes) == 1)
            break;
    fclose(file);
    return kilobytes ? kilobytes * 1024 : UINT64_MAX;
}

/* The number after a word at the beginning of a line of a file; 0 when it is not there. */
static uint64_t read_field(const char *path, const char *word)
{
    char line[256];
    uint64_t value = 0;
    const size_t n = strlen(word);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, word, n) == 0 && sscanf(line + n, " %" SCNu64, &value) == 1)
            break;
    if (file)
        fclose(file);
    return value;
}

/* What the control group of a folder leaves: its limit less its use, where pages of files (a mapped model,
 * for one) do not count, as the kernel drops them first. */
static uint64_t group_left(const char *folder, const char *limit, const char *used, const char *prefix)
{
    char path[1400], active[64], inactive[64];
    snprintf(path, sizeof path, "%s/%s", folder, limit);
    const uint64_t most = read_number(path);
    snprintf(path, sizeof path, "%s/%s", folder, used);
    const uint64_t use = read_number(path);
    if (most == UINT64_MAX || use == UINT64_MAX)
        return UINT64_MAX;
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    snprintf(active, sizeof active, "%sactive_file ", prefix);
    snprintf(inactive, sizeof inactive, "%sinactive_file ", prefix);
    const uint64_t files = read_field(path, active) + read_field(path, inactive);
    const uint64_t held = use > files ? use - files : 0;
    return most > held ? most - held : 0;
}

/* The least that a version 2 group and those above it leave. */
static uint64_t groups_left(const char *membership)
{
    char folder[1200];
    uint64_t least = UINT64_MAX;
    const int n = snprintf(folder, sizeof folder, "/sys/fs/cgroup%s", membership);
    const size_t root = strlen("/sys/fs/cgroup");
    for (size_t end = n > 0 && (size_t)n < sizeof folder ? (size_t)n : root; end >= root;) {
        folder[end] = 0;
        const uint64_t left = group_left(folder, "memory.max", "memory.current", "");
        least = left < least ? left : least;
        if (end == root)
            break;
        while (end > root && folder[--end] != '/')
            ;
    }
    return least;
}

uint64_t conure_memory_free(void)
{
    uint64_t least = meminfo_available();
    char line[1024];
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "0::", 3) != 0)
            continue;
        const uint64_t left = groups_left(line + 3);
        least = left < least ? left : least;
    }
    if (file)
        fclose(file);
    const uint64_t v1 = group_left("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_");
    least = v1 < least ? v1 : least;
    return least == UINT64_MAX || least < LEAST ? LEAST : least;
}

double conure_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
