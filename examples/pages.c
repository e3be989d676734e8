/*
 * Requests of a web server by status, and bytes by page.
 *
 *     rask run examples/pages.c --input examples/data/access.log --statuses FILE --pages FILE
 *
 * The log is read as CSV with a blank between its fields; lines that are no such record go to standard error. Each
 * request gives an updated line "status,requests" and, when it was answered with 200, "path,bytes"; the last one
 * of a status or a path is its total.
 */
#include <rask/rask.h>
#include <rask/row.h>

RASK_ROW(request, (STRING, client), (STRING, ident), (STRING, user), (STRING, date), (STRING, zone), (STRING, line),
         (INT, status), (NULL_BIGINT, bytes), (STRING, referrer), (STRING, agent));
RASK_ROW(page, (STRING, path), (BIGINT, bytes));

static bool is_page(rask_ctx *ctx, const rask_row *row)
{
    (void)ctx;
    return rask_i32(row, request_col_status) == 200;
}

/* GET /index.html?from=feed HTTP/1.1 */
static int to_page(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct request r = request_at(row);
    struct page page = {RASK_STR(""), r.bytes.is_null ? 0 : r.bytes.value};
    const char *query;

    (void)ctx;
    rask_next_word(&r.line, &page.path); /* the method */
    rask_next_word(&r.line, &page.path);
    query = memchr(page.path.data, '?', page.path.len);
    if (query)
        page.path.len = (uint32_t)(query - page.path.data);
    return page_emit(out, &page);
}

int rask_job(rask_env *env, const rask_params *params)
{
    rask_csv_options options = {.delimiter = ' ', .null_text = "-", .bad_rows = RASK_BAD_SIDE};
    rask_stream *requests = rask_read_csv_with(env, rask_param_required(params, "input"), &request_schema, options);
    rask_stream *pages = rask_map(rask_filter(requests, is_page), to_page, &page_schema);
    rask_stream *statuses = rask_count(rask_key_by(requests, "status"), "requests");
    rask_stream *bytes = rask_sum(rask_key_by(pages, "path"), "bytes");

    rask_print_err(rask_side_stream(requests, 0));
    rask_set_parallelism(rask_write_csv(statuses, rask_param(params, "statuses", "statuses.csv")), 1);
    rask_set_parallelism(rask_write_csv(bytes, rask_param(params, "pages", "pages.csv")), 1);
    return rask_execute(env, "pages");
}
