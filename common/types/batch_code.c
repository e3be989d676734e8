/*
 * batch_code.c - a batch as bytes, for frames and files.  Version 1, little-endian; sections
 * begin at multiples of 8:
 *
 *   u16 version, u16 columns, u32 rows, u32 extras (BATCH_*), u32 heap bytes
 *   u64 columns with a bitmap: bit i = column i
 *   per column: [bitmap: a bit per row, 1 = not null] cells
 *   [event times, 8 each] [kinds, 1 each] [hashes, 8 each]
 *   heap: the bytes of strings longer than 12; their views say buffer 0 and an offset into it
 *   per ARRAY, MAP and ROW column: u64 length, and the rows inside its cells as such a batch
 *
 * Rows inside cells stand in the order of the cells, without gaps: the spans count them up.
 * It is compact: neither unselected rows nor strings that nobody refers to.  Padding is zero, and
 * so are the cells of null strings, so that equal batches give equal bytes.
 */
#include "common/base/check.h"
#include "common/types/batch_private.h"

enum { CODE_VERSION = 1, CODE_HEADER = 24 };

static uint64_t align8(uint64_t n)
{
    return (n + 7) & ~(uint64_t)7;
}

/* ---- encode ---- */

struct encoder {
    const rask_batch *b;
    uint32_t from, rows;
    uint8_t *at, *end;
};

static uint32_t enc_position(const struct encoder *e, uint32_t i)
{
    return rask_position(e->b, e->from + i);
}

static void put(struct encoder *e, const void *data, uint64_t len)
{
    memcpy(e->at, data, len);
    e->at += len;
}

static void pad(struct encoder *e, uint64_t written)
{
    uint64_t more = align8(written) - written;

    memset(e->at, 0, more);
    e->at += more;
}

static void put_cells(struct encoder *e, const void *data, uint32_t width)
{
    const uint8_t *src = data;

    if (!e->b->sel)
        put(e, src + (uint64_t)enc_position(e, 0) * width, (uint64_t)e->rows * width);
    else
        for (uint32_t i = 0; i < e->rows; i++)
            put(e, src + (uint64_t)enc_position(e, i) * width, width);
    pad(e, (uint64_t)e->rows * width);
}

static void put_bitmap(struct encoder *e, const rask_column *c)
{
    for (uint32_t i = 0; i < e->rows; i += 64) {
        uint64_t word = 0;

        for (uint32_t k = 0; k < 64 && i + k < e->rows; k++)
            word |= (uint64_t)!rask_column_is_null(c, enc_position(e, i + k)) << k;
        put(e, &word, sizeof(word));
    }
}

static void put_views(struct encoder *e, const rask_column *c, const uint8_t *heap,
                      uint8_t **heap_at)
{
    const view_words *views = c->data;
    view_words *to = (view_words *)e->at;
    uint8_t *text = *heap_at;

    for (uint32_t i = 0; i < e->rows; i++) {
        uint32_t position = enc_position(e, i);
        view_words v = views[position];

        if (c->validity && rask_column_is_null(c, position)) {
            v = (view_words){0, 0};
        } else if (view_len(v) > 12) {
            text_copy(text, e->b->buffers[view_buffer(v)]->data + view_offset(v), view_len(v));
            v = view_at(v, 0, (uint32_t)(text - heap));
            text += view_len(v);
        }
        to[i] = v;
    }
    e->at += (uint64_t)e->rows * sizeof(*to);
    *heap_at = text;
}

static void put_spans(struct encoder *e, const rask_column *c)
{
    const rask_span *spans = c->data;
    uint32_t at = 0;

    for (uint32_t i = 0; i < e->rows; i++) {
        uint32_t position = enc_position(e, i);
        rask_span span = {at, spans[position].count};

        if (c->validity && rask_column_is_null(c, position))
            span = (rask_span){0, 0};
        put(e, &span, sizeof(span));
        at += span.count;
    }
}

static bool has_null(const struct encoder *e, const rask_column *c)
{
    if (c->validity)
        for (uint32_t i = 0; i < e->rows; i++)
            if (rask_column_is_null(c, enc_position(e, i)))
                return true;
    return false;
}

static uint64_t heap_size(const struct encoder *e, const rask_column *c)
{
    const rask_view *views = c->data;
    uint64_t size = 0;

    for (uint32_t i = 0; i < e->rows; i++) {
        uint32_t position = enc_position(e, i), len = views[position].len;

        if (len > 12 && !(c->validity && rask_column_is_null(c, position)))
            size += len;
    }
    return size;
}

