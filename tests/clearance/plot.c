/* plot.c - plots are a function of their input alone.  With a FOLDER as argument each plot is written there too, for the reader of
 * XML in plot.py and for eyes. */
#include "../test.h"
#include "clearance/plot.h"

#include <locale.h>

enum { N = 300, LONG = 12345 };

static const char hostile[] = "</title><script>alert('1')</script> \"a\" & ]]> <!-- \x01\x1b[31m \xff\xc0\xaf \xed\xa0\x80 \xe2\x80\xae "
                              "\xef\xbf\xbf \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x8e\xa4 \xf0\x9f";
static double decays[N], flat[N], holes[N], signs[N], many[LONG];

static void make_values(void)
{
    uint64_t seed = 7;
    for (int i = 0; i < N; i++) {
        decays[i] = 2e-6 * exp(test_uniform(&seed, -1, 1)) * (1 + i / 100.0);
        flat[i] = 1e-6;
        holes[i] = i % 50 == 20 ? INFINITY : i % 50 > 30 ? NAN : i % 50 == 10 ? 0 : 1e-4 * (1 + sin(i / 9.0));
        signs[i] = 40 * sin(i / 30.0);
    }
    for (int i = 0; i < LONG; i++)
        many[i] = test_uniform(&seed, 0.2f, 0.4f);
    many[7777] = 0.9;
}

typedef void drawing(conure_buffer *out);

static void lines_log(conure_buffer *out)
{
    const conure_plot_limit limits[] = {{"limit at the maximum", 1e-3}, {"noise", 1.3e-6}};
    const conure_plot p = {.title = "encoder_output: largest error of a chunk", .x_label = "chunk", .y_label = "absolute difference", .log = true,
                           .limits = limits, .n_limits = 2};
    const conure_plot_series s[] = {{.name = "cpu:int8", .y = decays, .n = N}, {.name = "cpu:f32", .y = flat, .n = N}};
    const conure_plot_fit fit = {"slope 2e-8 a chunk", 2e-6, 2e-8, 1, N - 1};
    conure_plot_lines(out, &p, s, 2, &fit);
}

static void lines_linear(conure_buffer *out)
{
    const conure_plot_limit limits[] = {{"limit", 8e-6}};
    const conure_plot p = {.title = "drift", .x_label = "chunk", .y_label = "absolute difference", .limits = limits, .n_limits = 1};
    const conure_plot_series s[] = {{.name = "largest error", .y = decays, .n = N}};
    const conure_plot_fit fit = {"fitted", 2e-6, 2e-8, 1, N - 1};
    conure_plot_lines(out, &p, s, 1, &fit);
}

static void lines_signed(conure_buffer *out)
{
    const conure_plot p = {.title = "on both sides of 0", .x_label = "chunk"};
    const conure_plot_series s[] = {{.name = "a sine", .y = signs, .n = N}};
    conure_plot_lines(out, &p, s, 1, NULL);
}

static void lines_holes(conure_buffer *out)
{
    const conure_plot p = {.title = "missing, not finite and 0", .x_label = "chunk", .y_label = "absolute difference", .log = true};
    const conure_plot_series s[] = {{.name = "holes", .y = holes, .n = N}};
    conure_plot_lines(out, &p, s, 1, NULL);
}

static void lines_many(conure_buffer *out)
{
    const conure_plot p = {.title = "12345 chunks, one of them slow", .x_label = "chunk", .y_label = "seconds"};
    const conure_plot_series s[] = {{.name = "step", .y = many, .n = LONG}};
    conure_plot_lines(out, &p, s, 1, NULL);
}

static void lines_hostile(conure_buffer *out)
{
    const conure_plot_limit limits[] = {{hostile, 0.25}};
    const conure_plot p = {.title = hostile, .x_label = hostile, .y_label = hostile, .limits = limits, .n_limits = 1};
    const conure_plot_series s[] = {{.name = hostile, .y = many, .n = 5}};
    const conure_plot_fit fit = {hostile, 0.3, 0, 0, 4};
    conure_plot_lines(out, &p, s, 1, &fit);
}

static void lines_empty(conure_buffer *out)
{
    static const double nans[] = {NAN, NAN};
    const conure_plot p = {.title = "nothing", .log = true};
    const conure_plot_series s[] = {{.name = "no chunks"}, {.name = "none compared", .y = nans, .n = 2}};
    conure_plot_lines(out, &p, s, 2, NULL);
    conure_buffer_free(out);
    conure_plot_lines(out, &(conure_plot){0}, NULL, 0, NULL);
    conure_buffer_free(out);
    conure_plot_lines(out, &p, s, 2, NULL);
}

