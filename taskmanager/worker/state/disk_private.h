/* disk_private.h - what disk.c, sweep.c and tables.c share: a flush, from the freeze to the files that it made. */
#ifndef WK_DISK_PRIVATE_H
#define WK_DISK_PRIVATE_H

#include <pthread.h>

#include "taskmanager/worker/state/state_private.h"
#include "taskmanager/worker/store/store.h"

struct wk_sweep { /* where it goes on */
    uint32_t table;
    struct bytes at; /* key in the store; empty: at the begin of the table */
};
struct wait { /* by the state's lock */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
};
struct disk {
    struct wk_stores *stores;
    struct wk_store *store;
    struct wait wait;
    uint32_t submitted; /* the epoch of the newest flush */
    uint32_t stored;    /* that of the newest one that is over */
    struct flush *first, **last; /* flushes that the task has not seen the end of, oldest first; each a reference */
    struct wk_tables *base; /* of the newest complete checkpoint, or of the one that was restored; NULL: none */
    struct err err;     /* code 0: none */
    struct bytes key, value;
    uint64_t appended; /* bytes since the last flush */
    uint32_t evict_at; /* table * groups + group: where dropping goes on */
    struct bytes found; /* what a sweep has told: each u32 table, u32 length, key in the store */
    size_t found_at;
    /* the store thread's */
    bool open;
    struct err broken; /* the first trouble: code 0: none; what comes later is refused with it */
    struct wk_sweep sweep;
    int stop; /* atomic: nobody needs what is being written */
};

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
    bool wants_files, wants_scan, sweeps;
    int64_t now_ms;
    uint32_t refs; /* atomic */
    /* the store thread's until done */
    struct wk_store_files files;
    bool has_files;
    uint64_t written;   /* entries */
    struct bytes found; /* that have expired; of the task when it is done */
    uint32_t found_count;
    struct wk_store_scan *scan; /* owned */
    struct err err;
    bool done; /* guarded by the disk's lock */
};
void wk_flush_unref(struct flush *f);
void wk_flush_wait(struct flush *f); /* until it is done. Any thread. */

/* ---- sweep.c: what has expired on disk ---- */
bool wk_sweep_is_wanted(const struct wk_state *s);
int wk_sweep_look(struct flush *f, struct wk_sweep *sweep, struct err *err) MUST_CHECK; /* the store thread */
void wk_sweep_found(struct wk_state *s, struct flush *f); /* that is over */
void wk_sweep_settle(struct wk_state *s); /* between callbacks: deletes some of what was found */

#endif
