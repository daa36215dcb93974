/* Error texts: formatting, truncation between characters, prefixes; status and version texts. */
#include "base/error.h"

#include "test.h"

#define CAP (sizeof((conure_error *)0)->text)

/* n times `character` after `lead` bytes of 'a': what is kept must end where a character does. */
static void test_truncation(size_t lead, const char *character)
{
    char text[2048] = "";
    conure_error err;
    const size_t width = strlen(character);
    memset(text, 'a', lead);
    for (size_t at = lead; at + width < sizeof text; at += width)
        memcpy(text + at, character, width + 1);
    test_int(conure_fail(&err, CONURE_IO, "%s", text), CONURE_IO);
    const size_t kept = strlen(err.text);
    test_int(kept, lead + (CAP - 1 - lead) / width * width);
    test_true(memcmp(err.text, text, kept) == 0);
}

static void test_fail(void)
{
    conure_error err = {"untouched"};
    test_int(conure_fail(NULL, CONURE_LIMIT, "%d", 1), CONURE_LIMIT);
    test_int(conure_fail(&err, CONURE_BAD_FILE, "%s: %d", "m.nemo", 7), CONURE_BAD_FILE);
    test_text(err.text, "m.nemo: 7");
    conure_fail(&err, CONURE_BAD_FILE, "tar: %s", err.text); /* its own text as an argument */
    test_text(err.text, "tar: m.nemo: 7");
    conure_error_prefix(&err, "utterance 2");
    test_text(err.text, "utterance 2: tar: m.nemo: 7");
    conure_error_prefix(NULL, "nothing");
    test_int(conure_fail_memory(&err, "encoder.wq", 4096), CONURE_NO_MEMORY);
    test_text(err.text, "out of memory for encoder.wq (4096 bytes)");
    test_int(conure_fail_memory(NULL, "x", 1), CONURE_NO_MEMORY);
}

static void test_prefix_truncates(void)
{
    conure_error err;
    memset(err.text, 'b', CAP - 1);
    err.text[CAP - 1] = '\0';
    conure_error_prefix(&err, "prefix");
    test_int(strlen(err.text), CAP - 1);
    test_true(strncmp(err.text, "prefix: bbb", 11) == 0);
}

typedef struct line {
    int n;
    conure_log_level level;
    char text[2048];
} line;

static void keep_line(void *user, conure_log_level level, const char *text)
{
    line *l = user;
    l->n++;
    l->level = level;
    snprintf(l->text, sizeof l->text, "%s", text);
}

static void test_log(void)
{
    line l = {0};
    const conure_log log = {keep_line, &l}, silent = {0};
    conure_log_write(&log, CONURE_LOG_INFO, "%s %d", "threads", 2);
    test_int(l.n, 1);
    test_int(l.level, CONURE_LOG_INFO);
    test_text(l.text, "threads 2");
    conure_log_write(&silent, CONURE_LOG_WARNING, "%d", 1);
    conure_log_write(NULL, CONURE_LOG_WARNING, "%d", 1);
    test_int(l.n, 1);
    conure_log_write(&log, CONURE_LOG_DEBUG, "%5000d", 1);
    test_int(l.n, 2);
    test_true(strlen(l.text) > 500 && strlen(l.text) < 5000);
}

static void test_status(void)
{
    static const int values[] = {0, -1, -2, -3, -4, -5, -6, -7, -8, -9, -10};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        const char *text = conure_status_text((conure_status)values[i]);
        test_true(*text && strcmp(text, "unknown status") != 0);
    }
    test_text(conure_status_text(CONURE_OK), "ok");
    test_text(conure_status_text((conure_status)-999), "unknown status");
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", CONURE_VERSION_MAJOR, CONURE_VERSION_MINOR,
             CONURE_VERSION_PATCH);
    test_text(conure_version(), version);
}

int main(void)
{
    test_begin("base_error");
    for (size_t lead = 0; lead < 9; lead++) {
        test_truncation(lead, "z");
        test_truncation(lead, "\xC3\xA9");
        test_truncation(lead, "\xE2\x96\x81");
        test_truncation(lead, "\xF0\x9F\x90\xA6");
    }
    test_fail();
    test_prefix_truncates();
    test_log();
    test_status();
    return test_end();
}
