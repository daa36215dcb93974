#!/usr/bin/env bash
# consumer.sh BUILD CMAKE CC CXX - install into a staged folder, then build and run programs against what
# was installed, in C and in C++, by pkg-config and by find_package, shared and static.
#
# The folder is moved after installing: nothing may remember where it was.
set -euo pipefail
build=$1 cmake=$2 cc=$3 cxx=$4
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
model=$here/../data/models/tiny-v3.nemo
strict="-Wall -Wextra -Werror -pedantic"
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT

fail() {
    echo "consumer.sh: $*" >&2
    exit 1
}

"$cmake" --install "$build" --prefix "$room/staged" >"$room/log" 2>&1 || { cat "$room/log" >&2; fail "install failed"; }
mv "$room/staged" "$room/prefix"
prefix=$room/prefix
if grep -rIlF -e "$room/staged" -e "$build" "$prefix"; then
    fail "installed files name the folder that they were built in or installed to"
fi
[ "$(cd "$prefix/include" && echo *)" = conure.h ] || fail "include/ holds more than conure.h"
pc=$(find "$prefix" -name conure.pc)
libdir=$(dirname "$(dirname "$pc")")
export PKG_CONFIG_PATH=${pc%/*} LD_LIBRARY_PATH=$libdir

run() { # PROGRAM: it works, and says the version that pkg-config says
    local said
    said=$("$1" "$model") || fail "${1##*/} failed"
    [ "$said" = "conure $(pkg-config --modversion conure): 13 frames" ] || fail "${1##*/} said: $said"
}

# The header alone.
printf '#include <conure.h>\nint conure_test_unit;\n' | tee "$room/alone.c" >"$room/alone.cc"
for standard in c11 c17; do
    "$cc" -std=$standard $strict -I"$prefix/include" -fsyntax-only "$room/alone.c"
done
for standard in c++11 c++17 c++20; do
    "$cxx" -std=$standard $strict -I"$prefix/include" -fsyntax-only "$room/alone.cc"
done

# pkg-config.
"$cc" -std=c11 $strict "$here/consumer.c" -o "$room/shared_c" $(pkg-config --cflags --libs conure)
run "$room/shared_c"
"$cxx" -std=c++17 $strict "$here/consumer.cc" -o "$room/shared_cc" $(pkg-config --cflags --libs conure)
run "$room/shared_cc"
"$cc" -std=c11 $strict $(pkg-config --cflags conure) "$here/consumer.c" -o "$room/static_c" \
    $(pkg-config --static --libs conure | sed 's/-lconure/-l:libconure.a/')
run "$room/static_c"
if readelf -d "$room/static_c" | grep -F libconure; then
    fail "the statically linked program asks for libconure.so"
fi

# find_package.
CC=$cc CXX=$cxx "$cmake" -S "$here/project" -B "$room/project" -DCMAKE_PREFIX_PATH="$prefix" >"$room/log" 2>&1 &&
    "$cmake" --build "$room/project" >>"$room/log" 2>&1 || { cat "$room/log" >&2; fail "find_package failed"; }
for program in consumer_c consumer_cc consumer_static; do
    run "$room/project/$program"
done

# The command, its manual and its completion scripts.
if [ -x "$prefix/bin/conure" ]; then
    [ "$("$prefix/bin/conure" --version)" = "conure $(pkg-config --modversion conure)" ] || fail "conure --version"
    for file in man/man1/conure.1 man/man1/conure-transcribe.1 bash-completion/completions/conure \
        zsh/site-functions/_conure fish/vendor_completions.d/conure.fish; do
        [ -s "$prefix/share/$file" ] || fail "share/$file is missing or empty"
    done
    bash -n "$prefix/share/bash-completion/completions/conure" || fail "the completion script for bash has an error"
    if command -v man >/dev/null; then
        for page in "$prefix"/share/man/man1/*.1; do
            said=$(LC_ALL=C.UTF-8 man --warnings=w -l "$page" 2>&1 >"$room/page") && [ -s "$room/page" ] && [ -z "$said" ] ||
                fail "${page##*/}: $said"
        done
    fi
fi
echo "consumer.sh: pass"
