/* ckpt_file.c - state files: records, header, index, footer; the layout is in docs/file-formats.md. Thread: any. */
#include "common/ckpt/ckpt_file.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/ckpt/ckpt_private.h"

#define FILE_MAGIC "RASKSTAT"
#define FOOTER_MAGIC "RASKTAIL"
#define RECORD_MAGIC 0x54434553u /* "SECT" */
#define RECORD_FIXED_BYTES 104u  /* before the state's name */
#define RECORD_NAME_MAX 4096u

/*
 * Record: u32 magic, u32 header bytes (fixed part and name), u64 stored bytes (all of it), u16 kind, u16 codec, u32 subtask,
 * 16 bytes operator id, u32 hash_first, u32 hash_last, u64 from, u64 to, u32 edge, u32 from_subtask, u64 rows, u64 raw_bytes,
 * u64 payload bytes as stored, u32 name length, u32 0, name, payload, u32 CRC32C of everything before it.
 */
static void add_head(const struct ckpt_section *s, uint64_t payload, struct bytes *out)
{
    uint32_t name = (uint32_t)strlen(s->state), head = RECORD_FIXED_BYTES + name;

    bytes_add_u32(out, RECORD_MAGIC);
    bytes_add_u32(out, head);
    bytes_add_u64(out, head + payload + 4);
    bytes_add_u16(out, (uint16_t)s->kind);
    bytes_add_u16(out, (uint16_t)s->codec);
    bytes_add_u32(out, s->subtask);
    bytes_add(out, s->operator_id, CKPT_OPERATOR_ID_BYTES);
    bytes_add_u32(out, s->hash_first);
    bytes_add_u32(out, s->hash_last);
    bytes_add_u64(out, s->from);
    bytes_add_u64(out, s->to);
    bytes_add_u32(out, s->edge);
    bytes_add_u32(out, s->from_subtask);
    bytes_add_u64(out, s->rows);
    bytes_add_u64(out, s->raw_bytes);
    bytes_add_u64(out, payload);
    bytes_add_u32(out, name);
    bytes_add_u32(out, 0);
    bytes_add(out, s->state, name);
}

void ckpt_record_add(struct ckpt_section *s, const void *payload, size_t len, enum ckpt_codec codec, struct bytes *out)
{
    size_t start = out->len;
    struct bytes small;

    CHECK(s->state && strlen(s->state) <= RECORD_NAME_MAX);
    bytes_init(&small);
    s->raw_bytes = len;
    s->codec = codec == CKPT_ZSTD && ckpt_compress(payload, len, &small) ? CKPT_ZSTD : CKPT_PLAIN;
    if (s->codec == CKPT_ZSTD) {
        payload = small.data;
        len = small.len;
    }
    add_head(s, len, out);
    bytes_add(out, payload, len);
    bytes_add_u32(out, hash_crc32c(0, out->data + start, out->len - start));
    s->stored_bytes = out->len - start;
    bytes_release(&small);
}

static bool same(const struct ckpt_section *a, const struct ckpt_section *b)
{
    return a->kind == b->kind && a->subtask == b->subtask && a->codec == b->codec && a->hash_first == b->hash_first &&
           a->hash_last == b->hash_last && a->from == b->from && (a->to == b->to || a->kind == CKPT_TABLE) && a->edge == b->edge &&
           a->from_subtask == b->from_subtask && a->rows == b->rows && a->raw_bytes == b->raw_bytes &&
           a->stored_bytes == b->stored_bytes && strcmp(a->state, b->state) == 0 &&
           memcmp(a->operator_id, b->operator_id, CKPT_OPERATOR_ID_BYTES) == 0;
}

