/*
 * schema.c - schemas at run time: properties of types, equality, checks, copies.  Text is in
 * schema_text.c. Thread: any; schemas are immutable.
 */
#include "common/types/schema.h"

#include "common/base/check.h"

uint32_t schema_width(const rask_field *field)
{
    switch (field->type) {
    case RASK_T_BOOLEAN:
    case RASK_T_TINYINT:
        return 1;
    case RASK_T_SMALLINT:
        return 2;
    case RASK_T_INT:
    case RASK_T_FLOAT:
    case RASK_T_DATE:
    case RASK_T_TIME:
        return 4;
    case RASK_T_DECIMAL:
        return field->precision > 18 ? 16 : 8;
    case RASK_T_STRING:
    case RASK_T_BYTES:
        return 16;
    default:
        return 8;
    }
}

bool schema_is_view(const rask_field *field)
{
    return field->type == RASK_T_STRING || field->type == RASK_T_BYTES;
}

bool schema_is_nested(const rask_field *field)
{
    return field->type >= RASK_T_ARRAY;
}

bool schema_can_be_key(const rask_field *field)
{
    if (field->type == RASK_T_MAP)
        return false;
    for (uint32_t i = 0; schema_is_nested(field) && i < field->child->columns; i++)
        if (!schema_can_be_key(&field->child->fields[i]))
            return false;
    return true;
}

bool schema_fits_csv(const rask_field *field)
{
    if (field->type == RASK_T_MAP)
        return false;
    for (uint32_t i = 0; schema_is_nested(field) && i < field->child->columns; i++)
        if (schema_is_nested(&field->child->fields[i]))
            return false;
    return true;
}

bool schema_field_equal(const rask_field *a, const rask_field *b)
{
    if (a->type != b->type || !a->nullable != !b->nullable || strcmp(a->name, b->name) != 0)
        return false;
    if (schema_is_nested(a))
        return schema_equal(a->child, b->child);
    return a->type != RASK_T_DECIMAL || (a->precision == b->precision && a->scale == b->scale);
}

bool schema_equal(const rask_schema *a, const rask_schema *b)
{
    if (a == b)
        return true;
    if (!a || !b || a->columns != b->columns)
        return false;
    for (uint32_t i = 0; i < a->columns; i++)
        if (!schema_field_equal(&a->fields[i], &b->fields[i]))
            return false;
    return true;
}

int schema_column(const rask_schema *schema, const char *name)
{
    for (int i = 0; i < schema->columns; i++)
        if (strcmp(schema->fields[i].name, name) == 0)
            return i;
    return -1;
}

struct validation {
    const char *where;
    uint32_t fields, depth;
    struct err *err;
};

static int columns_validate(struct validation *v, const rask_schema *schema);

static int nested_validate(struct validation *v, const rask_field *f)
{
    const char *word = f->type == RASK_T_ARRAY ? "an ARRAY" : f->type == RASK_T_MAP ? "a MAP" : "a ROW";
    const rask_schema *s = f->child;
    int rc;

    if (!s || s->abi != RASK_ABI)
        return err_set(v->err, ERR_INVALID, "%s: column '%s': %s without the schema of what is in it",
                       v->where, f->name, word);
    if (v->depth == SCHEMA_DEPTH_MAX)
        return err_set(v->err, ERR_LIMIT,
                       "%s: column '%s': ARRAY, MAP and ROW are nested deeper than %d levels",
                       v->where, f->name, SCHEMA_DEPTH_MAX);
    if ((f->type == RASK_T_ARRAY && (s->columns != 1 || strcmp(s->fields[0].name, "element") != 0)) ||
        (f->type == RASK_T_MAP && (s->columns != 2 || strcmp(s->fields[0].name, "key") != 0 ||
                                   strcmp(s->fields[1].name, "value") != 0)))
        return err_set(v->err, ERR_INVALID, "%s: column '%s': %s has the columns '%s', not others",
                       v->where, f->name, word,
                       f->type == RASK_T_ARRAY ? "element" : "key' and 'value");
    if (f->type == RASK_T_MAP && s->fields[0].nullable)
        return err_set(v->err, ERR_INVALID, "%s: column '%s': the key of a MAP is NOT NULL", v->where,
                       f->name);
    v->depth++;
    rc = columns_validate(v, s);
    v->depth--;
    return rc;
}

