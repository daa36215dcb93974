/* zip.c - the records of a stored zip archive.  Format: PKWARE APPNOTE 6.3, as torch.save()
 * writes it: nothing compressed, sizes in the central directory. */
#include "model/zip.h"

#include "base/memory.h"
#include "model/quote.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    END_BYTES = 22,
    LOCATOR_BYTES = 20,
    END64_BYTES = 56,
    CENTRAL_BYTES = 46,
    LOCAL_BYTES = 30,
    COMMENT_BYTES_MAX = 65535,
};

static uint32_t u16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t u32(const uint8_t *p)
{
    return u16(p) | u16(p + 2) << 16;
}

static uint64_t u64(const uint8_t *p)
{
    return (uint64_t)u32(p) | (uint64_t)u32(p + 4) << 32;
}

static bool signature(const uint8_t *p, char a, char b)
{
    return p[0] == 'P' && p[1] == 'K' && p[2] == (uint8_t)a && p[3] == (uint8_t)b;
}

bool conure_zip_recognises(const uint8_t *data, uint64_t bytes)
{
    return bytes >= END_BYTES && signature(data, 3, 4);
}

/* Where the central directory lies. */
typedef struct directory {
    uint64_t offset, bytes, n_records;
    uint64_t end; /* of the directory and of all data: where the end records start */
} directory;

/* The end record is the last thing but a comment; search backwards for one whose comment fits. */
static bool end_find(const uint8_t *data, uint64_t bytes, uint64_t *at)
{
    if (bytes < END_BYTES)
        return false;
    const uint64_t last = bytes - END_BYTES;
    const uint64_t first = last > COMMENT_BYTES_MAX ? last - COMMENT_BYTES_MAX : 0;
    for (uint64_t i = last + 1; i-- > first;) {
        if (signature(data + i, 5, 6) && u16(data + i + 20) == last - i) {
            *at = i;
            return true;
        }
    }
    return false;
}

static conure_status directory_find(directory *dir, const uint8_t *data, uint64_t bytes,
                                    conure_error *err)
{
    uint64_t at;
    if (!end_find(data, bytes, &at))
        return conure_fail(err, CONURE_BAD_FILE,
                           "zip: no end record; the file is cut short or not a zip");
    const uint8_t *end = data + at;
    bool split = u16(end + 4) != 0 || u16(end + 6) != 0;
    *dir = (directory){u32(end + 16), u32(end + 12), u16(end + 10), at};
    if (at >= LOCATOR_BYTES && signature(data + at - LOCATOR_BYTES, 6, 7)) {
        const uint8_t *locator = data + at - LOCATOR_BYTES;
        const uint64_t end64 = u64(locator + 8);
        if (!conure_span_inside(end64, END64_BYTES, at - LOCATOR_BYTES) ||
            !signature(data + end64, 6, 6))
            return conure_fail(
                err, CONURE_BAD_FILE,
                "zip: the zip64 locator points at byte %llu, no zip64 end record there",
                (unsigned long long)end64);
        const uint8_t *p = data + end64;
        split = u32(p + 16) != 0 || u32(p + 20) != 0;
        *dir = (directory){u64(p + 48), u64(p + 40), u64(p + 32), end64};
    }
    if (split)
        return conure_fail(err, CONURE_UNSUPPORTED, "zip: an archive split over several files");
    if (!conure_span_inside(dir->offset, dir->bytes, dir->end))
        return conure_fail(err, CONURE_BAD_FILE,
                           "zip: the directory of %llu bytes at %llu lies past the end at %llu",
                           (unsigned long long)dir->bytes, (unsigned long long)dir->offset,
                           (unsigned long long)dir->end);
    if (dir->n_records > CONURE_ZIP_RECORDS_MAX || dir->n_records > dir->bytes / CENTRAL_BYTES)
        return conure_fail(err, CONURE_BAD_FILE,
                           "zip: %llu records in a directory of %llu bytes (limit %u)",
                           (unsigned long long)dir->n_records, (unsigned long long)dir->bytes,
                           CONURE_ZIP_RECORDS_MAX);
    return CONURE_OK;
}

