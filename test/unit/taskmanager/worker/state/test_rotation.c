/*
 * test_rotation.c - what incremental checkpoints of a large state write: about twice the change, in a bounded number of
 * sections; nothing when nothing changed; and memory stays near what is alive.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/ckpt/ckpt_entry.h"
#include "common/ckpt/ckpt_file.h"
#include "taskmanager/worker/state/snapshot.h"

enum { KEYS = 200000, CHECKPOINTS = 200, CHANGED = KEYS / 100 };
static const rask_state declared[] = {{.kind = RASK_AGGREGATING, .name = "sum"}, {0}};

struct fixture {
    struct wk_state_budget budget;
    struct wk_state *s;
    struct ckpt_meta *last;
    uint64_t checkpoint, written, metadata;
};

static void touch(struct fixture *f, uint64_t key)
{
    uint64_t hash = hash_xxh3(&key, sizeof(key));
    uint64_t *v = wk_state_get(f->s, 0, hash, (rask_str){(const char *)&key, 8}, 16, true, NULL, NULL);

    assert_non_null(v);
    v[0]++;
}

/* Takes a checkpoint that completes. Bytes of its file. */
static uint64_t checkpoint(struct fixture *f)
{
    struct ckpt_file_head head = {.checkpoint = ++f->checkpoint};
    struct ckpt_writer *w = ckpt_writer_new(&head, CKPT_PLAIN);
    struct wk_snapshot *snap = wk_state_freeze(f->s, f->checkpoint, WK_SNAPSHOT_INCREMENTAL);
    struct ckpt_meta *m = ckpt_meta_new();
    struct ckpt_section section;
    struct ckpt_operator op;
    struct bytes payload, out;
    uint64_t bytes = 0;

    bytes_init(&payload);
    bytes_init(&out);
    m->checkpoint = f->checkpoint;
    wk_state_describe(f->s, &op);
    (void)ckpt_meta_operator(m, &op);
    assert_int_equal(ckpt_meta_state(m, 0, &op.states[0], NULL), 0);
    ckpt_writer_begin(w, &out);
    while (wk_snapshot_next(snap, &section, &payload)) {
        bytes_clear(&out);
        ckpt_writer_section(w, &section, payload.data, payload.len, &out);
        section.file = ckpt_meta_file(m, "f", UINT32_MAX, 0);
        ckpt_meta_add(m, &section);
    }
    wk_snapshot_free(snap);
    if (m->section_count > 0) {
        ckpt_writer_end(w, m, &out);
        bytes = ckpt_writer_size(w);
    }
    ckpt_writer_free(w);
    assert_int_equal(ckpt_meta_carry(m, f->last, NULL, NULL, NULL), 0);
    bytes_clear(&out);
    ckpt_meta_pack(m, &out);
    f->metadata = out.len;
    ckpt_meta_free(f->last);
    f->last = m;
    wk_state_completed(f->s, f->checkpoint);
    bytes_release(&payload);
    bytes_release(&out);
    return bytes;
}

static void about_twice_the_change_is_written(void **state)
{
    const uint64_t entry = 3 + 8 + 16; /* flags, lengths, key, value */
    struct fixture *f = &(struct fixture){.budget = {.limit_bytes = 1u << 30}};
    struct wk_state_size size;
    uint64_t random = 7, most = 0;

    (void)state;
    f->s = wk_state_new(&(struct wk_state_options){.decl = declared, .budget = &f->budget, .parallelism = 1,
                                                   .max_parallelism = 128, .small_bytes = 1});
    for (uint64_t i = 0; i < KEYS; i++)
        touch(f, i);
    assert_in_range(checkpoint(f), KEYS * entry, KEYS * (entry + 2));
    assert_true(checkpoint(f) < 1000); /* nothing has changed */
    for (uint32_t n = 0; n < CHECKPOINTS; n++) {
        for (uint32_t i = 0; i < CHANGED; i++) {
            random = random * 6364136223846793005ull + 1442695040888963407ull;
            touch(f, (random >> 33) % KEYS);
            if (i % 500 == 0)
                wk_state_settle(f->s, 0);
        }
        f->written += checkpoint(f) + f->metadata;
        most = MAX(most, f->last->section_count);
        wk_state_size(f->s, &size);
        assert_true(size.used_bytes < 64u * KEYS * 2 + (8u << 20)); /* 64 bytes a key; index; what is dead */
    }
    print_message("written: %.2f times the change, at most %u sections\n",
                  (double)f->written / (double)(CHECKPOINTS * CHANGED * entry), (unsigned)most);
    assert_true(f->written * 10 <= (uint64_t)CHECKPOINTS * CHANGED * entry * 22);
    assert_true(most < 500);
    ckpt_meta_free(f->last);
    wk_state_free(f->s);
    assert_int_equal(f->budget.used_bytes, 0);
}

static uint64_t in_use(const struct fixture *f)
{
    struct wk_state_size size;

    wk_state_size(f->s, &size);
    return size.used_bytes;
}