static void put_columns(struct encoder *e, uint64_t with_bitmap, const uint8_t *heap,
                        uint8_t *heap_at)
{
    const rask_batch *b = e->b;

    for (uint32_t c = 0; c < b->schema->columns; c++) {
        if ((with_bitmap >> c) & 1)
            put_bitmap(e, &b->columns[c]);
        if (schema_is_view(&b->schema->fields[c]))
            put_views(e, &b->columns[c], heap, &heap_at);
        else if (schema_is_nested(&b->schema->fields[c]))
            put_spans(e, &b->columns[c]);
        else
            put_cells(e, b->columns[c].data, schema_width(&b->schema->fields[c]));
    }
    if (b->event_time.data)
        put_cells(e, b->event_time.data, 8);
    if (b->kind.data)
        put_cells(e, b->kind.data, 1);
    if (b->hash.data)
        put_cells(e, b->hash.data, 8);
    CHECK(e->at == heap);
}

static uint64_t fixed_size(const rask_schema *schema, uint32_t rows, uint32_t extras,
                           uint64_t with_bitmap)
{
    uint64_t size = CODE_HEADER, bitmap = ((uint64_t)rows + 63) / 64 * 8;

    for (uint32_t c = 0; c < schema->columns; c++)
        size += align8((uint64_t)rows * schema_width(&schema->fields[c])) +
                ((with_bitmap >> c) & 1 ? bitmap : 0);
    size += extras & BATCH_EVENT_TIME ? (uint64_t)rows * 8 : 0;
    size += extras & BATCH_KIND ? align8(rows) : 0;
    size += extras & BATCH_HASH ? (uint64_t)rows * 8 : 0;
    return size;
}

/* The rows inside the cells of a column, behind their length. */
static void add_inside(const rask_batch *b, uint32_t column, uint32_t from_row, uint32_t rows,
                       struct bytes *out)
{
    size_t place = out->len;
    rask_batch *joined;
    struct runs runs;
    uint64_t len;

    bytes_add_u64(out, 0);
    batch_runs_init(&runs);
    batch_runs_add_cells(&runs, b, column, from_row, rows);
    if (runs.count == 1) {
        batch_encode(runs.list[0].from, runs.list[0].span.first, runs.list[0].span.count, out);
    } else {
        joined = batch_concat(b->pool, b->schema->fields[column].child, &runs);
        batch_encode(joined, 0, joined->rows, out);
        batch_unref(joined);
    }
    batch_runs_release(&runs);
    len = out->len - place - sizeof(len);
    memcpy(out->data + place, &len, sizeof(len));
}

void batch_encode(const rask_batch *b, uint32_t from_row, uint32_t rows, struct bytes *out)
{
    struct encoder e = {b, from_row, rows, NULL, NULL};
    uint32_t extras = (b->event_time.data ? BATCH_EVENT_TIME : 0) |
                      (b->kind.data ? BATCH_KIND : 0) | (b->hash.data ? BATCH_HASH : 0);
    uint16_t version = CODE_VERSION;
    uint64_t with_bitmap = 0, heap_bytes = 0, fixed;
    uint32_t heap32;
    uint8_t *heap;

    CHECK(from_row <= b->rows);
    CHECK(rows <= b->rows - from_row);
    for (uint32_t c = 0; c < b->schema->columns; c++) {
        with_bitmap |= (uint64_t)has_null(&e, &b->columns[c]) << c;
        if (schema_is_view(&b->schema->fields[c]) && b->buffer_count)
            heap_bytes += heap_size(&e, &b->columns[c]);
    }
    CHECK(heap_bytes <= UINT32_MAX - 8);
    heap32 = (uint32_t)heap_bytes;
    fixed = fixed_size(b->schema, rows, extras, with_bitmap);
    bytes_reserve(out, fixed + align8(heap_bytes));
    e.at = out->data + out->len;
    heap = e.at + fixed;
    put(&e, &version, 2);
    put(&e, &b->schema->columns, 2);
    put(&e, &rows, 4);
    put(&e, &extras, 4);
    put(&e, &heap32, 4);
    put(&e, &with_bitmap, 8);
    put_columns(&e, with_bitmap, heap, heap);
    e.at += heap_bytes;
    pad(&e, heap_bytes);
    out->len += fixed + align8(heap_bytes);
    out->data[out->len] = 0;
    for (uint32_t c = 0; c < b->schema->columns; c++)
        if (schema_is_nested(&b->schema->fields[c]))
            add_inside(b, c, from_row, rows, out);
}

/* ---- encode in pieces ---- */

