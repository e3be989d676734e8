/*
 * test_snapshot.c - random operations on every kind of state against a naive model, with checkpoints that complete, abort
 * or are read late, restored at random into other parallelisms, other max parallelisms and other
 * backends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/ckpt/ckpt_file.h"
#include "taskmanager/worker/state/snapshot.h"
#include "taskmanager/worker/store/store.h"
#include "test/unit/every.h"

enum { NUMBER, TEXT, LIST, MAP, SPLITS, RULES };
static const rask_state declared[] = {{.kind = RASK_AGGREGATING, .name = "number"},
                                      {.kind = RASK_VALUE, .name = "text"},
                                      {.kind = RASK_LIST, .name = "list"},
                                      {.kind = RASK_MAP, .name = "map"},
                                      {.kind = RASK_OPERATOR_LIST, .name = "splits"},
                                      {.kind = RASK_BROADCAST, .name = "rules"},
                                      {0}};

enum { KEYS = 150, ITEMS = 60, SUBTASKS = 3, CHECKPOINTS = 4, FILES = 20000 };
enum backend { IN_MEMORY, ON_DISK, EITHER };
#define SHARED "/job/shared"
static const uint8_t op_id[16] = "an operator";

/* What should be there. */
struct model_key {
    bool has_number;
    uint64_t number;
    uint32_t text; /* length + 1; 0: none. Bytes follow from key and length. */
    uint32_t items, item[ITEMS];
    uint32_t pair[ITEMS]; /* value length + 1 of the map's key i; 0: none */
};
struct model {
    struct model_key keys[KEYS];
    uint32_t rules[8]; /* value + 1 */
};

struct world {
    uint64_t random;
    enum backend backend;
    struct wk_stores *stores; /* NULL: in memory alone */
    struct file { /* of the shared folder, one section each */
        struct bytes record;
        bool is_deleted;
    } files[FILES];
    uint32_t file_count, reused;
    struct wk_state_budget budget;
    struct wk_state *s[SUBTASKS];
    uint32_t parallelism, max_parallelism;
    struct model now;
    uint64_t next_checkpoint;
    struct ckpt_meta *last; /* complete */
    struct model at_last;
    struct pending {
        uint64_t checkpoint;
        struct wk_snapshot *snap[SUBTASKS]; /* NULL: read out */
        struct wk_tables *tables[SUBTASKS];
        struct ckpt_meta *meta;
        struct model model;
        enum wk_snapshot_kind kind;
    } pending[CHECKPOINTS];
    uint32_t pending_count;
    uint64_t full_bytes, bytes;
};

static uint32_t draw(struct world *w, uint32_t below)
{
    w->random = w->random * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(w->random >> 33) % below;
}

static rask_str key_of(uint32_t n, char room[64])
{
    uint32_t len = 4 + n % 30;

    memset(room, 'k', len);
    memcpy(room, &n, 4);
    return (rask_str){room, len};
}

static struct wk_state *state_of(const struct world *w, uint64_t hash)
{
    return w->s[key_group_subtask(key_group_of(hash, w->max_parallelism), w->max_parallelism, w->parallelism)];
}

static void open_states(struct world *w, uint32_t parallelism, uint32_t max_parallelism)
{
    bool on_disk;

    w->parallelism = parallelism;
    w->max_parallelism = max_parallelism;
    on_disk = w->backend == ON_DISK || (w->backend == EITHER && draw(w, 2));
    w->budget.limit_bytes = on_disk ? 2u << 20 : 1u << 30;
    for (uint32_t i = 0; i < parallelism; i++) {
        struct wk_state_options o = {.decl = declared, .budget = &w->budget, .name = "op", .subtask = i,
                                     .parallelism = parallelism, .max_parallelism = max_parallelism, .small_bytes = draw(w, 2) ? 1 : 0,
                                     .stores = w->stores, .on_disk = on_disk};

        memcpy(o.operator_id, op_id, 16);
        w->s[i] = wk_state_new(&o);
    }
}

static void close_states(struct world *w)
{
    for (uint32_t i = 0; i < w->parallelism; i++)
        wk_state_free(w->s[i]);
}

/* ---- operations ---- */

static rask_bytes text_of(uint32_t n, uint32_t len, char *room)
{
    for (uint32_t i = 0; i < len; i++)
        room[i] = (char)(n + len + i);
    return (rask_bytes){room, len};
}

