#!/usr/bin/env bash
# From a bare Debian to a first result: installs the distribution's packages, builds, and counts the words of
# a real web server log in one process, without a daemon or a port.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
echo "quickstart: building"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! make -j"$(nproc)" all >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    echo "quickstart: the build failed; its last lines are above" >&2
    exit 1
fi
echo "quickstart: build/bin/rask run --target local examples/wordcount.c --input examples/data/access.log"
build/bin/rask run --target local examples/wordcount.c --input examples/data/access.log