/* What the central directory says about one record. */
typedef struct central {
    uint64_t stored_bytes, bytes, offset;
    uint32_t flags, method, crc32, name_bytes, extra_bytes;
    const uint8_t *name, *extra;
} central;

/* Fields that are 0xffffffff in the header are in the zip64 field, in this order. */
static bool zip64_apply(central *c)
{
    uint64_t *const fields[3] = {&c->bytes, &c->stored_bytes, &c->offset};
    bool wanted = false;
    for (int i = 0; i < 3; i++)
        wanted = wanted || *fields[i] == UINT32_MAX;
    if (!wanted)
        return true;
    for (uint32_t at = 0; at + 4 <= c->extra_bytes;) {
        const uint32_t id = u16(c->extra + at), n = u16(c->extra + at + 2);
        const uint8_t *p = c->extra + at + 4;
        uint32_t used = 0;
        if (n > c->extra_bytes - at - 4)
            return false;
        at += 4 + n;
        if (id != 1)
            continue;
        for (int i = 0; i < 3; i++) {
            if (*fields[i] != UINT32_MAX)
                continue;
            if (n - used < 8)
                return false;
            *fields[i] = u64(p + used);
            used += 8;
        }
        return true;
    }
    return false;
}

static conure_status record_locate(conure_zip_record *record, const central *c, const uint8_t *data,
                                   const directory *dir, conure_error *err)
{
    char name[80];
    conure_quote(name, sizeof name, c->name, c->name_bytes);
    if (c->flags & 0x2041) /* encrypted, in one of three ways */
        return conure_fail(err, CONURE_UNSUPPORTED, "zip: record '%s' is encrypted", name);
    if (c->method != 0)
        return conure_fail(
            err, CONURE_UNSUPPORTED,
            "zip: record '%s' is compressed (method %u); torch.save() stores, repack with zip -0",
            name, c->method);
    if (c->stored_bytes != c->bytes)
        return conure_fail(err, CONURE_BAD_FILE, "zip: record '%s': %llu bytes stored as %llu",
                           name, (unsigned long long)c->bytes, (unsigned long long)c->stored_bytes);
    const bool inside = conure_span_inside(c->offset, LOCAL_BYTES, dir->offset);
    const uint8_t *local = data + (inside ? c->offset : 0);
    if (!inside || !signature(local, 3, 4))
        return conure_fail(err, CONURE_BAD_FILE, "zip: record '%s': no local header at byte %llu",
                           name, (unsigned long long)c->offset);
    const uint64_t skip = (uint64_t)LOCAL_BYTES + u16(local + 26) + u16(local + 28);
    const uint64_t room = dir->offset - c->offset; /* >= LOCAL_BYTES */
    if (u16(local + 8) != 0 || u16(local + 26) != c->name_bytes || skip > room ||
        memcmp(local + LOCAL_BYTES, c->name, c->name_bytes) != 0)
        return conure_fail(
            err, CONURE_BAD_FILE,
            "zip: record '%s': its local header at byte %llu differs from the directory", name,
            (unsigned long long)c->offset);
    if (c->bytes > room - skip)
        return conure_fail(err, CONURE_BAD_FILE,
                           "zip: record '%s': %llu bytes, but only %llu are left", name,
                           (unsigned long long)c->bytes, (unsigned long long)(room - skip));
    *record =
        (conure_zip_record){(const char *)c->name, c->name_bytes, c->crc32, local + skip, c->bytes};
    return CONURE_OK;
}

