/* test_sim.c - the simulator's own promises: replay, power cuts, partitions, sessions, leaks found. */
#include "test/contract/contract.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "test/sim/scenario.h"

static void *boot_nothing(struct env *env, struct sim_node *node, void *arg)
{
    (void)env;
    (void)node;
    (void)arg;
    return NULL;
}

static void free_nothing(void *core)
{
    (void)core;
}

static const struct sim_node_kind empty = {"empty", boot_nothing, free_nothing};

static struct sim_node *add(struct sim *sim, const char *name)
{
    struct sim_node *node = sim_node_add(sim, name, &empty, NULL);

    sim_boot(node);
    return node;
}

static void a_seed_replays(void **state)
{
    uint64_t first = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        uint64_t hash[2];

        for (int run = 0; run < 2; run++) {
            struct sim *sim = sim_new(seed);

            scenario_mesh(sim);
            hash[run] = sim_hash(sim);
            assert_true(sim_free(sim));
        }
        assert_int_equal(hash[0], hash[1]);
        assert_int_not_equal(hash[0], first);
        first = hash[0];
    }
    assert_true(sim_probe_count("coord: a session expired") > 0);
}

/* ---- disks ---- */

struct disk_call {
    bool done;
    int code;
    struct fs_file *file;
    char text[100];
    size_t len;
};

static void on_disk(void *arg, const struct fs_result *r)
{
    struct disk_call *c = arg;

    c->done = true;
    c->code = r->code;
    if (r->file != NULL)
        c->file = r->file;
    c->len = r->len;
    snprintf(c->text, sizeof(c->text), "%.*s", (int)r->len,
             r->data == NULL ? "" : (const char *)r->data);
}

static bool disk_done(void *arg)
{
    return ((struct disk_call *)arg)->done;
}

#define DISK(sim, node, c, op, ...)                                                             \
    ((c)->done = false, sim_env(node)->fs->ops->op(sim_env(node)->fs, __VA_ARGS__, on_disk, c), \
     assert_true(sim_run_until(sim, disk_done, c, SIM_S)), (c)->code)

/* Over many seeds: what a power cut leaves of a file that was synced after 4 bytes, and of one without a name. */
static void power_cut_keeps_what_was_synced(void **state)
{
    uint32_t whole = 0, torn = 0, kept_name = 0, lost_name = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct sim *sim = sim_new(seed);
        struct sim_node *n = add(sim, "n");
        struct disk_call c = {0};
        size_t len;
        uint8_t *durable;

        assert_int_equal(DISK(sim, n, &c, open, "/log", FS_CREATE), 0);
        assert_int_equal(DISK(sim, n, &c, append, c.file, "safe", 4), 0);
        assert_int_equal(DISK(sim, n, &c, sync, c.file), 0);
        assert_int_equal(DISK(sim, n, &c, sync_dir, "/"), 0);
        assert_int_equal(DISK(sim, n, &c, append, c.file, "perhaps", 7), 0);
        durable = sim_disk_durable(n, "/log", &len);
        assert_int_equal(len, 4);
        mem_free(durable);
        assert_int_equal(DISK(sim, n, &c, open, "/unnamed", FS_CREATE), 0);
        assert_int_equal(DISK(sim, n, &c, write_all, SIM_SHARED, "x", 1), 0);
        sim_crash(n);
        sim_boot(n);
        assert_int_equal(DISK(sim, n, &c, read_all, "/log", 100), 0);
        assert_true(c.len >= 4 && c.len <= 11);
        assert_memory_equal(c.text, "safe", 4);
        *(c.len == 11 ? &whole : &torn) += 1;
        *(DISK(sim, n, &c, read_all, "/unnamed", 100) == 0 ? &kept_name : &lost_name) += 1;
        assert_int_equal(DISK(sim, n, &c, read_all, SIM_SHARED, 100), 0);
        assert_true(sim_free(sim));
    }
    assert_true(whole > 0 && torn > 0 && kept_name > 0 && lost_name > 0);
}

static void a_kill_keeps_the_disk(void **state)
{
    struct sim *sim = sim_new(1);
    struct sim_node *n = add(sim, "n");
    struct disk_call c = {0};

    (void)state;
    assert_int_equal(DISK(sim, n, &c, open, "/log", FS_CREATE), 0);
    assert_int_equal(DISK(sim, n, &c, append, c.file, "written", 7), 0);
    sim_kill(n);
    sim_boot(n);
    assert_int_equal(DISK(sim, n, &c, read_all, "/log", 100), 0);
    assert_string_equal(c.text, "written");
    assert_true(sim_free(sim));
}

