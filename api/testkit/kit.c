/* kit.c - the functions of rask/testkit.h. */
#include <string.h>

#include "api/testkit/kit.h"
#include "api/runtime.h"
#include "common/base/check.h"

extern const rask_schema wk_split_schema;

/* ---- life ---- */

rask_kit *rask_kit_new(rask_kit_build *build, const rask_schema *in, const rask_schema *in2)
{
    rask_kit *kit = MEM_NEW(rask_kit);

    CHECK(build != NULL);
    kit->build = build;
    kit->in_schema[0] = in;
    kit->in_schema[1] = in2;
    kit->pool = pool_new(0);
    kit->budget.limit_bytes = KIT_STATE_BYTES;
    arena_init(&kit->arena);
    kit_world_init(&kit->world, kit->pool, &kit->budget);
    wk_task_init(&kit->task, &kit->world.host, &kit->world.executor);
    wk_gate_init(&kit->task.gate, &kit->task.run, 0);
    kit->task.name = mem_strdup("test (1/1)");
    for (int i = 0; i < 2; i++)
        if (kit->in_schema[i])
            kit->in[i] = out_new(kit->pool, kit->in_schema[i], BATCH_EVENT_TIME | BATCH_KIND, &kit_in_hooks, kit);
    return kit;
}

void rask_kit_param(rask_kit *kit, const char *name, const char *value)
{
    CHECK(!kit->built);
    CHECK(kit->param_count + 2 <= 2 * KIT_PARAMS_MAX);
    kit->params[kit->param_count++] = mem_printf("--%s", name);
    kit->params[kit->param_count++] = mem_strdup(value);
}

static void free_outputs(rask_kit *kit)
{
    rask_kit_clear(kit);
    for (uint32_t i = 0; i < kit->output_count; i++) {
        mem_free(kit->outputs[i].batches);
        bytes_release(&kit->outputs[i].text);
    }
    mem_free(kit->outputs);
}

void rask_kit_free(rask_kit *kit)
{
    if (!kit)
        return;
    wk_chain_close(&kit->task.chain);
    /* The collectors' rows are the kit's. */
    for (uint32_t i = 0; i < kit->task.chain.op_count; i++)
        for (uint32_t k = 0; k < kit->output_count; k++)
            if (kit->task.chain.ops[i]->ctx.self == &kit->outputs[k])
                kit->task.chain.ops[i]->ctx.self = NULL;
    wk_task_release(&kit->task);
    free_outputs(kit);
    out_free(kit->in[0]);
    out_free(kit->in[1]);
    for (uint32_t i = 0; i < kit->split_count; i++) {
        bytes_release(&kit->splits[i].id);
        bytes_release(&kit->splits[i].position);
    }
    mem_free(kit->splits);
    for (int i = 0; i < kit->param_count; i++)
        mem_free(kit->params[i]);
    rask_env_free(kit->env);
    arena_release(&kit->arena);
    pool_free(kit->pool);
    mem_free(kit);
}

const char *rask_kit_error(const rask_kit *kit)
{
    return kit->err.code ? kit->err.text : "";
}

static int keep_error(rask_kit *kit)
{
    if (kit->task.chain.failed && !kit->err.code)
        kit->err = kit->task.chain.error;
    return kit->err.code;
}

int rask_kit_open(rask_kit *kit)
{
    if (!kit->built) {
        kit->built = true;
        if (kit_build(kit) == 0) {
            kit->opened = true;
            (void)wk_chain_open(&kit->task.chain);
        }
    }
    return keep_error(kit);
}

/* ---- input ---- */

static int run(rask_kit *kit)
{
    enum wk_chain_result r = wk_chain_run(&kit->task.chain, UINT64_MAX);

    CHECK(r == WK_CHAIN_EMPTY || r == WK_CHAIN_FAILED);
    return keep_error(kit);
}

static int head_input(const rask_kit *kit, int input)
{
    return kit->in_schema[0] ? input : 0;
}

/* The batch is taken. */
static int feed(rask_kit *kit, int input, rask_batch *b)
{
    if (rask_kit_open(kit) != 0 || kit->ended) {
        batch_unref(b);
        return kit->err.code ? kit->err.code
                             : err_set(&kit->err, ERR_STATE, "rows were given to a test after rask_kit_end");
    }
    wk_chain_feed(&kit->task.chain, head_input(kit, input), b);
    return run(kit);
}

static int in_full(rask_out *out, void *arg)
{
    rask_kit *kit = arg;
    rask_batch *b = out_take(out);

    return b ? feed(kit, out == kit->in[1], b) : 0;
}
static int in_batch(rask_out *out, void *arg, rask_batch **batch)
{
    rask_kit *kit = arg;
    rask_batch *b = *batch;

    *batch = NULL;
    return feed(kit, out == kit->in[1], b);
}
static int in_refused(rask_out *out, void *arg, const char *text)
{
    rask_kit *kit = arg;

    return kit->err.code ? kit->err.code
                         : err_set(&kit->err, ERR_INVALID, "input %d of the test: %s", out == kit->in[1], text);
}
const struct out_hooks kit_in_hooks = {in_full, in_batch, in_refused};

