/* engine.c - the list of engines, and the words that choose one. */
#include "engine/engine.h"

#include "base/threads.h"

#include <stdlib.h>
#include <string.h>

static const conure_engine *const engines[] = {
    &conure_engine_native_cpu, /* always built: the others are compared with it */
    &conure_engine_reference,  /* the yardstick, in double */
#ifdef CONURE_HAVE_ONNX
    &conure_engine_ort_cpu, /* ONNX Runtime, where its library is found */
    &conure_engine_ort_cuda,
    &conure_engine_ort_tensorrt,
    &conure_engine_ort_nvtensorrtrtx,
#endif
#ifdef CONURE_HAVE_TRT
    &conure_engine_trt,
#endif
};

static const struct {
    const char *name;
    conure_precision precision;
} precisions[] = {
    {"f32", CONURE_PRECISION_F32},
    {"bf16", CONURE_PRECISION_BF16},
    {"int8", CONURE_PRECISION_INT8},
    {"f64", CONURE_PRECISION_F64},
    {"tf32", CONURE_PRECISION_TF32},
    {"f16", CONURE_PRECISION_F16},
};

/* Engines that a build can have, and what it takes. */
static const struct {
    const char *name, *how;
} possible[] = {
    {"trt", "-DCONURE_TENSORRT_INCLUDE=FOLDER, which holds TensorRT's headers"},
};

#define COUNT(list) (sizeof(list) / sizeof *(list))

const char *conure_precision_name(conure_precision precision)
{
    for (size_t i = 0; i < COUNT(precisions); i++)
        if (precisions[i].precision == precision)
            return precisions[i].name;
    return NULL;
}

conure_status conure_engine_find(const conure_engine **out, const char *name, conure_error *err)
{
    char known[256] = "";
    for (size_t i = 0; i < COUNT(engines); i++) {
        if (strcmp(engines[i]->name, name) == 0) {
            *out = engines[i];
            return CONURE_OK;
        }
        strncat(known, known[0] ? ", " : "", sizeof known - strlen(known) - 1);
        strncat(known, engines[i]->name, sizeof known - strlen(known) - 1);
    }
    *out = NULL;
    for (size_t i = 0; i < COUNT(possible); i++)
        if (strcmp(possible[i].name, name) == 0)
            return conure_fail(err, CONURE_BACKEND, "engine '%s' is not in this build, which has: %s; configure one with %s", name, known,
                               possible[i].how);
    return conure_fail(err, CONURE_BACKEND, "engine '%s' is not in this build, which has: %s", name, known);
}

conure_precision conure_engine_precision(const conure_engine *engine, const conure_model *model, conure_precision asked)
{
    if (asked)
        return asked;
    if (engine->precision)
        return engine->precision;
    return model->weight_dtype == CONURE_I8 ? CONURE_PRECISION_INT8 : CONURE_PRECISION_F32;
}

const char *conure_engine_default(const conure_model *model)
{
    return model->graphs ? "ort/cpu" : "cpu";
}

static bool copy_part(char *dst, size_t cap, const char *src, size_t n)
{
    if (n == 0 || n >= cap)
        return false;
    memcpy(dst, src, n);
    dst[n] = 0;
    return true;
}

static bool parse_number(const char *text, const char *stop, unsigned long max, uint32_t *out)
{
    char *end = NULL;
    const unsigned long number = strtoul(text, &end, 10);
    *out = (uint32_t)number;
    return *text >= '0' && *text <= '9' && end == stop && number <= max;
}

