/*
 * nexmark.h - the events of the Nexmark benchmark: people, auctions and bids of an auction house, from a seed.
 *
 * The distributions and the order are those of nexmark/nexmark (1 person, 3 auctions, 46 bids in each 50 events; 100,000
 * events to a second of event time, the spacing of its second version), the random numbers are our own: upstream draws
 * them without a seed, so that no two runs agree.  Event e depends on e alone, so a part of the events, or of their columns,
 * can be made by itself.  bench/flink/Nexmark.java makes the same events; all arithmetic is exact in both.
 *
 * Strings that come from tables are views; nexmark_init fills the tables, once, before anything else.  Thread: the tables
 * are read only.  Included by jobs and by the C programs that they are compared with.
 */
#ifndef RASK_BENCH_NEXMARK_H
#define RASK_BENCH_NEXMARK_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NEXMARK_BLOCK = 50,  /* events of a block: a person, then auctions, then bids */
    NEXMARK_FIRST_BID = 4,
    NEXMARK_BIDS = 46,
    NEXMARK_POOL = 1 << 20, /* bytes that "extra" is cut from */
    NEXMARK_CHANNELS = 10000,
    NEXMARK_HOT_CHANNELS = 4,
    NEXMARK_LOG_STEPS = 1024,
    NEXMARK_FIRST_ID = 1000,
    NEXMARK_HOT = 100, /* every 100th id is a hot one */
    NEXMARK_PEOPLE = 1000 /* that are active */
};
#define NEXMARK_GOLDEN 0x9e3779b97f4a7c15u
#define NEXMARK_SEED   42u
#define NEXMARK_BASE   INT64_C(1767225600000) /* 2026-01-01, UTC */
#define NEXMARK_LOG    UINT64_C(2675169849)   /* log2(10^6) in units of 2^-27 */

struct nexmark_text {
    const char *data;
    uint32_t len;
};

struct nexmark_person {
    int64_t id, at;
    struct nexmark_text name, email, card, city, state, extra;
};
struct nexmark_auction {
    int64_t id, initial_bid, reserve, at, expires, seller, category;
    struct nexmark_text item, description, extra;
};
struct nexmark_bid {
    int64_t auction, bidder, price, at;
    struct nexmark_text channel, url, extra;
};

/* Of one seed's tables: fill one with nexmark_init. */
struct nexmark {
    char pool[NEXMARK_POOL];
    uint64_t powers[NEXMARK_LOG_STEPS + 1]; /* 2^(i / 1024) in units of 2^-31 */
    struct nexmark_text channels[NEXMARK_CHANNELS], urls[NEXMARK_CHANNELS];
    struct nexmark_text hot_channels[NEXMARK_HOT_CHANNELS], hot_urls[NEXMARK_HOT_CHANNELS];
    char text[2 << 20];
    size_t text_used;
};

/* ---- random numbers ---- */

static inline uint64_t nexmark_mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
/* The seed of an event, and its draws 0, 1 ...: 64 bits each. */
static inline uint64_t nexmark_seed(uint64_t event)
{
    return nexmark_mix(event * NEXMARK_GOLDEN + NEXMARK_SEED);
}
static inline uint64_t nexmark_draw(uint64_t seed, uint64_t k)
{
    return nexmark_mix(seed + (k + 1) * NEXMARK_GOLDEN);
}
/* 0 .. n - 1 from the low, or the high half of a draw. */
static inline uint64_t nexmark_low(uint64_t draw, uint64_t n)
{
    return (draw & 0xffffffffu) * n >> 32;
}
static inline uint64_t nexmark_high(uint64_t draw, uint64_t n)
{
    return (draw >> 32) * n >> 32;
}

/* ---- cells.  block: event / 50, so the newest person, and a third of the newest auction. ---- */

/* Event k of a split, of which there are `splits`: all begin at the same time. */
static inline int64_t nexmark_time(uint64_t k, uint64_t splits)
{
    return NEXMARK_BASE + (int64_t)(k * splits / 100);
}

/* round(100 * 10^(6 u)), u uniform: cents, 100 .. 100,000,000. */
static inline int64_t nexmark_price(const struct nexmark *n, uint64_t draw)
{
    uint64_t x = (draw >> 32) * NEXMARK_LOG >> 27, part = x & 0xffffffffu, step = part >> 22;
    uint64_t low = n->powers[step], power = low + ((n->powers[step + 1] - low) * (part & 0x3fffffu) >> 22);

    return (int64_t)(((100 * power << (x >> 32)) + (1u << 30)) >> 31);
}

/* One of the last 1,000 people, or of the next 10. */
static inline int64_t nexmark_someone(uint64_t block, uint64_t draw)
{
    uint64_t people = block + 1, active = people < NEXMARK_PEOPLE ? people : NEXMARK_PEOPLE;

    return (int64_t)(people - active + nexmark_low(draw, active + 10)) + NEXMARK_FIRST_ID;
}

