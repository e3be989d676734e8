/* chain.c - see chain.h. Runs in the task's step. */
#include "taskmanager/worker/operator/chain.h"

#include <stdio.h>

#include "common/base/check.h"
#include "taskmanager/worker/checkpoint/barrier.h"
#include "taskmanager/worker/task/task.h"

/* ---- handing on ---- */

void wk_output_add_child(struct wk_output *o, struct wk_op *child, int input)
{
    o->children = mem_realloc(o->children, (o->child_count + 1) * sizeof(*o->children));
    o->child_inputs = mem_realloc(o->child_inputs, (o->child_count + 1) * sizeof(*o->child_inputs));
    o->children[o->child_count] = child;
    o->child_inputs[o->child_count++] = input;
}

static void feed_push(struct wk_op *op, int input, rask_batch *batch)
{
    struct list *spare = list_pop_front(&op->chain->spare_feeds);
    struct wk_feed *f = spare ? LIST_ENTRY(spare, struct wk_feed, node) : MEM_NEW(struct wk_feed);

    *f = (struct wk_feed){.batch = batch, .input = input};
    wk_count(&op->rows_in, batch->rows);
    list_push_back(&op->feeds, &f->node);
    op->feed_count++;
    op->chain->feeds++;
}

static void feed_free(struct wk_op *op, struct wk_feed *f)
{
    list_remove(&f->node);
    batch_unref(f->batch);
    list_push_front(&op->chain->spare_feeds, &f->node);
    op->feed_count--;
    op->chain->feeds--;
}

/* batch is taken */
static void output_send(struct wk_output *o, rask_batch *batch)
{
    wk_count(&o->op->rows_out, batch->rows);
    for (uint32_t i = 0; i < o->child_count; i++)
        feed_push(o->children[i], o->child_inputs[i], batch_ref(batch));
    for (uint32_t i = 0; i < o->edge_count; i++)
        wk_edge_emit(o->edges[i], batch_ref(batch));
    batch_unref(batch);
}

void wk_op_deliver(struct wk_op *op)
{
    for (uint32_t i = 0; i < op->output_count; i++) {
        struct wk_output *o = &op->outputs[i];
        rask_batch *b = o->out && o->out->rows > 0 ? out_take(o->out) : NULL;

        if (b)
            output_send(o, b);
    }
}

bool wk_op_blocked(const struct wk_op *op)
{
    for (uint32_t i = 0; i < op->output_count; i++) {
        const struct wk_output *o = &op->outputs[i];

        for (uint32_t k = 0; k < o->child_count; k++)
            if (o->children[k]->feed_count > 0)
                return true;
        for (uint32_t k = 0; k < o->edge_count; k++)
            if (wk_edge_full(o->edges[k]))
                return true;
    }
    return false;
}

static int chain_fail(struct wk_chain *c, const struct wk_op *op, int code, const char *text)
{
    if (!c->failed) {
        c->failed = true;
        err_set(&c->error, code, "%s", text);
        if (op->ctx.uid)
            err_wrap(&c->error, "operator \"%s\" (uid \"%s\", subtask %u)", op->ctx.name, op->ctx.uid, op->ctx.subtask);
        else
            err_wrap(&c->error, "operator \"%s\" (subtask %u)", op->ctx.name, op->ctx.subtask);
    }
    return c->error.code;
}

int wk_op_failed(struct wk_op *op, int rc)
{
    if (op->ctx.error.code)
        return chain_fail(op->chain, op, op->ctx.error.code, op->ctx.error.text);
    if (op->chain->failed)
        return op->chain->error.code;
    char text[96];

    snprintf(text, sizeof(text), "the function returned %d without rask_fail", rc);
    return chain_fail(op->chain, op, ERR_USER, text);
}

/* ---- overdraft: a row that gives more than its output may hold waits here ---- */

static void run_below(struct wk_chain *c, uint32_t above);

static bool may_go_on(void *arg)
{
    struct wk_op *op = arg;
    struct wk_chain *c = op->chain;

    if (c->host.canceled(c->host.arg))
        return true;
    for (uint32_t i = 0; i < c->edge_count; i++)
        wk_edge_send_waiting(c->edges[i]);
    run_below(c, op->index);
    for (uint32_t i = 0; i < c->edge_count; i++)
        wk_edge_wake(c->edges[i]);
    return c->failed || !wk_op_blocked(op);
}

