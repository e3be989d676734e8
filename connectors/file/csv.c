/* csv.c - records and fields. See csv.h; cells are in csv_cell.c. */
#include "connectors/file/csv.h"

#include <string.h>

enum { FIRST, FIELD, PLAIN, QUOTED, AFTER_QUOTE };

static const char *find(const char *data, size_t from, size_t len, char c)
{
    return len > from ? memchr(data + from, c, len - from) : NULL;
}

/* Broken quoting: one line is given up, so that what follows can be read. */
static enum csv_found bad(const char *data, size_t len, const char *reason, size_t *ret_len, const char **ret_reason)
{
    const char *nl = find(data, 0, len, '\n');

    *ret_len = nl ? (size_t)(nl - data) + 1 : len;
    *ret_reason = reason;
    return CSV_BAD;
}

static enum csv_found end_of_data(struct csv_scan *scan, size_t at, const char *data, size_t len, bool last,
                                  size_t *ret_len, const char **ret_reason)
{
    if (!last) {
        scan->at = at;
        return CSV_MORE;
    }
    if (scan->state == QUOTED)
        return bad(data, len, "a quote is not closed", ret_len, ret_reason);
    *ret_len = len;
    return CSV_RECORD;
}

/* Byte by byte, for records with a quote in them. */
static enum csv_found scan_quotes(const struct csv_format *f, struct csv_scan *scan, const char *data, size_t len,
                                  bool last, size_t *ret_len, const char **ret_reason)
{
    size_t i = scan->at;

    for (; i < len; i++) {
        char c = data[i];

        if (scan->state == QUOTED) {
            const char *quote = find(data, i, len, f->quote);

            i = quote ? (size_t)(quote - data) : len;
            if (!quote)
                break;
            scan->state = AFTER_QUOTE;
        } else if (c == '\n') {
            *ret_len = i + 1;
            return CSV_RECORD;
        } else if (c == f->delimiter) {
            scan->state = FIELD;
        } else if (scan->state == AFTER_QUOTE && c == f->quote) {
            scan->state = QUOTED;
        } else if (scan->state == AFTER_QUOTE) {
            if (c == '\r' && i + 1 == len && !last)
                break;
            if (c != '\r' || i + 1 == len || data[i + 1] != '\n')
                return bad(data, len, "there is text behind a closing quote", ret_len, ret_reason);
        } else {
            scan->state = scan->state != PLAIN && c == f->quote ? QUOTED : PLAIN;
        }
    }
    return end_of_data(scan, i, data, len, last, ret_len, ret_reason);
}

enum csv_found csv_scan(const struct csv_format *format, struct csv_scan *scan, const char *data, size_t len, bool last,
                        size_t *ret_len, const char **ret_reason)
{
    const char *nl;

    if (scan->state != FIRST)
        return scan_quotes(format, scan, data, len, last, ret_len, ret_reason);
    nl = find(data, scan->at, len, '\n');
    if (!nl && !last) {
        scan->at = len;
        return CSV_MORE;
    }
    *ret_len = nl ? (size_t)(nl - data) + 1 : len;
    if (!find(data, 0, *ret_len, format->quote))
        return CSV_RECORD;
    scan->at = 0;
    scan->state = FIELD;
    return scan_quotes(format, scan, data, len, last, ret_len, ret_reason);
}

/* A quoted field from behind its opening quote: returns the place behind the closing one. */
static size_t unquote(char quote, rask_str record, size_t at, rask_str *ret, struct bytes *scratch)
{
    size_t begin = at, copied = scratch->len;
    const char *q = find(record.data, at, record.len, quote);

    while (q) {
        size_t i = (size_t)(q - record.data);

        if (i + 1 == record.len || record.data[i + 1] != quote)
            break;
        bytes_add(scratch, record.data + at, i + 1 - at); /* with one of the two */
        at = i + 2;
        q = find(record.data, at, record.len, quote);
    }
    size_t stop = q ? (size_t)(q - record.data) : record.len;

    if (scratch->len == copied) {
        *ret = (rask_str){record.data + begin, (uint32_t)(stop - begin)};
    } else {
        bytes_add(scratch, record.data + at, stop - at);
        *ret = (rask_str){(const char *)scratch->data + copied, (uint32_t)(scratch->len - copied)};
    }
    return stop + (q != NULL);
}

uint32_t csv_split(const struct csv_format *format, rask_str record, struct csv_field *fields, uint32_t max,
                   struct bytes *scratch)
{
    uint32_t count = 0;
    size_t at = 0;

    bytes_reserve(scratch, record.len); /* fields point into it: it must not move */
    for (;;) {
        struct csv_field f = {{"", 0}, at < record.len && record.data[at] == format->quote};
        const char *delimiter;

        if (f.quoted) {
            at = unquote(format->quote, record, at + 1, &f.text, scratch);
            delimiter = find(record.data, at, record.len, format->delimiter);
        } else {
            delimiter = find(record.data, at, record.len, format->delimiter);
            f.text.data = record.data + at;
            f.text.len = (uint32_t)((delimiter ? (size_t)(delimiter - record.data) : record.len) - at);
        }
        if (count < max)
            fields[count] = f;
        count++;
        if (!delimiter)
            return count;
        at = (size_t)(delimiter - record.data) + 1;
    }
}
