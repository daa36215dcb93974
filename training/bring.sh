#!/bin/bash
# Copy what is to come back into OUT_DIR, in pieces of at most 15 MiB: the final model and the optimizer's second moments, or else the
# last checkpoint; the logs.  usage: bring.sh WORK_DIR OUT_DIR
set -- "$(realpath "$1")" "$(realpath "$2")"
cd "$1"
tar -cf "$2/logs.tar" *.log log*.txt run.json 2> /dev/null
[ -f final.pt ] && set -- "$1" "$2" final.pt moments.pt || set -- "$1" "$2" checkpoint.pt
for f in "${@:3}"; do [ -f "$f" ] && split -b 15m "$f" "$2/$f."; done
ls -la "$2"
