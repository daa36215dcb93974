/* window.c - NeMo's StreamingBatchedAudioBuffer and the loop around it, as numbers (spec 6.7; checked against
 * NeMo 2.7.3 on 52 runs). */
#include "stream/window.h"

static uint64_t total(const conure_context *c)
{
    return c->left + c->chunk + c->right;
}

/* Where the next step ends unless the stream ends before. */
static uint64_t wanted(const conure_window *window)
{
    return window->taken + window->limit.chunk + (window->taken ? 0 : window->limit.right);
}

void conure_window_init(conure_window *window, const conure_context *limit)
{
    *window = (conure_window){.limit = *limit};
}

bool conure_window_next(const conure_window *window, uint64_t heard, bool ended, conure_window_step *step)
{
    const conure_context *limit = &window->limit;
    const uint64_t full = wanted(window);
    if (window->finished || (ended ? heard == window->taken : heard <= full))
        return false;
    step->last = ended && heard <= full;
    const uint64_t until = step->last ? heard : full;
    conure_context *c = &step->context;
    c->left = window->now.left + window->now.chunk;
    c->right = window->now.right + (until - window->taken);
    c->chunk = step->last ? c->right : limit->chunk;
    c->right -= c->chunk;
    if (total(c) > total(limit))
        c->left -= total(c) - total(limit);
    step->n = total(c);
    step->first = until - step->n;
    return true;
}

void conure_window_advance(conure_window *window, const conure_window_step *step)
{
    window->now = step->context;
    window->taken = step->first + step->n;
    window->finished = step->last;
}

uint64_t conure_window_keep(const conure_window *window, uint64_t heard)
{
    /* A last step ends at the stream's end, which is not before heard; any other ends where it is wanted. */
    const uint64_t until = heard < wanted(window) ? heard : wanted(window);
    return until > total(&window->limit) ? until - total(&window->limit) : 0;
}
