/*
 * key_bytes.c - key bytes and hashes; the layout is in key_bytes.h and frozen.
 * Thread: any.
 */
#include "common/types/key_bytes.h"

#include "common/base/check.h"
#include "common/base/cpu.h"
#include "common/base/hash.h"
#include "common/types/batch_private.h"

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

static uint8_t *put_row(uint8_t *to, const rask_row *row);

/* Elements one after the other, behind their number; a ROW: its columns. */
static uint8_t *put_nested(uint8_t *to, const rask_field *field, const rask_row *row, int column)
{
    rask_array a = rask_array_at(row, column);

    if (field->type != RASK_T_ROW)
        to = put_be(to, a.count, 4);
    for (uint32_t i = 0; i < a.count; i++)
        to = put_row(to, &(rask_row){a.rows, a.first + i});
    return to;
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
    case RASK_T_ARRAY:
    case RASK_T_MAP:
    case RASK_T_ROW:
        return put_nested(to, field, row, column);
    default:
        return put_signed(to, rask_i64(row, column), 8);
    }
}

static uint8_t *put_nullable(uint8_t *to, const rask_row *row, uint32_t column)
{
    const rask_field *f = &row->batch->schema->fields[column];

    if (f->nullable)
        *to++ = !rask_is_null(row, (int)column);
    return f->nullable && !to[-1] ? to : put_cell(to, f, row, (int)column);
}

static uint8_t *put_row(uint8_t *to, const rask_row *row)
{
    for (uint32_t i = 0; i < row->batch->schema->columns; i++)
        to = put_nullable(to, row, i);
    return to;
}

/* At least what put_nullable writes. */
static uint64_t cell_size(const rask_row *row, uint32_t column)
{
    const rask_field *f = &row->batch->schema->fields[column];
    uint64_t size = f->nullable ? 1 : 0;
    rask_array a;

    if (schema_is_view(f))
        return size + 4 + rask_string(row, (int)column).len;
    if (!schema_is_nested(f))
        return size + schema_width(f);
    a = rask_array_at(row, (int)column);
    size += 4;
    for (uint32_t i = 0; i < a.count; i++)
        for (uint32_t c = 0; c < a.rows->schema->columns; c++)
            size += cell_size(&(rask_row){a.rows, a.first + i}, c);
    return size;
}

static uint64_t key_size(const rask_row *row, const uint16_t *columns, uint32_t column_count)
{
    uint64_t size = 0;

    for (uint32_t i = 0; i < column_count; i++)
        size += cell_size(row, columns[i]);
    return size;
}

