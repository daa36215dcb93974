/* rules.c - the arithmetic of cache-aware streaming: from a streaming configuration to frames and rows, and what one step
 * must give.  No number of a model is written here; all come from the contract. */
#include "contract/contract.h"

enum { NEMO_UNLIMITED_ROWS = 10000, CACHE_ROWS_MAX = 1 << 20 };

const char *conure_rule_id(conure_rule rule)
{
    static const char *const ids[] = {
#define X(name, id, what) id,
        CONURE_RULE_LIST(X)
#undef X
    };
    return rule < CONURE_RULES ? ids[rule] : "";
}

const char *conure_rule_what(conure_rule rule)
{
    static const char *const whats[] = {
#define X(name, id, what) what,
        CONURE_RULE_LIST(X)
#undef X
    };
    return rule < CONURE_RULES ? whats[rule] : "";
}

/* ---- from a streaming configuration ----------------------------------------------------------- */

/* look and drop in encoder frames (spec: setup_streaming_params). */
static conure_status look_ahead(const conure_config *c, const conure_streaming_options *o, int64_t *look, int64_t *drop,
                                conure_error *err)
{
    if (o->chunk) {
        if (o->chunk > UINT16_MAX || o->shift < 1 || o->shift > o->chunk)
            return conure_fail(err, CONURE_BAD_ARG, "chunk %u, shift %u: expected 1 <= shift <= chunk <= %d encoder frames",
                               o->chunk, o->shift, UINT16_MAX);
        *look = (int64_t)o->chunk - 1;
        *drop = (int64_t)o->chunk - o->shift;
        return CONURE_OK;
    }
    if (o->shift || o->left_chunks)
        return conure_fail(err, CONURE_BAD_ARG, "a shift or a number of left chunks means nothing without a chunk: give one");
    *drop = 0;
    *look = c->att_right;
    if (c->att_style == CONURE_REGULAR) /* an unlimited right context enters as the number -1, as in NeMo */
        *drop = *look = ((int64_t)c->att_right + c->conv_right) * c->n_layers;
    if (*look < 0 || *look > UINT16_MAX)
        return conure_fail(err, CONURE_UNSUPPORTED, "attention context [%d, %d] with %u frames of convolution to the right gives a "
                           "look-ahead of %lld frames: name a chunk and a shift instead", c->att_left, c->att_right,
                           c->conv_right, (long long)*look);
    return CONURE_OK;
}

static conure_status cache_rows(const conure_config *c, const conure_streaming_options *o, uint32_t *rows, conure_error *err)
{
    uint64_t n = c->att_left >= 0 ? (uint64_t)c->att_left : NEMO_UNLIMITED_ROWS;
    if (o->chunk && o->left_chunks)
        n = (uint64_t)o->left_chunks * o->chunk;
    if (o->cache_rows)
        n = o->cache_rows;
    else if (n == NEMO_UNLIMITED_ROWS && c->att_left < 0)
        return conure_fail(err, CONURE_BAD_ARG, "the left context is unlimited, for which NeMo takes a cache of %d rows and then "
                           "fails: name the rows of the cache (256 is usual) or a number of left chunks", NEMO_UNLIMITED_ROWS);
    if (n > CACHE_ROWS_MAX)
        return conure_fail(err, CONURE_BAD_ARG, "a cache of %llu rows: at most %d are supported", (unsigned long long)n, CACHE_ROWS_MAX);
    if (c->att_style == CONURE_CHUNKED_LIMITED && !o->chunk && n % ((uint64_t)c->att_right + 1) != 0)
        return conure_fail(err, CONURE_UNSUPPORTED, "a cache of %llu rows with chunks of %d: in the style chunked_limited it must be a "
                           "multiple", (unsigned long long)n, c->att_right + 1);
    *rows = (uint32_t)n;
    return CONURE_OK;
}

