/* handlers_cluster.c - the cluster as a whole, TaskManagers, and the JobManager's configuration. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/check.h"
#include "jobmanager/rest/rest_private.h"

#define MIB (1024 * 1024)

void rest_get_overview(struct rest_request *r)
{
    const struct jm_cluster_snapshot *c = r->snapshot;
    uint32_t running = 0, over[JM_JOB_STATE_COUNT] = {0};

    for (uint32_t i = 0; i < c->job_count; i++) {
        if (jm_job_state_is_final(c->jobs[i]->state))
            over[c->jobs[i]->state]++;
        else
            running++;
    }
    for (uint32_t i = 0; i < c->finished_count; i++)
        over[c->finished[i]->state]++;
    jw_object(&r->w, NULL);
    jw_int(&r->w, "taskmanagers", c->taskmanager_count);
    jw_int(&r->w, "slots-total", c->slots);
    jw_int(&r->w, "slots-available", c->slots_free);
    jw_int(&r->w, "jobs-running", running);
    jw_int(&r->w, "jobs-finished", over[JM_JOB_FINISHED]);
    jw_int(&r->w, "jobs-cancelled", over[JM_JOB_CANCELED]);
    jw_int(&r->w, "jobs-failed", over[JM_JOB_FAILED]);
    jw_string(&r->w, "flink-version", "1.20"); /* whose API this is; clients look at it */
    jw_string(&r->w, "flink-commit", RASK_VERSION);
    jw_string(&r->w, "rask-version", RASK_VERSION);
    jw_object_end(&r->w);
    rest_ok(r);
}

void rest_get_config(struct rest_request *r)
{
    const struct conf *conf = rest_conf(r->rest);
    time_t now = time(NULL);
    struct tm tm = {0};

    localtime_r(&now, &tm);
    jw_object(&r->w, NULL);
    jw_int(&r->w, "refresh-interval", (int64_t)conf_duration_ms(conf, OPT_WEB_REFRESH_INTERVAL));
    jw_string(&r->w, "timezone-name", tm.tm_zone ? tm.tm_zone : "UTC");
    jw_int(&r->w, "timezone-offset", (int64_t)tm.tm_gmtoff * 1000);
    jw_string(&r->w, "flink-version", "1.20");
    jw_string(&r->w, "flink-revision", RASK_VERSION);
    jw_object(&r->w, "features");
    jw_bool(&r->w, "web-submit", conf_bool(conf, OPT_WEB_SUBMIT_ENABLE));
    jw_bool(&r->w, "web-cancel", conf_bool(conf, OPT_WEB_CANCEL_ENABLE));
    jw_bool(&r->w, "web-rescale", false);
    jw_bool(&r->w, "web-history", false);
    jw_object_end(&r->w);
    jw_object_end(&r->w);
    rest_ok(r);
}

void rest_get_jobmanager_config(struct rest_request *r)
{
    const struct conf *conf = rest_conf(r->rest);

    jw_array(&r->w, NULL);
    for (size_t i = 0; i < conf_count(conf); i++) {
        jw_object(&r->w, NULL);
        jw_string(&r->w, "key", conf_at(conf, i)->key);
        jw_string(&r->w, "value", conf_shown(conf_at(conf, i)));
        jw_object_end(&r->w);
    }
    jw_array_end(&r->w);
    rest_ok(r);
}

/* ---- TaskManagers ---- */

/* Part of a TaskManager that so many of its slots are; memory in MiB, as Flink does here. */
static void view_resource(struct json_writer *w, const char *key, const struct jm_taskmanager_snapshot *t, uint32_t slots)
{
    uint64_t all = t->slots ? t->slots : 1, slot_mib = t->slot_bytes / MIB, managed = t->managed_bytes / all / MIB;
    uint64_t network = t->network_bytes / all / MIB;

    jw_object(w, key);
    jw_double(w, "cpuCores", (double)t->cpu_cores * slots / (double)all);
    jw_int(w, "taskHeapMemory", (int64_t)((slot_mib - MIN(slot_mib, managed + network)) * slots));
    jw_int(w, "taskOffHeapMemory", 0);
    jw_int(w, "managedMemory", (int64_t)(managed * slots));
    jw_int(w, "networkMemory", (int64_t)(network * slots));
    jw_object(w, "extendedResources");
    jw_object_end(w);
    jw_object_end(w);
}

static int64_t port_of(const char *address)
{
    const char *colon = address ? strrchr(address, ':') : NULL;

    return colon ? strtol(colon + 1, NULL, 10) : -1;
}

