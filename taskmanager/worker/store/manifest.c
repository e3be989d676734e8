/* manifest.c - see manifest.h. */
#include "taskmanager/worker/store/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/map.h"
#include "common/base/mem.h"

#define BLOCK_BYTES 32768u
#define HEAD_BYTES 7u
#define COMPARATOR "leveldb.BytewiseComparator"
#define LEVELS 7u
#define FOOTER_BYTES 48u
#define FOOTER_MAGIC 0xdb4775248b80fb57u
#define TRAILER_BYTES 5u /* of a block: u8 type, u32 masked CRC of the block and its type */

enum record_type { RECORD_FULL = 1, RECORD_FIRST, RECORD_MIDDLE, RECORD_LAST };
enum tag {
    TAG_COMPARATOR = 1,
    TAG_LOG_NUMBER,
    TAG_NEXT_FILE,
    TAG_LAST_SEQUENCE,
    TAG_COMPACT_POINTER,
    TAG_DELETED_FILE,
    TAG_NEW_FILE,
    TAG_PREV_LOG_NUMBER = 9
};

/* ---- varints ---- */

static uint64_t take_varint(struct reader *r)
{
    uint64_t v = 0;

    for (uint32_t shift = 0; shift < 64; shift += 7) {
        uint8_t byte = reader_u8(r);

        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return v;
    }
    r->bad = true;
    return 0;
}

static void add_varint(struct bytes *to, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        bytes_add_u8(to, (uint8_t)(v | 0x80));
    bytes_add_u8(to, (uint8_t)v);
}

static const uint8_t *take_slice(struct reader *r, uint32_t *ret_len)
{
    uint64_t len = take_varint(r);

    *ret_len = len <= UINT32_MAX ? (uint32_t)len : 0;
    if (len > reader_left(r))
        r->bad = true;
    return reader_take(r, r->bad ? 0 : len);
}

static void add_slice(struct bytes *to, const void *data, uint32_t len)
{
    add_varint(to, len);
    bytes_add(to, data, len);
}

/* ---- records in blocks ---- */

