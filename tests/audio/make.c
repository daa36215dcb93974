/* make.c - see make.h. */
#include "make.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sf_count_t made_length(void *user)
{
    return (sf_count_t)((made *)user)->bytes;
}

static sf_count_t made_seek(sf_count_t offset, int whence, void *user)
{
    made *m = user;
    m->position = (size_t)(offset + (whence == SEEK_SET   ? 0
                                     : whence == SEEK_CUR ? (sf_count_t)m->position
                                                          : (sf_count_t)m->bytes));
    return (sf_count_t)m->position;
}

static sf_count_t made_read(void *dst, sf_count_t n, void *user)
{
    made *m = user;
    const size_t left = m->position < m->bytes ? m->bytes - m->position : 0;
    const size_t take = (size_t)n < left ? (size_t)n : left;
    memcpy(dst, m->data + m->position, take);
    m->position += take;
    return (sf_count_t)take;
}

static sf_count_t made_write(const void *src, sf_count_t n, void *user)
{
    made *m = user;
    const size_t end = m->position + (size_t)n;
    if (end > m->cap) {
        m->cap = 2 * end;
        m->data = realloc(m->data, m->cap);
        memset(m->data + m->bytes, 0, m->cap - m->bytes);
    }
    memcpy(m->data + m->position, src, (size_t)n);
    m->position = end;
    m->bytes = end > m->bytes ? end : m->bytes;
    return n;
}

static sf_count_t made_tell(void *user)
{
    return (sf_count_t)((made *)user)->position;
}

/* Integer formats are given integers: libsndfile scales floats by 2^(bits - 1) - 1 as it writes. */
static sf_count_t write_samples(SNDFILE *file, int format, const float *samples, sf_count_t n)
{
    switch (format & SF_FORMAT_SUBMASK) {
    case SF_FORMAT_PCM_U8:
    case SF_FORMAT_PCM_S8:
    case SF_FORMAT_PCM_16:
    case SF_FORMAT_PCM_24:
    case SF_FORMAT_PCM_32:
        break;
    default:
        return sf_write_float(file, samples, n);
    }
    int *ints = malloc(((size_t)n + 1) * sizeof *ints);
    for (sf_count_t i = 0; i < n; i++)
        ints[i] = (int)fmax(-0x1p31, fmin(0x1p31 - 1, (double)samples[i] * 0x1p31));
    n = sf_write_int(file, ints, n);
    free(ints);
    return n;
}

made make_file(int format, int rate_hz, int n_channels, const float *samples, size_t n)
{
    SF_VIRTUAL_IO io = {made_length, made_seek, made_read, made_write, made_tell};
    SF_INFO info = {.samplerate = rate_hz, .channels = n_channels, .format = format};
    made m = {0};
    SNDFILE *file = sf_open_virtual(&io, SFM_WRITE, &info, &m);
    if (!file) {
        fprintf(stderr, "libsndfile cannot write format %x: %s\n", (unsigned)format,
                sf_strerror(NULL));
        abort();
    }
    sf_command(file, SFC_SET_ADD_PEAK_CHUNK, NULL, SF_FALSE);
    const sf_count_t n_samples = (sf_count_t)n * n_channels;
    if (write_samples(file, format, samples, n_samples) != n_samples)
        abort();
    sf_close(file);
    return m;
}

void made_free(made *m)
{
    free(m->data);
    memset(m, 0, sizeof *m);
}

float *make_sine(double hz, double rate_hz, double amplitude, size_t n)
{
    float *samples = malloc((n ? n : 1) * sizeof *samples);
    for (size_t i = 0; i < n; i++)
        samples[i] = (float)(amplitude * sin(6.283185307179586 * hz * (double)i / rate_hz));
    return samples;
}

const char *make_on_disk(const char *name, const void *data, size_t bytes)
{
    static char path[256];
    snprintf(path, sizeof path, "test-audio-%s", name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, bytes, file) != bytes || fclose(file) != 0)
        abort();
    return path;
}

heard hear(const void *data, size_t bytes, const conure_audio_options *options)
{
    heard h = {.status = CONURE_OK};
    conure_audio *audio = NULL;
    uint8_t *copy = malloc(bytes ? bytes : 1);
    memcpy(copy, data, bytes);
    h.status = conure_audio_open_memory(&audio, copy, bytes, "clip", options, &h.err);
    size_t got = h.status == CONURE_OK, cap = 0;
    while (h.status == CONURE_OK && got) {
        const size_t width = conure_audio_get_info(audio)->n_channels_out;
        if (h.n + 1000 > cap) {
            cap = 2 * cap + 1000;
            h.pcm = realloc(h.pcm, cap * width * sizeof *h.pcm);
        }
        h.status = conure_audio_read(audio, h.pcm + h.n * width, 1000, &got, &h.err);
        h.n += got;
    }
    if (audio)
        h.info = *conure_audio_get_info(audio);
    conure_audio_close(&audio);
    free(copy);
    return h;
}

void heard_free(heard *h)
{
    free(h->pcm);
    h->pcm = NULL;
}
