/* plan_choose.c - which plans of TensorRT a contract needs: one for every number of dropped frames, over the right profiles. */
#include "../test.h"

#include "cli/plan_build.h"

static conure_model *model;

static conure_contract contract(const char *profiles, bool export_graph)
{
    conure_contract k;
    conure_error err = {""};
    const conure_contract_options options = {.streaming = {.chunk = 6, .shift = 3, .cache_rows = 64, .export_graph = export_graph},
                                             .profiles = profiles, .b_max = 4, .layer_first = true};
    test_int(conure_contract_derive_model(&k, model, &options, &err), CONURE_OK);
    return k;
}

static conure_status choose(conure_plan_side sides[2], uint32_t *n, const conure_contract *k, const char *profile, conure_error *err)
{
    const conure_plan_wish wish = {.contract = k, .profile = profile, .precision = CONURE_PRECISION_TF32, .frames_max = 700, .level = 2};
    return conure_plans_choose(sides, n, model, &wish, err);
}

static void is(const conure_plan_side *s, uint32_t drop, uint32_t t_min, uint32_t t_max)
{
    test_int(s->drop_first, drop);
    test_int(s->t[0], t_min);
    test_int(s->t[2], t_max);
    test_true(s->t[0] <= s->t[1] && s->t[1] <= s->t[2] && s->b[0] <= s->b[1] && s->b[1] <= s->b[2]);
}

/* One size of everything: the largest. */
static void fixed_sizes(void)
{
    const conure_contract k = contract(NULL, false);
    conure_plan_wish wish = {.contract = &k, .profile = "all", .precision = CONURE_PRECISION_F32, .frames_max = 700, .batch_max = 3, .fixed = true};
    conure_plan_side s[2];
    uint32_t n;
    conure_error err = {""};
    test_int(conure_plans_choose(s, &n, model, &wish, &err), CONURE_OK);
    test_int(n, 2);
    is(&s[1], 2, 57, 57);
    test_int(s[1].b[0], 3);
    test_int(s[1].b[2], 3);
    wish.batch_max = 0;
    test_int(conure_plans_choose(s, &n, model, &wish, &err), CONURE_OK);
    test_int(s[1].b[0], 4); /* the contract's */
    wish.contract = NULL;
    test_int(conure_plans_choose(s, &n, model, &wish, &err), CONURE_OK);
    is(&s[0], 0, 700, 700);
    test_int(s[0].b[0], 1);
}

/* One plan. */
static void chosen(const conure_contract *k, const char *profile, uint32_t drop, uint32_t t_min, uint32_t t_max)
{
    conure_plan_side s[2];
    uint32_t n;
    conure_error err = {""};
    test_int(choose(s, &n, k, profile, &err), CONURE_OK);
    test_int(n, 1);
    is(&s[0], drop, t_min, t_max);
}

/* NeMo's schedule drops nothing of the first step and two of later ones: two graphs. */
static void two_kinds(void)
{
    const conure_contract k = contract(NULL, false);
    conure_plan_side s[2];
    uint32_t n;
    conure_error err = {""};
    test_int(choose(s, &n, &k, "all", &err), CONURE_OK);
    test_int(n, 2);
    is(&s[0], 0, 41, 41);
    is(&s[1], 2, 57, 57);
    test_int(s[0].b[2], 4);
    test_true(s[0].streaming && s[0].layer_first && s[0].tf32 && !s[0].f16);
    test_int(s[0].caches.cache_rows, 64);
    test_int(s[0].caches.drop_rows, 3);
    test_text(s[0].precision, "tf32");
    test_int(strlen(s[0].contract_sha256), 64);
    chosen(&k, "first", 0, 41, 41);
    chosen(&k, "next", 2, 57, 57);
    chosen(&k, "later", 2, 57, 57); /* as the contract calls it */
    test_int(choose(s, &n, &k, "unified", &err), CONURE_BAD_ARG);
    test_contains(err.text, "--profile all builds both");
    test_int(choose(s, &n, &k, "files", &err), CONURE_BAD_ARG);
    test_contains(err.text, "the contract's own, first, later");
}

