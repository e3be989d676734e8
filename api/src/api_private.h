/*
 * api_private.h - the graph under construction, shared by the files of api/src.
 *
 * Everything lives in the env's arena.  Each public function first asks api_enter (is there still a
 * build going on?) and api_input (may this stream be read?), then makes a node or a virtual stream.
 */
#ifndef API_PRIVATE_H
#define API_PRIVATE_H

#include "api/runtime.h"
#include "common/base/check.h"
#include "common/graph/graph.h"
#include "common/graph/op_states.h"
#include "common/graph/ops.h"
#include "common/types/batch.h"
#include "common/types/schema.h"

#define API_ENV_MAGIC  0x72656e76u
#define API_STATES_MAX 64

/* How the name that people see is made of the operator's own: as in Flink. */
enum name_form {
    NAME_PLAIN,  /* map */
    NAME_SOURCE, /* Source: lines */
    NAME_SINK,   /* Sink: Print to Std. Out */
    NAME_WRITER  /* counts: Writer; without a name Sink: Writer */
};

struct node {
    Rask__Graph__StreamNode pb; /* name, operator_id ... are set as they become known */
    rask_env *env;
    const char *made_by; /* "rask_map" */
    enum name_form name_form;
    const rask_schema *out; /* NULL: none */
    const rask_schema **sides;
    uint32_t side_count;
    bool single;   /* cannot run in parallel */
    bool consumed; /* an output leads somewhere */
};

/* Where a stream comes from: several after a union. */
struct part {
    struct node *node;
    int32_t side; /* -1: main output */
    Rask__Graph__Partitioner partitioner;
    Rask__Graph__OperatorSpec *custom; /* CUSTOM */
    uint32_t *keys;                    /* HASH */
    uint32_t key_count;
};

struct rask_stream {
    rask_env *env;
    struct part *parts; /* none: a stream after a mistake */
    uint32_t part_count;
    const rask_schema *schema; /* NULL: a sink */
    uint32_t *keys;            /* column indices, when keyed; a union is not */
    uint32_t key_count;
    const char *virtual_by; /* "rask_union": not an operator of its own; else NULL */
};

struct rask_env {
    uint32_t magic;
    struct arena arena;
    bool (*offset_of)(void *arg, const void *pointer, uint64_t *ret_offset);
    void *offset_arg;
    bool has_artifact;
    uint8_t artifact[32];
    struct rask_params params;
    Rask__Graph__StreamGraph graph;
    struct node **nodes; /* graph.n_nodes of them */
    size_t node_cap, edge_cap, config_cap;
    struct rask_stream broken; /* what a failed call returns */
    struct err error;          /* the first mistake; code 0: none */
    bool executed;
    struct pool *pool; /* of rask_rows; made at first use */
    struct rows *rows; /* builders that were not taken yet */
};

/* Records the first mistake; returns the broken stream. */
rask_stream *api_fail(rask_env *env, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* false: the build has failed or ended (recorded); fn is the public function's name. */
bool api_enter(rask_env *env, const char *fn);
/*
 * As api_enter, for a stream whose rows are to be read. A NULL stream is remembered for
 * rask_execute.
 */
bool api_input(const rask_stream *in, const char *fn);
rask_stream *api_broken(const rask_stream *in); /* for `return` after api_input failed */
const char *api_null_call(void);   /* public function that got a NULL stream, or NULL */
void api_rows_free(rask_env *env); /* source.c */

char *api_printf(rask_env *env, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *api_type_text(rask_env *env, const rask_field *field);
char *api_schema_text(rask_env *env, const rask_schema *schema);
const char *api_from(const rask_stream *in); /* name of the operator that a stream comes from */
/* Whether csv files can hold such rows; false: recorded. */
bool api_check_csv(rask_env *env, const char *where, const rask_schema *schema);
bool api_check_schema(rask_env *env, const char *where,
                      const rask_schema *schema); /* false: recorded */
/* 'text' is 1 .. 255 bytes; else recorded, false */
bool api_check_name(rask_env *env, const char *fn, const char *what, const char *text);

/* A new node, not in the graph yet: api_finish puts it there. name: copied; NULL: fallback. */
struct node *api_node(rask_env *env, const char *fn, const char *type, enum name_form form,
                      const char *name, const char *fallback);
void api_node_name(struct node *node, const char *name);
void api_node_property(struct node *node, const char *key, const char *value);
void api_node_property_i64(struct node *node, const char *key, int64_t value);
/* The offset of a function or descriptor; what: "its function". false: recorded. */
bool api_node_code(struct node *node, const char *what, const void *pointer);
void api_node_out(struct node *node, const rask_schema *out);
void api_node_connect(struct node *node, rask_stream *in, uint32_t input);
void api_node_states(struct node *node, const rask_state *states); /* what the graph says of them; NULL: none */
void api_node_keyed(struct node *node, const rask_stream *in,
                    uint32_t input); /* its state is per key of `in` */
rask_stream *api_finish(struct node *node);
/* The property "wanted" of sources, when the graph is complete. */
void api_tell_sources(rask_env *env);
/* Offset of any pointer, for edges. */
bool api_code(rask_env *env, const char *where, const char *what, const void *pointer,
              uint64_t *ret_offset);

/* A stream over the same parts, to be changed by the caller. */
rask_stream *api_virtual(const rask_stream *in, const char *fn);

static inline const void *api_pointer(void (*fn)(void))
{
    return (const void *)(uintptr_t)fn;
}
#define API_FN(fn) api_pointer((void (*)(void))(fn))

#endif
