/*
 * sim_env.c - nodes: their env (clock, timers, posts, work, log), their birth and their deaths.
 *
 * A node that is killed or loses its power is muted first: from then on nothing that it asks for happens.  Then its
 * core is freed by its ordinary destructor, which also shows what it would leave behind.
 */
#include <stdio.h>
#include <string.h>

#include "test/sim/sim_private.h"

#define WALL_START_MS      1700000000000
#define DRIFT_PPM_MAX      10000
#define SKEW_MAX_NS        (1000000u * (uint64_t)SIM_S)
#define WALL_SKEW_MAX_MS   200
#define WORK_MEAN_NS       (2 * SIM_MS)
#define POST_MAX_NS        (20 * SIM_US)
#define TIMER_LATE_MEAN_NS (20 * SIM_US)

struct sim_timer {
    struct sim_event event;
    struct list node;
    struct sim_env *env;
    struct env_timer *timer;
};

struct sim_work {
    struct sim_event event;
    struct list node;
    struct env_work *work;
};

struct sim_env *sim_env_of(struct env *env)
{
    return MAGIC_CAST(env, struct sim_env, SIM_MAGIC_ENV);
}

struct sim_node *sim_node_of(struct env *env)
{
    return sim_env_of(env)->node;
}

struct sim *sim_of(struct env *env)
{
    return sim_env_of(env)->sim;
}

/* ---- the clock ---- */

static uint64_t local_ns(const struct sim_node *node, uint64_t ns)
{
    __int128 drift = (__int128)ns * node->drift_ppm / 1000000;

    return node->clock_skew_ns + ns + (uint64_t)drift;
}

static uint64_t env_sim_now_ns(struct env *env)
{
    struct sim_env *e = sim_env_of(env);

    return local_ns(e->node, e->sim->now_ns);
}

static int64_t env_sim_wall_ms(struct env *env)
{
    struct sim_env *e = sim_env_of(env);

    return WALL_START_MS + e->node->wall_skew_ms + (int64_t)(e->sim->now_ns / SIM_MS);
}

static uint64_t env_sim_rand_u64(struct env *env)
{
    return sim_draw(&sim_env_of(env)->node->streams, STREAM_NODE);
}

/* ---- timers ---- */

static void forget_timer(struct sim_timer *t)
{
    t->timer->armed = false;
    t->timer->impl = NULL;
    list_remove(&t->node);
    mem_free(t);
}

static void fire_timer(struct sim_event *event)
{
    struct sim_timer *t = CONTAINER_OF(event, struct sim_timer, event);
    struct env_timer *timer = t->timer;

    forget_timer(t);
    timer->cb(timer);
}

static void env_sim_timer_cancel(struct env *env, struct env_timer *timer)
{
    struct sim_timer *t = timer->impl;

    if (t == NULL)
        return;
    CHECK(t->timer == timer && t->env == sim_env_of(env));
    sim_event_cancel(t->env->sim, &t->event);
    forget_timer(t);
}

/* When the node's own clock will have advanced by delay. */
static uint64_t due_at(struct sim_node *node, uint64_t delay_ns)
{
    uint64_t target = local_ns(node, node->sim->now_ns) + delay_ns;
    uint64_t at = node->sim->now_ns + (uint64_t)((unsigned __int128)delay_ns * 1000000 /
                                                 (uint64_t)(1000000 + node->drift_ppm));

    while (local_ns(node, at) < target)
        at++;
    return at;
}

static void env_sim_timer_arm(struct env *env, struct env_timer *timer, uint64_t delay_ns)
{
    struct sim_env *e = sim_env_of(env);
    struct sim_timer *t = timer->impl;
    uint64_t late;

    CHECK(timer->cb != NULL);
    if (e->muted)
        return;
    if (t == NULL) {
        t = MEM_NEW(struct sim_timer);
        t->event.fire = fire_timer;
        t->event.what = "timer";
        t->event.host = e->node->host;
        t->env = e;
        t->timer = timer;
        timer->impl = t;
        timer->armed = true;
        list_push_back(&e->timers, &t->node);
    }
    CHECK(t->timer == timer && t->env == e);
    late = sim_draw_exponential(&e->node->streams, STREAM_CLOCK, TIMER_LATE_MEAN_NS) *
           e->node->host->slow;
    sim_event_add_at(e->sim, &t->event, due_at(e->node, MIN(delay_ns, UINT64_MAX / 1000)) + late);
}

