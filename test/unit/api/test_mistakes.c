/*
 * test_mistakes.c - what a program can do wrong while it builds a graph, and the sentence that says
 * so.  Each mistake is followed by more calls on its result: they do nothing, and the first
 * sentence stays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "test/unit/api/building.h"

RASK_ROW(count, (STRING, word), (BIGINT, n));
RASK_ROW(other, (STRING, name), (DOUBLE, x));
RASK_STATE(seen, (BIGINT, n));

static int row_fn(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    (void)ctx;
    return rask_forward(out, row);
}

static int timer_fn(rask_ctx *ctx, rask_ts at, rask_out *out)
{
    (void)ctx;
    (void)at;
    (void)out;
    return 0;
}

static int reduce_fn(rask_ctx *ctx, const rask_row *a, const rask_row *b, rask_out *out)
{
    (void)ctx;
    (void)b;
    return rask_forward(out, a);
}

static int index_fn(rask_ctx *ctx, int64_t index, rask_out *out)
{
    (void)ctx;
    (void)index;
    (void)out;
    return 0;
}

static int consume(rask_op *op, int input, const rask_batch *in, uint32_t from,
                   uint32_t *ret_consumed)
{
    (void)op;
    (void)input;
    *ret_consumed = in->rows - from;
    return 0;
}

static int write_fn(rask_ctx *ctx, const rask_batch *rows)
{
    (void)ctx;
    (void)rows;
    return 0;
}

static int prepare_fn(rask_ctx *ctx, rask_committables *out)
{
    (void)ctx;
    (void)out;
    return 0;
}

static rask_stream *words(rask_env *env)
{
    return rask_flat_map(rask_read_text(env, "in.txt"), row_fn, &count_schema);
}

static rask_stream *keyed(rask_env *env)
{
    return rask_key_by(words(env), "word");
}

/* ---- mistakes: each returns the stream that it got ---- */

