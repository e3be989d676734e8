/* jobs.c - see jobs.h. */
#include "test/sim/cluster/jobs.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"

#define TEXT_MAX_BYTES (64u << 10)
#define LONGEST_PAUSE_MS 20000

RASK_ROW(item, (BIGINT, key), (BIGINT, value), (STRING, text));

static struct job_result results[2 * JOBS_MAX]; /* those of twins are in the second half */

/* ---- the functions; spec comes as rask_args ---- */

struct place {
    uint64_t at;
    uint64_t split;
    rask_ts next; /* endless: when to go on */
};

static const struct job_spec *spec_of(rask_ctx *ctx)
{
    return rask_args(ctx);
}

static int read_discover(rask_ctx *ctx, rask_splits *found)
{
    const struct job_spec *spec = spec_of(ctx);

    for (uint64_t i = 0; i < spec->splits; i++) {
        int rc = rask_split_add(found, (rask_str){(const char *)&i, sizeof(i)}, (rask_str){NULL, 0});

        if (rc)
            return rc;
    }
    return 0;
}

static int read_open(rask_ctx *ctx, rask_split *split)
{
    struct place *p = split->self;

    (void)ctx;
    memcpy(&p->split, split->id.data, sizeof(p->split));
    if (split->position.len == sizeof(p->at))
        memcpy(&p->at, split->position.data, sizeof(p->at));
    return 0;
}

static uint32_t text_len(const struct job_spec *spec, uint64_t value)
{
    return spec->wide ? (uint32_t)(value * 7 % spec->wide) : 0;
}

static int64_t value_at(const struct job_spec *spec, uint64_t split, uint64_t i)
{
    return (int64_t)(split * spec->rows + i);
}

/* The end of a poll, of a pause, or of the split. */
static int read_on(rask_ctx *ctx, const struct job_spec *spec, struct place *p)
{
    int64_t pause_us = spec->pause_us;

    if (p->at >= spec->rows && !spec->endless)
        return RASK_END;
    if (p->at >= spec->rows)
        pause_us = 500000; /* goes on, slowly */
    if (pause_us == 0)
        return RASK_MORE;
    p->next = rask_processing_time(ctx) + pause_us / 1000;
    rask_wake_in(ctx, pause_us);
    return RASK_WAIT;
}

static int read_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    static const char filler[TEXT_MAX_BYTES];
    const struct job_spec *spec = spec_of(ctx);
    struct place *p = split->self;
    int64_t left_ms = p->next - rask_processing_time(ctx);

    if (left_ms > 0 && left_ms <= LONGEST_PAUSE_MS) { /* longer: the clock went back */
        rask_wake_in(ctx, left_ms * 1000);
        return RASK_WAIT;
    }
    for (uint32_t n = 0; n < spec->poll_rows && !rask_op_full(ctx); n++) {
        int64_t value;
        struct item it;
        int rc;

        if (p->at == spec->rows && !spec->endless)
            return RASK_END;
        value = value_at(spec, p->split, p->at++);
        it = (struct item){value % spec->keys, value, {filler, text_len(spec, (uint64_t)value)}};
        rc = item_emit(out, &it);
        if (rc)
            return rc;
        if (p->at > spec->rows)
            break;
    }
    rask_split_position(split, &p->at, sizeof(p->at));
    return read_on(ctx, spec, p);
}

static const rask_source numbers = {
    .abi = RASK_ABI, .name = "numbers", .out = &item_schema, .split_size = sizeof(struct place),
    .discover = read_discover, .open_split = read_open, .poll = read_poll,
};

static bool keep(rask_ctx *ctx, const rask_row *row)
{
    return (uint64_t)rask_i64(row, item_col_value) % 16 >= spec_of(ctx)->drop;
}

static int copy(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    const struct job_spec *spec = spec_of(ctx);
    struct item it = item_at(row);

    if (spec->stumbles && rask_attempt(ctx) == 0 && it.value == (int64_t)(spec->splits * spec->rows / 2))
        return rask_fail(ctx, "value %lld is refused at first", (long long)it.value);
    if (spec->fails && it.value == (int64_t)(spec->splits * spec->rows / 2))
        return rask_fail(ctx, "value %lld is refused", (long long)it.value);
    if (it.text.len != text_len(spec, (uint64_t)it.value))
        return rask_fail(ctx, "a text of %u bytes", it.text.len);
    if (!spec->order)
        it.value = 1;
    for (uint32_t i = 0; i < spec->copies; i++) {
        int rc = item_emit(out, &it);

        if (rc)
            return rc;
    }
    return 0;
}