static void change_items(struct world *w, struct model_key *m, struct wk_state *s, uint64_t hash, rask_str key)
{
    struct wk_cursor c;
    uint32_t i = 0, kept = 0;

    if (draw(w, 3) > 0 && m->items < ITEMS) {
        uint32_t v = draw(w, 1000);
        char room[1000];

        m->item[m->items++] = v;
        assert_int_equal(wk_list_add(s, LIST, hash, key, text_of(1, v, room), NULL), 0);
        return;
    }
    if (draw(w, 10) == 0) {
        m->items = 0;
        assert_int_equal(wk_state_clear(s, LIST, hash, key, NULL), 0);
        return;
    }
    for (wk_cursor_begin(&c, s, LIST, hash, key); wk_cursor_next(&c); i++) {
        assert_int_equal(c.value.len, m->item[i]);
        if (draw(w, 4) == 0)
            assert_int_equal(wk_cursor_remove(&c, NULL), 0);
        else
            m->item[kept++] = m->item[i];
    }
    assert_int_equal(i, m->items);
    m->items = kept;
}

static void change_pairs(struct world *w, struct model_key *m, struct wk_state *s, uint64_t hash, rask_str key)
{
    uint32_t i = draw(w, ITEMS), len = draw(w, 200);
    rask_bytes at = {(const char *)&i, 4};
    char room[200];

    if (draw(w, 3) > 0) {
        m->pair[i] = len + 1;
        assert_int_equal(wk_map_put(s, MAP, hash, key, at, text_of(i, len, room), NULL), 0);
    } else if (draw(w, 20) == 0) {
        memset(m->pair, 0, sizeof(m->pair));
        assert_int_equal(wk_state_clear(s, MAP, hash, key, NULL), 0);
    } else {
        m->pair[i] = 0;
        assert_int_equal(wk_map_remove(s, MAP, hash, key, at, NULL, NULL), 0);
    }
}

/* In a run of one key, as batch functions (0) and row functions have them; NULL: not by such a run. */
static uint64_t *number_in_run(struct wk_state *s, uint64_t hash, rask_str key, uint32_t way)
{
    struct key_run keys = {.rows = 1, .len = {key.len}};
    struct wk_runs runs;
    void *value;

    if (key.len > KEY_HEAD_BYTES)
        return NULL;
    memcpy(keys.head[0], key.data, key.len);
    if (way == 0) {
        assert_int_equal(wk_runs_begin(&runs, s, NUMBER, &hash, 1, NULL), 0);
        assert_int_equal(wk_runs_next(&runs, &keys, 8, &value, NULL), 0);
        return value;
    }
    if (!wk_runs_begin_found(&runs, s, NUMBER, &hash, 1))
        return NULL;
    wk_runs_next_found(&runs, &keys, 8, &value);
    return value && wk_runs_has(&runs, 0) ? value : wk_runs_make(&runs, &keys, 0, 8);
}

static void change_value(struct world *w, struct model_key *m, struct wk_state *s, uint64_t hash, rask_str key, uint32_t n)
{
    char room[700];

    if (draw(w, 4) == 0) {
        m->text = 0;
        m->has_number = false;
        assert_int_equal(wk_state_clear(s, TEXT, hash, key, NULL), 0);
        assert_int_equal(wk_state_clear(s, NUMBER, hash, key, NULL), 0);
        return;
    }
    if (draw(w, 2)) {
        uint32_t way = draw(w, 3);
        uint64_t *v = way < 2 ? number_in_run(s, hash, key, way) : NULL;
        bool created = !m->has_number;

        if (!v)
            v = wk_state_get(s, NUMBER, hash, key, 8, true, &created, NULL);
        assert_int_equal(created, !m->has_number);
        assert_int_equal(*v, m->has_number ? m->number : 0);
        m->has_number = true;
        *v = m->number = draw(w, 1000000);
        return;
    }
    m->text = 1 + draw(w, 700);
    assert_int_equal(wk_state_write(s, TEXT, hash, key, text_of(n, m->text - 1, room).data, m->text - 1, NULL), 0);
}