struct piece_list {
    struct batch_piece *list;
    uint32_t count;
    struct bytes *out;
};

/* What out has got since `from` follows the pieces so far. */
static void piece_of_out(struct piece_list *p, size_t from)
{
    struct batch_piece *last = p->count ? &p->list[p->count - 1] : NULL;
    size_t len = p->out->len - from;

    if (len == 0)
        return;
    if (last && !last->data && last->at + last->len == from)
        last->len += len;
    else
        p->list[p->count++] = (struct batch_piece){NULL, from, len};
}

static void pieces_add_cells(struct piece_list *p, const struct encoder *e, const void *data, uint32_t width)
{
    static const uint8_t zeros[8];
    uint64_t len = (uint64_t)e->rows * width;
    size_t from = p->out->len;

    p->list[p->count++] =
        (struct batch_piece){(const uint8_t *)data + (uint64_t)enc_position(e, 0) * width, 0, len};
    bytes_add(p->out, zeros, align8(len) - len);
    piece_of_out(p, from);
}

static void pieces_add_bitmap(struct piece_list *p, struct encoder *e, const rask_column *c)
{
    uint64_t len = ((uint64_t)e->rows + 63) / 64 * 8;
    size_t from = p->out->len;

    bytes_reserve(p->out, len);
    e->at = p->out->data + from;
    put_bitmap(e, c);
    p->out->len += len;
    piece_of_out(p, from);
}

/* False for what has to be rewritten on the way. */
static bool has_plain_cells(const rask_batch *b)
{
    for (uint32_t c = 0; c < b->schema->columns; c++)
        if (schema_is_nested(&b->schema->fields[c]))
            return false;
    return !b->sel && b->buffer_count == 0;
}

uint32_t batch_encode_pieces(const rask_batch *b, uint32_t from_row, uint32_t rows, struct bytes *out,
                             struct batch_piece pieces[BATCH_PIECES_MAX])
{
    struct encoder e = {b, from_row, rows, NULL, NULL};
    uint32_t extras = (b->event_time.data ? BATCH_EVENT_TIME : 0) |
                      (b->kind.data ? BATCH_KIND : 0) | (b->hash.data ? BATCH_HASH : 0);
    struct piece_list p = {pieces, 0, out};
    uint64_t with_bitmap = 0;
    size_t from = out->len;

    CHECK(from_row <= b->rows);
    CHECK(rows <= b->rows - from_row);
    if (rows == 0 || !has_plain_cells(b))
        return 0;
    for (uint32_t c = 0; c < b->schema->columns; c++)
        with_bitmap |= (uint64_t)has_null(&e, &b->columns[c]) << c;
    bytes_add_u16(out, CODE_VERSION);
    bytes_add_u16(out, b->schema->columns);
    bytes_add_u32(out, rows);
    bytes_add_u32(out, extras);
    bytes_add_u32(out, 0);
    bytes_add_u64(out, with_bitmap);
    piece_of_out(&p, from);
    for (uint32_t c = 0; c < b->schema->columns; c++) {
        if ((with_bitmap >> c) & 1)
            pieces_add_bitmap(&p, &e, &b->columns[c]);
        pieces_add_cells(&p, &e, b->columns[c].data, schema_width(&b->schema->fields[c]));
    }
    if (b->event_time.data)
        pieces_add_cells(&p, &e, b->event_time.data, 8);
    if (b->kind.data)
        pieces_add_cells(&p, &e, b->kind.data, 1);
    if (b->hash.data)
        pieces_add_cells(&p, &e, b->hash.data, 8);
    CHECK(p.count <= BATCH_PIECES_MAX);
    return p.count;
}

/* ---- decode ---- */

/* Strings of a decoded batch lie in a buffer that is a window of the owner. */
struct window {
    rask_buffer pub;
    rask_buffer *owner;
};

static void window_release(rask_buffer *b)
{
    struct window *w = (struct window *)b;
    struct pool *pool = b->owner;

    buffer_unref(w->owner);
    pool_small_free(pool, w, sizeof(*w));
}

static rask_buffer *window_new(struct pool *pool, rask_buffer *owner, const uint8_t *data,
                               uint32_t len)
{
    struct window *w = pool_small(pool, sizeof(*w));

    w->pub = (rask_buffer){1, len, len, (uint8_t *)(uintptr_t)data, window_release, pool};
    w->owner = buffer_ref(owner);
    return &w->pub;
}

struct code_header {
    uint16_t version, columns;
    uint32_t rows, extras, heap_bytes;
    uint64_t with_bitmap;
    uint64_t own_bytes; /* up to the end of the heap */
};

