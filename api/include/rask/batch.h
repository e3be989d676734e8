/*
 * rask/batch.h - rows in columns: the unit that moves through a job.
 *
 * A batch is up to RASK_BATCH_ROWS_MAX rows of one schema, one array per column.  It is immutable once it was
 * emitted, and reference counted; headers may share columns (a projection, a filter by selection vector, a
 * slice).  Row i of a batch (0 <= i < rows) stands at the physical position rask_position(batch, i).
 *
 * Column arrays: BOOLEAN and TINYINT 1 byte, SMALLINT 2, INT, FLOAT, DATE (days since 1970) and TIME (ms of the day) 4,
 * BIGINT, DOUBLE, TIMESTAMP (ms since 1970, UTC) and DECIMAL(p <= 18) 8, DECIMAL(p > 18) 16 (rask_decimal128),
 * STRING and BYTES 16 (rask_view), ARRAY, MAP and ROW 8 (rask_span: which rows of the column's child batch).
 *
 * Readable from C11 and C++17; includes libc alone.
 */
#ifndef RASK_BATCH_H
#define RASK_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

#define RASK_ABI 1
#define RASK_BATCH_ROWS_MAX 4096
#define RASK_COLUMNS_MAX 64

enum rask_type {
    RASK_T_BOOLEAN = 1,
    RASK_T_TINYINT,
    RASK_T_SMALLINT,
    RASK_T_INT,
    RASK_T_BIGINT,
    RASK_T_FLOAT,
    RASK_T_DOUBLE,
    RASK_T_DECIMAL,
    RASK_T_STRING,
    RASK_T_BYTES,
    RASK_T_DATE,
    RASK_T_TIME,
    RASK_T_TIMESTAMP,
    RASK_T_ARRAY,
    RASK_T_MAP,
    RASK_T_ROW
};

typedef int64_t rask_ts; /* milliseconds since 1970-01-01 UTC */
#define RASK_TS_MIN INT64_MIN
#define RASK_TS_MAX INT64_MAX

typedef struct rask_schema rask_schema;

typedef struct rask_field {
    const char *name;
    uint8_t type; /* enum rask_type */
    uint8_t nullable;
    uint8_t precision, scale;  /* DECIMAL; TIMESTAMP: precision 3 */
    /* ARRAY: one column "element"; MAP: "key" NOT NULL and "value"; ROW: its columns; else NULL */
    const rask_schema *child;
} rask_field;

struct rask_schema {
    uint16_t abi, columns;
    const char *name;
    const rask_field *fields;
};

typedef struct rask_str {
    const char *data; /* not NUL-terminated; may hold any byte */
    uint32_t len;
} rask_str;
typedef rask_str rask_bytes;

typedef struct rask_decimal128 { /* two's complement, little-endian words */
    uint64_t low;
    int64_t high;
} rask_decimal128;

/* A string or byte cell (Arrow's view layout): up to 12 bytes inline (padded with 0), else prefix and place. */
typedef struct rask_view {
    uint32_t len;
    union {
        char text[12];
        struct {
            char prefix[4];
            uint32_t buffer; /* index into the batch's buffers */
            uint32_t offset;
        } ref;
    } u;
} rask_view;

/* A piece of memory with a count of its holders.  refs is changed atomically, by the engine only. */
typedef struct rask_buffer {
    uint32_t refs;
    uint32_t used;     /* bytes that hold data */
    uint64_t capacity; /* bytes at data */
    uint8_t *data;
    void (*release)(struct rask_buffer *buffer); /* called at the last unref */
    void *owner;                                 /* for release */
} rask_buffer;

/* An ARRAY, MAP or ROW cell: rows first .. first + count - 1 of the column's child. ROW: one; null: zeros. */
typedef struct rask_span {
    uint32_t first, count;
} rask_span;

typedef struct rask_batch rask_batch;
typedef struct rask_column {
    void *data;         /* cells, by physical position */
    uint64_t *validity; /* bit = 1: not null; NULL: no nulls */
    rask_buffer *owner; /* holds data and validity */
    /* ARRAY, MAP, ROW: rows for spans, without selection or extras, row i at position i; else NULL */
    rask_batch *child;
} rask_column;

enum rask_row_kind { RASK_INSERT, RASK_UPDATE_BEFORE, RASK_UPDATE_AFTER, RASK_DELETE };

struct rask_batch {
    uint32_t refs; /* of this header; changed atomically by the engine only */
    uint32_t rows; /* rows that exist for a reader: selected ones if sel is set */
    uint32_t first;      /* without sel: row i is at first + i */
    uint32_t positions;  /* physical rows held by the columns */
    const uint16_t *sel; /* rows physical positions, ascending; NULL: a plain range */
    const rask_schema *schema;
    rask_column *columns; /* schema->columns of them */
    rask_buffer **buffers; /* what views refer to; each entry holds one reference */
    uint32_t buffer_count;
    uint32_t flags;
    rask_column event_time; /* rask_ts by position; data NULL: no event time */
    rask_column kind;       /* uint8_t enum rask_row_kind by position; data NULL: all RASK_INSERT */
    rask_column hash;       /* uint64_t XXH3 of the key bytes by position; data NULL: not computed */
    rask_buffer *sel_owner; /* holds sel */
    void *pool;             /* engine */
};

