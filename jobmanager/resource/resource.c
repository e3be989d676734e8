/* resource.c - TaskManagers come and go; slots are handed out and come back. Pure; thread: the
 * control loop. */
#include "jobmanager/resource/resource.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"

#define TEXT_MAX 255

void jm_resource_init(struct jm_resource *res, struct env *env,
                      const struct jm_resource_hooks *hooks, void *arg)
{
    *res = (struct jm_resource){.env = env, .hooks = hooks, .arg = arg};
    res->taskmanagers = map_new();
}

static void taskmanager_free(struct jm_taskmanager *tm)
{
    LIST_FOREACH_SAFE (at, &tm->allocations) {
        list_remove(at);
        LIST_ENTRY(at, struct jm_allocation, link)->taskmanager = NULL;
    }
    mem_free(tm->host);
    mem_free(tm->data_address);
    mem_free(tm->label);
    mem_free(tm->place);
    mem_free(tm);
}

void jm_resource_clear(struct jm_resource *res)
{
    if (!res->taskmanagers)
        return;
    for (struct map_iter it = map_iter(res->taskmanagers); map_next(&it);)
        taskmanager_free(it.value);
    map_free(res->taskmanagers);
    res->taskmanagers = NULL;
}

static bool text_ok(const char *text)
{
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
            return false;
    return len > 0 && len <= TEXT_MAX;
}

static int check_registration(struct jm_resource *res,
                              const Rask__Control__RegisterTaskManager *msg, struct err *err)
{
    if (msg->taskmanager_id.len != sizeof(struct id))
        return err_set(err, ERR_PROTOCOL, "a TaskManager's id has 16 bytes, not %zu",
                       msg->taskmanager_id.len);
    if (!text_ok(msg->host) || !text_ok(msg->data_address))
        return err_set(err, ERR_PROTOCOL,
                       "a TaskManager needs a host and a data address of 1 to %d characters",
                       TEXT_MAX);
    if (msg->slots < 1 || msg->slots > JM_SLOTS_PER_TASKMANAGER_MAX)
        return err_set(err, ERR_INVALID, "a TaskManager has 1 to %d slots, not %u",
                       JM_SLOTS_PER_TASKMANAGER_MAX, msg->slots);
    if (msg->resource_id && !text_ok(msg->resource_id))
        return err_set(err, ERR_PROTOCOL, "a resource-id has 1 to %d characters", TEXT_MAX);
    if (map_size(res->taskmanagers) >= JM_TASKMANAGERS_MAX)
        return err_set(err, ERR_LIMIT, "%d TaskManagers are registered: no more are taken",
                       JM_TASKMANAGERS_MAX);
    return 0;
}

static struct jm_taskmanager *find_place(struct jm_resource *res, const char *place)
{
    for (struct map_iter it = map_iter(res->taskmanagers); map_next(&it);)
        if (strcmp(((struct jm_taskmanager *)it.value)->place, place) == 0)
            return it.value;
    return NULL;
}

int jm_resource_register(struct jm_resource *res, struct rpc_peer *peer,
                         const Rask__Control__RegisterTaskManager *msg, struct jm_taskmanager **ret,
                         struct err *err)
{
    struct jm_taskmanager *tm, *other;
    struct id id;

    if (check_registration(res, msg, err) < 0)
        return err_wrap(err, "registration refused");
    memcpy(id.bytes, msg->taskmanager_id.data, sizeof(id.bytes));
    tm = jm_resource_find(res, &id);
    if (tm && tm->peer == peer) { /* repeated: its answer was lost */
        *ret = tm;
        return 0;
    }
    if (tm) {
        res->hooks->superseded(res->arg, tm);
        jm_resource_lost(res, tm, "it registered anew over another connection");
    }
    other = msg->resource_id ? find_place(res, msg->resource_id) : NULL;
    if (other) /* one that was killed is gone with its connection */
        return err_set(err, ERR_EXISTS, "registration refused: %s has taskmanager.resource-id \"%s\" and is registered",
                       other->label, msg->resource_id);

    tm = MEM_NEW(struct jm_taskmanager);
    tm->id = id;
    id_format(&id, tm->id_text);
    tm->host = mem_strdup(msg->host);
    tm->data_address = mem_strdup(msg->data_address);
    tm->label = mem_printf("TaskManager %s (%s)", tm->id_text, tm->data_address);
    tm->place = mem_strdup(msg->resource_id ? msg->resource_id : tm->id_text);
    tm->peer = peer;
    tm->slots = msg->slots;
    tm->process_bytes = msg->process_bytes;
    tm->slot_bytes = msg->slot_bytes;
    tm->managed_bytes = msg->managed_bytes;
    tm->network_bytes = msg->network_bytes;
    tm->physical_memory_bytes = msg->physical_memory_bytes;
    tm->cpu_cores = msg->cpu_cores;
    tm->pid = msg->pid;
    tm->registered_ms = tm->heartbeat_ms = env_wall_ms(res->env);
    list_init(&tm->allocations);
    map_put(res->taskmanagers, id.bytes, sizeof(id.bytes), tm);
    res->slots += tm->slots;
    env_log(res->env, LOG_INFO, "resource", NULL, "%s registered with %u slot%s", tm->label,
            tm->slots, tm->slots == 1 ? "" : "s");
    res->hooks->changed(res->arg, true);
    res->hooks->slots_freed(res->arg);
    *ret = tm;
    return 0;
}

