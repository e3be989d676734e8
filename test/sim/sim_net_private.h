/*
 * sim_net_private.h - ends of simulated connections.  Included by test/sim/sim_net*.c alone.
 */
#ifndef SIM_SIM_NET_PRIVATE_H
#define SIM_SIM_NET_PRIVATE_H

#include "test/sim/sim_private.h"

#define SIM_MAGIC_CONN 0x53434f4eu

/* An encoded frame, or the end of the connection. */
struct parcel {
    struct list node;
    uint64_t at_ns;
    struct net_buffer *buffer; /* owned; NULL: not yet copied, or an end */
    size_t offset, len;        /* of the encoded frame in buffer */
    /* while parts are borrowed: */
    uint8_t header[NET_HEADER_BYTES];
    struct net_iov *parts; /* the array is owned */
    size_t part_count;
    void (*release)(void *arg);
    void *release_arg;
    struct err *end; /* owned; not NULL: the end, with its reason */
    bool local;      /* the end is noticed here, no packet has to arrive for it */
};

enum end_state { END_CONNECTING, END_PASSING /* to another node */, END_OPEN, END_DEAD };

/* One end. The other is peer until either has let go; what was on the way to this one stays in inbound. */
struct net_conn {
    uint32_t magic;
    enum end_state state;
    struct list node; /* in sim.conns */
    struct sim *sim;
    struct sim_env *env; /* the owner's */
    struct sim_host *peer_host;
    struct net_conn *peer;
    const struct net_handler *handler;
    void *arg;
    char *peer_name, *text;
    uint32_t limit, busy;
    bool paused, accepted;
    uint64_t frames_in, frames_out;

    struct list queue; /* parcels that the "operating system" has not taken yet */
    size_t queued, in_flight, window;
    bool over_high_water, broken; /* broken: what is sent is lost */
    struct sim_event flush_event;

    struct list inbound;
    struct sim_event arrive_event, stall_event;
    uint64_t last_arrival_ns;
    size_t align;   /* where the next payload would lie in a receive buffer */
    size_t unacked; /* consumed, but the sender cannot know yet */
    bool force_end; /* report the end although reading is paused */

    struct sim_event notify_event; /* opened, drained, passed: callbacks that come later */
    bool notify_open, notify_drained;
    net_accept_fn *passed_fn;
    void *passed_arg;

    struct sim_event connect_event; /* happens at the other host */
    char *address;
    struct sim_host *connect_to;
    uint64_t connect_started_ns;
};

struct sim_net {
    struct net net; /* first */
    struct sim_env *env;
};

/* sim_net.c */
struct net_conn *sim_end_new(struct sim_env *env, const char *peer_name, bool outgoing);
void sim_end_free(struct net_conn *e); /* at once, without callbacks; the memory lives while busy */
void sim_end_enter(struct net_conn *e);
void sim_end_leave(struct net_conn *e);
void sim_end_schedule(struct net_conn *e); /* the next arrival */
/* e learns of it then. local: no packet has to come through for it. */
void sim_end_put_end(struct net_conn *e, uint64_t at_ns, bool local, const char *why);
void sim_end_opens(struct net_conn *e);                          /* on_open comes later */
void sim_end_refused(struct net_conn *e, const struct err *why); /* on_close comes later */
void sim_end_part(struct net_conn *e); /* e lets go of its peer */
void sim_end_pump(struct net_conn *e);
void sim_end_drop_queue(struct net_conn *e);
void sim_end_drop_inbound(struct net_conn *e, size_t keep);
uint64_t sim_net_delay(struct sim *sim, const struct sim_host *a, const struct sim_host *b);
struct sim_streams *sim_net_streams(const struct net_conn *e);
bool sim_end_is_cut(const struct net_conn *e); /* what is sent to e does not arrive */

/* sim_net_connect.c */
int sim_net_listen(struct net *net, const char *address, net_accept_fn *fn, void *arg,
                   struct net_listener **ret, struct err *err);
const char *sim_net_listener_address(struct net_listener *listener);
void sim_net_listener_close(struct net_listener *listener);
struct net_conn *sim_net_connect(struct net *net, const char *address, const struct net_handler *handler,
                                 void *arg);
void sim_net_listeners_end(struct sim_env *env);

#endif
