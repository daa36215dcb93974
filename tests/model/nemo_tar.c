/* nemo_tar.c - tar and gzip: every kind of header that is read, and every kind that is refused. */
#include "model/gzip.h"
#include "model/tar.h"
#include "nemo_build.h"
#include "test.h"

#include <unistd.h>

static void member_is(const conure_tar *tar, const char *name, const char *text)
{
    const conure_tar_member *member = conure_tar_find(tar, name);
    test_true(member != NULL);
    if (member) {
        test_int(member->bytes, strlen(text));
        test_true(member->bytes == strlen(text) && memcmp(member->data, text, strlen(text)) == 0);
    }
}

static void prefix_header(conure_buffer *out)
{
    tar_header(out, "leaf", '0', 1);
    uint8_t *header = (uint8_t *)out->data + out->bytes - 512;
    memcpy(header + 345, "some/prefix", 11);
    tar_checksum(header);
    conure_buffer_text(out, "p");
    tar_pad(out);
}

static void base256_header(conure_buffer *out, uint8_t first, uint8_t eighth_last, uint8_t last)
{
    tar_header(out, "big", '0', 0);
    uint8_t *header = (uint8_t *)out->data + out->bytes - 512;
    memset(header + 124, first == 0xff ? 0xff : 0, 12);
    header[124] = first;
    header[128] = eighth_last;
    header[135] = last;
    tar_checksum(header);
}

static void test_good(void)
{
    conure_buffer out = {0};
    conure_error err;
    conure_tar tar;
    char long_name[301];
    memset(long_name, 'n', 300);
    long_name[300] = '\0';
    long_name[150] = '/';
    tar_pax(&out, 'g', "comment", "for all");
    tar_pax(&out, 'x', "mtime", "1795416948.763576");
    tar_add(&out, "./", '5', "", 0);
    tar_pax(&out, 'x', "mtime", "1795416948.763576");
    tar_add(&out, "./model_config.yaml", '0', "a: 1\n", 5);
    tar_add(&out, "old", '\0', "o", 1);
    tar_pax(&out, 'x', "path", long_name);
    tar_add(&out, "short", '0', "long by pax", 11);
    long_name[0] = 'N';
    tar_add(&out, "././@LongLink", 'L', long_name, 301);
    tar_add(&out, "NNN", '0', "long by gnu", 11);
    prefix_header(&out);
    tar_pax(&out, 'x', "size", "3"); /* wins over the header, which says 0 */
    tar_header(&out, "sized", '0', 0);
    conure_buffer_text(&out, "123");
    tar_pad(&out);
    base256_header(&out, 0x80, 0, 2);
    conure_buffer_text(&out, "xy");
    tar_pad(&out);
    const size_t last = out.bytes;
    tar_end(&out);
    test_true(conure_tar_recognises((const uint8_t *)out.data, out.bytes));
    test_int(conure_tar_read(&tar, (const uint8_t *)out.data, out.bytes, &err), CONURE_OK);
    test_int(tar.n_members, 7);
    member_is(&tar, "model_config.yaml", "a: 1\n");
    member_is(&tar, "old", "o");
    member_is(&tar, long_name, "long by gnu");
    long_name[0] = 'n';
    member_is(&tar, long_name, "long by pax");
    member_is(&tar, "some/prefix/leaf", "p");
    member_is(&tar, "sized", "123");
    member_is(&tar, "big", "xy");
    test_true(conure_tar_find(&tar, "") == NULL);
    conure_tar_free(&tar);
    /* Without the end marker, as some writers leave it. */
    test_int(conure_tar_read(&tar, (const uint8_t *)out.data, last, &err), CONURE_OK);
    test_int(tar.n_members, 7);
    conure_tar_free(&tar);
    conure_buffer_free(&out);
}

static void refused(conure_buffer *out, conure_status want, const char *part)
{
    conure_tar tar;
    conure_error err = {""};
    tar_end(out);
    test_int(conure_tar_read(&tar, (const uint8_t *)out->data, out->bytes, &err), want);
    test_contains(err.text, part);
    test_int(tar.n_members, 0);
    conure_buffer_free(out);
    *out = (conure_buffer){0};
}