/* ---- posts ---- */

static void schedule_post(struct sim_env *e)
{
    if (e->posted == NULL || e->post_event.position != 0)
        return;
    sim_event_add(e->sim, &e->post_event,
                  sim_draw_range(&e->node->streams, STREAM_WORK, 0, POST_MAX_NS) *
                      e->node->host->slow);
}

static void fire_post(struct sim_event *event)
{
    struct sim_env *e = CONTAINER_OF(event, struct sim_env, post_event);
    struct env_task *task = e->posted;

    CHECK(task != NULL && task->queued == 1);
    e->posted = task->next;
    if (e->posted == NULL)
        e->posted_tail = &e->posted;
    task->queued = 0;
    schedule_post(e);
    task->cb(task);
}

static void env_sim_post(struct env *env, struct env_task *task)
{
    struct sim_env *e = sim_env_of(env);

    CHECK(task->cb != NULL);
    if (e->muted || task->queued)
        return;
    task->queued = 1;
    task->next = NULL;
    *e->posted_tail = task;
    e->posted_tail = &task->next;
    schedule_post(e);
}

static void env_sim_unpost(struct env *env, struct env_task *task)
{
    struct sim_env *e = sim_env_of(env);
    struct env_task **at = &e->posted;

    if (!task->queued)
        return;
    while (*at != NULL && *at != task)
        at = &(*at)->next;
    CHECK(*at == task);
    *at = task->next;
    if (*at == NULL)
        e->posted_tail = at;
    task->queued = 0;
    if (e->posted == NULL)
        sim_event_cancel(e->sim, &e->post_event);
}

/* ---- work ---- */

uint64_t sim_work_delay(struct sim_host *host, struct sim_streams *s, enum sim_stream stream,
                        uint64_t mean_ns)
{
    return (sim_draw_exponential(s, stream, mean_ns) + 1) * host->slow;
}

static void finish_work(struct sim_work *w)
{
    struct env_work *work = w->work;

    list_remove(&w->node);
    mem_free(w);
    work->run(work);
    work->done(work);
}

static void fire_work(struct sim_event *event)
{
    finish_work(CONTAINER_OF(event, struct sim_work, event));
}

static void env_sim_work(struct env *env, struct env_work *work)
{
    struct sim_env *e = sim_env_of(env);
    struct sim_work *w = MEM_NEW(struct sim_work);

    CHECK(work->run != NULL && work->done != NULL);
    w->event.fire = fire_work;
    w->event.what = "work";
    w->event.host = e->node->host;
    w->work = work;
    list_push_back(&e->works, &w->node);
    if (!e->muted) /* else it ends when the env is freed */
        sim_event_add(e->sim, &w->event,
                      sim_work_delay(e->node->host, &e->node->streams, STREAM_WORK, WORK_MEAN_NS));
}

/* ---- log, buggify ---- */

static void env_sim_log(struct env *env, enum log_level level, const char *module, const char *job,
                        const char *text)
{
    static const char *const levels[] = {"DEBUG", "INFO", "WARN", "ERROR", "OFF"};
    struct sim_env *e = sim_env_of(env);

    if (!e->muted)
        sim_trace(e->sim, "%-8s %-5s %s %.8s%s%s", e->node->name, levels[level], module,
                  job == NULL ? "" : job, job == NULL ? "" : " ", text);
}

static bool env_sim_log_enabled(struct env *env, enum log_level level, const char *module)
{
    (void)env;
    (void)module;
    return level >= LOG_INFO;
}

