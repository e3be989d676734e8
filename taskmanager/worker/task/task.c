/* task.c - the step. See task.h. */
#include "taskmanager/worker/task/task.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/map.h"
#include "taskmanager/worker/checkpoint/overtake.h"
#include "taskmanager/worker/operator/ops.h"

static bool task_run(struct wk_runnable *r);

static bool task_canceled(void *arg)
{
    return __atomic_load_n(&((struct wk_task *)arg)->cancel, __ATOMIC_ACQUIRE) != 0;
}

static void task_waits(void *arg, bool waits)
{
    struct wk_task *t = arg;
    struct wk_executor *ex = t->run.executor;

    wk_clock_move(&t->clock, waits ? WK_PHASE_HARD : WK_PHASE_RUNNING, ex->ops->now_ns(ex));
}

void wk_task_init(struct wk_task *t, const struct wk_task_host *host, struct wk_executor *executor)
{
    t->host = host;
    t->run.run = task_run;
    t->run.executor = executor;
    t->state = RASK__CONTROL__TASK_STATE__DEPLOYING;
    t->watermark = RASK_TS_MIN;
    wk_clock_init(&t->clock, executor->ops->now_ns(executor));
    list_init(&t->chain.spare_feeds);
    t->chain.host = (struct wk_chain_host){&t->run, task_canceled, task_waits, wk_task_record_marker, t};
    pthread_mutex_init(&t->lock, NULL);
    wk_barriers_init(&t->barriers);
    arena_init(&t->arena);
}

void wk_counters_free(struct map *m)
{
    if (!m)
        return;
    for (struct map_iter it = map_iter(m); map_next(&it);)
        mem_free(it.value);
    map_free(m);
}

static void op_free(struct wk_op *op)
{
    for (uint32_t i = 0; i < op->output_count; i++) {
        struct wk_output *o = &op->outputs[i];

        out_free(o->out);
        mem_free(o->children);
        mem_free(o->child_inputs);
        mem_free(o->edges);
    }
    mem_free(op->outputs);
    mem_free(op->ctx.sides);
    mem_free(op->ctx.self);
    mem_free(op->adapter);
    wk_timers_free(op->timers);
    wk_state_free(op->state);
    wk_kept_free(op->kept);
    bytes_release(&op->key);
    wk_counters_free(op->counters);
    wk_counters_free(op->accumulators);
    wk_latency_release(&op->latency);
    arena_release(&op->ctx.scratch);
    arena_release(&op->names);
    mem_free(op);
}

/* ---- wakes: in the step ---- */

struct wk_task *wk_task_of(struct wk_op *op)
{
    return CONTAINER_OF(op->chain, struct wk_task, chain);
}

static void wake_after(struct wk_task *t, uint64_t delay_ns)
{
    struct wk_executor *ex = t->run.executor;

    ex->ops->wake_at(ex, &t->run, ex->ops->now_ns(ex) + delay_ns);
}

void wk_task_wake_in(struct wk_op *op, int64_t delay_us)
{
    struct wk_task *t = wk_task_of(op);
    struct wk_executor *ex = t->run.executor;
    uint64_t delay_ns = env_us_to_ns((uint64_t)MAX(delay_us, 1)), at_ns;

    if (!t->is_source) {
        wake_after(t, delay_ns);
        return;
    }
    at_ns = ex->ops->now_ns(ex) + delay_ns; /* wake_source, when it is known how the step ends */
    t->source_wake_ns = t->source_wake_ns ? MIN(t->source_wake_ns, at_ns) : at_ns;
}

void wk_task_wake_on_fd(struct wk_op *op, int fd)
{
    struct wk_task *t = wk_task_of(op);

    for (uint32_t i = 0; i < t->watched_count; i++)
        if (t->watched[i] == fd)
            return;
    if (t->host->watch_fd && t->watched_count < TASK_WATCHED_MAX && t->host->watch_fd(t->host->watch_arg, fd, &t->run))
        t->watched[t->watched_count++] = fd;
    else
        wake_after(t, TASK_POLL_NS);
}

