/* processors.c - how many processors this process may keep busy: its affinity mask, cut to the CPU
 * quota of its control groups (a container with "--cpus 2" still sees every processor). */
#include "base/processors.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/threads.h"

enum { PATH_CAP = 4096 };

static bool read_line(const char *path, char *line, int cap)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    const bool got = fgets(line, cap, file) != NULL;
    fclose(file);
    return got;
}

/* One group's own limit; 0: none, or no such group here. */
static uint32_t group_quota(const char *folder, bool v2)
{
    char path[PATH_CAP + 32], line[128];
    long long quota_us = -1, period_us = 0;
    snprintf(path, sizeof path, "%s/%s", folder, v2 ? "cpu.max" : "cpu.cfs_quota_us");
    if (!read_line(path, line, sizeof line))
        return 0;
    if (v2) { /* "max 100000" or "150000 100000" */
        if (sscanf(line, "%lld %lld", &quota_us, &period_us) != 2)
            return 0;
    } else { /* -1: none */
        if (sscanf(line, "%lld", &quota_us) != 1)
            return 0;
        snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
        if (!read_line(path, line, sizeof line) || sscanf(line, "%lld", &period_us) != 1)
            return 0;
    }
    if (quota_us <= 0 || period_us <= 0)
        return 0;
    const long long n = quota_us / period_us + (quota_us % period_us != 0);
    return n < UINT32_MAX ? (uint32_t)n : 0;
}

/* The smallest limit from the group up to the root: each binds those below it.  In a container the
 * group's path is often that of the host and not to be seen; then the root says it. */
static uint32_t lineage_quota(const char *root, const char *controller, const char *group, bool v2)
{
    char folder[PATH_CAP];
    uint32_t least = 0;
    const int n = snprintf(folder, sizeof folder, "%s%s%s", root, controller, group);
    const size_t top = strlen(root) + strlen(controller);
    if (n < 0 || (size_t)n >= sizeof folder)
        return 0;
    for (;;) {
        const uint32_t quota = group_quota(folder, v2);
        if (quota && (!least || quota < least))
            least = quota;
        char *slash = strrchr(folder, '/');
        if (strlen(folder) <= top || !slash || (size_t)(slash - folder) < top)
            return least;
        *slash = '\0';
    }
}

/* True when `list` (comma-separated) names the controller cpu. */
static bool lists_cpu(const char *list)
{
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, "cpu", 3) == 0 && (at[3] == '\0' || at[3] == ','))
            return true;
    return false;
}

uint32_t conure_processors_quota(const char *memberships, const char *root)
{
    char line[PATH_CAP];
    uint32_t least = 0;
    FILE *file = fopen(memberships, "re");
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file)) { /* "ID:CONTROLLERS:/GROUP", version 2 is "0::/GROUP" */
        char *list = strchr(line, ':');
        char *group = list ? strchr(list + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = '\0';
        list++;
        group[strcspn(group, "\n")] = '\0';
        const bool v2 = *list == '\0';
        if (!v2 && !lists_cpu(list))
            continue;
        const uint32_t quota = lineage_quota(root, v2 ? "" : "/cpu", group, v2);
        if (quota && (!least || quota < least))
            least = quota;
    }
    fclose(file);
    return least;
}

static uint32_t affinity_count(void)
{
    for (size_t n = 1024; n <= 1u << 20;
         n *= 4) { /* the kernel's mask may be wider than cpu_set_t */
        cpu_set_t *set = CPU_ALLOC(n);
        if (!set)
            return 1;
        const size_t bytes = CPU_ALLOC_SIZE(n);
        const int rc = sched_getaffinity(0, bytes, set);
        const int why = errno;
        const int count = rc == 0 ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (rc == 0)
            return count > 0 ? (uint32_t)count : 1;
        if (why != EINVAL)
            return 1;
    }
    return 1;
}

uint32_t conure_processors(void)
{
    const uint32_t allowed = affinity_count();
    const uint32_t quota = conure_processors_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    return quota && quota < allowed ? quota : allowed;
}

uint32_t conure_threads_or_all(uint32_t asked)
{
    const uint32_t processors = asked ? 0 : conure_processors();
    return asked ? asked : processors < CONURE_THREADS_MAX ? processors : CONURE_THREADS_MAX;
}
