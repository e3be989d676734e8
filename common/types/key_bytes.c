/*
 * key_bytes.c - key bytes and hashes; the layout is in key_bytes.h and frozen.
 * Thread: any.
 */
#include "common/types/key_bytes.h"

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/types/batch_private.h"

enum {
    KEY_STACK = 512, /* keys up to this size are hashed without memory */
    LANES = 32,      /* strings whose keys are laid out before the first of them is hashed */
    LANE_TEXT = 60,  /* longer ones go one by one */
};

static uint8_t *put_be(uint8_t *to, uint64_t v, uint32_t width)
{
    v = __builtin_bswap64(v << (64 - 8 * width));
    memcpy(to, &v, width);
    return to + width;
}

static uint8_t *put_signed(uint8_t *to, int64_t v, uint32_t width)
{
    return put_be(to, (uint64_t)v ^ (UINT64_C(1) << (8 * width - 1)), width);
}

/* Orders as the numbers do: negative ones with all bits turned, others with the sign turned. */
static uint8_t *put_f32(uint8_t *to, float v)
{
    uint32_t bits;

    v = v == 0 ? 0 : v;
    memcpy(&bits, &v, sizeof(bits));
    bits = v != v ? UINT32_C(0x7fc00000) : bits;
    return put_be(to, bits >> 31 ? ~bits : bits | UINT32_C(0x80000000), 4);
}

static uint8_t *put_f64(uint8_t *to, double v)
{
    uint64_t bits;

    v = v == 0 ? 0 : v;
    memcpy(&bits, &v, sizeof(bits));
    bits = v != v ? UINT64_C(0x7ff8000000000000) : bits;
    return put_be(to, bits >> 63 ? ~bits : bits | UINT64_C(0x8000000000000000), 8);
}

static uint8_t *put_cell(uint8_t *to, const rask_field *field, const rask_row *row, int column)
{
    rask_str s;
    rask_decimal128 d;

    switch (field->type) {
    case RASK_T_BOOLEAN:
        *to = rask_bool(row, column);
        return to + 1;
    case RASK_T_TINYINT:
        return put_signed(to, rask_i8(row, column), 1);
    case RASK_T_SMALLINT:
        return put_signed(to, rask_i16(row, column), 2);
    case RASK_T_INT:
    case RASK_T_DATE:
    case RASK_T_TIME:
        return put_signed(to, rask_i32(row, column), 4);
    case RASK_T_FLOAT:
        return put_f32(to, rask_f32(row, column));
    case RASK_T_DOUBLE:
        return put_f64(to, rask_f64(row, column));
    case RASK_T_STRING:
    case RASK_T_BYTES:
        s = rask_string(row, column);
        to = put_be(to, s.len, 4);
        if (s.len)
            memcpy(to, s.data, s.len);
        return to + s.len;
    case RASK_T_DECIMAL:
        if (field->precision > 18) {
            d = rask_dec128(row, column);
            return put_be(put_signed(to, d.high, 8), d.low, 8);
        }
        return put_signed(to, rask_i64(row, column), 8);
    default:
        return put_signed(to, rask_i64(row, column), 8);
    }
}

static uint64_t key_size(const rask_row *row, const uint16_t *columns, uint32_t column_count)
{
    uint64_t size = 0;

    for (uint32_t i = 0; i < column_count; i++) {
        const rask_field *f = &row->batch->schema->fields[columns[i]];
        const rask_column *c = &row->batch->columns[columns[i]];

        size += f->nullable ? 1 : 0;
        size += schema_is_view(f) ? 4 + (uint64_t)((const rask_view *)c->data)[row->position].len
                                  : schema_width(f);
    }
    return size;
}

/* At most key_size bytes. */
static uint8_t *key_put(uint8_t *to, const rask_row *row, const uint16_t *columns,
                        uint32_t column_count)
{
    for (uint32_t i = 0; i < column_count; i++) {
        const rask_field *f = &row->batch->schema->fields[columns[i]];
        int column = columns[i];

        if (f->nullable)
            *to++ = !rask_is_null(row, column);
        if (!f->nullable || to[-1])
            to = put_cell(to, f, row, column);
    }
    return to;
}

void key_bytes_of(const rask_batch *b, const uint16_t *columns, uint32_t column_count,
                  uint32_t position, struct bytes *out)
{
    rask_row row = {b, position};

    bytes_reserve(out, key_size(&row, columns, column_count));
    out->len = (size_t)(key_put(out->data + out->len, &row, columns, column_count) - out->data);
    out->data[out->len] = 0;
}

static void hash_i64(const rask_batch *b, const rask_column *c, uint64_t *hash)
{
    const int64_t *cells = c->data;

    for (uint32_t i = 0; i < b->rows; i++) {
        uint8_t key[8];

        put_signed(key, cells[rask_position(b, i)], 8);
        hash[i] = hash_xxh3(key, 8);
    }
}

static uint64_t hash_long(rask_str s, struct bytes *large)
{
    uint8_t length[4];

    bytes_clear(large);
    put_be(length, s.len, 4);
    bytes_add(large, length, 4);
    bytes_add(large, s.data, s.len);
    return hash_xxh3(large->data, large->len);
}

/*
 * A key that was just written in pieces is slow to read in words: the processor waits until the
 * pieces have left its store queue.  So a few keys are written first and hashed then.
 */
static void hash_strings(const rask_batch *b, const rask_column *c, uint64_t *hash,
                         struct bytes *large)
{
    const rask_view *cells = c->data;
    uint8_t key[LANES][4 + LANE_TEXT];
    uint32_t len[LANES];

