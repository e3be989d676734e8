/*
 * scenario_mesh.c - a small cluster that exercises the simulator itself, and an example of a scenario.
 *
 * Each node talks to the next one and counts what arrives, writes a number to its disk, appends to a
 * log, and competes for a lock.  Checked all the time: frames arrive in order and unchanged, nothing that was promised
 * durable is gone after a crash, an epoch is taken by one node alone.  After the faults have stopped: all
 * connected, all numbers grow, and one holds the lock.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/sim/scenario.h"
#include "test/sim/sim_private.h"

#define NODES_MAX 5
#define TICK_MS   50
#define LEADER    "/leader"
#define EPOCH     "/epoch"

struct mesh;

/* What outlives a node: the scenario's memory of its promises. */
struct promise {
    struct sim *sim;
    uint32_t index, count;   /* which of how many nodes */
    uint64_t number, logged; /* the node was told that these are durable */
    uint64_t number_tried;
    uint64_t *epoch_taken; /* the highest, over all nodes */
};

struct incoming {
    struct list node;
    struct mesh *mesh;
    struct net_conn *conn;
    uint64_t next;
};

struct mesh {
    struct env *env;
    struct promise *promise;
    struct env_timer tick;
    struct net_listener *listener;
    struct list incoming;
    struct net_conn *out;
    bool out_open;
    uint64_t sent, received;

    struct fs_file *log;
    bool disk_ready, writing, logging;
    uint64_t number, logged;

    bool connected, trying, leads;
    uint64_t epoch;
    char
        token[20]; /* content of the lock: tells one's own from another's when an answer was lost */
};

/* ---- connections ---- */

static void incoming_free(struct incoming *in)
{
    list_remove(&in->node);
    mem_free(in);
}

static void on_frame(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    struct incoming *in = arg;
    struct mesh *m = in->mesh;
    uint64_t number = 0;

    (void)conn;
    if (frame->length < sizeof(number) || frame->epoch != in->next) {
        sim_fail(m->promise->sim, "node %u expected frame %" PRIu64 ", got %" PRIu64,
                 m->promise->index, in->next, frame->epoch);
        return;
    }
    memcpy(&number, frame->payload, sizeof(number));
    if (number != frame->epoch * 3)
        sim_fail(m->promise->sim, "frame %" PRIu64 " carries %" PRIu64, frame->epoch, number);
    in->next++;
    m->received++;
}

static void on_incoming_close(void *arg, struct net_conn *conn, const struct err *why)
{
    (void)conn;
    (void)why;
    incoming_free(arg);
}

static const struct net_handler incoming_handler = {.on_frame = on_frame,
                                                    .on_close = on_incoming_close};

static void on_accept(void *arg, struct net_conn *conn)
{
    struct mesh *m = arg;
    struct incoming *in = MEM_NEW(struct incoming);

    in->mesh = m;
    in->conn = conn;
    list_push_back(&m->incoming, &in->node);
    m->env->net->ops->set_handler(conn, &incoming_handler, in);
}

static void on_out_open(void *arg, struct net_conn *conn)
{
    (void)conn;
    ((struct mesh *)arg)->out_open = true;
}

static void on_out_close(void *arg, struct net_conn *conn, const struct err *why)
{
    struct mesh *m = arg;

    (void)conn;
    env_log(m->env, LOG_INFO, "mesh", NULL, "%s", why->text);
    m->out = NULL;
    m->out_open = false;
}

static const struct net_handler out_handler = {.on_open = on_out_open, .on_close = on_out_close};

static void talk(struct mesh *m)
{
    static const uint8_t filler[40000];
    const struct net_ops *net = m->env->net->ops;
    uint64_t n = env_rand_u64(m->env) % 4;

    if (m->out == NULL) {
        char address[32];

        snprintf(address, sizeof(address), "n%u:7000", (m->promise->index + 1) % m->promise->count);
        m->out = net->connect(m->env->net, address, &out_handler, m);
        m->sent = 0;
        return;
    }
    if (net->queued_bytes(m->out) > NET_HIGH_WATER_BYTES)
        return;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t number = m->sent * 3;
        struct net_iov parts[2] = {{&number, sizeof(number)},
                                   {filler, env_rand_u64(m->env) % sizeof(filler)}};
        struct bytes payload = {0};
        struct net_frame frame = {.kind = NET_DATA, .epoch = m->sent++};

        for (size_t p = 0; p < 2; p++)
            bytes_add(&payload, parts[p].data, parts[p].len);
        frame.payload = payload.data;
        frame.length = (uint32_t)payload.len;
        net->send(m->out, &frame);
        bytes_release(&payload);
    }
}

/* ---- the disk ---- */

