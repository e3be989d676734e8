/* The PostgreSQL sinks against a real server (test/postgres.sh), which loses its power now and then. */
#include "connectors/postgres/pq.h"
#include "test/unit/connectors/harness.h"

static const rask_field row_fields[] = {{"id", RASK_T_BIGINT, 0, 0, 0, NULL},     {"text", RASK_T_STRING, 1, 0, 0, NULL},
                                        {"raw", RASK_T_BYTES, 1, 0, 0, NULL},     {"price", RASK_T_DECIMAL, 1, 9, 2, NULL},
                                        {"at", RASK_T_TIMESTAMP, 1, 3, 0, NULL},  {"day", RASK_T_DATE, 1, 0, 0, NULL},
                                        {"yes", RASK_T_BOOLEAN, 1, 0, 0, NULL},   {"f", RASK_T_DOUBLE, 1, 0, 0, NULL}};
static const rask_schema row_schema = {RASK_ABI, 8, "row", row_fields};
#define TABLE "(id bigint primary key, text text, raw bytea, price numeric(9,2), at timestamp(3), day date, yes boolean, f float8)"

static char server[64], conninfo[256];

static int run_script(const char *verb, const char *setting)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        execl("test/postgres.sh", "postgres.sh", verb, server, setting[0] ? setting : NULL, NULL);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    return status;
}

static int server_start(void **state)
{
    (void)state;
    snprintf(server, sizeof(server), "/tmp/rask-postgres-XXXXXX");
    assert_non_null(mkdtemp(server));
    assert_int_equal(chmod(server, 0755), 0);
    snprintf(conninfo, sizeof(conninfo), "host=%s user=postgres dbname=postgres", server);
    return run_script("start", "max_prepared_transactions=10");
}

static int server_stop(void **state)
{
    (void)state;
    return run_script("stop", "");
}

static void server_loses_power(void)
{
    assert_int_equal(run_script("crash", ""), 0);
    assert_int_equal(run_script("start", "max_prepared_transactions=10"), 0);
}

/* By a connection of its own: what others see. */
static void ask(const char *sql, struct bytes *out)
{
    struct err err = {0};
    struct pq *pq = pq_open(conninfo, &err);

    if (!pq)
        fail_msg("%s", err.text);
    bytes_clear(out);
    bytes_add_u8(out, 0);
    out->len = 0;
    if (pq_query(pq, sql, out, &err) != 0)
        fail_msg("%s", err.text);
    pq_close(pq);
}

static void sql(const char *text)
{
    struct err err = {0};
    struct pq *pq = pq_open(conninfo, &err);

    if (!pq || pq_exec(pq, text, &err) != 0)
        fail_msg("%s", err.text);
    pq_close(pq);
}

#define assert_answer(question, expected)                                                                               \
    do {                                                                                                                \
        struct bytes answer_ = {0};                                                                                     \
        ask(question, &answer_);                                                                                        \
        assert_string_equal((const char *)answer_.data, expected);                                                      \
        bytes_release(&answer_);                                                                                        \
    } while (0)
#define COUNT   "SELECT coalesce(string_agg(id || '=' || text, ',' ORDER BY id), '') FROM t"
#define PENDING "SELECT count(*)::text FROM pg_prepared_xacts"

static int fresh_table(void **state)
{
    (void)state;
    sql("DROP TABLE IF EXISTS t");
    sql("CREATE TABLE t " TABLE);
    return 0;
}

struct attempt {
    struct harness *h;
    struct bytes promises[16];
    uint32_t count;
};

static int keep(struct rask_committables *out, const void *data, size_t len)
{
    struct attempt *a = out->engine;

    assert_true(a->count < 16);
    bytes_clear(&a->promises[a->count]);
    bytes_add(&a->promises[a->count++], data, len);
    return 0;
}

static int attempt_open(struct attempt *a, const char *key, const char *table, uint32_t number, uint64_t checkpoint)
{
    struct harness *h = h_new(key ? "postgres-upsert" : "postgres", &row_schema);

    memset(a, 0, sizeof(*a));
    a->h = h;
    h_property(h, "conninfo", conninfo);
    h_property(h, "table", table);
    if (key)
        h_property(h, "key", key);
    h->args.job = "00000000000000000000000000000001";
    h->args.operator_id = "00000000000000000000000000000002";
    h->ctx.attempt = number;
    h->ctx.checkpoint = checkpoint;
    h->ctx.self = mem_alloc(h->connector->sink->self_size);
    return h->connector->sink->open(&h->ctx);
}

static void attempt_close(struct attempt *a)
{
    a->h->connector->sink->close(&a->h->ctx);
    h_free(a->h);
    for (uint32_t i = 0; i < ARRAY_LEN(a->promises); i++)
        bytes_release(&a->promises[i]);
}

