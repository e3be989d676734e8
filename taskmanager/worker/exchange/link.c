/*
 * link.c - see link.h. Senders queue under a lock; the loop drains, sends, receives.
 *
 * A step that finds nothing queued sends a frame that is not large itself, where the network lets it (net.h,
 * send_now): a row is there one wake-up earlier.  What others want to send meanwhile is queued.
 *
 * Credits of rows that came by themselves travel together: a quarter of a channel's credit leaves at once, less than
 * that waits up to CREDIT_WAIT_NS for more.  The timer is armed when rows come; while it is not, nothing waits.
 */
#include "taskmanager/worker/exchange/link.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "taskmanager/worker/exchange/edge.h"
#include "taskmanager/worker/exchange/frames.h"
#include "taskmanager/worker/exchange/pack_lz4.h"

#define TABLE_HEADER_BYTES 8
#define TABLE_ENTRY_BYTES 12
#define CREDIT_BYTES 20
#define CONTROL_BYTES 24
#define TABLE_MAX 32768
/* Of a data frame beside what its rows cost: hashes, kinds, bitmaps; the table, padding. Rows hold on to the whole frame. */
#define ROW_EXTRA_BYTES 32
#define FRAME_EXTRA_BYTES 65536
#define NOW_BYTES_MAX 32768u /* to write more takes as long as to wake the loop, which sends several together */
#define CREDIT_WAIT_NS 200000u
#define CREDIT_PARTS 4u /* of a channel's credit: one of them does not wait */
#define PACK_MIN_BYTES 512u /* less is not worth the call */
#define PACK_PAUSE 15u      /* frames that go as they are after one that did not shrink by a sixteenth */

struct wk_link {
    struct env *env;
    struct pool *pool;
    uint32_t peer;
    uint64_t job_epoch;
    struct wk_link_owner owner;
    struct net_conn *conn; /* loop; for send_now: lock */
    bool closed;           /* loop */
    bool seals;            /* atomic: frames get their checksum from the step that sends them */
    pthread_mutex_t lock;
    pthread_cond_t sent;   /* with lock: sending has become false */
    bool sending;          /* lock: a step is in send_now */
    bool draining;         /* lock: the loop has frames that the connection has not got yet */
    struct list queued;    /* lock */
    struct wk_frame *credits; /* lock: entries not sent yet; NULL: none */
    uint64_t credit_bytes; /* lock: of those */
    bool credits_due;      /* lock: drain is posted for them */
    bool credits_wait;     /* lock: credit_timer is armed, which only the loop does */
    struct env_timer credit_timer;
    uint64_t queued_bytes; /* lock */
    struct wk_frames frames;
    uint64_t received_rows;
    bool pack;             /* before anything is sent */
    uint32_t pack_pause;   /* atomic, relaxed: frames that are not tried, as one did not shrink */
    uint64_t pack_bytes, pack_sent; /* atomic, relaxed */
    struct env_task drain;
};

static void drain(struct env_task *task);
static void on_credit_timer(struct env_timer *timer);

struct wk_link *wk_link_new(struct env *env, struct pool *pool, uint32_t peer_index, uint64_t job_epoch,
                            const struct wk_link_owner *owner)
{
    struct wk_link *l = MEM_NEW(struct wk_link);

    l->env = env;
    l->pool = pool;
    l->peer = peer_index;
    l->job_epoch = job_epoch;
    l->owner = *owner;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->sent, NULL);
    list_init(&l->queued);
    wk_frames_init(&l->frames);
    l->drain.cb = drain;
    l->credit_timer.cb = on_credit_timer;
    return l;
}

bool wk_link_is_open(const struct wk_link *link)
{
    return link->conn != NULL;
}

bool wk_link_may_open(const struct wk_link *link)
{
    return !link->conn && !link->closed;
}

uint64_t wk_link_received_rows(struct wk_link *link)
{
    return __atomic_load_n(&link->received_rows, __ATOMIC_RELAXED);
}

uint64_t wk_link_queued_bytes(struct wk_link *link)
{
    uint64_t queued;

    pthread_mutex_lock(&link->lock);
    queued = link->queued_bytes + (link->credits ? link->credits->payload.len : 0);
    pthread_mutex_unlock(&link->lock);
    return queued + (link->conn ? link->env->net->ops->queued_bytes(link->conn) : 0);
}