static void change(struct world *w)
{
    uint32_t n = draw(w, KEYS);
    struct model_key *m = &w->now.keys[n];
    char room[64];
    rask_str key = key_of(n, room);
    uint64_t hash = hash_xxh3(key.data, key.len);
    struct wk_state *s = state_of(w, hash);

    switch (draw(w, 4)) {
    case 0:
        change_items(w, m, s, hash, key);
        break;
    case 1:
        change_pairs(w, m, s, hash, key);
        break;
    default:
        change_value(w, m, s, hash, key, n);
    }
    if (draw(w, 8) == 0)
        wk_state_settle(s, 0);
    if (draw(w, 200) == 0) {
        uint32_t rule = draw(w, 8), value = draw(w, 100);

        w->now.rules[rule] = value + 1;
        for (uint32_t i = 0; i < w->parallelism; i++)
            assert_int_equal(wk_state_broadcast_put(w->s[i], RULES, (rask_bytes){(const char *)&rule, 4},
                                                    (rask_bytes){(const char *)&value, 4}, NULL), 0);
    }
}

/* ---- the whole state is the model's ---- */

static void check_key(const struct world *w, const struct model *model, uint32_t n)
{
    const struct model_key *m = &model->keys[n];
    char room[64], text[1000];
    rask_str key = key_of(n, room);
    uint64_t hash = hash_xxh3(key.data, key.len), *number;
    struct wk_state *s = state_of(w, hash);
    uint32_t i = 0, pairs = 0;
    struct wk_cursor c;
    const void *read;
    size_t len;

    number = wk_state_get(s, NUMBER, hash, key, 8, false, NULL, NULL);
    assert_int_equal(number != NULL, m->has_number);
    if (number)
        assert_int_equal(*number, m->number);
    read = wk_state_read(s, TEXT, hash, key, &len);
    assert_int_equal(read != NULL, m->text != 0);
    if (read) {
        assert_int_equal(len, m->text - 1);
        assert_memory_equal(read, text_of(n, m->text - 1, text).data, len);
    }
    for (wk_cursor_begin(&c, s, LIST, hash, key); wk_cursor_next(&c); i++) {
        assert_true(i < m->items);
        assert_int_equal(c.value.len, m->item[i]);
        assert_memory_equal(c.value.data, text_of(1, c.value.len, text).data, c.value.len);
    }
    assert_int_equal(i, m->items);
    for (wk_cursor_begin(&c, s, MAP, hash, key); wk_cursor_next(&c); pairs++) {
        memcpy(&i, c.at.data, 4);
        assert_int_equal(c.value.len + 1, m->pair[i]);
    }
    for (i = 0; i < ITEMS; i++) {
        rask_bytes value;
        bool there = wk_map_get(s, MAP, hash, key, (rask_bytes){(const char *)&i, 4}, &value);

        assert_int_equal(there, m->pair[i] != 0);
        pairs -= there;
        if (there)
            assert_memory_equal(value.data, text_of(i, value.len, text).data, value.len);
    }
    assert_int_equal(pairs, 0);
}

static void check_all(const struct world *w, const struct model *m)
{
    uint64_t splits = 0, keys = 0, numbers = 0;

    for (uint32_t n = 0; n < KEYS; n++) {
        check_key(w, m, n);
        for (uint32_t i = 0; i < w->parallelism; i++)
            wk_state_settle(w->s[i], 0);
        numbers += m->keys[n].has_number;
    }
    for (uint32_t i = 0; i < w->parallelism; i++) {
        for (uint32_t k = 0; k < wk_state_list_count(w->s[i], SPLITS); k++)
            splits += (uint64_t)wk_state_list_get(w->s[i], SPLITS, k).data[0];
        for (uint32_t rule = 0; rule < 8; rule++) {
            rask_bytes value;

            assert_int_equal(wk_state_broadcast_get(w->s[i], RULES, (rask_bytes){(const char *)&rule, 4}, &value),
                             m->rules[rule] != 0);
            if (m->rules[rule])
                assert_int_equal(*(const uint8_t *)value.data, m->rules[rule] - 1);
        }
        keys += wk_state_count(w->s[i], NUMBER);
    }
    assert_int_equal(splits, 1 + 2 + 3 + 4 + 5);
    assert_int_equal(keys, numbers);
    for (uint32_t i = 0; i < w->parallelism; i++)
        assert_int_equal(wk_state_failed(w->s[i], NULL), 0);
}