/* Before the source may close what it has asked to be watched. It asks again when it waits again. */
static void unwatch(struct wk_task *t)
{
    for (uint32_t i = 0; i < t->watched_count; i++)
        t->host->unwatch_fd(t->host->watch_arg, t->watched[i]);
    t->watched_count = 0;
}

void wk_task_release(struct wk_task *t)
{
    CHECK(__atomic_load_n(&t->run.state, __ATOMIC_ACQUIRE) != WK_RUNNING);
    unwatch(t);
    wk_chain_close(&t->chain);
    wk_chain_drop(&t->chain);
    wk_element_free(t->control);
    for (uint32_t i = 0; i < t->chain.op_count; i++)
        if (t->chain.ops[i])
            op_free(t->chain.ops[i]);
    mem_free(t->chain.ops);
    for (uint32_t i = 0; t->edges && i < t->chain.edge_count; i++)
        wk_edge_release(&t->edges[i]);
    mem_free(t->edges);
    mem_free(t->edge_list);
    wk_gate_release(&t->gate);
    wk_barriers_release(&t->barriers);
    wk_inflight_clear(&t->replay);
    mem_free(t->name);
    arena_release(&t->arena);
    pthread_mutex_destroy(&t->lock);
}

void wk_task_cancel(struct wk_task *t)
{
    __atomic_store_n(&t->cancel, 1, __ATOMIC_RELEASE);
    wk_hurry(&t->run);
    wk_ready(&t->run);
}

bool wk_task_is_over(const struct wk_task *t)
{
    Rask__Control__TaskState s = __atomic_load_n(&t->state, __ATOMIC_ACQUIRE);

    return s == RASK__CONTROL__TASK_STATE__FINISHED || s == RASK__CONTROL__TASK_STATE__CANCELED ||
           s == RASK__CONTROL__TASK_STATE__FAILED;
}

bool wk_task_is_finished(const struct wk_task *t)
{
    return __atomic_load_n(&t->state, __ATOMIC_ACQUIRE) == RASK__CONTROL__TASK_STATE__FINISHED;
}

/* ---- states ---- */

static void set_state(struct wk_task *t, Rask__Control__TaskState state, const struct err *error)
{
    __atomic_store_n(&t->state, state, __ATOMIC_RELEASE);
    t->host->on_state(t->host->arg, t, state, error);
}

/* The end of a task, whatever led to it. */
static void task_over(struct wk_task *t, Rask__Control__TaskState state, const struct err *error)
{
    unwatch(t);
    wk_chain_close(&t->chain);
    wk_chain_drop(&t->chain);
    wk_element_free(t->control);
    t->control = NULL;
    wk_gate_close(&t->gate);
    t->run.executor->ops->forget(t->run.executor, &t->run);
    set_state(t, state, error);
}

static void task_failed(struct wk_task *t)
{
    struct err error = t->chain.error;

    if (task_canceled(t)) {
        task_over(t, RASK__CONTROL__TASK_STATE__CANCELED, NULL);
        return;
    }
    err_wrap(&error, "task \"%s\"", t->name);
    task_over(t, RASK__CONTROL__TASK_STATE__FAILED, &error);
}

void wk_task_refuse(struct wk_task *t, const struct err *error)
{
    struct err named = *error;

    CHECK(t->state == RASK__CONTROL__TASK_STATE__DEPLOYING);
    err_wrap(&named, "task \"%s\"", t->name);
    task_over(t, RASK__CONTROL__TASK_STATE__FAILED, &named);
}

/* ---- input ---- */

static void return_credits(struct wk_task *t)
{
    for (uint32_t i = 0; i < t->taken_count; i++) {
        wk_in_consumed(t->taken[i].in, t->taken[i].bytes);
        t->debloat.consumed_bytes += t->taken[i].bytes;
    }
    t->taken_count = 0;
}

