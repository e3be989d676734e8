/*
 * postgres_sink.c - rows into a table of PostgreSQL, in two forms.
 *
 * With key columns: upserts.  A row replaces the one with its key, a DELETE row removes it; rows are sent in pieces, and at the
 * latest at a barrier, so after a failure some are written again, to the same result.
 * Without: every row is inserted once.  Rows go into a transaction that is prepared at the barrier, under a name that says which
 * checkpoint it belongs to, and committed when the checkpoint is complete; PostgreSQL keeps it through every crash.  What an
 * attempt prepared behind the checkpoint that its successor starts from is rolled back by the successor.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "connectors/postgres/pq.h"
#include "connectors/support.h"

enum { SEND_BYTES = 1 << 20, TRIES = 5, COMMITTABLE_VERSION = 1, GID_MAX = 200 };

struct postgres_sink {
    struct pq *pq;
    struct pq *control;  /* transactions: what cannot be said inside one */
    const char *conninfo;
    bool upsert;
    char *table;        /* quoted */
    char *columns;      /* quoted, with commas */
    char *copy, *merge; /* statements */
    struct bytes text;  /* rows in COPY's format, not sent yet */
    uint64_t position;  /* upsert: of the next row, so that the last one of a key wins */
    bool in_transaction;
    uint64_t restored;  /* the checkpoint that this attempt started from; 0: none */
    uint64_t prepared;  /* transactions of this attempt: part of their names */
    bool finished;      /* what is prepared now belongs to the checkpoint after the last barrier's */
};

static int fail(rask_ctx *ctx, const char *doing, const struct err *err)
{
    return rask_fail(ctx, "%s table %s: %s", doing, connector_property(connectors_args(ctx), "table", "?"), err->text);
}

/* "a.b" as "a"."b". */
static char *quote_table(const char *name)
{
    struct bytes out = {0};
    char *copy = mem_strdup(name), *save = NULL;

    for (char *part = strtok_r(copy, ".", &save); part; part = strtok_r(NULL, ".", &save)) {
        if (out.len > 0)
            bytes_add_u8(&out, '.');
        pq_add_name(&out, part);
    }
    mem_free(copy);
    return bytes_take_str(&out);
}

static bool is_key(const char *keys, const char *column)
{
    size_t len = strlen(column);

    for (const char *p = keys; p && *p; p += strcspn(p, ",") + (p[strcspn(p, ",")] == ','))
        if (strcspn(p, ",") == len && memcmp(p, column, len) == 0)
            return true;
    return false;
}

/* Columns for which want holds, each written by form ('@' is its quoted name). */
static void add_columns(struct bytes *out, const rask_schema *schema, const char *keys, int want_key, const char *form,
                        const char *between)
{
    bool first = true;

    for (uint32_t i = 0; i < schema->columns; i++) {
        if (want_key >= 0 && is_key(keys, schema->fields[i].name) != (want_key == 1))
            continue;
        if (!first)
            bytes_add_str(out, between);
        first = false;
        for (const char *p = form; *p; p++)
            if (*p == '@')
                pq_add_name(out, schema->fields[i].name);
            else
                bytes_add_u8(out, (uint8_t)*p);
    }
}

/* The statement that brings the rows of the temporary table rask_rows into the table; the last one of each key counts. */
static char *merge_statement(const struct postgres_sink *s, const rask_schema *schema, const char *keys)
{
    struct bytes q = {0};
    bool values = false;

    for (uint32_t i = 0; i < schema->columns; i++)
        values = values || !is_key(keys, schema->fields[i].name);
    bytes_add_str(&q, "WITH last AS (SELECT DISTINCT ON (");
    add_columns(&q, schema, keys, 1, "@", ", ");
    bytes_add_str(&q, ") * FROM rask_rows ORDER BY ");
    add_columns(&q, schema, keys, 1, "@", ", ");
    bytes_printf(&q, ", rask_position DESC), gone AS (DELETE FROM %s AS t USING last WHERE rask_gone AND ", s->table);
    add_columns(&q, schema, keys, 1, "t.@ = last.@", " AND ");
    bytes_printf(&q, ") INSERT INTO %s (%s) SELECT %s FROM last WHERE NOT rask_gone ON CONFLICT (", s->table, s->columns, s->columns);
    add_columns(&q, schema, keys, 1, "@", ", ");
    bytes_add_str(&q, values ? ") DO UPDATE SET " : ") DO NOTHING");
    add_columns(&q, schema, keys, 0, "@ = excluded.@", ", ");
    return bytes_take_str(&q);
}

