/* jm.c - the JobManager put together: its parts, its address, commands from other threads. Pure;
 * thread: the control loop. */
#include "jobmanager/jm.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/net/tls.h"
#include "common/security/tls_conf.h"
#include "jobmanager/jm_private.h"

static void on_slots_freed(void *arg)
{
    jm_dispatcher_slots_freed(&MAGIC_CAST(arg, struct jm, JM_MAGIC)->dispatcher);
}

static void on_superseded(void *arg, struct jm_taskmanager *tm)
{
    jm_dispatcher_peer_closes(&MAGIC_CAST(arg, struct jm, JM_MAGIC)->dispatcher, tm->peer);
    jm_session_detach(tm->session);
    rpc_close(tm->peer);
}

static void on_store_changed(void *arg)
{
    jm_publish_soon(arg, true);
}

static void on_detach(void *arg, void *session)
{
    (void)arg;
    jm_session_detach(session);
}

static bool secret_of(void *arg, const struct id *job_id, uint64_t job_epoch,
                      uint8_t ret_secret[32])
{
    struct jm *jm = MAGIC_CAST(arg, struct jm, JM_MAGIC);

    return jm_dispatcher_secret(&jm->dispatcher, job_id, job_epoch, ret_secret);
}

static const struct jm_resource_hooks resource_hooks = {
    .slots_freed = on_slots_freed, .superseded = on_superseded, .changed = jm_publish_soon};
static const struct jm_store_hooks store_hooks = {.changed = on_store_changed};
static const struct jm_dispatcher_hooks dispatcher_hooks = {.changed = jm_publish_soon,
                                                            .detach = on_detach};

/* Workers reach it under jobmanager.rpc.address, where that is said, and the port that was
 * chosen. */
static char *reachable_address(struct jm *jm)
{
    const char *listening = rpc_server_address(jm->server), *port = strrchr(listening, ':');

    if (strncmp(listening, "inproc:", 7) == 0 || !conf_is_set(jm->conf, OPT_JOBMANAGER_RPC_ADDRESS))
        return mem_strdup(listening);
    CHECK(port != NULL);
    return conf_hostport(conf_string(jm->conf, OPT_JOBMANAGER_RPC_ADDRESS), strtol(port + 1, NULL, 10));
}

static int listen_rpc(struct jm *jm, const char *address, struct err *err)
{
    struct rpc_server_options options = {
        .address = address,
        .allow_plaintext = conf_bool(jm->conf, OPT_SECURITY_ALLOW_PLAINTEXT),
        .tls = jm->tls,
        .fence = jm->fence,
        .heartbeat_interval_ms =
            (uint32_t)MIN(conf_duration_ms(jm->conf, OPT_HEARTBEAT_INTERVAL), UINT32_MAX),
        .heartbeat_timeout_ms =
            (uint32_t)MIN(conf_duration_ms(jm->conf, OPT_HEARTBEAT_TIMEOUT), UINT32_MAX),
        .secret_of = secret_of,
        .handler = &jm_rpc_handler,
        .arg = jm,
    };

    return rpc_server_new(jm->env, &options, &jm->server, err);
}

static void init_parts(struct jm *jm)
{
    char *blobs = mem_printf("%s/blobs", jm->dir), *jobs = mem_printf("%s/jobs", jm->dir);

    jm_resource_init(&jm->resource, jm->env, &resource_hooks, jm);
    jm_blobs_init(&jm->blobs, jm->env, blobs);
    jm_store_init(&jm->store, jm->env, jm->conf, jobs, &store_hooks, jm);
    jm->dispatcher = (struct jm_dispatcher){
        .env = jm->env,
        .conf = jm->conf,
        .resource = &jm->resource,
        .blobs = &jm->blobs,
        .store = &jm->store,
        .address = jm->address,
        .slots_max = jm->slots_max,
        .tls_ciphers = jm->tls ? tls_context_ciphers(jm->tls) : NULL,
        .tls_data = jm->tls && tls_conf_data(jm->conf),
        .checkpoint_dir = jm->checkpoint_dir,
        .hooks = &dispatcher_hooks,
        .arg = jm,
    };
    jm_dispatcher_init(&jm->dispatcher);
    mem_free(blobs);
    mem_free(jobs);
}

/* ---- what other threads send ---- */

struct touch {
    struct list link;
    struct id job_id;
};

