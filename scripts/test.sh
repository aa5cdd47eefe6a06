#!/usr/bin/env bash
# Runs the test suite in the environment of setup.sh. Arguments go to pytest: scripts/test.sh tests/modeling -k crm
# ERRSEG_DETECTRON2=real|compat picks the Detectron2 that it runs on.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$root"

# The web page is tested in a browser. On a Debian-like system, root (as in a CI container) installs it with apt.
has_chromium() { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null
if (($# == 0)) && ! has_chromium; then
    if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
        echo "test.sh: installing Chromium, for the tests of the web page …"
        { apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium; } >/dev/null 2>&1 || true
    fi
    has_chromium || echo "test.sh: there is no Chromium: the tests of the web page in a browser are skipped."
fi

# The models are tiny: one process per core with one thread each is faster than one process with many threads.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec "$python" -m pytest -q -n auto --maxprocesses 4 --dist worksteal "$@"
