/* inject.c - see inject.h.
 *
 * Some libraries are spared, as they do not survive it and no caller can help: libjansson's scanner
 * (load.c, lex_save) drops characters whose buffer cannot grow and may then stop at an assertion;
 * libsndfile and libsoxr use what they could not allocate. */
#include "inject.h"

#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>

static _Atomic(inject_kind) kind_;
static atomic_bool active, later_too;
static atomic_long target, n_allocations, n_calls, n_alive;
static _Atomic(const char *) failed_;

static const char *const spared[] = {"libjansson.", "libsndfile.", "libFLAC.", "libsoxr."};
enum { SPARED = sizeof spared / sizeof *spared };

/* Where their code lies; found once, before anything is counted. */
static struct {
    uintptr_t start, end;
} ranges[SPARED];
static bool ranges_known;

static int find_ranges(struct dl_phdr_info *info, size_t bytes, void *user)
{
    (void)bytes;
    (void)user;
    for (int i = 0; i < SPARED; i++)
        for (int k = 0; k < info->dlpi_phnum && strstr(info->dlpi_name, spared[i]); k++)
            if (info->dlpi_phdr[k].p_type == PT_LOAD && info->dlpi_phdr[k].p_flags & PF_X) {
                ranges[i].start = info->dlpi_addr + info->dlpi_phdr[k].p_vaddr;
                ranges[i].end = ranges[i].start + info->dlpi_phdr[k].p_memsz;
            }
    return 0;
}

static bool is_spared(const void *caller)
{
    for (int i = 0; i < SPARED; i++)
        if ((uintptr_t)caller >= ranges[i].start && (uintptr_t)caller < ranges[i].end)
            return true;
    return false;
}

static bool fails(inject_kind kind, const char *name, const void *caller)
{
    if (!active || is_spared(caller))
        return false;
    const long n = 1 + atomic_fetch_add(kind == INJECT_MEMORY ? &n_allocations : &n_calls, 1);
    if (kind != kind_ || (n != target && !(later_too && n > target)))
        return false;
    failed_ = name;
    return true;
}

void inject_start(inject_kind kind, long n, bool on)
{
    if (!ranges_known)
        dl_iterate_phdr(find_ranges, NULL);
    ranges_known = true;
    kind_ = kind;
    target = n;
    later_too = on;
    n_allocations = n_calls = n_alive = 0;
    failed_ = NULL;
    active = true;
}

inject_report inject_stop(void)
{
    active = false;
    return (inject_report){n_allocations, n_calls, n_alive, failed_};
}

/* ---- memory ---------------------------------------------------------------------------------- */

#pragma GCC visibility push(default) /* seen by the libraries too */

#if INJECT_WRAP
/* Only our own objects call these; free() is not looked at. */
#define NAME(f) __wrap_##f
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__real_aligned_alloc(size_t align, size_t bytes);
int __real_posix_memalign(void **out, size_t align, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);
int __wrap_posix_memalign(void **out, size_t align, size_t bytes);
static void *aligned(size_t align, size_t bytes)
{
    void *block = NULL;
    return __real_posix_memalign(&block, align, bytes) == 0 ? block : NULL;
}
#define REAL(f) __real_##f
#else
#define NAME(f) f
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t align, size_t bytes);
void __libc_free(void *block);
static void *aligned(size_t align, size_t bytes)
{
    return __libc_memalign(align, bytes);
}
#define REAL(f) __libc_##f

void free(void *block)
{
    if (block && active)
        atomic_fetch_sub(&n_alive, 1);
    __libc_free(block);
}
#endif

static void *counted(void *block)
{
#if !INJECT_WRAP
    if (block && active)
        atomic_fetch_add(&n_alive, 1);
#endif
    return block;
}

static void *refused(void)
{
    errno = ENOMEM;
    return NULL;
}

void *NAME(malloc)(size_t bytes)
{
    return fails(INJECT_MEMORY, "malloc", __builtin_return_address(0)) ? refused() : counted(REAL(malloc)(bytes));
}

void *NAME(calloc)(size_t n, size_t bytes)
{
    return fails(INJECT_MEMORY, "calloc", __builtin_return_address(0)) ? refused() : counted(REAL(calloc)(n, bytes));
}

void *NAME(realloc)(void *old, size_t bytes)
{
    if (fails(INJECT_MEMORY, "realloc", __builtin_return_address(0)))
        return refused();
    return old ? REAL(realloc)(old, bytes) : counted(REAL(realloc)(NULL, bytes));
}

void *NAME(aligned_alloc)(size_t align, size_t bytes)
{
    return fails(INJECT_MEMORY, "aligned_alloc", __builtin_return_address(0)) ? refused() : counted(aligned(align, bytes));
}

int NAME(posix_memalign)(void **out, size_t align, size_t bytes)
{
    if (fails(INJECT_MEMORY, "posix_memalign", __builtin_return_address(0)))
        return ENOMEM;
    void *block = counted(aligned(align, bytes));
    if (!block)
        return ENOMEM;
    *out = block;
    return 0;
}

#pragma GCC visibility pop

/* ---- system calls: always by the linker, so only our own are touched ---------------------------- */

/* WRAP(result, name, failure value, errno, parameters, arguments) */
#define WRAP(type, name, failure, code, parameters, arguments) \
    type __real_##name parameters;                             \
    type __wrap_##name parameters;                             \
    type __wrap_##name parameters                              \
    {                                                          \
        if (fails(INJECT_SYSTEM, #name, NULL)) {                     \
            errno = code;                                      \
            return failure;                                    \
        }                                                      \
        return __real_##name arguments;                        \
    }

WRAP(int, open, -1, EMFILE, (const char *path, int flags, mode_t mode), (path, flags, mode))
WRAP(int, mkstemp, -1, EACCES, (char *path), (path))
WRAP(int, fstat, -1, EIO, (int fd, struct stat *info), (fd, info))
WRAP(void *, mmap, MAP_FAILED, ENOMEM, (void *at, size_t bytes, int prot, int flags, int fd, off_t offset),
     (at, bytes, prot, flags, fd, offset))
WRAP(ssize_t, read, -1, EIO, (int fd, void *data, size_t bytes), (fd, data, bytes))
WRAP(ssize_t, pread, -1, EIO, (int fd, void *data, size_t bytes, off_t at), (fd, data, bytes, at))
WRAP(ssize_t, write, -1, ENOSPC, (int fd, const void *data, size_t bytes), (fd, data, bytes))
WRAP(int, fsync, -1, EIO, (int fd), (fd))
WRAP(int, rename, -1, EACCES, (const char *from, const char *to), (from, to))
WRAP(int, pthread_create, EAGAIN, EAGAIN,
     (pthread_t * thread, const pthread_attr_t *attributes, void *(*start)(void *), void *arg),
     (thread, attributes, start, arg))
