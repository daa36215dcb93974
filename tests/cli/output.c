/* output.c - every output format against the text it must be, from transcripts made by hand. */
#include <locale.h>

#include "cli/output.h"
#include "cli/sink.h"
#include "test.h"

static const conure_token tokens[] = {
    {.id = 7, .frame = 6, .duration = 2, .confidence = 0.5f, .text = "\xE2\x96\x81Hi"},
    {.id = 9, .frame = 8, .duration = 0, .confidence = 1.0f, .text = "!"},
    {.id = 3, .frame = 20, .duration = 4, .confidence = 0.123456789f, .text = "<0xE2>"},
};
static const conure_word words[] = {
    {.text = "Hi!", .start_s = 0.48, .end_s = 0.64, .confidence = 0.5f, .first_token = 0, .n_tokens = 2},
    {.text = "a<b&c", .start_s = 1.6, .end_s = 1.92, .confidence = 0.123456789f, .first_token = 2, .n_tokens = 1},
};
static const conure_segment segments[] = {
    {.text = "Hi!", .start_s = 0.48, .end_s = 0.64, .confidence = 0.5f, .first_word = 0, .n_words = 1},
    {.text = "a<b&c", .start_s = 1.6, .end_s = 1.92, .confidence = 0.123456789f, .first_word = 1, .n_words = 1},
};
static const conure_result plain = {
    .text = "Hi! a<b&c", .tokens = tokens, .words = words, .segments = segments, .n_tokens = 3,
    .n_words = 2, .n_segments = 2, .n_frames = 40, .audio_s = 3.2,
};
static const conure_result silence = {.text = "", .audio_s = 0};

static conure_transcript transcript(const conure_result *result)
{
    return (conure_transcript){.file = "talk.wav", .result = result, .model_name = "m", .model_sha256 = "00ff"};
}

static void check(conure_output_format format, const conure_transcript *t, bool label,
                  bool timestamps, const char *want)
{
    conure_buffer out = {0};
    conure_output_write(&out, format, t, label, timestamps);
    test_true(!out.failed);
    test_text(out.data ? out.data : "", want);
    conure_buffer_free(&out);
}

static void text_formats(void)
{
    conure_transcript t = transcript(&plain);
    check(CONURE_OUTPUT_TEXT, &t, false, false, "Hi! a<b&c\n");
    check(CONURE_OUTPUT_TEXT, &t, true, false, "talk.wav: Hi! a<b&c\n");
    check(CONURE_OUTPUT_TEXT, &t, false, true,
          "[00:00:00.480 --> 00:00:00.640] Hi!\n[00:00:01.600 --> 00:00:01.920] a<b&c\n");
    check(CONURE_OUTPUT_TSV, &t, false, false, "start\tend\ttext\n480\t640\tHi!\n1600\t1920\ta<b&c\n");
    t.channel = 2;
    check(CONURE_OUTPUT_TEXT, &t, true, false, "talk.wav [2]: Hi! a<b&c\n");
    check(CONURE_OUTPUT_TEXT, &t, false, false, "[2] Hi! a<b&c\n");
    t = transcript(&silence);
    check(CONURE_OUTPUT_TEXT, &t, false, false, "\n");
    check(CONURE_OUTPUT_TEXT, &t, false, true, "");
    check(CONURE_OUTPUT_TSV, &t, false, false, "start\tend\ttext\n");
    t = transcript(NULL);
    check(CONURE_OUTPUT_TEXT, &t, true, false, "");
}

static void subtitles(void)
{
    conure_transcript t = transcript(&plain);
    check(CONURE_OUTPUT_SRT, &t, false, false,
          "1\n00:00:00,480 --> 00:00:00,640\nHi!\n\n2\n00:00:01,600 --> 00:00:01,920\na<b&c\n");
    check(CONURE_OUTPUT_VTT, &t, false, false,
          "WEBVTT\n\n00:00:00.480 --> 00:00:00.640\nHi!\n\n"
          "00:00:01.600 --> 00:00:01.920\na&lt;b&amp;c\n");
    t = transcript(&silence);
    check(CONURE_OUTPUT_SRT, &t, false, false, "");
    check(CONURE_OUTPUT_VTT, &t, false, false, "WEBVTT\n");
}

