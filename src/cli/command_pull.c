/* command_pull.c - `conure pull`: fetch a model from a hub into the cache or a folder. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "base/error.h"
#include "base/files.h"
#include "cli/command.h"
#include "cli/known.h"
#include "cli/models.h"
#include "cli/pull.h"
#include "cli/terminal.h"

#define HUB "https://huggingface.co"
#define ATTEMPTS 6
#define BACKOFF_S 1.0
#define STALL_S 30
#define BYTES_MAX_DEFAULT ((uint64_t)16 << 30)

typedef struct settings {
    const char *folder, *revision;
    uint64_t bytes_max;
    bool list, quiet;
} settings;

/* What is fetched: a row of the table, or OWNER/REPO with files that the user names. */
typedef struct plan {
    const char *name, *repo, *revision;
    const conure_known_model *known;
    char folder[PATH_MAX];
} plan;

static void defaults(void *settings_)
{
    settings *s = settings_;
    s->bytes_max = BYTES_MAX_DEFAULT;
}

static void show_progress(void *user, const conure_pull_progress *p)
{
    char done[32], total[32], speed[32], left[32];
    const char *name = user;
    conure_text_bytes(p->bytes, done);
    conure_text_bytes((uint64_t)p->bytes_per_s, speed);
    if (!p->total_bytes)
        conure_progress_more("%s  %s  %s/s", name, done, speed);
    else
        conure_progress_more("%s %3.0f %%  %s of %s  %s/s  %s left", name,
                             100.0 * (double)p->bytes / (double)p->total_bytes, done,
                             conure_text_bytes(p->total_bytes, total), speed,
                             p->left_s >= 0 ? conure_text_seconds(p->left_s, left) : "?");
}

static void show_note(void *user, const char *text)
{
    (void)user;
    conure_say(CONURE_SAY_WARNING, "%s", text);
}

static void tell_check(const char *path, const conure_pull_report *report)
{
    char size[32];
    const char *how = "size only: no SHA-256 of it is known";
    if (report->check == CONURE_PULL_KNOWN_SHA256)
        how = "SHA-256 checked against the one this program knows";
    else if (report->check == CONURE_PULL_SERVER_SHA256)
        how = "SHA-256 checked against the one the hub names";
    conure_text_bytes(report->bytes, size);
    if (report->was_there)
        conure_say(CONURE_SAY_NOTE, "%s: already there (%s; %s)", path, size, how);
    else
        conure_say(CONURE_SAY_NOTE, "%s: %s; %s", path, size, how);
    if (report->check != CONURE_PULL_KNOWN_SHA256)
        conure_say(CONURE_SAY_NOTE, "SHA-256 %s", report->sha256);
}

static int exit_of(conure_status status)
{
    if (status == CONURE_OK)
        return CONURE_EXIT_GOOD;
    if (status == CONURE_CANCELLED)
        return CONURE_EXIT_INTERRUPTED;
    return status == CONURE_BAD_FILE ? CONURE_EXIT_SOME : CONURE_EXIT_CANNOT;
}

/* A file within a repository: one name, no folders. */
static bool file_name_ok(const char *name)
{
    return conure_is_model_name(name) && !strchr(name, '/');
}

static conure_status pull_one(const settings *s, const plan *p, const char *hub, const char *file,
                              conure_error *err)
{
    char url[2048], path[PATH_MAX];
    conure_pull_report report;
    conure_pull_request request = {
        .url = url,
        .path = path,
        .sha256 = p->known ? p->known->sha256 : NULL,
        .bytes_max = p->known ? p->known->bytes_max : s->bytes_max,
        .attempts = ATTEMPTS,
        .backoff_s = BACKOFF_S,
        .stall_s = STALL_S,
        .cancel = &conure_interrupted,
        .progress = show_progress,
        .note = show_note,
        .user = (void *)(uintptr_t)file,
    };
    conure_status status = conure_pull_url(url, sizeof url, hub, p->repo, p->revision, file, err);
    if (status != CONURE_OK)
        return status;
    if (!conure_path_join(path, sizeof path, p->folder, file))
        return conure_fail(err, CONURE_IO, "%s: the path is too long", p->folder);
    conure_say(CONURE_SAY_NOTE, "%s", url);
    status = conure_pull_file(&request, &report, err);
    conure_progress_clear();
    if (status != CONURE_OK)
        return status;
    tell_check(path, &report);
    printf("%s\n", path);
    return CONURE_OK;
}

static int list(void)
{
    for (const conure_known_model *m = conure_known_models; m->name; m++)
        printf("%s\t%s/%s\t%s\tsha256:%s\n", m->name, m->repo, m->file, m->licence, m->sha256);
    return CONURE_EXIT_GOOD;
}

