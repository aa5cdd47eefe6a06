#!/usr/bin/env bash
# Runs all of a system on two CPU cores; downloads only the packages. Draws a small world, pretrains a small CLIP on it,
# trains the system, evaluates it on seen and unseen names, and writes pictures.
#   scripts/quickstart.sh                  ERR-Seg, in about twelve minutes
#   scripts/quickstart.sh --system deop    DeOP, in three stages
#   OUTPUT  folder of the results (default: output/mini, or output/mini_deop). An interrupted run continues; a finished
#           run starts again.
#   DETECTRON2_DATASETS  where the scenes are drawn (default: datasets)
# Runs `errseg mini run` in the environment of setup.sh.
set -euo pipefail

usage() {
    echo "usage: scripts/quickstart.sh [--system SYSTEM]" >&2
    exit 2
}
system=errseg
while (($#)); do
    case $1 in
        --system) (($# > 1)) || usage; system=$2; shift ;;
        *) usage ;;
    esac
    shift
done

. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
arguments=("$system")
if [[ -n ${OUTPUT:-} ]]; then
    [[ $OUTPUT == /* ]] || OUTPUT=$PWD/$OUTPUT
    arguments+=(--out "$OUTPUT")
fi
if [[ -n ${DETECTRON2_DATASETS:-} ]]; then
    DETECTRON2_DATASETS=$(realpath -m "$DETECTRON2_DATASETS")
    export DETECTRON2_DATASETS
fi
cd "$root"
# More than a few threads do not make such small models faster.
cores=$(getconf _NPROCESSORS_ONLN)
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores < 8 ? cores : 8))}
exec "$python" -m errseg mini run "${arguments[@]}"
