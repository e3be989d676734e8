#!/usr/bin/env bash
# Some runs of the exactly-once checker (test/chaos): prints "ok ..." and "FAIL ..." lines.
set -u
cd "$(dirname "$0")/../.." || exit 1
test/chaos/self_test.py || exit 1
exec test/chaos/chaos.py --build "${RASK_BUILD:-build}" --runs "${CHAOS_RUNS:-20}" --seed "${CHAOS_SEED:-1}"
