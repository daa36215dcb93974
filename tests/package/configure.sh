#!/usr/bin/env bash
# configure.sh SOURCE CMAKE CC - folders of headers that are named wrongly end configuring, with the folder, the file and the way out.
# The headers are empty files: nothing is compiled with them.
set -euo pipefail
source=$1 cmake=$2 cc=$3
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
mkdir "$room/empty" "$room/trt" "$room/half"
touch "$room/trt/NvInfer.h" "$room/trt/NvOnnxParser.h" "$room/half/NvInfer.h"

refused() { # TEXT OPTION...
    local text=$1 said
    shift
    if "$cmake" -S "$source" -B "$room/build" -DCMAKE_C_COMPILER="$cc" -DCONURE_AUDIO=OFF -DCONURE_PULL=OFF -DCONURE_ONNX=OFF "$@" \
        >"$room/log" 2>&1; then
        echo "configure.sh: was configured with $*" >&2
        exit 1
    fi
    said=$(tr -s '\n ' ' ' <"$room/log") # CMake breaks lines
    case $said in
    *"$text"*) ;;
    *) cat "$room/log" >&2; echo "configure.sh: with $* it does not say: $text" >&2; exit 1 ;;
    esac
}

refused "CONURE_TENSORRT_INCLUDE=$room/half: NvInfer.h and NvOnnxParser.h are not both in this folder: name the one" \
    -DCONURE_TENSORRT_INCLUDE="$room/half"
refused "CONURE_CUDA_INCLUDE=$room/empty: cuda.h is not in this folder: name the one of the CUDA toolkit that holds it" \
    -DCONURE_TENSORRT_INCLUDE="$room/trt" -DCONURE_CUDA_INCLUDE="$room/empty"
echo "configure.sh: pass"
