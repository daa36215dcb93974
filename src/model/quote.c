/* quote.c - bytes of a hostile file made safe to stand in an error text. */
#include "model/quote.h"

#include <stdint.h>
#include <string.h>

const char *conure_quote(char *out, size_t cap, const void *text, size_t bytes)
{
    static const char hex[] = "0123456789abcdef";
    const uint8_t *in = text;
    size_t used = 0;
    for (size_t i = 0; i < bytes; i++) {
        const size_t room = in[i] >= 0x20 && in[i] < 0x7f ? 1 : 4;
        if (used + room + 4 > cap) { /* 4: "..." and the terminator */
            memcpy(out + used, "...", 3);
            used += 3;
            break;
        }
        if (room == 1) {
            out[used++] = (char)in[i];
        } else {
            const char escape[4] = {'\\', 'x', hex[in[i] >> 4], hex[in[i] & 15]};
            memcpy(out + used, escape, 4);
            used += 4;
        }
    }
    out[used] = '\0';
    return out;
}

bool conure_has_controls(const char *text)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return true;
    return false;
}