/* Lock held. Everything that waits to be sent, in order; the credits come first. */
static void take_queued(struct wk_link *l, struct list *ret)
{
    struct wk_frame *credits;

    list_init(ret);
    for (struct list *n; (n = list_pop_front(&l->queued));)
        list_push_back(ret, n);
    credits = l->credits;
    l->credits = NULL;
    l->queued_bytes = l->credit_bytes = 0;
    l->credits_due = false;
    if (credits)
        list_push_front(ret, &credits->node);
}

static void drop_frames(struct wk_link *l)
{
    struct list frames;

    env_timer_cancel(l->env, &l->credit_timer);
    pthread_mutex_lock(&l->lock);
    l->credits_wait = false;
    take_queued(l, &frames);
    pthread_mutex_unlock(&l->lock);
    for (struct list *n; (n = list_pop_front(&frames));)
        wk_frame_free(LIST_ENTRY(n, struct wk_frame, node));
}

/* No step uses the connection from here on. */
static struct net_conn *detach(struct wk_link *l)
{
    struct net_conn *conn;

    pthread_mutex_lock(&l->lock);
    while (l->sending) /* which never waits */
        pthread_cond_wait(&l->sent, &l->lock);
    conn = l->conn;
    l->conn = NULL;
    pthread_mutex_unlock(&l->lock);
    return conn;
}

void wk_link_close(struct wk_link *link)
{
    struct net_conn *conn = detach(link);

    link->closed = true;
    if (conn)
        link->env->net->ops->close(conn);
    drop_frames(link);
}

void wk_link_free(struct wk_link *link)
{
    if (!link)
        return;
    wk_link_close(link);
    env_unpost(link->env, &link->drain);
    wk_frames_release(&link->frames);
    pthread_cond_destroy(&link->sent);
    pthread_mutex_destroy(&link->lock);
    mem_free(link);
}

/* ---- sending ---- */

void wk_link_pack(struct wk_link *link)
{
    link->pack = true;
}

void wk_link_packed(struct wk_link *link, uint64_t *ret_bytes, uint64_t *ret_sent)
{
    *ret_bytes = __atomic_load_n(&link->pack_bytes, __ATOMIC_RELAXED);
    *ret_sent = __atomic_load_n(&link->pack_sent, __ATOMIC_RELAXED);
}

/* Loop: everything queued goes to the connection. */
static void drain(struct env_task *task)
{
    struct wk_link *l = CONTAINER_OF(task, struct wk_link, drain);
    struct list frames;

    if (!l->conn)
        return;
    if (ENV_BUGGIFY(l->env)) { /* later, with more of it */
        ENV_PROBE(l->env, "link: sends late");
        env_post(l->env, &l->drain);
        return;
    }
    pthread_mutex_lock(&l->lock);
    if (l->sending) { /* that one is before them, and posts this again */
        pthread_mutex_unlock(&l->lock);
        return;
    }
    l->draining = true;
    take_queued(l, &frames);
    pthread_mutex_unlock(&l->lock);
    for (struct list *n; (n = list_pop_front(&frames));) {
        struct wk_frame *f = LIST_ENTRY(n, struct wk_frame, node);

        if (f->frame.kind == NET_CREDIT)
            wk_frame_seal(f);
        f->frame.epoch = l->job_epoch;
        l->env->net->ops->send_parts(l->conn, &f->frame, f->parts, f->part_count, wk_frame_free, f);
    }
    pthread_mutex_lock(&l->lock);
    l->draining = false;
    pthread_mutex_unlock(&l->lock);
}

/* Lock held, which is released meanwhile. False: the frame has to be queued, before what was since. */
static bool send_now(struct wk_link *l, struct wk_frame *f)
{
    struct net_conn *conn = l->conn;
    bool sent;

    l->sending = true;
    pthread_mutex_unlock(&l->lock);
    sent = l->env->net->ops->send_now(conn, &f->frame, f->parts, f->part_count, wk_frame_free, f);
    pthread_mutex_lock(&l->lock);
    l->sending = false;
    pthread_cond_signal(&l->sent);
    return sent;
}

