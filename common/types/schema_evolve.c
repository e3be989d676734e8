/* schema_evolve.c - which schemas can follow each other over the same state. Thread: any. */
#include "common/base/check.h"
#include "common/types/schema.h"

static void format_field(const rask_field *f, struct bytes *out)
{
    schema_format_type(f, out);
    bytes_add_str(out, f->nullable ? "" : " NOT NULL");
}

/* Both columns first: the schemas may be longer than a message. */
static int refused(const rask_schema *old, const rask_schema *now, const rask_field *was,
                   const rask_field *is, const char *where, struct err *err)
{
    struct bytes text;
    int rc;

    bytes_init(&text);
    bytes_printf(&text, "column '%s' ", is->name);
    if (was) {
        bytes_add_str(&text, "was ");
        format_field(was, &text);
        bytes_add_str(&text, " and is ");
    } else {
        bytes_add_str(&text, "is new, and no value of it is known: ");
    }
    format_field(is, &text);
    bytes_add_str(&text, " now; kept are (");
    schema_format(old, &text);
    bytes_add_str(&text, "), declared are (");
    schema_format(now, &text);
    bytes_add_u8(&text, ')');
    bytes_add_u8(&text, 0);
    rc = err_set(err, ERR_INVALID, "%s: %s", where, (const char *)text.data);
    bytes_release(&text);
    return rc;
}

static bool widens(const rask_field *was, const rask_field *is)
{
    if (was->nullable && !is->nullable)
        return false;
    if (schema_is_nested(was) || schema_is_nested(is))
        return was->type == is->type && schema_equal(was->child, is->child);
    if (was->type == RASK_T_DECIMAL && is->type == RASK_T_DECIMAL)
        return is->scale >= was->scale &&
               is->precision - is->scale >= was->precision - was->scale;
    if (was->type >= RASK_T_TINYINT && is->type <= RASK_T_BIGINT)
        return was->type <= is->type;
    return was->type == is->type || (was->type == RASK_T_FLOAT && is->type == RASK_T_DOUBLE);
}

int schema_compatible(const rask_schema *old, const rask_schema *now, const char *where,
                      enum schema_change *ret, struct err *err)
{
    for (uint32_t i = 0; i < now->columns; i++) {
        const rask_field *is = &now->fields[i], *was;
        int from = schema_column(old, is->name);

        was = from < 0 ? NULL : &old->fields[from];
        if (was ? !widens(was, is) : is->type == RASK_T_ROW && !is->nullable)
            return refused(old, now, was, is, where, err);
    }
    *ret = schema_equal(old, now) ? SCHEMA_SAME : SCHEMA_MIGRATE;
    return 0;
}