static void put(struct attempt *a, int64_t id, const char *text, int kind)
{
    rask_out *out = a->h->ctx.out;

    out->row_kind = (uint8_t)kind;
    assert_int_equal(rask_out_begin(out, &row_schema), 0);
    rask_out_i64(out, 0, id);
    if (text)
        rask_out_string(out, 1, rask_str_of(text));
    else
        rask_out_null(out, 1);
    rask_out_string(out, 2, (rask_str){"\0\\x", 3});
    rask_out_i64(out, 3, -105);
    rask_out_i64(out, 4, 1);
    rask_out_i32(out, 5, -1);
    rask_out_bool(out, 6, true);
    rask_out_f64(out, 7, 0.5);
    assert_int_equal(rask_out_end(out), 0);
}

static int write_rows(struct attempt *a)
{
    int rc = 0;

    h_full(a->h->ctx.out, a->h);
    for (uint32_t i = 0; i < a->h->batch_count && rc == 0; i++)
        rc = a->h->connector->sink->write(&a->h->ctx, a->h->batches[i]);
    h_drop_rows(a->h);
    return rc;
}

static int insert(struct attempt *a, int64_t id, const char *text)
{
    put(a, id, text, RASK_INSERT);
    return write_rows(a);
}

static int barrier(struct attempt *a, uint64_t checkpoint)
{
    struct rask_committables out = {keep, a};

    a->h->ctx.checkpoint = checkpoint;
    return a->h->connector->sink->prepare(&a->h->ctx, &out);
}

static int commit(struct attempt *a, const struct attempt *of, uint32_t i)
{
    return a->h->connector->sink->commit(&a->h->ctx,
                                         (rask_bytes){(const char *)of->promises[i].data, (uint32_t)of->promises[i].len});
}

static void every_type_comes_out_as_it_went_in(void **state)
{
    struct attempt a;

    (void)state;
    assert_int_equal(attempt_open(&a, "id", "public.t", 0, 0), 0);
    assert_int_equal(insert(&a, 1, "tab\tline\nback\\slash\r'quote\""), 0);
    assert_int_equal(insert(&a, 2, "\\N"), 0);
    assert_int_equal(insert(&a, 3, NULL), 0);
    assert_int_equal(a.h->connector->sink->flush(&a.h->ctx), 0);
    assert_answer("SELECT text FROM t WHERE id = 1", "tab\tline\nback\\slash\r'quote\"");
    assert_answer("SELECT text FROM t WHERE id = 2", "\\N");
    assert_answer("SELECT 'null' FROM t WHERE id = 3 AND text IS NULL", "null");
    assert_answer("SELECT concat_ws(' ', raw, price, at, day, yes, f) FROM t WHERE id = 1",
                  "\\x005c78 -1.05 1970-01-01 00:00:00.001 1969-12-31 t 0.5");
    attempt_close(&a);
}

static void an_upsert_keeps_the_last_row_of_a_key(void **state)
{
    struct attempt a;

    (void)state;
    assert_int_equal(attempt_open(&a, "id", "t", 0, 0), 0);
    for (int again = 0; again < 2; again++) { /* after a failure the same rows come again */
        put(&a, 1, "a", RASK_INSERT);
        put(&a, 2, "b", RASK_INSERT);
        put(&a, 1, "a", RASK_UPDATE_BEFORE);
        put(&a, 1, "c", RASK_UPDATE_AFTER);
        put(&a, 3, "d", RASK_INSERT);
        put(&a, 2, "b", RASK_DELETE);
        put(&a, 3, "d", RASK_DELETE);
        put(&a, 3, "e", RASK_INSERT);
        assert_int_equal(write_rows(&a), 0);
        assert_int_equal(a.h->connector->sink->flush(&a.h->ctx), 0);
        assert_answer(COUNT, "1=c,3=e");
    }
    attempt_close(&a);
}

static void inserts_are_seen_when_their_checkpoint_is_complete(void **state)
{
    struct attempt a;

    (void)state;
    assert_int_equal(attempt_open(&a, NULL, "t", 0, 0), 0);
    assert_int_equal(barrier(&a, 1), 0);
    assert_int_equal(a.count, 0); /* nothing written, nothing to commit */
    assert_int_equal(insert(&a, 1, "a"), 0);
    assert_int_equal(barrier(&a, 2), 0);
    assert_int_equal(a.count, 1);
    assert_answer(COUNT, "");
    assert_int_equal(insert(&a, 2, "b"), 0); /* of the next checkpoint, while the first is committed */
    assert_int_equal(a.h->connector->sink->flush(&a.h->ctx), 0);
    assert_int_equal(commit(&a, &a, 0), 0);
    assert_answer(COUNT, "1=a");
    assert_int_equal(commit(&a, &a, 0), 0); /* again: the server knows that it was committed */
    assert_int_equal(barrier(&a, 3), 0);
    assert_int_equal(commit(&a, &a, 1), 0);
    assert_answer(COUNT, "1=a,2=b");
    put(&a, 1, "x", RASK_UPDATE_AFTER);
    assert_int_not_equal(write_rows(&a), 0);
    assert_contains(a.h->ctx.error.text, "give it key columns");
    attempt_close(&a);
}

