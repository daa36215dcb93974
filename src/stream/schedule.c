/* schedule.c - see schedule.h. */
#include "stream/schedule.h"

enum { FACTOR = 8, PRE_ENCODE_FRAMES = FACTOR + 1, PRE_ENCODE_ROWS = 2 };

void conure_schedule_nemo(conure_schedule_rule *rule, uint32_t chunk, uint32_t right)
{
    const uint32_t look = chunk + right - 1;
    *rule = (conure_schedule_rule){
        .frames = {1 + FACTOR * look, FACTOR + FACTOR * look},
        .shift = {1 + FACTOR * (chunk - 1), FACTOR * chunk},
        .in_front = {0, PRE_ENCODE_FRAMES},
        .drop_first = {0, PRE_ENCODE_ROWS},
        .valid_out = chunk,
        .drop_rows = right,
    };
}

uint32_t conure_schedule_rows(uint32_t n_frames)
{
    const uint32_t rows = n_frames / FACTOR + (n_frames % FACTOR != 0);
    return rows > PRE_ENCODE_ROWS ? rows - PRE_ENCODE_ROWS : 0;
}

void conure_schedule_constant(conure_schedule_rule *rule, uint32_t n_frames, uint32_t chunk)
{
    *rule = (conure_schedule_rule){
        .frames = {n_frames, n_frames},
        .shift = {FACTOR * chunk, FACTOR * chunk},
        .drop_first = {PRE_ENCODE_ROWS, PRE_ENCODE_ROWS},
        .valid_out = chunk,
        .drop_rows = conure_schedule_rows(n_frames),
        .constant = true,
    };
}

void conure_schedule_init(conure_schedule *schedule, const conure_schedule_rule *rule)
{
    *schedule = (conure_schedule){.rule = *rule};
    if (rule->constant) /* zeros where the two dropped frames are, so that the first one given is frame 0 */
        schedule->position = -(int64_t)PRE_ENCODE_ROWS * FACTOR;
}

bool conure_schedule_next(const conure_schedule *schedule, uint64_t n_mel, bool ended, conure_slice *slice)
{
    const conure_schedule_rule *rule = &schedule->rule;
    const int later = schedule->n_steps > 0;
    const int64_t have = (int64_t)n_mel, end = schedule->position + rule->frames[later];
    if (schedule->finished || (ended ? have == 0 : have <= end))
        return false;
    slice->last = ended && have <= end;
    slice->first = schedule->position - rule->in_front[later];
    slice->n_valid = (uint32_t)((slice->last ? have : end) - slice->first);
    slice->n_frames = rule->constant ? rule->frames[later] : slice->n_valid;
    slice->drop_first = rule->drop_first[later];
    return true;
}

void conure_schedule_advance(conure_schedule *schedule, const conure_slice *slice)
{
    schedule->position += schedule->rule.shift[schedule->n_steps > 0];
    schedule->finished = slice->last;
    schedule->n_steps++;
}

uint64_t conure_schedule_keep(const conure_schedule *schedule)
{
    const int64_t first = schedule->position - schedule->rule.in_front[schedule->n_steps > 0];
    return first > 0 ? (uint64_t)first : 0;
}

uint32_t conure_schedule_longest(const conure_schedule_rule *rule)
{
    const uint32_t first = rule->frames[0] + rule->in_front[0], later = rule->frames[1] + rule->in_front[1];
    return first > later ? first : later;
}
