/* schema_proto.h - schemas inside protobuf messages (proto/graph.proto). */
#ifndef TYPES_SCHEMA_PROTO_H
#define TYPES_SCHEMA_PROTO_H

#include "common/types/schema.h"
#include "proto/graph.pb-c.h"

/* A checked copy in the arena; the message is borrowed. Errors name the schema and the column. */
int schema_from_proto(struct arena *arena, const Rask__Graph__Schema *message,
                      const rask_schema **ret, struct err *err) MUST_CHECK;
/* Everything lives in the arena. */
Rask__Graph__Schema *schema_to_proto(struct arena *arena, const rask_schema *schema);

#endif
