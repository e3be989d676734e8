/* explain.c - what REST and people are told about slots. Pure; thread: the control loop. */
#include <string.h>

#include "common/base/mem.h"
#include "jobmanager/resource/resource.h"

#define HOLDERS_SHOWN 5

struct holder {
    const struct jm_allocation *first;
    uint32_t slots;
};

static struct map *find_holders(struct jm_resource *res)
{
    struct map *holders = map_new();

    for (struct map_iter it = map_iter(res->taskmanagers); map_next(&it);) {
        struct jm_taskmanager *tm = it.value;

        LIST_FOREACH (at, &tm->allocations) {
            const struct jm_allocation *a = LIST_ENTRY(at, struct jm_allocation, link);
            struct holder *h = map_get(holders, a->job_id.bytes, sizeof(a->job_id.bytes));

            if (a->slots == 0)
                continue;
            if (!h) {
                h = MEM_NEW(struct holder);
                h->first = a;
                map_put(holders, a->job_id.bytes, sizeof(a->job_id.bytes), h);
            }
            h->slots += a->slots;
        }
    }
    return holders;
}

static void explain_holders(struct jm_resource *res, struct bytes *out)
{
    struct map *holders = find_holders(res);
    uint32_t shown = 0, more = 0;

    for (struct map_iter it = map_iter(holders); map_next(&it);) {
        struct holder *h = it.value;
        char id[ID_TEXT_MAX];

        if (shown < HOLDERS_SHOWN)
            bytes_printf(out, "%sjob \"%s\" (%s) %u",
                         shown++ ? ", " : " Held by: ", h->first->job_name,
                         id_format(&h->first->job_id, id), h->slots);
        else
            more++;
        mem_free(h);
    }
    if (more)
        bytes_printf(out, " and %u more job%s", more, more == 1 ? "" : "s");
    bytes_add_str(out, shown ? ";" : " No job holds slots;");
    map_free(holders);
}

static void explain_taskmanagers(struct jm_resource *res, struct bytes *out)
{
    size_t count = map_size(res->taskmanagers);
    uint32_t slots = 0;
    bool same = true;

    for (struct map_iter it = map_iter(res->taskmanagers); map_next(&it);) {
        struct jm_taskmanager *tm = it.value;

        same = same && (slots == 0 || slots == tm->slots);
        slots = tm->slots;
    }
    if (count == 0)
        bytes_add_str(out, " no TaskManager is registered");
    else if (count == 1)
        bytes_printf(out, " 1 TaskManager with %u slot%s is registered", slots,
                     slots == 1 ? "" : "s");
    else if (same)
        bytes_printf(out, " %zu TaskManagers with %u slot%s each are registered", count, slots,
                     slots == 1 ? "" : "s");
    else
        bytes_printf(out, " %zu TaskManagers with %u slots in all are registered", count,
                     res->slots);
}

void jm_resource_explain(struct jm_resource *res, uint32_t needed, struct bytes *out)
{
    uint32_t free_slots = res->slots - res->used,
             missing = needed > free_slots ? needed - free_slots : 0;

    bytes_printf(out, "needs %u slot%s, %u %s free: %u %s missing.", needed, needed == 1 ? "" : "s",
                 free_slots, free_slots == 1 ? "is" : "are", missing, missing == 1 ? "is" : "are");
    explain_holders(res, out);
    explain_taskmanagers(res, out);
}

static void fill_one(const struct jm_taskmanager *tm, struct jm_taskmanager_snapshot *s)
{
    uint32_t count = 0;

    *s = (struct jm_taskmanager_snapshot){
        .host = mem_strdup(tm->host),
        .data_address = mem_strdup(tm->data_address),
        .rpc_address = mem_strdup(rpc_peer_name(tm->peer)),
        .slots = tm->slots,
        .slots_free = tm->slots - tm->used,
        .process_bytes = tm->process_bytes,
        .slot_bytes = tm->slot_bytes,
        .managed_bytes = tm->managed_bytes,
        .network_bytes = tm->network_bytes,
        .rss_bytes = tm->rss_bytes,
        .physical_memory_bytes = tm->physical_memory_bytes,
        .cpu_cores = tm->cpu_cores,
        .registered_ms = tm->registered_ms,
        .heartbeat_ms = tm->heartbeat_ms,
        .pid = tm->pid,
    };
    memcpy(s->id, tm->id_text, sizeof(s->id));
    LIST_FOREACH (at, &tm->allocations)
        count++;
    s->allocated = mem_alloc_array(count, sizeof(*s->allocated));
    LIST_FOREACH (at, &tm->allocations) {
        const struct jm_allocation *a = LIST_ENTRY(at, struct jm_allocation, link);

        if (a->slots > 0)
            s->allocated[s->allocated_count++] = (struct jm_allocated_slot){
                .job_id = a->job_id, .slots = a->slots, .bytes = a->slots * tm->slot_bytes};
    }
}

void jm_resource_fill(struct jm_resource *res, struct jm_cluster_snapshot *s)
{
    s->taskmanagers = mem_alloc_array(map_size(res->taskmanagers), sizeof(*s->taskmanagers));
    for (struct map_iter it = map_iter(res->taskmanagers); map_next(&it);)
        fill_one(it.value, &s->taskmanagers[s->taskmanager_count++]);
    s->slots = res->slots;
    s->slots_free = res->slots - res->used;
}
