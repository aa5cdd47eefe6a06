#!/usr/bin/env bash
# Runs all of a system on two CPU cores; downloads only the packages. Draws a small world, pretrains a small CLIP on it,
# trains the system, evaluates it on seen and unseen names, and writes pictures.
#   scripts/quickstart.sh                  ERR-Seg, in about twelve minutes
#   scripts/quickstart.sh --system deop    DeOP, in three stages
#   OUTPUT  folder of the results (default: output/mini, or output/mini_deop). An interrupted run continues; a finished
#           run starts again.
#   DETECTRON2_DATASETS  where the scenes are drawn (default: datasets)
set -euo pipefail

usage() {
    echo "usage: scripts/quickstart.sh [--system errseg|deop]" >&2
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
case $system in
    errseg) folder=mini ;;
    deop) folder=mini_deop ;;
    *) usage ;;
esac

. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
output=${OUTPUT:-$root/output/$folder}
[[ $output == /* ]] || output=$PWD/$output
if [[ -n ${DETECTRON2_DATASETS:-} ]]; then
    DETECTRON2_DATASETS=$(realpath -m "$DETECTRON2_DATASETS")
    export DETECTRON2_DATASETS
fi
cd "$root"
# More than a few threads do not make such small models faster.
cores=$(getconf _NPROCESSORS_ONLN)
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores < 8 ? cores : 8))}

config=configs/mini/${system}_mini.yaml
sets=(mini_seen_sem_seg mini_unseen_sem_seg mini_large_sem_seg)
seconds=$output/.seconds # a line for each finished phase
if [[ -e $output/results.json ]]; then
    rm -rf "$output/"{errseg,stage1,stage2,deop,ablations,clip.pt,results.json} "$seconds"
fi
mkdir -p "$output"

phase() { # NAME COMMAND...: runs a command once, and records its time
    local name=$1 start=$SECONDS
    shift
    if grep -qs "^$name " "$seconds"; then
        echo "== $name: done before"
        return
    fi
    echo "== $name"
    "$@"
    echo "$name $((SECONDS - start))" >>"$seconds"
    echo "== $name took $((SECONDS - start)) s"
}

train() { # CONFIG FOLDER [KEY VALUE...]
    local file=$1 run=$2
    shift 2
    "$python" -m errseg train --config "$file" --resume MODEL.CLIP.PRETRAINED "$output/clip.pt" OUTPUT_DIR "$run" "$@"
}

phase scenes "$python" -m errseg mini draw
if [[ $system == errseg ]]; then
    phase clip "$python" -m errseg mini pretrain --out "$output/clip.pt"
    phase train train "$config" "$output/errseg"
else
    prompt=(MODEL.PROMPT.WEIGHTS "$output/stage1/model_final.pth")
    phase clip "$python" -m errseg mini pretrain --tower vit --out "$output/clip.pt"
    phase stage1 train configs/mini/deop_mini_stage1.yaml "$output/stage1"
    phase stage2 train configs/mini/deop_mini_stage2.yaml "$output/stage2" "${prompt[@]}"
    phase stage3 train "$config" "$output/deop" "${prompt[@]}" \
        MODEL.PROPOSALS.WEIGHTS "$output/stage2/model_final.pth"
fi
phase evaluate "$python" -m errseg evaluate --config "$config" --weights "$output/$system/model_final.pth" \
    --dataset "${sets[@]}" --out "$output/$system" MODEL.CLIP.PRETRAINED "$output/clip.pt"
echo "== report"
"$python" -m errseg mini report "$output" --config "$config" \
    --seconds "$(awk '{ total += $2 } END { print total }' "$seconds")"
