#!/usr/bin/env bash
# Segments your own pictures: installs errseg where it is not yet, and runs tools/predict.py with the arguments given.
#   scripts/predict.sh photo.jpg --classes "dog, grass, sky" --weights errseg_base.pth
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bash "$root/scripts/setup.sh"
venv=${ERRSEG_VENV:-$root/.venv}
[[ $venv == /* ]] || venv=$PWD/$venv
exec "$venv/bin/python" "$root/tools/predict.py" "$@"
