/* Mapping, whole files, SHA-256, paths. */
#include "base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

static void put(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    test_true(file && fwrite(data, 1, bytes, file) == bytes);
    if (file)
        fclose(file);
}

static void test_map(void)
{
    conure_map map;
    conure_error err;
    char page[3 * 4096 + 5];
    for (size_t i = 0; i < sizeof page; i++)
        page[i] = (char)(i * 7);
    put("map", page, sizeof page);
    test_int(conure_map_open(&map, "map", &err), CONURE_OK);
    test_int(map.bytes, sizeof page);
    test_true((uintptr_t)map.data % 4096 == 0 && memcmp(map.data, page, sizeof page) == 0);
    /* Dropped pages come back from the file; ranges outside are left alone. */
    conure_map_forget(&map, map.data, sizeof page);
    conure_map_forget(&map, map.data + 1, 4096);
    conure_map_forget(&map, map.data + 100, SIZE_MAX);
    conure_map_forget(&map, map.data + sizeof page, 0);
    conure_map_forget(&map, map.data - 4096, 4096);
    test_true(memcmp(map.data, page, sizeof page) == 0);
    conure_map_close(&map);
    test_true(!map.data && !map.bytes);
    conure_map_close(&map);
    conure_map_forget(&map, page, 1);

    put("map", "", 0);
    test_int(conure_map_open(&map, "map", &err), CONURE_OK);
    test_true(!map.data && !map.bytes);
    conure_map_close(&map);
    unlink("map");
    test_int(conure_map_open(&map, "map", &err), CONURE_IO);
    test_contains(err.text, "map: cannot open: No such file");
    test_int(conure_map_open(&map, ".", &err), CONURE_IO);
    test_contains(err.text, ".: is a folder");
    test_int(conure_map_open(&map, "/dev/null", &err), CONURE_IO);
    test_contains(err.text, "no regular file");
    test_int(conure_map_open(&map, "missing", NULL), CONURE_IO);
}

/* Pages that were read are resident; forgotten ones are not counted to this process any more. */
static long resident_bytes(void)
{
    long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &total, &resident) != 2)
        resident = -1;
    if (file)
        fclose(file);
    return resident * sysconf(_SC_PAGESIZE);
}

static void test_forget(void)
{
    enum { BYTES = 32 << 20 };
    conure_map map;
    char *data = malloc(BYTES);
    test_true(data != NULL);
    if (!data)
        return;
    memset(data, 3, BYTES);
    put("big", data, BYTES);
    free(data);
    test_int(conure_map_open(&map, "big", NULL), CONURE_OK);
    unsigned sum = 0;
    for (size_t i = 0; i < map.bytes; i += 512)
        sum += map.data[i];
    test_int(sum, 3u * (BYTES / 512));
    const long before = resident_bytes();
    conure_map_forget(&map, map.data + 1, BYTES - 1);
    test_true(before - resident_bytes() > BYTES / 2);
    test_int(map.data[BYTES - 1], 3);
    conure_map_close(&map);
    unlink("big");
}

static void test_read(void)
{
    char *text = NULL;
    size_t bytes = 0;
    conure_error err;
    put("text", "hello\0world", 11);
    test_int(conure_file_read(&text, &bytes, "text", 11, &err), CONURE_OK);
    test_int(bytes, 11);
    test_true(text && memcmp(text, "hello\0world", 12) == 0);
    free(text);
    test_int(conure_file_read(&text, &bytes, "text", 10, &err), CONURE_BAD_FILE);
    test_true(text == NULL && bytes == 0);
    test_text(err.text, "text: 11 bytes, expected at most 10");
    put("text", "", 0);
    test_int(conure_file_read(&text, &bytes, "text", 0, &err), CONURE_OK);
    test_text(text, "");
    free(text);
    unlink("text");
    test_int(conure_file_read(&text, &bytes, "text", 10, &err), CONURE_IO);
    test_contains(err.text, "text: cannot open: No such file");
    test_int(conure_file_read(&text, &bytes, ".", 10, &err), CONURE_IO);
    /* Files whose size is not known beforehand. */
    test_int(conure_file_read(&text, &bytes, "/proc/self/stat", 1 << 20, &err), CONURE_OK);
    test_true(bytes > 10);
    free(text);
    test_int(conure_file_read_any(&text, &bytes, "/dev/zero", 200000, &err), CONURE_BAD_FILE);
    test_contains(err.text, "/dev/zero: more than 200000 bytes");
    test_true(text == NULL);
}

static void test_pipe_without_writer(void)
{
    char *text = NULL;
    size_t bytes = 1;
    conure_map map;
    test_int(mkfifo("pipe", 0600), 0);
    test_int(conure_map_open(&map, "pipe", NULL), CONURE_IO); /* and returns at all */
    test_int(conure_file_read_any(&text, &bytes, "pipe", 10, NULL), CONURE_OK);
    test_int(bytes, 0);
    free(text);
    const int writer = open("pipe", O_RDWR); /* one that writes nothing */
    test_int(conure_file_read(&text, &bytes, "pipe", 10, NULL), CONURE_IO);
    test_true(text == NULL);
    close(writer);
    unlink("pipe");
}

static void test_hash(const char *text, size_t times, const char *want)
{
    for (int split = 0; split < 2; split++) {
        conure_sha256 sha;
        char hex[65];
        conure_sha256_init(&sha);
        for (size_t i = 0; i < times; i++) {
            const size_t n = split ? strlen(text) / 3 : 0;
            conure_sha256_add(&sha, text, n);
            conure_sha256_add(&sha, text + n, strlen(text) - n);
        }
        conure_sha256_hex(&sha, hex);
        test_text(hex, want);
    }
}

static void test_paths(void)
{
    char path[16];
    test_true(conure_path_join(path, sizeof path, "a/b", "c"));
    test_text(path, "a/b/c");
    test_true(conure_path_join(path, sizeof path, "/", "c"));
    test_text(path, "/c");
    test_true(conure_path_join(path, sizeof path, "", "c"));
    test_text(path, "c");
    test_true(conure_path_join(path, sizeof path, "1234567", "9abcdef"));
    test_true(!conure_path_join(path, sizeof path, "1234567", "9abcdefg"));
    test_true(conure_path_is_folder(".") && !conure_path_is_folder("/dev/null"));
    test_true(!conure_path_is_folder("missing"));
}

int main(void)
{
    char folder[] = "conure-files-XXXXXX";
    test_begin("base_files");
    test_true(mkdtemp(folder) && chdir(folder) == 0);
    test_map();
    test_forget();
    test_read();
    test_pipe_without_writer();
    /* FIPS 180-4's examples. */
    test_hash("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    test_hash("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    test_hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    test_hash("aaaaaaaaaa", 100000,
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    test_paths();
    test_true(chdir("..") == 0 && rmdir(folder) == 0); /* nothing was left behind */
    return test_end();
}
