/*
 * test_local.c - copies of state files on the host: what is written has them, those of older checkpoints go, a disk without room
 * costs the copy alone; and whatever has become of the copies, what is read back is the state.
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
#include "taskmanager/worker/checkpoint/local.h"
#include "taskmanager/worker/checkpoint/restore.h"
#include "taskmanager/worker/checkpoint/write.h"
#include "taskmanager/worker/task/task.h"
#include "test/sim/sim.h"
#include "test/unit/every.h"
#include "test/unit/taskmanager/worker/checkpoint/node.h"

#define DIR SIM_SHARED "/ckpt"
#define COPIES "/local/job"
enum { TEXT, SPLITS, KEYS = 3000, VALUE_BYTES = 1000, SPLIT_COUNT = 40 };
static const rask_state declared[] = {
    {.kind = RASK_VALUE, .name = "text"}, {.kind = RASK_OPERATOR_LIST, .name = "splits"}, {0}};
static const struct id job = {{'j', 'o', 'b'}};

struct bench {
    struct sim *sim;
    struct sim_node *node;
    struct wk_local *local;
    struct wk_state_budget budget;
    struct wk_state *state;
    struct ckpt_meta *complete; /* all that the latest checkpoint consists of */
    uint64_t checkpoint;
    bool done;
    int code;
    char text[512];
};

static bool is_done(void *arg)
{
    return ((struct bench *)arg)->done;
}

static void wait_for(struct bench *b)
{
    assert_true(sim_run_until(b->sim, is_done, b, 60 * (uint64_t)SIM_S));
}

struct looked {
    struct bench *b;
    uint8_t *data;
    size_t len, count;
    char names[4096]; /* joined by spaces */
};

static void on_fs(void *arg, const struct fs_result *result)
{
    struct looked *l = arg;

    l->b->done = true;
    l->b->code = result->code;
    if (result->data) {
        l->len = result->len;
        l->data = fs_take(result);
    }
    l->count = result->name_count;
    l->names[0] = 0;
    for (size_t i = 0; i < result->name_count; i++)
        snprintf(l->names + strlen(l->names), sizeof(l->names) - strlen(l->names), "%s ", result->names[i]);
}

#define FS(b, looked, op, ...) \
    ((b)->done = false, sim_env((b)->node)->fs->ops->op(sim_env((b)->node)->fs, __VA_ARGS__, on_fs, looked), wait_for(b))

static struct wk_state *state_new(struct bench *b, uint32_t subtask, uint32_t parallelism)
{
    struct wk_state_options o = {.decl = declared, .budget = &b->budget, .name = "count", .uid = "count",
                                 .subtask = subtask, .parallelism = parallelism, .max_parallelism = 128};

    memcpy(o.operator_id, "an operator of 1", 16);
    return wk_state_new(&o);
}

static void change(struct bench *b, uint32_t first, char with)
{
    char value[VALUE_BYTES];

    memset(value, with, sizeof(value));
    for (uint32_t i = first; i < KEYS; i++) {
        rask_str key = {(const char *)&i, 4};

        assert_int_equal(wk_state_write(b->state, TEXT, hash_xxh3(key.data, key.len), key, value, sizeof(value), NULL), 0);
    }
}

static struct bench *bench_new(uint64_t seed, const char *copies)
{
    struct bench *b = MEM_NEW(struct bench);
    struct looked l = {.b = b};
    char split[VALUE_BYTES];

    b->sim = sim_new(seed);
    b->node = sim_node_add(b->sim, "w", &node_kind, b);
    sim_boot(b->node);
    b->budget.limit_bytes = 256u << 20;
    b->state = state_new(b, 0, 1);
    b->local = wk_local_new(sim_env(b->node), copies, &job);
    change(b, 0, 'a');
    for (int i = 0; i < SPLIT_COUNT; i++) {
        memset(split, 's', sizeof(split));
        assert_int_equal(wk_state_list_add(b->state, SPLITS, split, sizeof(split), NULL), 0);
    }
    FS(b, &l, mkdirs, DIR "/shared");
    return b;
}

static void bench_free(struct bench *b)
{
    bool good;

    wk_local_free(b->local);
    wk_state_free(b->state);
    ckpt_meta_free(b->complete);
    sim_run_for(b->sim, SIM_S);
    good = sim_free(b->sim);
    mem_free(b);
    assert_true(good);
}

