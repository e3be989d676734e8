/*
 * json_writer.c - the JSON writer.  Wrong nesting is a bug of the caller and fails a CHECK;
 * strings from anywhere are legal: bytes that are not UTF-8 become U+FFFD.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/json.h"

size_t json_utf8_length(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    uint32_t c, least;
    size_t n;

    if (len == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc0 && s[0] < 0xe0) {
        n = 2, least = 0x80, c = s[0] & 0x1f;
    } else if (s[0] >= 0xe0 && s[0] < 0xf0) {
        n = 3, least = 0x800, c = s[0] & 0x0f;
    } else if (s[0] >= 0xf0 && s[0] < 0xf8) {
        n = 4, least = 0x10000, c = s[0] & 0x07;
    } else {
        return 0;
    }
    if (len < n)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    return n;
}

static void string_write(struct bytes *out, const char *s, size_t len)
{
    static const char escapes[] = "btn?fr"; /* of 8 .. 13 */
    size_t i = 0;

    bytes_add(out, "\"", 1);
    while (i < len) {
        size_t plain = i, n;
        unsigned char c;

        while (plain < len && s[plain] >= 0x20 && s[plain] != '"' && s[plain] != '\\')
            plain++;
        bytes_add(out, s + i, plain - i);
        i = plain;
        if (i == len)
            break;
        c = (unsigned char)s[i];
        n = 1;
        if (c == '"' || c == '\\') {
            bytes_printf(out, "\\%c", c);
        } else if (c < 0x20) {
            if (c >= 8 && c <= 13 && c != 11)
                bytes_printf(out, "\\%c", escapes[c - 8]);
            else
                bytes_printf(out, "\\u%04x", c);
        } else {
            n = json_utf8_length(s + i, len - i);
            if (n)
                bytes_add(out, s + i, n);
            else
                bytes_add_str(out, "\xef\xbf\xbd");
            n = MAX(n, (size_t)1);
        }
        i += n;
    }
    bytes_add(out, "\"", 1);
}

static void line_break(struct json_writer *w)
{
    if (!w->pretty)
        return;
    bytes_add(w->out, "\n", 1);
    for (int i = 0; i < w->depth; i++)
        bytes_add(w->out, "  ", 2);
}

/* Comma, line break and key before a value. At depth 0 there is one value without a key. */
static void value_begin(struct json_writer *w, const char *key)
{
    if (w->depth == 0) {
        CHECK(!key && !w->has_member[0]);
    } else {
        CHECK((key == NULL) == w->is_array[w->depth]);
        if (w->has_member[w->depth])
            bytes_add(w->out, ",", 1);
        line_break(w);
    }
    w->has_member[w->depth] = true;
    if (key) {
        string_write(w->out, key, strlen(key));
        bytes_add(w->out, ": ", w->pretty ? 2 : 1);
    }
}

static void container_begin(struct json_writer *w, const char *key, bool is_array)
{
    value_begin(w, key);
    CHECK(w->depth + 1u < ARRAY_LEN(w->has_member));
    bytes_add(w->out, is_array ? "[" : "{", 1);
    w->depth++;
    w->has_member[w->depth] = false;
    w->is_array[w->depth] = is_array;
}

static void container_end(struct json_writer *w, bool is_array)
{
    bool had_member = w->has_member[w->depth];

    CHECK(w->depth > 0 && w->is_array[w->depth] == is_array);
    w->depth--;
    if (had_member)
        line_break(w);
    bytes_add(w->out, is_array ? "]" : "}", 1);
}

void jw_init(struct json_writer *w, struct bytes *out)
{
    *w = (struct json_writer){.out = out};
}

void jw_object(struct json_writer *w, const char *key)
{
    container_begin(w, key, false);
}

void jw_object_end(struct json_writer *w)
{
    container_end(w, false);
}

void jw_array(struct json_writer *w, const char *key)
{
    container_begin(w, key, true);
}

void jw_array_end(struct json_writer *w)
{
    container_end(w, true);
}

void jw_raw(struct json_writer *w, const char *key, const char *json)
{
    value_begin(w, key);
    bytes_add(w->out, json, strlen(json));
}

void jw_string_n(struct json_writer *w, const char *key, const char *value, size_t len)
{
    value_begin(w, key);
    string_write(w->out, value, len);
}

void jw_string(struct json_writer *w, const char *key, const char *value)
{
    if (value)
        jw_string_n(w, key, value, strlen(value));
    else
        jw_null(w, key);
}

void jw_int(struct json_writer *w, const char *key, int64_t value)
{
    value_begin(w, key);
    bytes_printf(w->out, "%lld", (long long)value);
}

/* The shortest of 15, 16, 17 digits that reads back the same, recognisable as a double. */
void jw_double(struct json_writer *w, const char *key, double value)
{
    char text[40];

    if (!isfinite(value)) {
        jw_string(w, key, isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
        return;
    }
    value_begin(w, key);
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    bytes_add_str(w->out, text);
    if (!strpbrk(text, ".e"))
        bytes_add_str(w->out, ".0");
}

void jw_bool(struct json_writer *w, const char *key, bool value)
{
    value_begin(w, key);
    bytes_add_str(w->out, value ? "true" : "false");
}

void jw_null(struct json_writer *w, const char *key)
{
    value_begin(w, key);
    bytes_add_str(w->out, "null");
}
