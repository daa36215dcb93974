/* json_values.c - see json_values.h. */
#include "cli/json_values.h"

#include <math.h>
#include <stdlib.h>

#include "cli/output.h"

json_t *conure_value_number(double value, double places)
{
    return isfinite(value) ? json_real(round(value * places) / places) : json_null();
}

json_t *conure_value_seconds(double value)
{
    return conure_value_number(value, 1e6);
}

json_t *conure_value_confidence(double value)
{
    return conure_value_number(value, 1e6);
}

json_t *conure_value_text(const char *value)
{
    char *clean = value ? conure_clean_copy(value) : NULL;
    json_t *json = clean ? json_string(clean) : NULL;
    if (!value)
        return json_null();
    free(clean);
    return json;
}

json_t *conure_value_word(const conure_word *w)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "word", conure_value_text(w->text), "start", conure_value_seconds(w->start_s), "end",
                     conure_value_seconds(w->end_s), "confidence", conure_value_confidence(w->confidence));
}

json_t *conure_value_token(const conure_token *t)
{
    return json_pack("{s:I, s:I, s:I, s:o, s:o}", "id", (json_int_t)t->id, "frame", (json_int_t)t->frame, "duration",
                     (json_int_t)t->duration, "text", conure_value_text(t->text), "confidence", conure_value_confidence(t->confidence));
}

void conure_value_dump(conure_buffer *out, json_t *json)
{
    char *line = json ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(12)) : NULL;
    if (line)
        conure_buffer_text(out, line);
    else
        out->failed = true;
    free(line);
    json_decref(json);
}