static uint32_t masked(uint32_t crc)
{
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

static uint32_t crc_of(uint8_t type, const uint8_t *data, size_t len)
{
    return masked(hash_crc32c(hash_crc32c(0, &type, 1), data, len));
}

/* The next record in `record`; false: the end, or one that is not whole. */
static bool take_record(const uint8_t *data, size_t len, size_t *at, struct bytes *record)
{
    bytes_clear(record);
    for (;;) {
        size_t left = BLOCK_BYTES - *at % BLOCK_BYTES;
        struct reader r;
        uint32_t crc, size;
        uint8_t type;
        const uint8_t *part;

        if (left < HEAD_BYTES)
            *at += left;
        if (*at + HEAD_BYTES > len)
            return false;
        r = reader_of(data + *at, len - *at);
        crc = reader_u32(&r);
        size = reader_u8(&r);
        size |= (uint32_t)reader_u8(&r) << 8;
        type = reader_u8(&r);
        part = reader_take(&r, size);
        if (r.bad || type < RECORD_FULL || type > RECORD_LAST || crc != crc_of(type, part, size))
            return false;
        bytes_add(record, part, size);
        *at += HEAD_BYTES + size;
        if (type == RECORD_FULL || type == RECORD_LAST)
            return true;
    }
}

static void add_record(struct bytes *out, const struct bytes *record)
{
    size_t at = 0, begin = out->len;

    do {
        size_t left = BLOCK_BYTES - (out->len - begin) % BLOCK_BYTES, size;
        bool first = at == 0, last;
        uint8_t type;

        if (left < HEAD_BYTES) {
            for (; left > 0; left--)
                bytes_add_u8(out, 0);
            left = BLOCK_BYTES;
        }
        size = MIN(left - HEAD_BYTES, record->len - at);
        last = at + size == record->len;
        type = first ? last ? RECORD_FULL : RECORD_FIRST : last ? RECORD_LAST : RECORD_MIDDLE;
        bytes_add_u32(out, crc_of(type, record->data + at, size));
        bytes_add_u16(out, (uint16_t)size);
        bytes_add_u8(out, type);
        bytes_add(out, record->data + at, size);
        at += size;
    } while (at < record->len);
}

/* ---- what records say ---- */

struct table {
    uint64_t size;
    const uint8_t *smallest, *largest; /* internal keys, in the arena */
    uint32_t smallest_len, largest_len;
};
struct content {
    struct arena arena;
    struct map *tables; /* number -> struct table */
    uint64_t next_file, last_sequence;
};

static void take_table(struct content *c, struct reader *r)
{
    struct table *t = arena_alloc(&c->arena, sizeof(*t));
    uint32_t number;

    (void)take_varint(r); /* its level then */
    number = (uint32_t)take_varint(r);
    t->size = take_varint(r);
    t->smallest = take_slice(r, &t->smallest_len);
    t->largest = take_slice(r, &t->largest_len);
    if (r->bad)
        return;
    t->smallest = arena_dup(&c->arena, t->smallest, t->smallest_len);
    t->largest = arena_dup(&c->arena, t->largest, t->largest_len);
    map_put(c->tables, &number, sizeof(number), t);
}

static void take_field(struct content *c, struct reader *r)
{
    uint64_t number;
    uint32_t len;

    switch (take_varint(r)) {
    case TAG_COMPARATOR:
        (void)take_slice(r, &len);
        break;
    case TAG_NEXT_FILE:
        number = take_varint(r);
        c->next_file = MAX(c->next_file, number);
        break;
    case TAG_LAST_SEQUENCE:
        number = take_varint(r);
        c->last_sequence = MAX(c->last_sequence, number);
        break;
    case TAG_LOG_NUMBER:
    case TAG_PREV_LOG_NUMBER:
        (void)take_varint(r);
        break;
    case TAG_COMPACT_POINTER:
        (void)take_varint(r);
        (void)take_slice(r, &len);
        break;
    case TAG_DELETED_FILE:
        (void)take_varint(r);
        (void)take_varint(r);
        break;
    case TAG_NEW_FILE:
        take_table(c, r);
        break;
    default:
        r->bad = true;
    }
}

static int read_content(struct content *c, const void *data, size_t len, struct err *err)
{
    struct bytes record;
    size_t at = 0;
    int rc = 0;

    bytes_init(&record);
    while (rc == 0 && take_record(data, len, &at, &record)) {
        struct reader r = reader_of(record.data, record.len);

        while (!r.bad && reader_left(&r) > 0)
            take_field(c, &r);
        if (r.bad)
            rc = err_set(err, ERR_CORRUPT, "a record of the MANIFEST is not valid");
    }
    bytes_release(&record);
    return rc;
}

static int write_record(const struct content *c, const struct wk_manifest_table *tables, uint32_t count, struct bytes *record,
                        struct err *err)
{
    add_varint(record, TAG_COMPARATOR);
    add_slice(record, COMPARATOR, sizeof(COMPARATOR) - 1);
    add_varint(record, TAG_LOG_NUMBER);
    add_varint(record, 0);
    add_varint(record, TAG_PREV_LOG_NUMBER);
    add_varint(record, 0);
    add_varint(record, TAG_NEXT_FILE);
    add_varint(record, c->next_file);
    add_varint(record, TAG_LAST_SEQUENCE);
    add_varint(record, c->last_sequence);
    for (uint32_t i = 0; i < count; i++) {
        const struct table *t = map_get(c->tables, &tables[i].number, sizeof(tables[i].number));

        if (!t || t->size != tables[i].size || tables[i].number >= c->next_file)
            return err_set(err, ERR_UNAVAILABLE, "the MANIFEST does not name table %u", tables[i].number);
        add_varint(record, TAG_NEW_FILE);
        add_varint(record, tables[i].level);
        add_varint(record, tables[i].number);
        add_varint(record, t->size);
        add_slice(record, t->smallest, t->smallest_len);
        add_slice(record, t->largest, t->largest_len);
    }
    return 0;
}

int wk_manifest_rewrite(const void *data, size_t len, const struct wk_manifest_table *tables, uint32_t count, struct bytes *out,
                        struct err *err)
{
    struct content c = {.tables = map_new()};
    struct bytes record;
    int rc;

    arena_init(&c.arena);
    bytes_init(&record);
    rc = read_content(&c, data, len, err);
    if (rc == 0)
        rc = write_record(&c, tables, count, &record, err);
    if (rc == 0)
        add_record(out, &record);
    bytes_release(&record);
    arena_release(&c.arena);
    map_free(c.tables);
    return rc;
}

/*
 * --- level 0 ---
 *  17:123['a' @ 72 : 1 .. 'e' @ 5 : 1]
 */
int wk_manifest_parse_tables(const char *property, struct wk_manifest_table **ret, uint32_t *ret_count, struct err *err)
{
    struct wk_manifest_table *list = NULL;
    uint32_t count = 0, room = 0, level = 0;

    for (const char *p = property, *end; *p; p = *end ? end + 1 : end) {
        unsigned long long number, size;

        end = p + strcspn(p, "\n");
        if (sscanf(p, "--- level %u ---", &level) == 1)
            continue;
        if (sscanf(p, " %llu:%llu[", &number, &size) != 2 || number == 0 || number > UINT32_MAX || level >= LEVELS) {
            mem_free(list);
            return err_set(err, ERR_CORRUPT, "leveldb.sstables has a line \"%.*s\"", (int)MIN(end - p, 60), p);
        }
        if (count == room) {
            room = MAX(room * 2, 16u);
            list = mem_realloc(list, room * sizeof(*list));
        }
        list[count++] = (struct wk_manifest_table){.number = (uint32_t)number, .level = level, .size = size};
    }
    *ret = list;
    *ret_count = count;
    return 0;
}

/* ---- tables ---- */

struct block {
    uint64_t offset, size;
};

static struct block take_handle(struct reader *r)
{
    struct block b;

    b.offset = take_varint(r);
    b.size = take_varint(r);
    return b;
}

static int check_block(const uint8_t *data, size_t len, struct block b, struct err *err)
{
    struct reader r;

    if (b.offset > len || b.size > len - b.offset || len - b.offset - b.size < TRAILER_BYTES)
        return err_set(err, ERR_CORRUPT, "a block is not in the file");
    r = reader_of(data + b.offset + b.size + 1, 4);
    if (reader_u32(&r) != masked(hash_crc32c(0, data + b.offset, b.size + 1)))
        return err_set(err, ERR_CORRUPT, "the block of %llu bytes at byte %llu has not its checksum", (unsigned long long)b.size,
                       (unsigned long long)b.offset);
    return 0;
}

/* The block itself, and those that its entries name. */
static int check_blocks_of(const uint8_t *data, size_t len, struct block index, struct err *err)
{
    int rc = check_block(data, len, index, err);
    struct reader r, end;
    uint64_t restarts;

    if (rc != 0 || data[index.offset + index.size] != 0)
        return rc;
    if (index.size < 4)
        return err_set(err, ERR_CORRUPT, "an index of %llu bytes", (unsigned long long)index.size);
    end = reader_of(data + index.offset + index.size - 4, 4);
    restarts = (uint64_t)reader_u32(&end) * 4;
    r = reader_of(data + index.offset, index.size - 4 - MIN(restarts, index.size - 4));
    while (rc == 0 && reader_left(&r) > 0) {
        struct reader value;
        uint64_t key;
        uint32_t size;

        (void)take_varint(&r); /* bytes that the key shares with the one before */
        key = take_varint(&r);
        size = (uint32_t)take_varint(&r);
        if (key > reader_left(&r) || size > reader_left(&r) - key)
            return err_set(err, ERR_CORRUPT, "an entry of an index is not valid");
        (void)reader_take(&r, key);
        value = reader_of(reader_take(&r, size), size);
        rc = check_block(data, len, take_handle(&value), err);
        if (rc == 0 && (r.bad || value.bad))
            return err_set(err, ERR_CORRUPT, "an entry of an index is cut off");
    }
    return rc;
}

int wk_manifest_check_table(const void *data, size_t len, struct err *err)
{
    struct reader r, magic;
    struct block filters;
    int rc;

    if (len < FOOTER_BYTES)
        return err_set(err, ERR_CORRUPT, "a table of %zu bytes", len);
    r = reader_of((const uint8_t *)data + len - FOOTER_BYTES, FOOTER_BYTES - 8);
    magic = reader_of((const uint8_t *)data + len - 8, 8);
    if (reader_u64(&magic) != FOOTER_MAGIC)
        return err_set(err, ERR_CORRUPT, "it does not end as a table of LevelDB");
    filters = take_handle(&r);
    rc = check_blocks_of(data, len, filters, err);
    return rc == 0 ? check_blocks_of(data, len, take_handle(&r), err) : rc;
}
