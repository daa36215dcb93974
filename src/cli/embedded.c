/* embedded.c - what ships inside the program: the model models/embedded.conure.gz, unpacked, a short clip of speech, and what
 * NeMo makes of the one with the other, placed in read-only data by the assembler, so that they are mapped with the program and
 * read only where they are used. */
#include "cli/models.h"

__asm__(".pushsection .rodata\n"
        ".balign 64\n"
        "conure_clip_begin:\n"
        ".incbin \"" CONURE_CLIP_FILE "\"\n"
        "conure_clip_end:\n"
        ".byte 0\n"
        ".popsection\n");

extern const unsigned char conure_clip_begin[], conure_clip_end[];

void conure_embedded_clip(const void **data, size_t *bytes)
{
    *data = conure_clip_begin;
    *bytes = (size_t)(conure_clip_end - conure_clip_begin);
}

#ifdef CONURE_GOLDEN_FILE

__asm__(".pushsection .rodata\n"
        ".balign 64\n"
        "conure_golden_begin:\n"
        ".incbin \"" CONURE_GOLDEN_FILE "\"\n"
        "conure_golden_end:\n"
        ".byte 0\n"
        ".popsection\n");

extern const unsigned char conure_golden_begin[], conure_golden_end[];

bool conure_embedded_golden(const void **data, size_t *bytes)
{
    *data = conure_golden_begin;
    *bytes = (size_t)(conure_golden_end - conure_golden_begin);
    return true;
}

#else

bool conure_embedded_golden(const void **data, size_t *bytes)
{
    *data = NULL;
    *bytes = 0;
    return false;
}

#endif

#ifdef CONURE_HAVE_EMBEDDED

__asm__(".pushsection .rodata\n"
        ".balign 64\n"
        "conure_embedded_begin:\n"
        ".incbin \"" CONURE_EMBEDDED_FILE "\"\n"
        "conure_embedded_end:\n"
        ".balign 64\n" /* a reader of whole lines stays inside the section */
        ".byte 0\n"
        ".popsection\n");

extern const unsigned char conure_embedded_begin[], conure_embedded_end[];

bool conure_embedded_model(const void **data, size_t *bytes)
{
    *data = conure_embedded_begin;
    *bytes = (size_t)(conure_embedded_end - conure_embedded_begin);
    return true;
}

#else

bool conure_embedded_model(const void **data, size_t *bytes)
{
    *data = NULL;
    *bytes = 0;
    return false;
}

#endif
