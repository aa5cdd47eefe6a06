#!/usr/bin/env bash
# Makes the performance table of a GPU: predictions on A-847 at several batch sizes, and training steps.
set -euo pipefail

usage() {
    cat <<'HELP'
usage: scripts/benchmark_gpu.sh [CONFIG [KEY VALUE…]]

Measures on the first GPU and compares with the plain form in float32. Prints the required and the measured figures:
bfloat16 on A-847's names at batch 1 and at the best batch size, peak memory, and a training step of 4 images with AMP.
Also prints the least time that multiply-adds and bytes allow, and the time of each part. Uses random weights.

  CONFIG     a file, or the name of a packaged configuration (default: errseg_convnext_base)
  KEY VALUE  configuration keys

  BATCHES    batch sizes to try (default: 1,2,4,8,16,32)
  REPEATS    runs of each case (default: 30)
  OUTPUT     where JSON and charts go (default: output/benchmark_gpu)
  ERRSEG_PYTHON         the interpreter (default: that of the environment of scripts/setup.sh)
  CUDA_VISIBLE_DEVICES  which GPU
HELP
}
fail() {
    echo "benchmark_gpu.sh: $*" >&2
    exit 2
}

if [[ ${1:-} == --help || ${1:-} == -h ]]; then
    usage
    exit
fi
[[ ${1:-} != -* ]] || fail "there is no option $1; see --help."
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
config=${1:-errseg_convnext_base}
(($# == 0)) || shift
[[ -f $config || -f $root/configs/$config.yaml ]] ||
    fail "the config file $config does not exist; configs/ holds those that come with errseg."
if [[ -z ${ERRSEG_PYTHON:-} ]]; then
    # Do not start an installation, which takes minutes, where there is no driver for a GPU
    [[ -e /proc/driver/nvidia/version ]] || command -v nvidia-smi >/dev/null ||
        fail "there is no NVIDIA driver here; run it on a machine with a GPU."
fi
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
"$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null ||
    fail "torch sees no GPU; run it on a machine with one ($python -m errseg doctor reports details)."

output=${OUTPUT:-$root/output/benchmark_gpu}
[[ $output == /* ]] || output=$PWD/$output
common=("$python" "$root/tools/benchmark.py" --config "$config" --device cuda --form both)
[[ -z ${REPEATS:-} ]] || common+=(--repeats "$REPEATS")

"${common[@]}" --vocabulary ade20k_847 --precision bfloat16 --compile --batch "${BATCHES:-1,2,4,8,16,32}" \
    --json "$output/predict.json" --chart "$output/predict.png" "$@"
echo
"${common[@]}" --train --vocabulary coco_stuff_171 --precision float32,float16 --batch 4 \
    --json "$output/train.json" --chart "$output/train.png" "$@"
echo
exec "$python" "$root/tools/benchmark.py" --gpu-table "$output/predict.json" "$output/train.json"
