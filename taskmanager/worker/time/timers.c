/* timers.c - see timers.h. */
#include "taskmanager/worker/time/timers.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/ckpt/ckpt_meta.h"
#include "taskmanager/worker/state/reserve.h"

enum { BUCKET_SHIFT = 10, INLINE_KEY = 12 };

static const rask_field time_fields[] = {{"at", RASK_T_TIMESTAMP, 0, 3, 0, NULL}};
static const rask_schema time_schema = {RASK_ABI, 1, "timer", time_fields};
static const rask_field mark_fields[] = {{"is_set", RASK_T_BOOLEAN, 0, 0, 0, NULL}};
static const rask_schema mark_schema = {RASK_ABI, 1, "mark", mark_fields};
const rask_state wk_timer_states[] = {
    {.kind = RASK_MAP, .name = CKPT_TIMERS "event-time", .schema = &mark_schema, .map_key = &time_schema},
    {.kind = RASK_MAP, .name = CKPT_TIMERS "processing-time", .schema = &mark_schema, .map_key = &time_schema},
    {0}};

struct timer { /* 32 bytes */
    rask_ts at;
    uint64_t hash;
    uint32_t key_len;
    char key[INLINE_KEY]; /* longer: an owned pointer */
};

struct bucket {
    int64_t number; /* time >> BUCKET_SHIFT */
    struct timer *items;
    uint32_t count, room;
    rask_ts earliest; /* before it is a heap; then it is the top's */
    bool heap;
};

struct queue {
    struct map *by_number;
    struct bucket **order; /* a heap: the earliest first */
    uint32_t order_count, order_room;
    struct bucket *recent;
    uint64_t count;
};

struct wk_timers {
    struct wk_state *state;
    int first;
    struct wk_state_budget *budget;
    uint64_t charged;
    struct queue queues[WK_TIMER_DOMAINS];
    /* taken */
    rask_ts at[WK_TIMERS_TAKE];
    uint64_t hash[WK_TIMERS_TAKE];
    rask_str key[WK_TIMERS_TAKE];
    struct timer taken[WK_TIMERS_TAKE];
    uint32_t taken_count;
};

/* ---- keys of timers ---- */

static const char *key_of(const struct timer *t)
{
    const char *key = t->key;

    if (t->key_len > INLINE_KEY)
        memcpy(&key, t->key, sizeof(key));
    return key;
}

static void key_set(struct timer *t, rask_str key)
{
    t->key_len = key.len;
    memset(t->key, 0, sizeof(t->key));
    if (key.len > INLINE_KEY) {
        char *copy = mem_dup(key.data, key.len);

        memcpy(t->key, &copy, sizeof(copy));
    } else {
        memcpy(t->key, key.data, key.len);
    }
}

static void key_release(struct timer *t)
{
    if (t->key_len > INLINE_KEY)
        mem_free((char *)(uintptr_t)key_of(t));
    t->key_len = 0;
}

static bool before(const struct timer *a, const struct timer *b)
{
    int order;

    if (a->at != b->at)
        return a->at < b->at;
    if (a->hash != b->hash)
        return a->hash < b->hash;
    order = memcmp(key_of(a), key_of(b), MIN(a->key_len, b->key_len));
    return order != 0 ? order < 0 : a->key_len < b->key_len;
}

/* ---- a bucket as a heap ---- */

