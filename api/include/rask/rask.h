/*
 * rask/rask.h - what a job includes: sources, transformations, partitioning, sinks.
 *
 * A job is a shared object (or one .c file) with a function rask_job.  It builds a graph of streams
 * and ends with rask_execute; the functions given here run later, on the machines of the cluster.
 * Names are Flink's in snake case, except where C or another name of ours is in the way:
 * DataStream.forward() is rask_forward_stream (rask_forward emits a row), connect(..).process is
 * rask_process2.
 *
 * Errors: building functions never return NULL (unless given NULL) and need no checks.  The first
 * mistake (a column that does not exist, schemas that do not fit ...) is kept with the operator's
 * name; what follows does nothing; rask_execute returns it.
 * Ownership: strings, schemas, arguments and descriptors are copied or must be static in the job;
 * streams belong to the env.  Thread: a graph is built by one thread.
 *
 * Readable from C11 and C++17; includes libc alone.
 */
#ifndef RASK_H
#define RASK_H

#include <rask/batch.h>
#include <rask/make.h>
#include <rask/operator.h>
#include <rask/row.h>

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

#define RASK_SECONDS(n) ((int64_t)(n)*1000) /* all durations are milliseconds */
#define RASK_MINUTES(n) ((int64_t)(n)*60000)
#define RASK_HOURS(n)   ((int64_t)(n)*3600000)

typedef struct rask_env rask_env;
typedef struct rask_stream rask_stream;
typedef struct rask_params rask_params;

/* The job's entry point, written by the user.  Returns what rask_execute returned; not 0: failed. */
int rask_job(rask_env *env, const rask_params *params);

#if defined(__GNUC__) && !defined(RASK_ENGINE)
/* Tells the loader which headers the job was compiled with. */
extern const uint32_t rask_job_abi __attribute__((weak));
const uint32_t rask_job_abi = RASK_ABI;
#endif

/* ---- the program's own arguments: --name value, --name=value, --flag ---- */

/* borrowed */
const char *rask_param(const rask_params *params, const char *name, const char *otherwise);
/* absent: an error, and "" */
const char *rask_param_required(const rask_params *params, const char *name);
/* A value that is no integer (decimal, int64) or not true/false is an error, and gives `otherwise`. */
int64_t rask_param_i64(const rask_params *params, const char *name, int64_t otherwise);
/* --flag alone: true */
bool rask_param_bool(const rask_params *params, const char *name, bool otherwise);

/* ---- the job as a whole ---- */

#define RASK_PARALLELISM_MAX 32768
/* 1 .. 32768. The operator's own wins over this, this over the client's -p and parallelism.default. */
void rask_env_set_parallelism(rask_env *env, uint32_t parallelism);
/* number of key groups, 1 .. 32768 */
void rask_env_set_max_parallelism(rask_env *env, uint32_t max_parallelism);
void rask_env_disable_chaining(rask_env *env);
/* Any job option, e.g. "execution.buffer-timeout.interval". The last value wins. */
void rask_set(rask_env *env, const char *key, const char *value);
/* Ends the graph: checks it and hands it in. Once per job. 0, or the first error of the build. */
int rask_execute(rask_env *env, const char *job_name);

/* Rows without a struct: "word STRING NOT NULL, n BIGINT". The schema belongs to the env. */
const rask_schema *rask_schema_of(rask_env *env, const char *name, const char *columns);
const rask_schema *rask_stream_schema(const rask_stream *stream); /* NULL: a sink */

/* ---- sources ---- */

extern const rask_schema rask_text_schema;     /* line STRING NOT NULL */
extern const rask_schema rask_sequence_schema; /* value BIGINT NOT NULL */
/* file STRING, line BIGINT, text STRING, reason STRING; NOT NULL */
extern const rask_schema rask_bad_row_schema;

/*
 * Lines of a file, or of all files in a directory; "-" is standard input.
 * A line ends with \n (a \r before it is cut).
 */
rask_stream *rask_read_text(rask_env *env, const char *path);

enum rask_bad_rows {
    RASK_BAD_FAIL, /* the job fails with file, line and reason */
    RASK_BAD_SKIP, /* counted and logged with file and line */
    RASK_BAD_SIDE  /* to side output 0, of rask_bad_row_schema */
};
typedef struct rask_csv_options {
    char delimiter; /* 0: ',' */
    char quote;     /* 0: '"'; a doubled quote is a quote */
    bool header;    /* the first line of each file is skipped */
    enum rask_bad_rows bad_rows;
    const char *null_text; /* NULL: an empty, unquoted field of a nullable column is null */
} rask_csv_options;
/* default options */
rask_stream *rask_read_csv(rask_env *env, const char *path, const rask_schema *schema);
rask_stream *rask_read_csv_with(rask_env *env, const char *path, const rask_schema *schema,
                                rask_csv_options options);

