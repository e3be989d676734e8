/* reserve.c - see reserve.h. Thread: any; states call in their tasks' steps. */
#include "taskmanager/worker/state/reserve.h"

#include <pthread.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "taskmanager/worker/state/state_private.h"

#define CHUNK_BYTES MEM_HUGE_BYTES
#define TOUCH_BYTES 4096u
#define FREE_PART 8u /* of the budget one part in so many stays free */

struct wk_reserve {
    pthread_mutex_t lock;
    struct wk_state_budget *budget; /* lock; NULL: closed */
    void **chunks;                  /* lock */
    uint32_t room;                  /* lock */
    uint32_t count;                 /* lock; atomic for who only looks */
    uint64_t charged;               /* lock: those of chunks, and of one that is coming */
    uint64_t lacking;               /* atomic: bytes that states lack */
    uint32_t readings;              /* atomic: snapshots that are read */
    bool expected;                  /* atomic */
    void (*wake)(void *arg);
    void *arg;
};

struct wk_reserve *wk_reserve_new(struct wk_state_budget *budget, void (*wake)(void *arg), void *arg)
{
    struct wk_reserve *r = MEM_NEW(struct wk_reserve);

    CHECK(!budget->reserve);
    pthread_mutex_init(&r->lock, NULL);
    r->budget = budget;
    r->wake = wake;
    r->arg = arg;
    budget->reserve = r;
    return r;
}

void wk_reserve_close(struct wk_reserve *r)
{
    pthread_mutex_lock(&r->lock);
    for (uint32_t i = 0; i < r->count; i++)
        mem_free(r->chunks[i]);
    mem_free(r->chunks);
    r->chunks = NULL;
    __atomic_store_n(&r->count, 0, __ATOMIC_RELAXED);
    __atomic_sub_fetch(&r->budget->used_bytes, r->charged, __ATOMIC_RELAXED);
    r->budget->reserve = NULL;
    r->budget = NULL;
    pthread_mutex_unlock(&r->lock);
}

void wk_reserve_free(struct wk_reserve *r)
{
    CHECK(!r->budget);
    pthread_mutex_destroy(&r->lock);
    mem_free(r);
}

void wk_reserve_expect(struct wk_reserve *r)
{
    __atomic_store_n(&r->expected, true, __ATOMIC_RELAXED);
}

int64_t wk_reserve_missing(const struct wk_reserve *r)
{
    int64_t lacking = (int64_t)__atomic_load_n(&r->lacking, __ATOMIC_RELAXED);
    int64_t missing = lacking - (int64_t)(__atomic_load_n(&r->count, __ATOMIC_RELAXED) * CHUNK_BYTES);

    return missing > -(int64_t)CHUNK_BYTES && missing < (int64_t)CHUNK_BYTES ? 0 : missing;
}

bool wk_reserve_in_use(const struct wk_reserve *r)
{
    return __atomic_load_n(&r->readings, __ATOMIC_RELAXED) > 0;
}

static bool fits(const struct wk_state_budget *b, uint64_t used)
{
    return used <= b->limit_bytes - b->limit_bytes / FREE_PART;
}

/* lock. Whether the budget has room for one more, which is charged then. */
static bool charge(struct wk_reserve *r)
{
    struct wk_state_budget *b = r->budget;
    uint64_t used;

    if (!b)
        return false;
    used = __atomic_add_fetch(&b->used_bytes, CHUNK_BYTES, __ATOMIC_RELAXED);
    if (fits(b, used)) {
        r->charged += CHUNK_BYTES;
        return true;
    }
    __atomic_sub_fetch(&b->used_bytes, CHUNK_BYTES, __ATOMIC_RELAXED);
    return false;
}

/* lock */
static void push(struct wk_reserve *r, void *chunk)
{
    if (r->count == r->room) {
        r->room = MAX(r->room * 2, 16u);
        r->chunks = mem_realloc(r->chunks, r->room * sizeof(void *));
    }
    r->chunks[r->count] = chunk;
    __atomic_store_n(&r->count, r->count + 1, __ATOMIC_RELAXED);
}

