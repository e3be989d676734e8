/*
 * json.c - the JSON parser.  The writer is in json_writer.c.
 *
 * Strict RFC 8259: UTF-8 is checked, duplicate keys, lone surrogates and trailing text are refused.
 * An integer that does not fit int64 becomes a double.  Recursion is bounded by DEPTH_MAX.
 */
#include "common/base/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/map.h"

#define DEPTH_MAX       64
#define NUMBER_TEXT_MAX 512
#define LINEAR_KEYS_MAX 8 /* beyond this many members duplicates are found by a map */

struct parser {
    struct arena *arena;
    const char *start, *at, *end;
    int depth;
    struct err *err;
};

static int value_parse(struct parser *p, struct json **ret);

static int fail_at(struct parser *p, const char *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int fail_at(struct parser *p, const char *at, const char *fmt, ...)
{
    const char *line_start = p->start;
    size_t line = 1;
    char text[256];
    va_list ap;

    for (const char *c = p->start; c < at; c++) {
        if (*c == '\n') {
            line++;
            line_start = c + 1;
        }
    }
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return err_set(p->err, ERR_INVALID, "JSON, line %zu, column %zu: %s", line,
                   (size_t)(at - line_start) + 1, text);
}

static int fail_unexpected(struct parser *p, const char *expected)
{
    if (p->at == p->end)
        return fail_at(p, p->at, "the text ends where %s is expected", expected);
    if (*p->at > ' ' && *p->at < 127)
        return fail_at(p, p->at, "'%c' where %s is expected", *p->at, expected);
    return fail_at(p, p->at, "byte 0x%02x where %s is expected", (unsigned char)*p->at, expected);
}

static void space_skip(struct parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r'))
        p->at++;
}

static bool char_accept(struct parser *p, char c)
{
    if (p->at == p->end || *p->at != c)
        return false;
    p->at++;
    return true;
}

/* Four hex digits at p->at; -1 if they are not there. */
static int hex4_parse(struct parser *p)
{
    int v = 0;

    if (p->end - p->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = *p->at++;

        if (c >= '0' && c <= '9')
            v = v << 4 | (c - '0');
        else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
            v = v << 4 | ((c | 0x20) - 'a' + 10);
        else
            return -1;
    }
    return v;
}

static char *utf8_put(char *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *out++ = (char)(0xe0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    } else {
        *out++ = (char)(0xf0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3f));
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    }
    return out;
}

/* After the backslash. At most three bytes per escape of six characters, four per pair of twelve.
 */
static int escape_parse(struct parser *p, char **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *backslash = p->at - 1, *found;
    int high, low;

    if (p->at == p->end)
        return fail_unexpected(p, "an escape");
    found = *p->at ? strchr(from, *p->at) : NULL;
    if (found) {
        *(*out)++ = to[found - from];
        p->at++;
        return 0;
    }
    if (!char_accept(p, 'u'))
        return fail_at(p, backslash,
                       "unknown escape; legal are \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
    high = hex4_parse(p);
    if (high < 0)
        return fail_at(p, backslash, "\\u needs four hex digits");
    if (high >= 0xdc00 && high <= 0xdfff)
        return fail_at(p, backslash, "low surrogate without a high one before it");
    if (high < 0xd800 || high > 0xdbff) {
        *out = utf8_put(*out, (uint32_t)high);
        return 0;
    }
    low = char_accept(p, '\\') && char_accept(p, 'u') ? hex4_parse(p) : -1;
    if (low < 0xdc00 || low > 0xdfff)
        return fail_at(p, backslash, "high surrogate without a low one after it");
    *out = utf8_put(*out, 0x10000u + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00));
    return 0;
}