rask_out *rask_kit_in(rask_kit *kit, int input)
{
    CHECK(input == 0 || input == 1);
    CHECK(kit->in[input] != NULL); /* rask_kit_new was given no schema for this input */
    return kit->in[input];
}

int rask_kit_push(rask_kit *kit)
{
    int rc = rask_kit_open(kit);

    for (int i = 0; i < 2 && rc == 0; i++)
        if (kit->in[i])
            rc = in_full(kit->in[i], kit);
    return rc;
}

static int control(rask_kit *kit, enum wk_element_type type, int64_t value)
{
    int rc = rask_kit_push(kit);

    if (rc != 0)
        return rc;
    wk_chain_control(&kit->task.chain, type, value);
    return run(kit);
}

int rask_kit_watermark(rask_kit *kit, rask_ts watermark)
{
    return control(kit, WK_WATERMARK, watermark);
}
int rask_kit_barrier(rask_kit *kit, uint64_t checkpoint)
{
    return control(kit, WK_BARRIER, (int64_t)checkpoint);
}
int rask_kit_idle(rask_kit *kit, bool idle)
{
    return control(kit, WK_STATUS, idle);
}

int rask_kit_end(rask_kit *kit)
{
    int rc = rask_kit_push(kit);

    if (rc != 0 || kit->ended)
        return rc;
    for (int i = 0; i < 2 && rc == 0; i++)
        if (kit->in[i] && wk_chain_input_ended(&kit->task.chain, i) != 0)
            rc = keep_error(kit);
    kit->ended = true;
    if (rc == 0)
        rc = control(kit, WK_WATERMARK, RASK_TS_MAX);
    return rc == 0 ? control(kit, WK_END, 0) : rc;
}

void rask_kit_set_time(rask_kit *kit, rask_ts now)
{
    (void)rask_kit_push(kit);
    kit->world.wall_ms = kit->task.wall_ms = now;
    if (kit->err.code == 0 && !kit->ended)
        (void)run(kit); /* timers */
}

/* ---- sources ---- */

static int add_split(struct rask_splits *found, rask_str id, rask_str position)
{
    rask_kit *kit = found->engine;
    struct kit_split *s;

    for (uint32_t i = 0; i < kit->split_count; i++)
        if (kit->splits[i].id.len == id.len && memcmp(kit->splits[i].id.data, id.data, id.len) == 0)
            return 0;
    if (kit->split_count == kit->split_room) {
        kit->split_room = MAX(16, kit->split_room * 2);
        kit->splits = mem_realloc(kit->splits, kit->split_room * sizeof(*kit->splits));
    }
    s = &kit->splits[kit->split_count++];
    *s = (struct kit_split){0};
    bytes_add(&s->id, id.len ? id.data : "", id.len);
    bytes_add(&s->position, position.len ? position.data : "", position.len);
    return 0;
}

static int discover(rask_kit *kit)
{
    struct wk_op *op = kit->task.chain.ops[0];
    struct rask_splits found = {add_split, kit};
    int rc;

    if (!kit->task.chain.ops[0]->source)
        return err_set(&kit->err, ERR_STATE, "rask_kit_read: operator \"%s\" is no source", op->node->name);
    if (kit->discovered)
        return 0;
    kit->discovered = true;
    rc = op->source->discover(&op->ctx, &found);
    if (rc != 0 || op->ctx.error.code)
        (void)wk_op_failed(op, rc);
    return keep_error(kit);
}

static int open_split(rask_kit *kit, const struct kit_split *s)
{
    rask_out *row = out_new(kit->pool, &wk_split_schema, 0, &kit_in_hooks, kit);
    int rc = rask_out_begin(row, &wk_split_schema);

    rask_out_string(row, 0, (rask_str){(const char *)s->id.data, (uint32_t)s->id.len});
    rask_out_string(row, 1, (rask_str){(const char *)s->position.data, (uint32_t)s->position.len});
    if (rc == 0)
        rc = rask_out_end(row);
    if (rc == 0)
        rc = feed(kit, 0, out_take(row));
    out_free(row);
    return rc;
}

static int poll_split(rask_kit *kit, struct kit_split *s)
{
    struct wk_op *head = kit->task.chain.ops[0];
    rask_str position;
    int rc;

    kit->task.wall_ms = kit->world.wall_ms;
    rc = wk_source_poll(head);
    if (rc < 0)
        return keep_error(kit);
    position = wk_source_position(head);
    bytes_clear(&s->position);
    bytes_add(&s->position, position.len ? position.data : "", position.len);
    if (run(kit) != 0)
        return kit->err.code;
    s->over = rc == RASK_END;
    if (rc == RASK_WAIT && !kit_world_wait(&kit->world))
        return err_set(&kit->err, ERR_TIMEOUT,
                       "the source \"%s\" returned RASK_WAIT and nothing woke it: rask_wake_in, or a descriptor that "
                       "becomes readable",
                       head->node->name);
    return 0;
}