static inline int64_t nexmark_bid_auction(uint64_t block, uint64_t draw)
{
    uint64_t last = block * 3 + 2, least = last < 100 ? 0 : last - 100;
    uint64_t some = least + nexmark_low(draw, last - least + 11);

    return (int64_t)(draw >> 63 ? last / NEXMARK_HOT * NEXMARK_HOT : some) + NEXMARK_FIRST_ID;
}

/* Upstream adds the first id twice; so do we. */
static inline int64_t nexmark_bid_bidder(uint64_t block, uint64_t draw)
{
    int64_t some = nexmark_someone(block, draw);
    int64_t hot = (int64_t)(block / NEXMARK_HOT * NEXMARK_HOT) + 1 + NEXMARK_FIRST_ID;

    return (draw >> 62 ? hot : some) + NEXMARK_FIRST_ID;
}

/* Bytes of extra text so that the row has `average` of them in the mean, of which `counted` are elsewhere. */
static inline struct nexmark_text nexmark_extra(const struct nexmark *n, uint64_t draw, int64_t counted, int64_t average)
{
    int64_t target = average - counted, delta = (2 * target + 5) / 10; /* a fifth, rounded */
    struct nexmark_text t = {n->pool, 0};

    if (target <= 0)
        return t;
    t.len = (uint32_t)(target - delta + (int64_t)nexmark_high(draw, (uint64_t)(2 * delta)));
    t.data = n->pool + nexmark_low(draw, NEXMARK_POOL - t.len);
    return t;
}

/* ---- bids: which draw makes which column ---- */

enum { NEXMARK_DRAW_AUCTION, NEXMARK_DRAW_BIDDER, NEXMARK_DRAW_PRICE, NEXMARK_DRAW_CHANNEL, NEXMARK_DRAW_EXTRA };

/* Of the event `event` of all, which is the k-th of its split and has to be a bid. */
static inline struct nexmark_bid nexmark_bid(const struct nexmark *n, uint64_t event, uint64_t k, uint64_t splits)
{
    uint64_t seed = nexmark_seed(event), block = event / NEXMARK_BLOCK, draw = nexmark_draw(seed, NEXMARK_DRAW_CHANNEL);
    uint64_t hot = nexmark_low(draw, NEXMARK_HOT_CHANNELS), channel = nexmark_low(draw, NEXMARK_CHANNELS);
    struct nexmark_bid b = {
        .auction = nexmark_bid_auction(block, nexmark_draw(seed, NEXMARK_DRAW_AUCTION)),
        .bidder = nexmark_bid_bidder(block, nexmark_draw(seed, NEXMARK_DRAW_BIDDER)),
        .price = nexmark_price(n, nexmark_draw(seed, NEXMARK_DRAW_PRICE)),
        .at = nexmark_time(k, splits),
        .channel = draw >> 63 ? n->hot_channels[hot] : n->channels[channel],
        .url = draw >> 63 ? n->hot_urls[hot] : n->urls[channel],
        .extra = nexmark_extra(n, nexmark_draw(seed, NEXMARK_DRAW_EXTRA), 32, 100),
    };

    return b;
}

/* ---- people and auctions: their strings are written to *to, which moves on; 1 KiB is enough ---- */

/* 3 .. max - 1 characters, `special` 1 of 13, else a - z.  Draws first, first + 1 ... of the seed. */
static inline struct nexmark_text nexmark_string(uint64_t seed, uint64_t first, uint32_t max, char special, char **to)
{
    uint64_t draw = nexmark_draw(seed, first);
    struct nexmark_text t = {*to, 3 + (uint32_t)nexmark_high(draw, max - 3)};

    for (uint32_t i = 0; i < t.len; i++) {
        uint64_t byte = draw & 255;

        draw >>= 8;
        if (i % 4 == 3) /* the high half of the first draw was the length */
            draw = nexmark_draw(seed, ++first);
        *(*to)++ = byte % 13 == 0 ? special : (char)('a' + (byte * 26 >> 8));
    }
    return t;
}

/* The draws of one string do not reach those of the next. */
#define NEXMARK_STRING_DRAWS 32

static inline struct nexmark_text nexmark_copy(const char *text, char **to)
{
    struct nexmark_text t = {*to, (uint32_t)strlen(text)};

    memcpy(*to, text, t.len);
    *to += t.len;
    return t;
}

static inline struct nexmark_text nexmark_joined(struct nexmark_text first, const char *end)
{
    struct nexmark_text t = {first.data, (uint32_t)(end - first.data)};

    return t;
}

