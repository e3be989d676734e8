/*
 * link.h - the one connection to a peer worker, and the form of what travels on it.
 *
 * Any task's step may send (a queue under a lock, drained by the loop); frames arrive on the loop and are pushed
 * into gates.  Many logical channels share the link; credits, not the socket, hold back a sender.
 *
 * NET_DATA     stream = edge; payload: u32 source subtask, u32 n, n x {u32 target subtask, u32 rows, u32 bytes}, padding to 8,
 *              then the rows (batch_encode), target after target
 *              with LINK_PACKED in the frame's flags: u32 their bytes, u32 0, then an LZ4 block of them
 * NET_CONTROL  stream = edge; payload: u32 source, u32 target, u32 type, u32 0, i64 value
 * NET_CREDIT   payload: n x {u32 edge, u32 source, u32 target, u32 bytes, u32 the channel's whole credit from now on}
 * epoch = the job's epoch.
 */
#ifndef WK_LINK_H
#define WK_LINK_H

#include <pthread.h>

#include "common/env/env.h"
#include "common/net/net.h"
#include "taskmanager/worker/exchange/channel.h"

#define LINK_PACKED 1

/* Who owns the channels: looked up by what a frame names. NULL: no such channel here. */
struct wk_link_owner {
    struct wk_in *(*find_in)(void *arg, uint32_t edge, uint32_t source, uint32_t target);
    struct wk_out *(*find_out)(void *arg, uint32_t edge, uint32_t source, uint32_t target);
    const rask_schema *(*schema_of)(void *arg, uint32_t edge);
    /* The connection broke or the peer sent nonsense. Loop. */
    void (*on_lost)(void *arg, struct wk_link *link, const struct err *why);
    void *arg;
};

struct wk_link;
struct wk_link *wk_link_new(struct env *env, struct pool *pool, uint32_t peer_index, uint64_t job_epoch,
                            const struct wk_link_owner *owner);
void wk_link_free(struct wk_link *link);
/* Rows that shrink by it are sent packed (LZ4) from now on. Before anything is sent. */
void wk_link_pack(struct wk_link *link);
/* The authenticated connection; taken. What was sent before leaves now. Loop. One connection in a link's life: one that
 * broke is not opened again (wk_link_may_open). */
void wk_link_open(struct wk_link *link, struct net_conn *conn);
bool wk_link_is_open(const struct wk_link *link);
bool wk_link_may_open(const struct wk_link *link);
/* What is queued is dropped, nothing is delivered any more; on_lost is not called. Loop. */
void wk_link_close(struct wk_link *link);
/* Frames and credits queued and not yet taken by the operating system. */
uint64_t wk_link_queued_bytes(struct wk_link *link);
uint64_t wk_link_received_rows(struct wk_link *link);
/* Of rows that were sent packed: their bytes, and what became of them. Any thread. */
void wk_link_packed(struct wk_link *link, uint64_t *ret_bytes, uint64_t *ret_sent);

/* Any thread. */
void wk_link_control(struct wk_link *link, uint32_t edge, uint32_t source, uint32_t target, enum wk_element_type type,
                     int64_t value);
void wk_link_grant(struct wk_link *link, uint32_t edge, uint32_t source, uint32_t target, uint32_t bytes, uint32_t total);

/* A run of slices of one block to one peer: begun, at least one slice added, sent. */
struct wk_frame;
struct wk_run {
    struct wk_link *link;
    uint32_t first, rows, count;
    uint64_t bytes;
    struct wk_block *block; /* borrowed until wk_run_send, which holds it until the last byte has left */
    struct wk_frame *frame;
};
void wk_run_begin(struct wk_run *run, struct wk_link *link, uint32_t edge, uint32_t source, struct wk_block *block, uint32_t first);
void wk_run_add(struct wk_run *run, uint32_t target, uint32_t rows, uint32_t bytes);
void wk_run_send(struct wk_run *run);

/* Wires a receiving channel to a link: credits go back over it. */
void wk_in_connect_remote(struct wk_in *in, struct wk_link *link);

#endif