static void disks_fill_up_and_fail(void **state)
{
    struct sim *sim = sim_new(1);
    struct sim_node *n = add(sim, "n");
    struct disk_call c = {0};

    (void)state;
    sim_disk_capacity(n, 10);
    assert_int_equal(DISK(sim, n, &c, write_all, "/a", "12345678", 8), 0);
    assert_int_equal(DISK(sim, n, &c, write_all, "/b", "12345678", 8), ERR_NO_SPACE);
    assert_int_equal(DISK(sim, n, &c, unlink, "/a"), 0);
    assert_int_equal(DISK(sim, n, &c, write_all, "/b", "12345678", 8), 0);
    sim_disk_errors(n, 1000000);
    assert_int_equal(DISK(sim, n, &c, read_all, "/b", 100), ERR_IO);
    sim_heal(sim);
    assert_int_equal(DISK(sim, n, &c, read_all, "/b", 100), 0);
    assert_true(sim_free(sim));
}

/* ---- connections ---- */

struct end {
    struct net *net;
    struct net_conn *conn;
    int opened, frames, closed;
    struct err why;
};

static void on_open(void *arg, struct net_conn *conn)
{
    (void)conn;
    ((struct end *)arg)->opened++;
}

static void on_frame(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    (void)conn;
    (void)frame;
    ((struct end *)arg)->frames++;
}

static void on_close(void *arg, struct net_conn *conn, const struct err *why)
{
    struct end *e = arg;

    (void)conn;
    e->closed++;
    e->why = *why;
    e->conn = NULL;
}

static const struct net_handler handler = {
    .on_open = on_open, .on_frame = on_frame, .on_close = on_close};

static void on_accept(void *arg, struct net_conn *conn)
{
    struct end *e = arg;

    e->conn = conn;
    e->net->ops->set_handler(conn, &handler, e);
}

struct wire {
    struct sim *sim;
    struct sim_node *a, *b;
    struct end server, client; /* on a, on b */
    struct net_listener *listener;
};

static bool wire_open(void *arg)
{
    struct wire *w = arg;

    return w->client.opened == 1 && w->server.conn != NULL;
}

static bool client_closed(void *arg)
{
    return ((struct wire *)arg)->client.closed == 1;
}

static bool server_closed(void *arg)
{
    return ((struct wire *)arg)->server.closed == 1;
}

static void wire_begin(struct wire *w, uint64_t seed)
{
    struct err err;

    memset(w, 0, sizeof(*w));
    w->sim = sim_new(seed);
    w->a = add(w->sim, "a");
    w->b = add(w->sim, "b");
    w->server.net = sim_env(w->a)->net;
    w->client.net = sim_env(w->b)->net;
    assert_int_equal(
        w->server.net->ops->listen(w->server.net, "a:1", on_accept, &w->server, &w->listener, &err),
        0);
    w->client.conn = w->client.net->ops->connect(w->client.net, "a:1", &handler, &w->client);
    assert_true(sim_run_until(w->sim, wire_open, w, SIM_S));
}

static void wire_end(struct wire *w)
{
    if (w->client.conn != NULL && sim_alive(w->b))
        w->client.net->ops->close(w->client.conn);
    if (w->server.conn != NULL && sim_alive(w->a))
        w->server.net->ops->close(w->server.conn);
    if (sim_alive(w->a))
        w->server.net->ops->listener_close(w->listener);
    assert_true(sim_free(w->sim));
}

static void send_some(struct end *e, int count)
{
    for (int i = 0; i < count; i++)
        net_send(e->net, e->conn,
                 &(struct net_frame){
                     .kind = NET_DATA, .payload = (const uint8_t *)"12345", .length = 5});
}

static void partition_delays_then_breaks(void **state)
{
    struct wire w;

    (void)state;
    wire_begin(&w, 7);
    sim_partition(w.b, w.a, true);
    send_some(&w.client, 3);
    assert_true(sim_run_for(w.sim, 2 * (uint64_t)SIM_S));
    assert_int_equal(w.server.frames, 0);
    sim_partition(w.b, w.a, false);
    assert_true(sim_run_for(w.sim, 5 * (uint64_t)SIM_S));
    assert_int_equal(w.server.frames, 3); /* nothing lost inside a living connection */
    sim_isolate(w.a, true);
    send_some(&w.client, 3);
    assert_true(sim_run_until(w.sim, client_closed, &w, 100 * (uint64_t)SIM_S));
    assert_true(sim_run_until(w.sim, server_closed, &w, 100 * (uint64_t)SIM_S));
    assert_int_equal(w.server.frames, 3);
    wire_end(&w);
}

