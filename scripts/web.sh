#!/usr/bin/env bash
# Serves the web page: installs errseg where it is not yet, and runs tools/web.py with the arguments given.
#   scripts/web.sh --weights errseg_base.pth
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bash "$root/scripts/setup.sh"
venv=${ERRSEG_VENV:-$root/.venv}
[[ $venv == /* ]] || venv=$PWD/$venv
exec "$venv/bin/python" "$root/tools/web.py" "$@"
