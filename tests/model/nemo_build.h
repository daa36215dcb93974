/* nemo_build.h - tars, zips and pickles made by hand, well formed or not, for tests and fuzz
 * targets. */
#ifndef CONURE_TESTS_MODEL_NEMO_BUILD_H
#define CONURE_TESTS_MODEL_NEMO_BUILD_H

#include "base/memory.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

/* ---- tar ------------------------------------------------------------------------------------- */

static inline void tar_checksum(uint8_t *header)
{
    unsigned sum = 0;
    memset(header + 148, ' ', 8);
    for (int i = 0; i < 512; i++)
        sum += header[i];
    snprintf((char *)header + 148, 8, "%06o", sum);
}

static inline void tar_pad(conure_buffer *out)
{
    static const char zeros[512];
    if (out->bytes % 512)
        conure_buffer_add(out, zeros, 512 - out->bytes % 512);
}

/* A header that claims size bytes, whatever follows. */
static inline void tar_header(conure_buffer *out, const char *name, char type, uint64_t size)
{
    uint8_t header[512] = {0};
    const size_t n = strlen(name);
    memcpy(header, name, n < 100 ? n : 100);
    memcpy(header + 100, "0000644\0000000000\0000000000\0", 24);
    snprintf((char *)header + 124, 12, "%011llo", (unsigned long long)size);
    memcpy(header + 136, "00000000000\0", 12);
    header[156] = (uint8_t)type;
    memcpy(header + 257, "ustar\00000", 8);
    tar_checksum(header);
    conure_buffer_add(out, header, sizeof header);
}

static inline void tar_add(conure_buffer *out, const char *name, char type, const void *data,
                           size_t bytes)
{
    tar_header(out, name, type, bytes);
    conure_buffer_add(out, data, bytes);
    tar_pad(out);
}

/* A PAX header ('x' or 'g') with one record. */
static inline void tar_pax(conure_buffer *out, char type, const char *key, const char *value)
{
    char record[8192];
    size_t body = strlen(key) + strlen(value) + 3, bytes = body; /* " ", "=" and "\n" */
    for (int i = 0; i < 4; i++) /* the length counts its own digits */
        bytes = body + (size_t)snprintf(record, sizeof record, "%zu", bytes);
    snprintf(record, sizeof record, "%zu %s=%s\n", bytes, key, value);
    tar_add(out, "././@PaxHeader", type, record, bytes);
}

static inline void tar_end(conure_buffer *out)
{
    static const char zeros[1024];
    conure_buffer_add(out, zeros, sizeof zeros);
}

/* ---- zip ------------------------------------------------------------------------------------- */

static inline void put_number(conure_buffer *out, uint64_t number, int bytes)
{
    uint8_t p[8];
    for (int i = 0; i < bytes; i++)
        p[i] = (uint8_t)(number >> (8 * i));
    conure_buffer_add(out, p, (size_t)bytes);
}

typedef struct zip_builder {
    conure_buffer out, directory;
    uint32_t n;
    bool zip64; /* sizes and offsets in zip64 fields, zip64 end records */
} zip_builder;

/* As torch does: local header with bit 3 and zero sizes, data aligned by an extra field, a data
 * descriptor. */
static inline void zip_add(zip_builder *zip, const char *name, const void *data, size_t bytes)
{
    const size_t n = strlen(name), at = zip->out.bytes;
    const size_t padding = (64 - (at + 30 + n + 4) % 64) % 64;
    const uint32_t crc = (uint32_t)crc32_z(crc32_z(0, NULL, 0), data, bytes);
    conure_buffer *out = &zip->out, *dir = &zip->directory;
    conure_buffer_add(out, "PK\3\4\0\0\10\10\0\0\0\0\0\0", 14);
    put_number(out, 0, 4);
    put_number(out, 0, 4);
    put_number(out, 0, 4);
    put_number(out, n, 2);
    put_number(out, padding + 4, 2);
    conure_buffer_add(out, name, n);
    conure_buffer_add(out, "FB", 2);
    put_number(out, padding, 2);
    for (size_t i = 0; i < padding; i++)
        put_number(out, 'Z', 1);
    conure_buffer_add(out, data, bytes);
    conure_buffer_add(out, "PK\7\10", 4);
    put_number(out, crc, 4);
    put_number(out, bytes, 4);
    put_number(out, bytes, 4);
    conure_buffer_add(dir, "PK\1\2\0\0\0\0\10\10\0\0\0\0\0\0", 16);
    put_number(dir, crc, 4);
    put_number(dir, zip->zip64 ? UINT32_MAX : bytes, 4);
    put_number(dir, zip->zip64 ? UINT32_MAX : bytes, 4);
    put_number(dir, n, 2);
    put_number(dir, zip->zip64 ? 28 : 0, 2);
    put_number(dir, 0, 8); /* comment, disk, attributes */
    put_number(dir, 0, 2);
    put_number(dir, zip->zip64 ? UINT32_MAX : at, 4);
    conure_buffer_add(dir, name, n);
    if (zip->zip64) {
        put_number(dir, 1, 2);
        put_number(dir, 24, 2);
        put_number(dir, bytes, 8);
        put_number(dir, bytes, 8);
        put_number(dir, at, 8);
    }
    zip->n++;
}

