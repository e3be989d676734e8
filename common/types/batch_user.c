/*
 * batch_user.c - rask/make.h: how jobs make batches.  Thread: that of the subtask whose output is given.
 */
#include <rask/make.h>

#include "common/base/check.h"
#include "common/types/batch_private.h"

static rask_batch *shared(const rask_batch *b)
{
    return (rask_batch *)(uintptr_t)b; /* its count of references is changed, nothing else */
}

rask_batch *rask_batch_new(rask_out *out, uint32_t rows)
{
    CHECK(rows >= 1);
    CHECK(rows <= RASK_BATCH_ROWS_MAX);
    return batch_new_with_room(out_pool(out), out->schema, rows, RASK_BATCH_BUFFERS_MAX);
}

void rask_batch_omit(rask_batch *b, int column)
{
    static const rask_decimal128 zeros[RASK_BATCH_ROWS_MAX]; /* the widest cell */
    rask_column *c;

    CHECK(column >= 0);
    CHECK(column < b->schema->columns);
    CHECK(b->positions <= RASK_BATCH_ROWS_MAX);
    c = &b->columns[column];
    if (schema_is_nested(&b->schema->fields[column]))
        memset(c->data, 0, (uint64_t)b->positions * sizeof(rask_span)); /* its child stays what it is */
    else
        c->data = (void *)(uintptr_t)zeros; /* the owner is still that of all columns */
}

rask_batch *rask_batch_ref(const rask_batch *b)
{
    return batch_ref(shared(b));
}

void rask_batch_unref(rask_batch *b)
{
    batch_unref(b);
}

rask_batch *rask_batch_select(const rask_batch *b, const uint16_t *keep, uint32_t count)
{
    return batch_select(shared(b), keep, count);
}

rask_batch *rask_batch_slice(const rask_batch *b, uint32_t from, uint32_t rows)
{
    return batch_slice(shared(b), from, rows);
}

rask_batch *rask_batch_derive(rask_out *out, const rask_batch *b, const int16_t *columns)
{
    return batch_derive(out_pool(out), shared(b), out->schema, columns);
}

rask_batch *rask_batch_inside(rask_batch *b, int column, uint32_t rows)
{
    rask_column *c = &b->columns[column];

    CHECK((unsigned)column < b->schema->columns);
    CHECK(schema_is_nested(&b->schema->fields[column]));
    CHECK(c->child == NULL); /* a new column, and the first time */
    c->child = batch_new_with_room(b->pool, b->schema->fields[column].child, rows,
                                   RASK_BATCH_BUFFERS_MAX);
    return c->child;
}

rask_ts *rask_batch_times(rask_batch *b)
{
    CHECK(!((struct batch_full *)b)->parent); /* what it was made from has times, or none */
    if (!b->event_time.data) {
        rask_buffer *own = pool_get(b->pool, (uint64_t)b->positions * sizeof(rask_ts));

        b->event_time = (rask_column){.data = own->data, .owner = own};
    }
    return b->event_time.data;
}

rask_buffer *rask_buffer_new(rask_out *out, uint64_t bytes)
{
    rask_buffer *b;

    CHECK(bytes <= UINT32_MAX / 2); /* views count in 32 bits */
    b = pool_get(out_pool(out), bytes);
    b->used = (uint32_t)b->capacity; /* as far as readers are concerned */
    return b;
}

void rask_buffer_unref(rask_buffer *buffer)
{
    buffer_unref(buffer);
}

uint32_t rask_batch_hold(rask_batch *b, rask_buffer *buffer)
{
    return batch_add_buffer(b, buffer);
}
