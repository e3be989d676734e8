/*
 * state.h - state of one operator in one subtask, keyed and not: the only way to it.
 *
 * A table per declared state, from (key hash, key bytes) to a value, a list or a map.  Owned by its task; nothing is locked.
 * A batch is prepared first (hash words and entries are prefetched), then touched row by row.  All memory is drawn from the
 * worker's state budget; over it, calls fail with a sentence that names the state, the bytes and the key to raise.
 * Checkpoints: snapshot.h.
 *
 * Pointers to values stay valid until the next wk_state_settle, and until the same key is changed again.
 */
#ifndef WK_STATE_H
#define WK_STATE_H

#include <rask/operator.h>

#include "common/base/err.h"
#include "common/types/key_bytes.h"

struct wk_stores;
struct wk_state_budget { /* of the worker; shared by its tasks */
    uint64_t limit_bytes;
    uint64_t used_bytes; /* atomic */
    struct nursery *nursery; /* memory that its small states share; as long as there is one. Who makes and frees states */
    struct wk_reserve *reserve; /* reserve.h; NULL: none. Who makes and frees states */
    uint32_t stores;     /* states with a store, which divide it among themselves; atomic */
};

#define WK_STATE_VALUE_MAX (128u << 20) /* bytes of one value, element or pair */

struct wk_state_options {
    const rask_state *decl;           /* ends with kind 0, NULL: none; copied, as all texts and schemas */
    struct wk_state_budget *budget;   /* borrowed until wk_state_free */
    const rask_schema *key;           /* key columns, for files; NULL: not keyed, or nobody will read it */
    uint8_t operator_id[16];
    const char *uid, *name;           /* of the operator; NULL: none */
    uint32_t subtask, parallelism, max_parallelism; /* 0, 0, 0: one subtask that owns all */
    struct wk_stores *stores;         /* NULL: none, and what a checkpoint has in tables cannot be restored; borrowed */
    bool on_disk;                     /* with stores: keyed state that does not fit in memory goes there ... */
    uint32_t resident_count;          /* ... but not that of so many, the last that are declared */
    uint64_t small_bytes;             /* states below are imaged as a whole, not group by group; 0: 16 MiB */
};
struct wk_state;
struct wk_state *wk_state_new(const struct wk_state_options *options);
void wk_state_free(struct wk_state *s);

/* Prefetches for keys of these hashes that are about to be used: words of the index; entries, whose words are there; both. */
void wk_state_fetch(struct wk_state *s, int state, const uint64_t *hash, uint32_t count);
void wk_state_fetch_entries(struct wk_state *s, int state, const uint64_t *hash, uint32_t count);
void wk_state_prepare(struct wk_state *s, int state, const uint64_t *hash, uint32_t count);
/*
 * Between callbacks of the operator, once for each batch: cleans a little. Values handed out before are gone.
 * now_ms: wall clock, for states with a TTL.
 */
void wk_state_settle(struct wk_state *s, int64_t now_ms);
/* 0, or why it cannot go on: its store could not be read or written. What calls said of absent keys since then may be wrong. */
int wk_state_failed(const struct wk_state *s, struct err *err) MUST_CHECK;
/*
 * The value of a key: `size` bytes, changed in place.
 * Absent: NULL, or with create zeroed and *ret_created true (may be NULL). NULL with err set: over budget.
 */
void *wk_state_get(struct wk_state *s, int state, uint64_t hash, rask_str key, size_t size, bool create,
                   bool *ret_created, struct err *err);
/*
 * The values of many keys, created where absent, a run of them after the other: while one is worked on, entries of the next
 * and words of the index of the one behind it are on their way.
 *
 *   wk_runs_begin(&runs, s, state, hash, rows, err)
 *   for each run: key_run_fill(&keys, ...); wk_runs_next(&runs, &keys, size, values, err)
 *
 * hash[i] is of row i; borrowed to the end. values[i] is for key i of the run, valid until the next change of this state by
 * another call. In between nothing else is called for this state, and no wk_state_settle.
 */
struct wk_runs { /* the caller's memory; no other reads it */
    struct wk_state *state;
    int number;
    const uint64_t *hash;
    uint32_t rows, at, epoch, time_bytes;
    uint32_t resized;
    const uint32_t *gone_now;
    uint32_t gone;
    size_t last_byte; /* of most entries: they may lie across two lines */
    const void *bucket[2][KEY_RUN_ROWS];
    void *entry[2][KEY_RUN_ROWS];
};
int wk_runs_begin(struct wk_runs *r, struct wk_state *s, int state, const uint64_t *hash, uint32_t rows,
                  struct err *err) MUST_CHECK;
/* The next KEY_RUN_ROWS rows, or what is left. */
int wk_runs_next(struct wk_runs *r, const struct key_run *keys, size_t size, void **values, struct err *err) MUST_CHECK;
/*
 * The same for keys that are used one by one, with other calls in between but no wk_state_settle: nothing is created, and
 * values[i] is NULL for a key that is to be asked for by wk_state_get.  A value is of use while wk_runs_has(.., i): a call in
 * between may have removed the key.  false: not of such a state, or it is empty; then there are no runs.
 */
