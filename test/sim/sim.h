/*
 * sim.h - a cluster in one process, in virtual time, from one seed.
 *
 * A simulation owns nodes; a node is one struct env with its clock, network, disk and coordination, and one
 * core that runs on it.  Everything that may differ between two runs is drawn from the seed: delays, ties,
 * clock drift, what a crash leaves on the disk.  The same seed gives the same trace and the same hash.
 *
 * README.md beside this file shows how to add a kind of node.  Thread: one; all times are virtual nanoseconds.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/env/env.h"
#include "common/net/net.h"

#define SIM_US 1000u
#define SIM_MS 1000000u
#define SIM_S 1000000000u

struct sim;
struct sim_node;

/* ---- a simulation ---- */

struct sim *sim_new(uint64_t seed);
/* Stops the nodes that still run (as sim_stop), checks that nothing leaked, frees everything. Returns false when the
 * simulation has failed, after printing why. */
bool sim_free(struct sim *sim);
uint64_t sim_seed(const struct sim *sim);
uint64_t sim_now_ns(const struct sim *sim);
uint64_t sim_hash(const struct sim *sim); /* of everything that happened so far */
uint64_t sim_events(const struct sim *sim);
void sim_set_verbose(struct sim *sim, bool verbose); /* the trace goes to standard error as it grows */

