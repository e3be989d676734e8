/*
 * test_write.c - a worker's part of a checkpoint on a simulated disk: what it acknowledges is there after a power cut, and a disk
 * that fails at any call fails the checkpoint with the reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/ckpt/ckpt_file.h"
#include "common/fs/fs.h"
#include "taskmanager/worker/checkpoint/write.h"
#include "taskmanager/worker/task/executor.h"
#include "taskmanager/worker/task/task.h"
#include "test/sim/sim.h"
#include "test/unit/taskmanager/worker/checkpoint/node.h"

enum { TEXT, SPLITS, KEYS = 300, VALUE_BYTES = 1000 };
static const rask_state declared[] = {
    {.kind = RASK_VALUE, .name = "text"}, {.kind = RASK_OPERATOR_LIST, .name = "splits"}, {0}};

struct bench {
    struct sim *sim;
    struct sim_node *node;
    struct wk_state_budget budget;
    struct wk_state *state;
    struct wk_task task; /* its name alone */
    /* what came of the last one */
    bool done;
    int code;
    char text[512];
    uint32_t files, durable, damaged;
    uint64_t checkpoint;
    const char *dir, *shared;
    struct wk_executor *executor;
    uint64_t done_ns;
};

static void change(struct bench *b, char with)
{
    char value[VALUE_BYTES];

    memset(value, with, sizeof(value));
    for (uint32_t i = 0; i < KEYS; i++) {
        rask_str key = {(const char *)&i, 4};

        assert_int_equal(wk_state_write(b->state, TEXT, hash_xxh3(key.data, key.len), key, value, sizeof(value), NULL), 0);
    }
}

static bool is_done(void *arg)
{
    return ((struct bench *)arg)->done;
}

static void on_made(void *arg, const struct fs_result *result)
{
    struct bench *b = arg;

    b->done = true;
    b->code = result->code;
}

static void make_folder(struct bench *b, const char *path)
{
    struct fs *fs = sim_env(b->node)->fs;

    b->done = false;
    fs->ops->mkdirs(fs, path, on_made, b);
    assert_true(sim_run_until(b->sim, is_done, b, 60 * (uint64_t)SIM_S));
    assert_int_equal(b->code, 0);
}

static struct bench *bench_new(uint64_t seed)
{
    struct bench *b = MEM_NEW(struct bench);
    struct wk_state_options o = {.decl = declared, .budget = &b->budget, .name = "count", .uid = "count"};
    char split[VALUE_BYTES];

    b->sim = sim_new(seed);
    b->node = sim_node_add(b->sim, "w", &node_kind, b);
    sim_boot(b->node);
    b->task.name = (char *)(uintptr_t)"count (1/2)";
    b->budget.limit_bytes = 64u << 20;
    memcpy(o.operator_id, "an operator of 1", 16);
    b->state = wk_state_new(&o);
    change(b, 'a');
    for (int i = 0; i < 100; i++) {
        memset(split, 's', sizeof(split));
        assert_int_equal(wk_state_list_add(b->state, SPLITS, split, sizeof(split), NULL), 0);
    }
    make_folder(b, "/ckpt/shared");
    return b;
}

static void bench_free(struct bench *b)
{
    bool good;

    wk_state_free(b->state);
    good = sim_free(b->sim);
    mem_free(b);
    assert_true(good);
}

static void look_at_file(struct bench *b, const struct ckpt_file *f)
{
    char *path = strncmp(f->path, "../", 3) == 0 ? mem_printf("/ckpt/%s", f->path + 3) : mem_printf("%s/%s", b->dir, f->path);
    struct err err = {0};
    uint8_t *data;
    size_t len;

    data = sim_disk_durable(b->node, path, &len);
    b->files++;
    b->durable += data != NULL;
    b->damaged += data && (len != f->size || hash_crc32c(0, data, len) != f->crc || ckpt_file_check(data, len, path, NULL, &err) != 0);
    mem_free(data);
    mem_free(path);
}

/* The acknowledgement: at this moment everything that it names has to be safe. */
static void on_written(void *arg, const struct err *error, const struct ckpt_meta *meta, const uint64_t *bytes)
{
    struct bench *b = arg;

    b->done = true;
    b->done_ns = env_now_ns(sim_env(b->node));
    b->code = error ? error->code : 0;
    snprintf(b->text, sizeof(b->text), "%s", error ? error->text : "");
    if (error)
        return;
    assert_true(bytes[0] > 0);
    for (uint32_t i = 0; i < meta->file_count; i++)
        look_at_file(b, &meta->files[i]);
}

