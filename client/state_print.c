/* state_print.c - `rask state get`: images and deltas put together, and printed as rows. */
#include <inttypes.h>
#include <rask/operator.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/state.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/ckpt/ckpt_cover.h"
#include "common/ckpt/ckpt_entry.h"
#include "common/types/key_bytes.h"
#include "common/types/packed_struct.h"

struct found { /* the last version of an entry */
    rask_bytes id; /* key bytes, then the part, big-endian: parts of a key stand together and in order */
    struct ckpt_entry entry;
};

struct form { /* rows of one schema, one after the other */
    const rask_schema *schema; /* NULL: bytes that nobody can read */
    struct packed_layout layout;
    rask_out *out; /* NULL: made with the next row */
};
struct printer {
    const struct cli_state *from;
    const struct ckpt_operator *op;
    const struct ckpt_state *state;
    const char *wanted; /* NULL: all keys */
    struct map *entries; /* id -> struct found, in the arena */
    struct arena arena;
    struct pool *pool;
    struct form key_form, map_key_form, value_form;
    struct bytes text, key;
};

static void keep(struct printer *p, const struct ckpt_entry *e)
{
    struct found *f;
    uint32_t part = __builtin_bswap32(e->part);
    char *id = arena_alloc(&p->arena, e->key_len + sizeof(part));

    memcpy(id, e->key, e->key_len);
    memcpy(id + e->key_len, &part, sizeof(part));
    f = map_get(p->entries, id, e->key_len + sizeof(part));
    if (!f) {
        f = arena_alloc(&p->arena, sizeof(*f));
        map_put(p->entries, id, e->key_len + sizeof(part), f);
    }
    f->id = (rask_bytes){id, (uint32_t)(e->key_len + sizeof(part))};
    f->entry = *e;
    f->entry.key = (const uint8_t *)id;
    f->entry.value = arena_dup(&p->arena, e->value, e->value_len);
}

static int read_section(struct printer *p, const struct ckpt_section *s, struct ckpt_cover *cover, struct err *err)
{
    struct bytes room, payload;
    struct reader r;
    int rc;

    bytes_init(&room);
    bytes_init(&payload);
    rc = cli_state_section(p->from, s, &room, &payload, err);
    if (s->kind == CKPT_IMAGE)
        ckpt_cover_fill(cover, s->hash_first, s->hash_last, s->to);
    r = reader_of(payload.data, payload.len);
    while (rc == 0 && reader_left(&r) > 0) {
        struct ckpt_entry e;
        uint64_t covered;

        rc = ckpt_entry_take(&r, &e, s->state, err);
        if (rc != 0)
            break;
        covered = ckpt_cover_at(cover, (uint32_t)(hash_xxh3(e.key, e.key_len) >> 32));
        if (s->kind == CKPT_IMAGE ? covered == s->to : s->to > covered)
            keep(p, &e);
    }
    bytes_release(&room);
    bytes_release(&payload);
    return rc;
}

static int by_id(const void *a, const void *b)
{
    const struct found *x = *(const struct found *const *)a, *y = *(const struct found *const *)b;
    int rc = memcmp(x->id.data, y->id.data, MIN(x->id.len, y->id.len));

    return rc ? rc : x->id.len < y->id.len ? -1 : x->id.len > y->id.len;
}

/* ---- rows as text ---- */

static int never_full(rask_out *out, void *arg)
{
    (void)out;
    (void)arg;
    return 0;
}
static int refused(rask_out *out, void *arg, const char *text)
{
    (void)out;
    (void)arg;
    (void)text;
    return ERR_CORRUPT;
}
static const struct out_hooks hooks = {.full = never_full, .refused = refused};

static void add_hex(struct bytes *to, const void *data, size_t len)
{
    bytes_add_str(to, "0x");
    for (size_t i = 0; i < len; i++)
        bytes_printf(to, "%02x", ((const uint8_t *)data)[i]);
}

static void form_init(struct form *f, const rask_schema *schema)
{
    f->schema = schema;
    if (schema)
        packed_layout_of(schema, &f->layout);
}

/* The row that was emitted, or bytes that nobody can read. */
static void add_row(struct form *f, bool emitted, const void *data, size_t len, struct bytes *to)
{
    rask_batch *b = emitted ? out_take(f->out) : NULL;

    if (b) {
        batch_format_row(b, 0, SIZE_MAX, to);
        batch_unref(b);
        return;
    }
    add_hex(to, data, len);
    if (f->out)
        rask_out_drop(f->out); /* half of a row may be in it */
}

static rask_out *out_of(struct printer *p, struct form *f)
{
    if (!f->out && f->schema)
        f->out = out_new(p->pool, f->schema, 0, &hooks, NULL);
    return f->out;
}

static void add_key(struct printer *p, struct form *f, rask_bytes key, struct bytes *to)
{
    rask_out *out = out_of(p, f);

    add_row(f, out && key_bytes_emit(f->schema, key, out), key.data, key.len, to);
}

static void add_packed(struct printer *p, struct form *f, const uint8_t *data, size_t len, struct bytes *to)
{
    rask_out *out = out_of(p, f);
    struct packed_row row;
    struct bytes full;

    if (!out) {
        add_hex(to, data, len);
        return;
    }
    bytes_init(&full);
    if (packed_is_slots(f->schema))
        bytes_add_u64(&full, 0);
    bytes_add(&full, data, len);
    add_row(f, packed_row_open(&f->layout, full.data, full.len, &row, NULL) == 0 && packed_row_emit(&row, out) == 0, data, len, to);
    bytes_release(&full);
}

