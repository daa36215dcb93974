#!/bin/bash
# On the machine that trains: unpack, begin to synthesise, decode the recordings that came along, begin to train where
# there are arguments for it.  Synthesis and training go on after this returns.
# usage: device.sh FOLDER WORK_DIR SYNTH_WORKERS SYNTH_SECONDS TRAIN_ARGUMENTS...
# FOLDER holds the scripts, tts.tar.xz (libraries and voices), hibari.tar.xz, text.tsv.xz, real.tsv, tokenizer.model, whl/,
# and perhaps part.tar, and weights to begin with (*.npz, for --init).
# PYTHON names the interpreter.
set -e
from=$(realpath "$1") work=$(realpath -m "$2") workers=$3 seconds=$4
shift 4
mkdir -p "$work/shards" "$work/site"
cp "$from"/*.py "$from"/*.sh "$from/real.tsv" "$from/tokenizer.model" "$work/"
for w in "$from"/*.npz; do [ ! -f "$w" ] || cp "$w" "$work/"; done
tar -xJf "$from/tts.tar.xz" -C "$work"
tar -xJf "$from/hibari.tar.xz" -C "$work/site"
xz -dc "$from/text.tsv.xz" > "$work/text.tsv"
for w in "$from"/whl/*.whl; do "${PYTHON:-python3}" -m zipfile -e "$w" "$work/site"; done
cd "$work"
export PYTHONUNBUFFERED=1 PYTHON=${PYTHON:-python3}
CONURE_TTS=$work/tts PYTHONPATH=$work/site OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 LD_LIBRARY_PATH=$work/tts/lib:$LD_LIBRARY_PATH \
    setsid nohup "$PYTHON" synth.py text.tsv shards --workers "$workers" --seconds "$seconds" --seed "${SEED:-1}" > synth.log 2>&1 < /dev/null &
[ $# = 0 ] || setsid nohup bash processes.sh "$work" "$@" > processes.log 2>&1 < /dev/null &
[ ! -f "$from/part.tar" ] || bash real.sh "$from" "$work" a