/* All steps alike: one graph, over all profiles or over one. */
static void one_kind(void)
{
    const conure_contract k = contract("first=120,later=96,live=57..64", true);
    chosen(&k, "all", 2, 57, 120);
    chosen(&k, "unified", 2, 57, 120);
    chosen(&k, "first", 2, 57, 120); /* "live" serves every step */
    chosen(&k, "next", 2, 57, 96);
    chosen(&k, "live", 2, 57, 64);
}

/* Profiles of a file in place of the contract's; what the contract cannot have is refused. */
static void of_a_file(const char *profiles, const char *refused)
{
    const conure_contract k = contract("first=120,later=96", true);
    const char *path = "plan-profiles.json";
    conure_plan_side s[2];
    uint32_t n;
    conure_error err = {""};
    FILE *file = fopen(path, "w");
    fputs(profiles, file);
    fclose(file);
    const conure_status status = choose(s, &n, &k, path, &err);
    test_int(status, refused ? CONURE_BAD_FILE : CONURE_OK);
    test_int(n, refused ? 0 : 1);
    if (refused)
        test_contains(err.text, refused);
    else
        is(&s[0], 2, 88, 200);
    remove(path);
}

static void offline(void)
{
    conure_plan_side s[2];
    uint32_t n;
    conure_error err = {""};
    test_int(choose(s, &n, NULL, "offline", &err), CONURE_OK);
    test_int(n, 1);
    is(&s[0], 0, 64, 700);
    test_true(!s[0].streaming && s[0].contract_sha256[0] == '\0' && s[0].caches.cache_rows == 0);
    test_text(s[0].names[CONURE_PLAN_ENCODER], "outputs");
    test_text(s[0].names[CONURE_PLAN_TIME_IN], "");
}

static void another_model(void)
{
    conure_contract k = contract(NULL, false);
    conure_plan_side s[2];
    uint32_t n;
    conure_error err = {""};
    memset(k.model_sha256, 'a', 64);
    test_int(choose(s, &n, &k, "all", &err), CONURE_BAD_FILE);
    test_int(n, 0);
}

/* Whatever a checkpoint's file is called, the side file can be written and read. */
static void names(void)
{
    char name[201], *const own = model->name, *text = NULL;
    conure_plan_side s[2], back;
    uint32_t n;
    conure_error err = {""};
    model->name = name;
    for (size_t i = 0; i < 2; i++) {
        memset(name, 'x', 200);
        memcpy(name + 125 + i, "\xe2\x82\xac", 4); /* cut after two bytes of it, after one */
        memcpy(name, "\x1b[2J\n\xff", 6);
        test_int(choose(s, &n, NULL, "offline", &err), CONURE_OK);
        memset(s[0].plan_sha256, 'c', 64);
        s[0].plan_bytes = 1;
        snprintf(s[0].gpu, sizeof s[0].gpu, "GPU");
        test_int(conure_plan_side_dump(&s[0], &text, &err), CONURE_OK);
        test_int(text ? conure_plan_side_parse(&back, text, strlen(text), "side", &err) : CONURE_NO_MEMORY, CONURE_OK);
        test_text(err.text, "");
        free(text);
    }
    model->name = own;
}

int main(void)
{
    conure_error err = {""};
    test_begin("cli.plan_choose");
    test_int(conure_model_open(&model, TEST_DATA "/models/tiny-v3.nemo", NULL, &err), CONURE_OK);
    two_kinds();
    fixed_sizes();
    one_kind();
#define PROFILE(steps) \
    "{\"profiles\": [{\"name\": \"mine\", \"steps\": \"" steps "\", \"T\": {\"min\": 88, \"opt\": 90, \"max\": 200}, \"B\": {\"min\": 1, \"opt\": 2, \"max\": 9}}]}"
    of_a_file(PROFILE("all"), NULL);
    of_a_file(PROFILE("later"), "none serves the first step");
    of_a_file(PROFILE("fist"), "/profiles/0/steps");
    of_a_file("{\"profile\": []}", "no member profiles");
    offline();
    another_model();
    names();
    conure_model_close(&model);
    return test_end();
}
