/* plans.c - side files of plans: written and read back, damaged in every member; the folder they are in. */
#include "../test.h"

#include "engine/trt/plan.h"
#include "model/quote.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <unistd.h>

static conure_plan_side example(void)
{
    conure_plan_side s = {.gpu = "NVIDIA H200", .tensorrt = "8.6.0", .model = "tiny \"v3\"", .precision = "tf32", .tf32 = true, .mask_exact = true,
                          .streaming = true, .layer_first = true, .by_layer = true, .drop_first = 2,
                          .caches = {.cache_rows = 64, .drop_rows = 7, .time_cache_aligned = true},
                          .t = {57, 121, 592}, .b = {1, 8, 32}, .plan_bytes = 5000000000, .level = 2, .n_kept_f32 = 9, .seconds = 1.5,
                          .n_audio = 12, .wide = {[0] = true, [4] = true, [5] = true, [256] = true}};
    memset(s.model_sha256, 'a', 64);
    memset(s.contract_sha256, 'b', 64);
    memset(s.plan_sha256, 'c', 64);
    memset(s.audio_sha256, 'd', 64);
    for (int i = 0; i < CONURE_PLAN_TENSORS; i++)
        snprintf(s.names[i], sizeof s.names[i], "tensor_%d", i);
    return s;
}

static conure_status parse(const char *text, conure_error *err)
{
    conure_plan_side s;
    return conure_plan_side_parse(&s, text, strlen(text), "side", err);
}

static void round_trip(void)
{
    const conure_plan_side s = example();
    conure_plan_side back;
    char *text = NULL, *again = NULL;
    conure_error err = {""};
    test_int(conure_plan_side_dump(&s, &text, &err), CONURE_OK);
    test_int(conure_plan_side_parse(&back, text, strlen(text), "side", &err), CONURE_OK);
    test_int(conure_plan_side_dump(&back, &again, &err), CONURE_OK);
    test_text(again, text);
    test_int(back.plan_bytes == 5000000000, 1);
    test_int(back.t[2], 592);
    test_true(back.by_layer);
    test_text(back.names[9], "tensor_9");
    test_true(memcmp(back.wide, s.wide, sizeof s.wide) == 0);
    free(text);
    free(again);
}

/* One piece of a good text replaced: refused, and the text says by which member. */
static void damaged(const char *piece, const char *with, const char *names)
{
    const conure_plan_side s = example();
    char *text = NULL, changed[8192];
    conure_error err = {""};
    test_int(conure_plan_side_dump(&s, &text, &err), CONURE_OK);
    const char *at = strstr(text, piece);
    test_true(at != NULL);
    if (at) {
        snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, with, at + strlen(piece));
        test_true(parse(changed, &err) < 0);
        test_contains(err.text, names);
    }
    free(text);
}

/* Names of parts, neighbours together; every other one fits too. */
static void parts(void)
{
    conure_plan_side s = example();
    char text[CONURE_PLAN_PARTS_CAP];
    conure_plan_wide_text(s.wide, text);
    test_text(text, "subsampling, layers 3-4 255");
    s = (conure_plan_side){.wide = {[1] = true}};
    conure_plan_wide_text(s.wide, text);
    test_text(text, "layers 0");
    for (int i = 0; i < CONURE_PLAN_PARTS; i++)
        s.wide[i] = i % 2 == 0;
    conure_plan_wide_text(s.wide, text);
    test_contains(text, " 253 255"); /* the longest text */
}

