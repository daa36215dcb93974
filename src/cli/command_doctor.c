/* command_doctor.c - `conure doctor`: prints the findings of doctor.c. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "cli/command.h"
#include "cli/doctor.h"
#include "cli/output.h"
#include "cli/terminal.h"

typedef struct settings {
    const char *model, *isa;
    bool json;
} settings;

static const char *const states[] = {"good", "note", "missing"};

static void print_text(const conure_findings *f)
{
    static const char *const marks[] = {"  ", "- ", "! "};
    for (uint32_t i = 0; i < f->n; i++) {
        const conure_finding *row = &f->rows[i];
        printf("%s%-13s %s\n", marks[row->state], row->name, row->value);
        if (row->advice[0])
            printf("                %s\n", row->advice);
    }
}

static json_t *text(const char *value)
{
    char *clean = conure_clean_copy(value); /* paths need not be UTF-8 */
    json_t *json = clean ? json_string(clean) : NULL;
    free(clean);
    return json;
}

static bool print_json(const conure_findings *f)
{
    json_t *list = json_array();
    char *dump;
    for (uint32_t i = 0; i < f->n; i++) {
        const conure_finding *row = &f->rows[i];
        if (json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:o}", "name", row->name, "state",
                                                  states[row->state], "value", text(row->value),
                                                  "advice", text(row->advice))) != 0) {
            json_decref(list);
            return false;
        }
    }
    dump = json_dumps(list, JSON_INDENT(2));
    if (dump)
        printf("%s\n", dump);
    free(dump);
    json_decref(list);
    return dump != NULL;
}

static int run(const void *settings_, int n, char *const *arguments)
{
    const settings *s = settings_;
    conure_findings *f = conure_calloc(1, sizeof *f);
    int code = CONURE_EXIT_GOOD;
    (void)n;
    (void)arguments;
    if (f)
        conure_doctor_examine(f, s->model, s->isa);
    if (f && !s->json)
        print_text(f);
    if (!f || (s->json && !print_json(f))) {
        conure_say(CONURE_SAY_ERROR, "out of memory");
        code = CONURE_EXIT_CANNOT;
    }
    for (uint32_t i = 0; f && i < f->n; i++)
        if (f->rows[i].state == CONURE_FINDING_MISSING)
            code = CONURE_EXIT_CANNOT;
    free(f);
    return code;
}

#define AT(member) .offset = offsetof(settings, member)
static const conure_option options[] = {
    {.kind = CONURE_OPTION_TEXT, .name = "model", .letter = 'm', .value = "MODEL", AT(model),
     .complete = CONURE_COMPLETE_FILE, .help = "as conure transcribe has it"},
    {.kind = CONURE_OPTION_TEXT, .name = "isa", .value = "NAME", AT(isa),
     .help = "as conure transcribe has it"},
    {.kind = CONURE_OPTION_FLAG, .name = "json", AT(json), .help = "print JSON"},
    {0},
};

static const conure_example examples[] = {
    {"conure doctor", "what would run here, and what would make it better"},
    {NULL, NULL},
};

const conure_command conure_command_doctor = {
    .name = "doctor",
    .summary = "Say what was found on this machine, what is chosen and what is missing",
    .arguments = "[OPTION]...",
    .details = "Lines that start with \"!\" name what stands in the way of transcribing (the exit status is "
               "then 3), lines with \"-\" what could be better.",
    .options = options,
    .examples = examples,
    .settings_bytes = sizeof(settings),
    .run = run,
};