static void lines_extreme(conure_buffer *out)
{
    static const double y[] = {5e-324, 1.7e308, -1.7e308, -INFINITY, 0, 1e-320}, x[] = {-1e308, -1, 0, 1, 1e308, INFINITY};
    const conure_plot p = {.title = "extremes", .log = true}, q = {.title = "extremes"};
    const conure_plot_series s[] = {{.name = "extremes", .y = y, .x = x, .n = 6}}, tiny[] = {{.name = "tiny", .y = y, .n = 1}};
    conure_plot_lines(out, &q, tiny, 1, NULL);
    conure_buffer_free(out);
    conure_plot_lines(out, &p, s, 1, NULL);
    conure_buffer_free(out);
    conure_plot_lines(out, &q, s, 1, NULL);
}

static void bars_layers(conure_buffer *out)
{
    const conure_plot_limit limits[] = {{"limit", 5e-6}};
    const conure_plot p = {.title = "cache_last_time by layer", .x_label = "layer", .y_label = "largest absolute difference", .log = true,
                           .limits = limits, .n_limits = 1};
    const conure_plot_bar_set s[] = {{"all positions", decays}, {"valid positions", flat}};
    conure_plot_bars(out, &p, s, 2, 24, NULL, NULL);
}

static void bars_latency(conure_buffer *out)
{
    static const double edges[] = {0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.02};
    static const double counts[] = {0, 0, 3, 120, 812, 240, 31, 4, 0, 1};
    const conure_plot p = {.title = "step latency", .x_label = "seconds", .y_label = "steps"};
    const conure_plot_bar_set s[] = {{"steps", counts}};
    conure_plot_bars(out, &p, s, 1, 10, NULL, edges);
}

static void bars_holes(conure_buffer *out)
{
    static const double values[] = {1, NAN, INFINITY, -2, -INFINITY, 0};
    static const char *const names[] = {"one", "missing", "not finite", hostile, NULL, "zero"};
    const conure_plot p = {.title = "bars of all kinds"};
    const conure_plot_bar_set s[] = {{"a", values}};
    conure_plot_bars(out, &p, s, 1, 6, names, NULL);
    conure_buffer_free(out);
    conure_plot_bars(out, &p, s, 1, 0, NULL, NULL);
    conure_buffer_free(out);
    conure_plot_bars(out, &p, s, 1, 6, names, NULL);
}

static void heat_time(conure_buffer *out)
{
    double values[24 * 8];
    for (int i = 0; i < 24 * 8; i++)
        values[i] = i % 8 < 2 ? 0 : 1e-7 * exp((i / 8) * 0.3 + (i % 8) * 0.2);
    values[100] = INFINITY;
    values[101] = NAN;
    const conure_plot p = {.title = "cache_last_time: layer by position", .x_label = "position", .y_label = "layer", .log = true};
    const conure_plot_grid g = {.values = values, .rows = 24, .cols = 8, .value_label = "largest absolute difference"};
    conure_plot_heat(out, &p, &g);
}

static void heat_table(conure_buffer *out)
{
    static const double values[] = {0.9, 0.02, 1.3, 0.31, 0.8, 0, NAN, INFINITY, 1e-7, 0.031, 0.41, 0.0021};
    static const char *const rows[] = {"features", "channel", "time", hostile}, *const cols[] = {"encoder", "channel", "time"};
    const conure_plot p = {.title = "Sensitivity", .x_label = "output", .y_label = "changed input", .log = true};
    const conure_plot_grid g = {.values = values, .rows = 4, .cols = 3, .row_names = rows, .col_names = cols, .value_label = "relative change"};
    conure_plot_heat(out, &p, &g);
}

static void heat_large(conure_buffer *out)
{
    const conure_plot p = {.title = "more cells than are drawn", .x_label = "row of the cache", .y_label = "layer"};
    const conure_plot_grid g = {.values = many, .rows = 48, .cols = 256, .value_label = "seconds"}, none = {0};
    conure_plot_heat(out, &p, &none);
    conure_buffer_free(out);
    conure_plot_heat(out, &p, &g);
}

static const struct {
    const char *name;
    drawing *draw;
    double *changes; /* a value that must show */
} plots[] = {{"lines_log", lines_log, &decays[17]}, {"lines_linear", lines_linear, &decays[17]}, {"lines_signed", lines_signed, &signs[17]},
             {"lines_holes", lines_holes, &holes[3]}, {"lines_many", lines_many, &many[7777]}, {"lines_hostile", lines_hostile, &many[2]},
             {"lines_empty", lines_empty, NULL}, {"lines_extreme", lines_extreme, NULL}, {"bars_layers", bars_layers, &decays[17]},
             {"bars_latency", bars_latency, NULL}, {"bars_holes", bars_holes, NULL}, {"heat_time", heat_time, NULL},
             {"heat_table", heat_table, NULL}, {"heat_large", heat_large, &many[7777]}};

