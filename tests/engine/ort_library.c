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
    refused("no/such/library.so", "cannot open: No such file");
    refused("libm.so.6", "no OrtGetApiBase");
    refused(fake, "1.8.1");
    refused(fake, CONURE_ORT_VERSION_MIN " or later");
    write_file("not_a_library.so", "\177ELF but no more", 16);
    refused("not_a_library.so", "cannot be opened");

    mkdir("no_library_here", 0755);
    refused("no_library_here", "no libonnxruntime.so in this folder");
}

/* The loader would map what is not there, and end this process: whatever is missing is told before. */
static void on_cut_files(const char *fake)
{
    static uint8_t data[1 << 20];
    FILE *f = fopen(fake, "rb");
    const size_t bytes = f ? fread(data, 1, sizeof data, f) : 0;
    test_true(bytes > 4096 && bytes < sizeof data && fclose(f) == 0);
    for (size_t keep = 4; keep < bytes; keep += keep < 512 ? 7 : 509) {
        write_file("./cut.so", data, keep);
        refused("./cut.so", "./cut.so: is cut short");
    }
    unlink("whole.so");
    write_file("whole.so", data, bytes);
    refused("./whole.so", "1.8.1");
    data[32] = data[39] = 0xff; /* the program headers' place */
    write_file("./cut.so", data, bytes);
    refused("./cut.so", "is cut short");
    data[18] ^= 0x40; /* the machine */
    write_file("./cut.so", data, bytes);
    refused("./cut.so", "another machine");
}

/* At "FOLDERS/NAME": the fake library, or a file that is none. */
static void place(const char *fake, const char *where)
{
    char path[256];
    snprintf(path, sizeof path, "%s", where);
    for (char *at = path; (at = strchr(at, '/')); *at++ = '/') {
        *at = 0;
        mkdir(path, 0755);
    }
    unlink(path);
    if (fake)
        test_int(symlink(fake, path), 0);
    else
        write_file(path, "nothing", 7);
}

/* Of several the latest by number; what only begins with the name is none.  Where nothing is named and the loader finds none,
 * the environment that is in use. */
static void on_folders(const char *fake)
{
#define WHEEL(python) "lib/python3." python "/site-packages/onnxruntime/capi/"
    conure_ort_library library;
    place(fake, "some/libonnxruntime.so.1.9.0");
    place(fake, "some/libonnxruntime.so.1.32.0");
    place(NULL, "some/libonnxruntime.so.1.32.0.sha256");
    place(NULL, "some/libonnxruntime.so-old");
    refused("some/libonnxruntime.so-old", "is no shared library");
    refused("some", "some/libonnxruntime.so.1.32.0 is ONNX Runtime 1.8.1");
    place(fake, "env/" WHEEL("9") "libonnxruntime.so.1.40.0");
    place(fake, "env/" WHEEL("11") "libonnxruntime.so.1.20.0");
    place(NULL, "env/" WHEEL("12") "onnxruntime_pybind11_state.so");
    place(NULL, "old/" WHEEL("12") "onnxruntime_pybind11_state.cpython-312-x86_64-linux-gnu.so");
    refused("old", "from about 1.20 on");
    unsetenv("CONURE_ORT_LIBRARY");
    unsetenv("VIRTUAL_ENV");
    if (conure_ort_library_open(&library, NULL, NULL) == CONURE_OK) { /* the loader comes first */
        conure_ort_library_close(&library);
        return;
    }
    setenv("VIRTUAL_ENV", "env", 1);
    refused(NULL, "env/" WHEEL("11") "libonnxruntime.so.1.20.0 is ONNX Runtime 1.8.1");
    setenv("VIRTUAL_ENV", "old", 1);
    refused(NULL, "old (VIRTUAL_ENV): a wheel");
    setenv("VIRTUAL_ENV", "no_library_here", 1);
    refused(NULL, "nor in VIRTUAL_ENV");
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
    setenv("FAKE_ORT", "1.31.1", 1);
    options.library = fake;
    for (int is_long = 0; is_long < 2; is_long++) {
        test_int(conure_engine_ort_cuda.open(&self, model, &options, &err), CONURE_BACKEND);
        test_contains(err.text, "engine ort/cuda: provider CUDA does not start: ONNX Runtime 1.");
        test_contains(err.text, is_long ? "CUDA: ..xxx" : "CUDA: Failed to load library cuda.so");
        test_contains(err.text, "with error: libcudnn.so.9: cannot open; needed");
        test_contains(err.text, "ort/cpu needs none");
        setenv("FAKE_ORT", "1.99.0", 1);
    }
    unsetenv("FAKE_ORT");
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
    on_cut_files(argv[1]);
    on_folders(argv[1]);
    by_name(argv[1]);
    return test_end();
}