/* The worker's part is the whole checkpoint. */
static void on_written(void *arg, const struct err *error, const struct ckpt_meta *meta, const uint64_t *bytes)
{
    struct bench *b = arg;
    struct ckpt_meta *m;

    (void)bytes;
    b->done = true;
    b->code = error ? error->code : 0;
    if (error)
        return;
    m = ckpt_meta_new();
    memcpy(m->job, job.bytes, sizeof(m->job));
    m->checkpoint = b->checkpoint;
    m->kind = CKPT_CHECKPOINT;
    assert_int_equal(ckpt_meta_merge(m, meta, NULL), 0);
    assert_int_equal(ckpt_meta_carry(m, b->complete, NULL, NULL, NULL), 0);
    ckpt_meta_free(b->complete);
    b->complete = m;
}

static void write_checkpoint(struct bench *b)
{
    struct wk_task_snapshot *s = MEM_NEW(struct wk_task_snapshot), **list = mem_alloc_array(1, sizeof(struct wk_task_snapshot *));
    struct wk_task task = {.name = (char *)(uintptr_t)"count (1/1)"};
    struct ckpt_meta *meta = ckpt_meta_new();
    struct wk_write_options o = {.env = sim_env(b->node), .checkpoint = ++b->checkpoint, .shared_dir = DIR "/shared",
                                 .local = b->local, .done = on_written, .arg = b};
    struct looked l = {.b = b};
    struct ckpt_operator op;
    struct bytes packed;
    char dir[64], path[80];
    uint32_t at;

    snprintf(dir, sizeof(dir), DIR "/chk-%u", (unsigned)b->checkpoint);
    FS(b, &l, mkdirs, dir);
    o.dir = dir;
    list_init(&s->node);
    s->task = &task;
    s->ops = mem_alloc_array(1, sizeof(*s->ops));
    s->op_count = 1;
    s->ops[0] = wk_state_freeze(b->state, b->checkpoint, WK_SNAPSHOT_INCREMENTAL);
    list[0] = s;
    wk_state_describe(b->state, &op);
    at = ckpt_meta_operator(meta, &op);
    for (uint32_t i = 0; i < op.state_count; i++)
        assert_int_equal(ckpt_meta_state(meta, at, &op.states[i], NULL), 0);
    b->done = false;
    (void)wk_writing_start(&o, meta, list, 1);
    wait_for(b);
    assert_int_equal(b->code, 0);
    wk_state_completed(b->state, b->checkpoint);
    bytes_init(&packed);
    ckpt_meta_pack(b->complete, &packed);
    snprintf(path, sizeof(path), "%s/_metadata", dir);
    FS(b, &l, write_all, path, packed.data, packed.len);
    assert_int_equal(b->code, 0);
    bytes_release(&packed);
}

static void complete(struct bench *b)
{
    char dir[64];

    snprintf(dir, sizeof(dir), DIR "/shared/../chk-%u", (unsigned)b->checkpoint);
    wk_local_complete(b->local, dir, b->checkpoint);
    sim_run_for(b->sim, 10 * (uint64_t)SIM_S);
}

/* ---- read back ---- */

static void on_restored(void *arg, const struct err *error)
{
    struct bench *b = arg;

    b->done = true;
    b->code = error ? error->code : 0;
    snprintf(b->text, sizeof(b->text), "%s", error ? error->text : "");
}

static void check_state(struct bench *b, struct wk_state *got, const rask_op *ctx, uint64_t *ret_keys, uint32_t *ret_splits)
{
    uint32_t first, last;

    ckpt_hash_range(ctx->subtask, ctx->parallelism, ctx->max_parallelism, &first, &last);
    for (uint32_t i = 0; i < KEYS; i++) {
        rask_str key = {(const char *)&i, 4};
        uint64_t hash = hash_xxh3(key.data, key.len);
        size_t len = 0, want_len = 0;
        const void *value, *want = wk_state_read(b->state, TEXT, hash, key, &want_len);

        if (hash >> 32 < first || hash >> 32 > last)
            continue;
        value = wk_state_read(got, TEXT, hash, key, &len);
        assert_true(value && len == want_len && memcmp(value, want, len) == 0);
    }
    *ret_keys += wk_state_count(got, TEXT);
    *ret_splits += wk_state_list_count(got, SPLITS);
}

