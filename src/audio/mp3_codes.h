/* mp3_codes.h - the variable-length codes of MPEG layer III, as far as their lengths. */
#ifndef CONURE_AUDIO_MP3_CODES_H
#define CONURE_AUDIO_MP3_CODES_H

#include <stdbool.h>
#include <stdint.h>

#define MP3_CODES      15
#define MP3_CODE_NODES 1363

/* Binary trees, one for each set of code words. */
typedef struct mp3_codes {
    uint16_t root[MP3_CODES];
    uint16_t child[MP3_CODE_NODES][2];
} mp3_codes;

void mp3_codes_build(mp3_codes *codes);

/* Whether so many pairs of values, coded by a table (0 to 31), lie between two bits of data; *at goes
 * past them. */
bool mp3_codes_fit(const mp3_codes *codes, const uint8_t *data, uint32_t *at, uint32_t end,
                   uint32_t table, uint32_t n_pairs);

#endif
