/*
 * inflight_io.h - rows in flight as sections of a checkpoint, and back.
 *
 * Payload of a section (docs/file-formats.md): u32 length of the schema's text, u32 0, the text, padding to 8; then for each
 * batch u64 length, the rows (batch_encode), padding to 8.  Thread: any, one at a time per task.
 */
#ifndef WK_INFLIGHT_IO_H
#define WK_INFLIGHT_IO_H

#include "common/ckpt/ckpt_meta.h"
#include "taskmanager/worker/checkpoint/barrier.h"

struct wk_edge_name;

/*
 * The next section of a task's rows in flight, which are sorted by the first call: up to a MiB, or one batch, of one channel.
 * *at: 0 at first.  payload is cleared.  False: there is none left.
 */
bool wk_inflight_section(struct wk_inflight *f, const struct wk_edge_name *edges, uint64_t checkpoint, uint32_t *at,
                         struct ckpt_section *ret, struct bytes *payload);

/*
 * Of a checkpoint that is restored: the sections whose rows this task gives out again, in their order; an array in the arena.
 * Rows over an edge that the job does not have: an error, or left out.
 */
int wk_inflight_plan(const struct wk_task *t, const struct ckpt_meta *m, bool allow_dropped, struct arena *arena,
                     const struct ckpt_section ***ret, uint32_t *ret_count, struct err *err) MUST_CHECK;
/* The rows of one of them, to the task. */
int wk_inflight_take(struct wk_task *t, const struct ckpt_meta *m, const struct ckpt_section *s, const void *payload, size_t len,
                     struct err *err) MUST_CHECK;
/* Whether any rows were in flight: then every task says when it has given out its own. */
bool wk_inflight_any(const struct ckpt_meta *m);

#endif
