/*
 * fuzz_link.c - any frames between two workers: rows, credits, control elements, from a peer that knows the job's secret.
 *
 * Input: records of kind (its highest bit: packed), edge, length (u16) and payload.  Each frame is taken or closes the link with a sentence; what a
 * channel holds stays within its credit, and every cell that arrives can be read.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/net/net_private.h"
#include "taskmanager/worker/exchange/link.h"
#include "taskmanager/worker/task/executor.h"

#define CHANNELS 3
#define CREDIT 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct net_conn {
    const struct net_handler *handler;
    void *arg;
    bool closed;
};

struct fuzz {
    struct env env;
    struct net net;
    struct net_conn conn;
    struct wk_link *link;
    struct wk_gate gate;
    struct wk_out out;
    int lost;
};

static void set_handler_op(struct net_conn *conn, const struct net_handler *handler, void *arg)
{
    conn->handler = handler;
    conn->arg = arg;
}
static void set_limit_op(struct net_conn *conn, uint32_t max)
{
    (void)conn;
    (void)max;
}
static void close_op(struct net_conn *conn)
{
    conn->closed = true;
}
static void post_op(struct env *env, struct env_task *task)
{
    (void)env;
    (void)task; /* nothing is sent */
}
static const struct net_ops net_ops = {.set_handler = set_handler_op, .set_limit = set_limit_op, .close = close_op};
static void timer_arm_op(struct env *env, struct env_timer *timer, uint64_t delay_ns)
{
    (void)env;
    (void)delay_ns;
    timer->armed = true; /* and never due */
}
static void timer_cancel_op(struct env *env, struct env_timer *timer)
{
    (void)env;
    timer->armed = false;
}
static const struct env_ops env_ops = {
    .post = post_op, .unpost = post_op, .timer_arm = timer_arm_op, .timer_cancel = timer_cancel_op};

static void enqueue(struct wk_executor *e, struct wk_runnable *r)
{
    (void)e;
    r->state = WK_IDLE;
}
static const struct wk_executor_ops executor_ops = {.enqueue = enqueue};
static struct wk_executor executor = {&executor_ops};
static struct wk_runnable task = {.executor = &executor};

static const rask_field fields[] = {{"n", RASK_T_BIGINT, 0, 0, 0, NULL},
                                    {"text", RASK_T_STRING, 1, 0, 0, NULL},
                                    {"small", RASK_T_TINYINT, 1, 0, 0, NULL}};
static const rask_schema schema = {RASK_ABI, 3, "mixed", fields};

static struct wk_in *find_in(void *arg, uint32_t edge, uint32_t source, uint32_t target)
{
    struct fuzz *f = arg;

    return edge == 0 && source == 0 && target < CHANNELS ? &f->gate.channels[target] : NULL;
}
static struct wk_out *find_out(void *arg, uint32_t edge, uint32_t source, uint32_t target)
{
    struct fuzz *f = arg;

    return edge == 1 && source == 0 && target == 0 ? &f->out : NULL;
}
static const rask_schema *schema_of(void *arg, uint32_t edge)
{
    (void)arg;
    return edge == 0 ? &schema : NULL;
}
static void on_lost(void *arg, struct wk_link *link, const struct err *why)
{
    (void)link;
    CHECK(strlen(why->text) > 0);
    ((struct fuzz *)arg)->lost++;
}

/* Reads every cell of what has come. */
static void consume(struct fuzz *f)
{
    struct wk_element *e;
    struct wk_in *in;
    uint32_t sum = 0;

    while ((e = wk_gate_take(&f->gate, &in)) != NULL) {
        rask_batch *rows = e->type == WK_DATA ? wk_element_rows(e) : NULL;

        for (uint32_t i = 0; rows && i < rows->rows; i++) {
            rask_row row = rask_batch_row(rows, i);
            rask_str text = rask_is_null(&row, 1) ? (rask_str){"", 0} : rask_string(&row, 1);

            for (uint32_t k = 0; k < text.len; k++)
                sum += (uint8_t)text.data[k];
            sum += (uint32_t)rask_i64(&row, 0) + (uint32_t)rask_i8(&row, 2);
        }
        batch_unref(rows);
        if (e->type == WK_DATA && (sum & 1))
            wk_in_consumed(in, e->bytes);
        wk_element_free(e);
    }
}

static void frame_in(struct fuzz *f, uint8_t kind, uint8_t edge, const uint8_t *payload, uint32_t length)
{
    struct net_buffer *buffer = net_buffer_new(length);
    struct net_frame frame = {.kind = (uint8_t)(NET_DATA + kind % 3), .flags = (uint16_t)(kind >> 7 ? LINK_PACKED : 0),
                              .stream = edge % 3, .epoch = 1, .length = length};

    if (length)
        memcpy(buffer->data, payload, length);
    frame.payload = buffer->data;
    frame.impl = buffer;
    f->conn.handler->on_frame(f->conn.arg, &f->conn, &frame);
    net_buffer_unref(buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f = {.env = {.ops = &env_ops}, .net = {&net_ops}};
    struct pool *pool = pool_new(0);
    struct wk_link_owner owner = {find_in, find_out, schema_of, on_lost, &f};

    f.env.net = &f.net;
    f.link = wk_link_new(&f.env, pool, 1, 1, &owner);
    wk_gate_init(&f.gate, &task, CHANNELS);
    for (uint32_t i = 0; i < CHANNELS; i++) {
        f.gate.channels[i].target_subtask = i;
        wk_in_connect_remote(&f.gate.channels[i], f.link);
        wk_in_open(&f.gate.channels[i], CREDIT);
    }
    wk_out_init(&f.out, &task, 1, 0, 0);
    f.out.link = f.link;
    wk_link_open(f.link, &f.conn);
    while (size >= 4 && !f.conn.closed) {
        uint32_t length = (uint32_t)data[2] | (uint32_t)data[3] << 8;

        length = (uint32_t)MIN((size_t)length, size - 4);
        frame_in(&f, data[0], data[1], data + 4, length);
        for (uint32_t i = 0; i < CHANNELS; i++)
            CHECK(wk_in_queued_bytes(&f.gate.channels[i]) <= CREDIT || wk_in_queued(&f.gate.channels[i]) == 1);
        consume(&f);
        data += 4 + length;
        size -= 4 + length;
    }
    CHECK(f.lost == (f.conn.closed ? 1 : 0));
    wk_link_free(f.link);
    wk_out_release(&f.out);
    wk_gate_release(&f.gate);
    pool_free(pool);
    return 0;
}
