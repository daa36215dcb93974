/* quote.c - bytes of a hostile file made safe to stand in an error text. */
#include "model/quote.h"

#include <string.h>
#include <utf8proc.h>

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

int32_t conure_character(const char *text, size_t left, size_t *bytes)
{
    utf8proc_int32_t code = -1;
    const utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)left, &code);
    *bytes = n > 0 ? (size_t)n : 1;
    return n > 0 ? code : -1;
}

bool conure_is_control(int32_t code)
{
    const bool ascii = code < 0x20, delete_or_c1 = code >= 0x7f && code < 0xa0;
    const bool separator = code == 0x2028 || code == 0x2029, embedding = code >= 0x202a && code <= 0x202e, isolate = code >= 0x2066 && code <= 0x2069;
    return ascii || delete_or_c1 || separator || embedding || isolate;
}

bool conure_has_controls(const char *text)
{
    for (size_t left = strlen(text), bytes; left > 0; text += bytes, left -= bytes) {
        const int32_t code = conure_character(text, left, &bytes);
        if (conure_is_control(code >= 0 ? code : (unsigned char)*text)) /* a lone byte is one to terminals that know no UTF-8 */
            return true;
    }
    return false;
}
