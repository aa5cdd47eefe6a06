# shellcheck shell=bash
# Sourced by the other scripts. Sets root (the checkout) and python (the interpreter of the environment of setup.sh).
# Makes the environment first if it is missing, unless dry_run is true. ERRSEG_PYTHON names another interpreter.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${ERRSEG_PYTHON:-}
if [[ -z $python ]]; then
    ${dry_run:-false} || bash "$root/scripts/setup.sh"
    venv=${ERRSEG_VENV:-$root/.venv}
    [[ $venv == /* ]] || venv=$PWD/$venv
    python=$venv/bin/python
elif [[ $python == */* && $python != /* ]]; then
    python=$PWD/$python
fi
