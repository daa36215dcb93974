#!/usr/bin/env bash
# quickstart.sh - from a fresh Debian 12 to a transcript: installs the packages that are missing, builds
# build/conure, transcribes a clip with the embedded model.
#
# The progress goes to standard error, the transcript alone to standard output.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
clip=tests/data/audio/goforward.flac # one that the embedded model gets right

say() {
    printf '== %s\n' "$*" >&2
}

say "1/3 packages"
"$root/scripts/packages.sh" install build >&2

say "2/3 building $root/build"
"$root/scripts/build.sh" "$root/build" >&2

say "3/3 build/conure transcribe $clip"
cd "$root"
exec build/conure transcribe "$clip"
