#!/usr/bin/env bash
# The linter's own test, then the linter; closes with "N passed, N failed" over both.
#   scripts/lint/run.sh BUILD_DIR
set -euo pipefail
CDPATH='' cd "$(dirname "$0")/../.."
. scripts/counts.sh

run_suite 'lint self-test' python3 test/lint/self_test.py
run_suite lint python3 scripts/lint/lint.py --build "${1:-build}"
finish
