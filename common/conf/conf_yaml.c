/*
 * conf_yaml.c - the file format: Flink's nested YAML and flat `key: value` lines, in any mixture.
 *
 * A list becomes its elements joined by ';' as Flink writes lists on one line.  What nobody means
 * to write into a configuration is refused with a sentence: anchors, aliases, tags, complex keys,
 * several documents.  libyaml would take most of that silently, and duplicates too (those are
 * refused by whoever gets the leaves).  Depth, key and value sizes are limited.
 */
#include <string.h>
#include <yaml.h>

#include "common/base/check.h"
#include "common/conf/conf_private.h"

#define DEPTH_MAX 16

struct yaml_reader {
    yaml_parser_t parser;
    const char *name; /* borrowed */
    conf_emit *emit;
    void *arg;
    struct err *err;
    char path[CONF_KEY_MAX + 1];
    struct bytes value;
};

static unsigned line_of(const yaml_event_t *event)
{
    return (unsigned)event->start_mark.line + 1;
}

/* Line of the first byte that is no UTF-8 text (control characters are none); 0: all is well. */
static unsigned find_bad_utf8(const uint8_t *s, size_t len)
{
    unsigned line = 1;

    for (size_t i = 0; i < len;) {
        uint8_t c = s[i++];
        uint32_t code, min;
        unsigned more;

        if (c == '\n')
            line++;
        if (c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c < 0x7f))
            continue;
        if (c < 0xc2 || c > 0xf4)
            return line;
        more = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        min = more == 1 ? 0x80 : more == 2 ? 0x800 : 0x10000;
        code = c & (0x3fu >> more);
        if (len - i < more)
            return line;
        for (; more > 0; more--) {
            if ((s[i] & 0xc0) != 0x80)
                return line;
            code = code << 6 | (s[i++] & 0x3fu);
        }
        if (code < min || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
            return line;
    }
    return 0;
}

static int refuse(struct yaml_reader *r, const yaml_event_t *event, const char *what)
{
    return err_set(r->err, ERR_INVALID, "%s:%u: %s", r->name, line_of(event), what);
}

static int next_event(struct yaml_reader *r, yaml_event_t *event)
{
    const char *what, *context;

    if (yaml_parser_parse(&r->parser, event))
        return 0;
    what = r->parser.problem != NULL ? r->parser.problem : "not YAML";
    context = r->parser.context != NULL ? r->parser.context : "reading";
    return err_set(r->err, ERR_INVALID,
                   "%s:%zu: %s (%s, column %zu); a value with special characters needs quotes",
                   r->name, r->parser.problem_mark.line + 1, what, context,
                   r->parser.problem_mark.column + 1);
}

/* What no node may carry. */
static int check_node(struct yaml_reader *r, const yaml_event_t *e)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;

    if (e->type == YAML_ALIAS_EVENT)
        return refuse(r, e, "aliases (*name) are not supported; a value with a star needs quotes");
    if (e->type == YAML_SCALAR_EVENT) {
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
    } else if (e->type == YAML_SEQUENCE_START_EVENT) {
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
    } else if (e->type == YAML_MAPPING_START_EVENT) {
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
    }
    if (anchor != NULL)
        return refuse(r, e, "anchors (&name) are not supported; a value with & needs quotes");
    if (tag != NULL)
        return refuse(r, e, "tags (!type) are not supported; a value with ! needs quotes");
    return 0;
}

static bool is_null(const yaml_event_t *e)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    const char *text = (const char *)e->data.scalar.value;

    if (e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(nulls); i++) {
        if (strcmp(text, nulls[i]) == 0)
            return true;
    }
    return false;
}

/* Elements that contain the separator or quotes are quoted, quotes doubled, as Flink does. */
static void add_element(struct bytes *out, const char *text)
{
    if (strpbrk(text, ";'\"") == NULL) {
        bytes_add_str(out, text);
        return;
    }
    bytes_add_u8(out, '\'');
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            bytes_add_u8(out, '\'');
        bytes_add_u8(out, (uint8_t)*text);
    }
    bytes_add_u8(out, '\'');
}

static int read_list(struct yaml_reader *r, unsigned line)
{
    int code = 0;
    bool first = true;

    bytes_clear(&r->value);
    for (;;) {
        yaml_event_t e;

        code = next_event(r, &e);
        if (code < 0)
            return code;
        if (e.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&e);
            break;
        }
        code = check_node(r, &e);
        if (code == 0 && e.type != YAML_SCALAR_EVENT)
            code = refuse(r, &e, "a list may only hold single values");
        if (code == 0) {
            if (!first)
                bytes_add_u8(&r->value, ';');
            first = false;
            add_element(&r->value, (const char *)e.data.scalar.value);
        }
        yaml_event_delete(&e);
        if (code < 0)
            return code;
    }
    return r->emit(r->arg, r->path, r->value.len > 0 ? (const char *)r->value.data : "", line,
                   r->err);
}