static void on_number_written(void *arg, const struct fs_result *r)
{
    struct mesh *m = arg;

    m->writing = false;
    if (r->code == 0)
        m->promise->number = m->number;
}

static void write_number(struct mesh *m)
{
    char text[32];

    if (!m->disk_ready || m->writing)
        return;
    m->writing = true;
    m->promise->number_tried = ++m->number;
    snprintf(text, sizeof(text), "%" PRIu64, m->number);
    m->env->fs->ops->write_all(m->env->fs, "/data/number", text, strlen(text), on_number_written,
                               m);
}

static void on_log_synced(void *arg, const struct fs_result *r)
{
    struct mesh *m = arg;

    m->logging = false;
    if (r->code == 0)
        m->promise->logged = m->logged;
    else
        m->disk_ready = false; /* what a failed sync leaves is unknown: no more promises */
}

static void on_log_appended(void *arg, const struct fs_result *r)
{
    struct mesh *m = arg;

    if (r->code != 0)
        m->disk_ready = false;
    else
        m->logged++;
}

static void append_log(struct mesh *m)
{
    uint64_t record = m->logged;

    if (!m->disk_ready || m->logging || m->log == NULL)
        return;
    m->logging = true;
    m->env->fs->ops->append(m->env->fs, m->log, &record, sizeof(record), on_log_appended, m);
    m->env->fs->ops->sync(m->env->fs, m->log, on_log_synced, m);
}

static void on_log_named(void *arg, const struct fs_result *r)
{
    struct mesh *m = arg;

    m->disk_ready = r->code == 0;
}

static void on_log_open(void *arg, const struct fs_result *r)
{
    struct mesh *m = arg;

    if (r->code != 0)
        return;
    m->log = r->file;
    m->env->fs->ops->sync_dir(m->env->fs, "/data", on_log_named, m);
}

/* Begins a new log that has what was promised of the old one. */
static void on_log_rewritten(void *arg, const struct fs_result *r)
{
    struct mesh *m = arg;

    if (r->code == 0)
        m->env->fs->ops->open(m->env->fs, "/data/log", FS_APPEND, on_log_open, m);
}

static void on_log_read(void *arg, const struct fs_result *r)
{
    struct mesh *m = arg;
    uint64_t records = r->len / sizeof(uint64_t), good = 0;

    if (r->code != 0 && r->code != ERR_NOT_FOUND)
        return; /* an unreadable disk: the node does without it until it is restarted */
    for (; good < records; good++) {
        uint64_t record;

        memcpy(&record, r->data + good * sizeof(record), sizeof(record));
        if (record != good)
            break;
    }
    if (good < m->promise->logged) {
        sim_fail(m->promise->sim, "%" PRIu64 " records were promised, %" PRIu64 " are left",
                 m->promise->logged, good);
        return;
    }
    m->logged = good;
    m->env->fs->ops->write_all(m->env->fs, "/data/log", r->data, good * sizeof(uint64_t),
                               on_log_rewritten, m);
}

static void on_number_read(void *arg, const struct fs_result *r)
{
    struct mesh *m = arg;
    char text[32] = "";

    if (r->code != 0 && r->code != ERR_NOT_FOUND)
        return;
    if (r->code == 0)
        memcpy(text, r->data, MIN(r->len, sizeof(text) - 1));
    m->number = strtoull(text, NULL, 10);
    if (m->number < m->promise->number || m->number > m->promise->number_tried) {
        sim_fail(m->promise->sim,
                 "number %" PRIu64 " after the restart, %" PRIu64 " was promised, %" PRIu64
                 " tried",
                 m->number, m->promise->number, m->promise->number_tried);
        return;
    }
    m->env->fs->ops->read_all(m->env->fs, "/data/log", 1u << 20, on_log_read, m);
}

static void on_root_synced(void *arg, const struct fs_result *r)
{
    struct mesh *m = arg;

    if (r->code == 0)
        m->env->fs->ops->read_all(m->env->fs, "/data/number", 100, on_number_read, m);
}

static void on_folder_made(void *arg, const struct fs_result *r)
{
    struct mesh *m = arg;

    if (r->code == 0)
        m->env->fs->ops->sync_dir(m->env->fs, "/", on_root_synced, m);
}

/* ---- the lock ---- */

static void step_down(struct mesh *m)
{
    m->leads = false;
    m->trying = false;
}

static void on_epoch_taken(void *arg, const struct coord_result *r)
{
    struct mesh *m = arg;

    m->trying = false;
    if (r->code != 0 || !m->connected)
        return;
    if (m->epoch + 1 <= *m->promise->epoch_taken) {
        sim_fail(m->promise->sim, "epoch %" PRIu64 " was taken twice", m->epoch + 1);
        return;
    }
    *m->promise->epoch_taken = ++m->epoch;
    m->leads = true;
    ENV_PROBE(m->env, "mesh: a leader begins its epoch");
    env_log(m->env, LOG_INFO, "mesh", NULL, "leads in epoch %" PRIu64, m->epoch);
}

