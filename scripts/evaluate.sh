#!/usr/bin/env bash
# Evaluates weights on the paper's five data sets, in one run of tools/train_net.py.
set -euo pipefail

usage() {
    cat <<'HELP'
usage: scripts/evaluate.sh [OPTION…] CONFIG WEIGHTS [GPUS] [KEY VALUE…]

Evaluates on A-847, PC-459, A-150, PC-59 and PAS-20 and prints one table. A data set that is missing is an error.

  CONFIG    such as configs/errseg_convnext_base.yaml
  WEIGHTS   a checkpoint: errseg's, or a released one
  GPUS      processes, each on a GPU (default: one process, on a GPU if there is one)
  KEY VALUE configuration keys, such as TEST.FLIP True; OUTPUT_DIR is where the results go

  --background             VOC with background (PAS-20b) too
  --available              only those data sets that are there
  --save-predictions DIR   keep the predictions; what DIR has already is not predicted again
  --dry-run                print the command, and do not run it
  --help

  ERRSEG_PYTHON            the interpreter (default: that of the environment of scripts/setup.sh)
  DETECTRON2_DATASETS      where the data sets are (default: datasets)
HELP
}
fail() {
    echo "evaluate.sh: $*" >&2
    exit 2
}

sets=(ade20k_full_sem_seg_freq_val_all context_459_test_sem_seg ade20k_150_test_sem_seg context_59_test_sem_seg
    voc_2012_test_sem_seg)
options=() positional=() dry_run=false
while (($#)); do
    case $1 in
        --background) sets+=(voc_2012_test_background_sem_seg) ;;
        --available) options+=(--available) ;;
        --save-predictions)
            (($# > 1)) || fail "--save-predictions needs a folder."
            options+=(--save-predictions "$2")
            shift
            ;;
        --dry-run) dry_run=true ;;
        --help | -h) usage && exit ;;
        --*) fail "there is no option $1; --help lists those that there are." ;;
        *) positional+=("$1") ;;
    esac
    shift
done
set -- "${positional[@]+"${positional[@]}"}"
(($# >= 2)) || fail "CONFIG and WEIGHTS are needed; see --help."
config=$1 weights=$2
shift 2
if [[ ${1:-} =~ ^[0-9]+$ ]]; then
    (($1 == 0)) || options+=(--num-gpus "$1")
    shift
fi

. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
names=$(printf '"%s", ' "${sets[@]}")
command=("$python" "$root/tools/train_net.py" --config-file "$config" --eval-only "${options[@]+"${options[@]}"}"
    MODEL.WEIGHTS "$weights" DATASETS.TEST "(${names% })" "$@")
if $dry_run; then
    printf '%q ' "${command[@]}"
    echo
else
    exec "${command[@]}"
fi