void jm_resource_report(struct jm_resource *res, struct jm_taskmanager *tm,
                        const Rask__Control__TaskManagerReport *msg)
{
    tm->heartbeat_ms = env_wall_ms(res->env);
    if (msg->has_rss_bytes)
        tm->rss_bytes = msg->rss_bytes;
    res->hooks->changed(res->arg, false);
}

void jm_resource_lost(struct jm_resource *res, struct jm_taskmanager *tm, const char *why)
{
    struct list holders;

    CHECK(map_get(res->taskmanagers, tm->id.bytes, sizeof(tm->id.bytes)) == tm);
    env_log(res->env, LOG_WARN, "resource", NULL, "%s is lost: %s", tm->label, why);
    map_remove(res->taskmanagers, tm->id.bytes, sizeof(tm->id.bytes));
    res->slots -= tm->slots;
    res->used -= tm->used;
    list_init(&holders);
    /* a holder may release its allocation when it is told */
    while (!list_empty(&tm->allocations)) {
        struct jm_allocation *a =
            LIST_ENTRY(list_pop_front(&tm->allocations), struct jm_allocation, link);

        a->taskmanager = NULL;
        list_push_back(&holders, &a->link);
    }
    while (!list_empty(&holders)) {
        struct jm_allocation *a = LIST_ENTRY(list_pop_front(&holders), struct jm_allocation, link);
        char *text = mem_printf("%s is lost (it was stopped or killed, or its host or network failed: "
                                "its log may say which): %s",
                                tm->label, why);

        a->lost(a, text);
        mem_free(text);
    }
    taskmanager_free(tm);
    res->hooks->changed(res->arg, true);
}

struct jm_taskmanager *jm_resource_find(struct jm_resource *res, const struct id *id)
{
    return map_get(res->taskmanagers, id->bytes, sizeof(id->bytes));
}

/* a is less used than b: used/slots, then the order of registration (seq). */
static bool less_used(const struct jm_taskmanager *a, uint32_t a_seq,
                      const struct jm_taskmanager *b, uint32_t b_seq)
{
    uint64_t left = (uint64_t)a->used * b->slots, right = (uint64_t)b->used * a->slots;

    return left != right ? left < right : a_seq < b_seq;
}

/* Of those that have so many slots free. */
static struct jm_taskmanager *least_used_with(struct jm_resource *res, uint32_t slots)
{
    struct jm_taskmanager *best = NULL;

    for (struct map_iter it = map_iter(res->taskmanagers); map_next(&it);) {
        struct jm_taskmanager *tm = it.value;

        if (tm->slots - tm->used >= slots && (!best || less_used(tm, 1, best, 0)))
            best = tm;
    }
    return best;
}

struct jm_taskmanager *jm_resource_least_used(struct jm_resource *res)
{
    return least_used_with(res, 0);
}

/* A binary heap of the TaskManagers with free slots, the least used on top. */
struct heap {
    struct heap_item {
        struct jm_taskmanager *tm;
        uint32_t seq; /* order of registration */
    } * items;
    uint32_t count;
};

static void heap_down(struct heap *h, uint32_t at)
{
    for (;;) {
        uint32_t least = at;

        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < h->count; child++)
            if (less_used(h->items[child].tm, h->items[child].seq, h->items[least].tm,
                          h->items[least].seq))
                least = child;
        if (least == at)
            return;
        struct heap_item swapped = h->items[at];

        h->items[at] = h->items[least];
        h->items[least] = swapped;
        at = least;
    }
}

static void heap_fill(struct heap *h, struct jm_resource *res)
{
    uint32_t seq = 0;

    h->items = mem_alloc_array(map_size(res->taskmanagers) + 1, sizeof(*h->items));
    h->count = 0;
    for (struct map_iter it = map_iter(res->taskmanagers); map_next(&it); seq++) {
        struct jm_taskmanager *tm = it.value;

        if (tm->used < tm->slots)
            h->items[h->count++] = (struct heap_item){.tm = tm, .seq = seq};
    }
    for (uint32_t i = h->count / 2; i-- > 0;)
        heap_down(h, i);
}

/* Slots whose place has one free. By slot. */
static void take_places(struct jm_resource *res, uint32_t slots, char *const *places,
                        struct jm_taskmanager **taken)
{
    struct map *by_place = map_new();