static void on_epoch_read(void *arg, const struct coord_result *r)
{
    struct mesh *m = arg;
    char text[32] = "";
    struct coord_op op = {.type = COORD_SET, .path = EPOCH, .data = text};

    if (r->code == ERR_NOT_FOUND)
        op.type = COORD_CREATE;
    else if (r->code != 0) {
        m->trying = false;
        return;
    }
    memcpy(text, r->data == NULL ? (const uint8_t *)"" : r->data, MIN(r->len, sizeof(text) - 1));
    m->epoch = strtoull(text, NULL, 10);
    op.version = r->version;
    snprintf(text, sizeof(text), "%" PRIu64, m->epoch + 1);
    op.len = strlen(text);
    m->env->coord->ops->multi(m->env->coord, &op, 1, on_epoch_taken, m);
}

static void on_latch_read(void *arg, const struct coord_result *r)
{
    struct mesh *m = arg;

    if (r->code == 0 && r->len == strlen(m->token) && memcmp(r->data, m->token, r->len) == 0) {
        ENV_PROBE(m->env, "mesh: the lock was one's own already");
        m->env->coord->ops->get(m->env->coord, EPOCH, NULL, on_epoch_read, m);
    } else {
        m->trying = false;
    }
}

static void on_latch(void *arg, const struct coord_result *r)
{
    struct mesh *m = arg;

    if (r->code == 0)
        m->env->coord->ops->get(m->env->coord, EPOCH, NULL, on_epoch_read, m);
    else if (r->code == ERR_EXISTS)
        m->env->coord->ops->get(m->env->coord, LEADER, NULL, on_latch_read, m);
    else
        m->trying = false;
}

static void compete(struct mesh *m)
{
    struct coord_op op = {.type = COORD_CREATE_EPHEMERAL,
                          .path = LEADER,
                          .data = m->token,
                          .len = strlen(m->token),
                          .version = -1};

    if (m->leads || m->trying || !m->connected)
        return;
    m->trying = true;
    m->env->coord->ops->multi(m->env->coord, &op, 1, on_latch, m);
}

static void on_session(void *arg, enum coord_session state)
{
    struct mesh *m = arg;

    m->connected = state == COORD_CONNECTED;
    if (!m->connected)
        step_down(m);
}

/* ---- the node ---- */

static void on_tick(struct env_timer *timer)
{
    struct mesh *m = CONTAINER_OF(timer, struct mesh, tick);

    env_timer_arm_ms(m->env, timer, TICK_MS);
    talk(m);
    write_number(m);
    append_log(m);
    compete(m);
}

static void *mesh_boot(struct env *env, struct sim_node *node, void *arg)
{
    struct mesh *m = MEM_NEW(struct mesh);
    char address[32];
    struct err err;

    m->env = env;
    m->promise = arg;
    m->tick.cb = on_tick;
    list_init(&m->incoming);
    snprintf(m->token, sizeof(m->token), "%016" PRIx64, env_rand_u64(env));
    snprintf(address, sizeof(address), "%s:7000", sim_name(node));
    if (env->net->ops->listen(env->net, address, on_accept, m, &m->listener, &err) != 0)
        sim_fail(m->promise->sim, "%s", err.text);
    env->coord->ops->on_session(env->coord, on_session, m);
    env->fs->ops->mkdirs(env->fs, "/data", on_folder_made, m);
    env_timer_arm_ms(env, &m->tick, TICK_MS);
    return m;
}

static void mesh_free(void *core)
{
    struct mesh *m = core;

    env_timer_cancel(m->env, &m->tick);
    m->env->fs->ops->forget(m->env->fs, m);
    m->env->coord->ops->forget(m->env->coord, m);
    if (m->log != NULL)
        m->env->fs->ops->close(m->env->fs, m->log);
    while (!list_empty(&m->incoming)) {
        struct incoming *in = LIST_ENTRY(m->incoming.next, struct incoming, node);

        m->env->net->ops->close(in->conn);
        incoming_free(in);
    }
    if (m->out != NULL)
        m->env->net->ops->close(m->out);
    m->env->net->ops->listener_close(m->listener);
    mem_free(m);
}

static const struct sim_node_kind mesh_kind = {"mesh", mesh_boot, mesh_free};

/* ---- the scenario ---- */

struct cluster {
    struct sim *sim;
    struct sim_node *nodes[NODES_MAX];
    struct promise promises[NODES_MAX];
    uint32_t count;
    uint64_t epoch_taken, fault_mean_ms;
    bool healed;
};

