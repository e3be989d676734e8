/*
 * source.c - sources: an enumerator that finds splits and readers that read one split at a time.
 *
 * The enumerator is a task of parallelism 1; splits go down a SPLITS edge to whichever reader has room, so
 * readers pull.  A reader takes the next split from its gate when the one it reads is over.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/map.h"
#include "taskmanager/worker/operator/ops.h"
#include "taskmanager/worker/task/task.h"

struct waiting_split { /* given to this reader, not begun yet */
    struct list node;
    struct bytes id, position;
};

struct split_reader {
    bool active;
    struct rask_split_slot slot;
    struct bytes id;
    void *split_self;
    struct list waiting;
};

struct enumerator {
    struct map *known;
    bool discovered;
    uint64_t next_ns; /* of the next discovery */
    struct rask_splits found;
    struct list restored; /* splits that were found in an earlier life and that no reader had got */
};

/* State: of a reader its splits; of the enumerator what it knows. An element: u8 what, u32 length of the id, id, position. */
enum { SPLITS };
enum { SPLIT_GIVEN, SPLIT_HELD, DISCOVERED }; /* what: HELD: no reader has got it; DISCOVERED: no split, it has looked */
static const rask_state split_states[] = {{.kind = RASK_OPERATOR_LIST, .name = OP_STATE_SPLITS}, {0}};

static const rask_field split_fields[] = {{"id", RASK_T_BYTES, 0, 0, 0, NULL}, {"position", RASK_T_BYTES, 0, 0, 0, NULL}};
const rask_schema wk_split_schema = {RASK_ABI, 2, "split", split_fields};

static int source_of(struct wk_op *op, struct err *err)
{
    const Rask__Graph__OperatorSpec *spec = op->node->op;
    const char *name = wk_op_property(op, "connector", NULL);
    const struct connector *c;

    if (!name) {
        op->source = op->code;
        if (!op->source || op->source->abi != RASK_ABI || !op->source->poll)
            return err_set(err, ERR_INVALID, "source \"%s\" is no rask_source of ABI %u", op->node->name, RASK_ABI);
        return 0;
    }
    c = wk_task_connector(op, name);
    if (!c || !c->source)
        return err_set(err, ERR_NOT_FOUND, "source \"%s\": this worker has no connector \"%s\" to read with", op->node->name, name);
    op->source = c->source;
    op->connector.spec = spec;
    op->connector.code = op->code;
    op->ctx.args = &op->connector;
    op->ctx.args_size = sizeof(op->connector);
    return 0;
}

int wk_source_init(struct wk_op *op, struct err *err)
{
    int rc = source_of(op, err);

    if (rc != 0)
        return rc;
    op->adapter = MEM_NEW(struct split_reader);
    list_init(&((struct split_reader *)op->adapter)->waiting);
    op->ctx.states = split_states;
    op->connector.schema = op->ctx.out->schema;
    op->ctx.unwanted = ~strtoull(wk_op_property(op, "wanted", "ffffffffffffffff"), NULL, 16);
    op->ctx.self = op->source->self_size ? mem_alloc(op->source->self_size) : NULL;
    return 0;
}

/* ---- state ---- */

static void split_push(struct list *list, rask_str id, rask_str position)
{
    struct waiting_split *w = MEM_NEW(struct waiting_split);

    bytes_init(&w->id);
    bytes_init(&w->position);
    bytes_add(&w->id, id.data, id.len);
    bytes_add(&w->position, position.data, position.len);
    list_push_back(list, &w->node);
}

static void split_free(struct waiting_split *w)
{
    list_remove(&w->node);
    bytes_release(&w->id);
    bytes_release(&w->position);
    mem_free(w);
}

static void splits_drop(struct list *list)
{
    while (!list_empty(list))
        split_free(LIST_ENTRY(list->next, struct waiting_split, node));
}

static int save_split(struct wk_op *op, uint8_t what, rask_str id, rask_str position)
{
    struct bytes b;
    int rc;

    bytes_init(&b);
    bytes_add_u8(&b, what);
    bytes_add_u32(&b, id.len);
    bytes_add(&b, id.data, id.len);
    bytes_add(&b, position.data, position.len);
    rc = wk_state_list_add(op->state, SPLITS, b.data, b.len, &op->ctx.error);
    bytes_release(&b);
    return rc;
}