conure_status conure_streaming_derive(conure_streaming *out, const conure_config *config,
                                      const conure_streaming_options *o, conure_error *err)
{
    const uint32_t f = CONURE_FACTOR;
    int64_t look = 0, drop = 0;
    conure_streaming s = {.factor = f};
    conure_status status = look_ahead(config, o, &look, &drop, err);
    if (status == CONURE_OK)
        status = cache_rows(config, o, &s.cache_rows, err);
    if (status != CONURE_OK)
        return status;
    const uint32_t ahead = (uint32_t)look, kept = (uint32_t)(look - drop);
    s.chunk_frames[0] = 1 + f * ahead;
    s.chunk_frames[1] = f + f * ahead;
    s.shift_frames[0] = 1 + f * kept;
    s.shift_frames[1] = f + f * kept;
    s.valid_out = kept + 1;
    s.cache_drop = (uint32_t)drop;
    /* A slice begins one subsampled frame and one mel frame early; what that adds, and the frame before it, which the
     * left edge of the slice spoils, is dropped. */
    s.front_frames[1] = f + 1;
    s.drop_extra[1] = 1 + (s.front_frames[1] - 1) / f;
    if (o->export_graph) { /* the graph cannot know that it is the first step */
        s.front_frames[0] = s.front_frames[1];
        s.drop_extra[0] = s.drop_extra[1];
        s.chunk_frames[0] = s.chunk_frames[1];
        s.shift_frames[0] = s.shift_frames[1];
    }
    *out = s;
    return CONURE_OK;
}

/* ---- one step --------------------------------------------------------------------------------- */

static uint32_t less(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t minus(uint32_t a, uint32_t b)
{
    return a > b ? a - b : 0;
}

static uint32_t subsampled(uint32_t frames, uint32_t factor)
{
    return frames / factor + (frames % factor != 0);
}

void conure_contract_predict_row(const conure_contract *contract, uint32_t drop_first, uint32_t n_frames, uint32_t n_valid,
                                 int64_t length_in, bool last, conure_prediction *out)
{
    const conure_streaming *s = &contract->streaming;
    const int64_t cap = s->cache_rows;
    conure_prediction p = {.t_sub = subsampled(n_frames, s->factor)};
    p.rows = minus(p.t_sub, drop_first);
    p.valid = minus(subsampled(n_valid, s->factor), drop_first);
    p.encoder_frames = last ? p.rows : less(p.rows, s->valid_out);
    p.encoded_length = last ? p.valid : less(p.valid, s->valid_out);
    p.keep = (int64_t)p.rows - s->cache_drop;
    if (p.keep < 0 && !contract->keep_negative)
        p.keep = 0;
    /* concat(cache[keep:], rows[:keep]) in Python's sense leaves as many rows as came in, when keep is negative */
    p.breaks = cap > 0 && p.keep < 0 && p.rows < cap;
    int64_t length;
    if (__builtin_add_overflow(length_in, p.keep, &length)) /* a length that an engine made up */
        length = length_in;
    p.length_out = length < cap ? length : cap;
    *out = p;
}

void conure_contract_predict(const conure_contract *contract, bool first, uint32_t n_frames, uint32_t n_valid,
                             int64_t length_in, bool last, conure_prediction *out)
{
    conure_contract_predict_row(contract, contract->streaming.drop_extra[!first], n_frames, n_valid, length_in, last, out);
}

static bool serves(const conure_profile *profile, bool first)
{
    return profile->steps == CONURE_STEPS_ALL || (profile->steps == CONURE_STEPS_FIRST) == first;
}

bool conure_contract_accepts(const conure_contract *contract, bool first, uint32_t n_frames)
{
    for (uint32_t i = 0; i < contract->n_profiles; i++) {
        const conure_profile *p = &contract->profiles[i];
        if (serves(p, first) && n_frames >= p->t_min && n_frames <= p->t_max)
            return true;
    }
    return false;
}

bool conure_contract_state_flows(const conure_contract *contract)
{
    for (uint32_t i = 0; i < contract->n_profiles; i++)
        for (int first = 0; first < 2; first++) {
            conure_prediction p;
            const conure_profile *profile = &contract->profiles[i];
            conure_contract_predict(contract, first, profile->t_max, profile->t_max, 0, false, &p);
            if (serves(profile, first) && p.length_out > 0)
                return true;
        }
    return false;
}

void conure_contract_cache_options(const conure_contract *contract, conure_cache_options *out)
{
    *out = (conure_cache_options){
        .cache_rows = contract->streaming.cache_rows,
        .drop_rows = contract->streaming.cache_drop,
        .keep_negative = contract->keep_negative,
        .time_cache_aligned = contract->time_cache_aligned,
        .keep_rows = true,
    };
}
