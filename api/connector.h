/*
 * api/connector.h - how built-in sources and sinks meet the worker: by registration.
 *
 * A connector is a rask_source or a rask_sink (rask/operator.h) with a name.  It reads its properties from
 * connector_args, which is what rask_args(ctx) returns for a built-in.  The programs that run jobs (rask-worker,
 * rask-local, tests) hand a table of connectors to the worker; nothing in the runtime includes one.
 */
#ifndef API_CONNECTOR_H
#define API_CONNECTOR_H

#include <rask/operator.h>

#include "proto/graph.pb-c.h"

struct connector {
    const char *name; /* property "connector" of the node */
    const rask_source *source;
    const rask_sink *sink;
};

struct connector_args {
    const Rask__Graph__OperatorSpec *spec; /* properties, payload, side schemas; lives as long as the task */
    const rask_schema *schema;             /* source: of its output; sink: of its input */
    const void *code;                      /* resolved spec->code (generator); else NULL */
    int out_fd, err_fd;                    /* print; -1: none */
    const char *job;                       /* sink: 32 hex digits */
    const char *operator_id;               /* sink: 32 hex digits, the same in every attempt */
    uint32_t readers;                      /* enumerator: parallelism of the source; else 0 */
};

static inline const char *connector_spec_property(const Rask__Graph__OperatorSpec *spec, const char *key, const char *otherwise)
{
    for (size_t i = 0; i < spec->n_properties; i++)
        if (__builtin_strcmp(spec->properties[i]->key, key) == 0)
            return spec->properties[i]->value;
    return otherwise;
}
static inline const char *connector_property(const struct connector_args *args, const char *key, const char *otherwise)
{
    return connector_spec_property(args->spec, key, otherwise);
}

#endif
