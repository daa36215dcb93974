/* pull_driver.c - one conure_pull_file() with everything that the command fixes left open, for pull.py:
 *     pull_driver URL PATH SHA256|- BYTES_MAX ATTEMPTS STALL_S
 * prints "STATUS CHECK BYTES RESUMED WAS_THERE", then the error text and the notes. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/pull.h"
#include "cli/terminal.h"

static void note(void *user, const char *text)
{
    (void)user;
    printf("note: %s\n", text);
}

static void progress(void *user, const conure_pull_progress *p)
{
    uint64_t *most = user;
    if (p->total_bytes && p->bytes > p->total_bytes)
        printf("progress beyond the total\n");
    *most = p->bytes > *most ? p->bytes : *most;
}

int main(int argc, char **argv)
{
    uint64_t most = 0;
    conure_pull_report report;
    conure_error err = {""};
    conure_status status;
    conure_pull_request request = {.backoff_s = 0.02, .cancel = &conure_interrupted, .progress = progress,
                                   .note = note, .user = &most};
    if (argc != 7)
        return 2;
    conure_signals_init();
    request.url = argv[1];
    request.path = argv[2];
    request.sha256 = strcmp(argv[3], "-") == 0 ? NULL : argv[3];
    request.bytes_max = strtoull(argv[4], NULL, 10);
    request.attempts = (uint32_t)strtoul(argv[5], NULL, 10);
    request.stall_s = (uint32_t)strtoul(argv[6], NULL, 10);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    status = conure_pull_file(&request, &report, &err);
    curl_global_cleanup();
    printf("%d %d %llu %llu %d\n%s\n", (int)status, (int)report.check, (unsigned long long)report.bytes,
           (unsigned long long)report.resumed_bytes, report.was_there, err.text);
    return status == CONURE_OK ? 0 : 1;
}