/* With that many subtasks: all of the state is there, once. false, and b->code: a restore failed. */
static bool can_restore(struct bench *b, uint32_t parallelism, const struct wk_local *local)
{
    Rask__Control__Restore msg = RASK__CONTROL__RESTORE__INIT;
    uint64_t keys = 0;
    uint32_t splits = 0;
    char dir[64];

    snprintf(dir, sizeof(dir), DIR "/chk-%u", (unsigned)b->checkpoint);
    msg.dir = dir;
    msg.checkpoint = b->checkpoint;
    for (uint32_t i = 0; i < parallelism; i++) {
        Rask__Graph__StreamNode node = RASK__GRAPH__STREAM_NODE__INIT;
        struct wk_op op = {.node = &node, .state = state_new(b, i, parallelism)}, *ops[] = {&op};
        struct wk_task task = {.chain = {.ops = ops, .op_count = 1}}, *tasks[] = {&task};

        node.operator_id = (ProtobufCBinaryData){16, (uint8_t *)(uintptr_t)"an operator of 1"};
        op.ctx.name = "count";
        op.ctx.subtask = i;
        op.ctx.parallelism = parallelism;
        op.ctx.max_parallelism = 128;
        b->done = false;
        (void)wk_restore_start(sim_env(b->node), tasks, 1, &msg, local, on_restored, b);
        wait_for(b);
        if (b->code == 0)
            check_state(b, op.state, &op.ctx, &keys, &splits);
        wk_state_free(op.state);
        if (b->code != 0)
            return false;
    }
    assert_int_equal(keys, KEYS);
    assert_int_equal(splits, SPLIT_COUNT);
    return true;
}

static void restore(struct bench *b, uint32_t parallelism)
{
    if (!can_restore(b, parallelism, b->local))
        fail_msg("%s", b->text);
}

/* The files of the checkpoints; _metadata stays. */
static void remove_files(struct bench *b)
{
    struct looked l = {.b = b};
    char path[200];

    for (uint32_t i = 0; i < b->complete->file_count; i++) {
        snprintf(path, sizeof(path), DIR "/chk-%u/%s", (unsigned)b->checkpoint, b->complete->files[i].path);
        FS(b, &l, unlink, path);
    }
}

static size_t copies(struct bench *b, const char *dir, struct looked *l)
{
    l->b = b;
    FS(b, l, list, dir);
    return b->code == 0 ? l->count : 0;
}

static void copies_are_all_that_is_needed(const char *dir)
{
    struct bench *b = bench_new(1, dir);
    struct looked l;

    write_checkpoint(b);
    complete(b);
    assert_int_equal(copies(b, dir, &l), 2);
    assert_string_equal(l.names, "0-1-0.state chk-1.0-0.state ");
    change(b, KEYS - 100, 'b');
    write_checkpoint(b);
    assert_int_equal(copies(b, dir, &l), 4); /* until it is complete */
    complete(b);
    assert_int_equal(copies(b, dir, &l), 3);
    assert_string_equal(l.names, "0-1-0.state 0-2-0.state chk-2.0-0.state "); /* the first has what did not change */
    remove_files(b);
    restore(b, 1);
    restore(b, 3);
    bench_free(b);
}

static void copies_are_written_again_on_another_disk(void **state)
{
    (void)state;
    copies_are_all_that_is_needed(COPIES);
}

static void copies_are_names_on_the_same_disk(void **state)
{
    (void)state;
    copies_are_all_that_is_needed(SIM_SHARED "/copies");
}

static void a_full_disk_costs_the_copy_alone(void **state)
{
    (void)state;
    for (uint64_t room = 0; room < 3u << 20; room += (300u << 10) + 1) {
        struct bench *b = bench_new(2, COPIES);

        sim_disk_capacity(b->node, room + 1);
        write_checkpoint(b);
        sim_disk_capacity(b->node, 0);
        restore(b, 1);
        complete(b);
        write_checkpoint(b);
        complete(b);
        restore(b, 2);
        bench_free(b);
    }
}

static void any_call_may_fail(void **state)
{
    struct bench *b = bench_new(3, COPIES);

    (void)state;
    for (uint64_t failing = 1; failing < 40; failing++) {
        (void)sim_disk_fail_call(b->node, COPIES, failing, failing % 2 ? ERR_IO : ERR_PERMISSION);
        change(b, KEYS - 200, (char)('a' + failing % 26));
        write_checkpoint(b);
        complete(b);
        restore(b, 1);
        (void)sim_disk_fail_call(b->node, COPIES, 0, 0);
    }
    bench_free(b);
}