/* Any thread. The frame leaves at once, or behind those that are queued. */
static void queue_frame(struct wk_link *l, struct wk_frame *f)
{
    bool first, sent, posts;
    uint32_t length;

    wk_frame_seal(f);
    f->frame.epoch = l->job_epoch;
    length = f->frame.length;
    if (__atomic_load_n(&l->seals, __ATOMIC_RELAXED))
        net_frame_seal(&f->frame, f->parts, f->part_count);
    pthread_mutex_lock(&l->lock);
    first = l->env->net->ops->send_now && length <= NOW_BYTES_MAX && l->conn && !l->sending && !l->draining &&
            list_empty(&l->queued);
    sent = first && send_now(l, f);
    if (!sent) {
        if (first)
            list_push_front(&l->queued, &f->node);
        else
            list_push_back(&l->queued, &f->node);
        l->queued_bytes += length;
    }
    posts = !list_empty(&l->queued) || l->credits_due;
    pthread_mutex_unlock(&l->lock);
    if (posts)
        env_post(l->env, &l->drain);
}

void wk_link_control(struct wk_link *link, uint32_t edge, uint32_t source, uint32_t target, enum wk_element_type type,
                     int64_t value)
{
    struct wk_frame *f = wk_frame_new(&link->frames, NET_CONTROL, edge);

    bytes_add_u32(&f->payload, source);
    bytes_add_u32(&f->payload, target);
    bytes_add_u32(&f->payload, type);
    bytes_add_u32(&f->payload, 0);
    bytes_add_u64(&f->payload, (uint64_t)value);
    queue_frame(link, f);
}

/* Becomes one with the entry before it if that is of the same channel. */
static void add_credit(struct bytes *list, uint32_t edge, uint32_t source, uint32_t target, uint32_t bytes, uint32_t total)
{
    if (list->len > 0) {
        struct reader last = reader_of(list->data + list->len - CREDIT_BYTES, CREDIT_BYTES);
        bool same = reader_u32(&last) == edge;

        same = reader_u32(&last) == source && same;
        same = reader_u32(&last) == target && same;
        if (same) {
            bytes += reader_u32(&last);
            list->len -= CREDIT_BYTES;
        }
    }
    bytes_add_u32(list, edge);
    bytes_add_u32(list, source);
    bytes_add_u32(list, target);
    bytes_add_u32(list, bytes);
    bytes_add_u32(list, total);
}

void wk_link_grant(struct wk_link *link, uint32_t edge, uint32_t source, uint32_t target, uint32_t bytes, uint32_t total)
{
    bool due;

    pthread_mutex_lock(&link->lock);
    if (!link->credits)
        link->credits = wk_frame_new(&link->frames, NET_CREDIT, 0);
    add_credit(&link->credits->payload, edge, source, target, bytes, total);
    link->credit_bytes += bytes;
    due = !link->credits_wait || link->credit_bytes >= total / CREDIT_PARTS;
    link->credits_due = link->credits_due || due;
    pthread_mutex_unlock(&link->lock);
    if (due)
        env_post(link->env, &link->drain);
}

static void on_credit_timer(struct env_timer *timer)
{
    struct wk_link *l = CONTAINER_OF(timer, struct wk_link, credit_timer);
    bool due;

    pthread_mutex_lock(&l->lock);
    l->credits_wait = false;
    due = l->credits != NULL;
    l->credits_due = due;
    pthread_mutex_unlock(&l->lock);
    if (due)
        drain(&l->drain);
}

/* Rows came: what they give back may wait for what more of them do. */
static void let_credits_wait(struct wk_link *l)
{
    if (l->credit_timer.armed)
        return;
    env_timer_arm(l->env, &l->credit_timer, CREDIT_WAIT_NS);
    pthread_mutex_lock(&l->lock);
    l->credits_wait = true;
    pthread_mutex_unlock(&l->lock);
}

void wk_run_begin(struct wk_run *run, struct wk_link *link, uint32_t edge, uint32_t source, struct wk_block *block, uint32_t first)
{
    *run = (struct wk_run){.link = link, .first = first, .block = block, .frame = wk_frame_new(&link->frames, NET_DATA, edge)};
    bytes_add_u32(&run->frame->payload, source);
    bytes_add_u32(&run->frame->payload, 0); /* how many slices: wk_run_send */
}

void wk_run_add(struct wk_run *run, uint32_t target, uint32_t rows, uint32_t bytes)
{
    bytes_add_u32(&run->frame->payload, target);
    bytes_add_u32(&run->frame->payload, rows);
    bytes_add_u32(&run->frame->payload, bytes);
    run->rows += rows;
    run->bytes += bytes;
    run->count++;
}