static void a_break_loses_a_suffix(void **state)
{
    bool some = false, all = false;

    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct wire w;

        wire_begin(&w, seed);
        send_some(&w.client, 5);
        sim_run_for(w.sim, 1);
        sim_break_connections(w.a, w.b);
        send_some(&w.client, 5); /* into nothing */
        assert_true(sim_run_until(w.sim, client_closed, &w, SIM_S));
        assert_true(sim_run_until(w.sim, server_closed, &w, SIM_S));
        assert_true(w.server.frames <= 5);
        some = some || (w.server.frames > 0 && w.server.frames < 5);
        all = all || w.server.frames == 5;
        wire_end(&w);
    }
    assert_true(some && all);
}

static bool accepted_only(void *arg)
{
    struct wire *w = arg;

    return w->server.conn != NULL && w->client.opened == 0;
}

/* Accepted there, not yet open here: the break has to be heard on both sides all the same. */
static void a_break_while_opening_is_told(void **state)
{
    struct wire w = {.sim = sim_new(1)};
    struct err err;

    (void)state;
    w.a = add(w.sim, "a");
    w.b = add(w.sim, "b");
    w.server.net = sim_env(w.a)->net;
    w.client.net = sim_env(w.b)->net;
    assert_int_equal(
        w.server.net->ops->listen(w.server.net, "a:1", on_accept, &w.server, &w.listener, &err), 0);
    w.client.conn = w.client.net->ops->connect(w.client.net, "a:1", &handler, &w.client);
    assert_true(sim_run_until(w.sim, accepted_only, &w, SIM_S));
    sim_break_connections(w.a, NULL);
    assert_true(sim_run_until(w.sim, client_closed, &w, SIM_S));
    assert_true(sim_run_until(w.sim, server_closed, &w, SIM_S));
    wire_end(&w);
}

static void corruption_is_noticed(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct wire w;

        wire_begin(&w, seed);
        sim_corrupt_next(w.b);
        send_some(&w.client, 2);
        assert_true(sim_run_until(w.sim, server_closed, &w, SIM_S));
        assert_true(w.server.why.code == ERR_CORRUPT || w.server.why.code == ERR_PROTOCOL);
        assert_int_equal(w.server.frames, 0);
        assert_true(sim_run_until(w.sim, client_closed, &w, SIM_S));
        wire_end(&w);
    }
}

static void a_paused_end_learns_by_sending(void **state)
{
    struct wire w;

    (void)state;
    wire_begin(&w, 3);
    w.client.net->ops->pause_reading(w.client.conn, true);
    w.server.net->ops->close(w.server.conn);
    w.server.conn = NULL;
    assert_true(sim_run_for(w.sim, SIM_S));
    assert_int_equal(w.client.closed, 0);
    send_some(&w.client, 1);
    assert_int_equal(w.client.closed, 0);
    assert_true(sim_run_until(w.sim, client_closed, &w, SIM_S));
    wire_end(&w);
}

static void nobody_answers_for_a_dead_host(void **state)
{
    struct wire w;
    struct end late = {0};

    (void)state;
    wire_begin(&w, 5);
    w.server.net->ops->close(w.server.conn);
    w.server.net->ops->listener_close(w.listener);
    assert_true(sim_run_until(w.sim, client_closed, &w, SIM_S));
    sim_crash(w.a);
    late.net = w.client.net;
    late.conn = late.net->ops->connect(late.net, "a:1", &handler, &late);
    assert_true(sim_run_for(w.sim, 20 * (uint64_t)SIM_S));
    assert_int_equal(late.closed, 1);
    assert_non_null(strstr(late.why.text, "no answer"));
    late.conn = late.net->ops->connect(late.net, "nowhere:1", &handler, &late);
    assert_true(sim_run_for(w.sim, SIM_S));
    assert_int_equal(late.closed, 2);
    assert_non_null(strstr(late.why.text, "cannot resolve"));
    wire_end(&w);
}

/* ---- passing a connection on ---- */

struct passing {
    struct end first, second;
    struct sim_node *worker;
};

static void on_passed(void *arg, struct net_conn *conn)
{
    struct passing *p = arg;

    p->second.conn = conn;
    p->second.net->ops->set_handler(conn, &handler, &p->second);
}