/* A place is armed in a quarter of all simulations, and then fires a quarter of the times. */
static bool env_sim_buggify(struct env *env, const char *file, int line)
{
    struct sim_env *e = sim_env_of(env);
    char *key = mem_printf("%s:%d", file, line);
    bool *armed = map_get_str(e->sim->buggify, key);

    if (armed == NULL) {
        armed = MEM_NEW(bool);
        *armed = sim_draw_chance(&e->sim->streams, STREAM_BUGGIFY, 1, 4);
        map_put_str(e->sim->buggify, key, armed);
    }
    mem_free(key);
    return *armed && sim_draw_chance(&e->node->streams, STREAM_BUGGIFY, 1, 4);
}

static void env_sim_probe(struct env *env, const char *name)
{
    (void)env;
    sim_probe(name);
}

static void process_line(const struct sim_node *node, char out[ENV_PROCESS_MAX])
{
    snprintf(out, ENV_PROCESS_MAX, "node %s (incarnation %u, boot %u)", node->name, node->incarnation, node->host->boot);
}

static void env_sim_process(struct env *env, char out[ENV_PROCESS_MAX])
{
    process_line(sim_env_of(env)->node, out);
}

/* One can tell of the nodes of one's own host since it has power. */
static bool env_sim_process_is_gone(struct env *env, const char *process)
{
    const struct sim_env *e = sim_env_of(env);
    char line[ENV_PROCESS_MAX];

    LIST_FOREACH (at, &e->sim->nodes) {
        struct sim_node *node = LIST_ENTRY(at, struct sim_node, node);

        if (node->host != e->node->host)
            continue;
        for (struct sim_node past = *node; past.incarnation > 0; past.incarnation--) {
            process_line(&past, line);
            if (strcmp(line, process) == 0)
                return past.incarnation < node->incarnation || node->env == NULL;
        }
    }
    return false;
}

static const struct env_ops sim_env_ops = {
    .now_ns = env_sim_now_ns,
    .wall_ms = env_sim_wall_ms,
    .rand_u64 = env_sim_rand_u64,
    .timer_arm = env_sim_timer_arm,
    .timer_cancel = env_sim_timer_cancel,
    .post = env_sim_post,
    .unpost = env_sim_unpost,
    .work = env_sim_work,
    .log = env_sim_log,
    .log_enabled = env_sim_log_enabled,
    .buggify = env_sim_buggify,
    .probe = env_sim_probe,
    .process = env_sim_process,
    .process_is_gone = env_sim_process_is_gone,
};

struct sim_env *sim_env_new(struct sim_node *node)
{
    struct sim_env *e = MEM_NEW(struct sim_env);

    e->env.ops = &sim_env_ops;
    e->env.node_id = node->id;
    e->magic = SIM_MAGIC_ENV;
    e->sim = node->sim;
    e->node = node;
    e->posted_tail = &e->posted;
    e->post_event = (struct sim_event){.fire = fire_post, .what = "post", .host = node->host};
    list_init(&e->timers);
    list_init(&e->works);
    e->env.net = sim_net_new(e);
    e->env.fs = sim_fs_new(e);
    e->env.coord = sim_coord_new(e);
    return e;
}

static void drop_leftovers(struct sim_env *e)
{
    if (!list_empty(&e->timers))
        sim_fail(e->sim, "%s was freed with a timer armed", e->node->name);
    if (e->posted != NULL)
        sim_fail(e->sim, "%s was freed with a task posted", e->node->name);
    while (!list_empty(&e->timers)) { /* their owners' memory is gone: it is not touched */
        struct sim_timer *t = LIST_ENTRY(list_pop_front(&e->timers), struct sim_timer, node);

        sim_event_cancel(e->sim, &t->event);
        mem_free(t);
    }
    sim_event_cancel(e->sim, &e->post_event);
}

void sim_env_free(struct sim_env *e)
{
    e->muted = true;
    drop_leftovers(e);
    while (!list_empty(&e->works)) {
        struct sim_work *w = LIST_ENTRY(e->works.next, struct sim_work, node);

        sim_event_cancel(e->sim, &w->event);
        finish_work(w);
    }
    drop_leftovers(e);
    sim_net_free(e->env.net);
    sim_fs_free(e->env.fs);
    sim_coord_free(e->env.coord);
    e->magic = 0;
    mem_free(e);
}

