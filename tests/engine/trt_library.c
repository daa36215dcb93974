/* trt_library.c - where TensorRT's libraries are opened from: as they were named, or a text that names the folder, the file that was looked
 * for and the way out.  Needs no TensorRT. */
#include "../test.h"
#include "base/files.h"
#include "engine/trt/library.h"

#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

static void opened_at(const char *named, const char *name, bool main, const char *expected)
{
    char path[PATH_MAX];
    conure_error err = {""};
    test_int(conure_trt_library_path(path, sizeof path, named, name, main, &err), CONURE_OK);
    test_text(path, expected);
}

static void not_there(const char *named, const char *name, bool main, const char *what, const char *way_out)
{
    char path[PATH_MAX];
    conure_error err = {""};
    test_int(conure_trt_library_path(path, sizeof path, named, name, main, &err), CONURE_BACKEND);
    test_contains(err.text, what);
    test_contains(err.text, way_out);
}

static void libraries(void)
{
    static const char inference[] = "libnvinfer.so.8", parser[] = "libnvonnxparser.so.8";
    conure_error err = {""};
    char longer[PATH_MAX + 8];
    memset(longer, 'x', sizeof longer);
    memcpy(longer, "./", 2);
    longer[sizeof longer - 1] = '\0';
    opened_at(NULL, inference, true, inference);
    opened_at("", parser, false, parser);
    opened_at("libnvinfer.so.8.6.0", inference, true, "libnvinfer.so.8.6.0"); /* the loader knows */
    opened_at("libnvinfer.so.8.6.0", parser, false, parser);
    not_there("./trt-none", inference, true, "./trt-none: No such file or directory", "name the folder that holds libnvinfer.so.8 (--library FOLDER");
    not_there(longer, inference, true, "too long", "@library=FOLDER");

    mkdir("trt-library", 0755);
    mkdir("trt-library/lib", 0755);
    not_there("trt-library", inference, true, "trt-library: no libnvinfer.so.8 in this folder", "name the one of TensorRT 8 that holds it");
    not_there("trt-library", inference, true, "--library FOLDER of conure engine build", "@library=FOLDER of --engine trt");
    test_int(conure_file_write("trt-library/lib/libnvinfer.so.8", "8", 1, &err), CONURE_OK);
    not_there("trt-library", inference, true, "trt-library: no libnvinfer.so.8 in this folder", "it is in trt-library/lib: name that");
    opened_at("trt-library/lib", inference, true, "trt-library/lib/libnvinfer.so.8");
    opened_at("trt-library/lib/libnvinfer.so.8", inference, true, "trt-library/lib/libnvinfer.so.8");
    not_there("trt-library/lib/libnvinfer.so.8", parser, false, "trt-library/lib: no libnvonnxparser.so.8 in this folder", "TensorRT 8");
    test_int(conure_file_write("trt-library/lib/libnvonnxparser.so.8", "8", 1, &err), CONURE_OK);
    opened_at("trt-library/lib", parser, false, "trt-library/lib/libnvonnxparser.so.8");
    opened_at("trt-library/lib/libnvinfer.so.8", parser, false, "trt-library/lib/libnvonnxparser.so.8");
    not_there("trt-library/lib", "libnvinfer.so.10", true, "no libnvinfer.so.10 in this folder, but libnvinfer.so.8", "or build this program with the headers");
    test_int(unlink("trt-library/lib/libnvinfer.so.8") | unlink("trt-library/lib/libnvonnxparser.so.8"), 0);
    test_int(rmdir("trt-library/lib") | rmdir("trt-library"), 0);
}

int main(void)
{
    test_begin("engine.trt_library");
    libraries();
    return test_end();
}