    for (struct map_iter it = map_iter(res->taskmanagers); map_next(&it);)
        map_put_str(by_place, ((struct jm_taskmanager *)it.value)->place, it.value);
    for (uint32_t i = 0; i < slots; i++) {
        struct jm_taskmanager *tm = places[i] ? map_get_str(by_place, places[i]) : NULL;

        if (!tm || tm->used == tm->slots)
            continue;
        tm->used++;
        taken[i] = tm;
    }
    map_free(by_place);
}

/* Each of the others is the least used TaskManager's. */
static void take_others(struct jm_resource *res, uint32_t slots, struct jm_taskmanager **taken)
{
    struct heap heap;

    heap_fill(&heap, res);
    for (uint32_t i = 0; i < slots; i++) {
        if (taken[i])
            continue;
        CHECK(heap.count > 0);
        taken[i] = heap.items[0].tm;
        if (++taken[i]->used == taken[i]->slots)
            heap.items[0] = heap.items[--heap.count];
        heap_down(&heap, 0);
    }
    mem_free(heap.items);
}

bool jm_resource_allocate(struct jm_resource *res, const struct id *job_id, const char *job_name,
                          uint32_t slots, char *const *places, struct jm_grant *ret)
{
    struct jm_taskmanager **taken;
    struct map *host_of; /* TaskManager's id -> its host + 1 */

    CHECK(slots > 0);
    if (res->slots - res->used < slots)
        return false;
    taken = mem_alloc_array(slots, sizeof(struct jm_taskmanager *));
    host_of = map_new();
    if (places)
        take_places(res, slots, places, taken);
    take_others(res, slots, taken);
    *ret = (struct jm_grant){.slot_count = slots};
    ret->slot_host = mem_alloc_array(slots, sizeof(uint32_t));
    ret->hosts = mem_alloc_array(MIN(slots, map_size(res->taskmanagers)), sizeof(*ret->hosts));
    for (uint32_t i = 0; i < slots; i++) {
        struct jm_taskmanager *tm = taken[i];
        uintptr_t host = (uintptr_t)map_get(host_of, tm->id.bytes, sizeof(tm->id.bytes));

        if (host == 0) {
            struct jm_allocation *a = MEM_NEW(struct jm_allocation);

            *a = (struct jm_allocation){.taskmanager = tm, .job_id = *job_id, .job_name = job_name};
            list_push_back(&tm->allocations, &a->link);
            ret->hosts[ret->host_count++] = a;
            host = ret->host_count;
            map_put(host_of, tm->id.bytes, sizeof(tm->id.bytes), (void *)host);
        }
        ret->slot_host[i] = (uint32_t)host - 1;
        ret->hosts[host - 1]->slots++;
    }
    res->used += slots;
    map_free(host_of);
    mem_free(taken);
    res->hooks->changed(res->arg, true);
    return true;
}

struct jm_allocation *jm_resource_allocate_on_one(struct jm_resource *res, const struct id *job_id,
                                                  const char *job_name, uint32_t slots,
                                                  const char *place)
{
    struct jm_taskmanager *best = place ? find_place(res, place) : NULL;
    struct jm_allocation *a;

    CHECK(slots > 0);
    if (!best || best->slots - best->used < slots)
        best = least_used_with(res, slots);
    if (!best)
        return NULL;
    a = MEM_NEW(struct jm_allocation);
    *a = (struct jm_allocation){
        .taskmanager = best, .slots = slots, .job_id = *job_id, .job_name = job_name};
    list_push_back(&best->allocations, &a->link);
    best->used += slots;
    res->used += slots;
    res->hooks->changed(res->arg, true);
    return a;
}

struct jm_allocation *jm_resource_hold(struct jm_resource *res, struct jm_taskmanager *tm,
                                       const struct id *job_id, const char *job_name)
{
    struct jm_allocation *a = MEM_NEW(struct jm_allocation);

    CHECK(jm_resource_find(res, &tm->id) == tm);
    *a = (struct jm_allocation){.taskmanager = tm, .job_id = *job_id, .job_name = job_name};
    list_push_back(&tm->allocations, &a->link);
    return a;
}

void jm_grant_release(struct jm_grant *grant)
{
    mem_free(grant->slot_host);
    mem_free(grant->hosts);
    *grant = (struct jm_grant){0};
}

void jm_resource_release(struct jm_resource *res, struct jm_allocation **allocation)
{
    struct jm_allocation *a = *allocation;

    *allocation = NULL;
    if (!a)
        return;
    list_remove(&a->link);
    if (a->taskmanager && a->slots > 0) {
        CHECK(a->taskmanager->used >= a->slots);
        CHECK(res->used >= a->slots);
        a->taskmanager->used -= a->slots;
        res->used -= a->slots;
        res->hooks->changed(res->arg, true);
        res->hooks->slots_freed(res->arg);
    }
    mem_free(a);
}
