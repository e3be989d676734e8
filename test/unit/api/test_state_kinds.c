/* test_state_kinds.c - every kind of state through the public API: rows as structs, lists, maps, broadcast, expiry, batches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rask/row.h>
#include <rask/testkit.h>

RASK_ROW(bid, (STRING, item), (INT, cents), (NULL_STRING, note));
RASK_ROW(said, (STRING, item), (STRING, text), (BIGINT, n));
RASK_ROW(channel, (STRING, name), (SMALLINT, kind));
RASK_ROW(rule, (STRING, item), (INT, least));
RASK_STATE(total, (BIGINT, cents), (INT, bids));

enum { LAST, ALL, BY_NOTE, SUM, STATS, RULES, OLD, SEEN, YOUNG };

static void add_totals(void *value, const void *more)
{
    struct total *t = value;

    t->cents += ((const struct total *)more)->cents;
    t->bids += ((const struct total *)more)->bids;
}
static void add_bid(void *value, const void *more)
{
    struct bid b = bid_at(more);

    ((struct total *)value)->cents += b.cents;
    ((struct total *)value)->bids++;
}

static const rask_state states[] = {
    [LAST] = {.kind = RASK_VALUE, .name = "last", .schema = &bid_schema},
    [ALL] = {.kind = RASK_LIST, .name = "all", .schema = &bid_schema},
    [BY_NOTE] = {.kind = RASK_MAP, .name = "by note", .schema = &total_schema, .map_key = &channel_schema},
    [SUM] = {.kind = RASK_REDUCING, .name = "sum", .schema = &total_schema, .add = add_totals},
    [STATS] = {.kind = RASK_AGGREGATING, .name = "stats", .schema = &total_schema, .add = add_bid},
    [RULES] = {.kind = RASK_BROADCAST, .name = "rules", .schema = &rule_schema, .map_key = &channel_schema},
    [OLD] = {.kind = RASK_VALUE, .name = "old", .schema = &bid_schema, .ttl_ms = 1000},
    [SEEN] = {.kind = RASK_LIST, .name = "seen", .schema = &bid_schema, .ttl_ms = 1000},
    [YOUNG] = {.kind = RASK_VALUE, .name = "young", .schema = &total_schema, .ttl_ms = 1000},
    {0}};

static int say(rask_out *out, rask_str item, const char *text, int64_t n)
{
    struct said s = {item, rask_str_of(text), n};

    return said_emit(out, &s);
}

static int on_list(rask_ctx *ctx, const struct bid *b, rask_out *out)
{
    int64_t n = 0, sum = 0;
    int rc = bid_add(ctx, ALL, b);

    rask_each(ctx, ALL, each) {
        struct bid has = bid_value(&each);

        n++;
        sum += has.cents;
        if (has.cents == 13 && rask_remove(&each) != 0)
            return -1;
    }
    return rc ? rc : say(out, b->item, "sum of list", sum * 1000 + n);
}

static int on_map(rask_ctx *ctx, const struct bid *b, rask_out *out)
{
    struct channel key = {b->note.value, 7};
    struct total t = {0, 0};
    int64_t all = 0;
    int rc;

    (void)total_load_at(ctx, BY_NOTE, &key, &t);
    t.cents += b->cents;
    rc = b->cents == 0 ? rask_state_remove_at(ctx, BY_NOTE, &key) : total_store_at(ctx, BY_NOTE, &key, &t);
    rask_each(ctx, BY_NOTE, each) {
        all += total_value(&each).cents;
        if (channel_key(&each).kind != 7)
            return rask_fail(ctx, "a key came back wrong");
    }
    return rc ? rc : say(out, b->item, "sum of map", all * 1000 + t.cents);
}

static int on_bid(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct bid b = bid_at(row), before;
    struct total one = {b.cents, 1};
    struct channel key = {b.item, 1};
    struct rule r;
    int rc;

    if (bid_load(ctx, LAST, &before)) {
        rc = say(out, b.item, before.note.is_null ? "no note" : "note", before.cents);
        if (rc != 0)
            return rc;
    }
    if (rask_state_load_at(ctx, RULES, &key, &rule_schema, &r, sizeof(r)) && b.cents < r.least)
        return say(out, b.item, "refused", r.least);
    rc = bid_store(ctx, LAST, &b);
    if (rc == 0)
        rc = total_add(ctx, SUM, &one);
    if (rc == 0)
        rc = rask_state_aggregate(ctx, STATS, row);
    if (rc == 0)
        rc = say(out, b.item, "reduced", total_peek(ctx, SUM)->cents * 1000 + total_peek(ctx, STATS)->bids);
    if (rc == 0)
        rc = on_list(ctx, &b, out);
    return rc ? rc : on_map(ctx, &b, out);
}

static int on_rule(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct rule r = rule_at(row);
    struct channel key = {r.item, 1};

    (void)out;
    return rule_store_at(ctx, RULES, &key, &r);
}

static const rask_process_fn watch = {.abi = RASK_ABI, .name = "watch", .in = &bid_schema, .in2 = &rule_schema, .out = &said_schema,
                                      .states = states, .broadcast = true, .on_row = on_bid, .on_row2 = on_rule};

static rask_stream *watched(rask_env *env, rask_stream *in, rask_stream *in2)
{
    (void)env;
    return rask_process2(rask_key_by(in, "item"), rask_broadcast(in2), &watch);
}

static void bid(rask_kit *kit, const char *item, int32_t cents, const char *note)
{
    struct bid b = {rask_str_of(item), cents, {rask_str_of(note ? note : ""), note == NULL}};

    assert_int_equal(bid_emit(rask_kit_in(kit, 0), &b), 0);
}

static void every_kind_by_row(void **state)
{
    rask_kit *kit = rask_kit_new(watched, &bid_schema, &rule_schema);
    struct rule r = {RASK_STR("book"), 5};

    (void)state;
    bid(kit, "book", 10, "a note that is longer than twelve bytes");
    bid(kit, "book", 13, NULL);
    bid(kit, "book", 1, "a note that is longer than twelve bytes");
    bid(kit, "pen", 2, NULL);
    assert_string_equal(rask_kit_text(kit, RASK_KIT_MAIN),
                        "book,reduced,10001\nbook,sum of list,10001\nbook,sum of map,10010\n"
                        "book,note,10\nbook,reduced,23002\nbook,sum of list,23002\nbook,sum of map,23013\n"
                        "book,no note,13\nbook,reduced,24003\nbook,sum of list,11002\nbook,sum of map,24011\n"
                        "pen,reduced,2001\npen,sum of list,2001\npen,sum of map,2002\n");
    rask_kit_clear(kit);
    assert_int_equal(rule_emit(rask_kit_in(kit, 1), &r), 0);
    assert_int_equal(rask_kit_push(kit), 0);
    bid(kit, "book", 4, NULL);
    assert_string_equal(rask_kit_text(kit, RASK_KIT_MAIN), "book,note,1\nbook,refused,5\n");
    rask_kit_free(kit);
}

/* ---- expiry ---- */