static int overdrawn(struct wk_op *op)
{
    struct wk_chain *c = op->chain;
    const char *now = c->host.runnable->operator_now;

    if (!may_go_on(op)) {
        c->host.waiting(c->host.arg, true);
        wk_wait(c->host.runnable, may_go_on, op);
        c->host.waiting(c->host.arg, false);
    }
    wk_runnable_in(c->host.runnable, now);
    op->call_bytes = 0;
    if (c->host.canceled(c->host.arg))
        return err_set(&op->ctx.error, ERR_CANCELED, "canceled");
    if (c->failed && !op->ctx.error.code)
        op->ctx.error = c->error;
    return op->ctx.error.code;
}

static int on_batch_out(struct wk_output *o, rask_batch *batch)
{
    struct wk_op *op = o->op;

    if (op->ctx.error.code) { /* the function goes on after an error: nothing may pile up */
        batch_unref(batch);
        return op->ctx.error.code;
    }
    if (wk_op_blocked(op))
        op->call_bytes += batch_row_bytes(batch);
    output_send(o, batch);
    op->full = true;
    return op->call_bytes > CHAIN_OVERDRAFT_BYTES ? overdrawn(op) : 0;
}

static int hook_full(rask_out *out, void *arg)
{
    rask_batch *b = out_take(out);

    return b ? on_batch_out(arg, b) : 0;
}

static int hook_batch(rask_out *out, void *arg, rask_batch **batch)
{
    rask_batch *before = out_take(out), *b = *batch;
    int rc = before ? on_batch_out(arg, before) : 0;

    *batch = NULL;
    if (rc == 0 && b->rows > 0)
        return on_batch_out(arg, b);
    batch_unref(b);
    return rc;
}

static int hook_refused(rask_out *out, void *arg, const char *text)
{
    struct wk_output *o = arg;

    (void)out;
    if (!o->op->ctx.error.code)
        err_set(&o->op->ctx.error, ERR_INVALID, "%s", text);
    return o->op->ctx.error.code;
}

const struct out_hooks wk_op_out_hooks = {hook_full, hook_batch, hook_refused};

/* ---- running ---- */

static void call_begin(struct wk_op *op)
{
    op->full = false;
    op->call_bytes = 0;
    op->in_call = true;
    op->ctx.key = (rask_str){NULL, 0}; /* that of the last call's last row is none of this call */
    wk_runnable_in(op->chain->host.runnable, op->ctx.name);
}

static int call_end(struct wk_op *op, int rc)
{
    op->in_call = false;
    wk_runnable_in(op->chain->host.runnable, NULL);
    if (rc != 0 || op->ctx.error.code || op->chain->failed)
        return wk_op_failed(op, rc);
    wk_op_deliver(op);
    return 0;
}

static void control_push(struct wk_chain *c, enum wk_element_type type, int64_t value, int32_t from_op);

/* What the operator has derived. One that has not set out yet takes the newer value: the last one pushed runs first. */
static bool push_watermark(struct wk_op *op)
{
    if (!op->has_watermark)
        return false;
    op->has_watermark = false;
    for (struct wk_control *k = op->chain->control; k; k = k->below)
        if (k->type == WK_WATERMARK && k->from_op == (int32_t)op->index && k->next_op == op->index) {
            k->value = MAX(k->value, op->new_watermark);
            return true;
        }
    control_push(op->chain, WK_WATERMARK, op->new_watermark, (int32_t)op->index);
    return true;
}

/* ---- idleness ---- */

bool wk_chain_becomes_idle(struct wk_chain *c, uint64_t now_ns, uint64_t *ret_next_ns)
{
    bool becomes = false;

    *ret_next_ns = UINT64_MAX;
    for (uint32_t i = 0; i < c->op_count; i++) {
        struct wk_op *op = c->ops[i];

        if (op->idle_after_ns == 0 || op->is_idle)
            continue;
        if (op->waits_since_ns == 0)
            op->waits_since_ns = now_ns;
        if (now_ns - op->waits_since_ns < op->idle_after_ns) {
            *ret_next_ns = MIN(*ret_next_ns, op->waits_since_ns + op->idle_after_ns);
            continue;
        }
        becomes = op->is_idle = true;
        control_push(c, WK_STATUS, 1, (int32_t)i);
    }
    return becomes;
}

void wk_chain_is_held_up(struct wk_chain *c)
{
    for (uint32_t i = 0; i < c->op_count && c->has_idleness; i++)
        c->ops[i]->waits_since_ns = 0;
}

/* It has got rows. After push_watermark, so that the status goes first. */
static void becomes_active(struct wk_op *op)
{
    op->waits_since_ns = 0;
    if (!op->is_idle)
        return;
    op->is_idle = false;
    control_push(op->chain, WK_STATUS, 0, (int32_t)op->index);
}

