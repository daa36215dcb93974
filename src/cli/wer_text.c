/* wer_text.c - normalising texts before their words are compared. */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/error.h"
#include "base/memory.h"
#include "cli/wer.h"

const char *const conure_normaliser_names[] = {"none", "basic", NULL};

static bool is_space(int32_t code)
{
    const utf8proc_category_t c = utf8proc_category(code);
    return (code >= 0x09 && code <= 0x0D) || code == 0x85 || c == UTF8PROC_CATEGORY_ZS ||
           c == UTF8PROC_CATEGORY_ZL || c == UTF8PROC_CATEGORY_ZP;
}

static bool is_punctuation(int32_t code)
{
    const utf8proc_category_t c = utf8proc_category(code);
    return c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
}

static bool is_apostrophe(int32_t code)
{
    return code == '\'' || code == 0x2019 || code == 0x02BC;
}

/* Letters, marks and digits: what an apostrophe must stand between. */
static bool is_word_part(int32_t code)
{
    const utf8proc_category_t c = utf8proc_category(code);
    return !is_apostrophe(code) && c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_NO;
}

/* 0 at the end; the text is known to be UTF-8. */
static size_t next_char(const char *text, int32_t *code)
{
    utf8proc_int32_t value = 0;
    *code = 0;
    if (!*text)
        return 0;
    const utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text, -1, &value);
    *code = value;
    return n > 0 ? (size_t)n : 0;
}

static bool is_utf8(const char *text)
{
    const size_t bytes = strlen(text);
    for (size_t i = 0; i < bytes;) {
        utf8proc_int32_t code;
        const utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text + i,
                                                    (utf8proc_ssize_t)(bytes - i), &code);
        if (n <= 0)
            return false;
        i += (size_t)n;
    }
    return true;
}

/* What basic makes of a character between two others; ' ' for what parts words. */
static int32_t basic(int32_t before, int32_t code, int32_t after)
{
    if (is_apostrophe(code))
        return is_word_part(before) && is_word_part(after) ? '\'' : ' ';
    return is_punctuation(code) ? ' ' : utf8proc_tolower(code);
}

static void fold(conure_buffer *out, const char *text, conure_normaliser normaliser)
{
    int32_t before = 0, code, after;
    bool gap = false;

    for (size_t n; (n = next_char(text, &code)); text += n) {
        next_char(text + n, &after);
        const int32_t to = normaliser == CONURE_NORMALISER_BASIC ? basic(before, code, after) : code;
        before = code;
        if (is_space(to)) {
            gap = true;
            continue;
        }
        utf8proc_uint8_t bytes[4];
        if (gap && out->bytes)
            conure_buffer_add(out, " ", 1);
        gap = false;
        conure_buffer_add(out, bytes, (size_t)utf8proc_encode_char(to, bytes));
    }
}

conure_status conure_normalise(char **out, const char *text, conure_normaliser normaliser,
                               conure_error *err)
{
    conure_buffer folded = {0};
    utf8proc_uint8_t *composed = NULL;

    *out = NULL;
    if (!is_utf8(text))
        return conure_fail(err, CONURE_BAD_FILE, "the text is not UTF-8");
    if (normaliser == CONURE_NORMALISER_BASIC) {
        composed = utf8proc_NFC((const utf8proc_uint8_t *)text);
        if (!composed)
            return conure_fail_memory(err, "a text", strlen(text));
    }
    fold(&folded, composed ? (const char *)composed : text, normaliser);
    free(composed);
    if (!folded.failed && !folded.data)
        folded.data = conure_strdup("");
    if (folded.failed || !folded.data) {
        conure_buffer_free(&folded);
        return conure_fail_memory(err, "a text", strlen(text));
    }
    *out = folded.data;
    return CONURE_OK;
}