/* One row: borrowed until the callback returns, and so is every string in it. */
typedef struct rask_row {
    const rask_batch *batch;
    uint32_t position;
} rask_row;

static inline uint32_t rask_position(const rask_batch *batch, uint32_t i)
{
    return batch->sel ? batch->sel[i] : batch->first + i;
}
static inline rask_row rask_batch_row(const rask_batch *batch, uint32_t i)
{
    rask_row row;
    row.batch = batch;
    row.position = rask_position(batch, i);
    return row;
}
static inline bool rask_column_is_null(const rask_column *column, uint32_t position)
{
    return column->validity && !((column->validity[position >> 6] >> (position & 63)) & 1);
}
static inline rask_str rask_view_str(const rask_batch *batch, const rask_view *view)
{
    rask_str s;
    s.len = view->len;
    s.data = view->len <= 12 ? view->u.text
                             : (const char *)batch->buffers[view->u.ref.buffer]->data + view->u.ref.offset;
    return s;
}

/* Cells by column index. The caller knows the type (RASK_ROW readers are checked by schema once per batch). */
static inline bool rask_is_null(const rask_row *row, int column)
{
    return rask_column_is_null(&row->batch->columns[column], row->position);
}
static inline bool rask_bool(const rask_row *row, int column)
{
    return ((const uint8_t *)row->batch->columns[column].data)[row->position] != 0;
}
static inline int8_t rask_i8(const rask_row *row, int column)
{
    return ((const int8_t *)row->batch->columns[column].data)[row->position];
}
static inline int16_t rask_i16(const rask_row *row, int column)
{
    return ((const int16_t *)row->batch->columns[column].data)[row->position];
}
static inline int32_t rask_i32(const rask_row *row, int column)
{
    return ((const int32_t *)row->batch->columns[column].data)[row->position];
}
static inline int64_t rask_i64(const rask_row *row, int column)
{
    return ((const int64_t *)row->batch->columns[column].data)[row->position];
}
static inline float rask_f32(const rask_row *row, int column)
{
    return ((const float *)row->batch->columns[column].data)[row->position];
}
static inline double rask_f64(const rask_row *row, int column)
{
    return ((const double *)row->batch->columns[column].data)[row->position];
}
static inline rask_decimal128 rask_dec128(const rask_row *row, int column)
{
    return ((const rask_decimal128 *)row->batch->columns[column].data)[row->position];
}
static inline rask_str rask_string(const rask_row *row, int column)
{
    return rask_view_str(row->batch, &((const rask_view *)row->batch->columns[column].data)[row->position]);
}

/* The elements of an ARRAY, or the entries of a MAP; borrowed as the row it was read from. Zeros: see rask_out_array. */
typedef struct rask_array {
    const rask_batch *rows;
    uint32_t first, count;
} rask_array;

static inline rask_array rask_array_at(const rask_row *row, int column) /* a null: count 0 */
{
    const rask_column *c = &row->batch->columns[column];
    const rask_span *span = &((const rask_span *)c->data)[row->position];
    rask_array a;
    a.rows = c->child;
    a.first = span->first;
    a.count = span->count;
    return a;
}
static inline rask_row rask_row_at(const rask_row *row, int column) /* a null: batch is NULL */
{
    const rask_column *c = &row->batch->columns[column];
    const rask_span *span = &((const rask_span *)c->data)[row->position];
    rask_row r;
    r.batch = span->count ? c->child : NULL;
    r.position = span->first;
    return r;
}
/*
 * Element or entry i (i < array.count) as a row: an element is its column 0, an entry's columns are 0 (key) and 1
 * (value). An element that is a ROW is that row itself; batch NULL: it is null.
 */
static inline rask_row rask_array_row(rask_array array, uint32_t i)
{
    rask_row r;
    r.batch = array.rows;
    r.position = array.first + i;
    return array.rows->schema->columns == 1 && array.rows->schema->fields[0].type == RASK_T_ROW ? rask_row_at(&r, 0) : r;
}

/*
 * rask_out - where rows go.  Cells of the row that is being built are written at `rows`; rask_out_end
 * finishes it.  A full output is handed on by the engine; only a row that overdraws its output by
 * more than rask's overdraft (1 MiB) waits there.
 */
