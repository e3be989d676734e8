/*
 * nexmark.c - Nexmark's first queries through the C API, on the events of bench/nexmark.h.
 *
 *     rask run nexmark.so --query q0 --events 100000000
 *
 * q0: auction, bidder, price, time and extra of all bids     q1: with the price times 0.908, a DECIMAL(23, 3)
 * q2: auction and price of bids on auctions of which 123 is a divisor
 * The source has all columns of bids and makes those that the query reads (rask_wanted); people and auctions, which none of
 * the three reads, are counted as events and not built.  Strings are views into one buffer.  --splits: 2.
 * Accumulators: those of checksum_sink.h.
 */
#include <rask/rask.h>

#include "bench/jobs/checksum_sink.h"
#include "bench/nexmark.h"

RASK_ROW(event, (BIGINT, auction), (BIGINT, bidder), (BIGINT, price), (STRING, channel), (STRING, url), (TIMESTAMP, at),
         (STRING, extra));
RASK_ROW(bid, (BIGINT, auction), (BIGINT, bidder), (BIGINT, price), (TIMESTAMP, at), (STRING, extra));
RASK_ROW(euro_bid, (BIGINT, auction), (BIGINT, bidder), (DECIMAL(23, 3), price), (TIMESTAMP, at), (STRING, extra));
RASK_ROW(price, (BIGINT, auction), (BIGINT, price));

enum { BATCH_BLOCKS = RASK_BATCH_ROWS_MAX / NEXMARK_BIDS, PRIME = 123 };

/* ---- source ---- */

struct plan {
    uint64_t events, splits;
};

struct tables { /* self of a source's subtask */
    struct nexmark *nexmark;
    rask_buffer *text; /* nexmark's pool and its text behind it, which cells refer to */
};

static int discover(rask_ctx *ctx, rask_splits *found)
{
    const struct plan *plan = rask_args(ctx);

    for (uint64_t i = 0; i < plan->splits; i++) {
        struct nexmark_split s = nexmark_split(i, plan->splits, plan->events);
        int rc = rask_split_add(found, (rask_str){(const char *)&s, sizeof(s)}, (rask_str){"", 0});

        if (rc)
            return rc;
    }
    return 0;
}

static int open_tables(rask_ctx *ctx)
{
    struct tables *t = rask_self(ctx);

    t->nexmark = malloc(sizeof(*t->nexmark));
    if (!t->nexmark)
        return rask_fail(ctx, "no memory for tables of %zu bytes", sizeof(*t->nexmark));
    nexmark_init(t->nexmark);
    return 0;
}

static void close_tables(rask_ctx *ctx)
{
    struct tables *t = rask_self(ctx);

    rask_buffer_unref(t->text);
    free(t->nexmark);
}

/* The cells of column `name`, from the bids of the i-th block of the batch on. */
#define CELLS(type, name) ((type *)b->columns[event_col_##name].data + row)
/* The draw of this number for each bid of a block, in `draw`. */
#define EACH_BID(number, ...)                                                                                           \
    for (uint64_t i = 0; i < NEXMARK_BIDS; i++) {                                                                       \
        uint64_t draw = nexmark_draw(nexmark_seed(block * NEXMARK_BLOCK + NEXMARK_FIRST_BID + i), number);              \
                                                                                                                        \
        __VA_ARGS__;                                                                                                    \
    }

static rask_view view_of(const struct tables *t, uint32_t number, struct nexmark_text text)
{
    const struct nexmark *n = t->nexmark;
    bool pooled = text.data >= n->pool && text.data < n->pool + NEXMARK_POOL;
    uint32_t offset = (uint32_t)(pooled ? text.data - n->pool : NEXMARK_POOL + (text.data - n->text));

    return rask_view_at(t->text, number, offset, text.len);
}

static void fill_channels(const struct tables *t, uint64_t block, uint32_t number, rask_view *channel, rask_view *url)
{
    const struct nexmark *n = t->nexmark;

    EACH_BID(NEXMARK_DRAW_CHANNEL, uint64_t hot = nexmark_low(draw, NEXMARK_HOT_CHANNELS);
             uint64_t some = nexmark_low(draw, NEXMARK_CHANNELS);
             channel[i] = view_of(t, number, draw >> 63 ? n->hot_channels[hot] : n->channels[some]);
             url[i] = view_of(t, number, draw >> 63 ? n->hot_urls[hot] : n->urls[some]))
}

static void fill_extra(const struct nexmark *n, uint64_t block, uint32_t number, rask_view *restrict extra)
{
    EACH_BID(NEXMARK_DRAW_EXTRA, struct nexmark_text t = nexmark_extra(n, draw, 32, 100);
             extra[i].len = t.len; /* more than 12: not inline */
             memcpy(extra[i].u.ref.prefix, t.data, 4); extra[i].u.ref.buffer = number;
             extra[i].u.ref.offset = (uint32_t)(t.data - n->pool))
}