/* A copy that was cut off, changed, or is another file. */
static void spoil(struct bench *b, const char *name, uint64_t draw)
{
    struct looked l = {.b = b};
    char path[200];

    snprintf(path, sizeof(path), COPIES "/%s", name);
    FS(b, &l, read_all, path, 256u << 20);
    assert_int_equal(b->code, 0);
    if (draw % 4 == 0)
        l.len = draw / 4 % l.len;
    else if (draw % 4 == 1)
        memset(l.data, 'x', l.len);
    else
        for (uint64_t i = draw % 4; i < 4; i++)
            l.data[draw / (4 * i) % l.len] ^= (uint8_t)(1u << draw / 1000 % 8);
    FS(b, &l, write_all, path, l.data, l.len);
    assert_int_equal(b->code, 0);
    mem_free(l.data);
}

static void spoilt_copies_are_not_believed(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        static const char *const names[] = {"0-1-0.state", "0-2-0.state", "chk-2.0-0.state"};
        uint64_t draw = hash_xxh3(&seed, sizeof(seed));
        struct bench *b = bench_new(seed + 1, COPIES);

        write_checkpoint(b);
        complete(b);
        change(b, KEYS - 100, 'b');
        write_checkpoint(b);
        complete(b);
        for (int i = 0; i < 3; i++)
            if (seed % 8 & 1u << i || seed % 8 == 0)
                spoil(b, names[i], draw >> i);
        restore(b, (uint32_t)(1 + seed % 3));
        bench_free(b);
    }
}

/* ---- every bit that is read, and those that are not ---- */

static struct looked read_copy(struct bench *b, const char *name, char path[200])
{
    struct looked l = {.b = b};

    snprintf(path, 200, COPIES "/%s", name);
    FS(b, &l, read_all, path, 256u << 20);
    assert_int_equal(b->code, 0);
    return l;
}

/* A byte that a restore reads: of a section that the checkpoint names in this file. */
static bool is_named(const struct ckpt_meta *m, const char *file, uint64_t at)
{
    for (uint32_t i = 0; i < m->section_count; i++) {
        const struct ckpt_section *s = &m->sections[i];

        if (s->file != CKPT_NO_FILE && strcmp(m->files[s->file].path, file) == 0 && at >= s->offset && at - s->offset < s->stored_bytes)
            return true;
    }
    return false;
}

/* Left with a warning where it is read, and of no harm elsewhere. */
static void flip(struct bench *b, const char *name, const char *path, struct looked *copy, uint64_t bit, uint32_t *ret_left)
{
    static const char probe[] = "worker: a copy of state is of no use";
    uint64_t before = sim_probe_count(probe);
    struct looked l = {.b = b};
    bool left;

    copy->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    FS(b, &l, write_all, path, copy->data, copy->len);
    restore(b, 1);
    copy->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    left = sim_probe_count(probe) > before;
    *ret_left += left;
    if (left != is_named(b->complete, name, bit / 8))
        fail_msg("bit %u of %s: the copy was %s", (unsigned)bit, name, left ? "left" : "believed");
}

static void a_bit_that_has_flipped_in_a_copy_is_found(void **state)
{
    static const struct {
        const char *name, *named;
    } files[] = {{"0-1-0.state", "../shared/0-1-0.state"}, {"chk-2.0-0.state", "0-0.state"}};
    enum { HEADERS = 56 + 104 + 8, STRIDE = 8 * 24007 + 1 }; /* bytes of the file's and the first record's; bits */
    struct bench *b = bench_new(1, COPIES); /* a seed by which the simulator cuts off no copy itself */
    uint32_t left = 0;

    (void)state;
    write_checkpoint(b);
    complete(b);
    change(b, KEYS - 100, 'b');
    write_checkpoint(b);
    complete(b);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char path[200];
        struct looked copy = read_copy(b, files[i].name, path), l = {.b = b};

        for (uint64_t bit = 0; bit < copy.len * 8; bit += bit < HEADERS * 8 ? EVERY(13) : EVERY(4) * STRIDE)
            flip(b, files[i].named, path, &copy, bit, &left);
        FS(b, &l, write_all, path, copy.data, copy.len);
        mem_free(copy.data);
    }
    assert_true(left > 1000 / EVERY(13));
    bench_free(b);
}

