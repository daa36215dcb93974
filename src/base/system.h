/* system.h - what the machine has to spare, and its clock. */
#ifndef CONURE_BASE_SYSTEM_H
#define CONURE_BASE_SYSTEM_H

#include <stdint.h>

/* Bytes this process may still take: what the kernel says is available, less where a cgroup's limit is
 * nearer.  At least 64 MiB is assumed, also when the system does not say. */
uint64_t conure_memory_free(void);

/* Seconds of the monotonic clock, from some moment on; setting the time of day does not touch it. */
double conure_now_s(void);

#endif
