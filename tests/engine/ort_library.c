/* ort_library.c - libraries that are not there, are none, or are too old: each is named, with the way out, and something that
 * was named is never passed over for another. */
#include "../test.h"
#include "engine/engine.h"
#include "engine/ort/library.h"
#include "model/load.h"

#include <sys/stat.h>
#include <unistd.h>

static void refused(const char *path, const char *part)
{
    conure_ort_library library;
    conure_error err = {""};
    test_int(conure_ort_library_open(&library, path, &err), CONURE_BACKEND);
    test_true(library.handle == NULL);
    test_contains(err.text, part);
    test_contains(err.text, "CONURE_ORT_LIBRARY");
}

static void write_file(const char *path, const void *data, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    test_true(f && fwrite(data, 1, bytes, f) == bytes && fclose(f) == 0);
}

static void on_files(const char *fake)
{
    char text[4096];
    refused("no/such/library.so", "cannot be opened");
    refused("libm.so.6", "no OrtGetApiBase");
    refused(fake, "1.8.1");
    refused(fake, CONURE_ORT_VERSION_MIN " or later");
    write_file("not_a_library.so", "\177ELF but no more", 16);
    refused("not_a_library.so", "cannot be opened");
    mkdir("no_library_here", 0755);
    refused("no_library_here", "no libonnxruntime.so in this folder");
    mkdir("a_library_here", 0755);
    snprintf(text, sizeof text, "a_library_here/libonnxruntime.so.1.8.1");
    unlink(text);
    test_int(symlink(fake, text), 0);
    refused("a_library_here", "1.8.1");
}

/* The variable, and an engine's own setting, which comes first. */
static void by_name(const char *fake)
{
    conure_engine_options options = {.n_threads = 1, .precision = CONURE_PRECISION_F32, .mask = CONURE_MASK_EXACT};
    conure_model *model = NULL;
    conure_error err = {""};
    char path[4096];
    void *self = &err;
    snprintf(path, sizeof path, "%s/models/tiny-v3.nemo", TEST_DATA);
    test_int(conure_model_open(&model, path, NULL, &err), CONURE_OK);
    setenv("CONURE_ORT_LIBRARY", fake, 1);
    refused(NULL, "1.8.1");
    test_int(conure_engine_ort_cpu.open(&self, model, &options, &err), CONURE_BACKEND);
    test_true(self == NULL);
    test_contains(err.text, "1.8.1");
    options.library = "no/such/library.so";
    test_int(conure_engine_ort_cuda.open(&self, model, &options, &err), CONURE_BACKEND);
    test_contains(err.text, "no/such/library.so");
    setenv("CONURE_ORT_LIBRARY", "no/such/folder", 1);
    refused(NULL, "no/such/folder");
    options.precision = CONURE_PRECISION_F64;
    test_int(conure_engine_ort_cpu.open(&self, model, &options, &err), CONURE_UNSUPPORTED);
    test_contains(err.text, "not in f64");
    options.precision = CONURE_PRECISION_F32;
    options.isa = "avx2";
    test_int(conure_engine_open(&self, &conure_engine_ort_cpu, model, &options, &err), CONURE_BAD_ARG);
    test_contains(err.text, "ort/cpu takes no isa");
    options.isa = NULL;
    options.device = 3;
    test_int(conure_engine_open(&self, &conure_engine_ort_cpu, model, &options, &err), CONURE_BAD_ARG);
    test_contains(err.text, "ort/cpu takes no device");
    test_int(conure_engine_open(&self, &conure_engine_native_cpu, model, &options, &err), CONURE_BAD_ARG);
    test_contains(err.text, "cpu takes no device");
    options.device = 0;
    options.library = "x";
    test_int(conure_engine_open(&self, &conure_engine_reference, model, &options, &err), CONURE_BAD_ARG);
    test_contains(err.text, "ref takes no library");
    conure_model_close(&model);
}

int main(int argc, char **argv)
{
    test_begin("engine.ort_library");
    if (argc < 2)
        return 2;
    on_files(argv[1]);
    by_name(argv[1]);
    return test_end();
}
