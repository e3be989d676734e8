/*
 * publish.c - the picture of the cluster, swapped in for REST.
 *
 * A change of state is published once the current turn of the loop is over, other changes within a
 * second; a big cluster, whose picture takes milliseconds, is drawn less often, and its jobs in
 * turns of JM_TASKS_PER_TURN subtasks: what changes between two turns may be in one part of the
 * picture and not in another, until the next one.  Pure; thread: the control loop, jm_snapshot any.
 */
#include "common/base/check.h"
#include "jobmanager/jm_private.h"

#define LATER_MS 1000
#define SMALL    500 /* things in a picture that is drawn at once */

static void on_publish(struct env_timer *timer);

static struct jm_cluster_snapshot *make(struct jm *jm)
{
    struct jm_cluster_snapshot *s = MEM_NEW(struct jm_cluster_snapshot);

    s->refs = 1;
    s->made_ms = env_wall_ms(jm->env);
    jm_resource_fill(&jm->resource, s);
    s->jobs = mem_alloc_array(map_size(jm->dispatcher.jobs), sizeof(struct jm_job_snapshot *));
    for (struct map_iter it = map_iter(jm->dispatcher.jobs); map_next(&it);)
        s->jobs[s->job_count++] = jm_job_last_picture(it.value);
    jm_store_fill(&jm->store, s);
    return s;
}

static void let_go(struct jm *jm)
{
    jm_cluster_snapshot_unref(jm->outdated);
    jm->outdated = NULL;
}

static void on_outdated(struct env_timer *timer)
{
    let_go(CONTAINER_OF(timer, struct jm, outdated_timer));
}

static void publish(struct jm *jm)
{
    struct jm_cluster_snapshot *made = make(jm);

    let_go(jm);
    pthread_mutex_lock(&jm->lock);
    jm->outdated = jm->published;
    jm->published = made;
    pthread_mutex_unlock(&jm->lock);
    if (jm->outdated && !jm->outdated_timer.armed) /* large pictures take time to free: a turn of its own */
        env_timer_arm(jm->env, &jm->outdated_timer, 0);
    jm->published_ns = env_now_ns(jm->env);
    jm->pictures++;
}

/* The next part of the jobs that have changed. True: all are drawn. */
static bool draw(struct jm *jm)
{
    uint32_t left = JM_TASKS_PER_TURN;

    for (struct map_iter it = map_iter(jm->dispatcher.jobs); map_next(&it);) {
        struct jm_job *job = it.value;

        if (job->pictured == jm->pictures)
            continue;
        if (!jm_job_draw(job, &left))
            return false;
        job->pictured = jm->pictures;
    }
    return true;
}

static void on_publish(struct env_timer *timer)
{
    struct jm *jm = CONTAINER_OF(timer, struct jm, publish_timer);

    if (!draw(jm)) {
        env_timer_arm(jm->env, timer, 0);
        return;
    }
    publish(jm);
    for (struct map_iter it = map_iter(jm->dispatcher.jobs); map_next(&it);)
        if (!jm_job_is_drawn(it.value)) /* it has changed meanwhile, and nobody heard of it */
            jm_publish_soon(jm, true);
}

void jm_publish_init(struct jm *jm)
{
    jm->publish_timer.cb = on_publish;
    jm->outdated_timer.cb = on_outdated;
    publish(jm);
}

/* How long a picture must stay: 10 us of drawing for each thing that changed at most, a tenth of
 * the time in all. */
static uint64_t least_age_ms(const struct jm *jm)
{
    uint64_t things = map_size(jm->resource.taskmanagers) + map_size(jm->dispatcher.jobs);

    for (struct map_iter it = map_iter(jm->dispatcher.jobs);
         map_next(&it) && things < SMALL * 100;) {
        const struct jm_job *job = it.value;

        if (job->dirty)
            things += job->graph.total;
    }
    return things < SMALL ? 0 : MIN(things / 100, LATER_MS);
}

void jm_publish_soon(void *arg, bool now)
{
    struct jm *jm = MAGIC_CAST(arg, struct jm, JM_MAGIC);
    uint64_t now_ns = env_now_ns(jm->env), at_ns = now_ns;

    if (!jm->published)
        return; /* not yet, or not any more */
    if (jm->publish_timer.armed && (!now || jm->publish_at_ns <= now_ns))
        return;
    at_ns = MAX(at_ns, jm->published_ns + (now ? least_age_ms(jm) : LATER_MS) * 1000000u);
    if (jm->publish_timer.armed && jm->publish_at_ns <= at_ns)
        return;
    jm->publish_at_ns = at_ns;
    env_timer_arm(jm->env, &jm->publish_timer, at_ns - now_ns);
}

void jm_publish_clear(struct jm *jm)
{
    env_timer_cancel(jm->env, &jm->publish_timer);
    env_timer_cancel(jm->env, &jm->outdated_timer);
    let_go(jm);
    jm_cluster_snapshot_unref(jm->published);
    jm->published = NULL;
}

struct jm_cluster_snapshot *jm_snapshot(struct jm *jm)
{
    struct jm_cluster_snapshot *s;

    pthread_mutex_lock(&jm->lock);
    s = jm->published;
    __atomic_fetch_add(&s->refs, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&jm->lock);
    return s;
}