static void hostile_subtitles(void)
{
    const conure_word w[] = {
        {.text = "x-->y", .start_s = 3599.9999, .end_s = 3599.9999},
        {.text = "a\nb\r\n\nc", .start_s = 360000.5, .end_s = 360001.25},
    };
    const conure_segment s[] = {{.text = "", .first_word = 0, .n_words = 1},
                                {.text = "", .first_word = 1, .n_words = 1}};
    const conure_result r = {.text = "", .words = w, .segments = s, .n_words = 2, .n_segments = 2};
    const conure_transcript t = transcript(&r);
    /* No line inside a cue can be taken for times or be empty, and every cue lasts. */
    check(CONURE_OUTPUT_SRT, &t, false, false,
          "1\n01:00:00,000 --> 01:00:00,001\nx\xE2\x86\x92y\n\n"
          "2\n100:00:00,500 --> 100:00:01,250\na b   c\n");
    check(CONURE_OUTPUT_VTT, &t, false, false,
          "WEBVTT\n\n01:00:00.000 --> 01:00:00.001\nx--&gt;y\n\n"
          "100:00:00.500 --> 100:00:01.250\na b   c\n");
}

static void json(void)
{
    const char *const warnings[] = {"cut \"short\""};
    conure_transcript t = transcript(&plain);
    t.warnings = warnings;
    t.n_warnings = 1;
    check(CONURE_OUTPUT_JSON, &t, false, false,
          "{\"task\":\"transcribe\",\n \"language\":null,\n \"duration\":3.2,\n \"text\":\"Hi! a<b&c\",\n"
          " \"segments\":[\n"
          "  {\"id\":0,\"start\":0.48,\"end\":0.64,\"text\":\"Hi!\",\"confidence\":0.5},\n"
          "  {\"id\":1,\"start\":1.6,\"end\":1.92,\"text\":\"a<b&c\",\"confidence\":0.123457}],\n"
          " \"words\":[\n"
          "  {\"word\":\"Hi!\",\"start\":0.48,\"end\":0.64,\"confidence\":0.5},\n"
          "  {\"word\":\"a<b&c\",\"start\":1.6,\"end\":1.92,\"confidence\":0.123457}],\n"
          " \"tokens\":[\n"
          "  {\"id\":7,\"frame\":6,\"duration\":2,\"text\":\"\xE2\x96\x81Hi\",\"confidence\":0.5},\n"
          "  {\"id\":9,\"frame\":8,\"duration\":0,\"text\":\"!\",\"confidence\":1.0},\n"
          "  {\"id\":3,\"frame\":20,\"duration\":4,\"text\":\"<0xE2>\",\"confidence\":0.123457}],\n"
          " \"model\":{\"name\":\"m\",\"hash\":\"00ff\"},\n \"file\":\"talk.wav\",\n"
          " \"warnings\":[\n  \"cut \\\"short\\\"\"]}");
    t = transcript(&silence);
    t.channel = 1;
    check(CONURE_OUTPUT_JSON, &t, false, false,
          "{\"task\":\"transcribe\",\n \"language\":null,\n \"duration\":0.0,\n \"text\":\"\",\n"
          " \"segments\":[],\n \"words\":[],\n \"tokens\":[],\n"
          " \"model\":{\"name\":\"m\",\"hash\":\"00ff\"},\n \"file\":\"talk.wav\",\n \"channel\":1,\n"
          " \"warnings\":[]}");
    t = transcript(NULL);
    t.file = "a\xFFz";
    t.error = "a: no";
    check(CONURE_OUTPUT_JSON, &t, false, false,
          "{\"task\":\"transcribe\",\n \"error\":\"a: no\",\n \"model\":{\"name\":\"m\",\"hash\":\"00ff\"},\n"
          " \"file\":\"a\xEF\xBF\xBDz\",\n \"warnings\":[]}");
}

/* Not-a-number is not JSON; a file name's control characters do not reach the terminal. */
static void odd_values(void)
{
    const conure_token token = {.id = 1, .confidence = NAN, .text = "x"};
    const conure_result r = {.text = "x", .tokens = &token, .n_tokens = 1, .audio_s = 1};
    conure_transcript t = transcript(&r);
    conure_buffer out = {0};
    conure_output_json(&out, &t);
    test_contains(out.data, "\"text\":\"x\",\"confidence\":null}");
    conure_buffer_free(&out);
    t.file = "a\033[2Jb\x01";
    check(CONURE_OUTPUT_TEXT, &t, true, false, "a [2Jb : x\n");
}

/* n words of five letters, one every step_s. */
static void split(uint32_t n, double step_s, uint32_t pause_at, uint32_t comma_at, uint32_t *first_cue,
                  uint32_t *n_cues)
{
    conure_word w[64];
    const conure_segment s = {.text = "", .first_word = 0, .n_words = n};
    const conure_result r = {.text = "", .words = w, .segments = &s, .n_words = n, .n_segments = 1};
    conure_cue *cues = NULL;
    uint32_t covered = 0;
    for (uint32_t i = 0; i < n; i++) {
        const double late_s = i > pause_at ? 0.6 : 0;
        w[i] = (conure_word){.text = i == comma_at ? "abcd," : "abcde", .start_s = i * step_s + late_s,
                             .end_s = i * step_s + 0.9 * step_s + late_s};
    }
    test_true(conure_cues_split(&r, &cues, n_cues));
    for (uint32_t i = 0; i < *n_cues; i++) {
        test_int(cues[i].first_word, covered);
        test_true(cues[i].n_words * 6 - 1 <= CONURE_CUE_CHARACTERS);
        test_true(cues[i].n_words == 1 || cues[i].end_s - cues[i].start_s <= CONURE_CUE_S);
        test_true(cues[i].end_s > cues[i].start_s);
        covered += cues[i].n_words;
    }
    test_int(covered, n);
    *first_cue = cues[0].n_words;
    free(cues);
}