int rask_kit_read(rask_kit *kit, uint64_t rows)
{
    int rc = rask_kit_open(kit);

    if (rc == 0)
        rc = discover(kit);
    while (rc == 0 && !rask_kit_is_over(kit) && kit->outputs[0].rows < rows) {
        struct kit_split *s = &kit->splits[kit->split_now];

        if (s->over)
            kit->split_now++;
        else if (!wk_source_reading(kit->task.chain.ops[0]))
            rc = open_split(kit, s);
        else
            rc = poll_split(kit, s);
    }
    return rc;
}

bool rask_kit_is_over(const rask_kit *kit)
{
    for (uint32_t i = 0; i < kit->split_count; i++)
        if (!kit->splits[i].over)
            return false;
    return kit->discovered;
}

int rask_kit_restart(rask_kit *kit)
{
    struct wk_op *head;
    int rc = rask_kit_push(kit);

    if (rc != 0)
        return rc;
    head = kit->task.chain.ops[0];
    if (!head->source)
        return err_set(&kit->err, ERR_STATE, "rask_kit_restart: operator \"%s\" is no source", head->node->name);
    wk_chain_close(&kit->task.chain);
    if (head->ctx.self)
        memset(head->ctx.self, 0, head->source->self_size);
    (void)wk_chain_open(&kit->task.chain);
    return keep_error(kit);
}

/* ---- output ---- */

static struct kit_rows *rows_of(rask_kit *kit, int side)
{
    (void)rask_kit_push(kit);
    if (side < RASK_KIT_MAIN || (uint32_t)(side + 1) >= kit->output_count)
        return NULL;
    return &kit->outputs[side + 1];
}

uint64_t rask_kit_rows(rask_kit *kit, int side)
{
    const struct kit_rows *r = rows_of(kit, side);

    return r ? r->rows : 0;
}

rask_row rask_kit_row(rask_kit *kit, int side, uint64_t i)
{
    const struct kit_rows *r = rows_of(kit, side);
    uint32_t b = 0;

    CHECK(r != NULL);
    CHECK(i < r->rows);
    while (i >= r->batches[b]->rows)
        i -= r->batches[b++]->rows;
    return rask_batch_row(r->batches[b], (uint32_t)i);
}

static void add_line(const rask_row *row, struct bytes *out)
{
    for (uint32_t c = 0; c < row->batch->schema->columns; c++) {
        if (c > 0)
            bytes_add_u8(out, ',');
        if (rask_is_null(row, (int)c))
            bytes_add_str(out, "null");
        else
            batch_format_cell(row->batch, c, row->position, out);
    }
    bytes_add_u8(out, '\n');
}

const char *rask_kit_text(rask_kit *kit, int side)
{
    struct kit_rows *r = rows_of(kit, side);

    if (!r)
        return "";
    bytes_clear(&r->text);
    bytes_add_str(&r->text, "");
    for (uint32_t b = 0; b < r->count; b++)
        for (uint32_t i = 0; i < r->batches[b]->rows; i++) {
            rask_row row = rask_batch_row(r->batches[b], i);

            add_line(&row, &r->text);
        }
    return (const char *)r->text.data;
}

void rask_kit_clear(rask_kit *kit)
{
    for (uint32_t i = 0; i < kit->output_count; i++) {
        struct kit_rows *r = &kit->outputs[i];

        for (uint32_t b = 0; b < r->count; b++)
            batch_unref(r->batches[b]);
        r->count = 0;
        r->rows = 0;
    }
}

rask_ts rask_kit_watermark_out(rask_kit *kit)
{
    const struct kit_rows *r = rows_of(kit, RASK_KIT_MAIN);

    return r ? r->watermark : RASK_TS_MIN;
}

static int64_t counted(struct map *counters, const char *name)
{
    const struct rask_counter *c = counters ? map_get_str(counters, name) : NULL;

    return c ? rask_counter_value(c) : 0;
}

int64_t rask_kit_counter(rask_kit *kit, const char *name)
{
    (void)rask_kit_push(kit);
    return kit->tested ? counted(kit->tested->counters, name) : 0;
}
int64_t rask_kit_accumulator(rask_kit *kit, const char *name)
{
    (void)rask_kit_push(kit);
    return kit->tested ? counted(kit->tested->accumulators, name) : 0;
}

uint64_t rask_kit_keys(rask_kit *kit, int state)
{
    uint32_t count = 0;

    (void)rask_kit_push(kit);
    while (kit->tested && kit->tested->ctx.states && kit->tested->ctx.states[count].kind != 0)
        count++;
    return state >= 0 && (uint32_t)state < count ? wk_state_count(kit->tested->state, state) : 0;
}