static inline struct nexmark_person nexmark_person(const struct nexmark *n, uint64_t event, uint64_t k, uint64_t splits,
                                                   char **to)
{
    static const char *const first[] = {"Peter", "Paul",  "Luke",  "John",   "Saul",  "Vicky",
                                        "Kate",  "Julie", "Sarah", "Deiter", "Walter"};
    static const char *const last[] = {"Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"};
    static const char *const cities[] = {"Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland",
                                         "Bend",    "Redmond",     "Seattle",       "Kent",  "Cheyenne"};
    static const char *const states[] = {"AZ", "CA", "ID", "OR", "WA", "WY"};
    uint64_t seed = nexmark_seed(event), names = nexmark_draw(seed, 0), place = nexmark_draw(seed, 1);
    uint64_t card[2] = {nexmark_draw(seed, 2), nexmark_draw(seed, 3)};
    struct nexmark_person p = {.id = (int64_t)(event / NEXMARK_BLOCK) + NEXMARK_FIRST_ID, .at = nexmark_time(k, splits)};

    p.name = nexmark_copy(first[nexmark_high(names, 11)], to);
    *(*to)++ = ' ';
    nexmark_copy(last[nexmark_low(names, 9)], to);
    p.name = nexmark_joined(p.name, *to);
    p.email = nexmark_string(seed, 5, 7, '_', to);
    *(*to)++ = '@';
    nexmark_string(seed, 5 + NEXMARK_STRING_DRAWS, 5, '_', to);
    nexmark_copy(".com", to);
    p.email = nexmark_joined(p.email, *to);
    p.card.data = *to;
    p.card.len = 19;
    *to += snprintf(*to, 20, "%04d %04d %04d %04d", (int)nexmark_high(card[0], 10000), (int)nexmark_low(card[0], 10000),
                   (int)nexmark_high(card[1], 10000), (int)nexmark_low(card[1], 10000));
    p.city = nexmark_copy(cities[nexmark_high(place, 10)], to);
    p.state = nexmark_copy(states[nexmark_low(place, 6)], to);
    p.extra = nexmark_extra(n, nexmark_draw(seed, 4), 16 + p.name.len + p.email.len + 19 + p.city.len + 2, 200);
    return p;
}

static inline struct nexmark_auction nexmark_auction(const struct nexmark *n, uint64_t event, uint64_t k, uint64_t splits,
                                                     char **to)
{
    uint64_t seed = nexmark_seed(event), block = event / NEXMARK_BLOCK, life = nexmark_draw(seed, 2);
    uint64_t seller = nexmark_draw(seed, 3), span = 1667 * splits / 100; /* ms of the next 100 auctions */
    struct nexmark_auction a = {.id = (int64_t)(block * 3 + event % NEXMARK_BLOCK - 1) + NEXMARK_FIRST_ID,
                                .initial_bid = nexmark_price(n, nexmark_draw(seed, 0)),
                                .at = nexmark_time(k, splits)};

    a.reserve = a.initial_bid + nexmark_price(n, nexmark_draw(seed, 1));
    a.expires = a.at + 1 + (int64_t)nexmark_low(life, span < 1 ? 2 : 2 * span);
    a.seller = seller >> 62 ? (int64_t)(block / NEXMARK_HOT * NEXMARK_HOT) + NEXMARK_FIRST_ID : nexmark_someone(block, seller);
    a.category = 10 + (int64_t)nexmark_high(life, 5);
    a.item = nexmark_string(seed, 5, 20, ' ', to);
    a.description = nexmark_string(seed, 5 + NEXMARK_STRING_DRAWS, 100, ' ', to);
    a.extra = nexmark_extra(n, nexmark_draw(seed, 4), 56 + a.item.len + a.description.len, 500);
    return a;
}

/* ---- tables ---- */

static inline struct nexmark_text nexmark_keep(struct nexmark *n, const char *text, size_t len)
{
    struct nexmark_text t = {n->text + n->text_used, (uint32_t)len};

    memcpy(n->text + n->text_used, text, len);
    n->text_used += len;
    return t;
}

static inline size_t nexmark_url(uint64_t seed, char *to)
{
    char *begin = to;

    nexmark_copy("https://www.nexmark.com/", &to);
    for (uint64_t i = 0; i < 3; i++) {
        nexmark_string(seed, 1 + i * NEXMARK_STRING_DRAWS, 5, '_', &to);
        *to++ = '/';
    }
    nexmark_copy("item.htm?query=1", &to);
    return (size_t)(to - begin);
}

static inline uint32_t nexmark_reversed(uint32_t x)
{
    uint32_t r = 0;

    for (int i = 0; i < 32; i++)
        r |= (x >> i & 1) << (31 - i);
    return r;
}