static void view_memory(struct json_writer *w, const struct jm_taskmanager_snapshot *t)
{
    uint64_t user = t->slot_bytes * t->slots, engine = t->managed_bytes + t->network_bytes;

    jw_object(w, "memoryConfiguration");
    jw_int(w, "frameworkHeap", (int64_t)(t->process_bytes - MIN(t->process_bytes, user)));
    jw_int(w, "taskHeap", (int64_t)(user - MIN(user, engine)));
    jw_int(w, "frameworkOffHeap", 0);
    jw_int(w, "taskOffHeap", 0);
    jw_int(w, "networkMemory", (int64_t)t->network_bytes);
    jw_int(w, "managedMemory", (int64_t)t->managed_bytes);
    jw_int(w, "jvmMetaspace", 0);
    jw_int(w, "jvmOverhead", 0);
    jw_int(w, "totalFlinkMemory", (int64_t)t->process_bytes);
    jw_int(w, "totalProcessMemory", (int64_t)t->process_bytes);
    jw_object_end(w);
}

static void view_taskmanager(struct json_writer *w, const struct jm_taskmanager_snapshot *t)
{
    jw_string(w, "id", t->id);
    jw_string(w, "path", t->rpc_address ? t->rpc_address : "");
    jw_int(w, "dataPort", port_of(t->data_address));
    jw_int(w, "jmxPort", -1);
    jw_int(w, "timeSinceLastHeartbeat", t->heartbeat_ms); /* in spite of its name: when it was */
    jw_int(w, "slotsNumber", t->slots);
    jw_int(w, "freeSlots", t->slots_free);
    view_resource(w, "totalResource", t, t->slots);
    view_resource(w, "freeResource", t, t->slots_free);
    jw_object(w, "hardware");
    jw_int(w, "cpuCores", t->cpu_cores);
    jw_int(w, "physicalMemory", (int64_t)t->physical_memory_bytes);
    jw_int(w, "freeMemory", (int64_t)(t->process_bytes - MIN(t->process_bytes, t->rss_bytes)));
    jw_int(w, "managedMemory", (int64_t)t->managed_bytes);
    jw_object_end(w);
    view_memory(w, t);
}

void rest_get_taskmanagers(struct rest_request *r)
{
    jw_object(&r->w, NULL);
    jw_array(&r->w, "taskmanagers");
    for (uint32_t i = 0; i < r->snapshot->taskmanager_count; i++) {
        jw_object(&r->w, NULL);
        view_taskmanager(&r->w, &r->snapshot->taskmanagers[i]);
        jw_object_end(&r->w);
    }
    jw_array_end(&r->w);
    jw_object_end(&r->w);
    rest_ok(r);
}

/* What Flink tells of its JVM: the sums that have a meaning here, the rest as zeros. */
static void view_taskmanager_metrics(struct json_writer *w, const struct jm_taskmanager_snapshot *t)
{
    static const char *const zeros[] = {"nonHeapUsed", "nonHeapCommitted", "nonHeapMax", "directCount", "directUsed",
                                        "directMax", "mappedCount", "mappedUsed", "mappedMax", "memorySegmentsAvailable",
                                        "memorySegmentsTotal", "nettyShuffleMemorySegmentsAvailable",
                                        "nettyShuffleMemorySegmentsUsed", "nettyShuffleMemorySegmentsTotal",
                                        "nettyShuffleMemoryUsed"};

    jw_object(w, "metrics");
    jw_int(w, "heapUsed", (int64_t)t->rss_bytes);
    jw_int(w, "heapCommitted", (int64_t)t->rss_bytes);
    jw_int(w, "heapMax", (int64_t)t->process_bytes);
    for (size_t i = 0; i < ARRAY_LEN(zeros); i++)
        jw_int(w, zeros[i], 0);
    jw_int(w, "nettyShuffleMemoryAvailable", (int64_t)t->network_bytes);
    jw_int(w, "nettyShuffleMemoryTotal", (int64_t)t->network_bytes);
    jw_array(w, "garbageCollectors");
    jw_array_end(w);
    jw_object_end(w);
}

const struct jm_taskmanager_snapshot *rest_taskmanager(struct rest_request *r)
{
    const char *id = rest_param(r, "taskmanagerid");

    for (uint32_t i = 0; i < r->snapshot->taskmanager_count; i++)
        if (strcmp(r->snapshot->taskmanagers[i].id, id) == 0)
            return &r->snapshot->taskmanagers[i];
    rest_fail_inside(r, "<Exception on server side:\nNo TaskExecutor registered under %s.\nEnd of exception on server side>",
                     id);
    return NULL;
}

void rest_get_taskmanager(struct rest_request *r)
{
    const struct jm_taskmanager_snapshot *t = rest_taskmanager(r);

    if (!t)
        return;
    jw_object(&r->w, NULL);
    view_taskmanager(&r->w, t);
    jw_array(&r->w, "allocatedSlots");
    for (uint32_t i = 0; i < t->allocated_count; i++) {
        char id[ID_TEXT_MAX];

        for (uint32_t s = 0; s < t->allocated[i].slots; s++) {
            jw_object(&r->w, NULL);
            jw_string(&r->w, "jobId", id_format(&t->allocated[i].job_id, id));
            view_resource(&r->w, "resource", t, 1);
            jw_object_end(&r->w);
        }
    }
    jw_array_end(&r->w);
    view_taskmanager_metrics(&r->w, t);
    jw_object_end(&r->w);
    rest_ok(r);
}
