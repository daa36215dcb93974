/* library.h - where TensorRT's libraries are opened from, and what is said where they are not. */
#ifndef CONURE_ENGINE_TRT_LIBRARY_H
#define CONURE_ENGINE_TRT_LIBRARY_H

#include "base/error.h"

/* The path to open `name` (libnvinfer.so.8, libnvonnxparser.so.8) at, in out [cap].
 *
 *   named  NULL or "": the name itself, which the loader finds; a folder: the file of that name there; a file, libnvinfer itself: that
 *          file where `main`, for others the file of that name beside it.  Without a '/' the loader knows where it is.
 *
 * Only looks; needs no GPU.  BACKEND: nothing is there, and the text names the folder, the file that was looked for and the way out. */
conure_status conure_trt_library_path(char *out, size_t cap, const char *named, const char *name, bool main, conure_error *err);

#endif