/* After the opening quote. */
static int string_parse(struct parser *p, const char **ret_data, size_t *ret_len)
{
    const char *close = p->at;
    char *data, *out;

    /* The decoded form is never longer than the text; the closing quote gives the room for NUL. */
    while (close < p->end && *close != '"')
        close += *close == '\\' && close + 1 < p->end ? 2 : 1;
    if (close >= p->end)
        return fail_at(p, p->at - 1, "the string is not closed");
    out = data = arena_alloc(p->arena, (size_t)(close - p->at) + 1);
    while (!char_accept(p, '"')) {
        unsigned char c = (unsigned char)*p->at;

        if (c == '\\') {
            int rc;

            p->at++;
            rc = escape_parse(p, &out);
            if (rc)
                return rc;
        } else if (c < 0x20) {
            return fail_at(p, p->at, "control character 0x%02x in a string; write it as \\u%04x", c,
                           c);
        } else {
            size_t n = json_utf8_length(p->at, (size_t)(p->end - p->at));

            if (n == 0)
                return fail_at(p, p->at, "byte 0x%02x is not UTF-8", c);
            memcpy(out, p->at, n);
            out += n;
            p->at += n;
        }
    }
    *ret_data = data;
    *ret_len = (size_t)(out - data);
    return 0;
}

static void digits_skip(struct parser *p)
{
    while (p->at < p->end && *p->at >= '0' && *p->at <= '9')
        p->at++;
}

/* Checks the grammar; tells whether it has a fraction or an exponent. */
static int number_scan(struct parser *p, bool *ret_integral)
{
    const char *digits;

    *ret_integral = true;
    char_accept(p, '-');
    digits = p->at;
    digits_skip(p);
    if (p->at == digits)
        return fail_unexpected(p, "a digit");
    if (*digits == '0' && p->at - digits > 1)
        return fail_at(p, digits, "a number does not begin with 0 followed by digits");
    if (char_accept(p, '.')) {
        *ret_integral = false;
        digits = p->at;
        digits_skip(p);
        if (p->at == digits)
            return fail_unexpected(p, "a digit");
    }
    if (char_accept(p, 'e') || char_accept(p, 'E')) {
        *ret_integral = false;
        if (!char_accept(p, '+'))
            char_accept(p, '-');
        digits = p->at;
        digits_skip(p);
        if (p->at == digits)
            return fail_unexpected(p, "a digit");
    }
    return 0;
}

static int number_parse(struct parser *p, struct json *v)
{
    const char *start = p->at;
    char text[NUMBER_TEXT_MAX];
    bool integral;
    int rc = number_scan(p, &integral);

    if (rc)
        return rc;
    if ((size_t)(p->at - start) >= sizeof(text))
        return fail_at(p, start, "the number is longer than %zu characters", sizeof(text) - 1);
    memcpy(text, start, (size_t)(p->at - start));
    text[p->at - start] = 0;
    if (integral) {
        errno = 0;
        v->type = JSON_INT;
        v->u.integer = strtoll(text, NULL, 10);
        if (errno == 0)
            return 0;
    }
    v->type = JSON_DOUBLE;
    v->u.number = strtod(text, NULL);
    if (!isfinite(v->u.number))
        return fail_at(p, start, "the number does not fit a double");
    return 0;
}

static int word_parse(struct parser *p, struct json *v)
{
    size_t left = (size_t)(p->end - p->at);

    if (left >= 4 && memcmp(p->at, "true", 4) == 0) {
        v->type = JSON_BOOL;
        v->u.boolean = true;
        p->at += 4;
    } else if (left >= 5 && memcmp(p->at, "false", 5) == 0) {
        v->type = JSON_BOOL;
        p->at += 5;
    } else if (left >= 4 && memcmp(p->at, "null", 4) == 0) {
        p->at += 4;
    } else {
        return fail_unexpected(p, "a value");
    }
    return 0;
}

static int array_parse(struct parser *p, struct json *v)
{
    struct json **tail = &v->u.children.first;

    v->type = JSON_ARRAY;
    space_skip(p);
    if (char_accept(p, ']'))
        return 0;
    for (;;) {
        int rc = value_parse(p, tail);

        if (rc)
            return rc;
        v->u.children.count++;
        tail = &(*tail)->next;
        space_skip(p);
        if (char_accept(p, ']'))
            return 0;
        if (!char_accept(p, ','))
            return fail_unexpected(p, "',' or ']'");
    }
}