static int wrong_count(struct wk_op *op, const char *function, uint32_t consumed, uint32_t left)
{
    char text[160];

    snprintf(text, sizeof(text), "%s said that it consumed %u of %u: at least one row or timer is consumed per call, and no more "
             "than there are", function, consumed, left);
    return chain_fail(op->chain, op, ERR_USER, text);
}

/* Gives the operator its next rows. */
static int op_step(struct wk_op *op)
{
    struct wk_feed *f = LIST_ENTRY(op->feeds.next, struct wk_feed, node);
    uint32_t consumed = 0;
    int rc;

    call_begin(op);
    if (!f->prepared && op->desc->prepare)
        op->desc->prepare(&op->ctx, f->input, f->batch);
    f->prepared = true;
    rc = op->desc->process(&op->ctx, f->input, f->batch, f->from, &consumed);
    rc = call_end(op, rc);
    arena_release(&op->ctx.scratch);
    if (rc != 0)
        return rc;
    if (op->ctx.states)
        wk_state_settle(op->state, wk_task_wall_ms(op));
    if (op->ctx.states && wk_state_failed(op->state, &op->ctx.error) != 0)
        return wk_op_failed(op, op->ctx.error.code);
    if (consumed == 0 || consumed > f->batch->rows - f->from)
        return wrong_count(op, "process", consumed, f->batch->rows - f->from);
    f->from += consumed;
    if (f->from == f->batch->rows)
        feed_free(op, f);
    push_watermark(op);
    becomes_active(op);
    return 0;
}

/* ---- timers ---- */

/* Takes those that are due when all taken before have fired. False: none is. */
static bool timers_due(struct wk_op *op, enum wk_timer_domain domain, rask_ts now)
{
    struct err err = {0};

    while (op->due_from == op->due.count) {
        if (!wk_timers_due(op->timers, domain, now))
            return false;
        op->due_from = 0;
        if (wk_timers_take(op->timers, domain, now, &op->due, &err) != 0) {
            if (!op->ctx.error.code)
                op->ctx.error = err;
            (void)wk_op_failed(op, err.code);
            return false;
        }
    }
    return true;
}

/* Fires those that were taken, as far as there is room. */
static int timers_fire(struct wk_op *op)
{
    uint32_t consumed = 0;
    int rc;

    call_begin(op);
    rc = op->desc->on_timers(&op->ctx, &op->due, op->due_from, &consumed);
    rc = call_end(op, rc);
    arena_release(&op->ctx.scratch);
    if (rc != 0)
        return rc;
    if (consumed == 0 || consumed > op->due.count - op->due_from)
        return wrong_count(op, "on_timers", consumed, op->due.count - op->due_from);
    op->due_from += consumed;
    wk_state_settle(op->state, wk_task_wall_ms(op));
    return wk_state_failed(op->state, &op->ctx.error) != 0 ? wk_op_failed(op, op->ctx.error.code) : 0;
}

/* An operator with room whose processing time has come: true, and it has fired, or the chain has failed. */
static bool processing_timers(struct wk_chain *c)
{
    for (uint32_t i = c->op_count; c->has_timers && i-- > 0;) {
        struct wk_op *op = c->ops[i];

        if (op->timers && !op->in_call && !wk_op_blocked(op) && timers_due(op, WK_TIMER_PROCESSING, wk_task_wall_ms(op)))
            return timers_fire(op), true;
        if (c->failed)
            return true;
    }
    return false;
}

rask_ts wk_chain_next_timer(const struct wk_chain *c)
{
    rask_ts next = RASK_TS_MAX;

    for (uint32_t i = 0; c->has_timers && i < c->op_count; i++)
        if (c->ops[i]->timers)
            next = MIN(next, wk_timers_next(c->ops[i]->timers, WK_TIMER_PROCESSING));
    return next;
}

/* The deepest operator behind `above` that has input and room; NULL: none. */
static struct wk_op *runnable_op(struct wk_chain *c, int32_t above)
{
    for (int32_t i = (int32_t)c->op_count - 1; i > above; i--) {
        struct wk_op *op = c->ops[i];

        if (op->feed_count > 0 && !op->in_call && !wk_op_blocked(op))
            return op;
    }
    return NULL;
}

static void run_below(struct wk_chain *c, uint32_t above)
{
    struct wk_op *op;

    /* Below may be slow: a cancel must not wait until everything there is through. */
    while (!c->failed && !c->host.canceled(c->host.arg) && (op = runnable_op(c, (int32_t)above)) != NULL)
        if (op_step(op) != 0)
            return;
}