/* ---- checkpoints ---- */

static void name_file(struct world *w, struct ckpt_meta *m, struct ckpt_section *section, const char *path)
{
    uint32_t number;
    char name[64];

    assert_int_equal(sscanf(path, SHARED "/%u", &number), 1);
    snprintf(name, sizeof(name), "../shared/%u", number);
    section->file = ckpt_meta_file(m, name, w->files[number].record.len, 0);
    ckpt_meta_add(m, section);
    w->reused++;
}

static void make_file(struct world *w, struct ckpt_meta *m, struct ckpt_section *section, const struct bytes *record)
{
    struct file *f = &w->files[w->file_count];
    char name[64];

    assert_true(w->file_count < FILES);
    snprintf(name, sizeof(name), "../shared/%u", w->file_count++);
    bytes_init(&f->record);
    bytes_add(&f->record, record->data, record->len);
    section->file = ckpt_meta_file(m, name, record->len, 0);
    section->offset = 0;
    ckpt_meta_add(m, section);
}

static struct file *file_of(struct world *w, const char *path)
{
    uint32_t number = UINT32_MAX;

    assert_int_equal(sscanf(path, "../shared/%u", &number), 1);
    return &w->files[number];
}

/* What the coordinator does when nobody needs m any more: files that the last complete checkpoint does not name go. */
static void delete_files(struct world *w, const struct ckpt_meta *m)
{
    for (uint32_t i = 0; i < m->file_count; i++) {
        struct file *f = file_of(w, m->files[i].path);
        bool named = false;

        for (uint32_t k = 0; w->last && k < w->last->file_count; k++)
            named |= strcmp(m->files[i].path, w->last->files[k].path) == 0;
        f->is_deleted |= !named;
    }
}

static void read_out(struct world *w, struct pending *p, uint32_t subtask)
{
    struct ckpt_section section;
    struct bytes payload, record;
    struct ckpt_operator op;
    struct err err;

    bytes_init(&payload);
    bytes_init(&record);
    wk_state_describe(w->s[subtask], &op);
    (void)ckpt_meta_operator(p->meta, &op);
    for (uint32_t i = 0; i < op.state_count; i++)
        assert_int_equal(ckpt_meta_state(p->meta, 0, &op.states[i], NULL), 0);
    for (;;) {
        struct wk_place place;
        bool last;
        int rc = wk_snapshot_next(p->snap[subtask], &section, &payload);

        if (rc == 0)
            rc = wk_snapshot_next_stored(p->snap[subtask], &section, &payload, &place, &last, &err);
        assert_true(rc >= 0);
        if (rc == 0)
            break;
        assert_int_equal(section.subtask, subtask);
        if (rc == 2) {
            name_file(w, p->meta, &section, place.path);
            continue;
        }
        bytes_clear(&record);
        ckpt_record_add(&section, payload.data, payload.len, draw(w, 2) ? CKPT_ZSTD : CKPT_PLAIN, &record);
        if (section.kind == CKPT_TABLE && section.edge > 0) {
            make_file(w, p->meta, &section, &record);
            continue;
        }
        section.data = (rask_bytes){(const char *)record.data, (uint32_t)record.len};
        ckpt_meta_add(p->meta, &section);
    }
    p->tables[subtask] = wk_snapshot_tables(p->snap[subtask]);
    wk_snapshot_free(p->snap[subtask]);
    p->snap[subtask] = NULL;
    bytes_release(&payload);
    bytes_release(&record);
}

static void begin_checkpoint(struct world *w)
{
    static const enum wk_snapshot_kind kinds[] = {WK_SNAPSHOT_INCREMENTAL, WK_SNAPSHOT_INCREMENTAL, WK_SNAPSHOT_INCREMENTAL,
                                                  WK_SNAPSHOT_FULL, WK_SNAPSHOT_SAVEPOINT};
    struct pending *p = &w->pending[w->pending_count];

    if (w->pending_count == CHECKPOINTS)
        return;
    memset(p, 0, sizeof(*p));
    p->checkpoint = w->next_checkpoint++;
    p->kind = kinds[draw(w, 5)];
    p->model = w->now;
    p->meta = ckpt_meta_new();
    p->meta->checkpoint = p->checkpoint;
    p->meta->kind = p->kind == WK_SNAPSHOT_SAVEPOINT ? CKPT_SAVEPOINT : CKPT_CHECKPOINT;
    for (uint32_t i = 0; i < w->parallelism; i++)
        p->snap[i] = wk_state_freeze(w->s[i], p->checkpoint, p->kind);
    w->pending_count++;
}

