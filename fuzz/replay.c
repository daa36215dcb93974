/* replay.c - feeds files to a fuzz target without a fuzz engine: the regression test of its corpus. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return -1;
    }
    fseek(file, 0, SEEK_END);
    const long end = ftell(file);
    rewind(file);
    const size_t bytes = end > 0 ? (size_t)end : 0;
    uint8_t *data = malloc(bytes ? bytes : 1); /* exact size: a read past the end is caught */
    const int ok = data && fread(data, 1, bytes, file) == bytes;
    fclose(file);
    if (ok)
        LLVMFuzzerTestOneInput(data, bytes);
    free(data);
    return ok ? 1 : -1;
}

int main(int argc, char **argv)
{
    int n = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        if (!folder) {
            const int one = replay_file(argv[i]);
            if (one < 0)
                return 1;
            n += one;
            continue;
        }
        for (struct dirent *entry; (entry = readdir(folder));) {
            char path[4096];
            if (entry->d_name[0] == '.')
                continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            const int one = replay_file(path);
            if (one < 0)
                return 1;
            n += one;
        }
        closedir(folder);
    }
    printf("%d inputs\n", n);
    return n > 0 ? 0 : 1;
}
