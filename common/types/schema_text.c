/*
 * schema_text.c - schemas as text: "word STRING NOT NULL, n BIGINT".
 *
 *   schema = column { "," column }          column = name type
 *   name   = [A-Za-z_][A-Za-z0-9_]* or `anything, with a doubled backquote for one`
 *   type   = ( word [ "(" number [ "," number ] ")" ] | "ARRAY" "<" type ">" |
 *              "MAP" "<" type "," type ">" | "ROW" "<" schema ">" ) [ "NOT" "NULL" | "NULL" ]
 * Words of types are read in any case; names are taken as they are.
 */
#include <stdio.h>
#include <strings.h>

#include "common/base/check.h"
#include "common/types/schema.h"

enum { TEXT_MAX = 65536, WORD_MAX = 24 };

static const struct {
    const char *word;
    uint8_t type;
} types[] = {
    /* the first of each type is how it is written */
    {"BOOLEAN", RASK_T_BOOLEAN},
    {"TINYINT", RASK_T_TINYINT},
    {"SMALLINT", RASK_T_SMALLINT},
    {"INT", RASK_T_INT},
    {"BIGINT", RASK_T_BIGINT},
    {"FLOAT", RASK_T_FLOAT},
    {"DOUBLE", RASK_T_DOUBLE},
    {"DECIMAL", RASK_T_DECIMAL},
    {"STRING", RASK_T_STRING},
    {"BYTES", RASK_T_BYTES},
    {"DATE", RASK_T_DATE},
    {"TIME", RASK_T_TIME},
    {"TIMESTAMP", RASK_T_TIMESTAMP},
    {"ARRAY", RASK_T_ARRAY},
    {"MAP", RASK_T_MAP},
    {"ROW", RASK_T_ROW},
    {"INTEGER", RASK_T_INT},
    {"DEC", RASK_T_DECIMAL},
    {"NUMERIC", RASK_T_DECIMAL},
};
#define TYPES_ALLOWED                                                                              \
    "BOOLEAN, TINYINT, SMALLINT, INT, BIGINT, FLOAT, DOUBLE, DECIMAL(p, s), STRING, BYTES, DATE, " \
    "TIME, TIMESTAMP, ARRAY<T>, MAP<K, V>, ROW<name T, ...>"

/* ---- format ---- */

static void format_element(const rask_field *field, struct bytes *out)
{
    schema_format_type(field, out);
    bytes_add_str(out, field->nullable ? "" : " NOT NULL");
}

static void format_nested(const rask_field *field, struct bytes *out)
{
    bytes_add_u8(out, '<');
    if (field->type == RASK_T_ROW) {
        schema_format(field->child, out);
    } else {
        format_element(&field->child->fields[0], out);
        if (field->type == RASK_T_MAP) {
            bytes_add_str(out, ", ");
            format_element(&field->child->fields[1], out);
        }
    }
    bytes_add_u8(out, '>');
}

void schema_format_type(const rask_field *field, struct bytes *out)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (types[i].type == field->type) {
            bytes_add_str(out, types[i].word);
            break;
        }
    }
    if (field->type == RASK_T_DECIMAL)
        bytes_printf(out, "(%u, %u)", field->precision, field->scale);
    if (field->type == RASK_T_TIMESTAMP)
        bytes_add_str(out, "(3)");
    if (schema_is_nested(field))
        format_nested(field, out);
}