/* Tables of about 3.5 MiB. */
static inline void nexmark_init(struct nexmark *n)
{
    static const char *const hot[] = {"Google", "Facebook", "Baidu", "Apple"};
    double power = 1, step = 2;
    char text[256];

    n->text_used = 0;
    for (uint64_t i = 0; i < NEXMARK_POOL; i++) { /* upstream's letters: a +- 25, so from H to z */
        uint64_t draw = nexmark_draw(NEXMARK_SEED, i), letter = nexmark_low(draw, 26);

        n->pool[i] = (char)(draw >> 63 ? 'a' - letter : 'a' + letter);
    }
    for (int i = 0; i < 10; i++)
        step = sqrt(step); /* roots and products are rounded alike everywhere */
    for (int i = 0; i <= NEXMARK_LOG_STEPS; i++, power *= step)
        n->powers[i] = (uint64_t)(power * 2147483648.0);
    for (uint32_t i = 0; i < NEXMARK_CHANNELS; i++) {
        uint64_t seed = nexmark_mix(NEXMARK_SEED + i);
        int32_t id = (int32_t)nexmark_reversed(i);
        size_t len = (size_t)snprintf(text, sizeof(text), "channel-%u", i);

        n->channels[i] = nexmark_keep(n, text, len);
        len = nexmark_url(seed, text);
        if (nexmark_low(nexmark_draw(seed, 0), 10) > 0)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "&channel_id=%d", abs(id));
        n->urls[i] = nexmark_keep(n, text, len);
    }
    for (uint32_t i = 0; i < NEXMARK_HOT_CHANNELS; i++) {
        n->hot_channels[i] = nexmark_keep(n, hot[i], strlen(hot[i]));
        n->hot_urls[i] = nexmark_keep(n, text, nexmark_url(nexmark_mix(NEXMARK_SEED + NEXMARK_CHANNELS + i), text));
    }
}

/* ---- checksums: rows are added up, so their order does not matter ---- */

static inline uint64_t nexmark_word(const char *data)
{
    uint64_t word;

    memcpy(&word, data, 8);
    return word;
}

/* All bytes of a string. */
static inline uint64_t nexmark_check_text(const char *data, uint32_t len)
{
    uint64_t h = len, tail = 0;
    uint32_t at = 0;

    for (; at + 8 <= len; at += 8)
        h = (h << 9 | h >> 55) ^ nexmark_word(data + at);
    if (len >= 8)
        tail = nexmark_word(data + len - 8);
    else
        for (; at < len; at++)
            tail = tail << 8 | (uint8_t)data[at];
    return ((h << 9 | h >> 55) ^ tail) * NEXMARK_GOLDEN;
}

/* Four numbers. */
static inline uint64_t nexmark_check(int64_t a, int64_t b, int64_t c, int64_t d)
{
    uint64_t x = (uint64_t)a, y = (uint64_t)b, z = (uint64_t)c, w = (uint64_t)d;

    return x ^ (y << 9 | y >> 55) ^ (z << 23 | z >> 41) ^ (w << 41 | w >> 23);
}

static inline uint64_t nexmark_check_bid(const struct nexmark_bid *b)
{
    return nexmark_check(b->auction, b->bidder, b->price, b->at) + nexmark_check_text(b->channel.data, b->channel.len) +
           (nexmark_check_text(b->url.data, b->url.len) ^ nexmark_check_text(b->extra.data, b->extra.len));
}
static inline uint64_t nexmark_check_auction(const struct nexmark_auction *a)
{
    return nexmark_check(a->id, a->initial_bid, a->reserve, a->at) + nexmark_check(a->expires, a->seller, a->category, 0) +
           (nexmark_check_text(a->item.data, a->item.len) ^ nexmark_check_text(a->extra.data, a->extra.len)) +
           nexmark_check_text(a->description.data, a->description.len);
}
static inline uint64_t nexmark_check_person(const struct nexmark_person *p)
{
    return nexmark_check(p->id, p->at, 0, 0) + nexmark_check_text(p->name.data, p->name.len) +
           (nexmark_check_text(p->email.data, p->email.len) ^ nexmark_check_text(p->card.data, p->card.len)) +
           (nexmark_check_text(p->city.data, p->city.len) ^ nexmark_check_text(p->state.data, p->state.len)) +
           nexmark_check_text(p->extra.data, p->extra.len);
}

/* ---- splits: whole blocks, one part of the events after the other ---- */

struct nexmark_split {
    uint64_t first, end; /* blocks */
    uint64_t splits;
};

static inline struct nexmark_split nexmark_split(uint64_t number, uint64_t splits, uint64_t events)
{
    uint64_t blocks = events / NEXMARK_BLOCK;
    struct nexmark_split s = {blocks * number / splits, blocks * (number + 1) / splits, splits};

    return s;
}

#endif