typedef struct rask_out rask_out;
struct rask_out {
    const rask_schema *schema;
    rask_column *columns;    /* of the batch being filled; capacity RASK_BATCH_ROWS_MAX positions */
    uint32_t rows;           /* finished rows in the batch being filled */
    uint32_t rows_limit;     /* rask_out_end hands the batch on at this many */
    uint64_t string_bytes;   /* bytes of strings, and of rows inside cells, in the batch being filled */
    uint64_t string_limit;   /* ... and at this many */
    rask_ts event_time;      /* of the rows being emitted; RASK_TS_MIN: none */
    uint8_t row_kind;        /* enum rask_row_kind of the rows being emitted */
    uint8_t bad;             /* a cell was refused: rask_out_end returns the error */
    const rask_schema *checked; /* last foreign schema that was found equal */
    void *engine;
    /* For rask_out_is_ready alone: */
    rask_ts *times;      /* of the rows being filled; NULL: none of them has an event time */
    uint32_t ready_rows; /* rows below it need nothing but their cells; 0 while a row is begun */
    uint8_t attention;   /* a cell was refused, or strings have reached their limit */
};

/* All return 0 or a negative error code (the context then holds the text).  Borrowed arguments are copied. */
int rask_out_begin(rask_out *out, const rask_schema *schema);
int rask_out_end(rask_out *out);
void rask_out_drop(rask_out *out); /* the row that was begun, and what was emitted for its cells */
void rask_out_string(rask_out *out, int column, rask_str value);
void rask_out_null(rask_out *out, int column); /* NOT NULL column: the row fails */
/*
 * Where the rows go that an ARRAY, MAP or ROW cell of the next row consists of: any number of elements or entries, one
 * row of a ROW.  They are finished before rask_out_end of the row that holds them, and a NULL cell drops them.  An element
 * has the column "element", an entry "key" and "value"; elements that are ROWs are emitted as such rows.
 *     rask_out *tags = rask_out_nested(out, order_col_tags);
 *     rask_add_string(tags, tag);  ...  order_emit(out, &order);     with order.tags left as zeros
 * Owned by out.
 */
rask_out *rask_out_nested(rask_out *out, int column);
int rask_out_null_row(rask_out *elements); /* a null element of ARRAY(NULL_ROW(...)) */
/* Copies what was read from another row; zeros: the cell is what was emitted to rask_out_nested, so far nothing: empty. */
void rask_out_array(rask_out *out, int column, rask_array value);
void rask_out_row(rask_out *out, int column, rask_row value); /* copies a ROW */
/* The whole row; strings shared, not copied. The schemas must be equal. */
int rask_forward(rask_out *out, const rask_row *row);
/* Hands a whole batch on; *batch is taken and set to NULL. Schema must equal the output's. */
int rask_emit_batch(rask_out *out, rask_batch **batch);

/* The straight way through begin and end, for writers that set every cell (rask/row.h): no call is made while it is true. */
static inline bool rask_out_is_ready(const rask_out *out, const rask_schema *schema)
{
    return schema == out->checked && out->rows < out->ready_rows && out->row_kind == RASK_INSERT &&
           (out->times || out->event_time == RASK_TS_MIN);
}
static inline int rask_out_done(rask_out *out)
{
    if (out->rows >= out->ready_rows || out->attention)
        return rask_out_end(out);
    if (out->times)
        out->times[out->rows] = out->event_time;
    out->rows++;
    return 0;
}

static inline void rask_out_bool(rask_out *out, int column, bool v)
{
    ((uint8_t *)out->columns[column].data)[out->rows] = v;
}
static inline void rask_out_i8(rask_out *out, int column, int8_t v)
{
    ((int8_t *)out->columns[column].data)[out->rows] = v;
}
static inline void rask_out_i16(rask_out *out, int column, int16_t v)
{
    ((int16_t *)out->columns[column].data)[out->rows] = v;
}
static inline void rask_out_i32(rask_out *out, int column, int32_t v)
{
    ((int32_t *)out->columns[column].data)[out->rows] = v;
}
static inline void rask_out_i64(rask_out *out, int column, int64_t v)
{
    ((int64_t *)out->columns[column].data)[out->rows] = v;
}
static inline void rask_out_f32(rask_out *out, int column, float v)
{
    ((float *)out->columns[column].data)[out->rows] = v;
}
static inline void rask_out_f64(rask_out *out, int column, double v)
{
    ((double *)out->columns[column].data)[out->rows] = v;
}
static inline void rask_out_dec128(rask_out *out, int column, rask_decimal128 v)
{
    ((rask_decimal128 *)out->columns[column].data)[out->rows] = v;
}

/* Elements of an ARRAY of numbers (integers of any width, dates and times), strings or bytes; NULL. */
int rask_add_i64(rask_out *elements, int64_t v);
int rask_add_f64(rask_out *elements, double v); /* FLOAT, DOUBLE */
int rask_add_bool(rask_out *elements, bool v);
int rask_add_dec128(rask_out *elements, rask_decimal128 v); /* precision above 18; else rask_add_i64 */
int rask_add_string(rask_out *elements, rask_str v);
int rask_add_null(rask_out *elements);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
