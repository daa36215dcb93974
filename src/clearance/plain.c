/* plain.c - see plain.h. */
#include "clearance/plain.h"

#include "clearance/plot.h"

#include <string.h>

/* What plot_text.c does to a text, without its entities. */
void conure_plain_text(conure_buffer *out, const char *text, size_t chars_max)
{
    static const struct {
        const char *entity, *character;
    } entities[] = {{"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&#39;", "'"}};
    conure_buffer escaped = {0};
    conure_plot_text(&escaped, text, chars_max);
    out->failed = out->failed || escaped.failed;
    for (const char *at = escaped.data; at && *at;) {
        size_t n = strcspn(at, "&"), i = 0;
        conure_buffer_add(out, at, n);
        at += n;
        while (i < sizeof entities / sizeof *entities && strncmp(at, entities[i].entity, strlen(entities[i].entity)) != 0)
            i++;
        if (i < sizeof entities / sizeof *entities) {
            conure_buffer_text(out, entities[i].character);
            at += strlen(entities[i].entity);
        } else if (*at) {
            conure_buffer_add(out, at++, 1);
        }
    }
    conure_buffer_free(&escaped);
}
