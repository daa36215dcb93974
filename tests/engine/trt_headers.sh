#!/usr/bin/env bash
# trt_headers.sh SOURCE_DIR - the engine trt's one file in C++ compiles against the headers of TensorRT in the folders CONURE_TRT_HEADERS=A:B:..,
# with cuda.h from CONURE_CUDA_HEADERS, /usr/local/cuda/include where it is not set.  77, and the reason, where there are none.
set -euo pipefail
cuda=${CONURE_CUDA_HEADERS:-/usr/local/cuda/include}
if [ -z "${CONURE_TRT_HEADERS:-}" ]; then
    echo "engine.trt_headers: SKIPPED, compiled against no TensorRT: CONURE_TRT_HEADERS=FOLDER:FOLDER names folders of NvInfer.h and NvOnnxParser.h" >&2
    exit 77
fi
if [ ! -e "$cuda/cuda.h" ]; then
    echo "engine.trt_headers: SKIPPED, compiled against no TensorRT: no cuda.h in $cuda: CONURE_CUDA_HEADERS=FOLDER names its folder" >&2
    exit 77
fi
IFS=: read -ra folders <<<"$CONURE_TRT_HEADERS"
exec "$1/scripts/trt_headers.sh" "$cuda" "${folders[@]}"