/* Reads half of a snapshot: what it has not passed is written down, as in a file, and all keys are changed in place. */
static void keys_are_changed_in_place_while_a_snapshot_is_read(void **state)
{
    struct fixture *f = &(struct fixture){.budget = {.limit_bytes = 1u << 30}};
    struct wk_snapshot *snap;
    struct ckpt_section section;
    struct bytes payload;
    uint64_t before, rows = 0, taken;
    struct wk_state_size size;

    (void)state;
    bytes_init(&payload);
    f->s = wk_state_new(&(struct wk_state_options){.decl = declared, .budget = &f->budget, .parallelism = 1,
                                                   .max_parallelism = 128, .small_bytes = 1});
    for (uint64_t i = 0; i < KEYS; i++)
        touch(f, i);
    snap = wk_state_freeze(f->s, 1, WK_SNAPSHOT_FULL);
    while (rows < KEYS / 2 && wk_snapshot_next(snap, &section, &payload))
        rows += section.rows;
    before = in_use(f);
    for (uint64_t i = 0; i < KEYS; i++)
        touch(f, i);
    taken = in_use(f) - before;
    assert_in_range(taken, KEYS * 27u * 4 / 10, KEYS * 27u * 6 / 10 + (2u << 20));
    wk_state_size(f->s, &size);
    assert_in_range(size.live_bytes, KEYS * 64u, KEYS * 64u);
    while (wk_snapshot_next(snap, &section, &payload))
        rows += section.rows;
    assert_int_equal(rows, KEYS); /* as they were */
    wk_snapshot_free(snap);
    wk_state_settle(f->s, 0);
    assert_in_range(in_use(f), before, before + taken); /* what was written down is kept for the next time */
    wk_state_completed(f->s, 1);
    f->checkpoint = 1;
    assert_in_range(checkpoint(f), KEYS * 27u, KEYS * 30u); /* all of them have changed */
    before = in_use(f);
    for (uint64_t i = 0; i < KEYS; i++)
        touch(f, i);
    assert_in_range(in_use(f), before / 2, before);
    ckpt_meta_free(f->last);
    bytes_release(&payload);
    wk_state_free(f->s);
    assert_int_equal(f->budget.used_bytes, 0);
}

/* The rest of a snapshot: each key that has not been seen comes once, and its sum is what it was. */
static void read_rest(struct wk_snapshot *snap, uint8_t *seen, uint64_t sum, uint32_t sections)
{
    struct ckpt_section section;
    struct bytes payload;
    struct ckpt_entry e;
    uint64_t key, has;

    bytes_init(&payload);
    while (sections-- > 0 && wk_snapshot_next(snap, &section, &payload)) {
        uint64_t rows = 0;

        for (struct reader in = reader_of(payload.data, payload.len); in.at < in.end; rows++) {
            assert_int_equal(ckpt_entry_take(&in, &e, "here", NULL), 0);
            memcpy(&key, e.key, 8);
            memcpy(&has, e.value, 8);
            assert_true(key < KEYS && !seen[key] && has == sum);
            seen[key] = 1;
        }
        assert_int_equal(rows, section.rows);
    }
    bytes_release(&payload);
}

/* Of two snapshots each stands in a page, so keys there get new versions; each snapshot finds all keys once. */
static void each_snapshot_finds_a_key_once(void **state)
{
    struct fixture *f = &(struct fixture){.budget = {.limit_bytes = 1u << 30}};
    struct wk_snapshot *snap[2];
    uint8_t *seen[2];

    (void)state;
    f->s = wk_state_new(&(struct wk_state_options){.decl = declared, .budget = &f->budget, .parallelism = 1,
                                                   .max_parallelism = 2, .small_bytes = 1});
    for (uint64_t i = 0; i < KEYS; i++)
        touch(f, i);
    for (int i = 0; i < 2; i++) {
        seen[i] = mem_alloc(KEYS);
        snap[i] = wk_state_freeze(f->s, (uint64_t)i + 1, WK_SNAPSHOT_FULL);
    }
    read_rest(snap[0], seen[0], 1, 1); /* it ends within a page */
    read_rest(snap[1], seen[1], 1, 2); /* within another one */
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < KEYS; i += 2)
            touch(f, i);
        read_rest(snap[1], seen[1], 1, 1);
        wk_state_settle(f->s, 0);
    }
    for (int i = 0; i < 2; i++) {
        read_rest(snap[i], seen[i], 1, UINT32_MAX);
        for (uint64_t k = 0; k < KEYS; k++)
            assert_int_equal(seen[i][k], 1);
        wk_snapshot_free(snap[i]);
        mem_free(seen[i]);
    }
    wk_state_free(f->s);
    assert_int_equal(f->budget.used_bytes, 0);
}

/* A table gets its first key while a delta is read, and another snapshot begins: the delta knows nothing of it. */
static void a_table_may_begin_while_a_delta_is_read(void **state)
{
    struct fixture *f = &(struct fixture){.budget = {.limit_bytes = 1u << 30}};
    struct wk_snapshot *snap[2];
    uint8_t *seen = mem_alloc(KEYS);

    (void)state;
    f->s = wk_state_new(&(struct wk_state_options){.decl = declared, .budget = &f->budget, .parallelism = 1,
                                                   .max_parallelism = 2, .small_bytes = 1});
    (void)checkpoint(f);
    ckpt_meta_free(f->last);
    snap[0] = wk_state_freeze(f->s, 2, WK_SNAPSHOT_INCREMENTAL);
    touch(f, 5);
    snap[1] = wk_state_freeze(f->s, 3, WK_SNAPSHOT_INCREMENTAL);
    touch(f, 5);
    read_rest(snap[0], seen, 0, UINT32_MAX);
    assert_int_equal(seen[5], 0);
    read_rest(snap[1], seen, 1, UINT32_MAX);
    assert_int_equal(seen[5], 1);
    wk_snapshot_free(snap[0]);
    wk_snapshot_free(snap[1]);
    mem_free(seen);
    wk_state_free(f->s);
    assert_int_equal(f->budget.used_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(about_twice_the_change_is_written),
        cmocka_unit_test(keys_are_changed_in_place_while_a_snapshot_is_read),
        cmocka_unit_test(each_snapshot_finds_a_key_once),
        cmocka_unit_test(a_table_may_begin_while_a_delta_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
