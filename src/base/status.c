/* status.c - what the numbers of the public contract are called. */
#include "conure.h"

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)

const char *conure_status_text(conure_status status)
{
    switch (status) {
#define X(name, value, text)                                                                       \
    case CONURE_##name:                                                                            \
        return text;
        CONURE_STATUS_LIST(X)
#undef X
    }
    return "unknown status";
}

const char *conure_version(void)
{
    return TEXT(CONURE_VERSION_MAJOR) "." TEXT(CONURE_VERSION_MINOR) "." TEXT(CONURE_VERSION_PATCH);
}
