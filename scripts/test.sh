#!/usr/bin/env bash
# Installs what is missing, builds, runs every test, and closes with one line: "N passed, N failed".
#   scripts/test.sh                       everything
#   scripts/test.sh --no-setup            without looking for packages (make test)
#   scripts/test.sh unit integration sim  only these suites
# Environment: VARIANT (release, asan, tsan ...), SEEDS (of the simulator), JOBS.
set -euo pipefail
CDPATH='' cd "$(dirname "$0")/.."
. scripts/counts.sh

setup=yes
if [ "${1:-}" = --no-setup ]; then
    setup=no
    shift
fi
suites=" ${*:-unit integration sim} "
export VARIANT=${VARIANT:-release}
build=build
if [ "$VARIANT" != release ]; then
    build=build/$VARIANT
    export UNIT_TIMEOUT=${UNIT_TIMEOUT:-240} # checkers take their time
fi
export RASK_BUILD=$PWD/$build
jobs=${JOBS:-$(nproc)}

if [ $setup = yes ]; then
    scripts/setup.sh --test
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "== build ($VARIANT)"
if ! make -j"$jobs" all >"$log" 2>&1; then
    grep -E 'error|Error' "$log" | head -n 30 || true
    tail -n 20 "$log"
    echo "0 passed, 1 failed"
    exit 1
fi
has() { case $suites in *" $1 "*) ;; *) return 1 ;; esac }
if has unit; then
    run_suite unit make -j"$jobs" unit
fi
if has integration && [ -d test/integration ]; then
    run_suite integration run_integration
fi
if has sim && compgen -G 'test/sim/*_main.c' >/dev/null; then
    run_suite sim make -j"$jobs" sim "SEEDS=${SEEDS:-50}"
fi
finish
