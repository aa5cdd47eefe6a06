#!/usr/bin/env bash
# Serves the web page: installs errseg where it is not yet, and runs `errseg web` with the arguments given.
#   scripts/web.sh --weights errseg_base.pth
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$python" "$root/tools/web.py" "$@"
