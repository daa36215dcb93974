/* advice.c - commands that build what an engine has no plan for: all that a plan must be like it in is there, so that what is typed serves. */
#include "engine/trt/engine.h"

#include "model/quote.h"

#include <stdio.h>
#include <string.h>

enum { FRAMES_MIN = 9, FRAMES_MAX = 1 << 20 }; /* that --max-frames takes */
enum { WORD_MAX = 80 };                        /* of longer words there is a placeholder: a message holds the command and why */

/* A word as a shell reads it back, in out; or the placeholder. */
static const char *word(char out[WORD_MAX + 3], const char *text, const char *placeholder)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+=:,@";
    if (!text || *text == '-' || strlen(text) > WORD_MAX || strchr(text, '\'') || conure_has_controls(text))
        return placeholder;
    snprintf(out, WORD_MAX + 3, text[strspn(text, plain)] ? "'%s'" : "%s", text);
    return out;
}

static void advise(const conure_trt_engine *e, const char *rest, char out[CONURE_LONGER_BYTES])
{
    char model[WORD_MAX + 3], library[WORD_MAX + 3], device[24] = "";
    const char *name = e->model->path ? e->model->path : strcmp(e->model->name, "embedded") == 0 ? e->model->name : NULL;
    if (e->device)
        snprintf(device, sizeof device, " --device %u", e->device);
    snprintf(out, CONURE_LONGER_BYTES, "conure engine build -m %s --precision %s%s%s%s%s%s", word(model, name, "MODEL"), e->precision,
             strcmp(e->precision, "int8") == 0 ? " --audio FILE" : "", device, e->library[0] ? " --library " : "",
             e->library[0] ? word(library, e->library, "PATH") : "", rest);
}

void conure_trt_advise_offline(const conure_trt_engine *e, uint64_t mel_frames, char out[CONURE_LONGER_BYTES])
{
    char rest[80];
    const char *mask = (e->config->mask == CONURE_MASK_EXACT) == e->mask_exact ? "" : e->mask_exact ? " --mask exact" : " --mask nemo";
    const int n = snprintf(rest, sizeof rest, " --profile offline%s", mask);
    if (mel_frames)
        snprintf(rest + n, sizeof rest - (size_t)n, " --max-frames %llu", (unsigned long long)(mel_frames < FRAMES_MIN ? FRAMES_MIN : mel_frames));
    out[0] = '\0';
    if (mel_frames <= FRAMES_MAX)
        advise(e, rest, out);
}

void conure_trt_advise_steps(const conure_trt_engine *e, char out[CONURE_LONGER_BYTES])
{
    advise(e, " --contract FILE", out);
}
