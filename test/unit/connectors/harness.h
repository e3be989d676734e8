/*
 * harness.h - one source or sink of the table, driven as the worker drives it, without a worker.
 * Virtual time: a wait moves the clock; a wait for a descriptor polls it for at most ten seconds.
 */
#ifndef TEST_CONNECTORS_HARNESS_H
#define TEST_CONNECTORS_HARNESS_H

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <rask/rask.h>

#include "api/runtime.h"
#include "common/base/check.h"
#include "common/types/batch.h"
#include "connectors/connectors.h"

#include "connectors/format.h"

enum { H_PROPERTIES = 16, H_BATCHES = 4096, H_SPLITS = 4096 };

struct harness {
    rask_ctx ctx; /* first */
    struct pool *pool;
    const struct connector *connector;
    struct connector_args args;
    Rask__Graph__OperatorSpec spec;
    Rask__Graph__Property property[H_PROPERTIES];
    Rask__Graph__Property *properties[H_PROPERTIES];
    rask_out *sides[1];
    bool full;
    struct rask_counter counter;
    /* found */
    struct bytes split_id[H_SPLITS];
    uint32_t splits;
    /* emitted */
    rask_batch *batches[H_BATCHES];
    uint32_t batch_count;
    struct bytes side_text; /* rows of side output 0, a line each */
    bool keep_rows;         /* false: rows are counted and dropped */
    uint64_t rows, bytes;
    /* waits */
    rask_ts now;
    int64_t waited_us;
    int wait_fd;
    uint32_t waits, logs;
    char last_log[512];
};

static inline void h_log(rask_ctx *ctx, int level, const char *text)
{
    struct harness *h = (struct harness *)ctx;

    (void)level;
    h->logs++;
    snprintf(h->last_log, sizeof(h->last_log), "%s", text);
}
static inline struct rask_counter *h_counter(rask_ctx *ctx, const char *name)
{
    assert_string_equal(name, "bad_rows");
    return &((struct harness *)ctx)->counter;
}
static inline rask_ts h_now(rask_ctx *ctx)
{
    return ((struct harness *)ctx)->now;
}
static inline void h_wake_in(rask_ctx *ctx, int64_t us)
{
    ((struct harness *)ctx)->waited_us = us;
}
static inline void h_wake_on_fd(rask_ctx *ctx, int fd)
{
    ((struct harness *)ctx)->wait_fd = fd;
}
static const struct rask_ctx_ops h_ops = {
    .log = h_log, .counter = h_counter, .processing_time = h_now, .wake_in = h_wake_in, .wake_on_fd = h_wake_on_fd};

static inline void h_take(struct harness *h, rask_batch *b)
{
    h->rows += b->rows;
    h->bytes += batch_row_bytes(b);
    h->full = true;
    if (h->keep_rows) {
        assert_true(h->batch_count < H_BATCHES);
        h->batches[h->batch_count++] = b;
    } else {
        batch_unref(b);
    }
}
static inline int h_full(rask_out *out, void *arg)
{
    rask_batch *b = out_take(out);

    if (b)
        h_take(arg, b);
    return 0;
}
static inline int h_batch(rask_out *out, void *arg, rask_batch **batch)
{
    h_full(out, arg);
    h_take(arg, *batch);
    *batch = NULL;
    return 0;
}
static inline int h_refused(rask_out *out, void *arg, const char *text)
{
    struct harness *h = arg;

    (void)out;
    return rask_fail(&h->ctx, "refused: %s", text);
}
static inline int h_side(rask_out *out, void *arg)
{
    struct harness *h = arg;
    rask_batch *b = out_take(out);

    for (uint32_t i = 0; b && i < b->rows; i++) {
        format_csv(b, i, &h->side_text);
        bytes_add_u8(&h->side_text, '\n');
    }
    batch_unref(b);
    return 0;
}
static inline int h_side_batch(rask_out *out, void *arg, rask_batch **batch)
{
    (void)out;
    (void)arg;
    (void)batch;
    fail_msg("a batch for a side output");
    return -1;
}

static inline void h_property(struct harness *h, const char *key, const char *value)
{
    Rask__Graph__Property *p = &h->property[h->spec.n_properties];

    assert_true(h->spec.n_properties < H_PROPERTIES);
    rask__graph__property__init(p);
    p->key = (char *)(uintptr_t)key;
    p->value = (char *)(uintptr_t)value;
    h->properties[h->spec.n_properties++] = p;
}

