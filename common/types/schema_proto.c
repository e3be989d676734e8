/* schema_proto.c - schemas inside protobuf messages: a type travels as its text. Thread: any. */
#include "common/types/schema_proto.h"

#include "common/base/check.h"

int schema_from_proto(struct arena *arena, const Rask__Graph__Schema *message,
                      const rask_schema **ret, struct err *err)
{
    rask_schema *schema;
    rask_field *fields;
    int rc;

    if (message->n_fields < 1 || message->n_fields > RASK_COLUMNS_MAX)
        return err_set(err, ERR_INVALID, "schema %s: a row has 1 to %d columns, not %zu",
                       message->name, RASK_COLUMNS_MAX, message->n_fields);
    schema = arena_alloc(arena, sizeof(*schema));
    fields = arena_alloc(arena, message->n_fields * sizeof(*fields));
    schema->abi = RASK_ABI;
    schema->columns = (uint16_t)message->n_fields;
    schema->name = arena_strdup(arena, message->name);
    schema->fields = fields;
    for (size_t i = 0; i < message->n_fields; i++) {
        const Rask__Graph__Field *f = message->fields[i];

        fields[i].name = arena_strdup(arena, f->name);
        rc = schema_parse_type(arena, f->type, &fields[i], err);
        if (rc) {
            err_wrap(err, "schema %s: column '%s'", message->name, f->name);
            return rc;
        }
        fields[i].nullable = f->nullable != 0;
    }
    rc = schema_validate(schema, message->name, err);
    if (rc)
        return rc;
    *ret = schema;
    return 0;
}

Rask__Graph__Schema *schema_to_proto(struct arena *arena, const rask_schema *schema)
{
    Rask__Graph__Schema *message = arena_alloc(arena, sizeof(*message));
    struct bytes type;

    rask__graph__schema__init(message);
    message->name = arena_strdup(arena, schema->name ? schema->name : "");
    message->n_fields = schema->columns;
    message->fields = arena_alloc(arena, schema->columns * sizeof(*message->fields));
    bytes_init(&type);
    for (uint32_t i = 0; i < schema->columns; i++) {
        Rask__Graph__Field *f = arena_alloc(arena, sizeof(*f));

        rask__graph__field__init(f);
        bytes_clear(&type);
        schema_format_type(&schema->fields[i], &type);
        f->name = arena_strdup(arena, schema->fields[i].name);
        f->type = arena_strdup(arena, (const char *)type.data);
        f->has_nullable = 1;
        f->nullable = schema->fields[i].nullable != 0;
        message->fields[i] = f;
    }
    bytes_release(&type);
    return message;
}
