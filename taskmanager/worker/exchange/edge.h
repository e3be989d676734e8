/*
 * edge.h - the sending side of a job edge in one subtask: rows in, blocks out.
 *
 * Rows are held until 4,096 rows or 128 KiB are there (or a flush), then gathered once, in destination order,
 * into a block; each channel gets a slice of it.  Channels stand in the order (worker, subtask), so what goes to one peer is one
 * run of rows and leaves as one frame.  An edge with EDGE_BLOCKS_MAX blocks that wait for credit (to another worker 1) is full: its task stops.
 * An edge of many channels is wider: it collects up to twelve times as much, so that slices do not become too short to pay for
 * their way, and wakes its local readers when its step ends, so that they take several at once; the step ends when half of
 * the credit is under way.
 * All functions run in the task's step, but those that say otherwise.
 */
#ifndef WK_EDGE_H
#define WK_EDGE_H

#include "proto/graph.pb-c.h"
#include "taskmanager/worker/exchange/channel.h"
#include "taskmanager/worker/exchange/hot.h"
#include "taskmanager/worker/exchange/inflight.h"
#include "taskmanager/worker/exchange/merge.h"
#include "taskmanager/worker/exchange/partition.h"
#include "taskmanager/worker/exchange/splits.h"

#define EDGE_BLOCKS_MAX 4
#define EDGE_BLOCK_BYTES (128u << 10)
#define EDGE_WIDER_MAX 12
#define EDGE_BLOCK_ROWS_MAX (EDGE_WIDER_MAX * RASK_BATCH_ROWS_MAX)
#define EDGE_SLICE_ROWS 384u /* what a slice should have at least */
#define EDGE_HELD_MAX (64 * EDGE_WIDER_MAX)
/*
 * A frame to another worker costs both ends some 15 us, however few rows it has: tasks that wait for more after each row send no
 * more than one in so long.  While a good part of the credit is out, the reader does not keep up, and larger frames help it.
 */
#define EDGE_PACE_NS 50000u
#define EDGE_PACE_BEHIND_NS 100000u
#define EDGE_BEHIND_BYTES (128u << 10) /* up to a quarter of 256 KiB of credit, or what comes in 0.2 ms, is on its way back */
#define EDGE_OVERDRAFT_BYTES (16ull << 20) /* that may wait while a barrier is to overtake them */

typedef uint32_t wk_partition_fn(const rask_row *row, uint32_t channels);

struct wk_edge {
    uint32_t id, source_subtask;
    int32_t side;                /* output of the source operator */
    Rask__Graph__Partitioner partitioner;
    struct pool *pool;
    uint32_t channel_count;
    struct wk_out *channels;     /* rank order */
    uint16_t *rank_of_subtask;   /* target subtask -> rank, for those connected; else UINT16_MAX */
    uint32_t target_parallelism, max_parallelism;
    uint16_t *key_columns;
    uint32_t key_count;
    bool drops_hash;             /* HASH: nobody behind it looks at the rows' hashes, which then do not travel */
    wk_partition_fn *custom;
    struct wk_partition partition; /* made with the first block that is sorted */
    uint16_t *rank_of_group;     /* HASH: likewise; key group -> rank */
    struct wk_merge *merge;      /* HASH: rows of equal key become one; owned. NULL: all go as they are */
    bool merges;                 /* rows were added to it since wk_edge_feed */
    uint32_t wider;              /* its blocks are so many times as large, as it has many channels; 0: 1. Set before the first row */
    uint64_t random;             /* SHUFFLE: state of a splitmix generator */
    uint32_t next;               /* REBALANCE, RESCALE, SPLITS: round robin */

    int64_t flush_interval_ns;   /* for the task: how long rows may be held; -1: until the block is full */
    uint64_t last_flush_ns;
    bool connected;              /* a channel goes to another worker */
    bool paced;                  /* for the task: connected, and a flush waits EDGE_PACE_NS for the next one */

    rask_batch *held[EDGE_HELD_MAX];
    uint32_t held_count, held_rows;
    /* gauges, read by others (wk_counted) */
    uint64_t held_bytes;
    uint64_t blocks_waiting;
    uint64_t elements_waiting;   /* in all channels */
    uint64_t bytes_waiting;      /* of those */
    bool has_marker;             /* marker goes with the block that is held */
    int64_t marker;
    uint32_t marker_rank;        /* channels take turns */
    bool narrow;                 /* one block that waits makes it full */
    struct wk_runnable **unwoken; /* readers of a wide edge that got something: woken together, when the step ends */
    uint32_t unwoken_count;
    bool sated;                  /* a wide edge has sent so much since then that the step should end */
    bool aligned_only;           /* as of its channels */
    bool overdraws;              /* what is inside the chain has to leave it, for a barrier that overtakes */
    uint32_t barriers_waiting;   /* in all channels */
    uint64_t skipped_barrier;    /* checkpoint whose barrier was not sent because END was on its way; 0: none */
    struct wk_inflight *inflight; /* borrowed: where rows go that a barrier overtakes */
    struct wk_splits *splits;    /* SPLITS, of readers that start again without their enumerator; owned. NULL: there are none */
    bool end_wanted;             /* SPLITS: END follows the last held row */
    bool ended;                  /* END was sent: nothing follows it */
    bool time_ended;             /* RASK_TS_MAX waits for the end of the step, or for END, which tells it as well */
    uint64_t rows_out, bytes_out; /* counters, read by others */
    struct wk_hot hot;           /* HASH */
    int error;                   /* a custom partitioner returned a channel that does not exist */
    uint32_t error_channel;
};