static rask_stream *unknown_key(rask_env *env)
{
    return rask_key_by(words(env), "wrd");
}
static rask_stream *no_key(rask_env *env)
{
    return rask_key_by(words(env), " , ");
}
static rask_stream *key_twice(rask_env *env)
{
    return rask_key_by(words(env), "word, n, word");
}
static rask_stream *sum_unknown(rask_env *env)
{
    return rask_sum(keyed(env), "m");
}
static rask_stream *sum_of_text(rask_env *env)
{
    return rask_sum(keyed(env), "word");
}
static rask_stream *sum_without_key(rask_env *env)
{
    return rask_sum(words(env), "n");
}
static rask_stream *reduce_after_rebalance(rask_env *env)
{
    return rask_reduce(rask_rebalance(keyed(env)), reduce_fn);
}
static rask_stream *count_like_key(rask_env *env)
{
    return rask_count(keyed(env), "word");
}
static rask_stream *time_of_text(rask_env *env)
{
    return rask_event_time(words(env), "word", 0);
}
static rask_stream *time_negative(rask_env *env)
{
    return rask_event_time(words(env), "n", -5);
}
static rask_stream *project_unknown(rask_env *env)
{
    return rask_project(words(env), rask_schema_of(env, "p", "m BIGINT NOT NULL"));
}
static rask_stream *project_type(rask_env *env)
{
    return rask_project(words(env), rask_schema_of(env, "p", "n BIGINT"));
}
static rask_stream *idle_map(rask_env *env)
{
    return rask_with_idleness(words(env), 1000);
}
static rask_stream *idle_at_once(rask_env *env)
{
    return rask_with_idleness(rask_event_time(words(env), "n", 0), 0);
}
static rask_stream *merge_a_map(rask_env *env)
{
    return rask_merge_updates(words(env));
}
static rask_stream *merge_beside(rask_env *env)
{
    rask_stream *in = rask_read_csv(env, "x", rask_schema_of(env, "m", "k BIGINT NOT NULL, n BIGINT NOT NULL, o INT NOT NULL"));

    return rask_merge_updates(rask_sum(rask_key_by(in, "k"), "n"));
}
static rask_stream *merge_nullable(rask_env *env)
{
    rask_stream *in = rask_read_csv(env, "x", rask_schema_of(env, "m", "k BIGINT NOT NULL, n BIGINT"));

    return rask_merge_updates(rask_max(rask_key_by(in, "k"), "n"));
}
static rask_stream *union_differs(rask_env *env)
{
    return rask_union(words(env), rask_read_csv(env, "x.csv", &other_schema));
}
static rask_stream *read_a_sink(rask_env *env)
{
    return rask_map(rask_print(words(env)), row_fn, &count_schema);
}
static rask_stream *null_function(rask_env *env)
{
    return rask_map(words(env), NULL, &count_schema);
}
static rask_stream *foreign_function(rask_env *env)
{
    rask_test_fn *fn = (rask_test_fn *)(uintptr_t)(void (*)(void))abs;

    return rask_filter(words(env), fn);
}
static rask_stream *null_schema(rask_env *env)
{
    return rask_map(words(env), row_fn, NULL);
}
static rask_stream *twice_a_column(rask_env *env)
{
    return rask_map(words(env), row_fn, rask_schema_of(env, "t", "a BIGINT, a STRING"));
}
static rask_stream *old_schema(rask_env *env)
{
    static const rask_field fields[] = {{"a", RASK_T_BIGINT, 0, 0, 0, NULL}};
    static const rask_schema schema = {7, 1, "old", fields};

    return rask_map(words(env), row_fn, &schema);
}
static rask_stream *wrong_input(rask_env *env)
{
    static const rask_process_fn fn = {.abi = RASK_ABI,
                                       .name = "watch",
                                       .in = &other_schema,
                                       .out = &count_schema,
                                       .on_row = row_fn};

    return rask_process(words(env), &fn);
}
static rask_stream *wrong_abi(rask_env *env)
{
    static const rask_process_fn fn = {
        .abi = 9, .name = "watch", .out = &count_schema, .on_row = row_fn};

    return rask_process(words(env), &fn);
}
static rask_stream *no_on_row(rask_env *env)
{
    static const rask_process_fn fn = {.abi = RASK_ABI, .name = "watch", .out = &count_schema};

    return rask_process(words(env), &fn);
}
static rask_stream *one_input_of_two(rask_env *env)
{
    static const rask_process_fn fn = {.abi = RASK_ABI,
                                       .name = "watch",
                                       .out = &count_schema,
                                       .on_row = row_fn,
                                       .on_row2 = row_fn};

    return rask_process(words(env), &fn);
}
static rask_stream *two_inputs_of_one(rask_env *env)
{
    static const rask_process_fn fn = {
        .abi = RASK_ABI, .name = "watch", .out = &count_schema, .on_row = row_fn};

    return rask_process2(words(env), words(env), &fn);
}
static rask_stream *half_keyed(rask_env *env)
{
    static const rask_process_fn fn = {.abi = RASK_ABI,
                                       .name = "watch",
                                       .out = &count_schema,
                                       .on_row = row_fn,
                                       .on_row2 = row_fn};

    return rask_process2(keyed(env), words(env), &fn);
}
static rask_stream *keys_differ(rask_env *env)
{
    static const rask_process_fn fn = {.abi = RASK_ABI,
                                       .name = "watch",
                                       .out = &count_schema,
                                       .on_row = row_fn,
                                       .on_row2 = row_fn};

    return rask_process2(keyed(env), rask_key_by(words(env), "n"), &fn);
}
static rask_stream *broadcast_rebalanced(rask_env *env)
{
    static const rask_process_fn fn = {.abi = RASK_ABI,
                                       .name = "watch",
                                       .out = &count_schema,
                                       .broadcast = true,
                                       .on_row = row_fn,
                                       .on_row2 = row_fn};

    return rask_process2(keyed(env), rask_rebalance(words(env)), &fn);
}
static const rask_state one_state[] = {{.kind = RASK_VALUE, .name = "seen", .schema = &seen_schema},
                                       {.kind = (enum rask_state_kind)0}};
static rask_stream *state_without_key(rask_env *env)
{
    static const rask_process_fn fn = {.abi = RASK_ABI,
                                       .name = "watch",
                                       .out = &count_schema,
                                       .states = one_state,
                                       .on_row = row_fn};

    return rask_process(words(env), &fn);
}
static const rask_state negative_state[] = {{.kind = RASK_VALUE, .name = "seen", .schema = &seen_schema, .ttl_ms = -5},
                                            {.kind = (enum rask_state_kind)0}};