/* At most key_size bytes. */
static uint8_t *key_put(uint8_t *to, const rask_row *row, const uint16_t *columns,
                        uint32_t column_count)
{
    for (uint32_t i = 0; i < column_count; i++)
        to = put_nullable(to, row, columns[i]);
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

/* ---- runs ---- */

/* The whole key of a string of more than 12 bytes; the head is not read back from there, which would wait for the stores. */
static void run_add_string(struct key_run *run, uint32_t i, rask_str s)
{
    struct bytes *text = &run->text;
    uint32_t first;

    memcpy(&first, s.data, sizeof(first));
    run->head[i][0] = (uint64_t)first << 32 | __builtin_bswap32(s.len);
    memcpy(&run->head[i][1], s.data + sizeof(first), sizeof(run->head[i][1]));
    run->place[i] = text->len;
    bytes_reserve(text, 4 + (size_t)s.len);
    text_copy(put_be(text->data + text->len, s.len, 4), s.data, s.len);
    text->len += 4 + (size_t)s.len;
}

#if defined(__x86_64__)
/* As below, 16 cells at a time; returns how many are done. */
WIDE_VIEWS static uint32_t run_cells_16(struct key_run *run, const uint8_t *cells, uint64_t *ret_long)
{
    const __m512i turned = _mm512_broadcast_i32x4(_mm_setr_epi8(3, 2, 1, 0, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    uint32_t i = 0;

    _Static_assert(KEY_RUN_ROWS <= 64, "a bit for each key");
    for (; i + 16 <= run->rows; i += 16, cells += 16 * sizeof(view_words)) {
        __m512i len = _mm512_add_epi32(view_lens_16(cells), _mm512_set1_epi32(4));

        _mm512_storeu_si512(&run->len[i], len);
        *ret_long |= (uint64_t)_mm512_cmpgt_epu32_mask(len, _mm512_set1_epi32(KEY_HEAD_BYTES)) << i;
        for (uint32_t k = 0; k < 16; k += 4)
            _mm512_storeu_si512(run->head[i + k], _mm512_shuffle_epi8(_mm512_loadu_si512(cells + k * sizeof(view_words)), turned));
    }
    return i;
}
#endif

/* A short view is nearly its key: only the length is turned. The bits of those that are not short: a branch for each row
 * would often be guessed wrong. */
static uint64_t run_cells(struct key_run *run, const rask_batch *b, const view_words *cells, uint32_t from)
{
    uint64_t is_long = 0;
    uint32_t i = 0;

#if defined(__x86_64__)
    if (!b->sel && cpu_has_avx512())
        i = run_cells_16(run, (const uint8_t *)(cells + b->first + from), &is_long);
#endif
    for (; i < run->rows; i++) {
        view_words v = cells[rask_position(b, from + i)];

        run->len[i] = 4 + view_len(v);
        run->head[i][0] = (v.low >> 32 << 32) | __builtin_bswap32(view_len(v));
        run->head[i][1] = v.high;
        is_long |= (uint64_t)(view_len(v) > 12) << i;
    }
    return is_long;
}

static void run_strings(struct key_run *run, const rask_batch *b, const uint16_t *column, uint32_t from)
{
    const rask_view *cells = b->columns[*column].data;

    run->is_long = run_cells(run, b, b->columns[*column].data, from);
    for (uint64_t is_long = run->is_long; is_long; is_long &= is_long - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(is_long);

        run_add_string(run, i, rask_view_str(b, &cells[rask_position(b, from + i)]));
    }
}

static inline uint64_t be_of_signed(int64_t v)
{
    return __builtin_bswap64((uint64_t)v ^ UINT64_C(1) << 63);
}

static void run_i64(struct key_run *run, const rask_batch *b, const uint16_t *column, uint32_t from)
{
    const int64_t *cells = b->columns[*column].data;

    for (uint32_t i = 0; i < run->rows; i++) {
        run->len[i] = 8;
        run->head[i][0] = be_of_signed(cells[rask_position(b, from + i)]);
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
        run->is_long |= (uint64_t)(run->len[i] > KEY_HEAD_BYTES) << i;
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
    run->is_long = 0;
    if (plain && schema_is_view(first))
        run_strings(run, b, columns, from);
    else if (plain && (first->type == RASK_T_BIGINT || first->type == RASK_T_TIMESTAMP))
        run_i64(run, b, columns, from);
    else
        run_general(run, b, columns, column_count, from);
}

void key_run_hash(const struct key_run *run, uint64_t *hash)
{
    hash_xxh3_heads(run->head, run->len, run->rows, hash);
    for (uint64_t is_long = run->is_long; is_long; is_long &= is_long - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(is_long);

        hash[i] = hash_xxh3(run->text.data + run->place[i], run->len[i]);
    }
}

/* One NOT NULL column of numbers without a selection: no key bytes are written at all. */
static bool hash_numbers(const rask_batch *b, const uint16_t *columns, uint32_t column_count, uint64_t *hash)
{
    const rask_field *f = &b->schema->fields[columns[0]];
    const void *cells = b->columns[columns[0]].data;

    if (column_count != 1 || f->nullable || b->sel)
        return false;
    switch (f->type) {
    case RASK_T_BIGINT:
    case RASK_T_TIMESTAMP:
        hash_xxh3_signed64((const int64_t *)cells + b->first, b->rows, hash);
        return true;
    case RASK_T_INT:
    case RASK_T_DATE:
    case RASK_T_TIME:
        hash_xxh3_signed32((const int32_t *)cells + b->first, b->rows, hash);
        return true;
    default:
        return false;
    }
}

/*
 * A key that was just written in pieces is slow to read in words: the processor waits until the pieces have left its
 * store queue.  So a run of keys is written first and hashed then.
 */
void key_hash_batch(const rask_batch *b, const uint16_t *columns, uint32_t column_count, uint64_t *hash)
{
    struct key_run run;

    CHECK(column_count >= 1);
    if (hash_numbers(b, columns, column_count, hash))
        return;
    bytes_init(&run.text);
    for (uint32_t i = 0; i < b->rows; i += KEY_RUN_ROWS) {
        key_run_fill(&run, b, columns, column_count, i, MIN(b->rows - i, (uint32_t)KEY_RUN_ROWS));
        key_run_hash(&run, hash + i);
    }
    bytes_release(&run.text);
}

uint32_t key_group_default_max(uint32_t parallelism)
{
    uint64_t want = (uint64_t)parallelism + parallelism / 2, power = 128;

    while (power < want && power < 32768)
        power *= 2;
    return (uint32_t)power;
}