/*
 * Rows that the program itself holds, in their order, by one reader; at most 16 MiB.
 *     struct count some[] = {{RASK_STR("the"), 1}, {RASK_STR("of"), 2}};
 *     rask_stream *counts = rask_from_rows(env, count, some, 2);
 * or emitted one by one:
 *     rask_out *rows = rask_rows(env, &count_schema);
 *     count_emit(rows, &(struct count){RASK_STR("the"), 1});
 *     rask_stream *counts = rask_from_collection(env, rows);
 */
rask_out *rask_rows(rask_env *env, const rask_schema *schema);    /* owned by env */
rask_stream *rask_from_collection(rask_env *env, rask_out *rows); /* taken */
/* rask_text_schema */
rask_stream *rask_from_lines(rask_env *env, const char *const *lines, size_t count);
#define rask_from_rows(env, N, rows, count)                                  \
    rask_from_structs((env), &N##_schema, (rows), (count), sizeof(struct N), \
                      (rask_emit_fn *)N##_emit)
typedef int rask_emit_fn(rask_out *out, const void *row);
rask_stream *rask_from_structs(rask_env *env, const rask_schema *schema, const void *rows,
                               size_t count, size_t size,
                               rask_emit_fn *emit); /* what rask_from_rows calls */
/* first .. last, both included; each reader takes a part of the range. */
rask_stream *rask_from_sequence(rask_env *env, int64_t first, int64_t last);
/*
 * fn makes the rows of index 0, 1, 2 ... count - 1 (count < 0: without end), any number per index.
 * rows_per_second: indexes per second over all readers together; 0: as fast as possible.
 */
typedef int rask_generate_fn(rask_ctx *ctx, int64_t index, rask_out *out);
rask_stream *rask_generate(rask_env *env, const rask_schema *schema, rask_generate_fn *fn,
                           int64_t rows_per_second, int64_t count);
/* Lines that a TCP server sends; ends when it closes. One reader. port 1 .. 65535. */
rask_stream *rask_read_socket(rask_env *env, const char *host, int port);
/* A source of the job's own. schema NULL: source->out. */
rask_stream *rask_from_source(rask_env *env, const rask_source *source, const rask_schema *schema);

/* ---- transformations.  Functions return 0 to go on; anything else fails the task. ---- */

typedef int rask_row_fn(rask_ctx *ctx, const rask_row *row, rask_out *out);
typedef bool rask_test_fn(rask_ctx *ctx, const rask_row *row);
/* Emits one row: the new result, from the result so far and the next row of the same key. */
typedef int rask_reduce_fn(rask_ctx *ctx, const rask_row *so_far, const rask_row *row,
                           rask_out *out);
/* 0 .. channels - 1; a pure function of row. */
typedef uint32_t rask_partition_fn(const rask_row *row, uint32_t channels);

/* exactly one row each */
rask_stream *rask_map(rask_stream *in, rask_row_fn *fn, const rask_schema *out);
/* any number of rows */
rask_stream *rask_flat_map(rask_stream *in, rask_row_fn *fn, const rask_schema *out);
rask_stream *rask_filter(rask_stream *in, rask_test_fn *fn);
/*
 * Columns of `in`, by name and of the same types, in any order; nothing is copied.  Close behind a source it keeps the
 * source from making the others (rask_wanted): functions are taken to read every column that they are given.
 */
rask_stream *rask_project(rask_stream *in, const rask_schema *schema);

/*
 * Process functions: row functions with state, timers, side outputs and two inputs.  on_row2
 * non-NULL: two inputs (rask_process2); broadcast: the second one goes to every subtask, and
 * RASK_BROADCAST states are writable only in on_row2.  State of kinds other than RASK_OPERATOR_*,
 * RASK_BROADCAST, and timers, need a keyed stream.
 */
typedef struct rask_process_fn {
    uint32_t abi; /* RASK_ABI */
    const char *name;
    /* in: NULL takes any; out: NULL emits to side outputs alone */
    const rask_schema *in, *in2, *out;
    const rask_state *states;
    const rask_side_output *sides;
    size_t self_size; /* zeroed memory per subtask: rask_self(ctx) */
    bool broadcast;
    int (*open)(rask_ctx *ctx);
    int (*on_row)(rask_ctx *ctx, const rask_row *row, rask_out *out);
    int (*on_row2)(rask_ctx *ctx, const rask_row *row, rask_out *out);
    int (*on_timer)(rask_ctx *ctx, rask_ts at, rask_out *out);
    int (*finish)(rask_ctx *ctx, rask_out *out); /* end of input */
    void (*close)(rask_ctx *ctx);
} rask_process_fn;
rask_stream *rask_process(rask_stream *in, const rask_process_fn *fn);
/* both keyed alike, or none */
rask_stream *rask_process2(rask_stream *in1, rask_stream *in2, const rask_process_fn *fn);
/* Batch functions (rask/operator.h). out NULL in the descriptor: it ends the stream. */
rask_stream *rask_transform(rask_stream *in, const rask_operator *op);
rask_stream *rask_transform2(rask_stream *in1, rask_stream *in2, const rask_operator *op);

/* Rows of equal key go to one subtask. columns: "account" or "account, day". */
rask_stream *rask_key_by(rask_stream *in, const char *columns);
/* Rolling results per key: each row gives one updated row. */
rask_stream *rask_reduce(rask_stream *keyed, rask_reduce_fn *fn);
/* other columns: of the key's first row, as in Flink */
rask_stream *rask_sum(rask_stream *keyed, const char *column);
rask_stream *rask_min(rask_stream *keyed, const char *column);
rask_stream *rask_max(rask_stream *keyed, const char *column);
/*
 * Of rask_sum, rask_min, rask_max: rows of equal key are merged where they come from, before they travel, and each merged
 * row gives one update: some updates in between are left out, the last one of each key is the same.  A row waits there while
 * its task is busy, at most for the buffer timeout, and no longer than until a watermark or barrier comes.  The column is a BIGINT or TIMESTAMP that is NOT NULL, all others are key
 * columns.  Returns its argument.
 */
rask_stream *rask_merge_updates(rask_stream *rolling);
/* rows: the key columns, then `name` BIGINT NOT NULL */
rask_stream *rask_count(rask_stream *keyed, const char *name);

rask_stream *rask_union(rask_stream *a, rask_stream *b); /* of equal schemas; duplicates stay */
rask_stream *rask_union_n(rask_stream *const *streams, size_t count);
/* Event time from a TIMESTAMP or BIGINT (ms) column; rows may come so much (ms) out of order. */
rask_stream *rask_event_time(rask_stream *in, const char *column, int64_t out_of_orderness_ms);
/*
 * Of rask_event_time: a subtask that has waited so long (ms, > 0) for a row is idle until the next one, and nobody waits for its
 * event time meanwhile.  Returns its argument.
 */
rask_stream *rask_with_idleness(rask_stream *timed, int64_t idle_ms);
/* A declared side output of an operator, by index. */
rask_stream *rask_side_stream(rask_stream *op, int side);

/* ---- how rows travel on (else: forward if the parallelism is equal, or rebalance) ---- */

/* subtask i to subtask i; needs equal parallelism */
rask_stream *rask_forward_stream(rask_stream *in);
rask_stream *rask_rebalance(rask_stream *in); /* round robin to all */
rask_stream *rask_rescale(rask_stream *in);   /* round robin to a part of them */
rask_stream *rask_shuffle(rask_stream *in);   /* at random */
rask_stream *rask_broadcast(rask_stream *in); /* to each of them */
rask_stream *rask_global(rask_stream *in);    /* to subtask 0 */
rask_stream *rask_partition_custom(rask_stream *in, rask_partition_fn *fn);

/* ---- sinks.  What they return takes names and parallelism, and has no output. ---- */

/* standard output of the TaskManager; with --target local: of rask */
rask_stream *rask_print(rask_stream *in);
rask_stream *rask_print_err(rask_stream *in); /* standard error */
/* One file at parallelism 1; else a directory of files 1, 2 ... An existing file is replaced. */
rask_stream *rask_write_text(rask_stream *in, const char *path); /* rows of one STRING column */
rask_stream *rask_write_csv(rask_stream *in, const char *path);

/*
 * Part files in a folder, each row in exactly one of them: a part gets its final name when a checkpoint that covers it is complete,
 * or at the end of input.  Zeros are the defaults.
 */
typedef struct rask_files_options {
    const char *format; /* "csv" (default); "text": rows of one STRING column */
    /*
     * The folder of a row below the sink's: {column} is a cell, % directives as in strftime ("country={country}/%F").
     * NULL: "%Y-%m-%d--%H"; "": none.
     */
    const char *bucket;
    const char *bucket_time;  /* TIMESTAMP column for the directives, in UTC; NULL: processing time, in the host's zone */
    int64_t roll_bytes;       /* a part ends at this size; 0: 128 MiB */
    int64_t roll_ms;          /* or at this age; 0: 60 s */
    int64_t inactivity_ms;    /* or after this time without a row; 0: 60 s */
    bool roll_at_checkpoint;  /* or at each checkpoint: output is seen with the least delay, in more files */
    const char *prefix, *suffix; /* of file names; NULL: "part", "" */
} rask_files_options;
rask_stream *rask_write_files(rask_stream *in, const char *folder, rask_files_options options);

/*
 * Rows into a table of PostgreSQL.  With key columns ("id" or "shop,id", a primary key or unique index of the table): upserts,
 * which may be repeated.  key NULL: rows are inserted, exactly once, by prepared transactions that a checkpoint commits.
 * conninfo: libpq's ("host=db dbname=shop user=rask"); keep the password in a ~/.pgpass of the workers' user.
 */
rask_stream *rask_write_postgres(rask_stream *in, const char *conninfo, const char *table, const char *key);
rask_stream *rask_discard(rask_stream *in);
rask_stream *rask_sink_to(rask_stream *in, const rask_sink *sink);

/* ---- properties of the operator that made a stream; each returns its argument ---- */

#define RASK_ARGS_MAX (1024u * 1024u)
/* Copies bytes without pointers, at most 1 MiB, into the graph: functions read rask_args(ctx). */
rask_stream *rask_with(rask_stream *op, const void *args, size_t size);
rask_stream *rask_set_parallelism(rask_stream *op, uint32_t parallelism);         /* 1 .. 32768 */
rask_stream *rask_set_max_parallelism(rask_stream *op, uint32_t max_parallelism); /* 1 .. 32768 */
/* for people: plan, UI, metrics, logs. 1 .. 255 bytes */
rask_stream *rask_name(rask_stream *op, const char *name);
/* for state: keep it over versions. Unique. 1 .. 255 bytes */
rask_stream *rask_uid(rask_stream *op, const char *uid);
/* default: that of the inputs, else "default" */
rask_stream *rask_slot_group(rask_stream *op, const char *group);
rask_stream *rask_start_chain(rask_stream *op); /* not chained to its input */
rask_stream *rask_no_chain(rask_stream *op);    /* chained to nothing */
/* 0: at once; -1: only full buffers */
rask_stream *rask_set_buffer_timeout(rask_stream *op, int64_t timeout_ms);

/* ---- helpers for row functions ---- */

static inline rask_str rask_str_of(const char *text) /* NUL-terminated; borrowed */
{
    rask_str s;
    s.data = text;
    s.len = (uint32_t)strlen(text);
    return s;
}
#ifdef __cplusplus
#define RASK_STR(literal) (rask_str_of("" literal))
#else
#define RASK_STR(literal) ((rask_str){"" literal, (uint32_t)(sizeof(literal) - 1)})
#endif
static inline bool rask_str_equal(rask_str a, rask_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}
/*
 * Cuts the next word off *text: a run of bytes other than ASCII white space (space, \t, \n, \v, \f,
 * \r). false: no more. *word points into the text and keeps its case.
 */
bool rask_next_word(rask_str *text, rask_str *word);
/* As above with words of [A-Za-z0-9_]. */
bool rask_next_name(rask_str *text, rask_str *word);
/* As above, up to `room` words a call, which is several times faster; returns how many, 0: no more. */
uint32_t rask_next_words(rask_str *text, rask_str *words, uint32_t room);
uint32_t rask_next_names(rask_str *text, rask_str *names, uint32_t room);
/*
 * For batch functions that cut a STRING column into words: the text of row *row, and of the rows behind it as far as they
 * lie in the same memory with only white space between them, as lines of a file do; up to some KiB. *row moves on behind
 * them. false: no more rows. A null is an empty text.
 */
bool rask_next_text(const rask_batch *b, int column, uint32_t *row, rask_str *text);
rask_str rask_lower(rask_ctx *ctx, rask_str text); /* a copy with a-z for A-Z; lives as rask_alloc's memory */
rask_str rask_lower_to(char *to, rask_str text);   /* likewise, to text.len bytes of the caller's */

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