/* Read the record at *at of the directory and move on. */
static conure_status record_read(conure_zip_record *record, uint64_t *at, const uint8_t *data,
                                 const directory *dir, conure_error *err)
{
    const uint8_t *p = data + dir->offset + *at;
    const uint64_t left = dir->bytes - *at;
    if (left < CENTRAL_BYTES || !signature(p, 1, 2))
        return conure_fail(err, CONURE_BAD_FILE, "zip: damaged directory at byte %llu",
                           (unsigned long long)(dir->offset + *at));
    central c = {.flags = u16(p + 8),
                 .method = u16(p + 10),
                 .crc32 = u32(p + 16),
                 .stored_bytes = u32(p + 20),
                 .bytes = u32(p + 24),
                 .name_bytes = u16(p + 28),
                 .extra_bytes = u16(p + 30),
                 .offset = u32(p + 42)};
    const uint64_t size = (uint64_t)CENTRAL_BYTES + c.name_bytes + c.extra_bytes + u16(p + 32);
    c.name = p + CENTRAL_BYTES;
    c.extra = c.name + c.name_bytes;
    if (size > left || c.name_bytes > CONURE_ZIP_NAME_BYTES_MAX || u16(p + 34) != 0 ||
        !zip64_apply(&c))
        return conure_fail(err, CONURE_BAD_FILE,
                           "zip: damaged record in the directory at byte %llu",
                           (unsigned long long)(dir->offset + *at));
    *at += size;
    return record_locate(record, &c, data, dir, err);
}

static int name_compare(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    const int order = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);
    return order ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static int record_compare(const void *a, const void *b)
{
    const conure_zip_record *x = a, *y = b;
    return name_compare(x->name, x->name_bytes, y->name, y->name_bytes);
}

conure_status conure_zip_read(conure_zip *zip, const uint8_t *data, uint64_t bytes,
                              conure_error *err)
{
    directory dir = {0};
    uint64_t at = 0;
    *zip = (conure_zip){0};
    conure_status status = directory_find(&dir, data, bytes, err);
    if (status != CONURE_OK || dir.n_records == 0)
        return status;
    zip->records = conure_calloc((size_t)dir.n_records, sizeof *zip->records);
    if (!zip->records)
        return conure_fail_memory(err, "zip records", (size_t)dir.n_records * sizeof *zip->records);
    while (status == CONURE_OK && zip->n_records < dir.n_records)
        status = record_read(&zip->records[zip->n_records++], &at, data, &dir, err);
    if (status == CONURE_OK)
        qsort(zip->records, zip->n_records, sizeof *zip->records, record_compare);
    for (uint32_t i = 1; status == CONURE_OK && i < zip->n_records; i++) {
        char name[80];
        const conure_zip_record *r = &zip->records[i];
        if (record_compare(r - 1, r) == 0)
            status = conure_fail(err, CONURE_BAD_FILE, "zip: record '%s' is there twice",
                                 conure_quote(name, sizeof name, r->name, r->name_bytes));
    }
    if (status != CONURE_OK)
        conure_zip_free(zip);
    return status;
}

void conure_zip_free(conure_zip *zip)
{
    free(zip->records);
    *zip = (conure_zip){0};
}

const conure_zip_record *conure_zip_find(const conure_zip *zip, const char *name, size_t name_bytes)
{
    uint32_t low = 0, high = zip->n_records;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const conure_zip_record *r = &zip->records[middle];
        const int order = name_compare(name, name_bytes, r->name, r->name_bytes);
        if (order == 0)
            return r;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

conure_status conure_zip_check(const conure_zip_record *record, conure_error *err)
{
    char name[80];
    const uint32_t crc =
        (uint32_t)crc32_z(crc32_z(0, NULL, 0), record->data, (z_size_t)record->bytes);
    if (crc == record->crc32)
        return CONURE_OK;
    return conure_fail(
        err, CONURE_BAD_FILE,
        "zip: record '%s': CRC-32 %08x, expected %08x; the file is damaged, fetch it again",
        conure_quote(name, sizeof name, record->name, record->name_bytes), (unsigned)crc,
        (unsigned)record->crc32);
}
