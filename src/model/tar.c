/* tar.c - the members of a tar archive in memory.  Format: POSIX.1-2017, pax, "ustar Interchange
 * Format" and "pax Header Block"; GNU's long names (types L and K) and base-256 numbers. */
#include "model/tar.h"

#include "base/memory.h"
#include "model/quote.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK         512
#define PAX_BYTES_MAX (1u << 20)

/* Offsets and sizes of the header's fields. */
enum {
    NAME = 0,
    NAME_BYTES = 100,
    SIZE = 124,
    SIZE_BYTES = 12,
    CHECKSUM = 148,
    CHECKSUM_BYTES = 8,
    TYPE = 156,
    MAGIC = 257,
    PREFIX = 345,
    PREFIX_BYTES = 155,
};

/* What extended headers said about the next member. */
typedef struct pending {
    bool has_name, has_size;
    uint64_t size;
    char name[CONURE_TAR_NAME_BYTES_MAX + 1];
} pending;

typedef struct reader {
    const uint8_t *data;
    uint64_t bytes, position;
    conure_tar *tar;
    conure_error *err;
    pending next;
    char label[96]; /* the member's name for error texts */
} reader;

/* Octal, space- or NUL-terminated, or base 256 when the top bit of the first byte is set. */
static bool field_number(const uint8_t *field, size_t n, uint64_t *out)
{
    uint64_t value = 0;
    size_t i = 0;
    if (field[0] & 0x80) {
        value = field[0] & 0x7f;
        for (i = 1; i < n; i++) {
            if (value >> 55) /* negative or absurd: more than 63 bits */
                return false;
            value = value << 8 | field[i];
        }
        *out = value;
        return true;
    }
    while (i < n && field[i] == ' ')
        i++;
    for (; i < n && field[i] >= '0' && field[i] <= '7'; i++)
        value = value << 3 | (uint64_t)(field[i] - '0'); /* at most 12 digits: 36 bits */
    if (i < n && field[i] != ' ' && field[i] != '\0')
        return false;
    *out = value;
    return true;
}

static bool checksum_right(const uint8_t *header)
{
    uint64_t stored;
    uint32_t sum = 0;
    int32_t sum_signed = 0; /* some old writers summed signed characters */
    if (!field_number(header + CHECKSUM, CHECKSUM_BYTES, &stored))
        return false;
    for (int i = 0; i < BLOCK; i++) {
        const bool own = i >= CHECKSUM && i < CHECKSUM + CHECKSUM_BYTES;
        sum += own ? ' ' : header[i];
        sum_signed += own ? ' ' : (int8_t)header[i];
    }
    return stored == sum || (sum_signed >= 0 && stored == (uint64_t)sum_signed);
}

static bool all_zero(const uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (data[i])
            return false;
    return true;
}

bool conure_tar_recognises(const uint8_t *data, uint64_t bytes)
{
    return bytes >= BLOCK && !all_zero(data, BLOCK) && checksum_right(data);
}

static size_t text_bytes(const uint8_t *field, size_t n)
{
    const uint8_t *end = memchr(field, 0, n);
    return end ? (size_t)(end - field) : n;
}

static conure_status set_name(reader *r, const void *text, size_t bytes)
{
    if (bytes == 0 || bytes > CONURE_TAR_NAME_BYTES_MAX || memchr(text, 0, bytes))
        return conure_fail(r->err, CONURE_BAD_FILE,
                           "tar: header before byte %llu: a name of %zu bytes (1 to %d, no NUL)",
                           (unsigned long long)r->position, bytes, CONURE_TAR_NAME_BYTES_MAX);
    memcpy(r->next.name, text, bytes);
    r->next.name[bytes] = '\0';
    r->next.has_name = true;
    return CONURE_OK;
}

static bool decimal(const char *text, size_t bytes, uint64_t *out)
{
    uint64_t value = 0;
    if (bytes == 0 || bytes > 18) /* 18 digits cannot overflow */
        return false;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *out = value;
    return true;
}

static bool starts(const char *text, size_t bytes, const char *with)
{
    const size_t n = strlen(with);
    return bytes >= n && memcmp(text, with, n) == 0;
}

/* One "LENGTH key=value\n".  A global header describes every member after it; path and size there
 * would give all of them one name or length, which no archive means. */
