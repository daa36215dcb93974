#!/usr/bin/env bash
# trt_headers.sh CUDA_INCLUDE FOLDER... - compile the engine trt's one file in C++ against each version of TensorRT's headers, with gcc and
# clang, warnings as errors, and print a table for docs/gpu-runs.md.  A FOLDER holds NvInfer.h and NvOnnxParser.h.  Nothing is run.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[ $# -ge 2 ] || { echo "trt_headers.sh: CUDA_INCLUDE FOLDER..." >&2; exit 2; }
cuda=$1
shift
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
failed=0
number() { # NAME FILE: what a macro is, through at most one other
    local value
    value=$(sed -n "s/^#define $1 *\([A-Za-z0-9_]*\).*/\1/p" "$2" | head -1)
    case $value in [0-9]*) echo "$value" ;; *) number "$value" "$2" ;; esac
}
echo "| headers | gcc | clang |"
echo "|---|---|---|"
for folder in "$@"; do
    file=$folder/NvInferVersion.h
    version=$(number NV_TENSORRT_MAJOR "$file").$(number NV_TENSORRT_MINOR "$file").$(number NV_TENSORRT_PATCH "$file")
    row="| $version"
    for compiler in g++ clang++; do
        if "$compiler" -std=c++17 -Wall -Wextra -Wshadow -Werror -O2 -fPIC -c "$root/src/engine/trt/runtime.cpp" -o "$out/runtime.o" \
            -I"$root/src" -I"$root/include" -isystem "$folder" -isystem "$cuda" 2>"$out/log"; then
            row="$row | compiles"
        else
            row="$row | fails"
            failed=1
            head -20 "$out/log" >&2
        fi
    done
    echo "$row |"
done
exit $failed
