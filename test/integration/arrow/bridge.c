/*
 * bridge.c - a batch of another library in, moved about, and out again, through the Arrow C Data Interface.
 * A shared object for roundtrip.py.
 */
#include <rask/arrow.h>

#include <stdio.h>

#include "common/base/check.h"
#include "common/types/batch.h"

enum { ERROR_MAX = 512 };
enum how { AS_IT_IS, EVERY_SECOND, REVERSED, WITHOUT_FIRST, THROUGH_BYTES };

struct bridge {
    char *error;
    rask_batch *batch;
};

static int full(rask_out *out, void *arg)
{
    (void)out;
    (void)arg;
    return 0;
}
static int whole(rask_out *out, void *arg, rask_batch **batch)
{
    (void)out;
    ((struct bridge *)arg)->batch = *batch;
    *batch = NULL;
    return 0;
}
static int refused(rask_out *out, void *arg, const char *text)
{
    (void)out;
    snprintf(((struct bridge *)arg)->error, ERROR_MAX, "%s", text);
    return ERR_INVALID;
}

static rask_batch *through_bytes(struct pool *pool, const rask_batch *b)
{
    struct bytes bytes;
    rask_buffer *owner;
    rask_batch *got = NULL;
    struct err err;

    bytes_init(&bytes);
    batch_encode(b, 0, b->rows, &bytes);
    owner = pool_get(pool, bytes.len);
    memcpy(owner->data, bytes.data, bytes.len);
    CHECK(batch_decode(pool, b->schema, owner->data, bytes.len, owner, &got, &err) == 0);
    buffer_unref(owner);
    bytes_release(&bytes);
    return got;
}

static rask_batch *moved(struct pool *pool, rask_batch *b, enum how how)
{
    uint16_t *rows = mem_alloc_array(b->rows + 1, sizeof(*rows));
    rask_batch *m = NULL;

    for (uint32_t i = 0; i < b->rows; i++)
        rows[i] = (uint16_t)(how == EVERY_SECOND ? 2 * i : b->rows - 1 - i);
    if (how == EVERY_SECOND)
        m = batch_select(b, rows, (b->rows + 1) / 2);
    else if (how == REVERSED)
        m = batch_gather(pool, &b, 1, rows, b->rows);
    else if (how == WITHOUT_FIRST)
        m = batch_slice(b, 1, b->rows - 1);
    else
        m = how == THROUGH_BYTES ? through_bytes(pool, b) : batch_ref(b);
    mem_free(rows);
    return m;
}

__attribute__((visibility("default"))) void *bridge_pool(void);
__attribute__((visibility("default"))) int bridge_pool_free(void *pool);
__attribute__((visibility("default"))) int bridge(void *pool, const char *columns, const struct ArrowSchema *in_schema,
                                                  const struct ArrowArray *in, int64_t from, uint32_t rows, int how,
                                                  struct ArrowSchema *schema, struct ArrowArray *array, char *error);

void *bridge_pool(void)
{
    return pool_new(1 << 30);
}

/* After the last array was released. -1: something was not given back. */
int bridge_pool_free(void *pool)
{
    struct pool_stats stats;

    pool_stats(pool, &stats);
    if (stats.in_use_bytes)
        return -1;
    pool_free(pool);
    return 0;
}

/* Rows [from, from + rows) of a struct array, with these columns, come back as `how` says. error: ERROR_MAX bytes. */
int bridge(void *pool, const char *columns, const struct ArrowSchema *in_schema, const struct ArrowArray *in,
           int64_t from, uint32_t rows, int how, struct ArrowSchema *schema, struct ArrowArray *array, char *error)
{
    static const struct out_hooks hooks = {full, whole, refused};
    struct bridge bridge = {.error = error};
    const rask_schema *parsed;
    struct arena arena;
    rask_batch *b = NULL, *m;
    struct err err;
    rask_out *out;
    int rc;

    arena_init(&arena);
    rc = schema_parse(&arena, "rows", columns, &parsed, &err);
    if (rc) {
        snprintf(error, ERROR_MAX, "%s", err.text);
    } else {
        out = out_new(pool, parsed, 0, &hooks, &bridge);
        rc = rask_batch_from_arrow(out, in_schema, in, from, rows, &b);
        if (rc == 0)
            rc = rask_emit_batch(out, &b);
        if (rc == 0 && bridge.batch) {
            m = moved(pool, bridge.batch, (enum how)how);
            rask_batch_to_arrow(m, schema, array);
            batch_unref(m);
            batch_unref(bridge.batch);
        }
        out_free(out);
    }
    /* The exported batch still reads its schema when it is released: a test may keep that. */
    if (rc)
        arena_release(&arena);
    return rc;
}
