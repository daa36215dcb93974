/* output_text.c - transcripts as plain lines, and as tab-separated values. */
#include "cli/output.h"

static void line_start(conure_buffer *out, const conure_transcript *t, bool label)
{
    if (label) {
        conure_output_clean(out, t->file);
        if (t->channel)
            conure_buffer_format(out, " [%d]", t->channel);
        conure_buffer_text(out, ": ");
    } else if (t->channel) {
        conure_buffer_format(out, "[%d] ", t->channel);
    }
}

void conure_output_text(conure_buffer *out, const conure_transcript *t, bool label, bool timestamps)
{
    const conure_result *r = t->result;
    if (!r)
        return;
    if (!timestamps) {
        line_start(out, t, label);
        conure_output_clean(out, r->text);
        conure_buffer_text(out, "\n");
        return;
    }
    for (uint32_t i = 0; i < r->n_segments; i++) {
        line_start(out, t, label);
        conure_buffer_text(out, "[");
        conure_output_clock(out, r->segments[i].start_s, '.');
        conure_buffer_text(out, " --> ");
        conure_output_clock(out, r->segments[i].end_s, '.');
        conure_buffer_text(out, "] ");
        conure_output_clean(out, r->segments[i].text);
        conure_buffer_text(out, "\n");
    }
}

/* Times in whole milliseconds; tabs cannot occur in cleaned text. */
void conure_output_tsv(conure_buffer *out, const conure_transcript *t)
{
    const conure_result *r = t->result;
    conure_buffer_text(out, "start\tend\ttext\n");
    for (uint32_t i = 0; r && i < r->n_segments; i++) {
        conure_buffer_format(out, "%llu\t%llu\t",
                             (unsigned long long)conure_output_ms(r->segments[i].start_s),
                             (unsigned long long)conure_output_ms(r->segments[i].end_s));
        conure_output_clean(out, r->segments[i].text);
        conure_buffer_text(out, "\n");
    }
}