static bool has_nested(const rask_schema *schema)
{
    for (uint32_t c = 0; c < schema->columns; c++)
        if (schema_is_nested(&schema->fields[c]))
            return true;
    return false;
}

/* inside: rows of cells, whose number is checked against the cells'. */
static int header_read(const rask_schema *schema, const uint8_t *payload, size_t len, bool inside,
                       struct code_header *h, struct err *err)
{
    struct reader r = reader_of(payload, len);
    uint64_t need;

    h->version = reader_u16(&r);
    h->columns = reader_u16(&r);
    h->rows = reader_u32(&r);
    h->extras = reader_u32(&r);
    h->heap_bytes = reader_u32(&r);
    h->with_bitmap = reader_u64(&r);
    if (r.bad)
        return err_set(err, ERR_CORRUPT, "an encoded batch has at least %d bytes, this one has %zu",
                       CODE_HEADER, len);
    if (h->version != CODE_VERSION)
        return err_set(err, ERR_VERSION,
                       "an encoded batch has version %u; this program reads version %d", h->version,
                       CODE_VERSION);
    if (h->columns != schema->columns)
        return err_set(err, ERR_CORRUPT, "an encoded batch has %u columns; its schema %s has %u",
                       h->columns, schema->name, schema->columns);
    if (h->rows > BATCH_POSITIONS_MAX && !inside)
        return err_set(err, ERR_CORRUPT, "an encoded batch says %u rows; at most %d are allowed",
                       h->rows, BATCH_POSITIONS_MAX);
    if (h->extras & ~(uint32_t)(inside ? 0 : BATCH_EVENT_TIME | BATCH_KIND | BATCH_HASH))
        return err_set(err, ERR_CORRUPT, "an encoded batch has unknown flags 0x%x", h->extras);
    if (h->with_bitmap & ~schema_nullable_mask(schema))
        return err_set(err, ERR_CORRUPT, "an encoded batch has nulls in a NOT NULL column of %s",
                       schema->name);
    need = fixed_size(schema, h->rows, h->extras, h->with_bitmap) + align8(h->heap_bytes);
    h->own_bytes = need;
    if (need > len || (need < len && !has_nested(schema)))
        return err_set(err, ERR_CORRUPT,
                       "an encoded batch of %u rows of %s takes %llu bytes; %zu are there", h->rows,
                       schema->name, (unsigned long long)need, len);
    return 0;
}

static int views_check(const rask_view *views, const struct code_header *h, const rask_field *field,
                       struct err *err)
{
    uint64_t bad = 0;

    for (uint32_t i = 0; i < h->rows; i++)
        if (views[i].len > 12)
            bad |= (uint64_t)(views[i].u.ref.buffer != 0) |
                   (uint64_t)((uint64_t)views[i].u.ref.offset + views[i].len > h->heap_bytes);
    return bad ? err_set(
                     err, ERR_CORRUPT,
                     "an encoded batch has a string of column '%s' outside its %u bytes of strings",
                     field->name, h->heap_bytes)
               : 0;
}

static const uint8_t *section(const uint8_t **at, uint64_t len)
{
    const uint8_t *p = *at;

    *at += align8(len);
    return p;
}

static rask_column column_at(const uint8_t *data, const uint8_t *bitmap, rask_buffer *owner)
{
    return (rask_column){(void *)(uintptr_t)data, (uint64_t *)(uintptr_t)bitmap, owner, NULL};
}

/* Spans count the rows of the child up, one for a ROW, none for a null. */
static int spans_check(const rask_column *c, uint32_t rows, const rask_field *field, uint32_t inside,
                       struct err *err)
{
    const rask_span *spans = c->data;
    uint64_t at = 0, bad = 0;

    for (uint32_t i = 0; i < rows; i++) {
        rask_span s = spans[i];

        if (rask_column_is_null(c, i))
            bad |= s.first | s.count;
        else
            bad |= (s.first ^ at) | (field->type == RASK_T_ROW ? s.count ^ 1 : 0);
        at += s.count;
    }
    if (bad || at != inside)
        return err_set(err, ERR_CORRUPT,
                       "an encoded batch has cells in column '%s' that do not fit the %u rows inside "
                       "them",
                       field->name, inside);
    return 0;
}

static int decode(struct pool *pool, const rask_schema *schema, const uint8_t *payload, size_t len,
                  bool inside, rask_buffer *owner, rask_batch **ret, struct err *err);

