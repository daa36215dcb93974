/* How many processors: affinity, and the quotas of both versions of control groups. */
#include "base/processors.h"

#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/threads.h"
#include "test.h"

static char root[64];

/* Write ROOT/path, making its folders. */
static void put(const char *path, const char *text)
{
    char name[256];
    snprintf(name, sizeof name, "%s/%s", root, path);
    for (char *slash = name + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(name, 0777);
        *slash = '/';
    }
    FILE *file = fopen(name, "w");
    test_true(file && fputs(text, file) >= 0);
    if (file)
        fclose(file);
}

static uint32_t quota(const char *memberships)
{
    char path[256];
    put("self", memberships);
    snprintf(path, sizeof path, "%s/self", root);
    return conure_processors_quota(path, root);
}

static void remove_all(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    test_int(system(command), 0);
}

static void test_quotas(void)
{
    snprintf(root, sizeof root, "conure-cgroup-XXXXXX");
    test_true(mkdtemp(root) != NULL);
    test_int(conure_processors_quota("no/such/file", root), 0);
    test_int(quota(""), 0);
    test_int(quota("rubbish\n::\n"), 0);
    /* version 2 */
    test_int(quota("0::/a/b\n"), 0);
    put("a/b/cpu.max", "max 100000\n");
    test_int(quota("0::/a/b\n"), 0);
    put("a/cpu.max", "350000 100000\n");
    test_int(quota("0::/a/b\n"), 4); /* the parent's, rounded up */
    put("a/b/cpu.max", "50000 100000\n");
    test_int(quota("0::/a/b\n"), 1);
    put("cpu.max", "200000 100000\n");
    test_int(quota("0::/not/seen/here\n"), 2);
    test_int(quota("0::/\n"), 2);
    put("cpu.max", "-5 0\n");
    test_int(quota("0::/\n"), 0);
    /* version 1 */
    put("cpu/x/cpu.cfs_quota_us", "250000\n");
    put("cpu/x/cpu.cfs_period_us", "100000\n");
    put("cpu/cpu.cfs_quota_us", "-1\n");
    put("cpu/cpu.cfs_period_us", "100000\n");
    test_int(quota("4:memory:/x\n3:cpuset:/x\n"), 0);
    test_int(quota("4:memory:/x\n2:cpu,cpuacct:/x\n"), 3);
    test_int(quota("2:cpuacct,cpu:/x/y\n"), 3);
    test_int(quota("2:cpu:/\n"), 0);
    test_int(quota("2:cpu:/x\n0::/a/b\n"), 1); /* the smaller of both */
    remove_all();
}

static void test_affinity(void)
{
    cpu_set_t before, one;
    const uint32_t n = conure_processors();
    test_true(n >= 1);
    if (sched_getaffinity(0, sizeof before, &before) != 0)
        return;
    test_true(n <= (uint32_t)CPU_COUNT(&before));
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &before)) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            test_int(sched_setaffinity(0, sizeof one, &one), 0);
            test_int(conure_processors(), 1);
            break;
        }
    sched_setaffinity(0, sizeof before, &before);
    test_int(conure_processors(), n);
}

int main(void)
{
    test_begin("base_processors");
    test_quotas();
    test_affinity();
    return test_end();
}
