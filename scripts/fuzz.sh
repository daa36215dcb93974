#!/usr/bin/env bash
# fuzz.sh NAME SECONDS [LIBFUZZER-OPTION...] - run one fuzz target with clang's libFuzzer.
#
# Builds it in build-fuzz with AddressSanitizer and UndefinedBehaviorSanitizer.  Starts from
# fuzz/corpus/NAME, which it does not change; what it finds goes to CONURE_FUZZ_OUT (default:
# build-fuzz/found/NAME): corpus/ for new inputs, crash-* and the like for those that fail.
# Without arguments: lists the targets.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ $# -lt 2 ]; then
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
    echo "Targets:" >&2
    sed -n 's/^ *conure_fuzz(\([a-z0-9_]*\).*/    \1/p' "$root"/fuzz/*.cmake | sort >&2
    exit 2
fi
name=$1
seconds=$2
shift 2
folder=$root/build-fuzz
out=${CONURE_FUZZ_OUT:-$folder/found/$name}

"$root/scripts/packages.sh" install build fuzz >&2
if [ ! -f "$folder/CMakeCache.txt" ]; then
    generator=()
    ! command -v ninja >/dev/null || generator=(-G Ninja)
    CC=clang cmake -S "$root" -B "$folder" "${generator[@]}" -DCONURE_SANITIZE=address,undefined \
        -DCONURE_LIBFUZZER=ON >/dev/null
fi
cmake --build "$folder" -j "${CONURE_JOBS:-$(nproc)}" --target "fuzz_$name"
mkdir -p "$out/corpus"
exec "$folder/fuzz/fuzz_$name" -max_total_time="$seconds" -artifact_prefix="$out/" -print_final_stats=1 "$@" \
    "$out/corpus" "$root/fuzz/corpus/$name"