static void debloat(struct wk_task *t, uint64_t now)
{
    uint64_t ns[WK_PHASE_COUNT];

    wk_clock_read(&t->clock, now, ns);
    wk_debloat_adjust(&t->debloat, &t->gate, now,
                      ns[WK_PHASE_RUNNING] + ns[WK_PHASE_READY] + ns[WK_PHASE_SOFT] + ns[WK_PHASE_HARD], t->credit_max);
}

/* What the end of event time does in the chain comes first: then it is looked at again. */
static int end_of_channel(struct wk_task *t, struct wk_in *in, struct wk_element *e)
{
    if (e->value) {
        e->value = 0;
        wk_task_channel_watermark(t, in, RASK_TS_MAX);
        if (t->chain.control) {
            t->control = e;
            return 0;
        }
    }
    return wk_task_channel_ended(t, in);
}

static int handle_control(struct wk_task *t)
{
    struct wk_element *e = t->control;
    struct wk_in *in = t->control_in;
    int rc = 0;

    t->control = NULL;
    switch ((enum wk_element_type)e->type) {
    case WK_WATERMARK:
        wk_task_channel_watermark(t, in, e->value);
        break;
    case WK_STATUS:
        wk_task_channel_idle(t, in, e->value != 0);
        break;
    case WK_BARRIER:
        wk_barrier_arrived(t, in, e->value);
        break;
    case WK_END:
        rc = end_of_channel(t, in, e);
        if (t->control)
            return rc;
        break;
    case WK_LATENCY:
        wk_chain_control(&t->chain, WK_LATENCY, e->value);
        break;
    case WK_REPLAYED:
        wk_task_replay_seen(t, in);
        break;
    case WK_DATA:
        break;
    }
    if (!in->ended)
        wk_in_consumed(in, 0); /* the channel may be empty now, and what waits at the sender may need all of its credit */
    wk_element_free(e);
    return rc;
}