static int on_old(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct bid b = bid_at(row), before = {.cents = -1};
    int64_t n = 0;
    int rc;

    (void)bid_load(ctx, OLD, &before);
    rask_each(ctx, SEEN, each)
        n++;
    rc = say(out, b.item, "before", before.cents * 100 + n);
    if (rc == 0)
        rc = bid_store(ctx, OLD, &b);
    return rc ? rc : bid_add(ctx, SEEN, &b);
}
static const rask_process_fn expiring = {
    .abi = RASK_ABI, .name = "expiring", .in = &bid_schema, .out = &said_schema, .states = states, .on_row = on_old};

static rask_stream *expired(rask_env *env, rask_stream *in, rask_stream *in2)
{
    (void)env;
    (void)in2;
    return rask_process(rask_key_by(in, "item"), &expiring);
}

static void bid_at_time(rask_kit *kit, rask_ts now, int32_t cents)
{
    rask_kit_set_time(kit, now);
    bid(kit, "x", 0, NULL); /* an own batch first: the time of a batch is read as it begins */
    assert_int_equal(rask_kit_push(kit), 0);
    rask_kit_clear(kit);
    bid(kit, "book", cents, NULL);
    assert_int_equal(rask_kit_push(kit), 0);
}

static void what_is_old_is_gone(void **state)
{
    rask_kit *kit = rask_kit_new(expired, &bid_schema, NULL);

    (void)state;
    bid_at_time(kit, 1000, 1);
    bid_at_time(kit, 1500, 2);
    assert_string_equal(rask_kit_text(kit, RASK_KIT_MAIN), "book,before,101\n");
    bid_at_time(kit, 2100, 3);
    assert_string_equal(rask_kit_text(kit, RASK_KIT_MAIN), "book,before,201\n");
    bid_at_time(kit, 9000, 4);
    assert_string_equal(rask_kit_text(kit, RASK_KIT_MAIN), "book,before,-100\n");
    rask_kit_free(kit);
}

/* ---- batches ---- */

static int totals_process(rask_op *op, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    struct total *totals[RASK_BATCH_ROWS_MAX];
    int rc = total_of_rows(op, input, 0, in, from, in->rows - from, totals);

    for (uint32_t i = from; i < in->rows && rc == 0; i++) {
        rask_row row = rask_batch_row(in, i);
        struct bid b = bid_at(&row);

        totals[i - from]->cents += b.cents;
        rc = say(rask_main_out(op), b.item, "total", totals[i - from]->cents);
    }
    *ret_consumed = in->rows - from;
    return rc;
}
static const rask_operator totals = {.abi = RASK_ABI, .name = "totals", .in = &bid_schema, .out = &said_schema,
                                     .states = &states[SUM], .process = totals_process};

