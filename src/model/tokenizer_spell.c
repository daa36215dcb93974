/* tokenizer_spell.c - text as a vocabulary spells it, to compare with what tokens write. */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/error.h"
#include "model/tokenizer_internal.h"

const char *conure_tokenizer_spelling(const conure_tokenizer *tokenizer, uint32_t id, size_t *bytes)
{
    const conure_piece *piece = tokenizer && id < tokenizer->n_pieces ? &tokenizer->pieces[id] : NULL;
    *bytes = 0;
    if (!piece || piece->type == CONURE_PIECE_CONTROL)
        return "";
    if (piece->type == CONURE_PIECE_BYTE) {
        *bytes = 1;
        return (const char *)&piece->byte;
    }
    *bytes = piece->type == CONURE_PIECE_UNKNOWN ? strlen(tokenizer->unk_surface) : piece->bytes;
    return piece->type == CONURE_PIECE_UNKNOWN ? tokenizer->unk_surface : piece->text;
}

conure_status conure_text_spell(const char *text, size_t bytes, conure_buffer *out, conure_error *err)
{
    utf8proc_uint8_t *normal = NULL;
    const utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)bytes, &normal,
                                            UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
    if (n < 0)
        return n == UTF8PROC_ERROR_NOMEM ? conure_fail_memory(err, "a phrase", bytes)
                                         : conure_fail(err, CONURE_BAD_FILE, "not UTF-8: save the text as UTF-8");
    bool space = true;
    for (utf8proc_ssize_t i = 0; i < n; i++) {
        const char c = (char)normal[i];
        if (c != ' ' && c != '\t') {
            if (space)
                conure_buffer_add(out, CONURE_SPACE_MARK, strlen(CONURE_SPACE_MARK));
            conure_buffer_add(out, &c, 1);
        }
        space = c == ' ' || c == '\t';
    }
    free(normal);
    return out->failed ? conure_fail_memory(err, "a phrase", bytes) : CONURE_OK;
}
