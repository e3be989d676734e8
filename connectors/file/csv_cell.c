/* csv_cell.c - text as cells of each type. See csv.h. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/check.h"
#include "connectors/file/csv.h"
#include "connectors/format.h"

enum { NUMBER_MAX = 400 }; /* characters of a FLOAT or DOUBLE */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static rask_str trim(rask_str s)
{
    while (s.len > 0 && (s.data[0] == ' ' || s.data[0] == '\t')) {
        s.data++;
        s.len--;
    }
    while (s.len > 0 && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static bool same(rask_str s, const char *text)
{
    return s.len == strlen(text) && strncasecmp(s.data, text, s.len) == 0;
}

/* ---- numbers ---- */

static bool parse_integer(rask_str s, int64_t min, int64_t max, int64_t *ret)
{
    bool negative = s.len > 0 && s.data[0] == '-';
    uint32_t i = negative || (s.len > 0 && s.data[0] == '+');
    uint64_t v = 0, limit = negative ? (uint64_t)0 - (uint64_t)min : (uint64_t)max;

    if (i == s.len)
        return false;
    for (; i < s.len; i++) {
        uint32_t digit = (uint32_t)(uint8_t)s.data[i] - '0';

        if (digit > 9 || v > (limit - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *ret = (int64_t)(negative ? (uint64_t)0 - v : v);
    return true;
}

/* Digits with at most one point; nothing else. *ret_point: digits behind the point; false: not such a number, or too large. */
static bool parse_digits(rask_str s, unsigned __int128 limit, uint32_t places, unsigned __int128 *ret, uint32_t *ret_point)
{
    unsigned __int128 v = 0;
    uint32_t digits = 0, behind = 0;
    bool point = false;

    for (uint32_t i = 0; i < s.len; i++) {
        uint32_t digit = (uint32_t)(uint8_t)s.data[i] - '0';

        if (s.data[i] == '.' && !point) {
            point = true;
            continue;
        }
        if (digit > 9)
            return false;
        digits++;
        if (point && behind == places) {
            if (digit != 0)
                return false; /* it would have to be rounded */
            continue;
        }
        behind += point;
        if (v > (limit - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *ret = v;
    *ret_point = behind;
    return digits > 0;
}

static bool parse_decimal(rask_str s, const rask_field *type, unsigned __int128 *ret)
{
    bool negative = s.len > 0 && s.data[0] == '-';
    unsigned __int128 limit = 9, v;
    uint32_t behind;

    if (s.len > 0 && (negative || s.data[0] == '+')) {
        s.data++;
        s.len--;
    }
    for (uint32_t i = 1; i < type->precision; i++)
        limit = limit * 10 + 9;
    if (!parse_digits(s, limit, type->scale, &v, &behind))
        return false;
    for (; behind < type->scale; behind++) {
        if (v > limit / 10)
            return false;
        v *= 10;
    }
    *ret = negative ? -v : v;
    return true;
}

/* A number of at most 15 digits and a small power of ten is exact in one operation (Clinger 1990); the rest is libc's. */
static bool parse_short(rask_str s, double *ret)
{
    static const double power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    bool negative = s.len > 0 && s.data[0] == '-';
    unsigned __int128 v;
    uint32_t behind;

    if (negative) {
        s.data++;
        s.len--;
    }
    if (s.len > 16 || !parse_digits(s, 999999999999999, 15, &v, &behind))
        return false;
    *ret = (double)(uint64_t)v / power[behind];
    if (negative)
        *ret = -*ret;
    return true;
}

static bool parse_float(rask_str s, bool single, double *ret)
{
    char text[NUMBER_MAX + 1], *end;

    if (!single && parse_short(s, ret))
        return true;
    if (same(s, "NaN") || same(s, "Infinity") || same(s, "-Infinity")) {
        *ret = s.data[0] == '-' ? -(double)INFINITY : s.len == 3 ? (double)NAN : (double)INFINITY;
        return true;
    }
    if (s.len == 0 || s.len > NUMBER_MAX)
        return false;
    for (uint32_t i = 0; i < s.len; i++)
        if (!is_digit(s.data[i]) && !strchr("+-.eE", s.data[i]))
            return false;
    memcpy(text, s.data, s.len);
    text[s.len] = 0;
    if (strlen(text) != s.len)
        return false;
    *ret = single ? (double)strtof(text, &end) : strtod(text, &end);
    return *end == 0 && end != text && !isinf(*ret);
}

/* ---- time ---- */

/* Exactly n digits at *at. */
static bool parse_fixed(rask_str s, uint32_t *at, uint32_t n, int64_t *ret)
{
    int64_t v = 0;

    if (s.len - *at < n)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        if (!is_digit(s.data[*at + i]))
            return false;
        v = v * 10 + (s.data[*at + i] - '0');
    }
    *at += n;
    *ret = v;
    return true;
}

static bool parse_char(rask_str s, uint32_t *at, char c)
{
    if (*at == s.len || s.data[*at] != c)
        return false;
    ++*at;
    return true;
}

/* Days since 1970-01-01 of the proleptic Gregorian calendar; years are taken from March, so that the leap day is the last. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year, m = month <= 2 ? month + 9 : month - 3;
    int64_t era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * m + 2) / 5 + day - 1 - 719468;
}

static bool parse_date(rask_str s, uint32_t *at, int64_t *ret)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t y, m, d;
    bool leap;

    if (!parse_fixed(s, at, 4, &y) || !parse_char(s, at, '-') || !parse_fixed(s, at, 2, &m) || !parse_char(s, at, '-') ||
        !parse_fixed(s, at, 2, &d))
        return false;
    leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    if (m < 1 || m > 12 || d < 1 || d > days[m - 1] + (m == 2 && leap))
        return false;
    *ret = days_of(y, m, d);
    return true;
}

/* The fraction of a second as ms; digits beyond must be zeros. */
static bool parse_fraction(rask_str s, uint32_t *at, int64_t *ret)
{
    uint32_t n = 0;

    for (*ret = 0; *at < s.len && is_digit(s.data[*at]) && n < 9; n++, ++*at) {
        if (n < 3)
            *ret = *ret * 10 + (s.data[*at] - '0');
        else if (s.data[*at] != '0')
            return false;
    }
    for (uint32_t i = n; i < 3; i++)
        *ret *= 10;
    return n > 0;
}

static bool parse_time(rask_str s, uint32_t *at, int64_t *ret)
{
    int64_t h, m, sec = 0, ms = 0;

    if (!parse_fixed(s, at, 2, &h) || !parse_char(s, at, ':') || !parse_fixed(s, at, 2, &m))
        return false;
    if (parse_char(s, at, ':') &&
        (!parse_fixed(s, at, 2, &sec) || (parse_char(s, at, '.') && !parse_fraction(s, at, &ms))))
        return false;
    if (h > 23 || m > 59 || sec > 59)
        return false;
    *ret = ((h * 60 + m) * 60 + sec) * 1000 + ms;
    return true;
}

static bool parse_timestamp(rask_str s, int64_t *ret)
{
    uint32_t at = 0;
    int64_t days, ms;

    if (!parse_date(s, &at, &days) || (!parse_char(s, &at, ' ') && !parse_char(s, &at, 'T')) || !parse_time(s, &at, &ms))
        return false;
    (void)parse_char(s, &at, 'Z');
    *ret = days * 86400000 + ms;
    return at == s.len;
}

/* ---- cells ---- */

static bool put_integer(rask_str s, const rask_field *type, int column, rask_out *out, struct bytes *expected)
{
    static const int64_t most[] = {INT8_MAX, INT16_MAX, INT32_MAX, INT64_MAX};
    int64_t max = most[type->type - RASK_T_TINYINT], v;

    if (!parse_integer(s, -max - 1, max, &v)) {
        bytes_printf(expected, "a whole number from %lld to %lld", (long long)(-max - 1), (long long)max);
        return false;
    }
    if (type->type == RASK_T_TINYINT)
        rask_out_i8(out, column, (int8_t)v);
    else if (type->type == RASK_T_SMALLINT)
        rask_out_i16(out, column, (int16_t)v);
    else if (type->type == RASK_T_INT)
        rask_out_i32(out, column, (int32_t)v);
    else
        rask_out_i64(out, column, v);
    return true;
}

static bool put_float(rask_str s, const rask_field *type, int column, rask_out *out, struct bytes *expected)
{
    double v;

    if (!parse_float(s, type->type == RASK_T_FLOAT, &v)) {
        bytes_printf(expected, "a number within the range of %s", type->type == RASK_T_FLOAT ? "FLOAT" : "DOUBLE");
        return false;
    }
    if (type->type == RASK_T_FLOAT)
        rask_out_f32(out, column, (float)v);
    else
        rask_out_f64(out, column, v);
    return true;
}

static bool put_decimal(rask_str s, const rask_field *type, int column, rask_out *out, struct bytes *expected)
{
    unsigned __int128 v;

    if (!parse_decimal(s, type, &v)) {
        bytes_printf(expected, "a decimal number with at most %d digits before and %d behind the point",
                     type->precision - type->scale, type->scale);
        return false;
    }
    if (type->precision > 18)
        rask_out_dec128(out, column, (rask_decimal128){(uint64_t)v, (int64_t)(v >> 64)});
    else
        rask_out_i64(out, column, (int64_t)v);
    return true;
}

static bool put_time(rask_str s, const rask_field *type, int column, rask_out *out, struct bytes *expected)
{
    uint32_t at = 0;
    int64_t v;
    bool ok;

    if (type->type == RASK_T_TIMESTAMP) {
        ok = parse_timestamp(s, &v);
        if (ok)
            rask_out_i64(out, column, v);
        else
            bytes_add_str(expected, "a time in UTC: yyyy-mm-dd hh:mm:ss or yyyy-mm-dd hh:mm:ss.mmm");
        return ok;
    }
    ok = (type->type == RASK_T_DATE ? parse_date(s, &at, &v) : parse_time(s, &at, &v)) && at == s.len;
    if (ok)
        rask_out_i32(out, column, (int32_t)v);
    else
        bytes_add_str(expected, type->type == RASK_T_DATE ? "a date: yyyy-mm-dd" : "a time: hh:mm:ss or hh:mm:ss.mmm");
    return ok;
}

static bool put_bool(rask_str s, int column, rask_out *out, struct bytes *expected)
{
    bool is_true = same(s, "true") || same(s, "1");

    if (!is_true && !same(s, "false") && !same(s, "0")) {
        bytes_add_str(expected, "true, false, 1 or 0");
        return false;
    }
    rask_out_bool(out, column, is_true);
    return true;
}

static int hex_digit(char c)
{
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool put_bytes(rask_str s, int column, rask_out *out, struct bytes *expected)
{
    struct bytes value;
    bool ok = s.len % 2 == 0;

    bytes_init(&value);
    for (uint32_t i = 0; ok && i < s.len; i += 2) {
        int high = hex_digit(s.data[i]), low = hex_digit(s.data[i + 1]);

        ok = high >= 0 && low >= 0;
        bytes_add_u8(&value, (uint8_t)(high * 16 + low));
    }
    if (ok)
        rask_out_string(out, column, (rask_str){value.data ? (const char *)value.data : "", (uint32_t)value.len});
    else
        bytes_add_str(expected, "an even number of hexadecimal digits");
    bytes_release(&value);
    return ok;
}

static bool is_null(const struct csv_format *format, const struct csv_field *field)
{
    if (field->quoted)
        return false;
    if (!format->null_text)
        return field->text.len == 0;
    return field->text.len == strlen(format->null_text) && memcmp(field->text.data, format->null_text, field->text.len) == 0;
}

/* The next element of an ARRAY or column of a ROW, up to FORMAT_CSV_INSIDE. false: there is none. */
static bool next_part(rask_str *text, bool *more, struct csv_field *ret)
{
    const char *end = *more && text->len ? memchr(text->data, FORMAT_CSV_INSIDE, text->len) : NULL;

    if (!*more)
        return false;
    ret->quoted = false;
    ret->text = (rask_str){text->data, end ? (uint32_t)(end - text->data) : text->len};
    *more = end != NULL;
    if (end)
        *text = (rask_str){end + 1, text->len - ret->text.len - 1};
    return true;
}

static bool put_inside(const struct csv_format *format, rask_str s, const rask_field *type, int column,
                       rask_out *out, struct bytes *expected)
{
    const rask_schema *child = type->child;
    rask_out *to = rask_out_nested(out, column);
    bool row = type->type == RASK_T_ROW, more = row || s.len > 0, ok = true;
    struct csv_field part;
    uint32_t count = 0;

    if (row)
        ok = rask_out_begin(to, child) == 0;
    for (; ok && next_part(&s, &more, &part); count++) {
        if (row && count == child->columns)
            continue; /* counted below */
        if (!row)
            ok = rask_out_begin(to, child) == 0;
        ok = ok && csv_cell(format, &part, &child->fields[row ? count : 0], row ? (int)count : 0, to, expected);
        if (ok && !row)
            ok = rask_out_end(to) == 0;
    }
    if (!ok) {
        bytes_printf(expected, " (in element %u; '%c' stands between elements)", count, FORMAT_CSV_INSIDE);
        return false;
    }
    if (row && count != child->columns) {
        bytes_printf(expected, "a row of %u columns with '%c' between them", child->columns, FORMAT_CSV_INSIDE);
        return false;
    }
    return !row || rask_out_end(to) == 0;
}

bool csv_cell(const struct csv_format *format, const struct csv_field *field, const rask_field *type, int column,
              rask_out *out, struct bytes *expected)
{
    rask_str s = field->text;

    if (type->nullable && is_null(format, field)) {
        rask_out_null(out, column);
        return true;
    }
    switch (type->type) {
    case RASK_T_STRING:
        rask_out_string(out, column, s);
        return true;
    case RASK_T_BYTES:
        return put_bytes(s, column, out, expected);
    case RASK_T_BOOLEAN:
        return put_bool(trim(s), column, out, expected);
    case RASK_T_TINYINT:
    case RASK_T_SMALLINT:
    case RASK_T_INT:
    case RASK_T_BIGINT:
        return put_integer(trim(s), type, column, out, expected);
    case RASK_T_FLOAT:
    case RASK_T_DOUBLE:
        return put_float(trim(s), type, column, out, expected);
    case RASK_T_DECIMAL:
        return put_decimal(trim(s), type, column, out, expected);
    case RASK_T_DATE:
    case RASK_T_TIME:
    case RASK_T_TIMESTAMP:
        return put_time(trim(s), type, column, out, expected);
    case RASK_T_ARRAY:
    case RASK_T_ROW:
        if (schema_fits_csv(type))
            return put_inside(format, s, type, column, out, expected);
        __attribute__((fallthrough));
    default:
        bytes_add_str(expected, "of a type that csv can hold");
        return false;
    }
}