static void drop(struct world *w, uint32_t i)
{
    for (uint32_t k = 0; k < SUBTASKS; k++) {
        wk_snapshot_free(w->pending[i].snap[k]);
        wk_tables_unref(w->pending[i].tables[k]);
    }
    if (w->pending[i].meta)
        delete_files(w, w->pending[i].meta);
    ckpt_meta_free(w->pending[i].meta);
    memmove(w->pending + i, w->pending + i + 1, (w->pending_count - i - 1) * sizeof(w->pending[0]));
    w->pending_count--;
}

static void advance_checkpoint(struct world *w)
{
    uint32_t i = w->pending_count ? draw(w, w->pending_count) : 0, k = draw(w, w->parallelism);
    struct pending *p = &w->pending[i];

    if (w->pending_count == 0)
        return;
    if (p->snap[k]) {
        read_out(w, p, k);
        return;
    }
    for (k = 0; k < w->parallelism; k++)
        if (p->snap[k])
            return;
    for (k = 0; k < w->parallelism; k++)
        if (p->tables[k])
            wk_tables_written(p->tables[k], p->meta, "../shared/", SHARED);
    if (draw(w, 4) == 0) {
        for (k = 0; k < w->parallelism; k++)
            wk_state_aborted(w->s[k], p->checkpoint);
        drop(w, i);
        return;
    }
    if (w->last && w->last->checkpoint > p->checkpoint) { /* subsumed */
        drop(w, i);
        return;
    }
    if (p->kind != WK_SNAPSHOT_SAVEPOINT) {
        struct ckpt_meta *before = w->last;

        assert_int_equal(ckpt_meta_carry(p->meta, w->last, NULL, NULL, NULL), 0);
        w->last = p->meta;
        if (before)
            delete_files(w, before);
        ckpt_meta_free(before);
        w->at_last = p->model;
        p->meta = NULL;
    }
    for (k = 0; k < w->parallelism; k++)
        if (draw(w, 5) > 0) /* a message may be lost */
            wk_state_completed(w->s[k], p->checkpoint);
    drop(w, i);
}

static int restore_piece(struct wk_state *s, const struct ckpt_section *section, const char *path, rask_bytes payload)
{
    char *whole = path ? mem_printf(SHARED "/%s", path + strlen("../shared/")) : NULL;
    struct wk_place place = {.path = whole};
    int rc = wk_state_restore_table(s, section, &place, payload.data, payload.len, NULL);

    mem_free(whole);
    return rc;
}

static void feed(struct world *w, struct wk_state *s, const struct ckpt_meta *m, const struct ckpt_section *section)
{
    const char *path = section->file == CKPT_NO_FILE ? NULL : m->files[section->file].path;
    struct file *f = path ? file_of(w, path) : NULL;
    rask_bytes record = f ? (rask_bytes){(const char *)f->record.data, (uint32_t)f->record.len} : section->data;
    struct arena arena;
    struct bytes room;
    rask_bytes payload;

    arena_init(&arena);
    bytes_init(&room);
    assert_false(f && f->is_deleted);
    assert_int_equal(ckpt_record_open(record.data, record.len, section, "test", &arena, NULL, &room, &payload, NULL), 0);
    if (section->kind == CKPT_TABLE)
        assert_int_equal(restore_piece(s, section, path, payload), 0);
    else
        assert_int_equal(wk_state_restore(s, section, payload.data, payload.len, NULL), 0);
    bytes_release(&room);
    arena_release(&arena);
}