static bool saved_split(struct wk_op *op, uint32_t i, uint8_t *ret_what, rask_str *ret_id, rask_str *ret_position)
{
    rask_bytes e = wk_state_list_get(op->state, SPLITS, i);
    struct reader r = reader_of(e.data, e.len);

    *ret_what = reader_u8(&r);
    ret_id->len = reader_u32(&r);
    ret_id->data = (const char *)reader_take(&r, ret_id->len);
    ret_position->len = (uint32_t)reader_left(&r);
    ret_position->data = (const char *)r.at;
    return !r.bad;
}

static rask_str str_of(const struct bytes *b)
{
    return (rask_str){(const char *)b->data, (uint32_t)b->len};
}

/* ---- reader ---- */

static int begin_split(struct wk_op *op, rask_str id, rask_str position);

static int begin_next(struct wk_op *op)
{
    struct split_reader *r = op->adapter;
    struct waiting_split *w;
    int rc;

    if (r->active || list_empty(&r->waiting))
        return 0;
    w = LIST_ENTRY(r->waiting.next, struct waiting_split, node);
    rc = begin_split(op, str_of(&w->id), str_of(&w->position));
    split_free(w);
    return rc;
}

static int source_open(rask_op *ctx)
{
    struct wk_op *op = wk_op_of(ctx);
    struct split_reader *r = op->adapter;
    int rc = op->source->open ? op->source->open(ctx) : 0;

    for (uint32_t i = 0; i < wk_state_list_count(op->state, SPLITS) && rc == 0; i++) {
        rask_str id, position;
        uint8_t what;

        if (!saved_split(op, i, &what, &id, &position))
            return rask_fail(ctx, "a split in the restored state is damaged");
        split_push(&r->waiting, id, position);
    }
    return rc == 0 ? begin_next(op) : rc;
}

static int source_barrier(rask_op *ctx, uint64_t checkpoint)
{
    struct wk_op *op = wk_op_of(ctx);
    struct split_reader *r = op->adapter;
    int rc = 0;

    (void)checkpoint;
    wk_state_list_clear(op->state, SPLITS);
    if (r->active)
        rc = save_split(op, SPLIT_GIVEN, str_of(&r->id), str_of(&r->slot.position));
    LIST_FOREACH (n, &r->waiting) {
        struct waiting_split *w = LIST_ENTRY(n, struct waiting_split, node);

        if (rc == 0)
            rc = save_split(op, SPLIT_GIVEN, str_of(&w->id), str_of(&w->position));
    }
    return rc;
}

/* A row of the input is a split. */
static int source_process(rask_op *ctx, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    struct wk_op *op = wk_op_of(ctx);
    struct split_reader *r = op->adapter;
    rask_row row = rask_batch_row(in, from);

    (void)input;
    *ret_consumed = 1;
    split_push(&r->waiting, rask_string(&row, 0), rask_string(&row, 1));
    return begin_next(op);
}

static int begin_split(struct wk_op *op, rask_str id, rask_str position)
{
    struct split_reader *r = op->adapter;

    CHECK(!r->active);
    bytes_clear(&r->id);
    bytes_add(&r->id, id.data, id.len);
    bytes_clear(&r->slot.position);
    bytes_add(&r->slot.position, position.data, position.len);
    r->split_self = op->source->split_size ? mem_alloc(op->source->split_size) : NULL;
    r->slot.split = (rask_split){
        .id = {(const char *)r->id.data, (uint32_t)r->id.len},
        .position = {(const char *)r->slot.position.data, (uint32_t)r->slot.position.len},
        .self = r->split_self,
    };
    r->active = true;
    return op->source->open_split ? op->source->open_split(&op->ctx, &r->slot.split) : 0;
}

static void split_over(struct wk_op *op)
{
    struct split_reader *r = op->adapter;

    if (!r->active)
        return;
    if (op->source->close_split)
        op->source->close_split(&op->ctx, &r->slot.split);
    mem_free(r->split_self);
    r->split_self = NULL;
    r->active = false;
}

