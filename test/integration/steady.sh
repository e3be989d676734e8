#!/usr/bin/env bash
# What a job takes per row once it is warm: next to no allocation and no page.  A library that is loaded into the worker counts
# malloc, calloc and realloc, the kernel counts the pages; both are asked twice while a job of the benchmarks runs.
# A sanitizer has an allocator of its own, so there is nothing to count under one.
# Prints "ok NAME" and "FAIL NAME" lines.
# shellcheck disable=SC2317
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/integration/cluster.bash
. test/integration/cluster.bash
limit=20 # allocations, and pages, in a million rows: a batch of 4,096 that cost one would make it 244

if [[ $(nm -D "$build/bin/rask-worker" 2>/dev/null) =~ __asan_|__tsan_ ]]; then
    echo "skipped: a sanitizer's own allocations would be counted"
    exit 0
fi
cat >"$top/count.c" <<'C'
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
static long own, *count = &own; /* own: until the file is there */

static void one(void) { __atomic_add_fetch(count, 1, __ATOMIC_RELAXED); }
void *malloc(size_t n) { one(); return __libc_malloc(n); }
void *calloc(size_t n, size_t size) { one(); return __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { one(); return __libc_realloc(p, n); }

__attribute__((constructor)) static void begin(void)
{
    int fd = strcmp(program_invocation_short_name, "rask-worker") ? -1 : open(getenv("COUNTED"), O_RDWR);
    void *p = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (p != MAP_FAILED)
        count = p;
}
C
run "${CC:-cc}" -shared -fPIC -O1 -o "$top/count.so" "$top/count.c"
check compiles_the_counter said 0 ""
for job_name in rows nexmark; do
    run "${CC:-cc}" -shared -fPIC -O2 -Iapi/include -I. -o "$top/$job_name.so" "bench/jobs/$job_name.c" -lm
    check "compiles_$job_name" said 0 ""
done
export COUNTED="$top/counted"
truncate -s 8 "$COUNTED"

configure 2 2000 </dev/null
start jm rask-jobmanager
LD_PRELOAD="$top/count.so" start tm rask-taskmanager
check cluster_is_up eventually has_taskmanagers 1

rows_read() { # most that a vertex of the job has read
    rest "/jobs/$job" 2>/dev/null | grep -o '"read-records":[0-9]*' | cut -d: -f2 | sort -n | tail -n 1
}
read_beyond() { # ROWS
    rows=$(rows_read)
    out="$rows rows read, waiting for $1; $(rest "/jobs/$job/exceptions")"
    [[ ${rows:-0} -gt $1 ]]
}
taken() { # sets allocations and pages, of the worker until now
    allocations=$(od -An -t d8 "$COUNTED")
    pages=$(awk '{print $10}' "/proc/$worker/stat")
}
# per_million WHAT BEFORE NOW ROWS: fewer than the limit
per_million() {
    out="$(($3 - $2)) $1 for $4 rows"
    (($3 > 0 && $4 > 0)) && ((($3 - $2) * 1000000 / $4 < limit))
}
# steady NAME ROWS ARGUMENT...: of so many rows, after twice as many
job=
steady() {
    local name=$1 n=$2 first a p
    shift 2
    check "${name}_is_submitted" submit -p 2 "$@"
    [[ ${#job} -eq 32 ]] || return
    check "${name}_gets_warm" eventually read_beyond $((2 * n))
    worker=$(worker_of tm)
    taken
    first=$rows a=$allocations p=$pages
    check "${name}_goes_on" eventually read_beyond $((first + n))
    taken
    check "${name}_allocates_nothing" per_million allocations "$a" "$allocations" $((rows - first))
    echo "# $name: $out"
    check "${name}_takes_no_pages" per_million pages "$p" "$pages" $((rows - first))
    echo "# $name: $out"
    rask cancel "$job"
    check "${name}_is_canceled" eventually state_is "$job" CANCELED
}
steady shuffle 100000000 "$top/rows.so" --way hash --rows 100000000000
steady keyed_sum 20000000 "$top/rows.so" --way sum --keys 100000 --rows 100000000000
steady strings 50000000 -D pipeline.operator-chaining.enabled=false "$top/nexmark.so" --query q0 --events 100000000000
exit $((failures > 0))
