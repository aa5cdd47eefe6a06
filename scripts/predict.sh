#!/usr/bin/env bash
# Segments your own pictures: installs errseg if it is missing, and runs `errseg predict` with the same arguments.
#   scripts/predict.sh photo.jpg --classes "dog, grass, sky" --weights errseg_base.pth
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$python" "$root/tools/predict.py" "$@"