/* *seen is made on the first need; its owner frees it. */
static bool key_is_new(const struct json *object, const char *key, size_t len, struct map **seen)
{
    if (object->u.children.count < LINEAR_KEYS_MAX)
        return json_get(object, key) == NULL;
    if (!*seen) {
        *seen = map_new();
        for (struct json *c = object->u.children.first; c; c = c->next)
            map_put_str(*seen, c->key, c);
    }
    return map_put(*seen, key, len, *seen) == NULL; /* any value that is not NULL does */
}

static int member_parse(struct parser *p, struct json *object, struct json **tail,
                        struct map **seen)
{
    const char *key, *start;
    size_t len;
    int rc;

    space_skip(p);
    start = p->at;
    if (!char_accept(p, '"'))
        return fail_unexpected(p, "a key in quotes");
    rc = string_parse(p, &key, &len);
    if (rc)
        return rc;
    if (strlen(key) != len)
        return fail_at(p, start, "a key with \\u0000 in it");
    if (!key_is_new(object, key, len, seen))
        return fail_at(p, start, "the key \"%.100s\" stands twice in one object", key);
    space_skip(p);
    if (!char_accept(p, ':'))
        return fail_unexpected(p, "':'");
    rc = value_parse(p, tail);
    if (rc)
        return rc;
    (*tail)->key = key;
    object->u.children.count++;
    return 0;
}

static int object_parse(struct parser *p, struct json *v)
{
    struct json **tail = &v->u.children.first;
    struct map *seen = NULL;
    int rc = 0;

    v->type = JSON_OBJECT;
    space_skip(p);
    if (char_accept(p, '}'))
        return 0;
    for (;;) {
        rc = member_parse(p, v, tail, &seen);
        if (rc)
            break;
        tail = &(*tail)->next;
        space_skip(p);
        if (char_accept(p, '}'))
            break;
        if (!char_accept(p, ',')) {
            rc = fail_unexpected(p, "',' or '}'");
            break;
        }
    }
    map_free(seen);
    return rc;
}

static int value_parse(struct parser *p, struct json **ret)
{
    struct json *v = arena_alloc(p->arena, sizeof(*v));
    int rc;

    space_skip(p);
    if (p->at == p->end)
        return fail_unexpected(p, "a value");
    if (*p->at == '{' || *p->at == '[') {
        bool is_object = *p->at == '{';

        if (p->depth == DEPTH_MAX)
            return fail_at(p, p->at, "nested deeper than %d", DEPTH_MAX);
        p->depth++;
        p->at++;
        rc = is_object ? object_parse(p, v) : array_parse(p, v);
        p->depth--;
    } else if (char_accept(p, '"')) {
        v->type = JSON_STRING;
        rc = string_parse(p, &v->u.string.data, &v->u.string.len);
    } else if (*p->at == '-' || (*p->at >= '0' && *p->at <= '9')) {
        rc = number_parse(p, v);
    } else {
        rc = word_parse(p, v);
    }
    *ret = v;
    return rc;
}

int json_parse(struct arena *arena, const char *text, size_t len, struct json **ret,
               struct err *err)
{
    struct parser p = {.arena = arena, .start = text, .at = text, .end = text + len, .err = err};
    struct json *root;
    int rc;

    rc = value_parse(&p, &root);
    if (rc)
        return rc;
    space_skip(&p);
    if (p.at != p.end)
        return fail_unexpected(&p, "the end");
    *ret = root;
    return 0;
}

const struct json *json_get(const struct json *object, const char *key)
{
    if (!object || object->type != JSON_OBJECT)
        return NULL;
    for (const struct json *c = object->u.children.first; c; c = c->next) {
        if (strcmp(c->key, key) == 0)
            return c;
    }
    return NULL;
}

const char *json_get_string(const struct json *object, const char *key, const char *otherwise)
{
    const struct json *v = json_get(object, key);

    return v && v->type == JSON_STRING ? v->u.string.data : otherwise;
}

int64_t json_get_int(const struct json *object, const char *key, int64_t otherwise)
{
    const struct json *v = json_get(object, key);

    return v && v->type == JSON_INT ? v->u.integer : otherwise;
}

bool json_get_bool(const struct json *object, const char *key, bool otherwise)
{
    const struct json *v = json_get(object, key);

    return v && v->type == JSON_BOOL ? v->u.boolean : otherwise;
}