bool wk_source_reading(const struct wk_op *op)
{
    return ((const struct split_reader *)op->adapter)->active;
}

rask_str wk_source_position(const struct wk_op *op)
{
    const struct split_reader *r = op->adapter;

    return (rask_str){(const char *)r->slot.position.data, (uint32_t)r->slot.position.len};
}

int wk_source_poll(struct wk_op *op)
{
    struct split_reader *r = op->adapter;
    int rc;

    op->full = false;
    op->call_bytes = 0;
    op->in_call = true;
    wk_runnable_in(op->chain->host.runnable, op->ctx.name);
    rc = op->source->poll(&op->ctx, &r->slot.split, op->ctx.out);
    if (rc == RASK_END && !op->ctx.error.code) {
        split_over(op);
        if (begin_next(op) != 0)
            rc = -1;
    }
    op->in_call = false;
    wk_runnable_in(op->chain->host.runnable, NULL);
    arena_release(&op->ctx.scratch);
    if (rc < 0 || rc > RASK_END || op->ctx.error.code || op->chain->failed)
        return wk_op_failed(op, rc);
    wk_op_deliver(op);
    return rc;
}

static void source_close(rask_op *ctx)
{
    struct wk_op *op = wk_op_of(ctx);
    struct split_reader *r = op->adapter;

    split_over(op);
    if (op->source->close)
        op->source->close(ctx);
    splits_drop(&r->waiting);
    bytes_release(&r->id);
    bytes_release(&r->slot.position);
}

const rask_operator wk_source_op = {.abi = RASK_ABI,
                                    .name = OP_SOURCE,
                                    .open = source_open,
                                    .process = source_process,
                                    .on_barrier = source_barrier,
                                    .close = source_close};

/* ---- enumerator ---- */

static int give_split(struct wk_op *op, rask_str id, rask_str position)
{
    rask_out *out = op->ctx.out;
    int rc = rask_out_begin(out, &wk_split_schema);

    if (rc != 0)
        return rc;
    rask_out_string(out, 0, id);
    rask_out_string(out, 1, position);
    return rask_out_end(out);
}

static int add_split(struct rask_splits *found, rask_str id, rask_str position)
{
    struct wk_op *op = found->engine;
    struct enumerator *e = op->adapter;

    if (map_put(e->known, id.data, id.len, e))
        return 0;
    return give_split(op, id, position);
}

int wk_enumerator_init(struct wk_op *op, struct err *err)
{
    struct enumerator *e;
    int rc = source_of(op, err);

    if (rc != 0)
        return rc;
    if (!op->source->discover)
        return err_set(err, ERR_INVALID, "source \"%s\" has no discover function", op->node->name);
    e = MEM_NEW(struct enumerator);
    e->found = (struct rask_splits){add_split, op};
    list_init(&e->restored);
    op->adapter = e;
    op->ctx.states = split_states;
    op->connector.schema = &wk_split_schema;
    op->ctx.self = op->source->self_size ? mem_alloc(op->source->self_size) : NULL;
    return 0;
}

static int enumerator_open(rask_ctx *ctx)
{
    struct wk_op *op = wk_op_of(ctx);
    struct enumerator *e = op->adapter;

    e->known = map_new();
    for (uint32_t i = 0; i < wk_state_list_count(op->state, SPLITS); i++) {
        rask_str id, position;
        uint8_t what;

        if (!saved_split(op, i, &what, &id, &position))
            return rask_fail(ctx, "a split in the restored state is damaged");
        if (what == DISCOVERED) {
            e->discovered = true;
            continue;
        }
        map_put(e->known, id.data, id.len, e);
        if (what == SPLIT_HELD)
            split_push(&e->restored, id, position);
    }
    return 0;
}

