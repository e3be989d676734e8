/*
 * tm.c - birth and end of the supervisor; the memory formula.
 * Thread: the loop.
 */
#include "taskmanager/supervisor/tm.h"

#include "taskmanager/supervisor/tm_private.h"

int tm_slot_bytes(const struct conf *conf, uint64_t *ret_bytes, struct err *err)
{
    uint64_t process = conf_memory_bytes(conf, OPT_TASKMANAGER_MEMORY_PROCESS_SIZE);
    uint64_t slots = (uint64_t)conf_int(conf, OPT_TASKMANAGER_NUMBEROFTASKSLOTS);
    uint64_t share;

    CHECK(slots > 0);
    share = process > TM_SUPERVISOR_BYTES ? (process - TM_SUPERVISOR_BYTES) / slots : 0;
    if (share < TM_SLOT_MIN_BYTES)
        return err_set(err, ERR_INVALID,
                       "a slot would get %llu MiB and needs at least %u: "
                       "taskmanager.memory.process.size is %llu MiB, %u of them are for the TaskManager "
                       "itself, and taskmanager.numberOfTaskSlots is %llu: raise the first to %llum, or "
                       "lower the second",
                       (unsigned long long)(share >> 20), TM_SLOT_MIN_BYTES >> 20,
                       (unsigned long long)(process >> 20), TM_SUPERVISOR_BYTES >> 20,
                       (unsigned long long)slots,
                       (unsigned long long)((TM_SUPERVISOR_BYTES + slots * TM_SLOT_MIN_BYTES) >> 20));
    *ret_bytes = share;
    return 0;
}

/* A size that is given for all slots of the TaskManager, as the part of some of them. */
static double part_of(uint64_t all, uint32_t slots, const struct conf *conf)
{
    return (double)all * slots / (double)conf_int(conf, OPT_TASKMANAGER_NUMBEROFTASKSLOTS);
}

void tm_worker_budgets(const struct conf *conf, uint64_t budget_bytes, uint32_t slots, uint64_t *ret_network_bytes,
                       uint64_t *ret_state_bytes)
{
    double budget = (double)budget_bytes;
    double network = budget * conf_double(conf, OPT_TASKMANAGER_MEMORY_NETWORK_FRACTION);
    double state = budget * conf_double(conf, OPT_TASKMANAGER_MEMORY_MANAGED_FRACTION);

    network = MAX(network, part_of(conf_memory_bytes(conf, OPT_TASKMANAGER_MEMORY_NETWORK_MIN), slots, conf));
    network = MIN(network, part_of(conf_memory_bytes(conf, OPT_TASKMANAGER_MEMORY_NETWORK_MAX), slots, conf));
    network = MIN(network, budget * 0.25);
    if (conf_is_set(conf, OPT_TASKMANAGER_MEMORY_MANAGED_SIZE))
        state = part_of(conf_memory_bytes(conf, OPT_TASKMANAGER_MEMORY_MANAGED_SIZE), slots, conf);
    state = MIN(state, budget - network);
    *ret_network_bytes = (uint64_t)network;
    *ret_state_bytes = (uint64_t)state;
}

static void on_stop_timer(struct env_timer *timer)
{
    struct tm *tm = CONTAINER_OF(timer, struct tm, stop_timer);

    tm_maybe_stopped(tm);
}

static char *copy_text(const char *text)
{
    return text ? mem_strdup(text) : NULL;
}

int tm_new(struct env *env, const struct tm_options *options, struct tm **ret, struct err *err)
{
    struct tm *tm;
    uint64_t slot_bytes;
    int code = tm_slot_bytes(options->conf, &slot_bytes, err);

    if (code < 0)
        return code;
    CHECK(options->spawner != NULL);
    CHECK(options->jobmanager_address != NULL);
    tm = MEM_NEW(struct tm);
    tm->magic = TM_MAGIC;
    tm->env = env;
    tm->options = *options;
    tm->options.jobmanager_address = mem_strdup(options->jobmanager_address);
    tm->options.data_listen_address = mem_strdup(options->data_listen_address);
    tm->options.advertised_host = copy_text(options->advertised_host);
    tm->options.resource_id = copy_text(options->resource_id);
    tm->options.local_dir = copy_text(options->local_dir);
    tm->id = env_rand_id(env);
    tm->slots = (uint32_t)conf_int(options->conf, OPT_TASKMANAGER_NUMBEROFTASKSLOTS);
    tm->process_bytes = conf_memory_bytes(options->conf, OPT_TASKMANAGER_MEMORY_PROCESS_SIZE);
    tm->slot_bytes = slot_bytes;
    tm->stop_timer.cb = on_stop_timer;
    list_init(&tm->preambles);
    list_init(&tm->obituaries);
    tm_local_init(tm);
    tm_worker_init(tm);
    code = tm_data_listen(tm, err);
    if (code < 0) {
        tm_free(tm);
        return code;
    }
    tm_jobmanager_init(tm);
    *ret = tm;
    return 0;
}

void tm_maybe_stopped(struct tm *tm)
{
    if (!tm->stopping || map_size(tm->workers) > 0 || !tm->stopped)
        return;
    tm_jobmanager_release(tm);
    tm->stopped(tm->stopped_arg);
}

void tm_stop(struct tm *tm, void (*cb)(void *arg), void *arg)
{
    CHECK(!tm->stopping);
    tm->stopping = true;
    tm->stopped = cb;
    tm->stopped_arg = arg;
    tm_data_release(tm);
    tm_worker_kill_all(tm, false, "the TaskManager is shut down");
    if (map_size(tm->workers) == 0)
        env_timer_arm(tm->env, &tm->stop_timer, 0);
}

void tm_free(struct tm *tm)
{
    if (!tm)
        return;
    env_timer_cancel(tm->env, &tm->stop_timer);
    tm_data_release(tm);
    tm_jobmanager_release(tm);
    tm_worker_release(tm);
    tm_obituary_release(tm);
    tm_local_release(tm);
    mem_free((void *)tm->options.jobmanager_address);
    mem_free((void *)tm->options.data_listen_address);
    mem_free((void *)tm->options.advertised_host);
    mem_free((void *)tm->options.resource_id);
    mem_free((void *)tm->options.local_dir);
    mem_free(tm->data_address);
    tm->magic = 0;
    mem_free(tm);
}

const struct id *tm_id(struct tm *tm)
{
    return &tm->id;
}
