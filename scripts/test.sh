#!/usr/bin/env bash
# test.sh [CTEST-ARGUMENT...] - build what is not built, then run the default tests (label quick).
#
#     scripts/test.sh                  all of them
#     scripts/test.sh -R tokenizer     those whose name matches
#     scripts/test.sh --build build/asan -R fuzz    in another build folder
#
# The default tests need neither ../shared nor a network.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=$root/build
if [ "${1:-}" = --build ]; then
    [ $# -ge 2 ] || { echo "test.sh: --build needs a folder" >&2; exit 2; }
    folder=$2
    shift 2
fi

"$root/scripts/packages.sh" install build test >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "== building $folder" >&2
if ! "$root/scripts/build.sh" "$folder" >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi
echo "== default tests" >&2
ctest --test-dir "$folder" -L '^quick$' -j "${CONURE_JOBS:-$(nproc)}" --output-on-failure --no-tests=error "$@"
