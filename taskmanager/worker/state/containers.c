/*
 * containers.c - lists and maps per key, made of entries of the table: part 0 is the head, others are chunks or buckets.
 *
 * List: head = u32 first, u32 last; last 0: the elements follow in the head, up to CHUNK_BYTES; else they are in the parts
 * first .. last, and an append touches the last one alone.  A part that is not there is empty.
 * Map: head = u32 buckets, u32 pairs; buckets 0: the pairs follow in the head; else they are in the parts 1 .. buckets by
 * linear hashing (Litwin 1980): a bucket that is too full has the next one in turn split, so no put pays for a whole map.
 * Element: u32 length, bytes. Pair: u32 key length, u32 value length, key, value. With a TTL i64 ms stands before each.
 * Runs in the task's step.
 */
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "taskmanager/worker/state/state_private.h"

#define CHUNK_BYTES 4096u
#define BUCKET_BYTES 2048u
#define BUCKET_PAIRS 16u
#define BUCKETS_FIRST 4u
#define HEAD_BYTES 8u
#define CHUNKS_MAX (1u << 24)  /* from a list's first to its last: 64 GiB; who looks at it looks for each */
#define CHUNK_LAST (1u << 31)  /* numbers go on while elements come and go */
#define BUCKETS_MAX (1u << 26)

struct head { /* of the value of part 0 */
    uint32_t first, last; /* maps: buckets, pairs */
};

/* A container in hand. */
struct box {
    struct table *t;
    uint64_t hash;
    rask_str key;
    uint32_t time_bytes; /* before each element */
    int64_t time_ms;     /* of what is put in */
};

static struct box box_of(struct wk_state *s, int state, uint64_t hash, rask_str key)
{
    struct table *t = wk_table_of(s, state);

    return (struct box){t, hash, key, t->decl->ttl_ms > 0 ? (uint32_t)sizeof(int64_t) : 0, s->now_ms};
}
static bool is_map(const struct box *b)
{
    return b->t->decl->kind == RASK_MAP;
}
static struct entry *part_of(const struct box *b, uint32_t part)
{
    return wk_read_entry(b->t, b->hash, b->key, part);
}
/* The page that it is in now is as young as this change: with a TTL pages go when the youngest in them has expired (cleaning). */
static struct entry *part_to_change(const struct box *b, uint32_t part, size_t size, size_t keep, struct err *err)
{
    struct entry *e = wk_write_entry(b->t, b->hash, b->key, part, size, keep, NULL, err);

    if (e && b->time_bytes) {
        struct page *p = page_of(e);

        p->newest_ms = MAX(p->newest_ms, b->t->state->now_ms);
    }
    return e;
}
static struct head head_of(const struct box *b, struct entry *e)
{
    struct head h = {0, 0};

    if (e) {
        CHECK(value_len_of(e) >= HEAD_BYTES);
        memcpy(&h, value_of(b->t, e), sizeof(h));
    }
    return h;
}
static int set_head(const struct box *b, struct head h, size_t size, struct err *err)
{
    struct entry *e = part_to_change(b, 0, size, size, err);

    if (!e)
        return ERR_LIMIT;
    memcpy(value_of(b->t, e), &h, sizeof(h));
    return 0;
}

static char *put_time(const struct box *b, char *to)
{
    if (b->time_bytes)
        memcpy(to, &b->time_ms, sizeof(int64_t));
    return to + b->time_bytes;
}
static bool has_expired(const struct box *b, const char *element)
{
    int64_t time;

    if (!b->time_bytes)
        return false;
    memcpy(&time, element, sizeof(time));
    return time + b->t->decl->ttl_ms <= b->t->state->now_ms;
}
static bool is_hidden(const struct box *b, const char *element)
{
    return !b->t->decl->ttl_show_expired && has_expired(b, element);
}
/* The element at `offset` of part e is read, which may prolong it. The part, as it is now; it lies elsewhere perhaps. */
static struct entry *note_read(const struct box *b, uint32_t part, struct entry *e, size_t offset)
{
    const char *element = value_of(b->t, e) + offset;
    struct entry *fresh;

