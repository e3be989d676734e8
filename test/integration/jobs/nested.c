/* Rows inside cells on their way through a shuffle, state, a side output and sinks. --rows N, --csv FILE */
#include <inttypes.h>
#include <stdio.h>

#include <rask/rask.h>

RASK_ROW(place, (STRING, town), (NULL_INT, floor));
RASK_ROW(item, (STRING, name), (DECIMAL(12, 2), price));
RASK_ROW(order, (BIGINT, id), (ROW(place), at), (ARRAY(ROW(item)), items), (ARRAY(NULL_STRING), tags),
         (NULL_MAP(STRING, BIGINT), stock), (ARRAY(ARRAY(INT)), grid));
RASK_ROW(stock_entry, (STRING, key), (BIGINT, value));
RASK_ROW(total, (ROW(place), at), (BIGINT, orders), (DECIMAL(12, 2), sum), (ARRAY(BIGINT), ids));
RASK_ROW(flat, (BIGINT, id), (ARRAY(NULL_STRING), tags), (ROW(place), at));

static rask_str name_of(char text[64], const char *what, int64_t n)
{
    /* some fit into a cell, some do not */
    int len = snprintf(text, 64, n % 3 ? "%s %" PRId64 : "a rather long %s %" PRId64, what, n);

    return (rask_str){text, (uint32_t)len};
}

static int make(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    int64_t n = rask_i64(row, 0);
    struct order o = {.id = n};
    rask_out *items = rask_out_nested(out, order_col_items), *grid = rask_out_nested(out, order_col_grid);
    char text[64], town[64];
    int rc = 0;

    (void)ctx;
    o.at.town = name_of(town, "town", n % 7);
    o.at.floor.is_null = n % 2 == 0;
    o.at.floor.value = (int32_t)(n % 3);
    for (int64_t i = 0; i < n % 4 && rc == 0; i++)
        rc = item_emit(items, &(struct item){name_of(text, "item", n + i), 100 * i + n});
    for (int64_t i = 0; i < n % 3 && rc == 0; i++)
        rc = i == 1 ? rask_add_null(rask_out_nested(out, order_col_tags))
                    : rask_add_string(rask_out_nested(out, order_col_tags), name_of(text, "tag", n));
    o.stock.is_null = n % 5 == 0;
    if (!o.stock.is_null && rc == 0)
        rc = stock_entry_emit(rask_out_nested(out, order_col_stock), &(struct stock_entry){RASK_STR("left"), n});
    for (int64_t i = 0; i < n % 3 && rc == 0; i++) {
        rc = rask_out_begin(grid, grid->schema);
        for (int64_t k = 0; k <= i && rc == 0; k++)
            rc = rask_add_i64(rask_out_nested(grid, 0), n * 10 + k);
        if (rc == 0)
            rc = rask_out_end(grid);
    }
    return rc ? rc : order_emit(out, &o);
}

static int start(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct order o = order_at(row);
    struct total t = {.at = o.at, .orders = 1};
    int rc = rask_add_i64(rask_out_nested(out, total_col_ids), o.id);

    (void)ctx;
    for (uint32_t i = 0; i < o.items.count; i++) {
        rask_row r = rask_array_row(o.items, i);

        t.sum += item_at(&r).price;
    }
    return rc ? rc : total_emit(out, &t);
}

/* The ids are kept in ascending order, so that the last result does not depend on the way of the rows. */
static int add(rask_ctx *ctx, const rask_row *so_far, const rask_row *row, rask_out *out)
{
    struct total a = total_at(so_far), b = total_at(row), t = {.at = a.at};
    rask_out *ids = rask_out_nested(out, total_col_ids);
    uint32_t i = 0, k = 0;
    int rc = 0;

    (void)ctx;
    while (rc == 0 && (i < a.ids.count || k < b.ids.count)) {
        rask_row left = {a.ids.rows, a.ids.first + i}, right = {b.ids.rows, b.ids.first + k};
        bool from_left = k == b.ids.count || (i < a.ids.count && rask_i64(&left, 0) < rask_i64(&right, 0));

        rc = rask_add_i64(ids, rask_i64(from_left ? &left : &right, 0));
        i += from_left;
        k += !from_left;
    }
    t.orders = a.orders + b.orders;
    t.sum = a.sum + b.sum;
    return rc ? rc : total_emit(out, &t);
}

static int flatten(rask_ctx *ctx, const rask_row *row, rask_out *out)
{
    struct order o = order_at(row);
    struct flat f = {.id = o.id, .tags = o.tags, .at = o.at}; /* the array is copied */

    (void)ctx;
    return flat_emit(out, &f);
}

int rask_job(rask_env *env, const rask_params *params)
{
    rask_stream *ids = rask_from_sequence(env, 1, rask_param_i64(params, "rows", 100));
    rask_stream *orders = rask_map(rask_rebalance(ids), make, &order_schema);
    rask_stream *totals = rask_map(rask_rebalance(orders), start, &total_schema);

    rask_print(orders);
    rask_print(rask_reduce(rask_key_by(totals, "at"), add));
    rask_set_parallelism(
        rask_write_csv(rask_map(orders, flatten, &flat_schema), rask_param_required(params, "csv")), 1);
    return rask_execute(env, "rows inside cells");
}
