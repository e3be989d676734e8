/* disk_private.h - what disk.c and tables.c share: a flush, from the freeze to the files that it made. */
#ifndef WK_DISK_PRIVATE_H
#define WK_DISK_PRIVATE_H

#include "taskmanager/worker/state/state_private.h"
#include "taskmanager/worker/store/store.h"

struct frozen_log { /* of a group */
    struct page *tail;
    uint32_t used, newest; /* of the tail, then */
    uint64_t keys;         /* of the first group: of the whole table */
};

struct flush {
    struct wk_store_job job;
    struct wk_state *state; /* a reference */
    struct flush *next;     /* of the task's */
    uint32_t epoch, base_epoch; /* entries born after base_epoch and current at the end of epoch are written */
    uint64_t memory_bytes;  /* for the store, should it be opened now */
    struct frozen_log **tables; /* by table; NULL: not stored, or no key yet */
    bool wants_files, wants_scan;
    uint32_t refs; /* atomic */
    /* the store thread's until done */
    struct wk_store_files files;
    bool has_files;
    struct wk_store_scan *scan; /* owned */
    struct err err;
    bool done; /* guarded by the disk's lock */
};
void wk_flush_unref(struct flush *f);
void wk_flush_wait(struct flush *f); /* until it is done. Any thread. */

#endif
