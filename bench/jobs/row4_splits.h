/* row4_splits.h - the splits of jobs that read the rows of bench/rows.h: one struct row4_split each. */
#ifndef RASK_BENCH_ROW4_SPLITS_H
#define RASK_BENCH_ROW4_SPLITS_H

#include <rask/rask.h>

#include "bench/rows.h"

static int row4_discover(rask_splits *found, uint64_t splits, uint64_t rows, uint64_t keys)
{
    for (uint64_t i = 0; i < splits; i++) {
        struct row4_split s = row4_split_of(i, splits, rows, keys);
        int rc = rask_split_add(found, (rask_str){(const char *)&s, sizeof(s)}, (rask_str){"", 0});

        if (rc)
            return rc;
    }
    return 0;
}

#endif
