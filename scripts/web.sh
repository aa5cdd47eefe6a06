#!/usr/bin/env bash
# Serves the web page: installs errseg if it is missing, and runs `errseg web` with the same arguments.
#   scripts/web.sh --weights errseg_base.pth
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$python" "$root/tools/web.py" "$@"