static void boot_if_down(struct sim *sim, void *arg)
{
    (void)sim;
    if (!sim_alive(arg))
        sim_boot(arg);
}

static void heal_later(struct sim *sim, void *arg)
{
    (void)arg;
    sim_heal(sim);
}

static void fault(struct sim *sim, void *arg)
{
    struct cluster *c = arg;
    struct sim_node *a = c->nodes[sim_range(sim, 0, c->count - 1)],
                    *b = c->nodes[sim_range(sim, 0, c->count - 1)];
    uint64_t ms = sim_range(sim, 1, 20000);

    if (c->healed)
        return;
    sim_at(sim, sim_range(sim, 1, 2 * c->fault_mean_ms) * SIM_MS, fault, c);
    switch (sim_range(sim, 0, 13)) {
    case 0:
        sim_crash(a);
        sim_at(sim, ms * SIM_MS, boot_if_down, a);
        break;
    case 1:
        sim_kill(a);
        sim_at(sim, ms * SIM_MS, boot_if_down, a);
        break;
    case 2:
        sim_stop(a);
        sim_at(sim, ms * SIM_MS, boot_if_down, a);
        break;
    case 3:
        sim_partition(a, b, true);
        break;
    case 4:
        sim_isolate(a, true);
        break;
    case 5:
        sim_partition(a, SIM_COORD, true);
        break;
    case 6:
        sim_pause(a, ms * SIM_MS);
        break;
    case 7:
        sim_slow(a, (uint32_t)sim_range(sim, 2, 50));
        break;
    case 8:
        sim_break_connections(a, b == a ? NULL : b);
        break;
    case 9:
        sim_corrupt_next(a);
        break;
    case 10:
        sim_coord_expire(a);
        break;
    case 11:
        sim_disk_errors(a, 100000);
        break;
    case 12:
        sim_coord_outage(sim, true);
        break;
    case 13:
        sim_clog(a, b, ms * SIM_MS);
        break;
    }
    sim_at(sim, ms * SIM_MS, heal_later, c);
}

static void explain(struct cluster *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        struct mesh *m = sim_core(c->nodes[i]);

        if (m != NULL)
            sim_trace(c->sim,
                      "%s: out %d received %" PRIu64
                      " incoming %d disk %d connected %d trying %d leads %d",
                      sim_name(c->nodes[i]), m->out_open, m->received, !list_empty(&m->incoming),
                      m->disk_ready, m->connected, m->trying, m->leads);
    }
}

static bool is_well(void *arg)
{
    struct cluster *c = arg;
    uint32_t leaders = 0;

    for (uint32_t i = 0; i < c->count; i++) {
        struct mesh *m = sim_core(c->nodes[i]);

        if (m == NULL || !m->out_open || m->received < 10 || list_empty(&m->incoming) ||
            !m->disk_ready)
            return false;
        leaders += m->leads;
    }
    return leaders == 1;
}

/* Nodes that gave up their disk or their session need a restart, as an operator would do it. */
static void restart_the_sick(struct cluster *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        struct mesh *m = sim_core(c->nodes[i]);

        if (m != NULL && (!m->disk_ready || !m->connected))
            sim_stop(c->nodes[i]);
        boot_if_down(c->sim, c->nodes[i]);
    }
}

void scenario_mesh(struct sim *sim)
{
    struct cluster *c = MEM_NEW(struct cluster);
    char name[16];

    c->sim = sim;
    c->count = (uint32_t)sim_range(sim, 2, NODES_MAX);
    c->fault_mean_ms = sim_range(sim, 200, 5000);
    sim_set_delay(sim, sim_range(sim, 50, 20000) * SIM_US);
    for (uint32_t i = 0; i < c->count; i++) {
        c->promises[i] = (struct promise){
            .sim = sim, .index = i, .count = c->count, .epoch_taken = &c->epoch_taken};
        snprintf(name, sizeof(name), "n%u", i);
        c->nodes[i] = sim_node_add(sim, name, &mesh_kind, &c->promises[i]);
        sim_boot(c->nodes[i]);
    }
    sim_at(sim, SIM_S, fault, c);
    sim_run_for(sim, 60 * (uint64_t)SIM_S);
    c->healed = true;
    sim_heal(sim);
    sim_run_for(sim, 25 * (uint64_t)SIM_S); /* pauses end, sessions reconnect */
    if (!sim_failed(sim)) {
        restart_the_sick(c);
        if (!sim_run_until(sim, is_well, c, 120 * (uint64_t)SIM_S)) {
            explain(c);
            sim_fail(sim, "the mesh is not well two minutes after the last fault");
        }
    }
    LIST_FOREACH (node, &sim->nodes)
        sim_stop(LIST_ENTRY(node, struct sim_node, node));
    mem_free(c);
}
