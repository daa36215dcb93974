/* processors.h - the cgroup part of conure_processors(), apart so that a test can hand it files. */
#ifndef CONURE_BASE_PROCESSORS_H
#define CONURE_BASE_PROCESSORS_H

#include <stdint.h>

/* Processors that the CPU quotas of a process's control groups amount to, rounded up; 0: no quota.
 * memberships: e.g. "/proc/self/cgroup"; root: e.g. "/sys/fs/cgroup" (version 2, or the folder of the
 * version 1 hierarchies). */
uint32_t conure_processors_quota(const char *memberships, const char *root);

#endif