/* Behind the shuffle: what one split sends of one key takes one way, so it comes in order. */
static int look(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    const struct job_spec *spec = spec_of(ctx);
    struct job_result *r = &results[spec->index];
    struct item it = item_at(row);
    uint64_t split = spec->endless ? 0 : (uint64_t)it.value / spec->rows;
    int64_t *newest;

    if (it.key < 0 || it.key >= JOB_KEYS || split >= JOB_SPLITS) {
        r->wrong = "a row that was never sent";
        return 0;
    }
    newest = &r->newest[it.key][split];
    if (!spec->endless && it.value + 1 < *newest)
        r->wrong = "rows of a channel are out of order";
    *newest = it.value + 1;
    it.value = 1;
    return item_emit(out, &it);
}

static int ones(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct item it = item_at(row);

    (void)ctx;
    it.value = 1;
    return item_emit(out, &it);
}

/* ---- the sink that commits: what it wrote since the last barrier is one committable ---- */

struct writer {
    uint64_t id; /* of the next committable, unique among all attempts */
    uint32_t count, room;
    struct pair {
        int64_t key, value;
    } * pairs;
};

static int writer_write(rask_ctx *ctx, const rask_batch *rows)
{
    struct writer *w = rask_self(ctx);

    for (uint32_t i = 0; i < rows->rows; i++) {
        rask_row row = rask_batch_row(rows, i);
        struct item it = item_at(&row);

        if (w->count == w->room) {
            w->room = w->room ? w->room * 2 : 64;
            w->pairs = mem_realloc(w->pairs, w->room * sizeof(*w->pairs));
        }
        w->pairs[w->count++] = (struct pair){it.key, it.value};
    }
    return 0;
}

static int writer_prepare(rask_ctx *ctx, rask_committables *out)
{
    struct writer *w = rask_self(ctx);
    struct bytes b;
    int rc;

    if (w->count == 0)
        return 0;
    bytes_init(&b);
    bytes_add_u64(&b, (uint64_t)rask_attempt(ctx) << 40 | (uint64_t)rask_subtask(ctx) << 32 | ++w->id);
    bytes_add(&b, w->pairs, w->count * sizeof(*w->pairs));
    w->count = 0;
    rc = rask_committable_add(out, b.data, b.len);
    bytes_release(&b);
    return rc;
}

static int writer_commit(rask_ctx *ctx, rask_bytes committable)
{
    struct job_result *r = &results[spec_of(ctx)->index];
    struct reader in = reader_of(committable.data, committable.len);
    uint64_t id = reader_u64(&in);

    for (uint32_t i = 0; i < r->aborts; i++)
        if (r->aborted[i] == id)
            r->wrong = "what was aborted is committed";
    for (uint32_t i = 0; i < r->commits; i++)
        if (r->committed[i] == id) {
            r->repeated++;
            return 0;
        }
    if (r->commits == JOB_COMMITS_MAX)
        r->wrong = "more commits than a test can remember";
    else
        r->committed[r->commits++] = id;
    while (reader_left(&in) > 0) {
        struct pair p;

        p.key = (int64_t)reader_u64(&in);
        p.value = (int64_t)reader_u64(&in);
        if (p.key < 0 || p.key >= JOB_KEYS) {
            r->wrong = "a key that was never sent";
            continue;
        }
        r->last[p.key] = p.value > r->last[p.key] ? p.value : r->last[p.key];
        r->updates[p.key]++;
        r->rows++;
    }
    return 0;
}

static int writer_abort(rask_ctx *ctx, rask_bytes committable)
{
    struct job_result *r = &results[spec_of(ctx)->index];
    struct reader in = reader_of(committable.data, committable.len);
    uint64_t id = reader_u64(&in);

    SIM_PROBE("job: something prepared is aborted");
    for (uint32_t i = 0; i < r->commits; i++)
        if (r->committed[i] == id)
            r->wrong = "what was committed is aborted";
    if (r->aborts < JOB_COMMITS_MAX)
        r->aborted[r->aborts++] = id;
    return 0;
}