/* Those that wait in the edge for a reader: whoever is restored gives them out again. */
static int save_held(struct wk_op *op)
{
    const struct wk_edge *edge = op->chain->edge_count > 0 ? op->chain->edges[0] : NULL;
    struct enumerator *e = op->adapter;
    int rc = 0;

    for (uint32_t i = 0; edge && i < edge->held_count; i++)
        for (uint32_t row = 0; row < edge->held[i]->rows && rc == 0; row++) {
            rask_row at = rask_batch_row(edge->held[i], row);

            rc = save_split(op, SPLIT_HELD, rask_string(&at, 0), rask_string(&at, 1));
        }
    LIST_FOREACH (n, &e->restored) {
        struct waiting_split *w = LIST_ENTRY(n, struct waiting_split, node);

        if (rc == 0)
            rc = save_split(op, SPLIT_HELD, str_of(&w->id), str_of(&w->position));
    }
    return rc;
}

static int enumerator_barrier(rask_op *ctx, uint64_t checkpoint)
{
    struct wk_op *op = wk_op_of(ctx);
    struct enumerator *e = op->adapter;
    int rc = 0;

    (void)checkpoint;
    wk_state_list_clear(op->state, SPLITS);
    if (e->discovered)
        rc = save_split(op, DISCOVERED, (rask_str){"", 0}, (rask_str){"", 0});
    for (struct map_iter it = map_iter(e->known); map_next(&it) && rc == 0;)
        rc = save_split(op, SPLIT_GIVEN, (rask_str){it.key, (uint32_t)it.key_len}, (rask_str){"", 0});
    return rc == 0 ? save_held(op) : rc;
}

/* What an earlier life had found and not given out. Negative: failed. */
static int give_restored(struct wk_op *op)
{
    struct enumerator *e = op->adapter;
    int rc = 0;

    while (rc == 0 && !list_empty(&e->restored)) {
        struct waiting_split *w = LIST_ENTRY(e->restored.next, struct waiting_split, node);

        rc = give_split(op, str_of(&w->id), str_of(&w->position));
        split_free(w);
    }
    return rc;
}

int wk_enumerator_step(struct wk_op *op, bool *ret_done)
{
    struct enumerator *e = op->adapter;
    struct wk_executor *ex = op->chain->host.runnable->executor;
    uint64_t now = ex->ops->now_ns(ex);
    int rc = 0;

    *ret_done = false;
    if (!list_empty(&e->restored)) {
        op->in_call = true;
        rc = give_restored(op);
        op->in_call = false;
        if (rc != 0)
            return wk_op_failed(op, rc);
        wk_op_deliver(op);
    }
    *ret_done = e->discovered && op->source->discover_ms <= 0;
    if (*ret_done)
        return 0;
    if (e->discovered && now < e->next_ns) {
        wk_task_wake_in(op, (int64_t)((e->next_ns - now) / 1000 + 1));
        return 0;
    }
    if (wk_op_blocked(op)) /* the readers have enough: their credit wakes this task */
        return 0;
    op->connector.readers = op->chain->edge_count > 0 ? op->chain->edges[0]->target_parallelism : 0;
    op->in_call = true;
    wk_runnable_in(op->chain->host.runnable, op->ctx.name);
    rc = op->source->discover(&op->ctx, &e->found);
    op->in_call = false;
    wk_runnable_in(op->chain->host.runnable, NULL);
    arena_release(&op->ctx.scratch);
    if (rc != 0 || op->ctx.error.code || op->chain->failed)
        return wk_op_failed(op, rc);
    wk_op_deliver(op);
    e->discovered = true;
    *ret_done = op->source->discover_ms <= 0;
    if (!*ret_done) {
        e->next_ns = now + (uint64_t)op->source->discover_ms * 1000000u;
        wk_task_wake_in(op, op->source->discover_ms * 1000);
    }
    return 0;
}

static int enumerator_process(rask_op *ctx, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    (void)input;
    (void)from;
    *ret_consumed = in->rows;
    return rask_fail(ctx, "an enumerator has no input");
}

static void enumerator_close(rask_op *ctx)
{
    struct enumerator *e = wk_op_of(ctx)->adapter;

    map_free(e->known);
    e->known = NULL;
    splits_drop(&e->restored);
}

const rask_operator wk_enumerator_op = {
    .abi = RASK_ABI, .name = OP_SOURCE_ENUMERATOR, .open = enumerator_open, .process = enumerator_process,
    .on_barrier = enumerator_barrier, .close = enumerator_close};
