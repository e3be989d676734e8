/* fuzz_json.c - the JSON parser on any bytes; what it accepts is written and read back. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_value(struct json_writer *w, const struct json *v)
{
    switch (v->type) {
    case JSON_NULL:
        jw_null(w, v->key);
        break;
    case JSON_BOOL:
        jw_bool(w, v->key, v->u.boolean);
        break;
    case JSON_INT:
        jw_int(w, v->key, v->u.integer);
        break;
    case JSON_DOUBLE:
        jw_double(w, v->key, v->u.number);
        break;
    case JSON_STRING:
        jw_string_n(w, v->key, v->u.string.data, v->u.string.len);
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        if (v->type == JSON_ARRAY)
            jw_array(w, v->key);
        else
            jw_object(w, v->key);
        for (const struct json *c = v->u.children.first; c; c = c->next)
            write_value(w, c);
        if (v->type == JSON_ARRAY)
            jw_array_end(w);
        else
            jw_object_end(w);
        break;
    }
}

static void write_document(struct bytes *out, const struct json *v)
{
    struct json_writer w;

    jw_init(&w, out);
    write_value(&w, v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct json *root;
    struct err err;

    arena_init(&arena);
    if (json_parse(&arena, (const char *)data, size, &root, &err) == 0) {
        struct bytes first, second;

        bytes_init(&first);
        bytes_init(&second);
        write_document(&first, root);
        CHECK(json_parse(&arena, (char *)first.data, first.len, &root, &err) == 0);
        write_document(&second, root);
        CHECK(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
        bytes_release(&first);
        bytes_release(&second);
    } else {
        CHECK(err.code == ERR_INVALID && strlen(err.text) > 0);
    }
    arena_release(&arena);
    return 0;
}
