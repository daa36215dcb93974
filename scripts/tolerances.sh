#!/usr/bin/env bash
# tolerances.sh [CONURE] - measure the files of tolerances/ anew, but for the published table: the noise of f32, bf16 and int8 on the
# small test model and on the embedded one, and where ONNX Runtime is found (CONURE_ORT_LIBRARY) of f16, which our own engine does not
# have.  Made-up features of 100 steps, then the clips of tests/data/audio.  Some minutes.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
conure=${1:-$root/build/conure}
unset CONURE_MODEL
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

measure() { # NAME CONTRACT-OPTION... : of the model in $model
    local name=$1 precision
    shift
    "$conure" contract derive "${model[@]}" "$@" -o "$folder/$name.contract.json"
    for precision in f32 bf16 int8; do
        "$conure" noise-floor "$folder/$name.contract.json" "${model[@]}" --candidate "cpu:$precision" --chunks 100 \
            --name "$name-$precision" -o "$root/tolerances/$name-$precision.json" "$root"/tests/data/audio/*.flac
    done
    [ -n "${CONURE_ORT_LIBRARY:-}" ] || return 0
    "$conure" export ranges "${model[@]}" -o "$folder/$name.ranges.json" "$root"/tests/data/audio/*.flac
    "$conure" noise-floor "$folder/$name.contract.json" "${model[@]}" --candidate "ort/cpu:f16@ranges=$folder/$name.ranges.json" --chunks 100 \
        --name "$name-f16" -o "$root/tolerances/$name-f16.json" "$root"/tests/data/audio/*.flac
}

model=(-m "$root/tests/data/models/tiny-v3.nemo")
measure tiny-v3 --chunk 8 --shift 1 --cache 64 --schedule export --profiles 121
model=() # the one in the program
measure embedded --chunk 6 --shift 3 --cache 256
