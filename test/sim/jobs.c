/* jobs.c - see jobs.h. */
#include "test/sim/jobs.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"

RASK_ROW(item, (BIGINT, key), (BIGINT, value), (STRING, text));

static struct job_result results[JOBS_MAX];
static struct rask_artifact program;

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

static int read_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    static const char filler[4096];
    const struct job_spec *spec = spec_of(ctx);
    struct place *p = split->self;

    if (rask_processing_time(ctx) < p->next) {
        rask_wake_in(ctx, 500000);
        return RASK_WAIT;
    }
    for (int n = 0; n < 300 && !rask_op_full(ctx); n++) {
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
    }
    if (spec->endless && p->at >= spec->rows) { /* goes on, slowly */
        p->next = rask_processing_time(ctx) + 500;
        rask_wake_in(ctx, 500000);
        return RASK_WAIT;
    }
    return RASK_MORE;
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

    if (spec->fails && it.value == (int64_t)(spec->splits * spec->rows / 2))
        return rask_fail(ctx, "value %lld is refused", (long long)it.value);
    if (it.text.len != text_len(spec, (uint64_t)it.value))
        return rask_fail(ctx, "a text of %u bytes", it.text.len);
    for (uint32_t i = 0; i < spec->copies; i++) {
        it.value = 1;
        int rc = item_emit(out, &it);

        if (rc)
            return rc;
    }
    return 0;
}

static int ones(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct item it = item_at(row);

    (void)ctx;
    it.value = 1;
    return item_emit(out, &it);
}

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
            r->wrong = it.value <= r->last[it.key] ? "an update of a key came twice or late" : "an update of a key is missing";
        r->last[it.key] = it.value;
        r->updates[it.key]++;
        r->rows++;
    }
    return 0;
}
static const rask_sink collect = {.abi = RASK_ABI, .name = "collect", .write = sink_write};

/* ---- drawing, building, interpreting ---- */

struct job_spec job_draw(struct sim *sim, uint32_t index)
{
    struct job_spec s;

    memset(&s, 0, sizeof(s)); /* padding too: it travels as bytes */
    s.index = index;
    s.splits = (uint32_t)sim_range(sim, 1, 6);
    s.rows = sim_range(sim, 0, 3) == 0 ? sim_range(sim, 0, 3) : sim_range(sim, 10, 4000);
    s.keys = (uint32_t)sim_range(sim, 1, JOB_KEYS);
    s.drop = (uint32_t)sim_range(sim, 0, 8);
    s.copies = (uint32_t)sim_range(sim, 1, 3);
    s.wide = sim_chance(sim, 1, 2) ? 0 : (uint32_t)sim_range(sim, 1, 400);
    s.rebalance = sim_chance(sim, 1, 2);
    s.second_shuffle = sim_chance(sim, 1, 3);
    s.fails = sim_chance(sim, 1, 12) && s.rows > 10 && s.drop == 0;
    s.endless = sim_chance(sim, 1, 12);
    return s;
}

void job_graph(const struct job_spec *spec, const struct id *id, const uint8_t hash[32], struct bytes *out)
{
    struct rask_env_options options = {.offset_of = rask_artifact_offset, .arg = &program, .artifact = hash, .artifact_name = "sim"};
    Rask__Graph__StreamGraph *graph;
    struct err err = {0};
    rask_stream *s;
    rask_env *env;

    CHECK(rask_artifact_of(&numbers, &program, NULL) == 0);
    env = rask_env_new(&options);
    s = rask_with(rask_from_source(env, &numbers, NULL), spec, sizeof(*spec));
    if (spec->rebalance)
        s = rask_rebalance(s);
    s = rask_with(rask_filter(s, keep), spec, sizeof(*spec));
    s = rask_with(rask_flat_map(s, copy, &item_schema), spec, sizeof(*spec));
    s = rask_sum(rask_key_by(s, "key"), "value");
    if (spec->second_shuffle) {
        s = rask_flat_map(rask_rebalance(s), ones, &item_schema);
        s = rask_sum(rask_key_by(s, "key"), "value");
    }
    rask_with(rask_sink_to(s, &collect), spec, sizeof(*spec));
    CHECK(rask_execute(env, "simulated") == 0);
    CHECK(rask_env_graph(env, &graph, &err) == 0);
    graph->has_job_id = 1;
    graph->job_id = (ProtobufCBinaryData){sizeof(id->bytes), (uint8_t *)(uintptr_t)id->bytes};
    bytes_reserve(out, rask__graph__stream_graph__get_packed_size(graph) + 1);
    out->len = rask__graph__stream_graph__pack(graph, out->data);
    rask_env_free(env);
}

void *job_code(uint64_t offset)
{
    return rask_artifact_pointer(&program, offset, 1);
}

void job_expect(const struct job_spec *spec, struct job_result *ret)
{
    memset(ret, 0, sizeof(*ret));
    for (uint64_t s = 0; s < spec->splits; s++)
        for (uint64_t i = 0; i < spec->rows; i++) {
            int64_t value = value_at(spec, s, i);

            if ((uint64_t)value % 16 < spec->drop)
                continue;
            ret->last[value % spec->keys] += spec->copies;
            ret->updates[value % spec->keys] += spec->copies;
            ret->rows += spec->copies;
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

const char *job_compare(const struct job_spec *spec)
{
    static char text[200];
    struct job_result want, *got = &results[spec->index];

    if (got->wrong)
        return got->wrong;
    job_expect(spec, &want);
    for (uint32_t k = 0; k < JOB_KEYS; k++)
        if (got->last[k] != want.last[k] || got->updates[k] != want.updates[k]) {
            snprintf(text, sizeof(text), "key %u came to %lld in %llu updates, expected %lld in %llu", k, (long long)got->last[k],
                     (unsigned long long)got->updates[k], (long long)want.last[k], (unsigned long long)want.updates[k]);
            return text;
        }
    return NULL;
}
