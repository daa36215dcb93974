#!/usr/bin/env bash
# valgrind.sh BUILD [LOGS [REGEX]] - run default tests under valgrind's memcheck; any error or leak fails.
#
# Only tests that are programs of BUILD and whose name matches REGEX; and, without REGEX, the command on a
# short clip and a tiny model, in float32 and in int8.  memcheck is 20 to 50 times slower than the program,
# so the default is a few that go through every part.  valgrind knows no AVX-512: it shows programs a
# processor without, and the command is told --isa avx2.  CONURE_VALGRIND_JOBS: how many at a time.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$(cd "${1:-$root/build}" && pwd)
logs=${2:-$build/valgrind}
regex=${3:-'^(base_(error|memory|threads|files|writer)|model\.(panels|config|nemo_(files|tar|zip|weights|config))|tokenizer|words|backend_weight|engine\.spec|audio_clips|cli\.(options|output)|wer_input|fuzz\..*)$'}
mkdir -p "$logs"
if ! command -v valgrind >/dev/null; then
    echo "valgrind.sh: valgrind is not installed; $root/scripts/packages.sh install ci" >&2
    exit 1
fi

# One line a test: name, folder to run in, words of the command, between tabs.
ctest --test-dir "$build" -L '^quick$' --show-only=json-v1 | python3 -c '
import json, re, sys
build, regex = sys.argv[1:]
for test in json.load(sys.stdin)["tests"]:
    folder = next((p["value"] for p in test["properties"] if p["name"] == "WORKING_DIRECTORY"), build)
    if re.search(regex, test["name"]) and test["command"][0].startswith(build):
        print(test["name"], folder, *test["command"], sep="\t")
' "$build" "$regex" >"$logs/list"
if [ -z "${3:-}" ] && [ -x "$build/conure" ]; then
    for precision in f32 int8; do
        printf '%s\t' "transcribe.$precision" "$root" "$build/conure" transcribe --isa avx2 --threads 2 --precision $precision \
            -f json -m tests/data/models/tiny-v3.nemo | sed 's/$/tests\/data\/audio\/cards_001.flac\n/'
    done >>"$logs/list"
fi
[ -s "$logs/list" ] || { echo "valgrind.sh: no test matches $regex" >&2; exit 1; }

one() {
    local name folder command status=0 start=$SECONDS
    IFS=$'\t' read -r -a words <<<"$1"
    name=${words[0]} folder=${words[1]} command=("${words[@]:2}")
    (cd "$folder" && valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite,indirect \
        --show-leak-kinds=definite,indirect "${command[@]}") >"$2/$name.log" 2>&1 || status=$?
    case $status in
        0) echo "valgrind: $name: pass ($((SECONDS - start)) s)" ;;
        77) echo "valgrind: $name: skipped" ;;
        *) tail -n 60 "$2/$name.log"; echo "valgrind: $name: FAIL ($status)"; return 1 ;;
    esac
}
export -f one
tr '\n' '\0' <"$logs/list" | xargs -0 -P "${CONURE_VALGRIND_JOBS:-$(nproc)}" -I{} bash -c 'one "$1" "$2"' _ {} "$logs"
