/* embedded.c - the model that ships inside the program: models/embedded.conure, placed in read-only data
 * by the assembler, so that it is mapped with the program and read only where it is used. */
#include "cli/models.h"

#if CONURE_HAVE_EMBEDDED

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