/* A job that begins with what another one has written must not take its own copies, of the same names, for that. */
static void copies_of_another_job_are_left(void **state)
{
    struct bench *b = bench_new(4, COPIES);
    struct id other = {{'o', 't', 'h', 'e', 'r'}};

    (void)state;
    write_checkpoint(b);
    assert_true(wk_local_is_of(b->local, b->complete->job));
    assert_false(wk_local_is_of(b->local, other.bytes));
    assert_null(wk_local_path(b->local, 1, "/other/shared/0-1-0.state"));
    assert_null(wk_local_path(b->local, 1, "../shared/../../0-1-0.state"));
    assert_null(wk_local_path(b->local, 1, "../0-1-0.state"));
    wk_local_free(b->local);
    b->local = wk_local_new(sim_env(b->node), COPIES, &other);
    spoil(b, "0-1-0.state", 1);
    restore(b, 1);
    bench_free(b);
}

/* ---- a folder that goes away and comes back, as by a mount ---- */

struct mounted {
    struct fs fs;
    struct fs *under;
    uint32_t calls, from, to; /* it is away in calls `from` .. `to` - 1 */
};

static struct fs *under(struct fs *fs)
{
    return CONTAINER_OF(fs, struct mounted, fs)->under;
}
static const char *seen(struct fs *fs, const char *path)
{
    struct mounted *m = CONTAINER_OF(fs, struct mounted, fs);
    uint32_t call = m->calls++;

    return call >= m->from && call < m->to ? "/nowhere/at/all" : path;
}
static void mounted_open(struct fs *fs, const char *path, enum fs_open_mode mode, fs_cb *cb, void *arg)
{
    under(fs)->ops->open(under(fs), seen(fs, path), mode, cb, arg);
}
static void mounted_read_all(struct fs *fs, const char *path, size_t max, fs_cb *cb, void *arg)
{
    under(fs)->ops->read_all(under(fs), seen(fs, path), max, cb, arg);
}
static void mounted_list(struct fs *fs, const char *path, fs_cb *cb, void *arg)
{
    under(fs)->ops->list(under(fs), seen(fs, path), cb, arg);
}
static void mounted_pread(struct fs *fs, struct fs_file *file, uint64_t offset, size_t len, fs_cb *cb, void *arg)
{
    under(fs)->ops->pread(under(fs), file, offset, len, cb, arg);
}
static void mounted_close(struct fs *fs, struct fs_file *file)
{
    under(fs)->ops->close(under(fs), file);
}
static void mounted_forget(struct fs *fs, void *arg)
{
    under(fs)->ops->forget(under(fs), arg);
}
static const struct fs_ops mounted_ops = {.open = mounted_open, .read_all = mounted_read_all, .list = mounted_list,
                                          .pread = mounted_pread, .close = mounted_close, .forget = mounted_forget};

/* Found by the checker: state that could not be reached for a moment was taken for state that is gone, and the job failed for good. */
static void what_is_hidden_for_a_while_is_not_taken_for_lost(void **state)
{
    struct bench *b = bench_new(7, COPIES);
    struct env *env = sim_env(b->node);
    uint32_t calls = 1, came_back = 0, stayed_away = 0;

    (void)state;
    write_checkpoint(b);
    for (uint32_t from = 0; from < calls; from++)
        for (uint32_t away = 1; away < 5; away++) {
            struct mounted m = {{&mounted_ops}, env->fs, 0, from, away < 4 ? from + away : UINT32_MAX};
            bool done;

            env->fs = &m.fs;
            done = can_restore(b, 1, NULL);
            env->fs = m.under;
            if (!done)
                assert_int_equal(b->code, ERR_IO); /* the next try may find it */
            came_back += done;
            stayed_away += !done;
            calls = MAX(calls, done ? m.calls : 0);
        }
    assert_true(calls >= 3 && came_back >= 3 && stayed_away >= 6);
    remove_files(b);
    assert_false(can_restore(b, 1, NULL));
    assert_int_equal(b->code, ERR_CORRUPT); /* it is gone: an older checkpoint may be whole */
    bench_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_are_written_again_on_another_disk),
        cmocka_unit_test(copies_are_names_on_the_same_disk),
        cmocka_unit_test(a_full_disk_costs_the_copy_alone),
        cmocka_unit_test(any_call_may_fail),
        cmocka_unit_test(spoilt_copies_are_not_believed),
        cmocka_unit_test(a_bit_that_has_flipped_in_a_copy_is_found),
        cmocka_unit_test(copies_of_another_job_are_left),
        cmocka_unit_test(what_is_hidden_for_a_while_is_not_taken_for_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
