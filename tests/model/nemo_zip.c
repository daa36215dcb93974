/* nemo_zip.c - zip archives as torch.save() writes them, classic and zip64, and damaged ones. */
#include "model/zip.h"
#include "nemo_build.h"
#include "test.h"

static conure_buffer archive(bool zip64)
{
    zip_builder zip = {.zip64 = zip64};
    zip_add(&zip, "m/data.pkl", "pickle", 6);
    zip_add(&zip, "m/data/10", "ten", 3);
    zip_add(&zip, "m/data/1", "", 0);
    zip_end(&zip);
    return zip.out;
}

static conure_status read_of(conure_zip *zip, const conure_buffer *in, conure_error *err)
{
    err->text[0] = '\0';
    return conure_zip_read(zip, (const uint8_t *)in->data, in->bytes, err);
}

static void record_is(const conure_zip *zip, const char *name, const char *text)
{
    const conure_zip_record *record = conure_zip_find(zip, name, strlen(name));
    test_true(record != NULL);
    if (record) {
        test_int(record->bytes, strlen(text));
        test_true(memcmp(record->data, text, strlen(text)) == 0);
        test_int(conure_zip_check(record, NULL), CONURE_OK);
    }
}

static void test_good(bool zip64)
{
    conure_buffer in = archive(zip64);
    conure_zip zip;
    conure_error err;
    test_true(conure_zip_recognises((const uint8_t *)in.data, in.bytes));
    test_int(read_of(&zip, &in, &err), CONURE_OK);
    test_int(zip.n_records, 3);
    record_is(&zip, "m/data.pkl", "pickle");
    record_is(&zip, "m/data/10", "ten");
    record_is(&zip, "m/data/1", "");
    test_true(conure_zip_find(&zip, "m/data/", 7) == NULL);
    const conure_zip_record *record = conure_zip_find(&zip, "m/data/10", 9);
    test_true(record && (size_t)((const char *)record->data - in.data) % 64 == 0);
    in.data[(const char *)record->data - in.data] ^= 4;
    test_int(conure_zip_check(record, &err), CONURE_BAD_FILE);
    test_contains(err.text, "record 'm/data/10': CRC-32");
    conure_zip_free(&zip);
    conure_buffer_free(&in);
}

/* Change bytes at an offset from the first central header (or the end record) and expect a
 * refusal. */
static void refused(bool zip64, char kind, size_t offset, const char *bytes, size_t n,
                    conure_status want, const char *part)
{
    conure_buffer in = archive(zip64);
    conure_zip zip;
    conure_error err;
    const char signature[4] = {'P', 'K',
                               kind == 'c'   ? 1
                               : kind == '6' ? 6
                                             : 5,
                               kind == 'c' ? 2 : 6};
    char *at = memmem(in.data, in.bytes, signature, 4);
    test_true(at != NULL);
    if (at) {
        memcpy(at + offset, bytes, n);
        test_int(read_of(&zip, &in, &err), want);
        test_contains(err.text, part);
        test_int(zip.n_records, 0);
        conure_zip_free(&zip);
    }
    conure_buffer_free(&in);
}

