/* assertions.c - one step against the contract's rules. */
#include "contract/assertions.h"

#include <stdio.h>
#include <string.h>

static const char *const policy_names[] = {"stop", "reset", "count"};

bool conure_policy_parse(conure_policy *policy, const char *word)
{
    for (int i = 0; i < 3; i++)
        if (strcmp(policy_names[i], word) == 0) {
            *policy = (conure_policy)i;
            return true;
        }
    return false;
}

const char *conure_policy_name(conure_policy policy)
{
    return policy_names[policy];
}

void conure_assertions_init(conure_assertions *assertions, const conure_contract *contract, conure_policy policy)
{
    *assertions = (conure_assertions){.contract = contract, .policy = policy};
}

/* All ones in the exponent.  As integers, so that the compiler makes one pass of wide instructions of it. */
uint64_t conure_count_not_finite(const float *values, size_t n, size_t *first)
{
    uint64_t count = 0;
    for (size_t i = 0; i < n;) {
        const size_t end = n - i < 4096 ? n : i + 4096;
        uint32_t here = 0;
        for (size_t k = i; k < end; k++) {
            uint32_t bits;
            memcpy(&bits, &values[k], sizeof bits);
            here += (bits & 0x7f800000u) == 0x7f800000u;
        }
        for (size_t k = i; here && count == 0 && first && k < end; k++)
            if (values[k] - values[k] != 0) {
                *first = k;
                break;
            }
        count += here;
        i = end;
    }
    return count;
}

/* ---- one step --------------------------------------------------------------------------------- */

typedef struct look {
    conure_assertions *a;
    const conure_step_facts *f;
    conure_error *err;
    bool bad;
} look;

/* Count, and word the first one of a step. */
static void judge(look *l, conure_rule rule, bool ok, const char *what, int64_t got, int64_t expected)
{
    if (!l->a->contract->asserts[rule])
        return;
    l->a->checked[rule]++;
    if (ok)
        return;
    l->a->violated[rule]++;
    if (!l->bad)
        (void)conure_fail(l->err, CONURE_VIOLATION, "contract, rule %s: %s[%u] is %lld, expected %lld (step %llu, T %u, length %u)",
                          conure_rule_id(rule), what, l->f->row, (long long)got, (long long)expected,
                          (unsigned long long)l->f->step, l->f->n_frames, l->f->n_valid);
    l->bad = true;
}

static void judge_frames(look *l)
{
    const conure_contract *k = l->a->contract;
    char what[CONURE_CONTRACT_NAME_CAP + 16];
    if (!k->asserts[CONURE_RULE_FRAMES_IN] || l->f->last)
        return;
    l->a->checked[CONURE_RULE_FRAMES_IN]++;
    if (conure_contract_accepts(k, l->f->step == 0, l->f->n_frames))
        return;
    l->a->violated[CONURE_RULE_FRAMES_IN]++;
    snprintf(what, sizeof what, "%s", k->names[CONURE_ROLE_FEATURES]);
    if (!l->bad)
        (void)conure_fail(l->err, CONURE_VIOLATION, "contract, rule frames_in: %s[%u] has T = %u, which no profile for this step allows "
                          "(step %llu)", what, l->f->row, l->f->n_frames, (unsigned long long)l->f->step);
    l->bad = true;
}

static void judge_lengths(look *l, const conure_prediction *p)
{
    const conure_contract *k = l->a->contract;
    const conure_step_facts *f = l->f;
    char what[CONURE_CONTRACT_NAME_CAP + 24];
    snprintf(what, sizeof what, "time dimension of %s", k->names[CONURE_ROLE_ENCODER]);
    const uint32_t frames = f->trimmed ? p->encoder_frames : p->rows, valid = f->trimmed ? p->encoded_length : p->valid;
    judge(l, CONURE_RULE_ENCODER_FRAMES, f->n_out == frames, what, f->n_out, frames);
    judge(l, CONURE_RULE_ENCODED_LENGTH, f->n_out_valid == valid, k->names[CONURE_ROLE_ENCODED_LENGTH], f->n_out_valid, valid);
    if (f->last) /* what it leaves in the cache is never read */
        return;
    judge(l, CONURE_RULE_KEEP, p->keep >= 0, "rows kept", p->keep, 0);
    if (!f->length_known)
        return;
    const int64_t cap = k->streaming.cache_rows, got = f->length_out;
    judge(l, CONURE_RULE_CACHE_LENGTH, got == p->length_out, k->names[CONURE_ROLE_CACHE_LENGTH_OUT], got, p->length_out);
    judge(l, CONURE_RULE_CACHE_RANGE, got >= 0 && got <= cap, k->names[CONURE_ROLE_CACHE_LENGTH_OUT], got, got < 0 ? 0 : cap);
}

static void judge_values(look *l)
{
    conure_assertions *a = l->a;
    const conure_step_facts *f = l->f;
    if (!a->contract->asserts[CONURE_RULE_FINITE] || !f->out)
        return;
    size_t first = 0;
    const uint64_t n = conure_count_not_finite(f->out, (size_t)f->n_out * f->width, &first);
    a->checked[CONURE_RULE_FINITE]++;
    if (n == 0)
        return;
    a->violated[CONURE_RULE_FINITE]++;
    a->n_not_finite += n;
    if (!l->bad)
        (void)conure_fail(l->err, CONURE_VIOLATION, "contract, rule finite: %s[%u], frame %zu, channel %zu is %g, expected a finite number; %llu "
                          "of %llu values are not (step %llu)", a->contract->names[CONURE_ROLE_ENCODER], f->row, first / f->width,
                          first % f->width, (double)f->out[first], (unsigned long long)n,
                          (unsigned long long)f->n_out * f->width, (unsigned long long)f->step);
    l->bad = true;
}

conure_act conure_assertions_step(conure_assertions *a, const conure_step_facts *facts, conure_error *err)
{
    look l = {.a = a, .f = facts, .err = err};
    conure_prediction p;
    conure_contract_predict_row(a->contract, facts->drop_first, facts->n_frames, facts->n_valid, facts->length_in, facts->last, &p);
    judge_frames(&l);
    judge_lengths(&l, &p);
    judge_values(&l);
    a->n_steps++;
    if (!l.bad)
        return CONURE_ACT_GO_ON;
    a->n_bad_steps++;
    switch (a->policy) {
    case CONURE_POLICY_STOP:
        a->n_stops++;
        return CONURE_ACT_STOP;
    case CONURE_POLICY_RESET:
        a->n_resets++;
        return CONURE_ACT_RESET;
    case CONURE_POLICY_COUNT:
        break;
    }
    return CONURE_ACT_GO_ON;
}