/* Several tasks send: what they see of the pause may be a frame old, which does no harm. */
static bool pack_is_due(struct wk_link *l, uint64_t bytes)
{
    uint32_t pause = __atomic_load_n(&l->pack_pause, __ATOMIC_RELAXED);

    if (!l->pack || bytes < PACK_MIN_BYTES)
        return false;
    if (pause > 0)
        __atomic_store_n(&l->pack_pause, pause - 1, __ATOMIC_RELAXED);
    return pause == 0;
}

/* Adds the rows to the frame, packed; false: they do not shrink, and it is as before. */
static bool add_packed(struct wk_run *run)
{
    struct wk_link *l = run->link;
    struct wk_frame *f = run->frame, *scratch = wk_frame_new(&l->frames, NET_DATA, 0);
    struct bytes *plain = &scratch->payload;
    size_t head = f->payload.len;
    uint32_t room, packed;

    batch_encode(run->block->rows, run->first, run->rows, plain);
    room = (uint32_t)(plain->len - plain->len / 16);
    bytes_add_u32(&f->payload, (uint32_t)plain->len);
    bytes_add_u32(&f->payload, 0);
    bytes_reserve(&f->payload, room);
    packed = wk_pack(plain->data, (uint32_t)plain->len, f->payload.data + f->payload.len, room);
    if (packed > 0) {
        f->frame.flags = LINK_PACKED;
        f->payload.len += packed;
        __atomic_add_fetch(&l->pack_bytes, plain->len, __ATOMIC_RELAXED);
        __atomic_add_fetch(&l->pack_sent, packed, __ATOMIC_RELAXED);
    } else {
        f->payload.len = head;
        __atomic_store_n(&l->pack_pause, PACK_PAUSE, __ATOMIC_RELAXED);
    }
    wk_frame_free(scratch);
    return packed > 0;
}

/* Columns stay where they are until the socket has them; long strings and the like are written anew. */
static void add_rows(struct wk_run *run)
{
    struct batch_piece pieces[BATCH_PIECES_MAX + 1];
    struct wk_frame *f = run->frame;
    struct bytes *head = &f->payload;
    uint32_t count;

    pieces[0] = (struct batch_piece){NULL, 0, head->len};
    count = batch_encode_pieces(run->block->rows, run->first, run->rows, head, pieces + 1);
    if (count == 0) {
        batch_encode(run->block->rows, run->first, run->rows, head);
        return;
    }
    wk_frame_parts(f, count + 1);
    for (uint32_t i = 0; i <= count; i++)
        f->parts[i] = (struct net_iov){pieces[i].data ? pieces[i].data : head->data + pieces[i].at, pieces[i].len};
    __atomic_add_fetch(&run->block->refs, 1, __ATOMIC_RELAXED);
    f->block = run->block;
}

void wk_run_send(struct wk_run *run)
{
    struct bytes *head = &run->frame->payload;

    for (uint32_t i = 0; i < 4; i++)
        head->data[4 + i] = (uint8_t)(run->count >> 8 * i);
    while (head->len % 8)
        bytes_add_u8(head, 0);
    if (!pack_is_due(run->link, run->bytes) || !add_packed(run))
        add_rows(run);
    queue_frame(run->link, run->frame);
    run->frame = NULL;
}

/* ---- receiving ---- */

static void grant_remote(struct wk_in *in, uint32_t bytes)
{
    wk_link_grant(in->peer, in->edge, in->source_subtask, in->target_subtask, bytes, in->credit_bytes);
}

void wk_in_connect_remote(struct wk_in *in, struct wk_link *link)
{
    in->peer = link;
    in->grant = grant_remote;
}

/* What a frame names must be an open channel over this very connection; else NULL. */
static struct wk_in *find_in(struct wk_link *l, uint32_t edge, uint32_t source, uint32_t target, struct err *err)
{
    struct wk_in *in = l->owner.find_in(l->owner.arg, edge, source, target);

    if (!in || in->peer != l) {
        err_set(err, ERR_PROTOCOL, "a frame for edge %u from subtask %u to %u, which is not a channel of this connection", edge,
                source, target);
        return NULL;
    }
    if (in->end_received) {
        err_set(err, ERR_PROTOCOL, "a frame for edge %u from subtask %u to %u behind its end", edge, source, target);
        return NULL;
    }
    return in;
}

/* A rask_buffer over a received payload, so that columns and strings may point into it. */
struct received {
    rask_buffer pub;
    struct pool *pool;
};

