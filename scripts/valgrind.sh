#!/usr/bin/env bash
# valgrind.sh BUILD [LOGS [REGEX]] - run default tests under valgrind's memcheck; any error or leak fails.
#
# Only tests that are programs of BUILD and whose name matches REGEX.  memcheck is 20 to 50 times slower
# than the program, so the default is a few that go through every part.  valgrind shows programs a
# processor without AVX-512, so they take the AVX2 path.  CONURE_VALGRIND_JOBS: how many at a time.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$(cd "${1:-$root/build}" && pwd)
logs=${2:-$build/valgrind}
regex=${3:-'^(base[._].*|memory|error|files|writer|threads|model_.*|tokenizer.*|words.*|tdt.*|fuzz\..*|alloc\..*)$'}
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
