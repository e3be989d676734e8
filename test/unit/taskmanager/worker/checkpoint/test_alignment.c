/*
 * test_alignment.c - every order in which elements can meet a barrier, on small graphs of real tasks.
 *
 * A graph is one task with two or three channels, or two tasks one behind the other.  Each channel has a script: rows, barriers of
 * two checkpoints, watermarks, its end; a task may have a script of mail besides.  All interleavings of the scripts with the
 * steps of the tasks are run, each from the start, and every cut is checked: what a task has seen when it freezes is what stood
 * before the barrier in each script, no row more or less (exactly once), or at least that (at least once).  Of barriers that
 * overtake rows, those in flight are part of the cut.
 * Not here: what a snapshot holds of the state (test_snapshot.c), threads (test_flow.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <time.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "test/unit/taskmanager/worker/still.h"
#include "test/unit/every.h"

enum { CHANNELS = 3, TASKS = 2, CHECKPOINTS = 2, CHOICES_MAX = 256 };

/*
 * r row · d an element of two rows · w watermark (100 x its place in the script) · 1 2 barriers · e end of input.
 * Mail: x, y checkpoint 1, 2 is given up · b, t begin checkpoint 1, 2 if no channel lives · h barriers of checkpoint 1 have waited for long.
 */
struct graph_case {
    const char *what;
    const char *scripts[CHANNELS]; /* NULL: no such channel */
    const char *mail[TASKS];
    bool two_tasks;                /* the second one reads the first one and the last channel */
    bool at_least_once;
    bool unaligned, timeout;       /* barriers overtake at once; when mail tells them to */
    bool row_by_row;               /* the operator consumes one row in a call */
    bool slow;                     /* a step ends after one call */
    uint32_t credit;               /* between the two tasks */
    uint32_t steps_held_back;      /* how often, at most, a task that is ready has to wait for more; the rest run at once */
};

/* ---- choices: a path through the tree of what may come next, and the next path ---- */

static struct {
    uint8_t options[CHOICES_MAX], taken[CHOICES_MAX];
    uint32_t depth, known;
    uint64_t paths, choices;
} tree;

static uint32_t choose(uint32_t options)
{
    CHECK(options > 0);
    if (options == 1)
        return 0;
    CHECK(tree.depth < CHOICES_MAX);
    if (tree.depth == tree.known) {
        tree.options[tree.known] = (uint8_t)options;
        tree.taken[tree.known++] = 0;
        tree.choices++;
    }
    CHECK(tree.options[tree.depth] == options); /* the same choices lead to the same place */
    return tree.taken[tree.depth++];
}

static bool next_path(void)
{
    tree.paths++;
    tree.depth = 0;
    for (int i = 1; i < EVERY(4) && tree.known > 0; i++)
        tree.known--; /* what else the last choices could have been */
    while (tree.known > 0 && tree.taken[tree.known - 1] + 1u == tree.options[tree.known - 1])
        tree.known--;
    if (tree.known == 0)
        return false;
    tree.taken[tree.known - 1]++;
    return true;
}

/* ---- a run ---- */

struct seen { /* by a task */
    uint32_t rows[CHANNELS];
    struct {
        uint32_t at_barrier[CHANNELS]; /* when it passed the operator */
        uint32_t in_flight[CHANNELS];  /* bits: of the row with that number */
        uint32_t rows[CHANNELS];       /* both */
        rask_ts watermark;
        uint32_t count;
        bool finished;
    } cut[CHECKPOINTS + 1];
};
static struct run {
    const struct graph_case *c;
    struct pool *pool;
    struct wk_task tasks[TASKS];
    struct wk_op ops[TASKS];
    bool ready[TASKS];
    uint64_t passed_ns;
    struct seen seen[TASKS];
    uint32_t pushed[CHANNELS], mailed[TASKS], held_back;
    char trace[256];
    uint32_t trace_len;
} run;

static const rask_field row_fields[] = {{"channel", RASK_T_BIGINT, 0, 0, 0, NULL}, {"n", RASK_T_BIGINT, 0, 0, 0, NULL}};
static const rask_schema row_schema = {RASK_ABI, 2, "channel_n", row_fields};

static void fail_run(const char *what)
{
    fail_msg("%s: %s, after %s", run.c->what, what, run.trace);
}

static void note(char kind, char element)
{
    CHECK(run.trace_len + 4 < sizeof(run.trace));
    run.trace[run.trace_len++] = kind;
    if (element)
        run.trace[run.trace_len++] = element;
    run.trace[run.trace_len++] = ' ';
    run.trace[run.trace_len] = '\0';
}