static int field_validate(struct validation *v, const rask_field *f, uint32_t number)
{
    const char *where = v->where;
    struct err *err = v->err;

    if (!f->name || !f->name[0])
        return err_set(err, ERR_INVALID, "%s: column %u has no name", where, number);
    if (strlen(f->name) > SCHEMA_NAME_MAX)
        return err_set(err, ERR_LIMIT, "%s: the name of column %u has more than %d bytes", where,
                       number, SCHEMA_NAME_MAX);
    if (f->type < RASK_T_BOOLEAN || f->type > RASK_T_ROW)
        return err_set(err, ERR_INVALID, "%s: column '%s' has the unknown type number %u", where,
                       f->name, f->type);
    if (f->type == RASK_T_DECIMAL && (f->precision < 1 || f->precision > 38))
        return err_set(err, ERR_INVALID,
                       "%s: column '%s': the precision of DECIMAL is 1 to 38, not %u", where,
                       f->name, f->precision);
    if (f->type == RASK_T_DECIMAL && f->scale > f->precision)
        return err_set(err, ERR_INVALID,
                       "%s: column '%s': the scale of DECIMAL(%u, s) is 0 to %u, not %u", where,
                       f->name, f->precision, f->precision, f->scale);
    if (f->type == RASK_T_TIMESTAMP && f->precision != 3 && f->precision != 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: column '%s': TIMESTAMP(%u) is not supported, TIMESTAMP(3) is", where,
                       f->name, f->precision);
    return schema_is_nested(f) ? nested_validate(v, f) : 0;
}

static int columns_validate(struct validation *v, const rask_schema *schema)
{
    const char *where = v->where;
    struct err *err = v->err;

    if (schema->columns < 1 || schema->columns > RASK_COLUMNS_MAX)
        return err_set(err, ERR_INVALID, "%s: a row has 1 to %d columns, not %u", where,
                       RASK_COLUMNS_MAX, schema->columns);
    v->fields += schema->columns;
    if (v->fields > SCHEMA_FIELDS_MAX)
        return err_set(err, ERR_LIMIT,
                       "%s: a row has at most %d columns with those inside its ARRAY, MAP and ROW",
                       where, SCHEMA_FIELDS_MAX);
    for (uint32_t i = 0; i < schema->columns; i++) {
        int rc = field_validate(v, &schema->fields[i], i);

        if (rc)
            return rc;
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(schema->fields[i].name, schema->fields[k].name) == 0)
                return err_set(err, ERR_INVALID, "%s: the column '%s' is there twice", where,
                               schema->fields[i].name);
    }
    return 0;
}

int schema_validate(const rask_schema *schema, const char *where, struct err *err)
{
    struct validation v = {.where = where, .err = err};

    if (!schema)
        return err_set(err, ERR_INVALID, "%s: there is no schema", where);
    if (schema->abi != RASK_ABI)
        return err_set(err, ERR_VERSION,
                       "%s: the schema was compiled for ABI %u; this program has ABI %d", where,
                       schema->abi, RASK_ABI);
    return columns_validate(&v, schema);
}

const rask_schema *schema_copy(struct arena *arena, const rask_schema *schema)
{
    rask_schema *copy = arena_dup(arena, schema, sizeof(*schema));
    rask_field *fields = arena_dup(arena, schema->fields, schema->columns * sizeof(rask_field));

    copy->name = schema->name ? arena_strdup(arena, schema->name) : "";
    copy->fields = fields;
    for (uint32_t i = 0; i < schema->columns; i++) {
        fields[i].name = arena_strdup(arena, fields[i].name);
        if (schema_is_nested(&fields[i]))
            fields[i].child = schema_copy(arena, fields[i].child);
    }
    return copy;
}
