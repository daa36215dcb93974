/* hotwords.c - see hotwords.h. */
#include "cli/hotwords.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/files.h"

const char *conure_hotword_settings_check(const conure_hotword_settings *settings)
{
    if (settings->score >= 0 && !settings->file)
        return "--hotword-score needs --hotwords";
    return settings->score > CONURE_HOTWORD_SCORE_MAX ? "--hotword-score is 0 to 100" : NULL;
}

conure_status conure_hotword_settings_open(conure_hotwords **out, const conure_hotword_settings *settings,
                                           const conure_model *model, conure_error *err)
{
    conure_hotwords_options o;
    char *text = NULL;
    size_t bytes = 0;
    *out = NULL;
    if (!settings->file)
        return CONURE_OK;
    conure_status status = conure_file_read_any(&text, &bytes, settings->file, CONURE_HOTWORDS_BYTES_MAX, err);
    if (status != CONURE_OK)
        return status;
    conure_hotwords_options_init(&o);
    if (settings->score >= 0)
        o.score = settings->score;
    status = conure_hotwords_open(out, model, text, bytes, &o, err);
    if (status != CONURE_OK)
        conure_error_prefix(err, settings->file);
    free(text);
    return status;
}
