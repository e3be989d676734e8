/* ckpt_meta.c - building a checkpoint's description and finding things in it. Thread: any, one at a time per object. */
#include "common/ckpt/ckpt_meta.h"

#include <rask/operator.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"

struct ckpt_meta *ckpt_meta_new(void)
{
    struct ckpt_meta *m = MEM_NEW(struct ckpt_meta);

    arena_init(&m->arena);
    m->kind = CKPT_CHECKPOINT;
    m->job_name = m->version = "";
    m->file_of = map_new();
    return m;
}

void ckpt_meta_free(struct ckpt_meta *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; i < m->operator_count; i++)
        mem_free(m->operators[i].states);
    mem_free(m->operators);
    mem_free(m->files);
    mem_free(m->sections);
    map_free(m->file_of);
    arena_release(&m->arena);
    mem_free(m);
}

/* Room for one more of `size` bytes each. */
static void *grow(void *items, uint32_t count, uint32_t *room, size_t size)
{
    if (count < *room)
        return items;
    *room = MAX(*room * 2, 8u);
    return mem_realloc(items, *room * size);
}

int ckpt_meta_find_operator(const struct ckpt_meta *m, const uint8_t id[CKPT_OPERATOR_ID_BYTES])
{
    for (uint32_t i = 0; i < m->operator_count; i++)
        if (memcmp(m->operators[i].id, id, CKPT_OPERATOR_ID_BYTES) == 0)
            return (int)i;
    return -1;
}

int ckpt_meta_find_state(const struct ckpt_operator *op, const char *name)
{
    for (uint32_t i = 0; i < op->state_count; i++)
        if (strcmp(op->states[i].name, name) == 0)
            return (int)i;
    return -1;
}

uint32_t ckpt_meta_operator(struct ckpt_meta *m, const struct ckpt_operator *like)
{
    int there = ckpt_meta_find_operator(m, like->id);
    struct ckpt_operator *op;

    if (there >= 0)
        return (uint32_t)there;
    m->operators = grow(m->operators, m->operator_count, &m->operator_room, sizeof(*m->operators));
    op = &m->operators[m->operator_count];
    *op = (struct ckpt_operator){.parallelism = like->parallelism, .max_parallelism = like->max_parallelism};
    memcpy(op->id, like->id, sizeof(op->id));
    op->uid = arena_strdup(&m->arena, like->uid ? like->uid : "");
    op->name = arena_strdup(&m->arena, like->name ? like->name : "");
    return m->operator_count++;
}

static bool same_schema(const rask_schema *a, const rask_schema *b)
{
    return a && b ? schema_equal(a, b) : a == b;
}

/* An older version did not say of which row the engine's own are. */
static bool same_map_key(const struct ckpt_state *a, const struct ckpt_state *b)
{
    return same_schema(a->map_key, b->map_key) || (a->kind != RASK_MAP && (!a->map_key || !b->map_key));
}

static void add_schema(struct bytes *out, const char *what, const rask_schema *schema)
{
    if (!schema)
        return;
    bytes_printf(out, ", %s (", what);
    schema_format(schema, out);
    bytes_add_str(out, ")");
}

/* "value state, key (...), value (...)" */
static void describe(const struct ckpt_state *s, struct bytes *out)
{
    bytes_add_str(out, ckpt_state_kind_name(s->kind));
    add_schema(out, "key", s->key);
    add_schema(out, ckpt_map_key_name(s->kind), s->map_key);
    add_schema(out, "value", s->value);
}

static int differs(const struct ckpt_operator *op, const struct ckpt_state *has, const struct ckpt_state *other, struct err *err)
{
    struct bytes text;
    int rc;

    bytes_init(&text);
    describe(has, &text);
    bytes_add_str(&text, " and as ");
    describe(other, &text);
    rc = err_set(err, ERR_INVALID, "operator \"%s\": state \"%s\" is declared as %s", op->name, has->name, (const char *)text.data);
    bytes_release(&text);
    return rc;
}

static const rask_schema *copy_schema(struct ckpt_meta *m, const rask_schema *schema)
{
    return schema ? schema_copy(&m->arena, schema) : NULL;
}

int ckpt_meta_state(struct ckpt_meta *m, uint32_t op_number, const struct ckpt_state *like, struct err *err)
{
    struct ckpt_operator *op = &m->operators[op_number];
    int there = ckpt_meta_find_state(op, like->name);
    struct ckpt_state *s;

    CHECK(op_number < m->operator_count);
    if (there >= 0) {
        s = &op->states[there];
        if (s->kind == like->kind && same_schema(s->key, like->key) && same_map_key(s, like) && same_schema(s->value, like->value))
            return 0;
        return differs(op, s, like, err);
    }
    op->states = mem_realloc(op->states, (op->state_count + 1) * sizeof(*op->states));
    s = &op->states[op->state_count++];
    *s = (struct ckpt_state){.kind = like->kind, .ttl_ms = like->ttl_ms};
    s->name = arena_strdup(&m->arena, like->name);
    s->key = copy_schema(m, like->key);
    s->map_key = copy_schema(m, like->map_key);
    s->value = copy_schema(m, like->value);
    return 0;
}

