/* inflight_io.c - see inflight_io.h. */
#include "taskmanager/worker/checkpoint/inflight_io.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/ckpt/ckpt_rows.h"
#include "common/types/buffer.h"
#include "taskmanager/worker/task/task.h"

#define SECTION_BYTES (1u << 20)
#define SENDER_PLACE  (1u << 31) /* what waited at the sender comes behind what the receiver had */

/* ---- out ---- */

static void add_schema(const rask_schema *schema, struct bytes *out)
{
    struct bytes text;

    bytes_init(&text);
    schema_format(schema, &text);
    ckpt_rows_begin(out, (rask_str){(const char *)text.data, (uint32_t)text.len});
    bytes_release(&text);
}

static void add_rows(const rask_batch *rows, struct bytes *out)
{
    size_t at = ckpt_rows_open_batch(out);

    batch_encode(rows, 0, rows->rows, out);
    ckpt_rows_close_batch(out, at);
}

static bool same_channel(const struct wk_inflight_rows *a, const struct wk_inflight_rows *b)
{
    return a->edge == b->edge && a->from == b->from && a->to == b->to && a->side == b->side;
}

bool wk_inflight_section(struct wk_inflight *f, const struct wk_edge_name *edges, uint64_t checkpoint, uint32_t *at,
                         struct ckpt_section *ret, struct bytes *payload)
{
    const struct wk_inflight_rows *first;
    const struct wk_edge_name *edge;

    if (*at == f->count)
        return false;
    if (*at == 0)
        wk_inflight_sort(f);
    first = &f->items[*at];
    edge = &edges[first->edge];
    *ret = (struct ckpt_section){.kind = CKPT_INFLIGHT, .state = "", .subtask = first->to, .to = checkpoint,
                                 .edge = edge->edge, .from_subtask = first->from};
    memcpy(ret->operator_id, edge->target.id, sizeof(ret->operator_id));
    /* numbers grow along the channel */
    ret->hash_first = ret->hash_last = *at | (first->side == WK_FROM_SENDER ? SENDER_PLACE : 0);
    bytes_clear(payload);
    add_schema(edge->schema, payload);
    for (; *at < f->count && same_channel(first, &f->items[*at]) && payload->len < SECTION_BYTES; (*at)++) {
        ret->rows += f->items[*at].rows->rows;
        add_rows(f->items[*at].rows, payload);
    }
    return true;
}

/* ---- in ---- */

bool wk_inflight_any(const struct ckpt_meta *m)
{
    for (uint32_t i = 0; i < m->section_count; i++)
        if (m->sections[i].kind == CKPT_INFLIGHT)
            return true;
    return false;
}

static const struct wk_edge_name *edge_of(const struct wk_task_host *host, const struct ckpt_section *s, uint32_t *ret_id)
{
    for (uint32_t i = 0; i < host->edge_count; i++) {
        const struct wk_edge_name *e = &host->edges[i];

        if (e->known && e->edge == s->edge && memcmp(e->target.id, s->operator_id, CKPT_OPERATOR_ID_BYTES) == 0) {
            *ret_id = i;
            return e;
        }
    }
    return NULL;
}

static bool is_own(const struct wk_task *t, uint32_t edge)
{
    for (uint32_t i = 0; i < t->chain.edge_count; i++)
        if (t->chain.edges[i]->id == edge)
            return true;
    return false;
}

static int compare(const void *a, const void *b)
{
    const struct ckpt_section *x = *(const struct ckpt_section *const *)a, *y = *(const struct ckpt_section *const *)b;
    uint64_t keys[2][3] = {{x->from_subtask, x->subtask, x->hash_first}, {y->from_subtask, y->subtask, y->hash_first}};

    for (int i = 0; i < 3; i++)
        if (keys[0][i] != keys[1][i])
            return keys[0][i] < keys[1][i] ? -1 : 1;
    return 0;
}

