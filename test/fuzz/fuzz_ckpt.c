/*
 * fuzz_ckpt.c - checkpoints from any bytes: metadata, state files, records, and state restored from their entries and read.
 * The first byte says which; checksums are made to fit, else nothing would get behind them.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/ckpt/ckpt_file.h"
#include "taskmanager/worker/state/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const rask_field fields[] = {{.name = "n", .type = RASK_T_INT}, {.name = "s", .type = RASK_T_STRING, .nullable = 1}};
static const rask_field wider[] = {{.name = "s", .type = RASK_T_STRING, .nullable = 1}, {.name = "n", .type = RASK_T_BIGINT}};
static const rask_schema schema = {RASK_ABI, 2, "row", fields};
static const rask_schema later = {RASK_ABI, 2, "row", wider};
enum { VALUE, LIST, MAP, OLD, SPLITS, RULES, STATES };
static const rask_state declared[STATES + 1] = {{.kind = RASK_VALUE, .name = "value", .schema = &later},
                                                {.kind = RASK_LIST, .name = "list", .schema = &later},
                                                {.kind = RASK_MAP, .name = "map", .schema = &later, .map_key = &schema},
                                                {.kind = RASK_LIST, .name = "old", .schema = &later, .ttl_ms = 1},
                                                {.kind = RASK_OPERATOR_LIST, .name = "splits", .schema = &later},
                                                {.kind = RASK_BROADCAST, .name = "rules", .schema = &later, .map_key = &schema},
                                                {.kind = (enum rask_state_kind)0}};

static void metadata(const uint8_t *data, size_t size)
{
    struct ckpt_meta *m = NULL, *next;
    const struct ckpt_section **plan;
    uint64_t len = size;
    struct arena arena;
    struct bytes b;
    uint32_t crc;

    bytes_init(&b);
    bytes_add(&b, "RASKCKPT", 8);
    bytes_add_u32(&b, CKPT_VERSION);
    bytes_add_u32(&b, 0);
    bytes_add_u64(&b, len);
    bytes_add(&b, data, size);
    crc = hash_crc32c(hash_crc32c(0, b.data, 12), b.data + 16, b.len - 16);
    memcpy(b.data + 12, &crc, sizeof(crc));
    if (ckpt_meta_unpack(b.data, b.len, "fuzz", &m, NULL) == 0) {
        bytes_clear(&b);
        ckpt_meta_pack(m, &b);
        next = ckpt_meta_new();
        next->checkpoint = m->checkpoint;
        for (uint32_t i = 0; i < m->operator_count; i++) {
            arena_init(&arena);
            (void)ckpt_meta_operator(next, &m->operators[i]);
            (void)ckpt_plan(m, m->operators[i].id, 1000, UINT32_MAX - 1000, &arena, &plan);
            arena_release(&arena);
        }
        (void)!ckpt_meta_carry(next, m, NULL, NULL, NULL);
        (void)!ckpt_meta_merge(next, m, NULL);
        ckpt_meta_free(next);
    }
    ckpt_meta_free(m);
    bytes_release(&b);
}

static void record(const uint8_t *data, size_t size)
{
    struct bytes b, room;
    struct arena arena;
    rask_bytes payload;

    bytes_init(&b);
    bytes_init(&room);
    arena_init(&arena);
    bytes_add(&b, data, size);
    bytes_add_u32(&b, hash_crc32c(0, data, size));
    (void)!ckpt_record_open(b.data, b.len, NULL, "fuzz", &arena, NULL, &room, &payload, NULL);
    (void)!ckpt_file_check(data, size, "fuzz", NULL, NULL);
    bytes_release(&b);
    bytes_release(&room);
    arena_release(&arena);
}

static void read_all(struct wk_state *s, const uint8_t *data, size_t size)
{
    rask_str key = {(const char *)data, (uint32_t)(size < 12 ? size : 12)};
    uint64_t hash = hash_xxh3(key.data, key.len);
    struct wk_cursor c;
    size_t len;

    (void)wk_state_read(s, VALUE, hash, key, &len);
    for (int i = LIST; i <= OLD; i++) {
        uint32_t steps = 0;

        wk_cursor_begin(&c, s, i, hash, key);
        if (c.parts > c.part && c.parts - c.part > 100000) /* as many as there may be are looked for, which takes a while */
            continue;
        for (; wk_cursor_next(&c) && steps < 1000; steps++)
            if (steps % 3 == 0)
                (void)!wk_cursor_remove(&c, NULL);
        if (c.parts < 1000)
            (void)!wk_state_clear(s, i, hash, key, NULL);
    }
}

static void state(uint8_t which, const uint8_t *data, size_t size)
{
    static const enum ckpt_section_kind kinds[] = {CKPT_DELTA, CKPT_DELTA, CKPT_IMAGE, CKPT_DELTA, CKPT_LIST, CKPT_BROADCAST};
    struct wk_state_budget budget = {.limit_bytes = 64u << 20};
    struct wk_state *s = wk_state_new(&(struct wk_state_options){.decl = declared, .budget = &budget});
    struct ckpt_section section = {.kind = kinds[which % STATES], .state = declared[which % STATES].name,
                                   .hash_last = UINT32_MAX, .to = 5};
    struct ckpt_operator op;
    struct ckpt_state *old;

    wk_state_describe(s, &op);
    old = op.states;
    for (uint32_t i = 0; which >= 128 && i < op.state_count; i++)
        old[i].value = &schema;
    CHECK(wk_state_restore_begin(s, NULL, &op, false, NULL) == 0);
    if (wk_state_restore(s, &section, data, size, NULL) == 0) {
        wk_state_restore_end(s, 0);
        read_all(s, data + (size > 3 ? 3 : 0), size > 3 ? size - 3 : size);
        wk_state_settle(s, 100);
    }
    wk_state_free(s);
    CHECK(budget.used_bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    if (data[0] % 4 == 0)
        metadata(data + 1, size - 1);
    else if (data[0] % 4 == 1)
        record(data + 1, size - 1);
    else
        state(data[1], data + 2, size - 2);
    return 0;
}
