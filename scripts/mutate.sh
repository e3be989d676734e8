#!/bin/bash
# Shows that the simulator finds bugs: applies each mutation of test/sim/mutations.txt to a copy of the tree, builds, and
# runs seeds until one fails, or the unit test that the mutation names. Status 1 when a mutation is not found.
# usage: scripts/mutate.sh [SEEDS] [WORD]   (400; WORD: only mutations whose description has it)
set -eu
cd "$(dirname "$0")/.."
seeds=${1:-400} word=${2:-}
copy=$(mktemp -d "${TMPDIR:-/tmp}/rask-mutate.XXXXXX")
trap 'rm -rf "$copy"' EXIT
trap 'exit 1' INT TERM
make -s -j"$(nproc)" build/sim >/dev/null
git ls-files -z | xargs -0 cp -a --parents -t "$copy"
cp -a build "$copy/build"
missed=0 found=0

# Replaces the one place of $2 in file $1 by $3; \n stands for the end of a line.
replace() {
    OLD=$2 NEW=$3 perl -0777 -i -pe '
        BEGIN { ($old, $new) = map { s/\\n/\n/gr } @ENV{"OLD", "NEW"}; }
        $at = index($_, $old);
        die "$ARGV: the mutated line is not there\n" if $at < 0;
        die "$ARGV: the mutated line is there twice\n" if index($_, $old, $at + 1) >= 0;
        substr($_, $at, length $old) = $new;' "$copy/$1"
}

# First scenario that fails, and its seed; or the tests of a unit test's file. What takes too long has found nothing.
run() {
    local status=0
    if [ -n "$1" ]; then
        timeout 300 "$copy/build/test/unit/$1" >"$copy/out" 2>&1 || status=$?
        [ "$status" -ne 0 ] && [ "$status" -ne 124 ] || return 1
        echo "$1: $(sed -n 's/^\[  FAILED  \] \([a-z_]*\)$/\1/p' "$copy/out" | sort -u | paste -sd ' ')"
        return 0
    fi
    for scenario in cluster points credits quiet; do
        status=0
        timeout 300 "$copy/build/sim" "$scenario" --seeds "$seeds" >"$copy/out" 2>&1 || status=$?
        if [ "$status" -ne 0 ] && [ "$status" -ne 124 ]; then
            seed=$(grep -aoE '^(seed [0-9]+|again: sim [a-z]+ --seed [0-9]+)' "$copy/out" | grep -oE '[0-9]+' | head -1)
            echo "$scenario seed ${seed:-?}: $(grep -aE '^seed ' "$copy/out" | head -1 | cut -d: -f2- | cut -c1-90)"
            return 0
        fi
    done
    return 1
}

try() { # what file old new test
    case $1 in *"$word"*) ;; *) return 0 ;; esac
    cp -a "$copy/$2" "$copy/kept"
    replace "$2" "$3" "$4"
    if ! make -s -C "$copy" -j"$(nproc)" "build/${5:+test/unit/}${5:-sim}" >"$copy/log" 2>&1; then
        echo "DOES NOT BUILD  $1"
        tail -5 "$copy/log"
        missed=$((missed + 1))
    elif result=$(run "$5"); then
        echo "found   $1: $result"
        found=$((found + 1))
    else
        echo "MISSED  $1"
        missed=$((missed + 1))
    fi
    cp "$copy/kept" "$copy/$2" # with a new time, so that it is built again
}

what='' file='' old='' new='' test=''
while IFS= read -r line; do
    case $line in
    'what: '*) what=${line#what: } test='' ;;
    'test: '*) test=${line#test: } ;;
    'file: '*) file=${line#file: } ;;
    'old: '*) old=${line#old: } ;;
    'new: '*)
        new=${line#new: }
        try "$what" "$file" "$old" "$new" "$test" </dev/null
        ;;
    esac
done <test/sim/mutations.txt
echo "mutations: $found found, $missed missed"
[ "$missed" -eq 0 ]
