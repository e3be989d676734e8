/*
 * peers.c - data connections with the other workers of the job: made, awaited, lost.
 *
 * Each region has connections of its own.  Of two workers the one with the lower index connects, when its part of the
 * region has been started; the other one keeps a connection that comes too early until it has started that attempt, too.
 * Thread: the loop.
 */
#include "common/base/check.h"
#include "taskmanager/worker/wk_private.h"

static void use_conn(struct wk *wk, struct net_conn *conn, uint32_t index, uint32_t region, uint32_t attempt);

static bool is_over(const struct wk_region *r)
{
    for (uint32_t i = 0; i < r->task_count; i++)
        if (!wk_task_is_over(r->tasks[i]))
            return false;
    return true;
}

static void lost(struct wk_region *r, const struct err *why, bool always)
{
    bool ending = r->wk->canceling || r->canceling;

    env_log(r->wk->env, ending ? LOG_DEBUG : LOG_WARN, "worker", r->wk->job, "%s", why->text);
    if (ending || r->lost_timer.armed || (is_over(r) && !always))
        return;
    r->lost_error = *why;
    r->lost_always = always;
    env_timer_arm_ms(r->wk->env, &r->lost_timer, WK_LOST_LINK_DELAY_MS);
}

/* Once its own tasks are over the other side sees it, too, and knows whether it has got everything. */
void wk_region_lost(struct wk_region *r, const struct err *why)
{
    lost(r, why, false);
}

void wk_region_on_lost_timer(struct env_timer *timer)
{
    struct wk_region *r = CONTAINER_OF(timer, struct wk_region, lost_timer);

    struct wk_task *failed = r->lost_always || !is_over(r) ? wk_region_speaker(r) : NULL;

    if (!failed || r->wk->canceling || r->canceling)
        return;
    wk_report_state(r->wk, failed, RASK__CONTROL__TASK_STATE__FAILED, &r->lost_error);
    wk_task_cancel(failed); /* the job master takes it for over */
}

static struct wk_region *region_at(struct wk *wk, uint32_t region, uint32_t attempt)
{
    struct wk_region *r = wk->deploy && wk->regions && region < wk->map.count ? wk->regions[region] : NULL;

    return r && r->attempt == attempt ? r : NULL;
}

static void handshake_done(void *arg, struct net_conn *conn, const struct rpc_identity *peer, const struct err *error)
{
    struct wk_handshake h = *(struct wk_handshake *)arg;
    struct wk *wk = h.wk;
    struct wk_region *r;

    list_remove(&((struct wk_handshake *)arg)->node);
    mem_free(arg);
    wk->accepted_handshakes -= h.accepted;
    if (error) {
        env_log_limited(wk->env, &wk->refusals, LOG_WARN, "worker", wk->job, "data connection: %s", error->text);
        /* Who came here and proved nothing may be anybody; a worker of the job fails on its own side, too. */
        r = h.accepted ? NULL : region_at(wk, h.region, h.attempt);
        if (r) /* what its tasks have sent before their end is here still; the other side waits for it */
            lost(r, error, true);
        return;
    }
    if (h.accepted)
        use_conn(wk, conn, peer->worker_index, peer->region, peer->attempt);
    else
        use_conn(wk, conn, h.peer_index, h.region, h.attempt);
}

/* What comes makes tasks run: those of this attempt must have been started. */
static bool is_early(const struct wk *wk, uint32_t region, uint32_t attempt)
{
    const struct wk_region *r;

    if (!wk->deploy || !wk->regions)
        return true;
    r = region < wk->map.count ? wk->regions[region] : NULL;
    return r && (attempt > r->attempt || (attempt == r->attempt && !r->started));
}