/* Appends ".key" to the path; returns its new length or an error. */
static int push_key(struct yaml_reader *r, size_t prefix, const yaml_event_t *e)
{
    const char *key = (const char *)e->data.scalar.value;
    size_t len = e->data.scalar.length, at = prefix;

    if (len == 0)
        return refuse(r, e, "empty key");
    if (strlen(key) != len)
        return refuse(r, e, "NUL in a key");
    if (prefix + 1 + len > CONF_KEY_MAX)
        return refuse(r, e, "key longer than 256 bytes");
    if (at > 0)
        r->path[at++] = '.';
    memcpy(r->path + at, key, len + 1);
    return (int)(at + len);
}

static int read_map(struct yaml_reader *r, size_t prefix, int depth);

static int read_value(struct yaml_reader *r, size_t prefix, int depth)
{
    yaml_event_t e;
    int code = next_event(r, &e);

    if (code < 0)
        return code;
    code = check_node(r, &e);
    if (code == 0) {
        if (e.type == YAML_SCALAR_EVENT) {
            const char *value = (const char *)e.data.scalar.value;

            if (strlen(value) != e.data.scalar.length)
                code = refuse(r, &e, "NUL in a value");
            else if (!is_null(&e))
                code = r->emit(r->arg, r->path, value, line_of(&e), r->err);
        } else if (e.type == YAML_SEQUENCE_START_EVENT) {
            code = read_list(r, line_of(&e));
        } else if (depth == DEPTH_MAX) {
            code = refuse(r, &e, "nested deeper than 16 levels");
        } else {
            CHECK(e.type == YAML_MAPPING_START_EVENT);
            code = read_map(r, prefix, depth + 1);
        }
    }
    yaml_event_delete(&e);
    return code;
}

/* After the start of a mapping, up to its end. */
static int read_map(struct yaml_reader *r, size_t prefix, int depth)
{
    for (;;) {
        yaml_event_t e;
        bool end;
        int code = next_event(r, &e);

        if (code < 0)
            return code;
        end = e.type == YAML_MAPPING_END_EVENT;
        if (!end) {
            code = check_node(r, &e);
            if (code == 0 && e.type != YAML_SCALAR_EVENT)
                code = refuse(r, &e, "a key must be a single word");
            if (code == 0)
                code = push_key(r, prefix, &e);
        }
        yaml_event_delete(&e);
        if (code < 0 || end)
            return code;
        code = read_value(r, (size_t)code, depth);
        if (code < 0)
            return code;
        r->path[prefix] = '\0';
    }
}

static int read_document(struct yaml_reader *r)
{
    bool seen = false;

    for (;;) {
        yaml_event_t e;
        yaml_event_type_t type;
        int code = next_event(r, &e);

        if (code < 0)
            return code;
        type = e.type;
        if (type == YAML_DOCUMENT_START_EVENT && seen)
            code = refuse(r, &e, "a second document (---) is not supported");
        else if (type == YAML_MAPPING_START_EVENT && (code = check_node(r, &e)) == 0)
            code = read_map(r, 0, 0);
        else if (type == YAML_SCALAR_EVENT && !is_null(&e))
            code = refuse(r, &e, "expected lines such as `key: value` (a space after the colon)");
        else if (type == YAML_SEQUENCE_START_EVENT || type == YAML_ALIAS_EVENT)
            code = refuse(r, &e, "expected `key: value`, not a list");
        seen = seen || type == YAML_DOCUMENT_START_EVENT;
        yaml_event_delete(&e);
        if (code < 0 || type == YAML_STREAM_END_EVENT)
            return code;
    }
}

int conf_yaml_parse(const char *name, const void *text, size_t len, conf_emit *emit, void *arg,
                    struct err *err)
{
    struct yaml_reader r = {.name = name, .emit = emit, .arg = arg, .err = err};
    const uint8_t *bytes = text;
    unsigned bad;
    int code;

    if (len > CONF_FILE_MAX)
        return err_set(err, ERR_LIMIT, "%s: larger than 1 MiB: this is no configuration", name);
    if (len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) {
        bytes += 3;
        len -= 3;
    }
    bad = find_bad_utf8(bytes, len);
    if (bad != 0)
        return err_set(err, ERR_INVALID, "%s:%u: not UTF-8 text; save the file as UTF-8", name,
                       bad);
    if (!yaml_parser_initialize(&r.parser))
        return err_set(err, ERR_NO_MEMORY, "%s: out of memory", name);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, bytes, len);
    bytes_init(&r.value);
    code = read_document(&r);
    bytes_release(&r.value);
    yaml_parser_delete(&r.parser);
    return code;
}
