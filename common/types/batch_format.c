/* batch_format.c - cells and rows as text, for messages, print and csv. Thread: any. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/types/batch.h"

/* At least `width` digits, with zeros before. */
static void format_int(int64_t v, uint32_t width, struct bytes *out)
{
    uint64_t u = v < 0 ? (uint64_t)0 - (uint64_t)v : (uint64_t)v;
    char digits[24];
    uint32_t n = sizeof(digits), low = (uint32_t)sizeof(digits) - width;

    do {
        digits[--n] = (char)('0' + (int)(u % 10));
        u /= 10;
    } while (u > 0 || n > low);
    if (v < 0)
        digits[--n] = '-';
    bytes_add(out, digits + n, sizeof(digits) - n);
}

/* Proleptic Gregorian; days count from 1970-01-01. Years are taken from March, so that the leap day
 * is the last. */
static void format_date(int64_t days, struct bytes *out)
{
    int64_t era, day, year_of_era, day_of_year, month, year;

    days += 719468; /* from 0000-03-01 */
    era = (days >= 0 ? days : days - 146096) / 146097;
    day = days - era * 146097;
    year_of_era = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    month = (5 * day_of_year + 2) / 153;
    day = day_of_year - (153 * month + 2) / 5 + 1;
    month = month < 10 ? month + 3 : month - 9;
    year = year_of_era + era * 400 + (month <= 2);
    format_int(year, year < 0 ? 3 : 4, out);
    bytes_add_u8(out, '-');
    format_int(month, 2, out);
    bytes_add_u8(out, '-');
    format_int(day, 2, out);
}

static void format_time(int64_t ms, bool always_ms, struct bytes *out)
{
    bytes_printf(out, "%02d:%02d:%02d", (int)(ms / 3600000), (int)(ms / 60000 % 60),
                 (int)(ms / 1000 % 60));
    if (always_ms || ms % 1000)
        bytes_printf(out, ".%03d", (int)(ms % 1000));
}

static void format_timestamp(int64_t ms, struct bytes *out)
{
    int64_t days = ms / 86400000 - (ms % 86400000 < 0);

    format_date(days, out);
    bytes_add_u8(out, ' ');
    format_time(ms - days * 86400000, true, out);
}

static void format_decimal(rask_decimal128 d, uint32_t scale, struct bytes *out)
{
    bool negative = d.high < 0;
    unsigned __int128 v = (unsigned __int128)(uint64_t)d.high << 64 | d.low;
    char digits[48];
    uint32_t n = sizeof(digits), count = 0;

    v = negative ? -v : v;
    while (v || count <= scale) {
        if (count == scale && scale)
            digits[--n] = '.';
        digits[--n] = (char)('0' + (int)(v % 10));
        v /= 10;
        count++;
    }
    if (negative)
        digits[--n] = '-';
    bytes_add(out, digits + n, sizeof(digits) - n);
}

/*
 * Numbers with few digits: an integer divided by a power of ten, both exact, is the number nearest to that
 * decimal (Clinger 1990), so it reads back as the same. False: it is none of them.
 */
static bool format_short(double v, struct bytes *out)
{
    static const double power[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
    double most = 1e14, size = fabs(v);

    if (size >= most || (size < 1e-4 && size > 0))
        return false;
    for (uint32_t k = 0; k < ARRAY_LEN(power) && size * power[k] < most; k++) {
        int64_t n = (int64_t)(size * power[k] + 0.5);

        if ((double)n / power[k] != size)
            continue;
        if (signbit(v))
            bytes_add_u8(out, '-');
        format_int(n / (int64_t)power[k], 1, out);
        bytes_add_u8(out, '.');
        format_int(n % (int64_t)power[k], MAX(k, 1), out);
        return true;
    }
    return false;
}

/* The shortest decimal that reads back as the same number, and looks like one: 1.0, 0.1, 1e+300. */
static void format_double(double v, bool single, struct bytes *out)
{
    char text[40];
    int low = single ? 6 : 15, high = single ? 9 : 17;

    if (!single && format_short(v, out))
        return;

    if (isnan(v) || isinf(v)) {
        bytes_add_str(out, isnan(v) ? "NaN" : v < 0 ? "-Infinity" : "Infinity");
        return;
    }
    for (int digits = low; digits <= high; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, v);
        if (single ? strtof(text, NULL) == (float)v : strtod(text, NULL) == v)
            break;
    }
    bytes_add_str(out, text);
    if (!strpbrk(text, ".e"))
        bytes_add_str(out, ".0");
}

static void format_bytes(rask_str s, struct bytes *out)
{
    for (uint32_t i = 0; i < s.len; i++)
        bytes_printf(out, "%02x", (uint8_t)s.data[i]);
}

static void format_cell(const rask_batch *b, uint32_t column, uint32_t position, size_t limit,
                        struct bytes *out);

static void format_inside(const rask_row *row, uint32_t column, size_t limit, struct bytes *out)
{
    if (rask_is_null(row, (int)column))
        bytes_add_str(out, "null");
    else
        format_cell(row->batch, column, row->position, limit, out);
}

/* As Flink prints a Tuple, an array and a Map: (1,a) [1, 2] {a=1, b=2}. */
static void format_nested(const rask_row *row, int column, uint8_t type, size_t limit,
                          struct bytes *out)
{
    rask_array a = rask_array_at(row, column);
    rask_row r = {a.rows, a.first};

