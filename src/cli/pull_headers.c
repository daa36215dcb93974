/* pull_headers.c - HTTP headers of a fetch; see pull_headers.h. */
#include "cli/pull_headers.h"

#include <string.h>
#include <strings.h>

#include "cli/command.h"

/* The value of "NAME: value" without the line's end; false when the name is another.  What does not fit
 * or holds control characters is as if it were not there: it could become a second header of ours. */
static bool value_of(const char *line, size_t bytes, const char *name, char *out, size_t cap)
{
    const size_t name_bytes = strlen(name);
    if (bytes <= name_bytes || strncasecmp(line, name, name_bytes) != 0 || line[name_bytes] != ':')
        return false;
    line += name_bytes + 1;
    bytes -= name_bytes + 1;
    while (bytes && (*line == ' ' || *line == '\t')) {
        line++;
        bytes--;
    }
    while (bytes && (unsigned char)line[bytes - 1] <= ' ')
        bytes--;
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)line[i] < ' ')
            bytes = 0;
    if (bytes >= cap)
        bytes = 0;
    memcpy(out, line, bytes);
    out[bytes] = '\0';
    return true;
}

/* "bytes 5-9/10", "bytes 5-9/" and a star, "bytes" and a star "/10" */
static void read_range(conure_headers *h, const char *text)
{
    char number[32];
    const char *slash = strchr(text, '/');
    size_t digits;
    if (strncasecmp(text, "bytes ", 6) != 0 || !slash)
        return;
    text += 6;
    digits = strspn(text, "0123456789");
    if (digits && digits < sizeof number && text[digits] == '-') {
        memcpy(number, text, digits);
        number[digits] = '\0';
        h->range_seen = conure_parse_count(number, &h->range_first);
    }
    if (!conure_parse_count(slash + 1, &h->range_total))
        h->range_total = 0;
}

void conure_headers_line(conure_headers *h, const char *line, size_t bytes)
{
    char value[CONURE_ETAG_BYTES];
    if (bytes >= 5 && strncmp(line, "HTTP/", 5) == 0) {
        h->etag[0] = '\0';
        h->weak = h->range_seen = false;
        h->range_first = h->range_total = 0;
    } else if (value_of(line, bytes, "etag", value, sizeof value)) {
        h->weak = strncmp(value, "W/", 2) == 0;
        memcpy(h->etag, value, sizeof value);
    } else if (value_of(line, bytes, "content-range", value, sizeof value)) {
        read_range(h, value);
    } else if (value_of(line, bytes, "x-linked-etag", value, sizeof value)) {
        if (!h->linked_etag[0])
            memcpy(h->linked_etag, value, sizeof value);
    } else if (value_of(line, bytes, "x-linked-size", value, sizeof value)) {
        uint64_t size;
        if (!h->linked_bytes && conure_parse_count(value, &size))
            h->linked_bytes = size;
    }
}

bool conure_etag_sha256(const char *etag, char hex[65])
{
    if (*etag == '"')
        etag++;
    if (strspn(etag, "0123456789abcdefABCDEF") != 64 || (etag[64] != '"' && etag[64] != '\0'))
        return false;
    for (size_t i = 0; i < 64; i++)
        hex[i] = (char)(etag[i] >= 'A' && etag[i] <= 'F' ? etag[i] - 'A' + 'a' : etag[i]);
    hex[64] = '\0';
    return true;
}