/* What a terminal obeys, or what makes a name look like another; names of any script, joiners and marks of direction pass. */
static void controls(void)
{
    static const char *const bad[] = {"\x7f", "\xc2\x80", "x\xc2\x9b[", "a\x9b", "\xe2\x80\xa8", "nosj.\xe2\x80\xaetset", "\xe2\x81\xa6", "\xe2\x81\xa9"};
    static const char *const good[] = {"", "\xc2\xa0", "\xe9t\xe9", "\xe2\x80\x8c\xe2\x80\x8d\xe2\x80\x8f\xe2\x80\xa7\xe2\x80\xaf", "\xe2\x81\xa5\xe2\x81\xaa", "\xe3\x81\x9b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        test_true(conure_has_controls(bad[i]));
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        test_true(!conure_has_controls(good[i]));
}

/* What decides what is built decides the name, and nothing else does. */
static void keys(void)
{
    conure_plan_side s = example(), other = example();
    char a[48], b[48];
    conure_plan_key(&s, a);
    test_int(strlen(a), 12 + 1 + 4 + 1 + 16);
    other.seconds = 99;
    other.plan_bytes = 1;
    conure_plan_key(&other, b);
    test_text(b, a);
    other.t[0] = 56;
    conure_plan_key(&other, b);
    test_true(strcmp(a, b) != 0);
    other = s;
    memset(other.audio_sha256, 'e', 64);
    conure_plan_key(&other, b);
    test_true(strcmp(a, b) != 0);
    other = s;
    other.f16 = true;
    conure_plan_key(&other, b);
    test_true(strcmp(a, b) != 0);
    other = s;
    other.caches.drop_rows = 8;
    conure_plan_key(&other, b);
    test_true(strcmp(a, b) != 0);
    other = s;
    other.by_layer = false;
    conure_plan_key(&other, b);
    test_true(strcmp(a, b) != 0);
    other = s;
    snprintf(other.tensorrt, sizeof other.tensorrt, "8.6.1");
    conure_plan_key(&other, b);
    test_true(strcmp(a, b) != 0);
}

static void *write_plan(void *path)
{
    conure_plan_side s = example();
    test_int(conure_plan_write(&s, path, "plan", 4, NULL), CONURE_OK);
    return path;
}

/* They wait for each other. */
static void two_writers(void)
{
    char path[] = "two";
    pthread_t other;
    const int fd = open(".", O_RDONLY);
    test_int(flock(fd, LOCK_EX), 0);
    test_int(pthread_create(&other, NULL, write_plan, path), 0);
    usleep(50000);
    test_true(access("two.plan", F_OK) != 0);
    close(fd);
    pthread_join(other, NULL);
    test_true(unlink("two.plan") == 0 && unlink("two.json") == 0);
}

static void folders(void)
{
    char folder[] = "plans-XXXXXX", path[PATH_MAX], other[64];
    conure_plan_side s = example();
    conure_plan_found *list = NULL;
    uint32_t n = 9;
    conure_error err = {""};
    const conure_log quiet = {0};
    test_true(mkdtemp(folder) != NULL);
    test_int(conure_plan_list(&list, &n, "no/such/folder", &quiet, &err), CONURE_OK);
    test_int(n, 0);
    free(list);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, i ? "a" : "b");
        test_int(conure_plan_write(&s, path, "plan", 4, &err), CONURE_OK);
    }
    snprintf(other, sizeof other, "%s/c.json", folder);
    FILE *file = fopen(other, "w");
    fputs("{\"conure_plan\": 2}", file);
    fclose(file);
    test_int(conure_plan_list(&list, &n, folder, &quiet, &err), CONURE_OK);
    test_int(n, 2); /* the damaged one is passed over */
    if (n == 2) {
        test_text(strrchr(list[0].path, '/'), "/a");
        test_text(strrchr(list[1].path, '/'), "/b");
        test_int(list[0].side.plan_bytes, 4);
    }
    free(list);
    unlink(other);
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s.%s", folder, i & 1 ? "a" : "b", i & 2 ? "plan" : "json");
        test_int(unlink(path), 0);
    }
    test_int(rmdir(folder), 0);

    setenv("CONURE_PLANS", "/given", 1);
    test_int(conure_plan_folder(path, &err), CONURE_OK);
    test_text(path, "/given");
    unsetenv("CONURE_PLANS");
    setenv("XDG_CACHE_HOME", "/cache", 1);
    test_int(conure_plan_folder(path, &err), CONURE_OK);
    test_text(path, "/cache/conure/plans");
}

int main(void)
{
    test_begin("engine.plans");
    round_trip();
    damaged("\"conure_plan\": 2", "\"conure_plan\": 1", "build the plan again");
    damaged("\"gpu\": ", "\"gpU\": ", "gpu");
    damaged("aaaa", "aaaA", "model_sha256");
    damaged("\"mask\": \"exact\"", "\"mask\": \"maybe\"", "mask");
    damaged("\"tf32\": true", "\"tf32\": 1", "tf32");
    damaged("\"tf32\": true", "\"tf32\": false", "no plan is such"); /* flags are those of the precision */
    damaged("\"f16\": false", "\"f16\": true", "no plan is such");
    damaged("\"precision\": \"tf32\"", "\"precision\": \"fp4\"", "no plan is such");
    damaged("NVIDIA H200", "NVIDIA\\u001b[2J", "gpu holds a control character");
    damaged("tiny \\\"v3\\\"", "x\\u009b31mRED", "model holds a control character");
    damaged("\"tensor_9\"", "\"tensor_\\u202e9\"", "names");
    damaged("\"seconds\": 1.5", "\"seconds\": -1e300", "seconds");
    damaged("5000000000", "9223372036854775807", "plan_bytes");
    damaged("\"layers.255\"", "\"layers.+3\"", "f32_parts");
    damaged("121", "1121", "t is not three rising numbers");
    damaged("\"cache_rows\": 64", "\"cache_rows\": 0", "streaming is true with 0 cached rows");
    damaged("\"cache_rows\": 64", "\"cache_rows\": 64000000", "cache_rows");
    damaged("\"tensor_9\"", "\"tensor_9\", \"tensor_10\"", "names");
    damaged("5000000000", "-5", "plan_bytes");
    damaged("\"level\": 2", "\"level\": 6", "level");
    damaged("\"seconds\": 1.5", "\"seconds\": \"1.5\"", "seconds");
    damaged("\"layers.255\"", "\"layers.256\"", "f32_parts");
    damaged("\"layers.255\"", "\"layers.4294967298\"", "f32_parts");
    controls();
    keys();
    parts();
    two_writers();
    folders();
    return test_end();
}