    if (!b->time_bytes || !b->t->decl->ttl_on_read || has_expired(b, element) ||
        memcmp(element, &b->time_ms, sizeof(int64_t)) == 0)
        return e;
    fresh = part_to_change(b, part, value_len_of(e), value_len_of(e), NULL);
    if (!fresh)
        return e; /* no memory for it: it stays as old as it is */
    (void)put_time(b, value_of(b->t, fresh) + offset);
    return fresh;
}

/* The element at an offset: its size with everything; parts of it. */
static size_t element_at(const struct box *b, const char *data, rask_bytes *ret_at, rask_bytes *ret_value)
{
    const char *p = data + b->time_bytes;
    uint32_t len[2] = {0, 0};

    if (is_map(b)) {
        memcpy(len, p, 8);
        *ret_at = (rask_bytes){p + 8, len[0]};
        *ret_value = (rask_bytes){p + 8 + len[0], len[1]};
        return b->time_bytes + 8u + len[0] + len[1];
    }
    memcpy(len, p, 4);
    *ret_at = (rask_bytes){NULL, 0};
    *ret_value = (rask_bytes){p + 4, len[0]};
    return b->time_bytes + 4u + len[0];
}

static int too_large(const struct box *b, size_t len, struct err *err)
{
    return err_set(err, ERR_LIMIT, "state \"%s\": an element of %zu bytes; at most %u can be kept", b->t->decl->name, len,
                   WK_STATE_VALUE_MAX);
}

/* ---- lists ---- */

static void put_element(const struct box *b, struct entry *e, size_t offset, rask_bytes element)
{
    char *to = put_time(b, value_of(b->t, e) + offset);

    memcpy(to, &element.len, 4);
    memcpy(to + 4, element.data, element.len);
}

/* The elements that stand in the head move to part 1. */
static int unfold(const struct box *b, struct entry *e, struct err *err)
{
    size_t len = value_len_of(e) - HEAD_BYTES;
    struct entry *chunk = part_to_change(b, 1, len, 0, err);

    if (!chunk)
        return ERR_LIMIT;
    memcpy(value_of(b->t, chunk), value_of(b->t, e) + HEAD_BYTES, len);
    return set_head(b, (struct head){1, 1}, HEAD_BYTES, err);
}

static int append_chunk(const struct box *b, struct head h, rask_bytes element, size_t add, struct err *err)
{
    struct entry *e = part_of(b, h.last);
    size_t len = e ? value_len_of(e) : 0;

    if (len > 0 && len + add > CHUNK_BYTES) {
        int rc;

        while (h.first < h.last && !part_of(b, h.first))
            h.first++;
        if (h.last - h.first >= CHUNKS_MAX || h.last >= CHUNK_LAST)
            return err_set(err, ERR_LIMIT, "state \"%s\": the list of a key has chunks %u to %u of 4 KiB, and no more are possible: clear it now "
                           "and then", b->t->decl->name, h.first, h.last);
        h.last++;
        len = 0;
        rc = set_head(b, h, HEAD_BYTES, err);
        if (rc != 0)
            return rc;
    }
    e = part_to_change(b, h.last, len + add, len, err);
    if (!e)
        return ERR_LIMIT;
    put_element(b, e, len, element);
    return 0;
}