/* ---- control elements ---- */

static void control_push(struct wk_chain *c, enum wk_element_type type, int64_t value, int32_t from_op)
{
    struct wk_control *k = MEM_NEW(struct wk_control);

    k->type = type;
    k->value = value;
    k->from_op = from_op;
    k->next_op = from_op < 0 ? 0 : (uint32_t)from_op;
    k->reached = mem_alloc(c->op_count);
    if (from_op < 0)
        k->reached[0] = true;
    k->below = c->control;
    c->control = k;
}

static void control_pop(struct wk_chain *c)
{
    struct wk_control *k = c->control;

    if (k->type == WK_END)
        c->ended = true;
    if (k->type == WK_BARRIER)
        c->barrier = k->value;
    c->control = k->below;
    mem_free(k->reached);
    mem_free(k);
}

static int control_call(struct wk_op *op, const struct wk_control *k)
{
    const rask_operator *d = op->desc;

    switch (k->type) {
    case WK_WATERMARK:
        op->ctx.watermark = k->value;
        return d->on_watermark ? d->on_watermark(&op->ctx, k->value) : 0;
    case WK_BARRIER:
        op->ctx.checkpoint = wk_barrier_id(k->value);
        return d->on_barrier ? d->on_barrier(&op->ctx, op->ctx.checkpoint) : 0;
    case WK_STATUS:
        return d->on_status ? d->on_status(&op->ctx, k->value != 0) : 0;
    case WK_END:
        return d->finish && !op->chain->skip_finish ? d->finish(&op->ctx) : 0;
    case WK_LATENCY:
        op->chain->host.marker(op, k->value);
        return 0;
    default:
        return 0;
    }
}

static void control_forward(struct wk_op *op, struct wk_control *k)
{
    for (uint32_t i = 0; i < op->output_count; i++) {
        struct wk_output *o = &op->outputs[i];

        for (uint32_t n = 0; n < o->child_count; n++)
            k->reached[o->children[n]->index] = true;
        for (uint32_t n = 0; n < o->edge_count; n++)
            if (k->type == WK_LATENCY)
                wk_edge_marker(o->edges[n], k->value);
            else
                wk_edge_control(o->edges[n], k->type, k->value);
    }
}

/* One operator of the topmost control. Its feeds and those of everything behind are empty. */
static int control_step(struct wk_chain *c)
{
    struct wk_control *k = c->control;
    struct wk_op *op = k->held;

    if (op) {
        k->held = NULL;
        control_forward(op, k);
        return 0;
    }
    while (k->next_op < c->op_count && !k->reached[k->next_op] && (int32_t)k->next_op != k->from_op)
        k->next_op++;
    if (k->next_op == c->op_count) {
        control_pop(c);
        return 0;
    }
    op = c->ops[k->next_op];
    if (k->type == WK_WATERMARK && op->timers && (int32_t)op->index != k->from_op && (k->advanced || k->value > op->ctx.watermark)) {
        k->advanced = true;
        op->ctx.watermark = k->value;
        if (timers_due(op, WK_TIMER_EVENT, k->value))
            return timers_fire(op); /* and again, until none is due */
        if (c->failed)
            return c->error.code;
    }
    k->next_op++;
    if ((int32_t)op->index == k->from_op) {
        control_forward(op, k); /* it made the element itself */
        return 0;
    }
    if (k->type == WK_WATERMARK && k->value <= op->ctx.watermark && !k->advanced)
        return 0; /* a newer one has overtaken it */
    k->advanced = false;
    if (op->own_watermarks && k->type == WK_STATUS)
        return 0;
    call_begin(op);
    if (call_end(op, control_call(op, k)) != 0)
        return c->error.code;
    if (op->own_watermarks && k->type == WK_WATERMARK)
        (void)push_watermark(op);
    else if (push_watermark(op))
        k->held = op; /* the watermark goes first: nothing follows the end of input */
    else
        control_forward(op, k);
    return 0;
}

static bool control_ready(struct wk_chain *c)
{
    struct wk_control *k = c->control;

    if (k->held)
        return !wk_op_blocked(k->held);
    for (uint32_t i = k->next_op; i < c->op_count; i++)
        if (k->reached[i] || (int32_t)i == k->from_op)
            return !wk_op_blocked(c->ops[i]);
    return true;
}

/* A barrier that overtakes waits for what has begun, and for nothing else. */
static bool control_runs(const struct wk_chain *c)
{
    const struct wk_control *k = c->control;

    if (!k || !c->overtaking || k->type == WK_BARRIER)
        return k != NULL;
    return k->held || k->advanced || k->next_op > (k->from_op < 0 ? 0 : (uint32_t)k->from_op);
}