/* Elements that were taken go into the chain, many small ones as one batch, large ones as they are, and are freed. */
static void feed_taken(struct wk_task *t, struct wk_element *const *e, uint32_t count, uint32_t rows)
{
    struct batch_part parts[TASK_SLICES_PER_STEP];
    int input = (int)e[0]->in->input;

    if (count == 1 || rows / count >= TASK_JOIN_BELOW_ROWS) {
        for (uint32_t i = 0; i < count; i++)
            wk_chain_feed(&t->chain, input, wk_element_take(e[i]));
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        parts[i] = (struct batch_part){e[i]->block->rows, e[i]->first, e[i]->rows};
    wk_chain_feed(&t->chain, input, batch_join(t->host->pool, parts, count));
    for (uint32_t i = 0; i < count; i++)
        wk_element_free(e[i]);
}

static void feed_all(struct wk_task *t, struct wk_element *const *taken, uint32_t count)
{
    for (uint32_t i = 0, n; i < count; i += n) {
        uint32_t rows = taken[i]->rows;

        for (n = 1; i + n < count && taken[i + n]->in->input == taken[i]->in->input &&
                    rows + taken[i + n]->rows <= RASK_BATCH_ROWS_MAX;
             n++)
            rows += taken[i + n]->rows;
        feed_taken(t, taken + i, n, rows);
    }
}

/* Takes slices of up to TASK_ROWS_PER_STEP rows into the chain. False: the gate is empty. */
static bool take_input(struct wk_task *t)
{
    struct wk_element *taken[TASK_SLICES_PER_STEP];
    uint32_t rows = 0, n = 0, before = t->taken_count; /* of a reader: the split that it reads */

    while (rows < TASK_ROWS_PER_STEP && before + n < TASK_SLICES_PER_STEP) {
        struct wk_in *in = NULL;
        struct wk_element *e = wk_gate_take(&t->gate, &in);

        if (e && e->type != WK_DATA) {
            t->control = e;
            t->control_in = in;
        }
        if (!e || e->type != WK_DATA)
            break;
        rows += e->rows;
        if (!t->is_source) { /* splits are no records */
            wk_count(&t->records_in, e->rows);
            wk_count(&t->bytes_in, e->bytes);
            wk_count(&t->remote_records_in, e->remote ? e->rows : 0);
        }
        t->taken[before + n].in = in;
        t->taken[before + n].bytes = e->bytes;
        t->taken[before + n].rows = e->rows;
        taken[n++] = e;
        if (t->is_source || ENV_BUGGIFY(t->host->env))
            break;
    }
    t->taken_count = before + n;
    if (n > 0) {
        wk_count(&t->takes, 1);
        feed_all(t, taken, n);
    }
    return n > 0 || t->control != NULL;
}

/* ---- the step ---- */

static void flush_edges(struct wk_task *t, uint64_t now)
{
    for (uint32_t i = 0; i < t->chain.edge_count; i++) {
        struct wk_edge *e = t->chain.edges[i];

        if (wk_edge_holds(e))
            wk_edge_flush(e);
        e->last_flush_ns = now;
    }
}

/* The next split is on its way: what is merged waits a little for rows of the same keys. */
static bool waits_for_split(struct wk_task *t, const struct wk_edge *e, uint64_t now)
{
    struct wk_executor *ex = t->run.executor;

    if (!e->merge || e->flush_interval_ns == 0 || !t->is_source || t->chain.ended || wk_source_reading(t->chain.ops[0]))
        return false;
    if (t->split_over_ns == 0)
        t->split_over_ns = now;
    if (now - t->split_over_ns >= TASK_SPLIT_PAUSE_NS)
        return false;
    ex->ops->wake_at(ex, &t->run, t->split_over_ns + TASK_SPLIT_PAUSE_NS);
    return true;
}

/* The task has nothing to do: what is held leaves, but over a connection not more often than pays. Then it is woken for it. */
static void flush_paced(struct wk_task *t, uint64_t now)
{
    struct wk_executor *ex = t->run.executor;
    uint64_t until = t->has_sink || t->chain.edge_count == 0 ? 0 : UINT64_MAX;

    for (uint32_t i = 0; i < t->chain.edge_count; i++) {
        struct wk_edge *e = t->chain.edges[i];
        uint64_t pace = !e->paced ? 0 : wk_edge_in_flight(e) < EDGE_BEHIND_BYTES ? EDGE_PACE_NS : EDGE_PACE_BEHIND_NS;

        if (wk_edge_holds(e) && waits_for_split(t, e, now)) {
            pace = 0;
        } else if (e->paced && wk_edge_holds(e) && now - e->last_flush_ns < pace) {
            ex->ops->wake_at(ex, &t->run, e->last_flush_ns + pace);
        } else if (!e->paced || wk_edge_holds(e)) {
            if (wk_edge_holds(e))
                wk_edge_flush(e);
            e->last_flush_ns = now;
        }
        until = MIN(until, e->paced ? e->last_flush_ns + pace : 0);
    }
    t->paced_until_ns = until;
}

/* A source that asked to be polled again is, but not before its rows could leave: those that come meanwhile leave with them. */
static void wake_source(struct wk_task *t)
{
    struct wk_executor *ex = t->run.executor;

    if (t->source_wake_ns != 0 && !wk_task_is_over(t))
        ex->ops->wake_at(ex, &t->run, MAX(t->source_wake_ns, t->paced_until_ns));
    t->source_wake_ns = t->paced_until_ns = 0;
}

/* The task goes on: what has waited for its interval leaves, and at the end of a step what a reader without work waits for. */
static void flush_due(struct wk_task *t, uint64_t now, bool step_ends)
{
    for (uint32_t i = 0; i < t->chain.edge_count; i++) {
        struct wk_edge *e = t->chain.edges[i];
        bool due = e->flush_interval_ns >= 0 && now - e->last_flush_ns >= (uint64_t)e->flush_interval_ns;

        if (due)
            e->last_flush_ns = now;
        if (due && wk_edge_holds(e))
            wk_edge_flush(e);
        else if (step_ends && !wk_edge_drained(e) && wk_edge_is_consumed(e))
            wk_edge_feed(e);
    }
}

static bool edges_drained(const struct wk_task *t)
{
    for (uint32_t i = 0; i < t->chain.edge_count; i++)
        if (!wk_edge_drained(t->chain.edges[i]))
            return false;
    return true;
}

static int edge_errors(struct wk_task *t)
{
    for (uint32_t i = 0; i < t->chain.edge_count; i++) {
        struct wk_edge *e = t->chain.edges[i];

        if (e->error && !t->chain.failed) {
            t->chain.failed = true;
            return err_set(&t->chain.error, ERR_USER, "the partition function returned channel %u, there are %u: 0 to %u",
                           e->error_channel, e->target_parallelism, e->target_parallelism - 1);
        }
    }
    return 0;
}

static void open_edge(struct wk_task *t, struct wk_edge *e)
{
    t->flush_at_once = t->flush_at_once || e->flush_interval_ns == 0;
    for (uint32_t i = 0; i < e->channel_count && e->partitioner != RASK__GRAPH__PARTITIONER__SPLITS; i++)
        e->connected = e->connected || e->channels[i].link;
    e->paced = e->connected && e->flush_interval_ns != 0;
}

static bool open_task(struct wk_task *t)
{
    for (uint32_t i = 0; i < t->chain.op_count; i++)
        t->has_sink = t->has_sink || t->chain.ops[i]->desc == &wk_sink_op;
    for (uint32_t i = 0; i < t->chain.edge_count; i++)
        open_edge(t, t->chain.edges[i]);
    set_state(t, RASK__CONTROL__TASK_STATE__INITIALIZING, NULL);
    if (wk_chain_open(&t->chain) != 0) {
        task_failed(t);
        return false;
    }
    set_state(t, RASK__CONTROL__TASK_STATE__RUNNING, NULL);
    return true;
}

enum { QUICK_MAX = 16 }; /* control elements between two looks at the clock */
enum more { MORE_YES, MORE_WAIT, MORE_FAILED };

static enum more read_source(struct wk_task *t)
{
    struct wk_op *head = t->chain.ops[0];
    uint64_t before = head->rows_out;
    int rc = RASK_WAIT;

    t->split_over_ns = 0;
    if (t->gate.ended_count < t->gate.channel_count && take_input(t)) /* no split comes while it has one, but barriers do */
        return MORE_YES;
    if (!wk_op_blocked(head)) {
        unwatch(t);
        rc = wk_source_poll(head);
    }
    if (rc == RASK_MORE && head->rows_out == before && t->chain.feeds == 0)
        flush_edges(t, t->run.executor->ops->now_ns(t->run.executor)); /* it looks again at once: what is held must not wait */
    return rc < 0 ? MORE_FAILED : rc == RASK_WAIT ? MORE_WAIT : MORE_YES;
}

/* A barrier that has passed through all of the chain, or is to overtake what the head has not consumed. */
static bool next_barrier(struct wk_task *t)
{
    int64_t value = t->chain.barrier;

    if (value) {
        t->chain.barrier = 0;
        wk_barrier_passed(t, value);
        return true;
    }
    if (!t->barriers.overtaking)
        return false;
    wk_overtake_begin(t);
    return true;
}

/* No row: control elements, or a barrier that begins here. MORE_WAIT: neither. */
static enum more next_control(struct wk_task *t)
{
    if (t->control)
        return handle_control(t) == 0 ? MORE_YES : MORE_FAILED;
    return wk_barrier_begin(t) ? MORE_YES : MORE_WAIT;
}

/* The chain is empty: what comes next? */
static enum more next_work(struct wk_task *t)
{
    struct wk_op *head = t->chain.ops[0];
    bool head_ended = t->draining || t->restored_finished; /* a source's own end */
    bool inputs_over = t->gate.ended_count == t->gate.channel_count || (t->is_source && t->draining);
    enum more more;

    if (next_barrier(t))
        return MORE_YES;
    /* The credit of a split goes back when it is read: one that waits behind it would starve a reader with nothing to do. */
    if (!t->is_source || !wk_source_reading(head))
        return_credits(t);
    more = next_control(t);
    if (more != MORE_WAIT || t->replaying || (t->suspended && (t->is_source || t->is_enumerator)))
        return more;
    if (t->is_enumerator && !t->end_sent && !head_ended) {
        bool done;

        if (wk_enumerator_step(head, &done) != 0)
            return MORE_FAILED;
        if (!done)
            return MORE_WAIT;
    } else if (t->is_source && wk_source_reading(head) && !head_ended) {
        return read_source(t);
    } else if (!inputs_over) {
        return take_input(t) ? MORE_YES : MORE_WAIT;
    }
    if (t->end_sent)
        return MORE_WAIT;
    t->end_sent = true;
    wk_chain_control(&t->chain, WK_END, 0);
    if (!t->is_enumerator && !t->suspended) /* its readers are not at their ends; a job that is stopped goes on elsewhere */
        wk_chain_control(&t->chain, WK_WATERMARK, RASK_TS_MAX); /* goes first: all of event time is over */
    return MORE_YES;
}

static int idle_sinks(struct wk_task *t)
{
    for (uint32_t i = 0; t->has_sink && i < t->chain.op_count; i++)
        if (t->chain.ops[i]->desc == &wk_sink_op && wk_sink_idle(t->chain.ops[i]) != 0)
            return -1;
    return 0;
}

/* What the sinks of an ended chain have prepared is committed by a checkpoint that is still to come. */
static bool committed(struct wk_task *t)
{
    bool all = true;

    if (t->stop)
        return false;
    for (uint32_t i = 0; i < t->chain.op_count && all; i++)
        all = t->chain.ops[i]->desc != &wk_sink_op || wk_sink_committed(t->chain.ops[i]);
    if (!all && !t->final_asked) {
        t->final_asked = true;
        t->host->on_checkpoint_wanted(t->host->arg);
    }
    return all;
}

/* The step ends without work: it goes on when the next processing-time timer is due. */
static void wake_for_timers(struct wk_task *t)
{
    rask_ts next = wk_chain_next_timer(&t->chain);

    if (next != RASK_TS_MAX)
        wake_after(t, env_ms_to_ns((uint64_t)MIN(MAX(next - t->wall_ms, 1), 1000)));
}

/* The step ends without work. True: an operator is idle now, which is to be said; else it is woken when one will be. */
static bool becomes_idle(struct wk_task *t, uint64_t now)
{
    uint64_t next;

    if (!t->chain.has_idleness || t->chain.ended || t->suspended || t->replaying)
        return false;
    if (wk_chain_becomes_idle(&t->chain, now, &next))
        return true;
    if (next != UINT64_MAX)
        t->run.executor->ops->wake_at(t->run.executor, &t->run, next);
    return false;
}

/* What a step begins with. False: no row may follow, for now or ever. */
static bool before_rows(struct wk_task *t)
{
    if (wk_barrier_take_mail(t) != 0) {
        task_failed(t);
        return false;
    }
    for (uint32_t i = 0; i < t->chain.edge_count; i++)
        wk_edge_send_waiting(t->chain.edges[i]);
    wk_overtake_look(t);
    if (wk_task_replay(t) || t->chain.overtaking)
        return true;
    t->stopped = TASK_STOP_OUTPUT;
    return false;
}

/* Readers of a wide edge have enough to do, and wait for the end of the step. */
static bool is_sated(const struct wk_task *t)
{
    for (uint32_t i = 0; i < t->chain.edge_count; i++)
        if (t->chain.edges[i]->sated)
            return true;
    return false;
}

/*
 * Rows of a wide source that wait for credit keep a block of 1 MiB: when it comes they leave at once, before other sources have
 * their turn.  What it makes next waits for its own.
 */
static bool has_sent(const struct wk_task *t)
{
    bool full = !t->is_source || t->run.is_source;

    for (uint32_t i = 0; i < t->chain.edge_count && !full; i++)
        full = wk_edge_full(t->chain.edges[i]);
    return !full;
}

static bool goes_before_sources(const struct wk_task *t)
{
    return t->stopped == TASK_STOP_OUTPUT && t->chain.edge_count > 0 && t->chain.edges[0]->wider > 1;
}

struct budget {
    uint64_t deadline;
    uint32_t quick; /* control elements so far */
    bool begins;    /* until it has taken input */
};

static bool is_over_budget(struct wk_task *t, enum wk_chain_result r, struct budget *b)
{
    bool rows = t->chain.feeds > 0;

    if (b->begins && rows) { /* no time has passed yet: many a step does no more than this */
        b->begins = false;
        return false;
    }
    if (r == WK_CHAIN_BUDGET || is_sated(t))
        return true;
    if (!t->is_source && !rows && ++b->quick % QUICK_MAX != 0) /* nor with an element that told nothing new */
        return false;
    return t->run.executor->ops->now_ns(t->run.executor) >= b->deadline;
}

static bool step(struct wk_task *t, uint64_t now)
{
    struct wk_executor *ex = t->run.executor;
    bool waits = false; /* the source asked to be woken: what it gave before is all there is */
    struct budget budget = {now + TASK_BUDGET_NS, 0, !t->is_source};

    if (ENV_BUGGIFY(t->host->env)) {
        ENV_PROBE(t->host->env, "task: a step without time");
        budget.deadline = now;
    }
    if (ENV_BUGGIFY(t->host->env)) {
        ENV_PROBE(t->host->env, "task: blocks are cut early");
        flush_edges(t, now);
    }
    if (!before_rows(t))
        return false;
    if (has_sent(t)) {
        t->stopped = TASK_STOP_BUDGET;
        return true;
    }
    wk_task_send_marker(t, now);
    for (;;) {
        enum wk_chain_result r = wk_chain_run(&t->chain, budget.deadline);
        enum more more = MORE_FAILED;

        if (t->flush_at_once) /* the rows of one call were there at the same time */
            flush_due(t, now, false);
        if (r == WK_CHAIN_EMPTY && edge_errors(t) == 0)
            more = waits ? MORE_WAIT : next_work(t);
        if (more == MORE_WAIT && t->chain.feeds > 0) { /* a source that emitted rows, and waits */
            waits = true;
            continue;
        }
        if (r == WK_CHAIN_FAILED || (r == WK_CHAIN_EMPTY && more == MORE_FAILED)) {
            task_failed(t);
            return false;
        }
        if (r == WK_CHAIN_BLOCKED || (r == WK_CHAIN_EMPTY && more == MORE_WAIT && wk_op_blocked(t->chain.ops[0]))) {
            /* What other edges hold must not wait for the one that is full: its reader may need it first. */
            t->stopped = TASK_STOP_OUTPUT;
            wk_chain_is_held_up(&t->chain);
            flush_edges(t, now);
            return false;
        }
        if (r == WK_CHAIN_EMPTY && more == MORE_WAIT) {
            if (becomes_idle(t, now))
                continue;
            t->stopped = TASK_STOP_INPUT;
            t->run.ending = !t->has_sink;
            if (t->chain.has_timers && !t->chain.ended)
                wake_for_timers(t);
            flush_paced(t, now);
            if (t->chain.ended) {
                if (edges_drained(t) && !t->barriers.open && committed(t))
                    task_over(t, RASK__CONTROL__TASK_STATE__FINISHED, NULL);
                else
                    t->stopped = TASK_STOP_OUTPUT;
            } else if (idle_sinks(t) != 0) {
                task_failed(t);
            }
            return false;
        }
        if (task_canceled(t))
            return true;
        if (is_over_budget(t, r, &budget)) {
            t->stopped = TASK_STOP_BUDGET;
            flush_due(t, ex->ops->now_ns(ex), true);
            return true;
        }
    }
}

static enum wk_phase phase_after(const struct wk_task *t)
{
    if (wk_task_is_over(t))
        return WK_PHASE_OVER;
    return t->stopped == TASK_STOP_OUTPUT ? WK_PHASE_SOFT : t->stopped == TASK_STOP_INPUT ? WK_PHASE_IDLE : WK_PHASE_READY;
}

/* What waits in the edges of an enumerator that has finished is for readers that have started again since. */
static void serve_readers(struct wk_task *t)
{
    for (uint32_t i = 0; i < t->chain.edge_count; i++)
        if (t->chain.edges[i]->splits && wk_edge_send_waiting(t->chain.edges[i]))
            ENV_PROBE(t->host->env, "task: a reader comes back to an enumerator that has finished");
}

static bool task_run(struct wk_runnable *r)
{
    struct wk_task *t = CONTAINER_OF(r, struct wk_task, run);
    struct wk_executor *ex = r->executor;
    uint64_t began = r->began_ns;
    bool again = false;

    if (wk_task_is_finished(t))
        serve_readers(t);
    if (wk_task_is_over(t) || (__atomic_load_n(&t->held, __ATOMIC_ACQUIRE) && !task_canceled(t)))
        return false;
    wk_clock_move(&t->clock, WK_PHASE_RUNNING, began);
    t->wall_ms = ex->ops->wall_us(ex, began) / 1000;
    if (task_canceled(t)) {
        /* Which checkpoints are complete or given up: sinks commit and abort by it. */
        if (t->state == RASK__CONTROL__TASK_STATE__RUNNING)
            (void)wk_barrier_take_mail(t);
        task_over(t, RASK__CONTROL__TASK_STATE__CANCELED, NULL);
    } else if (t->state != RASK__CONTROL__TASK_STATE__DEPLOYING || open_task(t))
        again = step(t, began);
    wake_source(t);
    for (uint32_t i = 0; i < t->chain.edge_count; i++)
        wk_edge_wake(t->chain.edges[i]);
    if (wk_debloat_is_due(&t->debloat, began) && !wk_task_is_over(t))
        debloat(t, began);
    r->is_source = t->is_source && !goes_before_sources(t);
    r->ended_ns = ex->ops->now_ns(ex);
    wk_clock_move(&t->clock, phase_after(t), r->ended_ns);
    return again;
}

/* ---- what operators ask ---- */

struct pool *wk_task_pool(struct wk_op *op)
{
    return wk_task_of(op)->host->pool;
}

static struct rask_counter *counter_of(struct map **map, const char *name)
{
    struct rask_counter *c;

    if (!*map)
        *map = map_new();
    c = map_get_str(*map, name);
    if (!c) {
        c = MEM_NEW(struct rask_counter);
        map_put_str(*map, name, c);
    }
    return c;
}

struct rask_counter *wk_task_counter(struct wk_op *op, const char *name)
{
    struct wk_task *t = wk_task_of(op);
    struct rask_counter *c;

    pthread_mutex_lock(&t->lock);
    c = counter_of(&op->counters, name);
    pthread_mutex_unlock(&t->lock);
    return c;
}

void wk_task_accumulate(struct wk_op *op, const char *name, int64_t n)
{
    struct wk_task *t = wk_task_of(op);

    pthread_mutex_lock(&t->lock);
    counter_of(&op->accumulators, name)->value += n;
    pthread_mutex_unlock(&t->lock);
}

void wk_task_accumulators(struct wk_task *t, struct map *into)
{
    pthread_mutex_lock(&t->lock);
    for (uint32_t i = 0; i < t->chain.op_count; i++) {
        if (!t->chain.ops[i]->accumulators)
            continue;
        for (struct map_iter it = map_iter(t->chain.ops[i]->accumulators); map_next(&it);)
            counter_of(&into, it.key)->value += rask_counter_value(it.value);
    }
    pthread_mutex_unlock(&t->lock);
}
