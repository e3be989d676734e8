/*
 * api/runtime.h - the engine's side of the public API: for the programs that load a job, not for
 * jobs.
 *
 * Two halves.  A program that builds a graph (client, graph-building worker) makes a rask_env,
 * calls the job's rask_job with it and takes the StreamGraph.  A program that runs operators
 * (worker) fills a struct rask_ctx per subtask and operator; api/src/ctx.c implements
 * rask/operator.h on it through struct rask_ctx_ops, so that a job's shared object can be loaded
 * without linking the worker.
 *
 * Programs that load a job link with $(api_link) (api/module.mk), which exports every public
 * symbol.
 */
#ifndef API_RUNTIME_H
#define API_RUNTIME_H

#include <rask/rask.h>

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "proto/graph.pb-c.h"

/* ---- the job's shared object ---- */

/*
 * Where a loaded shared object lies in memory.  Functions and static descriptors travel as offsets
 * from its base, so they survive address space randomisation.  A job exports `rask_job` and the
 * weak constant `rask_job_abi` (uint32_t, RASK_ABI of the headers it was compiled with).
 */
struct rask_artifact {
    uintptr_t base;       /* load address: dlpi_addr */
    uintptr_t start, end; /* lowest mapped byte, and one past the highest */
};
/* The object that `address` (of rask_job, say) lies in. ERR_NOT_FOUND if in none. */
int rask_artifact_of(const void *address, struct rask_artifact *ret, struct err *err) MUST_CHECK;
/* For rask_env_options.offset_of, with a struct rask_artifact as arg. */
bool rask_artifact_offset(void *artifact, const void *pointer, uint64_t *ret_offset);
/*
 * The way back, in the worker: NULL when offset .. offset + size is not mapped memory of the
 * object.
 */
void *rask_artifact_pointer(const struct rask_artifact *artifact, uint64_t offset, size_t size);

/* ---- building a graph ---- */

struct rask_env_options {
    /* false: the pointer is not in the artifact. NULL: the job may use built-ins only. */
    bool (*offset_of)(void *arg, const void *pointer, uint64_t *ret_offset);
    void *arg;                 /* borrowed until rask_env_free */
    const uint8_t *artifact;   /* SHA-256 of the shared object, 32 bytes, copied; NULL: none */
    const char *artifact_name; /* copied; NULL: none */
    int argc;                  /* the program's own arguments: --name value, --name=value, --flag */
    char *const *argv;         /* argv[0] is the first argument, not the program; copied */
};
rask_env *rask_env_new(const struct rask_env_options *options);
void rask_env_free(rask_env *env); /* NULL is legal; all streams of env end here */
const rask_params *rask_env_params(const rask_env *env);
/*
 * After rask_job returned 0 or an error: the graph, in memory of env.  Fails with the first error
 * of the build, or when rask_job never called rask_execute.
 */
int rask_env_graph(rask_env *env, Rask__Graph__StreamGraph **ret, struct err *err) MUST_CHECK;

/* Program arguments, also of a running operator (rask_param_of). */
struct rask_params {
    struct rask_env *env; /* errors are recorded here; NULL in a worker */
    size_t count;
    const char **names; /* without dashes */
    const char **values;
};
/* NULL when absent. The last one of a repeated name wins. */
const char *rask_params_get(const struct rask_params *params, const char *name);

/* ---- running an operator ---- */

struct rask_counter {
    int64_t value; /* written by the subtask alone, read by others: relaxed atomics */
};
static inline int64_t rask_counter_value(const struct rask_counter *counter)
{
    return __atomic_load_n(&counter->value, __ATOMIC_RELAXED);
}

/* What the engine passes to discover. add copies; the code is returned to the operator. */
struct rask_splits {
    int (*add)(struct rask_splits *found, rask_str id, rask_str position);
    void *engine;
};
/* What the engine passes to prepare. */
struct rask_committables {
    int (*add)(struct rask_committables *out, const void *data, size_t len);
    void *engine;
};
/* Every rask_split that a callback sees is the first member of one of these. */
struct rask_split_slot {
    rask_split split;
    struct bytes position; /* owned; split.position points into it after rask_split_position */
};

