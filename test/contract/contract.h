/*
 * contract.h - what env.h, net.h, fs.h and coord.h promise, as tests that run over any implementation.
 *
 * A world gives two nodes and a way to let time pass.  world_real_new builds it on libevent (both
 * nodes are one loop), world_sim_new on the simulator: the fake is held to the same promises.
 */
#ifndef CONTRACT_CONTRACT_H
#define CONTRACT_CONTRACT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/coord/coord.h"
#include "common/env/env.h"
#include "common/fs/fs.h"
#include "common/net/net.h"

struct world {
    struct env *server, *client; /* maybe the same */
    const char *address;         /* to listen on: one that the implementation resolves to something free */
    const char *folder;          /* empty at the start, for fs */
    struct coord *coord;         /* of the server */
    void *impl;
    /* Called for every connection of the net tests right after it was made; NULL: they stay in clear. */
    void (*secure)(struct net *net, struct net_conn *conn, bool accepting);
    /* Lets events happen until done(arg); false when that does not come within 10 seconds. */
    bool (*until)(struct world *w, bool (*done)(void *arg), void *arg);
    void (*end)(struct world *w);
};

int world_real_new(void **state); /* cmocka setup functions */
int world_sim_new(void **state);
int world_teardown(void **state);

bool world_until_true(struct world *w, const bool *flag);
bool world_until_count(struct world *w, const int *count, int at_least);
/* Long enough for what is already under way to happen. */
void world_settle(struct world *w);

/* Tables of tests, run with cmocka_run_group_tests over either world. */
typedef void contract_test(void **state);
struct contract {
    const char *name;
    contract_test *test;
};
extern const struct contract contract_env[], contract_net[], contract_fs[], contract_coord[];
/* Runs a table (ended by a NULL name) over a world; returns the number of failures. */
int contract_run(const char *group, const struct contract *table, int (*setup)(void **state));

#endif
