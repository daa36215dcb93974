/* metrics.c - counters and histograms as text. */
#include "contract/metrics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Steps are due every 80 ms or more; caches hold 64 to 256 rows; speech is blank in 0.3 to 0.9 of evaluations. */
static const double step_bounds[] = {0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24};
static const double row_bounds[] = {0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};
static const double ratio_bounds[] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1};
_Static_assert(sizeof step_bounds == sizeof(double[CONURE_BUCKETS_MAX]) && sizeof row_bounds == sizeof step_bounds &&
                   sizeof ratio_bounds == sizeof step_bounds,
               "one bound for each bucket");

/* ---- counting --------------------------------------------------------------------------------- */

static void observe(conure_histogram *h, const double *bounds, double value)
{
    uint32_t i = 0;
    while (i < CONURE_BUCKETS_MAX && !(value <= bounds[i])) /* NaN is above all */
        i++;
    h->counts[i]++;
    h->sum += value;
}

static void add(conure_histogram *total, const conure_histogram *part)
{
    for (uint32_t i = 0; i <= CONURE_BUCKETS_MAX; i++)
        total->counts[i] += part->counts[i];
    total->sum += part->sum;
}

void conure_metrics_take(conure_metrics *m, const conure_assertions *a)
{
    memcpy(m->checked, a->checked, sizeof m->checked);
    memcpy(m->violated, a->violated, sizeof m->violated);
    m->n_streams = 1;
    m->n_steps = a->n_steps;
    m->n_bad_steps = a->n_bad_steps;
    m->n_resets = a->n_resets;
    m->n_stops = a->n_stops;
    m->n_not_finite = a->n_not_finite;
}

void conure_metrics_observe(conure_metrics *m, double step_s, int64_t cache_rows, uint64_t n_blanks, uint64_t n_evaluations)
{
    observe(&m->step_s, step_bounds, step_s);
    observe(&m->cache_rows, row_bounds, (double)cache_rows);
    if (n_evaluations)
        observe(&m->blank_ratio, ratio_bounds, (double)n_blanks / (double)n_evaluations);
}

void conure_metrics_add(conure_metrics *total, const conure_metrics *part)
{
    for (uint32_t i = 0; i < CONURE_RULES; i++) {
        total->checked[i] += part->checked[i];
        total->violated[i] += part->violated[i];
    }
    total->n_streams += part->n_streams;
    total->n_steps += part->n_steps;
    total->n_bad_steps += part->n_bad_steps;
    total->n_resets += part->n_resets;
    total->n_stops += part->n_stops;
    total->n_not_finite += part->n_not_finite;
    add(&total->step_s, &part->step_s);
    add(&total->cache_rows, &part->cache_rows);
    add(&total->blank_ratio, &part->blank_ratio);
}

/* ---- text ------------------------------------------------------------------------------------- */

/* printf() takes the decimal point from the locale, which is the caller's affair.  text [40]; returns it. */
static const char *number(char *text, double value)
{
    char raw[40];
    size_t n = 0;
    if (isnan(value))
        return strcpy(text, "NaN");
    if (isinf(value))
        return strcpy(text, value > 0 ? "+Inf" : "-Inf");
    snprintf(raw, sizeof raw, "%.15g", value);
    for (size_t i = 0; raw[i]; i++) {
        if (strchr("0123456789eE+-", raw[i]))
            text[n++] = raw[i];
        else if (n == 0 || text[n - 1] != '.') /* a point may have several bytes */
            text[n++] = '.';
    }
    text[n] = '\0';
    return text;
}

static void label(conure_buffer *out, const char *name, const char *value, bool first)
{
    conure_buffer_text(out, first ? "{" : ",");
    for (const char *c = name; *c; c++) {
        const bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '_';
        const bool fits = letter || (*c >= '0' && *c <= '9' && c > name);
        conure_buffer_add(out, fits ? c : "_", 1);
    }
    conure_buffer_text(out, "=\"");
    for (const char *c = value; *c; c++) {
        if (*c == '\n')
            conure_buffer_text(out, "\\n");
        else if (*c == '\\' || *c == '"')
            conure_buffer_format(out, "\\%c", *c);
        else
            conure_buffer_add(out, c, 1);
    }
    conure_buffer_text(out, "\"");
}

