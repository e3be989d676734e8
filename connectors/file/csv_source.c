/*
 * csv_source.c - records of files as rows of the schema that the job gives.
 *
 * A file is one split: an end of line may stand inside quotes, so only who reads from the beginning knows where a record
 * begins.  The position of a split is the u64 offset of the first record that was not emitted, and the u64 number
 * of its line.  An empty line is no record, unless the schema has one column.  A byte order mark is skipped.
 */
#include <string.h>

#include "common/base/check.h"
#include "connectors/file/csv.h"
#include "connectors/file/input.h"
#include "connectors/lines.h"

#include <rask/rask.h>

enum { POLICY_FAIL, POLICY_SKIP, POLICY_SIDE };
enum { LOGGED_MAX = 10, SHOWN_MAX = 40 };

struct csv_source {
    struct csv_format format;
    bool header;
    int policy;
    rask_counter *bad_rows;
    struct bytes scratch, reason;
    struct csv_field fields[RASK_COLUMNS_MAX];
};

struct csv_split {
    struct input in;
    struct lines bytes;
    struct csv_scan scan;
    uint64_t line;    /* number of the next record's first line, from 1 */
    bool header_left; /* the next record is the header */
    bool at_end;
    uint64_t bad;
};

static int csv_open(rask_ctx *ctx)
{
    const struct connector_args *args = connectors_args(ctx);
    const char *delimiter = connector_property(args, "delimiter", ","), *quote = connector_property(args, "quote", "\"");
    const char *policy = connector_property(args, "bad_rows", "fail");
    struct csv_source *c = rask_self(ctx);

    if (!delimiter[0] || delimiter[1] || !quote[0] || quote[1] || delimiter[0] == quote[0])
        return rask_fail(ctx, "delimiter \"%.10s\" and quote \"%.10s\" must be two different characters", delimiter, quote);
    c->format = (struct csv_format){delimiter[0], quote[0], connector_property(args, "null_text", NULL)};
    c->header = connectors_bool(ctx, "header");
    c->policy = strcmp(policy, "skip") == 0 ? POLICY_SKIP : strcmp(policy, "side") == 0 ? POLICY_SIDE : POLICY_FAIL;
    c->bad_rows = rask_counter_of(ctx, "bad_rows");
    return 0;
}

static int csv_discover(rask_ctx *ctx, rask_splits *found)
{
    return input_discover(ctx, found, true);
}

static int csv_open_split(rask_ctx *ctx, rask_split *split)
{
    struct csv_source *c = rask_self(ctx);
    struct csv_split *s = split->self;
    uint64_t position[2] = {0, 1};
    int rc = input_open(ctx, &s->in, split->id);

    if (rc != 0)
        return rc;
    if (split->position.len == sizeof(position))
        memcpy(position, split->position.data, sizeof(position));
    s->line = position[1];
    s->header_left = c->header && position[0] == 0;
    lines_init(&s->bytes, out_pool(rask_main_out(ctx)), position[0]);
    return 0;
}

/* ---- bad rows ---- */

/* The beginning of a value or a row, fit for a message. */
static void show(rask_str text, struct bytes *out)
{
    uint32_t len = MIN(text.len, SHOWN_MAX);

    while (len > 0 && len < text.len && ((uint8_t)text.data[len] & 0xc0) == 0x80)
        len--; /* not inside a UTF-8 character */
    bytes_add_u8(out, '"');
    for (uint32_t i = 0; i < len; i++)
        bytes_add_u8(out, (uint8_t)text.data[i] < 32 || text.data[i] == 127 ? '?' : (uint8_t)text.data[i]);
    bytes_add_str(out, len < text.len ? "\"..." : "\"");
}

static int bad_to_side(rask_ctx *ctx, const struct csv_split *s, rask_str record, rask_str reason)
{
    rask_out *side = rask_side(ctx, 0);
    int rc = rask_out_begin(side, &rask_bad_row_schema);

    if (rc != 0)
        return rc;
    rask_out_string(side, 0, rask_str_of(s->in.path));
    rask_out_i64(side, 1, (int64_t)s->line);
    rask_out_string(side, 2, record);
    rask_out_string(side, 3, reason);
    return rask_out_end(side);
}

/* c->reason says what is wrong with the record. */
static int bad_row(rask_ctx *ctx, struct csv_source *c, struct csv_split *s, rask_str record)
{
    const char *reason = (const char *)c->reason.data;
    char host[CONNECTORS_HOST_MAX];

    rask_counter_add(c->bad_rows, 1);
    s->bad++;
    if (c->policy == POLICY_SIDE)
        return bad_to_side(ctx, s, record, rask_str_of(reason));
    if (c->policy == POLICY_SKIP) {
        if (s->bad <= LOGGED_MAX)
            rask_log(ctx, RASK_LOG_WARN, "skipped a row of %s, line %llu: %s", s->in.path, (unsigned long long)s->line,
                     reason);
        return 0;
    }
    connectors_host(host);
    return rask_fail(ctx, "input file %s on host %s, line %llu: %s", s->in.path, host, (unsigned long long)s->line, reason);
}

/* ---- records ---- */

