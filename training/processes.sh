#!/bin/bash
# One training process a GPU.  If one dies, all are begun again without graphs, from the last checkpoint.
# usage: processes.sh WORK_DIR TRAIN_ARGUMENTS...
work=$(realpath "$1")
shift
export WORLD_SIZE=$(nvidia-smi -L 2> /dev/null | wc -l) MASTER_ADDR=127.0.0.1 OMP_NUM_THREADS=2
[ "$WORLD_SIZE" -gt 0 ] || WORLD_SIZE=${PROCESSES:-1}
cd "$work"
try() {
    local pids=() ok=1
    for ((r = 0; r < WORLD_SIZE; r++)); do
        CUDA_VISIBLE_DEVICES=$r RANK=$r "${PYTHON:-python3}" train.py "$work" "$@" > "train$r.log" 2>&1 < /dev/null &
        pids+=($!)
    done
    for p in "${pids[@]}"; do
        wait -n || { ok=0; break; }
    done
    [ $ok = 1 ] || kill -9 "${pids[@]}"
    wait
    return $((1 - ok))
}
MASTER_PORT=29511 try "$@" && exit
for ((r = 0; r < WORLD_SIZE; r++)); do mv "train$r.log" "failed$r.log"; done
rm -f stop
MASTER_PORT=29512 try "$@" --eager $([ -f checkpoint.pt ] && echo --init checkpoint.pt --no-warmup)