static int make_plan(const settings *s, int n, char *const *arguments, plan *p, conure_error *err)
{
    char cache[PATH_MAX];
    p->name = arguments[0];
    p->known = conure_known_find(p->name);
    p->repo = p->known ? p->known->repo : p->name;
    p->revision = s->revision ? s->revision : p->known ? p->known->revision : "main";
    if (!conure_is_model_name(p->name) || !conure_is_model_name(p->revision) ||
        (!p->known && !strchr(p->name, '/'))) {
        conure_say(CONURE_SAY_ERROR, "no model '%s' is known; 'conure pull --list' lists those that are; "
                   "others by OWNER/REPOSITORY FILE...", p->name);
        return CONURE_EXIT_USAGE;
    }
    if ((p->known != NULL) != (n == 1)) {
        conure_say(CONURE_SAY_ERROR, p->known ? "%s is one file: name no others"
                                              : "%s: which files of it?", p->name);
        return CONURE_EXIT_USAGE;
    }
    for (int i = 1; i < n; i++)
        if (!file_name_ok(arguments[i])) {
            conure_say(CONURE_SAY_ERROR, "'%s' is not a file name that can be fetched", arguments[i]);
            return CONURE_EXIT_USAGE;
        }
    if (s->folder) {
        if (snprintf(p->folder, sizeof p->folder, "%s", s->folder) >= (int)sizeof p->folder)
            return CONURE_EXIT_USAGE;
    } else if (conure_cache_models(cache, sizeof cache, err) != CONURE_OK ||
               !conure_path_join(p->folder, sizeof p->folder, cache, p->name)) {
        conure_say(CONURE_SAY_ERROR, "%s", err->text[0] ? err->text : "the cache path is too long");
        return CONURE_EXIT_CANNOT;
    }
    return CONURE_EXIT_GOOD;
}

static int run(const void *settings_, int n, char *const *arguments)
{
    const settings *s = settings_;
    const char *hub = getenv("CONURE_HUB");
    plan p;
    conure_error err = {""};
    conure_status status;
    int code;
    conure_terminal_quiet(s->quiet);
    if (s->list)
        return list();
    if (n < 1) {
        conure_say(CONURE_SAY_ERROR, "conure pull: missing argument: MODEL");
        return CONURE_EXIT_USAGE;
    }
    memset(&p, 0, sizeof p);
    code = make_plan(s, n, arguments, &p, &err);
    if (code != CONURE_EXIT_GOOD)
        return code;
    hub = hub && *hub ? hub : HUB;
    if (strncmp(hub, "http://", 7) == 0)
        conure_say(CONURE_SAY_WARNING, "CONURE_HUB is plain http: nobody vouches for the server");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
        conure_say(CONURE_SAY_ERROR, "libcurl cannot be used");
        return CONURE_EXIT_CANNOT;
    }
    status = conure_make_folders(p.folder, &err);
    if (status == CONURE_OK && p.known)
        status = pull_one(s, &p, hub, p.known->file, &err);
    for (int i = 1; status == CONURE_OK && i < n; i++)
        status = pull_one(s, &p, hub, arguments[i], &err);
    curl_global_cleanup();
    if (status != CONURE_OK)
        conure_say(CONURE_SAY_ERROR, "%s", err.text);
    return exit_of(status);
}

#define AT(member) .offset = offsetof(settings, member)
static const conure_option options[] = {
    {.kind = CONURE_OPTION_TEXT, .name = "to", .value = "DIR", AT(folder),
     .complete = CONURE_COMPLETE_FOLDER,
     .help = "put the files into this folder instead of the cache"},
    {.kind = CONURE_OPTION_TEXT, .name = "revision", .value = "NAME", AT(revision),
     .help = "branch, tag or commit of the repository (default: main)"},
    {.kind = CONURE_OPTION_BYTES, .name = "size-max", .value = "SIZE", .min = 1, AT(bytes_max),
     .help = "take no file larger than this (default: 16G; known models have their own limit)"},
    {.kind = CONURE_OPTION_FLAG, .name = "list", AT(list), .help = "list the known models and exit"},
    {.kind = CONURE_OPTION_FLAG, .name = "quiet", .letter = 'q', AT(quiet),
     .help = "print only warnings, errors and the files' paths"},
    {0},
};

static const conure_example examples[] = {
    {"conure pull parakeet-tdt-0.6b-v3", "then: conure transcribe -m parakeet-tdt-0.6b-v3 FILE"},
    {"conure pull nvidia/some-model config.json tokenizer.json model.safetensors",
     "files of any repository; -m nvidia/some-model finds them"},
    {NULL, NULL},
};

const conure_command conure_command_pull = {
    .name = "pull",
    .summary = "Fetch a model from the Hugging Face hub",
    .arguments = "[OPTION]... MODEL | OWNER/REPOSITORY FILE...",
    .details =
        "Files go to $XDG_CACHE_HOME/conure/models/MODEL (~/.cache when not set), where -m MODEL finds "
        "them. A fetch that broke off goes on where it stopped when the same command runs again. "
        "CONURE_HUB names another host than https://huggingface.co; its folders are laid out alike.\n\n"
        "A known model is checked against the SHA-256 that this program knows. Of other files the "
        "hub's own SHA-256 is used where it sends one; the command says which check was made. "
        "Redirects are followed to https only (to http only if CONURE_HUB is http). The paths of the "
        "files are printed on standard output.",
    .options = options,
    .examples = examples,
    .max_arguments = 64,
    .settings_bytes = sizeof(settings),
    .defaults = defaults,
    .run = run,
};
