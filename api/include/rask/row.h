/*
 * rask/row.h - rows as C structs.
 *
 *     RASK_ROW(count, (STRING, word), (BIGINT, n));
 *
 * declares struct count { rask_str word; int64_t n; } and
 *     count_schema                      what the engine knows of it
 *     count_col_word, count_col_n       column numbers; count_columns: how many
 *     struct count count_at(row)        a row read: strings are borrowed until the callback returns
 *     int count_emit(out, &count)       a row written: everything is copied
 *
 * Types: BOOLEAN bool, TINYINT int8_t, SMALLINT int16_t, INT int32_t, BIGINT int64_t, FLOAT float,
 * DOUBLE double, DECIMAL(p, s) int64_t up to p = 18 (units of 10^-s) and rask_decimal128 up to 38,
 * STRING rask_str, BYTES rask_bytes, DATE int32_t (days since 1970-01-01), TIME int32_t (ms of the
 * day), TIMESTAMP rask_ts (ms since 1970, UTC).  They are NOT NULL.  NULL_STRING, NULL_INT
 * ... are nullable and give struct { value; is_null; }; a null is read with a value of zero.
 * p and s are plain numbers.  1 to 64 columns.
 *
 * Rows inside cells: ROW(item) is a struct item, declared before.  ARRAY(T) and MAP(K, V) are a rask_array: rows to be read
 * with rask_array_row; keys are NOT NULL.  T, K and V are any of these types: ARRAY(NULL_INT), MAP(STRING, ROW(item)),
 * ARRAY(ARRAY(INT)); what lies deeper goes through a ROW.
 *     for (uint32_t i = 0; i < order.items.count; i++) {
 *         rask_row r = rask_array_row(order.items, i);
 *         struct item item = item_at(&r);               (of ARRAY(STRING): rask_string(&r, 0))
 * To write one, emit its elements to rask_out_nested before the row, and leave the member zero; or give it an array that
 * was read from another row, which is copied.
 *
 * RASK_STATE is a RASK_ROW of fixed-width NOT NULL columns whose struct is used in place as state:
 *     struct spent *spent_of(ctx, state)            to change; zeroed when absent
 *     const struct spent *spent_peek(ctx, state)    to read; NULL when absent
 * Both are valid until the callback returns.
 *
 * Readable from C11 and C++17; includes libc alone.
 */
#ifndef RASK_ROW_H
#define RASK_ROW_H

#include <rask/batch.h>
#include <rask/each.h>
#include <rask/inside.h>
#include <rask/make.h>
#include <rask/operator.h>

#ifdef __cplusplus
#define RASK_ALIGN8_ alignas(8)
#define RASK_ASSERT_(cond, text) static_assert(cond, text)
#else
#define RASK_ALIGN8_ _Alignas(8)
#define RASK_ASSERT_(cond, text) _Static_assert(cond, text)
#endif
#if defined(__GNUC__)
#define RASK_UNUSED_ __attribute__((unused))
#else
#define RASK_UNUSED_
#endif

/* ---- nullable cells ---- */

#define RASK_NULLABLE_(name, type, get, put)                                                       \
    typedef struct rask_null_##name {                                                              \
        type value;                                                                                \
        bool is_null;                                                                              \
    } rask_null_##name;                                                                            \
    static inline rask_null_##name rask_get_null_##name(const rask_row *row, int column)           \
    {                                                                                              \
        rask_null_##name v;                                                                        \
        memset(&v, 0, sizeof(v));                                                                  \
        v.is_null = rask_is_null(row, column);                                                     \
        if (!v.is_null)                                                                            \
            v.value = get(row, column);                                                            \
        return v;                                                                                  \
    }                                                                                              \
    static inline void rask_put_null_##name(rask_out *out, int column, rask_null_##name v)         \
    {                                                                                              \
        if (v.is_null)                                                                             \
            rask_out_null(out, column);                                                            \
        else                                                                                       \
            put(out, column, v.value);                                                             \
    }                                                                                              \
    struct rask_null_##name
