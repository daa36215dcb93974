/* report.h - what was measured, for the person who must decide: one page as HTML or Markdown, and the raw series as CSV.
 *
 * Pure functions of their argument: no clock, no locale, no file.  The same JSON gives the same bytes.
 *
 * report is the judge's output (judge.h), or evidence alone.  Either way the evidence is judged again, and the page shows what that gives: a
 * verdict that was typed into the file shows as a disagreement and nowhere else.  The JSON is hostile: members may be missing, of
 * another type or huge, and texts may hold markup.  HTML and Markdown stay below CONURE_REPORT_BYTES_MAX whatever is in it: what is too
 * long is cut or thinned, and says so.  CSV has every value.
 *
 * Each appends to out.  Returns OK; NO_MEMORY; BAD_ARG for a part of CSV that does not exist.  Any thread. */
#ifndef CONURE_CLEARANCE_REPORT_H
#define CONURE_CLEARANCE_REPORT_H

#include "base/memory.h"
#include "conure.h"

#include <jansson.h>

#define CONURE_REPORT_BYTES_MAX (16u << 20)

/* One file: styles and plots are inside, there are no scripts, and its policy lets a browser fetch nothing. */
conure_status conure_report_html(const json_t *report, conure_buffer *out);

/* The same sections; plots are tables of at most 12 rows, the largest value of each. */
conure_status conure_report_markdown(const json_t *report, conure_buffer *out);

/* part: "functional" or "closed_loop" (a line for each chunk), "latency" (for each step), "audio" (for each clip and way to listen); a stage
 * that did not run gives the head line alone.  What is no number is an empty field.  A text that a spreadsheet would take
 * for a formula gets an apostrophe in front. */
conure_status conure_report_csv(const json_t *report, const char *part, conure_buffer *out);

#endif
