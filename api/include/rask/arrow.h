/*
 * rask/arrow.h - batches in and out through the Arrow C Data Interface.
 *
 * A batch is a struct array of its columns: BOOLEAN "b", TINYINT "c", SMALLINT "s", INT "i", BIGINT
 * "l", FLOAT "f", DOUBLE "g", DECIMAL "d:p,s" (128 bits), STRING "vu", BYTES "vz", DATE "tdD", TIME
 * "ttm", TIMESTAMP "tsm:", ARRAY "+l", MAP "+m", ROW "+s".  Event time, row kinds and hashes do not travel.
 *
 * Readable from C11 and C++17; includes libc alone.
 */
#ifndef RASK_ARROW_H
#define RASK_ARROW_H

#include <rask/batch.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The two structs as Arrow's specification gives them; the guard is Arrow's too. */
#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE           2
#define ARROW_FLAG_MAP_KEYS_SORTED    4

struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

#endif

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/*
 * Fills both structs, which the caller releases (their children may be moved out, as Arrow allows).
 * Columns are shared: the array holds the batch.  Copied are BOOLEAN, DECIMAL of up to 18 digits,
 * all of a selection, and what is inside cells where it does not lie in the order of the cells.
 */
void rask_batch_to_arrow(rask_batch *batch, struct ArrowSchema *schema, struct ArrowArray *array);

/*
 * Copies rows [from, from + rows) of a struct array into a new batch for `out`, to be handed on by
 * rask_emit_batch. rows <= RASK_BATCH_ROWS_MAX.  Columns are matched by place; formats are those
 * above, for strings also "u", "U", "z", "Z", for ARRAY "+L".  schema and array are borrowed.  Returns 0, or a
 * negative code with a text as rask_out_end does.
 */
int rask_batch_from_arrow(rask_out *out, const struct ArrowSchema *schema,
                          const struct ArrowArray *array, int64_t from, uint32_t rows,
                          rask_batch **ret);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