uint32_t ckpt_meta_file(struct ckpt_meta *m, const char *path, uint64_t size, uint32_t crc)
{
    uintptr_t there = (uintptr_t)map_get_str(m->file_of, path);
    struct ckpt_file *f;

    if (there)
        return (uint32_t)there - 1;
    m->files = grow(m->files, m->file_count, &m->file_room, sizeof(*m->files));
    f = &m->files[m->file_count++];
    *f = (struct ckpt_file){arena_strdup(&m->arena, path), size, crc};
    map_put_str(m->file_of, path, (void *)(uintptr_t)m->file_count);
    return m->file_count - 1;
}

void ckpt_meta_add(struct ckpt_meta *m, const struct ckpt_section *section)
{
    int op = ckpt_meta_find_operator(m, section->operator_id);
    struct ckpt_section *s;

    CHECK(op >= 0 && section->state);
    CHECK(section->file == CKPT_NO_FILE || section->file < m->file_count);
    m->sections = grow(m->sections, m->section_count, &m->section_room, sizeof(*m->sections));
    s = &m->sections[m->section_count++];
    *s = *section;
    if (section->state[0]) {
        int state = ckpt_meta_find_state(&m->operators[op], section->state);

        CHECK(state >= 0);
        s->state = m->operators[op].states[state].name;
    } else {
        s->state = "";
    }
    s->data = (rask_bytes){NULL, 0};
    if (section->file == CKPT_NO_FILE)
        s->data = (rask_bytes){arena_dup(&m->arena, section->data.data, section->data.len), section->data.len};
}

int ckpt_meta_merge(struct ckpt_meta *m, const struct ckpt_meta *part, struct err *err)
{
    uint32_t *files = mem_alloc_array(part->file_count + 1, sizeof(*files));
    int rc = 0;

    for (uint32_t i = 0; i < part->operator_count && rc == 0; i++) {
        uint32_t op = ckpt_meta_operator(m, &part->operators[i]);

        for (uint32_t k = 0; k < part->operators[i].state_count && rc == 0; k++)
            rc = ckpt_meta_state(m, op, &part->operators[i].states[k], err);
    }
    for (uint32_t i = 0; i < part->file_count; i++)
        files[i] = ckpt_meta_file(m, part->files[i].path, part->files[i].size, part->files[i].crc);
    for (uint32_t i = 0; i < part->section_count && rc == 0; i++) {
        struct ckpt_section s = part->sections[i];

        if (s.file != CKPT_NO_FILE)
            s.file = files[s.file];
        ckpt_meta_add(m, &s);
    }
    mem_free(files);
    return rc;
}

const char *ckpt_kind_name(enum ckpt_section_kind kind)
{
    static const char *const names[CKPT_SECTION_KINDS] = {
        [CKPT_DELTA] = "delta", [CKPT_IMAGE] = "image", [CKPT_LIST] = "list",
        [CKPT_UNION] = "union", [CKPT_BROADCAST] = "broadcast", [CKPT_INFLIGHT] = "in flight",
        [CKPT_TABLE] = "table"};

    return kind > 0 && kind < CKPT_SECTION_KINDS ? names[kind] : "?";
}

const char *ckpt_map_key_name(uint32_t state_kind)
{
    return state_kind == RASK_MAP ? "map key" : "row";
}

const char *ckpt_state_kind_name(uint32_t kind)
{
    static const char *const names[] = {
        [RASK_VALUE] = "value state", [RASK_LIST] = "list state", [RASK_MAP] = "map state",
        [RASK_REDUCING] = "reducing state", [RASK_AGGREGATING] = "aggregating state", [RASK_OPERATOR_LIST] = "operator list",
        [RASK_OPERATOR_UNION] = "union list", [RASK_BROADCAST] = "broadcast state"};

    return kind >= RASK_VALUE && kind < ARRAY_LEN(names) ? names[kind] : "?";
}

uint32_t ckpt_edge(const uint8_t source[CKPT_OPERATOR_ID_BYTES], int32_t side, uint32_t input)
{
    uint32_t parts[2] = {(uint32_t)side, input};

    return hash_crc32c(hash_crc32c(0, source, CKPT_OPERATOR_ID_BYTES), parts, sizeof(parts));
}

uint64_t ckpt_meta_bytes(const struct ckpt_meta *m, uint64_t *ret_own)
{
    uint64_t all = 0, own = 0;

    for (uint32_t i = 0; i < m->file_count; i++) {
        const char *path = m->files[i].path;

        all += m->files[i].size;
        if (path[0] != '/' && strncmp(path, "../", 3) != 0 && !strstr(path, ":/"))
            own += m->files[i].size;
    }
    for (uint32_t i = 0; i < m->section_count; i++)
        if (m->sections[i].file == CKPT_NO_FILE) {
            all += m->sections[i].stored_bytes;
            own += m->sections[i].stored_bytes;
        }
    if (ret_own)
        *ret_own = own;
    return all;
}

void ckpt_hash_range(uint32_t subtask, uint32_t parallelism, uint32_t max_parallelism, uint32_t *ret_first, uint32_t *ret_last)
{
    /* groups g with g * parallelism / max_parallelism == subtask */
    uint32_t first = (uint32_t)(((uint64_t)subtask * max_parallelism + parallelism - 1) / parallelism);
    uint32_t next = (uint32_t)((((uint64_t)subtask + 1) * max_parallelism + parallelism - 1) / parallelism);

    CHECK(subtask < parallelism && parallelism <= max_parallelism);
    *ret_first = ckpt_hash_first(first, max_parallelism);
    *ret_last = ckpt_hash_last(next - 1, max_parallelism);
}
