/* system.c - what the machine has to spare: /proc/meminfo, and the limits of this process's cgroups. */
#include "base/system.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

/* What a cgroup folder leaves: its limit less its use. */
static uint64_t cgroup_left(const char *limit_path, const char *used_path)
{
    const uint64_t limit = read_number(limit_path), used = read_number(used_path);
    if (limit == UINT64_MAX || used == UINT64_MAX)
        return UINT64_MAX;
    return limit > used ? limit - used : 0;
}

uint64_t conure_memory_free(void)
{
    uint64_t least = meminfo_available();
    char line[1024];
    /* Version 2: "0::/path"; inside a container the path is usually "/", so look at both. */
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && fgets(line, sizeof line, file)) {
        char limit[1200], used[1200];
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "0::", 3) != 0)
            continue;
        snprintf(limit, sizeof limit, "/sys/fs/cgroup%s/memory.max", line + 3);
        snprintf(used, sizeof used, "/sys/fs/cgroup%s/memory.current", line + 3);
        const uint64_t left = cgroup_left(limit, used);
        least = left < least ? left : least;
    }
    if (file)
        fclose(file);
    const uint64_t whole = cgroup_left("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current");
    const uint64_t v1 = cgroup_left("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes");
    least = whole < least ? whole : least;
    least = v1 < least ? v1 : least;
    return least == UINT64_MAX || least < LEAST ? LEAST : least;
}
