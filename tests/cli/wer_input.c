/* Reading and pairing references and hypotheses. */
#include "cli/wer_input.h"

#include "test.h"

static conure_status parse(conure_utterances *out, const char *text, const char *field, bool hypothesis,
                           conure_error *err)
{
    return conure_utterances_parse(out, "f", text, strlen(text), field, hypothesis, err);
}

/* "key=text;" of each utterance, "-=" without a key. */
static void check_reads(void)
{
    static const struct {
        const char *data, *field;
        bool hypothesis;
        const char *want;
    } cases[] = {
        {"one two\nthree\n", NULL, false, "-=one two;-=three;"},
        {"one\r\n\r\nthree", NULL, false, "-=one;-=;-=three;"},
        {"\xEF\xBB\xBFone", NULL, false, "-=one;"},
        {"[noise] hello\n{x} y", NULL, false, "-=[noise] hello;-={x} y;"}, /* text that looks like JSON */
        {"file\tseconds\ttext\na.wav\t1\tx y\nb.wav\t2\t\n", NULL, false, "a.wav=x y;b.wav=;"},
        {"text\tpath\nx\ta\n", NULL, true, "a=x;"},
        {"text\tpred_text\nx\ty\n", NULL, true, "-=y;"},
        {"text\tpred_text\nx\ty\n", NULL, false, "-=x;"},
        {"text\tref\nx\ty\n", "ref", false, "-=y;"},
        {"{\"audio_filepath\":\"d/a.wav\",\"text\":\"x\"}\n\n{\"file\":\"b\",\"text\":\"\\u00e9\"}\n", NULL, false,
         "d/a.wav=x;b=\xC3\xA9;"},
        {"{\"audio_filepath\":\"a\",\"text\":\"x\",\"pred_text\":\"y\"}", NULL, true, "a=y;"},
        {"{\"audio_filepath\":\"a\",\"text\":\"x\",\"pred_text\":\"y\"}", NULL, false, "a=x;"},
        {"{\"file\":\"a\",\"ref\":\"x\"}", "ref", false, "a=x;"},
        {"{\"task\":\"transcribe\",\n \"text\":\"x\",\n \"file\":\"a\"}\n", NULL, true, "a=x;"},
        {"[{\"text\":\"x\",\"file\":\"a\"},\n {\"error\":\"bad\",\"file\":\"b\"}]", NULL, true, "a=x;"},
        {"[]", NULL, true, ""},
        {"", NULL, true, ""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char got[256] = "";
        conure_utterances all;
        conure_error err = {""};
        test_int(parse(&all, cases[i].data, cases[i].field, cases[i].hypothesis, &err), CONURE_OK);
        test_text(err.text, "");
        for (uint32_t k = 0; k < all.n; k++)
            snprintf(got + strlen(got), sizeof got - strlen(got), "%s=%s;",
                     all.items[k].key ? all.items[k].key : "-", all.items[k].text);
        test_text(got, cases[i].want);
        conure_utterances_free(&all);
    }
}

static void check_refuses(void)
{
    static const struct {
        const char *data, *field;
        const char *says;
    } cases[] = {
        {"", NULL, "f: has no utterances"},
        {"[]", NULL, "f: has no utterances"},
        {"a\tb\nx\ty\n", NULL, "f:1: has tabs, but no column is called \"text\""},
        {"file\ttext\nx\n", NULL, "f:2: 1 columns"},
        {"file\ttext\na\tb\nx\ty\tz\n", NULL, "f:3: 3 columns"},
        {"start\tend\ttext\n0\t10\tx\n", NULL, "segments of one recording"},
        {"file\ttext\nx\ty\n", "ref", "called \"ref\""},
        {"{\"text\":\"x\"}\n{\"text\":1}\n", NULL, "f:2: no text under \"text\""},
        {"{\"text\":\"x\"}\n{\"text\"\n", NULL, "f:2: "},
        {"{\"text\":\"x\"}\nplain\n", NULL, "f:2: "},
        {"[{\"text\":\"x\"},\n{\"te", NULL, "f:2: "},
        {"[{\"text\":\"x\"}, 3]", NULL, "f:2: expected a JSON object"},
        {"{\"error\":\"bad\",\"file\":\"b\"}", NULL, "f:1: no text"},
    };
    conure_utterances all;
    conure_error err;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_int(parse(&all, cases[i].data, cases[i].field, false, &err), CONURE_BAD_FILE);
        test_contains(err.text, cases[i].says);
        conure_utterances_free(&all);
    }
    test_int(conure_utterances_parse(&all, "f", "a\0b", 3, NULL, false, &err), CONURE_BAD_FILE);
    test_contains(err.text, "NUL");
    test_int(conure_utterances_read(&all, "no/such/file", NULL, false, &err), CONURE_IO);
    test_contains(err.text, "no/such/file");
    conure_utterances_free(&all);
}

static void check_matches(void)
{
    static const struct {
        const char *reference, *hypothesis;
        conure_status status;
        const char *want; /* one character each, ? for none; then extra; or the error */
    } cases[] = {
        {"a\nb\n", "x\ny\n", CONURE_OK, "01 0"},
        {"a\nb\n", "x\n", CONURE_BAD_FILE, "1 utterances, the reference has 2"},
        {"file\ttext\na.wav\tx\nb.wav\ty\n", "path\ttext\nd/b.flac\tx\n/e/a.flac\ty\n", CONURE_OK, "10 0"},
        {"file\ttext\na\tx\nb\ty\n", "file\ttext\nb\tx\nc\ty\n", CONURE_OK, "?0 1"},
        {"file\ttext\nb\tx\na\ty\n", "q\nr\n", CONURE_OK, "01 0"}, /* no names on one side */
        /* names that fold to one: compared as they are */
        {"file\ttext\n1/a\tx\n2/a\ty\n", "file\ttext\n2/a\tx\n1/a\ty\n", CONURE_OK, "10 0"},
        {"file\ttext\na\tx\na\ty\n", "file\ttext\nb\tx\n", CONURE_BAD_FILE, "of the reference: the name \"a\""},
        {"file\ttext\na\tx\n", "file\ttext\nb\tx\nb\tx\n", CONURE_BAD_FILE, "line 3 of the hypothesis"},
        {"file\ttext\n.a\tx\n", "file\ttext\n.b\tx\n", CONURE_OK, "? 1"}, /* no ending */
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        conure_utterances a, b;
        conure_error err = {""};
        uint32_t matches[8], extra = 99;
        char got[32] = "";
        test_int(parse(&a, cases[i].reference, NULL, false, &err), CONURE_OK);
        if (parse(&b, cases[i].hypothesis, NULL, true, &err) == CONURE_OK) {
            test_int(conure_utterances_match(matches, &extra, &a, &b, &err), cases[i].status);
            for (uint32_t k = 0; k < a.n && cases[i].status == CONURE_OK; k++)
                snprintf(got + k, 2, "%c", matches[k] == CONURE_UTTERANCE_MISSING ? '?' : (char)('0' + matches[k]));
            snprintf(got + strlen(got), 8, " %u", extra);
            if (cases[i].status == CONURE_OK)
                test_text(got, cases[i].want);
            else
                test_contains(err.text, cases[i].want);
        } else {
            test_int(cases[i].status, CONURE_BAD_FILE);
        }
        conure_utterances_free(&a);
        conure_utterances_free(&b);
    }
}

int main(void)
{
    test_begin("wer_input");
    check_reads();
    check_refuses();
    check_matches();
    return test_end();
}