static void look_at(const char *folder, const char *name, drawing *draw, double *changes)
{
    conure_buffer first = {0}, again = {0};
    draw(&first);
    draw(&again);
    test_true(!first.failed && first.bytes > 300 && first.bytes < 100000);
    test_true(first.bytes == again.bytes && memcmp(first.data, again.data, first.bytes) == 0);
    test_true(strncmp(first.data, "<svg ", 5) == 0 && strcmp(first.data + first.bytes - 7, "</svg>\n") == 0);
    test_true(strstr(first.data, "role=\"img\" aria-label=\"") && strstr(first.data, "<title>"));
    test_true(!strstr(first.data, "script>") && !strstr(first.data, "nan") && !strstr(first.data, "inf\""));
    if (changes) {
        const double was = *changes;
        conure_buffer_free(&again);
        *changes = was * 0.5;
        draw(&again);
        test_true(first.bytes != again.bytes || memcmp(first.data, again.data, first.bytes) != 0);
        *changes = was;
    }
    if (folder) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s.svg", folder, name);
        FILE *file = fopen(path, "w");
        test_true(file && fwrite(first.data, 1, first.bytes, file) == first.bytes && fclose(file) == 0);
    }
    conure_buffer_free(&first);
    conure_buffer_free(&again);
}

static const char *number(double x, int digits)
{
    static char text[CONURE_PLOT_NUMBER_CAP];
    return conure_plot_number(text, x, digits);
}

static void numbers(void)
{
    char text[CONURE_PLOT_NUMBER_CAP];
    test_text(number(0, 3), "0");
    test_text(number(-0.0, 3), "0");
    test_text(number(1234567, 3), "1.23e6");
    test_text(number(999999, 3), "1e6");
    test_text(number(123456, 6), "123456");
    test_text(number(1200, 2), "1200");
    test_text(number(-0.00015, 3), "-1.5e-4");
    test_text(number(0.0015, 3), "0.0015");
    test_text(number(0.5, 1), "0.5");
    test_text(number(2.2250738585072014e-308, 15), "2.2250738585072e-308");
    test_text(number(-1.7976931348623157e308, 99), "-1.79769313486232e308");
    test_text(number(INFINITY, 3), "inf");
    test_text(number(-INFINITY, 3), "-inf");
    test_text(number(NAN, 3), "nan");
    test_text(conure_plot_decimal(text, 1500, -3), "1.5");
    test_text(conure_plot_decimal(text, INT64_MIN, 0), "-9.223372036854775808e18");
}

static void texts(void)
{
    static const struct {
        const char *in, *out;
        size_t max;
    } cases[] = {{"a<b>&\"'", "a&lt;b&gt;&amp;&quot;&#39;", 0}, {"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", "\xe6\x97\xa5\xe2\x80\xa6", 2},
                 {"abc", "abc", 3}, {"", "", 3}, {"a\x01" "b\xff" "c", "a\xef\xbf\xbd" "b\xef\xbf\xbd" "c", 0},
                 {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 0}, {"\xf0\x9f\x8e\xa4", "\xf0\x9f\x8e\xa4", 1},
                 {"x\xe2\x80\xaey", "x\xef\xbf\xbdy", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        conure_buffer out = {0};
        conure_plot_text(&out, cases[i].in, cases[i].max);
        test_text(out.data ? out.data : "", cases[i].out);
        conure_buffer_free(&out);
    }
}

int main(int argc, char **argv)
{
    test_begin("clearance.plot");
    make_values();
    numbers();
    texts();
    for (size_t i = 0; i < sizeof plots / sizeof *plots; i++)
        look_at(argc > 1 ? argv[1] : NULL, plots[i].name, plots[i].draw, plots[i].changes);
    /* A program around the library may have any locale. */
    conure_buffer plain = {0}, other = {0};
    lines_log(&plain);
    const bool comma = setlocale(LC_ALL, "de_DE.UTF-8") != NULL;
    lines_log(&other);
    test_text(other.data, plain.data);
    test_text(number(1.5e-7, 3), "1.5e-7");
    fprintf(stderr, "with a decimal comma: %s\n", comma ? "yes" : "no such locale here");
    conure_buffer_free(&plain);
    conure_buffer_free(&other);
    return test_end();
}