/* ---- nodes ---- */

static struct sim_host *host_new(struct sim *sim, const char *name)
{
    struct sim_host *host = MEM_NEW(struct sim_host);

    host->sim = sim;
    host->id = sim->host_count++;
    host->name = mem_strdup(name);
    host->slow = 1;
    host->powered = true;
    host->disk = sim_disk_new(sim);
    host->next_port = 30000;
    list_push_back(&sim->hosts, &host->node);
    return host;
}

struct sim_node *sim_node_add_on(struct sim *sim, const char *name,
                                 const struct sim_node_kind *kind, void *arg,
                                 struct sim_node *host_of)
{
    struct sim_node *node = MEM_NEW(struct sim_node);
    struct sim_streams *s = &node->streams;

    node->sim = sim;
    node->id = ++sim->node_count;
    node->name = mem_strdup(name);
    node->kind = kind;
    node->arg = arg;
    node->host = host_of != NULL ? host_of->host : host_new(sim, name);
    sim_streams_init(s, sim->seed, node->id);
    node->drift_ppm =
        (int64_t)sim_draw_range(s, STREAM_CLOCK, 0, 2 * DRIFT_PPM_MAX) - DRIFT_PPM_MAX;
    node->wall_skew_ms =
        (int64_t)sim_draw_range(s, STREAM_CLOCK, 0, 2 * WALL_SKEW_MAX_MS) - WALL_SKEW_MAX_MS;
    node->clock_skew_ns = sim_draw_range(s, STREAM_CLOCK, SIM_S, SKEW_MAX_NS);
    list_push_back(&sim->nodes, &node->node);
    return node;
}

struct sim_node *sim_node_add(struct sim *sim, const char *name, const struct sim_node_kind *kind,
                              void *arg)
{
    return sim_node_add_on(sim, name, kind, arg, NULL);
}

void sim_boot(struct sim_node *node)
{
    CHECK(node->env == NULL);
    node->incarnation++;
    node->host->powered = true;
    sim_trace(node->sim, "%-8s boots (%u)", node->name, node->incarnation);
    node->env = sim_env_new(node);
    node->core = node->kind->boot(&node->env->env, node, node->arg);
}

static void mute(struct sim_node *node, bool host_is_gone)
{
    struct sim_env *e = node->env;

    if (e == NULL)
        return;
    e->muted = true;
    sim_net_mute(e->env.net, host_is_gone);
    sim_fs_mute(e->env.fs);
    sim_coord_mute(e->env.coord);
}

static void free_core(struct sim_node *node)
{
    void *core = node->core;

    if (node->env == NULL)
        return;
    node->core = NULL;
    if (core != NULL)
        node->kind->free(core);
    sim_env_free(node->env);
    node->env = NULL;
}

void sim_stop(struct sim_node *node)
{
    if (node->env == NULL)
        return;
    sim_trace(node->sim, "%-8s stops", node->name);
    free_core(node);
}

void sim_kill(struct sim_node *node)
{
    if (node->env == NULL)
        return;
    sim_trace(node->sim, "%-8s is killed", node->name);
    mute(node, false);
    free_core(node);
}

void sim_crash(struct sim_node *node)
{
    struct sim *sim = node->sim;
    struct sim_host *host = node->host;

    sim_trace(sim, "%-8s loses its power", host->name);
    host->powered = false;
    host->boot++;
    host->paused_until_ns = 0;
    LIST_FOREACH (n, &sim->nodes)
        if (LIST_ENTRY(n, struct sim_node, node)->host == host)
            mute(LIST_ENTRY(n, struct sim_node, node), true);
    LIST_FOREACH (n, &sim->nodes)
        if (LIST_ENTRY(n, struct sim_node, node)->host == host)
            free_core(LIST_ENTRY(n, struct sim_node, node));
    sim_disk_power_cut(host->disk, &node->streams, host);
    sim_disk_power_cut(sim->shared_disk, &node->streams, host);
}