    for (uint32_t i = 0; i < b->rows; i += LANES) {
        uint32_t n = MIN(b->rows - i, (uint32_t)LANES);

        for (uint32_t k = 0; k < n; k++) {
            const rask_view *v = &cells[rask_position(b, i + k)];

            len[k] = v->len;
            put_be(key[k], v->len, 4);
            if (v->len <= 12)
                memcpy(key[k] + 4, v->u.text, 12);
            else if (v->len <= LANE_TEXT)
                text_copy(key[k] + 4, rask_view_str(b, v).data, v->len);
        }
        for (uint32_t k = 0; k < n; k++)
            hash[i + k] = len[k] <= LANE_TEXT
                              ? hash_xxh3(key[k], 4 + len[k])
                              : hash_long(rask_view_str(b, &cells[rask_position(b, i + k)]), large);
    }
}

static void hash_general(const rask_batch *b, const uint16_t *columns, uint32_t column_count,
                         uint64_t *hash, struct bytes *large)
{
    for (uint32_t i = 0; i < b->rows; i++) {
        rask_row row = rask_batch_row(b, i);
        uint8_t key[KEY_STACK];

        if (key_size(&row, columns, column_count) <= KEY_STACK) {
            hash[i] = hash_xxh3(key, (size_t)(key_put(key, &row, columns, column_count) - key));
            continue;
        }
        bytes_clear(large);
        key_bytes_of(b, columns, column_count, row.position, large);
        hash[i] = hash_xxh3(large->data, large->len);
    }
}

void key_hash_batch(const rask_batch *b, const uint16_t *columns, uint32_t column_count,
                    uint64_t *hash)
{
    const rask_field *first = &b->schema->fields[columns[0]];
    struct bytes large;

    CHECK(column_count >= 1);
    bytes_init(&large);
    if (column_count == 1 && !first->nullable &&
        (first->type == RASK_T_BIGINT || first->type == RASK_T_TIMESTAMP))
        hash_i64(b, &b->columns[columns[0]], hash);
    else if (column_count == 1 && !first->nullable && schema_is_view(first))
        hash_strings(b, &b->columns[columns[0]], hash, &large);
    else
        hash_general(b, columns, column_count, hash, &large);
    bytes_release(&large);
}

/* ---- runs ---- */

static void run_add_long(struct key_run *run, uint32_t i, const rask_batch *b, const uint16_t *columns,
                         uint32_t column_count, uint32_t position)
{
    run->place[i] = run->text.len;
    key_bytes_of(b, columns, column_count, position, &run->text);
    memcpy(run->head[i], run->text.data + run->place[i], KEY_HEAD_BYTES);
}

/* A short view is nearly its key: only the length is turned. */
static void run_strings(struct key_run *run, const rask_batch *b, const uint16_t *column, uint32_t from)
{
    const view_words *cells = b->columns[*column].data;

    for (uint32_t i = 0; i < run->rows; i++) {
        uint32_t position = rask_position(b, from + i);
        view_words v = cells[position];

        run->len[i] = 4 + view_len(v);
        if (view_len(v) <= 12) {
            run->head[i][0] = (v.low >> 32 << 32) | __builtin_bswap32(view_len(v));
            run->head[i][1] = v.high;
        } else {
            run_add_long(run, i, b, column, 1, position);
        }
    }
}

static void run_i64(struct key_run *run, const rask_batch *b, const uint16_t *column, uint32_t from)
{
    const int64_t *cells = b->columns[*column].data;

    for (uint32_t i = 0; i < run->rows; i++) {
        run->len[i] = 8;
        put_signed((uint8_t *)run->head[i], cells[rask_position(b, from + i)], 8);
        run->head[i][1] = 0;
    }
}

static void run_general(struct key_run *run, const rask_batch *b, const uint16_t *columns, uint32_t column_count,
                        uint32_t from)
{
    for (uint32_t i = 0; i < run->rows; i++) {
        rask_row row = rask_batch_row(b, from + i);
        uint64_t size = key_size(&row, columns, column_count); /* with nulls the key may be shorter */

        run->head[i][0] = run->head[i][1] = 0;
        if (size <= KEY_HEAD_BYTES) {
            uint8_t *head = (uint8_t *)run->head[i];

            run->len[i] = (uint32_t)(key_put(head, &row, columns, column_count) - head);
            continue;
        }
        run->place[i] = run->text.len;
        key_bytes_of(b, columns, column_count, row.position, &run->text);
        run->len[i] = (uint32_t)(run->text.len - run->place[i]);
        memcpy(run->head[i], run->text.data + run->place[i], MIN(run->len[i], (uint32_t)KEY_HEAD_BYTES));
    }
}

void key_run_fill(struct key_run *run, const rask_batch *b, const uint16_t *columns, uint32_t column_count,
                  uint32_t from, uint32_t rows)
{
    const rask_field *first = &b->schema->fields[columns[0]];
    bool plain = column_count == 1 && !first->nullable;

    CHECK(rows <= KEY_RUN_ROWS);
    bytes_clear(&run->text);
    run->rows = rows;
    if (plain && schema_is_view(first))
        run_strings(run, b, columns, from);
    else if (plain && (first->type == RASK_T_BIGINT || first->type == RASK_T_TIMESTAMP))
        run_i64(run, b, columns, from);
    else
        run_general(run, b, columns, column_count, from);
}

uint32_t key_group_default_max(uint32_t parallelism)
{
    uint64_t want = (uint64_t)parallelism + parallelism / 2, power = 128;

    while (power < want && power < 32768)
        power *= 2;
    return (uint32_t)power;
}