RASK_NULLABLE_(bool, bool, rask_bool, rask_out_bool);
RASK_NULLABLE_(i8, int8_t, rask_i8, rask_out_i8);
RASK_NULLABLE_(i16, int16_t, rask_i16, rask_out_i16);
RASK_NULLABLE_(i32, int32_t, rask_i32, rask_out_i32);
RASK_NULLABLE_(i64, int64_t, rask_i64, rask_out_i64);
RASK_NULLABLE_(f32, float, rask_f32, rask_out_f32);
RASK_NULLABLE_(f64, double, rask_f64, rask_out_f64);
RASK_NULLABLE_(dec128, rask_decimal128, rask_dec128, rask_out_dec128);
RASK_NULLABLE_(string, rask_str, rask_string, rask_out_string);
RASK_NULLABLE_(array, rask_array, rask_array_at, rask_out_array);

/* By its parts: a rask_str copied whole is read with its padding, and that stalls right after its
 * length was written. */
static inline void rask_put_string(rask_out *out, int column, const char *data, uint32_t len)
{
    if (len <= 12) {
        ((rask_view *)out->columns[column].data)[out->rows] = rask_view_short(data, len);
    } else {
        rask_str s;
        s.data = data;
        s.len = len;
        rask_out_string(out, column, s);
    }
}

/* ---- per type: kind of the cell (words that nobody defines as macros) ---- */

#define RASK_K_BOOLEAN k_bool
#define RASK_K_TINYINT k_i8
#define RASK_K_SMALLINT k_i16
#define RASK_K_INT k_i32
#define RASK_K_BIGINT k_i64
#define RASK_K_FLOAT k_f32
#define RASK_K_DOUBLE k_f64
#define RASK_K_DECIMAL(p, s) RASK_CAT_(k_, RASK_DEC_##p)
#define RASK_K_STRING k_string
#define RASK_K_BYTES k_string
#define RASK_K_DATE k_i32
#define RASK_K_TIME k_i32
#define RASK_K_TIMESTAMP k_i64
#define RASK_K_NULL_BOOLEAN k_null_bool
#define RASK_K_NULL_TINYINT k_null_i8
#define RASK_K_NULL_SMALLINT k_null_i16
#define RASK_K_NULL_INT k_null_i32
#define RASK_K_NULL_BIGINT k_null_i64
#define RASK_K_NULL_FLOAT k_null_f32
#define RASK_K_NULL_DOUBLE k_null_f64
#define RASK_K_NULL_DECIMAL(p, s) RASK_CAT_(k_null_, RASK_DEC_##p)
#define RASK_K_NULL_STRING k_null_string
#define RASK_K_NULL_BYTES k_null_string
#define RASK_K_NULL_DATE k_null_i32
#define RASK_K_NULL_TIME k_null_i32
#define RASK_K_NULL_TIMESTAMP k_null_i64
#define RASK_K_ARRAY(T) k_array
#define RASK_K_MAP(K, V) k_array
#define RASK_K_ROW(name) k_row(name)
#define RASK_K_NULL_ARRAY(T) k_null_array
#define RASK_K_NULL_MAP(K, V) k_null_array
#define RASK_K_NULL_ROW(name) k_null_row(name)

#define RASK_CAT_(a, b) RASK_CAT2_(a, b)
#define RASK_CAT2_(a, b) a##b

/* The precision of a DECIMAL decides how it is kept. */
#define RASK_DEC_1 dec64
#define RASK_DEC_2 dec64
#define RASK_DEC_3 dec64
#define RASK_DEC_4 dec64
#define RASK_DEC_5 dec64
#define RASK_DEC_6 dec64
#define RASK_DEC_7 dec64
#define RASK_DEC_8 dec64
#define RASK_DEC_9 dec64
#define RASK_DEC_10 dec64
#define RASK_DEC_11 dec64
#define RASK_DEC_12 dec64
#define RASK_DEC_13 dec64
#define RASK_DEC_14 dec64
#define RASK_DEC_15 dec64
#define RASK_DEC_16 dec64
#define RASK_DEC_17 dec64
#define RASK_DEC_18 dec64
#define RASK_DEC_19 dec128
#define RASK_DEC_20 dec128
#define RASK_DEC_21 dec128
#define RASK_DEC_22 dec128
#define RASK_DEC_23 dec128
#define RASK_DEC_24 dec128
#define RASK_DEC_25 dec128
#define RASK_DEC_26 dec128
#define RASK_DEC_27 dec128
#define RASK_DEC_28 dec128
#define RASK_DEC_29 dec128
#define RASK_DEC_30 dec128
#define RASK_DEC_31 dec128
#define RASK_DEC_32 dec128
#define RASK_DEC_33 dec128
#define RASK_DEC_34 dec128
#define RASK_DEC_35 dec128
#define RASK_DEC_36 dec128
#define RASK_DEC_37 dec128
#define RASK_DEC_38 dec128