    bytes_add_u8(out, type == RASK_T_ARRAY ? '[' : type == RASK_T_MAP ? '{' : '(');
    for (uint32_t c = 0; type == RASK_T_ROW && c < a.rows->schema->columns; c++) {
        if (c)
            bytes_add_u8(out, ',');
        format_inside(&r, c, limit, out);
    }
    for (; type != RASK_T_ROW && r.position < a.first + a.count && out->len <= limit; r.position++) {
        if (r.position > a.first)
            bytes_add_str(out, ", ");
        format_inside(&r, 0, limit, out);
        if (type != RASK_T_MAP)
            continue;
        bytes_add_u8(out, '=');
        format_inside(&r, 1, limit, out);
    }
    bytes_add_u8(out, type == RASK_T_ARRAY ? ']' : type == RASK_T_MAP ? '}' : ')');
}

/* limit: elements that begin behind so many bytes of out are left out. */
static void format_cell(const rask_batch *b, uint32_t column, uint32_t position, size_t limit,
                        struct bytes *out)
{
    const rask_field *f = &b->schema->fields[column];
    rask_row row = {b, position};
    int c = (int)column;

    if (rask_is_null(&row, c))
        return;
    switch (f->type) {
    case RASK_T_BOOLEAN:
        bytes_add_str(out, rask_bool(&row, c) ? "true" : "false");
        break;
    case RASK_T_TINYINT:
        format_int(rask_i8(&row, c), 1, out);
        break;
    case RASK_T_SMALLINT:
        format_int(rask_i16(&row, c), 1, out);
        break;
    case RASK_T_INT:
        format_int(rask_i32(&row, c), 1, out);
        break;
    case RASK_T_BIGINT:
        format_int(rask_i64(&row, c), 1, out);
        break;
    case RASK_T_FLOAT:
        format_double(rask_f32(&row, c), true, out);
        break;
    case RASK_T_DOUBLE:
        format_double(rask_f64(&row, c), false, out);
        break;
    case RASK_T_DECIMAL:
        if (f->precision > 18)
            format_decimal(rask_dec128(&row, c), f->scale, out);
        else
            format_decimal(
                (rask_decimal128){(uint64_t)rask_i64(&row, c), rask_i64(&row, c) < 0 ? -1 : 0},
                f->scale, out);
        break;
    case RASK_T_STRING:
        bytes_add(out, rask_string(&row, c).data, rask_string(&row, c).len);
        break;
    case RASK_T_BYTES:
        format_bytes(rask_string(&row, c), out);
        break;
    case RASK_T_DATE:
        format_date(rask_i32(&row, c), out);
        break;
    case RASK_T_TIME:
        format_time(rask_i32(&row, c), false, out);
        break;
    case RASK_T_TIMESTAMP:
        format_timestamp(rask_i64(&row, c), out);
        break;
    case RASK_T_ARRAY:
    case RASK_T_MAP:
    case RASK_T_ROW:
        format_nested(&row, c, f->type, limit, out);
        break;
    default:
        CHECK_UNREACHABLE("unknown column type");
    }
}

void batch_format_cell(const rask_batch *b, uint32_t column, uint32_t position, struct bytes *out)
{
    format_cell(b, column, position, SIZE_MAX, out);
}

/* "text" with what would break a line written as escapes; stops soon after max bytes of out. */
static void format_quoted(rask_str s, size_t max, struct bytes *out)
{
    bytes_add_u8(out, '"');
    for (uint32_t i = 0; i < s.len && out->len <= max; i++) {
        uint8_t c = (uint8_t)s.data[i];

        if (c == '"' || c == '\\')
            bytes_printf(out, "\\%c", c);
        else if (c == '\n' || c == '\t')
            bytes_add_str(out, c == '\n' ? "\\n" : "\\t");
        else if (c < 32 || c == 127)
            bytes_printf(out, "\\x%02x", c);
        else
            bytes_add_u8(out, c);
    }
    bytes_add_u8(out, '"');
}

void batch_format_row(const rask_batch *b, uint32_t row, size_t max, struct bytes *out)
{
    size_t start = out->len, limit = start + max;
    rask_row r = rask_batch_row(b, row);

    bytes_add_u8(out, '{');
    for (uint32_t c = 0; c < b->schema->columns && out->len <= limit; c++) {
        const rask_field *f = &b->schema->fields[c];

        bytes_printf(out, "%s%s=", c ? ", " : "", f->name);
        if (rask_is_null(&r, (int)c))
            bytes_add_str(out, "NULL");
        else if (f->type == RASK_T_STRING)
            format_quoted(rask_string(&r, (int)c), limit, out);
        else if (f->type == RASK_T_BYTES && rask_string(&r, (int)c).len > max)
            bytes_printf(out, "(%u bytes)", rask_string(&r, (int)c).len);
        else
            format_cell(b, c, r.position, limit, out);
    }
    bytes_add_u8(out, '}');
    if (out->len <= limit)
        return;
    out->len = max > 3 ? limit - 3 : limit;
    bytes_add_str(out, max > 3 ? "..." : "");
    out->data[out->len] = 0;
}