static void writer_close(rask_ctx *ctx)
{
    mem_free(((struct writer *)rask_self(ctx))->pairs);
}

static const rask_sink committer = {.abi = RASK_ABI,
                                    .name = "commit",
                                    .self_size = sizeof(struct writer),
                                    .write = writer_write,
                                    .prepare = writer_prepare,
                                    .commit = writer_commit,
                                    .abort = writer_abort,
                                    .close = writer_close};

static int sink_write(rask_ctx *ctx, const rask_batch *rows)
{
    struct job_result *r = &results[spec_of(ctx)->index];

    for (uint32_t i = 0; i < rows->rows; i++) {
        rask_row row = rask_batch_row(rows, i);
        struct item it = item_at(&row);

        if (it.key < 0 || it.key >= JOB_KEYS) {
            r->wrong = "a key that was never sent";
            continue;
        }
        if (it.value != r->last[it.key] + 1)
            r->wrong = it.value <= r->last[it.key] ? "an update of a key came twice or late"
                                                   : "an update of a key is missing";
        r->last[it.key] = it.value;
        r->updates[it.key]++;
        r->rows++;
    }
    return 0;
}
static const rask_sink collect = {.abi = RASK_ABI, .name = "collect", .write = sink_write};

/* What the artifact holds. Offsets are places in this list: real ones would differ between compilers, and so the hashes. */
static const void *const code[] = {&numbers, (const void *)(uintptr_t)keep, (const void *)(uintptr_t)copy,
                                   (const void *)(uintptr_t)look, (const void *)(uintptr_t)ones, &collect, &committer};

static bool offset_of(void *unused, const void *pointer, uint64_t *ret_offset)
{
    (void)unused;
    *ret_offset = 0;
    for (size_t i = 0; i < ARRAY_LEN(code); i++)
        if (code[i] == pointer)
            *ret_offset = i + 1;
    return *ret_offset > 0;
}

/* ---- drawing, building, interpreting ---- */

static void draw_size(struct sim *sim, struct job_spec *s)
{
    s->splits = (uint32_t)sim_range(sim, 1, JOB_SPLITS);
    s->rows = sim_chance(sim, 1, 4) ? sim_range(sim, 1, 3) : sim_range(sim, 10, 1500);
    s->keys = (uint32_t)sim_range(sim, 1, JOB_KEYS);
    s->drop = (uint32_t)sim_range(sim, 0, 8);
    s->copies = (uint32_t)sim_range(sim, 1, 3);
    s->wide = sim_chance(sim, 1, 2) ? 0 : (uint32_t)sim_range(sim, 1, 400);
    s->poll_rows = (uint32_t)sim_range(sim, 1, 300);
    s->pause_us = sim_chance(sim, 1, 3) ? 0 : (uint32_t)sim_range(sim, 10, 20000);
    s->pause_us *= (uint32_t)sim_range(sim, 1, 30);
    if (sim_chance(sim, 1, 12)) { /* a function that overdraws its output inside one row */
        s->rows = sim_range(sim, 1, 3);
        s->copies = (uint32_t)sim_range(sim, 3000, 5000);
        s->wide = (uint32_t)sim_range(sim, 400, 800);
        s->drop = 0;
    } else if (sim_chance(sim, 1, 12)) { /* rows larger than a channel's credit */
        s->rows = sim_range(sim, 1, 60);
        s->wide = TEXT_MAX_BYTES;
    }
    s->pause_us = MIN(s->pause_us, (uint32_t)(20000000 / (s->rows / s->poll_rows + 1))); /* of a split: 20 s */
}

struct job_spec job_draw(struct sim *sim, uint32_t index)
{
    struct job_spec s;