/* The header of a record whose CRC fits. */
static int take_head(const uint8_t *data, size_t len, const char *where, struct arena *arena, struct ckpt_section *ret,
                     rask_bytes *ret_payload, struct err *err)
{
    struct reader r = reader_of(data, len - 4);
    uint32_t magic = reader_u32(&r), head = reader_u32(&r), name_len;
    const uint8_t *id, *name, *stored;
    uint64_t payload;

    *ret = (struct ckpt_section){.file = CKPT_NO_FILE};
    ret->stored_bytes = reader_u64(&r);
    ret->kind = (enum ckpt_section_kind)reader_u16(&r);
    ret->codec = (enum ckpt_codec)reader_u16(&r);
    ret->subtask = reader_u32(&r);
    id = reader_take(&r, CKPT_OPERATOR_ID_BYTES);
    ret->hash_first = reader_u32(&r);
    ret->hash_last = reader_u32(&r);
    ret->from = reader_u64(&r);
    ret->to = reader_u64(&r);
    ret->edge = reader_u32(&r);
    ret->from_subtask = reader_u32(&r);
    ret->rows = reader_u64(&r);
    ret->raw_bytes = reader_u64(&r);
    payload = reader_u64(&r);
    name_len = reader_u32(&r);
    (void)reader_u32(&r);
    name = reader_take(&r, MIN(name_len, RECORD_NAME_MAX));
    if (r.bad || magic != RECORD_MAGIC || name_len > RECORD_NAME_MAX || head != RECORD_FIXED_BYTES + name_len ||
        ret->stored_bytes != len || payload != len - 4 - head || !ckpt_section_valid(ret) ||
        (ret->codec == CKPT_PLAIN && payload != ret->raw_bytes) || memchr(name, 0, name_len))
        return err_set(err, ERR_CORRUPT, "%s: a section's header is not valid", where);
    stored = reader_take(&r, payload);
    memcpy(ret->operator_id, id, sizeof(ret->operator_id));
    ret->state = arena_dup(arena, "", 1);
    if (name_len > 0) {
        char *copy = arena_alloc(arena, name_len + 1u);

        memcpy(copy, name, name_len);
        ret->state = copy;
    }
    *ret_payload = (rask_bytes){(const char *)stored, (uint32_t)payload};
    return 0;
}

int ckpt_record_open(const void *data, size_t len, const struct ckpt_section *expected, const char *where, struct arena *arena,
                     struct ckpt_section *ret, struct bytes *room, rask_bytes *ret_payload, struct err *err)
{
    struct ckpt_section s;
    rask_bytes payload;
    uint32_t crc;
    int rc;

    if (len < RECORD_FIXED_BYTES + 4 || len > CKPT_SECTION_MAX + CKPT_RECORD_EXTRA)
        return err_set(err, ERR_CORRUPT, "%s: a section of %zu bytes is cut off or damaged", where, len);
    memcpy(&crc, (const uint8_t *)data + len - 4, sizeof(crc));
    if (crc != hash_crc32c(0, data, len - 4))
        return err_set(err, ERR_CORRUPT, "%s: a section of %zu bytes is damaged: its CRC32C does not fit", where, len);
    rc = take_head(data, len, where, arena, &s, &payload, err);
    if (rc != 0)
        return rc;
    if (expected && !same(&s, expected))
        return err_set(err, ERR_CORRUPT,
                       "%s: the section of state \"%s\" (%s, subtask %u) is another one than the index says: \"%s\" (%s, "
                       "subtask %u)",
                       where, expected->state, ckpt_kind_name(expected->kind), expected->subtask, s.state,
                       ckpt_kind_name(s.kind), s.subtask);
    if (s.codec == CKPT_ZSTD) {
        bytes_clear(room);
        rc = ckpt_expand(payload.data, payload.len, s.raw_bytes, room, err);
        if (rc != 0) {
            err_wrap(err, "%s: a section of state \"%s\"", where, s.state);
            return rc;
        }
        payload = (rask_bytes){(const char *)room->data, (uint32_t)room->len};
    }
    if (ret)
        *ret = s;
    *ret_payload = payload;
    return 0;
}

/* ---- files ---- */

