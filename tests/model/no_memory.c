/* no_memory.c - every allocation of opening, converting and verifying a model fails once: an error, no
 * model, no file, nothing leaked (which the sanitizers see). */
#include "model_support.h"

#include <errno.h>

#define FOLDER "model.no_memory.tmp"

static long countdown = -1; /* allocations until one fails; negative: none does */

static bool fails(void)
{
    return countdown >= 0 && countdown-- == 0;
}

/* The linker puts these in front of our own calls.  Those of libraries are left alone: jansson 2.14 reads past
 * its buffer when that cannot grow (lex_scan_string() takes the text for complete). */
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
int __real_posix_memalign(void **out, size_t alignment, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
int __wrap_posix_memalign(void **out, size_t alignment, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
    return fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    return fails() ? NULL : __real_realloc(old, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, bytes);
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t bytes)
{
    return fails() ? ENOMEM : __real_posix_memalign(out, alignment, bytes);
}

/* One piece of work; NULL or what it made, to be closed. */
typedef conure_status (*work)(const char *path, conure_error *err);

static conure_status open_close(const char *path, conure_error *err)
{
    conure_model *model = NULL;
    const conure_status status = conure_model_open(&model, path, NULL, err);
    test_true((status == CONURE_OK) == (model != NULL));
    conure_model_close(&model);
    return status;
}

static conure_model *source;

static conure_status convert(const char *path, conure_error *err)
{
    const conure_status status = conure_model_convert(source, path, "int8", NULL, NULL, err);
    test_true((access(path, F_OK) == 0) == (status == CONURE_OK));
    unlink(path);
    return status;
}

static conure_status verify(const char *path, conure_error *err)
{
    (void)path;
    return conure_model_verify(source, NULL, NULL, err);
}

/* Fail the first allocation, the second, and so on, ever sparser, until the work succeeds. */
static void sweep(const char *what, work run, const char *path)
{
    long n = 0, failures = 0;
    for (;; n += 1 + n / 16) {
        conure_error err = {""};
        countdown = n;
        const conure_status status = run(path, &err);
        const bool failed = countdown < 0; /* it came to the one that fails */
        countdown = -1;
        if (!failed) {
            test_int(status, CONURE_OK);
            break;
        }
        if (status != CONURE_NO_MEMORY)
            fprintf(stderr, "%s, allocation %ld: %d %s\n", what, n, (int)status, err.text);
        test_int(status, CONURE_NO_MEMORY);
        test_true(*err.text);
        failures++;
    }
    fprintf(stderr, "%s: %ld of about %ld allocations failed\n", what, failures, n);
    test_true(failures > 5);
}

int main(void)
{
    test_begin("model.no_memory");
    mkdir(FOLDER, 0777);
    const char *converted = FOLDER "/mini.safetensors", *made = FOLDER "/made.safetensors";
    test_int(conure_model_random_open(&source, "mini", 0, 3, NULL, NULL, NULL), CONURE_OK);
    write_hf_texts(source, FOLDER "/hf");
    write_hf_weights(source, FOLDER "/hf", "model.safetensors", CONURE_F16, NULL, NULL);
    test_int(conure_model_convert(source, converted, "int8", NULL, NULL, NULL), CONURE_OK);
    sweep("convert", convert, made);
    conure_model_close(&source);
    sweep("open Hugging Face", open_close, FOLDER "/hf");
    sweep("open converted", open_close, converted);
    sweep("open .nemo", open_close, TEST_DATA "/models/tiny-v3.nemo");
    test_int(conure_model_open(&source, converted, NULL, NULL), CONURE_OK);
    sweep("verify", verify, NULL);
    conure_model_close(&source);
    return test_end();
}