/* ---- per kind: C type, reader, writer, bytes in a state (1: none, so the sum is wrong) ---- */

#define RASK_C_k_bool bool
#define RASK_C_k_i8 int8_t
#define RASK_C_k_i16 int16_t
#define RASK_C_k_i32 int32_t
#define RASK_C_k_i64 int64_t
#define RASK_C_k_dec64 int64_t
#define RASK_C_k_f32 float
#define RASK_C_k_f64 double
#define RASK_C_k_dec128 rask_decimal128
#define RASK_C_k_string rask_str
#define RASK_C_k_null_bool rask_null_bool
#define RASK_C_k_null_i8 rask_null_i8
#define RASK_C_k_null_i16 rask_null_i16
#define RASK_C_k_null_i32 rask_null_i32
#define RASK_C_k_null_i64 rask_null_i64
#define RASK_C_k_null_dec64 rask_null_i64
#define RASK_C_k_null_f32 rask_null_f32
#define RASK_C_k_null_f64 rask_null_f64
#define RASK_C_k_null_dec128 rask_null_dec128
#define RASK_C_k_null_string rask_null_string
#define RASK_C_k_array rask_array
#define RASK_C_k_row(name) struct name
#define RASK_C_k_null_array rask_null_array
#define RASK_C_k_null_row(name) struct name##_or_null

#define RASK_GET_k_bool rask_bool
#define RASK_GET_k_i8 rask_i8
#define RASK_GET_k_i16 rask_i16
#define RASK_GET_k_i32 rask_i32
#define RASK_GET_k_i64 rask_i64
#define RASK_GET_k_dec64 rask_i64
#define RASK_GET_k_f32 rask_f32
#define RASK_GET_k_f64 rask_f64
#define RASK_GET_k_dec128 rask_dec128
#define RASK_GET_k_string rask_string
#define RASK_GET_k_null_bool rask_get_null_bool
#define RASK_GET_k_null_i8 rask_get_null_i8
#define RASK_GET_k_null_i16 rask_get_null_i16
#define RASK_GET_k_null_i32 rask_get_null_i32
#define RASK_GET_k_null_i64 rask_get_null_i64
#define RASK_GET_k_null_dec64 rask_get_null_i64
#define RASK_GET_k_null_f32 rask_get_null_f32
#define RASK_GET_k_null_f64 rask_get_null_f64
#define RASK_GET_k_null_dec128 rask_get_null_dec128
#define RASK_GET_k_null_string rask_get_null_string
#define RASK_GET_k_array rask_array_at
#define RASK_GET_k_row(name) name##_get_
#define RASK_GET_k_null_array rask_get_null_array
#define RASK_GET_k_null_row(name) name##_get_null_

#define RASK_PUT_k_bool rask_out_bool
#define RASK_PUT_k_i8 rask_out_i8
#define RASK_PUT_k_i16 rask_out_i16
#define RASK_PUT_k_i32 rask_out_i32
#define RASK_PUT_k_i64 rask_out_i64
#define RASK_PUT_k_dec64 rask_out_i64
#define RASK_PUT_k_f32 rask_out_f32
#define RASK_PUT_k_f64 rask_out_f64
#define RASK_PUT_k_dec128 rask_out_dec128
#define RASK_PUT_k_string(out, column, v) rask_put_string(out, column, (v).data, (v).len)
#define RASK_PUT_k_null_bool rask_put_null_bool
#define RASK_PUT_k_null_i8 rask_put_null_i8
#define RASK_PUT_k_null_i16 rask_put_null_i16
#define RASK_PUT_k_null_i32 rask_put_null_i32
#define RASK_PUT_k_null_i64 rask_put_null_i64
#define RASK_PUT_k_null_dec64 rask_put_null_i64
#define RASK_PUT_k_null_f32 rask_put_null_f32
#define RASK_PUT_k_null_f64 rask_put_null_f64
#define RASK_PUT_k_null_dec128 rask_put_null_dec128
#define RASK_PUT_k_null_string rask_put_null_string
#define RASK_PUT_k_array rask_out_array
#define RASK_PUT_k_row(name) name##_put_
#define RASK_PUT_k_null_array rask_put_null_array
#define RASK_PUT_k_null_row(name) name##_put_null_

