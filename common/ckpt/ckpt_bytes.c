/*
 * ckpt_bytes.c - a checkpoint's description as bytes: _metadata, and the tail of state files.
 * Everything that comes in is checked before it is used.  Thread: any.
 */
#include <rask/operator.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/ckpt/ckpt_private.h"
#include "common/types/schema_proto.h"
#include "proto/ckpt.pb-c.h"

#define HEAD_BYTES 24u /* magic, version, CRC, length */
#define MAGIC "RASKCKPT"
#define PATH_BYTES_MAX 4096u
#define NAME_BYTES_MAX 4096u
#define PARALLELISM_MAX 32768u

/* ---- out ---- */

static Rask__Ckpt__State *state_message(struct arena *a, const struct ckpt_state *s)
{
    Rask__Ckpt__State *msg = arena_alloc(a, sizeof(*msg));

    rask__ckpt__state__init(msg);
    msg->name = (char *)(uintptr_t)s->name;
    msg->kind = s->kind;
    msg->key = s->key ? schema_to_proto(a, s->key) : NULL;
    msg->map_key = s->map_key ? schema_to_proto(a, s->map_key) : NULL;
    msg->value = s->value ? schema_to_proto(a, s->value) : NULL;
    msg->has_ttl_ms = s->ttl_ms != 0;
    msg->ttl_ms = s->ttl_ms;
    return msg;
}

static Rask__Ckpt__Operator *operator_message(struct arena *a, const struct ckpt_operator *op)
{
    Rask__Ckpt__Operator *msg = arena_alloc(a, sizeof(*msg));

    rask__ckpt__operator__init(msg);
    msg->id = (ProtobufCBinaryData){sizeof(op->id), (uint8_t *)(uintptr_t)op->id};
    msg->uid = (char *)(uintptr_t)op->uid;
    msg->name = (char *)(uintptr_t)op->name;
    msg->has_parallelism = msg->has_max_parallelism = 1;
    msg->parallelism = op->parallelism;
    msg->max_parallelism = op->max_parallelism;
    msg->n_states = op->state_count;
    msg->states = arena_alloc(a, (op->state_count + 1u) * sizeof(*msg->states));
    for (uint32_t i = 0; i < op->state_count; i++)
        msg->states[i] = state_message(a, &op->states[i]);
    return msg;
}

static Rask__Ckpt__File *file_message(struct arena *a, const struct ckpt_file *f)
{
    Rask__Ckpt__File *msg = arena_alloc(a, sizeof(*msg));

    rask__ckpt__file__init(msg);
    msg->path = (char *)(uintptr_t)f->path;
    msg->size = f->size;
    msg->crc = f->crc;
    return msg;
}

static Rask__Ckpt__Section *section_message(struct arena *a, const struct ckpt_meta *m, const struct ckpt_section *s)
{
    Rask__Ckpt__Section *msg = arena_alloc(a, sizeof(*msg));
    int op = ckpt_meta_find_operator(m, s->operator_id);

    CHECK(op >= 0);
    rask__ckpt__section__init(msg);
    msg->kind = s->kind;
    msg->operator_ = (uint32_t)op;
    msg->has_state = s->state[0] != 0;
    if (msg->has_state)
        msg->state = (uint32_t)ckpt_meta_find_state(&m->operators[op], s->state);
    msg->subtask = s->subtask;
    msg->has_hash_first = msg->has_hash_last = ckpt_is_placed(s->kind) || s->kind == CKPT_INFLIGHT;
    msg->hash_first = s->hash_first;
    msg->hash_last = s->hash_last;
    msg->has_from = s->from != 0;
    msg->from = s->from;
    msg->to = s->to;
    msg->has_edge = msg->has_from_subtask = !ckpt_is_of_state(s->kind);
    msg->edge = s->edge;
    msg->from_subtask = s->from_subtask;
    msg->has_rows = 1;
    msg->rows = s->rows;
    msg->raw_bytes = s->raw_bytes;
    msg->stored_bytes = s->stored_bytes;
    msg->has_codec = s->codec != CKPT_PLAIN;
    msg->codec = s->codec;
    msg->has_file = msg->has_offset = s->file != CKPT_NO_FILE;
    msg->file = s->file;
    msg->offset = s->offset;
    msg->has_data = s->file == CKPT_NO_FILE;
    msg->data = (ProtobufCBinaryData){s->data.len, (uint8_t *)(uintptr_t)s->data.data};
    return msg;
}