static const rask_state list_for_a_time[] = {{.kind = RASK_OPERATOR_LIST, .name = "seen", .schema = &seen_schema, .ttl_ms = 5},
                                             {.kind = (enum rask_state_kind)0}};
static rask_stream *negative_time(rask_env *env)
{
    static const rask_process_fn fn = {
        .abi = RASK_ABI, .name = "watch", .out = &count_schema, .states = negative_state, .on_row = row_fn};

    return rask_process(rask_key_by(words(env), "word"), &fn);
}
static rask_stream *time_without_key(rask_env *env)
{
    static const rask_process_fn fn = {
        .abi = RASK_ABI, .name = "watch", .out = &count_schema, .states = list_for_a_time, .on_row = row_fn};

    return rask_process(words(env), &fn);
}
static rask_stream *state_twice(rask_env *env)
{
    static const rask_state states[] = {{.kind = RASK_VALUE, .name = "seen", .schema = &seen_schema},
                                        {.kind = RASK_LIST, .name = "seen", .schema = &seen_schema},
                                        {.kind = (enum rask_state_kind)0}};
    static const rask_process_fn fn = {
        .abi = RASK_ABI, .name = "watch", .out = &count_schema, .states = states, .on_row = row_fn};

    return rask_process(keyed(env), &fn);
}
static rask_stream *map_without_key_schema(rask_env *env)
{
    static const rask_state states[] = {{.kind = RASK_MAP, .name = "seen", .schema = &seen_schema},
                                        {.kind = (enum rask_state_kind)0}};
    static const rask_process_fn fn = {
        .abi = RASK_ABI, .name = "watch", .out = &count_schema, .states = states, .on_row = row_fn};

    return rask_process(keyed(env), &fn);
}
static rask_stream *timer_without_key(rask_env *env)
{
    static const rask_process_fn fn = {.abi = RASK_ABI,
                                       .name = "watch",
                                       .out = &count_schema,
                                       .on_row = row_fn,
                                       .on_timer = timer_fn};

    return rask_process(words(env), &fn);
}
static rask_stream *no_such_side(rask_env *env)
{
    return rask_side_stream(words(env), 0);
}
static rask_stream *side_of_a_union(rask_env *env)
{
    return rask_side_stream(rask_union(words(env), words(env)), 0);
}
static rask_stream *no_process(rask_env *env)
{
    static const rask_operator op = {.abi = RASK_ABI, .name = "rank", .out = &count_schema};

    return rask_transform(words(env), &op);
}
static rask_stream *stack_descriptor(rask_env *env)
{
    rask_operator op = {.abi = RASK_ABI, .name = "rank", .out = &count_schema, .process = consume};

    return rask_transform(words(env), &op);
}
static rask_stream *args_too_large(rask_env *env)
{
    static char args[RASK_ARGS_MAX + 1];

    return rask_with(words(env), args, sizeof(args));
}
static rask_stream *name_of_rebalance(rask_env *env)
{
    return rask_name(rask_rebalance(words(env)), "x");
}
static rask_stream *empty_uid(rask_env *env)
{
    return rask_uid(words(env), "");
}
static rask_stream *long_uid(rask_env *env)
{
    static char uid[400];

    memset(uid, 'x', sizeof(uid) - 1);
    return rask_uid(words(env), uid);
}
static rask_stream *parallelism_zero(rask_env *env)
{
    return rask_set_parallelism(words(env), 0);
}
static rask_stream *parallelism_over_max(rask_env *env)
{
    return rask_set_parallelism(rask_set_max_parallelism(words(env), 8), 9);
}
static rask_stream *max_too_large(rask_env *env)
{
    return rask_set_max_parallelism(words(env), 32769);
}
static rask_stream *env_parallelism(rask_env *env)
{
    rask_env_set_parallelism(env, 40000);
    return words(env);
}
static rask_stream *parallel_socket(rask_env *env)
{
    return rask_set_parallelism(rask_read_socket(env, "localhost", 9), 2);
}
static rask_stream *socket_port(rask_env *env)
{
    return rask_read_socket(env, "localhost", 70000);
}
static rask_stream *no_path(rask_env *env)
{
    return rask_read_text(env, "");
}
static rask_stream *csv_quote(rask_env *env)
{
    rask_csv_options options = {.delimiter = '"'};

    return rask_read_csv_with(env, "x.csv", &count_schema, options);
}
static rask_stream *csv_map(rask_env *env)
{
    return rask_read_csv(env, "x.csv", rask_schema_of(env, "x", "id INT, m MAP<STRING, INT>"));
}
static rask_stream *csv_deep(rask_env *env)
{
    rask_stream *s = rask_from_collection(env, rask_rows(env, rask_schema_of(env, "x", "a ARRAY<ARRAY<INT>>")));

    return rask_write_csv(s, "x.csv");
}
static rask_stream *key_map(rask_env *env)
{
    const rask_schema *schema = rask_schema_of(env, "x", "id INT, r ROW<m MAP<STRING, INT>>");

    return rask_key_by(rask_from_collection(env, rask_rows(env, schema)), "r");
}
static rask_stream *backwards(rask_env *env)
{
    return rask_from_sequence(env, 2, 1);
}
static rask_stream *negative_rate(rask_env *env)
{
    return rask_generate(env, &count_schema, index_fn, -1, 5);
}
static rask_stream *rows_used_twice(rask_env *env)
{
    rask_out *rows = rask_rows(env, &count_schema);

    rask_from_collection(env, rows);
    return rask_from_collection(env, rows);
}
static rask_stream *rows_of_other_schema(rask_env *env)
{
    rask_out *rows = rask_rows(env, &count_schema);
    struct other o = {RASK_STR("x"), 1.5};

    (void)other_emit(rows, &o);
    return rask_from_collection(env, rows);
}
static rask_stream *source_without_poll(rask_env *env)
{
    static const rask_source source = {.abi = RASK_ABI, .name = "mine", .out = &count_schema};

    return rask_from_source(env, &source, NULL);
}
static rask_stream *source_without_schema(rask_env *env)
{
    static const rask_source source = {.abi = RASK_ABI, .name = "mine"};

    return rask_from_source(env, &source, NULL);
}
static rask_stream *text_of_counts(rask_env *env)
{
    return rask_write_text(words(env), "out.txt");
}
static rask_stream *sink_without_write(rask_env *env)
{
    static const rask_sink sink = {.abi = RASK_ABI, .name = "mine"};

    return rask_sink_to(words(env), &sink);
}
static rask_stream *sink_without_commit(rask_env *env)
{
    static const rask_sink sink = {
        .abi = RASK_ABI, .name = "mine", .write = write_fn, .prepare = prepare_fn};

    return rask_sink_to(words(env), &sink);
}
static rask_stream *sink_of_other(rask_env *env)
{
    static const rask_sink sink = {
        .abi = RASK_ABI, .name = "mine", .in = &other_schema, .write = write_fn};

    return rask_sink_to(words(env), &sink);
}
static rask_stream *buffer_timeout(rask_env *env)
{
    return rask_set_buffer_timeout(words(env), -2);
}
static rask_stream *option_without_value(rask_env *env)
{
    rask_set(env, "a.b", NULL);
    return words(env);
}