static void payload_release(rask_buffer *b)
{
    struct received *r = (struct received *)b;

    net_payload_free(b->owner);
    pool_small_free(r->pool, r, sizeof(*r));
}

/* Columns want 8-byte alignment. Frames of the exchange keep it; one that shares a read with a handshake may not. */
static rask_buffer *payload_copy(struct wk_link *l, const struct net_frame *frame)
{
    rask_buffer *b = pool_get(l->pool, frame->length);

    memcpy(b->data, frame->payload, frame->length);
    b->used = frame->length;
    return b;
}

static rask_buffer *payload_buffer(struct wk_link *l, struct net_frame *frame)
{
    struct received *r;
    void *owner;

    if ((uintptr_t)frame->payload % 8 != 0)
        return payload_copy(l, frame);
    owner = net_frame_take(frame); /* may move the payload */
    r = pool_small(l->pool, sizeof(*r));
    r->pub = (rask_buffer){.refs = 1, .used = frame->length, .capacity = frame->length,
                           .data = (uint8_t *)(uintptr_t)frame->payload, .release = payload_release, .owner = owner};
    r->pool = l->pool;
    return &r->pub;
}

/* The most that rows take which are said to cost so much. */
static uint64_t rows_bytes_max(uint64_t declared, uint64_t rows)
{
    return 2 * declared + rows * ROW_EXTRA_BYTES + FRAME_EXTRA_BYTES;
}

static int over_credit(const struct net_frame *frame, uint32_t source, uint32_t target, uint32_t bytes, struct err *err)
{
    return err_set(err, ERR_PROTOCOL, "%u bytes for edge %u from subtask %u to %u, more than the credit that the channel has", bytes,
                   frame->stream, source, target);
}

/* What a peer says that a slice costs is what it pays of its credit: less than it does would fill the memory here. */
static int check_cost(const struct wk_in *in, const rask_batch *rows, const struct wk_element *slice, struct err *err)
{
    uint32_t cost = in->by_row ? slice->rows : wk_slice_bytes(rows, slice->first, slice->rows, wk_row_bytes(rows));

    if (cost <= slice->bytes)
        return 0;
    return err_set(err, ERR_PROTOCOL, "a slice of %u bytes for edge %u from subtask %u to %u that is said to have %u", cost, in->edge,
                   in->source_subtask, in->target_subtask, slice->bytes);
}

/* The slices of a block, whose first reference is the caller's; nothing is pushed when one of them is wrong. */
static int add_slices(struct wk_link *l, const struct net_frame *frame, struct wk_block *block, struct reader table,
                      uint32_t source, struct err *err)
{
    uint32_t from = 0, rows = block->rows->rows, last = 0;
    uint64_t declared = 0;

    for (uint32_t i = 0; i < block->room; i++) {
        uint32_t target = reader_u32(&table), n = reader_u32(&table), bytes = reader_u32(&table);
        struct wk_in *in = find_in(l, frame->stream, source, target, err);
        struct wk_element *e;

        if (!in)
            return err->code;
        if (i > 0 && target <= last)
            return err_set(err, ERR_CORRUPT, "slices for subtasks %u and %u in this order", last, target);
        last = target;
        if (n == 0 || n > rows - from || n > RASK_BATCH_ROWS_MAX)
            return err_set(err, ERR_CORRUPT, "a slice of %u rows in a block of %u with %u left, at most %d", n, rows, rows - from,
                           RASK_BATCH_ROWS_MAX);
        if (!wk_in_within_credit(in, bytes))
            return over_credit(frame, source, target, bytes, err);
        e = wk_block_slice(block, from, n, bytes);
        e->in = in;
        e->remote = true;
        from += n;
        if (check_cost(in, block->rows, e, err) != 0)
            return err->code;
        declared += in->by_row ? frame->length : bytes;
    }
    if (from != rows)
        return err_set(err, ERR_CORRUPT, "slices cover %u of %u rows", from, rows);
    if (frame->length > rows_bytes_max(declared, rows))
        return err_set(err, ERR_PROTOCOL, "a data frame of %u bytes for %llu bytes of rows", frame->length,
                       (unsigned long long)declared);
    return 0;
}