static conure_status pax_record(reader *r, const char *text, size_t bytes, bool global)
{
    const char *equals = memchr(text, '=', bytes);
    const size_t key = equals ? (size_t)(equals - text) : 0;
    char shown[64];
    if (key == 0)
        return conure_fail(r->err, CONURE_BAD_FILE, "tar: PAX record '%s' has no key",
                           conure_quote(shown, sizeof shown, text, bytes));
    const char *value = equals + 1;
    const size_t value_bytes = bytes - key - 1;
    const bool path = key == 4 && memcmp(text, "path", 4) == 0;
    const bool size = key == 4 && memcmp(text, "size", 4) == 0;
    if (starts(text, key, "GNU.sparse."))
        return conure_fail(
            r->err, CONURE_UNSUPPORTED,
            "tar: a sparse member (PAX record %s); pack the archive without --sparse",
            conure_quote(shown, sizeof shown, text, key));
    if (global && (path || size))
        return conure_fail(r->err, CONURE_BAD_FILE, "tar: a global PAX header sets %.4s", text);
    if (path)
        return set_name(r, value, value_bytes);
    if (size && !decimal(value, value_bytes, &r->next.size))
        return conure_fail(r->err, CONURE_BAD_FILE, "tar: PAX size '%s' is not a number",
                           conure_quote(shown, sizeof shown, value, value_bytes));
    r->next.has_size = r->next.has_size || size;
    return CONURE_OK;
}

static conure_status pax_read(reader *r, const uint8_t *data, size_t bytes, bool global)
{
    const char *text = (const char *)data;
    conure_status status = CONURE_OK;
    for (size_t at = 0; status == CONURE_OK && at < bytes && text[at];) {
        const char *space = memchr(text + at, ' ', bytes - at);
        const size_t digits = space ? (size_t)(space - text) - at : 0;
        uint64_t length;
        if (!space || !decimal(text + at, digits, &length) || length < digits + 3 ||
            length > bytes - at || text[at + length - 1] != '\n')
            return conure_fail(r->err, CONURE_BAD_FILE,
                               "tar: PAX header before byte %llu: damaged record at its byte %zu",
                               (unsigned long long)r->position, at);
        status = pax_record(r, space + 1, (size_t)length - digits - 2, global);
        at += (size_t)length;
    }
    return status;
}

/* Take "./" off the front; refuse what could point out of the archive.  *name may come back
 * empty: "./". */
static conure_status name_clean(reader *r, const char **name)
{
    const char *at = *name;
    while (at[0] == '.' && at[1] == '/')
        for (at += 1; *at == '/'; at++)
            ;
    if (strcmp(at, ".") == 0)
        at++;
    bool leaves = (*name)[0] == '/';
    for (const char *part = at; part && !leaves; part = strchr(part, '/')) {
        part += *part == '/';
        leaves = part[0] == '.' && part[1] == '.' && (part[2] == '/' || part[2] == '\0');
    }
    *name = at;
    if (leaves)
        return conure_fail(r->err, CONURE_BAD_FILE,
                           "tar: member '%s': an absolute path or one with '..' is refused",
                           r->label);
    return CONURE_OK;
}

static conure_status member_add(reader *r, const char *name, const uint8_t *data, uint64_t bytes)
{
    conure_tar *tar = r->tar;
    if (tar->n_members == CONURE_TAR_MEMBERS_MAX)
        return conure_fail(r->err, CONURE_LIMIT, "tar: more than %d members",
                           CONURE_TAR_MEMBERS_MAX);
    if (conure_tar_find(tar, name))
        return conure_fail(r->err, CONURE_BAD_FILE, "tar: member '%s' is there twice", r->label);
    if ((tar->n_members & (tar->n_members + 1)) ==
        0) { /* grow at 0, 1, 3, 7, ...: to twice that and one */
        const size_t cap = 2 * (size_t)tar->n_members + 1;
        conure_tar_member *grown = realloc(tar->members, cap * sizeof *grown);
        if (!grown)
            return conure_fail_memory(r->err, "tar members", cap * sizeof *grown);
        tar->members = grown;
    }
    char *copy = conure_strdup(name);
    if (!copy)
        return conure_fail_memory(r->err, "a tar member's name", strlen(name) + 1);
    tar->members[tar->n_members++] = (conure_tar_member){copy, data, bytes};
    return CONURE_OK;
}

/* The header's own name, unless an extended header gave one. */
static conure_status member_name(reader *r, const uint8_t *header)
{
    char name[PREFIX_BYTES + 1 + NAME_BYTES];
    const size_t prefix =
        memcmp(header + MAGIC, "ustar\0", 6) == 0 /* GNU's "ustar " has other fields */
            ? text_bytes(header + PREFIX, PREFIX_BYTES)
            : 0;
    const size_t rest = text_bytes(header + NAME, NAME_BYTES);
    if (r->next.has_name)
        return CONURE_OK;
    memcpy(name, header + PREFIX, prefix);
    name[prefix] = '/';
    memcpy(name + prefix + (prefix > 0), header + NAME, rest);
    return set_name(r, name, prefix + (prefix > 0) + rest);
}

