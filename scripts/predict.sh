#!/usr/bin/env bash
# Segments your own pictures: installs errseg where it is not yet, and runs `errseg predict` with the arguments given.
#   scripts/predict.sh photo.jpg --classes "dog, grass, sky" --weights errseg_base.pth
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$python" "$root/tools/predict.py" "$@"