static void test_names(void)
{
    conure_buffer out = {0};
    static const char *const leaving[] = {"..",          "../x",   "a/../x", "a/..",
                                          "/etc/passwd", "./../x", ".//../x"};
    for (size_t i = 0; i < sizeof leaving / sizeof *leaving; i++) {
        tar_add(&out, leaving[i], '0', "x", 1);
        refused(&out, CONURE_BAD_FILE, leaving[i]);
        tar_pax(&out, 'x', "path", leaving[i]);
        tar_add(&out, "harmless", '0', "x", 1);
        refused(&out, CONURE_BAD_FILE, leaving[i]);
        tar_add(&out, "././@LongLink", 'L', leaving[i], strlen(leaving[i]) + 1);
        tar_add(&out, "harmless", '0', "x", 1);
        refused(&out, CONURE_BAD_FILE, leaving[i]);
    }
    tar_add(&out, "..x/y..", '0', "x", 1); /* dots, but no parent */
    tar_add(&out, "link", '2', "", 0);
    refused(&out, CONURE_BAD_FILE, "'link': links are refused");
    tar_add(&out, "hard", '1', "", 0);
    refused(&out, CONURE_BAD_FILE, "'hard': links are refused");
    tar_add(&out, "device", '3', "", 0);
    refused(&out, CONURE_BAD_FILE, "'device': type 0x33");
    tar_add(&out, "same", '0', "1", 1);
    tar_add(&out, "./same", '0', "2", 1);
    refused(&out, CONURE_BAD_FILE, "'./same' is there twice");
    tar_pax(&out, 'g', "path", "all");
    refused(&out, CONURE_BAD_FILE, "global PAX header sets path");
    tar_pax(&out, 'x', "GNU.sparse.map", "0,1");
    refused(&out, CONURE_UNSUPPORTED, "GNU.sparse.map");
    tar_add(&out, "h", 'x', "12 path", 7);
    refused(&out, CONURE_BAD_FILE, "damaged record");
    tar_add(&out, "h", 'x', "9999999999999999999999 path=x\n", 30);
    refused(&out, CONURE_BAD_FILE, "damaged record");
    tar_add(&out, "h", 'x', "6 abc\n", 6);
    refused(&out, CONURE_BAD_FILE, "has no key");
    tar_pax(&out, 'x', "size", "-1");
    refused(&out, CONURE_BAD_FILE, "not a number");
    tar_pax(&out, 'x', "path", "");
    refused(&out, CONURE_BAD_FILE, "0 bytes");
    tar_add(&out, "h", 'x', "11 path=a\0b\n", 12);
    refused(&out, CONURE_BAD_FILE, "damaged record");
}

static void test_sizes(void)
{
    conure_buffer out = {0};
    tar_header(&out, "model_weights.ckpt", '0', 1ull << 32);
    refused(&out, CONURE_BAD_FILE, "member 'model_weights.ckpt': 4294967296 bytes");
    tar_header(&out, "one", '0', 1025); /* the end marker is 1024 */
    refused(&out, CONURE_BAD_FILE, "member 'one': 1025 bytes, but only 1024 follow");
    tar_pax(&out, 'x', "size", "999999999999999999");
    tar_header(&out, "two", '0', 0);
    refused(&out, CONURE_BAD_FILE, "member 'two': 999999999999999999 bytes");
    base256_header(&out, 0x80, 0x7f, 0); /* 2^63 - 2^56 */
    refused(&out, CONURE_BAD_FILE, "member 'big': 9151314442816847872 bytes");
    base256_header(&out, 0x80, 0xff, 0); /* past 2^63 */
    refused(&out, CONURE_BAD_FILE, "member 'big': its size is not a number");
    base256_header(&out, 0xff, 0xff, 0xff); /* -1 */
    refused(&out, CONURE_BAD_FILE, "member 'big': its size is not a number");
    tar_header(&out, "text", '0', 0);
    memcpy(out.data + 124, "12z", 3);
    tar_checksum((uint8_t *)out.data);
    refused(&out, CONURE_BAD_FILE, "member 'text': its size is not a number");
    tar_header(&out, "sum", '0', 0);
    out.data[0] = 'S';
    refused(&out, CONURE_BAD_FILE, "header at byte 0: wrong checksum");
    tar_header(&out, "././@PaxHeader", 'x', 2 << 20);
    char *filler = calloc(1, 2 << 20);
    conure_buffer_add(&out, filler, 2 << 20);
    free(filler);
    refused(&out, CONURE_LIMIT, "'././@PaxHeader' of 2097152 bytes");
    for (int i = 0; i <= CONURE_TAR_MEMBERS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        tar_header(&out, name, '0', 0);
    }
    refused(&out, CONURE_LIMIT, "more than 4096 members");
}