void *sim_core(struct sim_node *node)
{
    return node->core;
}

struct env *sim_env(struct sim_node *node)
{
    return node->env == NULL ? NULL : &node->env->env;
}

const char *sim_name(const struct sim_node *node)
{
    return node->name;
}

bool sim_alive(const struct sim_node *node)
{
    return node->env != NULL;
}

/* ---- faults of hosts and links ---- */

void sim_pause(struct sim_node *node, uint64_t ns)
{
    sim_trace(node->sim, "%-8s pauses", node->host->name);
    node->host->paused_until_ns = MAX(node->host->paused_until_ns, node->sim->now_ns + ns);
    sim_coord_links_changed(node->sim);
}

bool sim_paused(const struct sim_node *node)
{
    return node->host->paused_until_ns > node->sim->now_ns;
}

bool sim_paused_since(const struct sim_node *node, uint64_t ns)
{
    return node->host->paused_until_ns > ns;
}

bool sim_reachable(const struct sim_node *a, const struct sim_node *b)
{
    return sim_alive(a) && sim_alive(b) && !sim_paused(a) && !sim_paused(b) && !sim_is_cut(a->sim, a->host, b->host);
}

void sim_slow(struct sim_node *node, uint32_t factor)
{
    CHECK(factor >= 1);
    node->host->slow = factor;
}

void sim_wall_jump(struct sim_node *node, int64_t ms)
{
    node->wall_skew_ms += ms;
}

static struct sim *sim_of_two(struct sim_node *a, struct sim_node *b)
{
    CHECK(a != NULL || b != NULL);
    return a != NULL ? a->sim : b->sim;
}

static struct sim_host *host_of(struct sim *sim, struct sim_node *node)
{
    return node == SIM_COORD ? sim->coord_host : node->host;
}

static void links_changed(struct sim *sim)
{
    sim_net_links_changed(sim);
    sim_coord_links_changed(sim);
}

void sim_partition(struct sim_node *from, struct sim_node *to, bool on)
{
    struct sim *sim = sim_of_two(from, to);
    struct sim_host *a = host_of(sim, from), *b = host_of(sim, to);

    if (a == b) /* loopback does not break */
        return;
    sim_trace(sim, "%s -> %s %s", a->name, b->name, on ? "is cut" : "heals");
    sim_link(sim, a, b)->cut = on;
    links_changed(sim);
}

void sim_isolate(struct sim_node *node, bool on)
{
    struct sim *sim = node->sim;

    sim_trace(sim, "%s %s", node->host->name, on ? "is isolated" : "is back");
    LIST_FOREACH (n, &sim->hosts) {
        struct sim_host *other = LIST_ENTRY(n, struct sim_host, node);

        if (other == node->host)
            continue;
        sim_link(sim, node->host, other)->cut = on;
        sim_link(sim, other, node->host)->cut = on;
    }
    links_changed(sim);
}

void sim_clog(struct sim_node *from, struct sim_node *to, uint64_t ns)
{
    struct sim *sim = sim_of_two(from, to);

    sim_link(sim, host_of(sim, from), host_of(sim, to))->clogged_until_ns = sim->now_ns + ns;
    sim_net_links_changed(sim);
}

void sim_heal(struct sim *sim)
{
    sim_trace(sim, "everything heals");
    for (struct map_iter it = map_iter(sim->links); map_next(&it);)
        *(struct sim_link *)it.value = (struct sim_link){0};
    LIST_FOREACH (n, &sim->hosts) {
        struct sim_host *host = LIST_ENTRY(n, struct sim_host, node);

        host->slow = 1;
        if (host->disk != NULL)
            sim_disk_reset_faults(host->disk);
    }
    sim_coord_outage(sim, false);
    links_changed(sim);
}

void sim_set_delay(struct sim *sim, uint64_t mean_ns)
{
    sim->delay_mean_ns = mean_ns;
}
