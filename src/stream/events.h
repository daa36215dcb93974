/* events.h - what steps have to tell and somebody polls: two sets of events, one being read, one being filled. */
#ifndef CONURE_STREAM_EVENTS_H
#define CONURE_STREAM_EVENTS_H

#include "base/error.h"
#include "base/memory.h"
#include "conure.h"

/* An event with the memory behind it; begun, filled, ended. */
typedef struct conure_event_slot {
    conure_event event;
    conure_buffer final_text, tentative_text, word_texts;
    conure_token *tokens;
    conure_word *words;
    uint32_t tokens_cap, words_cap;
} conure_event_slot;

typedef struct conure_event_set {
    conure_event_slot *slots;
    uint32_t n, cap, n_read;
} conure_event_set;

typedef struct conure_events {
    conure_event_set sets[2];
    uint32_t reading; /* the set whose events are polled; the other is filled */
} conure_events;

void conure_events_close(conure_events *events);
void conure_events_clear(conure_events *events);
/* Some event has not been polled yet. */
bool conure_events_waiting(const conure_events *events);

/* A new empty event at the end of the filled set; NULL without memory. */
conure_event_slot *conure_events_add(conure_events *events);
/* Take back the events added since the set had n. */
uint32_t conure_events_mark(const conure_events *events);
void conure_events_undo(conure_events *events, uint32_t mark);

conure_status conure_event_tokens(conure_event_slot *slot, const conure_token *tokens, uint32_t n, conure_error *err);
/* Words with their times moved by origin_s and their tokens by first_token. */
conure_status conure_event_words(conure_event_slot *slot, const conure_word *words, uint32_t n, double origin_s,
                                 uint64_t first_token, conure_error *err);
/* The event is complete: its pointers are set. NO_MEMORY when something did not fit. */
conure_status conure_event_end(conure_event_slot *slot, conure_error *err);

/* The next event to poll, valid until the next call; NULL: none. */
const conure_event *conure_events_poll(conure_events *events);

#endif