/* rows is taken. */
static int push_rows(struct wk_link *l, const struct net_frame *frame, rask_batch *rows, struct reader table, uint32_t source,
                     uint32_t count, struct err *err)
{
    uint32_t all = rows->rows, added;
    struct wk_block *block = wk_block_new(l->pool, &rows, count);
    int rc = add_slices(l, frame, block, table, source, err);

    let_credits_wait(l);
    added = block->count;
    for (uint32_t i = 0; i < added; i++)
        if (rc == 0)
            wk_in_push(block->elements[i].in, &block->elements[i]);
        else
            wk_element_free(&block->elements[i]);
    if (rc == 0)
        __atomic_add_fetch(&l->received_rows, all, __ATOMIC_RELAXED);
    wk_block_unref(block);
    return rc;
}

/* How many bytes of rows may follow a table: they are asked for before there is memory for them. */
static int rows_max(struct wk_link *l, const struct net_frame *frame, struct reader table, uint32_t source, uint64_t *ret_max,
                    struct err *err)
{
    uint64_t declared = 0, rows = 0;

    while (reader_left(&table) > 0) {
        uint32_t target = reader_u32(&table), n = reader_u32(&table), bytes = reader_u32(&table);
        const struct wk_in *in = find_in(l, frame->stream, source, target, err);

        if (!in)
            return err->code;
        if (!wk_in_within_credit(in, bytes))
            return over_credit(frame, source, target, bytes, err);
        rows += n;
        declared += bytes;
    }
    *ret_max = MIN(rows_bytes_max(declared, MIN(rows, (uint64_t)EDGE_BLOCK_ROWS_MAX)), (uint64_t)NET_PAYLOAD_MAX);
    return 0;
}

/* The rows behind the table of a packed frame, in a buffer of their own. */
static int unpack(struct wk_link *l, const struct net_frame *frame, struct reader table, uint32_t source, size_t head,
                  rask_buffer **ret, struct err *err)
{
    struct reader r = reader_of(frame->payload + head, frame->length - head);
    uint32_t bytes = reader_u32(&r);
    uint64_t most = 0;
    int rc;

    (void)reader_u32(&r);
    if (r.bad)
        return err_set(err, ERR_CORRUPT, "a packed data frame of %u bytes", frame->length);
    rc = rows_max(l, frame, table, source, &most, err);
    if (rc != 0)
        return rc;
    if (bytes > most)
        return err_set(err, ERR_PROTOCOL, "%u bytes of packed rows where %llu are the most", bytes, (unsigned long long)most);
    *ret = pool_get(l->pool, bytes);
    (*ret)->used = bytes;
    if (wk_unpack(r.at, (uint32_t)reader_left(&r), (*ret)->data, bytes))
        return 0;
    buffer_unref(*ret);
    return err_set(err, ERR_CORRUPT, "packed rows that do not give the %u bytes they should", bytes);
}

static int on_data(struct wk_link *l, struct net_frame *frame, struct err *err)
{
    struct reader r = reader_of(frame->payload, frame->length);
    uint32_t source = reader_u32(&r), count = reader_u32(&r);
    const rask_schema *schema = l->owner.schema_of(l->owner.arg, frame->stream);
    struct reader table;
    size_t head;
    rask_buffer *buffer = NULL;
    rask_batch *rows = NULL;
    int rc;

    if (!schema)
        return err_set(err, ERR_PROTOCOL, "data for edge %u, which this job does not have", frame->stream);
    if (r.bad || count == 0 || count > TABLE_MAX || reader_left(&r) < (size_t)count * TABLE_ENTRY_BYTES)
        return err_set(err, ERR_CORRUPT, "a data frame of %u bytes with %u slices", frame->length, count);
    table = reader_of(r.at, (size_t)count * TABLE_ENTRY_BYTES);
    head = (TABLE_HEADER_BYTES + (size_t)count * TABLE_ENTRY_BYTES + 7) & ~(size_t)7;
    if (head > frame->length)
        return err_set(err, ERR_CORRUPT, "a data frame of %u bytes with %u slices", frame->length, count);
    if (frame->flags & LINK_PACKED) {
        rc = unpack(l, frame, table, source, head, &buffer, err);
        if (rc != 0)
            return rc;
        head = 0;
    } else {
        buffer = payload_buffer(l, frame);
    }
    CHECK(buffer != NULL);
    rc = batch_decode(l->pool, schema, buffer->data + head, buffer->used - head, buffer, &rows, err);
    if (rc == 0 && rows->rows > EDGE_BLOCK_ROWS_MAX)
        rc = err_set(err, ERR_CORRUPT, "a block of %u rows, at most %d are allowed", rows->rows, EDGE_BLOCK_ROWS_MAX);
    if (rc == 0)
        rc = push_rows(l, frame, rows, table, source, count, err);
    else
        batch_unref(rows);
    buffer_unref(buffer);
    return rc;
}