static const struct mistake {
    rask_stream *(*build)(rask_env *env);
    const char *text;
} mistakes[] = {
    {unknown_key,
     "rask_key_by after 'Flat Map': there is no column 'wrd'; there are: word STRING NOT NULL, n BIGINT NOT NULL"},
    {no_key,
     "rask_key_by after 'Flat Map': no column is named; there are: word STRING NOT NULL, n BIGINT NOT NULL"},
    {key_twice, "rask_key_by after 'Flat Map': column 'word' is named twice"},
    {sum_unknown,
     "rask_sum after 'Flat Map': there is no column 'm'; there are: word STRING NOT NULL, n BIGINT NOT NULL"},
    {sum_of_text, "rask_sum after 'Flat Map': column 'word' is of type STRING; a number is needed"},
    {sum_without_key,
     "rask_sum after 'Flat Map': the stream has no key: put rask_key_by before it"},
    {reduce_after_rebalance,
     "rask_reduce after 'Flat Map': the stream has no key: put rask_key_by before it"},
    {count_like_key, "rask_count after 'Flat Map': *word*"},
    {time_of_text,
     "rask_event_time after 'Flat Map': column 'word' is of type STRING; TIMESTAMP or BIGINT (ms) is needed"},
    {time_negative, "rask_event_time after 'Flat Map': an out-of-orderness of -5 ms is negative"},
    {idle_map, "rask_with_idleness: 'Flat Map' is no rask_event_time"},
    {idle_at_once, "rask_with_idleness: 0 ms; at least 1 is needed"},
    {project_unknown,
     "rask_project after 'Flat Map': there is no column 'm'; there are: word STRING NOT NULL, n BIGINT NOT NULL"},
    {project_type, "rask_project after 'Flat Map': column 'n' is of type BIGINT*, not BIGINT*"},
    {merge_a_map, "rask_merge_updates: 'Flat Map' is no rask_sum, rask_min or rask_max"},
    {merge_beside, "rask_merge_updates: 'Keyed Aggregation' gives column 'o' of type INT*, which is no key; *"},
    {merge_nullable, "rask_merge_updates: 'Keyed Aggregation' gives column 'n' of type BIGINT*"},
    {union_differs,
     "rask_union: the schemas differ: 'Flat Map' has (word STRING NOT NULL, n BIGINT NOT NULL), 'Source: CSV File "
     "Source' has (name STRING NOT NULL, x DOUBLE NOT NULL)"},
    {read_a_sink,
     "rask_map: 'Sink: Print to Std. Out' has no output to read from: a sink ends its stream"},
    {null_function, "rask_map: operator 'Map': its function is NULL"},
    {foreign_function,
     "rask_filter: operator 'Filter': its function 'abs' is not a static function or object of the job's own "
     "file; it lies in *libc*: the cluster could not find it"},
    {null_schema, "rask_map: operator 'Map': output: the schema is NULL"},
    {twice_a_column, "rask_schema_of: schema 't': *'a'*"},
    {old_schema,
     "rask_map: operator 'Map': output: the schema was made for version 7 of the API, this engine has version 1"},
    {wrong_input,
     "rask_process: operator 'watch' takes (name STRING NOT NULL, x DOUBLE NOT NULL) as input, but 'Flat Map' gives "
     "(word STRING NOT NULL, n BIGINT NOT NULL)"},
    {wrong_abi,
     "rask_process: operator 'watch': its descriptor says version 9 of the API, this engine has version 1; it starts "
     "with RASK_ABI"},
    {no_on_row, "rask_process: operator 'watch' has no on_row function"},
    {one_input_of_two,
     "rask_process: operator 'watch' has an on_row2 function, so it needs two inputs: use rask_process2"},
    {two_inputs_of_one,
     "rask_process2: operator 'watch' has no on_row2 function: use rask_process, or give it one"},
    {half_keyed,
     "rask_process2: operator 'watch': its first input ('Flat Map') is keyed by 1 columns, its second ('Flat Map') by "
     "0; both need the same rask_key_by, or none"},
    {keys_differ,
     "rask_process2: operator 'watch': key column 'word' of 'Flat Map' and key column 'n' of 'Flat Map' differ in type"},
    {broadcast_rebalanced,
     "rask_process2: operator 'watch' broadcasts its second input; 'Flat Map' must not be partitioned otherwise"},
    {state_without_key,
     "rask_process: operator 'watch': state 0 ('seen') is kept per key, but the input has no key: put rask_key_by "
     "before the operator"},
    {negative_time, "rask_process: operator 'watch': state 0 ('seen') has a time to live of -5 ms; 0 is for ever"},
    {time_without_key,
     "rask_process: operator 'watch': state 0 ('seen') has a time to live of 5 ms, and only state of a key can expire"},
    {state_twice, "rask_process: states 0 and 1 of operator 'watch' have the same name 'seen'"},
    {map_without_key_schema,
     "rask_process: operator 'watch': state 0 ('seen'): the schema is NULL"},
    {timer_without_key,
     "rask_process: operator 'watch' has timers, which belong to a key: put rask_key_by before it"},
    {no_such_side, "rask_side_stream: operator 'Flat Map' has no side output 0; it declares 0"},
    {side_of_a_union,
     "rask_side_stream: belongs to an operator, but the stream is the result of rask_union after 'Flat Map'"},
    {no_process, "rask_transform: operator 'rank' has no process function"},
    {stack_descriptor,
     "rask_transform: operator 'rank': its descriptor is not a static function or object of the job's own file*"},
    {args_too_large,
     "rask_with: operator 'Flat Map' gets 1048577 bytes of arguments; at most 1048576 (1 MiB) travel with the graph"},
    {name_of_rebalance,
     "rask_name: belongs to an operator, but the stream is the result of rask_rebalance after 'Flat Map'"},
    {empty_uid, "rask_uid: the uid is empty"},
    {long_uid, "rask_uid: the uid 'xxx*...' has 399 bytes; at most 255 are possible"},
    {parallelism_zero, "rask_set_parallelism: operator 'Flat Map': 0 is not within 1 .. 32768"},
    {parallelism_over_max,
     "operator 'Flat Map': parallelism 9 is greater than its max parallelism 8"},
    {max_too_large,
     "rask_set_max_parallelism: operator 'Flat Map': 32769 is not within 1 .. 32768"},
    {env_parallelism, "rask_env_set_parallelism: 40000 is not within 1 .. 32768"},
    {parallel_socket,
     "rask_set_parallelism: operator 'Source: Socket Stream' (rask_read_socket) runs at parallelism 1 alone, not 2"},
    {socket_port, "rask_read_socket: port 70000 is not within 1 .. 65535"},
    {no_path, "rask_read_text: the path is empty"},
    {csv_quote, "rask_read_csv: delimiter and quote must be two different characters of a line"},
    {csv_map, "rask_read_csv: column 'm' is of type MAP<STRING NOT NULL, INT>; a field of a csv file holds a plain "
              "type, or an ARRAY or ROW of plain types"},
    {csv_deep, "rask_write_csv after 'Source: *': column 'a' is of type ARRAY<ARRAY<INT>>; a field of a csv*"},
    {key_map, "rask_key_by after 'Source: *': column 'r' is a MAP or holds one, which cannot be a key: equal maps*"},
    {backwards, "rask_from_sequence: first (2) is greater than last (1)"},
    {negative_rate, "rask_generate: -1 rows per second; 0 means as fast as possible"},
    {rows_used_twice,
     "rask_from_collection: these rows do not come from rask_rows, or were used before"},
    {rows_of_other_schema, "rask_rows: *"},
    {source_without_poll, "rask_from_source: operator 'Source: mine' has no poll function"},
    {source_without_schema, "rask_from_source: the schema is NULL"},
    {text_of_counts,
     "rask_write_text after 'Flat Map': rows of one STRING column are written as lines, not (word STRING NOT NULL, n "
     "BIGINT NOT NULL); rask_write_csv writes any row"},
    {sink_without_write, "rask_sink_to: operator 'mine: Writer' has no write function"},
    {sink_without_commit,
     "rask_sink_to: operator 'mine: Writer' has a prepare function but no commit"},
    {sink_of_other,
     "rask_sink_to: operator 'mine: Writer' takes (name STRING NOT NULL, x DOUBLE NOT NULL), but 'Flat Map' gives "
     "(word STRING NOT NULL, n BIGINT NOT NULL)"},
    {buffer_timeout,
     "rask_set_buffer_timeout: operator 'Flat Map': -2 ms; 0 sends at once, -1 only full buffers"},
    {option_without_value, "rask_set: 'a.b' has no value (NULL)"},
};