struct ckpt_writer {
    struct ckpt_file_head head;
    enum ckpt_codec codec;
    struct ckpt_section *sections; /* texts in the arena */
    uint32_t count, room;
    uint64_t size;
    uint32_t crc;
    size_t head_bytes; /* of the section that comes next, most likely */
    struct arena arena;
};

struct ckpt_writer *ckpt_writer_new(const struct ckpt_file_head *head, enum ckpt_codec codec)
{
    struct ckpt_writer *w = MEM_NEW(struct ckpt_writer);

    w->head = *head;
    w->codec = codec;
    w->head_bytes = RECORD_FIXED_BYTES;
    arena_init(&w->arena);
    return w;
}

void ckpt_writer_free(struct ckpt_writer *w)
{
    if (!w)
        return;
    mem_free(w->sections);
    arena_release(&w->arena);
    mem_free(w);
}

static void given(struct ckpt_writer *w, const struct bytes *out, size_t start)
{
    w->size += out->len - start;
    w->crc = hash_crc32c(w->crc, out->data + start, out->len - start);
}

void ckpt_writer_begin(struct ckpt_writer *w, struct bytes *out)
{
    size_t start = out->len;

    CHECK(w->size == 0);
    bytes_add(out, FILE_MAGIC, 8);
    bytes_add_u32(out, CKPT_VERSION);
    bytes_add_u32(out, w->head.worker);
    bytes_add(out, w->head.job, sizeof(w->head.job));
    bytes_add_u64(out, w->head.checkpoint);
    bytes_add_u64(out, (uint64_t)w->head.created_ms);
    bytes_add_u32(out, 0);
    bytes_add_u32(out, hash_crc32c(0, out->data + start, out->len - start));
    CHECK(out->len - start == CKPT_FILE_HEADER_BYTES);
    given(w, out, start);
}

/* A section, whose record is the last of out. */
static void given_section(struct ckpt_writer *w, struct ckpt_section *section, const struct bytes *out)
{
    uint32_t crc;

    section->offset = w->size;
    if (w->count == w->room) {
        w->room = MAX(w->room * 2, 16u);
        w->sections = mem_realloc(w->sections, w->room * sizeof(*w->sections));
    }
    w->sections[w->count] = *section;
    w->sections[w->count].state = arena_strdup(&w->arena, section->state);
    w->sections[w->count++].file = 0;
    w->size += section->stored_bytes;
    memcpy(&crc, out->data + out->len - sizeof(crc), sizeof(crc)); /* it ends with that of what is before it */
    w->crc = hash_crc32c_join(w->crc, crc, section->stored_bytes - sizeof(crc));
    w->crc = hash_crc32c(w->crc, out->data + out->len - sizeof(crc), sizeof(crc));
    w->head_bytes = RECORD_FIXED_BYTES + strlen(section->state);
}

void ckpt_writer_section(struct ckpt_writer *w, struct ckpt_section *section, const void *payload, size_t len, struct bytes *out)
{
    CHECK(w->size > 0);
    ckpt_record_add(section, payload, len, w->codec, out);
    given_section(w, section, out);
}

size_t ckpt_writer_room(const struct ckpt_writer *w, struct bytes *out)
{
    size_t begin = out->len;

    bytes_reserve(out, w->head_bytes);
    out->len += w->head_bytes;
    return begin;
}

void ckpt_writer_made(struct ckpt_writer *w, struct ckpt_section *section, size_t begin, struct bytes *out)
{
    size_t len = out->len - begin - w->head_bytes, bytes = RECORD_FIXED_BYTES + strlen(section->state);
    struct bytes head;

    CHECK(w->size > 0 && w->codec == CKPT_PLAIN && bytes <= RECORD_FIXED_BYTES + RECORD_NAME_MAX);
    bytes_reserve(out, bytes);
    if (bytes != w->head_bytes)
        memmove(out->data + begin + bytes, out->data + begin + w->head_bytes, len);
    section->raw_bytes = len;
    section->codec = CKPT_PLAIN;
    bytes_init(&head);
    add_head(section, len, &head);
    CHECK(head.len == bytes);
    memcpy(out->data + begin, head.data, bytes);
    bytes_release(&head);
    out->len = begin + bytes + len;
    bytes_add_u32(out, hash_crc32c(0, out->data + begin, out->len - begin));
    section->stored_bytes = out->len - begin;
    given_section(w, section, out);
}