/* The finished archive is zip->out. */
static inline void zip_end(zip_builder *zip)
{
    conure_buffer *out = &zip->out;
    const size_t at = out->bytes, bytes = zip->directory.bytes;
    conure_buffer_add(out, zip->directory.data, bytes);
    const size_t end64 = out->bytes;
    if (zip->zip64) {
        conure_buffer_add(out, "PK\6\6", 4);
        put_number(out, 44, 8);
        put_number(out, 0, 4);
        put_number(out, 0, 8);
        put_number(out, zip->n, 8);
        put_number(out, zip->n, 8);
        put_number(out, bytes, 8);
        put_number(out, at, 8);
        conure_buffer_add(out, "PK\6\7", 4);
        put_number(out, 0, 4);
        put_number(out, end64, 8);
        put_number(out, 1, 4);
    }
    conure_buffer_add(out, "PK\5\6\0\0\0\0", 8);
    put_number(out, zip->zip64 ? UINT16_MAX : zip->n, 2);
    put_number(out, zip->zip64 ? UINT16_MAX : zip->n, 2);
    put_number(out, zip->zip64 ? UINT32_MAX : bytes, 4);
    put_number(out, zip->zip64 ? UINT32_MAX : at, 4);
    put_number(out, 0, 2);
    assert(!out->failed && !zip->directory.failed);
    conure_buffer_free(&zip->directory);
}

/* ---- pickle ---------------------------------------------------------------------------------- */

static inline void pickle_global(conure_buffer *out, const char *module, const char *name)
{
    conure_buffer_format(out, "c%s\n%s\n", module, name);
}

static inline void pickle_text(conure_buffer *out, const char *text)
{
    conure_buffer_text(out, "X");
    put_number(out, strlen(text), 4);
    conure_buffer_text(out, text);
}

static inline void pickle_int(conure_buffer *out, int64_t number)
{
    if (number >= INT32_MIN && number <= INT32_MAX) {
        conure_buffer_text(out, "J");
        put_number(out, (uint64_t)number, 4);
    } else {
        conure_buffer_add(out, "\x8a\x08", 2);
        put_number(out, (uint64_t)number, 8);
    }
}

static inline void pickle_ints(conure_buffer *out, const int64_t *numbers, uint32_t n)
{
    conure_buffer_text(out, "(");
    for (uint32_t i = 0; i < n; i++)
        pickle_int(out, numbers[i]);
    conure_buffer_text(out, "t");
}

/* The dictionary's start, up to the mark of its items. */
static inline void pickle_begin(conure_buffer *out)
{
    conure_buffer_add(out, "\x80\x02", 2);
    pickle_global(out, "collections", "OrderedDict");
    conure_buffer_text(out, ")R(");
}

static inline void pickle_tensor(conure_buffer *out, const char *name, const char *storage,
                                 const char *key, int64_t elements, int64_t offset, uint32_t rank,
                                 const int64_t *shape, const int64_t *stride)
{
    pickle_text(out, name);
    pickle_global(out, "torch._utils", "_rebuild_tensor_v2");
    conure_buffer_text(out, "((");
    pickle_text(out, "storage");
    pickle_global(out, "torch", storage);
    pickle_text(out, key);
    pickle_text(out, "cuda:0");
    pickle_int(out, elements);
    conure_buffer_text(out, "tQ");
    pickle_int(out, offset);
    pickle_ints(out, shape, rank);
    pickle_ints(out, stride, rank);
    conure_buffer_add(out, "\x89", 1);
    pickle_global(out, "collections", "OrderedDict");
    conure_buffer_text(out, ")RtR");
}

/* With the _metadata attribute that torch sets. */
static inline void pickle_end(conure_buffer *out)
{
    conure_buffer_text(out, "u}");
    pickle_text(out, "_metadata");
    pickle_global(out, "collections", "OrderedDict");
    conure_buffer_text(out, ")Rsb.");
}

#endif