static void fill_numbers(rask_ctx *ctx, const struct nexmark *n, rask_batch *b, uint32_t row, uint64_t block)
{
    int64_t *restrict auction = CELLS(int64_t, auction), *restrict bidder = CELLS(int64_t, bidder);
    int64_t *restrict price = CELLS(int64_t, price);

    if (rask_wanted(ctx, event_col_auction))
        EACH_BID(NEXMARK_DRAW_AUCTION, auction[i] = nexmark_bid_auction(block, draw))
    if (rask_wanted(ctx, event_col_bidder))
        EACH_BID(NEXMARK_DRAW_BIDDER, bidder[i] = nexmark_bid_bidder(block, draw))
    if (rask_wanted(ctx, event_col_price))
        EACH_BID(NEXMARK_DRAW_PRICE, price[i] = nexmark_price(n, draw))
}

/* The bids of one block of events, which begins with the k-th of its split. */
static void fill_block(rask_ctx *ctx, rask_batch *b, uint32_t row, uint64_t block, uint64_t k, uint64_t splits)
{
    const struct tables *t = rask_self(ctx);

    fill_numbers(ctx, t->nexmark, b, row, block);
    if (rask_wanted(ctx, event_col_at))
        for (uint64_t i = 0; i < NEXMARK_BIDS; i++)
            CELLS(int64_t, at)[i] = nexmark_time(k + NEXMARK_FIRST_BID + i, splits);
    if (rask_wanted(ctx, event_col_channel) || rask_wanted(ctx, event_col_url))
        fill_channels(t, block, rask_batch_hold(b, t->text), CELLS(rask_view, channel), CELLS(rask_view, url));
    if (rask_wanted(ctx, event_col_extra))
        fill_extra(t->nexmark, block, rask_batch_hold(b, t->text), CELLS(rask_view, extra));
}

/* A new batch; of channel and url, which come from one draw, both are made or none. */
static rask_batch *new_batch(rask_ctx *ctx, rask_out *out, uint32_t rows)
{
    bool channels = rask_wanted(ctx, event_col_channel) || rask_wanted(ctx, event_col_url);
    rask_batch *b = rask_batch_new(out, rows);

    for (int i = 0; i < event_columns; i++)
        if (!rask_wanted(ctx, i) && !(channels && (i == event_col_channel || i == event_col_url)))
            rask_batch_omit(b, i);
    return b;
}

/* self of a split: blocks made so far. */
static int make_bids(rask_ctx *ctx, rask_split *split, rask_out *out)
{
    struct tables *t = rask_self(ctx);
    uint64_t *made = split->self, left, blocks;
    struct nexmark_split s;
    rask_batch *b;
    int rc;

    memcpy(&s, split->id.data, sizeof(s));
    left = s.end - s.first - *made;
    if (left == 0)
        return RASK_END;
    if (!t->text) {
        t->text = rask_buffer_new(out, NEXMARK_POOL + t->nexmark->text_used);
        memcpy(t->text->data, t->nexmark->pool, NEXMARK_POOL);
        memcpy(t->text->data + NEXMARK_POOL, t->nexmark->text, t->nexmark->text_used);
    }
    blocks = left < BATCH_BLOCKS ? left : BATCH_BLOCKS;
    b = new_batch(ctx, out, (uint32_t)blocks * NEXMARK_BIDS);
    for (uint64_t i = 0; i < blocks; i++)
        fill_block(ctx, b, (uint32_t)i * NEXMARK_BIDS, s.first + *made + i, (*made + i) * NEXMARK_BLOCK, s.splits);
    *made += blocks;
    rc = rask_emit_batch(out, &b);
    return rc ? rc : left == blocks ? RASK_END : RASK_MORE;
}

static const rask_source bids = {
    .abi = RASK_ABI,
    .name = "bids",
    .out = &event_schema,
    .self_size = sizeof(struct tables),
    .split_size = sizeof(uint64_t),
    .open = open_tables,
    .discover = discover,
    .poll = make_bids,
    .close = close_tables,
};

/* ---- queries ---- */

/* q1: the price in euro; the other columns are shared. */
static int to_euro(rask_op *op, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    static const int16_t columns[] = {0, 1, RASK_NEW_COLUMN, 3, 4};
    rask_out *out = rask_main_out(op);
    rask_batch *part = rask_batch_slice(in, from, in->rows - from), *euro = rask_batch_derive(out, part, columns);
    const int64_t *dollars = part->columns[bid_col_price].data;
    rask_decimal128 *restrict to = euro->columns[euro_bid_col_price].data;

    (void)input;
    *ret_consumed = part->rows;
    for (uint32_t i = 0; i < part->rows; i++) {
        uint32_t at = rask_position(part, i);
        int64_t price = dollars[at] * 908; /* at most 100,000,000 * 908 */

        to[rask_position(euro, i)] = (rask_decimal128){(uint64_t)price, price >> 63};
    }
    rask_batch_unref(part);
    return rask_emit_batch(out, &euro);
}