static uint32_t task_count(void)
{
    return run.c->two_tasks ? 2 : 1;
}

/* ---- the world around the tasks: nothing happens by itself, and time stands still ---- */

static void set_ready(struct wk_executor *e, struct wk_runnable *r)
{
    (void)e;
    for (uint32_t i = 0; i < TASKS; i++)
        if (r == &run.tasks[i].run)
            run.ready[i] = true;
}
/* None passes; in slow cases it does whenever somebody looks. */
static uint64_t now_ns(struct wk_executor *e)
{
    (void)e;
    if (run.c && run.c->slow)
        run.passed_ns += TASK_BUDGET_NS;
    return 1 + run.passed_ns;
}
static const struct wk_executor_ops executor_ops = {
    .enqueue = set_ready, .wake_at = wake_never, .forget = forget, .now_ns = now_ns, .wall_us = no_date,
};
static struct wk_executor executor = {&executor_ops};

static void on_state(void *arg, struct wk_task *t, Rask__Control__TaskState state, const struct err *error)
{
    (void)arg;
    (void)t;
    if (state == RASK__CONTROL__TASK_STATE__FAILED)
        fail_run(error->text);
}

static struct wk_in *in_of(uint32_t channel);

/* Rows in flight are the receiver's, whichever end has kept them. */
static void add_in_flight(const struct wk_task_snapshot *s)
{
    for (uint32_t k = 0; k < s->inflight.count; k++) {
        const struct wk_inflight_rows *r = &s->inflight.items[k];
        struct seen *seen = &run.seen[r->side == WK_FROM_SENDER ? 1 : s->task->subtask];

        for (uint32_t i = 0; i < r->rows->rows; i++) {
            rask_row row = rask_batch_row(r->rows, i);
            uint32_t channel = (uint32_t)rask_i64(&row, 0);
            uint32_t *bits = &seen->cut[wk_barrier_id(s->value)].in_flight[channel];

            if (r->side == WK_FROM_RECEIVER && s->task->subtask == 0 && r->from != in_of(channel)->source_subtask)
                fail_run("a row in flight is said to be of another channel");
            if (*bits >> rask_i64(&row, 1) & 1)
                fail_run("a row is in flight twice");
            *bits |= 1u << rask_i64(&row, 1);
        }
    }
}

static void on_snapshot(void *arg, struct wk_task_snapshot *s)
{
    uint64_t id = wk_barrier_id(s->value);
    struct seen *seen = &run.seen[s->task->subtask];

    (void)arg;
    CHECK(id >= 1 && id <= CHECKPOINTS);
    add_in_flight(s);
    seen->cut[id].watermark = s->task->watermark;
    seen->cut[id].finished = s->finished;
    if (seen->cut[id].count++ > 0)
        fail_run("a task froze twice for one checkpoint");
    if (id < CHECKPOINTS && seen->cut[id + 1].count > 0)
        fail_run("a task froze for an older checkpoint after a newer one");
    wk_task_snapshot_free(s);
}

static void on_wanted(void *arg)
{
    (void)arg;
    fail_run("a task without sinks asked for a checkpoint");
}

static struct wk_task_host host = {
    .env = &still, .job = "", .on_state = on_state, .on_snapshot = on_snapshot, .on_checkpoint_wanted = on_wanted,
};

/* ---- the operator: notes the rows, and hands them on ---- */

static int tally(rask_op *ctx, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    struct seen *seen = &run.seen[rask_subtask(ctx)];
    uint32_t rows = run.c->row_by_row ? 1 : in->rows - from;
    rask_batch *on = batch_slice((rask_batch *)(uintptr_t)in, from, rows);

    (void)input;
    for (uint32_t i = from; i < from + rows; i++) {
        rask_row row = rask_batch_row(in, i);
        int64_t channel = rask_i64(&row, 0);

        if (rask_i64(&row, 1) != seen->rows[channel])
            fail_run("a row was lost, came twice, or overtook another one");
        seen->rows[channel]++;
    }
    *ret_consumed = rows;
    return rask_emit_batch(rask_main_out(ctx), &on);
}
static int tally_barrier(rask_op *ctx, uint64_t checkpoint)
{
    struct seen *seen = &run.seen[rask_subtask(ctx)];

    memcpy(seen->cut[checkpoint].at_barrier, seen->rows, sizeof(seen->rows));
    return 0;
}
static const rask_operator tally_op = {.abi = RASK_ABI, .name = "tally", .process = tally, .on_barrier = tally_barrier};

/* ---- building ---- */

static void grant_nobody(struct wk_in *in, uint32_t bytes)
{
    (void)in;
    (void)bytes;
}