static void write_state(struct bench *b, bool savepoint)
{
    struct wk_task_snapshot *s = MEM_NEW(struct wk_task_snapshot), **list = mem_alloc_array(1, sizeof(struct wk_task_snapshot *));
    struct ckpt_meta *meta = ckpt_meta_new();
    struct ckpt_operator op;
    struct err err = {0};
    char dir[32];
    struct wk_write_options o = {.env = sim_env(b->node), .checkpoint = ++b->checkpoint, .dir = dir, .executor = b->executor,
                                 .shared_dir = savepoint ? NULL : "/ckpt/shared", .done = on_written, .arg = b};
    uint32_t at;

    snprintf(dir, sizeof(dir), "/ckpt/chk-%u", (unsigned)b->checkpoint);
    b->dir = dir;
    list_init(&s->node);
    s->task = &b->task;
    s->ops = mem_alloc_array(1, sizeof(*s->ops));
    s->op_count = 1;
    s->ops[0] = wk_state_freeze(b->state, b->checkpoint, savepoint ? WK_SNAPSHOT_SAVEPOINT : WK_SNAPSHOT_FULL);
    list[0] = s;
    wk_state_describe(b->state, &op);
    at = ckpt_meta_operator(meta, &op);
    for (uint32_t i = 0; i < op.state_count; i++)
        assert_int_equal(ckpt_meta_state(meta, at, &op.states[i], &err), 0);
    b->done = false;
    b->files = b->durable = b->damaged = 0;
    (void)wk_writing_start(&o, meta, list, 1);
    assert_true(sim_run_until(b->sim, is_done, b, 60 * (uint64_t)SIM_S));
    assert_true(b->done);
}

/* ---- power cuts ---- */

static bool is_safe(const struct bench *b)
{
    return b->code == 0 && b->durable == b->files && b->damaged == 0;
}

static void each_sync_is_needed(bool savepoint, uint32_t files)
{
    for (uint64_t skipped = 0, syncs = 0; skipped <= syncs; skipped++) {
        struct bench *b = bench_new(7);
        uint64_t before;
        char dir[32];

        snprintf(dir, sizeof(dir), "/ckpt/chk-1");
        make_folder(b, dir);
        before = sim_disk_skip_sync(b->node, dir, skipped);
        write_state(b, savepoint);
        assert_int_equal(b->code, 0);
        assert_int_equal(b->files, files);
        if (skipped == 0) {
            syncs = sim_disk_skip_sync(b->node, dir, 0) - before;
            assert_int_equal(syncs, 2 * files); /* of each: its bytes, its name */
            assert_true(is_safe(b));
        } else if (is_safe(b)) {
            fail_msg("sync %u of %u was left out, and nothing was lost", (unsigned)skipped, (unsigned)syncs);
        }
        bench_free(b);
    }
}

static void acknowledged_state_survives_a_power_cut(void **state)
{
    (void)state;
    each_sync_is_needed(false, 2); /* shared and exclusive */
}

static void an_acknowledged_savepoint_survives_a_power_cut(void **state)
{
    (void)state;
    each_sync_is_needed(true, 1);
}

/* ---- disks that fail ---- */

static void a_call_that_fails_fails_the_checkpoint_with_its_reason(void **state)
{
    static const int codes[] = {ERR_NO_SPACE, ERR_PERMISSION, ERR_NOT_FOUND, ERR_IO};

    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(codes); k++) {
        struct bench *b = bench_new(3);
        uint64_t failing = 0;

        do {
            char dir[32];

            snprintf(dir, sizeof(dir), "/ckpt/chk-%u", (unsigned)b->checkpoint + 1);
            make_folder(b, dir);
            (void)sim_disk_fail_call(b->node, dir, ++failing, codes[k]);
            write_state(b, false);
            (void)sim_disk_fail_call(b->node, dir, 0, 0);
            if (b->code != 0) {
                assert_int_equal(b->code, codes[k]);
                if (!strstr(b->text, "the state of \"count (1/2)\": cannot ") || !strstr(b->text, "/ckpt/"))
                    fail_msg("what was being done to whose file is not said: %s", b->text);
            }
        } while (b->code != 0);
        assert_true(failing > 8); /* open, append, sync of two files, and their folders */
        assert_true(is_safe(b));  /* that no call failed of; those before left nothing that hurts it */
        bench_free(b);
    }
}

static uint32_t is_free(struct wk_executor *e)
{
    (void)e;
    return 0;
}
static uint32_t of_two(struct wk_executor *e)
{
    (void)e;
    return 2;
}
static const struct wk_executor_ops free_ops = {.busy = is_free}, busy_ops = {.busy = of_two};

/* Nanoseconds that 24 MB take. */
static uint64_t time_of_writing(const struct wk_executor_ops *ops)
{
    struct wk_executor executor = {.ops = ops};
    struct bench *b = bench_new(5);
    static const char value[VALUE_BYTES];
    uint64_t began;

    for (uint32_t i = 0; i < 24000; i++) {
        rask_str key = {(const char *)&i, 4};

        assert_int_equal(wk_state_write(b->state, TEXT, hash_xxh3(key.data, key.len), key, value, sizeof(value), NULL), 0);
    }
    make_folder(b, "/ckpt/chk-1");
    b->executor = &executor;
    began = env_now_ns(sim_env(b->node));
    write_state(b, false);
    assert_int_equal(b->code, 0);
    began = b->done_ns - began;
    bench_free(b);
    return began;
}

static void tasks_that_want_all_cores_come_first(void **state)
{
    uint64_t fast = time_of_writing(&free_ops), slow = time_of_writing(&busy_ops);

    (void)state;
    assert_in_range(slow, 85000000, 200000000); /* 100 MiB a second for each of two threads */
    assert_true(fast < slow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acknowledged_state_survives_a_power_cut),
        cmocka_unit_test(an_acknowledged_savepoint_survives_a_power_cut),
        cmocka_unit_test(a_call_that_fails_fails_the_checkpoint_with_its_reason),
        cmocka_unit_test(tasks_that_want_all_cores_come_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
