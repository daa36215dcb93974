/* report_json.c - reading JSON in which anything may be missing, and writing texts that may hold anything; see report_page.h. */
#include "clearance/report_page.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const json_t *report_at(const json_t *object, const char *path)
{
    char key[64];
    while (object && *path) {
        const size_t n = strcspn(path, ".");
        if (n >= sizeof key)
            return NULL;
        memcpy(key, path, n);
        key[n] = '\0';
        object = json_object_get(object, key);
        path += n + (path[n] == '.');
    }
    return object;
}

const char *report_text_at(const json_t *object, const char *path)
{
    return json_string_value(report_at(object, path));
}

double report_number_at(const json_t *object, const char *path)
{
    const json_t *value = report_at(object, path);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

double *report_numbers(const json_t *array, size_t *n, bool *failed)
{
    size_t i;
    json_t *value;
    *n = json_array_size(array);
    double *values = *n ? conure_calloc(*n, sizeof *values) : NULL;
    if (!values) {
        *failed = *failed || *n > 0;
        *n = 0;
        return NULL;
    }
    json_array_foreach(array, i, value)
        values[i] = json_is_number(value) ? json_number_value(value) : NAN;
    return values;
}

report_digits report_digits_of(double x)
{
    report_digits d = {"-"};
    if (isinf(x))
        return (report_digits){"not finite"};
    if (isfinite(x) && x == floor(x) && fabs(x) < 1e15)
        snprintf(d.text, sizeof d.text, "%lld", (long long)x);
    else if (isfinite(x))
        conure_plot_number(d.text, x, 4);
    return d;
}

bool report_is(const char *text, const char *word)
{
    return text && strcmp(text, word) == 0;
}

const char *report_words(const char *word, const char **sign)
{
    static const struct {
        const char *word, *sign, *words;
    } all[] = {
        {CONURE_GATE_PASS, "\xe2\x9c\x93", "passed"},
        {CONURE_GATE_FAIL, "\xe2\x9c\x97", "failed"},
        {CONURE_GATE_NOT_PROVEN, "?", "not proven"},
        {CONURE_GATE_NOT_APPLICABLE, "\xe2\x80\x93", "not applicable"},
        {CONURE_GATE_NOT_RUN, "\xe2\x97\x8b", "did not run"},
        {CONURE_GATE_COULD_NOT_RUN, "!", "could not run"},
        {CONURE_CLEARED, "\xe2\x9c\x93", "cleared"},
        {CONURE_NOT_CLEARED, "\xe2\x9c\x97", "not cleared"},
        {CONURE_NOT_JUDGED, "!", "not judged"},
        {"holds", "\xe2\x9c\x93", "holds"},
        {"fails", "\xe2\x9c\x97", "fails"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (report_is(word, all[i].word)) {
            *sign = all[i].sign;
            return all[i].words;
        }
    }
    *sign = "";
    return word ? word : "";
}
