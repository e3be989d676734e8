/* node.h - a node of the simulator for tests that have what runs on it in their own hands. */
#ifndef UNIT_CHECKPOINT_NODE_H
#define UNIT_CHECKPOINT_NODE_H

#include "test/sim/sim.h"

static void *node_boot(struct env *env, struct sim_node *node, void *arg)
{
    (void)env;
    (void)node;
    return arg;
}
static void node_shut(void *core)
{
    (void)core;
}
static const struct sim_node_kind node_kind = {"worker", node_boot, node_shut};

#endif
