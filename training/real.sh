#!/bin/bash
# Decode the recordings in FOLDER/part.tar into shards of WORK_DIR.  usage: real.sh FOLDER WORK_DIR NAME
set -e
work=$(realpath -m "$2")
mkdir -p "$work/part-$3"
tar -xf "$1/part.tar" -C "$work/part-$3"
cd "$work"
PYTHONPATH=$work/site OMP_NUM_THREADS=1 "${PYTHON:-python3}" real.py "part-$3" real.tsv shards "$3" --workers 8
