#!/usr/bin/env bash
# From a bare Debian to a first result: installs the distribution's packages, builds, and counts the words of
# a real web server log in one process, without a daemon or a port.  May be repeated.
set -euo pipefail
CDPATH='' cd "$(dirname "$0")/.."

input=examples/data/access.log
output=build/quickstart.csv

scripts/setup.sh
echo "Building ..."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! make -j"$(nproc)" all >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    echo "quickstart: the build failed; its last lines are above" >&2
    exit 1
fi
job=(build/bin/rask run --target local examples/wordcount.c --input "$input" --output "$output")
echo "Running ${job[*]}"
begin=${EPOCHREALTIME/[.,]/}
if ! "${job[@]}" >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    echo "quickstart: the job failed; its last lines are above" >&2
    exit 1
fi
milliseconds=$(((${EPOCHREALTIME/[.,]/} - begin) / 1000))

# Each line is an update "word,count": the largest count of a word is its total. A word may hold commas.
export LC_ALL=C
echo
echo "The most frequent words of $(wc -l <"$input") lines, compiled and counted in $milliseconds ms:"
awk '{ i = match($0, /,[0-9]+$/); n[substr($0, 1, i - 1)] = substr($0, i + 1) }
     END { for (w in n) printf "%8d  %s\n", n[w], w }' "$output" | sort -k 1,1nr -k 2 | awk 'NR <= 8'
cat <<'TEXT'

What next:
  make demo                                  the same job on a cluster of three daemons, checked against awk
  scripts/start-cluster.sh                   a cluster that stays; scripts/stop-cluster.sh ends it
  build/bin/rask run examples/wordcount.c --input README.md
  README.md                                  a first job of your own in 20 lines
TEXT