    memset(&s, 0, sizeof(s)); /* padding too: it travels as bytes */
    s.index = index;
    draw_size(sim, &s);
    s.spread = sim_chance(sim, 1, 2) ? SPREAD_NONE : (enum job_spread)sim_range(sim, 0, SPREAD_COUNT - 1);
    s.parallelism = sim_chance(sim, 1, 3) ? (uint32_t)sim_range(sim, 1, 3) : 0;
    s.second_shuffle = sim_chance(sim, 1, 3);
    s.two_sources = sim_chance(sim, 1, 6);
    s.unchained = sim_chance(sim, 1, 6);
    s.second_group = sim_chance(sim, 1, 10);
    s.no_flush_wait = sim_chance(sim, 1, 4);
    s.fails = sim_chance(sim, 1, 12) && s.rows > 10 && s.drop == 0;
    s.endless = sim_chance(sim, 1, 12);
    s.order = !s.endless && !s.two_sources && s.parallelism == 0 &&
              (s.spread == SPREAD_NONE || s.spread == SPREAD_GLOBAL) && sim_chance(sim, 1, 2);
    if (sim_chance(sim, 1, 2)) {
        s.checkpoint_ms = (uint32_t)sim_range(sim, 10, 2000);
        s.fails = s.order = false; /* it would fail again and again; rows come again */
        s.twin = sim_chance(sim, 1, 3);
        s.unaligned = sim_chance(sim, 1, 2);
        s.aligned_ms = sim_chance(sim, 1, 2) ? (uint32_t)sim_range(sim, 1, 500) : 0;
        s.stumbles = sim_chance(sim, 1, 4);
        s.from_local = sim_chance(sim, 3, 4);
        s.forward = sim_chance(sim, 1, 3);
        if (s.forward) {
            s.second_shuffle = false;
            s.parallelism = 0;
            s.spread = sim_chance(sim, 3, 4) ? SPREAD_NONE : SPREAD_RESCALE;
        }
        s.concurrent = s.unaligned || sim_chance(sim, 1, 2) ? 1 : (uint32_t)sim_range(sim, 2, 16);
        s.at_least_once = !s.unaligned && sim_chance(sim, 1, 3);
    }
    return s;
}

uint32_t job_slot_factor(const struct job_spec *spec)
{
    return (spec->second_group ? 2 : 1) + (spec->twin && !spec->second_group);
}

static rask_stream *spread(rask_stream *s, enum job_spread how)
{
    switch (how) {
    case SPREAD_REBALANCE:
        return rask_rebalance(s);
    case SPREAD_SHUFFLE:
        return rask_shuffle(s);
    case SPREAD_RESCALE:
        return rask_rescale(s);
    case SPREAD_GLOBAL:
        return rask_global(s);
    default:
        return s;
    }
}

static rask_stream *in_the_middle(rask_stream *s, const struct job_spec *spec)
{
    return spec->parallelism ? rask_set_parallelism(s, spec->parallelism) : s;
}

static void job_streams(rask_env *env, const struct job_spec *spec)
{
    rask_stream *s = rask_with(rask_from_source(env, &numbers, NULL), spec, sizeof(*spec));

    if (spec->two_sources)
        s = rask_union(s, rask_with(rask_from_source(env, &numbers, NULL), spec, sizeof(*spec)));
    s = spread(s, spec->spread);
    s = in_the_middle(rask_with(rask_filter(s, keep), spec, sizeof(*spec)), spec);
    s = in_the_middle(rask_with(rask_flat_map(s, copy, &item_schema), spec, sizeof(*spec)), spec);
    if (spec->second_group || spec->index >= JOBS_MAX)
        s = rask_slot_group(s, "second");
    if (spec->order)
        s = rask_with(rask_flat_map(rask_key_by(s, "key"), look, &item_schema), spec, sizeof(*spec));
    if (!spec->forward)
        s = rask_sum(rask_key_by(s, "key"), "value");
    if (spec->second_shuffle) {
        s = rask_flat_map(rask_rebalance(s), ones, &item_schema);
        s = rask_sum(rask_key_by(s, "key"), "value");
    }
    rask_with(rask_sink_to(s, spec->checkpoint_ms ? &committer : &collect), spec, sizeof(*spec));
}

static void take_checkpoints(rask_env *env, const struct job_spec *spec)
{
    char interval[32], timeout[32], concurrent[32];

    snprintf(interval, sizeof(interval), "%u ms", spec->checkpoint_ms);
    rask_set(env, "execution.checkpointing.interval", interval);
    rask_set(env, "execution.checkpointing.dir", SIM_SHARED "/checkpoints");
    rask_set(env, "execution.checkpointing.timeout", "20 s");
    snprintf(concurrent, sizeof(concurrent), "%u", spec->concurrent);
    rask_set(env, "execution.checkpointing.max-concurrent-checkpoints", concurrent);
    if (spec->unaligned) {
        snprintf(timeout, sizeof(timeout), "%u ms", spec->aligned_ms);
        rask_set(env, "execution.checkpointing.unaligned.enabled", "true");
        rask_set(env, "execution.checkpointing.aligned-checkpoint-timeout", timeout);
    }
    if (spec->at_least_once)
        rask_set(env, "execution.checkpointing.mode", "AT_LEAST_ONCE");
    if (spec->from_local)
        rask_set(env, "execution.state-recovery.from-local", "true");
    rask_set(env, "execution.checkpointing.tolerable-failed-checkpoints", "1000000");
    rask_set(env, "restart-strategy.type", "fixed-delay");
    rask_set(env, "restart-strategy.fixed-delay.attempts", "4");
    rask_set(env, "restart-strategy.fixed-delay.delay", "200 ms");
}