static void on_preamble(void *arg, struct net_conn *conn, struct net_frame *frame)
{
    struct passing *p = arg;

    (void)frame;
    p->first.frames++;
    sim_net_rehome(conn, sim_env(p->worker), on_passed, p);
}

static void on_accept_to_pass(void *arg, struct net_conn *conn)
{
    static const struct net_handler preamble = {.on_frame = on_preamble};
    struct passing *p = arg;

    p->first.net->ops->set_handler(conn, &preamble, p);
}

static void connections_move_to_another_node(void **state)
{
    struct sim *sim = sim_new(1);
    struct sim_node *tm = add(sim, "tm"), *other = add(sim, "other");
    struct passing p = {.worker = sim_node_add_on(sim, "worker", &empty, NULL, tm)};
    struct end client = {.net = sim_env(other)->net};
    struct net_listener *listener;
    struct err err;

    (void)state;
    sim_boot(p.worker);
    p.first.net = sim_env(tm)->net;
    p.second.net = sim_env(p.worker)->net;
    assert_int_equal(
        p.first.net->ops->listen(p.first.net, "tm:5", on_accept_to_pass, &p, &listener, &err), 0);
    client.conn = client.net->ops->connect(client.net, "tm:5", &handler, &client);
    send_some(&client, 10);
    sim_run_for(sim, SIM_S);
    assert_int_equal(p.first.frames, 1);
    assert_int_equal(p.second.frames, 9);
    p.second.net->ops->close(p.second.conn);
    sim_run_for(sim, SIM_S);
    assert_int_equal(client.closed, 1);
    p.first.net->ops->listener_close(listener);
    assert_true(sim_free(sim));
}

/* ---- coordination ---- */

struct session {
    struct coord *coord;
    int created, states[8], count, watched;
    bool done;
};

static void on_state(void *arg, enum coord_session state)
{
    struct session *s = arg;

    s->states[s->count++ % 8] = state;
}

static void on_created(void *arg, const struct coord_result *r)
{
    struct session *s = arg;

    s->created = r->code;
    s->done = true;
}

static void on_watch(void *arg, const char *path)
{
    (void)path;
    ((struct session *)arg)->watched++;
}

static void create(struct sim *sim, struct session *s)
{
    struct coord_op op = {.type = COORD_CREATE_EPHEMERAL, .path = "/e", .version = -1};

    s->coord->ops->multi(s->coord, &op, 1, on_created, s);
    sim_run_for(sim, SIM_S);
    assert_true(s->done);
    s->done = false;
}

static void sessions_suspend_and_expire(void **state)
{
    struct sim *sim = sim_new(2);
    struct sim_node *a = add(sim, "a"), *b = add(sim, "b");
    struct session x = {.coord = sim_env(a)->coord}, y = {.coord = sim_env(b)->coord};
    size_t len;
    char *text;

    (void)state;
    x.coord->ops->on_session(x.coord, on_state, &x);
    create(sim, &x);
    assert_int_equal(x.created, 0);
    create(sim, &y);
    assert_int_equal(y.created, ERR_EXISTS);
    y.coord->ops->get(y.coord, "/e", on_watch, on_created, &y);
    sim_partition(a, SIM_COORD, true);
    sim_run_for(sim, 8 * (uint64_t)SIM_S);
    assert_int_equal(x.count, 2);
    assert_int_equal(x.states[1], COORD_SUSPENDED);
    create(sim, &x);
    assert_int_equal(x.created, ERR_CLOSED);
    assert_int_equal(y.watched, 0);
    sim_run_for(sim, 5 * (uint64_t)SIM_S);
    assert_int_equal(y.watched, 1); /* the service let it expire; x does not know yet */
    assert_int_equal(x.count, 2);
    sim_heal(sim);
    sim_run_for(sim, 2 * (uint64_t)SIM_S);
    assert_int_equal(x.count, 3);
    assert_int_equal(x.states[2], COORD_EXPIRED);
    create(sim, &x);
    assert_int_equal(x.created, ERR_UNAVAILABLE);
    create(sim, &y);
    assert_int_equal(y.created, 0);
    text = sim_coord_read(sim, "/e", &len);
    assert_non_null(text);
    mem_free(text);
    sim_crash(b);
    sim_run_for(sim, 20 * (uint64_t)SIM_S);
    assert_null(sim_coord_read(sim, "/e", &len));
    x.coord->ops->on_session(x.coord, NULL, NULL);
    assert_true(sim_free(sim));
}