static void a_new_attempt_commits_what_was_promised_and_rolls_back_the_rest(void **state)
{
    struct attempt a, b, c;

    (void)state;
    assert_int_equal(attempt_open(&a, NULL, "t", 0, 0), 0);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(insert(&a, i, "a"), 0);
        assert_int_equal(barrier(&a, (uint64_t)i), 0);
    }
    assert_int_equal(insert(&a, 4, "never prepared"), 0);
    assert_int_equal(a.h->connector->sink->flush(&a.h->ctx), 0);
    server_loses_power();
    assert_answer(PENDING, "3");
    assert_int_equal(attempt_open(&b, NULL, "t", 1, 2), 0); /* from checkpoint 2; the third was never complete */
    assert_answer(PENDING, "2");
    assert_int_equal(commit(&b, &a, 0), 0);
    assert_int_equal(commit(&b, &a, 1), 0);
    assert_int_equal(attempt_open(&c, NULL, "t", 2, 2), 0); /* and once more */
    assert_int_equal(commit(&c, &a, 0), 0);
    assert_int_equal(commit(&c, &a, 1), 0);
    assert_answer(COUNT, "1=a,2=a");
    assert_answer(PENDING, "0");
    assert_int_not_equal(commit(&c, &a, 2), 0); /* it was rolled back: never taken for committed */
    assert_contains(c.h->ctx.error.text, "was rolled back by somebody (its status is \"aborted\")");
    attempt_close(&a);
    attempt_close(&b);
    attempt_close(&c);
}

static void transactions_of_others_are_left_alone(void **state)
{
    struct attempt a, b;

    (void)state;
    sql("BEGIN; INSERT INTO t (id) VALUES (7); PREPARE TRANSACTION 'somebody'");
    assert_int_equal(attempt_open(&a, NULL, "t", 0, 0), 0);
    a.h->ctx.subtask = 1;
    a.h->ctx.parallelism = 2;
    assert_int_equal(insert(&a, 1, "a"), 0);
    assert_int_equal(barrier(&a, 5), 0);
    assert_int_equal(attempt_open(&b, NULL, "t", 0, 4), 0); /* the same attempt: a living neighbour */
    assert_answer(PENDING, "2");
    attempt_close(&b);
    assert_int_equal(attempt_open(&b, NULL, "t", 1, 4), 0); /* parallelism is 1 now: subtask 0 inherits from subtask 1 */
    assert_answer(PENDING, "1");
    attempt_close(&b);
    attempt_close(&a);
    sql("ROLLBACK PREPARED 'somebody'");
}

static void what_a_dead_attempt_prepares_late_is_rolled_back_at_the_next_barrier(void **state)
{
    struct attempt a, b;

    (void)state;
    assert_int_equal(attempt_open(&a, NULL, "t", 0, 0), 0);
    assert_int_equal(insert(&a, 1, "a"), 0);
    assert_int_equal(attempt_open(&b, NULL, "t", 1, 4), 0);
    assert_int_equal(barrier(&a, 5), 0);
    assert_answer(PENDING, "1");
    assert_int_equal(barrier(&b, 6), 0);
    assert_int_equal(b.count, 0);
    assert_answer(PENDING, "0");
    attempt_close(&b);
    attempt_close(&a);
}

/* The last transaction of an input is prepared behind the last barrier: a checkpoint that came before does not have it. */
static void what_was_prepared_at_the_end_of_input_is_of_the_next_checkpoint(void **state)
{
    struct attempt a, b, c;

    (void)state;
    for (uint64_t last = 0; last < 2; last++) {
        assert_int_equal(attempt_open(&a, NULL, "t", 0, 0), 0);
        for (uint64_t id = 1; id <= last; id++) {
            assert_int_equal(insert(&a, 1, "a"), 0);
            assert_int_equal(barrier(&a, id), 0);
            assert_int_equal(commit(&a, &a, 0), 0);
        }
        assert_int_equal(insert(&a, 2, "b"), 0);
        assert_int_equal(a.h->connector->sink->finish(&a.h->ctx), 0);
        assert_int_equal(barrier(&a, last), 0); /* none has come: prepared because the input has ended */
        assert_int_equal(attempt_open(&b, NULL, "t", 1, last + 1), 0); /* what has it */
        assert_answer(PENDING, "1");
        assert_int_equal(attempt_open(&c, NULL, "t", 1, last), 0); /* what has not */
        assert_answer(PENDING, "0");
        assert_int_not_equal(commit(&b, &a, (uint32_t)last), 0);
        attempt_close(&a);
        attempt_close(&b);
        attempt_close(&c);
    }
    assert_answer(COUNT, "1=a");
}

