/* clearance.c - see clearance.h. */
#include "cli/clearance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/audio.h"
#include "base/files.h"
#include "base/memory.h"
#include "base/system.h"
#include "cli/command.h"
#include "cli/terminal.h"
#include "clearance/stages.h"

/* Append one file's frames to *all. */
static conure_status one_file(conure_mel *mel, const conure_config *c, const char *file, float **all, uint64_t *n_all, conure_error *err)
{
    conure_audio_options options;
    conure_audio_clip clip = {0};
    size_t floats;
    conure_audio_options_init(&options);
    options.rate_hz = c->sample_rate_hz;
    options.cancel = &conure_interrupted;
    conure_status status = conure_audio_load(&clip, file, &options, err);
    const uint64_t n = status == CONURE_OK ? conure_mel_frames(mel, clip.n_samples) : 0;
    if (n > 0) {
        float *grown = conure_mul((size_t)(*n_all + n), c->mel_bins * sizeof(float), &floats) ? realloc(*all, floats) : NULL;
        if (grown) {
            *all = grown;
            status = conure_mel_raw(mel, NULL, clip.pcm, clip.n_samples, 0, n, grown + *n_all * c->mel_bins, err);
            conure_mel_normalize(grown + *n_all * c->mel_bins, n, c->mel_bins);
            *n_all += n;
        } else {
            status = conure_fail_memory(err, "features", SIZE_MAX);
        }
    }
    conure_audio_clip_free(&clip);
    return status;
}

conure_status conure_clearance_mel(const conure_model *model, char *const *files, int n_files, float **mel, uint64_t *n_mel, char *sha256,
                                   conure_error *err)
{
    conure_mel *plan = NULL;
    conure_sha256 sha;
    *mel = NULL;
    *n_mel = 0;
    conure_status status = conure_clearing_mel(&plan, model, err);
    for (int i = 0; i < n_files && status == CONURE_OK; i++)
        status = one_file(plan, &model->config, files[i], mel, n_mel, err);
    conure_mel_close(&plan);
    conure_sha256_init(&sha);
    conure_sha256_add(&sha, *mel, (size_t)*n_mel * model->config.mel_bins * sizeof(float));
    conure_sha256_hex(&sha, sha256);
    return status;
}

bool conure_clearance_show(void *user, uint64_t done, uint64_t all)
{
    const conure_clearance_progress *p = user;
    const double spent_s = conure_now_s() - p->start_s;
    char left[32];
    if (done > p->first && done < all)
        conure_progress_more("%s: chunk %llu of %llu, %s left", p->what, (unsigned long long)done, (unsigned long long)all,
                             conure_text_seconds(spent_s / (double)(done - p->first) * (double)(all - done), left));
    return !conure_interrupted;
}

conure_status conure_clearance_write(const json_t *json, bool print, const char *out, conure_error *err)
{
    char *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    if (!text)
        return conure_fail_memory(err, "a summary", 8192);
    conure_status status = CONURE_OK;
    if (print)
        printf("%s\n", text);
    if (out)
        status = conure_file_write_line(out, text, err);
    free(text);
    return status;
}

int conure_clearance_fail(conure_status status, const conure_error *err)
{
    const int code = conure_command_fail(status, err);
    return code == CONURE_EXIT_INTERRUPTED ? code : CONURE_EXIT_USAGE;
}