static bool is_read_by(uint32_t channel, uint32_t task)
{
    if (!run.c->scripts[channel])
        return false;
    return !run.c->two_tasks || (channel == CHANNELS - 1) == (task == 1);
}

/* The channel's place in the gate of its task; those of the second one stand behind the edge. */
static struct wk_in *in_of(uint32_t channel)
{
    uint32_t task = is_read_by(channel, 0) ? 0 : 1, at = task;

    for (uint32_t i = 0; i < channel; i++)
        at += is_read_by(i, task);
    return &run.tasks[task].gate.channels[at];
}

static void task_build(uint32_t number)
{
    struct wk_task *t = &run.tasks[number];
    struct wk_op *op = &run.ops[number];
    uint32_t channels = number;

    wk_task_init(t, &host, &executor);
    t->subtask = number;
    t->name = mem_printf("task %u", number);
    t->flush_at_once = true;
    t->checkpointing = true;
    t->barriers.exactly_once = !run.c->at_least_once;
    t->barriers.may_overtake = run.c->unaligned || run.c->timeout;
    still_place(t, op, &tally_op);
    op->output_count = 1;
    op->outputs = mem_alloc_array(1, sizeof(*op->outputs));
    op->outputs[0].op = op;
    op->outputs[0].out = out_new(run.pool, &row_schema, 0, &wk_op_out_hooks, &op->outputs[0]);
    op->ctx.out = op->outputs[0].out;
    for (uint32_t i = 0; i < CHANNELS; i++)
        channels += is_read_by(i, number);
    wk_gate_init(&t->gate, &t->run, channels);
    for (uint32_t i = 0; i < channels; i++) {
        struct wk_in *in = &t->gate.channels[i];

        in->source_subtask = i;
        in->input = number == 1 ? i : 0;
        in->grant = grant_nobody;
        t->inputs[in->input].channels++;
    }
}

/* From the first task to the second one. */
static void edge_build(void)
{
    struct wk_edge *e = MEM_NEW(struct wk_edge);
    struct wk_output *o = &run.tasks[0].chain.ops[0]->outputs[0];

    *e = (struct wk_edge){.partitioner = RASK__GRAPH__PARTITIONER__FORWARD, .pool = run.pool, .channel_count = 1,
                          .target_parallelism = 1, .max_parallelism = 1, .side = -1};
    e->inflight = &run.tasks[0].barriers.inflight;
    e->channels = mem_alloc_array_lines(1, sizeof(*e->channels));
    e->rank_of_subtask = mem_alloc_array(1, sizeof(uint16_t));
    e->key_columns = mem_alloc_array(1, sizeof(uint16_t));
    wk_out_init(&e->channels[0], &run.tasks[0].run, 0, 0, 0);
    wk_out_connect_local(&e->channels[0], &run.tasks[1].gate.channels[0]);
    run.tasks[0].edges = e;
    run.tasks[0].edge_list = mem_alloc_array(1, sizeof(*run.tasks[0].edge_list));
    run.tasks[0].edge_list[0] = e;
    run.tasks[0].chain.edges = run.tasks[0].edge_list;
    run.tasks[0].chain.edge_count = 1;
    o->edges = mem_alloc_array(1, sizeof(*o->edges));
    o->edges[0] = e;
    o->edge_count = 1;
}

static void task_drop(uint32_t number)
{
    struct wk_task *t = &run.tasks[number];
    struct wk_op *op = &run.ops[number];

    out_free(op->outputs[0].out);
    mem_free(op->outputs[0].edges);
    mem_free(op->outputs);
    still_release(t, op);
}

static void run_begin(const struct graph_case *c, struct pool *pool)
{
    memset(&run, 0, sizeof(run));
    run.c = c;
    run.pool = pool;
    host.pool = pool;
    for (uint32_t i = 0; i < task_count(); i++)
        task_build(i);
    if (c->two_tasks) {
        edge_build();
        wk_in_open(&run.tasks[1].gate.channels[0], c->credit);
    }
}

static void run_end(void)
{
    for (uint32_t i = 0; i < task_count(); i++)
        wk_chain_drop(&run.tasks[i].chain);
    for (uint32_t i = 0; i < task_count(); i++)
        task_drop(i);
}

/* ---- what may come next ---- */

static void push_rows(struct wk_in *in, uint32_t channel, uint32_t first, uint32_t count)
{
    rask_batch *b = batch_new(run.pool, &row_schema, count, 0);
    struct wk_block *block;

    for (uint32_t i = 0; i < count; i++) {
        ((int64_t *)b->columns[0].data)[i] = channel;
        ((int64_t *)b->columns[1].data)[i] = first + i;
    }
    block = wk_block_new(run.pool, &b, 1);
    wk_in_push(in, wk_block_slice(block, 0, count, 16 * count));
    wk_block_unref(block);
}

