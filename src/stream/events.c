/* events.c - see events.h.
 *
 * A polled event stays valid while its set is read; steps fill the other set meanwhile.  When all of a set was
 * polled the sets change places, so nothing is copied and memory is used again. */
#include "stream/events.h"

#include <stdlib.h>
#include <string.h>

static void close_set(conure_event_set *set)
{
    for (uint32_t i = 0; i < set->cap; i++) {
        conure_event_slot *slot = &set->slots[i];
        conure_buffer_free(&slot->final_text);
        conure_buffer_free(&slot->tentative_text);
        conure_buffer_free(&slot->word_texts);
        free(slot->tokens);
        free(slot->words);
    }
    free(set->slots);
    *set = (conure_event_set){0};
}

void conure_events_close(conure_events *events)
{
    close_set(&events->sets[0]);
    close_set(&events->sets[1]);
}

void conure_events_clear(conure_events *events)
{
    for (int i = 0; i < 2; i++)
        events->sets[i].n = events->sets[i].n_read = 0;
}

bool conure_events_waiting(const conure_events *events)
{
    return events->sets[events->reading].n_read < events->sets[events->reading].n || events->sets[!events->reading].n;
}

uint32_t conure_events_mark(const conure_events *events)
{
    return events->sets[!events->reading].n;
}

void conure_events_undo(conure_events *events, uint32_t mark)
{
    events->sets[!events->reading].n = mark;
}

static void empty(conure_buffer *buffer)
{
    buffer->bytes = 0;
    buffer->failed = false;
    conure_buffer_add(buffer, "", 0); /* so that data is a string */
}

conure_event_slot *conure_events_add(conure_events *events)
{
    conure_event_set *set = &events->sets[!events->reading];
    if (set->n == set->cap) {
        const uint32_t cap = set->cap ? 2 * set->cap : 2;
        conure_event_slot *grown = realloc(set->slots, cap * sizeof *grown);
        if (!grown)
            return NULL;
        memset(grown + set->cap, 0, (cap - set->cap) * sizeof *grown);
        set->slots = grown;
        set->cap = cap;
    }
    conure_event_slot *slot = &set->slots[set->n++];
    slot->event = (conure_event){0};
    empty(&slot->final_text);
    empty(&slot->tentative_text);
    empty(&slot->word_texts);
    return slot;
}

/* Make room for n more elements of *array, which holds `have`. */
static bool grow(void **array, uint32_t *cap, uint32_t have, uint32_t n, size_t elem_bytes)
{
    if (have + n <= *cap)
        return true;
    const uint32_t wanted = 2 * (have + n);
    void *grown = realloc(*array, wanted * elem_bytes);
    if (!grown)
        return false;
    *array = grown;
    *cap = wanted;
    return true;
}

conure_status conure_event_tokens(conure_event_slot *slot, const conure_token *tokens, uint32_t n, conure_error *err)
{
    void *array = slot->tokens;
    const bool fits = grow(&array, &slot->tokens_cap, slot->event.n_tokens, n, sizeof *tokens);
    slot->tokens = array;
    if (!fits)
        return conure_fail_memory(err, "an event's tokens", n * sizeof *tokens);
    if (n)
        memcpy(slot->tokens + slot->event.n_tokens, tokens, n * sizeof *tokens);
    slot->event.n_tokens += n;
    return CONURE_OK;
}

conure_status conure_event_words(conure_event_slot *slot, const conure_word *words, uint32_t n, double origin_s,
                                 uint64_t first_token, conure_error *err)
{
    void *array = slot->words;
    const bool fits = grow(&array, &slot->words_cap, slot->event.n_words, n, sizeof *words);
    slot->words = array;
    if (!fits)
        return conure_fail_memory(err, "an event's words", n * sizeof *words);
    for (uint32_t i = 0; i < n; i++) {
        conure_word *word = &slot->words[slot->event.n_words++];
        *word = words[i];
        word->start_s += origin_s;
        word->end_s += origin_s;
        word->first_token += (uint32_t)first_token;
        conure_buffer_add(&slot->word_texts, words[i].text, strlen(words[i].text) + 1);
    }
    return CONURE_OK;
}

conure_status conure_event_end(conure_event_slot *slot, conure_error *err)
{
    if (slot->final_text.failed || slot->tentative_text.failed || slot->word_texts.failed || !slot->final_text.data ||
        !slot->tentative_text.data)
        return conure_fail_memory(err, "an event's text", slot->final_text.bytes + slot->tentative_text.bytes);
    const char *text = slot->word_texts.data;
    for (uint32_t i = 0; i < slot->event.n_words; i++, text += strlen(text) + 1)
        slot->words[i].text = text;
    slot->event.final_text = slot->final_text.data;
    slot->event.tentative_text = slot->tentative_text.data;
    slot->event.tokens = slot->tokens;
    slot->event.words = slot->words;
    return CONURE_OK;
}

const conure_event *conure_events_poll(conure_events *events)
{
    conure_event_set *set = &events->sets[events->reading];
    if (set->n_read == set->n) {
        set->n = set->n_read = 0;
        events->reading = !events->reading;
        set = &events->sets[events->reading];
    }
    return set->n_read < set->n ? &set->slots[set->n_read++].event : NULL;
}