enum wk_chain_result wk_chain_run(struct wk_chain *c, uint64_t deadline_ns)
{
    struct wk_executor *ex = c->host.runnable->executor;
    bool keeps = c->overtaking && c->keeps_head;

    while (!c->failed) {
        uint32_t feeds = c->feeds - (keeps ? c->ops[0]->feed_count : 0);
        struct wk_op *op = feeds > 0 ? runnable_op(c, keeps ? 0 : -1) : NULL;

        if (op) {
            if (op_step(op) != 0)
                break;
        } else if (feeds > 0) {
            return WK_CHAIN_BLOCKED;
        } else if (c->has_timers && processing_timers(c)) {
            continue;
        } else if (control_runs(c)) {
            if (!control_ready(c))
                return WK_CHAIN_BLOCKED;
            if (control_step(c) != 0)
                break;
        } else {
            return WK_CHAIN_EMPTY;
        }
        if ((c->feeds > 0 || c->control) && ex->ops->now_ns(ex) >= deadline_ns)
            return WK_CHAIN_BUDGET;
    }
    return WK_CHAIN_FAILED;
}

void wk_chain_feed(struct wk_chain *c, int input, rask_batch *batch)
{
    struct wk_op *head = c->ops[0];

    feed_push(head, input, batch);
    /* The keys of everything that one step has taken are prefetched before the first row is touched. */
    if (head->desc->prepare) {
        head->desc->prepare(&head->ctx, input, batch);
        LIST_ENTRY(head->feeds.prev, struct wk_feed, node)->prepared = true;
    }
}

int wk_chain_input_ended(struct wk_chain *c, int input)
{
    struct wk_op *head = c->ops[0];

    if (!head->desc->on_end)
        return 0;
    call_begin(head);
    return call_end(head, head->desc->on_end(&head->ctx, input));
}

int wk_chain_completed(struct wk_op *op, uint64_t checkpoint, bool aborted)
{
    int (*fn)(rask_op *ctx, uint64_t) = aborted ? op->desc->on_aborted : op->desc->on_complete;

    if (!fn)
        return 0;
    call_begin(op);
    return call_end(op, fn(&op->ctx, checkpoint));
}

void wk_chain_control(struct wk_chain *c, enum wk_element_type type, int64_t value)
{
    control_push(c, type, value, -1);
}

void wk_chain_hurry_barrier(struct wk_chain *c)
{
    for (struct wk_control *k = c->control; k; k = k->below)
        if (k->type == WK_BARRIER)
            k->value |= WK_BARRIER_UNALIGNED;
}

void wk_chain_marker(struct wk_chain *c, int64_t value)
{
    control_push(c, WK_LATENCY, value, 0);
}

/* ---- life ---- */

int wk_chain_open(struct wk_chain *c)
{
    for (uint32_t i = c->op_count; i-- > 0;) {
        struct wk_op *op = c->ops[i];
        int rc;

        call_begin(op);
        op->opened = true;
        c->has_timers = c->has_timers || op->timers;
        c->has_idleness = c->has_idleness || op->idle_after_ns > 0;
        rc = op->timers ? wk_timers_load(op->timers, &op->ctx.error) : 0;
        if (rc == 0)
            rc = op->desc->open ? op->desc->open(&op->ctx) : 0;
        if (call_end(op, rc) != 0)
            return c->error.code;
    }
    return 0;
}

void wk_chain_close(struct wk_chain *c)
{
    for (uint32_t i = 0; i < c->op_count; i++) {
        struct wk_op *op = c->ops[i];

        if (op->opened) {
            op->opened = false;
            wk_runnable_in(c->host.runnable, op->ctx.name);
            if (op->desc->close)
                op->desc->close(&op->ctx);
        }
        api_ctx_over(&op->ctx);
    }
    wk_runnable_in(c->host.runnable, NULL);
}

void wk_chain_drop(struct wk_chain *c)
{
    for (uint32_t i = 0; i < c->op_count; i++)
        LIST_FOREACH_SAFE(n, &c->ops[i]->feeds)
    feed_free(c->ops[i], LIST_ENTRY(n, struct wk_feed, node));
    while (c->control) {
        struct wk_control *k = c->control;

        c->control = k->below;
        mem_free(k->reached);
        mem_free(k);
    }
    for (struct list *n; (n = list_pop_front(&c->spare_feeds));)
        mem_free(LIST_ENTRY(n, struct wk_feed, node));
}