static struct list *take(struct jm *jm, struct list *from)
{
    struct list *first;

    pthread_mutex_lock(&jm->lock);
    first = list_pop_front(from);
    pthread_mutex_unlock(&jm->lock);
    return first;
}

/* One per turn of the loop, which others use too. */
static void on_inbox(struct env_task *task)
{
    struct jm *jm = CONTAINER_OF(task, struct jm, inbox_task);
    struct list *first = take(jm, &jm->touches);

    if (first) {
        struct touch *touch = LIST_ENTRY(first, struct touch, link);

        jm_dispatcher_touch(&jm->dispatcher, &touch->job_id);
        mem_free(touch);
    } else if ((first = take(jm, &jm->commands)) != NULL) {
        jm_dispatcher_execute(&jm->dispatcher, LIST_ENTRY(first, struct jm_command, link));
    } else {
        return;
    }
    env_post(jm->env, &jm->inbox_task);
}

static void send_to_loop(struct jm *jm, struct list *to, struct list *link)
{
    pthread_mutex_lock(&jm->lock);
    list_push_back(to, link);
    pthread_mutex_unlock(&jm->lock);
    env_post(jm->env, &jm->inbox_task);
}

void jm_execute(struct jm *jm, struct jm_command *command)
{
    command->jm = jm;
    send_to_loop(jm, &jm->commands, &command->link);
}

void jm_touch(struct jm *jm, const struct id *job_id)
{
    struct touch *touch = MEM_NEW(struct touch);

    touch->job_id = *job_id;
    send_to_loop(jm, &jm->touches, &touch->link);
}

static void inbox_init(struct jm *jm)
{
    CHECK(pthread_mutex_init(&jm->lock, NULL) == 0);
    list_init(&jm->commands);
    list_init(&jm->touches);
    jm->inbox_task.cb = on_inbox;
}

static void inbox_clear(struct jm *jm)
{
    struct list *first;
    struct err closed;

    env_unpost(jm->env, &jm->inbox_task);
    while ((first = take(jm, &jm->touches)) != NULL)
        mem_free(LIST_ENTRY(first, struct touch, link));
    err_set(&closed, ERR_CLOSED, "the JobManager stops");
    while ((first = take(jm, &jm->commands)) != NULL)
        jm_command_end(LIST_ENTRY(first, struct jm_command, link), &closed);
    pthread_mutex_destroy(&jm->lock);
}

/* ---- all of it ---- */

int jm_new(struct env *env, const struct jm_options *options, struct jm **ret, struct err *err)
{
    struct jm *jm = MEM_NEW(struct jm);
    int code;

    jm->magic = JM_MAGIC;
    jm->env = env;
    jm->conf = options->conf;
    jm->tls = options->tls;
    jm->slots_max = options->slots_max;
    jm->fence = env_rand_u64(env) | 1; /* without high availability only equality counts */
    jm->dir = mem_printf("%s/jm-%016" PRIx64, options->work_dir, jm->fence);
    list_init(&jm->sessions);
    code = listen_rpc(jm, options->rpc_address, err);
    if (code < 0) {
        mem_free(jm->dir);
        mem_free(jm);
        return code;
    }
    jm->address = reachable_address(jm);
    jm->checkpoint_dir = mem_printf("%s/checkpoints", jm->dir);
    init_parts(jm);
    inbox_init(jm);
    jm_publish_init(jm);
    env_log(env, LOG_INFO, "jobmanager", NULL, "listening on %s, term %016" PRIx64,
            rpc_server_address(jm->server), jm->fence);
    *ret = jm;
    return 0;
}

void jm_free(struct jm *jm)
{
    if (!jm)
        return;
    jm_publish_clear(jm);
    jm_dispatcher_clear(&jm->dispatcher);
    jm_blobs_clear(&jm->blobs);
    rpc_server_free(jm->server);
    jm_sessions_clear(jm);
    jm_resource_clear(&jm->resource);
    jm_store_clear(&jm->store);
    inbox_clear(jm);
    mem_free(jm->address);
    mem_free(jm->checkpoint_dir);
    mem_free(jm->dir);
    jm->magic = 0;
    mem_free(jm);
}

const char *jm_rpc_address(struct jm *jm)
{
    return rpc_server_address(jm->server);
}

const char *jm_work_dir(struct jm *jm)
{
    return jm->dir;
}