static int check_schema(rask_ctx *ctx, const rask_schema *schema, const char *keys)
{
    for (uint32_t i = 0; i < schema->columns; i++)
        if (schema->fields[i].type == RASK_T_ARRAY || schema->fields[i].type == RASK_T_MAP || schema->fields[i].type == RASK_T_ROW)
            return rask_fail(ctx, "column '%s' is an ARRAY, MAP or ROW: the PostgreSQL sink writes plain columns", schema->fields[i].name);
    for (const char *p = keys; p && *p;) {
        size_t len = strcspn(p, ",");
        bool found = false;

        for (uint32_t i = 0; i < schema->columns; i++)
            found = found || (strlen(schema->fields[i].name) == len && memcmp(schema->fields[i].name, p, len) == 0);
        if (!found)
            return rask_fail(ctx, "the key column '%.*s' is none of the rows'", (int)len, p);
        p += len + (p[len] == ',');
    }
    return 0;
}

static int open_upsert(rask_ctx *ctx, struct postgres_sink *s, const rask_schema *schema, const char *keys)
{
    struct err err = {0};
    char *q = mem_printf("CREATE TEMP TABLE rask_rows ON COMMIT DELETE ROWS AS SELECT %s, 0::bigint AS rask_position, "
                         "false AS rask_gone FROM %s WITH NO DATA", s->columns, s->table);
    int rc = pq_exec(s->pq, q, &err);

    mem_free(q);
    s->copy = mem_printf("COPY rask_rows (%s, rask_position, rask_gone) FROM STDIN", s->columns);
    s->merge = merge_statement(s, schema, keys);
    return rc == 0 ? 0 : fail(ctx, "cannot write to", &err);
}

static void add_prefix(rask_ctx *ctx, struct bytes *out)
{
    const struct connector_args *args = connectors_args(ctx);

    bytes_printf(out, "rask:%s:%s:", args->job, args->operator_id);
}

/* Is this transaction one that was prepared behind the checkpoint we start from, and ours to resolve? */
static bool is_left_over(rask_ctx *ctx, const char *gid, size_t prefix)
{
    unsigned subtask, attempt;
    unsigned long long checkpoint, n;

    if (sscanf(gid + prefix, "%llu:%u:%u:%llu", &checkpoint, &attempt, &subtask, &n) != 4 || attempt >= rask_attempt(ctx))
        return false;
    if (subtask != rask_subtask(ctx) && (subtask < rask_parallelism(ctx) || rask_subtask(ctx) != 0))
        return false;
    return checkpoint > ((const struct postgres_sink *)rask_self(ctx))->restored;
}

/* COMMIT PREPARED or ROLLBACK PREPARED. *ret_unknown: the server has no such transaction. */
static int resolve(struct postgres_sink *s, const char *how, const char *gid, bool *ret_unknown, struct err *err)
{
    struct bytes q = {0};
    int rc;

    bytes_printf(&q, "%s PREPARED ", how);
    pq_add_literal(&q, gid);
    rc = pq_exec(s->control, (const char *)q.data, err);
    *ret_unknown = rc != 0 && strcmp(pq_state(s->control), "42704") == 0; /* undefined_object */
    bytes_release(&q);
    return *ret_unknown ? 0 : rc;
}

static int roll_back_left_over(rask_ctx *ctx, struct postgres_sink *s)
{
    struct bytes prefix = {0}, q = {0}, gids = {0};
    struct err err = {0};
    int rc;

    add_prefix(ctx, &prefix);
    bytes_add_str(&q, "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() AND starts_with(gid, ");
    pq_add_literal(&q, (const char *)prefix.data);
    bytes_add_str(&q, ") ORDER BY gid");
    rc = pq_query(s->control, (const char *)q.data, &gids, &err);
    for (size_t at = 0; rc == 0 && at < gids.len; at += strlen((const char *)gids.data + at) + 1) {
        const char *gid = (const char *)gids.data + at;
        bool unknown;

        if (!is_left_over(ctx, gid, prefix.len))
            continue;
        rc = resolve(s, "ROLLBACK", gid, &unknown, &err);
        if (rc == 0)
            rask_log(ctx, RASK_LOG_INFO, "rolled back %s, which an earlier attempt had prepared behind checkpoint %llu", gid,
                     (unsigned long long)s->restored);
    }
    bytes_release(&prefix);
    bytes_release(&q);
    bytes_release(&gids);
    return rc == 0 ? 0 : fail(ctx, "cannot resolve left-over transactions of", &err);
}

