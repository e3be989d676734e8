/* splits.c - see splits.h. */
#include "taskmanager/worker/exchange/splits.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"

struct given { /* a split */
    struct list node;
    uint64_t behind; /* the barrier of this checkpoint */
    uint32_t id_len, position_len;
    char text[]; /* both */
};

static uint64_t size_of(const struct given *g)
{
    return sizeof(*g) + (uint64_t)g->id_len + g->position_len;
}

struct wk_splits *wk_splits_new(const rask_schema *schema, uint32_t readers, uint64_t restored)
{
    struct wk_splits *s = MEM_NEW(struct wk_splits);

    pthread_mutex_init(&s->lock, NULL);
    s->schema = schema;
    s->count = readers;
    s->readers = mem_alloc_array(readers, sizeof(*s->readers));
    s->barrier = restored;
    for (uint32_t i = 0; i < readers; i++) {
        list_init(&s->readers[i].given);
        s->readers[i].from = restored;
    }
    return s;
}

static void forget_first(struct wk_given_to *r)
{
    struct given *g = LIST_ENTRY(list_pop_front(&r->given), struct given, node);

    r->count--;
    r->bytes -= size_of(g);
    mem_free(g);
}

void wk_splits_free(struct wk_splits *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->count; i++)
        while (!list_empty(&s->readers[i].given))
            forget_first(&s->readers[i]);
    pthread_mutex_destroy(&s->lock);
    mem_free(s->readers);
    mem_free(s);
}

void wk_splits_given(struct wk_splits *s, uint32_t reader, const rask_row *split)
{
    struct wk_given_to *r = &s->readers[reader];
    rask_str id = rask_string(split, 0), position = rask_string(split, 1);
    struct given *g;

    CHECK(reader < s->count);
    if (r->from > s->barrier) /* one is missing already */
        return;
    g = mem_alloc(sizeof(*g) + (size_t)id.len + position.len);
    g->behind = s->barrier;
    g->id_len = id.len;
    g->position_len = position.len;
    if (id.len > 0)
        memcpy(g->text, id.data, id.len);
    if (position.len > 0)
        memcpy(g->text + id.len, position.data, position.len);
    list_push_back(&r->given, &g->node);
    r->count++;
    r->bytes += size_of(g);
    if (r->count <= SPLITS_KEPT_MAX && r->bytes <= SPLITS_KEPT_BYTES_MAX)
        return;
    while (!list_empty(&r->given))
        forget_first(r);
    r->from = s->barrier + 1;
}

void wk_splits_completed(struct wk_splits *s, uint64_t checkpoint)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct wk_given_to *r = &s->readers[i];

        while (!list_empty(&r->given) && LIST_ENTRY(r->given.next, struct given, node)->behind < checkpoint)
            forget_first(r);
        r->from = MAX(r->from, checkpoint);
    }
}

static int is_full(rask_out *out, void *arg)
{
    (void)out;
    (void)arg;
    return 0; /* what is kept fits in one batch */
}

bool wk_splits_since(const struct wk_splits *s, uint32_t reader, uint64_t checkpoint, struct pool *pool, rask_batch **ret)
{
    static const struct out_hooks hooks = {.full = is_full};
    const struct wk_given_to *r = &s->readers[reader];
    rask_out *out;

    CHECK(reader < s->count);
    *ret = NULL;
    if (checkpoint < r->from)
        return false;
    out = out_new(pool, s->schema, 0, &hooks, NULL);
    LIST_FOREACH (n, &r->given) {
        const struct given *g = LIST_ENTRY(n, struct given, node);

        if (g->behind < checkpoint)
            continue;
        CHECK(rask_out_begin(out, s->schema) == 0);
        rask_out_string(out, 0, (rask_str){g->text, g->id_len});
        rask_out_string(out, 1, (rask_str){g->text + g->id_len, g->position_len});
        CHECK(rask_out_end(out) == 0);
    }
    *ret = out_take(out);
    out_free(out);
    return true;
}