static void test_refused(void)
{
    refused(false, 'c', 10, "\x08", 1, CONURE_UNSUPPORTED, "'m/data.pkl' is compressed (method 8)");
    refused(false, 'c', 8, "\x01", 1, CONURE_UNSUPPORTED, "'m/data.pkl' is encrypted");
    refused(false, 'c', 20, "\x05", 1, CONURE_BAD_FILE, "6 bytes stored as 5");
    refused(false, 'c', 20, "\0\0\1\0\0\0\1\0", 8, CONURE_BAD_FILE, "65536 bytes, but only");
    refused(false, 'c', 20, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, CONURE_BAD_FILE,
            "damaged record");
    refused(false, 'c', 42, "\xff\xff\xff\x7f", 4, CONURE_BAD_FILE,
            "no local header at byte 2147483647");
    refused(false, 'c', 42, "\x01", 1, CONURE_BAD_FILE, "no local header at byte 1");
    refused(false, 'c', 46, "x", 1, CONURE_BAD_FILE, "differs from the directory");
    refused(false, 'c', 28, "\xff\xff", 2, CONURE_BAD_FILE, "damaged record");
    refused(false, 'c', 34, "\1", 1, CONURE_BAD_FILE, "damaged record");
    refused(false, 'e', 4, "\1", 1, CONURE_UNSUPPORTED, "split");
    refused(false, 'e', 10, "\xff", 1, CONURE_BAD_FILE, "255 records");
    refused(false, 'e', 10, "\x04", 1, CONURE_BAD_FILE, "4 records in a directory of 165 bytes");
    refused(false, 'c', 0, "x", 1, CONURE_BAD_FILE, "damaged directory");
    refused(false, 'e', 16, "\xff\xff", 2, CONURE_BAD_FILE, "lies past the end");
    refused(false, 'e', 20, "\1", 1, CONURE_BAD_FILE, "no end record");
    refused(true, '6', 32, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, CONURE_BAD_FILE,
            "18446744073709551615 records");
    refused(true, '6', 40, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, CONURE_BAD_FILE,
            "lies past the end");
    refused(true, '6', 48, "\xf0\xff\xff\xff\xff\xff\xff\xff", 8, CONURE_BAD_FILE,
            "lies past the end");
    refused(true, '6', 0, "x", 1, CONURE_BAD_FILE, "no zip64 end record there");
    refused(true, 'c', 46 + 10 + 4, "\6\0\0\0\0\0\0\x80\6\0\0\0\0\0\0\x80", 16, CONURE_BAD_FILE,
            "9223372036854775814 bytes, but only");
    refused(true, 'c', 46 + 10 + 2, "\x10", 1, CONURE_BAD_FILE,
            "damaged record"); /* zip64 field too short */
    refused(true, 'c', 46 + 10 + 2, "\xff\xff", 2, CONURE_BAD_FILE, "damaged record");
    refused(true, 'c', 46 + 10, "\x02", 1, CONURE_BAD_FILE, "damaged record");
    zip_builder zip = {0};
    conure_zip out;
    conure_error err;
    zip_add(&zip, "m/a", "1", 1);
    zip_add(&zip, "m/a", "2", 1);
    zip_end(&zip);
    test_int(read_of(&out, &zip.out, &err), CONURE_BAD_FILE);
    test_contains(err.text, "'m/a' is there twice");
    conure_buffer_free(&zip.out);
}

/* A copy of exactly n bytes, perhaps with one bit changed; records that pass their CRC are as
 * they were. */
static bool survives(const conure_buffer *in, size_t n, size_t bit)
{
    conure_zip zip;
    conure_error err;
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, in->data, n);
    if (bit < 8 * n)
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    const conure_status status = conure_zip_read(&zip, copy, n, &err);
    for (uint32_t i = 0; status == CONURE_OK && i < zip.n_records; i++)
        conure_zip_check(&zip.records[i], &err);
    conure_zip_free(&zip);
    free(copy);
    return status == CONURE_OK;
}

int main(void)
{
    test_begin("nemo_zip");
    test_good(false);
    test_good(true);
    test_refused();
    for (int zip64 = 0; zip64 < 2; zip64++) {
        conure_buffer in = archive(zip64);
        long accepted = 0;
        for (size_t n = 0; n < in.bytes; n++)
            accepted += survives(&in, n, SIZE_MAX);
        test_int(accepted, 0);
        for (size_t bit = 0; bit < 8 * in.bytes; bit++)
            accepted += survives(&in, in.bytes, bit);
        test_true(accepted > 0 &&
                  accepted < (long)(8 * in.bytes)); /* times and the like do not matter */
        conure_buffer_free(&in);
    }
    return test_end();
}