static int open_transactions(rask_ctx *ctx, struct postgres_sink *s)
{
    struct bytes value = {0};
    struct err err = {0};
    char *q = mem_printf("SELECT %s FROM %s LIMIT 0", s->columns, s->table);
    int rc = pq_exec(s->pq, q, &err);
    long allowed;

    mem_free(q);
    if (rc == 0) {
        s->control = pq_open(s->conninfo, &err);
        rc = s->control ? 0 : err.code;
    }
    if (rc == 0)
        rc = pq_query(s->pq, "SHOW max_prepared_transactions", &value, &err);
    if (rc != 0)
        return fail(ctx, "cannot write to", &err);
    allowed = strtol((const char *)value.data, NULL, 10);
    bytes_release(&value);
    if (allowed < 2 * (long)rask_parallelism(ctx))
        return rask_fail(ctx, "the PostgreSQL server allows %ld prepared transactions, and this sink needs %u: set max_prepared_transactions "
                         "= %u or more in its postgresql.conf and restart it, or give the sink key columns (upserts need none)",
                         allowed, 2 * rask_parallelism(ctx), 2 * rask_parallelism(ctx));
    s->copy = mem_printf("COPY %s (%s) FROM STDIN", s->table, s->columns);
    s->restored = rask_checkpoint_id(ctx);
    return roll_back_left_over(ctx, s);
}

static int postgres_open(rask_ctx *ctx)
{
    struct postgres_sink *s = rask_self(ctx);
    const struct connector_args *args = connectors_args(ctx);
    const char *keys = connector_property(args, "key", "");
    struct bytes columns = {0};
    struct err err = {0};

    s->conninfo = connector_property(args, "conninfo", "");
    s->upsert = keys[0] != 0;
    s->table = quote_table(connector_property(args, "table", ""));
    add_columns(&columns, args->schema, NULL, -1, "@", ", ");
    s->columns = bytes_take_str(&columns);
    if (check_schema(ctx, args->schema, keys) != 0)
        return -1;
    s->pq = pq_open(s->conninfo, &err);
    if (!s->pq)
        return fail(ctx, "cannot write to", &err);
    return s->upsert ? open_upsert(ctx, s, args->schema, keys) : open_transactions(ctx, s);
}

/* ---- rows ---- */

static void add_cell(const rask_row *r, uint32_t column, struct bytes *cell, struct bytes *out)
{
    const rask_field *f = &r->batch->schema->fields[column];

    if (rask_is_null(r, (int)column)) {
        bytes_add_str(out, "\\N");
        return;
    }
    if (f->type == RASK_T_BYTES)
        bytes_add_str(out, "\\\\x");
    bytes_clear(cell);
    batch_format_cell(r->batch, column, r->position, cell);
    for (size_t i = 0; i < cell->len; i++)
        switch (cell->data[i]) {
        case '\\': bytes_add_str(out, "\\\\"); break;
        case '\n': bytes_add_str(out, "\\n"); break;
        case '\r': bytes_add_str(out, "\\r"); break;
        case '\t': bytes_add_str(out, "\\t"); break;
        default: bytes_add_u8(out, cell->data[i]); break;
        }
}

