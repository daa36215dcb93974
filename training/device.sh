#!/bin/bash
# On the machine that trains: unpack, begin to synthesise, decode the first recordings, begin to train.  All of it goes on
# after this returns.  usage: device.sh FOLDER WORK_DIR SYNTH_WORKERS SYNTH_SECONDS TRAIN_ARGUMENTS...
# FOLDER holds the scripts, tts.tar.xz (libraries and voices), text.tsv.xz, real.tsv, tokenizer.model, partA.tar, whl/.
set -e
from=$(realpath "$1") work=$2 workers=$3 seconds=$4
shift 4
mkdir -p "$work/shards"
cp "$from"/*.py "$from/real.tsv" "$from/tokenizer.model" "$work/"
tar -xJf "$from/tts.tar.xz" -C "$work"
xz -dc "$from/text.tsv.xz" > "$work/text.tsv"
cd "$work"
export CONURE_TTS=$work/tts OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONUNBUFFERED=1
LD_LIBRARY_PATH=$work/tts/lib setsid nohup python3 synth.py text.tsv shards --workers "$workers" --seconds "$seconds" > synth.log 2>&1 < /dev/null &
unset OMP_NUM_THREADS
setsid nohup python3 train.py "$work" "$@" > train.log 2>&1 < /dev/null &
python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$work/site" "$from"/whl/*.whl
mkdir -p partA && tar -xf "$from/partA.tar" -C partA
PYTHONPATH=$work/site python3 real.py partA real.tsv shards a --workers 6