int wk_list_add(struct wk_state *s, int state, uint64_t hash, rask_str key, rask_bytes element, struct err *err)
{
    struct box b = box_of(s, state, hash, key);
    struct entry *e = part_of(&b, 0);
    struct head h = head_of(&b, e);
    size_t add = b.time_bytes + 4u + (size_t)element.len, len = e ? value_len_of(e) : HEAD_BYTES;
    int rc;

    if (add > WK_STATE_VALUE_MAX)
        return too_large(&b, element.len, err);
    if (h.last == 0 && (len == HEAD_BYTES || len + add <= CHUNK_BYTES)) {
        e = part_to_change(&b, 0, len + add, len, err);
        if (!e)
            return ERR_LIMIT;
        put_element(&b, e, len, element);
        return 0;
    }
    if (h.last == 0) {
        rc = unfold(&b, e, err);
        if (rc != 0)
            return rc;
        h = (struct head){1, 1};
    }
    return append_chunk(&b, h, element, add, err);
}

static int clear_parts(const struct box *b, uint32_t first, uint32_t last, struct err *err)
{
    int rc = 0;

    for (uint32_t part = first; part <= last && rc == 0; part++)
        rc = wk_delete_entry(b->t, b->hash, b->key, part, err);
    return rc == 0 ? wk_delete_entry(b->t, b->hash, b->key, 0, err) : rc;
}

int wk_list_clear(struct wk_state *s, int state, uint64_t hash, rask_str key, struct err *err)
{
    struct box b = box_of(s, state, hash, key);
    struct entry *e = part_of(&b, 0);
    struct head h = head_of(&b, e);

    if (!e)
        return 0;
    return h.last == 0 ? wk_delete_entry(b.t, hash, key, 0, err) : clear_parts(&b, h.first, h.last, err);
}

/* ---- maps ---- */

static uint32_t bucket_of(uint64_t hash, uint32_t buckets)
{
    uint32_t level = 1u << (31 - __builtin_clz(buckets)), b = (uint32_t)hash & (2 * level - 1);

    return 1 + (b < buckets ? b : (uint32_t)hash & (level - 1));
}
static uint32_t place_of(const struct head *h, rask_bytes at)
{
    return h->first == 0 ? 0 : bucket_of(hash_xxh3(at.data, at.len), h->first);
}

/* Where the pair of `at` stands in a part; size 0: nowhere. */
struct place {
    size_t offset, size;
    rask_bytes value;
    uint32_t pairs; /* of the part */
};
static bool is_same(const char *a, const char *b, uint32_t len)
{
    uint64_t x, y;

    if (len != sizeof(x)) /* times and BIGINTs have 8 bytes */
        return memcmp(a, b, len) == 0;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x == y;
}
static struct place find_pair(const struct box *b, struct entry *e, size_t from, rask_bytes at)
{
    struct place p = {0, 0, {NULL, 0}, 0};

    for (size_t o = from, size; e && o < value_len_of(e); o += size) {
        rask_bytes has, value;

        size = element_at(b, value_of(b->t, e) + o, &has, &value);
        p.pairs++;
        if (p.size == 0 && has.len == at.len && is_same(has.data, at.data, at.len)) {
            p.offset = o;
            p.size = size;
            p.value = value;
        }
    }
    return p;
}

static void put_pair(const struct box *b, char *to, rask_bytes at, rask_bytes value)
{
    to = put_time(b, to);
    memcpy(to, &at.len, 4);
    memcpy(to + 4, &value.len, 4);
    memcpy(to + 8, at.data, at.len);
    memcpy(to + 8 + at.len, value.data, value.len);
}

static size_t first_pair(uint32_t part)
{
    return part == 0 ? HEAD_BYTES : 0;
}

/* Puts a pair into part e (NULL: there is none), where it stands at p. *ret_more: whether it is a new one; *ret_full: whether
 * the part has too much. */
