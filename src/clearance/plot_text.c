/* plot_text.c - text and numbers as XML takes them, whatever they hold and whatever the locale; see plot.h. */
#include "clearance/plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

/* Bytes of the character at s and the character; 1 and U+FFFD for a byte that begins none. */
static size_t next_char(const char *text, uint32_t *out)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *s = (const unsigned char *)text;
    const size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xC2 && s[0] < 0xE0 ? 2 : (s[0] & 0xF0) == 0xE0 ? 3 : s[0] >= 0xF0 && s[0] < 0xF5 ? 4 : 0;
    uint32_t c = n == 1 ? s[0] : n == 0 ? 0 : s[0] & (0x7Fu >> n);
    *out = 0xFFFD;
    if (n == 0)
        return 1;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80) /* the end of the text too */
            return 1;
        c = c << 6 | (s[i] & 0x3F);
    }
    if (c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
        return 1;
    *out = c;
    return n;
}

/* Allowed in XML, and does nothing to the text beside it. */
static bool harmless(uint32_t c)
{
    const bool control = c < 0x20 || (c >= 0x7F && c < 0xA0) || (c & 0xFFFE) == 0xFFFE;
    const bool turns = c == 0x61C || c == 0x200E || c == 0x200F || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
    return !control && !turns;
}

void conure_plot_text(conure_buffer *out, const char *text, size_t chars_max)
{
    static const struct {
        char c;
        const char *as;
    } marked[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}};
    for (size_t n = 0; text && *text; n++) {
        uint32_t c;
        const size_t bytes = next_char(text, &c);
        const char *as = harmless(c) ? NULL : replacement;
        if (chars_max > 0 && n + 1 == chars_max && text[bytes]) {
            conure_buffer_text(out, "\xe2\x80\xa6");
            return;
        }
        for (size_t i = 0; i < sizeof marked / sizeof *marked; i++)
            if (c == (unsigned char)marked[i].c)
                as = marked[i].as;
        if (as)
            conure_buffer_text(out, as);
        else if (c == 0xFFFD)
            conure_buffer_text(out, replacement);
        else
            conure_buffer_add(out, text, bytes);
        text += bytes;
    }
}

char *conure_plot_decimal(char *out, long long n, int exponent)
{
    char digits[24];
    while (n != 0 && n % 10 == 0) {
        n /= 10;
        exponent++;
    }
    const int length = snprintf(digits, sizeof digits, "%llu", n < 0 ? 0 - (unsigned long long)n : (unsigned long long)n);
    const int point = length + exponent; /* digits before the decimal point */
    const char *sign = n < 0 ? "-" : "";
    if (n == 0)
        snprintf(out, CONURE_PLOT_NUMBER_CAP, "0");
    else if (point > 6 || point < -2)
        snprintf(out, CONURE_PLOT_NUMBER_CAP, "%s%c%s%se%d", sign, digits[0], digits[1] ? "." : "", digits + 1, point - 1);
    else if (exponent >= 0)
        snprintf(out, CONURE_PLOT_NUMBER_CAP, "%s%s%.*s", sign, digits, exponent, "000000");
    else if (point > 0)
        snprintf(out, CONURE_PLOT_NUMBER_CAP, "%s%.*s.%s", sign, point, digits, digits + point);
    else
        snprintf(out, CONURE_PLOT_NUMBER_CAP, "%s0.%.*s%s", sign, -point, "000000", digits);
    return out;
}

char *conure_plot_number(char *out, double x, int digits)
{
    char text[64];
    long long n = 0;
    if (!isfinite(x)) {
        snprintf(out, CONURE_PLOT_NUMBER_CAP, "%s", isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
        return out;
    }
    digits = digits < 1 ? 1 : digits > 15 ? 15 : digits;
    snprintf(text, sizeof text, "%.*e", digits - 1, x);
    const char *e = strchr(text, 'e'); /* what stands before it besides digits is a sign, or the locale's decimal point */
    for (const char *c = text; c < e; c++)
        if (*c >= '0' && *c <= '9')
            n = n * 10 + (*c - '0');
    return conure_plot_decimal(out, x < 0 ? -n : n, atoi(e + 1) - (digits - 1));
}