/* The first failure is kept; the run functions stop at it. */
void sim_fail(struct sim *sim, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool sim_failed(const struct sim *sim);
/* A line of the trace: its last lines are printed after a failure. */
void sim_trace(struct sim *sim, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Called after every event; calls sim_fail when an invariant is broken. */
void sim_set_checker(struct sim *sim, void (*check)(struct sim *sim, void *arg), void *arg);

/* Each returns false when the simulation has failed; until and true also when the time ran out first. */
bool sim_step(struct sim *sim); /* one event; false too when there is none */
bool sim_run_for(struct sim *sim, uint64_t ns);
bool sim_run_until(struct sim *sim, bool (*done)(void *arg), void *arg, uint64_t max_ns);
/* Runs fn as an event of the scenario itself, outside all nodes. */
void sim_at(struct sim *sim, uint64_t delay_ns, void (*fn)(struct sim *sim, void *arg), void *arg);

/* Random numbers for scenarios: faults, workloads. Whole numbers alone: floats differ between machines. */
uint64_t sim_rand(struct sim *sim);
uint64_t sim_range(struct sim *sim, uint64_t low, uint64_t high); /* both included */
bool sim_chance(struct sim *sim, uint32_t of, uint32_t in);       /* with probability of / in */

/* Counts how often a rare place was reached, over all simulations of the process. */
#define SIM_PROBE(name) sim_probe(name)
void sim_probe(const char *name);
uint64_t sim_probe_count(const char *name);
void sim_probes_print(void);
/* Prints the names in `all` (to a NULL) that were never reached, and those that were reached and are not in it. Their
 * number. */
int sim_probes_check(const char *const *all);

/* ---- nodes ---- */

/* What runs on a node. boot builds the core (as main() would); free is its ordinary destructor. After free the core
 * may have left no timer armed, no task posted, no connection open: each is a failure of the simulation. */
struct sim_node_kind {
    const char *name;
    void *(*boot)(struct env *env, struct sim_node *node, void *arg);
    void (*free)(void *core);
};

/* A node on a host of its own, which is called as the node is: "tm1" listens on "tm1:6122". Not yet booted. */
struct sim_node *sim_node_add(struct sim *sim, const char *name, const struct sim_node_kind *kind, void *arg);
/* A node on the host of another: they share its disk, its loopback and its fate. */
struct sim_node *sim_node_add_on(struct sim *sim, const char *name, const struct sim_node_kind *kind, void *arg,
                                 struct sim_node *host_of);
void sim_boot(struct sim_node *node); /* a fresh env, then kind->boot. The node must be down */
void *sim_core(struct sim_node *node);      /* NULL while down */
struct env *sim_env(struct sim_node *node); /* NULL while down; another one after each boot */
struct sim_node *sim_node_of(struct env *env);
struct sim *sim_of(struct env *env);
const char *sim_name(const struct sim_node *node);
bool sim_alive(const struct sim_node *node);

/* ---- faults ---- */

void sim_stop(struct sim_node *node);  /* the core is freed in an orderly way */
void sim_kill(struct sim_node *node);  /* kill -9: mute at once, peers see the connections close, the disk stays */
void sim_crash(struct sim_node *node); /* power cut of the whole host: peers learn late, what was not synced is gone */
void sim_pause(struct sim_node *node, uint64_t ns); /* frozen; then everything that was due happens at once */
bool sim_reachable(const struct sim_node *a, const struct sim_node *b); /* both live and run, no path is cut */
bool sim_paused(const struct sim_node *node);
bool sim_paused_since(const struct sim_node *node, uint64_t ns); /* is, or was at that time or later */
void sim_slow(struct sim_node *node, uint32_t factor); /* of everything that the host does; 1: as before */
void sim_wall_jump(struct sim_node *node, int64_t ms);

/* Cuts what the host of `from` sends to the host of `to`; both ways: call it twice. What is on the way waits; a
 * connection that waits too long breaks. SIM_COORD as a node: the coordination service. */
#define SIM_COORD ((struct sim_node *)NULL)
void sim_partition(struct sim_node *from, struct sim_node *to, bool on);
void sim_isolate(struct sim_node *node, bool on); /* from everybody, both ways */
void sim_heal(struct sim *sim);                   /* ends all partitions, clogs, slowness and disk faults */
void sim_clog(struct sim_node *from, struct sim_node *to, uint64_t ns); /* nothing arrives for so long */
/* Mean one-way delay of frames, drawn per frame around it. Default 200 us. */
void sim_set_delay(struct sim *sim, uint64_t mean_ns);
void sim_break_connections(struct sim_node *a, struct sim_node *b); /* as by a reset; b NULL: all of a */
void sim_corrupt_next(struct sim_node *from); /* flips a bit in the next frame that it sends */
size_t sim_connections(struct sim *sim);      /* open ends, for checks */
uint64_t sim_frames_between(const struct sim_node *a, const struct sim_node *b); /* delivered on connections that live */
bool sim_net_still(const struct sim_node *a, const struct sim_node *b); /* they are connected, and nothing is under way */

/* An accepted connection goes to another node of the same host, as a passed socket does: fn is called there with a
 * conn of its own. The old one is gone. Only before anything was sent on it. */
void sim_net_rehome(struct net_conn *conn, struct env *target, net_accept_fn *fn, void *arg);

void sim_disk_capacity(struct sim_node *node, uint64_t bytes); /* of its host; 0: without bound */
void sim_disk_errors(struct sim_node *node, uint32_t per_million); /* calls that fail with ERR_IO */
/*
 * The number-th sync (of a file, of a folder, inside write_all or mkdirs) from now on does nothing, or the number-th call fails
 * with code; on the disk of path, as the node sees it. 0: none. Until sim_heal. How many there were so far.
 */
uint64_t sim_disk_skip_sync(struct sim_node *node, const char *path, uint64_t number);
uint64_t sim_disk_fail_call(struct sim_node *node, const char *path, uint64_t number, int code);
/* The next count files that are written whole get their names, and then the call fails. Until sim_heal. */
void sim_disk_fail_in_place(struct sim_node *node, const char *path, uint32_t count);
/* Paths under this folder lie on storage that all nodes share and that no crash of a host destroys. */
#define SIM_SHARED "/shared"
/* What a restart would find at least: the synced content, or NULL. Owned by the caller. For checks. (A name that was removed
 * may be gone, whether that was synced or not.) */
uint8_t *sim_disk_durable(struct sim_node *node, const char *path, size_t *ret_len);
/* The name of a file or folder, and every folder on its way, would be there. */
bool sim_disk_survives(struct sim_node *node, const char *path);

void sim_coord_session_timeout(struct sim *sim, uint64_t ns); /* of sessions begun later. Default 10 s */
void sim_coord_disconnect(struct sim_node *node); /* for a moment: calls under way end with ERR_CLOSED */
void sim_coord_expire(struct sim_node *node);     /* the service ends the session of a living node */
void sim_coord_outage(struct sim *sim, bool on);  /* the service stands still for everybody */
/* What the service holds, for checks; NULL when the path does not exist. Owned by the caller, NUL added. */
char *sim_coord_read(struct sim *sim, const char *path, size_t *ret_len);

#endif
