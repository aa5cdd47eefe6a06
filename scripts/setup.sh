#!/usr/bin/env bash
# Makes the virtual environment of this checkout. The first call takes minutes, later calls a moment.
#   PYTHON       the interpreter (default: that of the existing environment, or else the first of python3,
#                python3.13 … python3.10 that is new enough)
#   ERRSEG_VENV  the folder of the environment (default: .venv in the checkout)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${ERRSEG_VENV:-$root/.venv}
[[ $venv == /* ]] || venv=$PWD/$venv
complete=$venv/.errseg-complete # written last; holds the key of what was installed
begun=$venv/.errseg-begun       # exists from the first change to the last
log=$venv/setup.log

say() { echo "setup.sh: $*"; }
fail() {
    echo "setup.sh: $*" >&2
    exit 1
}

# Prints "3.11.7 /usr" for an interpreter or a virtual environment made with it; fails if it does not run.
identify() {
    "$1" -c 'import sys; print("%d.%d.%d " % sys.version_info[:3] + getattr(sys, "base_prefix", sys.prefix))' 2>/dev/null
}

recent() { [[ $1 =~ ^3\.([0-9]+)\. ]] && ((BASH_REMATCH[1] >= 10)); }

choose_python() {
    local found
    if [[ -n ${PYTHON:-} ]]; then
        python=$PYTHON
        identity=$(identify "$python") || fail "PYTHON=$PYTHON does not run: name a Python 3.10 or newer."
        recent "$identity" || fail "errseg needs Python 3.10 or newer, and PYTHON=$PYTHON is ${identity%% *}: name a newer one."
        return
    fi
    for python in "$venv/bin/python" python3 python3.13 python3.12 python3.11 python3.10; do
        if identity=$(identify "$python") && recent "$identity"; then return; fi
    done
    found=$(identify python3) && found="python3 here is ${found%% *}" || found="there is no python3 here"
    fail "errseg needs Python 3.10 or newer, and $found: install one and name it, as in PYTHON=python3.12 scripts/setup.sh"
}

free_gb() { df -Pk "$1" | awk 'NR == 2 { print int($4 / 1048576) }'; }

require_room() { # DIRECTORY GIGABYTES VARIABLE
    local free
    free=$(free_gb "$1")
    ((free >= $2)) || fail "the disk of $1 has $free GB free and the installation needs $2: free some, or set $3 to a directory elsewhere."
}

# Clears an environment of ours without a working Python; never changes one that we did not make.
make_venv() {
    if [[ -d $venv && ! -e $complete && ! -e $begun && -n $(ls -A "$venv") ]]; then
        [[ $(identify "$venv/bin/python") == "$identity" && -f $venv/pyvenv.cfg ]] ||
            fail "$venv exists and is no virtual environment of ${python}: move it away, or set ERRSEG_VENV to another directory."
    fi
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$python ($version) lacks the venv module: install it (Debian, Ubuntu: apt install python${version%.*}-venv), or name another Python with PYTHON=…"
    { mkdir -p "$venv" && touch "$begun" && rm -f "$complete" && : >"$log"; } 2>/dev/null ||
        fail "$venv cannot be written: check its owner and its disk, or set ERRSEG_VENV to another directory."
    if [[ $(identify "$venv/bin/python") != "$identity" ]]; then
        find "$venv" -mindepth 1 -maxdepth 1 ! -name "${begun##*/}" ! -name "${log##*/}" -exec rm -rf {} +
        "$python" -m venv "$venv" >>"$log" 2>&1 || explain
    elif ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        "$venv/bin/python" -m ensurepip >>"$log" 2>&1 || explain
    fi
}

# pip writes INSTALLER after a package's files. Without it the installation was cut off; pip would treat it as complete.
drop_half_installed() {
    local info
    for info in "$venv"/lib/python*/site-packages/*.dist-info; do
        [[ -e $info/INSTALLER ]] || rm -rf "$info"
    done
    rm -rf "$venv"/lib/python*/site-packages/~*
}

# Prints only the large downloads and the last step from pip's output.
progress() {
    local line
    while IFS= read -r line; do
        case $line in
            *"Downloading "*" MB"* | *"Using cached "*" MB"*)
                line=${line##*Downloading }
                line=${line##*Using cached }
                echo "  ${line##*/}"
                ;;
            "Installing collected packages"*) echo "  unpacking …" ;;
        esac
    done
}

pip_install() {
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off "$@" 2>&1 |
        tee -a "$log" | progress || explain
}

# Prints a sentence that says why the step that wrote the log failed.
explain() {
    if grep -qE 'No space left|Errno 28|Disk quota' "$log" || (($(free_gb "$venv") < 1)); then
        fail "the disk is full (${venv}: $(free_gb "$venv") GB free): free about 8 GB, or set ERRSEG_VENV and TMPDIR to directories elsewhere, and call again."
    elif grep -qE 'NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|Connection(Reset|Refused)?Error|Failed to establish|Could not fetch URL|not a trusted or secure host' "$log"; then
        fail "pip cannot reach the package index: check the network and 'pip config list' (index, proxy), and call again."
    fi
    fail "the installation failed ($(grep -E 'ERROR|Error' "$log" | tail -n 1)): see $log; the pinned versions are for Python 3.10 to 3.13, this is $version."
}

choose_python
version=${identity%% *}
key="$(cat "$root/requirements.txt" "$root/setup.py" "$root/pyproject.toml" | cksum) $identity $root"
up_to_date() { [[ -x $venv/bin/python && -f $complete && $(<"$complete") == "$key" ]]; }
if up_to_date; then exit 0; fi
if command -v flock >/dev/null; then # a second call at the same time waits for the first
    exec 9<"$root/requirements.txt"
    flock 9
    if up_to_date; then exit 0; fi
fi

interrupted=false
[[ ! -e $begun ]] || interrupted=true
make_venv
! $interrupted || drop_half_installed
if compgen -G "$venv/lib/python*/site-packages/torch-*.dist-info" >/dev/null; then
    say "bringing $venv up to date …"
else
    require_room "$venv" 8 ERRSEG_VENV
    require_room "${TMPDIR:-/tmp}" 3 TMPDIR
    say "Installing the pinned requirements into $venv (about 5 GB, once; takes some minutes) …"
fi
pip_install -r "$root/requirements.txt"
pip_install --no-deps -e "$root"
echo "$key" >"$complete.part"
mv "$complete.part" "$complete"
rm -f "$begun"
say "done."