bool wk_reserve_grow(struct wk_reserve *r)
{
    volatile char *chunk;
    bool charged;

    pthread_mutex_lock(&r->lock);
    charged = charge(r);
    pthread_mutex_unlock(&r->lock);
    if (!charged)
        return false;
    chunk = mem_alloc_huge(CHUNK_BYTES);
    for (size_t i = 0; i < CHUNK_BYTES; i += TOUCH_BYTES)
        chunk[i] = 0;
    pthread_mutex_lock(&r->lock);
    if (r->budget)
        push(r, (void *)(uintptr_t)chunk);
    else
        mem_free((void *)(uintptr_t)chunk);
    pthread_mutex_unlock(&r->lock);
    return true;
}

/* lock. The chunk that came last; NULL. */
static void *pop(struct wk_reserve *r)
{
    if (r->count == 0)
        return NULL;
    r->charged -= CHUNK_BYTES;
    __atomic_store_n(&r->count, r->count - 1, __ATOMIC_RELAXED);
    return r->chunks[r->count];
}

bool wk_reserve_shrink(struct wk_reserve *r)
{
    void *chunk;

    if (!r || __atomic_load_n(&r->count, __ATOMIC_RELAXED) == 0)
        return false;
    pthread_mutex_lock(&r->lock);
    chunk = pop(r);
    if (chunk)
        __atomic_sub_fetch(&r->budget->used_bytes, CHUNK_BYTES, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&r->lock);
    mem_free(chunk);
    return chunk != NULL;
}

/* ---- of a state ---- */

bool wk_reserve_at_hand(const struct wk_state *s)
{
    const struct wk_state_budget *b = s->budget;
    bool any = s->kept_count > 0 || (b->reserve && __atomic_load_n(&b->reserve->count, __ATOMIC_RELAXED) > 0);

    return any && fits(b, __atomic_load_n(&b->used_bytes, __ATOMIC_RELAXED));
}

void *wk_reserve_take(struct wk_state *s)
{
    struct wk_reserve *r = s->budget->reserve;
    void *chunk;

    if (!r || __atomic_load_n(&r->count, __ATOMIC_RELAXED) == 0)
        return NULL;
    pthread_mutex_lock(&r->lock);
    chunk = pop(r);
    pthread_mutex_unlock(&r->lock);
    if (chunk)
        __atomic_add_fetch(&s->used_bytes, CHUNK_BYTES, __ATOMIC_RELAXED);
    return chunk;
}

static void lacks(struct wk_state *s, uint64_t bytes)
{
    struct wk_reserve *r = s->budget->reserve;

    __atomic_add_fetch(&r->lacking, bytes - s->lacks, __ATOMIC_RELAXED);
    s->lacks = bytes;
    if (wk_reserve_missing(r) != 0)
        r->wake(r->arg);
}

/* As much again as the state has, or twice what a snapshot took if that is less; what is at hand for it is taken off. */
void wk_reserve_tell(struct wk_state *s)
{
    const struct wk_reserve *r = s->budget->reserve;
    uint64_t at_hand = s->spare_bytes + s->note_bytes, state, wanted;

    if (!r || s->disk || s->chunk_count == 0 || (s->epoch == 1 && !__atomic_load_n(&r->expected, __ATOMIC_RELAXED)))
        return;
    state = s->used_bytes - MIN(s->used_bytes, at_hand);
    wanted = s->noted_bytes > 0 ? MIN(state, 2 * s->noted_bytes) : state;
    lacks(s, wanted - MIN(wanted, at_hand));
}

void wk_reserve_used(struct wk_state *s, int more)
{
    if (s->budget->reserve)
        __atomic_add_fetch(&s->budget->reserve->readings, (uint32_t)more, __ATOMIC_RELAXED);
}

void wk_reserve_forget(struct wk_state *s)
{
    if (s->budget->reserve)
        lacks(s, 0);
}