static int on_control(struct wk_link *l, const struct net_frame *frame, struct err *err)
{
    struct reader r = reader_of(frame->payload, frame->length);
    uint32_t source = reader_u32(&r), target = reader_u32(&r), type = reader_u32(&r);
    struct wk_block *block;
    struct wk_in *in;
    int64_t value;

    (void)reader_u32(&r);
    value = (int64_t)reader_u64(&r);
    if (r.bad || frame->length != CONTROL_BYTES || type <= WK_DATA || type > WK_END)
        return err_set(err, ERR_PROTOCOL, "a control frame of %u bytes, type %u", frame->length, type);
    in = find_in(l, frame->stream, source, target, err);
    if (!in)
        return err->code;
    in->end_received = type == WK_END;
    block = wk_block_new(l->pool, NULL, 1);
    wk_in_push(in, wk_block_control(block, (enum wk_element_type)type, value));
    wk_block_unref(block);
    return 0;
}

static int on_credit(struct wk_link *l, const struct net_frame *frame, struct err *err)
{
    struct reader r = reader_of(frame->payload, frame->length);

    if (frame->length == 0 || frame->length % CREDIT_BYTES)
        return err_set(err, ERR_PROTOCOL, "a credit frame of %u bytes", frame->length);
    while (reader_left(&r) > 0) {
        uint32_t edge = reader_u32(&r), source = reader_u32(&r), target = reader_u32(&r), bytes = reader_u32(&r),
                 total = reader_u32(&r);
        struct wk_out *out = l->owner.find_out(l->owner.arg, edge, source, target);

        if (!out || out->link != l)
            return err_set(err, ERR_PROTOCOL,
                           "credit for edge %u from subtask %u to %u, which is not a channel of this connection", edge, source, target);
        if (total == 0 || bytes > INT32_MAX || total > INT32_MAX)
            return err_set(err, ERR_PROTOCOL, "a credit of %u bytes, %u in all", bytes, total);
        wk_out_grant(out, bytes, total);
    }
    return 0;
}

static void link_lost(struct wk_link *l, struct err *err)
{
    if (l->closed)
        return;
    l->closed = true;
    err_wrap(err, "connection to worker %u", l->peer);
    l->owner.on_lost(l->owner.arg, l, err);
}

static void on_frame(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    struct wk_link *l = arg;
    struct err err = {0};
    int rc;

    if (frame->epoch != l->job_epoch)
        rc = err_set(&err, ERR_STALE, "a frame of job epoch %llu, this is epoch %llu", (unsigned long long)frame->epoch,
                     (unsigned long long)l->job_epoch);
    else if (frame->kind == NET_DATA)
        rc = on_data(l, frame, &err);
    else if (frame->kind == NET_CONTROL)
        rc = on_control(l, frame, &err);
    else if (frame->kind == NET_CREDIT)
        rc = on_credit(l, frame, &err);
    else
        rc = err_set(&err, ERR_PROTOCOL, "frame kind %u on a data connection", frame->kind);
    if (rc == 0)
        return;
    (void)detach(l);
    l->env->net->ops->close(conn);
    link_lost(l, &err);
}

static void on_close(void *arg, struct net_conn *conn, const struct err *why)
{
    struct err err = *why;

    (void)conn;
    (void)detach(arg);
    link_lost(arg, &err);
}

static const struct net_handler link_handler = {.on_frame = on_frame, .on_close = on_close};

void wk_link_open(struct wk_link *link, struct net_conn *conn)
{
    CHECK(wk_link_may_open(link));
    pthread_mutex_lock(&link->lock);
    link->conn = conn;
    pthread_mutex_unlock(&link->lock);
    __atomic_store_n(&link->seals, link->env->net->ops->checks && link->env->net->ops->checks(conn), __ATOMIC_RELAXED);
    link->env->net->ops->set_limit(conn, NET_PAYLOAD_MAX);
    link->env->net->ops->set_handler(conn, &link_handler, link);
    env_post(link->env, &link->drain);
}
