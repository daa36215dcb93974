/* audio_driver.c - audio files that Python's standard library can neither read nor write, for long.py:
 *     audio_driver IN OUT
 * writes any file that is read here as 16 kHz mono of 16 bits; OUT.flac is FLAC, all else WAV. */
#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <string.h>

#include "audio/audio.h"

int main(int argc, char **argv)
{
    conure_audio_clip clip;
    conure_error err = {""};
    if (argc != 3 || conure_audio_load(&clip, argv[1], NULL, &err) != CONURE_OK) {
        fprintf(stderr, "audio_driver: %s\n", argc == 3 ? err.text : "IN OUT");
        return 1;
    }
    const size_t n_name = strlen(argv[2]);
    const int flac = n_name > 5 && strcmp(argv[2] + n_name - 5, ".flac") == 0;
    SF_INFO info = {.samplerate = 16000, .channels = 1, .format = (flac ? SF_FORMAT_FLAC : SF_FORMAT_WAV) | SF_FORMAT_PCM_16};
    SNDFILE *file = sf_open(argv[2], SFM_WRITE, &info);
    int good = file != NULL;
    for (uint64_t i = 0; good && i < clip.n_samples; i++) { /* libsndfile's own conversion would scale by 32767 */
        const short sample = (short)fmaxf(-32768, fminf(32767, rintf(clip.pcm[i] * 32768)));
        good = sf_write_short(file, &sample, 1) == 1;
    }
    good = sf_close(file) == 0 && good;
    conure_audio_clip_free(&clip);
    if (!good)
        fprintf(stderr, "audio_driver: %s cannot be written\n", argv[2]);
    return !good;
}