static inline struct harness *h_new(const char *connector, const rask_schema *schema)
{
    static const struct out_hooks hooks = {h_full, h_batch, h_refused}, side = {h_side, h_side_batch, h_refused};
    struct harness *h = MEM_NEW(struct harness);

    for (const struct connector *const *c = connectors_builtin; *c; c++)
        if (strcmp((*c)->name, connector) == 0)
            h->connector = *c;
    assert_non_null(h->connector);
    h->pool = pool_new(0);
    rask__graph__operator_spec__init(&h->spec);
    h->spec.properties = h->properties;
    h->args = (struct connector_args){.spec = &h->spec, .schema = schema, .out_fd = -1, .err_fd = -1, .readers = 1};
    h->ctx.ops = &h_ops;
    h->ctx.args = &h->args;
    h->ctx.parallelism = 1;
    h->ctx.name = connector;
    h->ctx.full = &h->full;
    h->ctx.out = out_new(h->pool, schema, BATCH_KIND, &hooks, h);
    h->sides[0] = out_new(h->pool, &rask_bad_row_schema, 0, &side, h);
    h->ctx.sides = h->sides;
    h->ctx.side_count = 1;
    h->keep_rows = true;
    h->now = 1000;
    h->wait_fd = -1;
    return h;
}

/* Forgets the rows; the pool must be empty then. */
static inline void h_drop_rows(struct harness *h)
{
    for (uint32_t i = 0; i < h->batch_count; i++)
        batch_unref(h->batches[i]);
    h->batch_count = 0;
    h->rows = 0;
}

static inline void h_free(struct harness *h)
{
    h_drop_rows(h);
    out_free(h->ctx.out);
    out_free(h->sides[0]);
    pool_free(h->pool);
    for (uint32_t i = 0; i < h->splits; i++)
        bytes_release(&h->split_id[i]);
    bytes_release(&h->side_text);
    mem_free(h->ctx.self);
    mem_free(h);
}

static inline int h_add_split(struct rask_splits *found, rask_str id, rask_str position)
{
    struct harness *h = found->engine;

    (void)position;
    assert_true(h->splits < H_SPLITS);
    bytes_add(&h->split_id[h->splits++], id.data, id.len);
    return 0;
}

static inline int h_discover(struct harness *h)
{
    struct rask_splits found = {h_add_split, h};

    return h->connector->source->discover(&h->ctx, &found);
}

static inline void h_wait(struct harness *h)
{
    h->waits++;
    if (h->wait_fd >= 0) {
        struct pollfd p = {.fd = h->wait_fd, .events = POLLIN};

        assert_int_equal(poll(&p, 1, 10000), 1);
    } else {
        assert_true(h->waited_us > 0);
        h->now += (h->waited_us + 999) / 1000;
    }
    h->wait_fd = -1;
    h->waited_us = 0;
}

/* polls: stop after so many, as if the job failed there; what the position says is left in slot. */
static inline int h_read_split(struct harness *h, rask_str id, struct rask_split_slot *slot, uint32_t polls)
{
    const rask_source *s = h->connector->source;
    int rc;

    slot->split.id = id;
    slot->split.position = (rask_str){(const char *)slot->position.data, (uint32_t)slot->position.len};
    slot->split.self = s->split_size ? mem_alloc(s->split_size) : NULL;
    rc = s->open_split ? s->open_split(&h->ctx, &slot->split) : 0;
    while (rc >= 0 && !h->ctx.error.code && polls-- > 0) {
        h->full = false;
        rc = s->poll(&h->ctx, &slot->split, h->ctx.out);
        h_full(h->ctx.out, h);
        h_side(h->sides[0], h);
        if (rc == RASK_WAIT)
            h_wait(h);
        if (rc == RASK_END)
            break;
    }
    if (s->close_split)
        s->close_split(&h->ctx, &slot->split);
    mem_free(slot->split.self);
    slot->split.self = NULL;
    return rc;
}

/* The whole source with one reader. 0, or the error's code. */
static inline int h_read(struct harness *h)
{
    const rask_source *s = h->connector->source;
    int rc;

    h->ctx.self = s->self_size ? mem_alloc(s->self_size) : NULL;
    rc = s->open ? s->open(&h->ctx) : 0;
    if (rc == 0)
        rc = h_discover(h);
    for (uint32_t i = 0; i < h->splits && rc >= 0 && !h->ctx.error.code; i++) {
        struct rask_split_slot slot = {0};

        rc = h_read_split(h, (rask_str){(const char *)h->split_id[i].data, (uint32_t)h->split_id[i].len}, &slot,
                          UINT32_MAX);
        bytes_release(&slot.position);
    }
    if (s->close)
        s->close(&h->ctx);
    return h->ctx.error.code ? h->ctx.error.code : rc < 0 ? rc : 0;
}

/* Rows so far, a csv line each. */
static inline void h_rows_text(const struct harness *h, struct bytes *out)
{
    for (uint32_t i = 0; i < h->batch_count; i++)
        for (uint32_t r = 0; r < h->batches[i]->rows; r++) {
            format_csv(h->batches[i], r, out);
            bytes_add_u8(out, '\n');
        }
}

