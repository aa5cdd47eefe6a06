#!/usr/bin/env bash
# Runs all of ERR-Seg in about twelve minutes on two CPU cores; downloads only the packages. Draws a small world,
# pretrains a small CLIP on it, trains ERR-Seg, evaluates it on seen and unseen names, and writes pictures.
#   OUTPUT  folder of the results (default: output/mini). An interrupted run continues; a finished run starts again.
#   DETECTRON2_DATASETS  where the scenes are drawn (default: datasets)
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
output=${OUTPUT:-$root/output/mini}
[[ $output == /* ]] || output=$PWD/$output
if [[ -n ${DETECTRON2_DATASETS:-} ]]; then
    DETECTRON2_DATASETS=$(realpath -m "$DETECTRON2_DATASETS")
    export DETECTRON2_DATASETS
fi
cd "$root"
# More than a few threads do not make such small models faster.
cores=$(getconf _NPROCESSORS_ONLN)
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores < 8 ? cores : 8))}

config=configs/mini/errseg_mini.yaml
sets=(mini_seen_sem_seg mini_unseen_sem_seg mini_large_sem_seg)
seconds=$output/.seconds # a line for each finished phase
if [[ -e $output/results.json ]]; then
    rm -rf "$output/errseg" "$output/ablations" "$output/clip.pt" "$output/results.json" "$seconds"
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

phase scenes "$python" -m errseg mini draw
phase clip "$python" -m errseg mini pretrain --out "$output/clip.pt"
phase train "$python" -m errseg train --config "$config" --resume \
    MODEL.CLIP.PRETRAINED "$output/clip.pt" OUTPUT_DIR "$output/errseg"
phase evaluate "$python" -m errseg evaluate --config "$config" --weights "$output/errseg/model_final.pth" \
    --dataset "${sets[@]}" --out "$output/errseg" MODEL.CLIP.PRETRAINED "$output/clip.pt"
echo "== report"
"$python" -m errseg mini report "$output" --config "$config" \
    --seconds "$(awk '{ total += $2 } END { print total }' "$seconds")"