static int put_in_part(const struct box *b, uint32_t part, struct entry *e, struct place p, rask_bytes at, rask_bytes value,
                       bool *ret_more, bool *ret_full, struct err *err)
{
    size_t len = e ? value_len_of(e) : first_pair(part), add = b->time_bytes + 8u + at.len + value.len;
    size_t fresh = len - p.size + add, to = p.size == add ? p.offset : len - p.size;
    char *data;

    e = part_to_change(b, part, MAX(len, fresh), len, err);
    if (!e)
        return ERR_LIMIT;
    data = value_of(b->t, e);
    if (p.size != 0 && p.size != add)
        memmove(data + p.offset, data + p.offset + p.size, len - p.offset - p.size);
    put_pair(b, data + to, at, value);
    set_value_len(e, fresh);
    *ret_more = p.size == 0;
    p.pairs += p.size == 0;
    *ret_full = p.pairs > 1 && (p.pairs > BUCKET_PAIRS || fresh > BUCKET_BYTES);
    return 0;
}

/* All pairs of a copied part go where they belong now, as old as they are. */
static int spread(const struct box *b, const struct head *h, const struct bytes *pairs, struct err *err)
{
    struct box old = *b;
    int rc = 0;

    for (size_t o = 0; o < pairs->len && rc == 0;) {
        const char *data = (const char *)pairs->data + o;
        rask_bytes at, value;
        bool more, full;
        uint32_t part;
        struct entry *e;

        o += element_at(b, data, &at, &value);
        if (b->time_bytes)
            memcpy(&old.time_ms, data, sizeof(old.time_ms));
        part = place_of(h, at);
        e = part_of(b, part);
        rc = put_in_part(&old, part, e, find_pair(b, e, first_pair(part), at), at, value, &more, &full, err);
    }
    return rc;
}

static int respread(const struct box *b, struct head h, uint32_t part, struct err *err)
{
    struct entry *e = part_of(b, part);
    size_t from = first_pair(part);
    struct bytes pairs;
    int rc;

    bytes_init(&pairs);
    if (e)
        bytes_add(&pairs, value_of(b->t, e) + from, value_len_of(e) - from);
    rc = part > 0 ? wk_delete_entry(b->t, b->hash, b->key, part, err) : 0;
    if (rc == 0)
        rc = set_head(b, h, HEAD_BYTES, err);
    if (rc == 0)
        rc = spread(b, &h, &pairs, err);
    bytes_release(&pairs);
    return rc;
}

/* Most maps are small: a new pair goes into the head, e, which is made or grows by it at once. */
static int put_in_head(const struct box *b, struct entry *e, struct head h, rask_bytes at, rask_bytes value, struct err *err)
{
    size_t len = e ? value_len_of(e) : HEAD_BYTES;

    h.last++;
    e = part_to_change(b, 0, len + b->time_bytes + 8u + at.len + value.len, len, err);
    if (!e)
        return ERR_LIMIT;
    memcpy(value_of(b->t, e), &h, sizeof(h));
    put_pair(b, value_of(b->t, e) + len, at, value);
    return 0;
}

int wk_map_put(struct wk_state *s, int state, uint64_t hash, rask_str key, rask_bytes at, rask_bytes value, struct err *err)
{
    struct box b = box_of(s, state, hash, key);
    struct entry *first = part_of(&b, 0), *e;
    struct head h = head_of(&b, first);
    uint32_t part = place_of(&h, at);
    struct place p;
    bool more, full;
    int rc;

    if ((uint64_t)at.len + value.len + 64 > WK_STATE_VALUE_MAX)
        return too_large(&b, (size_t)at.len + value.len, err);
    e = part == 0 ? first : part_of(&b, part);
    p = find_pair(&b, e, first_pair(part), at);
    if (part == 0 && p.size == 0 && p.pairs < BUCKET_PAIRS &&
        (!e || value_len_of(e) + b.time_bytes + 8u + at.len + value.len <= BUCKET_BYTES))
        return put_in_head(&b, e, h, at, value, err);
    rc = put_in_part(&b, part, e, p, at, value, &more, &full, err);
    if (rc != 0)
        return rc;
    if (more) {
        h.last++;
        rc = set_head(&b, h, value_len_of(part_of(&b, 0)), err);
    }
    if (rc != 0 || !full)
        return rc;
    if (h.first == 0)
        return respread(&b, (struct head){BUCKETS_FIRST, h.last}, 0, err);
    /* buckets + 1: the pairs of the one next in turn are divided */
    return respread(&b, (struct head){h.first + 1, h.last}, 1 + h.first - (1u << (31 - __builtin_clz(h.first))), err);
}