static conure_status parse_setting(conure_engine_spec *spec, const char *text, size_t n, conure_error *err)
{
    const char *stop = text + n;
    if (n > 8 && memcmp(text, "threads=", 8) == 0) {
        if (parse_number(text + 8, stop, 64, &spec->n_threads) && spec->n_threads)
            return CONURE_OK;
        return conure_fail(err, CONURE_BAD_ARG, "engine setting '%.*s': threads is 1 to 64", (int)n, text);
    }
    if (n > 7 && memcmp(text, "device=", 7) == 0) {
        if (parse_number(text + 7, stop, CONURE_DEVICE_MAX, &spec->device))
            return CONURE_OK;
        return conure_fail(err, CONURE_BAD_ARG, "engine setting '%.*s': device is 0 to %d", (int)n, text, CONURE_DEVICE_MAX);
    }
    if (n > 4 && memcmp(text, "isa=", 4) == 0 && copy_part(spec->isa, sizeof spec->isa, text + 4, n - 4))
        return CONURE_OK;
    if (n > 8 && memcmp(text, "library=", 8) == 0 && copy_part(spec->library, sizeof spec->library, text + 8, n - 8))
        return CONURE_OK;
    if (n > 7 && memcmp(text, "ranges=", 7) == 0 && copy_part(spec->ranges, sizeof spec->ranges, text + 7, n - 7))
        return CONURE_OK;
    return conure_fail(err, CONURE_BAD_ARG, "engine setting '%.*s': known are threads=N, isa=NAME, device=N, library=PATH and ranges=FILE", (int)n, text);
}

/* One of the settings from `first` on, before `at`, has the same name. */
static bool is_repeated(const char *first, const char *at)
{
    const size_t n = strcspn(at, "=,");
    for (const char *s = first; s < at; s += strcspn(s, ",") + 1)
        if (strncmp(s, at, n) == 0 && s[n] == '=')
            return true;
    return false;
}

conure_status conure_engine_spec_parse(conure_engine_spec *spec, const char *text, conure_error *err)
{
    const char *at = text + strcspn(text, ":@"); /* a path behind the '@' may hold any of these */
    *spec = (conure_engine_spec){.precision = CONURE_PRECISION_DEFAULT};
    if (!copy_part(spec->engine, sizeof spec->engine, text, (size_t)(at - text)))
        return conure_fail(err, CONURE_BAD_ARG, "engine '%s': expected BACKEND[/PROVIDER][:PRECISION][@threads=N,isa=NAME,..], "
                           "for example cpu:int8@threads=2", text);
    if (*at == ':') {
        const size_t n = strcspn(++at, "@");
        for (size_t i = 0; i < COUNT(precisions); i++)
            if (strlen(precisions[i].name) == n && memcmp(precisions[i].name, at, n) == 0)
                spec->precision = precisions[i].precision;
        if (spec->precision == CONURE_PRECISION_DEFAULT)
            return conure_fail(err, CONURE_BAD_ARG, "engine '%s': precision '%.*s' is not one of f32, bf16, int8, f64, tf32, f16", text, (int)n, at);
        at += n;
    }
    const char *first = *at ? at + 1 : at;
    while (*at) { /* '@' first, then ',' */
        const size_t n = strcspn(++at, ",");
        if (is_repeated(first, at))
            return conure_fail(err, CONURE_BAD_ARG, "engine '%s': the setting '%.*s' is given twice: leave one out", text,
                               (int)strcspn(at, "="), at);
        const conure_status status = parse_setting(spec, at, n, err);
        if (status != CONURE_OK)
            return status;
        at += n;
    }
    return CONURE_OK;
}

conure_engine_options conure_engine_spec_options(const conure_engine_spec *spec, uint32_t n_threads)
{
    return (conure_engine_options){
        .isa = spec->isa[0] ? spec->isa : NULL, .device = spec->device, .library = spec->library[0] ? spec->library : NULL,
        .ranges = spec->ranges[0] ? spec->ranges : NULL,
        .precision = spec->precision, .n_threads = conure_threads_or_all(spec->n_threads ? spec->n_threads : n_threads)};
}

conure_status conure_engine_open(void **self, const conure_engine *engine, const conure_model *model, const conure_engine_options *options,
                                 conure_error *err)
{
    const struct {
        bool given;
        uint32_t bit;
        const char *name;
    } settings[] = {{options->isa != NULL, CONURE_TAKES_ISA, "isa"}, {options->device != 0, CONURE_TAKES_DEVICE, "device"},
                    {options->library != NULL, CONURE_TAKES_LIBRARY, "library"}, {options->ranges != NULL, CONURE_TAKES_RANGES, "ranges"}};
    *self = NULL;
    for (size_t i = 0; i < COUNT(settings); i++)
        if (settings[i].given && !(engine->takes & settings[i].bit))
            return conure_fail(err, CONURE_BAD_ARG, "engine %s takes no %s: leave it out", engine->name, settings[i].name);
    return engine->open(self, model, options, err);
}