/* '*' stands for any text. */
static bool like(const char *text, const char *pattern)
{
    const char *star = strchr(pattern, '*');
    size_t head = star ? (size_t)(star - pattern) : strlen(pattern);

    if (strncmp(text, pattern, head) != 0)
        return false;
    if (!star)
        return text[head] == 0;
    for (text += head;; text++) {
        if (like(text, star + 1))
            return true;
        if (!*text)
            return false;
    }
}

static void assert_mistake(rask_env *env, const char *pattern)
{
    Rask__Graph__StreamGraph *graph = NULL;
    struct err err = {0};
    int rc = rask_execute(env, "mistake");

    assert_true(rc < 0);
    assert_int_equal(rask_env_graph(env, &graph, &err), rc);
    assert_null(graph);
    if (!like(err.text, pattern))
        fail_msg("wanted: %s\n       got:    %s", pattern, err.text);
}

static void every_mistake_has_its_sentence(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(mistakes); i++) {
        rask_env *env = building();
        rask_stream *s = mistakes[i].build(env);

        assert_non_null(s);
        /* the program goes on as if nothing had happened */
        s = rask_set_parallelism(rask_map(rask_rebalance(s), row_fn, &count_schema), 99999);
        s = rask_union(rask_side_stream(s, 3), rask_sum(rask_key_by(s, "nothing"), "x"));
        rask_print(rask_partition_custom(s, NULL));
        rask_set(env, "", NULL);
        assert_mistake(env, mistakes[i].text);
        rask_env_free(env);
    }
}

