/* key_read.c - key bytes as a row again (key_bytes.h). For tools: state files hold keys in this form alone. Thread: any. */
#include "common/base/check.h"
#include "common/types/key_bytes.h"

static uint64_t take_be(struct reader *r, uint32_t width)
{
    const uint8_t *p = reader_take(r, width);
    uint64_t v = 0;

    for (uint32_t i = 0; p && i < width; i++)
        v = v << 8 | p[i];
    return v;
}

static int64_t take_signed(struct reader *r, uint32_t width)
{
    uint64_t v = take_be(r, width) ^ (UINT64_C(1) << (8 * width - 1));
    uint32_t shift = 64 - 8 * width;

    return (int64_t)(v << shift) >> shift;
}

static float take_f32(struct reader *r)
{
    uint32_t bits = (uint32_t)take_be(r, 4);
    float v;

    bits = bits >> 31 ? bits & UINT32_C(0x7fffffff) : ~bits;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

static double take_f64(struct reader *r)
{
    uint64_t bits = take_be(r, 8);
    double v;

    bits = bits >> 63 ? bits & UINT64_C(0x7fffffffffffffff) : ~bits;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

static void take_string(struct reader *r, rask_out *out, int column)
{
    uint32_t len = (uint32_t)take_be(r, 4);
    const uint8_t *data = reader_take(r, len);

    if (data)
        rask_out_string(out, column, (rask_str){(const char *)data, len});
}

static void take_decimal(const rask_field *f, struct reader *r, rask_out *out, int column)
{
    rask_decimal128 d;

    if (f->precision <= 18) {
        rask_out_i64(out, column, take_signed(r, 8));
        return;
    }
    d.high = take_signed(r, 8);
    d.low = take_be(r, 8);
    rask_out_dec128(out, column, d);
}

static void take_cell(const rask_field *f, struct reader *r, rask_out *out, int column)
{
    switch (f->type) {
    case RASK_T_BOOLEAN:
        rask_out_bool(out, column, reader_u8(r) != 0);
        break;
    case RASK_T_TINYINT:
        rask_out_i8(out, column, (int8_t)take_signed(r, 1));
        break;
    case RASK_T_SMALLINT:
        rask_out_i16(out, column, (int16_t)take_signed(r, 2));
        break;
    case RASK_T_INT:
    case RASK_T_DATE:
    case RASK_T_TIME:
        rask_out_i32(out, column, (int32_t)take_signed(r, 4));
        break;
    case RASK_T_FLOAT:
        rask_out_f32(out, column, take_f32(r));
        break;
    case RASK_T_DOUBLE:
        rask_out_f64(out, column, take_f64(r));
        break;
    case RASK_T_STRING:
    case RASK_T_BYTES:
        take_string(r, out, column);
        break;
    case RASK_T_DECIMAL:
        take_decimal(f, r, out, column);
        break;
    default:
        rask_out_i64(out, column, take_signed(r, 8));
    }
}

bool key_bytes_emit(const rask_schema *key, rask_bytes bytes, rask_out *out)
{
    struct reader r = reader_of(bytes.data, bytes.len);

    for (uint32_t i = 0; i < key->columns; i++)
        if (key->fields[i].type >= RASK_T_ARRAY)
            return false;
    if (rask_out_begin(out, key) != 0)
        return false;
    for (uint32_t i = 0; i < key->columns; i++) {
        if (key->fields[i].nullable && reader_u8(&r) == 0)
            rask_out_null(out, (int)i);
        else
            take_cell(&key->fields[i], &r, out, (int)i);
    }
    if (r.bad || reader_left(&r) > 0) {
        rask_out_drop(out);
        return false;
    }
    return rask_out_end(out) == 0;
}