static bool is_good(rask_ctx *ctx, struct csv_source *c, const rask_schema *schema, rask_str record, rask_out *out)
{
    uint32_t count;
    struct bytes *reason = &c->reason;

    bytes_clear(&c->scratch);
    bytes_clear(reason);
    count = csv_split(&c->format, record, c->fields, schema->columns, &c->scratch);
    if (count != schema->columns) {
        bytes_printf(reason, "%u fields where %u are expected, in ", count, schema->columns);
        show(record, reason);
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        const rask_field *f = &schema->fields[i];

        if (f->type == RASK_T_STRING && !rask_wanted(ctx, (int)i))
            continue; /* any text is good; it stays empty */
        if (csv_cell(&c->format, &c->fields[i], f, (int)i, out, reason))
            continue;
        struct bytes expected = *reason;

        bytes_init(reason);
        bytes_printf(reason, "column '%s': ", f->name);
        show(c->fields[i].text, reason);
        bytes_printf(reason, " is not %s%s", (const char *)expected.data,
                     c->fields[i].text.len == 0 && !f->nullable ? ", and the column is NOT NULL" : "");
        bytes_release(&expected);
        return false;
    }
    return true;
}

static int take_record(rask_ctx *ctx, struct csv_source *c, struct csv_split *s, rask_str record, rask_out *out)
{
    int rc;

    if (s->header_left) {
        s->header_left = false;
        return 0;
    }
    if (record.len == 0 && out->schema->columns > 1)
        return 0;
    rc = rask_out_begin(out, out->schema);
    if (rc != 0)
        return rc;
    if (is_good(ctx, c, out->schema, record, out))
        return rask_out_end(out);
    rask_out_drop(out);
    return bad_row(ctx, c, s, record);
}

static uint64_t count_lines(const char *data, size_t len)
{
    uint64_t n = 0;

    for (const char *end = data + len; data < end && (data = memchr(data, '\n', (size_t)(end - data))) != NULL; data++)
        n++;
    return n;
}

static int too_long(rask_ctx *ctx, const struct csv_split *s)
{
    char host[CONNECTORS_HOST_MAX];

    connectors_host(host);
    return rask_fail(ctx, "input file %s on host %s: the row at line %llu is longer than rask.max-row-size; is a quote not closed?",
                     s->in.path, host, (unsigned long long)s->line);
}

/* The next record. RASK_END: more bytes are needed. */
static int next_record(rask_ctx *ctx, struct csv_source *c, struct csv_split *s, rask_out *out)
{
    const char *data = lines_data(&s->bytes), *broken = NULL;
    uint32_t held = lines_held(&s->bytes);
    size_t len = 0, text;
    enum csv_found found = csv_scan(&c->format, &s->scan, data, held, s->at_end, &len, &broken);
    int rc;

    if (found == CSV_MORE) /* its last byte may be the \r of its end */
        return held > connectors_row_max(ctx) + 1 ? too_long(ctx, s) : RASK_END;
    s->scan = (struct csv_scan){0};
    text = len > 0 && data[len - 1] == '\n' ? len - 1 : len;
    if (text < len && text > 0 && data[text - 1] == '\r')
        text--;
    if (text > connectors_row_max(ctx))
        return too_long(ctx, s);
    if (found == CSV_BAD && !s->header_left) {
        bytes_clear(&c->reason);
        bytes_printf(&c->reason, "%s, in ", broken);
        show((rask_str){data, (uint32_t)text}, &c->reason);
        rc = bad_row(ctx, c, s, (rask_str){data, (uint32_t)text});
    } else {
        rc = take_record(ctx, c, s, (rask_str){data, (uint32_t)text}, out);
    }
    s->line += count_lines(data, len);
    lines_drop(&s->bytes, (uint32_t)len);
    return rc;
}

static int read_more(rask_ctx *ctx, struct csv_split *s)
{
    uint32_t held = lines_held(&s->bytes), room, n;
    uint8_t *to;
    int rc;

    to = lines_room(&s->bytes, &room);
    rc = input_read(ctx, &s->in, s->bytes.offset + held, to, room, &n);
    s->at_end = rc == RASK_MORE && n == 0;
    lines_added(&s->bytes, n);
    return rc;
}

static void skip_byte_order_mark(struct csv_split *s)
{
    if (s->bytes.offset == 0 && s->scan.at == 0 && lines_held(&s->bytes) >= 3 &&
        memcmp(lines_data(&s->bytes), "\xef\xbb\xbf", 3) == 0)
        lines_drop(&s->bytes, 3);
}

static int csv_poll(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    struct csv_source *c = rask_self(ctx);
    struct csv_split *s = split->self;
    uint64_t position[2];
    int rc = 0;

    for (uint32_t i = 0; i < RASK_BATCH_ROWS_MAX && rc == RASK_MORE && !rask_op_full(ctx); i++)
        rc = lines_held(&s->bytes) > 0 ? next_record(ctx, c, s, out) : RASK_END;
    position[0] = s->bytes.offset;
    position[1] = s->line;
    rask_split_position(split, position, sizeof(position));
    if (rc != RASK_END || s->at_end)
        return rc;
    rc = read_more(ctx, s);
    if (rc == RASK_MORE)
        skip_byte_order_mark(s);
    return rc;
}

static void csv_close_split(rask_ctx *ctx, rask_split *split)
{
    struct csv_split *s = split->self;
    struct csv_source *c = rask_self(ctx);

    if (c->policy == POLICY_SKIP && s->bad > LOGGED_MAX)
        rask_log(ctx, RASK_LOG_WARN, "skipped %llu rows of %s in all", (unsigned long long)s->bad, s->in.path);
    lines_release(&s->bytes);
    input_close(&s->in);
}

static void csv_close(rask_ctx *ctx)
{
    struct csv_source *c = rask_self(ctx);

    bytes_release(&c->scratch);
    bytes_release(&c->reason);
}

const rask_source connectors_csv_source = {
    .abi = RASK_ABI,
    .name = "csv",
    .self_size = sizeof(struct csv_source),
    .split_size = sizeof(struct csv_split),
    .open = csv_open,
    .discover = csv_discover,
    .open_split = csv_open_split,
    .poll = csv_poll,
    .close_split = csv_close_split,
    .close = csv_close,
};
