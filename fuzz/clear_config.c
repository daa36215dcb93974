/* clear_config.c - configurations of a clearance: what is accepted has members of the types that are read from it. */
#include "cli/clear.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    json_t *config = NULL;
    conure_clear_clips clips;
    conure_error err = {""};
    const conure_status status = conure_clear_config_parse(&config, (const char *)data, bytes, "folder", "fuzz", &err);
    if ((status != CONURE_OK) != (err.text[0] != '\0') || (status == CONURE_OK) != (config != NULL))
        abort();
    if (!config)
        return 0;
    if (conure_clear_count(config, "chunks.functional", 1) < 1 || !(conure_clear_real(config, "audio.limits.wer_max", 0) <= 10))
        abort();
    json_object_del(json_object_get(config, "audio"), "manifest"); /* that would be read from a disk */
    if (conure_clear_clips_read(&clips, config, &err) == CONURE_OK)
        for (uint32_t i = 0; i < clips.n; i++)
            if (!clips.paths[i])
                abort();
    conure_clear_clips_free(&clips);
    json_decref(config);
    return 0;
}
