/* found.h - whether the engine that a test was told to use can be had here at all. */
#ifndef CONURE_TESTS_FOUND_H
#define CONURE_TESTS_FOUND_H

#include "conure.h"

#ifdef CONURE_HAVE_ONNX
#include "engine/ort/library.h"
#endif

#include <string.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNKNOWN_THREADS 1
#endif
#endif

/* NULL, or why engine is missing: the library of an engine "ort/..." is not there. */
static inline const char *engine_missing(const char *engine)
{
#ifdef CONURE_HAVE_ONNX
    static conure_error err;
    conure_ort_library library;
    if (strncmp(engine, "ort/", 4) != 0)
        return NULL;
#ifdef UNKNOWN_THREADS
    return "ThreadSanitizer does not see how threads of a library meet that was built without it";
#endif
    if (conure_ort_library_open(&library, NULL, &err) != CONURE_OK)
        return err.text;
    conure_ort_library_close(&library);
#endif
    (void)engine;
    return NULL;
}

#endif
