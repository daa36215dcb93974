/* report.c - reports: whatever JSON is called evidence is judged and written as every format, and none has markup or control characters from
 * it. */
#include "clearance/judge.h"
#include "clearance/report.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void look_at(const conure_buffer *page, bool html)
{
    if (page->bytes == 0 || page->bytes > CONURE_REPORT_BYTES_MAX || (html && strstr(page->data, "<script")))
        abort();
    for (size_t i = 0; i < page->bytes; i++)
        if (((unsigned char)page->data[i] < 0x20 && page->data[i] != '\n') || page->data[i] == 0x7F)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const char *const parts[] = {"functional", "closed_loop", "latency", "audio"};
    json_error_t error;
    json_t *evidence = json_loadb((const char *)data, bytes, 0, &error);
    if (!evidence)
        return 0;
    json_t *report = conure_clear_judge(evidence);
    conure_buffer html = {0}, again = {0}, text = {0};
    if (conure_report_html(evidence, &html) != CONURE_OK || conure_report_html(report, &again) != CONURE_OK ||
        conure_report_markdown(report, &text) != CONURE_OK)
        abort();
    look_at(&html, true);
    look_at(&text, false);
    for (int i = 0; i < 4; i++) {
        conure_buffer rows = {0};
        if (conure_report_csv(evidence, parts[i], &rows) != CONURE_OK)
            abort();
        look_at(&rows, false);
        conure_buffer_free(&rows);
    }
    conure_buffer_free(&html);
    conure_buffer_free(&again);
    conure_buffer_free(&text);
    json_decref(report);
    json_decref(evidence);
    return 0;
}
