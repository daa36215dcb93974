#!/usr/bin/env bash
# packages.sh - the Debian 12 packages that Conure needs, by purpose; the only list of them.
#
#     scripts/packages.sh list build test        their names, one a line
#     scripts/packages.sh missing build          those of them that are not installed
#     scripts/packages.sh install build test     install what is missing
#     scripts/packages.sh python FOLDER          make a Python there with what tests/onnx and tests/gpu/rtx.py run graphs with;
#                                                CONURE_ORT_PYTHON and CONURE_RTX_PYTHON=FOLDER/bin/python3 name it
#
# Purposes: build (the library, the command, the tests), test (what the default tests run besides),
# fuzz (clang with libFuzzer and sanitizers), ci (what .ci/run runs besides).
set -euo pipefail

packages() {
    case $1 in
        build) cat <<-END
	build-essential
	cmake
	ninja-build
	pkg-config
	protobuf-c-compiler
	libcurl4-openssl-dev
	libjansson-dev
	libkissfft-dev
	libonnx-dev
	libprotobuf-c-dev
	libsndfile1-dev
	libsoxr-dev
	libutf8proc-dev
	libyaml-dev
	nettle-dev
	zlib1g-dev
	END
            ;;
        test) printf '%s\n' binutils python3 ;;
        fuzz) printf '%s\n' clang libclang-rt-dev llvm ;;
        ci) printf '%s\n' chromium clang-format git python3-venv valgrind ;;
        *) echo "packages.sh: no purpose '$1'; there are build, test, fuzz and ci" >&2; return 2 ;;
    esac
}

# Not from Debian, which has none of them: a folder of their own, and no test fails without them.
make_python() {
    python3 -m venv "$1"
    "$1/bin/pip" install --quiet --disable-pip-version-check numpy onnx==1.23.2 onnxruntime==1.32.0 onnx-asr==0.12.0 soundfile
    "$1/bin/pip" install --quiet --disable-pip-version-check tensorrt-rtx==1.7.1.116 ||
        echo "packages.sh: no TensorRT-RTX for this machine; its parser will not see the graphs" >&2
}

list() {
    local purpose
    for purpose in "$@"; do
        packages "$purpose"
    done
}

missing() {
    local name
    list "$@" | while read -r name; do
        dpkg-query -W -f '${db:Status-Status}\n' "$name" 2>/dev/null | grep -qx installed || echo "$name"
    done
}

install_missing() {
    local names root=()
    names=$(missing "$@")
    if [ -z "$names" ]; then
        return 0
    fi
    names=$(tr '\n' ' ' <<<"$names")
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "Not installed: $names" >&2
            echo "Neither root nor sudo: have them installed with  apt-get install $names" >&2
            return 1
        fi
        root=(sudo)
    fi
    echo "Installing: $names"
    # DEBIAN_FRONTEND: no question may wait for an answer that nobody gives.
    if ! { "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
           "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $names; } </dev/null; then
        echo "apt-get could not install them.  With network access, try:" >&2
        echo "    apt-get update && apt-get install $names" >&2
        return 1
    fi
}

command=${1:-}
[ $# -eq 0 ] || shift
if ! command -v dpkg-query >/dev/null && [ "$command" != list ]; then
    echo "packages.sh: this is not Debian (no dpkg-query).  Debian 12 calls what is needed:" >&2
    list "$@" | tr '\n' ' ' >&2
    echo >&2
    exit 1
fi
case $command in
    list) list "$@" ;;
    missing) missing "$@" ;;
    install) install_missing "$@" ;;
    python) make_python "${1:?a folder}" ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
