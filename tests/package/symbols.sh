#!/usr/bin/env bash
# symbols.sh SOURCE SHARED STATIC KIND - the header, cmake/conure.map and the shared library name the same
# functions; the core needs no library for audio files or HTTP; the static library stays in its name space.
set -euo pipefail
source=$1 shared=$2 static=$3 kind=$4
export LC_ALL=C
failed=0

complain() {
    echo "symbols.sh: $*" >&2
    failed=1
}

compare() { # WHAT LIST OTHER LIST
    local difference
    difference=$(diff <(echo "$2") <(echo "$4")) || complain "$1 (<) and $3 (>) differ:"$'\n'"$difference"
}

# Declarations start with CONURE_API and may go over several lines.
header=$(grep -v '^#' "$source/include/conure.h" | tr '\n' ' ' | grep -o 'CONURE_API[^;]*;' |
    sed -E 's/^[^(]*[ *](conure_[a-z0-9_]+)\(.*/\1/' | sort)
map=$(sed -nE 's/^ +(conure_[a-z0-9_]+);$/\1/p' "$source/cmake/conure.map" | sort)
library=$(nm -D --defined-only "$shared" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort)
[ "$(wc -w <<<"$header")" -ge 15 ] || complain "only $(wc -w <<<"$header") functions found in conure.h"
compare conure.h "$header" cmake/conure.map "$map"
compare conure.h "$header" "${shared##*/}" "$library"

needed=$(readelf -d "$shared" | sed -nE 's/.*\(NEEDED\).*\[(.*)\]/\1/p')
known='^(lib(c|m|z|yaml-0|jansson|nettle|utf8proc|protobuf-c|kissfft-float|pthread)|ld-linux.*)\.so'
ours='^conure_'
if [ "$kind" = trt ]; then # its one file in C++: the compiler's runtime, and inline functions of TensorRT's headers
    known="$known|^lib(stdc\+\+|gcc_s|dl)\.so"
    ours="$ours|^_Z[A-Z]*[0-9]*(8nvinfer1|12nvonnxparser)|^DW\.ref\.|^_ZNKSt|^_ZNSt|^_ZSt"
fi
if extra=$(grep -vE "$known" <<<"$needed"); then
    complain "${shared##*/} needs more than docs/dependencies.md grants the core: $extra"
fi
soname=$(readelf -d "$shared" | sed -nE 's/.*\(SONAME\).*\[(.*)\]/\1/p')
[ "$soname" = libconure.so.0 ] || complain "SONAME is $soname, expected libconure.so.0"

if foreign=$(nm -g --defined-only "$static" | awk 'NF == 3 { print $3 }' | grep -vE "$ours"); then
    complain "global names of ${static##*/} that do not start with conure_: $foreign"
fi

# What the library must not call: it never prints, exits, installs a handler or touches the locale.
loud='^(printf|vprintf|puts|putchar|perror|stdout|stderr|exit|_exit|_Exit|quick_exit|atexit|signal|sigaction|setlocale|uselocale|__printf_chk|__vprintf_chk|strtok|srand|rand|setenv|putenv|unsetenv|chdir|fork|system|popen)$'
if called=$(nm -D --undefined-only "$shared" | awk '{ sub(/@.*/, "", $2); print $2 }' | grep -E "$loud"); then
    complain "${shared##*/} uses $called: the library is quiet and keeps no global state"
fi
# Global state would be a symbol in a writable section; the compiler's own start-up code has three, C++ one more.
state=$(objdump -t "$shared" | awk 'NF > 3 && $(NF - 2) ~ /^\.t?(data|bss)$/ && $NF !~ /^(\.t?(data|bss)|__dso_handle|__TMC_END__|completed\.0|DW\.ref\.__gxx_personality_v0)$/ { print $NF }')
[ -z "$state" ] || complain "${shared##*/} keeps global state: $state"
[ $failed -eq 0 ] && echo "symbols.sh: pass: $(wc -l <<<"$header") functions"
exit $failed
