/*
 * nexmark.c - Nexmark's first queries without an engine: a thread for each split, which makes the bids of its part of the
 * events, in those columns that the query reads, and adds up all cells that the query puts out.
 *
 *     nexmark --query q0|q1|q2|events --events N --splits 2
 *
 * q0: auction, bidder, price, time and extra of all bids     q1: with the price times 0.908, a decimal of 3 places
 * q2: auction and price of bids on auctions of which 123 is a divisor     events: all columns of all events; a check
 */
#include "bench/c/bench.h"
#include "bench/nexmark.h"

struct part {
    struct nexmark_split split;
    uint64_t rows, sum;
    char padding[64];
};

static struct nexmark tables;

static void *q01(void *arg, int64_t factor)
{
    struct part *part = arg;
    const struct nexmark_split *s = &part->split;
    uint64_t sum = 0;

    for (uint64_t block = s->first; block < s->end; block++) {
        for (uint64_t i = NEXMARK_FIRST_BID; i < NEXMARK_BLOCK; i++) {
            uint64_t event = block * NEXMARK_BLOCK + i;
            struct nexmark_bid b = nexmark_bid(&tables, event, event - s->first * NEXMARK_BLOCK, s->splits);

            sum += nexmark_check(b.auction, b.bidder, b.price * factor, b.at) + nexmark_check_text(b.extra.data, b.extra.len);
        }
    }
    part->rows = (s->end - s->first) * NEXMARK_BIDS;
    part->sum = sum;
    return NULL;
}

static void *q0(void *arg)
{
    return q01(arg, 1);
}

static void *q1(void *arg)
{
    return q01(arg, 908);
}

static void *q2(void *arg)
{
    struct part *part = arg;
    const struct nexmark_split *s = &part->split;

    for (uint64_t block = s->first; block < s->end; block++) {
        for (uint64_t i = NEXMARK_FIRST_BID; i < NEXMARK_BLOCK; i++) {
            uint64_t seed = nexmark_seed(block * NEXMARK_BLOCK + i);
            int64_t auction = nexmark_bid_auction(block, nexmark_draw(seed, NEXMARK_DRAW_AUCTION));
            int64_t price = nexmark_price(&tables, nexmark_draw(seed, NEXMARK_DRAW_PRICE));

            if (auction % 123 == 0) {
                part->sum += nexmark_check(auction, 0, price, 0);
                part->rows++;
            }
        }
    }
    return NULL;
}

static void *all_events(void *arg)
{
    struct part *part = arg;
    const struct nexmark_split *s = &part->split;

    for (uint64_t event = s->first * NEXMARK_BLOCK; event < s->end * NEXMARK_BLOCK; event++) {
        uint64_t k = event - s->first * NEXMARK_BLOCK;
        char text[1024], *to = text;

        if (event % NEXMARK_BLOCK >= NEXMARK_FIRST_BID) {
            struct nexmark_bid b = nexmark_bid(&tables, event, k, s->splits);

            part->sum += nexmark_check_bid(&b);
        } else if (event % NEXMARK_BLOCK) {
            struct nexmark_auction a = nexmark_auction(&tables, event, k, s->splits, &to);

            part->sum += nexmark_check_auction(&a);
        } else {
            struct nexmark_person p = nexmark_person(&tables, event, k, s->splits, &to);

            part->sum += nexmark_check_person(&p);
        }
        part->rows++;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    const char *query = bench_word(argc, argv, "query", "events");
    uint64_t events = bench_option(argc, argv, "events", 10000000), splits = bench_option(argc, argv, "splits", 2);
    struct part *parts = calloc(splits, sizeof(*parts));
    uint64_t rows = 0, sum = 0;
    double begin;

    if (!parts)
        return 1;
    nexmark_init(&tables);
    begin = bench_seconds();
    for (uint64_t i = 0; i < splits; i++)
        parts[i].split = nexmark_split(i, splits, events);
    bench_threads(splits, strcmp(query, "q0") == 0 ? q0 : strcmp(query, "q1") == 0 ? q1 : strcmp(query, "q2") == 0 ? q2 : all_events,
                  parts, sizeof(*parts));
    for (uint64_t i = 0; i < splits; i++) {
        rows += parts[i].rows;
        sum += parts[i].sum;
    }
    free(parts);
    return bench_tell(rows, sum, bench_seconds() - begin);
}
