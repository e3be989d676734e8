#!/usr/bin/env bash
# clang-format over the C files that differ from main, or over all of them.
#   scripts/lint/format.sh [--all] [--check]      --check: changes nothing, names the files, fails if there are any
set -euo pipefail
CDPATH='' cd "$(dirname "$0")/../.."

tool=$(command -v clang-format-14 || command -v clang-format || true)
if [ -z "$tool" ]; then
    echo "format: needs clang-format 14; scripts/setup.sh --dev installs it" >&2
    exit 1
fi
all=no
check=no
for option in "$@"; do
    case $option in
    --all) all=yes ;;
    --check) check=yes ;;
    *)
        echo "format: unknown option '$option'" >&2
        exit 2
        ;;
    esac
done

base=$(git merge-base HEAD main 2>/dev/null || true)
if [ $all = yes ] || [ -z "$base" ]; then
    list() { git ls-files -co --exclude-standard -- '*.c' '*.h'; }
else
    list() {
        git diff --name-only --diff-filter=d "$base" -- '*.c' '*.h'
        git ls-files -o --exclude-standard -- '*.c' '*.h'
    }
fi
differing=0
while IFS= read -r file; do
    if [ $check = yes ]; then
        "$tool" --dry-run -Werror "$file" 2>/dev/null || {
            echo "$file: not formatted; make format does it"
            differing=$((differing + 1))
        }
    else
        "$tool" -i "$file"
    fi
done < <(list | sort -u)
[ $differing -eq 0 ]