static void sessions_survive_a_short_cut(void **state)
{
    struct sim *sim = sim_new(2);
    struct sim_node *a = add(sim, "a");
    struct session x = {.coord = sim_env(a)->coord};
    size_t len;
    char *text;

    (void)state;
    x.coord->ops->on_session(x.coord, on_state, &x);
    create(sim, &x);
    sim_coord_disconnect(a);
    sim_run_for(sim, 2 * (uint64_t)SIM_S);
    assert_int_equal(x.count, 3);
    assert_int_equal(x.states[1], COORD_SUSPENDED);
    assert_int_equal(x.states[2], COORD_CONNECTED);
    text = sim_coord_read(sim, "/e", &len);
    assert_non_null(text);
    mem_free(text);
    sim_stop(a); /* an orderly end closes the session at once */
    assert_null(sim_coord_read(sim, "/e", &len));
    assert_true(sim_free(sim));
}

/* ---- what a core leaves behind ---- */

struct leaky {
    struct env *env;
    struct env_timer timer;
};

static void never(struct env_timer *timer)
{
    (void)timer;
}

static void *leaky_boot(struct env *env, struct sim_node *node, void *arg)
{
    struct leaky *l = MEM_NEW(struct leaky);

    (void)node;
    (void)arg;
    l->env = env;
    l->timer.cb = never;
    env_timer_arm_ms(env, &l->timer, 1000000);
    return l;
}

static void a_forgotten_timer_is_found(void **state)
{
    static const struct sim_node_kind leaky = {"leaky", leaky_boot, mem_free};
    struct sim *sim = sim_new(1);
    struct sim_node *n = sim_node_add(sim, "n", &leaky, NULL);

    (void)state;
    sim_boot(n);
    sim_stop(n);
    assert_true(sim_failed(sim));
    assert_false(sim_free(sim));
}

static void on_forgotten(void *arg, const struct fs_result *result)
{
    (void)arg;
    (void)result;
}

static void *caller_boot(struct env *env, struct sim_node *node, void *arg)
{
    static int what_waits;

    (void)node;
    (void)arg;
    env->fs->ops->mkdirs(env->fs, "/folder", on_forgotten, &what_waits);
    return MEM_NEW(int);
}

static void a_call_that_nobody_forgot_is_found(void **state)
{
    static const struct sim_node_kind caller = {"caller", caller_boot, mem_free};
    struct sim *sim = sim_new(1);
    struct sim_node *n = sim_node_add(sim, "n", &caller, NULL);

    (void)state;
    sim_boot(n);
    sim_stop(n);
    assert_true(sim_failed(sim));
    assert_false(sim_free(sim));
}

static void clocks_differ_but_advance(void **state)
{
    struct sim *sim = sim_new(9);
    struct sim_node *a = add(sim, "a"), *b = add(sim, "b");
    uint64_t a0 = env_now_ns(sim_env(a)), b0 = env_now_ns(sim_env(b)), da, db;
    int64_t wall;

    (void)state;
    sim_run_for(sim, 1000 * (uint64_t)SIM_S);
    da = env_now_ns(sim_env(a)) - a0;
    db = env_now_ns(sim_env(b)) - b0;
    assert_true(da != db);
    assert_in_range(da, 990 * (uint64_t)SIM_S, 1010 * (uint64_t)SIM_S);
    wall = env_wall_ms(sim_env(a));
    sim_wall_jump(a, -5000);
    assert_int_equal(env_wall_ms(sim_env(a)), wall - 5000);
    assert_true(sim_free(sim));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_replays),
        cmocka_unit_test(power_cut_keeps_what_was_synced),
        cmocka_unit_test(a_kill_keeps_the_disk),
        cmocka_unit_test(disks_fill_up_and_fail),
        cmocka_unit_test(partition_delays_then_breaks),
        cmocka_unit_test(a_break_loses_a_suffix),
        cmocka_unit_test(a_break_while_opening_is_told),
        cmocka_unit_test(corruption_is_noticed),
        cmocka_unit_test(a_paused_end_learns_by_sending),
        cmocka_unit_test(nobody_answers_for_a_dead_host),
        cmocka_unit_test(connections_move_to_another_node),
        cmocka_unit_test(sessions_suspend_and_expire),
        cmocka_unit_test(sessions_survive_a_short_cut),
        cmocka_unit_test(a_forgotten_timer_is_found),
        cmocka_unit_test(a_call_that_nobody_forgot_is_found),
        cmocka_unit_test(clocks_differ_but_advance),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
