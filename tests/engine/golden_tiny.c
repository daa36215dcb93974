/* golden_tiny.c - the small random models against NeMo, stage by stage and token by token.
 * float32 and float64 of the reference differ by at most 2e-6 there (golden data README), so these
 * comparisons are tight. */
#include "../test.h"
#include "base/cpu.h"
#include "compare.h"
#include "found.h"

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
        test_true(compare_clip(&o, &g, prefix, &tight) >= (o.engine->set_probe ? 2 : 1));
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

/* Rows of a batch, bit by bit what each is alone: three clips in one step, in every precision.  A runtime may take other
 * kernels for other shapes; its rounding was measured at 1.1e-6. */
static void batch(const char *name, conure_precision precision)
{
    char path[4096], rest[128];
    golden g;
    opened o;
    float *mels[3], *alone[3], *together[3];
    uint32_t n_frames[3];
    conure_encode_row rows[3];
    conure_error err = {""};
    int n = 0;
    snprintf(rest, sizeof rest, "golden/%s.golden.safetensors", name);
    test_true(golden_open(&g, data_path(path, sizeof path, rest)));
    snprintf(rest, sizeof rest, "models/%s.nemo", name);
    test_true(open_engine(&o, data_path(path, sizeof path, rest), precision, CONURE_MASK_DEFAULT, 2, NULL));
    if (!o.self)
        return;
    const conure_config *c = &o.model->config;
    for (int i = 0; i < 3; i += 2) { /* short, masked, and a part of masked */
        char key[64];
        snprintf(key, sizeof key, "%s.mel", clips[i]);
        const uint32_t columns = (uint32_t)golden_dim(&g, key, 1);
        for (uint32_t part = 0; part <= (i == 2); part++, n++) {
            n_frames[n] = part ? columns / 3 : columns;
            mels[n] = turned(golden_f32(&g, key, c->mel_bins, columns), c->mel_bins, columns);
        }
    }
    test_int(n, 3);
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < n; i++) {
            const uint32_t cap = n_frames[i] / 8 + 1;
            float *out = calloc((size_t)cap * c->d_model, sizeof *out);
            *(pass ? &together[i] : &alone[i]) = out;
            rows[i] = (conure_encode_row){.mel = mels[i], .n_frames = n_frames[i], .n_valid = n_frames[i] - 1, .out = out, .n_out_cap = cap};
            if (!pass)
                test_int(o.engine->encode(o.self, &rows[i], 1, &err), CONURE_OK);
        }
        if (pass)
            test_int(o.engine->encode(o.self, rows, (uint32_t)n, &err), CONURE_OK);
    }
    for (int i = 0; i < n; i++) {
        test_true(rows[i].n_out > 8);
        test_true(worst(alone[i], together[i], (size_t)rows[i].n_out * c->d_model) <= (strncmp(compare_engine, "ort/", 4) == 0 ? 1e-5 : 0));
        free(mels[i]);
        free(alone[i]);
        free(together[i]);
    }
    close_engine(&o);
    golden_close(&g);
}

int main(int argc, char **argv)
{
    test_begin("engine.golden");
    compare_engine = argc > 1 ? argv[1] : compare_engine;
    if (engine_missing(compare_engine))
        return test_skip(engine_missing(compare_engine));
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        uint32_t features;
        if (conure_cpu_features(&features, levels[i], NULL) != CONURE_OK || (i && strcmp(compare_engine, "cpu") != 0))
            continue; /* this machine does not reach that level */
        fprintf(stderr, "isa %s\n", levels[i]);
        one_model("tiny-v3", levels[i]);
        one_model("tiny-alt", levels[i]);
        hostile(levels[i]);
    }
    for (int p = CONURE_PRECISION_F32; p <= CONURE_PRECISION_INT8; p++) {
        batch("tiny-v3", (conure_precision)p);
        batch("tiny-alt", (conure_precision)p);
    }
    test_true(compare_checks > 50);
    test_int(compare_failures, 0);
    return test_end();
}
