/*
 * snapshot.h - checkpoints of one operator's state in one subtask: freeze, read out, confirm, restore.
 *
 * At the barrier the task freezes its state: no copying, a walk over its key groups.  Another thread (env_work) reads the
 * frozen entries out, section by section, while the task goes on.  When the checkpoint is complete or aborted, the task
 * tells its state.
 *
 *   task    snap = wk_state_freeze(state, n, WK_SNAPSHOT_INCREMENTAL)
 *   worker  while (wk_snapshot_next(snap, &section, &payload) == 1) ckpt_writer_section(...)
 *   worker  wk_snapshot_free(snap)             as soon as it is read: pages it held can be cleaned
 *   task    wk_state_completed(state, n)       or wk_state_aborted(state, n)
 *
 * The base: an incremental snapshot holds what changed since the last checkpoint that was confirmed with
 * wk_state_completed (or restored from), and images of some key groups.  Without a base all is imaged.  The base of a
 * snapshot is section->from of its deltas.  A savepoint neither uses nor moves the base.
 */
#ifndef WK_SNAPSHOT_H
#define WK_SNAPSHOT_H

#include "common/ckpt/ckpt_meta.h"
#include "taskmanager/worker/state/state.h"

enum wk_snapshot_kind {
    WK_SNAPSHOT_INCREMENTAL,
    WK_SNAPSHOT_FULL,     /* images of everything; when complete it is the base */
    WK_SNAPSHOT_SAVEPOINT /* images of everything; base stays */
};

struct wk_snapshot;

/* ---- the task's thread ---- */

/* At the barrier of checkpoint `checkpoint` (> 0, greater than every one before). Keyed and operator state. Never NULL. */
struct wk_snapshot *wk_state_freeze(struct wk_state *s, uint64_t checkpoint, enum wk_snapshot_kind kind);
/* The checkpoint is durable: deltas start there from now on. An unknown or older one is ignored. */
void wk_state_completed(struct wk_state *s, uint64_t checkpoint);
void wk_state_aborted(struct wk_state *s, uint64_t checkpoint);

/* About how many there are to write, but for those that are in a store. Any thread. */
uint64_t wk_snapshot_bytes(const struct wk_snapshot *snap);

/* ---- the reading thread ---- */

/*
 * Keyed state on disk is in tables, which stay as they are from one checkpoint to the next: pieces of them that an earlier
 * one has are named, not written.
 */
struct wk_place { /* of a piece */
    const char *path;  /* of the file that has it: absolute, borrowed until the next call; section has its offset */
    uint64_t size;     /* of the file */
    uint32_t crc;
};
/*
 * The next section. 1: section (kind .. rows; texts borrowed from the snapshot) and payload (cleared first) are set;
 * 0: there are no more. The payload is about 1 MiB at most, unless one entry is larger.
 */
int wk_snapshot_next(struct wk_snapshot *snap, struct ckpt_section *section, struct bytes *payload);
/* The same, but the payload is appended to what is in out. */
int wk_snapshot_add(struct wk_snapshot *snap, struct ckpt_section *section, struct bytes *out);
/*
 * After the last: those of state on disk; the first call waits until the store has been written. 1: as above, of a piece of a
 * table *ret_last says that it is its last one. 2: there is no payload, *ret_place has it. 0: there are no more.
 */
int wk_snapshot_next_stored(struct wk_snapshot *snap, struct ckpt_section *section, struct bytes *payload,
                            struct wk_place *ret_place, bool *ret_last, struct err *err) MUST_CHECK;
/* Where the pieces of a checkpoint are; NULL: it has none. A reference. */
struct wk_tables;
struct wk_tables *wk_snapshot_tables(struct wk_snapshot *snap);
/* They have been written: m describes them, paths of its files that begin with `prefix` are in shared_dir. Any thread, once. */
void wk_tables_written(struct wk_tables *t, const struct ckpt_meta *m, const char *prefix, const char *shared_dir);
void wk_tables_unref(struct wk_tables *t); /* NULL is legal. Any thread. */

/* Also before all is read (abort). The state may be freed before its snapshots. Any thread. */
void wk_snapshot_free(struct wk_snapshot *snap);

/* ---- sizes, for metrics ---- */

struct wk_state_size {
    uint64_t keys;       /* entries that are there */
    uint64_t live_bytes; /* of them, in memory */
    uint64_t used_bytes; /* charged to the budget: pages and indexes */
};
void wk_state_size(const struct wk_state *s, struct wk_state_size *ret);

/* ---- description and restore; the task is not running yet ---- */

/* What _metadata says of this operator: states with kinds, schemas, ttl. Pointers borrowed from the state. */
void wk_state_describe(const struct wk_state *s, struct ckpt_operator *ret);
/*
 * Before sections are fed: compares declared states with those of the checkpoint (by name; NULL op: nothing there), and
 * prepares the change of schemas. A state that is there but not declared: ERR_INVALID unless allow_dropped.
 * After a failure the state can only be freed.
 */
int wk_state_restore_begin(struct wk_state *s, const struct ckpt_meta *m, const struct ckpt_operator *op, bool allow_dropped,
                           struct err *err) MUST_CHECK;
/* Of each keyed section that will be fed, before the first is: indexes are made large enough at once. */
void wk_state_restore_expect(struct wk_state *s, const struct ckpt_section *section);
/*
 * One checked section. Any thread, one at a time. Keyed ones in the order of ckpt_plan: entries outside this subtask's own range are skipped.
 * Operator state: LIST elements with number % parallelism == subtask are kept (numbered over all sections fed, in
 * (subtask, position) order of the writers), UNION and BROADCAST all (feed BROADCAST of one writer only).
 */
int wk_state_restore(struct wk_state *s, const struct ckpt_section *section, const void *payload, size_t len,
                     struct err *err) MUST_CHECK;
/* The same of a piece of a table; place: where it is. */
int wk_state_restore_table(struct wk_state *s, const struct ckpt_section *section, const struct wk_place *place,
                           const void *payload, size_t len, struct err *err) MUST_CHECK;
/* After the last: makes state of what came as tables. Takes a while; *stop, atomic: somebody may want the end of it. */
int wk_state_restore_tables(struct wk_state *s, const int *stop, struct err *err) MUST_CHECK;
/* After the last. base: the checkpoint whose files later ones may refer to; 0: none, the next is full (as it is when values
 * were rewritten for a new schema). */
void wk_state_restore_end(struct wk_state *s, uint64_t base);

#endif
