/*
 * world_real.c - a world of one libevent loop, real sockets and a temporary folder.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "test/contract/contract.h"

#define POLL_NS     200000u
#define PATIENCE_NS 10000000000u

struct waiting {
    struct env_timer timer;
    struct world *w;
    bool (*done)(void *arg);
    void *arg;
    uint64_t until_ns;
    bool result;
};

static void look(struct env_timer *timer)
{
    struct waiting *x = CONTAINER_OF(timer, struct waiting, timer);

    x->result = x->done(x->arg);
    if (x->result || env_now_ns(x->w->server) > x->until_ns)
        env_libevent_stop(x->w->server);
    else
        env_timer_arm(x->w->server, timer, POLL_NS);
}

static bool real_until(struct world *w, bool (*done)(void *arg), void *arg)
{
    struct waiting x = {.timer = {.cb = look}, .w = w, .done = done, .arg = arg};

    x.until_ns = env_now_ns(w->server) + PATIENCE_NS;
    env_timer_arm(w->server, &x.timer, 0);
    CHECK(env_libevent_run(w->server) == 0);
    return x.result;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void real_end(struct world *w)
{
    coord_none_free(w->coord);
    env_libevent_free(w->server);
    nftw(w->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    mem_free((void *)w->folder);
}

int world_real_new(void **state)
{
    struct world *w = MEM_NEW(struct world);
    char *folder = mem_strdup("/tmp/rask-contract-XXXXXX");

    w->server = w->client = env_libevent_new(NULL);
    w->address = "127.0.0.1:0";
    CHECK(mkdtemp(folder) != NULL);
    w->folder = folder;
    w->coord = coord_none_new(w->server);
    w->until = real_until;
    w->end = real_end;
    *state = w;
    return 0;
}