static const rask_operator euro = {
    .abi = RASK_ABI,
    .name = "q1",
    .in = &bid_schema,
    .out = &euro_bid_schema,
    .process = to_euro,
};

/* q2: a selection; no cell is copied. */
static int select_auctions(rask_op *op, int input, const rask_batch *in, uint32_t from, uint32_t *ret_consumed)
{
    const int64_t *auction = in->columns[price_col_auction].data;
    uint16_t keep[RASK_BATCH_ROWS_MAX];
    uint32_t count = 0;
    rask_batch *kept;

    (void)input;
    *ret_consumed = in->rows - from;
    for (uint32_t i = from; i < in->rows; i++) {
        keep[count] = (uint16_t)i;
        count += auction[rask_position(in, i)] % PRIME == 0;
    }
    if (count == 0)
        return 0;
    kept = rask_batch_select(in, keep, count);
    return rask_emit_batch(rask_main_out(op), &kept);
}

static const rask_operator some_auctions = {
    .abi = RASK_ABI,
    .name = "q2",
    .in = &price_schema,
    .out = &price_schema,
    .process = select_auctions,
};

/* ---- sinks: every cell ---- */

static int add_bids(rask_ctx *ctx, const rask_batch *rows)
{
    struct checksum *sums = rask_self(ctx);
    const int64_t *auction = rows->columns[bid_col_auction].data, *bidder = rows->columns[bid_col_bidder].data;
    const int64_t *price = rows->columns[bid_col_price].data, *time = rows->columns[bid_col_at].data;
    const rask_view *extra = rows->columns[bid_col_extra].data;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < rows->rows; i++) {
        uint32_t at = rask_position(rows, i);
        rask_str text = rask_view_str(rows, &extra[at]);

        sum += nexmark_check(auction[at], bidder[at], price[at], time[at]) + nexmark_check_text(text.data, text.len);
    }
    sums->sum += sum;
    sums->rows += rows->rows;
    return 0;
}

static int add_euro_bids(rask_ctx *ctx, const rask_batch *rows)
{
    struct checksum *sums = rask_self(ctx);
    const int64_t *auction = rows->columns[bid_col_auction].data, *bidder = rows->columns[bid_col_bidder].data;
    const rask_decimal128 *price = rows->columns[bid_col_price].data;
    const int64_t *time = rows->columns[bid_col_at].data;
    const rask_view *extra = rows->columns[bid_col_extra].data;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < rows->rows; i++) {
        uint32_t at = rask_position(rows, i);
        rask_str text = rask_view_str(rows, &extra[at]);

        sum += nexmark_check(auction[at], bidder[at], (int64_t)price[at].low, time[at]) + (uint64_t)price[at].high +
               nexmark_check_text(text.data, text.len);
    }
    sums->sum += sum;
    sums->rows += rows->rows;
    return 0;
}

static int add_prices(rask_ctx *ctx, const rask_batch *rows)
{
    struct checksum *sums = rask_self(ctx);
    const int64_t *auction = rows->columns[price_col_auction].data, *price = rows->columns[price_col_price].data;

    for (uint32_t i = 0; i < rows->rows; i++)
        sums->sum += nexmark_check(auction[rask_position(rows, i)], 0, price[rask_position(rows, i)], 0);
    sums->rows += rows->rows;
    return 0;
}

#define SINK(function, schema)                                                                                          \
    {                                                                                                                   \
        .abi = RASK_ABI, .name = "add", .in = &schema, .self_size = sizeof(struct checksum), .write = function,         \
        .finish = checksum_tell                                                                                         \
    }
static const rask_sink bid_sink = SINK(add_bids, bid_schema), euro_sink = SINK(add_euro_bids, euro_bid_schema),
                       price_sink = SINK(add_prices, price_schema);

int rask_job(rask_env *env, const rask_params *params)
{
    const char *query = rask_param(params, "query", "q0");
    struct plan plan = {(uint64_t)rask_param_i64(params, "events", 100000000),
                        (uint64_t)rask_param_i64(params, "splits", 2)};
    rask_stream *in = rask_with(rask_from_source(env, &bids, NULL), &plan, sizeof(plan));

    if (strcmp(query, "q2") == 0)
        rask_sink_to(rask_transform(rask_project(in, &price_schema), &some_auctions), &price_sink);
    else if (strcmp(query, "q1") == 0)
        rask_sink_to(rask_transform(rask_project(in, &bid_schema), &euro), &euro_sink);
    else
        rask_sink_to(rask_project(in, &bid_schema), &bid_sink);
    return rask_execute(env, query);
}