/* NAME{the set's labels, extra="value"}, and a space */
static void sample(conure_buffer *out, const char *name, const char *ending, const conure_metrics_set *set, const char *extra,
                   const char *value)
{
    conure_buffer_format(out, "%s%s", name, ending);
    for (uint32_t i = 0; i < set->n_labels; i++)
        label(out, set->labels[i].name, set->labels[i].value, i == 0);
    if (extra)
        label(out, extra, value, set->n_labels == 0);
    conure_buffer_text(out, set->n_labels || extra ? "} " : " ");
}

static void head(conure_buffer *out, const char *name, const char *type, const char *help)
{
    conure_buffer_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void counters(conure_buffer *out, const conure_metrics_set *sets, uint32_t n, const char *name, const char *help, size_t offset)
{
    head(out, name, "counter", help);
    for (uint32_t i = 0; i < n; i++) {
        sample(out, name, "", &sets[i], NULL, NULL);
        conure_buffer_format(out, "%llu\n", (unsigned long long)*(const uint64_t *)(const void *)((const char *)sets[i].metrics + offset));
    }
}

static void by_rule(conure_buffer *out, const conure_metrics_set *sets, uint32_t n, const char *name, const char *help, bool violated)
{
    head(out, name, "counter", help);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t rule = 0; rule < CONURE_RULES; rule++) {
            const uint64_t count = violated ? sets[i].metrics->violated[rule] : sets[i].metrics->checked[rule];
            sample(out, name, "", &sets[i], "rule", conure_rule_id(rule));
            conure_buffer_format(out, "%llu\n", (unsigned long long)count);
        }
}

static void histograms(conure_buffer *out, const conure_metrics_set *sets, uint32_t n, const char *name, const char *help,
                       const double *bounds, size_t offset)
{
    head(out, name, "histogram", help);
    for (uint32_t i = 0; i < n; i++) {
        const conure_histogram *h = (const void *)((const char *)sets[i].metrics + offset);
        uint64_t below = 0;
        char text[40];
        for (uint32_t k = 0; k <= CONURE_BUCKETS_MAX; k++) {
            below += h->counts[k];
            sample(out, name, "_bucket", &sets[i], "le", number(text, k < CONURE_BUCKETS_MAX ? bounds[k] : (double)INFINITY));
            conure_buffer_format(out, "%llu\n", (unsigned long long)below);
        }
        sample(out, name, "_sum", &sets[i], NULL, NULL);
        conure_buffer_format(out, "%s\n", number(text, h->sum));
        sample(out, name, "_count", &sets[i], NULL, NULL);
        conure_buffer_format(out, "%llu\n", (unsigned long long)below);
    }
}

void conure_metrics_text(conure_buffer *out, const conure_metrics_set *sets, uint32_t n)
{
#define AT(member) offsetof(conure_metrics, member)
    counters(out, sets, n, "conure_steps_total", "Steps of streams that were held to their contract.", AT(n_steps));
    by_rule(out, sets, n, "conure_contract_checks_total", "Times a rule of the contract was looked at.", false);
    by_rule(out, sets, n, "conure_contract_violations_total", "Times a rule of the contract did not hold.", true);
    counters(out, sets, n, "conure_contract_bad_steps_total", "Steps in which some rule did not hold.", AT(n_bad_steps));
    counters(out, sets, n, "conure_contract_resets_total", "Streams whose caches were reset after a violation.", AT(n_resets));
    counters(out, sets, n, "conure_contract_stops_total", "Steps that were made to fail by a violation.", AT(n_stops));
    counters(out, sets, n, "conure_nonfinite_values_total", "Values of encoder outputs that were NaN or infinite.", AT(n_not_finite));
    histograms(out, sets, n, "conure_step_seconds", "Seconds that a step took.", step_bounds, AT(step_s));
    histograms(out, sets, n, "conure_cache_rows", "Valid rows of the attention cache after a step.", row_bounds, AT(cache_rows));
    histograms(out, sets, n, "conure_blank_ratio", "Share of blanks in a step's decoder evaluations.", ratio_bounds, AT(blank_ratio));
#undef AT
}