bool wk_runs_begin_found(struct wk_runs *r, struct wk_state *s, int state, const uint64_t *hash, uint32_t rows) MUST_CHECK;
void wk_runs_next_found(struct wk_runs *r, const struct key_run *keys, size_t size, void **values);
bool wk_runs_has(const struct wk_runs *r, uint32_t i); /* of the run that came last */
static inline bool wk_runs_has_all(const struct wk_runs *r) /* no call has removed any; false: it may have */
{
    return *r->gone_now == r->gone;
}
/* Key i of it, which has none, gets a value of zeros where that is little work; NULL: wk_state_get has to. */
void *wk_runs_make(struct wk_runs *r, const struct key_run *keys, uint32_t i, size_t size);
/* Values of changing size (packed rows). */
const void *wk_state_read(struct wk_state *s, int state, uint64_t hash, rask_str key, size_t *ret_len);
int wk_state_write(struct wk_state *s, int state, uint64_t hash, rask_str key, const void *value, size_t len,
                   struct err *err) MUST_CHECK;
/* Of any kind: value, list, map. Over budget it can fail too: what a checkpoint knows leaves a mark. */
int wk_state_clear(struct wk_state *s, int state, uint64_t hash, rask_str key, struct err *err) MUST_CHECK;
uint64_t wk_state_count(const struct wk_state *s, int state);
/* Every key that has something there, in no order; nothing may be changed meanwhile. Stops when fn does not return 0. */
int wk_state_each_key(struct wk_state *s, int state, int (*fn)(void *arg, uint64_t hash, rask_str key), void *arg) MUST_CHECK;

/* ---- RASK_LIST: elements of bytes in the order in which they were added ---- */

int wk_list_add(struct wk_state *s, int state, uint64_t hash, rask_str key, rask_bytes element, struct err *err) MUST_CHECK;
int wk_list_clear(struct wk_state *s, int state, uint64_t hash, rask_str key, struct err *err) MUST_CHECK;

/* ---- RASK_MAP: pairs of bytes, in no order ---- */

int wk_map_put(struct wk_state *s, int state, uint64_t hash, rask_str key, rask_bytes at, rask_bytes value,
               struct err *err) MUST_CHECK;
bool wk_map_get(struct wk_state *s, int state, uint64_t hash, rask_str key, rask_bytes at, rask_bytes *ret);
/* ret_there (may be NULL): whether it was there. */
int wk_map_remove(struct wk_state *s, int state, uint64_t hash, rask_str key, rask_bytes at, bool *ret_there, struct err *err) MUST_CHECK;
int wk_map_clear(struct wk_state *s, int state, uint64_t hash, rask_str key, struct err *err) MUST_CHECK;

/* ---- their elements one by one: only the current one may be removed meanwhile, nothing added ---- */

struct wk_cursor {
    struct wk_state *state;
    int number;
    uint64_t hash;
    rask_str key;         /* borrowed until the end */
    uint32_t part, parts; /* chunk or bucket, and the last one */
    uint32_t offset;      /* of the current element in it */
    uint32_t next;        /* of the one behind it */
    rask_bytes at, value; /* the current one, borrowed; at: maps alone */
};
void wk_cursor_begin(struct wk_cursor *c, struct wk_state *s, int state, uint64_t hash, rask_str key);
bool wk_cursor_next(struct wk_cursor *c);
int wk_cursor_remove(struct wk_cursor *c, struct err *err) MUST_CHECK;

/*
 * Operator state: not keyed.  RASK_OPERATOR_LIST (split among subtasks when parallelism changes) and
 * RASK_OPERATOR_UNION (everything to each): elements of opaque bytes by number.
 */
int wk_state_list_add(struct wk_state *s, int state, const void *data, size_t len, struct err *err) MUST_CHECK;
uint32_t wk_state_list_count(const struct wk_state *s, int state);
rask_bytes wk_state_list_get(const struct wk_state *s, int state, uint32_t i); /* borrowed until the next change */
void wk_state_list_remove(struct wk_state *s, int state, uint32_t i); /* those behind it move up */
void wk_state_list_clear(struct wk_state *s, int state);
/* RASK_BROADCAST: a map in order of keys (bytes). */
int wk_state_broadcast_put(struct wk_state *s, int state, rask_bytes key, rask_bytes value, struct err *err) MUST_CHECK;
bool wk_state_broadcast_get(const struct wk_state *s, int state, rask_bytes key, rask_bytes *ret); /* borrowed, as above */
void wk_state_broadcast_remove(struct wk_state *s, int state, rask_bytes key);
uint32_t wk_state_broadcast_count(const struct wk_state *s, int state);
void wk_state_broadcast_at(const struct wk_state *s, int state, uint32_t i, rask_bytes *ret_key, rask_bytes *ret_value);
void wk_state_broadcast_clear(struct wk_state *s, int state);

#endif