/* Index: u64 length of the message, then a rask.ckpt.Metadata of this file alone: operators, states, sections. */
void ckpt_writer_end(struct ckpt_writer *w, const struct ckpt_meta *schemas, struct bytes *out)
{
    struct ckpt_meta *m = ckpt_meta_new();
    uint64_t offset = w->size, len;
    size_t start = out->len;
    uint32_t crc;

    memcpy(m->job, w->head.job, sizeof(m->job));
    m->checkpoint = w->head.checkpoint;
    m->created_ms = w->head.created_ms;
    for (uint32_t i = 0; i < schemas->operator_count; i++) {
        uint32_t op = ckpt_meta_operator(m, &schemas->operators[i]);

        for (uint32_t k = 0; k < schemas->operators[i].state_count; k++)
            CHECK(ckpt_meta_state(m, op, &schemas->operators[i].states[k], NULL) == 0);
    }
    (void)ckpt_meta_file(m, "-", w->size, 0);
    for (uint32_t i = 0; i < w->count; i++)
        ckpt_meta_add(m, &w->sections[i]);
    ckpt_message_add(m, out);
    ckpt_meta_free(m);
    len = out->len - start;
    crc = hash_crc32c(0, out->data + start, len);
    start = out->len;
    bytes_add_u64(out, offset);
    bytes_add_u64(out, len);
    bytes_add_u32(out, crc);
    bytes_add_u32(out, CKPT_VERSION);
    bytes_add_u32(out, 0);
    bytes_add_u32(out, hash_crc32c(0, out->data + start, out->len - start));
    bytes_add(out, FOOTER_MAGIC, 8);
    CHECK(out->len - start == CKPT_FILE_FOOTER_BYTES);
    given(w, out, start - len);
}

uint64_t ckpt_writer_size(const struct ckpt_writer *w)
{
    return w->size;
}
uint32_t ckpt_writer_crc(const struct ckpt_writer *w)
{
    return w->crc;
}

int ckpt_file_footer(const void *data, uint64_t size, const char *where, uint64_t *ret_offset, uint64_t *ret_len,
                     uint32_t *ret_crc, struct err *err)
{
    struct reader r = reader_of(data, CKPT_FILE_FOOTER_BYTES);
    uint64_t offset = reader_u64(&r), len = reader_u64(&r);
    uint32_t crc = reader_u32(&r), version = reader_u32(&r), zero = reader_u32(&r), own = reader_u32(&r);

    if (memcmp(reader_take(&r, 8), FOOTER_MAGIC, 8) != 0)
        return err_set(err, ERR_CORRUPT, "%s: it does not end as a state file: cut off or damaged", where);
    if (own != hash_crc32c(0, data, CKPT_FILE_FOOTER_BYTES - 12) || zero != 0)
        return err_set(err, ERR_CORRUPT, "%s: its last bytes are damaged: their CRC32C does not fit", where);
    if (version != CKPT_VERSION)
        return err_set(err, ERR_VERSION, "%s: format version %u, this version reads %u", where, version, CKPT_VERSION);
    if (size < CKPT_FILE_HEADER_BYTES + CKPT_FILE_FOOTER_BYTES || offset < CKPT_FILE_HEADER_BYTES || len > CKPT_META_MAX ||
        offset > size - CKPT_FILE_FOOTER_BYTES || len != size - CKPT_FILE_FOOTER_BYTES - offset)
        return err_set(err, ERR_CORRUPT, "%s: it has %" PRIu64 " bytes, and its last ones say %" PRIu64 ": cut off or damaged",
                       where, size, offset + len + CKPT_FILE_FOOTER_BYTES);
    *ret_offset = offset;
    *ret_len = len;
    *ret_crc = crc;
    return 0;
}