#define assert_rows(h, expected)                                                                                        \
    do {                                                                                                                \
        struct bytes text_ = {0};                                                                                       \
        bytes_add_str(&text_, "");                                                                                      \
        h_rows_text(h, &text_);                                                                                         \
        assert_string_equal(text_.data ? (const char *)text_.data : "", expected);                                      \
        bytes_release(&text_);                                                                                          \
    } while (0)
#define assert_contains(text, part)                                                                                     \
    do {                                                                                                                \
        if (!strstr(text, part))                                                                                        \
            fail_msg("\"%s\" does not say \"%s\"", text, part);                                                         \
    } while (0)

/* ---- rask.max-row-size ---- */

struct h_line { /* of len x's, behind so many bytes of lines of ten */
    uint32_t most, len, before;
    const char *end;
    bool fits;
};
/* Wherever it lies in blocks, and behind the last whole one; with limits that a block holds, and that it does not. */
static inline void h_each_line(void (*check)(const struct h_line *line, const char *text, size_t len, void **state), void **state)
{
    static const uint32_t most[] = {1000, 300000}, before[] = {0, 10, 261070, 262060, 262070, 400000};
    static const char *const ends[] = {"\n", "\r\n", "", "\nafter\n"};

    for (size_t m = 0; m < ARRAY_LEN(most); m++)
        for (size_t b = 0; b < ARRAY_LEN(before); b++)
            for (size_t e = 0; e < 2 * ARRAY_LEN(ends); e++) {
                struct h_line line = {most[m], most[m] + e % 2, before[b], ends[e / 2], e % 2 == 0};
                struct bytes text = {0};

                for (uint32_t i = 0; i < line.before / 10; i++)
                    bytes_add_str(&text, "123456789\n");
                for (uint32_t i = 0; i < line.len; i++)
                    bytes_add_u8(&text, 'x');
                bytes_add_str(&text, line.end);
                check(&line, (const char *)text.data, text.len, state);
                bytes_release(&text);
            }
}
static inline void h_check_line(struct harness *h, const struct h_line *line, int rc, const char *why)
{
    uint32_t rows = line->before / 10 + line->fits + (line->fits && strlen(line->end) > 2);

    if ((rc == 0) != line->fits || h->rows != rows)
        fail_msg("%u bytes behind %u of %u at most, \"%s\": %d \"%s\", %u rows", line->len, line->before, line->most, line->end, rc,
                 h->ctx.error.text, (unsigned)h->rows);
    if (!line->fits)
        assert_contains(h->ctx.error.text, why);
}

/* A sink: open, write, flush, finish, close. 0, or the error's code. */
static inline int h_write(struct harness *h, rask_batch *const *batches, uint32_t count)
{
    const rask_sink *s = h->connector->sink;
    int rc;

    h->ctx.self = s->self_size ? mem_alloc(s->self_size) : NULL;
    rc = s->open ? s->open(&h->ctx) : 0;
    for (uint32_t i = 0; i < count && rc == 0; i++)
        rc = s->write(&h->ctx, batches[i]);
    if (rc == 0 && s->flush)
        rc = s->flush(&h->ctx);
    if (rc == 0 && s->finish)
        rc = s->finish(&h->ctx);
    if (s->close)
        s->close(&h->ctx);
    mem_free(h->ctx.self);
    h->ctx.self = NULL;
    return h->ctx.error.code ? h->ctx.error.code : rc;
}

/* ---- files ---- */

struct folder {
    char path[64];
};
static inline int folder_make(void **state)
{
    struct folder *f = MEM_NEW(struct folder);

    snprintf(f->path, sizeof(f->path), "/tmp/rask-connectors-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    *state = f;
    return 0;
}
static inline int folder_remove(void **state)
{
    struct folder *f = *state;
    char *rm[] = {(char *)"rm", (char *)"-rf", f->path, NULL};
    pid_t pid = fork();

    if (pid == 0) {
        execvp("rm", rm);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
    mem_free(f);
    return 0;
}
static inline char *in_folder(void **state, const char *name)
{
    static char path[4][4200];
    static int next;

    next = (next + 1) % 4;
    snprintf(path[next], sizeof(path[next]), "%s/%s", ((struct folder *)*state)->path, name);
    return path[next];
}
static inline void file_put(const char *path, const void *data, size_t len)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}
static inline void file_put_str(const char *path, const char *text)
{
    file_put(path, text, strlen(text));
}
static inline void file_get(const char *path, struct bytes *out)
{
    char buf[65536];
    size_t n;
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    bytes_clear(out);
    bytes_add_str(out, "");
    while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
        bytes_add(out, buf, n);
    fclose(f);
}
#define assert_file(path, expected)                                                                                     \
    do {                                                                                                                \
        struct bytes text_ = {0};                                                                                       \
        file_get(path, &text_);                                                                                         \
        assert_string_equal(text_.data ? (const char *)text_.data : "", expected);                                      \
        bytes_release(&text_);                                                                                          \
    } while (0)

#endif