static conure_status member_read(reader *r, const uint8_t *header, const uint8_t *data,
                                 uint64_t bytes)
{
    const char type = (char)header[TYPE];
    const char *name = r->next.name;
    conure_status status = name_clean(r, &name);
    if (status != CONURE_OK)
        return status;
    const size_t length = strlen(name);
    const bool folder = type == '5' || length == 0 || name[length - 1] == '/';
    if (type == '1' || type == '2')
        return conure_fail(r->err, CONURE_BAD_FILE, "tar: member '%s': links are refused",
                           r->label);
    if (type != '0' && type != '\0' && type != '7' && type != '5')
        return conure_fail(r->err, CONURE_BAD_FILE,
                           "tar: member '%s': type 0x%02x is neither a file nor a folder", r->label,
                           (unsigned)(uint8_t)type);
    return folder ? CONURE_OK : member_add(r, name, data, bytes);
}

/* One header and its data; extended headers only fill r->next. */
static conure_status entry_read(reader *r)
{
    const uint8_t *header = r->data + r->position;
    const char type = (char)header[TYPE];
    const bool extended = type == 'x' || type == 'g' || type == 'L' || type == 'K';
    uint64_t size = 0;
    conure_status status = CONURE_OK;
    if (!checksum_right(header))
        return conure_fail(r->err, CONURE_BAD_FILE,
                           "tar: header at byte %llu: wrong checksum; the file is damaged",
                           (unsigned long long)r->position);
    if (!extended)
        status = member_name(r, header);
    if (status != CONURE_OK)
        return status;
    if (extended)
        conure_quote(r->label, sizeof r->label, header, text_bytes(header + NAME, NAME_BYTES));
    else
        conure_quote(r->label, sizeof r->label, r->next.name, strlen(r->next.name));
    if (!extended && r->next.has_size)
        size = r->next.size;
    else if (!field_number(header + SIZE, SIZE_BYTES, &size))
        return conure_fail(r->err, CONURE_BAD_FILE, "tar: member '%s': its size is not a number",
                           r->label);
    if (type == '5') /* a folder has no data, whatever its size field says */
        size = 0;
    r->position += BLOCK;
    if (!conure_span_inside(r->position, size, r->bytes))
        return conure_fail(
            r->err, CONURE_BAD_FILE,
            "tar: member '%s': %llu bytes, but only %llu follow; the file is cut short or damaged",
            r->label, (unsigned long long)size, (unsigned long long)(r->bytes - r->position));
    const uint8_t *data = r->data + r->position;
    const uint64_t left = r->bytes - r->position, padded = size + (BLOCK - size % BLOCK) % BLOCK;
    if (extended && size > PAX_BYTES_MAX)
        return conure_fail(r->err, CONURE_LIMIT, "tar: header '%s' of %llu bytes, limit %u",
                           r->label, (unsigned long long)size, PAX_BYTES_MAX);
    if (type == 'x' || type == 'g') {
        status = pax_read(r, data, (size_t)size, type == 'g');
    } else if (type == 'L') {
        status = set_name(r, data, text_bytes(data, (size_t)size));
    } else if (type != 'K') { /* K: the target of a link, and links are refused */
        status = member_read(r, header, data, size);
        r->next.has_name = r->next.has_size = false;
    }
    r->position += padded < left ? padded : left;
    return status;
}

conure_status conure_tar_read(conure_tar *tar, const uint8_t *data, uint64_t bytes,
                              conure_error *err)
{
    conure_status status = CONURE_OK;
    reader r = {.data = data, .bytes = bytes, .tar = tar, .err = err};
    *tar = (conure_tar){0};
    while (status == CONURE_OK && r.position < bytes) {
        const uint64_t left = bytes - r.position;
        if (all_zero(data + r.position, left < BLOCK ? (size_t)left : BLOCK))
            break; /* the end marker */
        status = left < BLOCK
                     ? conure_fail(err, CONURE_BAD_FILE,
                                   "tar: ends inside a header at byte %llu; the file is cut short",
                                   (unsigned long long)r.position)
                     : entry_read(&r);
    }
    if (status == CONURE_OK && (r.next.has_name || r.next.has_size))
        status = conure_fail(err, CONURE_BAD_FILE,
                             "tar: ends after an extended header; the file is cut short");
    if (status != CONURE_OK)
        conure_tar_free(tar);
    return status;
}

void conure_tar_free(conure_tar *tar)
{
    for (uint32_t i = 0; i < tar->n_members; i++)
        free(tar->members[i].name);
    free(tar->members);
    *tar = (conure_tar){0};
}

const conure_tar_member *conure_tar_find(const conure_tar *tar, const char *name)
{
    for (uint32_t i = 0; i < tar->n_members; i++)
        if (strcmp(tar->members[i].name, name) == 0)
            return &tar->members[i];
    return NULL;
}