void wk_edge_release(struct wk_edge *e);
/* How much wider an edge of so many channels is at most: 1 .. EDGE_WIDER_MAX. */
static inline uint32_t wk_edge_wider(Rask__Graph__Partitioner p, uint32_t channels)
{
    bool whole = p == RASK__GRAPH__PARTITIONER__BROADCAST || p == RASK__GRAPH__PARTITIONER__SPLITS;

    return whole ? 1 : MIN(MAX(channels * EDGE_SLICE_ROWS / RASK_BATCH_ROWS_MAX, 1u), (uint32_t)EDGE_WIDER_MAX);
}
/* Of this one. */
static inline uint32_t wk_edge_width(const struct wk_edge *e)
{
    return MAX(e->wider, 1u);
}
/* So many blocks that wait make it full. Over a connection more of them are not faster, and rows wait behind them. */
static inline uint32_t wk_edge_blocks_max(const struct wk_edge *e)
{
    return e->connected ? 1 : MAX(EDGE_BLOCKS_MAX / wk_edge_width(e), 1u);
}
/* Rows of one batch; one reference is taken. Always accepts; ask wk_edge_full before running the operator. */
void wk_edge_emit(struct wk_edge *e, rask_batch *batch);
bool wk_edge_full(const struct wk_edge *e);
/* There is something that a flush would send. */
static inline bool wk_edge_holds(const struct wk_edge *e)
{
    return e->held_count > 0 || (e->merge && !wk_merge_is_empty(e->merge));
}
/* Cuts what is held into a block and sends what credit allows. */
void wk_edge_flush(struct wk_edge *e);
/*
 * The task goes on, and a reader has nothing to do: the same, but of rows that are being merged only those to which none has
 * been added since the last call, for more of their keys may come, and that is worth more.
 */
void wk_edge_feed(struct wk_edge *e);
/* Credit came: sends what waited. Returns true if anything left. */
bool wk_edge_send_waiting(struct wk_edge *e);
/* The step ends, or waits: what is kept for that is sent, readers that got something and sleep yet are woken. */
void wk_edge_wake(struct wk_edge *e);
/* A control element to all channels, behind everything emitted before. */
void wk_edge_control(struct wk_edge *e, enum wk_element_type type, int64_t value);
/*
 * A barrier that may overtake (WK_BARRIER_UNALIGNED, or the edge is asked for it now) leaves at once; the rows that waited
 * before it are added to e->inflight, and follow it.  wk_edge_control does so by itself when the value says so.
 * wk_edge_hurry is for a barrier that was sent in its turn and still waits.
 */
void wk_edge_hurry(struct wk_edge *e, int64_t value);
/* Its barriers have left, and where none was sent, the end of input has. */
bool wk_edge_settled(const struct wk_edge *e);
/* Restored rows, in their order; taken. target WK_ANY_SUBTASK: as if they had been emitted now. */
void wk_edge_replay(struct wk_edge *e, uint32_t target, rask_batch *rows);
/* A latency marker, to one channel, behind what is held of a block: it does not cut it. */
void wk_edge_marker(struct wk_edge *e, int64_t value);
/* SPLITS: those that no reader has got go nowhere: the job stops. */
void wk_edge_drop_splits(struct wk_edge *e);
/*
 * With e->splits: the reader of a channel is there, in this worker (local) or behind the link, and begins with a checkpoint (0:
 * with nothing).  It gets what it was given since, and the end if that was sent; barriers up to given_up go to nobody.  Returns
 * how many splits it gets again; -1: not all of them are known, and nothing has changed.  Loop; the reader has not been started.
 */
int wk_edge_attach(struct wk_edge *e, uint32_t rank, struct wk_in *local, struct wk_link *link, uint64_t checkpoint,
                   uint64_t given_up);
/* It is there no more: nothing is sent to it. Loop; the reader is not run. */
void wk_edge_detach(struct wk_edge *e, uint32_t rank);
/* A checkpoint is complete, which may be restored from. Loop. */
void wk_edge_completed(struct wk_edge *e, uint64_t checkpoint);
/* Nothing is held and nothing waits. */
bool wk_edge_drained(const struct wk_edge *e);
/* All of the credit is back: the readers have nothing more of it to do. */
bool wk_edge_is_consumed(const struct wk_edge *e);
/* Sent, credit not back yet; in all channels. Any thread. */
uint64_t wk_edge_in_flight(const struct wk_edge *e);

#endif