static void use_conn(struct wk *wk, struct net_conn *conn, uint32_t index, uint32_t region, uint32_t attempt)
{
    struct wk_region *r = region_at(wk, region, attempt);

    if (is_early(wk, region, attempt)) {
        struct wk_waiting_conn *w = MEM_NEW(struct wk_waiting_conn);

        ENV_PROBE(wk->env, "worker: a peer connects before the deployment");
        wk->env->net->ops->pause_reading(conn, true);
        w->conn = conn;
        w->peer_index = index;
        w->region = region;
        w->attempt = attempt;
        list_push_back(&wk->waiting_conns, &w->node);
        return;
    }
    if (!r || !r->links || index >= wk->worker_count || !r->links[index] || !wk_link_may_open(r->links[index])) {
        env_log_limited(wk->env, &wk->refusals, LOG_WARN, "worker", wk->job,
                        "a data connection of worker %u for attempt %u of region %u, which was not expected", index, attempt,
                        region);
        wk->env->net->ops->close(conn);
        return;
    }
    wk_link_open(r->links[index], conn);
}

static struct wk_handshake *handshake_new(struct wk *wk, uint32_t peer_index, bool accepted)
{
    struct wk_handshake *h = MEM_NEW(struct wk_handshake);

    h->wk = wk;
    h->peer_index = peer_index;
    h->accepted = accepted;
    list_push_back(&wk->handshakes, &h->node);
    return h;
}

void wk_region_connect(struct wk_region *r)
{
    struct wk *wk = r->wk;
    struct rpc_identity self = wk->identity;

    CHECK(r->started);
    self.region = r->id;
    self.attempt = r->attempt;
    for (uint32_t i = wk->start->worker_index + 1; r->links && i < wk->worker_count; i++)
        if (r->links[i]) {
            struct wk_handshake *h = handshake_new(wk, i, false);

            h->region = r->id;
            h->attempt = r->attempt;
            self.to_process = wk->workers[i].process;
            h->data = rpc_data_connect(wk->env, wk->workers[i].data_address, &self, handshake_done, h);
        }
    LIST_FOREACH_SAFE(n, &wk->waiting_conns)
    {
        struct wk_waiting_conn *w = LIST_ENTRY(n, struct wk_waiting_conn, node);

        if (w->region != r->id || w->attempt > r->attempt)
            continue;
        list_remove(&w->node);
        wk->env->net->ops->pause_reading(w->conn, false);
        use_conn(wk, w->conn, w->peer_index, w->region, w->attempt);
        mem_free(w);
    }
}

/* The one that has been at it for longest: who proves nothing does not lock out the others. */
static void drop_oldest_handshake(struct wk *wk)
{
    LIST_FOREACH(n, &wk->handshakes) {
        struct wk_handshake *h = LIST_ENTRY(n, struct wk_handshake, node);

        if (!h->accepted)
            continue;
        rpc_data_cancel(h->data);
        list_remove(&h->node);
        mem_free(h);
        wk->accepted_handshakes--;
        return;
    }
}

void wk_accept(struct wk *wk, struct net_conn *conn, const Rask__Control__Hello *hello)
{
    struct wk_handshake *h;

    if (wk->accepted_handshakes >= WK_HANDSHAKES_MAX)
        drop_oldest_handshake(wk);
    h = handshake_new(wk, 0, true);
    wk->accepted_handshakes++;
    h->data = rpc_data_accept(wk->env, conn, hello, &wk->identity, handshake_done, h);
}

void wk_peers_drop(struct wk *wk)
{
    while (!list_empty(&wk->handshakes)) {
        struct wk_handshake *h = LIST_ENTRY(list_pop_front(&wk->handshakes), struct wk_handshake, node);

        rpc_data_cancel(h->data);
        mem_free(h);
    }
    while (!list_empty(&wk->waiting_conns)) {
        struct wk_waiting_conn *w = LIST_ENTRY(list_pop_front(&wk->waiting_conns), struct wk_waiting_conn, node);

        wk->env->net->ops->close(w->conn);
        mem_free(w);
    }
}