static void cue_splitting(void)
{
    uint32_t first, n;
    split(14, 0.2, 99, 99, &first, &n); /* 83 characters fit */
    test_int(n, 1);
    split(15, 0.2, 99, 99, &first, &n); /* 89 do not */
    test_int(first, 14);
    test_int(n, 2);
    split(15, 0.2, 99, 9, &first, &n); /* the comma in the second half wins */
    test_int(first, 10);
    split(15, 0.2, 11, 99, &first, &n); /* so does a pause */
    test_int(first, 12);
    split(15, 0.2, 99, 2, &first, &n); /* a comma in the first half does not */
    test_int(first, 14);
    split(8, 1.0, 99, 99, &first, &n); /* seven seconds: words of 0.9 s end at 6.9 */
    test_int(first, 7);
    split(2, 30.0, 99, 99, &first, &n); /* words longer than a cue may be stay whole */
    test_int(n, 2);
}

static void two_lines(void)
{
    conure_word w[10];
    const conure_segment s = {.text = "", .first_word = 0, .n_words = 10};
    const conure_result r = {.text = "", .words = w, .segments = &s, .n_words = 10, .n_segments = 1};
    const conure_transcript t = transcript(&r);
    for (uint32_t i = 0; i < 10; i++)
        w[i] = (conure_word){.text = "abcd\xC3\xA9", .start_s = 0.1 * i, .end_s = 0.1 * i + 0.1};
    check(CONURE_OUTPUT_SRT, &t, false, false,
          "1\n00:00:00,000 --> 00:00:01,000\n"
          "abcd\xC3\xA9 abcd\xC3\xA9 abcd\xC3\xA9 abcd\xC3\xA9 abcd\xC3\xA9\n"
          "abcd\xC3\xA9 abcd\xC3\xA9 abcd\xC3\xA9 abcd\xC3\xA9 abcd\xC3\xA9\n");
}

static void names(void)
{
    static const struct {
        const char *file;
        int channel;
        conure_output_format format;
        const char *want;
    } rows[] = {
        {"a/b.c/talk.tar.wav", 0, CONURE_OUTPUT_TEXT, "talk.tar.txt"},
        {"talk", 0, CONURE_OUTPUT_JSON, "talk.json"},
        {".hidden", 0, CONURE_OUTPUT_SRT, ".hidden.srt"},
        {"-", 0, CONURE_OUTPUT_VTT, "stdin.vtt"},
        {"x.wav", 3, CONURE_OUTPUT_TSV, "x.ch3.tsv"},
    };
    char name[64];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        test_true(conure_sink_name(name, sizeof name, rows[i].file, rows[i].channel, rows[i].format));
        test_text(name, rows[i].want);
    }
    test_true(!conure_sink_name(name, sizeof name, "folder/", 0, CONURE_OUTPUT_TEXT));
    test_true(!conure_sink_name(name, 8, "longname.wav", 0, CONURE_OUTPUT_TEXT));
}

static void cleaning(void)
{
    static const struct {
        const char *dirty, *want;
    } rows[] = {
        {"", ""},
        {"na\xC3\xAFve", "na\xC3\xAFve"},
        {"\xC3", "\xEF\xBF\xBD"},                              /* cut off */
        {"a\xC0\xAFz", "a\xEF\xBF\xBD\xEF\xBF\xBDz"},          /* overlong */
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}, /* a surrogate */
        {"a\tb\nc\x7F", "a b c "},
        {"\xC2\x85\xE2\x80\xA8", "  "}, /* line ends of Unicode */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *clean = conure_clean_copy(rows[i].dirty);
        test_text(clean, rows[i].want);
        free(clean);
    }
}

int main(void)
{
    static const char *const commas[] = {"de_DE.UTF-8", "de_DE", "fr_FR.UTF-8", "C"};
    test_begin("cli.output");
    /* Where it is installed a locale whose decimals have a comma: nothing may change. */
    for (size_t i = 0; i < 4; i++)
        if (setlocale(LC_ALL, commas[i]))
            break;
    text_formats();
    subtitles();
    hostile_subtitles();
    json();
    odd_values();
    cue_splitting();
    two_lines();
    names();
    cleaning();
    return test_end();
}
