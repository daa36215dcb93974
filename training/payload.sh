#!/bin/bash
# What device.sh unpacks on a machine that has PyTorch and a compiler but no speech: synthesisers with their voices, sentences, scripts.
# usage: payload.sh LINES.tsv TOKENIZER.model REAL.tsv SITE FOLDER
# SITE is a site-packages with hibari-tts 0.2.1; Debian's espeak-ng, libflite1 and xz-utils are installed; soundfile comes for Python 3.12.
# Recordings are added by hand: tar -cf FOLDER/part.tar *.opus, as much as may travel at once.
set -euo pipefail
lines=$1 tokenizer=$2 real=$3 site=$4 folder=$5
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) system=/usr/lib/$(gcc -print-multiarch)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir -p "$stage/tts/lib" "$stage/tts/espeak-ng-data" "$folder/whl"
for name in espeak-ng sonic flite flite_usenglish flite_cmulex flite_cmu_us_{slt,rms,awb,kal16}; do
    cp -L "$system/lib$name".so.? "$stage/tts/lib/"
done
(cd "$system/espeak-ng-data" && cp -r phondata phonindex phontab intonations en_dict voices lang "$stage/tts/espeak-ng-data/")

# Both link an audio output that speaking into memory never calls.  stub LIBRARY VERSION USER PATTERN: a library with what USER wants of it.
stub() {
    nm -D "$stage/tts/lib/$3" | awk '$1 == "U" {print $2}' | sed 's/@.*//' | grep -E "$4" > "$stage/symbols"
    sed 's/.*/int &(void) { return -1; }/' "$stage/symbols" > "$stage/stub.c"
    { echo "$2 { global:"; sed 's/$/;/' "$stage/symbols"; echo '};'; } > "$stage/stub.map"
    gcc -shared -fPIC -Wl,-soname,"$1" -Wl,--version-script="$stage/stub.map" -o "$stage/tts/lib/$1" "$stage/stub.c"
}
stub libpcaudio.so.0 '' libespeak-ng.so.1 audio
stub libasound.so.2 ALSA_0.9 libflite.so.1 '^snd_'

tar -cJf "$folder/tts.tar.xz" -C "$stage" tts
tar --exclude=__pycache__ -cJf "$folder/hibari.tar.xz" -C "$site" hibari hibari_tts-0.2.1.dist-info
python3 -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp --platform manylinux_2_28_x86_64 \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d "$folder/whl" soundfile cffi pycparser
xz -c "$lines" > "$folder/text.tsv.xz"
cp "$real" "$folder/real.tsv"
cp "$tokenizer" "$folder/tokenizer.model"
cp "$here"/*.py "$here"/*.sh "$folder/"
du -sh "$folder"