static int add_row(rask_ctx *ctx, struct postgres_sink *s, const rask_batch *rows, uint32_t i, struct bytes *cell)
{
    rask_row r = rask_batch_row(rows, i);
    int kind = rows->kind.data ? ((const uint8_t *)rows->kind.data)[r.position] : RASK_INSERT;

    if (s->upsert && kind == RASK_UPDATE_BEFORE)
        return 0; /* the row after it replaces it */
    if (!s->upsert && kind != RASK_INSERT)
        return rask_fail(ctx, "a row changes or deletes an earlier one, and this sink only inserts: give it key columns");
    for (uint32_t c = 0; c < rows->schema->columns; c++) {
        if (c > 0)
            bytes_add_u8(&s->text, '\t');
        add_cell(&r, c, cell, &s->text);
    }
    if (s->upsert)
        bytes_printf(&s->text, "\t%llu\t%c", (unsigned long long)s->position++, kind == RASK_DELETE ? 't' : 'f');
    bytes_add_u8(&s->text, '\n');
    return 0;
}

static int upsert_once(struct postgres_sink *s, struct err *err)
{
    int rc = pq_exec(s->pq, "BEGIN", err);

    if (rc == 0)
        rc = pq_copy(s->pq, s->copy, &s->text, err);
    if (rc == 0)
        rc = pq_exec(s->pq, s->merge, err);
    if (rc == 0)
        return pq_exec(s->pq, "COMMIT", err);
    return rc;
}

/* Writers of the same keys may be in each other's way: PostgreSQL then ends one of them, which tries again. */
static int upsert(rask_ctx *ctx, struct postgres_sink *s)
{
    struct err err = {0};
    int rc = upsert_once(s, &err);

    for (int i = 1; rc != 0 && i < TRIES && (strcmp(pq_state(s->pq), "40P01") == 0 || strcmp(pq_state(s->pq), "40001") == 0); i++) {
        struct err ignored = {0};

        (void)!pq_exec(s->pq, "ROLLBACK", &ignored);
        rc = upsert_once(s, &err);
    }
    return rc == 0 ? 0 : fail(ctx, "cannot write to", &err);
}

static int insert(rask_ctx *ctx, struct postgres_sink *s)
{
    struct err err = {0};
    int rc = s->in_transaction ? 0 : pq_exec(s->pq, "BEGIN", &err);

    s->in_transaction = true;
    if (rc == 0)
        rc = pq_copy(s->pq, s->copy, &s->text, &err);
    return rc == 0 ? 0 : fail(ctx, "cannot write to", &err);
}

static int postgres_flush(rask_ctx *ctx)
{
    struct postgres_sink *s = rask_self(ctx);
    int rc = 0;

    if (s->text.len > 0)
        rc = s->upsert ? upsert(ctx, s) : insert(ctx, s);
    bytes_clear(&s->text);
    return rc;
}

static int postgres_write(rask_ctx *ctx, const rask_batch *rows)
{
    struct postgres_sink *s = rask_self(ctx);
    struct bytes cell = {0};
    int rc = 0;

    for (uint32_t i = 0; i < rows->rows && rc == 0; i++)
        rc = add_row(ctx, s, rows, i, &cell);
    bytes_release(&cell);
    return rc == 0 && s->text.len >= SEND_BYTES ? postgres_flush(ctx) : rc;
}

/* ---- two phases ---- */

static int prepare_transaction(rask_ctx *ctx, struct postgres_sink *s, const char *gid, struct bytes *xid)
{
    struct bytes q = {0};
    struct err err = {0};
    int rc = pq_query(s->pq, "SELECT txid_current()", xid, &err);

    bytes_add_str(&q, "PREPARE TRANSACTION ");
    pq_add_literal(&q, gid);
    if (rc == 0)
        rc = pq_exec(s->pq, (const char *)q.data, &err);
    bytes_release(&q);
    s->in_transaction = false;
    return rc == 0 ? 0 : fail(ctx, "cannot prepare the transaction of", &err);
}

static int postgres_prepare(rask_ctx *ctx, rask_committables *out)
{
    struct postgres_sink *s = rask_self(ctx);
    struct bytes committable = {0}, xid = {0};
    int rc = postgres_flush(ctx);

    /* What a dead attempt had sent may be prepared by the server only now. */
    if (rc == 0 && rask_attempt(ctx) > 0)
        rc = roll_back_left_over(ctx, s);
    if (rc != 0 || !s->in_transaction)
        return rc;
    bytes_add_u8(&committable, COMMITTABLE_VERSION);
    add_prefix(ctx, &committable);
    bytes_printf(&committable, "%llu:%u:%u:%llu", (unsigned long long)rask_checkpoint_id(ctx) + s->finished, rask_attempt(ctx),
                 rask_subtask(ctx), (unsigned long long)s->prepared++);
    CHECK(committable.len < GID_MAX);
    rc = prepare_transaction(ctx, s, (const char *)committable.data + 1, &xid);
    if (rc == 0) {
        bytes_add_u8(&committable, 0);
        bytes_add_str(&committable, (const char *)xid.data);
        rc = rask_committable_add(out, committable.data, committable.len + 1);
    }
    bytes_release(&committable);
    bytes_release(&xid);
    return rc;
}

