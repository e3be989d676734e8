/*
 * clean.c - dead room comes back: the page with the most of it is copied forward, without what is dead.
 *
 * A step between callbacks.  What was appended since the last step bounds the work, so that the log stays within about
 * 1.4 times what is alive and no step takes long.  Runs in the task's step.
 */
#include <string.h>

#include "common/base/check.h"
#include "taskmanager/worker/state/state_private.h"

#define DEAD_PART 3u  /* of 10: a log with less is left alone */
#define VISITS 8u          /* groups looked at in each step ... */
#define VISIT_BYTES 512u   /* ... and one more for each so many bytes appended */
#define WORK_FACTOR 4u /* bytes looked at for each byte appended; 1 / 0.3 is what the bound needs */

void wk_update_held(struct wk_state *s)
{
    uint32_t kept = 0;

    s->held = 0;
    for (uint32_t i = 0; i < s->reading_count; i++) {
        struct wk_snapshot *snap = s->reading[i];

        if (wk_snapshot_is_read(snap)) {
            wk_reserve_used(s, -1);
            wk_snapshot_taken(snap);
            wk_snapshot_end(snap);
            wk_snapshot_unref(snap);
        } else {
            s->held = MAX(s->held, wk_snapshot_epoch(snap));
            s->reading[kept++] = snap;
        }
    }
    s->reading_count = kept;
}

/* All that is in it has expired. */
static bool is_over(const struct table *t, const struct page *p)
{
    return t->decl->ttl_ms > 0 && p->newest_ms + t->decl->ttl_ms <= t->state->now_ms;
}

/* Tombstones up to this epoch are of no use any more. */
static uint32_t known_epoch(const struct table *t)
{
    return t->stored ? wk_disk_stored(t->state) : t->state->base_epoch;
}

static bool is_held(const struct table *t, const struct page *p)
{
    return t->stored ? p->made <= wk_disk_held(t->state) : p->oldest <= t->state->held;
}

static uint32_t gain_of(const struct table *t, const struct page *p)
{
    if (is_over(t, p))
        return p->used;
    return p->dead + (p->tombs_newest <= known_epoch(t) ? p->tombs : 0);
}

static uint64_t group_gain(const struct group *g)
{
    return g->dead_bytes + g->tomb_bytes;
}

/* The link to the page worth most; NULL: none that may go. */
static struct page **pick(const struct table *t, struct group *g)
{
    struct page **best = NULL;
    uint32_t most = 0;

    for (struct page **link = &g->tail; *link && !is_held(t, *link); link = &(*link)->prev) {
        uint32_t gain = gain_of(t, *link);

        if (gain > most) {
            most = gain;
            best = link;
        }
    }
    return best;
}

/*
 * Whether a current entry of an expired page may go without a trace: what a checkpoint knows of it has expired there too.
 * Not the head of a list or map whose elements are elsewhere.
 */
static bool may_expire(const struct table *t, struct entry *e)
{
    uint32_t head[2];

    if (t->time_bytes || entry_part(e) > 0)
        return true;
    memcpy(head, value_of(t, e), sizeof(head));
    return t->decl->kind == RASK_MAP ? head[0] == 0 : head[1] == 0;
}

/* false: no room to copy to. */
static bool empty_page(struct table *t, struct group *g, struct page *p)
{
    uint32_t known = known_epoch(t);
    bool over = is_over(t, p);
    uint32_t at = PAGE_HEAD_BYTES, end = p->used;

    while (at < end) {
        struct entry *e = page_entry(p, at);

        at += (uint32_t)room_of(t, e);
        if (!is_current(e))
            continue;
        if (e->kind == ENTRY_DELETE ? e->born <= known : over && may_expire(t, e))
            wk_forget(t, g, e);
        else if (!wk_move(t, g, e))
            return false;
    }
    return true;
}

/* Cleans one page. Bytes looked at; 0: nothing to gain. */
static uint64_t clean_group(struct table *t, struct group *g)
{
    struct page **link, *p;
    uint64_t looked;

    if (t->decl->ttl_ms == 0 && group_gain(g) * 10 <= g->log_bytes * DEAD_PART)
        return 0;
    group_close(g);
    link = pick(t, g);
    if (!link || (uint64_t)gain_of(t, *link) * 10 <= (uint64_t)(*link)->used * DEAD_PART / 2)
        return 0;
    p = *link;
    looked = p->used;
    p->end = p->used; /* not onto itself */
    if (!empty_page(t, g, p))
        return 0;
    for (link = &g->tail; *link != p; link = &(*link)->prev); /* new pages may stand before it */
    wk_unlink_page(t, g, link);
    return looked;
}

void wk_clean(struct wk_state *s)
{
    uint64_t budget = s->appended * WORK_FACTOR + PAGE_BYTES, looked = 0;
    uint64_t all = (uint64_t)s->table_count * s->group_count, visits = MIN(all, VISITS + s->appended / VISIT_BYTES);

    if (s->reading_count > 0)
        wk_update_held(s);
    wk_notes_free(s, false);
    s->cleaning = true;
    for (uint64_t i = 0; i < visits && looked < budget; i++) {
        struct table *t = &s->tables[s->clean_at / s->group_count];
        uint64_t bytes = t->groups ? 1 : 0;

        while (bytes && looked < budget) {
            bytes = clean_group(t, &t->groups[s->clean_at % s->group_count]);
            looked += bytes;
        }
        if (looked < budget)
            s->clean_at = (uint32_t)((s->clean_at + 1) % all);
    }
    s->cleaning = false;
    s->appended = 0;
}
