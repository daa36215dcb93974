/* tolerance.c - tolerance files: the shipped table is chosen from as its entries say, and whatever is odd is refused with its place. */
#include "support.h"

#include "clearance/tolerance.h"

static char *text;
static size_t text_bytes;

static void shipped(bool flows, const char *precision, const char *entry, double channel, double time)
{
    conure_tolerance t;
    conure_error err = {""};
    char sha256[65];
    good(conure_tolerance_read(&t, NULL, flows, precision, sha256, &err), &err);
    test_text(t.file, "note-2026-01");
    test_text(t.name, entry);
    test_contains(t.why, precision);
    test_near(t.limits[CONURE_MEASURED_CHANNEL].absolute_max, channel, 0);
    test_near(t.limits[CONURE_MEASURED_TIME].absolute_max, time, 0);
    test_int(strlen(sha256), 64);
}

/* The shipped file with a piece replaced. */
static void refused(const char *from, const char *to, conure_status status, const char *expected)
{
    conure_buffer b = {0};
    conure_tolerance t;
    conure_error err = {""};
    const char *found = strstr(text, from);
    test_true(found != NULL);
    if (!found)
        return;
    conure_buffer_add(&b, text, (size_t)(found - text));
    conure_buffer_text(&b, to);
    conure_buffer_text(&b, found + strlen(from));
    test_int(conure_tolerance_parse(&t, b.data, b.bytes, true, "f32", "t.json", &err), status);
    test_contains(err.text, expected);
    conure_buffer_free(&b);
}

int main(void)
{
    conure_error err = {""};
    test_begin("clearance.tolerance");
    shipped(false, "f32", "cache reset, f32", 1e-6, 0.1);
    shipped(true, "f32", "state flows, f32", 1e-3, 1e-4);
    shipped(true, "tf32", "state flows, f32", 1e-3, 1e-4);
    shipped(true, "int8", "reduced precision", 5e-3, 5e-3);
    shipped(false, "bf16", "reduced precision", 5e-3, 5e-3);
    good(conure_file_read(&text, &text_bytes, SOURCE_DIR "/tolerances/note-2026-01.json", 1 << 20, &err), &err);
    const conure_status bad = CONURE_BAD_FILE;
    refused("\"absolute_p95\": 5e-4", "\"absolute_p95\": NaN", bad, "t.json: line 11: not valid JSON");
    refused("\"absolute_max\": 1e-6", "\"absolute_max\": -1e-6", bad, "t.json: /entries/0/tensors/cache_last_channel/absolute_max is -1e-06, expected 0");
    refused("\"absolute_max\": 1e-6", "\"absolute_max\": -0.0", bad, "cache_last_channel/absolute_max is -0");
    refused("\"absolute_max\": 1e-6", "\"absolute_max\": 1e999", bad, "not valid JSON");
    refused("\"absolute_max\": 1e-6", "\"absolute_max\": 1e7", bad, "is 1e+07, expected 0 to 1e+06");
    refused("\"absolute_max\": 1e-6", "\"absolute_max\": \"1e-6\"", bad, "is something else, expected a number");
    refused("\"absolute_max\": 1e-6", "\"relative_max\": 1", bad, "absolute_max is missing"); /* no tensor passes without a bound */
    refused("\"absolute_p95\": 5e-4", "\"absolute_p95\": 2e-3", bad, "absolute_p95 is 0.002, expected at most absolute_max");
    refused("\"encoded_lengths\": \"exact\"", "\"encoded_lengths\": 1", bad, "encoded_lengths is something else than \"exact\"");
    refused("\"slope_per_chunk\": 5e-7", "\"slope_per_chunk\": -1", bad, "/entries/0/slope_per_chunk is -1");
    refused("\"slope_per_chunk\": 5e-7", "\"slope\": 1", bad, "/entries/0/slope: no member");
    refused("\"token_agreement\": 1", "\"token_agreement\": 1.5", bad, "is 1.5, expected 0 to 1");
    refused("\"precision\": [\"f32\", \"tf32\"]", "\"precision\": [\"f64\"]", bad, "/entries/0/precision/0 is no precision");
    refused("\"state\": \"reset\"", "\"state\": \"still\"", bad, "/entries/0/state is \"still\"");
    refused("\"format\": 1", "\"format\": 2", CONURE_UNSUPPORTED, "format");
    refused("\"format\": 1,", "\"format\": 1, \"format\": 1,", bad, "duplicate");
    refused("\"state\": \"flows\"", "\"state\": \"reset\"", CONURE_UNSUPPORTED, "no entry is for precision f32 where state flows");
    conure_tolerance t;
    for (size_t n = 0; n + 2 < text_bytes; n += 37)
        test_int(conure_tolerance_parse(&t, text, n, true, "f32", "cut", &err), CONURE_BAD_FILE);
    test_int(conure_tolerance_read(&t, "absent.json", true, "f32", NULL, &err), CONURE_IO);
    free(text);
    return test_end();
}
