#!/usr/bin/env bash
# Evaluates weights on the paper's five data sets. Runs `errseg evaluate` in the environment of setup.sh.
set -euo pipefail

usage() {
    cat <<'HELP'
usage: scripts/evaluate.sh [OPTION…] CONFIG WEIGHTS [GPUS] [KEY VALUE…]

Evaluates on A-847, PC-459, A-150, PC-59 and PAS-20 and prints one table. A data set that is missing is an error.

  CONFIG    a file, or the name of a packaged configuration, such as errseg_convnext_base
  WEIGHTS   a checkpoint of errseg, or a released one
  GPUS      processes, each on a GPU (default: one process, on a GPU if there is one)
  KEY VALUE configuration keys, such as TEST.FLIP True; OUTPUT_DIR is where the results go

  --background             also evaluate on VOC with background (PAS-20b)
  --available              evaluate only on the data sets that are on disk
  --save-predictions DIR   write the predictions to DIR; existing ones are kept and scored
  --dry-run                print the command without running it
  --help

  ERRSEG_PYTHON            the interpreter (default: that of the environment of scripts/setup.sh)
  DETECTRON2_DATASETS      where the data sets are (default: datasets)
HELP
}
fail() {
    echo "evaluate.sh: $*" >&2
    exit 2
}

options=() positional=() dry_run=false
while (($#)); do
    case $1 in
        --background | --available) options+=("$1") ;;
        --save-predictions)
            (($# > 1)) || fail "--save-predictions needs a folder."
            options+=(--save-predictions "$2")
            shift
            ;;
        --dry-run) dry_run=true ;;
        --help | -h) usage && exit ;;
        --*) fail "there is no option $1; --help lists the options." ;;
        *) positional+=("$1") ;;
    esac
    shift
done
set -- "${positional[@]+"${positional[@]}"}"
(($# >= 2)) || fail "CONFIG and WEIGHTS are needed; see --help."
config=$1 weights=$2
shift 2
if [[ ${1:-} =~ ^[0-9]+$ ]]; then
    (($1 == 0)) || options+=(--gpus "$1")
    shift
fi

. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
command=("$python" -m errseg evaluate --config "$config" --weights "$weights" "${options[@]+"${options[@]}"}" "$@")
if $dry_run; then
    printf '%q ' "${command[@]}"
    echo
else
    exec "${command[@]}"
fi
