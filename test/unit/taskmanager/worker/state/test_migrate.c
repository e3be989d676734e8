/* test_migrate.c - state restored under a changed schema: values, lists, maps; and what is refused, with both schemas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <rask/rask.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/types/packed_struct.h"
#include "taskmanager/worker/state/snapshot.h"

RASK_ROW(was, (INT, n), (STRING, text), (BIGINT, dropped));
RASK_ROW(is, (STRING, text), (BIGINT, n), (NULL_STRING, added));
RASK_ROW(other, (STRING, n), (STRING, text));
RASK_STATE(old_sum, (INT, n));
RASK_STATE(new_sum, (BIGINT, n), (BIGINT, added));

enum { VALUE, LIST, MAP, SUM, SPLITS };
static const rask_state before[] = {{.kind = RASK_VALUE, .name = "value", .schema = &was_schema},
                                    {.kind = RASK_LIST, .name = "list", .schema = &was_schema},
                                    {.kind = RASK_MAP, .name = "map", .schema = &was_schema, .map_key = &other_schema},
                                    {.kind = RASK_AGGREGATING, .name = "sum", .schema = &old_sum_schema},
                                    {.kind = RASK_OPERATOR_LIST, .name = "splits", .schema = &was_schema},
                                    {0}};
static const rask_state after[] = {{.kind = RASK_VALUE, .name = "value", .schema = &is_schema},
                                   {.kind = RASK_LIST, .name = "list", .schema = &is_schema},
                                   {.kind = RASK_MAP, .name = "map", .schema = &is_schema, .map_key = &other_schema},
                                   {.kind = RASK_AGGREGATING, .name = "sum", .schema = &new_sum_schema},
                                   {.kind = RASK_OPERATOR_LIST, .name = "splits", .schema = &is_schema},
                                   {0}};
static const rask_state wrong[] = {{.kind = RASK_VALUE, .name = "value", .schema = &other_schema}, {0}};

static struct wk_state_budget budget = {.limit_bytes = 1u << 28};

static struct wk_state *state_of(const rask_state *decl)
{
    return wk_state_new(&(struct wk_state_options){.decl = decl, .budget = &budget, .name = "op"});
}

static rask_bytes pack(const rask_schema *schema, const void *row, size_t size, struct bytes *to)
{
    struct packed_struct s;

    assert_true(packed_struct_of(schema, size, &s));
    bytes_clear(to);
    packed_struct_add(&s, row, to);
    return (rask_bytes){(const char *)to->data, (uint32_t)to->len};
}

static struct is unpack(const void *data, size_t len)
{
    struct packed_struct s;
    struct is v;

    assert_true(packed_struct_of(&is_schema, sizeof(v), &s));
    assert_int_equal(packed_struct_read(&s, data, len, &v, NULL), 0);
    return v;
}

static const rask_str key = {"a key", 5};

static void fill(struct wk_state *s)
{
    uint64_t hash = hash_xxh3(key.data, key.len);
    struct was w = {7, RASK_STR("a text of more than twelve bytes"), 1};
    struct bytes room;
    rask_bytes row;

    bytes_init(&room);
    row = pack(&was_schema, &w, sizeof(w), &room);
    assert_int_equal(wk_state_write(s, VALUE, hash, key, row.data, row.len, NULL), 0);
    assert_int_equal(wk_state_list_add(s, SPLITS, row.data, row.len, NULL), 0);
    for (uint32_t i = 0; i < 200; i++) {
        w.n = (int32_t)i;
        row = pack(&was_schema, &w, sizeof(w), &room);
        assert_int_equal(wk_list_add(s, LIST, hash, key, row, NULL), 0);
        assert_int_equal(wk_map_put(s, MAP, hash, key, (rask_bytes){(const char *)&i, 4}, row, NULL), 0);
    }
    ((struct old_sum *)wk_state_get(s, SUM, hash, key, sizeof(struct old_sum), true, NULL, NULL))->n = -5;
    bytes_release(&room);
}

static void move(struct wk_state *from, struct wk_state *to)
{
    struct wk_snapshot *snap = wk_state_freeze(from, 1, WK_SNAPSHOT_SAVEPOINT);
    struct ckpt_section section;
    struct ckpt_operator op;
    struct bytes payload;

    bytes_init(&payload);
    wk_state_describe(from, &op);
    assert_int_equal(wk_state_restore_begin(to, NULL, &op, false, NULL), 0);
    while (wk_snapshot_next(snap, &section, &payload))
        assert_int_equal(wk_state_restore(to, &section, payload.data, payload.len, NULL), 0);
    wk_state_restore_end(to, 1);
    wk_snapshot_free(snap);
    bytes_release(&payload);
}

static void values_follow_their_schema(void **state)
{
    struct wk_state *from = state_of(before), *to = state_of(after);
    uint64_t hash = hash_xxh3(key.data, key.len);
    const struct new_sum *sum;
    struct wk_snapshot *snap;
    struct ckpt_section section;
    struct bytes payload;
    struct wk_cursor c;
    uint32_t i = 0;
    const void *v;
    size_t len;

    (void)state;
    fill(from);
    move(from, to);
    v = wk_state_read(to, VALUE, hash, key, &len);
    assert_int_equal(unpack(v, len).n, 7);
    assert_true(unpack(v, len).added.is_null);
    assert_true(rask_str_equal(unpack(v, len).text, RASK_STR("a text of more than twelve bytes")));
    for (wk_cursor_begin(&c, to, LIST, hash, key); wk_cursor_next(&c); i++)
        assert_int_equal(unpack(c.value.data, c.value.len).n, i);
    assert_int_equal(i, 200);
    for (i = 0; i < 200; i++) {
        rask_bytes value;

        assert_true(wk_map_get(to, MAP, hash, key, (rask_bytes){(const char *)&i, 4}, &value));
        assert_int_equal(unpack(value.data, value.len).n, i);
    }
    sum = wk_state_get(to, SUM, hash, key, sizeof(*sum), false, NULL, NULL);
    assert_int_equal(sum->n, -5);
    assert_int_equal(sum->added, 0);
    assert_int_equal(unpack(wk_state_list_get(to, SPLITS, 0).data, wk_state_list_get(to, SPLITS, 0).len).n, 7);
    /* what was rewritten is no base of deltas */
    bytes_init(&payload);
    snap = wk_state_freeze(to, 2, WK_SNAPSHOT_INCREMENTAL);
    while (wk_snapshot_next(snap, &section, &payload))
        assert_int_not_equal(section.kind, CKPT_DELTA);
    wk_snapshot_free(snap);
    bytes_release(&payload);
    wk_state_free(from);
    wk_state_free(to);
    assert_int_equal(budget.used_bytes, 0);
}

static void other_types_are_refused_with_both_schemas(void **state)
{
    struct wk_state *from = state_of(before), *to = state_of(wrong);
    struct ckpt_operator op;
    struct err err = {0};

    (void)state;
    wk_state_describe(from, &op);
    assert_int_not_equal(wk_state_restore_begin(to, NULL, &op, true, &err), 0);
    assert_non_null(strstr(err.text, "\"value\""));
    assert_non_null(strstr(err.text, "INT"));
    assert_non_null(strstr(err.text, "STRING"));
    wk_state_free(to);
    to = state_of(wrong);
    op.states[0].kind = RASK_LIST;
    assert_int_not_equal(wk_state_restore_begin(to, NULL, &op, true, &err), 0);
    assert_non_null(strstr(err.text, "list state in the checkpoint"));
    op.states[0].kind = RASK_VALUE;
    wk_state_free(to);
    to = state_of(wrong + 1);
    assert_int_not_equal(wk_state_restore_begin(to, NULL, &op, false, &err), 0);
    assert_non_null(strstr(err.text, "--allowNonRestoredState"));
    wk_state_free(to);
    wk_state_free(from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_follow_their_schema),
        cmocka_unit_test(other_types_are_refused_with_both_schemas),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