static void whole_graphs_are_checked(void **state)
{
    rask_env *env = building();

    (void)state;
    assert_mistake(env, "rask_execute: the job has no operators: nothing to run");
    rask_env_free(env);

    env = building();
    rask_print(words(env));
    rask_map(words(env), row_fn, &count_schema);
    assert_mistake(
        env, "operator 'Map' (rask_map) leads nowhere: end its stream with a sink (*rask_discard*");
    rask_env_free(env);

    env = building();
    rask_uid(rask_print(rask_uid(words(env), "a")), "a");
    assert_mistake(
        env,
        "rask_uid: 'a' is the uid of two operators, 'Flat Map' and 'Sink: Print to Std. Out'; each needs its own");
    rask_env_free(env);

    env = building();
    rask_print(words(env));
    rask_print(NULL);
    assert_mistake(env, "rask_print: the stream is NULL");
    rask_env_free(env);
}

static void execute_comes_once_and_last(void **state)
{
    Rask__Graph__StreamGraph *graph = NULL;
    struct err err = {0};
    rask_env *env = building();

    (void)state;
    rask_print(words(env));
    assert_int_equal(rask_env_graph(env, &graph, &err), ERR_INVALID);
    assert_string_equal(err.text, "rask_job returned without a call of rask_execute");
    assert_int_equal(rask_execute(env, "one"), 0);
    assert_int_equal(rask_env_graph(env, &graph, &err), 0);
    assert_string_equal(graph->job_name, "one");
    assert_mistake(
        env,
        "rask_execute: 'mistake' is the second call; a job has one graph and one rask_execute");
    rask_env_free(env);

    env = building();
    rask_print(words(env));
    assert_int_equal(rask_execute(env, "one"), 0);
    rask_read_text(env, "x");
    assert_int_equal(rask_env_graph(env, &graph, &err), ERR_STATE);
    assert_string_equal(err.text,
                        "rask_read_text after rask_execute: the graph is complete by then");
    rask_env_free(env);
}

static void nodes_are_limited(void **state)
{
    rask_env *env = building();
    rask_stream *s = words(env);

    (void)state;
    for (int i = 0; i < 1100; i++)
        s = rask_map(s, row_fn, &count_schema);
    rask_print(s);
    assert_mistake(env, "rask_map: the job has more than 1000 operators");
    rask_env_free(env);
}

static void built_ins_need_no_artifact(void **state)
{
    struct rask_env_options options = {.offset_of = NULL};
    rask_env *env = rask_env_new(&options);

    (void)state;
    rask_print(rask_read_text(env, "x"));
    assert_int_equal(rask_execute(env, "plain"), 0);
    rask_env_free(env);
    env = rask_env_new(&options);
    rask_print(words(env));
    assert_mistake(env,
                   "rask_flat_map: operator 'Flat Map': its function*is not a static function*");
    rask_env_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mistake_has_its_sentence),
        cmocka_unit_test(whole_graphs_are_checked),
        cmocka_unit_test(execute_comes_once_and_last),
        cmocka_unit_test(nodes_are_limited),
        cmocka_unit_test(built_ins_need_no_artifact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