#define RASK_SLOT_k_bool 8
#define RASK_SLOT_k_i8 8
#define RASK_SLOT_k_i16 8
#define RASK_SLOT_k_i32 8
#define RASK_SLOT_k_i64 8
#define RASK_SLOT_k_dec64 8
#define RASK_SLOT_k_f32 8
#define RASK_SLOT_k_f64 8
#define RASK_SLOT_k_dec128 16
#define RASK_SLOT_k_string 1
#define RASK_SLOT_k_null_bool 1
#define RASK_SLOT_k_null_i8 1
#define RASK_SLOT_k_null_i16 1
#define RASK_SLOT_k_null_i32 1
#define RASK_SLOT_k_null_i64 1
#define RASK_SLOT_k_null_dec64 1
#define RASK_SLOT_k_null_f32 1
#define RASK_SLOT_k_null_f64 1
#define RASK_SLOT_k_null_dec128 1
#define RASK_SLOT_k_null_string 1
#define RASK_SLOT_k_array 1
#define RASK_SLOT_k_row(name) 1
#define RASK_SLOT_k_null_array 1
#define RASK_SLOT_k_null_row(name) 1

/* ---- per type: type, nullable, precision, scale, child of its rask_field; ARRAY, MAP: rask/inside.h ---- */

#define RASK_F_BOOLEAN RASK_T_BOOLEAN, 0, 0, 0, NULL
#define RASK_F_TINYINT RASK_T_TINYINT, 0, 0, 0, NULL
#define RASK_F_SMALLINT RASK_T_SMALLINT, 0, 0, 0, NULL
#define RASK_F_INT RASK_T_INT, 0, 0, 0, NULL
#define RASK_F_BIGINT RASK_T_BIGINT, 0, 0, 0, NULL
#define RASK_F_FLOAT RASK_T_FLOAT, 0, 0, 0, NULL
#define RASK_F_DOUBLE RASK_T_DOUBLE, 0, 0, 0, NULL
#define RASK_F_DECIMAL(p, s) RASK_T_DECIMAL, 0, p, s, NULL
#define RASK_F_STRING RASK_T_STRING, 0, 0, 0, NULL
#define RASK_F_BYTES RASK_T_BYTES, 0, 0, 0, NULL
#define RASK_F_DATE RASK_T_DATE, 0, 0, 0, NULL
#define RASK_F_TIME RASK_T_TIME, 0, 0, 0, NULL
#define RASK_F_TIMESTAMP RASK_T_TIMESTAMP, 0, 3, 0, NULL
#define RASK_F_NULL_BOOLEAN RASK_T_BOOLEAN, 1, 0, 0, NULL
#define RASK_F_NULL_TINYINT RASK_T_TINYINT, 1, 0, 0, NULL
#define RASK_F_NULL_SMALLINT RASK_T_SMALLINT, 1, 0, 0, NULL
#define RASK_F_NULL_INT RASK_T_INT, 1, 0, 0, NULL
#define RASK_F_NULL_BIGINT RASK_T_BIGINT, 1, 0, 0, NULL
#define RASK_F_NULL_FLOAT RASK_T_FLOAT, 1, 0, 0, NULL
#define RASK_F_NULL_DOUBLE RASK_T_DOUBLE, 1, 0, 0, NULL
#define RASK_F_NULL_DECIMAL(p, s) RASK_T_DECIMAL, 1, p, s, NULL
#define RASK_F_NULL_STRING RASK_T_STRING, 1, 0, 0, NULL
#define RASK_F_NULL_BYTES RASK_T_BYTES, 1, 0, 0, NULL
#define RASK_F_NULL_DATE RASK_T_DATE, 1, 0, 0, NULL
#define RASK_F_NULL_TIME RASK_T_TIME, 1, 0, 0, NULL
#define RASK_F_NULL_TIMESTAMP RASK_T_TIMESTAMP, 1, 3, 0, NULL