static void end_line(struct printer *p)
{
    bytes_add_str(&p->text, "\n");
    fwrite(p->text.data, 1, p->text.len, stdout);
    bytes_clear(&p->text);
}

static void begin_line(struct printer *p)
{
    bytes_clear(&p->text);
    bytes_add(&p->text, p->key.data, p->key.len);
    bytes_add_str(&p->text, p->key.len ? ": " : "");
}

/* Elements of a part of a list or map: docs/file-formats.md. */
static void print_elements(struct printer *p, const struct ckpt_entry *e)
{
    struct reader r = reader_of(e->value, e->value_len);
    bool map = p->state->kind == RASK_MAP;

    if (e->part == 0)
        (void)reader_u64(&r);
    while (reader_left(&r) > 0) {
        const uint8_t *key, *value;
        uint32_t key_len, len;

        if (p->state->ttl_ms > 0)
            (void)reader_u64(&r);
        key_len = map ? reader_u32(&r) : 0;
        len = reader_u32(&r);
        key = reader_take(&r, key_len);
        value = reader_take(&r, len);
        if (r.bad)
            return;
        begin_line(p);
        if (map) {
            add_packed(p, &p->map_key_form, key, key_len, &p->text);
            bytes_add_str(&p->text, ": ");
        }
        add_packed(p, &p->value_form, value, len, &p->text);
        end_line(p);
    }
}

static void print_entry(struct printer *p, const struct ckpt_entry *e)
{
    bytes_clear(&p->key);
    if (p->state->kind == RASK_BROADCAST)
        add_packed(p, &p->map_key_form, e->key, e->key_len, &p->key);
    else if (p->state->kind < RASK_OPERATOR_LIST)
        add_key(p, &p->key_form, (rask_bytes){(const char *)e->key, e->key_len}, &p->key);
    if (p->wanted && (!p->key.data || strcmp((const char *)p->key.data, p->wanted) != 0))
        return;
    if (p->state->kind == RASK_LIST || p->state->kind == RASK_MAP) {
        print_elements(p, e);
        return;
    }
    begin_line(p);
    add_packed(p, &p->value_form, e->value, e->value_len, &p->text);
    end_line(p);
}

static int print_keyed(struct printer *p, struct err *err)
{
    const struct ckpt_section **plan;
    uint32_t n = ckpt_plan(p->from->meta, p->op->id, 0, UINT32_MAX, &p->arena, &plan);
    struct ckpt_cover cover = {0};
    struct found **sorted;
    size_t count = 0;
    int rc = 0;

    for (uint32_t i = 0; i < n && rc == 0; i++)
        if (plan[i]->kind == CKPT_TABLE && plan[i]->raw_bytes > 0)
            rc = err_set(err, ERR_UNSUPPORTED, "state \"%s\" is in tables of LevelDB, which only a job reads: look at a savepoint of it",
                         p->state->name);
        else if (strcmp(plan[i]->state, p->state->name) == 0)
            rc = read_section(p, plan[i], &cover, err);
    ckpt_cover_release(&cover);
    sorted = mem_alloc_array(map_size(p->entries) + 1, sizeof(struct found *));
    for (struct map_iter it = map_iter(p->entries); map_next(&it);)
        sorted[count++] = it.value;
    qsort(sorted, count, sizeof(*sorted), by_id);
    for (size_t i = 0; i < count && rc == 0; i++)
        if (!sorted[i]->entry.deleted)
            print_entry(p, &sorted[i]->entry);
    mem_free(sorted);
    return rc;
}

static int print_operator_state(struct printer *p, struct err *err)
{
    struct bytes room, payload;
    int rc = 0;

    bytes_init(&room);
    bytes_init(&payload);
    for (uint32_t i = 0; i < p->from->meta->section_count && rc == 0; i++) {
        const struct ckpt_section *s = &p->from->meta->sections[i];
        struct reader r;

        if (strcmp(s->state, p->state->name) != 0 || memcmp(s->operator_id, p->op->id, CKPT_OPERATOR_ID_BYTES) != 0)
            continue;
        rc = cli_state_section(p->from, s, &room, &payload, err);
        r = reader_of(payload.data, payload.len);
        while (rc == 0 && reader_left(&r) > 0) {
            struct ckpt_entry e;

            rc = ckpt_entry_take(&r, &e, s->state, err);
            if (rc == 0)
                print_entry(p, &e);
        }
        if (p->state->kind == RASK_BROADCAST)
            break; /* the same in each */
    }
    bytes_release(&room);
    bytes_release(&payload);
    return rc;
}

int cli_state_print(const struct cli_state *s, const struct ckpt_operator *op, const struct ckpt_state *state, const char *key,
                    struct err *err)
{
    struct printer p = {.from = s, .op = op, .state = state, .wanted = key, .entries = map_new(), .pool = pool_new(0)};
    int rc;

    arena_init(&p.arena);
    bytes_init(&p.text);
    bytes_init(&p.key);
    form_init(&p.key_form, state->key);
    form_init(&p.map_key_form, state->map_key);
    form_init(&p.value_form, state->value);
    rc = state->kind < RASK_OPERATOR_LIST ? print_keyed(&p, err) : print_operator_state(&p, err);
    out_free(p.key_form.out);
    out_free(p.map_key_form.out);
    out_free(p.value_form.out);
    map_free(p.entries);
    arena_release(&p.arena);
    bytes_release(&p.text);
    bytes_release(&p.key);
    pool_free(p.pool);
    return rc;
}
