/* inject.h - makes the n-th allocation, or the n-th system call of some kinds, fail.
 *
 * Without a sanitizer the program defines malloc and its kin, so the allocations of the libraries that we
 * use fail too, and those still alive are counted.  A sanitizer needs to own malloc; then the linker
 * redirects the calls of our own objects (--wrap), and leaks are the sanitizer's to find. */
#ifndef CONURE_TESTS_INJECT_H
#define CONURE_TESTS_INJECT_H

#include <stdbool.h>

typedef enum inject_kind {
    INJECT_NOTHING = 0,  /* count only */
    INJECT_MEMORY,       /* malloc, calloc, realloc, posix_memalign, aligned_alloc return NULL */
    INJECT_SYSTEM,       /* open, mmap, read, write, ... fail; threads do not start */
} inject_kind;

/* From here on count, and let call number n (1 is the first) of the kind fail; with `on` all later ones too. */
void inject_start(inject_kind kind, long n, bool on);

typedef struct inject_report {
    long allocations, calls; /* made in between */
    long alive;              /* blocks allocated and not freed; 0 where a sanitizer counts */
    const char *failed;      /* name of the function that failed last; NULL: none did */
} inject_report;

inject_report inject_stop(void);

#endif
