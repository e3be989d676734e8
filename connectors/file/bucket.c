/* bucket.c - see bucket.h. */
#include "connectors/file/bucket.h"

#include <string.h>
#include <time.h>

#include "common/base/check.h"

static const char directives[] = "YmdHMSjFTGVuwe%";

static int bad_directive(const char *text, const char **ret_at)
{
    for (const char *p = strchr(text, '%'); p; p = strchr(p + 2, '%'))
        if (!p[1] || !strchr(directives, p[1])) {
            *ret_at = p;
            return -1;
        }
    return 0;
}

static int add_text(struct bucket_template *t, const char *from, size_t len, struct arena *arena, struct err *err)
{
    const char *at;
    char *text;

    if (len == 0)
        return 0;
    text = arena_alloc(arena, len + 1);
    memcpy(text, from, len);
    if (bad_directive(text, &at) != 0)
        return err_set(err, ERR_INVALID, "the bucket has the directive \"%.2s\"; known ones are %%Y %%m %%d %%H %%M %%S %%j %%F "
                       "%%T %%G %%V %%u %%w %%e and %%%% (see strftime)", at);
    t->timed = t->timed || strchr(text, '%');
    t->pieces[t->count++] = (struct bucket_piece){.text = text, .column = -1};
    return 0;
}

static int find_column(const rask_schema *schema, const char *name, size_t len)
{
    for (uint32_t i = 0; i < schema->columns; i++)
        if (strlen(schema->fields[i].name) == len && memcmp(schema->fields[i].name, name, len) == 0)
            return (int)i;
    return -1;
}

static int add_column(struct bucket_template *t, const rask_schema *schema, const char *name, size_t len, struct err *err)
{
    int column = find_column(schema, name, len);

    if (column < 0)
        return err_set(err, ERR_INVALID, "the bucket names {%.*s}, and the rows have no such column", (int)len, name);
    t->pieces[t->count++] = (struct bucket_piece){.column = column};
    t->per_row = true;
    return 0;
}

/* The folders that are written in the template itself; those of cells are made safe when they come. */
static int check_folders(const char *text, struct err *err)
{
    for (const char *p = text;; p++) {
        size_t len = strcspn(p, "/");

        if (text[0] && (len == 0 || (len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.')))
            return err_set(err, ERR_INVALID, "the bucket \"%s\" has an empty folder, \".\" or \"..\"; it is a path below the "
                           "sink's folder, like \"%s\"", text, BUCKET_DEFAULT);
        p += len;
        if (!*p)
            return 0;
    }
}

int bucket_parse(struct bucket_template *t, const rask_schema *schema, const char *text, const char *time_column,
                 struct arena *arena, struct err *err)
{
    *t = (struct bucket_template){.time_column = -1};
    if (strlen(text) > BUCKET_BYTES_MAX)
        return err_set(err, ERR_INVALID, "the bucket is longer than %d bytes", BUCKET_BYTES_MAX);
    if (check_folders(text, err) != 0)
        return err->code;
    while (*text) {
        size_t len = strcspn(text, "{"), name;

        if (t->count + 2 > BUCKET_PIECES_MAX)
            return err_set(err, ERR_INVALID, "the bucket has more than %d parts", BUCKET_PIECES_MAX);
        if (add_text(t, text, len, arena, err) != 0)
            return err->code;
        text += len;
        if (!*text)
            break;
        name = strcspn(++text, "}");
        if (!text[name])
            return err_set(err, ERR_INVALID, "the bucket has a { without its }");
        if (add_column(t, schema, text, name, err) != 0)
            return err->code;
        text += name + 1;
    }
    if (!time_column)
        return 0;
    t->time_column = find_column(schema, time_column, strlen(time_column));
    if (t->time_column < 0 || schema->fields[t->time_column].type != RASK_T_TIMESTAMP)
        return err_set(err, ERR_INVALID, "the bucket's time is column '%s', and the rows have no TIMESTAMP column of that name",
                       time_column);
    t->per_row = t->per_row || t->timed;
    return 0;
}

/* A cell as part of a name: nothing in it ends a folder, hides it or leaves it. */
static void add_safe(struct bytes *out, const uint8_t *cell, size_t len)
{
    if (len == 0)
        bytes_add_str(out, "__empty__");
    for (size_t i = 0; i < len; i++) {
        uint8_t c = cell[i];

        if (c == '/' || c == '%' || c < 0x20 || c == 0x7f || (i == 0 && (c == '.' || c == '_')))
            bytes_printf(out, "%%%02X", c);
        else
            bytes_add_u8(out, c);
    }
}

static int add_cell(const struct bucket_piece *p, const rask_batch *b, uint32_t row, struct bytes *out, struct err *err)
{
    struct bytes cell = {0};
    rask_row r = rask_batch_row(b, row);
    int rc = 0;

    if (rask_is_null(&r, p->column)) {
        bytes_add_str(out, "__null__");
        return 0;
    }
    batch_format_cell(b, (uint32_t)p->column, row, &cell);
    if (cell.len > 80)
        rc = err_set(err, ERR_LIMIT, "column '%s' names a folder, and a cell has %zu bytes; at most 80 make a name",
                     b->schema->fields[p->column].name, cell.len);
    else
        add_safe(out, cell.data, cell.len);
    bytes_release(&cell);
    return rc;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* bucket_parse has checked the directives */
static int add_time(const struct bucket_piece *p, const struct tm *tm, struct bytes *out, struct err *err)
{
    char text[2 * BUCKET_BYTES_MAX];
    size_t len = strftime(text, sizeof(text), p->text, tm);

    if (len == 0)
        return err_set(err, ERR_LIMIT, "the bucket \"%s\" makes a name of more than %zu bytes", p->text, sizeof(text) - 1);
    bytes_add(out, text, len);
    return 0;
}
#pragma GCC diagnostic pop

static int time_of(const struct bucket_template *t, const rask_batch *b, uint32_t row, rask_ts now, struct tm *ret,
                   struct err *err)
{
    rask_row r = rask_batch_row(b, row);
    time_t seconds = (time_t)(now / 1000);

    if (t->time_column < 0) {
        localtime_r(&seconds, ret);
        return 0;
    }
    if (rask_is_null(&r, t->time_column))
        return err_set(err, ERR_INVALID, "column '%s' gives the time of a row's bucket, and is null in a row",
                       b->schema->fields[t->time_column].name);
    seconds = (time_t)(rask_i64(&r, t->time_column) / 1000 - (rask_i64(&r, t->time_column) % 1000 < 0));
    if (!gmtime_r(&seconds, ret))
        return err_set(err, ERR_INVALID, "column '%s' gives the time of a row's bucket, and %lld s is no date",
                       b->schema->fields[t->time_column].name, (long long)seconds);
    return 0;
}

int bucket_of(const struct bucket_template *t, const rask_batch *b, uint32_t row, rask_ts now, struct bytes *out,
              struct err *err)
{
    struct tm tm = {0};
    int rc = t->timed ? time_of(t, b, row, now, &tm, err) : 0;

    for (uint32_t i = 0; i < t->count && rc == 0; i++) {
        const struct bucket_piece *p = &t->pieces[i];

        rc = p->text ? add_time(p, &tm, out, err) : add_cell(p, b, row, out, err);
    }
    return rc;
}
