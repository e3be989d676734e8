/*
 * manifest.h - LevelDB's MANIFEST, read and written: which table is on which level.
 *
 * A running LevelDB appends to it for ever and may be in the middle of that.  So a checkpoint takes what it says of the
 * tables that are current (property leveldb.sstables), and writes a short one.  Format: LevelDB's doc/log_format.md and
 * version_edit.cc (1.23).  Pure functions over memory.
 */
#ifndef WK_MANIFEST_H
#define WK_MANIFEST_H

#include "common/base/bytes.h"
#include "common/base/err.h"

struct wk_manifest_table {
    uint32_t number, level;
    uint64_t size;
};
/* What `leveldb.sstables` says. *ret: owned. */
int wk_manifest_parse_tables(const char *property, struct wk_manifest_table **ret, uint32_t *ret_count, struct err *err) MUST_CHECK;
/*
 * A manifest of those tables alone, from one that has named each of them. A record that is cut off at its end is no error; one
 * without a table is: ERR_UNAVAILABLE.
 */
int wk_manifest_rewrite(const void *data, size_t len, const struct wk_manifest_table *tables, uint32_t count,
                        struct bytes *out, struct err *err) MUST_CHECK;

/* Whether all blocks of a table (NNNNNN.ldb) have their checksums: ERR_CORRUPT if not. What is compressed is taken as it is. */
int wk_manifest_check_table(const void *data, size_t len, struct err *err) MUST_CHECK;

#endif
