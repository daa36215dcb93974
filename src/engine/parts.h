/* parts.h - where a step's time goes: the parts that an engine reports, summed by name. */
#ifndef CONURE_ENGINE_PARTS_H
#define CONURE_ENGINE_PARTS_H

#include "base/error.h"

/* name is the caller's after the call; seconds of one run of that part. */
typedef void (*conure_part_fn)(void *user, const char *name, double seconds);

#define CONURE_PARTS_MAX 16384
#define CONURE_PART_NAME_CAP 160 /* longer ones are cut, with an ellipsis */

typedef struct conure_part {
    char name[CONURE_PART_NAME_CAP];
    double seconds; /* of all its runs */
    uint64_t n;     /* runs */
} conure_part;

typedef struct conure_parts {
    conure_part *list; /* in the order of their first run */
    uint32_t n, cap;
    bool failed;       /* there was no memory, or there were too many: some are missing */
} conure_parts;

void conure_parts_add(void *parts, const char *name, double seconds); /* a conure_part_fn */
void conure_parts_sort(conure_parts *parts);                          /* those that took longest first */
double conure_parts_seconds(const conure_parts *parts);               /* of all */
void conure_parts_free(conure_parts *parts);                          /* {0} is fine */

#endif
