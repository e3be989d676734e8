/*
 * sim_private.h - the inside of the simulator: the queue, the streams of random numbers, the nodes.
 * Included by test/sim/sim_*.c alone.
 */
#ifndef SIM_SIM_PRIVATE_H
#define SIM_SIM_PRIVATE_H

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/coord/coord.h"
#include "common/fs/fs.h"
#include "common/net/net_private.h"
#include "test/sim/sim.h"

#define SIM_MAGIC_ENV 0x53454e56u

/* A new draw for one purpose does not move the draws for another. */
enum sim_stream {
    STREAM_TIE, /* of the simulation */
    STREAM_SCENARIO,
    STREAM_NODE, /* of nodes: what env_rand_u64 gives */
    STREAM_CLOCK,
    STREAM_NET,
    STREAM_DISK,
    STREAM_COORD,
    STREAM_WORK,
    STREAM_CRASH,
    STREAM_BUGGIFY,
    STREAM_COUNT,
};

/* Embedded in whoever waits. Ties in time are drawn, so that every order is explored. */
struct sim_event {
    uint64_t at_ns, tie, seq;
    size_t position; /* in the heap, from 1; 0: not queued */
    void (*fire)(struct sim_event *event);
    struct sim_host *host; /* a paused one keeps the event waiting; NULL: nobody's */
    const char *what;      /* a literal, for the trace hash */
};

struct sim_streams {
    uint64_t state[STREAM_COUNT];
};

struct sim_disk;
struct sim_net_host;

struct sim_host {
    struct sim *sim;
    struct list node; /* in sim.hosts */
    uint32_t id;
    char *name;
    uint64_t paused_until_ns;
    uint32_t slow; /* factor */
    bool powered;
    uint32_t boot; /* power cuts so far */
    struct sim_disk *disk;
    uint16_t next_port;
};

struct sim_env; /* one incarnation of a node */

struct sim_node {
    struct sim *sim;
    struct list node; /* in sim.nodes */
    uint32_t id;
    char *name;
    struct sim_host *host;
    const struct sim_node_kind *kind;
    void *arg, *core;
    struct sim_env *env; /* NULL while down */
    struct sim_streams streams;
    int64_t drift_ppm, wall_skew_ms;
    uint64_t clock_skew_ns;
    uint32_t incarnation;
    bool corrupt_next;
};

/* Between two hosts, in one direction. */
struct sim_link {
    bool cut;
    uint64_t clogged_until_ns;
};

struct sim {
    uint64_t seed, now_ns, seq, hash, events, same_time;
    struct sim_event **heap; /* from 1 */
    size_t heap_count, heap_cap;
    struct sim_streams streams;
    struct list nodes, hosts;
    uint32_t node_count, host_count;
    struct sim_host *coord_host; /* where the coordination service is: it has links too */
    struct map *links;           /* from id, to id -> sim_link */
    uint64_t delay_mean_ns;
    char *failure;
    void (*check)(struct sim *sim, void *arg);
    void *check_arg;
    struct list later; /* of sim_at */
    char **ring;       /* the last lines of the trace */
    size_t ring_next;
    bool verbose;
    long buffers_before;
    struct list conns, listeners; /* sim_net.c: ends */
    struct sim_disk *shared_disk;
    struct sim_coord *coord;
    struct map *buggify; /* file:line -> armed or not */
    uint32_t buggify_salt;
};

struct sim_env {
    struct env env; /* first */
    uint32_t magic;
    struct sim *sim;
    struct sim_node *node;
    bool muted;          /* the power is off: nothing it asks for happens */
    struct list timers;  /* armed */
    struct list works;   /* under way */
    struct env_task *posted, **posted_tail;
    struct sim_event post_event;
    struct net *net_impl;
    struct fs *fs_impl;
    struct coord *coord_impl;
};

/* ---- sim_kernel.c ---- */
void sim_event_add(struct sim *sim, struct sim_event *event, uint64_t delay_ns); /* moves a queued one */
void sim_event_add_at(struct sim *sim, struct sim_event *event, uint64_t at_ns);
void sim_event_cancel(struct sim *sim, struct sim_event *event);
void sim_mix(struct sim *sim, uint64_t value);
void sim_mix_bytes(struct sim *sim, const void *data, size_t len);
void sim_streams_init(struct sim_streams *s, uint64_t seed, uint64_t salt);
uint64_t sim_draw(struct sim_streams *s, enum sim_stream stream);
uint64_t sim_draw_range(struct sim_streams *s, enum sim_stream stream, uint64_t low, uint64_t high);
bool sim_draw_chance(struct sim_streams *s, enum sim_stream stream, uint32_t of, uint32_t in);
uint64_t sim_draw_exponential(struct sim_streams *s, enum sim_stream stream, uint64_t mean);
struct sim_link *sim_link(struct sim *sim, const struct sim_host *from, const struct sim_host *to);
bool sim_is_cut(struct sim *sim, const struct sim_host *from, const struct sim_host *to); /* either way */

/* ---- sim_env.c ---- */
struct sim_env *sim_env_of(struct env *env);
struct sim_env *sim_env_new(struct sim_node *node);
/* Checks that the core has left nothing behind. */
void sim_env_free(struct sim_env *env);
uint64_t sim_work_delay(struct sim_host *host, struct sim_streams *s, enum sim_stream stream, uint64_t mean_ns);

/* ---- sim_net.c ---- */
struct net *sim_net_new(struct sim_env *env);
void sim_net_free(struct net *net);        /* reports what was left open */
void sim_net_mute(struct net *net, bool host_is_gone); /* breaks the connections of a dying node */
void sim_net_links_changed(struct sim *sim); /* partitions, clogs, pauses */
void sim_net_drain(struct sim *sim); /* ends what closed connections still had under way */

/* ---- sim_fs.c ---- */
struct sim_disk *sim_disk_new(struct sim *sim);
void sim_disk_free(struct sim_disk *disk);
void sim_disk_power_cut(struct sim_disk *disk, struct sim_streams *s, const struct sim_host *host);
void sim_disk_reset_faults(struct sim_disk *disk);
struct fs *sim_fs_new(struct sim_env *env);
void sim_fs_mute(struct fs *fs); /* what is under way may still happen, or not */
void sim_fs_free(struct fs *fs);

/* ---- sim_coord.c ---- */
struct sim_coord *sim_coord_service_new(struct sim *sim);
void sim_coord_service_free(struct sim_coord *service);
struct coord *sim_coord_new(struct sim_env *env);
void sim_coord_mute(struct coord *coord);
void sim_coord_free(struct coord *coord);
void sim_coord_links_changed(struct sim *sim);

#endif
