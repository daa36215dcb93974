/* captions.c - see captions.h. */
#include "cli/captions.h"

#include <string.h>
#include <utf8proc.h>

#define COLUMNS_MIN 8
#define DIM         "\033[2m"
#define PLAIN       "\033[0m"

/* A character and the cells it takes; what is not assigned is taken to be drawn as a box. */
static size_t character(const char *text, size_t n, uint32_t *cells)
{
    utf8proc_int32_t c = 0;
    const utf8proc_ssize_t bytes = utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &c);
    *cells = 1;
    if (bytes <= 0)
        return 1;
    if (utf8proc_category(c) != UTF8PROC_CATEGORY_CN)
        *cells = (uint32_t)utf8proc_charwidth(c);
    return (size_t)bytes;
}

static uint32_t cells_of(const char *text, size_t n)
{
    uint32_t sum = 0, cells;
    for (size_t at = 0; at < n; sum += cells)
        at += character(text + at, n - at, &cells);
    return sum;
}

/* Where text is put: from column on, at most so many line breaks; styled from byte dim_from on. */
typedef struct layout {
    conure_buffer *out;
    uint32_t width, column, n_breaks, breaks_max;
    size_t dim_from;
    bool styles, dim, full;
} layout;

static void break_line(layout *l)
{
    if (l->n_breaks == l->breaks_max) {
        l->full = true;
        return;
    }
    conure_buffer_text(l->out, "\r\n");
    l->n_breaks++;
    l->column = 0;
}

/* One word, at byte `at` of the text; a word longer than a line is broken where it must. */
static void put_word(layout *l, const char *text, size_t at, size_t end, bool space)
{
    const uint32_t wide = cells_of(text + at, end - at);
    if (l->column && l->column + space + wide > l->width && (space || wide <= l->width)) {
        break_line(l);
    } else if (space && l->column) {
        conure_buffer_text(l->out, " ");
        l->column++;
    }
    while (at < end && !l->full) {
        uint32_t cells;
        const size_t n = character(text + at, end - at, &cells);
        if (l->styles && !l->dim && at >= l->dim_from) {
            conure_buffer_text(l->out, DIM);
            l->dim = true;
        }
        if (l->column + cells > l->width)
            break_line(l);
        if (l->full)
            return;
        conure_buffer_add(l->out, text + at, n);
        l->column += cells;
        at += n;
    }
}

static void put(layout *l, const char *text, size_t n)
{
    for (size_t at = 0; at < n && !l->full;) {
        const size_t first = at;
        while (at < n && text[at] == ' ')
            at++;
        const bool space = at > first;
        size_t end = at;
        while (end < n && text[end] != ' ')
            end++;
        if (end > at)
            put_word(l, text, at, end, space);
        at = end;
    }
    if (l->dim)
        conure_buffer_text(l->out, PLAIN);
}

static layout begin(const conure_captions *c, conure_buffer *out)
{
    return (layout){.out = out, .width = (c->columns > COLUMNS_MIN ? c->columns : COLUMNS_MIN) - 1, .column = c->column,
                    .breaks_max = UINT32_MAX, .dim_from = SIZE_MAX};
}

/* The first n bytes of what is pending stay. */
static void commit(conure_captions *c, conure_buffer *out, size_t n)
{
    layout l = begin(c, out);
    if (!n)
        return;
    put(&l, c->pending.data, n);
    c->column = l.column;
    memmove(c->pending.data, c->pending.data + n, c->pending.bytes - n + 1);
    c->pending.bytes -= n;
}

void conure_captions_hide(conure_captions *c, conure_buffer *out)
{
    if (!c->drawn)
        return;
    conure_buffer_text(out, "\r");
    if (c->n_drawn)
        conure_buffer_format(out, "\033[%uA", c->n_drawn);
    if (c->column)
        conure_buffer_format(out, "\033[%uC", c->column);
    conure_buffer_text(out, "\033[J");
    c->drawn = false;
    c->n_drawn = 0;
}

/* Bytes of what is pending that cannot change their place any more: complete words, or of a long run without spaces
 * all of it. */
static size_t settled(const conure_captions *c)
{
    const conure_buffer *p = &c->pending;
    size_t n = p->bytes;
    while (n && p->data[n - 1] != ' ')
        n--;
    while (n && p->data[n - 1] == ' ')
        n--;
    return cells_of(p->data + n, p->bytes - n) > c->columns / 2 ? p->bytes : n;
}

void conure_captions_show(conure_captions *c, conure_buffer *out, const char *final, const char *tentative)
{
    conure_captions_hide(c, out);
    conure_buffer_text(&c->pending, final);
    if (c->pending.failed) {
        out->failed = true;
        return;
    }
    if (c->pending.bytes)
        commit(c, out, settled(c));
    layout l = begin(c, out);
    conure_buffer all = {0};
    conure_buffer_add(&all, c->pending.data, c->pending.bytes);
    conure_buffer_text(&all, tentative);
    l.dim_from = c->pending.bytes;
    l.styles = c->styles;
    l.breaks_max = c->rows > 2 ? c->rows - 2 : 0; /* what scrolls out of the screen cannot be erased */
    if (all.bytes && !all.failed)
        put(&l, all.data, all.bytes);
    c->drawn = all.bytes > 0;
    c->n_drawn = l.n_breaks;
    out->failed = out->failed || all.failed;
    conure_buffer_free(&all);
}

void conure_captions_end(conure_captions *c, conure_buffer *out)
{
    conure_captions_hide(c, out);
    commit(c, out, c->pending.bytes);
    if (c->column)
        conure_buffer_text(out, "\r\n");
    c->column = 0;
}

void conure_captions_free(conure_captions *c)
{
    conure_buffer_free(&c->pending);
}
