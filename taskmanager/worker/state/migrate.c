/*
 * migrate.c - values that a checkpoint kept under an older schema, as values of the one that the job declares now.
 * Columns are matched by name (schema_compatible); lists and maps are rewritten element by element.  Before the task runs.
 */
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/types/packed_struct.h"
#include "taskmanager/worker/state/state_private.h"

struct migration {
    struct packed_migration rows;
    bool from_slots, to_slots; /* kept without null bits */
    uint32_t time_bytes;       /* in front of each element of a list or map */
    enum rask_state_kind kind;
    struct bytes old, fresh, out;
};

struct migration *wk_migration_new(const rask_state *decl, const rask_schema *old)
{
    struct migration *m = MEM_NEW(struct migration);

    packed_migration_of(old, decl->schema, &m->rows);
    m->from_slots = packed_is_slots(old);
    m->to_slots = packed_is_slots(decl->schema);
    m->time_bytes = decl->ttl_ms > 0 ? sizeof(int64_t) : 0;
    m->kind = decl->kind;
    bytes_init(&m->old);
    bytes_init(&m->fresh);
    bytes_init(&m->out);
    return m;
}

void wk_migration_free(struct migration *m)
{
    if (!m)
        return;
    bytes_release(&m->old);
    bytes_release(&m->fresh);
    bytes_release(&m->out);
    mem_free(m);
}

static int add_row(struct migration *m, const uint8_t *data, size_t len, struct err *err)
{
    size_t skip = m->to_slots ? 8 : 0;
    int rc;

    if (m->from_slots) {
        bytes_clear(&m->old);
        bytes_add_u64(&m->old, 0);
        bytes_add(&m->old, data, len);
        data = m->old.data;
        len = m->old.len;
    }
    bytes_clear(&m->fresh);
    rc = packed_row_migrate(&m->rows, data, len, &m->fresh, err);
    if (rc == 0)
        bytes_add(&m->out, m->fresh.data + skip, m->fresh.len - skip);
    return rc;
}

/* Elements of a part that wk_container_check has accepted: time, lengths, key and value. */
static int add_elements(struct migration *m, struct reader *r, struct err *err)
{
    bool map = m->kind == RASK_MAP;
    int rc = 0;

    while (reader_left(r) > 0 && rc == 0) {
        const uint8_t *time = reader_take(r, m->time_bytes), *key, *value;
        uint32_t key_len = map ? reader_u32(r) : 0, len = reader_u32(r), fresh;
        size_t at;

        key = reader_take(r, key_len);
        value = reader_take(r, len);
        CHECK(!r->bad);
        bytes_add(&m->out, time, m->time_bytes);
        if (map)
            bytes_add_u32(&m->out, key_len);
        at = m->out.len;
        bytes_add_u32(&m->out, 0);
        bytes_add(&m->out, key, key_len);
        rc = add_row(m, value, len, err);
        fresh = (uint32_t)(m->out.len - at - 4 - key_len);
        memcpy(m->out.data + at, &fresh, sizeof(fresh));
    }
    return rc;
}

int wk_migrate(struct migration *m, struct ckpt_entry *e, struct err *err)
{
    struct reader r = reader_of(e->value, e->value_len);
    int rc;

    if (e->deleted)
        return 0;
    bytes_clear(&m->out);
    if (m->kind == RASK_LIST || m->kind == RASK_MAP) {
        if (e->part == 0)
            bytes_add(&m->out, reader_take(&r, 8), 8);
        rc = add_elements(m, &r, err);
    } else {
        rc = add_row(m, e->value, e->value_len, err);
    }
    e->value = m->out.data;
    e->value_len = (uint32_t)m->out.len;
    return rc;
}
