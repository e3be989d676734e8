#!/usr/bin/env bash
# A flame graph of a command and its children: bench/flame.sh [-o FILE.svg] [-t SECONDS] COMMAND...
#
#     bench/flame.sh -o shuffle.svg build/bin/rask run --target local -p 2 build/bench/jobs/rows.so --way hash
#
# Samples with perf for the whole of the command, or for the first SECONDS; writes the picture (flame.svg), and prints the
# functions with the most time of their own.  Needs perf (Debian: linux-perf) and Python 3.
set -u
here=${BASH_SOURCE[0]%/*}
svg=flame.svg
seconds=
while getopts o:t: option; do
    case $option in
    o) svg=$OPTARG ;;
    t) seconds=$OPTARG ;;
    *) exit 1 ;;
    esac
done
shift $((OPTIND - 1))
if [[ $# -eq 0 ]]; then
    sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 1
fi
if ! command -v perf >/dev/null; then
    echo "flame.sh: there is no perf; Debian has it in linux-perf" >&2
    exit 1
fi
top=$(mktemp -d) || exit 1
trap 'rm -rf "$top"' EXIT
# A job runs from a copy that is gone afterwards: its symbols are found by its build id.
for word; do
    [[ $word != *.so || ! -f $word ]] || perf --buildid-dir "$top" buildid-cache -a "$word"
done
# Frame pointers are kept in all programs and jobs: cheap stacks, complete.
if ! perf record -q --buildid-mmap -F 997 -g -o "$top/data" -- ${seconds:+timeout -s INT "$seconds"} "$@" >&2; then
    [[ -n $seconds && -s $top/data ]] || exit 1
fi
perf --buildid-dir "$top" script -i "$top/data" -F comm,tid,ip,sym 2>/dev/null | python3 "${here:-.}/flame.py" "$svg"