static void sift_up(struct timer *h, uint32_t i)
{
    struct timer t = h[i];

    while (i > 0 && before(&t, &h[(i - 1) / 2])) {
        h[i] = h[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    h[i] = t;
}

static void sift_down(struct timer *h, uint32_t count, uint32_t i)
{
    struct timer t = h[i];

    for (;;) {
        uint32_t child = 2 * i + 1;

        if (child >= count)
            break;
        if (child + 1 < count && before(&h[child + 1], &h[child]))
            child++;
        if (!before(&h[child], &t))
            break;
        h[i] = h[child];
        i = child;
    }
    h[i] = t;
}

static void make_heap(struct bucket *b)
{
    for (uint32_t i = b->count / 2; i-- > 0;)
        sift_down(b->items, b->count, i);
    b->heap = true;
}

/* ---- buckets in order ---- */

static void order_up(struct queue *q, uint32_t i)
{
    struct bucket *b = q->order[i];

    while (i > 0 && b->number < q->order[(i - 1) / 2]->number) {
        q->order[i] = q->order[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    q->order[i] = b;
}

static void order_pop(struct queue *q)
{
    struct bucket *last = q->order[--q->order_count];
    uint32_t i = 0;

    for (;;) {
        uint32_t child = 2 * i + 1;

        if (child >= q->order_count)
            break;
        if (child + 1 < q->order_count && q->order[child + 1]->number < q->order[child]->number)
            child++;
        if (last->number <= q->order[child]->number)
            break;
        q->order[i] = q->order[child];
        i = child;
    }
    if (q->order_count > 0)
        q->order[i] = last;
}

static struct bucket *bucket_of(struct queue *q, rask_ts at)
{
    int64_t number = at >> BUCKET_SHIFT;
    struct bucket *b = q->recent;

    if (b && b->number == number)
        return b;
    b = map_get_u64(q->by_number, (uint64_t)number);
    if (!b) {
        b = MEM_NEW(struct bucket);
        b->number = number;
        b->earliest = RASK_TS_MAX;
        map_put_u64(q->by_number, (uint64_t)number, b);
        if (q->order_count == q->order_room) {
            q->order_room = MAX(16, 2 * q->order_room);
            q->order = mem_realloc(q->order, q->order_room * sizeof(struct bucket *));
        }
        q->order[q->order_count] = b;
        order_up(q, q->order_count++);
    }
    q->recent = b;
    return b;
}

/* ---- memory: of the worker's state budget ---- */

static int charge(struct wk_timers *t, uint64_t bytes, struct err *err)
{
    uint64_t used = __atomic_add_fetch(&t->budget->used_bytes, bytes, __ATOMIC_RELAXED);

    t->charged += bytes;
    while (used > t->budget->limit_bytes && wk_reserve_shrink(t->budget->reserve))
        used = __atomic_load_n(&t->budget->used_bytes, __ATOMIC_RELAXED);
    if (used <= t->budget->limit_bytes)
        return 0;
    return err_set(err, ERR_LIMIT, "%" PRIu64 " timers are set, and the %" PRIu64 " bytes of state memory of this worker are used up: raise "
                   "taskmanager.memory.process.size or taskmanager.memory.managed.fraction, or use more TaskManagers",
                   wk_timers_count(t), t->budget->limit_bytes);
}

static void refund(struct wk_timers *t, uint64_t bytes)
{
    t->charged -= bytes;
    __atomic_sub_fetch(&t->budget->used_bytes, bytes, __ATOMIC_RELAXED);
}

static void bucket_free(struct wk_timers *t, struct queue *q, struct bucket *b)
{
    for (uint32_t i = 0; i < b->count; i++)
        key_release(&b->items[i]);
    q->count -= b->count;
    refund(t, b->room * sizeof(struct timer));
    map_remove_u64(q->by_number, (uint64_t)b->number);
    if (q->recent == b)
        q->recent = NULL;
    mem_free(b->items);
    mem_free(b);
}

/* ---- queue ---- */

static int enqueue(struct wk_timers *t, struct queue *q, rask_ts at, uint64_t hash, rask_str key, struct err *err)
{
    struct bucket *b = bucket_of(q, at);
    struct timer *timer;

    if (b->count == b->room) {
        uint32_t room = MAX(4, b->room + b->room / 2);

        if (charge(t, (room - b->room) * sizeof(struct timer), err) != 0)
            return err->code;
        b->items = mem_realloc(b->items, room * sizeof(struct timer));
        b->room = room;
    }
    timer = &b->items[b->count++];
    timer->at = at;
    timer->hash = hash;
    key_set(timer, key);
    q->count++;
    if (b->heap)
        sift_up(b->items, b->count - 1);
    else
        b->earliest = MIN(b->earliest, at);
    return 0;
}

/* The earliest timer, as a heap's top; NULL: none. Empty buckets leave. */
static struct bucket *first_bucket(struct wk_timers *t, struct queue *q)
{
    while (q->order_count > 0) {
        struct bucket *b = q->order[0];

        if (b->count > 0) {
            if (!b->heap)
                make_heap(b);
            return b;
        }
        order_pop(q);
        bucket_free(t, q, b);
    }
    return NULL;
}

static void pop(struct queue *q, struct bucket *b, struct timer *ret)
{
    *ret = b->items[0];
    q->count--;
    if (--b->count > 0) {
        b->items[0] = b->items[b->count];
        sift_down(b->items, b->count, 0);
    }
}

/* ---- public ---- */

struct wk_timers *wk_timers_new(struct wk_state *state, int first, struct wk_state_budget *budget)
{
    struct wk_timers *t = MEM_NEW(struct wk_timers);

    t->state = state;
    t->first = first;
    t->budget = budget;
    for (int d = 0; d < WK_TIMER_DOMAINS; d++)
        t->queues[d].by_number = map_new();
    return t;
}

static void release_taken(struct wk_timers *t)
{
    for (uint32_t i = 0; i < t->taken_count; i++)
        key_release(&t->taken[i]);
    t->taken_count = 0;
}

void wk_timers_free(struct wk_timers *t)
{
    if (!t)
        return;
    release_taken(t);
    for (int d = 0; d < WK_TIMER_DOMAINS; d++) {
        struct queue *q = &t->queues[d];

        for (uint32_t i = 0; i < q->order_count; i++)
            bucket_free(t, q, q->order[i]);
        mem_free(q->order);
        map_free(q->by_number);
    }
    CHECK(t->charged == 0);
    mem_free(t);
}

/* A time as the state keeps it: key bytes of a TIMESTAMP, so in the order of time. */
static rask_bytes time_bytes(rask_ts at, uint64_t *room)
{
    *room = __builtin_bswap64((uint64_t)at ^ (uint64_t)1 << 63);
    return (rask_bytes){(const char *)room, sizeof(*room)};
}

int wk_timers_add(struct wk_timers *t, enum wk_timer_domain domain, rask_ts at, uint64_t hash, rask_str key, struct err *err)
{
    int state = t->first + (int)domain, rc;
    uint64_t room;
    rask_bytes time = time_bytes(at, &room), there;
    char mark = 1;

    if (wk_map_get(t->state, state, hash, key, time, &there))
        return 0;
    rc = wk_map_put(t->state, state, hash, key, time, (rask_bytes){&mark, 1}, err);
    return rc == 0 ? enqueue(t, &t->queues[domain], at, hash, key, err) : rc;
}

int wk_timers_cancel(struct wk_timers *t, enum wk_timer_domain domain, rask_ts at, uint64_t hash, rask_str key, struct err *err)
{
    uint64_t room;

    return wk_map_remove(t->state, t->first + (int)domain, hash, key, time_bytes(at, &room), NULL, err);
}

void wk_timers_fetch(struct wk_timers *t, const uint64_t *hash, uint32_t count)
{
    for (int d = 0; d < WK_TIMER_DOMAINS; d++)
        if (t->queues[d].count > 0)
            wk_state_prepare(t->state, t->first + d, hash, count);
}

rask_ts wk_timers_next(const struct wk_timers *t, enum wk_timer_domain domain)
{
    const struct queue *q = &t->queues[domain];
    const struct bucket *b = q->order_count > 0 ? q->order[0] : NULL;

    if (!b)
        return RASK_TS_MAX;
    if (b->count == 0) /* it leaves with the next look: until then its time is a guess that is not too late */
        return b->number << BUCKET_SHIFT;
    return b->heap ? b->items[0].at : b->earliest;
}

bool wk_timers_due(const struct wk_timers *t, enum wk_timer_domain domain, rask_ts now)
{
    return t->queues[domain].order_count > 0 && wk_timers_next(t, domain) <= now;
}

int wk_timers_take(struct wk_timers *t, enum wk_timer_domain domain, rask_ts now, rask_timers *ret, struct err *err)
{
    struct queue *q = &t->queues[domain];
    int state = t->first + (int)domain;
    struct bucket *b;
    uint32_t count = 0;

    release_taken(t);
    *ret = (rask_timers){.at = t->at, .hash = t->hash, .key = t->key, .event_time = domain == WK_TIMER_EVENT};
    while (t->taken_count < WK_TIMERS_TAKE && (b = first_bucket(t, q)) != NULL && b->items[0].at <= now) {
        pop(q, b, &t->taken[t->taken_count]);
        t->hash[t->taken_count] = t->taken[t->taken_count].hash;
        t->taken_count++;
    }
    wk_state_prepare(t->state, state, t->hash, t->taken_count);
    for (uint32_t i = 0; i < t->taken_count; i++) {
        const struct timer *timer = &t->taken[i];
        rask_str key = {key_of(timer), timer->key_len};
        uint64_t room;
        bool there;

        if (wk_map_remove(t->state, state, timer->hash, key, time_bytes(timer->at, &room), &there, err) != 0)
            return err->code;
        if (!there)
            continue; /* cancelled */
        t->at[count] = timer->at;
        t->hash[count] = timer->hash;
        t->key[count++] = key;
    }
    ret->count = count;
    return 0;
}

uint64_t wk_timers_count(const struct wk_timers *t)
{
    return t->queues[WK_TIMER_EVENT].count + t->queues[WK_TIMER_PROCESSING].count;
}

struct load {
    struct wk_timers *timers;
    enum wk_timer_domain domain;
    struct err *err;
};

static int load_key(void *arg, uint64_t hash, rask_str key)
{
    struct load *l = arg;
    struct wk_timers *t = l->timers;
    struct wk_cursor c;

    wk_cursor_begin(&c, t->state, t->first + (int)l->domain, hash, key);
    while (wk_cursor_next(&c)) {
        uint64_t time;

        if (c.at.len != sizeof(time))
            return err_set(l->err, ERR_CORRUPT, "a timer in the checkpoint has a time of %u bytes", c.at.len);
        memcpy(&time, c.at.data, sizeof(time));
        time = __builtin_bswap64(time) ^ (uint64_t)1 << 63;
        if (enqueue(t, &t->queues[l->domain], (rask_ts)time, hash, key, l->err) != 0)
            return l->err->code;
    }
    return 0;
}

int wk_timers_load(struct wk_timers *t, struct err *err)
{
    int rc = 0;

    for (int d = 0; d < WK_TIMER_DOMAINS && rc == 0; d++) {
        struct load l = {t, (enum wk_timer_domain)d, err};

        rc = wk_state_each_key(t->state, t->first + d, load_key, &l);
    }
    return rc;
}