static void restore_from(struct world *w, const struct ckpt_meta *m, bool go_on)
{
    for (uint32_t i = 0; i < w->parallelism; i++) {
        const struct ckpt_section **plan;
        bool broadcast = false;
        struct arena arena;
        uint32_t first, last, n;

        arena_init(&arena);
        ckpt_hash_range(i, w->parallelism, w->max_parallelism, &first, &last);
        n = ckpt_plan(m, op_id, first, last, &arena, &plan);
        assert_int_equal(wk_state_restore_begin(w->s[i], m, &m->operators[0], false, NULL), 0);
        for (uint32_t k = 0; k < n; k++)
            feed(w, w->s[i], m, plan[k]);
        for (uint32_t k = 0; k < m->section_count; k++) {
            const struct ckpt_section *s = &m->sections[k];

            if (ckpt_is_placed(s->kind) || (s->kind == CKPT_BROADCAST && broadcast))
                continue;
            broadcast |= s->kind == CKPT_BROADCAST;
            feed(w, w->s[i], m, s);
        }
        assert_int_equal(wk_state_restore_tables(w->s[i], &(int){0}, NULL), 0);
        wk_state_restore_end(w->s[i], go_on ? m->checkpoint : 0);
        arena_release(&arena);
    }
}

/* The job dies, and goes on from its last complete checkpoint, as written and read. */
static void fail_over(struct world *w)
{
    static const uint32_t maxima[] = {3, 7, 16, 128};
    struct ckpt_meta *m = NULL;
    struct bytes bytes;
    bool go_on = draw(w, 2);

    if (!w->last)
        return;
    while (w->pending_count > 0)
        drop(w, 0);
    close_states(w);
    assert_int_equal(w->budget.used_bytes, 0);
    bytes_init(&bytes);
    ckpt_meta_pack(w->last, &bytes);
    assert_int_equal(ckpt_meta_unpack(bytes.data, bytes.len, "test", &m, NULL), 0);
    bytes_release(&bytes);
    open_states(w, 1 + draw(w, SUBTASKS), maxima[draw(w, 4)]);
    restore_from(w, m, go_on);
    check_all(w, &w->at_last);
    w->now = w->at_last;
    ckpt_meta_free(w->last);
    w->last = m;
    if (!go_on) { /* as from a savepoint that stays its owner's: nothing of it may be needed */
        ckpt_meta_free(w->last);
        w->last = NULL;
    }
}

static void run(uint64_t seed, uint32_t steps, enum backend backend)
{
    struct world *w = calloc(1, sizeof(*w));
    char dir[] = "/dev/shm/rask-test-snapshot.XXXXXX";

    w->random = seed;
    w->next_checkpoint = 1;
    w->backend = backend;
    if (backend != IN_MEMORY) {
        assert_non_null(mkdtemp(dir));
        w->stores = wk_stores_leveldb_new(dir);
    }
    open_states(w, 2, 16);
    for (uint32_t i = 1; i <= 5; i++)
        assert_int_equal(wk_state_list_add(w->s[i % 2], SPLITS, &(char){(char)i}, 1, NULL), 0);
    for (uint32_t i = 0; i < steps; i++) {
        uint32_t what = draw(w, 100);

        if (what < 90)
            change(w);
        else if (what < 93)
            begin_checkpoint(w);
        else if (what < 99 || draw(w, 10))
            advance_checkpoint(w);
        else
            fail_over(w);
        if (i % 500 == 0)
            check_all(w, &w->now);
    }
    check_all(w, &w->now);
    while (w->pending_count > 0)
        drop(w, 0);
    close_states(w);
    assert_int_equal(w->budget.used_bytes, 0);
    ckpt_meta_free(w->last);
    for (uint32_t i = 0; i < w->file_count; i++)
        bytes_release(&w->files[i].record);
    if (backend != IN_MEMORY) {
        wk_stores_leveldb_free(w->stores);
        assert_int_equal(rmdir(dir), 0);
    }
    free(w);
}

static void random_operations_match_the_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30 / EVERY(4); seed++)
        run(seed, 8000, IN_MEMORY);
}

static void random_operations_on_disk_match_the_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12 / EVERY(4); seed++)
        run(seed, 8000, ON_DISK);
}

static void random_operations_on_changing_backends_match_the_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8 / EVERY(4); seed++)
        run(seed, 8000, EITHER);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_match_the_model),
        cmocka_unit_test(random_operations_on_disk_match_the_model),
        cmocka_unit_test(random_operations_on_changing_backends_match_the_model),
    };

    if (argc > 1) {
        run(strtoull(argv[1], NULL, 10), 8000, argc > 2 ? (enum backend)strtol(argv[2], NULL, 10) : IN_MEMORY);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
