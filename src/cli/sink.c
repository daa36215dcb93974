/* sink.c - writing transcripts to standard output or into a folder; see sink.h. */
#include "cli/sink.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/files.h"
#include "cli/terminal.h"

bool conure_sink_name(char *out, size_t cap, const char *file, int channel,
                      conure_output_format format)
{
    const char *slash = strrchr(file, '/');
    const char *base = slash ? slash + 1 : file;
    const char *dot;
    char middle[24] = "";
    size_t stem;
    int n;
    if (strcmp(file, "-") == 0)
        base = "stdin";
    dot = strrchr(base, '.');
    stem = dot && dot != base ? (size_t)(dot - base) : strlen(base);
    if (channel)
        snprintf(middle, sizeof middle, ".ch%d", channel);
    n = snprintf(out, cap, "%.*s%s.%s", (int)stem, base, middle, conure_output_endings[format]);
    return stem > 0 && n > 0 && (size_t)n < cap;
}

static bool is_array(const conure_sink *sink)
{
    return sink->format == CONURE_OUTPUT_JSON && sink->several && !sink->folder;
}

static conure_status flush(void)
{
    return conure_stdout_flush() ? CONURE_OK : CONURE_IO;
}

conure_status conure_sink_begin(conure_sink *sink)
{
    if (is_array(sink))
        fputs("[", stdout);
    return CONURE_OK;
}

static conure_status write_file(const conure_sink *sink, const conure_transcript *t,
                                const conure_buffer *text, conure_error *err)
{
    char name[NAME_MAX + 1], path[PATH_MAX];
    if (!conure_sink_name(name, sizeof name, t->file, t->channel, sink->format) ||
        !conure_path_join(path, sizeof path, sink->folder, name))
        return conure_fail(err, CONURE_IO, "%s: the name of its transcript is too long", t->file);
    return conure_file_write(path, text->data, text->bytes, err);
}

conure_status conure_sink_write(conure_sink *sink, const conure_transcript *t, conure_error *err)
{
    conure_buffer text = {0};
    conure_status status;
    if (!t->result && !is_array(sink))
        return CONURE_OK; /* only an array keeps a place for an input that failed */
    if (is_array(sink))
        conure_buffer_text(&text, sink->n_written ? ",\n" : "\n");
    conure_output_write(&text, sink->format, t, sink->several && !sink->folder, sink->timestamps);
    if (sink->format == CONURE_OUTPUT_JSON && !is_array(sink))
        conure_buffer_text(&text, "\n");
    if (text.failed) {
        status = conure_fail_memory(err, "a transcript", text.bytes);
    } else if (sink->folder) {
        status = write_file(sink, t, &text, err);
    } else {
        if (text.bytes)
            fwrite(text.data, 1, text.bytes, stdout);
        status = flush(); /* told once, with the reason, when the program closes it */
    }
    sink->n_written++;
    conure_buffer_free(&text);
    return status;
}

conure_status conure_sink_end(conure_sink *sink)
{
    if (is_array(sink))
        fputs("\n]\n", stdout);
    return flush();
}
