/* metrics.c - counts as Prometheus' text: every line, escapes, sums of streams, numbers in any locale. */
#include "support.h"

#include "contract/metrics.h"

#include <locale.h>

static conure_metrics sample(void)
{
    conure_metrics m = {.n_streams = 1, .n_steps = 3, .n_bad_steps = 2, .n_resets = 1, .n_stops = 1, .n_not_finite = 7};
    m.checked[CONURE_RULE_CACHE_LENGTH] = 3;
    m.violated[CONURE_RULE_CACHE_LENGTH] = 2;
    conure_metrics_observe(&m, 0.05, 3, 4, 8);
    conure_metrics_observe(&m, 0.04, 0, 0, 0); /* on a bound; no evaluation */
    conure_metrics_observe(&m, 100.5, 2000, 9, 9);
    return m;
}

static char *text_of(const conure_metrics_set *sets, uint32_t n)
{
    conure_buffer out = {0};
    conure_metrics_text(&out, sets, n);
    test_true(!out.failed && out.data);
    return out.data;
}

static void lines(void)
{
    const conure_metrics m = sample();
    const conure_metrics_set set = {.metrics = &m};
    char *text = text_of(&set, 1);
    static const char *const has[] = {
        "# HELP conure_steps_total Steps of streams that were held to their contract.\n# TYPE conure_steps_total counter\nconure_steps_total 3\n",
        "# TYPE conure_contract_violations_total counter\nconure_contract_violations_total{rule=\"frames_in\"} 0\n",
        "\nconure_contract_checks_total{rule=\"cache_length\"} 3\n",
        "\nconure_contract_violations_total{rule=\"cache_length\"} 2\n",
        "\nconure_contract_bad_steps_total 2\n",
        "\nconure_contract_resets_total 1\n",
        "\nconure_contract_stops_total 1\n",
        "\nconure_nonfinite_values_total 7\n",
        "# TYPE conure_step_seconds histogram\nconure_step_seconds_bucket{le=\"0.005\"} 0\n",
        "\nconure_step_seconds_bucket{le=\"0.02\"} 0\nconure_step_seconds_bucket{le=\"0.04\"} 1\nconure_step_seconds_bucket{le=\"0.08\"} 2\n",
        "\nconure_step_seconds_bucket{le=\"10.24\"} 2\nconure_step_seconds_bucket{le=\"+Inf\"} 3\nconure_step_seconds_sum 100.59\nconure_step_seconds_count 3\n",
        "\nconure_cache_rows_bucket{le=\"0\"} 1\nconure_cache_rows_bucket{le=\"1\"} 1\n",
        "\nconure_cache_rows_bucket{le=\"1024\"} 2\nconure_cache_rows_bucket{le=\"+Inf\"} 3\nconure_cache_rows_sum 2003\n",
        "\nconure_blank_ratio_bucket{le=\"0.4\"} 0\nconure_blank_ratio_bucket{le=\"0.5\"} 1\n",
        "\nconure_blank_ratio_bucket{le=\"1\"} 2\nconure_blank_ratio_bucket{le=\"+Inf\"} 2\nconure_blank_ratio_sum 1.5\nconure_blank_ratio_count 2\n",
    };
    for (size_t i = 0; i < sizeof has / sizeof *has; i++)
        test_contains(text, has[i]);
    test_true(strncmp(text, "# HELP", 6) == 0 && text[strlen(text) - 1] == '\n');
    free(text);
}

/* Each family once, its HELP and TYPE before its samples, whatever number of sets. */
static void families(void)
{
    const conure_metrics m = sample();
    const conure_label labels[2][1] = {{{"stream", "a"}}, {{"stream", "b"}}};
    const conure_metrics_set sets[2] = {{&m, labels[0], 1}, {&m, labels[1], 1}};
    char *text = text_of(sets, 2);
    int n_help = 0, n_type = 0;
    for (const char *at = text; (at = strstr(at, "# HELP ")); at++)
        n_help++;
    for (const char *at = text; (at = strstr(at, "# TYPE ")); at++)
        n_type++;
    test_int(n_help, 10);
    test_int(n_type, 10);
    test_contains(text, "\nconure_steps_total{stream=\"a\"} 3\nconure_steps_total{stream=\"b\"} 3\n# HELP");
    test_contains(text, "\nconure_contract_checks_total{stream=\"b\",rule=\"keep\"} 0\n");
    test_contains(text, "\nconure_step_seconds_bucket{stream=\"a\",le=\"+Inf\"} 3\n");
    free(text);
    text = text_of(NULL, 0);
    test_contains(text, "# TYPE conure_steps_total counter\n# HELP");
    free(text);
}

