#!/usr/bin/env bash
# Runs the test suite in the environment of setup.sh. Arguments go to pytest: scripts/test.sh tests/modeling -k crm
# ERRSEG_DETECTRON2=real|compat picks the Detectron2 that it runs on.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bash "$root/scripts/setup.sh"
venv=${ERRSEG_VENV:-$root/.venv}
[[ $venv == /* ]] || venv=$PWD/$venv
cd "$root"

# The models are tiny: one process per core with one thread each is faster than one process with many threads.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec "$venv/bin/python" -m pytest -q -n auto --maxprocesses 4 "$@"