static void what_the_server_refuses_is_said(void **state)
{
    struct attempt a;

    (void)state;
    assert_int_not_equal(attempt_open(&a, "id", "nobody", 0, 0), 0);
    assert_contains(a.h->ctx.error.text, "relation \"nobody\" does not exist");
    attempt_close(&a);
    assert_int_not_equal(attempt_open(&a, "nokey", "t", 0, 0), 0);
    assert_contains(a.h->ctx.error.text, "key column 'nokey'");
    attempt_close(&a);
    sql("ALTER TABLE t DROP COLUMN yes");
    assert_int_not_equal(attempt_open(&a, NULL, "t", 0, 0), 0);
    assert_contains(a.h->ctx.error.text, "column \"yes\" does not exist");
    attempt_close(&a);
    sql("ALTER TABLE t ADD COLUMN yes boolean, DROP CONSTRAINT t_pkey");
    assert_int_equal(attempt_open(&a, "id", "t", 0, 0), 0);
    assert_int_equal(insert(&a, 1, "a"), 0);
    assert_int_not_equal(a.h->connector->sink->flush(&a.h->ctx), 0);
    assert_contains(a.h->ctx.error.text, "no unique or exclusion constraint");
    attempt_close(&a);
}

static void a_server_without_prepared_transactions_is_named(void **state)
{
    struct attempt a;

    (void)state;
    sql("CHECKPOINT"); /* what it would have to replay needs prepared transactions */
    assert_int_equal(run_script("crash", ""), 0);
    assert_int_equal(run_script("start", ""), 0);
    assert_int_not_equal(attempt_open(&a, NULL, "t", 0, 0), 0);
    assert_contains(a.h->ctx.error.text, "set max_prepared_transactions = 2 or more");
    attempt_close(&a);
    assert_int_equal(run_script("crash", ""), 0);
    assert_int_not_equal(attempt_open(&a, NULL, "t", 0, 0), 0);
    assert_contains(a.h->ctx.error.text, "no connection: PostgreSQL says: ");
    attempt_close(&a);
}

static void no_prefix_and_no_flipped_bit_is_taken_for_a_promise(void **state)
{
    struct attempt a;

    (void)state;
    assert_int_equal(attempt_open(&a, NULL, "t", 0, 0), 0);
    assert_int_equal(insert(&a, 1, "a"), 0);
    assert_int_equal(barrier(&a, 1), 0);
    for (size_t len = 0; len < a.promises[0].len; len++) {
        a.h->ctx.error = (struct err){0};
        assert_int_not_equal(
            a.h->connector->sink->commit(&a.h->ctx, (rask_bytes){(const char *)a.promises[0].data, (uint32_t)len}), 0);
        assert_contains(a.h->ctx.error.text, "a form that this version does not know");
    }
    a.h->ctx.error = (struct err){0};
    assert_int_equal(a.h->connector->sink->abort(&a.h->ctx, (rask_bytes){(const char *)a.promises[0].data, (uint32_t)a.promises[0].len}),
                     0);
    assert_answer(PENDING, "0");
    attempt_close(&a);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, fresh_table)
    const struct CMUnitTest tests[] = {
        TEST(every_type_comes_out_as_it_went_in),
        TEST(an_upsert_keeps_the_last_row_of_a_key),
        TEST(inserts_are_seen_when_their_checkpoint_is_complete),
        TEST(a_new_attempt_commits_what_was_promised_and_rolls_back_the_rest),
        TEST(transactions_of_others_are_left_alone),
        TEST(what_a_dead_attempt_prepares_late_is_rolled_back_at_the_next_barrier),
        TEST(what_was_prepared_at_the_end_of_input_is_of_the_next_checkpoint),
        TEST(what_the_server_refuses_is_said),
        TEST(no_prefix_and_no_flipped_bit_is_taken_for_a_promise),
        TEST(a_server_without_prepared_transactions_is_named),
    };

    if (WEXITSTATUS(run_script("check", "")) == 77)
        return 0;
    return cmocka_run_group_tests(tests, server_start, server_stop);
}
