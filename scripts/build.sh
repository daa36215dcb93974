#!/usr/bin/env bash
# build.sh [FOLDER [CMAKE-OPTION...]] - configure and build in FOLDER (default: build).
#
# An existing configuration is kept, so options given once stay.  CONURE_JOBS: how many compilers run
# at a time (default: one per processor).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=${1:-$root/build}
[ $# -eq 0 ] || shift

if ! command -v cmake >/dev/null; then
    echo "build.sh: cmake is not installed; $root/scripts/quickstart.sh installs what is needed" >&2
    exit 1
fi
if [ ! -f "$folder/CMakeCache.txt" ]; then
    options=()
    if command -v ninja >/dev/null; then
        options+=(-G Ninja)
    fi
    if command -v ccache >/dev/null; then
        options+=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
    fi
    set -- "${options[@]}" "$@"
fi
if ! cmake -S "$root" -B "$folder" "$@"; then
    echo "build.sh: configuring failed.  If a package is missing, this names it:" >&2
    echo "    $root/scripts/packages.sh missing build" >&2
    echo "If $folder was configured otherwise before, remove it and try again." >&2
    exit 1
fi
cmake --build "$folder" -j "${CONURE_JOBS:-$(nproc)}"
