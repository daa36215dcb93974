/* Levels of instructions: their names, what each leaves, and agreement with what the kernel reports. */
#include "base/cpu.h"

#include "test.h"

static const char *const levels[] = {"c", "avx2", "avx512", "vnni", "bf16", "amx"};
enum { N_LEVELS = sizeof levels / sizeof *levels };
static const uint32_t amx = CONURE_CPU_AMX_INT8 | CONURE_CPU_AMX_BF16;

static void test_levels(void)
{
    static const uint32_t own[N_LEVELS] = {0,
                                           CONURE_CPU_AVX2 | CONURE_CPU_AVXVNNI,
                                           CONURE_CPU_AVX512,
                                           CONURE_CPU_VNNI,
                                           CONURE_CPU_BF16,
                                           CONURE_CPU_AMX_INT8 | CONURE_CPU_AMX_BF16};
    static const uint32_t needed[N_LEVELS] = {0,
                                              CONURE_CPU_AVX2,
                                              CONURE_CPU_AVX512,
                                              CONURE_CPU_VNNI,
                                              CONURE_CPU_BF16,
                                              CONURE_CPU_AMX_INT8 | CONURE_CPU_AMX_BF16};
    uint32_t native = 99, unnamed = 98, allowed = 0;
    conure_error err;
    test_int(conure_cpu_features(&native, "native", &err), CONURE_OK);
    test_int(conure_cpu_features(&unnamed, NULL, &err), CONURE_OK);
    test_int(native, unnamed);
    for (int i = 0; i < N_LEVELS; i++) {
        uint32_t features = 99;
        const conure_status status = conure_cpu_features(&features, levels[i], &err);
        allowed |= own[i];
        if (!needed[i] || (native & needed[i])) {
            test_int(status, CONURE_OK);
            test_int(features, native & allowed);
        } else {
            test_int(status, CONURE_BACKEND);
            test_int(features, 0);
            test_contains(err.text, levels[i]);
        }
    }
    test_int(allowed & native, native);
    /* Nothing without what it stands on. */
    test_true(!(native & ~(uint32_t)CONURE_CPU_AVX2) || (native & CONURE_CPU_AVX2));
    test_true(!(native & (CONURE_CPU_VNNI | CONURE_CPU_BF16 | amx)) ||
              (native & CONURE_CPU_AVX512));
}

static void test_unknown_levels(void)
{
    static const char *const wrong[] = {"", "AVX2", "avx", "avx2 ", "sse", "none"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint32_t features = 99;
        conure_error err;
        test_int(conure_cpu_features(&features, wrong[i], &err), CONURE_BAD_ARG);
        test_int(features, 0);
        for (int level = 0; level < N_LEVELS; level++)
            test_contains(err.text, levels[level]);
    }
}

static bool has_flag(const char *line, const char *flag)
{
    const size_t n = strlen(flag);
    for (const char *at = line; (at = strstr(at, flag)); at += n)
        if (at[-1] == ' ' && (at[n] == ' ' || at[n] == '\n'))
            return true;
    return false;
}

/* The kernel reports a flag only when it also saves the registers. */
static void test_against_kernel(void)
{
#if defined(__x86_64__)
    static const struct {
        uint32_t feature;
        const char *flags[6];
    } known[] = {
        {CONURE_CPU_AVX2, {"avx2", "fma", "f16c"}},
        {CONURE_CPU_AVX512, {"avx2", "avx512f", "avx512bw", "avx512dq", "avx512vl"}},
        {CONURE_CPU_VNNI, {"avx512f", "avx512_vnni"}},
        {CONURE_CPU_AVXVNNI, {"avx_vnni"}},
        {CONURE_CPU_BF16, {"avx512f", "avx512_bf16"}},
    };
    static char line[65536];
    uint32_t native = 0;
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(line, sizeof line, file) && strncmp(line, "flags", 5) != 0)
        continue;
    if (file)
        fclose(file);
    if (strncmp(line, "flags", 5) != 0)
        return;
    test_int(conure_cpu_features(&native, NULL, NULL), CONURE_OK);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        bool all = true;
        for (int f = 0; f < 6 && known[i].flags[f]; f++)
            all = all && has_flag(line, known[i].flags[f]);
        test_int((native & known[i].feature) != 0, all);
    }
#endif
}

static void test_texts(void)
{
    char text[96], small[8];
    test_text(conure_cpu_features_text(0, text, sizeof text), "c");
    test_text(conure_cpu_features_text(CONURE_CPU_AVX2, text, sizeof text), "avx2");
    test_text(conure_cpu_features_text(CONURE_CPU_AVX2 | CONURE_CPU_AVX512 | CONURE_CPU_VNNI |
                                           CONURE_CPU_BF16,
                                       text, sizeof text),
              "avx2 avx512 vnni bf16");
    test_text(conure_cpu_features_text(127, text, sizeof text),
              "avx2 avx512 vnni avxvnni bf16 amx-int8 amx-bf16");
    test_text(conure_cpu_features_text(127, small, sizeof small), "avx2 av");
    conure_cpu_name(text, sizeof text);
    test_true(*text && *text != ' ' && text[strlen(text) - 1] != ' ');
    test_text(conure_cpu_name(small, 1), "");
    char feature_text[96];
    uint32_t native;
    test_int(conure_cpu_features(&native, NULL, NULL), CONURE_OK);
    fprintf(stderr, "%s: %s\n", text,
            conure_cpu_features_text(native, feature_text, sizeof feature_text));
}

int main(void)
{
    test_begin("base_cpu");
    test_levels();
    test_unknown_levels();
    test_against_kernel();
    test_texts();
    return test_end();
}