void ckpt_message_add(const struct ckpt_meta *m, struct bytes *out)
{
    Rask__Ckpt__Metadata msg = RASK__CKPT__METADATA__INIT;
    struct arena a;
    size_t len;

    arena_init(&a);
    msg.job = (ProtobufCBinaryData){sizeof(m->job), (uint8_t *)(uintptr_t)m->job};
    msg.checkpoint = m->checkpoint;
    msg.kind = m->kind;
    msg.has_created_ms = msg.has_completed_ms = 1;
    msg.created_ms = m->created_ms;
    msg.completed_ms = m->completed_ms;
    msg.job_name = (char *)(uintptr_t)m->job_name;
    msg.hash = (char *)(uintptr_t) "xxh3-64";
    msg.version = (char *)(uintptr_t)m->version;
    msg.n_operators = m->operator_count;
    msg.operators = arena_alloc(&a, (m->operator_count + 1u) * sizeof(*msg.operators));
    for (uint32_t i = 0; i < m->operator_count; i++)
        msg.operators[i] = operator_message(&a, &m->operators[i]);
    msg.n_files = m->file_count;
    msg.files = arena_alloc(&a, (m->file_count + 1u) * sizeof(*msg.files));
    for (uint32_t i = 0; i < m->file_count; i++)
        msg.files[i] = file_message(&a, &m->files[i]);
    msg.n_sections = m->section_count;
    msg.sections = arena_alloc(&a, (m->section_count + 1u) * sizeof(*msg.sections));
    for (uint32_t i = 0; i < m->section_count; i++)
        msg.sections[i] = section_message(&a, m, &m->sections[i]);
    msg.has_extra = m->extra.len != 0;
    msg.extra = (ProtobufCBinaryData){m->extra.len, (uint8_t *)(uintptr_t)m->extra.data};
    len = rask__ckpt__metadata__get_packed_size(&msg);
    bytes_reserve(out, len);
    rask__ckpt__metadata__pack(&msg, out->data + out->len);
    out->len += len;
    out->data[out->len] = 0;
    arena_release(&a);
}

static uint32_t head_crc(const uint8_t *data, size_t len)
{
    uint32_t crc = hash_crc32c(0, data, 12);

    return hash_crc32c(crc, data + 16, len - 16);
}

void ckpt_meta_pack(const struct ckpt_meta *m, struct bytes *out)
{
    size_t start = out->len;
    uint64_t len;
    uint32_t crc;

    bytes_add(out, MAGIC, 8);
    bytes_add_u32(out, CKPT_VERSION);
    bytes_add_u32(out, 0);
    bytes_add_u64(out, 0);
    ckpt_message_add(m, out);
    len = out->len - start - HEAD_BYTES;
    memcpy(out->data + start + 16, &len, sizeof(len));
    crc = head_crc(out->data + start, out->len - start);
    memcpy(out->data + start + 12, &crc, sizeof(crc));
}

/* ---- in ---- */

static void *alloc(void *arena, size_t size)
{
    return arena_alloc(arena, size);
}

static void no_free(void *arena, void *p)
{
    (void)arena;
    (void)p;
}

static int bad(struct err *err, const char *where, const char *what, size_t number)
{
    return err_set(err, ERR_CORRUPT, "%s: %s %zu is not valid", where, what, number);
}

static int take_schema(struct ckpt_meta *m, const Rask__Graph__Schema *msg, const rask_schema **ret, struct err *err)
{
    *ret = NULL;
    return msg ? schema_from_proto(&m->arena, msg, ret, err) : 0;
}

static int take_state(struct ckpt_meta *m, uint32_t op, const Rask__Ckpt__State *msg, const char *where, struct err *err)
{
    struct ckpt_state s = {.name = msg->name, .kind = msg->kind, .ttl_ms = msg->ttl_ms};
    size_t len = strlen(msg->name);
    int rc;

    if (len == 0 || len > NAME_BYTES_MAX || msg->kind < RASK_VALUE || msg->kind > RASK_BROADCAST || msg->ttl_ms < 0 ||
        ckpt_meta_find_state(&m->operators[op], msg->name) >= 0)
        return bad(err, where, "a state of operator", op);
    rc = take_schema(m, msg->key, &s.key, err);
    if (rc == 0)
        rc = take_schema(m, msg->map_key, &s.map_key, err);
    if (rc == 0)
        rc = take_schema(m, msg->value, &s.value, err);
    if (rc != 0) {
        err_wrap(err, "%s: state \"%s\"", where, msg->name);
        return rc;
    }
    return ckpt_meta_state(m, op, &s, err);
}

