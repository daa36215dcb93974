/* parts.c - see parts.h. */
#include "engine/parts.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void name_of(char out[CONURE_PART_NAME_CAP], const char *name)
{
    if (snprintf(out, CONURE_PART_NAME_CAP, "%s", name) >= CONURE_PART_NAME_CAP)
        memcpy(out + CONURE_PART_NAME_CAP - 4, "...", 4);
}

static conure_part *find(conure_parts *p, const char *name)
{
    for (uint32_t i = 0; i < p->n; i++)
        if (strcmp(p->list[i].name, name) == 0)
            return &p->list[i];
    return NULL;
}

static conure_part *append(conure_parts *p, const char *name)
{
    if (p->n == p->cap) {
        const uint32_t cap = p->cap ? 2 * p->cap : 64;
        conure_part *list = cap <= CONURE_PARTS_MAX ? conure_calloc(cap, sizeof *list) : NULL;
        if (!list)
            return NULL;
        if (p->n)
            memcpy(list, p->list, p->n * sizeof *list);
        free(p->list);
        p->list = list;
        p->cap = cap;
    }
    conure_part *part = &p->list[p->n++];
    *part = (conure_part){0};
    memcpy(part->name, name, CONURE_PART_NAME_CAP);
    return part;
}

void conure_parts_add(void *parts, const char *name, double seconds)
{
    conure_parts *p = parts;
    char cut[CONURE_PART_NAME_CAP] = "";
    name_of(cut, name);
    conure_part *part = find(p, cut);
    if (!part)
        part = append(p, cut);
    p->failed |= !part;
    if (part) {
        part->seconds += seconds;
        part->n++;
    }
}

static int by_seconds(const void *a, const void *b)
{
    const conure_part *x = a, *y = b;
    return x->seconds != y->seconds ? (x->seconds < y->seconds) - (x->seconds > y->seconds) : strcmp(x->name, y->name);
}

void conure_parts_sort(conure_parts *parts)
{
    if (parts->n)
        qsort(parts->list, parts->n, sizeof *parts->list, by_seconds);
}

double conure_parts_seconds(const conure_parts *parts)
{
    double sum = 0;
    for (uint32_t i = 0; i < parts->n; i++)
        sum += parts->list[i].seconds;
    return sum;
}

void conure_parts_free(conure_parts *parts)
{
    free(parts->list);
    *parts = (conure_parts){0};
}
