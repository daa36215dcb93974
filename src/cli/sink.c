/* sink.c - writing transcripts to standard output or into a folder; see sink.h. */
#include "cli/sink.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/files.h"
#include "cli/models.h"
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

typedef struct target {
    char *name;
    const char *file;
} target;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const target *)a)->name, ((const target *)b)->name);
}

static conure_status check_collisions(const conure_sink *sink, target *targets, char *const *files,
                                      int n_files, conure_error *err)
{
    for (int i = 0; i < n_files; i++) {
        char name[NAME_MAX + 1];
        if (!conure_sink_name(name, sizeof name, files[i], 0, sink->format))
            return conure_fail(err, CONURE_BAD_ARG, "%s: no name for a file in %s can be made of it",
                               files[i], sink->folder);
        targets[i].file = files[i];
        targets[i].name = conure_strdup(name);
        if (!targets[i].name)
            return conure_fail_memory(err, "file names", sizeof name);
    }
    qsort(targets, (size_t)n_files, sizeof *targets, by_name);
    for (int i = 1; i < n_files; i++)
        if (strcmp(targets[i - 1].name, targets[i].name) == 0)
            return conure_fail(err, CONURE_BAD_ARG,
                               "%s and %s would both be written to %s/%s: give them to two runs with "
                               "different folders",
                               targets[i - 1].file, targets[i].file, sink->folder, targets[i].name);
    return CONURE_OK;
}

conure_status conure_sink_prepare(const conure_sink *sink, char *const *files, int n_files,
                                  conure_error *err)
{
    conure_status status;
    target *targets;
    if (!sink->folder)
        return CONURE_OK;
    targets = conure_calloc((size_t)n_files + 1, sizeof *targets);
    if (!targets)
        return conure_fail_memory(err, "file names", (size_t)n_files * sizeof *targets);
    status = check_collisions(sink, targets, files, n_files, err);
    for (int i = 0; i < n_files; i++)
        free(targets[i].name);
    free(targets);
    return status == CONURE_OK ? conure_make_folders(sink->folder, err) : status;
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
    conure_writer *writer = NULL;
    conure_status status;
    if (!conure_sink_name(name, sizeof name, t->file, t->channel, sink->format) ||
        !conure_path_join(path, sizeof path, sink->folder, name))
        return conure_fail(err, CONURE_IO, "%s: the name of its transcript is too long", t->file);
    status = conure_writer_open(&writer, path, err);
    if (status == CONURE_OK && text->bytes)
        status = conure_writer_write(writer, text->data, text->bytes, err);
    if (status == CONURE_OK)
        status = conure_writer_commit(&writer, err);
    conure_writer_abort(&writer);
    return status;
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