static rask_stream *totalled(rask_env *env, rask_stream *in, rask_stream *in2)
{
    (void)env;
    (void)in2;
    return rask_transform(rask_key_by(in, "item"), &totals);
}

static void keys_of_a_batch_at_once(void **state)
{
    rask_kit *kit = rask_kit_new(totalled, &bid_schema, NULL);

    (void)state;
    bid(kit, "a", 1, NULL);
    bid(kit, "a key that is longer than sixteen bytes", 5, NULL);
    bid(kit, "a", 2, NULL);
    bid(kit, "a key that is longer than sixteen bytes", 5, NULL);
    assert_string_equal(rask_kit_text(kit, RASK_KIT_MAIN),
                        "a,total,1\na key that is longer than sixteen bytes,total,5\n"
                        "a,total,3\na key that is longer than sixteen bytes,total,10\n");
    for (int i = 0; i < 5000; i++)
        bid(kit, "b", 1, NULL);
    assert_int_equal(rask_kit_push(kit), 0);
    rask_kit_clear(kit);
    bid(kit, "b", 1, NULL);
    assert_string_equal(rask_kit_text(kit, RASK_KIT_MAIN), "b,total,5001\n");
    rask_kit_free(kit);
}

static const rask_operator young_totals = {.abi = RASK_ABI, .name = "young totals", .in = &bid_schema, .out = &said_schema,
                                           .states = &states[YOUNG], .process = totals_process};

static rask_stream *totalled_for_a_time(rask_env *env, rask_stream *in, rask_stream *in2)
{
    (void)env;
    (void)in2;
    return rask_transform(rask_key_by(in, "item"), &young_totals);
}

enum { YOUNG_KEYS = 100 };

/* Each key once, and all have the same total then. */
static void all_have(rask_kit *kit, rask_ts now, int total)
{
    const char *text;
    int count = 0;

    rask_kit_set_time(kit, now);
    bid(kit, "x", 0, NULL); /* an own batch first, as above */
    assert_int_equal(rask_kit_push(kit), 0);
    rask_kit_clear(kit);
    for (int i = 0; i < YOUNG_KEYS; i++) {
        char item[48];

        snprintf(item, sizeof(item), "%d%s", i, i % 2 ? "" : " is longer than sixteen bytes");
        bid(kit, item, 1, NULL);
    }
    text = rask_kit_text(kit, RASK_KIT_MAIN);
    for (const char *at = text; (at = strstr(at, ",total,")) != NULL; at++, count++)
        assert_int_equal(strtol(at + 7, NULL, 10), total);
    assert_int_equal(count, YOUNG_KEYS);
}

static void keys_of_a_batch_have_their_time(void **state)
{
    rask_kit *kit = rask_kit_new(totalled_for_a_time, &bid_schema, NULL);

    (void)state;
    all_have(kit, 10000, 1);
    all_have(kit, 10900, 2); /* each change is a new date */
    all_have(kit, 11800, 3);
    all_have(kit, 12800, 1);
    all_have(kit, 12900, 2);
    rask_kit_free(kit);
}

/* ---- mistakes ---- */

static int wrong_row(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct rule r = {RASK_STR("x"), 1};
    struct bid b = bid_at(row);

    (void)out;
    if (b.cents == 1)
        return rule_store(ctx, LAST, &r);
    if (b.cents == 2)
        return bid_store(ctx, ALL, &b);
    if (b.cents == 3)
        return rule_store_at(ctx, RULES, &(struct channel){RASK_STR("a"), 1}, &r);
    return bid_store(ctx, 99, &b);
}
static const rask_process_fn wrong = {
    .abi = RASK_ABI, .name = "wrong", .in = &bid_schema, .out = &said_schema, .states = states, .on_row = wrong_row};
static rask_stream *wrong_stream(rask_env *env, rask_stream *in, rask_stream *in2)
{
    (void)env;
    (void)in2;
    return rask_process(rask_key_by(in, "item"), &wrong);
}

static void mistakes_are_sentences(void **state)
{
    static const char *const texts[] = {"state 99 is not declared", "declared (item STRING NOT NULL, cents INT NOT NULL, note STRING), used with",
                                        "state \"all\" is a list state: store is not for it", "can be changed in on_row2 alone"};

    (void)state;
    for (int i = 0; i < 4; i++) {
        rask_kit *kit = rask_kit_new(wrong_stream, &bid_schema, NULL);

        bid(kit, "a", i, NULL);
        assert_int_not_equal(rask_kit_push(kit), 0);
        if (!strstr(rask_kit_error(kit), texts[i]))
            fail_msg("%s", rask_kit_error(kit));
        rask_kit_free(kit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_by_row),
        cmocka_unit_test(what_is_old_is_gone),
        cmocka_unit_test(keys_of_a_batch_at_once),
        cmocka_unit_test(keys_of_a_batch_have_their_time),
        cmocka_unit_test(mistakes_are_sentences),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