bool wk_map_get(struct wk_state *s, int state, uint64_t hash, rask_str key, rask_bytes at, rask_bytes *ret)
{
    struct box b = box_of(s, state, hash, key);
    struct entry *e = part_of(&b, 0);
    struct head h = head_of(&b, e);
    uint32_t part = place_of(&h, at);
    struct place p;

    if (part > 0)
        e = part_of(&b, part);
    p = find_pair(&b, e, first_pair(part), at);
    if (p.size == 0 || is_hidden(&b, value_of(b.t, e) + p.offset))
        return false;
    e = note_read(&b, part, e, p.offset);
    (void)element_at(&b, value_of(b.t, e) + p.offset, &at, ret);
    return true;
}

/* Takes `size` bytes at an offset out of a part. *ret_gone: the part is empty and gone. */
static int cut(const struct box *b, uint32_t part, size_t offset, size_t size, bool *ret_gone, struct err *err)
{
    struct entry *e = part_of(b, part);
    size_t len = value_len_of(e);

    *ret_gone = part > 0 && len == size;
    if (*ret_gone)
        return wk_delete_entry(b->t, b->hash, b->key, part, err);
    e = part_to_change(b, part, len, len, err);
    if (!e)
        return ERR_LIMIT;
    memmove(value_of(b->t, e) + offset, value_of(b->t, e) + offset + size, len - offset - size);
    set_value_len(e, len - size);
    return 0;
}

/* A pair less. */
static int count_down(const struct box *b, struct err *err)
{
    struct entry *e = part_of(b, 0);
    struct head h = head_of(b, e);

    h.last -= h.last > 0;
    if (h.last == 0)
        return clear_parts(b, 1, h.first, err);
    return set_head(b, h, value_len_of(e), err);
}

int wk_map_remove(struct wk_state *s, int state, uint64_t hash, rask_str key, rask_bytes at, bool *ret_there, struct err *err)
{
    struct box b = box_of(s, state, hash, key);
    struct entry *e = part_of(&b, 0);
    struct head h = head_of(&b, e);
    uint32_t part = place_of(&h, at);
    struct place p;
    bool gone;
    int rc;

    if (part > 0)
        e = part_of(&b, part);
    p = find_pair(&b, e, first_pair(part), at);
    if (ret_there)
        *ret_there = p.size != 0;
    if (p.size == 0)
        return 0;
    if (part == 0 && p.pairs == 1) /* the last one */
        return wk_delete_entry(b.t, hash, key, 0, err);
    rc = cut(&b, part, p.offset, p.size, &gone, err);
    return rc == 0 ? count_down(&b, err) : rc;
}

int wk_map_clear(struct wk_state *s, int state, uint64_t hash, rask_str key, struct err *err)
{
    struct box b = box_of(s, state, hash, key);
    struct entry *e = part_of(&b, 0);

    return e ? clear_parts(&b, 1, head_of(&b, e).first, err) : 0;
}

/* ---- cursors ---- */

static struct box box_at(const struct wk_cursor *c)
{
    return box_of(c->state, c->number, c->hash, c->key);
}

void wk_cursor_begin(struct wk_cursor *c, struct wk_state *s, int state, uint64_t hash, rask_str key)
{
    struct box b = box_of(s, state, hash, key);
    struct entry *e = part_of(&b, 0);
    struct head h = head_of(&b, e);

    memset(c, 0, sizeof(*c));
    c->state = s;
    c->number = state;
    c->hash = hash;
    c->key = key;
    if (!e) {
        c->part = 1; /* nothing */
    } else if (is_map(&b) ? h.first == 0 : h.last == 0) {
        c->next = HEAD_BYTES;
    } else {
        c->part = is_map(&b) ? 1 : h.first;
        c->parts = is_map(&b) ? h.first : h.last;
    }
}