int ckpt_file_header(const void *data, const char *where, struct ckpt_file_head *ret, struct err *err)
{
    struct reader r = reader_of(data, CKPT_FILE_HEADER_BYTES);
    const uint8_t *magic = reader_take(&r, 8);
    uint32_t version = reader_u32(&r);

    if (memcmp(magic, FILE_MAGIC, 8) != 0)
        return err_set(err, ERR_CORRUPT, "%s: this is no state file: it does not begin with " FILE_MAGIC, where);
    ret->worker = reader_u32(&r);
    memcpy(ret->job, reader_take(&r, sizeof(ret->job)), sizeof(ret->job));
    ret->checkpoint = reader_u64(&r);
    ret->created_ms = (int64_t)reader_u64(&r);
    (void)reader_u32(&r);
    if (reader_u32(&r) != hash_crc32c(0, data, CKPT_FILE_HEADER_BYTES - 4))
        return err_set(err, ERR_CORRUPT, "%s: its first bytes are damaged: their CRC32C does not fit", where);
    if (version != CKPT_VERSION)
        return err_set(err, ERR_VERSION, "%s: format version %u, this version reads %u", where, version, CKPT_VERSION);
    return 0;
}

int ckpt_file_index(const void *data, size_t len, uint32_t crc, const char *where, struct ckpt_meta **ret, struct err *err)
{
    if (crc != hash_crc32c(0, data, len))
        return err_set(err, ERR_CORRUPT, "%s: its index is damaged: its CRC32C does not fit", where);
    return ckpt_message_take(data, len, where, ret, err);
}

static int check_sections(const uint8_t *data, uint64_t end, const struct ckpt_meta *m, const char *where, struct err *err)
{
    uint64_t at = CKPT_FILE_HEADER_BYTES;
    struct arena arena;
    struct bytes room;
    int rc = 0;

    arena_init(&arena);
    bytes_init(&room);
    for (uint32_t i = 0; i < m->section_count && rc == 0; i++) {
        const struct ckpt_section *s = &m->sections[i];
        rask_bytes payload;

        if (s->file != 0 || s->offset != at || s->stored_bytes > end - at)
            rc = err_set(err, ERR_CORRUPT, "%s: section %u is not where the one before it ends", where, i);
        else
            rc = ckpt_record_open(data + at, s->stored_bytes, s, where, &arena, NULL, &room, &payload, err);
        at += s->stored_bytes;
    }
    if (rc == 0 && at != end)
        rc = err_set(err, ERR_CORRUPT, "%s: %" PRIu64 " bytes belong to no section", where, end - at);
    bytes_release(&room);
    arena_release(&arena);
    return rc;
}

int ckpt_file_check(const void *data, size_t len, const char *where, struct ckpt_meta **ret, struct err *err)
{
    const uint8_t *bytes = data;
    struct ckpt_file_head head;
    struct ckpt_meta *m = NULL;
    uint64_t offset, index;
    uint32_t crc;
    int rc;

    if (len < CKPT_FILE_HEADER_BYTES + CKPT_FILE_FOOTER_BYTES)
        return err_set(err, ERR_CORRUPT, "%s: %zu bytes are too short for a state file", where, len);
    rc = ckpt_file_header(bytes, where, &head, err);
    if (rc == 0)
        rc = ckpt_file_footer(bytes + len - CKPT_FILE_FOOTER_BYTES, len, where, &offset, &index, &crc, err);
    if (rc == 0)
        rc = ckpt_file_index(bytes + offset, index, crc, where, &m, err);
    if (rc == 0)
        rc = check_sections(bytes, offset, m, where, err);
    if (rc == 0 && ret) {
        *ret = m;
        m = NULL;
    }
    ckpt_meta_free(m);
    return rc;
}
