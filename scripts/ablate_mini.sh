#!/usr/bin/env bash
# Runs a table of ablations on the mini world: scripts/ablate_mini.sh TABLE [SEEDS]
# TABLE is V to XI of ERR-Seg's paper, or a system, such as deop. The scenes and the pretrained CLIP are those of
# quickstart.sh; they are made if they are missing. The table of DeOP needs a run of quickstart.sh --system deop.
# Runs `errseg mini ablate` in the environment of setup.sh.
set -euo pipefail

if (($# < 1)); then
    echo "usage: scripts/ablate_mini.sh TABLE [SEEDS]; TABLE is V, VI, VII, VIII, IX, X, XI or a system" >&2
    exit 2
fi
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
output=()
if [[ -n ${OUTPUT:-} ]]; then
    [[ $OUTPUT == /* ]] || OUTPUT=$PWD/$OUTPUT
    output=(--out "$OUTPUT")
fi
if [[ -n ${DETECTRON2_DATASETS:-} ]]; then
    DETECTRON2_DATASETS=$(realpath -m "$DETECTRON2_DATASETS")
    export DETECTRON2_DATASETS
fi
cd "$root"

exec "$python" -m errseg mini ablate "${output[@]}" "$@"