void job_graph(const struct job_spec *spec, const struct id *id, const uint8_t hash[32], struct bytes *out)
{
    struct rask_env_options options = {.offset_of = offset_of, .artifact = hash, .artifact_name = "sim"};
    Rask__Graph__StreamGraph *graph;
    struct err err = {0};
    rask_env *env;

    env = rask_env_new(&options);
    if (spec->unchained)
        rask_env_disable_chaining(env);
    if (spec->no_flush_wait)
        rask_set(env, "execution.buffer-timeout.interval", "0 ms");
    if (spec->checkpoint_ms)
        take_checkpoints(env, spec);
    job_streams(env, spec);
    if (spec->twin) { /* it exchanges nothing with the other */
        struct job_spec twin = *spec;

        twin.index += JOBS_MAX;
        twin.stumbles = !spec->stumbles;
        job_streams(env, &twin);
    }
    CHECK(rask_execute(env, "simulated") == 0);
    CHECK(rask_env_graph(env, &graph, &err) == 0);
    if (id) {
        graph->has_job_id = 1;
        graph->job_id = (ProtobufCBinaryData){sizeof(id->bytes), (uint8_t *)(uintptr_t)id->bytes};
    }
    bytes_reserve(out, rask__graph__stream_graph__get_packed_size(graph) + 1);
    out->len = rask__graph__stream_graph__pack(graph, out->data);
    rask_env_free(env);
}

void *job_code(uint64_t offset)
{
    return offset > 0 && offset <= ARRAY_LEN(code) ? (void *)(uintptr_t)code[offset - 1] : NULL;
}

void job_expect(const struct job_spec *spec, struct job_result *ret)
{
    uint64_t copies = (uint64_t)spec->copies * (spec->two_sources ? 2 : 1);

    memset(ret, 0, sizeof(*ret));
    for (uint64_t s = 0; s < spec->splits; s++)
        for (uint64_t i = 0; i < spec->rows; i++) {
            int64_t value = value_at(spec, s, i);

            if ((uint64_t)value % 16 < spec->drop)
                continue;
            if (spec->forward)
                ret->last[value % spec->keys] = 1;
            else
                ret->last[value % spec->keys] += (int64_t)copies;
            ret->updates[value % spec->keys] += copies;
            ret->rows += copies;
        }
}

struct job_result *job_result(uint32_t index)
{
    CHECK(index < JOBS_MAX);
    return &results[index];
}

void job_reset(void)
{
    memset(results, 0, sizeof(results));
}

static bool is_enough(const struct job_spec *spec, uint64_t got, uint64_t want)
{
    return spec->at_least_once ? got >= want : got == want;
}

static const char *compare(const struct job_spec *spec, struct job_result *got)
{
    static char text[200];
    struct job_result want;

    if (got->wrong)
        return got->wrong;
    job_expect(spec, &want);
    for (uint32_t k = 0; k < JOB_KEYS; k++)
        if (!is_enough(spec, (uint64_t)got->last[k], (uint64_t)want.last[k]) ||
            !is_enough(spec, got->updates[k], want.updates[k])) {
            snprintf(text, sizeof(text), "key %u came to %lld in %llu updates, expected %lld in %llu", k, (long long)got->last[k],
                     (unsigned long long)got->updates[k], (long long)want.last[k], (unsigned long long)want.updates[k]);
            return text;
        }
    return NULL;
}

const char *job_compare(const struct job_spec *spec)
{
    const char *differs = compare(spec, &results[spec->index]);

    return differs || !spec->twin ? differs : compare(spec, &results[spec->index + JOBS_MAX]);
}
