/*
 * snapshot_private.h - a snapshot, as its reader (snapshot.c) and the task that goes on meanwhile (notes.c) have it.
 */
#ifndef WK_SNAPSHOT_PRIVATE_H
#define WK_SNAPSHOT_PRIVATE_H

#include "taskmanager/worker/state/state_private.h"

/* Room for what was written down of a group. */
struct notes {
    struct notes *next;   /* of the snapshot, then of the state: older */
    struct notes *before; /* of the group */
    size_t bytes;
    uint32_t used, rows;  /* bytes in data; of the newest of a group `struct frozen` knows */
    uint8_t data[] __attribute__((aligned(LINE_BYTES))); /* entries in the form of the file */
};

struct frozen { /* of a group */
    struct page *tail;
    uint32_t used; /* of the tail, then */
    bool image;
    /* The task's, until the reader has begun with each page of the group that the snapshot wants something of: */
    uint32_t rows;       /* in the newest notes */
    struct notes *notes; /* the newest; NULL: none */
    uint8_t *line, *end; /* the free room of it, from a line of the cache on */
    uint8_t *stage;      /* what comes there next: it goes in whole lines */
    uint8_t *at, *until; /* free room of the stage, no more than there is at `line` */
    size_t note_bytes;   /* of all of them */
};
struct frozen_table {
    struct frozen *groups; /* NULL: the table had no key yet */
    bool image;            /* all of it */
    bool dense;            /* or a good part */
};
struct frozen_list {
    struct bytes payload;
    uint64_t rows;
};

enum pass { PASS_DELTA, PASS_IMAGE, PASS_END };

enum { PAGE_UNREAD, PAGE_READING, PAGE_READ };
struct frozen_page {
    uint32_t read;  /* atomic */
    uint32_t noted; /* bytes of its entries that were written down; whose: as the group's notes */
};

struct wk_snapshot {
    struct wk_state *state;
    uint64_t checkpoint, base;
    uint32_t epoch, base_epoch;
    int64_t now_ms;
    uint64_t bytes; /* to be written, about */
    struct frozen_table *tables;
    struct frozen_list *lists;
    struct frozen_page *pages;         /* by id: all that there were */
    struct notes *notes, *first_notes; /* the task's until wk_snapshot_end, the newest first; the last of them */
    uint64_t note_bytes;               /* of them */
    uint32_t owed;                     /* the task's: entries that were written down, and no page for them yet */
    uint32_t ahead_table, ahead_group; /* the task's: where it reads ahead of the reader, downwards */
    struct page *ahead;                /* NULL: at the end of that group */
    struct wk_stored *stored;          /* owned; NULL: nothing is on disk */
    bool hides_tables;                 /* not said yet */
    /* where the reader is */
    uint32_t list, table, group;
    enum pass pass;
    struct page *page; /* NULL: through with the pages of the group */
    uint32_t at, end;
    const struct notes *notes_at;
    size_t begin; /* of the section's payload */
    bool in_group, in_notes, page_open;
    int is_read; /* atomic */
    uint32_t refs; /* reader and task; atomic */
};

/* The epoch that its delta of a group starts at; 0: it has an image. */
static inline uint32_t base_of(const struct wk_snapshot *snap, const struct frozen_table *t, const struct frozen *f)
{
    return t->image || f->image ? 0 : snap->base_epoch;
}
/* Where the entries of a page end that were there then. */
static inline uint32_t end_of(const struct frozen *f, const struct page *p)
{
    return p == f->tail ? f->used : p->used;
}
/* base: as above. */
static inline bool wk_snapshot_wants(const struct wk_snapshot *snap, const struct table *t, uint32_t base, struct entry *e)
{
    if (!is_visible(e, base, snap->epoch) || (base == 0 && e->kind == ENTRY_DELETE))
        return false;
    return e->kind == ENTRY_DELETE || !t->time_bytes || *time_of(e) + t->decl->ttl_ms > snap->now_ms;
}

/* to: what e has room for, and CKPT_ENTRY_HEAD_MAX bytes. The end of it. */
static inline uint8_t *wk_snapshot_put(const struct table *t, struct entry *e, uint8_t *to)
{
    struct ckpt_entry out = {.deleted = e->kind == ENTRY_DELETE, .part = entry_part(e), .key = (const uint8_t *)key_of(e),
                             .key_len = key_len_of(e), .value = (const uint8_t *)value_of(t, e), .value_len = value_len_of(e)};

    out.has_time = t->time_bytes && !out.deleted;
    if (out.has_time)
        out.time_ms = *time_of(e);
    return ckpt_entry_put(to, &out);
}

#endif