/* Cut anywhere, an archive of two files is refused until both are whole. */
static void test_cut(void)
{
    conure_buffer out = {0};
    long wrong = 0;
    tar_pax(&out, 'x', "path", "./first");
    tar_add(&out, "f", '0', "1234567", 7);
    tar_add(&out, "second", '0', "8", 1);
    const size_t whole = out.bytes - 511; /* the last byte that carries something */
    tar_end(&out);
    for (size_t n = 0; n <= out.bytes; n++) {
        conure_tar tar;
        conure_error err;
        uint8_t *copy = malloc(n + 1); /* exact size: a read past the end is caught */
        memcpy(copy, out.data, n);
        uint8_t *exact = realloc(copy, n ? n : 1);
        const conure_status status = conure_tar_read(&tar, exact, n, &err);
        /* It may end where a member ends: then the members are fewer, which its reader notices. */
        wrong += status != CONURE_OK && status != CONURE_BAD_FILE;
        wrong += status == CONURE_OK && (tar.n_members == 2) != (n >= whole);
        conure_tar_free(&tar);
        free(exact);
    }
    test_int(wrong, 0);
    conure_buffer_free(&out);
}

static void flip(const conure_buffer *in, size_t bit)
{
    conure_tar tar;
    conure_error err;
    uint8_t *copy = malloc(in->bytes);
    memcpy(copy, in->data, in->bytes);
    copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    volatile uint8_t sum = 0;
    if (conure_tar_read(&tar, copy, in->bytes, &err) == CONURE_OK)
        for (uint32_t i = 0; i < tar.n_members; i++)
            for (uint64_t k = 0; k < tar.members[i].bytes; k++)
                sum = (uint8_t)(sum + tar.members[i].data[k]);
    conure_tar_free(&tar);
    free(copy);
}

static conure_buffer gzip_of(const void *data, size_t bytes)
{
    conure_buffer out = {0};
    uint8_t chunk[4096];
    z_stream z = {0};
    test_int(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)data;
    z.avail_in = (uInt)bytes;
    for (int result = Z_OK; result == Z_OK;) {
        z.next_out = chunk;
        z.avail_out = sizeof chunk;
        result = deflate(&z, Z_FINISH);
        conure_buffer_add(&out, chunk, sizeof chunk - z.avail_out);
    }
    deflateEnd(&z);
    return out;
}

static conure_status inflate_of(const conure_buffer *in, size_t bytes, uint64_t bytes_max,
                                conure_map *map, conure_error *err)
{
    err->text[0] = '\0';
    return conure_gzip_inflate(map, (const uint8_t *)in->data, bytes, bytes_max, err);
}

static void test_gzip(void)
{
    const size_t n = 1000000;
    uint8_t *data = malloc(n);
    uint64_t seed = 7;
    conure_map map;
    conure_error err;
    for (size_t i = 0; i < n; i++)
        data[i] = (uint8_t)(test_random(&seed) >> 59);
    conure_buffer zipped = gzip_of(data, n);
    test_int(inflate_of(&zipped, zipped.bytes, n, &map, &err), CONURE_OK);
    test_int(map.bytes, n);
    test_true(map.bytes == n && memcmp(map.data, data, n) == 0);
    conure_map_close(&map);
    test_int(inflate_of(&zipped, zipped.bytes, n - 1, &map, &err), CONURE_LIMIT);
    test_contains(err.text, "inflates to more than 999999 bytes");
    for (size_t cut = 0; cut < zipped.bytes; cut += cut < 64 ? 1 : zipped.bytes / 16) {
        test_int(inflate_of(&zipped, cut, n, &map, &err), CONURE_BAD_FILE);
        test_true(map.data == NULL);
    }
    zipped.data[zipped.bytes - 6] ^= 1; /* of the CRC */
    test_int(inflate_of(&zipped, zipped.bytes, n, &map, &err), CONURE_BAD_FILE);
    test_contains(err.text, "gzip: ");
    const char *before = getenv("TMPDIR");
    char *kept = before ? conure_strdup(before) : NULL;
    setenv("TMPDIR", "/nonexistent/folder", 1);
    test_int(inflate_of(&zipped, zipped.bytes, n, &map, &err), CONURE_IO);
    test_contains(err.text, "/nonexistent/folder");
    test_contains(err.text, "TMPDIR");
    if (kept)
        setenv("TMPDIR", kept, 1);
    else
        unsetenv("TMPDIR");
    free(kept);
    conure_buffer_free(&zipped);
    free(data);
}

int main(void)
{
    test_begin("nemo_tar");
    test_good();
    test_names();
    test_sizes();
    test_cut();
    conure_buffer out = {0};
    tar_pax(&out, 'x', "path", "./first");
    tar_add(&out, "f", '0', "1234567", 7);
    tar_end(&out);
    for (size_t bit = 0; bit < 8 * out.bytes; bit++)
        flip(&out, bit);
    conure_buffer_free(&out);
    test_gzip();
    return test_end();
}
