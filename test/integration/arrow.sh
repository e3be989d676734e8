#!/usr/bin/env bash
# The Arrow C Data Interface against pyarrow: random batches of every type, nested too, go from pyarrow into the engine
# and back, and are compared there.  Prints "ok NAME" and "FAIL NAME" lines.
#
# pyarrow: that of PYTHON (python3), or one that pip installs into build/pyarrow, once.  If that cannot be had (no pip, no
# package index, no wheel for this machine) the test says so and is skipped; RASK_REQUIRE_PYARROW=1 makes that a failure.
set -u
cd "$(dirname "$0")/../.." || exit 1
python=${PYTHON:-python3}
wanted=21.0.0
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT

without_pyarrow() { # WHY
    if [[ ${RASK_REQUIRE_PYARROW:-} == 1 ]]; then
        echo "FAIL pyarrow $wanted cannot be had: $1"
        exit 1
    fi
    echo "skipped: the round trip with pyarrow, for pyarrow $wanted cannot be had: $1"
    exit 0
}
has_pyarrow() { "$1" -c 'import pyarrow as pa; pa.string_view()' 2>/dev/null; }

if ! has_pyarrow "$python"; then
    venv=$PWD/build/pyarrow
    if ! has_pyarrow "$venv/bin/python"; then
        mkdir -p build
        rm -rf "$venv"
        "$python" -m venv "$venv" >"$top/pip" 2>&1 ||
            without_pyarrow "$(tail -n 1 "$top/pip" | cut -c 1-200)"
        timeout 200 "$venv/bin/pip" install -q --only-binary :all: "pyarrow==$wanted" >"$top/pip" 2>&1 ||
            without_pyarrow "$(tail -n 1 "$top/pip" | cut -c 1-200)"
    fi
    python=$venv/bin/python
fi

# The engine's types as a shared object, with the checks of UBSan. (ASan would have to be loaded before python.)
mapfile -t sources < <(find common/types common/base -name '*.c' ! -name 'schema_proto.c' ! -name '*_openssl.c')
if ! ${CC:-cc} -std=gnu11 -O1 -g -shared -fPIC -fvisibility=hidden -fsanitize=undefined -fno-sanitize-recover=all \
    -D_GNU_SOURCE -DRASK_ENGINE -I. -Iapi/include test/integration/arrow/bridge.c \
    "${sources[@]}" -lxxhash -lm -lpthread -o "$top/bridge.so" 2>"$top/errors"; then
    echo "FAIL the types as a shared object"
    head -n 20 "$top/errors"
    exit 1
fi
if timeout 100 "$python" test/integration/arrow/roundtrip.py "$top/bridge.so" "${SEEDS:-400}" >"$top/out" 2>&1; then
    cat "$top/out"
else
    grep -q '^FAIL' "$top/out" || echo "FAIL the round trip with pyarrow"
    tail -n 20 "$top/out"
    exit 1
fi