/* ---- per column, called by RASK_EACH_ with the row's name, the type and the column's name ---- */

#define RASK_ROW_MEMBER_(N, T, f) RASK_CAT_(RASK_C_, RASK_K_##T) f;
#define RASK_STATE_MEMBER_(N, T, f) RASK_ALIGN8_ RASK_CAT_(RASK_C_, RASK_K_##T) f;
#define RASK_ROW_COLUMN_(N, T, f) N##_col_##f,
#define RASK_ROW_FIELD_(N, T, f) {#f, RASK_F_##T},
#define RASK_ROW_GET_(N, T, f) v.f = RASK_CAT_(RASK_GET_, RASK_K_##T)(row, N##_col_##f);
#define RASK_ROW_PUT_(N, T, f) RASK_CAT_(RASK_PUT_, RASK_K_##T)(out, N##_col_##f, v->f);
#define RASK_ROW_SLOT_(N, T, f) + RASK_CAT_(RASK_SLOT_, RASK_K_##T)

/* All but the struct; ends in a declaration that takes the semicolon. */
#define RASK_ROW_REST_(N, ...)                                                                     \
    enum { RASK_EACH_(RASK_ROW_COLUMN_, N, __VA_ARGS__) N##_columns };                             \
    static const rask_field N##_fields[] = {RASK_EACH_(RASK_ROW_FIELD_, N, __VA_ARGS__)};          \
    static const rask_schema N##_schema = {RASK_ABI, N##_columns, #N, N##_fields};                 \
    RASK_UNUSED_ static inline struct N N##_at(const rask_row *row)                                \
    {                                                                                              \
        struct N v;                                                                                \
        RASK_EACH_(RASK_ROW_GET_, N, __VA_ARGS__)                                                  \
        return v;                                                                                  \
    }                                                                                              \
    RASK_UNUSED_ static inline int N##_emit(rask_out *out, const struct N *v)                      \
    {                                                                                              \
        if (!rask_out_is_ready(out, &N##_schema)) {                                                \
            int rc = rask_out_begin(out, &N##_schema);                                             \
            if (rc)                                                                                \
                return rc;                                                                         \
        }                                                                                          \
        RASK_EACH_(RASK_ROW_PUT_, N, __VA_ARGS__)                                                  \
        return rask_out_done(out);                                                                 \
    }                                                                                              \
    struct N##_or_null {                                                                           \
        struct N value;                                                                            \
        bool is_null;                                                                              \
    };                                                                                             \
    RASK_UNUSED_ static inline struct N N##_get_(const rask_row *row, int column)                  \
    {                                                                                              \
        rask_row inside = rask_row_at(row, column);                                                \
        return N##_at(&inside);                                                                    \
    }                                                                                              \
    RASK_UNUSED_ static inline struct N##_or_null N##_get_null_(const rask_row *row, int column)   \
    {                                                                                              \
        struct N##_or_null v;                                                                      \
        memset(&v, 0, sizeof(v));                                                                  \
        v.is_null = rask_is_null(row, column);                                                     \
        if (!v.is_null)                                                                            \
            v.value = N##_get_(row, column);                                                       \
        return v;                                                                                  \
    }                                                                                              \
    /* What is wrong inside makes rask_out_end of the whole row fail. */                           \
    RASK_UNUSED_ static inline void N##_put_(rask_out *out, int column, struct N v)                \
    {                                                                                              \
        (void)N##_emit(rask_out_nested(out, column), &v);                                          \
    }                                                                                              \
    RASK_UNUSED_ static inline void N##_put_null_(rask_out *out, int column,                       \
                                                  struct N##_or_null v)                            \
    {                                                                                              \
        if (v.is_null)                                                                             \
            rask_out_null(out, column);                                                            \
        else                                                                                       \
            N##_put_(out, column, v.value);                                                        \
    }                                                                                              \
    RASK_ROW_KEPT_(N)                                                                              \
    enum { N##_slot_bytes = 0 RASK_EACH_(RASK_ROW_SLOT_, N, __VA_ARGS__) }

/* In state: see rask/operator.h. N_value and N_key read the current element of a rask_each. */
#define RASK_ROW_KEPT_(N)                                                                          \
    RASK_UNUSED_ static inline bool N##_load(rask_ctx *ctx, int state, struct N *v)                \
    {                                                                                              \
        return rask_state_load(ctx, state, &N##_schema, v, sizeof(*v));                            \
    }                                                                                              \
    RASK_UNUSED_ static inline int N##_store(rask_ctx *ctx, int state, const struct N *v)          \
    {                                                                                              \
        return rask_state_store(ctx, state, &N##_schema, v, sizeof(*v));                           \
    }                                                                                              \
    RASK_UNUSED_ static inline int N##_add(rask_ctx *ctx, int state, const struct N *v)            \
    {                                                                                              \
        return rask_state_add(ctx, state, &N##_schema, v, sizeof(*v));                             \
    }                                                                                              \
    RASK_UNUSED_ static inline bool N##_load_at(rask_ctx *ctx, int state, const void *key,         \
                                                struct N *v)                                       \
    {                                                                                              \
        return rask_state_load_at(ctx, state, key, &N##_schema, v, sizeof(*v));                    \
    }                                                                                              \
    RASK_UNUSED_ static inline int N##_store_at(rask_ctx *ctx, int state, const void *key,         \
                                                const struct N *v)                                 \
    {                                                                                              \
        return rask_state_store_at(ctx, state, key, &N##_schema, v, sizeof(*v));                   \
    }                                                                                              \
    RASK_UNUSED_ static inline struct N N##_value(const rask_cursor *each)                         \
    {                                                                                              \
        struct N v;                                                                                \
        memset(&v, 0, sizeof(v));                                                                  \
        (void)rask_cursor_value(each, &N##_schema, &v, sizeof(v));                                 \
        return v;                                                                                  \
    }                                                                                              \
    RASK_UNUSED_ static inline struct N N##_key(const rask_cursor *each)                           \
    {                                                                                              \
        struct N v;                                                                                \
        memset(&v, 0, sizeof(v));                                                                  \
        (void)rask_cursor_key(each, &N##_schema, &v, sizeof(v));                                   \
        return v;                                                                                  \
    }

#define RASK_ROW(N, ...)                                                                           \
    struct N {                                                                                     \
        RASK_EACH_(RASK_ROW_MEMBER_, N, __VA_ARGS__)                                               \
    };                                                                                             \
    RASK_ROW_REST_(N, __VA_ARGS__)

/* Each member starts 8 bytes: the struct is the slot part of the packed row in savepoints. */
#define RASK_STATE(N, ...)                                                                         \
    struct N {                                                                                     \
        RASK_EACH_(RASK_STATE_MEMBER_, N, __VA_ARGS__)                                             \
    };                                                                                             \
    RASK_ROW_REST_(N, __VA_ARGS__);                                                                \
    RASK_ASSERT_(sizeof(struct N) == N##_slot_bytes,                                               \
                 "RASK_STATE(" #N "): a state holds fixed-width columns that are NOT NULL");       \
    RASK_UNUSED_ static inline struct N *N##_of(rask_ctx *ctx, int state)                          \
    {                                                                                              \
        return (struct N *)rask_value(ctx, state, &N##_schema, sizeof(struct N));                  \
    }                                                                                              \
    RASK_UNUSED_ static inline const struct N *N##_peek(rask_ctx *ctx, int state)                  \
    {                                                                                              \
        return (const struct N *)rask_value_peek(ctx, state, &N##_schema, sizeof(struct N));       \
    }                                                                                              \
    RASK_UNUSED_ static inline int N##_of_rows(rask_op *op, int input, int state,                  \
                                               const rask_batch *in, uint32_t from,                \
                                               uint32_t count, struct N **values)                  \
    {                                                                                              \
        return rask_values_of(op, input, state, in, from, count, &N##_schema, sizeof(struct N),    \
                              (void **)values);                                                    \
    }                                                                                              \
    typedef struct N N##_state_type

#endif
