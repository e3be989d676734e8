/*
 * world_sim.c - a world of two simulated nodes on one host.
 */
#include "common/base/check.h"
#include "common/base/mem.h"
#include "test/contract/contract.h"
#include "test/sim/sim.h"

#define PATIENCE_NS (10 * (uint64_t)SIM_S)

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

static bool sim_until(struct world *w, bool (*done)(void *arg), void *arg)
{
    return sim_run_until(w->impl, done, arg, PATIENCE_NS);
}

static void on_made(void *arg, const struct fs_result *result)
{
    CHECK(result->code == 0);
    *(bool *)arg = true;
}

static void sim_end(struct world *w)
{
    assert_true(sim_free(w->impl));
}

int world_sim_new(void **state)
{
    static const struct sim_node_kind empty = {"empty", boot_nothing, free_nothing};
    static uint64_t seed;
    struct world *w = MEM_NEW(struct world);
    struct sim *sim = sim_new(++seed);
    struct sim_node *server = sim_node_add(sim, "server", &empty, NULL);
    struct sim_node *client = sim_node_add_on(sim, "client", &empty, NULL, server);
    bool made = false;

    sim_boot(server);
    sim_boot(client);
    w->server = sim_env(server);
    w->client = sim_env(client);
    w->address = "server:0";
    w->folder = "/folder";
    w->coord = w->server->coord;
    w->impl = sim;
    w->until = sim_until;
    w->end = sim_end;
    w->server->fs->ops->mkdirs(w->server->fs, w->folder, on_made, &made);
    CHECK(world_until_true(w, &made));
    *state = w;
    return 0;
}
