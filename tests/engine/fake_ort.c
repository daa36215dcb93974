/* fake_ort.c - a library that says it is an ONNX Runtime of long ago: it has no interface that is asked for. */
#include <stddef.h>
#include <stdint.h>

typedef struct api_base {
    const void *(*get)(uint32_t interface);
    const char *(*version)(void);
} api_base;

__attribute__((visibility("default"))) const api_base *OrtGetApiBase(void);

static const void *get(uint32_t interface)
{
    (void)interface;
    return NULL;
}

static const char *version(void)
{
    return "1.8.1";
}

const api_base *OrtGetApiBase(void)
{
    static const api_base base = {get, version};
    return &base;
}
