/* golden_tiny.c - the small random models against NeMo, stage by stage and token by token.
 * float32 and float64 of the reference differ by at most 2e-6 there (golden data README), so these
 * comparisons are tight. */
#include "../test.h"
#include "base/cpu.h"
#include "compare.h"

#include <stdlib.h>

/* The joint's projection is centred: it cancels terms of size 10 to 30, whose rounding (the plain C kernel
 * sums in another order than NeMo) was measured at up to 2.3e-5. */
static const stage_tolerance tight = {1e-5f, 1e-5f, 1e-5f, 1e-5f, 5e-5f};
static const char *const clips[] = {"short", "medium", "masked"};

/* Every instruction set this machine has. */
static const char *const levels[] = {"native", "c", "avx2", "avx512"};

static void one_model(const char *name, const char *isa)
{
    char model_path[4096], golden_file[4096], rest[128];
    golden g;
    opened o;
    snprintf(rest, sizeof rest, "models/%s.nemo", name);
    data_path(model_path, sizeof model_path, rest);
    snprintf(rest, sizeof rest, "golden/%s.golden.safetensors", name);
    test_true(golden_open(&g, data_path(golden_file, sizeof golden_file, rest)));
    test_true(open_engine(&o, model_path, CONURE_PRECISION_F32, CONURE_MASK_DEFAULT, 2, isa));
    for (int i = 0; i < 3 && o.self; i++) {
        char prefix[64], mel[64];
        snprintf(prefix, sizeof prefix, "%s.", clips[i]);
        snprintf(mel, sizeof mel, "%s.mel", clips[i]);
        if (!golden_has(&g, mel))
            continue;
        test_true(compare_clip(&o, &g, prefix, &tight) >= 2);
        compare_tokens(&o, &g, mel, &g, prefix, 0);
    }
    close_engine(&o);
    golden_close(&g);
}

/* Both conventions of the mask on the model whose scores tell them apart. */
static void hostile(const char *isa)
{
    char path[4096], golden_file[4096], mel_file[4096];
    golden g, mels;
    test_true(golden_open(&g, data_path(golden_file, sizeof golden_file, "golden/tiny-hostile.golden.safetensors")));
    test_true(golden_open(&mels, data_path(mel_file, sizeof mel_file, "golden/tiny-v3.golden.safetensors")));
    data_path(path, sizeof path, "models/tiny-hostile.nemo");
    for (int m = 0; m < 2; m++) {
        opened o;
        test_true(open_engine(&o, path, CONURE_PRECISION_F32, m ? CONURE_MASK_EXACT : CONURE_MASK_NEMO, 2, isa));
        for (int i = 0; i < 3 && o.self; i++) {
            char prefix[64], mel[64];
            snprintf(prefix, sizeof prefix, "%s.%s.", m ? "exact" : "nemo", clips[i]);
            snprintf(mel, sizeof mel, "%s.mel", clips[i]);
            if (!golden_has(&mels, mel))
                continue;
            compare_tokens(&o, &mels, mel, &g, prefix, 1e-4f);
        }
        close_engine(&o);
    }
    golden_close(&g);
    golden_close(&mels);
}

int main(void)
{
    test_begin("engine.golden");
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        uint32_t features;
        if (conure_cpu_features(&features, levels[i], NULL) != CONURE_OK)
            continue; /* this machine does not reach that level */
        fprintf(stderr, "isa %s\n", levels[i]);
        one_model("tiny-v3", levels[i]);
        one_model("tiny-alt", levels[i]);
        hostile(levels[i]);
    }
    test_true(compare_checks > 50);
    test_int(compare_failures, 0);
    return test_end();
}