int wk_inflight_plan(const struct wk_task *t, const struct ckpt_meta *m, bool allow_dropped, struct arena *arena,
                     const struct ckpt_section ***ret, uint32_t *ret_count, struct err *err)
{
    const struct ckpt_section **list = arena_alloc(arena, (m->section_count + 1) * sizeof(struct ckpt_section *));
    uint32_t n = 0;

    for (uint32_t i = 0; i < m->section_count; i++) {
        const struct ckpt_section *s = &m->sections[i];
        const struct wk_edge_name *e;
        uint32_t id;

        if (s->kind != CKPT_INFLIGHT)
            continue;
        e = edge_of(t->host, s, &id);
        if (!e && !allow_dropped)
            return ckpt_edge_gone(m, s, err);
        if (e && is_own(t, id) && s->from_subtask % e->source.parallelism == t->subtask)
            list[n++] = s;
    }
    qsort(list, n, sizeof(struct ckpt_section *), compare);
    *ret = list;
    *ret_count = n;
    return 0;
}

static bool as_before(const struct ckpt_meta *m, const struct ckpt_operator *now)
{
    int at = ckpt_meta_find_operator(m, now->id);

    return at >= 0 && m->operators[at].parallelism == now->parallelism &&
           m->operators[at].max_parallelism == now->max_parallelism;
}

/* The rows go to the channel they were in, or, when there are others now, where the edge sends them. */
static uint32_t target_of(const struct ckpt_meta *m, const struct wk_edge_name *e, const struct ckpt_section *s)
{
    return !e->aligned_only && as_before(m, &e->source) && as_before(m, &e->target) && s->subtask < e->target.parallelism
               ? s->subtask
               : WK_ANY_SUBTASK;
}

static int check_schema(struct reader *r, const struct wk_edge_name *e, struct err *err)
{
    rask_str text;

    if (!ckpt_rows_take_schema(r, &text))
        return err_set(err, ERR_CORRUPT, "rows in flight to operator \"%s\": their schema is cut off", e->target.name);
    return ckpt_rows_match(e->target.name, text, e->schema, err);
}

static int take_rows(struct wk_task *t, uint32_t id, uint32_t target, struct reader *r, uint64_t *rows, struct err *err)
{
    rask_bytes data;
    rask_buffer *buffer;
    rask_batch *batch;
    int rc;

    if (!ckpt_rows_take_batch(r, &data))
        return err_set(err, ERR_CORRUPT, "rows in flight to operator \"%s\" are cut off", t->host->edges[id].target.name);
    buffer = pool_get(t->host->pool, MAX(data.len, 1u));
    memcpy(buffer->data, data.data, data.len);
    buffer->used = data.len;
    rc = batch_decode(t->host->pool, t->host->edges[id].schema, buffer->data, data.len, buffer, &batch, err);
    buffer_unref(buffer);
    if (rc != 0)
        return rc;
    if (batch->rows == 0 || batch->rows > RASK_BATCH_ROWS_MAX) {
        rc = err_set(err, ERR_CORRUPT, "a batch of %u rows in flight, 1 to %d are possible", batch->rows, RASK_BATCH_ROWS_MAX);
        batch_unref(batch);
        return rc;
    }
    *rows += batch->rows;
    wk_task_replay_add(t, id, target, batch);
    return 0;
}

int wk_inflight_take(struct wk_task *t, const struct ckpt_meta *m, const struct ckpt_section *s, const void *payload, size_t len,
                     struct err *err)
{
    struct reader r = reader_of(payload, len);
    uint64_t rows = 0;
    uint32_t id;
    const struct wk_edge_name *e = edge_of(t->host, s, &id);
    int rc;

    CHECK(e != NULL);
    rc = check_schema(&r, e, err);
    while (rc == 0 && reader_left(&r) > 0)
        rc = take_rows(t, id, target_of(m, e, s), &r, &rows, err);
    if (rc == 0 && rows != s->rows)
        rc = err_set(err, ERR_CORRUPT, "a section of rows in flight to operator \"%s\" has %llu, and says %llu", e->target.name,
                     (unsigned long long)rows, (unsigned long long)s->rows);
    return rc;
}