/*
 * What the worker does for a context.  No member may be NULL: an engine that has no keyed state yet
 * fails through ctx->error.  Texts are formatted, NUL-terminated and borrowed.
 */
struct rask_ctx_ops {
    void (*log)(rask_ctx *ctx, int level, const char *text);
    struct rask_counter *(*counter)(rask_ctx *ctx,
                                    const char *name); /* the same name, the same counter */
    void (*accumulate)(rask_ctx *ctx, const char *name, int64_t n);
    void *(*value)(rask_ctx *ctx, int state, const rask_schema *schema, size_t size);
    const void *(*peek)(rask_ctx *ctx, int state, const rask_schema *schema, size_t size);
    void (*clear)(rask_ctx *ctx, int state);
    bool (*load)(rask_ctx *ctx, int state, const void *key, const rask_schema *schema, void *row,
                 size_t size); /* key NULL: no map */
    int (*store)(rask_ctx *ctx, int state, const void *key, const rask_schema *schema,
                 const void *row, size_t size);
    int (*add)(rask_ctx *ctx, int state, const rask_schema *schema, const void *row, size_t size);
    int (*aggregate)(rask_ctx *ctx, int state, const void *more);
    int (*remove_at)(rask_ctx *ctx, int state, const void *key);
    void (*cursor)(rask_ctx *ctx, int state, rask_cursor *ret);
    bool (*next)(rask_cursor *cursor);
    int (*remove)(rask_cursor *cursor);
    int (*read)(const rask_cursor *cursor, bool key, const rask_schema *schema, void *row,
                size_t size);
    int (*values_of)(rask_op *op, int input, int state, const rask_batch *in, uint32_t from,
                     uint32_t count, const rask_schema *schema, size_t size, void **values);
    int (*set_key)(rask_ctx *ctx, const rask_row *row); /* sets ctx->key and ctx->key_hash */
    int (*timer_at)(rask_ctx *ctx, rask_ts event_time);
    int (*timer_in)(rask_ctx *ctx, int64_t delay_ms);
    int (*timer_cancel)(rask_ctx *ctx, rask_ts at);
    rask_ts (*processing_time)(rask_ctx *ctx);
    void (*wake_in)(rask_ctx *ctx, int64_t delay_us);
    void (*wake_on_fd)(rask_ctx *ctx, int fd);
    void (*wake)(rask_ctx *ctx); /* any thread, until api_ctx_over has returned */
};

/*
 * One operator of one subtask.  Filled by the engine; all pointers borrowed; lives until after
 * close.
 */
struct rask_ctx {
    const struct rask_ctx_ops *ops;
    void *engine;
    void *self;
    const void *args;
    size_t args_size;
    rask_out *out;    /* NULL: the operator has no main output */
    rask_out **sides; /* side_count */
    uint32_t side_count;
    uint32_t subtask, parallelism, max_parallelism, attempt;
    uint64_t unwanted;   /* bit per column of a source that nobody reads */
    uint64_t checkpoint; /* rask_checkpoint_id */
    const char *name, *uid, *task_name; /* uid NULL: none given */
    rask_ts watermark;
    const rask_state *states; /* NULL: none */
    const bool *full;         /* set by the engine when an output reached its limit */
    rask_str key;             /* key bytes of the current key; data NULL: none */
    uint64_t key_hash;
    bool timer_is_event_time;
    bool key_nullable;    /* the first key column is nullable: key bytes start with a null byte */
    struct arena scratch; /* rask_alloc; released by the engine after each batch */
    const struct rask_params *params;
    struct err error; /* of rask_fail; code 0: none. The first one is kept. */
    rask_waker *waker; /* one reference; NULL: nobody has asked for it */
};
/* The subtask is over: from now on its wakers do nothing. In its step, or after the last one. */
void api_ctx_over(rask_ctx *ctx);

/*
 * References every public function, so that --whole-archive of libapi.a also pulls those of
 * libcommon.a.
 */
extern const void *const rask_public_symbols[];

#endif