static void escapes(void)
{
    const conure_metrics m = {.n_streams = 1};
    const conure_label labels[2] = {{"mo del-1", "a\\b\"c\nd\xc3\xa4{}"}, {"9x", ""}};
    const conure_metrics_set set = {&m, labels, 2};
    char *text = text_of(&set, 1);
    test_contains(text, "\nconure_steps_total{mo_del_1=\"a\\\\b\\\"c\\nd\xc3\xa4{}\",_x=\"\"} 0\n");
    free(text);
}

static void sums(void)
{
    const conure_metrics m = sample();
    conure_metrics total = {.n_streams = 0};
    conure_metrics_add(&total, &m);
    conure_metrics_add(&total, &m);
    test_int(total.n_streams, 2);
    test_int(total.n_steps, 6);
    test_int(total.checked[CONURE_RULE_CACHE_LENGTH], 6);
    test_int(total.violated[CONURE_RULE_CACHE_LENGTH], 4);
    test_int(total.n_bad_steps + total.n_resets + total.n_stops + total.n_not_finite, 2 * (2 + 1 + 1 + 7));
    test_int(total.step_s.counts[3], 2);
    test_near(total.step_s.sum, 201.18, 1e-9);
    test_int(total.blank_ratio.counts[CONURE_BUCKETS_MAX], 0);
}

static void taken(void)
{
    const conure_contract k = full_size(&published);
    conure_assertions a;
    conure_metrics m = {.n_streams = 0};
    conure_step_facts f = {.n_frames = 592, .n_valid = 592, .drop_first = 2, .n_out = 72, .n_out_valid = 71};
    conure_assertions_init(&a, &k, CONURE_POLICY_RESET);
    test_int(conure_assertions_step(&a, &f, NULL), CONURE_ACT_RESET);
    conure_metrics_observe(&m, 0.1, 0, 1, 2);
    conure_metrics_take(&m, &a);
    conure_metrics_take(&m, &a); /* the counts so far, not once more */
    test_int(m.n_streams, 1);
    test_int(m.n_steps, 1);
    test_int(m.n_resets, 1);
    test_int(m.violated[CONURE_RULE_ENCODED_LENGTH], 1);
    test_int(m.step_s.counts[5], 1);
}

static void locales(void)
{
    const conure_metrics m = sample();
    const conure_metrics_set set = {.metrics = &m};
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "ps_AF.UTF-8"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (setlocale(LC_ALL, names[i])) {
            char *text = text_of(&set, 1);
            test_contains(text, "conure_step_seconds_sum 100.59\n");
            free(text);
        }
    setlocale(LC_ALL, "C");
}

static void strange(void)
{
    conure_metrics m = {.n_streams = 1};
    const conure_metrics_set set = {.metrics = &m};
    conure_metrics_observe(&m, NAN, -1, 0, 0);
    char *text = text_of(&set, 1);
    test_contains(text, "conure_step_seconds_bucket{le=\"10.24\"} 0\nconure_step_seconds_bucket{le=\"+Inf\"} 1\nconure_step_seconds_sum NaN\n");
    test_contains(text, "conure_cache_rows_bucket{le=\"0\"} 1\n");
    free(text);
    m.step_s.sum = INFINITY;
    text = text_of(&set, 1);
    test_contains(text, "conure_step_seconds_sum +Inf\n");
    free(text);
}

int main(void)
{
    test_begin("contract.metrics");
    lines();
    families();
    escapes();
    sums();
    taken();
    locales();
    strange();
    return test_end();
}
