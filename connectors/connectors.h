/*
 * connectors.h - the built-in sources and sinks, as one table for the programs that run jobs.
 *
 * Properties of each: common/graph/ops.h.  The runtime includes nothing of this folder; rask-worker, rask-local
 * and tests pass connectors_builtin on.
 */
#ifndef CONNECTORS_CONNECTORS_H
#define CONNECTORS_CONNECTORS_H

#include "api/connector.h"

extern const struct connector *const connectors_builtin[]; /* ends with NULL; static */

#endif