static void push_control(struct wk_in *in, enum wk_element_type type, int64_t value)
{
    struct wk_block *block = wk_block_new(run.pool, NULL, 1);

    wk_in_push(in, wk_block_control(block, type, value));
    wk_block_unref(block);
}

static int64_t barrier_value(uint64_t checkpoint)
{
    int64_t value = wk_barrier_value(checkpoint, RASK__CONTROL__CHECKPOINT_KIND__CHECKPOINT, false);

    return value | (run.c->unaligned ? WK_BARRIER_UNALIGNED : run.c->timeout ? WK_BARRIER_TIMEOUT : 0);
}

static rask_ts watermark_at(uint32_t place)
{
    return 100 * ((rask_ts)place + 1);
}

static uint32_t rows_before(const char *script, uint32_t end)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < end; i++)
        n += script[i] == 'r' ? 1 : script[i] == 'd' ? 2 : 0;
    return n;
}

static void push_next(uint32_t channel)
{
    uint32_t at = run.pushed[channel]++;
    const char *script = run.c->scripts[channel];
    struct wk_in *in = in_of(channel);

    note((char)('a' + channel), script[at]);
    if (script[at] == 'r' || script[at] == 'd')
        push_rows(in, channel, rows_before(script, at), script[at] == 'd' ? 2 : 1);
    else if (script[at] == 'w')
        push_control(in, WK_WATERMARK, watermark_at(at));
    else if (script[at] == 'e')
        push_control(in, WK_END, 0);
    else
        push_control(in, WK_BARRIER, barrier_value((uint64_t)(script[at] - '0')));
}

static void mail_next(uint32_t task)
{
    char what = run.c->mail[task][run.mailed[task]++];

    note((char)('M' + task), what);
    if (what == 'x' || what == 'y')
        wk_barrier_mail(&run.tasks[task], WK_MAIL_ABORT, barrier_value(what == 'x' ? 1 : 2));
    else if (what == 'h')
        wk_barrier_mail(&run.tasks[task], WK_MAIL_HURRY, barrier_value(1));
    else
        wk_barrier_mail(&run.tasks[task], WK_MAIL_TRIGGER, barrier_value(what == 'b' ? 1 : 2));
}

static void step(uint32_t task)
{
    struct wk_task *t = &run.tasks[task];

    note((char)('S' + task), 0);
    run.ready[task] = false;
    t->run.state = WK_RUNNING;
    t->run.began_ns = now_ns(t->run.executor);
    if (t->run.run(&t->run))
        run.ready[task] = true;
    t->run.state = WK_IDLE;
}

static bool is_told(uint32_t task, char what)
{
    return run.c->mail[task] && memchr(run.c->mail[task], what, run.mailed[task]);
}

/* Tasks that do not align, or not all, have one barrier at a time: the coordinator begins no other before (coordinator.c). */
static bool may_push(uint32_t channel)
{
    char element = run.c->scripts[channel][run.pushed[channel]];
    bool begins = element == '2' && (run.c->at_least_once || run.c->unaligned || run.c->timeout);

    for (uint32_t i = 0; begins && i < task_count(); i++)
        if (run.seen[i].cut[1].count == 0 && !is_told(i, 'x'))
            return false;
    return element != '\0';
}

/* One thing that happens. False: everything has. */
static bool next_event(void)
{
    struct {
        enum { STEP, PUSH, MAIL } type;
        uint32_t of;
    } may[TASKS + CHANNELS + TASKS];
    uint32_t n = 0, steps, taken;

    for (uint32_t i = 0; i < task_count(); i++)
        if (run.ready[i])
            may[n].type = STEP, may[n++].of = i;
    steps = n;
    if (steps == 0 || run.held_back < run.c->steps_held_back) {
        for (uint32_t i = 0; i < CHANNELS; i++)
            if (run.c->scripts[i] && may_push(i))
                may[n].type = PUSH, may[n++].of = i;
        for (uint32_t i = 0; i < task_count(); i++)
            if (run.c->mail[i] && run.c->mail[i][run.mailed[i]])
                may[n].type = MAIL, may[n++].of = i;
    }
    if (n == 0)
        return false;
    taken = choose(n);
    run.held_back += steps > 0 && taken >= steps;
    if (may[taken].type == STEP)
        step(may[taken].of);
    else if (may[taken].type == PUSH)
        push_next(may[taken].of);
    else
        mail_next(may[taken].of);
    return true;
}

/* ---- what had to come out ---- */

