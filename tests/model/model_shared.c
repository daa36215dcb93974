/* model_shared.c - the trained checkpoint in both of its forms: equal numbers, different masks. */
#include "model_support.h"

static conure_model *open_named(const char *shared, const char *name)
{
    char path[1024];
    conure_model *model = NULL;
    conure_error err = {""};
    snprintf(path, sizeof path, "%s/models/%s", shared, name);
    if (conure_model_open(&model, path, NULL, &err) != CONURE_OK)
        test_text(err.text, "");
    return model;
}

int main(void)
{
    const char *shared =
        getenv("CONURE_SHARED") ? getenv("CONURE_SHARED") : SOURCE_DIR "/../shared";
    test_begin("model.shared");
    if (access(shared, F_OK) != 0)
        return test_skip("no ../shared");
    conure_model *nemo = open_named(shared, "spike-tdt-8m.nemo");
    conure_model *hf = open_named(shared, "spike-tdt-8m-hf");
    conure_model_info a = {.struct_bytes = sizeof a}, b = {.struct_bytes = sizeof b};
    if (nemo && hf) {
        test_same(hf, nemo, CONURE_F32);
        test_int(conure_model_get_info(nemo, &a), CONURE_OK);
        test_int(conure_model_get_info(hf, &b), CONURE_OK);
        test_text(a.weights, "f16");
        test_text(b.weights, "f16");
        test_text(a.sha256, b.sha256);
        test_int(a.mask, CONURE_MASK_NEMO);
        test_int(b.mask, CONURE_MASK_EXACT);
        for (int i = 0; i < 2; i++) {
            const char *path = in_folder("model.shared.tmp", "spike.safetensors");
            conure_model *converted = NULL;
            test_int(
                conure_model_convert(i ? hf : nemo, path, i ? "int8" : "f16", NULL, NULL, NULL),
                CONURE_OK);
            test_int(conure_model_open(&converted, path, NULL, NULL), CONURE_OK);
            test_same(converted, nemo, i ? CONURE_I8 : CONURE_F16);
            test_int(conure_model_verify(converted, NULL, NULL, NULL), CONURE_OK);
            conure_model_close(&converted);
        }
    }
    conure_model_close(&nemo);
    conure_model_close(&hf);
    return test_end();
}