static bool name_char(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

static void format_name(const char *name, struct bytes *out)
{
    bool plain = name[0] != 0;

    for (const char *c = name; *c; c++)
        plain = plain && name_char(*c, c == name);
    if (plain) {
        bytes_add_str(out, name);
        return;
    }
    bytes_add_u8(out, '`');
    for (const char *c = name; *c; c++) {
        if (*c == '`')
            bytes_add_u8(out, '`');
        bytes_add_u8(out, (uint8_t)*c);
    }
    bytes_add_u8(out, '`');
}

void schema_format(const rask_schema *schema, struct bytes *out)
{
    for (uint32_t i = 0; i < schema->columns; i++) {
        bytes_add_str(out, i ? ", " : "");
        format_name(schema->fields[i].name, out);
        bytes_add_u8(out, ' ');
        format_element(&schema->fields[i], out);
    }
}

/* ---- parse ---- */

struct scan {
    const char *at;
    struct arena *arena; /* for what is inside ARRAY, MAP and ROW */
    uint32_t depth;
    char where[SCHEMA_NAME_MAX + 16]; /* "column 'n': " once the name is known */
    struct err *err;
};

static void skip_space(struct scan *s)
{
    while (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r')
        s->at++;
}

static bool eat(struct scan *s, char c)
{
    skip_space(s);
    if (*s->at != c)
        return false;
    s->at++;
    return true;
}

/* The next word of letters, digits, underscores; does not fit: an empty one. */
static void peek_word(struct scan *s, char word[WORD_MAX], const char **ret_after)
{
    const char *c;

    skip_space(s);
    for (c = s->at; name_char(*c, c == s->at); c++)
        ;
    word[0] = 0;
    *ret_after = c;
    if (c - s->at >= WORD_MAX)
        return;
    memcpy(word, s->at, (size_t)(c - s->at));
    word[c - s->at] = 0;
}

static bool eat_word(struct scan *s, const char *expected)
{
    char word[WORD_MAX];
    const char *after;

    peek_word(s, word, &after);
    if (strcasecmp(word, expected) != 0)
        return false;
    s->at = after;
    return true;
}

static int parse_number(struct scan *s, uint8_t *ret)
{
    unsigned n = 0;
    const char *start;

    skip_space(s);
    for (start = s->at; *s->at >= '0' && *s->at <= '9' && n < 1000; s->at++)
        n = n * 10 + (unsigned)(*s->at - '0');
    if (s->at == start || n > 255)
        return err_set(s->err, ERR_INVALID, "%sa number was expected at '%.20s'", s->where, start);
    *ret = (uint8_t)n;
    return 0;
}

static int parse_parameters(struct scan *s, uint8_t parameter[2], unsigned *ret_count)
{
    int rc;

    *ret_count = 0;
    if (!eat(s, '('))
        return 0;
    do {
        if (*ret_count == 2)
            return err_set(s->err, ERR_INVALID, "%sa type has at most two parameters", s->where);
        rc = parse_number(s, &parameter[(*ret_count)++]);
        if (rc)
            return rc;
    } while (eat(s, ','));
    if (!eat(s, ')'))
        return err_set(s->err, ERR_INVALID, "%sa ')' was expected at '%.20s'", s->where, s->at);
    return 0;
}

static int apply_parameters(struct scan *s, const char *word, const uint8_t parameter[2],
                            unsigned count, rask_field *field)
{
    if (field->type == RASK_T_DECIMAL) {
        field->precision = count > 0 ? parameter[0] : 10;
        field->scale = count > 1 ? parameter[1] : 0;
        if (field->precision < 1 || field->precision > 38 || field->scale > field->precision)
            return err_set(s->err, ERR_INVALID,
                           "%sDECIMAL(%u, %u): the precision is 1 to 38, the scale 0 to it",
                           s->where, field->precision, field->scale);
        return 0;
    }
    if (field->type == RASK_T_TIMESTAMP) {
        field->precision = 3;
        if (count > 1 || (count == 1 && parameter[0] != 3))
            return err_set(s->err, ERR_UNSUPPORTED,
                           "%sTIMESTAMP has 3 digits of a second here: write TIMESTAMP(3)",
                           s->where);
        return 0;
    }
    if (count)
        return err_set(s->err, ERR_INVALID, "%s%s takes no parameters", s->where, word);
    return 0;
}

static int parse_type(struct scan *s, rask_field *field);
static int parse_columns(struct scan *s, rask_schema *schema);

static int parse_inside(struct scan *s, uint8_t type, rask_schema *inside)
{
    static const char *const names[] = {"element", "key", "value"};
    rask_field *fields;
    uint32_t first = type == RASK_T_MAP ? 1 : 0, count = type == RASK_T_MAP ? 2 : 1;
    int rc = 0;

    if (type == RASK_T_ROW)
        return parse_columns(s, inside);
    inside->columns = (uint16_t)count;
    inside->fields = fields = arena_alloc(s->arena, count * sizeof(*fields));
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        if (i && !eat(s, ','))
            return err_set(s->err, ERR_INVALID, "%sa ',' and the type of values were expected at '%.20s'",
                           s->where, s->at);
        fields[i] = (rask_field){.name = names[first + i]};
        rc = parse_type(s, &fields[i]);
    }
    if (type == RASK_T_MAP)
        fields[0].nullable = 0;
    return rc;
}

static int parse_nested(struct scan *s, const char *word, rask_field *field)
{
    rask_schema *inside = arena_alloc(s->arena, sizeof(*inside));
    char where[sizeof(s->where)];
    int rc;

    if (s->depth == SCHEMA_DEPTH_MAX)
        return err_set(s->err, ERR_LIMIT, "%sARRAY, MAP and ROW are nested deeper than %d levels",
                       s->where, SCHEMA_DEPTH_MAX);
    if (!eat(s, '<'))
        return err_set(s->err, ERR_INVALID, "%s%s is written %s, with a '<' at '%.20s'", s->where, word,
                       field->type == RASK_T_ARRAY ? "ARRAY<T>"
                       : field->type == RASK_T_MAP ? "MAP<K, V>"
                                                   : "ROW<name T, ...>",
                       s->at);
    *inside = (rask_schema){.abi = RASK_ABI, .name = word};
    memcpy(where, s->where, sizeof(where));
    s->depth++;
    rc = parse_inside(s, field->type, inside);
    s->depth--;
    if (rc)
        return rc;
    memcpy(s->where, where, sizeof(where));
    if (!eat(s, '>'))
        return err_set(s->err, ERR_INVALID, "%sa '>' was expected at '%.20s'", s->where, s->at);
    field->child = inside;
    return 0;
}

static int parse_type(struct scan *s, rask_field *field)
{
    char word[WORD_MAX];
    const char *after;
    uint8_t parameter[2];
    unsigned count;
    int rc;

    peek_word(s, word, &after);
    field->type = 0;
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (strcasecmp(word, types[i].word) == 0)
            field->type = types[i].type;
    if (!field->type)
        return err_set(s->err, ERR_INVALID,
                       "%sthe type at '%.20s' is unknown; allowed are " TYPES_ALLOWED, s->where,
                       s->at);
    s->at = after;
    if (schema_is_nested(field)) {
        rc = parse_nested(s, types[field->type - 1].word, field);
    } else {
        rc = parse_parameters(s, parameter, &count);
        if (!rc)
            rc = apply_parameters(s, word, parameter, count, field);
    }
    if (rc)
        return rc;
    field->nullable = 1;
    if (eat_word(s, "NOT")) {
        if (!eat_word(s, "NULL"))
            return err_set(s->err, ERR_INVALID, "%sNULL was expected after NOT, at '%.20s'",
                           s->where, s->at);
        field->nullable = 0;
    } else {
        (void)eat_word(s, "NULL");
    }
    return 0;
}

static int parse_name(struct scan *s, char name[SCHEMA_NAME_MAX + 1])
{
    bool quoted = eat(s, '`');
    const char *start = s->at;
    size_t len = 0;

    for (; *s->at; s->at++) {
        if (quoted && *s->at == '`' && s->at[1] == '`')
            s->at++;
        else if (quoted ? *s->at == '`' : !name_char(*s->at, s->at == start))
            break;
        if (len == SCHEMA_NAME_MAX)
            return err_set(s->err, ERR_LIMIT, "a column name has more than %d bytes: '%.20s...'",
                           SCHEMA_NAME_MAX, start);
        name[len++] = *s->at;
    }
    name[len] = 0;
    if (quoted && !eat(s, '`'))
        return err_set(s->err, ERR_INVALID, "a closing ` is missing after the name '%.20s'", start);
    if (len == 0)
        return err_set(s->err, ERR_INVALID, "a column name was expected at '%.20s'", start);
    return 0;
}

/* Columns up to what is none; the fields go to the arena. */
static int parse_columns(struct scan *s, rask_schema *schema)
{
    rask_field fields[RASK_COLUMNS_MAX];
    char name[SCHEMA_NAME_MAX + 1];
    int rc;

    memset(fields, 0, sizeof(fields));
    do {
        if (schema->columns == RASK_COLUMNS_MAX)
            return err_set(s->err, ERR_LIMIT, "a row has at most %d columns", RASK_COLUMNS_MAX);
        s->where[0] = 0;
        rc = parse_name(s, name);
        if (rc)
            return rc;
        snprintf(s->where, sizeof(s->where), "column '%s': ", name);
        rc = parse_type(s, &fields[schema->columns]);
        if (rc)
            return rc;
        fields[schema->columns++].name = arena_strdup(s->arena, name);
    } while (eat(s, ','));
    schema->fields = arena_dup(s->arena, fields, schema->columns * sizeof(*fields));
    return 0;
}

int schema_parse(struct arena *arena, const char *name, const char *text, const rask_schema **ret,
                 struct err *err)
{
    struct scan s = {.at = text, .arena = arena, .err = err};
    rask_schema *schema;
    int rc;

    if (strnlen(text, TEXT_MAX) == TEXT_MAX)
        return err_set(err, ERR_LIMIT, "a schema is written in fewer than %d bytes", TEXT_MAX);
    schema = arena_alloc(arena, sizeof(*schema));
    schema->abi = RASK_ABI;
    schema->name = arena_strdup(arena, name);
    rc = parse_columns(&s, schema);
    skip_space(&s);
    if (!rc && *s.at)
        rc = err_set(err, ERR_INVALID, "%sa ',' or the end was expected at '%.20s'", s.where, s.at);
    if (!rc)
        rc = schema_validate(schema, name, err);
    if (!rc)
        *ret = schema;
    return rc;
}

int schema_parse_type(struct arena *arena, const char *text, rask_field *ret, struct err *err)
{
    struct scan s = {.at = text, .arena = arena, .err = err};
    rask_field field = {0};
    int rc;

    if (strnlen(text, TEXT_MAX) == TEXT_MAX)
        return err_set(err, ERR_LIMIT, "a type is written in fewer than %d bytes", TEXT_MAX);
    rc = parse_type(&s, &field);
    if (rc)
        return rc;
    skip_space(&s);
    if (*s.at)
        return err_set(err, ERR_INVALID, "the end of the type was expected at '%.20s'", s.at);
    field.name = ret->name;
    *ret = field;
    return 0;
}
