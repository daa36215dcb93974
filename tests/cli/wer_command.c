/* `conure wer` from its arguments to its output and exit status. */
#include <jansson.h>
#include <unistd.h>

#include "cli/command.h"

#include "test.h"

#define OUTPUT "wer_command.out"

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    test_true(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* Run with the arguments; standard output comes back in text. */
static int run(char *text, size_t cap, const char *const *arguments)
{
    const conure_command *command = &conure_command_wer;
    char *argv[16] = {(char *)"wer"};
    void *settings = calloc(1, command->settings_bytes);
    int argc = 1, first = 0;
    bool help = false;

    for (; *arguments; arguments++)
        argv[argc++] = (char *)*arguments;
    command->defaults(settings);
    fflush(stdout);
    const int saved = dup(1);
    test_true(saved >= 0 && freopen(OUTPUT, "w", stdout));
    int status = conure_options_parse(command, "conure wer", argc, argv, settings, &first, &help);
    if (status == CONURE_EXIT_GOOD)
        status = command->run(settings, argc - first, argv + first);
    fflush(stdout);
    test_true(dup2(saved, 1) == 1);
    close(saved);
    FILE *file = fopen(OUTPUT, "r");
    test_true(file != NULL);
    text[file ? fread(text, 1, cap - 1, file) : 0] = '\0';
    if (file)
        fclose(file);
    free(settings);
    return status;
}

#define RUN(...) run(text, sizeof text, (const char *const[]){__VA_ARGS__, NULL})

static void check_json(const char *text)
{
    json_t *root = json_loads(text, 0, NULL), *systems = json_object_get(root, "systems");
    json_t *second = json_array_get(systems, 1), *each = json_object_get(second, "utterances");

    test_text(json_string_value(json_object_get(root, "normaliser")), "basic");
    test_int(json_integer_value(json_object_get(root, "utterances")), 3);
    test_int(json_array_size(systems), 2);
    test_near(json_number_value(json_object_get(json_array_get(systems, 0), "wer")), 0.25, 1e-12);
    test_near(json_number_value(json_object_get(second, "wer")), 0.5, 1e-12);
    test_int(json_integer_value(json_object_get(second, "deletions")), 3);
    test_near(json_number_value(json_object_get(json_object_get(second, "against_first"), "difference")), 0.25, 1e-12);
    test_int(json_array_size(each), 3);
    test_text(json_string_value(json_object_get(json_array_get(each, 0), "hypothesis")), "hello there world");
    test_true(json_is_null(json_object_get(json_array_get(each, 2), "wer"))); /* no words in the reference */
    json_decref(root);
}

int main(void)
{
    char text[8192];

    test_begin("wer_command");
    write_file("wer_ref.tsv", "file\ttext\na.wav\tHello, world!\nb.wav\tone two three four five six\nc.wav\t\n");
    write_file("wer_one.jsonl", "{\"audio_filepath\":\"x/a.wav\",\"text\":\"Hello world\"}\n"
                                "{\"audio_filepath\":\"x/c.wav\",\"text\":\".\"}\n"
                                "{\"audio_filepath\":\"x/b.wav\",\"text\":\"one too three four six\"}\n");
    write_file("wer_two.txt", "hello there world\none two three\n\n");

    test_int(RUN("wer_ref.tsv", "wer_one.jsonl", "wer_two.txt"), CONURE_EXIT_GOOD);
    test_contains(text, "wer_one.jsonl  25.00  ");
    test_contains(text, "wer_two.txt    50.00  ");
    test_contains(text, "wer_two.txt  wer_one.jsonl  25.00       ");
    char once[sizeof text];
    memcpy(once, text, sizeof text);
    test_int(RUN("wer_ref.tsv", "wer_one.jsonl", "wer_two.txt", "--seed", "1"), CONURE_EXIT_GOOD);
    test_text(text, once);

    test_int(RUN("--each", "--json", "wer_ref.tsv", "wer_one.jsonl", "wer_two.txt"), CONURE_EXIT_GOOD);
    check_json(text);
    test_int(RUN("--each", "wer_ref.tsv", "wer_two.txt"), CONURE_EXIT_GOOD);
    test_contains(text, "wer_two.txt\tb.wav\t50.00\t6\t0\t0\t3\tone two three four five six\tone two three\n");
    test_contains(text, "wer_two.txt\tc.wav\t-\t0\t0\t0\t0\t\t\n");
    test_int(RUN("--normaliser=none", "--resamples=0", "wer_ref.tsv", "wer_two.txt"), CONURE_EXIT_GOOD);
    test_contains(text, "- .. -");
    test_contains(text, "none\n");

    write_file("wer_few.tsv", "file\ttext\nb.wav\tone\n");
    write_file("wer_bad.txt", "hello\n\xFF\n\n");
    test_int(RUN("wer_ref.tsv", "wer_few.tsv"), CONURE_EXIT_SOME);
    test_text(text, "");
    test_int(RUN("--allow-missing", "wer_ref.tsv", "wer_few.tsv"), CONURE_EXIT_GOOD);
    test_int(RUN("wer_ref.tsv", "wer_bad.txt"), CONURE_EXIT_SOME);
    test_int(RUN("wer_bad.txt", "wer_bad.txt"), CONURE_EXIT_SOME);
    test_int(RUN("wer_ref.tsv", "wer_none.txt"), CONURE_EXIT_SOME);
    test_int(RUN("wer_ref.tsv"), CONURE_EXIT_USAGE);
    test_int(RUN("--normaliser=other", "wer_ref.tsv", "wer_two.txt"), CONURE_EXIT_USAGE);
    test_int(RUN("--resamples=1000001", "wer_ref.tsv", "wer_two.txt"), CONURE_EXIT_USAGE);
    static const char *const left[] = {"wer_ref.tsv", "wer_one.jsonl", "wer_two.txt", "wer_few.tsv", "wer_bad.txt", OUTPUT};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        remove(left[i]);
    return test_end();
}
