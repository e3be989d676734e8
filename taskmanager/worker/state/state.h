/*
 * state.h - keyed state of one operator in one subtask: the only way to it.
 *
 * A table per declared state, from (key hash, key bytes) to a value.  Owned by its task; nothing is locked.
 * A batch is prepared first (hash words and entries are prefetched), then touched row by row.  All memory is drawn from the
 * worker's state budget; over it, calls fail with a sentence that names the state, the bytes and the key to raise.
 */
#ifndef WK_STATE_H
#define WK_STATE_H

#include <rask/operator.h>

#include "common/base/err.h"
#include "common/types/key_bytes.h"

struct wk_state_budget { /* of the worker; shared by its tasks */
    uint64_t limit_bytes;
    uint64_t used_bytes; /* atomic */
};

struct wk_state_options {
    const rask_state *decl;           /* ends with kind 0, NULL: none; borrowed for the state's life */
    struct wk_state_budget *budget;   /* borrowed */
    const rask_schema *key;           /* key columns, for files; borrowed; NULL: not keyed, or nobody will read it */
    uint8_t operator_id[16];
    const char *uid, *name;           /* of the operator, borrowed; NULL: none */
    uint32_t subtask, parallelism, max_parallelism; /* 0, 0, 0: one subtask that owns all */
};
struct wk_state;
struct wk_state *wk_state_new(const struct wk_state_options *options);
void wk_state_free(struct wk_state *s);

/* Prefetches for these hashes (a batch about to be processed). */
void wk_state_prepare(struct wk_state *s, int state, const uint64_t *hash, uint32_t count);
/*
 * The value of a key: `size` bytes, changed in place, valid until the next call with create for this state.
 * Absent: NULL, or with create zeroed and *ret_created true (may be NULL). NULL with err set: over budget.
 */
void *wk_state_get(struct wk_state *s, int state, uint64_t hash, rask_str key, size_t size, bool create,
                   bool *ret_created, struct err *err);
/*
 * The values of many keys, created where absent: values[i] for key i of the run, all valid until the next call for this
 * state. The hash of key i is hash[i]. Prefetches by itself.
 */
int wk_state_get_run(struct wk_state *s, int state, const struct key_run *keys, const uint64_t *hash, size_t size,
                     void **values, struct err *err) MUST_CHECK;
/* Values of changing size (packed rows). */
const void *wk_state_read(struct wk_state *s, int state, uint64_t hash, rask_str key, size_t *ret_len);
int wk_state_write(struct wk_state *s, int state, uint64_t hash, rask_str key, const void *value, size_t len,
                   struct err *err) MUST_CHECK;
void wk_state_clear(struct wk_state *s, int state, uint64_t hash, rask_str key);
uint64_t wk_state_count(const struct wk_state *s, int state);

/*
 * Operator state: not keyed.  RASK_OPERATOR_LIST (split among subtasks when parallelism changes) and
 * RASK_OPERATOR_UNION (everything to each): elements of opaque bytes by number.
 */
int wk_state_list_add(struct wk_state *s, int state, const void *data, size_t len, struct err *err) MUST_CHECK;
uint32_t wk_state_list_count(const struct wk_state *s, int state);
rask_bytes wk_state_list_get(const struct wk_state *s, int state, uint32_t i); /* borrowed until the next change */
void wk_state_list_clear(struct wk_state *s, int state);
/* RASK_BROADCAST: a map in order of keys (bytes). */
int wk_state_broadcast_put(struct wk_state *s, int state, rask_bytes key, rask_bytes value, struct err *err) MUST_CHECK;
bool wk_state_broadcast_get(const struct wk_state *s, int state, rask_bytes key, rask_bytes *ret); /* borrowed, as above */
void wk_state_broadcast_remove(struct wk_state *s, int state, rask_bytes key);
uint32_t wk_state_broadcast_count(const struct wk_state *s, int state);
void wk_state_broadcast_at(const struct wk_state *s, int state, uint32_t i, rask_bytes *ret_key, rask_bytes *ret_value);
void wk_state_broadcast_clear(struct wk_state *s, int state);

#endif