bool wk_cursor_next(struct wk_cursor *c)
{
    struct box b = box_at(c);

    for (; c->part <= c->parts; c->part++, c->next = 0) {
        struct entry *e = part_of(&b, c->part);

        while (e && c->next < value_len_of(e)) {
            const char *data = value_of(b.t, e) + c->next;

            c->offset = c->next;
            c->next += (uint32_t)element_at(&b, data, &c->at, &c->value);
            if (is_hidden(&b, data))
                continue;
            e = note_read(&b, c->part, e, c->offset);
            (void)element_at(&b, value_of(b.t, e) + c->offset, &c->at, &c->value);
            return true;
        }
    }
    return false;
}

int wk_cursor_remove(struct wk_cursor *c, struct err *err)
{
    struct box b = box_at(c);
    bool gone;
    int rc = cut(&b, c->part, c->offset, c->next - c->offset, &gone, err);
    struct entry *e = part_of(&b, 0);
    struct head h = head_of(&b, e);

    if (rc != 0)
        return rc;
    c->next = c->offset;
    c->at = c->value = (rask_bytes){NULL, 0};
    if (is_map(&b))
        return count_down(&b, err);
    if (h.last == 0)
        return value_len_of(e) == HEAD_BYTES ? wk_delete_entry(b.t, b.hash, b.key, 0, err) : 0;
    if (!gone || c->part != h.first)
        return 0;
    h.first++;
    return h.first > h.last ? wk_delete_entry(b.t, b.hash, b.key, 0, err) : set_head(&b, h, HEAD_BYTES, err);
}

/* ---- what comes from a checkpoint ---- */

bool wk_container_check(const rask_state *decl, uint32_t part, const char *data, size_t len)
{
    bool map = decl->kind == RASK_MAP;
    uint64_t at = part == 0 ? HEAD_BYTES : 0, head = (decl->ttl_ms > 0 ? 8u : 0u) + (map ? 8u : 4u);
    uint32_t first[2] = {0, 0};

    if (part == 0) {
        if (len < HEAD_BYTES)
            return false;
        memcpy(first, data, sizeof(first));
        if (map ? first[0] != 0 : first[1] != 0)
            return len == HEAD_BYTES && (map ? first[0] >= BUCKETS_FIRST && first[0] <= BUCKETS_MAX
                                             : first[0] > 0 && first[0] <= first[1] && first[1] <= CHUNK_LAST &&
                                                   first[1] - first[0] <= CHUNKS_MAX);
    }
    while (at < len) {
        uint32_t size[2] = {0, 0};

        if (len - at < head)
            return false;
        memcpy(size, data + at + (head - (map ? 8u : 4u)), map ? 8 : 4);
        at += head + (uint64_t)size[0] + size[1];
    }
    return at == len;
}

bool wk_container_newest(const rask_state *decl, uint32_t part, const char *data, size_t len, int64_t *ret_ms)
{
    bool map = decl->kind == RASK_MAP;
    size_t at = part == 0 ? HEAD_BYTES : 0;
    uint32_t size[2] = {0, 0};
    int64_t time;

    *ret_ms = 0;
    if (decl->ttl_ms == 0 || !wk_container_check(decl, part, data, len))
        return false;
    if (part == 0)
        memcpy(size, data, sizeof(size));
    if (map ? size[0] != 0 : size[1] != 0)
        return false; /* the elements are elsewhere */
    while (at < len) {
        memcpy(&time, data + at, sizeof(time));
        *ret_ms = MAX(*ret_ms, time);
        size[1] = 0;
        memcpy(size, data + at + sizeof(time), map ? 8 : 4);
        at += sizeof(time) + (map ? 8u : 4u) + (size_t)size[0] + size[1];
    }
    return true;
}