static int take_operator(struct ckpt_meta *m, const Rask__Ckpt__Operator *msg, size_t i, const char *where, struct err *err)
{
    struct ckpt_operator op = {.uid = msg->uid, .name = msg->name, .parallelism = msg->parallelism,
                               .max_parallelism = msg->max_parallelism};
    uint32_t number;
    int rc = 0;

    if (msg->id.len != sizeof(op.id) || msg->parallelism > msg->max_parallelism || msg->max_parallelism > PARALLELISM_MAX)
        return bad(err, where, "operator", i);
    memcpy(op.id, msg->id.data, sizeof(op.id));
    number = ckpt_meta_operator(m, &op);
    if (number != i)
        return bad(err, where, "operator", i);
    for (size_t k = 0; k < msg->n_states && rc == 0; k++)
        rc = take_state(m, number, msg->states[k], where, err);
    return rc;
}

static int take_file(struct ckpt_meta *m, const Rask__Ckpt__File *msg, size_t i, const char *where, struct err *err)
{
    size_t len = strlen(msg->path);

    if (len == 0 || len > PATH_BYTES_MAX || ckpt_meta_file(m, msg->path, msg->size, msg->crc) != i)
        return bad(err, where, "file", i);
    return 0;
}

/* Whether the section's kind fits the state it is of. */
static bool kinds_fit(enum ckpt_section_kind section, uint32_t state)
{
    switch (section) {
    case CKPT_LIST:
        return state == RASK_OPERATOR_LIST;
    case CKPT_UNION:
        return state == RASK_OPERATOR_UNION;
    case CKPT_BROADCAST:
        return state == RASK_BROADCAST;
    default:
        return state < RASK_OPERATOR_LIST;
    }
}

bool ckpt_section_valid(const struct ckpt_section *s)
{
    if (s->kind < CKPT_DELTA || s->kind >= CKPT_SECTION_KINDS || s->codec > CKPT_ZSTD || s->hash_first > s->hash_last)
        return false;
    return s->raw_bytes <= CKPT_SECTION_MAX && s->stored_bytes <= CKPT_SECTION_MAX + CKPT_RECORD_EXTRA && s->to > 0 &&
           s->from < s->to && s->rows <= s->raw_bytes;
}

static int take_section(struct ckpt_meta *m, const Rask__Ckpt__Section *msg, size_t i, const char *where, struct err *err)
{
    struct ckpt_section s = {.kind = (enum ckpt_section_kind)msg->kind, .subtask = msg->subtask, .from = msg->from,
                             .to = msg->to, .edge = msg->edge, .from_subtask = msg->from_subtask, .rows = msg->rows,
                             .raw_bytes = msg->raw_bytes, .stored_bytes = msg->stored_bytes,
                             .codec = (enum ckpt_codec)msg->codec, .hash_first = msg->hash_first,
                             .hash_last = msg->hash_last, .file = CKPT_NO_FILE, .offset = msg->offset, .state = ""};
    const struct ckpt_operator *op;

    if (msg->kind >= CKPT_SECTION_KINDS || msg->codec > CKPT_ZSTD || msg->operator_ >= m->operator_count)
        return bad(err, where, "section", i);
    op = &m->operators[msg->operator_];
    memcpy(s.operator_id, op->id, sizeof(s.operator_id));
    if (msg->has_state != ckpt_is_of_state(s.kind) || (msg->has_state && msg->state >= op->state_count))
        return bad(err, where, "section", i);
    if (msg->has_state) {
        s.state = op->states[msg->state].name;
        if (!kinds_fit(s.kind, op->states[msg->state].kind))
            return bad(err, where, "section", i);
    }
    if (!ckpt_section_valid(&s) || msg->has_file == msg->has_data)
        return bad(err, where, "section", i);
    if (msg->has_file) {
        s.file = msg->file;
        if (s.file >= m->file_count || s.offset > m->files[s.file].size ||
            s.stored_bytes > m->files[s.file].size - s.offset)
            return bad(err, where, "section", i);
    } else {
        if (msg->data.len != s.stored_bytes || msg->data.len > CKPT_SECTION_MAX)
            return bad(err, where, "section", i);
        s.data = (rask_bytes){(const char *)msg->data.data, (uint32_t)msg->data.len};
    }
    ckpt_meta_add(m, &s);
    return 0;
}