/* Where the script's part before the barrier ends: at the barrier, or behind its last element. */
static uint32_t cut_of(const char *script, uint32_t checkpoint)
{
    return (uint32_t)strcspn(script, (char[]){(char)('0' + checkpoint), 0});
}

static bool has_barrier(uint32_t channel, uint32_t checkpoint)
{
    return run.c->scripts[channel][cut_of(run.c->scripts[channel], checkpoint)] != '\0';
}

/* It ends before it. (One that goes on with the next barrier was told that this one is given up.) */
static bool ends_before(uint32_t channel, uint32_t checkpoint)
{
    const char *script = run.c->scripts[channel];

    return !has_barrier(channel, checkpoint) && strchr(script, 'e') &&
           !(checkpoint < CHECKPOINTS && has_barrier(channel, checkpoint + 1));
}

static bool reaches(uint32_t channel, uint32_t task)
{
    return run.c->scripts[channel] && (task == 1 || is_read_by(channel, 0));
}

/* Every channel gives the barrier or ends without it, and one at least gives it. */
static bool is_whole(uint32_t task, uint32_t checkpoint)
{
    bool any = false;

    for (uint32_t i = 0; i < CHANNELS; i++) {
        if (!reaches(i, task))
            continue;
        if (has_barrier(i, checkpoint))
            any = true;
        else if (!ends_before(i, checkpoint))
            return false;
    }
    return any;
}

/* Of what stands before the barrier: the least of the greatest, over channels that have not ended. TS_MAX: all have. */
static rask_ts watermark_before(uint32_t task, uint32_t checkpoint)
{
    rask_ts least = RASK_TS_MAX;

    for (uint32_t i = 0; i < CHANNELS; i++) {
        uint32_t end = reaches(i, task) ? cut_of(run.c->scripts[i], checkpoint) : 0;
        rask_ts greatest = RASK_TS_MIN;

        if (!reaches(i, task) || !has_barrier(i, checkpoint))
            continue;
        for (uint32_t at = 0; at < end; at++)
            if (run.c->scripts[i][at] == 'w')
                greatest = watermark_at(at);
        least = MIN(least, greatest);
    }
    return least;
}

/* Rows of the cut: state, and what is in flight behind it without a gap. */
static uint32_t rows_in_cut(const struct seen *seen, uint32_t checkpoint, uint32_t channel)
{
    uint32_t rows = seen->cut[checkpoint].at_barrier[channel], bits = seen->cut[checkpoint].in_flight[channel] >> rows;

    if (seen->cut[checkpoint].in_flight[channel] != bits << rows)
        fail_run("a row is in flight that the state has");
    for (; bits & 1; bits >>= 1)
        rows++;
    if (bits)
        fail_run("a row before one in flight is not in the cut");
    return rows;
}

static void check_cut(uint32_t task, uint32_t checkpoint)
{
    struct seen *seen = &run.seen[task];

    for (uint32_t i = 0; i < CHANNELS; i++) {
        uint32_t before;

        seen->cut[checkpoint].rows[i] = rows_in_cut(seen, checkpoint, i);
        if (!reaches(i, task))
            continue;
        if (!has_barrier(i, checkpoint) && !ends_before(i, checkpoint))
            fail_run("a cut without the barrier of a channel that lives");
        before = rows_before(run.c->scripts[i], cut_of(run.c->scripts[i], checkpoint));
        if (task == 1 && is_read_by(i, 0) && run.seen[0].cut[checkpoint].count > 0) /* the others wait before the first task */
            before = run.seen[0].cut[checkpoint].at_barrier[i];
        if (seen->cut[checkpoint].rows[i] < before)
            fail_run("a row before the barrier is not in the cut");
        if (!run.c->at_least_once && seen->cut[checkpoint].rows[i] > before)
            fail_run("a row behind the barrier is in the cut");
    }
    if (!run.c->at_least_once && !run.c->unaligned && !run.c->timeout && !seen->cut[checkpoint].finished && is_whole(task, checkpoint) &&
        seen->cut[checkpoint].watermark != watermark_before(task, checkpoint))
        fail_run("the watermark of the cut is not that before the barrier");
}

/* The task is told so, or the one before it. */
static bool is_given_up(uint32_t task, uint32_t checkpoint)
{
    char what = checkpoint == 1 ? 'x' : 'y';

    return (run.c->mail[task] && strchr(run.c->mail[task], what)) || (task == 1 && run.c->mail[0] && strchr(run.c->mail[0], what));
}