static int postgres_finish(rask_ctx *ctx)
{
    ((struct postgres_sink *)rask_self(ctx))->finished = true;
    return 0;
}

/* Two texts, one after the other, each with its NUL. */
static bool read_committable(rask_bytes c, const char **ret_gid, const char **ret_xid)
{
    const char *end = c.len > 2 ? memchr(c.data + 1, 0, c.len - 1) : NULL;

    if (!end || c.data[0] != COMMITTABLE_VERSION || strncmp(c.data + 1, "rask:", 5) != 0 || end + 1 == c.data + c.len ||
        c.data[c.len - 1] != 0)
        return false;
    *ret_gid = c.data + 1;
    *ret_xid = end + 1;
    return strspn(*ret_xid, "0123456789") == strlen(*ret_xid) && **ret_xid;
}

/* The server does not know the transaction: was it committed before, or is it lost? */
static int was_committed(rask_ctx *ctx, struct postgres_sink *s, const char *gid, const char *xid)
{
    char *q = mem_printf("SELECT txid_status(%s)", xid);
    struct bytes status = {0};
    struct err err = {0};
    int rc = pq_query(s->control, q, &status, &err);

    mem_free(q);
    if (rc != 0)
        rc = fail(ctx, "cannot commit to", &err);
    else if (status.len > 0 && strcmp((const char *)status.data, "committed") != 0)
        rc = rask_fail(ctx, "the prepared transaction %s, which a checkpoint promised, was rolled back by somebody (its "
                       "status is \"%s\"): its rows are missing", gid, (const char *)status.data);
    else if (status.len == 0)
        rask_log(ctx, RASK_LOG_WARN, "the prepared transaction %s is not there any more and too old to ask for: taken as "
                 "committed", gid);
    bytes_release(&status);
    return rc;
}

static int postgres_commit(rask_ctx *ctx, rask_bytes committable)
{
    struct postgres_sink *s = rask_self(ctx);
    const char *gid, *xid;
    struct err err = {0};
    bool unknown;

    if (!read_committable(committable, &gid, &xid))
        return rask_fail(ctx, "the checkpoint has a commit in a form that this version does not know");
    if (resolve(s, "COMMIT", gid, &unknown, &err) != 0)
        return fail(ctx, "cannot commit to", &err);
    return unknown ? was_committed(ctx, s, gid, xid) : 0;
}

static int postgres_abort(rask_ctx *ctx, rask_bytes committable)
{
    const char *gid, *xid;
    struct err err = {0};
    bool unknown;

    if (!read_committable(committable, &gid, &xid))
        return 0;
    return resolve(rask_self(ctx), "ROLLBACK", gid, &unknown, &err) == 0 ? 0 : fail(ctx, "cannot roll back in", &err);
}

static void postgres_close(rask_ctx *ctx)
{
    struct postgres_sink *s = rask_self(ctx);

    pq_close(s->pq);
    pq_close(s->control);
    bytes_release(&s->text);
    mem_free(s->table);
    mem_free(s->columns);
    mem_free(s->copy);
    mem_free(s->merge);
}

#define POSTGRES_SINK                                                                                                   \
    .abi = RASK_ABI, .self_size = sizeof(struct postgres_sink), .open = postgres_open, .write = postgres_write,         \
    .flush = postgres_flush, .close = postgres_close

const rask_sink connectors_postgres_upsert_sink = {POSTGRES_SINK, .name = "postgres-upsert"};
const rask_sink connectors_postgres_sink = {POSTGRES_SINK, .name = "postgres", .prepare = postgres_prepare,
                                            .commit = postgres_commit, .abort = postgres_abort, .finish = postgres_finish};
