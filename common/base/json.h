/*
 * json.h - a small strict JSON document (RFC 8259) and a writer.  Exact int64.
 *
 * The document lives in an arena.  Depth is limited to 64, so no recursion can be driven by input.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/mem.h"

enum json_type { JSON_NULL, JSON_BOOL, JSON_INT, JSON_DOUBLE, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
    enum json_type type;
    const char *key;   /* of an object's member, else NULL */
    struct json *next; /* sibling */
    union {
        bool boolean;
        int64_t integer;
        double number;
        struct {
            const char *data; /* NUL-terminated too */
            size_t len;
        } string;
        struct {
            struct json *first;
            size_t count;
        } children; /* array and object */
    } u;
};
/* Error text names line and column. Duplicate keys are refused. */
int json_parse(struct arena *arena, const char *text, size_t len, struct json **ret, struct err *err)
    MUST_CHECK;
/* Members; NULL when absent or when the type differs. */
const struct json *json_get(const struct json *object, const char *key);
const char *json_get_string(const struct json *object, const char *key, const char *otherwise);
int64_t json_get_int(const struct json *object, const char *key, int64_t otherwise);
bool json_get_bool(const struct json *object, const char *key, bool otherwise);

/* Length in bytes of the UTF-8 character at text, or 0 if there is none (overlong forms and surrogates included). */
size_t json_utf8_length(const char *text, size_t len);

/* The writer puts commas and quotes; nesting is checked. key is NULL inside arrays. */
struct json_writer {
    struct bytes *out; /* borrowed */
    uint8_t depth;
    bool has_member[65], is_array[65]; /* by depth */
    bool pretty; /* two-space indentation */
};
void jw_init(struct json_writer *w, struct bytes *out);
void jw_object(struct json_writer *w, const char *key);
void jw_object_end(struct json_writer *w);
void jw_array(struct json_writer *w, const char *key);
void jw_array_end(struct json_writer *w);
void jw_string(struct json_writer *w, const char *key, const char *value); /* NULL writes null */
void jw_string_n(struct json_writer *w, const char *key, const char *value, size_t len);
void jw_int(struct json_writer *w, const char *key, int64_t value);
void jw_double(struct json_writer *w, const char *key, double value); /* NaN, infinity: "NaN" as Flink */
void jw_bool(struct json_writer *w, const char *key, bool value);
void jw_null(struct json_writer *w, const char *key);
void jw_raw(struct json_writer *w, const char *key, const char *json); /* a value that is JSON already, written as it is */

#endif