static void check_task(uint32_t task)
{
    const struct seen *seen = &run.seen[task];
    bool ends = true;

    for (uint32_t i = 0; i < CHANNELS; i++) {
        if (!reaches(i, task))
            continue;
        if (seen->rows[i] != rows_before(run.c->scripts[i], (uint32_t)strlen(run.c->scripts[i])))
            fail_run("a row never came");
        ends = ends && strchr(run.c->scripts[i], 'e') != NULL;
    }
    for (uint32_t k = 1; k <= CHECKPOINTS; k++) {
        if (seen->cut[k].count > 0)
            check_cut(task, k);
        else if (is_whole(task, k) && !is_given_up(task, k))
            fail_run("a barrier came on every channel, and the task did not freeze");
    }
    if (ends && !wk_task_is_finished(&run.tasks[task]))
        fail_run("every channel has ended, the task has not");
}

/* ---- the tests ---- */

static void explore(const struct graph_case *cases, size_t count)
{
    struct pool *pool = pool_new(64u << 20);
    struct timespec began, now;

    clock_gettime(CLOCK_MONOTONIC, &began);
    memset(&tree, 0, sizeof(tree));
    for (size_t i = 0; i < count; i++) {
        uint64_t before = tree.paths;

        do {
            run_begin(&cases[i], pool);
            while (next_event())
                continue;
            for (uint32_t t = 0; t < task_count(); t++)
                check_task(t);
            run_end();
        } while (next_path());
        print_message("%8llu interleavings: %s\n", (unsigned long long)(tree.paths - before), cases[i].what);
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    print_message("%8llu in all, %.1f s\n", (unsigned long long)tree.paths,
                  (double)(now.tv_sec - began.tv_sec) + (double)(now.tv_nsec - began.tv_nsec) / 1e9);
    assert_true(tree.paths > 10000 / EVERY(4));
    pool_free(pool);
}

static void one_task_cuts_at_the_barrier(void **state)
{
    static const struct graph_case cases[] = {
        {"two channels, two checkpoints, any step", {"r1r2", "r1r2r"}, .steps_held_back = 9},
        {"two channels with watermarks and ends", {"w1rw2e", "rw1wr2e"}, .steps_held_back = 2},
        {"a channel ends between the barriers", {"r1re", "r1r2re"}, .steps_held_back = 3},
        {"a channel ends before any barrier", {"rwe", "r1r2re"}, .steps_held_back = 3},
        {"three channels, two checkpoints", {"r1r2", "1r2r", "r12r"}, .steps_held_back = 0},
        {"three channels, steps held back", {"1r2", "r12", "1r2"}, .steps_held_back = 2},
        {"three channels that end one by one", {"re", "1re", "r12e"}, .steps_held_back = 1},
    };

    (void)state;
    explore(cases, sizeof(cases) / sizeof(*cases));
}

static void a_checkpoint_that_was_given_up_holds_nothing_back(void **state)
{
    static const struct graph_case cases[] = {
        {"given up while both align", {"r1r2re", "r1r2re"}, .mail = {"x"}},
        {"given up, steps held back", {"1r2e", "r12r"}, .mail = {"x"}, .steps_held_back = 3},
        {"a channel never brings the barrier", {"r1r2r", "rr2r"}, .mail = {"x"}, .steps_held_back = 1},
        {"a newer barrier takes over by itself", {"r1r2r", "rr2re"}, .steps_held_back = 3},
        {"three channels, one without the barrier", {"r1r2", "1r2r", "r2r"}, .mail = {"x"}},
        {"all end, and the next one is begun by mail", {"r1re", "rre"}, .mail = {"xt"}, .steps_held_back = 2},
    };

    (void)state;
    explore(cases, sizeof(cases) / sizeof(*cases));
}

/* Checkpoints under way beside each other (max-concurrent-checkpoints): each is given up by itself. */
static void an_older_checkpoint_outlives_a_newer_one(void **state)
{
    static const struct graph_case cases[] = {
        {"the newer one is given up, any step", {"r1r2", "r1r2r"}, .mail = {"y"}, .steps_held_back = 2},
        {"the newer one is given up, and ends come", {"r1r2e", "1re"}, .mail = {"y"}, .steps_held_back = 2},
        {"the newer one is given up: three channels", {"r1r2", "1r2", "r12"}, .mail = {"y"}},
        {"both are given up, the newer one first", {"r1r2re", "r1r2"}, .mail = {"yx"}},
        {"the newer one is given up in both tasks", {"r1r2e", NULL, "r1r2"}, .mail = {"y", "y"}, .two_tasks = true, .credit = 1},
        {"the newer one is given up in the first task", {"r1r2", NULL, "r1"}, .mail = {"y"}, .two_tasks = true, .credit = 1},
    };

    (void)state;
    explore(cases, sizeof(cases) / sizeof(*cases));
}

static void two_tasks_cut_the_same(void **state)
{
    static const struct graph_case cases[] = {
        {"two tasks with room between them", {"r1r2e", NULL, "r1r2e"}, .two_tasks = true, .credit = 1 << 16, .steps_held_back = 1},
        {"two tasks, one row of credit", {"rr1r2e", NULL, "r1r2e"}, .two_tasks = true, .credit = 1, .steps_held_back = 1},
        {"two channels and a third behind them", {"r1r2", "r1r2", "1r2"}, .two_tasks = true, .credit = 1},
        {"watermarks over two tasks", {"w1rw2e", NULL, "wr1w2e"}, .two_tasks = true, .credit = 1, .steps_held_back = 1},
        {"each is told that it was given up", {"r1r2e", NULL, "r1r2e"}, .mail = {"x", "x"}, .two_tasks = true, .credit = 1},
    };

    (void)state;
    explore(cases, sizeof(cases) / sizeof(*cases));
}

static void at_least_once_leaves_nothing_out(void **state)
{
    static const struct graph_case cases[] = {
        {"two channels, two checkpoints", {"r1r2re", "r1r2re"}, .at_least_once = true, .steps_held_back = 2},
        {"three channels", {"r1r2", "1r2r", "r12e"}, .at_least_once = true, .steps_held_back = 1},
        {"given up", {"r1r2re", "rr2re"}, .mail = {"x"}, .at_least_once = true, .steps_held_back = 1},
        {"two tasks", {"r1r2e", NULL, "r1r2e"}, .two_tasks = true, .at_least_once = true, .credit = 1, .steps_held_back = 2},
        {"the older barrier comes last", {"12r", "r1r2"}, .at_least_once = true, .steps_held_back = 3},
        {"the newer one is given up", {"r1r2", "r1r2r"}, .mail = {"y"}, .at_least_once = true, .steps_held_back = 1},
        {"a channel ends behind both", {"12re", "r1r2"}, .at_least_once = true, .steps_held_back = 2},
    };

    (void)state;
    explore(cases, sizeof(cases) / sizeof(*cases));
}

static void barriers_that_overtake_take_the_rows_along(void **state)
{
    static const struct graph_case cases[] = {
        {"unaligned: two channels, any step", {"rr1r2", "r1rr2"}, .unaligned = true, .steps_held_back = 9},
        {"unaligned: ends", {"r1re", "rr1r2re"}, .unaligned = true, .steps_held_back = 4},
        {"unaligned: rows of two channels are half consumed", {"d1r", "dr1"}, .unaligned = true, .row_by_row = true, .slow = true,
         .steps_held_back = 4},
        {"unaligned: a channel ends before any barrier", {"rrwe", "r1r2re"}, .unaligned = true, .steps_held_back = 4},
        {"unaligned: three channels", {"r1r2", "1r2", "r12r"}, .unaligned = true, .steps_held_back = 1},
        {"unaligned: three channels that end", {"re", "1re", "r12e"}, .unaligned = true, .steps_held_back = 2},
        {"unaligned: given up", {"r1r2e", "rr1r2e"}, .mail = {"x"}, .unaligned = true, .steps_held_back = 1},
        {"unaligned: a channel without the barrier", {"r1r2", "1r2r", "r2r"}, .mail = {"x"}, .unaligned = true},
        {"unaligned: all end, the next is begun by mail", {"r1re", "rre"}, .mail = {"xt"}, .unaligned = true, .steps_held_back = 2},
    };

    (void)state;
    explore(cases, sizeof(cases) / sizeof(*cases));
}

static void barriers_overtake_from_task_to_task(void **state)
{
    static const struct graph_case cases[] = {
        {"unaligned: two tasks", {"rr1r2e", NULL, "r1r2e"}, .two_tasks = true, .unaligned = true, .credit = 1 << 16, .steps_held_back = 1},
        {"unaligned: one row of credit", {"rrr1r2", NULL, "r1r2e"}, .two_tasks = true, .unaligned = true, .credit = 1,
         .steps_held_back = 1},
        {"unaligned: row by row", {"rrrr1rr2re", NULL, "1r2e"}, .two_tasks = true, .unaligned = true, .row_by_row = true, .credit = 1,
         .steps_held_back = 1},
        {"unaligned: two channels and a third", {"rr1r", "r1r", "1r"}, .two_tasks = true, .unaligned = true, .row_by_row = true,
         .credit = 1, .steps_held_back = 1},
        {"unaligned: an end that waits", {"rre", "r1e", "1e"}, .two_tasks = true, .unaligned = true, .row_by_row = true, .credit = 1,
         .steps_held_back = 1},
        {"unaligned: both are told it is given up", {"rr1r2e", NULL, "1r2"}, .mail = {"x", "x"}, .two_tasks = true,
         .unaligned = true, .row_by_row = true, .credit = 1},
    };

    (void)state;
    explore(cases, sizeof(cases) / sizeof(*cases));
}

static void barriers_that_waited_overtake_when_told(void **state)
{
    static const struct graph_case cases[] = {
        {"timeout: never", {"r1r2", "rr1r2e"}, .timeout = true, .steps_held_back = 3},
        {"timeout: two channels", {"rr1r", "r1rre"}, .mail = {"h"}, .timeout = true, .steps_held_back = 2},
        {"timeout: three channels", {"r1re", "1rr", "re"}, .mail = {"h"}, .timeout = true, .steps_held_back = 1},
        {"timeout: given up", {"rr1r2", "r1r2e"}, .mail = {"hx"}, .timeout = true, .steps_held_back = 1},
        {"timeout: two tasks", {"rrr1r", NULL, "r1r"}, .mail = {"h", "h"}, .two_tasks = true, .timeout = true, .row_by_row = true,
         .credit = 1, .steps_held_back = 1},
        {"timeout: only the first is told", {"rrr1re", NULL, "r1r"}, .mail = {"h"}, .two_tasks = true, .timeout = true,
         .row_by_row = true, .credit = 1, .steps_held_back = 1},
        {"timeout: only the second is told", {"rrr1r", NULL, "r1re"}, .mail = {NULL, "h"}, .two_tasks = true, .timeout = true,
         .row_by_row = true, .credit = 1, .steps_held_back = 1},
        {"timeout: an end that waits", {"rre", "r1e", "1e"}, .mail = {"h", "h"}, .two_tasks = true, .timeout = true,
         .row_by_row = true, .credit = 1},
    };

    (void)state;
    explore(cases, sizeof(cases) / sizeof(*cases));
}

/* All that a reader is told while it is at its rows: it freezes for checkpoint 1, and perhaps for 2. */
static void begins_with(const struct graph_case *graph, uint32_t second)
{
    struct pool *pool = pool_new(64u << 20);

    run_begin(graph, pool);
    push_next(0);
    push_next(0);
    while (graph->mail[0][run.mailed[0]])
        mail_next(0);
    while (run.ready[0])
        step(0);
    assert_int_equal(run.seen[0].cut[1].count, 1);
    assert_int_equal(run.seen[0].cut[2].count, second);
    run_end();
    pool_free(pool);
}

/* A checkpoint is triggered, and a savepoint, which nothing subsumes; one that is given up does not take the older one along. */
static void a_task_begins_with_each_that_it_was_told(void **state)
{
    static const struct graph_case twice = {"told twice", {"re"}, .mail = {"bt"}};
    static const struct graph_case untold = {"told twice, untold once", {"re"}, .mail = {"bty"}};

    (void)state;
    begins_with(&twice, 1);
    begins_with(&untold, 0);
}

/* A region that starts again beside others: they have checkpoints, of which all tasks hear, before its state is there. */
static void no_mail_wakes_a_task_before_its_state_is_there(void **state)
{
    static const struct graph_case graph = {"held", {"r", "r"}, .mail = {"x"}};
    struct pool *pool = pool_new(64u << 20);

    (void)state;
    run_begin(&graph, pool);
    run.tasks[0].held = 1;
    mail_next(0);
    push_next(0);
    assert_true(run.ready[0]);
    step(0);
    assert_int_equal(run.tasks[0].state, RASK__CONTROL__TASK_STATE__DEPLOYING);
    assert_int_equal(run.seen[0].rows[0], 0);
    run.tasks[0].held = 0;
    step(0);
    assert_int_equal(run.tasks[0].state, RASK__CONTROL__TASK_STATE__RUNNING);
    assert_int_equal(run.seen[0].rows[0], 1);
    run_end();
    pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_task_cuts_at_the_barrier),
        cmocka_unit_test(a_checkpoint_that_was_given_up_holds_nothing_back),
        cmocka_unit_test(an_older_checkpoint_outlives_a_newer_one),
        cmocka_unit_test(two_tasks_cut_the_same),
        cmocka_unit_test(at_least_once_leaves_nothing_out),
        cmocka_unit_test(barriers_that_overtake_take_the_rows_along),
        cmocka_unit_test(barriers_overtake_from_task_to_task),
        cmocka_unit_test(barriers_that_waited_overtake_when_told),
        cmocka_unit_test(a_task_begins_with_each_that_it_was_told),
        cmocka_unit_test(no_mail_wakes_a_task_before_its_state_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