/* What follows the heap: the children of ARRAY, MAP and ROW columns. */
static int children_read(rask_batch *b, const uint8_t *at, uint64_t left, rask_buffer *owner,
                         struct err *err)
{
    for (uint32_t c = 0; c < b->schema->columns; c++) {
        const rask_field *f = &b->schema->fields[c];
        uint64_t len = 0;
        int rc;

        if (!schema_is_nested(f))
            continue;
        if (left >= sizeof(len))
            memcpy(&len, at, sizeof(len));
        if (left < sizeof(len) || len > left - sizeof(len) || len % 8 != 0)
            return err_set(err, ERR_CORRUPT,
                           "an encoded batch ends inside column '%s': %llu bytes of %llu are there",
                           f->name, (unsigned long long)left, (unsigned long long)len);
        rc = decode(b->pool, f->child, at + sizeof(len), len, true, owner, &b->columns[c].child, err);
        if (rc == 0)
            rc = spans_check(&b->columns[c], b->rows, f, b->columns[c].child->rows, err);
        if (rc)
            return rc;
        at += sizeof(len) + len;
        left -= sizeof(len) + len;
    }
    return left == 0 ? 0
                     : err_set(err, ERR_CORRUPT, "an encoded batch has %llu bytes behind its end",
                               (unsigned long long)left);
}

/* Points the columns of b into the payload; sizes were checked. */
static int columns_read(rask_batch *b, const struct code_header *h, const uint8_t *at,
                        rask_buffer *owner, struct err *err)
{
    const rask_schema *schema = b->schema;
    const uint8_t *kinds = NULL;
    uint8_t most = 0;

    for (uint32_t c = 0; c < schema->columns; c++) {
        const uint8_t *bitmap = NULL, *data;
        int rc;

        if ((h->with_bitmap >> c) & 1)
            bitmap = section(&at, ((uint64_t)h->rows + 63) / 64 * 8);
        data = section(&at, (uint64_t)h->rows * schema_width(&schema->fields[c]));
        b->columns[c] = column_at(data, bitmap, owner);
        if (!schema_is_view(&schema->fields[c]))
            continue;
        rc = views_check(b->columns[c].data, h, &schema->fields[c], err);
        if (rc)
            return rc;
    }
    if (h->extras & BATCH_EVENT_TIME)
        b->event_time = column_at(section(&at, (uint64_t)h->rows * 8), NULL, owner);
    if (h->extras & BATCH_KIND) {
        kinds = section(&at, h->rows);
        b->kind = column_at(kinds, NULL, owner);
    }
    if (h->extras & BATCH_HASH)
        b->hash = column_at(section(&at, (uint64_t)h->rows * 8), NULL, owner);
    for (uint32_t i = 0; kinds && i < h->rows; i++)
        most = MAX(most, kinds[i]);
    if (most > RASK_DELETE)
        return err_set(err, ERR_CORRUPT, "an encoded batch has a row of unknown kind %u", most);
    return 0;
}

static int decode(struct pool *pool, const rask_schema *schema, const uint8_t *payload, size_t len,
                  bool inside, rask_buffer *owner, rask_batch **ret, struct err *err)
{
    struct code_header h = {.own_bytes = 0};
    const uint8_t *end;
    rask_batch *b;
    int rc = header_read(schema, payload, len, inside, &h, err);

    if (rc)
        return rc;
    end = payload + h.own_bytes;
    b = batch_header(pool, schema, h.heap_bytes ? 1 : 0);
    b->rows = b->positions = h.rows;
    memset(b->columns, 0, schema->columns * sizeof(*b->columns));
    rc = columns_read(b, &h, payload + CODE_HEADER, owner, err);
    if (rc == 0)
        rc = children_read(b, end, len - h.own_bytes, owner, err);
    if (rc) {
        for (uint32_t c = 0; c < schema->columns; c++)
            batch_unref(b->columns[c].child);
        pool_small_free(pool, b, ((struct batch_full *)b)->size);
        return rc;
    }
    batch_hold(b, owner);
    if (h.heap_bytes)
        b->buffers[0] = window_new(pool, owner, end - align8(h.heap_bytes), h.heap_bytes);
    *ret = b;
    return 0;
}

int batch_decode(struct pool *pool, const rask_schema *schema, const uint8_t *payload, size_t len,
                 rask_buffer *owner, rask_batch **ret, struct err *err)
{
    if ((uintptr_t)payload % 8 != 0)
        return err_set(err, ERR_INVALID, "an encoded batch must lie at a multiple of 8 bytes");
    return decode(pool, schema, payload, len, false, owner, ret, err);
}