static int take_all(struct ckpt_meta *m, const Rask__Ckpt__Metadata *msg, const char *where, struct err *err)
{
    int rc = 0;

    if (msg->job.len != sizeof(m->job) || (msg->kind != CKPT_CHECKPOINT && msg->kind != CKPT_SAVEPOINT))
        return err_set(err, ERR_CORRUPT, "%s: job or kind is not valid", where);
    if (msg->hash && strcmp(msg->hash, "xxh3-64") != 0)
        return err_set(err, ERR_VERSION, "%s: keys are hashed with \"%s\", this version knows xxh3-64", where, msg->hash);
    memcpy(m->job, msg->job.data, sizeof(m->job));
    m->checkpoint = msg->checkpoint;
    m->kind = (enum ckpt_kind)msg->kind;
    m->created_ms = msg->created_ms;
    m->completed_ms = msg->completed_ms;
    m->job_name = arena_strdup(&m->arena, msg->job_name ? msg->job_name : "");
    m->version = arena_strdup(&m->arena, msg->version ? msg->version : "");
    m->extra = (rask_bytes){arena_dup(&m->arena, msg->extra.data, msg->extra.len), (uint32_t)msg->extra.len};
    for (size_t i = 0; i < msg->n_operators && rc == 0; i++)
        rc = take_operator(m, msg->operators[i], i, where, err);
    for (size_t i = 0; i < msg->n_files && rc == 0; i++)
        rc = take_file(m, msg->files[i], i, where, err);
    for (size_t i = 0; i < msg->n_sections && rc == 0; i++)
        rc = take_section(m, msg->sections[i], i, where, err);
    return rc;
}

int ckpt_message_take(const void *data, size_t len, const char *where, struct ckpt_meta **ret, struct err *err)
{
    Rask__Ckpt__Metadata *msg;
    ProtobufCAllocator allocator;
    struct ckpt_meta *m;
    struct arena a;
    int rc;

    arena_init(&a);
    allocator = (ProtobufCAllocator){alloc, no_free, &a};
    msg = rask__ckpt__metadata__unpack(&allocator, len, data);
    if (!msg) {
        arena_release(&a);
        return err_set(err, ERR_CORRUPT, "%s: its content is no description of a checkpoint", where);
    }
    m = ckpt_meta_new();
    rc = take_all(m, msg, where, err);
    arena_release(&a);
    if (rc != 0) {
        ckpt_meta_free(m);
        return rc;
    }
    *ret = m;
    return 0;
}

int ckpt_meta_unpack(const void *data, size_t len, const char *where, struct ckpt_meta **ret, struct err *err)
{
    struct reader r = reader_of(data, len);
    const uint8_t *magic = reader_take(&r, 8);
    uint32_t version = reader_u32(&r), crc = reader_u32(&r);
    uint64_t payload = reader_u64(&r);

    if (r.bad)
        return err_set(err, ERR_CORRUPT, "%s: %zu bytes are too short for the metadata of a checkpoint", where, len);
    if (memcmp(magic, MAGIC, 8) != 0)
        return err_set(err, ERR_CORRUPT, "%s: this is no metadata of a checkpoint: it does not begin with " MAGIC, where);
    if (len > CKPT_META_MAX)
        return err_set(err, ERR_LIMIT, "%s: %zu bytes are more than the %u that are read", where, len, CKPT_META_MAX);
    if (payload != len - HEAD_BYTES)
        return err_set(err, ERR_CORRUPT, "%s: it has %zu bytes, and its header says %" PRIu64 ": cut off or damaged", where,
                       len, payload + HEAD_BYTES);
    if (crc != head_crc(data, len))
        return err_set(err, ERR_CORRUPT, "%s: it is damaged: its CRC32C does not fit", where);
    if (version != CKPT_VERSION)
        return err_set(err, ERR_VERSION, "%s: format version %u, this version reads %u", where, version, CKPT_VERSION);
    return ckpt_message_take((const uint8_t *)data + HEAD_BYTES, len - HEAD_BYTES, where, ret, err);
}
